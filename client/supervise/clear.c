/* SPDX-License-Identifier: BSD-2-Clause */
/* May a jump lie here: see space.h. */
#include "client/supervise/insn.h"
#include "client/supervise/space.h"

#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

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

bool jump_entered(const struct space *s, pid_t tid, u64 low, u64 high, u64 at, u32 covered)
{
	enum { AROUND = 1 << 19, SHORT = 128 };
	u64 from = MAX(low, at > AROUND ? at - AROUND : 0), to = MIN(high, at + AROUND), before = at - from, target;
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

bool jump_alone(const struct space *s, const struct brk *b, u32 covered)
{
	for (u32 i = 0; i < s->n; i++)
		if (&s->brk[i] != b && s->brk[i].set && s->brk[i].at + (s->brk[i].resume ? BRK_JUMP : 1) > b->at && s->brk[i].at < b->at + covered)
			return false;
	return true;
}

/* ---- other threads ---- */

enum whereabouts { OUTSIDE, AMONG, RUNS };

bool stack_names(pid_t tid, u64 sp, u64 from, u64 to, bool signal)
{
	enum { MOST = 1 << 20, USER_CS = 0x33 /* two words behind the address, in struct sigcontext */ };
	u64 *stack = malloc(MOST);
	s64 n = stack ? remote_read(tid, sp & ~7ull, stack, MOST) : 0;
	bool found = !stack;

	for (s64 i = 0; i < n / 8 && !found; i++)
		found = stack[i] >= from && stack[i] < to && (!signal || (i + 2 < n / 8 && (u16)stack[i + 2] == USER_CS));
	free(stack);
	return found;
}

/* Where a signal has interrupted it before counts, too: that lies on its stack. */
static enum whereabouts among(const struct traced *q, u64 ip, u64 sp, u64 at)
{
	return goes_into(ip, at) || stack_names(q->tid, sp, at + 1, at + BRK_JUMP, false) ? AMONG : OUTSIDE;
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
	char line[256], *ip, *sp;

	if (!proc_line(q->tid, "syscall", line, sizeof(line)) || !*line)
		return OUTSIDE;
	ip = strrchr(line, ' '); /* the last two fields are stack and instruction pointer */
	for (sp = ip; sp && sp > line && sp[-1] != ' ';)
		sp--;
	return !ip || !strncmp(line, "running", 7) ? RUNS : among(q, strtoull(ip, NULL, 16), strtoull(sp, NULL, 16), at);
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

bool jump_clear(struct tree *t, struct traced *p, u64 at)
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
