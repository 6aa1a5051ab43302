/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many turns a loop makes at most when it is entered with a certain frame: what loop.c found to bound them, with that frame's numbers.
 *
 * Arithmetic wraps: a bound is given only where the place cannot pass the limit by wrapping round.
 */
#include "verify/loop.h"

__extension__ typedef __int128 wide;

struct interval {
	wide low, high;
};

static const struct reg *place_reg(const struct frame *f, u32 place)
{
	const struct stack_slot *s;

	if (place < REG_FP)
		return reg_at(f, place);
	if (place - REG_FP >= f->n_slots)
		return NULL;
	s = stack_at(f, place - REG_FP);
	return s->kind[0] == S_SPILL && s->kind[SLOT_BYTES - 1] == S_SPILL ? &s->reg : NULL;
}

bool loop_place(const struct frame *f, u32 place, u32 width, s64 delta, struct scalar *out)
{
	struct scalar by;

	scalar_set_const(&by, (u64)delta);
	if (place == NO_PLACE) {
		*out = by;
		return true;
	}
	{
		const struct reg *r = place_reg(f, place);

		if (!r || r->type != R_SCALAR)
			return false;
		*out = r->v;
	}
	if (delta)
		scalar_alu(OP_ADD, width, out, &by);
	return true;
}

static struct interval interval_of(const struct scalar *s, u32 width, bool is_signed)
{
	if (width == 64)
		return is_signed ? (struct interval){s->smin, s->smax} : (struct interval){s->umin, s->umax};
	return is_signed ? (struct interval){s->smin32, s->smax32} : (struct interval){s->umin32, s->umax32};
}

/* Turns until x, going by step each turn, is at `limit` exactly; it must not jump over it. */
static u64 trips_to(const struct scalar *x, const struct scalar *limit, u32 width, s64 step)
{
	struct interval a = interval_of(x, width, false), b = interval_of(limit, width, false);
	u64 by = step < 0 ? 0 - (u64)step : (u64)step;
	wide way;

	if (b.low != b.high || (step > 0 ? a.high > b.low : a.low < b.low))
		return TRIPS_UNKNOWN;
	if (by & (by - 1) ? a.low != a.high : x->bits.mask & (by - 1))
		return TRIPS_UNKNOWN;
	way = step > 0 ? b.low - a.low : a.high - b.low;
	if (by & (by - 1) ? way % by != 0 : ((x->bits.value ^ limit->bits.value) & (by - 1)) != 0)
		return TRIPS_UNKNOWN;
	way /= by;
	return way > (wide)TRIPS_MOST ? TRIPS_UNKNOWN : (u64)way;
}

/* An iterator that is active: it lies in this frame and was made before the loop. */
static u64 iterator_trips(const struct loop_test *t, const struct frame *f)
{
	const struct reg *r = t->x == NO_PLACE ? NULL : place_reg(f, t->x);
	const struct stack_slot *s;
	s64 off = t->x_delta;

	if (t->x != NO_PLACE) {
		if (!r || r->type != R_STACK || r->frame != f->number || !scalar_is_const(&r->v))
			return TRIPS_UNKNOWN;
		off += r->off + (s64)r->v.bits.value;
	}
	if (off >= 0 || off < -(s64)f->n_slots * SLOT_BYTES || off % SLOT_BYTES)
		return TRIPS_UNKNOWN;
	s = stack_at(f, slot_of((s32)off));
	return s->kind[SLOT_BYTES - 1] == S_ITER && s->reg.ref && s->reg.iter.state == ITER_ACTIVE ? t->most : TRIPS_UNKNOWN;
}

static u64 number_trips(const struct loop_test *t, const struct frame *f)
{
	bool is_signed = op_table[t->op].flags & OPF_SIGNED, or_equal = false;
	wide least = 0, most = t->width == 64 ? (wide)UINT64_MAX : (wide)UINT32_MAX, way;
	struct scalar x, limit, whole;
	struct interval a, b;
	u64 by = t->step < 0 ? 0 - (u64)t->step : (u64)t->step;

	if (!loop_place(f, t->x, t->width, t->x_delta, &x) || !loop_place(f, t->limit, t->zext ? 64 : t->width, t->limit_delta, &limit))
		return TRIPS_UNKNOWN;
	if (t->narrow && (!loop_place(f, t->x, 64, 0, &whole) || whole.umax > UINT32_MAX))
		return TRIPS_UNKNOWN;
	if (t->zext) { /* 64-bit comparison of a zero-extended number: unsigned, if the limit is one as well */
		if (limit.umax > UINT32_MAX)
			return TRIPS_UNKNOWN;
		is_signed = false;
	}
	if (t->op == OP_JNE)
		return trips_to(&x, &limit, t->width, t->step);
	if (is_signed) {
		least = t->width == 64 ? (wide)INT64_MIN : (wide)INT32_MIN;
		most = t->width == 64 ? (wide)INT64_MAX : (wide)INT32_MAX;
	}
	a = interval_of(&x, t->width, is_signed);
	b = interval_of(&limit, t->width, is_signed);
	or_equal = t->op == OP_JLE || t->op == OP_JGE || t->op == OP_JSLE || t->op == OP_JSGE;
	switch ((enum op)t->op) {
	case OP_JLT:
	case OP_JLE:
	case OP_JSLT:
	case OP_JSLE:
		b.high += or_equal; /* x < b.high while it stays */
		if (t->step < 0 || b.high - 1 + (wide)by > most)
			return TRIPS_UNKNOWN;
		way = b.high - a.low;
		break;
	case OP_JGT:
	case OP_JGE:
	case OP_JSGT:
	case OP_JSGE:
		b.low -= or_equal;
		if (t->step > 0 || b.low + 1 - (wide)by < least)
			return TRIPS_UNKNOWN;
		way = a.high - b.low;
		break;
	default: return TRIPS_UNKNOWN;
	}
	if (way <= 0)
		return 0;
	way = (way + by - 1) / by;
	return way > (wide)TRIPS_MOST ? TRIPS_UNKNOWN : (u64)way;
}

u64 loop_trips(const struct loop *l, const struct frame *f, const struct loop_test **by)
{
	u64 best = TRIPS_UNKNOWN;

	for (u32 i = 0; i < l->n_tests; i++) {
		const struct loop_test *t = &l->tests[i];
		u64 trips = t->kind == TEST_NUMBER ? number_trips(t, f) : t->kind == TEST_ITERATOR ? iterator_trips(t, f) : TRIPS_MOST;

		if (trips < best) {
			best = trips;
			*by = t;
		}
	}
	return best;
}
