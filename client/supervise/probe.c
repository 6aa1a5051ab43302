/* SPDX-License-Identifier: BSD-2-Clause */
/* Trying what a host allows: see probe.h. */
#include "client/supervise/probe.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ASKED = 0x7eef, PATIENCE_MS = 2000 };

static void say(struct probe *p, bool works, int error, const char *text)
{
	p->works = works;
	p->error = error;
	snprintf(p->detail, sizeof(p->detail), "%s%s%s", text, error ? ": " : "", error ? strerror(error) : "");
}

/* In a child: it dies with its parent, also when that has died before we came here. */
static void die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(1);
}

/* A child that runs fn and exits with what it gives; it dies with this process. */
static pid_t start(int (*fn)(int socket), int *socket_out)
{
	pid_t pid, parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	fflush(NULL);
	pid = fork();
	if (!pid) {
		die_with(parent);
		close(pair[0]);
		_exit(fn(pair[1]));
	}
	close(pair[1]);
	*socket_out = pair[0];
	if (pid < 0)
		close(pair[0]);
	return pid < 0 ? -errno : pid;
}

static int finish(pid_t pid, int socket)
{
	int status = 0;

	close(socket);
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, PATIENCE_MS) == 1 && p.revents & POLLIN;
}

/* The command is linked with libbpf's calls redirected to an engine of its own (client/glue.c): these must reach the kernel. */
static int raw_call(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return (int)ret;
}

static int call_bpf(void)
{
	return raw_call(SYS_bpf, ASKED, 0, 0, 0, 0);
}

/* ---- notifications ---- */

static int notified_child(int socket)
{
	s32 result = filter_listen(), said[2];

	said[0] = result;
	(void)!send(socket, said, sizeof(said[0]), MSG_NOSIGNAL);
	if (result < 0 || recv(socket, &result, sizeof(result), 0) != sizeof(result))
		return 1;
	said[0] = call_bpf();
	said[1] = said[0] >= 0 ? fcntl(said[0], F_GETFD) : 0;
	(void)!send(socket, said, sizeof(said), MSG_NOSIGNAL);
	recv(socket, &result, sizeof(result), 0);
	return 0;
}

/* Where another filter answers, the child has its result and no notification comes. */
static bool notified(int listener, int socket)
{
	struct pollfd p[] = {{.fd = listener, .events = POLLIN}, {.fd = socket, .events = POLLIN}};

	return poll(p, 2, PATIENCE_MS) > 0 && p[0].revents & POLLIN;
}

static void answer_one(int listener, int socket)
{
	struct seccomp_notif n = {0};
	struct seccomp_notif_addfd add = {.flags = SECCOMP_ADDFD_FLAG_SEND, .newfd_flags = O_CLOEXEC};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (notified(listener, socket) && !ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n)) {
		add.id = n.id;
		add.srcfd = (u32)null;
		(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
	}
	close(null);
}

struct notified_args {
	pid_t parent;
	int socket;
};

/* The child shares this process's descriptors, so that its listener needs no passing. */
static int notified_entry(void *arg)
{
	const struct notified_args *a = arg;

	die_with(a->parent);
	return notified_child(a->socket);
}

static void notify_dialogue(struct probe *p, int socket, int *bpf_result)
{
	s32 listener, said[2];

	if (!readable(socket) || recv(socket, &listener, sizeof(listener), 0) != sizeof(listener)) {
		say(p, false, 0, "the child that was to be notified of ended");
		return;
	}
	if (listener < 0) {
		say(p, false, -listener, listener == -EBUSY ? "another supervisor's filter is installed" : "no listener");
		return;
	}
	(void)!send(socket, &listener, sizeof(listener), MSG_NOSIGNAL);
	answer_one(listener, socket);
	close(listener);
	if (!readable(socket) || recv(socket, said, sizeof(said), 0) != sizeof(said)) {
		say(p, false, 0, "a notified call was not answered");
		return;
	}
	*bpf_result = said[0];
	if (said[0] < 0)
		say(p, false, -said[0], "another filter answers bpf(2) before ours, or descriptors cannot be handed over");
	else
		say(p, true, 0, "calls are notified and answered");
}

