/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why a refused path knew too little: from the refusal back along the path, by the same history that precision follows (precise.c), to the instruction
 * at which the fact was lost that the rule asks for. What to look for stands in errors.def, per code.
 *
 * It runs once, after the walk has failed and before its states are given up; it reads them only. A path that came through joined states is
 * known as far as there, and a very long one for its last STEPS_MOST instructions; what lies behind is "not known".
 */
#include "verify/call.h"

enum { STEPS_MOST = 1 << 16, SIDE_STEPS = 1 << 10, SIDE_TRIPS = 256 };

/* A place on the way back. */
struct way {
	const struct state *s;
	u32 n_hist, steps;
	bool *began; /* it was followed to where the path began */
	s64 at, next; /* the instruction to look at, and the one walked after it */
};

enum thing { IN_REG, IN_SLOT };
struct trace {
	struct verifier *v;
	struct way way;
	u32 depth; /* the frame in which way.next was walked */
	enum thing thing;
	u32 frame, index; /* of the register or slot that is followed */
	bool pointer; /* the register is followed as one */
	bool bounds; /* constant steps are followed, too */
	const struct history *hist; /* of way.at */
};

/* ---- steps ---- */

static bool way_back(struct way *w)
{
	w->next = w->at;
	w->at = hist_previous(w->s, (u32)w->at, &w->n_hist);
	while (w->at < 0) {
		const struct state *parent = w->s->parent;

		if (!parent || parent->joined || parent->last_insn == UINT32_MAX) {
			*w->began |= !parent || !parent->joined;
			return false;
		}
		w->s = parent;
		w->n_hist = parent->n_hist;
		w->at = parent->last_insn;
	}
	return ++w->steps < STEPS_MOST;
}

static struct trace trace_open(struct verifier *v, bool *began)
{
	struct trace t = {.v = v, .way = {v->cur, v->cur->n_hist, 0, began, v->insn, -1}, .depth = v->cur->n_frames - 1};

	t.frame = t.depth;
	return t;
}

static bool calls_program(const struct trace *t, const struct insn *in) /* and the path went into what it calls */
{
	return in->op == OP_CALL && t->way.next != t->way.at + 1 && (in->pseudo == CALL_SUBPROG || t->v->aux[t->way.at].calls_callback);
}

static bool follows(const struct trace *t, u32 reg)
{
	return t->thing == IN_REG && t->frame == t->depth && t->index == reg;
}

static void follow_reg(struct trace *t, u32 reg)
{
	t->thing = IN_REG;
	t->frame = t->depth;
	t->index = reg;
}

static bool follow_call(struct trace *t, const struct insn *in) /* true: it made what is followed */
{
	bool argument = t->thing == IN_REG && t->frame == t->depth;

	if (returns_by_tail_call(t->v, (u32)t->way.at, t->way.next)) {
		t->depth++;
		return argument && t->index == 0;
	}
	if (calls_program(t, in)) {
		bool made = t->frame == t->depth && (t->thing == IN_SLOT || in->pseudo != CALL_SUBPROG);

		t->depth--;
		if (argument && !made)
			t->frame = t->depth;
		return made || (!argument && t->thing == IN_REG && t->frame == t->depth && t->index <= 5);
	}
	return argument ? t->index <= 5 : t->hist && t->hist->flags & HIST_STACK && (t->hist->flags & HIST_FRAME_MASK) == t->frame &&
						   (t->hist->flags >> HIST_SLOT_SHIFT & 0x3f) == t->index;
}

static bool constant_step(const struct insn *in)
{
	switch ((enum op)in->op) {
	case OP_ADD:
	case OP_SUB:
	case OP_MUL:
	case OP_LSH:
	case OP_RSH:
	case OP_ARSH: return in->imm_src;
	default: return false;
	}
}

static bool follow_alu(struct trace *t, const struct insn *in)
{
	if (!follows(t, in->dst))
		return false;
	if (in->op == OP_MOV && !in->imm_src) {
		if (t->pointer && in->width != 64)
			return true;
		follow_reg(t, in->src);
		return in->src == REG_FP;
	}
	if (t->pointer && in->op == OP_ADD && !in->imm_src && t->bounds) { /* a pointer and its variable part */
		bool src_is_number = reg_of(t->v, in->src)->type == R_SCALAR || t->frame != t->v->cur->n_frames - 1;

		t->pointer = false;
		if (src_is_number)
			follow_reg(t, in->src);
		return false;
	}
	return !constant_step(in) || (!t->bounds && !t->pointer);
}

