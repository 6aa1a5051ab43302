/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arithmetic: on numbers by the value domains, on pointers by the rules of their kind. A number that is added to a pointer must be bounded, and becomes
 * precise; a known one goes into the pointer's fixed offset.
 *
 * Programs that may not see past speculation (unprivileged ones) have each addition to a pointer limited to what the pointer allows; the same limit must
 * do on every path that reaches the instruction.
 */
#include "verify/mem.h"

#include <stdio.h>

static const char *operator_of(enum op op)
{
	return op_table[op].text;
}

/* ---- limits against speculation ---- */

enum sanitize_reason { REASON_BOUNDS = -1, REASON_TYPE = -2, REASON_PATHS = -3, REASON_LIMIT = -4, REASON_STACK = -5 };
enum alu_state { ALU_NEGATIVE = 1, ALU_IMMEDIATE = 2, ALU_SANITIZE_SRC = 4, ALU_SANITIZE_DST = 8, ALU_NUMBERS = 16 };

struct sanitize {
	bool to_left;
	u32 state, limit;
};

static bool sanitize_skipped(const struct verifier *v, const struct insn *in)
{
	return v->bypass_spec_v1 || in->imm_src || (in->op != OP_ADD && in->op != OP_SUB);
}

static int sanitize_same(u32 *state, u32 *limit, u32 new_state, u32 new_limit)
{
	if (*state && (*state != new_state || *limit != new_limit))
		return REASON_PATHS;
	*state = new_state;
	*limit = new_limit;
	return 0;
}

static int pointer_limit(const struct reg *ptr, u32 *limit, bool to_left)
{
	u32 most, at;

	switch (ptr->type) {
	case R_STACK:
		most = STACK_BYTES + to_left;
		at = (u32) - (s32)((s64)ptr->v.bits.value + ptr->off);
		break;
	case R_MAP_VALUE:
		most = ptr->map->spec.value_size;
		at = (u32)((to_left ? (u64)ptr->v.smin : ptr->v.umax) + (u64)(s64)ptr->off);
		break;
	default: return REASON_TYPE;
	}
	if (at >= most)
		return REASON_LIMIT;
	*limit = at;
	return 0;
}

/* A wrong guess of the processor is walked as well: what follows must hold on it too. */
int speculate(struct verifier *v, const struct insn *in, u32 insn)
{
	struct state *s = push_branch(v, insn, v->insn, true);

	if (!s)
		return v->why->err;
	if (in) { /* the jump's registers say nothing on that path */
		struct frame *f = cur_frame(s);

		reg_set_unknown(v, &f->regs[in->dst]);
		if (!in->imm_src)
			reg_set_unknown(v, &f->regs[in->src]);
	}
	return 0;
}

static int sanitize_pointer(struct verifier *v, const struct insn *in, const struct reg *ptr, const struct reg *off, struct reg *dst,
			    struct sanitize *s, bool commit)
{
	bool is_const = scalar_is_const(&off->v), negative = off->v.smin < 0, ptr_is_dst = ptr == dst;
	struct insn_aux *aux = &v->aux[v->insn];
	struct reg kept;
	u32 limit;
	int err;

	if (sanitize_skipped(v, in))
		return 0;
	if (!v->cur->speculative) {
		if (!commit) {
			if (!is_const && negative != (off->v.smax < 0))
				return REASON_BOUNDS;
			s->to_left = (in->op == OP_ADD && negative) || (in->op == OP_SUB && !negative);
		}
		err = pointer_limit(ptr, &limit, s->to_left);
		if (err)
			return err;
		if (commit) {
			limit = (u32)(s->limit > limit ? s->limit - limit : limit - s->limit);
			err = sanitize_same(&aux->alu_state, &aux->alu_limit, s->state, limit);
		} else {
			u32 state = (negative ? (u32)ALU_NEGATIVE : 0) | (is_const ? (u32)ALU_IMMEDIATE : 0) | (u32)(ptr_is_dst ? ALU_SANITIZE_SRC : ALU_SANITIZE_DST);

			v->explore_alu_limits |= !is_const;
			err = sanitize_same(&s->state, &s->limit, state, limit);
		}
		if (err)
			return err;
	}
	if (commit || is_const)
		return 0;
	kept = *dst;
	if (!ptr_is_dst)
		*dst = *ptr;
	err = speculate(v, NULL, v->insn + 1);
	*dst = kept;
	return err ? REASON_STACK : 0;
}

