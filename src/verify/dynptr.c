/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dynptrs: two stack slots, the first at the higher slot number (the lower address), both S_DYNPTR and with one id. Slices know the id of
 * their dynptr, and the reference where it has one; they are gone when it is.
 */
#include "verify/call.h"

enum { DYNPTR_SLOTS = 2 };

static const char *kind_name(u32 kind)
{
	static const char *const names[] = {"local", "ringbuf", "skb", "xdp", "skb_meta"};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (kind == 1u << i)
			return names[i];
	return "";
}

static bool kind_is_counted(u32 kind)
{
	return kind == DYNPTR_RINGBUF;
}

/* ---- where it is ---- */

s32 object_slot(struct verifier *v, const struct reg *r, const char *what, u32 n)
{
	s64 off = (s64)r->off + (s64)r->v.bits.value;
	s32 slot;

	if (!scalar_is_const(&r->v))
		return reject(v, REJECT_OBJECT_OFFSET, "%s has to be at a constant offset", what);
	slot = (s32)((-off - 1) / SLOT_BYTES);
	if (off % SLOT_BYTES || off >= 0 || slot + 1 < (s32)n)
		return reject(v, REJECT_OBJECT_OFFSET, "cannot pass in %s at an offset=%d", what, (s32)off);
	return slot < (s32)v->cur->frame[r->frame]->n_slots ? slot : -ERANGE;
}

static const struct stack_slot *slot_behind(struct verifier *v, const struct reg *r, s32 slot)
{
	return stack_at(v->cur->frame[r->frame], (u32)slot);
}

/* The slot of an initialised dynptr that r points to; below 0: there is none. */
static s32 dynptr_slot(struct verifier *v, const struct reg *r)
{
	s32 slot = object_slot(v, r, "dynptr", DYNPTR_SLOTS);
	const struct stack_slot *first;

	if (slot < 0)
		return slot;
	first = slot_behind(v, r, slot);
	if (first->kind[0] != S_DYNPTR || slot_behind(v, r, slot - 1)->kind[0] != S_DYNPTR || !first->reg.dynptr.first)
		return -EINVAL;
	return slot;
}

/* What is known of the dynptr behind r: of its first slot, or of the handle itself. NULL: there is none. */
static const struct reg *dynptr_of(struct verifier *v, const struct reg *r)
{
	s32 slot;

	if (r->type == R_DYNPTR)
		return r;
	slot = dynptr_slot(v, r);
	return slot < 0 ? NULL : &slot_behind(v, r, slot)->reg;
}

bool dynptr_is_owned(struct verifier *v, const struct reg *r)
{
	s32 slot = object_slot(v, r, "dynptr", DYNPTR_SLOTS);
	const struct stack_slot *s = slot < 0 ? NULL : slot_behind(v, r, slot);

	return s && s->kind[0] == S_DYNPTR && s->reg.ref;
}

/* ---- making and ending ---- */

static void set_dynptr(struct reg *r, u32 kind, bool first, u32 id, u32 ref)
{
	reg_set_pointer(r, R_DYNPTR);
	r->dynptr.kind = kind;
	r->dynptr.first = first;
	r->id = id;
	r->ref = ref;
}

void dynptr_set_handle(struct verifier *v, struct reg *r, u32 kind)
{
	set_dynptr(r, kind, true, new_id(v), 0);
}

/* Both slots no longer hold anything. */
static void clear_slots(struct verifier *v, u32 frame, u32 slot)
{
	for (u32 i = slot - 1; i <= slot; i++)
		stack_clear(v, frame, i);
}

static bool is_slice_of(const struct reg *r, u32 id)
{
	return reg_base(r->type) == R_MEM && !(r->type & (R_SLICE | R_RDONLY)) && r->dynptr_id == id;
}

int dynptr_overwritten(struct verifier *v, struct frame *f, u32 slot)
{
	u32 id;

	if (slot >= f->n_slots || stack_at(f, slot)->kind[0] != S_DYNPTR)
		return 0;
	if (!stack_at(f, slot)->reg.dynptr.first)
		slot++;
	if (kind_is_counted(stack_at(f, slot)->reg.dynptr.kind)) {
		reject(v, REJECT_DYNPTR_OVERWRITTEN, "cannot overwrite referenced dynptr");
		reject_slot(v, f->number, slot);
		return v->why->err;
	}
	id = stack_at(f, slot)->reg.id;
	clear_slots(v, f->number, slot);
	each_matching(v, is_slice_of, id);
	return 0;
}

