/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's operations as bytes. A value that lives on the stack is an operand in memory where the instruction takes one, and goes
 * through one of two scratch registers otherwise: R11 for addresses and second operands, R10 for results.
 *
 * Frame, from the stack pointer up: slots of values, the program's stack (r10 points behind it), saved registers, return address.
 */
#include "jit/x64/emit.h"

enum { LINE = 64 };

/* A constant that has no register stays in the scratch one while accesses follow one another. */
static u32 base_reg(struct emit *e, u32 v)
{
	if (e->held != v || !v)
		x64_in_reg(e, v, R11);
	if (reg_of(e, v) >= 0)
		return (u32)reg_of(e, v);
	e->held = e->m->value[v].constant ? v : 0;
	return R11;
}

static struct x64_mem address(struct emit *e, const struct mach_ins *i)
{
	struct x64_mem a = {.index = NO_REG, .scale = i->scale, .disp = i->disp};

	if (i->base == MACH_FRAME) {
		a.base = RSP;
		a.disp += (s32)e->fp;
	} else {
		a.base = (u8)base_reg(e, i->base);
	}
	if (!i->index)
		return a;
	if (reg_of(e, i->index) >= 0) {
		a.index = (u8)reg_of(e, i->index);
		return a;
	}
	a.index = (u8)x64_in_reg(e, i->index, R10);
	e->held = 0;
	if (a.base == R11 || a.base == RSP) {
		/* both are needed: one register holds the sum */
		x64_rm(e->m, 0x8d, true, R11, a, 0, false, 0);
		return (struct x64_mem){R11, NO_REG, 1, 0};
	}
	x64_rm(e->m, 0x8d, true, R11, a, 0, false, 0);
	return (struct x64_mem){R11, NO_REG, 1, 0};
}

/* ---- arithmetic ---- */

static void emit_alu(struct emit *e, const struct mach_ins *i)
{
	struct mach *m = e->m;
	bool wide = i->width == 64, commutes = i->aux != ALU_SUB;
	u32 t = result_reg(e, i->dst), opcode = (u32)i->aux << 3 | 3;
	bool same_b = i->b && reg_of(e, i->b) >= 0 && (u32)reg_of(e, i->b) == t;

	e->flags = i;
	if (i->has_imm) {
		if (i->aux == ALU_ADD && reg_of(e, i->a) >= 0 && (u32)reg_of(e, i->a) != t) {
			e->flags = NULL;
			x64_rm(m, 0x8d, wide, t, (struct x64_mem){(u8)reg_of(e, i->a), NO_REG, 1, (s32)i->imm}, 0, false, 0);
		} else {
			x64_into(e, t, i->a, wide);
			x64_alui(m, i->aux, wide, t, (s32)i->imm);
		}
	} else if (same_b && commutes && !(reg_of(e, i->a) >= 0 && (u32)reg_of(e, i->a) == t)) {
		x64_with(e, opcode, wide, t, i->a, R11);
	} else if (i->aux == ALU_ADD && reg_of(e, i->a) >= 0 && reg_of(e, i->b) >= 0 && (u32)reg_of(e, i->a) != t) {
		e->flags = NULL;
		x64_rm(m, 0x8d, wide, t, (struct x64_mem){(u8)reg_of(e, i->a), (u8)reg_of(e, i->b), 1, 0}, 0, false, 0);
	} else {
		x64_into(e, t, i->a, wide);
		x64_with(e, opcode, wide, t, i->b, R11);
	}
	x64_finish(e, i->dst, t);
}

