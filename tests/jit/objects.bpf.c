// SPDX-License-Identifier: BSD-2-Clause
/* Objects that programs allocate: lists, trees, counts of references, kptrs, per-CPU objects; sets of CPUs, bits, strings, formats. Each program says in its name what it returns. */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

char terms[] SEC("license") = "GPL";

struct bpf_list_head {
	u64 : 64, : 64;
} __attribute__((aligned(8)));
struct bpf_list_node {
	u64 : 64, : 64, : 64;
} __attribute__((aligned(8)));
struct bpf_rb_root {
	u64 : 64, : 64;
} __attribute__((aligned(8)));
struct bpf_rb_node {
	u64 : 64, : 64, : 64, : 64;
} __attribute__((aligned(8)));
struct bpf_refcount {
	u32 : 32;
} __attribute__((aligned(4)));
struct bpf_iter_bits {
	u64 opaque[2];
};
#include <linux/version.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
struct bpf_iter_num {
	u64 opaque[1];
} __attribute__((aligned(8)));
#endif
struct cpumask {
	u64 bits[4];
} __attribute__((preserve_access_index));
struct bpf_cpumask {
	struct cpumask cpumask;
} __attribute__((preserve_access_index));
struct trace_entry {
	unsigned short type;
	u8 flags, preempt_count;
	int pid;
};

#define KPTR		    __attribute__((btf_type_tag("kptr")))
#define PERCPU_KPTR	    __attribute__((btf_type_tag("percpu_kptr")))
#define CONTAINS(type, node) __attribute__((btf_decl_tag("contains:" #type ":" #node)))
#define PRIVATE(name)	    SEC(".data." #name) __attribute__((visibility("hidden"), aligned(8)))
#define OUTER(node, type, member) ((type *)((char *)(node)-__builtin_offsetof(type, member)))
#define NEW(type)	    ((type *)bpf_obj_new_impl(bpf_core_type_id_local(type), 0))
#define NEW_PERCPU(type)    ((type PERCPU_KPTR *)bpf_percpu_obj_new_impl(bpf_core_type_id_local(type), 0))
#define DROP(p)		    bpf_obj_drop_impl(p, 0)

extern void *bpf_obj_new_impl(u64 id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *p, void *meta) __ksym;
extern void *bpf_percpu_obj_new_impl(u64 id, void *meta) __ksym;
extern void bpf_percpu_obj_drop_impl(void *p, void *meta) __ksym;
extern void *bpf_refcount_acquire_impl(void *p, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, u64 off) __ksym;
extern int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, u64 off) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_back(struct bpf_list_head *head) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node, _Bool (*less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta, u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *from, u32 words) __ksym;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) __ksym;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) __ksym;
extern void *bpf_rdonly_cast(const void *p, u32 id) __ksym;

extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *m) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *m) __ksym;
extern u32 bpf_cpumask_first(const struct cpumask *m) __ksym;
extern u32 bpf_cpumask_first_zero(const struct cpumask *m) __ksym;
extern u32 bpf_cpumask_first_and(const struct cpumask *a, const struct cpumask *b) __ksym;
extern void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *m) __ksym;
extern void bpf_cpumask_clear_cpu(u32 cpu, struct bpf_cpumask *m) __ksym;
extern _Bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *m) __ksym;
extern _Bool bpf_cpumask_test_and_set_cpu(u32 cpu, struct bpf_cpumask *m) __ksym;
extern _Bool bpf_cpumask_test_and_clear_cpu(u32 cpu, struct bpf_cpumask *m) __ksym;
extern void bpf_cpumask_setall(struct bpf_cpumask *m) __ksym;
extern void bpf_cpumask_clear(struct bpf_cpumask *m) __ksym;
extern _Bool bpf_cpumask_and(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b) __ksym;
extern void bpf_cpumask_or(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b) __ksym;
extern void bpf_cpumask_xor(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b) __ksym;
extern _Bool bpf_cpumask_equal(const struct cpumask *a, const struct cpumask *b) __ksym;
extern _Bool bpf_cpumask_intersects(const struct cpumask *a, const struct cpumask *b) __ksym;
extern _Bool bpf_cpumask_subset(const struct cpumask *a, const struct cpumask *b) __ksym;
extern _Bool bpf_cpumask_empty(const struct cpumask *m) __ksym;
extern _Bool bpf_cpumask_full(const struct cpumask *m) __ksym;
extern void bpf_cpumask_copy(struct bpf_cpumask *to, const struct cpumask *from) __ksym;
extern u32 bpf_cpumask_any_distribute(const struct cpumask *m) __ksym;
extern u32 bpf_cpumask_any_and_distribute(const struct cpumask *a, const struct cpumask *b) __ksym;
extern u32 bpf_cpumask_weight(const struct cpumask *m) __ksym;
extern int bpf_cpumask_populate(struct cpumask *m, void *src, unsigned long src__sz) __ksym;

