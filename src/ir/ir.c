/* SPDX-License-Identifier: BSD-2-Clause */
/* Nodes, blocks and edges. */
#include "ir/ir.h"

static bool grow(struct ir *f, void **at, u32 *cap, u32 n, size_t each, u32 least)
{
	if (n > *cap && !arena_grow(f->arena, at, cap, n, each, least))
		f->failed = true;
	return n <= *cap;
}

void ir_expect(struct ir *f, u32 nodes, u32 blocks)
{
	grow(f, (void **)&f->node, &f->cap_nodes, nodes, sizeof(*f->node), nodes);
	grow(f, (void **)&f->block, &f->cap_blocks, blocks, sizeof(*f->block), blocks);
}

u32 ir_node(struct ir *f, enum ir_op op, u32 width)
{
	if (f->n_nodes == 0)
		f->n_nodes = 1;
	if (!grow(f, (void **)&f->node, &f->cap_nodes, f->n_nodes + 1, sizeof(*f->node), 64))
		return 0;
	f->node[f->n_nodes] = (struct ir_node){.op = (u8)op, .width = (u8)width};
	return f->n_nodes++;
}

static u32 const_slot(const struct ir *f, u64 value)
{
	u32 h = (u32)((value * 0x9e3779b97f4a7c15ull) >> 32) & (f->cap_consts - 1);

	while (f->consts[h] && (u64)f->node[f->consts[h]].imm != value)
		h = (h + 1) & (f->cap_consts - 1);
	return h;
}

u32 ir_const(struct ir *f, u64 value)
{
	u32 slot, v;

	if (f->n_consts * 2 >= f->cap_consts) {
		u32 *old = f->consts, n = f->cap_consts, cap = n ? n * 4 : 64;
		u32 *table = arena_array(f->arena, cap, sizeof(u32));

		if (!table) {
			f->failed = true;
			return 0;
		}
		f->consts = table;
		f->cap_consts = cap;
		for (u32 i = 0; i < n; i++)
			if (old[i])
				table[const_slot(f, (u64)f->node[old[i]].imm)] = old[i];
	}
	slot = const_slot(f, value);
	if (f->consts[slot])
		return f->consts[slot];
	v = ir_node(f, IR_CONST, 64);
	f->node[v].imm = (s64)value;
	f->consts[slot] = v;
	f->n_consts++;
	return v;
}

u32 ir_block(struct ir *f)
{
	if (!grow(f, (void **)&f->block, &f->cap_blocks, f->n_blocks + 1, sizeof(*f->block), 64))
		return 0;
	f->block[f->n_blocks] = (struct ir_block){.reachable = true};
	return f->n_blocks++;
}

u32 ir_call(struct ir *f)
{
	if (!grow(f, (void **)&f->call, &f->cap_calls, f->n_calls + 1, sizeof(*f->call), 64))
		return 0;
	f->call[f->n_calls] = (struct ir_call){0};
	return f->n_calls++;
}

u32 *ir_pool(struct ir *f, u32 n, u32 *at)
{
	if (f->n_pool + n > f->cap_pool && !grow(f, (void **)&f->pool, &f->cap_pool, f->n_pool + n, sizeof(u32), 64))
		return NULL;
	*at = f->n_pool;
	f->n_pool += n;
	return memset(f->pool + *at, 0, n * sizeof(u32));
}

void ir_append(struct ir *f, u32 b, u32 v)
{
	struct ir_block *k = &f->block[b];
	struct ir_node *n = &f->node[v];

	if (k->last && ir_is_end(f->node[k->last].op)) {
		ir_insert(f, k->last, v);
		return;
	}
	n->block = b;
	n->prev = k->last;
	n->next = 0;
	if (k->last)
		f->node[k->last].next = v;
	else
		k->first = v;
	k->last = v;
}

void ir_insert(struct ir *f, u32 before, u32 v)
{
	struct ir_node *n = &f->node[v], *b = &f->node[before];

	n->block = b->block;
	n->next = before;
	n->prev = b->prev;
	if (b->prev)
		f->node[b->prev].next = v;
	else
		f->block[b->block].first = v;
	b->prev = v;
}

void ir_remove(struct ir *f, u32 v)
{
	struct ir_node *n = &f->node[v];
	struct ir_block *b = &f->block[n->block];

	if (n->prev)
		f->node[n->prev].next = n->next;
	else
		b->first = n->next;
	if (n->next)
		f->node[n->next].prev = n->prev;
	else
		b->last = n->prev;
	n->prev = n->next = 0;
}

void ir_edge(struct ir *f, u32 from, u32 to)
{
	struct ir_block *b = &f->block[to];

	if (grow(f, (void **)&b->pred, &b->cap_pred, b->n_pred + 1, sizeof(u32), 4))
		b->pred[b->n_pred++] = from;
}

u32 *ir_phi_args(struct ir *f, u32 phi)
{
	return f->pool + f->node[phi].arg[0];
}

