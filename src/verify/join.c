/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Joins at the heads of loops: one state for all turns, in place of one per turn and path.
 *
 * When a path comes back to the head of a loop whose turns are bounded, the current state is made to hold every turn: what each turn changes by a
 * constant gets the range that the bound allows, what changes otherwise is joined and widened. The walk goes on from there; a path that arrives at the
 * head again and is covered by such a state needs no further walk. A state that knows less is always sound; what it costs is precision, so that a
 * rejection below a joined state proves nothing: the function is walked again, without joins in that loop (walks.c).
 *
 * Rules:
 *  1. A join never proves that a loop ends. States are joined only where the loop, and every loop around it in its function and in the callers, has a
 *     bound for every arrival from outside (join_enter()); what the bounds rest on is precise from there on.
 *  2. A joined state, and any state behind it within the loop, covers only paths of the same arrival: what turns change by a constant is bounded by
 *     where that arrival began, and the paths that were walked ended by it (join_covers()). Nor would a cycle through an outer loop be seen otherwise.
 *  3. Every bound that a joined state holds is precise, also on the path that led to it; its scalars share no ids.
 *  4. The bound is that of the arrival, whose turns all that a joined state covers are (rule 2). What the joined state itself knows need not tell it:
 *     numbers that lie between a counter's first and its last one may step over a limit that the counter's own meet.
 *  5. An arrival makes at most JOINS_MOST joined states; after that its turns are walked one by one.
 */
#include "verify/loop.h"
#include "verify/prune.h"

__extension__ typedef __int128 wide;

enum { WIDENINGS = 3, JOINS_MOST = 12 };

/* ---- bounds ---- */

static u32 innermost(const struct verifier *v, const struct state *s, u32 frame)
{
	return v->aux[frame_insn(s, frame)].loop;
}

bool join_inside(const struct verifier *v, const struct state *s)
{
	for (u32 f = s->n_frames; f-- > 0;) {
		u32 loop = innermost(v, s, f);

		if (loop)
			return v->loops[loop].joined;
	}
	return false;
}

static int mark_place(struct verifier *v, u32 place)
{
	u32 frame = v->cur->n_frames - 1;

	if (place == NO_PLACE)
		return 0;
	if (place < REG_FP)
		return mark_arrived(v, 1u << place, 0);
	stack_note_read(v, v->cur, frame, place - REG_FP);
	return mark_arrived(v, 0, 1ull << (place - REG_FP));
}

bool join_heads(const struct verifier *v, u32 insn)
{
	u32 loop = v->aux[insn].loop;

	return loop && v->loops[loop].head == insn;
}

int join_enter(struct verifier *v, u32 insn, bool *enters)
{
	struct loop *l = &v->loops[v->aux[insn].loop];
	const struct loop_test *test = NULL;
	u32 from = v->prev_insn;
	u64 trips;
	int err;

	if (from != UINT32_MAX && insn && (v->insns[from].op == OP_EXIT || returns_by_tail_call(v, from, insn)))
		from = insn - 1; /* back from a call */
	*enters = from == UINT32_MAX || !loop_has(l, from);
	if (v->join_lost)
		return JOIN_RETRY;
	if (!*enters)
		return 0;
	trips = l->disabled ? TRIPS_UNKNOWN : loop_trips(l, cur_frame(v->cur), &test);
	if (trips == TRIPS_UNKNOWN) {
		l->unproven = true;
		if (l->joined) {
			v->join_lost = v->aux[insn].loop;
			return JOIN_RETRY;
		}
		return 0;
	}
	v->walks.bounded = true;
	if (trips >= l->trips) {
		l->trips = trips;
		l->test = test->insn;
	}
	if (test->kind != TEST_NUMBER)
		return 0;
	err = mark_place(v, test->x);
	return err ? err : mark_place(v, test->limit);
}

void stack_indirect(struct verifier *v, const struct frame *f, s32 min, s32 max)
{
	struct subprog_info *sub = &v->subs[f->subprog];
	u64 slots = 0;

	if (!v->joins)
		return;
	for (s32 at = MAX(min, -STACK_BYTES); at < MIN(max, 0); at++)
		slots |= 1ull << slot_of(at);
	if (!(slots & ~sub->indirect_slots))
		return;
	sub->indirect_slots |= slots;
	for (u32 i = 1; v->joining && i < v->n_loops; i++)
		if (v->loops[i].start == v->prog->subprogs[f->subprog].start && v->loops[i].proof_slots & slots) {
			v->join_restudy = true;
			v->join_lost = i; /* seen by join_enter(), join_make() and at the end */
		}
}

