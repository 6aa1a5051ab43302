/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The door of ptrace stops: a task stops before the kernel looks at its call, so this works where an outer filter refuses bpf(2) or there are no
 * notifications. What is answered here is not made: its number becomes -1, and the result is set when the task stops again behind it.
 *
 * A descriptor is handed over by making the call an open of /proc/PID/fd/N of this process; the path is written below the red zone of the task's stack,
 * and what lay there is put back.
 */
#include "client/supervise/traced.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <unistd.h>

enum { RED_ZONE = 128 };

static const struct door_ops ptrace_door = {.name = "ptrace", .fetch = remote_fetch, .watches = true};

static void skip_call(struct traced *p, s64 value)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, p->tid, 0, &regs))
		return;
	regs.orig_rax = (unsigned long long)-1;
	regs.rax = (unsigned long long)value;
	ptrace(PTRACE_SETREGS, p->tid, 0, &regs);
	p->answered = true;
	p->answer = value;
}

static void let_go(const struct traced *p, int fd)
{
	if (!p->borrowed)
		close(fd);
}

/* The path of our descriptor in the task's memory. */
static bool hand_path(struct traced *p, int fd, bool borrowed, struct user_regs_struct *regs)
{
	char path[sizeof(p->saved_stack)] = {0};

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	p->borrowed = borrowed;
	if (ptrace(PTRACE_GETREGS, p->tid, 0, regs)) {
		let_go(p, fd);
		return false;
	}
	p->saved_at = (regs->rsp - RED_ZONE - sizeof(p->saved_stack)) & ~7ull;
	if (remote_get(p->tid, p->saved_at, p->saved_stack, sizeof(p->saved_stack)) || remote_put(p->tid, p->saved_at, path, sizeof(path))) {
		let_go(p, fd);
		skip_call(p, -ENOMEM);
		return false;
	}
	p->handed = fd;
	return true;
}

static void open_instead(struct traced *p, int fd, int flags, bool borrowed)
{
	struct user_regs_struct regs;

	if (!hand_path(p, fd, borrowed, &regs))
		return;
	regs.orig_rax = SYS_openat;
	regs.rdi = (unsigned long long)AT_FDCWD;
	regs.rsi = p->saved_at;
	regs.rdx = (unsigned long long)((fcntl(fd, F_GETFL) & (O_ACCMODE | O_DIRECTORY | O_NONBLOCK)) | flags);
	regs.r10 = 0;
	ptrace(PTRACE_SETREGS, p->tid, 0, &regs);
}

/* chdir(2) is made with another path. */
static void enter(struct traced *p, int fd)
{
	struct user_regs_struct regs;

	if (!hand_path(p, fd, false, &regs))
		return;
	regs.rdi = p->saved_at;
	ptrace(PTRACE_SETREGS, p->tid, 0, &regs);
}

/* ---- waiting on a ring: the client opens a pipe of ours, then makes its call with that ---- */

static struct watch_fd *find_watch(const struct tree *t, const struct traced *p)
{
	struct watch_fd *w = t->watches;

	while (w && (w->tgid != p->tgid || w->ring != p->ring))
		w = w->next;
	return w;
}

void door_ended(struct tree *t, pid_t tgid)
{
	for (struct watch_fd **at = &t->watches, *w; (w = *at);)
		if (w->tgid == tgid) {
			*at = w->next;
			free(w);
		} else {
			at = &w->next;
		}
}

/* Registers for the call itself; the event, edge-triggered, lies where the path lay. */
static void call_with(struct traced *p, struct user_regs_struct *regs, int fd)
{
	struct epoll_event event = {0};

	if (p->args[3] && !remote_get(p->tid, p->args[3], &event, sizeof(event))) {
		event.events |= EPOLLET;
		remote_put(p->tid, p->saved_at, &event, sizeof(event));
		regs->r10 = p->saved_at;
	} else {
		regs->r10 = p->args[3];
	}
	regs->rdi = p->args[0];
	regs->rsi = p->args[1];
	regs->rdx = (unsigned long long)fd;
}

