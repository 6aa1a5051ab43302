/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LPM_TRIE: longest prefix match. A key is {u32 prefixlen, bytes}, most significant bit first. The trie is path-compressed:
 * a node stands for a prefix; its children are longer and differ in the first bit behind it. Nodes without a
 * value exist only where two children part (Morrison 1968). Its shape follows from the set of prefixes alone.
 *
 * Concurrency:
 *  1. Writers hold one owned lock. Readers hold a run slot and no lock.
 *  2. A node's prefix never changes. A change of the trie is one store of one link, or of one node's kind, made after all
 *     that it leads to is complete; a reader sees the trie before or after it. Replacing a value replaces its node.
 *  3. A node that was unlinked waits in a queue with the epoch of its unlinking, and is reused when epoch_passed(). Spare
 *     nodes bridge runs that take long; when they are used up, an update waits for those, without the lock (epoch_await()).
 *  4. A writer that takes the lock over from a dead one walks the trie, counts, and makes every node it did not
 *     meet wait for the epoch. So nothing but links is needed to repair it.
 *  5. Indices, prefix lengths and depth read from the region are checked: a path gets longer prefixes at each step, so it
 *     ends, whatever the bytes are.
 */
#include "map/map.h"

#include <linux/bpf.h>

struct node {
	_Atomic u32 child[2]; /* node number, 0: none */
	_Atomic u32 next; /* in the queue of unlinked nodes, or the free list */
	_Atomic u32 mark; /* number of the repair that met it */
	_Atomic u64 epoch;
	_Atomic u16 bits; /* length of the prefix */
	_Atomic u8 inner; /* has no value */
	u8 reserved[5];
	u8 bytes[]; /* value (elem_size), then the prefix, padded with zeros to 8 */
};
_Static_assert(sizeof(struct node) == 32, "values are aligned to 8");

struct trie {
	owned_lock lock;
	_Atomic u32 root, entries;
	_Atomic u32 fresh; /* nodes from it on were never used */
	_Atomic u32 free; /* list */
	_Atomic u32 wait_first, wait_last; /* queue */
	_Atomic u32 repairs;
	u32 reserved[8];
};
_Static_assert(sizeof(struct trie) == 64, "nodes begin on a cache line");

struct trie_layout {
	u32 data_size, max_bits;
	u32 node_size, n_nodes; /* nodes are numbered from 1 */
	u8 *nodes;
	u32 *path; /* of a repair: max_bits + 2 */
};

enum { MIN_KEY = 4 + 1, MAX_KEY = 4 + 256 };
#ifdef SKEP_HOSTILE
enum { SPARE_LEAST = 4, SPARE_MOST = 4 };
#else
enum { SPARE_LEAST = 256, SPARE_MOST = 16384 };
#endif

static struct trie *trie(const struct map *m)
{
	return (struct trie *)(m->meta.base + sizeof(struct map_header));
}

