/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of the program: calls of static and global ones, callbacks, returns, and what must hold where a function ends.
 *
 * A static function is walked anew at each call, with what its caller knows. A global one is verified once, by its prototype; its callers only have to
 * pass what that asks for. A callback is walked as if the call entered it any number of times: each return from it arrives at the call again.
 */
#include "verify/state.h"

#include <stdio.h>

static void frame_open(struct frame *f, u32 number, u32 subprog)
{
	memset(f, 0, offsetof(struct frame, regs));
	f->number = number;
	f->subprog = subprog;
	for (u32 i = 0; i < REGS; i++)
		reg_set_none(&f->regs[i]);
	reg_set_pointer(&f->regs[REG_FP], R_STACK);
	f->regs[REG_FP].frame = number;
}

static struct frame *frame_push(struct verifier *v, struct state *s, u32 callsite, u32 subprog)
{
	struct frame *f;

	if (s->n_frames >= FRAMES) {
		reject_err(v, REJECT_CALL_DEPTH, E2BIG, "the call stack of %u frames is too deep", s->n_frames + 1);
		reject_measured(v, FRAMES, s->n_frames + 1);
		return NULL;
	}
	f = frame_new(v, s->n_frames);
	if (!f) {
		reject(v, REJECT_MEMORY, "out of memory");
		return NULL;
	}
	frame_open(f, s->n_frames, subprog);
	v->scratched_regs = (1u << REGS) - 1;
	v->scratched_slots = UINT64_MAX;
	s->fresh |= 1u << s->n_frames;
	s->stack_written[s->n_frames] = 0;
	s->callsite[s->n_frames] = callsite;
	s->frame[s->n_frames++] = f;
	return f;
}

static void caller_saved_forget(struct verifier *v, struct frame *f)
{
	for (u32 i = 0; i < 6; i++)
		reg_set_none(&f->regs[i]);
	v->scratched_regs |= 0x3f;
}

/* ---- global functions ---- */

int global_args(struct verifier *v, u32 subprog)
{
	struct subprog_info *sub = &v->subs[subprog];
	const struct btf_kernel kernel = kernel_types(v);
	const struct prog *p = v->prog;
	struct text log;

	if (sub->args_ready)
		return sub->args_err;
	text_open(&log, v->log->mem);
	sub->args_err = -EINVAL;
	if (p->btf && p->subprogs[subprog].btf_id)
		sub->args_err = btf_func_args(p->btf, p->subprogs[subprog].btf_id, v->kind->id, v->attach_type, &kernel, &sub->args, &log);
	sub->args_ready = true;
	if (sub->args_err) {
		if (log.len && log.at[log.len - 1] == '\n')
			log.at[--log.len] = 0;
		if (log.len)
			reject_err(v, REJECT_PROTOTYPE, sub->args_err, "%s", text_str(&log));
		else
			reject_err(v, REJECT_PROTOTYPE, sub->args_err, "function %s cannot be verified on its own: it has no BTF prototype",
				   p->subprogs[subprog].name);
	}
	text_close(&log);
	return sub->args_err;
}

void main_args(struct verifier *v)
{
	const struct btf_kernel kernel = kernel_types(v);
	const struct prog *p = v->prog;
	struct btf_func_args args;
	struct text log;

	if (!v->log_level || !p->btf || !p->subprogs[0].btf_id)
		return;
	text_open(&log, v->log->mem);
	if (btf_func_args(p->btf, p->subprogs[0].btf_id, v->kind->id, v->attach_type, &kernel, &args, &log) && log.len)
		log_add(v, "%s%s", text_str(&log), log.at[log.len - 1] == '\n' ? "" : "\n");
	text_close(&log);
}

