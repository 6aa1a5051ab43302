/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intervals under arithmetic, for one width: scalar_alu.c includes this with U and S the width's types, F(field) its fields,
 * W(name) its functions' names and SMIN, SMAX, UMAX its limits. d->bits already holds the result's bits. An interval whose
 * ends wrap is given up.
 */

static inline void W(drop_signed)(struct scalar *d)
{
	d->F(smin) = SMIN;
	d->F(smax) = SMAX;
}

static inline void W(drop_unsigned)(struct scalar *d)
{
	d->F(umin) = 0;
	d->F(umax) = UMAX;
}

static inline void W(add)(struct scalar *d, const struct scalar *s)
{
	bool low, high;

	low = __builtin_add_overflow(d->F(smin), s->F(smin), &d->F(smin));
	high = __builtin_add_overflow(d->F(smax), s->F(smax), &d->F(smax));
	if (low || high)
		W(drop_signed)(d);
	/* both ends wrapped: every sum did, and they are in order again */
	low = __builtin_add_overflow(d->F(umin), s->F(umin), &d->F(umin));
	high = __builtin_add_overflow(d->F(umax), s->F(umax), &d->F(umax));
	if (high && !low)
		W(drop_unsigned)(d);
}

static inline void W(sub)(struct scalar *d, const struct scalar *s)
{
	bool low, high;

	low = __builtin_sub_overflow(d->F(smin), s->F(smax), &d->F(smin));
	high = __builtin_sub_overflow(d->F(smax), s->F(smin), &d->F(smax));
	if (low || high)
		W(drop_signed)(d);
	low = __builtin_sub_overflow(d->F(umin), s->F(umax), &d->F(umin));
	high = __builtin_sub_overflow(d->F(umax), s->F(umin), &d->F(umax));
	if (low && !high)
		W(drop_unsigned)(d);
}

static inline void W(mul)(struct scalar *d, const struct scalar *s)
{
	bool low, high, wrapped;
	S ends[4];

	low = __builtin_mul_overflow(d->F(umin), s->F(umin), &d->F(umin));
	high = __builtin_mul_overflow(d->F(umax), s->F(umax), &d->F(umax));
	if (low || high)
		W(drop_unsigned)(d);
	wrapped = __builtin_mul_overflow(d->F(smin), s->F(smin), &ends[0]);
	wrapped |= __builtin_mul_overflow(d->F(smin), s->F(smax), &ends[1]);
	wrapped |= __builtin_mul_overflow(d->F(smax), s->F(smin), &ends[2]);
	wrapped |= __builtin_mul_overflow(d->F(smax), s->F(smax), &ends[3]);
	if (wrapped) {
		W(drop_signed)(d);
		return;
	}
	d->F(smin) = MIN(MIN(ends[0], ends[1]), MIN(ends[2], ends[3]));
	d->F(smax) = MAX(MAX(ends[0], ends[1]), MAX(ends[2], ends[3]));
}

/* The signed interval is the unsigned one where that does not change sign. */
static inline void W(signed_as_unsigned)(struct scalar *d)
{
	if ((S)d->F(umin) <= (S)d->F(umax)) {
		d->F(smin) = (S)d->F(umin);
		d->F(smax) = (S)d->F(umax);
	} else {
		W(drop_signed)(d);
	}
}

static inline void W(and)(struct scalar *d, const struct scalar *s)
{
	d->F(umin) = (U)d->bits.value;
	d->F(umax) = MIN(d->F(umax), s->F(umax));
	W(signed_as_unsigned)(d);
}

static inline void W(or)(struct scalar *d, const struct scalar *s)
{
	d->F(umin) = MAX(d->F(umin), s->F(umin));
	d->F(umax) = (U)(d->bits.value | d->bits.mask);
	W(signed_as_unsigned)(d);
}

static inline void W(xor)(struct scalar *d, const struct scalar *s)
{
	(void)s;
	d->F(umin) = (U)d->bits.value;
	d->F(umax) = (U)(d->bits.value | d->bits.mask);
	W(signed_as_unsigned)(d);
}

/* Left by a constant: unsigned bounds move unless a set bit may leave. */
static inline void W(lsh)(struct scalar *d, u32 count, u32 width)
{
	W(drop_signed)(d);
	if (count >= width || d->F(umax) > (U)1 << (width - 1 - count)) {
		W(drop_unsigned)(d);
	} else {
		d->F(umin) <<= count;
		d->F(umax) <<= count;
	}
}

static inline void W(rsh)(struct scalar *d, u32 count)
{
	d->F(umin) >>= count;
	d->F(umax) >>= count;
	W(drop_signed)(d);
}

static inline void W(arsh)(struct scalar *d, u32 count)
{
	d->F(smin) >>= count;
	d->F(smax) >>= count;
	W(drop_unsigned)(d);
}