static u32 get(const _Atomic u32 *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

static void set(_Atomic u32 *word, u32 x)
{
	atomic_store_explicit(word, x, memory_order_release);
}

static struct node *node_at(const struct trie_layout *l, u32 number)
{
	return number - 1 < l->n_nodes ? (struct node *)(l->nodes + (u64)(number - 1) * l->node_size) : NULL;
}

static u8 *prefix_of(const struct map *m, const struct node *n)
{
	return (u8 *)(uintptr_t)n->bytes + m->elem_size;
}

static u32 bits_of(const struct node *n)
{
	return atomic_load_explicit(&n->bits, memory_order_relaxed);
}

static bool is_inner(const struct node *n)
{
	return atomic_load_explicit(&n->inner, memory_order_acquire) != 0;
}

static u32 bit_at(const u8 *bytes, u32 at)
{
	return bytes[at / 8] >> (7 - at % 8) & 1;
}

/* The key's bytes from `at` on, as many as there are up to 8, as a number whose most significant bit is the first. */
static inline u64 key_word(const struct trie_layout *l, const u8 *bytes, u32 at)
{
	u32 left = l->data_size - at;
	u64 word = 0;

	if (left >= 8)
		return __builtin_bswap64(LOAD_AS(u64, bytes + at));
	if (left == 4)
		return (u64)__builtin_bswap32(LOAD_AS(u32, bytes + at)) << 32;
	for (u32 i = 0; i < left; i++)
		word |= (u64)bytes[at + i] << (56 - 8 * i);
	return word;
}

/* Leading bits that a node's prefix, which is padded to words, and a key share, at most limit; the first `known` are known to be. */
static inline u32 common_bits(const struct trie_layout *l, const u8 *prefix, const u8 *bytes, u32 known, u32 limit)
{
	for (u32 at = known / 64 * 8; at * 8 < limit; at += 8) {
		u64 diff = __builtin_bswap64(LOAD_AS(u64, prefix + at)) ^ key_word(l, bytes, at);

		if (diff)
			return MIN(limit, at * 8 + (u32)__builtin_clzll(diff));
	}
	return limit;
}

/* ---- life ---- */

static int lay_out(struct map *m, struct trie_layout *l)
{
	const struct map_spec *s = &m->spec;
	enum { SPARE = 16 << 20, MOST = 1 << 30 };
	u64 size, spare;

	l->data_size = s->key_size - 4;
	l->max_bits = l->data_size * 8;
	size = ALIGN_UP(sizeof(struct node) + (u64)m->elem_size + ALIGN_UP(l->data_size, 8u), 8);
	l->node_size = (u32)size;
	/* Every value may need a node that parts two; spare ones wait for readers to leave. Only what is used costs
	 * memory, but the range of addresses is limited: beyond it an update gives -ENOMEM. */
	spare = MAX(MIN(SPARE / size, (u64)SPARE_MOST), (u64)SPARE_LEAST);
	l->n_nodes = (u32)MIN(2 * (u64)s->max_entries + spare, MAX(MOST / size, 1024));
	l->path = mem_array(m->mem, l->max_bits + 2, sizeof(*l->path));
	return l->path ? 0 : -ENOMEM;
}

static void repair(struct map *m, const struct hold *h);

static int lpm_create(struct map *m)
{
	enum { FLAGS = BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG };
	const struct map_spec *s = &m->spec;
	struct trie_layout *l;
	int err;

	if (s->max_entries == 0 || !(s->flags & BPF_F_NO_PREALLOC) || s->flags & ~(u32)FLAGS || s->key_size < MIN_KEY ||
	    s->key_size > MAX_KEY || s->value_size == 0 || s->value_size > MAP_VALUE_MAX - MAX_KEY - sizeof(struct node))
		return -EINVAL;
	l = map_priv(m, sizeof(*l));
	if (!l)
		return -ENOMEM;
	err = lay_out(m, l);
	err = err ? err : map_meta_create(m, sizeof(struct trie) + (u64)l->n_nodes * l->node_size);
	if (err) {
		mem_free(m->mem, l->path, (l->max_bits + 2) * sizeof(*l->path));
		l->path = NULL;
		return err;
	}
	l->nodes = (u8 *)(trie(m) + 1);
	if (m->adopting && m->alone) {
		set(&trie(m)->lock, 0);
		repair(m, NULL);
	}
	return 0;
}

static void lpm_destroy(struct map *m)
{
	struct trie_layout *l = m->priv;

	if (l)
		mem_free(m->mem, l->path, (l->max_bits + 2) * sizeof(*l->path));
}

/* ---- nodes that are not in the trie; all under the lock ---- */

static void let_wait(struct map *m, u32 number, u64 epoch)
{
	const struct trie_layout *l = m->priv;
	struct trie *t = trie(m);
	struct node *n = node_at(l, number), *last = node_at(l, get(&t->wait_last));

	if (!n)
		return;
	atomic_store_explicit(&n->epoch, epoch, memory_order_relaxed);
	set(&n->next, 0);
	if (last && get(&t->wait_first))
		set(&last->next, number);
	else
		set(&t->wait_first, number);
	set(&t->wait_last, number);
}

static void unlinked(struct map *m, u32 number)
{
	let_wait(m, number, epoch_advance(m->domain));
}

static u32 take_node(struct map *m, const struct hold *h)
{
	const struct trie_layout *l = m->priv;
	struct trie *t = trie(m);
	u32 number = get(&t->free), fresh = get(&t->fresh);
	struct node *n = node_at(l, number);

	if (n) {
		set(&t->free, get(&n->next));
		return number;
	}
	number = get(&t->wait_first);
	n = node_at(l, number);
	if (n && epoch_passed(h, atomic_load_explicit(&n->epoch, memory_order_relaxed))) {
		set(&t->wait_first, get(&n->next));
		return number;
	}
	if (fresh >= l->n_nodes)
		return 0;
	set(&t->fresh, fresh + 1);
	return fresh + 1;
}

static void give_node(struct map *m, u32 number)
{
	struct trie *t = trie(m);
	struct node *n = node_at(m->priv, number);

	if (!n)
		return;
	set(&n->next, get(&t->free));
	set(&t->free, number);
}

/* Marks what can be reached; everything else that was ever used waits until nobody can be reading it. */
static void repair(struct map *m, const struct hold *h)
{
	const struct trie_layout *l = m->priv;
	struct trie *t = trie(m);
	u32 round = get(&t->repairs) + 1, entries = 0, depth = 0, fresh = at_most(get(&t->fresh), l->n_nodes);
	u64 epoch = h ? epoch_advance(m->domain) : 0;

	set(&t->repairs, round);
	set(&t->fresh, fresh);
	l->path[0] = get(&t->root);
	for (bool more = l->path[0] != 0; more;) {
		u32 number = l->path[depth], first, second;
		struct node *n = node_at(l, number);

		if (!n || number > fresh || get(&n->mark) == round || depth > l->max_bits) {
			more = depth-- > 0;
			continue;
		}
		set(&n->mark, round);
		entries += !is_inner(n);
		first = get(&n->child[0]);
		second = get(&n->child[1]);
		/* The path holds the nodes still to be visited: at most one more per level. */
		if (first && second) {
			l->path[depth++] = second;
			l->path[depth] = first;
		} else if (first || second) {
			l->path[depth] = first ? first : second;
		} else {
			more = depth-- > 0;
		}
	}
	set(&t->entries, entries);
	set(&t->free, 0);
	set(&t->wait_first, 0);
	set(&t->wait_last, 0);
	for (u32 i = 1; i <= fresh; i++)
		if (get(&node_at(l, i)->mark) != round) {
			if (h)
				let_wait(m, i, epoch);
			else
				give_node(m, i);
		}
}

static int lock_trie(struct map *m, const struct hold *h)
{
	int err = owned_lock_take(h, &trie(m)->lock);

	if (err > 0) {
		repair(m, h);
		err = 0;
	}
	return err;
}

/* ---- reading ---- */

/* The part of a key where a walk is, in a register: 8 bytes of it. */
struct key_part {
	u64 word;
	u32 base; /* its first bit */
};

static inline void next_part(const struct trie_layout *l, const u8 *bytes, struct key_part *p)
{
	p->base += 64;
	p->word = key_word(l, bytes, p->base / 8);
}

static inline u64 prefix_word(const struct map *m, const struct node *n, u32 base)
{
	return __builtin_bswap64(LOAD_AS(u64, prefix_of(m, n) + base / 8));
}

/* Does the node's prefix, which is no longer than the key, begin the key? The part is that of its end then. */
static inline bool begins(const struct map *m, const struct node *n, u32 length, const u8 *bytes, struct key_part *p)
{
	for (; unlikely(length > p->base + 64); next_part(m->priv, bytes, p))
		if (prefix_word(m, n, p->base) != p->word)
			return false;
	return length == p->base || (prefix_word(m, n, p->base) ^ p->word) >> (p->base + 64 - length) == 0;
}

/* Each step waits for the one before: of a node, the length and both children are loaded at once, and the key's next bit is in a register. */
static void *lpm_lookup(struct map *m, const struct hold *h, const void *key)
{
	const struct trie_layout *l = m->priv;
	const u8 *bytes = (const u8 *)key + 4;
	u32 bits = LOAD_AS(u32, key), at = get(&trie(m)->root) - 1;
	s64 known = -1;
	struct key_part part = {key_word(l, bytes, 0), 0};
	u64 size = l->node_size, off = at * size;
	struct node *best = NULL;

	(void)h;
	if (bits > l->max_bits)
		return NULL;
	while (at < l->n_nodes) {
		struct node *n = (struct node *)(l->nodes + off);
		u32 length = bits_of(n), zero = get(&n->child[0]) - 1, one = get(&n->child[1]) - 1;
		u64 off_zero = zero * size, off_one = one * size;
		bool side;

		/* Longer than its parent, or it is none of ours: so every path ends. */
		if (length > bits || length <= known || !begins(m, n, length, bytes, &part))
			break;
		best = is_inner(n) ? best : n;
		if (length == bits)
			break;
		if (unlikely(length == part.base + 64))
			next_part(l, bytes, &part);
		known = length;
		side = (s64)(part.word << (length - part.base)) < 0;
		at = side ? one : zero;
		off = side ? off_one : off_zero;
	}
	return best ? best->bytes : NULL;
}

static int lpm_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	const void *found = lpm_lookup(m, h, key);

	(void)flags;
	if (!found)
		return -ENOENT;
	map_copy_value(m, value, found);
	return 0;
}