static bool follow_memory(struct trace *t, const struct insn *in)
{
	bool stack = t->hist && t->hist->flags & HIST_STACK;
	u32 frame = stack ? t->hist->flags & HIST_FRAME_MASK : 0, slot = stack ? t->hist->flags >> HIST_SLOT_SHIFT & 0x3f : 0;

	switch ((enum op)in->op) {
	case OP_LDX:
	case OP_LDXS:
		if (!follows(t, in->dst))
			return false;
		if (!stack)
			return true;
		t->thing = IN_SLOT;
		t->frame = frame;
		t->index = slot;
		return false;
	case OP_STX:
	case OP_ST:
		if (!stack || t->thing != IN_SLOT || t->frame != frame || t->index != slot)
			return false;
		if (in->op == OP_STX)
			follow_reg(t, in->src);
		return in->op == OP_ST;
	case OP_LD_IMM64: return follows(t, in->dst);
	default: return insn_destination(in) >= 0 && follows(t, (u32)insn_destination(in));
	}
}

/* One instruction back; true: it made what is followed. */
static bool follow(struct trace *t)
{
	const struct insn *in = &t->v->insns[t->way.at];

	t->hist = hist_of(t->way.s, t->way.n_hist, (u32)t->way.at);
	if (in->op == OP_CALL)
		return follow_call(t, in);
	if (in->op == OP_EXIT) {
		bool result = follows(t, 0);

		t->depth++;
		if (result)
			t->frame = t->depth;
		return false;
	}
	if ((in->op == OP_LD_ABS || in->op == OP_LD_IND) && t->thing == IN_REG && t->frame == t->depth)
		return t->index <= 5;
	if (op_table[in->op].class == OPS_ALU || in->op == OP_ADDR_SPACE_CAST)
		return follow_alu(t, in);
	return op_table[in->op].class != OPS_JMP && follow_memory(t, in);
}

static u32 made_at(struct trace *t) /* UINT32_MAX: before the path began */
{
	while (way_back(&t->way))
		if (follow(t))
			return (u32)t->way.at;
	return UINT32_MAX;
}

/* ---- packets ---- */

static bool loads(const struct verifier *v, u32 at, bool end)
{
	const struct insn *in = at == UINT32_MAX ? NULL : &v->insns[at];
	const struct ctx_field *f = in && in->op == OP_LDX && reg_base(v->aux[at].ptr_type) == R_CTX && v->kind->ctx ?
					    ctx_access(v->kind->ctx, v->attach_type, in->off, in->width, false, v->priv) :
					    NULL;

	if (!f)
		return false;
	return end ? f->kind == CTX_DATA_END || f->target == TARGET_PACKET_END : f->kind == CTX_DATA || f->kind == CTX_DATA_META || f->target == TARGET_PACKET;
}

/* Where a register of a comparison at way.at came from. */
static u32 made_before(const struct trace *at, u32 reg)
{
	struct trace t = *at;

	t.pointer = true;
	t.bounds = false;
	t.way.steps = STEPS_MOST - SIDE_STEPS;
	follow_reg(&t, reg);
	return made_at(&t);
}

static bool compares_with_end(const struct trace *t, const struct insn *in, u32 made)
{
	u32 a = made_before(t, in->dst), b = made_before(t, in->src);

	return (loads(t->v, a, true) && b == made) || (loads(t->v, b, true) && a == made);
}

static u32 packet_lost(struct trace t)
{
	struct trace first = t;
	u32 trips = 0, made;

	t.pointer = first.pointer = true;
	made = made_at(&first);
	while (way_back(&t.way) && (u32)t.way.at != made) {
		const struct insn *in = &t.v->insns[t.way.at];

		if (op_table[in->op].class == OPS_JMP && in->width == 64 && !in->imm_src && trips++ < SIDE_TRIPS && compares_with_end(&t, in, made))
			return (u32)t.way.at;
		if (follow(&t))
			break;
	}
	return made;
}

/* ---- calls on the way ---- */

