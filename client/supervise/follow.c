/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking tasks under a trace and letting them go. A task that sleeps in a call which an interruption would end (epoll_wait() gives EINTR, and so on) is
 * not interrupted: it changes at its next stop, and the call it sleeps in is not seen.
 */
#include "client/supervise/breaks.h"

#include "sys/sys.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what the engine asks of us ---- */

static s64 read_task(void *ud, u32 tid, u64 from, void *to, u64 size)
{
	s64 n = remote_read((pid_t)tid, from, to, size);

	if (n == -EPERM)
		atomic_fetch_add(&((struct tree *)ud)->unreadable, 1);
	return n;
}

static s64 write_task(void *ud, u32 tid, u64 to, const void *from, u64 size)
{
	int err = remote_put((pid_t)tid, to, from, size);

	(void)ud;
	return err ? err : (s64)size;
}

static int task_regs(void *ud, u32 tid, struct task_regs *out)
{
	struct iovec io = {out, sizeof(*out)};

	(void)ud;
	return ptrace(PTRACE_GETREGSET, (pid_t)tid, (void *)1 /* NT_PRSTATUS */, &io) ? -errno : 0;
}

static int task_signal(void *ud, u32 tgid, u32 tid, int sig)
{
	(void)ud;
	return (int)(tid ? syscall(SYS_tgkill, tgid, tid, sig) : kill((pid_t)tgid, sig)) ? -errno : 0;
}

static void needs_changed(void *ud)
{
	enum { TURNS = 10000 };
	struct tree *t = ud;
	u64 ticket = atomic_fetch_add(&t->asked, 1) + 1;

	atomic_store(&t->changed, true);
	pthread_kill(t->thread, SIGUSR1); /* the wait for children ends; should it not have begun, it is woken again (session.c) */
	/* What a client does next may be to let its target run: that is followed by then. */
	for (u32 i = 0; i < TURNS && !pthread_equal(pthread_self(), t->thread) && atomic_load(&t->followed) < ticket; i++)
		usleep(200);
}

/* ---- beginning and end ---- */

static u64 inode_of(const char *path, u64 *dev)
{
	struct stat st;

	if (stat(path, &st))
		return 0;
	if (dev)
		*dev = st.st_dev;
	return st.st_ino;
}

static const struct task_info *task_caller(void *ud)
{
	return acting_for(((struct tree *)ud)->s);
}

static u32 task_cgroups(void *ud, u32 tid, u64 *ids, u32 most)
{
	return cgroups_of(&((struct tree *)ud)->cgroups, (pid_t)tid, ids, most);
}

void tree_open(struct tree *t, struct super *s)
{
	t->s = s;
	s->watched = t;
	t->thread = pthread_self();
	pthread_mutex_init(&t->jobs_lock, NULL);
	pthread_cond_init(&t->jobs_come, NULL);
	cgroups_open(&t->cgroups);
	t->pid_ns_ino = inode_of("/proc/self/ns/pid", &t->pid_ns_dev);
	t->mnt_ns_ino = inode_of("/proc/self/ns/mnt", NULL);
	t->door = (struct task_door){.ud = t, .read = read_task, .write = write_task, .regs = task_regs, .signal = task_signal, .cgroups = task_cgroups, .caller = task_caller, .needs_changed = needs_changed,
				    .sets_probes = true};
	tasks_door(s->k, &t->door);
	s->visit.thread = t->thread;
	s->visit.served = true;
}

void tree_close(struct tree *t)
{
	breaks_close(t);
	tasks_door(t->s->k, NULL);
	t->s->watched = NULL;
}

bool tree_wants_calls(const struct tree *t)
{
	for (u32 i = 0; i < ARRAY_SIZE(t->needs.enter); i++)
		if (t->needs.enter[i] | t->needs.exit[i])
			return true;
	return t->needs.want & (TASK_WANT_RENAME | TASK_WANT_SIGNAL_GENERATE);
}

bool tree_wanted(const struct tree *t)
{
	return t->answers || t->needs.want || atomic_load(&t->clocks) || tree_wants_calls(t);
}

/* ---- taking ---- */

