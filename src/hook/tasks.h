/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tasks: the seam between the engine and a door. A door watches processes (by ptrace, seccomp notification, or in a test by hand) and
 * tells the engine what they do; the engine runs the programs that are attached to it. Everything that is specific to a way of watching
 * stays on the door's side.
 *
 * Ownership: the door owns struct task_door and keeps it until the engine ends or tasks_door(k, NULL). The engine owns every struct task;
 * one is valid from task_add() to task_remove(). Task functions may be called from any thread; of one task, one event at a time.
 */
#ifndef SKEP_TASKS_H
#define SKEP_TASKS_H

#include "base/base.h"

#include <sys/types.h>

struct skep;
struct task;

/* ---- tasks ---- */

/* What the engine is told of a task. Ids are as the door's own pid namespace has them. */
struct task_info {
	u32 tid, tgid;
	u32 parent; /* thread group of its real parent; 0: it has none that the door knows */
	u32 uid, gid, euid, egid;
	char comm[16];
	u64 start_ns; /* CLOCK_MONOTONIC */
	u64 cgroup; /* inode number of its cgroup v2 directory; 0: unknown */
	u64 cgroup_ancestors[16]; /* of it, root first, itself last */
	u32 n_cgroup_ancestors;
	u64 pid_ns_dev, pid_ns_ino, mnt_ns_ino; /* of /proc/TID/ns/pid and mnt; 0: unknown */
	u32 ns_tid, ns_tgid; /* inside of that pid namespace; 0: as tid and tgid */
	int exit_code; /* as wait(2) encodes it: set before task_event_exit() */
};

/* Registers of a stopped task: Linux's struct pt_regs of x86-64, which is what PTRACE_GETREGS's struct user_regs_struct begins with. */
struct task_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

/* What a door does for the engine. Called during a task_event_*() of that task, by the same thread (needs_changed: by any). Members may be NULL: the
 * helper that needs one then gives an error. */
struct task_door {
	void *ud;
	/* Bytes copied from the start on (a short count: the rest cannot be accessed), or -errno. */
	s64 (*read)(void *ud, u32 tid, u64 from, void *to, u64 size);
	s64 (*write)(void *ud, u32 tid, u64 to, const void *from, u64 size);
	int (*regs)(void *ud, u32 tid, struct task_regs *out); /* 0 or -errno */
	int (*signal)(void *ud, u32 tgid, u32 tid, int signal); /* tid 0: the thread group. 0 or -errno */
	/* Ids of the cgroups that the task is in now, root first, its own last; 0: not known. Without it they are as the task's info has them. */
	u32 (*cgroups)(void *ud, u32 tid, u64 *ids, u32 most);
	/* task_needs() may give something else now: a link came or went. Called without locks, by the thread that made or broke the link. */
	void (*needs_changed)(void *ud);
	bool sets_probes; /* it stops tasks where task_probes() says and tells task_event_probe(); without it, uprobes are refused when they are opened */
	bool waits; /* tasks wait while readers are behind (inside of processes: when there is no room for more), so that no record is lost */
	/* For whom the calling thread makes a run outside of any event; NULL: for itself. Called by any thread. */
	const struct task_info *(*caller)(void *ud);
};

void tasks_door(struct skep *k, const struct task_door *door); /* NULL: none any more */

struct task *task_add(struct skep *k, const struct task_info *info); /* NULL: out of memory, or the tid exists */
struct task *task_find(struct skep *k, u32 tid); /* NULL: none */
void task_update(struct skep *k, struct task *t, const struct task_info *info); /* what the door learnt; tid and tgid may change (exec) */
const struct task_info *task_info(const struct task *t);
u64 task_object(const struct task *t); /* address of its struct task_struct, the same for as long as the task is there; 0: it has none */
void task_remove(struct skep *k, struct task *t);

/* ---- which events are wanted ---- */

enum { TASK_SYSCALLS = 512 }; /* numbers of x86-64 lie below */

enum task_want {
	TASK_WANT_EXEC = 1 << 0,
	TASK_WANT_FORK = 1 << 1,
	TASK_WANT_EXIT = 1 << 2,
	TASK_WANT_RENAME = 1 << 3, /* a new comm: by prctl, by a write to /proc, by exec */
	TASK_WANT_SIGNAL_GENERATE = 1 << 4,
	TASK_WANT_SIGNAL_DELIVER = 1 << 5,
};

