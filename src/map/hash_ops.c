/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HASH, PERCPU_HASH, LRU_HASH, LRU_PERCPU_HASH, HASH_OF_MAPS: what bpf(2) and programs do with the table in hash.c.
 *
 * Concurrency: as stated in hash.c. Updating an element of a plain hash replaces its node; per-CPU values are written in
 * place, as Linux does, each by its own CPU or by bpf(2).
 */
#include "map/hash.h"

#include <linux/bpf.h>

enum {
	ACCESS_FLAGS = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG,
	COMMON_FLAGS = BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | ACCESS_FLAGS,
};

enum { LINUX_ELEMENT = 48 }; /* what Linux adds to key and value before it compares */

static int check_spec(const struct map *m, bool percpu, bool lru)
{
	const struct map_spec *s = &m->spec;

	if (s->flags & ~(u32)COMMON_FLAGS || s->extra)
		return -EINVAL;
	if (!lru && s->flags & BPF_F_NO_COMMON_LRU)
		return -EINVAL;
	if (lru && s->flags & BPF_F_NO_PREALLOC)
		return -ENOTSUPP;
	if (s->flags & BPF_F_NUMA_NODE & ~map_node_flag(m) && (percpu || s->flags & BPF_F_NO_COMMON_LRU))
		return -EINVAL;
	if (s->max_entries == 0 || s->key_size == 0 || s->value_size == 0)
		return -EINVAL;
	if ((u64)s->key_size + s->value_size >= MAP_VALUE_MAX - LINUX_ELEMENT)
		return -E2BIG;
	if (percpu && ALIGN_UP((u64)s->value_size, 8) > 32768)
		return -E2BIG;
	return 0;
}

static int create(struct map *m, bool percpu, bool lru, bool of_maps)
{
	int err = check_spec(m, percpu, lru);
	u32 cpus = domain_cpus(m->domain), each = (m->spec.max_entries - 1) / cpus + 1;

	if (m->spec.flags & BPF_F_NO_COMMON_LRU && !err) /* as many for each CPU, unless that is more than there is a number for */
		m->spec.max_entries = (each - (each > UINT32_MAX / cpus)) * cpus;
	return err ? err : hash_table_create(m, percpu, lru, of_maps);
}

static int lru_percpu_hash_create(struct map *m)
{
	return create(m, true, true, false);
}

static int hash_of_maps_create(struct map *m)
{
	int err;

	if (m->spec.value_size != 4)
		return -EINVAL;
	err = create(m, false, false, true);
	return err ? err : map_outer_check(m);
}

/* ---- lookup, program side ---- */

void *hash_lookup(struct map *m, const struct hold *h, const void *key)
{
	struct hash_node *n = hash_find(m, key);

	(void)h;
	return n ? hash_value(hash_of(m), n) : NULL;
}

static void touch(struct hash_node *n)
{
	if (!atomic_load_explicit(&n->recent, memory_order_relaxed))
		atomic_store_explicit(&n->recent, 1, memory_order_relaxed);
}

static struct hash_node *find_recent(struct map *m, const void *key)
{
	struct hash_node *n = hash_find(m, key);

	if (n)
		touch(n);
	return n;
}

static void *lru_hash_lookup(struct map *m, const struct hold *h, const void *key)
{
	struct hash_node *n = find_recent(m, key);

	(void)h;
	return n ? hash_value(hash_of(m), n) : NULL;
}

static void *percpu_hash_lookup_cpu(struct map *m, const struct hold *h, const void *key, u32 cpu)
{
	struct hash_node *n = hash_of(m)->lru ? find_recent(m, key) : hash_find(m, key);

	(void)h;
	return n && cpu < hash_of(m)->n_slots ? hash_value(hash_of(m), n) + (u64)cpu * m->elem_size : NULL;
}

static void *percpu_hash_lookup(struct map *m, const struct hold *h, const void *key)
{
	return percpu_hash_lookup_cpu(m, h, key, h->index);
}

