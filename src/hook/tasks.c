/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine's tasks, by thread id; who watches them; which of their events somebody waits for. */
#include "hook/hooks.h"

#include <sys/syscall.h>
#include <unistd.h>

static struct task **bucket_of(struct hooks *h, u32 tid)
{
	return &h->tasks[tid * 0x9e3779b1u >> (32 - TASK_BUCKET_BITS)];
}

static struct task *find(struct hooks *h, u32 tid)
{
	struct task *t = *bucket_of(h, tid);

	while (t && t->info.tid != tid)
		t = t->chain;
	return t;
}

static void link_task(struct hooks *h, struct task *t)
{
	struct task **at = bucket_of(h, t->info.tid);

	t->chain = *at;
	*at = t;
}

static void unlink_task(struct hooks *h, struct task *t)
{
	struct task **at = bucket_of(h, t->info.tid);

	while (*at && *at != t)
		at = &(*at)->chain;
	if (*at)
		*at = t->chain;
}

void tasks_door(struct skep *k, const struct task_door *door)
{
	atomic_store(&k->hooks->door, door);
}

/* ---- as kernel objects ---- */

/* The parent: a task of the tree, or else what is known of one outside. Under task_lock. */
static struct kernel_task_struct *parent_of(struct hooks *h, struct task *t)
{
	struct task *p = find(h, t->info.parent);

	if (p && p != t && p->kernel)
		return &p->kernel->task;
	t->kernel->parent = (struct kernel_task_struct){.pid = (pid_t)t->info.parent, .tgid = (pid_t)t->info.parent, .prio = TASK_PRIO};
	t->kernel->parent.real_parent = t->kernel->parent.parent = t->kernel->parent.group_leader = &t->kernel->parent;
	return &t->kernel->parent;
}

static void fill(struct hooks *h, struct task *t)
{
	const struct task_info *i = &t->info;
	struct kernel_task *kt = t->kernel;
	struct task *leader = find(h, i->tgid);

	if (!kt)
		return;
	kt->task.pid = (pid_t)i->tid;
	kt->task.tgid = (pid_t)i->tgid;
	kt->task.prio = TASK_PRIO;
	kt->task.exit_code = i->exit_code;
	kt->task.start_time = kt->task.start_boottime = i->start_ns;
	memcpy(kt->task.comm, i->comm, sizeof(kt->task.comm));
	kt->task.comm[sizeof(kt->task.comm) - 1] = 0;
	kt->task.real_parent = kt->task.parent = parent_of(h, t);
	kt->task.group_leader = leader && leader->kernel ? &leader->kernel->task : &kt->task;
	kt->cred.uid.val = i->uid;
	kt->cred.gid.val = i->gid;
	kt->cred.euid.val = i->euid;
	kt->cred.egid.val = i->egid;
	kt->mnt_ns.ns.inum = (u32)i->mnt_ns_ino;
	kt->pid_ns.ns.inum = (u32)i->pid_ns_ino;
	kt->pid_ns.level = 0;
	kt->pid.level = 0;
	kt->pid.numbers[0] = (struct kernel_upid){.nr = (int)(i->ns_tid ? i->ns_tid : i->tid), .ns = &kt->pid_ns};
	kt->kn.id = i->cgroup;
}

/* Nobody keeps the address of a task that is gone. Under task_lock. */
static void forget(struct hooks *h, const struct task *gone)
{
	for (u32 i = 0; i < ARRAY_SIZE(h->tasks); i++)
		for (struct task *t = h->tasks[i]; t; t = t->chain)
			if (t->kernel && (t->kernel->task.real_parent == &gone->kernel->task || t->kernel->task.group_leader == &gone->kernel->task))
				fill(h, t);
}

/* ---- coming and going ---- */

struct task *task_add(struct skep *k, const struct task_info *info)
{
	struct hooks *h = k->hooks;
	struct task *t = mem_alloc(&k->mem, sizeof(*t));
	bool known;

