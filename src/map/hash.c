/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hash table: nodes, chains, caches, repair.
 *
 * Concurrency. Readers take no lock: they follow indices, check each against the number of nodes, and give up after as many
 * steps as there are nodes. A chain ends in a mark that names its bucket; a reader that strayed (its node was reused) sees
 * the wrong mark and starts again. Writers hold the bucket's owned lock.
 *
 *  1. A new node is complete before one store links it; a reader sees the old element or the new, never a mixture.
 *  2. An unlinked node goes to its slot's limbo and is reused when every other slot has passed its epoch. Whoever needs room there, or a
 *     node, waits for that before it locks a bucket (hash_prepare()); epoch_await() says how long.
 *  3. Before a node is linked or unlinked, the slot's intent names it; the tally names the node it counted last. So whoever
 *     finds that the owner died knows what was done and what was not (repair()), and no node is lost or doubled.
 *  4. Replacing an element takes a node from the slot's ring and puts the element there. Until both have moved, `swap` names the element:
 *     whoever repairs sees from the chain how far it came (repair_swap()). A ring has parts; one whose elements were all unlinked
 *     before some epoch is used again after it. It grows by elements that were replaced when it had no node to take.
 *  5. A slot's state belongs to one thread. A nested run on it finds `busy` and is refused.
 *  6. Every index is read once (peek()), then checked, then used: other processes can write these bytes at any time.
 */
#include "map/hash.h"

#include <linux/bpf.h>

enum { PART_BYTES = 4096, PART_LEAST = 32 }; /* of a part of a slot's ring */
enum { RING_SHARE = 8 }; /* all slots' rings have at most an eighth as many nodes as the map has elements, unless they have the least parts */

/* ---- creation ---- */

int hash_table_create(struct map *m, bool percpu, bool lru, bool of_maps)
{
	struct hash *t = map_priv(m, sizeof(*t));
	u32 n_slots = domain_cpus(m->domain);
	u64 buckets = round_up_pow2(m->spec.max_entries), nodes, stride, before;
	u32 *family;
	int err;

	if (!t)
		return -ENOMEM;
	t->percpu = percpu;
	t->lru = lru;
	t->of_maps = of_maps;
	t->linked = lru ? 0x0101 : 0;
	t->quick = !percpu && !of_maps && m->spec.value_size % 8 == 0;
	t->n_slots = n_slots;
	t->mask = (u32)buckets - 1;
	t->value_at = (u32)(sizeof(struct hash_node) + ALIGN_UP((u64)m->spec.key_size, 8));
	t->value_bytes = m->elem_size * (percpu ? n_slots : 1);
	stride = (u64)t->value_at + (u64)m->elem_size * (percpu ? n_slots : 1);
	t->part = (u32)MIN(MAX(PART_BYTES / stride, PART_LEAST), HASH_PART);
	t->parts = MIN(MAX(m->spec.max_entries / (RING_SHARE * n_slots * t->part), (u32)HASH_PARTS_LEAST), (u32)HASH_PARTS);
	nodes = (u64)m->spec.max_entries + (u64)n_slots * (HASH_SPARE + t->parts * t->part);
	if (buckets > UINT32_MAX / 16 /* Linux has 16 bytes for each */ || nodes >= HASH_END / 2 || stride > INT32_MAX)
		return -E2BIG;
	t->n_nodes = (u32)nodes;
	t->stride = (u32)stride;
	/* Nodes begin a page: they may be lent without what is before them. */
	before = ALIGN_UP(sizeof(struct map_header) + n_slots * sizeof(struct hash_slot) + buckets * sizeof(struct hash_bucket), (u64)4096);
	err = map_meta_create(m, before - sizeof(struct map_header) + nodes * stride);
	if (err)
		return err;
	if (m->spec.flags & BPF_F_ZERO_SEED)
		map_head(m)->seed = 0;
	hash_key_init(&t->key, map_head(m)->seed);
	t->slots = (struct hash_slot *)(m->meta.base + sizeof(struct map_header));
	t->buckets = (struct hash_bucket *)(t->slots + n_slots);
	t->nodes = m->meta.base + before;
	family = (u32 *)(void *)map_head(m)->family;
	t->fresh = (_Atomic u32 *)&family[0];
	t->spill = (_Atomic u32 *)&family[1];
	t->hand = (_Atomic u32 *)&family[2];
	t->spill_lock = (owned_lock *)&family[3];
	/* Owners of another domain's slots are gone: whatever generation comes, it is not theirs. */
	if (m->adopting && m->alone)
		for (u32 i = 0; i < n_slots; i++) {
			poke(&t->slots[i].generation, UINT32_MAX);
			atomic_store(&t->slots[i].busy, 0);
		}
	return 0;
}

