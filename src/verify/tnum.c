/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tristate numbers: each bit is 0, 1 or unknown. A carry is known where the sums of the smallest and of the largest
 * members agree on it; everything else is bitwise. Source: Vishwanathan et al., "Sound, precise, and fast abstract
 * interpretation with tristate numbers" (CGO 2022); products as Linux 6.18 has them (case split on each unknown bit).
 */
#include "verify/scalar.h"

/* What a formula calls known may overlap its unknown bits: unknown wins. */
static inline struct tnum make(u64 value, u64 mask)
{
	return (struct tnum){value & ~mask, mask};
}

struct tnum tnum_const(u64 value)
{
	return (struct tnum){value, 0};
}

struct tnum tnum_range(u64 min, u64 max)
{
	u64 differ = min ^ max;

	/* all bits from the highest that differs downwards are unknown */
	return differ ? make(min, UINT64_MAX >> __builtin_clzll(differ)) : tnum_const(min);
}

struct tnum tnum_lsh(struct tnum a, u8 shift)
{
	return (struct tnum){a.value << shift, a.mask << shift};
}

struct tnum tnum_rsh(struct tnum a, u8 shift)
{
	return (struct tnum){a.value >> shift, a.mask >> shift};
}

struct tnum tnum_arsh(struct tnum a, u8 shift, u8 width)
{
	if (width == 32)
		return (struct tnum){(u32)((s32)a.value >> shift), (u32)((s32)a.mask >> shift)};
	return (struct tnum){(u64)((s64)a.value >> shift), (u64)((s64)a.mask >> shift)};
}

struct tnum tnum_add(struct tnum a, struct tnum b)
{
	u64 least = a.value + b.value, most = least + a.mask + b.mask;

	return make(least, (least ^ most) | a.mask | b.mask);
}

struct tnum tnum_sub(struct tnum a, struct tnum b)
{
	u64 known = a.value - b.value;

	return make(known, ((known + a.mask) ^ (known - b.mask)) | a.mask | b.mask);
}

struct tnum tnum_neg(struct tnum a)
{
	return tnum_sub(tnum_const(0), a);
}

struct tnum tnum_and(struct tnum a, struct tnum b)
{
	u64 ones = a.value & b.value;

	return (struct tnum){ones, (a.value | a.mask) & (b.value | b.mask) & ~ones};
}

struct tnum tnum_or(struct tnum a, struct tnum b)
{
	u64 ones = a.value | b.value;

	return (struct tnum){ones, (a.mask | b.mask) & ~ones};
}

struct tnum tnum_xor(struct tnum a, struct tnum b)
{
	return make(a.value ^ b.value, a.mask | b.mask);
}

/* Long multiplication: a known bit adds the shifted multiplicand or does not; an unknown one does either. */
struct tnum tnum_mul(struct tnum a, struct tnum b)
{
	struct tnum sum = {0, 0}, more;

	if (tnum_is_const(a) && tnum_is_const(b))
		return tnum_const(a.value * b.value);
	for (u64 bits = a.value | a.mask; bits; bits &= bits - 1) {
		u8 place = (u8)__builtin_ctzll(bits);

		more = tnum_add(sum, tnum_lsh(b, place));
		sum = a.value >> place & 1 ? more : tnum_union(sum, more);
	}
	return sum;
}

struct tnum tnum_intersect(struct tnum a, struct tnum b)
{
	return make(a.value | b.value, a.mask & b.mask);
}

struct tnum tnum_union(struct tnum a, struct tnum b)
{
	return make(a.value, a.mask | b.mask | (a.value ^ b.value));
}

struct tnum tnum_cast(struct tnum a, u8 bytes)
{
	u64 kept = bytes < 8 ? (1ull << bytes * 8) - 1 : UINT64_MAX;

	return (struct tnum){a.value & kept, a.mask & kept};
}

bool tnum_in(struct tnum outer, struct tnum inner)
{
	return !(inner.mask & ~outer.mask) && (inner.value & ~outer.mask) == outer.value;
}

bool tnum_aligned(struct tnum a, u64 size)
{
	return !size || !((a.value | a.mask) & (size - 1));
}

bool tnum_overlap(struct tnum a, struct tnum b)
{
	return !((a.value ^ b.value) & ~a.mask & ~b.mask);
}
