/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trees of comparisons of one value with constants that end in the choice of a number become a load from a
 * table. Key idea: a tree says, for every value, where control goes; so it is walked once for each between
 * the least and the greatest constant, and for one of each range outside, all of which must go to the same
 * place. What bits the value may have says which values there are.
 *
 * Jumps through a table are not made: where control goes is foreseen less often for them than for the
 * comparisons of a tree, so that they cost up to 1.7 times the tree's time where cases follow one another
 * regularly, and save half of it only where nothing can be foreseen.
 *
 * Requires: rpo. Keeps: SSA; leaves a new order behind.
 */
#include "opt/passes.h"

enum { LEAST_BLOCKS = 4, MOST_NUMBERS = 1024, MOST_TREE = 4096, MOST_PHIS = 2 };

struct tree {
	struct ir *f;
	const u64 *may;
	u32 value, width, root, succ[2]; /* the root's, as they were */
	u32 *seen;			 /* per block: number of the root that it was visited for */
	u32 stamp;
	u32 *block, n;	     /* that only compare */
	u64 low, high, top;  /* constants; the greatest number that the value may be */
	u64 sign;	     /* least number that a signed comparison takes as negative */
	u32 otherwise, from; /* where numbers outside of low and high go, from which block of the tree; from
				0xffffffff: there are none */
	bool narrow;	     /* the value has no high half: comparisons of both widths tell the same */
	s64 effort;	     /* blocks that may still be looked at */
};

struct goal {
	u32 to, from;
};

static bool compares(const struct tree *t, u32 b)
{
	const struct ir *f = t->f;
	const struct ir_node *n = &f->node[f->block[b].last];

	return n->op == IR_BRANCH && n->arg[0] == t->value &&
	       (n->width == t->width || t->narrow) && ir_is_const(f, n->arg[1]) &&
	       n->aux != OP_JSET && f->block[b].succ[0] != f->block[b].succ[1];
}

static bool joins(const struct tree *t, u32 b)
{
	return t->f->block[b].first == t->f->block[b].last && t->f->block[b].n_pred == 1 && compares(t, b);
}

static void note(struct tree *t, u32 b)
{
	const struct ir_node *n = &t->f->node[t->f->block[b].last];
	u64 c = (u64)t->f->node[n->arg[1]].imm;

	if (n->width == 32) {
		c = (u32)c;
		t->sign = 1ull << 31;
	}
	if (c > t->top) /* decides nothing */
		return;
	t->low = MIN(t->low, c);
	t->high = MAX(t->high, c);
}

static void collect(struct tree *t)
{
	t->low = ~0ull;
	t->high = 0;
	t->sign = 1ull << 63;
	t->n = 0;
	t->block[t->n++] = t->root;
	t->stamp++;
	t->seen[t->root] = t->stamp;
	for (u32 i = 0; i < t->n; i++) {
		note(t, t->block[i]);
		for (u32 k = 0; k < 2; k++) {
			u32 b = t->f->block[t->block[i]].succ[k];

			if (t->seen[b] != t->stamp && t->n < MOST_TREE && joins(t, b)) {
				t->seen[b] = t->stamp;
				t->block[t->n++] = b;
			}
		}
	}
	t->effort -= t->n;
}

/* Where x goes: the first block outside of the tree, and the one of the tree that leads there. */
static struct goal walk(const struct tree *t, u64 x)
{
	struct goal g = {t->root, 0};

	do {
		const struct ir_node *n = &t->f->node[t->f->block[g.to].last];

		g.from = g.to;
		g.to = t->f->block[g.to]
			   .succ[op_compare(n->aux, n->width, x, (u64)t->f->node[n->arg[1]].imm) ? 0 : 1];
	} while (t->seen[g.to] == t->stamp && g.to != t->root);
	return g;
}

/* Past blocks that only lead on. */
static struct goal onwards(const struct tree *t, struct goal g)
{
	enum { MOST_STEPS = 4 };
	const struct ir_block *b = &t->f->block[g.to];

	for (u32 i = 0; i < MOST_STEPS && g.to != t->root && b->first == b->last && b->n_succ == 1; i++) {
		g = (struct goal){b->succ[0], g.to};
		b = &t->f->block[g.to];
	}
	return g;
}

/* Do both edges bring the same values? */
static bool same_goal(struct ir *f, struct goal a, struct goal b)
{
	u32 i, k;

	if (a.to != b.to)
		return false;
	i = ir_pred(f, a.to, a.from);
	k = ir_pred(f, b.to, b.from);
	ir_each(f, v, a.to) {
		if (f->node[v].op != IR_PHI)
			break;
		if (ir_phi_args(f, v)[i] != ir_phi_args(f, v)[k])
			return false;
	}
	return true;
}

