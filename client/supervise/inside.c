/* SPDX-License-Identifier: BSD-2-Clause */
/* Probes as jumps: see space.h. */
#include "client/supervise/insn.h"
#include "client/supervise/space.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { MOST_POINTS = 8, STUBS = 16384 /* bytes of a mapping for stubs */, STUB = 1024, USER_CS = 0x33 };

struct stubs {
	u64 base;
	u32 used;
};

struct inside_space {
	u64 at; /* the routines; 0: nothing is mapped */
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

/* System calls that a filter of the program's own would see are not made for it. */
static bool is_filtered(const struct tree *t, const struct traced *p)
{
	u64 own = 0, mode = 0, filters = 0;
	bool ours = p->filtered || (!t->answers && !p->unserved);

	if (!proc_status(p->tid, "Seccomp", 10, &mode) || mode == 1 || !proc_status(getpid(), "Seccomp_filters", 10, &own) ||
	    !proc_status(p->tid, "Seccomp_filters", 10, &filters))
		return true;
	return filters > own + ours;
}

/* Goroutines run on stacks of a few KiB, and move. file: relative to the process's folder in /proc. */
static bool is_go(pid_t tid, const char *file)
{
	enum { HEAD = 65536 };
	char path[PATH_MAX + 64], *head = malloc(HEAD);
	bool found = true;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", tid, file);
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
	char path[64], line[256];
	bool has = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		has = has || (!strncmp(line, "x86_Thread_features:", 20) && strstr(line, "shstk"));
	if (f)
		fclose(f);
	return has;
}

static bool knows_pids(const struct tree *t, pid_t tid)
{
	enum { FSGSBASE = 2 };
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", tid);
	return getauxval(AT_HWCAP2) & FSGSBASE && !stat(path, &st) && st.st_ino == t->pid_ns_ino;
}

/* ---- where ---- */

struct mapping {
	u64 from, to;
	char file[PATH_MAX]; /* as is_go() takes it */
};

/* The mapping that holds `at`, and an address for a mapping of `size` bytes near it (0: none). */
static bool find_room(pid_t tid, u64 at, u64 size, struct mapping *holds, u64 *room)
{
	const u64 far = (1ull << 31) - (16u << 20), lowest = 1u << 20;
	u64 end = lowest, best = UINT64_MAX;
	char path[64], line[PATH_MAX + 256];
	bool found = false;
	FILE *f;

	*room = 0;
	snprintf(path, sizeof(path), "/proc/%d/maps", tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		u64 from, to, low, high, near;

		if (sscanf(line, "%lx-%lx", &from, &to) != 2)
			continue;
		if (at >= from && at < to) {
			*holds = (struct mapping){.from = from, .to = to, .file = "root"};
			found = sscanf(line, "%*s %*s %*s %*s %*s %4000[^\n]", holds->file + 4) == 1;
		}
		low = end + (1u << 20); /* room for what grows */
		high = from > (1u << 20) + size ? from - (1u << 20) - size : 0;
		near = (high < at ? high : low) & ~4095ull;
		end = to;
		if (high < low || near < low || (near > at ? near - at : at - near) > far || (near > at ? near - at : at - near) >= best)
			continue;
		best = near > at ? near - at : at - near;
		*room = near;
	}
	if (f)
		fclose(f);
	return found;
}

static bool goes_into(u64 to, u64 at)
{
	return to > at && to < at + BRK_JUMP;
}

/* Does any byte look like the beginning of a branch into the jump, with a distance of four bytes, or of one? */
static bool long_branch(const u8 *code, u64 size, u64 base, u64 at)
{
	for (u64 i = 0; i + 6 <= size; i++) {
		u64 four = code[i] == 0xe8 || code[i] == 0xe9 ? i + 1 : code[i] == 0x0f && (code[i + 1] & 0xf0) == 0x80 ? i + 2 : 0;

		if (four && goes_into(base + four + 4 + (u64)(s64)LOAD_AS(s32, code + four), at))
			return true;
	}
	return false;
}

static bool short_branch(const u8 *code, u64 from, u64 to, u64 base, u64 at)
{
	for (u64 i = from; i + 2 <= to; i++)
		if (((code[i] & 0xf0) == 0x70 || code[i] == 0xeb || (code[i] & 0xfc) == 0xe0) && goes_into(base + i + 2 + (u64)(s64)(s8)code[i + 1], at))
			return true;
	return false;
}

/* Functions begin where others have ended, and nothing branches from there into the middle of one. */
static bool begins_function(const u8 *code, u64 at)
{
	return !memcmp(code, "\xf3\x0f\x1e\xfa", 4) || code[-1] == 0xc3 || code[-1] == 0xcc || (!(at & 15) && (code[-1] == 0x90 || !code[-1]));
}

/* Rule 2. */
static bool is_entered(const struct space *s, pid_t tid, const struct mapping *m, u64 at, u32 covered)
{
	enum { AROUND = 1 << 19, SHORT = 128 };
	u64 from = MAX(m->from, at > AROUND ? at - AROUND : 0), to = MIN(m->to, at + AROUND), before = at - from, target;
	u8 *code = malloc(to - from);
	u64 size = code ? space_code(s, tid, from, code, (u32)(to - from)) : 0, i = before + covered, end = MIN(size, i + SHORT);
	struct insn_form f;
	bool entered = true;

	if (size < before + covered)
		goto out;
	while (i < end && insn_form(code + i, (u32)MIN(size - i, (u64)INSN_MOST), &f)) {
		if (insn_branch(code + i, &f, from + i, &target) && goes_into(target, at))
			goto out;
		i += f.size;
	}
	if (i < end && short_branch(code, i, end, from, at)) /* no instructions: whatever may look like one */
		goto out;
	if (before && !begins_function(code + before, at) && short_branch(code, before > SHORT ? before - SHORT : 0, before, from, at))
		goto out;
	entered = long_branch(code, size, from, at);
out:
	free(code);
	return entered;
}

static bool alone_there(const struct space *s, const struct brk *b, u32 covered)
{
	for (u32 i = 0; i < s->n; i++)
		if (&s->brk[i] != b && s->brk[i].set && s->brk[i].at + (s->brk[i].resume ? BRK_JUMP : 1) > b->at && s->brk[i].at < b->at + covered)
			return false;
	return true;
}

/* ---- other threads ---- */

enum whereabouts { OUTSIDE, AMONG, RUNS };

/* Where a signal has interrupted it before counts, too: that lies on its stack. */
static enum whereabouts among(const struct traced *q, u64 ip, u64 sp, u64 at)
{
	enum { MOST = 1 << 20 };
	u64 *stack = malloc(MOST);
	s64 n = stack ? remote_read(q->tid, sp & ~7ull, stack, MOST) : 0;
	bool found = !stack || goes_into(ip, at);

