/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a turn of a loop takes from the one before, and how long that takes: the phis of the header are followed through the values that are made from them, and back from
 * what they become. A value lies on a circle if it is made from a phi that is in turn made from it; turns cannot follow one another faster than the longest circle goes.
 * Numbers that only count are left out.
 * For loops that have no others in them.
 *
 * Requires: rpo, loops.
 */
#include "opt/passes.h"

enum { MOST_PHIS = 64, FAR = 60000 };

struct walk {
	struct ir *f;
	struct opt_recur *r;
	u32 header;
	u32 *block, n; /* of the loop, in order */
};

/* Cycles, on machines of today. */
static u32 latency(const struct ir_node *n)
{
	switch (n->op) {
	case IR_PHI:
	case OP_MOV: return 0;
	case OP_MUL: return 3;
	case IR_MULHU:
	case IR_MULHS:
	case IR_LOAD:
	case IR_LOADS:
	case IR_TABLE: return 4;
	case OP_DIV:
	case OP_MOD:
	case OP_SDIV:
	case OP_SMOD: return 12;
	case IR_ATOMIC:
	case IR_CALL: return 20;
	default: return 1;
	}
}

static bool inside(const struct walk *w, u32 v)
{
	return w->f->node[v].op != IR_CONST && w->f->block[w->f->node[v].block].header == w->header;
}

static u32 operands(struct ir *f, u32 v, u32 *use, const u32 **list)
{
	*list = f->node[v].op == IR_PHI ? ir_phi_args(f, v) : use;
	return f->node[v].op == IR_PHI ? f->block[f->node[v].block].n_pred : ir_uses(f, v, use);
}

static void forward(struct walk *w, u32 v)
{
	struct opt_recur *r = w->r;
	u32 use[IR_USES], far = 0;
	const u32 *x;

	for (u32 k = operands(w->f, v, use, &x); k--;)
		if (inside(w, x[k]) && r->from[x[k]]) {
			r->from[v] |= r->from[x[k]];
			far = MAX(far, r->down[x[k]]);
		}
	if (r->from[v])
		r->down[v] = (u16)MIN(far + latency(&w->f->node[v]), (u32)FAR);
}

static void backward(struct walk *w, u32 v)
{
	struct opt_recur *r = w->r;
	u32 use[IR_USES], far = r->up[v] + latency(&w->f->node[v]);
	const u32 *x;

	if (!r->to[v])
		return;
	for (u32 k = operands(w->f, v, use, &x); k--;)
		if (inside(w, x[k])) {
			r->to[x[k]] |= r->to[v];
			r->up[x[k]] = (u16)MIN(MAX(r->up[x[k]], far), (u32)FAR);
		}
}

/* Which phis go into which, by any number of turns. */
static void close(u64 *into, u32 n)
{
	for (u32 k = 0; k < n; k++)
		for (u32 i = 0; i < n; i++)
			if (into[i] >> k & 1)
				into[i] |= into[k];
}

/* A number that only counts is there long before it is needed. */
static bool counts(const struct walk *w, u32 phi)
{
	struct ir *f = w->f;
	const struct ir_block *h = &f->block[w->header];

	for (u32 p = 0; p < h->n_pred; p++) {
		const struct ir_node *n = &f->node[ir_phi_args(f, phi)[p]];

		if (ir_in_loop(f, h->pred[p], w->header) && (n->op != OP_ADD || n->arg[0] != phi || !ir_is_const(f, n->arg[1])))
			return false;
	}
	return true;
}

static void loop(struct walk *w)
{
	struct ir *f = w->f;
	struct opt_recur *r = w->r;
	const struct ir_block *h = &f->block[w->header];
	u32 phi[MOST_PHIS], n = 0;
	u64 into[MOST_PHIS] = {0};

	ir_each(f, v, w->header) {
		if (f->node[v].op != IR_PHI)
			break;
		if (n == MOST_PHIS)
			return;
		r->from[v] = counts(w, v) ? 0 : 1ull << n;
		phi[n++] = v;
	}
	for (u32 i = 0; i < w->n; i++)
		ir_each(f, v, w->block[i])
			if (f->node[v].op != IR_PHI || w->block[i] != w->header)
				forward(w, v);
	for (u32 i = 0; i < n; i++) {
		into[i] = 1ull << i;
		for (u32 p = 0; p < h->n_pred; p++) {
			u32 x = ir_phi_args(f, phi[i])[p];

			if (!ir_in_loop(f, h->pred[p], w->header) || !inside(w, x))
				continue;
			into[i] |= r->from[x];
			r->to[x] |= 1ull << i;
		}
	}
	close(into, n);
	for (u32 i = 0; i < n; i++)
		r->into[phi[i]] = into[i];
	for (u32 i = w->n; i-- > 0;)
		for (u32 v = f->block[w->block[i]].last; v; v = f->node[v].prev)
			if (f->node[v].op != IR_PHI || w->block[i] != w->header)
				backward(w, v);
}

bool opt_recur(struct ir *f, struct opt_recur *r)
{
	u32 size = f->n_nodes + 1, work = 4 * f->n_rpo + 64;
	struct walk w = {.f = f, .r = r};

	*r = (struct opt_recur){.n = f->n_nodes};
	r->from = arena_array(f->scratch, size, sizeof(u64));
	r->to = arena_array(f->scratch, size, sizeof(u64));
	r->into = arena_array(f->scratch, size, sizeof(u64));
	r->down = arena_array(f->scratch, size, sizeof(u16));
	r->up = arena_array(f->scratch, size, sizeof(u16));
	w.block = arena_array(f->scratch, f->n_rpo, sizeof(u32));
	if (!r->from || !r->to || !r->into || !r->down || !r->up || !w.block)
		return false;
	for (u32 i = 0; i < f->n_rpo; i++) {
		u32 left = f->block[f->rpo[i]].loop_size;

		w.header = f->rpo[i];
		if (f->block[w.header].header != w.header)
			continue;
		w.n = 0;
		for (u32 k = i; k < f->n_rpo && left && work; k++, work--) {
			u32 h = f->block[f->rpo[k]].header;

			if (h == w.header)
				w.block[w.n++] = f->rpo[k], left--;
			else if (h != UINT32_MAX && f->block[h].outer == w.header)
				break;
		}
		if (!left)
			loop(&w);
	}
	return true;
}

/* Is v on a circle with x, which goes into it? */
bool opt_on_circle(const struct ir *f, const struct opt_recur *r, u32 v, u32 x)
{
	u32 header = f->block[f->node[v].block].header, i = 0;

	if (v >= r->n || x >= r->n || !r->to[v] || !r->from[x] || f->node[x].op == IR_CONST || f->block[f->node[x].block].header != header)
		return false;
	for (u32 phi = f->block[header].first; phi && f->node[phi].op == IR_PHI; phi = f->node[phi].next, i++)
		if (r->from[x] >> i & 1 && r->into[phi] & r->to[v])
			return true;
	return false;
}
