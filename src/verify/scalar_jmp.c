/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Comparisons of scalars: is one decided, and what does each way out of it say of its operands? One row of `relations`
 * per JMP row of isa/ops.def; every order is < or <=, signed or not, perhaps with its sides exchanged.
 */
#include "verify/scalar.h"

enum relation_kind { EQUAL = 1, COMMON_BITS, LESS, LESS_EQUAL };

struct relation {
	u8 kind; /* enum relation_kind */
	bool swapped; /* of b and a */
	bool is_signed;
	bool negated;
};

#define ROW_JEQ  {EQUAL, false, false, false}
#define ROW_JNE  {EQUAL, false, false, true}
#define ROW_JSET {COMMON_BITS, false, false, false}
#define ROW_JGT  {LESS, true, false, false}
#define ROW_JGE  {LESS_EQUAL, true, false, false}
#define ROW_JSGT {LESS, true, true, false}
#define ROW_JSGE {LESS_EQUAL, true, true, false}
#define ROW_JLT  {LESS, false, false, false}
#define ROW_JLE  {LESS_EQUAL, false, false, false}
#define ROW_JSLT {LESS, false, true, false}
#define ROW_JSLE {LESS_EQUAL, false, true, false}

static const struct relation relations[OP_COUNT] = {
#define JMP(name, code, text, meaning, flags) [OP_##name] = ROW_##name,
#include "isa/ops.def"
};

/* An interval whose order is that of unsigned numbers: the sign bit of a signed one is flipped. */
struct interval {
	u64 lo, hi;
};

#define SIGN64 (1ull << 63)
#define SIGN32 (1u << 31)

static inline struct interval interval_of(const struct scalar *s, u32 width, bool is_signed)
{
	if (width == 64)
		return is_signed ? (struct interval){(u64)s->smin ^ SIGN64, (u64)s->smax ^ SIGN64}
				 : (struct interval){s->umin, s->umax};
	return is_signed ? (struct interval){(u32)s->smin32 ^ SIGN32, (u32)s->smax32 ^ SIGN32}
			 : (struct interval){s->umin32, s->umax32};
}

static inline void put_interval(struct scalar *s, u32 width, bool is_signed, struct interval i)
{
	if (width == 64) {
		if (is_signed) {
			s->smin = (s64)(i.lo ^ SIGN64);
			s->smax = (s64)(i.hi ^ SIGN64);
		} else {
			s->umin = i.lo;
			s->umax = i.hi;
		}
	} else if (is_signed) {
		s->smin32 = (s32)((u32)i.lo ^ SIGN32);
		s->smax32 = (s32)((u32)i.hi ^ SIGN32);
	} else {
		s->umin32 = (u32)i.lo;
		s->umax32 = (u32)i.hi;
	}
}

static inline bool const_at(const struct scalar *s, u32 width)
{
	return width == 32 ? scalar_is_const32(s) : scalar_is_const(s);
}

static inline struct tnum bits_at(const struct scalar *s, u32 width)
{
	return width == 32 ? (struct tnum){(u32)s->bits.value, (u32)s->bits.mask} : s->bits;
}

static inline bool disjoint(struct interval a, struct interval b)
{
	return a.lo > b.hi || b.lo > a.hi;
}

/* ---- decide ---- */

static int decide_equal(u32 width, const struct scalar *a, const struct scalar *b)
{
	struct tnum x = bits_at(a, width), y = bits_at(b, width);

	if (tnum_is_const(x) && tnum_is_const(y))
		return x.value == y.value;
	if (!tnum_overlap(x, y) || disjoint(interval_of(a, width, false), interval_of(b, width, false)) ||
	    disjoint(interval_of(a, width, true), interval_of(b, width, true)))
		return 0;
	if (width == 64 && (disjoint(interval_of(a, 32, false), interval_of(b, 32, false)) ||
			    disjoint(interval_of(a, 32, true), interval_of(b, 32, true))))
		return 0;
	return -1;
}

static int decide_common_bits(u32 width, const struct scalar *a, const struct scalar *b)
{
	struct tnum x = bits_at(a, width), y = bits_at(b, width);

	if (!tnum_is_const(x) && !tnum_is_const(y))
		return -1;
	if (x.value & y.value)
		return 1;
	return (x.value | x.mask) & (y.value | y.mask) ? -1 : 0;
}

int scalar_decide(enum op op, u32 width, const struct scalar *a, const struct scalar *b)
{
	struct relation r = relations[op];
	struct interval x, y;
	int known;

	if (r.kind == EQUAL) {
		known = decide_equal(width, a, b);
		return known < 0 || !r.negated ? known : !known;
	}
	if (r.kind == COMMON_BITS)
		return decide_common_bits(width, a, b);
	x = interval_of(r.swapped ? b : a, width, r.is_signed);
	y = interval_of(r.swapped ? a : b, width, r.is_signed);
	if (r.kind == LESS)
		return x.hi < y.lo ? 1 : x.lo >= y.hi ? 0 : -1;
	return x.hi <= y.lo ? 1 : x.lo > y.hi ? 0 : -1;
}

