/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entering a supervised shell from another terminal: the newcomer puts itself behind a filter of its own, gives the listener to the supervisor over a socket
 * in this user's directory, and becomes the command. It is not a descendant of the supervisor, which Yama may forbid to look at.
 */
#include "client/supervise/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int address(struct sockaddr_un *to, const char *dir, const char *id)
{
	*to = (struct sockaddr_un){.sun_family = AF_UNIX};
	return snprintf(to->sun_path, sizeof(to->sun_path), "%s/shell-%s", dir, id) < (int)sizeof(to->sun_path) ? 0 : -ENAMETOOLONG;
}

/* ---- the supervisor's side ---- */

bool joining_lives(const struct session *ss, u32 i)
{
	struct pollfd p = {.fd = ss->joined[i].listener};

	return poll(&p, 1, 0) <= 0 || !(p.revents & (POLLHUP | POLLERR));
}

/* A place whose last task has ended, or a new one; -1: there is none. */
static int place_for(struct session *ss)
{
	for (u32 i = 0; i < ss->n_joined; i++)
		if (!joining_lives(ss, i))
			return (int)i;
	return ss->n_joined < ARRAY_SIZE(ss->joined) ? (int)ss->n_joined : -1;
}

/* The listener is kept for as long as somebody may ask whether its last task has ended: a place that is used again keeps its number. */
static int take_place(struct session *ss, int at, pid_t pid, int listener)
{
	bool again = at < (int)ss->n_joined;
	int kept = again ? dup3(listener, ss->joined[at].listener, O_CLOEXEC) : fcntl(listener, F_DUPFD_CLOEXEC, 3);

	if (kept < 0)
		return -errno;
	ss->joined[at].listener = kept;
	__atomic_store_n(&ss->joined[at].pid, pid, __ATOMIC_RELAXED);
	if (!again)
		__atomic_store_n(&ss->n_joined, ss->n_joined + 1, __ATOMIC_RELEASE);
	return 0;
}

static void admit(struct session *ss, int fd)
{
	struct ucred who;
	socklen_t size = sizeof(who);
	int listener = -EPERM, at = place_for(ss);

	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) && who.uid == getuid())
		listener = session_receive(fd);
	if (listener >= 0 && (at < 0 || take_place(ss, at, who.pid, listener)))
		close(listener);
	else if (listener >= 0 && !notify_serve(&ss->super, listener)) {
		atomic_store(&ss->tree.changed, true); /* what is wanted of all tasks is wanted of these */
		(void)send(fd, "", 1, MSG_NOSIGNAL);
	}
	close(fd);
}

static void *admit_all(void *arg)
{
	struct session *ss = arg;
	int fd;

	while ((fd = accept4(ss->door_socket, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno == EINTR || errno == ECONNABORTED)
		if (fd >= 0)
			admit(ss, fd);
	return NULL;
}

void joining_open(struct session *ss)
{
	struct sockaddr_un to;
	char id[16];
	pthread_t t;

	ss->door_socket = -1;
	snprintf(id, sizeof(id), "%d", getppid());
	if (!ss->super.dir[0] || address(&to, ss->super.dir, id))
		return;
	ss->door_socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	unlink(to.sun_path);
	if (ss->door_socket < 0 || bind(ss->door_socket, (struct sockaddr *)&to, sizeof(to)) || listen(ss->door_socket, 8) ||
	    pthread_create(&t, NULL, admit_all, ss))
		return; /* nobody can join; the rest works */
	pthread_detach(t);
	snprintf(ss->door_path, sizeof(ss->door_path), "%s", to.sun_path);
}

void joining_close(struct session *ss)
{
	if (ss->door_path[0])
		unlink(ss->door_path);
}

void joining_forget(const char *name)
{
	struct super s;
	struct sockaddr_un to;
	char id[16];

	snprintf(id, sizeof(id), "%d", getpid());
	if (super_open(&s, name, NULL))
		return;
	if (s.dir[0] && !address(&to, s.dir, id))
		unlink(to.sun_path);
	close(s.foreign);
}

/* Until the last of those who joined, and of what they started, has ended. */
void joining_wait(struct session *ss)
{
	for (u32 i = 0; i < __atomic_load_n(&ss->n_joined, __ATOMIC_ACQUIRE); i++) {
		struct pollfd p = {.fd = ss->joined[i].listener};

		while (poll(&p, 1, 1000) < 0 || !(p.revents & (POLLHUP | POLLERR | POLLNVAL)))
			;
	}
}

/* ---- the newcomer's ---- */

static void list_shells(const char *dir)
{
	DIR *d = opendir(dir);
	bool some = false;

	for (struct dirent *e; d && (e = readdir(d));)
		if (!strncmp(e->d_name, "shell-", 6) && !kill((pid_t)atoi(e->d_name + 6), 0)) {
			fprintf(stderr, "%s%s", some ? ", " : "; running: ", e->d_name + 6);
			some = true;
		}
	if (d)
		closedir(d);
	fprintf(stderr, "%s\n", some ? "" : "; none is running: `skep shell` starts one");
}

int join_run(const char *name, const char *id, const char *const *argv)
{
	struct super s;
	struct sockaddr_un to;
	struct probe yama;
	char ack;
	int fd, listener;

	probe_yama(&yama);
	if (!yama.works) {
		fprintf(stderr, "%s: --join needs the right to look at processes of this user (%s); run the command in the shell itself\n", name, yama.detail);
		return STATUS_SKEP_FAILED;
	}
	if (super_open(&s, name, NULL) || address(&to, s.dir, id))
		return STATUS_SKEP_FAILED;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		fprintf(stderr, "%s: no supervised shell has the id '%s'", name, id);
		list_shells(s.dir);
		return STATUS_SKEP_FAILED;
	}
	listener = filter_listen();
	if (listener < 0) {
		fprintf(stderr, "%s: %s; `skep doctor` says what this host allows\n", name,
			listener == -EBUSY ? "this process runs inside of a supervised shell already" : "no notifications can be had here");
		return STATUS_SKEP_FAILED;
	}
	if (session_send(fd, listener) || recv(fd, &ack, 1, 0) != 1) {
		fprintf(stderr, "%s: the shell '%s' does not take part\n", name, id);
		return STATUS_SKEP_FAILED;
	}
	close(listener);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	fprintf(stderr, "%s: cannot run '%s': %s\n", name, argv[0], strerror(errno));
	return errno == ENOENT ? STATUS_NOT_FOUND : STATUS_NO_PERMISSION;
}
