/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A loop whose turns can be counted beforehand, and are few, is looked at once, before it: what all its turns use up is taken off there. For
 * loops that are left at one place, by a comparison of a number that starts and steps by constants, and that nothing in the loop
 * asks how much fuel is left; so the fuel is the same value from there to behind the loop.
 *
 * Requires: rpo, loops. Keeps: SSA; leaves a new order behind.
 */
#include "opt/passes.h"

enum { MOST_FUEL = 1 << 15 };

struct counted {
	struct ir *f;
	struct opt_loop l; /* exit: the branch that leaves */
	u32 poll; /* the branch that looks */
	u32 slow, back, go; /* blocks: calls; goes on from there; where both ways meet */
	u32 fuel, less, met; /* the header's phi, what a turn leaves, the phi in go */
	u32 *to;
};

static bool is_poll(const struct ir *f, u32 v)
{
	return f->node[v].op == IR_BRANCH && f->node[v].flags & IRF_POLL;
}

/* The blocks that belong to looking, behind the branch. */
static bool shape(struct counted *c)
{
	struct ir *f = c->f;
	const struct ir_block *b = &f->block[f->node[c->poll].block];
	u32 v, end, into, from = f->node[c->poll].block;

	c->slow = b->succ[0];
	c->go = b->succ[1];
	if (f->node[f->block[c->go].first].op == IR_JUMP) { /* the edge was split */
		from = c->go;
		c->go = f->block[c->go].succ[0];
	}
	end = f->block[c->slow].last;
	if (f->block[c->slow].n_pred != 1 || f->node[end].op != IR_BRANCH || f->block[c->go].n_pred != 2)
		return false;
	c->back = f->block[c->slow].succ[1];
	c->met = f->block[c->go].first;
	if (f->block[c->back].n_pred != 1 || f->node[f->block[c->back].first].op != IR_JUMP || f->block[c->back].succ[0] != c->go ||
	    f->node[c->met].op != IR_PHI)
		return false;
	v = f->block[c->slow].first;
	into = f->block[c->go].pred[0] == from ? 0 : 1;
	c->fuel = f->node[c->poll].arg[0];
	c->less = ir_phi_args(f, c->met)[into];
	return f->node[v].op == IR_CALL && ir_phi_args(f, c->met)[!into] == v && f->call[f->node[v].imm].args[1] == c->less &&
	       f->node[c->less].op == OP_ADD && f->node[c->less].arg[0] == c->fuel && ir_is_const(f, f->node[c->less].arg[1]) &&
	       f->node[f->node[c->met].next].op != IR_PHI;
}

/* Looks at all blocks of the loop: one branch that leaves, one that looks, and no other use of the fuel. */
static bool inside(struct counted *c, u32 i)
{
	struct ir *f = c->f;
	u32 left = f->block[c->l.header].loop_size, use[IR_USES];

	c->l.exit = c->poll = 0;
	for (; left && i < f->n_rpo; i++) {
		u32 b = f->rpo[i], end = f->block[b].last;

		if (f->block[b].header != c->l.header) {
			if (ir_in_loop(f, b, c->l.header))
				return false;
			continue;
		}
		left--;
		if (is_poll(f, end)) {
			if (c->poll)
				return false;
			c->poll = end;
		}
		for (u32 s = 0; s < f->block[b].n_succ; s++) {
			if (ir_in_loop(f, f->block[b].succ[s], c->l.header) || (c->poll && f->block[f->node[c->poll].block].succ[0] == b))
				continue;
			if (c->l.exit || f->node[end].op != IR_BRANCH)
				return false;
			c->l.exit = end;
		}
	}
	if (!c->poll || !c->l.exit || !shape(c) || !opt_header_phi(c->f, &c->l, c->fuel) || opt_incoming(c->f, &c->l, c->fuel, c->l.latch) != c->met)
		return false;
	left = f->block[c->l.header].loop_size;
	for (i = f->block[c->l.header].order; left && i < f->n_rpo; i++) {
		u32 b = f->rpo[i];

		if (f->block[b].header != c->l.header)
			continue;
		left--;
		ir_each(f, v, b) {
			u32 n = f->node[v].op == IR_PHI ? f->block[b].n_pred : ir_uses(f, v, use);
			const u32 *x = f->node[v].op == IR_PHI ? ir_phi_args(f, v) : use;

			for (u32 k = 0; k < n; k++)
				if ((x[k] == c->fuel && v != c->less && v != c->poll) || (x[k] == c->less && v != c->met && v != f->block[c->slow].first) ||
				    (x[k] == c->met && v != c->fuel))
					return false;
		}
	}
	return true;
}

