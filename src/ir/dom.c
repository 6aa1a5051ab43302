/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Immediate dominators in n log n for graphs on which the usual way, meeting in the tree from both sides, takes long: many jumps over each other, whose
 * meeting points are far away. Lengauer and Tarjan, "A fast algorithm for finding dominators in a flowgraph" (1979), the simple version.
 *
 * Blocks are numbered from 1 in preorder; 0 is none.
 */
#include "ir/ir.h"

struct dom {
	struct ir *f;
	u32 n;
	u32 *number; /* of a block */
	u32 *block, *parent, *semi, *ancestor, *best, *idom; /* of a number */
	u32 *bucket, *next; /* numbers whose semidominator it is */
	u32 *stack;
};

static bool open_tables(struct dom *d)
{
	u32 **const tables[] = {&d->number, &d->block, &d->parent, &d->semi, &d->ancestor, &d->best, &d->idom, &d->bucket, &d->next};

	for (u32 i = 0; i < ARRAY_SIZE(tables); i++) {
		*tables[i] = arena_array(d->f->scratch, d->f->n_blocks + 1, sizeof(u32));
		if (!*tables[i])
			return false;
	}
	d->stack = arena_array(d->f->scratch, d->f->n_blocks + 1, 2 * sizeof(u32));
	return d->stack != NULL;
}

static void enter(struct dom *d, u32 block, u32 parent)
{
	d->number[block] = ++d->n;
	d->block[d->n] = block;
	d->parent[d->n] = parent;
	d->semi[d->n] = d->best[d->n] = d->n;
}

static void number(struct dom *d)
{
	u32 top = 1;

	enter(d, 0, 0);
	while (top) {
		u32 *at = d->stack + 2 * (top - 1);
		const struct ir_block *b = &d->f->block[at[0]];
		u32 to;

		if (at[1] == b->n_succ) {
			top--;
			continue;
		}
		to = b->succ[at[1]++];
		if (d->number[to])
			continue;
		enter(d, to, d->number[at[0]]);
		d->stack[2 * top] = to;
		d->stack[2 * top + 1] = 0;
		top++;
	}
}

/* The number of least semidominator on the way up from v in the forest; the way becomes short. */
static u32 eval(struct dom *d, u32 v)
{
	u32 n = 0;

	if (!d->ancestor[v])
		return v;
	for (u32 at = v; d->ancestor[d->ancestor[at]]; at = d->ancestor[at])
		d->stack[n++] = at;
	while (n) {
		u32 at = d->stack[--n], up = d->ancestor[at];

		if (d->semi[d->best[up]] < d->semi[d->best[at]])
			d->best[at] = d->best[up];
		d->ancestor[at] = d->ancestor[up];
	}
	return d->best[v];
}

static void empty_bucket(struct dom *d, u32 parent)
{
	for (u32 v = d->bucket[parent]; v; v = d->next[v]) {
		u32 u = eval(d, v);

		d->idom[v] = d->semi[u] < d->semi[v] ? u : parent;
	}
	d->bucket[parent] = 0;
}

bool ir_dominators(struct ir *f)
{
	struct dom d = {.f = f};

	if (!open_tables(&d))
		return false;
	number(&d);
	for (u32 i = d.n; i > 1; i--) {
		const struct ir_block *b = &f->block[d.block[i]];

		for (u32 k = 0; k < b->n_pred; k++)
			if (d.number[b->pred[k]])
				d.semi[i] = MIN(d.semi[i], d.semi[eval(&d, d.number[b->pred[k]])]);
		d.next[i] = d.bucket[d.semi[i]];
		d.bucket[d.semi[i]] = i;
		d.ancestor[i] = d.parent[i];
		empty_bucket(&d, d.parent[i]);
	}
	for (u32 i = 2; i <= d.n; i++) {
		if (d.idom[i] != d.semi[i])
			d.idom[i] = d.idom[d.idom[i]];
		f->block[d.block[i]].idom = d.block[d.idom[i]];
	}
	f->block[0].idom = 0;
	return true;
}
