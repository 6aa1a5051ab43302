/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls on files: those that lead to a place of ours (places.c) are answered, all others go on to the kernel. */
#include "client/supervise/supervise.h"

#include "sys/sys.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <limits.h>
#include <linux/stat.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Calls come in two shapes: with a directory's descriptor before the path, and without. */
static bool has_dir(int nr)
{
	switch (nr) {
	case SYS_openat:
	case SYS_faccessat:
	case SYS_faccessat2:
	case SYS_newfstatat:
	case SYS_statx:
	case SYS_readlinkat:
	case SYS_mkdirat:
	case SYS_unlinkat: return true;
	default: return false;
	}
}

/* Arguments from the path on. */
static const u64 *after_dir(const struct call *c)
{
	return c->args + has_dir(c->nr);
}

/* false: the kernel's. p is to be closed when true. */
static bool ours(struct call *c, struct place *p)
{
	int dir = has_dir(c->nr) ? (int)c->args[0] : AT_FDCWD;

	if (place_find(c, dir, *after_dir(c), p)) /* the kernel says what is wrong with the path */
		return false;
	if (p->kind != PLACE_HOST) {
		call_slow(c);
		return true;
	}
	place_close(c->s, p);
	return false;
}

static struct answer finish(struct call *c, struct place *p, s64 ret)
{
	place_close(c->s, p);
	return answer_value(ret);
}

/* ---- opening ---- */

