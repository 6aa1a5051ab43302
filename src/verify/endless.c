/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks that cannot come to an end within their limit: those in a loop that nothing leaves, or that one counter alone leaves, after more turns than the
 * limit has instructions. What Linux would have refused by then is refused at once, where walking on to skep's own limit can change nothing.
 *
 * So are those in a loop with one way round whose jumps hang on nothing but numbers: these are followed without the rest of the state, which takes a fraction
 * of what walking the turns takes.
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

/* ---- numbers that go round ---- */

/* What the walk knows of the registers that hold a number which is linked with no other; of the rest nothing. */
struct numbers {
	const struct verifier *v;
	const struct loop *l;
	struct scalar regs[REG_FP];
	u32 known; /* registers */
};

static bool holds(const struct numbers *n, u32 reg)
{
	return n->known >> reg & 1;
}

static struct scalar *operand(struct numbers *n, const struct insn *in, struct scalar *constant)
{
	scalar_set_const(constant, (u64)in->imm);
	return in->imm_src ? constant : holds(n, in->src) ? &n->regs[in->src] : NULL;
}

/* false: the walk may go on in two ways. */
static bool numbers_alu(struct numbers *n, const struct insn *in)
{
	bool masks = in->op == OP_AND || in->op == OP_OR, same = !in->imm_src && in->src == in->dst;
	struct scalar constant, *src = operand(n, in, &constant), *dst = &n->regs[in->dst];

	if (op_table[in->op].flags & (OPF_COPY | OPF_UNARY)) { /* copies are linked with what they were made of */
		n->known &= ~(1u << in->dst | (in->imm_src ? 0 : 1u << in->src));
		if (!(op_table[in->op].flags & OPF_COPY) || !in->imm_src)
			return true;
		scalar_set_const(dst, in->width == 64 ? (u64)in->imm : (u32)(u64)in->imm);
		n->known |= 1u << in->dst;
		return true;
	}
	if (!src || !holds(n, in->dst)) {
		n->known &= ~(1u << in->dst);
		return !masks;
	}
	if (masks && !same && (dst->smin < 0 || dst->smin32 < 0))
		return false; /* 0 and -1 are kept apart */
	scalar_alu(in->op, in->width, dst, src);
	return true;
}

/* false: the turn may end there, or it is not known whether it does. */
static bool numbers_jump(struct numbers *n, const struct insn *in, u32 at, u32 *next)
{
	bool taken_stays = loop_has(n->l, (u32)in->target), falls_stays = loop_has(n->l, at + 1);
	struct scalar constant, *src = operand(n, in, &constant), *dst = &n->regs[in->dst];
	int taken;

	if (!src || !holds(n, in->dst))
		return false;
	taken = scalar_decide(in->op, in->width, dst, src);
	if (taken < 0) {
		if (taken_stays == falls_stays)
			return false;
		scalar_refine(in->op, in->width, taken_stays, dst, src);
		if (scalar_is_empty(dst) || scalar_is_empty(src))
			return false;
		taken = taken_stays;
	}
	*next = taken ? (u32)in->target : at + 1;
	return taken ? taken_stays : falls_stays;
}

static bool numbers_step(struct numbers *n, u32 at, u32 *next)
{
	const struct insn *in = &n->v->insns[at];

	*next = at + 1;
	if (op_table[in->op].class == OPS_ALU)
		return in->dst < REG_FP && numbers_alu(n, in);
	if (op_table[in->op].class == OPS_JMP)
		return in->dst < REG_FP && numbers_jump(n, in, at, next);
	switch ((enum op)in->op) {
	case OP_JA: *next = (u32)in->target; return true;
	case OP_LDX:
	case OP_LDXS: n->known &= ~(1u << in->dst); return true;
	case OP_STX: n->known &= ~(1u << in->src); return true; /* what is spilled is linked with its slot */
	case OP_ST: return true;
	default: return false;
	}
}

/*
 * Is nothing compared with the turns to come but what they leave on their own way? What was walked to its end before is not, and nothing that leaves the loop
 * comes back.
 */
static bool turns_are_alone(const struct verifier *v, const struct loop *l)
{
	if (l->outer || l->joined || (v->joining && l->n_tests && !l->unproven) || !v->bypass_spec_v1 || !v->bypass_spec_v4)
		return false;
	for (u32 f = 0; f < v->cur->n_frames; f++) {
		const struct frame *frame = v->cur->frame[f];

		if (frame->in_callback || frame->in_async_callback || (f && v->aux[v->cur->callsite[f]].scc))
			return false;
	}
	for (u32 i = l->start; i < l->start + l->size; i++)
		for (const struct state *s = loop_has(l, i) ? v->aux[i].states : NULL; s; s = s->next)
			if (!s->branches && same_callsites(s, v->cur))
				return false;
	return true;
}

/* How many instructions, of `most`, the path that is at the head goes round for certain. */
static u64 goes_round(const struct verifier *v, const struct loop *l, u64 most)
{
	const struct reg *regs = cur_frame(v->cur)->regs;
	struct numbers n = {.v = v, .l = l};
	u32 at = l->head, next;
	u64 done = 0;

	for (u32 i = 0; i < REG_FP; i++)
		if (regs[i].type == R_SCALAR && !regs[i].id) {
			n.regs[i] = regs[i].v;
			n.known |= 1u << i;
		}
	for (; done < most && numbers_step(&n, at, &next) && loop_has(l, next); at = next)
		done++;
	return done;
}

bool walk_is_endless(struct verifier *v)
{
	u64 rest = v->max_insns - v->walked.insns, round = 0;
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
	if (at_head && turns_are_alone(v, &v->loops[inner]))
		round = goes_round(v, &v->loops[inner], rest + 1);
	if (round > rest)
		return true;
	if (at_head || !inner)
		v->look_after = MIN(v->max_insns, v->walked.insns + MAX(round, (u64)LOOK_AGAIN));
	return false;
}