static void emit_mul(struct emit *e, const struct mach_ins *i)
{
	struct mach *m = e->m;
	bool wide = i->width == 64;
	u32 t = result_reg(e, i->dst);

	if (i->has_imm) {
		bool small = i->imm == (s8)i->imm;

		x64_with(e, small ? 0x6b : 0x69, wide, t, i->a, R11);
		if (small)
			x64_byte(m, (u8)i->imm);
		else
			x64_u32(m, (u32)i->imm);
	} else if (reg_of(e, i->b) >= 0 && (u32)reg_of(e, i->b) == t) {
		x64_with(e, 0x0faf, wide, t, i->a, R11);
	} else {
		x64_into(e, t, i->a, wide);
		x64_with(e, 0x0faf, wide, t, i->b, R11);
	}
	x64_finish(e, i->dst, t);
}

static void emit_shift_by(struct emit *e, const struct mach_ins *i)
{
	struct mach *m = e->m;
	bool wide = i->width == 64;
	u32 t = result_reg(e, i->dst);

	if (i->aux != SHIFT_ROL && x64_has_bmi2(m)) {
		u32 pp = i->aux == SHIFT_SHL ? 1 : i->aux == SHIFT_SHR ? 3 : 2, by = x64_in_reg(e, i->b, R11), a = x64_in_reg(e, i->a, R10);

		x64_vex(m, pp, 2, 0xf7, wide, t, by, a);
	} else {
		x64_into(e, t, i->a, wide);
		x64_into(e, RCX, i->b, false);
		x64_rr(m, 0xd3, wide, i->aux, t, false);
	}
	x64_finish(e, i->dst, t);
}

static void emit_ext(struct emit *e, const struct mach_ins *i)
{
	static const struct {
		u8 bits;
		bool sign;
		u32 opcode;
	} forms[] = {{8, false, 0x0fb6}, {16, false, 0x0fb7}, {8, true, 0x0fbe}, {16, true, 0x0fbf}};
	u32 t = result_reg(e, i->dst), a = x64_in_reg(e, i->a, R10);

	if (i->aux == 32 && i->sign)
		x64_rr(e->m, 0x63, true, t, a, false);
	else if (i->aux == 32)
		x64_rr(e->m, 0x8b, false, t, a, false);
	else
		for (u32 k = 0; k < ARRAY_SIZE(forms); k++)
			if (forms[k].bits == i->aux && forms[k].sign == i->sign)
				x64_rr(e->m, forms[k].opcode, i->sign && i->width == 64, t, a, i->aux == 8);
	x64_finish(e, i->dst, t);
}

static void emit_swap(struct emit *e, const struct mach_ins *i)
{
	struct mach *m = e->m;
	u32 t = result_reg(e, i->dst);
	bool wide = i->width == 64;

	x64_into(e, t, i->a, true);
	if (wide || t >= 8)
		x64_byte(m, 0x40 | (u32)wide << 3 | t >> 3);
	x64_byte(m, 0x0f);
	x64_byte(m, 0xc8 | (t & 7));
	if (i->width == 16)
		x64_shifti(m, SHIFT_SHR, false, t, 16);
	x64_finish(e, i->dst, t);
}

static u32 jump_over(struct emit *e, u32 cc)
{
	x64_byte(e->m, 0x70 | cc);
	x64_byte(e->m, 0);
	return e->m->size;
}

static void land(struct emit *e, u32 from)
{
	if (!e->m->failed)
		e->m->code[from - 1] = (u8)(e->m->size - from);
}

