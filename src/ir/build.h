/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of ir_build(), shared by build.c (blocks, registers, instructions) and calls.c (what calls become). */
#ifndef SKEP_IR_BUILD_H
#define SKEP_IR_BUILD_H

#include "ir/ir.h"

enum { BUILD_FP = 10, BUILD_LOOPS = 11, BUILD_FUEL = 12 /* instructions until somebody looks at budget and stop */, BUILD_VARS = 13 };

struct build_bb { /* a basic block of bytecode */
	u32 start, end, last; /* slots; last: of its last instruction */
	u32 succ[2], n_succ;
	u32 *pred, n_pred;
	u16 use, def, live; /* sets of registers */
	bool reached;
	u32 first, last_ir; /* blocks of the IR that it became */
	u32 *exit; /* values of registers at its end */
	u32 turn; /* 0, or: it has no bytecode, but is where jumps back to `start` meet; instructions of a turn that ends here */
	u32 more; /* the next such block for the same place; 0: none */
};

struct builder {
	struct ir *f;
	const struct insn *insns;
	u32 start, end, pc;
	u32 *bb_of, *order, n_order;
	struct build_bb *bb;
	u32 n_bb;
	u32 at; /* block of the IR that nodes are added to */
	u32 cur[BUILD_VARS]; /* values of registers */
	bool counts; /* BUILD_FUEL is kept: the function has loops and the code polls */
	u32 fuel; /* at the function's entry */
	struct build_inner { /* maps that were found in arrays of maps, the latest ones */
		u32 handle, map; /* nodes */
		const struct map *outer;
	} inner[4];
	u32 n_inner;
	u32 *from; /* block of the IR to the block of bytecode that ends there */
};

u32 build_add(struct builder *b, enum ir_op op, u32 width, u32 x, u32 y);
u32 build_load(struct builder *b, u32 addr, s64 off, u32 size, u32 flags);
u32 build_call(struct builder *b, const void *fn, u32 n, const u32 *args);
u32 build_phi2(struct builder *b, u32 block, u32 x, u32 y); /* calls.c */
u32 build_block(struct builder *b);
u32 build_jump(struct builder *b, u32 to);
void build_branch(struct builder *b, enum op cmp, u32 width, u32 x, u32 y, u32 yes, u32 no);
void build_return(struct builder *b, u32 v);
u32 build_run_load(struct builder *b, s64 off, u32 size, u32 flags); /* calls.c: a field of the run */
void build_any_call(struct builder *b, const struct insn *i); /* calls.c */
u32 build_value(struct builder *b, u32 helper); /* values.c: the helper's result, without calling it; 0: it is called */
void build_poll(struct builder *b, u32 cost);
void build_fuel_out(struct builder *b); /* where control leaves the function: what is left of it goes to the run */
void build_fuel_in(struct builder *b); /* and comes back */
void build_tell_prog(struct builder *b); /* the run is told the program: before calls that call back or look */
bool build_calls_back(const struct prog *p, u32 pc); /* a helper that calls functions of the program, or goes on in another program */
bool build_leaves(const struct ir *f, u32 pc); /* a call of what uses fuel up */

#endif
