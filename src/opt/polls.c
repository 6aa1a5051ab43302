/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A loop whose turns can be counted beforehand, and are few, is looked at once, before it: what all its turns use up is taken off there. For
 * loops that are left at one place, by a comparison of a number that starts and steps by constants, and that nothing in the loop
 * asks how much fuel is left; so the fuel is the same value from there to behind the loop.
 *
 * Requires: rpo, loops. Keeps: SSA; leaves a new order behind.
 */
#include "opt/passes.h"

enum { MOST_FUEL = 1 << 15, NONE = UINT32_MAX };

struct counted {
	struct ir *f;
	u32 header, before, latch; /* blocks: the header's two predecessors */
	u32 poll; /* the branch that looks */
	u32 slow, back, go; /* blocks: calls; goes on from there; where both ways meet */
	u32 fuel, less, met; /* the header's phi, what a turn leaves, the phi in go */
	u32 exit; /* the branch that leaves */
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

static bool is_header_phi(const struct counted *c, u32 v)
{
	return c->f->node[v].op == IR_PHI && c->f->node[v].block == c->header;
}

static u32 incoming(const struct counted *c, u32 phi, u32 from)
{
	const struct ir_block *h = &c->f->block[c->header];

	return ir_phi_args(c->f, phi)[h->pred[0] == from ? 0 : 1];
}

/* Looks at all blocks of the loop: one branch that leaves, one that looks, and no other use of the fuel. */
static bool inside(struct counted *c, u32 i)
{
	struct ir *f = c->f;
	u32 left = f->block[c->header].loop_size, use[IR_USES];

	c->exit = c->poll = 0;
	for (; left && i < f->n_rpo; i++) {
		u32 b = f->rpo[i], end = f->block[b].last;

		if (f->block[b].header != c->header) {
			if (ir_in_loop(f, b, c->header))
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
			if (ir_in_loop(f, f->block[b].succ[s], c->header) || (c->poll && f->block[f->node[c->poll].block].succ[0] == b))
				continue;
			if (c->exit || f->node[end].op != IR_BRANCH)
				return false;
			c->exit = end;
		}
	}
	if (!c->poll || !c->exit || !shape(c) || !is_header_phi(c, c->fuel) || incoming(c, c->fuel, c->latch) != c->met)
		return false;
	left = f->block[c->header].loop_size;
	for (i = f->block[c->header].order; left && i < f->n_rpo; i++) {
		u32 b = f->rpo[i];

		if (f->block[b].header != c->header)
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

/* How often the loop goes round; more than most: unknown. */
static u32 turns(const struct counted *c, u32 most)
{
	const struct ir *f = c->f;
	const struct ir_node *end = &f->node[c->exit], *step;
	bool leave_if = !ir_in_loop(f, f->block[end->block].succ[0], c->header), stepped;
	u32 phi = end->arg[0], n = 0;
	u64 x, by;

	if (!ir_is_const(f, end->arg[1]) || !ir_dominates(f, end->block, c->latch))
		return most + 1;
	stepped = !is_header_phi(c, phi);
	if (stepped)
		phi = f->node[phi].op == OP_ADD ? f->node[phi].arg[0] : 0;
	if (!phi || !is_header_phi(c, phi) || !ir_is_const(f, incoming(c, phi, c->before)))
		return most + 1;
	step = &f->node[incoming(c, phi, c->latch)];
	if (step->op != OP_ADD || step->arg[0] != phi || !ir_is_const(f, step->arg[1]) || (stepped && step != &f->node[end->arg[0]]))
		return most + 1;
	by = (u64)f->node[step->arg[1]].imm;
	for (x = (u64)f->node[incoming(c, phi, c->before)].imm; n <= most; n++) {
		u64 next = step->width == 32 ? (u32)(x + by) : x + by;

		if (op_compare(end->aux, end->width, stepped ? next : x, (u64)f->node[end->arg[1]].imm) == leave_if)
			return n;
		x = next;
	}
	return n;
}

/* The blocks that look move before the loop. */
static void move(struct counted *c, u32 cost)
{
	struct ir *f = c->f;
	u32 first = incoming(c, c->fuel, c->before), call = f->block[c->slow].first, was = f->node[c->poll].block;
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
	ir_insert(f, f->block[c->before].last, less);
	n = &f->node[f->block[c->before].last];
	*n = (struct ir_node){.op = IR_BRANCH, .width = 64, .aux = f->node[c->poll].aux, .flags = IRF_POLL, .n = 2, .arg = {first, at}, .pc = n->pc,
			      .block = n->block, .prev = n->prev, .next = n->next};
	f->block[c->before].succ[0] = c->slow;
	f->block[c->before].succ[1] = meet;
	f->block[c->before].n_succ = 2;
	f->node[met].pc = f->node[less].pc;
	ir_append(f, meet, met);
	ir_append(f, meet, jump);
	f->block[meet].pc = f->block[c->header].pc;
	f->block[meet].succ[0] = c->header;
	f->block[meet].n_succ = 1;
	ir_edge(f, c->before, meet);
	ir_edge(f, c->back, meet);
	ir_rename_pred(f, c->header, c->before, meet);
	ir_rename_pred(f, c->slow, was, c->before);
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
	u32 n = 0, most = 0;

	if (!f->poll)
		return;
	ir_split_edges(f);
	ir_order(f);
	for (u32 i = 0; i < f->n_rpo; i++)
		n += f->block[f->rpo[i]].header == f->rpo[i];
	c.to = arena_array(f->scratch, f->n_nodes + NEW * n, sizeof(u32));
	for (u32 i = 0, count = f->n_rpo; c.to && i < count && !f->failed; i++) {
		u32 per;

		c.header = f->rpo[i];
		if (f->block[c.header].header != c.header || f->block[c.header].n_pred != 2)
			continue;
		n = f->block[f->block[c.header].pred[0]].order < f->block[c.header].order ? 0 : 1;
		c.before = f->block[c.header].pred[n];
		c.latch = f->block[c.header].pred[!n];
		if (f->block[c.before].n_succ != 1 || ir_in_loop(f, c.before, c.header) || !ir_in_loop(f, c.latch, c.header) || !inside(&c, i))
			continue;
		per = (u32)(u64)f->node[f->node[c.poll].arg[1]].imm;
		most = MOST_FUEL / MAX(per, 1u);
		n = turns(&c, most);
		if (n <= most && n)
			move(&c, n * per);
	}
	if (c.to && !f->failed)
		ir_rewrite(f, c.to);
	ir_order(f);
}
