/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers behind a function's code: tables, and the addresses of functions outside that it calls from several places, where a call by one of them is shorter. */
#include "jit/x64/emit.h"

enum { WORTH = 3 }; /* calls of one function */

static u32 callee(const struct emit *e, const void *fn)
{
	u32 k = 0;

	while (k < e->n_callees && e->callee[k].fn != fn)
		k++;
	return k;
}

bool x64_numbers(struct emit *e)
{
	const struct mach *m = e->m;
	u32 tables = 0;

	for (u32 i = 0; i < m->n_ins; i++) {
		const struct ir_call *c = m->ins[i].op == M_CALL ? &m->ir->call[m->ins[i].list] : NULL;
		u32 k = c && c->kind == IRC_RUNTIME ? callee(e, c->fn) : ARRAY_SIZE(e->callee);

		tables += m->ins[i].op == M_TABLE;
		if (k == ARRAY_SIZE(e->callee))
			continue;
		if (k == e->n_callees)
			e->callee[e->n_callees++].fn = c->fn;
		e->callee[k].calls++;
	}
	e->table = arena_array(m->arena, tables + 1, sizeof(*e->table));
	return e->table;
}

void x64_numbers_begin(struct emit *e)
{
	e->n_tables = 0;
	for (u32 k = 0; k < e->n_callees; k++)
		e->callee[k].last = 0;
}

/* lea reg, [rip + table] */
void x64_table(struct emit *e, const struct mach_ins *i, u32 reg)
{
	struct mach *m = e->m;

	x64_byte(m, 0x48 | (reg >> 3) << 2);
	x64_byte(m, 0x8d);
	x64_byte(m, 0x05 | (reg & 7) << 3);
	e->table[e->n_tables].at = m->size;
	e->table[e->n_tables++].numbers = (const struct ir_table *)(uintptr_t)i->imm;
	x64_u32(m, 0);
}

void x64_call(struct emit *e, const void *fn)
{
	u32 k = callee(e, fn);

	if (k == e->n_callees || e->callee[k].calls < WORTH) {
		x64_movi(e->m, RAX, (u64)(uintptr_t)fn, true);
		x64_rr(e->m, 0xff, false, 2, RAX, false);
		return;
	}
	x64_byte(e->m, 0xff); /* call [rip + number] */
	x64_byte(e->m, 0x15);
	x64_u32(e->m, e->callee[k].last);
	e->callee[k].last = e->m->size - 4;
}

/* Numbers are what comes next: the displacement at that place leads to them. Gives what it was. */
static u32 lead_here(struct mach *m, u32 at)
{
	s32 d = (s32)(m->size - at - 4);
	u32 was;

	memcpy(&was, m->code + at, 4);
	memcpy(m->code + at, &d, 4);
	return was;
}

static void align(struct mach *m, u32 to)
{
	while (m->size % to && !m->failed)
		x64_byte(m, 0xcc);
}

void x64_numbers_end(struct emit *e)
{
	struct mach *m = e->m;

	for (u32 k = 0; k < e->n_tables && !m->failed; k++) {
		const struct ir_table *t = e->table[k].numbers;

		align(m, t->width);
		lead_here(m, e->table[k].at);
		for (u32 i = 0; i < t->n * t->width; i++)
			x64_byte(m, t->bytes[i]);
	}
	for (u32 k = 0; k < e->n_callees && !m->failed; k++) {
		if (!e->callee[k].last)
			continue;
		align(m, 8);
		for (u32 at = e->callee[k].last; at && !m->failed;)
			at = lead_here(m, at);
		x64_u32(m, (u32)(uintptr_t)e->callee[k].fn);
		x64_u32(m, (u32)((uintptr_t)e->callee[k].fn >> 32));
	}
}
