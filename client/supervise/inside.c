/* SPDX-License-Identifier: BSD-2-Clause */
/* Probes as jumps: see space.h. */
#include "client/supervise/guard.h"
#include "client/supervise/insn.h"
#include "client/supervise/stub.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { MOST_POINTS = 8, STUBS = 16384 /* bytes of a mapping for stubs */, USER_CS = 0x33 };

struct stubs {
	u64 base;
	u32 used;
};

struct inside_space {
	u64 at; /* the routines; 0: nothing is mapped */
	u64 ask, trap, reads, read_end, window, window_size; /* see struct task_code */
	bool refused, go; /* nothing is mapped into this process; it has goroutines */
	u64 *map; /* addresses that have what the engine has there */
	u32 n_map;
	struct stubs *stubs;
	u32 n_stubs;
};

/* ---- whom ---- */

u64 inside_points(const struct tree *t, const struct space *s, const struct brk *b)
{
	u64 all = 1;

	for (u32 i = 0; i < t->n_points; i++)
		if (space_point(t, s, b, &t->points[i]))
			all = all * 0x9e3779b97f4a7c15ull + t->points[i].id;
	return all;
}

bool is_filtered(const struct tree *t, const struct traced *p)
{
	u64 own = 0, mode = 0, filters = 0;
	bool ours = p->filtered || (!t->answers && !p->unserved);

	if (!proc_status(p->tid, "Seccomp", 10, &mode) || mode == 1 || !proc_status(getpid(), "Seccomp_filters", 10, &own) ||
	    !proc_status(p->tid, "Seccomp_filters", 10, &filters))
		return true;
	return filters > own + ours;
}

/* Goroutines run on stacks of a few KiB, and move. in, file: "exe" of the process's folder in /proc, or a path in its "root". */
static bool is_go(pid_t tid, const char *in, const char *file)
{
	enum { HEAD = 65536 };
	char path[PATH_MAX + 64], *head = malloc(HEAD);
	bool found = true;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s%s", tid, in, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 && head ? read(fd, head, HEAD) : -1;
	if (n >= 0)
		found = memmem(head, (size_t)n, "\4\0\0\0Go\0\0", 8) != NULL;
	if (fd >= 0)
		close(fd);
	free(head);
	return found;
}

static bool has_shadow_stack(pid_t tid)
{
	char features[256];

	return proc_status_text(tid, "x86_Thread_features", features, sizeof(features)) && strstr(features, "shstk");
}

static bool knows_pids(const struct tree *t, pid_t tid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", tid);
	return !stat(path, &st) && st.st_ino == t->pid_ns_ino;
}

/* Can a routine find out which thread it is in? */
static bool knows_threads(pid_t tid, u64 fs)
{
	u64 self;

	return task_inside_fsgsbase() || (fs && !remote_get(tid, fs, &self, sizeof(self)) && self == fs);
}

/* ---- where ---- */

/* The mapping that holds `at`, and an address for a mapping of `size` bytes near it (0: none). */
static bool find_room(pid_t tid, u64 at, u64 size, struct proc_map *holds, u64 *room)
{
	const u64 far = (1ull << 31) - (16u << 20), lowest = 1u << 20;
	u64 end = lowest, best = UINT64_MAX;
	FILE *maps = proc_open(tid, "maps");
	bool found = false;
	struct proc_map m;

	*room = 0;
	while (proc_next_map(maps, &m)) {
		u64 low, high, near;

		if (at >= m.from && at < m.to) {
			*holds = m;
			found = *m.path;
		}
		low = end + (1u << 20); /* room for what grows */
		high = m.from > (1u << 20) + size ? m.from - (1u << 20) - size : 0;
		near = (high < at ? high : low) & ~4095ull;
		end = m.to;
		if (high < low || near < low || (near > at ? near - at : at - near) > far || (near > at ? near - at : at - near) >= best)
			continue;
		best = near > at ? near - at : at - near;
		*room = near;
	}
	return found;
}

/* ---- mapping ---- */

static bool is_error(s64 result)
{
	return result < 0 && result > -4096;
}

static bool map_at(struct injection *in, u64 at, u64 size, int prot, int flags, int fd, u64 offset)
{
	s64 got = inject_call(in, SYS_mmap, (u64[6]){at, size, (u64)prot, (u64)(flags | MAP_FIXED_NOREPLACE), (u64)(s64)fd, offset});

	if (!is_error(got) && (u64)got != at)
		inject_call(in, SYS_munmap, (u64[6]){(u64)got, size});
	return (u64)got == at;
}

