/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of small functions become what those functions do. Only functions that call no others, have no loop and keep nothing in their frame:
 * so budget and stop, the depth of frames and who may see them stay as they are. What became of a call belongs to the
 * instruction that called.
 *
 * Requires: rpo of the caller; the functions that call no others have been through all passes. Keeps: SSA; leaves a new order behind.
 */
#include "opt/passes.h"

enum { MOST_NODES = 40, MOST_BLOCKS = 12, MOST_GROWTH = 400 };

struct copy {
	struct ir *f; /* the caller */
	struct ir *g; /* the called function */
	struct ir_call call;
	u32 v; /* the call */
	u32 after; /* block that goes on behind it */
	u32 *node, *block; /* of g to of f */
	u32 result[MOST_BLOCKS], n_results; /* one per edge into after */
};

bool opt_calls_none(const struct ir *f)
{
	for (u32 c = 0; c < f->n_calls; c++)
		if (f->call[c].kind == IRC_SUBPROG || f->call[c].calls_back)
			return false;
	return true;
}

static bool goes_forward(const struct ir *g, u32 b)
{
	for (u32 k = 0; k < g->block[b].n_succ; k++)
		if (g->block[g->block[b].succ[k]].order <= g->block[b].order)
			return false;
	return true;
}

/* How many nodes a copy takes; 0: there are none of it. */
static u32 size_of(struct ir *g)
{
	u32 n = 0, use[IR_USES];

	if (!opt_calls_none(g) || g->prog->subprogs[g->subprog].throws || g->n_rpo > MOST_BLOCKS)
		return 0;
	ir_each_rpo(g, i, b) {
		if (!goes_forward(g, b))
			return 0;
		ir_each(g, v, b) {
			const struct ir_node *k = &g->node[v];

			n += k->op != IR_PARAM && k->op != IR_FRAME;
			if (k->op == IR_TAIL || (k->op == IR_CALL && g->call[k->imm].probes) || n > MOST_NODES)
				return 0;
			for (u32 u = k->op == IR_PHI ? 0 : ir_uses(g, v, use); u--;)
				if (use[u] == g->frame)
					return 0;
			for (u32 p = 0; k->op == IR_PHI && p < g->block[b].n_pred; p++)
				if (ir_phi_args(g, v)[p] == g->frame)
					return 0;
		}
	}
	return n;
}

static u32 mapped(const struct copy *c, u32 x)
{
	const struct ir_node *n = &c->g->node[x];

	if (n->op == IR_CONST)
		return ir_const(c->f, (u64)n->imm);
	if (n->op == IR_PARAM)
		return n->imm ? c->call.args[n->imm] : c->f->params[0];
	return c->node[x];
}

/* What stood behind the call moves to a block of its own, and so does the end of the call's block. */
static void split(struct copy *c)
{
	struct ir *f = c->f;
	u32 at = f->node[c->v].block, next = f->node[c->v].next;
	struct ir_block *b, *k;

	c->after = ir_block(f);
	if (f->failed)
		return;
	b = &f->block[at];
	k = &f->block[c->after];
	k->first = next;
	k->last = b->last;
	k->pc = b->pc;
	k->cold = b->cold;
	memcpy(k->succ, b->succ, sizeof(k->succ));
	k->n_succ = b->n_succ;
	b->last = c->v;
	b->n_succ = 0;
	f->node[c->v].next = 0;
	f->node[next].prev = 0;
	for (u32 v = next; v; v = f->node[v].next)
		f->node[v].block = c->after;
	for (u32 i = 0; i < k->n_succ; i++)
		ir_rename_pred(f, k->succ[i], at, c->after);
	ir_remove(f, c->v);
}

static void copy_phi(struct copy *c, u32 v, u32 into)
{
	struct ir *f = c->f, *g = c->g;
	const struct ir_block *from = &g->block[g->node[v].block];
	u32 at, to = f->block[into].n_pred;

	if (!ir_pool(f, to, &at))
		return;
	f->node[c->node[v]].arg[0] = at;
	/* predecessors are copied before, in the order of their edges, which need not be this block's */
	for (u32 p = 0; p < to; p++)
		for (u32 k = 0; k < from->n_pred; k++)
			if (c->block[from->pred[k]] == f->block[into].pred[p])
				f->pool[at + p] = mapped(c, ir_phi_args(g, v)[k]);
}

