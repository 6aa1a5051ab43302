/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * supervise: programs that run unmodified while their bpf(2), perf_event_open(2) and the few related calls are answered by an engine
 * in another process, the supervisor.
 *
 * A door is a way in which a task's system call arrives here: a seccomp notification (notify.c) or a stop under ptrace (ptrace.c). Both
 * hand a struct call to the handler that calls.def names and carry out the answer it gives; handlers know nothing of doors.
 *
 * What a task passes is copied once (remote.c) and never looked at again. Handlers of different calls run at the same time, in
 * several threads; struct super's own tables are guarded by its lock.
 *
 * Ownership: the caller of super_open() owns struct super and its engine; a door owns its struct door; a call lives until its answer
 * is given.
 */
#ifndef SKEP_SUPERVISE_H
#define SKEP_SUPERVISE_H

#include "base/base.h"
#include "skep/skep.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>

struct obj;
struct ring_watch;
struct ring_wait;
struct pin;
struct program_file;
struct task_info;
struct tree;

/* Where a client's key and value lay at its last call from the same place: element.c. */
struct guess {
	_Atomic u64 key, value, sizes; /* sizes: of the key, and of the value in the upper half */
};

/* A task that is to be stopped where its call has returned, for something to be done in it; there is one at a time: visit.c */
struct visit {
	_Atomic u32 state;
	pid_t tid;
	u64 ip;
	struct obj *object; /* a map whose lookups it is to answer itself; NULL: none */
	int folder; /* that it is to enter; -1: none */
	bool served; /* by thread */
	pthread_t thread;
};

/* Clients that answer lookups themselves: inplace.c */
struct inplace_want {
	_Atomic u64 found[64]; /* by task and map: which they are, and how often it found something there */
	_Atomic u32 *on; /* shared with those that do */
	int on_fd;
};

/* /proc/TID/fd, held open: what its entries mean is then asked with one short look. remote.c */
struct fd_folder {
	pthread_mutex_t lock;
	pid_t tid; /* 0: none */
	int fd;
};

struct super {
	struct skep *k;
	const char *name; /* of the command, for messages: "skep shell" */
	pthread_mutex_t lock;
	int foreign; /* a descriptor that is valid and no object: stands for a client's other descriptors */
	char dir[PATH_MAX / 2]; /* of this user, without links: pinned objects lie in dir/bpf */
	struct ring_watch *rings; /* poll.c */
	struct pin *pins; /* pins.c */
	char tree[PATH_MAX / 2]; /* folders that were listed, as real ones; "": none yet (files.c) */
	struct program_file *programs; /* identity.c: which executables are clients */
	u32 n_programs, programs_next;
	_Atomic pid_t callers[256]; /* by id: tasks that are known to be clients */
	bool said_setid, said_memory, said_tracer, said_uring; /* said once */
	const char *no_follow; /* names of programs that are not traced, nor what they start: "gdb,strace"; NULL: none */
	pid_t client_group; /* processes of this group are clients in any case; 0: none */
	_Atomic u64 calls; /* answered */
	int trace; /* files.c: where what programs print is written to; 0: nobody reads it. Under lock */
	struct guess guesses[64];
	struct inplace_want inplace;
	struct visit visit;
	_Atomic pid_t begins; /* a command that a client lets begin, stopped until it is followed; 0: none */
	_Atomic bool listens; /* tasks are behind a filter of ours */
	struct {
		_Atomic pid_t pid; /* 0: none */
		_Atomic pid_t by; /* the process that started it and reaps its orphans: this one, or the front of one that joined */
		_Atomic pid_t front; /* the process that stands for it, which is whom the user typed */
	} started[66]; /* commands that the user typed, and skep started */
	pid_t no_new_privs[64]; /* status.c: processes that asked for it; 0: none. Under lock */
	_Atomic bool entered; /* somebody has a folder of ours, so relative paths may lead to what is ours */
	struct fd_folder fd_folders[32]; /* by id */
	struct tree *watched; /* NULL: none is */
	struct {
		_Atomic pid_t thread; /* of this process, which runs a program; 0: none */
		/* that thread's alone: for whom; *info is filled when it is asked for */
		pid_t tid;
		struct task_info *info;
		bool known;
	} acting[32];
};

