/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * skep trace: a client, and a command for it to watch. The client runs behind notifications; the command is traced from its start, behind a filter
 * that stops it at the calls that the client's programs are attached to and at no others.
 */
#include "cli/cli.h"

#include "client/supervise/breaks.h"
#include "client/supervise/guard.h"
#include "client/supervise/session.h"
#include "client/supervise/traced.h"
#include "sys/sys.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct trace_args {
	const char *output, *no_follow;
	bool drop;
	unsigned door;
	u64 wait, pid;
};

static const struct trace_args trace_defaults = {.wait = 10};

static const struct opt trace_opts[] = {
	TEXT(struct trace_args, output, 'o', "output", "FILE", "write what CLIENT prints to FILE instead of standard error"),
	FLAG(struct trace_args, drop, 0, "drop", "let records be lost when CLIENT reads them too slowly, as on a kernel, instead of slowing CMD down"),
	CHOICE(struct trace_args, door, 0, "door", "auto|notify|ptrace", "how CLIENT's calls are intercepted: by seccomp notifications, by ptrace stops, or as a probe finds (the default)"),
	NUMBER(struct trace_args, wait, 0, "wait", "SECONDS", 1, 3600, "how long CLIENT may take to attach; 10 by default"),
	NUMBER(struct trace_args, pid, 'p', "pid", "PID", 0, INT32_MAX, "watch a running process of this user instead of a command, until it or CLIENT ends"),
	TEXT(struct trace_args, no_follow, 0, "no-follow", "NAME[,NAME]", "programs of CMD that are not traced, nor what they start, so that they can trace others (gdb, strace, LeakSanitizer): what they do is not seen"),
	OPTS_END,
};

struct trace {
	const struct trace_args *args;
	const char **client, **command;
	int output;
	enum spawn_door door; /* the client's */
	u64 calls, worked; /* of the client: how many, and how much processor time it had had at the last */
	u64 looked, since; /* at the client; it has been asleep since */
};

/* ---- has the client attached? ---- */

/* The call that a process sleeps in; -1: it runs, or would where it had a processor. */
static int sleeps_in(pid_t pid)
{
	int nr;

	return proc_call(pid, &nr) ? nr : -1;
}

/* For events or time to come. */
static bool waits_for_events(pid_t pid)
{
	static const int waiting[] = {SYS_epoll_wait, SYS_epoll_pwait, SYS_poll, SYS_ppoll, SYS_select, SYS_pselect6, SYS_nanosleep, SYS_clock_nanosleep, SYS_pause};
	int nr = sleeps_in(pid);

	for (u32 i = 0; i < ARRAY_SIZE(waiting); i++)
		if (nr == waiting[i])
			return true;
	return false;
}

/* Processor time that it has had; where the kernel does not tell, the time that has passed. */
static u64 processor_ns(pid_t pid)
{
	unsigned long long ns;
	char path[64];
	FILE *f;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	f = fopen(path, "re");
	if (f) {
		n = fscanf(f, "%llu", &ns);
		fclose(f);
	}
	return n == 1 ? ns : os_clock_ns(CLOCK_MONOTONIC);
}

static void note_any(void *ud, const struct task_probe *p)
{
	(void)p;
	*(bool *)ud = true;
}

static bool some_attached(const struct session *ss)
{
	struct task_needs needs;
	bool probes = false;

	task_needs(ss->super.k, &needs);
	task_probes(ss->super.k, note_any, &probes);
	if (probes)
		return true;
	for (u32 i = 0; i < ARRAY_SIZE(needs.enter); i++)
		if (needs.enter[i] | needs.exit[i])
			return true;
	return needs.want || ss->super.k->table[OBJ_LINK].live || task_clock_next(ss->super.k);
}

/* R: runs, or would where it had a processor; S: sleeps until something happens; t: waits for us. */
static char state_of(pid_t pid)
{
	struct proc_stat st;

	return proc_stat(pid, &st) ? st.state : 0;
}

/* No call of bpf(2) for a while, of a client that could have made one: it sleeps whenever it is looked at, and for no answer of ours, or has worked on. */
static bool quiet(struct session *ss)
{
	enum { QUIET_NS = 50000000, LOOK_NS = 1000000, AWAY_NS = 20000000 };
	struct trace *t = ss->ud;
	u64 calls = atomic_load(&ss->super.calls), now = os_clock_ns(CLOCK_MONOTONIC), away = now - t->looked;
	bool called = calls != t->calls;
	char state;

	if (!called && away < LOOK_NS)
		return false;
	state = state_of(ss->client);
	t->calls = calls;
	t->looked = now;
	if (called)
		t->worked = processor_ns(ss->client);
	if (called || away > AWAY_NS || state != 'S' || call_row(sleeps_in(ss->client)))
		t->since = now;
	return now - t->since > QUIET_NS || (state == 'R' && processor_ns(ss->client) - t->worked > QUIET_NS);
}

