/* SPDX-License-Identifier: BSD-2-Clause */
/* Traced tasks: see tree.h. Stops become the engine's events here; how tasks are taken and left is follow.c's. */
#include "client/supervise/breaks.h"
#include "client/supervise/space.h"

#include "sys/sys.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the table ---- */

struct traced *traced_find(const struct tree *t, pid_t tid)
{
	struct traced *p = t->bucket[(u32)tid % TREE_BUCKETS];

	while (p && p->tid != tid)
		p = p->chain;
	return p;
}

struct traced *traced_add(struct tree *t, pid_t tid)
{
	struct traced **at = &t->bucket[(u32)tid % TREE_BUCKETS], *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->tid = p->tgid = tid;
	p->handed = -1;
	p->chain = *at;
	*at = p;
	t->n++;
	return p;
}

void traced_remove(struct tree *t, struct traced *p)
{
	struct traced **at = &t->bucket[(u32)p->tid % TREE_BUCKETS];

	while (*at && *at != p)
		at = &(*at)->chain;
	if (*at) {
		*at = p->chain;
		t->n--;
	}
	if (p->visited)
		visit_drop(t, p);
	breaks_left(t, p);
	if (p->task)
		task_remove(t->s->k, p->task);
	if (p->tid == p->tgid)
		door_ended(t, p->tgid);
	if (p->handed >= 0 && !p->borrowed)
		close(p->handed);
	free(p->exec_path);
	free(p);
}

/* ---- what the engine is told of a task ---- */

static void facts_of(const struct tree *t, struct cgroups *cgroups, pid_t tid, struct task_info *out)
{
	FILE *f = proc_open(tid, "status");
	struct timespec now;
	char line[256];

	*out = (struct task_info){.tid = (u32)tid, .tgid = (u32)tid, .pid_ns_dev = t->pid_ns_dev, .pid_ns_ino = t->pid_ns_ino,
				  .mnt_ns_ino = t->mnt_ns_ino};
	clock_gettime(CLOCK_MONOTONIC, &now);
	out->start_ns = (u64)now.tv_sec * 1000000000ull + (u64)now.tv_nsec;
	out->n_cgroup_ancestors = cgroups_of(cgroups, tid, out->cgroup_ancestors, ARRAY_SIZE(out->cgroup_ancestors));
	if (out->n_cgroup_ancestors)
		out->cgroup = out->cgroup_ancestors[out->n_cgroup_ancestors - 1];
	proc_comm(tid, out->comm);
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Tgid: %u", &out->tgid) == 1 || sscanf(line, "PPid: %u", &out->parent) == 1 ||
		    sscanf(line, "Uid: %u %u", &out->uid, &out->euid) == 2)
			continue;
		if (sscanf(line, "Gid: %u %u", &out->gid, &out->egid) == 2)
			break;
	}
	if (f)
		fclose(f);
	out->parent = (u32)parent_told(t->s, (pid_t)out->tgid, (pid_t)out->parent);
}

void task_facts(struct tree *t, pid_t tid, struct task_info *out)
{
	facts_of(t, &t->cgroups, tid, out);
}

/* ---- whom programs run for outside of events: the client that asks for it ---- */

void acting_begin(struct super *s, pid_t tid, struct task_info *room)
{
	if (!s->watched)
		return;
	for (u32 i = 0; i < ARRAY_SIZE(s->acting); i++) {
		pid_t nobody = 0;

		if (atomic_compare_exchange_strong(&s->acting[i].thread, &nobody, gettid())) {
			s->acting[i].tid = tid;
			s->acting[i].info = room;
			s->acting[i].known = false;
			break;
		}
	}
}

void acting_end(struct super *s)
{
	for (u32 i = 0; i < ARRAY_SIZE(s->acting); i++)
		if (atomic_load(&s->acting[i].thread) == gettid())
			atomic_store(&s->acting[i].thread, 0);
}

/* Most programs that are tried ask for none of it, which lies in several files of /proc. The client waits for its call meanwhile. */
const struct task_info *acting_for(struct super *s)
{
	for (u32 i = 0; i < ARRAY_SIZE(s->acting); i++) {
		struct cgroups own;

		if (atomic_load(&s->acting[i].thread) != gettid())
			continue;
		if (!s->acting[i].known) {
			cgroups_open(&own);
			facts_of(s->watched, &own, s->acting[i].tid, s->acting[i].info);
			s->acting[i].known = true;
		}
		return s->acting[i].info;
	}
	return NULL;
}