extern int bpf_strcmp(const char *a, const char *b) __ksym;
extern int bpf_strcasecmp(const char *a, const char *b) __ksym;
extern int bpf_strchr(const char *s, char c) __ksym;
extern int bpf_strchrnul(const char *s, char c) __ksym;
extern int bpf_strnchr(const char *s, unsigned long n, char c) __ksym;
extern int bpf_strrchr(const char *s, int c) __ksym;
extern int bpf_strlen(const char *s) __ksym;
extern int bpf_strnlen(const char *s, unsigned long n) __ksym;
extern int bpf_strspn(const char *s, const char *set) __ksym;
extern int bpf_strcspn(const char *s, const char *set) __ksym;
extern int bpf_strstr(const char *a, const char *b) __ksym;
extern int bpf_strnstr(const char *a, const char *b, unsigned long n) __ksym;

/* A loop that is verified once: i from 0 to n - 1. A body that leaves it ends the iterator itself. */
#define FOR(i, n)                                                                                                   \
	for (struct bpf_iter_num it_##i __attribute__((cleanup(bpf_iter_num_destroy))), *once_##i = (bpf_iter_num_new(&it_##i, 0, n), &it_##i); once_##i; once_##i = 0) \
		for (int *at_##i; (at_##i = bpf_iter_num_next(&it_##i)) && ((i = (u32)*at_##i), i < (n));)

/* ---- lists ---- */

struct item {
	u64 key;
	struct bpf_list_node node;
};
PRIVATE(A) struct bpf_spin_lock list_lock;
PRIVATE(A) struct bpf_list_head list CONTAINS(item, node);

static int push(u64 key, int front)
{
	struct item *i = NEW(struct item);

	if (!i)
		return 1;
	i->key = key;
	bpf_spin_lock(&list_lock);
	if (front)
		bpf_list_push_front_impl(&list, &i->node, 0, 0);
	else
		bpf_list_push_back_impl(&list, &i->node, 0, 0);
	bpf_spin_unlock(&list_lock);
	return 0;
}

/* 0: there was none. */
static u64 pop(int front)
{
	struct bpf_list_node *n;
	struct item *i;
	u64 key;

	bpf_spin_lock(&list_lock);
	n = front ? bpf_list_pop_front(&list) : bpf_list_pop_back(&list);
	bpf_spin_unlock(&list_lock);
	if (!n)
		return 0;
	i = OUTER(n, struct item, node);
	key = i->key;
	DROP(i);
	return key;
}

SEC("tc") int list_order(struct __sk_buff *ctx)
{
	u64 sum = 0;

	for (u32 i = 1; i <= 8; i++)
		if (push(i, i & 1))
			return -1;
	for (u32 i = 1; i <= 4; i++)
		sum = sum * 10 + pop(1); /* 7531 */
	sum = sum * 10 + pop(0);
	sum = sum * 10 + pop(0);
	sum = sum * 10 + pop(1);
	sum = sum * 10 + pop(1); /* 8 6 2 4 */
	return (int)(sum * 10 + pop(1) + pop(0));
}

SEC("tc") int list_peeks(struct __sk_buff *ctx)
{
	struct bpf_list_node *n;
	u64 first = 0, last = 0;

	if (push(5, 0) || push(6, 0) || push(7, 0))
		return -1;
	bpf_spin_lock(&list_lock);
	n = bpf_list_front(&list);
	if (n)
		first = OUTER(n, struct item, node)->key;
	n = bpf_list_back(&list);
	if (n)
		last = OUTER(n, struct item, node)->key;
	bpf_spin_unlock(&list_lock);
	first = first * 10 + last;
	for (u32 i = 0; i < 3; i++)
		first = first * 10 + pop(0);
	return (int)first;
}

struct big {
	char bytes[3900];
	struct bpf_list_node node;
};
PRIVATE(D) struct bpf_spin_lock big_lock;
PRIVATE(D) struct bpf_list_head big_list CONTAINS(big, node);

/* What a program leaves in its maps goes with them. */
SEC("tc") int list_left(struct __sk_buff *ctx)
{
	u32 i, missing = 0;

	FOR (i, 100) {
		struct big *b = NEW(struct big);

		if (!b) {
			missing++;
			continue;
		}
		bpf_spin_lock(&big_lock);
		bpf_list_push_back_impl(&big_list, &b->node, 0, 0);
		bpf_spin_unlock(&big_lock);
	}
	return -(int)missing;
}

static long turn(u32 i, void *sum)
{
	*(u64 *)sum += i;
	return 0;
}

/* Long enough to be ended early. */
SEC("tc") int held_long(struct __sk_buff *ctx)
{
	struct big *b = NEW(struct big), *c;
	u64 sum = 0;

	if (!b)
		return -1;
	c = NEW(struct big);
	bpf_loop(1 << 20, turn, &sum, 0);
	DROP(b);
	if (c)
		DROP(c);
	return sum != 0;
}

/* ---- trees ---- */

struct leaf {
	u64 key;
	struct bpf_rb_node node;
};
PRIVATE(B) struct bpf_spin_lock tree_lock;
PRIVATE(B) struct bpf_rb_root tree CONTAINS(leaf, node);

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return OUTER(a, struct leaf, node)->key < OUTER(b, struct leaf, node)->key;
}

static __attribute__((noinline)) int plant(u64 key)
{
	struct leaf *l = NEW(struct leaf);

	if (!l)
		return 1;
	l->key = key;
	bpf_spin_lock(&tree_lock);
	bpf_rbtree_add_impl(&tree, &l->node, less, 0, 0);
	bpf_spin_unlock(&tree_lock);
	return 0;
}

/* UINT64_MAX: the tree is empty. */
static __attribute__((noinline)) u64 take_first(void)
{
	struct bpf_rb_node *n;
	struct leaf *l;
	u64 key;

	bpf_spin_lock(&tree_lock);
	n = bpf_rbtree_first(&tree);
	if (!n) {
		bpf_spin_unlock(&tree_lock);
		return -1;
	}
	n = bpf_rbtree_remove(&tree, n);
	bpf_spin_unlock(&tree_lock);
	if (!n)
		return -1;
	l = OUTER(n, struct leaf, node);
	key = l->key;
	DROP(l);
	return key;
}

/* Not on the stack: what their values are, the verifier does not follow. */
static volatile u32 seed, missing, found, path, steps;
static volatile u64 last;

static u32 next_key(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 20;
}

/* How many come in order. */
SEC("tc") int tree_order(struct __sk_buff *ctx)
{
	u32 i;

	missing = found = 0;
	last = 0;
	seed = 1;
	FOR (i, 200)
		missing += plant(next_key());
	FOR (i, 200) {
		u64 key = take_first();

		if (key >= last && key != (u64)-1)
			found++;
		last = key;
	}
	return missing ? -1 : (int)found + (take_first() != (u64)-1);
}

/* The key at the end of a path from the root, left for 0 and right for 1; 0: there is none. */
static __attribute__((noinline)) u64 along(void)
{
	struct bpf_rb_node *n;
	u64 key = 0;

	bpf_spin_lock(&tree_lock);
	n = bpf_rbtree_root(&tree);
	for (u32 i = 0; i < steps && i < 8 && n; i++)
		n = path >> i & 1 ? bpf_rbtree_right(&tree, n) : bpf_rbtree_left(&tree, n);
	if (n)
		key = OUTER(n, struct leaf, node)->key;
	bpf_spin_unlock(&tree_lock);
	return key;
}

/* Takes out whatever lies at the end of a path. */
static __attribute__((noinline)) int cut(void)
{
	struct bpf_rb_node *n;

	bpf_spin_lock(&tree_lock);
	n = bpf_rbtree_root(&tree);
	for (u32 i = 0; i < steps && i < 8 && n; i++)
		n = path >> i & 1 ? bpf_rbtree_right(&tree, n) : bpf_rbtree_left(&tree, n);
	if (!n) {
		bpf_spin_unlock(&tree_lock);
		return 0;
	}
	n = bpf_rbtree_remove(&tree, n);
	bpf_spin_unlock(&tree_lock);
	if (n)
		DROP(OUTER(n, struct leaf, node));
	return n != 0;
}

static u32 shape(void)
{
	u32 h = 0, i;

	FOR (i, 256) {
		path = i;
		steps = i & 7;
		h = h * 31 + (u32)along();
	}
	return h;
}

/* The same tree in every implementation of the textbook's: from what was added, and after some were removed. */
SEC("tc") int tree_shape(struct __sk_buff *ctx)
{
	u32 h, i;

	missing = found = 0;
	seed = 7;
	FOR (i, 100)
		missing += plant(next_key() + 1);
	h = shape();
	FOR (i, 60) {
		path = i * 37;
		steps = i & 3;
		found += cut();
	}
	h = h * 31 + found;
	h = h * 31 + shape();
	FOR (i, 100)
		if (take_first() != (u64)-1)
			found++;
	return found == 100 && !missing ? h & 0x7fffffff : -1;
}

/* ---- counts ---- */

struct both {
	u64 key;
	struct bpf_refcount count;
	struct bpf_rb_node in_tree;
	struct bpf_list_node in_list;
};
PRIVATE(C) struct bpf_spin_lock both_lock;
PRIVATE(C) struct bpf_rb_root both_tree CONTAINS(both, in_tree);
PRIVATE(C) struct bpf_list_head both_list CONTAINS(both, in_list);

static _Bool less_both(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return OUTER(a, struct both, in_tree)->key < OUTER(b, struct both, in_tree)->key;
}

static u64 both_from_list(void)
{
	struct bpf_list_node *n;
	struct both *b;
	u64 key;

	bpf_spin_lock(&both_lock);
	n = bpf_list_pop_front(&both_list);
	bpf_spin_unlock(&both_lock);
	if (!n)
		return 0;
	b = OUTER(n, struct both, in_list);
	key = b->key;
	DROP(b);
	return key;
}

static u64 both_from_tree(void)
{
	struct bpf_rb_node *n;
	struct both *b;
	u64 key;

	bpf_spin_lock(&both_lock);
	n = bpf_rbtree_first(&both_tree);
	if (!n) {
		bpf_spin_unlock(&both_lock);
		return 0;
	}
	n = bpf_rbtree_remove(&both_tree, n);
	bpf_spin_unlock(&both_lock);
	if (!n)
		return 0;
	b = OUTER(n, struct both, in_tree);
	key = b->key;
	DROP(b);
	return key;
}

/* In a list and a tree at once; what is taken out of one stays in the other. */
SEC("tc") int count_in_both(struct __sk_buff *ctx)
{
	u64 sum;

	for (u32 i = 1; i <= 4; i++) {
		struct both *b = NEW(struct both), *more;

		if (!b)
			return -1;
		b->key = 5 - i;
		more = bpf_refcount_acquire_impl(b, 0);
		bpf_spin_lock(&both_lock);
		bpf_rbtree_add_impl(&both_tree, &b->in_tree, less_both, 0, 0);
		if (more)
			bpf_list_push_back_impl(&both_list, &more->in_list, 0, 0);
		bpf_spin_unlock(&both_lock);
	}
	sum = both_from_tree(); /* 1 */
	sum = sum * 10 + both_from_list(); /* 4 */
	for (u32 i = 0; i < 4; i++)
		sum = sum * 10 + both_from_tree(); /* 2 3 4 0 */
	for (u32 i = 0; i < 3; i++)
		sum = sum * 10 + both_from_list(); /* 3 2 1 */
	return (int)(sum + both_from_list());
}

/* A node that is in a list already is refused, and the reference is gone. */
SEC("tc") int count_twice(struct __sk_buff *ctx)
{
	struct both *b = NEW(struct both), *more;
	int first, second = 0;

	if (!b)
		return 1;
	b->key = 3;
	more = bpf_refcount_acquire_impl(b, 0);
	bpf_spin_lock(&both_lock);
	first = bpf_list_push_back_impl(&both_list, &b->in_list, 0, 0);
	bpf_spin_unlock(&both_lock);
	bpf_spin_lock(&both_lock);
	if (more)
		second = bpf_list_push_front_impl(&both_list, &more->in_list, 0, 0);
	bpf_spin_unlock(&both_lock);
	if (both_from_list() != 3 || both_from_list())
		return 2;
	return first * 1000 + second;
}

/* ---- kptrs ---- */

struct plain {
	u64 a, b;
};
struct holder {
	struct plain KPTR *p;
	u64 x;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, struct holder);
} holders SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, u32);
	__type(value, struct holder);
} hashed SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16);
	__type(key, u32);
	__type(value, struct holder);
} recent SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct holder);
} of_cpus SEC(".maps");

