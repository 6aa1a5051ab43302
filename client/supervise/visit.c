/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Visits: something is done in a task behind notifications that only the task itself can do. The thread that answers its call asks for it and waits until the
 * task is seized, so that the task stops where its call has returned; there the thread that waits for children makes system calls in it, and lets it go.
 * There is one visit at a time.
 */
#include "client/supervise/space.h"

#include "sys/sys.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOTHING, FILLS, ASKED, TAKEN, SEIZED, REFUSED };
enum { STEP_US = 200 };

/* ---- asking: any thread ---- */

bool visit_begin(struct call *c, unsigned wait_ms)
{
	struct visit *v = &c->s->visit;
	u32 nothing = NOTHING;

	for (u32 i = 0; v->served; i++, nothing = NOTHING) {
		if (atomic_compare_exchange_strong(&v->state, &nothing, FILLS))
			break;
		if (i >= wait_ms * 1000 / STEP_US)
			return false;
		usleep(STEP_US);
	}
	v->tid = c->tid;
	v->ip = c->ip;
	v->object = NULL;
	v->folder = -1;
	return v->served;
}

static void forget(struct visit *v, u32 state)
{
	obj_put(v->object);
	if (v->folder >= 0)
		close(v->folder);
	v->object = NULL;
	v->folder = -1;
	atomic_store(&v->state, state);
}

bool visit_ask(struct call *c)
{
	enum { TURNS = 250 };
	struct visit *v = &c->s->visit;
	u32 asked = ASKED;

	atomic_store(&v->state, ASKED);
	call_slow(c);
	pthread_kill(v->thread, SIGUSR1);
	for (u32 i = 0; atomic_load(&v->state) == TAKEN || (i < TURNS && atomic_load(&v->state) == ASKED); i++)
		usleep(STEP_US);
	if (atomic_compare_exchange_strong(&v->state, &asked, FILLS)) /* it has other things to do */
		forget(v, NOTHING);
	else if (asked == REFUSED)
		atomic_store(&v->state, NOTHING);
	else /* until the answer is given it stays so, unless the task is killed */
		return true;
	return false;
}

struct answer enter_folder(struct call *c, int folder)
{
	enum { PATIENCE_MS = 2000 };

	call_slow(c);
	if (!visit_begin(c, PATIENCE_MS)) {
		close(folder);
		return answer_value(-EPERM);
	}
	c->s->visit.folder = folder;
	return answer_value(visit_ask(c) ? 0 : -EPERM);
}

/* ---- visiting: the thread that waits for children ---- */

bool visit_asked(const struct tree *t)
{
	return atomic_load(&t->s->visit.state) == ASKED;
}

void visit_drop(struct tree *t, struct traced *p)
{
	p->visited = false;
	forget(&t->s->visit, NOTHING);
}

void visit_seize(struct tree *t)
{
	struct visit *v = &t->s->visit;
	u32 asked = ASKED;
	struct traced *p;
	bool may;

	if (!atomic_compare_exchange_strong(&v->state, &asked, TAKEN))
		return;
	p = traced_find(t, v->tid);
	may = v->folder >= 0 ? !p || !p->stopped : !p && !t->unplaced;
	if (may && !p && !left_free(t->s, v->tid) && !tree_seize(t, v->tid, SEIZE_FOLLOW)) {
		p = traced_find(t, v->tid);
		p->leave = true;
	}
	if (!may || !p || ptrace(PTRACE_INTERRUPT, v->tid, 0, 0)) {
		forget(v, REFUSED);
		return;
	}
	p->visited = true;
	atomic_store(&v->state, SEIZED);
}

/* Its call is answered with 0: it was chdir(2), which is made now. */
static void enter(struct tree *t, struct traced *p)
{
	struct user_regs_struct regs;
	struct injection i = {0};

	if (ptrace(PTRACE_GETREGS, p->tid, 0, &regs))
		return;
	if (inject_begin(&i, t, p, &regs))
		regs.rax = (unsigned long long)inject_enter(&i, t->s->visit.folder);
	else
		regs.rax = (unsigned long long)-EPERM;
	inject_end(&i);
	if (!i.began)
		ptrace(PTRACE_SETREGS, p->tid, 0, &regs);
}

void visit_stopped(struct tree *t, struct traced *p)
{
	if (t->s->visit.folder >= 0)
		enter(t, p);
	else
		inplace_stopped(t, p);
	visit_drop(t, p);
}