static int dynptr_make(struct verifier *v, const struct reg *r, u32 kind, u32 clone_ref)
{
	s32 slot = object_slot(v, r, "dynptr", DYNPTR_SLOTS);
	struct frame *f = v->cur->frame[r->frame];
	u32 id, ref = 0;
	int err = slot < 0 ? slot : dynptr_overwritten(v, f, (u32)slot);

	err = err ? err : dynptr_overwritten(v, f, (u32)slot - 1);
	if (err)
		return err;
	id = new_id(v);
	if (kind_is_counted(kind)) {
		err = clone_ref ? (int)clone_ref : ref_acquire(v, v->insn);
		if (err < 0)
			return err;
		ref = (u32)err;
	}
	for (s32 i = slot - 1; i <= slot; i++) {
		struct stack_slot *s = stack_edit(v, f, (u32)i);

		set_dynptr(&s->reg, kind, i == slot, id, ref);
		memset(s->kind, S_DYNPTR, SLOT_BYTES);
		v->opaque_slots = true;
		v->scratched_slots |= 1ull << i;
		stack_note_write(v, r->frame, (u32)i);
	}
	return 0;
}

int dynptr_release(struct verifier *v, const struct reg *r)
{
	s32 slot = dynptr_slot(v, r);
	struct frame *f = v->cur->frame[r->frame];
	u32 ref, frame = r->frame;
	int err;

	if (slot < 0)
		return slot;
	ref = stack_at(f, (u32)slot)->reg.ref;
	if (!kind_is_counted(stack_at(f, (u32)slot)->reg.dynptr.kind)) {
		clear_slots(v, frame, (u32)slot);
		return 0;
	}
	err = ref_release(v, ref); /* and slices */
	if (err)
		return err;
	for (u32 i = 1; i < f->n_slots; i++) { /* and clones */
		const struct stack_slot *s = stack_at(f, i);

		if (s->kind[0] == S_DYNPTR && s->reg.ref == ref && s->reg.dynptr.first)
			clear_slots(v, frame, i);
	}
	return 0;
}

/* ---- as an argument ---- */

static int arg_dynptr_new(struct verifier *v, u32 regno, u32 kind, u32 clone_ref)
{
	struct reg *r = reg_of(v, regno);
	s32 slot = r->type == R_DYNPTR ? -EINVAL : object_slot(v, r, "dynptr", DYNPTR_SLOTS);
	int err;

	if (slot < 0 && slot != -ERANGE)
		return reject(v, REJECT_DYNPTR_ARG, "Dynptr has to be an uninitialized dynptr");
	for (s32 i = 0; i < DYNPTR_SLOTS; i++) {
		err = mem_access(v, v->insn, regno, i * SLOT_BYTES, SLOT_BYTES, MEM_WRITE, -1, false, false);
		if (err)
			return err;
	}
	return dynptr_make(v, reg_of(v, regno), kind, clone_ref);
}

int arg_dynptr(struct verifier *v, u32 regno, u32 flags, u32 kinds, u32 clone_ref)
{
	const struct reg *r = reg_of(v, regno), *d;
	s32 slot;

	if (r->type != R_STACK && r->type != R_DYNPTR)
		return reject(v, REJECT_DYNPTR_ARG, "arg#%u expected pointer to stack or const struct bpf_dynptr", regno - 1);
	if (flags & ARG_UNINIT)
		return arg_dynptr_new(v, regno, kinds, clone_ref);
	if (r->type == R_DYNPTR && !(flags & ARG_RDONLY))
		return reject(v, REJECT_DYNPTR_ARG, "cannot pass pointer to const bpf_dynptr, the helper mutates it");
	d = dynptr_of(v, r);
	if (!d)
		return reject(v, REJECT_DYNPTR_ARG, "Expected an initialized dynptr as arg #%u", regno - 1);
	if (!(d->dynptr.kind & kinds))
		return reject(v, REJECT_DYNPTR_ARG, "Expected a dynptr of type %s as arg #%u", kind_name(kinds), regno - 1);
	if (r->type == R_DYNPTR)
		return 0;
	slot = object_slot(v, r, "dynptr", DYNPTR_SLOTS);
	for (u32 i = 0; i < DYNPTR_SLOTS; i++)
		stack_look(v, r->frame, (u32)slot - i);
	return 0;
}

int dynptr_facts(struct verifier *v, struct call *c, const struct reg *r)
{
	const struct reg *d = dynptr_of(v, r);

	if (!d)
		return bug(v, "a dynptr argument without a dynptr");
	c->dynptr.id = d->id;
	c->dynptr.kind = d->dynptr.kind;
	c->dynptr.ref = d->ref;
	return 0;
}
