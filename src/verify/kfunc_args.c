/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arguments of kernel functions. What a parameter takes follows from its type in the kernel's BTF, the suffix of its name, and the function's
 * flags; the register only tells where more than one would do.
 */
#include "verify/call.h"

#include <linux/bpf.h>

enum takes {
	TAKES_CTX, TAKES_NULL, TAKES_ALLOC, TAKES_REFCOUNTED, TAKES_DYNPTR, TAKES_ITER, TAKES_LIST_HEAD, TAKES_LIST_NODE, TAKES_RB_ROOT,
	TAKES_RB_NODE, TAKES_STRING, TAKES_MAP, TAKES_WORKQUEUE, TAKES_TASK_WORK, TAKES_IRQ_FLAG, TAKES_RES_LOCK, TAKES_OBJECT,
	TAKES_CALLBACK, TAKES_MEM, TAKES_MEM_SIZE,
};

struct param {
	u32 i, regno, marks;
	const struct btf_type *type; /* modifiers skipped */
	struct btf_value value;
};

/* ---- what kernel types registers without BTF stand for ---- */

static u32 ktype_of_reg(u32 type) /* enum ktype */
{
	switch (reg_base(type)) {
	case R_SOCKET: return KTYPE_sock;
	case R_SOCK_COMMON: return KTYPE_sock_common;
	case R_TCP_SOCK: return KTYPE_tcp_sock;
	case R_MAP: return KTYPE_bpf_map;
	default: return KTYPE_NONE;
	}
}

enum { TRUST = R_ALLOC | R_TRUSTED | R_NON_OWNING };

static bool has_unsafe_flags(u32 type)
{
	return type & ~(u32)R_TYPE_MASK & ~(u32)TRUST;
}

static bool is_trusted(const struct reg *r)
{
	if (r->ref)
		return true;
	return !has_unsafe_flags(r->type) && (ktype_of_reg(r->type) || r->type & TRUST);
}

static bool needs_trust(const struct call *c)
{
	return flag_is_set(c, KF_TRUSTED_ARGS | KF_RELEASE);
}

/* ---- numbers ---- */

/* marks: does Linux note that its value counts? */
static int constant_param(struct verifier *v, struct call *c, u32 regno, bool marks)
{
	const struct reg *r = reg_of(v, regno);

	if (!reg_is_const(r))
		return reject(v, REJECT_KFUNC_CONST, "R%u must be a known constant", regno);
	c->has_constant = true;
	c->constant = r->v.bits.value;
	return marks ? mark_precise(v, regno) : mark_precise_beyond(v, regno);
}

static int scalar_param(struct verifier *v, struct call *c, const struct param *p)
{
	const char *name = btf_string(c->btf, btf_params_of(c->proto)[p->i].name_off);
	const struct reg *r = reg_of(v, p->regno);
	bool rdonly = !strcmp(name, "rdonly_buf_size");

	if (r->type != R_SCALAR)
		return reject(v, REJECT_KFUNC_ARG, "R%u is not a scalar", p->regno);
	if (p->marks & BTF_MARK_K)
		return constant_param(v, c, p->regno, true);
	if (!rdonly && strcmp(name, "rdwr_buf_size"))
		return 0;
	c->result_rdonly |= rdonly;
	if (c->result_size)
		return reject(v, REJECT_KFUNC_ARG, "2 or more rdonly/rdwr_buf_size parameters for kfunc");
	if (!reg_is_const(r))
		return reject(v, REJECT_KFUNC_CONST, "R%u is not a const", p->regno);
	c->result_size = r->v.bits.value;
	if (c->result_size > UINT32_MAX)
		return reject(v, REJECT_KFUNC_ARG, "R%u rdonly/rdwr_buf_size exceeds u32 max", p->regno);
	return mark_precise(v, p->regno);
}

/* ---- what a pointer parameter takes ---- */

static bool size_follows(struct verifier *v, const struct call *c, const struct param *p)
{
	const struct btf_param *next = btf_params_of(c->proto) + p->i + 1;

	return p->i + 1 < btf_vlen_of(c->proto) && btf_value_of(c->btf, next->type).kind == BTF_VALUE_SCALAR &&
	       reg_of(v, p->regno + 1)->type == R_SCALAR && btf_param_marks(c->btf, next) & (BTF_MARK_SZ | BTF_MARK_SZK);
}

