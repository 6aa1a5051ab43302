/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The door of seccomp notifications: the kernel suspends a task in a call that the filter names, a thread here reads what it asks for and
 * answers. A call wakes all threads that wait at its listener, so only one does; it answers what is short itself, and before what may take
 * long (call_slow()) leaves its place to another, so a long verification holds up nobody else.
 *
 * A task may die while its call is looked at, and its id be used again: memory was then another's, but the answer goes to the notification's own
 * id and is refused by the kernel. Ids are asked about again before anything of lasting effect is done with what was read.
 */
#include "client/supervise/supervise.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS = 4 };

/* Linux 6.6's, which the system's header may lack */
#define NOTIF_SET_FLAGS    SECCOMP_IOW(4, __u64)
#define NOTIF_SYNC_WAKE_UP 1ul

struct listener {
	struct super *s;
	int fd;
	_Atomic u32 users;
	pthread_mutex_t place; /* of the thread that receives */
};

/* One call in one thread: does the thread still have the place? */
struct turn {
	struct listener *l;
	bool receives;
};

static void slow(struct call *c)
{
	struct turn *turn = c->ticket;

	if (turn->receives)
		pthread_mutex_unlock(&turn->l->place);
	turn->receives = false;
}

static const struct door_ops notify_door = {.name = "notify", .fetch = remote_fetch, .slow = slow};

/* The kernel may have grown the struct: it says how large its own is. */
static size_t request_size(void)
{
	struct seccomp_notif_sizes sizes = {0};

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes))
		return sizeof(struct seccomp_notif);
	return MAX(sizes.seccomp_notif, sizeof(struct seccomp_notif));
}

static void reply(const struct listener *l, u64 id, s64 value, u32 flags)
{
	struct seccomp_notif_resp resp = {.id = id, .flags = flags};

	if (value < 0)
		resp.error = (s32)value;
	else
		resp.val = value;
	(void)ioctl(l->fd, SECCOMP_IOCTL_NOTIF_SEND, &resp); /* ENOENT: the task has died */
}

static void reply_fd(const struct listener *l, u64 id, const struct answer *a)
{
	struct seccomp_notif_addfd add = {.id = id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (u32)a->fd,
					  .newfd_flags = a->cloexec ? O_CLOEXEC : 0};
	int err = 0;

	if (ioctl(l->fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0)
		err = -errno;
	close(a->fd);
	if (err && err != -ENOENT)
		reply(l, id, err, 0); /* the client's limit of descriptors */
}

static void release(struct listener *l)
{
	if (atomic_fetch_sub(&l->users, 1) == 1) {
		close(l->fd);
		pthread_mutex_destroy(&l->place);
		free(l);
	}
}

struct later {
	struct listener *l;
	u64 id;
	struct ring_wait *wait;
};

static void *wait_for_ring(void *arg)
{
	struct later *r = arg;

	reply(r->l, r->id, wait_run(r->wait), 0);
	wait_free(r->wait);
	release(r->l);
	free(r);
	return NULL;
}

static void reply_later(struct listener *l, u64 id, struct ring_wait *wait)
{
	struct later *r = malloc(sizeof(*r));
	pthread_t t;

	if (r) {
		*r = (struct later){l, id, wait};
		atomic_fetch_add(&l->users, 1);
		if (!pthread_create(&t, NULL, wait_for_ring, r)) {
			pthread_detach(t);
			return;
		}
		atomic_fetch_sub(&l->users, 1); /* the caller is one of them */
		free(r);
	}
	wait_free(wait);
	reply(l, id, -ENOMEM, 0);
}

static void serve_one(struct turn *turn, const struct seccomp_notif *n)
{
	struct listener *l = turn->l;
	struct call c = {.s = l->s, .door = &notify_door, .ticket = turn, .tid = (pid_t)n->pid, .nr = n->data.nr, .ip = n->data.instruction_pointer};
	struct answer a;

	for (u32 i = 0; i < 6; i++)
		c.args[i] = n->data.args[i];
	a = super_serve(&c);
	switch (a.kind) {
	case ANSWER_VALUE: reply(l, n->id, a.value, 0); break;
	case ANSWER_FD: reply_fd(l, n->id, &a); break;
	case ANSWER_WAIT: reply_later(l, n->id, a.wait); break;
	case ANSWER_ENTER: reply(l, n->id, enter_folder(&c, a.fd).value, 0); break;
	case ANSWER_WATCH: reply(l, n->id, -ENOTSUP, 0); break;
	case ANSWER_CONTINUE: reply(l, n->id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE); break;
	}
}

/* ENOENT from RECV: the task died before its notification was taken, or nobody is left behind the filter. */
static bool somebody_left(const struct listener *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};

	return poll(&p, 1, 0) >= 0 && !(p.revents & (POLLHUP | POLLNVAL));
}

static void *serve(void *arg)
{
	struct listener *l = arg;
	size_t size = request_size();
	struct seccomp_notif *n = malloc(size);
	struct turn turn = {.l = l};

	while (n) {
		if (!turn.receives)
			pthread_mutex_lock(&l->place);
		turn.receives = true;
		memset(n, 0, size);
		if (!ioctl(l->fd, SECCOMP_IOCTL_NOTIF_RECV, n))
			serve_one(&turn, n);
		else if (errno != EINTR && !somebody_left(l))
			break;
	}
	if (turn.receives)
		pthread_mutex_unlock(&l->place);
	free(n);
	release(l);
	return NULL;
}

int notify_serve(struct super *s, int fd)
{
	struct listener *l = calloc(1, sizeof(*l));
	u32 started = 0;

	if (!l) {
		close(fd);
		return -ENOMEM;
	}
	*l = (struct listener){.s = s, .fd = fd, .users = THREADS};
	pthread_mutex_init(&l->place, NULL);
	atomic_store(&s->listens, true);
	(void)ioctl(fd, NOTIF_SET_FLAGS, NOTIF_SYNC_WAKE_UP); /* since 6.6: the task and who answers it share a processor */
	for (u32 i = 0; i < THREADS; i++) {
		pthread_t t;

		if (pthread_create(&t, NULL, serve, l))
			break;
		pthread_detach(t);
		started++;
	}
	if (started == THREADS)
		return 0;
	if (atomic_fetch_sub(&l->users, THREADS - started) == THREADS - started) {
		close(fd);
		pthread_mutex_destroy(&l->place);
		free(l);
	}
	return started ? 0 : -EAGAIN;
}
