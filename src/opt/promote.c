/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slots of the frame become values. A slot is a set of bytes that accesses at constant offsets overlap in; it can become a value if it has at most
 * eight bytes, some access covers all of it, and no other code may touch it. Who else may: calls, through the
 * addresses and sizes that they are given; accesses at offsets that are not constant, within what is known of them.
 *
 * Requires: rpo, kinds. Keeps: the control flow graph.
 */
#include "opt/passes.h"

enum { FRAME = RUN_STACK, MOST_SLOTS = 128 };

struct slot {
	s64 at; /* offset from r10 of its first byte */
	u32 size;
	bool shared;
	bool stored_whole; /* there is an access of all of it */
};

struct promote {
	struct ir *f;
	u8 shared[FRAME]; /* bytes that other code may touch; index 0: r10 - FRAME */
	u32 of[FRAME]; /* slot + 1 */
	struct slot slot[MOST_SLOTS];
	u32 n_slots;
	u32 *value; /* per block and slot: at its end */
	u32 *to;
	u64 *may; /* opt_frame_reach()'s */
	u32 *phi; /* per block and slot: at its start; 0 none */
	struct set *live; /* per block: slots that are read from its start on, before they are written */
};

struct set {
	u64 bit[MOST_SLOTS / 64];
};

static bool is_access(const struct ir_node *n)
{
	return n->op == IR_LOAD || n->op == IR_LOADS || n->op == IR_STORE || n->op == IR_ATOMIC;
}

/* ---- who else may touch the frame ---- */

static void share(struct promote *p, s64 from, s64 to)
{
	from = MAX(from, (s64)-FRAME);
	to = MIN(to, (s64)0);
	for (s64 i = from; i < to; i++)
		p->shared[i + FRAME] = 1;
}

static void share_call(struct promote *p, const struct ir_call *c)
{
	s64 from, to;

	for (u32 i = 0; i < c->n_args; i++) {
		if (!(p->f->kinds[c->args[i]] & PTR_STACK))
			continue;
		if (c->kind == IRC_SUBPROG || c->calls_back || !c->sizes[i] || !opt_frame_reach(p->f, &p->may, c->args[i], &from, &to))
			share(p, -FRAME, 0);
		else
			share(p, from, c->sizes[i] == IR_TO_TOP ? 0 : to + c->sizes[i]);
	}
}

static void share_uses(struct promote *p, u32 v)
{
	struct ir *f = p->f;
	const struct ir_node *n = &f->node[v];
	s64 from, to, exact;

	if (n->op == IR_CALL) {
		share_call(p, &f->call[n->imm]);
	} else if (is_access(n)) {
		for (u32 k = 1; k < n->n; k++)
			if (f->kinds[n->arg[k]] & PTR_STACK) /* its address goes into memory */
				share(p, -FRAME, 0);
		if (!(f->kinds[n->arg[0]] & PTR_STACK))
			return;
		if (!opt_frame_reach(f, &p->may, n->arg[0], &from, &to))
			share(p, -FRAME, 0);
		else if (n->op == IR_ATOMIC || !opt_frame_offset(f, n->arg[0], &exact))
			share(p, from + n->imm, to + n->imm + n->width);
	} else if (n->op == IR_RETURN || n->op == IR_TAIL) {
		if (f->kinds[n->arg[0]] & PTR_STACK)
			share(p, -FRAME, 0);
	}
}

/* ---- slots ---- */

/* Where the access begins, in p->of's terms; FRAME: elsewhere, or other code may touch it. */
static u32 place(const struct promote *p, const struct ir_node *n)
{
	s64 off;

	if (!is_access(n) || !opt_frame_offset(p->f, n->arg[0], &off))
		return FRAME;
	off += n->imm;
	return off >= -FRAME && off + n->width <= 0 && !p->shared[off + FRAME] ? (u32)(off + FRAME) : FRAME;
}

static bool stores_constant(const struct ir *f, const struct ir_node *n)
{
	return n->op == IR_STORE && n->width == 8 && ir_is_const(f, n->arg[1]);
}