/* One that calls nothing; a constant size makes it short. */
__attribute__((always_inline)) static inline u32 hash_sized(const struct hash *t, const void *key, u32 size)
{
	return (u32)(size > 8 ? hash_words(&t->key, key, size) : hash_bytes(&t->key, key, size));
}

/* Of numbers, addresses, and what names flows of IPv4 and IPv6. */
#define USUAL_SIZES(X) X(4) X(8) X(12) X(16) X(20) X(24) X(32) X(36) X(40)

/* Compiled code calls the one for its key's size. */
#define LOOKUP_OF(name, size)                                                                                \
	static struct hash_node *find_##name(const struct map *m, const void *key)                           \
	{                                                                                                    \
		const struct hash *t = hash_of(m);                                                           \
		struct hash_spot spot;                                                                       \
                                                                                                             \
		return hash_seek(t, key, size, hash_sized(t, key, size), &spot) ? spot.node : NULL;          \
	}                                                                                                    \
	static void *hash_lookup_##name(struct map *m, const struct hold *h, const void *key)                \
	{                                                                                                    \
		struct hash_node *n = find_##name(m, key);                                                   \
                                                                                                             \
		(void)h;                                                                                     \
		return n ? hash_value(hash_of(m), n) : NULL;                                                 \
	}                                                                                                    \
	static void *lru_hash_lookup_##name(struct map *m, const struct hold *h, const void *key)            \
	{                                                                                                    \
		struct hash_node *n = find_##name(m, key);                                                   \
                                                                                                             \
		(void)h;                                                                                     \
		if (!n)                                                                                      \
			return NULL;                                                                         \
		touch(n);                                                                                    \
		return hash_value(hash_of(m), n);                                                            \
	}                                                                                                    \
	static void *percpu_hash_lookup_##name(struct map *m, const struct hold *h, const void *key)         \
	{                                                                                                    \
		struct hash_node *n = find_##name(m, key);                                                   \
                                                                                                             \
		return n && h->index < hash_of(m)->n_slots                                                   \
			   ? hash_value(hash_of(m), n) + (u64)h->index * m->elem_size                        \
			   : NULL;                                                                           \
	}
#define LOOKUP_OF_SIZE(size) LOOKUP_OF(size, size)
USUAL_SIZES(LOOKUP_OF_SIZE)
LOOKUP_OF(long, m->spec.key_size)

static bool long_key(const struct map *m)
{
	return m->spec.key_size > 8 && m->spec.key_size <= HASH_MAX_KEY;
}

typedef void *lookup_fn(struct map *m, const struct hold *h, const void *key);

static const struct sized {
	u32 key_size;
	lookup_fn *hash, *lru, *percpu;
} sized[] = {
#define LOOKUPS(name, size) {size, hash_lookup_##name, lru_hash_lookup_##name, percpu_hash_lookup_##name},
#define LOOKUPS_OF_SIZE(size) LOOKUPS(size, size)
	USUAL_SIZES(LOOKUPS_OF_SIZE) LOOKUPS(long, 0)};

/* NULL members: nothing is made for the size. */
static struct sized lookups_of(const struct map *m)
{
	u32 i = 0;

	while (i < ARRAY_SIZE(sized) - 1 && sized[i].key_size != m->spec.key_size)
		i++;
	return sized[i].key_size || long_key(m) ? sized[i] : (struct sized){0};
}

int hash_create(struct map *m)
{
	m->lookup_sized = lookups_of(m).hash;
	return create(m, false, false, false);
}

static int lru_hash_create(struct map *m)
{
	m->lookup_sized = lookups_of(m).lru;
	return create(m, false, true, false);
}

static int percpu_hash_create(struct map *m)
{
	m->lookup_sized = lookups_of(m).percpu;
	return create(m, true, false, false);
}

