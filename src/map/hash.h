/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hash family's table of elements, shared by its kinds: hash.c holds nodes and chains, hash_ops.c what the
 * kinds do with them. Layout of the meta region behind the header:
 *
 *     struct hash_slot[run slots]   caches and intent records, one per run slot
 *     struct hash_bucket[power of two]
 *     struct hash_node[nodes], each `stride` bytes: header, key (8-aligned), value (8-aligned; per CPU: one per slot)
 */
#ifndef SKEP_MAP_HASH_H
#define SKEP_MAP_HASH_H

#include "map/map.h"

#ifdef SKEP_HOSTILE
enum { HASH_CACHE = 2, HASH_BATCH = 1, HASH_LIMBOS = 2, HASH_PARTS = 3, HASH_PARTS_LEAST = 2, HASH_PART = 1 };
#else
enum { HASH_CACHE = 128, HASH_BATCH = 64, HASH_LIMBOS = 4, HASH_PARTS = 32, HASH_PARTS_LEAST = 4, HASH_PART = 128 };
#endif
enum { HASH_SPARE = HASH_CACHE + HASH_LIMBOS * HASH_BATCH }; /* nodes that one slot may keep to itself, besides its ring */
enum { HASH_RING = HASH_PARTS * (HASH_PART + 1) };

struct hash_bucket {
	_Atomic u32 head; /* node + 1, or an end mark */
	owned_lock lock;
};

struct hash_node {
	union {
		struct {
			_Atomic u32 next; /* node + 1, or HASH_END | bucket */
			_Atomic u32 hash;
		};
		_Atomic u64 chain; /* both at once */
	};
	union {
		struct {
			_Atomic u32 uses; /* times it was given out << 10 | run slot that has or had it: a reader that copied it looks again */
			_Atomic u8 live, recent; /* LRU: linked; looked up since the hand last passed */
			u8 reserved[2];
		};
		_Atomic u64 state;
	};
	u8 key[];
};

/* Written only by the holder of the run slot, and by whoever repairs after its death. All of it is atomic: others look at it
 * while they repair, and what another process can write is read once, then checked. */
struct hash_slot {
	_Atomic u32 generation; /* of the run slot, when the owner last used this map */
	_Atomic u32 busy; /* an operation is under way: a nested one is refused */
	_Atomic u64 swap; /* node + 1 whose place the ring's next node takes; 0: none. High half: its bucket */
	_Atomic u32 turn; /* where the ring's next node is */
	_Atomic u32 n_free;
	_Atomic u32 young; /* which limbo takes retired nodes; the next ones, oldest first, wait for their epochs */
	_Atomic u32 n_limbo[HASH_LIMBOS];
	_Atomic u64 tally; /* low half: elements added minus removed; high half: last node counted + 1, top bit: removed */
	_Atomic u32 intent_new, intent_old; /* node + 1 that an operation is putting in, taking out; 0 none */
	_Atomic u32 bucket; /* that is locked while an intent is set */
	_Atomic u32 claim; /* what intent_new's `uses` says if this slot has it */
	_Atomic u32 old_uses; /* what intent_old's said */
	_Atomic u32 replaces; /* the new node takes the old one's place: the tally stays */
	_Atomic u32 moving, moving_uses; /* node + 1 on its way from the limbo to the common list */
	_Atomic u64 epoch[HASH_LIMBOS];
	_Atomic u64 part_epoch[HASH_PARTS];
	_Atomic u32 free[HASH_CACHE];
	_Atomic u32 limbo[HASH_LIMBOS][HASH_BATCH];
	_Atomic u32 ring[HASH_RING]; /* node + 1 to take; an element that one replaces takes its place. Behind the last of each part a 0 */
} __attribute__((aligned(64))); /* no cache line belongs to two */

enum { HASH_END = 0x80000000u };

struct hash {
	struct hash_key key;
	struct hash_slot *slots;
	struct hash_bucket *buckets;
	u8 *nodes;
	u32 n_slots, mask, n_nodes, stride;
	u32 value_at; /* offset of the value in a node */
	u32 value_bytes; /* all CPUs' */
	bool percpu, lru, of_maps;
	bool quick; /* replacing an element needs nothing but another node: hash_slot.ring has those */
	u32 parts; /* of a slot's ring: more of a large map, so that a run which takes long, or was stopped, holds up no updates */
	u32 part; /* how many nodes a part of the ring has: fewer of large ones, so that they stay in the CPU's nearest cache */
	u32 linked; /* live and recent of an element that was updated: the high half of `state` */
	_Atomic u32 *fresh; /* first node that was never used; in the header */
	_Atomic u32 *spill; /* list of free nodes that no cache had room for; node + 1 */
	_Atomic u32 *hand; /* LRU */
	owned_lock *spill_lock;
};

