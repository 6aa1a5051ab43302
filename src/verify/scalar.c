/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scalars as sets: constructors, membership, mutual refinement, casts, joins, text.
 *
 * Refinement (scalar_sync) is a fixed number of rounds of the same deductions as Linux 6.18 makes, in its order and no
 * sharper, because what is deduced decides verdicts. A set that was found empty stays empty.
 */
#include "verify/scalar.h"

#define RAISE(lo, x)                                                                                             \
	do {                                                                                                     \
		if ((x) > (lo))                                                                                  \
			(lo) = (x);                                                                              \
	} while (0)
#define LOWER(hi, x)                                                                                             \
	do {                                                                                                     \
		if ((x) < (hi))                                                                                  \
			(hi) = (x);                                                                              \
	} while (0)

void scalar_set_const(struct scalar *s, u64 value)
{
	*s = (struct scalar){{value, 0},  value,      value,      (s64)value, (s64)value,
			     (u32)value, (u32)value, (s32)value, (s32)value};
}

void scalar_forget32(struct scalar *s)
{
	s->umin32 = 0;
	s->umax32 = UINT32_MAX;
	s->smin32 = INT32_MIN;
	s->smax32 = INT32_MAX;
}

void scalar_forget64(struct scalar *s)
{
	s->umin = 0;
	s->umax = UINT64_MAX;
	s->smin = INT64_MIN;
	s->smax = INT64_MAX;
}

void scalar_set_unknown(struct scalar *s)
{
	s->bits = TNUM_UNKNOWN;
	scalar_forget64(s);
	scalar_forget32(s);
}

static void set_empty(struct scalar *s)
{
	scalar_set_unknown(s);
	s->umin = UINT64_MAX;
	s->umax = 0;
}

static inline bool unlimited(const struct scalar *s)
{
	return !(s->umin | ~s->umax | (u64)(s->smin ^ INT64_MIN) | (u64)(s->smax ^ INT64_MAX) | s->umin32 | ~s->umax32 |
		 (u32)(s->smin32 ^ INT32_MIN) | (u32)(s->smax32 ^ INT32_MAX));
}

bool scalar_is_unknown(const struct scalar *s)
{
	return s->bits.mask == UINT64_MAX && unlimited(s);
}

static inline bool inverted(const struct scalar *s)
{
	return (s->umin > s->umax) | (s->smin > s->smax) | (s->umin32 > s->umax32) | (s->smin32 > s->smax32);
}

static inline bool ranges_have(const struct scalar *s, u64 v)
{
	return (v >= s->umin) & (v <= s->umax) & ((s64)v >= s->smin) & ((s64)v <= s->smax) & ((u32)v >= s->umin32) &
	       ((u32)v <= s->umax32) & ((s32)v >= s->smin32) & ((s32)v <= s->smax32);
}

static inline bool ranges_have32(const struct scalar *s, u32 v)
{
	return v >= s->umin32 && v <= s->umax32 && (s32)v >= s->smin32 && (s32)v <= s->smax32;
}

bool scalar_is_empty(const struct scalar *s)
{
	return inverted(s) || (scalar_is_const(s) && !ranges_have(s, s->bits.value)) ||
	       (scalar_is_const32(s) && !ranges_have32(s, (u32)s->bits.value));
}

bool scalar_has(const struct scalar *s, u64 value)
{
	return (value & ~s->bits.mask) == s->bits.value && ranges_have(s, value);
}

bool scalar_within(const struct scalar *outer, const struct scalar *inner)
{
	if (outer->umin <= inner->umin && outer->umax >= inner->umax && outer->smin <= inner->smin && outer->smax >= inner->smax &&
	    outer->umin32 <= inner->umin32 && outer->umax32 >= inner->umax32 && outer->smin32 <= inner->smin32 &&
	    outer->smax32 >= inner->smax32 && tnum_in(outer->bits, inner->bits))
		return true;
	return scalar_is_empty(inner);
}

/* ---- refinement ---- */

/* The least number that fits the bits and is at least x, which is at most their greatest. */
static inline u64 least_from(struct tnum t, u64 x)
{
	u64 differ = (x ^ t.value) & ~t.mask, below;

	if (!differ)
		return x;
	/* at the highest known bit that x has wrong, and below it, x does not count */
	below = UINT64_MAX >> __builtin_clzll(differ);
	if (t.value & (below ^ below >> 1)) /* it has to be 1: greater than x already */
		return (x & ~below & t.mask) | t.value;
	return ((((x | ~t.mask | below) + 1) & t.mask)) | t.value; /* it has to be 0: the next choice of the unknown bits above */
}