static void *hash_of_maps_lookup(struct map *m, const struct hold *h, const void *key)
{
	u32 *id = hash_lookup(m, h, key);
	struct map *inner = id ? m->host->object_at(m->host->ud, m, *id) : NULL;

	return inner ? inner->meta.base : NULL;
}

/* ---- update ---- */

enum side { PROGRAM_SIDE, SYSCALL_SIDE };

static inline void fill_value(struct map *m, const struct hold *h, struct hash_node *n, const void *value, enum side side)
{
	struct hash *t = hash_of(m);
	u8 *to = hash_value(t, n);

	if (!t->percpu && !m->record.n && m->spec.value_size == 8) {
		STORE_AS(u64, to, LOAD_AS(u64, value));
	} else if (!t->percpu && !m->record.n) {
		if (m->spec.value_size & 7)
			STORE_AS(u64, to + m->elem_size - 8, 0);
		map_copy_words(to, value, m->spec.value_size);
	} else if (!t->percpu) {
		memset(to, 0, m->elem_size);
		map_copy_value(m, to, value);
	} else if (side == PROGRAM_SIDE) {
		memset(to, 0, t->value_bytes);
		map_copy_value(m, to + (u64)h->index * m->elem_size, value);
	} else {
		hash_copy_cpus(m, to, value);
	}
}

static void write_percpu(struct map *m, const struct hold *h, struct hash_node *n, const void *value, enum side side)
{
	if (side == PROGRAM_SIDE)
		map_copy_value(m, hash_value(hash_of(m), n) + (u64)h->index * m->elem_size, value);
	else
		fill_value(m, h, n, value, side);
}

/* HASH_END: no node is left. */
static inline u32 new_node(struct map *m, const struct hold *h, struct hash_slot *s, const void *key,
			   u32 key_size, u32 hash, const void *value, enum side side, bool recent)
{
	u32 node = hash_take_node(m, h, s);
	struct hash_node *n;

	if (unlikely(node == HASH_END))
		return HASH_END;
	n = hash_node_at(hash_of(m), node);
	hash_used_anew();
	atomic_store_explicit(&n->hash, hash, memory_order_relaxed);
	atomic_store_explicit(&n->recent, recent, memory_order_relaxed);
	if (key_size == 4)
		STORE_AS(u32, n->key, LOAD_AS(u32, key));
	else if (key_size == 8)
		STORE_AS(u64, n->key, LOAD_AS(u64, key));
	else
		memcpy(n->key, key, key_size);
	if (unlikely(map_holds(m)))
		hash_free_values(m, h, n);
	fill_value(m, h, n, value, side);
	return node;
}

/* Counts the element before it is linked; too many, and it is taken back. Others that count at the same moment may
 * both see one too many, hence the second look. */
static int reserve_count(struct map *m, struct hash_slot *s, u32 node)
{
	struct hash *t = hash_of(m);

	for (u32 tries = 0; tries < 8; tries++) {
		u64 tally = atomic_load(&s->tally);

		atomic_store(&s->tally, (u64)(node + 1) << 32 | (u32)((u32)tally + 1));
		if (hash_count(t) <= (s64)m->spec.max_entries)
			return 0;
		atomic_store(&s->tally, (u64)(u32)tally);
		if (hash_count(t) >= (s64)m->spec.max_entries)
			return -E2BIG;
		os_yield();
	}
	return -E2BIG;
}

__attribute__((noinline)) static int insert(struct map *m, const struct hold *h, struct hash_slot *s,
					    struct hash_bucket *b, const void *key, u32 hash,
					    const void *value, enum side side)
{
	u32 node;
	int err;

	hash_name_bucket(m, s, b);
	node = new_node(m, h, s, key, m->spec.key_size, hash, value, side, false);

	if (node == HASH_END)
		return -ENOMEM;
	err = reserve_count(m, s, node);
	if (err) {
		hash_give_node(m, h, s, node);
		return err;
	}
	hash_link(m, s, b, node);
	return 0;
}

