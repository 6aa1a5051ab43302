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

enum { ASKED = 0x7eef, PATIENCE_MS = 20000 };

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

static int call_perf(void)
{
	return raw_call(SYS_perf_event_open, 0, ASKED, -1, -1, 0);
}

/* ---- notifications ---- */

/* What became of the two calls that clients cannot do without, either of which another filter may answer. */
struct notified {
	s32 bpf, perf;
};

static int notified_child(int socket)
{
	s32 listener = filter_listen();
	struct notified n;

	(void)!send(socket, &listener, sizeof(listener), MSG_NOSIGNAL);
	if (listener < 0 || recv(socket, &listener, sizeof(listener), 0) != sizeof(listener))
		return 1;
	n.bpf = call_bpf();
	n.perf = call_perf();
	(void)!send(socket, &n, sizeof(n), MSG_NOSIGNAL);
	recv(socket, &listener, sizeof(listener), 0);
	return 0;
}

/* Where another filter answers, the child has its result and no notification comes. */
static bool notified(int listener, int socket)
{
	struct pollfd p[] = {{.fd = listener, .events = POLLIN}, {.fd = socket, .events = POLLIN}};

	return poll(p, 2, PATIENCE_MS) > 0 && p[0].revents & POLLIN;
}

/* With a descriptor, as bpf(2) is answered. Gives the error of handing it over. */
static int answer_one(int listener, int socket, int fd)
{
	struct seccomp_notif n = {0};
	struct seccomp_notif_addfd add = {.flags = SECCOMP_ADDFD_FLAG_SEND, .newfd_flags = O_CLOEXEC, .srcfd = (u32)fd};
	struct seccomp_notif_resp none = {.error = -EOPNOTSUPP};
	int err;

	if (!notified(listener, socket) || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n))
		return 0;
	add.id = none.id = n.id;
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0)
		return 0;
	err = errno;
	if (err == EINPROGRESS || err == ENOENT) /* it was, and then interrupted and begun anew */
		return 0;
	(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &none);
	return err;
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

static void notify_dialogue(struct probe *p, int socket, struct notified *out)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), handed;
	s32 listener;

	if (!readable(socket) || recv(socket, &listener, sizeof(listener), 0) != sizeof(listener)) {
		say(p, false, 0, "the child that was to be notified of ended");
	} else if (listener < 0) {
		say(p, false, -listener,
		    listener == -EBUSY ? "another supervisor's filter is installed"
		    : listener == -EINVAL ? "this kernel has no listeners whose calls signals leave alone (Linux 5.19 has)"
					  : "no filter with a listener can be installed");
	} else {
		(void)!send(socket, &listener, sizeof(listener), MSG_NOSIGNAL);
		handed = answer_one(listener, socket, null);
		if (!handed)
			handed = answer_one(listener, socket, null);
		close(listener);
		if (handed)
			say(p, false, handed, "descriptors cannot be handed over as answers");
		else if (!readable(socket) || recv(socket, out, sizeof(*out), 0) != sizeof(*out))
			say(p, false, 0, "a notified call was not answered");
		else if (out->bpf < 0 || out->perf < 0)
			say(p, false, out->bpf < 0 ? -out->bpf : -out->perf, out->bpf < 0 ? "another filter answers bpf(2) before ours" : "another filter answers perf_event_open(2) before ours");
		else
			say(p, true, 0, "calls are notified and answered");
	}
	close(null);
}

static void try_notify(struct probe *p, struct notified *out)
{
	enum { STACK = 256 << 10 };
	struct notified_args args = {.parent = getpid()};
	char *stack = malloc(STACK);
	int pair[2];
	pid_t pid;

	*out = (struct notified){-ENOSYS, -ENOSYS};
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
		notify_dialogue(p, pair[0], out);
		finish(pid, pair[0]);
	}
	close(pair[1]);
	free(stack);
}

