/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rules on single nodes: each either names a value that the node equals, or turns the node into a cheaper one. Meanings come from op_eval(), so
 * no rule states what an operation does. Visited once in reverse postorder, operands first.
 *
 * Requires: rpo. Keeps: the control flow graph, but for branches that become jumps (their edge is cut).
 */
#include "opt/simplify.h"

/* A node, which may be a new one. */
static void note(struct simplify *s, u32 v, u64 may)
{
	for (; s->known <= v; s->known++)
		s->may[s->known] = s->uses[s->known] = s->to[s->known] = 0;
	s->may[v] = may;
}

u32 simplify_new(struct simplify *s, u32 before, enum ir_op op, u32 width, u32 x, u32 y)
{
	u32 v = ir_node(s->f, op, width);
	struct ir_node *n = &s->f->node[v];

	if (!v || v >= s->room)
		return before;
	n->arg[0] = x;
	n->arg[1] = y;
	n->n = y ? 2 : 1;
	n->pc = s->f->node[before].pc;
	ir_insert(s->f, before, v);
	note(s, v, opt_bits_of(s->f, s->may, v, n->block));
	return v;
}

/* A selection before that node, as that one. */
u32 simplify_select(struct simplify *s, u32 before, const struct ir_node *as)
{
	u32 v = ir_node(s->f, IR_SELECT, as->width);

	if (!v || v >= s->room)
		return 0;
	s->f->node[v] = (struct ir_node){.op = IR_SELECT, .width = as->width, .aux = as->aux, .n = 4, .arg = {as->arg[0], as->arg[1], as->arg[2], as->arg[3]}, .pc = as->pc};
	ir_insert(s->f, before, v);
	note(s, v, opt_bits_of(s->f, s->may, v, as->block));
	return v;
}

u32 simplify_const(struct simplify *s, u64 x)
{
	u32 v = ir_const(s->f, x);

	if (v < s->room)
		note(s, v, x);
	return v;
}

static u32 set_unary(struct simplify *s, u32 v, enum op op, u32 width, u32 x)
{
	struct ir_node *n = &s->f->node[v];

	n->op = (u8)op;
	n->width = (u8)width;
	n->arg[0] = x;
	n->n = 1;
	return v;
}

u32 simplify_binary(struct simplify *s, u32 v, u32 op, u32 width, u32 x, u32 y)
{
	struct ir_node *n = &s->f->node[v];

	n->op = (u8)op;
	n->width = (u8)width;
	n->arg[0] = x;
	n->arg[1] = y;
	n->n = 2;
	return v;
}

/* The low half of x as a value of its own. */
static u32 as_width(struct simplify *s, u32 v, u32 width, u32 x)
{
	if (width == 64 || s->may[x] <= UINT32_MAX)
		return x;
	return set_unary(s, v, OP_MOV, 32, x);
}

static bool is(const struct simplify *s, u32 v, u32 op, u32 width)
{
	return s->f->node[v].op == op && s->f->node[v].width == width;
}

/* ---- operands that are read in part ---- */

/* What only changes bits that are not read can be left out. */
static u32 low_part(const struct simplify *s, u32 v, u32 bits)
{
	u64 mask = bits == 64 ? ~0ull : (1ull << bits) - 1, x;

	for (;;) {
		const struct ir_node *n = &s->f->node[v];

		if (n->op == OP_MOV && n->width == 32 && bits <= 32)
			v = n->arg[0];
		else if (n->op == OP_AND && constant(s, n->arg[1], &x) && (x & mask) == mask && bits <= n->width)
			v = n->arg[0];
		else if ((n->op == OP_MOVS32 && bits <= 32) || (n->op == OP_MOVS16 && bits <= 16) || (n->op == OP_MOVS8 && bits <= 8))
			v = n->arg[0];
		else
			return v;
	}
}

