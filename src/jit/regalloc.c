/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers for values. Key idea: a register's occupancy is a set of points in time, kept as a bit map, so that whether a value with
 * any number of gaps fits is a few word operations, and operations that need or destroy certain registers simply mark them.
 * Values are placed in the order of how often they are used per point in time; what fits nowhere lives on the stack. Phis and their arguments
 * are joined beforehand where their lifetimes allow, so that loops have no moves.
 *
 * Requires: every use is dominated by its definition, phis are M_MOVES in the predecessors, no critical edges.
 */
#include "jit/jit.h"

struct range {
	u32 from, to; /* [from, to) */
};

struct alloc {
	struct mach *m;
	u32 *use_start, *use_at, *use_block; /* uses per value: time and block */
	u32 *def_start, *def_at, *def_block;
	u32 *seen, *block_end, *work, *live_in;
	u32 *pred_start, *pred; /* per block, those of block b: pred[pred_start[b]] up to pred[pred_start[b + 1]] */
	struct range *ranges;
	u32 n_ranges, cap_ranges;
	u32 words;
	bool eager; /* a value that can share a register with another one takes it for both; where registers are plenty */
	float frequency[16];
};

u32 mach_root(struct mach *m, u32 v)
{
	while (m->value[v].parent != v)
		v = m->value[v].parent = m->value[m->value[v].parent].parent;
	return v;
}

/* ---- lifetimes ---- */

static void each_operand(struct mach *m, u32 i, void (*use)(void *, u32 v, u32 time), void (*def)(void *, u32 v, u32 time), void *ud)
{
	const struct mach_ins *ins = &m->ins[i];
	struct mach_operands o;

	if (ins->op == M_MOVES) {
		for (u32 k = 0; k < ins->n; k++) {
			u32 src = m->list[ins->list + 2 * k + 1];

			if (!ir_is_const(m->ir, src) || src >= m->ir->n_nodes)
				use(ud, src, 2 * i);
		}
		for (u32 k = 0; k < ins->n; k++)
			def(ud, m->list[ins->list + 2 * k], 2 * i + 1);
		return;
	}
	if (ins->op == M_ENTRY) {
		for (u32 k = 0; k < ins->n; k++)
			def(ud, m->list[ins->list + 2 * k], 2 * i + 1);
		return;
	}
	m->target->operands(m, ins, &o);
	for (u32 k = 0; k < o.n_uses; k++)
		use(ud, o.use[k], 2 * i + (o.late >> k & 1));
	if (o.def)
		def(ud, o.def, 2 * i + 1 + o.def_next);
}

struct counting {
	struct alloc *a;
	u32 block;
	bool fill;
};

static void count_use(void *ud, u32 v, u32 time)
{
	struct counting *c = ud;
	struct alloc *a = c->a;

	if (c->fill) {
		a->use_block[a->use_start[v]] = c->block;
		a->use_at[a->use_start[v]++] = time;
	} else {
		a->use_start[v + 1]++;
		a->m->value[v].weight += a->frequency[MIN(a->m->block[c->block].depth, 15u)];
	}
}

static void count_def(void *ud, u32 v, u32 time)
{
	struct counting *c = ud;
	struct alloc *a = c->a;

	if (c->fill) {
		a->def_block[a->def_start[v]] = c->block;
		a->def_at[a->def_start[v]++] = time;
	} else {
		a->def_start[v + 1]++;
		a->m->value[v].weight += a->frequency[MIN(a->m->block[c->block].depth, 15u)];
	}
}

