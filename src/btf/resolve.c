/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What types refer to. A depth-first walk from each type that is not known yet: a type met twice on one path contains itself. What ends
 * a path depends on where it began: from a pointer anything but modifiers and pointers does, from a struct or array also a
 * pointer. So a chain of pointers that returns is found, and a struct may point to itself.
 */
#include "btf/check.h"

enum { UNSEEN, ON_PATH, RESOLVED };

/* ---- kinds ---- */

static bool missing(const struct btf_type *t, u32 id)
{
	return !t && id;
}

/* Types that others cannot refer to (DECL_TAG, and DATASEC to VAR, apart). */
static bool source_only(const struct btf_type *t)
{
	u32 kind = btf_kind_of(t);

	return kind == BTF_KIND_VAR || kind == BTF_KIND_DECL_TAG || kind == BTF_KIND_DATASEC;
}

static bool sizeless(const struct btf_type *t)
{
	u32 kind = btf_kind_of(t);

	return kind == BTF_KIND_UNKN || kind == BTF_KIND_FWD || kind == BTF_KIND_FUNC || kind == BTF_KIND_FUNC_PROTO || kind == BTF_KIND_DECL_TAG;
}

static bool refers(const struct btf_type *t)
{
	u32 kind = btf_kind_of(t);

	return btf_is_modifier(t) || btf_is_ptr(t) || btf_is_struct(t) || kind == BTF_KIND_ARRAY || kind == BTF_KIND_VAR || kind == BTF_KIND_FUNC ||
	       kind == BTF_KIND_DECL_TAG || kind == BTF_KIND_DATASEC;
}

static bool ends_path(const struct btf_check *c, const struct btf_type *t)
{
	switch (c->mode) {
	case BTF_MODE_PTR: return !btf_is_modifier(t) && !btf_is_ptr(t);
	case BTF_MODE_WHOLE: return !btf_is_modifier(t) && btf_kind_of(t) != BTF_KIND_ARRAY && !btf_is_struct(t);
	case BTF_MODE_ANY: break;
	}
	return !refers(t);
}

/* ---- the path ---- */

/* 1: pushed; -E2BIG, -EEXIST */
static int push(struct btf_check *c, const struct btf_type *t, u32 id)
{
	if (c->depth == BTF_MOST_DEPTH)
		return -E2BIG;
	if (c->state[id] != UNSEEN)
		return -EEXIST;
	c->state[id] = ON_PATH;
	c->stack[c->depth++] = (struct btf_step){id, 0};
	if (c->mode == BTF_MODE_ANY && btf_is_ptr(t))
		c->mode = BTF_MODE_PTR;
	else if (c->mode == BTF_MODE_ANY && (btf_is_struct(t) || btf_kind_of(t) == BTF_KIND_ARRAY))
		c->mode = BTF_MODE_WHOLE;
	return 1;
}

static int pop(struct btf_check *c, u32 resolved_id, u32 resolved_size)
{
	u32 id = c->stack[--c->depth].id;

	c->resolved_id[id] = resolved_id;
	c->resolved_size[id] = resolved_size;
	c->state[id] = RESOLVED;
	return 0;
}

/* 0: id needs no step; 1: it was pushed and must be looked at first; -errno */
static int first(struct btf_check *c, const struct btf_type *t, u32 id)
{
	return ends_path(c, t) || c->state[id] == RESOLVED ? 0 : push(c, t, id);
}

/* Follows what is resolved to a type with a size. False: it has none, and *id stays. */
static bool sized(const struct btf_check *c, u32 *id, u32 *size)
{
	const struct btf_type *t = btf_type(c->b, *id);
	u32 to = *id;

	if (btf_is_modifier(t) || btf_kind_of(t) == BTF_KIND_VAR) {
		to = c->resolved_id[to];
		t = btf_type(c->b, to);
	}
	if (sizeless(t) || btf_is_modifier(t) || btf_kind_of(t) == BTF_KIND_VAR)
		return false;
	if (size)
		*size = btf_kind_of(t) == BTF_KIND_ARRAY ? c->resolved_size[to] : btf_is_ptr(t) ? 8 : t->size;
	*id = to;
	return true;
}

/* A modifier may have been resolved only as far as a pointer: go on from there. */
static int past_modifier(struct btf_check *c, const struct btf_type *t, u32 id)
{
	u32 to = btf_is_modifier(t) ? c->resolved_id[id] : 0;
	const struct btf_type *ptr = to ? btf_type(c->b, to) : NULL;

	return btf_is_ptr(ptr) ? first(c, ptr, to) : 0;
}

