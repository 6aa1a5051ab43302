/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session: a supervisor and the processes that it started. Three kinds of process take part:
 *
 *   front       the command that the user typed: does nothing but wait and be to its parent what the started command is, so that jobs, stops and exit
 *               status are those of a plain command (front.c)
 *   supervisor  the engine and its doors, in a process group of its own, deaf to the terminal; parent of all that is watched, and reaper of
 *               orphans, as Yama lets only ancestors look at a process (session.c)
 *   tree        what runs inside
 *
 * The front kills the tree when the supervisor dies, as no call of the tree would be answered any more.
 */
#ifndef SKEP_SUPERVISE_SESSION_H
#define SKEP_SUPERVISE_SESSION_H

#include "client/supervise/probe.h"

#include <signal.h>
#include <sys/resource.h>

/* Exit statuses as env(1) has them. */
enum { STATUS_SKEP_FAILED = 125, STATUS_NO_PERMISSION = 126, STATUS_NOT_FOUND = 127 };

/* From the supervisor to the front, one per packet. */
enum report_kind {
	REPORT_STARTED, /* value: pid of the command */
	REPORT_STOPPED, /* value: signal */
	REPORT_ENDED, /* value: status as wait(2) gives it */
	REPORT_NO_EXEC, /* value: errno of execvp() */
	REPORT_GUARDED, /* value: pid of a process that mends what the supervisor would leave behind if it were killed */
	REPORT_FAILED, /* value: the exit status to end with; the reason was printed */
};
struct report {
	u32 kind;
	s32 value;
};

struct session {
	struct super super;
	struct tree tree;
	bool follows; /* what the engine wants to see is taken from all of the tree (otherwise tasks are traced from their start) */
	const char *name; /* "skep shell" */
	int front; /* socket to the front; -1: gone */
	pid_t group; /* process group that commands run in */
	struct sigaction saved[NSIG]; /* dispositions that commands get back */
	struct rlimit files; /* and their limit of descriptors: the supervisor takes what it may have */
	pid_t main_pid; /* the command that the front stands for; 0: not started yet */
	bool main_ended;
	_Atomic bool tick; /* a clock is due */
	struct spinning {
		u32 fails, skip;
	} spinning; /* session.c, wait_any() */
	bool hold_report; /* the end of the main command is not reported yet: main_status holds it */
	bool main_gone;
	int main_status;
	pid_t client; /* skep trace: the client; 0: none, or it has ended */
	int client_status;
	void *ud; /* the caller's */
	pthread_mutex_t told_lock;
	char told[512]; /* what the engine said last of something that it refused; "": nothing */
	int door_socket; /* where others join; -1: they cannot */
	char door_path[108];
	struct {
		pid_t front;
		int listener; /* -1: the door is ptrace */
		int socket; /* to the front: each sees there that the other has ended */
	} joined[64];
	u32 n_joined;
	_Atomic pid_t newcomer; /* a command that joins, to be traced; 0: none */
	_Atomic int newcomer_error; /* what became of that */
	int stdio[3]; /* what commands get as standard input, output and error; -1: closed */
};

/* ---- front.c ---- */

/* Forks a supervisor that runs fn(session, ud), and stands for its main command. Returns the exit status; does not return when the command was
 * killed by a signal: then this process is, too. */
typedef int session_fn(struct session *ss, void *ud);
int front_run(const char *name, const char *const *argv, session_fn *fn, void *ud);
void front_hold_streams(void); /* before anything is opened: standard streams that are closed are held, by descriptors that close on exec */
/* Runs become() in a child, and stands for it, until it has ended or whoever is at the other end of the socket has. */
int front_join(const char *name, int socket, int (*become)(void *ud), void *ud);
void front_signals_back(const struct sigaction saved[NSIG]); /* in the child: signals do what they did before there was a front */
void kill_descendants(pid_t root, bool reap);
/* In the supervisor: the signal that came before there was a command, and that is to end it all; 0: none. */
int front_ended_by(void);

/* ---- join.c ---- */
void joining_open(struct session *ss);
void joining_close(struct session *ss);
void joining_forget(const char *name); /* by the front, when its supervisor could not close it */
bool joining_wait(struct session *ss); /* false: nobody is left of those who joined; otherwise waits a moment for that, or until there is something to do */
bool joining_lives(const struct session *ss, u32 i); /* is anything left of the i-th that joined? */
void joining_seize(struct session *ss); /* by the thread that waits for children: ss->newcomer */
int join_run(const char *name, const char *id, const char *const *argv); /* becomes the command, or gives an exit status */

/* ---- session.c ---- */
int session_send(int socket, int fd); /* -1: nothing but a byte */
/* A descriptor; -ENOENT: none came, all is well; otherwise what went wrong. *from: who sent it, where the socket has SO_PASSCRED; may be NULL. */
int session_receive(int socket, pid_t *from);
enum spawn_door {
	SPAWN_PLAIN, /* traced by whoever `started` seizes it */
	SPAWN_NOTIFY, /* behind a filter, with its listener served by this supervisor */
	SPAWN_TRACE, /* behind a filter that stops it at the calls that are wanted; for a traced task */
};
struct spawn {
	const char *const *argv;
	int fds[3]; /* stdin, stdout, stderr; -1: as the supervisor was started */
	enum spawn_door door;
	const struct sock_filter *filter; /* SPAWN_TRACE */
	u32 filter_size;
	pid_t group; /* 0: a group of its own */
	void (*started)(struct session *ss, pid_t pid); /* before it runs; may be NULL */
};
/* How a command whose bpf(2) is answered is to be spawned; before session_open(). 0, or -errno with a line on standard error. */
int session_door(struct session *ss, enum door_kind wanted, enum spawn_door *out);
/* pid, or -errno; *exec_error: errno of a failed execvp(), the child is gone then. */
pid_t session_spawn(struct session *ss, const struct spawn *how, int *exec_error);
int session_open(struct session *ss);
void session_started(struct session *ss); /* no further command needs the standard streams */
void session_close(struct session *ss);
void session_told(struct session *ss, char out[512]); /* a copy of ss->told */
void session_report(struct session *ss, enum report_kind kind, int value);
/* Waits for children and serves their stops until none is left; reports the main command's changes. */
void session_wait(struct session *ss);
/* The same for as long as `until` says false, at most ms milliseconds (0: no limit), looking several times a millisecond; true: it said true. */
bool session_wait_until(struct session *ss, bool (*until)(struct session *ss), unsigned ms);

#endif
