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
enum { HASH_CACHE = 2, HASH_BATCH = 1 };
#else
enum { HASH_CACHE = 128, HASH_BATCH = 64 };
#endif
enum { HASH_SPARE = HASH_CACHE + 2 * HASH_BATCH }; /* nodes that one slot may keep to itself */

struct hash_bucket {
	_Atomic u32 head; /* node + 1, or an end mark */
	owned_lock lock;
};

struct hash_node {
	_Atomic u32 next; /* node + 1, or HASH_END | bucket */
	_Atomic u32 hash;
	_Atomic u32 uses; /* times it was given out << 10 | run slot that has or had it: a reader that copied it looks again */
	_Atomic u8 live, recent; /* LRU: linked; looked up since the hand last passed */
	u8 reserved[2];
	u8 key[];
};

/* Written only by the holder of the run slot, and by whoever repairs after its death. All of it is atomic: others look at it
 * while they repair, and what another process can write is read once, then checked. */
struct hash_slot {
	_Atomic u32 generation; /* of the run slot, when the owner last used this map */
	_Atomic u32 busy; /* an operation is under way: a nested one is refused */
	_Atomic u64 tally; /* low half: elements added minus removed; high half: last node counted + 1, top bit: removed */
	_Atomic u32 intent_new, intent_old; /* node + 1 that an operation is putting in, taking out; 0 none */
	_Atomic u32 bucket; /* that is locked while an intent is set */
	_Atomic u32 claim; /* what intent_new's `uses` says if this slot has it */
	_Atomic u32 old_uses; /* what intent_old's said */
	_Atomic u32 replaces; /* the new node takes the old one's place: the tally stays */
	_Atomic u32 moving, moving_uses; /* node + 1 on its way from the limbo to the common list */
	_Atomic u32 n_free;
	_Atomic u32 n_limbo[2];
	_Atomic u32 young; /* which limbo takes retired nodes; the other one waits for its epoch */
	_Atomic u64 epoch;
	_Atomic u32 free[HASH_CACHE];
	_Atomic u32 limbo[2][HASH_BATCH];
};

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

int hash_table_create(struct map *m, bool percpu, bool lru, bool of_maps);
struct hash_node *hash_find(const struct hash *t, const void *key, u32 key_size, u32 hash);

/* An operation that changes the table: begin takes the slot's state (-EBUSY in a nested run), end gives it back. */
int hash_begin(struct map *m, const struct hold *h, struct hash_slot **out);
void hash_end(struct hash_slot *s);
int hash_lock(struct map *m, const struct hold *h, struct hash_slot *s, u32 hash, struct hash_bucket **out);
void hash_repair_all(struct map *m, const struct hold *h, struct hash_slot *s); /* of all dead owners: before saying "full" */

s64 hash_count(const struct hash *t);
/* Before a bucket is locked: makes room for what the operation retires, and nodes to take; waits for other runs when need be. */
void hash_prepare(struct map *m, const struct hold *h, struct hash_slot *s);
/* A node of nobody's; NULL when others were faster. Never waits. */
struct hash_node *hash_take_node(struct map *m, const struct hold *h, struct hash_slot *s);
void hash_give_node(struct map *m, const struct hold *h, struct hash_slot *s, struct hash_node *n);
/* Under the bucket's lock. replace: old's successor stays. Each leaves the table complete at every store. */
void hash_link(struct map *m, struct hash_slot *s, struct hash_bucket *b, struct hash_node *n);
void hash_replace(struct map *m, const struct hold *h, struct hash_slot *s, struct hash_bucket *b, struct hash_node *old, struct hash_node *n);
void hash_unlink(struct map *m, const struct hold *h, struct hash_slot *s, struct hash_bucket *b, struct hash_node *old);
bool hash_evict(struct map *m, const struct hold *h, struct hash_slot *s);

#endif
