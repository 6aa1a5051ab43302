/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * poll(2), ppoll(2), select(2) and pselect6(2) of clients with rings among their descriptors. To the kernel a ring's descriptor is a memfd, always
 * ready, so the call waits here: on the rings' eventfds and on copies of the client's other descriptors, and what is ready is asked of the rings.
 *
 * While its call waits here a task notices no signal. It is looked for every few milliseconds whether one came that the task does not block, and the
 * call then ends as on Linux, with EINTR; so it does for a stop. Signals that only the mask of ppoll() lets through are delivered after the call.
 */
#include "client/supervise/supervise.h"

#include "sys/sys.h"

#include <linux/perf_event.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	MOST_FDS = 4096,
	LOOK_MS = 10,
	SELECT_IN = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR,
	SELECT_OUT = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR,
	SELECT_EXCEPT = POLLPRI,
};

struct waited {
	int fd; /* the client's */
	short events, revents;
	struct obj *o; /* a ring; NULL: `local` stands for it */
	int local; /* a copy of the client's descriptor; -1: none */
};

struct ring_wait {
	struct super *s;
	pid_t tid;
	int nr;
	u64 args[6];
	u64 end_ns; /* UINT64_MAX: none */
	int epoll; /* wakes */
	u32 n;
	struct waited fds[];
};

void wait_free(struct ring_wait *w)
{
	for (u32 i = 0; i < w->n; i++) {
		obj_put(w->fds[i].o);
		if (w->fds[i].local >= 0)
			close(w->fds[i].local);
	}
	if (w->epoll >= 0)
		close(w->epoll);
	free(w);
}

/* ---- what the client asks for ---- */

static bool selects(int nr)
{
	return nr == SYS_select || nr == SYS_pselect6;
}

/* A set of select(): as many words as hold `n` bits. */
static int get_set(const struct ring_wait *w, u32 arg, u32 n, u64 set[MOST_FDS / 64])
{
	memset(set, 0, MOST_FDS / 8);
	return w->args[arg] ? remote_get(w->tid, w->args[arg], set, (n + 63) / 64 * 8) : 0;
}

static int get_selected(struct ring_wait *w, u32 n)
{
	static const short wanted[] = {SELECT_IN, SELECT_OUT, SELECT_EXCEPT};
	u64 sets[3][MOST_FDS / 64];

	for (u32 k = 0; k < 3; k++)
		if (get_set(w, k + 1, n, sets[k]))
			return -EFAULT;
	for (u32 fd = 0; fd < n; fd++) {
		struct waited one = {.fd = (int)fd, .local = -1};

		for (u32 k = 0; k < 3; k++)
			if (sets[k][fd / 64] >> (fd % 64) & 1)
				one.events |= wanted[k];
		if (one.events)
			w->fds[w->n++] = one;
	}
	return 0;
}

static int get_polled(struct ring_wait *w, u32 n)
{
	struct pollfd *fds = calloc(n + 1, sizeof(*fds));
	int err = fds ? remote_get(w->tid, w->args[0], fds, n * sizeof(*fds)) : -ENOMEM;

	for (u32 i = 0; i < n && !err; i++)
		w->fds[w->n++] = (struct waited){.fd = fds[i].fd, .events = fds[i].events, .local = -1};
	free(fds);
	return err;
}

/* The last moment; poll() counts milliseconds, select() is given a timeval, the others a timespec. */
static int get_end(struct ring_wait *w)
{
	u64 now = os_clock_ns(CLOCK_MONOTONIC), at = w->args[selects(w->nr) ? 4 : 2];
	s64 t[2], unit = w->nr == SYS_select ? 1000 : 1, ns;

	w->end_ns = UINT64_MAX;
	if (w->nr == SYS_poll) {
		if ((int)at >= 0)
			w->end_ns = now + (u64)at * 1000000;
		return 0;
	}
	if (!at)
		return 0;
	if (remote_get(w->tid, at, t, sizeof(t)))
		return -EFAULT;
	if (t[0] < 0 || t[1] < 0 || t[1] >= 1000000000 / unit)
		return -EINVAL;
	if (!__builtin_mul_overflow(t[0], 1000000000, &ns) && !__builtin_add_overflow(ns, t[1] * unit, &ns))
		w->end_ns = now + (u64)ns;
	return 0;
}