/* Every loop around, in all frames, ends. */
static bool all_bounded(const struct verifier *v)
{
	for (u32 f = 0; f < v->cur->n_frames; f++) {
		if (v->subs[v->cur->frame[f]->subprog].no_joins)
			return false;
		for (u32 k = innermost(v, v->cur, f); k; k = v->loops[k].outer)
			if (v->loops[k].unproven || v->loops[k].disabled || !v->loops[k].n_tests)
				return false;
	}
	return true;
}

struct state *join_entry(const struct verifier *v, u32 insn)
{
	if (v->loops[v->aux[insn].loop].unproven || v->loops[v->aux[insn].loop].disabled)
		return NULL;
	for (struct state *s = v->cur->parent; s; s = s->parent)
		if (s->insn == insn && s->entry && !s->joined && same_callsites(s, v->cur))
			return s;
	return NULL;
}

static bool callsites_begin(const struct state *p, const struct state *s) /* p's are the first ones of s */
{
	for (u32 f = 1; f < p->n_frames; f++)
		if (p->callsite[f] != s->callsite[f])
			return false;
	return true;
}

/* The arrival from outside at the innermost joined loop around s, but for the loop `without` in its last frame. 0: there is none. */
static u32 arrival_of(const struct verifier *v, const struct state *s, u32 without)
{
	for (u32 f = s->n_frames; f-- > 0;)
		for (u32 k = innermost(v, s, f); k; k = v->loops[k].outer) {
			if (!v->loops[k].joined || (k == without && f == s->n_frames - 1))
				continue;
			for (const struct state *p = s->arrived; p; p = p->parent ? p->parent->arrived : NULL)
				if (p->insn == v->loops[k].head && p->n_frames == f + 1 && callsites_begin(p, s))
					return p->entry;
			return UINT32_MAX;
		}
	return 0;
}

bool join_covers(const struct verifier *v, const struct state *old, u32 insn, bool enters)
{
	u32 loop = enters ? v->aux[insn].loop : 0, arrival;

	if (loop && v->loops[loop].joined && (!old->entry || old->joined))
		return false;
	arrival = arrival_of(v, old, loop);
	return arrival != UINT32_MAX && arrival == arrival_of(v, v->cur, loop);
}

/* ---- joining ---- */

struct join {
	struct verifier *v;
	const struct loop *loop;
	const struct state *entry, *before; /* before: the state joined last, or the entry */
	u64 trips;
	u32 rounds;
	struct id_map ids[64];
	u32 n_ids;
};

static u32 id_join(struct join *j, u32 a, u32 b)
{
	if (a == b)
		return a;
	for (u32 i = 0; i < j->n_ids; i += 2)
		if (j->ids[i].old == a && j->ids[i].cur == b)
			return j->ids[i + 1].old;
	if (j->n_ids + 2 <= ARRAY_SIZE(j->ids)) {
		j->ids[j->n_ids] = (struct id_map){a, b};
		j->ids[j->n_ids + 1] = (struct id_map){new_id(j->v), 0};
		j->n_ids += 2;
		return j->ids[j->n_ids - 1].old;
	}
	return new_id(j->v);
}

/* start + step * [0, trips]; false: it may wrap. */
static bool scalar_steps(struct scalar *out, const struct scalar *start, const struct sym *step, u64 trips)
{
	wide way = (wide)step->delta * (wide)trips, down = MIN(way, (wide)0), up = MAX(way, (wide)0);
	bool any = false, is_unsigned, is_signed;
	u64 low = step->delta ? ((u64)step->delta & (0 - (u64)step->delta)) - 1 : UINT64_MAX;

	if (step->kind == SYM_FULL && !step->delta) {
		*out = *start;
		return true;
	}
	is_unsigned = start->umin + down >= 0 && start->umax + up <= (wide)(step->kind == SYM_FULL ? UINT64_MAX : UINT32_MAX);
	is_signed = step->kind == SYM_FULL && start->smin + down >= INT64_MIN && start->smax + up <= INT64_MAX;
	if ((step->kind != SYM_FULL && step->kind != SYM_ZEXT) || !(is_unsigned || is_signed))
		return false;
	scalar_set_unknown(out);
	out->bits = (struct tnum){start->bits.value & low, start->bits.mask | ~low};
	out->bits.value &= ~out->bits.mask;
	if (is_unsigned) {
		out->umin = (u64)(start->umin + down);
		out->umax = (u64)(start->umax + up);
		any = true;
	}
	if (is_signed) {
		out->smin = (s64)(start->smin + down);
		out->smax = (s64)(start->smax + up);
		any = true;
	}
	scalar_sync(out);
	return any && !scalar_is_empty(out);
}