static void narrow_operands(struct simplify *s, u32 v)
{
	struct ir_node *n = &s->f->node[v];
	u32 bits = 64;

	if (ir_is_alu(s->f, v) || n->op == IR_ROL || n->op == IR_BRANCH) {
		if (n->width == 32)
			for (u32 i = 0; i < n->n; i++)
				n->arg[i] = low_part(s, n->arg[i], n->op == OP_MOVS8 ? 8 : n->op == OP_MOVS16 ? 16 : 32);
		else if (n->op == OP_MOVS8 || n->op == OP_MOVS16 || n->op == OP_MOVS32)
			n->arg[0] = low_part(s, n->arg[0], n->op == OP_MOVS8 ? 8 : n->op == OP_MOVS16 ? 16 : 32);
		else if ((n->op == OP_LSH || n->op == OP_RSH || n->op == OP_ARSH) && !ir_is_const(s->f, n->arg[1]))
			n->arg[1] = low_part(s, n->arg[1], 6);
		return;
	}
	if (n->op == IR_SELECT && n->width == 32) {
		n->arg[0] = low_part(s, n->arg[0], 32);
		n->arg[1] = low_part(s, n->arg[1], 32);
	}
	if (n->op == IR_STORE && n->width < 8)
		n->arg[1] = low_part(s, n->arg[1], n->width * 8u);
	if (n->op == IR_SWAP && n->width < 64)
		bits = n->width;
	if (bits < 64)
		n->arg[0] = low_part(s, n->arg[0], bits);
}

/* ---- shifts ---- */

static u32 shift_pairs(struct simplify *s, u32 v, u64 by)
{
	const struct ir_node n = s->f->node[v];
	const struct ir_node in = s->f->node[n.arg[0]];
	u32 w = n.width;
	u64 a, mask = mask_of(w);

	if (in.n != 2 || !constant(s, in.arg[1], &a))
		return 0;
	a &= w - 1;
	if (in.op == n.op && in.width == w && n.op != OP_ARSH) { /* x << a << b */
		if (a + by >= w)
			return simplify_const(s, 0);
		return simplify_binary(s, v, n.op, w, in.arg[0], simplify_const(s, a + by));
	}
	if (in.op == OP_LSH && in.width == w && n.op == OP_RSH) { /* bits cut off at the top */
		u64 keep = mask >> a;
		u32 x = in.arg[0];

		if (w == 64 && a == 32 && by == 32)
			return set_unary(s, v, OP_MOV, 32, x);
		if (a == by)
			return simplify_binary(s, v, OP_AND, w, x, simplify_const(s, keep));
		if (a > by) {
			x = w == 64 && a == 32 ? simplify_new(s, v, (enum ir_op)OP_MOV, 32, x, 0) :
						 simplify_new(s, v, (enum ir_op)OP_AND, w, x, simplify_const(s, keep));
			return simplify_binary(s, v, OP_LSH, w, x, simplify_const(s, a - by));
		}
		if (w == 64 && a == 32) {
			x = simplify_new(s, v, (enum ir_op)OP_MOV, 32, x, 0);
			return simplify_binary(s, v, OP_RSH, w, x, simplify_const(s, by - a));
		}
	}
	if (in.op == OP_RSH && in.width == w && n.op == OP_LSH && a == by)
		return simplify_binary(s, v, OP_AND, w, in.arg[0], simplify_const(s, mask << by & mask));
	if (in.op == OP_LSH && in.width == w && n.op == OP_ARSH && a == by && (w - a == 8 || w - a == 16 || w - a == 32))
		return set_unary(s, v, w - a == 8 ? OP_MOVS8 : w - a == 16 ? OP_MOVS16 : OP_MOVS32, w, in.arg[0]);
	return 0;
}

static u32 shift(struct simplify *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u64 by, sign;

	if (!constant(s, n.arg[1], &by))
		return 0;
	by &= n.width - 1u;
	if (!by)
		return as_width(s, v, n.width, n.arg[0]);
	sign = 1ull << (n.width - 1);
	if (n.op == OP_ARSH && !(s->may[n.arg[0]] & sign))
		return simplify_binary(s, v, OP_RSH, n.width, n.arg[0], n.arg[1]);
	if (n.op == OP_RSH && n.width == 64 && s->may[n.arg[0]] <= UINT32_MAX && by < 32)
		return simplify_binary(s, v, OP_RSH, 32, n.arg[0], n.arg[1]);
	return shift_pairs(s, v, by);
}