static void watch_ring(struct tree *t, struct traced *p, const struct answer *a)
{
	struct user_regs_struct regs;
	struct watch_fd *w;

	p->ring = a->ring;
	w = find_watch(t, p);
	if (!w && p->args[1] != EPOLL_CTL_ADD) {
		skip_call(p, -ENOENT);
		return;
	}
	if (!w) {
		p->watch = WATCH_OPENS;
		open_instead(p, a->fd, O_CLOEXEC, true);
		return;
	}
	if (ptrace(PTRACE_GETREGS, p->tid, 0, &regs))
		return;
	p->saved_at = (regs.rsp - RED_ZONE - sizeof(p->saved_stack)) & ~7ull;
	if (remote_get(p->tid, p->saved_at, p->saved_stack, sizeof(p->saved_stack))) {
		skip_call(p, -EFAULT);
		return;
	}
	call_with(p, &regs, w->fd);
	ptrace(PTRACE_SETREGS, p->tid, 0, &regs);
	p->watch = WATCH_ADDS;
}

/* Behind the open: the call instruction is executed again, as the client's own call. */
static void opened(struct tree *t, struct traced *p, struct user_regs_struct *regs)
{
	struct watch_fd *w;

	p->handed = -1;
	w = (s64)regs->rax < 0 ? NULL : calloc(1, sizeof(*w));
	if (!w) {
		remote_put(p->tid, p->saved_at, p->saved_stack, sizeof(p->saved_stack));
		p->watch = WATCH_NONE;
		return;
	}
	*w = (struct watch_fd){t->watches, p->tgid, p->ring, (int)regs->rax};
	t->watches = w;
	call_with(p, regs, w->fd);
	regs->rip -= 2;
	regs->rax = SYS_epoll_ctl;
	regs->orig_rax = (unsigned long long)-1;
	p->watch = WATCH_AGAIN;
}

static void put_back(struct traced *p, struct user_regs_struct *regs)
{
	remote_put(p->tid, p->saved_at, p->saved_stack, sizeof(p->saved_stack));
	regs->rdi = p->args[0];
	regs->rsi = p->args[1];
	regs->rdx = p->args[2];
	regs->r10 = p->args[3];
}

static void give_answer(struct tree *t, struct traced *p, const struct answer *a)
{
	switch (a->kind) {
	case ANSWER_VALUE: skip_call(p, a->value); break;
	case ANSWER_FD: open_instead(p, a->fd, a->cloexec ? O_CLOEXEC : 0, false); break;
	case ANSWER_ENTER: enter(p, a->fd); break;
	case ANSWER_WATCH: watch_ring(t, p, a); break;
	case ANSWER_WAIT: /* handled by who asked */
	case ANSWER_CONTINUE: break;
	}
}

/* ---- calls that may take long go to a thread of their own, and the task waits in its stop ---- */

struct job {
	struct job *next;
	struct call call;
	struct answer answer;
};

static void done(struct tree *t, struct job *j)
{
	pthread_mutex_lock(&t->jobs_lock);
	j->next = t->done;
	t->done = j;
	pthread_mutex_unlock(&t->jobs_lock);
	atomic_store(&t->finished, true);
	pthread_kill(t->thread, SIGUSR1);
}

static void *work(void *arg)
{
	struct tree *t = arg;

	for (;;) {
		struct job *j;

		pthread_mutex_lock(&t->jobs_lock);
		while (!t->jobs)
			pthread_cond_wait(&t->jobs_come, &t->jobs_lock);
		j = t->jobs;
		t->jobs = j->next;
		pthread_mutex_unlock(&t->jobs_lock);
		j->answer = super_serve(&j->call);
		done(t, j);
	}
	return NULL;
}

struct later {
	struct tree *t;
	struct job *job;
};

static void *wait_for_ring(void *arg)
{
	struct later *r = arg;
	struct ring_wait *w = r->job->answer.wait;

	r->job->answer = answer_value(wait_run(w));
	wait_free(w);
	done(r->t, r->job);
	free(r);
	return NULL;
}

static bool wait_in_thread(struct tree *t, const struct call *c, const struct answer *a)
{
	struct later *r = malloc(sizeof(*r));
	pthread_t thread;

	if (r)
		*r = (struct later){t, calloc(1, sizeof(struct job))};
	if (r && r->job) {
		*r->job = (struct job){.call = *c, .answer = *a};
		if (!pthread_create(&thread, NULL, wait_for_ring, r)) {
			pthread_detach(thread);
			return true;
		}
	}
	if (r)
		free(r->job);
	free(r);
	wait_free(a->wait);
	return false;
}

