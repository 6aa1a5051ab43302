/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs at tracepoints: the lists, and the links that put programs there. What Linux checks, in its order and with its errors; what has no event behind it is
 * refused with a line in the engine's log that names it.
 *
 * Concurrency: lists change under hooks->lock; an event copies a list under it and runs what it copied while it holds a run slot, which keeps the programs.
 */
#include "hook/hooks.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <unistd.h>

#define PTR(x) ((void *)(uintptr_t)(x))

enum { LINK_RAW_TRACEPOINT = 1, LINK_PERF_EVENT = 7, LINK_UPROBE_MULTI = 12 }; /* enum bpf_link_type */
enum { PERF_INFO_UPROBE = 1, PERF_INFO_URETPROBE = 2, PERF_INFO_TRACEPOINT = 5, PERF_INFO_EVENT = 6 }; /* enum bpf_perf_event_type */

struct link {
	u32 type, attach_type;
	struct obj *prog, *perf; /* referenced; perf may be NULL */
	struct attachment *at;
	struct multi *multi; /* owned; NULL: another kind */
};

int attach_refused(struct skep *k, int err, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log_line(k, "attach: %s", line);
	return err;
}

int attach_allowed(struct skep *k, const struct prog *p)
{
	const char *name = p->name[0] ? p->name : "program";

	if (k->options.kernel_btf)
		return attach_refused(k, -EOPNOTSUPP, "%s: this engine has the types of another kernel (%s): it checks programs and attaches none", name,
				      k->options.kernel_btf);
	if (p->needs)
		return attach_refused(k, -EOPNOTSUPP, "%s: needs %s, which skep cannot run yet", name, p->needs);
	return 0;
}

/* ---- lists ---- */

static void want(struct task_needs *n, u32 site)
{
	static const u32 wants[SITE_TRACEPOINTS] = {
		[SITE_sched_process_exec] = TASK_WANT_EXEC,
		[SITE_sched_process_fork] = TASK_WANT_FORK,
		[SITE_sched_process_exit] = TASK_WANT_EXIT,
		[SITE_task_rename] = TASK_WANT_RENAME,
		[SITE_signal_generate] = TASK_WANT_SIGNAL_GENERATE,
		[SITE_signal_deliver] = TASK_WANT_SIGNAL_DELIVER,
	};
	s32 nr = site_syscall(site);

	n->memory = true;
	if (nr >= 0) {
		u64 *set = site_is_enter(site) ? n->enter : n->exit;

		set[nr / 64] |= 1ull << nr % 64;
	} else if (site == SITE_sys_enter) {
		memset(n->enter, 0xff, sizeof(n->enter));
	} else if (site == SITE_sys_exit) {
		memset(n->exit, 0xff, sizeof(n->exit));
	} else {
		n->want |= wants[site];
	}
}

static void find_needs(struct hooks *h)
{
	struct task_needs n = {.version = h->needs.version + 1};

	for (u32 s = 0; s < site_count(); s++)
		if (h->at[s])
			want(&n, s);
	h->needs = n;
}

static void needs_changed(struct skep *k)
{
	const struct task_door *door = atomic_load(&k->hooks->door);

	if (door && door->needs_changed)
		door->needs_changed(door->ud);
}

void attach_changed(struct skep *k)
{
	plain_lock_take(&k->hooks->lock);
	find_needs(k->hooks);
	plain_lock_drop(&k->hooks->lock);
	if (!k->closing)
		needs_changed(k);
}