/* Values that are written where they are: those per CPU, and under their own lock. */
__attribute__((noinline)) static int update_in_place(struct map *m, const struct hold *h,
						     struct hash_node *old, const void *value, u64 flags,
						     enum side side)
{
	struct hash *t = hash_of(m);

	if (flags & BPF_F_LOCK)
		return map_copy_locked(m, h, hash_value(t, old), value, hash_value(t, old));
	if (t->lru)
		touch(old);
	write_percpu(m, h, old, value, side);
	return 0;
}

/* The node is nobody else's yet. */
static inline void copy_words(u8 *to, const u8 *value, u32 size)
{
	switch (size) {
	case 8: STORE_AS(u64, to, LOAD_AS(u64, value)); break;
	case 16: memcpy(to, value, 16); break;
	case 64: memcpy(to, value, 64); break;
	default:
		for (u32 at = 0; at < size; at += 8)
			__atomic_store_n((u64 *)(void *)(to + at), LOAD_AS(u64, value + at), __ATOMIC_RELAXED); /* no call of memcpy() */
	}
}

/*
 * The element changes places with the ring's next node, filled before. Under the bucket's lock; `swap` keeps nested runs, and those who
 * repair, informed from before the ring is looked at until both have moved. False: the ring has no node here.
 */
__attribute__((always_inline)) static inline bool swap_element(struct map *m, const struct hold *h, struct hash_slot *s,
							       const struct hash_spot *old, const void *key,
							       u32 key_size, u32 hash, const void *value)
{
	const struct hash *t = hash_of(m);
	struct hash_node *n;
	u32 turn, node;

	atomic_store_explicit(&s->swap, (u64)(hash & t->mask) << 32 | (old->index + 1), memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
	turn = hash_turn(s);
	node = peek(&s->ring[turn]) - 1;
	if (likely(node < t->n_nodes)) {
		n = hash_node_at(t, node);
		atomic_store_explicit(&n->state, (u64)t->linked << 32 | (((peek(&n->uses) >> 10) + 1) << 10 | h->index), memory_order_release);
		hash_used_anew();
		atomic_store_explicit(&n->chain, (u64)hash << 32 | peek(&old->node->next), memory_order_relaxed);
		memcpy(n->key, key, key_size);
		copy_words(hash_value(t, n), value, m->spec.value_size);
		poke(old->place, node + 1);
		hash_set_live(t, old->node, 0);
		poke(&s->ring[turn], old->index + 1);
		poke(&s->turn, turn + 1);
	}
	atomic_store_explicit(&s->swap, 0, memory_order_release);
	return likely(node < t->n_nodes);
}

__attribute__((always_inline)) static inline int update_locked(struct map *m, const struct hold *h,
							       struct hash_slot *s, struct hash_bucket *b,
							       const void *key, u32 key_size, u32 hash,
							       const void *value, u64 flags, enum side side,
							       u32 *replaced)
{
	struct hash *t = hash_of(m);
	u64 mode = flags & ~(u64)BPF_F_LOCK;
	struct hash_spot spot;
	u32 node;

	if (!hash_seek(t, key, key_size, hash, &spot))
		return mode == BPF_EXIST ? -ENOENT : insert(m, h, s, b, key, hash, value, side);
	if (mode == BPF_NOEXIST)
		return -EEXIST;
	if (unlikely(t->percpu || flags & BPF_F_LOCK))
		return update_in_place(m, h, spot.node, value, flags, side);
	if (likely(t->quick && !m->record.n) && swap_element(m, h, s, &spot, key, key_size, hash, value))
		return 0;
	hash_name_bucket(m, s, b);
	node = new_node(m, h, s, key, key_size, hash, value, side, t->lru);
	if (unlikely(node == HASH_END))
		return -ENOMEM;
	if (replaced)
		*replaced = LOAD_AS(u32, hash_value(t, spot.node));
	hash_replace(m, h, s, &spot, node);
	return 0;
}

struct trial {
	u32 tries, full;
};

/* The map was full, or all nodes were taken at that moment: does what can be done. Is another try worth it? */
static bool try_again(struct map *m, const struct hold *h, struct hash_slot *s, struct trial *t, int *err)
{
	enum { TRIES = 16, TRIES_LRU = 1024 }; /* an LRU map refuses only when nobody gets on: what one evicts, another may take first */
	bool lru = hash_of(m)->lru;

	if (++t->tries >= (lru ? (u32)TRIES_LRU : (u32)TRIES))
		return false;
	if (*err == -ENOMEM) {
		os_yield(); /* others took the nodes that were left, and go on */
		return true;
	}
	if (*err != -E2BIG || (t->full && !lru))
		return false;
	if (!t->full++)
		hash_repair_all(m, h, s); /* what a dead owner removed may not be counted yet */
	if (!lru)
		return true;
	if (!hash_evict(m, h, s))
		*err = -ENOMEM; /* all that there is, others are about to link or to give back */
	if (t->tries >= TRIES || *err == -ENOMEM)
		os_yield();
	return true;
}

/* replaced: optional, gets the first word of the value whose place the new one took. */
__attribute__((always_inline)) static inline int update_hashed(struct map *m, const struct hold *h,
							       const void *key, u32 key_size, u32 hash,
							       const void *value, u64 flags, enum side side,
							       u32 *replaced)
{
	struct hash *t = hash_of(m);
	struct trial trial = {0};
	struct hash_bucket *b;
	struct hash_slot *s;
	int err;

	prefetch_to_write(&t->buckets[hash & t->mask]);
	err = hash_begin(m, h, &s);
	if (unlikely(err))
		return err;
	do {
		hash_prepare(m, h, s);
		err = hash_lock(m, h, s, hash, &b);
		if (unlikely(err))
			break;
		err = update_locked(m, h, s, b, key, key_size, hash, value, flags, side, replaced);
		owned_lock_drop(h, &b->lock);
	} while (unlikely(err) && try_again(m, h, s, &trial, &err));
	hash_end(s);
	return err;
}

static int update(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags,
		  enum side side, u32 *replaced)
{
	int err = map_check_update_flags(m, flags);

	if (err || (hash_of(m)->percpu && flags & BPF_F_LOCK))
		return err ? err : -EINVAL;
	return update_hashed(m, h, key, m->spec.key_size, hash_number(m, key), value, flags, side, replaced);
}

__attribute__((noinline)) static int update_any(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	return update(m, h, key, value, flags, PROGRAM_SIDE, NULL);
}

/* What programs do most often, without a call: an element that is there is replaced. False: it is left to others, and nothing was done. */
__attribute__((always_inline)) static inline bool update_quickly(struct map *m, const struct hold *h, const void *key,
								 u32 key_size, u32 hash, const void *value)
{
	const struct hash *t = hash_of(m);
	struct hash_slot *s = &t->slots[h->index];
	struct hash_bucket *b = &t->buckets[hash & t->mask];
	struct hash_spot spot;
	u32 none = 0, head = peek(&b->head) - 1; /* the chain's first node, or a number that is none */
	bool done;

	if (likely(head < t->n_nodes))
		prefetch_to_write(hash_node_at(t, head)); /* it is written once its turn in the ring comes */
	if (unlikely(!t->quick || m->record.n || !hash_idle(s, h) || head >= t->n_nodes ||
		     !atomic_compare_exchange_strong_explicit(&b->lock, &none, h->tag, memory_order_acquire, memory_order_relaxed)))
		return false;
	done = hash_seek(t, key, key_size, hash, &spot) && swap_element(m, h, s, &spot, key, key_size, hash, value);
	owned_lock_drop(h, &b->lock);
	return done;
}

/* What programs do most often, by the size of the key. */
#define SLOW_UPDATE_OF(name, size)                                                                           \
	__attribute__((noinline)) static int update_slowly_##name(struct map *m, const struct hold *h,       \
								  const void *key, const void *value,        \
								  u64 flags, u32 hash)                       \
	{                                                                                                    \
		if (unlikely(flags > BPF_EXIST))                                                             \
			return update_any(m, h, key, value, flags);                                          \
		return update_hashed(m, h, key, size, hash, value, flags, PROGRAM_SIDE, NULL);               \
	}
