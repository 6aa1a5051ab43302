/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lists and rb-trees of objects. The nodes lie in the objects, the roots in map values and objects. The tree is the textbook's (Cormen et al., Introduction to
 * Algorithms, chapter 13), with NULL for its sentinel.
 *
 * Concurrency: the root's lock orders all but node_claim(), by which one of those that have references to the same object puts it somewhere. All links are
 * memory that programs cannot write.
 */
#include "map/heap.h"

/* ---- whose a node is ---- */

/* Neither a root's address nor nobody's. */
#define ON_THE_WAY ((void *)1)

bool node_claim(void **root)
{
	void *none = NULL;

	return __atomic_compare_exchange_n(root, &none, ON_THE_WAY, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void settle(void **root, void *owner)
{
	__atomic_store_n(root, owner, __ATOMIC_RELEASE);
}

/* ---- lists ---- */

void list_add(struct list_root *l, struct list_node *n, bool front)
{
	n->prev = front ? NULL : l->last;
	n->next = front ? l->first : NULL;
	*(n->prev ? &n->prev->next : &l->first) = n;
	*(n->next ? &n->next->prev : &l->last) = n;
	settle(&n->root, l);
}

struct list_node *list_take(struct list_root *l, bool front)
{
	struct list_node *n = front ? l->first : l->last;

	if (!n)
		return NULL;
	*(n->prev ? &n->prev->next : &l->first) = n->next;
	*(n->next ? &n->next->prev : &l->last) = n->prev;
	n->next = n->prev = NULL;
	settle(&n->root, NULL);
	return n;
}

/* ---- trees ---- */

static struct tree_node *parent(const struct tree_node *n)
{
	return (struct tree_node *)(uintptr_t)(n->parent & ~1ull);
}

static bool red(const struct tree_node *n)
{
	return n && n->parent & 1;
}

static void set_parent(struct tree_node *n, struct tree_node *to)
{
	n->parent = (u64)(uintptr_t)to | (n->parent & 1);
}

static void set_red(struct tree_node *n, bool yes)
{
	n->parent = (n->parent & ~1ull) | yes;
}

static struct tree_node **child(struct tree_node *n, bool right)
{
	return right ? &n->right : &n->left;
}

/* `with`, which may be NULL, in n's place below n's parent. */
static void replace(struct tree_root *t, struct tree_node *n, struct tree_node *with)
{
	struct tree_node *up = parent(n);

	if (!up)
		t->top = with;
	else
		*child(up, up->right == n) = with;
	if (with)
		set_parent(with, up);
}

/* The child on the other side comes up; n goes down to that side. */
static void rotate(struct tree_root *t, struct tree_node *n, bool right)
{
	struct tree_node *up = *child(n, !right), *inner = *child(up, right);

	*child(n, !right) = inner;
	if (inner)
		set_parent(inner, n);
	replace(t, n, up);
	*child(up, right) = n;
	set_parent(n, up);
}

/* n is red, and so may be its parent. */
static void mend_added(struct tree_root *t, struct tree_node *n)
{
	while (red(parent(n))) {
		struct tree_node *p = parent(n), *up = parent(p), *uncle;
		bool right = up->right == p;

		uncle = *child(up, !right);
		if (red(uncle)) {
			set_red(p, false);
			set_red(uncle, false);
			set_red(up, true);
			n = up;
			continue;
		}
		if (*child(p, !right) == n) {
			rotate(t, p, right);
			n = p;
			p = parent(n);
		}
		set_red(p, false);
		set_red(up, true);
		rotate(t, up, !right);
	}
	set_red(t->top, false);
}

int tree_add(struct tree_root *t, struct tree_node *n, int (*less)(void *ud, struct tree_node *n, struct tree_node *other), void *ud)
{
	struct tree_node *up = NULL, **at = &t->top;
	bool first = true;

	while (*at) {
		int is;

		up = *at;
		is = less(ud, n, up);
		if (is < 0) {
			settle(&n->root, NULL);
			return is;
		}
		at = child(up, !is);
		first &= is != 0;
	}
	n->parent = (u64)(uintptr_t)up | 1;
	n->left = n->right = NULL;
	*at = n;
	if (first)
		t->first = n;
	mend_added(t, n);
	settle(&n->root, t);
	return 0;
}

/* One black node too few on the way through n, which may be NULL, below `up`. */
static void mend_removed(struct tree_root *t, struct tree_node *n, struct tree_node *up)
{
	while (up && !red(n)) {
		bool right = up->right == n;
		struct tree_node *sibling = *child(up, !right);

		if (red(sibling)) {
			set_red(sibling, false);
			set_red(up, true);
			rotate(t, up, right);
			sibling = *child(up, !right);
		}
		if (!red(sibling->left) && !red(sibling->right)) {
			set_red(sibling, true);
			n = up;
			up = parent(n);
			continue;
		}
		if (!red(*child(sibling, !right))) {
			set_red(*child(sibling, right), false);
			set_red(sibling, true);
			rotate(t, sibling, !right);
			sibling = *child(up, !right);
		}
		set_red(sibling, red(up));
		set_red(up, false);
		set_red(*child(sibling, !right), false);
		rotate(t, up, right);
		return;
	}
	if (n)
		set_red(n, false);
}

static struct tree_node *leftmost(struct tree_node *n)
{
	while (n && n->left)
		n = n->left;
	return n;
}

void tree_remove(struct tree_root *t, struct tree_node *n)
{
	struct tree_node *up = parent(n), *below;
	bool was_red = red(n);

	if (t->first == n)
		t->first = n->right ? leftmost(n->right) : up;
	if (!n->left || !n->right) {
		below = n->left ? n->left : n->right;
		replace(t, n, below);
	} else { /* its successor takes its place and colour */
		struct tree_node *next = leftmost(n->right);

		was_red = red(next);
		below = next->right;
		up = parent(next);
		if (up == n) {
			up = next;
		} else {
			replace(t, next, below);
			next->right = n->right;
			set_parent(next->right, next);
		}
		replace(t, n, next);
		next->left = n->left;
		set_parent(next->left, next);
		set_red(next, red(n));
	}
	if (!was_red)
		mend_removed(t, below, up);
	n->parent = 0;
	n->left = n->right = NULL;
	settle(&n->root, NULL);
}

struct tree_node *tree_dismantle(struct tree_root *t)
{
	struct tree_node *n = t->first ? t->first : t->top, *up;

	if (!n)
		return NULL;
	while (n->left || n->right)
		n = n->left ? n->left : n->right;
	up = parent(n);
	if (up)
		*child(up, up->right == n) = NULL;
	else
		t->top = NULL;
	t->first = up; /* where to go on */
	n->parent = 0;
	settle(&n->root, NULL);
	return n;
}
