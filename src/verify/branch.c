/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conditional jumps: is the outcome known? If not, both edges are walked, each knowing what the comparison says: ranges of numbers (and of all that share
 * their id), NULL or not, how many bytes of the packet are there.
 */
#include "verify/mem.h"

enum edge { UNKNOWN = -1, FALLS = 0, TAKEN = 1 };

struct compare {
	const struct insn *in;
	struct reg *dst, *src; /* of the current state; src may be `constant` */
	struct reg constant, constant_taken;
	struct state *other; /* where the jump is taken */
	u64 linked;
};

static bool any_packet(const struct reg *r)
{
	return type_is_packet(r->type) || r->type == R_PACKET_END;
}

/* Certain not to be NULL. */
static bool not_null(const struct reg *r)
{
	if (r->type & R_NULLABLE || r->v.smin <= -VARIABLE_MOST || r->v.smax >= VARIABLE_MOST)
		return false; /* an offset without bounds may come round to 0 */
	switch (reg_base(r->type)) {
	case R_SOCKET:
	case R_TCP_SOCK:
	case R_XDP_SOCK:
	case R_BUFFER:
	case R_MAP_VALUE:
	case R_MAP_KEY:
	case R_SOCK_COMMON:
	case R_MAP:
	case R_MEM: return true;
	case R_BTF: return reg_is_trusted(r);
	default: return false;
	}
}

/* ---- known outcomes ---- */

static enum edge decide_packet(const struct reg *a, const struct reg *b, enum op op)
{
	const struct reg *pkt = a;

	if (b->type != R_PACKET_END) {
		if (a->type != R_PACKET_END)
			return UNKNOWN;
		pkt = b;
		op = op_swapped(op);
	}
	if (pkt->range >= 0)
		return UNKNOWN;
	if ((op == OP_JLE || op == OP_JGT) && pkt->range == PACKET_BEYOND)
		return op == OP_JGT ? TAKEN : FALLS;
	if (op == OP_JLT || op == OP_JGE)
		return op == OP_JGE ? TAKEN : FALLS;
	return UNKNOWN;
}

static bool const_at(const struct reg *r, u32 width)
{
	return r->type == R_SCALAR && (width == 32 ? scalar_is_const32(&r->v) : scalar_is_const(&r->v));
}

/* Of a pointer that is not NULL Linux (6.18) takes the lower half for not 0 either, which is not so: only its own verdict goes by that. */
static enum edge decide(const struct verifier *v, const struct reg *a, const struct reg *b, enum op op, u32 width)
{
	if (any_packet(a) && any_packet(b) && width == 64)
		return decide_packet(a, b, op);
	if (reg_is_scalar(a) && reg_is_scalar(b))
		return (enum edge)scalar_decide(op, width, &a->v, &b->v);
	if (width == 32 && v->safe)
		return UNKNOWN;
	if (!const_at(b, width)) {
		const struct reg *t = a;

		a = b;
		b = t;
		op = op_swapped(op);
	}
	if (!const_at(b, width) || (width == 32 ? (u32)b->v.bits.value : b->v.bits.value) || !not_null(a))
		return UNKNOWN;
	return op == OP_JEQ ? FALLS : op == OP_JNE ? TAKEN : UNKNOWN;
}

/* ---- linked scalars ---- */

struct link_set {
	u32 n;
	u64 packed;
};

static bool is_linked(const struct reg *r, u32 id)
{
	return r->type == R_SCALAR && (r->id & ~ID_DELTA) == id;
}

/* false: there is no room, so that it keeps its range and loses the link. */
static bool link_note(struct link_set *set, u32 frame, u32 index, bool reg)
{
	u64 e = frame | index << 3 | (u32)reg << 9;

	if (set->n == HIST_LINKS)
		return false;
	set->packed |= e << (4 + set->n * 10);
	set->n++;
	return true;
}

