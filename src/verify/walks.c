/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walks through one function. The first goes turn by turn, as Linux does, and is short. When it does not suffice, joins of states at the heads of loops
 * mostly cost less, or show soon that they lose a proof. They may cost more, though: in loops within loops every widening of the outer one is a new arrival
 * at the inner one, while iterators and may_goto converge without joins; and while a cycle is walked, all bounds of its states count. Which it is shows
 * only by walking, so both ways take turns: joins with a budget that most programs get by with, turn by turn with TURNS_MORE times as much, and then joins with
 * GROWTH times what they had. A walk turn by turn goes on where it was; one with joins begins anew, as it rests on what was found out about loops. So what
 * joins waste is a fraction of what turn by turn costs, and the whole at most a small multiple of what the better way needs.
 *
 * Rules:
 *  1. A walk that is given up, or waits for its next turn, leaves nothing behind but what was found out about loops: restore().
 *  2. A rejection by a walk that joined nothing is the verdict. One below a joined state proves nothing: the walk is made again without joins in that loop.
 *  3. The last walk joins nothing and has all of the limit, so that joins never refuse what is accepted without them.
 *  4. A way that met a limit which is not its budget has had its last turn: the other one is walked to its end, whatever that is.
 *  5. A walk with joins that met no loop with a bound has joined nothing, and is what the other way would be: it goes on when its budget is over.
 *  6. It ends: budgets grow by GROWTH, up to the limit; walks that lost a proof share theirs with the next one and are ATTEMPTS at
 *     most. WALKS_MOST bounds all of them, and is checked.
 */
#include "verify/loop.h"

enum { WALK_FIRST = 1024, JOINS_FIRST = 4 * WALK_FIRST, TURNS_MORE = 8, GROWTH = 4, ATTEMPTS = 4, WALKS_MOST = 20 };

/* What belongs to the walk that goes on now; of one that waits it is kept here. */
#define WALK_PARTS(X)                                                                                                                                          \
	X(aux) X(subs) X(sccs) X(list_sizes) X(cur) X(dropped) X(insn) X(prev_insn) X(pending) X(oldest_whole) X(n_pending) X(n_whole) X(packed) X(walked) X(live_states)
#define PART(field)     __typeof__(((struct verifier *)0)->field) field;
#define EXCHANGE(field) {__typeof__(v->field) other = v->field; v->field = p->field; p->field = other;}

struct parked_walk {
	WALK_PARTS(PART)
	struct verify_stats stats;
	bool held;
};

struct join_snapshot {
	struct insn_aux *aux;
	struct subprog_info *subs;
	struct verify_stats stats;
	u64 live_states;
	size_t log_len;
	struct walked walked;
};

/* ---- the walk again ---- */

static void save(struct verifier *v, struct join_snapshot *s)
{
	memcpy(s->aux, v->aux, v->n * sizeof(*v->aux));
	memcpy(s->subs, v->subs, v->prog->n_subprogs * sizeof(*v->subs));
	s->stats = v->result->stats;
	s->live_states = v->live_states;
	s->log_len = text_length(v->log);
	s->walked = v->walked;
}

static void forget_arrivals(struct verifier *v)
{
	for (u32 i = 1; i < v->n_loops; i++) {
		v->loops[i].unproven = v->loops[i].joined = false;
		v->loops[i].trips = 0;
	}
}

/* Loops that were found stay. */
static void restore(struct verifier *v, const struct join_snapshot *s)
{
	for (u32 i = 0; i < v->n; i++) {
		u32 loop = v->aux[i].loop;

		v->aux[i] = s->aux[i];
		v->aux[i].loop = loop;
	}
	for (u32 i = 0; i < v->prog->n_subprogs; i++) {
		bool no_joins = v->subs[i].no_joins;
		u64 indirect = v->subs[i].indirect_slots;

		v->subs[i] = s->subs[i];
		v->subs[i].no_joins = no_joins;
		v->subs[i].indirect_slots = indirect;
	}
	v->result->stats = s->stats;
	v->live_states = s->live_states;
	text_back(v->log, s->log_len);
	live_stack_forget(v);
	v->walked = s->walked;
	*v->why = (struct rejection){0};
	forget_arrivals(v);
}

/* ---- a walk that waits ---- */

static struct parked_walk *parked_room(struct verifier *v)
{
	struct parked_walk *p = v->parked;
	struct scc *own = v->sccs;
	u32 *own_sizes = v->list_sizes;
	int err;

	if (p)
		return p;
	p = arena_alloc(&v->arena, sizeof(*p));
	if (!p)
		return NULL;
	p->aux = arena_array(&v->arena, v->n, sizeof(*p->aux));
	p->subs = arena_array(&v->arena, v->prog->n_subprogs, sizeof(*p->subs));
	err = prune_open(v);
	p->sccs = v->sccs;
	p->list_sizes = v->list_sizes;
	v->sccs = own;
	v->list_sizes = own_sizes;
	return p->aux && p->subs && !err ? v->parked = p : NULL;
}

