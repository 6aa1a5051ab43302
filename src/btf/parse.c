/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BTF_LOAD: the header, the strings, each type by itself; then resolve.c, and last the order of type tags. The log has every
 * type that was looked at, so that its last line says where and what.
 */
#include "btf/check.h"

enum { MOST_ID = 0xfffff, MOST_NAME = 0xffffff, MOST_IDENTIFIER = 512 };

/* ---- names. Characters as Linux classes them: Latin-1. ---- */

static bool letter(u8 c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c != 0xd7 && c != 0xf7);
}

static bool name_char(char ch, bool first)
{
	u8 c = (u8)ch;

	return letter(c) || c == '_' || c == '.' || (!first && c >= '0' && c <= '9');
}

bool btf_identifier(const struct btf *b, u32 off)
{
	const char *s = btf_string(b, off);
	u32 n = 1;

	if (!off || !name_char(*s, true))
		return false;
	while (n < MOST_IDENTIFIER && s[n])
		if (!name_char(s[n++], false))
			return false;
	return !s[n];
}

static bool section_name(const struct btf *b, u32 off)
{
	const char *s = btf_string(b, off);
	u32 n = 0;

	for (; n < MOST_IDENTIFIER && s[n]; n++)
		if ((u8)s[n] < 0x20 || ((u8)s[n] >= 0x7f && (u8)s[n] < 0xa0))
			return false;
	return n && !s[n];
}

static bool name_offset(const struct btf *b, u32 off)
{
	return off <= MOST_NAME && btf_string_valid(b, off);
}

/* ---- each kind. They give the bytes behind struct btf_type, or -errno. ---- */

/* Is there room for the tail? */
static int room(struct btf_check *c, const struct btf_type *t, u32 left)
{
	u32 need = (u32)btf_tail_bytes(t);

	return left < need ? btf_log_basic(c, t, "meta_left:%u meta_needed:%u", left, need) : 0;
}

static int no_vlen(struct btf_check *c, const struct btf_type *t)
{
	return btf_vlen_of(t) ? btf_log_type(c, t, "vlen != 0") : 0;
}

static int no_flag(struct btf_check *c, const struct btf_type *t)
{
	return BTF_INFO_KFLAG(t->info) ? btf_log_type(c, t, "Invalid btf_info kind_flag") : 0;
}

static int fine(struct btf_check *c, const struct btf_type *t)
{
	btf_log_type(c, t, NULL);
	return 0;
}

static int check_int(struct btf_check *c, const struct btf_type *t)
{
	u32 v = *(const u32 *)(t + 1), bits = BTF_INT_BITS(v) + BTF_INT_OFFSET(v), encoding = BTF_INT_ENCODING(v);

	if (no_vlen(c, t) || no_flag(c, t))
		return -EINVAL;
	if (v & ~0x0fffffffu)
		return btf_log_basic(c, t, "Invalid int_data:%x", v);
	if (bits > 128)
		return btf_log_type(c, t, "nr_bits exceeds %u", 128u);
	if ((bits + 7) / 8 > t->size)
		return btf_log_type(c, t, "nr_bits exceeds type_size");
	if (encoding && encoding != BTF_INT_SIGNED && encoding != BTF_INT_CHAR && encoding != BTF_INT_BOOL) {
		btf_log_type(c, t, "Unsupported encoding");
		return -ENOTSUPP;
	}
	return fine(c, t);
}

static int check_reference(struct btf_check *c, const struct btf_type *t)
{
	u32 kind = btf_kind_of(t);
	bool name_ok;

	if (no_vlen(c, t) || (kind != BTF_KIND_TYPE_TAG && no_flag(c, t)))
		return -EINVAL;
	if (t->type > MOST_ID)
		return btf_log_type(c, t, "Invalid type_id");
	if (kind == BTF_KIND_TYPEDEF)
		name_ok = btf_identifier(c->b, t->name_off);
	else
		name_ok = kind == BTF_KIND_TYPE_TAG ? *btf_string(c->b, t->name_off) != 0 : !t->name_off;
	return name_ok ? fine(c, t) : btf_log_type(c, t, "Invalid name");
}

static int check_forward(struct btf_check *c, const struct btf_type *t)
{
	if (no_vlen(c, t))
		return -EINVAL;
	if (t->type)
		return btf_log_type(c, t, "type != 0");
	return btf_identifier(c->b, t->name_off) ? fine(c, t) : btf_log_type(c, t, "Invalid name");
}

