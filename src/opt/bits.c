/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which bits of a value may be one: the optimizer's own analysis, on SSA, from below: every value starts with none, and
 * grows until nothing changes. Loops that count up would grow bit by bit; a phi that changed twice takes all bits at once, or all below the end that it counts to.
 */
#include "opt/passes.h"

static u64 up_to(u64 x) /* all bits up to the highest */
{
	return x ? ~0ull >> __builtin_clzll(x) : 0;
}

static u32 zeros(u64 x) /* at the low end */
{
	return x ? (u32)__builtin_ctzll(x) : 64;
}

static u64 sum(u64 a, u64 b)
{
	u64 high = up_to(a | b), low = MIN(zeros(a), zeros(b));

	if (!a || !b)
		return a | b;
	high = high == ~0ull ? high : high << 1 | 1;
	return low >= 64 ? 0 : high & ~0ull << low;
}

static u64 product(u64 a, u64 b)
{
	u32 high = (64 - (u32)(a ? __builtin_clzll(a) : 64)) + (64 - (u32)(b ? __builtin_clzll(b) : 64)), low = zeros(a) + zeros(b);

	if (!a || !b)
		return 0;
	return (high >= 64 ? ~0ull : (1ull << high) - 1) & (low >= 64 ? 0 : ~0ull << low);
}

static u64 sign_extended(u64 x, u32 bits)
{
	u64 mask = bits == 64 ? ~0ull : (1ull << bits) - 1;

	return x >> (bits - 1) & 1 ? x | ~mask : x & mask;
}

static u64 remainder_of(const struct ir *f, const struct ir_node *n, u64 a)
{
	u64 d = (u64)f->node[n->arg[1]].imm;

	if (n->width == 32)
		d = (u32)d;
	return ir_is_const(f, n->arg[1]) && d ? up_to(MIN(d - 1, up_to(a))) : up_to(a);
}

static u64 shifted(const struct ir *f, const struct ir_node *n, u64 a)
{
	u32 w = n->width, by = (u32)f->node[n->arg[1]].imm & (w - 1);

	if (!ir_is_const(f, n->arg[1])) {
		if (n->op == OP_RSH)
			return up_to(a);
		if (n->op == OP_LSH)
			return zeros(a) >= 64 ? 0 : ~0ull << zeros(a);
		return a >> (w - 1) & 1 ? ~0ull : up_to(a);
	}
	switch (n->op) {
	case OP_LSH: return a << by;
	case OP_RSH: return a >> by;
	case OP_ARSH: return w == 64 ? (u64)((s64)a >> by) : (u64)(u32)((s32)(u32)a >> by);
	default: /* IR_ROL */
		if (w == 64)
			return by ? a << by | a >> (64 - by) : a;
		return by ? (u32)(a << by) | (u32)a >> (32 - by) : a;
	}
}

static u64 of_alu(const struct ir *f, const u64 *may, const struct ir_node *n)
{
	u64 mask = n->width == 32 ? UINT32_MAX : ~0ull, a = may[n->arg[0]] & mask, b = n->n > 1 ? may[n->arg[1]] & mask : 0;

	switch ((enum op)n->op) {
	case OP_AND: return a & b;
	case OP_OR:
	case OP_XOR: return a | b;
	case OP_ADD: return sum(a, b) & mask;
	case OP_SUB: return zeros(a | b) >= 64 ? 0 : ~0ull << zeros(a | b) & mask;
	case OP_NEG: return zeros(a) >= 64 ? 0 : ~0ull << zeros(a) & mask;
	case OP_MUL: return product(a, b) & mask;
	case OP_DIV: return up_to(a);
	case OP_MOD: return remainder_of(f, n, a);
	case OP_LSH:
	case OP_RSH:
	case OP_ARSH: return shifted(f, n, a) & mask;
	case OP_MOV: return a;
	case OP_MOVS8: return sign_extended(may[n->arg[0]], 8) & mask;
	case OP_MOVS16: return sign_extended(may[n->arg[0]], 16) & mask;
	case OP_MOVS32: return sign_extended(may[n->arg[0]], 32) & mask;
	default: return mask;
	}
}

