/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tasks are told of themselves and of each other that this supervisor has made of them: its being their tracer, its filter, and no_new_privs, which the filter
 * needs. /proc/PID/status is answered with a copy, and prctl(2) with what it would be. That a task asked for no_new_privs itself is noted; its children are known by
 * their parents, so one whose parent has ended may be told that it has not.
 */
#include "client/supervise/supervise.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- no_new_privs ---- */

static void note_privs(struct super *s, pid_t pid)
{
	const u32 most = ARRAY_SIZE(s->no_new_privs);

	pthread_mutex_lock(&s->lock);
	for (u32 i = 0; i < most; i++)
		if (!s->no_new_privs[i] || s->no_new_privs[i] == pid || kill(s->no_new_privs[i], 0)) {
			s->no_new_privs[i] = pid;
			break;
		}
	pthread_mutex_unlock(&s->lock);
}

static bool noted(struct super *s, pid_t pid)
{
	bool found = false;

	pthread_mutex_lock(&s->lock);
	for (u32 i = 0; i < ARRAY_SIZE(s->no_new_privs) && !found; i++)
		found = s->no_new_privs[i] == pid;
	pthread_mutex_unlock(&s->lock);
	return found;
}

static u64 asked_for_privs(struct super *s, pid_t tid)
{
	pid_t pid = remote_tgid(tid);
	struct proc_stat st;
	u64 host = 0;

	proc_status(getpid(), "NoNewPrivs", 10, &host);
	for (int depth = 0; !host && pid > 1 && pid != getpid() && depth < 4096; depth++) {
		host = noted(s, pid);
		pid = proc_stat(pid, &st) ? st.parent : 0;
	}
	return host;
}

/* ---- the filter ---- */

static u64 own_filters(const struct super *s, u64 filters)
{
	return filters - (s->listens && filters);
}

static u64 own_mode(u64 mode, u64 filters)
{
	return mode == SECCOMP_MODE_FILTER && !filters ? SECCOMP_MODE_DISABLED : mode;
}

struct answer serve_prctl(struct call *c)
{
	const u64 *a = c->args;
	u64 mode = 0, filters = 0;

	if (!c->s->listens)
		return answer_continue();
	switch ((u32)a[0]) {
	case PR_SET_NO_NEW_PRIVS:
		if (a[1] == 1 && !a[2] && !a[3] && !a[4])
			note_privs(c->s, remote_tgid(c->tid));
		break;
	case PR_GET_NO_NEW_PRIVS:
		if (!a[1] && !a[2] && !a[3] && !a[4])
			return answer_value((s64)asked_for_privs(c->s, c->tid));
		break;
	case PR_GET_SECCOMP:
		if (proc_status(c->tid, "Seccomp", 10, &mode) && proc_status(c->tid, "Seccomp_filters", 10, &filters))
			return answer_value((s64)own_mode(mode, own_filters(c->s, filters)));
		break;
	default: break;
	}
	return answer_continue();
}

/* ---- /proc/PID/status ---- */

/* The task whose file it is, 0: none that this supervisor has to do with. */
static pid_t whose(struct call *c, const char *path)
{
	const char *who = path + sizeof("/proc/") - 1, *rest;
	size_t n = strcspn(who, "/");
	pid_t tid;

	if (strncmp(path, "/proc/", sizeof("/proc/") - 1))
		return 0;
	rest = who + n;
	tid = n == 4 && !memcmp(who, "self", 4) ? remote_tgid(c->tid) : n == 11 && !memcmp(who, "thread-self", 11) ? c->tid : (pid_t)atoi(who);
	if (!strncmp(rest, "/task/", 6)) {
		tid = (pid_t)atoi(rest + 6);
		rest += 6 + strcspn(rest + 6, "/");
	}
	return tid > 0 && !strcmp(rest, "/status") && remote_descends(tid, getpid()) ? tid : 0;
}

/* Does it see the same /proc? */
static bool same_proc(pid_t tid)
{
	char path[64];
	struct stat root, here;

	snprintf(path, sizeof(path), "/proc/%d/root/proc", tid);
	return !stat(path, &root) && !stat("/proc", &here) && root.st_dev == here.st_dev && root.st_ino == here.st_ino;
}

static void add_line(struct call *c, pid_t tid, u64 filters, char *line, FILE *out)
{
	static const char *const fields[] = {"TracerPid", "NoNewPrivs", "Seccomp", "Seccomp_filters"};
	char *colon = strchr(line, ':');
	u64 value = colon ? strtoull(colon + 1, NULL, 10) : 0;
	u32 i = 0;

	while (i < ARRAY_SIZE(fields) && (!colon || strncmp(line, fields[i], (size_t)(colon - line)) != 0 || fields[i][colon - line]))
		i++;
	switch (i) {
	case 0: value = (pid_t)value == getpid() ? 0 : value; break;
	case 1: value = c->s->listens ? asked_for_privs(c->s, tid) : value; break;
	case 2: value = c->s->listens ? own_mode(value, own_filters(c->s, filters)) : value; break;
	case 3: value = own_filters(c->s, value); break;
	default: fputs(line, out); return;
	}
	fprintf(out, "%s:\t%llu\n", fields[i], (unsigned long long)value);
}

int status_open(struct call *c, const char *path)
{
	pid_t tid = whose(c, path);
	char line[4096], *text = NULL;
	size_t size = 0;
	u64 filters = 0;
	FILE *in = tid && same_proc(c->tid) ? proc_open(tid, "status") : NULL, *out = in ? open_memstream(&text, &size) : NULL;
	int fd = -ENOENT;

	if (in && c->s->listens)
		proc_status(tid, "Seccomp_filters", 10, &filters);
	while (out && fgets(line, sizeof(line), in))
		add_line(c, tid, filters, line, out);
	if (in)
		fclose(in);
	if (out && !fclose(out) && size)
		fd = file_of_text(text, size);
	free(text);
	return fd;
}
