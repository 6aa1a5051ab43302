/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls of helpers: from the row in abi/helpers.def to the state after the call. */
#include "verify/call.h"

#include <linux/bpf.h>

/* ---- what calls share ---- */

void call_clobber(struct verifier *v)
{
	for (u32 i = 0; i <= 5; i++) {
		reg_set_none(reg_of(v, i));
		v->scratched_regs |= 1u << i;
	}
}

int call_lock_rule(struct verifier *v, bool allowed)
{
	if (!v->cur->active_locks || allowed)
		return 0;
	return reject(v, REJECT_CALL_IN_LOCK, "function calls are not allowed while holding a lock");
}

void map_note(struct verifier *v, struct map *m)
{
	struct insn_aux *aux = &v->aux[v->insn];

	if (!aux->map)
		aux->map = m;
	else if (aux->map != m)
		aux->map = MAP_MANY;
}

s32 kernel_type(struct verifier *v, enum ktype t)
{
	s32 id;

	if (v->ktype_ids[t])
		return (s32)v->ktype_ids[t];
	id = vmlinux(v) ? btf_find(vmlinux(v), ktype_name(t), BTF_KIND_STRUCT) : -ENOENT;
	if (id <= 0)
		return reject(v, REJECT_KERNEL_TYPE_UNKNOWN, "the kernel's BTF has no struct %s", ktype_name(t));
	v->ktype_ids[t] = (u32)id;
	return id;
}

struct matching {
	bool (*match)(const struct reg *r, u32 what);
	u32 what;
};

static void forget_matching(struct verifier *v, struct reg *r, void *ud)
{
	const struct matching *m = ud;

	if (m->match(r, m->what))
		reg_invalidate(v, r);
}

void each_matching(struct verifier *v, bool (*match)(const struct reg *, u32), u32 what)
{
	struct matching m = {match, what};

	each_reg(v, v->cur, forget_matching, &m);
}

bool in_graph_callback(const struct verifier *v)
{
	for (u32 i = v->cur->n_frames; i-- > 1;) {
		const struct frame *f = v->cur->frame[i];

		if (f->in_callback && f->callback && f->callback->args[0] == CB_NODE)
			return true;
	}
	return false;
}

/* ---- callbacks ---- */

static void set_map_arg(struct verifier *v, const struct call *c, struct reg *r, u32 type)
{
	(void)v;
	reg_set_pointer(r, type);
	r->map = c->map;
	r->map_uid = c->map_uid;
}

static int fill_one(struct verifier *v, const struct call *c, const struct frame *caller, struct reg *r, u32 what)
{
	s32 id;

	switch (what & ((1u << CB_PARAM_SHIFT) - 1)) {
	case CB_SCALAR:
		reg_set_unknown(v, r);
		break;
	case CB_MAP:
		set_map_arg(v, c, r, R_MAP);
		break;
	case CB_KEY:
		set_map_arg(v, c, r, R_MAP_KEY);
		break;
	case CB_VALUE:
	case CB_WQ:
		set_map_arg(v, c, r, R_MAP_VALUE);
		break;
	case CB_CTX:
		*r = caller->regs[c->callback->ctx_arg];
		break;
	case CB_ARG1:
		*r = caller->regs[1];
		break;
	case CB_KERNEL:
		id = kernel_type(v, what >> CB_PARAM_SHIFT);
		if (id < 0)
			return id;
		reg_set_pointer(r, R_BTF);
		r->btf = vmlinux(v);
		r->btf_id = (u32)id;
		break;
	case CB_DYNPTR:
		dynptr_set_handle(v, r, DYNPTR_LOCAL);
		break;
	case CB_NODE:
		if (!c->rb_root)
			return bug(v, "a node without a tree");
		reg_set_node(r, c->rb_root);
		return set_non_owning(v, r);
	default:
		reg_set_none(r);
	}
	return 0;
}

int fill_callback(struct verifier *v, struct frame *caller, struct frame *callee, void *ud)
{
	const struct call *c = ud;
	int err = 0;

	for (u32 i = 0; i < 5 && !err; i++)
		err = fill_one(v, c, caller, &callee->regs[1 + i], c->callback->args[i]);
	return err;
}