/* ---- what is ready ---- */

static short ready_ring(const struct obj *o)
{
	const struct perf_ring *r = o->type == OBJ_PERF ? o->body : NULL;

	if (r && (!r->region.base || !r->mask)) /* not mapped */
		return POLLHUP;
	return ring_unread(o) ? POLLIN | POLLRDNORM : 0;
}

static s64 count_ready(struct ring_wait *w)
{
	s64 n = 0;

	for (u32 i = 0; i < w->n; i++) {
		struct waited *f = &w->fds[i];
		struct pollfd p = {.fd = f->local, .events = f->events};

		f->revents = 0;
		if (f->o)
			f->revents = (short)(ready_ring(f->o) & (f->events | POLLHUP | POLLERR));
		else if (f->fd >= 0 && f->local < 0)
			f->revents = POLLNVAL;
		else if (f->local >= 0 && poll(&p, 1, 0) > 0)
			f->revents = p.revents;
		n += f->revents != 0;
	}
	return n;
}

/* ---- the result ---- */

static s64 put_selected(const struct ring_wait *w)
{
	static const short wanted[] = {SELECT_IN, SELECT_OUT, SELECT_EXCEPT};
	size_t size = ((size_t)w->args[0] + 63) / 64 * 8;
	s64 n = 0;

	for (u32 k = 0; k < 3; k++) {
		u64 set[MOST_FDS / 64] = {0};

		for (u32 i = 0; i < w->n; i++)
			if (w->fds[i].events & w->fds[i].revents & wanted[k] && (w->fds[i].events & wanted[k]) == wanted[k]) {
				set[w->fds[i].fd / 64] |= 1ull << (w->fds[i].fd % 64);
				n++;
			}
		if (w->args[k + 1] && remote_put(w->tid, w->args[k + 1], set, size))
			return -EFAULT;
	}
	return n;
}

static s64 put_polled(const struct ring_wait *w, s64 n)
{
	for (u32 i = 0; i < w->n; i++)
		if (remote_put(w->tid, w->args[0] + i * sizeof(struct pollfd) + offsetof(struct pollfd, revents), &w->fds[i].revents, sizeof(short)))
			return -EFAULT;
	return n;
}

/* All but poll() are told how much time is left. */
static void put_left(const struct ring_wait *w)
{
	u64 now = os_clock_ns(CLOCK_MONOTONIC), left = w->end_ns > now ? w->end_ns - now : 0, at = w->args[selects(w->nr) ? 4 : 2];
	s64 t[2] = {(s64)(left / 1000000000), (s64)(left % 1000000000) / (w->nr == SYS_select ? 1000 : 1)};

	if (w->nr != SYS_poll && at && w->end_ns != UINT64_MAX)
		(void)remote_put(w->tid, at, t, sizeof(t)); /* it may be read-only: Linux does not mind */
}

static s64 finish(const struct ring_wait *w, s64 n)
{
	put_left(w);
	for (u32 i = 0; i < w->n && selects(w->nr); i++)
		if (w->fds[i].revents & POLLNVAL)
			return -EBADF;
	return n < 0 ? n : selects(w->nr) ? put_selected(w) : put_polled(w, n);
}

/* ---- waiting ---- */

int signal_came(pid_t tid)
{
	unsigned long long own = 0, shared = 0, blocked = 0;
	FILE *f = proc_open(tid, "status");
	char line[256], state = 'Z';

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "State: %c", &state) != 1 && sscanf(line, "SigPnd: %llx", &own) != 1 && sscanf(line, "ShdPnd: %llx", &shared) != 1 &&
		    sscanf(line, "SigBlk: %llx", &blocked) == 1)
			break;
	fclose(f);
	return state == 'Z' || state == 'X' ? -1 : ((own | shared) & ~blocked) != 0;
}