/* Somebody who looked the element up before may put objects into it that has left the table: they go when the node is used again. */
void hash_free_values(struct map *m, const struct hold *h, struct hash_node *n)
{
	struct hash *t = hash_of(m);

	for (u32 i = 0; i < (t->percpu ? t->n_slots : 1); i++)
		map_free_value(m, h, hash_value(t, n) + (u64)i * m->elem_size);
}

void hash_table_destroy(struct map *m)
{
	const struct hash *t = hash_of(m);

	for (u32 i = 0; map_holds(m) && i < MIN(peek(t->fresh), t->n_nodes); i++)
		hash_free_values(m, NULL, hash_node_at(t, i));
}

s64 hash_count(const struct hash *t)
{
	s64 sum = 0;

	for (u32 i = 0; i < t->n_slots; i++)
		sum += (s32)(u32)atomic_load(&t->slots[i].tally);
	return sum;
}

/* ---- a slot's nodes ---- */

static bool in_list(const _Atomic u32 *list, u32 n, u32 node)
{
	for (u32 i = 0; i < n; i++)
		if (peek(&list[i]) == node)
			return true;
	return false;
}

static void spill_push(struct map *m, const struct hold *h, u32 node)
{
	struct hash *t = hash_of(m);

	if (owned_lock_take(h, t->spill_lock) < 0)
		return;
	atomic_store(&hash_node_at(t, node)->next, atomic_load(t->spill));
	atomic_store(t->spill, node + 1);
	owned_lock_drop(h, t->spill_lock);
}

/* Is the node in the common list? Under its lock, for as many steps as there are nodes. */
static bool in_spill(struct map *m, const struct hold *h, u32 node)
{
	struct hash *t = hash_of(m);
	bool found = false;

	if (owned_lock_take(h, t->spill_lock) < 0)
		return true; /* not known: a node lost is better than one given out twice */
	for (u32 at = atomic_load(t->spill), steps = 0; at && at <= t->n_nodes && steps <= t->n_nodes && !found; steps++) {
		found = at == node + 1;
		at = atomic_load(&hash_node_at(t, at - 1)->next);
	}
	owned_lock_drop(h, t->spill_lock);
	return found;
}

/* Takes a node from the common list. */
static bool spill_pop(struct map *m, const struct hold *h, struct hash_slot *s, u32 *node)
{
	struct hash *t = hash_of(m);
	u32 at;

	if (atomic_load_explicit(t->spill, memory_order_relaxed) == 0 || owned_lock_take(h, t->spill_lock) < 0)
		return false;
	at = atomic_load(t->spill);
	if (at > t->n_nodes)
		at = 0;
	if (at) {
		hash_claim(h, t, s, at - 1);
		atomic_store(t->spill, atomic_load(&hash_node_at(t, at - 1)->next));
	}
	owned_lock_drop(h, t->spill_lock);
	*node = at - 1;
	return at != 0;
}

/* Moves nodes of a limbo whose time has come to the cache; what does not fit goes to the common list. A node is in its new
 * place before it leaves the old one: begin() knows how to tell. */
static void settle(struct map *m, const struct hold *h, struct hash_slot *s, u32 which)
{
	struct hash *t = hash_of(m);

	for (u32 n = hash_limbo_nodes(s, which); n; n--) {
		u32 node = peek(&s->limbo[which][n - 1]), free = hash_free_nodes(s);

		if (node < t->n_nodes && free < HASH_CACHE) {
			poke(&s->free[free], node);
			poke(&s->n_free, free + 1);
		} else if (node < t->n_nodes) {
			poke(&s->moving_uses, peek(&hash_node_at(t, node)->uses));
			poke(&s->moving, node + 1);
			spill_push(m, h, node);
		}
		poke(&s->n_limbo[which], n - 1);
		poke(&s->moving, 0);
	}
}