/* x << a | x >> (width - a) */
static u32 rotate(struct simplify *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	struct ir_node l = s->f->node[n.arg[0]], r = s->f->node[n.arg[1]];
	u64 a, b;

	if (l.op == OP_RSH) {
		struct ir_node t = l;

		l = r;
		r = t;
	}
	if (l.op != OP_LSH || r.op != OP_RSH || !constant(s, l.arg[1], &a) || !constant(s, r.arg[1], &b) || a + b != l.width || !a || !b)
		return 0;
	if (l.width == r.width && l.width <= n.width && (l.arg[0] == r.arg[0] || (l.width == 32 && low_part(s, l.arg[0], 32) == low_part(s, r.arg[0], 32))))
		return simplify_binary(s, v, IR_ROL, l.width, l.arg[0], l.arg[1]);
	return 0;
}

/* Rotation of 32 bits spelled in 64: (u32)(x << a | (u32)x >> (32 - a)) */
static u32 rotate_low(struct simplify *s, u32 v, u32 x)
{
	struct ir_node n = s->f->node[x], l, r;
	u64 a, b;

	if (n.n != 2 || (n.op != OP_OR && n.op != OP_ADD && n.op != OP_XOR))
		return 0;
	l = s->f->node[n.arg[0]];
	r = s->f->node[n.arg[1]];
	if (l.op == OP_RSH) {
		struct ir_node t = l;

		l = r;
		r = t;
	}
	if (l.op != OP_LSH || r.op != OP_RSH || !constant(s, l.arg[1], &a) || !constant(s, r.arg[1], &b) || a + b != 32 || !a || !b)
		return 0;
	if (s->may[r.arg[0]] > UINT32_MAX && r.width != 32)
		return 0;
	if (low_part(s, l.arg[0], 32) != low_part(s, r.arg[0], 32))
		return 0;
	return simplify_binary(s, v, IR_ROL, 32, l.arg[0], l.arg[1]);
}

/* ---- logic and sums ---- */

/* (c ? all bits : 0) & x: c ? x : 0 */
static u32 and_chosen(struct simplify *s, u32 v)
{
	struct ir_node *n = &s->f->node[v];

	for (u32 k = 0; k < 2; k++) {
		const struct ir_node in = s->f->node[n->arg[k]];
		u32 x = n->arg[!k], zero;
		u64 yes, no, may = s->may[x];

		if (in.op != IR_SELECT || !constant(s, in.arg[2], &yes) || !constant(s, in.arg[3], &no) || may > mask_of(n->width) ||
		    ((may & ~yes || may & no) && (may & ~no || may & yes)))
			continue;
		zero = simplify_const(s, 0);
		n = &s->f->node[v];
		n->op = IR_SELECT;
		n->width = in.width;
		n->aux = in.aux;
		n->n = 4;
		n->arg[0] = in.arg[0];
		n->arg[1] = in.arg[1];
		n->arg[2] = may & ~yes ? zero : x;
		n->arg[3] = may & ~yes ? x : zero;
		return v;
	}
	return 0;
}

static u32 and(struct simplify *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u64 c, d, mask = mask_of(n.width);

	if (n.arg[0] == n.arg[1])
		return as_width(s, v, n.width, n.arg[0]);
	if (!constant(s, n.arg[1], &c))
		return and_chosen(s, v);
	c &= mask;
	if (!(s->may[n.arg[0]] & c))
		return simplify_const(s, 0);
	if (!(s->may[n.arg[0]] & mask & ~c))
		return as_width(s, v, n.width, n.arg[0]);
	if (n.width == 64 && c == UINT32_MAX)
		return set_unary(s, v, OP_MOV, 32, n.arg[0]);
	if (s->f->node[n.arg[0]].op == OP_AND && constant(s, s->f->node[n.arg[0]].arg[1], &d))
		return simplify_binary(s, v, OP_AND, n.width, s->f->node[n.arg[0]].arg[0],
				  simplify_const(s, c & d & mask_of(s->f->node[n.arg[0]].width)));
	if (n.width == 64 && c <= UINT32_MAX)
		return simplify_binary(s, v, OP_AND, 32, n.arg[0], simplify_const(s, c));
	return 0;
}

static u32 or(struct simplify *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u64 c, mask = mask_of(n.width);

	if (n.op == OP_OR && n.arg[0] == n.arg[1])
		return as_width(s, v, n.width, n.arg[0]);
	if (n.op == OP_XOR && n.arg[0] == n.arg[1])
		return simplify_const(s, 0);
	if (constant(s, n.arg[1], &c)) {
		if (!(c & mask))
			return as_width(s, v, n.width, n.arg[0]);
		if (n.op == OP_OR && (c & mask) == mask)
			return simplify_const(s, mask);
	}
	return rotate(s, v);
}