static int sanitize_refused(struct verifier *v, const struct insn *in, int reason, bool off_is_dst)
{
	static const char why[] = "pointer arithmetic with it prohibited for !root";
	const char *op = in->op == OP_ADD ? "add" : "sub";
	u32 dst = in->dst, src = in->src;

	switch ((enum sanitize_reason)reason) {
	case REASON_BOUNDS: return reject(v, REJECT_SPECULATION, "R%u has unknown scalar with mixed signed bounds, %s", off_is_dst ? dst : src, why);
	case REASON_TYPE: return reject(v, REJECT_SPECULATION, "R%u has pointer with unsupported alu operation, %s", off_is_dst ? src : dst, why);
	case REASON_PATHS: return reject(v, REJECT_SPECULATION, "R%u tried to %s from different maps, paths or scalars, %s", dst, op, why);
	case REASON_LIMIT: return reject(v, REJECT_SPECULATION, "R%u tried to %s beyond pointer bounds, %s", dst, op, why);
	case REASON_STACK: break;
	}
	return reject(v, REJECT_SPECULATION, "R%u could not be pushed for speculative verification, %s", dst, why);
}

/* Unprivileged pointers stay inside of what they point to at all times. */
static int sanitize_inside(struct verifier *v, u32 dst, const struct reg *r)
{
	s32 off = r->off + (s32)r->v.bits.value;
	char bits[48];

	if (v->bypass_spec_v1)
		return 0;
	if (r->type == R_STACK) {
		if (!scalar_is_const(&r->v))
			return reject(v, REJECT_SPECULATION, "R%u variable stack access prohibited for !root, var_off=%s off=%d", dst,
				      tnum_text(bits, sizeof(bits), r->v.bits), off);
		if (off >= 0 || off < -STACK_BYTES)
			return reject(v, REJECT_SPECULATION, "R%u stack pointer arithmetic goes out of range, prohibited for !root; off=%d", dst, off);
	}
	if (r->type == R_MAP_VALUE && mem_map_value(v, dst, r->off, 1, false, 0))
		return reject(v, REJECT_SPECULATION, "R%u pointer arithmetic of map value goes out of range, prohibited for !root", dst);
	return 0;
}

/* ---- pointers ---- */

/* What was refused is a number too far from 0. */
static int too_far(struct verifier *v, s64 off)
{
	reject_at(v, -1, off < 0 ? 1 - VARIABLE_MOST : VARIABLE_MOST - 1, off);
	return v->why->err;
}

static int offset_sane(struct verifier *v, const struct reg *r, u32 type)
{
	s64 value = (s64)r->v.bits.value, low = r->v.smin;
	const char *name = reg_type_name(v, type);

	if (scalar_is_const(&r->v) && (value >= VARIABLE_MOST || value <= -VARIABLE_MOST)) {
		reject(v, REJECT_POINTER_OFFSET, "math between %s pointer and %lld is not allowed", name, (long long)value);
		return too_far(v, value);
	}
	if (r->off >= VARIABLE_MOST || r->off <= -VARIABLE_MOST) {
		reject(v, REJECT_POINTER_OFFSET, "%s pointer offset %d is not allowed", name, r->off);
		return too_far(v, r->off);
	}
	if (low == INT64_MIN) {
		reject(v, REJECT_POINTER_UNBOUNDED, "math between %s pointer and register with unbounded min value is not allowed", name);
		reject_at(v, -1, -VARIABLE_MOST, low);
		return v->why->err;
	}
	if (low >= VARIABLE_MOST || low <= -VARIABLE_MOST) {
		reject(v, REJECT_POINTER_OFFSET, "value %lld makes %s pointer be out of bounds", (long long)low, name);
		return too_far(v, low);
	}
	return 0;
}

