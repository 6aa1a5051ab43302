/* SPDX-License-Identifier: BSD-2-Clause */
/* Does the form hold: links of nodes and blocks, one phi argument per predecessor, every use dominated by its definition. */
#include "ir/ir.h"

#include <stdio.h>

static const char *wrong(struct ir *f, u32 v, const char *what)
{
	const char *s = arena_text(f->arena, "%s: block %u, node %u: %s", f->prog->subprogs[f->subprog].name, f->node[v].block, v, what);

	return s ? s : what;
}

static const char *check_use(struct ir *f, u32 v, u32 x, u32 block, const u32 *position)
{
	const struct ir_node *n = &f->node[x];

	if (x == 0 || x >= f->n_nodes)
		return wrong(f, v, "an operand is missing");
	if (n->op == IR_CONST)
		return NULL;
	if (!position[x])
		return wrong(f, v, "an operand was removed");
	if (n->block == block && f->node[v].op != IR_PHI)
		return position[x] < position[v] ? NULL : wrong(f, v, "used before it is defined");
	return ir_dominates(f, n->block, block) ? NULL : wrong(f, v, "the definition of an operand does not dominate it");
}

static const char *check_block(struct ir *f, u32 b, const u32 *position)
{
	const struct ir_block *k = &f->block[b];
	bool phis = true;

	if (!k->last || !ir_is_end(f->node[k->last].op))
		return wrong(f, k->last, "the block has no end");
	for (u32 i = 0; i < k->n_succ; i++) {
		u32 found = 0;

		for (u32 p = 0; p < f->block[k->succ[i]].n_pred; p++)
			found += f->block[k->succ[i]].pred[p] == b;
		if (found != 1)
			return wrong(f, k->last, "a successor does not name the block once");
	}
	ir_each(f, v, b) {
		const struct ir_node *n = &f->node[v];
		u32 use[IR_USES];
		const char *bad = NULL;

		if (n->block != b)
			return wrong(f, v, "is in another block's list");
		if (ir_is_end(n->op) != (v == k->last))
			return wrong(f, v, "an end inside of a block");
		if (n->op == IR_PHI) {
			if (!phis)
				return wrong(f, v, "a phi behind other nodes");
			for (u32 p = 0; p < k->n_pred && !bad; p++)
				bad = check_use(f, v, ir_phi_args(f, v)[p], k->pred[p], position);
		} else {
			phis = false;
			for (u32 i = ir_uses(f, v, use); i-- && !bad;)
				bad = check_use(f, v, use[i], b, position);
		}
		if (bad)
			return bad;
	}
	return NULL;
}

const char *ir_check(struct ir *f)
{
	u32 *position, at = 1;

	ir_order(f);
	position = arena_array(f->scratch, f->n_nodes + 1, sizeof(u32));
	if (f->failed || !position)
		return "out of memory";
	ir_each_rpo(f, i, b)
		ir_each(f, v, b)
			position[v] = at++;
	ir_each_rpo(f, i, b) {
		const char *bad = check_block(f, b, position);

		if (bad)
			return bad;
	}
	return NULL;
}
