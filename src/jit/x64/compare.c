/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Comparisons, and what is chosen by them. Key idea: emission knows what the flags tell of, a comparison or a result, so that one made before is not made again, and
 * results are not compared with 0.
 */
#include "jit/x64/emit.h"

u32 x64_condition(enum op cmp)
{
	switch (cmp) {
	case OP_JEQ: return CC_E;
	case OP_JGT: return CC_A;
	case OP_JGE: return CC_AE;
	case OP_JLT: return CC_B;
	case OP_JLE: return CC_BE;
	case OP_JSGT: return CC_G;
	case OP_JSGE: return CC_GE;
	case OP_JSLT: return CC_L;
	case OP_JSLE: return CC_LE;
	default: return CC_NE; /* JNE, JSET */
	}
}

/* Compared with 0, which overflows never, the sign alone tells what is below: one flag instead of two. */
static u32 condition(const struct mach_ins *i)
{
	if (i->has_imm && i->imm == 0 && (i->cc == OP_JSLT || i->cc == OP_JSGE))
		return i->cc == OP_JSLT ? CC_S : CC_NS;
	return x64_condition(i->cc);
}

/* The flags of an operation tell how its result compares with 0: after logical ones everything, else whether it is 0, and its sign. */
static bool known_of_result(const struct mach_ins *f, const struct mach_ins *i, u32 *cc)
{
	bool same = f->width == i->width;

	if (f->dst != i->a || !i->has_imm || i->imm || i->cc == OP_JSET || f->width > i->width)
		return false;
	*cc = condition(i);
	if (i->cc == OP_JEQ || i->cc == OP_JNE || (same && f->op == M_ALU && f->aux != ALU_ADD && f->aux != ALU_SUB))
		return true;
	return same && (i->cc == OP_JSLT || i->cc == OP_JSGE);
}

bool x64_known(const struct emit *e, const struct mach_ins *i, u32 *cc)
{
	const struct mach_ins *f = e->flags;

	if (!f)
		return false;
	if (f->op != M_SELECT && f->op != M_SETCC)
		return known_of_result(f, i, cc);
	*cc = condition(i);
	return f->width == i->width && f->a == i->a && f->has_imm == i->has_imm && (f->has_imm ? f->imm == i->imm : f->b == i->b) &&
	       (f->cc == OP_JSET) == (i->cc == OP_JSET);
}

u32 x64_compare(struct emit *e, const struct mach_ins *i)
{
	struct mach *m = e->m;
	bool wide = i->width == 64, test = i->cc == OP_JSET;
	u32 a, cc;

	if (x64_known(e, i, &cc))
		return cc;
	a = x64_in_reg(e, i->a, R10);
	if (!i->has_imm) {
		x64_with(e, test ? 0x85 : 0x3b, wide, a, i->b, R11);
	} else if (test) {
		x64_rr(m, 0xf7, wide, 0, a, false);
		x64_u32(m, (u32)i->imm);
	} else if (i->imm == 0) {
		x64_rr(m, 0x85, wide, a, a, false);
	} else {
		x64_alui(m, ALU_CMP, wide, a, (s32)i->imm);
	}
	e->flags = i;
	return condition(i);
}

bool x64_flags_wanted(const struct emit *e)
{
	const struct mach *m = e->m;
	u32 k = e->i, cc;

	while (k < m->block[e->block].end && m->ins[k].op == M_MOVI)
		k++;
	return k < m->block[e->block].end && (m->ins[k].op == M_SELECT || m->ins[k].op == M_SETCC) && x64_known(e, &m->ins[k], &cc);
}

bool x64_keeps_flags(enum mach_op op)
{
	switch (op) {
	case M_MOV:
	case M_MOVI:
	case M_LEA:
	case M_LOAD:
	case M_STORE:
	case M_STOREI:
	case M_EXT:
	case M_ALU:
	case M_NEG:
	case M_SHIFT:
	case M_SELECT:
	case M_SETCC: return true;
	default: return false;
	}
}

void x64_choose(struct emit *e, const struct mach_ins *i)
{
	struct mach *m = e->m;
	u32 t = result_reg(e, i->dst), cc = x64_compare(e, i);

	if (!i->c) { /* all bits or none: sbb */
		x64_rr(m, 0x19, i->scale == 64, t, t, false);
		if (i->sign)
			x64_rr(m, 0xf7, i->scale == 64, 2, t, false);
		e->flags = NULL;
	} else {
		if (i->d)
			x64_into(e, t, i->d, true);
		else
			x64_movi(m, t, (u64)(s64)i->disp, true);
		x64_with(e, 0x0f40 | cc, true, t, i->c, R11);
	}
	x64_finish(e, i->dst, t);
}

static bool reads(const struct emit *e, const struct mach_ins *i, u32 reg)
{
	return (u32)reg_of(e, i->a) == reg || (!i->has_imm && (u32)reg_of(e, i->b) == reg);
}

void x64_setcc(struct emit *e, const struct mach_ins *i)
{
	u32 t = result_reg(e, i->dst), cc;
	bool known = x64_known(e, i, &cc), clear = !known && reg_of(e, i->dst) >= 0 && !reads(e, i, t);

	if (clear) /* beforehand, so that nobody waits for it */
		x64_rr(e->m, 0x31, false, t, t, false);
	cc = x64_compare(e, i) ^ i->sign;
	x64_rr(e->m, 0x0f90 | cc, false, 0, t, true);
	if (!clear)
		x64_rr(e->m, 0x0fb6, false, t, t, true);
	x64_finish(e, i->dst, t);
}

/* adc, or sbb of -1 */
void x64_count(struct emit *e, const struct mach_ins *i)
{
	u32 t = result_reg(e, i->dst), cc = x64_compare(e, i);

	x64_into(e, t, i->c, true);
	x64_alui(e->m, cc == CC_B ? ALU_ADC : ALU_SBB, i->scale == 64, t, cc == CC_B ? 0 : -1);
	x64_finish(e, i->dst, t);
}