static s32 takes_struct(const struct param *p)
{
	static const struct {
		const char *name;
		enum takes takes;
	} rows[] = {{"bpf_list_head", TAKES_LIST_HEAD}, {"bpf_list_node", TAKES_LIST_NODE}, {"bpf_rb_root", TAKES_RB_ROOT},
		    {"bpf_rb_node", TAKES_RB_NODE}, {"bpf_wq", TAKES_WORKQUEUE}, {"bpf_task_work", TAKES_TASK_WORK},
		    {"bpf_res_spin_lock", TAKES_RES_LOCK}};

	for (u32 i = 0; p->value.kind == BTF_VALUE_PTR_STRUCT && i < ARRAY_SIZE(rows); i++)
		if (!strcmp(p->value.name, rows[i].name))
			return (s32)rows[i].takes;
	return -1;
}

static const char *kind_text(const struct call *c, const struct param *p)
{
	return btf_kind_name(btf_kind_of(btf_type(c->btf, p->value.id)));
}

static int takes_memory(struct verifier *v, const struct call *c, const struct param *p, bool sized)
{
	bool ok;

	switch (p->value.kind) {
	case BTF_VALUE_PTR_SCALAR:
		ok = true;
		break;
	case BTF_VALUE_PTR_STRUCT:
		ok = btf_scalar_struct(c->btf, btf_type(c->btf, p->value.id), v->log_level ? v->log : NULL);
		break;
	default:
		ok = sized && p->value.kind == BTF_VALUE_PTR_VOID;
	}
	if (!ok)
		return reject(v, REJECT_KFUNC_ARG, "arg#%u pointer type %s %s must point to %sscalar, or struct with scalar", p->i,
			      kind_text(c, p), p->value.name, sized ? "void, " : "");
	return sized ? TAKES_MEM_SIZE : TAKES_MEM;
}

static int what_it_takes(struct verifier *v, const struct call *c, const struct param *p) /* enum takes, or what reject() gave */
{
	const struct reg *r = reg_of(v, p->regno);
	bool iterates = flag_is_set(c, KF_ITER_NEW | KF_ITER_NEXT | KF_ITER_DESTROY);
	s32 special;

	if (c->kfunc->role == KROLE_CAST_CTX || btf_is_ctx(c->btf, p->type, v->prog->type, p->i, NULL))
		return TAKES_CTX;
	if (p->marks & BTF_MARK_NULLABLE && reg_is_null(r))
		return TAKES_NULL;
	if (p->marks & BTF_MARK_ALLOC)
		return TAKES_ALLOC;
	if (p->marks & BTF_MARK_REFCOUNTED_KPTR)
		return TAKES_REFCOUNTED;
	if (btf_is_dynptr_ptr(c->btf, p->type))
		return TAKES_DYNPTR;
	if (iterates ? p->i == 0 : p->marks & BTF_MARK_ITER)
		return TAKES_ITER;
	special = takes_struct(p);
	if (special >= 0)
		return special;
	if (p->marks & BTF_MARK_STR)
		return TAKES_STRING;
	if (p->marks & BTF_MARK_MAP)
		return TAKES_MAP;
	if (p->marks & BTF_MARK_IRQ_FLAG)
		return TAKES_IRQ_FLAG;
	if (reg_base(r->type) == R_BTF || ktype_of_reg(r->type)) {
		if (p->value.kind == BTF_VALUE_PTR_STRUCT)
			return TAKES_OBJECT;
		return reject(v, REJECT_KFUNC_ARG, "kernel function %s args#%u pointer type %s %s is not supported", c->name, p->i,
			      kind_text(c, p), p->value.name);
	}
	if (p->value.kind == BTF_VALUE_PTR_FUNC)
		return TAKES_CALLBACK;
	return takes_memory(v, c, p, size_follows(v, c, p));
}

/* ---- trust ---- */

static int trust_ok(struct verifier *v, const struct call *c, const struct param *p)
{
	const struct reg *r = reg_of(v, p->regno);

	if ((!needs_trust(c) && !flag_is_set(c, KF_RCU)) || is_trusted(r))
		return 0;
	if (!flag_is_set(c, KF_RCU))
		return reject(v, REJECT_KFUNC_TRUST, "R%u must be referenced or trusted", p->regno);
	if (!(r->type & R_RCU))
		return reject(v, REJECT_KFUNC_TRUST, "R%u must be a rcu pointer", p->regno);
	return 0;
}