SLOW_UPDATE_OF(number, m->spec.key_size == 4 ? 4 : 8)
SLOW_UPDATE_OF(long, m->spec.key_size)

#define UPDATE_OF(name, size)                                                                                \
	static int hash_update_##name(struct map *m, const struct hold *h, const void *key,                  \
				      const void *value, u64 flags)                                          \
	{                                                                                                    \
		u32 hash = hash_sized(hash_of(m), key, size);                                                \
                                                                                                             \
		prefetch_to_write(&hash_of(m)->buckets[hash & hash_of(m)->mask]);                            \
		if (likely(!(flags & ~(u64)BPF_EXIST)) && update_quickly(m, h, key, size, hash, value))      \
			return 0;                                                                            \
		return (size) <= 8 ? update_slowly_number(m, h, key, value, flags, hash)                     \
				   : update_slowly_long(m, h, key, value, flags, hash);                      \
	}
#define UPDATE_OF_SIZE(size) UPDATE_OF(size, size)
USUAL_SIZES(UPDATE_OF_SIZE)
UPDATE_OF(long, m->spec.key_size)

static int hash_update(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	switch (m->spec.key_size) {
#define UPDATE_CASE(size) \
	case size: return hash_update_##size(m, h, key, value, flags);
		USUAL_SIZES(UPDATE_CASE)
	default: return long_key(m) ? hash_update_long(m, h, key, value, flags) : update_any(m, h, key, value, flags);
	}
}

