/* SPDX-License-Identifier: BSD-2-Clause */
/* Are two types one? Kernel types by identity: two modules may name the same type of their common base. */
#include "btf/btf.h"

bool btf_types_same(const struct btf *a, u32 a_id, const struct btf *b, u32 b_id)
{
	return a_id == b_id && (a == b || btf_type(a, a_id) == btf_type(b, b_id));
}

bool btf_ids_match(const struct btf *b, u32 id, s64 off, const struct btf *need_btf, u32 need_id, bool strict, bool local, struct text *log)
{
	enum { MOST_DEPTH = 64 };
	struct btf_walk w;

	if (off == 0 && btf_types_same(b, id, need_btf, need_id))
		return true;
	if (strict)
		return false;
	for (u32 depth = 0; depth < MOST_DEPTH; depth++) {
		if (btf_struct_walk(b, id, local, off, 1, &w, log) || w.kind != BTF_WALK_STRUCT)
			return false;
		if (btf_types_same(b, w.id, need_btf, need_id))
			return true;
		id = w.id;
		off = 0;
	}
	return false;
}

/* "nf_conn___init" and "nf_conn": one may not be given where the other is asked for, although the second embeds nothing else. */
bool btf_nocast_alias(const struct btf *a, u32 a_id, const struct btf *b, u32 b_id)
{
	static const char suffix[] = "___init";
	const struct btf_type *x = btf_type(a, a_id), *y = btf_type(b, b_id);
	const char *shorter, *longer;
	size_t n;

	if (!x || !y)
		return false;
	shorter = btf_name_of(a, x);
	longer = btf_name_of(b, y);
	if (strlen(shorter) > strlen(longer)) {
		const char *swap = shorter;

		shorter = longer;
		longer = swap;
	}
	n = strlen(shorter);
	return strlen(longer) == n + sizeof(suffix) - 1 && !strncmp(shorter, longer, n) && !strcmp(longer + n, suffix);
}

/* ---- prototypes of a program's extension and of what it replaces ---- */

struct func {
	const struct btf *b;
	const char *name;
	const struct btf_type *proto;
};

static const struct btf_type *arg_type(const struct func *f, u32 i)
{
	return btf_skip_modifiers(f->b, btf_params_of(f->proto)[i].type, NULL);
}

static const char *kind_name(const struct btf_type *t)
{
	return btf_kind_name(btf_kind_of(t));
}

static bool has_size(const struct btf_type *t)
{
	return btf_is_scalar(t) || btf_is_struct(t) || btf_kind_of(t) == BTF_KIND_FLOAT;
}

static int match_arg(const struct func *f, const struct func *g, u32 i, struct text *log)
{
	const struct btf_type *x = arg_type(f, i), *y = arg_type(g, i);
	const char *xn, *yn;

	if (!x || !y || x->info != y->info)
		return text_refuse(log, -EINVAL, "arg%u in %s() is %s while %s() has %s", i, f->name, kind_name(x), g->name, kind_name(y));
	if (has_size(x) && x->size != y->size)
		return text_refuse(log, -EINVAL, "arg%u in %s() has size %u while %s() has %u", i, f->name, x->size, g->name, y->size);
	if (btf_is_scalar(x))
		return 0;
	if (!btf_is_ptr(x))
		return text_refuse(log, -EINVAL, "arg%u in %s() has unrecognized type", i, f->name);
	x = btf_skip_modifiers(f->b, x->type, NULL);
	y = btf_skip_modifiers(g->b, y->type, NULL);
	if (!btf_is_struct(x))
		return text_refuse(log, -EINVAL, "arg%u in %s() is not a pointer to context", i, f->name);
	if (!btf_is_struct(y))
		return text_refuse(log, -EINVAL, "arg%u in %s() is not a pointer to context", i, g->name);
	xn = btf_name_of(f->b, x);
	yn = btf_name_of(g->b, y);
	if (strcmp(xn, yn))
		return text_refuse(log, -EINVAL, "arg%u %s(struct %s *) doesn't match %s(struct %s *)", i, f->name, xn, g->name, yn);
	return 0;
}

int btf_funcs_match(const struct btf *a, u32 a_id, const struct btf *b, u32 b_id, struct text *log)
{
	struct func f = {a, btf_name_of(a, btf_type(a, a_id)), btf_func_proto(a, a_id)};
	struct func g = {b, btf_name_of(b, btf_type(b, b_id)), btf_func_proto(b, b_id)};
	const struct btf_type *x, *y;
	u32 n;

	if (!f.proto || !g.proto)
		return -EFAULT;
	if (btf_func_linkage(a, a_id) != BTF_FUNC_GLOBAL)
		return text_refuse(log, -EINVAL, "%s() is not a global function", f.name);
	if (btf_func_linkage(b, b_id) != BTF_FUNC_GLOBAL)
		return text_refuse(log, -EINVAL, "%s() is not a global function", g.name);
	n = btf_vlen_of(f.proto);
	if (n != btf_vlen_of(g.proto))
		return text_refuse(log, -EINVAL, "%s() has %u args while %s() has %u args", f.name, n, g.name, btf_vlen_of(g.proto));
	x = btf_skip_modifiers(a, f.proto->type, NULL);
	y = btf_skip_modifiers(b, g.proto->type, NULL);
	if ((x ? x->info : 0) != (y ? y->info : 0))
		return text_refuse(log, -EINVAL, "Return type %s of %s() doesn't match type %s of %s()", kind_name(x), f.name, kind_name(y), g.name);
	for (u32 i = 0; i < n; i++) {
		int err = match_arg(&f, &g, i, log);

		if (err)
			return err;
	}
	return 0;
}
