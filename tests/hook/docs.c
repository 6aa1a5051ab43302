/* SPDX-License-Identifier: BSD-2-Clause */
/* docs/hooks.md: what can be attached to, and the kernel types that programs read, as the tables say. --write writes it. */
#include "hook/hooks.h"
#include "../page.h"

static struct skep *k;

/* The fields of a format file that are not common to all. */
static void fields(struct text *out, u32 site)
{
	struct text t;
	const char *sep = "";

	text_open(&t, &mem_libc);
	site_format(site, &t);
	for (const char *line = strstr(text_str(&t), "\n\n\tfield:"); line; line = strstr(line + 1, "\tfield:")) {
		const char *at = strstr(line, "field:") + strlen("field:");

		text_addf(out, "%s`%.*s`", sep, (int)strcspn(at, ";"), at);
		sep = ", ";
		line = at;
	}
	text_close(&t);
}

static void tracepoints(struct text *t)
{
	char name[SITE_NAME];

	text_add(t, "| id | tracepoint | fields |\n| --- | --- | --- |\n");
	for (u32 s = 0; s < SITE_TRACEPOINTS; s++) {
		text_addf(t, "| %u | %s:%s | ", site_id(s), site_category(s), site_name(s, name));
		fields(t, s);
		text_add(t, " |\n");
	}
}

static void perf_hooks(struct text *t)
{
	const char *name, *about;

	text_add(t, "| hook | programs |\n| --- | --- |\n");
	for (u32 i = 0; (name = perf_hook(i, &about)); i++)
		text_addf(t, "| %s | %s |\n", name, about);
}

static void system_calls(struct text *t)
{
	char name[SITE_NAME];

	text_add(t, "| number | tracepoints | ids | fields of the entry |\n| --- | --- | --- | --- |\n");
	for (u32 s = SITE_TRACEPOINTS; s < site_count(); s += 2) {
		text_addf(t, "| %d | sys_enter_%s, sys_exit_%s | %u, %u | ", site_syscall(s), site_name(s, name) + strlen("sys_exit_"),
			  name + strlen("sys_exit_"), site_id(s + 1), site_id(s));
		fields(t, s + 1);
		text_add(t, " |\n");
	}
}

static bool seen[4096];

/* A struct, then those that its members lead to. */
static void one_struct(struct text *t, const struct btf *b, u32 id)
{
	const struct btf_type *type = btf_type(b, id);
	const struct btf_member *m;
	u32 n, next[64], n_next = 0;

	if (id >= ARRAY_SIZE(seen) || seen[id] || !type || !btf_is_struct(type))
		return;
	n = btf_vlen_of(type);
	seen[id] = true;
	m = btf_members_of(type);
	text_addf(t, "| %s |", *btf_name_of(b, type) ? btf_name_of(b, type) : "(of a typedef)");
	for (u32 i = 0; i < n; i++) {
		u32 to = m[i].type;
		const struct btf_type *of = btf_type(b, to);

		text_addf(t, "%s %s", i ? "," : "", btf_string(b, m[i].name_off));
		for (u32 depth = 0; depth < 8 && of && (btf_is_modifier(of) || btf_is_ptr(of) || btf_kind_of(of) == BTF_KIND_ARRAY); depth++) {
			to = btf_kind_of(of) == BTF_KIND_ARRAY ? btf_array_of(of)->type : of->type;
			of = btf_type(b, to);
		}
		if (n_next < ARRAY_SIZE(next))
			next[n_next++] = to;
	}
	text_add(t, " |\n");
	for (u32 i = 0; i < n_next; i++)
		one_struct(t, b, next[i]);
}

static void types(struct text *t)
{
	static const char *const roots[] = {"task_struct", "linux_binprm", "kernel_siginfo", "k_sigaction", "pt_regs"};
	static const char *const arguments[] = {"sockaddr", "sockaddr_in", "sockaddr_in6", "sockaddr_un", "user_msghdr", "mmsghdr", "iovec", "pollfd", "epoll_event", "stat", "statx", "statfs",
						"open_how", "linux_dirent64", "rlimit", "rusage", "sysinfo", "new_utsname", "tms", "utimbuf", "sembuf", "sched_attr", "perf_event_attr",
						"__kernel_timespec", "__kernel_itimerspec", "__kernel_old_timeval", "__kernel_old_itimerval", "__kernel_timex"};
	u32 n = 0;
	const struct btf *b = kernel_btf(k);

	text_add(t, "| struct | fields |\n| --- | --- |\n");
	memset(seen, 0, sizeof(seen));
	for (u32 i = 0; b && i < ARRAY_SIZE(roots); i++)
		one_struct(t, b, (u32)btf_find(b, roots[i], BTF_KIND_STRUCT));
	text_add(t, "\nBesides, as Linux has them, what pointers among the arguments of system calls lead to:");
	for (u32 i = 0; b && i < ARRAY_SIZE(arguments); i++)
		if (btf_find(b, arguments[i], BTF_KIND_STRUCT) > 0)
			text_addf(t, "%s `%s`", n++ ? "," : "", arguments[i]);
	text_add(t, ".\n");
}

static void write_all(struct text *t)
{
	text_add(t, "# Hooks\n\n"
		    "<!-- Written by `build/tests/hook/t-hook-docs --write` from src/kernel/*.def, src/hook/sources.def and types.h: do not edit. -->\n\n"
		    "Where programs can be attached. Events come from a door (`skep shell`, `skep trace`), or from whoever calls `task_event_*()` of src/hook/tasks.h.\n"
		    "Format files are Linux's, but for the ids, which are the same in every engine. Attaching to anything else is refused, by name, in the engine's log.\n\n"
		    "## Tracepoints\n\n"
		    "TRACEPOINT programs by perf event (a link, or PERF_EVENT_IOC_SET_BPF); RAW_TRACEPOINT programs by name; TRACING programs as tp_btf.\n\n");
	tracepoints(t);
	text_add(t, "\n## Clocks and functions\n\nBy perf_event_open(2).\n\n");
	perf_hooks(t);
	text_add(t, "\n## Kernel types\n\n"
		    "What programs can read, by CO-RE or typed pointers. A field that is not here does not exist: a program that needs it is refused when it is loaded.\n\n");
	types(t);
	text_add(t, "\n## System calls\n\nTRACEPOINT programs, category `syscalls`. An exit's only field is `long ret`.\n\n");
	system_calls(t);
}

static const struct page page = {"hooks.md", "hook/t-hook-docs", write_all};

TEST(the_committed_page_is_current)
{
	page_check(&page);
}

int main(int argc, char **argv)
{
	int status;

	if (skep_open(&k, NULL))
		return 1;
	if (page_asked(&page, argc, argv, &status))
		return status;
	RUN(the_committed_page_is_current);
	skep_close(k);
	return test_end();
}
