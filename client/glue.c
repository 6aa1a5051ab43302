/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls that libbpf makes, redirected by ld's --wrap: bpf(2) and perf_event_open(2) go to the engine; files of a kernel with
 * eBPF (its BTF, bpffs) are ours; waiting on a ring waits on the ring's eventfd. Everything else goes on to the system.
 *
 * This is the one place that may keep state of the process: libbpf has no argument to carry an engine in.
 */
#include "client/skep-bpf.h"
#include "hook/tasks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdint.h>
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
WRAPPED(void *, mmap, (void *addr, size_t len, int prot, int flags, int fd, off_t off))
WRAPPED(void *, mmap64, (void *addr, size_t len, int prot, int flags, int fd, off64_t off))
WRAPPED(int, ioctl, (int fd, unsigned long request, ...))
WRAPPED(int, epoll_ctl, (int epfd, int op, int fd, struct epoll_event *event))
WRAPPED(int, epoll_wait, (int epfd, struct epoll_event *events, int n, int timeout))
WRAPPED(int, epoll_pwait, (int epfd, struct epoll_event *events, int n, int timeout, const sigset_t *mask))
WRAPPED(int, poll, (struct pollfd *fds, nfds_t n, int timeout))
WRAPPED(int, ppoll, (struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask))
WRAPPED(int, open, (const char *path, int flags, ...))
WRAPPED(int, open64, (const char *path, int flags, ...))
WRAPPED(FILE *, fopen, (const char *path, const char *mode))
WRAPPED(FILE *, fopen64, (const char *path, const char *mode))
WRAPPED(int, access, (const char *path, int mode))
WRAPPED(int, faccessat, (int dir, const char *path, int mode, int flags))
WRAPPED(int, statfs, (const char *path, struct statfs *out))
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

static skep_bpf_hook_fn *hook;
static void *hook_ud;

void skep_bpf_hook(skep_bpf_hook_fn *fn, void *ud)
{
	hook = fn;
	hook_ud = ud;
}

