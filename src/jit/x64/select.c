/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SSA to the machine's operations. One pass backwards counts uses and folds address arithmetic into accesses, so that what
 * is left without a use is never emitted; one pass forwards emits. Constants become immediates where they fit.
 */
#include "jit/x64/select.h"

bool select_is_const(const struct select *s, u32 v, s64 *x)
{
	if (s->f->node[v].op != IR_CONST)
		return false;
	*x = s->f->node[v].imm;
	return true;
}

/* ---- addresses ---- */

static bool add_disp(struct address *a, s64 x)
{
	s64 sum = (s64)((u64)(s64)a->disp + (u64)x);

	if (!select_fits32(sum) || !select_fits32(sum + 65536) || !select_fits32(sum - 65536))
		return false;
	a->disp = (s32)sum;
	return true;
}

/* The frame, or an address that is a constant: they are in a register anyway, wherever they are used. */
static bool is_held(const struct select *s, u32 v)
{
	const struct ir_node *n = &s->f->node[v];

	while (n->op == OP_ADD && ir_is_const(s->f, n->arg[1]))
		n = &s->f->node[n->arg[0]];
	return n->op == IR_FRAME || (n->op == IR_CONST && !select_fits32(n->imm));
}

/* May the addition be done by the access? If it has other uses than accesses it stays in a register anyway. */
static bool folds(const struct select *s, u32 v, bool first)
{
	const struct ir_node *n = &s->f->node[v];

	return s->uses[v] == 1 || first || (s->accesses[v] < MOST_ACCESSES && s->uses[v] <= s->accesses[v] && (is_held(s, n->arg[0]) || is_held(s, n->arg[1])));
}

/* bits: of the sum that are wanted. Of 32, every part may have been made in 32 or 64. */
static bool part_of(const struct ir_node *n, u32 op, u32 bits)
{
	return n->op == op && (n->width == 64 || bits == 32);
}

static u32 strip_constant(const struct select *s, u32 v, struct address *a, u32 bits)
{
	const struct ir_node *n = &s->f->node[v];
	s64 x;

	while (part_of(n, OP_ADD, bits) && select_is_const(s, n->arg[1], &x) && add_disp(a, bits == 32 ? (s32)x : x)) {
		v = n->arg[0];
		n = &s->f->node[v];
	}
	return v;
}

/* By which power of 2? 0: none that an address has. */
static u32 scaled(const struct select *s, u32 v, u32 bits)
{
	const struct ir_node *n = &s->f->node[v];
	s64 by;

	return part_of(n, OP_LSH, bits) && select_is_const(s, n->arg[1], &by) && by >= 1 && by <= 3 ? (u32)by : 0;
}

static void set_index(const struct select *s, struct address *a, u32 v, u32 bits)
{
	u32 by = scaled(s, v, bits);

	a->index = by ? s->f->node[v].arg[0] : v;
	a->scale = (u8)(1 << by);
}

/* An address that is a constant counts from another one nearby, so that one register serves both. */
static void use_anchor(struct select *s, struct address *a)
{
	s64 x = s->f->node[a->base].imm;

	for (u32 i = 0; i < s->n_anchors; i++) {
		s64 d = (s64)((u64)x - (u64)s->f->node[s->anchor[i]].imm);

		if (d > -(1 << 29) && d < 1 << 29 && add_disp(a, d)) {
			a->base = s->anchor[i];
			s->anchor_uses[i]++;
			return;
		}
	}
	if (s->n_anchors < ARRAY_SIZE(s->anchor)) {
		s->anchor_uses[s->n_anchors] = 1;
		s->anchor[s->n_anchors++] = a->base;
	}
}

static bool is_access(const struct ir_node *n)
{
	return n->op == IR_LOAD || n->op == IR_LOADS || n->op == IR_STORE || n->op == IR_ATOMIC;
}

static struct address match(struct select *s, u32 v, s64 disp, bool first, u32 bits)
{
	struct address a = {.base = v, .scale = 1, .disp = (s32)disp};
	const struct ir_node *n;

