/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small loops make several turns before they go back: a jump per turn costs more than what such a turn does. For loops that have no others in
 * them, are left at one place, and whose turns are counted beforehand, so that only one copy asks whether to leave: the one in which the last turn falls.
 *
 * That copy is the loop's own blocks, so that what is used behind the loop stays what it is. The first copy has the header's phis. What grows by a
 * constant from turn to turn is the first copy's value plus a constant, and as an address it is the access's offset.
 *
 * Accesses keep their order, and none is made more or less often (memory.c). It comes behind the passes that combine accesses, so that those of
 * several turns are never combined.
 *
 * Requires: rpo, loops. Keeps: SSA; leaves a new order behind.
 */
#include "opt/passes.h"

enum {
	MOST_BLOCKS = 6,
	FAR = 32, /* blocks that are looked at for them */
	MOST_PHIS = 12,
	MOST_NODES = 24, /* of a loop, and of one that has the most copies */
	FEW_NODES = 12,
	MOST_COPIES = 4,
	FEWEST_TURNS = 8, /* with fewer there is little to win */
	MOST_OFFSET = 1 << 20,
	ROOM = 256, /* nodes that may be made, and an eighth of those there are */
};

/* By how much a value grows from turn to turn. */
struct growth {
	bool known;
	u8 width; /* it is so modulo 2 to the power of that; 64 is more than 32 */
	u64 by;
};

struct unroll {
	struct ir *f;
	struct opt_loop l;
	struct opt_recur r;
	u32 n; /* nodes when the pass began: those of loops */
	u32 *map; /* per node: what it is in the copy made last */
	u32 *first; /* and in the first copy */
	struct growth *growth;
	u32 own[MOST_BLOCKS], copy[MOST_COPIES][MOST_BLOCKS], n_blocks; /* in order */
	u32 n_copies, last, n_nodes; /* last: the copy that is the loop's own blocks */
	u32 phi[MOST_PHIS], next[MOST_PHIS], n_phis; /* of the header; what they are in the next turn */
	u32 *to; /* per node: what phis of headers became */
	u64 room;
};

static bool in_loop(const struct unroll *u, u32 v)
{
	return v < u->n && u->f->node[v].op != IR_CONST && u->f->block[u->f->node[v].block].header == u->l.header;
}

/* ---- which loops ---- */

static bool may_be_copied(const struct ir_node *n)
{
	return n->op != IR_CALL && n->op != IR_ATOMIC && n->op != IR_RETURN && n->op != IR_TAIL && !(n->flags & IRF_POLL);
}

static bool look_at_block(struct unroll *u, u32 b)
{
	const struct ir *f = u->f;

	if (u->n_blocks == MOST_BLOCKS || f->block[b].cold)
		return false;
	u->own[u->n_blocks++] = b;
	ir_each(f, v, b) {
		if (!may_be_copied(&f->node[v]) || (opt_header_phi(u->f, &u->l, v) && u->n_phis == MOST_PHIS))
			return false;
		if (opt_header_phi(u->f, &u->l, v))
			u->phi[u->n_phis++] = v;
		u->n_nodes += f->node[v].op != IR_PHI && f->node[v].op != IR_JUMP;
	}
	for (u32 s = 0; s < f->block[b].n_succ; s++)
		if (!ir_in_loop(f, f->block[b].succ[s], u->l.header)) {
			if (u->l.exit || f->node[f->block[b].last].op != IR_BRANCH)
				return false;
			u->l.exit = f->block[b].last;
		}
	return u->n_nodes <= MOST_NODES;
}

/* Do turns wait for one another so long that what else they do is free? */
static bool waits(const struct unroll *u)
{
	struct ir *f = u->f;
	u32 far = 0;

	for (u32 i = 0; i < u->n_phis; i++) {
		u32 x = opt_incoming(f, &u->l, u->phi[i], u->l.latch);

		if (in_loop(u, x) && opt_on_circle(f, &u->r, x, x))
			far = MAX(far, u->r.down[x]);
	}
	return far > 2 && 2 * far > u->n_nodes;
}

