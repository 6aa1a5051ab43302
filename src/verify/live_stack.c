/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which stack slots are read later, as Linux 6.18 finds it out: per function and chain of calls that leads to it, from what the instructions that were
 * walked read and wrote, a data-flow analysis over all of the function's paths, which is done anew whenever a path or a call ends.
 *
 * What Linux prunes by it, VERIFY_LINUX does. skep's own result goes by marks that are gathered path by path (live.c) and know more; there it is made
 * for the log of level 2, which shows it. It ends quietly where it would cost more than the walk (BYTES_MOST, LOOKS_MOST): then every slot counts as read.
 */
#include "verify/state.h"

enum { BUCKETS = 256, BYTES_MOST = 256 << 20, LOOKS_MOST = 100000000 };

struct masks { /* of the slots of one frame, at one instruction */
	u64 read, written; /* by the instruction: on some way, on every way on which it was walked */
	u64 live, all_written; /* from here on: read before it is written; written on every way to the end */
};

struct chain { /* a function, and the calls that lead to it */
	struct chain *next;
	u32 depth, call[FRAMES]; /* call[depth]: where the function starts */
	u32 start[FRAMES]; /* of the functions that call */
	const struct subprog *func;
	struct masks *of_frame[FRAMES]; /* by instruction of the function; NULL: nothing of that frame is read or written here */
	u8 *walked; /* by instruction */
	bool changed, fewer; /* since the last update: marks; marks of what is written, to fewer */
};

struct live_stack {
	struct chain *table[BUCKETS], *here; /* here: of the path that is walked; NULL: not known */
	u32 *order, at; /* of instructions, a function's last ones first; at: the instruction whose writes are gathered */
	bool *ordered; /* by function */
	u64 writes[FRAMES];
	u64 bytes, looks;
};

int live_stack_open(struct verifier *v)
{
	struct live_stack *ls;

	if (v->safe && !(v->log_level & 2))
		return 0;
	ls = arena_alloc(&v->arena, sizeof(*ls));
	if (!ls)
		return reject(v, REJECT_MEMORY, "out of memory");
	ls->order = arena_array(&v->arena, v->n, sizeof(u32));
	ls->ordered = arena_array(&v->arena, v->prog->n_subprogs, sizeof(bool));
	if (!ls->order || !ls->ordered)
		return reject(v, REJECT_MEMORY, "out of memory");
	v->live_stack = ls;
	return 0;
}

void live_stack_forget(struct verifier *v)
{
	struct live_stack *ls = v->live_stack;

	if (!ls)
		return;
	memset(ls->table, 0, sizeof(ls->table));
	ls->here = NULL;
}

/* ---- chains ---- */

static void *room(struct verifier *v, size_t n, size_t size)
{
	struct live_stack *ls = v->live_stack;
	void *p;

	if (!ls) /* there was none for something else before */
		return NULL;
	ls->bytes += n * size;
	p = ls->bytes > BYTES_MOST ? NULL : arena_array(&v->arena, n, size);
	if (!p)
		v->live_stack = NULL;
	return p;
}

static u32 hash(const u32 *call, u32 depth)
{
	u32 h = depth;

	for (u32 i = 0; i <= depth; i++)
		h = (h ^ call[i]) * 0x9e3779b1u;
	return h >> 24;
}

static struct chain *chain_find(struct verifier *v, const u32 *call, const u32 *start, u32 depth)
{
	struct chain **bucket = &v->live_stack->table[hash(call, depth) % BUCKETS], *c;
	size_t bytes = depth * sizeof(u32);

	for (c = *bucket; c; c = c->next)
		if (c->depth == depth && !memcmp(c->call, call, bytes + sizeof(u32)) && !memcmp(c->start, start, bytes))
			return c;
	c = room(v, 1, sizeof(*c));
	if (!c)
		return NULL;
	memcpy(c->call, call, bytes + sizeof(u32));
	memcpy(c->start, start, bytes);
	c->depth = depth;
	c->func = subprog_at(v->prog, call[depth]);
	c->walked = room(v, c->func->end - c->func->start, 1);
	if (!c->walked)
		return NULL;
	c->next = *bucket;
	return *bucket = c;
}

static struct chain *chain_of(struct verifier *v, const struct state *s, u32 frame)
{
	u32 call[FRAMES], start[FRAMES];

	for (u32 i = 0; i <= frame; i++) {
		start[i] = v->prog->subprogs[s->frame[i]->subprog].start;
		call[i] = i < frame ? s->callsite[i + 1] : start[i];
	}
	return chain_find(v, call, start, frame);
}