static bool takes_pointers_away(const struct verifier *v, const struct trace *t, bool packet)
{
	const struct insn *in = &v->insns[t->way.at];
	const struct helper_proto *h;
	const struct kfunc *k;

	if (in->op != OP_CALL)
		return false;
	if (in->pseudo == CALL_SUBPROG)
		return packet && v->subs[subprog_at(v->prog, (u32)in->target) - v->prog->subprogs].changes_pkt_data;
	h = in->pseudo == CALL_HELPER ? helper_at(v, (u32)t->way.at) : NULL;
	k = in->pseudo == CALL_KFUNC ? v->aux[t->way.at].kfunc : NULL;
	if (h && h->effects & EFFECT_TAIL_CALL)
		return packet && returns_by_tail_call(v, (u32)t->way.at, t->way.next);
	if (packet)
		return (h && h->effects & (EFFECT_MOVES_PACKET | EFFECT_DYNPTR_WRITE)) || (k && k->role == KROLE_MOVES_PACKET);
	return (h && h->effects & EFFECT_RELEASE) || (k && k->flags & KF_RELEASE);
}

/* A number where a pointer is needed: it was one until a call took it away, or never. */
static u32 pointer_lost(struct trace t)
{
	struct trace first = t;
	u32 made;
	bool packet, acquired;

	t.pointer = first.pointer = true;
	made = made_at(&first);
	packet = loads(t.v, made, false);
	acquired = made != UINT32_MAX && t.v->insns[made].op == OP_CALL;
	while ((packet || acquired) && way_back(&t.way) && (u32)t.way.at != made)
		if (takes_pointers_away(t.v, &t, packet))
			return (u32)t.way.at;
	return made;
}

/* ---- what is held ---- */

static s32 section_of(const struct verifier *v, u32 at) /* 1 one begins, -1 one ends */
{
	const struct kfunc *k = v->insns[at].op == OP_CALL && v->insns[at].pseudo == CALL_KFUNC ? v->aux[at].kfunc : NULL;

	switch (k ? (u32)k->role : (u32)KROLE_PLAIN) {
	case KROLE_RCU_LOCK:
	case KROLE_PREEMPT_OFF: return 1;
	case KROLE_RCU_UNLOCK:
	case KROLE_PREEMPT_ON: return -1;
	default: return 0;
	}
}

static u32 held_since(struct trace t)
{
	const struct state *s = t.v->cur;
	s32 ended = 0;

	for (u32 i = s->n_refs; i-- > 0;)
		if (s->refs[i].kind != REF_PTR)
			return s->refs[i].insn;
	while (way_back(&t.way)) {
		s32 section = section_of(t.v, (u32)t.way.at);

		if (section > 0 && ended-- == 0)
			return (u32)t.way.at;
		ended += section < 0;
	}
	return UINT32_MAX;
}

/* ---- the path ---- */

static void note_path(struct trace t, struct rejection *why)
{
	while (why->n_path < REJECT_PATH && way_back(&t.way)) {
		const struct insn *in = &t.v->insns[t.way.at];
		bool turns = (op_table[in->op].class == OPS_JMP && in->op != OP_JA) || in->op == OP_EXIT || calls_program(&t, in) ||
			     returns_by_tail_call(t.v, (u32)t.way.at, t.way.next);

		if (turns)
			why->path[why->n_path++] = (struct reject_step){(u32)t.way.at, (u32)t.way.next};
	}
	for (u32 i = 0; i < why->n_path / 2; i++) {
		struct reject_step step = why->path[i];

		why->path[i] = why->path[why->n_path - 1 - i];
		why->path[why->n_path - 1 - i] = step;
	}
}

static u32 lost(struct trace t, enum reject_lost how, const struct rejection *why)
{
	if (how == LOST_HELD)
		return held_since(t);
	if (how == LOST_SLOT) {
		t.thing = IN_SLOT;
		t.frame = why->frame;
		t.index = why->slot;
		return why->has_slot ? made_at(&t) : UINT32_MAX;
	}
	if (why->reg < 0)
		return UINT32_MAX;
	t.index = (u32)why->reg;
	t.pointer = reg_is_pointer(reg_of(t.v, t.index));
	switch (how) {
	case LOST_BOUNDS: t.bounds = true; return made_at(&t);
	case LOST_PACKET: return packet_lost(t);
	case LOST_POINTER: return pointer_lost(t);
	case LOST_ORIGIN: return made_at(&t);
	default: return UINT32_MAX;
	}
}

void trace_rejection(struct verifier *v)
{
	struct rejection *why = v->why;
	bool began = false;
	struct trace t;

	if (!v->cur || !v->cur->n_frames || why->insn != v->insn)
		return;
	reject_complete(v);
	t = trace_open(v, &began);
	note_path(t, why);
	began = false;
	if (why->lost_at == UINT32_MAX)
		why->lost_at = lost(t, reject_lost(why->code), why);
	why->lost_at_entry = began && why->lost_at == UINT32_MAX;
}