static bool collect(struct alloc *a)
{
	struct mach *m = a->m;
	struct counting c = {.a = a};
	u32 n = m->n_values, uses, defs;

	a->use_start = arena_array(m->arena, n + 2, sizeof(u32));
	a->def_start = arena_array(m->arena, n + 2, sizeof(u32));
	if (!a->use_start || !a->def_start)
		return false;
	for (u32 pass = 0; pass < 2; pass++) {
		c.fill = pass;
		for (c.block = 0; c.block < m->n_blocks; c.block++)
			for (u32 i = m->block[c.block].first; i < m->block[c.block].end; i++)
				each_operand(m, i, count_use, count_def, &c);
		if (pass)
			break;
		for (u32 v = 0; v <= n; v++) {
			a->use_start[v + 1] += a->use_start[v];
			a->def_start[v + 1] += a->def_start[v];
		}
		uses = a->use_start[n];
		defs = a->def_start[n];
		a->use_at = arena_array(m->arena, uses + 1, sizeof(u32));
		a->use_block = arena_array(m->arena, uses + 1, sizeof(u32));
		a->def_at = arena_array(m->arena, defs + 1, sizeof(u32));
		a->def_block = arena_array(m->arena, defs + 1, sizeof(u32));
		if (!a->use_at || !a->use_block || !a->def_at || !a->def_block)
			return false;
	}
	/* filling moved each start to the next one's */
	memmove(a->use_start + 1, a->use_start, (n + 1) * sizeof(u32));
	memmove(a->def_start + 1, a->def_start, (n + 1) * sizeof(u32));
	a->use_start[0] = a->def_start[0] = 0;
	return true;
}

static bool predecessors(struct alloc *a)
{
	struct mach *m = a->m;
	u32 n = 0;

	a->pred_start = arena_array(m->arena, m->n_blocks + 1, sizeof(u32));
	for (u32 b = 0; b < m->n_blocks && a->pred_start; b++) {
		a->pred_start[b] = n;
		n += m->ir->block[m->block[b].ir].n_pred;
	}
	a->pred = arena_array(m->arena, n, sizeof(u32));
	if (!a->pred_start || !a->pred)
		return false;
	a->pred_start[m->n_blocks] = n;
	for (u32 b = 0, at = 0; b < m->n_blocks; b++) {
		const struct ir_block *k = &m->ir->block[m->block[b].ir];

		for (u32 p = 0; p < k->n_pred; p++)
			a->pred[at++] = m->block_of[k->pred[p]];
	}
	return true;
}

static void add_range(struct alloc *a, u32 from, u32 to)
{
	if (!arena_grow(a->m->arena, (void **)&a->ranges, &a->cap_ranges, a->n_ranges + 1, sizeof(*a->ranges), 256)) {
		a->m->failed = true;
		return;
	}
	a->ranges[a->n_ranges++] = (struct range){from, to};
}

static u32 start_of(const struct mach *m, u32 b)
{
	return 2 * m->block[b].first;
}

static u32 end_of(const struct mach *m, u32 b)
{
	return 2 * m->block[b].end;
}

/* Sorts what was added for one value and joins what touches. */
static u32 tidy(struct range *r, u32 n)
{
	u32 out = 0;

	for (u32 i = 1; i < n; i++)
		for (u32 k = i; k && r[k].from < r[k - 1].from; k--) {
			struct range t = r[k];

			r[k] = r[k - 1];
			r[k - 1] = t;
		}
	for (u32 i = 0; i < n; i++) {
		if (out && r[i].from <= r[out - 1].to)
			r[out - 1].to = MAX(r[out - 1].to, r[i].to);
		else
			r[out++] = r[i];
	}
	return out;
}

