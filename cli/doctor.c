/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * skep doctor: what works on this host, found by trying it (client/supervise/probe.c), and what would improve it. Text and JSON come from the same
 * rows.
 */
#include "cli/cli.h"

#include "client/supervise/probe.h"
#include "client/supervise/tree.h"
#include "skep/skep.h"

#include <stdlib.h>
#include <sys/utsname.h>

struct doctor_args {
	bool json;
};

static const struct opt doctor_opts[] = {
	FLAG(struct doctor_args, json, 'j', "json", "print one JSON object"),
	OPTS_END,
};

/* ---- what the host allows ---- */

static const struct check {
	const char *name;
	void (*probe)(struct probe *p);
	const char *remedy; /* when it does not work; NULL: nothing is lost */
	bool inverted; /* that it works is the bad news */
	const char *unless[2]; /* other checks, whose failure explains this one */
} checks[] = {
	{"listener", probe_notify, "Linux 5.19 or newer: calls of clients then cost less than by ptrace stops", false, {"outer-filter"}},
	{"ptrace", probe_ptrace,
	 "Linux 5.3 or newer, kernel.yama.ptrace_scope below 2, and in a container a seccomp profile that allows ptrace(2): what tasks do is seen in its stops only", false, {NULL}},
	{"outer-filter", probe_outer,
	 "a seccomp profile that lets bpf(2), perf_event_open(2) and pidfd_getfd(2) pass (Docker: --cap-add BPF --cap-add PERFMON --cap-add SYS_PTRACE, or --security-opt "
	 "seccomp=FILE): calls of clients then cost less than by ptrace stops",
	 false, {NULL}},
	{"memory", probe_memory, "allow process_vm_readv(2) and process_vm_writev(2), with kernel.yama.ptrace_scope below 2: without them no argument of a call can be read",
	 false, {NULL}},
	{"proc-fd", probe_files, "mount /proc, without hidepid: what tasks are and hold is read there, and the door of ptrace stops hands descriptors over through it", false, {NULL}},
	{"pidfd_getfd", probe_getfd, "Linux 5.6 or newer, and no filter that refuses it: readers of rings can then be served by notifications", false, {"outer-filter", "memory"}},
	{"user-namespaces", probe_userns, NULL, false, {NULL}},
	{"yama", probe_yama, "sysctl kernel.yama.ptrace_scope=0 (from 3 by a reboot only): running processes can then be watched, and shells be joined", false, {NULL}},
	{"perf", probe_perf, NULL, false, {NULL}},
	{"io_uring", probe_io_uring, "sysctl kernel.io_uring_disabled=2, where programs use it and should be seen", true, {NULL}},
};

/* ---- who gets which door ---- */

static const char *door_name(enum door_kind kind)
{
	static const char *const names[] = {"none", "seccomp notification", "ptrace stops"};

	return names[kind];
}

struct finding {
	struct probe probes[ARRAY_SIZE(checks)];
	enum door_kind door; /* DOOR_AUTO: none */
	bool traces;
	bool inside; /* of a supervised shell: its engine answers, and what could be here does not matter */
	struct skep *k;
};

static const struct probe *probe_of(const struct finding *f, const char *name)
{
	for (u32 i = 0; i < ARRAY_SIZE(checks); i++)
		if (!strcmp(checks[i].name, name))
			return &f->probes[i];
	return NULL;
}

static void look(struct finding *f)
{
	char why[512];

	for (u32 i = 0; i < ARRAY_SIZE(checks); i++)
		checks[i].probe(&f->probes[i]);
	f->inside = probe_inside();
	if (door_choose(DOOR_AUTO, &f->door, why) || !probe_of(f, "memory")->works)
		f->door = DOOR_AUTO;
	f->traces = probe_of(f, "ptrace")->works && probe_of(f, "memory")->works;
	if (skep_open(&f->k, NULL))
		f->k = NULL;
}

static bool has_door(const struct finding *f)
{
	return f->inside || f->door != DOOR_AUTO;
}

static bool has_trace(const struct finding *f)
{
	return f->inside || (f->door != DOOR_AUTO && f->traces);
}

static bool has_attach(const struct finding *f)
{
	return !f->inside && has_trace(f) && probe_of(f, "yama")->works;
}

/* What needs a way in. */
static const struct kind {
	const char *name, *about;
	bool (*can)(const struct finding *f);
	bool traces; /* by ptrace stops, whatever clients get */
	const char *by; /* in a way of its own; NULL: a door */
} kinds[] = {
	{"clients", "programs that call bpf(2)", has_door, false, NULL},
	{"watched commands", "tasks whose calls, execs, exits and signals are events", has_trace, true, NULL},
	{"running processes", "the same for processes that were there before", has_attach, true, NULL},
	{"most probes", "programs at functions: what bpftrace and most tools make of them", has_trace, true, "inside the process"},
	{"other probes", "what cannot run there (docs/shell.md): some 10 us each", has_trace, true, "breakpoints"},
};