u64 opt_bits_of(struct ir *f, const u64 *may, u32 v, u32 b)
{
	const struct ir_node *n = &f->node[v];
	u64 all = 0;

	if (ir_is_alu(f, v))
		return of_alu(f, may, n);
	switch ((enum ir_op)n->op) {
	case IR_CONST: return (u64)n->imm;
	case IR_PHI:
		for (u32 p = 0; p < f->block[b].n_pred; p++)
			all |= may[ir_phi_args(f, v)[p]];
		return all;
	case IR_SELECT: return may[n->arg[2]] | may[n->arg[3]];
	case IR_SWAP: return op_byteswap(OP_BSWAP, n->width, may[n->arg[0]]);
	case IR_ROL: return shifted(f, n, may[n->arg[0]] & (n->width == 32 ? UINT32_MAX : ~0ull));
	case IR_TABLE: return ((const struct ir_table *)(uintptr_t)n->imm)->all;
	case IR_LOAD:
	case IR_ATOMIC: return n->width == 8 ? ~0ull : (1ull << 8 * n->width) - 1;
	default: return ~0ull;
	}
}

/* ---- numbers that count ---- */

struct counter {
	u32 width;
	u64 start, step, mask; /* mask: of the width */
};

/* Is v a phi that starts at a constant and has one added to it each time round? *next: the sum; *from: where it comes back from */
static bool is_counter(struct ir *f, u32 v, u32 b, struct counter *c, u32 *next, u32 *from)
{
	const struct ir_block *h = &f->block[b];

	if (h->n_pred != 2)
		return false;
	for (u32 k = 0; k < 2; k++) {
		u32 first = ir_phi_args(f, v)[k], sum = ir_phi_args(f, v)[!k];
		const struct ir_node *n = &f->node[sum];

		if (!ir_is_const(f, first) || n->op != OP_ADD || n->arg[0] != v || !ir_is_const(f, n->arg[1]))
			continue;
		*c = (struct counter){n->width, (u64)f->node[first].imm, (u64)f->node[n->arg[1]].imm, n->width == 32 ? UINT32_MAX : ~0ull};
		c->step &= c->mask;
		*next = sum;
		*from = h->pred[!k];
		return c->start <= c->mask && c->step;
	}
	return false;
}

/* The greatest number that the sum has where it is met again, given that its low `width` bits then compare so with c; 0: no such number is known. */
static u64 most(const struct counter *k, u32 cmp, u32 width, u64 c)
{
	u64 down = -k->step & k->mask, gap = k->start > c ? k->start - c : c - k->start;
	bool narrow = width < k->width;

	if (c > k->mask || (narrow && (k->start > UINT32_MAX || (cmp != OP_JNE && (k->step > UINT32_MAX || c + k->step > UINT32_MAX)))))
		return 0;
	switch ((enum op)cmp) {
	case OP_JLT: return c ? c - 1 : 0;
	case OP_JLE: return c;
	case OP_JNE: /* it meets c after some steps, so it never passes it */
		if (c > k->start && gap % k->step == 0)
			return c - k->step;
		return c < k->start && gap % down == 0 ? k->start : 0;
	default: return 0;
	}
}

/* The same where what is compared is v plus less than a step, as in a loop that makes several turns before it goes back. */
static u64 most_before(const struct counter *k, const struct ir *f, const struct ir_node *cmp, u32 v, u32 op, u64 c)
{
	const struct ir_node *n = &f->node[cmp->arg[0]];
	u64 by;

	if (n->op != OP_ADD || n->arg[0] != v || n->width != k->width || !ir_is_const(f, n->arg[1]) || op != OP_JNE || cmp->width > k->width)
		return 0;
	by = (u64)f->node[n->arg[1]].imm & k->mask;
	if (by >= k->step || k->start > INT32_MAX || k->step > INT32_MAX || c < k->start + by || (c - k->start - by) % k->step)
		return 0;
	return c - by;
}

