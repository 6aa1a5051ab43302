/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes of maps and events as their BTF types say: to text, to JSON, and from text. Bytes without a type are hexadecimal digits. */
#include "cli/run.h"

#include <arpa/inet.h>
#include <ctype.h>
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

static bool is_byte(const struct btf *b, u32 id)
{
	const struct btf_type *t = resolve(b, &id, NULL);

	return t && btf_is_int(t) && t->size == 1;
}

static bool is_char(const struct btf *b, u32 id)
{
	const struct btf_type *t = resolve(b, &id, NULL);

	return t && is_byte(b, id) && !strcmp(btf__name_by_offset(b, t->name_off), "char");
}

/* ---- to text and JSON ---- */

/* Bytes that are written under a name; address: what has an address's size may be one. */
struct item {
	const char *name; /* NULL inside arrays */
	const u8 *at;
	u32 size;
	bool address;
};

static void value(struct json *j, const struct btf *b, u32 id, struct item it, u32 depth);

/* Four bytes may be anything: names tell addresses. */
static bool names_address(const char *name)
{
	static const char *const words[] = {"addr", "ip", "src", "dst", "source", "dest", "prefix", "net", "host", "peer", "gateway", "server", "client"};

	for (size_t i = 0; name && i < ARRAY_SIZE(words); i++)
		if (strstr(name, words[i]))
			return true;
	return false;
}

static void address(struct json *j, const struct item *it)
{
	char buf[INET6_ADDRSTRLEN];

	json_word(j, it->name, inet_ntop(it->size == 4 ? AF_INET : AF_INET6, it->at, buf, sizeof(buf)));
}

/* v: as wide as a number is, with its sign. */
static const char *enum_name(const struct btf *b, const struct btf_type *t, u64 v)
{
	for (u32 i = 0; i < btf_vlen(t); i++) {
		const struct btf_enum64 *wide = btf_is_enum64(t) ? btf_enum64(t) + i : NULL;
		const struct btf_enum *e = btf_enum(t) + i;

		if (wide ? btf_enum64_value(wide) == v : (u64)(s64)e->val == v || (u32)e->val == v)
			return btf__name_by_offset(b, wide ? wide->name_off : e->name_off);
	}
	return NULL;
}

/* Older compilers do not say whether an enum is signed. */
static bool enum_is_signed(const struct btf_type *t)
{
	bool negative = btf_kflag(t);

	for (u32 i = 0; btf_is_enum(t) && i < btf_vlen(t); i++)
		negative = negative || btf_enum(t)[i].val < 0;
	return negative;
}

/* A number that fills the lowest bits of v, of an integer, an enum or a pointer. */
static void number(struct json *j, const char *name, const struct btf *b, const struct btf_type *t, u64 v, u32 bits)
{
	bool is_enum = btf_is_any_enum(t), is_signed = is_enum ? enum_is_signed(t) : btf_is_int(t) && btf_int_encoding(t) & BTF_INT_SIGNED;
	u64 extended = is_signed && bits ? (u64)((s64)(v << (64 - bits)) >> (64 - bits)) : v;
	const char *word = is_enum ? enum_name(b, t, extended) : NULL;
	char hex[24];

	if (btf_is_ptr(t) && j->line) {
		snprintf(hex, sizeof(hex), "0x%llx", (unsigned long long)v);
		word = hex;
	}
	if (word)
		json_word(j, name, word);
	else if (btf_is_int(t) && btf_int_encoding(t) & BTF_INT_BOOL)
		json_bool(j, name, v != 0);
	else if (is_signed)
		json_signed(j, name, (s64)extended);
	else
		json_unsigned(j, name, v);
}

static void whole_number(struct json *j, const struct btf *b, const struct btf_type *t, const char *alias, struct item it)
{
	u64 v[2] = {0};
	char hex[40];

	memcpy(v, it.at, MIN(it.size, (u32)sizeof(v)));
	if (network_order(alias) && it.size == 4 && it.address) {
		address(j, &it);
	} else if (it.size > 8) {
		snprintf(hex, sizeof(hex), "0x%016llx%016llx", (unsigned long long)v[1], (unsigned long long)v[0]);
		json_word(j, it.name, hex);
	} else {
		number(j, it.name, b, t, !network_order(alias) ? v[0] : it.size == 2 ? ntohs((u16)v[0]) : ntohl((u32)v[0]), 8 * it.size);
	}
}

/* In the fewest digits that give it back. */
static void real(struct json *j, struct item it)
{
	char buf[32];
	int digits = 6;
	double x;
	float f;

	if (it.size != sizeof(double) && it.size != sizeof(float)) {
		json_hex(j, it.name, it.at, it.size);
		return;
	}
	memcpy(&f, it.at, sizeof(f));
	x = (double)f;
	if (it.size == sizeof(double))
		memcpy(&x, it.at, sizeof(x));
	do
		snprintf(buf, sizeof(buf), "%.*g", digits, x);
	while ((it.size == sizeof(double) ? strtod(buf, NULL) < x || strtod(buf, NULL) > x : strtof(buf, NULL) < f || strtof(buf, NULL) > f) && ++digits <= 17);
	json_real(j, it.name, x, MIN(digits, 17));
}

