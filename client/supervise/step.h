/* SPDX-License-Identifier: BSD-2-Clause */
/* step: what the instructions that functions begin with, and that follow calls, do to registers: a task that
 * stands at one need not be stepped over it. */
#ifndef SKEP_SUPERVISE_STEP_H
#define SKEP_SUPERVISE_STEP_H

#include "hook/tasks.h"

struct step_store {
	bool any; /* eight bytes are to be written */
	u64 at, value;
};

/* regs->ip is at code. Bytes of the instruction, with regs as they are behind it; 0: not one of these,
 * nothing is changed. */
u32 step_over(const u8 *code, u32 n, struct task_regs *regs, struct step_store *store);

#endif
