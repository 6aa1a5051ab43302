/* SPDX-License-Identifier: BSD-2-Clause */
/* The passes, one file each; what a pass requires and keeps stands at its top. */
#ifndef SKEP_OPT_PASSES_H
#define SKEP_OPT_PASSES_H

#include "opt/opt.h"

/* memory.c */
bool opt_kinds_of_program(struct ir *f, u32 n); /* false: out of memory */
void opt_kinds(struct ir *f); /* f->kinds, and every access's */
void opt_context(struct ir *f); /* context fields that load as addresses; always runs */
void opt_frame(struct ir *f); /* how much stack remains; always runs */
bool opt_frame_offset(const struct ir *f, u32 v, s64 *off); /* is v r10 plus a constant? */

#endif