s64 wait_run(struct ring_wait *w)
{
	u64 looked = os_clock_ns(CLOCK_MONOTONIC);
	s64 n;

	while (!(n = count_ready(w))) {
		u64 now = os_clock_ns(CLOCK_MONOTONIC);
		struct epoll_event events[16];
		int came = 0;

		if (now >= w->end_ns)
			break;
		if (now - looked >= LOOK_MS * 1000000ull) {
			came = signal_came(w->tid);
			looked = now;
		}
		if (came) {
			n = came < 0 ? -ESRCH : -EINTR;
			break;
		}
		(void)epoll_wait(w->epoll, events, ARRAY_SIZE(events), (int)MIN(LOOK_MS, (w->end_ns - now + 999999) / 1000000));
	}
	return finish(w, n);
}

/* ---- beginning ---- */

static bool find_rings(struct call *c, struct ring_wait *w)
{
	bool some = false;

	for (u32 i = 0; i < w->n; i++) {
		struct obj *o = remote_object(c->s, c->tid, w->fds[i].fd, 0);

		if (o && skep_poll_fd(c->s->k, o->fd) >= 0) {
			w->fds[i].o = o;
			some = true;
		} else {
			obj_put(o);
		}
	}
	return some;
}

/* Copies of the other descriptors, and what wakes. */
static int take_fds(struct call *c, struct ring_wait *w)
{
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0)
		return -errno;
	for (u32 i = 0; i < w->n; i++) {
		struct waited *f = &w->fds[i];
		struct epoll_event e = {.events = f->o ? EPOLLIN | EPOLLET : (u32)(u16)f->events | EPOLLET};

		if (!f->o && f->fd >= 0 && remote_has_fd(c->tid, f->fd)) {
			f->local = c->door->fetch(c, f->fd);
			if (f->local < 0)
				return f->local;
		}
		if (f->o || f->local >= 0) /* refused: a plain file, always ready; or one that is there already */
			(void)epoll_ctl(w->epoll, EPOLL_CTL_ADD, f->o ? skep_poll_fd(c->s->k, f->o->fd) : f->local, &e);
		if (f->o)
			ring_watch(c->s, f->o);
	}
	return 0;
}

static struct answer begin(struct call *c, struct ring_wait *w, u32 n)
{
	int err;
	s64 ready;

	memcpy(w->args, c->args, sizeof(w->args));
	err = selects(c->nr) ? get_selected(w, n) : get_polled(w, n);
	if (err || !find_rings(c, w)) {
		wait_free(w);
		return answer_continue(); /* the kernel says what is wrong */
	}
	err = get_end(w);
	if (!err)
		err = take_fds(c, w);
	if (!err && !(ready = count_ready(w)) && w->end_ns > os_clock_ns(CLOCK_MONOTONIC))
		return (struct answer){.kind = ANSWER_WAIT, .wait = w};
	if (!err) {
		struct answer a = answer_value(finish(w, ready));

		wait_free(w);
		return a;
	}
	wait_free(w);
	if (err == -EPERM)
		super_say(c->s, "this host does not let other descriptors of process %d be reached (pidfd_getfd), so it cannot wait on them and on rings at once; see `skep doctor`", c->tid);
	return answer_value(err);
}

struct answer serve_wait(struct call *c)
{
	u64 n = selects(c->nr) ? (u64)(int)c->args[0] : (u32)c->args[1];
	struct ring_wait *w;

	if (!n || n > MOST_FDS || !rings_exist(c->s) || !is_client(c->s, c->tid))
		return answer_continue();
	w = calloc(1, sizeof(*w) + n * sizeof(w->fds[0]));
	if (!w)
		return answer_value(-ENOMEM);
	w->s = c->s;
	w->tid = c->tid;
	w->nr = c->nr;
	w->epoll = -1;
	return begin(c, w, (u32)n);
}
