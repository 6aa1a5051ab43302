/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting on rings. A ring's descriptor is a memfd, which epoll refuses, so epoll_ctl(2) is answered: the ring's eventfd goes into the client's
 * epoll instance, edge-triggered and with the client's own data, so nobody has to reset it. A reader that leaves records in the ring expects
 * to be woken again: rings_tick() signals rings that stay unread.
 *
 * Where the epoll instance cannot be reached (pidfd_getfd(2) is refused) the client opens a pipe of ours instead, through /proc, as eventfds cannot be
 * opened: rings_tick() then writes to it while there is something to read.
 */
#include "client/supervise/supervise.h"

#include "sys/sys.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct ring_watch {
	struct ring_watch *next;
	u32 type, id; /* of the object; it may end meanwhile */
	int pipe[2]; /* -1: nobody waits on it */
};

/* with_pipe: gives the end to read from. 0 or more, or -errno. */
static int watch(struct super *s, const struct obj *o, bool with_pipe)
{
	struct ring_watch *w;
	int err = 0;

	pthread_mutex_lock(&s->lock);
	for (w = s->rings; w; w = w->next)
		if (w->type == o->type && w->id == o->id)
			break;
	if (!w) {
		w = malloc(sizeof(*w));
		if (w)
			s->rings = memcpy(w, &(struct ring_watch){s->rings, o->type, o->id, {-1, -1}}, sizeof(*w));
		else
			err = -ENOMEM;
	}
	if (w && with_pipe && w->pipe[0] < 0 && pipe2(w->pipe, O_CLOEXEC | O_NONBLOCK))
		err = -errno;
	if (w && with_pipe && !err)
		err = w->pipe[0];
	pthread_mutex_unlock(&s->lock);
	return err;
}

void ring_watch(struct super *s, const struct obj *o)
{
	(void)watch(s, o, false);
}

bool rings_exist(struct super *s)
{
	return __atomic_load_n(&s->k->table[OBJ_PERF].live, __ATOMIC_RELAXED) || __atomic_load_n(&s->k->table[OBJ_MAP].live, __ATOMIC_RELAXED);
}

static void forget(struct ring_watch *w)
{
	for (u32 i = 0; i < ARRAY_SIZE(w->pipe); i++)
		if (w->pipe[i] >= 0)
			close(w->pipe[i]);
	free(w);
}

bool rings_waiting(struct super *s)
{
	bool some;

	pthread_mutex_lock(&s->lock);
	some = s->rings != NULL;
	pthread_mutex_unlock(&s->lock);
	return some;
}

/* Bytes that a ring holds for its reader, and how many fit. */
static u64 unread(const struct obj *o, u64 *room)
{
	if (o->type == OBJ_PERF) {
		const struct perf_ring *r = o->body;
		const struct perf_event_mmap_page *page = (const void *)r->region.base;

		*room = r->mask + 1;
		return page && r->mask ? __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE) - __atomic_load_n(&page->data_tail, __ATOMIC_ACQUIRE) : 0;
	}
	*room = obj_map(o)->spec.max_entries;
	return map_has(obj_map(o), query) ? obj_map(o)->ops->query(obj_map(o), BPF_RB_AVAIL_DATA) : 0;
}

u64 ring_unread(const struct obj *o)
{
	u64 room;

	return unread(o, &room);
}

/* Each write wakes who waits edge-triggered. */
static void signal_pipe(const struct ring_watch *w, const struct obj *o)
{
	char old[4096];

	if (!ring_unread(o))
		return;
	if (write(w->pipe[1], "", 1) < 0 && read(w->pipe[0], old, sizeof(old)) > 0)
		(void)!write(w->pipe[1], "", 1);
}

void rings_tick(struct super *s)
{
	pthread_mutex_lock(&s->lock);
	for (struct ring_watch **at = &s->rings, *w; (w = *at);) {
		struct obj *o = obj_by_id(s->k, w->type, w->id);

		if (o) {
			(void)skep_poll_fd(s->k, o->fd); /* signals again what is unread */
			if (w->pipe[1] >= 0)
				signal_pipe(w, o);
			obj_put(o);
			at = &w->next;
		} else {
			*at = w->next;
			forget(w);
		}
	}
	pthread_mutex_unlock(&s->lock);
}

/* Does some ring hold more than a part of what fits? */
static bool holds_more(struct super *s, u64 parts)
{
	bool more = false;

	pthread_mutex_lock(&s->lock);
	for (struct ring_watch *w = s->rings; w && !more; w = w->next) {
		struct obj *o = obj_by_id(s->k, w->type, w->id);
		u64 room, n = o ? unread(o, &room) : 0;

		more = o && n <= room && (parts ? n > room / parts : n > 0);
		obj_put(o);
	}
	pthread_mutex_unlock(&s->lock);
	return more;
}

bool rings_full(struct super *s)
{
	return __atomic_load_n(&s->rings, __ATOMIC_RELAXED) && holds_more(s, 2);
}

bool rings_drained(struct super *s)
{
	return !holds_more(s, 0);
}

struct answer serve_epoll_ctl(struct call *c)
{
	struct obj *o = remote_object(c->s, c->tid, (int)c->args[2], 0);
	struct epoll_event event = {0};
	int ring, epoll = -1, err = 0;

	if (!o)
		return answer_continue();
	call_slow(c);
	if (c->door->watches && (epoll = c->door->fetch(c, (int)c->args[0])) < 0) {
		struct answer a = {.kind = ANSWER_WATCH, .fd = watch(c->s, o, true), .ring = o->type << 24 | o->id};

		obj_put(o);
		return a.fd < 0 ? answer_value(a.fd) : a;
	}
	if (c->door->watches)
		close(epoll);
	ring = skep_poll_fd(c->s->k, o->fd);
	if (ring < 0) {
		obj_put(o);
		return answer_value(-EPERM); /* what Linux says of what cannot be waited for */
	}
	if (c->args[3] && remote_get(c->tid, c->args[3], &event, sizeof(event)))
		err = -EFAULT;
	epoll = err ? err : c->door->fetch(c, (int)c->args[0]);
	if (epoll >= 0) {
		event.events |= EPOLLET;
		if (epoll_ctl(epoll, (int)c->args[1], ring, &event))
			err = -errno;
		else if (c->args[1] == EPOLL_CTL_ADD)
			err = watch(c->s, o, false);
		close(epoll);
	} else {
		err = epoll;
	}
	obj_put(o);
	if (err == -EPERM)
		super_say(c->s, "this host does not let process %d's epoll instance be reached (pidfd_getfd), so it cannot wait on rings; see `skep doctor`", c->tid);
	return answer_value(err);
}
