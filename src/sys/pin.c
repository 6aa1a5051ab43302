/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * OBJ_PIN and OBJ_GET: objects as files. A map's file is its memory (map/map.c), shared by every engine that opens it; a program's is what it
 * was loaded from (pin_prog.c). Links last as long as their engine, and say so.
 */
#include "sys/sys.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file with the run slots of all engines of this user that share maps. */
static int open_domain(struct skep *k)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char dir[256], path[300];
	struct stat st;
	int fd;

	if (k->options.domain) {
		snprintf(path, sizeof(path), "%s", k->options.domain);
	} else {
		if (runtime && *runtime == '/' && access(runtime, W_OK) == 0)
			snprintf(dir, sizeof(dir), "%s/skep", runtime);
		else
			snprintf(dir, sizeof(dir), "/dev/shm/skep-%u", getuid());
		if (mkdir(dir, 0700) && errno != EEXIST)
			return -errno;
		/* Somebody else may have been there first. */
		if (lstat(dir, &st) || !S_ISDIR(st.st_mode) || st.st_uid != getuid() || st.st_mode & 022)
			return -EPERM;
		snprintf(path, sizeof(path), "%s/slots", dir);
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

static int join_domain(struct skep *k)
{
	int fd, err;

	if (domain_shared(k->domain))
		return 0;
	fd = open_domain(k);
	if (fd < 0) {
		log_line(k, "cannot open the file of run slots that engines with pinned maps share: %s", strerror(-fd));
		return fd;
	}
	err = domain_join(k->domain, fd);
	close(fd);
	return err;
}

/* 0: the object has no file. */
static int pin_fd_of(const struct obj *o)
{
	return o->type == OBJ_MAP ? obj_map(o)->pin_fd : o->type == OBJ_PROG ? ((const struct prog *)o->body)->pin_fd : 0;
}

/* The directory that the file is to be in. */
static int open_parent(int dir, const char *path)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];
	size_t n = slash ? (size_t)(slash - path) + 1 : 0;
	int fd;

	if (!*path)
		return -ENOENT;
	if (n >= sizeof(parent))
		return -ENAMETOOLONG;
	memcpy(parent, n ? path : ".", n ? n : 1);
	parent[n ? n : 1] = 0;
	fd = openat(dir, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Is there a directory to make the file in? */
static int place_check(int dir, const char *path)
{
	int fd = open_parent(dir, path);

	if (fd < 0)
		return fd;
	close(fd);
	return faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) ? 0 : -EEXIST;
}

bool pin_has_name(int fd)
{
	struct stat st;

	return fd > 0 && !fstat(fd, &st) && st.st_nlink;
}

/* A second name for the same file. */
static int pin_again(int fd, int dir, const char *path)
{
	char self[40];
	int ret, parent;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	ret = linkat(AT_FDCWD, self, dir, path, AT_SYMLINK_FOLLOW);
	if (ret && errno == ENOENT) /* without /proc; this way needs a right, or a newer kernel */
		ret = linkat(fd, "", dir, path, AT_EMPTY_PATH);
	if (!ret || errno != EPERM)
		return ret ? -errno : 0;
	/* Whose file it is was asked before whose directory: Linux has only the second question. */
	parent = open_parent(dir, path);
	ret = parent >= 0 && faccessat(parent, ".", W_OK | X_OK, AT_EACCESS) ? -errno : -EPERM;
	if (parent >= 0)
		close(parent);
	return ret;
}

int pin_map(struct skep *k, struct obj *o, int dir, const char *path)
{
	struct map_obj *mo = o->body;
	const struct btf *b = mo->btf ? mo->btf->body : NULL;
	int fd, err = join_domain(k);

	if (err)
		return err;
	fd = openat(dir, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EISDIR) { /* the name ends with a slash */
		err = place_check(dir, path);
		return err ? err : -ENOENT;
	}
	if (fd < 0)
		return -errno;
	err = (mo->map.pin_fd > 0 ? map_pin_again : map_pin_write)(&mo->map, fd, b ? b->data : NULL, b ? b->size : 0);
	close(fd);
	if (err)
		unlinkat(dir, path, 0);
	if (err == -EBUSY && mo->map.pin_fd > 0)
		log_line(k, "OBJ_PIN: %s: the map's last name was removed while others have it open: it cannot get a new one", path);
	return err;
}

bool pin_is_map(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool is = fd >= 0 && map_is_pin(fd);

	if (fd >= 0)
		close(fd);
	return is;
}

static const char *path_of(const struct attr_obj *a)
{
	return (const char *)(uintptr_t)a->pathname;
}

static int dir_of(const struct attr_obj *a)
{
	return a->file_flags & UAPI_F_PATH_FD ? a->path_fd : AT_FDCWD;
}