	for (s64 i = 0; i < n / 8 && !found; i++)
		found = goes_into(stack[i], at);
	free(stack);
	return found ? AMONG : OUTSIDE;
}

static enum whereabouts stopped_at(const struct traced *q, u64 at, bool trapped)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, q->tid, 0, &regs))
		return OUTSIDE; /* it is gone */
	return among(q, trapped && regs.rip == at + 1 ? at : regs.rip, regs.rsp, at);
}

static enum whereabouts sleeps_at(const struct traced *q, u64 at)
{
	char path[64], line[256], *ip, *sp;
	enum whereabouts where = OUTSIDE;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/syscall", q->tid);
	f = fopen(path, "re");
	if (f && fgets(line, sizeof(line), f)) {
		ip = strrchr(line, ' '); /* the last two fields are stack and instruction pointer */
		for (sp = ip; sp && sp > line && sp[-1] != ' ';)
			sp--;
		where = !ip || !strncmp(line, "running", 7) ? RUNS : among(q, strtoull(ip, NULL, 16), strtoull(sp, NULL, 16), at);
	}
	if (f)
		fclose(f);
	return where;
}

static enum whereabouts look_at(struct tree *t, struct traced *q, u64 at, bool *held)
{
	int status;

	if (q->stopped)
		return stopped_at(q, at, false);
	if (*held)
		return OUTSIDE;
	if (t->n_held < ARRAY_SIZE(t->held) && waitpid(q->tid, &status, WNOHANG | __WALL) == q->tid) {
		t->held[t->n_held].tid = q->tid;
		t->held[t->n_held++].status = status;
		*held = true;
		return WIFSTOPPED(status) ? stopped_at(q, at, WSTOPSIG(status) == SIGTRAP && !(status >> 16)) : OUTSIDE;
	}
	return sleeps_at(q, at);
}

static u32 others(const struct tree *t, const struct space *s, const struct traced *but, struct traced **out, u32 room)
{
	u32 n = 0;

	for (u32 i = 0; i < TREE_BUCKETS; i++)
		for (struct traced *q = t->bucket[i]; q; q = q->chain)
			if (q->space == s && q != but) {
				if (n < room)
					out[n] = q;
				n++;
			}
	return n;
}

