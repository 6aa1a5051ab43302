/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which loops end, and after how many turns at most: a proof that needs no walk through the turns.
 *
 * Natural loops come from dominators. Inside of one, each register and stack slot is followed as "what a place held at the head, plus a constant". A place
 * that every turn changes by the same constant, and a jump on it that every turn passes and that leaves the loop unless the place is still on the near
 * side of a limit which the loop does not change, bound the turns; the numbers come from the state that enters the loop (trips.c). So do a may_goto that
 * every turn passes, and a call that advances an iterator which was active before the loop.
 *
 * Rules:
 *  1. What is said of registers follows from the instructions alone. Slots can also be written through pointers: what was seen to be is left out, and join.c watches
 *     the others (stack_indirect()).
 *  2. A function with a cycle that has no single head has no loops here.
 */
#include "verify/loop.h"

enum { LOOPS_MOST = 4096, WORK_PER_INSN = 64, LEADERS_MOST = 4096, SWEEPS_MOST = 64, NONE = -1 };

/* ---- the function's graph ---- */

struct graph {
	struct verifier *v;
	u32 start, n; /* instructions are counted from start */
	u32 *order, n_order; /* reverse postorder */
	u32 *rank; /* place in it; UINT32_MAX: not reached */
	u32 *idom;
	u32 *pred_at, *preds;
	u32 *leader; /* of the loop that is studied */
	u64 work;
};

static u32 next_of(const struct graph *g, u32 at, u32 to[2])
{
	u32 all[2], n = cfg_successors(g->v, at + g->start, all), kept = 0;

	for (u32 i = 0; i < n; i++)
		if (all[i] - g->start < g->n)
			to[kept++] = all[i] - g->start;
	return kept;
}

static int graph_order(struct graph *g)
{
	u32 *stack = arena_array(&g->v->arena, g->n, sizeof(u32)), top = 0, done = g->n;
	u8 *edge = arena_alloc(&g->v->arena, g->n);

	g->order = arena_array(&g->v->arena, g->n, sizeof(u32));
	g->rank = arena_array(&g->v->arena, g->n, sizeof(u32));
	g->idom = arena_array(&g->v->arena, g->n, sizeof(u32));
	g->pred_at = arena_array(&g->v->arena, g->n + 1, sizeof(u32));
	g->preds = arena_array(&g->v->arena, 2 * g->n, sizeof(u32));
	g->leader = arena_array(&g->v->arena, g->n, sizeof(u32));
	if (!stack || !edge || !g->order || !g->rank || !g->idom || !g->pred_at || !g->preds || !g->leader)
		return -ENOMEM;
	memset(g->rank, 0xff, g->n * sizeof(u32));
	g->rank[0] = 0;
	stack[top++] = 0;
	while (top) {
		u32 at = stack[top - 1], to[2], n = next_of(g, at, to);

		if (edge[at] < n) {
			u32 next = to[edge[at]++];

			if (g->rank[next] == UINT32_MAX) {
				g->rank[next] = 0;
				stack[top++] = next;
			}
			continue;
		}
		top--;
		g->order[--done] = at;
	}
	g->n_order = g->n - done;
	memmove(g->order, g->order + done, g->n_order * sizeof(u32));
	for (u32 i = 0; i < g->n_order; i++)
		g->rank[g->order[i]] = i;
	return 0;
}

static void graph_preds(struct graph *g)
{
	u32 to[2];

	for (u32 i = 0; i < g->n_order; i++)
		for (u32 k = 0, n = next_of(g, g->order[i], to); k < n; k++)
			g->pred_at[to[k] + 1]++;
	for (u32 i = 0; i < g->n; i++)
		g->pred_at[i + 1] += g->pred_at[i];
	for (u32 i = 0; i < g->n_order; i++)
		for (u32 k = 0, n = next_of(g, g->order[i], to); k < n; k++)
			g->preds[g->pred_at[to[k]]++] = g->order[i];
	for (u32 i = g->n; i > 0; i--)
		g->pred_at[i] = g->pred_at[i - 1];
	g->pred_at[0] = 0;
}

