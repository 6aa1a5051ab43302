/* SPDX-License-Identifier: BSD-2-Clause */
/* What the register allocator must know of every operation: when it reads and writes, and which registers it needs or destroys. */
#include "jit/x64/x64.h"

bool x64_has_bmi2(const struct mach *m)
{
	return !m->options->baseline && __builtin_cpu_supports("bmi2");
}

static void use(struct mach_operands *o, u32 v, bool late, s8 fixed)
{
	if (!v || v == MACH_FRAME)
		return;
	o->use[o->n_uses] = v;
	o->use_fixed[o->n_uses] = fixed;
	o->late |= (u32)late << o->n_uses;
	o->n_uses++;
}

static bool commutes(const struct mach_ins *i)
{
	return i->op == M_MUL || i->aux != ALU_SUB;
}

static void atomic(const struct mach_ins *i, struct mach_operands *o)
{
	bool fetch = i->aux == OP_FETCH_OR || i->aux == OP_FETCH_AND || i->aux == OP_FETCH_XOR;

	use(o, i->base, true, -1);
	use(o, i->index, true, -1);
	use(o, i->b, true, -1);
	if (i->aux == OP_CMPXCHG) {
		use(o, i->c, false, RAX);
		o->clobbers = 1 << RAX;
	} else if (fetch) {
		o->clobbers = 1 << RAX | 1 << RDX;
	} else {
		o->tied = i->b;
		return;
	}
	o->def_fixed = RAX;
	o->def_next = true;
}

static void call(const struct mach *m, const struct mach_ins *i, struct mach_operands *o)
{
	const struct ir_call *c = &m->ir->call[i->list];

	for (u32 k = 0; k < c->n_args; k++)
		if (!ir_is_const(m->ir, c->args[k]))
			use(o, c->args[k], false, c->keeps ? -1 : m->target->arg[k]);
	o->clobbers = c->keeps ? 1 << RAX : X64_CALLER;
	o->def_fixed = RAX;
	o->def_next = true;
}

void x64_operands(const struct mach *m, const struct mach_ins *i, struct mach_operands *o)
{
	*o = (struct mach_operands){.def = i->dst, .def_fixed = -1};
	switch ((enum mach_op)i->op) {
	case M_MOV:
	case M_NEG:
	case M_SHIFT:
	case M_EXT:
	case M_SWAP:
		use(o, i->a, false, -1);
		o->tied = i->a;
		break;
	case M_ALU:
	case M_MUL:
		use(o, i->a, false, -1);
		use(o, i->b, !commutes(i), -1);
		o->tied = i->a;
		break;
	case M_SHIFTV:
		use(o, i->a, false, -1);
		if (i->aux != SHIFT_ROL && x64_has_bmi2(m)) {
			use(o, i->b, false, -1);
		} else {
			use(o, i->b, true, -1);
			o->clobbers = 1 << RCX;
			o->tied = i->a;
		}
		break;
	case M_LEA:
	case M_LOAD:
		use(o, i->base, false, -1);
		use(o, i->index, false, -1);
		break;
	case M_STORE:
	case M_STOREI:
		use(o, i->base, false, -1);
		use(o, i->index, false, -1);
		use(o, i->b, false, -1);
		break;
	case M_MULH:
	case M_DIV:
		use(o, i->a, false, RAX);
		use(o, i->b, true, -1);
		o->clobbers = 1 << RAX | 1 << RDX;
		o->def_next = true;
		o->def_fixed = RDX;
		if (i->op == M_DIV && i->aux == OP_DIV && i->nonzero)
			o->def_fixed = RAX;
		break;
	case M_ATOMIC: atomic(i, o); break;
	case M_CALL: call(m, i, o); break;
	case M_SELECT:
		use(o, i->a, false, -1);
		use(o, i->b, false, -1);
		use(o, i->d, false, -1);
		use(o, i->c, true, -1);
		o->tied = i->d;
		break;
	case M_COUNT:
		use(o, i->a, false, -1);
		use(o, i->b, false, -1);
		use(o, i->c, false, -1);
		o->tied = i->c;
		break;
	case M_SETCC:
	case M_BRANCH:
		if (i->dst && i->op == M_BRANCH)
			o->tied = i->a;
		use(o, i->a, false, -1);
		use(o, i->b, false, -1);
		break;
	case M_RETURN: use(o, i->a, false, RAX); break;
	case M_TAIL:
		use(o, i->a, false, RAX);
		use(o, i->b, false, RSI);
		use(o, i->c, false, RDI);
		break;
	default: break;
	}
}

static const u8 preference[] = {RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11, RBX, RBP, R12, R13, R14, R15, NO_REG + 32};

const struct target target_x64 = {
	.name = "x86-64",
	.allocatable = X64_ALL,
	.scratch = X64_SCRATCH,
	.preference = preference,
	.n_registers = 16,
	.arg = {RDI, RSI, RDX, RCX, R8, R9},
	.result = RAX,
	.select = x64_select,
	.operands = x64_operands,
	.emit = x64_emit,
	.unwind = x64_unwind,
};