void probe_notify(struct probe *p)
{
	struct notified n;

	try_notify(p, &n);
}

/* A filter that answers gives the same error with ours installed and without. */
static bool refused_before(int plain, int behind)
{
	return plain == behind && (plain == -EPERM || plain == -ENOSYS || plain == -EACCES);
}

void probe_outer(struct probe *p)
{
	int bpf = call_bpf(), perf = call_perf(), mode = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
	struct probe notify;
	struct notified n;

	try_notify(&notify, &n);
	if (notify.works)
		say(p, true, 0, mode ? "filters are installed, none of which answers bpf(2) or perf_event_open(2)" : "no filter is installed");
	else if (mode && n.bpf < 0 && refused_before(bpf, n.bpf))
		say(p, false, -n.bpf, "an outer seccomp filter (a container's) answers bpf(2)");
	else if (mode && n.bpf >= 0 && refused_before(perf, n.perf))
		say(p, false, -n.perf, "an outer seccomp filter (a container's) answers perf_event_open(2)");
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

/* 0, or the errno of what the kernel lacks */
static int answer_stop(pid_t pid, bool *inside)
{
	struct __ptrace_syscall_info info;
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0 || ptrace(PTRACE_GETREGS, pid, 0, &regs))
		return errno ? errno : EIO;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_bpf && info.entry.args[0] == ASKED) {
		regs.orig_rax = (unsigned long long)-1;
		*inside = true;
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && *inside) {
		regs.rax = 77;
		*inside = false;
	} else {
		return 0;
	}
	return ptrace(PTRACE_SETREGS, pid, 0, &regs) ? errno : 0;
}