/* ---- references ---- */

static int resolve_reference(struct btf_check *c, const struct btf_type *t)
{
	u32 id = t->type;
	const struct btf_type *to = btf_type(c->b, id);
	bool var = btf_kind_of(t) == BTF_KIND_VAR;
	int r;

	if (missing(to, id) || source_only(to))
		return btf_log_type(c, t, "Invalid type_id");
	r = first(c, to, id);
	if (!r && !btf_is_modifier(t))
		r = past_modifier(c, to, id);
	if (r)
		return MIN(r, 0);
	if (!sized(c, &id, NULL)) {
		if (c->state[id] == RESOLVED)
			id = c->resolved_id[id];
		to = btf_type(c->b, id);
		if (var || (to && btf_kind_of(to) != BTF_KIND_FWD && btf_kind_of(to) != BTF_KIND_FUNC_PROTO))
			return btf_log_type(c, t, "Invalid type_id");
	}
	return pop(c, id, 0);
}

static int resolve_array(struct btf_check *c, const struct btf_type *t)
{
	const struct btf_array *a = btf_array_of(t);
	u32 index = a->index_type, elem = a->type, size = 0;
	const struct btf_type *x = btf_type(c->b, index);
	int r;

	if (sizeless(x) || source_only(x))
		return btf_log_type(c, t, "Invalid index");
	r = first(c, x, index);
	if (r)
		return MIN(r, 0);
	if (!sized(c, &index, NULL) || !btf_regular_int(btf_type(c->b, index)))
		return btf_log_type(c, t, "Invalid index");
	x = btf_type(c->b, elem);
	if (sizeless(x) || source_only(x))
		return btf_log_type(c, t, "Invalid elem");
	r = first(c, x, elem);
	if (r)
		return MIN(r, 0);
	if (!sized(c, &elem, &size))
		return btf_log_type(c, t, "Invalid elem");
	x = btf_type(c->b, elem);
	if (btf_is_int(x) && !btf_regular_int(x))
		return btf_log_type(c, t, "Invalid array of int");
	if (a->nelems && size > UINT32_MAX / a->nelems)
		return btf_log_type(c, t, "Array size overflows U32_MAX");
	return pop(c, elem, size * a->nelems);
}

/* ---- members ---- */

bool btf_regular_int(const struct btf_type *t)
{
	u32 v, bytes;

	if (!btf_is_int(t))
		return false;
	v = *(const u32 *)(t + 1);
	bytes = (BTF_INT_BITS(v) + 7) / 8;
	return BTF_INT_BITS(v) % 8 == 0 && !BTF_INT_OFFSET(v) && (bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8 || bytes == 16);
}

static u32 round_up_bytes(u32 bits)
{
	return bits / 8 + (bits % 8 != 0);
}

static int beyond(struct btf_check *c, const struct btf_type *s, const struct btf_member *m)
{
	return btf_log_member(c, s, m, "Member exceeds struct_size");
}

static int fits_bits(struct btf_check *c, const struct btf_type *s, const struct btf_member *m, u32 off, u32 bits)
{
	u32 copied = bits + off % 8;

	if (copied > 128)
		return btf_log_member(c, s, m, "nr_copy_bits exceeds 128");
	return s->size < off / 8 || s->size - off / 8 < round_up_bytes(copied) ? beyond(c, s, m) : 0;
}

static int int_member(struct btf_check *c, const struct btf_type *s, const struct btf_member *m, const struct btf_type *t)
{
	u32 v = *(const u32 *)(t + 1), off = btf_member_bits(s, m), bits = BTF_INT_BITS(v);

	if (!BTF_INFO_KFLAG(s->info)) {
		if (UINT32_MAX - off < BTF_INT_OFFSET(v))
			return btf_log_member(c, s, m, "bits_offset exceeds U32_MAX");
		return fits_bits(c, s, m, off + BTF_INT_OFFSET(v), bits);
	}
	if (!btf_regular_int(t))
		return btf_log_member(c, s, m, "Invalid member base type");
	if (!btf_member_bitfield(s, m)) {
		if (off % 8)
			return btf_log_member(c, s, m, "Invalid member offset");
	} else if (btf_member_bitfield(s, m) > bits) {
		return btf_log_member(c, s, m, "Invalid member bitfield_size");
	} else {
		bits = btf_member_bitfield(s, m);
	}
	return fits_bits(c, s, m, off, bits);
}

