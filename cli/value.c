/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes of maps and events as their BTF types say: to text, to JSON, and from text. Bytes without a type are hexadecimal digits. */
#include "cli/run.h"

#include <arpa/inet.h>
#include <stdlib.h>

enum { DEPTH = 16 };

static const struct btf_type *resolve(const struct btf *b, u32 *id, const char **alias)
{
	const struct btf_type *t = b ? btf__type_by_id(b, *id) : NULL;

	while (t && (btf_is_mod(t) || btf_is_typedef(t))) {
		if (btf_is_typedef(t) && alias && !*alias)
			*alias = btf__name_by_offset(b, t->name_off);
		*id = t->type;
		t = btf__type_by_id(b, *id);
	}
	return t && *id ? t : NULL;
}

static bool network_order(const char *alias)
{
	return alias && (!strcmp(alias, "__be16") || !strcmp(alias, "__be32"));
}

static u64 integer(const void *data, u32 size, const char *alias)
{
	u64 v = 0;

	memcpy(&v, data, MIN(size, 8u));
	if (network_order(alias))
		v = size == 2 ? ntohs((u16)v) : ntohl((u32)v);
	return v;
}

static s64 sign_extend(u64 v, u32 size)
{
	u32 shift = 64 - 8 * MIN(size, 8u);

	return (s64)(v << shift) >> shift;
}

static bool is_char(const struct btf *b, u32 id)
{
	const char *alias = NULL;
	const struct btf_type *t = resolve(b, &id, &alias);

	return t && btf_is_int(t) && t->size == 1 && !strcmp(btf__name_by_offset(b, t->name_off), "char");
}

static bool is_byte(const struct btf *b, u32 id)
{
	const struct btf_type *t = resolve(b, &id, NULL);

	return t && btf_is_int(t) && t->size == 1;
}

static const char *enum_name(const struct btf *b, const struct btf_type *t, u64 v)
{
	const struct btf_enum *e = btf_enum(t);

	for (u32 i = 0; btf_is_enum(t) && i < btf_vlen(t); i++)
		if ((u32)e[i].val == (u32)v)
			return btf__name_by_offset(b, e[i].name_off);
	return NULL;
}

static u64 bitfield(const u8 *data, u32 bit, u32 width)
{
	u64 v = 0;

	for (u32 i = 0; i < width; i++)
		v |= (u64)(data[(bit + i) / 8] >> ((bit + i) % 8) & 1) << i;
	return v;
}

static void text(FILE *out, const struct btf *b, u32 id, const u8 *data, u32 size, u32 depth);

static void hex_text(FILE *out, const u8 *data, u32 size)
{
	for (u32 i = 0; i < size; i++)
		fprintf(out, i ? " %02x" : "%02x", data[i]);
}

static void members_text(FILE *out, const struct btf *b, const struct btf_type *t, const u8 *data, u32 size, u32 depth)
{
	const struct btf_member *m = btf_members(t);

	fputs("{", out);
	for (u32 i = 0; i < btf_vlen(t); i++, m++) {
		u32 bit = btf_member_bit_offset(t, i), width = btf_member_bitfield_size(t, i);
		const char *name = btf__name_by_offset(b, m->name_off);
		s64 bytes = btf__resolve_size(b, m->type);

		fputs(i ? ", " : "", out);
		if (name && *name)
			fprintf(out, "%s ", name);
		if (width)
			fprintf(out, "%llu", (unsigned long long)bitfield(data, bit, width));
		else if (bytes >= 0 && bit / 8 + (u64)bytes <= size)
			text(out, b, m->type, data + bit / 8, (u32)bytes, depth + 1);
	}
	fputs("}", out);
}

/* Global data: "name value" of each variable. */
static void section_text(FILE *out, const struct btf *b, const struct btf_type *t, const u8 *data, u32 size, u32 depth)
{
	const struct btf_var_secinfo *v = btf_var_secinfos(t);
	bool first = true;

	fputs("{", out);
	for (u32 i = 0; i < btf_vlen(t); i++, v++) {
		const struct btf_type *var = btf__type_by_id(b, v->type);

		if (!var || (u64)v->offset + v->size > size)
			continue;
		fprintf(out, "%s%s ", first ? "" : ", ", btf__name_by_offset(b, var->name_off));
		text(out, b, var->type, data + v->offset, v->size, depth + 1);
		first = false;
	}
	fputs("}", out);
}

