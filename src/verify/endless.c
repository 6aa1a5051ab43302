/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks that cannot come to an end within their limit: those in a loop that nothing leaves, or that one counter alone leaves, after more turns than the
 * limit has instructions. What Linux would have refused by then is refused at once, where walking on to skep's own limit can change nothing.
 *
 * A path that makes its turns is not cut off in between: a checkpoint within such a loop is finished only when all paths behind it are, of which
 * this is one, and one that was finished by another arrival at the loop was compared with when this path came by.
 */
#include "verify/loop.h"

__extension__ typedef __int128 wide;

enum { LOOK_AGAIN = 1 << 16 };

struct ends {
	wide low, high;
};

static struct ends ends_of(const struct scalar *s, u32 width, bool is_signed)
{
	if (width == 64)
		return is_signed ? (struct ends){s->smin, s->smax} : (struct ends){s->umin, s->umax};
	return is_signed ? (struct ends){s->smin32, s->smax32} : (struct ends){s->umin32, s->umax32};
}

/* Fewest turns before the test lets go; 0: not known. */
static wide turns_least(const struct loop_test *t, const struct frame *f)
{
	bool is_signed = op_table[t->op].flags & OPF_SIGNED;
	wide by = t->step < 0 ? -(wide)t->step : t->step, way;
	struct scalar x, limit;
	struct ends a, b;

	if (t->kind != TEST_NUMBER || t->zext || !loop_place(f, t->x, t->width, t->x_delta, &x) || !loop_place(f, t->limit, t->width, t->limit_delta, &limit))
		return 0;
	a = ends_of(&x, t->width, is_signed);
	b = ends_of(&limit, t->width, is_signed);
	switch ((enum op)t->op) {
	case OP_JLT:
	case OP_JSLT:
	case OP_JLE:
	case OP_JSLE: way = t->step > 0 ? b.low - a.high : 0; break;
	case OP_JGT:
	case OP_JSGT:
	case OP_JGE:
	case OP_JSGE: way = t->step < 0 ? a.low - b.high : 0; break;
	case OP_JNE:
		way = a.low == a.high && b.low == b.high ? (t->step > 0 ? b.low - a.low : a.low - b.low) : 0;
		if (way % by)
			return 0;
		break;
	default: return 0;
	}
	return way > 0 ? way / by : 0;
}

/* Jumps that leave the loop; UINT32_MAX: it calls something, which may leave as well. *at: one of them. */
static u32 jumps_out(const struct verifier *v, const struct loop *l, u32 *at)
{
	u32 n = 0;

	for (u32 i = l->start; i < l->start + l->size; i++) {
		u32 to[2], ways;

		if (!loop_has(l, i))
			continue;
		if (v->insns[i].op == OP_CALL || v->insns[i].op == OP_LD_ABS || v->insns[i].op == OP_LD_IND)
			return UINT32_MAX;
		ways = cfg_successors(v, i, to);
		while (ways-- > 0)
			if (!loop_has(l, to[ways])) {
				*at = i;
				n++;
			}
	}
	return n;
}

bool walk_is_endless(struct verifier *v)
{
	u64 rest = v->max_insns - v->walked.insns;
	u32 inner = v->loops ? v->aux[v->insn].loop : 0;
	bool at_head = inner && v->loops[inner].head == v->insn;

	for (u32 k = inner; k; k = v->loops[k].outer) {
		const struct loop *l = &v->loops[k];
		u32 at = 0, n = jumps_out(v, l, &at);

		if (n == 0)
			return true;
		for (u32 i = 0; n == 1 && l->head == v->insn && i < l->n_tests; i++)
			if (l->tests[i].insn == at && turns_least(&l->tests[i], cur_frame(v->cur)) > (wide)rest)
				return true;
	}
	if (at_head || !inner)
		v->look_after = MIN(v->max_insns, v->walked.insns + LOOK_AGAIN);
	return false;
}
