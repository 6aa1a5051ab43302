/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all map families share: the table of kinds, regions, value copies, and pinning as files.
 *
 * A pin file is the map's header and meta region, then what clients may map, then its BTF. Writing it copies the
 * regions and maps the file over them at the same addresses; words stored in between are carried over.
 */
#include "map/map.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct map_kind_info kinds[] = {
#define MAP(id, name, ops, since, doc) {id, #name, &ops, since, doc},
#include "map/kinds.def"
};

const struct map_kind_info *map_kind(u32 id)
{
	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].id == id)
			return &kinds[i];
	return NULL;
}

const struct map_kind_info *map_kinds(u32 *n)
{
	*n = ARRAY_SIZE(kinds);
	return kinds;
}

bool map_kind_has(const struct map_kind_info *kind, u32 slot)
{
	switch ((enum map_slot)slot) {
#define SLOT(name, ret, args, doc)                                                                               \
	case MAP_SLOT_##name:                                                                                    \
		return kind->ops->name != NULL;
#include "map/slots.def"
	default:
		return false;
	}
}

bool map_has_slot(const struct map *m, u32 slot)
{
	return map_kind_has(m->info, slot);
}

int map_create(struct map *m, const struct map_spec *spec)
{
	enum { NUMA = 1u << 2, RDWR = 1u << 3 | 1u << 4, PROG_RDWR = 1u << 7 | 1u << 8 };
	int err;

	m->info = map_kind(spec->kind);
	if (!m->info)
		return -EINVAL;
	m->ops = m->info->ops;
	m->spec = *spec;
	m->elem_size = (u32)MIN(ALIGN_UP((u64)spec->value_size, 8), UINT32_MAX);
	m->meta.fd = m->client.fd = -1;
	if ((spec->flags & RDWR) == RDWR || (spec->flags & PROG_RDWR) == PROG_RDWR)
		return -EINVAL;
	if (spec->extra && !(m->ops->traits & KIND_EXTRA))
		return -EINVAL;
	if (m->inner) {
		m->inner_spec = m->inner->spec;
		m->inner_fields = (struct map_inner_fields){m->inner->record.spin_lock, m->inner->record.timer};
	}
	err = m->ops->create(m);
	if (err)
		map_close(m);
	m->spec.flags &= ~(u32)RDWR; /* of the descriptor alone */
	return err;
}

void map_leave(struct map *m)
{
	if (m->meta.base)
		atomic_store(&map_head(m)->left, 1);
}

void map_close(struct map *m)
{
	if (m->pin_fd <= 0)
		map_leave(m);
	if (m->ops && m->ops->destroy && m->meta.base)
		m->ops->destroy(m);
	mem_free(m->mem, m->priv, m->priv_size);
	m->priv = NULL;
	region_destroy(&m->objects);
	region_destroy(&m->client);
	region_destroy(&m->meta);
	if (m->pin_fd > 0)
		close(m->pin_fd);
	m->pin_fd = 0;
}

u32 map_node_flag(const struct map *m)
{
	return m->any_node || m->adopting ? BPF_F_NUMA_NODE : 0;
}

int map_meta_create(struct map *m, u64 size)
{
	struct map_header *head;
	int err;

	size += sizeof(struct map_header);
	if (size > SIZE_MAX / 4)
		return -ENOMEM;
	if (m->adopting) {
		head = map_head(m);
		if (m->meta.size != ALIGN_UP(size, (u64)4096))
			return -EINVAL;
		return head->slots == domain_cpus(m->domain) ? 0 : -EINVAL;
	}
	err = region_create(m->window, &m->meta, REGION_SHARED, "skep-map", size, m);
	if (err)
		return err;
	head = map_head(m);
	*head = (struct map_header){
		.magic = MAP_MAGIC, .version = MAP_VERSION, .spec = m->spec, .meta_size = m->meta.size,
		.slots = domain_cpus(m->domain), .seed = os_random() | 1, .inner = m->inner_spec,
		.inner_fields = m->inner_fields,
	};
	m->bytes += m->meta.size;
	return 0;
}

int map_objects_create(struct map *m)
{
	return region_create(m->window, &m->objects, REGION_PRIVATE, "objects", (u64)m->spec.max_entries * sizeof(void *), m);
}