/* The first node in post-order, children before their parent, that has a value: the longest prefixes come first. */
static struct node *first_below(const struct trie_layout *l, struct node *n)
{
	struct node *found = NULL;

	for (u32 bits = 0, steps = 0; n && (steps == 0 || bits_of(n) > bits) && steps <= l->max_bits; steps++) {
		struct node *left = node_at(l, get(&n->child[0]));

		if (!is_inner(n))
			found = n;
		bits = bits_of(n);
		n = left ? left : node_at(l, get(&n->child[1]));
	}
	return found;
}

static int lpm_next_key(struct map *m, const struct hold *h, const void *key, void *next)
{
	const struct trie_layout *l = m->priv;
	struct node *root = node_at(l, get(&trie(m)->root)), *n = root, *after = NULL, *found = NULL;
	const u8 *bytes = key ? (const u8 *)key + 4 : NULL;
	u32 bits = key ? LOAD_AS(u32, key) : UINT32_MAX, known = 0;

	(void)h;
	if (!root)
		return -ENOENT;
	/* On the way down to the key, `after` is what follows the node where we are: its sibling's first, or its parent. */
	for (bool first = true; n && bits <= l->max_bits; first = false) {
		u32 length = bits_of(n), side;
		struct node *sibling;

		if (length > bits || (!first && length <= known) || common_bits(l, prefix_of(m, n), bytes, known, length) < length)
			break;
		if (length == bits) {
			found = is_inner(n) ? NULL : n;
			break;
		}
		side = bit_at(bytes, length);
		sibling = side == 0 ? node_at(l, get(&n->child[1])) : NULL;
		if (sibling && (sibling = first_below(l, sibling)) != NULL)
			after = sibling;
		else if (!is_inner(n))
			after = n;
		known = length;
		n = node_at(l, get(&n->child[side]));
	}
	if (!found)
		after = first_below(l, root);
	if (!after)
		return -ENOENT;
	STORE_AS(u32, next, at_most(bits_of(after), l->max_bits));
	memcpy((u8 *)next + 4, prefix_of(m, after), l->data_size);
	return 0;
}