static int stash(struct holder *h, u64 a)
{
	struct plain *p = NEW(struct plain);
	int had;

	if (!p)
		return -1;
	p->a = a;
	p->b = 0; /* Linux gives objects as they come */
	p = bpf_kptr_xchg(&h->p, p);
	had = p ? (int)p->a : 0;
	if (p)
		DROP(p);
	return had;
}

static int unstash(struct holder *h)
{
	struct plain *p = bpf_kptr_xchg(&h->p, 0);
	int had = p ? (int)p->a + (int)p->b : 0;

	if (p)
		DROP(p);
	return had;
}

SEC("tc") int kptr_array(struct __sk_buff *ctx)
{
	struct holder with = {.x = 9}, *h;
	u32 key = 1;
	int sum;

	h = bpf_map_lookup_elem(&holders, &key);
	if (!h)
		return 0;
	unstash(h);
	sum = stash(h, 1);
	sum = sum * 10 + stash(h, 2); /* 1 */
	sum = sum * 10 + unstash(h); /* 2 */
	sum = sum * 10 + unstash(h); /* 0 */
	stash(h, 3);
	bpf_map_update_elem(&holders, &key, &with, 0); /* ends it */
	return (sum * 10 + unstash(h)) * 10 + (int)h->x;
}

SEC("tc") int kptr_hash(struct __sk_buff *ctx)
{
	struct holder with = {.x = 9}, *h;
	u32 key = 7;
	int sum = 0;

	bpf_map_update_elem(&hashed, &key, &with, 0);
	h = bpf_map_lookup_elem(&hashed, &key);
	if (!h)
		return 0;
	stash(h, 4);
	sum = stash(h, 5); /* 4 */
	bpf_map_update_elem(&hashed, &key, &with, 0);
	h = bpf_map_lookup_elem(&hashed, &key);
	if (!h)
		return 0;
	sum = sum * 10 + unstash(h); /* 0: another element */
	stash(h, 6);
	bpf_map_delete_elem(&hashed, &key);
	return sum;
}

