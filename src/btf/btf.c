/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading BTF that was checked. Chains of modifiers end: parse.c and file.c refuse those that do not. */
#include "btf/btf.h"

#include <sys/mman.h>

enum { MOST_ARRAYS = 32 };

const char *btf_kind_name(u32 kind)
{
	static const char *const names[] = {"UNKNOWN", "INT",	   "PTR",      "ARRAY", "STRUCT",     "UNION", "ENUM",
					    "FWD",     "TYPEDEF",  "VOLATILE", "CONST", "RESTRICT",   "FUNC",  "FUNC_PROTO",
					    "VAR",     "DATASEC",  "FLOAT",    "DECL_TAG", "TYPE_TAG", "ENUM64"};

	return kind < ARRAY_SIZE(names) ? names[kind] : names[0];
}

static const struct btf *owner_of_string(const struct btf *b, u32 *off)
{
	while (*off < b->first_string)
		b = b->base;
	*off -= b->first_string;
	return b;
}

bool btf_string_valid(const struct btf *b, u32 off)
{
	b = owner_of_string(b, &off);
	return off < b->strings_size;
}

const char *btf_string(const struct btf *b, u32 off)
{
	b = owner_of_string(b, &off);
	return off < b->strings_size ? b->strings + off : "";
}

const struct btf_type *btf_type(const struct btf *b, u32 id)
{
	while (id < b->first_id)
		b = b->base;
	id -= b->first_id;
	return id < b->n_types ? b->types[id] : NULL;
}

void btf_free(struct btf *b)
{
	btf_metas_free(b);
	btf_index_free(b);
	mem_free(b->mem, b->types, b->types_cap * sizeof(*b->types));
	mem_free(b->mem, b->moved, b->moved_size);
	if (b->mapped)
		munmap(b->data, b->size);
	else
		mem_free(b->mem, b->data, b->kernel ? b->size : b->size + 1);
	b->moved = NULL;
	b->types = NULL;
	b->data = NULL;
	b->mapped = false;
}

bool btf_is_struct(const struct btf_type *t)
{
	return btf_kind_of(t) == BTF_KIND_STRUCT || btf_kind_of(t) == BTF_KIND_UNION;
}

bool btf_is_int(const struct btf_type *t)
{
	return btf_kind_of(t) == BTF_KIND_INT;
}

bool btf_is_enum_any(const struct btf_type *t)
{
	return btf_kind_of(t) == BTF_KIND_ENUM || btf_kind_of(t) == BTF_KIND_ENUM64;
}

bool btf_is_ptr(const struct btf_type *t)
{
	return btf_kind_of(t) == BTF_KIND_PTR;
}

bool btf_is_scalar(const struct btf_type *t)
{
	return btf_is_int(t) || btf_is_enum_any(t);
}

bool btf_is_modifier(const struct btf_type *t)
{
	switch (btf_kind_of(t)) {
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG: return true;
	default: return false;
	}
}

bool btf_has_tag(const struct btf *b, const struct btf_type *t, const char *tag)
{
	return btf_kind_of(t) == BTF_KIND_TYPE_TAG && !BTF_INFO_KFLAG(t->info) && !strcmp(btf_string(b, t->name_off), tag);
}

const struct btf_type *btf_skip_modifiers(const struct btf *b, u32 id, u32 *resolved)
{
	const struct btf_type *t = btf_type(b, id);

	while (btf_is_modifier(t)) {
		id = t->type;
		t = btf_type(b, id);
	}
	if (resolved)
		*resolved = id;
	return t;
}

const struct btf_type *btf_resolve(const struct btf *b, u32 id, u32 *resolved)
{
	const struct btf_type *t = btf_type(b, id);

	while (btf_is_modifier(t) || btf_kind_of(t) == BTF_KIND_VAR) {
		id = t->type;
		t = btf_type(b, id);
	}
	if (resolved)
		*resolved = id;
	return t;
}

int btf_extent_of(const struct btf *b, u32 id, struct btf_extent *out)
{
	const struct btf_type *array = NULL, *t;
	u32 arrays = 0, resolved, elem_id = 0;
	u64 count = 1, size;

	for (;;) {
		t = btf_skip_modifiers(b, id, &resolved);
		if (btf_kind_of(t) != BTF_KIND_ARRAY)
			break;
		if (!array)
			array = t;
		count *= btf_array_of(t)->nelems;
		elem_id = id = btf_array_of(t)->type;
		if (count > UINT32_MAX || ++arrays > MOST_ARRAYS)
			return -EINVAL;
	}
	switch (btf_kind_of(t)) {
	case BTF_KIND_INT:
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case BTF_KIND_FLOAT:
	case BTF_KIND_ENUM64: size = t->size; break;
	case BTF_KIND_PTR: size = 8; break;
	default: return -EINVAL;
	}
	size *= count; /* both fit 32 bits */
	if (size > UINT32_MAX)
		return -EINVAL;
	*out = (struct btf_extent){array ? array : t, t, array ? elem_id : resolved, (u32)count, (u32)size};
	return 0;
}

s64 btf_size(const struct btf *b, u32 id)
{
	const struct btf_type *t = btf_resolve(b, id, &id);
	struct btf_extent e;

	if (btf_kind_of(t) == BTF_KIND_DATASEC)
		return t->size;
	return btf_extent_of(b, id, &e) ? -EINVAL : (s64)e.size;
}
