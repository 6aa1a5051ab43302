/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stores side by side become one where what they write lay side by side: pieces of one value, or loads of adjacent bytes, each used for this alone
 * (memcpy() of what may be misaligned is compiled to single bytes). Pairs become one of twice the width, and those pairs again.
 *
 * The earlier store moves down to the later one, so nothing between them may touch its bytes; for memory that others see, nothing between them may
 * touch any such memory. Of two loads the later one moves up: in private memory past stores to other bytes, elsewhere past nothing
 * but loads, as in merge.c.
 *
 * Requires: rpo, kinds. Keeps: the control flow graph.
 */
#include "opt/passes.h"

enum { MOST_STORES = 16, MOST_STEPS = 96 };

struct copy {
	struct ir *f;
	const u32 *uses;
	u32 nodes; /* that `uses` is of */
	u32 row[MOST_STORES], n; /* stores with neither call nor atomic behind them */
	bool changed;
};

static bool single(u32 kinds)
{
	return kinds && !(kinds & (kinds - 1));
}

static bool is_own(const struct ir_node *n) /* memory that only this run sees */
{
	return n->kinds == PTR_PACKET || n->kinds == PTR_RUN || n->kinds == PTR_STACK;
}

static bool apart(const struct ir *f, const struct ir_node *x, const struct ir_node *y)
{
	u32 base[2];
	s64 at[2];

	if (single(x->kinds) && single(y->kinds) && x->kinds != y->kinds)
		return true;
	at[0] = opt_place(f, x, &base[0]);
	at[1] = opt_place(f, y, &base[1]);
	return base[0] == base[1] && (at[0] + x->width <= at[1] || at[1] + y->width <= at[0]);
}

/* *low: the one of the lower address; they are of one width and shape. */
static bool adjacent(const struct ir *f, u32 x, u32 y, u32 *low)
{
	const struct ir_node *a = &f->node[x], *b = &f->node[y];
	u32 base[2];
	s64 at[2];

	if (a->op != b->op || a->width != b->width || a->width > 4 || a->kinds != b->kinds || a->flags != b->flags || a->block != b->block)
		return false;
	at[0] = opt_place(f, a, &base[0]);
	at[1] = opt_place(f, b, &base[1]);
	*low = at[0] < at[1] ? x : y;
	return base[0] == base[1] && (at[1] - at[0] == a->width || at[0] - at[1] == a->width);
}

/* May the store move down to `to`, in the same block? */
static bool sinks(const struct ir *f, u32 store, u32 to)
{
	u32 v = f->node[store].next;

	for (u32 steps = 0; v && v != to && steps < MOST_STEPS; steps++, v = f->node[v].next) {
		const struct ir_node *n = &f->node[v];

		if (n->op == IR_LOAD || n->op == IR_LOADS || n->op == IR_STORE) {
			if (!apart(f, &f->node[store], n) || (!is_own(&f->node[store]) && !is_own(n)))
				return false;
		} else if (ir_has_effect(n)) {
			return false;
		}
	}
	return v == to;
}

/* May the load move up to `to`, in the same block? */
static bool rises(const struct ir *f, u32 load, u32 to)
{
	u32 v = f->node[load].prev;

	for (u32 steps = 0; v && v != to && steps < MOST_STEPS; steps++, v = f->node[v].prev) {
		const struct ir_node *n = &f->node[v];

		if (n->op == IR_STORE) {
			if (!is_own(&f->node[load]) || !apart(f, &f->node[load], n))
				return false;
		} else if (n->op != IR_LOAD && n->op != IR_LOADS && ir_has_effect(n)) {
			return false;
		}
	}
	return v == to;
}

/* v = *of >> *by, as far as the lowest `bits` go */
static bool piece(const struct ir *f, u32 v, u32 bits, u32 *of, u64 *by)
{
	const struct ir_node *n = &f->node[v];

	*of = v;
	*by = 0;
	if (n->op == OP_RSH && ir_is_const(f, n->arg[1])) {
		*of = n->arg[0];
		*by = (u64)f->node[n->arg[1]].imm & (n->width - 1u);
		return *by + bits <= n->width;
	}
	return true;
}

static bool pieces(const struct copy *c, u32 low, u32 high, u32 width)
{
	u32 of[2], bits = width * 8;
	u64 by[2];

	return piece(c->f, low, 2 * bits, &of[0], &by[0]) && piece(c->f, high, bits, &of[1], &by[1]) && of[0] == of[1] && by[1] == by[0] + bits &&
	       !ir_is_const(c->f, low);
}

/* Two loads become one, in the place of the first. */
static bool join_loads(struct copy *c, u32 low, u32 high, u32 width)
{
	struct ir *f = c->f;
	u32 least, first = low, second = high;

	if (f->node[low].op != IR_LOAD || f->node[high].op != IR_LOAD || f->node[low].width != width || low == high || !opt_used_once(c->uses, c->nodes, low) ||
	    !opt_used_once(c->uses, c->nodes, high) || f->node[low].flags & IRF_INVARIANT || f->node[low].arg[0] != f->node[high].arg[0] || !adjacent(f, low, high, &least) ||
	    least != low)
		return false;
	if (!rises(f, second, first)) {
		first = high;
		second = low;
		if (!rises(f, second, first))
			return false;
	}
	f->node[first].imm = f->node[low].imm;
	f->node[first].width = (u8)(2 * width);
	ir_remove(f, second);
	if (first != low) { /* the store is of the lower one's node */
		u32 before = f->node[first].next;

		ir_remove(f, first);
		f->node[low].width = (u8)(2 * width);
		ir_insert(f, before, low);
	}
	return true;
}

static bool join(struct copy *c, u32 a, u32 b)
{
	struct ir *f = c->f;
	u32 low, high, width = f->node[a].width;

	if (!adjacent(f, a, b, &low) || !sinks(f, a, b))
		return false;
	high = low == a ? b : a;
	if (!pieces(c, f->node[low].arg[1], f->node[high].arg[1], width) && !join_loads(c, f->node[low].arg[1], f->node[high].arg[1], width))
		return false;
	f->node[b].arg[1] = f->node[low].arg[1];
	f->node[b].arg[0] = f->node[low].arg[0];
	f->node[b].imm = f->node[low].imm;
	f->node[b].width = (u8)(2 * width);
	ir_remove(f, a);
	c->changed = true;
	return true;
}

static void add(struct copy *c, u32 store)
{
	for (u32 i = c->n; i-- > 0;)
		if (join(c, c->row[i], store)) {
			memmove(c->row + i, c->row + i + 1, (--c->n - i) * sizeof(c->row[0]));
			i = c->n;
		}
	if (c->n == MOST_STORES)
		memmove(c->row, c->row + 1, --c->n * sizeof(c->row[0]));
	c->row[c->n++] = store;
}

void opt_copy(struct ir *f)
{
	struct copy c = {.f = f, .nodes = f->n_nodes};

	c.uses = opt_uses(f, 0);
	if (f->failed)
		return;
	ir_each_rpo(f, i, b) {
		c.n = 0;
		for (u32 v = f->block[b].first, next; v; v = next) {
			const struct ir_node *n = &f->node[v];

			next = n->next;
			if (n->op == IR_STORE && n->kinds != PTR_RUN)
				add(&c, v);
			else if (n->op == IR_CALL || n->op == IR_ATOMIC)
				c.n = 0;
		}
	}
	if (c.changed)
		opt_dead(f);
}
