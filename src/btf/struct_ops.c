/* SPDX-License-Identifier: BSD-2-Clause */
/* Structs of functions that programs may implement: the kernel has a struct bpf_struct_ops_NAME that holds one, and a function NAME__MEMBER whose
 * parameter names say what its prototype does not. */
#include "btf/btf.h"

#include <stdio.h>

int btf_struct_ops_find(const struct btf *kernel, u32 id, struct btf_struct_ops *out)
{
	const struct btf_type *t = btf_type(kernel, id), *data;
	char name[128];
	s32 value;
	u32 data_id;

	if (btf_kind_of(t) != BTF_KIND_STRUCT || (size_t)snprintf(name, sizeof(name), "bpf_struct_ops_%s", btf_name_of(kernel, t)) >= sizeof(name))
		return -ENOTSUPP;
	value = btf_find(kernel, name, BTF_KIND_STRUCT);
	if (value < 0 || btf_member_find(kernel, (u32)value, "data", &data_id) < 0)
		return -ENOTSUPP;
	data = btf_skip_modifiers(kernel, data_id, NULL);
	if (data != t)
		return -ENOTSUPP;
	*out = (struct btf_struct_ops){kernel, id, (u32)value, t, btf_name_of(kernel, t)};
	return 0;
}

int btf_struct_ops_of_value(const struct btf *kernel, u32 value_id, struct btf_struct_ops *out)
{
	static const char prefix[] = "bpf_struct_ops_";
	const struct btf_type *t = btf_type(kernel, value_id);
	const char *name = t ? btf_name_of(kernel, t) : "";
	s32 id = !strncmp(name, prefix, strlen(prefix)) ? btf_find(kernel, name + strlen(prefix), BTF_KIND_STRUCT) : -ENOENT;
	int err = id < 0 ? -ENOTSUPP : btf_struct_ops_find(kernel, (u32)id, out);

	return !err && out->value_id != value_id ? -ENOTSUPP : err;
}

const struct btf_type *btf_struct_ops_proto(const struct btf_struct_ops *s, u32 member, const char **name)
{
	const struct btf_type *t;

	if (member >= btf_vlen_of(s->type))
		return NULL;
	if (name)
		*name = btf_string(s->btf, btf_members_of(s->type)[member].name_off);
	t = btf_skip_modifiers(s->btf, btf_members_of(s->type)[member].type, NULL);
	if (!btf_is_ptr(t))
		return NULL;
	t = btf_skip_modifiers(s->btf, t->type, NULL);
	return btf_kind_of(t) == BTF_KIND_FUNC_PROTO ? t : NULL;
}

static const struct btf_type *stub_of(const struct btf_struct_ops *s, const char *member)
{
	char name[256];
	s32 id;

	if ((size_t)snprintf(name, sizeof(name), "%s__%s", s->name, member) >= sizeof(name))
		return NULL;
	id = btf_find(s->btf, name, BTF_KIND_FUNC);
	return id > 0 ? btf_func_proto(s->btf, (u32)id) : NULL;
}

s32 btf_struct_ops_infos(const struct btf_struct_ops *s, u32 member, struct btf_arg_info *infos)
{
	const char *name = "";
	const struct btf_type *proto = btf_struct_ops_proto(s, member, &name), *stub = proto ? stub_of(s, name) : NULL;
	s32 n = 0;

	if (!proto)
		return -EINVAL;
	if (!stub)
		return 0;
	if (btf_vlen_of(stub) != btf_vlen_of(proto) || btf_vlen_of(proto) > BTF_MOST_ARGS)
		return -EINVAL;
	for (u32 i = 0; i < btf_vlen_of(proto); i++) {
		u32 marks = btf_param_marks(s->btf, btf_params_of(stub) + i);
		struct btf_value v = btf_value_of(s->btf, btf_params_of(proto)[i].type);
		s64 off = btf_arg_offset(s->btf, proto, i);

		if (!(marks & (BTF_MARK_NULLABLE | BTF_MARK_REF)))
			continue;
		if (v.kind != BTF_VALUE_PTR_STRUCT || off < 0 || btf_params_of(stub)[i].type != btf_params_of(proto)[i].type)
			return -EINVAL;
		infos[n++] = (struct btf_arg_info){
			.offset = (u32)off,
			.kind = BTF_CTX_PTR,
			.flags = BTF_PTR_TRUSTED | (marks & BTF_MARK_NULLABLE ? (u32)BTF_PTR_NULLABLE : 0),
			.btf = s->btf,
			.id = v.id,
			.refcounted = !(marks & BTF_MARK_NULLABLE),
		};
	}
	return n;
}