void traced_name(struct tree *t, struct traced *p)
{
	struct task_info info;

	task_facts(t, p->tid, &info);
	p->tgid = (pid_t)info.tgid;
	p->task = task_add(t->s->k, &info);
}

/* ---- resuming ---- */

/* Does every call of the task have to stop? */
static bool every_call(const struct tree *t, const struct traced *p)
{
	return !p->filtered && ((t->answers && !p->unserved) || (tree_wants_calls(t) && !p->silent));
}

void traced_resume(struct tree *t, struct traced *p, int sig)
{
	bool call = every_call(t, p) || p->wants_exit;

	if (p->waits)
		return;
	p->stopped = false;
	if (p->leave && !p->wants_exit && !sig && !breaks_pending(p)) {
		inside_leave(p);
		/* One that was killed in its stop is not let go: it stops once more, at its end. */
		if (!ptrace(PTRACE_DETACH, p->tid, 0, 0))
			traced_remove(t, p);
		return;
	}
	ptrace(call ? PTRACE_SYSCALL : PTRACE_CONT, p->tid, 0, (void *)(intptr_t)sig);
}

/* ---- calls ---- */

/* A stop of the reader itself, which only we can end. *ended: it has ended, or there is no room for what came. */
static bool serve_reader(struct tree *t, bool *ended)
{
	for (u32 i = 0; i < TREE_BUCKETS; i++)
		for (struct traced *p = t->bucket[i]; p; p = p->chain) {
			int status, group_stop;

			if (!p->silent || p->stopped)
				continue;
			*ended = t->n_held == ARRAY_SIZE(t->held);
			if (*ended || waitpid(p->tid, &status, WNOHANG | __WALL) != p->tid)
				continue;
			if (WIFSTOPPED(status)) {
				tree_status(t, p->tid, status, &group_stop);
				return true;
			}
			t->held[t->n_held].tid = p->tid;
			t->held[t->n_held++].status = status;
			*ended = true;
			return false;
		}
	return false;
}

/* While a reader lags behind, all other tasks wait here: what they did is not lost. Not for longer than a stuck reader deserves. */
void wait_for_reader(struct tree *t)
{
	const u64 most_ns = 10000000000;
	bool ended = false;
	u64 begin;

	if (!t->wait_for_rings || !rings_full(t->s))
		return;
	begin = os_clock_ns(CLOCK_MONOTONIC);
	while (!ended && rings_full(t->s) && os_clock_ns(CLOCK_MONOTONIC) - begin < most_ns) {
		if (atomic_load(&t->finished))
			door_finished(t);
		if (!serve_reader(t, &ended))
			usleep(200);
	}
}

static void note_exec(struct tree *t, struct traced *p)
{
	char path[PATH_MAX];
	u64 at = p->nr == SYS_execveat ? p->args[1] : p->args[0];

	free(p->exec_path);
	p->exec_path = remote_text(p->tid, at, path, sizeof(path)) >= 0 ? strdup(path) : NULL;
	if (p->filtered && p->exec_path)
		exec_seen(t->s, p->tid, path);
}

static void call_begins(struct tree *t, struct traced *p)
{
	u64 nr = (u64)p->nr;

	if (p->before && p->nr != SYS_execve)
		return;
	p->before = false;
	if (p->silent)
		return;
	p->wants_exit = task_needs_exit(&t->needs, nr);
	if (p->nr == SYS_execve || p->nr == SYS_execveat)
		note_exec(t, p);
	if (p->nr == SYS_ptrace)
		tracer_seen(t->s, p->tid, p->args[0], (pid_t)p->args[1]);
	if (p->nr == SYS_io_uring_setup)
		uring_seen(t->s, p->tid);
	if (p->nr == SYS_prctl && p->args[0] == 15 /* PR_SET_NAME */)
		p->wants_exit = true;
	if (p->task && task_needs_enter(&t->needs, nr)) {
		wait_for_reader(t);
		atomic_fetch_add(&t->events, 1);
		task_event_enter(t->s->k, p->task, nr, p->args);
	}
	if (t->needs.want & TASK_WANT_SIGNAL_GENERATE && call_sends(p->nr)) {
		wait_for_reader(t);
		signal_sent(t, p);
	}
}

static void renamed(struct tree *t, struct traced *p)
{
	struct task_info info = *task_info(p->task);

	proc_comm(p->tid, info.comm);
	if (t->needs.want & TASK_WANT_RENAME)
		task_event_rename(t->s->k, p->task, info.comm);
	task_update(t->s->k, p->task, &info);
	inside_renamed(p);
}

