/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pruning: a path that arrives where another was, knowing no less than that one did, needs no second walk.
 *
 * Checkpoints are kept per instruction. While paths behind a checkpoint are under way, its liveness and precision marks are incomplete; so are those
 * of a cycle's checkpoints until the cycle's entry is done. A path that is cut off inside of such a cycle is kept as a back edge: when the cycle is
 * done, marks travel over its back edges until nothing changes.
 *
 * How often states are kept, and when one is given up, decides how much a walk costs; the numbers are Linux's, since its limits count it.
 */
#include "verify/prune.h"

enum { MISSES_ALLOWED = 3, MISSES_ALLOWED_FORCED = 64, HISTORY_MOST = 40, STATES_UNPRIVILEGED = 64, BACK_EDGE_ROUNDS = 64 };
enum { DEPTH_DENSE = 16384, SPACING_MOST = 8 };

/* ---- cycles ---- */

struct scc_visit { /* one cycle, entered through one chain of calls */
	struct scc_visit *next;
	u32 callsites[FRAMES], n;
	struct state *entry, *back_edges, *last_back_edge;
};

struct scc {
	struct scc_visit *visits;
};

/* What happens to a cycle: the calls that lead to it, and its number. */
static void log_cycle(struct verifier *v, const char *what, const struct scc_visit *visit, const struct state *s)
{
	if (!(v->log_level & 2) || !scc_is_logged(v, v->aux[frame_insn(s, visit->n)].scc))
		return;
	log_add(v, "SCC %s (", what);
	for (u32 i = 0; i < visit->n && visit->callsites[i]; i++) /* to Linux a call at 0 ends the list */
		log_add(v, "%u,", visit->callsites[i]);
	log_add(v, "%u)\n", v->aux[frame_insn(s, visit->n)].scc);
}

static struct scc_visit *visit_find(struct verifier *v, const struct state *s, bool make)
{
	u32 callsites[FRAMES], n = 0, scc = 0;
	struct scc_visit *at;

	for (; n < s->n_frames; n++) {
		u32 insn = frame_insn(s, n);

		scc = v->aux[insn].scc;
		if (scc)
			break;
		callsites[n] = insn;
	}
	if (!scc)
		return NULL;
	for (at = v->sccs[scc].visits; at; at = at->next)
		if (at->n == n && !memcmp(at->callsites, callsites, n * sizeof(*callsites)))
			return at;
	if (!make)
		return NULL;
	at = arena_alloc(&v->arena, sizeof(*at));
	if (!at)
		return NULL;
	memcpy(at->callsites, callsites, n * sizeof(*callsites));
	at->n = n;
	at->next = v->sccs[scc].visits;
	v->sccs[scc].visits = at;
	return at;
}

static int scc_visit_enter(struct verifier *v, struct state *s)
{
	struct scc_visit *visit = visit_find(v, s, true);

	if (visit && !visit->entry) {
		visit->entry = s;
		log_cycle(v, "enter", visit, s);
	}
	return 0;
}

/* Linux keeps states in as many lists as there are instructions; the most in one of them is a figure of the log, and what unprivileged programs may have. */
static u32 *list_size(struct verifier *v, const struct state *s)
{
	return &v->list_sizes[(s->insn ^ (s->n_frames > 1 ? s->callsite[s->n_frames - 1] : UINT32_MAX)) % v->n];
}

int prune_open(struct verifier *v)
{
	v->sccs = arena_array(&v->arena, v->n_sccs, sizeof(*v->sccs));
	v->list_sizes = arena_array(&v->arena, v->n, sizeof(*v->list_sizes));
	return v->sccs && v->list_sizes ? 0 : reject(v, REJECT_MEMORY, "out of memory");
}

static void states_free(struct verifier *v, struct state **list)
{
	for (struct state *s = *list, *next; s; s = next) {
		next = s->next;
		state_free(v, s);
	}
	*list = NULL;
}

static void back_edges_free(struct verifier *v, struct scc_visit *visit)
{
	for (struct state *s = visit->back_edges, *next; s; s = next) {
		next = s->next;
		back_edge_free(v, s);
		v->live_states--;
	}
	visit->back_edges = NULL;
}

