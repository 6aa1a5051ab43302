/* SPDX-License-Identifier: BSD-2-Clause */
/* The supervisor's process: see session.h. */
#include "client/supervise/session.h"

#include "client/supervise/breaks.h"
#include "hook/tasks.h"
#include "sys/sys.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- threads beside the doors ---- */

/* Is there something to do other than what children did? Its signal may have come while nobody waited. */
static bool has_to_do(const struct session *ss)
{
	return atomic_load(&ss->tree.changed) || atomic_load(&ss->tree.finished) || atomic_load(&ss->tick) || visit_asked(&ss->tree) || atomic_load(&ss->super.begins) || atomic_load(&ss->newcomer);
}

/* Notices descriptors that were closed without a call (a client that was killed), and wakes readers again. */
static void *keep(void *arg)
{
	enum { IDLE_MS = 250, RINGS_MS = 10 };
	struct session *ss = arg;
	struct pollfd p = {.fd = tasks_closed_fd(ss->super.k), .events = POLLIN};

	for (;;) {
		bool rings = rings_waiting(&ss->super), trace = trace_tick(&ss->super), inside = task_inside_tick(ss->super.k);

		/* a signal that came just before the wait began was for nothing */
		if (has_to_do(ss))
			pthread_kill(ss->tree.thread, SIGUSR1);

		if (poll(&p, 1, rings || trace || inside ? RINGS_MS : IDLE_MS) > 0)
			objects_drain(ss->super.k);
		tasks_closed(ss->super.k);
		if (rings)
			rings_tick(&ss->super);
	}
	return NULL;
}

/* Runs the programs on clock events. Asks several times in a tenth of a second whether there are any. */
static void *clocks(void *arg)
{
	enum { ASK_NS = 20000000 };
	struct session *ss = arg;

	for (;;) {
		u64 now = os_clock_ns(CLOCK_MONOTONIC), next = task_clock_next(ss->super.k);

		if (atomic_load(&ss->tree.clocks) != (next != 0)) {
			atomic_store(&ss->tree.clocks, next != 0);
			atomic_store(&ss->tree.changed, true);
			pthread_kill(ss->tree.thread, SIGUSR1);
		}
		if (next && next <= now) { /* by the thread that knows what tasks there are */
			atomic_store(&ss->tick, true);
			pthread_kill(ss->tree.thread, SIGUSR1);
			usleep(500);
		} else {
			usleep((useconds_t)(MIN(next ? next - now : (u64)ASK_NS, (u64)ASK_NS) / 1000));
		}
	}
	return NULL;
}

/* The front is gone though its command is not: nobody is left who could be told anything. */
static void *watch_front(void *arg)
{
	struct session *ss = arg;
	struct report r;

	while (recv(ss->front, &r, sizeof(r), 0) < 0 && errno == EINTR)
		;
	if (!__atomic_load_n(&ss->main_ended, __ATOMIC_ACQUIRE)) {
		super_say(&ss->super, "the command in front was killed; what it watched ends with it");
		kill_descendants(getpid(), false);
		sleep(2); /* the session ends for that, and leaves what was there before as it was */
		session_close(ss);
		_exit(1);
	}
	return NULL;
}

static int start_thread(void *(*fn)(void *), void *arg)
{
	pthread_t t;
	int err = pthread_create(&t, NULL, fn, arg);

	if (!err)
		pthread_detach(t);
	return -err;
}

/* ---- beginning and end ---- */

/* What is refused to attach was what a client is for; other calls are refused to who only tries what there is. */
static void say_line(void *ud, const char *line)
{
	static const char attach[] = "attach: ";
	struct session *ss = ud;
	bool attaches = !strncmp(line, attach, sizeof(attach) - 1), again;

	line += attaches ? sizeof(attach) - 1 : 0;
	pthread_mutex_lock(&ss->told_lock);
	again = !strncmp(ss->told, line, sizeof(ss->told) - 1);
	snprintf(ss->told, sizeof(ss->told), "%s", line);
	pthread_mutex_unlock(&ss->told_lock);
	if (getenv("SKEP_LOG"))
		super_say(&ss->super, "%s", line);
	else if (attaches && ss->follows && !again)
		super_say(&ss->super, "%s; `skep doctor` says what works here", line);
}

void session_told(struct session *ss, char out[512])
{
	pthread_mutex_lock(&ss->told_lock);
	memcpy(out, ss->told, sizeof(ss->told));
	pthread_mutex_unlock(&ss->told_lock);
}

/* Ends a wait for children. */
static void wake_up(int sig)
{
	(void)sig;
}

