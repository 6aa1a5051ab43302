/* SPDX-License-Identifier: BSD-2-Clause */
/* Functions: prototypes, what parameters are, what their names say of them. */
#include "btf/btf.h"

const struct btf_type *btf_func_proto(const struct btf *b, u32 func_id)
{
	const struct btf_type *t = btf_type(b, func_id);

	if (btf_kind_of(t) != BTF_KIND_FUNC)
		return NULL;
	t = btf_type(b, t->type);
	return btf_kind_of(t) == BTF_KIND_FUNC_PROTO ? t : NULL;
}

u32 btf_func_linkage(const struct btf *b, u32 func_id)
{
	const struct btf_type *t = btf_type(b, func_id);

	return t ? btf_vlen_of(t) : BTF_FUNC_STATIC;
}

u32 btf_param_marks(const struct btf *b, const struct btf_param *p)
{
	static const struct {
		u32 bit;
		const char *suffix;
	} marks[] = {
#define MARK(name, suffix, doc) {BTF_MARK_##name, suffix},
#include "btf/marks.def"
	};
	const char *name = btf_string(b, p->name_off);
	size_t len = strlen(name);
	u32 found = 0;

	for (u32 i = 0; i < ARRAY_SIZE(marks); i++) {
		size_t n = strlen(marks[i].suffix);

		if (len > n && !strcmp(name + len - n, marks[i].suffix))
			found |= marks[i].bit;
	}
	return found;
}

bool btf_param_named(const struct btf *b, const struct btf_param *p, const char *name)
{
	return !strcmp(btf_string(b, p->name_off), name);
}

bool btf_is_small_int(const struct btf_type *t)
{
	u32 bits, bytes;

	if (!btf_is_int(t))
		return false;
	bits = BTF_INT_BITS(*(const u32 *)(t + 1));
	bytes = (bits + 7) / 8;
	return bits % 8 == 0 && !BTF_INT_OFFSET(*(const u32 *)(t + 1)) && (bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8);
}

/* ---- values ---- */

static u32 tag_flags(const struct btf *b, const struct btf_type *t)
{
	u32 flags = 0;

	for (; btf_is_modifier(t); t = btf_type(b, t->type)) {
		if (btf_kind_of(t) == BTF_KIND_CONST)
			flags |= BTF_PTR_RDONLY;
		if (btf_has_tag(b, t, "user"))
			flags |= BTF_PTR_USER;
		if (btf_has_tag(b, t, "percpu"))
			flags |= BTF_PTR_PERCPU;
		if (btf_has_tag(b, t, "rcu"))
			flags |= BTF_PTR_RCU;
	}
	return flags;
}

static struct btf_value pointer_value(const struct btf *b, const struct btf_type *ptr)
{
	struct btf_value v = {.kind = BTF_VALUE_PTR_OTHER, .flags = tag_flags(b, btf_type(b, ptr->type))};
	const struct btf_type *to = btf_skip_modifiers(b, ptr->type, &v.id);
	s64 size = to ? btf_size(b, v.id) : -1;

	v.name = btf_name_of(b, to);
	v.size = size > 0 ? (u32)size : 0;
	if (!to)
		v.kind = BTF_VALUE_PTR_VOID;
	else if (btf_is_scalar(to) || btf_kind_of(to) == BTF_KIND_FLOAT)
		v.kind = BTF_VALUE_PTR_SCALAR;
	else if (btf_is_struct(to))
		v.kind = BTF_VALUE_PTR_STRUCT;
	else if (btf_kind_of(to) == BTF_KIND_FUNC_PROTO)
		v.kind = BTF_VALUE_PTR_FUNC;
	else if (btf_is_ptr(to))
		v.kind = BTF_VALUE_PTR_PTR;
	return v;
}

struct btf_value btf_value_of(const struct btf *b, u32 id)
{
	const struct btf_type *t = btf_skip_modifiers(b, id, &id);
	struct btf_value v = {.kind = BTF_VALUE_OTHER, .id = id, .name = btf_name_of(b, t)};