int hash_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	return update(m, h, key, value, flags, SYSCALL_SIDE, NULL);
}

/* ---- delete, take ---- */

static int take(struct map *m, const struct hold *h, const void *key, void *value, u32 *id, u64 flags)
{
	u32 hash = hash_number(m, key);
	struct hash_bucket *b;
	struct hash_slot *s;
	struct hash_spot spot;
	int err;

	if (flags & ~(u64)BPF_F_LOCK || (flags & BPF_F_LOCK && !m->record.spin_lock))
		return -EINVAL;
	err = hash_begin(m, h, &s);
	if (err)
		return err;
	hash_prepare(m, h, s);
	err = hash_lock(m, h, s, hash, &b);
	if (!err) {
		bool found = hash_seek(hash_of(m), key, m->spec.key_size, hash, &spot);

		if (found && value)
			hash_copy_out(m, value, spot.node);
		if (found && id)
			*id = LOAD_AS(u32, hash_value(hash_of(m), spot.node));
		hash_name_bucket(m, s, b);
		if (found)
			hash_unlink(m, h, s, &spot);
		owned_lock_drop(h, &b->lock);
		err = found ? 0 : -ENOENT;
	}
	hash_end(s);
	return err;
}

int hash_remove(struct map *m, const struct hold *h, const void *key)
{
	return take(m, h, key, NULL, NULL, 0);
}

static int hash_take(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	return take(m, h, key, value, NULL, flags);
}

bool hash_in_value(struct map *m, const void *addr, u64 size)
{
	struct hash *t = hash_of(m);
	u64 off = (u64)((const u8 *)addr - t->nodes), in;

	if ((const u8 *)addr < t->nodes || off / t->stride >= t->n_nodes)
		return false;
	in = off % t->stride;
	if (t->of_maps || in < t->value_at || size > m->spec.value_size)
		return false;
	in = (in - t->value_at) % m->elem_size;
	return in <= m->spec.value_size - size;
}

#define COMMON_OPS                                                                                               \
	.update = hash_update, .set = hash_set, .remove = hash_remove, .take = hash_take, .get = hash_get,               \
	.next_key = hash_next_key, .for_each = hash_for_each, .batch = hash_batch, .in_value = hash_in_value

