/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Links of BPF_TRACE_UPROBE_MULTI: probes at many offsets of a file. To the door each is a probe as of perf_event_open(2); the door is told once of all.
 */
#include "hook/hooks.h"

#include <limits.h>
#include <signal.h>
#include <sys/stat.h>

#define PTR(x) ((void *)(uintptr_t)(x))

enum { RETURN = 1 /* BPF_F_UPROBE_MULTI_RETURN */, MOST = 1 << 20 };

struct multi {
	u32 n, flags, pid; /* pid 0: all */
	char *path;
	struct perf_event *events;
};

static int check(const struct attr_link_create *a)
{
	if (a->multi.flags & ~(u32)RETURN || !a->multi.path || !a->multi.offsets || !a->multi.n || (s32)a->multi.pid < 0)
		return -EINVAL;
	return a->multi.n > MOST ? -E2BIG : 0;
}

static int find_file(struct skep *k, const struct attr_link_create *a, struct stat *st)
{
	const struct task_door *door = atomic_load(&k->hooks->door);
	const char *path = PTR(a->multi.path);

	if (strnlen(path, PATH_MAX) == PATH_MAX)
		return -ENAMETOOLONG;
	if (stat(path, st))
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -EBADF;
	if (a->multi.pid && kill((pid_t)a->multi.pid, 0) && errno == ESRCH)
		return -ESRCH;
	if (!door || !door->sets_probes)
		return attach_refused(k, -EOPNOTSUPP, "uprobe.multi: nobody sets probes in functions of processes for this engine");
	return 0;
}

static u64 at(u64 array, u32 i)
{
	return array ? LOAD_AS(u64, (const u8 *)PTR(array) + i * sizeof(u64)) : 0;
}

static int fill(struct skep *k, struct multi *m, const struct attr_link_create *a, struct obj *prog, const struct stat *st)
{
	for (u32 i = 0; i < m->n; i++) {
		struct perf_event *e = &m->events[i];
		u64 offset = at(a->multi.offsets, i), counter = at(a->multi.counters, i);

		if (offset > (u64)st->st_size || counter & 1)
			return -EINVAL;
		e->k = k;
		e->site = -1;
		e->pid = m->pid ? (s32)m->pid : -1;
		e->enabled = true;
		e->probe = (struct task_probe){.path = m->path, .dev = st->st_dev, .ino = st->st_ino, .offset = offset, .counter = counter, .pid = e->pid,
					       .at_return = m->flags & RETURN};
		e->at = mem_alloc(&k->mem, sizeof(*e->at));
		if (!e->at)
			return -ENOMEM;
		*e->at = (struct attachment){.prog = prog, .cookie = at(a->multi.cookies, i), .site = -1};
		obj_get(prog);
	}
	return 0;
}

static void free_all(struct skep *k, struct multi *m)
{
	for (u32 i = 0; m->events && i < m->n; i++)
		attach_end(k, m->events[i].at);
	mem_free(&k->mem, m->events, m->n * sizeof(*m->events));
	mem_free(&k->mem, m->path, m->path ? strlen(m->path) + 1 : 0);
	mem_free(&k->mem, m, sizeof(*m));
}

int multi_open(struct skep *k, const struct attr_link_create *a, struct obj *prog, struct multi **out)
{
	struct hooks *h = k->hooks;
	struct stat st;
	struct multi *m;
	int err = check(a);

	err = err ? err : find_file(k, a, &st);
	err = err ? err : attach_allowed(k, prog->body);
	if (err)
		return err;
	m = mem_alloc(&k->mem, sizeof(*m));
	if (!m)
		return -ENOMEM;
	*m = (struct multi){.n = a->multi.n, .flags = a->multi.flags, .pid = a->multi.pid, .path = mem_copy(&k->mem, PTR(a->multi.path), strlen(PTR(a->multi.path)) + 1),
			    .events = mem_array(&k->mem, a->multi.n, sizeof(*m->events))};
	err = m->path && m->events ? fill(k, m, a, prog, &st) : -ENOMEM;
	if (err) {
		free_all(k, m);
		return err;
	}
	plain_lock_take(&h->lock);
	for (u32 i = 0; i < m->n; i++) {
		m->events[i].probe.id = ++h->last_probe;
		m->events[i].next = h->probes;
		h->probes = &m->events[i];
	}
	plain_lock_drop(&h->lock);
	attach_changed(k);
	*out = m;
	return 0;
}

void multi_close(struct skep *k, struct multi *m)
{
	struct hooks *h = k->hooks;

	plain_lock_take(&h->lock);
	for (struct perf_event **e = &h->probes; *e;)
		if (*e >= m->events && *e < m->events + m->n)
			*e = (*e)->next;
		else
			e = &(*e)->next;
	plain_lock_drop(&h->lock);
	attach_changed(k);
	free_all(k, m);
}

int multi_info(const struct multi *m, struct multi_info *i)
{
	u32 room = i->n, size = (u32)strlen(m->path) + 1, n = MIN(room, m->n);

	if (!i->path != !i->path_size || ((i->offsets || i->counters || i->cookies) && !room))
		return -EINVAL;
	if (i->path && i->path_size < size)
		return -ENAMETOOLONG;
	if (i->path)
		memcpy(PTR(i->path), m->path, size);
	i->path_size = size;
	i->n = m->n;
	i->flags = m->flags;
	i->pid = m->pid;
	for (u32 k = 0; k < n; k++) {
		if (i->offsets)
			STORE_AS(u64, (u8 *)PTR(i->offsets) + k * sizeof(u64), m->events[k].probe.offset);
		if (i->counters)
			STORE_AS(u64, (u8 *)PTR(i->counters) + k * sizeof(u64), m->events[k].probe.counter);
		if (i->cookies)
			STORE_AS(u64, (u8 *)PTR(i->cookies) + k * sizeof(u64), m->events[k].at->cookie);
	}
	return (i->offsets || i->counters || i->cookies) && n < m->n ? -ENOSPC : 0;
}