static int open_text(const struct place *p)
{
	int fd = memfd_create("skep-file", MFD_CLOEXEC), reader;
	char path[40];

	if (fd < 0)
		return -errno;
	for (size_t done = 0; done < p->size;) {
		ssize_t n = write(fd, p->text + done, p->size - done);

		if (n < 0) {
			int err = -errno;

			close(fd);
			return err;
		}
		done += (size_t)n;
	}
	/* A description of its own that can only read. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	if (reader < 0)
		return fd;
	close(fd);
	return reader;
}

/* ---- trace_pipe: what programs print goes through a pipe that lasts as long as it has readers ---- */

static bool is_trace_pipe(const struct place *p)
{
	const char *name = strrchr(p->asked, '/');

	return p->kind == PLACE_TEXT && name && !strcmp(name, "/trace_pipe");
}

static int open_trace(struct super *s, int flags)
{
	int ends[2] = {-1, -1}, fd = -1;
	char path[40];

	pthread_mutex_lock(&s->lock);
	if (!s->trace && !pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		s->trace = ends[1];
	if (s->trace) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", s->trace);
		fd = open(path, O_RDONLY | O_CLOEXEC | (flags & O_NONBLOCK));
	}
	fd = fd < 0 ? -errno : fd;
	pthread_mutex_unlock(&s->lock);
	if (ends[0] >= 0)
		close(ends[0]);
	return fd;
}

bool trace_tick(struct super *s)
{
	struct pollfd p = {.events = POLLOUT};
	char text[PIPE_BUF]; /* goes into a pipe as a whole */
	size_t n = 1;
	bool lasts;

	pthread_mutex_lock(&s->lock);
	p.fd = s->trace;
	while (s->trace && n && poll(&p, 1, 0) > 0 && p.revents == POLLOUT) {
		n = skep_trace_read(s->k, text, sizeof(text));
		if (n)
			(void)!write(s->trace, text, n);
	}
	if (s->trace && p.revents & POLLERR) { /* nobody reads any more */
		close(s->trace);
		s->trace = 0;
	}
	lasts = s->trace != 0;
	pthread_mutex_unlock(&s->lock);
	return lasts;
}

static int open_place(struct super *s, const struct place *p, int flags, mode_t mode)
{
	char folder[PATH_MAX];
	int err, fd;

	switch (p->kind) {
	case PLACE_NONE: return p->error;
	case PLACE_TEXT:
		if (flags & O_DIRECTORY || (flags & O_ACCMODE) != O_RDONLY)
			return flags & O_DIRECTORY ? -ENOTDIR : -EACCES;
		return is_trace_pipe(p) ? open_trace(s, flags) : open_text(p);
	case PLACE_FOLDER:
		if ((flags & O_ACCMODE) != O_RDONLY)
			return -EISDIR;
		err = place_folder(s, p, folder, sizeof(folder));
		if (err)
			return err;
		fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		break;
	default:
		/* in bpffs, objects come from OBJ_GET alone */
		if (flags & O_CREAT)
			return -EPERM;
		fd = open(p->path, flags | O_CLOEXEC, mode);
		break;
	}
	return fd < 0 ? -errno : fd;
}

struct answer serve_open(struct call *c)
{
	const u64 *args = after_dir(c);
	struct place p;
	int fd;

	if (!ours(c, &p))
		return answer_continue();
	fd = open_place(c->s, &p, (int)args[1], (mode_t)args[2]);
	place_close(c->s, &p);
	return answer_fd(fd, args[1] & O_CLOEXEC);
}

/* ---- asking ---- */

static int stat_place(const struct place *p, struct stat *st, bool follow)
{
	memset(st, 0, sizeof(*st));
	if (p->kind == PLACE_NONE)
		return p->error;
	if (p->kind == PLACE_PATH)
		return (follow ? stat(p->path, st) : lstat(p->path, st)) ? -errno : 0;
	st->st_dev = 7;
	st->st_ino = 1;
	for (const char *at = p->asked; *at; at++)
		st->st_ino = st->st_ino * 31 + (u8)*at;
	st->st_mode = p->kind == PLACE_FOLDER ? S_IFDIR | 0555 : S_IFREG | 0444;
	st->st_nlink = p->kind == PLACE_FOLDER ? 2 : 1;
	st->st_size = p->kind == PLACE_FOLDER ? 0 : (off_t)p->size;
	st->st_blksize = 4096;
	return 0;
}

struct answer serve_access(struct call *c)
{
	const u64 *args = after_dir(c);
	struct stat st;
	struct place p;
	int err;

	if (!ours(c, &p))
		return answer_continue();
	err = stat_place(&p, &st, true);
	if (!err && p.kind == PLACE_PATH)
		err = access(p.path, (int)args[1]) ? -errno : 0;
	else if (!err && args[1] & W_OK)
		err = -EACCES;
	return finish(c, &p, err);
}

struct answer serve_stat(struct call *c)
{
	const u64 *args = after_dir(c);
	bool follow = c->nr == SYS_stat || (c->nr == SYS_newfstatat && !(args[2] & AT_SYMLINK_NOFOLLOW));
	struct stat st;
	struct place p;
	int err;

	if (!ours(c, &p))
		return answer_continue();
	err = stat_place(&p, &st, follow);
	if (!err)
		err = remote_put(c->tid, args[1], &st, sizeof(st));
	return finish(c, &p, err);
}

struct answer serve_statx(struct call *c)
{
	struct statx sx = {0};
	struct stat st;
	struct place p;
	int err;

	if (!ours(c, &p))
		return answer_continue();
	err = stat_place(&p, &st, !(c->args[2] & AT_SYMLINK_NOFOLLOW));
	sx = (struct statx){
		.stx_mask = STATX_BASIC_STATS, .stx_blksize = (u32)st.st_blksize, .stx_nlink = (u32)st.st_nlink, .stx_uid = st.st_uid, .stx_gid = st.st_gid,
		.stx_mode = (u16)st.st_mode, .stx_ino = st.st_ino, .stx_size = (u64)st.st_size, .stx_blocks = (u64)st.st_blocks,
		.stx_atime = {.tv_sec = st.st_atime}, .stx_ctime = {.tv_sec = st.st_ctime}, .stx_mtime = {.tv_sec = st.st_mtime},
	};
	if (!err)
		err = remote_put(c->tid, c->args[4], &sx, sizeof(sx));
	return finish(c, &p, err);
}

struct answer serve_statfs(struct call *c)
{
	struct statfs fs = {.f_bsize = 4096, .f_namelen = 255};
	struct stat st;
	struct place p;
	int err;

	if (!ours(c, &p))
		return answer_continue();
	err = stat_place(&p, &st, true);
	fs.f_type = p.kind == PLACE_PATH ? BPF_FS_MAGIC : strstr(p.asked, "/tracing") ? TRACEFS_MAGIC : strstr(p.asked, "/debug") ? DEBUGFS_MAGIC : SYSFS_MAGIC;
	if (!err)
		err = remote_put(c->tid, c->args[1], &fs, sizeof(fs));
	return finish(c, &p, err);
}

/* /proc/self/fd/N of an object reads as Linux shows it. */
static const char *object_name(const struct obj *o)
{
	static const char *const names[] = {"", "anon_inode:bpf-map", "anon_inode:bpf-prog", "anon_inode:btf", "anon_inode:bpf_link",
					    "anon_inode:[perf_event]"};

	return o->type < ARRAY_SIZE(names) ? names[o->type] : "";
}

struct answer serve_readlink(struct call *c)
{
	const u64 *args = after_dir(c);
	char path[PATH_MAX];
	struct obj *o = NULL;
	struct place p;
	const char *text;
	u64 n;
	int fd, err;

	if (ours(c, &p))
		return finish(c, &p, p.kind == PLACE_NONE ? p.error : -EINVAL);
	if (remote_text(c->tid, args[0], path, sizeof(path)) > 0 && (fd = own_fd_path(c, path, "fd")) >= 0)
		o = remote_object(c->s, c->tid, fd, 0);
	if (!o)
		return answer_continue();
	text = object_name(o);
	n = MIN(strlen(text), (size_t)(u32)args[2]);
	err = (s32)args[2] <= 0 ? -EINVAL : remote_put(c->tid, args[1], text, n);
	obj_put(o);
	return answer_value(err ? err : (s64)n);
}

/* ---- changing: in bpffs ---- */

struct answer serve_mkdir(struct call *c)
{
	const u64 *args = after_dir(c);
	struct place p;

	if (!ours(c, &p))
		return answer_continue();
	if (p.kind != PLACE_PATH)
		return finish(c, &p, p.kind == PLACE_NONE ? -EACCES : -EEXIST);
	return finish(c, &p, mkdir(p.path, (mode_t)args[1] & 0777) ? -errno : 0);
}

struct answer serve_unlink(struct call *c)
{
	bool folder = c->nr == SYS_rmdir || (c->nr == SYS_unlinkat && c->args[2] & AT_REMOVEDIR);
	struct place p;

	if (!ours(c, &p))
		return answer_continue();
	if (p.kind != PLACE_PATH)
		return finish(c, &p, p.kind == PLACE_NONE ? p.error : -EPERM);
	if (folder ? rmdir(p.path) : unlink(p.path))
		return finish(c, &p, -errno);
	pins_forget(c->s);
	return finish(c, &p, 0);
}