/* Every object has a descriptor or two here, however few each client may have. */
static void take_files(struct session *ss)
{
	struct rlimit all;

	if (getrlimit(RLIMIT_NOFILE, &ss->files))
		return;
	all = ss->files;
	all.rlim_cur = all.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &all);
}

/* Standard input is nobody's here, and standard output neither. */
static int take_stdio(struct session *ss)
{
	int null, err = 0;

	errno = 0;
	for (int i = 0; i < 3 && !err; i++) {
		ss->stdio[i] = fcntl(i, F_GETFD) & FD_CLOEXEC ? -1 : fcntl(i, F_DUPFD_CLOEXEC, 3); /* see front_hold_streams() */
		err = ss->stdio[i] < 0 && errno == EMFILE ? -errno : 0;
	}
	null = err ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return err ? err : -errno;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (null > STDERR_FILENO)
		close(null);
	return 0;
}

int session_open(struct session *ss)
{
	struct skep_options opts = {.size = sizeof(opts), .log = say_line, .log_ud = ss};
	struct sigaction wake = {.sa_handler = wake_up};
	struct skep *k = NULL;
	sigset_t none;
	int err;

	pthread_mutex_init(&ss->told_lock, NULL);
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGHUP, SIG_IGN);
	sigaction(SIGUSR1, &wake, NULL);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	prctl(PR_SET_NAME, SUPERVISOR_NAME, 0, 0, 0);
	take_files(ss);
	err = skep_open(&k, &opts);
	if (!err)
		k->paths_stand_in = true; /* see local_fd_open() */
	if (!err)
		err = super_open(&ss->super, ss->name, k);
	if (!err)
		tree_open(&ss->tree, &ss->super);
	if (!err)
		err = take_stdio(ss);
	if (!err)
		err = start_thread(keep, ss);
	if (!err)
		err = start_thread(watch_front, ss);
	if (!err)
		err = start_thread(clocks, ss);
	if (err) {
		fprintf(stderr, "%s: cannot start a supervisor: %s\n", ss->name, strerror(-err));
		return err;
	}
	return 0;
}

/* Standard input and output are the commands' alone: a pipe ends when they do. */
void session_started(struct session *ss)
{
	for (u32 i = 0; i < ARRAY_SIZE(ss->stdio); i++)
		if (ss->stdio[i] >= 0)
			close(ss->stdio[i]);
	ss->stdio[0] = ss->stdio[1] = ss->stdio[2] = -1;
}

void session_close(struct session *ss)
{
	joining_close(ss);
	pins_close(&ss->super);
	places_close(&ss->super);
}

void session_report(struct session *ss, enum report_kind kind, int value)
{
	struct report r = {.kind = kind, .value = value};

	if (kind == REPORT_ENDED || kind == REPORT_NO_EXEC || kind == REPORT_FAILED)
		__atomic_store_n(&ss->main_ended, true, __ATOMIC_RELEASE);
	(void)send(ss->front, &r, sizeof(r), MSG_NOSIGNAL);
	if (kind == REPORT_ENDED) /* a pipe ends when what wrote to it has ended: we may go on for what is in the background */
		dup2(STDIN_FILENO, STDERR_FILENO);
}

static int step(struct session *ss, int flags);

/* ---- starting commands ---- */

int session_send(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec io = {&byte, 1};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
	struct cmsghdr *h;

	if (fd >= 0) {
		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		h = CMSG_FIRSTHDR(&m);
		*h = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	}
	return sendmsg(socket, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* What goes wrong in the child before the command runs. */
struct failure {
	u32 where;
	s32 error;
};
enum { FAILED_FILTER, FAILED_EXEC };

int session_receive(int socket, pid_t *from)
{
	char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))] __attribute__((aligned(8))) = {0};
	struct failure f;
	struct iovec io = {&f, sizeof(f)};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd = -ENOENT;
	ssize_t n;

	do /* this thread is woken by signals */
		n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return -EPIPE;
	if (n == sizeof(f))
		return -f.error;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		struct ucred who;

		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(h), sizeof(fd));
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_CREDENTIALS && from) {
			memcpy(&who, CMSG_DATA(h), sizeof(who));
			*from = who.pid;
		}
	}
	return fd;
}

static _Noreturn void fail(int to, u32 where, int error)
{
	struct failure f = {where, error};

	(void)!write(to, &f, sizeof(f));
	_exit(127);
}