int attach_at(struct skep *k, u32 site, struct obj *prog, bool raw, u64 cookie, struct attachment **out)
{
	struct hooks *h = k->hooks;
	struct attachment *a = NULL, **at;
	char name[SITE_NAME];
	u32 n = 0;
	int err = 0;

	if (!atomic_load(&h->door))
		return attach_refused(k, -EOPNOTSUPP, "tracepoint %s: nobody tells this engine what processes do; skep shell and skep trace do", site_name(site, name));
	a = mem_alloc(&k->mem, sizeof(*a));
	if (!a)
		return -ENOMEM;
	*a = (struct attachment){.prog = prog, .cookie = cookie, .raw = raw, .site = (s32)site};
	plain_lock_take(&h->lock);
	for (at = &h->at[site]; *at && !err; at = &(*at)->next) {
		n += (*at)->raw == raw;
		err = !raw && !(*at)->raw && (*at)->prog == prog ? -EEXIST : 0;
	}
	if (!err && n >= SITE_PROGS)
		err = -E2BIG;
	if (!err) {
		obj_get(prog);
		*at = a;
		atomic_fetch_add(raw ? &h->raws[site] : &h->records[site], 1);
		find_needs(h);
	}
	plain_lock_drop(&h->lock);
	if (err) {
		mem_free(&k->mem, a, sizeof(*a));
		return err;
	}
	needs_changed(k);
	*out = a;
	return 0;
}

void attach_end(struct skep *k, struct attachment *a)
{
	struct hooks *h = k->hooks;

	if (!a)
		return;
	if (a->site >= 0) {
		plain_lock_take(&h->lock);
		for (struct attachment **at = &h->at[a->site]; *at; at = &(*at)->next)
			if (*at == a) {
				*at = a->next;
				atomic_fetch_sub(a->raw ? &h->raws[a->site] : &h->records[a->site], 1);
				break;
			}
		find_needs(h);
		plain_lock_drop(&h->lock);
		if (!k->closing)
			needs_changed(k);
	}
	obj_put(a->prog);
	mem_free(&k->mem, a, sizeof(*a));
}

/* ---- links ---- */

/* The program gets out of where it was put. */
static void link_end(struct skep *k, const struct link *l)
{
	if (l->multi)
		multi_close(k, l->multi);
	else if (l->perf)
		attach_perf_end(k, l->perf->body);
	else
		attach_end(k, l->at);
}

static int link_fd(struct skep *k, const struct link *made)
{
	struct link *l = mem_alloc(&k->mem, sizeof(*l));
	struct obj *o = NULL;
	int fd;

	if (l) {
		*l = *made;
		o = obj_new(k, OBJ_LINK, l);
	}
	if (!o) {
		mem_free(&k->mem, l, sizeof(*l));
		link_end(k, made);
		return -ENOMEM;
	}
	obj_get(made->prog);
	if (made->perf)
		obj_get(made->perf);
	fd = obj_fd(o, 0);
	obj_put(o);
	return fd;
}

void link_free(struct skep *k, void *body)
{
	struct link *l = body;

	link_end(k, l);
	obj_put(l->perf);
	obj_put(l->prog);
	mem_free(&k->mem, l, sizeof(*l));
}

static int raw_link(struct skep *k, struct obj *prog, const char *name, u64 cookie)
{
	const struct prog *p = prog->body;
	struct link l = {.type = LINK_RAW_TRACEPOINT, .attach_type = p->attach_type, .prog = prog};
	s32 site = site_raw(name);
	int err;

	if (site < 0)
		return attach_refused(k, -ENOENT, "tracepoint %s: nothing is behind it in skep %s; available_events lists what is", name, skep_version());
	if (p->type != BPF_PROG_TYPE_TRACING && (p->reach[REACH_CTX] > site_args((u32)site) * 8 || p->reach[REACH_BUFFER]))
		return -EINVAL;
	err = attach_allowed(k, p);
	err = err ? err : attach_at(k, (u32)site, prog, true, cookie, &l.at);
	return err ? err : link_fd(k, &l);
}

/* Programs that say when they are loaded what they attach to. */
static int typed_link(struct skep *k, struct obj *prog, u64 cookie)
{
	const struct prog *p = prog->body;

	if (p->type == BPF_PROG_TYPE_TRACING && p->attach_type == BPF_TRACE_RAW_TP)
		return raw_link(k, prog, p->attach.name ? p->attach.name : "", cookie);
	return attach_refused(k, -EOPNOTSUPP, "%s: functions of the kernel (%s) do not run in skep %s: there is nothing to attach to", p->kind->name,
			      p->attach.name ? p->attach.name : "", skep_version());
}