void probe_ptrace(struct probe *p)
{
	int socket, status, missing = 0;
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

		if (sig == (SIGTRAP | 0x80) && (missing = answer_stop(pid, &inside)))
			break;
		ptrace(PTRACE_SYSCALL, pid, 0, (void *)(intptr_t)(sig == (SIGTRAP | 0x80) || status >> 16 ? 0 : sig));
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		say(p, true, 0, "calls are seen in stops and answered");
	else if (missing)
		say(p, false, missing, "stops do not tell which call it is (Linux 5.3 does)");
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
	say(p, fd >= 0, err,
	    err == ENOSYS ? "descriptors of a child cannot be fetched (Linux 5.6 can)" : err ? "descriptors of a child cannot be fetched" : "descriptors of children can be fetched");
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

/* What a child's call gives: 0 or errno. */
static int try_in_child(int (*fn)(int socket))
{
	int socket, status;
	pid_t pid = start(fn, &socket);

	if (pid < 0)
		return -pid;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	close(socket);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
}

static int userns_child(int socket)
{
	(void)socket;
	return unshare(CLONE_NEWUSER) ? errno : 0;
}

void probe_userns(struct probe *p)
{
	int err = try_in_child(userns_child);

	say(p, !err, err, err ? "not allowed, and not needed" : "allowed, and not needed");
}

/* ---- the rest ---- */

static int yama_scope(void)
{
	int scope = 0;
	FILE *f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");

	if (f) {
		if (fscanf(f, "%d", &scope) != 1)
			scope = -1;
		fclose(f);
	}
	return f ? scope : -1;
}

/* A child that is no descendant of the one which takes it under a trace: gives its errno, or 0. */
static int trace_stranger(void)
{
	int socket, status = 0, err = ECHILD;
	pid_t stranger = start(waiting_child, &socket), tracer;

	if (stranger < 0)
		return -stranger;
	tracer = fork();
	if (!tracer)
		_exit(ptrace(PTRACE_SEIZE, stranger, 0, 0) ? errno : 0);
	while (tracer > 0 && waitpid(tracer, &status, 0) < 0 && errno == EINTR)
		;
	if (tracer > 0 && WIFEXITED(status))
		err = WEXITSTATUS(status);
	finish(stranger, socket);
	return err;
}

void probe_yama(struct probe *p)
{
	static const char *const meaning[] = {"processes of this user may be traced", "what a supervisor started may be traced, not processes that run already",
					      "nothing may be traced without CAP_SYS_PTRACE", "nothing may be traced, by nobody, until the next boot"};
	int scope = yama_scope(), err = trace_stranger();
	char text[160];

	if (scope < 0 || scope >= (int)ARRAY_SIZE(meaning))
		snprintf(text, sizeof(text), "%s", err ? "processes that run already may not be traced" : "not in this kernel: processes of this user may be traced");
	else
		snprintf(text, sizeof(text), "ptrace_scope is %d: %s%s", scope, meaning[scope], scope && !err ? "; this user has it and may trace any" : "");
	say(p, !err, scope > 0 ? 0 : err, text);
}

void probe_perf(struct probe *p)
{
	struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(a), .config = PERF_COUNT_SW_CPU_CLOCK, .exclude_kernel = 1, .exclude_hv = 1,
				    .sample_period = 10000000, .disabled = 1};
	int fd = raw_call(SYS_perf_event_open, (long)(uintptr_t)&a, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	say(p, fd >= 0, fd < 0 ? -fd : 0, fd < 0 ? "refused; samples of a clock are taken without it" : "own tasks can be sampled");
	if (fd >= 0)
		close(fd);
}

/* In a child, as what closing it leaves to do interrupts later calls. */
static int io_uring_child(int socket)
{
	u64 params[15] = {0}; /* struct io_uring_params */

	(void)socket;
	return syscall(SYS_io_uring_setup, 1, params) < 0 ? errno : 0;
}

void probe_io_uring(struct probe *p)
{
	int err = try_in_child(io_uring_child);

	say(p, !err, err, err ? "not available, so no program passes system calls by" : "available: what programs do through it is not seen");
}

/* Supervisors answer a call that no kernel knows. One whose calls are answered by another program's filter finds out that this admits no second listener. */
bool probe_inside(void)
{
	struct probe notify;

	if (raw_call(SYS_bpf, BPF_ASKS_INSIDE, 0, 0, 0, 0) == -EBUSY)
		return true;
	probe_notify(&notify);
	return notify.error == EBUSY;
}

/* Notifications are quicker, but readers wait on rings by descriptors that are fetched from them. */
static bool notify_serves(const struct probe *notify, bool asked_for)
{
	struct probe getfd;

	if (!notify->works || asked_for)
		return notify->works;
	probe_getfd(&getfd);
	return getfd.works;
}

int door_choose(enum door_kind wanted, enum door_kind *out, char why[512])
{
	struct probe notify = {0}, ptraced = {0}, memory;

	if (probe_inside()) {
		snprintf(why, 512, "this process already runs inside of a supervised shell, whose engine answers its calls");
		return -EBUSY;
	}
	if (access("/proc/self/fd", R_OK)) {
		snprintf(why, 512, "no /proc: what tasks are and hold is read there");
		return -ENOENT;
	}
	probe_memory(&memory);
	if (!memory.works) {
		snprintf(why, 512, "no way in: %s; `skep doctor` says what this host allows", memory.detail);
		return -EPERM;
	}
	if (wanted != DOOR_PTRACE) {
		probe_notify(&notify);
		if (notify_serves(&notify, wanted == DOOR_NOTIFY)) {
			*out = DOOR_NOTIFY;
			return 0;
		}
	}
	if (wanted != DOOR_NOTIFY) {
		probe_ptrace(&ptraced);
		if (ptraced.works) {
			*out = DOOR_PTRACE;
			return 0;
		}
	}
	if (notify.works) { /* without rings */
		*out = DOOR_NOTIFY;
		return 0;
	}
	snprintf(why, 512, "no way in: %s%s%s; `skep doctor` says what this host allows", notify.detail, *notify.detail && *ptraced.detail ? "; " : "", ptraced.detail);
	return -EPERM;
}