/* Registers that nobody reads again stay as they are, as in Linux, and take no room. */
static void links_collect(struct verifier *v, u32 id, struct link_set *set)
{
	id &= ~ID_DELTA;
	for (u32 f = v->cur->n_frames; f-- > 0;) {
		struct frame *frame = v->cur->frame[f];
		u32 live = v->aux[f + 1 < v->cur->n_frames ? v->cur->callsite[f + 1] : v->insn].live_in;

		for (u32 i = 0; i < REG_FP; i++)
			if (live >> i & 1 && is_linked(&frame->regs[i], id) && !link_note(set, f, i, true))
				unlink_scalar(&regs_edit(v, frame)[i]);
		for (u32 i = 0; i < frame->n_slots; i++) {
			const struct stack_slot *s = stack_at(frame, i);

			if (stack_is_spill(s) && is_linked(&s->reg, id) && !link_note(set, f, i, false))
				unlink_scalar(&stack_edit(v, frame, i)->reg);
		}
	}
}

static void sync_one(struct reg *r, const struct reg *known)
{
	u32 id = r->id, def32 = r->def32;
	s32 delta = r->delta;
	struct scalar difference;
	bool narrow;

	if (((r->id ^ known->id) & ID_DELTA) == ID_DELTA)
		return; /* one is off by a constant in 64 bits, the other in 32 */
	if ((!(r->id & ID_DELTA) && !(known->id & ID_DELTA)) || r->delta == known->delta) {
		*r = *known;
		r->def32 = def32;
		return;
	}
	scalar_set_const(&difference, (u64)((s64)r->delta - known->delta));
	narrow = (r->id | known->id) & ID_DELTA32;
	*r = *known;
	r->id = id;
	r->delta = delta;
	r->def32 = def32;
	scalar_alu(OP_ADD, 64, &r->v, &difference);
	if (narrow)
		scalar_zext(&r->v, 4);
}

void sync_linked(struct verifier *v, struct state *s, const struct reg *known, u64 linked)
{
	const struct reg copy = *known;

	for (u32 i = 0; i < (linked & 0xf); i++) {
		u32 e = (u32)(linked >> (4 + i * 10)) & 0x3ff, index = e >> 3 & 0x3f;
		struct frame *f = s->frame[e & 7];
		bool reg = e >> 9;
		const struct reg *r = reg ? &f->regs[index] : &stack_at(f, index)->reg;

		if (r != known && is_linked(r, copy.id & ~ID_DELTA))
			sync_one(reg ? &regs_edit(v, f)[index] : &stack_edit(v, f, index)->reg, &copy);
	}
}

/* ---- NULL ---- */

struct null_check {
	u32 id;
	bool is_null;
};

static void null_apply(struct verifier *v, struct reg *r, void *ud)
{
	const struct null_check *c = ud;

	if (!(r->type & R_NULLABLE) || r->id != c->id)
		return;
	if (c->is_null) {
		/* the value 0 stays in v; what the pointer was is gone */
		reg_set_const(r, 0);
		return;
	}
	reg_not_null(v, r);
	if (!btf_record_has(special_fields(r), BTF_SPIN_LOCK | BTF_RES_SPIN_LOCK))
		r->id = 0;
}

void null_checked(struct verifier *v, struct state *s, u32 id, bool is_null)
{
	struct null_check c = {id, is_null};

	each_reg(v, s, null_apply, &c);
}

static void null_edge(struct verifier *v, struct state *s, u32 regno, bool is_null)
{
	const struct reg *r = &cur_frame(s)->regs[regno];
	u32 id = r->id, ref = r->ref;

	/* A NULL result holds no reference. */
	if (ref && ref == id && is_null)
		ref_drop(s, id, REF_PTR, NULL);
	null_checked(v, s, id, is_null);
}

/* ---- packets ---- */

struct packet_proof {
	u32 type, id;
	s32 range;
};

static void packet_prove_one(struct verifier *v, struct reg *r, void *ud)
{
	const struct packet_proof *p = ud;

	(void)v;
	if (r->type == p->type && r->id == p->id && r->range < p->range)
		r->range = p->range;
}

/* All pointers with the same variable part now know that the packet reaches up to *r. */
static void packet_prove(struct verifier *v, struct state *s, const struct reg *r, bool one_more)
{
	struct packet_proof p = {r->type, r->id, r->off + one_more};

	if (r->off < 0 || (r->off == 0 && one_more) || r->v.umax > PACKET_MOST || r->v.umax + (u64)r->off > PACKET_MOST)
		return;
	each_reg(v, s, packet_prove_one, &p);
}

