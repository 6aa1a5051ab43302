/* SPDX-License-Identifier: BSD-2-Clause */
/* cgroup: the cgroups of version 2 that a task is in: cgroup.c. Who has a struct cgroups is the only one to use it. */
#ifndef SKEP_HOOK_CGROUP_H
#define SKEP_HOOK_CGROUP_H

#include "base/base.h"

#include <limits.h>
#include <sys/types.h>

/* Where the hierarchy is mounted, and the cgroups of the task that was asked for last. */
struct cgroups {
	char mount[PATH_MAX / 2], root[PATH_MAX / 2]; /* root: what of it is mounted, "" for all */
	char last[PATH_MAX];
	u64 ids[32];
	u32 n;
};
void cgroups_open(struct cgroups *g);
u32 cgroups_of(struct cgroups *g, pid_t tid, u64 *ids, u32 most); /* ids, root first, its own last; 0: not known */

#endif
