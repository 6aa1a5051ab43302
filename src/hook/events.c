/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tasks do, as a door tells it: each event's record and arguments are made as Linux makes them, once, when some program wants them, and every program at
 * its site is run.
 */
#include "hook/hooks.h"

#include <linux/bpf.h>
#include <stdio.h>

struct ready { /* a program that is to be run: copied from its attachment */
	struct event_prog p;
	bool raw;
};

static u32 list(struct hooks *h, u32 site, struct ready *out, u32 room)
{
	u32 n = 0;

	plain_lock_take(&h->lock);
	for (const struct attachment *a = h->at[site]; a && n < room; a = a->next)
		out[n++] = (struct ready){{a->prog->body, a->cookie, 0}, a->raw};
	plain_lock_drop(&h->lock);
	return n;
}

void event_run(struct skep *k, const struct event_prog *e, struct hold *h, struct task *t, void *ctx, u32 size)
{
	struct prog *p = e->prog;
	struct run r;
	bool leased = p->needs_slot && !h->nested && inside_lease_take(k, h);
	u64 result, started = atomic_load_explicit(&k->stats_users, memory_order_relaxed) ? os_clock_ns(1 /* CLOCK_MONOTONIC */) : 0;

	run_prepare(k, &r, p);
	r.hold = h;
	r.ctx = (struct run_ctx){.type = p->kind->ctx, .bytes = ctx, .size = size};
	r.spans[r.n_spans++] = (struct run_span){(u64)(uintptr_t)ctx, size, false, "context"};
	r.cookie = e->cookie;
	r.func_ip = e->address;
	r.current = t;
	if (t) {
		task_identity(t, &r.task);
		r.has_task = true;
	}
	if (vm_run(&r, &result))
		log_line(k, "%s: %s", p->name[0] ? p->name : "program", r.fault.text);
	if (leased)
		inside_lease_drop(k, h);
	run_account(k, p, 1, started ? os_clock_ns(1) - started : 0);
}

static bool wanted(struct skep *k, u32 site)
{
	return atomic_load_explicit(&k->hooks->records[site], memory_order_relaxed) || atomic_load_explicit(&k->hooks->raws[site], memory_order_relaxed);
}

void event_fire(struct skep *k, u32 site, const struct event *e)
{
	struct ready progs[2 * SITE_PROGS];
	struct hold h;
	u32 n;

	task_inside_fetch(k); /* came before */
	if (hold_take(k->domain, &h)) {
		atomic_fetch_add(&k->hooks->lost, 1);
		return;
	}
	n = list(k->hooks, site, progs, ARRAY_SIZE(progs));
	for (u32 i = 0; i < n; i++) {
		const struct ready *p = &progs[i];

		if (p->raw && e->args)
			event_run(k, &p->p, &h, e->task, (void *)(uintptr_t)e->args, CTX_ARGS_MAX * 8);
		else if (!p->raw)
			event_run(k, &p->p, &h, e->task, (void *)(uintptr_t)e->record, e->record_size);
	}
	hold_drop(&h);
}

/* ---- records ---- */

static struct kernel_trace_entry entry(u32 site, const struct task *t)
{
	return (struct kernel_trace_entry){.type = (unsigned short)site_id(site), .pid = (int)t->info.tid};
}

/* A string behind a record of `size` bytes: what the field of the record says about it. */
static u32 put_string(u8 *record, u32 *size, u32 room, const char *s)
{
	u32 at = *size, n = (u32)MIN(strlen(s), (size_t)(room - at - 1));

	memcpy(record + at, s, n);
	record[at + n] = 0;
	*size = at + n + 1;
	return at | (n + 1) << 16;
}

static u64 address(const void *p)
{
	return (u64)(uintptr_t)p;
}

/* ---- system calls ---- */

struct syscall_record {
	struct kernel_trace_entry ent;
	s64 nr; /* an int in single calls' records, long in raw_syscalls': the same bytes */
	u64 args[6];
};

