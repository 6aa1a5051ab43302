/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ARRAY and PERCPU_ARRAY: values in a row, found by an address computation.
 *
 * Concurrency: none of its own. Elements exist from creation to the end, so readers and writers need no run slot (per-CPU
 * ones take it for their index). A value is written word by word; BPF_F_LOCK takes the value's spin lock.
 */
#include "map/map.h"

#include <linux/bpf.h>


static int check_spec(const struct map *m, u32 allowed)
{
	const struct map_spec *s = &m->spec;

	if (s->max_entries == 0 || s->key_size != 4 || s->value_size == 0 || s->flags & ~allowed)
		return -EINVAL;
	if (s->value_size > INT32_MAX)
		return -E2BIG;
	return 0;
}

enum { ACCESS_FLAGS = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG };

static int array_create(struct map *m)
{
	u64 bytes = (u64)m->elem_size * m->spec.max_entries;
	int err = check_spec(m, BPF_F_NUMA_NODE | BPF_F_MMAPABLE | BPF_F_INNER_MAP | ACCESS_FLAGS);

	if (err)
		return err;
	if (!(m->spec.flags & BPF_F_MMAPABLE)) {
		err = map_meta_create(m, bytes);
		if (!err)
			m->values = m->meta.base + sizeof(struct map_header);
		return err;
	}
	err = map_meta_create(m, 0);
	err = err ? err : map_client_create(m, bytes);
	m->values = m->client.base;
	return err;
}

static void *array_lookup(struct map *m, const struct hold *h, const void *key)
{
	u32 i = LOAD_AS(u32, key);

	(void)h;
	return i < m->spec.max_entries ? m->values + (u64)i * m->elem_size : NULL;
}

static int array_index(const struct map *m, const void *key, u64 flags, u32 *i)
{
	*i = LOAD_AS(u32, key);
	if ((flags & ~(u64)BPF_F_LOCK) > BPF_EXIST)
		return -EINVAL;
	if (*i >= m->spec.max_entries)
		return -E2BIG;
	return flags & BPF_NOEXIST ? -EEXIST : map_check_update_flags(m, flags);
}

static int array_update(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	u8 *to;
	u32 i;
	int err = array_index(m, key, flags, &i);

	if (err)
		return err;
	to = m->values + (u64)i * m->elem_size;
	if (flags & BPF_F_LOCK)
		err = map_copy_locked(m, h, to, value, to);
	else
		map_copy_value(m, to, value);
	if (!err)
		map_free_value(m, h, to);
	return err;
}

static int array_remove(struct map *m, const struct hold *h, const void *key)
{
	(void)m, (void)h, (void)key;
	return -EINVAL;
}

static int array_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	u8 *from = array_lookup(m, h, key);

	if (!from)
		return -ENOENT;
	if (flags & BPF_F_LOCK) {
		int err = map_copy_locked(m, h, value, from, from);

		if (err)
			return err;
	} else {
		map_copy_value(m, value, from);
	}
	map_clear_special(m, value);
	return 0;
}

static long array_for_each(struct map *m, const struct hold *h, map_visit *fn, void *ud)
{
	u32 i = 0;

	while (i < m->spec.max_entries) {
		u32 key = i++;

		if (fn(ud, &key, m->ops->lookup(m, h, &key)))
			break;
	}
	return i;
}

static bool array_in_value(struct map *m, const void *addr, u64 size)
{
	u64 off = (u64)((const u8 *)addr - m->values), total = (u64)m->elem_size * m->spec.max_entries;

	/* Programs get the address of one value and stay in it; direct value loads (global data) are of element 0. */
	return off < total && size <= m->spec.value_size && off % m->elem_size <= m->spec.value_size - size;
}

static int array_mmap(struct map *m, u64 offset, u64 size, bool write)
{
	if (m->record.n)
		return -ENOTSUPP;
	if (write && m->frozen)
		return -EPERM;
	if (write && m->spec.flags & BPF_F_RDONLY_PROG)
		return -EACCES; /* programs were verified against contents that do not change */
	if (!m->client.base || offset > m->client.size || size > m->client.size - offset)
		return -EINVAL;
	return 0;
}

/* One CPU's values after the other's. */
static void free_values(struct map *m, u64 cpu_bytes, u32 cpus)
{
	for (u32 cpu = 0; map_holds(m) && cpu < cpus; cpu++)
		for (u32 i = 0; i < m->spec.max_entries; i++)
			map_free_value(m, NULL, m->values + cpu * cpu_bytes + (u64)i * m->elem_size);
}

