/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PROG_ARRAY and ARRAY_OF_MAPS: elements are ids of the engine's objects, 0 when empty; bpf(2) writes
 * descriptors. Programs find the objects themselves in a table beside, in memory of this process alone.
 *
 * Concurrency: writers exchange both words of an element under a lock, runs read one of them. The reference that
 * was in it goes back through host->object_put, which keeps the object until all runs that may have seen it have
 * ended. Ids mean something in one engine only, so they never lie in a pin file: nobody else can write them, and a
 * map that is opened from a pin is empty.
 */
#include "map/fd_array.h"

#include <linux/bpf.h>
#include <unistd.h>

static _Atomic u32 *element(const struct map *m, u32 i)
{
	return (_Atomic u32 *)(m->meta.base + sizeof(struct map_header)) + i;
}

int fd_array_create(struct map *m, u32 extra_flags)
{
	const struct map_spec *s = &m->spec;

	if (s->max_entries == 0 || s->key_size != 4 || s->value_size != 4 ||
	    s->flags & ~(BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | extra_flags))
		return -EINVAL;
	return map_meta_create(m, (u64)s->max_entries * sizeof(u32));
}

static int create(struct map *m)
{
	int err = fd_array_create(m, 0);

	return err ? err : map_objects_create(m);
}

static bool put(struct map *m, u32 i, u32 id)
{
	u32 old;

	plain_lock_take(&m->objects_lock);
	old = atomic_exchange(element(m, i), id);
	if (map_objects(m))
		atomic_store_explicit(&map_objects(m)[i], id ? m->host->object_at(m->host->ud, m, id) : NULL, memory_order_release);
	plain_lock_drop(&m->objects_lock);
	if (old)
		m->host->object_put(m->host->ud, m, old);
	return old != 0;
}

/* Only where something was ever written: looking at a page of the file makes one. */
void fd_array_clear(struct map *m)
{
	const u64 head = sizeof(struct map_header), end = head + (u64)m->spec.max_entries * sizeof(u32);
	off_t data = m->meta.fd < 0 ? -1 : lseek(m->meta.fd, (off_t)head, SEEK_DATA), hole;

	for (; data >= 0; data = lseek(m->meta.fd, hole, SEEK_DATA)) {
		hole = lseek(m->meta.fd, data, SEEK_HOLE);
		if (hole < 0)
			return;
		for (u64 at = MAX((u64)data, head); at < MIN((u64)hole, end); at += sizeof(u32)) {
			u32 index = (u32)((at - head) / sizeof(u32));

			if (fd_array_id(m, index))
				put(m, index, 0);
		}
	}
}

int fd_array_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	u32 id = fd_array_id(m, LOAD_AS(u32, key));

	(void)h, (void)flags;
	if (!id)
		return -ENOENT;
	STORE_AS(u32, value, id);
	return 0;
}

int fd_array_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	u32 i = LOAD_AS(u32, key), id;
	int err;

	(void)h;
	if (flags != BPF_ANY)
		return -EINVAL;
	if (i >= m->spec.max_entries)
		return -E2BIG;
	err = map_object_get(m, LOAD_AS(u32, value), &id);
	if (!err)
		put(m, i, id);
	return err;
}

int fd_array_remove(struct map *m, const struct hold *h, const void *key)
{
	u32 i = LOAD_AS(u32, key);

	(void)h;
	if (i >= m->spec.max_entries)
		return -E2BIG;
	return put(m, i, 0) ? 0 : -ENOENT;
}

static void *object(const struct map *m, u32 index)
{
	return index < m->spec.max_entries ? atomic_load_explicit(&map_objects(m)[index], memory_order_acquire) : NULL;
}

static void *prog_array_entry(struct map *m, const struct hold *h, u32 index)
{
	(void)h;
	return object(m, index);
}

/* Programs may refer to each other in a circle through an array of programs; clients' descriptors and pins
 * are what keeps its contents alive. */
const struct map_ops prog_array_ops = {
    .create = create,
    .destroy = fd_array_clear,
    .release = fd_array_clear,
    .entry = prog_array_entry,
    .remove = fd_array_remove,
    .get = fd_array_get,
    .set = fd_array_set,
    .next_key = map_index_next_key,
    .traits = KIND_FD_VALUES | KIND_PROGRAMS,
    .refused = EINVAL,
};

static int array_of_maps_create(struct map *m)
{
	int err = create(m);

	return err ? err : map_outer_check(m);
}

static void *array_of_maps_lookup(struct map *m, const struct hold *h, const void *key)
{
	const struct map *inner = object(m, LOAD_AS(u32, key));

	(void)h;
	return inner ? inner->meta.base : NULL;
}

const struct map_ops array_of_maps_ops = {
    .create = array_of_maps_create,
    .destroy = fd_array_clear,
    .lookup = array_of_maps_lookup,
    .remove = fd_array_remove,
    .get = fd_array_get,
    .set = fd_array_set,
    .next_key = map_index_next_key,
    .traits = KIND_FD_VALUES | KIND_OUTER | KIND_BATCH_GET_SET | KIND_NO_TYPES,
    .refused = EINVAL,
};