static bool attached(struct session *ss)
{
	return !ss->client || front_ended_by() || (some_attached(ss) && (quiet(ss) || waits_for_events(ss->client)));
}

/* ---- the client ---- */

static int open_output(struct trace *t)
{
	const char *path = t->args->output;

	if (!path)
		return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	t->output = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return t->output;
}

/* libbpf puts this call where a type or field is used that the kernel's types do not have, and names it in its own messages. */
#define NO_SUCH_FIELD "unknown#195896080"

static int client_failed(struct session *ss, const char *name, bool ended)
{
	int status = ss->client_status;
	char told[512];

	session_told(ss, told);
	if (told[0])
		fprintf(stderr, "%s: the last that was refused: %s%s\n", ss->name, told,
			strstr(told, NO_SUCH_FIELD) ? ": it needs a type or field of the kernel's that does not exist here, see above" : "");
	if (!ended)
		fprintf(stderr, "%s: %s attached nothing; `skep doctor` says which tools work here, --wait gives it more time\n", ss->name, name);
	else if (WIFSIGNALED(status))
		fprintf(stderr, "%s: %s was killed by signal %d before it had attached\n", ss->name, name, WTERMSIG(status));
	else
		fprintf(stderr, "%s: %s ended with status %d before it had attached; `skep doctor` says what works here, SKEP_LOG=1 shows all that was refused\n", ss->name,
			name, WEXITSTATUS(status));
	return STATUS_SKEP_FAILED;
}

static void client_started(struct session *ss, pid_t pid)
{
	const struct trace *t = ss->ud;
	int err = ss->tree.answers ? tree_seize(&ss->tree, pid, SEIZE_SILENT) : 0;

	ss->client = pid;
	ss->super.client_group = getpgid(pid);
	if (err)
		super_say(&ss->super, "the client cannot be traced: %s; `skep doctor` says what this host allows", strerror(-err));
	if (t->args->pid) { /* it is what jobs, stops and signals are about */
		ss->hold_report = true;
		ss->main_pid = pid;
		session_report(ss, REPORT_STARTED, pid);
	}
}

static int start_client(struct session *ss, struct trace *t)
{
	struct spawn how = {.argv = t->client, .fds = {-1, t->output, t->output}, .door = t->door, .started = client_started,
			    .group = t->args->pid ? ss->group : 0};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), exec_error;
	pid_t pid;

	how.fds[0] = null;
	pid = session_spawn(ss, &how, &exec_error);
	close(null);
	if (exec_error)
		fprintf(stderr, "%s: cannot run the client '%s': %s\n", ss->name, t->client[0], strerror(exec_error));
	else if (pid < 0)
		fprintf(stderr, "%s: the client's calls cannot be answered here (%s); `skep doctor` says what this host allows\n", ss->name, strerror(-pid));
	if (pid < 0)
		return STATUS_SKEP_FAILED;
	if (!session_wait_until(ss, attached, (unsigned)t->args->wait * 1000) || (!ss->client && !front_ended_by()))
		return client_failed(ss, t->client[0], !ss->client);
	return 0;
}

static bool client_ended(struct session *ss)
{
	return !ss->client;
}

static bool drained(struct session *ss)
{
	task_inside_fetch(ss->super.k);
	return !ss->client || rings_drained(&ss->super);
}

/* As its user would: Ctrl-C, once it has read what is left. */
static void end_client(struct session *ss)
{
	enum { DRAIN_MS = 5000, PRINT_MS = 20, END_MS = 5000 };
	static const int signals[] = {SIGINT, SIGTERM, SIGKILL};
	const struct trace *t = ss->ud;
	pid_t group = ss->client;

	tree_unseen(&ss->tree);
	session_wait_until(ss, drained, DRAIN_MS);
	session_wait_until(ss, client_ended, PRINT_MS);
	for (u32 i = 0; i < ARRAY_SIZE(signals) && ss->client; i++) {
		kill(t->args->pid ? group : -group, signals[i]);
		session_wait_until(ss, client_ended, END_MS);
	}
}

