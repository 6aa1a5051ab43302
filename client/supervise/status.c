/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tasks are told of themselves and of each other that this supervisor has made of them: its being their tracer, its filter, and no_new_privs, which the filter
 * needs. /proc/PID/status is answered with a copy, and prctl(2) with what it would be. That a task asked for no_new_privs itself is noted; its children are known by
 * their parents, so one whose parent has ended may be told that it has not.
 *
 * Whose parent this supervisor is would be the child of whoever typed the command, if it was started here, and an orphan's parent is process 1 where nobody else reaps.
 * The same holds for the front of a command that joined.
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

/* ---- the parent ---- */

/* One that joined has a place for as long as its front lives. */
void parent_started(struct super *s, pid_t pid, pid_t by, pid_t front)
{
	for (u32 i = 0; i < ARRAY_SIZE(s->started); i++) {
		pid_t there = atomic_load(&s->started[i].pid), starter = atomic_load(&s->started[i].by);

		if (there && (starter == getpid() || !kill(starter, 0)))
			continue;
		atomic_store(&s->started[i].by, by);
		atomic_store(&s->started[i].front, front);
		atomic_store(&s->started[i].pid, pid);
		return;
	}
}

bool parent_ours(const struct super *s, pid_t pid)
{
	if (remote_descends(pid, getpid()))
		return true;
	for (u32 i = 0; i < ARRAY_SIZE(s->started); i++) {
		pid_t by = atomic_load(&s->started[i].by);

		if (by && by != getpid() && remote_descends(pid, by))
			return true;
	}
	return false;
}

pid_t parent_told(struct super *s, pid_t pid, pid_t parent)
{
	struct proc_stat front;
	bool reaper = parent == getpid();

	for (u32 i = 0; i < ARRAY_SIZE(s->started); i++) {
		if (atomic_load(&s->started[i].by) != parent)
			continue;
		reaper = true;
		if (atomic_load(&s->started[i].pid) == pid)
			return proc_stat(atomic_load(&s->started[i].front), &front) ? front.parent : 1;
	}
	return reaper ? 1 : parent;
}

struct answer serve_ppid(struct call *c)
{
	struct proc_stat st;
	pid_t told;

	if (!proc_stat(c->tid, &st))
		return answer_continue();
	told = parent_told(c->s, remote_tgid(c->tid), st.parent);
	return told == st.parent ? answer_continue() : answer_value(told);
}

/* ---- /proc/PID/status and /proc/PID/stat ---- */

/* ".../status" or ".../stat", which are looked at twice; NULL: another file */
static const char *told_of(const char *path)
{
	const char *name = strrchr(path, '/');

	if (!name || strncmp(path, "/proc/", sizeof("/proc/") - 1))
		return NULL;
	return !strcmp(name, "/status") || !strcmp(name, "/stat") ? name : NULL;
}

bool status_is(const char *path)
{
	return told_of(path) != NULL;
}

/* The task whose file it is, 0: none that this supervisor has to do with. */
static pid_t whose(struct call *c, const char *path, const char *name)
{
	const char *who = path + sizeof("/proc/") - 1, *rest;
	size_t n = strcspn(who, "/");
	pid_t tid;

	rest = who + n;
	tid = n == 4 && !memcmp(who, "self", 4) ? remote_tgid(c->tid) : n == 11 && !memcmp(who, "thread-self", 11) ? c->tid : (pid_t)atoi(who);
	if (!strncmp(rest, "/task/", 6)) {
		tid = (pid_t)atoi(rest + 6);
		rest += 6 + strcspn(rest + 6, "/");
	}
	return tid > 0 && rest == name && parent_ours(c->s, tid) ? tid : 0;
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
	static const char *const fields[] = {"TracerPid", "NoNewPrivs", "Seccomp", "Seccomp_filters", "PPid"};
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
	case 4: value = (u64)parent_told(c->s, remote_tgid(tid), (pid_t)value); break;
	default: fputs(line, out); return;
	}
	fprintf(out, "%s:\t%llu\n", fields[i], (unsigned long long)value);
}

static void copy_status(struct call *c, pid_t tid, FILE *in, FILE *out)
{
	char line[4096];
	u64 filters = 0;

	if (c->s->listens)
		proc_status(tid, "Seccomp_filters", 10, &filters);
	while (fgets(line, sizeof(line), in))
		add_line(c, tid, filters, line, out);
}

/* Of a line, what is behind the name, which may hold any character: a letter, and the parent. */
static void copy_stat(struct call *c, pid_t tid, FILE *in, FILE *out)
{
	char line[4096], *name = fgets(line, sizeof(line), in) ? strrchr(line, ')') : NULL, *at = name ? name + strcspn(name, "0123456789") : NULL;

	if (at)
		fprintf(out, "%.*s%d%s", (int)(at - line), line, parent_told(c->s, remote_tgid(tid), atoi(at)), at + strspn(at, "0123456789"));
}

int status_open(struct call *c, const char *path)
{
	const char *name = told_of(path);
	bool stat = name && !strcmp(name, "/stat");
	pid_t tid = name ? whose(c, path, name) : 0;
	char *text = NULL;
	size_t size = 0;
	struct proc_stat st;
	FILE *in, *out;
	int fd = -ENOENT;

	if (!tid || (stat && (!proc_stat(tid, &st) || st.parent != getpid())) || !same_proc(c->tid))
		return -ENOENT;
	in = proc_open(tid, name + 1);
	out = in ? open_memstream(&text, &size) : NULL;
	if (out)
		(stat ? copy_stat : copy_status)(c, tid, in, out);
	if (in)
		fclose(in);
	if (out && !fclose(out) && size)
		fd = file_of_text(text, size);
	free(text);
	return fd;
}