static u64 bitfield(const u8 *data, u32 bit, u32 width)
{
	u64 v = 0;

	for (u32 i = 0; i < width; i++)
		v |= (u64)(data[(bit + i) / 8] >> ((bit + i) % 8) & 1) << i;
	return v;
}

/* Members of one without a name are the outer one's, as in C. */
static void members(struct json *j, const struct btf *b, const struct btf_type *t, struct item it, u32 depth)
{
	const struct btf_member *m = btf_members(t);
	bool prefix = btf_vlen(t) && !strncmp(btf__name_by_offset(b, m->name_off), "prefix", strlen("prefix")); /* the key of an LPM trie */

	for (u32 i = 0; i < btf_vlen(t); i++, m++) {
		u32 id = m->type, bit = btf_member_bit_offset(t, i), width = btf_member_bitfield_size(t, i);
		const char *name = btf__name_by_offset(b, m->name_off);
		const struct btf_type *type = resolve(b, &id, NULL);
		s64 bytes = btf__resolve_size(b, m->type);
		struct item one = {name, it.at + bit / 8, (u32)bytes, prefix || names_address(name)};

		if (width) {
			if (type && width <= 64 && ((u64)bit + width + 7) / 8 <= it.size)
				number(j, name, b, type, bitfield(it.at, bit, width), width);
		} else if (bytes < 0 || bit / 8 + (u64)bytes > it.size) {
			continue;
		} else if (type && btf_is_composite(type) && !*name && depth < DEPTH) {
			members(j, b, type, one, depth + 1);
		} else {
			value(j, b, m->type, one, depth + 1);
		}
	}
}

static void section(struct json *j, const struct btf *b, const struct btf_type *t, struct item it, u32 depth)
{
	const struct btf_var_secinfo *v = btf_var_secinfos(t);

	for (u32 i = 0; i < btf_vlen(t); i++, v++) {
		const struct btf_type *var = btf__type_by_id(b, v->type);
		const char *name = var ? btf__name_by_offset(b, var->name_off) : NULL;

		if (var && (u64)v->offset + v->size <= it.size)
			value(j, b, var->type, (struct item){name, it.at + v->offset, v->size, names_address(name)}, depth + 1);
	}
}

static void array(struct json *j, const struct btf *b, const struct btf_type *t, struct item it, u32 depth)
{
	const struct btf_array *a = btf_array(t);
	s64 each = btf__resolve_size(b, a->type);

	if (is_char(b, a->type)) {
		json_textf(j, it.name, "%.*s", (int)strnlen((const char *)it.at, it.size), it.at);
	} else if (it.address && is_byte(b, a->type) && (it.size == 4 || it.size == 16)) {
		address(j, &it);
	} else {
		json_array(j, it.name);
		for (u32 i = 0; each > 0 && i < a->nelems && (u64)(i + 1) * (u64)each <= it.size; i++)
			value(j, b, a->type, (struct item){NULL, it.at + i * (u64)each, (u32)each, it.address}, depth + 1);
		json_end(j);
	}
}

static void value(struct json *j, const struct btf *b, u32 id, struct item it, u32 depth)
{
	const char *alias = NULL;
	const struct btf_type *t = resolve(b, &id, &alias);

	if (!t || depth > DEPTH) {
		json_hex(j, it.name, it.at, it.size);
		return;
	}
	switch (btf_kind(t)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		json_object(j, it.name);
		members(j, b, t, it, depth);
		json_end(j);
		break;
	case BTF_KIND_DATASEC:
		json_object(j, it.name);
		section(j, b, t, it, depth);
		json_end(j);
		break;
	case BTF_KIND_ARRAY: array(j, b, t, it, depth); break;
	case BTF_KIND_FLOAT: real(j, it); break;
	case BTF_KIND_INT:
	case BTF_KIND_PTR:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64: whole_number(j, b, t, alias, it); break;
	default: json_hex(j, it.name, it.at, it.size);
	}
}

void value_json(struct json *j, const char *key, const struct btf *b, u32 type, const void *data, u32 size)
{
	value(j, b, type, (struct item){key, data, size, false}, 0);
}

void value_text(FILE *out, const struct btf *b, u32 type, const void *data, u32 size)
{
	struct json line;

	json_open_line(&line, out);
	value_json(&line, NULL, b, type, data, size);
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
			const char *before = *p;
			size_t len = token(p, word, sizeof(word));

			if (is_char(b, a->type))
				return len < size ? memcpy(data, word, len), true : (snprintf(why, n, "\"%s\" is too long", word), false);
			if (inet_pton(a->nelems == 4 ? AF_INET : AF_INET6, word, data) == 1)
				return true;
			if (strpbrk(word, ".:") || !isdigit((u8)word[0]))
				return snprintf(why, n, "\"%s\" is not an IPv%c address", word, a->nelems == 4 ? '4' : '6'), false;
			*p = before; /* as many numbers */
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