SEC("tc") int kptr_cpu(struct __sk_buff *ctx)
{
	u32 key = 0;
	struct holder *h = bpf_map_lookup_elem(&of_cpus, &key);

	if (!h)
		return 0;
	unstash(h);
	stash(h, 3);
	return stash(h, 4) * 10 + unstash(h);
}

/* Elements that are evicted, replaced and deleted, over and over: nothing of it may stay. */
SEC("tc") int kptr_churn(struct __sk_buff *ctx)
{
	struct holder with = {.x = 1};
	u32 i, failed = 0;

	FOR (i, 64) {
		u32 key = bpf_get_prandom_u32() & 63, slot = key & 15;
		struct holder *h;

		bpf_map_update_elem(&recent, &key, &with, 0);
		h = bpf_map_lookup_elem(&recent, &key);
		failed |= h && stash(h, i) < 0;
		bpf_map_update_elem(&hashed, &slot, &with, 0);
		h = bpf_map_lookup_elem(&hashed, &slot);
		failed |= h && stash(h, i) < 0;
		if (i & 1)
			bpf_map_delete_elem(&hashed, &slot);
		failed |= h && stash(h, i) < 0; /* into an element that has left the map */
	}
	return (int)failed;
}

SEC("tc") int kptr_read(struct __sk_buff *ctx)
{
	u32 key = 2;
	struct holder *h = bpf_map_lookup_elem(&holders, &key);
	struct plain *p;
	int sum = 0;

	if (!h)
		return 0;
	stash(h, 21);
	bpf_rcu_read_lock();
	p = h->p;
	if (p) {
		p->b = 2;
		sum = (int)p->a;
		sum += unstash(h); /* 23; p is as it was until the section ends */
		sum += (int)p->b;
	}
	bpf_rcu_read_unlock();
	return sum;
}

