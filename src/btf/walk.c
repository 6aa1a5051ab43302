/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses through a pointer to a type, as Linux judges them: a load lies in one member, in an array of numbers, in bit fields that it
 * covers whole, or it is a whole pointer. What was reached through a union of several members is not trusted.
 */
#include "btf/btf.h"

#include <stdio.h>

enum { MOST_DEPTH = 64 }; /* of structs in structs: a file may claim that one holds itself */

struct walk {
	const struct btf *b;
	struct text *log;
	bool flexible; /* past the end of a struct whose last member is an array without bound */
	u32 size; /* of the access */
	u32 depth;
	struct btf_walk *out;
};

PRINTF_LIKE(3, 4) static int refuse(const struct walk *w, int err, const char *fmt, ...)
{
	va_list ap;

	if (w->log) {
		va_start(ap, fmt);
		text_addv(w->log, fmt, ap);
		va_end(ap);
		text_add(w->log, "\n");
	}
	return err;
}

static const char *type_name(const struct btf *b, const struct btf_type *t)
{
	return t && t->name_off ? btf_string(b, t->name_off) : "(anon)";
}

static const char *member_name(const struct btf *b, const struct btf_member *m)
{
	return m->name_off ? btf_string(b, m->name_off) : "(anon)";
}

/* What an access behind the end of t falls into, where its last member is an array of structs without bound: *off becomes relative to
 * an element. 1: go on with *t; 0: a number; -EACCES. */
static int beyond(const struct walk *w, const struct btf_type **t, s64 *off)
{
	const struct btf_type *s = *t, *last, *elem;
	const struct btf_member *m;
	s64 at;

	if (!w->flexible || !btf_vlen_of(s))
		return -EACCES;
	m = btf_members_of(s) + btf_vlen_of(s) - 1;
	last = btf_skip_modifiers(w->b, m->type, NULL);
	at = btf_member_bits(s, m) / 8;
	if (btf_kind_of(last) != BTF_KIND_ARRAY || btf_array_of(last)->nelems || *off < at)
		return -EACCES;
	elem = btf_skip_modifiers(w->b, btf_array_of(last)->type, NULL);
	if (btf_is_int(elem))
		return 0;
	if (!btf_is_struct(elem) || !elem->size)
		return -EACCES;
	*t = elem;
	*off = (*off - at) % elem->size;
	return 1;
}

static int pointer(struct walk *w, const struct btf_type *ptr)
{
	const struct btf_type *tag = btf_type(w->b, ptr->type), *to;
	u32 id;

	to = btf_skip_modifiers(w->b, ptr->type, &id);
	if (!btf_is_struct(to)) {
		w->out->kind = BTF_WALK_MEM;
		w->out->flags = BTF_PTR_RDONLY | BTF_PTR_UNTRUSTED;
		return 0;
	}
	if (btf_has_tag(w->b, tag, "user"))
		w->out->flags |= BTF_PTR_USER;
	if (btf_has_tag(w->b, tag, "percpu"))
		w->out->flags |= BTF_PTR_PERCPU;
	if (btf_has_tag(w->b, tag, "rcu"))
		w->out->flags |= BTF_PTR_RCU;
	w->out->kind = BTF_WALK_PTR;
	w->out->id = id;
	return 0;
}

static int scalar(struct walk *w)
{
	w->out->kind = BTF_WALK_SCALAR;
	return 0;
}

enum found { NOT_HERE = 1, INSIDE = 2, AND_NO_LATER = 3 };

/* Is the access in this member? 0 or -errno: that is the answer; INSIDE: go on in *t at *off. */
static int in_member(struct walk *w, const struct btf_type **t, const struct btf_member *m, s64 *off)
{
	const struct btf_type *s = *t, *type;
	s64 at = btf_member_bits(s, m) / 8, end;
	u32 bits = btf_member_bitfield(s, m), size;
	struct btf_extent e;

	if (*off + w->size <= at)
		return AND_NO_LATER;
	if (bits) /* only as a whole: a part is looked for in the members behind it */
		return *off <= at && (btf_member_bits(s, m) + bits + 7) / 8 <= *off + w->size ? scalar(w) : NOT_HERE;
	if (*off < at)
		return AND_NO_LATER; /* a hole */
	if (btf_extent_of(w->b, m->type, &e))
		return refuse(w, -EFAULT, "field %s doesn't have size", member_name(w->b, m));
	end = at + e.size;
	if (*off >= end)
		return NOT_HERE;
	size = e.size / e.count;
	type = e.elem;
	if (btf_kind_of(e.type) == BTF_KIND_ARRAY)
		at += (*off - at) / size * size;
	if (btf_is_struct(type)) {
		*t = type;
		w->out->id = e.elem_id;
		*off -= at;
		return INSIDE;
	}
	if (btf_is_ptr(type)) {
		if (size != w->size || *off != at)
			return refuse(w, -EACCES, "cannot access ptr member %s with moff %u in struct %s with off %u size %u",
				      member_name(w->b, m), (u32)at, type_name(w->b, s), (u32)*off, w->size);
		w->out->field = member_name(w->b, m);
		return pointer(w, type);
	}
	if (*off + w->size > end && !(w->out->flags & BTF_PTR_UNTRUSTED))
		return refuse(w, -EACCES, "access beyond the end of member %s (mend:%u) in struct %s with off %u size %u",
			      member_name(w->b, m), (u32)end, type_name(w->b, s), (u32)*off, w->size);
	return scalar(w);
}

