/* SPDX-License-Identifier: BSD-2-Clause */
/* One traced task: tree.c, follow.c, ptrace.c. */
#ifndef SKEP_SUPERVISE_TRACED_H
#define SKEP_SUPERVISE_TRACED_H

#include "client/supervise/tree.h"

enum watch_stage { WATCH_NONE, WATCH_OPENS, WATCH_AGAIN, WATCH_ADDS };

/* A client's own descriptor for the pipe of a ring. */
struct watch_fd {
	struct watch_fd *next;
	pid_t tgid;
	u32 ring;
	int fd;
};

struct traced {
	struct traced *chain;
	pid_t tid, tgid;
	struct task *task; /* the engine's; NULL: out of memory */
	bool silent; /* a client: what it does makes no events */
	bool before; /* its command has not begun: execve() is the first call that is told of */
	bool unserved; /* its calls are not answered */
	bool filtered; /* its filter stops it, at calls that are wanted only */
	bool stopped; /* and waits for us */
	bool announced; /* its parent told of it, or we took it */
	pid_t born_of; /* the process that is to tell of it */
	bool exiting;
	bool leave; /* to be let go at its next stop */
	bool visited; /* something is done in it there first: visit.c */
	bool in_call, wants_exit; /* the call under way; is its result wanted? */
	bool resumes; /* the call was cut short as we asked the task to stop: it begins once more, as it would not without us */
	int nr;
	u64 args[6];
	bool untraced; /* it asked for a child that no tracer gets, and gets another: see clone_traced() */
	char *exec_path; /* of the execve() under way */
	bool answered; /* the call is not made: its result is */
	s64 answer;
	bool waits; /* for its answer, in the stop before the call */
	int handed; /* descriptor of ours that the call opens; -1: none */
	enum watch_stage watch; /* of an epoll_ctl() that needs a descriptor first */
	u32 ring;
	bool borrowed; /* `handed` is not to be closed */
	u64 saved_stack[6]; /* what lay where the path was written */
	u64 saved_at;
	/* breaks.c */
	struct space *space; /* breakpoints of its memory; NULL: none */
	struct returns *returns; /* calls of probed functions that have not returned */
	bool steps; /* over the instruction at step_at, whose breakpoint is out */
	bool named; /* its space knows its thread */
	bool skips; /* that was put off: its event was told */
	u64 step_at, skip_sp;
};

struct traced *traced_find(const struct tree *t, pid_t tid);
struct traced *traced_add(struct tree *t, pid_t tid);
void traced_remove(struct tree *t, struct traced *p);
void traced_resume(struct tree *t, struct traced *p, int sig);
void traced_name(struct tree *t, struct traced *p); /* its facts, and the engine's task */
void task_facts(struct tree *t, pid_t tid, struct task_info *out);
bool tree_wants_calls(const struct tree *t);
void wait_for_reader(struct tree *t);

/* ---- signals.c: p is about to make a call that sends one ---- */
void signal_sent(struct tree *t, const struct traced *p);

/* ---- inplace.c: lookups that clients answer themselves ---- */
void inplace_stopped(struct tree *t, struct traced *p); /* it is visited for that */
void inplace_switch(struct tree *t, bool off); /* their calls are to be seen */

/* ---- visit.c ---- */
bool visit_asked(const struct tree *t); /* is somebody to be visited? */
void visit_seize(struct tree *t); /* who is */
void visit_stopped(struct tree *t, struct traced *p); /* p->visited, and it has stopped for it */
void visit_drop(struct tree *t, struct traced *p); /* it is not */

/* ---- ptrace.c: calls answered in stops ---- */
void door_enter(struct tree *t, struct traced *p);
/* What a task that is watched, and not served, may not see of that: its status, prctl(2). true: it was answered, so the stop behind the call is to come. */
bool door_hide(struct tree *t, struct traced *p);
void door_leave(struct tree *t, struct traced *p, s64 result);
void door_ended(struct tree *t, pid_t tgid); /* its descriptors are gone: it ended, or became another program */

#endif