int map_client_create(struct map *m, u64 size)
{
	int err;

	if (size > SIZE_MAX / 4)
		return -ENOMEM;
	if (m->adopting)
		return m->client.base && m->client.size == ALIGN_UP(size, (u64)4096) ? 0 : -EINVAL;
	err = region_create(m->window, &m->client, REGION_CLIENT, "skep-data", size, m);
	if (err)
		return err;
	/* As on Linux, what programs only read is mapped by clients only to read; this engine's mapping stays. */
	if (m->spec.flags & BPF_F_RDONLY_PROG && fcntl(m->client.fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE))
		return -errno;
	map_head(m)->client_size = m->client.size;
	m->bytes += m->client.size;
	return 0;
}

void *map_priv(struct map *m, size_t size)
{
	m->priv = mem_alloc(m->mem, size);
	m->priv_size = m->priv ? (u32)size : 0;
	return m->priv;
}

/* ---- values ---- */

#define RELAXED_LOAD(type, p)     __atomic_load_n((const type *)(const void *)(p), __ATOMIC_RELAXED)
#define RELAXED_STORE(type, p, x) __atomic_store_n((type *)(void *)(p), (x), __ATOMIC_RELAXED)

/* Others may read or write the same bytes. Values lie on 8 bytes, so a side that does not is the caller's own
 * memory, which nobody else changes. */
void map_copy_words(void *to, const void *from, size_t size)
{
	bool to_ok = !((uintptr_t)to & 7), from_ok = !((uintptr_t)from & 7);
	const u8 *f = from;
	u8 *t = to;

	if (to_ok && from_ok)
		for (; size >= 8; size -= 8, t += 8, f += 8)
			RELAXED_STORE(u64, t, RELAXED_LOAD(u64, f));
	else if (to_ok)
		for (; size >= 8; size -= 8, t += 8, f += 8)
			RELAXED_STORE(u64, t, LOAD_AS(u64, f));
	else if (from_ok)
		for (; size >= 8; size -= 8, t += 8, f += 8)
			STORE_AS(u64, t, RELAXED_LOAD(u64, f));
	if (size >= 4 && (((uintptr_t)t | (uintptr_t)f) & 3) == 0) {
		RELAXED_STORE(u32, t, RELAXED_LOAD(u32, f));
		size -= 4, t += 4, f += 4;
	}
	for (; size; size--, t++, f++)
		RELAXED_STORE(u8, t, RELAXED_LOAD(u8, f));
}

static void copy_around(const struct map *m, void *to, const void *from, u32 size)
{
	u32 at = 0;

	for (u32 i = 0; i < m->record.n; i++) {
		const struct btf_field *f = &m->record.fields[i];

		map_copy_words((u8 *)to + at, (const u8 *)from + at, f->offset - at);
		at = f->offset + f->size;
	}
	map_copy_words((u8 *)to + at, (const u8 *)from + at, size - at);
}

void map_copy_value(const struct map *m, void *to, const void *from)
{
	copy_around(m, to, from, m->spec.value_size);
}

void map_copy_padded(const struct map *m, void *to, const void *from)
{
	copy_around(m, to, from, m->elem_size);
}

void map_clear_special(const struct map *m, void *value)
{
	for (u32 i = 0; i < m->record.n; i++) {
		const struct btf_field *f = &m->record.fields[i];

		memset((u8 *)value + f->offset, 0, f->size);
		if (f->kind == BTF_REFCOUNT)
			STORE_AS(u32, (u8 *)value + f->offset, 1);
	}
}

void map_free_value(struct map *m, const struct hold *h, void *value)
{
	if (unlikely(map_holds(m)))
		heap_free_fields(m->heap, h, &m->record, value);
}

int map_copy_locked(const struct map *m, const struct hold *h, void *to, const void *from, void *lock_in)
{
	owned_lock *word = (owned_lock *)((u8 *)lock_in + m->record.spin_lock - 1);
	int err = owned_lock_take(h, word);

	if (err < 0)
		return err;
	map_copy_value(m, to, from);
	owned_lock_drop(h, word);
	return 0;
}

int map_check_update_flags(const struct map *m, u64 flags)
{
	if ((flags & ~(u64)BPF_F_LOCK) > BPF_EXIST)
		return -EINVAL;
	if (flags & BPF_F_LOCK && !m->record.spin_lock)
		return -EINVAL;
	return 0;
}

