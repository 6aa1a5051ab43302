/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of kernel functions: found once before the walk (insn_aux.kfunc), walked by prototype (the kernel's BTF), flags and role
 * (abi/kfuncs.def).
 */
#include "verify/call.h"

#include <linux/bpf.h>

/* ---- before the walk ---- */

static int resolve_one(struct verifier *v, u32 i)
{
	const struct insn *in = &v->insns[i];
	const struct prog_btf *module = in->off ? prog_btf_named(v->prog, false, in->off) : NULL;
	const struct btf_type *t;
	const struct btf *b;

	if (!in->imm && !in->off)
		return 0; /* a weak symbol that was not found: refused only where it is reached */
	if (!vmlinux(v))
		return reject_err(v, REJECT_KFUNC_UNKNOWN, -ENOTSUPP, "calling kernel function is not supported without CONFIG_DEBUG_INFO_BTF");
	if (!v->prog->gpl_compatible)
		return reject(v, REJECT_GPL_ONLY, "cannot call kernel function from non-GPL compatible program");
	if (module && module->err) {
		reject_err(v, REJECT_KFUNC_UNKNOWN, module->err, "%s", module->why);
		log_add(v, "failed to find BTF for kernel function\n");
		return module->err;
	}
	b = v->aux[i].btf = module ? module->btf : vmlinux(v);
	t = btf_type(b, (u32)in->imm);
	if (btf_kind_of(t) != BTF_KIND_FUNC)
		return reject(v, REJECT_KFUNC_UNKNOWN, "kernel btf_id %u is not a function", (u32)in->imm);
	if (!btf_func_proto(b, (u32)in->imm))
		return reject(v, REJECT_KFUNC_UNKNOWN, "kernel function btf_id %u does not have a valid func_proto", (u32)in->imm);
	v->aux[i].kfunc = kfunc_by_name(btf_name_of(b, t));
	if (v->aux[i].kfunc && v->aux[i].kfunc->role == KROLE_DEVICE) /* no program of an engine is bound to a device */
		return reject(v, REJECT_KFUNC_NOT_ALLOWED, "metadata kfuncs require device-bound program");
	return 0;
}

int kfuncs_resolve(struct verifier *v)
{
	for (u32 i = 0; i < v->n; i++) {
		int err;

		if (v->insns[i].op != OP_CALL || v->insns[i].pseudo != CALL_KFUNC)
			continue;
		v->insn = i;
		err = resolve_one(v, i);
		if (err)
			return err;
	}
	return 0;
}

/* ---- may it be called here ---- */

/* Lists, trees, counting iterators and resilient locks work with a lock held. */
static bool allowed_with_lock(const struct kfunc *k)
{
	switch (k->role) {
	case KROLE_REFCOUNT_ACQUIRE:
	case KROLE_LIST_PUSH:
	case KROLE_LIST_POP:
	case KROLE_RBTREE_ADD:
	case KROLE_RBTREE_REMOVE:
	case KROLE_RBTREE_READ:
	case KROLE_ITER_NUM:
	case KROLE_RES_LOCK:
	case KROLE_RES_UNLOCK:
	case KROLE_RES_LOCK_IRQ:
	case KROLE_RES_UNLOCK_IRQ:
		return true;
	default:
		return false;
	}
}

bool kfunc_offered(const struct verifier *v, const struct kfunc *k)
{
	return k && k->avail & v->kind->avail && kfunc_hook_ok(k, v->kind->avail, v->prog->attach_type, hook_name(v));
}

static int kfunc_allowed(struct verifier *v, struct call *c)
{
	const struct btf_type *func;
	int err;

	c->btf = v->aux[v->insn].btf;
	func = btf_type(c->btf, (u32)c->in->imm);
	c->name = btf_name_of(c->btf, func);
	c->proto = btf_func_proto(c->btf, (u32)c->in->imm);
	c->kfunc = v->aux[v->insn].kfunc;
	err = call_lock_rule(v, c->kfunc && allowed_with_lock(c->kfunc));
	if (err)
		return err;
	if (!kfunc_offered(v, c->kfunc))
		return reject(v, REJECT_KFUNC_NOT_ALLOWED, "calling kernel function %s is not allowed", c->name);
	if (c->kfunc->flags & KF_SLEEPABLE && !v->cur->in_sleepable)
		return reject_err(v, REJECT_CALL_SLEEPS, -EACCES, "program must be sleepable to call sleepable kfunc %s", c->name);
	return 0;
}

/* A resilient lock may not be got: the path on which it was not. */
static int lock_failed(struct verifier *v)
{
	struct state *s = push_branch(v, v->insn + 1, v->insn, false);
	struct reg *regs;

	if (!s)
		return v->why->err;
	regs = cur_frame(s)->regs;
	for (u32 i = 0; i <= 5; i++)
		reg_set_none(&regs[i]);
	reg_set_unknown(v, &regs[0]);
	regs[0].v.smin32 = -ERRNO_MAX;
	regs[0].v.smax32 = -1;
	scalar_sync(&regs[0].v);
	return 0;
}

/* ---- what it does ---- */

static int kfunc_callback(struct verifier *v, struct call *c, u32 *next)
{
	u32 id = CALLBACK_none;
	int err;

	switch (c->kfunc->role) {
	case KROLE_RBTREE_ADD:
		id = CALLBACK_rbtree_less;
		break;
	case KROLE_WQ_CALLBACK:
		id = CALLBACK_workqueue;
		break;
	case KROLE_TASK_WORK:
		id = CALLBACK_task_work;
		break;
	default:
		return 0;
	}
	c->callback = callback_proto(id);
	err = callback_call(v, c->in, c->subprog, c->callback, fill_callback, c, next);
	if (err)
		log_add(v, "kfunc %s#%u failed callback verification\n", c->name, (u32)c->in->imm);
	return err;
}

static int kfunc_release(struct verifier *v, struct call *c)
{
	int err;

	if (!c->release_reg)
		return 0;
	err = ref_release(v, reg_of(v, c->release_reg)->ref);
	if (!err)
		return 0;
	return reject_err(v, REJECT_REF_MISSING, err, "kfunc %s#%u reference has not been acquired before", c->name, (u32)c->in->imm);
}

static int kfunc_effects(struct verifier *v, struct call *c, u32 *next)
{
	int err = kfunc_callback(v, c, next);

	if (c->kfunc->role == KROLE_SESSION_COOKIE) {
		c->result_size = sizeof(u64);
		c->result_rdonly = false;
	}
	err = err ? err : kfunc_sections(v, c);
	err = err ? err : kfunc_release(v, c);
	if (err)
		return err;
	switch (c->kfunc->role) {
	case KROLE_LIST_PUSH:
	case KROLE_RBTREE_ADD:
		return node_inserted(v, 2);
	case KROLE_THROW:
		v->walked.exception = true;
		return v->exception_callback ? 0 : result_ok(v, 1, "R1");
	default:
		return 0;
	}
}

/* ---- result ---- */

static int result_cast(struct verifier *v, struct call *c, struct reg *r0)
{
	const struct btf_type *t = btf_type(c->btf, (u32)c->constant);

	if (c->constant && (c->constant > UINT32_MAX || !t))
		return reject(v, REJECT_OBJECT_TYPE, "Unknown type ID %lld passed to kfunc bpf_rdonly_cast", (long long)c->constant);
	if (!c->constant) {
		reg_set_pointer(r0, R_MEM | R_RDONLY | R_UNTRUSTED);
		r0->mem_size = 0;
		return 0;
	}
	if (!btf_is_struct(t))
		return reject(v, REJECT_OBJECT_TYPE, "kfunc bpf_rdonly_cast type ID argument must be of a struct or void");
	reg_set_pointer(r0, R_BTF | R_UNTRUSTED);
	r0->btf = c->btf;
	r0->btf_id = (u32)c->constant;
	return 0;
}

static int result_slice(struct verifier *v, struct call *c, struct reg *r0)
{
	bool writes = c->kfunc->role == KROLE_DYNPTR_SLICE_RDWR, packet = dynptr_in_packet(c->dynptr.kind);

	if (!c->has_constant)
		return bug(v, "a slice of unknown size");
	if (writes) {
		if (!(v->prog->kind->flags & PT_PACKET_WRITE))
			return reject(v, REJECT_DYNPTR_WRITE, "the prog does not allow writes to packet data");
		v->walked.direct_write = true;
	}
	reg_set_pointer(r0, R_MEM | (packet ? (u32)R_SLICE : 0u) | (writes ? 0u : (u32)R_RDONLY));
	r0->mem_size = (u32)c->constant;
	r0->dynptr_id = c->dynptr.id;
	r0->ref = c->dynptr.ref; /* a record's: gone when it is submitted */
	return 0;
}

/* Results of roles; 1: it follows from the prototype. */
static int result_by_role(struct verifier *v, struct call *c, struct reg *r0)
{
	switch (c->kfunc->role) {
	case KROLE_OBJ_NEW:
	case KROLE_PERCPU_OBJ_NEW:
		return object_new(v, c, r0);
	case KROLE_REFCOUNT_ACQUIRE:
		reg_set_pointer(r0, R_BTF | R_ALLOC);
		r0->btf = c->obj_btf;
		r0->btf_id = c->obj_id;
		return 0;
	case KROLE_LIST_POP:
		reg_set_node(r0, c->list_head);
		return 0;
	case KROLE_RBTREE_REMOVE:
	case KROLE_RBTREE_READ:
		reg_set_node(r0, c->rb_root);
		return 0;
	case KROLE_CAST_CTX:
		reg_set_pointer(r0, R_BTF | R_TRUSTED);
		r0->btf = c->btf;
		r0->btf_id = c->obj_id;
		return 0;
	case KROLE_RDONLY_CAST:
		return result_cast(v, c, r0);
	case KROLE_DYNPTR_SLICE:
	case KROLE_DYNPTR_SLICE_RDWR:
		return result_slice(v, c, r0);
	default:
		return 1;
	}
}

static int result_memory(struct verifier *v, struct call *c, struct reg *r0, const struct btf_type *t, u32 id)
{
	s64 size = btf_size(c->btf, id);

	if (!c->result_size && size > 0) {
		c->result_size = (u64)size;
		c->result_rdonly = true;
	}
	if (!c->result_size)
		return reject(v, REJECT_KFUNC_RESULT, "kernel function %s returns pointer type %s %s is not supported", c->name,
			      btf_kind_name(btf_kind_of(t)), btf_name_of(c->btf, t));
	reg_set_pointer(r0, R_MEM | (c->result_rdonly ? (u32)R_RDONLY : 0u));
	r0->mem_size = (u32)c->result_size;
	r0->ref = c->ref; /* not accessible once that is released */
	return 0;
}

static int result_pointer(struct verifier *v, struct call *c, struct reg *r0, const struct btf_type *ptr)
{
	u32 id = ptr->type, flags = 0;
	const struct btf_type *t = btf_skip_modifiers(c->btf, ptr->type, &id);
	int err = result_by_role(v, c, r0);

	if (err <= 0)
		return err;
	if (!t) { /* void */
		reg_set_unknown(v, r0);
		return 0;
	}
	if (!btf_is_struct(t))
		return result_memory(v, c, r0, t, id);
	if (c->kfunc->role == KROLE_RESULT_UNTRUSTED)
		flags |= R_UNTRUSTED;
	else if (flag_is_set(c, KF_RCU_PROTECTED))
		flags |= R_RCU;
	if (flag_is_set(c, KF_ITER_NEXT))
		flags |= iter_of(v->cur, c)->type & R_RCU ? R_RCU : R_TRUSTED;
	reg_set_pointer(r0, R_BTF | flags);
	r0->btf = c->btf;
	r0->btf_id = id;
	return 0;
}

static bool is_node_ptr(const struct call *c, const struct btf_type *ptr)
{
	const struct btf_type *t = btf_skip_modifiers(c->btf, ptr->type, NULL);
	const char *name = btf_name_of(c->btf, t);

	return !strcmp(name, "bpf_rb_node") || !strcmp(name, "bpf_list_node");
}

/* NULL, ids and references of a pointer that it gives. */
static int result_ids(struct verifier *v, struct call *c, struct reg *r0, const struct btf_type *ptr)
{
	bool nullable = flag_is_set(c, KF_RET_NULL) && !(c->kfunc->role == KROLE_REFCOUNT_ACQUIRE && c->owning);
	int err;

	if (nullable) {
		r0->type |= R_NULLABLE;
		r0->id = new_id(v);
	}
	if (flag_is_set(c, KF_ACQUIRE)) {
		int id = ref_acquire(v, v->insn);

		if (id < 0)
			return id;
		if (nullable)
			r0->id = (u32)id;
		r0->ref = (u32)id;
	} else if (is_node_ptr(c, ptr)) {
		err = set_non_owning(v, r0);
		if (err)
			return err;
	}
	if (!r0->id && btf_record_has(special_fields(r0), BTF_SPIN_LOCK | BTF_RES_SPIN_LOCK))
		r0->id = new_id(v);
	return 0;
}

static int kfunc_result(struct verifier *v, struct call *c)
{
	const struct btf_type *t = btf_skip_modifiers(c->btf, c->proto->type, NULL);
	struct reg *r0 = reg_of(v, 0);
	int err;

	if (!t)
		return 0;
	if (btf_is_ptr(t)) {
		err = result_pointer(v, c, r0, t);
		if (err || r0->type == R_SCALAR)
			return err;
		return result_ids(v, c, r0, t);
	}
	if (!btf_is_scalar(t))
		return reject(v, REJECT_KFUNC_RESULT, "kernel function %s returns a %s: not supported", c->name, btf_kind_name(btf_kind_of(t)));
	if (c->kfunc->role == KROLE_RES_LOCK || c->kfunc->role == KROLE_RES_LOCK_IRQ)
		reg_set_const(r0, 0); /* here it was got */
	else
		reg_set_unknown(v, r0);
	return 0;
}

int walk_kfunc(struct verifier *v, const struct insn *in, u32 *next)
{
	struct call c = {.in = in, .const_key = -1};
	int err;

	*next = v->insn + 1;
	if (!in->imm) /* nothing behind a weak symbol */
		return reject(v, REJECT_KFUNC_UNKNOWN, "invalid kernel function call not eliminated in verifier pass");
	err = kfunc_allowed(v, &c);
	if (err)
		return err;
	if (c.kfunc->role == KROLE_TRAP)
		return reject_err(v, REJECT_TRAP, -EFAULT, "unexpected __bpf_trap() due to uninitialized variable?");
	if (c.kfunc->role == KROLE_RES_LOCK || c.kfunc->role == KROLE_RES_LOCK_IRQ)
		err = lock_failed(v);
	err = err ? err : kfunc_args(v, &c);
	err = err ? err : kfunc_effects(v, &c, next);
	if (err)
		return err;
	call_clobber(v);
	err = kfunc_result(v, &c);
	if (!err && c.kfunc->role == KROLE_MOVES_PACKET)
		packet_forget(v);
	if (!err && flag_is_set(&c, KF_ITER_NEXT))
		err = iter_next(v, &c);
	return err;
}