/* Division by 0 gives 0, its remainder the dividend; the least number by -1 itself, remainder 0. */
static void emit_div(struct emit *e, const struct mach_ins *i)
{
	struct mach *m = e->m;
	bool wide = i->width == 64, is_signed = i->aux == OP_SDIV || i->aux == OP_SMOD, mod = i->aux == OP_MOD || i->aux == OP_SMOD;
	u32 b = x64_in_reg(e, i->b, R11), over = 0, minus = 0;

	x64_into(e, RAX, i->a, wide);
	if (!i->nonzero) {
		if (mod)
			x64_mov(m, RDX, RAX, wide);
		else
			x64_rr(m, 0x31, false, RDX, RDX, false);
		x64_rr(m, 0x85, wide, b, b, false);
		over = jump_over(e, CC_E);
	}
	if (is_signed) {
		if (mod) {
			x64_rr(m, 0x31, false, RDX, RDX, false);
		} else {
			x64_mov(m, RDX, RAX, wide);
			x64_rr(m, 0xf7, wide, 3, RDX, false);
		}
		x64_alui(m, ALU_CMP, wide, b, -1);
		minus = jump_over(e, CC_E);
		if (wide)
			x64_byte(m, 0x48);
		x64_byte(m, 0x99);
		x64_rr(m, 0xf7, wide, 7, b, false);
	} else {
		if (mod || i->nonzero)
			x64_rr(m, 0x31, false, RDX, RDX, false);
		x64_rr(m, 0xf7, wide, 6, b, false);
	}
	if (!mod && (is_signed || !i->nonzero))
		x64_mov(m, RDX, RAX, true);
	if (over)
		land(e, over);
	if (minus)
		land(e, minus);
	x64_finish(e, i->dst, !mod && !is_signed && i->nonzero ? RAX : RDX);
}

static void emit_mulh(struct emit *e, const struct mach_ins *i)
{
	x64_into(e, RAX, i->a, true);
	if (in_slot(e, i->b))
		x64_rm(e->m, 0xf7, true, i->sign ? 5 : 4, x64_slot(e, i->b), 0, false, 0);
	else
		x64_rr(e->m, 0xf7, true, i->sign ? 5 : 4, x64_in_reg(e, i->b, R11), false);
	x64_finish(e, i->dst, RDX);
}

/* ---- memory ---- */

static void emit_load(struct emit *e, const struct mach_ins *i)
{
	static const u32 plain[] = {[1] = 0x0fb6, [2] = 0x0fb7, [4] = 0x8b, [8] = 0x8b}, sign[] = {[1] = 0x0fbe, [2] = 0x0fbf, [4] = 0x63};
	struct x64_mem a = address(e, i);
	u32 t = result_reg(e, i->dst);

	x64_rm(e->m, i->sign ? sign[i->width] : plain[i->width], i->sign || i->width == 8, t, a, 0, false, 0);
	x64_finish(e, i->dst, t);
}

static void emit_store(struct emit *e, const struct mach_ins *i)
{
	struct x64_mem a = address(e, i);
	u32 b;

	if (i->op == M_STOREI) {
		x64_rm(e->m, i->width == 1 ? 0xc6 : 0xc7, i->width == 8, 0, a, i->width == 2 ? 0x66 : 0, false, 0);
		if (i->width == 1)
			x64_byte(e->m, (u8)i->imm);
		else if (i->width == 2)
			x64_byte(e->m, (u8)i->imm), x64_byte(e->m, (u8)(i->imm >> 8));
		else
			x64_u32(e->m, (u32)i->imm);
		return;
	}
	b = x64_in_reg(e, i->b, R10);
	x64_rm(e->m, i->width == 1 ? 0x88 : 0x89, i->width == 8, b, a, i->width == 2 ? 0x66 : 0, i->width == 1, 0);
}

static void locked(struct emit *e, u32 opcode, bool wide, u32 reg, struct x64_mem a)
{
	x64_rm(e->m, opcode, wide, reg, a, 0xf0, false, 0);
}

