/* SPDX-License-Identifier: BSD-2-Clause */
/* Rules of simplification for comparisons: branches, selections, and arithmetic on what they choose. */
#include "opt/simplify.h"

static bool never_zero(const struct simplify *s, u32 v)
{
	const struct ir_node *n = &s->f->node[v];
	u64 c, sum;

	if (constant(s, v, &c))
		return c != 0;
	if (n->op == IR_FRAME)
		return true;
	if (n->op == OP_ADD && n->width == 64 && constant(s, n->arg[1], &c))
		return n->arg[0] == s->f->frame || (c && !__builtin_add_overflow(c, s->may[n->arg[0]], &sum));
	return n->op == OP_OR && n->width == 64 && constant(s, n->arg[1], &c) && c;
}

/* -1: not known */
static int outcome(const struct simplify *s, const struct ir_node *n)
{
	u64 a, b, mask = mask_of(n->width), most = s->may[n->arg[0]] & mask;

	if (constant(s, n->arg[0], &a) && constant(s, n->arg[1], &b))
		return op_compare(n->aux, n->width, a, b);
	if (n->arg[0] == n->arg[1] && n->aux != OP_JSET)
		return op_compare(n->aux, n->width, 0, 0);
	if (!constant(s, n->arg[1], &b))
		return -1;
	b &= mask;
	switch ((enum op)n->aux) {
	case OP_JEQ:
		if (b & ~most || (b == 0 && n->width == 64 && never_zero(s, n->arg[0])))
			return 0;
		return -1;
	case OP_JNE:
		if (b & ~most || (b == 0 && n->width == 64 && never_zero(s, n->arg[0])))
			return 1;
		return -1;
	case OP_JSET: return most & b ? -1 : 0;
	case OP_JGT: return most <= b ? 0 : -1;
	case OP_JGE: return b == 0 ? 1 : most < b ? 0 : -1;
	case OP_JLT: return b == 0 ? 0 : most < b ? 1 : -1;
	case OP_JLE: return most <= b ? 1 : -1;
	default: return -1;
	}
}

static void swap_ways(struct simplify *s, struct ir_node *n)
{
	u32 *way = n->op == IR_BRANCH ? s->f->block[n->block].succ : n->arg + 2, t = way[0];

	way[0] = way[1];
	way[1] = t;
}

/* What compares one of two constants asks the comparison that chose it. */
static void of_choice(struct simplify *s, struct ir_node *n)
{
	const struct ir_node *in = &s->f->node[n->arg[0]];
	u64 c, yes, no;
	bool holds;

	if (in->op != IR_SELECT || !constant(s, n->arg[1], &c) || !constant(s, in->arg[2], &yes) || !constant(s, in->arg[3], &no))
		return;
	holds = op_compare(n->aux, n->width, yes, c);
	if (holds == op_compare(n->aux, n->width, no, c))
		return;
	if (!holds)
		swap_ways(s, n);
	n->aux = in->aux;
	n->width = in->width;
	n->arg[0] = in->arg[0];
	n->arg[1] = in->arg[1];
}

static void compare(struct simplify *s, u32 v)
{
	struct ir_node *n = &s->f->node[v];
	u64 c;

	of_choice(s, n);
	if (ir_is_const(s->f, n->arg[0]) && !ir_is_const(s->f, n->arg[1])) {
		u32 t = n->arg[0];

		n->arg[0] = n->arg[1];
		n->arg[1] = t;
		n->aux = (u8)op_swapped(n->aux);
	}
	/* (x & c) != 0 */
	if ((n->aux == OP_JNE || n->aux == OP_JEQ) && constant(s, n->arg[1], &c) && !(c & mask_of(n->width))) {
		const struct ir_node *in = &s->f->node[n->arg[0]];

		if (in->op == OP_AND && (in->width == n->width || in->width == 32) && s->uses[n->arg[0]] == 1) {
			if (n->aux == OP_JEQ)
				swap_ways(s, n);
			n->aux = OP_JSET;
			n->width = in->width;
			n->arg[1] = in->arg[1];
			n->arg[0] = in->arg[0];
		}
	}
	if (n->width == 64 && s->may[n->arg[0]] <= UINT32_MAX && s->may[n->arg[1]] <= UINT32_MAX &&
	    (!(op_table[n->aux].flags & OPF_SIGNED) || ((s->may[n->arg[0]] | s->may[n->arg[1]]) <= INT32_MAX)))
		n->width = 32;
}

