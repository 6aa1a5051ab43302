/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arguments of the program's own functions. A global function is verified on its own, so what it may assume of its arguments,
 * and what its callers must give, follows from its prototype and from tags on its parameters.
 */
#include "btf/btf.h"

enum { TAG_CTX = 1, TAG_NONNULL = 2, TAG_TRUSTED = 4, TAG_UNTRUSTED = 8, TAG_NULLABLE = 16, TAG_ARENA = 32 };

struct args {
	const struct btf *b;
	u32 func_id;
	bool global;
	u32 prog_type, attach_type;
	const struct btf_kernel *kernel;
	struct text *log;
};

PRINTF_LIKE(3, 4) static int refuse(const struct args *a, int err, const char *fmt, ...)
{
	va_list ap;

	if (a->log) {
		va_start(ap, fmt);
		text_addv(a->log, fmt, ap);
		va_end(ap);
		text_add(a->log, "\n");
	}
	return err;
}

/* Tags of argument i, or -errno. */
static int tags_of(const struct args *a, u32 i)
{
	static const struct {
		const char *name;
		int tag;
	} known[] = {{"ctx", TAG_CTX},	       {"trusted", TAG_TRUSTED},   {"untrusted", TAG_UNTRUSTED},
		     {"nonnull", TAG_NONNULL}, {"nullable", TAG_NULLABLE}, {"arena", TAG_ARENA}};
	int tags = 0;

	for (s32 id = 0; (id = btf_tag_next(a->b, a->func_id, (s32)i, "arg:", (u32)id)) > 0;) {
		const char *name = btf_name_of(a->b, btf_type(a->b, (u32)id)) + 4;
		u32 k = 0;

		if (!a->global)
			return refuse(a, -EOPNOTSUPP, "arg#%u type tag is not supported in static functions", i);
		while (k < ARRAY_SIZE(known) && strcmp(known[k].name, name))
			k++;
		if (k == ARRAY_SIZE(known))
			return refuse(a, -EOPNOTSUPP, "arg#%u has unsupported set of tags", i);
		tags |= known[k].tag;
	}
	return tags;
}

/* The kernel's one type of that name. */
static int kernel_type(const struct args *a, u32 i, const struct btf_type *ptr, struct btf_arg *out)
{
	const struct btf_type *t = btf_skip_modifiers(a->b, ptr->type, NULL);
	const char *kind = btf_kind_name(btf_kind_of(t)), *name = t && t->name_off ? btf_name_of(a->b, t) : "(anon)";
	const struct btf *kernel = btf_of_kernel(a->kernel);
	u32 n;

	if (!kernel || !t || !*btf_name_of(a->b, t))
		return refuse(a, -EINVAL, "arg#%u reference type('%s %s') candidate matching error: %d", i, kind, name, -EINVAL);
	n = btf_find_flavors(kernel, btf_name_of(a->b, t), btf_kind_of(t), &out->id);
	if (n != 1)
		return refuse(a, n ? -ESRCH : -ENOENT, "arg#%u reference type('%s %s') %s", i, kind, name, n ? "is ambiguous" : "has no matches");
	out->btf = kernel;
	return 0;
}

static int untrusted(const struct args *a, u32 i, const struct btf_type *ptr, struct btf_arg *out)
{
	const struct btf_type *t = btf_skip_modifiers(a->b, ptr->type, NULL);
	int err;

	if (!t || btf_is_small_int(t) || (btf_is_enum_any(t) && t->size <= 8)) {
		*out = (struct btf_arg){.kind = BTF_ARG_MEM, .flags = BTF_PTR_RDONLY | BTF_PTR_UNTRUSTED};
		return 0;
	}
	*out = (struct btf_arg){.kind = BTF_ARG_KERNEL, .flags = BTF_PTR_UNTRUSTED};
	err = kernel_type(a, i, ptr, out);
	if (err)
		return err;
	t = btf_type(out->btf, out->id);
	if (!btf_is_struct(t))
		return refuse(a, -EINVAL, "arg#%u has type %s '%s', but only struct or primitive types are allowed", i,
			      btf_kind_name(btf_kind_of(t)), btf_name_of(out->btf, t));
	return 0;
}

static int trusted(const struct args *a, u32 i, const struct btf_type *ptr, int tags, struct btf_arg *out)
{
	*out = (struct btf_arg){.kind = BTF_ARG_KERNEL, .flags = BTF_PTR_TRUSTED | (tags & TAG_NULLABLE ? (u32)BTF_PTR_NULLABLE : 0)};
	return kernel_type(a, i, ptr, out);
}