static bool is_mapped(const struct inside_space *in, u64 at)
{
	for (u32 i = 0; i < in->n_map; i++)
		if (in->map[i] == at)
			return true;
	return false;
}

/* Is it the file that lies there, from when the process was followed before? */
static bool has_file(pid_t tid, const struct task_code_map *m)
{
	struct proc_map there;
	struct stat st;
	bool has = false;
	FILE *maps;

	if (fstat(m->fd, &st))
		return false;
	maps = proc_open(tid, "maps");
	while (proc_next_map(maps, &there))
		has = has || (there.from == m->at && there.offset == m->offset && there.ino == st.st_ino);
	return has;
}

static bool map_one(struct injection *i, struct inside_space *in, const struct task_code_map *m)
{
	u64 *grown = realloc(in->map, (in->n_map + 1) * sizeof(*grown));
	int fd, prot = PROT_READ | (m->writes ? PROT_WRITE : 0) | (m->runs ? PROT_EXEC : 0);
	bool done;

	if (!grown)
		return false;
	in->map = grown;
	fd = inject_open(i, m->fd, m->writes);
	if (fd < 0)
		return false;
	done = map_at(i, m->at, m->size, prot, MAP_SHARED, fd, m->offset) || has_file(i->p->tid, m);
	inject_call(i, SYS_close, (u64[6]){(u64)fd});
	if (done)
		in->map[in->n_map++] = m->at;
	return done;
}

/* A thread and its name; thread 0: whoever runs on this FS base finds out by itself. */
static void name_at(pid_t tid, const struct inside_space *in, u64 fs, const struct task *thread)
{
	u64 data = in->at + TASK_INSIDE_CODE, at = data + offsetof(struct task_inside, thread), there[2], none = 0;
	u32 place = task_inside_place(fs), to = place;
	u64 object = thread ? task_object(thread) : 0;
	char name[16] = {0};
	u64 value = task_inside_thread(fs, thread ? task_info(thread)->tid : 0);

	if (!fs || fs & 63)
		return;
	for (u32 i = 0; i < 2; i++)
		if (remote_get(tid, at + (place ^ i) * 8, &there[i], sizeof(there[i])))
			return;
	if (there[0] && !there[1])
		to ^= 1;
	for (u32 i = 0; i < 2; i++)
		if (there[i] && (there[i] ^ value) >> 22 == 0) /* somebody had this FS base before */
			to = place ^ i;
	if (!thread) {
		if (there[to != place] && (there[to != place] ^ value) >> 22 == 0)
			remote_put(tid, at + to * 8, &none, sizeof(none));
		return;
	}
	memcpy(name, task_info(thread)->comm, strnlen(task_info(thread)->comm, sizeof(name) - 1));
	if (!remote_put(tid, data + offsetof(struct task_inside, comm) + to * sizeof(name), name, sizeof(name)) &&
	    !remote_put(tid, data + offsetof(struct task_inside, object) + to * sizeof(object), &object, sizeof(object)))
		remote_put(tid, at + to * 8, &value, sizeof(value));
}

static void name_with(struct traced *p, u64 fs)
{
	/* A child of vfork(2) runs on its parent's FS base: which of them it is, the two find out by themselves. */
	name_at(p->tid, p->space->inside, fs, p->tgid == p->space->tgid ? p->task : NULL);
	p->named = true;
}

void inside_name(struct traced *p)
{
	struct user_regs_struct regs;

	if (!p->named && p->space && p->space->inside && p->space->inside->at && !ptrace(PTRACE_GETREGS, p->tid, 0, &regs))
		name_with(p, regs.fs_base);
}

void inside_renamed(struct traced *p)
{
	p->named = false;
	inside_name(p);
}

void inside_left(struct tree *t, const struct traced *p)
{
	const struct space *s = p->space;

	for (u32 i = 0; i < TREE_BUCKETS && s->inside && p->tgid != s->tgid; i++)
		for (struct traced *q = t->bucket[i]; q; q = q->chain)
			if (q->space == s)
				q->named = false;
}

/* No thread is known yet; calls that are to return stay. */
static bool begin_data(const struct traced *p, const struct inside_space *in, u64 data, pid_t tgid, u64 clock)
{
	struct task_inside *fresh = calloc(1, sizeof(*fresh));
	bool done = false;

	if (fresh) {
		fresh->tgid = (u64)tgid << 32;
		fresh->clock = clock;
		fresh->window = in->window;
		fresh->window_size = in->window_size;
		fresh->by_abi = !task_inside_fsgsbase();
		if (p->task)
			fresh->uid_gid = (u64)task_info(p->task)->gid << 32 | task_info(p->task)->uid;
		done = !remote_put(p->tid, data, fresh, offsetof(struct task_inside, call));
	}
	free(fresh);
	return done;
}