	if (!t)
		return NULL;
	t->info = *info;
	t->info.comm[sizeof(t->info.comm) - 1] = 0;
	t->kernel = kernel_task_new(&k->kernel);
	if (!t->kernel)
		log_line(k, "task %u: there are too many tasks for programs to see it as an object", info->tid);
	plain_lock_take(&h->task_lock);
	known = find(h, info->tid) != NULL;
	if (!known) {
		link_task(h, t);
		fill(h, t);
	}
	plain_lock_drop(&h->task_lock);
	if (known) {
		kernel_task_free(&k->kernel, t->kernel);
		mem_free(&k->mem, t, sizeof(*t));
		return NULL;
	}
	return t;
}

struct task *task_find(struct skep *k, u32 tid)
{
	struct task *t;

	plain_lock_take(&k->hooks->task_lock);
	t = find(k->hooks, tid);
	plain_lock_drop(&k->hooks->task_lock);
	return t;
}

void task_update(struct skep *k, struct task *t, const struct task_info *info)
{
	plain_lock_take(&k->hooks->task_lock);
	unlink_task(k->hooks, t);
	t->info = *info;
	t->info.comm[sizeof(t->info.comm) - 1] = 0;
	link_task(k->hooks, t);
	fill(k->hooks, t);
	plain_lock_drop(&k->hooks->task_lock);
}

const struct task_info *task_info(const struct task *t)
{
	return &t->info;
}

u64 task_object(const struct task *t)
{
	return t->kernel ? (u64)(uintptr_t)&t->kernel->task : 0;
}

void task_remove(struct skep *k, struct task *t)
{
	plain_lock_take(&k->hooks->task_lock);
	unlink_task(k->hooks, t);
	if (t->kernel)
		forget(k->hooks, t);
	plain_lock_drop(&k->hooks->task_lock);
	kernel_task_free(&k->kernel, t->kernel);
	mem_free(&k->mem, t, sizeof(*t));
}

void task_needs(struct skep *k, struct task_needs *out)
{
	plain_lock_take(&k->hooks->lock);
	*out = k->hooks->needs;
	plain_lock_drop(&k->hooks->lock);
}

int tasks_closed_fd(struct skep *k)
{
	return k->inotify;
}

void tasks_closed(struct skep *k)
{
	objects_drain(k);
	objects_ask(k, true);
	objects_reap(k);
}

/* ---- what programs may ask of the task whose event they run on ---- */

static void identity_of(const struct task_info *i, struct run_task *out)
{
	*out = (struct run_task){
		.pid_tgid = (u64)i->tgid << 32 | i->tid,
		.uid_gid = (u64)i->gid << 32 | i->uid,
		.cgroup = i->cgroup,
		.ancestors = i->cgroup_ancestors,
		.n_ancestors = i->n_cgroup_ancestors,
		.ns_dev = i->pid_ns_dev,
		.ns_ino = i->pid_ns_ino,
		.ns_pid_tgid = (u64)(i->ns_tgid ? i->ns_tgid : i->tgid) << 32 | (i->ns_tid ? i->ns_tid : i->tid),
	};
	memcpy(out->comm, i->comm, sizeof(out->comm));
}

void task_identity(const struct task *t, struct run_task *out)
{
	identity_of(&t->info, out);
}

static const struct task_door *door_of(void *ud)
{
	return atomic_load(&((struct skep *)ud)->hooks->door);
}

static const struct task_info *caller(void *ud)
{
	const struct task_door *door = door_of(ud);

	return door && door->caller ? door->caller(door->ud) : NULL;
}

bool task_outside(struct skep *k, struct run_task *out)
{
	const struct task_info *i = caller(k);

	if (i)
		identity_of(i, out);
	return i;
}

/* For runs outside of any event: the thread that makes them, as an object. */
static u64 outside_object(struct skep *k, struct run *r)
{
	const struct run_task *who = r->host->task(r->host->ud, r);
	struct kernel_task *kt;

	plain_lock_take(&k->hooks->task_lock);
	if (!k->hooks->outside)
		k->hooks->outside = kernel_task_new(&k->kernel);
	kt = k->hooks->outside;
	if (kt) {
		kt->task.pid = (pid_t)who->pid_tgid;
		kt->task.tgid = (pid_t)(who->pid_tgid >> 32);
		kt->task.prio = TASK_PRIO;
		memcpy(kt->task.comm, who->comm, sizeof(kt->task.comm));
		kt->cred.uid.val = kt->cred.euid.val = (u32)who->uid_gid;
		kt->cred.gid.val = kt->cred.egid.val = (u32)(who->uid_gid >> 32);
	}
	plain_lock_drop(&k->hooks->task_lock);
	return kt ? (u64)(uintptr_t)&kt->task : 0;
}