static long give(int ret)
{
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

/* ---- files: /sys/fs/bpf is a directory of the user's; the kernel's types and tracepoints are the engine's ---- */

static const char bpffs[] = "/sys/fs/bpf";

static int in_bpffs(const char *path)
{
	size_t n = sizeof(bpffs) - 1;

	return !strncmp(path, bpffs, n) && (path[n] == '/' || path[n] == 0);
}

/* A directory of this user alone; somebody else may have been there first. */
static int private_dir(const char *path)
{
	struct stat st;

	if (__real_mkdir(path, 0700) && errno != EEXIST)
		return -1;
	if (lstat(path, &st))
		return -1;
	if (S_ISDIR(st.st_mode) && st.st_uid == getuid() && !(st.st_mode & 022))
		return 0;
	errno = EACCES;
	return -1;
}

/* Where a path in bpffs really lies: $XDG_RUNTIME_DIR/skep/bpf, or /dev/shm/skep-UID/bpf. NULL: there is no such place. */
static const char *bpffs_path(const char *path, char *buf, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char dir[PATH_MAX - 256];

	if (runtime && *runtime == '/' && strlen(runtime) < sizeof(dir) - 16 && __real_access(runtime, W_OK) == 0)
		snprintf(dir, sizeof(dir), "%s/skep", runtime);
	else
		snprintf(dir, sizeof(dir), "/dev/shm/skep-%u", getuid());
	snprintf(buf, size, "%s/bpf", dir);
	if (private_dir(dir) || private_dir(buf))
		return NULL;
	if (strlen(buf) + strlen(path) - (sizeof(bpffs) - 1) >= size) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return strcat(buf, path + sizeof(bpffs) - 1);
}

/* Where the host's files would tell of the host's kernel: types, tracepoints, sources of perf events. */
static int is_engines(const char *path)
{
	static const char *const folders[] = {"/sys/kernel/btf", "/sys/kernel/tracing", "/sys/kernel/debug/tracing", "/sys/bus/event_source/devices"};

	for (size_t i = 0; path && i < sizeof(folders) / sizeof(folders[0]); i++) {
		size_t n = strlen(folders[i]);

		if (!strncmp(path, folders[i], n) && (path[n] == '/' || path[n] == 0))
			return 1;
	}
	return 0;
}

/* A file of /sys/kernel/btf: the types that the engine was told to use, and what lies beside them in such a folder; NULL: it has its own. */
static const char *types_path(struct skep *k, const char *path, char *buf, size_t size)
{
	static const char folder[] = "/sys/kernel/btf/", kernel[] = "vmlinux";
	const char *own = k ? skep_kernel_btf(k) : NULL, *name = path + sizeof(folder) - 1, *last = own ? strrchr(own, '/') : NULL;

	if (!own || strncmp(path, folder, sizeof(folder) - 1) || !*name || strchr(name, '/'))
		return NULL;
	if (!strcmp(name, kernel))
		return own;
	if (!last || strcmp(last + 1, kernel) || (size_t)snprintf(buf, size, "%.*s/%s", (int)(last - own), own, name) >= size)
		return NULL;
	return buf;
}

/* Does the engine have it? open: a descriptor of its contents, otherwise 0; -1 and errno if not. */
static int engines_file(const char *path, int open)
{
	struct skep *k = skep_bpf_engine();
	char buf[PATH_MAX];
	const char *types = types_path(k, path, buf, sizeof(buf));
	char *text;
	size_t size, at = 0;
	int err, fd;

	if (types)
		return open ? __real_open64(types, O_RDONLY | O_CLOEXEC) : __real_access(types, F_OK);
	err = k ? hook_file(k, path, &text, &size) : -ENOMEM;
	if (err && err != -EISDIR)
		return (int)give(err);
	fd = open ? memfd_create("skep-file", MFD_CLOEXEC) : 0;
	while (open && fd >= 0 && at < size) {
		ssize_t n = pwrite(fd, text + at, size - at, (off64_t)at);

		if (n <= 0) {
			close(fd);
			fd = -1;
			break;
		}
		at += (size_t)n;
	}
	hook_file_free(k, text, size);
	return fd;
}

static const char *real_path(const char *path, char *buf, size_t size)
{
	if (!path)
		return path;
	return in_bpffs(path) ? bpffs_path(path, buf, size) : path;
}

/* Where else libbpf looks for the kernel's BTF. It asks before it opens; opening such a file, named by a user, is allowed. */
static int kernel_image(const char *path)
{
	static const char *const places[] = {"/boot/vmlinux-", "/lib/modules/", "/usr/lib/modules/", "/usr/lib/debug/boot/vmlinux-",
					     "/usr/lib/debug/lib/modules/"};

	for (size_t i = 0; path && i < sizeof(places) / sizeof(places[0]); i++)
		if (!strncmp(path, places[i], strlen(places[i])) && strstr(path, "vmlinux"))
			return 1;
	return 0;
}

/* Containers may have no /sys: how many CPUs there are is then said by who counts the engine's, too. */
static int cpu_list(const char *path)
{
	static const char prefix[] = "/sys/devices/system/cpu/";
	long n = sysconf(_SC_NPROCESSORS_CONF);
	char text[32];
	int fd, len;

	if (errno != ENOENT || !path || strncmp(path, prefix, sizeof(prefix) - 1) ||
	    (strcmp(path + sizeof(prefix) - 1, "possible") && strcmp(path + sizeof(prefix) - 1, "online")))
		return -1;
	fd = memfd_create("cpus", MFD_CLOEXEC);
	len = snprintf(text, sizeof(text), n > 1 ? "0-%ld\n" : "0\n", n - 1);
	if (fd < 0 || pwrite(fd, text, (size_t)len, 0) == len)
		return fd;
	close(fd);
	return -1;
}

#define MODE_OF(flags, mode)                                                                                     \
	do {                                                                                                     \
		va_list ap;                                                                                      \
                                                                                                                 \
		va_start(ap, flags);                                                                             \
		if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)                                         \
			mode = va_arg(ap, mode_t);                                                               \
		va_end(ap);                                                                                      \
	} while (0)

int __wrap_open(const char *path, int flags, ...)
{
	char buf[PATH_MAX];
	const char *real = real_path(path, buf, sizeof(buf));
	mode_t mode = 0;
	int fd;

	MODE_OF(flags, mode);
	if (is_engines(path))
		return engines_file(path, 1);
	fd = path && !real ? -1 : __real_open(real, flags, mode);
	return fd < 0 ? cpu_list(path) : fd;
}

