/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open-coded iterators: a struct bpf_iter_NAME in stack slots S_ITER. The slot with the lowest address carries the reference and the state. The call that
 * advances one makes two paths: on one it gave an element and goes on, on the other it is drained and stays so.
 */
#include "verify/call.h"

static const char PREFIX[] = "bpf_iter_";

/* The struct that the parameter points to; 0: it is no iterator. */
static u32 iter_type(const struct call *c, u32 regno)
{
	struct btf_value val = btf_value_of(c->btf, btf_params_of(c->proto)[regno - 1].type);

	return val.kind == BTF_VALUE_PTR_STRUCT && !strncmp(val.name, PREFIX, sizeof(PREFIX) - 1) ? val.id : 0;
}

static const char *iter_name(const struct btf *b, u32 id)
{
	return btf_name_of(b, btf_type(b, id)) + sizeof(PREFIX) - 1;
}

const struct reg *iter_of(const struct state *s, const struct call *c)
{
	return &stack_at(s->frame[c->iter.frame], c->iter.slot)->reg;
}

static struct reg *iter_edit(struct verifier *v, struct state *s, const struct call *c)
{
	return &stack_edit(v, s->frame[c->iter.frame], c->iter.slot)->reg;
}

static bool no_iter_there(struct verifier *v, const struct reg *r, u32 n)
{
	const struct frame *f = v->cur->frame[r->frame];
	s32 slot = object_slot(v, r, "iter", n);

	if (slot < 0)
		return slot == -ERANGE;
	for (u32 i = 0; i < n; i++)
		for (u32 j = 0; j < SLOT_BYTES; j++)
			if (stack_at(f, (u32)slot - i)->kind[j] == S_ITER)
				return false;
	return true;
}

static int iter_make(struct verifier *v, struct call *c, u32 regno, u32 id, u32 n)
{
	const struct reg *r = reg_of(v, regno);
	struct frame *f;
	s32 slot;
	int ref, err;

	if (!no_iter_there(v, r, n))
		return reject(v, REJECT_ITER_ARG, "expected uninitialized iter_%s as arg #%u", iter_name(c->btf, id), regno - 1);
	for (u32 i = 0; i < n; i++) {
		err = mem_access(v, v->insn, regno, (s32)(i * SLOT_BYTES), SLOT_BYTES, MEM_WRITE, -1, false, false);
		if (err)
			return err;
	}
	r = reg_of(v, regno);
	slot = object_slot(v, r, "iter", n);
	if (slot < 0)
		return slot;
	ref = ref_acquire(v, v->insn);
	if (ref < 0)
		return ref;
	f = v->cur->frame[r->frame];
	for (u32 i = 0; i < n; i++) {
		u32 at = (u32)slot - i;
		struct stack_slot *s = stack_edit(v, f, at);
		struct reg *it = &s->reg;

		reg_set_pointer(it, R_STACK | (!flag_is_set(c, KF_RCU_PROTECTED) ? 0u : rcu_held(v) ? (u32)R_RCU : (u32)R_UNTRUSTED));
		it->ref = i == 0 ? (u32)ref : 0;
		it->iter.btf = c->btf;
		it->iter.btf_id = id;
		it->iter.state = ITER_ACTIVE;
		it->iter.depth = 0;
		memset(s->kind, S_ITER, SLOT_BYTES);
		v->opaque_slots = true;
		v->scratched_slots |= 1ull << at;
		stack_note_write(v, r->frame, at);
	}
	return 0;
}

/* 0; -EINVAL: not an iterator of that type; -EPROTO: outside of the section that it needs. */
static int iter_valid(const struct frame *f, s32 slot, u32 n, const struct btf *btf, u32 id)
{
	for (u32 i = 0; slot >= 0 && i < n; i++) {
		const struct stack_slot *s = stack_at(f, (u32)slot - i);
		const struct reg *it = &s->reg;

		for (u32 j = 0; j < SLOT_BYTES; j++)
			if (s->kind[j] != S_ITER)
				return -EINVAL;
		if (it->type & R_UNTRUSTED)
			return -EPROTO;
		if ((i == 0) != (it->ref != 0) || it->iter.btf != btf || it->iter.btf_id != id)
			return -EINVAL;
	}
	return slot < 0 ? -EINVAL : 0;
}

static void iter_end(struct verifier *v, u32 frame, u32 slot, u32 n)
{
	ref_release(v, stack_at(v->cur->frame[frame], slot)->reg.ref);
	for (u32 i = 0; i < n; i++)
		stack_clear(v, frame, slot - i);
}

int arg_iter(struct verifier *v, struct call *c, u32 regno)
{
	const struct reg *r = reg_of(v, regno);
	u32 id = iter_type(c, regno), n;
	s32 slot;
	int err;

	if (r->type != R_STACK)
		return reject(v, REJECT_ITER_ARG, "arg#%u expected pointer to an iterator on stack", regno - 1);
	if (!id)
		return reject(v, REJECT_ITER_ARG, "expected valid iter pointer as arg #%u", regno - 1);
	n = (u32)(btf_size(c->btf, id) / SLOT_BYTES);
	if (flag_is_set(c, KF_ITER_NEW))
		return iter_make(v, c, regno, id, n);
	slot = object_slot(v, r, "iter", n);
	err = iter_valid(v->cur->frame[r->frame], slot, n, c->btf, id);
	if (err == -EPROTO)
		return reject_err(v, REJECT_RCU, err, "expected an RCU CS when using %s", c->name);
	if (err)
		return reject(v, REJECT_ITER_ARG, "expected an initialized iter_%s as arg #%u", iter_name(c->btf, id), regno - 1);
	for (u32 i = 0; i < n; i++)
		stack_look(v, r->frame, (u32)slot - i);
	c->iter.frame = r->frame;
	c->iter.slot = (u32)slot;
	c->ref = iter_of(v->cur, c)->ref;
	if (flag_is_set(c, KF_ITER_DESTROY))
		iter_end(v, r->frame, (u32)slot, n);
	return 0;
}

int iter_next(struct verifier *v, struct call *c)
{
	const struct state *before;
	struct state *branch;

	if (iter_of(v->cur, c)->iter.state == ITER_ACTIVE) {
		before = v->cur->parent ? loop_previous(v, v->cur->parent, v->insn) : NULL;
		branch = push_branch(v, v->insn + 1, v->insn, false);
		if (!branch)
			return v->why->err;
		iter_edit(v, branch, c)->iter.depth++;
		if (before)
			loop_widen(v, before, branch);
		reg_not_null(v, &cur_frame(branch)->regs[0]);
	}
	iter_edit(v, v->cur, c)->iter.state = ITER_DRAINED;
	reg_set_const(reg_of(v, 0), 0);
	return 0;
}