/* NULL: none */
static const char *way_of(const struct finding *f, const struct kind *k)
{
	return !k->can(f) ? NULL : k->by ? k->by : f->inside ? "the shell around" : k->traces ? door_name(DOOR_PTRACE) : door_name(f->door);
}

/* ---- which tools work ---- */

static const struct tool {
	const char *name, *hooks, *about;
} tools[] = {
#define TOOL(name, hooks, about) {#name, hooks, about},
#include "cli/tools.def"
};

static bool hook_exists(struct skep *k, const char *hook, size_t n)
{
	char path[256], *text = NULL;
	size_t size = 0;
	int err;

	if (n == 6 && !memcmp(hook, "uprobe", 6))
		return true;
	snprintf(path, sizeof(path), "/sys/kernel/tracing/events/%.*s/id", (int)n, hook);
	err = k ? hook_file(k, path, &text, &size) : -ENOENT;
	if (!err)
		hook_file_free(k, text, size);
	return !err;
}

/* What an engine has not, by the first part of a hook's name. */
static const struct lack {
	const char *group, *about;
} lack_table[] = {
	{"kernel", "functions and data of a kernel (kprobe, fentry)"},
	{"perf", "events of processors"},
	{"sched", "tracepoints of the scheduler (sched_switch, sched_wakeup)"},
	{"block", "tracepoints of disks (block)"},
	{"irq", "tracepoints of interrupts (irq)"},
	{"sock", "tracepoints of sockets (sock)"},
	{NULL, "other tracepoints"},
};

static const struct lack *lack_of(const char *hook, size_t n)
{
	const struct lack *l = lack_table;

	while (l->group && (strlen(l->group) >= n || hook[strlen(l->group)] != '/' || strncmp(l->group, hook, strlen(l->group)) != 0))
		l++;
	return l;
}

/* NULL: it works; otherwise what it lacks: *group is set where that is a hook. */
static const char *lacks(const struct finding *f, const struct tool *t, const struct lack **group, char *buf, size_t size)
{
	*group = NULL;
	if (!has_door(f))
		return "no way in";
	if (*t->hooks && !has_trace(f))
		return "tasks cannot be traced";
	for (const char *h = t->hooks; *h;) {
		size_t n = strcspn(h, " ");

		if (!hook_exists(f->k, h, n)) {
			*group = lack_of(h, n);
			snprintf(buf, size, "skep %s has no hook %.*s", skep_version(), (int)n, h);
			return buf;
		}
		h += n + (h[n] == ' ');
	}
	return NULL;
}

/* ---- telling ---- */

/* NULL: there is nothing to improve, or another check's remedy is the one. */
static const char *remedy_of(const struct finding *f, u32 i)
{
	if (f->inside || f->probes[i].works != checks[i].inverted)
		return NULL;
	for (u32 j = 0; j < ARRAY_SIZE(checks[i].unless); j++)
		if (checks[i].unless[j] && !probe_of(f, checks[i].unless[j])->works)
			return NULL;
	return checks[i].remedy;
}

static void print_tools(const struct cli *c, const struct finding *f)
{
	const struct lack *group;
	char buf[160];
	struct table t;

	printf("\n%stools%s\n", paint(c, PAINT_BOLD), paint(c, PAINT_NONE));
	table_open(&t, "lll");
	t.indent = 2;
	for (u32 i = 0; i < ARRAY_SIZE(tools); i++) {
		const char *why = lacks(f, &tools[i], &group, buf, sizeof(buf));

		if (group)
			continue;
		table_cell(&t, "%s", tools[i].name);
		table_cell(&t, "%s", why ? "no" : "yes");
		table_cell(&t, "%s", why ? why : tools[i].about);
	}
	table_close(&t, stdout);
}

/* Tools that nothing on this host would help: by what they lack, of which an engine has none. */
static void print_refused(const struct cli *c, const struct finding *f)
{
	enum { WIDTH = 100 };
	const struct lack *group;
	char buf[160];

	printf("\n%stools that need hooks of a kernel, which are refused when they attach%s\n", paint(c, PAINT_BOLD), paint(c, PAINT_NONE));
	for (u32 g = 0; g < ARRAY_SIZE(lack_table); g++) {
		size_t at = 0;

		for (u32 i = 0; i < ARRAY_SIZE(tools); i++) {
			size_t n = strlen(tools[i].name);

			lacks(f, &tools[i], &group, buf, sizeof(buf));
			if (group != &lack_table[g])
				continue;
			if (!at)
				printf("  %s\n", lack_table[g].about);
			if (at && at + n + 1 > WIDTH) {
				putchar('\n');
				at = 0;
			}
			printf("%s%s", at ? " " : "    ", tools[i].name);
			at += n + (at ? 1 : 4);
		}
		if (at)
			putchar('\n');
	}
}