/* ---- may it be called here ---- */

static bool helper_usable(const struct verifier *v, const struct helper_proto *p)
{
	return (!(p->effects & EFFECT_BPF) || v->opts->cap_bpf) && (!(p->effects & EFFECT_PERFMON) || v->opts->cap_perfmon);
}

static bool helper_on_hook(const struct verifier *v, const struct helper_proto *p)
{
	return helper_hook_ok(p, v->kind->avail, v->prog->attach_type, hook_name(v), v->prog->attach_struct ? v->prog->attach.name : NULL);
}

bool helper_offered(const struct verifier *v, const struct helper_proto *p)
{
	return p && helper_usable(v, p) && (p->effects & EFFECT_HOOK_LIST || helper_on_hook(v, p));
}

static int helper_find(struct verifier *v, struct call *c, s64 id)
{
	u32 n;
	const struct helper_proto *all = helper_protos(&n), *any;

	c->helper = helper_at(v, v->insn); /* also one of the embedder's own */
	if (!c->helper && (id < 0 || id > all[n - 1].id))
		return reject(v, REJECT_HELPER_UNKNOWN, "invalid func unknown#%d", (int)id);
	any = c->helper ? c->helper : helper_proto((u32)id);
	c->name = arena_text(&v->arena, "bpf_%s", any ? any->name : "unspec");
	if (!c->name)
		return reject(v, REJECT_MEMORY, "out of memory");
	if (!helper_offered(v, c->helper))
		return reject(v, REJECT_HELPER_NOT_ALLOWED, "program of this type cannot use helper %s#%d", c->name, (int)id);
	return 0;
}

static int helper_may_sleep(struct verifier *v, const struct call *c)
{
	const struct state *s = v->cur;
	const char *where;

	if (!(c->helper->effects & EFFECT_SLEEPS) && !(c->helper->effects & EFFECT_MAY_SLEEP && v->prog->sleepable))
		return 0;
	if (!s->in_sleepable)
		return reject(v, REJECT_CALL_SLEEPS, "helper call might sleep in a non-sleepable prog");
	where = s->active_rcu_locks ? "rcu_read_lock" : s->active_preempt_locks ? "non-preemptible" : s->active_irq_id ? "IRQ-disabled" : NULL;
	if (!where)
		return 0;
	return reject(v, REJECT_CALL_SLEEPS, "sleepable helper %s#%u in %s region", c->name, c->helper->id, where);
}

static int helper_allowed(struct verifier *v, struct call *c)
{
	const struct helper_proto *p;
	int err = helper_find(v, c, c->in->imm);

	if (err)
		return err;
	p = c->helper;
	err = call_lock_rule(v, p->effects & EFFECT_UNLOCK);
	if (err)
		return err;
	if (helper_needs_gpl(p, v->kind->avail, v->attach_type) && !v->prog->gpl_compatible)
		return reject(v, REJECT_GPL_ONLY, "cannot call GPL-restricted function from non-GPL compatible program");
	if (p->effects & EFFECT_HOOK_LIST && !helper_on_hook(v, p))
		return reject(v, REJECT_HELPER_NOT_ALLOWED, "helper call is not allowed in probe");
	return helper_may_sleep(v, c);
}

/* ---- what it does ---- */

static s32 arg_index(const struct helper_proto *p, u32 kind)
{
	for (u32 i = 0; i < 5; i++)
		if (kind_of(p->args[i]) == kind)
			return (s32)i;
	return -1;
}

static bool use_writes(u32 use) /* enum map_use */
{
	return use == MAP_USE_update || use == MAP_USE_remove || use == MAP_USE_push || use == MAP_USE_pop;
}

/* The map of the call, and its key: for the optimizer, and for maps that programs may not write. */
static int helper_map(struct verifier *v, struct call *c)
{
	s32 i = arg_index(c->helper, ARG_MAP_HANDLE);

	if (i < 0 || !c->map)
		return 0;
	if (c->map->spec.flags & BPF_F_RDONLY_PROG && use_writes(param_of(c->helper->args[i])))
		return reject(v, REJECT_MAP_WRITE, "write into map forbidden");
	map_note(v, c->map);
	return 0;
}

