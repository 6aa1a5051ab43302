/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sections: spin locks (plain ones, one at a time; resilient ones, any number, let go in reverse order), RCU, preemption, IRQ flags.
 * A lock is known by what it lies in: the map or BTF of the object, and the object's id. Locks and saved IRQ flags are entries among
 * the state's references.
 */
#include "verify/call.h"

enum { ANY_LOCK = REF_LOCK | REF_RES_LOCK | REF_RES_LOCK_IRQ };

/* ---- spin locks ---- */

static const void *owner_of(const struct reg *r)
{
	return r->type == R_MAP_VALUE ? (const void *)r->map : (const void *)r->btf;
}

static const struct ref *find_lock(const struct state *s, u32 kinds, u32 id, const void *ptr)
{
	for (u32 i = 0; i < s->n_refs; i++)
		if (s->refs[i].kind & kinds && (!ptr || (s->refs[i].id == id && s->refs[i].ptr == ptr)))
			return &s->refs[i];
	return NULL;
}

bool lock_held(const struct verifier *v, const struct reg *r)
{
	return find_lock(v->cur, ANY_LOCK, r->id, owner_of(r)) != NULL;
}

static bool is_non_owning(const struct reg *r, u32 unused)
{
	(void)unused;
	return r->type & R_NON_OWNING;
}

static int take(struct verifier *v, const struct reg *r, u32 use, enum ref_kind kind)
{
	struct state *s = v->cur;
	int err;

	if (!(use & LOCK_RES) && find_lock(s, REF_LOCK, 0, NULL))
		return reject(v, REJECT_LOCK_TWICE, "Locking two bpf_spin_locks are not allowed");
	if (use & LOCK_RES && find_lock(s, REF_RES_LOCK | REF_RES_LOCK_IRQ, r->id, owner_of(r)))
		return reject(v, REJECT_LOCK_TWICE, "Acquiring the same lock again, AA deadlock detected");
	err = ref_acquire_kind(v, kind, v->insn, r->id, owner_of(r));
	if (err < 0)
		return err;
	s->active_locks++;
	s->active_lock_id = r->id;
	s->active_lock_ptr = owner_of(r);
	return 0;
}

static int let_go(struct verifier *v, const struct reg *r, const char *what, enum ref_kind kind)
{
	struct state *s = v->cur;
	const void *ptr = owner_of(r);
	u32 id = r->id;

	if (!s->active_locks)
		return reject(v, REJECT_LOCK_NOT_HELD, "%s_unlock without taking a lock", what);
	if (!find_lock(s, kind, id, ptr))
		return reject(v, REJECT_LOCK_NOT_HELD, "%s_unlock of different lock", what);
	if (s->active_lock_id != id || s->active_lock_ptr != ptr)
		return reject(v, REJECT_LOCK_NOT_HELD, "%s_unlock cannot be out of order", what);
	if (ref_drop(s, id, kind, ptr))
		return reject(v, REJECT_LOCK_NOT_HELD, "%s_unlock of different lock", what);
	s->active_locks--;
	s->active_lock_id = 0;
	s->active_lock_ptr = NULL;
	for (u32 i = 0; i < s->n_refs; i++)
		if (s->refs[i].kind & ANY_LOCK) {
			s->active_lock_id = s->refs[i].id;
			s->active_lock_ptr = s->refs[i].ptr;
		}
	each_matching(v, is_non_owning, 0);
	return 0;
}

int arg_lock(struct verifier *v, u32 regno, u32 use)
{
	const struct reg *r = reg_of(v, regno);
	const struct map *m = r->type == R_MAP_VALUE ? r->map : NULL;
	const struct btf_record *fields = special_fields(r);
	const char *what = use & LOCK_RES ? "bpf_res_spin" : "bpf_spin";
	enum ref_kind kind = !(use & LOCK_RES) ? REF_LOCK : use & LOCK_IRQ ? REF_RES_LOCK_IRQ : REF_RES_LOCK;
	u32 lock;

	if (!scalar_is_const(&r->v))
		return reject(v, REJECT_FIELD_OFFSET, "R%u doesn't have constant offset. %s_lock has to be at the constant offset", regno, what);
	if (m && !m->spec.btf_value_type_id)
		return reject(v, REJECT_FIELD_MISSING, "map '%s' has to have BTF in order to use %s_lock", m->spec.name, what);
	lock = !fields ? 0 : use & LOCK_RES ? fields->res_spin_lock : fields->spin_lock;
	if (!lock)
		return reject(v, REJECT_FIELD_MISSING, "%s '%s' has no valid %s_lock", m ? "map" : "local", m ? m->spec.name : "kptr", what);
	if (r->v.bits.value + (u64)(s64)r->off != lock - 1)
		return reject(v, REJECT_FIELD_OFFSET, "off %lld doesn't point to 'struct %s_lock' that is at %u",
			      (long long)(r->v.bits.value + (u64)(s64)r->off), what, lock - 1);
	return use & LOCK_TAKE ? take(v, r, use, kind) : let_go(v, r, what, kind);
}