/* Immediate dominators (Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm). */
static void graph_dominators(struct graph *g)
{
	bool changed = true;

	memset(g->idom, 0xff, g->n * sizeof(u32));
	g->idom[0] = 0;
	while (changed) {
		changed = false;
		for (u32 i = 1; i < g->n_order; i++) {
			u32 at = g->order[i], dom = UINT32_MAX;

			for (u32 k = g->pred_at[at]; k < g->pred_at[at + 1]; k++) {
				u32 p = g->preds[k];

				if (g->idom[p] == UINT32_MAX)
					continue;
				for (dom = dom == UINT32_MAX ? p : dom; dom != p;) {
					while (g->rank[p] > g->rank[dom])
						p = g->idom[p];
					while (g->rank[dom] > g->rank[p])
						dom = g->idom[dom];
				}
			}
			if (g->idom[at] != dom) {
				g->idom[at] = dom;
				changed = true;
			}
		}
	}
}

static bool dominates(const struct graph *g, u32 a, u32 b)
{
	while (g->rank[b] > g->rank[a])
		b = g->idom[b];
	return a == b;
}

/* ---- natural loops ---- */

static struct loop *loop_at(struct verifier *v, u32 head, u32 first)
{
	for (u32 i = first; i < v->n_loops; i++)
		if (v->loops[i].head == head)
			return &v->loops[i];
	return NULL;
}

static struct loop *loop_new(struct graph *g, u32 head)
{
	struct verifier *v = g->v;
	struct loop *l;

	if (v->n_loops == LOOPS_MOST)
		return NULL;
	if (v->n_loops == v->cap_loops) {
		struct loop *more = arena_array(&v->arena, 2 * v->cap_loops, sizeof(*more));

		if (!more)
			return NULL;
		memcpy(more, v->loops, v->n_loops * sizeof(*more));
		v->loops = more;
		v->cap_loops *= 2;
	}
	l = &v->loops[v->n_loops++];
	l->head = head + g->start;
	l->start = g->start;
	l->size = g->n;
	l->members = arena_array(&v->arena, (g->n + 63) / 64, sizeof(u64));
	l->latches = arena_array(&v->arena, g->pred_at[head + 1] - g->pred_at[head], sizeof(u32));
	return l->members && l->latches ? l : NULL;
}

static void member_add(struct loop *l, u32 at)
{
	l->members[at / 64] |= 1ull << at % 64;
	l->n_members++;
}

/* All that reaches the latch without passing the head. */
static void loop_fill(struct graph *g, struct loop *l, u32 latch, u32 *stack)
{
	u32 top = 0;

	l->latches[l->n_latches++] = latch;
	if (!loop_has(l, l->head))
		member_add(l, l->head - l->start);
	if (!loop_has(l, latch + l->start)) {
		member_add(l, latch);
		stack[top++] = latch;
	}
	while (top) {
		u32 at = stack[--top];

		for (u32 k = g->pred_at[at]; k < g->pred_at[at + 1]; k++, g->work++)
			if (!loop_has(l, g->preds[k] + l->start)) {
				member_add(l, g->preds[k]);
				stack[top++] = g->preds[k];
			}
	}
}

/* Each back edge's loop. false: a cycle has no single head, or it is too much. */
static bool loops_of(struct graph *g, u32 first)
{
	u32 *stack = arena_array(&g->v->arena, g->n, sizeof(u32)), to[2];

	if (!stack)
		return false;
	for (u32 i = 0; i < g->n_order; i++) {
		u32 at = g->order[i];

		for (u32 k = 0, n = next_of(g, at, to); k < n; k++) {
			struct loop *l;

			if (g->rank[to[k]] > i)
				continue;
			if (!dominates(g, to[k], at))
				return false;
			l = loop_at(g->v, to[k] + g->start, first);
			l = l ? l : loop_new(g, to[k]);
			if (!l)
				return false;
			loop_fill(g, l, at, stack);
			if (g->work > (u64)WORK_PER_INSN * g->n)
				return false;
		}
	}
	return true;
}