static void try_notify(struct probe *p, int *bpf_result)
{
	enum { STACK = 256 << 10 };
	struct notified_args args = {.parent = getpid()};
	char *stack = malloc(STACK);
	int pair[2];
	pid_t pid;

	*bpf_result = -ENOSYS;
	if (!stack || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		free(stack);
		say(p, false, errno, "cannot make a child");
		return;
	}
	fflush(NULL);
	args.socket = pair[1];
	pid = clone(notified_entry, stack + STACK, CLONE_FILES | SIGCHLD, &args);
	if (pid < 0) {
		say(p, false, errno, "cannot make a child");
		close(pair[0]);
	} else {
		notify_dialogue(p, pair[0], bpf_result);
		finish(pid, pair[0]);
	}
	close(pair[1]);
	free(stack);
}

void probe_notify(struct probe *p)
{
	int result;

	try_notify(p, &result);
}

void probe_outer(struct probe *p)
{
	int plain = call_bpf(), mode = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
	struct probe notify;
	int result;

	try_notify(&notify, &result);
	if (notify.works)
		say(p, true, 0, mode ? "filters are installed, none of which answers bpf(2)" : "no filter is installed");
	else if (mode && (result == -EPERM || result == -ENOSYS || result == -EACCES) && plain == result)
		say(p, false, -result, "an outer seccomp filter (a container's) answers bpf(2)");
	else
		say(p, true, 0, mode ? "filters are installed; whether one answers bpf(2) cannot be seen" : "no filter is installed");
}

/* ---- ptrace ---- */

static int traced_child(int socket)
{
	char go;

	if (recv(socket, &go, 1, 0) != 1)
		return 2;
	return call_bpf() == 77 ? 0 : 1;
}

static bool answer_stop(pid_t pid, bool *inside)
{
	struct __ptrace_syscall_info info;
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0 || ptrace(PTRACE_GETREGS, pid, 0, &regs))
		return false;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_bpf && info.entry.args[0] == ASKED) {
		regs.orig_rax = (unsigned long long)-1;
		*inside = true;
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && *inside) {
		regs.rax = 77;
		*inside = false;
	} else {
		return true;
	}
	return !ptrace(PTRACE_SETREGS, pid, 0, &regs);
}

