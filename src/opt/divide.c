/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Division and remainder by constants as multiplication (Granlund and Montgomery, 1994). With m = floor(2^(64+s) / d) + 1 and
 * e = m * d - 2^(64+s), the quotient of x is the high half of x * m shifted by s for all x with x * e < 2^(64+s). What is
 * known about x's size makes that true with a small m nearly always.
 */
#include "opt/simplify.h"

static bool magic(u64 d, u64 most, u64 *m, u32 *s)
{
	for (*s = 0; *s < 64 && d >> *s; ++*s) {
		u128 power = (u128)1 << 64 << *s, q = power / d + 1;
		u128 e = q * d - power;

		if (q >> 64)
			return false;
		if (most == 0 || e < power / most) {
			*m = (u64)q;
			return true;
		}
	}
	return false;
}

/* floor(x / d), x at most `most`, in nodes before v */
static u32 quotient(struct simplify *s, u32 v, u32 x, u64 d, u64 most)
{
	u32 by, pre = 0, q, t;
	u64 m;

	if (most < d)
		return simplify_const(s, 0);
	/* in 64 bits without the high half, where the product fits */
	for (by = 0; by < 63 && most <= UINT32_MAX; by++) {
		u128 power = (u128)1 << by, e;

		m = (u64)(power / d) + 1;
		e = (u128)m * d - power;
		if ((u128)m * most >> 64)
			break;
		if (e * most < power) {
			q = simplify_new(s, v, (enum ir_op)OP_MUL, 64, x, simplify_const(s, m));
			return simplify_new(s, v, (enum ir_op)OP_RSH, 64, q, simplify_const(s, by));
		}
	}
	if (!magic(d, most, &m, &by)) {
		pre = (u32)__builtin_ctzll(d);
		if (pre && magic(d >> pre, most >> pre, &m, &by)) {
			x = simplify_new(s, v, (enum ir_op)OP_RSH, 64, x, simplify_const(s, pre));
		} else { /* a multiplier of 65 bits */
			u32 l = 64 - (u32)__builtin_clzll(d - 1);
			u128 power = (u128)1 << 64;

			m = (u64)((power * (((u128)1 << l) - d)) / d) + 1;
			t = simplify_new(s, v, IR_MULHU, 64, x, simplify_const(s, m));
			q = simplify_new(s, v, (enum ir_op)OP_SUB, 64, x, t);
			q = simplify_new(s, v, (enum ir_op)OP_RSH, 64, q, simplify_const(s, 1));
			q = simplify_new(s, v, (enum ir_op)OP_ADD, 64, q, t);
			return simplify_new(s, v, (enum ir_op)OP_RSH, 64, q, simplify_const(s, l - 1));
		}
	}
	q = simplify_new(s, v, IR_MULHU, 64, x, simplify_const(s, m));
	return by ? simplify_new(s, v, (enum ir_op)OP_RSH, 64, q, simplify_const(s, by)) : q;
}

u32 simplify_divide(struct simplify *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u64 mask = n.width == 32 ? UINT32_MAX : ~0ull, d = (u64)s->f->node[n.arg[1]].imm & mask;
	u64 may = s->may[n.arg[0]] & mask, most = may ? ~0ull >> __builtin_clzll(may) : 0;
	u32 x = n.arg[0], q;

	if (s->f->node[n.arg[1]].op != IR_CONST)
		return 0;
	if (n.width == 32 && s->may[x] > UINT32_MAX)
		x = simplify_new(s, v, (enum ir_op)OP_MOV, 32, x, 0);
	if (d == 0)
		return n.op == OP_DIV ? simplify_const(s, 0) : x;
	if (!(d & (d - 1))) {
		if (n.op == OP_MOD)
			return simplify_new(s, v, (enum ir_op)OP_AND, 64, x, simplify_const(s, d - 1));
		return d == 1 ? x : simplify_new(s, v, (enum ir_op)OP_RSH, 64, x, simplify_const(s, (u64)__builtin_ctzll(d)));
	}
	q = quotient(s, v, x, d, most);
	if (n.op == OP_DIV)
		return q;
	q = simplify_new(s, v, (enum ir_op)OP_MUL, n.width, q, simplify_const(s, d));
	return simplify_new(s, v, (enum ir_op)OP_SUB, n.width, x, q);
}