static int tail_call(struct verifier *v, const struct call *c)
{
	const struct reg *r = reg_of(v, 3);

	if (!map_allows(c->map->spec.kind, param_of(c->helper->args[arg_index(c->helper, ARG_MAP_HANDLE)])))
		return reject(v, REJECT_MAP_MISMATCH, "expected prog array map for tail call");
	return reg_is_const(r) && r->v.bits.value < c->map->spec.max_entries ? mark_precise(v, 3) : 0; /* as in Linux, which then jumps directly */
}

/*
 * Where the program goes on after the call, there was no other program, and nothing moved. Out of a function the other way is walked, too: it returns
 * what the other program returned, and that one did with the packet as it liked.
 */
static int tail_call_ways(struct verifier *v, u32 *next)
{
	bool done = false;

	if (v->cur->n_frames == 1)
		return 0;
	if (!push_branch(v, v->insn + 1, v->insn, false))
		return v->why->err;
	packet_forget(v);
	reg_set_unknown(v, reg_of(v, 0));
	return walk_return(v, next, &done);
}

struct exchanged {
	u32 ref;
	bool rcu;
};

/* The reference went into a kptr: a per-CPU object stays readable in an RCU section, all else is gone. */
static void exchange_reg(struct verifier *v, struct reg *r, void *ud)
{
	const struct exchanged *x = ud;

	if (r->ref != x->ref)
		return;
	if (x->rcu && r->type & R_ALLOC && r->type & R_PERCPU) {
		r->ref = 0;
		r->type = (r->type & ~(u32)R_ALLOC) | R_RCU;
	} else {
		reg_invalidate(v, r);
	}
}

static int helper_release(struct verifier *v, struct call *c)
{
	const struct reg *r = reg_of(v, c->release_reg);
	u32 arg;
	int err;

	if (!c->release_reg)
		return 0;
	arg = kind_of(c->helper->args[c->release_reg - 1]);
	if (arg == ARG_DYNPTR_HANDLE) {
		err = dynptr_release(v, r);
	} else if (c->ref && arg == ARG_KPTR_NEW) {
		struct exchanged x = {c->ref, rcu_held(v)};

		err = ref_drop(v->cur, c->ref, REF_PTR, NULL);
		if (!err)
			each_reg(v, v->cur, exchange_reg, &x);
	} else if (c->ref) {
		err = ref_release(v, c->ref);
	} else {
		err = reg_is_null(r) ? 0 : -EINVAL;
	}
	if (err)
		return reject_err(v, REJECT_REF_MISSING, err, "func %s#%u reference has not been acquired before", c->name, c->helper->id);
	return 0;
}

static int helper_callback(struct verifier *v, struct call *c, u32 *next)
{
	s32 i = arg_index(c->helper, ARG_CALLBACK);
	struct frame *f = cur_frame(v->cur);
	int err;

	if (i < 0)
		return 0;
	c->callback = callback_proto(param_of(c->helper->args[i]));
	if (arg_index(c->helper, ARG_MAP_HANDLE) >= 0 && c->callback->args[1] == CB_KEY && !map_allows(c->map->spec.kind, MAP_USE_visit))
		return reject_err(v, REJECT_MAP_MISMATCH, -ENOTSUPP, "callback function not allowed for map");
	if (!(c->helper->effects & EFFECT_LOOP_COUNT))
		return callback_call(v, c->in, c->subprog, c->callback, fill_callback, c, next);
	err = reg_is_null(reg_of(v, 4)) ? mark_precise(v, 4) : 0;
	err = err ? err : mark_precise(v, 1); /* how often it is called decides when the loop ends */
	if (err)
		return err;
	if (f->callback_depth < reg_of(v, 1)->v.umax)
		return callback_call(v, c->in, c->subprog, c->callback, fill_callback, c, next);
	f->callback_depth = 0;
	if (v->log_level & 2)
		log_add(v, "frame%u bpf_loop iteration limit reached\n", v->cur->n_frames - 1);
	return 0;
}

