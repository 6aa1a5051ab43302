/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes to operations. Decides as Linux does which encodings are malformed (reserved fields must be zero), and
 * says which field is wrong. Source: RFC 9669 sections 3 to 5; Linux 6.18 for the additions.
 */
#include "isa/isa.h"

#include <stdio.h>

enum insn_class { CLASS_LD, CLASS_LDX, CLASS_ST, CLASS_STX, CLASS_ALU, CLASS_JMP, CLASS_JMP32, CLASS_ALU64 };
enum mode { MODE_IMM = 0x00, MODE_ABS = 0x20, MODE_IND = 0x40, MODE_MEM = 0x60, MODE_MEMSX = 0x80, MODE_ATOMIC = 0xc0 };
enum { REG_FP = 10, SRC_X = 0x08 };

struct decoder {
	const struct raw_insn *raw;
	u32 n, at;
	struct insn *out;
	struct insn_error *err;
};

PRINTF_LIKE(3, 4) static int refuse(struct decoder *d, enum insn_wrong wrong, const char *fmt, ...)
{
	va_list ap;

	if (d->err) {
		d->err->insn = d->at;
		d->err->wrong = wrong;
		va_start(ap, fmt);
		vsnprintf(d->err->text, sizeof(d->err->text), fmt, ap);
		va_end(ap);
	}
	return -EINVAL;
}

static int reserved(struct decoder *d, const char *what)
{
	const struct raw_insn *r = &d->raw[d->at];

	return refuse(d, INSN_ENCODING, "%s uses reserved fields (code 0x%02x, dst %u, src %u, off %d, imm %d)", what, r->code,
		      r->regs & 15u, r->regs >> 4, r->off, r->imm);
}

static int unknown(struct decoder *d)
{
	return refuse(d, INSN_ENCODING, "unknown opcode %02x", d->raw[d->at].code);
}

static u32 access_size(u8 code)
{
	switch (code & 0x18) {
	case 0x00: return 4;
	case 0x08: return 2;
	case 0x10: return 1;
	default: return 8;
	}
}

static int check_regs(struct decoder *d, const struct insn *i)
{
	if (i->dst > REG_FP || i->src > REG_FP)
		return refuse(d, INSN_ENCODING, "R%u is invalid: registers are r0 to r10", i->dst > REG_FP ? i->dst : i->src);
	return 0;
}

static enum op find_alu(u8 code, s16 off)
{
	for (enum op op = OP_INVALID + 1; op < OP_COUNT; op++)
		if (op_table[op].class == OPS_ALU && op_table[op].code == (code & 0xf0) && op_table[op].off == off)
			return op;
	return OP_INVALID;
}

static int decode_byteswap(struct decoder *d, const struct raw_insn *r, struct insn *i)
{
	bool alu64 = (r->code & 7) == CLASS_ALU64;

	if (alu64 && r->code & SRC_X)
		return unknown(d);
	if (r->off || i->src)
		return reserved(d, "BPF_END");
	if (r->imm != 16 && r->imm != 32 && r->imm != 64)
		return refuse(d, INSN_ENCODING, "a byte swap is of 16, 32 or 64 bits, not %d", r->imm);
	i->op = alu64 ? OP_BSWAP : r->code & SRC_X ? OP_BE : OP_LE;
	i->width = (u8)r->imm;
	i->imm_src = true;
	return check_regs(d, i);
}

static int decode_cast(struct decoder *d, const struct raw_insn *r, struct insn *i)
{
	if (r->imm != 1 && r->imm != 1 << 16)
		return refuse(d, INSN_ENCODING, "addr_space_cast insn can only convert between address space 1 and 0");
	i->op = OP_ADDR_SPACE_CAST;
	return check_regs(d, i);
}