static void split(struct ir *f, u32 v)
{
	u64 x = (u64)f->node[v].imm, c = (u64)f->node[f->node[v].arg[1]].imm;
	u32 low = ir_const(f, (u32)c), high = ir_const(f, c >> 32), second = ir_node(f, IR_STORE, 4);

	if (f->failed)
		return;
	f->node[v].width = 4;
	f->node[v].arg[1] = low;
	f->node[second] = f->node[v];
	f->node[second].arg[1] = high;
	f->node[second].imm = (s64)(x + 4);
	ir_insert(f, v, second);
}

/* Two numbers that are cleared by one store are two slots all the same. */
static void split_stores(struct promote *p)
{
	struct ir *f = p->f;
	u8 together[FRAME + 1] = {0}, covered[FRAME + 1] = {0}; /* with the byte before */
	u32 at;

	ir_each_rpo(f, i, b)
		ir_each(f, v, b) {
			const struct ir_node *n = &f->node[v];

			at = stores_constant(f, n) ? FRAME : place(p, n);
			for (u32 k = 0; at < FRAME && k < n->width; k++) {
				covered[at + k] = 1;
				together[at + k] |= k > 0;
			}
		}
	ir_each_rpo(f, i, b)
		for (u32 v = f->block[b].first, next; v; v = next) {
			const struct ir_node *n = &f->node[v];

			next = n->next;
			at = stores_constant(f, n) ? place(p, n) : FRAME;
			if (at < FRAME && !together[at + 4] && (covered[at] || covered[at + 4]))
				split(f, v);
		}
}

static void find_slots(struct promote *p)
{
	struct ir *f = p->f;
	u8 starts[FRAME + 1] = {0};
	u8 covered[FRAME] = {0};
	s64 off;

	/* bytes that are together in some access belong to one slot */
	ir_each_rpo(f, i, b)
		ir_each(f, v, b) {
			const struct ir_node *n = &f->node[v];

			if (!is_access(n) || !opt_frame_offset(f, n->arg[0], &off))
				continue;
			off += n->imm;
			if (off < -FRAME || off + n->width > 0)
				continue;
			for (u32 k = 0; k < n->width; k++) {
				covered[off + FRAME + k] = 1;
				if (k)
					starts[off + FRAME + k] = 1; /* joined with the byte before */
			}
		}
	for (u32 i = 0; i < FRAME;) {
		u32 k = i + 1;
		bool shared = p->shared[i];

		if (!covered[i]) {
			i++;
			continue;
		}
		for (; k < FRAME && starts[k]; k++)
			shared |= p->shared[k];
		if (!shared && k - i <= 8 && p->n_slots < MOST_SLOTS) {
			p->slot[p->n_slots++] = (struct slot){.at = (s64)i - FRAME, .size = k - i};
			for (u32 x = i; x < k; x++)
				p->of[x] = p->n_slots;
		}
		i = k;
	}
	ir_each_rpo(f, i, b)
		ir_each(f, v, b) {
			const struct ir_node *n = &f->node[v];

			if (is_access(n) && opt_frame_offset(f, n->arg[0], &off) && off + n->imm >= -FRAME && off + n->imm < 0) {
				u32 s = p->of[off + n->imm + FRAME];

				if (s && n->width == p->slot[s - 1].size)
					p->slot[s - 1].stored_whole = true;
			}
		}
	for (u32 i = 0; i < FRAME; i++)
		if (p->of[i] && (!p->slot[p->of[i] - 1].stored_whole || (p->slot[p->of[i] - 1].size & (p->slot[p->of[i] - 1].size - 1))))
			p->of[i] = 0;
}

/* ---- values ---- */

static u32 add(struct promote *p, u32 before, u32 op, u32 width, u32 x, u32 y)
{
	u32 v = ir_node(p->f, (enum ir_op)op, width);
	struct ir_node *n = &p->f->node[v];

	n->arg[0] = x;
	n->arg[1] = y;
	n->n = y ? 2 : 1;
	n->pc = p->f->node[before].pc;
	ir_insert(p->f, before, v);
	return v;
}