/* As execvp() would, but with one call of execve() for the file that is found: a watcher sees what was run, not the search. */
static int execute(const char *const *argv)
{
	const char *path = getenv("PATH");
	char file[PATH_MAX];

	for (const char *at = path ? path : ""; *at && !strchr(argv[0], '/');) {
		size_t n = strcspn(at, ":");
		struct stat st;

		if (n && snprintf(file, sizeof(file), "%.*s/%s", (int)n, at, argv[0]) < (int)sizeof(file) && !access(file, X_OK) && !stat(file, &st) &&
		    S_ISREG(st.st_mode)) {
			execv(file, (char *const *)(uintptr_t)argv);
			if (errno != ENOEXEC)
				return errno;
			break;
		}
		at += n + (at[n] == ':');
	}
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	return errno;
}

static void take_name(const char *program)
{
	const char *base = strrchr(program, '/');

	prctl(PR_SET_NAME, base ? base + 1 : program, 0, 0, 0);
}

static _Noreturn void child(struct session *ss, const struct spawn *how, int socket)
{
	char go;

	close(ss->front); /* it ends with the supervisor, whatever becomes of us */
	if (ss->files.rlim_max)
		(void)setrlimit(RLIMIT_NOFILE, &ss->files);
	setpgid(0, how->group);
	take_name(how->argv[0]);
	for (int i = 0; i < 3; i++) {
		int from = how->fds[i] >= 0 ? how->fds[i] : ss->stdio[i];

		if (from >= 0)
			dup2(from, i);
		else
			close(i);
	}
	front_signals_back(ss->saved);
	if (how->door == SPAWN_TRACE) {
		struct sock_fprog prog = {.filter = (struct sock_filter *)(uintptr_t)how->filter, .len = (unsigned short)how->filter_size};

		session_send(socket, -1);
		if (read(socket, &go, 1) != 1)
			_exit(127);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
			fail(socket, FAILED_FILTER, errno);
		fail(socket, FAILED_EXEC, execute(how->argv));
	}
	if (how->door == SPAWN_NOTIFY) {
		int listener = filter_listen();

		if (listener < 0)
			fail(socket, FAILED_FILTER, -listener);
		if (session_send(socket, listener))
			fail(socket, FAILED_FILTER, EPIPE);
		close(listener);
	} else {
		session_send(socket, -1);
	}
	if (read(socket, &go, 1) != 1)
		_exit(127);
	fail(socket, FAILED_EXEC, execute(how->argv));
}

static pid_t abandon(pid_t pid, int socket, int err)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(socket);
	return err;
}

pid_t session_spawn(struct session *ss, const struct spawn *how, int *exec_error)
{
	struct failure f;
	int pair[2], listener, err = 0;
	pid_t pid;

	*exec_error = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	pid = fork();
	if (pid < 0) {
		err = -errno;
		close(pair[0]);
		close(pair[1]);
		return err;
	}
	if (!pid) {
		close(pair[0]);
		child(ss, how, pair[1]);
	}
	close(pair[1]);
	parent_started(&ss->super, pid, getpid(), getppid());
	setpgid(pid, how->group);
	listener = session_receive(pair[0], NULL);
	if (listener < 0 && listener != -ENOENT)
		return abandon(pid, pair[0], listener);
	if (listener >= 0)
		err = notify_serve(&ss->super, listener);
	if (err)
		return abandon(pid, pair[0], err);
	if (how->started)
		how->started(ss, pid);
	(void)send(pair[0], "", 1, MSG_NOSIGNAL);
	/* The socket closes when the command is in place; a traced one needs its stops served until then. */
	while ((err = (int)recv(pair[0], &f, sizeof(f), MSG_DONTWAIT)) < 0 && (errno == EAGAIN || errno == EINTR))
		if (step(ss, WNOHANG) <= 0)
			usleep(200);
	close(pair[0]);
	if (err != sizeof(f))
		return pid;
	if (f.where == FAILED_EXEC)
		*exec_error = f.error;
	return -f.error;
}

int session_door(struct session *ss, enum door_kind wanted, enum spawn_door *out)
{
	enum door_kind door;
	char why[512];
	int err = door_choose(wanted, &door, why);

	if (err) {
		fprintf(stderr, "%s: %s\n", ss->name, why);
		return err;
	}
	*out = door == DOOR_NOTIFY ? SPAWN_NOTIFY : SPAWN_PLAIN;
	ss->tree.answers = door == DOOR_PTRACE;
	return 0;
}

/* ---- waiting ---- */

/* Tasks of a shell, for what the engine wants to see now. */
static void follow(struct session *ss)
{
	if (tree_wanted(&ss->tree)) {
		tree_follow(&ss->tree, getpid());
		for (u32 i = 0; i < __atomic_load_n(&ss->n_joined, __ATOMIC_ACQUIRE); i++)
			if (joining_lives(ss, i))
				tree_follow(&ss->tree, ss->joined[i].front);
	} else {
		tree_release(&ss->tree);
	}
}

