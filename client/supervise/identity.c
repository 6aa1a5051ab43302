/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tools of eBPF ask whether they are root before they try anything, and only they are told that they are: other programs (tar, databases, browsers)
 * behave differently as root and must not. A client is an executable that names one of the libraries through which bpf(2) is called, or one
 * that has called it.
 */
#include "client/supervise/supervise.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct program_file {
	u64 dev, ino, mtime_ns;
	bool client;
};

static bool names_library(int fd, size_t size)
{
	static const char *const marks[] = {"libbpf.so", "libbpf: ", "libbcc.so", "libbcc_bpf", "cilium/ebpf", "/sys/fs/bpf"};
	void *p = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	bool found = false;

	if (p == MAP_FAILED)
		return false;
	for (u32 i = 0; i < ARRAY_SIZE(marks) && !found; i++)
		found = memmem(p, size, marks[i], strlen(marks[i])) != NULL;
	munmap(p, size);
	return found;
}

static bool executable(pid_t tid, struct program_file *out, size_t *size, int *fd)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/exe", tid);
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd < 0)
		return false;
	if (fstat(*fd, &st)) {
		close(*fd);
		return false;
	}
	*out = (struct program_file){st.st_dev, st.st_ino, (u64)st.st_mtim.tv_sec * 1000000000ull + (u64)st.st_mtim.tv_nsec, false};
	*size = (size_t)st.st_size;
	return true;
}

static struct program_file *known(struct super *s, const struct program_file *f)
{
	for (u32 i = 0; i < s->n_programs; i++)
		if (s->programs[i].ino == f->ino && s->programs[i].dev == f->dev && s->programs[i].mtime_ns == f->mtime_ns)
			return &s->programs[i];
	return NULL;
}

/* The first to come is the first to be forgotten, as builds make new executables without end: it is only looked at again. */
static void remember(struct super *s, const struct program_file *f)
{
	enum { MOST = 512 };
	struct program_file *grown;

	if (s->n_programs == MOST) {
		s->programs[s->programs_next++ % MOST] = *f;
		return;
	}
	grown = realloc(s->programs, (s->n_programs + 1) * sizeof(*grown));
	if (!grown)
		return;
	s->programs = grown;
	s->programs[s->n_programs++] = *f;
}

static bool look_up(struct super *s, pid_t tid, bool called)
{
	struct program_file f, *old;
	size_t size;
	int fd;

	if (!executable(tid, &f, &size, &fd))
		return called;
	pthread_mutex_lock(&s->lock);
	old = known(s, &f);
	if (old) {
		f.client = old->client = old->client || called;
	} else {
		f.client = called || names_library(fd, size);
		remember(s, &f);
	}
	pthread_mutex_unlock(&s->lock);
	close(fd);
	return f.client;
}

bool is_client(struct super *s, pid_t tid)
{
	return (s->client_group && getpgid(tid) == s->client_group) || look_up(s, tid, false);
}

/* ---- what they ask ---- */

struct answer serve_uid(struct call *c)
{
	call_slow(c); /* executables may lie on slow file systems, or on some that a task of the tree serves */
	return is_client(c->s, c->tid) ? answer_value(0) : answer_continue();
}

struct answer serve_capget(struct call *c)
{
	struct __user_cap_header_struct head;
	struct __user_cap_data_struct data[2] = {{~0u, ~0u, 0}, {0, 0, 0}};
	u32 n;

	call_slow(c);
	if (!c->args[1] || !is_client(c->s, c->tid) || remote_get(c->tid, c->args[0], &head, sizeof(head)))
		return answer_continue();
	n = head.version == _LINUX_CAPABILITY_VERSION_1 ? 1 : 2;
	if ((head.version != _LINUX_CAPABILITY_VERSION_1 && head.version != _LINUX_CAPABILITY_VERSION_2 &&
	     head.version != _LINUX_CAPABILITY_VERSION_3) ||
	    (head.pid && head.pid != c->tid && head.pid != remote_tgid(c->tid)))
		return answer_continue();
	data[1].effective = data[1].permitted = (1u << (CAP_LAST_CAP - 31)) - 1;
	return answer_value(remote_put(c->tid, c->args[1], data, n * sizeof(*data)));
}

/* Maps here are not charged to RLIMIT_MEMLOCK: raising it succeeds for clients, and changes nothing. */
struct answer serve_rlimit(struct call *c)
{
	bool set = c->nr == SYS_setrlimit;
	struct rlimit old;

	call_slow(c);
	if ((!set && (!c->args[2] || c->args[0])) || !is_client(c->s, c->tid))
		return answer_continue();
	if (!set && c->args[3] && (prlimit(c->tid, RLIMIT_MEMLOCK, NULL, &old) || remote_put(c->tid, c->args[3], &old, sizeof(old))))
		return answer_value(-EFAULT);
	return answer_value(0);
}