static void emit_atomic(struct emit *e, const struct mach_ins *i)
{
	static const u32 plain[] = {[OP_ATOMIC_ADD] = 0x01, [OP_ATOMIC_OR] = 0x09, [OP_ATOMIC_AND] = 0x21, [OP_ATOMIC_XOR] = 0x31},
			 fetch[] = {[OP_FETCH_OR] = 0x09, [OP_FETCH_AND] = 0x21, [OP_FETCH_XOR] = 0x31};
	struct mach *m = e->m;
	bool wide = i->width == 8;
	struct x64_mem a = address(e, i);
	u32 b, again;

	switch ((enum op)i->aux) {
	case OP_ATOMIC_ADD:
	case OP_ATOMIC_OR:
	case OP_ATOMIC_AND:
	case OP_ATOMIC_XOR: locked(e, plain[i->aux], wide, x64_in_reg(e, i->b, R10), a); return;
	case OP_FETCH_ADD:
	case OP_XCHG:
		b = result_reg(e, i->dst);
		x64_into(e, b, i->b, wide);
		if (i->aux == OP_XCHG)
			x64_rm(m, 0x87, wide, b, a, 0, false, 0);
		else
			locked(e, 0x0fc1, wide, b, a);
		x64_finish(e, i->dst, b);
		return;
	case OP_CMPXCHG:
		x64_into(e, RAX, i->c, wide);
		locked(e, 0x0fb1, wide, x64_in_reg(e, i->b, R10), a);
		if (!wide)
			x64_mov(m, RAX, RAX, false);
		x64_finish(e, i->dst, RAX);
		return;
	default:
		x64_rm(m, 0x8b, wide, RAX, a, 0, false, 0);
		b = x64_in_reg(e, i->b, R10);
		again = m->size;
		x64_mov(m, RDX, RAX, true);
		x64_rr(m, fetch[i->aux], wide, b, RDX, false);
		locked(e, 0x0fb1, wide, RDX, a);
		x64_byte(m, 0x75);
		x64_byte(m, (u8)(again - m->size - 1));
		x64_finish(e, i->dst, RAX);
	}
}

/* ---- control ---- */

/* cc 16: always */
static void jump(struct emit *e, u32 cc, u32 to)
{
	struct mach *m = e->m;
	struct fixup *f;
	bool near = false;

	if (e->guess) {
		s64 from = e->guess[e->block] + (s64)(m->size - e->start[e->block]), d = (s64)e->guess[to] - from;
		s64 room = 100 - (LINE - 1) * (s64)(to > e->block ? e->small[to] - e->small[e->block] : e->small[e->block] - e->small[to]);

		near = d > -room && d < room;
	}
	if (!arena_grow(m->arena, (void **)&e->fixup, &e->cap_fixups, e->n_fixups + 1, sizeof(*e->fixup), 64)) {
		m->failed = true;
		return;
	}
	if (near) {
		x64_byte(m, cc == 16 ? 0xeb : 0x70 | cc);
	} else if (cc == 16) {
		x64_byte(m, 0xe9);
	} else {
		x64_byte(m, 0x0f);
		x64_byte(m, 0x80 | cc);
	}
	f = &e->fixup[e->n_fixups++];
	*f = (struct fixup){m->size, to, near};
	if (near)
		x64_byte(m, 0);
	else
		x64_u32(m, 0);
}

static void emit_take_off(struct emit *e, const struct mach_ins *i)
{
	bool wide = i->width == 64;
	u32 t = result_reg(e, i->dst);

	if (in_slot(e, i->dst) && e->m->value[i->dst].slot == e->m->value[i->a].slot && in_slot(e, i->a) && wide) {
		x64_rm(e->m, 0x81, true, ALU_SUB, x64_slot(e, i->dst), 0, false, 0);
		x64_u32(e->m, (u32)i->imm);
		return;
	}
	x64_into(e, t, i->a, wide);
	x64_alui(e->m, ALU_SUB, wide, t, (s32)i->imm);
	x64_finish(e, i->dst, t);
}

static void emit_branch(struct emit *e, const struct mach_ins *i)
{
	const struct mach_ins *moves;
	u32 cc = x64_condition(i->cc), yes = e->alias[i->to[0]], no = e->alias[i->to[1]];

	moves = x64_early_moves(e, i);
	if (i->dst)
		emit_take_off(e, i);
	else if (yes != no)
		cc = x64_compare(e, i);
	if (moves) {
		e->keep_flags = true;
		x64_moves(e, moves);
		e->keep_flags = false;
	}
	if (yes == no) {
		if (yes != e->next)
			jump(e, 16, yes);
		return;
	}
	if (yes == e->next || (no != e->next && e->m->block[yes].cold)) {
		jump(e, cc ^ 1, no);
		if (yes != e->next)
			jump(e, 16, yes);
		return;
	}
	jump(e, cc, yes);
	if (no != e->next)
		jump(e, 16, no);
}

