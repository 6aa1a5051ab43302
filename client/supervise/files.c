/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls on files: those that lead to a place of ours (places.c) are answered, all others go on to the kernel. */
#include "client/supervise/supervise.h"

#include "sys/sys.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <linux/openat2.h>
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

/* Arguments from the path on, of calls with one path. */
static const u64 *after_dir(const struct call *c)
{
	return c->args + (call_row(c->nr)->args[0] == 'd');
}

/* false: the kernel's. p is to be closed when true. at: the path among the arguments, behind its folder if it has one */
static bool path_is_ours(struct call *c, const u64 *at, bool has_dir, struct place *p)
{
	if (place_find(c, has_dir ? (int)at[-1] : AT_FDCWD, *at, p)) /* the kernel says what is wrong with the path */
		return false;
	if (p->kind != PLACE_HOST) {
		call_slow(c);
		return true;
	}
	place_close(c->s, p);
	return false;
}

static bool ours(struct call *c, struct place *p)
{
	const u64 *at = after_dir(c);

	return path_is_ours(c, at, at != c->args, p);
}

static struct answer finish(struct call *c, struct place *p, s64 ret)
{
	place_close(c->s, p);
	return answer_value(ret);
}

/* ---- opening ---- */

int file_of_text(const char *text, size_t size)
{
	int fd = memfd_create("skep-file", MFD_CLOEXEC), reader;
	char path[40];

	if (fd < 0)
		return -errno;
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, text + done, size - done);

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

static bool in_bpffs(const struct place *p)
{
	return p->kind == PLACE_PATH && !p->outside;
}

/* Objects come from OBJ_GET alone, and their files are made by OBJ_PIN. */
static int open_pin(const struct place *p, int flags)
{
	struct stat st;

	if ((flags & O_TMPFILE) == O_TMPFILE)
		return -EOPNOTSUPP;
	if (lstat(p->path, &st)) {
		size_t n = strlen(p->path);
		char folder[PATH_MAX];

		snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(p->path, '/') - p->path), p->path);
		return errno != ENOENT || !(flags & O_CREAT) || access(folder, F_OK) ? -errno : p->path[n - 1] == '/' ? -EISDIR : -EACCES;
	}
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if (stat(p->path, &st))
		return flags & O_CREAT ? -EACCES : -errno;
	return S_ISREG(st.st_mode) && !(flags & (O_PATH | O_DIRECTORY)) ? -EIO : 0;
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
		return is_trace_pipe(p) ? open_trace(s, flags) : file_of_text(p->text, p->size);
	case PLACE_FOLDER:
		if ((flags & O_ACCMODE) != O_RDONLY)
			return -EISDIR;
		err = place_folder(s, p, folder, sizeof(folder));
		if (err)
			return err;
		fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		break;
	default:
		err = in_bpffs(p) ? open_pin(p, flags) : 0;
		if (err)
			return err;
		atomic_store(&s->entered, true);
		fd = open(p->path, (flags & ~O_PATH) | O_CLOEXEC, mode); /* one of O_PATH cannot be handed over */
		break;
	}
	return fd < 0 ? -errno : fd;
}

/* Flags and mode, in the three shapes that opening has. false: the kernel's */
static bool open_how(struct call *c, struct open_how *how)
{
	const u64 *args = after_dir(c);
	struct open_how asked;

	*how = (struct open_how){.flags = (u32)args[1], .mode = (u32)args[2]};
	if (c->nr == SYS_creat)
		*how = (struct open_how){.flags = O_CREAT | O_WRONLY | O_TRUNC, .mode = (u32)args[1]};
	if (c->nr != SYS_openat2)
		return true;
	if (args[2] < sizeof(asked) || remote_get(c->tid, args[1], &asked, sizeof(asked)) || asked.flags >> 32 || asked.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT))
		return false;
	*how = asked;
	return true;
}

struct answer serve_open(struct call *c)
{
	struct open_how how;
	struct place p;
	int fd;

	if (!open_how(c, &how))
		return answer_continue();
	if (!ours(c, &p)) {
		if (!status_is(p.asked) || how.flags & (O_PATH | O_DIRECTORY | O_ACCMODE))
			return answer_continue();
		fd = status_open(c, p.asked);
		return fd < 0 ? answer_continue() : answer_fd(fd, how.flags & O_CLOEXEC);
	}
	fd = open_place(c->s, &p, (int)how.flags, (mode_t)how.mode);
	place_close(c->s, &p);
	return answer_fd(fd, how.flags & O_CLOEXEC);
}

struct answer serve_status(struct call *c)
{
	char path[PATH_MAX];
	struct open_how how;
	int fd;

	if (!open_how(c, &how) || how.flags & (O_PATH | O_DIRECTORY | O_ACCMODE) || remote_text(c->tid, c->args[c->nr != SYS_open], path, sizeof(path)) < 0 || !status_is(path))
		return answer_continue();
	fd = status_open(c, path);
	return fd < 0 ? answer_continue() : answer_fd(fd, how.flags & O_CLOEXEC);
}

/* ---- asking ---- */