/* Stores in program order: what died between two of them is found as far as it came. */
static inline u32 peek(const _Atomic u32 *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

static inline void poke(_Atomic u32 *word, u32 x)
{
	atomic_store_explicit(word, x, memory_order_release);
}

static inline struct hash *hash_of(const struct map *m)
{
	return m->priv;
}

static inline struct hash_node *hash_node_at(const struct hash *t, u32 i)
{
	return (struct hash_node *)(t->nodes + (u64)i * t->stride);
}

static inline u8 *hash_value(const struct hash *t, struct hash_node *n)
{
	return (u8 *)n + t->value_at;
}

struct hash_spot { /* an element and where it is linked */
	struct hash_node *node;
	_Atomic u32 *place; /* its bucket's head, or its predecessor's next */
	u32 index;
};

/* Words, then the last one, which may begin in the one before it; without a call: keys are short. */
static inline bool hash_same_bytes(const u8 *a, const u8 *b, u32 size)
{
	u64 differ = 0;

	if (size > 8) {
		for (u32 at = 0; at + 8 < size; at += 8)
			differ |= LOAD_AS(u64, a + at) ^ LOAD_AS(u64, b + at);
		differ |= LOAD_AS(u64, a + size - 8) ^ LOAD_AS(u64, b + size - 8);
		return differ == 0;
	}
	for (u32 at = 0; at < size; at++)
		differ |= (u64)(a[at] ^ b[at]);
	return differ == 0;
}

static inline bool hash_same_key(const void *a, const void *b, u32 size)
{
	switch (size) {
	case 4: return LOAD_AS(u32, a) == LOAD_AS(u32, b);
	case 8: return LOAD_AS(u64, a) == LOAD_AS(u64, b);
	case 16: return ((LOAD_AS(u64, a) ^ LOAD_AS(u64, b)) | (LOAD_AS(u64, (const u8 *)a + 8) ^ LOAD_AS(u64, (const u8 *)b + 8))) == 0;
	default: return hash_same_bytes(a, b, size);
	}
}

/* Inline, so that a caller who knows the key's size has a lookup of its own. The place means something under the bucket's lock only. */
__attribute__((always_inline)) static inline bool hash_seek(const struct hash *t, const void *key, u32 key_size, u32 hash,
							      struct hash_spot *out)
{
	u32 bucket = hash & t->mask, steps = 0;

again:
	out->place = &t->buckets[bucket].head;
	for (u32 at = atomic_load_explicit(out->place, memory_order_acquire); at;) {
		struct hash_node *n;

		if (at & HASH_END) {
			if (unlikely((at & ~HASH_END) != bucket) && steps++ < t->n_nodes)
				goto again;
			return false;
		}
		if (unlikely(at > t->n_nodes || steps++ > t->n_nodes))
			return false;
		n = hash_node_at(t, at - 1);
		if (atomic_load_explicit(&n->hash, memory_order_relaxed) == hash && likely(hash_same_key(n->key, key, key_size))) {
			out->node = n;
			out->index = at - 1;
			return true;
		}
		out->place = &n->next;
		at = atomic_load_explicit(out->place, memory_order_acquire);
	}
	return false;
}

static inline u32 hash_number(const struct map *m, const void *key)
{
	u32 size = m->spec.key_size;

	return (u32)(likely(size <= HASH_MAX_KEY) ? hash_bytes(&hash_of(m)->key, key, size) : hash_any(&hash_of(m)->key, key, size));
}

static inline struct hash_node *hash_find(const struct map *m, const void *key)
{
	struct hash_spot spot;

	return hash_seek(hash_of(m), key, m->spec.key_size, hash_number(m, key), &spot) ? spot.node : NULL;
}

void hash_free_values(struct map *m, const struct hold *h, struct hash_node *n); /* what a node's values hold */
void hash_table_destroy(struct map *m);
int hash_table_create(struct map *m, bool percpu, bool lru, bool of_maps);

/* ---- hash_ops.c: for kinds whose elements lie in a hash ---- */
int hash_create(struct map *m);
void *hash_lookup(struct map *m, const struct hold *h, const void *key);
int hash_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags);
int hash_remove(struct map *m, const struct hold *h, const void *key);
bool hash_in_value(struct map *m, const void *addr, u64 size);

/* ---- hash_read.c ---- */
void hash_copy_cpus(const struct map *m, u8 *to, const u8 *from);
void hash_copy_out(struct map *m, void *value, struct hash_node *n);
int hash_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags);
int hash_next_key(struct map *m, const struct hold *h, const void *key, void *next);
long hash_for_each(struct map *m, const struct hold *h, map_visit *fn, void *ud);
int hash_batch(struct map *m, const struct hold *h, u32 *cursor, void *keys, void *values, u32 *count, u64 flags, bool take_them);
struct hash_places {
	void *keys, *values; /* NULL: none */
	bool incomplete; /* -EFAULT once a bucket had elements, of which *count says how many */
};
int hash_batch_to(struct map *m, const struct hold *h, u32 *cursor, const struct hash_places *to, u32 *count, u64 flags, bool take_them);

