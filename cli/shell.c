/* SPDX-License-Identifier: BSD-2-Clause */
/* skep shell: a process tree whose bpf(2) is answered by one engine (client/supervise). */
#include "cli/cli.h"

#include "client/supervise/session.h"

#include <stdlib.h>

struct shell_args {
	bool unused;
};

static const struct opt shell_opts[] = {
	OPTS_END,
};

static void started(struct session *ss, pid_t pid)
{
	ss->main_pid = pid;
	session_report(ss, REPORT_STARTED, pid);
}

static int run_session(struct session *ss, void *ud)
{
	struct spawn how = {.argv = ud, .fds = {-1, -1, -1}, .notify = true, .group = ss->group, .started = started};
	int exec_error;
	pid_t pid;

	if (session_open(ss)) {
		session_report(ss, REPORT_FAILED, 125);
		return 1;
	}
	pid = session_spawn(ss, &how, &exec_error);
	if (exec_error) {
		session_report(ss, REPORT_NO_EXEC, exec_error);
	} else if (pid < 0) {
		fprintf(stderr, "%s: %s\n", ss->name,
			pid == -EBUSY ? "this process already runs inside of a supervised shell, whose engine answers its calls"
				      : "seccomp notifications are refused here; `skep doctor` says what this host allows");
		session_report(ss, REPORT_FAILED, 125);
	} else {
		session_started(ss);
		session_wait(ss);
	}
	session_close(ss);
	return 0;
}

static int run_shell(struct cli *c)
{
	const char *shell = getenv("SHELL");
	const char *none[] = {shell && *shell ? shell : "/bin/sh", NULL};
	const char *const *argv = c->n_operands ? c->operands : none;

	return front_run("skep shell", argv, run_session, (void *)(uintptr_t)argv);
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
	.about = "Runs a shell, or CMD, whose whole process tree has skep as its bpf(2): programs inside load, attach and read eBPF as root does on a "
		 "kernel, and nothing of it needs a privilege. Jobs, signals, the terminal and the exit status are those of a plain command.",
	.examples = shell_examples,
};
