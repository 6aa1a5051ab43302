/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The seccomp filter, generated from calls.def. It begins with the architecture: 64-bit calls are compared by number; x32 is refused
 * (its numbers would pass by the comparison); 32-bit programs have no bpf(2) here, their other calls run free. The kernel remembers which
 * numbers are allowed whatever their arguments, so the length of the list costs nothing to calls that are not in it.
 */
#include "client/supervise/tree.h"

#include <fcntl.h>
#include <sched.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALWAYS                    0, CALL_ALWAYS, 0, 0
#define WHEN(arg, mask, value)   arg, CALL_WHEN, mask, value
#define UNLESS(arg, mask, value) arg, CALL_UNLESS, mask, value
#ifndef SYS_fchmodat2 /* newer than some systems' headers */
#define SYS_fchmodat2 452
#endif
#define CALL_ROW(name, handler, args, in_bpffs, elsewhere, ...) {SYS_##name, handler, __VA_ARGS__, #name, args, in_bpffs, elsewhere},

static const struct call_row rows[] = {
#define CALL(name, handler, test)                   CALL_ROW(name, handler, "", 0, 0, test)
#define FILE_CALL(name, handler, test, args)        CALL_ROW(name, handler, args, 0, 0, test)
#define PATH_CALL(name, args, in_bpffs, elsewhere) CALL_ROW(name, serve_path, args, in_bpffs, elsewhere, ALWAYS)
#include "client/supervise/calls.def"
};

const struct call_row *call_row(int nr)
{
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].nr == nr)
			return &rows[i];
	return NULL;
}

bool call_matters(const struct call_row *row, const u64 args[6])
{
	bool equal = ((u32)args[row->arg] & row->mask) == row->value;

	return row->test == CALL_ALWAYS || equal == (row->test == CALL_WHEN);
}

/* ---- instructions ---- */

struct program {
	struct sock_filter *at;
	u32 n;
};

static void add(struct program *p, u16 code, u8 yes, u8 no, u32 k)
{
	if (p->n < FILTER_MAX)
		p->at[p->n++] = (struct sock_filter){code, yes, no, k};
}

static void load(struct program *p, size_t offset)
{
	add(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, (u32)offset);
}

static void give(struct program *p, u32 action)
{
	add(p, BPF_RET | BPF_K, 0, 0, action);
}

/* The accumulator holds the number, before and after. */
static void add_row(struct program *p, const struct call_row *row, u32 action)
{
	if (row->test == CALL_ALWAYS) {
		add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (u32)row->nr);
		give(p, action);
		return;
	}
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 5, (u32)row->nr);
	load(p, offsetof(struct seccomp_data, args) + row->arg * sizeof(u64));
	add(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, row->mask);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, row->test == CALL_WHEN ? 0 : 1, row->test == CALL_WHEN ? 1 : 0, row->value);
	give(p, action);
	give(p, SECCOMP_RET_ALLOW);
}

u32 filter_build(struct sock_filter *out, u32 action)
{
	enum { I386_BPF = 357, I386_PERF_EVENT_OPEN = 336, X32 = 0x40000000 };
	struct program p = {out, 0};

	load(&p, offsetof(struct seccomp_data, arch));
	add(&p, BPF_JMP | BPF_JEQ | BPF_K, 5, 0, AUDIT_ARCH_X86_64);
	load(&p, offsetof(struct seccomp_data, nr));
	add(&p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, I386_BPF);
	add(&p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, I386_PERF_EVENT_OPEN);
	give(&p, SECCOMP_RET_ERRNO | ENOSYS);
	give(&p, SECCOMP_RET_ALLOW);
	load(&p, offsetof(struct seccomp_data, nr));
	add(&p, BPF_JMP | BPF_JGE | BPF_K, 0, 2, X32);
	add(&p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, UINT32_MAX); /* -1: a call that a tracer has skipped */
	give(&p, SECCOMP_RET_ERRNO | ENOSYS);
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++)
		add_row(&p, &rows[i], action);
	give(&p, SECCOMP_RET_ALLOW);
	return p.n;
}

/* 32-bit calls have no events: they stop to be counted. */
u32 filter_trace(struct sock_filter *out, const struct task_needs *needs)
{
	enum { NOT_READ = O_ACCMODE | O_DIRECTORY | O_PATH };
	static const struct call_row in_part[] = {
		{SYS_clone, NULL, WHEN(0, CLONE_UNTRACED, CLONE_UNTRACED), "clone", "", 0, 0},
		/* what may be a file to read: /proc/self/status among them (door_hide()) */
		{SYS_open, NULL, WHEN(1, NOT_READ, 0), "open", "", 0, 0},
		{SYS_openat, NULL, WHEN(2, NOT_READ, 0), "openat", "", 0, 0},
		{SYS_openat2, NULL, ALWAYS, "openat2", "", 0, 0},
	};
	struct program p = {out, 0};

	load(&p, offsetof(struct seccomp_data, arch));
	add(&p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64);
	give(&p, SECCOMP_RET_TRACE);
	load(&p, offsetof(struct seccomp_data, nr));
	for (u32 i = 0; i < ARRAY_SIZE(in_part); i++)
		if (!task_needs_enter(needs, (u64)in_part[i].nr) && !task_needs_exit(needs, (u64)in_part[i].nr))
			add_row(&p, &in_part[i], SECCOMP_RET_TRACE);
	for (u32 nr = 0; nr < TASK_SYSCALLS; nr++) {
		bool names = nr == SYS_prctl || nr == SYS_execve || nr == SYS_execveat, traces = nr == SYS_ptrace || nr == SYS_io_uring_setup || nr == SYS_getppid;
		bool sends = call_sends((int)nr) && needs->want & TASK_WANT_SIGNAL_GENERATE;

		if (!names && !traces && !sends && !task_needs_enter(needs, nr) && !task_needs_exit(needs, nr))
			continue;
		add(&p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, nr);
		give(&p, SECCOMP_RET_TRACE);
	}
	give(&p, SECCOMP_RET_ALLOW);
	return p.n;
}

int filter_listen(void)
{
	struct sock_filter insns[FILTER_MAX];
	struct sock_fprog prog = {.filter = insns};
	long fd;

	prog.len = (unsigned short)filter_build(insns, SECCOMP_RET_USER_NOTIF);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	/* Without the second flag (before 5.19) a signal, or a tracer, ends the wait for an answer, and the call is made again though it was carried out. */
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &prog);
	return fd < 0 ? -errno : (int)fd;
}