static u32 low_bytes(struct promote *p, u32 at, u32 v, u32 bytes)
{
	if (bytes == 8)
		return v;
	return bytes == 4 ? add(p, at, OP_MOV, 32, v, 0) : add(p, at, OP_AND, 32, v, ir_const(p->f, (1ull << 8 * bytes) - 1));
}

/* The part of the slot's value that an access reads. */
static u32 part(struct promote *p, u32 at, u32 value, const struct slot *s, s64 off, u32 bytes, bool sign)
{
	u32 shift = (u32)(off - s->at) * 8;

	if (shift)
		value = add(p, at, OP_RSH, 64, value, ir_const(p->f, shift));
	if (sign)
		return add(p, at, bytes == 1 ? OP_MOVS8 : bytes == 2 ? OP_MOVS16 : OP_MOVS32, 64, value, 0);
	return bytes * 8 + shift == s->size * 8u ? value : low_bytes(p, at, value, bytes);
}

static u32 merged(struct promote *p, u32 at, u32 old, const struct slot *s, s64 off, u32 bytes, u32 x)
{
	u32 shift = (u32)(off - s->at) * 8;
	u64 mask = bytes == 8 ? ~0ull : (1ull << 8 * bytes) - 1;

	x = low_bytes(p, at, x, bytes);
	if (bytes == s->size)
		return x;
	if (shift)
		x = add(p, at, OP_LSH, 64, x, ir_const(p->f, shift));
	old = add(p, at, OP_AND, 64, old, ir_const(p->f, ~(mask << shift)));
	return add(p, at, OP_OR, 64, old, x);
}

static u32 resolved(const struct promote *p, u32 v)
{
	while (v < p->f->n_nodes && p->to[v])
		v = p->to[v];
	return v;
}

/* The slot of an access, and where in the frame it begins; NULL: it is of none. */
static const struct slot *slot_of(const struct promote *p, const struct ir_node *n, s64 *off)
{
	u32 number;

	if (!is_access(n) || !opt_frame_offset(p->f, n->arg[0], off))
		return NULL;
	*off += n->imm;
	number = *off < -FRAME || *off >= 0 ? 0 : p->of[*off + FRAME];
	return number ? &p->slot[number - 1] : NULL;
}

static void visit(struct promote *p, u32 v, u32 *now)
{
	struct ir *f = p->f;
	const struct ir_node n = f->node[v];
	const struct slot *s;
	u32 number, x;
	s64 off;

	s = slot_of(p, &n, &off);
	if (!s)
		return;
	number = (u32)(s - p->slot);
	if (n.op == IR_STORE) {
		x = resolved(p, n.arg[1]);
		now[number] = merged(p, v, now[number], s, off, n.width, x);
	} else {
		p->to[v] = part(p, v, now[number], s, off, n.width, n.op == IR_LOADS);
	}
	ir_remove(f, v);
}

static bool has(const struct set *x, u32 slot)
{
	return x->bit[slot / 64] >> slot % 64 & 1;
}

/* What one block reads and writes first. */
static void look(const struct promote *p, u32 b, struct set *reads, struct set *writes)
{
	s64 off;

	ir_each(p->f, v, b) {
		const struct ir_node *n = &p->f->node[v];
		const struct slot *s = slot_of(p, n, &off);
		u32 i = s ? (u32)(s - p->slot) : 0;

		if (!s || has(reads, i) || has(writes, i))
			continue;
		(n->op == IR_STORE && n->width == s->size ? writes : reads)->bit[i / 64] |= 1ull << i % 64;
	}
}

