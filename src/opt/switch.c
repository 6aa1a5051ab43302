/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trees of comparisons of one value with constants become a jump through a table. Key idea: a tree says, for every number, where
 * control goes; so it is walked once for each number between the least and the greatest constant, and for one number of each
 * range outside, all of which must go to the same place.
 *
 * Requires: rpo. Keeps: SSA; leaves a new order behind.
 */
#include "opt/passes.h"

enum { LEAST_CASES = 6, MOST_CASES = 1024, MOST_TREE = 4096, MOST_STEPS = 64 };

struct tree {
	struct ir *f;
	u32 value, width, root;
	u32 *seen; /* per block: number of the root that it was visited for */
	u32 stamp;
	u32 *block, n; /* that only compare */
	u64 low, high; /* constants */
	u32 cases;
};

static bool compares(const struct tree *t, u32 b)
{
	const struct ir *f = t->f;
	const struct ir_node *n = &f->node[f->block[b].last];

	return n->op == IR_BRANCH && n->arg[0] == t->value && n->width == t->width && ir_is_const(f, n->arg[1]) && n->aux != OP_JSET;
}

static bool joins(const struct tree *t, u32 b)
{
	return t->f->block[b].first == t->f->block[b].last && t->f->block[b].n_pred == 1 && compares(t, b);
}

static void note(struct tree *t, u32 b)
{
	const struct ir_node *n = &t->f->node[t->f->block[b].last];
	u64 c = (u64)t->f->node[n->arg[1]].imm;

	if (t->width == 32)
		c = (u32)c;
	t->cases += n->aux == OP_JEQ || n->aux == OP_JNE;
	t->low = MIN(t->low, c);
	t->high = MAX(t->high, c);
}

static void collect(struct tree *t)
{
	t->n = 0;
	t->block[t->n++] = t->root;
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
}

/* Where x goes: the first block outside of the tree, and the one of the tree that leads there. */
static u32 walk(const struct tree *t, u64 x, u32 *from)
{
	u32 b = t->root;

	*from = b;
	while (t->seen[b] == t->stamp) {
		const struct ir_node *n = &t->f->node[t->f->block[b].last];

		*from = b;
		b = t->f->block[b].succ[op_compare(n->aux, n->width, x, (u64)t->f->node[n->arg[1]].imm) ? 0 : 1];
	}
	return b;
}

/* All edges from the tree into a block must bring the same values. */
static bool agree(struct tree *t, u32 to, u32 from)
{
	struct ir *f = t->f;
	u32 mine = 0;

	while (f->block[to].pred[mine] != from)
		mine++;
	ir_each(f, v, to) {
		if (f->node[v].op != IR_PHI)
			break;
		for (u32 p = 0; p < f->block[to].n_pred; p++)
			if (t->seen[f->block[to].pred[p]] == t->stamp && ir_phi_args(f, v)[p] != ir_phi_args(f, v)[mine])
				return false;
	}
	return true;
}

static bool outside(const struct tree *t, u32 *to)
{
	u64 top = t->width == 32 ? UINT32_MAX : ~0ull, sign = (top >> 1) + 1;
	u64 probe[4] = {t->high + 1, sign, top, t->low - 1};
	u32 from;

	if (t->high >= sign - 1)
		return false;
	*to = walk(t, probe[0], &from);
	for (u32 i = 1; i < 3 + (t->low > 0); i++)
		if (walk(t, probe[i], &from) != *to)
			return false;
	return true;
}

static void replace_edges(struct tree *t, u32 to, u32 by)
{
	struct ir *f = t->f;
	bool first = true;

	for (u32 p = 0; p < f->block[to].n_pred; p++)
		first &= f->block[to].pred[p] != by;
	for (u32 p = 0; p < f->block[to].n_pred;) {
		u32 from = f->block[to].pred[p];

		if (t->seen[from] != t->stamp || from == by) {
			p++;
			continue;
		}
		if (first) {
			f->block[to].pred[p++] = by;
			first = false;
		} else {
			ir_cut(f, from, to);
		}
	}
}

static u32 add(struct ir *f, u32 b, u32 op, u32 width, u32 x, u32 y)
{
	u32 v = ir_node(f, (enum ir_op)op, width);
	struct ir_node *n = &f->node[v];

	n->arg[0] = x;
	n->arg[1] = y;
	n->n = y ? 2 : 1;
	ir_append(f, b, v);
	return v;
}