/* hash.c: what does not happen on every operation */
int hash_begin_slow(struct map *m, const struct hold *h, struct hash_slot *s);
void hash_prepare_slow(struct map *m, const struct hold *h, struct hash_slot *s);
u32 hash_take_slow(struct map *m, const struct hold *h, struct hash_slot *s);
u32 hash_turn_limbo(struct map *m, const struct hold *h, struct hash_slot *s);
void hash_repair_bucket(struct map *m, const struct hold *h, struct hash_slot *s, struct hash_bucket *b);
void hash_repair_all(struct map *m, const struct hold *h, struct hash_slot *s); /* of all dead owners: before saying "full" */
s64 hash_count(const struct hash *t);
void hash_give_node(struct map *m, const struct hold *h, struct hash_slot *s, u32 node);
void hash_link(struct map *m, struct hash_slot *s, struct hash_bucket *b, u32 node);
bool hash_evict(struct map *m, const struct hold *h, struct hash_slot *s);

/*
 * ---- what does: an update is these in a row, without a call ----
 */

/* Counts taken from shared memory never index beyond their arrays. */
static inline u32 hash_free_nodes(const struct hash_slot *s)
{
	return at_most(peek(&s->n_free), HASH_CACHE);
}

static inline u32 hash_limbo_nodes(const struct hash_slot *s, u32 which)
{
	return at_most(peek(&s->n_limbo[which]), HASH_BATCH);
}

/* Where in the ring. Behind the last of a part are places that stay empty, and so are those of parts that the map does not have. */
static inline u32 hash_turn(const struct hash_slot *s)
{
	return at_most(peek(&s->turn), HASH_RING - 1);
}

static inline bool hash_part_over(const struct hash *t, u32 turn)
{
	return turn % (HASH_PART + 1) >= t->part || turn / (HASH_PART + 1) >= t->parts;
}

/* The slot's state is its owner's, and at rest. */
static inline bool hash_idle(const struct hash_slot *s, const struct hold *h)
{
	return peek(&s->generation) == hold_generation(h) &&
	       !(atomic_load_explicit(&s->busy, memory_order_relaxed) | atomic_load_explicit(&s->swap, memory_order_relaxed));
}