/* May anything be added to a pointer of that kind? */
static bool arithmetic_ok(const struct reg *ptr, const struct reg *off, enum op op)
{
	bool zero = scalar_is_const(&off->v) && off->v.bits.value == 0 && op == OP_ADD;

	switch (reg_base(ptr->type)) {
	case R_CTX:
	case R_MAP_VALUE:
	case R_MAP_KEY:
	case R_STACK:
	case R_PACKET_META:
	case R_PACKET:
	case R_TP_BUFFER:
	case R_BTF:
	case R_MEM:
	case R_BUFFER:
	case R_FUNC:
	case R_DYNPTR: return true;
	case R_FLOW_KEYS: return scalar_is_const(&off->v);
	case R_MAP: return zero;
	default: return false;
	}
}

static void add_variable(struct reg *dst, const struct scalar *a, const struct scalar *b, bool subtract)
{
	struct scalar r = *a;

	r.umin32 = 0;
	r.umax32 = UINT32_MAX;
	r.smin32 = INT32_MIN;
	r.smax32 = INT32_MAX;
	if (subtract ? __builtin_sub_overflow(a->smin, b->smax, &r.smin) || __builtin_sub_overflow(a->smax, b->smin, &r.smax)
		     : __builtin_add_overflow(a->smin, b->smin, &r.smin) || __builtin_add_overflow(a->smax, b->smax, &r.smax)) {
		r.smin = INT64_MIN;
		r.smax = INT64_MAX;
	}
	if (subtract ? a->umin < b->umax : __builtin_add_overflow(a->umin, b->umin, &r.umin) || __builtin_add_overflow(a->umax, b->umax, &r.umax)) {
		r.umin = 0;
		r.umax = UINT64_MAX;
	} else if (subtract) {
		r.umin = a->umin - b->umax;
		r.umax = a->umax - b->umin;
	}
	r.bits = subtract ? tnum_sub(a->bits, b->bits) : tnum_add(a->bits, b->bits);
	dst->v = r;
	scalar_sync(&dst->v);
}

static int pointer_move(struct verifier *v, const struct insn *in, struct reg *dst, const struct reg *ptr, const struct reg *off)
{
	bool subtract = in->op == OP_SUB;
	s64 moved = subtract ? ptr->off - off->v.smin : ptr->off + off->v.smin;
	bool fixed = scalar_is_const(&off->v) && moved == (s64)(s32)moved;

	if (fixed) {
		dst->off = (s32)moved;
		dst->v = ptr->v;
		return 0;
	}
	add_variable(dst, &ptr->v, &off->v, subtract);
	dst->off = ptr->off;
	if (type_is_packet(ptr->type)) {
		dst->id = new_id(v);
		if (!subtract || off->v.smin < 0)
			dst->raw[0] = dst->raw[1] = 0; /* nothing is proved of where it points now */
	}
	return 0;
}

