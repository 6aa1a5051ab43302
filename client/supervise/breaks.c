/* SPDX-License-Identifier: BSD-2-Clause */
/* Breakpoints: see breaks.h. */
#include "client/supervise/breaks.h"

#include "client/supervise/guard.h"
#include "client/supervise/insn.h"
#include "client/supervise/space.h"
#include "client/supervise/step.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RETURNS = 64 };

/* A call of a probed function that has not returned. */
struct pending_return {
	u64 id, sp, to, function;
};

struct returns {
	u32 n;
	struct pending_return at[RETURNS];
};

/* ---- the engine's probes ---- */

static void note_point(void *ud, const struct task_probe *p)
{
	struct tree *t = ud;
	struct task_probe *grown = realloc(t->points, (t->n_points + 1) * sizeof(*grown));

	if (!grown)
		return;
	t->points = grown;
	t->points[t->n_points] = *p;
	t->points[t->n_points++].path = NULL;
}

static bool is_for(const struct tree *t, const struct task_probe *p, pid_t tgid)
{
	const struct traced *thread = p->pid >= 0 ? traced_find(t, p->pid) : NULL;

	return p->pid < 0 || p->pid == tgid || (thread && thread->tgid == tgid);
}

/* ---- memory of the process ---- */

int space_poke(pid_t tid, u64 at, const void *from, size_t size, bool write)
{
	char path[64];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/mem", tid);
	fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write ? pwrite(fd, from, size, (off_t)at) : pread(fd, (void *)(uintptr_t)from, size, (off_t)at);
	close(fd);
	return n < 0 ? -errno : (int)n;
}

static bool put_byte(pid_t tid, u64 at, u8 byte)
{
	return space_poke(tid, at, &byte, 1, true) == 1;
}

static struct brk *find_brk(const struct space *s, u64 at)
{
	for (u32 i = 0; s && i < s->n; i++)
		if (s->brk[i].at == at)
			return &s->brk[i];
	return NULL;
}

u32 space_code(const struct space *s, pid_t tid, u64 at, u8 *code, u32 size)
{
	int n = space_poke(tid, at, code, size, false);

	for (u32 i = 0; n > 0 && i < s->n; i++)
		for (u32 k = 0; s->brk[i].set && k < (s->brk[i].resume ? BRK_JUMP : 1); k++)
			if (s->brk[i].at + k >= at && s->brk[i].at + k < at + (u64)n)
				code[s->brk[i].at + k - at] = s->brk[i].code[k];
	return n < 0 ? 0 : (u32)n;
}

static bool is_set(pid_t tid, const struct brk *b)
{
	u8 byte = 0;

	if (b->resume)
		return inside_is_set(tid, b);
	return space_poke(tid, b->at, &byte, 1, false) == 1 && byte == INT3;
}

/* Jumps that cover the place of another probe. */
static void clear_place(const struct space *s, pid_t tid, const struct brk *b)
{
	for (u32 i = 0; i < s->n; i++) {
		struct brk *jump = &s->brk[i];

		if (jump == b || b->at <= jump->at || b->at >= jump->at + BRK_JUMP + INSN_MOST)
			continue;
		jump->aside = 0; /* which would pass it by */
		if (jump->set && jump->resume)
			inside_back(tid, &jump, 1);
	}
}

static void put_in(const struct space *s, pid_t tid, struct brk *b)
{
	u8 code[BRK_CODE];
	u32 n;

	if (b->stepping || (b->set && is_set(tid, b)))
		return;
	b->set = false;
	b->resume = 0;
	clear_place(s, tid, b);
	n = space_code(s, tid, b->at, code, BRK_CODE);
	if (n != b->n_code || memcmp(code, b->code, n))
		b->aside = 0;
	memcpy(b->code, code, n);
	b->n_code = n;
	if (b->n_code >= BRK_JUMP)
		guard_set(s->guard, s->tgid, b->at, b->code);
	b->set = b->n_code && b->code[0] != INT3 && put_byte(tid, b->at, INT3);
}

static void take_out(pid_t tid, struct brk *b)
{
	if (b->set && !b->stepping && is_set(tid, b))
		put_byte(tid, b->at, b->code[0]);
	b->set = false;
	b->resume = 0;
}

static struct brk *want_brk(struct space *s, u64 at)
{
	struct brk *b = find_brk(s, at);

	if (b)
		return b;
	if (s->n == s->room) {
		u32 room = s->room ? s->room * 2 : 8;

		b = realloc(s->brk, room * sizeof(*b));
		if (!b)
			return NULL;
		s->brk = b;
		s->room = room;
	}
	b = &s->brk[s->n++];
	*b = (struct brk){.at = at, .try_at = BRK_FIRST_TRY};
	return b;
}