int sys_raw_tracepoint_open(struct sys_call *c)
{
	const struct attr_raw_tracepoint *a = c->attr;
	const char *name = PTR(a->name);
	char copy[128];
	struct obj *prog;
	int err = obj_by_fd(c->k, (int)a->prog_fd, OBJ_PROG, 0, &prog);

	if (err)
		return err;
	switch (((const struct prog *)prog->body)->type) {
	case BPF_PROG_TYPE_TRACING:
	case BPF_PROG_TYPE_EXT:
	case BPF_PROG_TYPE_LSM: err = name ? -EINVAL : typed_link(c->k, prog, a->cookie); break;
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
		if (!name) {
			err = -EFAULT;
			break;
		}
		snprintf(copy, sizeof(copy), "%.127s", name);
		err = raw_link(c->k, prog, copy, a->cookie);
		break;
	default: err = -EINVAL;
	}
	obj_put(prog);
	return err;
}

static int perf_link(struct skep *k, const struct attr_link_create *a, struct obj *prog)
{
	struct link l = {.type = LINK_PERF_EVENT, .attach_type = a->attach_type, .prog = prog};
	int err;

	if (a->flags)
		return -EINVAL;
	err = obj_by_fd(k, (int)a->target, OBJ_PERF, 0, &l.perf);
	if (err)
		return -EBADF;
	err = attach_perf(k, l.perf->body, prog, (u64)a->specific[1] << 32 | a->specific[0]);
	if (!err) {
		l.at = ((const struct perf_event *)l.perf->body)->at;
		err = link_fd(k, &l);
	}
	obj_put(l.perf);
	return err;
}

static int multi_link(struct skep *k, const struct attr_link_create *a, struct obj *prog)
{
	struct link l = {.type = LINK_UPROBE_MULTI, .attach_type = a->attach_type, .prog = prog};
	int err = ((const struct prog *)prog->body)->attach_type == UAPI_ATTACH_TRACE_UPROBE_MULTI ? multi_open(k, a, prog, &l.multi) : -EINVAL;

	return err ? err : link_fd(k, &l);
}

static int function_link(struct skep *k, const struct attr_link_create *a, struct obj *prog)
{
	enum { PERF_EVENT = 41 /* BPF_PERF_EVENT */, KPROBE_MULTI = 42, KPROBE_SESSION = 56, TRIES = 2 /* instructions of a program that does nothing: it is to show whether this can be done */ };
	const struct prog *p = prog->body;
	bool multi = p->attach_type == UAPI_ATTACH_TRACE_UPROBE_MULTI || p->attach_type == KPROBE_MULTI || p->attach_type == KPROBE_SESSION;

	if (a->attach_type == p->attach_type && (a->attach_type == KPROBE_MULTI || a->attach_type == KPROBE_SESSION))
		return p->n <= TRIES ? -EOPNOTSUPP : attach_refused(k, -EOPNOTSUPP, "kprobe: functions of the kernel do not run in skep %s: there is nothing to attach to", skep_version());
	if (a->attach_type == UAPI_ATTACH_TRACE_UPROBE_MULTI)
		return multi_link(k, a, prog);
	return a->attach_type == PERF_EVENT && !multi ? perf_link(k, a, prog) : -EINVAL;
}

int sys_link_create(struct sys_call *c)
{
	enum { PERF_EVENT = 41 /* BPF_PERF_EVENT */, STRUCT_OPS = 44 };
	const struct attr_link_create *a = c->attr;
	const struct prog *p;
	struct obj *prog;
	int err;

	if (a->attach_type == STRUCT_OPS)
		return link_of_struct_ops(c);
	err = obj_by_fd(c->k, (int)a->prog_fd, OBJ_PROG, 0, &prog);
	if (err)
		return err;
	p = prog->body;
	switch (p->type) {
	case BPF_PROG_TYPE_PERF_EVENT:
	case BPF_PROG_TYPE_TRACEPOINT: err = a->attach_type == PERF_EVENT ? perf_link(c->k, a, prog) : -EINVAL; break;
	case BPF_PROG_TYPE_KPROBE: err = function_link(c->k, a, prog); break;
	case BPF_PROG_TYPE_TRACING:
		err = a->attach_type == p->attach_type ? typed_link(c->k, prog, (u64)a->specific[3] << 32 | a->specific[2]) : -EINVAL;
		break;
	case BPF_PROG_TYPE_RAW_TRACEPOINT: err = -EINVAL; break;
	default: err = link_elsewhere(c, p);
	}
	obj_put(prog);
	return err;
}

