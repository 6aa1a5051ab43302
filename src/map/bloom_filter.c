/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BLOOM_FILTER: says "not pushed" for certain and "pushed" with some error. Values hash to map_extra & 15 bits (5 when
 * 0); the bits are those of one keyed 64-bit hash, combined twice over (Kirsch and Mitzenmacher 2006).
 *
 * Concurrency: bits are only ever set, each by one atomic operation; no locks, no slot needed. A push that dies half way
 * leaves a few bits set, which is within what a filter may answer.
 */
#include "map/map.h"

#include <linux/bpf.h>

struct bloom {
	struct hash_key key;
	u32 mask, hashes; /* of bits */
};

static _Atomic u64 *bits(const struct map *m)
{
	return (_Atomic u64 *)(m->meta.base + sizeof(struct map_header));
}

/* Linux's size: 7/5 bits per value and hash, rounded up to a power of two, at most 2^32. */
static u32 bit_mask(u32 max_entries, u32 hashes)
{
	u64 n = (u64)max_entries * hashes;

	if (n > UINT32_MAX)
		return UINT32_MAX;
	n = n / 5 * 7;
	if (n > 1ull << 31)
		return UINT32_MAX;
	return n <= 64 ? 63 : (u32)(round_up_pow2(n) - 1);
}

static int bloom_create(struct map *m)
{
	enum { FLAGS = BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG };
	const struct map_spec *s = &m->spec;
	struct bloom *b;
	int err;

	if (s->value_size > MAP_VALUE_MAX)
		return -E2BIG;
	if (s->key_size != 0 || s->value_size == 0 || s->max_entries == 0 || s->flags & ~(u32)FLAGS || s->extra & ~0xfull)
		return -EINVAL;
	b = map_priv(m, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->hashes = s->extra ? (u32)s->extra : 5;
	b->mask = bit_mask(s->max_entries, b->hashes);
	err = map_meta_create(m, ((u64)b->mask + 1) / 8);
	if (err)
		return err;
	hash_key_init(&b->key, s->flags & BPF_F_ZERO_SEED ? 0 : map_head(m)->seed);
	return 0;
}

static int bloom_push(struct map *m, const struct hold *h, const void *value, u64 flags)
{
	const struct bloom *b = m->priv;
	u64 hash = hash_mix(hash_any(&b->key, value, m->spec.value_size)), step = hash >> 32 | 1;

	(void)h;
	if (flags != BPF_ANY)
		return -EINVAL;
	for (u32 i = 0; i < b->hashes; i++, hash += step) {
		u32 bit = (u32)hash & b->mask;
		u64 set = 1ull << (bit & 63);

		if (!(atomic_load_explicit(&bits(m)[bit >> 6], memory_order_relaxed) & set))
			atomic_fetch_or_explicit(&bits(m)[bit >> 6], set, memory_order_relaxed);
	}
	return 0;
}

static int bloom_peek(struct map *m, const struct hold *h, void *value)
{
	const struct bloom *b = m->priv;
	u64 hash = hash_mix(hash_any(&b->key, value, m->spec.value_size)), step = hash >> 32 | 1;

	(void)h;
	for (u32 i = 0; i < b->hashes; i++, hash += step) {
		u32 bit = (u32)hash & b->mask;

		if (!(atomic_load_explicit(&bits(m)[bit >> 6], memory_order_relaxed) >> (bit & 63) & 1))
			return -ENOENT;
	}
	return 0;
}

static int bloom_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	(void)key, (void)flags;
	return bloom_peek(m, h, value);
}

static int bloom_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	(void)key;
	return bloom_push(m, h, value, flags);
}

const struct map_ops bloom_filter_ops = {
	.create = bloom_create,
	.push = bloom_push,
	.peek = bloom_peek,
	.get = bloom_get,
	.set = bloom_set,
	.traits = KIND_INNER | KIND_EXTRA | KIND_VALUE_IN | KIND_PRIVILEGED,
	.refused = EOPNOTSUPP,
};
