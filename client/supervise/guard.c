/* SPDX-License-Identifier: BSD-2-Clause */
/* Mending what a supervisor left behind that was killed: see guard.h. */
#include "client/supervise/guard.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 4096, THREADS = 1024, PATIENCE_MS = 3000 };

struct altered {
	_Atomic pid_t tgid; /* 0: unused; written last */
	u64 at;
	u64 quiet; /* not 0: a routine's breakpoint, */
	u64 reads, read_end; /* and where others may fault */
	u8 code[BRK_JUMP];
};

struct guard {
	pthread_mutex_t life; /* the tracing thread's for as long as it lives: a robust one is let go early in its death, before its tracees are */
	_Atomic u32 n;
	struct altered altered[MOST];
};

/* ---- the supervisor's side ---- */

static void note(struct guard *g, pid_t tgid, struct altered what)
{
	u32 n = g ? atomic_load(&g->n) : 0, at = n;

	for (u32 i = 0; i < n; i++) {
		pid_t whose = atomic_load(&g->altered[i].tgid);

		if (!whose || (whose == tgid && g->altered[i].at == what.at))
			at = i;
		if (whose == tgid && g->altered[i].at == what.at)
			break;
	}
	if (!g || at == MOST)
		return;
	atomic_store(&g->altered[at].tgid, 0);
	g->altered[at].at = what.at;
	g->altered[at].quiet = what.quiet;
	g->altered[at].reads = what.reads;
	g->altered[at].read_end = what.read_end;
	memcpy(g->altered[at].code, what.code, BRK_JUMP);
	atomic_store(&g->altered[at].tgid, tgid);
	if (at == n)
		atomic_store(&g->n, n + 1);
}

void guard_set(struct guard *g, pid_t tgid, u64 at, const u8 code[BRK_JUMP])
{
	struct altered what = {.at = at};

	memcpy(what.code, code, BRK_JUMP);
	note(g, tgid, what);
}

void guard_quiet(struct guard *g, pid_t tgid, u64 trap, u64 reads, u64 read_end, u64 quiet)
{
	note(g, tgid, (struct altered){.at = trap, .quiet = quiet, .reads = reads, .read_end = read_end});
}

void guard_forget(struct guard *g, pid_t tgid)
{
	for (u32 i = 0; g && i < atomic_load(&g->n); i++)
		if (atomic_load(&g->altered[i].tgid) == tgid)
			atomic_store(&g->altered[i].tgid, 0);
}

void guard_end(struct guard *g)
{
	if (!g)
		return;
	for (u32 i = 0; i < atomic_load(&g->n); i++)
		atomic_store(&g->altered[i].tgid, 0);
	pthread_mutex_unlock(&g->life);
	munmap(g, sizeof(*g));
}

/* ---- the guard's ---- */

/* A breakpoint goes out while the process runs; a jump, of several bytes, while it does not. */
static void mend(const struct guard *g, pid_t tgid, bool stopped)
{
	const u32 one = 1;

	for (u32 i = 0; i < atomic_load(&g->n); i++) {
		const struct altered *a = &g->altered[i];
		u8 there[BRK_JUMP];

		if (atomic_load(&a->tgid) != tgid)
			continue;
		if (a->quiet)
			remote_put(tgid, a->quiet, &one, sizeof(one));
		else if (space_poke(tgid, a->at, there, BRK_JUMP, false) != BRK_JUMP || !memcmp(there, a->code, BRK_JUMP))
			continue;
		else if (there[0] == INT3 && !memcmp(there + 1, a->code + 1, BRK_JUMP - 1))
			space_poke(tgid, a->at, a->code, 1, true);
		else if (there[0] == 0xe9 && stopped)
			space_poke(tgid, a->at, a->code, BRK_JUMP, true);
	}
}

static const struct altered *trapped_at(const struct guard *g, pid_t tgid, u64 at)
{
	for (u32 i = 0; i < atomic_load(&g->n); i++)
		if (atomic_load(&g->altered[i].tgid) == tgid && g->altered[i].at == at)
			return &g->altered[i];
	return NULL;
}

