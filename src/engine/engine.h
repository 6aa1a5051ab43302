/* SPDX-License-Identifier: BSD-2-Clause */
/* engine: one "user-space kernel" put together: load.c is the pipeline from PROG_LOAD to runnable, api.c the library's calls. */
#ifndef SKEP_ENGINE_H
#define SKEP_ENGINE_H

#include "hook/hook.h"

void run_host_open(struct skep *k);
void trace_write(struct skep *k, const char *text, size_t len);
void trace_close(struct skep *k);

/* engine.c: a caller's struct that begins with its size: shorter is older, longer must be zero behind what is known */
int options_copy(void *to, size_t known, const void *from);

/* load.c */
struct load {
	struct skep *k;
	struct prog *p;
	const struct attr_prog_load *attr;
	struct user_log log;
	struct skep_check *check; /* what was found out about the program; NULL: nobody asks */
	u32 refused_insn; /* UINT32_MAX: nowhere in particular */
	u32 refused_code; /* enum reject_code, of what is refused before the verifier; 0: none */
	u64 started_ns;
};
const struct progtype *progtype_of(struct skep *k, u32 id); /* also an embedder's */
const struct helper_proto *proto_of(struct skep *k, u32 id, u64 avail); /* NULL: that type of program may not call it */

/* Adds a line to the caller's log; err. */
PRINTF_LIKE(3, 4) int load_refuse(struct load *l, int err, const char *fmt, ...);

/* load_types.c: before and after functions are found; 0 or -errno, and why in the log */
int take_types(struct load *l);
int match_types(struct load *l);
int relocate(struct load *l);

/* attach.c: 0 or -errno, and why in the log */
int find_attach_target(struct load *l);
int check_sleeping(struct load *l);
/* load_verify.c */
int load_verify(struct load *l);
void load_not_verified(struct load *l); /* it was refused before: how the log ends */
/* load_compile.c */
int load_compile(struct load *l);
/* profile.c: profilers and debuggers of the process; what cannot be written later is only logged */
int profile_open(struct skep *k); /* -errno */
void profile_close(struct skep *k);
void profile_add(struct skep *k, struct prog *p); /* its code is there */

/* check.c: both verdicts of a load that ended before the verifier decided; l->p still exists */
void check_undecided(struct load *l, int err);
/* the line of the source in which an instruction lies, and its file where one is asked for; 0: not known */
u32 source_line(const struct prog *p, u32 insn, char *file, size_t size);

#endif
