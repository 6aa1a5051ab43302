/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is everything that the old state allows allowed by the current one's proof? Ids are compared up to renaming.
 *
 * LOOSE: what nobody reads again, and bounds that nothing depended on, do not count. Only for checkpoints whose marks are complete.
 * RANGE: all of it counts, but ranges may be wider in the old state, and stack bytes that it does not know may be anything. For loops whose
 *        marks are still being gathered.
 * EXACT: the same state again.
 * JOINED: all bounds count, as the old state has no marks to tell which matter; what it does not hold cannot be read behind it.
 */
#include "verify/prune.h"

enum { SEVERAL = 0xffff };

void ids_forget(struct verifier *v)
{
	v->n_ids_map = 0;
	v->id_gen = v->walked.ids;
}

static bool ids_match(struct verifier *v, u32 old, u32 cur)
{
	if (!old != !cur)
		return false;
	if (!old)
		return true;
	for (u32 i = 0; i < v->n_ids_map; i++) {
		if (v->ids_map[i].old == old)
			return v->ids_map[i].cur == cur;
		if (v->ids_map[i].cur == cur)
			return false;
	}
	if (v->n_ids_map == ID_MAP)
		return false;
	v->ids_map[v->n_ids_map++] = (struct id_map){old, cur};
	return true;
}

/* A scalar without links in the old state may have any in the current one; one with a link needs one. */
static bool scalar_ids_match(struct verifier *v, u32 old, u32 cur)
{
	if (!old)
		return true;
	if (!cur)
		cur = ++v->id_gen;
	if (!ids_match(v, old, cur))
		return false;
	return !(old & ID_DELTA) || ids_match(v, old & ~ID_DELTA, cur & ~ID_DELTA);
}

bool reg_same(const struct reg *a, const struct reg *b)
{
	return a->type == b->type && a->off == b->off && (a->type != R_SCALAR || a->delta == b->delta) && a->raw[0] == b->raw[0] && a->raw[1] == b->raw[1] &&
	       scalar_equal(&a->v, &b->v);
}

static bool regs_exact(struct verifier *v, const struct reg *a, const struct reg *b)
{
	return reg_same(a, b) && ids_match(v, a->id, b->id) && ids_match(v, a->ref, b->ref);
}

bool regs_interchangeable(struct verifier *v, const struct reg *a, const struct reg *b)
{
	return regs_exact(v, a, b);
}

static bool scalar_covers(struct verifier *v, const struct reg *old, const struct reg *cur, bool precise, enum exactness how)
{
	if (v->explore_alu_limits)
		return reg_same(old, cur) && scalar_ids_match(v, old->id, cur->id);
	if (!precise && how == LOOSE)
		return true;
	if (old->id && (old->id ^ cur->id) & ID_DELTA)
		return false;
	if (old->id & ID_DELTA && old->delta != cur->delta)
		return false;
	return scalar_ids_match(v, old->id, cur->id) && scalar_within(&old->v, &cur->v);
}

static bool packet_covers(struct verifier *v, const struct reg *old, const struct reg *cur)
{
	if (old->range < 0 || cur->range < 0 ? old->range != cur->range : old->range > cur->range)
		return false;
	return old->off == cur->off && ids_match(v, old->id, cur->id) && scalar_within(&old->v, &cur->v);
}

static bool reg_covers(struct verifier *v, const struct reg *old, const struct reg *cur, bool precise, enum exactness how)
{
	if (how == EXACT)
		return regs_exact(v, old, cur);
	if (old->type == R_NONE && (how == LOOSE || how == JOINED || cur->type == R_NONE))
		return true;
	if (old->type != cur->type)
		return false;
	switch (reg_base(old->type)) {
	case R_SCALAR: return scalar_covers(v, old, cur, precise, how);
	case R_MAP_KEY:
	case R_MAP_VALUE:
	case R_MEM:
	case R_BUFFER:
	case R_TP_BUFFER:
		return old->off == cur->off && old->raw[0] == cur->raw[0] && old->raw[1] == cur->raw[1] && scalar_within(&old->v, &cur->v) &&
		       ids_match(v, old->id, cur->id) && ids_match(v, old->ref, cur->ref);
	case R_PACKET:
	case R_PACKET_META: return packet_covers(v, old, cur);
	case R_STACK: return regs_exact(v, old, cur) && old->frame == cur->frame;
	case R_ARENA: return true;
	default: return regs_exact(v, old, cur);
	}
}

