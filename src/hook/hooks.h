/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hooks: where programs are attached, and the tasks whose events run them.
 *
 * sites.c   which tracepoints there are (a site each)      attach.c  links, and the lists of programs at sites
 * tasks.c   tasks, and what programs may ask of them       perf.c    perf event descriptors, clock events
 * events.c  records and arguments of events, running       files.c   tracefs and its like
 *
 * Ownership: struct skep owns struct hooks, which owns tasks; an attachment belongs to the link or perf event that made it.
 */
#ifndef SKEP_HOOKS_H
#define SKEP_HOOKS_H

#include "hook/cgroup.h"
#include "hook/hook.h"
#include "hook/tasks.h"

enum { TASK_BUCKET_BITS = 10, TASK_PRIO = 120, SITES_MOST = 1024, SITE_NAME = 64, SITE_PROGS = 64 /* Linux's limit as well */ };

/* perf_event_attr.type of dynamic event sources, as /sys/bus/event_source/devices has them */
enum { PMU_KPROBE = 8, PMU_UPROBE = 9 };

/* ---- sites.c ---- */
enum site {
#define PARAMS(...)
#define FIELDS(...)
#define TRACEPOINT(id, category, name, params, fields, fmt) SITE_##name,
#include "kernel/tracepoints.def"
#undef PARAMS
#undef FIELDS
	SITE_TRACEPOINTS
};
u32 site_count(void);
u32 site_id(u32 site);
s32 site_by_id(u64 id); /* -ENOENT */
s32 site_find(const char *category, const char *name, size_t name_len); /* category NULL: any. -ENOENT */
s32 site_raw(const char *name); /* of a raw tracepoint: -ENOENT for those of single system calls */
s32 site_of_syscall(u64 nr, bool enter); /* -ENOENT */
s32 site_syscall(u32 site); /* number of the system call; -1: not one's */
bool site_is_enter(u32 site);
const char *site_category(u32 site);
const char *site_name(u32 site, char name[SITE_NAME]); /* gives name */
u32 site_args(u32 site); /* how many arguments raw programs get */
u32 site_record_end(u32 site); /* bytes of the record up to the end of its last field */
void site_format(u32 site, struct text *t); /* its format file */

/* ---- tasks ---- */
struct task {
	struct task_info info;
	struct kernel_task *kernel; /* NULL: kernel memory is full */
	struct task *chain; /* by tid */
};

/* ---- perf.c ---- */
const char *perf_hook(u32 i, const char **about); /* name of the i-th hook that is a perf event, besides tracepoints; NULL: there are no more */

/* ---- attachments ---- */
struct attachment {
	struct obj *prog; /* referenced */
	u64 cookie;
	bool raw; /* gets arguments, not the record */
	s32 site; /* -1: of a clock */
	struct attachment *next;
};

struct hooks {
	const struct task_door *_Atomic door;
	plain_lock task_lock; /* guards tasks */
	struct task *tasks[1 << TASK_BUCKET_BITS];
	struct kernel_task *outside; /* what runs outside of any event show as their task */
	s16 calls[2][TASK_SYSCALLS]; /* sites of exits and entries, by number; -1: none */
	plain_lock lock; /* guards what follows */
	struct task_needs needs;
	struct attachment *at[SITES_MOST]; /* per site, in the order in which they came */
	_Atomic u32 records[SITES_MOST], raws[SITES_MOST]; /* how many want the record, the arguments */
	_Atomic u64 lost; /* events that found no run slot */
	struct perf_event *clocks, *probes; /* perf.c */
	u64 last_probe;
	struct inside *_Atomic inside; /* inside.c; NULL: not needed yet */
	plain_lock cgroups_lock; /* guards what follows, of this process */
	bool knows_cgroups;
	struct cgroups cgroups;
};

void inside_close(struct skep *k);
/* For a run of the engine's: nobody else has the CPU's values. false: they are shared with a process that does not give them back. */
bool inside_lease_take(struct skep *k, const struct hold *h);
void inside_lease_drop(struct skep *k, const struct hold *h);

/* attach.c. 0 or -errno (-EEXIST: that program is there already, -E2BIG: too many); the attachment takes over no reference of the caller's. */
int attach_at(struct skep *k, u32 site, struct obj *prog, bool raw, u64 cookie, struct attachment **out);
void attach_end(struct skep *k, struct attachment *a);
int attach_allowed(struct skep *k, const struct prog *p); /* can this engine run it? -EOPNOTSUPP with a line in the log */
PRINTF_LIKE(3, 4) int attach_refused(struct skep *k, int err, const char *fmt, ...); /* a line in the log; err */
struct perf_event;
int attach_perf(struct skep *k, struct perf_event *e, struct obj *prog, u64 cookie); /* perf.c: e->at is set */
void attach_perf_end(struct skep *k, struct perf_event *e);
void attach_changed(struct skep *k); /* what is needed has changed otherwise than by attach_at() */

/* multi.c: many probes in one file, which come and go together */
struct multi;
int multi_open(struct skep *k, const struct attr_link_create *a, struct obj *prog, struct multi **out);
void multi_close(struct skep *k, struct multi *m);
struct multi_info {
	u64 path, offsets, counters, cookies; /* where to */
	u32 path_size, n, flags, pid;
};
int multi_info(const struct multi *m, struct multi_info *i); /* -ENOSPC: as far as there was room */

/* events.c: runs one program. ctx: what R1 points to. */
struct event {
	struct task *task; /* NULL: none */
	const u64 *args; /* CTX_ARGS_MAX of them */
	const void *record;
	u32 record_size; /* 0: not made */
};
void event_fire(struct skep *k, u32 site, const struct event *e);
struct event_prog {
	struct prog *prog;
	u64 cookie, address; /* address: of the probed function; 0: none */
};
void event_run(struct skep *k, const struct event_prog *p, struct hold *h, struct task *t, void *ctx, u32 size);

/* tasks.c */
void task_identity(const struct task *t, struct run_task *out);

/* ---- perf.c ---- */
struct perf_event {
	struct perf_ring ring; /* first: perf event arrays see it */
	struct skep *k;
	u32 type;
	u64 config, period; /* clocks: ns */
	s32 site; /* tracepoints; -1 */
	s32 pid, cpu;
	bool enabled;
	u64 due; /* CLOCK_MONOTONIC ns */
	struct task_probe probe; /* path NULL: it is none; owned */
	struct attachment *at; /* by ioctl, or of a link; NULL */
	struct perf_event *next; /* clocks; probes */
};

#endif