static void array_text(FILE *out, const struct btf *b, const struct btf_type *t, const u8 *data, u32 size, u32 depth)
{
	const struct btf_array *a = btf_array(t);
	s64 each = btf__resolve_size(b, a->type);
	char address[INET6_ADDRSTRLEN];

	if (is_char(b, a->type)) {
		fprintf(out, "\"%.*s\"", (int)strnlen((const char *)data, size), data);
	} else if (is_byte(b, a->type) && a->nelems == 16) {
		fputs(inet_ntop(AF_INET6, data, address, sizeof(address)), out);
	} else if (is_byte(b, a->type) && a->nelems == 4) {
		fputs(inet_ntop(AF_INET, data, address, sizeof(address)), out);
	} else {
		fputs("[", out);
		for (u32 i = 0; each > 0 && i < a->nelems && (u64)(i + 1) * (u64)each <= size; i++) {
			fputs(i ? ", " : "", out);
			text(out, b, a->type, data + i * (u64)each, (u32)each, depth + 1);
		}
		fputs("]", out);
	}
}

static void text(FILE *out, const struct btf *b, u32 id, const u8 *data, u32 size, u32 depth)
{
	const char *alias = NULL, *name;
	const struct btf_type *t = resolve(b, &id, &alias);
	u64 v;

	if (!t || depth > DEPTH) {
		hex_text(out, data, size);
		return;
	}
	switch (btf_kind(t)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: members_text(out, b, t, data, size, depth); break;
	case BTF_KIND_DATASEC: section_text(out, b, t, data, size, depth); break;
	case BTF_KIND_ARRAY: array_text(out, b, t, data, size, depth); break;
	case BTF_KIND_PTR: fprintf(out, "0x%llx", (unsigned long long)integer(data, size, NULL)); break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		v = integer(data, size, NULL);
		name = enum_name(b, t, v);
		if (name)
			fputs(name, out);
		else
			fprintf(out, "%llu", (unsigned long long)v);
		break;
	case BTF_KIND_INT:
		v = integer(data, size, alias);
		if (btf_int_encoding(t) & BTF_INT_BOOL)
			fputs(v ? "true" : "false", out);
		else if (btf_int_encoding(t) & BTF_INT_SIGNED)
			fprintf(out, "%lld", (long long)sign_extend(v, size));
		else
			fprintf(out, "%llu", (unsigned long long)v);
		break;
	default: hex_text(out, data, size);
	}
}

void value_text(FILE *out, const struct btf *b, u32 type, const void *data, u32 size)
{
	text(out, b, type, data, size, 0);
}

/* ---- JSON ---- */

static void json(struct json *j, const char *key, const struct btf *b, u32 id, const u8 *data, u32 size, u32 depth)
{
	const char *alias = NULL;
	const struct btf_type *t = resolve(b, &id, &alias);
	char address[INET6_ADDRSTRLEN];
	const struct btf_array *a;

	if (!t || depth > DEPTH) {
		json_hex(j, key, data, size);
		return;
	}
	switch (btf_kind(t)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		json_object(j, key);
		for (u32 i = 0; i < btf_vlen(t); i++) {
			const struct btf_member *m = btf_members(t) + i;
			u32 bit = btf_member_bit_offset(t, i), width = btf_member_bitfield_size(t, i);
			const char *name = btf__name_by_offset(b, m->name_off);
			s64 bytes = btf__resolve_size(b, m->type);

			if (width)
				json_unsigned(j, name, bitfield(data, bit, width));
			else if (bytes >= 0 && bit / 8 + (u64)bytes <= size)
				json(j, name && *name ? name : "_", b, m->type, data + bit / 8, (u32)bytes, depth + 1);
		}
		json_end(j);
		break;
	case BTF_KIND_DATASEC:
		json_object(j, key);
		for (u32 i = 0; i < btf_vlen(t); i++) {
			const struct btf_var_secinfo *v = btf_var_secinfos(t) + i;
			const struct btf_type *var = btf__type_by_id(b, v->type);

			if (var && (u64)v->offset + v->size <= size)
				json(j, btf__name_by_offset(b, var->name_off), b, var->type, data + v->offset, v->size, depth + 1);
		}
		json_end(j);
		break;
	case BTF_KIND_ARRAY:
		a = btf_array(t);
		if (is_char(b, a->type)) {
			json_textf(j, key, "%.*s", (int)strnlen((const char *)data, size), data);
		} else if (is_byte(b, a->type) && (a->nelems == 16 || a->nelems == 4)) {
			json_text(j, key, inet_ntop(a->nelems == 4 ? AF_INET : AF_INET6, data, address, sizeof(address)));
		} else {
			s64 each = btf__resolve_size(b, a->type);

			json_array(j, key);
			for (u32 i = 0; each > 0 && i < a->nelems && (u64)(i + 1) * (u64)each <= size; i++)
				json(j, NULL, b, a->type, data + i * (u64)each, (u32)each, depth + 1);
			json_end(j);
		}
		break;
	case BTF_KIND_ENUM:
		if (enum_name(b, t, integer(data, size, NULL)))
			json_text(j, key, enum_name(b, t, integer(data, size, NULL)));
		else
			json_unsigned(j, key, integer(data, size, NULL));
		break;
	case BTF_KIND_INT:
		if (btf_int_encoding(t) & BTF_INT_BOOL)
			json_bool(j, key, integer(data, size, alias) != 0);
		else if (btf_int_encoding(t) & BTF_INT_SIGNED)
			json_signed(j, key, sign_extend(integer(data, size, alias), size));
		else
			json_unsigned(j, key, integer(data, size, alias));
		break;
	case BTF_KIND_PTR:
	case BTF_KIND_ENUM64: json_unsigned(j, key, integer(data, size, NULL)); break;
	default: json_hex(j, key, data, size);
	}
}