/* The reference that it carries, which a releasing function takes. */
static int note_reference(struct verifier *v, struct call *c, const struct param *p)
{
	const struct reg *r = reg_of(v, p->regno);
	bool releases = flag_is_set(c, KF_RELEASE);

	if (!r->ref)
		return 0;
	if (releases && c->ref)
		return reject_err(v, REJECT_REF_TWICE, EFAULT, "more than one arg with ref_obj_id R%u %u %u", p->regno, r->ref, c->ref);
	c->ref = r->ref;
	if (releases)
		c->release_reg = p->regno;
	return 0;
}

/* ---- objects ---- */

static bool is_projection(const char *of, const char *name) /* the program's side of a context, where the kernel's is given */
{
	return (!strcmp(of, "__sk_buff") && !strcmp(name, "sk_buff")) || (!strcmp(of, "xdp_md") && !strcmp(name, "xdp_buff"));
}

static int object_param(struct verifier *v, const struct call *c, const struct param *p, u32 want_id, const char *want)
{
	const struct reg *r = reg_of(v, p->regno);
	const struct btf *b = r->btf;
	const struct btf_type *t;
	const char *name;
	u32 id = r->btf_id;
	bool strict;

	if (reg_base(r->type) != R_BTF) {
		s32 known = kernel_type(v, ktype_of_reg(r->type));

		if (known < 0)
			return known;
		b = vmlinux(v);
		id = (u32)known;
	}
	t = btf_skip_modifiers(b, id, &id);
	name = btf_name_of(b, t);
	strict = (flag_is_set(c, KF_RELEASE) && r->ref) || btf_nocast_alias(b, id, c->btf, want_id);
	if (is_projection(want, name) || btf_ids_match(b, id, r->off, c->btf, want_id, strict, r->type & R_ALLOC, v->log_level ? v->log : NULL))
		return 0;
	return reject(v, REJECT_KFUNC_ARG, "kernel function %s args#%u expected pointer to %s %s but R%u has a pointer to %s %s", c->name, p->i,
		      btf_kind_name(btf_kind_of(btf_type(c->btf, want_id))), want, p->regno, btf_kind_name(btf_kind_of(t)), name);
}

static int object_or_socket(struct verifier *v, const struct call *c, const struct param *p)
{
	const struct reg *r = reg_of(v, p->regno);

	if ((reg_base(r->type) != R_BTF || (has_unsafe_flags(r->type) && !(r->type & R_RCU))) && !ktype_of_reg(r->type)) {
		char have[64];
		size_t n = strlen(reg_type_name(v, r->type));

		memcpy(have, reg_type_name(v, r->type), MIN(n + 1, sizeof(have) - 1));
		have[MIN(n, sizeof(have) - 1)] = 0;
		return reject(v, REJECT_KFUNC_ARG, "arg#%u is %s expected %s or socket", p->i, have,
			      reg_type_name(v, reg_base(r->type) | (r->type & TRUST)));
	}
	return object_param(v, c, p, p->value.id, p->value.name);
}

static int map_param(struct verifier *v, struct call *c, const struct param *p)
{
	const struct reg *r = reg_of(v, p->regno);
	const struct btf_record *f;

	if (reg_base(r->type) == R_BTF)
		return 0; /* a struct bpf_map of the kernel's */
	if (r->type != R_MAP)
		return reject(v, REJECT_KFUNC_ARG, "pointer in R%u isn't map pointer", p->regno);
	f = &r->map->record;
	if (c->map && (f->wq || f->task_work) && (c->map != r->map || c->map_uid != r->map_uid)) {
		if (f->task_work)
			return reject(v, REJECT_MAP_OTHER, "bpf_task_work pointer in R2 map_uid=%u doesn't match map pointer in R3 map_uid=%u",
				      c->map_uid, r->map_uid);
		return reject(v, REJECT_MAP_OTHER, "workqueue pointer in R1 map_uid=%u doesn't match map pointer in R2 map_uid=%u", c->map_uid,
			      r->map_uid);
	}
	c->map = r->map;
	c->map_uid = r->map_uid;
	return 0;
}

/* ---- the program's own objects ---- */

