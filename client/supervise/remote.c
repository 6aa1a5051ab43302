/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory and descriptors of the processes that are served. A descriptor is known by the inode of /proc/TID/fd/N, which dup, fork and passing over
 * a socket keep; it is translated to the engine's own descriptor of the same object, so nothing needs to be opened. */
#include "client/supervise/supervise.h"

#include "sys/sys.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

s64 remote_read(pid_t tid, u64 from, void *to, u64 size)
{
	struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
	ssize_t n = size ? process_vm_readv(tid, &local, 1, &remote, 1, 0) : 0;

	return n < 0 ? -errno : n;
}

int remote_get(pid_t tid, u64 from, void *to, u64 size)
{
	s64 n = remote_read(tid, from, to, size);

	return n < 0 ? (int)n : (u64)n == size ? 0 : -EFAULT;
}

int remote_put(pid_t tid, u64 to, const void *from, u64 size)
{
	struct iovec local = {(void *)(uintptr_t)from, size}, remote = {(void *)(uintptr_t)to, size};
	ssize_t n = size ? process_vm_writev(tid, &local, 1, &remote, 1, 0) : 0;

	return n < 0 ? -errno : (size_t)n == size ? 0 : -EFAULT;
}

/* In pieces that end with a page, as what follows may not be mapped. */
int remote_text(pid_t tid, u64 from, char *to, size_t size)
{
	enum { PAGE = 4096 };
	size_t n = 0;

	while (n < size) {
		size_t piece = PAGE - ((from + n) & (PAGE - 1));
		s64 got = remote_read(tid, from + n, to + n, MIN(piece, MIN(size - n, (size_t)256)));
		const char *end;

		if (got <= 0)
			return got == -EPERM || got == -ESRCH ? (int)got : -EFAULT;
		end = memchr(to + n, 0, (size_t)got);
		if (end)
			return (int)(end - to);
		n += (size_t)got;
	}
	return -ENAMETOOLONG;
}

static int fd_path(char *to, size_t size, pid_t tid, int fd)
{
	return snprintf(to, size, "/proc/%d/fd/%d", tid, fd);
}

/* ---- folders of descriptors: a folder of a task that has ended has no entries, whoever has its id now ---- */

void remote_open(struct super *s)
{
	for (u32 i = 0; i < ARRAY_SIZE(s->fd_folders); i++) {
		pthread_mutex_init(&s->fd_folders[i].lock, NULL);
		s->fd_folders[i].fd = -1;
	}
}

struct inode {
	u64 dev, ino;
};

/* Nothing is asked of who serves a file system, which may be a task whose own call waits for its answer. */
static bool stat_in(const struct fd_folder *f, int fd, struct inode *out)
{
	struct statx sx;
	char name[16];

	snprintf(name, sizeof(name), "%d", fd);
	if (f->fd < 0 || statx(f->fd, name, AT_STATX_DONT_SYNC, STATX_INO, &sx))
		return false;
	*out = (struct inode){makedev(sx.stx_dev_major, sx.stx_dev_minor), sx.stx_ino};
	return true;
}

static bool find_inode(struct super *s, pid_t tid, int fd, struct inode *out)
{
	struct fd_folder *f = &s->fd_folders[(u32)tid % ARRAY_SIZE(s->fd_folders)];
	char path[64];
	bool found;

	pthread_mutex_lock(&f->lock);
	found = f->tid == tid && stat_in(f, fd, out);
	if (!found) {
		if (f->fd >= 0)
			close(f->fd);
		snprintf(path, sizeof(path), "/proc/%d/fd", tid);
		f->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		f->tid = tid;
		found = stat_in(f, fd, out);
	}
	pthread_mutex_unlock(&f->lock);
	return found;
}

struct obj *remote_object(struct super *s, pid_t tid, int fd, u32 type)
{
	struct inode i;

	return fd < 0 || !find_inode(s, tid, fd, &i) ? NULL : obj_by_inode(s->k, i.dev, i.ino, type);
}

bool remote_has_fd(pid_t tid, int fd)
{
	char path[64];
	struct stat st;

	fd_path(path, sizeof(path), tid, fd);
	return fd >= 0 && !lstat(path, &st);
}

/* The link's permissions say how the description was opened. */
int remote_fd_mode(pid_t tid, int fd)
{
	char path[64];
	struct stat st;

	fd_path(path, sizeof(path), tid, fd);
	if (lstat(path, &st))
		return -errno;
	return (st.st_mode & 0600) == 0400 ? O_RDONLY : (st.st_mode & 0600) == 0200 ? O_WRONLY : O_RDWR;
}

pid_t remote_tgid(pid_t tid)
{
	u64 tgid;

	return proc_status(tid, "Tgid", 10, &tgid) && tgid ? (pid_t)tgid : tid;
}

bool remote_descends(pid_t pid, pid_t root)
{
	struct proc_stat st;

	for (int depth = 0; pid > 1 && depth < 4096 && proc_stat(pid, &st); depth++) {
		if (!depth && st.state == 'Z' && st.threads <= 1) /* it waits to be reaped; one whose first thread alone has ended does not */
			return false;
		pid = st.parent;
		if (pid == root)
			return true;
	}
	return false;
}

int remote_fetch(struct call *c, int fd)
{
	int process = (int)syscall(SYS_pidfd_open, remote_tgid(c->tid), 0), got, err;

	if (process < 0)
		return -errno;
	got = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
	err = -errno;
	close(process);
	return got < 0 ? err : got;
}

/* What commands ask of other files, whether one is a cgroup and which, is told of a descriptor that opens nothing. */
static void open_foreign(struct call *c, int fd, struct local_fd *out)
{
	char path[64];

	if (fd < 0)
		return;
	fd_path(path, sizeof(path), c->tid, fd);
	out->fd = open(path, O_PATH | O_CLOEXEC);
	out->own = out->fd >= 0;
	if (!out->own && remote_has_fd(c->tid, fd))
		out->fd = c->s->foreign;
}

void local_fd_open(struct call *c, int fd, struct local_fd *out)
{
	char path[64];
	int mode;

	*out = (struct local_fd){.fd = -1, .o = remote_object(c->s, c->tid, fd, 0)};
	if (!out->o) {
		open_foreign(c, fd, out);
		return;
	}
	out->fd = out->o->fd;
	if (!out->o->limited)
		return;
	mode = remote_fd_mode(c->tid, fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", out->fd);
	fd = mode < 0 ? -1 : open(path, mode | O_CLOEXEC);
	if (fd >= 0) {
		out->fd = fd;
		out->own = true;
	}
}

void local_fd_close(struct local_fd *l)
{
	if (l->own)
		close(l->fd);
	obj_put(l->o);
	*l = (struct local_fd){.fd = -1};
}
