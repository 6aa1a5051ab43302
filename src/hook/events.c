/* SPDX-License-Identifier: BSD-2-Clause */
/* What tasks do, as a door tells it. */
#include "hook/hooks.h"

void task_event_enter(struct skep *k, struct task *t, u64 nr, const u64 args[6])
{
	(void)k, (void)t, (void)nr, (void)args;
}

void task_event_exit_syscall(struct skep *k, struct task *t, u64 nr, s64 ret)
{
	(void)k, (void)t, (void)nr, (void)ret;
}

void task_event_exec(struct skep *k, struct task *t, const char *filename, u32 old_tid)
{
	(void)k, (void)t, (void)filename, (void)old_tid;
}

void task_event_fork(struct skep *k, struct task *parent, struct task *child)
{
	(void)k, (void)parent, (void)child;
}

void task_event_exit(struct skep *k, struct task *t, bool group_dead)
{
	(void)k, (void)t, (void)group_dead;
}

void task_event_rename(struct skep *k, struct task *t, const char comm[16])
{
	(void)k, (void)t, (void)comm;
}

void task_event_signal_generate(struct skep *k, struct task *t, struct task *target, int sig, int err, int code, bool group, int result)
{
	(void)k, (void)t, (void)target, (void)sig, (void)err, (void)code, (void)group, (void)result;
}

void task_event_signal_deliver(struct skep *k, struct task *t, int sig, int err, int code, u64 handler, u64 flags)
{
	(void)k, (void)t, (void)sig, (void)err, (void)code, (void)handler, (void)flags;
}

int hook_file(struct skep *k, const char *path, char **text, size_t *size)
{
	(void)k, (void)path, (void)text, (void)size;
	return -ENXIO;
}

void hook_file_free(struct skep *k, char *text, size_t size)
{
	mem_free(&k->mem, text, size);
}