/* From now on the next limbo takes retired nodes, and this one's wait. */
static void close_limbo(const struct hold *h, struct hash_slot *s, u32 young)
{
	atomic_store_explicit(&s->epoch[young], epoch_advance(h->domain), memory_order_release);
	poke(&s->young, (young + 1) % HASH_LIMBOS);
}

/* The limbo that waits longest; the young one when none does. */
static u32 oldest_limbo(const struct hash_slot *s, u32 young)
{
	u32 at = young;

	for (u32 i = 1; i < HASH_LIMBOS && (at == young || !hash_limbo_nodes(s, at)); i++)
		at = (young + i) % HASH_LIMBOS;
	return hash_limbo_nodes(s, at) ? at : young;
}

/* Nodes whose time has come, as far as the cache has room for them. */
static void settle_passed(struct map *m, const struct hold *h, struct hash_slot *s)
{
	u32 young = peek(&s->young) % HASH_LIMBOS, at;

	while ((at = oldest_limbo(s, young)) != young && hash_free_nodes(s) + hash_limbo_nodes(s, at) <= HASH_CACHE &&
	       epoch_passed(h, atomic_load(&s->epoch[at])))
		settle(m, h, s, at);
}

/* Closes the young limbo, which is full; gives the one that takes nodes then, which is empty. */
u32 hash_turn_limbo(struct map *m, const struct hold *h, struct hash_slot *s)
{
	u32 young = peek(&s->young) % HASH_LIMBOS, next = (young + 1) % HASH_LIMBOS;

	if (hash_limbo_nodes(s, next)) {
		epoch_await(h, atomic_load(&s->epoch[next]));
		settle(m, h, s, next);
	}
	close_limbo(h, s, young);
	settle_passed(m, h, s);
	return next;
}

static void prepare_lists(struct map *m, const struct hold *h, struct hash_slot *s)
{
	struct hash *t = hash_of(m);
	u32 young = peek(&s->young) % HASH_LIMBOS, old;

	if (hash_limbo_nodes(s, young) == HASH_BATCH) {
		hash_turn_limbo(m, h, s);
		return;
	}
	settle_passed(m, h, s);
	if (hash_free_nodes(s) || peek(t->fresh) < t->n_nodes || peek(t->spill))
		return;
	/* Nothing is left but what this slot itself retired. */
	old = oldest_limbo(s, young);
	if (old == young)
		close_limbo(h, s, young);
	epoch_await(h, atomic_load(&s->epoch[old]));
	settle(m, h, s, old);
}

/* Behind the end of a part: goes on in the first one whose elements nobody can meet any more, so that what is used is in the near cache. The
 * others serve while a run takes long, or was stopped; when it has used up all, this waits. */
static void next_part(const struct hash *t, const struct hold *h, struct hash_slot *s, u32 part)
{
	u32 at, oldest = 0;

	if (part < t->parts)
		atomic_store_explicit(&s->part_epoch[part], epoch_advance(h->domain), memory_order_release);
	for (at = 0; at < t->parts && !epoch_passed(h, atomic_load(&s->part_epoch[at])); at++)
		if (atomic_load(&s->part_epoch[at]) < atomic_load(&s->part_epoch[oldest]))
			oldest = at;
	if (at == t->parts) {
		at = oldest;
		epoch_await(h, atomic_load(&s->part_epoch[at]));
	}
	poke(&s->turn, at * (HASH_PART + 1));
}

/* The ring has a node to take, if the cache has one. It is in the ring before it leaves the cache: settle_lists() knows. */
static void prepare_ring(const struct hash *t, const struct hold *h, struct hash_slot *s)
{
	u32 turn = hash_turn(s), free;

	if (hash_part_over(t, turn))
		next_part(t, h, s, turn / (HASH_PART + 1));
	turn = hash_turn(s);
	free = hash_free_nodes(s);
	if (peek(&s->ring[turn]) || !free || hash_part_over(t, turn))
		return;
	poke(&s->ring[turn], peek(&s->free[free - 1]) + 1);
	poke(&s->n_free, free - 1);
}

