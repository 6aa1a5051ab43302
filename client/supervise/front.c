/* SPDX-License-Identifier: BSD-2-Clause */
/* The process that the user started: see session.h. */
#include "client/supervise/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- ending a tree ---- */

/* Until none is left: a process may fork while others are being killed. Another thread may wait for them, as a tracer has to. */
void kill_descendants(pid_t root, bool reap)
{
	for (int round = 0, found = 1; found && round < 1000; round++) {
		DIR *d = opendir("/proc");

		found = 0;
		for (struct dirent *e; d && (e = readdir(d));) {
			pid_t pid = (pid_t)atoi(e->d_name);

			if (pid > 1 && pid != root && remote_descends(pid, root) && !kill(pid, SIGKILL))
				found = 1;
		}
		if (d)
			closedir(d);
		while (reap && waitpid(-1, NULL, WNOHANG | __WALL) > 0)
			;
		if (found)
			usleep(2000);
	}
}

/* ---- signals ---- */

/* The command's; what the terminal sends to the whole group reaches it without us, once it is there. */
static const int ignored[] = {SIGTTIN, SIGTTOU};
static const int passed_on[] = {SIGINT, SIGQUIT, SIGTSTP, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
static _Atomic pid_t command, supervised_by; /* a signal handler has no argument to find them by */
static _Atomic u32 early; /* signals that came before the command was known, a bit each */

static bool of_terminal(int sig, const siginfo_t *si)
{
	return si->si_code > 0 && (sig == SIGINT || sig == SIGQUIT || sig == SIGTSTP);
}

static void pass_on(int sig, siginfo_t *si, void *context)
{
	pid_t pid = atomic_load(&command), supervisor = atomic_load(&supervised_by);
	int err = errno;

	(void)context;
	if (pid > 0 && !of_terminal(sig, si))
		kill(pid, sig);
	if (pid <= 0)
		atomic_fetch_or(&early, 1u << sig);
	if (pid <= 0 && supervisor > 0)
		kill(supervisor, sig); /* it need not begin */
	errno = err;
}

int front_ended_by(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

	for (u32 i = 0; i < ARRAY_SIZE(ends); i++)
		if (atomic_load(&early) >> ends[i] & 1)
			return ends[i];
	return 0;
}

static void command_is(pid_t pid)
{
	u32 came;

	atomic_store(&command, pid);
	came = atomic_exchange(&early, 0);
	for (int sig = 1; sig < 32; sig++)
		if (came >> sig & 1)
			kill(pid, sig);
}

static void take_signals(struct sigaction saved[NSIG])
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, pass = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO};

	for (u32 i = 0; i < ARRAY_SIZE(ignored); i++)
		sigaction(ignored[i], &ignore, &saved[ignored[i]]);
	for (u32 i = 0; i < ARRAY_SIZE(passed_on); i++) {
		sigaction(passed_on[i], NULL, &saved[passed_on[i]]);
		if (saved[passed_on[i]].sa_handler != SIG_IGN)
			sigaction(passed_on[i], &pass, NULL);
	}
}

void front_signals_back(const struct sigaction saved[NSIG])
{
	for (int sig = 1; sig < NSIG; sig++)
		if (saved[sig].sa_handler)
			sigaction(sig, &saved[sig], NULL);
		else if (sig != SIGKILL && sig != SIGSTOP && sig < 32)
			signal(sig, SIG_DFL);
}

/* ---- standing for the command ---- */

static void stop_as(int sig)
{
	struct sigaction normal = {.sa_handler = SIG_DFL}, was;
	pid_t pid = atomic_load(&command);

	if (sig == SIGSTOP) {
		raise(SIGSTOP);
	} else {
		sigaction(sig, &normal, &was);
		raise(sig);
		sigaction(sig, &was, NULL);
	}
	if (pid > 0)
		kill(pid, SIGCONT); /* the rest of its group was continued with us */
}