/* No kind of link that exists here can be given another program, or be detached before its time; nor can Linux's. */
int sys_link_update(struct sys_call *c)
{
	const struct attr_link_update *a = c->attr;
	const u32 progs[] = {a->new_prog_fd, a->old_prog_fd};
	struct obj *o, *prog;
	int err = a->flags & ~(u32)BPF_F_REPLACE ? -EINVAL : obj_by_fd(c->k, (int)a->link_fd, OBJ_LINK, 0, &o);

	if (err)
		return err;
	for (u32 i = 0; i < (a->flags & BPF_F_REPLACE ? 2 : 1) && !err; i++) {
		err = obj_by_fd(c->k, (int)progs[i], OBJ_PROG, 0, &prog);
		if (!err)
			obj_put(prog);
	}
	obj_put(o);
	return err ? err : -EINVAL;
}

int sys_link_detach(struct sys_call *c)
{
	struct obj *o;
	int err = obj_by_fd(c->k, (int)((const struct attr_link_detach *)c->attr)->link_fd, OBJ_LINK, 0, &o);

	if (!err)
		obj_put(o);
	return err ? err : -EOPNOTSUPP;
}

/* ---- what is told of them ---- */

struct link_info {
	u32 type, id, prog_id, pad;
	union {
		struct {
			u64 name;
			u32 name_len, pad;
			u64 cookie;
		} raw;
		struct {
			u32 type, pad;
			union {
				struct {
					u64 name;
					u32 name_len, pad;
					u64 cookie;
				} tracepoint;
				struct {
					u64 name;
					u32 name_len, offset;
					u64 cookie, counter;
				} uprobe;
				struct {
					u64 config;
					u32 type, pad;
					u64 cookie;
				} event;
			};
		} perf;
		struct multi_info multi;
		u64 room[6];
	};
};
_Static_assert(sizeof(struct link_info) == 64, "Linux's layout");

static int give_name(u64 to, u32 *len, const char *name)
{
	u32 room = *len, have = (u32)strlen(name) + 1;

	if (!to != !room)
		return -EINVAL;
	*len = have;
	if (!to)
		return 0;
	memcpy(PTR(to), name, MIN(room, have));
	if (room < have)
		((char *)PTR(to))[room - 1] = 0;
	return room < have ? -ENOSPC : 0;
}

static int fill_perf(struct link_info *i, const struct link_info *in, const struct link *l)
{
	const struct perf_event *e = l->perf->body;
	char name[SITE_NAME];

	if (e->site >= 0) {
		i->perf.type = PERF_INFO_TRACEPOINT;
		i->perf.tracepoint.name = in->perf.tracepoint.name;
		i->perf.tracepoint.name_len = in->perf.tracepoint.name_len;
		i->perf.tracepoint.cookie = l->at->cookie;
		return give_name(i->perf.tracepoint.name, &i->perf.tracepoint.name_len, site_name((u32)e->site, name));
	}
	if (e->probe.path) {
		i->perf.type = e->probe.at_return ? PERF_INFO_URETPROBE : PERF_INFO_UPROBE;
		i->perf.uprobe.name = in->perf.uprobe.name;
		i->perf.uprobe.name_len = in->perf.uprobe.name_len;
		i->perf.uprobe.offset = (u32)e->probe.offset;
		i->perf.uprobe.cookie = l->at->cookie;
		i->perf.uprobe.counter = e->probe.counter;
		return give_name(i->perf.uprobe.name, &i->perf.uprobe.name_len, e->probe.path);
	}
	i->perf.type = PERF_INFO_EVENT;
	i->perf.event.config = e->config;
	i->perf.event.type = e->type;
	i->perf.event.cookie = l->at->cookie;
	return 0;
}

u32 link_type(const struct obj *o)
{
	return ((const struct link *)o->body)->type;
}