/* *dst op= ...: ptr is the pointer operand, off the number; dst is one of them. */
static int pointer_alu(struct verifier *v, const struct insn *in, struct reg *dst, const struct reg *ptr_in, const struct reg *off_in)
{
	const struct reg ptr = *ptr_in, off = *off_in;
	bool ptr_is_dst = ptr_in == dst, off_is_dst = off_in == dst;
	struct sanitize s = {0};
	int err;

	/* A path that is never taken, where the bounds of a comparison contradicted each other: bits of one number, or none, within more bounds. */
	if (scalar_is_empty(&off.v) || (scalar_is_const(&off.v) && off.v.smin != off.v.smax)) {
		reg_forget(v, dst);
		return 0;
	}
	if (in->width != 64) {
		if (in->op == OP_SUB && v->allow_ptr_leaks) {
			reg_forget(v, dst);
			return 0;
		}
		return reject(v, REJECT_POINTER_ARITHMETIC, "R%u 32-bit pointer arithmetic prohibited", in->dst);
	}
	if (ptr.type & R_NULLABLE)
		return reject(v, REJECT_MAYBE_NULL, "R%u pointer arithmetic on %s prohibited, null-check it first", in->dst, reg_type_name(v, ptr.type));
	if (reg_base(ptr.type) == R_MEM && ptr.type & R_UNTRUSTED) { /* reads through it are guarded wherever it points */
		*dst = ptr;
		return 0;
	}
	if (!arithmetic_ok(&ptr, &off, in->op))
		return reject(v, REJECT_POINTER_ARITHMETIC, "R%u pointer arithmetic on %s prohibited", in->dst, reg_type_name(v, ptr.type));
	err = offset_sane(v, &off, ptr.type);
	err = err ? err : offset_sane(v, &ptr, ptr.type);
	if (err) {
		reject_reg(v, off_is_dst || in->imm_src ? in->dst : in->src);
		return err;
	}
	err = sanitize_pointer(v, in, ptr_is_dst ? dst : &ptr, &off, dst, &s, false);
	if (err)
		return sanitize_refused(v, in, err, off_is_dst);
	if (in->op == OP_SUB && !ptr_is_dst)
		return reject(v, REJECT_POINTER_ARITHMETIC, "R%u tried to subtract pointer from scalar", in->dst);
	if (in->op == OP_SUB && ptr.type == R_STACK)
		return reject(v, REJECT_POINTER_ARITHMETIC, "R%u subtraction from stack pointer prohibited", in->dst);
	if (in->op == OP_AND || in->op == OP_OR || in->op == OP_XOR)
		return reject(v, REJECT_POINTER_ARITHMETIC, "R%u bitwise operator %s on pointer prohibited", in->dst, operator_of(in->op));
	if (in->op != OP_ADD && in->op != OP_SUB)
		return reject(v, REJECT_POINTER_ARITHMETIC, "R%u pointer arithmetic with %s operator prohibited", in->dst, operator_of(in->op));
	if (!ptr_is_dst)
		*dst = ptr;
	pointer_move(v, in, dst, &ptr, &off);
	err = offset_sane(v, dst, ptr.type);
	if (err)
		reject_reg(v, in->dst);
	err = err ? err : sanitize_inside(v, in->dst, dst);
	if (err)
		return err;
	err = sanitize_pointer(v, in, dst, &off, dst, &s, true);
	return err ? sanitize_refused(v, in, err, off_is_dst) : 0;
}

/* ---- numbers ---- */

static void set_low(struct scalar *s, u32 value)
{
	s->bits = (struct tnum){(s->bits.value & ~(u64)UINT32_MAX) | value, s->bits.mask & ~(u64)UINT32_MAX};
	s->umin32 = s->umax32 = value;
	s->smin32 = s->smax32 = (s32)value;
	scalar_sync(s);
}

/* After an arithmetic shift a register is 0 or -1: an AND or OR with a constant is walked for each, which keeps the two apart. */
static int fork_sign(struct verifier *v, const struct insn *in, struct reg *dst, const struct reg *src)
{
	bool whole = dst->v.smin == -1 && dst->v.smax == 0, low = dst->v.smin32 == -1 && dst->v.smax32 == 0;
	struct state *s;

	if ((in->op != OP_AND && in->op != OP_OR) || !scalar_is_const(&src->v) || (!whole && !low))
		return 0;
	s = push_branch(v, v->insn, v->insn, false);
	if (!s)
		return v->why->err;
	if (whole) {
		scalar_set_const(&cur_frame(s)->regs[in->dst].v, 0);
		scalar_set_const(&dst->v, UINT64_MAX);
	} else {
		set_low(&cur_frame(s)->regs[in->dst].v, 0);
		set_low(&dst->v, UINT32_MAX);
	}
	return 0;
}