/* An operation that changes the table: begin takes the slot's state (-EBUSY in a nested run), end gives it back. */
static inline int hash_begin(struct map *m, const struct hold *h, struct hash_slot **out)
{
	struct hash_slot *s = &hash_of(m)->slots[h->index];

	*out = s;
	if (unlikely(!hash_idle(s, h)))
		return hash_begin_slow(m, h, s);
	atomic_store_explicit(&s->busy, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	return 0;
}

static inline void hash_end(struct hash_slot *s)
{
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(&s->busy, 0, memory_order_relaxed);
}

/* Before a bucket is locked: makes room for what the operation retires, and nodes to take; waits for other runs when need be. */
static inline void hash_prepare(struct map *m, const struct hold *h, struct hash_slot *s)
{
	if (unlikely(hash_limbo_nodes(s, peek(&s->young) % HASH_LIMBOS) == HASH_BATCH || !peek(&s->n_free) ||
		     (hash_of(m)->quick && !peek(&s->ring[hash_turn(s)]))))
		hash_prepare_slow(m, h, s);
}

static inline int hash_lock(struct map *m, const struct hold *h, struct hash_slot *s, u32 hash, struct hash_bucket **out)
{
	struct hash_bucket *b = &hash_of(m)->buckets[hash & hash_of(m)->mask];
	int got = owned_lock_take(h, &b->lock);

	*out = b;
	if (got < 0)
		return got;
	if (unlikely(got > 0))
		hash_repair_bucket(m, h, s, b);
	return 0;
}

/* Before any intent but a swap. */
static inline void hash_name_bucket(struct map *m, struct hash_slot *s, const struct hash_bucket *b)
{
	poke(&s->bucket, (u32)(b - hash_of(m)->buckets));
}

/* Which node was counted last, and how: it may be so in a former life only. */
static inline void hash_forget_tally(struct hash_slot *s, u32 mark)
{
	u64 tally = atomic_load_explicit(&s->tally, memory_order_relaxed);

	if (unlikely((u32)(tally >> 32) == mark))
		atomic_store(&s->tally, (u64)(u32)tally);
}

static inline void hash_tally(struct hash_slot *s, s32 delta, u32 node)
{
	u32 sum = (u32)atomic_load_explicit(&s->tally, memory_order_relaxed) + (u32)delta;

	atomic_store(&s->tally, (u64)((node + 1) | (delta < 0 ? HASH_END : 0)) << 32 | sum);
}

/* From now on the slot answers for the node: first the intent, then the claim in the node itself, and only then does the
 * caller take it from where it was. Whoever repairs believes the claim. */
static inline void hash_claim(const struct hold *h, struct hash *t, struct hash_slot *s, u32 node)
{
	_Atomic u32 *uses = &hash_node_at(t, node)->uses;
	u32 mine = ((peek(uses) >> 10) + 1) << 10 | h->index;

	poke(&s->claim, mine);
	hash_forget_tally(s, node + 1);
	poke(&s->intent_new, node + 1);
	poke(uses, mine);
}

/* After a node's `uses` changed, before it is filled: who copies the new bytes sees the new number, and looks again. */
static inline void hash_used_anew(void)
{
	atomic_thread_fence(memory_order_release);
}

/* A node of nobody's; HASH_END when others were faster. Never waits. */
static inline u32 hash_take_node(struct map *m, const struct hold *h, struct hash_slot *s)
{
	struct hash *t = hash_of(m);
	u32 free = hash_free_nodes(s), node;

	if (unlikely(!free))
		return hash_take_slow(m, h, s);
	node = peek(&s->free[free - 1]);
	if (likely(node < t->n_nodes))
		hash_claim(h, t, s, node);
	poke(&s->n_free, free - 1);
	return likely(node < t->n_nodes) ? node : HASH_END;
}

/* Only eviction asks; elsewhere a node that is given up is not written to. */
static inline void hash_set_live(const struct hash *t, struct hash_node *n, u8 live)
{
	if (t->lru)
		atomic_store_explicit(&n->live, live, memory_order_release);
}

/* Under a bucket's lock there is room, but for whole chains that a batch takes: it waits here. */
static inline void hash_retire(struct map *m, const struct hold *h, struct hash_slot *s, u32 node)
{
	u32 young = peek(&s->young) % HASH_LIMBOS, n = hash_limbo_nodes(s, young);

	if (unlikely(n == HASH_BATCH)) {
		young = hash_turn_limbo(m, h, s);
		n = at_most(hash_limbo_nodes(s, young), HASH_BATCH - 1);
	}
	poke(&s->limbo[young][n], node);
	poke(&s->n_limbo[young], n + 1);
}

static inline void hash_intend_old(struct hash_slot *s, const struct hash_spot *old)
{
	poke(&s->old_uses, peek(&old->node->uses));
	hash_forget_tally(s, (old->index + 1) | HASH_END);
	poke(&s->intent_old, old->index + 1);
}

/* An element that was replaced without the ring goes there if there is room for one more: its part grows. The turn moves on first: nobody may
 * take the element before the part's time has come. False: the limbo has it to take. */
static inline bool hash_grow_ring(const struct map *m, struct hash_slot *s, u32 node)
{
	u32 turn = hash_turn(s);

	if (!hash_of(m)->quick || m->record.n || peek(&s->ring[turn]) || hash_part_over(hash_of(m), turn))
		return false;
	poke(&s->turn, turn + 1);
	poke(&s->ring[turn], node + 1);
	return true;
}

static inline void hash_unlinked(struct map *m, const struct hold *h, struct hash_slot *s, const struct hash_spot *old, bool removed)
{
	hash_set_live(hash_of(m), old->node, 0);
	if (removed)
		hash_tally(s, -1, old->index);
	if (removed || !hash_grow_ring(m, s, old->index))
		hash_retire(m, h, s, old->index);
	poke(&s->intent_old, 0);
	if (unlikely(map_holds(m)))
		hash_free_values(m, h, old->node);
}

/* Under the bucket's lock, the table complete at every store: the new node in the old one's place, whose successor stays. */
static inline void hash_replace(struct map *m, const struct hold *h, struct hash_slot *s, const struct hash_spot *old, u32 node)
{
	struct hash *t = hash_of(m);
	struct hash_node *n = hash_node_at(t, node);

	atomic_store_explicit(&n->next, atomic_load_explicit(&old->node->next, memory_order_relaxed), memory_order_relaxed);
	hash_set_live(t, n, 1);
	poke(&s->replaces, 1);
	hash_intend_old(s, old);
	poke(old->place, node + 1);
	poke(&s->intent_new, 0);
	hash_unlinked(m, h, s, old, false);
}

static inline void hash_unlink(struct map *m, const struct hold *h, struct hash_slot *s, const struct hash_spot *old)
{
	u32 next = atomic_load_explicit(&old->node->next, memory_order_relaxed);

	poke(&s->replaces, 0);
	hash_intend_old(s, old);
	poke(old->place, next);
	hash_unlinked(m, h, s, old, true);
}

#endif