static int decode_alu(struct decoder *d, const struct raw_insn *r, struct insn *i)
{
	bool wide = (r->code & 7) == CLASS_ALU64;

	i->width = wide ? 64 : 32;
	i->imm_src = !(r->code & SRC_X);
	i->imm = wide ? r->imm : (s64)(u32)r->imm;
	if ((r->code & 0xf0) == 0xd0)
		return decode_byteswap(d, r, i);
	if (wide && r->code == 0xbf && r->off == 1)
		return decode_cast(d, r, i);
	i->op = (u8)find_alu(r->code, r->off);
	if (i->op == OP_INVALID)
		return find_alu(r->code, 0) == OP_INVALID ? unknown(d) : reserved(d, "BPF_ALU");
	if (i->imm_src ? i->src != 0 : r->imm != 0)
		return reserved(d, "BPF_ALU");
	if (op_table[i->op].flags & OPF_UNARY && (!i->imm_src || r->imm))
		return reserved(d, "BPF_NEG");
	if (op_table[i->op].code == 0xb0 && r->off && (i->imm_src || (r->off == 32 && !wide)))
		return reserved(d, "BPF_MOV");
	return check_regs(d, i);
}

static int set_target(struct decoder *d, struct insn *i, s64 delta)
{
	s64 target = (s64)d->at + 1 + delta;

	if (target < 0 || target >= (s64)d->n)
		return refuse(d, INSN_JUMP_RANGE, "jump out of range from insn %u to %lld", d->at, (long long)target);
	i->target = (s32)target;
	return 0;
}

static int decode_call(struct decoder *d, const struct raw_insn *r, struct insn *i)
{
	i->op = OP_CALL;
	i->pseudo = i->src;
	i->imm = r->imm;
	if (r->code != 0x85)
		return r->code == 0x8d ? refuse(d, INSN_ENCODING, "unknown opcode 8d: calls through a register are not supported; call a function") : unknown(d);
	if (i->dst || i->src > CALL_KFUNC || (r->off && i->src != CALL_KFUNC))
		return reserved(d, "BPF_CALL");
	i->off = r->off;
	if (i->src != CALL_SUBPROG)
		return 0;
	if ((s64)d->at + 1 + r->imm < 0 || (s64)d->at + 1 + r->imm >= (s64)d->n)
		return refuse(d, INSN_FUNCTION, "call to invalid destination: %lld of %u", (long long)d->at + 1 + r->imm, d->n);
	return set_target(d, i, r->imm);
}

static int decode_jump(struct decoder *d, const struct raw_insn *r, struct insn *i)
{
	bool wide = (r->code & 7) == CLASS_JMP;

	i->width = wide ? 64 : 32;
	i->imm_src = !(r->code & SRC_X);
	i->imm = wide ? r->imm : (s64)(u32)r->imm;
	switch (r->code & 0xf0) {
	case 0x80: return decode_call(d, r, i);
	case 0x90:
		i->op = OP_EXIT;
		if (r->code != 0x95)
			return unknown(d);
		i->off = r->off; /* which Linux does not look at */
		return i->dst || i->src || r->imm ? reserved(d, "BPF_EXIT") : 0;
	case 0x00:
		i->op = OP_JA;
		if (!i->imm_src)
			return unknown(d);
		if (i->dst || i->src || (wide ? r->imm : r->off))
			return reserved(d, "BPF_JA");
		i->imm = 0;
		return set_target(d, i, wide ? r->off : r->imm);
	case 0xe0:
		i->op = OP_MAY_GOTO;
		if (r->code != 0xe5)
			return unknown(d);
		if (i->dst || i->src || r->imm)
			return reserved(d, "may_goto");
		return set_target(d, i, r->off);
	}
	for (enum op op = OP_INVALID + 1; op < OP_COUNT; op++)
		if (op_table[op].class == OPS_JMP && op_table[op].code == (r->code & 0xf0))
			i->op = (u8)op;
	if (i->op == OP_INVALID)
		return unknown(d);
	if (i->imm_src ? i->src != 0 : r->imm != 0)
		return reserved(d, "BPF_JMP/JMP32");
	if (check_regs(d, i))
		return -EINVAL;
	return set_target(d, i, r->off);
}