/* ---- refine ---- */

static void make_empty(struct scalar *s)
{
	s->umin = UINT64_MAX;
	s->umax = 0;
}

static void put_bits(struct scalar *s, u32 width, struct tnum bits)
{
	if (width == 32) {
		s->bits.value = (s->bits.value & ~(u64)UINT32_MAX) | (u32)bits.value;
		s->bits.mask = (s->bits.mask & ~(u64)UINT32_MAX) | (u32)bits.mask;
	} else {
		s->bits = bits;
	}
}

static void refine_equal(u32 width, struct scalar *a, struct scalar *b)
{
	struct tnum x = bits_at(a, width), y = bits_at(b, width), both = tnum_intersect(x, y);
	struct interval i, j;

	if (!tnum_overlap(x, y)) {
		make_empty(a);
		make_empty(b);
		return;
	}
	for (u32 is_signed = 0; is_signed < 2; is_signed++) {
		i = interval_of(a, width, is_signed);
		j = interval_of(b, width, is_signed);
		i.lo = MAX(i.lo, j.lo);
		i.hi = MIN(i.hi, j.hi);
		put_interval(a, width, is_signed, i);
		put_interval(b, width, is_signed, i);
	}
	put_bits(a, width, both);
	put_bits(b, width, both);
}

/* Only a constant at the very edge of an interval says anything. */
static void refine_unequal(u32 width, struct scalar *a, const struct scalar *b)
{
	u64 flip, at;
	struct interval i;

	for (u32 is_signed = 0; is_signed < 2; is_signed++) {
		flip = is_signed ? (width == 64 ? SIGN64 : SIGN32) : 0;
		at = bits_at(b, width).value ^ flip;
		i = interval_of(a, width, is_signed);
		if (i.lo == at && i.hi == at) {
			make_empty(a);
			return;
		}
		i.lo += i.lo == at;
		i.hi -= i.hi == at;
		put_interval(a, width, is_signed, i);
	}
}

static void refine_common_bits(u32 width, bool some, struct scalar *a, const struct scalar *b)
{
	u64 mask = bits_at(b, width).value;
	struct tnum bits = bits_at(a, width);

	if (some) { /* one bit: it is set. Several: any of them may be */
		if (!((bits.value | bits.mask) & mask))
			make_empty(a);
		else if (!(mask & (mask - 1)))
			put_bits(a, width, tnum_or(bits, tnum_const(mask)));
		return;
	}
	if (bits.value & mask) {
		make_empty(a);
		return;
	}
	/* as Linux since 6.17, which gives up the intervals here */
	scalar_forget64(a);
	scalar_forget32(a);
	put_bits(a, width, tnum_and(bits, tnum_const(~mask)));
}

/* a < b or a <= b */
static void refine_order(u32 width, bool strict, bool is_signed, struct scalar *a, struct scalar *b)
{
	struct interval i = interval_of(a, width, is_signed), j = interval_of(b, width, is_signed);
	u64 last = width == 64 ? UINT64_MAX : UINT32_MAX;

	if (strict && (j.hi == 0 || i.lo == last)) { /* nothing is below the least or above the greatest */
		make_empty(a);
		make_empty(b);
		return;
	}
	i.hi = MIN(i.hi, j.hi - strict);
	put_interval(a, width, is_signed, i);
	j = interval_of(b, width, is_signed); /* a register compared with itself: both ends move */
	j.lo = MAX(j.lo, i.lo + strict);
	put_interval(b, width, is_signed, j);
}

void scalar_refine(enum op op, u32 width, bool taken, struct scalar *a, struct scalar *b)
{
	struct relation r = relations[op];
	bool holds = taken != r.negated;
	struct scalar *swap;

	switch (r.kind) {
	case EQUAL:
		if (holds)
			refine_equal(width, a, b);
		else if (const_at(b, width))
			refine_unequal(width, a, b);
		else if (const_at(a, width))
			refine_unequal(width, b, a);
		break;
	case COMMON_BITS:
		if (const_at(b, width))
			refine_common_bits(width, holds, a, b);
		else if (const_at(a, width))
			refine_common_bits(width, holds, b, a);
		break;
	default: /* not a < b is b <= a */
		if (r.swapped == holds) {
			swap = a;
			a = b;
			b = swap;
		}
		refine_order(width, (r.kind == LESS) == holds, r.is_signed, a, b);
	}
	if (a == b)
		scalar_sync_crossed(a);
	scalar_sync(a);
	scalar_sync(b);
}
