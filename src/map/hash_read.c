/* SPDX-License-Identifier: BSD-2-Clause */
/* What reads more than one element of a hash, or its values for bpf(2): values, keys in turn, visits, batches. Concurrency: as stated in hash.c. */
#include "map/hash.h"

#include <linux/bpf.h>

/* All CPUs' values, but for what their special fields hold. */
void hash_copy_cpus(const struct map *m, u8 *to, const u8 *from)
{
	const struct hash *t = hash_of(m);

	if (!m->record.n) {
		map_copy_words(to, from, t->value_bytes);
		return;
	}
	for (u32 i = 0; i < t->n_slots; i++)
		map_copy_padded(m, to + (u64)i * m->elem_size, from + (u64)i * m->elem_size);
}

void hash_copy_out(struct map *m, void *value, struct hash_node *n)
{
	struct hash *t = hash_of(m);

	if (t->percpu) {
		hash_copy_cpus(m, value, hash_value(t, n));
		for (u32 i = 0; m->record.n && i < t->n_slots; i++)
			map_clear_special(m, (u8 *)value + (u64)i * m->elem_size);
		return;
	}
	map_copy_value(m, value, hash_value(t, n));
	map_clear_special(m, value);
}

/* ---- bpf(2) reads ---- */

int hash_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	for (u32 tries = 0;; tries++) {
		struct hash_node *n = hash_find(m, key);
		u32 uses;

		if (!n)
			return -ENOENT;
		if (flags & BPF_F_LOCK) {
			u8 *from = hash_value(hash_of(m), n);
			int err = map_copy_locked(m, h, value, from, from);

			if (!err)
				map_clear_special(m, value);
			return err;
		}
		uses = atomic_load_explicit(&n->uses, memory_order_acquire);
		hash_copy_out(m, value, n);
		atomic_thread_fence(memory_order_acquire);
		/* The node was given out anew while it was copied: what was read may be a mixture. */
		if (atomic_load_explicit(&n->uses, memory_order_relaxed) == uses || tries > 1000)
			return 0;
	}
}

/* First element of the first bucket from `bucket` on that has one. */
static struct hash_node *first_from(const struct hash *t, u32 bucket)
{
	for (; bucket <= t->mask; bucket++) {
		u32 at = atomic_load_explicit(&t->buckets[bucket].head, memory_order_acquire);

		if (at && !(at & HASH_END) && at <= t->n_nodes)
			return hash_node_at(t, at - 1);
	}
	return NULL;
}

int hash_next_key(struct map *m, const struct hold *h, const void *key, void *next)
{
	struct hash *t = hash_of(m);
	struct hash_node *n = key ? hash_find(m, key) : NULL;
	u32 at = n ? atomic_load_explicit(&n->next, memory_order_acquire) : 0;

	(void)h;
	if (!n)
		n = first_from(t, 0);
	else if (at && !(at & HASH_END) && at <= t->n_nodes)
		n = hash_node_at(t, at - 1);
	else
		n = first_from(t, (peek(&n->hash) & t->mask) + 1);
	if (!n)
		return -ENOENT;
	memcpy(next, n->key, m->spec.key_size);
	return 0;
}

long hash_for_each(struct map *m, const struct hold *h, map_visit *fn, void *ud)
{
	struct hash *t = hash_of(m);
	long seen = 0;

	for (u32 b = 0; b <= t->mask; b++) {
		u32 steps = 0;

		for (u32 at = atomic_load_explicit(&t->buckets[b].head, memory_order_acquire);
		     at && !(at & HASH_END) && at <= t->n_nodes && steps++ <= t->n_nodes;) {
			struct hash_node *n = hash_node_at(t, at - 1);
			u8 *value = hash_value(t, n) + (t->percpu ? (u64)h->index * m->elem_size : 0);

			at = atomic_load_explicit(&n->next, memory_order_acquire);
			seen++;
			if (fn(ud, n->key, value))
				return seen;
		}
	}
	return seen;
}

/* ---- batches: whole buckets, as Linux; the cursor is the next bucket ---- */

static u32 chain_length(const struct hash *t, u32 bucket)
{
	u32 n = 0;

	for (u32 at = atomic_load(&t->buckets[bucket].head); at && !(at & HASH_END) && at <= t->n_nodes && n <= t->n_nodes; n++)
		at = atomic_load(&hash_node_at(t, at - 1)->next);
	return n;
}

static int batch_bucket(struct map *m, const struct hold *h, struct hash_slot *s, u32 bucket, u8 *keys, u8 *values, u32 room,
			u32 *got, bool remove)
{
	struct hash *t = hash_of(m);
	u32 value_out = t->percpu ? t->value_bytes : m->spec.value_size, n = 0;
	struct hash_bucket *b;
	int err;

	*got = 0;
	if (atomic_load(&t->buckets[bucket].head) == 0)
		return 0;
	err = hash_lock(m, h, s, bucket, &b);
	if (err)
		return err;
	hash_name_bucket(m, s, b);
	if (chain_length(t, bucket) > room)
		err = -ENOSPC;
	for (u32 at = atomic_load(&b->head); !err && at && !(at & HASH_END) && at <= t->n_nodes && n < room; n++) {
		struct hash_spot spot = {.node = hash_node_at(t, at - 1), .place = &b->head, .index = at - 1};

		at = atomic_load(&spot.node->next);
		if (keys)
			memcpy(keys + (u64)n * m->spec.key_size, spot.node->key, m->spec.key_size);
		if (values)
			hash_copy_out(m, values + (u64)n * value_out, spot.node);
		if (remove) /* the first one: those before it are gone */
			hash_unlink(m, h, s, &spot);
	}
	owned_lock_drop(h, &b->lock);
	*got = n;
	return err;
}

static u8 *place(void *first, u32 n, u32 size)
{
	return first ? (u8 *)first + (u64)n * size : NULL;
}

int hash_batch_to(struct map *m, const struct hold *h, u32 *cursor, const struct hash_places *to, u32 *count, u64 flags, bool take_them)
{
	struct hash *t = hash_of(m);
	u32 value_out = t->percpu ? t->value_bytes : m->spec.value_size, total = 0, room = *count, bucket = *cursor;
	struct hash_slot *s;
	int err;

	if (flags & ~(u64)BPF_F_LOCK || (flags & BPF_F_LOCK && !m->record.spin_lock))
		return -EINVAL;
	*count = 0;
	if (bucket > t->mask)
		return -ENOENT;
	err = hash_begin(m, h, &s);
	if (err)
		return err;
	for (; bucket <= t->mask && !err; bucket += !err) {
		u32 got;

		hash_prepare(m, h, s);
		err = batch_bucket(m, h, s, bucket, place(to->keys, total, m->spec.key_size), place(to->values, total, value_out), room - total,
				   &got, take_them);
		total += got;
		if (!err && got && to->incomplete)
			err = -EFAULT;
	}
	hash_end(s);
	*count = total;
	*cursor = bucket;
	if (err == -ENOSPC && total)
		err = 0;
	return err ? err : bucket > t->mask ? -ENOENT : 0;
}

/* As Linux, who copies bucket by bucket: what has no place is found out behind the first one that has elements, which are then gone. */
int hash_batch(struct map *m, const struct hold *h, u32 *cursor, void *keys, void *values, u32 *count, u64 flags, bool take_them)
{
	struct hash_places to = {.keys = keys, .values = keys ? values : NULL, .incomplete = !keys || !values};

	return hash_batch_to(m, h, cursor, &to, count, flags, take_them);
}
