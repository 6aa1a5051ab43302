/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks that only lead on, or that do so once the branch to them has made their moves, are left out: others go where they lead. */
#include "jit/x64/emit.h"

/* Does the block only lead on? Then others go where it leads. */
static bool only_jumps(const struct emit *e, u32 block)
{
	const struct mach *m = e->m;

	for (u32 i = m->block[block].first; i < m->block[block].end; i++) {
		const struct mach_ins *ins = &m->ins[i];

		if (ins->op == M_JUMP)
			return true;
		if (ins->op != M_MOVES)
			return false;
		for (u32 k = 0; k < ins->n; k++) {
			u32 dst = m->list[ins->list + 2 * k], src = m->list[ins->list + 2 * k + 1];

			if (src < m->ir->n_nodes && ir_is_const(m->ir, src))
				return false;
			if (m->value[dst].reg != m->value[src].reg || m->value[dst].slot != m->value[src].slot || m->value[src].constant)
				return false;
		}
	}
	return false;
}

static bool is_taken(const struct mach *m, u32 reg, u32 time)
{
	return m->busy[reg][time / 64] >> time % 64 & 1;
}

/*
 * A loop's way back that only moves values into registers, after a branch that else leaves the loop: the moves can stand before the jump if nothing that
 * they overwrite is needed outside, so that the way back is one jump.
 */
static bool moves_early(struct mach *m, u32 back, u32 out)
{
	const struct mach_block *b = &m->block[back];
	const struct mach_ins *moves = &m->ins[b->first];

	if (b->depth <= m->block[out].depth || m->ir->block[b->ir].n_pred != 1 || b->end - b->first != 2 || moves[0].op != M_MOVES || moves[1].op != M_JUMP)
		return false;
	for (u32 k = 0; k < moves->n; k++) {
		u32 dst = m->list[moves->list + 2 * k], src = m->list[moves->list + 2 * k + 1];
		s8 reg = m->value[dst].reg;
		bool stays = mach_root(m, dst) == mach_root(m, src);

		if (!stays && (reg < 0 || is_taken(m, (u32)reg, 2 * m->block[out].first)))
			return false;
	}
	return true;
}

static void find_early(struct emit *e)
{
	struct mach *m = e->m;

	for (u32 b = 0; b < m->n_blocks; b++) {
		const struct mach_ins *last = &m->ins[m->block[b].end - 1];

		if (last->op != M_BRANCH)
			continue;
		for (u32 k = 0; k < 2; k++)
			if (moves_early(m, last->to[k], last->to[1 - k]))
				e->early[last->to[k]] = true;
	}
}

void x64_aliases(struct emit *e)
{
	struct mach *m = e->m;

	find_early(e);
	for (u32 b = 0; b < m->n_blocks; b++)
		e->alias[b] = b && (e->early[b] || only_jumps(e, b)) ? m->ins[m->block[b].end - 1].to[0] : b;
	for (u32 b = 0; b < m->n_blocks; b++)
		for (u32 n = 0; e->alias[e->alias[b]] != e->alias[b]; n++) {
			e->alias[b] = e->alias[e->alias[b]];
			if (n > m->n_blocks) { /* a loop of nothing */
				e->alias[b] = b;
				break;
			}
		}
}

/* Do they write the register of v? */
static bool writes(const struct emit *e, const struct mach_ins *moves, u32 v)
{
	const struct mach *m = e->m;

	for (u32 k = 0; v && k < moves->n; k++) {
		u32 dst = m->list[moves->list + 2 * k], src = m->list[moves->list + 2 * k + 1];
		bool stays = !(src < m->ir->n_nodes && ir_is_const(m->ir, src)) && reg_of(e, src) == reg_of(e, dst);

		if (!stays && reg_of(e, dst) == reg_of(e, v))
			return true;
	}
	return false;
}

/* What a branch moves early. Made at once if nothing that it compares is overwritten, since comparison and jump side by side are one operation for the machine; else
 * the caller makes them in between. */
const struct mach_ins *x64_early_moves(struct emit *e, const struct mach_ins *branch)
{
	const struct mach_ins *moves = NULL;
	u32 cc;

	for (u32 k = 0; k < 2; k++)
		if (e->early[branch->to[k]])
			moves = &e->m->ins[e->m->block[branch->to[k]].first];
	if (!moves || branch->dst || x64_known(e, branch, &cc) || writes(e, moves, branch->a) || writes(e, moves, branch->b))
		return moves;
	x64_moves(e, moves);
	return NULL;
}
