/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When a type of a program stands for one of the kernel, by the three measures of CO-RE: fields fit when one can be read as the other; types fit when
 * they are of one shape, whatever their members are; types match when all that the program's type says holds for the kernel's as well.
 */
#include "btf/relo.h"

bool relo_names_equal(const char *a, const char *b)
{
	u32 len = btf_flavorless(a);

	return len == btf_flavorless(b) && !strncmp(a, b, len);
}

static bool kinds_fit(const struct btf_type *a, const struct btf_type *b)
{
	return btf_kind_of(a) == btf_kind_of(b) || (btf_is_enum_any(a) && btf_is_enum_any(b));
}

static u32 int_word(const struct btf_type *t)
{
	return *(const u32 *)(t + 1);
}

static bool ints_fit(const struct btf_type *a, const struct btf_type *b)
{
	return !BTF_INT_OFFSET(int_word(a)) && !BTF_INT_OFFSET(int_word(b));
}

int relo_fields_fit(const struct btf *a, u32 a_id, const struct btf *b, u32 b_id)
{
	for (;;) {
		const struct btf_type *x = btf_skip_modifiers(a, a_id, NULL), *y = btf_skip_modifiers(b, b_id, NULL);
		const char *x_name = btf_name_of(a, x), *y_name = btf_name_of(b, y);

		if (btf_is_struct(x) && btf_is_struct(y))
			return 1;
		if (!kinds_fit(x, y))
			return 0;
		switch (btf_kind_of(x)) {
		case BTF_KIND_PTR:
		case BTF_KIND_FLOAT: return 1;
		case BTF_KIND_FWD:
		case BTF_KIND_ENUM:
		case BTF_KIND_ENUM64: return !*x_name || !*y_name || relo_names_equal(x_name, y_name);
		case BTF_KIND_INT: return ints_fit(x, y);
		case BTF_KIND_ARRAY: break;
		default: return 0;
		}
		a_id = btf_array_of(x)->type;
		b_id = btf_array_of(y)->type;
	}
}

static int params_fit(const struct btf *a, const struct btf_type *x, const struct btf *b, const struct btf_type *y, u32 level)
{
	for (u32 i = 0; i < btf_vlen_of(x); i++) {
		int fits = level ? relo_types_fit(a, btf_params_of(x)[i].type, b, btf_params_of(y)[i].type, level - 1) : -EINVAL;

		if (fits <= 0)
			return fits;
	}
	return 1;
}

int relo_types_fit(const struct btf *a, u32 a_id, const struct btf *b, u32 b_id, u32 level)
{
	/* the root's kind counts as it is written; behind a function or pointer, what it stands for */
	if (!kinds_fit(btf_type(a, a_id), btf_type(b, b_id)) && level == RELO_NESTED)
		return 0;
	for (u32 depth = 0; depth < RELO_DEPTH; depth++) {
		const struct btf_type *x = btf_skip_modifiers(a, a_id, NULL), *y = btf_skip_modifiers(b, b_id, NULL);
		int fits;

		if (!kinds_fit(x, y))
			return 0;
		switch (btf_kind_of(x)) {
		case BTF_KIND_UNKN:
		case BTF_KIND_STRUCT:
		case BTF_KIND_UNION:
		case BTF_KIND_ENUM:
		case BTF_KIND_ENUM64:
		case BTF_KIND_FWD: return 1;
		case BTF_KIND_INT: return ints_fit(x, y);
		case BTF_KIND_PTR:
			a_id = x->type;
			b_id = y->type;
			continue;
		case BTF_KIND_ARRAY:
			a_id = btf_array_of(x)->type;
			b_id = btf_array_of(y)->type;
			continue;
		case BTF_KIND_FUNC_PROTO:
			if (btf_vlen_of(x) != btf_vlen_of(y))
				return 0;
			fits = params_fit(a, x, b, y, level);
			if (fits <= 0)
				return fits;
			a_id = x->type;
			b_id = y->type;
			continue;
		default: return 0;
		}
	}
	return -EINVAL;
}

/* ---- matching ---- */

static bool type_names_match(const char *a, const char *b)
{
	return *b ? relo_names_equal(a, b) : !*a;
}

static const char *value_name(const struct btf *b, const struct btf_type *t, u32 i)
{
	u32 words = btf_kind_of(t) == BTF_KIND_ENUM64 ? 3 : 2;

	return btf_string(b, ((const u32 *)(t + 1))[i * words]);
}

