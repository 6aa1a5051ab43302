/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * States, frames, references: made, copied, given back. States and frames go to free lists; a frame keeps its stack's room, so that
 * most copies allocate nothing.
 */
#include "verify/state.h"

struct frame *frame_new(struct verifier *v)
{
	struct frame *f = v->free_frames;

	if (!f)
		return arena_alloc(&v->arena, sizeof(*f));
	v->free_frames = *(struct frame **)(void *)f->regs;
	return f;
}

static void frame_free(struct verifier *v, struct frame *f)
{
	*(struct frame **)(void *)f->regs = v->free_frames;
	v->free_frames = f;
}

void frame_pop(struct verifier *v, struct state *s)
{
	frame_free(v, s->frame[--s->n_frames]);
}

struct state *state_new(struct verifier *v)
{
	struct state *s = v->free_states;
	struct state kept;

	if (!s)
		return arena_alloc(&v->arena, sizeof(*s));
	v->free_states = s->next;
	kept = *s;
	memset(s, 0, sizeof(*s));
	s->refs = kept.refs;
	s->cap_refs = kept.cap_refs;
	s->hist = kept.hist;
	s->cap_hist = kept.cap_hist;
	return s;
}

void state_free(struct verifier *v, struct state *s)
{
	for (u32 i = 0; i < s->n_frames; i++)
		frame_free(v, s->frame[i]);
	s->n_frames = 0;
	s->next = v->free_states;
	v->free_states = s;
}

static int stack_reserve(struct verifier *v, struct frame *f, u32 slots)
{
	struct stack_slot *stack;
	u32 cap = slots <= 4 ? 4 : slots <= 12 ? 12 : slots <= 32 ? 32 : STACK_SLOTS;

	if (slots <= f->cap_slots)
		return 0;
	stack = arena_array(&v->arena, cap, sizeof(*stack));
	if (!stack)
		return -ENOMEM;
	if (f->n_slots)
		memcpy(stack, f->stack, f->n_slots * sizeof(*stack));
	f->stack = stack;
	f->cap_slots = cap;
	return 0;
}

int stack_grow(struct verifier *v, struct frame *f, u32 slots)
{
	struct subprog_info *sub = &v->subs[f->subprog];

	if (slots <= f->n_slots)
		return 0;
	if (stack_reserve(v, f, slots))
		return -ENOMEM;
	for (u32 i = f->n_slots; i < slots; i++) {
		memset(f->stack[i].kind, S_NONE, SLOT_BYTES);
		reg_set_none(&f->stack[i].reg);
	}
	f->n_slots = slots;
	if (sub->stack_depth < slots * SLOT_BYTES)
		sub->stack_depth = slots * SLOT_BYTES;
	return 0;
}

static int frame_copy(struct verifier *v, struct frame *to, const struct frame *from)
{
	struct stack_slot *stack;
	u32 cap;

	to->n_slots = 0;
	if (stack_reserve(v, to, from->n_slots))
		return -ENOMEM;
	stack = to->stack;
	cap = to->cap_slots;
	*to = *from;
	to->stack = stack;
	to->cap_slots = cap;
	if (from->n_slots)
		memcpy(stack, from->stack, from->n_slots * sizeof(*stack));
	return 0;
}

/* Room for n elements of an array that belongs to a state; old elements stay. */
static void *reserve(struct verifier *v, void *at, u32 used, u32 *cap, u32 n, size_t each)
{
	void *more;
	u32 room = *cap;

	if (n <= room)
		return at;
	for (room = room ? room : 4; room < n; room *= 2)
		;
	more = arena_array(&v->arena, room, each);
	if (!more)
		return NULL;
	if (used)
		memcpy(more, at, used * each);
	*cap = room;
	return more;
}

static int refs_reserve(struct verifier *v, struct state *s, u32 n)
{
	struct ref *refs = n ? reserve(v, s->refs, s->n_refs, &s->cap_refs, n, sizeof(*refs)) : s->refs;

	if (n && !refs)
		return -ENOMEM;
	s->refs = refs;
	return 0;
}

int hist_reserve(struct verifier *v, struct state *s, u32 n)
{
	struct history *hist = n ? reserve(v, s->hist, s->n_hist, &s->cap_hist, n, sizeof(*hist)) : s->hist;

	if (n && !hist)
		return -ENOMEM;
	s->hist = hist;
	return 0;
}