static void packet_at_end(struct state *s, u32 regno, bool beyond)
{
	struct reg *r = &cur_frame(s)->regs[regno];

	if (r->type == R_PACKET)
		r->range = beyond ? PACKET_BEYOND : PACKET_AT;
}

static bool packet_start(const struct reg *r) /* exactly the first byte */
{
	return r->type == R_PACKET && r->off == 0 && r->v.umax == 0 && scalar_is_const(&r->v);
}

static bool packet_against_end(const struct reg *a, const struct reg *b)
{
	return (a->type == R_PACKET && b->type == R_PACKET_END) || (a->type == R_PACKET_META && packet_start(b));
}

/* A comparison of a packet pointer with the end: which edge proves what. */
static bool packet_compare(struct verifier *v, struct compare *c)
{
	enum op op = c->in->op;
	bool forward = packet_against_end(c->dst, c->src), taken_proves, strict;
	u32 regno = forward ? c->in->dst : c->in->src;
	struct state *in, *out;
	struct reg pkt;

	if (c->in->imm_src || c->in->width != 64 || (!forward && !packet_against_end(c->src, c->dst)))
		return false;
	if (!forward)
		op = op_swapped(op);
	if (op != OP_JGT && op != OP_JLT && op != OP_JGE && op != OP_JLE)
		return false;
	/* now: pkt op end. The edge on which pkt <= end (or pkt < end) holds proves bytes; on the other it is past or at the end. */
	taken_proves = op == OP_JLT || op == OP_JLE;
	strict = op == OP_JLT || op == OP_JGE; /* the proving edge says pkt < end: one byte more is there */
	in = taken_proves ? c->other : v->cur;
	out = taken_proves ? v->cur : c->other;
	pkt = forward ? *c->dst : *c->src;
	packet_prove(v, in, &pkt, strict);
	packet_at_end(out, regno, !strict);
	return true;
}

static void packet_gone(struct verifier *v, struct reg *r, void *ud)
{
	(void)ud;
	if (any_packet(r) || (reg_base(r->type) == R_MEM && r->type & R_SLICE))
		reg_invalidate(v, r);
}

void packet_forget(struct verifier *v)
{
	each_reg(v, v->cur, packet_gone, NULL);
}

/* ---- one jump ---- */

static int operands(struct verifier *v, struct compare *c)
{
	const struct insn *in = c->in;
	int err = reg_check_read(v, in->dst);
	u32 flags = 0;

	if (err)
		return err;
	c->dst = reg_of(v, in->dst);
	if (in->imm_src) {
		reg_set_none(&c->constant);
		reg_set_const(&c->constant, (u64)in->imm);
		c->src = &c->constant;
	} else {
		err = reg_check_read(v, in->src);
		if (err)
			return err;
		c->src = reg_of(v, in->src);
		if (!(any_packet(c->dst) && any_packet(c->src)) && !v->allow_ptr_leaks && reg_is_pointer(c->src))
			return reject(v, REJECT_POINTER_COMPARE, "R%u pointer comparison prohibited", in->src);
	}
	if (c->src->type == R_STACK)
		flags |= HIST_SRC_POINTER;
	if (c->dst->type == R_STACK)
		flags |= HIST_DST_POINTER;
	return flags ? hist_push(v, v->cur, flags, 0) : 0;
}

static int known(struct verifier *v, struct compare *c, enum edge e, u32 *next)
{
	const struct insn *in = c->in;
	int err = 0;

	v->aux[v->insn].facts |= e == TAKEN ? FACT_TAKEN : FACT_FALLS;
	if (reg_is_scalar(c->dst))
		err = mark_precise(v, in->dst);
	if (!err && !in->imm_src && reg_is_scalar(c->src))
		err = mark_precise(v, in->src);
	if (err)
		return err;
	if (!v->bypass_spec_v1) {
		err = speculate(v, in, e == TAKEN ? v->insn + 1 : (u32)in->target);
		if (err)
			return err;
	}
	if (e == TAKEN)
		*next = (u32)in->target;
	return 0;
}