static int decode_imm64(struct decoder *d, const struct raw_insn *r, struct insn *i)
{
	if (d->at + 1 >= d->n)
		return refuse(d, INSN_ENCODING, "incomplete 64-bit load: its second slot is missing");
	if (r[1].code || r[1].regs || r[1].off)
		return refuse(d, INSN_ENCODING, "invalid bpf_ld_imm64 insn: the second slot holds only an immediate");
	if (r->off || i->src > PSEUDO_MAP_IDX_VALUE)
		return reserved(d, "BPF_LD_IMM64");
	i->op = OP_LD_IMM64;
	i->pseudo = i->src;
	i->imm = (s64)((u64)(u32)r->imm | (u64)(u32)r[1].imm << 32);
	if (r[1].imm && (i->pseudo == PSEUDO_MAP_FD || i->pseudo == PSEUDO_MAP_IDX))
		return refuse(d, INSN_ENCODING, "unrecognized bpf_ld_imm64 insn: the second slot of a map load must be zero; a value's offset "
				 "needs src %u", i->pseudo + 1u);
	d->out[d->at + 1] = (struct insn){.op = OP_PAD, .target = -1};
	return check_regs(d, i);
}

static int decode_load(struct decoder *d, const struct raw_insn *r, struct insn *i)
{
	bool packet = (r->code & 7) == CLASS_LD;

	i->width = (u8)access_size(r->code);
	i->off = r->off;
	i->imm = r->imm;
	switch (r->code & 0xe0) {
	case MODE_IMM:
		if (r->code == 0x18)
			return decode_imm64(d, r, i);
		if (r->code == 0)
			return refuse(d, INSN_ENCODING, "unknown opcode 00: a zero instruction, or the second slot of a 64-bit load");
		return packet ? unknown(d) : reserved(d, "BPF_LDX");
	case MODE_ABS:
	case MODE_IND:
		if (!packet || i->width == 8)
			return unknown(d);
		i->op = (r->code & 0xe0) == MODE_ABS ? OP_LD_ABS : OP_LD_IND;
		if (i->dst || r->off || (i->op == OP_LD_ABS && i->src))
			return reserved(d, "BPF_LD_[ABS|IND]");
		return check_regs(d, i);
	case MODE_MEM:
	case MODE_MEMSX:
		i->op = (r->code & 0xe0) == MODE_MEM ? OP_LDX : OP_LDXS;
		if (packet || (i->op == OP_LDXS && i->width == 8))
			return unknown(d);
		return r->imm ? reserved(d, "BPF_LDX") : check_regs(d, i);
	}
	return unknown(d);
}

static int decode_atomic(struct decoder *d, const struct raw_insn *r, struct insn *i)
{
	i->imm = 0;
	switch (r->imm) {
	case 0xf1: i->op = OP_CMPXCHG; break;
	case 0x100: i->op = OP_LOAD_ACQ; break;
	case 0x110: i->op = OP_STORE_REL; break;
	default:
		for (enum op op = OP_INVALID + 1; op < OP_COUNT; op++)
			if (op_table[op].class == OPS_ATOMIC && op_table[op].imm == r->imm)
				i->op = (u8)op;
	}
	if (i->op == OP_INVALID)
		return refuse(d, INSN_ENCODING, "BPF_ATOMIC uses invalid atomic opcode %02x", (u32)r->imm);
	if (i->width < 4 && i->op != OP_LOAD_ACQ && i->op != OP_STORE_REL)
		return refuse(d, INSN_ENCODING, "invalid atomic operand size: atomics are of 4 or 8 bytes, not %u", i->width);
	return check_regs(d, i);
}

