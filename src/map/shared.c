/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that a client fills or shares with programs, without elements: USER_RINGBUF (records from the
 * client; the layout is RINGBUF's with the roles exchanged) and ARENA (pages that both sides address).
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
	return err ? err : map_client_create(m, bytes);
}

static int arena_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	(void)m, (void)h, (void)key, (void)value, (void)flags;
	return -EINVAL;
}

static int arena_mmap(struct map *m, u64 offset, u64 size, bool write)
{
	(void)write;
	return in_client(m, offset, size) ? 0 : -EINVAL;
}

const struct map_ops arena_ops = {
	.create = arena_create,
	.get = arena_get,
	.mmap = arena_mmap,
	.traits = KIND_INNER | KIND_EXTRA | KIND_PRIVILEGED | KIND_ARENA,
	.refused = EOPNOTSUPP,
};