/* Their number stays: Linux takes all functions together for the most that there were at a time. */
void prune_forget(struct verifier *v)
{
	for (u32 i = 0; i < v->n; i++)
		states_free(v, &v->aux[i].states);
	states_free(v, &v->dropped);
	for (u32 i = 0; i < v->n_sccs; i++)
		for (struct scc_visit *visit = v->sccs[i].visits; visit; visit = visit->next)
			back_edges_free(v, visit);
	memset(v->sccs, 0, v->n_sccs * sizeof(*v->sccs));
	memset(v->list_sizes, 0, v->n * sizeof(*v->list_sizes));
}

static bool marks_incomplete(struct verifier *v, const struct state *s)
{
	struct scc_visit *visit = visit_find(v, s, false);

	return visit && visit->back_edges;
}

static void reads_propagate(struct verifier *v, const struct state *old, struct state *cur)
{
	for (u32 f = 0; f < old->n_frames; f++)
		for (u64 m = old->stack_read[f]; m; m &= m - 1)
			stack_note_read(v, cur, f, (u32)__builtin_ctzll(m));
}

static int back_edges_settle(struct verifier *v, struct scc_visit *visit)
{
	bool changed = true;
	int err;

	for (u32 round = 0; changed; round++) {
		u64 marks = v->read_marks;

		changed = false;
		for (struct state *s = visit->back_edges; s; s = s->next) {
			if (round == BACK_EDGE_ROUNDS)
				path_scalars_precise(s->parent);
			err = propagate_precision(v, s->equal, s, &changed);
			if (err)
				return err;
			reads_propagate(v, s->equal, s);
		}
		changed |= marks != v->read_marks;
	}
	back_edges_free(v, visit);
	return 0;
}

static void state_lives(struct verifier *v)
{
	struct verify_stats *stats = &v->result->stats;

	v->live_states++;
	stats->peak_states = MAX(stats->peak_states, v->live_states);
}

/*
 * Marks go from where a path was cut off to where it came from, and the walk cut the latest paths off first: taken in that order, two rounds are mostly
 * enough. Linux takes them the other way round, and after so many rounds marks all; its result needs its order.
 */
static void back_edge_put(const struct verifier *v, struct scc_visit *visit, struct state *s)
{
	if (v->joins && visit->back_edges) {
		s->next = NULL;
		visit->last_back_edge->next = s;
		visit->last_back_edge = s;
		return;
	}
	s->next = visit->back_edges;
	visit->back_edges = s;
	if (!s->next)
		visit->last_back_edge = s;
}

static int back_edge_add(struct verifier *v, struct state *old, const struct state *cur)
{
	struct scc_visit *visit = visit_find(v, old, true);
	struct state *s = visit ? back_edge_new(v, cur) : NULL; /* what is marked lies in the checkpoints on its way */

	if (!s)
		return reject(v, REJECT_MEMORY, "out of memory");
	log_cycle(v, "backedge", visit, old);
	s->insn = v->insn;
	s->equal = old;
	back_edge_put(v, visit, s);
	state_lives(v);
	return 0;
}

int path_done(struct verifier *v, struct state *s)
{
	for (; s; s = s->parent) {
		struct scc_visit *visit;
		int err;

		if (--s->branches)
			break;
		if (s->dropped && !marks_incomplete(v, s)) {
			s->dropped = false;
			v->live_states--;
		}
		visit = visit_find(v, s, false);
		if (visit && visit->entry == s) {
			log_cycle(v, "exit", visit, s);
			err = back_edges_settle(v, visit);
			if (err)
				return err;
			visit->entry = NULL;
		}
	}
	return 0;
}

/* ---- loops of iterators and callbacks ---- */

struct state *loop_previous(struct verifier *v, const struct state *s, u32 insn)
{
	for (struct state *old = v->aux[insn].states; old; old = old->next)
		if (old->branches && old->dfs_depth < s->dfs_depth && same_callsites(old, s))
			return old;
	return NULL;
}