static int call_global(struct verifier *v, u32 subprog)
{
	struct subprog_info *sub = &v->subs[subprog];
	const char *name = v->prog->subprogs[subprog].name;
	struct state *s = v->cur;
	int err = global_args(v, subprog);

	for (u32 i = 0; !err && i < sub->args.n; i++) {
		err = global_arg(v, i + 1, i, &sub->args.arg[i]);
		if (err && v->why->reg < 0)
			reject_reg(v, i + 1);
	}
	if (err == -EFAULT)
		return err;
	if (s->active_locks)
		return reject(v, REJECT_CALL_LOCKED, "global function calls are not allowed while holding a lock,\nuse static function instead");
	if (sub->might_sleep && (s->active_rcu_locks || s->active_preempt_locks || s->active_irq_id || !s->in_sleepable))
		return reject(v, REJECT_SLEEPS, "global functions that may sleep are not allowed in non-sleepable context,\n"
						"i.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context");
	if (err) {
		log_add(v, "Caller passes invalid args into func#%u ('%s')\n", subprog, name);
		return err;
	}
	log_add(v, "Func#%u ('%s') is global and assumed valid.\n", subprog, name);
	if (sub->changes_pkt_data)
		packet_forget(v);
	sub->called = true;
	caller_saved_forget(v, cur_frame(s));
	reg_set_unknown(v, reg_of(v, 0));
	return 0;
}

/* A static function is walked with what it is called with, whatever its prototype says. Linux asks that all the same, and says once in the log what it is not. */
static void static_args_said(struct verifier *v, u32 subprog)
{
	const struct btf_kernel kernel = kernel_types(v);
	const struct prog *p = v->prog;
	struct btf_func_args args;
	int err;

	if (!v->log_level || v->subs[subprog].unreliable || !p->btf || !p->subprogs[subprog].btf_id)
		return;
	err = btf_func_args(p->btf, p->subprogs[subprog].btf_id, v->kind->id, v->attach_type, &kernel, &args, v->log);
	for (u32 i = 0; !err && i < args.n; i++)
		err = global_arg(v, i + 1, i, &args.arg[i]);
	v->subs[subprog].unreliable = err != 0;
	*v->why = (struct rejection){0};
}

/* ---- calls ---- */

int walk_subprog_call(struct verifier *v, const struct insn *in, u32 *next)
{
	u32 subprog = (u32)(subprog_at(v->prog, (u32)in->target) - v->prog->subprogs);
	struct frame *caller = cur_frame(v->cur), *callee;

	if (v->subs[subprog].is_global)
		return call_global(v, subprog);
	static_args_said(v, subprog);
	callee = frame_push(v, v->cur, v->insn, subprog);
	if (!callee)
		return v->why->err;
	live_stack_elsewhere(v);
	for (u32 i = 1; i <= 5; i++)
		callee->regs[i] = caller->regs[i];
	caller_saved_forget(v, caller);
	*next = (u32)in->target;
	if (v->log_level & 3) {
		log_add(v, "caller:\n");
		log_state(v, v->cur, v->cur->n_frames - 2, true);
		log_add(v, "callee:\n");
		log_state(v, v->cur, v->cur->n_frames - 1, true);
	}
	return 0;
}

static void callback_mark(struct frame *f, const struct callback *cb, bool async)
{
	f->callback = cb;
	f->cb_ret_min = cb->ret_min;
	f->cb_ret_max = cb->ret_max;
	f->in_callback = true;
	f->in_async_callback = async;
}

int callback_call(struct verifier *v, const struct insn *in, u32 subprog, const struct callback *cb, callback_fill *fill, void *ud, u32 *next)
{
	struct frame *caller = cur_frame(v->cur), *callee;
	u32 start = v->prog->subprogs[subprog].start;
	struct state *s;
	int err;

	(void)in;
	(void)next;
	v->subs[subprog].is_callback = true;
	if (cb->async) {
		v->subs[subprog].is_async_callback = true;
		if (async_push(v, start, v->insn, subprog, cb->sleepable, &callee))
			return v->why->err;
		callee->async_count = caller->async_count + 1;
		callback_mark(callee, cb, true);
		return fill(v, caller, callee, ud);
	}
	s = push_branch(v, start, v->insn, false);
	if (!s)
		return v->why->err;
	callee = frame_push(v, s, v->insn, subprog);
	if (!callee)
		return v->why->err;
	callback_mark(callee, cb, false);
	callee->refs_on_entry = s->n_refs;
	err = fill(v, s->frame[s->n_frames - 2], callee, ud);
	s->callback_unroll_depth++;
	s->frame[s->n_frames - 2]->callback_depth++;
	caller->callback_depth = 0;
	return err;
}