static struct masks *masks_at(const struct chain *c, u32 frame, u32 insn)
{
	return c->of_frame[frame] ? &c->of_frame[frame][insn - c->func->start] : NULL;
}

static struct masks *masks_make(struct verifier *v, struct chain *c, u32 frame, u32 insn)
{
	if (!c->of_frame[frame])
		c->of_frame[frame] = room(v, c->func->end - c->func->start, sizeof(struct masks));
	return masks_at(c, frame, insn);
}

/* ---- what instructions do ---- */

static void note_read(struct verifier *v, struct chain *c, u32 frame, u32 insn, u64 slots)
{
	struct masks *m = masks_make(v, c, frame, insn);

	if (!m || !(slots & ~m->read))
		return;
	m->read |= slots;
	c->changed = true;
}

static void note_writes(struct verifier *v, struct chain *c, u32 insn, const u64 *writes)
{
	bool walked = c->walked[insn - c->func->start];

	for (u32 f = 0; f <= c->depth; f++) {
		struct masks *m;
		u64 slots = writes[f];

		if (!slots && !walked)
			continue;
		m = masks_make(v, c, f, insn);
		if (!m)
			return;
		if (walked)
			slots &= m->written;
		c->changed |= slots != m->written;
		c->fewer |= (m->written & ~slots) != 0;
		m->written = slots;
	}
	c->walked[insn - c->func->start] = true;
}

void live_stack_read(struct verifier *v, u32 frame, u32 slot)
{
	struct live_stack *ls = v->live_stack;

	if (!ls)
		return;
	if (!ls->here)
		ls->here = chain_of(v, v->cur, v->cur->n_frames - 1);
	if (ls->here)
		note_read(v, ls->here, frame, v->insn, 1ull << slot);
}

void live_stack_write(struct verifier *v, u32 frame, u32 slot)
{
	if (v->live_stack)
		v->live_stack->writes[frame] |= 1ull << slot;
}

void live_stack_before(struct verifier *v)
{
	struct live_stack *ls = v->live_stack;

	if (!ls)
		return;
	memset(ls->writes, 0, sizeof(ls->writes));
	ls->at = v->insn;
	if (!ls->here)
		ls->here = chain_of(v, v->cur, v->cur->n_frames - 1);
}

void live_stack_after(struct verifier *v)
{
	struct live_stack *ls = v->live_stack;

	if (ls && ls->here)
		note_writes(v, ls->here, ls->at, ls->writes);
}

void live_stack_elsewhere(struct verifier *v)
{
	if (v->live_stack)
		v->live_stack->here = NULL;
}

/* ---- the analysis ---- */

/* Instructions of a function, each behind those that follow it, but in cycles. */
static bool order_function(struct verifier *v, const struct subprog *f)
{
	struct live_stack *ls = v->live_stack;
	u32 n = f->end - f->start, *stack = room(v, n + 2, sizeof(u32)), n_stack = 0, done = f->start;
	u8 *seen = room(v, n, 1);
	enum { MET = 1, FOLLOWED = 2 };

	if (!stack || !seen)
		return false;
	stack[n_stack++] = f->start;
	while (n_stack) {
		u32 at = stack[n_stack - 1], to[2];

		if (seen[at - f->start] & FOLLOWED) {
			ls->order[done++] = at;
			n_stack--;
			continue;
		}
		seen[at - f->start] = MET | FOLLOWED;
		for (u32 i = 0, k = cfg_successors(v, at, to); i < k; i++)
			if (!seen[to[i] - f->start]) {
				seen[to[i] - f->start] = MET;
				stack[n_stack++] = to[i];
			}
	}
	for (; done < f->end; done++)
		ls->order[done] = UINT32_MAX;
	return ls->ordered[f - v->prog->subprogs] = true;
}

static void log_chain(struct verifier *v, const struct chain *c)
{
	for (u32 i = 0; i <= c->depth; i++)
		log_add(v, "%s%u", i ? "," : "(", c->call[i]);
	log_add(v, ") ");
}

static void log_slots(struct verifier *v, char sign, const char *what, u64 slots)
{
	const char *sep = "";

	if (!slots)
		return;
	log_add(v, "%c%s ", sign, what);
	for (; slots; slots &= slots - 1, sep = ",")
		log_add(v, "%s%d", sep, -(s32)(__builtin_ctzll(slots) + 1) * SLOT_BYTES);
	if (sign == '+')
		log_add(v, " ");
}

