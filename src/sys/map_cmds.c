/* SPDX-License-Identifier: BSD-2-Clause */
/* bpf(2) on maps: creation, elements, batches, freezing. What an element operation means is the map family's; here
 * are descriptors, copies and limits. */
#include "abi/uapi.h"
#include "sys/sys.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PTR(x) ((void *)(uintptr_t)(x))

/* ---- references that maps hold ---- */

static enum obj_type element_type(const struct map *m)
{
	return map_has(m, entry) ? OBJ_PROG : map_has(m, event) ? OBJ_PERF : OBJ_MAP;
}

bool map_takes_program(struct skep *k, struct map *m, const struct prog *p)
{
	const struct progtype *loaded_as = progtype(p->type);
	struct map_owner own = {.set = true, .frags = p->flags & BPF_F_XDP_HAS_FRAGS, .type = p->kind->id, .attach_type = p->attach_type,
				.proto = loaded_as && loaded_as->flags & PT_ATTACH_BTF ? p->attach_proto : NULL};
	bool fits;

	if (!(m->ops->traits & KIND_PROGRAMS))
		return true;
	plain_lock_take(&k->lock);
	if (!m->owner.set)
		m->owner = own;
	fits = m->owner.type == own.type && m->owner.frags == own.frags && m->owner.proto == own.proto &&
	       (m->owner.attach_type == own.attach_type || !map_has(m, entry));
	plain_lock_drop(&k->lock);
	return fits;
}

static int host_get(void *ud, struct map *m, u32 fd, u32 *id)
{
	struct obj *o;
	int err = obj_by_fd(ud, (int)fd, element_type(m), 0, &o);

	if (err)
		return err == -EINVAL && element_type(m) == OBJ_PERF ? -EBADF : err;
	if (element_type(m) == OBJ_PROG && !map_takes_program(ud, m, o->body)) {
		obj_put(o);
		return -EINVAL;
	}
	*id = o->id;
	return 0;
}

static void host_put(void *ud, struct map *m, u32 id)
{
	struct skep *k = ud;
	struct obj *o = k->closing ? NULL : obj_by_id(k, element_type(m), id);

	if (o) {
		obj_put(o); /* the one just taken */
		obj_put(o); /* the map's */
	}
}

static void *host_at(void *ud, struct map *m, u32 id)
{
	return obj_body_at(ud, element_type(m), id);
}

const struct map_host map_host_ops = {.object_get = host_get, .object_put = host_put, .object_at = host_at};

/* ---- creation ---- */

void map_object_free(struct skep *k, struct map_obj *m)
{
	atomic_fetch_sub(&k->map_bytes, m->map.bytes);
	map_close(&m->map);
	obj_put(m->btf);
	obj_put(m->inner);
	mem_free(&k->mem, m, sizeof(*m));
}

static bool name_ok(const char *name, u32 size)
{
	u32 n = 0;

	for (; n < size && name[n]; n++)
		if (!obj_name_char((u8)name[n]))
			return false;
	return n < size;
}

static int device_refused(struct skep *k, const struct attr_map_create *a)
{
	char device[IF_NAMESIZE];

	log_line(k, "MAP_CREATE: maps on network devices are not supported by skep %s", skep_version());
	return (a->map_type == BPF_MAP_TYPE_ARRAY || a->map_type == BPF_MAP_TYPE_HASH) && if_indextoname(a->map_ifindex, device) ? -EOPNOTSUPP : -EINVAL;
}

static int take_types(struct skep *k, const struct attr_map_create *a, struct map_obj *m)
{
	int err;

	if (a->btf_value_type_id || a->btf_key_type_id || a->btf_vmlinux_value_type_id) {
		err = obj_by_fd(k, (int)a->btf_fd, OBJ_BTF, 0, &m->btf);
		if (err)
			return err;
		if (((struct btf_obj *)m->btf->body)->btf.kernel)
			return -EACCES;
	}
	return map_check_types(k, m);
}

