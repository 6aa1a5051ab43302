/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of selection, shared by select.c and choose.c. */
#ifndef SKEP_JIT_X64_SELECT_H
#define SKEP_JIT_X64_SELECT_H

#include "jit/x64/x64.h"

struct address {
	u32 base, index;
	s32 disp;
	u8 scale;
};

struct select {
	struct mach *m;
	struct ir *f;
	u32 *uses;
	u8 *accesses; /* per node: those in its own block that it is the address of */
	struct address *address; /* per node that has one */
	u32 *count; /* per ADD that counts by a comparison: the selection that it takes the place of */
	u32 *hoisted; /* per CONST node: value that holds it for the whole function */
	u32 *hoist, n_hoist;
	u32 anchor[8], anchor_uses[8], n_anchors; /* CONST nodes that addresses near to them count from */
	u32 depth, pc, first; /* the block's first operation */
};

enum { MOST_ACCESSES = 255 };

static inline bool select_fits32(s64 x)
{
	return x == (s32)x;
}

/* select.c */
bool select_is_const(const struct select *s, u32 v, s64 *x);
u32 select_add(struct select *s, enum mach_op op, u32 width); /* index of the operation */
u32 select_operand(struct select *s, u32 v); /* the value as an operand that needs a register */
void select_compare(struct select *s, const struct ir_node *n, u32 *a, u32 *b, s64 *x, bool *imm);

/* choose.c */
void select_choose(struct select *s, u32 v);
bool select_counts(struct select *s, u32 v); /* does the addition count by a comparison? Notes it, and that the selection is not needed then */
void select_count(struct select *s, u32 v);

#endif