/* ---- numbers whose link leads nowhere ---- */

static void holder_note(struct verifier *v, const struct reg *r, u32 frame, u32 place)
{
	u32 id = r->id & ~ID_DELTA;

	if (r->type != R_SCALAR || !id)
		return;
	for (u32 i = 0; i < v->n_ids_map; i++)
		if (v->ids_map[i].old == id) {
			v->ids_map[i].cur = SEVERAL;
			return;
		}
	if (v->n_ids_map < ID_MAP)
		v->ids_map[v->n_ids_map++] = (struct id_map){id, frame << 8 | place};
}

void lone_ids_drop(struct verifier *v, struct state *s)
{
	v->n_ids_map = 0;
	for (u32 f = 0; f < s->n_frames; f++) {
		const struct frame *frame = s->frame[f];

		for (u32 live = v->aux[frame_insn(s, f)].live_in; live; live &= live - 1)
			holder_note(v, &frame->regs[__builtin_ctz(live)], f, (u32)__builtin_ctz(live));
		for (u32 i = 0; i < frame->n_slots; i++)
			if (stack_is_spill(stack_at(frame, i)))
				holder_note(v, &stack_at(frame, i)->reg, f, REGS + i);
	}
	for (u32 i = 0; i < v->n_ids_map; i++) {
		u32 at = v->ids_map[i].cur, place = at & 0xff;
		struct frame *frame = s->frame[at >> 8 & (FRAMES - 1)];

		if (at != SEVERAL)
			unlink_scalar(place < REGS ? &regs_edit(v, frame)[place] : &stack_edit(v, frame, place - REGS)->reg);
	}
}

/* ---- stack ---- */

static bool all_misc(const struct verifier *v, const struct stack_slot *s)
{
	for (u32 i = 0; i < SLOT_BYTES; i++)
		if (s->kind[i] != S_MISC && !(s->kind[i] == S_NONE && v->allow_uninit_stack))
			return false;
	return true;
}

/* The slot as one scalar: a whole spilled one, or eight unknown bytes; NULL: neither. */
static const struct reg *slot_scalar(const struct verifier *v, const struct stack_slot *s, struct reg *unknown)
{
	if (s->kind[0] == S_SPILL && s->reg.type == R_SCALAR)
		return &s->reg;
	if (!all_misc(v, s))
		return NULL;
	reg_set_none(unknown);
	unknown->type = R_SCALAR;
	return unknown;
}

static bool special_covers(struct verifier *v, const struct stack_slot *old, const struct stack_slot *cur, bool precise, enum exactness how)
{
	const struct reg *a = &old->reg, *b = &cur->reg;

	switch (old->kind[SLOT_BYTES - 1]) {
	case S_SPILL: return reg_covers(v, a, b, precise, how);
	case S_DYNPTR: return a->dynptr.kind == b->dynptr.kind && a->dynptr.first == b->dynptr.first && ids_match(v, a->ref, b->ref);
	case S_ITER: /* how often it went round does not matter */
		return a->type == b->type && a->iter.btf == b->iter.btf && a->iter.btf_id == b->iter.btf_id && a->iter.state == b->iter.state &&
		       ids_match(v, a->ref, b->ref);
	case S_IRQ: return a->irq.kind == b->irq.kind && ids_match(v, a->ref, b->ref);
	default: return true;
	}
}