struct task_needs {
	u64 version; /* changes with every change of what follows */
	u32 want; /* enum task_want */
	u64 enter[TASK_SYSCALLS / 64], exit[TASK_SYSCALLS / 64]; /* a bit per system call whose event is wanted; raw_syscalls: all of them */
	bool memory; /* some program of these may read the task's memory */
};

void task_needs(struct skep *k, struct task_needs *out);
static inline bool task_needs_enter(const struct task_needs *n, u64 nr)
{
	return nr < TASK_SYSCALLS && n->enter[nr / 64] >> nr % 64 & 1;
}
static inline bool task_needs_exit(const struct task_needs *n, u64 nr)
{
	return nr < TASK_SYSCALLS && n->exit[nr / 64] >> nr % 64 & 1;
}

/* ---- probes in functions of processes: uprobes, uretprobes, USDT ---- */

struct task_probe {
	u64 id; /* for task_event_probe() */
	const char *path; /* as the client named the file */
	u64 dev, ino; /* which file that is */
	u64 offset; /* in it */
	u64 counter; /* offset of a 16-bit counter that is above 0 while somebody is there (USDT's semaphore); 0: none */
	s32 pid; /* process; -1: all */
	bool at_return; /* when the function that begins there returns */
};
/* All that have a program now; they change with task_needs()'s version. visit may not call the engine. */
void task_probes(struct skep *k, void (*visit)(void *ud, const struct task_probe *p), void *ud);

/*
 * Programs that run inside the task that meets a probe: the door maps what such a program consists of into the process, at the addresses where the
 * engine has it, and has the task call the program there. What a process gets this way it may spoil: values of maps, its own struct task_inside.
 */
enum { TASK_INSIDE_CODE = 16384, TASK_INSIDE_THREADS = 512, TASK_INSIDE_CALLS = 4096, TASK_INSIDE_WAYS = 4, TASK_CODE_MAPS = 133, TASK_INSIDE_FRAME = 24 };

/* Of one process, TASK_INSIDE_CODE bytes behind the routines; zero at first. */
struct task_inside {
	u64 tgid; /* in the high half */
	u64 clock; /* address of clock_gettime() in its vDSO */
	u64 missed; /* returns that are not told of, as there was no room in call[] */
	u32 quiet; /* not 0: nobody answers any more */
	u32 by_abi; /* not task_inside_fsgsbase() */
	u64 uid_gid; /* as bpf_get_current_uid_gid() gives them */
	u64 window, window_size; /* the engine's: its kernel objects and maps lie there */
	u64 reserved;
	u64 thread[TASK_INSIDE_THREADS]; /* see task_inside_thread() */
	struct {
		u64 slot; /* where the return address lies; 0: unused */
		u64 stub; /* what was put there */
		u64 to; /* what it was */
		u64 reserved;
	} call[TASK_INSIDE_CALLS];
	u64 comm[TASK_INSIDE_THREADS][2]; /* names of those in thread[], padded with zeros */
	u64 object[TASK_INSIDE_THREADS]; /* and what task_object() gives for them */
};
/* A thread is found by its FS base: in the place of that number, or the one beside it (number ^ 1), is this value. */
static inline u32 task_inside_place(u64 fs)
{
	return (u32)((fs << 16) * 0x9e3779b97f4a7c15ull >> 55);
}
static inline u64 task_inside_thread(u64 fs, u32 tid)
{
	return fs << 16 ^ tid;
}