static bool look_at_loop(struct unroll *u, u32 i)
{
	const struct ir *f = u->f;
	u32 header = f->rpo[i], left = f->block[header].loop_size;

	u->n_blocks = u->n_nodes = u->n_phis = 0;
	if (left > MOST_BLOCKS || !opt_loop_ends(f, header, &u->l) || f->block[u->l.before].n_succ != 1)
		return false;
	for (u32 k = i; k < f->n_rpo && k < i + FAR && left; k++) {
		u32 b = f->rpo[k], h = f->block[b].header;

		if (h == header) {
			left--;
			if (!look_at_block(u, b))
				return false;
		} else if (ir_in_loop(f, b, header)) {
			return false;
		}
	}
	return !left && u->l.exit && !waits(u);
}

static u32 copies(const struct unroll *u, u64 turns)
{
	u32 n = u->n_nodes <= FEW_NODES ? MOST_COPIES : 2;

	return turns >= FEWEST_TURNS && (u64)(n - 1) * u->n_nodes <= u->room ? n : 1;
}

/* ---- what grows ---- */

static struct growth growth_of(const struct unroll *u, u32 v)
{
	return in_loop(u, v) ? u->growth[v] : (struct growth){true, 64, 0};
}

static struct growth grows_as_phi(struct unroll *u, u32 v)
{
	struct ir *f = u->f;
	const struct ir_node *step;

	if (!opt_header_phi(u->f, &u->l, v))
		return (struct growth){0};
	step = &f->node[opt_incoming(f, &u->l, v, u->l.latch)];
	if (step->op != OP_ADD || step->arg[0] != v || !ir_is_const(f, step->arg[1]))
		return (struct growth){0};
	return (struct growth){true, step->width, (u64)f->node[step->arg[1]].imm};
}

static struct growth find_growth(struct unroll *u, u32 v)
{
	const struct ir *f = u->f;
	const struct ir_node *n = &f->node[v];
	struct growth a, b, none = {0};

	if (n->op == IR_PHI)
		return grows_as_phi(u, v);
	if (n->op != OP_ADD && n->op != OP_SUB && n->op != OP_LSH && n->op != OP_MUL)
		return none;
	a = growth_of(u, n->arg[0]);
	b = growth_of(u, n->arg[1]);
	if (!a.known || !b.known || (n->width == 64 && MIN(a.width, b.width) < 64))
		return none;
	a.width = n->width;
	switch (n->op) {
	case OP_ADD: a.by += b.by; break;
	case OP_SUB: a.by -= b.by; break;
	default:
		if (!ir_is_const(f, n->arg[1]))
			return none;
		a.by = n->op == OP_MUL ? a.by * (u64)f->node[n->arg[1]].imm : a.by << (f->node[n->arg[1]].imm & (n->width - 1));
	}
	return a;
}

/* Only what every turn makes has a first value that the other copies can use. */
static void find_growths(struct unroll *u)
{
	for (u32 i = 0; i < u->n_blocks; i++)
		ir_each(u->f, v, u->own[i]) {
			u->growth[v] = ir_dominates(u->f, u->own[i], u->l.latch) ? find_growth(u, v) : (struct growth){0};
			if (u->growth[v].width == 32)
				u->growth[v].by &= UINT32_MAX;
		}
}

/* ---- copies ---- */

static u32 mapped(const struct unroll *u, u32 v)
{
	return in_loop(u, v) ? u->map[v] : v;
}

/* What a block of the loop is in the number-th copy; the header, where one goes back to it: the next turn's. */
static u32 block_in(const struct unroll *u, u32 number, u32 b, bool back)
{
	u32 i = 0;

	while (u->own[i] != b)
		i++;
	return u->copy[back && i == 0 ? (number + 1) % u->n_copies : number][i];
}

/* The number-th turn's v, which grows: the first one's plus a constant. */
static void make_sum(struct unroll *u, u32 node, u32 v, u32 number)
{
	struct ir *f = u->f;
	struct growth g = u->growth[v];
	u32 x = u->first[v], c;
	u64 by = g.by * number;
	struct ir_node *n = &f->node[x];

	if (n->op == OP_ADD && n->width == g.width && ir_is_const(f, n->arg[1])) {
		by += (u64)f->node[n->arg[1]].imm;
		x = n->arg[0];
	}
	c = ir_const(f, g.width == 32 ? (u64)(s64)(s32)by : by);
	n = &f->node[node];
	n->op = OP_ADD;
	n->width = g.width;
	n->n = 2;
	n->arg[0] = x;
	n->arg[1] = c;
}