/* dst += constant keeps the link to the registers that share its id, off by the constant; in 32 bits where the upper half was zero (umax: before). */
static void keep_link(struct verifier *v, const struct insn *in, struct reg *dst, const struct reg *src, u64 umax)
{
	bool same = !in->imm_src && in->src == in->dst, wide = in->width == 64, adds = in->op == OP_ADD || in->op == OP_SUB;
	bool known = src->type == R_SCALAR && (wide ? scalar_is_const(&src->v) : !(u32)src->v.bits.mask);
	s64 delta = wide ? (s64)src->v.bits.value : (s32)(u32)src->v.bits.value;

	if (v->priv && adds && dst->id && known && !same && !(dst->id & ID_DELTA) && delta == (s32)delta && (wide || umax <= UINT32_MAX) &&
	    !(in->op == OP_SUB && delta == INT32_MIN)) {
		dst->id |= wide ? ID_DELTA64 : ID_DELTA32;
		dst->delta = (s32)(in->op == OP_SUB ? -delta : delta);
		return;
	}
	unlink_scalar(dst);
}

static int number_alu(struct verifier *v, const struct insn *in, struct reg *dst, const struct reg *src)
{
	struct reg kept = *src;
	u64 umax = dst->v.umax;
	int err;

	if (!sanitize_skipped(v, in)) {
		struct insn_aux *aux = &v->aux[v->insn];

		err = sanitize_same(&aux->alu_state, &aux->alu_limit, ALU_NUMBERS, 0);
		if (err)
			return sanitize_refused(v, in, err, false);
	}
	err = fork_sign(v, in, dst, &kept);
	if (err)
		return err;
	scalar_alu(in->op, in->width, &dst->v, &kept.v);
	dst->def32 = in->width == 32 ? v->insn + 1 : 0;
	keep_link(v, in, dst, &kept, umax);
	return 0;
}

static int binary(struct verifier *v, const struct insn *in)
{
	struct reg *dst = reg_of(v, in->dst), *src = in->imm_src ? NULL : reg_of(v, in->src), constant;
	int err;

	if (dst->type == R_ARENA || (src && src->type == R_ARENA)) { /* any arithmetic is fine there */
		if (dst->type != R_ARENA)
			*dst = *src;
		return 0;
	}
	if (!src) {
		reg_set_none(&constant);
		reg_set_const(&constant, (u64)in->imm);
		src = &constant;
		if (reg_is_pointer(dst))
			return pointer_alu(v, in, dst, dst, src);
		return number_alu(v, in, dst, src);
	}
	if (reg_is_pointer(src) && reg_is_pointer(dst)) {
		if (in->op == OP_SUB && v->allow_ptr_leaks) {
			reg_forget(v, dst);
			return 0;
		}
		return reject(v, REJECT_POINTER_ARITHMETIC, "R%u pointer %s pointer prohibited", in->dst, operator_of(in->op));
	}
	if (reg_is_pointer(src)) {
		err = mark_precise(v, in->dst);
		return err ? err : pointer_alu(v, in, dst, src, dst);
	}
	if (reg_is_pointer(dst)) {
		err = mark_precise(v, in->src);
		return err ? err : pointer_alu(v, in, dst, dst, src);
	}
	if (all_precise(v)) {
		err = mark_precise(v, in->src);
		if (err)
			return err;
	}
	return number_alu(v, in, dst, src);
}

static int check_operand(struct verifier *v, const struct insn *in)
{
	bool divides = in->op == OP_DIV || in->op == OP_SDIV || in->op == OP_MOD || in->op == OP_SMOD;
	bool shifts = in->op == OP_LSH || in->op == OP_RSH || in->op == OP_ARSH;

	if (in->imm_src && divides && in->imm == 0)
		return reject(v, REJECT_DIVISION, "div by zero");
	if (in->imm_src && shifts && (u64)in->imm >= in->width) {
		reject(v, REJECT_SHIFT, "invalid shift %lld", (long long)in->imm);
		return reject_measured(v, in->width - 1, in->imm);
	}
	return 0;
}

/* ---- copies ---- */

static u32 bits_of(const struct scalar *s)
{
	return s->umax ? 64 - (u32)__builtin_clzll(s->umax) : 0;
}

static int copy_sign_extended(struct verifier *v, const struct insn *in, struct reg *dst, struct reg *src)
{
	u32 bits = (u32)op_table[in->op].off;
	bool same = src->v.umax < 1ull << (bits - 1);

	if (same)
		assign_scalar_id(v, src);
	*dst = *src;
	if (!same)
		unlink_scalar(dst);
	if (in->width == 64)
		scalar_sext(&dst->v, bits / 8);
	else
		scalar_sext32(&dst->v, bits / 8);
	dst->def32 = in->width == 32 ? v->insn + 1 : 0;
	return 0;
}

