/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * OBJ_PIN and OBJ_GET below /sys/fs/bpf. Pinned maps are files that any later engine opens. Programs and links live as long as their engine,
 * which here is as long as this supervisor: their pins are empty files, known by inode, that go with it. A pin keeps its object in this
 * engine, as on Linux, until its file is removed.
 */
#include "client/supervise/transport.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct pin {
	struct pin *next;
	struct obj *o;
	u64 dev, ino;
	int fd; /* of the file, which may get other names */
};

static int remember(struct super *s, struct obj *o, const char *path)
{
	struct pin *p = calloc(1, sizeof(*p));
	struct stat st;
	int fd;

	if (!p)
		return -ENOMEM;
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		int err = -errno;

		if (fd >= 0)
			close(fd);
		free(p);
		return err;
	}
	obj_get(o);
	*p = (struct pin){.o = o, .dev = st.st_dev, .ino = st.st_ino, .fd = fd};
	pthread_mutex_lock(&s->lock);
	p->next = s->pins;
	s->pins = p;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int pin_mortal(struct super *s, struct obj *o, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), err;

	if (fd < 0)
		return -errno;
	close(fd);
	err = remember(s, o, path);
	if (err)
		unlink(path);
	return err;
}

static void let_go(struct pin *p)
{
	close(p->fd);
	obj_put(p->o);
	free(p);
}

void pins_forget(struct super *s)
{
	struct pin *gone = NULL;

	pthread_mutex_lock(&s->lock);
	for (struct pin **at = &s->pins, *p; (p = *at);) {
		struct stat st;

		if (!fstat(p->fd, &st) && st.st_nlink) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		p->next = gone;
		gone = p;
	}
	pthread_mutex_unlock(&s->lock);
	for (struct pin *next; gone; gone = next) {
		next = gone->next;
		let_go(gone);
	}
}

/* The pin's object, with a reference; NULL: not pinned by this supervisor. */
static struct obj *pinned(struct super *s, const char *path)
{
	struct obj *o = NULL;
	struct stat st;

	if (lstat(path, &st))
		return NULL;
	pthread_mutex_lock(&s->lock);
	for (struct pin *p = s->pins; p && !o; p = p->next)
		if (p->ino == st.st_ino && p->dev == st.st_dev)
			obj_get(o = p->o);
	pthread_mutex_unlock(&s->lock);
	return o;
}

void pins_close(struct super *s)
{
	struct pin *next;

	pins_forget(s);
	for (struct pin *p = s->pins; p; p = next) {
		char self[40], path[PATH_MAX];
		ssize_t n;

		next = p->next;
		snprintf(self, sizeof(self), "/proc/self/fd/%d", p->fd);
		n = p->o->type == OBJ_MAP ? -1 : readlink(self, path, sizeof(path) - 1);
		if (n > 0) {
			path[n] = 0;
			unlink(path);
		}
		let_go(p);
	}
	s->pins = NULL;
}

/* ---- the commands ---- */

static int pin(struct transport *t, struct attr_obj *a, const char *path)
{
	int err;

	if (!t->object)
		return -EINVAL;
	if (t->object->type == OBJ_PROG || t->object->type == OBJ_LINK)
		return a->file_flags ? -EINVAL : pin_mortal(t->call->s, t->object, path);
	err = skep_bpf(t->call->s->k, t->cmd, (union bpf_attr *)(void *)t->attr, t->size);
	return err ? err : remember(t->call->s, t->object, path);
}

static int get(struct transport *t, const struct attr_obj *a, const char *path)
{
	struct obj *o = pinned(t->call->s, path);
	struct stat st;
	int fd;

	if (o && o->type != OBJ_MAP) {
		fd = a->bpf_fd || a->file_flags ? -EINVAL : obj_fd(o, 0);
		obj_put(o);
		return fd;
	}
	obj_put(o);
	if (!o && !stat(path, &st) && S_ISREG(st.st_mode) && !st.st_size) {
		super_say(t->call->s, "%s is the pin of a program or link whose shell has ended: remove it, then load and pin the program again", path);
		return -ENOENT;
	}
	return skep_bpf(t->call->s->k, t->cmd, (union bpf_attr *)(void *)t->attr, t->size);
}

int transport_pin(struct transport *t)
{
	struct attr_obj *a = (struct attr_obj *)(void *)t->attr, was = *a;
	bool by_fd = a->file_flags & UAPI_F_PATH_FD;
	struct place p;
	int err;

	if (!a->pathname || t->size < offsetof(struct attr_obj, pathname) + sizeof(a->pathname))
		return -EFAULT;
	if (!by_fd && a->path_fd)
		return -EINVAL;
	pins_forget(t->call->s);
	err = place_of_text(t->call, by_fd ? a->path_fd : AT_FDCWD, (const char *)(uintptr_t)a->pathname, &p);
	if (err)
		return err;
	/* Elsewhere there is no bpffs: Linux says the same. */
	if (p.kind != PLACE_PATH) {
		err = p.kind == PLACE_HOST ? -EPERM : p.error;
	} else {
		a->pathname = (u64)(uintptr_t)p.path;
		a->path_fd = 0;
		a->file_flags &= ~(u32)UAPI_F_PATH_FD;
		err = t->cmd == SYS_OBJ_PIN ? pin(t, a, p.path) : get(t, a, p.path);
		a->pathname = was.pathname;
		a->path_fd = was.path_fd;
		a->file_flags = was.file_flags;
	}
	place_close(t->call->s, &p);
	return err;
}
