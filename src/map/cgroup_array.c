/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CGROUP_ARRAY: control groups by index, for programs that ask whether a task is below one. bpf(2) writes a descriptor of a cgroup's folder; what is kept is the
 * cgroup's id, the number of its inode, which is how tasks tell theirs.
 *
 * Concurrency: an element is one word, exchanged whole; 0 when empty.
 */
#include "map/map.h"

#include <linux/bpf.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

static _Atomic u64 *element(const struct map *m, u32 i)
{
	return (_Atomic u64 *)(m->meta.base + sizeof(struct map_header)) + i;
}

static int cgroup_array_create(struct map *m)
{
	const struct map_spec *s = &m->spec;

	if (s->max_entries == 0 || s->key_size != 4 || s->value_size != 4 ||
	    s->flags & ~(u32)(BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY))
		return -EINVAL;
	return map_meta_create(m, (u64)s->max_entries * sizeof(u64));
}

static int cgroup_array_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	u32 i = LOAD_AS(u32, key);
	struct statfs fs;
	struct stat st;

	(void)h;
	if (flags != BPF_ANY)
		return -EINVAL;
	if (i >= m->spec.max_entries)
		return -E2BIG;
	if (fstatfs((int)LOAD_AS(u32, value), &fs) || fs.f_type != CGROUP2_SUPER_MAGIC || fstat((int)LOAD_AS(u32, value), &st) || !S_ISDIR(st.st_mode))
		return -EBADF;
	atomic_store(element(m, i), st.st_ino);
	return 0;
}

static int cgroup_array_remove(struct map *m, const struct hold *h, const void *key)
{
	u32 i = LOAD_AS(u32, key);

	(void)h;
	if (i >= m->spec.max_entries)
		return -E2BIG;
	return atomic_exchange(element(m, i), 0) ? 0 : -ENOENT;
}

static u64 cgroup_array_at(struct map *m, u32 index)
{
	return index < m->spec.max_entries ? atomic_load_explicit(element(m, index), memory_order_relaxed) : 0;
}

const struct map_ops cgroup_array_ops = {
	.create = cgroup_array_create,
	.remove = cgroup_array_remove,
	.set = cgroup_array_set,
	.next_key = map_index_next_key,
	.cgroup_at = cgroup_array_at,
	.traits = KIND_FD_VALUES | KIND_INNER | KIND_NO_TYPES,
};