const struct map_ops hash_ops = {
	.create = hash_create,
	.destroy = hash_table_destroy,
	.lookup = hash_lookup,
	COMMON_OPS,
	.traits = KIND_INNER | KIND_LOCKS | KIND_TIMERS | KIND_BATCH_ALL,
};

const struct map_ops lru_hash_ops = {
	.create = lru_hash_create,
	.destroy = hash_table_destroy,
	.lookup = lru_hash_lookup,
	COMMON_OPS,
	.traits = KIND_INNER | KIND_TIMERS | KIND_BATCH_ALL | KIND_PRIVILEGED,
};

const struct map_ops percpu_hash_ops = {
	.create = percpu_hash_create,
	.destroy = hash_table_destroy,
	.lookup = percpu_hash_lookup,
	.lookup_cpu = percpu_hash_lookup_cpu,
	COMMON_OPS,
	.traits = KIND_PER_CPU | KIND_INNER | KIND_BATCH_ALL,
};

const struct map_ops lru_percpu_hash_ops = {
	.create = lru_percpu_hash_create,
	.destroy = hash_table_destroy,
	.lookup = percpu_hash_lookup,
	.lookup_cpu = percpu_hash_lookup_cpu,
	COMMON_OPS,
	.traits = KIND_PER_CPU | KIND_INNER | KIND_BATCH_ALL | KIND_PRIVILEGED,
};

/* ---- hash of maps: a value is the id of a map; bpf(2) gives a descriptor and gets the id ---- */

static int hash_of_maps_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	u32 fd = LOAD_AS(u32, value), id, old = 0;
	int err = map_object_get(m, fd, &id);

	if (err)
		return err;
	err = update(m, h, key, &id, flags, PROGRAM_SIDE, &old);
	if (err)
		m->host->object_put(m->host->ud, m, id);
	else if (old)
		m->host->object_put(m->host->ud, m, old);
	return err;
}

static int hash_of_maps_remove(struct map *m, const struct hold *h, const void *key)
{
	u32 id = 0;
	int err = take(m, h, key, NULL, &id, 0);

	if (!err && id)
		m->host->object_put(m->host->ud, m, id);
	return err;
}

/* Maps that were taken out: their ids are read in memory of our own before the references go back. */
static int hash_of_maps_batch(struct map *m, const struct hold *h, u32 *cursor, void *keys, void *values, u32 *count, u64 flags, bool take_them)
{
	u32 room = at_most(*count, m->spec.max_entries), *ids;
	int err;

	if (!take_them)
		return hash_batch(m, h, cursor, keys, values, count, flags, false);
	ids = mem_array(m->mem, room, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	*count = room;
	err = hash_batch_to(m, h, cursor, &(struct hash_places){keys, ids, !keys || !values}, count, flags, true);
	if (*count && keys && values)
		memcpy(values, ids, *count * sizeof(*ids));
	for (u32 i = 0; i < *count; i++)
		m->host->object_put(m->host->ud, m, ids[i]);
	mem_free(m->mem, ids, room * sizeof(*ids));
	return err;
}

static long put_inner(void *ud, void *key, void *value)
{
	struct map *m = ud;

	(void)key;
	m->host->object_put(m->host->ud, m, LOAD_AS(u32, value));
	return 0;
}

static void hash_of_maps_destroy(struct map *m)
{
	if (m->priv && hash_of(m)->nodes)
		hash_for_each(m, NULL, put_inner, m);
}

const struct map_ops hash_of_maps_ops = {
	.create = hash_of_maps_create,
	.destroy = hash_of_maps_destroy,
	.lookup = hash_of_maps_lookup,
	.set = hash_of_maps_set,
	.remove = hash_of_maps_remove,
	.get = hash_get,
	.next_key = hash_next_key,
	.batch = hash_of_maps_batch,
	.traits = KIND_FD_VALUES | KIND_OUTER | KIND_BATCH_ALL,
};