	v = strip_constant(s, v, &a, bits);
	n = &s->f->node[v];
	a.base = v;
	if (part_of(n, OP_ADD, bits) && (folds(s, v, first) || ir_is_const(s->f, n->arg[1])) && n->arg[0] != n->arg[1] &&
	    !ir_is_const(s->f, n->arg[0]) && (!ir_is_const(s->f, n->arg[1]) || (bits == 64 && !select_fits32(s->f->node[n->arg[1]].imm)))) {
		u32 x = n->arg[0], y = n->arg[1];

		if (scaled(s, x, bits) || s->f->node[y].op == IR_FRAME || ir_is_const(s->f, y)) {
			u32 t = x;

			x = y;
			y = t;
		}
		if (!first || s->uses[x] == 1) /* a sum of three takes longer, and that one is in a register anyway */
			x = strip_constant(s, x, &a, bits);
		if (!scaled(s, y, bits) && (!first || s->uses[y] == 1))
			y = strip_constant(s, y, &a, bits);
		a.base = x;
		set_index(s, &a, y, bits);
		if (ir_is_const(s->f, a.index)) { /* an address that needs a register */
			return (struct address){.base = v, .scale = 1, .disp = (s32)disp};
		}
	}
	if (bits == 32)
		return a;
	if (s->f->node[a.base].op == IR_FRAME)
		a.base = MACH_FRAME;
	else if (ir_is_const(s->f, a.base) && !select_fits32(s->f->node[a.base].imm))
		use_anchor(s, &a);
	return a;
}

static void count_address(struct select *s, u32 v, const struct address *a)
{
	s->uses[v]--;
	if (a->base && a->base != MACH_FRAME)
		s->uses[a->base]++;
	if (a->index)
		s->uses[a->index]++;
}

static void prepare(struct select *s, u32 v)
{
	struct ir_node *n = &s->f->node[v];
	u32 use[IR_USES], k;

	if (!s->uses[v] && !ir_has_effect(n)) {
		if (n->op == IR_PHI) {
			for (u32 i = 0; i < s->f->block[n->block].n_pred; i++)
				s->uses[ir_phi_args(s->f, v)[i]]--;
			return;
		}
		k = ir_uses(s->f, v, use);
		while (k--)
			s->uses[use[k]]--;
		return;
	}
	if (is_access(n)) {
		s->address[v] = match(s, n->arg[0], n->imm, false, 64);
		count_address(s, n->arg[0], &s->address[v]);
	} else if (n->op == OP_ADD && select_counts(s, v)) {
		return;
	} else if (n->op == OP_ADD) {
		struct address a = match(s, v, 0, true, n->width);

		/* Three terms, or a scaled one: one lea. */
		if (a.base == MACH_FRAME || (a.index && (a.scale > 1 || a.disp))) {
			u32 count = ir_uses(s->f, v, use);

			s->address[v] = a;
			s->uses[v]++;
			count_address(s, v, &a);
			while (count--)
				s->uses[use[count]]--;
		}
	}
}

static void count_access(struct select *s, u32 v, u32 b)
{
	const struct ir_node *n = &s->f->node[v];

	if (is_access(n) && s->f->node[n->arg[0]].block == b && s->accesses[n->arg[0]] < MOST_ACCESSES)
		s->accesses[n->arg[0]]++;
}

static void count_uses(struct select *s)
{
	struct ir *f = s->f;
	u32 use[IR_USES];

	ir_each_rpo(f, i, b)
		ir_each(f, v, b) {
			if (f->node[v].op == IR_PHI) {
				for (u32 k = 0; k < f->block[b].n_pred; k++)
					s->uses[ir_phi_args(f, v)[k]]++;
				continue;
			}
			for (u32 k = ir_uses(f, v, use); k--;)
				s->uses[use[k]]++;
			count_access(s, v, b);
		}
	for (u32 i = f->n_rpo; i-- > 0;)
		for (u32 v = f->block[f->rpo[i]].last; v; v = f->node[v].prev)
			prepare(s, v);
}

/* ---- operands ---- */

u32 select_add(struct select *s, enum mach_op op, u32 width)
{
	u32 i = mach_add(s->m, op, width);

	s->m->ins[i].pc = s->pc;
	return i;
}

static u32 new_value(struct select *s)
{
	return s->m->n_values++;
}

static bool used_often(const struct select *s, u32 v)
{
	for (u32 i = 0; i < s->n_anchors; i++)
		if (s->anchor[i] == v)
			return s->anchor_uses[i] > 2;
	return false;
}