int async_push(struct verifier *v, u32 insn, u32 prev_insn, u32 subprog, bool sleepable, struct frame **callee)
{
	struct state *s = state_new(v);

	if (!s || !pending_push(v, s, insn, prev_insn))
		return reject(v, REJECT_MEMORY, "out of memory");
	if (v->n_pending > v->max_jumps) {
		reject_err(v, REJECT_TOO_MANY_JUMPS, E2BIG, "The sequence of %u jumps is too complex for async cb.", v->n_pending);
		return reject_measured(v, (s64)v->max_jumps, v->n_pending);
	}
	s->branches = 1;
	s->in_sleepable = sleepable;
	s->first_insn = insn;
	s->last_insn = UINT32_MAX;
	*callee = frame_push(v, s, UINT32_MAX, subprog);
	return *callee ? 0 : v->why->err;
}

/* ---- what must hold at the end ---- */

static int references_left(struct verifier *v, bool exception)
{
	const struct state *s = v->cur;
	const struct frame *f = cur_frame(s);
	u32 from = !exception && f->in_callback && f->number ? f->refs_on_entry : 0;
	int err = 0;

	if (!exception && f->number && !f->in_callback)
		return 0;
	for (u32 i = from; i < s->n_refs; i++)
		if (s->refs[i].kind == REF_PTR) {
			err = reject(v, REJECT_REFERENCE_LEAK, "Unreleased reference id=%u alloc_insn=%u", s->refs[i].id, s->refs[i].insn);
			v->why->lost_at = s->refs[i].insn;
		}
	return err;
}

int resources_released(struct verifier *v, const char *where, bool locks_too, bool exception)
{
	const struct state *s = v->cur;
	int err;

	if (locks_too && s->active_locks)
		return reject(v, REJECT_LOCK_HELD, "%s cannot be used inside bpf_spin_lock-ed region", where);
	err = references_left(v, exception);
	if (err) {
		log_add(v, "%s would lead to reference leak\n", where);
		return err;
	}
	if (locks_too && s->active_irq_id)
		return reject(v, REJECT_IRQ_OFF, "%s cannot be used inside bpf_local_irq_save-ed region", where);
	if (locks_too && s->active_rcu_locks)
		return reject(v, REJECT_RCU_HELD, "%s cannot be used inside bpf_rcu_read_lock-ed region", where);
	if (locks_too && s->active_preempt_locks)
		return reject(v, REJECT_PREEMPT_OFF, "%s cannot be used inside bpf_preempt_disable-ed region", where);
	return 0;
}

static int result_outside(struct verifier *v, const struct reg *r, s64 min, s64 max, const char *where, const char *name)
{
	char known[80];
	int n = 0;

	known[0] = 0;
	if (r->v.smin > INT64_MIN)
		n += snprintf(known + n, sizeof(known) - (size_t)n, " smin=%lld", (long long)r->v.smin);
	if (r->v.smax < INT64_MAX)
		n += snprintf(known + n, sizeof(known) - (size_t)n, " smax=%lld", (long long)r->v.smax);
	reject(v, REJECT_RESULT_RANGE, "%s the register %s has%s should have been in [%lld, %lld]", where, name, n ? known : " unknown scalar value",
	       (long long)min, (long long)max);
	reject_at(v, 0, max, r->v.smax);
	return v->why->err;
}

/* What a type and attach point want returned; false: nothing in particular. low32: only R0's low half counts. */
static bool result_wanted(const struct verifier *v, s64 *min, s64 *max, bool *low32)
{
	const struct prog *p = v->prog;

	if (p->kind->flags & PT_RESULT_ERRNO && !progtype_results(p->kind, p->attach_type, min, max)) {
		bool boolean = hook_in(HOOK_lsm_bool, p->attach.name);

		*min = boolean ? 0 : -4095; /* an LSM hook's errno */
		*max = boolean;
		*low32 = true;
		return v->attach_proto != NULL;
	}
	*low32 = false;
	if (!progtype_results(p->kind, p->attach_type, min, max))
		return false;
	if (p->kind->flags & PT_RESULT_ERRNO && v->attach_proto && v->attach_proto->type == 0)
		*min = *max = 1; /* the cgroup's hook has no result to change */
	return true;
}