static int check_array(struct btf_check *c, const struct btf_type *t)
{
	const struct btf_array *a = btf_array_of(t);

	if (t->name_off)
		return btf_log_type(c, t, "Invalid name");
	if (no_vlen(c, t) || no_flag(c, t))
		return -EINVAL;
	if (t->size)
		return btf_log_type(c, t, "size != 0");
	if (!a->type || a->type > MOST_ID)
		return btf_log_type(c, t, "Invalid elem");
	if (!a->index_type || a->index_type > MOST_ID)
		return btf_log_type(c, t, "Invalid index");
	return fine(c, t);
}

static int check_struct(struct btf_check *c, const struct btf_type *t)
{
	u32 last = 0;

	if (t->name_off && !btf_identifier(c->b, t->name_off))
		return btf_log_type(c, t, "Invalid name");
	fine(c, t);
	for (u32 i = 0; i < btf_vlen_of(t); i++) {
		const struct btf_member *m = btf_members_of(t) + i;
		u32 off = btf_member_bits(t, m);

		if (!name_offset(c->b, m->name_off))
			return btf_log_member(c, t, m, "Invalid member name_offset:%u", m->name_off);
		if (m->name_off && !btf_identifier(c->b, m->name_off))
			return btf_log_member(c, t, m, "Invalid name");
		if (!m->type || m->type > MOST_ID)
			return btf_log_member(c, t, m, "Invalid type_id");
		if ((btf_kind_of(t) == BTF_KIND_UNION && off) || last > off)
			return btf_log_member(c, t, m, "Invalid member bits_offset");
		if (off / 8 + (off % 8 != 0) > t->size)
			return btf_log_member(c, t, m, "Member bits_offset exceeds its struct size");
		btf_log_member(c, t, m, NULL);
		last = off;
	}
	return 0;
}

static int check_enum(struct btf_check *c, const struct btf_type *t)
{
	bool wide = btf_kind_of(t) == BTF_KIND_ENUM64, is_signed = BTF_INFO_KFLAG(t->info);
	const u32 *w = (const u32 *)(t + 1);

	if (t->size > 8 || !t->size || t->size & (t->size - 1))
		return btf_log_type(c, t, "Unexpected size");
	if (t->name_off && !btf_identifier(c->b, t->name_off))
		return btf_log_type(c, t, "Invalid name");
	fine(c, t);
	for (u32 i = 0; i < btf_vlen_of(t); i++, w += wide ? 3 : 2) {
		s64 value = wide ? (s64)((u64)w[2] << 32 | w[1]) : is_signed ? (s32)w[1] : (s64)w[1];

		if (!name_offset(c->b, w[0]))
			return btf_log(c, "\tInvalid name_offset:%u", w[0]);
		if (!btf_identifier(c->b, w[0]))
			return btf_log_type(c, t, "Invalid name");
		if (is_signed)
			btf_log(c, "\t%s val=%lld\n", btf_string(c->b, w[0]), (long long)value);
		else
			btf_log(c, "\t%s val=%llu\n", btf_string(c->b, w[0]), (unsigned long long)value);
	}
	return 0;
}

static int check_func(struct btf_check *c, const struct btf_type *t)
{
	if (!btf_identifier(c->b, t->name_off))
		return btf_log_type(c, t, "Invalid name");
	if (btf_vlen_of(t) > BTF_FUNC_GLOBAL)
		return btf_log_type(c, t, "Invalid func linkage");
	return no_flag(c, t) ? -EINVAL : fine(c, t);
}

static int check_proto(struct btf_check *c, const struct btf_type *t)
{
	if (t->name_off)
		return btf_log_type(c, t, "Invalid name");
	return no_flag(c, t) ? -EINVAL : fine(c, t);
}

static int check_var(struct btf_check *c, const struct btf_type *t)
{
	u32 linkage = ((const struct btf_var *)(t + 1))->linkage;

	if (no_vlen(c, t) || no_flag(c, t))
		return -EINVAL;
	if (!btf_identifier(c->b, t->name_off))
		return btf_log_type(c, t, "Invalid name");
	if (!t->type || t->type > MOST_ID)
		return btf_log_type(c, t, "Invalid type_id");
	if (linkage != BTF_VAR_STATIC && linkage != BTF_VAR_GLOBAL_ALLOCATED)
		return btf_log_type(c, t, "Linkage not supported");
	return fine(c, t);
}

static int check_section(struct btf_check *c, const struct btf_type *t)
{
	const struct btf_var_secinfo *v = (const struct btf_var_secinfo *)(t + 1);
	u32 end = 0;
	u64 sum = 0;

	if (!t->size)
		return btf_log_type(c, t, "size == 0");
	if (no_flag(c, t))
		return -EINVAL;
	if (!t->name_off || !section_name(c->b, t->name_off))
		return btf_log_type(c, t, "Invalid name");
	fine(c, t);
	for (u32 i = 0; i < btf_vlen_of(t); i++, v++) {
		if (!v->type || v->type > MOST_ID)
			return btf_log_var(c, t, v, "Invalid type_id");
		if (v->offset < end || v->offset >= t->size)
			return btf_log_var(c, t, v, "Invalid offset");
		if (!v->size || v->size > t->size)
			return btf_log_var(c, t, v, "Invalid size");
		end = v->offset + v->size; /* in 32 bits, as Linux has it: what wraps is found when resolved or summed up */
		if (end > t->size)
			return btf_log_var(c, t, v, "Invalid offset+size");
		btf_log_var(c, t, v, NULL);
		sum += v->size;
	}
	return t->size < sum ? btf_log_type(c, t, "Invalid btf_info size") : 0;
}

