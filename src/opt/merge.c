/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A number put together from adjacent loads is one load, with its bytes swapped where the order is the other one. The loads lie in one
 * block with no store, call or atomic between them, which the memory model asks for; each is used for this alone.
 * Constants stored side by side, one directly after the other, are one store.
 *
 * Requires: rpo. Keeps: the control flow graph.
 */
#include "opt/passes.h"

enum { MOST_PARTS = 8 };

struct part {
	u32 load, shift;
	s64 at;
};

struct merge {
	struct ir *f;
	u32 *uses, *time, *barrier; /* per node: position in its block, and how many barriers come before */
	u32 nodes; /* that `uses` is of */
	struct part part[MOST_PARTS];
	u32 n;
	u32 inner[2 * MOST_PARTS], n_inner;
};

static bool constant(const struct ir *f, u32 v, u64 *x)
{
	*x = (u64)f->node[v].imm;
	return f->node[v].op == IR_CONST;
}

static bool leaf(struct merge *m, u32 v, u32 shift)
{
	const struct ir_node *n = &m->f->node[v];

	if (n->op != IR_LOAD || n->flags & IRF_INVARIANT || !opt_used_once(m->uses, m->nodes, v) || m->n == MOST_PARTS)
		return false;
	m->part[m->n++] = (struct part){v, shift, n->imm};
	return true;
}

static bool collect(struct merge *m, u32 v, u32 shift, bool root)
{
	const struct ir_node *n = &m->f->node[v];
	u64 by;

	if (!root && !opt_used_once(m->uses, m->nodes, v))
		return false;
	if (n->op == OP_OR)
		return collect(m, n->arg[0], shift, false) && collect(m, n->arg[1], shift, false);
	if (n->op == OP_LSH && constant(m->f, n->arg[1], &by) && by % 8 == 0 && shift + by < 64)
		return collect(m, n->arg[0], shift + (u32)by, false);
	if (n->op == OP_MOV && n->width == 32)
		return m->f->node[n->arg[0]].op == IR_LOAD && collect(m, n->arg[0], shift, false);
	return leaf(m, v, shift);
}

static void sort(struct merge *m)
{
	for (u32 i = 1; i < m->n; i++)
		for (u32 k = i; k && m->part[k].at < m->part[k - 1].at; k--) {
			struct part t = m->part[k];

			m->part[k] = m->part[k - 1];
			m->part[k - 1] = t;
		}
}

/* Bytes in all, 0 if the parts are not adjacent; *swapped: the first byte is the highest. */
static u32 adjacent(const struct merge *m, u32 base, bool *swapped)
{
	const struct ir_node *first = &m->f->node[m->part[0].load];
	u32 total = 0, bits = 0, lowest = UINT32_MAX;
	bool little = true, big = true;

	for (u32 i = 0; i < m->n; i++) {
		total += m->f->node[m->part[i].load].width;
		lowest = MIN(lowest, m->part[i].shift);
	}
	if ((total != 2 && total != 4 && total != 8) || lowest != base)
		return 0;
	for (u32 i = 0; i < m->n; i++) {
		const struct ir_node *n = &m->f->node[m->part[i].load];

		if (n->arg[0] != first->arg[0] || n->block != first->block || m->barrier[m->part[i].load] != m->barrier[m->part[0].load] ||
		    m->part[i].at != m->part[0].at + bits / 8 || n->kinds != first->kinds)
			return 0;
		little &= m->part[i].shift == base + bits;
		big &= n->width == 1 && m->part[i].shift == base + (total - 1) * 8 - bits;
		bits += n->width * 8;
	}
	*swapped = big;
	return little || big ? total : 0;
}

static bool try(struct merge *m, u32 root)
{
	struct ir *f = m->f;
	u32 total, last, v, to;
	bool swapped = false;
	struct ir_node *n;

	m->n = 0;
	if (f->node[root].op != OP_OR || !collect(m, root, 0, true) || m->n < 2)
		return false;
	sort(m);
	total = adjacent(m, 0, &swapped);
	if (!total || (f->node[root].width == 32 && total == 8))
		return false;
	last = m->part[0].load;
	for (u32 i = 1; i < m->n; i++)
		if (m->time[m->part[i].load] > m->time[last])
			last = m->part[i].load;
	v = ir_node(f, IR_LOAD, total);
	if (!v)
		return false;
	n = &f->node[v];
	*n = f->node[m->part[0].load];
	n->width = (u8)total;
	ir_insert(f, last, v);
	for (u32 i = 0; i < m->n; i++) { /* what used it is dead once the root is another node */
		n = &f->node[m->part[i].load];
		ir_remove(f, m->part[i].load);
		n->op = IR_CONST;
		n->n = 0;
	}
	to = root;
	n = &f->node[to];
	n->op = swapped ? IR_SWAP : OP_MOV;
	n->width = swapped ? (u8)(total * 8) : 64;
	n->n = 1;
	n->arg[0] = v;
	return true;
}