static void poison(struct emit *e)
{
	for (u32 r = 0; r < 16; r++)
		if (X64_CALLER >> r & 1 && r != RAX)
			x64_movi(e->m, r, 0xdeadbeef00000000ull | r, true);
}

static void push(struct mach *m, u32 reg, u32 opcode)
{
	if (reg >> 3)
		x64_byte(m, 0x41);
	x64_byte(m, opcode | (reg & 7));
}

/* What it may change is pushed before its arguments are moved: the slots lie so much higher. */
static void emit_keeping_call(struct emit *e, const struct mach_ins *i)
{
	const struct ir_call *c = &e->m->ir->call[i->list];
	u32 kept = X64_CALLER & ~(1u << RAX);
	struct move v[6];

	for (u32 r = 0; r < 16; r++)
		if (kept >> r & 1)
			push(e->m, r, 0x50);
	e->pushed = 8 * (u32)__builtin_popcount(kept);
	for (u32 k = 0; k < c->n_args; k++) {
		v[k].to = e->m->target->arg[k];
		x64_source(e, &v[k], c->args[k]);
	}
	x64_parallel(e, v, c->n_args);
	e->pushed = 0;
	x64_call(e, c->fn);
	for (u32 r = 16; r-- > 0;)
		if (kept >> r & 1)
			push(e->m, r, 0x58);
	x64_finish(e, i->dst, RAX);
}
_Static_assert(__builtin_popcount(X64_CALLER & ~(1u << RAX)) % 2 == 0, "calls are made with an aligned stack");

static void emit_call(struct emit *e, const struct mach_ins *i)
{
	const struct ir_call *c = &e->m->ir->call[i->list];
	struct move v[6];

	if (c->keeps) {
		emit_keeping_call(e, i);
		return;
	}
	for (u32 k = 0; k < c->n_args; k++) {
		v[k].to = e->m->target->arg[k];
		x64_source(e, &v[k], c->args[k]);
	}
	x64_parallel(e, v, c->n_args);
	if (c->probes || c->calls_back)
		x64_rm(e->m, 0x89, true, RSP, (struct x64_mem){(u8)e->m->target->arg[0], NO_REG, 1, (s32)offsetof(struct run, frames.sp)}, 0, false, 0);
	if (c->kind == IRC_SUBPROG) {
		x64_byte(e->m, 0xe8);
		mach_site(e->m, e->m->size, c->subprog);
		x64_u32(e->m, 0);
	} else {
		x64_call(e, c->fn);
	}
	if (e->m->options->poison)
		poison(e);
	x64_finish(e, i->dst, RAX);
}

/* Neither register that this uses holds a parameter. */
static void clear_frame(struct emit *e)
{
	struct mach *m = e->m;
	u64 clear = m->ir->clear;
	u32 n = (u32)__builtin_popcountll(clear), again;

	if (!n)
		return;
	x64_movi(m, RAX, 0, false);
	if (n > 12) { /* all that lies between, and beside it if four at a time come out even so */
		u32 last = 64 - (u32)__builtin_clzll(clear), first = (u32)__builtin_ctzll(clear), step;

		while ((last - first) % 4 && last < m->frame_size / 8)
			last++;
		while ((last - first) % 4 && first)
			first--;
		step = (last - first) % 4 ? 1 : 4;
		x64_movi(m, R10, last - first, false);
		again = m->size;
		for (u32 i = 0; i < step; i++)
			x64_rm(m, 0x89, true, RAX, (struct x64_mem){RSP, R10, 8, (s32)e->fp - (s32)(last + 1 + i) * 8}, 0, false, 0);
		x64_alui(m, ALU_SUB, false, R10, (s32)step);
		x64_byte(m, 0x75);
		x64_byte(m, (u8)(again - m->size - 1));
		return;
	}
	for (u32 i = 0; i < 64; i++)
		if (clear >> i & 1)
			x64_rm(m, 0x89, true, RAX, (struct x64_mem){RSP, NO_REG, 1, (s32)e->fp - 8 * (s32)(i + 1)}, 0, false, 0);
}

