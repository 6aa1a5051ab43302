/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Precision: which scalars' bounds a verdict rests on.
 *
 * Bounds of a scalar only count in comparisons of states once something depended on them. When that happens, the walk back along the path that led
 * here marks every register and stack slot that the scalar was computed from, in all checkpoints of the path, as precise. The walk is instruction by
 * instruction: struct history says where a path jumped, which slot a load or store used, and which registers shared an id.
 *
 * Where the walk cannot follow (a scalar that came through memory which it does not track), all scalars of the path become precise.
 */
#include "verify/state.h"

enum { REG_ARGS = 0x3e, STOPS_ALWAYS = 0x8000, DEFAULT_LEFT = -ENOTSUP };

/* What is looked for on the way back. */
struct wanted {
	u32 regs[FRAMES];
	u64 slots[FRAMES];
	s32 frame; /* current */
};

/* ---- history ---- */

/* The last entry of the current state gets links, in front of it. */
static int hist_link(struct verifier *v, struct state *s, u64 links)
{
	struct history *h;

	if (hist_reserve(v, s, s->n_hist + 1))
		return reject(v, REJECT_MEMORY, "out of memory");
	h = &s->hist[s->n_hist - 1];
	h[1] = h[0];
	h[1].has_links = 1;
	h[0] = (struct history){.links = links};
	s->n_links++;
	v->cur_hist = ++s->n_hist;
	return 0;
}

int hist_push(struct verifier *v, struct state *s, u32 flags, u64 links)
{
	if (!v->cur_hist) {
		if (hist_reserve(v, s, s->n_hist + 1))
			return reject(v, REJECT_MEMORY, "out of memory");
		s->hist[s->n_hist++] = (struct history){.insn = v->insn & PREV_NONE, .prev = v->prev_insn & PREV_NONE};
		v->cur_hist = s->n_hist;
	}
	s->hist[v->cur_hist - 1].flags |= flags & 0xfff;
	return links && !s->hist[v->cur_hist - 1].has_links ? hist_link(v, s, links) : 0;
}

static u64 hist_links(const struct history *h)
{
	return h && h->has_links ? h[-1].links : 0;
}

struct history *hist_of(const struct state *s, u32 n_hist, u32 insn)
{
	return n_hist && s->hist[n_hist - 1].insn == insn ? &s->hist[n_hist - 1] : NULL;
}

s64 hist_previous(const struct state *s, u32 insn, u32 *n_hist)
{
	if (insn == s->first_insn) {
		/* A loop may come back to the segment's first instruction: only the last visit is the first. */
		if (*n_hist == 0 || (*n_hist == 1u + s->hist[*n_hist - 1].has_links && s->hist[*n_hist - 1].insn == insn))
			return -1;
	}
	if (*n_hist && s->hist[*n_hist - 1].insn == insn) {
		const struct history *h = &s->hist[*n_hist - 1];

		*n_hist -= 1u + h->has_links;
		return h->prev == PREV_NONE ? (s64)UINT32_MAX : (s64)h->prev;
	}
	return insn > 0 ? (s64)insn - 1 : -1;
}

/* ---- one step back ---- */

static u32 *regs_of(struct wanted *w)
{
	return &w->regs[w->frame];
}

static bool wants(const struct wanted *w, u32 reg)
{
	return w->regs[w->frame] >> reg & 1;
}

static bool nothing_wanted(const struct wanted *w)
{
	u64 any = 0;

	for (s32 f = 0; f <= w->frame; f++)
		any |= w->regs[f] | w->slots[f];
	return !any;
}