static void scalar_turns(const struct join *j, const struct scalar *entry, const struct scalar *before, const struct sym *step, struct scalar *s)
{
	struct scalar all;

	if (step && entry && step->kind != SYM_UNKNOWN && scalar_steps(&all, entry, step, j->trips)) {
		*s = all;
		return;
	}
	all = *before;
	if (!scalar_within(before, s)) {
		if (j->rounds < WIDENINGS)
			scalar_widen(&all, s);
		else
			scalar_set_unknown(&all);
	}
	*s = all;
}

/* The fixed offset becomes part of the variable one. */
static struct reg folded(const struct reg *r)
{
	struct reg to = *r;
	struct scalar off;

	scalar_set_const(&off, (u64)(s64)r->off);
	scalar_alu(OP_ADD, 64, &to.v, &off);
	if (type_is_packet(r->type))
		to.range = r->range > r->off ? r->range - r->off : 0;
	to.off = 0;
	return to;
}

static bool pointer_moves(const struct reg *a, const struct reg *b)
{
	if (a->type != b->type || a->ref != b->ref || a->type & R_NULLABLE)
		return false;
	if (type_is_packet(a->type))
		return a->range >= 0 && b->range >= 0;
	return (reg_base(a->type) == R_MAP_VALUE || reg_base(a->type) == R_MEM || reg_base(a->type) == R_MAP_KEY) && a->raw[0] == b->raw[0] &&
	       a->raw[1] == b->raw[1];
}

static void join_pointer(struct join *j, const struct reg *entry, const struct reg *before, const struct sym *step, struct reg *r)
{
	bool same = before->type == r->type && before->off == r->off && before->raw[0] == r->raw[0] && before->raw[1] == r->raw[1] &&
		    before->ref == r->ref && before->frame == r->frame && scalar_equal(&before->v, &r->v);
	struct reg a, b, first;

	if (same) {
		r->id = id_join(j, before->id, r->id);
		return;
	}
	if (!pointer_moves(before, r)) {
		reg_set_none(r);
		return;
	}
	if (before->off == r->off && (before->id == r->id || !type_is_packet(r->type))) {
		a = *before;
		b = *r;
		first = *entry;
	} else {
		a = folded(before);
		b = folded(r);
		first = folded(entry);
	}
	if (type_is_packet(r->type))
		b.range = MIN(a.range, b.range);
	/* What is proved of a packet holds for all pointers of an id: this one has another base now. */
	b.id = type_is_packet(r->type) ? new_id(j->v) : id_join(j, before->id, r->id);
	scalar_turns(j, entry->type == r->type && first.off == b.off ? &first.v : NULL, &a.v, step, &b.v);
	*r = b;
}

static void join_reg(struct join *j, const struct reg *entry, const struct reg *before, const struct sym *step, struct reg *r)
{
	if (before->type != r->type) {
		reg_set_none(r);
		return;
	}
	if (r->type != R_SCALAR) {
		if (r->type != R_NONE)
			join_pointer(j, entry, before, step, r);
		return;
	}
	unlink_scalar(r);
	r->def32 = before->def32 == r->def32 ? r->def32 : 0;
	scalar_turns(j, entry->type == R_SCALAR ? &entry->v : NULL, &before->v, step, &r->v);
}

/* ---- stack ---- */

static bool special(const struct stack_slot *s)
{
	return s && s->kind[SLOT_BYTES - 1] >= S_DYNPTR;
}

static bool whole(const struct stack_slot *s)
{
	return s && s->kind[0] == S_SPILL && s->kind[SLOT_BYTES - 1] == S_SPILL;
}

static bool special_same(const struct stack_slot *a, const struct stack_slot *b)
{
	if (!a || !b || memcmp(a->kind, b->kind, SLOT_BYTES) || a->reg.type != b->reg.type || a->reg.ref != b->reg.ref)
		return false;
	if (a->kind[SLOT_BYTES - 1] == S_ITER)
		return a->reg.iter.btf == b->reg.iter.btf && a->reg.iter.btf_id == b->reg.iter.btf_id && a->reg.iter.state == b->reg.iter.state;
	return a->reg.raw[0] == b->reg.raw[0] && a->reg.raw[1] == b->reg.raw[1] && a->reg.id == b->reg.id;
}