static void copy_node(struct copy *c, u32 v, u32 into)
{
	const struct ir_node *from = &c->g->node[v];
	struct ir *f = c->f;
	u32 to = ir_node(f, from->op, from->width), x[4], number;
	struct ir_node *n;

	if (!to)
		return;
	c->node[v] = to;
	for (u32 i = 0; i < from->n; i++)
		x[i] = mapped(c, from->arg[i]);
	n = &f->node[to];
	*n = *from;
	n->pc = f->node[c->v].pc;
	for (u32 i = 0; i < n->n; i++)
		n->arg[i] = x[i];
	if (n->known && n->kinds & PTR_CALLER) /* whose frame is the caller's own now */
		n->kinds |= PTR_STACK;
	ir_append(f, into, to);
	if (from->op == IR_PHI) {
		copy_phi(c, v, into);
	} else if (from->op == IR_CALL) {
		struct ir_call call = c->g->call[from->imm];

		for (u32 i = 0; i < call.n_args; i++)
			call.args[i] = mapped(c, call.args[i]);
		number = ir_call(f);
		if (f->failed)
			return;
		f->call[number] = call;
		f->node[to].imm = number;
	}
}

static void copy_end(struct copy *c, u32 v, u32 b, u32 into)
{
	struct ir *f = c->f;
	const struct ir_node *from = &c->g->node[v];
	u32 end;

	if (from->op != IR_RETURN) {
		copy_node(c, v, into);
		f->block[into].n_succ = c->g->block[b].n_succ;
		for (u32 k = 0; k < f->block[into].n_succ; k++) {
			f->block[into].succ[k] = c->block[c->g->block[b].succ[k]];
			ir_edge(f, into, f->block[into].succ[k]);
		}
		return;
	}
	end = ir_node(f, IR_JUMP, 64);
	f->node[end].pc = f->node[c->v].pc;
	ir_append(f, into, end);
	f->block[into].succ[0] = c->after;
	f->block[into].n_succ = 1;
	ir_edge(f, into, c->after);
	c->result[c->n_results++] = mapped(c, from->arg[0]);
}

/* The call's own node becomes what it gives: a phi of the results, in front of what follows. */
static void give(struct copy *c)
{
	struct ir *f = c->f;
	struct ir_node *n;
	u32 at = 0;

	if (c->n_results > 1 && !ir_pool(f, c->n_results, &at))
		return;
	n = &f->node[c->v];
	n->op = c->n_results == 1 ? OP_MOV : IR_PHI;
	n->n = c->n_results == 1;
	n->imm = 0;
	n->arg[0] = c->n_results == 1 ? c->result[0] : at;
	if (c->n_results > 1)
		memcpy(f->pool + at, c->result, c->n_results * sizeof(u32));
	ir_insert(f, f->block[c->after].first, c->v);
}

/* Gives the block behind the call; 0: out of memory. */
static u32 inlined(struct ir *f, struct ir *g, u32 v)
{
	struct copy c = {.f = f, .g = g, .v = v, .call = f->call[f->node[v].imm]};
	u32 at = f->node[v].block;

	c.node = arena_array(f->scratch, g->n_nodes, sizeof(u32));
	c.block = arena_array(f->scratch, g->n_blocks, sizeof(u32));
	if (!c.node || !c.block) {
		f->failed = true;
		return 0;
	}
	split(&c);
	ir_each_rpo(g, i, b) {
		c.block[b] = i ? ir_block(f) : at;
		if (f->failed)
			return 0;
		f->block[c.block[b]].pc = f->node[v].pc;
		f->block[c.block[b]].cold = f->block[at].cold || (i && g->block[b].cold);
	}
	ir_each_rpo(g, i, b) {
		for (u32 k = g->block[b].first; k && !f->failed; k = g->node[k].next) {
			if (k == g->block[b].last)
				copy_end(&c, k, b, c.block[b]);
			else if (g->node[k].op != IR_PARAM && g->node[k].op != IR_FRAME)
				copy_node(&c, k, c.block[b]);
		}
	}
	if (!f->failed)
		give(&c);
	return f->failed ? 0 : c.after;
}

void opt_inline(struct ir *f, struct ir *all)
{
	u32 grown = 0, blocks = f->n_blocks;

	if (opt_calls_none(f))
		return;
	for (u32 first = 0; first < blocks; first++) {
		u32 b = first;

		for (u32 v = f->block[first].reachable ? f->block[b].first : 0, next; v && !f->failed; v = next) {
			const struct ir_call *call = f->node[v].op == IR_CALL ? &f->call[f->node[v].imm] : NULL;
			u32 size;

			next = f->node[v].next;
			if (!call || call->kind != IRC_SUBPROG || &all[call->subprog] == f)
				continue;
			size = size_of(&all[call->subprog]);
			if (!size || grown + size > MOST_GROWTH)
				continue;
			grown += size;
			b = inlined(f, &all[call->subprog], v);
			next = b ? f->node[v].next : 0;
		}
	}
	if (grown && !f->failed)
		ir_order(f);
}
