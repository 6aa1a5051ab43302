/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PERF_EVENT_ARRAY: per-CPU rings of a client, each a perf event descriptor that the engine emulates (perf_ring.c).
 *
 * Concurrency: elements as in fd_array.c. A ring has its own lock; the engine keeps it until runs that may use it ended.
 */
#include "map/fd_array.h"

#include <linux/bpf.h>

static int perf_array_create(struct map *m)
{
	return fd_array_create(m, BPF_F_PRESERVE_ELEMS);
}

/* Samples go to whoever still holds the map: unless told otherwise, the rings go with its last descriptor. */
static void perf_array_release(struct map *m)
{
	if (!(m->spec.flags & BPF_F_PRESERVE_ELEMS))
		fd_array_clear(m);
}

static int perf_array_event(struct map *m, const struct hold *h, u64 flags, const struct map_bytes *parts, u32 n)
{
	u64 index = flags & BPF_F_INDEX_MASK;
	struct perf_ring *r;
	u32 id;

	if (flags & ~(u64)BPF_F_INDEX_MASK)
		return -EINVAL;
	if (index == BPF_F_CURRENT_CPU)
		index = h->index;
	if (index >= m->spec.max_entries)
		return -E2BIG;
	id = fd_array_id(m, (u32)index);
	r = id ? m->host->object_at(m->host->ud, m, id) : NULL;
	if (!r)
		return -ENOENT;
	if (!r->output)
		return -EINVAL;
	if (r->cpu >= 0 && (u32)r->cpu != h->index)
		return -EOPNOTSUPP;
	return perf_ring_output(r, h, parts, n);
}

const struct map_ops perf_array_ops = {
	.create = perf_array_create,
	.destroy = fd_array_clear,
	.release = perf_array_release,
	.event = perf_array_event,
	.remove = fd_array_remove,
	.set = fd_array_set,
	.next_key = map_index_next_key,
	.traits = KIND_FD_VALUES | KIND_INNER | KIND_NO_TYPES,
};