static int frames_copy(struct verifier *v, struct state *to, const struct state *from)
{
	u32 n = to->n_frames;

	for (; n > from->n_frames; n--)
		frame_free(v, to->frame[n - 1]);
	to->n_frames = n;
	for (; n < from->n_frames; n++) {
		to->frame[n] = frame_new(v);
		if (!to->frame[n])
			return -ENOMEM;
		to->n_frames = n + 1;
	}
	for (u32 i = 0; i < from->n_frames; i++)
		if (frame_copy(v, to->frame[i], from->frame[i]))
			return -ENOMEM;
	return 0;
}

int state_copy(struct verifier *v, struct state *to, const struct state *from)
{
	struct state own;

	to->n_refs = to->n_hist = 0;
	if (refs_reserve(v, to, from->n_refs) || hist_reserve(v, to, from->n_hist) || frames_copy(v, to, from))
		return -ENOMEM;
	own = *to;
	*to = *from;
	memcpy(to->frame, own.frame, sizeof(own.frame));
	to->refs = own.refs;
	to->cap_refs = own.cap_refs;
	to->hist = own.hist;
	to->cap_hist = own.cap_hist;
	if (from->n_refs)
		memcpy(to->refs, from->refs, from->n_refs * sizeof(*to->refs));
	if (from->n_hist)
		memcpy(to->hist, from->hist, from->n_hist * sizeof(*to->hist));
	return 0;
}

struct state *push_branch(struct verifier *v, u32 insn, u32 prev_insn, bool speculative)
{
	struct pending *p = v->free_pending;
	struct state *s;

	if (p)
		v->free_pending = p->next;
	else
		p = arena_alloc(&v->arena, sizeof(*p));
	s = p ? state_new(v) : NULL;
	if (!s || state_copy(v, s, v->cur)) {
		reject(v, REJECT_MEMORY, "out of memory");
		return NULL;
	}
	s->speculative |= speculative;
	if (s->parent)
		s->parent->branches++;
	*p = (struct pending){.st = s, .insn = insn, .prev_insn = prev_insn, .log_pos = (u32)v->log->len, .next = v->pending};
	v->pending = p;
	if (++v->n_pending > v->max_jumps) {
		reject(v, REJECT_TOO_MANY_JUMPS, "The sequence of %u jumps is too complex.", v->n_pending);
		return NULL;
	}
	return s;
}

/* ---- references ---- */

int ref_acquire_kind(struct verifier *v, enum ref_kind kind, u32 insn, u32 id, const void *ptr)
{
	struct state *s = v->cur;

	if (refs_reserve(v, s, s->n_refs + 1))
		return reject(v, REJECT_MEMORY, "out of memory");
	s->refs[s->n_refs++] = (struct ref){.kind = kind, .id = id, .insn = insn, .ptr = ptr};
	return (int)id;
}

int ref_acquire(struct verifier *v, u32 insn)
{
	return ref_acquire_kind(v, REF_PTR, insn, new_id(v), NULL);
}

struct ref *ref_find(const struct state *s, u32 id)
{
	for (u32 i = 0; i < s->n_refs; i++)
		if (s->refs[i].kind == REF_PTR && s->refs[i].id == id)
			return &s->refs[i];
	return NULL;
}

int ref_drop(struct state *s, u32 id, enum ref_kind kind, const void *ptr)
{
	for (u32 i = 0; i < s->n_refs; i++) {
		struct ref *r = &s->refs[i];

		if (r->kind != kind || r->id != id || r->ptr != ptr)
			continue;
		memmove(r, r + 1, (s->n_refs - i - 1) * sizeof(*r));
		s->n_refs--;
		return 0;
	}
	return -EINVAL;
}

static void forget_if(struct verifier *v, struct reg *r, void *ud)
{
	if (r->ref == *(u32 *)ud)
		reg_invalidate(v, r);
}

int ref_release(struct verifier *v, u32 id)
{
	int err = ref_drop(v->cur, id, REF_PTR, NULL);

	if (!err)
		each_reg(v, v->cur, forget_if, &id);
	return err;
}
