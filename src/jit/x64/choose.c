/* SPDX-License-Identifier: BSD-2-Clause */
/* Selections as operations of the machine: moves by a condition, masks and numbers made from a flag, and additions that take one along. */
#include "jit/x64/select.h"

/* Moves by two flags at once take twice as long as by one: "above" becomes "not below", and what is signed is compared with 0 where it can be. */
static u8 one_flag(u32 cc, u32 *a, u32 *b, s64 *x, bool imm)
{
	u32 t = *a;

	if ((cc == OP_JSGT || cc == OP_JSLE) && imm && *x == -1) {
		*x = 0;
		return cc == OP_JSGT ? OP_JSGE : OP_JSLT;
	}
	if ((cc != OP_JGT && cc != OP_JLE) || (imm && (*x == -1 || *x == INT32_MAX)))
		return (u8)cc;
	if (imm) {
		++*x;
		return cc == OP_JGT ? OP_JGE : OP_JLT;
	}
	*a = *b;
	*b = t;
	return cc == OP_JGT ? OP_JLT : OP_JGE;
}

static bool is_phi_of(const struct select *s, u32 phi, u32 v)
{
	if (s->f->node[phi].op == IR_PHI)
		for (u32 k = 0; k < s->f->block[s->f->node[phi].block].n_pred; k++)
			if (ir_phi_args(s->f, phi)[k] == v)
				return true;
	return false;
}

/* The result is made where the value for "no" is: should it be the other one? What becomes the result's successor in a loop, then constants, then what is not needed later. */
static bool other_way(const struct select *s, u32 v, u32 yes, u32 no)
{
	bool phi_yes = s->f->node[yes].op == IR_PHI, phi_no = s->f->node[no].op == IR_PHI;

	if (is_phi_of(s, no, v) || is_phi_of(s, yes, v))
		return !is_phi_of(s, no, v);
	if (phi_yes != phi_no)
		return phi_yes;
	if (ir_is_const(s->f, yes) != ir_is_const(s->f, no))
		return ir_is_const(s->f, yes);
	return s->uses[yes] == 1 && s->uses[no] > 1;
}

/* Can the flag of "below" tell? 0 is what is below 1. */
static bool by_carry(struct mach_ins *ins)
{
	if ((ins->cc == OP_JEQ || ins->cc == OP_JNE) && ins->has_imm && ins->imm == 0) {
		ins->cc = ins->cc == OP_JEQ ? OP_JLT : OP_JGE;
		ins->imm = 1;
	}
	return ins->cc == OP_JLT || ins->cc == OP_JGE;
}

static bool is_bit(s64 yes, s64 no)
{
	return (yes == 1 && no == 0) || (yes == 0 && no == 1);
}

/* 0 or all bits: which, by the flag of "below" alone. ins has the comparison. */
static bool select_mask(struct mach_ins *ins, s64 yes, s64 no)
{
	s64 ones = yes ? yes : no;

	if ((yes && no) || (ones != -1 && ones != 0xffffffff))
		return false;
	if (!by_carry(ins))
		return false;
	ins->scale = ones == -1 ? 64 : 32;
	ins->sign = (ins->cc == OP_JLT) == (yes == 0);
	return true;
}

void select_choose(struct select *s, u32 v)
{
	struct ir_node n = s->f->node[v];
	struct mach_ins ins = {.op = M_SELECT, .width = n.width, .dst = v, .pc = s->pc};
	s64 x = 0, yes = 0, no = 0;
	u32 i;
	bool both = select_is_const(s, n.arg[2], &yes) && select_is_const(s, n.arg[3], &no), imm;

	select_compare(s, &n, &ins.a, &ins.b, &x, &imm);
	if (n.aux != OP_JSET && other_way(s, v, n.arg[2], n.arg[3])) {
		u32 t = n.arg[2];

		n.arg[2] = n.arg[3];
		n.arg[3] = t;
		n.aux = (u8)op_negated(n.aux);
		if (both) {
			s64 u = yes;

			yes = no;
			no = u;
		}
	}
	ins.cc = one_flag(n.aux, &ins.a, &ins.b, &x, imm);
	ins.imm = x;
	ins.has_imm = imm;
	if (both && is_bit(yes, no)) {
		ins.op = M_SETCC;
		ins.sign = no == 1;
	} else if (!both || !select_mask(&ins, yes, no)) {
		ins.c = select_operand(s, n.arg[2]);
		if (select_is_const(s, n.arg[3], &no) && select_fits32(no))
			ins.disp = (s32)no;
		else
			ins.d = select_operand(s, n.arg[3]);
	}
	i = select_add(s, M_SELECT, n.width);
	s->m->ins[i] = ins;
}

/* ---- n + (a < b): an addition that takes the flag along ---- */

bool select_counts(struct select *s, u32 v)
{
	const struct ir_node *n = &s->f->node[v];

	for (u32 k = 0; k < 2; k++) {
		const struct ir_node *in = &s->f->node[n->arg[k]];
		s64 yes, no, with = 0;
		bool imm;

		if (in->op != IR_SELECT || s->uses[n->arg[k]] != 1 || in->block != n->block || ir_is_const(s->f, n->arg[!k]) || n->arg[0] == n->arg[1] ||
		    !select_is_const(s, in->arg[2], &yes) || !select_is_const(s, in->arg[3], &no) || !is_bit(yes, no))
			continue;
		imm = select_is_const(s, in->arg[1], &with);
		if (in->aux == OP_JEQ || in->aux == OP_JNE ? !imm || with : in->aux != OP_JLT && in->aux != OP_JGE && (imm || (in->aux != OP_JGT && in->aux != OP_JLE)))
			continue;
		s->count[v] = n->arg[k];
		s->uses[in->arg[0]]++;
		s->uses[in->arg[1]]++;
		s->uses[n->arg[k]] = 0;
		return true;
	}
	return false;
}

void select_count(struct select *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	struct ir_node in = s->f->node[s->count[v]];
	struct mach_ins ins = {.op = M_COUNT, .width = in.width, .scale = n.width, .dst = v, .pc = s->pc};
	u32 i;

	select_compare(s, &in, &ins.a, &ins.b, &ins.imm, &ins.has_imm);
	if (s->f->node[in.arg[2]].imm == 0)
		in.aux = (u8)op_negated(in.aux);
	ins.cc = one_flag(in.aux, &ins.a, &ins.b, &ins.imm, ins.has_imm);
	by_carry(&ins);
	ins.c = select_operand(s, n.arg[n.arg[0] == s->count[v]]);
	i = select_add(s, M_COUNT, in.width);
	s->m->ins[i] = ins;
}