/* From every use backwards to the definition. A phi is defined where its block starts, and written at the ends of the predecessors. */
static void lifetime(struct alloc *a, u32 v)
{
	struct mach *m = a->m;
	u32 n_def = a->def_start[v + 1] - a->def_start[v], home, from, n_work = 0, n_in = 0, first = a->n_ranges, home_end = 0;
	const u32 *def = a->def_at + a->def_start[v];
	bool phi = v < m->ir->n_nodes && m->ir->node[v].op == IR_PHI;

	m->value[v].range = first;
	m->value[v].n_ranges = 0;
	if (!n_def)
		return;
	home = phi ? m->block_of[m->ir->node[v].block] : a->def_block[a->def_start[v]];
	from = phi ? start_of(m, home) : def[0];
	for (u32 k = 0; phi && k < n_def; k++)
		add_range(a, def[k], end_of(m, a->def_block[a->def_start[v] + k]));
	for (u32 k = a->use_start[v]; k < a->use_start[v + 1]; k++) {
		u32 b = a->use_block[k], at = a->use_at[k];

		if (b == home && at >= from) {
			home_end = MAX(home_end, at + 1);
			continue;
		}
		if (a->seen[b] != v) {
			a->seen[b] = v;
			a->block_end[b] = 0;
			a->live_in[n_in++] = b;
			a->work[n_work++] = b;
		}
		a->block_end[b] = MAX(a->block_end[b], at + 1);
	}
	while (n_work) {
		u32 to = a->work[--n_work];

		for (u32 p = a->pred_start[to]; p < a->pred_start[to + 1]; p++) {
			u32 b = a->pred[p];

			if (b == home) {
				home_end = end_of(m, home);
				continue;
			}
			if (a->seen[b] != v) {
				a->seen[b] = v;
				a->live_in[n_in++] = b;
				a->work[n_work++] = b;
			}
			a->block_end[b] = end_of(m, b);
		}
	}
	add_range(a, from, MAX(home_end, from + 1));
	if (n_in > 32) { /* in order, which makes sorting cheap */
		u32 low = UINT32_MAX, high = 0;

		for (u32 k = 0; k < n_in; k++) {
			low = MIN(low, a->live_in[k]);
			high = MAX(high, a->live_in[k]);
		}
		for (u32 b = low; b <= high; b++)
			if (a->seen[b] == v)
				add_range(a, start_of(m, b), a->block_end[b]);
	} else {
		for (u32 k = 0; k < n_in; k++)
			add_range(a, start_of(m, a->live_in[k]), a->block_end[a->live_in[k]]);
	}
	if (m->failed)
		return;
	m->value[v].n_ranges = tidy(a->ranges + first, a->n_ranges - first);
	a->n_ranges = first + m->value[v].n_ranges;
}

/* ---- joining phis with their arguments ---- */

static bool overlap(const struct alloc *a, u32 x, u32 y)
{
	const struct mach_value *p = &a->m->value[x], *q = &a->m->value[y];
	const struct range *r = a->ranges + p->range, *s = a->ranges + q->range;
	u32 i = 0, k = 0;

	while (i < p->n_ranges && k < q->n_ranges) {
		if (r[i].to <= s[k].from)
			i++;
		else if (s[k].to <= r[i].from)
			k++;
		else
			return true;
	}
	return false;
}

static void join(struct alloc *a, u32 x, u32 y)
{
	struct mach *m = a->m;
	u32 n, first;

	x = mach_root(m, x);
	y = mach_root(m, y);
	if (x == y || m->value[x].constant || m->value[y].constant || !m->value[x].n_ranges || !m->value[y].n_ranges || overlap(a, x, y))
		return;
	first = a->n_ranges;
	n = m->value[x].n_ranges + m->value[y].n_ranges;
	if (n > 2000)
		return;
	for (u32 i = 0; i < m->value[x].n_ranges; i++)
		add_range(a, a->ranges[m->value[x].range + i].from, a->ranges[m->value[x].range + i].to);
	for (u32 i = 0; i < m->value[y].n_ranges; i++)
		add_range(a, a->ranges[m->value[y].range + i].from, a->ranges[m->value[y].range + i].to);
	if (m->failed)
		return;
	m->value[x].range = first;
	m->value[x].n_ranges = tidy(a->ranges + first, n);
	a->n_ranges = first + m->value[x].n_ranges;
	m->value[x].weight += m->value[y].weight;
	if (!m->value[x].want)
		m->value[x].want = m->value[y].want;
	if (!m->value[x].hint)
		m->value[x].hint = m->value[y].hint;
	if (!m->value[x].next)
		m->value[x].next = m->value[y].next;
	m->value[y].parent = x;
}