/* ---- the command ---- */

/* A filter stays for a task's life, so who may be let go has none. */
static bool stops_by_filter(const struct session *ss)
{
	return !ss->tree.answers && !ss->super.no_follow;
}

static void command_started(struct session *ss, pid_t pid)
{
	bool filter = stops_by_filter(ss);
	int err = tree_seize(&ss->tree, pid, filter ? SEIZE_FILTERED : SEIZE_WATCHED);

	ss->main_pid = pid;
	if (!err && !filter) /* stops at calls begin with a stop */
		ptrace(PTRACE_INTERRUPT, pid, 0, 0);
	if (err)
		super_say(&ss->super, "the command cannot be traced: %s; `skep doctor` says what this host allows", strerror(-err));
	session_report(ss, REPORT_STARTED, pid);
}

static bool command_ended(struct session *ss)
{
	return ss->main_gone;
}

static void run_command(struct session *ss, struct trace *t)
{
	struct sock_filter filter[FILTER_MAX];
	struct spawn how = {.argv = t->command, .fds = {-1, -1, -1}, .door = stops_by_filter(ss) ? SPAWN_TRACE : SPAWN_PLAIN, .group = ss->group, .started = command_started, .filter = filter};
	int exec_error;
	pid_t pid;

	breaks_needs(&ss->tree);
	how.filter_size = filter_trace(filter, &ss->tree.needs);
	ss->hold_report = true;
	ss->tree.wait_for_rings = ss->tree.door.waits = !t->args->drop;
	pid = session_spawn(ss, &how, &exec_error);
	session_started(ss);
	if (pid > 0)
		session_wait_until(ss, command_ended, 0);
	end_client(ss);
	if (exec_error) {
		session_report(ss, REPORT_NO_EXEC, exec_error);
	} else if (pid < 0) {
		fprintf(stderr, "%s: cannot start '%s': %s\n", ss->name, t->command[0], strerror(-pid));
		session_report(ss, REPORT_FAILED, STATUS_SKEP_FAILED);
	} else {
		session_report(ss, REPORT_ENDED, ss->main_status);
	}
	session_wait(ss); /* what the command left behind in the background still needs its stops served */
}

/* ---- or a process that runs already ---- */

/* A process that has ended is there until its parent takes notice, which may never be. */
static bool has_ended(pid_t pid)
{
	struct proc_stat st;

	return (kill(pid, 0) && errno == ESRCH) || (proc_stat(pid, &st) && (st.state == 'Z' || st.state == 'X') && st.threads <= 1);
}

/* Threads of a process have ids of their own, and entries in /proc that are not listed. */
static bool is_thread(pid_t pid)
{
	return remote_tgid(pid) != pid;
}

/* Asked before the client is started, by what an attempt to attach would be refused for. */
static bool can_watch(const char *name, pid_t pid)
{
	u64 tracer = 0, uid = getuid();
	char byte;
	int err;

	if (has_ended(pid)) {
		fprintf(stderr, "%s: there is no process %d%s\n", name, pid, kill(pid, 0) ? "" : ": it has ended");
		return false;
	}
	if (is_thread(pid)) {
		fprintf(stderr, "%s: %d is a thread of process %d: watch that\n", name, pid, remote_tgid(pid));
		return false;
	}
	proc_status(pid, "TracerPid", 10, &tracer);
	proc_status(pid, "Uid", 10, &uid);
	err = (int)remote_read(pid, 0, &byte, 1);
	if (tracer && err != -EPERM)
		fprintf(stderr, "%s: process %d cannot be watched: process %d traces it already\n", name, pid, (int)tracer);
	else if (err == -EPERM && (uid_t)uid != getuid())
		fprintf(stderr, "%s: process %d cannot be watched: it belongs to another user (uid %d)\n", name, pid, (int)uid);
	else if (err == -EPERM)
		fprintf(stderr, "%s: process %d cannot be watched: the kernel does not let this user trace it; `skep doctor` says what this host allows\n", name, pid);
	else if (err == -ESRCH)
		fprintf(stderr, "%s: process %d cannot be watched: it is a thread of the kernel, or ends\n", name, pid);
	return !tracer && err != -EPERM && err != -ESRCH;
}

static bool over(struct session *ss)
{
	const struct trace *t = ss->ud;

	return !ss->client || (!traced_find(&ss->tree, (pid_t)t->args->pid) && has_ended((pid_t)t->args->pid));
}

