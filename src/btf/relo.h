/* SPDX-License-Identifier: BSD-2-Clause */
/* CO-RE relocations from inside: relo.c computes and patches, relo_path.c follows access strings, relo_types.c compares types. */
#ifndef SKEP_BTF_RELO_H
#define SKEP_BTF_RELO_H

#include "btf/btf.h"

enum { RELO_STEPS = 64, RELO_DEPTH = 32, RELO_NESTED = 2 };
enum relo_about { ABOUT_NOTHING, ABOUT_FIELD, ABOUT_TYPE, ABOUT_VALUE };

/* A field, type or value of an enum: where it was asked for, or where it was found. */
struct relo_path {
	const struct btf *btf;
	u32 root, kind; /* type id; enum bpf_core_relo_kind */
	u32 raw[RELO_STEPS], n_raw; /* every index on the way, through members without a name as well */
	struct relo_step {
		u32 type, index;
		const char *name; /* NULL: an element of an array, or the first step */
	} step[RELO_STEPS];
	u32 n;
	u32 bits; /* from the beginning of the root */
};

enum relo_about relo_about(u32 kind);
const char *relo_kind_name(u32 kind);

/* relo_path.c */
int relo_path_read(struct relo_path *p, const struct btf *b, const struct bpf_core_relo *r, struct text *log); /* the access string; 0 or -errno */
int relo_path_find(const struct relo_path *want, const struct btf *b, u32 id, struct relo_path *out); /* 1 found, 0 not there, -errno */
void relo_path_print(struct text *t, const struct relo_path *p);

/* relo_types.c: 1 yes, 0 no, -EINVAL too deep. level: how deep functions may nest */
int relo_fields_fit(const struct btf *a, u32 a_id, const struct btf *b, u32 b_id);
int relo_types_fit(const struct btf *a, u32 a_id, const struct btf *b, u32 b_id, u32 level);
int relo_types_match(const struct btf *a, u32 a_id, const struct btf *b, u32 b_id, bool behind_pointer, u32 level);
bool relo_names_equal(const char *a, const char *b); /* flavors aside */

#endif