static void prologue(struct emit *e)
{
	struct mach *m = e->m;
	u32 n = 0;

	e->saved = m->used & X64_CALLEE;
	for (u32 r = 0; r < 16; r++)
		if (e->saved >> r & 1) {
			push(m, r, 0x50);
			n++;
		}
	e->fp = ALIGN_UP(m->n_slots * 8, 16) + ALIGN_UP(m->frame_size, 16);
	e->frame = e->fp;
	if ((m->has_calls || e->frame) && n % 2 == 0)
		e->frame += 8; /* the return address: calls are made with an aligned stack */
	if (e->frame)
		x64_alui(m, ALU_SUB, true, RSP, (s32)e->frame);
	m->fp = e->fp;
	m->up = e->frame + 8 * n;
	m->saved = e->saved;
	clear_frame(e);
}

static void epilogue(struct emit *e)
{
	if (e->frame)
		x64_alui(e->m, ALU_ADD, true, RSP, (s32)e->frame);
	for (u32 r = 16; r-- > 0;)
		if (e->saved >> r & 1)
			push(e->m, r, 0x58);
}

static void emit_return(struct emit *e, const struct mach_ins *i)
{
	x64_into(e, RAX, i->a, true);
	epilogue(e);
	x64_byte(e->m, 0xc3);
}

static void emit_tail(struct emit *e, const struct mach_ins *i)
{
	struct move v[3] = {{.to = RAX}, {.to = RSI}, {.to = RDI}};

	x64_source(e, &v[0], i->a);
	x64_source(e, &v[1], i->b);
	x64_source(e, &v[2], i->c);
	x64_parallel(e, v, 3);
	epilogue(e);
	x64_rr(e->m, 0xff, false, 4, RAX, false);
}

static bool is_access(const struct mach_ins *i)
{
	return i->op == M_LOAD || i->op == M_STORE || i->op == M_STOREI;
}

