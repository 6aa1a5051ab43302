/* SPDX-License-Identifier: BSD-2-Clause */
/* Variables of the kernel that instructions name: which are there is in its BTF's sections. */
#include "btf/btf.h"

static bool in_section(const struct btf *b, const char *section, u32 var)
{
	s32 id = btf_find(b, section, BTF_KIND_DATASEC);
	const struct btf_type *t = id > 0 ? btf_type(b, (u32)id) : NULL;
	const struct btf_var_secinfo *v = t ? (const struct btf_var_secinfo *)(t + 1) : NULL;

	for (u32 i = 0; t && i < btf_vlen_of(t); i++)
		if (v[i].type == var)
			return true;
	return false;
}

int btf_ksym(const struct btf *b, u32 id, struct btf_ksym *out, struct text *log)
{
	const struct btf_type *t = btf_type(b, id), *to;
	struct btf_extent e;

	*out = (struct btf_ksym){0};
	if (!t)
		return text_refuse(log, -ENOENT, "ldimm64 insn specifies invalid btf_id %d.", (s32)id);
	if (btf_kind_of(t) != BTF_KIND_VAR && btf_kind_of(t) != BTF_KIND_FUNC)
		return text_refuse(log, -EINVAL, "pseudo btf_id %d in ldimm64 isn't KIND_VAR or KIND_FUNC", (s32)id);
	out->name = btf_name_of(b, t);
	out->is_func = btf_kind_of(t) == BTF_KIND_FUNC;
	if (out->is_func)
		return 0;
	out->percpu = in_section(b, ".data..percpu", id);
	out->id = t->type;
	to = btf_skip_modifiers(b, t->type, NULL);
	out->is_struct = btf_is_struct(to);
	if (out->percpu || out->is_struct)
		return 0;
	if (btf_extent_of(b, t->type, &e))
		return text_refuse(log, -EINVAL, "ldimm64 unable to resolve the size of type '%s': %d", btf_name_of(b, to), -EINVAL);
	out->size = e.size;
	return 0;
}
