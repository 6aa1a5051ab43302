/* SPDX-License-Identifier: BSD-2-Clause */
/* The log of BTF_LOAD: a line for every type and member, and what is wrong with the last. */
#include "btf/check.h"

#include <stdio.h>

/* What Linux writes at a time is shorter than this. */
enum { PIECE = 1024 };

static void putv(struct text *log, const char *fmt, va_list ap)
{
	char piece[PIECE];

	vsnprintf(piece, sizeof(piece), fmt, ap);
	text_add(log, piece);
}

PRINTF_LIKE(2, 3) static void put(struct text *log, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	putv(log, fmt, ap);
	va_end(ap);
}

static const char *name_at(const struct btf *b, u32 off)
{
	if (!off)
		return "(anon)";
	return btf_string_valid(b, off) ? btf_string(b, off) : "(invalid-name-offset)";
}

static const char *encoding_name(u32 encoding)
{
	switch (encoding) {
	case 0: return "(none)";
	case BTF_INT_SIGNED: return "SIGNED";
	case BTF_INT_CHAR: return "CHAR";
	case BTF_INT_BOOL: return "BOOL";
	default: return "UNKN";
	}
}

static void params_text(struct text *log, const struct btf *b, const struct btf_type *t)
{
	const struct btf_param *p = btf_params_of(t);
	u32 n = btf_vlen_of(t);

	put(log, "return=%u args=(%s", t->type, n ? "" : "void");
	for (u32 i = 0; i < n; i++) {
		if (i == n - 1 && !p[i].type)
			put(log, "%svararg", i ? ", " : "");
		else
			put(log, "%s%u %s", i ? ", " : "", p[i].type, name_at(b, p[i].name_off));
	}
	text_add(log, ")");
}

static void details(struct text *log, const struct btf *b, const struct btf_type *t)
{
	const struct btf_array *a = btf_array_of(t);
	u32 word = 0;

	switch (btf_kind_of(t)) {
	case BTF_KIND_INT:
		word = *(const u32 *)(t + 1);
		put(log, "size=%u bits_offset=%u nr_bits=%u encoding=%s", t->size, BTF_INT_OFFSET(word), BTF_INT_BITS(word),
			  encoding_name(BTF_INT_ENCODING(word)));
		break;
	case BTF_KIND_FWD: text_add(log, BTF_INFO_KFLAG(t->info) ? "union" : "struct"); break;
	case BTF_KIND_ARRAY: put(log, "type_id=%u index_type_id=%u nr_elems=%u", a->type, a->index_type, a->nelems); break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_DATASEC: put(log, "size=%u vlen=%u", t->size, btf_vlen_of(t)); break;
	case BTF_KIND_FUNC_PROTO: params_text(log, b, t); break;
	case BTF_KIND_VAR: put(log, "type_id=%u linkage=%u", t->type, ((const struct btf_var *)(t + 1))->linkage); break;
	case BTF_KIND_FLOAT: put(log, "size=%u", t->size); break;
	case BTF_KIND_DECL_TAG:
		put(log, "type=%u component_idx=%d", t->type, ((const struct btf_decl_tag *)(t + 1))->component_idx);
		break;
	default: put(log, "type_id=%u", t->type); break;
	}
}

static void type_line(struct btf_check *c, const struct btf_type *t, bool full, const char *fmt, va_list ap)
{
	if (!c->log)
		return;
	put(c->log, "[%u] %s %s%s", c->id, btf_kind_name(btf_kind_of(t)), name_at(c->b, t->name_off), full ? " " : "");
	if (full)
		details(c->log, c->b, t);
	if (fmt) {
		text_add(c->log, " ");
		putv(c->log, fmt, ap);
	}
	text_add(c->log, "\n");
}

int btf_log(struct btf_check *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (c->log)
		putv(c->log, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int btf_log_type(struct btf_check *c, const struct btf_type *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	type_line(c, t, true, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int btf_log_basic(struct btf_check *c, const struct btf_type *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	type_line(c, t, false, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static void end_line(struct btf_check *c, const char *fmt, va_list ap)
{
	if (fmt) {
		text_add(c->log, " ");
		putv(c->log, fmt, ap);
	}
	text_add(c->log, "\n");
}

int btf_log_member(struct btf_check *c, const struct btf_type *t, const struct btf_member *m, const char *fmt, ...)
{
	va_list ap;

	if (!c->log)
		return -EINVAL;
	if (!c->alone)
		btf_log_type(c, t, NULL);
	put(c->log, "\t%s type_id=%u ", name_at(c->b, m->name_off), m->type);
	if (BTF_INFO_KFLAG(t->info))
		put(c->log, "bitfield_size=%u bits_offset=%u", BTF_MEMBER_BITFIELD_SIZE(m->offset), BTF_MEMBER_BIT_OFFSET(m->offset));
	else
		put(c->log, "bits_offset=%u", m->offset);
	va_start(ap, fmt);
	end_line(c, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int btf_log_var(struct btf_check *c, const struct btf_type *t, const struct btf_var_secinfo *v, const char *fmt, ...)
{
	va_list ap;

	if (!c->log)
		return -EINVAL;
	if (!c->alone)
		btf_log_type(c, t, NULL);
	put(c->log, "\t type_id=%u offset=%u size=%u", v->type, v->offset, v->size);
	va_start(ap, fmt);
	end_line(c, fmt, ap);
	va_end(ap);
	return -EINVAL;
}