int __wrap_open64(const char *path, int flags, ...)
{
	char buf[PATH_MAX];
	const char *real = real_path(path, buf, sizeof(buf));
	mode_t mode = 0;
	int fd;

	MODE_OF(flags, mode);
	if (is_engines(path))
		return engines_file(path, 1);
	fd = path && !real ? -1 : __real_open64(real, flags, mode);
	return fd < 0 ? cpu_list(path) : fd;
}

static FILE *engines_stream(const char *path, const char *mode)
{
	int fd = engines_file(path, 1);
	FILE *f = fd < 0 ? NULL : fdopen(fd, mode);

	if (fd >= 0 && !f)
		close(fd);
	return f;
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	char buf[PATH_MAX];
	const char *real = real_path(path, buf, sizeof(buf));

	if (is_engines(path))
		return engines_stream(path, mode);
	return path && !real ? NULL : __real_fopen(real, mode);
}

FILE *__wrap_fopen64(const char *path, const char *mode)
{
	char buf[PATH_MAX];
	const char *real = real_path(path, buf, sizeof(buf));

	if (is_engines(path))
		return engines_stream(path, mode);
	return path && !real ? NULL : __real_fopen64(real, mode);
}

int __wrap_access(const char *path, int mode)
{
	char buf[PATH_MAX];
	const char *real = real_path(path, buf, sizeof(buf));

	if (is_engines(path))
		return engines_file(path, 0);
	return path && !real ? -1 : __real_access(real, mode);
}

int __wrap_faccessat(int dir, const char *path, int mode, int flags)
{
	char buf[PATH_MAX];
	const char *real = real_path(path, buf, sizeof(buf));

	if (is_engines(path))
		return engines_file(path, 0);
	if (kernel_image(path))
		return (int)give(-ENOENT);
	return path && !real ? -1 : __real_faccessat(dir, real, mode, flags);
}

int __wrap_statfs(const char *path, struct statfs *out)
{
	char buf[PATH_MAX];
	const char *real = real_path(path, buf, sizeof(buf));
	int ret = path && !real ? -1 : __real_statfs(real, out);

	if (!ret && real != path)
		out->f_type = BPF_FS_MAGIC;
	return ret;
}

int __wrap_statfs64(const char *path, struct statfs64 *out)
{
	char buf[PATH_MAX];
	const char *real = real_path(path, buf, sizeof(buf));
	int ret = path && !real ? -1 : __real_statfs64(real, out);

	if (!ret && real != path)
		out->f_type = BPF_FS_MAGIC;
	return ret;
}

int __wrap_mkdir(const char *path, mode_t mode)
{
	char buf[PATH_MAX];
	const char *real = real_path(path, buf, sizeof(buf));

	return path && !real ? -1 : __real_mkdir(real, mode);
}

int __wrap_unlink(const char *path)
{
	char buf[PATH_MAX];
	const char *real = real_path(path, buf, sizeof(buf));

	return path && !real ? -1 : __real_unlink(real);
}

/* ---- bpf(2), perf_event_open(2) ---- */

/* Pins lie where bpffs lies. */
static long bpf_call(struct skep *k, int cmd, union bpf_attr *attr, unsigned size)
{
	union bpf_attr copy;
	char buf[PATH_MAX];
	const char *path;

	if ((cmd != BPF_OBJ_PIN && cmd != BPF_OBJ_GET) || size < offsetof(union bpf_attr, pathname) + 8)
		return give(skep_bpf(k, cmd, attr, size));
	memset(&copy, 0, sizeof(copy));
	memcpy(&copy, attr, size < sizeof(copy) ? size : sizeof(copy));
	path = real_path((const char *)(unsigned long)attr->pathname, buf, sizeof(buf));
	if (attr->pathname && !path)
		return -1;
	copy.pathname = (__u64)(unsigned long)path;
	return give(skep_bpf(k, cmd, &copy, sizeof(copy)));
}

