/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls that libbpf makes, redirected by ld's --wrap: bpf(2) and perf_event_open(2) go to the engine; files of a kernel with
 * eBPF (its BTF, bpffs) are ours; waiting on a ring waits on the ring's eventfd. Everything else goes on to the system.
 *
 * This is the one place that may keep state of the process: libbpf has no argument to carry an engine in.
 */
#include "client/skep-bpf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define WRAPPED(ret, name, args)                                                                                 \
	ret __real_##name args;                                                                                  \
	ret __wrap_##name args;

WRAPPED(long, syscall, (long number, ...))
WRAPPED(void *, mmap64, (void *addr, size_t len, int prot, int flags, int fd, off64_t off))
WRAPPED(int, ioctl, (int fd, unsigned long request, ...))
WRAPPED(int, epoll_ctl, (int epfd, int op, int fd, struct epoll_event *event))
WRAPPED(int, epoll_wait, (int epfd, struct epoll_event *events, int n, int timeout))
WRAPPED(int, open64, (const char *path, int flags, ...))
WRAPPED(FILE *, fopen64, (const char *path, const char *mode))
WRAPPED(int, faccessat, (int dir, const char *path, int mode, int flags))
WRAPPED(int, statfs64, (const char *path, struct statfs64 *out))
WRAPPED(int, mkdir, (const char *path, mode_t mode))
WRAPPED(int, unlink, (const char *path))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct skep *engine;

/* SKEP_LOG=1 shows what the engine has to say. */
static void log_line(void *ud, const char *line)
{
	(void)ud;
	if (getenv("SKEP_LOG"))
		fprintf(stderr, "skep: %s\n", line);
}

struct skep *skep_bpf_engine(void)
{
	pthread_mutex_lock(&lock);
	if (!engine) {
		struct skep_options opts = {.size = sizeof(opts), .log = log_line};

		if (skep_open(&engine, &opts))
			engine = NULL;
	}
	pthread_mutex_unlock(&lock);
	return engine;
}

void skep_bpf_use(struct skep *k)
{
	pthread_mutex_lock(&lock);
	engine = k;
	pthread_mutex_unlock(&lock);
}

static long give(int ret)
{
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

/* ---- files: /sys/fs/bpf is a directory of the user's; the kernel's BTF is not ours to show ---- */

static const char bpffs[] = "/sys/fs/bpf";

static int in_bpffs(const char *path)
{
	size_t n = sizeof(bpffs) - 1;

	return !strncmp(path, bpffs, n) && (path[n] == '/' || path[n] == 0);
}

static int make_dir(const char *path)
{
	return __real_mkdir(path, 0700) && errno != EEXIST ? -1 : 0;
}

/* Where a path in bpffs really lies: $XDG_RUNTIME_DIR/skep/bpf, or /dev/shm/skep-UID/bpf. */
static const char *real_path(const char *path, char *buf, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char dir[PATH_MAX - 64];

	if (!path || !in_bpffs(path))
		return path;
	if (runtime && *runtime == '/' && access(runtime, W_OK) == 0)
		snprintf(dir, sizeof(dir), "%.3800s/skep", runtime);
	else
		snprintf(dir, sizeof(dir), "/dev/shm/skep-%u", getuid());
	make_dir(dir);
	snprintf(buf, size, "%s/bpf", dir);
	make_dir(buf);
	snprintf(buf, size, "%s/bpf%s", dir, path + sizeof(bpffs) - 1);
	return buf;
}

/* libbpf looks for the kernel's BTF in several places. Objects that need it must name a file (btf_custom_path). */
static int kernel_btf(const char *path)
{
	return !strcmp(path, "/sys/kernel/btf/vmlinux") || (!strncmp(path, "/boot/", 6) && strstr(path, "vmlinux")) ||
	       (!strncmp(path, "/lib/modules/", 13) && strstr(path, "vmlinux")) ||
	       (!strncmp(path, "/usr/lib/", 9) && strstr(path, "vmlinux"));
}

int __wrap_open64(const char *path, int flags, ...)
{
	char buf[PATH_MAX];
	mode_t mode = 0;
	va_list ap;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if (path && kernel_btf(path))
		return (int)give(-ENOENT);
	return __real_open64(real_path(path, buf, sizeof(buf)), flags, mode);
}

FILE *__wrap_fopen64(const char *path, const char *mode)
{
	char buf[PATH_MAX];

	if (path && kernel_btf(path)) {
		errno = ENOENT;
		return NULL;
	}
	return __real_fopen64(real_path(path, buf, sizeof(buf)), mode);
}

int __wrap_faccessat(int dir, const char *path, int mode, int flags)
{
	char buf[PATH_MAX];

	if (path && kernel_btf(path))
		return (int)give(-ENOENT);
	return __real_faccessat(dir, real_path(path, buf, sizeof(buf)), mode, flags);
}

int __wrap_statfs64(const char *path, struct statfs64 *out)
{
	char buf[PATH_MAX];
	int ret = __real_statfs64(real_path(path, buf, sizeof(buf)), out);

	if (!ret && path && in_bpffs(path))
		out->f_type = BPF_FS_MAGIC;
	return ret;
}

int __wrap_mkdir(const char *path, mode_t mode)
{
	char buf[PATH_MAX];

	return __real_mkdir(real_path(path, buf, sizeof(buf)), mode);
}

int __wrap_unlink(const char *path)
{
	char buf[PATH_MAX];

	return __real_unlink(real_path(path, buf, sizeof(buf)));
}

/* ---- bpf(2), perf_event_open(2) ---- */

/* Pins lie where bpffs lies. */
static long bpf_call(struct skep *k, int cmd, union bpf_attr *attr, unsigned size)
{
	union bpf_attr copy;
	char buf[PATH_MAX];

	if ((cmd != BPF_OBJ_PIN && cmd != BPF_OBJ_GET) || size < offsetof(union bpf_attr, pathname) + 8)
		return give(skep_bpf(k, cmd, attr, size));
	memset(&copy, 0, sizeof(copy));
	memcpy(&copy, attr, size < sizeof(copy) ? size : sizeof(copy));
	copy.pathname = (__u64)(unsigned long)real_path((const char *)(unsigned long)attr->pathname, buf, sizeof(buf));
	return give(skep_bpf(k, cmd, &copy, sizeof(copy)));
}

long __wrap_syscall(long number, ...)
{
	long a[6];
	va_list ap;
	struct skep *k;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number != SYS_bpf && number != SYS_perf_event_open)
		return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	k = skep_bpf_engine();
	if (!k)
		return give(-ENOMEM);
	if (number == SYS_bpf)
		return bpf_call(k, (int)a[0], (union bpf_attr *)a[1], (unsigned)a[2]);
	return give(skep_perf_event_open(k, (const struct perf_event_attr *)a[0], (int)a[1], (int)a[2], (int)a[3], (unsigned long)a[4]));
}

