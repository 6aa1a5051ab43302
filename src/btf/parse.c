/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parsing and checking BTF. Three passes: lengths and names (so that types can be indexed), references, and cycles: a type may
 * refer to itself only through a pointer or a function.
 */
#include "btf/btf.h"

#include <stdio.h>

enum { MOST_TYPES = 1 << 20, MOST_DEPTH = 32 };

struct check {
	struct btf *b;
	struct text *log;
	u32 id; /* type being looked at */
};

PRINTF_LIKE(2, 3) static int refuse(struct check *c, const char *fmt, ...)
{
	va_list ap;

	if (c->log) {
		if (c->id)
			text_addf(c->log, "[%u] ", c->id);
		va_start(ap, fmt);
		text_addv(c->log, fmt, ap);
		va_end(ap);
		text_add(c->log, "\n");
	}
	return -EINVAL;
}

static u32 kind_of(const struct btf_type *t)
{
	return BTF_INFO_KIND(t->info);
}

static u32 vlen_of(const struct btf_type *t)
{
	return BTF_INFO_VLEN(t->info);
}

/* Bytes of the type's tail; -1: unknown kind. */
static s64 tail_bytes(const struct btf_type *t)
{
	u32 n = vlen_of(t);

	switch (kind_of(t)) {
	case BTF_KIND_INT: return 4;
	case BTF_KIND_ARRAY: return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: return (s64)(n * sizeof(struct btf_member));
	case BTF_KIND_ENUM: return (s64)(n * sizeof(struct btf_enum));
	case BTF_KIND_ENUM64: return n * 12;
	case BTF_KIND_FUNC_PROTO: return (s64)(n * sizeof(struct btf_param));
	case BTF_KIND_VAR: return sizeof(struct btf_var);
	case BTF_KIND_DATASEC: return (s64)(n * sizeof(struct btf_var_secinfo));
	case BTF_KIND_DECL_TAG: return sizeof(struct btf_decl_tag);
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG: return 0;
	default: return -1;
	}
}

/* ---- names ---- */

static bool name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || (!first && c >= '0' && c <= '9');
}

static bool identifier(const char *s)
{
	if (!name_char(*s, true))
		return false;
	for (u32 i = 1; s[i]; i++)
		if (!name_char(s[i], false) || i > 511)
			return false;
	return true;
}

/* As the kernel has it: Latin-1. */
static bool printable(const char *s)
{
	for (u32 i = 0; s[i]; i++)
		if ((u8)s[i] < 0x20 || ((u8)s[i] >= 0x7f && (u8)s[i] < 0xa0) || i > 511)
			return false;
	return *s != 0;
}

enum name_rule { NAME_NONE, NAME_ANY, NAME_OPTIONAL, NAME_REQUIRED, NAME_TEXT, NAME_SECTION };

static enum name_rule name_rule(u32 kind)
{
	switch (kind) {
	case BTF_KIND_PTR:
	case BTF_KIND_ARRAY:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC_PROTO: return NAME_NONE;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64: return NAME_OPTIONAL;
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_FUNC:
	case BTF_KIND_VAR: return NAME_REQUIRED;
	case BTF_KIND_DATASEC: return NAME_SECTION; /* ".rodata.str1.1" */
	case BTF_KIND_DECL_TAG:
	case BTF_KIND_TYPE_TAG: return NAME_TEXT;
	default: return NAME_ANY; /* "unsigned int"; libbpf's feature probes have none */
	}
}

static int check_name(struct check *c, const struct btf_type *t)
{
	const char *s = btf_string(c->b, t->name_off);

	if (t->name_off >= c->b->strings_size)
		return refuse(c, "Invalid name_offset:%u", t->name_off);
	switch (name_rule(kind_of(t))) {
	case NAME_NONE: return t->name_off ? refuse(c, "Invalid name") : 0;
	case NAME_OPTIONAL: return t->name_off && !identifier(s) ? refuse(c, "Invalid name") : 0;
	case NAME_REQUIRED: return !identifier(s) ? refuse(c, "Invalid name") : 0;
	case NAME_TEXT: return !*s ? refuse(c, "Invalid name") : 0;
	case NAME_SECTION: return !printable(s) ? refuse(c, "Invalid name") : 0;
	case NAME_ANY: break;
	}
	return 0;
}

/* ---- first pass: lengths ---- */