static const void *registers(struct skep *k, struct task *t, u64 nr, const u64 *args, s64 ret)
{
	const struct task_door *door = atomic_load(&k->hooks->door);
	struct task_regs regs;
	struct kernel_pt_regs *to = t->kernel ? &t->kernel->regs : NULL;

	if (!to)
		return NULL;
	_Static_assert(sizeof(regs) == sizeof(*to), "one layout");
	if (door && door->regs && !door->regs(door->ud, t->info.tid, &regs))
		memcpy(to, &regs, sizeof(regs));
	to->orig_ax = nr;
	if (args) {
		to->di = args[0];
		to->si = args[1];
		to->dx = args[2];
		to->r10 = args[3];
		to->r8 = args[4];
		to->r9 = args[5];
	}
	to->ax = (u64)ret;
	return to;
}

static void fire_syscall(struct skep *k, struct task *t, u64 nr, s32 one, const u64 *args, s64 ret)
{
	const u32 all = args ? SITE_sys_enter : SITE_sys_exit;
	struct syscall_record rec = {.nr = (s64)nr};
	u64 raw[CTX_ARGS_MAX] = {0, args ? nr : (u64)ret};
	struct event e = {.task = t, .args = raw, .record = &rec, .record_size = sizeof(rec)};

	if (args)
		memcpy(rec.args, args, sizeof(rec.args));
	else
		rec.args[0] = (u64)ret;
	if (wanted(k, all)) {
		if (k->hooks->raws[all])
			raw[0] = address(registers(k, t, nr, args, ret));
		rec.ent = entry(all, t);
		event_fire(k, all, &e);
	}
	if (one >= 0) {
		rec.ent = entry((u32)one, t);
		e.args = NULL;
		event_fire(k, (u32)one, &e);
	}
}

/* The call's own tracepoint, if somebody is there; -1. */
static s32 wanted_call(struct skep *k, u64 nr, bool enter)
{
	s32 site = nr < TASK_SYSCALLS ? k->hooks->calls[enter][nr] : -1;

	return site >= 0 && wanted(k, (u32)site) ? site : -1;
}

void task_event_enter(struct skep *k, struct task *t, u64 nr, const u64 args[6])
{
	s32 one = wanted_call(k, nr, true);

	if (one >= 0 || wanted(k, SITE_sys_enter))
		fire_syscall(k, t, nr, one, args, -ENOSYS);
}

void task_event_exit_syscall(struct skep *k, struct task *t, u64 nr, s64 ret)
{
	s32 one = wanted_call(k, nr, false);

	if (one >= 0 || wanted(k, SITE_sys_exit))
		fire_syscall(k, t, nr, one, NULL, ret);
}

/* ---- life of a task ---- */