static void want_linked(struct wanted *w, const struct history *h)
{
	u64 links = hist_links(h);
	u32 n = links & 0xf;
	bool some = false;

	if (!n)
		return;
	links >>= 4;
	for (u32 i = 0; i < n; i++) {
		u32 e = (u32)(links >> i * 10) & 0x3ff, frame = e & 7, index = e >> 3 & 0x3f;

		some |= e >> 9 ? w->regs[frame] >> index & 1 : w->slots[frame] >> index & 1;
	}
	for (u32 i = 0; some && i < n; i++) {
		u32 e = (u32)(links >> i * 10) & 0x3ff, frame = e & 7, index = e >> 3 & 0x3f;

		if (e >> 9)
			w->regs[frame] |= 1u << index;
		else
			w->slots[frame] |= 1ull << index;
	}
}

static int leave_frame(struct verifier *v, struct wanted *w)
{
	if (w->frame == 0)
		return bug(v, "precision: leaving the outermost function");
	w->frame--;
	return 0;
}

static int enter_frame(struct verifier *v, struct wanted *w)
{
	if (w->frame == FRAMES - 1)
		return bug(v, "precision: too many frames");
	w->frame++;
	w->regs[w->frame] = 0;
	w->slots[w->frame] = 0;
	return 0;
}

static int back_subprog_call(struct verifier *v, u32 at, s64 next, struct wanted *w)
{
	u32 sub = (u32)(subprog_at(v->prog, (u32)v->insns[at].target) - v->prog->subprogs), args;

	if (v->subs[sub].is_global && next == (s64)at + 1) { /* not walked into */
		if (*regs_of(w) & REG_ARGS)
			return bug(v, "precision: argument registers wanted after a call");
		*regs_of(w) &= ~1u;
		return 0;
	}
	if (*regs_of(w) & ~(u32)REG_ARGS || w->slots[w->frame])
		return bug(v, "precision: a callee's own registers or stack are left over");
	args = *regs_of(w) & REG_ARGS;
	*regs_of(w) = 0;
	if (leave_frame(v, w))
		return v->why->err;
	*regs_of(w) |= args;
	return 0;
}

static int back_call(struct verifier *v, u32 at, s64 next, struct wanted *w)
{
	const struct insn *in = &v->insns[at];

	if (in->pseudo == CALL_SUBPROG)
		return back_subprog_call(v, at, next, w);
	if (v->aux[at].calls_callback && next != (s64)at + 1) { /* entered its callback */
		if (*regs_of(w) & ~(u32)REG_ARGS) /* as Linux finds out where a callback tail-calls */
			return reject(v, REJECT_BUG, "verifier bug: callback unexpected regs %x", *regs_of(w));
		if (w->slots[w->frame])
			return bug(v, "precision: a callback's own stack is left over");
		*regs_of(w) = 0;
		return leave_frame(v, w);
	}
	*regs_of(w) &= ~1u;
	if (*regs_of(w) & REG_ARGS)
		return bug(v, "precision: argument registers wanted after a call");
	return returns_by_tail_call(v, at, next) ? enter_frame(v, w) : 0;
}

static int back_exit(struct verifier *v, s64 next, struct wanted *w)
{
	/* next is where the caller went on: after its call, or at the call again when this was a callback */
	bool called = next > 0 && v->insns[next - 1].op == OP_CALL && v->insns[next - 1].pseudo == CALL_SUBPROG;
	bool r0 = called && wants(w, 0);

	*regs_of(w) &= ~1u;
	if (enter_frame(v, w))
		return v->why->err;
	if (r0)
		*regs_of(w) |= 1;
	return 0;
}

static void back_alu(const struct insn *in, struct wanted *w)
{
	u32 *regs = regs_of(w);
	bool copies = op_table[in->op].flags & OPF_COPY;

	if (!wants(w, in->dst) || op_table[in->op].flags & OPF_UNARY)
		return;
	if (copies)
		*regs &= ~(1u << in->dst);
	if (!in->imm_src && in->src != REG_FP)
		*regs |= 1u << in->src;
}