/* aux.loop: the smallest loop around each instruction; loop.outer. */
static void loops_nest(struct verifier *v, u32 first)
{
	for (u32 i = first; i < v->n_loops; i++) {
		struct loop *l = &v->loops[i];

		for (u32 at = l->start; at < l->start + l->size; at++) {
			u32 *mine = &v->aux[at].loop;

			if (loop_has(l, at) && (!*mine || v->loops[*mine].n_members > l->n_members))
				*mine = i;
		}
	}
	for (u32 i = first; i < v->n_loops; i++)
		for (u32 k = first; k < v->n_loops; k++) {
			struct loop *l = &v->loops[i], *around = &v->loops[k];

			if (i != k && loop_has(around, l->head) && (!l->outer || v->loops[l->outer].n_members > around->n_members))
				l->outer = k;
		}
}

/* ---- places along one turn ---- */

struct turn {
	const struct graph *g;
	struct loop *l;
	u32 *leader; /* per instruction: 1 + index of its block's begin, 0: none */
	u8 *met;
	struct sym (*in)[PLACES];
	u32 n_leaders;
	struct sym end[PLACES]; /* at the back edges */
	bool ended, changed;
	u64 indirect; /* slots that pointers write: nothing is known of them */
};

static bool merge(struct sym *into, const struct sym *s)
{
	if (into->kind == SYM_UNKNOWN || (into->kind == s->kind && into->base == s->base && into->delta == s->delta))
		return false;
	if (s->kind != SYM_UNKNOWN && into->kind != SYM_HIGH && s->kind != SYM_HIGH && into->base == s->base && (s32)into->delta == (s32)s->delta &&
	    (into->kind != SYM_FULL || s->kind != SYM_FULL)) {
		into->delta = (s32)into->delta;
		if (into->kind == SYM_LOW)
			return false;
		into->kind = SYM_LOW;
		return true;
	}
	*into = (struct sym){0};
	return true;
}

static void flow(struct turn *t, const struct sym *s, u32 to)
{
	struct sym *into;
	u32 k;

	if (!loop_has(t->l, to + t->l->start))
		return;
	if (to + t->l->start == t->l->head) {
		if (!t->ended)
			memcpy(t->end, s, sizeof(t->end));
		for (u32 i = 0; i < PLACES; i++)
			merge(&t->end[i], &s[i]);
		t->ended = true;
		return;
	}
	k = t->leader[to] - 1;
	into = t->in[k];
	if (!t->met[k]) {
		t->met[k] = 1;
		t->changed = true;
		memcpy(into, s, sizeof(t->in[k]));
		return;
	}
	for (u32 i = 0; i < PLACES; i++)
		t->changed |= merge(&into[i], &s[i]);
}

static s32 slot_place(s32 off) /* of an aligned slot; NONE */
{
	return off < 0 && off >= -STACK_BYTES && off % SLOT_BYTES == 0 ? REG_FP + (-off / SLOT_BYTES - 1) : NONE;
}

static void kill_slots(struct sym *s, s32 off, u32 bytes)
{
	for (s32 i = 0; i < STACK_SLOTS; i++) {
		s32 low = -(i + 1) * SLOT_BYTES;

		if (low < off + (s32)bytes && off < low + SLOT_BYTES)
			s[REG_FP + i] = (struct sym){0};
	}
}

static struct sym zero_extended(struct sym s)
{
	if (s.kind == SYM_HIGH || s.kind == SYM_FRAME)
		return (struct sym){0};
	if (s.kind != SYM_UNKNOWN) {
		s.kind = SYM_ZEXT;
		s.delta = (s32)s.delta;
	}
	return s;
}

static bool is_number(const struct sym *s)
{
	return s->kind != SYM_UNKNOWN && s->kind != SYM_HIGH && s->kind != SYM_FRAME;
}

