/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a loop computes anew each time round although nothing in the loop changes it moves before the loop. Only what cannot fail
 * and costs something moves: arithmetic, and loads of what never changes during a run, and from tables, where the loop is certain to make them.
 *
 * Requires: rpo, loops. Keeps: the control flow graph, but for blocks put before headers.
 */
#include "opt/passes.h"

static bool moves(const struct ir *f, u32 v, u32 header)
{
	const struct ir_node *n = &f->node[v];

	if (n->op == OP_ADD && n->arg[0] == f->frame && ir_is_const(f, n->arg[1])) /* costs no more than a copy of it */
		return false;
	if (ir_is_alu(f, v) || n->op == IR_SWAP || n->op == IR_ROL || n->op == IR_MULHU || n->op == IR_MULHS || n->op == IR_SELECT)
		return true;
	return (n->op == IR_TABLE || (n->op == IR_LOAD && n->flags & IRF_INVARIANT)) && n->block == header;
}

/* The block that leads into the loop and nowhere else; UINT32_MAX: there is none. */
static u32 preheader(const struct ir *f, u32 header)
{
	const struct ir_block *h = &f->block[header];
	u32 from = UINT32_MAX;

	for (u32 p = 0; p < h->n_pred; p++) {
		if (ir_dominates(f, header, h->pred[p]))
			continue;
		if (from != UINT32_MAX)
			return UINT32_MAX;
		from = h->pred[p];
	}
	return from != UINT32_MAX && f->block[from].n_succ == 1 ? from : UINT32_MAX;
}

static bool invariant(struct ir *f, u32 v, u32 header)
{
	u32 use[IR_USES];

	for (u32 k = ir_uses(f, v, use); k--;)
		if (!ir_is_const(f, use[k]) && ir_in_loop(f, f->node[use[k]].block, header))
			return false;
	return true;
}

void opt_licm(struct ir *f)
{
	u32 work = 16 * f->n_rpo; /* blocks looked at: loops may lie in one another */

	/* inner loops last in the order: what leaves them may leave the outer one, which is looked at before; so from the end */
	for (u32 i = f->n_rpo; i-- > 0 && work;) {
		u32 h = f->rpo[i], to, left;

		if (f->block[h].header != h)
			continue;
		to = preheader(f, h);
		if (to == UINT32_MAX)
			continue;
		left = f->block[h].loop_size;
		for (u32 k = i; k < f->n_rpo && left && work; k++, work--) {
			u32 b = f->rpo[k];

			if (!ir_in_loop(f, b, h))
				continue;
			left--;
			for (u32 v = f->block[b].first, next; v; v = next) {
				next = f->node[v].next;
				if (!moves(f, v, h) || !invariant(f, v, h))
					continue;
				ir_remove(f, v);
				ir_insert(f, f->block[to].last, v);
			}
		}
	}
}