static u32 add(struct simplify *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	const struct ir_node in = s->f->node[n.arg[0]];
	u64 c, d;

	if (constant(s, n.arg[1], &c)) {
		if (!(c & mask_of(n.width)))
			return as_width(s, v, n.width, n.arg[0]);
		if (in.op == OP_ADD && in.width == n.width && constant(s, in.arg[1], &d))
			return simplify_binary(s, v, OP_ADD, n.width, in.arg[0], simplify_const(s, (c + d) & mask_of(n.width)));
		return 0;
	}
	/* constants outwards: (x + c) + y = (x + y) + c, for addresses */
	if (n.width == 64 && in.op == OP_ADD && in.width == 64 && ir_is_const(s->f, in.arg[1]) && !ir_is_const(s->f, in.arg[0]) &&
	    s->uses[n.arg[0]] == 1 && in.arg[0] != s->f->frame) {
		u32 x = simplify_new(s, v, (enum ir_op)OP_ADD, 64, in.arg[0], n.arg[1]);

		return simplify_binary(s, v, OP_ADD, 64, x, in.arg[1]);
	}
	if (s->f->node[n.arg[0]].op == OP_LSH || s->f->node[n.arg[0]].op == OP_RSH)
		return rotate(s, v);
	return 0;
}

static u32 sub(struct simplify *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u64 c;

	if (n.arg[0] == n.arg[1])
		return simplify_const(s, 0);
	if (constant(s, n.arg[1], &c))
		return simplify_binary(s, v, OP_ADD, n.width, n.arg[0], simplify_const(s, (0 - c) & mask_of(n.width)));
	if (constant(s, n.arg[0], &c) && !(c & mask_of(n.width)))
		return set_unary(s, v, OP_NEG, n.width, n.arg[1]);
	return 0;
}

/* Products that an address makes: by 3, 5 and 9. */
static bool is_lea(u64 c)
{
	return c == 3 || c == 5 || c == 9;
}

static u32 product(struct simplify *s, u32 v, u64 c)
{
	const struct ir_node n = s->f->node[v];

	return simplify_new(s, v, (enum ir_op)OP_MUL, n.width, n.arg[0], simplify_const(s, c));
}

/* Two of the quick operations, shifts, sums and products that an address makes, are quicker than a multiplication. */
static u32 mul_quickly(struct simplify *s, u32 v, u64 c)
{
	const struct ir_node n = s->f->node[v];
	u32 low = (u32)__builtin_ctzll(c), over = c > 2 ? (u32)__builtin_ctzll(c - 1) : 0;

	if (is_lea(c))
		return 0;
	if (is_lea(c >> low))
		return simplify_binary(s, v, OP_LSH, n.width, product(s, v, c >> low), simplify_const(s, low));
	for (u64 k = 3; k <= 9; k = 2 * k - 1)
		if (c % k == 0 && is_lea(c / k))
			return simplify_binary(s, v, OP_MUL, n.width, product(s, v, k), simplify_const(s, c / k));
	if (over && ((c - 1) >> over == 1 || (over <= 3 && is_lea((c - 1) >> over)))) {
		u32 x = (c - 1) >> over == 1 ? n.arg[0] : product(s, v, (c - 1) >> over);

		return simplify_binary(s, v, OP_ADD, n.width, simplify_new(s, v, (enum ir_op)OP_LSH, n.width, x, simplify_const(s, over)), n.arg[0]);
	}
	if (!(c & (c + 1)) && s->may[v] == mask_of(n.width)) /* else more is known of a product */
		return simplify_binary(s, v, OP_SUB, n.width,
				  simplify_new(s, v, (enum ir_op)OP_LSH, n.width, n.arg[0], simplify_const(s, (u64)__builtin_ctzll(c + 1))), n.arg[0]);
	return 0;
}