void client_seen(struct super *s, pid_t tid)
{
	_Atomic pid_t *known_as = &s->callers[(u32)tid % ARRAY_SIZE(s->callers)];

	if (atomic_load(known_as) == tid)
		return;
	look_up(s, tid, true);
	atomic_store(known_as, tid);
}

/* ---- tracers: a task has one at most ---- */

static pid_t tracer_of(pid_t tid)
{
	u64 tracer;

	return proc_status(tid, "TracerPid", 10, &tracer) ? (pid_t)tracer : 0;
}

static void name_of(pid_t tid, char comm[16])
{
	if (!proc_comm(tid, comm) || !comm[0])
		strcpy(comm, "?");
}

void tracer_seen(struct super *s, pid_t tid, u64 request, pid_t target)
{
	char comm[16];
	bool say;

	if ((request != PTRACE_TRACEME && request != PTRACE_ATTACH && request != PTRACE_SEIZE) ||
	    tracer_of(request == PTRACE_TRACEME ? tid : target) != getpid())
		return;
	pthread_mutex_lock(&s->lock);
	say = !s->said_tracer;
	s->said_tracer = true;
	pthread_mutex_unlock(&s->lock);
	if (!say)
		return;
	name_of(tid, comm);
	super_say(s, "process %d (%s) is refused to trace what skep traces already; --no-follow %s leaves it free", tid, comm, comm);
}

void uring_seen(struct super *s, pid_t tid)
{
	char comm[16];
	bool say;

	pthread_mutex_lock(&s->lock);
	say = !s->said_uring;
	s->said_uring = true;
	pthread_mutex_unlock(&s->lock);
	if (!say)
		return;
	name_of(tid, comm);
	super_say(s, "process %d (%s) asks for io_uring: calls that it makes through it are not seen", tid, comm);
}

bool held_by_client(struct super *s, pid_t tid)
{
	pid_t tracer = tracer_of(tid);

	return tracer && tracer != getpid() && is_client(s, tracer);
}

/* A client lets a command begin that it has held until its probes were there (bpftrace -c): it stays stopped until it is followed. */
static void let_begin(struct call *c, pid_t target)
{
	pid_t none = 0;

	if (c->args[3] || tracer_of(target) != remote_tgid(c->tid) || !is_client(c->s, c->tid) || !parent_ours(c->s, target) || !c->s->visit.served ||
	    !atomic_compare_exchange_strong(&c->s->begins, &none, target))
		return;
	if (kill(target, SIGSTOP))
		atomic_store(&c->s->begins, 0);
	else
		pthread_kill(c->s->visit.thread, SIGUSR1);
}

struct answer serve_ptrace(struct call *c)
{
	if (c->args[0] == PTRACE_DETACH)
		let_begin(c, (pid_t)c->args[1]);
	tracer_seen(c->s, c->tid, c->args[0], (pid_t)c->args[1]);
	return answer_continue();
}

static bool listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
		if (n && strcspn(at, ",") == n && !memcmp(at, name, n))
			return true;
	return false;
}

/* By the name of its executable, or its own, which for a script is the script's. */
bool left_free(const struct super *s, pid_t tid)
{
	char path[64], comm[64], exe[PATH_MAX];
	ssize_t n;

	if (!s->no_follow)
		return false;
	name_of(tid, comm);
	snprintf(path, sizeof(path), "/proc/%d/exe", tid);
	n = readlink(path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = 0;
	return listed(s->no_follow, comm) || listed(s->no_follow, strrchr(exe, '/') ? strrchr(exe, '/') + 1 : exe);
}

/* ---- set-id programs: a task behind a filter gets no privilege by execve(2) ---- */

void exec_seen(struct super *s, pid_t tid, const char *path)
{
	char whole[PATH_MAX + 64];
	struct stat st;
	bool say;

	if (*path == '/')
		snprintf(whole, sizeof(whole), "/proc/%d/root%s", tid, path);
	else
		snprintf(whole, sizeof(whole), "/proc/%d/cwd/%s", tid, path);
	if (stat(whole, &st) || !S_ISREG(st.st_mode) || !(st.st_mode & (S_ISUID | S_ISGID)) ||
	    !((st.st_mode & S_ISUID && st.st_uid != getuid()) || (st.st_mode & S_ISGID && st.st_mode & S_IXGRP && st.st_gid != getgid())))
		return;
	pthread_mutex_lock(&s->lock);
	say = !s->said_setid;
	s->said_setid = true;
	pthread_mutex_unlock(&s->lock);
	if (say)
		super_say(s, "%s is a set-id program: here it runs without its privilege, as all others do", path);
}

struct answer serve_exec(struct call *c)
{
	char path[PATH_MAX];

	call_slow(c);
	if (remote_text(c->tid, c->args[c->nr == SYS_execveat], path, sizeof(path)) > 0)
		exec_seen(c->s, c->tid, path);
	return answer_continue();
}