/* Does only one number fit both the bits and [umin, umax]? Of bounds that contradict the bits or each other, Linux takes the nearest number that
 * fits the bits: on a path that is never taken. */
static inline bool only_member(const struct scalar *s, u64 *member)
{
	struct tnum t = s->bits;
	u64 most = t.value | t.mask, first;

	*member = most;
	if (s->umin >= most)
		return s->umin > most || s->umin > s->umax;
	first = least_from(t, s->umin);
	*member = first;
	if (first == most)
		return true;
	return (first == s->umin || first <= s->umax) && (t.value | (((first | ~t.mask) + 1) & t.mask)) > s->umax;
}

static inline void ranges_learn_bits(struct scalar *s)
{
	u64 least = s->bits.value, most = least | s->bits.mask, member;
	u32 sign32 = (u32)s->bits.mask & 1u << 31;
	u64 sign = s->bits.mask & 1ull << 63;

	RAISE(s->umin, least);
	LOWER(s->umax, most);
	RAISE(s->smin, (s64)(least | sign)); /* an unknown sign: smallest where it is set, largest where it is not */
	LOWER(s->smax, (s64)(most & ~sign));
	RAISE(s->umin32, (u32)least);
	LOWER(s->umax32, (u32)most);
	RAISE(s->smin32, (s32)((u32)least | sign32));
	LOWER(s->smax32, (s32)((u32)most & ~sign32));
	if (only_member(s, &member))
		scalar_set_const(s, member);
}

static inline void low_learns_signed(struct scalar *s, s32 lo, s32 hi)
{
	RAISE(s->smin32, lo);
	LOWER(s->smax32, hi);
}

/* [lo, hi] of 64 bits, in either order of numbers: what does it say of the low half? */
static inline void low_learns_interval(struct scalar *s, bool is_signed, u64 lo, u64 hi)
{
	u32 steps = (u32)(hi >> 32) - (u32)(lo >> 32);

	if (steps == 0) { /* the upper half is the same throughout */
		if ((u32)lo <= (u32)hi || !is_signed) { /* not where bounds have crossed: as unsigned numbers Linux takes them then, too */
			RAISE(s->umin32, (u32)lo);
			LOWER(s->umax32, (u32)hi);
		}
		if ((s32)lo <= (s32)hi)
			low_learns_signed(s, (s32)lo, (s32)hi);
	} else if (steps == 1 && (s32)lo < 0 && (s32)hi >= 0) { /* from ...80000000 and more to the next ...7fffffff at most */
		low_learns_signed(s, (s32)lo, (s32)hi);
	}
}

static inline void low_learns(struct scalar *s)
{
	low_learns_interval(s, false, s->umin, s->umax);
	low_learns_interval(s, true, (u64)s->smin, (u64)s->smax);
	if ((s32)s->umin32 <= (s32)s->umax32) { /* no change of sign within: one interval in both orders */
		RAISE(s->smin32, (s32)s->umin32);
		LOWER(s->smax32, (s32)s->umax32);
	}
	if ((u32)s->smin32 <= (u32)s->smax32) {
		RAISE(s->umin32, (u32)s->smin32);
		LOWER(s->umax32, (u32)s->smax32);
	} else if (s->umax32 < (u32)s->smin32) { /* as unsigned numbers it is [0, smax] and [smin, max]: only the first is met */
		s->smin32 = (s32)s->umin32;
		LOWER(s->umax32, (u32)s->smax32);
	} else if (s->umin32 > (u32)s->smax32) { /* only the second */
		s->smax32 = (s32)s->umax32;
		RAISE(s->umin32, (u32)s->smin32);
	}
}

static inline void whole_learns(struct scalar *s)
{
	if ((s64)s->umin <= (s64)s->umax) {
		RAISE(s->smin, (s64)s->umin);
		LOWER(s->smax, (s64)s->umax);
	}
	if ((u64)s->smin <= (u64)s->smax) {
		RAISE(s->umin, (u64)s->smin);
		LOWER(s->umax, (u64)s->smax);
	} else if (s->umax < (u64)s->smin) {
		s->smin = (s64)s->umin;
		LOWER(s->umax, (u64)s->smax);
	} else if (s->umin > (u64)s->smax) {
		s->smax = (s64)s->umax;
		RAISE(s->umin, (u64)s->smin);
	}
}

