/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Common subexpressions: a node equals an earlier one that dominates it if operation and operands are the same. Loads of private memory take
 * part with a version of that memory, which stores and calls that may change it advance; a block with one predecessor goes on
 * with its version, any other one starts a new one. Shared memory is never read less often than the program says.
 *
 * Also removes what nobody needs. Requires: rpo, kinds. Keeps: the control flow graph.
 */
#include "opt/passes.h"

struct gvn {
	struct ir *f;
	u32 *table, mask;
	u32 *to;
	u32 *next; /* chain of nodes with the same hash */
	u32 *version; /* per node: of the packet, for loads */
	struct versions {
		u32 packet, run;
	} *out; /* per block */
	u32 last;
};

static bool pure(const struct ir *f, u32 v)
{
	const struct ir_node *n = &f->node[v];

	if (ir_is_alu(f, v))
		return true;
	switch (n->op) {
	case IR_SWAP:
	case IR_ROL:
	case IR_MULHU:
	case IR_MULHS:
	case IR_TABLE:
	case IR_SELECT: return true;
	case IR_LOAD:
	case IR_LOADS: return n->flags & (IRF_PRIVATE | IRF_INVARIANT);
	default: return false;
	}
}

static u32 hash_of(const struct gvn *g, u32 v)
{
	const struct ir_node *n = &g->f->node[v];
	u64 h = n->op * 0x9e3779b97f4a7c15ull + n->width * 31u + n->aux * 131u + (u64)n->imm * 0xff51afd7ed558ccdull;

	for (u32 i = 0; i < n->n; i++)
		h = (h ^ n->arg[i]) * 0xc4ceb9fe1a85ec53ull + (h >> 29);
	return (u32)(h >> 32 ^ h);
}

static bool same(const struct gvn *g, u32 a, u32 b)
{
	const struct ir_node *x = &g->f->node[a], *y = &g->f->node[b];

	if (x->op != y->op || x->width != y->width || x->aux != y->aux || x->imm != y->imm || x->n != y->n)
		return false;
	for (u32 i = 0; i < x->n; i++)
		if (x->arg[i] != y->arg[i])
			return false;
	if (x->op == IR_LOAD || x->op == IR_LOADS)
		return x->flags == y->flags && x->kinds == y->kinds && g->version[a] == g->version[b];
	return true;
}

static u32 version_of(const struct ir_node *n, const struct versions *now)
{
	if (n->flags & IRF_INVARIANT)
		return 0;
	return n->kinds == PTR_PACKET ? now->packet : now->run;
}

static void advance(struct gvn *g, u32 v, struct versions *now)
{
	const struct ir_node *n = &g->f->node[v];

	if (n->op == IR_STORE || n->op == IR_ATOMIC) {
		if (n->kinds & PTR_PACKET)
			now->packet = ++g->last;
		if (n->kinds & PTR_RUN)
			now->run = ++g->last;
	} else if (n->op == IR_CALL && !g->f->call[n->imm].reads_only) {
		now->packet = now->run = ++g->last;
	}
}

static void visit(struct gvn *g, u32 v, u32 b, struct versions *now)
{
	struct ir *f = g->f;
	u32 slot;

	advance(g, v, now);
	if (!pure(f, v))
		return;
	if (f->node[v].op == IR_LOAD || f->node[v].op == IR_LOADS)
		g->version[v] = version_of(&f->node[v], now);
	slot = hash_of(g, v) & g->mask;
	for (u32 x = g->table[slot]; x; x = g->next[x])
		if (same(g, x, v) && ir_dominates(f, f->node[x].block, b)) {
			g->to[v] = x;
			ir_remove(f, v);
			return;
		}
	g->next[v] = g->table[slot];
	g->table[slot] = v;
}

static void resolve(struct gvn *g, u32 v)
{
	struct ir_node *n = &g->f->node[v];

	if (n->op == IR_PHI)
		return;
	if (n->op == IR_CALL) {
		struct ir_call *c = &g->f->call[n->imm];

		for (u32 i = 0; i < c->n_args; i++)
			while (g->to[c->args[i]])
				c->args[i] = g->to[c->args[i]];
		return;
	}
	for (u32 i = 0; i < n->n; i++)
		while (g->to[n->arg[i]])
			n->arg[i] = g->to[n->arg[i]];
}

void opt_gvn(struct ir *f)
{
	u32 size = (u32)round_up_pow2(f->n_nodes + 16);
	struct gvn g = {.f = f, .mask = size - 1};

	g.table = arena_array(f->scratch, size, sizeof(u32));
	g.next = arena_array(f->scratch, f->n_nodes, sizeof(u32));
	g.to = arena_array(f->scratch, f->n_nodes, sizeof(u32));
	g.version = arena_array(f->scratch, f->n_nodes, sizeof(u32));
	g.out = arena_array(f->scratch, f->n_blocks, sizeof(*g.out));
	if (!g.table || !g.next || !g.to || !g.version || !g.out) {
		f->failed = true;
		return;
	}
	ir_each_rpo(f, i, b) {
		struct versions now;

		if (f->block[b].n_pred == 1 && f->block[f->block[b].pred[0]].order < i)
			now = g.out[f->block[b].pred[0]];
		else
			now.packet = now.run = ++g.last;
		for (u32 v = f->block[b].first, next; v; v = next) {
			next = f->node[v].next;
			resolve(&g, v);
			visit(&g, v, b, &now);
		}
		g.out[b] = now;
	}
	ir_rewrite(f, g.to);
	opt_dead(f);
}

/* ---- what nobody needs ---- */

static void mark(struct ir *f, u8 *live, u32 *work, u32 *n, u32 v)
{
	if (!live[v] && f->node[v].op != IR_CONST) {
		live[v] = 1;
		work[(*n)++] = v;
	}
}

void opt_dead(struct ir *f)
{
	u8 *live = arena_alloc(f->scratch, f->n_nodes);
	u32 *work = arena_array(f->scratch, f->n_nodes, sizeof(u32)), n = 0, use[IR_USES];

	if (!live || !work) {
		f->failed = true;
		return;
	}
	ir_each_rpo(f, i, b)
		ir_each(f, v, b)
			if (ir_has_effect(&f->node[v]) || f->node[v].op == IR_PARAM || f->node[v].op == IR_FRAME)
				mark(f, live, work, &n, v);
	while (n) {
		u32 v = work[--n];

		if (f->node[v].op == IR_PHI) {
			for (u32 p = 0; p < f->block[f->node[v].block].n_pred; p++)
				mark(f, live, work, &n, ir_phi_args(f, v)[p]);
			continue;
		}
		for (u32 k = ir_uses(f, v, use); k--;)
			mark(f, live, work, &n, use[k]);
	}
	ir_each_rpo(f, i, b)
		for (u32 v = f->block[b].first, next; v; v = next) {
			next = f->node[v].next;
			if (!live[v])
				ir_remove(f, v);
		}
}
