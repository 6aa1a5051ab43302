/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hooks: where programs are attached, and the tasks whose events run them.
 *
 * Ownership: struct skep owns struct hooks, which owns tasks and attachments.
 */
#ifndef SKEP_HOOKS_H
#define SKEP_HOOKS_H

#include "hook/hook.h"
#include "hook/tasks.h"

enum { TASK_BUCKET_BITS = 10 };

struct task {
	struct task_info info;
	struct task *chain; /* by tid */
};

struct hooks {
	const struct task_door *_Atomic door;
	plain_lock task_lock; /* guards tasks */
	struct task *tasks[1 << TASK_BUCKET_BITS];
	plain_lock lock; /* guards what follows */
	struct task_needs needs;
};

#endif