/* Format and number of values of a formatting helper. */
static int helper_format(struct verifier *v, const struct call *c)
{
	s32 i = arg_index(c->helper, ARG_CSTRING);
	const char *format = const_string(reg_of(v, (u32)i + 1));
	u64 bytes = reg_of(v, (u32)i + 3)->v.bits.value;

	if (bytes % 8)
		return reject(v, REJECT_FORMAT, "the values of a format are 8 bytes each, not %llu in all", (unsigned long long)bytes);
	return format_ok(format, bytes / 8) ? 0 : reject(v, REJECT_FORMAT, "Invalid format string");
}

static int set_retval(struct verifier *v)
{
	if (v->prog->type == BPF_PROG_TYPE_LSM && v->prog->attach_type == BPF_LSM_CGROUP && v->attach_proto && !v->attach_proto->type)
		return reject_err(v, REJECT_RETVAL_VOID, -EINVAL,
				  "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!");
	return 0;
}

static int per_cpu_argument(struct verifier *v, struct call *c)
{
	const struct reg *r = reg_of(v, 1);

	if (!(r->type & R_RCU))
		return 0;
	if (!btf_is_struct(btf_type(r->btf, r->btf_id)))
		return reject_err(v, REJECT_ARG_BTF_TYPE, -EFAULT, "Helper has invalid btf/btf_id in R1");
	c->per_cpu_object = true;
	return 0;
}

static int helper_effects(struct verifier *v, struct call *c, u32 *next)
{
	const struct helper_proto *p = c->helper;
	s32 i;

	if (p->effects & EFFECT_TAIL_CALL)
		return resources_released(v, "tail_call", true, false);
	i = arg_index(p, ARG_MAP_FLAGS_0);
	if (i >= 0) {
		if (!reg_is_null(reg_of(v, (u32)i + 1)))
			return reject_err(v, REJECT_ARG_NOT_CONST, -EINVAL, "get_local_storage() doesn't support non-zero flags");
		return mark_precise_beyond(v, (u32)i + 1);
	}
	if (p->effects & (EFFECT_CALLS | EFFECT_CALLS_LATER))
		return helper_callback(v, c, next);
	if (p->effects & EFFECT_FORMAT)
		return helper_format(v, c);
	if (p->effects & EFFECT_RET_VALUE)
		return set_retval(v);
	if (arg_index(p, ARG_PERCPU) >= 0)
		return per_cpu_argument(v, c);
	i = arg_index(p, ARG_DYNPTR_HANDLE);
	if (i >= 0 && !(p->args[i] & (ARG_UNINIT | ARG_RELEASES))) {
		int err = dynptr_facts(v, c, reg_of(v, (u32)i + 1));

		if (err)
			return err;
		c->moves_packet |= p->effects & EFFECT_DYNPTR_WRITE && dynptr_in_packet(c->dynptr.kind) && c->dynptr.kind != DYNPTR_XDP;
	}
	return 0;
}

/* ---- result ---- */

static int result_mem_or_btf(struct verifier *v, const struct call *c, struct reg *r0, u32 flags)
{
	u32 id = c->obj_id;
	const struct btf_type *t = btf_skip_modifiers(c->obj_btf, c->obj_id, &id);
	s64 size;

	if (!btf_is_struct(t)) {
		size = btf_size(c->obj_btf, id);
		if (size < 0)
			return reject(v, REJECT_ARG_BTF_TYPE, "unable to resolve the size of type '%s': %lld",
				      btf_name_of(c->obj_btf, t), (long long)size);
		reg_set_pointer(r0, R_MEM | flags);
		r0->mem_size = (u32)size;
		r0->dynptr_id = 0;
		return 0;
	}
	/* Linux forgets here that there may be no such CPU, and runs into NULL. */
	reg_set_pointer(r0, c->per_cpu_object ? R_BTF | R_ALLOC | R_RCU | (flags & R_NULLABLE) : R_BTF | (flags & ~(u32)R_RDONLY));
	r0->btf = c->obj_btf;
	r0->btf_id = c->obj_id;
	return 0;
}

