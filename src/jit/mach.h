/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mach: a function between SSA and machine code: operations that a machine has, over values that have no registers yet, in the order
 * in which they will be emitted. Selection (a target's) makes it, regalloc.c gives every value a register or a slot on
 * the stack, emission (a target's) writes bytes.
 *
 * Values are numbers: SSA's own, and further ones that selection adds. Time is counted in half steps: operation i reads its
 * operands at 2i and writes its result at 2i + 1; an operand that is read late, or after the result is written, lives to 2i + 1.
 */
#ifndef SKEP_JIT_MACH_H
#define SKEP_JIT_MACH_H

#include "ir/ir.h"

enum mach_op {
	M_NONE,
	M_ENTRY, /* parameters arrive: pairs (value, number) */
	M_MOVES, /* pairs (value, source), all at once */
	M_MOV,
	M_MOVI, /* imm */
	M_LEA, /* address */
	M_TABLE, /* address of the numbers that imm points to, a struct ir_table */
	M_ALU, /* aux: the target's operation; b or imm */
	M_MUL, /* b or imm */
	M_NEG,
	M_SHIFT, /* aux; by imm */
	M_SHIFTV, /* aux; by b */
	M_MULH, /* aux: signed */
	M_DIV, /* aux: enum op */
	M_EXT, /* aux: bits, sign in sign */
	M_SWAP, /* width 16, 32, 64 */
	M_LOAD,
	M_STORE,
	M_STOREI,
	M_ATOMIC, /* aux: enum op; c: expected */
	M_CALL, /* call */
	M_SELECT, /* cc of a, b or imm: c, else d, or disp without d; without c: all bits or none, sign: the other way round */
	M_SETCC, /* cc of a, b or imm: 1, else 0; sign: the other way round */
	M_COUNT, /* c, and 1 more if cc of a, b or imm; scale: 32 or 64 bits of it */
	M_BRANCH, /* cc of a, b or imm: to[0], else to[1]; dst: a - imm */
	M_JUMP, /* to[0] */
	M_RETURN,
	M_TAIL, /* a: address, b: context, c: run */
};

enum { MACH_FRAME = UINT32_MAX /* base of addresses in the frame; disp counts from r10 */ };

struct mach_ins {
	u8 op, width, aux, cc; /* cc: enum op of the comparison */
	u8 scale; /* 1, 2, 4, 8; SELECT without c, COUNT: bits of the result */
	bool sign, has_imm, nonzero; /* nonzero: the divisor is known not to be 0 */
	u32 dst, a, b, c, d;
	u32 base, index;
	s32 disp;
	u32 list, n; /* MOVES, ENTRY: pairs in list; CALL: number in ir->call */
	u32 to[2]; /* blocks */
	s64 imm;
	u32 pc;
};

struct mach_block {
	u32 first, end; /* operations */
	u32 depth;
	u32 ir; /* block */
	bool cold, top; /* top: the first of a loop */
};

struct mach_value {
	s8 reg; /* -1: none */
	u8 want; /* register + 1 that would save a move; 0 none */
	bool constant; /* M_MOVI: made anew instead of being kept in a slot */
	u32 hint, next; /* values whose register would save a move: made from, made into */
	s32 slot; /* on the stack, -1 none */
	s64 imm;
	float weight;
	u32 range, n_ranges; /* in time, sorted */
	u32 parent; /* value that it was joined with */
};

struct mach {
	struct ir *ir;
	struct arena *arena; /* of this function */
	struct arena *output; /* of code, sites and lines */
	const struct target *target;
	const struct jit_options *options;
	bool failed;
	struct mach_ins *ins;
	u32 n_ins, cap_ins;
	struct mach_block *block; /* in the order of emission */
	u32 n_blocks;
	u32 *block_of; /* of an IR block */
	u32 *list, n_list, cap_list;
	u32 n_values;
	struct mach_value *value;
	u32 used; /* set of registers */
	u64 *busy[32]; /* per register: points in time at which it is taken */
	u32 n_slots;
	bool has_calls, spilled;
	u32 frame_size;
	/* emission: all functions of a program, one behind the other */
	u8 *code;
	u32 size, cap;
	u32 start; /* of this function */
	u32 fp, up; /* as in struct code_func */
	struct mach_site *site;
	u32 n_sites, cap_sites;
	struct code_line *line; /* with the option `lines` */
	u32 n_lines, cap_lines;
	u32 saved; /* as in struct code_func */
};

/* A place in the code that is completed when everything has its address. */
struct mach_site {
	u32 at;
	u32 subprog; /* relative displacement to its start */
};

/* What regalloc.c must know of an operation. */
struct mach_operands {
	u32 use[12], n_uses;
	u32 late; /* set of uses */
	s8 use_fixed[12]; /* -1, or the register that the operand is moved to */
	u32 def;
	s8 def_fixed;
	bool def_next; /* the result is there one half step later: after fixed registers were released */
	u32 clobbers;
	u32 tied; /* use whose register the result would like */
};

struct target {
	const char *name;
	u32 allocatable, scratch; /* sets of registers; scratch: kept free when values live on the stack */
	const u8 *preference;
	u32 n_registers;
	s8 arg[6];
	s8 result;
	int (*select)(struct mach *m);
	void (*operands)(const struct mach *m, const struct mach_ins *i, struct mach_operands *o);
	int (*emit)(struct mach *m); /* m->code, m->size */
	void (*unwind)(const struct code_func *f, struct text *t); /* frames in DWARF: a function's instructions; NULL: the common entry */
};

u32 mach_add(struct mach *m, enum mach_op op, u32 width); /* index of the operation */
u32 mach_list(struct mach *m, u32 n);
void mach_site(struct mach *m, u32 at, u32 subprog);
void mach_line(struct mach *m, u32 insn); /* what is emitted from here on comes from it */
int mach_layout(struct mach *m);
u32 mach_root(struct mach *m, u32 v);
int regalloc(struct mach *m);
const char *regalloc_check(struct mach *m);

#endif