static int check_float(struct btf_check *c, const struct btf_type *t)
{
	if (no_vlen(c, t) || no_flag(c, t))
		return -EINVAL;
	if (t->size != 2 && t->size != 4 && t->size != 8 && t->size != 12 && t->size != 16)
		return btf_log_type(c, t, "Invalid type_size");
	return fine(c, t);
}

static int check_decl_tag(struct btf_check *c, const struct btf_type *t)
{
	if (!*btf_string(c->b, t->name_off))
		return btf_log_type(c, t, "Invalid value");
	if (no_vlen(c, t))
		return -EINVAL;
	if (((const struct btf_decl_tag *)(t + 1))->component_idx < -1)
		return btf_log_type(c, t, "Invalid component_idx");
	return fine(c, t);
}

static int check_kind(struct btf_check *c, const struct btf_type *t)
{
	switch (btf_kind_of(t)) {
	case BTF_KIND_INT: return check_int(c, t);
	case BTF_KIND_ARRAY: return check_array(c, t);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: return check_struct(c, t);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64: return check_enum(c, t);
	case BTF_KIND_FWD: return check_forward(c, t);
	case BTF_KIND_FUNC: return check_func(c, t);
	case BTF_KIND_FUNC_PROTO: return check_proto(c, t);
	case BTF_KIND_VAR: return check_var(c, t);
	case BTF_KIND_DATASEC: return check_section(c, t);
	case BTF_KIND_FLOAT: return check_float(c, t);
	case BTF_KIND_DECL_TAG: return check_decl_tag(c, t);
	default: return check_reference(c, t);
	}
}

/* ---- all types ---- */

static int check_types(struct btf_check *c, const u8 *at, const u8 *end)
{
	struct btf *b = c->b;

	b->types_cap = 256;
	b->types = mem_array(b->mem, b->types_cap, sizeof(*b->types));
	if (!b->types) {
		b->types_cap = 0;
		return -ENOMEM;
	}
	b->n_types = 1;
	for (c->id = 1; at < end; c->id++) {
		const struct btf_type *t = (const struct btf_type *)(const void *)at;
		size_t left = (size_t)(end - at);
		int err;

		if (left < sizeof(*t))
			return btf_log(c, "[%u] meta_left:%zu meta_needed:%zu", c->id, left, sizeof(*t));
		if (t->info & ~0x9f00ffffu)
			return btf_log(c, "[%u] Invalid btf_info:%x", c->id, t->info);
		if (btf_tail_bytes(t) < 0)
			return btf_log(c, "[%u] Invalid kind:%u", c->id, btf_kind_of(t));
		if (!name_offset(b, t->name_off))
			return btf_log(c, "[%u] Invalid name_offset:%u", c->id, t->name_off);
		err = room(c, t, (u32)(left - sizeof(*t)));
		err = err ? err : check_kind(c, t);
		if (err)
			return err;
		at += sizeof(*t) + (size_t)btf_tail_bytes(t);
		if (b->n_types == MOST_ID) {
			btf_log(c, "Exceeded max num of types"); /* and those behind are not there */
			continue;
		}
		if (b->n_types == b->types_cap && vec_grow(b->mem, (void **)&b->types, &b->types_cap, sizeof(*b->types)))
			return -ENOMEM;
		if (btf_kind_of(t) == BTF_KIND_DECL_TAG && !b->first_tag)
			b->first_tag = b->n_types;
		b->types[b->n_types++] = t;
	}
	return 0;
}

/* Type tags stand before other modifiers; chains of modifiers are short. */
static int check_tags(struct btf_check *c)
{
	struct btf *b = c->b;

	for (u32 i = 1; i < b->n_types; i++) {
		const struct btf_type *t = b->types[i];
		bool tags = btf_kind_of(t) == BTF_KIND_TYPE_TAG;
		u32 at = i, left = BTF_MOST_DEPTH;

		while (btf_is_modifier(t)) {
			if (!left--) {
				btf_log(c, "Max chain length or cycle detected");
				return -ELOOP;
			}
			if (btf_kind_of(t) != BTF_KIND_TYPE_TAG)
				tags = false;
			else if (!tags)
				return btf_log(c, "Type tags don't precede modifiers");
			if (at < i) /* from there on it is known */
				break;
			at = t->type;
			t = btf_type(b, at);
		}
	}
	return 0;
}