/* ---- IRQ flags: one stack slot ---- */

enum irq_family { IRQ_NATIVE = 1, IRQ_LOCK = 2 }; /* which kernel functions saved the flags */

static int irq_save(struct verifier *v, u32 regno, u32 family)
{
	struct reg *r = reg_of(v, regno);
	s32 slot = object_slot(v, r, "irq_flag", 1);
	struct stack_slot *s;
	bool taken = false;
	int err;

	for (u32 i = 0; slot >= 0 && i < SLOT_BYTES; i++)
		taken |= stack_at(v->cur->frame[r->frame], (u32)slot)->kind[i] == S_IRQ;
	if ((slot < 0 && slot != -ERANGE) || taken)
		return reject(v, REJECT_IRQ_FLAG, "expected uninitialized irq flag as arg#%u", regno - 1);
	err = mem_access(v, v->insn, regno, 0, SLOT_BYTES, MEM_WRITE, -1, false, false);
	if (err)
		return err;
	r = reg_of(v, regno);
	slot = object_slot(v, r, "irq_flag", 1);
	if (slot < 0)
		return slot;
	err = ref_acquire_kind(v, REF_IRQ, v->insn, new_id(v), NULL);
	if (err < 0)
		return err;
	v->cur->active_irq_id = (u32)err;
	s = stack_edit(v, v->cur->frame[r->frame], (u32)slot);
	reg_set_pointer(&s->reg, R_STACK);
	s->reg.ref = (u32)err;
	s->reg.irq.kind = family;
	memset(s->kind, S_IRQ, SLOT_BYTES);
	v->opaque_slots = true;
	v->scratched_slots |= 1ull << slot;
	stack_note_write(v, r->frame, (u32)slot);
	return 0;
}

static int irq_out_of_order(struct verifier *v)
{
	const struct state *s = v->cur;
	u32 insn = 0;

	for (u32 i = 0; i < s->n_refs; i++)
		if (s->refs[i].kind == REF_IRQ && s->refs[i].id == s->active_irq_id)
			insn = s->refs[i].insn;
	return reject_err(v, REJECT_IRQ_FLAG, -EACCES, "cannot restore irq state out of order, expected id=%u acquired at insn_idx=%u",
			  s->active_irq_id, insn);
}

static int irq_restore(struct verifier *v, u32 regno, u32 family)
{
	const struct reg *r = reg_of(v, regno);
	s32 slot = object_slot(v, r, "irq_flag", 1);
	struct state *st = v->cur;
	const struct stack_slot *s = slot < 0 ? NULL : stack_at(st->frame[r->frame], (u32)slot);
	u32 last = 0;

	for (u32 i = 0; s && i < SLOT_BYTES; i++)
		if (s->kind[i] != S_IRQ)
			s = NULL;
	if (!s || !s->reg.ref)
		return reject(v, REJECT_IRQ_FLAG, "expected an initialized irq flag as arg#%u", regno - 1);
	stack_note_read(v, st, r->frame, (u32)slot);
	live_stack_read(v, r->frame, (u32)slot);
	if (s->reg.irq.kind != family)
		return reject(v, REJECT_IRQ_FLAG, "irq flag acquired by %s kfuncs cannot be restored with %s kfuncs",
			      s->reg.irq.kind == IRQ_NATIVE ? "native" : "lock", family == IRQ_NATIVE ? "native" : "lock");
	if (s->reg.ref != st->active_irq_id)
		return irq_out_of_order(v);
	if (ref_drop(st, s->reg.ref, REF_IRQ, NULL))
		return bug(v, "saved IRQ flags without an entry");
	for (u32 i = 0; i < st->n_refs; i++)
		if (st->refs[i].kind == REF_IRQ)
			last = st->refs[i].id;
	st->active_irq_id = last;
	stack_clear(v, r->frame, (u32)slot);
	return 0;
}

