/* SPDX-License-Identifier: BSD-2-Clause */
/* What tracing programs attach to, and what their contexts hold: the arguments of the target's prototype, 8 bytes or a multiple each. */
#include "btf/btf.h"

#include <linux/bpf.h>

/* ---- attaching ---- */

static const char raw_prefix[] = "btf_trace_";

/* The typedef btf_trace_NAME points to the prototype, without names of arguments; the function __bpf_trace_NAME has them. */
static int raw_target(const struct btf *b, u32 id, struct btf_target *out, struct text *log)
{
	const struct btf_type *t = btf_type(b, id);
	const char *name = btf_name_of(b, t);
	char func[128] = "__bpf_trace_";
	s32 template;

	if (btf_kind_of(t) != BTF_KIND_TYPEDEF)
		return text_refuse(log, -EINVAL, "attach_btf_id %u is not a typedef", id);
	if (strncmp(name, raw_prefix, sizeof(raw_prefix) - 1))
		return text_refuse(log, -EINVAL, "attach_btf_id %u points to wrong type name %s", id, name);
	out->name = name + sizeof(raw_prefix) - 1;
	out->skip_args = 1;
	if (strlen(out->name) < sizeof(func) - strlen(func)) {
		strcat(func, out->name);
		template = btf_find(b, func, BTF_KIND_FUNC);
		out->proto = template > 0 ? btf_func_proto(b, (u32)template) : NULL;
	}
	if (!out->proto) {
		t = btf_type(b, t->type);
		out->proto = btf_is_ptr(t) ? btf_type(b, t->type) : NULL;
	}
	return btf_kind_of(out->proto) == BTF_KIND_FUNC_PROTO && btf_vlen_of(out->proto) ? 0 : -EINVAL;
}

static bool uses_result(u32 attach_type)
{
	return attach_type == BPF_TRACE_FEXIT || attach_type == BPF_MODIFY_RETURN || attach_type == BPF_LSM_MAC || attach_type == BPF_LSM_CGROUP;
}

static int function_target(const struct btf *b, u32 id, const struct btf_attach *how, struct btf_target *out, struct text *log)
{
	struct btf_model model;
	int err;

	if (btf_kind_of(btf_type(b, id)) != BTF_KIND_FUNC)
		return text_refuse(log, -EINVAL, "attach_btf_id %u is not a function", id);
	if (how->prog_type == BPF_PROG_TYPE_EXT && btf_funcs_match(how->own, how->own_id, b, id, log))
		return -EINVAL;
	out->proto = btf_func_proto(b, id);
	if (!out->proto)
		return -EINVAL;
	if (how->to_prog && !how->reliable)
		out->proto = NULL;
	err = btf_func_model(b, out->proto, out->name, &model, log);
	if (!err && how->attach_type != BPF_TRACE_ITER && model.ret_size > 8 && uses_result(how->attach_type))
		return text_refuse(log, -EOPNOTSUPP,
				   "Attach to function %s with a >8 byte return value is not supported for this attach type", out->name);
	return err;
}

int btf_attach_target(const struct btf *b, u32 id, const struct btf_attach *how, struct btf_target *out, struct text *log)
{
	bool extension = how->prog_type == BPF_PROG_TYPE_EXT;

	*out = (struct btf_target){.btf = b, .id = id, .attach_type = how->attach_type, .to_prog = how->to_prog, .prog_type = how->target_prog_type,
				   .kernel = how->kernel};
	if (!id)
		return text_refuse(log, -EINVAL, "Tracing programs must provide btf_id");
	if (!b)
		return text_refuse(log, -EINVAL, "FENTRY/FEXIT program can only be attached to another program annotated with BTF");
	if (!btf_type(b, id))
		return text_refuse(log, -EINVAL, "attach_btf_id %u is invalid", id);
	out->name = btf_name_of(b, btf_type(b, id));
	if (extension && !how->to_prog)
		return text_refuse(log, -EINVAL, "Cannot replace kernel functions");
	switch (how->attach_type) {
	case BPF_TRACE_RAW_TP:
		if (how->to_prog)
			return text_refuse(log, -EINVAL, "Only FENTRY/FEXIT progs are attachable to another BPF prog");
		out->trusted = true;
		return raw_target(b, id, out, log);
	case BPF_TRACE_ITER:
		out->trusted = true;
		return function_target(b, id, how, out, log);
	case BPF_MODIFY_RETURN:
	case BPF_LSM_MAC:
	case BPF_LSM_CGROUP:
	case BPF_TRACE_FENTRY:
	case BPF_TRACE_FEXIT: return function_target(b, id, how, out, log);
	default: return extension ? function_target(b, id, how, out, log) : -EINVAL;
	}
}

