/* SPDX-License-Identifier: BSD-2-Clause */
/* stub: what the jump of a probe leads to: it saves the registers, calls the programs, and goes on with the instructions that the jump has replaced. */
#ifndef SKEP_SUPERVISE_STUB_H
#define SKEP_SUPERVISE_STUB_H

#include "client/supervise/space.h"

enum { STUB = 1024 };

struct stub {
	u64 at; /* in the process */
	u32 n;
	u8 code[STUB];
};

struct point {
	const struct task_probe *probe;
	struct task_code code;
};

/* true: s is what the jump leads to, at s->at + *entry; *resume: offset of the moved instructions. false: they cannot be moved, or there is no room. */
bool stub_build(struct stub *s, const struct brk *b, const struct point *p, u32 n, u32 *entry, u32 *resume);

#endif
