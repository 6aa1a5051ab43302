/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sums, and the like, whose order of addition is free: what is there early is added first, so that a loop's next turn waits for as few additions as can be. Two
 * operands that are there first become one, until one is left.
 *
 * Requires: rpo, loops. Keeps: the control flow graph.
 */
#include "opt/passes.h"

enum { MOST = 8 };

struct balance {
	struct ir *f;
	struct opt_recur r;
	u32 *uses;
	u32 nodes; /* that `uses` is of */
	u32 sums; /* that were looked into: they have at least as many leaves */
	u32 leaf[MOST], ready[MOST], n; /* cycles from the turn's beginning; 0: nothing that turns wait for */
};

static bool is_free(const struct ir_node *n)
{
	return n->op == OP_ADD || n->op == OP_XOR || n->op == OP_OR || n->op == OP_AND;
}

static bool gather(struct balance *b, u32 v, u32 root)
{
	const struct ir_node *n = &b->f->node[v], *top = &b->f->node[root];

	if (v == root || (n->op == top->op && n->width == top->width && n->block == top->block && opt_used_once(b->uses, b->nodes, v)))
		return ++b->sums < MOST && gather(b, n->arg[0], root) && gather(b, n->arg[1], root);
	if (b->n == MOST || n->op == IR_FRAME)
		return false;
	b->ready[b->n] = opt_on_circle(b->f, &b->r, root, v) ? b->r.down[v] : 0;
	b->leaf[b->n++] = v;
	return true;
}

/* The one that is there first; of these, a constant. */
static u32 first(const struct balance *b)
{
	u32 k = 0;

	for (u32 i = 1; i < b->n; i++)
		if (b->ready[i] < b->ready[k] || (b->ready[i] == b->ready[k] && ir_is_const(b->f, b->leaf[k])))
			k = i;
	return k;
}

static void take(struct balance *b, u32 *v, u32 *ready)
{
	u32 k = first(b);

	*v = b->leaf[k];
	*ready = b->ready[k];
	b->n--;
	memmove(b->leaf + k, b->leaf + k + 1, (b->n - k) * sizeof(u32));
	memmove(b->ready + k, b->ready + k + 1, (b->n - k) * sizeof(u32));
}

/* When the sum is there; with root, makes it so. */
static u32 combine(struct balance b, u32 root)
{
	struct ir *f = b.f;

	while (b.n > 1) {
		u32 x, y, at[2], v = 0;

		take(&b, &x, &at[0]);
		take(&b, &y, &at[1]);
		if (root && b.n)
			v = ir_node(f, f->node[root].op, f->node[root].width);
		else if (root)
			v = root;
		if (f->failed)
			return 0;
		if (v) {
			struct ir_node *n = &f->node[v];

			n->arg[0] = ir_is_const(f, x) ? y : x;
			n->arg[1] = ir_is_const(f, x) ? x : y;
			n->n = 2;
			n->pc = f->node[root].pc;
			if (v != root)
				ir_insert(f, root, v);
		}
		b.leaf[b.n] = v;
		b.ready[b.n++] = MAX(at[0], at[1]) + 1;
	}
	return b.ready[0];
}

void opt_balance(struct ir *f)
{
	struct balance b = {.f = f, .nodes = f->n_nodes};
	bool any = false;

	b.uses = opt_uses(f, 0);
	if (f->failed || !opt_recur(f, &b.r))
		return;
	ir_each_rpo(f, i, k)
		for (u32 v = f->block[k].last, prev; v && f->block[k].depth; v = prev) {
			u32 ready;

			prev = f->node[v].prev;
			b.n = b.sums = 0;
			if (v >= b.nodes || !is_free(&f->node[v]) || !b.r.to[v] || !b.r.from[v] || !gather(&b, v, v) || b.n < 3)
				continue;
			ready = combine(b, 0);
			if (ready >= b.r.down[v])
				continue;
			combine(b, v);
			b.r.down[v] = (u16)ready;
			any = true;
		}
	if (any)
		opt_dead(f);
}