static u32 constant(struct select *s, u32 v)
{
	u64 x = (u64)s->f->node[v].imm;
	u32 i, r;

	if ((s->depth || s->uses[v] > 2 || used_often(s, v)) && x != (u32)x && !select_fits32((s64)x)) {
		if (!s->hoisted[v]) {
			s->hoisted[v] = new_value(s);
			s->hoist[s->n_hoist++] = v;
		}
		return s->hoisted[v];
	}
	r = new_value(s);
	i = select_add(s, M_MOVI, 64);
	s->m->ins[i].dst = r;
	s->m->ins[i].imm = (s64)x;
	return r;
}

/* The value as an operand that needs a register. */
u32 select_operand(struct select *s, u32 v)
{
	return s->f->node[v].op == IR_CONST ? constant(s, v) : v;
}

static bool immediate(const struct select *s, u32 v, u32 width, s64 *x)
{
	if (!select_is_const(s, v, x))
		return false;
	if (width == 32)
		*x = (s32)*x;
	return select_fits32(*x);
}

static void set_address(struct select *s, u32 i, u32 v)
{
	struct address a = s->address[v];

	if (a.base != MACH_FRAME)
		a.base = select_operand(s, a.base);
	(void)i;
	s->address[v] = a;
}

/* Address operands first: they may add operations of their own. */
static u32 with_address(struct select *s, enum mach_op op, u32 width, u32 v)
{
	struct mach_ins *ins;
	u32 i;

	set_address(s, 0, v);
	i = select_add(s, op, width);
	ins = &s->m->ins[i];
	ins->base = s->address[v].base;
	ins->index = s->address[v].index;
	ins->scale = s->address[v].scale;
	ins->disp = s->address[v].disp;
	return i;
}

/* ---- arithmetic: one function per row of ops.def ---- */

typedef void select_fn(struct select *s, u32 v);

static void two(struct select *s, u32 v, enum mach_op op, u32 aux, bool commutes)
{
	const struct ir_node n = s->f->node[v];
	u32 a = n.arg[0], b = n.arg[1], i;
	s64 x = 0;
	bool imm = immediate(s, b, n.width, &x);

	if (commutes && !imm && !ir_is_const(s->f, b) && (ir_is_const(s->f, a) || (s->uses[a] > 1 && s->uses[b] == 1))) {
		u32 t = a;

		a = b;
		b = t;
		imm = immediate(s, b, n.width, &x);
	}
	a = select_operand(s, a);
	if (!imm)
		b = select_operand(s, b);
	i = select_add(s, op, n.width);
	s->m->ins[i].dst = v;
	s->m->ins[i].aux = (u8)aux;
	s->m->ins[i].a = a;
	s->m->ins[i].has_imm = imm;
	if (imm)
		s->m->ins[i].imm = x;
	else
		s->m->ins[i].b = b;
}

static void lea(struct select *s, u32 v)
{
	u32 i = with_address(s, M_LEA, s->f->node[v].width, v);

	s->m->ins[i].dst = v;
}

static void select_ADD(struct select *s, u32 v)
{
	if (s->count[v])
		select_count(s, v);
	else if (s->address[v].scale)
		lea(s, v);
	else
		two(s, v, M_ALU, ALU_ADD, true);
}
static void select_SUB(struct select *s, u32 v)
{
	two(s, v, M_ALU, ALU_SUB, false);
}
static void select_OR(struct select *s, u32 v)
{
	two(s, v, M_ALU, ALU_OR, true);
}
static void select_XOR(struct select *s, u32 v)
{
	two(s, v, M_ALU, ALU_XOR, true);
}

static void one(struct select *s, u32 v, enum mach_op op, u32 width, u32 aux, bool sign)
{
	u32 a = select_operand(s, s->f->node[v].arg[0]), i = select_add(s, op, width);
	struct mach_ins *ins = &s->m->ins[i];

	ins->dst = v;
	ins->a = a;
	ins->aux = (u8)aux;
	ins->sign = sign;
}

static void select_AND(struct select *s, u32 v)
{
	s64 x;

	if (select_is_const(s, s->f->node[v].arg[1], &x) && (x == 0xff || x == 0xffff || x == 0xffffffff))
		one(s, v, M_EXT, 64, x == 0xff ? 8 : x == 0xffff ? 16 : 32, false);
	else
		two(s, v, M_ALU, ALU_AND, true);
}