static bool bytes_cover(const struct verifier *v, const struct stack_slot *old, const struct stack_slot *cur)
{
	for (u32 i = 0; i < SLOT_BYTES; i++) {
		u32 o = old->kind[i], c = cur ? cur->kind[i] : S_NONE;

		if (o == S_NONE || (o == S_MISC && v->allow_uninit_stack))
			continue;
		if (o != c && !(o == S_MISC && c == S_ZERO))
			return false;
	}
	return true;
}

static bool is_special(const struct stack_slot *s)
{
	return s->kind[SLOT_BYTES - 1] >= S_DYNPTR;
}

static bool slot_covers(struct verifier *v, const struct stack_slot *old, const struct stack_slot *cur, bool precise, enum exactness how)
{
	struct reg unknown_old, unknown_cur;
	const struct reg *a, *b;
	bool anything = false;

	if (how == EXACT && (!cur || memcmp(old->kind, cur->kind, SLOT_BYTES)))
		return false;
	if (how == JOINED && cur && is_special(cur) != is_special(old))
		return false;
	for (u32 i = 0; i < SLOT_BYTES; i++)
		anything |= old->kind[i] != S_NONE && !(old->kind[i] == S_MISC && v->allow_uninit_stack);
	if (!anything)
		return true;
	if (!cur)
		return false;
	a = slot_scalar(v, old, &unknown_old);
	b = slot_scalar(v, cur, &unknown_cur);
	if (a && b)
		return reg_covers(v, a, b, precise && a == &old->reg, how);
	return bytes_cover(v, old, cur) && special_covers(v, old, cur, precise, how);
}

static bool place_covers(struct verifier *v, const struct state *old, const struct state *cur, u32 f, u32 place, enum exactness how)
{
	const struct frame *a = old->frame[f], *b = cur->frame[f];
	const struct stack_slot *s, *t;
	u32 slot = place - REGS;

	if (place < REGS)
		return reg_covers(v, reg_at(a, place), reg_at(b, place), reg_precise(v, old, f, place), how);
	s = stack_at(a, slot);
	t = slot < b->n_slots ? stack_at(b, slot) : NULL;
	if (s == t && !s->reg.id && !s->reg.ref)
		return true; /* shared since then */
	return slot_covers(v, s, t, slot_precise(v, old, f, slot), how);
}

/* Slots that count: those that are read later; what is opaque always does, but to Linux. */
static u64 slots_compared(const struct verifier *v, const struct state *s, u32 f, enum exactness how)
{
	u32 n = s->frame[f]->n_slots;
	u64 all = n == STACK_SLOTS ? UINT64_MAX : (1ull << n) - 1, slots = s->stack_read[f] & all;

	if (how != LOOSE || v->opts->switches & VERIFY_NO_STACK_LIVENESS)
		return all;
	for (u32 i = 0; v->opaque_slots && v->safe && i < n; i++)
		slots |= (u64)is_special(stack_at(s->frame[f], i)) << i;
	return slots;
}

static bool frame_covers(struct verifier *v, const struct state *old, const struct state *cur, u32 f, enum exactness how)
{
	u16 *differs = &v->aux[cur->insn].differs;

	for (u32 live = v->aux[frame_insn(old, f)].live_in; live; live &= live - 1) {
		u32 i = (u32)__builtin_ctz(live);

		if (!place_covers(v, old, cur, f, i, how)) {
			*differs = (u16)(f << 8 | i);
			return false;
		}
	}
	for (u64 m = slots_compared(v, old, f, how); m; m &= m - 1) {
		u32 i = REGS + (u32)__builtin_ctzll(m);

		if (!place_covers(v, old, cur, f, i, how)) {
			*differs = (u16)(f << 8 | i);
			return false;
		}
	}
	return true;
}

/* The place that told two states apart last mostly does so again. */
static bool differs_again(struct verifier *v, const struct state *old, const struct state *cur, enum exactness how)
{
	u32 f = v->aux[cur->insn].differs >> 8, place = v->aux[cur->insn].differs & 0xff;
	u64 compared;

	if (f >= old->n_frames)
		return false;
	compared = place < REGS ? (u64)v->aux[frame_insn(old, f)].live_in >> place : slots_compared(v, old, f, how) >> (place - REGS);
	return compared & 1 && !place_covers(v, old, cur, f, place, how);
}

