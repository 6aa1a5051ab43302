/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many turns a loop makes, for those that a comparison ends whose one side starts and steps by constants and whose other side is a constant.
 *
 * Requires: rpo, loops.
 */
#include "opt/passes.h"

/* One side of the comparison, turn by turn: it stays in the loop while `stay` holds. */
struct count {
	enum op stay;
	u64 mask, first, by, limit;
	bool with_sign;
};

bool opt_loop_ends(const struct ir *f, u32 header, struct opt_loop *l)
{
	const struct ir_block *h = &f->block[header];
	u32 in;

	if (h->n_pred != 2)
		return false;
	in = f->block[h->pred[0]].order < h->order ? 0 : 1;
	*l = (struct opt_loop){.header = header, .before = h->pred[in], .latch = h->pred[!in]};
	return !ir_in_loop(f, l->before, header) && ir_in_loop(f, l->latch, header);
}

u32 opt_incoming(struct ir *f, const struct opt_loop *l, u32 phi, u32 from)
{
	return ir_phi_args(f, phi)[f->block[l->header].pred[0] == from ? 0 : 1];
}

static bool counts(struct ir *f, const struct opt_loop *l, struct count *c)
{
	const struct ir_node *end = &f->node[l->exit], *step;
	bool leave_if = !ir_in_loop(f, f->block[end->block].succ[0], l->header), stepped;
	u32 phi = end->arg[0];

	if (!ir_is_const(f, end->arg[1]) || !ir_dominates(f, end->block, l->latch))
		return false;
	stepped = !opt_header_phi(f, l, phi);
	if (stepped)
		phi = f->node[phi].op == OP_ADD ? f->node[phi].arg[0] : 0;
	if (!phi || !opt_header_phi(f, l, phi) || !ir_is_const(f, opt_incoming(f, l, phi, l->before)))
		return false;
	step = &f->node[opt_incoming(f, l, phi, l->latch)];
	if (step->op != OP_ADD || step->arg[0] != phi || !ir_is_const(f, step->arg[1]) || (stepped && step != &f->node[end->arg[0]]))
		return false;
	/* A counter of 32 bits compared with 64 has no sign, and never meets a limit beyond; of one of 64 a comparison with 32 sees the low half. */
	c->mask = MIN(step->width, end->width) == 32 ? UINT32_MAX : ~0ull;
	c->first = (u64)f->node[opt_incoming(f, l, phi, l->before)].imm;
	if (step->width < end->width && (c->first > c->mask || (u64)f->node[end->arg[1]].imm > c->mask))
		return false;
	c->with_sign = op_table[end->aux].flags & OPF_SIGNED && step->width >= end->width;
	c->stay = leave_if ? op_negated(end->aux) : end->aux;
	c->by = (u64)f->node[step->arg[1]].imm & c->mask;
	c->first = (c->first + (stepped ? c->by : 0)) & c->mask;
	c->limit = (u64)f->node[end->arg[1]].imm & c->mask;
	return c->stay != OP_INVALID && c->by != 0;
}

/* Numbers in the order of the comparison are numbers without sign that grow by less than half of all there are. */
static bool grows(struct count *c)
{
	u64 sign = c->mask ^ c->mask >> 1;
	bool down;

	if (c->with_sign) {
		c->first ^= sign;
		c->limit ^= sign;
	}
	switch (c->stay) {
	case OP_JLT:
	case OP_JLE:
	case OP_JSLT:
	case OP_JSLE: down = false; break;
	case OP_JGT:
	case OP_JGE:
	case OP_JSGT:
	case OP_JSGE: down = true; break;
	case OP_JNE: down = (c->by & sign) != 0; break;
	default: return false;
	}
	if (down) {
		c->first ^= c->mask;
		c->limit ^= c->mask;
		c->by = (0 - c->by) & c->mask;
	}
	return !(c->by & sign);
}

/* Turns that end with another one. 0: not known. */
u64 opt_turns(struct ir *f, const struct opt_loop *l)
{
	struct count c;
	u64 far;
	bool with = false;

	if (!counts(f, l, &c) || !grows(&c))
		return 0;
	far = (c.limit - c.first) & c.mask;
	if (c.stay == OP_JNE)
		return far % c.by ? 0 : far / c.by;
	with = c.stay == OP_JLE || c.stay == OP_JGE || c.stay == OP_JSLE || c.stay == OP_JSGE;
	if (c.first > c.limit || c.limit > c.mask - c.by) /* the number goes over its end, or there is no turn */
		return 0;
	return with ? far / c.by + 1 : (far + c.by - 1) / c.by;
}