void value_json(struct json *j, const char *key, const struct btf *b, u32 type, const void *data, u32 size)
{
	json(j, key, b, type, data, size, 0);
}

/* ---- from text ---- */

static size_t token(const char **p, char *buf, size_t n)
{
	size_t len;

	*p += strspn(*p, " \t,{}");
	len = strcspn(*p, " \t,{}=\r\n");
	snprintf(buf, n, "%.*s", (int)MIN(len, n - 1), *p);
	*p += len;
	return len;
}

static bool parse_integer(const char **p, const struct btf *b, const struct btf_type *t, const char *alias, u8 *data, u32 size, char *why, size_t n)
{
	char word[128], *end;
	u64 v;

	if (!token(p, word, sizeof(word)))
		return snprintf(why, n, "a number is missing"), false;
	errno = 0;
	v = word[0] == '-' ? (u64)strtoll(word, &end, 0) : strtoull(word, &end, 0);
	if (*end || errno) {
		struct in_addr address;
		const struct btf_enum *e = btf_is_enum(t) ? btf_enum(t) : NULL;

		if (size == 4 && inet_pton(AF_INET, word, &address) == 1)
			return memcpy(data, &address, 4), true;
		for (u32 i = 0; e && i < btf_vlen(t); i++)
			if (!strcmp(btf__name_by_offset(b, e[i].name_off), word))
				return memcpy(data, &e[i].val, MIN(size, 4u)), true;
		return snprintf(why, n, "\"%s\" is not a number, an IPv4 address or a name of the enum", word), false;
	}
	if (size < 8 && v >> (8 * size) && (s64)v >> (8 * size - 1) != -1)
		return snprintf(why, n, "%s does not fit in %u bytes", word, size), false;
	if (network_order(alias))
		v = size == 2 ? htons((u16)v) : htonl((u32)v);
	memcpy(data, &v, MIN(size, 8u));
	return true;
}

static bool parse(const char **p, const struct btf *b, u32 id, u8 *data, u32 size, u32 depth, char *why, size_t n)
{
	const char *alias = NULL;
	const struct btf_type *t = resolve(b, &id, &alias);
	const struct btf_array *a;
	char word[256];

	if (!t || depth > DEPTH)
		return snprintf(why, n, "the map's type is not known; give the object BTF (clang -g)"), false;
	switch (btf_kind(t)) {
	case BTF_KIND_STRUCT:
		for (u32 i = 0; i < btf_vlen(t); i++) {
			const struct btf_member *m = btf_members(t) + i;
			s64 bytes = btf__resolve_size(b, m->type);
			u32 at = btf_member_bit_offset(t, i) / 8;

			if (btf_member_bitfield_size(t, i) || bytes < 0 || at + (u64)bytes > size)
				return snprintf(why, n, "a bit field cannot be set"), false;
			if (!parse(p, b, m->type, data + at, (u32)bytes, depth + 1, why, n))
				return false;
		}
		return true;
	case BTF_KIND_ARRAY:
		a = btf_array(t);
		if (is_char(b, a->type) || (is_byte(b, a->type) && (a->nelems == 4 || a->nelems == 16))) {
			size_t len = token(p, word, sizeof(word));

			if (is_char(b, a->type))
				return len < size ? memcpy(data, word, len), true : (snprintf(why, n, "\"%s\" is too long", word), false);
			if (inet_pton(a->nelems == 4 ? AF_INET : AF_INET6, word, data) == 1)
				return true;
			return snprintf(why, n, "\"%s\" is not an IPv%c address", word, a->nelems == 4 ? '4' : '6'), false;
		}
		for (u32 i = 0; i < a->nelems; i++)
			if (!parse(p, b, a->type, data + (size_t)i * (size / a->nelems), size / a->nelems, depth + 1, why, n))
				return false;
		return true;
	case BTF_KIND_INT:
	case BTF_KIND_ENUM: return parse_integer(p, b, t, alias, data, size, why, n);
	default: return snprintf(why, n, "a value of this type cannot be set from text"), false;
	}
}

bool value_parse(const char **p, const struct btf *b, u32 type, void *data, u32 size, char *why, size_t why_size)
{
	memset(data, 0, size);
	return parse(p, b, type, data, size, 0, why, why_size);
}