static void print_text(const struct cli *c, struct finding *f)
{
	struct utsname u;
	struct table t;
	bool some = false;

	uname(&u);
	printf("%shost%s: %s %s%s\n", paint(c, PAINT_BOLD), paint(c, PAINT_NONE), u.sysname, u.release,
	       f->inside ? ", inside of a supervised shell, whose engine answers already" : "");
	table_open(&t, "lll");
	t.indent = 2;
	for (u32 i = 0; i < ARRAY_SIZE(checks); i++) {
		table_cell(&t, "%s", checks[i].name);
		table_cell(&t, "%s", f->probes[i].works ? "yes" : "no");
		table_cell(&t, "%s", f->probes[i].detail);
	}
	table_close(&t, stdout);
	printf("\n%sways in%s\n", paint(c, PAINT_BOLD), paint(c, PAINT_NONE));
	table_open(&t, "lll");
	t.indent = 2;
	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++) {
		const char *way = way_of(f, &kinds[i]);

		table_cell(&t, "%s", kinds[i].name);
		table_cell(&t, "%s", way ? way : "none");
		table_cell(&t, "%s", kinds[i].about);
	}
	table_close(&t, stdout);
	print_tools(c, f);
	for (u32 i = 0; i < ARRAY_SIZE(checks); i++) {
		const char *remedy = remedy_of(f, i);

		if (remedy && !some)
			printf("\n%swhat would improve it%s\n", paint(c, PAINT_BOLD), paint(c, PAINT_NONE));
		some = some || remedy;
		if (remedy)
			printf("  %s: %s\n", checks[i].name, remedy);
	}
	if (has_door(f))
		print_refused(c, f);
}

static void print_json(struct finding *f)
{
	struct utsname u;
	const struct lack *group;
	struct json j;
	char buf[160];

	uname(&u);
	json_open(&j, stdout);
	json_object(&j, NULL);
	json_text(&j, "version", skep_version());
	json_text(&j, "kernel", u.release);
	json_bool(&j, "inside", f->inside);
	json_object(&j, "host");
	for (u32 i = 0; i < ARRAY_SIZE(checks); i++) {
		const struct probe *p = &f->probes[i];

		json_object(&j, checks[i].name);
		json_bool(&j, "works", p->works);
		json_text(&j, "detail", p->detail);
		json_text(&j, "remedy", remedy_of(f, i));
		json_end(&j);
	}
	json_end(&j);
	json_object(&j, "ways");
	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++)
		json_text(&j, kinds[i].name, way_of(f, &kinds[i]));
	json_end(&j);
	json_object(&j, "tools");
	for (u32 i = 0; i < ARRAY_SIZE(tools); i++) {
		const char *why = lacks(f, &tools[i], &group, buf, sizeof(buf));

		json_object(&j, tools[i].name);
		json_bool(&j, "works", !why);
		json_text(&j, "shows", tools[i].about);
		json_text(&j, "lacks", why);
		json_array(&j, "hooks");
		for (const char *h = tools[i].hooks; *h;) {
			size_t n = strcspn(h, " ");

			snprintf(buf, sizeof(buf), "%.*s", (int)n, h);
			json_text(&j, NULL, buf);
			h += n + (h[n] == ' ');
		}
		json_end(&j);
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
}

static int run_doctor(struct cli *c)
{
	const struct doctor_args *args = c->args;
	struct finding f = {0};

	look(&f);
	if (args->json)
		print_json(&f);
	else
		print_text(c, &f);
	skep_close(f.k);
	return has_door(&f) ? STATUS_DONE : STATUS_FAILED;
}

static const struct example doctor_examples[] = {
	{"skep doctor", "What works here, and what would improve it."},
	{"skep doctor --json | jq -r '.ways.clients'", "How calls of clients are intercepted."},
	{NULL, NULL},
};

const struct verb verb_doctor = {
	.run = run_doctor,
	.opts = doctor_opts,
	.args_size = sizeof(struct doctor_args),
	.about = "Says which ways of supervising programs work on this host, which each kind of process gets, which tools can be used, and what would improve "
		 "it. Every line is found by trying. The exit status is 1 where there is no way in.",
	.examples = doctor_examples,
};
