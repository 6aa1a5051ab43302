/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entering a supervised shell from another terminal. The newcomer is a front, as that of the shell itself (front.c), and connects to a socket in this user's
 * directory, where it is told which door the shell has. Its child puts itself behind a filter of its own and gives the listener to the supervisor, or is
 * traced by it, and becomes the command. It is not a descendant of the supervisor, which Yama may forbid to look at. The connection stays: it
 * ends with either of the two.
 */
#include "client/supervise/session.h"
#include "client/supervise/traced.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ptrace.h>
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

/* Its front lives, which waits for its command, or a task is left behind its filter. */
static bool lives(const struct session *ss, u32 i, int ms)
{
	struct pollfd front = {.fd = ss->joined[i].socket}, tasks = {.fd = ss->joined[i].listener};

	return poll(&front, 1, ms) <= 0 || (tasks.fd >= 0 && (poll(&tasks, 1, ms) <= 0 || !(tasks.revents & (POLLHUP | POLLERR))));
}

bool joining_lives(const struct session *ss, u32 i)
{
	return lives(ss, i, 0);
}

/* A place whose last task has ended, or a new one; -1: there is none. */
static int place_for(struct session *ss)
{
	for (u32 i = 0; i < ss->n_joined; i++)
		if (!joining_lives(ss, i))
			return (int)i;
	return ss->n_joined < ARRAY_SIZE(ss->joined) ? (int)ss->n_joined : -1;
}

static int keep_fd(int fd, int in_place_of)
{
	if (fd < 0)
		return -1;
	return in_place_of >= 0 ? dup3(fd, in_place_of, O_CLOEXEC) : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* Both are kept for as long as somebody may ask whether anything is left: a place that is used again keeps their numbers. */
static int take_place(struct session *ss, int at, pid_t front, int socket, int listener)
{
	bool again = at < (int)ss->n_joined;
	int kept = keep_fd(listener, again ? ss->joined[at].listener : -1), held = keep_fd(socket, again ? ss->joined[at].socket : -1);

	if (held < 0 || (listener >= 0 && kept < 0)) {
		if (kept >= 0 && !again)
			close(kept);
		return -EMFILE;
	}
	ss->joined[at].listener = kept;
	ss->joined[at].socket = held;
	__atomic_store_n(&ss->joined[at].front, front, __ATOMIC_RELAXED);
	if (!again)
		__atomic_store_n(&ss->n_joined, ss->n_joined + 1, __ATOMIC_RELEASE);
	return 0;
}

/* It waits for an answer, which is begun anew after the stop. */
void joining_seize(struct session *ss)
{
	pid_t pid = atomic_load(&ss->newcomer);
	int err = tree_wanted(&ss->tree) ? tree_seize(&ss->tree, pid, SEIZE_FOLLOW) : 0;

	if (!err && traced_find(&ss->tree, pid))
		ptrace(PTRACE_INTERRUPT, pid, 0, 0);
	atomic_store(&ss->newcomer_error, err);
	atomic_store(&ss->newcomer, 0);
}

/* The thread that waits for children does it, unless there are none any more. */
static int have_seized(struct session *ss, pid_t pid)
{
	enum { TURNS = 10000, STEP_US = 200 };
	pid_t asked = pid;

	atomic_store(&ss->newcomer, pid);
	for (u32 i = 0; i < TURNS && atomic_load(&ss->newcomer); i++) {
		pthread_kill(ss->tree.thread, SIGUSR1);
		usleep(STEP_US);
	}
	return atomic_compare_exchange_strong(&ss->newcomer, &asked, 0) ? -ETIMEDOUT : atomic_load(&ss->newcomer_error);
}

/* One that has connected: which door there is, what its command sends, and what became of it (0, or -errno). */
static int take_in(struct session *ss, int fd, pid_t front)
{
	u8 door = ss->tree.answers ? DOOR_PTRACE : DOOR_NOTIFY;
	struct timeval patience = {.tv_sec = 10};
	int on = 1, listener, err, at = place_for(ss);
	pid_t command = 0;

	if (at < 0)
		return -EUSERS;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    send(fd, &door, sizeof(door), MSG_NOSIGNAL) != sizeof(door))
		return -errno;
	listener = session_receive(fd, &command);
	err = !command || (listener < 0) != (door == DOOR_PTRACE) ? -EPROTO : take_place(ss, at, front, fd, listener);
	if (err && listener >= 0)
		close(listener);
	err = err || door == DOOR_PTRACE ? err : notify_serve(&ss->super, listener);
	if (err)
		return err;
	parent_started(&ss->super, command, front, front);
	return have_seized(ss, command);
}