/* Where calls do not stop, nobody has seen it take another name. */
static void look_at_name(struct tree *t, struct traced *p)
{
	char comm[16];

	if (p->task && !p->filtered && !every_call(t, p) && proc_comm(p->tid, comm) && memcmp(comm, task_info(p->task)->comm, sizeof(comm)) != 0)
		renamed(t, p);
}

static void call_ends(struct tree *t, struct traced *p, s64 ret)
{
	u64 nr = (u64)p->nr;

	p->wants_exit = false;
	if (!p->task || p->silent || p->before)
		return;
	if (p->nr == SYS_prctl && p->args[0] == 15 && !ret)
		renamed(t, p);
	if (t->n_points && (p->nr == SYS_mmap || p->nr == SYS_mprotect || p->nr == SYS_mremap))
		breaks_mapped(t, p);
	if (task_needs_exit(&t->needs, nr)) {
		wait_for_reader(t);
		atomic_fetch_add(&t->events, 1);
		task_event_exit_syscall(t->s->k, p->task, nr, ret);
	}
}

/* Who is behind a filter of stops cannot be without a tracer. The register is put back when the child is told of. */
static void clone_traced(struct traced *p, bool back)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, p->tid, 0, &regs))
		return;
	if (back)
		regs.rdi |= CLONE_UNTRACED;
	else
		regs.rdi &= ~(unsigned long long)CLONE_UNTRACED;
	p->untraced = !ptrace(PTRACE_SETREGS, p->tid, 0, &regs) && !back;
}

/*
 * A call that sleeps is cut short by our interruption and begun once more by the kernel, by its number or as restart_syscall(2). To programs it is one call: it
 * has begun long since, and ends once.
 */

enum { RESTART_SYS = 512, RESTART_NOINTR = 513, RESTART_NOHAND = 514, RESTART_BLOCK = 516 }; /* what calls return inside of the kernel for that, negative */

static bool begins_anew(s64 ret)
{
	return ret == -RESTART_SYS || ret == -RESTART_NOINTR || ret == -RESTART_NOHAND || ret == -RESTART_BLOCK;
}

/* Registers of a task that has stopped behind a 64-bit call that is to begin anew. */
static bool halted(const struct traced *p, struct user_regs_struct *r)
{
	enum { CODE_64BIT = 0x33 };

	return !ptrace(PTRACE_GETREGS, p->tid, 0, r) && r->cs == CODE_64BIT && (s64)r->orig_rax >= 0 && begins_anew((s64)r->rax);
}

static void cut_short(struct traced *p)
{
	struct user_regs_struct r;

	if (p->before || !halted(p, &r))
		return;
	p->resumes = true;
	if (r.orig_rax == SYS_restart_syscall) /* it was cut short before */
		return;
	p->nr = (int)r.orig_rax;
	memcpy(p->args, (const u64[]){r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9}, sizeof(p->args));
}

static bool is_resumed(struct tree *t, struct traced *p, const struct __ptrace_syscall_info *info)
{
	bool same = (int)info->entry.nr == p->nr && !memcmp(info->entry.args, p->args, sizeof(p->args)), resumed = p->resumes;

	p->resumes = false;
	if (!resumed || (!same && info->entry.nr != SYS_restart_syscall))
		return false;
	p->wants_exit = !p->silent && task_needs_exit(&t->needs, (u64)p->nr);
	return true;
}

/* What a signal does to a call that waits for its notification to be taken: for the kernel it is one that may be interrupted, which most of ours are not otherwise. */
static void keep_call(const struct tree *t, const struct traced *p)
{
	static const int waits[] = {SYS_open, SYS_openat, SYS_openat2, SYS_creat, SYS_poll, SYS_ppoll, SYS_select, SYS_pselect6};
	struct user_regs_struct r;
	const struct call_row *row;

	if (!atomic_load(&t->s->listens) || !halted(p, &r) || (s64)r.rax != -RESTART_SYS)
		return;
	row = call_row((int)r.orig_rax);
	for (u32 i = 0; i < ARRAY_SIZE(waits); i++)
		if (waits[i] == (int)r.orig_rax)
			row = NULL;
	if (!row || !call_matters(row, (const u64[]){r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9}))
		return;
	r.rax = (unsigned long long)-RESTART_NOINTR;
	ptrace(PTRACE_SETREGS, p->tid, 0, &r);
}