static void log_change(struct verifier *v, const struct chain *c, const char *what, u32 frame, u32 insn, u64 was, u64 is)
{
	if (was == is)
		return;
	log_chain(v, c);
	log_add(v, "frame %u insn %u ", frame, insn);
	log_slots(v, '+', what, is & ~was);
	log_slots(v, '-', what, was & ~is);
	log_add(v, "\n");
}

/* The masks of an instruction from those of what follows it; do they change? */
static bool update_insn(struct verifier *v, struct chain *c, u32 frame, u32 insn)
{
	struct masks *m = masks_at(c, frame, insn);
	u64 live = 0, all_written = UINT64_MAX;
	u32 to[2], n = cfg_successors(v, insn, to);
	bool changed;

	if (!n)
		return false;
	for (u32 i = 0; i < n; i++) {
		const struct masks *next = masks_at(c, frame, to[i]);

		live |= next->live;
		all_written &= next->all_written;
	}
	all_written |= m->written;
	live = (live & ~m->written) | m->read;
	changed = live != m->live || all_written != m->all_written;
	if (v->log_level & 2 && (m->read || m->written || insn == c->func->start || v->aux[insn].prune_point)) {
		log_change(v, c, "live", frame, insn, m->live, live);
		log_change(v, c, "written", frame, insn, m->all_written, all_written);
	}
	m->live = live;
	m->all_written = all_written;
	return changed;
}

/* What the function does to the frames of its callers, its call does. */
static void tell_caller(struct verifier *v, const struct chain *c)
{
	u32 call[FRAMES], at = c->call[c->depth - 1];
	u64 writes[FRAMES] = {0};
	struct chain *caller;

	memcpy(call, c->call, sizeof(call));
	call[c->depth - 1] = c->start[c->depth - 1];
	caller = chain_find(v, call, c->start, c->depth - 1);
	for (u32 f = 0; caller && f < c->depth; f++) {
		const struct masks *m = masks_at(c, f, c->func->start);

		if (!m)
			continue;
		writes[f] = m->all_written;
		note_read(v, caller, f, at, m->live);
		if (!v->live_stack)
			return;
	}
	if (caller)
		note_writes(v, caller, at, writes);
}

static void forget_written(struct chain *c)
{
	for (u32 f = 0; f <= c->depth; f++)
		for (u32 i = 0; c->of_frame[f] && i < c->func->end - c->func->start; i++)
			c->of_frame[f][i].all_written = 0;
}

static void update(struct verifier *v, struct chain *c)
{
	struct live_stack *ls = v->live_stack;
	bool changed = true;
	u32 rounds = 0;

	if (!c->changed || (!ls->ordered[c->func - v->prog->subprogs] && !order_function(v, c->func)))
		return;
	if (c->fewer)
		forget_written(c);
	while (changed) {
		changed = false;
		rounds++;
		ls->looks += c->func->end - c->func->start;
		if (ls->looks > LOOKS_MOST) {
			v->live_stack = NULL;
			return;
		}
		for (u32 f = 0; f <= c->depth; f++)
			for (u32 i = c->func->start; c->of_frame[f] && i < c->func->end && ls->order[i] != UINT32_MAX; i++)
				changed |= update_insn(v, c, f, ls->order[i]);
	}
	if (rounds > 1 && v->log_level & 2) {
		log_chain(v, c);
		log_add(v, "live stack update done in %u iterations\n", rounds);
	}
	if (c->depth)
		tell_caller(v, c);
	c->changed = c->fewer = false;
}

void live_stack_update(struct verifier *v)
{
	live_stack_elsewhere(v);
	for (u32 f = v->cur->n_frames; f-- > 0 && v->live_stack;) {
		struct chain *c = chain_of(v, v->cur, f);

		if (c)
			update(v, c);
	}
}

/* ---- what the analysis says of a state ---- */

static u64 live_before(const struct chain *c, u32 frame, u32 insn)
{
	const struct masks *m = c ? masks_at(c, frame, insn) : NULL;

	return m ? m->live : 0;
}

/* What the function reads from here on, and what its callers do behind their calls; a call that calls back may do so again. */
u64 live_stack_slots(struct verifier *v, const struct state *s, u32 frame)
{
	u32 last = s->n_frames - 1;
	u64 live = 0;

	for (u32 f = frame; f <= last && v->live_stack; f++) {
		u32 at = frame_insn(s, f);
		const struct chain *c = chain_of(v, s, f);

		live |= live_before(c, frame, f == last || v->aux[at].calls_callback ? at : at + 1);
	}
	return v->live_stack ? live : UINT64_MAX;
}