/* ---- bpf(2) on elements ---- */

u64 map_value_bytes(const struct map *m)
{
	if (m->ops->traits & KIND_FD_VALUES)
		return sizeof(u32);
	return m->ops->traits & KIND_PER_CPU ? (u64)m->elem_size * domain_cpus(m->domain) : m->spec.value_size;
}

static int refused(const struct map *m)
{
	return m->ops->refused ? -m->ops->refused : -ENOTSUPP;
}

static int check_lock_flag(const struct map *m, u64 flags)
{
	return flags & BPF_F_LOCK && !m->record.spin_lock ? -EINVAL : 0;
}

int map_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	if (flags & ~(u64)BPF_F_LOCK || check_lock_flag(m, flags))
		return -EINVAL;
	return m->ops->get ? m->ops->get(m, h, key, value, flags) : refused(m);
}

int map_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	if (m->frozen)
		return -EPERM;
	if (check_lock_flag(m, flags))
		return -EINVAL;
	return m->ops->set ? m->ops->set(m, h, key, value, flags) : refused(m);
}

int map_delete(struct map *m, const struct hold *h, const void *key)
{
	if (m->frozen)
		return -EPERM;
	return m->ops->remove ? m->ops->remove(m, h, key) : refused(m);
}

int map_take(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	if (m->frozen)
		return -EPERM;
	if (flags & ~(u64)BPF_F_LOCK || check_lock_flag(m, flags))
		return -EINVAL;
	return m->ops->take ? m->ops->take(m, h, key, value, flags) : -ENOTSUPP;
}

int map_next_key(struct map *m, const struct hold *h, const void *key, void *next)
{
	return m->ops->next_key ? m->ops->next_key(m, h, key, next) : refused(m);
}

int map_index_next_key(struct map *m, const struct hold *h, const void *key, void *next)
{
	u32 i = key ? LOAD_AS(u32, key) : UINT32_MAX;

	(void)h;
	if (i >= m->spec.max_entries)
		i = UINT32_MAX;
	else if (i == m->spec.max_entries - 1)
		return -ENOENT;
	STORE_AS(u32, next, i + 1);
	return 0;
}

/* ---- map-in-map ---- */

int map_inner_check(const struct map *inner)
{
	if (inner->ops->traits & KIND_OUTER)
		return -EINVAL;
	return inner->ops->traits & KIND_INNER ? 0 : -ENOTSUPP;
}

int map_outer_check(const struct map *m)
{
	if (m->inner)
		return map_inner_check(m->inner);
	return m->inner_spec.kind ? 0 : -EBADF; /* a pin knows what its elements are like */
}

bool map_inner_equal(const struct map *outer, const struct map *m)
{
	const struct map_spec *a = &outer->inner_spec, *b = &m->spec;

	if (a->kind != b->kind || a->key_size != b->key_size || a->value_size != b->value_size || a->flags != b->flags ||
	    outer->inner_fields.spin_lock != m->record.spin_lock || outer->inner_fields.timer != m->record.timer ||
	    (outer->inner && !btf_record_equal(&outer->inner->record, &m->record)))
		return false;
	/* Compiled code knows the bound of an array, unless its flag says that it varies. */
	return a->kind != MAP_KIND_ARRAY || a->flags & BPF_F_INNER_MAP || a->max_entries == b->max_entries;
}

int map_object_get(struct map *m, u32 fd, u32 *id)
{
	const struct map *inner;
	int err = m->host ? m->host->object_get(m->host->ud, m, fd, id) : -EBADF;

	if (err || !(m->ops->traits & KIND_OUTER))
		return err;
	inner = m->host->object_at(m->host->ud, m, *id);
	if (inner && map_inner_equal(m, inner))
		return 0;
	m->host->object_put(m->host->ud, m, *id);
	return -EINVAL;
}

/* ---- pins ---- */

struct move {
	struct region *region;
	int from; /* the file that it is in, and where */
	u64 start, offset; /* in the old file and in the new one */
	u8 *old; /* the bytes' former home */
	u8 *snapshot; /* what was written to the file */
};

typedef int extent_fn(struct move *v, int fd, u64 from, u64 to);

