/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tree: the tasks that are traced, for what only a stop under ptrace shows: results of calls, exec, fork, exit, signals; and the door by which
 * their calls are answered where notifications do not reach.
 *
 * Everything here happens in the one thread that waits for children (session_wait()), as a task may be resumed by its tracer only.
 */
#ifndef SKEP_SUPERVISE_TREE_H
#define SKEP_SUPERVISE_TREE_H

#include "client/supervise/supervise.h"
#include "hook/cgroup.h"
#include "hook/tasks.h"

#define SUPERVISOR_NAME "skep-supervisor" /* of its process */

struct traced;
struct job;
struct watch_fd;
enum { TREE_BUCKETS = 1024 };

struct tree {
	struct super *s;
	struct task_door door; /* what the engine asks of us */
	struct task_needs needs;
	_Atomic bool changed; /* needs may be others now */
	_Atomic u64 asked, followed; /* how often they changed; up to where tasks are followed for them */
	_Atomic bool clocks; /* programs run on clock events */
	bool answers; /* the calls of calls.def are answered here */
	bool unplaced; /* clients answer nothing themselves: what they call is to be seen */
	bool wait_for_rings; /* tasks wait while a reader lags behind, so that nothing is lost */
	struct cgroups cgroups;
	u64 pid_ns_dev, pid_ns_ino, mnt_ns_ino;
	struct traced *bucket[TREE_BUCKETS];
	u32 n;
	struct lineage {
		bool filtered, silent, unserved, leave;
	} ended; /* what children inherit, of the task that ended last */
	bool refused; /* somebody could not be traced: said once */
	_Atomic u64 events, calls_32bit, unreadable; /* unreadable: reads of memory that its task keeps to itself */
	pthread_t thread;
	/* ptrace.c: calls that are answered by other threads */
	pthread_mutex_t jobs_lock;
	pthread_cond_t jobs_come;
	struct job *jobs, *done;
	_Atomic bool finished; /* some are done */
	u32 workers;
	struct watch_fd *watches;
	/* follow.c: stops that came while a clock waited for them */
	struct {
		pid_t tid;
		int status;
	} held[SLOT_MAX];
	u32 n_held;
	/* breaks.c: the engine's probes */
	struct task_probe *points;
	u32 n_points;
	struct guard *guard; /* of processes that go on when this one ends; NULL: there are none */
};

void tree_open(struct tree *t, struct super *s);
void tree_close(struct tree *t);
enum seize_how {
	SEIZE_FOLLOW, /* all of its calls stop while they are wanted, or answered */
	SEIZE_FILTERED, /* its filter stops it, at the calls that are wanted (filter_trace()) */
	SEIZE_WATCHED, /* all of its calls stop, and none is answered: where an outer filter would hide calls from a filter of its own */
	SEIZE_GUEST, /* the same, for a process that was there before: it goes on when this one ends */
	SEIZE_SILENT, /* its calls are answered; what it does is no event */
};
int tree_seize(struct tree *t, pid_t tid, enum seize_how how); /* traced from now on */
int tree_attach(struct tree *t, pid_t pid, enum seize_how how); /* all threads of a running process: -errno of the first that is refused */
/* All tasks that descend from root; those that sleep where an interruption would be noticed change at their next stop. */
void tree_follow(struct tree *t, pid_t root);
void tree_begins(struct tree *t, bool follow); /* super.begins goes on, traced if it is to be followed */
void tree_sample(struct tree *t, u64 now); /* runs the programs on clocks that are due */
bool tree_held(struct tree *t, pid_t *tid, int *status); /* a status that tree_sample() took from wait(2) */
void tree_unseen(struct tree *t); /* says how many calls had no events and how many reads of memory were refused, and forgets it */
void tree_release(struct tree *t); /* lets go of all that were followed */
bool tree_wanted(const struct tree *t); /* is there anything that only a trace shows? */
/* A status of wait(2): true when it was about a traced task that goes on; *group_stop: signal that stopped its group, or 0. */
bool tree_status(struct tree *t, pid_t tid, int status, int *group_stop);
void door_finished(struct tree *t); /* ptrace.c: tasks whose calls were answered go on */
bool call_sends(int nr); /* signals.c: a signal */
u32 filter_trace(struct sock_filter *out, const struct task_needs *needs); /* filter.c: stops at what is wanted */

#endif