/* The kernel's struct that the map's value is: of a module where the map's flags say so. */
static int kernel_type_ok(struct skep *k, const struct attr_map_create *a, const struct map *m)
{
	const struct btf *types = kernel_btf(k);
	struct btf_struct_ops ops;
	struct obj *o = NULL;
	int err = 0;

	if (!(m->ops->traits & KIND_KERNEL_TYPE))
		return 0;
	if (a->map_flags & UAPI_F_VTYPE_BTF_OBJ_FD) {
		err = obj_by_fd(k, a->value_type_btf_obj_fd, OBJ_BTF, 0, &o);
		types = err ? NULL : o->body;
		if (!err && !(types->kernel && types->base))
			err = -EINVAL;
	}
	if (!err)
		err = types ? btf_struct_ops_of_value(types, a->btf_vmlinux_value_type_id, &ops) : -ENOTSUPP;
	if (!err && btf_size(types, ops.value_id) != a->value_size)
		err = -EINVAL;
	if (err == -ENOTSUPP)
		log_line(k, "MAP_CREATE: type %u is no struct of functions of %s", a->btf_vmlinux_value_type_id, o ? ((struct btf_obj *)o->body)->name : "the kernel");
	obj_put(o);
	return err;
}

static int one_program_refused(struct skep *k, const struct attr_map_create *a)
{
	if (a->excl_prog_hash && a->excl_prog_hash_size)
		log_line(k, "MAP_CREATE: maps of one program alone (excl_prog_hash) are not supported by skep %s", skep_version());
	return a->excl_prog_hash || a->excl_prog_hash_size ? -EINVAL : 0;
}

/* What is asked once there is a map, in this order. */
static int map_complete(struct skep *k, const struct attr_map_create *a, struct map_obj *m)
{
	int err = kernel_type_ok(k, a, &m->map);

	if (err)
		return err;
	if (a->map_flags & UAPI_F_TOKEN_FD)
		return token_refused(k, "MAP_CREATE", a->map_token_fd);
	if (!name_ok(a->map_name, sizeof(a->map_name)))
		return -EINVAL;
	if (k->options.max_map_bytes && atomic_load(&k->map_bytes) + m->map.bytes > k->options.max_map_bytes)
		return -ENOMEM;
	err = take_types(k, a, m);
	return err ? err : one_program_refused(k, a);
}

static struct map_spec spec_of(const struct attr_map_create *a)
{
	return (struct map_spec){a->map_type, a->key_size, a->value_size, a->max_entries, a->map_flags & ~(u32)UAPI_F_TOKEN_FD,
				 a->map_extra, {0}, a->btf_key_type_id, a->btf_value_type_id};
}

static struct map new_map(struct skep *k, const struct attr_map_create *a, struct map *inner)
{
	return (struct map){.mem = &k->mem, .window = &k->window, .domain = k->domain, .host = &k->map_host, .heap = &k->heap,
			    .inner = inner, .kernel_type = a->btf_vmlinux_value_type_id, .any_node = a->numa_node == UINT32_MAX};
}

/* What Linux says of sizes and flags before it looks at devices and templates, and makes the map. */
static int check_sizes(struct skep *k, const struct attr_map_create *a)
{
	struct map m = new_map(k, a, NULL);
	struct map_spec spec = spec_of(a);
	int err;

	spec.max_entries = MIN(spec.max_entries, 1);
	err = map_create(&m, &spec);
	if (!err)
		map_close(&m);
	return err == -EBADF ? 0 : err; /* for want of a template */
}

static int check_place(struct skep *k, const struct attr_map_create *a)
{
	int err = check_sizes(k, a);

	if (!err && a->map_flags & UAPI_F_TOKEN_FD)
		err = token_refused(k, "MAP_CREATE", a->map_token_fd);
	return err || !a->map_ifindex ? err : device_refused(k, a);
}