/* A task that reads what may not be there does so no more. true: it stood there. */
static bool leaves_reading(const struct guard *g, pid_t tgid, pid_t tid)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, tid, 0, &regs))
		return false;
	for (u32 i = 0; i < atomic_load(&g->n); i++) {
		const struct altered *a = &g->altered[i];

		if (atomic_load(&a->tgid) != tgid || !a->quiet || regs.rip < a->reads || regs.rip >= a->read_end)
			continue;
		regs.rip = a->read_end;
		return !ptrace(PTRACE_SETREGS, tid, 0, &regs);
	}
	return false;
}

/* The signal that it is to go on with: not that of a breakpoint, nor of a fault of a routine's. */
static int signal_of(const struct guard *g, pid_t tgid, pid_t tid, int status)
{
	const struct altered *a;
	struct user_regs_struct regs;
	int sig = status >> 16 ? 0 : WSTOPSIG(status);

	if (leaves_reading(g, tgid, tid))
		return sig == SIGSEGV || sig == SIGBUS ? 0 : sig;
	if (sig != SIGTRAP || ptrace(PTRACE_GETREGS, tid, 0, &regs))
		return sig;
	a = trapped_at(g, tgid, regs.rip - 1);
	if (!a)
		return SIGTRAP;
	if (a->quiet)
		regs.rax = (u64)-EBUSY;
	else
		regs.rip--;
	return ptrace(PTRACE_SETREGS, tid, 0, &regs) ? SIGTRAP : 0;
}

/* Its supervisor may not be quite dead: then it is traced still. */
static bool seize(pid_t tid)
{
	for (u32 ms = 0; ptrace(PTRACE_SEIZE, tid, 0, 0); ms++) {
		if (errno != EPERM || ms == PATIENCE_MS)
			return false;
		usleep(1000);
	}
	return !ptrace(PTRACE_INTERRUPT, tid, 0, 0);
}

static u32 stop_all(const struct guard *g, pid_t tgid, pid_t *tids, int *signals)
{
	char path[64];
	u32 n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", tgid);
	d = opendir(path);
	for (struct dirent *e; d && n < THREADS && (e = readdir(d));) {
		pid_t tid = (pid_t)atoi(e->d_name);
		int status;

		if (tid <= 0 || !seize(tid) || waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status))
			continue;
		tids[n] = tid;
		signals[n++] = signal_of(g, tgid, tid, status);
	}
	if (d)
		closedir(d);
	return n;
}

static void rescue(const struct guard *g, pid_t tgid)
{
	static pid_t tids[THREADS];
	static int signals[THREADS];
	u32 n;

	mend(g, tgid, false);
	n = stop_all(g, tgid, tids, signals);
	mend(g, tgid, true);
	for (u32 i = 0; i < n; i++)
		ptrace(PTRACE_DETACH, tids[i], 0, (void *)(intptr_t)signals[i]);
}

static _Noreturn void guard(struct guard *g)
{
	int null;

	setpgid(0, 0);
	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGCHLD)
			signal(sig, SIG_IGN);
	prctl(PR_SET_NAME, "guard", 0, 0, 0);
	syscall(SYS_close_range, 3u, ~0u, 0u);
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	if (pthread_mutex_lock(&g->life) == EOWNERDEAD)
		for (u32 i = 0; i < atomic_load(&g->n); i++) {
			pid_t tgid = atomic_load(&g->altered[i].tgid);
			bool done = false;

			for (u32 k = 0; k < i && !done; k++)
				done = atomic_load(&g->altered[k].tgid) == tgid;
			if (tgid && !done)
				rescue(g, tgid);
		}
	_exit(0);
}

pid_t guard_start(struct guard **out)
{
	struct guard *g = mmap(NULL, sizeof(*g), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t robust;
	pid_t pid;

	if (g == MAP_FAILED)
		return -ENOMEM;
	pthread_mutexattr_init(&robust);
	pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&g->life, &robust);
	pthread_mutex_lock(&g->life);
	pid = fork();
	if (!pid)
		guard(g);
	*out = g;
	return pid < 0 ? -errno : pid;
}
