/* SPDX-License-Identifier: BSD-2-Clause */
/* The form as text: stable, one node per line. */
#include "ir/ir.h"

static const char *op_name(const struct ir_node *n)
{
	static const char *const names[] = {
		[IR_CONST - OP_COUNT] = "const", [IR_PARAM - OP_COUNT] = "param", [IR_FRAME - OP_COUNT] = "frame",
		[IR_PHI - OP_COUNT] = "phi", [IR_SWAP - OP_COUNT] = "swap", [IR_ROL - OP_COUNT] = "rol",
		[IR_MULHU - OP_COUNT] = "mulhu", [IR_MULHS - OP_COUNT] = "mulhs", [IR_SELECT - OP_COUNT] = "select",
		[IR_LOAD - OP_COUNT] = "load", [IR_LOADS - OP_COUNT] = "loads", [IR_STORE - OP_COUNT] = "store",
		[IR_ATOMIC - OP_COUNT] = "atomic", [IR_TABLE - OP_COUNT] = "table", [IR_CALL - OP_COUNT] = "call", [IR_JUMP - OP_COUNT] = "jump",
		[IR_BRANCH - OP_COUNT] = "branch", [IR_RETURN - OP_COUNT] = "return",
		[IR_TAIL - OP_COUNT] = "tail",
	};

	return n->op < OP_COUNT ? op_table[n->op].name : names[n->op - OP_COUNT];
}

static void value(struct ir *f, struct text *t, u32 v)
{
	if (ir_is_const(f, v))
		text_addf(t, " 0x%llx", (unsigned long long)f->node[v].imm);
	else
		text_addf(t, " v%u", v);
}

static void table(struct text *t, const struct ir_table *k)
{
	for (u32 i = 0; i < k->n; i++) {
		u64 x = 0;

		memcpy(&x, k->bytes + i * k->width, k->width);
		text_addf(t, "%s0x%llx", i ? " " : " of ", (unsigned long long)x);
	}
}

static void node(struct ir *f, struct text *t, u32 v, u32 b)
{
	const struct ir_node *n = &f->node[v];
	u32 use[IR_USES], k;

	text_addf(t, "  %5u  v%u = %s%u", n->pc, v, op_name(n), n->width);
	if (n->op == IR_PHI) {
		for (u32 p = 0; p < f->block[b].n_pred; p++)
			value(f, t, ir_phi_args(f, v)[p]);
		text_add(t, "\n");
		return;
	}
	k = ir_uses(f, v, use);
	if (n->op == IR_BRANCH || n->op == IR_SELECT || n->op == IR_ATOMIC)
		text_addf(t, " %s", op_table[n->aux].name);
	for (u32 i = 0; i < k; i++)
		value(f, t, use[i]);
	if (n->op == IR_TABLE)
		table(t, (const struct ir_table *)(uintptr_t)n->imm);
	else if (n->imm && n->op != IR_CALL)
		text_addf(t, " %+lld", (long long)n->imm);
	if (n->kinds)
		text_addf(t, " kinds %x", n->kinds);
	if (n->flags)
		text_addf(t, " flags %x", n->flags);
	text_add(t, "\n");
}

void ir_dump(struct ir *f, struct text *t)
{
	ir_each_rpo(f, i, b) {
		const struct ir_block *k = &f->block[b];

		text_addf(t, "b%u:%s depth %u, from", b, k->cold ? " cold," : "", k->depth);
		for (u32 p = 0; p < k->n_pred; p++)
			text_addf(t, " b%u", k->pred[p]);
		text_add(t, k->n_succ ? ", to" : "");
		for (u32 s = 0; s < k->n_succ; s++)
			text_addf(t, " b%u", k->succ[s]);
		text_add(t, "\n");
		ir_each(f, v, b)
			node(f, t, v, b);
	}
}