static void call_stop(struct tree *t, struct traced *p)
{
	bool resumed;
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, p->tid, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
		if (begins_anew(info.exit.rval) && !signal_came(p->tid)) {
			cut_short(p);
			p->wants_exit = p->wants_exit && info.exit.rval == -RESTART_BLOCK; /* a filter does not stop restart_syscall(2) */
		} else if (p->in_call && p->watch != WATCH_OPENS) {
			call_ends(t, p, p->answered ? p->answer : info.exit.rval);
		}
		door_leave(t, p, info.exit.rval);
		p->in_call = false;
		return;
	}
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY && info.op != PTRACE_SYSCALL_INFO_SECCOMP)
		return;
	if (info.arch != AUDIT_ARCH_X86_64) {
		atomic_fetch_add(&t->calls_32bit, 1);
		return;
	}
	p->in_call = true;
	resumed = is_resumed(t, p, &info);
	if (resumed && info.entry.nr == SYS_restart_syscall)
		return;
	if (!resumed && p->watch != WATCH_AGAIN) { /* the second half of a call that was seen */
		p->nr = (int)info.entry.nr;
		memcpy(p->args, info.entry.args, sizeof(p->args));
		call_begins(t, p);
		if (p->nr == SYS_clone && p->args[0] & CLONE_UNTRACED)
			clone_traced(p, false);
	}
	if (t->answers && !p->unserved)
		door_enter(t, p);
	else if (p->unserved && !p->before && door_hide(t, p))
		p->wants_exit = true;
}

/* ---- events ---- */

static struct lineage lineage_of(const struct traced *p)
{
	return (struct lineage){p->filtered, p->silent, p->unserved, p->leave};
}

static void inherit(struct traced *child, const struct lineage *l)
{
	child->filtered = l->filtered;
	child->silent = l->silent;
	child->unserved = l->unserved;
	child->leave = l->leave;
	child->announced = true;
}

static void forked(struct tree *t, struct traced *p, bool clone, bool vfork)
{
	struct lineage own = lineage_of(p);
	unsigned long msg = 0;
	struct traced *child;
	struct task_info info;

	if (p->untraced)
		clone_traced(p, true);
	if (ptrace(PTRACE_GETEVENTMSG, p->tid, 0, &msg))
		return;
	child = traced_find(t, (pid_t)msg);
	if (!child)
		child = traced_add(t, (pid_t)msg);
	if (!child)
		return;
	inherit(child, &own);
	child->tgid = clone ? remote_tgid((pid_t)msg) : (pid_t)msg;
	if (p->task && !p->silent && !child->task) {
		look_at_name(t, p);
		info = *task_info(p->task);
		info.tid = (u32)msg;
		info.tgid = (u32)child->tgid;
		info.start_ns = os_clock_ns(CLOCK_MONOTONIC);
		if (info.tgid == (u32)msg)
			info.parent = (u32)p->tgid;
		child->task = task_add(t->s->k, &info);
		if (child->task && t->needs.want & TASK_WANT_FORK) {
			wait_for_reader(t);
			task_event_fork(t->s->k, p->task, child->task);
		}
	}
	breaks_forked(t, p, child, vfork);
	if (child->stopped)
		traced_resume(t, child, 0);
}

/* The thread that called execve() now has the leader's id; all others have ended. */
static struct traced *executed(struct tree *t, struct traced *p)
{
	unsigned long old = 0;
	struct traced *caller = p;
	struct task_info info;
	char path[PATH_MAX];

	p->before = false;
	breaks_left(t, p);
	door_ended(t, p->tgid);
	ptrace(PTRACE_GETEVENTMSG, p->tid, 0, &old);
	if ((pid_t)old != p->tid && (caller = traced_find(t, (pid_t)old))) {
		free(p->exec_path);
		p->exec_path = caller->exec_path;
		p->in_call = caller->in_call;
		p->wants_exit = caller->wants_exit;
		p->nr = caller->nr;
		memcpy(p->args, caller->args, sizeof(p->args));
		caller->exec_path = NULL;
		traced_remove(t, caller);
	}
	if (!p->task || p->silent)
		return p;
	task_facts(t, p->tid, &info);
	info.start_ns = task_info(p->task)->start_ns;
	info.parent = task_info(p->task)->parent;
	task_update(t->s->k, p->task, &info);
	if (p->filtered || !left_free(t->s, p->tid))
		breaks_mapped(t, p);
	if (t->needs.want & TASK_WANT_EXEC) {
		wait_for_reader(t);
		/* where calls do not stop, nobody has seen what was asked for */
		task_event_exec(t->s->k, p->task, proc_executed(p->tid, path, sizeof(path)) ? path : p->exec_path ? p->exec_path : "", (u32)old);
	}
	return p;
}

