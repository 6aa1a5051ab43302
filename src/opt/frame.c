/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What remains of the frame once slots became values: how deep it is, and which bytes might be read before they are written. Those
 * are cleared on entry, so that a program reads zeros there and never what the host left on its stack.
 *
 * Key idea: forwards over the blocks, the set of bytes that every path has written, 512 bits each.
 */
#include "opt/passes.h"

enum { FRAME = RUN_STACK, WORDS = FRAME / 64 };

struct bytes {
	u64 word[WORDS];
};

struct frame {
	struct ir *f;
	u64 *may; /* opt_frame_reach()'s */
	struct bytes *out; /* per block */
	struct bytes needed; /* read, and not written on every path before */
	struct bytes exposed;
};

static bool is_access(const struct ir_node *n)
{
	return n->op == IR_LOAD || n->op == IR_LOADS || n->op == IR_STORE || n->op == IR_ATOMIC;
}

/* Offsets from r10; what lies outside of the frame is left out. */
static void add(struct bytes *b, s64 from, s64 to)
{
	from = MAX(from, (s64)-FRAME);
	to = MIN(to, (s64)0);
	for (s64 i = from; i < to; i++)
		b->word[(i + FRAME) / 64] |= 1ull << ((i + FRAME) % 64);
}

static void reads(struct frame *s, const struct bytes *now, s64 from, s64 to)
{
	struct bytes b = {0};

	add(&b, from, to);
	for (u32 i = 0; i < WORDS; i++)
		s->needed.word[i] |= b.word[i] & ~now->word[i];
}

/* Other code gets the address, and may read there at any time where helpers read what they are told. */
static void exposes(struct frame *s, const struct bytes *now, s64 from, s64 to)
{
	const struct bytes nothing = {0};

	add(&s->exposed, from, to);
	reads(s, s->f->probes ? &nothing : now, from, to);
}

static void call(struct frame *s, const struct ir_call *c, struct bytes *now)
{
	s64 from, to;

	for (u32 i = 0; i < c->n_args; i++) {
		if (!(s->f->kinds[c->args[i]] & PTR_STACK))
			continue;
		if (c->kind == IRC_SUBPROG || c->calls_back || !c->sizes[i] || !opt_frame_reach(s->f, &s->may, c->args[i], &from, &to))
			exposes(s, now, -FRAME, 0);
		else if (c->sizes[i] == IR_TO_TOP)
			exposes(s, now, from, 0);
		else
			reads(s, now, from, to + c->sizes[i]);
	}
}

static void visit(struct frame *s, u32 v, struct bytes *now)
{
	struct ir *f = s->f;
	const struct ir_node *n = &f->node[v];
	s64 from, to;

	if (n->op == IR_CALL) {
		call(s, &f->call[n->imm], now);
		return;
	}
	if (!is_access(n)) {
		if ((n->op == IR_PHI || n->op == IR_SELECT || n->op == IR_RETURN) && f->kinds[n->op == IR_RETURN ? n->arg[0] : v] & PTR_STACK)
			exposes(s, now, -FRAME, 0);
		return;
	}
	for (u32 k = 1; k < n->n; k++)
		if (f->kinds[n->arg[k]] & PTR_STACK)
			exposes(s, now, -FRAME, 0);
	if (!(f->kinds[n->arg[0]] & PTR_STACK))
		return;
	if (!opt_frame_reach(f, &s->may, n->arg[0], &from, &to))
		reads(s, now, -FRAME, 0);
	else if (n->op == IR_STORE && from == to)
		add(now, from + n->imm, from + n->imm + n->width);
	else
		reads(s, now, from + n->imm, to + n->imm + n->width);
}

static void enter(const struct frame *s, u32 b, struct bytes *now)
{
	const struct ir_block *k = &s->f->block[b];

	memset(now, b ? 0xff : 0, sizeof(*now));
	for (u32 p = 0; p < k->n_pred; p++)
		for (u32 i = 0; i < WORDS; i++)
			now->word[i] &= s->out[k->pred[p]].word[i];
}

/* How deep constant offsets reach; an offset that is not constant may reach all of it. */
static void depth(struct frame *s, s64 *deepest)
{
	struct ir *f = s->f;

	ir_each_rpo(f, i, b)
		ir_each(f, v, b) {
			const struct ir_node *n = &f->node[v];
			s64 from, to;

			if (is_access(n) && f->kinds[n->arg[0]] & PTR_STACK)
				*deepest = MIN(*deepest, opt_frame_reach(f, &s->may, n->arg[0], &from, &to) ? from + n->imm : -FRAME);
			for (u32 k = 0; n->op == IR_CALL && k < f->call[n->imm].n_args; k++)
				if (f->kinds[f->call[n->imm].args[k]] & PTR_STACK)
					*deepest = MIN(*deepest, f->call[n->imm].kind != IRC_SUBPROG && !f->call[n->imm].calls_back &&
									 opt_frame_reach(f, &s->may, f->call[n->imm].args[k], &from, &to) ? from : -FRAME);
			if (n->op == IR_PHI || n->op == IR_SELECT || n->op == OP_SUB) {
				if (f->kinds[v] & PTR_STACK)
					*deepest = -FRAME;
			} else if (n->op == IR_STORE || n->op == IR_ATOMIC) {
				for (u32 k = 1; k < n->n; k++)
					if (f->kinds[n->arg[k]] & PTR_STACK)
						*deepest = -FRAME;
			} else if (n->op == IR_RETURN && f->kinds[n->arg[0]] & PTR_STACK) {
				*deepest = -FRAME;
			}
		}
	*deepest = MAX(*deepest, (s64)-FRAME);
}

void opt_frame(struct ir *f)
{
	struct frame s = {.f = f};
	s64 deepest = 0;
	bool again = true;

	opt_kinds(f); /* passes made new nodes */
	if (f->failed)
		return;
	depth(&s, &deepest);
	f->frame_size = (u32)-deepest;
	if (!deepest)
		return;
	s.out = arena_room(f->scratch, f->n_blocks, sizeof(*s.out));
	if (f->failed || !s.out) {
		f->failed = true;
		return;
	}
	memset(s.out, 0xff, f->n_blocks * sizeof(*s.out));
	while (again) {
		again = false;
		ir_each_rpo(f, i, b) {
			struct bytes now;

			enter(&s, b, &now);
			ir_each(f, v, b)
				visit(&s, v, &now);
			again |= memcmp(&now, &s.out[b], sizeof(now)) != 0;
			s.out[b] = now;
		}
	}
	f->clear = f->exposed = 0;
	for (s64 at = -(s64)ALIGN_UP(f->frame_size, 8); at < 0; at += 8) {
		u32 word = (u32)(at + FRAME) / 64, bit = (u32)(at + FRAME) % 64;

		if (s.needed.word[word] >> bit & 0xff)
			f->clear |= 1ull << (-at / 8 - 1);
		if (f->probes && s.exposed.word[word] >> bit & 0xff)
			f->exposed |= 1ull << (-at / 8 - 1);
	}
}
