/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths of CO-RE relocations. An access string is a list of numbers: the element of the pointer that is followed, then members and elements by
 * index ("0:1:2"). In the kernel's type members are looked for by name instead, through structs and unions that have none, and elements by index.
 */
#include "btf/relo.h"

#include <linux/bpf.h>
#include <stdlib.h>

static struct relo_step *add_step(struct relo_path *p, u32 type, u32 index, const char *name)
{
	p->step[p->n] = (struct relo_step){type, index, name};
	return &p->step[p->n++];
}

/* An array without a size at the end of a struct has as many elements as one asks for. */
static bool is_flexible(const struct relo_path *p, const struct btf_array *a)
{
	const struct relo_step *last = &p->step[p->n - 1];

	return last->name && !a->nelems && last->index == btf_vlen_of(btf_type(p->btf, last->type)) - 1;
}

static int add_element(struct relo_path *p, u32 type, u32 index)
{
	s64 size = btf_size(p->btf, type);

	add_step(p, type, index, NULL);
	if (size < 0)
		return (int)size;
	p->bits += (u32)(index * (u64)size * 8);
	return 0;
}

/* ---- the program's side ---- */

static int read_numbers(struct relo_path *p, const char *s)
{
	while (*s) {
		char *end;
		long n;

		s += *s == ':';
		if ((*s < '0' || *s > '9') && *s != '-' && *s != '+' && *s != ' ')
			return -EINVAL;
		n = strtol(s, &end, 10);
		if (end == s || n < 0 || n > INT32_MAX)
			return -EINVAL;
		if (p->n_raw == RELO_STEPS)
			return -E2BIG;
		p->raw[p->n_raw++] = (u32)n;
		s = end;
	}
	return p->n_raw ? 0 : -EINVAL;
}

static int read_member(struct relo_path *p, const struct btf_type *t, u32 *id, u32 index)
{
	const struct btf_member *m = btf_members_of(t) + index;
	const char *name;

	if (index >= btf_vlen_of(t))
		return -EINVAL;
	name = btf_string(p->btf, m->name_off);
	p->bits += btf_member_bits(t, m);
	if (*name)
		add_step(p, *id, index, name);
	*id = m->type;
	return 0;
}

static int read_element(struct relo_path *p, const struct btf_type *t, u32 *id, u32 index)
{
	const struct btf_array *a = btf_array_of(t);

	if (!is_flexible(p, a) && index >= a->nelems)
		return -EINVAL;
	btf_skip_modifiers(p->btf, a->type, id);
	return add_element(p, *id, index);
}

static const char *value_name(const struct relo_path *p, const struct btf_type *t, u32 i)
{
	return btf_string(p->btf, ((const u32 *)(t + 1))[i * (btf_kind_of(t) == BTF_KIND_ENUM64 ? 3 : 2)]);
}

static int read_value(struct relo_path *p, const struct btf_type *t, u32 id)
{
	if (!btf_is_enum_any(t) || p->n_raw > 1 || p->raw[0] >= btf_vlen_of(t))
		return -EINVAL;
	add_step(p, id, p->raw[0], value_name(p, t, p->raw[0]));
	return 0;
}

int relo_path_read(struct relo_path *p, const struct btf *b, const struct bpf_core_relo *r, struct text *log)
{
	const char *s = btf_string(b, r->access_str_off);
	const struct btf_type *t;
	u32 id;
	int err;

	*p = (struct relo_path){.btf = b, .root = r->type_id, .kind = r->kind};
	if (!*s || *s == ':')
		return -EINVAL;
	if (relo_about(r->kind) == ABOUT_TYPE)
		return strcmp(s, "0") ? -EINVAL : 0;
	err = read_numbers(p, s);
	if (err)
		return err;
	t = btf_skip_modifiers(b, r->type_id, &id);
	if (relo_about(r->kind) == ABOUT_VALUE)
		return read_value(p, t, id);
	if (relo_about(r->kind) != ABOUT_FIELD)
		return -EINVAL;
	err = add_element(p, id, p->raw[0]);
	for (u32 i = 1; i < p->n_raw && !err; i++) {
		t = btf_skip_modifiers(b, id, &id);
		if (!btf_is_struct(t) && btf_kind_of(t) != BTF_KIND_ARRAY) {
			/* where the access string would stand, Linux has what is left of it: nothing */
			text_addf(log, "prog '': relo for [%u]  (at idx %u) captures type [%u] of unexpected kind %s\n", r->type_id, i, id, btf_kind_name(btf_kind_of(t)));
			return -EINVAL;
		}
		err = btf_is_struct(t) ? read_member(p, t, &id, p->raw[i]) : read_element(p, t, &id, p->raw[i]);
	}
	return err;
}

/* ---- the kernel's side ---- */