static bool build(struct tree *t, u32 otherwise)
{
	struct ir *f = t->f;
	u32 n = (u32)(t->high - t->low) + 1, *table = arena_array(f->arena, n, sizeof(u32)), s, x, v, end = f->block[t->root].last, from;

	if (!table) {
		f->failed = true;
		return false;
	}
	for (u32 i = 0; i < n; i++) {
		table[i] = walk(t, t->low + i, &from);
		if (!agree(t, table[i], from))
			return false;
	}
	walk(t, t->high + 1, &from);
	if (!agree(t, otherwise, from))
		return false;
	s = ir_block(f);
	ir_remove(f, end);
	x = t->value;
	if (t->low)
		x = add(f, t->root, OP_ADD, t->width, x, ir_const(f, (0 - t->low) & (t->width == 32 ? UINT32_MAX : ~0ull)));
	else if (t->width == 32)
		x = add(f, t->root, OP_MOV, 32, x, 0);
	v = add(f, t->root, IR_BRANCH, t->width, x, ir_const(f, t->high - t->low));
	f->node[v].aux = OP_JGT;
	add(f, s, IR_SWITCH, 64, x, 0);
	if (f->failed)
		return false;
	/* the default is reached from the root; if the table leads there as well, through a block in between */
	for (u32 i = 0; i < n; i++)
		if (table[i] == otherwise) {
			u32 mid = ir_block(f), old;

			add(f, mid, IR_JUMP, 64, 0, 0);
			f->node[f->block[mid].last].n = 0;
			f->block[mid].succ[0] = otherwise;
			f->block[mid].n_succ = 1;
			old = otherwise;
			replace_edges(t, otherwise, mid);
			otherwise = mid;
			for (u32 k = i; k < n; k++)
				if (table[k] == old)
					table[k] = mid;
			break;
		}
	for (u32 i = 0; i < n; i++)
		if (table[i] != otherwise)
			replace_edges(t, table[i], s);
	if (f->block[otherwise].n_pred == 0 && f->block[otherwise].n_succ == 1 && f->block[otherwise].first == f->block[otherwise].last) {
		ir_edge(f, s, otherwise);
		ir_edge(f, t->root, otherwise);
	} else {
		replace_edges(t, otherwise, t->root);
	}
	f->block[t->root].succ[0] = otherwise;
	f->block[t->root].succ[1] = s;
	f->block[t->root].n_succ = 2;
	f->block[s].table = table;
	f->block[s].n_succ = n;
	f->block[s].pc = f->block[t->root].pc;
	ir_edge(f, t->root, s);
	for (u32 i = 1; i < t->n; i++) {
		f->block[t->block[i]].n_pred = f->block[t->block[i]].n_succ = 0;
		f->block[t->block[i]].reachable = false;
	}
	return true;
}

static bool try(struct tree *t, u32 root)
{
	const struct ir_node *n = &t->f->node[t->f->block[root].last];
	u32 otherwise;

	if (n->op != IR_BRANCH || !ir_is_const(t->f, n->arg[1]) || ir_is_const(t->f, n->arg[0]) || n->aux == OP_JSET)
		return false;
	t->root = root;
	t->value = n->arg[0];
	t->width = n->width;
	t->low = ~0ull;
	t->high = t->cases = 0;
	t->stamp++;
	collect(t);
	if (t->cases < LEAST_CASES || t->high - t->low >= MOST_CASES || t->high - t->low > 8ull * t->cases + 16)
		return false;
	return outside(t, &otherwise) && build(t, otherwise);
}

void opt_switch(struct ir *f)
{
	struct tree t = {.f = f};
	bool any = false;
	u32 blocks = f->n_blocks;

	t.seen = arena_array(f->scratch, f->n_blocks * 2 + 16, sizeof(u32));
	t.block = arena_array(f->scratch, MOST_TREE + 2, sizeof(u32));
	if (!t.seen || !t.block) {
		f->failed = true;
		return;
	}
	for (u32 i = 0; i < f->n_rpo && f->n_blocks < blocks * 2; i++)
		if (f->block[f->rpo[i]].reachable && f->block[f->rpo[i]].last)
			any |= try(&t, f->rpo[i]);
	if (any)
		ir_order(f);
}