static bool widens(struct verifier *v, const struct reg *old, const struct reg *cur, bool precise)
{
	return old->type == R_SCALAR && cur->type == R_SCALAR && !precise && !regs_interchangeable(v, old, cur);
}

void loop_widen(struct verifier *v, const struct state *old, struct state *cur)
{
	ids_forget(v);
	for (u32 f = old->n_frames; f-- > 0;) {
		const struct frame *a = old->frame[f];
		struct frame *b = cur->frame[f];

		for (u32 i = 0; i < REGS; i++)
			if (widens(v, reg_at(a, i), reg_at(b, i), reg_precise(v, old, f, i)))
				reg_forget(v, &regs_edit(v, b)[i]);
		for (u32 i = 0; i < MIN(a->n_slots, b->n_slots); i++) {
			const struct stack_slot *s = stack_at(a, i), *t = stack_at(b, i);

			if (stack_is_spill(s) && stack_is_spill(t) && widens(v, &s->reg, &t->reg, slot_precise(v, old, f, i)))
				reg_forget(v, &stack_edit(v, b, i)->reg);
		}
	}
}

/* ---- arriving ---- */

enum arrival { MISS, MISS_IN_LOOP, HIT, HIT_LOOP, FAILED };

/* The iterator that the instruction advances is the one at R1; does it still go on? */
static bool iterator_active(const struct state *s)
{
	const struct reg *r = &s->frame[s->n_frames - 1]->regs[1];
	const struct frame *f;
	s64 off;

	if (r->type != R_STACK || r->frame >= s->n_frames || !scalar_is_const(&r->v))
		return false;
	f = s->frame[r->frame];
	off = r->off + (s64)r->v.bits.value;
	if (off >= 0 || -off > (s64)f->n_slots * SLOT_BYTES)
		return false;
	return stack_at(f, (u32)(-off - 1) / SLOT_BYTES)->reg.iter.state == ITER_ACTIVE;
}

/* An old state in which the registers of the current frame are those of the current one, also where it keeps only a digest of them. */
static void log_old(struct verifier *v, struct state *old, const struct state *cur)
{
	struct reg **regs = &cur_frame(old)->regs, *kept = *regs;

	*regs = cur_frame(cur)->regs;
	log_state(v, old, old->n_frames - 1, true);
	*regs = kept;
}

/* The old checkpoint lies on this very path, or on a sibling's that is not finished. */
static enum arrival arrive_unfinished(struct verifier *v, struct state *old, u32 insn)
{
	struct state *cur = v->cur;
	const struct frame *f = cur_frame(old);
	const struct insn_aux *aux = &v->aux[insn];

	if (f->in_async_callback && f->async_count != cur_frame(cur)->async_count)
		return MISS_IN_LOOP; /* another entry of the callback: no sign of a loop */
	if (aux->is_iter_next && (!v->safe || iterators_go_on(old, cur)))
		return state_covers(v, old, cur, RANGE) && iterator_active(cur) ? HIT_LOOP : MISS_IN_LOOP;
	if (v->insns[insn].op == OP_MAY_GOTO && old->may_goto_depth != cur->may_goto_depth && state_covers(v, old, cur, RANGE))
		return HIT_LOOP;
	if (aux->calls_callback)
		return !state_covers(v, old, cur, RANGE) ? MISS_IN_LOOP : visit_find(v, old, false) ? HIT_LOOP : HIT;
	if (state_maybe_looping(v, old, cur) && state_covers(v, old, cur, EXACT) && !iterators_moved(old, cur) &&
	    old->may_goto_depth == cur->may_goto_depth && old->callback_unroll_depth == cur->callback_unroll_depth &&
	    !(v->joining && join_inside(v, cur))) {
		log_source(v, insn);
		reject(v, REJECT_INFINITE_LOOP, "infinite loop detected at insn %u", insn);
		log_add(v, "cur state:");
		log_state(v, cur, cur->n_frames - 1, true);
		log_add(v, "old state:");
		log_old(v, old, cur);
		return FAILED;
	}
	return MISS_IN_LOOP;
}