static void array_destroy(struct map *m)
{
	free_values(m, 0, 1);
}

const struct map_ops array_ops = {
	.create = array_create,
	.destroy = array_destroy,
	.lookup = array_lookup,
	.update = array_update,
	.remove = array_remove,
	.for_each = array_for_each,
	.get = array_get,
	.set = array_update,
	.next_key = map_index_next_key,
	.in_value = array_in_value,
	.mmap = array_mmap,
	.traits = KIND_STEADY | KIND_INDEXED | KIND_INNER | KIND_LOCKS | KIND_TIMERS | KIND_BATCH_GET_SET,
	.refused = EINVAL,
};

/* ---- per CPU: all values of CPU 0, then of CPU 1, ... so that no cache line belongs to two ---- */

static u64 stride(const struct map *m)
{
	return ALIGN_UP((u64)m->elem_size * m->spec.max_entries, 128);
}

static u8 *cpu_value(const struct map *m, u32 i, u32 cpu)
{
	return m->values + cpu * stride(m) + (u64)i * m->elem_size;
}

static int percpu_array_create(struct map *m)
{
	int err = check_spec(m, map_node_flag(m) | ACCESS_FLAGS);

	if (err)
		return err;
	if (m->elem_size > 32768) /* PCPU_MIN_UNIT_SIZE */
		return -E2BIG;
	m->cpu_stride = stride(m);
	err = map_meta_create(m, m->cpu_stride * domain_cpus(m->domain));
	if (!err)
		m->values = m->meta.base + sizeof(struct map_header);
	return err;
}

static void *percpu_array_lookup_cpu(struct map *m, const struct hold *h, const void *key, u32 cpu)
{
	u32 i = LOAD_AS(u32, key);

	(void)h;
	return i < m->spec.max_entries && cpu < domain_cpus(m->domain) ? cpu_value(m, i, cpu) : NULL;
}

static void *percpu_array_lookup(struct map *m, const struct hold *h, const void *key)
{
	u32 i = LOAD_AS(u32, key);

	return i < m->spec.max_entries ? cpu_value(m, i, h->index) : NULL;
}

static int percpu_array_update(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	u32 i;
	int err = array_index(m, key, flags, &i);

	if (err)
		return err;
	map_copy_value(m, cpu_value(m, i, h->index), value);
	map_free_value(m, h, cpu_value(m, i, h->index));
	return 0;
}

static int percpu_array_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	u32 i;
	int err = array_index(m, key, flags, &i);

	if (err)
		return err;
	for (u32 cpu = 0; cpu < domain_cpus(m->domain); cpu++) {
		map_copy_padded(m, cpu_value(m, i, cpu), (const u8 *)value + (u64)cpu * m->elem_size);
		map_free_value(m, h, cpu_value(m, i, cpu));
	}
	return 0;
}

static int percpu_array_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	u32 i = LOAD_AS(u32, key);

	(void)h, (void)flags;
	if (i >= m->spec.max_entries)
		return -ENOENT;
	for (u32 cpu = 0; cpu < domain_cpus(m->domain); cpu++) {
		map_copy_padded(m, (u8 *)value + (u64)cpu * m->elem_size, cpu_value(m, i, cpu));
		map_clear_special(m, (u8 *)value + (u64)cpu * m->elem_size);
	}
	return 0;
}

static bool percpu_array_in_value(struct map *m, const void *addr, u64 size)
{
	u64 off = (u64)((const u8 *)addr - m->values), in_cpu = off % stride(m);

	return off / stride(m) < domain_cpus(m->domain) && in_cpu < (u64)m->elem_size * m->spec.max_entries &&
	       size <= m->spec.value_size && in_cpu % m->elem_size <= m->spec.value_size - size;
}

static void percpu_array_destroy(struct map *m)
{
	free_values(m, m->cpu_stride, domain_cpus(m->domain));
}

const struct map_ops percpu_array_ops = {
	.create = percpu_array_create,
	.destroy = percpu_array_destroy,
	.lookup = percpu_array_lookup,
	.lookup_cpu = percpu_array_lookup_cpu,
	.update = percpu_array_update,
	.remove = array_remove,
	.for_each = array_for_each,
	.get = percpu_array_get,
	.set = percpu_array_set,
	.next_key = map_index_next_key,
	.in_value = percpu_array_in_value,
	.traits = KIND_PER_CPU | KIND_INDEXED | KIND_INNER | KIND_BATCH_GET_SET,
	.refused = EINVAL,
};