/* ---- the context ---- */

struct nullable {
	const char *name;
	u32 null, error; /* bit n: argument n may be NULL, or an encoded error */
};

static const struct nullable *raw_tp(const char *name)
{
	static const struct nullable rows[] = {
#define RAW_TP(name, null, error) {#name, null, error},
#include "btf/raw_tp.def"
	};
	u32 lo = 0, hi = ARRAY_SIZE(rows);

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;
		int order = strcmp(rows[mid].name, name);

		if (!order)
			return &rows[mid];
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static u32 arg_bytes(const struct btf *b, u32 id)
{
	const struct btf_type *t = btf_skip_modifiers(b, id, NULL);

	if (btf_is_ptr(t))
		return 8;
	return t ? (u32)ALIGN_UP((u64)t->size, 8) : 0;
}

/* Which argument the offset lies in, leading ones that programs do not see apart; their number: the result; more: nothing. */
static u32 arg_at(const struct btf_target *t, u32 off, u32 n)
{
	u64 end = 0;

	if (!t->proto)
		return off / 8;
	for (u32 i = 0; i < n; i++) {
		end += arg_bytes(t->btf, btf_params_of(t->proto)[i].type);
		if (off < end)
			return i;
	}
	return off < end + arg_bytes(t->btf, t->proto->type) ? n : n + 1;
}

/* The type of the result; refused: NULL with *ok false. A void result, and that of a target without prototype, is NULL. */
static const struct btf_type *result_type(const struct btf_target *t, u32 arg, struct btf_ctx_arg *out, bool *ok, struct text *log)
{
	const struct btf_type *r = NULL;

	*ok = true;
	switch (t->attach_type) {
	case BPF_LSM_MAC: out->is_retval = true; /* fall through */
	case BPF_LSM_CGROUP:
	case BPF_TRACE_FEXIT: return t->proto ? btf_skip_modifiers(t->btf, t->proto->type, NULL) : NULL;
	case BPF_MODIFY_RETURN:
		r = t->proto ? btf_skip_modifiers(t->btf, t->proto->type, NULL) : NULL;
		*ok = btf_is_small_int(r);
		if (!*ok && t->proto)
			text_refuse(log, 0, "ret type %s not allowed for fmod_ret", btf_kind_name(btf_kind_of(r)));
		return r;
	default:
		*ok = false;
		text_refuse(log, 0, "func '%s' doesn't have %u-th argument", t->name, arg + 1);
		return NULL;
	}
}

/* Pointers that are handed over as what a table, not the prototype, says. */
static bool given(const struct btf_arg_info *infos, u32 n, s32 off, bool buffers, struct btf_ctx_arg *out)
{
	for (u32 i = 0; i < n; i++) {
		if (infos[i].offset != (u32)off || (buffers && !(infos[i].kind == BTF_CTX_BUF && infos[i].flags & BTF_PTR_NULLABLE)))
			continue;
		out->kind = infos[i].kind;
		out->flags = infos[i].flags;
		out->btf = infos[i].btf;
		out->id = infos[i].id;
		out->info = &infos[i];
		return true;
	}
	return false;
}

static bool to_struct(const struct btf_target *t, const struct btf_type *ptr, u32 arg, struct btf_ctx_arg *out, struct text *log)
{
	const struct btf_type *to = btf_type(t->btf, ptr->type);
	const struct nullable *row = t->attach_type == BPF_TRACE_RAW_TP ? raw_tp(t->name) : NULL;

	if (row && row->null >> arg & 1)
		out->flags |= BTF_PTR_NULLABLE;
	if (!row && t->attach_type == BPF_TRACE_RAW_TP && t->btf->base)
		out->flags |= BTF_PTR_NULLABLE; /* of a module: nobody said that it is not */
	if (t->to_prog) {
		s32 id = btf_is_ctx(t->btf, ptr, t->prog_type, arg, log) ? btf_kernel_ctx(t->kernel, t->prog_type) : -ENOENT;

		out->btf = t->kernel;
		out->id = (u32)id;
		return id > 0;
	}
	if (btf_has_tag(t->btf, to, "user"))
		out->flags |= BTF_PTR_USER;
	if (btf_has_tag(t->btf, to, "percpu"))
		out->flags |= BTF_PTR_PERCPU;
	out->btf = t->btf;
	to = btf_skip_modifiers(t->btf, ptr->type, &out->id);
	if (!btf_is_struct(to)) {
		text_refuse(log, 0, "func '%s' arg%u type %s is not a struct", t->name, arg, btf_kind_name(btf_kind_of(to)));
		return false;
	}
	text_refuse(log, 0, "func '%s' arg%u has btf_id %u type %s '%s'", t->name, arg, out->id, btf_kind_name(btf_kind_of(to)),
		    to->name_off ? btf_name_of(t->btf, to) : "(anon)");
	if (row && row->error >> arg & 1) {
		if (log)
			text_addf(log, "marking pointer arg%u as scalar as it may encode error", arg);
		*out = (struct btf_ctx_arg){.kind = BTF_CTX_SCALAR};
	}
	return true;
}

bool btf_ctx_access(const struct btf_target *t, const struct btf_arg_info *infos, u32 n_infos, s32 off, u32 size, struct btf_ctx_arg *out,
		    struct text *log)
{
	u32 all = t->proto ? btf_vlen_of(t->proto) : BTF_BPF_ARGS, n = all - t->skip_args, arg;
	const struct btf_param *p = NULL;
	const struct btf_type *type, *to;
	bool ok = true;

	*out = (struct btf_ctx_arg){.kind = BTF_CTX_SCALAR};
	if (off % 8) {
		text_refuse(log, 0, "func '%s' offset %d is not multiple of 8", t->name, off);
		return false;
	}
	/* As Linux has it: the unseen argument takes 8 bytes as the others do, so it is counted where they are. */
	arg = arg_at(t, (u32)off, all);
	if (arg > n) {
		text_refuse(log, 0, "func '%s' doesn't have %u-th argument", t->name, arg + 1);
		return false;
	}
	if (arg == n) {
		type = result_type(t, arg, out, &ok, log);
		if (!ok || !t->proto)
			return ok;
	} else {
		if (!t->proto)
			return true;
		p = btf_params_of(t->proto) + t->skip_args + arg;
		type = btf_skip_modifiers(t->btf, p->type, NULL);
	}
	if (btf_is_small_int(type) || btf_is_enum_any(type) || btf_is_struct(type))
		return true;
	if (!btf_is_ptr(type)) {
		text_refuse(log, 0, "func '%s' arg%u '%s' has type %s. Only pointer access is allowed", t->name, arg,
			    type && type->name_off ? btf_name_of(t->btf, type) : "(anon)", btf_kind_name(btf_kind_of(type)));
		return false;
	}
	if (size != 8) {
		text_refuse(log, 0, "func '%s' size %u must be 8", t->name, size);
		return false;
	}
	if (given(infos, n_infos, off, true, out))
		return true;
	to = btf_skip_modifiers(t->btf, type->type, NULL);
	if (!to || btf_is_int(to))
		return true;
	if (given(infos, n_infos, off, false, out)) {
		if (out->id)
			return true;
		text_refuse(log, 0, "invalid btf_id for context argument offset %u", (u32)off);
		return false;
	}
	out->kind = BTF_CTX_PTR;
	out->flags = t->trusted ? BTF_PTR_TRUSTED : 0;
	if (p && btf_param_marks(t->btf, p) & BTF_MARK_NULLABLE)
		out->flags |= BTF_PTR_NULLABLE;
	return to_struct(t, type, arg, out, log);
}