void hash_prepare_slow(struct map *m, const struct hold *h, struct hash_slot *s)
{
	if (hash_of(m)->quick && !peek(&s->ring[hash_turn(s)]))
		prepare_ring(hash_of(m), h, s);
	if (hash_limbo_nodes(s, peek(&s->young) % HASH_LIMBOS) == HASH_BATCH || !hash_free_nodes(s))
		prepare_lists(m, h, s);
}

/* A node that was never used has no claim. Whoever finds one that has moves the mark on, so that nobody waits for the dead. */
static bool take_fresh(struct hash *t, const struct hold *h, struct hash_slot *s, u32 *node)
{
	u32 at = atomic_load_explicit(t->fresh, memory_order_relaxed);

	while (at < t->n_nodes) {
		u32 unused = 0, mine = 1u << 10 | h->index;
		bool won;

		poke(&s->claim, mine);
		hash_forget_tally(s, at + 1);
		poke(&s->intent_new, at + 1);
		won = atomic_compare_exchange_strong(&hash_node_at(t, at)->uses, &unused, mine);
		if (won)
			*node = at;
		if (atomic_compare_exchange_strong(t->fresh, &at, at + 1))
			at++;
		if (won)
			return true;
		poke(&s->intent_new, 0);
	}
	return false;
}

u32 hash_take_slow(struct map *m, const struct hold *h, struct hash_slot *s)
{
	u32 node;

	return take_fresh(hash_of(m), h, s, &node) || spill_pop(m, h, s, &node) ? node : HASH_END;
}

/* A node that was taken and not linked. */
void hash_give_node(struct map *m, const struct hold *h, struct hash_slot *s, u32 node)
{
	u32 free = hash_free_nodes(s);

	if (free < HASH_CACHE) {
		poke(&s->free[free], node);
		poke(&s->n_free, free + 1);
	} else {
		spill_push(m, h, node);
	}
	poke(&s->intent_new, 0);
}

/* ---- chains ---- */

static bool counted(const struct hash_slot *s, bool removed, u32 node)
{
	return (u32)(atomic_load(&s->tally) >> 32) == ((node + 1) | (removed ? HASH_END : 0));
}

/* The place whose value names the node: the bucket's head or the predecessor's next; NULL when it is not linked. */
static _Atomic u32 *place_of(const struct hash *t, struct hash_bucket *b, u32 node)
{
	_Atomic u32 *place = &b->head;

	for (u32 steps = 0; steps <= t->n_nodes; steps++) {
		u32 at = atomic_load_explicit(place, memory_order_relaxed);

		if (at == node + 1)
			return place;
		if (at == 0 || at & HASH_END || at > t->n_nodes)
			return NULL;
		place = &hash_node_at(t, at - 1)->next;
	}
	return NULL;
}

void hash_link(struct map *m, struct hash_slot *s, struct hash_bucket *b, u32 node)
{
	struct hash *t = hash_of(m);
	struct hash_node *n = hash_node_at(t, node);
	u32 first = atomic_load_explicit(&b->head, memory_order_relaxed);

	atomic_store_explicit(&n->next, first ? first : HASH_END | (u32)(b - t->buckets), memory_order_relaxed);
	hash_set_live(t, n, 1);
	poke(&s->replaces, 0);
	poke(&b->head, node + 1);
	poke(&s->intent_new, 0);
}

/*
 * ---- repair: finish or undo what a dead owner was doing ----
 *
 * Intents are set and cleared under the bucket's lock, so an owner that died with one left that lock behind; whoever takes
 * the lock over repairs, before anybody else sees the chain. Nodes go to the slot of the one who repairs.
 */

/* Does some list have the node, or somebody new? A repair may itself have been cut short, after the node had found a place. In
 * this order a node that its owner is moving meanwhile is not missed: limbo, cache, ring, common list, claim. */