static int alloc_param(struct verifier *v, struct call *c, const struct param *p)
{
	const struct reg *r = reg_of(v, p->regno);

	if (r->type == (R_BTF | R_ALLOC)) {
		if (c->kfunc->role != KROLE_OBJ_DROP)
			return reject(v, REJECT_KFUNC_ARG, "arg#%u expected for bpf_obj_drop_impl()", p->i);
	} else if (r->type == (R_BTF | R_ALLOC | R_PERCPU)) {
		if (c->kfunc->role != KROLE_PERCPU_OBJ_DROP)
			return reject(v, REJECT_KFUNC_ARG, "arg#%u expected for bpf_percpu_obj_drop_impl()", p->i);
	} else {
		return reject(v, REJECT_KFUNC_ARG, "arg#%u expected pointer to allocated object", p->i);
	}
	if (!r->ref)
		return reject(v, REJECT_REF_MISSING, "allocated object must be referenced");
	c->obj_btf = r->btf;
	c->obj_id = r->btf_id;
	return 0;
}

static int root_param(struct verifier *v, struct call *c, const struct param *p, u32 kind)
{
	const struct reg *r = reg_of(v, p->regno);

	if (r->type != R_MAP_VALUE && r->type != (R_BTF | R_ALLOC))
		return reject(v, REJECT_KFUNC_ARG, "arg#%u expected pointer to map value or allocated object", p->i);
	if (r->type == (R_BTF | R_ALLOC) && !r->ref)
		return reject(v, REJECT_REF_MISSING, "allocated object must be referenced");
	return arg_graph_root(v, c, p->regno, kind);
}

static int owned_node(struct verifier *v, struct call *c, const struct param *p, u32 kind)
{
	const struct reg *r = reg_of(v, p->regno);

	if (r->type != (R_BTF | R_ALLOC))
		return reject(v, REJECT_KFUNC_ARG, "arg#%u expected pointer to allocated object", p->i);
	if (!r->ref)
		return reject(v, REJECT_REF_MISSING, "allocated object must be referenced");
	return arg_graph_node(v, c, p->regno, kind);
}

static int tree_node(struct verifier *v, struct call *c, const struct param *p)
{
	const struct reg *r = reg_of(v, p->regno);
	bool non_owning = reg_base(r->type) == R_BTF && r->type & R_ALLOC && r->type & R_NON_OWNING;

	if (c->kfunc->role == KROLE_RBTREE_ADD)
		return owned_node(v, c, p, BTF_RB_NODE);
	if (!non_owning && !r->ref)
		return reject(v, REJECT_GRAPH_NODE, "%s can only take non-owning or refcounted bpf_rb_node pointer", c->name);
	if (in_graph_callback(v))
		return reject(v, REJECT_LOCK_IN_CALLBACK, "%s not allowed in rbtree cb", c->name);
	return arg_graph_node(v, c, p->regno, BTF_RB_NODE);
}

/* ---- dynptrs, iterators, memory ---- */

static int dynptr_param(struct verifier *v, struct call *c, const struct param *p)
{
	const struct reg *r = reg_of(v, p->regno);
	u32 flags = r->type == R_DYNPTR ? ARG_RDONLY : 0, kinds = DYNPTR_ANY, ref = 0;
	int err;

	if (p->marks & BTF_MARK_UNINIT) {
		flags |= ARG_UNINIT;
		kinds = c->kfunc->role == KROLE_DYNPTR_FROM_SKB ? DYNPTR_SKB : c->kfunc->role == KROLE_DYNPTR_FROM_XDP ? DYNPTR_XDP :
			c->kfunc->role == KROLE_DYNPTR_FROM_SKB_META ? DYNPTR_SKB_META : 0;
		if (c->kfunc->role == KROLE_DYNPTR_CLONE) {
			kinds = c->dynptr.kind;
			ref = c->dynptr.ref;
		}
		if (!kinds)
			return bug(v, "a new dynptr of no kind");
	}
	err = arg_dynptr(v, p->regno, flags, kinds, ref);
	if (err || flags & ARG_UNINIT)
		return err;
	return dynptr_facts(v, c, reg_of(v, p->regno));
}