static int collect(struct verifier *v, struct compare *c)
{
	struct link_set set = {0};

	if (!c->in->imm_src && c->src->type == R_SCALAR && c->src->id)
		links_collect(v, c->src->id, &set);
	if (c->dst->type == R_SCALAR && c->dst->id)
		links_collect(v, c->dst->id, &set);
	c->linked = set.packed | set.n;
	return set.n > 1 ? hist_push(v, v->cur, 0, c->linked) : 0;
}

static int broken_bounds(struct verifier *v, struct reg *r)
{
	if (!scalar_is_empty(&r->v))
		return 0;
	/* Cannot happen on a path that is really taken: what the intervals say is forgotten. As in Linux, the bits stay. */
	if (v->opts->reg_invariants)
		return bug(v, "REG INVARIANTS VIOLATION");
	scalar_forget64(&r->v);
	scalar_forget32(&r->v);
	return 0;
}

static int ranges(struct verifier *v, struct compare *c)
{
	struct reg *taken_dst = &cur_frame(c->other)->regs[c->in->dst];
	struct reg *taken_src = c->in->imm_src ? &c->constant_taken : &cur_frame(c->other)->regs[c->in->src];
	int err;

	if (!reg_is_scalar(c->dst) || !reg_is_scalar(c->src))
		return 0;
	if (c->in->imm_src)
		c->constant_taken = c->constant;
	scalar_refine(c->in->op, c->in->width, false, &c->dst->v, &c->src->v);
	scalar_refine(c->in->op, c->in->width, true, &taken_dst->v, &taken_src->v);
	err = broken_bounds(v, c->dst);
	err = err ? err : broken_bounds(v, c->src);
	err = err ? err : broken_bounds(v, taken_dst);
	err = err ? err : broken_bounds(v, taken_src);
	if (err)
		return err;
	if (!c->in->imm_src && c->src->id) {
		sync_linked(v, v->cur, c->src, c->linked);
		sync_linked(v, c->other, taken_src, c->linked);
	}
	if (c->dst->id) {
		sync_linked(v, v->cur, c->dst, c->linked);
		sync_linked(v, c->other, taken_dst, c->linked);
	}
	return 0;
}

/* Two pointers are equal, and one is not NULL: neither is the other. */
static void equal_pointers(struct verifier *v, struct compare *c)
{
	struct frame *f = c->in->op == OP_JEQ ? cur_frame(c->other) : cur_frame(v->cur);

	if (c->in->imm_src || c->in->width != 64 || (c->in->op != OP_JEQ && c->in->op != OP_JNE) || !reg_is_pointer(c->dst) || !reg_is_pointer(c->src) ||
	    reg_base(c->dst->type) == R_BTF || reg_base(c->src->type) == R_BTF)
		return;
	if (not_null(c->dst) && c->src->type & R_NULLABLE)
		reg_not_null(v, &f->regs[c->in->src]);
	if (not_null(c->src) && c->dst->type & R_NULLABLE)
		reg_not_null(v, &f->regs[c->in->dst]);
}

int walk_jump(struct verifier *v, const struct insn *in, u32 *next)
{
	struct compare c = {.in = in};
	enum edge e;
	bool null_test;
	int err = operands(v, &c);

	if (err)
		return err;
	e = decide(v, c.dst, c.src, in->op, in->width);
	if (e != UNKNOWN)
		return known(v, &c, e, next);
	v->aux[v->insn].facts |= FACT_TAKEN | FACT_FALLS;
	err = collect(v, &c);
	if (err)
		return err;
	c.other = push_branch(v, (u32)in->target, v->insn, false);
	if (!c.other)
		return v->why->err;
	err = ranges(v, &c);
	if (err)
		return err;
	equal_pointers(v, &c);
	null_test = in->width == 64 && in->imm_src && in->imm == 0 && (in->op == OP_JEQ || in->op == OP_JNE) && c.dst->type & R_NULLABLE;
	if (null_test) {
		null_edge(v, v->cur, in->dst, in->op == OP_JNE);
		null_edge(v, c.other, in->dst, in->op == OP_JEQ);
		return 0;
	}
	if (!packet_compare(v, &c) && !v->allow_ptr_leaks && reg_is_pointer(c.dst))
		return reject(v, REJECT_POINTER_COMPARE, "R%u pointer comparison prohibited", in->dst);
	return 0;
}