static void emit_one(struct emit *e, const struct mach_ins *i)
{
	struct mach *m = e->m;
	u32 t = result_reg(e, i->dst);

	if (!is_access(i))
		e->held = 0;
	switch ((enum mach_op)i->op) {
	case M_NONE: break;
	case M_ENTRY: x64_entry(e, i); break;
	case M_MOVES: x64_moves(e, i); break;
	case M_MOV:
		x64_into(e, t, i->a, true);
		x64_finish(e, i->dst, t);
		break;
	case M_MOVI:
		if (reg_of(e, i->dst) >= 0) {
			bool keep = x64_flags_wanted(e);

			x64_movi(m, t, (u64)i->imm, keep);
			e->flags = keep || i->imm ? e->flags : NULL;
		}
		break;
	case M_LEA:
		x64_rm(m, 0x8d, i->width == 64, t, address(e, i), 0, false, 0);
		x64_finish(e, i->dst, t);
		break;
	case M_ALU: emit_alu(e, i); break;
	case M_MUL: emit_mul(e, i); break;
	case M_NEG:
		x64_into(e, t, i->a, true);
		x64_rr(m, 0xf7, i->width == 64, 3, t, false);
		e->flags = i;
		x64_finish(e, i->dst, t);
		break;
	case M_SHIFT:
		e->flags = NULL;
		if (i->aux == SHIFT_ROL && i->imm && reg_of(e, i->a) >= 0 && (u32)reg_of(e, i->a) != t && x64_has_bmi2(m)) { /* rorx */
			x64_vex(m, 3, 3, 0xf0, i->width == 64, t, 0, (u32)reg_of(e, i->a));
			x64_byte(m, i->width - (u32)i->imm);
			x64_finish(e, i->dst, t);
			break;
		}
		x64_into(e, t, i->a, true);
		e->flags = i->imm && i->aux != SHIFT_ROL ? i : NULL;
		if (i->imm)
			x64_shifti(m, i->aux, i->width == 64, t, (u32)i->imm);
		else if (i->width == 32)
			x64_mov(m, t, t, false);
		x64_finish(e, i->dst, t);
		break;
	case M_SHIFTV: emit_shift_by(e, i); break;
	case M_MULH: emit_mulh(e, i); break;
	case M_DIV: emit_div(e, i); break;
	case M_EXT: emit_ext(e, i); break;
	case M_SWAP: emit_swap(e, i); break;
	case M_LOAD: emit_load(e, i); break;
	case M_STORE:
	case M_STOREI: emit_store(e, i); break;
	case M_ATOMIC: emit_atomic(e, i); break;
	case M_CALL: emit_call(e, i); break;
	case M_SELECT: x64_choose(e, i); break;
	case M_SETCC: x64_setcc(e, i); break;
	case M_COUNT: x64_count(e, i); break;
	case M_BRANCH: emit_branch(e, i); break;
	case M_JUMP:
		if (e->alias[i->to[0]] != e->next)
			jump(e, 16, e->alias[i->to[0]]);
		break;
	case M_TABLE:
		x64_table(e, i, t);
		x64_finish(e, i->dst, t);
		break;
	case M_RETURN: emit_return(e, i); break;
	case M_TAIL: emit_tail(e, i); break;
	}
	if (!is_access(i))
		e->held = 0;
}

/* ---- rounds ---- */

static bool fix(struct emit *e)
{
	struct mach *m = e->m;

	for (u32 k = 0; k < e->n_fixups; k++) {
		const struct fixup *f = &e->fixup[k];
		s32 d = (s32)(e->start[f->to] - f->at - (f->is_short ? 1 : 4));

		if (f->is_short && d != (s8)d)
			return false;
		if (f->is_short)
			m->code[f->at] = (u8)d;
		else
			memcpy(m->code + f->at, &d, 4);
	}
	return true;
}

/* guess: where blocks were in the round before; jumps to near ones are short. */
static bool round_of(struct emit *e, u32 from)
{
	struct mach *m = e->m;

	m->size = from;
	m->n_lines = e->lines;
	e->n_fixups = 0;
	x64_numbers_begin(e);
	mach_line(m, m->ir->prog->subprogs[m->ir->subprog].start);
	prologue(e);
	for (e->block = 0; e->block < m->n_blocks && !m->failed; e->block++) {
		const struct mach_block *b = &m->block[e->block];

		e->start[e->block] = m->size;
		if (e->block && e->alias[e->block] != e->block)
			continue;
		e->next = e->block + 1;
		while (e->next < m->n_blocks && e->alias[e->next] != e->next)
			e->next++;
		if (e->guess && e->block && e->small[e->block] != e->small[e->block - 1])
			x64_nops(m, m->size % LINE + e->length[e->block] > LINE ? LINE - m->size % LINE : 0);
		else if (b->top && !b->cold)
			x64_nops(m, (16 - m->size % 16) % 16);
		e->start[e->block] = m->size;
		e->flags = NULL;
		e->held = 0;
		for (e->i = b->first; e->i < b->end && !m->failed; e->i++) {
			if (m->ins[e->i].pc)
				mach_line(m, m->ins[e->i].pc);
			emit_one(e, &m->ins[e->i]);
			if (!x64_keeps_flags(m->ins[e->i].op))
				e->flags = NULL;
		}
	}
	e->start[m->n_blocks] = m->size;
	mach_line(m, UINT32_MAX); /* tables, and what fills up to the next function */
	x64_numbers_end(e);
	return !m->failed && fix(e);
}