static u64 current_object(void *ud, struct run *r)
{
	return r->current ? task_object(r->current) : outside_object(ud, r);
}

static s64 user_read(void *ud, struct run *r, u64 from, void *to, u64 size)
{
	const struct task_door *door = door_of(ud);

	return door && door->read ? door->read(door->ud, ((const struct task *)r->current)->info.tid, from, to, size) : -EFAULT;
}

static s64 user_write(void *ud, struct run *r, u64 to, const void *from, u64 size)
{
	const struct task_door *door = door_of(ud);

	return door && door->write ? door->write(door->ud, ((const struct task *)r->current)->info.tid, to, from, size) : -EPERM;
}

static int user_regs(void *ud, struct run *r, struct run_regs *out)
{
	const struct task_door *door = door_of(ud);
	struct task_regs regs;
	int err = 0;

	if (r->prog->type == BPF_PROG_TYPE_KPROBE) /* behind a breakpoint the task's own are one byte further */
		memcpy(&regs, r->ctx.bytes, sizeof(regs));
	else
		err = door && door->regs ? door->regs(door->ud, ((const struct task *)r->current)->info.tid, &regs) : -EFAULT;
	if (!err)
		*out = (struct run_regs){.ip = regs.ip, .sp = regs.sp, .bp = regs.bp};
	return err;
}

/* The calling thread's. */
static u32 own_cgroups(struct hooks *h, u64 *ids, u32 most)
{
	u32 n;

	plain_lock_take(&h->cgroups_lock);
	if (!h->knows_cgroups)
		cgroups_open(&h->cgroups);
	h->knows_cgroups = true;
	n = cgroups_of(&h->cgroups, (pid_t)syscall(SYS_gettid), ids, most);
	plain_lock_drop(&h->cgroups_lock);
	return n;
}

static u32 cgroups(void *ud, struct run *r, u64 *ids, u32 most)
{
	const struct task_door *door = door_of(ud);
	struct hooks *h = ((struct skep *)ud)->hooks;

	if (!r->current) /* outside of any event; those of others its identity has */
		return caller(ud) ? 0 : own_cgroups(h, ids, most);
	return door && door->cgroups ? door->cgroups(door->ud, ((const struct task *)r->current)->info.tid, ids, most) : 0;
}

static int send_signal(void *ud, struct run *r, int sig, bool thread)
{
	const struct task_door *door = door_of(ud);
	const struct task *t = r->current;

	return door && door->signal ? door->signal(door->ud, t->info.tgid, thread ? t->info.tid : 0, sig) : -EPERM;
}

int hooks_open(struct skep *k)
{
	k->run_host.task_object = current_object;
	k->run_host.user_read = user_read;
	k->run_host.user_write = user_write;
	k->run_host.user_regs = user_regs;
	k->run_host.cgroups = cgroups;
	k->run_host.send_signal = send_signal;
	k->hooks = mem_alloc(&k->mem, sizeof(*k->hooks));
	if (!k->hooks)
		return -ENOMEM;
	for (u32 i = 0; i < TASK_SYSCALLS; i++)
		for (u32 enter = 0; enter < 2; enter++)
			k->hooks->calls[enter][i] = (s16)MAX(site_of_syscall(i, enter), -1);
	return 0;
}

void hooks_close(struct skep *k)
{
	if (!k->hooks)
		return;
	for (u32 i = 0; i < ARRAY_SIZE(k->hooks->tasks); i++)
		for (struct task *t = k->hooks->tasks[i], *next; t; t = next) {
			next = t->chain;
			mem_free(&k->mem, t, sizeof(*t));
		}
	inside_close(k);
	mem_free(&k->mem, k->hooks, sizeof(*k->hooks));
	k->hooks = NULL;
}