static void turn_alu(struct sym *s, const struct insn *in)
{
	struct sym *d = &s[in->dst], was = *d;
	s64 by = in->op == OP_SUB ? (s64)(0 - (u64)in->imm) : in->imm;

	*d = (struct sym){0};
	if (in->op == OP_MOV && !in->imm_src && in->src == REG_FP && in->width == 64) {
		*d = (struct sym){.kind = SYM_FRAME, .base = NO_PLACE};
	} else if (was.kind == SYM_FRAME && (in->op == OP_ADD || in->op == OP_SUB) && in->imm_src && in->width == 64) {
		if (by <= -was.delta && by >= -STACK_BYTES - was.delta)
			*d = (struct sym){.kind = SYM_FRAME, .base = NO_PLACE, .delta = was.delta + by};
	} else if (in->op == OP_MOV && !in->imm_src && in->src != REG_FP) {
		*d = in->src == in->dst ? was : s[in->src];
		*d = in->width == 32 ? zero_extended(*d) : *d;
	} else if ((in->op == OP_ADD || in->op == OP_SUB) && in->imm_src && is_number(&was)) {
		*d = was;
		d->delta = (s64)((u64)was.delta + (u64)by);
		if (in->width == 32)
			d->kind = SYM_ZEXT;
		else if (was.kind == SYM_ZEXT)
			d->kind = SYM_LOW;
		if (d->kind != SYM_FULL)
			d->delta = (s32)d->delta;
	} else if (in->op == OP_LSH && in->imm_src && in->imm == 32 && in->width == 64 && is_number(&was)) {
		*d = was;
		d->kind = SYM_HIGH;
		d->delta = (s32)d->delta;
	} else if (in->op == OP_RSH && in->imm_src && in->imm == 32 && in->width == 64 && was.kind == SYM_HIGH) {
		*d = was;
		d->kind = SYM_ZEXT;
	}
}

static void turn_insn(struct turn *t, struct sym *s, const struct insn *in)
{
	s32 written = insn_destination(in), place;

	if (op_table[in->op].class == OPS_ALU) {
		if (in->dst < REG_FP)
			turn_alu(s, in);
		return;
	}
	if ((in->op == OP_STX || in->op == OP_ST) && in->dst == REG_FP) {
		kill_slots(s, in->off, in->width);
		place = slot_place(in->off);
		if (in->op == OP_STX && in->width == SLOT_BYTES && place != NONE && in->src != REG_FP && !(t->indirect >> (place - REG_FP) & 1))
			s[place] = s[in->src];
		return;
	}
	if (in->op == OP_LDX && in->src == REG_FP && slot_place(in->off) != NONE && in->dst < REG_FP && (in->width == 8 || in->width == 4)) {
		place = slot_place(in->off);
		s[in->dst] = in->width == 8 ? s[place] : zero_extended(s[place]);
		if (s[place].kind != SYM_UNKNOWN)
			t->l->proof_slots |= 1ull << (place - REG_FP);
		return;
	}
	if ((op_table[in->op].class == OPS_ATOMIC || in->op == OP_CMPXCHG || in->op == OP_STORE_REL) && in->dst == REG_FP)
		kill_slots(s, in->off, in->width);
	if (in->op == OP_CALL || in->op == OP_LD_ABS || in->op == OP_LD_IND)
		memset(s, 0, 6 * sizeof(*s));
	if (in->op == OP_CMPXCHG)
		s[0] = (struct sym){0};
	if (written >= 0 && written < REG_FP)
		s[written] = (struct sym){0};
}

typedef void turn_visit(struct turn *t, const struct sym *s, u32 at);

/* One pass over the loop's blocks. */
static void turn_sweep(struct turn *t, turn_visit *visit)
{
	const struct graph *g = t->g;
	u32 from = g->rank[t->l->head - g->start];

	for (u32 i = from; i < g->n_order; i++) {
		u32 at = g->order[i], to[2], n;
		struct sym s[PLACES];

		if (!loop_has(t->l, at + g->start) || !t->leader[at] || !t->met[t->leader[at] - 1])
			continue;
		memcpy(s, t->in[t->leader[at] - 1], sizeof(s));
		for (;;) {
			if (visit)
				visit(t, s, at);
			turn_insn(t, s, &g->v->insns[at + g->start]);
			n = next_of(g, at, to);
			if (n != 1 || t->leader[to[0]] || !loop_has(t->l, to[0] + g->start))
				break;
			at = to[0];
		}
		for (u32 k = 0; k < n; k++)
			flow(t, s, to[k]);
	}
}