static u32 mul(struct simplify *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u64 c;

	if (!constant(s, n.arg[1], &c))
		return 0;
	c &= mask_of(n.width);
	if (c == 0)
		return simplify_const(s, 0);
	if (c == 1)
		return as_width(s, v, n.width, n.arg[0]);
	if (!(c & (c - 1)))
		return simplify_binary(s, v, OP_LSH, n.width, n.arg[0], simplify_const(s, (u64)__builtin_ctzll(c)));
	if (c == mask_of(n.width))
		return set_unary(s, v, OP_NEG, n.width, n.arg[0]);
	return mul_quickly(s, v, c);
}

/* ---- moves ---- */

static u32 mov(struct simplify *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u32 x = n.arg[0];
	const struct ir_node in = s->f->node[x];
	u32 found;

	if (n.width == 64 || s->may[x] <= UINT32_MAX)
		return x;
	found = rotate_low(s, v, x);
	if (found)
		return found;
	/* the operation itself in 32 bits, where nobody else needs it in 64 */
	if (in.width == 64 && s->uses[x] == 1 &&
	    (in.op == OP_ADD || in.op == OP_SUB || in.op == OP_MUL || in.op == OP_AND || in.op == OP_OR || in.op == OP_XOR))
		return simplify_binary(s, v, in.op, 32, in.arg[0], in.arg[1]);
	if (in.op == OP_LSH && in.width == 64 && s->uses[x] == 1 && ir_is_const(s->f, in.arg[1]) && (u64)s->f->node[in.arg[1]].imm < 32)
		return simplify_binary(s, v, OP_LSH, 32, in.arg[0], in.arg[1]);
	return 0;
}

static u32 movs(struct simplify *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u32 bits = n.op == OP_MOVS8 ? 8 : n.op == OP_MOVS16 ? 16 : 32;
	u64 keep = (1ull << bits) - 1;

	if (n.op == OP_MOVS32 && n.width == 32)
		return set_unary(s, v, OP_MOV, 32, n.arg[0]);
	if (!(s->may[n.arg[0]] & mask_of(n.width) & ~(keep >> 1)))
		return as_width(s, v, n.width, n.arg[0]);
	return 0;
}

static u32 swap(struct simplify *s, u32 v)
{
	const struct ir_node n = s->f->node[v];

	if (is(s, n.arg[0], IR_SWAP, n.width)) {
		u32 x = s->f->node[n.arg[0]].arg[0];

		if (n.width == 64)
			return x;
		if (n.width == 32)
			return as_width(s, v, 32, x);
		return simplify_binary(s, v, OP_AND, 32, x, simplify_const(s, 0xffff));
	}
	return 0;
}

/* ---- what remains ---- */

static u32 phi(struct simplify *s, u32 v)
{
	const struct ir_block *b = &s->f->block[s->f->node[v].block];
	u32 same = 0;

	for (u32 p = 0; p < b->n_pred; p++) {
		u32 x = ir_phi_args(s->f, v)[p];

		if (x == v || x == same)
			continue;
		if (same)
			return 0;
		same = x;
	}
	return same;
}

/* x + constant as the displacement of an access */
static void access(struct simplify *s, u32 v)
{
	struct ir_node *n = &s->f->node[v];
	const struct ir_node *in = &s->f->node[n->arg[0]];
	u64 c;

	while (in->op == OP_ADD && in->width == 64 && constant(s, in->arg[1], &c) && (s64)c == (s32)c && n->imm + (s64)c == (s32)(n->imm + (s64)c)) {
		n->imm += (s64)c;
		n->arg[0] = in->arg[0];
		in = &s->f->node[n->arg[0]];
	}
}

/* ---- the walk ---- */

static u32 rules(struct simplify *s, u32 v)
{
	const struct ir_node *n = &s->f->node[v];

	switch (n->op) {
	case OP_ADD: return add(s, v);
	case OP_SUB: return sub(s, v);
	case OP_MUL: return mul(s, v);
	case OP_AND: return and(s, v);
	case OP_OR:
	case OP_XOR: return or(s, v);
	case OP_LSH:
	case OP_RSH:
	case OP_ARSH: return shift(s, v);
	case OP_MOV: return mov(s, v);
	case OP_MOVS8:
	case OP_MOVS16:
	case OP_MOVS32: return movs(s, v);
	case OP_DIV:
	case OP_MOD: return simplify_divide(s, v);
	case IR_SWAP: return swap(s, v);
	case IR_SELECT: return simplify_selection(s, v);
	case IR_BRANCH: return simplify_branch(s, v);
	case IR_PHI: return phi(s, v);
	case IR_LOAD:
	case IR_LOADS:
	case IR_STORE:
	case IR_ATOMIC: access(s, v); return 0;
	default: return 0;
	}
}