/* ---- address spaces ---- */

/* A thread that is not traced would be killed by a breakpoint. */
static bool all_traced(const struct tree *t, pid_t tgid)
{
	char path[64];
	DIR *d;
	bool all = true;

	snprintf(path, sizeof(path), "/proc/%d/task", tgid);
	d = opendir(path);
	if (!d)
		return false;
	for (struct dirent *e; all && (e = readdir(d));) {
		pid_t tid = (pid_t)atoi(e->d_name);
		u64 tracer;

		if (tid <= 0 || traced_find(t, tid))
			continue;
		all = !proc_status(tid, "TracerPid", 10, &tracer) || (pid_t)tracer == gettid();
	}
	closedir(d);
	return all;
}

static bool same_memory(pid_t a, pid_t b)
{
	enum { KCMP_VM = 1 };

	return syscall(SYS_kcmp, a, b, KCMP_VM, 0, 0) == 0;
}

static struct space *space_of(struct tree *t, struct traced *p)
{
	if (p->space)
		return p->space;
	for (u32 i = 0; i < TREE_BUCKETS; i++)
		for (struct traced *q = t->bucket[i]; q; q = q->chain)
			if (q->space && (q->tgid == p->tgid || same_memory(q->tid, p->tid))) {
				q->space->users++;
				return p->space = q->space;
			}
	if (!all_traced(t, p->tgid))
		return NULL;
	p->space = calloc(1, sizeof(*p->space));
	if (p->space) {
		p->space->users = 1;
		p->space->tgid = p->tgid;
		p->space->guard = t->guard;
	}
	return p->space;
}

static void counter_add(pid_t tid, u64 at, int by)
{
	u16 value;

	if (remote_get(tid, at, &value, sizeof(value)))
		return;
	value = (u16)(value + by);
	remote_put(tid, at, &value, sizeof(value));
}

static void count_in(struct space *s, pid_t tid, u64 id, u64 at)
{
	struct counted *grown;

	for (u32 i = 0; i < s->n_counted; i++)
		if (s->counted[i].id == id)
			return;
	grown = realloc(s->counted, (s->n_counted + 1) * sizeof(*grown));
	if (!grown)
		return;
	s->counted = grown;
	s->counted[s->n_counted++] = (struct counted){id, at};
	counter_add(tid, at, 1);
}

static void count_out(const struct tree *t, struct space *s, pid_t tid)
{
	for (u32 i = 0; i < s->n_counted;) {
		bool there = false;

		for (u32 j = 0; j < t->n_points; j++)
			there = there || t->points[j].id == s->counted[i].id;
		if (there) {
			i++;
			continue;
		}
		counter_add(tid, s->counted[i].at, -1);
		s->counted[i] = s->counted[--s->n_counted];
	}
}

/* ---- setting ---- */

/* Some file systems number their devices otherwise in maps than in stat(2). */
static bool maps_file(const struct proc_map *m, const struct task_probe *p, pid_t tid)
{
	char path[PATH_MAX + 64];
	struct stat st;

	if (m->ino != p->ino)
		return false;
	if (m->dev == p->dev)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/root%s", tid, m->path);
	return !stat(path, &st) && st.st_ino == p->ino && st.st_dev == p->dev;
}

static bool covers(const struct proc_map *m, u64 offset, u64 size)
{
	return offset >= m->offset && offset + size <= m->offset + (m->to - m->from);
}

static void set_in_mapping(struct tree *t, struct space *s, pid_t tid, const struct proc_map *m)
{
	for (u32 i = 0; i < t->n_points; i++) {
		const struct task_probe *p = &t->points[i];
		struct brk *b;

		if (!maps_file(m, p, tid) || !is_for(t, p, s->tgid))
			continue;
		if (p->counter && m->writes && covers(m, p->counter, 2))
			count_in(s, tid, p->id, m->from + p->counter - m->offset);
		if (!m->runs || !covers(m, p->offset, 1))
			continue;
		b = want_brk(s, m->from + p->offset - m->offset);
		if (!b)
			continue;
		b->dev = p->dev;
		b->ino = p->ino;
		b->offset = p->offset;
		b->entry = b->found = true;
		put_in(s, tid, b);
	}
}