static int iter_param(struct verifier *v, struct call *c, const struct param *p)
{
	bool allowed = v->prog->type == BPF_PROG_TYPE_LSM || v->cur->in_sleepable ||
		       (v->prog->type == BPF_PROG_TYPE_TRACING && v->prog->attach_type == BPF_TRACE_ITER);

	if (c->kfunc->role == KROLE_ITER_CSS_TASK && !allowed)
		return reject(v, REJECT_KFUNC_NOT_ALLOWED, "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs");
	return arg_iter(v, c, p->regno);
}

static int mem_param(struct verifier *v, const struct call *c, const struct param *p)
{
	s64 size = btf_size(c->btf, p->value.id);

	if (size < 0)
		return reject(v, REJECT_KFUNC_ARG, "arg#%u reference type('%s %s') size cannot be determined: %lld", p->i, kind_text(c, p),
			      p->value.name, (long long)size);
	return arg_mem(v, p->regno, (u32)size);
}

static int mem_size_param(struct verifier *v, struct call *c, const struct param *p)
{
	struct reg *r = reg_of(v, p->regno), saved = *r;
	u32 marks = btf_param_marks(c->btf, btf_params_of(c->proto) + p->i + 1);
	u64 most;
	int err;

	if (!reg_is_null(r) || !(p->marks & BTF_MARK_OPT)) {
		if (reg_may_be_null(r))
			reg_not_null(v, r);
		err = arg_memory_pair(v, p->regno + 1, MEM_READ, true, &most, c->name);
		err = err ? err : arg_memory_pair(v, p->regno + 1, MEM_WRITE, true, &most, c->name);
		if (reg_may_be_null(&saved))
			*reg_of(v, p->regno) = saved;
		if (err) {
			log_add(v, "arg#%u arg#%u memory, len pair leads to invalid memory access\n", p->i, p->i + 1);
			return err;
		}
	}
	return marks & BTF_MARK_SZK ? constant_param(v, c, p->regno + 1, false) : 0;
}

/* ---- one parameter ---- */

static int ctx_param(struct verifier *v, struct call *c, const struct param *p)
{
	const struct reg *r = reg_of(v, p->regno);
	s32 id;

	if (r->type != R_CTX)
		return reject(v, REJECT_KFUNC_ARG, "arg#%u expected pointer to ctx, but got %s", p->i, reg_type_name(v, r->type));
	if (c->kfunc->role != KROLE_CAST_CTX)
		return 0;
	id = btf_kernel_ctx(vmlinux(v), v->prog->type);
	if (id < 0)
		return reject(v, REJECT_KFUNC_ARG, "the context of this program type has no kernel type");
	c->obj_id = (u32)id;
	return 0;
}

static int lock_param(struct verifier *v, struct call *c, const struct param *p)
{
	const struct reg *r = reg_of(v, p->regno);
	u32 role = c->kfunc->role, use = LOCK_RES;

	if (r->type != R_MAP_VALUE && r->type != (R_BTF | R_ALLOC))
		return reject(v, REJECT_KFUNC_ARG, "arg#%u doesn't point to map value or allocated object", p->i);
	if (role == KROLE_RES_LOCK || role == KROLE_RES_LOCK_IRQ)
		use |= LOCK_TAKE;
	if (role == KROLE_RES_LOCK_IRQ || role == KROLE_RES_UNLOCK_IRQ)
		use |= LOCK_IRQ;
	return arg_lock(v, p->regno, use);
}

static int field_param(struct verifier *v, struct call *c, const struct param *p, u32 kind)
{
	if (reg_of(v, p->regno)->type != R_MAP_VALUE)
		return reject(v, REJECT_KFUNC_ARG, "arg#%u doesn't point to a map value", p->i);
	return arg_map_field(v, c, p->regno, kind);
}

