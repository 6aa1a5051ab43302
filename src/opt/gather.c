/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Selections by the same comparison stand side by side where their values allow it, so that the comparison is made once.
 *
 * Requires, keeps: SSA.
 */
#include "opt/passes.h"

enum { FAR = 16 };

static bool same_comparison(const struct ir_node *a, const struct ir_node *b)
{
	return a->width == b->width && a->arg[0] == b->arg[0] && a->arg[1] == b->arg[1] && (a->aux == OP_JSET) == (b->aux == OP_JSET);
}

/* The closest one before v, behind which what v chooses from is there. */
static u32 companion(const struct ir *f, u32 v)
{
	const struct ir_node *n = &f->node[v];
	u32 k = n->prev;

	for (u32 i = 0; i < FAR && k && k != n->arg[2] && k != n->arg[3]; i++) {
		if (f->node[k].op == IR_SELECT && same_comparison(&f->node[k], n))
			return k;
		k = f->node[k].prev;
	}
	return 0;
}

void opt_gather(struct ir *f)
{
	ir_each_rpo(f, i, b)
		for (u32 v = f->block[b].first, next; v; v = next) {
			u32 with = f->node[v].op == IR_SELECT ? companion(f, v) : 0;

			next = f->node[v].next;
			if (!with || f->node[with].next == v)
				continue;
			with = f->node[with].next;
			ir_remove(f, v);
			ir_insert(f, with, v);
		}
}