/* A perf ring has no size until it is mapped. Other descriptors say -EINVAL or -EBADF, and map as they are. */
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t off)
{
	if (fd >= 0 && engine && flags & MAP_SHARED && off == 0)
		(void)skep_perf_mmap(engine, fd, len);
	return __real_mmap64(addr, len, prot, flags, fd, off);
}

static int is_perf(int fd)
{
	/* No length is 0 pages: -EINVAL from a perf ring and from every other object alike; a plain file gives it too. */
	struct stat st;
	char path[64], name[64];
	ssize_t n;

	if (fstat(fd, &st))
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = 0;
	return strstr(name, "memfd:skep-perf") != NULL;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (((request >> 8) & 0xff) != '$' || !engine || !is_perf(fd))
		return __real_ioctl(fd, request, arg);
	/* A ring for BPF output takes samples from the start; enabling it changes nothing, a program cannot be attached to it. */
	if (request == PERF_EVENT_IOC_ENABLE || request == PERF_EVENT_IOC_DISABLE)
		return 0;
	return (int)give(-EINVAL);
}

/* ---- waiting: a memfd is always readable, so the ring's eventfd stands for it ---- */

static struct watch {
	int epfd, fd, event_fd;
} *watches;
static size_t n_watches;

static int add_watch(int epfd, int fd, int event_fd)
{
	struct watch *grown = realloc(watches, (n_watches + 1) * sizeof(*watches));

	if (!grown)
		return -1;
	watches = grown;
	watches[n_watches++] = (struct watch){epfd, fd, event_fd};
	return 0;
}

int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int event_fd = engine ? skep_poll_fd(engine, fd) : -1, ret;

	if (event_fd < 0)
		return __real_epoll_ctl(epfd, op, fd, event);
	ret = __real_epoll_ctl(epfd, op, event_fd, event);
	pthread_mutex_lock(&lock);
	if (!ret && op == EPOLL_CTL_ADD && add_watch(epfd, fd, event_fd)) {
		__real_epoll_ctl(epfd, EPOLL_CTL_DEL, event_fd, NULL);
		errno = ENOMEM;
		ret = -1;
	}
	for (size_t i = 0; !ret && op == EPOLL_CTL_DEL && i < n_watches; i++)
		if (watches[i].epfd == epfd && watches[i].fd == fd)
			watches[i--] = watches[--n_watches];
	pthread_mutex_unlock(&lock);
	return ret;
}

/* Before a wait the eventfds are brought up to date: a ring that was drained is no longer readable. */
int __wrap_epoll_wait(int epfd, struct epoll_event *events, int n, int timeout)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; engine && i < n_watches; i++)
		if (watches[i].epfd == epfd && skep_poll_fd(engine, watches[i].fd) != watches[i].event_fd)
			watches[i--] = watches[--n_watches]; /* closed meanwhile */
	pthread_mutex_unlock(&lock);
	return __real_epoll_wait(epfd, events, n, timeout);
}