/* Where an address grows, it stays the first turn's, and the offset grows. */
static bool set_offset(struct unroll *u, u32 node, u32 address, u32 number)
{
	struct ir_node *n = &u->f->node[node];
	struct growth g;
	s64 by;

	if (n->op != IR_LOAD && n->op != IR_LOADS && n->op != IR_STORE)
		return false;
	g = growth_of(u, address);
	by = (s64)(g.by * number);
	if (!g.known || !g.by || g.width < 64 || by > MOST_OFFSET || by < -MOST_OFFSET)
		return false;
	n->arg[0] = u->first[address];
	n->imm += by;
	return true;
}

static void map_args(struct unroll *u, u32 node, u32 phi)
{
	struct ir *f = u->f;
	u32 n = f->block[f->node[phi].block].n_pred, at, *args = ir_pool(f, n, &at);

	for (u32 k = 0; args && k < n; k++)
		args[k] = mapped(u, ir_phi_args(f, phi)[k]);
	f->node[node].arg[0] = at;
}

static u32 new_node(struct unroll *u, u32 like, enum ir_op op, u32 block)
{
	struct ir *f = u->f;
	u32 node = ir_node(f, op, f->node[like].width);

	if (f->failed)
		return 0;
	if (op == f->node[like].op)
		f->node[node] = f->node[like];
	f->node[node].prev = f->node[node].next = 0;
	f->node[node].pc = f->node[like].pc;
	ir_append(f, block, node);
	return node;
}

static void copy_node(struct unroll *u, u32 v, u32 number, u32 block)
{
	struct ir *f = u->f;
	const struct growth g = u->growth[v];
	u32 node;

	if (number && g.known && !g.by) {
		u->map[v] = u->first[v];
		return;
	}
	node = new_node(u, v, v == u->l.exit ? IR_JUMP : f->node[v].op, block);
	if (!node)
		return;
	if (f->node[v].op == IR_PHI)
		map_args(u, node, v);
	else if (number && g.known)
		make_sum(u, node, v, number);
	else
		for (u32 k = number && set_offset(u, node, f->node[v].arg[0], number); k < f->node[node].n; k++)
			f->node[node].arg[k] = mapped(u, f->node[v].arg[k]);
	u->map[v] = node;
	if (!number)
		u->first[v] = node;
}

static u32 new_phi(struct unroll *u, u32 like)
{
	struct ir *f = u->f;
	u32 node = new_node(u, like, IR_PHI, u->copy[0][0]), at, *args = ir_pool(f, 2, &at);

	if (f->failed)
		return 0;
	memcpy(args, ir_phi_args(f, like), 2 * sizeof(u32));
	f->node[node].arg[0] = at;
	return node;
}

/* The header's phis: of the first copy, phis; of the others, what the turn before made of them, all at once. */
static void next_turn(struct unroll *u, u32 number)
{
	struct ir *f = u->f;

	for (u32 i = 0; i < u->n_phis && !f->failed; i++) {
		u32 v = u->phi[i];

		if (number)
			u->next[i] = mapped(u, opt_incoming(f, &u->l, v, u->l.latch));
		else
			u->next[i] = u->first[v] = u->last ? new_phi(u, v) : v;
		if (number == u->last && number)
			u->to[v] = u->next[i];
	}
	for (u32 i = 0; i < u->n_phis; i++)
		u->map[u->phi[i]] = u->next[i];
}

static void copy_edges(struct unroll *u, u32 number, u32 i)
{
	struct ir *f = u->f;
	u32 b = u->own[i], to = u->copy[number][i], n = 0;

	f->block[to].pc = f->block[b].pc;
	for (u32 s = 0; s < f->block[b].n_succ; s++)
		if (ir_in_loop(f, f->block[b].succ[s], u->l.header))
			f->block[to].succ[n++] = block_in(u, number, f->block[b].succ[s], true);
	f->block[to].n_succ = n;
	for (u32 k = 0; i && k < f->block[b].n_pred; k++)
		ir_edge(f, block_in(u, number, f->block[b].pred[k], false), to);
}

static void copy_turn(struct unroll *u, u32 number)
{
	struct ir *f = u->f;
	bool own = number == u->last;

	next_turn(u, number);
	for (u32 i = 0; i < u->n_blocks && !f->failed; i++) {
		if (!own)
			copy_edges(u, number, i);
		for (u32 v = f->block[u->own[i]].first; v && !f->failed; v = f->node[v].next)
			if (own && !opt_header_phi(u->f, &u->l, v))
				u->map[v] = number ? v : (u->first[v] = v);
			else if (!opt_header_phi(u->f, &u->l, v))
				copy_node(u, v, number, u->copy[number][i]);
	}
}