static bool is_const(const struct mach *m, u32 v)
{
	return v < m->ir->n_nodes && ir_is_const(m->ir, v);
}

static void join_moves(struct alloc *a, const struct mach_ins *moves)
{
	for (u32 k = 0; k < moves->n; k++) {
		const u32 *pair = &a->m->list[moves->list + 2 * k];

		if (!is_const(a->m, pair[1]))
			join(a, pair[0], pair[1]);
	}
}

/* A block that stands aside only to make moves, all of which joining spares: nobody need go there. */
static bool is_detour(const struct alloc *a, u32 b)
{
	struct mach *m = a->m;
	const struct mach_block *k = &m->block[b];
	const struct mach_ins *moves = &m->ins[k->first];

	if (k->end - k->first != 2 || moves[0].op != M_MOVES || moves[1].op != M_JUMP || moves[1].to[0] == b + 1)
		return false;
	for (u32 i = 0; i < moves->n; i++) {
		u32 x = mach_root(m, m->list[moves->list + 2 * i]), src = m->list[moves->list + 2 * i + 1], y;

		if (is_const(m, src))
			return false;
		y = mach_root(m, src);
		if (x != y && (m->value[y].constant || overlap(a, x, y)))
			return false;
	}
	return true;
}

/* Deeper ones first; detours before moves that other operations or the end of a way are beside. */
static void join_phis(struct alloc *a)
{
	struct mach *m = a->m;
	u32 deepest = 0;

	for (u32 b = 0; b < m->n_blocks; b++)
		deepest = MAX(deepest, m->block[b].depth);
	for (u32 turn = 2 * (MIN(deepest, 8u) + 1); turn-- > 0;)
		for (u32 b = 0; b < m->n_blocks; b++) {
			if (MIN(m->block[b].depth, 8u) != turn / 2 || (turn % 2 && !is_detour(a, b)))
				continue;
			for (u32 i = m->block[b].first; i < m->block[b].end; i++)
				if (m->ins[i].op == M_MOVES)
					join_moves(a, &m->ins[i]);
		}
}

/* ---- placing ---- */

static bool test_bits(const u64 *map, u32 from, u32 to)
{
	u32 i = from / 64, last = (to - 1) / 64;
	u64 mask = ~0ull << from % 64, end = ~0ull >> (63 - (to - 1) % 64);

	if (i == last)
		return map[i] & mask & end;
	if (map[i++] & mask)
		return true;
	for (; i < last; i++)
		if (map[i])
			return true;
	return map[last] & end;
}

static void set_bits(u64 *map, u32 from, u32 to)
{
	for (u32 i = from / 64; i <= (to - 1) / 64; i++) {
		u64 mask = ~0ull;

		if (i == from / 64)
			mask &= ~0ull << from % 64;
		if (i == (to - 1) / 64)
			mask &= ~0ull >> (63 - (to - 1) % 64);
		map[i] |= mask;
	}
}

static bool fits(const struct alloc *a, u32 v, u32 reg)
{
	const struct range *r = a->ranges + a->m->value[v].range;

	for (u32 i = 0; i < a->m->value[v].n_ranges; i++)
		if (test_bits(a->m->busy[reg], r[i].from, r[i].to))
			return false;
	return true;
}

static void take(struct alloc *a, u32 v, u32 reg)
{
	const struct range *r = a->ranges + a->m->value[v].range;

	for (u32 i = 0; i < a->m->value[v].n_ranges; i++)
		set_bits(a->m->busy[reg], r[i].from, r[i].to);
	a->m->value[v].reg = (s8)reg;
	a->m->used |= 1u << reg;
}

static struct mach_value *root(struct alloc *a, u32 v)
{
	return &a->m->value[mach_root(a->m, v)];
}

