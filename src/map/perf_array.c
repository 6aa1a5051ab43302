/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PERF_EVENT_ARRAY: per-CPU rings of a client, each a perf event descriptor that the engine emulates (perf_ring.c).
 *
 * Concurrency: elements as in fd_array.c. A ring has its own lock; the engine keeps it until runs that may use it ended.
 */
#include "map/fd_array.h"

#include <linux/bpf.h>
#include <unistd.h>

/* How many CPUs are online: clients listen to those. There are more run slots where the machine could have more CPUs. */
struct priv {
	u32 online;
};

static int perf_array_create(struct map *m)
{
	struct priv *p = map_priv(m, sizeof(*p));
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (!p)
		return -ENOMEM;
	p->online = online > 0 ? (u32)online : 1;
	return fd_array_create(m, BPF_F_PRESERVE_ELEMS);
}

/* A run slot beyond those that clients take for CPUs writes to the ring of one of these: none of its samples is to be missed. */
static u32 stand_in(const struct map *m, u32 slot)
{
	u32 online = MIN(((const struct priv *)m->priv)->online, m->spec.max_entries);

	return slot >= online && !fd_array_id(m, slot) ? slot % online : slot;
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
	u32 cpu = h->index, id;

	if (flags & ~(BPF_F_INDEX_MASK | MAP_EVENT_TRY))
		return -EINVAL;
	if (index == BPF_F_CURRENT_CPU)
		index = cpu = stand_in(m, h->index);
	if (index >= m->spec.max_entries)
		return -E2BIG;
	id = fd_array_id(m, (u32)index);
	r = id ? m->host->object_at(m->host->ud, m, id) : NULL;
	if (!r)
		return -ENOENT;
	if (!r->output)
		return -EINVAL;
	if (r->cpu >= 0 && (u32)r->cpu != cpu)
		return -EOPNOTSUPP;
	return perf_ring_output(r, h, parts, n, flags & MAP_EVENT_TRY);
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