/* Takes over inner, if nothing fails. */
static int map_object_create(struct skep *k, const struct attr_map_create *a, struct obj *inner, struct obj **out)
{
	struct map_spec spec = spec_of(a);
	struct map_obj *m = mem_alloc(&k->mem, sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	m->inner = inner;
	m->map = new_map(k, a, inner ? obj_map(inner) : NULL);
	memcpy(spec.name, a->map_name, strnlen(a->map_name, sizeof(spec.name) - 1));
	err = map_create(&m->map, &spec);
	if (!err) {
		err = map_complete(k, a, m);
		if (!err && !(*out = obj_new(k, OBJ_MAP, m)))
			err = -ENOMEM;
		if (err)
			map_close(&m->map);
	}
	if (err) {
		obj_put(m->btf);
		mem_free(&k->mem, m, sizeof(*m));
		return err;
	}
	atomic_fetch_add(&k->map_bytes, m->map.bytes);
	return 0;
}

static int take_inner(struct skep *k, const struct attr_map_create *a, struct obj **inner)
{
	int err;

	if (!(map_kind(a->map_type)->ops->traits & KIND_OUTER))
		return 0;
	err = obj_by_fd(k, (int)a->inner_map_fd, OBJ_MAP, 0, inner);
	return err ? err : map_inner_check(obj_map(*inner));
}

/* Is that part of the machine's memory there? Without sysfs, only the first is sure to be. */
static bool node_online(u32 node)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u", node);
	return node == 0 || node == UINT32_MAX /* any */ || (node < 1024 && !access(path, F_OK));
}

int sys_map_create(struct sys_call *c)
{
	const struct attr_map_create *a = c->attr;
	const struct map_kind_info *info = map_kind(a->map_type);
	struct obj *inner = NULL, *o;
	int err, fd;

	if (a->btf_vmlinux_value_type_id && (!info || !(info->ops->traits & KIND_KERNEL_TYPE) || a->btf_key_type_id || a->btf_value_type_id))
		return -EINVAL;
	if (a->btf_key_type_id && !a->btf_value_type_id)
		return -EINVAL;
	if (!info) {
		log_line(c->k, "MAP_CREATE: map type %u is not supported; skep feature lists what is", a->map_type);
		return -EINVAL;
	}
	if ((a->map_extra && !(info->ops->traits & KIND_EXTRA)) || (a->map_flags & BPF_F_NUMA_NODE && !node_online(a->numa_node)))
		return -EINVAL;
	if ((a->map_flags & (BPF_F_RDONLY | BPF_F_WRONLY)) == (BPF_F_RDONLY | BPF_F_WRONLY))
		return -EINVAL;
	if (atomic_load(&c->k->unprivileged) && info->ops->traits & (KIND_PRIVILEGED | KIND_NET_ADMIN))
		return -EPERM;
	if (info->ops->traits & KIND_KERNEL_TYPE && a->btf_vmlinux_value_type_id && !skep_kernel_btf(c->k)) {
		log_line(c->k, "MAP_CREATE: a map of type %s needs a kernel's BTF, and the engine was given none", info->name);
		return -ENOTSUPP;
	}
	err = info->ops->traits & KIND_OUTER || a->map_ifindex ? check_place(c->k, a) : 0;
	if (!err)
		err = take_inner(c->k, a, &inner);
	if (!err)
		err = map_object_create(c->k, a, inner, &o);
	if (err) {
		obj_put(inner);
		return err;
	}
	fd = obj_fd(o, a->map_flags & (BPF_F_RDONLY | BPF_F_WRONLY));
	obj_put(o);
	return fd;
}

/* ---- elements ---- */

struct element {
	bool writes;
	struct obj *o;
	struct map *map;
	struct hold hold;
	void *key;
	const struct mem *mem;
};

/* Takes over a reference to the map. */
static int element_hold(struct skep *k, struct obj *o, int need, struct element *e)
{
	int err;

	e->o = o;
	e->map = obj_map(o);
	e->mem = &k->mem;
	err = hold_take(k->domain, &e->hold);
	if (err) {
		obj_put(o);
		return err;
	}
	e->writes = need & NEED_WRITE;
	if (e->writes) /* before anybody asks whether it is frozen */
		atomic_fetch_add(&e->map->writers, 1);
	return 0;
}

static int element_open(struct sys_call *c, u32 fd, int need, struct element *e)
{
	struct obj *o;
	int err = obj_by_fd(c->k, (int)fd, OBJ_MAP, need, &o);

	return err ? err : element_hold(c->k, o, need, e);
}

static int element_close(struct element *e, int err)
{
	if (e->writes)
		atomic_fetch_sub(&e->map->writers, 1);
	hold_drop(&e->hold);
	obj_put(e->o);
	return err;
}