/* Those that are not wanted, and those that lead to other programs than are wanted now. */
static void jumps_back(const struct tree *t, struct space *s, pid_t tid, bool returns)
{
	enum { AT_ONCE = 64 };
	struct brk *jumps[AT_ONCE];
	u32 n = 0;

	for (u32 i = 0; i < s->n; i++) {
		struct brk *b = &s->brk[i];
		bool stays = (b->entry && b->found) || (b->back && returns), same = stays;

		if (same && (b->resume || b->hits) && b->version != t->needs.version)
			same = b->points == inside_points(t, s, b);
		b->version = t->needs.version;
		if (b->set && b->resume && !same)
			jumps[n++] = b;
		else if (!same) {
			b->hits = 0;
			b->try_at = BRK_FIRST_TRY;
		}
		if (n == AT_ONCE || (n && i + 1 == s->n)) {
			inside_back(tid, jumps, n);
			n = 0;
		}
	}
}

static void scan(struct tree *t, struct space *s, pid_t tid)
{
	bool returns = false;
	struct proc_map m;
	FILE *maps;

	if (!t->n_points && !s->n && !s->n_counted)
		return;
	for (u32 i = 0; i < t->n_points; i++)
		returns = returns || t->points[i].at_return;
	for (u32 i = 0; i < s->n; i++)
		s->brk[i].found = s->brk[i].entry && s->brk[i].stepping;
	count_out(t, s, tid);
	maps = t->n_points ? proc_open(tid, "maps") : NULL;
	while (proc_next_map(maps, &m))
		if (m.ino && !m.shared) /* what is shared is the file itself */
			set_in_mapping(t, s, tid, &m);
	jumps_back(t, s, tid, returns);
	for (u32 i = 0; i < s->n; i++) {
		struct brk *b = &s->brk[i];

		b->entry = b->entry && b->found;
		b->back = b->back && returns;
		if (!b->entry && !b->back)
			take_out(tid, b);
		else if (b->set && !b->stepping && !is_set(tid, b))
			b->set = false; /* something else was mapped there */
	}
}

void breaks_mapped(struct tree *t, struct traced *p)
{
	struct space *s;

	if (!p->task || p->silent || p->before || p->exiting || (p->leave && !p->space))
		return;
	s = t->n_points ? space_of(t, p) : p->space;
	if (s)
		scan(t, s, p->tid);
}

void breaks_update(struct tree *t)
{
	for (u32 i = 0; i < TREE_BUCKETS; i++)
		for (struct traced *p = t->bucket[i]; p; p = p->chain)
			if (p->tid == p->tgid || !p->space)
				breaks_mapped(t, p);
}

void breaks_needs(struct tree *t)
{
	static const int maps[] = {SYS_mmap, SYS_mprotect, SYS_mremap};

	task_needs(t->s->k, &t->needs);
	t->n_points = 0;
	task_probes(t->s->k, note_point, t);
	for (u32 i = 0; i < ARRAY_SIZE(maps) && t->n_points; i++)
		t->needs.exit[maps[i] / 64] |= 1ull << maps[i] % 64;
	breaks_update(t);
}

/* ---- tasks come and go ---- */

