/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random scalars with members. A scalar is built around one member, from a random choice of what is known of it, and then
 * synced; further members are numbers near its bounds and random ones that fit. Numbers favour the edges of the types.
 */
#ifndef TESTS_VERIFY_RANDOM_H
#define TESTS_VERIFY_RANDOM_H

#include "verify/scalar.h"
#include "test.h"

/* ---- made on purpose ---- */

static inline struct scalar range(u64 lo, u64 hi)
{
	struct scalar s;

	scalar_set_unknown(&s);
	s.umin = lo;
	s.umax = hi;
	scalar_sync(&s);
	return s;
}

static inline struct scalar constant(u64 v)
{
	struct scalar s;

	scalar_set_const(&s, v);
	return s;
}

/* ---- random ---- */

struct rng {
	u64 state;
};

static inline u64 rnd(struct rng *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return r->state;
}

static inline u64 rnd_number(struct rng *r)
{
	u64 x = rnd(r);

	switch (rnd(r) % 8) {
	case 0: return x;
	case 1: return x >> (rnd(r) % 64);
	case 2: return ~(x >> (rnd(r) % 64));
	case 3: return (1ull << (rnd(r) % 64)) + rnd(r) % 5 - 2;
	case 4: return (u64)(s64)(s8)x;
	case 5: return (u32)x;
	case 6: return (u64)(s64)(s32)x;
	default: return x % 16;
	}
}

#define AROUND(type, lo, hi, member)                                                                             \
	do {                                                                                                     \
		type one_ = (type)rnd_number(r), two_ = (type)rnd_number(r), at_ = (type)(member);               \
		if (rnd(r) % 4 == 0) /* close by */                                                              \
			one_ = (type)((u64)at_ - rnd(r) % 9), two_ = (type)((u64)at_ + rnd(r) % 9);              \
		(lo) = MIN(MIN(one_, two_), at_);                                                                \
		(hi) = MAX(MAX(one_, two_), at_);                                                                \
	} while (0)

/* Not synced; holds member. */
static inline struct scalar rnd_around(struct rng *r, u64 member)
{
	struct scalar s;
	u64 choice = rnd(r);

	scalar_set_unknown(&s);
	if (choice % 8 == 0) {
		scalar_set_const(&s, member);
		return s;
	}
	if (choice & 8) {
		s.bits.mask = rnd_number(r);
		s.bits.value = member & ~s.bits.mask;
	}
	if (choice & 16)
		AROUND(u64, s.umin, s.umax, member);
	if (choice & 32)
		AROUND(s64, s.smin, s.smax, member);
	if (choice & 64)
		AROUND(u32, s.umin32, s.umax32, member);
	if (choice & 128)
		AROUND(s32, s.smin32, s.smax32, member);
	return s;
}

static inline struct scalar rnd_scalar(struct rng *r)
{
	struct scalar s = rnd_around(r, rnd_number(r));

	scalar_sync(&s);
	return s;
}

enum { MEMBERS = 6 };

static inline u32 rnd_members(struct rng *r, const struct scalar *s, u64 out[MEMBERS])
{
	u64 wild = rnd_number(r), tries[] = {s->umin,
					     s->umax,
					     (u64)s->smin,
					     (u64)s->smax,
					     s->bits.value,
					     s->bits.value | s->bits.mask,
					     s->bits.value | (wild & s->bits.mask),
					     s->bits.value | ((s->umin + wild % 8) & s->bits.mask),
					     (s->umin & ~(u64)UINT32_MAX) | s->umin32,
					     (s->umin & ~(u64)UINT32_MAX) | s->umax32,
					     (wild & ~(u64)UINT32_MAX) | (u32)s->smin32,
					     (wild & ~(u64)UINT32_MAX) | (u32)s->smax32,
					     s->umin + (s->umax - s->umin ? wild % (s->umax - s->umin) : 0)};
	u32 n = 0;

	for (u32 i = 0, at = (u32)(wild % ARRAY_SIZE(tries)); i < ARRAY_SIZE(tries) && n < MEMBERS; i++, at++)
		if (scalar_has(s, tries[at % ARRAY_SIZE(tries)]))
			out[n++] = tries[at % ARRAY_SIZE(tries)];
	return n;
}

static inline const char *show(const struct scalar *s, char out[300])
{
	snprintf(out, 300,
		 "bits %" PRIx64 "/%" PRIx64 " u [%" PRIx64 ",%" PRIx64 "] s [%" PRIx64 ",%" PRIx64 "] u32 [%x,%x] s32 [%x,%x]",
		 s->bits.value, s->bits.mask, s->umin, s->umax, (u64)s->smin, (u64)s->smax, s->umin32, s->umax32,
		 (u32)s->smin32, (u32)s->smax32);
	return out;
}

#endif