/* All bits that a number that counts to a constant may have; 0: unknown. */
static u64 counted(struct ir *f, u32 v, u32 b)
{
	enum { MOST_STEPS = 8 };
	struct counter k;
	u32 next, from, to = b;

	if (!is_counter(f, v, b, &k, &next, &from))
		return 0;
	for (u32 i = 0; i < MOST_STEPS; i++) {
		const struct ir_block *way = &f->block[from];
		const struct ir_node *n = &f->node[way->last];
		u32 cmp;
		u64 c;

		if (n->op == IR_BRANCH && ir_is_const(f, n->arg[1]) && way->succ[0] != way->succ[1] && (way->succ[0] == to || way->succ[1] == to)) {
			c = (u64)f->node[n->arg[1]].imm & (n->width == 32 ? UINT32_MAX : ~0ull);
			cmp = way->succ[0] == to ? n->aux : op_negated(n->aux);
			c = n->arg[0] == next ? most(&k, cmp, n->width, c) : most_before(&k, f, n, v, cmp, c);
			if (c || n->arg[0] == next)
				return c ? up_to(c | k.start) : 0;
		}
		if (from == b)
			return 0;
		/* where ways met, what is in front of all of them; that no branch leads there directly is seen above */
		to = way->n_pred == 1 ? from : UINT32_MAX;
		from = way->n_pred == 1 ? way->pred[0] : way->idom;
	}
	return 0;
}

/* A phi that changed often: all that it may ever be. */
static u64 widened(struct ir *f, u32 v, u32 b, u32 round, u64 x)
{
	u64 all = counted(f, v, b);

	return all ? all : x <= UINT32_MAX && round < 6 ? UINT32_MAX : ~0ull;
}

/* What it may be in that round. */
static u64 grown(struct ir *f, const u64 *may, u32 v, u32 b, u32 round)
{
	u64 x = may[v] | opt_bits_of(f, may, v, b);

	return x != may[v] && round >= 2 && f->node[v].op == IR_PHI ? widened(f, v, b, round, x) : x;
}

static bool grows(struct ir *f, const u64 *may, u32 b, u32 round)
{
	for (u32 v = f->block[b].first; v && f->node[v].op == IR_PHI; v = f->node[v].next)
		if (grown(f, may, v, b, round) != may[v])
			return true;
	return false;
}

/* Where to go on after the block at `at` in the order: at the innermost block that it leads back to and adds something to, or behind it. */
static u32 next_block(struct ir *f, const u64 *may, const u8 *round, u32 at)
{
	const struct ir_block *b = &f->block[f->rpo[at]];
	u32 next = at + 1;

	for (u32 k = 0; k < b->n_succ; k++) {
		u32 to = f->block[b->succ[k]].order;

		if (to <= at && (next > at || to > next) && grows(f, may, b->succ[k], round[to]))
			next = to;
	}
	return next;
}

/* A loop is gone round until nothing changes in it, then what follows it is seen: all else comes after what it is made from. */
u64 *opt_bits(struct ir *f, u32 room)
{
	u64 *may = arena_room(f->scratch, f->n_nodes + room, sizeof(u64));
	u8 *round = arena_alloc(f->scratch, f->n_rpo); /* per place in the order */

	if (!may || !round) {
		f->failed = true;
		return NULL;
	}
	for (u32 v = 0; v < f->n_nodes; v++)
		may[v] = f->node[v].op == IR_CONST ? (u64)f->node[v].imm : 0;
	for (u32 i = 0; i < f->n_rpo; i = next_block(f, may, round, i)) {
		u32 b = f->rpo[i];

		ir_each(f, v, b)
			may[v] = grown(f, may, v, b, round[i]);
		round[i] = (u8)MIN(round[i] + 1, UINT8_MAX);
	}
	return may;
}