static bool map_routines(struct injection *i, struct inside_space *in, const struct task_code *c)
{
	u64 data = c->inside + TASK_INSIDE_CODE, size = ALIGN_UP(sizeof(struct task_inside), (size_t)4096), clock = inject_vdso(i->p->tid, "__vdso_clock_gettime");
	bool before;

	if (in->at)
		return in->at == c->inside && inside_quiet(i->p, false);
	before = has_file(i->p->tid, &c->map[0]);
	in->window = c->window;
	in->window_size = c->window_size;
	if (!map_one(i, in, &c->map[0]) ||
	    (!before && !map_at(i, data, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) ||
	    !begin_data(i->p, in, data, i->p->space->tgid, clock))
		return false;
	in->at = c->inside;
	in->ask = c->ask;
	in->trap = c->trap;
	in->reads = c->reads;
	in->read_end = c->read_end;
	guard_quiet(i->p->space->guard, i->p->space->tgid, in->trap, in->reads, in->read_end, data + offsetof(struct task_inside, quiet));
	name_with(i->p, i->regs->fs_base);
	return true;
}

static struct stubs *known_stubs(struct inside_space *in, u64 at)
{
	const u64 far = (1ull << 31) - (1u << 20);

	for (u32 k = 0; k < in->n_stubs; k++) {
		u64 base = in->stubs[k].base;

		if ((base > at ? base - at : at - base) < far && in->stubs[k].used + STUB <= STUBS)
			return &in->stubs[k];
	}
	return NULL;
}

static struct stubs *stubs_near(struct injection *i, struct inside_space *in, u64 at, u64 room)
{
	struct stubs *grown = known_stubs(in, at);

	if (grown)
		return grown;
	grown = realloc(in->stubs, (in->n_stubs + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	in->stubs = grown;
	if (!room || !map_at(i, room, STUBS, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
		return NULL;
	in->stubs[in->n_stubs] = (struct stubs){.base = room};
	return &in->stubs[in->n_stubs++];
}

/* ---- the jump ---- */

static bool jump_in(struct tree *t, struct injection *i, struct brk *b, const struct point *p, u32 n, u64 room)
{
	struct traced *task = i->p;
	struct inside_space *in = task->space->inside;
	struct stubs *near = stubs_near(i, in, b->at, room);
	struct stub s = {0};
	u32 entry, resume;
	s32 by;

	if (!near)
		return false;
	s.at = near->base + near->used;
	if (!stub_build(&s, b, p, n, &entry, &resume) || space_poke(task->tid, s.at, s.code, s.n, true) != (int)s.n || !jump_clear(t, task, b->at))
		return false;
	by = (s32)(s64)(s.at + entry - b->at - BRK_JUMP);
	b->jump[0] = 0xe9;
	memcpy(b->jump + 1, &by, sizeof(by));
	if (space_poke(task->tid, b->at + 1, b->jump + 1, BRK_JUMP - 1, true) != BRK_JUMP - 1)
		return false;
	near->used += ALIGN_UP(s.n, 16u);
	b->resume = s.at + resume;
	if (space_poke(task->tid, b->at, b->jump, 1, true) == 1)
		return true;
	space_poke(task->tid, b->at + 1, b->code + 1, BRK_JUMP - 1, true);
	b->resume = 0;
	return false;
}

static bool inject(struct tree *t, struct traced *p, struct brk *b, const struct point *points, u32 n, u64 room, const struct user_regs_struct *regs)
{
	struct inside_space *in = p->space->inside;
	struct injection i;
	bool good = inject_begin(&i, t, p, regs) && map_routines(&i, in, &points[0].code);

	for (u32 k = 0; good && k < n; k++)
		for (u32 m = 1; good && m < points[k].code.n; m++)
			good = is_mapped(in, points[k].code.map[m].at) || map_one(&i, in, &points[k].code.map[m]);
	good = good && jump_in(t, &i, b, points, n, room);
	inject_end(&i);
	return good;
}

static bool may_run(const struct tree *t, const struct traced *p, const struct point *at, u64 fs, bool *never)
{
	const struct task_code *c = &at->code;
	bool good = (!c->names_tasks || (knows_pids(t, p->tid) && knows_threads(p->tid, fs))) && (!c->asks_time || inject_vdso(p->tid, "__vdso_clock_gettime")) &&
		    (!at->probe->at_return || !has_shadow_stack(p->tid));

	*never = *never || !good;
	return good;
}

static bool try_points(struct tree *t, struct traced *p, struct brk *b, const struct user_regs_struct *regs, bool *never)
{
	struct point points[MOST_POINTS];
	struct proc_map m;
	u64 room;
	u32 n = 0, covered;
	u8 moved[INSN_MOVED];
	bool good = true;

	for (u32 i = 0; i < t->n_points && good; i++) {
		if (!space_point(t, p->space, b, &t->points[i]))
			continue;
		if (n == MOST_POINTS || (t->points[i].pid >= 0 && t->points[i].pid != p->space->tgid) || task_probe_code(t->s->k, t->points[i].id, &points[n].code)) {
			good = false;
			*never = true;
			break;
		}
		points[n++].probe = &t->points[i];
		good = may_run(t, p, &points[n - 1], regs->fs_base, never);
	}
	if (good && n) {
		good = insn_move(b->code, b->n_code, b->at, b->at, BRK_JUMP, moved, &covered) && find_room(p->tid, b->at, STUBS, &m, &room) && !is_go(p->tid, "root", m.path) &&
		       !jump_entered(p->space, p->tid, m.from, m.to, b->at, covered);
		*never = *never || !good;
		good = good && jump_alone(p->space, b, covered) && inject(t, p, b, points, n, room, regs);
	}
	for (u32 i = 0; i < n; i++)
		task_code_close(&points[i].code);
	return good && n;
}

/* NULL: nothing is mapped into this process. */
static struct inside_space *space_inside(const struct tree *t, const struct traced *p, const struct user_regs_struct *regs)
{
	struct inside_space *in = p->space->inside;

	if (!in) {
		p->space->inside = in = calloc(1, sizeof(*in));
		if (!in)
			return NULL;
		in->refused = regs->cs != USER_CS || is_filtered(t, p);
		in->go = is_go(p->tid, "exe", "");
	}
	return in->refused ? NULL : in;
}

u64 inside_aside(struct tree *t, struct traced *p, struct brk *b, const struct user_regs_struct *regs)
{
	struct inside_space *in = space_inside(t, p, regs);
	struct injection i = {0};
	struct stubs *near;
	struct proc_map m;
	u8 moved[INSN_MOVED];
	u32 covered, size, least = BRK_JUMP;
	u64 room, at;

	if (b->aside || !in)
		return b->aside;
	if (!insn_move(b->code, b->n_code, b->at, b->at, least, moved, &covered) || !jump_alone(p->space, b, covered)) {
		least = 1; /* it comes back among the bytes of a jump: there will be none */
		if (!insn_move(b->code, b->n_code, b->at, b->at, least, moved, &covered))
			return 0;
	}
	near = known_stubs(in, b->at);
	if (!near && find_room(p->tid, b->at, STUBS, &m, &room) && inject_begin(&i, t, p, regs))
		near = stubs_near(&i, in, b->at, room);
	inject_end(&i);
	if (!near)
		return 0;
	at = near->base + near->used;
	size = insn_move(b->code, b->n_code, b->at, at, least, moved, &covered);
	if (!size || space_poke(p->tid, at, moved, size, true) != (int)size)
		return 0;
	b->returns_among = b->returns_among || least < BRK_JUMP;
	near->used += ALIGN_UP(size, 16u);
	return b->aside = at;
}

void inside_try(struct tree *t, struct traced *p, struct brk *b, const struct user_regs_struct *regs)
{
	struct space *s = p->space;
	bool never = false;

	if (b->resume || !b->entry || !b->set || b->stepping || b->returns_among || ++b->hits < b->try_at)
		return;
	b->try_at = b->hits + b->hits / 2 + 1; /* a thread or an interrupted one may be in the way now */
	if (!space_inside(t, p, regs) || s->inside->go)
		return;
	b->points = inside_points(t, s, b);
	if (!try_points(t, p, b, regs, &never) && never)
		b->try_at = UINT32_MAX;
}

bool inside_is_set(pid_t tid, const struct brk *b)
{
	u8 there[BRK_JUMP] = {0};

	return space_poke(tid, b->at, there, BRK_JUMP, false) == BRK_JUMP && !memcmp(there, b->jump, BRK_JUMP);
}

/* Every processor has seen what was written. */
static void everywhere(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(1000);
}

void inside_back(pid_t tid, struct brk *const *jumps, u32 n)
{
	const u8 trap = INT3;

	for (u32 i = 0; i < n; i++)
		if (inside_is_set(tid, jumps[i]))
			space_poke(tid, jumps[i]->at, &trap, 1, true);
		else
			jumps[i]->set = false;
	if (n)
		everywhere();
	for (u32 i = 0; i < n; i++) {
		if (jumps[i]->set)
			space_poke(tid, jumps[i]->at + 1, jumps[i]->code + 1, BRK_JUMP - 1, true);
		jumps[i]->resume = 0;
		jumps[i]->hits = 0;
		jumps[i]->try_at = BRK_FIRST_TRY;
	}
	if (n)
		everywhere();
}

/* ---- what programs ask for ---- */

bool inside_asks(struct tree *t, struct traced *p, u64 at, struct user_regs_struct *regs)
{
	const struct inside_space *in = p->space->inside;
	struct task_ask ask = {.helper = regs->rdi, .map = regs->rsi, .key = regs->rdx, .value = regs->rcx, .flags = regs->r8, .cpu = regs->r9};

	if (!in || !in->at || at != in->trap)
		return false;
	wait_for_reader(t);
	regs->rax = (u64)(p->task ? task_inside_ask(t->s->k, p->task, &ask) : -EBUSY);
	ptrace(PTRACE_SETREGS, p->tid, 0, regs);
	traced_resume(t, p, 0);
	return true;
}

bool inside_faults(struct tree *t, struct traced *p)
{
	const struct inside_space *in = p->space ? p->space->inside : NULL;
	struct user_regs_struct regs;
	siginfo_t si = {0};

	if (!in || !in->at || ptrace(PTRACE_GETSIGINFO, p->tid, 0, &si) || si.si_code <= 0 || ptrace(PTRACE_GETREGS, p->tid, 0, &regs) || regs.rip < in->reads ||
	    regs.rip >= in->read_end)
		return false;
	regs.rip = in->read_end;
	ptrace(PTRACE_SETREGS, p->tid, 0, &regs);
	traced_resume(t, p, 0);
	return true;
}

bool inside_quiet(const struct traced *p, bool quiet)
{
	const struct inside_space *in = p->space ? p->space->inside : NULL;
	u32 word = quiet;

	return in && in->at && !remote_put(p->tid, in->at + TASK_INSIDE_CODE + offsetof(struct task_inside, quiet), &word, sizeof(word));
}

void inside_leave(struct traced *p)
{
	const struct inside_space *in = p->space ? p->space->inside : NULL;
	struct user_regs_struct regs;

	if (!inside_quiet(p, true) || ptrace(PTRACE_GETREGS, p->tid, 0, &regs))
		return;
	if (regs.rip > in->ask && regs.rip <= in->trap)
		regs.rip = in->ask; /* it looked before */
	else if (regs.rip >= in->reads && regs.rip < in->read_end)
		regs.rip = in->read_end;
	else
		return;
	ptrace(PTRACE_SETREGS, p->tid, 0, &regs);
}

/* ---- memory of the same contents ---- */

void inside_forked(const struct tree *t, const struct traced *parent, struct traced *child)
{
	struct inside_space *in = child->space->inside;
	struct user_regs_struct regs;
	u64 clock = 0, data;

	if (!in || !in->at)
		return;
	data = in->at + TASK_INSIDE_CODE;
	guard_quiet(child->space->guard, child->tgid, in->trap, in->reads, in->read_end, data + offsetof(struct task_inside, quiet));
	remote_get(child->tid, data + offsetof(struct task_inside, clock), &clock, sizeof(clock));
	begin_data(child, child->space->inside, data, child->tgid, clock);
	if (!ptrace(PTRACE_GETREGS, parent->tid, 0, &regs))
		name_at(child->tid, in, regs.fs_base, child->task);
	child->named = true;
	if (!knows_pids(t, child->tid)) { /* it is in a pid namespace of its own: breakpoints, as long as it lives */
		in->refused = true;
		for (u32 i = 0; i < child->space->n; i++) {
			struct brk *b = &child->space->brk[i];

			if (b->set && b->resume)
				inside_back(child->tid, &b, 1);
		}
	}
}

struct inside_space *inside_copy(const struct inside_space *from)
{
	struct inside_space *in = from ? calloc(1, sizeof(*in)) : NULL;

	if (!in)
		return NULL;
	*in = *from;
	in->map = malloc(MAX(from->n_map, 1u) * sizeof(*in->map));
	in->stubs = malloc(MAX(from->n_stubs, 1u) * sizeof(*in->stubs));
	if (!in->map || !in->stubs) {
		inside_free(in);
		return NULL;
	}
	if (from->n_map)
		memcpy(in->map, from->map, from->n_map * sizeof(*in->map));
	if (from->n_stubs)
		memcpy(in->stubs, from->stubs, from->n_stubs * sizeof(*in->stubs));
	return in;
}

void inside_free(struct inside_space *in)
{
	if (!in)
		return;
	free(in->map);
	free(in->stubs);
	free(in);
}
