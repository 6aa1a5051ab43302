/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting on rings. A ring's descriptor is a memfd, which epoll refuses, so epoll_ctl(2) is answered: the ring's eventfd goes into the client's
 * epoll instance, edge-triggered and with the client's own data, so nobody has to reset it. A reader that leaves records in the ring expects
 * to be woken again: rings_tick() signals rings that stay unread.
 */
#include "client/supervise/supervise.h"

#include "sys/sys.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct ring_watch {
	struct ring_watch *next;
	u32 type, id; /* of the object; it may end meanwhile */
};

static int watch(struct super *s, const struct obj *o)
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
			s->rings = memcpy(w, &(struct ring_watch){s->rings, o->type, o->id}, sizeof(*w));
		else
			err = -ENOMEM;
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

bool rings_waiting(struct super *s)
{
	bool some;

	pthread_mutex_lock(&s->lock);
	some = s->rings != NULL;
	pthread_mutex_unlock(&s->lock);
	return some;
}

void rings_tick(struct super *s)
{
	pthread_mutex_lock(&s->lock);
	for (struct ring_watch **at = &s->rings, *w; (w = *at);) {
		struct obj *o = obj_by_id(s->k, w->type, w->id);

		if (o) {
			(void)skep_poll_fd(s->k, o->fd); /* signals again what is unread */
			obj_put(o);
			at = &w->next;
		} else {
			*at = w->next;
			free(w);
		}
	}
	pthread_mutex_unlock(&s->lock);
}

void rings_close(struct super *s)
{
	for (struct ring_watch *w = s->rings, *next; w; w = next) {
		next = w->next;
		free(w);
	}
	s->rings = NULL;
}

struct answer serve_epoll_ctl(struct call *c)
{
	struct obj *o = remote_object(c->s, c->tid, (int)c->args[2], 0);
	struct epoll_event event = {0};
	int ring, epoll, err = 0;

	if (!o)
		return answer_continue();
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
			err = watch(c->s, o);
		close(epoll);
	} else {
		err = epoll;
	}
	obj_put(o);
	if (err == -EPERM)
		super_say(c->s, "this host does not let process %d's epoll instance be reached (pidfd_getfd), so it cannot wait on rings; see `skep doctor`", c->tid);
	return answer_value(err);
}