	if (btf_is_ptr(t))
		return pointer_value(b, t);
	if (!t)
		v.kind = BTF_VALUE_VOID;
	else if (btf_is_scalar(t) && t->size <= 8)
		v.kind = BTF_VALUE_SCALAR;
	else if (btf_is_struct(t))
		v.kind = BTF_VALUE_STRUCT;
	v.size = t && (btf_is_scalar(t) || btf_is_struct(t)) ? t->size : 0;
	return v;
}

bool btf_is_dynptr_ptr(const struct btf *b, const struct btf_type *ptr)
{
	const struct btf_type *t = btf_skip_modifiers(b, ptr->type, NULL);

	if (!btf_is_struct(t) && !(btf_kind_of(t) == BTF_KIND_FWD && !BTF_INFO_KFLAG(t->info)))
		return false;
	return !strcmp(btf_name_of(b, t), "bpf_dynptr");
}

static bool scalar_struct(const struct btf *b, const struct btf_type *t, u32 depth, struct text *log)
{
	if (!btf_is_struct(t))
		return false;
	for (u32 i = 0; i < btf_vlen_of(t); i++) {
		const struct btf_type *m = btf_skip_modifiers(b, btf_members_of(t)[i].type, NULL);

		if (btf_is_struct(m)) {
			if (depth >= 3) {
				text_refuse(log, -EINVAL, "max struct nesting depth exceeded");
				return false;
			}
			if (!scalar_struct(b, m, depth + 1, log))
				return false;
			continue;
		}
		if (btf_kind_of(m) == BTF_KIND_ARRAY) {
			if (!btf_array_of(m)->nelems)
				return false;
			m = btf_skip_modifiers(b, btf_array_of(m)->type, NULL);
		}
		if (!btf_is_scalar(m))
			return false;
	}
	return true;
}

bool btf_scalar_struct(const struct btf *b, const struct btf_type *t, struct text *log)
{
	return scalar_struct(b, t, 0, log);
}

/* ---- what tracing sees ---- */

/* -EINVAL: nothing that is passed; *t: the kind, for the log */
static s64 passed_size(const struct btf *b, u32 id, const struct btf_type **t)
{
	*t = btf_skip_modifiers(b, id, NULL);
	if (!*t)
		return id ? -EINVAL : 0;
	if (btf_is_ptr(*t))
		return 8;
	return btf_is_scalar(*t) || btf_is_struct(*t) ? (s64)(*t)->size : -EINVAL;
}

int btf_func_model(const struct btf *b, const struct btf_type *proto, const char *name, struct btf_model *out, struct text *log)
{
	const struct btf_type *t;
	s64 size;

	*out = (struct btf_model){.n = BTF_BPF_ARGS, .ret_size = 8};
	memset(out->arg_size, 8, BTF_BPF_ARGS);
	if (!proto)
		return 0;
	out->n = btf_vlen_of(proto);
	if (out->n > BTF_MOST_ARGS)
		return text_refuse(log, -EINVAL, "The function %s has %u arguments. Too many.", name, out->n);
	size = passed_size(b, proto->type, &t);
	if (size < 0 || btf_is_struct(t))
		return text_refuse(log, -EINVAL, "The function %s return type %s is unsupported.", name, btf_kind_name(btf_kind_of(t)));
	out->ret_size = (u32)size;
	for (u32 i = 0; i < out->n; i++) {
		u32 id = btf_params_of(proto)[i].type;

		if (i == out->n - 1 && !id)
			return text_refuse(log, -EINVAL, "The function %s with variable args is unsupported.", name);
		size = passed_size(b, id, &t);
		if (size < 0 || size > 16)
			return text_refuse(log, -EINVAL, "The function %s arg%u type %s is unsupported.", name, i, btf_kind_name(btf_kind_of(t)));
		if (!size)
			return text_refuse(log, -EINVAL, "The function %s has malformed void argument.", name);
		out->arg_size[i] = (u8)size;
	}
	return 0;
}

s64 btf_arg_offset(const struct btf *b, const struct btf_type *proto, u32 n)
{
	s64 off = 0;

	for (u32 i = 0; i < n && i < btf_vlen_of(proto); i++) {
		s64 size = btf_size(b, btf_params_of(proto)[i].type);

		if (size < 0)
			return size;
		off += (s64)ALIGN_UP((u64)size, 8);
	}
	return off;
}