static int end_as(int status)
{
	struct rlimit none = {0, 0};

	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	setrlimit(RLIMIT_CORE, &none);
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

static int no_exec(const char *name, const char *program, int err)
{
	fprintf(stderr, "%s: cannot run '%s': %s\n", name, program, strerror(err));
	return err == ENOENT ? STATUS_NOT_FOUND : STATUS_NO_PERMISSION;
}

/* What it watched is as before when it has ended, and not sooner. */
static void wait_for_supervisor(pid_t supervisor)
{
	while (waitpid(supervisor, NULL, 0) < 0 && errno == EINTR)
		;
}

static void say_lost(const char *name)
{
	fprintf(stderr, "%s: the supervisor was killed; what it watched ends with it\n", name);
}

static int stand_in(const char *name, const char *program, int fd, pid_t supervisor)
{
	struct report r;
	pid_t guard = 0;

	for (;;) {
		ssize_t n = recv(fd, &r, sizeof(r), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(r))
			break;
		switch ((enum report_kind)r.kind) {
		case REPORT_STARTED: command_is(r.value); break;
		case REPORT_GUARDED: guard = r.value; break;
		case REPORT_STOPPED: stop_as(r.value); break;
		case REPORT_ENDED: return end_as(r.value);
		case REPORT_NO_EXEC: return no_exec(name, program, r.value);
		case REPORT_FAILED: wait_for_supervisor(supervisor); return r.value;
		}
	}
	say_lost(name);
	wait_for_supervisor(supervisor); /* its descriptors close before its children are ours */
	if (guard)
		wait_for_supervisor(guard);
	kill_descendants(getpid(), true);
	joining_forget(name);
	return STATUS_SKEP_FAILED;
}

/* Nothing of ours may become a standard stream that was closed: what stands there is gone with the next program. */
void front_hold_streams(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", O_RDWR | O_CLOEXEC);
}

int front_run(const char *name, const char *const *argv, session_fn *fn, void *ud)
{
	struct session ss = {.name = name, .group = getpgrp()};
	int pair[2];
	pid_t pid;

	front_hold_streams();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		fprintf(stderr, "%s: cannot make a socket: %s\n", name, strerror(errno));
		return STATUS_SKEP_FAILED;
	}
	fflush(NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	take_signals(ss.saved);
	pid = fork();
	if (pid < 0) {
		fprintf(stderr, "%s: cannot fork: %s\n", name, strerror(errno));
		return STATUS_SKEP_FAILED;
	}
	if (!pid) {
		close(pair[0]);
		ss.front = pair[1];
		_exit(fn(&ss, ud));
	}
	close(pair[1]);
	atomic_store(&supervised_by, pid);
	return stand_in(name, argv[0], pair[0], pid);
}

/* ---- a command in a shell that others have started ---- */

/* Ends a wait. */
static void noticed(int sig)
{
	(void)sig;
}

/* Whoever is at the other end ends, or does so within a moment: its first thread, which traces, is gone before the others have closed anything. */
static bool ends_soon(int socket)
{
	enum { TURNS = 50, STEP_MS = 10 };
	struct pollfd p = {.fd = socket};
	struct proc_stat st = {.state = 'R'};
	socklen_t size = sizeof(struct ucred);
	struct ucred who;
	bool ends = getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0;

	for (u32 i = 0; i < TURNS && !ends; i++)
		ends = poll(&p, 1, STEP_MS) > 0 || !proc_stat(who.pid, &st) || st.state == 'Z';
	return ends;
}

/* false: the supervisor has ended. */
static bool stand_by(pid_t pid, int socket, const sigset_t *mask, int *result)
{
	struct pollfd p = {.fd = socket};
	int status;
	pid_t got;

	for (;;) {
		while ((got = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
			if (got != pid) /* an orphan */
				continue;
			if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && ends_soon(socket))
				return false; /* it was traced, and ended with its tracer */
			if (!WIFSTOPPED(status)) {
				*result = end_as(status);
				return true;
			}
			stop_as(WSTOPSIG(status));
		}
		if (ppoll(&p, 1, NULL, mask) > 0)
			return false;
	}
}

int front_join(const char *name, int socket, int (*become)(void *ud), void *ud)
{
	struct sigaction saved[NSIG] = {0}, child = {.sa_handler = noticed};
	sigset_t block, before;
	int result;
	pid_t pid;

	fflush(NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	take_signals(saved);
	sigaction(SIGCHLD, &child, &saved[SIGCHLD]);
	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, &before);
	pid = fork();
	if (pid < 0) {
		fprintf(stderr, "%s: cannot fork: %s\n", name, strerror(errno));
		return STATUS_SKEP_FAILED;
	}
	if (!pid) {
		front_signals_back(saved);
		sigprocmask(SIG_SETMASK, &before, NULL);
		_exit(become(ud));
	}
	command_is(pid);
	if (stand_by(pid, socket, &before, &result))
		return result;
	say_lost(name);
	kill_descendants(getpid(), true);
	return STATUS_SKEP_FAILED;
}