/* Only what was ever touched: holes of the old file stay holes of the new one. */
static int each_extent(struct move *v, int fd, extent_fn *fn)
{
	u64 at = 0, size = v->region->size;

	while (at < size) {
		off_t data = lseek(v->from, (off_t)(v->start + at), SEEK_DATA), hole;
		u64 from;
		int err;

		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(v->from, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		from = (u64)data - v->start;
		at = MIN((u64)hole - v->start, size);
		err = from < at ? fn(v, fd, from, at) : 0;
		if (err)
			return err;
	}
	return 0;
}

static int write_extent(struct move *v, int fd, u64 from, u64 to)
{
	map_copy_words(v->snapshot + from, v->old + from, to - from);
	return os_write_at(fd, v->snapshot + from, to - from, v->offset + from);
}

/* A word that the old home no longer has as it was copied was stored late: the new home gets it, unless it was
 * stored there again since. */
static int carry_over(struct move *v, int fd, u64 from, u64 to)
{
	(void)fd;
	for (; from < to; from += 8) {
		u64 old = __atomic_load_n((u64 *)(v->old + from), __ATOMIC_RELAXED), was = LOAD_AS(u64, v->snapshot + from);

		if (old != was)
			__atomic_compare_exchange_n((u64 *)(v->region->base + from), &was, old, false, __ATOMIC_SEQ_CST,
						    __ATOMIC_RELAXED);
	}
	return 0;
}

/* from: a pin file, where the region lies at the same place; 0: its memfd. */
static int move_region(struct region *r, int from, int fd, u64 offset)
{
	struct move v = {.region = r, .from = from ? from : r->fd, .start = from ? offset : 0, .offset = offset};
	int err = -ENOMEM;

	v.old = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, v.from, (off_t)v.start);
	if (v.old == MAP_FAILED)
		return -ENOMEM;
	v.snapshot = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (v.snapshot != MAP_FAILED) {
		err = each_extent(&v, fd, write_extent);
		err = err ? err : region_rehome(r, fd, offset);
		err = err ? err : each_extent(&v, fd, carry_over);
		munmap(v.snapshot, r->size);
	}
	munmap(v.old, r->size);
	return err;
}

/* Undoes move_region(): its memory is as large as the file's part, so this cannot fail for want of anything. */
static void move_back(struct region *r, int fd, u64 offset)
{
	u8 *file = mmap(NULL, r->size, PROT_READ, MAP_SHARED, fd, (off_t)offset);

	if (file == MAP_FAILED || region_rehome(r, r->fd, 0))
		return; /* the region goes on living in the file, which then has no name */
	map_copy_words(r->base, file, r->size);
	munmap(file, r->size);
}

static int lock_file(int fd, short type)
{
	struct flock whole = {.l_type = type, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &whole) ? -errno : 0;
}

/* A store to a mapped hole for which the disk has no room would end the process, so there is room from the start. Where file systems
 * cannot promise that, nobody can. */
static int reserve_space(int fd, u64 size)
{
	if (!size || fallocate(fd, 0, 0, (off_t)size) == 0)
		return 0;
	return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
}

static int write_footer(struct map *m, int fd, const void *btf, u32 btf_size)
{
	u64 body = m->client.size + m->meta.size, at = ALIGN_UP(body + btf_size, (u64)4096);
	struct map_footer foot = {MAP_MAGIC, MAP_VERSION, m->client.size, m->meta.size, btf_size, {0}};
	int err;

	if (os_size_check(at + MAP_FOOTER))
		return -EFBIG;
	err = reserve_space(fd, body);
	if (err)
		return err;
	if (btf_size && pwrite(fd, btf, btf_size, (off_t)body) != (ssize_t)btf_size)
		return -ENOSPC;
	if (ftruncate(fd, (off_t)(at + MAP_FOOTER)) || pwrite(fd, &foot, sizeof(foot), (off_t)at) != (ssize_t)sizeof(foot))
		return -ENOSPC;
	return 0;
}

/*
 * One home per map: a second name is a hard link, made by the caller. A file without a name cannot have one again; it is left for a new one,
 * unless other engines, or clients that map it, would be left behind.
 */
static int leave_file(const struct map *m)
{
	struct stat st;

	if (fstat(m->pin_fd, &st))
		return -errno;
	if (st.st_nlink)
		return -EEXIST;
	return (m->client.base && !m->settled) || lock_file(m->pin_fd, F_WRLCK) ? -EBUSY : 0;
}