static bool queue(struct tree *t, const struct call *c)
{
	struct job *j = calloc(1, sizeof(*j)), **at;
	pthread_t thread;

	if (!j)
		return false;
	if (t->workers < 2 && !pthread_create(&thread, NULL, work, t)) {
		pthread_detach(thread);
		t->workers++;
	}
	if (!t->workers) {
		free(j);
		return false;
	}
	j->call = *c;
	pthread_mutex_lock(&t->jobs_lock);
	for (at = &t->jobs; *at; at = &(*at)->next)
		;
	*at = j;
	pthread_cond_signal(&t->jobs_come);
	pthread_mutex_unlock(&t->jobs_lock);
	return true;
}

void door_finished(struct tree *t)
{
	struct job *j, *next;

	atomic_store(&t->finished, false);
	pthread_mutex_lock(&t->jobs_lock);
	j = t->done;
	t->done = NULL;
	pthread_mutex_unlock(&t->jobs_lock);
	for (; j; j = next) {
		struct traced *p = traced_find(t, j->call.tid);

		next = j->next;
		if (p && p->waits) {
			p->waits = false;
			give_answer(t, p, &j->answer);
			traced_resume(t, p, 0);
		} else if (j->answer.kind == ANSWER_FD) {
			close(j->answer.fd); /* the task was killed meanwhile */
		}
		free(j);
	}
}

/* ---- the two stops of a call ---- */

void door_enter(struct tree *t, struct traced *p)
{
	struct call c = {.s = t->s, .door = &ptrace_door, .ticket = p, .tid = p->tid, .nr = p->nr};
	const struct call_row *row = call_row(p->nr);
	struct answer a;

	if (p->watch == WATCH_AGAIN) {
		p->watch = WATCH_ADDS;
		return;
	}
	p->answered = false;
	p->handed = -1;
	if (!row || !call_matters(row, p->args))
		return;
	memcpy(c.args, p->args, sizeof(c.args));
	if (p->nr == SYS_bpf && serve_element(&c, &a)) { /* shorter than the way to another thread */
		give_answer(t, p, &a);
		return;
	}
	if (p->nr == SYS_bpf && queue(t, &c)) {
		p->waits = true;
		return;
	}
	a = super_serve(&c);
	if (a.kind == ANSWER_WAIT && wait_in_thread(t, &c, &a))
		p->waits = true;
	else if (a.kind == ANSWER_WAIT)
		skip_call(p, -ENOMEM);
	else
		give_answer(t, p, &a);
}

bool door_hide(struct tree *t, struct traced *p)
{
	static const struct {
		int nr;
		call_fn *handler;
	} hides[] = {{SYS_openat, serve_status}, {SYS_open, serve_status}, {SYS_openat2, serve_status}, {SYS_prctl, serve_prctl}, {SYS_getppid, serve_ppid}};
	struct call c = {.s = t->s, .door = &ptrace_door, .ticket = p, .tid = p->tid, .nr = p->nr};
	struct answer a;
	u32 i = 0;

	p->answered = false;
	p->handed = -1;
	while (i < ARRAY_SIZE(hides) && hides[i].nr != p->nr)
		i++;
	if (i == ARRAY_SIZE(hides))
		return false;
	memcpy(c.args, p->args, sizeof(c.args));
	a = hides[i].handler(&c);
	give_answer(t, p, &a);
	return a.kind != ANSWER_CONTINUE;
}

/* The result that was set in the stop before stays, unless a filter of the host had its say between. */
void door_leave(struct tree *t, struct traced *p, s64 result)
{
	struct user_regs_struct regs;

	if (p->in_call && p->answered && result == p->answer) {
		p->answered = false;
		p->handed = -1;
		return;
	}
	if (!p->in_call || (!p->answered && p->handed < 0 && !p->watch) || ptrace(PTRACE_GETREGS, p->tid, 0, &regs))
		return;
	if (p->answered) {
		regs.rax = (unsigned long long)p->answer;
	} else if (p->watch == WATCH_OPENS) {
		opened(t, p, &regs);
		if (!p->watch)
			put_back(p, &regs);
	} else {
		put_back(p, &regs);
		if (p->handed >= 0)
			let_go(p, p->handed);
		p->watch = WATCH_NONE;
	}
	ptrace(PTRACE_SETREGS, p->tid, 0, &regs);
	p->answered = false;
	p->handed = -1;
}
