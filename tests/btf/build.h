/* SPDX-License-Identifier: BSD-2-Clause */
/* BTF put together by hand: types are words, strings are offsets into one table. */
#ifndef SKEP_TEST_BTF_BUILD_H
#define SKEP_TEST_BTF_BUILD_H

#include <linux/btf.h>
#include <stdint.h>
#include <string.h>

struct build {
	uint32_t at[4096];
	uint32_t n, types; /* words; highest id */
	char strings[8192];
	uint32_t strings_size, first_string; /* not 0: strings of a base come before */
	uint8_t bytes[sizeof(struct btf_header) + 4096 * 4 + 8192];
	uint32_t size;
};

static inline void build_open(struct build *b)
{
	memset(b, 0, sizeof(*b));
	b->strings_size = 1;
}

/* Types that are split from base's, which is complete. */
static inline void build_split(struct build *b, const struct build *base)
{
	build_open(b);
	b->types = base->types;
	b->first_string = base->strings_size;
}

static inline uint32_t build_string(struct build *b, const char *s)
{
	uint32_t at = b->strings_size;

	if (!s || !*s)
		return 0;
	for (uint32_t i = 1; i < b->strings_size; i += (uint32_t)strlen(b->strings + i) + 1)
		if (!strcmp(b->strings + i, s))
			return b->first_string + i;
	memcpy(b->strings + at, s, strlen(s) + 1);
	b->strings_size += (uint32_t)strlen(s) + 1;
	return b->first_string + at;
}

static inline void build_word(struct build *b, uint32_t x)
{
	if (b->n < sizeof(b->at) / sizeof(*b->at))
		b->at[b->n++] = x;
}

/* The first three words; the id. */
static inline uint32_t build_type(struct build *b, const char *name, uint32_t kind, uint32_t vlen, uint32_t flag, uint32_t size_or_type)
{
	build_word(b, build_string(b, name));
	build_word(b, flag << 31 | kind << 24 | vlen);
	build_word(b, size_or_type);
	return ++b->types;
}

static inline uint32_t build_int(struct build *b, const char *name, uint32_t bytes)
{
	uint32_t id = build_type(b, name, BTF_KIND_INT, 0, 0, bytes);

	build_word(b, BTF_INT_SIGNED << 24 | bytes * 8);
	return id;
}

static inline uint32_t build_array(struct build *b, uint32_t elem, uint32_t index, uint32_t n)
{
	uint32_t id = build_type(b, "", BTF_KIND_ARRAY, 0, 0, 0);

	build_word(b, elem);
	build_word(b, index);
	build_word(b, n);
	return id;
}

/* For members of structs, unions (name, type, bits), of DATASEC (type, offset, size), of ENUM64. */
static inline void build_three(struct build *b, uint32_t x, uint32_t y, uint32_t z)
{
	build_word(b, x);
	build_word(b, y);
	build_word(b, z);
}

static inline void build_member(struct build *b, const char *name, uint32_t type, uint32_t bits)
{
	build_three(b, build_string(b, name), type, bits);
}

static inline void build_param(struct build *b, const char *name, uint32_t type)
{
	build_word(b, build_string(b, name));
	build_word(b, type);
}

static inline uint32_t build_tag(struct build *b, const char *text, uint32_t type, int32_t component)
{
	uint32_t id = build_type(b, text, BTF_KIND_DECL_TAG, 0, 0, type);

	build_word(b, (uint32_t)component);
	return id;
}

static inline void build_close(struct build *b)
{
	struct btf_header h = {.magic = 0xeb9f, .version = 1, .hdr_len = sizeof(h), .type_len = b->n * 4, .str_off = b->n * 4,
			       .str_len = b->strings_size};

	memcpy(b->bytes, &h, sizeof(h));
	memcpy(b->bytes + sizeof(h), b->at, b->n * 4);
	memcpy(b->bytes + sizeof(h) + b->n * 4, b->strings, b->strings_size);
	b->size = (uint32_t)sizeof(h) + b->n * 4 + b->strings_size;
}

#endif