static int back_load(const struct insn *in, const struct history *h, struct wanted *w)
{
	bool fetches = op_table[in->op].class == OPS_ATOMIC || in->op == OP_CMPXCHG;
	u32 to = in->op == OP_CMPXCHG ? 0 : fetches ? in->src : in->dst;

	if (!wants(w, to))
		return 0;
	*regs_of(w) &= ~(1u << to);
	if (h && h->flags & HIST_STACK)
		w->slots[h->flags & HIST_FRAME_MASK] |= 1ull << (h->flags >> HIST_SLOT_SHIFT & 0x3f);
	return 0;
}

static int back_store(const struct insn *in, const struct history *h, struct wanted *w)
{
	u64 bit;
	u32 frame;

	if (wants(w, in->dst))
		return DEFAULT_LEFT;
	if (!h || !(h->flags & HIST_STACK))
		return 0;
	frame = h->flags & HIST_FRAME_MASK;
	bit = 1ull << (h->flags >> HIST_SLOT_SHIFT & 0x3f);
	if (!(w->slots[frame] & bit))
		return 0;
	w->slots[frame] &= ~bit;
	if (in->op != OP_ST)
		*regs_of(w) |= 1u << in->src;
	return 0;
}

static void back_jump(const struct insn *in, const struct history *h, struct wanted *w)
{
	if (in->imm_src || (!wants(w, in->dst) && !wants(w, in->src)))
		return;
	if (!h || !(h->flags & HIST_SRC_POINTER))
		*regs_of(w) |= 1u << in->src;
	if (!h || !(h->flags & HIST_DST_POINTER))
		*regs_of(w) |= 1u << in->dst;
}

/* The registers for whose sake step_back() looks at an instruction; the others, and the stack where the path's history says nothing, it leaves alone. */
static u16 stops_for(const struct insn *in)
{
	u16 dst = (u16)(1u << in->dst), src = (u16)(1u << in->src);

	switch (op_table[in->op].class) {
	case OPS_ALU: return dst;
	case OPS_JMP: return in->imm_src ? 0 : dst | src;
	case OPS_ATOMIC: return op_table[in->op].flags & OPF_FETCH ? src : dst;
	default: break;
	}
	switch ((enum op)in->op) {
	case OP_LDX:
	case OP_LDXS:
	case OP_LOAD_ACQ:
	case OP_STX:
	case OP_ST:
	case OP_STORE_REL:
	case OP_LD_IMM64:
	case OP_ADDR_SPACE_CAST: return dst;
	case OP_CMPXCHG: return 1;
	case OP_CALL:
	case OP_EXIT:
	case OP_LD_ABS:
	case OP_LD_IND: return STOPS_ALWAYS;
	default: return 0;
	}
}

int precise_open(struct verifier *v)
{
	v->way_back = arena_array(&v->arena, v->n, sizeof(*v->way_back));
	if (!v->way_back)
		return reject(v, REJECT_MEMORY, "out of memory");
	for (u32 i = 0; i < v->n; i++)
		v->way_back[i] = stops_for(&v->insns[i]);
	return 0;
}

/* What must be known before the instruction at `at`, when w is wanted after it; next was walked after it. */
static int step_back(struct verifier *v, u32 at, s64 next, const struct history *h, struct wanted *w)
{
	const struct insn *in = &v->insns[at];
	int err = 0;

	want_linked(w, h);
	switch (op_table[in->op].class) {
	case OPS_ALU: back_alu(in, w); break;
	case OPS_JMP: back_jump(in, h, w); break;
	case OPS_ATOMIC: err = op_table[in->op].flags & OPF_FETCH ? back_load(in, h, w) : back_store(in, h, w); break;
	default:
		switch ((enum op)in->op) {
		case OP_LDX:
		case OP_LDXS:
		case OP_LOAD_ACQ:
		case OP_CMPXCHG: err = back_load(in, h, w); break;
		case OP_STX:
		case OP_ST:
		case OP_STORE_REL: err = back_store(in, h, w); break;
		case OP_CALL: return back_call(v, at, next, w);
		case OP_EXIT: return back_exit(v, next, w);
		case OP_LD_IMM64: *regs_of(w) &= ~(1u << in->dst); return 0;
		case OP_LD_ABS:
		case OP_LD_IND:
			if (wants(w, 0))
				return DEFAULT_LEFT;
			return next != (s64)at + 1 ? enter_frame(v, w) : 0;
		case OP_ADDR_SPACE_CAST:
			if (wants(w, in->dst))
				*regs_of(w) = (*regs_of(w) & ~(1u << in->dst)) | 1u << in->src;
			break;
		default: break;
		}
	}
	want_linked(w, h);
	return err;
}