void breaks_forked(struct tree *t, struct traced *parent, struct traced *child, bool shares)
{
	struct space *from = parent->space, *s;

	if (!from || child->space)
		return;
	if (shares || child->tgid == parent->tgid || same_memory(parent->tid, child->tid)) {
		from->users++;
		child->space = from;
		if (child->stopped)
			inside_name(child);
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return;
	s->users = 1;
	s->tgid = child->tgid;
	s->guard = from->guard;
	s->brk = from->n ? malloc(from->n * sizeof(*s->brk)) : NULL;
	s->counted = from->n_counted ? malloc(from->n_counted * sizeof(*s->counted)) : NULL;
	if (s->brk) {
		memcpy(s->brk, from->brk, from->n * sizeof(*s->brk));
		s->n = s->room = from->n;
	}
	if (s->counted) {
		memcpy(s->counted, from->counted, from->n_counted * sizeof(*s->counted));
		s->n_counted = from->n_counted;
	}
	for (u32 i = 0; i < s->n; i++)
		if (s->brk[i].stepping) {
			s->brk[i].stepping = 0;
			s->brk[i].set = s->brk[i].set && put_byte(child->tid, s->brk[i].at, INT3);
		}
	for (u32 i = 0; i < s->n; i++)
		if (s->brk[i].set)
			guard_set(s->guard, s->tgid, s->brk[i].at, s->brk[i].code);
	s->inside = inside_copy(from->inside);
	child->space = s;
	inside_forked(t, parent, child);
	if (parent->returns) {
		child->returns = malloc(sizeof(*child->returns));
		if (child->returns)
			*child->returns = *parent->returns;
	}
	scan(t, s, child->tid);
}

static void step_ends(struct traced *p)
{
	struct brk *b = p->steps ? find_brk(p->space, p->step_at) : NULL;

	p->steps = false;
	if (b && b->stepping && !--b->stepping && b->set)
		b->set = put_byte(p->tid, b->at, INT3);
}

void breaks_left(struct tree *t, struct traced *p)
{
	struct space *s = p->space;

	step_ends(p);
	free(p->returns);
	p->returns = NULL;
	if (s)
		inside_left(t, p);
	p->space = NULL;
	p->named = false;
	if (!s || --s->users)
		return;
	task_inside_gone(t->s->k, (u32)s->tgid);
	guard_forget(s->guard, s->tgid);
	inside_free(s->inside);
	free(s->brk);
	free(s->counted);
	free(s);
}

/* ---- hits ---- */

static void function_entered(struct traced *p, const struct task_probe *point, const struct task_regs *regs)
{
	struct pending_return r = {.id = point->id, .sp = regs->sp, .function = regs->ip};
	struct brk *b;

	if (remote_get(p->tid, regs->sp, &r.to, sizeof(r.to)))
		return;
	if (!p->returns)
		p->returns = calloc(1, sizeof(*p->returns));
	b = p->returns ? want_brk(p->space, r.to) : NULL;
	if (!b)
		return;
	b->back = true;
	put_in(p->space, p->tid, b);
	/* what longjmp() left behind: the same frame is entered once */
	for (u32 i = 0; i < p->returns->n; i++)
		if (p->returns->at[i].id == r.id && p->returns->at[i].sp == r.sp) {
			p->returns->at[i] = r;
			return;
		}
	if (p->returns->n == RETURNS)
		memmove(p->returns->at, p->returns->at + 1, --p->returns->n * sizeof(r));
	p->returns->at[p->returns->n++] = r;
}

static bool function_returned(struct tree *t, struct traced *p, const struct task_regs *regs)
{
	struct returns *all = p->returns;
	bool some = false;

	for (u32 i = all ? all->n : 0; i-- > 0;) {
		struct pending_return r = all->at[i];

		if (r.to != regs->ip || r.sp + sizeof(u64) != regs->sp)
			continue;
		memmove(all->at + i, all->at + i + 1, (--all->n - i) * sizeof(r));
		atomic_fetch_add(&t->events, 1);
		task_event_probe(t->s->k, p->task, r.id, r.function, regs);
		some = true;
	}
	return some;
}

/* Functions whose returns became stubs, or whose calls were left by longjmp(), do not come back there. */
static bool is_awaited(const struct tree *t, const struct space *s, u64 at)
{
	for (u32 i = 0; i < TREE_BUCKETS; i++)
		for (const struct traced *p = t->bucket[i]; p; p = p->chain)
			for (u32 k = 0; p->space == s && p->returns && k < p->returns->n; k++)
				if (p->returns->at[k].to == at)
					return true;
	return false;
}

bool space_point(const struct tree *t, const struct space *s, const struct brk *b, const struct task_probe *p)
{
	return b->entry && p->offset == b->offset && p->ino == b->ino && p->dev == b->dev && is_for(t, p, s->tgid);
}

static void tell(struct tree *t, struct traced *p, struct brk *at, const struct task_regs *regs)
{
	struct brk b = *at;

	if (b.back && !function_returned(t, p, regs) && !b.entry && !is_awaited(t, p->space, b.at)) {
		at->back = false;
		take_out(p->tid, at);
	}
	for (u32 i = 0; i < t->n_points && b.entry; i++) {
		const struct task_probe *point = &t->points[i];

		if (!space_point(t, p->space, &b, point))
			continue;
		if (point->at_return) {
			function_entered(p, point, regs);
			continue;
		}
		atomic_fetch_add(&t->events, 1);
		task_event_probe(t->s->k, p->task, point->id, regs->ip, regs);
	}
}

static bool get_regs(const struct traced *p, struct user_regs_struct *full, struct task_regs *regs)
{
	if (ptrace(PTRACE_GETREGS, p->tid, 0, full))
		return false;
	memcpy(regs, full, sizeof(*regs));
	return true;
}

static void set_regs(const struct traced *p, struct user_regs_struct *full, const struct task_regs *regs)
{
	memcpy(full, regs, sizeof(*regs));
	ptrace(PTRACE_SETREGS, p->tid, 0, full);
}

static void go_on(struct tree *t, struct traced *p, struct user_regs_struct *full, struct task_regs *regs, u64 at)
{
	regs->ip = at;
	set_regs(p, full, regs);
	traced_resume(t, p, 0);
}

/* The task stands at b, whose event was told: on with it. */
static void pass(struct tree *t, struct traced *p, struct brk *b, struct user_regs_struct *full,
		 struct task_regs *regs)
{
	struct task_regs before = *regs;
	struct step_store store;
	u64 aside;

	if (b->set && b->resume) {
		go_on(t, p, full, regs, b->resume);
		return;
	}
	if (!b->set || (step_over(b->code, b->n_code, regs, &store) &&
			(!store.any || !remote_put(p->tid, store.at, &store.value, sizeof(store.value))))) {
		set_regs(p, full, regs);
		traced_resume(t, p, 0);
		return;
	}
	*regs = before;
	set_regs(p, full, regs);
	aside = inside_aside(t, p, b, full);
	if (aside) {
		go_on(t, p, full, regs, aside);
		return;
	}
	if (!b->stepping++ && !put_byte(p->tid, b->at, b->code[0]))
		b->stepping = 0;
	p->steps = true;
	p->step_at = b->at;
	p->stopped = false;
	ptrace(PTRACE_SINGLESTEP, p->tid, 0, 0);
}

static bool hit(struct tree *t, struct traced *p)
{
	struct user_regs_struct full;
	struct task_regs regs;
	siginfo_t si = {0};
	struct brk *b;
	bool again;
	u64 at;

	if (!p->space || ptrace(PTRACE_GETSIGINFO, p->tid, 0, &si) || si.si_code != SI_KERNEL ||
	    !get_regs(p, &full, &regs))
		return false;
	at = regs.ip - 1;
	b = find_brk(p->space, at);
	if (!b)
		return inside_asks(t, p, at, &full);
	regs.ip = at;
	again = p->skips && p->step_at == at && p->skip_sp == regs.sp;
	p->skips = p->skips && !again;
	if (b->set && p->task && !again) {
		tell(t, p, b, &regs);
		b = find_brk(p->space, at); /* the table may have moved */
		full.rip = at;
		inside_try(t, p, b, &full);
	}
	pass(t, p, b, &full, &regs);
	return true;
}

/* Anything but the end of the step: the instruction is met again later, and told of once. */
static bool stepped(struct tree *t, struct traced *p, int event, int sig)
{
	struct user_regs_struct full;
	siginfo_t si = {0};
	u64 at = p->step_at;
	bool done = !event && sig == SIGTRAP && !ptrace(PTRACE_GETSIGINFO, p->tid, 0, &si) &&
		    si.si_code == TRAP_TRACE;

	step_ends(p);
	if (done) {
		traced_resume(t, p, 0);
		return true;
	}
	if (!ptrace(PTRACE_GETREGS, p->tid, 0, &full) && full.rip == at) {
		p->skips = true;
		p->skip_sp = full.rsp;
	}
	return false;
}

bool breaks_stop(struct tree *t, struct traced *p, int event, int sig)
{
	inside_name(p);
	if (!event && (sig == SIGSEGV || sig == SIGBUS) && inside_faults(t, p))
		return true;
	if (p->steps)
		return stepped(t, p, event, sig) || (!event && sig == SIGTRAP && hit(t, p));
	return !event && sig == SIGTRAP && hit(t, p);
}

bool breaks_pending(const struct traced *p)
{
	u64 pending;

	return p->space && p->space->n && proc_status(p->tid, "SigPnd", 16, &pending) && pending >> (SIGTRAP - 1) & 1;
}

/* Tasks that outlive this process must not stop any more: what has met a breakpoint goes back to its
 * instruction. */
void breaks_close(struct tree *t)
{
	bool some = t->n_points;

	t->n_points = 0;
	breaks_update(t);
	for (u32 i = 0; i < TREE_BUCKETS; i++)
		for (struct traced *p = t->bucket[i]; p; p = p->chain)
			some = inside_quiet(p, true) || some || (p->space && p->space->n);
	if (some)
		usleep(2000);
	for (u32 i = 0; i < TREE_BUCKETS && some; i++)
		for (struct traced *p = t->bucket[i]; p; p = p->chain) {
			int status;

			if (p->space && waitpid(p->tid, &status, WNOHANG | __WALL) == p->tid &&
			    WIFSTOPPED(status))
				breaks_stop(t, p, status >> 16, WSTOPSIG(status));
		}
	free(t->points);
	t->points = NULL;
}