int tree_seize(struct tree *t, pid_t tid, enum seize_how how)
{
	enum { OPTIONS = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
			 PTRACE_O_TRACEEXIT | PTRACE_O_TRACESECCOMP };
	struct traced *p = traced_find(t, tid);

	if (p) {
		p->leave = false;
		return 0;
	}
	/* A filter's stops without a tracer would be errors: such tasks end with us. */
	if (ptrace(PTRACE_SEIZE, tid, 0, (void *)(intptr_t)(OPTIONS | ((how != SEIZE_FOLLOW && how != SEIZE_GUEST) || (how == SEIZE_FOLLOW && t->answers) ? PTRACE_O_EXITKILL : 0))))
		return -errno;
	p = traced_add(t, tid);
	if (!p)
		return -ENOMEM;
	p->filtered = how == SEIZE_FILTERED;
	p->silent = how == SEIZE_SILENT;
	p->before = how == SEIZE_FILTERED || how == SEIZE_WATCHED;
	p->unserved = p->before || how == SEIZE_GUEST;
	p->announced = true;
	traced_name(t, p);
	return 0;
}

/* Would an interruption be noticed? 'R': running. A sleeping call that the kernel does not begin anew is left alone. */
static bool may_interrupt(pid_t tid)
{
	static const int fragile[] = {SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_semop, SYS_semtimedop, SYS_rt_sigtimedwait, SYS_io_getevents,
				      SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg, SYS_accept, SYS_accept4, SYS_connect, SYS_sendto, SYS_sendmsg, SYS_msgrcv, SYS_msgsnd};
	int nr;

	if (!proc_call(tid, &nr))
		return false;
	for (u32 i = 0; i < ARRAY_SIZE(fragile); i++)
		if (nr == fragile[i])
			return false;
	return true;
}

static void refused(struct tree *t, pid_t tid, int err)
{
	char comm[16];

	if (t->refused || err == -ESRCH)
		return;
	t->refused = true;
	if (!proc_comm(tid, comm) || !comm[0])
		strcpy(comm, "?");
	super_say(t->s, "process %d (%s) cannot be followed: %s; what it does is not seen. `skep doctor` says what this host allows", tid, comm, strerror(-err));
}

static u32 follow_threads(struct tree *t, pid_t pid, enum seize_how how, int *error)
{
	char path[64];
	u32 found = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		*error = -ESRCH;
	for (struct dirent *e; d && (e = readdir(d));) {
		pid_t tid = (pid_t)atoi(e->d_name);
		struct traced *p = tid > 0 ? traced_find(t, tid) : NULL;
		int err;

		if (tid <= 0 || (p && !p->leave))
			continue;
		err = tree_seize(t, tid, how);
		found++;
		if (err && !*error)
			*error = err;
		if (!err && may_interrupt(tid))
			ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	}
	if (d)
		closedir(d);
	return found;
}

/* Threads may start others meanwhile. */
int tree_attach(struct tree *t, pid_t pid, enum seize_how how)
{
	int error = 0;

	for (u32 round = 0; round < 4 && !error && follow_threads(t, pid, how, &error); round++)
		;
	return error;
}

/* Is it, or one that it descends from, a program that is not to be traced? */
static bool is_free(const struct tree *t, pid_t pid, pid_t root)
{
	struct proc_stat st;

	for (int depth = 0; t->s->no_follow && pid > 1 && pid != root && depth < 4096; depth++) {
		if (left_free(t->s, pid))
			return true;
		pid = proc_stat(pid, &st) ? st.parent : 0;
	}
	return false;
}

/* Again until nobody new is met: tasks fork meanwhile. */
void tree_follow(struct tree *t, pid_t root)
{
	for (u32 found = 1, round = 0; found && round < 16; round++) {
		DIR *d = opendir("/proc");

		found = 0;
		for (struct dirent *e; d && (e = readdir(d));) {
			pid_t pid = (pid_t)atoi(e->d_name);

			int error = 0;

			if (pid <= 1 || pid == root || !remote_descends(pid, root) || is_free(t, pid, root))
				continue;
			found += follow_threads(t, pid, SEIZE_FOLLOW, &error);
			if (error && !held_by_client(t->s, pid))
				refused(t, pid, error);
		}
		if (d)
			closedir(d);
		if (t->refused)
			break;
	}
}

