/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals that tasks of the tree send each other, as signal:signal_generate tells of them. An event is told when the call begins, as what was sent to may
 * have ended before the call has: so whether the kernel carries it out, and what becomes of the signal, is found as the kernel finds it
 * (kernel/signal.c of Linux 6.12: who may signal whom, what is ignored, what is pending already).
 */
#include "client/supervise/traced.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the calls ---- */

enum { NO_ARG = 6 };

enum receiver { RECEIVER_ANY, RECEIVER_PROCESS, RECEIVER_THREAD, RECEIVER_PIDFD }; /* what a call's argument says; any: also a group, or all */

static const struct sending {
	int nr;
	enum receiver receiver;
	u8 of, to, sig, info; /* arguments; of: the thread group of `to`; info: where a siginfo_t lies */
} sendings[] = {
	{SYS_kill, RECEIVER_ANY, NO_ARG, 0, 1, NO_ARG},
	{SYS_tkill, RECEIVER_THREAD, NO_ARG, 0, 1, NO_ARG},
	{SYS_tgkill, RECEIVER_THREAD, 0, 1, 2, NO_ARG},
	{SYS_rt_sigqueueinfo, RECEIVER_PROCESS, NO_ARG, 0, 1, 2},
	{SYS_rt_tgsigqueueinfo, RECEIVER_THREAD, 0, 1, 2, 3},
	{SYS_pidfd_send_signal, RECEIVER_PIDFD, NO_ARG, 0, 1, 2},
};

static const struct sending *sending_of(int nr)
{
	for (u32 i = 0; i < ARRAY_SIZE(sendings); i++)
		if (sendings[i].nr == nr)
			return &sendings[i];
	return NULL;
}

bool call_sends(int nr)
{
	return sending_of(nr);
}

/* ---- what /proc/TID/status tells of sender and receiver ---- */

struct party {
	u32 uid, euid, suid;
	char state;
	u64 pending, shared, blocked, ignored, caught, caps;
};

static bool party_of(pid_t tid, struct party *out)
{
	struct {
		const char *format;
		u64 *to;
	} masks[] = {{"SigPnd: %llx", &out->pending}, {"ShdPnd: %llx", &out->shared}, {"SigBlk: %llx", &out->blocked}, {"SigIgn: %llx", &out->ignored}, {"SigCgt: %llx", &out->caught},
		     {"CapEff: %llx", &out->caps}};
	FILE *f = proc_open(tid, "status");
	char line[256];
	u32 found = 0;

	*out = (struct party){0};
	while (f && found < ARRAY_SIZE(masks) && fgets(line, sizeof(line), f)) {
		unsigned long long value;

		sscanf(line, "State: %c", &out->state);
		sscanf(line, "Uid: %u %u %u", &out->uid, &out->euid, &out->suid);
		if (sscanf(line, masks[found].format, &value) == 1)
			*masks[found++].to = value;
	}
	if (f)
		fclose(f);
	return found == ARRAY_SIZE(masks);
}

static bool has(u64 mask, int sig)
{
	return mask >> (sig - 1) & 1;
}

/* kill(2): the same user, or the capability; SIGCONT within a session. */
static bool may_send(const struct traced *from, const struct party *sender, pid_t to, const struct party *p, int sig)
{
	enum { CAP_TO_KILL = 5 };

	return sender->euid == p->suid || sender->euid == p->uid || sender->uid == p->suid || sender->uid == p->uid || sender->caps >> CAP_TO_KILL & 1 ||
	       (sig == SIGCONT && getsid(from->tid) == getsid(to));
}

enum { RESULT_DELIVERED, RESULT_IGNORED, RESULT_PENDING }; /* field `result` of the event */

static int result_of(const struct party *p, int sig, bool group)
{
	enum { FIRST_QUEUED = 32 };
	bool nothing = sig == SIGCONT || sig == SIGCHLD || sig == SIGWINCH || sig == SIGURG; /* what such a signal does unless it is caught */

	if (p->state == 'Z' || p->state == 'X' || (!has(p->blocked, sig) && (has(p->ignored, sig) || (nothing && !has(p->caught, sig)))))
		return RESULT_IGNORED;
	return sig < FIRST_QUEUED && has(group ? p->shared : p->pending, sig) ? RESULT_PENDING : RESULT_DELIVERED;
}