/* The latest of an arrival's joined states holds what those before it hold. */
static enum arrival arrive_joined(struct verifier *v, const struct state *latest, const struct state *cur)
{
	bool loop = latest->branches || marks_incomplete(v, latest);

	return !state_covers(v, latest, cur, loop ? JOINED : LOOSE) ? MISS : loop ? HIT_LOOP : HIT;
}

/* What covers a path must end where that path would have. */
static enum arrival arrival_ends(const struct verifier *v, enum arrival a, const struct state *old, u32 insn, bool enters)
{
	/* An iterator ends its loop, but for one that each turn makes anew: Linux accepts that. */
	if (a == HIT_LOOP && v->safe && v->insns[insn].op != OP_MAY_GOTO && !v->aux[insn].calls_callback && !iterators_go_on(old, v->cur))
		return MISS_IN_LOOP;
	return (a == HIT || a == HIT_LOOP) && v->joining && !join_covers(v, old, insn, enters) ? MISS : a;
}

static u32 misses_allowed(const struct insn_aux *aux, const struct state *old)
{
	return old->joined || (aux->force_checkpoint && old->branches) ? MISSES_ALLOWED_FORCED : MISSES_ALLOWED;
}

static int prune_here(struct verifier *v, struct state *old, bool loop)
{
	int err;

	old->hits++;
	reads_propagate(v, old, v->cur);
	err = propagate_precision(v, old, v->cur, NULL);
	return !err && loop ? back_edge_add(v, old, v->cur) : err;
}

/*
 * Of registers that nobody reads again a checkpoint keeps no more than whether they are the same: but for those that what goes round is widened
 * or joined by, in the order of all its ids. The log of level 2 shows them all.
 */
static s32 regs_to_keep(const struct verifier *v, u32 insn, bool joins)
{
	const struct insn_aux *aux = &v->aux[insn];

	return joins || v->log_level & 2 || aux->force_checkpoint || aux->calls_callback || v->insns[insn].op == OP_MAY_GOTO ? (s32)ALL_REGS : (s32)aux->live_in;
}

static int checkpoint_add(struct verifier *v, u32 insn, bool joins)
{
	struct state *cur = v->cur, *s = state_new(v);

	if (!s)
		return reject(v, REJECT_MEMORY, "out of memory");
	v->result->stats.total_states++;
	state_lives(v);
	v->walked.prev_jumps = v->walked.jumps;
	v->walked.prev_insns = v->walked.insns;
	if (state_copy(v, s, cur, regs_to_keep(v, insn, joins)))
		return reject(v, REJECT_MEMORY, "out of memory");
	cur->n_hist = cur->n_links = 0; /* the segment's history is the checkpoint's */
	s->insn = insn;
	s->hits = s->misses = s->entry = s->joins = 0;
	s->joined = s->all_precise = false;
	s->latest = NULL;
	memset(s->stack_read, v->safe ? 0 : 0xff, sizeof(s->stack_read));
	s->cleaned = s->dropped = false;
	if (scc_visit_enter(v, s))
		return v->why->err;
	cur->parent = s;
	cur->first_insn = insn;
	cur->dfs_depth = s->dfs_depth + 1;
	memset(cur->stack_written, 0, sizeof(cur->stack_written));
	cur->fresh = 0;
	++*list_size(v, s);
	s->next = v->aux[insn].states;
	v->aux[insn].states = s;
	return 0;
}

static void checkpoint_drop(struct verifier *v, struct state **link)
{
	struct state *s = *link;

	*link = s->next;
	--*list_size(v, s);
	if (!s->branches && !marks_incomplete(v, s))
		v->live_states--;
	else
		s->dropped = true;
	if (!s->branches && !visit_find(v, s, false)) {
		state_free(v, s);
		return;
	}
	if (!s->joined && !s->entry && !(v->log_level & 2)) /* joins go on from those; the log shows what ways back pass */
		state_strip(v, s);
	s->next = v->dropped; /* others may still walk through it */
	v->dropped = s;
}