/* The blocks that look move before the loop. */
static void move(struct counted *c, u32 cost)
{
	struct ir *f = c->f;
	u32 first = opt_incoming(c->f, &c->l, c->fuel, c->l.before), call = f->block[c->slow].first, was = f->node[c->poll].block;
	u32 less = ir_node(f, (enum ir_op)OP_ADD, 64), jump = ir_node(f, IR_JUMP, 64), met = ir_node(f, IR_PHI, 64), meet = ir_block(f), at, *args;
	struct ir_node *n;

	args = ir_pool(f, 2, &at);
	if (f->failed)
		return;
	args[0] = less;
	args[1] = call;
	f->node[met].arg[0] = at;
	n = &f->node[less];
	n->n = 2;
	n->arg[0] = first;
	n->pc = f->node[c->poll].pc;
	at = ir_const(f, (u64)-(s64)cost);
	f->node[less].arg[1] = at;
	at = ir_const(f, cost);
	ir_insert(f, f->block[c->l.before].last, less);
	n = &f->node[f->block[c->l.before].last];
	*n = (struct ir_node){.op = IR_BRANCH, .width = 64, .aux = f->node[c->poll].aux, .flags = IRF_POLL, .n = 2, .arg = {first, at}, .pc = n->pc,
			      .block = n->block, .prev = n->prev, .next = n->next};
	f->block[c->l.before].succ[0] = c->slow;
	f->block[c->l.before].succ[1] = meet;
	f->block[c->l.before].n_succ = 2;
	f->node[met].pc = f->node[less].pc;
	ir_append(f, meet, met);
	ir_append(f, meet, jump);
	f->block[meet].pc = f->block[c->l.header].pc;
	f->block[meet].succ[0] = c->l.header;
	f->block[meet].n_succ = 1;
	ir_edge(f, c->l.before, meet);
	ir_edge(f, c->back, meet);
	ir_rename_pred(f, c->l.header, c->l.before, meet);
	ir_rename_pred(f, c->slow, was, c->l.before);
	f->call[f->node[call].imm].args[1] = less;
	f->block[c->back].succ[0] = meet;
	ir_cut(f, c->back, c->go);
	f->node[c->poll].op = IR_JUMP;
	f->node[c->poll].flags = f->node[c->poll].n = 0;
	f->block[was].succ[0] = f->block[was].succ[1];
	f->block[was].n_succ = 1;
	c->to[c->fuel] = c->to[c->met] = met;
	ir_remove(f, c->fuel);
	ir_remove(f, c->met);
	ir_remove(f, c->less);
}

void opt_polls(struct ir *f)
{
	enum { NEW = 8 }; /* nodes of each */
	struct counted c = {.f = f};
	u32 n = 0;

	if (!f->poll)
		return;
	ir_split_edges(f);
	ir_order(f);
	for (u32 i = 0; i < f->n_rpo; i++)
		n += f->block[f->rpo[i]].header == f->rpo[i];
	c.to = arena_array(f->scratch, f->n_nodes + NEW * n, sizeof(u32));
	for (u32 i = 0, count = f->n_rpo; c.to && i < count && !f->failed; i++) {
		u64 turns;
		u32 per;

		if (f->block[f->rpo[i]].header != f->rpo[i] || !opt_loop_ends(f, f->rpo[i], &c.l) || f->block[c.l.before].n_succ != 1 || !inside(&c, i))
			continue;
		per = (u32)(u64)f->node[f->node[c.poll].arg[1]].imm;
		turns = opt_turns(f, &c.l);
		if (turns && turns <= MOST_FUEL / MAX(per, 1u))
			move(&c, (u32)turns * per);
	}
	if (c.to && !f->failed)
		ir_rewrite(f, c.to);
	ir_order(f);
}