/* ---- objects that hold others ---- */

struct branch {
	struct bpf_rb_node node;
	struct plain KPTR *p;
	struct bpf_spin_lock lock;
	struct bpf_list_head items CONTAINS(big, node);
};
struct trunk {
	struct branch KPTR *b;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct trunk);
} trunks SEC(".maps");

/* Ends the one before with all that it holds. */
SEC("tc") int nested(struct __sk_buff *ctx)
{
	struct branch *b = NEW(struct branch);
	struct big *i;
	struct trunk *t;
	struct plain *p;
	u32 key = 0;

	if (!b)
		return 1;
	for (u32 n = 0; n < 3; n++) {
		i = NEW(struct big);
		if (!i) {
			DROP(b);
			return 2;
		}
		bpf_spin_lock(&b->lock);
		bpf_list_push_front_impl(&b->items, &i->node, 0, 0);
		bpf_spin_unlock(&b->lock);
	}
	p = NEW(struct plain);
	if (p) {
		p = bpf_kptr_xchg(&b->p, p);
		if (p)
			DROP(p);
	}
	t = bpf_map_lookup_elem(&trunks, &key);
	if (!t) {
		DROP(b);
		return 3;
	}
	b = bpf_kptr_xchg(&t->b, b);
	if (b)
		DROP(b);
	return 0;
}