/* An enum as a bit field is one of an int. */
static int enum_bitfield(struct btf_check *c, const struct btf_type *s, const struct btf_member *m)
{
	u32 off = btf_member_bits(s, m), bits = btf_member_bitfield(s, m);

	if (!bits) {
		if (off % 8)
			return btf_log_member(c, s, m, "Member is not byte aligned");
		bits = 32;
	} else if (bits > 32) {
		return btf_log_member(c, s, m, "Invalid member bitfield_size");
	}
	return s->size < round_up_bytes(off + bits) ? beyond(c, s, m) : 0;
}

static int float_member(struct btf_check *c, const struct btf_type *s, const struct btf_member *m, const struct btf_type *t)
{
	u32 off = btf_member_bits(s, m), align = MIN(8u, t->size) * 8;

	if (off % align)
		return btf_log_member(c, s, m, "Member is not properly aligned");
	return (u64)off / 8 + t->size > s->size ? beyond(c, s, m) : 0;
}

static int check_member(struct btf_check *c, const struct btf_type *s, const struct btf_member *given)
{
	struct btf_member resolved = *given, *m = &resolved; /* of which the log tells */
	const struct btf_type *t = btf_type(c->b, m->type);
	u32 off = btf_member_bits(s, m), id = m->type, size = 0;

	if (btf_is_modifier(t)) {
		if (!sized(c, &m->type, NULL))
			return btf_log_member(c, s, m, "Invalid member");
		id = m->type;
		t = btf_type(c->b, id);
	}
	if (btf_is_int(t))
		return int_member(c, s, m, t);
	if (btf_is_enum_any(t) && BTF_INFO_KFLAG(s->info))
		return enum_bitfield(c, s, m);
	if (btf_member_bitfield(s, m))
		return btf_log_member(c, s, m, "Invalid member bitfield_size");
	if (btf_kind_of(t) == BTF_KIND_FLOAT)
		return float_member(c, s, m, t);
	if (source_only(t) || !sized(c, &id, &size))
		return btf_log_basic(c, s, "Unsupported check_member");
	if (off % 8)
		return btf_log_member(c, s, m, "Member is not byte aligned");
	return s->size - off / 8 < size ? beyond(c, s, m) : 0;
}

static int resolve_struct(struct btf_check *c, const struct btf_type *t)
{
	struct btf_step *s = &c->stack[c->depth - 1];

	for (u32 i = s->next ? s->next - 1 : 0; i < btf_vlen_of(t); i++) {
		const struct btf_member *m = btf_members_of(t) + i;
		const struct btf_type *x = btf_type(c->b, m->type);
		int r;

		if (i >= s->next) { /* otherwise it has just been resolved */
			if (sizeless(x) || source_only(x))
				return btf_log_member(c, t, m, "Invalid member");
			r = ends_path(c, x) || c->state[m->type] == RESOLVED;
			if (!r) {
				s->next = i + 1;
				return MIN(push(c, x, m->type), 0);
			}
		}
		r = check_member(c, t, m);
		if (r)
			return r;
	}
	return pop(c, 0, 0);
}

/* ---- the rest ---- */

static int resolve_section(struct btf_check *c, const struct btf_type *t)
{
	const struct btf_var_secinfo *v = (const struct btf_var_secinfo *)(t + 1);
	struct btf_step *s = &c->stack[c->depth - 1];

	c->mode = BTF_MODE_ANY;
	for (u32 i = s->next; i < btf_vlen_of(t); i++) {
		const struct btf_type *var = btf_type(c->b, v[i].type);
		u32 id, size = 0;

		if (btf_kind_of(var) != BTF_KIND_VAR)
			return btf_log_var(c, t, &v[i], "Not a VAR kind member");
		if (c->state[v[i].type] != RESOLVED) {
			s->next = i + 1;
			return MIN(push(c, var, v[i].type), 0);
		}
		id = var->type;
		if (!sized(c, &id, &size))
			return btf_log_var(c, t, &v[i], "Invalid type");
		if (v[i].size < size)
			return btf_log_var(c, t, &v[i], "Invalid size");
	}
	return pop(c, 0, 0);
}

static int resolve_func(struct btf_check *c, const struct btf_type *t)
{
	const struct btf_type *proto = btf_type(c->b, t->type);

	if (btf_kind_of(proto) != BTF_KIND_FUNC_PROTO)
		return btf_log_type(c, t, "Invalid type_id");
	for (u32 i = 0; i < btf_vlen_of(proto); i++)
		if (!btf_params_of(proto)[i].name_off && btf_params_of(proto)[i].type)
			return btf_log_type(c, t, "Invalid arg#%u", i + 1);
	return pop(c, t->type, 0);
}