int result_ok(struct verifier *v, u32 regno, const char *name)
{
	const struct frame *bottom = v->cur->frame[0];
	const bool sub = bottom->subprog != 0, exception = bottom->in_exception_callback;
	const char *where = "At program exit";
	const struct reg *r;
	bool low32 = false;
	s64 min, max;
	int err;

	if ((!sub || exception) && v->prog->kind->flags & PT_VOID_TARGET && v->attach_proto && v->attach_proto->type == 0 &&
	    !progtype_results(v->prog->kind, v->prog->attach_type, &min, &max))
		return 0;
	err = reg_check_read(v, regno);
	if (err)
		return err;
	r = reg_of(v, regno);
	if (!v->allow_ptr_leaks && reg_is_pointer(r))
		return reject(v, REJECT_POINTER_LEAK, "R%u leaks addr as return value", regno);
	if (bottom->in_async_callback) {
		where = "At async callback return";
		min = bottom->cb_ret_min;
		max = bottom->cb_ret_max;
	} else if (sub && !exception) {
		if (r->type != R_SCALAR)
			return reject(v, REJECT_RESULT_TYPE, "At subprogram exit the register R%u is not a scalar value (%s)", regno,
				      reg_type_name(v, r->type));
		return 0;
	} else if (v->replaces || !result_wanted(v, &min, &max, &low32)) {
		return 0;
	}
	if (r->type != R_SCALAR)
		return reject(v, REJECT_RESULT_TYPE, "%s the register R%u is not a known value (%s)", where, regno, reg_type_name(v, r->type));
	err = mark_precise(v, regno);
	if (err)
		return err;
	if (low32 ? r->v.smin32 < min || r->v.smax32 > max : r->v.smin < min || r->v.smax > max) {
		err = result_outside(v, r, min, max, where, name);
		if (!sub && v->prog->kind->flags & PT_RESULT_ERRNO && v->attach_proto && v->attach_proto->type == 0)
			log_add(v, "Note, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!\n");
		return err;
	}
	return 0;
}

/* ---- returns ---- */

static int callback_result(struct verifier *v, const struct frame *callee)
{
	const struct reg *r0 = &callee->regs[0];
	int err;

	if (r0->type != R_SCALAR)
		return reject_err(v, REJECT_RESULT_TYPE, EACCES, "R0 not a scalar value");
	err = mark_precise(v, 0);
	if (err)
		return err;
	if (r0->v.smin < callee->cb_ret_min || r0->v.smax > callee->cb_ret_max)
		return result_outside(v, r0, callee->cb_ret_min, callee->cb_ret_max, "At callback return", "R0");
	return 0;
}

static int return_to_caller(struct verifier *v, u32 *next)
{
	struct state *s = v->cur, *before;
	struct frame *callee = cur_frame(s), *caller = s->frame[s->n_frames - 2];
	bool callback = callee->in_callback;
	int err;

	live_stack_update(v);
	if (callee->regs[0].type == R_STACK)
		return reject(v, REJECT_STACK_ESCAPES, "cannot return stack pointer to the caller");
	if (callback) {
		err = callback_result(v, callee);
		if (err)
			return err;
	} else {
		regs_edit(v, caller)[0] = callee->regs[0];
	}
	*next = s->callsite[s->n_frames - 1] + !callback;
	if (v->log_level & 3) {
		log_add(v, "returning from callee:\n");
		log_state(v, s, s->n_frames - 1, true);
		log_add(v, "to caller at %u:\n", *next);
		log_state(v, s, s->n_frames - 2, true);
	}
	frame_pop(v, s);
	before = callback ? loop_previous(v, s, *next) : NULL;
	if (before)
		loop_widen(v, before, s);
	return 0;
}

int walk_return(struct verifier *v, u32 *next, bool *done)
{
	int err = resources_released(v, "BPF_EXIT instruction in main prog", v->cur->n_frames == 1, false);

	if (err)
		return err;
	if (v->cur->n_frames > 1)
		return return_to_caller(v, next);
	*done = true;
	return result_ok(v, 0, "R0");
}

/* ---- entries ---- */