/* One step from t: to a number, a pointer, or the beginning of a struct in it. w->out->flags is kept. */
static int step(struct walk *w, const struct btf_type *t, s64 off)
{
	int r;

	while (w->depth++ < MOST_DEPTH) {
		if (btf_is_modifier(t))
			t = btf_skip_modifiers(w->b, t->type, NULL);
		if (!btf_is_struct(t))
			return refuse(w, -EINVAL, "Type '%s' is not a struct", type_name(w->b, t));
		if (btf_kind_of(t) == BTF_KIND_UNION && btf_vlen_of(t) != 1)
			w->out->flags |= BTF_PTR_UNTRUSTED;
		if (off < 0 || off + w->size > t->size) {
			const struct btf_type *s = t;
			s64 was = off;

			r = off < 0 ? -EACCES : beyond(w, &t, &off);
			if (r < 0)
				return refuse(w, r, "access beyond struct %s at off %u size %u", type_name(w->b, s), (u32)was, w->size);
			if (!r)
				return scalar(w);
			continue;
		}
		r = NOT_HERE;
		for (u32 i = 0; r == NOT_HERE && i < btf_vlen_of(t); i++) {
			const struct btf_type *s = t;

			r = in_member(w, &s, btf_members_of(t) + i, &off);
			if (r == INSIDE)
				t = s;
		}
		if (r == NOT_HERE || r == AND_NO_LATER)
			return refuse(w, -EINVAL, "struct %s doesn't have field at offset %d", type_name(w->b, t), (int)off);
		if (r != INSIDE)
			return r;
		if (off == 0) {
			w->out->kind = BTF_WALK_STRUCT;
			return 0;
		}
	}
	return -EINVAL;
}

int btf_struct_walk(const struct btf *b, u32 id, bool local, s64 off, u32 size, struct btf_walk *out, struct text *log)
{
	struct walk w = {b, log, !local, size, 0, out};

	*out = (struct btf_walk){0};
	return step(&w, btf_type(b, id), off);
}

int btf_struct_access(const struct btf *b, u32 id, bool local, s64 off, u32 size, struct btf_walk *out, struct text *log)
{
	const struct btf_record *r = local ? btf_meta(b, id) : NULL;
	struct walk w = {b, log, !local, size, 0, out};
	int err;

	*out = (struct btf_walk){0};
	for (u32 i = 0; r && i < r->n; i++)
		if (off < r->fields[i].offset + (s64)r->fields[i].size && r->fields[i].offset < off + size)
			return refuse(&w, -EACCES, "direct access to %s is disallowed", btf_field_name(r->fields[i].kind));
	for (;;) {
		err = step(&w, btf_type(b, id), off);
		if (err || out->kind != BTF_WALK_STRUCT)
			break;
		id = out->id;
		off = 0;
	}
	if (!err && local && out->kind == BTF_WALK_PTR)
		out->kind = BTF_WALK_SCALAR;
	return err;
}

s64 btf_member_find(const struct btf *b, u32 id, const char *member, u32 *type)
{
	struct {
		const struct btf_type *t;
		u32 next;
		s64 base;
	} path[MOST_DEPTH];
	u32 depth = 0;

	path[0].t = btf_skip_modifiers(b, id, NULL);
	path[0].next = 0;
	path[0].base = 0;
	if (!btf_is_struct(path[0].t))
		return -ENOENT;
	for (;;) {
		const struct btf_type *t = path[depth].t, *inner;
		const struct btf_member *m = btf_members_of(t) + path[depth].next;
		s64 at;

		if (path[depth].next++ == btf_vlen_of(t)) {
			if (!depth--)
				return -ENOENT;
			continue;
		}
		at = path[depth].base + btf_member_bits(t, m) / 8;
		if (m->name_off) {
			if (strcmp(btf_string(b, m->name_off), member))
				continue;
			if (type)
				*type = m->type;
			return at;
		}
		inner = btf_skip_modifiers(b, m->type, NULL);
		if (btf_is_struct(inner) && depth + 1 < MOST_DEPTH) {
			depth++;
			path[depth].t = inner;
			path[depth].next = 0;
			path[depth].base = at;
		}
	}
}
