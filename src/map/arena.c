/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ARENA: pages that programs and clients share and both address by the client's addresses. Of a pointer programs use the low 32 bits; an arena never
 * crosses a multiple of 4 GiB, so they tell the page.
 *
 * Key idea: all pages are mapped here at all times, as holes of the file where they are not allocated, so no access can fault. What Linux does by
 * faults is decided by a table with a byte per page: an access to a page that is not allocated does nothing, and gives 0. A client that touches a page allocates
 * it, and nobody is told; so a page that the table does not know is looked for in the file once more before that answer is given.
 *
 * Concurrency: `present` is read without a lock. Pages are taken and given back under `lock`. Who accesses a page that is being given
 * back reaches the old page or a hole, never anything else. The bytes are the client's, so untrusted.
 */
#include "map/map.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, PAGE_SHIFT = 12, GUARD = 16 /* pages of address range on both sides that an access's offset reaches */ };
enum { TABLE = (1 << 20) + 2 * GUARD };

struct arena_pages {
	struct region region; /* both tables */
	u8 *present; /* by the low 32 bits of the address, moved by GUARD: 1 where an access goes to memory */
	u8 *reserved; /* by number: 1 where nothing is to be allocated */
	_Atomic u64 start; /* where clients have it mapped; 0: not known yet */
	plain_lock lock;
	u32 n;
	u32 lowest; /* no page below is free, */
	u32 top; /* and every page from there on is, but for what clients touched */
};

static struct arena_pages *pages_of(const struct map *m)
{
	return m->priv;
}

u64 map_arena_start(const struct map *m)
{
	return atomic_load_explicit(&pages_of(m)->start, memory_order_acquire);
}

u64 map_arena_base(const struct map *m)
{
	return (u64)(uintptr_t)m->client.base - (u32)map_arena_start(m);
}

const u8 *map_arena_present(const struct map *m)
{
	return pages_of(m)->present;
}

/* Where the page's byte in the table is. */
static u8 *entry(const struct map *m, u32 page)
{
	return pages_of(m)->present + GUARD + ((u32)map_arena_start(m) >> PAGE_SHIFT) + page;
}

static bool has_data(const struct map *m, u32 from, u32 n, u32 *at)
{
	off_t data = lseek(map_client_fd(m), (off_t)from << PAGE_SHIFT, SEEK_DATA);

	if (data < 0 || data >= (off_t)(from + (u64)n) << PAGE_SHIFT)
		return false;
	*at = (u32)(data >> PAGE_SHIFT);
	return true;
}

bool map_arena_touch(struct map *m, u64 low)
{
	u64 page = (low - (u32)map_arena_start(m)) >> PAGE_SHIFT;
	u32 at;

	if (page >= pages_of(m)->n)
		return false;
	if (__atomic_load_n(entry(m, (u32)page), __ATOMIC_RELAXED))
		return true;
	if (!has_data(m, (u32)page, 1, &at))
		return false;
	__atomic_store_n(entry(m, (u32)page), 1, __ATOMIC_RELAXED);
	return true;
}

int map_arena_place(struct map *m, u64 addr, u64 bytes)
{
	struct arena_pages *a = pages_of(m);
	u64 none = 0;

	if (bytes != (u64)a->n << PAGE_SHIFT)
		return -EINVAL;
	if (addr == 0 || addr % PAGE || addr >> 32 != (addr + bytes - 1) >> 32)
		return -ERANGE;
	return atomic_compare_exchange_strong(&a->start, &none, addr) || none == addr ? 0 : -EBUSY;
}

/* A place that programs leave free. */
u64 map_arena_choose(struct map *m)
{
	u64 none = 0, at = 0x100000000000ull + (os_random() & 0x3fff) * (1ull << 32);

	return atomic_compare_exchange_strong(&pages_of(m)->start, &none, at) ? at : none;
}

/* ---- pages ---- */

static bool is_free(const struct map *m, u32 page)
{
	return !__atomic_load_n(entry(m, page), __ATOMIC_RELAXED) && !pages_of(m)->reserved[page];
}

static void note_top(const struct map *m, u32 page)
{
	struct arena_pages *a = pages_of(m);

	a->top = MAX(a->top, page + 1);
}

/* Are they all? What a client touched is not, and is noted. The first one that is not, in *at. */
static bool all_free(const struct map *m, u32 from, u32 n, u32 *at)
{
	for (u32 i = from; i < from + n; i++)
		if (!is_free(m, i)) {
			*at = i;
			return false;
		}
	if (!has_data(m, from, n, at))
		return true;
	__atomic_store_n(entry(m, *at), 1, __ATOMIC_RELAXED);
	return false;
}

/* The last of the smallest runs of free pages that have n, as the table knows them; the number of pages when there is none. */
static u32 smallest_run(const struct map *m, u32 n)
{
	const struct arena_pages *a = pages_of(m);
	u32 best = a->n, best_size = UINT32_MAX, from = a->lowest, to;

	while (from < a->top) {
		if (!is_free(m, from)) {
			from++;
			continue;
		}
		for (to = from + 1; to < a->top && is_free(m, to);)
			to++;
		if (to == a->top)
			break;
		if (to - from >= n && to - from <= best_size) {
			best = from;
			best_size = to - from;
		}
		from = to;
	}
	return a->n - from >= n && a->n - from <= best_size ? from : best;
}

static u32 find_free(const struct map *m, u32 n)
{
	const struct arena_pages *a = pages_of(m);
	u32 from, at;

	while ((from = smallest_run(m, n)) < a->n)
		if (all_free(m, from, n, &at))
			break;
		else
			note_top(m, at);
	return from;
}