static bool live_slots(struct promote *p)
{
	struct ir *f = p->f;
	struct set *writes = arena_array(f->scratch, f->n_blocks, sizeof(*writes));
	bool again = true;

	p->live = arena_array(f->scratch, f->n_blocks, sizeof(*p->live));
	if (!writes || !p->live)
		return false;
	ir_each_rpo(f, i, b)
		look(p, b, &p->live[b], &writes[b]);
	while (again) {
		again = false;
		for (u32 i = f->n_rpo; i-- > 0;) {
			u32 b = f->rpo[i];

			for (u32 w = 0; w < ARRAY_SIZE(writes->bit); w++) {
				u64 *live = &p->live[b].bit[w], out = 0;

				for (u32 k = 0; k < f->block[b].n_succ; k++)
					out |= p->live[f->block[b].succ[k]].bit[w];
				out = *live | (out & ~writes[b].bit[w]);
				again |= out != *live;
				*live = out;
			}
		}
	}
	return true;
}

/* A phi per slot where paths meet that read it; those that turn out to be needless are removed by later passes. */
static void enter(struct promote *p, u32 b, u32 *now)
{
	struct ir *f = p->f;
	const struct ir_block *k = &f->block[b];

	for (u32 s = 0; s < p->n_slots; s++) {
		u32 same = 0;
		bool phi = false;

		if (b == 0 || !has(&p->live[b], s)) {
			now[s] = ir_const(f, 0);
			continue;
		}
		for (u32 i = 0; i < k->n_pred; i++) {
			u32 x = p->value[k->pred[i] * p->n_slots + s];

			phi |= !x || (i && x != same);
			same = x;
		}
		if (!phi) {
			now[s] = same;
			continue;
		}
		now[s] = ir_node(f, IR_PHI, 64);
		if (f->failed)
			return;
		k = &f->block[b];
		p->phi[b * p->n_slots + s] = now[s];
		f->node[now[s]].pc = k->pc;
		if (k->first)
			ir_insert(f, k->first, now[s]);
		else
			ir_append(f, b, now[s]);
	}
}

static void fill(struct promote *p)
{
	struct ir *f = p->f;

	ir_each_rpo(f, i, b)
		for (u32 s = 0; s < p->n_slots; s++) {
			u32 v = p->phi[b * p->n_slots + s], at;

			if (!v || !ir_pool(f, f->block[b].n_pred, &at))
				continue;
			f->node[v].arg[0] = at;
			for (u32 k = 0; k < f->block[b].n_pred; k++)
				f->pool[at + k] = p->value[f->block[b].pred[k] * p->n_slots + s];
		}
}

void opt_promote(struct ir *f)
{
	struct promote *p = arena_alloc(f->scratch, sizeof(*p));
	u32 now[MOST_SLOTS], room;

	if (!p) {
		f->failed = true;
		return;
	}
	p->f = f;
	ir_each_rpo(f, i, b)
		ir_each(f, v, b) {
			share_uses(p, v);
			if (f->node[v].op == IR_PHI || f->node[v].op == IR_SELECT) /* the address has several origins */
				if (f->kinds[v] & PTR_STACK)
					share(p, -FRAME, 0);
		}
	split_stores(p);
	if (f->failed)
		return;
	room = f->n_nodes;
	find_slots(p);
	if (!p->n_slots || (u64)p->n_slots * f->n_blocks > 4000000)
		return;
	p->value = arena_array(f->scratch, f->n_blocks * p->n_slots, sizeof(u32));
	p->phi = arena_array(f->scratch, f->n_blocks * p->n_slots, sizeof(u32));
	/* every access adds nine nodes at most, constants included, every block a phi per slot */
	room = room * 10 + f->n_blocks * p->n_slots + 64;
	p->to = arena_array(f->scratch, room, sizeof(u32));
	if (!p->value || !p->phi || !p->to || !live_slots(p)) {
		f->failed = true;
		return;
	}
	ir_each_rpo(f, i, b) {
		enter(p, b, now);
		for (u32 v = f->block[b].first, next; v; v = next) {
			next = f->node[v].next;
			visit(p, v, now);
		}
		memcpy(p->value + b * p->n_slots, now, p->n_slots * sizeof(u32));
		if (f->failed)
			return;
	}
	fill(p);
	ir_rewrite(f, p->to);
	opt_dead(f);
}