/* How far checkpoints lie apart, as a multiple of Linux's numbers: a path that goes on without end needs memory for each in skep's own result. */
static u32 spacing(const struct verifier *v)
{
	return v->joins ? MIN(v->cur->dfs_depth / DEPTH_DENSE + 1, SPACING_MOST) : 1;
}

/*
 * As Linux walks, what nobody reads again no longer counts in a checkpoint once everything behind it was walked: at the first arrival after that, and
 * once for all, though the analysis may find more read later.
 */
static void states_clean(struct verifier *v, u32 insn)
{
	for (struct state *s = v->aux[insn].states; s; s = s->next) {
		if (s->branches || s->cleaned || !same_callsites(s, v->cur) || marks_incomplete(v, s))
			continue;
		s->cleaned = true;
		for (u32 f = 0; f < s->n_frames; f++)
			s->stack_read[f] = live_stack_slots(v, s, f);
	}
}

int prune_visit(struct verifier *v, u32 insn, bool *pruned)
{
	const u32 apart = spacing(v);
	struct insn_aux *aux = &v->aux[insn];
	struct state *cur = v->cur, **link = &aux->states, *old;
	bool force = v->test_state_freq || aux->force_checkpoint || cur->n_hist - cur->n_links > HISTORY_MOST * apart;
	u32 jumps = v->walked.jumps - v->walked.prev_jumps, seen;
	u64 walked = v->walked.insns - v->walked.prev_insns;
	bool add = force || (jumps >= 2 && walked >= 8), enters = false, made = false;
	struct state *entry = NULL;

	*pruned = false;
	if (v->opts->switches & VERIFY_NO_PRUNE && !aux->force_checkpoint)
		return 0;
	cur->insn = insn;
	seen = *list_size(v, cur);
	if (!v->safe)
		states_clean(v, insn);
	if (v->joins)
		lone_ids_drop(v, cur);
	if (v->joining && join_heads(v, insn)) {
		int err = join_enter(v, insn, &enters);

		if (err)
			return err;
		entry = enters ? NULL : join_entry(v, insn);
		if (entry)
			join_tighten(v, insn, entry);
		force |= enters;
		add |= enters;
	}
	if (entry && entry->latest) { /* the same entry's turns, which are bounded */
		enum arrival a = arrival_ends(v, arrive_joined(v, entry->latest, cur), entry->latest, insn, enters);

		if (a == HIT || a == HIT_LOOP) {
			*pruned = true;
			return prune_here(v, entry->latest, a == HIT_LOOP);
		}
	}
	while ((old = *link)) {
		enum arrival a = MISS;

		if (!same_callsites(old, cur)) {
			link = &old->next;
			continue;
		}
		if (old->branches) {
			a = arrive_unfinished(v, old, insn);
		} else {
			bool loop = marks_incomplete(v, old);

			if (state_covers(v, old, cur, !loop ? LOOSE : old->joined ? JOINED : RANGE))
				a = loop ? HIT_LOOP : HIT;
		}
		if (a == FAILED)
			return v->why->err;
		a = arrival_ends(v, a, old, insn, enters);
		if (a == HIT || a == HIT_LOOP) {
			*pruned = true;
			return prune_here(v, old, a == HIT_LOOP);
		}
		if (a == MISS_IN_LOOP && !force && jumps < 20 * apart && walked < 100 * apart)
			add = false;
		old->misses += add;
		if (old->misses > (old->hits + 1) * misses_allowed(aux, old))
			checkpoint_drop(v, link);
		else
			link = &old->next;
	}
	v->result->stats.max_states_per_insn = MAX(v->result->stats.max_states_per_insn, seen);
	if (entry) {
		int err = join_make(v, insn, entry, &made);

		if (err)
			return err;
	}
	if (!made && (!add || (!v->priv && seen > STATES_UNPRIVILEGED)))
		return 0;
	if (checkpoint_add(v, insn, made || enters))
		return v->why->err;
	if (made)
		join_made(v, cur->parent, entry);
	else if (enters)
		join_arrived(v, cur->parent);
	return 0;
}
