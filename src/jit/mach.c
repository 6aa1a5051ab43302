/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of operations, and the order in which blocks are emitted: loops in one piece, what is rarely run at the end. */
#include "jit/jit.h"

u32 mach_add(struct mach *m, enum mach_op op, u32 width)
{
	if (!arena_grow(m->arena, (void **)&m->ins, &m->cap_ins, m->n_ins + 1, sizeof(*m->ins), 256)) {
		static struct mach_ins nothing;

		m->failed = true;
		m->n_ins = 0;
		if (!m->cap_ins)
			m->ins = &nothing;
		return 0;
	}
	m->ins[m->n_ins] = (struct mach_ins){.op = (u8)op, .width = (u8)width, .scale = 1};
	return m->n_ins++;
}

u32 mach_list(struct mach *m, u32 n)
{
	u32 at = m->n_list;

	if (!arena_grow(m->arena, (void **)&m->list, &m->cap_list, m->n_list + n, sizeof(u32), 64)) {
		m->failed = true;
		return 0;
	}
	m->n_list += n;
	return at;
}

void mach_site(struct mach *m, u32 at, u32 subprog)
{
	if (!arena_grow(m->output, (void **)&m->site, &m->cap_sites, m->n_sites + 1, sizeof(*m->site), 32)) {
		m->failed = true;
		return;
	}
	m->site[m->n_sites++] = (struct mach_site){at, subprog};
}

void mach_line(struct mach *m, u32 insn)
{
	struct code_line *last = m->n_lines ? &m->line[m->n_lines - 1] : NULL;

	if (!m->options->lines || (last && last->insn == insn && m->size != m->start))
		return;
	if (last && last->at == m->size) { /* nothing came from that one */
		last->insn = insn;
		return;
	}
	if (!arena_grow(m->output, (void **)&m->line, &m->cap_lines, m->n_lines + 1, sizeof(*m->line), 64)) {
		m->failed = true;
		return;
	}
	m->line[m->n_lines++] = (struct code_line){m->size, insn};
}

/* ---- order of emission ---- */

/* Moves what belongs to the loop next to its header; what lies between comes behind it. */
static void gather(const struct ir *f, u32 *order, u32 n, u32 at, u32 *spare)
{
	u32 header = order[at], left = f->block[header].loop_size, out = at, rest = 0;

	for (u32 i = at; i < n && left; i++)
		if (ir_in_loop(f, order[i], header)) {
			order[out++] = order[i];
			left--;
		} else {
			spare[rest++] = order[i];
		}
	memcpy(order + out, spare, rest * sizeof(u32));
}

/* Does the block only hand values to the header, at the end of the way back to it? */
static bool hands_over(const struct ir *f, u32 b)
{
	return f->block[b].n_pred == 1 && f->node[f->block[b].first].op == IR_JUMP;
}

/*
 * Where several ways through a loop meet before the way back, what lies there stands in front of the header: it leads on to it without a jump, and each way makes
 * one jump per turn; behind them, the way back would be a second one for all but one of them.
 */
static void turn(const struct ir *f, u32 *order, u32 n, u32 at)
{
	u32 header = order[at], last = at, k, first;

	while (last + 1 < n && ir_in_loop(f, order[last + 1], header))
		last++;
	for (k = last; k > at; k--)
		if (f->block[order[k]].succ[0] == header || (f->block[order[k]].n_succ == 2 && f->block[order[k]].succ[1] == header))
			break;
	first = k > at + 1 && hands_over(f, order[k]) && f->block[order[k]].pred[0] == order[k - 1] ? k - 1 : k;
	if (first <= at + 1 || f->block[order[first]].n_pred < 2 || f->block[order[first]].header != header || f->block[order[k]].header != header)
		return;
	for (u32 i = first; i <= k; i++) {
		u32 b = order[i], to = at + i - first;

		memmove(order + to + 1, order + to, (i - to) * sizeof(u32));
		order[to] = b;
	}
}

/* Is it the first of a loop, in that order? */
static bool starts_loop(const struct ir *f, const u32 *order, u32 i)
{
	u32 header = f->block[order[i]].header;

	return header != UINT32_MAX && (!i || !ir_in_loop(f, order[i - 1], header));
}

int mach_layout(struct mach *m)
{
	struct ir *f = m->ir;
	u32 *order = arena_array(m->arena, f->n_rpo, sizeof(u32)), *spare = arena_array(m->arena, f->n_rpo, sizeof(u32)), n = 0;

	m->block = arena_array(m->arena, f->n_rpo, sizeof(*m->block));
	m->block_of = arena_array(m->arena, f->n_blocks, sizeof(u32));
	if (!order || !spare || !m->block || !m->block_of)
		return -ENOMEM;
	memcpy(order, f->rpo, f->n_rpo * sizeof(u32));
	for (u32 i = 0; i < f->n_rpo && f->n_rpo < 20000; i++)
		if (f->block[order[i]].header == order[i])
			gather(f, order, f->n_rpo, i, spare);
	for (u32 i = f->n_rpo; i-- > 1 && f->n_rpo < 20000;)
		if (f->block[order[i]].header == order[i])
			turn(f, order, f->n_rpo, i);
	for (u32 pass = 0; pass < 2; pass++)
		for (u32 i = 0; i < f->n_rpo; i++) {
			const struct ir_block *b = &f->block[order[i]];

			if (b->cold != (pass == 1))
				continue;
			m->block_of[order[i]] = n;
			m->block[n++] = (struct mach_block){.ir = order[i], .depth = b->depth, .cold = b->cold, .top = starts_loop(f, order, i)};
		}
	m->n_blocks = n;
	n = 0;
	ir_each_rpo(f, i, b)
		ir_each(f, v, b)
			n++;
	n += n / 4 + 64; /* about as many operations */
	return arena_grow(m->arena, (void **)&m->ins, &m->cap_ins, n, sizeof(*m->ins), n) ? 0 : -ENOMEM;
}
