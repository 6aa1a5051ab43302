/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that a client fills, without elements: USER_RINGBUF (records from the client; the layout is RINGBUF's with the roles exchanged).
 *
 * Concurrency: the map does nothing but lie there; who uses it orders accesses itself. All bytes are the
 * client's, so untrusted.
 */
#include "map/map.h"

#include <linux/bpf.h>

enum { PAGE = 4096 };

static bool in_client(const struct map *m, u64 offset, u64 size)
{
	return offset <= m->client.size && size <= m->client.size - offset;
}

static int user_ringbuf_create(struct map *m)
{
	const struct map_spec *s = &m->spec;
	int err;

	if (s->flags & ~(u32)BPF_F_NUMA_NODE || s->key_size || s->value_size || s->max_entries == 0 ||
	    s->max_entries & (s->max_entries - 1) || s->max_entries % PAGE)
		return -EINVAL;
	err = map_meta_create(m, 0);
	return err ? err : map_client_create(m, 2 * PAGE + 2ull * s->max_entries);
}

static int user_ringbuf_mmap(struct map *m, u64 offset, u64 size, bool write)
{
	if (write && offset == 0)
		return -EPERM; /* the consumer's position is the program's */
	return in_client(m, offset, size) ? 0 : -EINVAL;
}

const struct map_ops user_ringbuf_ops = {
	.create = user_ringbuf_create,
	.mmap = user_ringbuf_mmap,
	.traits = KIND_INNER,
};