int arg_irq_flag(struct verifier *v, struct call *c, u32 regno)
{
	switch (c->kfunc->role) {
	case KROLE_IRQ_SAVE:
		return irq_save(v, regno, IRQ_NATIVE);
	case KROLE_RES_LOCK_IRQ:
		return irq_save(v, regno, IRQ_LOCK);
	case KROLE_IRQ_RESTORE:
		return irq_restore(v, regno, IRQ_NATIVE);
	case KROLE_RES_UNLOCK_IRQ:
		return irq_restore(v, regno, IRQ_LOCK);
	default:
		return bug(v, "IRQ flags for a function that takes none");
	}
}

/* ---- RCU, preemption ---- */

/* What was protected by the section may be gone once it ends. */
static void leave_rcu_reg(struct reg *r)
{
	if (r->type & R_RCU)
		r->type = (r->type & ~(u32)(R_RCU | R_NULLABLE)) | R_UNTRUSTED;
}

static void leave_rcu(struct verifier *v)
{
	struct state *s = v->cur;

	for (u32 f = 0; f < s->n_frames; f++) {
		for (u32 i = 0; i < REG_FP; i++)
			if (s->frame[f]->regs[i].type & R_RCU)
				leave_rcu_reg(&regs_edit(v, s->frame[f])[i]);
		for (u32 i = 0; i < s->frame[f]->n_slots; i++) {
			const struct stack_slot *slot = stack_at(s->frame[f], i);

			if (slot->reg.type & R_RCU && (stack_is_spill(slot) || slot->kind[0] == S_ITER))
				leave_rcu_reg(&stack_edit(v, s->frame[f], i)->reg);
		}
	}
}

static int rcu_section(struct verifier *v, struct call *c, bool sleeps)
{
	struct state *s = v->cur;
	bool lock = c->kfunc->role == KROLE_RCU_LOCK, unlock = c->kfunc->role == KROLE_RCU_UNLOCK;

	if (s->active_rcu_locks && (lock || unlock) && in_graph_callback(v))
		return reject_err(v, REJECT_RCU, -EACCES, "Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback");
	if (lock && s->active_rcu_locks) {
		return reject(v, REJECT_RCU, "nested rcu read lock (kernel function %s)", c->name);
	} else if (lock) {
		s->active_rcu_locks++;
	} else if (unlock) {
		if (!s->active_rcu_locks)
			return reject(v, REJECT_RCU, "unmatched rcu read unlock (kernel function %s)", c->name);
		if (!--s->active_rcu_locks)
			leave_rcu(v);
	} else if (sleeps && s->active_rcu_locks) {
		return reject_err(v, REJECT_CALL_SLEEPS, -EACCES, "kernel func %s is sleepable within rcu_read_lock region", c->name);
	}
	return 0;
}

int kfunc_sections(struct verifier *v, struct call *c)
{
	struct state *s = v->cur;
	bool sleeps = c->kfunc->flags & KF_SLEEPABLE;
	int err = rcu_section(v, c, sleeps);

	if (err)
		return err;
	if (c->kfunc->role == KROLE_PREEMPT_OFF) {
		s->active_preempt_locks++;
	} else if (c->kfunc->role == KROLE_PREEMPT_ON) {
		if (!s->active_preempt_locks)
			return reject(v, REJECT_PREEMPT, "unmatched attempt to enable preemption (kernel function %s)", c->name);
		s->active_preempt_locks--;
	} else if (sleeps && s->active_preempt_locks) {
		return reject_err(v, REJECT_CALL_SLEEPS, -EACCES, "kernel func %s is sleepable within non-preemptible region", c->name);
	}
	if (s->active_irq_id && sleeps)
		return reject_err(v, REJECT_CALL_SLEEPS, -EACCES, "kernel func %s is sleepable within IRQ-disabled region", c->name);
	if (c->kfunc->flags & KF_RCU_PROTECTED && !rcu_held(v))
		return reject_err(v, REJECT_RCU, -EACCES, "kernel func %s requires RCU critical section protection", c->name);
	return 0;
}