/* Does no thread stand among the bytes? Those that run are stopped for it, unless that takes long. */
static bool all_outside(struct tree *t, struct traced *p, u64 at)
{
	enum { MOST = 256, MOST_NS = 5000000 };
	u64 end = os_clock_ns(CLOCK_MONOTONIC) + MOST_NS;
	struct traced *q[MOST];
	bool held[MOST] = {0}, asked[MOST] = {0}, some = true;
	u32 n = others(t, p->space, p, q, MOST);

	if (stopped_at(p, at, true) == AMONG)
		return false;
	while (some && n <= MOST && os_clock_ns(CLOCK_MONOTONIC) < end) {
		some = false;
		for (u32 i = 0; i < n; i++) {
			enum whereabouts where = look_at(t, q[i], at, &held[i]);

			if (where == AMONG)
				return false;
			if (where == RUNS && !asked[i])
				asked[i] = !ptrace(PTRACE_INTERRUPT, q[i]->tid, 0, 0);
			some = some || where == RUNS;
		}
		if (some)
			usleep(30);
	}
	return !some;
}

/* ---- stubs ---- */

struct stub {
	u64 at;
	u32 n;
	u8 code[STUB];
};

#define PUT(s, ...) put(s, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))
static void put(struct stub *s, const u8 *bytes, size_t n)
{
	if (s->n + n <= sizeof(s->code))
		memcpy(s->code + s->n, bytes, n);
	s->n += (u32)n;
}

static void put64(struct stub *s, u64 x)
{
	put(s, (const u8 *)&x, sizeof(x));
}

/* Registers onto the stack as struct task_regs has them, %rbx points to them; sp: what is to be added to the stack pointer. Then room for a run's head. */
static void put_registers(struct stub *s, u8 sp, u64 function)
{
	PUT(s, 0x6a, 0x2b, 0x54, 0x9c, 0x6a, USER_CS, 0x6a, 0, 0x6a, 0xff, 0x57, 0x56, 0x52, 0x51, 0x50); /* push ss, sp, flags, cs, ip, orig_ax, di .. ax */
	PUT(s, 0x41, 0x50, 0x41, 0x51, 0x41, 0x52, 0x41, 0x53, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57); /* push r8 .. r11, bx, bp, r12 .. r15 */
	PUT(s, 0x48, 0x89, 0xe3); /* mov %rsp, %rbx */
	PUT(s, 0x48, 0x81, 0x83, 152, 0, 0, 0, sp, 0, 0, 0); /* addq $sp, 152(%rbx) */
	PUT(s, 0x48, 0xb8); /* movabs $function, %rax */
	put64(s, function);
	PUT(s, 0x48, 0x89, 0x83, 128, 0, 0, 0); /* mov %rax, 128(%rbx) */
	PUT(s, 0x48, 0x83, 0xec, 32, 0x48, 0x83, 0xe4, 0xf0); /* sub $32, %rsp; and $-16, %rsp */
	PUT(s, 0x48, 0xc7, 0x04, 0x24, 0, 0, 0, 0, 0x48, 0x89, 0x44, 0x24, 16); /* movq $0, (%rsp); mov %rax, 16(%rsp) */
	_Static_assert((int)TASK_INSIDE_FRAME <= 32, "room for a run's head");
	_Static_assert(offsetof(struct task_regs, sp) == 152 && offsetof(struct task_regs, ip) == 128 && sizeof(struct task_regs) == 168, "as pushed");
}

static void put_call(struct stub *s, u64 to)
{
	PUT(s, 0x48, 0xb8); /* movabs $to, %rax; call *%rax */
	put64(s, to);
	PUT(s, 0xff, 0xd0);
}

static void put_program(struct stub *s, const struct task_code *c)
{
	PUT(s, 0x48, 0xb8);
	put64(s, c->cookie);
	PUT(s, 0x48, 0x89, 0x44, 0x24, 8, 0x48, 0x89, 0xe7, 0x48, 0x89, 0xde); /* mov %rax, 8(%rsp); mov %rsp, %rdi; mov %rbx, %rsi */
	put_call(s, c->entry);
}