/* ---- events ---- */

struct signal {
	const struct traced *from;
	struct party sender;
	int sig, err, code;
	bool group; /* for the thread group */
};

static void tell(struct tree *t, const struct signal *s, pid_t tid)
{
	struct traced *to = traced_find(t, tid);
	struct task *task = to ? to->task : NULL, *gone = NULL;
	struct task_info info;
	struct proc_stat st;
	struct party p;

	if (!party_of(tid, &p) || !may_send(s->from, &s->sender, tid, &p, s->sig))
		return;
	if (!task && p.state == 'Z' && proc_stat(tid, &st) && traced_find(t, st.parent)) { /* it has ended, and its parent has not heard */
		task_facts(t, tid, &info);
		task = gone = task_add(t->s->k, &info);
	}
	if (task)
		task_event_signal_generate(t->s->k, s->from->task, task, s->sig, s->err, s->code, s->group, result_of(&p, s->sig, s->group));
	if (gone)
		task_remove(t->s->k, gone);
}

/* All processes of the tree in a group, those that have ended and are not reaped included; or with 0 all others than the sender's own. */
static void tell_many(struct tree *t, const struct signal *s, pid_t group)
{
	DIR *d = opendir("/proc");

	for (struct dirent *e; d && (e = readdir(d));) {
		pid_t pid = (pid_t)atoi(e->d_name);

		if (pid > 1 && (group ? getpgid(pid) == group : pid != s->from->tgid))
			tell(t, s, pid);
	}
	if (d)
		closedir(d);
}

/* Of a pidfd; 0: it is none. */
static pid_t pid_behind(pid_t tid, int fd)
{
	char name[32], line[128];
	int pid = 0;
	FILE *f;

	snprintf(name, sizeof(name), "fdinfo/%d", fd);
	f = proc_open(tid, name);
	while (f && fgets(line, sizeof(line), f) && sscanf(line, "Pid: %d", &pid) != 1)
		;
	if (f)
		fclose(f);
	return MAX(pid, 0);
}

/* What a sender says of its signal is not to be taken for the kernel's word, or for kill(2)'s; to itself it may say anything. */
static bool read_info(pid_t tid, u64 at, pid_t to, struct signal *s)
{
	siginfo_t info;

	if (remote_get(tid, at, &info, sizeof(info)) || ((info.si_code >= 0 || info.si_code == SI_TKILL) && to != tid))
		return false;
	s->err = info.si_errno;
	s->code = info.si_code;
	return true;
}

void signal_sent(struct tree *t, const struct traced *p)
{
	enum { FLAG_THREAD = 1, FLAG_GROUP = 4 }; /* of pidfd_send_signal(2) */
	const struct sending *c = sending_of(p->nr);
	struct signal s = {.from = p};
	u64 info, flags;
	pid_t to;

	if (!c || !p->task || !party_of(p->tid, &s.sender))
		return;
	info = c->info == NO_ARG ? 0 : p->args[c->info];
	flags = c->receiver == RECEIVER_PIDFD ? p->args[3] : 0;
	to = c->receiver == RECEIVER_PIDFD ? pid_behind(p->tid, (int)p->args[c->to]) : (pid_t)p->args[c->to];
	s.sig = (int)p->args[c->sig];
	s.code = c->receiver == RECEIVER_THREAD ? SI_TKILL : SI_USER;
	s.group = c->receiver != RECEIVER_THREAD && !(flags & FLAG_THREAD);
	if (s.sig < 1 || s.sig >= NSIG || (c->of != NO_ARG && remote_tgid(to) != (pid_t)p->args[c->of]))
		return;
	if (c->info != NO_ARG && (info || c->receiver != RECEIVER_PIDFD) && !read_info(p->tid, info, to, &s))
		return;
	if (to > 0 && flags & FLAG_GROUP)
		tell_many(t, &s, to);
	else if (to > 0)
		tell(t, &s, to);
	else if (c->receiver == RECEIVER_ANY)
		tell_many(t, &s, to == -1 ? 0 : to ? -to : getpgid(p->tid));
}