/* What the engine wants to see has changed. */
static void needs_changed(struct session *ss)
{
	u64 asked = atomic_load(&ss->tree.asked);

	atomic_store(&ss->tree.changed, false);
	breaks_needs(&ss->tree);
	inplace_switch(&ss->tree, ss->follows && tree_wanted(&ss->tree));
	if (ss->follows)
		follow(ss);
	breaks_update(&ss->tree);
	atomic_store(&ss->tree.followed, asked);
}

static void child_changed(struct session *ss, pid_t pid, int status)
{
	int group_stop;
	bool traced = tree_status(&ss->tree, pid, status, &group_stop);

	if (pid == ss->client && !WIFSTOPPED(status)) {
		ss->client = 0;
		ss->client_status = status;
	}
	if (pid != ss->main_pid)
		return;
	if (WIFSTOPPED(status) && (group_stop || !traced))
		session_report(ss, REPORT_STOPPED, group_stop ? group_stop : WSTOPSIG(status));
	if (WIFSTOPPED(status))
		return;
	ss->main_gone = true;
	ss->main_status = status;
	if (!ss->hold_report)
		session_report(ss, REPORT_ENDED, status);
}

/*
 * A task that was let go on may stop again before a sleeper would be awake: where tasks run on other processors, that takes many times as long as a
 * stop itself. So who has met stops looks for the next one for a moment before it sleeps; when that was for nothing, it sleeps at once for
 * a while, twice as often each time (on one processor the task could not run meanwhile). 0: there is something else to do.
 */
static pid_t wait_any(struct session *ss, int *status, int flags)
{
	enum { MOMENT_NS = 50000, PAUSES = 16, MOST_SKIPS = 1024 };
	struct spinning *spin = &ss->spinning;
	u64 end;
	pid_t pid;

	if (flags & WNOHANG || !ss->tree.n || spin->skip) {
		spin->skip -= spin->skip > 0;
		return waitpid(-1, status, WUNTRACED | __WALL | flags);
	}
	end = os_clock_ns(CLOCK_MONOTONIC) + MOMENT_NS;
	do {
		pid = waitpid(-1, status, WUNTRACED | __WALL | WNOHANG);
		for (int i = 0; !pid && i < PAUSES; i++)
			__builtin_ia32_pause();
	} while (!pid && !has_to_do(ss) && os_clock_ns(CLOCK_MONOTONIC) < end);
	spin->fails = pid ? 1 : MIN(2 * spin->fails, (u32)MOST_SKIPS);
	spin->skip = pid ? 0 : spin->fails;
	return pid || has_to_do(ss) ? pid : waitpid(-1, status, WUNTRACED | __WALL);
}

/* 1: something was done; 0: nothing to do (with WNOHANG); -1: no child is left */
static int step(struct session *ss, int flags)
{
	int status;
	pid_t pid;

	if (atomic_load(&ss->tree.changed))
		needs_changed(ss);
	if (visit_asked(&ss->tree))
		visit_seize(&ss->tree);
	if (atomic_load(&ss->newcomer))
		joining_seize(ss);
	if (atomic_load(&ss->super.begins))
		tree_begins(&ss->tree, ss->follows && tree_wanted(&ss->tree));
	if (atomic_load(&ss->tick) && atomic_exchange(&ss->tick, false))
		tree_sample(&ss->tree, os_clock_ns(CLOCK_MONOTONIC));
	if (atomic_load(&ss->tree.finished))
		door_finished(&ss->tree);
	if (tree_held(&ss->tree, &pid, &status)) {
		child_changed(ss, pid, status);
		return 1;
	}
	pid = wait_any(ss, &status, flags);
	if (pid < 0)
		return errno == EINTR ? 1 : -1;
	if (pid)
		child_changed(ss, pid, status);
	return pid > 0;
}

void session_wait(struct session *ss)
{
	while (step(ss, 0) >= 0 || joining_wait(ss))
		;
}

bool session_wait_until(struct session *ss, bool (*until)(struct session *ss), unsigned ms)
{
	u64 end = os_clock_ns(CLOCK_MONOTONIC) + ms * 1000000ull;

	while (!until(ss)) {
		int did = step(ss, ms ? WNOHANG : 0);

		if (!ms && did < 0)
			return until(ss);
		if (ms && os_clock_ns(CLOCK_MONOTONIC) > end)
			return false;
		if (ms && did <= 0)
			usleep(300);
	}
	return true;
}
