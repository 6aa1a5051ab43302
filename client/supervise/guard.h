/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guard: a process that mends processes which were there before their supervisor (skep trace -p) when that is killed and cannot do it itself: breakpoints and
 * jumps go out of their text. It sleeps until then. What meets a breakpoint between that death and the repair is lost: Linux gives it the signal.
 */
#ifndef SKEP_SUPERVISE_GUARD_H
#define SKEP_SUPERVISE_GUARD_H

#include "client/supervise/space.h"

struct guard; /* memory that both have: what was altered where. All functions take NULL: nobody guards */

pid_t guard_start(struct guard **out); /* by the thread that traces; its pid, or -errno */
void guard_set(struct guard *g, pid_t tgid, u64 at, const u8 code[BRK_JUMP]); /* before the text changes there: what it was */
/* A routine's breakpoint, where routines read what may not be there (struct task_code), and the word that keeps tasks from both. */
void guard_quiet(struct guard *g, pid_t tgid, u64 trap, u64 reads, u64 read_end, u64 quiet);
void guard_forget(struct guard *g, pid_t tgid); /* the process has ended, or has another memory */
void guard_end(struct guard *g); /* all is as it was */

#endif