/* Marks what operations destroy, and notes which registers and which other values' registers would save moves. */
static void constraints(struct alloc *a)
{
	struct mach *m = a->m;
	struct mach_operands o;

	for (u32 i = 0; i < m->n_ins; i++) {
		const struct mach_ins *ins = &m->ins[i];

		if (ins->op == M_ENTRY) {
			for (u32 k = 0; k < ins->n; k++)
				root(a, m->list[ins->list + 2 * k])->want = (u8)(m->target->arg[m->list[ins->list + 2 * k + 1]] + 1);
			continue;
		}
		if (ins->op == M_MOVES) {
			for (u32 k = 0; k < ins->n; k++) {
				u32 dst = m->list[ins->list + 2 * k], src = m->list[ins->list + 2 * k + 1];

				if (src == dst || (src < m->ir->n_nodes && ir_is_const(m->ir, src)))
					continue;
				root(a, dst)->hint = src;
				if (!root(a, src)->next)
					root(a, src)->next = dst;
			}
			continue;
		}
		m->target->operands(m, ins, &o);
		for (u32 r = 0; r < m->target->n_registers; r++)
			if (o.clobbers >> r & 1)
				set_bits(m->busy[r], 2 * i + 1, 2 * i + 2);
		for (u32 k = 0; k < o.n_uses; k++)
			if (o.use_fixed[k] >= 0 && !(o.late >> k & 1))
				root(a, o.use[k])->want = (u8)(o.use_fixed[k] + 1);
		if (o.def && o.def_fixed >= 0)
			root(a, o.def)->want = (u8)(o.def_fixed + 1);
		if (o.def && o.tied) {
			if (!root(a, o.def)->hint)
				root(a, o.def)->hint = o.tied;
			if (!root(a, o.tied)->next)
				root(a, o.tied)->next = o.def;
		}
	}
}

struct order {
	float weight;
	u32 v;
};

static void sift(struct order *o, u32 i, u32 n)
{
	struct order x = o[i];

	for (;;) {
		u32 k = 2 * i + 1;

		if (k >= n)
			break;
		if (k + 1 < n && o[k + 1].weight > o[k].weight)
			k++;
		if (o[k].weight <= x.weight)
			break;
		o[i] = o[k];
		i = k;
	}
	o[i] = x;
}

static u32 length(const struct alloc *a, u32 v)
{
	u32 n = 0;

	for (u32 i = 0; i < a->m->value[v].n_ranges; i++)
		n += a->ranges[a->m->value[v].range + i].to - a->ranges[a->m->value[v].range + i].from;
	return n;
}

/* The register of a value that v could share one with, if v fits there. */
static bool share(struct alloc *a, u32 v, u32 with, u32 allowed)
{
	s8 reg = with && with != v ? a->m->value[with].reg : -1;

	if (reg < 0 || !(allowed >> reg & 1) || !fits(a, v, (u32)reg))
		return false;
	take(a, v, (u32)reg);
	return true;
}

/* One that is free for both, so that the other one can share it later. */
static bool share_later(struct alloc *a, u32 v, u32 with, u32 allowed)
{
	const struct target *t = a->m->target;

	if (!with || with == v || a->m->value[with].reg >= 0 || a->m->value[with].slot >= 0 || overlap(a, v, with))
		return false;
	for (u32 i = 0; i < t->n_registers; i++) {
		u32 reg = t->preference[i];

		if (reg < 32 && allowed >> reg & 1 && fits(a, v, reg) && fits(a, with, reg)) {
			take(a, v, reg);
			if (a->eager)
				take(a, with, reg);
			return true;
		}
	}
	return false;
}

