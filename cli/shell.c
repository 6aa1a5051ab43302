/* SPDX-License-Identifier: BSD-2-Clause */
/* skep shell: a process tree whose bpf(2) is answered by one engine (client/supervise). */
#include "cli/cli.h"

#include "client/supervise/session.h"

#include <stdlib.h>

struct shell_args {
	unsigned door;
	const char *join, *no_follow;
};

static const struct opt shell_opts[] = {
	CHOICE(struct shell_args, door, 0, "door", "auto|notify|ptrace", "how calls are intercepted: by seccomp notifications, by ptrace stops, or as a probe finds (the default)"),
	TEXT(struct shell_args, join, 0, "join", "ID", "run CMD in the shell that is there already: ID is the process id of its skep shell"),
	TEXT(struct shell_args, no_follow, 0, "no-follow", "NAME[,NAME]", "programs that are not traced, nor what they start, so that they can trace others (gdb, strace, LeakSanitizer): what they do is not seen"),
	OPTS_END,
};

static void started(struct session *ss, pid_t pid)
{
	int err = ss->tree.answers ? tree_seize(&ss->tree, pid, SEIZE_FOLLOW) : 0;

	if (err)
		super_say(&ss->super, "the command cannot be traced: %s; `skep doctor` says what this host allows", strerror(-err));
	ss->main_pid = pid;
	session_report(ss, REPORT_STARTED, pid);
}

struct shell {
	const char *const *argv;
	enum door_kind door;
	const char *no_follow;
};

static int run_session(struct session *ss, void *ud)
{
	const struct shell *sh = ud;
	struct spawn how = {.argv = sh->argv, .fds = {-1, -1, -1}, .group = ss->group, .started = started};
	int exec_error;
	pid_t pid;

	if (session_door(ss, sh->door, &how.door) || session_open(ss)) {
		session_report(ss, REPORT_FAILED, STATUS_SKEP_FAILED);
		return 1;
	}
	ss->follows = true;
	ss->super.no_follow = sh->no_follow;
	pid = session_spawn(ss, &how, &exec_error);
	if (exec_error) {
		session_report(ss, REPORT_NO_EXEC, exec_error);
	} else if (pid < 0) {
		fprintf(stderr, "%s: cannot start '%s': %s\n", ss->name, sh->argv[0], strerror(-pid));
		session_report(ss, REPORT_FAILED, STATUS_SKEP_FAILED);
	} else {
		session_started(ss);
		joining_open(ss);
		session_wait(ss);
	}
	session_close(ss);
	return 0;
}

static int run_shell(struct cli *c)
{
	const char *shell = getenv("SHELL");
	const char *none[] = {shell && *shell ? shell : "/bin/sh", NULL};
	const struct shell_args *args = c->args;
	struct shell sh = {.argv = c->n_operands ? c->operands : none, .door = (enum door_kind)args->door, .no_follow = args->no_follow};

	if (args->join)
		return join_run("skep shell", args->join, sh.argv);
	return front_run("skep shell", sh.argv, run_session, &sh);
}

static const struct example shell_examples[] = {
	{"skep shell", "A shell in which bpftool, opensnoop and other tools of eBPF work, without root."},
	{"skep shell bpftool prog load prog.o /sys/fs/bpf/prog", "One command."},
	{NULL, NULL},
};

const struct verb verb_shell = {
	.run = run_shell,
	.opts = shell_opts,
	.args_size = sizeof(struct shell_args),
	.operands = "[CMD [ARG...]]",
	.max_operands = UINT32_MAX,
	.stops_at_operand = true,
	.usage_status = STATUS_SKEP_FAILED, /* others are the command's */
	.about = "Runs a shell, or CMD, whose whole process tree has skep as its bpf(2): programs inside load, attach and read eBPF as root does on a "
		 "kernel, and nothing of it needs a privilege. Jobs, signals, the terminal and the exit status are those of a plain command.",
	.examples = shell_examples,
};