int sys_obj_pin(struct sys_call *c)
{
	const struct attr_obj *a = c->attr;
	struct obj *o;
	int err;

	if (a->file_flags & ~(u32)UAPI_F_PATH_FD || (!(a->file_flags & UAPI_F_PATH_FD) && a->path_fd))
		return -EINVAL;
	err = obj_by_fd(c->k, (int)a->bpf_fd, 0, 0, &o);
	if (err)
		return -EINVAL;
	if (o->type == OBJ_BTF) {
		err = -EINVAL;
	} else if (!a->pathname) {
		err = -EFAULT;
	} else if (pin_has_name(pin_fd_of(o))) {
		err = pin_again(pin_fd_of(o), dir_of(a), path_of(a));
	} else if (o->type == OBJ_MAP) {
		err = pin_map(c->k, o, dir_of(a), path_of(a));
	} else {
		err = place_check(dir_of(a), path_of(a));
		if (!err && o->type == OBJ_PROG) {
			err = pin_prog(c->k, o, dir_of(a), path_of(a));
		} else if (!err) {
			log_line(c->k, "OBJ_PIN: links end with their engine; maps and programs can be pinned by skep %s", skep_version());
			err = -EOPNOTSUPP;
		}
	}
	obj_put(o);
	return err;
}

/* The same file, opened by this engine already: the same object. */
static struct obj *already_open(struct skep *k, int fd)
{
	static const enum obj_type types[] = {OBJ_MAP, OBJ_PROG};
	struct stat st, other;

	if (fstat(fd, &st))
		return NULL;
	objects_sweep(k);
	for (u32 t = 0; t < ARRAY_SIZE(types); t++)
		for (u32 id = 0; obj_next_id(k, types[t], id, &id) == 0;) {
			struct obj *o = obj_by_id(k, types[t], id);

			if (o && pin_fd_of(o) > 0 && !fstat(pin_fd_of(o), &other) && other.st_ino == st.st_ino && other.st_dev == st.st_dev)
				return o;
			obj_put(o);
		}
	return NULL;
}

/* The BTF that came with the file becomes an object of this engine. */
static int adopt_types(struct skep *k, struct map_obj *m, const void *data, u32 size)
{
	struct btf_obj *b;
	int err;

	if (!size)
		return 0;
	b = mem_alloc(&k->mem, sizeof(*b));
	if (!b)
		return -ENOMEM;
	err = btf_parse(&b->btf, &k->mem, data, size, 0, NULL);
	if (!err) {
		const struct btf_kernel kernel = kernel_btf_source(k);

		err = btf_metas_parse(&b->btf, &kernel);
		if (err)
			btf_free(&b->btf);
	}
	if (!err) {
		m->btf = obj_new(k, OBJ_BTF, b);
		if (m->btf)
			return 0;
		btf_free(&b->btf);
		err = -ENOMEM;
	}
	mem_free(&k->mem, b, sizeof(*b));
	return err;
}

static int open_map(struct skep *k, int fd, struct obj **out)
{
	struct map_obj *m = mem_alloc(&k->mem, sizeof(*m));
	void *btf = NULL;
	u32 btf_size = 0;
	int err;

	if (!m)
		return -ENOMEM;
	m->map = (struct map){.mem = &k->mem, .window = &k->window, .domain = k->domain, .host = &k->map_host, .heap = &k->heap};
	err = map_adopt(&m->map, fd, &btf, &btf_size);
	if (!err) {
		err = adopt_types(k, m, btf, btf_size);
		mem_free(&k->mem, btf, btf_size);
		if (!err && m->btf)
			err = map_find_record(k, m->btf->body, &m->map);
		if (!err && map_holds(&m->map)) { /* what others write would be addresses here */
			memset(&m->map.record, 0, sizeof(m->map.record));
			err = -EOPNOTSUPP;
		}
		if (!err && k->options.max_map_bytes && atomic_load(&k->map_bytes) + m->map.bytes > k->options.max_map_bytes)
			err = -ENOMEM;
		if (!err && !(*out = obj_new(k, OBJ_MAP, m)))
			err = -ENOMEM;
		if (err)
			map_close(&m->map);
		else
			atomic_fetch_add(&k->map_bytes, m->map.bytes);
	}
	if (err) {
		obj_put(m->btf);
		mem_free(&k->mem, m, sizeof(*m));
	}
	return err;
}

int pin_open(struct skep *k, int fd, struct obj **out)
{
	int err = join_domain(k);

	if (err)
		return err;
	*out = already_open(k, fd);
	if (*out)
		return 0;
	return pin_is_prog(fd) ? pin_prog_open(k, fd, out) : open_map(k, fd, out);
}

int sys_obj_get(struct sys_call *c)
{
	enum { ACCESS = BPF_F_RDONLY | BPF_F_WRONLY };
	const struct attr_obj *a = c->attr;
	struct obj *o;
	int fd, err;

	if (a->bpf_fd || a->file_flags & ~(u32)(ACCESS | UAPI_F_PATH_FD) || (a->file_flags & ACCESS) == ACCESS ||
	    (!(a->file_flags & UAPI_F_PATH_FD) && a->path_fd))
		return -EINVAL;
	if (!a->pathname)
		return -EFAULT;
	fd = openat(dir_of(a), path_of(a), O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == EISDIR ? -EACCES : -errno;
	err = pin_open(c->k, fd, &o);
	if (err == -EINVAL) {
		log_line(c->k, "OBJ_GET: %s is neither a pinned map nor a pinned program, or damaged", path_of(a));
		err = -EACCES;
	}
	close(fd);
	if (err)
		return err;
	fd = obj_fd(o, o->type == OBJ_MAP ? a->file_flags & ACCESS : 0);
	obj_put(o);
	return fd;
}