static int check_info(struct check *c, const struct btf_type *t)
{
	u32 kind = kind_of(t), vlen = vlen_of(t);
	bool flag = BTF_INFO_KFLAG(t->info);
	bool flag_ok = kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_FWD || kind == BTF_KIND_ENUM ||
		       kind == BTF_KIND_ENUM64 || kind == BTF_KIND_DECL_TAG || kind == BTF_KIND_TYPE_TAG;

	if (t->info & ~0x9f00ffffu)
		return refuse(c, "Invalid btf_info:%x", t->info);
	if (flag && !flag_ok)
		return refuse(c, "Invalid btf_info kind_flag");
	if (vlen && (kind == BTF_KIND_INT || kind == BTF_KIND_PTR || kind == BTF_KIND_ARRAY || kind == BTF_KIND_FWD ||
		     kind == BTF_KIND_TYPEDEF || kind == BTF_KIND_VAR || kind == BTF_KIND_FLOAT || kind == BTF_KIND_DECL_TAG))
		return refuse(c, "vlen != 0");
	if (kind == BTF_KIND_FUNC && vlen > BTF_FUNC_EXTERN)
		return refuse(c, "Invalid func linkage");
	return check_name(c, t);
}

static int index_types(struct check *c, const u8 *at, const u8 *end)
{
	struct btf *b = c->b;

	b->types_cap = 256;
	b->types = mem_array(b->mem, b->types_cap, sizeof(*b->types));
	if (!b->types)
		return -ENOMEM;
	b->n_types = 1;
	for (c->id = 1; at < end; c->id++) {
		const struct btf_type *t = (const struct btf_type *)(const void *)at;
		s64 tail;
		int err;

		if ((size_t)(end - at) < sizeof(*t))
			return refuse(c, "meta_left:%zu meta_needed:%zu", (size_t)(end - at), sizeof(*t));
		tail = tail_bytes(t);
		if (tail < 0)
			return refuse(c, "Invalid kind:%u", kind_of(t));
		if (end - at - (s64)sizeof(*t) < tail)
			return refuse(c, "meta_left:%zu meta_needed:%zu", (size_t)(end - at) - sizeof(*t), (size_t)tail);
		err = check_info(c, t);
		if (err)
			return err;
		if (c->id == MOST_TYPES)
			return refuse(c, "too many types: at most %d", MOST_TYPES);
		if (c->id == b->types_cap && vec_grow(b->mem, (void **)&b->types, &b->types_cap, sizeof(*b->types)))
			return -ENOMEM;
		b->types[c->id] = t;
		b->n_types = c->id + 1;
		at += sizeof(*t) + (size_t)tail;
	}
	return 0;
}

/* ---- second pass: references ---- */

static int check_ref(struct check *c, u32 id, bool may_be_void)
{
	if (id == 0 ? !may_be_void : id >= c->b->n_types)
		return refuse(c, "Invalid type_id:%u", id);
	return 0;
}

static int check_int(struct check *c, const struct btf_type *t)
{
	u32 v = *(const u32 *)(t + 1), bits = BTF_INT_BITS(v), off = BTF_INT_OFFSET(v);

	if (v & ~0x0fff00ffu)
		return refuse(c, "Invalid int_data:%x", v);
	if (bits + off > 128 || (bits + off + 7) / 8 > t->size)
		return refuse(c, "nr_bits exceeds type_size");
	if (BTF_INT_ENCODING(v) && BTF_INT_ENCODING(v) != BTF_INT_SIGNED && BTF_INT_ENCODING(v) != BTF_INT_CHAR &&
	    BTF_INT_ENCODING(v) != BTF_INT_BOOL)
		return refuse(c, "Unsupported encoding");
	return 0;
}

static int check_members(struct check *c, const struct btf_type *t)
{
	const struct btf_member *m = (const struct btf_member *)(t + 1);
	bool flag = BTF_INFO_KFLAG(t->info), is_union = kind_of(t) == BTF_KIND_UNION;
	u32 last = 0;

	for (u32 i = 0; i < vlen_of(t); i++, m++) {
		u32 off = flag ? BTF_MEMBER_BIT_OFFSET(m->offset) : m->offset;
		const char *name = btf_string(c->b, m->name_off);

		if (m->name_off >= c->b->strings_size || (m->name_off && !identifier(name)))
			return refuse(c, "Invalid member name_offset:%u", m->name_off);
		if (check_ref(c, m->type, false))
			return -EINVAL;
		if ((is_union && off) || off < last)
			return refuse(c, "Invalid member bits_offset: %u", off);
		if ((u64)(off + 7) / 8 > t->size)
			return refuse(c, "Member bits_offset exceeds its struct size");
		last = off;
	}
	return 0;
}

