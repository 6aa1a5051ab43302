/* SPDX-License-Identifier: BSD-2-Clause */
/* Values in registers and slots, and several moves at once: their order is found, cycles are broken by exchanges. */
#include "jit/x64/emit.h"

struct x64_mem x64_slot(const struct emit *e, u32 v)
{
	return (struct x64_mem){RSP, NO_REG, 1, e->m->value[v].slot * 8 + (s32)e->pushed};
}

/* In a register: its own, or the scratch one. */
u32 x64_in_reg(struct emit *e, u32 v, u32 scratch)
{
	const struct mach_value *x = &e->m->value[v];

	if (x->reg >= 0)
		return (u32)x->reg;
	if (x->constant)
		x64_movi(e->m, scratch, (u64)x->imm, true);
	else
		x64_rm(e->m, 0x8b, true, scratch, x64_slot(e, v), 0, false, 0);
	return scratch;
}

void x64_with(struct emit *e, u32 opcode, bool wide, u32 reg, u32 v, u32 scratch)
{
	if (in_slot(e, v))
		x64_rm(e->m, opcode, wide, reg, x64_slot(e, v), 0, false, 0);
	else
		x64_rr(e->m, opcode, wide, reg, x64_in_reg(e, v, scratch), false);
}

void x64_finish(struct emit *e, u32 v, u32 reg)
{
	if (!v)
		return;
	if (reg_of(e, v) < 0) {
		if (e->m->value[v].slot >= 0)
			x64_rm(e->m, 0x89, true, reg, x64_slot(e, v), 0, false, 0);
	} else {
		x64_mov(e->m, (u32)reg_of(e, v), reg, true);
	}
}

void x64_into(struct emit *e, u32 reg, u32 v, bool wide)
{
	struct mach *m = e->m;

	if (in_slot(e, v))
		x64_rm(m, 0x8b, wide, reg, x64_slot(e, v), 0, false, 0);
	else if (m->value[v].reg < 0)
		x64_movi(m, reg, (u64)m->value[v].imm, true);
	else if ((u32)m->value[v].reg != reg)
		x64_mov(m, reg, (u32)m->value[v].reg, wide);
}

/* ---- several moves at once ---- */

enum { SLOT = 100, MOST_MOVES = 256 };

static s32 place_of(const struct emit *e, u32 v)
{
	const struct mach_value *x = &e->m->value[v];

	return x->reg >= 0 ? x->reg : x->constant ? -1 : SLOT + x->slot;
}

static void one_move(struct emit *e, const struct move *v)
{
	struct mach *m = e->m;
	struct x64_mem to = {RSP, NO_REG, 1, (v->to - SLOT) * 8 + (s32)e->pushed}, from = {RSP, NO_REG, 1, (v->from - SLOT) * 8 + (s32)e->pushed};

	if (v->to < SLOT) {
		if (v->from < 0)
			x64_movi(m, (u32)v->to, v->imm, e->keep_flags);
		else if (v->from < SLOT)
			x64_mov(m, (u32)v->to, (u32)v->from, true);
		else
			x64_rm(m, 0x8b, true, (u32)v->to, from, 0, false, 0);
		return;
	}
	if (v->from >= 0 && v->from < SLOT) {
		x64_rm(m, 0x89, true, (u32)v->from, to, 0, false, 0);
		return;
	}
	if (v->from < 0)
		x64_movi(m, R11, v->imm, false);
	else
		x64_rm(m, 0x8b, true, R11, from, 0, false, 0);
	x64_rm(m, 0x89, true, R11, to, 0, false, 0);
}

void x64_parallel(struct emit *e, struct move *v, u32 n)
{
	u32 left = 0;

	for (u32 i = 0; i < n; i++) {
		v[i].done = v[i].to == v[i].from;
		left += !v[i].done;
	}
	while (left) {
		bool moved = false;

		for (u32 i = 0; i < n; i++) {
			bool needed = false;

			if (v[i].done)
				continue;
			for (u32 k = 0; k < n && !needed; k++)
				needed = !v[k].done && k != i && v[k].from == v[i].to;
			if (needed)
				continue;
			one_move(e, &v[i]);
			v[i].done = moved = true;
			left--;
		}
		if (moved || !left)
			continue;
		/* Only cycles are left: the first move's target goes to the source of whoever reads it, by an exchange. */
		for (u32 i = 0; i < n; i++) {
			s32 a, b;

			if (v[i].done)
				continue;
			a = v[i].to;
			b = v[i].from;
			if (a < SLOT && b < SLOT) {
				x64_rr(e->m, 0x87, true, (u32)b, (u32)a, false);
			} else if (a < SLOT || b < SLOT) {
				struct x64_mem at = {RSP, NO_REG, 1, (MAX(a, b) - SLOT) * 8 + (s32)e->pushed};

				x64_rm(e->m, 0x8b, true, R11, at, 0, false, 0);
				x64_rm(e->m, 0x89, true, (u32)MIN(a, b), at, 0, false, 0);
				x64_mov(e->m, (u32)MIN(a, b), R11, true);
			} else {
				struct x64_mem x = {RSP, NO_REG, 1, (a - SLOT) * 8 + (s32)e->pushed}, y = {RSP, NO_REG, 1, (b - SLOT) * 8 + (s32)e->pushed};

				x64_rm(e->m, 0x8b, true, R11, x, 0, false, 0);
				x64_rm(e->m, 0x8b, true, R10, y, 0, false, 0);
				x64_rm(e->m, 0x89, true, R10, x, 0, false, 0);
				x64_rm(e->m, 0x89, true, R11, y, 0, false, 0);
			}
			v[i].done = true;
			left--;
			for (u32 k = 0; k < n; k++)
				if (!v[k].done && v[k].from == a)
					v[k].from = b;
				else if (!v[k].done && v[k].from == b)
					v[k].from = a;
			for (u32 k = 0; k < n; k++)
				if (!v[k].done && v[k].from == v[k].to) {
					v[k].done = true;
					left--;
				}
			break;
		}
	}
}

void x64_source(struct emit *e, struct move *v, u32 src)
{
	if (src < e->m->ir->n_nodes && ir_is_const(e->m->ir, src)) {
		v->from = -1;
		v->imm = (u64)e->m->ir->node[src].imm;
		return;
	}
	v->from = place_of(e, src);
	v->imm = (u64)e->m->value[src].imm;
}

void x64_moves(struct emit *e, const struct mach_ins *i)
{
	struct move fixed[MOST_MOVES], *v = fixed;
	u32 n = 0;

	if (i->n > MOST_MOVES)
		v = arena_array(e->m->arena, i->n, sizeof(*v));
	if (!v) {
		e->m->failed = true;
		return;
	}
	for (u32 k = 0; k < i->n; k++) {
		u32 dst = e->m->list[i->list + 2 * k], src = e->m->list[i->list + 2 * k + 1];

		if (reg_of(e, dst) < 0 && e->m->value[dst].slot < 0)
			continue;
		v[n].to = place_of(e, dst);
		x64_source(e, &v[n], src);
		n++;
	}
	x64_parallel(e, v, n);
}

void x64_entry(struct emit *e, const struct mach_ins *i)
{
	struct move v[6];

	for (u32 k = 0; k < i->n; k++) {
		v[k].to = place_of(e, e->m->list[i->list + 2 * k]);
		v[k].from = e->m->target->arg[e->m->list[i->list + 2 * k + 1]];
	}
	x64_parallel(e, v, i->n);
}