/* As libc's, it passes on six arguments however many there are: the rest is whatever lies on the stack, which AddressSanitizer would object to. */
__attribute__((no_sanitize_address)) long __wrap_syscall(long number, ...)
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
	if (number == SYS_bpf && hook)
		return give(hook(hook_ud, k, (int)a[0], (union bpf_attr *)a[1], (unsigned)a[2]));
	if (number == SYS_bpf)
		return bpf_call(k, (int)a[0], (union bpf_attr *)a[1], (unsigned)a[2]);
	return give(skep_perf_event_open(k, (const struct perf_event_attr *)a[0], (int)a[1], (int)a[2], (int)a[3], (unsigned long)a[4]));
}

/* A perf ring has no size until it is mapped. Other descriptors say -EINVAL or -EBADF, and map as they are. */
static void size_perf_ring(int fd, int flags, off64_t off, size_t len)
{
	if (fd >= 0 && engine && flags & MAP_SHARED && off == 0)
		(void)skep_perf_mmap(engine, fd, len);
}

/* An arena's first mapping decides what its addresses are. -1: refused, with errno. */
static int place_arena(int fd, int *flags, off64_t off, size_t len, void **addr)
{
	void *wanted = *addr;
	int err = fd >= 0 && engine && *flags & MAP_SHARED && off == 0 ? skep_arena_mmap(engine, fd, addr, len) : 0;

	if (err == -EBADF)
		return 0;
	if (!err && *addr != wanted)
		*flags |= MAP_FIXED_NOREPLACE;
	errno = err ? -err : errno;
	return err ? -1 : 0;
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	size_perf_ring(fd, flags, off, len);
	if (place_arena(fd, &flags, off, len, &addr))
		return MAP_FAILED;
	return __real_mmap(addr, len, prot, flags, fd, off);
}

void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t off)
{
	size_perf_ring(fd, flags, off, len);
	if (place_arena(fd, &flags, off, len, &addr))
		return MAP_FAILED;
	return __real_mmap64(addr, len, prot, flags, fd, off);
}

static int is_perf(int fd)
{
	uint64_t id;

	return !skep_perf_ioctl(engine, fd, PERF_EVENT_IOC_ID, (unsigned long)(uintptr_t)&id);
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
	return (int)give(skep_perf_ioctl(engine, fd, request, (unsigned long)arg));
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
static void sync_watches(int epfd)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; engine && i < n_watches; i++)
		if (watches[i].epfd == epfd && skep_poll_fd(engine, watches[i].fd) != watches[i].event_fd)
			watches[i--] = watches[--n_watches]; /* closed meanwhile */
	pthread_mutex_unlock(&lock);
}

int __wrap_epoll_wait(int epfd, struct epoll_event *events, int n, int timeout)
{
	sync_watches(epfd);
	return __real_epoll_wait(epfd, events, n, timeout);
}

int __wrap_epoll_pwait(int epfd, struct epoll_event *events, int n, int timeout, const sigset_t *mask)
{
	sync_watches(epfd);
	return __real_epoll_pwait(epfd, events, n, timeout, mask);
}

/* poll(2) waits on copies in which rings are replaced by their eventfds. NULL: there is no ring among them, or no memory. */
static struct pollfd *substitute(const struct pollfd *fds, nfds_t n)
{
	struct pollfd *copy = NULL;

	for (nfds_t i = 0; engine && i < n; i++) {
		int event_fd = fds[i].fd >= 0 ? skep_poll_fd(engine, fds[i].fd) : -1;

		if (event_fd < 0)
			continue;
		if (!copy) {
			copy = malloc(n * sizeof(*copy));
			if (!copy)
				return NULL;
			memcpy(copy, fds, n * sizeof(*copy));
		}
		copy[i].fd = event_fd;
	}
	return copy;
}

static int put_back(struct pollfd *fds, struct pollfd *copy, nfds_t n, int ret)
{
	int err = errno;

	for (nfds_t i = 0; copy && i < n; i++)
		fds[i].revents = copy[i].revents;
	free(copy);
	errno = err;
	return ret;
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct pollfd *copy = substitute(fds, n);

	return put_back(fds, copy, n, __real_poll(copy ? copy : fds, n, timeout));
}

int __wrap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	struct pollfd *copy = substitute(fds, n);

	return put_back(fds, copy, n, __real_ppoll(copy ? copy : fds, n, timeout, mask));
}