static int check_params(struct check *c, const struct btf_type *t)
{
	const struct btf_param *p = (const struct btf_param *)(t + 1);
	u32 n = vlen_of(t);

	if (check_ref(c, t->type, true))
		return -EINVAL;
	for (u32 i = 0; i < n; i++, p++) {
		bool variadic = i == n - 1 && p->type == 0;

		if (p->name_off >= c->b->strings_size || (p->name_off && !identifier(btf_string(c->b, p->name_off))))
			return refuse(c, "Invalid arg#%u", i + 1);
		if (variadic && p->name_off)
			return refuse(c, "Invalid arg#%u", i + 1);
		if (!variadic && check_ref(c, p->type, false))
			return -EINVAL;
	}
	return 0;
}

static int check_enumerators(struct check *c, const struct btf_type *t)
{
	u32 each = kind_of(t) == BTF_KIND_ENUM ? 8 : 12;

	if (t->size > 8 || (t->size & (t->size - 1)) || !t->size)
		return refuse(c, "Unexpected size");
	for (u32 i = 0; i < vlen_of(t); i++) {
		u32 name = LOAD_AS(u32, (const u8 *)(t + 1) + (size_t)i * each);

		if (name >= c->b->strings_size || !identifier(btf_string(c->b, name)))
			return refuse(c, "Invalid name");
	}
	return 0;
}

static int check_section(struct check *c, const struct btf_type *t)
{
	const struct btf_var_secinfo *v = (const struct btf_var_secinfo *)(t + 1);
	u64 last_end = 0;

	if (!t->size)
		return refuse(c, "size == 0");
	for (u32 i = 0; i < vlen_of(t); i++, v++) {
		if (check_ref(c, v->type, false))
			return -EINVAL;
		if (v->offset < last_end || v->offset >= t->size)
			return refuse(c, "Invalid offset");
		if (!v->size || v->size > t->size || (u64)v->offset + v->size > t->size)
			return refuse(c, "Invalid size");
		last_end = (u64)v->offset + v->size;
	}
	return 0;
}

static int check_refs(struct check *c, const struct btf_type *t)
{
	const struct btf_array *a = (const struct btf_array *)(t + 1);
	const struct btf_type *to;

	switch (kind_of(t)) {
	case BTF_KIND_INT: return check_int(c, t);
	case BTF_KIND_FLOAT:
		return t->size != 2 && t->size != 4 && t->size != 8 && t->size != 12 && t->size != 16 ? refuse(c, "Invalid type_size") : 0;
	case BTF_KIND_PTR:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG: return check_ref(c, t->type, true);
	case BTF_KIND_ARRAY: return check_ref(c, a->type, false) || check_ref(c, a->index_type, false) ? -EINVAL : 0;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: return check_members(c, t);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64: return check_enumerators(c, t);
	case BTF_KIND_FUNC_PROTO: return check_params(c, t);
	case BTF_KIND_FUNC:
		to = btf_type(c->b, t->type);
		return !to || kind_of(to) != BTF_KIND_FUNC_PROTO ? refuse(c, "Invalid type_id") : 0;
	case BTF_KIND_VAR:
		if (((const struct btf_var *)(t + 1))->linkage > BTF_VAR_GLOBAL_EXTERN)
			return refuse(c, "Linkage not supported");
		return check_ref(c, t->type, false);
	case BTF_KIND_DATASEC: return check_section(c, t);
	case BTF_KIND_DECL_TAG: return check_ref(c, t->type, false);
	default: return 0;
	}
}

/* ---- third pass: cycles. Each type is left once; a type met while it is being left contains itself. ---- */

struct step {
	u32 id, next;
};

/* The next type that t contains by value, or 0 when there is no more. */
static u32 contained(const struct btf_type *t, u32 *next)
{
	switch (kind_of(t)) {
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
	case BTF_KIND_VAR: return (*next)++ ? 0 : t->type;
	case BTF_KIND_ARRAY: return (*next)++ ? 0 : ((const struct btf_array *)(t + 1))->type;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: return *next < vlen_of(t) ? ((const struct btf_member *)(t + 1))[(*next)++].type : 0;
	default: return 0;
	}
}