/* ---- answers ---- */

enum answer_kind {
	ANSWER_VALUE, /* the call returns value (or -errno) without having been made */
	ANSWER_FD, /* it returns a new descriptor of the client's, made from fd, which the door closes */
	ANSWER_CONTINUE, /* the kernel makes it */
	ANSWER_WAIT, /* it ends when wait_run() does, which the door calls in a thread of its own */
	ANSWER_ENTER, /* chdir(2) is made with the folder fd, which the door closes */
	ANSWER_WATCH, /* epoll_ctl(2) is made with a descriptor of the client's for the pipe fd of this process, edge-triggered (door->watches) */
};

struct answer {
	enum answer_kind kind;
	s64 value;
	int fd;
	bool cloexec;
	u32 ring; /* ANSWER_WATCH: which one, for as long as the client lives */
	struct ring_wait *wait; /* ANSWER_WAIT: the door's */
};

static inline struct answer answer_value(s64 value)
{
	return (struct answer){.kind = ANSWER_VALUE, .value = value};
}

static inline struct answer answer_fd(int fd, bool cloexec)
{
	return fd < 0 ? answer_value(fd) : (struct answer){.kind = ANSWER_FD, .fd = fd, .cloexec = cloexec};
}

static inline struct answer answer_continue(void)
{
	return (struct answer){.kind = ANSWER_CONTINUE};
}

/* ---- calls ---- */

struct call;

/* What only the way in knows how to do. */
struct door_ops {
	const char *name;
	/* A descriptor in this process of the client's epoll instance, or -errno: -ENOTSUP where the door has no such means. */
	int (*fetch)(struct call *c, int fd);
	bool watches; /* knows ANSWER_WATCH */
	void (*slow)(struct call *c); /* see call_slow(); NULL: of no matter here */
};

struct call {
	struct super *s;
	const struct door_ops *door;
	void *ticket; /* the door's own */
	pid_t tid;
	int nr;
	u64 args[6];
	u64 ip; /* behind its instruction; 0: not known */
};

typedef struct answer call_fn(struct call *c);

/* What a handler does next may take long, or wait for other threads: until then a door may keep all other calls waiting, as most are short. */
static inline void call_slow(struct call *c)
{
	if (c->door->slow)
		c->door->slow(c);
}

/* Is the call one that matters? All tests are on the low 32 bits of an argument, as the filter's are. */
struct call_row {
	int nr;
	call_fn *handler;
	u8 arg; /* tested */
	u8 test; /* 0: always; 1: only if (arg & mask) == value; 2: only if not */
	u32 mask, value;
	const char *name;
	const char *args; /* of calls on files: what the arguments are, a letter each (calls.def); "": of others */
	int in_bpffs, elsewhere; /* results of serve_path() */
};
enum { MADE = 1 }; /* in_bpffs: the call is made */
enum { CALL_ALWAYS, CALL_WHEN, CALL_UNLESS };

const struct call_row *call_row(int nr); /* NULL: of no interest */
bool call_matters(const struct call_row *row, const u64 args[6]);

#define CALL(name, handler, test)       call_fn handler;
#define FILE_CALL(name, handler, test, args) call_fn handler;
#define PATH_CALL(name, args, in_bpffs, elsewhere)
#include "client/supervise/calls.def"

/* ---- filter.c ---- */

struct sock_filter;
enum { FILTER_MAX = 2048 };
/* Which tasks go through it: all rows of calls.def are given to `action` (SECCOMP_RET_USER_NOTIF or _TRACE), x32 is refused. */
u32 filter_build(struct sock_filter *out, u32 action); /* out: FILTER_MAX of them */
/* no_new_privs, then the filter with a listener: its descriptor or -errno. */
int filter_listen(void);

/* ---- remote.c: memory and descriptors of another process ---- */

