/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is everything that the old state allows allowed by the current one's proof? Ids are compared up to renaming.
 *
 * LOOSE: what nobody reads again, and bounds that nothing depended on, do not count. Only for checkpoints whose marks are complete.
 * RANGE: all of it counts, but ranges may be wider in the old state. For loops whose marks are still being gathered.
 * EXACT: the same state again.
 * JOINED: all bounds count, as the old state has no marks to tell which matter; what it does not hold cannot be read behind it.
 */
#include "verify/prune.h"

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

static bool regs_same(const struct reg *a, const struct reg *b)
{
	return a->type == b->type && a->off == b->off && (a->type != R_SCALAR || a->delta == b->delta) && a->raw[0] == b->raw[0] && a->raw[1] == b->raw[1] &&
	       scalar_equal(&a->v, &b->v);
}

static bool regs_exact(struct verifier *v, const struct reg *a, const struct reg *b)
{
	return regs_same(a, b) && ids_match(v, a->id, b->id) && ids_match(v, a->ref, b->ref);
}

bool regs_interchangeable(struct verifier *v, const struct reg *a, const struct reg *b)
{
	return regs_exact(v, a, b);
}

static bool scalar_covers(struct verifier *v, const struct reg *old, const struct reg *cur, bool precise, enum exactness how)
{
	if (v->explore_alu_limits)
		return regs_same(old, cur) && scalar_ids_match(v, old->id, cur->id);
	if (!precise && how == LOOSE)
		return true;
	if (old->id & ID_DELTA && (!(cur->id & ID_DELTA) || old->delta != cur->delta))
		return false;
	if (old->id && !(old->id & ID_DELTA) && cur->id & ID_DELTA)
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

	if ((how == RANGE || how == EXACT) && (!cur || memcmp(old->kind, cur->kind, SLOT_BYTES)))
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

static bool stack_covers(struct verifier *v, const struct state *state, u32 f, const struct frame *cur, enum exactness how)
{
	const struct frame *old = state->frame[f];
	u64 live = v->opts->switches & VERIFY_NO_STACK_LIVENESS ? UINT64_MAX : state->stack_read[f];

	for (u32 i = 0; i < old->n_slots; i++) {
		const struct stack_slot *a = stack_at(old, i), *b = i < cur->n_slots ? stack_at(cur, i) : NULL;

		if (how == LOOSE && !(live >> i & 1) && !is_special(a))
			continue;
		if (!slot_covers(v, a, b, slot_precise(v, state, f, i), how))
			return false;
	}
	return true;
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

bool same_callsites(const struct state *a, const struct state *b)
{
	if (a->n_frames != b->n_frames)
		return false;
	for (u32 i = a->n_frames; i-- > 0;)
		if (a->frame[i]->callsite != b->frame[i]->callsite)
			return false;
	return true;
}

u32 frame_insn(const struct state *s, u32 frame)
{
	return frame + 1 < s->n_frames ? s->frame[frame + 1]->callsite : s->insn;
}

bool state_covers(struct verifier *v, const struct state *old, const struct state *cur, enum exactness how)
{
	if (old->n_frames != cur->n_frames || (old->speculative && !cur->speculative) || old->in_sleepable != cur->in_sleepable)
		return false;
	v->n_ids_map = 0;
	v->id_gen = v->ids;
	for (u32 f = 0; f < old->n_frames; f++) {
		const struct frame *a = old->frame[f], *b = cur->frame[f];

		if (a->callsite != b->callsite || a->callback_depth > b->callback_depth)
			return false;
		for (u32 live = v->aux[frame_insn(old, f)].live_in; live; live &= live - 1) {
			u32 i = (u32)__builtin_ctz(live);

			if (!reg_covers(v, &a->regs[i], &b->regs[i], reg_precise(v, old, f, i), how))
				return false;
		}
		if (!stack_covers(v, old, f, b, how))
			return false;
	}
	return resources_match(v, old, cur);
}

bool state_maybe_looping(const struct state *old, const struct state *cur)
{
	u32 f = cur->n_frames - 1;

	if (old->n_frames != cur->n_frames)
		return false;
	for (u32 i = 0; i < REGS; i++)
		if (old->frame[f]->regs[i].type != cur->frame[f]->regs[i].type || old->frame[f]->regs[i].id != cur->frame[f]->regs[i].id ||
		    !regs_same(&old->frame[f]->regs[i], &cur->frame[f]->regs[i]))
			return false;
	return true;
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