static void slot_bytes(const struct stack_slot *before, struct stack_slot *s)
{
	bool pointer = s->reg.type != R_SCALAR, pointer_before = before && before->reg.type != R_SCALAR;

	for (u32 i = 0; i < SLOT_BYTES; i++) {
		u8 a = before ? before->kind[i] : S_NONE, b = s->kind[i];

		if (a == S_NONE || b == S_NONE || (a == S_SPILL && pointer_before) || (b == S_SPILL && pointer))
			s->kind[i] = S_NONE;
		else if (a != b || a == S_SPILL)
			s->kind[i] = S_MISC;
	}
	reg_set_none(&s->reg);
}

static void join_slot(struct join *j, const struct stack_slot *entry, const struct stack_slot *before, const struct sym *step, struct stack_slot *s)
{
	if (special(s))
		return;
	if (whole(before) && whole(s)) {
		join_reg(j, whole(entry) ? &entry->reg : &before->reg, &before->reg, whole(entry) ? step : NULL, &s->reg);
		if (s->reg.type == R_NONE)
			memset(s->kind, S_NONE, SLOT_BYTES);
		return;
	}
	if (before && !memcmp(before->kind, s->kind, SLOT_BYTES) && s->kind[SLOT_BYTES - 1] == S_SPILL && before->reg.type == R_SCALAR &&
	    s->reg.type == R_SCALAR) {
		join_reg(j, &before->reg, &before->reg, NULL, &s->reg); /* part of a slot */
		return;
	}
	slot_bytes(before, s);
}

/* ---- states ---- */

static const struct stack_slot *slot_at(const struct frame *f, u32 i)
{
	return i < f->n_slots ? stack_at(f, i) : NULL;
}

static bool frames_alike(const struct frame *a, const struct frame *b)
{
	if (a->subprog != b->subprog || a->async_count != b->async_count || a->callback != b->callback || a->cb_ret_min != b->cb_ret_min ||
	    a->cb_ret_max != b->cb_ret_max || a->in_callback != b->in_callback || a->in_async_callback != b->in_async_callback ||
	    a->in_exception_callback != b->in_exception_callback || a->callback_depth != b->callback_depth || a->refs_on_entry != b->refs_on_entry)
		return false;
	for (u32 i = 0; i < MAX(a->n_slots, b->n_slots); i++) {
		const struct stack_slot *s = slot_at(a, i), *t = slot_at(b, i);

		if ((special(s) || special(t)) && !special_same(s, t))
			return false;
	}
	return true;
}

static bool states_alike(const struct state *a, const struct state *b)
{
	if (a->n_refs != b->n_refs || a->active_locks != b->active_locks || a->active_preempt_locks != b->active_preempt_locks ||
	    a->active_rcu_locks != b->active_rcu_locks || a->active_irq_id != b->active_irq_id || a->active_lock_id != b->active_lock_id ||
	    a->active_lock_ptr != b->active_lock_ptr || a->speculative != b->speculative || a->in_sleepable != b->in_sleepable ||
	    a->callback_unroll_depth != b->callback_unroll_depth)
		return false; /* how often may_goto was passed tells of the path, as turns of iterators do: the current one's goes on */
	for (u32 i = 0; i < a->n_refs; i++)
		if (a->refs[i].kind != b->refs[i].kind || a->refs[i].id != b->refs[i].id || a->refs[i].ptr != b->refs[i].ptr)
			return false;
	for (u32 f = 0; f < a->n_frames; f++)
		if (!frames_alike(a->frame[f], b->frame[f]))
			return false;
	return true;
}

static void join_frame(struct join *j, u32 f)
{
	const struct frame *entry = j->entry->frame[f], *before = j->before->frame[f];
	struct frame *cur = j->v->cur->frame[f];
	const struct sym *steps = f + 1 == j->v->cur->n_frames ? j->loop->step : NULL;

	struct reg *regs = regs_edit(j->v, cur);

	for (u32 i = 0; i < REG_FP; i++)
		join_reg(j, reg_at(entry, i), reg_at(before, i), steps ? &steps[i] : NULL, &regs[i]);
	for (u32 i = 0; i < cur->n_slots; i++)
		join_slot(j, slot_at(entry, i), slot_at(before, i), steps && j->loop->proof_slots >> i & 1 ? &steps[REG_FP + i] : NULL,
			  stack_edit(j->v, cur, i));
}