/* ---- one for each CPU ---- */

struct tally {
	u64 n, m;
};
struct cell {
	struct tally PERCPU_KPTR *t;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cell);
} cells SEC(".maps");

SEC("tc") int per_cpu(struct __sk_buff *ctx)
{
	struct tally PERCPU_KPTR *t = NEW_PERCPU(struct tally);
	struct tally *mine;
	struct cell *c;
	u32 key = 0, i;
	u64 sum = 0;

	c = bpf_map_lookup_elem(&cells, &key);
	if (!c) {
		if (t)
			bpf_percpu_obj_drop_impl((void *)t, 0);
		return -1;
	}
	if (!t)
		return -2;
	t = bpf_kptr_xchg(&c->t, t);
	if (t)
		bpf_percpu_obj_drop_impl((void *)t, 0);
	bpf_rcu_read_lock();
	t = c->t;
	if (t) {
		FOR (i, 4096) { /* Linux gives what was there before */
			mine = bpf_per_cpu_ptr(t, i);
			if (!mine)
				break;
			mine->n = mine->m = 0;
		}
		mine = bpf_this_cpu_ptr(t);
		mine->n += 5;
		mine->m = 1;
		FOR (i, 4096) {
			mine = bpf_per_cpu_ptr(t, i);
			if (!mine)
				break;
			sum += mine->n * 10 + mine->m;
		}
	}
	bpf_rcu_read_unlock();
	return (int)sum;
}

/* ---- sets of CPUs: of those that every machine has, the first ---- */

static void put(struct bpf_cpumask *m)
{
	if (m)
		bpf_cpumask_release(m);
}

static u64 words[4] = {1};

/* A kernel's function that returns a bool says so in one byte. */
static u32 flag(u64 yes, u32 bit)
{
	asm volatile("" : "+r"(yes));
	return (u32)(yes & 1) << bit;
}