static int copy_register(struct verifier *v, const struct insn *in, struct reg *dst, struct reg *src)
{
	bool leaks = !v->allow_ptr_leaks && reg_is_pointer(src);

	if (in->op == OP_MOV && in->width == 64) {
		assign_scalar_id(v, src);
		*dst = *src;
		dst->def32 = 0;
		return 0;
	}
	if (leaks && in->width == 64)
		return reject(v, REJECT_POINTER_LEAK, "R%u sign-extension part of pointer", in->src);
	if (leaks)
		return reject(v, REJECT_POINTER_LEAK, "R%u partial copy of pointer", in->src);
	if (!reg_is_scalar(src)) {
		reg_set_unknown(v, dst);
		if (in->width == 32)
			scalar_zext(&dst->v, 4);
		return 0;
	}
	if (in->op != OP_MOV)
		return copy_sign_extended(v, in, dst, src);
	if (bits_of(&src->v) <= 32) {
		assign_scalar_id(v, src);
		*dst = *src;
	} else {
		*dst = *src;
		unlink_scalar(dst);
	}
	dst->def32 = v->insn + 1;
	scalar_zext(&dst->v, 4);
	return 0;
}

static int copy(struct verifier *v, const struct insn *in)
{
	struct reg *dst = reg_of(v, in->dst);
	int err = in->imm_src ? 0 : reg_check_read(v, in->src);

	err = err ? err : reg_check_write(v, in->dst);
	if (err)
		return err;
	if (!in->imm_src)
		return copy_register(v, in, dst, reg_of(v, in->src));
	reg_set_const(dst, in->width == 64 ? (u64)in->imm : (u32)(u64)in->imm);
	return 0;
}

static int unary(struct verifier *v, const struct insn *in)
{
	struct reg *dst = reg_of(v, in->dst);
	int err = reg_check_read(v, in->dst);

	if (err)
		return err;
	if (!v->allow_ptr_leaks && reg_is_pointer(dst))
		return reject(v, REJECT_POINTER_ARITHMETIC, "R%u pointer arithmetic prohibited", in->dst);
	err = reg_check_write(v, in->dst);
	if (err)
		return err;
	if (!reg_is_scalar(dst)) {
		reg_set_unknown(v, dst);
		return 0;
	}
	unlink_scalar(dst);
	if (in->op == OP_NEG)
		scalar_alu(in->op, in->width, &dst->v, &dst->v);
	else
		scalar_byteswap(in->op, in->width, &dst->v);
	return 0;
}

static int cast_address(struct verifier *v, const struct insn *in)
{
	struct reg *dst = reg_of(v, in->dst);
	int err;

	if (in->imm != 1 && in->imm != 1u << 16)
		return reject(v, REJECT_ADDR_SPACE, "addr_space_cast insn can only convert between address space 1 and 0");
	if (!v->arena_of)
		return reject(v, REJECT_ADDR_SPACE, "addr_space_cast insn can only be used in a program that has an associated arena");
	err = reg_check_read(v, in->src);
	err = err ? err : reg_check_write(v, in->dst);
	if (err)
		return err;
	reg_set_unknown(v, dst);
	if (in->imm == 1)
		dst->type = R_ARENA;
	return 0;
}

int walk_alu(struct verifier *v, const struct insn *in)
{
	int err;

	if (in->op == OP_ADDR_SPACE_CAST)
		return cast_address(v, in);
	if (in->op == OP_NEG || op_table[in->op].class != OPS_ALU)
		return unary(v, in);
	if (op_table[in->op].flags & OPF_COPY)
		return copy(v, in);
	err = in->imm_src ? 0 : reg_check_read(v, in->src);
	err = err ? err : reg_check_read(v, in->dst);
	err = err ? err : check_operand(v, in);
	err = err ? err : reg_check_write(v, in->dst);
	return err ? err : binary(v, in);
}