/* What these commands know of flags, looked at before the descriptor is. */
static int read_flags(const struct attr_map_elem *a)
{
	return a->flags & ~(u64)BPF_F_LOCK ? -EINVAL : 0;
}

static bool lock_missing(const struct map *m, u64 flags)
{
	return flags & BPF_F_LOCK && !m->record.spin_lock;
}

/* Kinds without keys take none. */
static int key_of(const struct map *m, u64 key, void **out)
{
	*out = PTR(key);
	if (m->spec.key_size == 0)
		return key ? -EINVAL : 0;
	return key ? 0 : -EFAULT;
}

/* Linux finds only at the end that there is no place for what it has: room of that size stands in for it until then. */
static int room_open(const struct element *e, u64 to, u64 bytes, void **room)
{
	*room = to ? PTR(to) : mem_alloc(e->mem, MAX(bytes, 1));
	return *room ? 0 : -ENOMEM;
}

static int room_close(const struct element *e, u64 to, u64 bytes, void *room, int err)
{
	if (to)
		return err;
	mem_free(e->mem, room, MAX(bytes, 1));
	return err ? err : -EFAULT;
}

static int element_lookup(struct element *e, const struct attr_map_elem *a)
{
	u64 bytes = map_value_bytes(e->map);
	void *key, *value;
	int err = lock_missing(e->map, a->flags) ? -EINVAL : key_of(e->map, a->key, &key);

	if (!err && !a->value && e->map->ops->traits & KIND_VALUE_IN)
		err = -EFAULT;
	if (!err)
		err = room_open(e, a->value, bytes, &value);
	return err ? err : room_close(e, a->value, bytes, value, map_get(e->map, &e->hold, key, value, a->flags));
}

static int element_update(struct element *e, const struct attr_map_elem *a)
{
	void *key;
	int err = e->map->frozen ? -EPERM : lock_missing(e->map, a->flags) ? -EINVAL : key_of(e->map, a->key, &key);

	if (!err && !a->value && e->map->spec.value_size)
		err = -EFAULT;
	return err ? err : map_set(e->map, &e->hold, key, PTR(a->value), a->flags);
}

static int element_delete(struct element *e, const struct attr_map_elem *a)
{
	void *key;
	int err = e->map->frozen ? -EPERM : key_of(e->map, a->key, &key);

	return err ? err : map_delete(e->map, &e->hold, key);
}

static int element_next_key(struct element *e, const struct attr_map_elem *a)
{
	u64 bytes = e->map->spec.key_size;
	void *next;
	int err = a->key && !bytes ? -EINVAL : room_open(e, a->value, bytes, &next);

	return err ? err : room_close(e, a->value, bytes, next, map_next_key(e->map, &e->hold, PTR(a->key), next));
}

static int element_run(struct sys_call *c, int need, int (*run)(struct element *e, const struct attr_map_elem *a))
{
	const struct attr_map_elem *a = c->attr;
	struct element e;
	int err = element_open(c, a->map_fd, need, &e);

	return err ? err : element_close(&e, run(&e, a));
}

int sys_map_lookup(struct sys_call *c)
{
	int err = read_flags(c->attr);

	return err ? err : element_run(c, NEED_READ, element_lookup);
}

int sys_map_update(struct sys_call *c)
{
	return element_run(c, NEED_WRITE, element_update);
}

int sys_map_delete(struct sys_call *c)
{
	return element_run(c, NEED_WRITE, element_delete);
}

int sys_map_next_key(struct sys_call *c)
{
	return element_run(c, NEED_READ, element_next_key);
}

int map_element(struct skep *k, int cmd, struct obj *o, const struct attr_map_elem *a)
{
	bool writes = cmd == SYS_MAP_UPDATE_ELEM || cmd == SYS_MAP_DELETE_ELEM;
	struct element e;
	int err;

	obj_get(o);
	err = element_hold(k, o, writes ? NEED_WRITE : NEED_READ, &e);
	if (err)
		return err;
	switch (cmd) {
	case SYS_MAP_LOOKUP_ELEM: err = read_flags(a) ? -EINVAL : element_lookup(&e, a); break;
	case SYS_MAP_UPDATE_ELEM: err = element_update(&e, a); break;
	case SYS_MAP_DELETE_ELEM: err = element_delete(&e, a); break;
	case SYS_MAP_GET_NEXT_KEY: err = element_next_key(&e, a); break;
	default: err = -EINVAL;
	}
	return element_close(&e, err);
}