static void admit(struct session *ss, int fd)
{
	struct ucred who;
	socklen_t size = sizeof(who);
	s32 result;

	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) && who.uid == getuid()) {
		result = take_in(ss, fd, who.pid);
		(void)send(fd, &result, sizeof(result), MSG_NOSIGNAL);
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

bool joining_wait(struct session *ss)
{
	enum { MOMENT_MS = 250 };

	for (u32 i = 0; i < __atomic_load_n(&ss->n_joined, __ATOMIC_ACQUIRE); i++)
		if (lives(ss, i, MOMENT_MS))
			return true;
	return false;
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

struct newcomer {
	const char *name, *id;
	const char *const *argv;
	int socket;
	bool traced;
};

/* In the child of the front. Returns an exit status if it does not become the command. */
static int become(void *ud)
{
	const struct newcomer *n = ud;
	int listener = n->traced ? -1 : filter_listen();
	s32 result = -EPIPE;

	if (!n->traced && listener < 0) {
		fprintf(stderr, "%s: no notifications can be had here; `skep doctor` says what this host allows\n", n->name);
		return STATUS_SKEP_FAILED;
	}
	if (!session_send(n->socket, listener) && recv(n->socket, &result, sizeof(result), 0) != sizeof(result))
		result = -EPIPE;
	if (result) {
		fprintf(stderr, "%s: the shell '%s' does not take part: %s\n", n->name, n->id, strerror(-result));
		return STATUS_SKEP_FAILED;
	}
	if (listener >= 0)
		close(listener);
	execvp(n->argv[0], (char *const *)(uintptr_t)n->argv);
	fprintf(stderr, "%s: cannot run '%s': %s\n", n->name, n->argv[0], strerror(errno));
	return errno == ENOENT ? STATUS_NOT_FOUND : STATUS_NO_PERMISSION;
}

int join_run(const char *name, const char *id, const char *const *argv)
{
	struct newcomer n = {.name = name, .id = id, .argv = argv};
	struct super s;
	struct sockaddr_un to;
	struct probe yama;
	u8 door;

	front_hold_streams();
	if (probe_inside()) {
		fprintf(stderr, "%s: this process already runs inside of a supervised shell\n", name);
		return STATUS_SKEP_FAILED;
	}
	probe_yama(&yama);
	if (!yama.works) {
		fprintf(stderr, "%s: --join needs the right to look at processes of this user (%s); run the command in the shell itself\n", name, yama.detail);
		return STATUS_SKEP_FAILED;
	}
	if (super_open(&s, name, NULL) || address(&to, s.dir, id))
		return STATUS_SKEP_FAILED;
	close(s.foreign);
	n.socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (n.socket < 0 || connect(n.socket, (struct sockaddr *)&to, sizeof(to))) {
		fprintf(stderr, "%s: no supervised shell has the id '%s'", name, id);
		list_shells(s.dir);
		return STATUS_SKEP_FAILED;
	}
	if (recv(n.socket, &door, sizeof(door), 0) != sizeof(door)) {
		fprintf(stderr, "%s: the shell '%s' does not take part\n", name, id);
		return STATUS_SKEP_FAILED;
	}
	n.traced = door == DOOR_PTRACE;
	return front_join(name, n.socket, become, &n);
}
