/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * jit: compiled programs. Only what a verifier accepted may be compiled: nothing is checked when it runs.
 *
 * Ownership: jit_compile() hangs the code on the program; jit_free() gives it back. The compiler's own memory lives for one call.
 */
#ifndef SKEP_JIT_JIT_H
#define SKEP_JIT_JIT_H

#include "jit/mach.h"
#include "opt/opt.h"

struct jit_options {
	const struct run_host *host;
	struct window *window;
	const struct prog_facts *facts; /* may be NULL */
	u32 without; /* set of enum opt_pass that are left out */
	u32 registers; /* tests: set of registers that may be used; 0: all */
	bool baseline; /* tests: without extensions of the instruction set */
	bool poison; /* tests: registers that a call may change are destroyed after it */
	bool check; /* the form is checked after every pass */
	bool poll; /* budget and stop are looked at on back edges and calls */
	bool anonymous; /* no file is behind the code: the only memory that perf looks up in its map of names */
	bool lines; /* the code says which instructions it comes from */
	struct text *dump; /* optional: the SSA before and after each pass */
};

struct jit_stats {
	u64 ns;
	u32 bytes, nodes, slots;
};

/* 0: p->code is set (p->elsewhere, as the host says). -ENOTSUP with *why naming what cannot be compiled, -ENOMEM; then the program is interpreted. */
int jit_compile(struct prog *p, const struct jit_options *o, struct jit_stats *stats, const char **why);
void jit_free(struct prog *p);

/* gdb.c: a debugger of this process learns the names of the program's functions, and how to unwind them; -ENOMEM. Withdrawn before the code goes. */
int jit_announce(struct prog *p);
void jit_withdraw(struct prog *p);

extern const struct target target_x64;

#endif
