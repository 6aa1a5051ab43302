/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outer [OPTION...] CMD [ARG...]: runs CMD on a host of another kind, as a container's runtime would make it. Options are carried out in this order:
 *
 *   --no-userns     in a user namespace with the same ids, where no further one can be made
 *   --filter FILE   behind the seccomp filter in FILE (docker.py makes them); more than one may be given, the last is asked first
 *   --uid N         as user and group N, without capabilities
 *   --caps MASK     with no other capabilities in any set, MASK in hexadecimal; a user that is not root has them in the bounding set only
 *
 * Exit status 125: it cannot be done here, the reason is on standard error.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILED = 125, MOST_FILTERS = 4, MOST_INSNS = 4096 };

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "outer: %s: %s\n", what, strerror(errno));
	exit(FAILED);
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

/* A process outside of the new namespace may map any ids; we ask one to. */
static void no_userns(void)
{
	char path[64], text[64];
	int pair[2], status;
	pid_t pid;

	if (pipe(pair))
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (!pid) {
		close(pair[1]);
		if (read(pair[0], text, 1) != 1)
			_exit(1);
		snprintf(text, sizeof(text), "0 0 65536\n");
		snprintf(path, sizeof(path), "/proc/%d/uid_map", getppid());
		if (write_text(path, text))
			_exit(1);
		snprintf(path, sizeof(path), "/proc/%d/gid_map", getppid());
		_exit(write_text(path, text) ? 1 : 0);
	}
	close(pair[0]);
	if (unshare(CLONE_NEWUSER))
		fail("unshare");
	if (write(pair[1], "", 1) != 1)
		fail("write");
	close(pair[1]);
	if (waitpid(pid, &status, 0) != pid || status) {
		errno = EPERM;
		fail("ids cannot be mapped");
	}
	if (write_text("/proc/sys/user/max_user_namespaces", "0\n"))
		fail("/proc/sys/user/max_user_namespaces");
}

static void install(const char *path)
{
	static struct sock_filter insns[MOST_INSNS];
	struct sock_fprog prog = {.filter = insns};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, insns, sizeof(insns));

	if (n < 0)
		fail(path);
	close(fd);
	prog.len = (unsigned short)((size_t)n / sizeof(insns[0]));
	if (!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return;
	/* without the right to, a filter needs no_new_privs, which a container's processes do not have */
	if (errno != EACCES || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		fail("seccomp");
}

static void drop(unsigned long long keep, bool root)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	for (int cap = 0; cap < 64; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) && errno != EINVAL)
			fail("the bounding set");
	for (int i = 0; i < 2 && root; i++)
		data[i].effective = data[i].permitted = (unsigned)(keep >> (32 * i));
	if (syscall(SYS_capset, &head, data))
		fail("capset");
}

/* The rest of the bounding set can be dropped by who has CAP_SETPCAP only: what root has is kept over the change of ids for that long. */
static void become(const char *uid)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	gid_t id = (gid_t)strtoul(uid, NULL, 10);

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id))
		fail("the user");
	if (syscall(SYS_capget, &head, data))
		fail("capget");
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	if (syscall(SYS_capset, &head, data))
		fail("capset");
}

struct host {
	const char *filters[MOST_FILTERS], *caps, *uid;
	int n_filters;
	bool no_userns;
};

/* Gives the index of the command; 0: the options are wrong. */
static int parse(int argc, char **argv, struct host *h)
{
	int at = 1;

	for (; at < argc && !strncmp(argv[at], "--", 2); at++) {
		const char *value = at + 1 < argc ? argv[at + 1] : NULL;

		if (!strcmp(argv[at], "--no-userns")) {
			h->no_userns = true;
			continue;
		}
		if (!value)
			return 0;
		if (!strcmp(argv[at], "--filter") && h->n_filters < MOST_FILTERS)
			h->filters[h->n_filters++] = value;
		else if (!strcmp(argv[at], "--caps"))
			h->caps = value;
		else if (!strcmp(argv[at], "--uid"))
			h->uid = value;
		else
			return 0;
		at++;
	}
	return at < argc ? at : 0;
}

int main(int argc, char **argv)
{
	struct host h = {0};
	int at = parse(argc, argv, &h);

	if (!at) {
		fprintf(stderr, "usage: outer [--no-userns] [--filter FILE] [--caps MASK] [--uid N] CMD [ARG...]\n");
		return FAILED;
	}
	if (h.no_userns)
		no_userns();
	for (int i = 0; i < h.n_filters; i++)
		install(h.filters[i]);
	if (h.uid)
		become(h.uid);
	if (h.uid || h.caps)
		drop(h.caps ? strtoull(h.caps, NULL, 16) : 0, getuid() == 0);
	execvp(argv[at], argv + at);
	perror(argv[at]);
	return 127;
}