SEC("syscall") int cpu_sets(void *ctx)
{
	struct bpf_cpumask *a = bpf_cpumask_create(), *b = bpf_cpumask_create(), *c = bpf_cpumask_create();
	u32 r = 0, cpus;

	if (!a || !b || !c)
		goto out;
	r = flag(bpf_cpumask_empty(&a->cpumask), 0);
	bpf_cpumask_setall(a);
	cpus = bpf_cpumask_weight(&a->cpumask);
	r |= flag(bpf_cpumask_full(&a->cpumask), 1);
	r |= flag((bpf_cpumask_first_zero(&a->cpumask) >= cpus), 2);
	r |= flag((bpf_cpumask_first(&b->cpumask) >= cpus), 3);
	bpf_cpumask_set_cpu(0, b);
	bpf_cpumask_set_cpu(100000, b);
	r |= flag(bpf_cpumask_test_cpu(0, &b->cpumask), 4);
	r |= flag(bpf_cpumask_test_cpu(100000, &b->cpumask), 5);
	r |= flag(bpf_cpumask_test_and_set_cpu(0, b), 6);
	r |= flag(bpf_cpumask_subset(&b->cpumask, &a->cpumask), 7);
	r |= flag(bpf_cpumask_intersects(&b->cpumask, &a->cpumask), 8);
	bpf_cpumask_xor(c, &a->cpumask, &b->cpumask);
	r |= flag(bpf_cpumask_intersects(&b->cpumask, &c->cpumask), 9);
	r |= flag((bpf_cpumask_weight(&c->cpumask) + 1 == cpus), 10);
	bpf_cpumask_or(c, &c->cpumask, &b->cpumask);
	r |= flag(bpf_cpumask_equal(&a->cpumask, &c->cpumask), 11);
	r |= flag(bpf_cpumask_and(c, &a->cpumask, &b->cpumask), 12);
	r |= flag(bpf_cpumask_equal(&b->cpumask, &c->cpumask), 13);
	r |= flag((bpf_cpumask_any_distribute(&c->cpumask) == 0), 14);
	r |= flag((bpf_cpumask_any_and_distribute(&a->cpumask, &c->cpumask) == 0), 15);
	r |= flag((bpf_cpumask_first_and(&a->cpumask, &c->cpumask) == 0), 16);
	r |= flag(bpf_cpumask_test_and_clear_cpu(0, c), 17);
	r |= flag(bpf_cpumask_empty(&c->cpumask), 18);
	bpf_cpumask_copy(c, &a->cpumask);
	bpf_cpumask_clear_cpu(0, c);
	r |= flag((bpf_cpumask_first_zero(&c->cpumask) == 0), 19);
	bpf_cpumask_clear(a);
	r |= flag(bpf_cpumask_empty(&a->cpumask), 20);
	r |= flag((b->cpumask.bits[0] & 1), 21);
	r |= flag((bpf_cpumask_populate((struct cpumask *)a, words, sizeof(words)) == 0), 22);
	r |= flag(bpf_cpumask_equal(&a->cpumask, &b->cpumask), 23);
out:
	put(a);
	put(b);
	put(c);
	return (int)r;
}

/* ---- bits ---- */

static u64 bits[5] = {0x8000000000000001, 0, 0x10, 0xffffffffffffffff, 1};

static u32 sum_bits(const u64 *from, u32 words)
{
	struct bpf_iter_bits it;
	u32 sum = 0;
	int *bit;

	bpf_iter_bits_new(&it, from, words);
	while ((bit = bpf_iter_bits_next(&it)))
		sum += (u32)*bit + 1;
	bpf_iter_bits_destroy(&it);
	return sum;
}

SEC("tc") int bit_sums(struct __sk_buff *ctx)
{
	u64 here[2] = {3, 4};

	return (int)(sum_bits(bits, 5) + 100000 * sum_bits(bits, 1) + 10000000 * sum_bits(here, 2));
}

SEC("tc") int bit_refusals(struct __sk_buff *ctx)
{
	struct bpf_iter_bits it;
	int a, b, c;

	a = bpf_iter_bits_new(&it, bits, 0);
	bpf_iter_bits_destroy(&it);
	b = bpf_iter_bits_new(&it, bits, 512);
	bpf_iter_bits_destroy(&it);
	c = bpf_iter_bits_new(&it, 0, 1);
	bpf_iter_bits_destroy(&it);
	return -(a * 10000 + b * 100 + c);
}

/* ---- strings ---- */

static char hello[] = "Hello, World", set[] = "leHo", upper[] = "HELLO, WORLD";

SEC("tc") int string_all(struct __sk_buff *ctx)
{
	char here[16] = "World";
	u64 h = 0;

#define ADD(x) h = h * 31 + (u64)(long long)(int)(x)
	ADD(bpf_strcmp(hello, upper));
	ADD(bpf_strcmp(upper, hello));
	ADD(bpf_strcmp(hello, hello));
	ADD(bpf_strcasecmp(hello, upper));
	ADD(bpf_strchr(hello, 'o'));
	ADD(bpf_strchr(hello, 'x'));
	ADD(bpf_strchr(hello, 0));
	ADD(bpf_strchrnul(hello, 'x'));
	ADD(bpf_strnchr(hello, 3, 'o'));
	ADD(bpf_strnchr(hello, 5, 'o'));
	ADD(bpf_strrchr(hello, 'o'));
	ADD(bpf_strrchr(hello, 'x'));
	ADD(bpf_strlen(hello));
	ADD(bpf_strnlen(hello, 4));
	ADD(bpf_strnlen(hello, 100));
	ADD(bpf_strspn(hello, set));
	ADD(bpf_strspn(hello, upper));
	ADD(bpf_strcspn(hello, set + 3));
	ADD(bpf_strcspn(hello, here));
	ADD(bpf_strstr(hello, here));
	ADD(bpf_strstr(hello, upper));
	ADD(bpf_strstr(hello, hello + 12));
	ADD(bpf_strnstr(hello, here, 11));
	ADD(bpf_strnstr(hello, here, 12));
	ADD(bpf_strnstr(hello, here, 13));
	ADD(bpf_strcmp(hello, (const char *)1));
	ADD(bpf_strlen(0));
	ADD(bpf_strstr((const char *)2, here));
	return (int)(h & 0x7fffffff);
}