static int move_in(struct map *m, int fd, const void *btf, u32 btf_size)
{
	int err, keep;

	if (m->ops->traits & KIND_KERNEL_TYPE)
		return -EOPNOTSUPP; /* its type is an id in one kernel's BTF */
	if (map_holds(m))
		return -EOPNOTSUPP; /* objects are this process's */
	if (m->meta.lent)
		return -EBUSY; /* a process would be left behind in the old memory */
	keep = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (keep < 0)
		return -errno;
	err = lock_file(keep, F_RDLCK);
	err = err ? err : write_footer(m, fd, btf, btf_size);
	if (err) {
		close(keep);
		return err;
	}
	map_head(m)->domain = domain_id(m->domain);
	if (m->ops->traits & KIND_FD_VALUES) { /* ids mean something in this engine only: they stay in its memory */
		err = os_write_at(fd, map_head(m), sizeof(struct map_header), 0);
		goto out;
	}
	if (m->settled) {
		err = os_write_at(fd, m->meta.base, m->meta.size, m->client.size);
		err = err || !m->client.base ? err : os_write_at(fd, m->client.base, m->client.size, 0);
		goto out;
	}
	domain_stop(m->domain);
	map_leave(m);
	err = move_region(&m->meta, m->pin_fd, fd, m->client.size);
	if (!err && m->client.base) {
		err = move_region(&m->client, 0, fd, 0);
		/* A client that has the old memory mapped for writing would be left behind in it. */
		if (!err && m->client.fd >= 0 && fcntl(m->client.fd, F_ADD_SEALS, F_SEAL_WRITE)) {
			move_back(&m->client, fd, 0);
			err = -EBUSY;
		}
		if (err)
			move_back(&m->meta, fd, m->client.size);
	}
	if (!err)
		atomic_store(&map_head(m)->left, 0); /* in the file */
	domain_go(m->domain);
out:
	if (err) {
		close(keep);
		return err;
	}
	if (m->pin_fd > 0)
		close(m->pin_fd);
	m->pin_fd = keep;
	return 0;
}

int map_pin_write(struct map *m, int fd, const void *btf, u32 btf_size)
{
	return m->pin_fd > 0 ? -EEXIST : move_in(m, fd, btf, btf_size);
}

int map_pin_again(struct map *m, int fd, const void *btf, u32 btf_size)
{
	int err = leave_file(m);

	return err ? err : move_in(m, fd, btf, btf_size);
}

/*
 * Programs are verified against the values of frozen global data. Whoever mapped it before, or can write a pin file, could
 * change them all the same: what programs read is a copy then.
 */
static int settle(struct map *m)
{
	int err;

	if (m->settled || !(m->ops->traits & KIND_STEADY) || !(m->spec.flags & BPF_F_RDONLY_PROG) || m->spec.max_entries != 1 || !m->values)
		return 0;
	err = region_settle(m->client.base ? &m->client : &m->meta);
	m->settled = !err;
	return err;
}

int map_freeze(struct map *m)
{
	int err;

	if (atomic_exchange(&m->frozen, true))
		return -EPERM;
	err = atomic_load(&m->writers) ? -EBUSY : settle(m);
	if (err)
		atomic_store(&m->frozen, false);
	else
		map_head(m)->frozen = 1;
	return err;
}

int map_client_fd(const struct map *m)
{
	return m->pin_fd > 0 ? m->pin_fd : m->client.fd;
}

static bool plausible(const struct map_spec *s, const struct map_header *h)
{
	return h->magic == MAP_MAGIC && h->version == MAP_VERSION && map_kind(s->kind) &&
	       memchr(s->name, 0, sizeof(s->name));
}

/* Reads the parts of a pin file; everything is checked before anything is mapped. */
static int read_footer(int fd, struct map_footer *foot, struct map_header *head)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (st.st_size < MAP_FOOTER || st.st_size % 4096 ||
	    pread(fd, foot, sizeof(*foot), st.st_size - MAP_FOOTER) != (ssize_t)sizeof(*foot) ||
	    foot->magic != MAP_MAGIC || foot->version != MAP_VERSION)
		return -EINVAL;
	if (foot->client_size % 4096 || foot->meta_size % 4096 || foot->client_size > (u64)st.st_size ||
	    foot->meta_size > (u64)st.st_size || foot->btf_size > (16u << 20) ||
	    ALIGN_UP(foot->client_size + foot->meta_size + foot->btf_size, (u64)4096) + MAP_FOOTER != (u64)st.st_size)
		return -EINVAL;
	if (pread(fd, head, sizeof(*head), (off_t)foot->client_size) != (ssize_t)sizeof(*head) || !plausible(&head->spec, head))
		return -EINVAL;
	return 0;
}