s64 remote_read(pid_t tid, u64 from, void *to, u64 size); /* bytes, or -errno */
int remote_get(pid_t tid, u64 from, void *to, u64 size); /* all of them, or -EFAULT, -EPERM, -ESRCH */
int remote_put(pid_t tid, u64 to, const void *from, u64 size);
int remote_text(pid_t tid, u64 from, char *to, size_t size); /* length, or -EFAULT, -ENAMETOOLONG */
struct obj *remote_object(struct super *s, pid_t tid, int fd, u32 type); /* the engine's object behind it, with a reference; NULL */
bool remote_has_fd(pid_t tid, int fd);
int remote_fd_mode(pid_t tid, int fd); /* O_RDONLY, O_WRONLY, O_RDWR; -errno */
pid_t remote_tgid(pid_t tid);
bool remote_descends(pid_t pid, pid_t root); /* does it live, and is root among its ancestors? */
int remote_fetch(struct call *c, int fd); /* by pidfd_getfd(2) */
void remote_open(struct super *s);

/* A descriptor of this process that means what the client's means to the engine. Borrowed ones are not closed. */
struct local_fd {
	int fd;
	bool own;
	struct obj *o; /* NULL: not one of the engine's */
};
void local_fd_open(struct call *c, int fd, struct local_fd *out);
void local_fd_close(struct local_fd *l);

/* ---- proc.c: what /proc tells of a task; false: there is none, or it is not told ---- */

struct proc_stat {
	char comm[16], state;
	pid_t parent; /* 0: none */
	int threads, cpu; /* the processor that it ran on last; -1: not told */
	u64 stack; /* of the process: where its arguments begin; 0: not told */
};
bool proc_stat(pid_t tid, struct proc_stat *out);
struct proc_map {
	u64 from, to, offset, dev, ino;
	bool writes, runs, shared;
	char path[PATH_MAX]; /* as the task sees it; "": no file */
};
FILE *proc_open(pid_t tid, const char *name); /* a file of /proc/TID */
bool proc_line(pid_t tid, const char *name, char *line, int size); /* its first line */
bool proc_next_map(FILE *maps, struct proc_map *out); /* of what proc_open() gave, which is closed in the end; false: there are no more */
bool proc_status(pid_t tid, const char *field, int base, u64 *out); /* the number behind "field:", 0 without one */
bool proc_status_text(pid_t tid, const char *field, char *line, int size); /* what is behind it, "" without one */
bool proc_comm(pid_t tid, char comm[16]);
bool proc_executed(pid_t tid, char *path, int size); /* the name by which its program was executed; of a script, the script's. 64-bit programs' alone */
bool proc_call(pid_t tid, int *nr); /* that it sleeps in; -1: it runs, or would where it had a processor */

/* ---- element.c ---- */
enum { BPF_ASKS_INSIDE = 0x7eee }; /* a command of bpf(2) that a supervisor answers with EBUSY, so that a second one knows */
bool serve_element(struct call *c, struct answer *out); /* a bpf(2) call about an element of a plain map; false: another one, which serve_bpf() is for */

/* ---- visit.c ---- */
bool visit_begin(struct call *c, unsigned wait_ms); /* true: fill in what for, then visit_ask() */
bool visit_ask(struct call *c); /* will it be visited, once its call is answered? */
struct answer enter_folder(struct call *c, int folder); /* for doors that cannot change a call's arguments: what its chdir(2) is answered with; takes folder */

/* ---- inplace.c ---- */
void inplace_found(struct call *c, struct obj *o); /* the call has looked something up in this map */

/* ---- places.c ---- */

enum place_kind {
	PLACE_HOST, /* nothing of ours: the kernel's */
	PLACE_NONE, /* does not exist here, whatever the host has */
	PLACE_PATH, /* a file of this user's at path (bpffs) */
	PLACE_TEXT, /* contents in text */
	PLACE_FOLDER, /* a folder whose entries are the lines of text */
};
struct place {
	enum place_kind kind;
	char asked[PATH_MAX]; /* as the client named it, absolute; "": by a relative path that is the kernel's */
	char path[PATH_MAX];
	char *text;
	size_t size;
	int error; /* PLACE_NONE: -errno */
	bool top; /* PLACE_PATH: where bpffs would be mounted */
	bool outside; /* PLACE_PATH: a file of the host's, that was named from a folder of ours */
};
/* The file that the client names, by a path in its memory, relative to its descriptor dir. 0 or -errno; then place_close() */
int place_find(struct call *c, int dir, u64 path, struct place *out);
int place_of_text(struct call *c, int dir, const char *path, struct place *out); /* a path that was copied */
void place_close(struct super *s, struct place *p);