static int watch_process(struct session *ss, struct trace *t)
{
	pid_t pid = (pid_t)t->args->pid, guard;
	int err, status;
	bool ended;

	guard = guard_start(&ss->tree.guard);
	if (guard > 0)
		session_report(ss, REPORT_GUARDED, guard);
	breaks_needs(&ss->tree);
	ss->tree.wait_for_rings = ss->tree.door.waits = !t->args->drop;
	err = tree_attach(&ss->tree, pid, SEIZE_GUEST);
	breaks_update(&ss->tree);
	if (err) {
		fprintf(stderr, "%s: process %d cannot be watched: %s; `skep doctor` says what this host allows\n", ss->name, pid, has_ended(pid) ? "it has ended" : strerror(-err));
		end_client(ss);
		return STATUS_SKEP_FAILED;
	}
	session_started(ss);
	session_wait_until(ss, over, 0);
	ended = !ss->client;
	end_client(ss);
	status = ss->client_status;
	return WIFEXITED(status) ? WEXITSTATUS(status) : ended ? 128 + WTERMSIG(status) : 0;
}

static int run_session(struct session *ss, void *ud)
{
	struct trace *t = ud;
	int status;

	ss->ud = t;
	if (session_door(ss, (enum door_kind)t->args->door, &t->door) || session_open(ss)) {
		session_report(ss, REPORT_FAILED, STATUS_SKEP_FAILED);
		return 1;
	}
	ss->super.no_follow = t->args->no_follow;
	t->output = open_output(t);
	if (t->output < 0)
		fprintf(stderr, "%s: cannot write %s: %s\n", ss->name, t->args->output ? t->args->output : "to standard error", strerror(errno));
	status = t->output < 0 ? STATUS_SKEP_FAILED : start_client(ss, t);
	if (!status && t->args->pid) {
		session_report(ss, REPORT_FAILED, watch_process(ss, t));
	} else if (status || front_ended_by()) {
		end_client(ss);
		session_report(ss, status ? REPORT_FAILED : REPORT_ENDED, status ? status : front_ended_by());
	} else {
		run_command(ss, t);
	}
	tree_close(&ss->tree);
	guard_end(ss->tree.guard);
	session_close(ss);
	return 0;
}

static int run_trace(struct cli *c)
{
	struct trace t = {.args = c->args, .client = c->operands, .output = -1};
	unsigned i = 0;

	while (i < c->n_operands && strcmp(c->operands[i], "--") != 0)
		i++;
	if (t.args->pid && i < c->n_operands)
		return cli_usage(c, "either a command to run or a process to watch (-p), not both");
	if (t.args->pid) {
		if (!can_watch("skep trace", (pid_t)t.args->pid))
			return STATUS_SKEP_FAILED;
		t.command = t.client;
		return front_run("skep trace", t.client, run_session, &t);
	}
	if (!i || i + 1 >= c->n_operands)
		return cli_usage(c, i ? "no command to watch: skep trace %s ... -- CMD" : "no client: skep trace CLIENT [ARG...] -- CMD", c->operands[0]);
	c->operands[i] = NULL;
	t.command = c->operands + i + 1;
	return front_run("skep trace", t.command, run_session, &t);
}

static const struct example trace_examples[] = {
	{"skep trace opensnoop -- make", "The files that make and all it starts open, as an ordinary user."},
	{"skep trace -o execs.txt execsnoop -- ./configure", "Every program that is run, in a file."},
	{"skep trace bpftrace -e 'tracepoint:syscalls:sys_enter_openat { @[comm] = count(); }' -- ls", "A one-liner."},
	{"skep trace -p 1234 syscount", "The calls of a running process, until Ctrl-C.",},
	{NULL, NULL},
};

const struct verb verb_trace = {
	.run = run_trace,
	.opts = trace_opts,
	.args_size = sizeof(struct trace_args),
	.defaults = &trace_defaults,
	.operands = "CLIENT [ARG...] [-- CMD [ARG...]]",
	.min_operands = 1,
	.max_operands = UINT32_MAX,
	.stops_at_operand = true,
	.usage_status = STATUS_SKEP_FAILED, /* others are the command's */
	.about = "Starts CLIENT, an unmodified tool of eBPF, waits until it has attached its programs, and runs CMD for it to watch; when CMD ends, CLIENT is "
		 "given time to read what is left and ended as by Ctrl-C. Signals to skep alone are passed on to CMD. The exit status is CMD's. No privilege is needed.",
	.examples = trace_examples,
};
