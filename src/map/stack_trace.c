/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * STACK_TRACE: call chains by a number that their bytes hash to, in places as frames.h has them.
 *
 * Concurrency: a place's words are written before its count; a reader of a place that is replaced meanwhile
 * gets a mixture, as in Linux, where the number of a trace is good as long as nothing else hashed to it.
 */
#include "map/frames.h"
#include "map/map.h"

static u32 places(const struct map *m)
{
	u32 n = 1;

	while (n < m->spec.max_entries)
		n *= 2;
	return n;
}

struct stack_places stack_places_of(const struct map *m)
{
	return (struct stack_places){m->meta.base + sizeof(struct map_header), 8 + m->elem_size, places(m)};
}

static u8 *place(const struct map *m, u32 i)
{
	struct stack_places p = stack_places_of(m);

	return stack_place(&p, i);
}

static _Atomic u64 *words_at(const struct map *m, u32 i)
{
	return (_Atomic u64 *)place(m, i);
}

static int stack_trace_create(struct map *m)
{
	enum { BUILD_ID_BYTES = 32 };
	enum { FLAGS = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_STACK_BUILD_ID };
	const struct map_spec *s = &m->spec;
	u32 each = s->flags & BPF_F_STACK_BUILD_ID ? BUILD_ID_BYTES : 8;

	if (s->flags & ~(u32)FLAGS || s->max_entries == 0 || s->key_size != 4 || s->value_size < 8 ||
	    s->value_size % each || s->value_size / each > FRAMES_MOST)
		return -EINVAL;
	if (s->max_entries > 1u << 31)
		return -E2BIG;
	return map_meta_create(m, (u64)places(m) * (8 + m->elem_size));
}

static int stack_trace_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	u32 i = LOAD_AS(u32, key);
	u64 n;

	(void)h, (void)flags;
	if (i >= places(m))
		return -ENOENT;
	n = MIN(atomic_load_explicit(words_at(m, i), memory_order_acquire) * 8, (u64)m->spec.value_size);
	if (!n)
		return -ENOENT;
	map_copy_words(value, place(m, i) + 8, n);
	memset((u8 *)value + n, 0, m->spec.value_size - n);
	return 0;
}

static int stack_trace_take(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	int err = flags ? -EINVAL : stack_trace_get(m, h, key, value, 0);

	if (!err)
		atomic_store(words_at(m, LOAD_AS(u32, key)), 0);
	return err;
}

static int stack_trace_remove(struct map *m, const struct hold *h, const void *key)
{
	u32 i = LOAD_AS(u32, key);

	(void)h;
	if (i >= places(m))
		return -E2BIG;
	return atomic_exchange(words_at(m, i), 0) ? 0 : -ENOENT;
}

static int stack_trace_next_key(struct map *m, const struct hold *h, const void *key, void *next)
{
	u32 n = places(m), i = key ? LOAD_AS(u32, key) : 0;

	(void)h;
	if (key)
		i = i >= n || !atomic_load(words_at(m, i)) ? 0 : i + 1;
	while (i < n && !atomic_load(words_at(m, i)))
		i++;
	if (i >= n)
		return -ENOENT;
	STORE_AS(u32, next, i);
	return 0;
}

static s64 stack_trace_id(struct map *m, const struct hold *h, const u64 *frames, u32 n, u64 flags)
{
	bool build_ids = m->spec.flags & BPF_F_STACK_BUILD_ID;
	u32 each = build_ids ? sizeof(struct bpf_stack_build_id) : 8, hash, i, words;
	struct bpf_stack_build_id ids[FRAMES_MOST];
	u64 have;
	u8 *at;

	(void)h;
	n = MIN(n, m->spec.value_size / each);
	hash = frames_hash(frames, n);
	i = hash & (places(m) - 1);
	at = place(m, i) + 8;
	words = n * each / 8;
	for (u32 f = 0; f < n && build_ids; f++) /* as Linux does where a build id cannot be had */
		ids[f] = (struct bpf_stack_build_id){.status = BPF_STACK_BUILD_ID_IP, .ip = frames[f]};
	have = MIN(atomic_load_explicit(words_at(m, i), memory_order_acquire), (u64)m->spec.value_size / 8);
	if (have == words && !memcmp(at, build_ids ? (const void *)ids : frames, (size_t)words * 8))
		return i;
	if (have && flags & BPF_F_FAST_STACK_CMP && !build_ids && frames_hash((const u64 *)(const void *)at, (u32)have) == hash)
		return i;
	if (have && !(flags & BPF_F_REUSE_STACKID))
		return -EEXIST;
	atomic_store(words_at(m, i), 0);
	map_copy_words(at, build_ids ? (const void *)ids : frames, (size_t)words * 8);
	atomic_store_explicit(words_at(m, i), words, memory_order_release);
	return i;
}

const struct map_ops stack_trace_ops = {
	.stack_id = stack_trace_id,
	.create = stack_trace_create,
	.remove = stack_trace_remove,
	.get = stack_trace_get,
	.take = stack_trace_take,
	.next_key = stack_trace_next_key,
	.traits = KIND_INNER | KIND_NO_TYPES | KIND_PRIVILEGED,
	.refused = EINVAL,
};