static int decode_store(struct decoder *d, const struct raw_insn *r, struct insn *i)
{
	bool constant = (r->code & 7) == CLASS_ST;

	i->width = (u8)access_size(r->code);
	i->off = r->off;
	i->imm = r->imm;
	if ((r->code & 0xe0) == MODE_ATOMIC && !constant)
		return decode_atomic(d, r, i);
	if ((r->code & 0xe0) != MODE_MEM)
		return unknown(d);
	i->op = constant ? OP_ST : OP_STX;
	if (constant ? i->src != 0 : r->imm != 0)
		return reserved(d, constant ? "BPF_ST" : "BPF_STX");
	return check_regs(d, i);
}

static int decode_one(struct decoder *d)
{
	const struct raw_insn *r = &d->raw[d->at];
	struct insn *i = &d->out[d->at];

	*i = (struct insn){.dst = r->regs & 15, .src = r->regs >> 4, .target = -1};
	switch ((enum insn_class)(r->code & 7)) {
	case CLASS_LD:
	case CLASS_LDX: return decode_load(d, r, i);
	case CLASS_ST:
	case CLASS_STX: return decode_store(d, r, i);
	case CLASS_ALU:
	case CLASS_ALU64: return decode_alu(d, r, i);
	case CLASS_JMP:
	case CLASS_JMP32: return decode_jump(d, r, i);
	}
	return unknown(d);
}

/* Jumps, calls and function pointers must meet the first slot of an instruction. */
static int check_targets(struct decoder *d)
{
	for (d->at = 0; d->at < d->n; d->at++) {
		const struct insn *i = &d->out[d->at];
		s64 function = (s64)d->at + 1 + (s32)(u32)(u64)i->imm;

		if (i->op == OP_CALL && i->target >= 0 && d->out[i->target].op == OP_PAD)
			return refuse(d, INSN_FUNCTION, "last insn is not an exit or jmp: the call goes into the middle of ldimm64 insn %d", i->target - 1);
		if (i->target >= 0 && d->out[i->target].op == OP_PAD)
			return refuse(d, INSN_JUMP_MIDDLE, "jump into the middle of ldimm64 insn %d", i->target - 1);
		if (i->op != OP_LD_IMM64 || i->pseudo != PSEUDO_FUNC)
			continue;
		if (function < 0 || function >= (s64)d->n)
			return refuse(d, INSN_FUNCTION, "call to invalid destination: %lld of %u", (long long)function, d->n);
		if (d->out[function].op == OP_PAD)
			return refuse(d, INSN_FUNCTION, "last insn is not an exit or jmp: the function begins in the middle of ldimm64 insn %lld", (long long)function - 1);
	}
	return 0;
}

int insns_decode(const struct raw_insn *raw, u32 n, struct insn *out, struct insn_error *err)
{
	struct decoder d = {raw, n, 0, out, err};

	if (n == 0)
		return refuse(&d, INSN_ENCODING, "the program is empty");
	for (; d.at < n; d.at++) {
		int bad = decode_one(&d);

		if (bad)
			return bad;
		if (out[d.at].op == OP_LD_IMM64)
			d.at++;
	}
	return check_targets(&d);
}

s32 insn_destination(const struct insn *i)
{
	switch (op_table[i->op].class) {
	case OPS_ALU: return i->dst;
	case OPS_JMP: return -1;
	case OPS_ATOMIC: return op_table[i->op].flags & OPF_FETCH ? i->src : -1;
	default: break;
	}
	switch ((enum op)i->op) {
	case OP_LE:
	case OP_BE:
	case OP_BSWAP:
	case OP_ADDR_SPACE_CAST:
	case OP_LDX:
	case OP_LDXS:
	case OP_LOAD_ACQ:
	case OP_LD_IMM64: return i->dst;
	case OP_CMPXCHG:
	case OP_LD_ABS:
	case OP_LD_IND:
	case OP_CALL: return 0;
	default: return -1;
	}
}