static int find_member(const struct relo_path *want, const struct relo_step *step, struct relo_path *p, u32 *id)
{
	const struct btf_member *member = btf_members_of(btf_type(want->btf, step->type)) + step->index;
	u32 in;
	const struct btf_type *t = btf_skip_modifiers(p->btf, *id, &in);

	if (!btf_is_struct(t))
		return 0;
	for (u32 i = 0; i < btf_vlen_of(t); i++) {
		const struct btf_member *m = btf_members_of(t) + i;
		const char *name = btf_string(p->btf, m->name_off);
		u32 before = p->bits;
		int found = 0;

		if (p->n_raw == RELO_STEPS)
			return -E2BIG;
		p->bits += btf_member_bits(t, m);
		p->raw[p->n_raw++] = i;
		if (!*name) {
			*id = m->type;
			found = find_member(want, step, p, id);
			if (found)
				return found;
		} else if (!strcmp(name, step->name)) {
			*id = m->type;
			found = relo_fields_fit(want->btf, member->type, p->btf, m->type);
			if (found)
				add_step(p, in, i, name);
			return found;
		}
		p->bits = before;
		p->n_raw--;
	}
	return 0;
}

static int find_element(const struct relo_step *step, struct relo_path *p, bool first, u32 *id)
{
	u32 in;
	const struct btf_type *t = btf_skip_modifiers(p->btf, *id, &in);
	int err;

	*id = in;
	if (!first) {
		if (btf_kind_of(t) != BTF_KIND_ARRAY || (!is_flexible(p, btf_array_of(t)) && step->index >= btf_array_of(t)->nelems))
			return 0;
		btf_skip_modifiers(p->btf, btf_array_of(t)->type, id);
	}
	if (p->n_raw == RELO_STEPS)
		return -E2BIG;
	p->raw[p->n_raw++] = step->index;
	err = add_element(p, *id, step->index);
	return err ? err : 1;
}

static int find_value(const struct relo_path *want, struct relo_path *p, u32 id)
{
	const struct btf_type *t = btf_skip_modifiers(p->btf, id, &id);

	for (u32 i = 0; btf_is_enum_any(t) && i < btf_vlen_of(t); i++)
		if (relo_names_equal(want->step[0].name, value_name(p, t, i))) {
			add_step(p, id, i, value_name(p, t, i));
			p->raw[p->n_raw++] = i;
			return 1;
		}
	return 0;
}

int relo_path_find(const struct relo_path *want, const struct btf *b, u32 id, struct relo_path *out)
{
	int found = 1;

	*out = (struct relo_path){.btf = b, .root = id, .kind = want->kind};
	if (want->kind == BPF_CORE_TYPE_MATCHES)
		return relo_types_match(want->btf, want->root, b, id, false, RELO_NESTED);
	if (relo_about(want->kind) == ABOUT_TYPE)
		return relo_types_fit(want->btf, want->root, b, id, RELO_NESTED);
	if (relo_about(want->kind) == ABOUT_VALUE)
		return find_value(want, out, id);
	for (u32 i = 0; i < want->n && found > 0; i++) {
		const struct relo_step *step = &want->step[i];

		found = step->name ? find_member(want, step, out, &id) : find_element(step, out, i == 0, &id);
	}
	return found;
}

/* ---- in words ---- */

static void print_value(struct text *t, const struct relo_path *p)
{
	const struct btf_type *e = btf_skip_modifiers(p->btf, p->root, NULL);
	bool wide = btf_kind_of(e) == BTF_KIND_ENUM64, is_signed = btf_is_enum_any(e) && BTF_INFO_KFLAG(e->info);
	const u32 *w;

	if (!btf_is_enum_any(e) || p->raw[0] >= btf_vlen_of(e))
		return;
	w = (const u32 *)(e + 1) + p->raw[0] * (wide ? 3u : 2u);
	text_addf(t, "::%s = ", btf_string(p->btf, w[0]));
	if (is_signed)
		text_addf(t, "%lld", wide ? (long long)((u64)w[2] << 32 | w[1]) : (long long)(s32)w[1]);
	else
		text_addf(t, "%llu", wide ? (unsigned long long)((u64)w[2] << 32 | w[1]) : (unsigned long long)w[1]);
}

static void print_field(struct text *t, const struct relo_path *p)
{
	for (u32 i = 0; i < p->n; i++) {
		if (p->step[i].name)
			text_addf(t, ".%s", p->step[i].name);
		else if (i || p->step[i].index)
			text_addf(t, "[%u]", p->step[i].index);
	}
	text_add(t, " (");
	for (u32 i = 0; i < p->n_raw; i++)
		text_addf(t, "%s%u", i ? ":" : "", p->raw[i]);
	text_addf(t, " @ offset %u", p->bits / 8);
	if (p->bits % 8)
		text_addf(t, ".%u", p->bits % 8);
	text_add(t, ")");
}

void relo_path_print(struct text *t, const struct relo_path *p)
{
	const struct btf_type *root = btf_type(p->btf, p->root);
	const char *name = btf_name_of(p->btf, root);

	text_addf(t, "<%s> [%u] %s %s", relo_kind_name(p->kind), p->root, btf_kind_name(btf_kind_of(root)), *name ? name : "<anon>");
	if (relo_about(p->kind) == ABOUT_VALUE)
		print_value(t, p);
	else if (relo_about(p->kind) == ABOUT_FIELD)
		print_field(t, p);
}