static void put_restored(struct stub *s)
{
	PUT(s, 0x48, 0x89, 0xdc, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b); /* mov %rbx, %rsp; pop r15 .. r12, bp, bx */
	PUT(s, 0x41, 0x5b, 0x41, 0x5a, 0x41, 0x59, 0x41, 0x58, 0x58, 0x59, 0x5a, 0x5e, 0x5f); /* pop r11 .. r8, ax, cx, dx, si, di */
	PUT(s, 0x48, 0x8d, 0x64, 0x24, 24, 0x9d); /* lea 24(%rsp), %rsp; popf */
}

struct point {
	const struct task_probe *probe;
	struct task_code code;
};

/* What is returned to in place of the caller. The return address's place, which ret has left, holds it again in the end. */
static u32 put_return(struct stub *s, const struct point *p, u32 n, u64 function)
{
	u64 own = s->at + s->n;
	u32 begin = s->n;

	PUT(s, 0x6a, 0); /* push $0 */
	put_registers(s, 16, function);
	PUT(s, 0x48, 0x8d, 0xbb, 168, 0, 0, 0, 0x48, 0xbe); /* lea 168(%rbx), %rdi; movabs $own, %rsi */
	put64(s, own);
	put_call(s, p[0].code.leave);
	PUT(s, 0x48, 0x89, 0x83, 128, 0, 0, 0, 0x48, 0x89, 0x83, 168, 0, 0, 0); /* mov %rax, 128(%rbx); mov %rax, 168(%rbx) */
	for (u32 i = 0; i < n; i++)
		if (p[i].probe->at_return)
			put_program(s, &p[i].code);
	put_restored(s);
	PUT(s, 0x48, 0x8d, 0x64, 0x24, 16, 0xc3); /* lea 16(%rsp), %rsp; ret */
	while (s->n % 16)
		PUT(s, INT3);
	return begin;
}