/* ---- writing; under the lock ---- */

struct place {
	_Atomic u32 *link, *parent_link; /* what leads to the node, and to its parent */
	struct node *node, *parent;
	u32 number, parent_number;
	u32 length; /* of the node's prefix */
	u32 common; /* bits that node and key share */
};

/* Where a key is or would be. false: the bytes make no sense. */
static bool find(struct map *m, u32 bits, const u8 *bytes, struct place *p)
{
	const struct trie_layout *l = m->priv;
	u32 known = 0;

	*p = (struct place){.link = &trie(m)->root};
	for (;;) {
		p->number = get(p->link);
		p->node = node_at(l, p->number);
		if (!p->node)
			return p->number == 0;
		p->length = bits_of(p->node);
		if (p->length > l->max_bits || (p->parent && p->length <= known))
			return false;
		p->common = common_bits(l, prefix_of(m, p->node), bytes, known, MIN(p->length, bits));
		if (p->common < p->length || p->length == bits)
			return true;
		known = p->length;
		p->parent_link = p->link;
		p->parent = p->node;
		p->parent_number = p->number;
		p->link = &p->node->child[bit_at(bytes, p->length)];
	}
}

static u32 make_node(struct map *m, const struct hold *h, u32 bits, const u8 *bytes, const void *value)
{
	const struct trie_layout *l = m->priv;
	u32 number = take_node(m, h);
	struct node *n = node_at(l, number);

	if (!n)
		return 0;
	atomic_store_explicit(&n->bits, (u16)bits, memory_order_relaxed);
	atomic_store_explicit(&n->inner, value ? 0 : 1, memory_order_relaxed);
	set(&n->child[0], 0);
	set(&n->child[1], 0);
	memset(prefix_of(m, n), 0, ALIGN_UP(l->data_size, 8u));
	memcpy(prefix_of(m, n), bytes, l->data_size);
	if (value)
		map_copy_value(m, n->bytes, value);
	return number;
}

static int insert(struct map *m, const struct hold *h, const struct place *p, u32 bits, const u8 *bytes, const void *value)
{
	const struct trie_layout *l = m->priv;
	u32 fresh = make_node(m, h, bits, bytes, value), fork;
	struct node *n = node_at(l, fresh);

	if (!n)
		return -ENOMEM;
	if (!p->node) {
		set(p->link, fresh);
	} else if (p->common == bits && bits == p->length) { /* the same prefix */
		set(&n->child[0], get(&p->node->child[0]));
		set(&n->child[1], get(&p->node->child[1]));
		set(p->link, fresh);
		unlinked(m, p->number);
	} else if (p->common == bits) { /* a prefix of the node's */
		set(&n->child[bit_at(prefix_of(m, p->node), bits)], p->number);
		set(p->link, fresh);
	} else {
		fork = make_node(m, h, p->common, prefix_of(m, p->node), NULL);
		if (!fork) {
			give_node(m, fresh);
			return -ENOMEM;
		}
		set(&node_at(l, fork)->child[bit_at(bytes, p->common)], fresh);
		set(&node_at(l, fork)->child[!bit_at(bytes, p->common)], p->number);
		set(p->link, fork);
	}
	return 0;
}