static int walk(struct check *c, u8 *state, u32 start)
{
	enum { UNSEEN, OPEN, DONE };
	struct step path[MOST_DEPTH + 1];
	u32 depth = 0;

	if (state[start] != UNSEEN)
		return 0;
	path[0] = (struct step){start, 0};
	state[start] = OPEN;
	for (;;) {
		struct step *s = &path[depth];
		u32 to = contained(c->b->types[s->id], &s->next);

		if (!to) {
			state[s->id] = DONE;
			if (depth-- == 0)
				return 0;
		} else if (state[to] == OPEN) {
			c->id = to;
			return refuse(c, "Loop detected");
		} else if (state[to] == UNSEEN) {
			if (++depth > MOST_DEPTH) {
				c->id = start;
				return refuse(c, "Exceeded max resolve depth:%d", MOST_DEPTH);
			}
			path[depth] = (struct step){to, 0};
			state[to] = OPEN;
		}
	}
}

static int check_cycles(struct check *c)
{
	u8 *state = mem_alloc(c->b->mem, c->b->n_types);
	int err = 0;

	if (!state)
		return -ENOMEM;
	for (u32 id = 1; id < c->b->n_types && !err; id++)
		err = walk(c, state, id);
	mem_free(c->b->mem, state, c->b->n_types);
	return err;
}

/* ---- the whole ---- */

static int check_header(struct check *c, const struct btf_header *h)
{
	struct btf *b = c->b;
	u64 body = (u64)b->size - h->hdr_len;

	if (h->magic != BTF_MAGIC)
		return refuse(c, "Invalid magic");
	if (h->version != BTF_VERSION)
		return refuse(c, "Unsupported version");
	if (h->flags)
		return refuse(c, "Unsupported flags");
	if (h->hdr_len < sizeof(*h) || h->hdr_len > b->size)
		return refuse(c, "btf_header not found");
	for (u32 i = sizeof(*h); i < h->hdr_len; i++)
		if (b->data[i])
			return refuse(c, "Unsupported btf_header");
	if (h->type_off & 3)
		return refuse(c, "Unaligned type_off");
	if (h->type_off > body || h->str_off > body)
		return refuse(c, "Invalid section offset");
	if ((u64)h->type_off + h->type_len > body || (u64)h->str_off + h->str_len > body)
		return refuse(c, "Total section length too long");
	if (!h->type_len && !h->str_len)
		return refuse(c, "No data");
	if (h->str_off < h->type_off + h->type_len && h->type_off < h->str_off + h->str_len)
		return refuse(c, "Section overlap found");
	if ((u64)h->type_len + h->str_len != body) /* what is between or behind the two is neither */
		return refuse(c, "Unsupported section found");
	b->strings = (const char *)b->data + h->hdr_len + h->str_off;
	b->strings_size = h->str_len;
	if (!h->str_len || b->strings[0] || b->strings[h->str_len - 1])
		return refuse(c, "Invalid string section");
	return 0;
}

static int parse(struct check *c)
{
	struct btf *b = c->b;
	const struct btf_header *h = (const struct btf_header *)(const void *)b->data;
	const u8 *types;
	int err;

	if (b->size < sizeof(*h))
		return refuse(c, "btf_header not found");
	err = check_header(c, h);
	if (err)
		return err;
	types = b->data + h->hdr_len + h->type_off;
	if ((uintptr_t)types & 3)
		return refuse(c, "Unaligned type section");
	err = index_types(c, types, types + h->type_len);
	for (c->id = 1; !err && c->id < b->n_types; c->id++)
		err = check_refs(c, b->types[c->id]);
	return err ? err : check_cycles(c);
}

int btf_parse(struct btf *b, const struct mem *mem, const void *data, u32 size, u32 level, struct text *log)
{
	struct check c = {b, level ? log : NULL, 0};
	int err;

	*b = (struct btf){.mem = mem, .size = size};
	b->data = mem_copy(mem, data, size);
	if (!b->data)
		return -ENOMEM;
	err = parse(&c);
	if (err)
		btf_free(b);
	return err;
}