static void exchange(struct verifier *v, struct parked_walk *p)
{
	WALK_PARTS(EXCHANGE)
}

/* What is known of loops, from the walk that went on meanwhile. */
static void loops_keep(struct verifier *v, struct insn_aux *aux, struct subprog_info *subs, const struct insn_aux *from, const struct subprog_info *known)
{
	for (u32 i = 0; i < v->n; i++)
		aux[i].loop = from[i].loop;
	for (u32 i = 0; i < v->prog->n_subprogs; i++) {
		subs[i].no_joins = known[i].no_joins;
		subs[i].indirect_slots |= known[i].indirect_slots;
	}
}

/* A log would hold lines of both ways: then the walk is given up. */
bool join_parks(struct verifier *v, int err)
{
	struct parked_walk *p;

	if (err != JOIN_RETRY || !v->walks.over || v->joining || text_length(v->log) != v->before_walk->log_len)
		return false;
	p = parked_room(v);
	if (!p)
		return false;
	v->walked.insns--; /* the instruction is looked at again */
	memcpy(p->subs, v->subs, v->prog->n_subprogs * sizeof(*v->subs));
	loops_keep(v, p->aux, p->subs, v->aux, v->subs);
	p->stats = v->result->stats;
	exchange(v, p);
	v->walked = v->before_walk->walked;
	v->live_states = v->before_walk->live_states;
	return p->held = true;
}

bool join_resumes(struct verifier *v)
{
	struct parked_walk *p = v->parked;

	if (!p || !p->held || v->joining)
		return false;
	exchange(v, p);
	loops_keep(v, v->aux, v->subs, p->aux, p->subs);
	v->result->stats = p->stats;
	p->held = false;
	return true;
}

/* The other way came to a verdict. */
void join_close(struct verifier *v)
{
	struct parked_walk *p = v->parked;

	if (!p || !p->held)
		return;
	v->insns_given_up += p->walked.insns - v->before_walk->walked.insns;
	v->walks_given_up++;
	exchange(v, p);
	state_free(v, v->cur);
	v->cur = NULL;
	pending_forget(v);
	prune_forget(v);
	exchange(v, p);
	p->held = false;
}

static bool any_back_edge(const struct verifier *v)
{
	for (u32 i = 0; i < v->n; i++)
		if (v->aux[i].scc)
			return true;
	return false;
}

/* ---- budgets ---- */

static u64 walked_now(const struct verifier *v)
{
	return v->walked.insns - v->before_walk->walked.insns;
}

/* A walk with joins that came to no bounded loop is as one that joins nothing: there is no other way to take turns with. */
static bool joins_nothing_yet(const struct verifier *v)
{
	return v->joining && !v->walks.bounded;
}

static void budget_begin(struct verifier *v)
{
	u64 left = v->walks.budget > v->walks.spent ? v->walks.budget - v->walks.spent : 0;

	if (v->walks.last || v->walks.turns_end || (!v->joining && v->walks.budget > v->max_insns / GROWTH))
		v->join_after = UINT64_MAX;
	else
		v->join_after = v->before_walk->walked.insns + MAX(left, (u64)WALK_FIRST);
}

static bool any_to_join(const struct verifier *v)
{
	for (u32 i = 1; i < v->n_loops; i++)
		if (v->loops[i].n_tests && !v->loops[i].disabled)
			return true;
	return false;
}

static void take_turns(struct verifier *v)
{
	v->joining = v->walks.turns_end || (!v->walks.joins_end && !v->joining);
	v->walks.last = v->walks.joins_end;
	if (!v->walks.turns++)
		v->walks.of_joins = MAX(v->walks.budget, (u64)JOINS_FIRST);
	else if (v->joining)
		v->walks.of_joins *= GROWTH;
	v->walks.budget = v->joining ? v->walks.of_joins : v->walks.of_joins * TURNS_MORE;
	v->walks.spent = 0;
}

/* Iterators and may_goto converge turn by turn as well, if not at once where loops of them lie in one another. */
static u64 first_budget(const struct verifier *v)
{
	u64 deepest = 1;

	for (u32 i = 1; i < v->n_loops; i++) {
		u64 depth = 0;

		for (u32 k = i; k; k = v->loops[k].outer) {
			bool number = !v->loops[k].n_tests;

			for (u32 t = 0; t < v->loops[k].n_tests; t++)
				number |= v->loops[k].tests[t].kind == TEST_NUMBER;
			depth += !number;
		}
		deepest = MAX(deepest, depth);
	}
	return WALK_FIRST * (2 * deepest - 1);
}