static void select_MUL(struct select *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	s64 x;

	if (select_is_const(s, n.arg[1], &x) && (x == 3 || x == 5 || x == 9)) {
		u32 a = select_operand(s, n.arg[0]), i = select_add(s, M_LEA, n.width);
		struct mach_ins *ins = &s->m->ins[i];

		ins->dst = v;
		ins->base = ins->index = a;
		ins->scale = (u8)(x - 1);
		return;
	}
	two(s, v, M_MUL, 0, true);
}

static void divide(struct select *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u32 a = select_operand(s, n.arg[0]), b = select_operand(s, n.arg[1]), i = select_add(s, M_DIV, n.width);
	struct mach_ins *ins = &s->m->ins[i];

	ins->dst = v;
	ins->a = a;
	ins->b = b;
	ins->aux = n.op;
}
#define select_DIV  divide
#define select_SDIV divide
#define select_MOD  divide
#define select_SMOD divide

static void shift(struct select *s, u32 v, u32 aux)
{
	const struct ir_node n = s->f->node[v];
	u32 a = select_operand(s, n.arg[0]), b, i;
	s64 x;

	if (select_is_const(s, n.arg[1], &x)) {
		i = select_add(s, M_SHIFT, n.width);
		s->m->ins[i].imm = x & (n.width - 1);
	} else {
		b = select_operand(s, n.arg[1]);
		i = select_add(s, M_SHIFTV, n.width);
		s->m->ins[i].b = b;
	}
	s->m->ins[i].dst = v;
	s->m->ins[i].a = a;
	s->m->ins[i].aux = (u8)aux;
}
static void select_LSH(struct select *s, u32 v)
{
	shift(s, v, SHIFT_SHL);
}
static void select_RSH(struct select *s, u32 v)
{
	shift(s, v, SHIFT_SHR);
}
static void select_ARSH(struct select *s, u32 v)
{
	shift(s, v, SHIFT_SAR);
}
static void select_NEG(struct select *s, u32 v)
{
	one(s, v, M_NEG, s->f->node[v].width, 0, false);
}
static void select_MOV(struct select *s, u32 v)
{
	if (s->f->node[v].width == 32)
		one(s, v, M_EXT, 64, 32, false);
	else
		one(s, v, M_MOV, 64, 0, false);
}
static void select_MOVS8(struct select *s, u32 v)
{
	one(s, v, M_EXT, s->f->node[v].width, 8, true);
}
static void select_MOVS16(struct select *s, u32 v)
{
	one(s, v, M_EXT, s->f->node[v].width, 16, true);
}
static void select_MOVS32(struct select *s, u32 v)
{
	one(s, v, M_EXT, s->f->node[v].width, 32, s->f->node[v].width == 64);
}

static select_fn *const select_alu[] = {
#define ALU(name, code, off, text, meaning, flags) [OP_##name] = select_##name,
#include "isa/ops.def"
};

/* ---- memory ---- */

static void load(struct select *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u32 i = with_address(s, M_LOAD, n.width, v);

	s->m->ins[i].dst = v;
	s->m->ins[i].sign = n.op == IR_LOADS;
}

static void store(struct select *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u32 b = 0, i;
	s64 x;
	bool imm = select_is_const(s, n.arg[1], &x) && (n.width < 8 || select_fits32(x));

	if (!imm)
		b = select_operand(s, n.arg[1]);
	i = with_address(s, imm ? M_STOREI : M_STORE, n.width, v);
	if (imm)
		s->m->ins[i].imm = x;
	else
		s->m->ins[i].b = b;
}

static void atomic(struct select *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u32 b = n.n > 1 ? select_operand(s, n.arg[1]) : 0, c = n.n > 2 ? select_operand(s, n.arg[2]) : 0, i;

	if (n.aux == OP_LOAD_ACQ || n.aux == OP_STORE_REL) { /* the machine's order is strong enough */
		i = with_address(s, n.aux == OP_LOAD_ACQ ? M_LOAD : M_STORE, n.width, v);
		s->m->ins[i].dst = n.aux == OP_LOAD_ACQ ? v : 0;
		s->m->ins[i].b = b;
		return;
	}
	i = with_address(s, M_ATOMIC, n.width, v);
	s->m->ins[i].aux = n.aux;
	s->m->ins[i].b = b;
	s->m->ins[i].c = c;
	if (n.aux == OP_CMPXCHG || op_table[n.aux].flags & OPF_FETCH)
		s->m->ins[i].dst = v;
}

/* ---- control ---- */