static inline void whole_learns_low_interval(struct scalar *s, u32 lo, u32 hi)
{
	const u64 upper = ~(u64)UINT32_MAX;

	/* a member with the same upper half as a bound has a lower half within [lo, hi]; the others lie further in */
	RAISE(s->umin, (s->umin & upper) | lo);
	LOWER(s->umax, (s->umax & upper) | hi);
	RAISE(s->smin, (s64)(((u64)s->smin & upper) | lo));
	LOWER(s->smax, (s64)(((u64)s->smax & upper) | hi));
}

static inline void whole_learns_low(struct scalar *s)
{
	whole_learns_low_interval(s, s->umin32, s->umax32);
	if ((u32)s->smin32 <= (u32)s->smax32)
		whole_learns_low_interval(s, (u32)s->smin32, (u32)s->smax32);
	/* a sign-extended 32-bit number that is not negative is its low half */
	if (s->smin32 >= 0 && s->smin >= INT32_MIN && s->smax <= INT32_MAX) {
		s->smin = s->smin32;
		s->smax = s->smax32;
		s->umin = (u64)s->smin32;
		s->umax = (u64)s->smax32;
		s->bits = tnum_intersect(s->bits, tnum_range(s->umin, s->umax));
	}
}

static inline void bits_learn_ranges(struct scalar *s)
{
	struct tnum whole = tnum_intersect(s->bits, tnum_range(s->umin, s->umax));
	struct tnum low = tnum_intersect(tnum_cast(whole, 4), tnum_range(s->umin32, s->umax32));

	s->bits.value = (whole.value & ~(u64)UINT32_MAX) | low.value;
	s->bits.mask = (whole.mask & ~(u64)UINT32_MAX) | low.mask;
}

/* A number that is small and not negative is the same in all four orders: one interval then says it all, at once. The
 * signed interval of 64 bits must add nothing: where it does, the rounds below lose some of it, as they do in Linux. */
static inline bool sync_small(struct scalar *s)
{
	u64 least = s->bits.value, most = least | s->bits.mask, lo = MAX(s->umin, least), hi = MIN(s->umax, most), only;
	struct tnum bits;

	if (hi > INT32_MAX || s->smin > (s64)lo || s->smax < (s64)hi || s->smax32 < 0)
		return false;
	RAISE(lo, s->umin32);
	LOWER(hi, s->umax32);
	if (s->smin32 > (s64)lo)
		lo = (u64)s->smin32;
	if (s->smax32 < (s64)hi)
		hi = (u64)s->smax32;
	LOWER(hi, most & INT32_MAX); /* where nothing is known of the upper half's bits */
	if (lo > hi)
		return false;
	bits = tnum_intersect(s->bits, tnum_range(lo, hi));
	RAISE(lo, bits.value);
	LOWER(hi, bits.value | bits.mask);
	if (lo >= hi)
		return false;
	s->bits = bits;
	s->umin = lo;
	s->umax = hi;
	if (only_member(s, &only)) {
		scalar_set_const(s, only);
		return true;
	}
	s->smin = (s64)lo;
	s->smax = (s64)hi;
	s->umin32 = (u32)lo;
	s->umax32 = (u32)hi;
	s->smin32 = (s32)lo;
	s->smax32 = (s32)hi;
	return true;
}

static inline bool same_ranges(const struct scalar *a, const struct scalar *b)
{
	return !((a->umin ^ b->umin) | (a->umax ^ b->umax) | (u64)(a->smin ^ b->smin) | (u64)(a->smax ^ b->smax) |
		 (a->umin32 ^ b->umin32) | (a->umax32 ^ b->umax32) | (u32)(a->smin32 ^ b->smin32) | (u32)(a->smax32 ^ b->smax32));
}

enum { ROUNDS = 3 };

static void settle(struct scalar *s)
{
	struct scalar now = *s, before;

	if (now.bits.mask != UINT64_MAX)
		ranges_learn_bits(&now);
	for (u32 round = 0; round < ROUNDS; round++) {
		before = now;
		low_learns(&now);
		whole_learns(&now);
		whole_learns_low(&now);
		if (same_ranges(&now, &before))
			break;
	}
	bits_learn_ranges(&now);
	ranges_learn_bits(&now);
	*s = now;
}

void scalar_sync(struct scalar *s)
{
	if (scalar_is_const(s)) {
		if (ranges_have(s, s->bits.value))
			scalar_set_const(s, s->bits.value);
		else
			set_empty(s);
		return;
	}
	if (!inverted(s) && !scalar_is_unknown(s) && !sync_small(s))
		settle(s);
}