/* Finds the range of the table, and what is outside of it. */
static bool bounds(struct tree *t)
{
	enum { NEAR = 8 };
	u64 probe[4];
	u32 n = 0;

	if (t->high < t->low || t->high >= t->sign || t->high - t->low >= MOST_NUMBERS)
		return false;
	if (t->low <= NEAR)
		t->low = 0;
	if (t->top - t->high <= NEAR)
		t->high = t->top;
	t->from = UINT32_MAX;
	if (t->high < t->top) {
		probe[n++] = t->high + 1;
		probe[n++] = t->top;
		if (t->sign > t->high && t->sign < t->top)
			probe[n++] = t->sign;
	}
	if (t->low)
		probe[n++] = t->low - 1;
	for (u32 i = 0; i < n; i++) {
		struct goal g = onwards(t, walk(t, probe[i]));

		if (i && !same_goal(t->f, g, (struct goal){t->otherwise, t->from}))
			return false;
		t->otherwise = g.to;
		t->from = g.from;
	}
	return true;
}

/* ---- what takes its place ---- */

static u32 add(struct ir *f, u32 b, u32 op, u32 width, u32 x, u32 y)
{
	u32 v = ir_node(f, (enum ir_op)op, width);
	struct ir_node *n = &f->node[v];

	n->arg[0] = x;
	n->arg[1] = y;
	n->n = y ? 2 : x ? 1 : 0;
	n->pc = f->block[b].pc;
	ir_append(f, b, v);
	return v;
}

/* b leads to g.to; phis there take what they take from g.from, but the first `n` of those that differ the
 * given values. */
static void lead(struct ir *f, u32 b, struct goal g, const u32 *phis, const u32 *values, u32 n)
{
	u32 from = ir_pred(f, g.to, g.from);

	add(f, b, IR_JUMP, 64, 0, 0);
	f->block[b].succ[0] = g.to;
	f->block[b].n_succ = 1;
	ir_each(f, v, g.to) {
		u32 *args, x;

		if (f->node[v].op != IR_PHI)
			break;
		args = ir_phi_more(f, v);
		if (!args)
			return;
		x = args[from];
		for (u32 k = 0; k < n; k++)
			if (phis[k] == v)
				x = values[k];
		args[f->block[g.to].n_pred] = x;
	}
	ir_edge(f, b, g.to);
}

static u32 new_block(struct tree *t)
{
	struct ir *f = t->f;
	u32 b = ir_block(f);

	if (f->failed)
		return 0;
	f->block[b].pc = f->block[t->root].pc;
	f->block[b].cold = f->block[t->root].cold;
	return b;
}

/* The root's comparison goes, and so do all others. */
static void cut(struct tree *t)
{
	struct ir *f = t->f;

	for (u32 k = 0; k < 2; k++)
		if (t->seen[t->succ[k]] != t->stamp || t->succ[k] == t->root)
			ir_cut(f, t->root, t->succ[k]);
	for (u32 i = 1; i < t->n; i++) {
		f->block[t->block[i]].n_pred = 0;
		f->block[t->block[i]].reachable = false;
	}
}

/* The number counted from the least one, and the block that has it; what is outside leaves before. */
static u32 index_of(struct tree *t, u32 *in)
{
	struct ir *f = t->f;
	u32 width = t->top <= UINT32_MAX ? 32 : 64, x = t->value, v, out;

	out = t->from == UINT32_MAX ? 0 : new_block(t);
	if (out)
		lead(f, out, (struct goal){t->otherwise, t->from}, NULL, NULL, 0);
	ir_remove(f, f->block[t->root].last);
	*in = t->root;
	f->block[t->root].n_succ = 0;
	if (t->low)
		x = add(f, t->root, OP_ADD, width, x,
			ir_const(f, (0 - t->low) & (width == 32 ? UINT32_MAX : ~0ull)));
	else if (t->may[t->value] > t->top)
		x = add(f, t->root, OP_MOV, 32, x, 0);
	if (!out || f->failed)
		return x;
	*in = new_block(t);
	v = add(f, t->root, IR_BRANCH, width, x, ir_const(f, t->high - t->low));
	f->node[v].aux = OP_JGT;
	f->block[t->root].succ[0] = out;
	f->block[t->root].succ[1] = *in;
	f->block[t->root].n_succ = 2;
	ir_edge(f, t->root, out);
	ir_edge(f, t->root, *in);
	return x;
}

static u32 number_at(struct ir *f, u32 phi, struct goal g)
{
	return ir_phi_args(f, phi)[ir_pred(f, g.to, g.from)];
}

/* Phis of the place where all go that take different values, all of them constants; false: something else
 * differs. */