void select_compare(struct select *s, const struct ir_node *n, u32 *a, u32 *b, s64 *x, bool *imm)
{
	*imm = immediate(s, n->arg[1], n->width, x);
	*a = select_operand(s, n->arg[0]);
	*b = *imm ? 0 : select_operand(s, n->arg[1]);
}

/* The comparison of a number with what was just taken from it: the subtraction itself tells. */
static bool is_taken_off(const struct select *s, const struct mach_ins *cmp, u32 width)
{
	const struct mach_ins *i = &s->m->ins[s->m->n_ins - 1];

	return s->m->n_ins > s->first && i->op == M_ALU && i->aux == ALU_ADD && i->has_imm && i->width == width && cmp->has_imm && i->a == cmp->a &&
	       i->imm == -cmp->imm && cmp->imm > 0;
}

static void branch(struct select *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u32 a, b, i, dst = 0;
	s64 x = 0;
	bool imm;

	select_compare(s, &n, &a, &b, &x, &imm);
	if (is_taken_off(s, &(struct mach_ins){.a = a, .imm = x, .has_imm = imm}, n.width) && n.aux != OP_JSET)
		dst = s->m->ins[--s->m->n_ins].dst;
	i = select_add(s, M_BRANCH, n.width);
	s->m->ins[i].dst = dst;
	s->m->ins[i].cc = n.aux;
	s->m->ins[i].a = a;
	s->m->ins[i].b = b;
	s->m->ins[i].imm = x;
	s->m->ins[i].has_imm = imm;
	for (u32 k = 0; k < 2; k++)
		s->m->ins[i].to[k] = s->m->block_of[s->f->block[n.block].succ[k]];
}

static void call(struct select *s, u32 v)
{
	u32 c = (u32)s->f->node[v].imm, i;

	i = select_add(s, M_CALL, 64);
	s->m->ins[i].list = c;
	s->m->ins[i].dst = s->uses[v] ? v : 0;
	s->m->has_calls = true;
}

static void leave(struct select *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u32 a = select_operand(s, n.arg[0]), b = n.op == IR_TAIL ? select_operand(s, n.arg[1]) : 0;
	u32 i = select_add(s, n.op == IR_TAIL ? M_TAIL : M_RETURN, 64);

	s->m->ins[i].a = a;
	s->m->ins[i].b = b;
	s->m->ins[i].c = n.op == IR_TAIL ? s->f->params[0] : 0;
}

/* The values that the successor's phis take from here. */
static void moves(struct select *s, u32 b)
{
	struct ir *f = s->f;
	u32 to = f->block[b].succ[0], p, n = 0, list, i, k = 0;

	if (f->block[b].n_succ != 1)
		return;
	p = ir_pred(f, to, b);
	ir_each(f, v, to) {
		if (f->node[v].op != IR_PHI)
			break;
		n += s->uses[v] > 0; /* also one that keeps its value: it must live on */
	}
	if (!n)
		return;
	list = mach_list(s->m, 2 * n);
	i = select_add(s, M_MOVES, 64);
	if (s->m->failed)
		return;
	s->m->ins[i].list = list;
	s->m->ins[i].n = n;
	ir_each(f, v, to) {
		u32 x;

		if (f->node[v].op != IR_PHI)
			break;
		x = ir_phi_args(f, v)[p];
		if (!s->uses[v])
			continue;
		s->m->list[list + 2 * k] = v;
		s->m->list[list + 2 * k++ + 1] = x;
	}
}

static void jump(struct select *s, u32 v)
{
	u32 b = s->f->node[v].block, i;

	moves(s, b);
	i = select_add(s, M_JUMP, 64);
	s->m->ins[i].to[0] = s->m->block_of[s->f->block[b].succ[0]];
}

static void table(struct select *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u32 a = select_operand(s, n.arg[0]), t = new_value(s), i = select_add(s, M_TABLE, 64);

	s->m->ins[i].dst = t;
	s->m->ins[i].imm = n.imm;
	i = select_add(s, M_LOAD, n.width);
	s->m->ins[i].dst = v;
	s->m->ins[i].base = t;
	s->m->ins[i].index = a;
	s->m->ins[i].scale = n.width;
}

static void mulh(struct select *s, u32 v)
{
	const struct ir_node n = s->f->node[v];
	u32 a = select_operand(s, n.arg[0]), b = select_operand(s, n.arg[1]), i = select_add(s, M_MULH, n.width);

	s->m->ins[i].dst = v;
	s->m->ins[i].a = a;
	s->m->ins[i].b = b;
	s->m->ins[i].sign = n.op == IR_MULHS;
}