struct task_code_map {
	u64 at, size, offset;
	int fd; /* the caller's to close */
	bool writes, runs;
};
struct task_code {
	u64 entry, cookie; /* entry(run, registers): run is TASK_INSIDE_FRAME bytes: 0, cookie, address of the probed function */
	u64 inside; /* the routines: map[0]; struct task_inside lies TASK_INSIDE_CODE bytes behind */
	u64 enter; /* enter(slot, stub): the return address at slot becomes stub, if there is room to remember it */
	u64 leave; /* leave(slot, stub): what it was; forgotten */
	u64 ask, trap; /* a breakpoint at `trap`, of a function that begins at `ask`, is for task_inside_ask(); while task_inside.quiet is set, no task comes there */
	u64 reads, read_end; /* a task whose access at [reads, read_end) is one to no memory goes on at the latter; one that is let go there, too */
	u64 run, cpus; /* run(run, registers, entry, cpus, task_inside.tgid) is to be called instead of entry; 0: no */
	u64 window, window_size; /* for task_inside's */
	bool names_tasks; /* asks for thread[], comm[] and object[], by the FS base */
	bool asks_time; /* asks for clock */
	u32 n;
	struct task_code_map map[TASK_CODE_MAPS];
};
/* 0: the program of the probe can run inside of tasks; then task_code_close(). -ENOTSUP: it cannot, or -errno. */
int task_probe_code(struct skep *k, u64 id, struct task_code *out);
void task_code_close(struct task_code *c);
/* What t asks for at a breakpoint of a routine: the arguments of a C function. The result is what it is to return. */
struct task_ask {
	u64 helper, map, key, value, flags, cpu;
};
s64 task_inside_ask(struct skep *k, struct task *t, const struct task_ask *a);
/* Records that programs inside have written reach their rings: all that are there now, unless the door waits for readers and a ring is full. */
void task_inside_fetch(struct skep *k);
/* The same; called every few milliseconds for as long as it gives true. */
bool task_inside_tick(struct skep *k);
bool task_inside_fsgsbase(void); /* routines read the FS base; otherwise what it points to, which by the ABI of thread-local storage is the same */
void task_inside_gone(struct skep *k, u32 tgid); /* the process has ended or has another memory: what its runs had taken is free */

/* t came by. address: of the probed instruction. regs: as they are there, or behind the return. */
void task_event_probe(struct skep *k, struct task *t, u64 id, u64 address, const struct task_regs *regs);

/* ---- events. What nobody is attached to costs a look at a bit and may be told all the same. ---- */

void task_event_enter(struct skep *k, struct task *t, u64 nr, const u64 args[6]);
void task_event_exit_syscall(struct skep *k, struct task *t, u64 nr, s64 ret);
/* After the new program is in place: t has its new tid, comm and credentials. filename: as given to execve(2); old_tid: of the thread that called it. */
void task_event_exec(struct skep *k, struct task *t, const char *filename, u32 old_tid);
/* The child was added; neither has run on. */
void task_event_fork(struct skep *k, struct task *parent, struct task *child);
/* Before task_remove(). group_dead: it is the last thread. */
void task_event_exit(struct skep *k, struct task *t, bool group_dead);
/* Before task_update() tells the new comm. */
void task_event_rename(struct skep *k, struct task *t, const char comm[16]);
/* t is the sender. result: 0 delivered, 1 ignored, 2 already pending, 3 overflow, 4 lost (Linux's TRACE_SIGNAL_*). */
void task_event_signal_generate(struct skep *k, struct task *t, struct task *target, int sig, int err, int code, bool group, int result);
void task_event_signal_deliver(struct skep *k, struct task *t, int sig, int err, int code, u64 handler, u64 flags);

/* Clocks (PERF_COUNT_SW_CPU_CLOCK and the like) that clients opened: when the next one is due, in ns of CLOCK_MONOTONIC; 0: none. needs_changed() does not tell of
 * them: ask after every call of a client's. */
u64 task_clock_next(struct skep *k);
/* Runs what is due at `now`. running: the task on each CPU (NULL: none of the tree); an event of one process runs where that is. */
void task_clock_run(struct skep *k, u64 now, struct task *const *running, u32 n);

/*
 * A client's descriptor of a link or perf event is closed without a call of the engine's: its program goes on running until that is noticed. The descriptor
 * is readable when there is something to notice (the engine's own: not to be closed; -1: none, ask now and then); every bpf(2) call notices, too.
 */
int tasks_closed_fd(struct skep *k);
void tasks_closed(struct skep *k);

/* ---- files ---- */

/*
 * The files that clients look for hooks in: tracefs (under /sys/kernel/tracing and /sys/kernel/debug/tracing), /sys/bus/event_source/devices,
 * /sys/kernel/btf. Only what has something behind it exists.
 *
 * 0: *text is the whole contents, *size bytes, to be given back by hook_file_free(). -ENOENT: no such file, and none of the host's may be shown in its
 * place. -EISDIR: it is a folder: *text lists its entries, one a line, folders with a '/' behind. -ENXIO: not one of the engine's, the host's is good.
 */
int hook_file(struct skep *k, const char *path, char **text, size_t *size);
void hook_file_free(struct skep *k, char *text, size_t size);

#endif
