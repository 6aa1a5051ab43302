/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel memory: blocks of one size in a region that is reserved at once and touched as it is used. A block that was given back keeps its bytes until it
 * is taken again: a program that still holds its address reads what was true. They lie in a file if they may, for programs that run in other processes (hook/inside.c). */
#include "kernel/kernel.h"

static struct kernel_task *block(const struct kernel_memory *m, u32 i)
{
	return (struct kernel_task *)(m->region.base + (size_t)i * KERNEL_BLOCK);
}

int kernel_memory_open(struct kernel_memory *m, struct window *w)
{
	*m = (struct kernel_memory){.region = {.fd = -1}};
	if (region_create(w, &m->region, REGION_SHARED, "skep-kernel", (size_t)KERNEL_BYTES + HEAP_BYTES, m)) /* files may not be that large (RLIMIT_FSIZE) */
		return region_create(w, &m->region, REGION_PRIVATE, "kernel", (size_t)KERNEL_BYTES + HEAP_BYTES, m);
	return 0;
}

void kernel_memory_close(struct kernel_memory *m)
{
	region_destroy(&m->region);
}

struct kernel_task *kernel_task_new(struct kernel_memory *m)
{
	struct kernel_task *t = NULL;

	plain_lock_take(&m->lock);
	if (m->free) {
		t = block(m, m->free - 1);
		m->free = t->next_free;
	} else if (((size_t)m->used + 1) * KERNEL_BLOCK <= KERNEL_BYTES) {
		t = block(m, m->used++);
	}
	plain_lock_drop(&m->lock);
	if (!t)
		return NULL;
	memset(t, 0, sizeof(*t));
	t->task.real_cred = t->task.cred = &t->cred;
	t->task.nsproxy = &t->nsproxy;
	t->task.cgroups = &t->css_set;
	t->task.thread_pid = &t->pid;
	t->task.group_leader = t->task.real_parent = t->task.parent = &t->task;
	t->nsproxy.mnt_ns = &t->mnt_ns;
	t->nsproxy.pid_ns_for_children = &t->pid_ns;
	t->css_set.dfl_cgrp = &t->cgroup;
	t->cgroup.kn = &t->kn;
	return t;
}

void kernel_task_free(struct kernel_memory *m, struct kernel_task *t)
{
	if (!t)
		return;
	plain_lock_take(&m->lock);
	t->next_free = m->free;
	m->free = (u32)(((u8 *)t - m->region.base) / KERNEL_BLOCK) + 1;
	plain_lock_drop(&m->lock);
}