static u32 fold(struct simplify *s, u32 v)
{
	struct ir_node *n = &s->f->node[v];
	u64 a, b = 0;

	if (ir_is_alu(s->f, v)) {
		if (op_table[n->op].flags & OPF_COMMUTES && ir_is_const(s->f, n->arg[0]) && !ir_is_const(s->f, n->arg[1])) {
			u32 t = n->arg[0];

			n->arg[0] = n->arg[1];
			n->arg[1] = t;
		}
		if (constant(s, n->arg[0], &a) && (n->n < 2 || constant(s, n->arg[1], &b)))
			return simplify_const(s, op_eval(n->op, n->width, a, n->n < 2 ? a : b));
	}
	if (n->op == IR_SWAP && constant(s, n->arg[0], &a))
		return simplify_const(s, op_byteswap(OP_BSWAP, n->width, a));
	return 0;
}

static void visit(struct simplify *s, u32 v)
{
	u32 to = 0;

	for (u32 round = 0; round < 8; round++) {
		const struct ir_node was = s->f->node[v];
		const struct ir_node *n;

		narrow_operands(s, v);
		to = fold(s, v);
		if (!to)
			to = rules(s, v);
		n = &s->f->node[v];
		if (to && to != v)
			break;
		to = 0;
		if (was.op == n->op && was.width == n->width && !memcmp(was.arg, n->arg, sizeof(was.arg)))
			break;
	}
	if (to) {
		s->to[v] = to;
		ir_remove(s->f, v);
	}
}

static void resolve(struct simplify *s, u32 v)
{
	struct ir_node *n = &s->f->node[v];

	if (n->op == IR_PHI) {
		u32 *args = ir_phi_args(s->f, v);

		for (u32 p = 0; p < s->f->block[n->block].n_pred; p++)
			while (s->to[args[p]])
				args[p] = s->to[args[p]];
	} else if (n->op == IR_CALL) {
		struct ir_call *c = &s->f->call[n->imm];

		for (u32 i = 0; i < c->n_args; i++)
			while (s->to[c->args[i]])
				c->args[i] = s->to[c->args[i]];
	} else {
		for (u32 i = 0; i < n->n; i++)
			while (s->to[n->arg[i]])
				n->arg[i] = s->to[n->arg[i]];
	}
}

u32 *opt_uses(struct ir *f, u32 room)
{
	u32 *uses = arena_room(f->scratch, f->n_nodes + room, sizeof(u32)), use[IR_USES];

	if (!uses) {
		f->failed = true;
		return NULL;
	}
	memset(uses, 0, f->n_nodes * sizeof(u32));
	ir_each_rpo(f, i, b)
		ir_each(f, v, b) {
			if (f->node[v].op == IR_PHI) {
				for (u32 p = 0; p < f->block[b].n_pred; p++)
					uses[ir_phi_args(f, v)[p]]++;
				continue;
			}
			for (u32 k = ir_uses(f, v, use); k--;)
				uses[use[k]]++;
		}
	return uses;
}

void opt_simplify(struct ir *f)
{
	struct simplify s = {.f = f, .known = f->n_nodes};
	u32 room = f->n_nodes * 2 + 256;

	s.may = opt_bits(f, room);
	s.uses = opt_uses(f, room);
	s.to = arena_room(f->scratch, f->n_nodes + room, sizeof(u32));
	s.room = f->n_nodes + room;
	if (f->failed || !s.to) {
		f->failed = true;
		return;
	}
	memset(s.to, 0, f->n_nodes * sizeof(u32));
	for (u32 i = 0; i < f->n_rpo; i++) {
		u32 b = f->rpo[i];

		for (u32 v = f->block[b].first, next; v && f->n_nodes + 64 <= s.room; v = next) {
			next = f->node[v].next;
			resolve(&s, v);
			visit(&s, v);
		}
	}
	ir_rewrite(f, s.to);
	if (s.cut)
		ir_order(f);
}