static bool differing(const struct tree *t, const struct goal *goal, u32 n, u32 *phis, u32 *n_phis)
{
	struct ir *f = t->f;

	*n_phis = 0;
	for (u32 i = 1; i < n; i++)
		if (goal[i].to != goal[0].to)
			return false;
	ir_each(f, v, goal[0].to) {
		bool differ = false, constant = true;

		if (f->node[v].op != IR_PHI)
			break;
		for (u32 i = 0; i < n; i++) {
			u32 x = number_at(f, v, goal[i]);

			differ |= x != number_at(f, v, goal[0]);
			constant &= ir_is_const(f, x);
		}
		if (!differ)
			continue;
		if (!constant || *n_phis == MOST_PHIS)
			return false;
		phis[(*n_phis)++] = v;
	}
	return *n_phis;
}

static struct ir_table *table_of(struct ir *f, u32 phi, const struct goal *goal, u32 n)
{
	u64 all = 0;
	u32 width = 1;
	struct ir_table *t;

	for (u32 i = 0; i < n; i++)
		all |= (u64)f->node[number_at(f, phi, goal[i])].imm;
	while (width < 8 && all >> 8 * width)
		width *= 2;
	t = arena_alloc(f->arena, sizeof(*t) + n * width);
	if (!t) {
		f->failed = true;
		return NULL;
	}
	*t = (struct ir_table){.all = all, .width = width, .n = n};
	for (u32 i = 0; i < n; i++)
		memcpy(t->bytes + i * width, &f->node[number_at(f, phi, goal[i])].imm, width);
	return t;
}

static bool load_from(struct tree *t, const struct goal *goal, u32 n)
{
	struct ir *f = t->f;
	struct ir_table *table[MOST_PHIS];
	u32 phis[MOST_PHIS], values[MOST_PHIS], n_phis, size = 0, x, s;

	if (!differing(t, goal, n, phis, &n_phis))
		return false;
	for (u32 k = 0; k < n_phis; k++) {
		table[k] = table_of(f, phis[k], goal, n);
		if (!table[k])
			return false;
		size += table[k]->width * n;
	}
	if (size > 16 * t->n)
		return false;
	x = index_of(t, &s);
	for (u32 k = 0; k < n_phis && !f->failed; k++) {
		values[k] = add(f, s, IR_TABLE, table[k]->width, x, 0);
		f->node[values[k]].imm = (s64)(uintptr_t)table[k];
	}
	if (!f->failed)
		lead(f, s, goal[0], phis, values, n_phis);
	return true;
}

static bool replace(struct tree *t)
{
	u32 n = (u32)(t->high - t->low) + 1;
	struct goal *goal = arena_array(t->f->scratch, n, sizeof(*goal));

	if (!goal) {
		t->f->failed = true;
		return false;
	}
	for (u32 i = 0; i < n; i++)
		goal[i] = onwards(t, walk(t, t->low + i));
	if (!load_from(t, goal, n))
		return false;
	cut(t);
	return true;
}

static bool try(struct tree *t, u32 root)
{
	struct ir *f = t->f;
	const struct ir_node *n = &f->node[f->block[root].last];

	if (n->op != IR_BRANCH || !ir_is_const(f, n->arg[1]) || ir_is_const(f, n->arg[0]))
		return false;
	t->root = root;
	t->value = n->arg[0];
	t->width = n->width;
	memcpy(t->succ, f->block[root].succ, sizeof(t->succ));
	t->top = t->may ? t->may[t->value] : 0; /* at first, as if widths did not matter */
	t->narrow = t->top <= UINT32_MAX;
	if (t->may && t->top > UINT32_MAX)
		t->top = t->width == 32 ? UINT32_MAX : ~0ull;
	if (!compares(t, root))
		return false;
	collect(t);
	if (t->n < LEAST_BLOCKS)
		return false;
	if (!t->may) {
		t->may = opt_bits(f, 0);
		return t->may && try(t, root);
	}
	return bounds(t) && replace(t);
}

void opt_switch(struct ir *f)
{
	struct tree t = {.f = f, .effort = 8192 + 16 * (s64)f->n_blocks};
	u32 most = 4 * f->n_blocks;
	bool any = false;

	t.seen = arena_array(f->scratch, most + 16, sizeof(u32));
	t.block = arena_room(f->scratch, MIN(most, (u32)MOST_TREE) + 2, sizeof(u32)); /* of a tree's blocks each is there once */
	if (!t.seen || !t.block) {
		f->failed = true;
		return;
	}
	for (u32 i = 0; i < f->n_rpo && f->n_blocks < most && t.effort > 0 && !f->failed; i++)
		if (f->block[f->rpo[i]].reachable && f->block[f->rpo[i]].last)
			any |= try(&t, f->rpo[i]);
	if (any && !f->failed)
		ir_order(f);
}