static void tighten(struct verifier *v, const struct sym *step, u64 trips, const struct reg *entry, const struct reg *before, struct reg *r)
{
	struct reg first = *entry;
	struct scalar all, both;

	if (r->type != entry->type || r->type != before->type || (r->type != R_SCALAR && !pointer_moves(before, r)))
		return;
	if (r->type != R_SCALAR && before->off == 0 && r->off) {
		*r = folded(r);
		r->id = type_is_packet(r->type) ? new_id(v) : r->id;
	}
	if (r->type != R_SCALAR && !pointer_moves(entry, r))
		return;
	if (r->type != R_SCALAR && r->off != entry->off)
		first = folded(entry);
	both = r->v;
	if (step->kind == SYM_UNKNOWN || first.off != r->off || !scalar_steps(&all, &first.v, step, trips))
		return;
	if (scalar_meet(&both, &all))
		r->v = both;
}

/* What each turn changes by a constant is known better than its path tells. */
void join_tighten(struct verifier *v, u32 insn, const struct state *entry)
{
	const struct loop *l = &v->loops[v->aux[insn].loop];
	const struct frame *from = cur_frame(entry), *before;
	struct frame *f = cur_frame(v->cur);
	const struct loop_test *test;
	u64 trips = loop_trips(l, from, &test);

	if (trips == TRIPS_UNKNOWN || !entry->latest)
		return;
	before = cur_frame(entry->latest);
	for (u32 i = 0; i < REG_FP; i++)
		if (v->aux[insn].live_in >> i & 1)
			tighten(v, &l->step[i], trips, reg_at(from, i), reg_at(before, i), &f->regs[i]);
	for (u64 m = l->proof_slots; m; m &= m - 1) {
		u32 i = (u32)__builtin_ctzll(m);

		if (whole(slot_at(from, i)) && whole(slot_at(before, i)) && whole(slot_at(f, i)))
			tighten(v, &l->step[REG_FP + i], trips, &stack_at(from, i)->reg, &stack_at(before, i)->reg, &stack_edit(v, f, i)->reg);
	}
}

int join_make(struct verifier *v, u32 insn, struct state *entry, bool *made)
{
	struct join j = {.v = v, .loop = &v->loops[v->aux[insn].loop], .entry = entry, .before = entry->latest ? entry->latest : entry, .rounds = entry->joins};
	const struct loop_test *test;

	*made = false;
	if (v->join_lost)
		return JOIN_RETRY;
	if (entry->joins >= JOINS_MOST || !all_bounded(v) || !states_alike(entry, v->cur) || !states_alike(j.before, v->cur))
		return 0;
	j.trips = loop_trips(j.loop, cur_frame(entry), &test);
	if (j.trips == TRIPS_UNKNOWN)
		return 0;
	for (u32 f = 0; f < v->cur->n_frames; f++)
		join_frame(&j, f);
	*made = true;
	for (u32 f = 0; f < v->cur->n_frames; f++)
		for (u32 k = innermost(v, v->cur, f); k; k = v->loops[k].outer)
			v->loops[k].joined = true;
	return mark_joined(v);
}

static void all_bounds_precise(struct state *s)
{
	for (u32 f = 0; f < s->n_frames; f++) {
		s->precise_regs[f] = 0;
		s->precise_slots[f] = 0;
		for (u32 i = 0; i < REG_FP; i++) {
			const struct reg *r = reg_at(s->frame[f], i);

			if (r->type == R_SCALAR && !scalar_is_unknown(&r->v))
				s->precise_regs[f] |= (u16)(1u << i);
		}
		for (u32 i = 0; i < s->frame[f]->n_slots; i++) {
			const struct stack_slot *slot = stack_at(s->frame[f], i);

			if (stack_is_scalar(slot) && !scalar_is_unknown(&slot->reg.v))
				s->precise_slots[f] |= 1ull << i;
		}
	}
}

/* The checkpoint s, made just now, is an arrival from outside. */
void join_arrived(struct verifier *v, struct state *s)
{
	s->entry = ++v->entries;
	s->arrived = v->cur->arrived = s;
}

void join_made(struct verifier *v, struct state *s, struct state *entry)
{
	(void)v;
	s->joined = true;
	s->entry = entry->entry;
	entry->latest = s;
	entry->joins++;
	all_bounds_precise(s);
}