void scalar_sync_crossed(struct scalar *s)
{
	if (inverted(s) && !scalar_is_const(s))
		settle(s);
}

void scalar_from_bits(struct scalar *s, struct tnum bits)
{
	scalar_forget64(s);
	scalar_forget32(s);
	s->bits = bits;
	scalar_sync(s);
}

/* ---- casts ---- */

/* Is it a 32-bit number of which nothing else is known? */
static inline bool low_unknown(const struct scalar *s)
{
	return s->bits.mask == UINT32_MAX && s->umin32 == 0 && s->umax32 == UINT32_MAX && s->smin32 == INT32_MIN && s->smax32 == INT32_MAX;
}

void scalar_from32(struct scalar *s)
{
	s->bits = tnum_cast(s->bits, 4);
	s->umin = s->umin32;
	s->umax = s->umax32;
	if (s->smin32 >= 0) {
		s->smin = s->smin32;
		s->smax = s->smax32;
	} else {
		s->smin = 0;
		s->smax = UINT32_MAX;
	}
	if (!low_unknown(s)) /* of which the rest says all */
		scalar_sync(s);
}

void scalar_zext(struct scalar *s, u32 bytes)
{
	u64 kept;

	if (bytes >= 8)
		return;
	kept = (1ull << bytes * 8) - 1;
	if (scalar_is_const(s)) {
		scalar_set_const(s, s->bits.value & kept);
		return;
	}
	s->bits = tnum_cast(s->bits, (u8)bytes);
	if ((s->umin & ~kept) == (s->umax & ~kept)) {
		s->umin &= kept;
		s->umax &= kept;
	} else {
		s->umin = 0;
		s->umax = kept;
	}
	s->smin = (s64)s->umin;
	s->smax = (s64)s->umax;
	if (bytes < 4)
		scalar_forget32(s);
	scalar_sync(s);
}

static s64 extend(u64 v, u32 bytes)
{
	return bytes == 1 ? (s8)v : bytes == 2 ? (s16)v : bytes == 4 ? (s32)v : (s64)v;
}

/* The signed interval of [lo, hi] after extension from that many bytes; false: nothing but the type's limits. */
static bool extend_interval(s64 *lo, s64 *hi, u32 bytes)
{
	u32 shift = bytes * 8;
	s64 a = extend((u64)*lo, bytes), b = extend((u64)*hi, bytes);
	bool known = *lo >> shift == *hi >> shift && (a < 0) == (b < 0);

	if (known) {
		*lo = MIN(a, b);
		*hi = MAX(a, b);
	} else {
		*hi = (s64)((1ull << (shift - 1)) - 1);
		*lo = -*hi - 1;
	}
	return known;
}

void scalar_sext(struct scalar *s, u32 bytes)
{
	if (bytes >= 8)
		return;
	if (scalar_is_const(s)) {
		scalar_set_const(s, (u64)extend(s->bits.value, bytes));
		return;
	}
	if (extend_interval(&s->smin, &s->smax, bytes)) {
		s->umin = (u64)s->smin;
		s->umax = (u64)s->smax;
		s->bits = tnum_range(s->umin, s->umax);
		s->umin32 = (u32)s->smin;
		s->umax32 = (u32)s->smax;
	} else {
		s->umin = 0;
		s->umax = UINT64_MAX;
		s->bits = TNUM_UNKNOWN;
		s->umin32 = 0;
		s->umax32 = UINT32_MAX;
	}
	s->smin32 = (s32)s->smin;
	s->smax32 = (s32)s->smax;
}

void scalar_sext32(struct scalar *s, u32 bytes)
{
	s64 lo = s->smin32, hi = s->smax32;

	if (bytes >= 4) {
		scalar_from32(s);
		return;
	}
	if (scalar_is_const(s)) {
		scalar_set_const(s, (u32)extend(s->bits.value, bytes));
		return;
	}
	if (extend_interval(&lo, &hi, bytes)) {
		s->umin32 = (u32)lo;
		s->umax32 = (u32)hi;
		s->bits = tnum_cast(tnum_range((u64)lo, (u64)hi), 4);
	} else {
		s->umin32 = 0;
		s->umax32 = UINT32_MAX;
		s->bits = (struct tnum){0, UINT32_MAX};
	}
	s->smin32 = (s32)lo;
	s->smax32 = (s32)hi;
	scalar_from32(s);
}

/* ---- joins ---- */