static void leader_add(struct turn *t, u32 at)
{
	if (loop_has(t->l, at + t->l->start) && !t->leader[at])
		t->leader[at] = ++t->n_leaders;
}

static void turn_leaders(struct turn *t)
{
	u32 to[2];

	leader_add(t, t->l->head - t->l->start);
	for (u32 at = 0; at < t->g->n; at++) {
		u32 n = loop_has(t->l, at + t->l->start) ? next_of(t->g, at, to) : 0;

		for (u32 k = 0; k < n; k++)
			if (n > 1 || to[k] != at + 1 || t->g->pred_at[to[k] + 1] - t->g->pred_at[to[k]] > 1)
				leader_add(t, to[k]);
	}
}

/* ---- tests ---- */

static bool passed_by_all(const struct turn *t, u32 at)
{
	for (u32 i = 0; i < t->l->n_latches; i++)
		if (!dominates(t->g, at, t->l->latches[i]))
			return false;
	return true;
}

/* x changes by a constant each turn, seen through `at`. */
static bool moves(const struct turn *t, const struct sym *at, u32 width, struct loop_test *test)
{
	const struct sym *step;

	if (!is_number(at))
		return false;
	step = &t->l->step[at->base];
	if (step->kind == SYM_UNKNOWN || step->delta == 0)
		return false;
	test->x = at->base;
	test->x_delta = at->delta;
	test->step = step->delta;
	test->narrow = width == 64 && at->kind == SYM_FULL && !at->delta && step->kind == SYM_ZEXT;
	test->zext = width == 64 && (at->kind == SYM_ZEXT || test->narrow);
	test->width = width == 32 || test->zext ? 32 : 64;
	if (test->width == 32)
		test->step = (s32)step->delta;
	return test->step && (test->width == 32 || (at->kind == SYM_FULL && step->kind == SYM_FULL));
}

static bool stays(const struct turn *t, const struct sym *at, struct loop_test *test)
{
	const struct sym *step = at->kind == SYM_FULL ? &t->l->step[at->base] : NULL;

	if (!step || step->kind != SYM_FULL || step->delta)
		return false;
	test->limit = at->base;
	test->limit_delta = at->delta;
	return true;
}

static bool number_test(const struct turn *t, const struct sym *s, const struct insn *in, struct loop_test *test)
{
	bool taken_stays = loop_has(t->l, (u32)in->target), falls_stays = loop_has(t->l, test->insn + 1);

	if (in->op == OP_JSET || in->dst == REG_FP || taken_stays == falls_stays)
		return false;
	test->op = (u8)(taken_stays ? (enum op)in->op : op_negated(in->op));
	if (in->imm_src) {
		test->limit = NO_PLACE;
		test->limit_delta = in->imm;
		return moves(t, &s[in->dst], in->width, test);
	}
	if (in->src == REG_FP)
		return false;
	if (moves(t, &s[in->dst], in->width, test) && stays(t, &s[in->src], test))
		return true;
	test->op = (u8)op_swapped(test->op);
	return moves(t, &s[in->src], in->width, test) && stays(t, &s[in->dst], test);
}

static bool iterator_test(const struct turn *t, const struct sym *r1, struct loop_test *test)
{
	const struct kfunc *f = t->g->v->aux[test->insn].kfunc;
	struct loop_test place = {.limit = NO_PLACE, .limit_delta = r1->delta};

	if (!t->g->v->aux[test->insn].is_iter_next || (r1->kind != SYM_FRAME && !stays(t, r1, &place)))
		return false;
	test->kind = TEST_ITERATOR;
	test->x = place.limit;
	test->x_delta = place.limit_delta;
	test->most = f && f->role == KROLE_ITER_NUM ? TRIPS_MOST : TRIPS_FINITE;
	return true;
}

