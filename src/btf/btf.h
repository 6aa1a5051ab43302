/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * btf: type information as the BPF Type Format carries it (Linux Documentation/bpf/btf.rst). btf_parse() checks every byte, so
 * that readers need not.
 *
 * Ownership: struct btf owns a copy of its bytes.
 */
#ifndef SKEP_BTF_H
#define SKEP_BTF_H

#include "base/base.h"

#include <linux/btf.h>

struct btf {
	const struct mem *mem;
	u8 *data; /* all bytes as loaded */
	u32 size;
	const char *strings;
	u32 strings_size;
	const struct btf_type **types; /* by id; [0] is void */
	u32 n_types, types_cap; /* highest id + 1; room */
};

/* 0; -EINVAL: malformed, and a line in log says what and where; -ENOMEM. */
int btf_parse(struct btf *b, const struct mem *mem, const void *data, u32 size, struct text *log);
void btf_free(struct btf *b);

static inline u32 btf_type_count(const struct btf *b)
{
	return b->n_types;
}
const struct btf_type *btf_type(const struct btf *b, u32 id); /* NULL: no such type; id 0 is void: NULL */
const char *btf_string(const struct btf *b, u32 off); /* "" when out of range */
const struct btf_type *btf_resolve(const struct btf *b, u32 id, u32 *resolved); /* through typedefs and modifiers */
s64 btf_size(const struct btf *b, u32 id); /* bytes; -EINVAL when it has none */
/* Byte offset of the member of a struct whose type is a struct of that name; -ENOENT: none; -E2BIG: more than one. */
s64 btf_find_struct(const struct btf *b, u32 id, const char *type_name);

#endif
