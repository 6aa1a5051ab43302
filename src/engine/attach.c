/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a program attaches to, by attach_btf_id and attach_prog_fd: a function or tracepoint of the kernel, an iterator, a security hook, a
 * member of a struct of functions, or a function of another program. Types decide most of it (btf/target.c); names the rest
 * (abi/targets.def, abi/hooks.def). Texts and errors are Linux 6.18's, and so is the order of the checks.
 *
 * Leaves in the program: attach (its context's arguments), attach_btf, attach_proto, arg_infos.
 */
#include "engine/engine.h"

static const char lsm_prefix[] = "bpf_lsm_", iter_prefix[] = "bpf_iter_";

static bool begins(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

/* ---- functions of programs ---- */

static int target_subprog(struct load *l, const struct subprog **out)
{
	const struct prog *target = l->p->target;
	const struct btf_type *t = btf_type(target->btf, l->p->attach_btf_id);

	for (u32 i = 0; i < target->n_func_info; i++) {
		*out = &target->subprogs[i];
		if (target->subprogs[i].btf_id == l->p->attach_btf_id)
			return 0;
	}
	return load_refuse(l, -EINVAL, "Subprog %s doesn't exist", btf_name_of(target->btf, t));
}

static int check_prog_target(struct load *l, const struct subprog *sub)
{
	const struct prog *p = l->p, *target = p->target;
	bool extension = p->kind->flags & PT_AS_TARGET;

	if (extension && sub->unreliable)
		return load_refuse(l, -EINVAL, "Cannot replace static functions");
	if (!extension) {
		if (target->traces_tracing)
			return load_refuse(l, -EINVAL, "Cannot nest tracing program attach more than once");
	} else if (target->type == p->type) {
		return load_refuse(l, -EINVAL, "Cannot recursively attach");
	}
	if (extension && target->type == BPF_PROG_TYPE_TRACING &&
	    (target->attach_type == BPF_TRACE_FENTRY || target->attach_type == BPF_TRACE_FEXIT))
		return load_refuse(l, -EINVAL, "Cannot extend fentry/fexit");
	return 0;
}

/* ---- functions of the kernel ---- */

static bool may_sleep(const struct prog *p, const char *name)
{
	u32 flags = kernel_func_flags(name);

	if (p->kind->flags & PT_RESULT_ERRNO)
		return hook_in(HOOK_lsm_sleepable, name);
	if (p->target)
		return false;
	return (flags & FUNC_INJECT && !(flags & FUNC_NO_SLEEP)) || flags & FUNC_SLEEPABLE;
}

static int check_use(struct load *l)
{
	const struct prog *p = l->p;
	const char *name = p->attach.name;

	if (p->sleepable)
		return may_sleep(p, name) ? 0 : load_refuse(l, -EINVAL, "%s is not sleepable", name);
	if (p->attach_type != BPF_MODIFY_RETURN)
		return 0;
	if (p->target)
		return load_refuse(l, -EINVAL, "can't modify return codes of BPF programs");
	if (!(kernel_func_flags(name) & (FUNC_INJECT | FUNC_MODIFY)))
		return load_refuse(l, -EINVAL, "%s() is not modifiable", name);
	return 0;
}

static int check_hook(struct load *l)
{
	const struct prog *p = l->p;
	const char *name = p->attach.name;

	if (!p->gpl_compatible)
		return load_refuse(l, -EINVAL, "LSM programs must have a GPL compatible license");
	if (hook_in(HOOK_lsm_disabled, name))
		return load_refuse(l, -EINVAL, "attach_btf_id %u points to disabled hook %s", p->attach_btf_id, name);
	if (!begins(name, lsm_prefix) || kernel_func_flags(name) & FUNC_NO_HOOK)
		return load_refuse(l, -EINVAL, "attach_btf_id %u points to wrong type name %s", p->attach_btf_id, name);
	l->p->attach.trusted = !hook_in(HOOK_lsm_untrusted, name);
	return 0;
}

static int take_iterator(struct load *l)
{
	struct prog *p = l->p;
	struct btf_arg_info *infos;
	const struct iter_arg *args;
	u32 n;

	if (!begins(p->attach.name, iter_prefix))
		return -EINVAL;
	args = iter_args(p->attach.name + strlen(iter_prefix), &n);
	if (!args)
		return -EINVAL;
	infos = arena_array(&p->arena, n, sizeof(*infos));
	if (!infos)
		return -ENOMEM;
	for (u32 i = 0; i < n; i++) {
		s32 id = args[i].kind == BTF_CTX_PTR ? btf_find(p->attach_btf, args[i].type, BTF_KIND_STRUCT) : 0;

		if (id < 0)
			return load_refuse(l, -EINVAL, "the kernel's types have no struct %s", args[i].type);
		infos[i] = (struct btf_arg_info){.offset = args[i].arg * 8, .kind = args[i].kind, .flags = args[i].flags, .btf = p->attach_btf,
						 .id = (u32)id};
	}
	p->arg_infos = infos;
	p->n_arg_infos = n;
	return 0;
}

static int check_function(struct load *l)
{
	const struct prog *p = l->p;
	u32 flags = p->target ? 0 : kernel_func_flags(p->attach.name);
	int err = check_use(l);

	if (err)
		return err;
	if (p->kind->flags & PT_RESULT_ERRNO)
		return check_hook(l);
	if (flags & FUNC_DENIED && !(p->kind->flags & PT_AS_TARGET))
		return -EINVAL;
	if (flags & FUNC_NORETURN && (p->attach_type == BPF_TRACE_FEXIT || p->attach_type == BPF_MODIFY_RETURN))
		return load_refuse(l, -EINVAL, "Attaching fexit/fmod_ret to __noreturn functions is rejected.");
	return 0;
}

static int take_function(struct load *l)
{
	struct prog *p = l->p;
	const struct subprog *sub = NULL;
	bool extension = p->kind->flags & PT_AS_TARGET;
	struct btf_attach how = {.prog_type = p->type, .attach_type = p->attach_type, .kernel = kernel_btf(l->k)};
	int err = 0;

	if (p->target && p->attach_btf && btf_type(p->attach_btf, p->attach_btf_id)) {
		err = target_subprog(l, &sub);
		if (!err)
			err = check_prog_target(l, sub);
		how.to_prog = true;
		how.reliable = sub && !sub->unreliable;
		how.target_prog_type = p->target->kind->id;
		how.own = p->btf;
		how.own_id = p->n_subprogs ? p->subprogs[0].btf_id : 0;
	}
	if (!err)
		err = btf_attach_target(p->attach_btf, p->attach_btf_id, &how, &p->attach, &l->log.text);
	if (err)
		return err;
	p->attach_proto = p->attach.proto;
	if (p->attach_type == BPF_TRACE_RAW_TP && !extension)
		return 0;
	if (p->attach_type == BPF_TRACE_ITER && !extension)
		return take_iterator(l);
	err = check_function(l);
	if (!err && extension) { /* from here on it is what it replaces */
		p->kind = p->target->kind;
		p->attach_type = p->target->attach_type;
	}
	return err;
}

/* ---- structs of functions ---- */

static int take_member(struct load *l)
{
	struct prog *p = l->p;
	struct btf_struct_ops ops;
	struct btf_arg_info *infos;
	enum member_rule rule;
	const char *name = "";
	s32 n;

	if (!p->gpl_compatible)
		return load_refuse(l, -EINVAL, "struct ops programs must have a GPL compatible license");
	if (!p->attach_btf_id)
		return -ENOTSUPP;
	if (btf_struct_ops_find(p->attach_btf, p->attach_btf_id, &ops))
		return load_refuse(l, -ENOTSUPP, "attach_btf_id %u is not a supported struct", p->attach_btf_id);
	if (p->attach_type >= btf_vlen_of(ops.type))
		return load_refuse(l, -EINVAL, "attach to invalid member idx %u of struct %s", p->attach_type, ops.name);
	p->attach_proto = btf_struct_ops_proto(&ops, p->attach_type, &name);
	if (!p->attach_proto)
		return load_refuse(l, -EINVAL, "attach to invalid member %s(@idx %u) of struct %s", name, p->attach_type, ops.name);
	rule = member_rule(ops.name, name);
	if (rule == MEMBER_UNSUPPORTED || (rule == MEMBER_NO_SLEEP && p->sleepable))
		return load_refuse(l, rule == MEMBER_UNSUPPORTED ? -ENOTSUPP : -EINVAL, "attach to unsupported member %s of struct %s", name, ops.name);
	infos = arena_array(&p->arena, BTF_MOST_ARGS, sizeof(*infos));
	if (!infos)
		return -ENOMEM;
	n = btf_struct_ops_infos(&ops, p->attach_type, infos);
	if (n < 0)
		return n;
	p->arg_infos = infos;
	p->n_arg_infos = (u32)n;
	p->attach_struct = ops.name;
	p->attach = (struct btf_target){.btf = p->attach_btf, .id = p->attach_btf_id, .name = name, .proto = p->attach_proto,
					.attach_type = p->attach_type, .trusted = true, .kernel = p->attach_btf};
	return 0;
}

int check_sleeping(struct load *l)
{
	const struct prog *p = l->p;

	if (p->kind->flags & PT_SLEEPABLE_ONLY && !p->sleepable)
		return load_refuse(l, -EINVAL, "Syscall programs can only be sleepable");
	if (p->sleepable && !progtype_sleepable_ok(p->kind, p->attach_type))
		return load_refuse(l, -EINVAL, "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable");
	return 0;
}

int find_attach_target(struct load *l)
{
	struct prog *p = l->p;
	int err = p->kind->flags & PT_ATTACH_BTF ? check_sleeping(l) : 0;

	if (err || !(p->kind->flags & PT_ATTACH_BTF))
		return err;
	if (p->target)
		p->attach_btf = p->target->btf;
	else if (!p->attach_btf && p->attach_btf_id)
		p->attach_btf = kernel_btf(l->k);
	if (!p->target && p->attach_btf_id && !p->attach_btf)
		return load_refuse(l, -EINVAL, "programs of type %s need the kernel's types, and this engine has none", p->kind->name);
	return p->kind->flags & PT_ATTACH_MEMBER ? take_member(l) : take_function(l);
}
