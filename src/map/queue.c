/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QUEUE and STACK: values in a circle of max_entries + 1 places. Key idea: one 64-bit word says which places
 * are in use (first place, count), so that every operation becomes visible by one store.
 *
 * Concurrency: one owned lock for all operations. A value is written into a place that is not in use before
 * the word makes it part of the queue, and copied out before the word gives the place up; whoever dies in
 * between leaves a complete queue, with the operation either done or not begun. There is nothing to repair.
 */
#include "map/map.h"

#include <linux/bpf.h>

struct queue {
	owned_lock lock;
	u32 reserved;
	_Atomic u64 state; /* low half: first place; high half: count */
	u64 align_[6];
	u8 values[];
};
_Static_assert(sizeof(struct queue) == 64, "values begin on a cache line");

struct span {
	u32 first, count, places;
};

static struct queue *queue(const struct map *m)
{
	return (struct queue *)(m->meta.base + sizeof(struct map_header));
}

static u8 *place(const struct map *m, u32 i)
{
	return queue(m)->values + (u64)i * m->elem_size;
}

/* What another process may have scribbled over a pinned queue is brought into bounds here, and nowhere else.
 */
static struct span load(const struct map *m)
{
	u64 state = atomic_load_explicit(&queue(m)->state, memory_order_relaxed);
	struct span s = {.places = m->spec.max_entries + 1};

	s.first = (u32)state < s.places ? (u32)state : 0;
	s.count = MIN((u32)(state >> 32), m->spec.max_entries);
	return s;
}

static void store(const struct map *m, const struct span *s)
{
	atomic_store_explicit(&queue(m)->state, (u64)s->count << 32 | s->first, memory_order_release);
}

static u32 nth(const struct span *s, u32 n)
{
	u64 at = (u64)s->first + n;

	return (u32)(at < s->places ? at : at - s->places);
}

static int queue_create(struct map *m)
{
	enum {
		FLAGS = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG
	};
	const struct map_spec *s = &m->spec;
	int err;

	if (s->max_entries == 0 || s->key_size != 0 || s->value_size == 0 || s->flags & ~(u32)FLAGS)
		return -EINVAL;
	if (s->value_size > MAP_VALUE_MAX)
		return -E2BIG;
	if (s->max_entries == UINT32_MAX)
		return -ENOMEM;
	err = map_meta_create(m, sizeof(struct queue) + (u64)m->elem_size * (s->max_entries + 1));
	if (!err && m->adopting && m->alone)
		atomic_store(&queue(m)->lock, 0);
	return err;
}

static int queue_push(struct map *m, const struct hold *h, const void *value, u64 flags)
{
	struct span s;
	int err;

	if (flags != BPF_ANY && flags != BPF_EXIST)
		return -EINVAL;
	err = owned_lock_take(h, &queue(m)->lock);
	if (err < 0)
		return err;
	err = 0;
	s = load(m);
	if (s.count < m->spec.max_entries || flags == BPF_EXIST) {
		map_copy_words(place(m, nth(&s, s.count)), value, m->spec.value_size);
		if (s.count < m->spec.max_entries)
			s.count++;
		else
			s.first = nth(&s, 1);
		store(m, &s);
	} else {
		err = -E2BIG;
	}
	owned_lock_drop(h, &queue(m)->lock);
	return err;
}

static int get_value(struct map *m, const struct hold *h, void *value, bool newest, bool take)
{
	struct span s;
	int err = owned_lock_take(h, &queue(m)->lock);

	if (err < 0)
		return err;
	err = 0;
	s = load(m);
	if (s.count == 0) {
		err = -ENOENT;
	} else {
		map_copy_words(value, place(m, nth(&s, newest ? s.count - 1 : 0)), m->spec.value_size);
		if (take) {
			if (!newest)
				s.first = nth(&s, 1);
			s.count--;
			store(m, &s);
		}
	}
	owned_lock_drop(h, &queue(m)->lock);
	return err;
}

/* Programs find zeros where there is nothing; clients, what was there before. */
static int get_or_clear(struct map *m, const struct hold *h, void *value, bool newest, bool take)
{
	int err = get_value(m, h, value, newest, take);

	if (err)
		memset(value, 0, m->spec.value_size);
	return err;
}

static int queue_pop(struct map *m, const struct hold *h, void *value)
{
	return get_or_clear(m, h, value, false, true);
}

static int queue_peek(struct map *m, const struct hold *h, void *value)
{
	return get_or_clear(m, h, value, false, false);
}

static int stack_pop(struct map *m, const struct hold *h, void *value)
{
	return get_or_clear(m, h, value, true, true);
}

static int stack_peek(struct map *m, const struct hold *h, void *value)
{
	return get_or_clear(m, h, value, true, false);
}

static int queue_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	(void)key, (void)flags;
	return get_value(m, h, value, m->spec.kind == BPF_MAP_TYPE_STACK, false);
}

static int queue_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	(void)key;
	return queue_push(m, h, value, flags);
}

static int queue_take(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	(void)key;
	return flags ? -EINVAL : get_value(m, h, value, m->spec.kind == BPF_MAP_TYPE_STACK, true);
}

#define QUEUE_OPS(pop_fn, peek_fn)                                                                           \
	{                                                                                                    \
		.create = queue_create, .push = queue_push, .pop = pop_fn, .peek = peek_fn,                  \
		.get = queue_get, .set = queue_set, .take = queue_take,                                      \
		.traits = KIND_INNER | KIND_PRIVILEGED, .refused = EINVAL,                                   \
	}

const struct map_ops queue_ops = QUEUE_OPS(queue_pop, queue_peek);
const struct map_ops stack_ops = QUEUE_OPS(stack_pop, stack_peek);