u32 *ir_phi_more(struct ir *f, u32 phi)
{
	u32 n = f->block[f->node[phi].block].n_pred, at, *args = ir_pool(f, n + 1, &at);

	if (!args)
		return NULL;
	memcpy(args, ir_phi_args(f, phi), n * sizeof(u32));
	f->node[phi].arg[0] = at;
	return args;
}

u32 ir_pred(const struct ir *f, u32 block, u32 from)
{
	const struct ir_block *b = &f->block[block];
	u32 i = 0;

	while (i < b->n_pred && b->pred[i] != from)
		i++;
	return i;
}

void ir_rename_pred(struct ir *f, u32 block, u32 from, u32 to)
{
	for (u32 i = 0; i < f->block[block].n_pred; i++)
		if (f->block[block].pred[i] == from)
			f->block[block].pred[i] = to;
}

void ir_lead(struct ir *f, u32 from, u32 to, u32 mid)
{
	for (u32 i = 0; i < f->block[from].n_succ; i++)
		if (f->block[from].succ[i] == to)
			f->block[from].succ[i] = mid;
}

void ir_cut(struct ir *f, u32 from, u32 to)
{
	struct ir_block *b = &f->block[to];
	u32 i = ir_pred(f, to, from);

	if (i == b->n_pred)
		return;
	b->n_pred--;
	b->pred[i] = b->pred[b->n_pred];
	ir_each(f, v, to) {
		u32 *args;

		if (f->node[v].op != IR_PHI)
			break;
		args = ir_phi_args(f, v);
		args[i] = args[b->n_pred];
	}
}

/* ---- uses, rewriting, edges ---- */

u32 ir_uses(struct ir *f, u32 v, u32 *out)
{
	struct ir_node *n = &f->node[v];

	if (n->op == IR_CALL) {
		const struct ir_call *c = &f->call[n->imm];

		for (u32 i = 0; i < c->n_args; i++)
			out[i] = c->args[i];
		return c->n_args;
	}
	for (u32 i = 0; i < n->n; i++)
		out[i] = n->arg[i];
	return n->n;
}

static u32 follow(u32 *to, u32 v)
{
	while (to[v])
		v = to[v];
	return v;
}

void ir_rewrite(struct ir *f, u32 *to)
{
	ir_each_rpo(f, i, b)
		ir_each(f, v, b) {
			struct ir_node *n = &f->node[v];

			if (n->op == IR_PHI) {
				for (u32 p = 0; p < f->block[b].n_pred; p++)
					ir_phi_args(f, v)[p] = follow(to, ir_phi_args(f, v)[p]);
			} else if (n->op == IR_CALL) {
				for (u32 k = 0; k < f->call[n->imm].n_args; k++)
					f->call[n->imm].args[k] = follow(to, f->call[n->imm].args[k]);
			} else {
				for (u32 k = 0; k < n->n; k++)
					n->arg[k] = follow(to, n->arg[k]);
			}
		}
}

/* May the edge go through the block that was put on another edge? If both bring the same constants, and leave no loop turning. */
static bool shares(struct ir *f, u32 from, u32 to, u32 mid)
{
	u32 i, k;

	if (!mid || f->block[mid].pred[0] == from || f->block[to].header == to)
		return false;
	i = ir_pred(f, to, from);
	k = ir_pred(f, to, mid);
	ir_each(f, v, to) {
		const u32 *args = ir_phi_args(f, v);

		if (f->node[v].op != IR_PHI)
			break;
		if (args[i] != args[k] || !ir_is_const(f, args[i]))
			return false;
	}
	return true;
}

static void share_edge(struct ir *f, u32 from, u32 to, u32 mid)
{
	ir_lead(f, from, to, mid);
	ir_edge(f, from, mid);
	ir_cut(f, from, to);
}

static u32 split_edge(struct ir *f, u32 from, u32 to)
{
	u32 mid = ir_block(f), jump = ir_node(f, IR_JUMP, 64);

	if (f->failed)
		return 0;
	ir_lead(f, from, to, mid);
	ir_append(f, mid, jump);
	f->block[mid].succ[0] = to;
	f->block[mid].n_succ = 1;
	f->block[mid].pc = f->block[to].pc;
	f->block[mid].cold = f->block[to].cold;
	ir_edge(f, from, mid);
	ir_rename_pred(f, to, from, mid);
	return mid;
}

void ir_split_edges(struct ir *f)
{
	u32 blocks = f->n_blocks, *mid = arena_array(f->scratch, blocks, sizeof(u32)); /* the last one put before a block */

	if (!mid) {
		f->failed = true;
		return;
	}
	for (u32 b = 0; b < blocks; b++)
		for (u32 i = 0; f->block[b].reachable && f->block[b].n_succ > 1 && i < f->block[b].n_succ && !f->failed; i++) {
			u32 to = f->block[b].succ[i];

			/* also with one predecessor: a phi may be left with one argument */
			if (!f->block[to].first || f->node[f->block[to].first].op != IR_PHI)
				continue;
			if (shares(f, b, to, mid[to]))
				share_edge(f, b, to, mid[to]);
			else
				mid[to] = split_edge(f, b, to);
		}
}