static int result_object(struct verifier *v, const struct call *c, struct reg *r0, u32 flags)
{
	const struct btf_field *k = c->kptr;
	s32 id;

	reg_set_pointer(r0, R_BTF | flags);
	if (kind_of(c->helper->ret) == RET_KPTR) {
		r0->btf = k->btf;
		r0->btf_id = k->btf_id;
		if (!k->btf->kernel)
			r0->type |= R_ALLOC | (k->kind == BTF_KPTR_PERCPU ? (u32)R_PERCPU : 0u);
		return 0;
	}
	id = kernel_type(v, c->helper->ret >> RET_PARAM_SHIFT);
	r0->btf = vmlinux(v);
	r0->btf_id = (u32)id;
	return id < 0 ? id : 0;
}

static void result_map_value(struct verifier *v, const struct call *c, struct reg *r0, u32 flags)
{
	/* every index below max_entries of an array has a value */
	if (c->map->ops->traits & KIND_INDEXED && c->const_key >= 0 && c->const_key < (s64)c->map->spec.max_entries)
		flags &= ~(u32)R_NULLABLE;
	reg_set_pointer(r0, R_MAP_VALUE | flags);
	r0->map = c->map;
	r0->map_uid = c->map_uid;
	if (!(flags & R_NULLABLE) && btf_record_has(special_fields(r0), BTF_SPIN_LOCK | BTF_RES_SPIN_LOCK))
		r0->id = new_id(v);
}

static int helper_result(struct verifier *v, struct call *c)
{
	u32 ret = c->helper->ret;
	u32 flags = (ret & RET_NULLABLE ? (u32)R_NULLABLE : 0u) | (ret & RET_TRUSTED ? (u32)R_TRUSTED : 0u) |
		    (ret & RET_RDONLY ? (u32)R_RDONLY : 0u);
	struct reg *r0 = reg_of(v, 0);

	switch (ret & RET_KIND_MASK) {
	case RET_VOID:
		return 0;
	case RET_SCALAR:
		reg_set_unknown(v, r0);
		return 0;
	case RET_MAP_VALUE:
		if (!c->map)
			return bug(v, "a map value without a map");
		result_map_value(v, c, r0, flags);
		return 0;
	case RET_SOCKET:
		reg_set_pointer(r0, R_SOCKET | flags);
		return 0;
	case RET_SOCK_COMMON:
		reg_set_pointer(r0, R_SOCK_COMMON | flags);
		return 0;
	case RET_TCP_SOCK:
		reg_set_pointer(r0, R_TCP_SOCK | flags);
		return 0;
	case RET_RECORD:
		flags |= R_RINGBUF;
		/* fall through */
	case RET_SLICE:
		reg_set_pointer(r0, R_MEM | flags);
		r0->mem_size = (u32)c->mem_size;
		r0->dynptr_id = (ret & RET_KIND_MASK) == RET_SLICE ? c->dynptr.id : 0;
		return 0;
	case RET_MEM_OR_BTF:
		return result_mem_or_btf(v, c, r0, flags);
	case RET_KPTR:
	case RET_KERNEL_OBJECT:
		return result_object(v, c, r0, flags);
	default:
		return bug(v, "a result of no kind");
	}
}

/* Ids and references of the result. */
static int helper_result_ids(struct verifier *v, struct call *c)
{
	struct reg *r0 = reg_of(v, 0);
	u32 effects = c->helper->effects;
	bool acquires = effects & EFFECT_ACQUIRE;
	int id;

	if (reg_may_be_null(r0))
		r0->id = new_id(v);
	if ((c->helper->ret & RET_KIND_MASK) == RET_MAP_VALUE && map_rules(c->map->spec.kind)->gives == GIVES_SOCKET)
		acquires = true;
	if ((c->helper->ret & RET_KIND_MASK) == RET_SLICE)
		r0->ref = c->dynptr.ref;
	else if (effects & EFFECT_CASTS)
		r0->ref = c->ref;
	else if (acquires) {
		id = ref_acquire(v, v->insn);
		if (id < 0)
			return id;
		r0->id = r0->ref = (u32)id;
	}
	return 0;
}