/* R1 to R5 of a global function, as its prototype promises them. */
static int entry_args(struct verifier *v, struct frame *f, u32 subprog)
{
	struct subprog_info *sub = &v->subs[subprog];
	int err = global_args(v, subprog);

	if (err)
		return err;
	if (sub->is_exception_callback) {
		f->in_exception_callback = true;
		if (sub->args.n != 1 || sub->args.arg[0].kind != BTF_ARG_SCALAR)
			return reject(v, REJECT_EXCEPTION_ARGS, "exception cb only supports single integer argument");
	}
	for (u32 i = 0; i < sub->args.n; i++) {
		const struct btf_arg *a = &sub->args.arg[i];
		u32 nullable = a->flags & BTF_PTR_NULLABLE ? R_NULLABLE : 0;
		struct reg *r = &f->regs[i + 1];

		switch (a->kind) {
		case BTF_ARG_SCALAR:
		case BTF_ARG_ARENA: reg_set_unknown(v, r); break;
		case BTF_ARG_CTX: reg_set_pointer(r, R_CTX); break;
		case BTF_ARG_DYNPTR:
			reg_set_pointer(r, R_DYNPTR);
			r->id = new_id(v);
			r->dynptr.kind = DYNPTR_LOCAL;
			r->dynptr.first = true;
			break;
		case BTF_ARG_MEM:
			reg_set_pointer(r, R_MEM | nullable | (a->flags & BTF_PTR_RDONLY ? R_RDONLY : 0) |
						   (a->flags & BTF_PTR_UNTRUSTED ? R_UNTRUSTED : 0));
			r->mem_size = a->size;
			r->id = nullable ? new_id(v) : 0;
			break;
		case BTF_ARG_KERNEL:
			reg_set_pointer(r, R_BTF | nullable | (a->flags & BTF_PTR_TRUSTED ? R_TRUSTED : 0) |
						   (a->flags & BTF_PTR_UNTRUSTED ? R_UNTRUSTED : 0));
			r->btf = a->btf;
			r->btf_id = a->id;
			r->id = new_id(v);
			break;
		}
	}
	return 0;
}

/* What the hook hands over with a reference, the program holds from its first instruction on. */
static int hook_references(struct verifier *v)
{
	for (u32 i = 0; i < v->prog->n_arg_infos; i++) {
		const struct btf_arg_info *info = &v->prog->arg_infos[i];
		int id;

		if (!info->refcounted || info->offset / 8 >= ARRAY_SIZE(v->arg_refs))
			continue;
		id = ref_acquire(v, 0);
		if (id < 0)
			return id;
		v->arg_refs[info->offset / 8] = (u32)id;
	}
	return 0;
}

static int walk_begin(struct verifier *v, u32 subprog)
{
	struct state *s = state_new(v);
	struct frame *f;

	if (!s)
		return reject(v, REJECT_MEMORY, "out of memory");
	v->cur = s;
	v->insn = v->prog->subprogs[subprog].start;
	v->prev_insn = UINT32_MAX;
	v->log_line = 0;
	v->scratched_regs = (1u << REGS) - 1;
	v->scratched_slots = UINT64_MAX;
	s->branches = 1;
	s->first_insn = v->insn;
	s->last_insn = UINT32_MAX;
	s->in_sleepable = v->prog->sleepable;
	f = frame_push(v, s, UINT32_MAX, subprog);
	if (!f)
		return v->why->err;
	if (subprog || v->replaces) {
		log_add(v, "Validating %s() func#%u...\n", v->prog->subprogs[subprog].name, subprog);
		return entry_args(v, f, subprog);
	}
	reg_set_pointer(&f->regs[1], R_CTX);
	return hook_references(v);
}

static int walk_once(struct verifier *v, u32 subprog)
{
	int err = join_resumes(v) ? 0 : walk_begin(v, subprog);

	err = err ? err : walk(v);
	if (join_parks(v, err))
		return err;
	if (err && err != JOIN_RETRY)
		trace_rejection(v);
	join_blame(v, err);
	pending_forget(v);
	prune_forget(v);
	if (!err && v->log_level && !(v->log_level & 2))
		text_back(v->log, 0);
	return err;
}

int walk_function(struct verifier *v, u32 subprog)
{
	int err = join_open(v);

	if (err)
		return err;
	do
		err = walk_once(v, subprog);
	while (join_again(v, &err));
	join_close(v);
	return err;
}
