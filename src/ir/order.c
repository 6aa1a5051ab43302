/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of blocks: reverse postorder, dominators (Cooper, Harvey and Kennedy, "A simple, fast dominance algorithm"), loops.
 *
 * Everything is found on a copy of the graph whose blocks are their numbers in the order, in arrays that lie close together; blocks get the results at the end.
 */
#include "ir/ir.h"

enum { NONE = UINT32_MAX };

struct graph {
	u32 n;
	u32 *start, *pred; /* predecessors of i: pred[start[i]] up to pred[start[i + 1]] */
	u32 *idom;
	u32 *dom, *size; /* number in the dominator tree, and of blocks below it */
	u32 *header, *outer, *depth, *loop_size;
};

/* As far as the order of the program's instructions tells. */
static bool leads_back(const struct ir *f, u32 from, u32 to)
{
	if (f->block[to].pc == f->block[from].pc) {
		u32 v = f->block[to].last, on = v && f->node[v].flags & IRF_POLL && f->node[v].op == IR_BRANCH ? f->block[to].succ[1] : to;

		return to == from || (f->block[on].n_succ == 1 && f->block[on].succ[0] == from);
	}
	return f->block[to].pc < f->block[from].pc;
}

static bool postorder(struct ir *f)
{
	u32 *stack = arena_array(f->scratch, f->n_blocks + 1, 2 * sizeof(u32)), top = 0, at;

	if (f->cap_rpo < f->n_blocks) {
		f->cap_rpo = f->n_blocks + f->n_blocks / 4;
		f->rpo = arena_array(f->arena, f->cap_rpo, sizeof(u32));
	}
	if (!stack || !f->rpo) {
		f->failed = true;
		return false;
	}
	for (u32 b = 0; b < f->n_blocks; b++)
		f->block[b].reachable = false;
	at = f->n_blocks;
	stack[0] = stack[1] = 0;
	top = 1;
	f->block[0].reachable = true;
	while (top) {
		u32 *frame = stack + 2 * (top - 1), n = f->block[frame[0]].n_succ;
		const u32 *succ = f->block[frame[0]].succ;

		if (frame[1] == n) {
			f->rpo[--at] = frame[0];
			top--;
			continue;
		}
		/* The last successor, which is the fall-through, is visited last and comes next in the order; but what leads back comes
		 * before what leaves the loop. */
		u32 i = frame[1]++, next = succ[n == 2 && leads_back(f, frame[0], succ[0]) ? 1 - i : i];

		if (!f->block[next].reachable) {
			f->block[next].reachable = true;
			stack[2 * top] = next;
			stack[2 * top + 1] = 0;
			top++;
		}
	}
	f->n_rpo = f->n_blocks - at;
	memmove(f->rpo, f->rpo + at, f->n_rpo * sizeof(u32));
	for (u32 i = 0; i < f->n_rpo; i++)
		f->block[f->rpo[i]].order = i;
	return true;
}

static void drop_unreachable(struct ir *f)
{
	for (u32 i = 0; i < f->n_rpo; i++) {
		u32 b = f->rpo[i];

		for (u32 k = 0; k < f->block[b].n_pred;) {
			if (f->block[f->block[b].pred[k]].reachable)
				k++;
			else
				ir_cut(f, f->block[b].pred[k], b);
		}
	}
}

static bool open_graph(struct graph *g, struct ir *f)
{
	u32 edges = 0, **const tables[] = {&g->idom, &g->dom, &g->size, &g->header, &g->outer, &g->depth, &g->loop_size};

	g->n = f->n_rpo;
	for (u32 i = 0; i < ARRAY_SIZE(tables); i++) {
		*tables[i] = arena_array(f->scratch, g->n, sizeof(u32));
		if (!*tables[i])
			return false;
	}
	g->start = arena_array(f->scratch, g->n + 1, sizeof(u32));
	for (u32 i = 0; i < g->n && g->start; i++) {
		g->start[i] = edges;
		edges += f->block[f->rpo[i]].n_pred;
	}
	g->pred = arena_array(f->scratch, edges, sizeof(u32));
	if (!g->start || !g->pred)
		return false;
	g->start[g->n] = edges;
	for (u32 i = 0, at = 0; i < g->n; i++) {
		const struct ir_block *b = &f->block[f->rpo[i]];

		for (u32 k = 0; k < b->n_pred; k++)
			g->pred[at++] = f->block[b->pred[k]].order;
	}
	return true;
}

/* ---- dominators ---- */

/* *steps: how many are left. */
static u32 intersect(const u32 *idom, u32 a, u32 b, u64 *steps)
{
	while (a != b && *steps) {
		for (; a > b && *steps; --*steps)
			a = idom[a];
		for (; b > a && *steps; --*steps)
			b = idom[b];
	}
	return a;
}

