/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Value domains: what is known of a 64-bit number. Pure functions over plain values: no program, no state, no allocation.
 *
 * A scalar is the product of known bits (tnum) and four intervals (unsigned and signed, of the whole and of the low
 * 32 bits); scalar_sync() lets each tell the others what it knows, as Linux 6.18 does. Every transfer is sound: if a lies in x and
 * b in y, then the operation's result lies in the transfer's. One transfer per row of isa/ops.def: a missing one does not link.
 */
#ifndef SKEP_VERIFY_SCALAR_H
#define SKEP_VERIFY_SCALAR_H

#include "isa/isa.h"

/* Bits of mask are unknown; value holds the others and is 0 where mask is 1. */
struct tnum {
	u64 value, mask;
};

struct tnum tnum_const(u64 value);
struct tnum tnum_range(u64 min, u64 max); /* the tightest that holds all of [min, max] */
struct tnum tnum_lsh(struct tnum a, u8 shift);
struct tnum tnum_rsh(struct tnum a, u8 shift);
struct tnum tnum_arsh(struct tnum a, u8 shift, u8 width);
struct tnum tnum_add(struct tnum a, struct tnum b);
struct tnum tnum_sub(struct tnum a, struct tnum b);
struct tnum tnum_neg(struct tnum a);
struct tnum tnum_and(struct tnum a, struct tnum b);
struct tnum tnum_or(struct tnum a, struct tnum b);
struct tnum tnum_xor(struct tnum a, struct tnum b);
struct tnum tnum_mul(struct tnum a, struct tnum b);
struct tnum tnum_intersect(struct tnum a, struct tnum b); /* both hold */
struct tnum tnum_union(struct tnum a, struct tnum b); /* either holds */
struct tnum tnum_cast(struct tnum a, u8 bytes); /* zero-extended from that many bytes */
bool tnum_in(struct tnum outer, struct tnum inner); /* is every member of inner one of outer? */
bool tnum_aligned(struct tnum a, u64 size); /* are all members multiples of size, a power of two? */
bool tnum_overlap(struct tnum a, struct tnum b); /* is there a common member? */

static inline bool tnum_is_const(struct tnum a)
{
	return a.mask == 0;
}
#define TNUM_UNKNOWN ((struct tnum){0, UINT64_MAX})

struct scalar {
	struct tnum bits;
	u64 umin, umax;
	s64 smin, smax;
	u32 umin32, umax32;
	s32 smin32, smax32;
};

void scalar_set_const(struct scalar *s, u64 value);
void scalar_set_unknown(struct scalar *s);
static inline bool scalar_is_const(const struct scalar *s)
{
	return tnum_is_const(s->bits);
}
static inline bool scalar_is_const32(const struct scalar *s) /* the low 32 bits */
{
	return (u32)s->bits.mask == 0;
}
bool scalar_is_unknown(const struct scalar *s); /* nothing is known */
bool scalar_is_empty(const struct scalar *s); /* a contradiction: no value has all these properties */
bool scalar_has(const struct scalar *s, u64 value); /* is it a member? */
static inline bool scalar_equal(const struct scalar *a, const struct scalar *b)
{
	_Static_assert(sizeof(*a) == 2 * sizeof(u64) + 4 * sizeof(u64) + 4 * sizeof(u32), "no padding to compare");
	return !memcmp(a, b, sizeof(*a));
}
bool scalar_within(const struct scalar *outer, const struct scalar *inner); /* is all that inner allows allowed by outer? */

void scalar_sync(struct scalar *s); /* intervals and bits refine each other */
/* The same for a number that was found to be less than itself: its bounds may have passed each other, and Linux deduces on; often to one number. Nothing takes
 * that edge, so whatever comes out is sound. */
void scalar_sync_crossed(struct scalar *s);
void scalar_from_bits(struct scalar *s, struct tnum bits); /* intervals from the bits alone, then sync */
void scalar_forget32(struct scalar *s); /* the 32-bit intervals become unknown */
void scalar_forget64(struct scalar *s); /* the 64-bit intervals become unknown */
void scalar_zext(struct scalar *s, u32 bytes); /* the low bytes, zero-extended: narrow loads and fills */
void scalar_from32(struct scalar *s); /* a 32-bit result: the upper half is zero, the rest follows from the lower */
void scalar_sext(struct scalar *s, u32 bytes); /* sign-extended to 64 bits */
void scalar_sext32(struct scalar *s, u32 bytes); /* sign-extended to 32 bits, upper half zero */

/* *dst op= src for an ALU row, at 32 bits (upper half zero) or 64. Shifts by an out-of-range or unknown count give what Linux gives.
 * src may be dst, and is not read by unary operations. */
void scalar_alu(enum op op, u32 width, struct scalar *dst, const struct scalar *src);
void scalar_byteswap(enum op op, u32 width, struct scalar *dst); /* OP_LE, OP_BE, OP_BSWAP */

/* Is `a op b` true? 1 always, 0 never, -1 it depends. */
int scalar_decide(enum op op, u32 width, const struct scalar *a, const struct scalar *b);
/* a and b, which may be one, become what they are where `a op b` is `taken`. Afterwards either may be empty: that edge is
 * dead. */
void scalar_refine(enum op op, u32 width, bool taken, struct scalar *a, struct scalar *b);

void scalar_join(struct scalar *into, const struct scalar *s); /* the smallest that holds both */
/* Join at a loop's head: what still grows jumps to the next bound of a short, fixed list, so that a chain of them ends:
 * it changes `into` at most SCALAR_WIDENINGS times (27 stops for each of eight bounds and for the bits). */
enum { SCALAR_WIDENINGS = 9 * 27 };
void scalar_widen(struct scalar *into, const struct scalar *s);
bool scalar_meet(struct scalar *into, const struct scalar *s); /* both hold; false: empty */

struct text;
/* As in the kernel's log after the word "scalar": "7" of a constant, else "(smin=...,umax=...,var_off=(0x0; 0xff))" with
 * what is not a type's limit. scalar_ranges_text is what stands between the parentheses, `sep` before its first part; it
 * returns the separator for what follows. */
void scalar_text(struct text *t, const struct scalar *s);
const char *scalar_ranges_text(struct text *t, const struct scalar *s, const char *sep);

#endif
