/* SPDX-License-Identifier: BSD-2-Clause */
/* The passes, one file each; what a pass requires and keeps stands at its top. */
#ifndef SKEP_OPT_PASSES_H
#define SKEP_OPT_PASSES_H

#include "opt/opt.h"

/* memory.c */
bool opt_kinds_of_program(struct ir *f, u32 n); /* false: out of memory */
void opt_kinds(struct ir *f); /* f->kinds, and every access's */
void opt_context(struct ir *f); /* context fields that load as addresses; always runs */
/* frame.c */
void opt_frame(struct ir *f); /* how much stack remains, and what is cleared on entry; always runs */
/* memory.c */
bool opt_frame_offset(const struct ir *f, u32 v, s64 *off); /* is v r10 plus a constant? */
/*
 * v = r10 + [*from, *to]; false: it may be any address of the frame. *may: opt_bits(), NULL until an index asks for it; the form does not change
 * meanwhile. Requires kinds.
 */
bool opt_frame_reach(struct ir *f, u64 **may, u32 v, s64 *from, s64 *to);

/* inline.c; all: the functions of the program */
bool opt_calls_none(const struct ir *f); /* no functions of the program, by no way */
void opt_inline(struct ir *f, struct ir *all);

/* bits.c: per node, bits that may be one; with room for more nodes, which is not cleared. NULL: out of memory */
u64 *opt_bits(struct ir *f, u32 room);
u64 opt_bits_of(struct ir *f, const u64 *may, u32 v, u32 block);
/* simplify.c */
void opt_simplify(struct ir *f);
u32 *opt_uses(struct ir *f, u32 room); /* per node: how often it is an operand; room as above */
static inline bool opt_used_once(const u32 *uses, u32 nodes, u32 v) /* nodes: that there were then; a newer one is not known to be */
{
	return v < nodes && uses[v] == 1;
}
/* gvn.c */
void opt_gvn(struct ir *f);
void opt_dead(struct ir *f); /* removes what has no effect and no use */
/* recur.c: of nodes in loops that have no others in them */
struct opt_recur {
	u32 n; /* nodes that are known */
	u64 *from, *to; /* sets of the header's phis: made from these, becomes these at the end of the turn */
	u64 *into; /* of those phis: which ones go into them, by any number of turns */
	u16 *down, *up; /* cycles from the farthest phi, and to the end of the turn */
};
bool opt_recur(struct ir *f, struct opt_recur *r); /* false: out of memory */
bool opt_on_circle(const struct ir *f, const struct opt_recur *r, u32 v, u32 x);
/* promote.c */
void opt_promote(struct ir *f);
/* control.c */
void opt_straighten(struct ir *f);
void opt_thread(struct ir *f);
void opt_convert(struct ir *f);
/* balance.c, switch.c, merge.c, copy.c, gather.c, licm.c */
void opt_balance(struct ir *f);
void opt_switch(struct ir *f);
void opt_gather(struct ir *f);
void opt_merge(struct ir *f);
s64 opt_place(const struct ir *f, const struct ir_node *n, u32 *base); /* merge.c: an access's place is *base plus this */
void opt_copy(struct ir *f);
void opt_licm(struct ir *f);
/* turns.c */
struct opt_loop {
	u32 header, before, latch; /* blocks; the header's predecessors are the other two */
	u32 exit; /* the branch that leaves */
};
static inline bool opt_header_phi(const struct ir *f, const struct opt_loop *l, u32 v)
{
	return f->node[v].op == IR_PHI && f->node[v].block == l->header;
}
bool opt_loop_ends(const struct ir *f, u32 header, struct opt_loop *l); /* all but the exit; false: it is not of that shape */
u32 opt_incoming(struct ir *f, const struct opt_loop *l, u32 phi, u32 from); /* a header's phi's argument from before, or from the latch */
u64 opt_turns(struct ir *f, const struct opt_loop *l); /* that end with another one; 0: not known */
/* unroll.c */
void opt_unroll(struct ir *f);
/* polls.c */
void opt_polls(struct ir *f);

#endif