/* ---- the way back ---- */

static void scalars_precise(struct state *s)
{
	for (u32 f = 0; f < s->n_frames; f++) {
		s->precise_regs[f] |= (u16)scalars_in_regs(s, f, (1u << REG_FP) - 1);
		s->precise_slots[f] |= scalars_in_slots(s, f, UINT64_MAX);
	}
}

bool path_scalars_precise(struct state *s)
{
	bool changed = false;

	/* Above one that this was done for, it was done as well. */
	for (; s && !s->all_precise; s = s->parent) {
		scalars_precise(s);
		s->all_precise = changed = true;
	}
	return changed;
}

/* Marks what is wanted in a checkpoint; what it has already, or has as a pointer, is no longer wanted. */
static void mark_checkpoint(struct state *s, struct wanted *w, bool *changed)
{
	for (s32 f = w->frame; f >= 0; f--) {
		w->regs[f] = scalars_in_regs(s, (u32)f, w->regs[f] & ~(u32)s->precise_regs[f]);
		w->slots[f] = scalars_in_slots(s, (u32)f, w->slots[f] & ~s->precise_slots[f]);
		*changed |= w->regs[f] || w->slots[f];
		s->precise_regs[f] |= (u16)w->regs[f];
		s->precise_slots[f] |= w->slots[f];
	}
}

/* ---- what the log says at level 2 ---- */

static void log_masks(struct verifier *v, u32 regs, u64 slots)
{
	const char *sep = "";

	for (u32 m = regs; m; m &= m - 1, sep = ",")
		log_add(v, "%sr%d", sep, __builtin_ctz(m));
	log_add(v, " stack=");
	sep = "";
	for (u64 m = slots; m; m &= m - 1, sep = ",")
		log_add(v, "%s-%d", sep, (__builtin_ctzll(m) + 1) * 8);
}

static void log_step(struct verifier *v, const struct wanted *w, u32 at)
{
	if (!(v->log_level & 2) || v->insns[at].op == OP_PAD)
		return;
	log_add(v, "mark_precise: frame%d: regs=", w->frame);
	log_masks(v, w->regs[w->frame], w->slots[w->frame]);
	log_add(v, " before %u: ", at);
	log_insn_text(v, at);
}

static void log_parent(struct verifier *v, const struct state *s, const struct wanted *w)
{
	for (s32 f = w->frame; v->log_level & 2 && f >= 0; f--) {
		log_add(v, "mark_precise: frame%d: parent state regs=", f);
		log_masks(v, w->regs[f], w->slots[f]);
		log_add(v, ": ");
		log_state(v, s, (u32)f, true);
	}
}

static void path_precise(struct verifier *v, struct state *start, const struct wanted *w, bool *changed)
{
	if (v->log_level & 2)
		log_add(v, "mark_precise: frame%d: falling back to forcing all scalars precise\n", w->frame);
	*changed |= path_scalars_precise(start->parent);
}

/* Goes back over instructions that cannot matter, down to one that may, or at which the path may have come from elsewhere. */
static s64 skip_back(const struct verifier *v, const struct state *s, u32 n_hist, s64 at, s64 *next, const struct wanted *w)
{
	u32 came = n_hist ? s->hist[n_hist - 1].insn : UINT32_MAX, stops = w->regs[w->frame] | STOPS_ALWAYS;

	for (; at > 0 && !(v->way_back[at] & stops) && at != came && at != s->first_insn; at--)
		*next = at;
	return at;
}

