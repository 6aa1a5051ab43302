/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Natural loops and the proof that they end. Between loop.c, which finds them, and join.c, which joins states at their heads.
 *
 * Ownership: all of it lies in the verifier's arena.
 */
#ifndef SKEP_VERIFY_LOOP_H
#define SKEP_VERIFY_LOOP_H

#include "verify/state.h"

enum { PLACES = REG_FP + STACK_SLOTS, NO_PLACE = 0xff }; /* R0 to R9, then the stack slots of the loop's own frame */
#define TRIPS_MOST (1ull << 23) /* as many as bpf_loop, may_goto and an iterator over numbers make */
#define TRIPS_FINITE (1ull << 62) /* more than a processor can make: an iterator over what the kernel has */
#define TRIPS_UNKNOWN UINT64_MAX

/* A place's content in terms of what a place held at the loop's head. */
enum sym_kind {
	SYM_UNKNOWN,
	SYM_FULL, /* base + delta */
	SYM_ZEXT, /* the low 32 bits of base + delta, zero-extended */
	SYM_LOW, /* the low 32 bits are those of base + delta */
	SYM_HIGH, /* the low 32 bits of base + delta, shifted up by 32 */
	SYM_FRAME, /* the address delta in the stack frame; base: NO_PLACE */
};
struct sym {
	u8 kind, base;
	s64 delta;
};

enum loop_test_kind {
	TEST_NUMBER, /* a jump that leaves the loop unless `x op limit` holds; both are as at the head of the turn, plus delta */
	TEST_BUDGET, /* a may_goto that leaves the loop */
	TEST_ITERATOR, /* a call that advances the iterator at x + x_delta: a turn at whose ends the same one is active has taken an element of it */
};

/* What every turn passes and what bounds the turns. */
struct loop_test {
	u32 insn;
	u8 kind;
	u8 op, width; /* enum op; 32 or 64 */
	bool zext; /* x is its low half, zero-extended */
	bool narrow; /* because the turns leave it so: it must have no upper half when the loop is entered, either */
	u8 x, limit; /* places; limit may be NO_PLACE: limit_delta itself */
	s64 x_delta, limit_delta, step;
	u64 most; /* TEST_ITERATOR: elements that such an iterator has */
};

struct loop {
	u32 head, outer; /* outer: number of the loop around it in its function, 0: none */
	u32 start, size; /* of its function; members: a bit per instruction */
	u64 *members;
	u32 n_members;
	u32 *latches, n_latches;
	struct sym step[PLACES]; /* what one turn does to each place, when every turn does the same */
	struct loop_test *tests;
	u32 n_tests;
	bool disabled; /* a join there lost a proof */
	bool unproven; /* some arrival from outside has no bound */
	bool joined; /* states were joined there, or in a loop or function inside */
	u64 trips; /* most turns of any arrival from outside */
	u32 test; /* jump that bounds them */
	u64 proof_slots; /* stack slots that what is known of a turn rests on */
};

static inline bool loop_has(const struct loop *l, u32 insn)
{
	u32 i = insn - l->start;

	return i < l->size && l->members[i / 64] >> i % 64 & 1;
}

/* ---- loop.c ---- */
int loops_find(struct verifier *v); /* v->loops, aux.loop */

/* ---- trips.c ---- */
/* What a place holds, plus delta; false: no number. */
bool loop_place(const struct frame *f, u32 place, u32 width, s64 delta, struct scalar *out);
/* Most turns that the loop makes when it is entered with that frame; TRIPS_UNKNOWN: no proof. *by: the test that says so. */
u64 loop_trips(const struct loop *l, const struct frame *f, const struct loop_test **by);

#endif