static char longest[65537 + 7];

SEC("tc") int string_long(struct __sk_buff *ctx)
{
	u64 h = 0;
	u32 i;

	FOR (i, 65537)
		((volatile char *)longest)[i] = 'a';
	ADD(bpf_strlen(longest));
	ADD(bpf_strlen(longest + 1));
	ADD(bpf_strnlen(longest, 65536));
	ADD(bpf_strchr(longest, 'b'));
	ADD(bpf_strcmp(longest, longest));
	ADD(bpf_strrchr(longest, 'a'));
	ADD(bpf_strstr(longest, hello));
	ADD(bpf_strspn(longest, longest));
	return (int)(h & 0x7fffffff);
}

/* ---- casts ---- */

static struct trace_entry entry = {.type = 3, .flags = 4, .preempt_count = 5, .pid = -6};

SEC("tc") int cast_read(struct __sk_buff *ctx)
{
	struct trace_entry here = {.type = 7, .pid = 8}, *e;
	u32 key = 3;
	int sum;

	e = bpf_rdonly_cast(&entry, bpf_core_type_id_kernel(struct trace_entry));
	sum = e->type * 1000 + e->flags * 100 + e->preempt_count * 10 + e->pid;
	e = bpf_rdonly_cast(&here, bpf_core_type_id_kernel(struct trace_entry));
	sum = sum * 10 + e->type + e->pid;
	e = bpf_rdonly_cast((void *)8, bpf_core_type_id_kernel(struct trace_entry));
	return sum * 10 + e->pid;
}

#define FORMAT(size, text, ...)                                                                                                   \
	({                                                                                                                         \
		static const char format[] = text;                                                                                 \
		u64 args[] = {__VA_ARGS__};                                                                                        \
                                                                                                                                   \
		for (u32 i = 0; i < sizeof(out); i++)                                                                              \
			out[i] = 0x55;                                                                                             \
		sum = sum * 31 + (u32)bpf_snprintf((char *)out, size, format, args, sizeof(args));		\
		for (u32 i = 0; i < sizeof(out); i++)                                                                              \
			sum = sum * 31 + out[i];                                                                                   \
	})

/* Flags and widths, what lies at bad addresses, what follows a pointer's letters, and what is counted of what does not fit. */
SEC("tc") int format_all(struct __sk_buff *ctx)
{
	u8 out[48], ip[16] = {192, 0, 2, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	char text[8] = "abc";
	u32 sum = 0;

	FORMAT(48, "%+d|% d|%+5d|%-6d|%06d|", 7, 8, 9, 10, (u64)-11);
	FORMAT(48, "%+u|%+x|%-+4i|%0+6i", 7, 0xab, (u64)-3, 12);
	FORMAT(48, "%90d", 1);
	FORMAT(48, "%-90d", 1);
	FORMAT(48, "%4c|%-4c|%04c", 'a', 'b', 'c');
	FORMAT(48, "%6s|%-6s|%s", (u64)text, (u64)text, (u64)text);
	FORMAT(48, "<%s> <%4s> <%d>", 0, 1, 5);
	FORMAT(48, "%pI4 %pi4 %pI4", (u64)ip, (u64)ip, 0);
	FORMAT(48, "%pI4h %pI6c", (u64)ip, (u64)ip);
	FORMAT(0, "%d %pI4", 5, (u64)ip);
	FORMAT(3, "%pI4 %pI4", (u64)ip, (u64)ip);
	FORMAT(2, "%s %d", (u64)text, 123456);
	FORMAT(48, "%6px|%-6px|%px", 0x12, 0x34, 0x56);
	FORMAT(48, "%%", 1, 2, 3);
	FORMAT(48, "%llX %lld", ~0ull, ~0ull);
	return (int)sum;
}