/* Did an earlier walk back come by here and want no less? Then all that follows from it was marked. What is wanted now is noted for later ones. */
static bool came_by(struct history *h, const struct wanted *w)
{
	bool callers = false, all;

	for (s32 f = 0; f < w->frame; f++)
		callers |= w->regs[f] || w->slots[f];
	if (!h || callers)
		return false;
	all = !(w->regs[w->frame] & ~(u32)h->walked_regs) && !(w->slots[w->frame] & ~h->walked_slots);
	h->walked_regs |= w->regs[w->frame] & 0x7ff;
	h->walked_slots |= w->slots[w->frame];
	return all;
}

/* Back through one segment, which ends with the instruction `last`: 1 when all is done, 0 when its beginning was reached. */
static int segment_back(struct verifier *v, struct state *start, struct state *s, u32 last, s64 *next, struct wanted *w, bool skip_first, bool *changed)
{
	bool logs = v->log_level & 2;
	u32 n_hist = s->n_hist;

	for (s64 at = last; at >= 0; at = hist_previous(s, (u32)at, &n_hist)) {
		struct history *h;
		int err = 0;

		if (!skip_first && !logs)
			at = skip_back(v, s, n_hist, at, next, w);
		h = hist_of(s, n_hist, (u32)at);
		if (!skip_first) {
			log_step(v, w, (u32)at);
			err = step_back(v, (u32)at, *next, h, w);
		}
		skip_first = false;
		if (err == DEFAULT_LEFT)
			path_precise(v, start, w, changed);
		if (err)
			return err == DEFAULT_LEFT ? 1 : err;
		if (nothing_wanted(w) || (s == start && !logs && came_by(h, w)))
			return 1;
		*next = at;
	}
	return 0;
}

static int entry_reached(struct verifier *v, struct state *s, struct wanted *w, bool *changed)
{
	/* The entry of a global function: its arguments. */
	if (s->n_frames != 1 || w->slots[0] || w->regs[0] & ~(u32)REG_ARGS)
		return bug(v, "precision: registers wanted before the first instruction");
	mark_checkpoint(s, w, changed);
	return 0;
}

static int walk_back(struct verifier *v, struct state *start, u32 last, s64 next, struct wanted *w, bool skip_first, bool *changed)
{
	for (struct state *s = start;; last = s->last_insn) {
		int done;

		if (v->log_level & 2 && s == start && !skip_first) /* from where it arrived, as if it had walked that */
			log_add(v, "mark_precise: frame%d: last_idx %d first_idx %d subseq_idx -1 \n", w->frame, (s32)next, (s32)s->first_insn);
		else if (v->log_level & 2)
			log_add(v, "mark_precise: frame%d: last_idx %d first_idx %d subseq_idx %d \n", w->frame, (s32)last, (s32)s->first_insn,
				(s32)next);
		if (last == UINT32_MAX)
			return entry_reached(v, s, w, changed);
		done = segment_back(v, start, s, last, &next, w, skip_first, changed);
		if (done)
			return MIN(done, 0);
		skip_first = false;
		next = s->first_insn;
		s = s->parent;
		if (!s)
			break;
		if (s->joined)
			return 0; /* all of it is precise, or nothing is known */
		mark_checkpoint(s, w, changed);
		log_parent(v, s, w);
		if (nothing_wanted(w))
			return 0;
	}
	if (!nothing_wanted(w))
		path_precise(v, start, w, changed);
	return 0;
}