static void helper_refine(struct verifier *v, const struct call *c)
{
	struct scalar *s = &reg_of(v, 0)->v;

	if ((c->helper->ret & RET_KIND_MASK) != RET_SCALAR)
		return;
	if (c->helper->effects & EFFECT_RET_SIZE) {
		s->smax = (s64)c->most;
		s->smax32 = (s32)c->most;
		s->smin = s->smin32 = -ERRNO_MAX;
		scalar_sync(s);
	}
	if (c->helper->effects & EFFECT_RET_CPU) {
		u32 last;

		if (!v->n_cpus)
			v->n_cpus = possible_cpus();
		last = v->n_cpus - 1;

		s->umin = s->umin32 = 0;
		s->smin = s->smin32 = 0;
		s->umax = s->umax32 = last;
		s->smax = s->smax32 = (s32)last;
		scalar_sync(s);
	}
}

static int map_compatible(struct verifier *v, const struct call *c)
{
	enum map_use use;
	s32 i;

	if (!c->map)
		return 0;
	i = arg_index(c->helper, ARG_MAP_HANDLE);
	if (i >= 0)
		use = param_of(c->helper->args[i]);
	else
		use = arg_index(c->helper, ARG_KPTR) >= 0 ? MAP_USE_kptr : MAP_USE_timer;
	if (!map_can(c->map, use))
		v->result->lacks_kind = c->map->info->name;
	if (map_use_ok(c->map->spec.kind, use, v->kind->avail, v->prog->attach_type))
		return 0;
	if (map_allows(c->map->spec.kind, use))
		log_add(v, "cannot update sockmap in this context\n");
	reject(v, REJECT_MAP_MISMATCH, "cannot pass map_type %u into func %s#%u", c->map->spec.kind, c->name, c->helper->id);
	return reject_holds(v, (u32)MAX(i, 0) + 1, c->map->info->name);
}

/* The entry of the function that was hit is known to kprobes and to programs behind a trampoline. */
static int func_entry(struct verifier *v, const struct call *c)
{
	u32 attach = v->prog->attach_type;

	if (v->prog->type == BPF_PROG_TYPE_KPROBE)
		return 0;
	if (v->prog->type != BPF_PROG_TYPE_TRACING)
		return reject_err(v, REJECT_HELPER_NOT_ALLOWED, -ENOTSUPP, "func %s#%u not supported for program type %u", c->name,
				  c->helper->id, v->prog->type);
	if (attach == BPF_TRACE_FENTRY || attach == BPF_TRACE_FEXIT || attach == BPF_MODIFY_RETURN)
		return 0;
	return reject_err(v, REJECT_HELPER_NOT_ALLOWED, -ENOTSUPP, "func %s#%u supported only for fentry/fexit/fmod_ret programs", c->name,
			  c->helper->id);
}

int walk_helper(struct verifier *v, const struct insn *in, u32 *next)
{
	struct call c = {.in = in, .const_key = -1};
	int err = helper_allowed(v, &c);

	*next = v->insn + 1;
	c.moves_packet = !err && c.helper->effects & EFFECT_MOVES_PACKET;
	for (u32 i = 0; i < 5 && !err; i++) {
		err = helper_arg(v, &c, i);
		if (err && v->why->reg < 0)
			reject_reg(v, i + 1);
	}
	err = err ? err : helper_map(v, &c);
	err = err ? err : mem_raw_commit(v);
	if (!err && c.helper->effects & EFFECT_TAIL_CALL)
		err = tail_call(v, &c);
	err = err ? err : helper_release(v, &c);
	err = err ? err : helper_effects(v, &c, next);
	if (err)
		return err;
	call_clobber(v);
	err = helper_result(v, &c);
	err = err ? err : helper_result_ids(v, &c);
	if (err)
		return err;
	helper_refine(v, &c);
	err = map_compatible(v, &c);
	if (!err && c.helper->effects & EFFECT_FUNC_ENTRY)
		err = func_entry(v, &c);
	if (err)
		return err;
	if (c.helper->effects & EFFECT_TAIL_CALL)
		return tail_call_ways(v, next);
	if (c.moves_packet)
		packet_forget(v);
	return 0;
}