static int enums_match(const struct btf *a, const struct btf_type *x, const struct btf *b, const struct btf_type *y)
{
	if (x->size != y->size || btf_vlen_of(x) > btf_vlen_of(y))
		return 0;
	for (u32 i = 0; i < btf_vlen_of(x); i++) {
		u32 j = 0;

		while (j < btf_vlen_of(y) && !type_names_match(value_name(a, x, i), value_name(b, y, j)))
			j++;
		if (j == btf_vlen_of(y))
			return 0;
	}
	return 1;
}

static int members_match(const struct btf *a, const struct btf_type *x, const struct btf *b, const struct btf_type *y, u32 level)
{
	if (btf_vlen_of(x) > btf_vlen_of(y))
		return 0;
	for (u32 i = 0; i < btf_vlen_of(x); i++) {
		const struct btf_member *m = btf_members_of(x) + i;
		int found = 0;

		for (u32 j = 0; j < btf_vlen_of(y) && !found; j++) {
			const struct btf_member *n = btf_members_of(y) + j;

			if (type_names_match(btf_string(a, m->name_off), btf_string(b, n->name_off)))
				found = relo_types_match(a, m->type, b, n->type, false, level - 1);
		}
		if (found <= 0)
			return found;
	}
	return 1;
}

static int forwards_match(const struct btf_type *x, const struct btf_type *y, bool behind_pointer)
{
	bool is_union = BTF_INFO_KFLAG(x->info);

	if (btf_kind_of(y) == BTF_KIND_FWD)
		return is_union == BTF_INFO_KFLAG(y->info);
	return behind_pointer && btf_kind_of(y) == (u32)(is_union ? BTF_KIND_UNION : BTF_KIND_STRUCT);
}

static int structs_match(const struct btf *a, const struct btf_type *x, const struct btf *b, const struct btf_type *y, bool behind_pointer, u32 level)
{
	if (!behind_pointer)
		return btf_kind_of(x) == btf_kind_of(y) ? members_match(a, x, b, y, level) : 0;
	if (btf_kind_of(x) == btf_kind_of(y))
		return 1;
	return btf_kind_of(y) == BTF_KIND_FWD && (btf_kind_of(x) == BTF_KIND_UNION) == BTF_INFO_KFLAG(y->info);
}

static int params_match(const struct btf *a, const struct btf_type *x, const struct btf *b, const struct btf_type *y, bool behind_pointer, u32 level)
{
	if (btf_vlen_of(x) != btf_vlen_of(y))
		return 0;
	for (u32 i = 0; i < btf_vlen_of(x); i++) {
		int match = relo_types_match(a, btf_params_of(x)[i].type, b, btf_params_of(y)[i].type, behind_pointer, level - 1);

		if (match <= 0)
			return match;
	}
	return 1;
}

int relo_types_match(const struct btf *a, u32 a_id, const struct btf *b, u32 b_id, bool behind_pointer, u32 level)
{
	for (u32 depth = 0; level && depth < RELO_DEPTH; depth++) {
		const struct btf_type *x = btf_skip_modifiers(a, a_id, NULL), *y = btf_skip_modifiers(b, b_id, NULL);
		u32 kind = btf_kind_of(x);
		int match;

		if (!type_names_match(btf_name_of(a, x), btf_name_of(b, y)))
			return 0;
		if (kind == BTF_KIND_FWD)
			return forwards_match(x, y, behind_pointer);
		if (btf_is_enum_any(x))
			return btf_is_enum_any(y) ? enums_match(a, x, b, y) : 0;
		if (btf_is_struct(x))
			return structs_match(a, x, b, y, behind_pointer, level);
		if (kind != btf_kind_of(y))
			return 0;
		switch (kind) {
		case BTF_KIND_UNKN: return 1;
		case BTF_KIND_INT: return x->size == y->size && !((BTF_INT_ENCODING(int_word(x)) ^ BTF_INT_ENCODING(int_word(y))) & BTF_INT_SIGNED);
		case BTF_KIND_PTR:
			behind_pointer = true;
			a_id = x->type;
			b_id = y->type;
			continue;
		case BTF_KIND_ARRAY:
			if (btf_array_of(x)->nelems != btf_array_of(y)->nelems)
				return 0;
			a_id = btf_array_of(x)->type;
			b_id = btf_array_of(y)->type;
			continue;
		case BTF_KIND_FUNC_PROTO:
			match = params_match(a, x, b, y, behind_pointer, level);
			if (match <= 0)
				return match;
			a_id = x->type;
			b_id = y->type;
			continue;
		default: return 0;
		}
	}
	return -EINVAL;
}