bool map_is_pin(int fd)
{
	struct map_footer foot;
	struct map_header head;

	return read_footer(fd, &foot, &head) == 0;
}

/* Takes the lock that says "open here": for oneself when nobody else has it; beside others only when they share their
 * run slots with this engine. Whoever finds the file being adopted looks again a little later. */
static int enter_file(int fd, const struct domain *d, const struct map_footer *foot, bool *alone)
{
	struct map_header head;

	for (u32 tries = 0; tries < 1000; tries++) {
		*alone = lock_file(fd, F_WRLCK) == 0;
		if (*alone)
			return 0;
		if (lock_file(fd, F_RDLCK) == 0) {
			if (pread(fd, &head, sizeof(head), (off_t)foot->client_size) == (ssize_t)sizeof(head) &&
			    domain_id(d) && head.domain == domain_id(d))
				return 0;
			return -EBUSY;
		}
		os_yield();
	}
	return -EBUSY;
}

static int adopt_regions(struct map *m, int fd, const struct map_footer *foot, bool alone)
{
	int err;

	m->adopting = true;
	m->alone = alone;
	err = region_adopt(m->window, &m->meta, fd, foot->client_size, foot->meta_size, m);
	if (!err && foot->client_size)
		err = region_adopt(m->window, &m->client, fd, 0, foot->client_size, m);
	/* The family computes its layout from the specification; sizes that differ refuse the file. */
	err = err ? err : m->ops->create(m);
	m->adopting = false;
	m->bytes = m->meta.size + m->client.size;
	return err;
}

/* References to objects end with the engine that had them, and another engine's are none of ours: a new, empty map. */
static int adopt_empty(struct map *m, bool alone)
{
	int err = alone ? m->ops->create(m) : -EBUSY;

	if (!err)
		map_head(m)->frozen = m->frozen;
	return err;
}

/* So that a later opener can tell whether it shares run slots with this engine. */
static int write_domain(struct map *m, int fd, const struct map_footer *foot)
{
	u64 id = map_head(m)->domain = domain_id(m->domain);

	return os_write_at(fd, &id, sizeof(id), foot->client_size + offsetof(struct map_header, domain));
}

int map_adopt(struct map *m, int fd, void **btf, u32 *btf_size)
{
	struct map_footer foot;
	struct map_header head;
	bool alone;
	int err = read_footer(fd, &foot, &head), keep;

	*btf = NULL;
	*btf_size = 0;
	if (err)
		return err;
	keep = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (keep < 0)
		return -errno;
	m->pin_fd = keep;
	m->meta.fd = m->client.fd = -1;
	err = enter_file(keep, m->domain, &foot, &alone);
	if (err)
		goto out;
	m->info = map_kind(head.spec.kind);
	m->ops = m->info->ops;
	m->spec = head.spec;
	m->inner_spec = head.inner;
	m->inner_fields = head.inner_fields;
	m->elem_size = (u32)MIN(ALIGN_UP((u64)head.spec.value_size, 8), UINT32_MAX);
	m->frozen = head.frozen != 0;
	err = m->ops->traits & KIND_FD_VALUES ? adopt_empty(m, alone) : adopt_regions(m, fd, &foot, alone);
	if (!err && alone)
		err = write_domain(m, keep, &foot);
	if (!err && m->frozen)
		err = settle(m);
	if (!err && foot.btf_size) {
		*btf = mem_alloc(m->mem, foot.btf_size);
		*btf_size = foot.btf_size;
		if (!*btf)
			err = -ENOMEM;
		else if (pread(fd, *btf, foot.btf_size, (off_t)(foot.client_size + foot.meta_size)) != (ssize_t)foot.btf_size)
			err = -EINVAL;
	}
	if (!err && alone)
		err = lock_file(keep, F_RDLCK);
out:
	if (err) {
		mem_free(m->mem, *btf, *btf_size);
		*btf = NULL;
		map_close(m);
	}
	return err;
}