/* ---- header ---- */

static int check_sections(struct btf_check *c, const struct btf_header *h)
{
	u32 body = c->b->size - h->hdr_len, total = 0;
	/* by signed difference, as Linux sorts them */
	bool types_first = h->type_off != h->str_off ? (s32)(h->type_off - h->str_off) < 0 : (s32)(h->type_len - h->str_len) <= 0;

	for (u32 i = 0; i < 2; i++) {
		u32 off = types_first == (i == 0) ? h->type_off : h->str_off, len = types_first == (i == 0) ? h->type_len : h->str_len;

		if (body < off)
			return btf_log(c, "Invalid section offset");
		if (total < off)
			return btf_log(c, "Unsupported section found");
		if (total > off)
			return btf_log(c, "Section overlap found");
		if (body - total < len)
			return btf_log(c, "Total section length too long");
		total += len;
	}
	return body != total ? btf_log(c, "Unsupported section found") : 0;
}

static int check_header(struct btf_check *c, struct btf_header *h)
{
	const struct btf *b = c->b;
	u32 len;

	memset(h, 0, sizeof(*h));
	if (b->size < offsetof(struct btf_header, hdr_len) + sizeof(h->hdr_len))
		return btf_log(c, "hdr_len not found");
	len = LOAD_AS(u32, b->data + offsetof(struct btf_header, hdr_len));
	if (b->size < len)
		return btf_log(c, "btf_header not found");
	for (u32 i = sizeof(*h); i < len; i++)
		if (b->data[i]) {
			btf_log(c, "Unsupported btf_header");
			return -E2BIG;
		}
	memcpy(h, b->data, MIN(len, (u32)sizeof(*h)));
	btf_log(c, "magic: 0x%x\nversion: %u\nflags: 0x%x\nhdr_len: %u\n", h->magic, h->version, h->flags, h->hdr_len);
	btf_log(c, "type_off: %u\ntype_len: %u\nstr_off: %u\nstr_len: %u\nbtf_total_size: %u\n", h->type_off, h->type_len, h->str_off, h->str_len,
		b->size);
	if (h->magic != BTF_MAGIC)
		return btf_log(c, "Invalid magic");
	if (h->version != BTF_VERSION || h->flags) {
		btf_log(c, h->version != BTF_VERSION ? "Unsupported version" : "Unsupported flags");
		return -ENOTSUPP;
	}
	if (b->size == h->hdr_len)
		return btf_log(c, "No data");
	return check_sections(c, h);
}

static int check_strings(struct btf_check *c, const struct btf_header *h)
{
	struct btf *b = c->b;

	if ((u64)h->hdr_len + h->str_off + h->str_len != b->size)
		return btf_log(c, "String section is not at the end");
	b->strings = (const char *)b->data + h->hdr_len + h->str_off;
	if (!h->str_len || h->str_len - 1 > MOST_NAME || b->strings[h->str_len - 1] || b->strings[0])
		return btf_log(c, "Invalid string section");
	b->strings_size = h->str_len;
	return 0;
}

static int parse(struct btf_check *c)
{
	struct btf *b = c->b;
	struct btf_header h;
	const u8 *types;
	int err = check_header(c, &h);

	err = err ? err : check_strings(c, &h);
	if (err)
		return err;
	if (h.type_off & 3)
		return btf_log(c, "Unaligned type_off");
	if (!h.type_len)
		return btf_log(c, "No type found");
	types = b->data + h.hdr_len + h.type_off;
	if (h.hdr_len & 3) { /* a longer header may end anywhere; we read words */
		b->moved = mem_copy(b->mem, types, h.type_len);
		b->moved_size = b->moved ? h.type_len : 0;
		types = b->moved;
		if (!types)
			return -ENOMEM;
	}
	c->alone = true;
	err = check_types(c, types, types + h.type_len);
	c->alone = false;
	err = err ? err : btf_resolve_all(c);
	return err ? err : check_tags(c);
}

int btf_parse(struct btf *b, const struct mem *mem, const void *data, u32 size, u32 level, struct text *log)
{
	struct btf_check c = {.b = b, .log = level ? log : NULL};
	int err;

	*b = (struct btf){.mem = mem};
	if (size > BTF_MOST_BYTES)
		return -E2BIG;
	b->data = mem_alloc(mem, size + 1);
	if (!b->data)
		return -ENOMEM;
	b->size = size;
	if (size)
		memcpy(b->data, data, size);
	err = parse(&c);
	if (err)
		btf_free(b);
	return err;
}