static bool has_place(struct map *m, const struct hold *h, u32 node, u32 uses)
{
	struct hash *t = hash_of(m);

	for (u32 i = 0; i < t->n_slots; i++) {
		const struct hash_slot *o = &t->slots[i];

		for (u32 l = 0; l < HASH_LIMBOS; l++)
			if (in_list(o->limbo[l], hash_limbo_nodes(o, l), node))
				return true;
		if (in_list(o->free, hash_free_nodes(o), node) || in_list(o->ring, t->parts * (HASH_PART + 1), node + 1))
			return true;
	}
	return in_spill(m, h, node) || atomic_load(&hash_node_at(t, node)->uses) != uses;
}

/* The dead slot's new node, in a bucket that the caller has locked. */
static void repair_new(struct map *m, const struct hold *h, struct hash_slot *s, struct hash_slot *dead, struct hash_bucket *b, u32 node)
{
	struct hash *t = hash_of(m);
	struct hash_node *n = hash_node_at(t, node);
	u32 claim = peek(&dead->claim);

	if (peek(&n->uses) != claim || place_of(t, b, node))
		return; /* it never had it; or it is linked, and was counted before */
	if (counted(dead, false, node))
		hash_tally(dead, -1, node);
	hash_set_live(t, n, 0);
	if (!has_place(m, h, node, claim))
		hash_give_node(m, h, s, node);
}

static void repair_old(struct map *m, const struct hold *h, struct hash_slot *s, struct hash_slot *dead, struct hash_bucket *b, u32 node)
{
	struct hash *t = hash_of(m);

	if (place_of(t, b, node))
		return;
	if (!peek(&dead->replaces) && !counted(dead, true, node))
		hash_tally(dead, -1, node);
	if (has_place(m, h, node, peek(&dead->old_uses)))
		return;
	hash_set_live(t, hash_node_at(t, node), 0);
	hash_retire(m, h, s, node);
}

/* In the ring is the new node, and either it or the old one in the chain; or they have changed places, and then the turn may have
 * moved on. Who began to use the slot waits for this, as it finds `swap` set and needs the lock. */
static void repair_swap(struct map *m, struct hash_slot *dead, struct hash_bucket *b, u32 old)
{
	struct hash *t = hash_of(m);
	u32 turn = hash_turn(dead), node = peek(&dead->ring[turn]) - 1;

	if (old < t->n_nodes && !place_of(t, b, old)) {
		bool linked = node < t->n_nodes && place_of(t, b, node);

		hash_set_live(t, hash_node_at(t, old), 0);
		if (linked)
			poke(&dead->ring[turn], old + 1);
		if (linked || node == old)
			poke(&dead->turn, turn + 1);
	}
	atomic_store(&dead->swap, 0);
}

/* Settles every intent that was left behind in a bucket whose lock the caller has: a living owner has one only while it holds
 * that lock itself. Whoever dies in here leaves the intent, and the lock, to the next. */
void hash_repair_bucket(struct map *m, const struct hold *h, struct hash_slot *s, struct hash_bucket *b)
{
	struct hash *t = hash_of(m);

	for (u32 i = 0; i < t->n_slots; i++) {
		struct hash_slot *dead = &t->slots[i];
		u32 old = atomic_load(&dead->intent_old), new = atomic_load(&dead->intent_new);
		u64 swap = atomic_load(&dead->swap);

		if (swap && swap >> 32 == (u64)(b - t->buckets))
			repair_swap(m, dead, b, (u32)swap - 1);
		if ((!old && !new) || atomic_load(&dead->bucket) != (u32)(b - t->buckets))
			continue;
		if (old && old <= t->n_nodes)
			repair_old(m, h, s, dead, b, old - 1);
		if (new && new <= t->n_nodes && new != old)
			repair_new(m, h, s, dead, b, new - 1);
		atomic_store(&dead->intent_old, 0);
		atomic_store(&dead->intent_new, 0);
	}
}

/* A slot's intents, wherever its owner left them. For a living owner it only waits. */
static void settle_intents(struct map *m, const struct hold *h, struct hash_slot *s, struct hash_slot *of)
{
	u64 swap = atomic_load(&of->swap);
	u32 bucket = swap ? (u32)(swap >> 32) : atomic_load(&of->bucket);
	struct hash_bucket *b;

	if ((!swap && !atomic_load(&of->intent_old) && !atomic_load(&of->intent_new)) || hash_lock(m, h, s, bucket, &b))
		return;
	/* Not taken over: somebody did that before, and died before the repair. */
	hash_repair_bucket(m, h, s, b);
	owned_lock_drop(h, &b->lock);
}