static bool calls(const struct mach *m, u32 block)
{
	for (u32 i = m->block[block].first; i < m->block[block].end; i++)
		if (m->ins[i].op == M_CALL)
			return true;
	return false;
}

/* How long blocks come out, by the places of the first round, where jumps were long. */
static u32 length_of(const struct emit *e, u32 first, u32 end)
{
	enum { SAVED = 4 };
	u32 length = e->guess[end] - e->guess[first];

	for (u32 b = first; b < end; b++)
		length -= e->alias[b] == b ? MIN(length, (u32)SAVED) : 0;
	return length;
}

/* Behind the first block that jumps back to where the loop begins: many turns get no further. */
static u32 shortest_turn(const struct emit *e, u32 first, u32 end)
{
	for (u32 b = first; b < end; b++) {
		const struct mach_block *at = &e->m->block[b];
		const struct mach_ins *last = at->end > at->first ? &e->m->ins[at->end - 1] : NULL;

		if (last && (last->op == M_BRANCH || last->op == M_JUMP))
			for (u32 k = 0; k < (last->op == M_BRANCH ? 2 : 1); k++)
				if (e->alias[last->to[k]] == first)
					return b + 1;
	}
	return end;
}

/* Loops without calls that fit into a line; of longer ones, what runs in every turn. */
static void find_small_loops(struct emit *e)
{
	const struct mach *m = e->m;
	const struct ir *f = m->ir;

	for (u32 b = 1; b < m->n_blocks; b++) {
		u32 header = f->block[m->block[b].ir].header, end = b;
		bool leaves = false;

		e->small[b] = e->small[b - 1];
		if (!m->block[b].top || m->block[b].cold || e->alias[b] != b)
			continue;
		while (end < m->n_blocks && !m->block[end].cold && f->block[m->block[end].ir].header == header)
			end++;
		if (end < m->n_blocks && !m->block[end].cold && ir_in_loop(f, m->block[end].ir, header))
			continue;
		if (length_of(e, b, end) > LINE)
			end = shortest_turn(e, b, end);
		for (u32 at = b; at < end; at++)
			leaves |= calls(m, at);
		if (leaves || length_of(e, b, end) > LINE)
			continue;
		e->small[b]++;
		e->length[b] = length_of(e, b, end);
	}
}

int x64_emit(struct mach *m)
{
	struct emit e = {.m = m, .lines = m->n_lines};
	u32 *guess = arena_array(m->arena, m->n_blocks + 1, sizeof(u32)), from, sites = m->n_sites;

	while (m->size % 16 && !m->failed)
		x64_byte(m, 0xcc);
	m->start = from = m->size;

	e.start = arena_array(m->arena, m->n_blocks + 1, sizeof(u32));
	e.alias = arena_array(m->arena, m->n_blocks + 1, sizeof(u32));
	e.early = arena_array(m->arena, m->n_blocks + 1, sizeof(*e.early));
	e.small = arena_array(m->arena, m->n_blocks + 1, sizeof(u32));
	e.length = arena_array(m->arena, m->n_blocks + 1, sizeof(u32));
	if (!x64_numbers(&e) || !guess || !e.start || !e.alias || !e.early || !e.small || !e.length)
		return -ENOMEM;
	x64_aliases(&e);
	if (!round_of(&e, from))
		return -ENOMEM;
	memcpy(guess, e.start, (m->n_blocks + 1) * sizeof(u32));
	e.guess = guess;
	find_small_loops(&e);
	m->n_sites = sites;
	if (!round_of(&e, from) && !m->failed) {
		e.guess = NULL;
		m->n_sites = sites;
		round_of(&e, from);
	}
	return m->failed ? -ENOMEM : 0;
}