int join_open(struct verifier *v)
{
	struct join_snapshot *s = v->before_walk;

	v->join_after = UINT64_MAX;
	v->joining = false;
	v->join_lost = 0;
	v->join_restudy = false;
	v->walks = (struct walks){.budget = v->test_state_freq ? 0 : WALK_FIRST, .n = 1};
	if (!v->joins || !v->priv || !v->allow_ptr_leaks || !v->allow_uninit_stack || v->opts->switches & VERIFY_NO_PRUNE || !any_back_edge(v))
		return 0;
	if (!s) {
		s = v->before_walk = arena_alloc(&v->arena, sizeof(*s));
		if (!s)
			return reject(v, REJECT_MEMORY, "out of memory");
		s->aux = arena_array(&v->arena, v->n, sizeof(*s->aux));
		s->subs = arena_array(&v->arena, v->prog->n_subprogs, sizeof(*s->subs));
		if (!s->aux || !s->subs)
			return reject(v, REJECT_MEMORY, "out of memory");
	}
	save(v, s);
	forget_arrivals(v);
	v->join_after = v->walked.insns + v->walks.budget;
	return 0;
}

int join_due(struct verifier *v)
{
	v->join_after = UINT64_MAX;
	if (!v->walks.may_join) {
		if (!v->loops && loops_find(v))
			return v->why->err;
		v->walks.may_join = any_to_join(v);
		if (!v->walks.may_join)
			return 0;
		if (v->walks.budget)
			v->walks.budget = first_budget(v);
		if (walked_now(v) <= v->walks.budget) {
			v->join_after = v->before_walk->walked.insns + v->walks.budget;
			return 0;
		}
	}
	if (joins_nothing_yet(v)) {
		v->walks.budget *= GROWTH;
		budget_begin(v);
		return 0;
	}
	v->walks.over = true;
	return JOIN_RETRY;
}

void join_blame(struct verifier *v, int err)
{
	if (!err || err == JOIN_RETRY || !v->joining || v->why->code == REJECT_MEMORY || v->why->code == REJECT_TOO_LARGE ||
	    v->why->code == REJECT_TOO_MANY_JUMPS)
		return;
	for (const struct state *s = v->cur; s; s = s->parent)
		if (s->joined) {
			v->join_lost = v->aux[s->insn].loop;
			return;
		}
}

/* Is a number what bounds it, and not the budget of the function or the elements of an iterator? */
static bool counted(const struct verifier *v, const struct loop *l)
{
	return op_table[v->insns[l->test].op].class == OPS_JMP;
}

/* Turns of loops in one another multiply; the whole of it must stay bounded. */
static u32 loop_too_long(const struct verifier *v)
{
	for (u32 i = 1; i < v->n_loops; i++) {
		u64 all = 1;

		for (u32 k = i; v->loops[i].joined && k; k = v->loops[k].outer)
			if (counted(v, &v->loops[k]))
				all = all * MAX(v->loops[k].trips, 1u) > TRIPS_MOST ? TRIPS_UNKNOWN / TRIPS_MOST : all * MAX(v->loops[k].trips, 1u);
		if (all > TRIPS_MOST)
			return i;
	}
	return 0;
}

static void tell_bounds(struct verifier *v)
{
	struct verify_stats *stats = &v->result->stats;

	for (u32 i = 1; i < v->n_loops; i++) {
		const struct loop *l = &v->loops[i];

		if (!l->joined)
			continue;
		if (stats->n_bounds < VERIFY_BOUNDS)
			stats->bounds[stats->n_bounds++] = (struct verify_bound){l->head, l->test, l->trips};
	}
}

/* The walk met a limit, not a fault of the program: this way would meet it again, the other one may not. */
static bool gave_up(struct verifier *v, int err)
{
	bool limit = err && (v->why->code == REJECT_TOO_LARGE || v->why->code == REJECT_TOO_MANY_JUMPS || v->arena.full);

	if (!limit || v->walks.last || !v->walks.may_join || joins_nothing_yet(v) || (!v->joining && v->why->code == REJECT_TOO_LARGE))
		return false;
	*(v->joining ? &v->walks.joins_end : &v->walks.turns_end) = true;
	return !v->walks.joins_end || !v->walks.turns_end;
}

bool join_again(struct verifier *v, int *err)
{
	bool turns = *err == JOIN_RETRY ? v->walks.over : gave_up(v, *err), lost;

	v->walks.over = false;
	if (v->joining && !*err && !v->join_lost)
		v->join_lost = loop_too_long(v);
	lost = v->joining && v->join_lost;
	if (!turns && !lost) {
		if (v->joining && !*err)
			tell_bounds(v);
		return false;
	}
	if (++v->walks.n > WALKS_MOST || (v->join_restudy && loops_find(v))) {
		*err = v->why->code == REJECT_MEMORY ? v->why->err : bug(v, "the walks through a function do not come to an end");
		return false;
	}
	if (lost && !v->join_restudy)
		v->loops[v->join_lost].disabled = true;
	v->join_lost = 0;
	v->join_restudy = false;
	v->walks.bounded = false;
	v->walks.spent += walked_now(v);
	v->insns_given_up += walked_now(v);
	v->walks_given_up += v->joining || !v->parked || !v->parked->held;
	restore(v, v->before_walk);
	v->arena.full = false;
	if (turns)
		take_turns(v);
	v->walks.last |= !any_to_join(v) || (!turns && ++v->walks.attempts >= ATTEMPTS);
	v->joining &= !v->walks.last;
	budget_begin(v);
	return true;
}