int sys_map_take(struct sys_call *c)
{
	const struct attr_map_elem *a = c->attr;
	struct element e;
	void *key, *value;
	u64 bytes;
	int err = read_flags(a);

	err = err ? err : element_open(c, a->map_fd, NEED_READ | NEED_WRITE, &e);
	if (err)
		return err;
	err = e.map->frozen ? -EPERM : lock_missing(e.map, a->flags) ? -EINVAL : key_of(e.map, a->key, &key);
	/* Without a place for the value the element is gone all the same. */
	bytes = map_value_bytes(e.map);
	if (!err)
		err = room_open(&e, a->value, bytes, &value);
	if (!err)
		err = room_close(&e, a->value, bytes, value, map_take(e.map, &e.hold, key, value, a->flags));
	return element_close(&e, err);
}

int sys_map_freeze(struct sys_call *c)
{
	const struct attr_map_elem *a = c->attr;
	struct map *m;
	struct obj *o;
	int err = obj_by_fd(c->k, (int)a->map_fd, OBJ_MAP, NEED_WRITE, &o);

	if (err)
		return err;
	m = obj_map(o);
	if (m->record.timer)
		err = -ENOTSUPP;
	else if (!m->frozen && m->client.fd >= 0 && os_maps_writable(0, m->client.fd, m->window->base, m->window->size))
		err = -EBUSY;
	else
		err = map_freeze(m);
	if (!err && m->client.base && m->client.fd >= 0)
		fcntl(m->client.fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
	obj_put(o);
	return err;
}

/* ---- batches ---- */

struct batch {
	struct sys_call *c;
	struct attr_map_batch *a;
	struct element e;
	u32 done;
};

static int batch_open(struct sys_call *c, struct batch *b, u32 trait, int need)
{
	int err;

	*b = (struct batch){.c = c, .a = c->attr};
	err = element_open(c, b->a->map_fd, need, &b->e);
	if (err)
		return err;
	if (need & NEED_WRITE && b->e.map->frozen)
		return element_close(&b->e, -EPERM);
	if (!(b->e.map->ops->traits & trait))
		return element_close(&b->e, -ENOTSUPP);
	if ((b->a->flags && b->e.map->ops->batch && need & NEED_READ) || b->a->elem_flags & ~(u64)BPF_F_LOCK ||
	    lock_missing(b->e.map, b->a->elem_flags))
		return element_close(&b->e, -EINVAL);
	return 0;
}

static int batch_close(struct batch *b, int err)
{
	b->a->count = b->done;
	return element_close(&b->e, err);
}

/* One at a time by key; the cursor is the last key. */
static int read_by_key(struct batch *b, u32 want)
{
	struct map *m = b->e.map;
	u64 value_bytes = map_value_bytes(m), size = m->spec.key_size, room = 2 * size + value_bytes;
	u8 *keys = PTR(b->a->keys), *values = PTR(b->a->values), *key = mem_alloc(b->e.mem, room), *last;
	void *previous = PTR(b->a->in_batch);
	int err = 0;

	if (!key)
		return -ENOMEM;
	last = key + size;
	while (b->done < want) {
		err = map_next_key(m, &b->e.hold, previous, key);
		if (err)
			break;
		previous = memcpy(last, key, size);
		err = map_get(m, &b->e.hold, key, keys && values ? values + b->done * value_bytes : last + size, b->a->elem_flags);
		if (err == -ENOENT) /* an empty element of an array of descriptors */
			continue;
		if (!err && keys)
			memcpy(keys + b->done * size, key, size);
		if (!err && (!keys || !values))
			err = -EFAULT;
		if (err)
			break;
		b->done++;
	}
	if (b->done && b->a->out_batch)
		memcpy(PTR(b->a->out_batch), last, size);
	else if (b->done)
		err = -EFAULT;
	mem_free(b->e.mem, key, room);
	return err;
}

static int read_batch(struct sys_call *c, u32 trait, int need, bool take)
{
	u32 cursor = 0, from, want;
	struct batch b;
	int err = batch_open(c, &b, trait, need);

	if (err)
		return err;
	want = b.a->count;
	if (!want)
		return batch_close(&b, 0);
	if (!b.e.map->ops->batch)
		return batch_close(&b, read_by_key(&b, want));
	if (b.a->in_batch)
		memcpy(&cursor, PTR(b.a->in_batch), sizeof(cursor));
	from = cursor;
	b.done = want;
	err = b.e.map->ops->batch(b.e.map, &b.e.hold, &cursor, PTR(b.a->keys), PTR(b.a->values), &b.done, b.a->elem_flags, take);
	if (err == -EFAULT || (err == -ENOENT && cursor == from)) { /* of what has no place none is told; behind the end a cursor stays as it is */
		b.done = 0;
		return batch_close(&b, err);
	}
	if (!b.a->out_batch) { /* what was taken is gone, and told of without a number */
		b.done = 0;
		return batch_close(&b, -EFAULT);
	}
	memcpy(PTR(b.a->out_batch), &cursor, sizeof(cursor));
	return batch_close(&b, err);
}

int sys_map_lookup_batch(struct sys_call *c)
{
	return read_batch(c, KIND_BATCH_GET, NEED_READ, false);
}

int sys_map_take_batch(struct sys_call *c)
{
	return read_batch(c, KIND_BATCH_TAKE, NEED_READ | NEED_WRITE, true);
}

int sys_map_update_batch(struct sys_call *c)
{
	struct batch b;
	u64 value_bytes;
	int err = batch_open(c, &b, KIND_BATCH_SET, NEED_WRITE);
	u32 want;

	if (err)
		return err;
	want = b.a->count;
	if (want && (!b.a->keys || !b.a->values))
		return batch_close(&b, -EFAULT);
	value_bytes = map_value_bytes(b.e.map);
	for (; b.done < want && !err; b.done += !err) {
		err = map_set(b.e.map, &b.e.hold, (u8 *)PTR(b.a->keys) + (u64)b.done * b.e.map->spec.key_size,
			      (u8 *)PTR(b.a->values) + b.done * value_bytes, b.a->elem_flags);
		hold_pass(&b.e.hold);
	}
	return batch_close(&b, err);
}

int sys_map_delete_batch(struct sys_call *c)
{
	struct batch b;
	int err = batch_open(c, &b, KIND_BATCH_DELETE, NEED_WRITE);
	u32 want;

	if (err)
		return err;
	want = b.a->count;
	if (want && !b.a->keys)
		return batch_close(&b, -EFAULT);
	for (; b.done < want && !err; b.done += !err)
		err = map_delete(b.e.map, &b.e.hold, (u8 *)PTR(b.a->keys) + (u64)b.done * b.e.map->spec.key_size);
	return batch_close(&b, err);
}

/* ---- arenas ---- */

/* Room for `bytes` that does not cross a multiple of 4 GiB; nothing holds it. */
static void *free_place(size_t bytes)
{
	const u64 span = 1ull << 32;
	u8 *room = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	u64 at = (u64)(uintptr_t)room;

	if (room == MAP_FAILED)
		return NULL;
	munmap(room, 2 * bytes);
	return PTR(at >> 32 == (at + bytes - 1) >> 32 ? at : ALIGN_UP(at, span));
}

int skep_arena_mmap(struct skep *k, int fd, void **addr, size_t bytes)
{
	struct obj *o;
	struct map *m;
	int err = obj_by_fd(k, fd, OBJ_MAP, 0, &o);
	void *at = *addr;

	if (err)
		return err == -EINVAL ? 0 : err; /* another object, or none of ours */
	m = obj_map(o);
	if (m->ops->traits & KIND_ARENA) {
		if (!at)
			at = map_arena_start(m) ? PTR(map_arena_start(m)) : free_place(bytes);
		err = at ? map_arena_place(m, (u64)(uintptr_t)at, bytes) : -ENOMEM;
		if (!err)
			*addr = at;
	}
	obj_put(o);
	return err;
}
