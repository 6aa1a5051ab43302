/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend: whose bpf(2) a loader of test programs talks to. backend_skep.c is an engine of this process, backend_kernel.c the
 * running kernel; which one is a matter of linking. Every PROG_LOAD passes by, so that verdict and time of one program are known
 * whatever its loader makes of them.
 */
#ifndef TESTS_VERIFY_BACKEND_H
#define TESTS_VERIFY_BACKEND_H

#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

struct seen_load {
	const struct bpf_program *program; /* in: whose PROG_LOAD is meant; NULL: none */
	const char *name; /* in: or the program's name, where the loader copies its instructions; NULL: none */
	bool every; /* in: all programs are meant */
	unsigned calls; /* how often it was tried */
	int result; /* of the last try, as Linux judges: 0 or -errno */
	int safe; /* and as skep itself does; on the running kernel the same */
	char message[256]; /* why Linux refuses it, where a backend knows without a log */
	bool plain; /* in: PROG_LOAD alone, which has skep's own verdict only */
	uint32_t mutants, first_mutant; /* in: how many mutants (mutate.h) of what is accepted are loaded too, and the first one's seed */
	void (*mutant)(uint32_t seed, int result, int safe, const char *message); /* in: who is told of each; message: as above */
	void (*run)(int prog_fd); /* in: what is done with one that was accepted, while runs are watched */
	char *mutant_log; /* in: of LOG_BYTES, where the last mutant's log goes; NULL: nowhere */
	uint32_t insn_cnt;
	uint64_t ns; /* of the last try */
};
extern struct seen_load seen;

extern const char backend_name[];
int backend_open(const char *kernel_btf); /* kernel_btf: the file for an engine; the running kernel has its own */
void backend_reset(void); /* a fresh engine */
enum { LOG_BYTES = 64 << 20 };
enum { WATCHED_INSNS = 1000000 }; /* of one run: loops with may_goto turn 8 million times, in one another many more, and iterators as long as a program likes */
/* Runs of the program that is looked at are held against the states that the verifier explored (watch.h). -EOPNOTSUPP: not here. */
int backend_watch(void);
/* Since the last reset: the first violation, "" for none; how many instructions were looked at, and how many runs were ended at WATCHED_INSNS. */
const char *backend_violation(uint64_t *steps, uint64_t *cut);
/* Ways in which an engine can run programs (interpreted, compiled, without single passes of the compiler, ...): the name of way k, which counts from the
 * next reset on; NULL: there is none. */
const char *backend_setting(unsigned k);
const char *backend_code(int prog_fd); /* "compiled", or why not */
int backend_privileges(bool all); /* later calls as a user without CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_SYS_ADMIN; -errno */

/* backend.c: what both do around a call */
bool seen_is(int cmd, const union bpf_attr *attr);
uint64_t seen_clock(void);
void seen_result(const union bpf_attr *attr, int result, uint64_t ns);
/* Loads the mutants of a program that was accepted. load: gives Linux's verdict (0 or -errno), skep's, and perhaps a message. */
void seen_mutants(const union bpf_attr *attr, uint32_t size, int (*load)(union bpf_attr *attr, uint32_t size, int *safe, char message[256]));

#endif
