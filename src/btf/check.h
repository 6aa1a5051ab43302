/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking of BTF that a client loads: parse.c looks at each type alone, resolve.c at what they refer to. Texts and their order are Linux's. */
#ifndef SKEP_BTF_CHECK_H
#define SKEP_BTF_CHECK_H

#include "btf/btf.h"

enum { BTF_MOST_DEPTH = 32 };

enum btf_mode { /* what ends the search from a type: resolve.c */
	BTF_MODE_ANY,
	BTF_MODE_PTR,
	BTF_MODE_WHOLE,
};

struct btf_step {
	u32 id, next;
};

struct btf_check {
	struct btf *b;
	struct text *log; /* NULL: none */
	u32 id; /* of the type that lines are about */
	bool alone; /* parse.c's pass: types have been printed before their members are complained about */
	/* resolve.c */
	u8 *state; /* by id */
	u32 *resolved_id, *resolved_size;
	enum btf_mode mode;
	struct btf_step stack[BTF_MOST_DEPTH];
	u32 depth;
};

/* Lines of the log. Each gives -EINVAL. fmt NULL: the type, and nothing wrong with it. */
int btf_log(struct btf_check *c, const char *fmt, ...) PRINTF_LIKE(2, 3); /* just that, and no end of line */
int btf_log_type(struct btf_check *c, const struct btf_type *t, const char *fmt, ...) PRINTF_LIKE(3, 4);
int btf_log_basic(struct btf_check *c, const struct btf_type *t, const char *fmt, ...) PRINTF_LIKE(3, 4); /* without the kind's details */
int btf_log_member(struct btf_check *c, const struct btf_type *t, const struct btf_member *m, const char *fmt, ...) PRINTF_LIKE(4, 5);
int btf_log_var(struct btf_check *c, const struct btf_type *t, const struct btf_var_secinfo *v, const char *fmt, ...) PRINTF_LIKE(4, 5);

bool btf_identifier(const struct btf *b, u32 off);
bool btf_regular_int(const struct btf_type *t); /* an INT of 1, 2, 4, 8 or 16 bytes, no bit field */
int btf_resolve_all(struct btf_check *c);

#endif