static int stat_place(const struct place *p, struct stat *st, bool follow)
{
	memset(st, 0, sizeof(*st));
	if (p->kind == PLACE_NONE)
		return p->error;
	if (p->kind == PLACE_PATH) {
		if (follow ? stat(p->path, st) : lstat(p->path, st))
			return -errno;
		if (in_bpffs(p))
			st->st_size = st->st_blocks = 0;
		return 0;
	}
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

static struct statx statx_of(const struct stat *st)
{
	return (struct statx){
		.stx_mask = STATX_BASIC_STATS, .stx_blksize = (u32)st->st_blksize, .stx_nlink = (u32)st->st_nlink, .stx_uid = st->st_uid, .stx_gid = st->st_gid,
		.stx_mode = (u16)st->st_mode, .stx_ino = st->st_ino, .stx_size = (u64)st->st_size,
	};
}

struct answer serve_statx(struct call *c)
{
	bool follow = !(c->args[2] & AT_SYMLINK_NOFOLLOW);
	struct statx sx;
	struct stat st;
	struct place p;
	int err;

	if (!ours(c, &p))
		return answer_continue();
	err = stat_place(&p, &st, follow);
	sx = statx_of(&st);
	if (!err && p.kind == PLACE_PATH) {
		if (statx(AT_FDCWD, p.path, (int)c->args[2] & ~AT_EMPTY_PATH, (unsigned)c->args[3], &sx))
			err = -errno;
		sx.stx_size = (u64)st.st_size;
		sx.stx_blocks = (u64)st.st_blocks;
	}
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
	if (!err && p.outside && statfs(p.path, &fs))
		err = -errno;
	else if (!p.outside)
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

static struct answer put_link(struct call *c, const u64 *args, const char *text)
{
	u64 n = MIN(strlen(text), (size_t)(u32)args[2]);
	int err = (s32)args[2] <= 0 ? -EINVAL : remote_put(c->tid, args[1], text, n);

	return answer_value(err ? err : (s64)n);
}

static int read_link(struct super *s, const char *path, char *to, size_t size)
{
	char text[PATH_MAX];
	ssize_t n = readlink(path, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	text[n] = 0;
	if (!place_called(s, text, to, size))
		snprintf(to, size, "%s", text);
	return 0;
}

/* The file that a descriptor of the task's, or its current directory, is, if it is one of ours. */
static bool own_folder(struct call *c, const char *name, char *to, size_t size)
{
	char link[64], text[PATH_MAX];
	ssize_t n;

	if (!atomic_load(&c->s->entered))
		return false;
	snprintf(link, sizeof(link), "/proc/%d/%s", c->tid, name);
	n = readlink(link, text, sizeof(text) - 1);
	if (n < 0)
		return false;
	text[n] = 0;
	return place_called(c->s, text, to, size) && !access(text, F_OK);
}

/* "cwd" or "fd/N" of "/proc/self/...", "": another path */
static int own_name(struct call *c, const char *path, char name[32])
{
	int fd = own_fd_path(c, path, "fd");

	name[0] = 0;
	if (fd >= 0)
		snprintf(name, 32, "fd/%d", fd);
	else if (own_path(c, path, "cwd"))
		strcpy(name, "cwd");
	return fd;
}

struct answer serve_readlink(struct call *c)
{
	const u64 *args = after_dir(c);
	char path[PATH_MAX], name[32];
	struct answer a = answer_continue();
	struct obj *o = NULL;
	struct place p;
	int fd, err;

	if (ours(c, &p)) {
		err = p.kind == PLACE_NONE ? p.error : p.kind == PLACE_PATH ? read_link(c->s, p.path, path, sizeof(path)) : -EINVAL;
		return err ? finish(c, &p, err) : (place_close(c->s, &p), put_link(c, args, path));
	}
	if (remote_text(c->tid, args[0], path, sizeof(path)) <= 0 || strncmp(path, "/proc/", 6))
		return a;
	fd = own_name(c, path, name);
	o = fd >= 0 ? remote_object(c->s, c->tid, fd, 0) : NULL;
	if (o)
		a = put_link(c, args, object_name(o));
	else if (name[0] && own_folder(c, name, path, sizeof(path)))
		a = put_link(c, args, path);
	obj_put(o);
	return a;
}

/* ---- current directories: real ones ---- */

struct answer serve_chdir(struct call *c)
{
	struct place p;
	int fd;

	if (!ours(c, &p))
		return answer_continue();
	if (p.kind == PLACE_TEXT)
		return finish(c, &p, -ENOTDIR);
	atomic_store(&c->s->entered, true);
	if (p.kind == PLACE_PATH && (fd = open(p.path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		fd = -errno;
	else if (p.kind != PLACE_PATH)
		fd = open_place(c->s, &p, O_DIRECTORY, 0);
	if (fd >= 0 && faccessat(fd, ".", X_OK, 0)) {
		close(fd);
		fd = -EACCES;
	}
	place_close(c->s, &p);
	return fd < 0 ? answer_value(fd) : (struct answer){.kind = ANSWER_ENTER, .fd = fd};
}

struct answer serve_getcwd(struct call *c)
{
	char path[PATH_MAX];
	u64 size;
	int err;

	if (!own_folder(c, "cwd", path, sizeof(path)))
		return answer_continue();
	size = strlen(path) + 1;
	err = c->args[1] < size ? -ERANGE : remote_put(c->tid, c->args[0], path, size);
	return answer_value(err ? err : (s64)size);
}

/* ---- all other calls with paths: the rows of calls.def say what becomes of them ---- */

struct path_call {
	const struct call_row *row;
	struct place place[2];
	u32 n, ours;
	u64 args[6]; /* for the call here */
	char text[PATH_MAX], target[PATH_MAX]; /* of a symbolic link */
	char times[32];
	bool made; /* with `mode` */
	mode_t mode;
};

static void find_paths(struct call *c, struct path_call *pc)
{
	pc->row = call_row(c->nr);
	memcpy(pc->args, c->args, sizeof(pc->args));
	for (u32 i = 0; pc->row->args[i]; i++) {
		bool has_dir = i && pc->row->args[i - 1] == 'd';

		if (!strchr("plec", pc->row->args[i]))
			continue;
		if (path_is_ours(c, &c->args[i], has_dir, &pc->place[pc->n]))
			pc->ours++;
		else
			pc->place[pc->n].kind = PLACE_HOST;
		pc->args[i] = (u64)(uintptr_t)pc->place[pc->n++].path;
		if (has_dir)
			pc->args[i - 1] = (u64)AT_FDCWD;
	}
}

/* Of a path that is not one of bpffs: what the call gives. */
static int refused(const struct path_call *pc)
{
	u32 n = 0;

	for (u32 i = 0; pc->row->args[i]; i++) {
		const struct place *p = &pc->place[n];

		if (!strchr("plec", pc->row->args[i]))
			continue;
		n++;
		if (p->kind == PLACE_NONE)
			return pc->row->args[i] == 'c' && p->error == -ENOENT ? -EACCES : p->error;
		if (p->kind == PLACE_TEXT || p->kind == PLACE_FOLDER)
			return pc->row->elsewhere;
		if (p->top && pc->row->args[i] == 'e')
			return -EBUSY;
	}
	return pc->ours < pc->n ? -EXDEV : 0;
}

/* What only its arguments, or what is there, stand against; 0 or -errno. */
static int prepare(struct call *c, struct path_call *pc)
{
	u64 umask = 0;

	for (u32 i = 0; pc->row->args[i]; i++) {
		u64 size = 32, *arg = &pc->args[i];

		switch (pc->row->args[i]) {
		case 't':
			if (remote_text(c->tid, *arg, pc->text, sizeof(pc->text)) < 0)
				return -EFAULT;
			*arg = (u64)(uintptr_t)(place_target(c->s, pc->text, pc->target, sizeof(pc->target)) ? pc->target : pc->text);
			break;
		case 'm':
			proc_status(c->tid, "Umask", 8, &umask);
			pc->made = true;
			pc->mode = (mode_t)(*arg & 01777 & ~umask);
			break;
		case 'r':
			if (*arg & ~3ull) /* RENAME_NOREPLACE, RENAME_EXCHANGE */
				return -EINVAL;
			break;
		case 'S': size = 16; /* fall through */
		case 's':
			if (*arg && remote_get(c->tid, *arg, pc->times, size))
				return -EFAULT;
			*arg = *arg ? (u64)(uintptr_t)pc->times : 0;
			break;
		}
	}
	return 0;
}

static int make(struct call *c, struct path_call *pc)
{
	const u64 *a = pc->args;
	int err = prepare(c, pc);

	if (!err && syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]))
		err = -errno;
	if (!err && pc->made && chmod(pc->place[0].path, pc->mode))
		err = -errno;
	if (!err)
		pins_forget(c->s);
	return err;
}

/* A call that has the same result for all files that are there, or can make none. */
static int settled(const struct path_call *pc)
{
	const struct place *p = &pc->place[0];
	const char kind = pc->row->args[pc->row->args[0] == 'd'];
	struct stat st;
	int err = stat_place(p, &st, kind == 'p');

	if (kind == 'c') {
		mode_t mode = (mode_t)pc->args[1 + (pc->row->args[0] == 'd')];

		err = err ? open_pin(p, O_CREAT) : -EEXIST;
		return err != -EACCES || S_ISREG(mode) || !(mode & S_IFMT) ? err : pc->row->in_bpffs;
	}
	return err ? err : pc->row->nr == SYS_truncate && S_ISDIR(st.st_mode) ? -EISDIR : pc->row->in_bpffs;
}

struct answer serve_path(struct call *c)
{
	struct path_call pc = {.n = 0};
	int err;

	find_paths(c, &pc);
	if (!pc.ours)
		return answer_continue();
	err = refused(&pc);
	if (!err)
		err = pc.row->in_bpffs == MADE ? make(c, &pc) : settled(&pc);
	for (u32 i = 0; i < pc.n; i++)
		if (pc.place[i].kind != PLACE_HOST)
			place_close(c->s, &pc.place[i]);
	return answer_value(err);
}
