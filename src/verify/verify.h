/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify: proves that a program ends and touches nothing it may not, or says why not. The verdict is Linux's (6.18).
 *
 * Two results, never mixed: VERIFY_LINUX explores as the kernel does and within its limits; VERIFY_SAFE also joins states at the heads of loops
 * whose trip bound is proved, and has limits of its own. A program runs on VERIFY_SAFE; VERIFY_LINUX is what is reported as the kernel's verdict.
 *
 * Ownership: the caller owns the program and the log; all memory of a verification lies in one arena, gone when verify_program() returns. What
 * it leaves behind (struct verify_result, the program's facts) is in the program's arena.
 */
#ifndef SKEP_VERIFY_H
#define SKEP_VERIFY_H

#include "abi/abi.h"
#include "prog/prog.h"

enum verify_mode { VERIFY_LINUX, VERIFY_SAFE };

/* Each can be turned off; verdicts do not depend on it, only cost (VERIFY_LINUX's limits count what was explored). */
enum verify_switch {
	VERIFY_NO_PRUNE = 1 << 0,
	VERIFY_NO_REG_LIVENESS = 1 << 1,
	VERIFY_NO_STACK_LIVENESS = 1 << 2,
	VERIFY_NO_JOIN = 1 << 3,
	VERIFY_ALL_PRECISE = 1 << 4, /* every scalar counts as precise */
};

struct btf;
struct verifier;

struct verify_options {
	enum verify_mode mode;
	u32 switches; /* enum verify_switch */
	u32 log_level; /* as PROG_LOAD: 1, 2, 4 */
	/* what the loading user may do: CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN or CAP_SYS_ADMIN */
	bool cap_bpf, cap_perfmon, cap_net_admin;
	bool strict_alignment, any_alignment, test_state_freq, test_rnd_hi32, reg_invariants; /* PROG_LOAD's flags */
	u64 max_insns, max_jumps; /* 0: the mode's own */
	u64 max_bytes; /* of memory; 0: 2 GiB */
	struct arena_store *store; /* where its memory comes from, and goes to; NULL: from the program's */
	struct btf_kernel kernel; /* types of the kernel, asked for when a rule first needs them */
	/* Optional: is shown the current state before each instruction that is walked (verify/state.h); it changes nothing. */
	void (*visit)(void *ud, const struct verifier *v);
	void *visit_ud;
	const struct verify_stats *decided; /* VERIFY_LINUX, for the log: what skep's own result, which came to the same verdict, found out about loops; or NULL */
};

enum reject_code {
	REJECT_NONE,
#define REJECT(name, err, about, lost, needs, doc) REJECT_##name,
#include "verify/errors.def"
	REJECT_CODES
};

/* What every refusal by a rule carries beside the code and the instruction. */
enum reject_about {
	ABOUT_INSN, /* nothing: the instruction, or the program, is wrong in itself */
	ABOUT_REG, /* the register; in words, what was needed and what it held */
	ABOUT_BOUND, /* the register, and numbers: what was needed and what is proved */
	ABOUT_NUMBER, /* numbers: a limit and what exceeds it */
	ABOUT_SLOT, /* the stack slot; in words, what was needed and what it held */
	ABOUT_HELD, /* in words, what must be held, or must not, and what was */
};

/* How the instruction is found at which the fact was lost that a rule asks for (trace.c). */
enum reject_lost {
	LOST_NOWHERE, /* the instruction itself is wrong */
	LOST_BOUNDS, /* what gave a number its value, behind copies and constant steps */
	LOST_PACKET, /* the comparison with the packet's end, or else what made the pointer */
	LOST_POINTER, /* the call that took a pointer away, or else what made the number */
	LOST_ORIGIN, /* what made the value, or left the register without one */
	LOST_SLOT, /* what wrote the stack slot last */
	LOST_HELD, /* what took the lock or began the section */
};

/* A rejection as data: text is made from errors.def. */
enum { REJECT_PATH = 64, REJECT_WORDS = 96 };
struct rejection {
	u32 code; /* enum reject_code; 0: none */
	int err; /* -EINVAL, -EACCES, ... */
	u32 insn; /* index of the slot; UINT32_MAX: the program as a whole */
	s32 reg; /* register concerned, or -1 */
	bool measured; /* there are numbers: */
	char needs[REJECT_WORDS], holds[REJECT_WORDS]; /* what the rule asks for and what there was, in words; "": none */
	s64 needed, proved; /* what the rule asks for and what is known: a bound of the register's number, bytes of the packet or object, or an alignment */
	bool has_slot; /* the stack slot concerned: */
	u32 frame, slot;
	u32 lost_at; /* instruction at which the fact was lost; UINT32_MAX: not known */
	bool lost_at_entry; /* it never held on the path: so since the program, or the function, began */
	u32 n_path; /* the latest jumps, calls and returns of the path, in order */
	struct reject_step {
		u32 from, to; /* instructions */
	} path[REJECT_PATH];
	char text[256]; /* the kernel's line */
};

enum { VERIFY_BOUNDS = 32 };
struct verify_stats {
	u64 insns_given_up, walks_given_up; /* before the walks that decided */
	u64 insns_processed, total_states, peak_states, max_states_per_insn, time_ns, memory_peak;
	u32 stack_depth[256];
	/* loops whose turns were joined, and the proof of each that it ends */
	u32 n_bounds;
	struct verify_bound {
		u32 head, test; /* instructions: where a turn begins, and the jump that bounds the turns */
		u64 trips; /* at most that many */
	} bounds[VERIFY_BOUNDS];
};

struct verify_result {
	int verdict; /* 0: accepted; -EINVAL, -EACCES, -E2BIG, ...; -ENOMEM: skep's own trouble */
	struct rejection why;
	struct verify_stats stats;
	u32 reach[PROG_REACHES]; /* as struct prog has it */
	bool reads_maps; /* as the kernel's structs, which maps here are not */
	const char *lacks_kind; /* a kind of map that the program uses in a way which this build cannot run; NULL: none */
};

u64 verify_insns_most(enum verify_mode mode); /* of a walk, where nothing else is said */
/* 0 or the verdict in result->verdict; the log gets what PROG_LOAD's log levels ask for. */
int verify_program(struct prog *p, const struct verify_options *opts, struct text *log, struct verify_result *result);
/* Where functions begin, at level 2: Linux says it once it found them, before it refuses anything for what they do or name. */
void verify_log_functions(const struct prog *p, u32 level, struct text *log);
/* The end of the log of a program that was refused before its verification began, after so much time. */
void verify_not_begun(const struct prog *p, const struct verify_options *opts, u64 time_ns, struct text *log);
const char *reject_name(u32 code); /* "STACK_UNINITIALISED": stable */
enum reject_lost reject_lost(u32 code);
enum reject_about reject_about(u32 code);

#endif