u32 simplify_branch(struct simplify *s, u32 v)
{
	struct ir_node *n = &s->f->node[v];
	struct ir_block *b = &s->f->block[n->block];
	int known;
	u32 gone;

	compare(s, v);
	known = outcome(s, &s->f->node[v]);
	if (known < 0)
		return 0;
	gone = b->succ[known];
	b->succ[0] = b->succ[!known];
	b->n_succ = 1;
	n->op = IR_JUMP;
	n->n = 0;
	ir_cut(s->f, n->block, gone);
	s->cut = true;
	return 0;
}

/* c ? x + 1 : x is x + (c ? 1 : 0), where the machine adds a flag: "below" and its relatives */
static u32 counting(struct simplify *s, u32 v)
{
	struct ir_node n = s->f->node[v];
	bool unsigned_order = !(op_table[n.aux].flags & OPF_SIGNED) && n.aux != OP_JSET && n.aux != OP_JEQ && n.aux != OP_JNE;
	u64 c;

	if (unsigned_order ? constant(s, n.arg[1], &c) && n.aux != OP_JLT && n.aux != OP_JGE
			   : (n.aux != OP_JEQ && n.aux != OP_JNE) || !constant(s, n.arg[1], &c) || c)
		return 0;
	for (u32 k = 2; k < 4; k++) {
		u32 more = n.arg[k], x = n.arg[5 - k], one, width = s->f->node[more].width;

		if (s->f->node[more].op != OP_ADD || s->uses[more] != 1 || s->f->node[more].arg[0] != x || !constant(s, s->f->node[more].arg[1], &c) || c != 1 ||
		    s->may[x] > mask_of(width))
			continue;
		n.arg[k] = simplify_const(s, 1);
		n.arg[5 - k] = simplify_const(s, 0);
		one = simplify_select(s, v, &n);
		return one ? simplify_binary(s, v, OP_ADD, width, x, one) : 0;
	}
	return 0;
}

/* c ? x + y : x is x + (c ? y : 0), in a loop, whose turns are rather waited for by x */
static u32 adding(struct simplify *s, u32 v)
{
	struct ir_node n = s->f->node[v];

	for (u32 k = 2; k < 4 && s->f->block[n.block].depth; k++) {
		u32 more = n.arg[k], x = n.arg[5 - k], width = s->f->node[more].width, other, y;
		const struct ir_node sum = s->f->node[more];

		if ((sum.op != OP_ADD && sum.op != OP_SUB && sum.op != OP_OR && sum.op != OP_XOR) || s->uses[more] != 1 || s->may[x] > mask_of(width) ||
		    s->f->node[x].op != IR_PHI)
			continue;
		other = sum.arg[0] == x ? sum.arg[1] : sum.arg[0];
		if (other == x || (sum.arg[0] != x && (sum.op == OP_SUB || sum.arg[1] != x)))
			continue;
		n.arg[k] = other;
		n.arg[5 - k] = simplify_const(s, 0);
		y = simplify_select(s, v, &n);
		return y ? simplify_binary(s, v, sum.op, width, x, y) : 0;
	}
	return 0;
}

u32 simplify_selection(struct simplify *s, u32 v)
{
	u32 found;
	int known;

	compare(s, v);
	known = outcome(s, &s->f->node[v]);
	if (s->f->node[v].arg[2] == s->f->node[v].arg[3])
		known = 1;
	if (known >= 0)
		return s->f->node[v].arg[known ? 2 : 3];
	found = counting(s, v);
	return found ? found : adding(s, v);
}