int mark_precise(struct verifier *v, u32 regno)
{
	struct wanted w = {.frame = (s32)v->cur->n_frames - 1};
	struct reg *r = reg_of(v, regno);
	bool changed = false;

	if (!v->priv || r->type != R_SCALAR)
		return 0;
	/* The current state keeps no marks: they belong to checkpoints. */
	w.regs[w.frame] = 1u << regno;
	return walk_back(v, v->cur, v->insn, -1, &w, true, &changed);
}

/*
 * A number that passes as a pointer because it is 0, or whose value was read as one of a constant. Linux leaves it as it is, so that another path may be
 * taken for this one though its number is none of these; in skep's own result it counts. The log is Linux's.
 */
int mark_precise_beyond(struct verifier *v, u32 regno)
{
	u32 level = v->log_level;
	int err;

	if (!v->safe)
		return 0;
	v->log_level &= ~2u;
	err = mark_precise(v, regno);
	v->log_level = level;
	return err;
}

int mark_precise_slot(struct verifier *v, u32 frame, u32 slot)
{
	struct wanted w = {.frame = (s32)v->cur->n_frames - 1};
	bool changed = false;

	if (!v->priv)
		return 0;
	w.slots[frame] = 1ull << slot;
	return walk_back(v, v->cur, v->insn, -1, &w, true, &changed);
}

static void log_propagated(struct verifier *v, const struct wanted *w)
{
	for (s32 f = w->frame; v->log_level & 2 && f >= 0; f--) {
		const char *sep = "";

		if (!w->regs[f] && !w->slots[f])
			continue;
		log_add(v, "frame %d: propagating ", f);
		for (u32 m = w->regs[f]; m; m &= m - 1, sep = ",")
			log_add(v, "%sr%d", sep, __builtin_ctz(m));
		for (u64 m = w->slots[f]; m; m &= m - 1, sep = ",")
			log_add(v, "%sfp-%d", sep, (__builtin_ctzll(m) + 1) * SLOT_BYTES);
		log_add(v, "\n");
	}
}

int propagate_precision(struct verifier *v, const struct state *old, struct state *cur, bool *changed)
{
	struct wanted w = {.frame = (s32)old->n_frames - 1};
	bool ignored = false;

	if (!v->priv)
		return 0;
	for (u32 f = 0; f < old->n_frames; f++) {
		u32 live = v->aux[frame_insn(old, f)].live_in;

		w.regs[f] = live & old->precise_regs[f];
		w.slots[f] = old->stack_read[f] & old->precise_slots[f];
	}
	if (nothing_wanted(&w))
		return 0;
	log_propagated(v, &w);
	return walk_back(v, cur, cur->last_insn, old->insn, &w, false, changed ? changed : &ignored);
}

int mark_joined(struct verifier *v)
{
	struct state *s = v->cur;
	struct wanted w = {.frame = (s32)s->n_frames - 1};
	bool changed = false;

	for (u32 f = 0; f < s->n_frames; f++) {
		const struct frame *frame = s->frame[f];
		u32 live = v->aux[frame_insn(s, f)].live_in;

		for (u32 i = 0; i < REG_FP; i++)
			if (live >> i & 1 && frame->regs[i].type == R_SCALAR && !scalar_is_unknown(&frame->regs[i].v))
				w.regs[f] |= 1u << i;
		for (u32 i = 0; i < frame->n_slots; i++)
			if (stack_is_scalar(stack_at(frame, i)) && !scalar_is_unknown(&stack_at(frame, i)->reg.v))
				w.slots[f] |= 1ull << i;
	}
	return nothing_wanted(&w) ? 0 : walk_back(v, s, s->last_insn, s->insn, &w, false, &changed);
}

int mark_arrived(struct verifier *v, u32 regs, u64 slots)
{
	struct state *s = v->cur;
	struct wanted w = {.frame = (s32)s->n_frames - 1};
	bool changed = false;

	w.regs[w.frame] = regs;
	w.slots[w.frame] = slots;
	return nothing_wanted(&w) ? 0 : walk_back(v, s, s->last_insn, s->insn, &w, false, &changed);
}