/* true: s is what the jump leads to, at s->at + *entry; *resume: offset of the moved instructions. */
static bool build(struct stub *s, const struct brk *b, const struct point *p, u32 n, u32 *entry, u32 *resume)
{
	u8 moved[INSN_MOVED];
	bool returns = false;
	u64 back = s->at;
	u32 covered, size;

	for (u32 i = 0; i < n; i++)
		returns = returns || p[i].probe->at_return;
	if (returns)
		put_return(s, p, n, b->at);
	*entry = s->n;
	PUT(s, 0x48, 0x8d, 0x64, 0x24, 0x80); /* lea -128(%rsp), %rsp: the red zone */
	put_registers(s, 136, b->at);
	for (u32 i = 0; i < n; i++)
		if (!p[i].probe->at_return)
			put_program(s, &p[i].code);
	if (returns) {
		PUT(s, 0x48, 0x8b, 0xbb, 152, 0, 0, 0, 0x48, 0xbe); /* mov 152(%rbx), %rdi; movabs $back, %rsi */
		put64(s, back);
		put_call(s, p[0].code.enter);
	}
	put_restored(s);
	PUT(s, 0x48, 0x8d, 0xa4, 0x24, 144, 0, 0, 0); /* lea 144(%rsp), %rsp */
	*resume = s->n;
	size = insn_move(b->code, b->n_code, b->at, s->at + s->n, BRK_JUMP, moved, &covered);
	put(s, moved, size);
	return size && s->n <= sizeof(s->code);
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
	char path[64], line[4352];
	struct stat st;
	bool has = false;
	FILE *f;

	if (fstat(m->fd, &st))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/maps", tid);
	f = fopen(path, "re");
	while (f && !has && fgets(line, sizeof(line), f)) {
		u64 from, to, offset, ino;

		has = sscanf(line, "%lx-%lx %*s %lx %*s %lu", &from, &to, &offset, &ino) == 4 && from == m->at && offset == m->offset && ino == st.st_ino;
	}
	if (f)
		fclose(f);
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

static void name_at(pid_t tid, const struct inside_space *in, u64 fs, pid_t thread)
{
	u64 at = in->at + TASK_INSIDE_CODE + offsetof(struct task_inside, thread), value = task_inside_thread(fs, (u32)thread), there[2], none = 0;
	u32 place = task_inside_place(fs), to = place;

	if (!fs || fs & 63)
		return;
	for (u32 i = 0; i < 2; i++)
		if (remote_get(tid, at + (place ^ i) * 8, &there[i], sizeof(there[i])))
			return;
	for (u32 i = 0; i < 2; i++)
		if ((there[i] ^ value) >> 22 == 0) { /* somebody had this FS base before */
			remote_put(tid, at + (place ^ i) * 8, thread ? &value : &none, 8);
			return;
		}
	if (there[0] && !there[1])
		to ^= 1;
	if (thread)
		remote_put(tid, at + to * 8, &value, sizeof(value));
}

static void name_with(struct traced *p, u64 fs)
{
	/* A child of vfork(2) runs on its parent's FS base: which of them it is, the two find out by themselves. */
	name_at(p->tid, p->space->inside, fs, p->tgid == p->space->tgid ? p->tid : 0);
	p->named = true;
}

void inside_name(struct traced *p)
{
	struct user_regs_struct regs;

	if (!p->named && p->space && p->space->inside && p->space->inside->at && !ptrace(PTRACE_GETREGS, p->tid, 0, &regs))
		name_with(p, regs.fs_base);
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
static bool begin_data(pid_t tid, u64 data, pid_t tgid, u64 clock)
{
	struct task_inside *fresh = calloc(1, sizeof(*fresh));
	bool done = false;

	if (fresh) {
		fresh->tgid = (u64)tgid << 32;
		fresh->clock = clock;
		done = !remote_put(tid, data, fresh, offsetof(struct task_inside, call));
	}
	free(fresh);
	return done;
}

static bool map_routines(struct injection *i, struct inside_space *in, const struct task_code *c)
{
	u64 data = c->inside + TASK_INSIDE_CODE, size = ALIGN_UP(sizeof(struct task_inside), (size_t)4096), clock = inject_vdso(i->p->tid, "__vdso_clock_gettime");
	bool before;

	if (in->at)
		return in->at == c->inside;
	before = has_file(i->p->tid, &c->map[0]);
	if (!map_one(i, in, &c->map[0]) ||
	    (!before && !map_at(i, data, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) ||
	    !begin_data(i->p->tid, data, i->p->space->tgid, clock))
		return false;
	in->at = c->inside;
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
	if (!build(&s, b, p, n, &entry, &resume) || space_poke(task->tid, s.at, s.code, s.n, true) != (int)s.n || !all_outside(t, task, b->at))
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

static bool may_run(const struct tree *t, const struct traced *p, const struct point *at, bool *never)
{
	const struct task_code *c = &at->code;
	bool good = (!c->names_tasks || knows_pids(t, p->tid)) && (!c->asks_time || inject_vdso(p->tid, "__vdso_clock_gettime")) &&
		    (!at->probe->at_return || !has_shadow_stack(p->tid));

	*never = *never || !good;
	return good;
}

static bool try_points(struct tree *t, struct traced *p, struct brk *b, const struct user_regs_struct *regs, bool *never)
{
	struct point points[MOST_POINTS];
	struct mapping m;
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
		good = may_run(t, p, &points[n - 1], never);
	}
	if (good && n) {
		good = insn_move(b->code, b->n_code, b->at, b->at, BRK_JUMP, moved, &covered) && find_room(p->tid, b->at, STUBS, &m, &room) && !is_go(p->tid, m.file) &&
		       !is_entered(p->space, p->tid, &m, b->at, covered);
		*never = *never || !good;
		good = good && alone_there(p->space, b, covered) && inject(t, p, b, points, n, room, regs);
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
		in->go = is_go(p->tid, "exe");
	}
	return in->refused ? NULL : in;
}

u64 inside_aside(struct tree *t, struct traced *p, struct brk *b, const struct user_regs_struct *regs)
{
	struct inside_space *in = space_inside(t, p, regs);
	struct injection i = {0};
	struct stubs *near;
	struct mapping m;
	u8 moved[INSN_MOVED];
	u32 covered, size, least = BRK_JUMP;
	u64 room, at;

	if (b->aside || !in)
		return b->aside;
	if (!insn_move(b->code, b->n_code, b->at, b->at, least, moved, &covered) || !alone_there(p->space, b, covered)) {
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
	b->try_at = b->hits * 4;
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

/* ---- memory of the same contents ---- */

void inside_forked(const struct tree *t, const struct traced *parent, struct traced *child)
{
	struct inside_space *in = child->space->inside;
	struct user_regs_struct regs;
	u64 clock = 0, data;

	if (!in || !in->at)
		return;
	data = in->at + TASK_INSIDE_CODE;
	remote_get(child->tid, data + offsetof(struct task_inside, clock), &clock, sizeof(clock));
	begin_data(child->tid, data, child->tgid, clock);
	if (!ptrace(PTRACE_GETREGS, parent->tid, 0, &regs))
		name_at(child->tid, in, regs.fs_base, child->tid);
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