static void node(struct select *s, u32 v)
{
	const struct ir_node *n = &s->f->node[v];

	s->pc = n->pc;
	if (!s->uses[v] && !ir_has_effect(n))
		return;
	if (ir_is_alu(s->f, v)) {
		select_alu[n->op](s, v);
		return;
	}
	switch ((enum ir_op)n->op) {
	case IR_FRAME:
		s->address[v] = (struct address){.base = MACH_FRAME, .scale = 1};
		lea(s, v);
		break;
	case IR_SWAP: one(s, v, M_SWAP, n->width, 0, false); break;
	case IR_ROL: shift(s, v, SHIFT_ROL); break;
	case IR_MULHU:
	case IR_MULHS: mulh(s, v); break;
	case IR_SELECT: select_choose(s, v); break;
	case IR_LOAD:
	case IR_LOADS: load(s, v); break;
	case IR_STORE: store(s, v); break;
	case IR_ATOMIC: atomic(s, v); break;
	case IR_TABLE: table(s, v); break;
	case IR_CALL: call(s, v); break;
	case IR_JUMP: jump(s, v); break;
	case IR_BRANCH: branch(s, v); break;
	case IR_RETURN:
	case IR_TAIL: leave(s, v); break;
	default: break; /* PHI, PARAM, CONST: no operation */
	}
}

static void entry(struct select *s)
{
	u32 n = 0, list, i;

	for (u32 k = 0; k < 6; k++)
		n += s->uses[s->f->params[k]] > 0;
	list = mach_list(s->m, 2 * n);
	i = select_add(s, M_ENTRY, 64);
	if (s->m->failed)
		return;
	s->m->ins[i].list = list;
	s->m->ins[i].n = n;
	for (u32 k = 0; k < 6; k++)
		if (s->uses[s->f->params[k]]) {
			s->m->list[list++] = s->f->params[k];
			s->m->list[list++] = k;
		}
}

/* Constants that loops use, or many accesses, are made once, behind the parameters. */
static void place_hoisted(struct select *s)
{
	struct mach *m = s->m;
	u32 at = m->block[0].first + 1;

	for (u32 k = 0; k < s->n_hoist; k++)
		mach_add(m, M_NONE, 64);
	if (m->failed || !s->n_hoist)
		return;
	memmove(m->ins + at + s->n_hoist, m->ins + at, (m->n_ins - s->n_hoist - at) * sizeof(*m->ins));
	for (u32 k = 0; k < s->n_hoist; k++)
		m->ins[at + k] = (struct mach_ins){.op = M_MOVI, .width = 64, .dst = s->hoisted[s->hoist[k]], .imm = s->f->node[s->hoist[k]].imm};
	m->block[0].end += s->n_hoist;
	for (u32 b = 1; b < m->n_blocks; b++) {
		m->block[b].first += s->n_hoist;
		m->block[b].end += s->n_hoist;
	}
}

int x64_select(struct mach *m)
{
	struct ir *f = m->ir;
	struct select s = {.m = m, .f = f};

	s.uses = arena_array(m->arena, f->n_nodes + 1, sizeof(u32));
	s.accesses = arena_array(m->arena, f->n_nodes + 1, sizeof(*s.accesses));
	s.address = arena_array(m->arena, f->n_nodes + 1, sizeof(*s.address));
	s.count = arena_array(m->arena, f->n_nodes + 1, sizeof(u32));
	s.hoisted = arena_array(m->arena, f->n_nodes + 1, sizeof(u32));
	s.hoist = arena_array(m->arena, f->n_consts + 1, sizeof(u32));
	if (!s.uses || !s.accesses || !s.address || !s.count || !s.hoisted || !s.hoist)
		return -ENOMEM;
	m->n_values = f->n_nodes;
	count_uses(&s);
	for (u32 b = 0; b < m->n_blocks && !m->failed; b++) {
		m->block[b].first = s.first = m->n_ins;
		s.depth = m->block[b].depth;
		if (b == 0)
			entry(&s);
		ir_each(f, v, m->block[b].ir)
			node(&s, v);
		m->block[b].end = m->n_ins;
	}
	if (!m->failed)
		place_hoisted(&s);
	return m->failed ? -ENOMEM : 0;
}