static int resolve_tag(struct btf_check *c, const struct btf_type *t)
{
	const struct btf_type *to = btf_type(c->b, t->type);
	u32 kind = btf_kind_of(to), component = (u32)((const struct btf_decl_tag *)(t + 1))->component_idx;
	int r;

	if (kind != BTF_KIND_FUNC && !btf_is_struct(to) && kind != BTF_KIND_VAR && kind != BTF_KIND_TYPEDEF)
		return btf_log_type(c, t, "Invalid type_id");
	r = first(c, to, t->type);
	if (r)
		return MIN(r, 0);
	if (component != UINT32_MAX) {
		if (kind == BTF_KIND_VAR || kind == BTF_KIND_TYPEDEF)
			return btf_log_type(c, t, "Invalid component_idx");
		if (component >= btf_vlen_of(kind == BTF_KIND_FUNC ? btf_type(c->b, to->type) : to))
			return btf_log_type(c, t, "Invalid component_idx");
	}
	return pop(c, t->type, 0);
}

static int resolve_one(struct btf_check *c, const struct btf_type *t)
{
	switch (btf_kind_of(t)) {
	case BTF_KIND_ARRAY: return resolve_array(c, t);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: return resolve_struct(c, t);
	case BTF_KIND_FUNC: return resolve_func(c, t);
	case BTF_KIND_DATASEC: return resolve_section(c, t);
	case BTF_KIND_DECL_TAG: return resolve_tag(c, t);
	default: return resolve_reference(c, t);
	}
}

static int resolve_from(struct btf_check *c, const struct btf_type *t, u32 id)
{
	u32 was = c->id;
	int err = 0;

	c->mode = BTF_MODE_ANY;
	push(c, t, id);
	while (!err && c->depth) {
		c->id = c->stack[c->depth - 1].id;
		err = resolve_one(c, btf_type(c->b, c->id));
	}
	c->id = id;
	if (err == -E2BIG)
		btf_log_type(c, t, "Exceeded max resolving depth:%u", (u32)BTF_MOST_DEPTH);
	else if (err == -EEXIST)
		btf_log_type(c, t, "Loop detected");
	c->id = was;
	return err;
}

static int ensure(struct btf_check *c, const struct btf_type *t, u32 id)
{
	return refers(t) && c->state[id] != RESOLVED ? resolve_from(c, t, id) : 0;
}

static int check_proto(struct btf_check *c, const struct btf_type *t)
{
	const struct btf_param *p = btf_params_of(t);
	u32 n = btf_vlen_of(t), id = t->type;
	const struct btf_type *x = btf_type(c->b, id);
	int err;

	if (id) {
		if (!x || source_only(x))
			return btf_log_type(c, t, "Invalid return type");
		err = ensure(c, x, id);
		if (err)
			return err;
		if (!sized(c, &id, NULL))
			return btf_log_type(c, t, "Invalid return type");
	}
	if (n && !p[n - 1].type) {
		if (p[n - 1].name_off)
			return btf_log_type(c, t, "Invalid arg#%u", n);
		n--;
	}
	for (u32 i = 0; i < n; i++) {
		id = p[i].type;
		x = btf_type(c->b, id);
		if (missing(x, id) || source_only(x) || (p[i].name_off && !btf_identifier(c->b, p[i].name_off)))
			return btf_log_type(c, t, "Invalid arg#%u", i + 1);
		err = ensure(c, x, id);
		if (err)
			return err;
		if (!sized(c, &id, NULL))
			return btf_log_type(c, t, "Invalid arg#%u", i + 1);
	}
	return 0;
}

int btf_resolve_all(struct btf_check *c)
{
	struct btf *b = c->b;
	u32 n = b->n_types;
	u8 *memory = mem_array(b->mem, n, 2 * sizeof(u32) + 1);
	int err = memory ? 0 : -ENOMEM;

	c->resolved_id = (u32 *)(void *)memory;
	c->resolved_size = c->resolved_id + n;
	c->state = (u8 *)(c->resolved_size + n);
	for (u32 id = 1; id < n && !err; id++) {
		const struct btf_type *t = b->types[id];

		c->id = id;
		err = ensure(c, t, id);
		if (!err && btf_kind_of(t) == BTF_KIND_FUNC_PROTO)
			err = check_proto(c, t);
	}
	mem_free(b->mem, memory, (size_t)n * (2 * sizeof(u32) + 1));
	return err;
}