static void place(struct alloc *a, u32 v, u32 allowed)
{
	struct mach *m = a->m;
	struct mach_value *x = &m->value[v];
	u32 hint = x->hint ? mach_root(m, x->hint) : 0, next = x->next ? mach_root(m, x->next) : 0;

	if (share(a, v, hint, allowed) || share(a, v, next, allowed))
		return;
	if (x->want && allowed >> (x->want - 1) & 1 && fits(a, v, x->want - 1u)) {
		take(a, v, x->want - 1u);
		return;
	}
	for (u32 k = 0; k < 2; k++) {
		u32 other = k ? next : hint, want = other ? m->value[other].want : 0;

		if (want && m->value[other].reg < 0 && allowed >> (want - 1) & 1 && fits(a, v, want - 1)) {
			take(a, v, want - 1);
			return;
		}
	}
	if (share_later(a, v, next, allowed) || share_later(a, v, hint, allowed))
		return;
	for (u32 i = 0; i < m->target->n_registers; i++) {
		u32 reg = m->target->preference[i];

		if (reg < 32 && allowed >> reg & 1 && fits(a, v, reg)) {
			take(a, v, reg);
			return;
		}
	}
	m->spilled = true;
	if (!x->constant)
		x->slot = (s32)m->n_slots++;
}

static bool place_all(struct alloc *a, u32 allowed)
{
	struct mach *m = a->m;
	struct order *o = arena_array(m->arena, m->n_values, sizeof(*o));
	u32 n = 0;

	a->words = 2 * m->n_ins / 64 + 2;
	for (u32 r = 0; r < m->target->n_registers; r++)
		m->busy[r] = arena_array(m->arena, a->words, sizeof(u64));
	if (!o)
		return false;
	for (u32 r = 0; r < m->target->n_registers; r++)
		if (!m->busy[r])
			return false;
	constraints(a);
	m->used = 0;
	m->spilled = false;
	m->n_slots = 0;
	for (u32 v = 1; v < m->n_values; v++) {
		m->value[v].reg = -1;
		m->value[v].slot = -1;
		if (m->value[v].parent == v && m->value[v].n_ranges)
			o[n++] = (struct order){m->value[v].weight / (float)(length(a, v) + 1), v};
	}
	for (u32 i = n / 2; i-- > 0;)
		sift(o, i, n);
	while (n) {
		u32 v = o[0].v;

		o[0] = o[--n];
		if (n)
			sift(o, 0, n);
		if (m->value[v].reg < 0)
			place(a, v, allowed);
	}
	return true;
}

int regalloc(struct mach *m)
{
	struct alloc a = {.m = m};
	u32 allowed = m->target->allocatable;

	m->value = arena_array(m->arena, m->n_values, sizeof(*m->value));
	a.seen = arena_array(m->arena, m->n_blocks + 1, sizeof(u32));
	a.block_end = arena_array(m->arena, m->n_blocks + 1, sizeof(u32));
	a.work = arena_array(m->arena, m->n_blocks + 1, sizeof(u32));
	a.live_in = arena_array(m->arena, m->n_blocks + 1, sizeof(u32));
	if (!m->value || !a.seen || !a.block_end || !a.work || !a.live_in)
		return -ENOMEM;
	a.frequency[0] = 1;
	for (u32 i = 1; i < 16; i++)
		a.frequency[i] = a.frequency[i - 1] * 8;
	for (u32 v = 0; v < m->n_values; v++)
		m->value[v].parent = v;
	for (u32 i = 0; i < m->n_ins; i++)
		if (m->ins[i].op == M_MOVI) {
			m->value[m->ins[i].dst].constant = true;
			m->value[m->ins[i].dst].imm = m->ins[i].imm;
		}
	if (!collect(&a) || !predecessors(&a))
		return -ENOMEM;
	for (u32 v = 1; v < m->n_values && !m->failed; v++)
		lifetime(&a, v);
	join_phis(&a);
	if (m->failed)
		return -ENOMEM;
	a.eager = true;
	if (m->options->registers) /* a test leaves fewer */
		allowed &= m->options->registers;
	else if (!place_all(&a, allowed))
		return -ENOMEM;
	a.eager = false;
	if ((m->spilled || m->options->registers) && !place_all(&a, allowed & ~m->target->scratch))
		return -ENOMEM;
	if (m->options->registers)
		m->spilled = true;
	for (u32 v = 1; v < m->n_values; v++) {
		u32 root = mach_root(m, v);

		m->value[v].reg = m->value[root].reg;
		m->value[v].slot = m->value[root].slot;
	}
	return 0;
}