static int take(struct verifier *v, struct call *c, const struct param *p, enum takes takes)
{
	const struct reg *r = reg_of(v, p->regno);
	s32 id;

	switch (takes) {
	case TAKES_CTX: return ctx_param(v, c, p);
	case TAKES_ALLOC: return alloc_param(v, c, p);
	case TAKES_REFCOUNTED: return arg_refcounted(v, c, p->regno);
	case TAKES_DYNPTR: return dynptr_param(v, c, p);
	case TAKES_ITER: return iter_param(v, c, p);
	case TAKES_LIST_HEAD: return root_param(v, c, p, BTF_LIST_HEAD);
	case TAKES_RB_ROOT: return root_param(v, c, p, BTF_RB_ROOT);
	case TAKES_LIST_NODE: return owned_node(v, c, p, BTF_LIST_NODE);
	case TAKES_RB_NODE: return tree_node(v, c, p);
	case TAKES_MAP:
		id = kernel_type(v, KTYPE_bpf_map);
		return id < 0 ? id : object_param(v, c, p, (u32)id, "bpf_map");
	case TAKES_OBJECT: return object_or_socket(v, c, p);
	case TAKES_MEM: return mem_param(v, c, p);
	case TAKES_MEM_SIZE: return mem_size_param(v, c, p);
	case TAKES_CALLBACK:
		if (r->type != R_FUNC)
			return reject(v, REJECT_KFUNC_ARG, "arg%u expected pointer to func", p->i);
		c->subprog = r->subprog;
		return 0;
	case TAKES_STRING:
		if (r->type != R_MAP_VALUE)
			return reject(v, REJECT_KFUNC_ARG, "arg#%u doesn't point to a const string", p->i);
		return arg_const_string(v, r, p->regno);
	case TAKES_WORKQUEUE: return field_param(v, c, p, BTF_WORKQUEUE);
	case TAKES_TASK_WORK: return field_param(v, c, p, BTF_TASK_WORK);
	case TAKES_IRQ_FLAG:
		if (r->type != R_STACK)
			return reject(v, REJECT_KFUNC_ARG, "arg#%u doesn't point to an irq flag on stack", p->i);
		return arg_irq_flag(v, c, p->regno);
	case TAKES_RES_LOCK: return lock_param(v, c, p);
	case TAKES_NULL: return 0;
	}
	return 0;
}

static int pointer_param(struct verifier *v, struct call *c, struct param *p, bool *skip_next)
{
	const struct reg *r = reg_of(v, p->regno);
	int takes, err;

	if ((needs_trust(c) || flag_is_set(c, KF_RCU)) && (reg_is_null(r) || reg_may_be_null(r)) && !(p->marks & BTF_MARK_NULLABLE))
		return reject_err(v, REJECT_KFUNC_NULL, -EACCES, "Possibly NULL pointer passed to trusted arg%u", p->i);
	err = note_reference(v, c, p);
	if (err)
		return err;
	takes = what_it_takes(v, c, p);
	if (takes < 0 || takes == TAKES_NULL)
		return takes < 0 ? takes : mark_precise_beyond(v, p->regno);
	if (takes == TAKES_MAP)
		err = map_param(v, c, p);
	if (!err && (takes == TAKES_MAP || takes == TAKES_ALLOC || takes == TAKES_OBJECT))
		err = trust_ok(v, c, p);
	err = err ? err : arg_offset(v, r, p->regno, flag_is_set(c, KF_RELEASE) && r->ref);
	*skip_next = takes == TAKES_MEM_SIZE;
	return err ? err : take(v, c, p, (enum takes)takes);
}

int kfunc_args(struct verifier *v, struct call *c)
{
	u32 n = btf_vlen_of(c->proto);
	int err = 0;

	if (n > BTF_BPF_ARGS)
		return reject(v, REJECT_KFUNC_ARG, "Function %s has %u > %d args", c->name, n, BTF_BPF_ARGS);
	for (u32 i = 0; i < n && !err; i++) {
		const struct btf_param *param = btf_params_of(c->proto) + i;
		struct param p = {.i = i, .regno = i + 1, .marks = btf_param_marks(c->btf, param)};
		bool skip = false;

		p.type = btf_skip_modifiers(c->btf, param->type, NULL);
		p.value = btf_value_of(c->btf, param->type);
		if (p.marks & (BTF_MARK_IGN | BTF_MARK_PROG))
			continue;
		if (btf_is_scalar(p.type))
			err = scalar_param(v, c, &p);
		else if (btf_is_ptr(p.type))
			err = pointer_param(v, c, &p, &skip);
		else
			err = reject(v, REJECT_KFUNC_ARG, "Unrecognized arg#%u type %s", i, btf_kind_name(btf_kind_of(p.type)));
		if (err && v->why->reg < 0)
			reject_reg(v, p.regno);
		i += skip;
	}
	if (!err && flag_is_set(c, KF_RELEASE) && !c->release_reg) {
		err = reject(v, REJECT_REF_MISSING, "release kernel function %s expects refcounted PTR_TO_BTF_ID", c->name);
		reject_reg(v, 1);
	}
	return err;
}