static int memory(const struct args *a, u32 i, const struct btf_type *ptr, int tags, struct btf_arg *out)
{
	const struct btf_type *t = btf_skip_modifiers(a->b, ptr->type, NULL);
	struct btf_extent e;

	if (btf_extent_of(a->b, ptr->type, &e))
		return refuse(a, -EINVAL, "arg#%u reference type('%s %s') size cannot be determined: %d", i, btf_kind_name(btf_kind_of(t)),
			      btf_name_of(a->b, t), -EINVAL);
	*out = (struct btf_arg){.kind = BTF_ARG_MEM, .flags = tags & TAG_NONNULL ? 0 : BTF_PTR_NULLABLE, .size = e.size};
	return 0;
}

static int pointer(const struct args *a, u32 i, const struct btf_type *t, int tags, struct btf_arg *out)
{
	int bad = 0;

	if (tags & TAG_CTX || btf_is_ctx(a->b, t, a->prog_type, i, a->log)) {
		*out = (struct btf_arg){.kind = BTF_ARG_CTX};
		bad = tags & ~TAG_CTX;
		if (!bad)
			return tags ? btf_ctx_tag_check(a->b, t, a->prog_type, a->attach_type, i, a->log) : 0;
	} else if (btf_is_dynptr_ptr(a->b, t)) {
		*out = (struct btf_arg){.kind = BTF_ARG_DYNPTR, .flags = BTF_PTR_RDONLY};
		bad = tags;
		if (!bad)
			return 0;
	} else if (tags & TAG_TRUSTED) {
		bad = tags & TAG_NONNULL;
		if (!bad)
			return trusted(a, i, t, tags, out);
	} else if (tags & TAG_UNTRUSTED) {
		if (tags & ~TAG_UNTRUSTED)
			return refuse(a, -EINVAL, "arg#%u untrusted cannot be combined with any other tags", i);
		return untrusted(a, i, t, out);
	} else if (tags & TAG_ARENA) {
		if (tags & ~TAG_ARENA)
			return refuse(a, -EINVAL, "arg#%u arena cannot be combined with any other tags", i);
		*out = (struct btf_arg){.kind = BTF_ARG_ARENA};
		return 0;
	} else if (a->global) {
		bad = tags & TAG_NULLABLE;
		if (!bad)
			return memory(a, i, t, tags, out);
	} else {
		return -EINVAL;
	}
	return refuse(a, -EINVAL, "arg#%u has invalid combination of tags", i);
}

static int one(const struct args *a, u32 i, const struct btf_type *t, const char *name, struct btf_arg *out)
{
	int tags = tags_of(a, i);

	if (tags < 0)
		return tags;
	if (btf_is_ptr(t))
		return pointer(a, i, t, tags, out);
	if (tags)
		return refuse(a, -EINVAL, "arg#%u has pointer tag, but is not a pointer type", i);
	*out = (struct btf_arg){.kind = BTF_ARG_SCALAR};
	if (btf_is_scalar(t))
		return 0;
	return a->global ? refuse(a, -EINVAL, "Arg#%u type %s in %s() is not supported yet.", i, btf_kind_name(btf_kind_of(t)), name) : -EINVAL;
}

int btf_func_args(const struct btf *b, u32 func_id, u32 prog_type, u32 attach_type, const struct btf_kernel *kernel, struct btf_func_args *out,
		  struct text *log)
{
	struct args a = {b, func_id, btf_func_linkage(b, func_id) == BTF_FUNC_GLOBAL, prog_type, attach_type, kernel, log};
	const struct btf_type *proto = btf_func_proto(b, func_id);
	int err = 0;

	*out = (struct btf_func_args){.name = btf_name_of(b, btf_type(b, func_id))};
	if (!proto)
		return refuse(&a, -EFAULT, "Invalid type of function %s()", out->name);
	out->n = btf_vlen_of(proto);
	if (out->n > BTF_BPF_ARGS)
		return a.global ? refuse(&a, -EINVAL, "Global function %s() with %u > %d args. Buggy compiler.", out->name, out->n, BTF_BPF_ARGS) :
				  -EINVAL;
	if (!btf_is_scalar(btf_skip_modifiers(b, proto->type, NULL)))
		return a.global ? refuse(&a, -EINVAL, "Global function %s() doesn't return scalar. Only those are supported.", out->name) : -EINVAL;
	for (u32 i = 0; i < out->n && !err; i++)
		err = one(&a, i, btf_skip_modifiers(b, btf_params_of(proto)[i].type, NULL), out->name, &out->arg[i]);
	return err;
}