int link_info(struct obj *o, struct attr_info *a)
{
	const struct link *l = o->body;
	struct link_info in, i = {.type = l->type, .id = o->id, .prog_id = l->prog->id};
	char name[SITE_NAME];
	int err = info_read(a, &in, sizeof(in));

	if (err)
		return err;
	if (l->multi) {
		i.multi = in.multi;
		err = multi_info(l->multi, &i.multi);
	} else if (l->perf) {
		err = fill_perf(&i, &in, l);
	} else {
		i.raw.name = in.raw.name;
		i.raw.name_len = in.raw.name_len;
		i.raw.cookie = l->at->cookie;
		err = give_name(i.raw.name, &i.raw.name_len, site_name((u32)l->at->site, name));
	}
	return err ? err : info_write(a, &i, sizeof(i));
}

/* Of a descriptor that may be only a path. */
static int object_behind(struct skep *k, int fd, struct obj **out)
{
	int err = obj_by_fd(k, fd, 0, 0, out);

	return err == -EBADF && fcntl(fd, F_GETFD) >= 0 ? -EINVAL : err;
}

/* The object behind a descriptor of some process. */
static int object_of_task(struct skep *k, const struct attr_task_fd_query *a, struct obj **out)
{
	char path[64], space[64];
	int fd, err;

	if (a->pid == (u32)getpid())
		return object_behind(k, (int)a->fd, out);
	snprintf(path, sizeof(path), "/proc/%u", a->pid);
	if (access(path, F_OK))
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/%u/ns/user", a->pid); /* only who may look into the process reads it */
	if (readlink(path, space, sizeof(space)) < 0 && errno == EACCES)
		return -EPERM;
	snprintf(path, sizeof(path), "/proc/%u/fd/%u", a->pid, a->fd);
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -EBADF : -errno;
	err = object_behind(k, fd, out);
	close(fd);
	return err;
}

int sys_task_fd_query(struct sys_call *c)
{
	enum { FD_RAW_TRACEPOINT, FD_TRACEPOINT, FD_UPROBE = 4, FD_URETPROBE }; /* enum bpf_task_fd_type */
	const struct perf_event *e = NULL;
	struct attr_task_fd_query *a = c->attr;
	struct attachment at = {0};
	char name[SITE_NAME];
	struct obj *o;
	u32 room, prog_id = 0;
	int err;

	if (a->flags)
		return -EINVAL;
	err = object_of_task(c->k, a, &o);
	if (err)
		return err == -EINVAL ? -ENOTSUPP : err;
	plain_lock_take(&c->k->hooks->lock); /* a perf event may lose its program meanwhile */
	if (o->type == OBJ_LINK && ((const struct link *)o->body)->type == LINK_RAW_TRACEPOINT)
		at = *((const struct link *)o->body)->at;
	else if (o->type == OBJ_PERF)
		e = o->body;
	else
		err = -ENOTSUPP;
	if (e && e->at)
		at = *e->at;
	prog_id = at.prog ? at.prog->id : 0;
	plain_lock_drop(&c->k->hooks->lock);
	if (!err && !prog_id)
		err = -ENOENT;
	if (!err && at.site < 0 && !e->probe.path)
		err = -EOPNOTSUPP; /* as Linux: clock events have no name */
	if (!err) {
		const char *what = at.site < 0 ? e->probe.path : site_name((u32)at.site, name);

		a->prog_id = prog_id;
		a->fd_type = at.raw ? FD_RAW_TRACEPOINT : at.site >= 0 ? FD_TRACEPOINT : e->probe.at_return ? FD_URETPROBE : FD_UPROBE;
		a->probe_offset = at.site < 0 ? e->probe.offset : 0;
		a->probe_addr = 0;
		room = a->buf_len;
		a->buf_len = (u32)strlen(what);
		if (a->buf && room) {
			u32 n = MIN(room - 1, a->buf_len);

			memcpy(PTR(a->buf), what, n);
			((char *)PTR(a->buf))[n] = 0;
			err = room <= a->buf_len ? -ENOSPC : 0;
		}
	}
	obj_put(o);
	return err;
}
