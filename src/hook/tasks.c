/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine's tasks, by thread id; who watches them; which of their events somebody waits for. */
#include "hook/hooks.h"

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

struct task *task_add(struct skep *k, const struct task_info *info)
{
	struct hooks *h = k->hooks;
	struct task *t = mem_alloc(&k->mem, sizeof(*t));
	bool known;

	if (!t)
		return NULL;
	t->info = *info;
	plain_lock_take(&h->task_lock);
	known = find(h, info->tid) != NULL;
	if (!known)
		link_task(h, t);
	plain_lock_drop(&h->task_lock);
	if (known) {
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
	link_task(k->hooks, t);
	plain_lock_drop(&k->hooks->task_lock);
}

const struct task_info *task_info(const struct task *t)
{
	return &t->info;
}

void task_remove(struct skep *k, struct task *t)
{
	plain_lock_take(&k->hooks->task_lock);
	unlink_task(k->hooks, t);
	plain_lock_drop(&k->hooks->task_lock);
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
	objects_ask(k, true);
	objects_reap(k);
}

int hooks_open(struct skep *k)
{
	k->hooks = mem_alloc(&k->mem, sizeof(*k->hooks));
	return k->hooks ? 0 : -ENOMEM;
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
	mem_free(&k->mem, k->hooks, sizeof(*k->hooks));
	k->hooks = NULL;
}