/* Without the lock, which others may be waiting for: have the runs ended that may still use unlinked nodes? */
static bool wait_for_node(struct map *m, const struct hold *h, u32 attempt)
{
	enum { ATTEMPTS = 64 }; /* others may be faster to take what was given back */
	const struct node *n = node_at(m->priv, get(&trie(m)->wait_first));

	if (!n || attempt >= ATTEMPTS)
		return false;
	epoch_await(h, atomic_load_explicit(&n->epoch, memory_order_relaxed));
	return true;
}

static int update_once(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	const u8 *bytes = (const u8 *)key + 4;
	u32 bits = LOAD_AS(u32, key), entries;
	struct place p;
	bool exists;
	int err = lock_trie(m, h);

	if (err)
		return err;
	entries = get(&trie(m)->entries);
	err = -EINVAL;
	if (!find(m, bits, bytes, &p))
		goto out;
	exists = p.node && p.common == bits && p.length == bits && !is_inner(p.node);
	if (exists && flags == BPF_NOEXIST)
		err = -EEXIST;
	else if (!exists && flags == BPF_EXIST)
		err = -ENOENT;
	else if (!exists && entries >= m->spec.max_entries)
		err = -ENOSPC;
	else
		err = insert(m, h, &p, bits, bytes, value);
	if (!err && !exists)
		set(&trie(m)->entries, entries + 1);
out:
	owned_lock_drop(h, &trie(m)->lock);
	return err;
}

static int lpm_update(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	const struct trie_layout *l = m->priv;
	u32 attempt = 0;
	int err;

	if (flags > BPF_EXIST || LOAD_AS(u32, key) > l->max_bits)
		return -EINVAL;
	do
		err = update_once(m, h, key, value, flags);
	while (err == -ENOMEM && wait_for_node(m, h, attempt++));
	return err;
}

static void unlink_node(struct map *m, const struct place *p)
{
	u32 left = get(&p->node->child[0]), right = get(&p->node->child[1]);

	if (left && right) { /* it stays, to part the two */
		atomic_store_explicit(&p->node->inner, 1, memory_order_release);
		return;
	}
	if (!left && !right && p->parent && is_inner(p->parent)) { /* nothing is left to part: the sibling moves up */
		set(p->parent_link, get(&p->parent->child[p->link == &p->parent->child[0]]));
		unlinked(m, p->parent_number);
	} else {
		set(p->link, left ? left : right);
	}
	unlinked(m, p->number);
}

static int lpm_remove(struct map *m, const struct hold *h, const void *key)
{
	const struct trie_layout *l = m->priv;
	u32 bits = LOAD_AS(u32, key);
	struct place p;
	int err;

	if (bits > l->max_bits)
		return -EINVAL;
	err = lock_trie(m, h);
	if (err)
		return err;
	if (find(m, bits, (const u8 *)key + 4, &p) && p.node && p.common == bits && p.length == bits && !is_inner(p.node)) {
		unlink_node(m, &p);
		set(&trie(m)->entries, get(&trie(m)->entries) - 1);
	} else {
		err = -ENOENT;
	}
	owned_lock_drop(h, &trie(m)->lock);
	return err;
}

static bool lpm_in_value(struct map *m, const void *addr, u64 size)
{
	const struct trie_layout *l = m->priv;
	u64 off = (u64)((const u8 *)addr - l->nodes), in_node = off % l->node_size - sizeof(struct node);

	return off < (u64)l->n_nodes * l->node_size && in_node < m->spec.value_size && size <= m->spec.value_size - in_node;
}

const struct map_ops lpm_trie_ops = {
	.create = lpm_create,
	.destroy = lpm_destroy,
	.lookup = lpm_lookup,
	.update = lpm_update,
	.remove = lpm_remove,
	.get = lpm_get,
	.set = lpm_update,
	.next_key = lpm_next_key,
	.in_value = lpm_in_value,
	.traits = KIND_INNER | KIND_BATCH_GET_SET | KIND_BATCH_DELETE | KIND_PRIVILEGED,
};