static void join(struct scalar *a, const struct scalar *b)
{
	a->bits = tnum_union(a->bits, b->bits);
	LOWER(a->umin, b->umin);
	RAISE(a->umax, b->umax);
	LOWER(a->smin, b->smin);
	RAISE(a->smax, b->smax);
	LOWER(a->umin32, b->umin32);
	RAISE(a->umax32, b->umax32);
	LOWER(a->smin32, b->smin32);
	RAISE(a->smax32, b->smax32);
}

/* Also where one is empty: the other is then the answer. */
static bool join_is_trivial(struct scalar *into, const struct scalar *s)
{
	if (scalar_is_empty(s))
		return true;
	if (!scalar_is_empty(into))
		return false;
	*into = *s;
	return true;
}

void scalar_join(struct scalar *into, const struct scalar *s)
{
	if (!join_is_trivial(into, s))
		join(into, s);
}

/*
 * Where growing upper bounds stop: sizes that programs test against, then the limits of the types. Lower bounds stop at the
 * complements (-16, -256, ...) and at 0. A bound passes each stop at most once, so that a chain of widenings ends after
 * at most as many steps per bound as there are stops, and as many again for the bits.
 */
static const u64 stops[] = {0, 0xf, 0x3f, 0xff, 0x1ff, 0xfff, 0xffff, 0xffffff, INT32_MAX, UINT32_MAX, 0xffffffffffff, INT64_MAX};

static u64 stop_above(u64 x, u64 limit)
{
	for (u32 i = 0; i < ARRAY_SIZE(stops); i++)
		if (stops[i] >= x)
			return MIN(stops[i], limit);
	return limit;
}

static s64 stop_above_signed(s64 x, s64 limit)
{
	u64 stop;

	if (x >= 0)
		return (s64)stop_above((u64)x, (u64)limit);
	/* below zero: the greatest -2^n or -1 that is not under x */
	stop = 0;
	for (u32 i = 0; i < ARRAY_SIZE(stops) && stops[i] <= (u64)~x; i++)
		stop = stops[i];
	return (s64)~stop;
}

static u64 stop_below(u64 x)
{
	u64 stop = 0;

	for (u32 i = 0; i < ARRAY_SIZE(stops) && stops[i] <= x; i++)
		stop = stops[i];
	return stop;
}

/* Unknown bits spread up to the next byte count, and down to a power of two. */
static u64 spread(u64 mask)
{
	u32 high = 63 - (u32)__builtin_clzll(mask), low = (u32)__builtin_ctzll(mask), top = 8;

	while (top <= high)
		top *= 2;
	if (low > 3)
		low = 1u << (31 - __builtin_clz(low));
	return (UINT64_MAX >> (64 - top)) & ~((1ull << low) - 1);
}

void scalar_widen(struct scalar *into, const struct scalar *s)
{
	struct scalar was = *into;

	if (join_is_trivial(into, s))
		return;
	join(into, s);
	if (into->umin != was.umin)
		into->umin = stop_below(into->umin);
	if (into->umax != was.umax)
		into->umax = stop_above(into->umax, UINT64_MAX);
	/* what bounds a signed number from below bounds its complement from above */
	if (into->smin != was.smin)
		into->smin = ~stop_above_signed(~into->smin, INT64_MAX);
	if (into->smax != was.smax)
		into->smax = stop_above_signed(into->smax, INT64_MAX);
	if (into->umin32 != was.umin32)
		into->umin32 = (u32)stop_below(into->umin32);
	if (into->umax32 != was.umax32)
		into->umax32 = (u32)stop_above(into->umax32, UINT32_MAX);
	if (into->smin32 != was.smin32)
		into->smin32 = (s32)~stop_above_signed(~(s64)into->smin32, INT32_MAX);
	if (into->smax32 != was.smax32)
		into->smax32 = (s32)stop_above_signed(into->smax32, INT32_MAX);
	if (into->bits.mask != was.bits.mask) {
		into->bits.mask |= spread(into->bits.mask);
		into->bits.value &= ~into->bits.mask;
	}
}

bool scalar_meet(struct scalar *into, const struct scalar *s)
{
	if (!tnum_overlap(into->bits, s->bits)) {
		set_empty(into);
		return false;
	}
	into->bits = tnum_intersect(into->bits, s->bits);
	RAISE(into->umin, s->umin);
	LOWER(into->umax, s->umax);
	RAISE(into->smin, s->smin);
	LOWER(into->smax, s->smax);
	RAISE(into->umin32, s->umin32);
	LOWER(into->umax32, s->umax32);
	RAISE(into->smin32, s->smin32);
	LOWER(into->smax32, s->smax32);
	scalar_sync(into);
	return !scalar_is_empty(into);
}