void tree_begins(struct tree *t, bool follow)
{
	enum { TURNS = 5000, STEP_US = 200 };
	pid_t pid = atomic_load(&t->s->begins);
	int err = -EPERM;

	/* its tracer's call is under way */
	for (u32 i = 0; i < TURNS && held_by_client(t->s, pid); i++)
		usleep(STEP_US);
	if (follow && !left_free(t->s, pid))
		err = tree_attach(t, pid, SEIZE_FOLLOW);
	if (follow && err)
		refused(t, pid, err);
	breaks_update(t);
	kill(pid, SIGCONT);
	atomic_store(&t->s->begins, 0);
}

/* The processor that a task runs on; -1: it does not run. */
static int runs_on(pid_t tid)
{
	struct proc_stat st;

	return proc_stat(tid, &st) && st.state == 'R' ? st.cpu : -1;
}

/* Registers and stacks are those of a stopped task. One that does not stop soon, as it does not run, is sampled without. */
static void stop_to_look(struct tree *t, const struct traced *const *on, u32 n)
{
	enum { MOST_NS = 3000000 };
	u64 end = os_clock_ns(CLOCK_MONOTONIC) + MOST_NS;
	bool waits[SLOT_MAX] = {0}, some = false;

	for (u32 i = 0; i < n; i++) {
		waits[i] = on[i] && may_interrupt(on[i]->tid) && !ptrace(PTRACE_INTERRUPT, on[i]->tid, 0, 0);
		some = some || waits[i];
	}
	while (some && os_clock_ns(CLOCK_MONOTONIC) < end) {
		some = false;
		for (u32 i = 0; i < n; i++) {
			int status;

			if (waits[i] && t->n_held < ARRAY_SIZE(t->held) && waitpid(on[i]->tid, &status, WNOHANG | __WALL) == on[i]->tid) {
				t->held[t->n_held].tid = on[i]->tid;
				t->held[t->n_held++].status = status;
				waits[i] = false;
			}
			some = some || waits[i];
		}
		if (some)
			usleep(30);
	}
}

bool tree_held(struct tree *t, pid_t *tid, int *status)
{
	if (!t->n_held)
		return false;
	t->n_held--;
	*tid = t->held[t->n_held].tid;
	*status = t->held[t->n_held].status;
	return true;
}

void tree_sample(struct tree *t, u64 now)
{
	enum { MOST_LOOKS = 256 };
	const struct traced *on[SLOT_MAX] = {0};
	struct task *running[SLOT_MAX] = {0};
	u32 n = domain_cpus(t->s->k->domain), looks = 0;

	for (u32 i = 0; i < TREE_BUCKETS && looks < MOST_LOOKS; i++)
		for (const struct traced *p = t->bucket[i]; p && looks < MOST_LOOKS; p = p->chain) {
			int cpu;

			if (!p->task || p->silent || p->before || p->stopped)
				continue;
			looks++;
			cpu = runs_on(p->tid);
			if (cpu >= 0 && (u32)cpu < n)
				on[cpu] = p;
		}
	for (u32 cpu = 0; cpu < n; cpu++)
		running[cpu] = on[cpu] ? on[cpu]->task : NULL;
	stop_to_look(t, on, n);
	task_clock_run(t->s->k, now, running, n);
}

void tree_unseen(struct tree *t)
{
	u64 n = atomic_exchange(&t->calls_32bit, 0), reads = atomic_exchange(&t->unreadable, 0);

	if (reads)
		super_say(t->s, "%llu times a program could not read from a process that keeps its memory to itself: what was to be read is empty", (unsigned long long)reads);
	if (n)
		super_say(t->s, "%llu 32-bit calls not seen: programs are attached to 64-bit ones only", (unsigned long long)n);
}

void tree_release(struct tree *t)
{
	tree_unseen(t);
	for (u32 i = 0; i < TREE_BUCKETS; i++)
		for (struct traced *p = t->bucket[i]; p; p = p->chain) {
			if (p->filtered)
				continue;
			p->leave = true;
			if (!p->stopped && may_interrupt(p->tid))
				ptrace(PTRACE_INTERRUPT, p->tid, 0, 0);
		}
}