void probe_ptrace(struct probe *p)
{
	int socket, status;
	bool inside = false;
	pid_t pid = start(traced_child, &socket);

	if (pid < 0) {
		say(p, false, -pid, "cannot make a child");
		return;
	}
	if (ptrace(PTRACE_SEIZE, pid, 0, (void *)(intptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) || ptrace(PTRACE_INTERRUPT, pid, 0, 0)) {
		say(p, false, errno, "a child cannot be traced");
		finish(pid, socket);
		return;
	}
	(void)!send(socket, "", 1, MSG_NOSIGNAL);
	while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
		int sig = WSTOPSIG(status);

		if (sig == (SIGTRAP | 0x80) && !answer_stop(pid, &inside))
			break;
		ptrace(PTRACE_SYSCALL, pid, 0, (void *)(intptr_t)(sig == (SIGTRAP | 0x80) || status >> 16 ? 0 : sig));
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		say(p, true, 0, "calls are seen in stops and answered");
	else
		say(p, false, 0, "a call in a stop could not be answered");
	if (!WIFEXITED(status))
		finish(pid, socket);
	else
		close(socket);
}

/* ---- reaching into a child ---- */

static int waiting_child(int socket)
{
	char c;

	return recv(socket, &c, 1, 0) == 1;
}

void probe_memory(struct probe *p)
{
	volatile u64 word = 0x736b6570;
	u64 got = 0, other = 1;
	int socket, err;
	pid_t pid = start(waiting_child, &socket);

	if (pid < 0) {
		say(p, false, -pid, "cannot make a child");
		return;
	}
	err = remote_get(pid, (u64)(uintptr_t)&word, &got, sizeof(got));
	if (!err)
		err = remote_put(pid, (u64)(uintptr_t)&word, &other, sizeof(other));
	say(p, !err && got == 0x736b6570, -err, err ? "memory of a child cannot be reached" : "memory of children is read and written");
	finish(pid, socket);
}

void probe_getfd(struct probe *p)
{
	int socket, process, fd = -1, err = 0;
	pid_t pid = start(waiting_child, &socket);

	if (pid < 0) {
		say(p, false, -pid, "cannot make a child");
		return;
	}
	process = (int)syscall(SYS_pidfd_open, pid, 0);
	if (process >= 0)
		fd = (int)syscall(SYS_pidfd_getfd, process, 2, 0);
	err = fd < 0 ? errno : 0;
	say(p, fd >= 0, err, err ? "descriptors of a child cannot be fetched" : "descriptors of children can be fetched");
	if (fd >= 0)
		close(fd);
	if (process >= 0)
		close(process);
	finish(pid, socket);
}

static int opening_child(int socket)
{
	char path[64];

	if (recv(socket, path, sizeof(path), 0) != sizeof(path))
		return 1;
	return open(path, O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

void probe_files(struct probe *p)
{
	char path[64] = {0};
	int socket, fd = memfd_create("probe", MFD_CLOEXEC), err = -1;
	pid_t pid = start(opening_child, &socket);

	if (pid < 0 || fd < 0) {
		say(p, false, errno, "cannot make a child");
		return;
	}
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	if (send(socket, path, sizeof(path), MSG_NOSIGNAL) == sizeof(path)) {
		int status;

		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		err = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
		close(socket);
	} else {
		finish(pid, socket);
	}
	close(fd);
	say(p, !err, err > 0 ? err : 0, err ? "children cannot open descriptors of their supervisor" : "children can open descriptors of their supervisor");
}

static int userns_child(int socket)
{
	(void)socket;
	return unshare(CLONE_NEWUSER) ? errno : 0;
}

void probe_userns(struct probe *p)
{
	int socket, status, err;
	pid_t pid = start(userns_child, &socket);

	if (pid < 0) {
		say(p, false, -pid, "cannot make a child");
		return;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	err = WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
	close(socket);
	say(p, !err, err, err ? "not allowed" : "allowed");
}

/* ---- the rest ---- */

void probe_yama(struct probe *p)
{
	int scope = 0;
	FILE *f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");

	if (f) {
		if (fscanf(f, "%d", &scope) != 1)
			scope = -1;
		fclose(f);
	}
	if (!scope)
		say(p, true, 0, f ? "ptrace_scope is 0: processes of this user may be traced" : "not in this kernel: processes of this user may be traced");
	else if (scope == 1)
		say(p, false, 0, "ptrace_scope is 1: only what a supervisor started may be traced, not running processes");
	else
		say(p, false, 0, "ptrace_scope is 2 or more: nothing may be traced by this user");
}

void probe_perf(struct probe *p)
{
	struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(a), .config = PERF_COUNT_SW_CPU_CLOCK, .exclude_kernel = 1, .exclude_hv = 1,
				    .sample_period = 10000000, .disabled = 1};
	int fd = raw_call(SYS_perf_event_open, (long)(uintptr_t)&a, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	say(p, fd >= 0, fd < 0 ? -fd : 0, fd < 0 ? "refused" : "own tasks can be sampled");
	if (fd >= 0)
		close(fd);
}

void probe_io_uring(struct probe *p)
{
	u64 params[15] = {0}; /* struct io_uring_params */
	int fd = (int)syscall(SYS_io_uring_setup, 1, params);

	say(p, fd >= 0, fd < 0 ? errno : 0, fd < 0 ? "not available: no program passes system calls by" : "available: what programs do through it is not seen");
	if (fd >= 0)
		close(fd);
}

int door_choose(enum door_kind wanted, enum door_kind *out, char why[512])
{
	struct probe notify = {0}, ptraced = {0};

	if (wanted != DOOR_PTRACE) {
		probe_notify(&notify);
		if (notify.works) {
			*out = DOOR_NOTIFY;
			return 0;
		}
	}
	if (wanted != DOOR_NOTIFY && notify.error != EBUSY) {
		probe_ptrace(&ptraced);
		if (ptraced.works) {
			*out = DOOR_PTRACE;
			return 0;
		}
	}
	if (notify.error == EBUSY)
		snprintf(why, 512, "this process already runs inside of a supervised shell, whose engine answers its calls");
	else
		snprintf(why, 512, "no way in: %s%s%s; `skep doctor` says what this host allows", notify.detail, *notify.detail && *ptraced.detail ? "; " : "",
			 ptraced.detail);
	return -EPERM;
}