static void exits(struct tree *t, struct traced *p)
{
	unsigned long status = 0;
	struct task_info info;
	bool last = true;

	if (!p->task || p->silent || !(t->needs.want & TASK_WANT_EXIT))
		return;
	ptrace(PTRACE_GETEVENTMSG, p->tid, 0, &status);
	look_at_name(t, p);
	for (u32 i = 0; i < TREE_BUCKETS && last; i++)
		for (struct traced *q = t->bucket[i]; q && last; q = q->chain)
			last = q == p || q->tgid != p->tgid || q->exiting;
	p->exiting = true;
	info = *task_info(p->task);
	info.exit_code = (int)status;
	task_update(t->s->k, p->task, &info);
	wait_for_reader(t);
	task_event_exit(t->s->k, p->task, last);
}

static void delivers(struct tree *t, struct traced *p, int sig)
{
	siginfo_t si = {0};

	if (!p->task || p->silent || !(t->needs.want & TASK_WANT_SIGNAL_DELIVER) || ptrace(PTRACE_GETSIGINFO, p->tid, 0, &si))
		return;
	look_at_name(t, p);
	wait_for_reader(t);
	task_event_signal_deliver(t->s->k, p->task, sig, si.si_errno, si.si_code, 0, 0);
}

static bool stops_groups(int sig)
{
	return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

/* Who was to tell of it has ended before it could: it goes on without. */
static void adopt(struct tree *t, struct traced *p)
{
	inherit(p, &t->ended);
	traced_name(t, p);
	breaks_mapped(t, p);
	traced_resume(t, p, 0);
}

/* A task that was attached by its parent's fork stops first of all; it may do so before its parent tells of it. */
static void first_stop(struct tree *t, pid_t tid)
{
	struct traced *p = traced_add(t, tid);
	struct proc_stat st;

	if (!p)
		return;
	p->stopped = true;
	p->born_of = proc_stat(tid, &st) ? st.parent : 0;
	if (remote_tgid(tid) != tid) /* a thread: it ends with who would tell of it */
		return;
	if (!traced_find(t, p->born_of))
		adopt(t, p);
}

static void ended(struct tree *t, struct traced *p)
{
	pid_t tgid = p->tgid;

	t->ended = lineage_of(p);
	traced_remove(t, p);
	for (u32 i = 0; i < TREE_BUCKETS; i++)
		for (struct traced *q = t->bucket[i], *next; q; q = next) {
			next = q->chain;
			if (q->stopped && !q->announced && q->born_of == tgid)
				adopt(t, q);
		}
}

bool tree_status(struct tree *t, pid_t tid, int status, int *group_stop)
{
	struct traced *p = traced_find(t, tid);
	int event = status >> 16, sig = WSTOPSIG(status);

	*group_stop = 0;
	if (!WIFSTOPPED(status)) {
		if (p)
			ended(t, p);
		return false;
	}
	if (!p && event == PTRACE_EVENT_STOP) {
		first_stop(t, tid);
		return true;
	}
	if (!p) {
		if (event)
			ptrace(PTRACE_DETACH, tid, 0, 0); /* there was no memory for it */
		return false;
	}
	p->stopped = true;
	if (breaks_stop(t, p, event, sig))
		return true;
	switch (event) {
	case PTRACE_EVENT_STOP:
		if (stops_groups(sig)) {
			*group_stop = sig;
			ptrace(PTRACE_LISTEN, tid, 0, 0);
			return true;
		}
		cut_short(p);
		break;
	case PTRACE_EVENT_SECCOMP: call_stop(t, p); break;
	case PTRACE_EVENT_FORK: forked(t, p, false, false); break;
	case PTRACE_EVENT_VFORK: forked(t, p, false, true); break;
	case PTRACE_EVENT_CLONE: forked(t, p, true, false); break;
	case PTRACE_EVENT_EXEC:
		p = executed(t, p);
		if (!p->filtered && left_free(t->s, p->tid)) {
			p->leave = true;
			p->wants_exit = false;
		}
		break;
	case PTRACE_EVENT_EXIT:
		task_inside_fetch(t->s->k);
		exits(t, p);
		break;
	case 0:
		if (sig == (SIGTRAP | 0x80)) {
			call_stop(t, p);
			break;
		}
		delivers(t, p, sig);
		keep_call(t, p);
		traced_resume(t, p, sig);
		return true;
	default: break;
	}
	/* Where calls stop, the stop behind the call is the one: any stop is enough for an interruption. */
	if (p->visited && (event == PTRACE_EVENT_STOP || sig == (SIGTRAP | 0x80)))
		visit_stopped(t, p);
	traced_resume(t, p, 0);
	return true;
}