/* ---- states ---- */

static bool resources_match(struct verifier *v, const struct state *old, const struct state *cur)
{
	if (old->n_refs != cur->n_refs || old->active_locks != cur->active_locks || old->active_preempt_locks != cur->active_preempt_locks ||
	    old->active_rcu_locks != cur->active_rcu_locks || !ids_match(v, old->active_irq_id, cur->active_irq_id) ||
	    !ids_match(v, old->active_lock_id, cur->active_lock_id) || old->active_lock_ptr != cur->active_lock_ptr)
		return false;
	for (u32 i = 0; i < old->n_refs; i++) {
		const struct ref *a = &old->refs[i], *b = &cur->refs[i];

		if (a->kind != b->kind || a->ptr != b->ptr || !ids_match(v, a->id, b->id))
			return false;
	}
	return true;
}

bool state_covers(struct verifier *v, const struct state *old, const struct state *cur, enum exactness how)
{
	if (!same_callsites(old, cur) || (old->speculative && !cur->speculative) || old->in_sleepable != cur->in_sleepable)
		return false;
	for (u32 f = 0; f < old->n_frames; f++)
		if (old->frame[f]->callback_depth > cur->frame[f]->callback_depth)
			return false;
	ids_forget(v);
	if (differs_again(v, old, cur, how))
		return false;
	ids_forget(v);
	for (u32 f = 0; f < old->n_frames; f++)
		if (!frame_covers(v, old, cur, f, how))
			return false;
	return resources_match(v, old, cur);
}

bool state_maybe_looping(struct verifier *v, const struct state *old, const struct state *cur)
{
	const struct frame *a = cur_frame(old), *b = cur_frame(cur);
	u16 *differs = &v->aux[cur->insn].differs;
	u32 f = cur->n_frames - 1, place = *differs & 0xff;

	if (place < REGS && *differs >> 8 == f && !reg_identical(a, place, &b->regs[place]))
		return false;
	for (u32 i = 0; i < REGS; i++)
		if (!reg_identical(a, i, &b->regs[i])) {
			*differs = (u16)(f << 8 | i);
			return false;
		}
	return true;
}

/* In the order in which they were made, the first that is not as it was must be the same iterator, further on. */
bool iterators_go_on(const struct state *old, const struct state *cur)
{
	u32 moved = UINT32_MAX, other = UINT32_MAX;

	for (u32 f = 0; f < old->n_frames; f++)
		for (u32 i = 0; i < old->frame[f]->n_slots; i++) {
			const struct stack_slot *s = stack_at(old->frame[f], i);
			const struct reg *a = &s->reg, *b;

			if (s->kind[0] != S_ITER || a->iter.state != ITER_ACTIVE || !a->ref)
				continue;
			if (i >= cur->frame[f]->n_slots)
				return false;
			b = &stack_at(cur->frame[f], i)->reg;
			if (a->ref != b->ref)
				other = MIN(other, MIN(a->ref, b->ref));
			else if (b->iter.depth > a->iter.depth)
				moved = MIN(moved, a->ref);
			else if (b->iter.depth < a->iter.depth)
				other = MIN(other, a->ref);
		}
	return other == UINT32_MAX || moved < other;
}

bool iterators_moved(const struct state *old, const struct state *cur)
{
	for (u32 f = 0; f < old->n_frames; f++)
		for (u32 i = 0; i < old->frame[f]->n_slots; i++) {
			const struct stack_slot *s = stack_at(old->frame[f], i);

			if (s->kind[0] == S_ITER && s->reg.iter.state == ITER_ACTIVE && i < cur->frame[f]->n_slots &&
			    stack_at(cur->frame[f], i)->reg.iter.depth != s->reg.iter.depth)
				return true;
		}
	return false;
}