void hash_repair_all(struct map *m, const struct hold *h, struct hash_slot *s)
{
	struct hash *t = hash_of(m);

	for (u32 i = 0; i < t->n_slots; i++)
		if (i != h->index)
			settle_intents(m, h, s, &t->slots[i]);
}

/* A node that was between two lists is in one of them. The common list is looked at before the claim: who takes a node from there
 * claims it first. */
static void settle_lists(struct map *m, const struct hold *h, struct hash_slot *s)
{
	struct hash *t = hash_of(m);
	u32 free = hash_free_nodes(s), moving = peek(&s->moving);

	if (!atomic_load(&s->swap) && free && peek(&s->ring[hash_turn(s)]) == peek(&s->free[free - 1]) + 1)
		poke(&s->n_free, --free);
	for (u32 i = 0; i < HASH_LIMBOS; i++) {
		u32 n = hash_limbo_nodes(s, i), node = n ? peek(&s->limbo[i][n - 1]) : 0;

		if (!n || node >= t->n_nodes)
			continue;
		if ((free && peek(&s->free[free - 1]) == node) ||
		    (moving == node + 1 && (in_spill(m, h, node) || peek(&hash_node_at(t, node)->uses) != peek(&s->moving_uses))))
			poke(&s->n_limbo[i], n - 1);
	}
	poke(&s->moving, 0);
}

/* This slot's former owner died. */
static void repair(struct map *m, const struct hold *h, struct hash_slot *s)
{
	/* The epochs of another domain or a former time say nothing: what waits, waits anew. */
	for (u32 i = 0; i < HASH_LIMBOS; i++)
		atomic_store(&s->epoch[i], epoch_advance(h->domain));
	settle_lists(m, h, s);
	settle_intents(m, h, s, s);
	for (u32 i = 0; i < HASH_PARTS; i++) /* after what others do to the ring */
		atomic_store(&s->part_epoch[i], epoch_advance(h->domain));
	atomic_store(&s->intent_old, 0);
	atomic_store(&s->intent_new, 0);
}

int hash_begin_slow(struct map *m, const struct hold *h, struct hash_slot *s)
{
	bool other = peek(&s->generation) != hold_generation(h);

	/* Neither nested nor another's: whoever set it left without clearing it, which only spoiled bytes can do. */
	if (!other && h->nested)
		return -EBUSY;
	atomic_store_explicit(&s->busy, 1, memory_order_relaxed);
	poke(&s->generation, hold_generation(h));
	atomic_signal_fence(memory_order_seq_cst);
	repair(m, h, s);
	return 0;
}

/* ---- LRU: second chance. The hand passes over the nodes; one that was not looked up since its last visit goes. ---- */

bool hash_evict(struct map *m, const struct hold *h, struct hash_slot *s)
{
	struct hash *t = hash_of(m);
	u32 used = atomic_load_explicit(t->fresh, memory_order_relaxed);

	used = used && used <= t->n_nodes ? used : t->n_nodes;
	for (u32 tries = 0; tries < 2 * t->n_nodes + 2; tries++) {
		u32 at = atomic_fetch_add_explicit(t->hand, 1, memory_order_relaxed) % used;
		struct hash_node *n = hash_node_at(t, at);
		struct hash_spot spot = {.node = n, .index = at};
		struct hash_bucket *b;

		if (!atomic_load_explicit(&n->live, memory_order_acquire))
			continue;
		if (atomic_load_explicit(&n->recent, memory_order_relaxed)) {
			atomic_store_explicit(&n->recent, 0, memory_order_relaxed);
			continue;
		}
		if (hash_lock(m, h, s, peek(&n->hash), &b))
			continue;
		spot.place = atomic_load_explicit(&n->live, memory_order_acquire) ? place_of(t, b, at) : NULL;
		if (spot.place) {
			hash_name_bucket(m, s, b);
			hash_unlink(m, h, s, &spot);
		}
		owned_lock_drop(h, &b->lock);
		if (spot.place)
			return true;
	}
	return false;
}