static bool budget_test(const struct turn *t, const struct insn *in, struct loop_test *test)
{
	test->kind = TEST_BUDGET;
	return !loop_has(t->l, (u32)in->target);
}

static void test_add(struct turn *t, const struct sym *s, u32 at)
{
	const struct insn *in = &t->g->v->insns[at + t->g->start];
	struct loop_test test = {.insn = at + t->g->start, .x = NO_PLACE, .limit = NO_PLACE};
	struct loop_test *grown;
	bool bounds = false;

	if (op_table[in->op].class == OPS_JMP)
		bounds = number_test(t, s, in, &test);
	else if (in->op == OP_CALL)
		bounds = iterator_test(t, &s[1], &test);
	else if (in->op == OP_MAY_GOTO)
		bounds = budget_test(t, in, &test);
	if (!bounds || !passed_by_all(t, at))
		return;
	grown = arena_array(&t->g->v->arena, t->l->n_tests + 1, sizeof(*grown));
	if (!grown)
		return;
	if (t->l->n_tests)
		memcpy(grown, t->l->tests, t->l->n_tests * sizeof(*grown));
	grown[t->l->n_tests++] = test;
	t->l->tests = grown;
}

/* What one turn does, and which jumps bound the turns. */
static int loop_study(const struct graph *g, struct loop *l)
{
	const struct mem *mem = g->v->prog->mem;
	struct turn t = {.g = g, .l = l, .leader = g->leader, .changed = true};
	size_t bytes;

	memset(t.leader, 0, g->n * sizeof(u32));
	turn_leaders(&t);
	if (t.n_leaders > LEADERS_MOST)
		return 0;
	bytes = t.n_leaders * sizeof(*t.in);
	t.met = arena_alloc(&g->v->arena, t.n_leaders);
	t.in = t.met ? mem_alloc(mem, bytes) : NULL;
	if (!t.in)
		return -ENOMEM;
	t.met[0] = 1;
	t.indirect = g->v->subs[subprog_at(g->v->prog, g->start) - g->v->prog->subprogs].indirect_slots;
	for (u32 i = 0; i < PLACES; i++)
		if (i < REG_FP || !(t.indirect >> (i - REG_FP) & 1))
			t.in[0][i] = (struct sym){.kind = SYM_FULL, .base = (u8)i};
	for (u32 i = 0; t.changed && i < SWEEPS_MOST; i++) {
		t.changed = t.ended = false;
		turn_sweep(&t, NULL);
	}
	if (!t.changed && t.ended) {
		for (u32 i = 0; i < PLACES; i++)
			if (t.end[i].kind != SYM_HIGH && t.end[i].base == i)
				l->step[i] = t.end[i];
		turn_sweep(&t, test_add);
	}
	mem_free(mem, t.in, bytes);
	return 0;
}

static int function_loops(struct verifier *v, u32 sub)
{
	struct graph g = {.v = v, .start = v->prog->subprogs[sub].start, .n = v->prog->subprogs[sub].end - v->prog->subprogs[sub].start};
	u32 first = v->n_loops;
	int err = graph_order(&g);

	if (err)
		return err;
	graph_preds(&g);
	graph_dominators(&g);
	if (!loops_of(&g, first)) {
		v->n_loops = first;
		v->subs[sub].no_joins = true;
		return 0;
	}
	loops_nest(v, first);
	for (u32 i = first; i < v->n_loops && !err; i++)
		err = loop_study(&g, &v->loops[i]);
	return err;
}

int loops_find(struct verifier *v)
{
	int err = 0;

	v->cap_loops = 4;
	v->loops = arena_array(&v->arena, v->cap_loops, sizeof(*v->loops));
	v->n_loops = 1; /* 0: none */
	for (u32 i = 0; i < v->n; i++)
		v->aux[i].loop = 0;
	for (u32 i = 0; v->loops && !err && i < v->prog->n_subprogs; i++)
		err = function_loops(v, i);
	return v->loops && !err ? 0 : reject(v, REJECT_MEMORY, "out of memory");
}