/* The loop's own blocks, of which no more copies are made, make the turn in which it is left. */
static void be_last(struct unroll *u)
{
	struct ir *f = u->f;

	for (u32 i = 0; i < u->n_phis; i++)
		if (u->last)
			ir_remove(f, u->phi[i]);
	for (u32 i = 0; i < u->n_blocks && u->last; i++)
		ir_each(f, v, u->own[i]) {
			set_offset(u, v, f->node[v].arg[0], u->last);
			if (u->growth[v].known && u->growth[v].by)
				make_sum(u, v, v, u->last);
		}
}

/* The first turn begins with what the last copy made. */
static void go_back(struct unroll *u)
{
	struct ir *f = u->f;
	u32 at = f->block[u->l.header].pred[0] == u->l.latch ? 0 : 1;

	for (u32 i = 0; i < u->n_phis; i++)
		u->next[i] = mapped(u, opt_incoming(f, &u->l, u->phi[i], u->l.latch));
	for (u32 i = 0; i < u->n_phis; i++)
		ir_phi_args(f, u->first[u->phi[i]])[at] = u->next[i];
}

static void link_turns(struct unroll *u)
{
	struct ir *f = u->f;
	u32 h = u->l.header, back = block_in(u, u->n_copies - 1, u->l.latch, false), pred[2] = {f->block[h].pred[0], f->block[h].pred[1]};

	ir_lead(f, u->l.before, h, u->copy[0][0]);
	ir_lead(f, u->l.latch, h, u->copy[(u->last + 1) % u->n_copies][0]);
	for (u32 c = 0; c < u->n_copies; c++) {
		u32 to = u->copy[c][0];

		f->block[to].n_pred = 0;
		for (u32 k = 0; k < 2 && !c; k++)
			ir_edge(f, pred[k] == u->l.latch ? back : pred[k], to);
		if (c)
			ir_edge(f, block_in(u, c - 1, u->l.latch, false), to);
	}
}

static void unroll(struct unroll *u)
{
	struct ir *f = u->f;

	for (u32 c = 0; c < u->n_copies; c++)
		for (u32 i = 0; i < u->n_blocks; i++)
			u->copy[c][i] = c == u->last ? u->own[i] : ir_block(f);
	find_growths(u);
	for (u32 c = 0; c < u->n_copies && !f->failed; c++)
		copy_turn(u, c);
	if (f->failed)
		return;
	go_back(u);
	be_last(u);
	link_turns(u);
	u->room -= (u64)(u->n_copies - 1) * u->n_nodes;
}

/* What phis of headers became is put in their place everywhere at once. */
static void settle(struct unroll *u)
{
	struct ir *f = u->f;
	u32 *to;

	ir_order(f);
	to = arena_array(f->scratch, f->n_nodes, sizeof(u32));
	if (!to || f->failed) {
		f->failed = true;
		return;
	}
	memcpy(to, u->to, u->n * sizeof(u32));
	ir_rewrite(f, to);
	opt_dead(f);
}

void opt_unroll(struct ir *f)
{
	struct unroll u = {.f = f, .n = f->n_nodes, .room = ROOM + f->n_nodes / 8};
	bool any = false;

	u.map = arena_array(f->scratch, u.n, sizeof(u32));
	u.first = arena_array(f->scratch, u.n, sizeof(u32));
	u.to = arena_array(f->scratch, u.n, sizeof(u32));
	u.growth = arena_array(f->scratch, u.n, sizeof(*u.growth));
	if (!u.map || !u.first || !u.to || !u.growth || !opt_recur(f, &u.r)) {
		f->failed = true;
		return;
	}
	for (u32 i = 0, count = f->n_rpo; i < count && !f->failed; i++) {
		u64 turns;

		if (f->block[f->rpo[i]].header != f->rpo[i] || !look_at_loop(&u, i))
			continue;
		turns = opt_turns(f, &u.l) + 1;
		u.n_copies = copies(&u, turns);
		if (u.n_copies == 1)
			continue;
		u.last = (u32)((turns - 1) % u.n_copies);
		unroll(&u);
		any = true;
	}
	if (any && !f->failed)
		settle(&u);
}
