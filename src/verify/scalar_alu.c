/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arithmetic on scalars: one transfer per ALU row of isa/ops.def. Bits first: where they come out constant, that is all
 * there is to say; otherwise the intervals of each width on its own, then scalar_sync().
 *
 * As precise as Linux 6.18 and no more, since what it refuses is to be refused here: quotients, remainders, byte swaps
 * and shifts by an unknown or too large count give an unknown 64-bit number, at 32 bits as well.
 */
#include "verify/scalar.h"

#define U        u64
#define S        s64
#define F(field) field
#define W(name)  name##64
#define SMIN     INT64_MIN
#define SMAX     INT64_MAX
#define UMAX     UINT64_MAX
#include "verify/scalar_alu_width.h"
#undef U
#undef S
#undef F
#undef W
#undef SMIN
#undef SMAX
#undef UMAX

#define U        u32
#define S        s32
#define F(field) field##32
#define W(name)  name##32
#define SMIN     INT32_MIN
#define SMAX     INT32_MAX
#define UMAX     UINT32_MAX
#include "verify/scalar_alu_width.h"

typedef void transfer_fn(u32 width, struct scalar *d, const struct scalar *s);

/* The bits of the result; true when that makes it a constant. */
static inline bool settle_bits(u32 width, struct scalar *d, struct tnum bits)
{
	if (width == 32)
		bits = tnum_cast(bits, 4);
	d->bits = bits;
	if (!tnum_is_const(bits))
		return false;
	scalar_set_const(d, bits.value);
	return true;
}

static inline void settle(u32 width, struct scalar *d)
{
	if (width == 32)
		scalar_from32(d);
	else
		scalar_sync(d);
}

#define BOTH_WIDTHS(NAME, fn, bits_fn)                                                                           \
	static void alu_##NAME(u32 width, struct scalar *d, const struct scalar *s)                              \
	{                                                                                                        \
		if (settle_bits(width, d, bits_fn(d->bits, s->bits)))                                            \
			return;                                                                                  \
		fn##32(d, s);                                                                                    \
		if (width == 64)                                                                                 \
			fn##64(d, s);                                                                            \
		settle(width, d);                                                                                \
	}
BOTH_WIDTHS(ADD, add, tnum_add)
BOTH_WIDTHS(SUB, sub, tnum_sub)
BOTH_WIDTHS(AND, and, tnum_and)
BOTH_WIDTHS(OR, or, tnum_or)
BOTH_WIDTHS(XOR, xor, tnum_xor)

static void alu_MUL(u32 width, struct scalar *d, const struct scalar *s)
{
	struct tnum a = d->bits, b = s->bits;

	if (width == 32) { /* fewer bits to go through */
		a = tnum_cast(a, 4);
		b = tnum_cast(b, 4);
	}
	if (settle_bits(width, d, tnum_mul(a, b)))
		return;
	mul32(d, s);
	if (width == 64)
		mul64(d, s);
	settle(width, d);
}

static void alu_NEG(u32 width, struct scalar *d, const struct scalar *s)
{
	struct scalar was = *d;

	(void)s;
	scalar_set_const(d, 0);
	alu_SUB(width, d, &was);
}

/* Is the count of a shift a constant within the width? */
static inline bool count_known(u32 width, const struct scalar *s)
{
	return (width == 32 ? scalar_is_const32(s) : scalar_is_const(s)) && s->umax < width;
}

static void alu_LSH(u32 width, struct scalar *d, const struct scalar *s)
{
	u32 count = (u32)s->bits.value;
	s32 smin32 = d->smin32, smax32 = d->smax32;

	if (!count_known(width, s)) {
		scalar_set_unknown(d);
		return;
	}
	if (settle_bits(width, d, tnum_lsh(d->bits, (u8)count)))
		return;
	lsh32(d, count, 32);
	if (width == 64) {
		lsh64(d, count, 64);
		if (count == 32) { /* half of a sign extension by two shifts */
			d->smin = (s64)((u64)smin32 << 32);
			d->smax = (s64)((u64)smax32 << 32);
		}
	}
	settle(width, d);
}

static void alu_RSH(u32 width, struct scalar *d, const struct scalar *s)
{
	u32 count = (u32)s->bits.value;

	if (!count_known(width, s)) {
		scalar_set_unknown(d);
		return;
	}
	if (settle_bits(width, d, tnum_rsh(width == 32 ? tnum_cast(d->bits, 4) : d->bits, (u8)count)))
		return;
	if (width == 32) {
		rsh32(d, count);
	} else {
		rsh64(d, count);
		scalar_forget32(d); /* bits of the upper half have come down */
	}
	settle(width, d);
}

static void alu_ARSH(u32 width, struct scalar *d, const struct scalar *s)
{
	u32 count = (u32)s->bits.value;

	if (!count_known(width, s)) {
		scalar_set_unknown(d);
		return;
	}
	if (settle_bits(width, d, tnum_arsh(d->bits, (u8)count, (u8)width)))
		return;
	if (width == 32) {
		arsh32(d, count);
	} else {
		arsh64(d, count);
		scalar_forget32(d);
	}
	settle(width, d);
}

static void alu_DIV(u32 width, struct scalar *d, const struct scalar *s)
{
	(void)width;
	(void)s;
	scalar_set_unknown(d);
}
#define alu_SDIV alu_DIV
#define alu_MOD  alu_DIV
#define alu_SMOD alu_DIV

static void alu_MOV(u32 width, struct scalar *d, const struct scalar *s)
{
	*d = *s;
	if (width == 32)
		scalar_from32(d);
}

static inline void move_extended(u32 width, struct scalar *d, const struct scalar *s, u32 bytes)
{
	*d = *s;
	if (width == 32)
		scalar_sext32(d, bytes);
	else
		scalar_sext(d, bytes);
}

static void alu_MOVS8(u32 width, struct scalar *d, const struct scalar *s)
{
	move_extended(width, d, s, 1);
}

static void alu_MOVS16(u32 width, struct scalar *d, const struct scalar *s)
{
	move_extended(width, d, s, 2);
}

static void alu_MOVS32(u32 width, struct scalar *d, const struct scalar *s)
{
	move_extended(width, d, s, 4);
}

static transfer_fn *const transfers[OP_COUNT] = {
#define ALU(name, code, off, text, meaning, flags) [OP_##name] = alu_##name,
#include "isa/ops.def"
};

void scalar_alu(enum op op, u32 width, struct scalar *dst, const struct scalar *src)
{
	struct scalar copy;

	if (src == dst) {
		copy = *src;
		src = &copy;
	}
	transfers[op](width, dst, src);
}

/* Known bits move to where the operation puts them; what is cut off is 0. */
void scalar_byteswap(enum op op, u32 width, struct scalar *dst)
{
	scalar_from_bits(dst, (struct tnum){op_byteswap(op, width, dst->bits.value), op_byteswap(op, width, dst->bits.mask)});
}
