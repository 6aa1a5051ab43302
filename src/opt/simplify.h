/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of simplification, shared by simplify.c, compare.c and divide.c. A rule gives a value that equals the node, the node itself when it changed
 * it, or 0. */
#ifndef SKEP_OPT_SIMPLIFY_H
#define SKEP_OPT_SIMPLIFY_H

#include "opt/passes.h"

struct simplify {
	struct ir *f;
	u64 *may; /* bits that may be one */
	u32 *uses, *to;
	u32 room; /* nodes that those arrays have room for */
	u32 known; /* nodes that they tell something of */
	bool cut;
};

static inline u64 mask_of(u32 width)
{
	return width == 32 ? UINT32_MAX : ~0ull;
}

static inline bool constant(const struct simplify *s, u32 v, u64 *x)
{
	*x = (u64)s->f->node[v].imm;
	return s->f->node[v].op == IR_CONST;
}

u32 simplify_new(struct simplify *s, u32 before, enum ir_op op, u32 width, u32 x, u32 y);
u32 simplify_const(struct simplify *s, u64 x);
u32 simplify_select(struct simplify *s, u32 before, const struct ir_node *as);
u32 simplify_binary(struct simplify *s, u32 v, u32 op, u32 width, u32 x, u32 y); /* makes v that */
u32 simplify_divide(struct simplify *s, u32 v);
u32 simplify_branch(struct simplify *s, u32 v);
u32 simplify_selection(struct simplify *s, u32 v);

#endif