/* A union, not a struct: some records end in a flexible array, behind which nothing may stand. */
#define RECORD(name, room)                                                        \
	union {                                                                   \
		u8 bytes[sizeof(struct kernel_trace_event_raw_##name) + (room)];  \
		struct kernel_trace_event_raw_##name r;                           \
	} rec = {.bytes = {0}};                                                   \
	u32 size = sizeof(rec.r);                                                 \
	rec.r.ent = entry(SITE_##name, t)

void task_event_exec(struct skep *k, struct task *t, const char *filename, u32 old_tid)
{
	enum { NAME = 4096 };
	RECORD(sched_process_exec, NAME);
	struct kernel_task *kt = t->kernel;
	u64 raw[CTX_ARGS_MAX] = {kt ? address(&kt->task) : 0, old_tid, kt ? address(&kt->binprm) : 0};

	if (!wanted(k, SITE_sched_process_exec))
		return;
	rec.r.field_filename = put_string((u8 *)&rec, &size, sizeof(rec), filename);
	rec.r.field_pid = (pid_t)t->info.tid;
	rec.r.field_old_pid = (pid_t)old_tid;
	if (kt) {
		snprintf(kt->text, sizeof(kt->text), "%s", filename);
		kt->binprm.filename = kt->binprm.interp = kt->text;
	}
	event_fire(k, SITE_sched_process_exec, &(struct event){.task = t, .args = raw, .record = &rec, .record_size = size});
}

void task_event_fork(struct skep *k, struct task *t, struct task *child)
{
	RECORD(sched_process_fork, 64);
	u64 raw[CTX_ARGS_MAX] = {t->kernel ? address(&t->kernel->task) : 0, child->kernel ? address(&child->kernel->task) : 0};

	if (!wanted(k, SITE_sched_process_fork))
		return;
	rec.r.field_parent_comm = put_string((u8 *)&rec, &size, sizeof(rec), t->info.comm);
	rec.r.field_parent_pid = (pid_t)t->info.tid;
	rec.r.field_child_comm = put_string((u8 *)&rec, &size, sizeof(rec), child->info.comm);
	rec.r.field_child_pid = (pid_t)child->info.tid;
	event_fire(k, SITE_sched_process_fork, &(struct event){.task = t, .args = raw, .record = &rec, .record_size = size});
}

void task_event_exit(struct skep *k, struct task *t, bool group_dead)
{
	RECORD(sched_process_exit, 8);
	u64 raw[CTX_ARGS_MAX] = {t->kernel ? address(&t->kernel->task) : 0, group_dead};

	if (!wanted(k, SITE_sched_process_exit))
		return;
	memcpy(rec.r.field_comm, t->info.comm, sizeof(rec.r.field_comm));
	rec.r.field_pid = (pid_t)t->info.tid;
	rec.r.field_prio = TASK_PRIO;
	rec.r.field_group_dead = group_dead;
	event_fire(k, SITE_sched_process_exit, &(struct event){.task = t, .args = raw, .record = &rec, .record_size = size});
}

void task_event_rename(struct skep *k, struct task *t, const char comm[16])
{
	RECORD(task_rename, 8);
	struct kernel_task *kt = t->kernel;
	u64 raw[CTX_ARGS_MAX] = {kt ? address(&kt->task) : 0, kt ? address(kt->text) : 0};

	if (!wanted(k, SITE_task_rename))
		return;
	if (kt)
		snprintf(kt->text, sizeof(kt->text), "%.15s", comm);
	rec.r.field_pid = (pid_t)t->info.tid;
	memcpy(rec.r.field_oldcomm, t->info.comm, sizeof(rec.r.field_oldcomm));
	snprintf(rec.r.field_newcomm, sizeof(rec.r.field_newcomm), "%.15s", comm);
	event_fire(k, SITE_task_rename, &(struct event){.task = t, .args = raw, .record = &rec, .record_size = size});
}

/* ---- signals ---- */

static u64 signal_info(struct task *t, int sig, int err, int code)
{
	if (!t->kernel)
		return 0;
	t->kernel->siginfo = (struct kernel_kernel_siginfo){.si_signo = sig, .si_errno = err, .si_code = code};
	return address(&t->kernel->siginfo);
}

void task_event_signal_generate(struct skep *k, struct task *t, struct task *target, int sig, int err, int code, bool group, int result)
{
	RECORD(signal_generate, 8);
	u64 raw[CTX_ARGS_MAX] = {(u64)sig, 0, target->kernel ? address(&target->kernel->task) : 0, group, (u64)result};

	if (!wanted(k, SITE_signal_generate))
		return;
	raw[1] = signal_info(t, sig, err, code);
	rec.r.field_sig = sig;
	rec.r.field_errno = err;
	rec.r.field_code = code;
	memcpy(rec.r.field_comm, target->info.comm, sizeof(rec.r.field_comm));
	rec.r.field_pid = (pid_t)target->info.tid;
	rec.r.field_group = group;
	rec.r.field_result = result;
	event_fire(k, SITE_signal_generate, &(struct event){.task = t, .args = raw, .record = &rec, .record_size = size});
}

void task_event_signal_deliver(struct skep *k, struct task *t, int sig, int err, int code, u64 handler, u64 flags)
{
	RECORD(signal_deliver, 8);
	struct kernel_task *kt = t->kernel;
	u64 raw[CTX_ARGS_MAX] = {(u64)sig, 0, kt ? address(&kt->sigaction) : 0};

	if (!wanted(k, SITE_signal_deliver))
		return;
	raw[1] = signal_info(t, sig, err, code);
	if (kt)
		kt->sigaction.sa = (struct kernel_sigaction){.field_sa_handler = (void *)(uintptr_t)handler, .sa_flags = flags};
	rec.r.field_sig = sig;
	rec.r.field_errno = err;
	rec.r.field_code = code;
	rec.r.field_sa_handler = handler;
	rec.r.field_sa_flags = flags;
	event_fire(k, SITE_signal_deliver, &(struct event){.task = t, .args = raw, .record = &rec, .record_size = size});
}