static int take(struct map *m, u32 from, u32 n)
{
	if (fallocate(map_client_fd(m), FALLOC_FL_KEEP_SIZE, (off_t)from << PAGE_SHIFT, (off_t)n << PAGE_SHIFT)) {
		fallocate(map_client_fd(m), FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)from << PAGE_SHIFT, (off_t)n << PAGE_SHIFT);
		return -ENOMEM;
	}
	for (u32 i = from; i < from + n; i++)
		__atomic_store_n(entry(m, i), 1, __ATOMIC_RELAXED);
	note_top(m, from + n - 1);
	if (from == pages_of(m)->lowest)
		pages_of(m)->lowest = from + n;
	return 0;
}

/* The page's number behind an address of which the low half counts; one that is none when it lies outside. */
static u32 number(const struct map *m, u64 addr)
{
	return ((u32)addr - (u32)map_arena_start(m)) >> PAGE_SHIFT;
}

u64 map_arena_alloc(struct map *m, u64 addr, u32 n)
{
	struct arena_pages *a = pages_of(m);
	u64 start = map_arena_start(m);
	u32 from = 0, at;
	bool ok = false;

	if (n == 0 || n > a->n || addr % PAGE || (addr && number(m, addr) > a->n - n) || plain_lock_mine(&a->lock))
		return 0;
	plain_lock_take(&a->lock);
	if (addr) {
		from = number(m, addr);
		ok = all_free(m, from, n, &at);
	} else {
		from = find_free(m, n);
		ok = from < a->n;
	}
	ok = ok && take(m, from, n) == 0;
	plain_lock_drop(&a->lock);
	return ok ? start + ((u64)from << PAGE_SHIFT) : 0;
}

void map_arena_free(struct map *m, u64 addr, u32 n)
{
	struct arena_pages *a = pages_of(m);
	u32 from = number(m, addr);

	if (from >= a->n || plain_lock_mine(&a->lock))
		return;
	n = MIN(n, a->n - from);
	plain_lock_take(&a->lock);
	for (u32 i = from; i < from + n; i++) {
		__atomic_store_n(entry(m, i), 0, __ATOMIC_RELAXED);
		a->reserved[i] = 0;
	}
	fallocate(map_client_fd(m), FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)from << PAGE_SHIFT, (off_t)n << PAGE_SHIFT);
	a->lowest = MIN(a->lowest, from);
	plain_lock_drop(&a->lock);
}

int map_arena_reserve(struct map *m, u64 addr, u32 n)
{
	struct arena_pages *a = pages_of(m);
	u32 from = number(m, addr), at;
	bool ok;

	if (n == 0)
		return 0;
	if (from >= a->n || n > a->n - from)
		return -EINVAL;
	if (plain_lock_mine(&a->lock))
		return -EBUSY;
	plain_lock_take(&a->lock);
	ok = all_free(m, from, n, &at);
	if (ok) {
		memset(a->reserved + from, 1, n);
		note_top(m, from + n - 1);
	}
	plain_lock_drop(&a->lock);
	return ok ? 0 : -EBUSY;
}

/* ---- the map ---- */

static void arena_destroy(struct map *m)
{
	struct arena_pages *a = pages_of(m);

	if (!a) /* its creation failed before there were pages */
		return;
	region_destroy(&a->region);
	if (m->client.base) /* what lies behind its last page */
		mmap(m->client.base + m->client.size, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

static int open_pages(struct map *m)
{
	struct arena_pages *a = map_priv(m, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	a->n = m->spec.max_entries;
	atomic_store(&a->start, m->spec.extra);
	a->region.fd = -1;
	err = region_create(m->window, &a->region, REGION_PRIVATE, "arena-pages", TABLE + (u64)a->n, m);
	if (err)
		return err;
	a->present = a->region.base;
	a->reserved = a->present + TABLE;
	/* The last page's last bytes are followed by memory, should an access that begins there reach farther. */
	if (mmap(m->client.base + m->client.size, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -ENOMEM;
	return 0;
}

/* map_extra: the address that the client wants to have it at, 0 for any. */
static int arena_create(struct map *m)
{
	enum { MMAPABLE = BPF_F_MMAPABLE, SEGV_ON_FAULT = 1 << 17, NO_USER_CONV = 1 << 18 };
	const struct map_spec *s = &m->spec;
	u64 bytes = (u64)s->max_entries * PAGE;
	int err;

	if (s->key_size || s->value_size || s->max_entries == 0 || !(s->flags & MMAPABLE) ||
	    s->flags & ~(u32)(MMAPABLE | SEGV_ON_FAULT | NO_USER_CONV) || s->extra % PAGE)
		return -EINVAL;
	if (bytes > 1ull << 32)
		return -E2BIG;
	if (s->extra >> 32 != (s->extra + bytes - 1) >> 32)
		return -ERANGE;
	err = map_meta_create(m, 0);
	err = err ? err : map_client_create(m, bytes);
	return err ? err : open_pages(m);
}

static int arena_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	(void)m, (void)h, (void)key, (void)value, (void)flags;
	return -EINVAL;
}

static int arena_mmap(struct map *m, u64 offset, u64 size, bool write)
{
	(void)write;
	return offset <= m->client.size && size <= m->client.size - offset ? 0 : -EINVAL;
}

const struct map_ops arena_ops = {
	.create = arena_create,
	.destroy = arena_destroy,
	.get = arena_get,
	.mmap = arena_mmap,
	.traits = KIND_INNER | KIND_EXTRA | KIND_PRIVILEGED | KIND_ARENA | KIND_STEADY,
	.refused = EOPNOTSUPP,
};
