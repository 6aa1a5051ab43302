/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * opt: passes over the SSA form. Each can be left out by name, so that a test can compare. The memory model is stated at
 * the top of memory.c.
 */
#ifndef SKEP_OPT_H
#define SKEP_OPT_H

#include "ir/ir.h"

enum opt_pass {
#define PASS(name, doc) OPT_##name,
#include "opt/passes.def"
	OPT_COUNT
};
const char *opt_name(enum opt_pass p);

/* All functions of a program. -ENOMEM; with check, -EINVAL and *why when a pass broke the form. */
int opt_program(struct ir *f, u32 n, u32 without, bool check, struct text *dump, const char **why);

#endif