int place_folder(struct super *s, const struct place *p, char *path, size_t size); /* PLACE_FOLDER: where it is a real one */
bool own_path(struct call *c, const char *path, const char *name); /* is it "/proc/self/NAME"? */
int own_fd_path(struct call *c, const char *path, const char *name); /* the N of "/proc/self/NAME/N", or -1 */
/* What lies at `at` on the host, as it is called here; false: nothing of ours. size bytes in `to` */
bool place_called(const struct super *s, const char *at, char *to, size_t size);
bool place_target(struct super *s, const char *text, char *to, size_t size); /* of a symbolic link: where it leads to on the host; false: where it says */
void places_close(struct super *s);

/* ---- files.c ---- */
call_fn serve_path; /* of PATH_CALL rows */
bool trace_tick(struct super *s); /* passes on what programs have printed; is there a reader? */

call_fn serve_status; /* an open of /proc/PID/status or stat alone */

int file_of_text(const char *text, size_t size); /* a descriptor for reading, or -errno */

/* ---- status.c ---- */
bool status_is(const char *path); /* may it be such a file? */
int status_open(struct call *c, const char *path); /* /proc/PID/status or stat as it would be without this supervisor; -errno: it is no such file, or nothing of ours */
void parent_started(struct super *s, pid_t pid, pid_t by, pid_t front); /* a command that the user typed; once more for the same front: in the place of the one before */
bool parent_ours(const struct super *s, pid_t pid); /* is it one of those commands, or what one of them started? */
pid_t parent_told(struct super *s, pid_t pid, pid_t parent); /* the parent that the process would have without this supervisor */

/* ---- identity.c ---- */
bool is_client(struct super *s, pid_t tid);
void client_seen(struct super *s, pid_t tid); /* it made a call that only clients make */

void tracer_seen(struct super *s, pid_t tid, u64 request, pid_t target); /* ptrace(2): says once that it is refused where skep traces the target already */
bool held_by_client(struct super *s, pid_t tid); /* does a client trace it? */
void uring_seen(struct super *s, pid_t tid); /* io_uring_setup(2): says once that what is done through it is not seen */
bool left_free(const struct super *s, pid_t tid); /* does it run a program of no_follow? */
void exec_seen(struct super *s, pid_t tid, const char *path); /* says once that a set-id program gets no privilege */

/* ---- tree.c: until acting_end() programs that this thread runs outside of events have `tid` as their task ---- */
void acting_begin(struct super *s, pid_t tid, struct task_info *room);
void acting_end(struct super *s);
const struct task_info *acting_for(struct super *s); /* NULL: nobody */

/* ---- pins.c ---- */
void pins_forget(struct super *s); /* pins whose files were removed let go of their objects */
void pins_close(struct super *s);

/* ---- wait.c: poll(2) and select(2) on rings ---- */
s64 wait_run(struct ring_wait *w); /* until something is ready, time is over, or the task must be let go: the call's result */
void wait_free(struct ring_wait *w);
int signal_came(pid_t tid); /* is there one that the task does not block? -1: the task is gone */

/* ---- poll.c: descriptors of rings in clients' epoll instances ---- */
void ring_watch(struct super *s, const struct obj *o); /* somebody waits for it */
u64 ring_unread(const struct obj *o); /* bytes that it holds for its reader */
bool rings_exist(struct super *s); /* false: there is none; true: maybe */
void rings_tick(struct super *s); /* rings that stay unread wake their readers again; called every few milliseconds while super_rings() */
bool rings_waiting(struct super *s);
bool rings_full(struct super *s); /* has some reader left more than half of its ring unread? */
bool rings_drained(struct super *s);

/* ---- super.c ---- */
int super_open(struct super *s, const char *name, struct skep *k);
struct answer super_serve(struct call *c); /* the handler's answer; what no row knows continues */
PRINTF_LIKE(2, 3) void super_say(struct super *s, const char *fmt, ...); /* a line on standard error */

/* ---- notify.c ---- */
/* Serves a listener in threads of its own until the last task behind it has ended; takes the descriptor. */
int notify_serve(struct super *s, int listener);

#endif