/* False: it would take long. */
static bool dominators(struct graph *g)
{
#ifdef SKEP_HOSTILE
	u64 steps = 8;
#else
	u64 steps = 1000 + 64 * (u64)g->n;
#endif
	bool again = true;

	for (u32 i = 1; i < g->n; i++)
		g->idom[i] = NONE;
	while (again && steps) {
		again = false;
		for (u32 i = 1; i < g->n && steps; i++) {
			u32 new = NONE;

			for (u32 k = g->start[i]; k < g->start[i + 1]; k++)
				if (g->idom[g->pred[k]] != NONE)
					new = new == NONE ? g->pred[k] : intersect(g->idom, new, g->pred[k], &steps);
			if (g->idom[i] != new) {
				g->idom[i] = new;
				again = true;
			}
		}
	}
	return steps;
}

static bool dominators_of_many(struct graph *g, struct ir *f)
{
	if (!ir_dominators(f))
		return false;
	for (u32 i = 0; i < g->n; i++)
		g->idom[i] = f->block[f->block[f->rpo[i]].idom].order;
	return true;
}

/* Numbers such that what a block dominates is a range. */
static bool number_dominators(struct graph *g, struct ir *f)
{
	u32 *next = arena_array(f->scratch, g->n, sizeof(u32));

	if (!next)
		return false;
	for (u32 i = g->n; i-- > 0;) {
		g->size[i]++;
		if (i)
			g->size[g->idom[i]] += g->size[i];
	}
	for (u32 i = 0; i < g->n; i++) {
		g->dom[i] = i ? next[g->idom[i]] : 0;
		if (i)
			next[g->idom[i]] += g->size[i];
		next[i] = g->dom[i] + 1;
	}
	return true;
}

bool ir_dominates(const struct ir *f, u32 a, u32 b)
{
	return f->block[b].dom - f->block[a].dom < f->block[a].dom_size;
}

/* ---- loops ---- */

/* header: the innermost loop's header. Outer headers come first in the order, so inner ones overwrite. */
static bool loops(struct graph *g, struct ir *f)
{
	u32 *work = arena_array(f->scratch, g->n, sizeof(u32)), *seen = arena_array(f->scratch, g->n, sizeof(u32));

	if (!work || !seen)
		return false;
	for (u32 i = 0; i < g->n; i++)
		g->header[i] = g->outer[i] = NONE;
	for (u32 h = 0; h < g->n; h++) {
		u32 n = 0;

		for (u32 k = g->start[h]; k < g->start[h + 1]; k++) {
			u32 p = g->pred[k];

			if (p >= h && seen[p] != h + 1 && g->dom[p] - g->dom[h] < g->size[h]) {
				seen[p] = h + 1;
				work[n++] = p;
			}
		}
		if (!n)
			continue;
		g->outer[h] = g->header[h];
		if (seen[h] != h + 1) {
			seen[h] = h + 1;
			g->header[h] = h;
			g->depth[h]++;
			g->loop_size[h] = 1;
		}
		while (n) {
			u32 b = work[--n];

			g->loop_size[h]++;
			g->header[b] = h;
			g->depth[b]++;
			for (u32 k = g->start[b]; b != h && k < g->start[b + 1]; k++)
				if (seen[g->pred[k]] != h + 1) {
					seen[g->pred[k]] = h + 1;
					work[n++] = g->pred[k];
				}
		}
	}
	return true;
}

bool ir_in_loop(const struct ir *f, u32 b, u32 header)
{
	u32 h = f->block[b].header;

	while (h != UINT32_MAX && h != header)
		h = f->block[h].outer;
	return h == header;
}

static void tell(const struct graph *g, struct ir *f)
{
	for (u32 b = 0; b < f->n_blocks; b++) {
		struct ir_block *k = &f->block[b];
		u32 i = k->order;

		k->idom = k->dom = k->header = k->outer = NONE;
		k->dom_size = k->depth = k->loop_size = 0;
		if (!k->reachable)
			continue;
		k->idom = f->rpo[g->idom[i]];
		k->dom = g->dom[i];
		k->dom_size = g->size[i];
		k->depth = g->depth[i];
		k->loop_size = g->loop_size[i];
		k->header = g->header[i] == NONE ? NONE : f->rpo[g->header[i]];
		k->outer = g->outer[i] == NONE ? NONE : f->rpo[g->outer[i]];
	}
}

void ir_order(struct ir *f)
{
	struct graph g = {0};

	if (!postorder(f))
		return;
	drop_unreachable(f);
	if (!open_graph(&g, f) || (!dominators(&g) && !dominators_of_many(&g, f)) || !number_dominators(&g, f) || !loops(&g, f)) {
		f->failed = true;
		return;
	}
	tell(&g, f);
}