/* ---- stores ---- */

s64 opt_place(const struct ir *f, const struct ir_node *n, u32 *base)
{
	s64 off = n->imm;
	u32 v = n->arg[0];

	while (f->node[v].op == OP_ADD && f->node[v].width == 64 && ir_is_const(f, f->node[v].arg[1])) {
		off = (s64)((u64)off + (u64)f->node[f->node[v].arg[1]].imm);
		v = f->node[v].arg[0];
	}
	*base = v;
	return off;
}

/* Two stores with no access between them: the second takes over what the first wrote. */
static bool join_stores(struct ir *f, u32 first, u32 second)
{
	const struct ir_node *a = &f->node[first], *b = &f->node[second];
	u32 base[2], bits = a->width * 8u, low;
	s64 at[2] = {opt_place(f, a, &base[0]), opt_place(f, b, &base[1])};
	u64 mask = bits == 64 ? 0 : (1ull << bits) - 1, x;

	if (a->width != b->width || bits > 32 || base[0] != base[1] || a->kinds != b->kinds || a->flags != b->flags ||
	    (at[1] - at[0] != a->width && at[0] - at[1] != a->width))
		return false;
	low = at[0] < at[1] ? first : second;
	x = ((u64)f->node[f->node[low].arg[1]].imm & mask) |
	    ((u64)f->node[f->node[low == first ? second : first].arg[1]].imm & mask) << bits;
	if (bits == 32 && (s64)x != (s32)x) /* an instruction holds no more */
		return false;
	x = ir_const(f, x);
	f->node[second].arg[0] = f->node[low].arg[0];
	f->node[second].imm = f->node[low].imm;
	f->node[second].arg[1] = (u32)x;
	f->node[second].width = (u8)(2 * f->node[second].width);
	ir_remove(f, first);
	return true;
}

static void merge_stores(struct ir *f, u32 b)
{
	u32 row[MOST_PARTS], n = 0;

	for (u32 v = f->block[b].first, next; v; v = next) {
		const struct ir_node *k = &f->node[v];

		next = k->next;
		if (k->op == IR_STORE && ir_is_const(f, k->arg[1])) {
			if (n == MOST_PARTS)
				memmove(row, row + 1, --n * sizeof(*row));
			row[n++] = v;
			while (n > 1 && join_stores(f, row[n - 2], row[n - 1])) {
				row[n - 2] = row[n - 1];
				n--;
			}
		} else if (k->op == IR_LOAD || k->op == IR_LOADS || ir_has_effect(k)) {
			n = 0;
		}
	}
}

void opt_merge(struct ir *f)
{
	struct merge m = {.f = f, .nodes = f->n_nodes};
	u32 n = 0, barriers = 0;

	m.uses = opt_uses(f, 0);
	m.time = arena_array(f->scratch, m.nodes + 1, sizeof(u32));
	m.barrier = arena_array(f->scratch, m.nodes + 1, sizeof(u32));
	if (f->failed || !m.time || !m.barrier) {
		f->failed = true;
		return;
	}
	ir_each_rpo(f, i, b) {
		barriers++;
		ir_each(f, v, b) {
			m.time[v] = n++;
			barriers += f->node[v].op == IR_STORE || f->node[v].op == IR_CALL || f->node[v].op == IR_ATOMIC;
			m.barrier[v] = barriers;
		}
	}
	ir_each_rpo(f, i, b)
		for (u32 v = f->block[b].last, prev; v; v = prev) {
			prev = f->node[v].prev;
			if (v < m.nodes && f->node[v].op == OP_OR)
				try(&m, v);
		}
	ir_each_rpo(f, i, b)
		merge_stores(f, b);
	opt_dead(f);
}
