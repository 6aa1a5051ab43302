/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of emission, shared by emit.c, compare.c, numbers.c and moves.c. */
#ifndef SKEP_JIT_X64_EMIT_H
#define SKEP_JIT_X64_EMIT_H

#include "jit/x64/x64.h"

struct fixup {
	u32 at, to; /* of a displacement; block */
	bool is_short;
};

struct emit {
	struct mach *m;
	u32 i; /* operation */
	u32 block; /* in the order of emission */
	u32 saved; /* set of registers */
	u32 pushed; /* bytes on the stack besides the frame, during a call that keeps registers */
	u32 frame, fp; /* bytes below the saved registers; r10 = stack pointer + fp */
	u32 *start; /* of blocks */
	u32 *alias; /* of blocks: where one that only leads on leads to */
	bool *early; /* of blocks: the branch to it makes its moves, between comparison and jump */
	bool keep_flags; /* while it does */
	const struct mach_ins *flags; /* whose comparison or result the machine's flags tell of; NULL: unknown */
	u32 held; /* constant without a register that R11 holds; 0: none */
	u32 next; /* block that is emitted next */
	const u32 *guess; /* of blocks, from an earlier round; NULL: none */
	u32 *small; /* of blocks, with a guess: how many small loops begin here or before; each has a line of the cache to itself */
	u32 *length; /* of such a loop, by its first block */
	struct fixup *fixup;
	u32 n_fixups, cap_fixups;
	struct {
		u32 at; /* of a displacement */
		const struct ir_table *numbers;
	} *table;
	u32 n_tables;
	struct {
		const void *fn;
		u32 calls;
		u32 last; /* the displacement of the latest one, which holds where the one before it is; 0: none */
	} callee[16]; /* functions outside that are called, most of them */
	u32 n_callees;
	u32 lines; /* of functions before */
};

static inline s8 reg_of(const struct emit *e, u32 v)
{
	return e->m->value[v].reg;
}

struct move {
	s32 to, from; /* registers; slots are 100 + number; -1: imm */
	u64 imm;
	bool done;
};

static inline u32 result_reg(const struct emit *e, u32 v)
{
	return v && reg_of(e, v) >= 0 ? (u32)reg_of(e, v) : R10;
}

static inline bool in_slot(const struct emit *e, u32 v)
{
	return e->m->value[v].reg < 0 && !e->m->value[v].constant;
}

/* aliases.c */
void x64_aliases(struct emit *e); /* e->alias, e->early */
const struct mach_ins *x64_early_moves(struct emit *e, const struct mach_ins *branch);

/* numbers.c: what lies behind the code and is found from it: tables of numbers, addresses of functions that are called often */
bool x64_numbers(struct emit *e); /* false: out of memory */
void x64_numbers_begin(struct emit *e); /* of a round */
void x64_numbers_end(struct emit *e);
void x64_table(struct emit *e, const struct mach_ins *i, u32 reg); /* its address */
void x64_call(struct emit *e, const void *fn);

/* compare.c: comparisons, and what the flags are known to tell without one */
u32 x64_condition(enum op cmp);
bool x64_known(const struct emit *e, const struct mach_ins *i, u32 *cc); /* its comparison, by the flags as they are */
u32 x64_compare(struct emit *e, const struct mach_ins *i); /* the condition under which it holds */
bool x64_flags_wanted(const struct emit *e); /* by what comes next, so that a constant must not change them */
bool x64_keeps_flags(enum mach_op op); /* or says what they tell afterwards */
void x64_choose(struct emit *e, const struct mach_ins *i);
void x64_setcc(struct emit *e, const struct mach_ins *i);
void x64_count(struct emit *e, const struct mach_ins *i);

/* moves.c: values in registers, and several moves at once */
struct x64_mem x64_slot(const struct emit *e, u32 v);
u32 x64_in_reg(struct emit *e, u32 v, u32 scratch); /* its own register, or the scratch one, loaded */
void x64_with(struct emit *e, u32 opcode, bool wide, u32 reg, u32 v, u32 scratch); /* op reg, v */
void x64_into(struct emit *e, u32 reg, u32 v, bool wide);
void x64_finish(struct emit *e, u32 v, u32 reg); /* the result is in reg: to where the value lives */
void x64_source(struct emit *e, struct move *v, u32 src);
void x64_parallel(struct emit *e, struct move *v, u32 n);
void x64_moves(struct emit *e, const struct mach_ins *i);
void x64_entry(struct emit *e, const struct mach_ins *i);

#endif
