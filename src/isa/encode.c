/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations to bytes: the inverse of decode.c. */
#include "isa/isa.h"

static u8 size_bits(u32 bytes)
{
	return bytes == 1 ? 0x10 : bytes == 2 ? 0x08 : bytes == 4 ? 0x00 : 0x18;
}

static struct raw_insn alu(const struct insn *i, const struct op_info *op)
{
	return (struct raw_insn){
		.code = (u8)(op->code | (i->imm_src ? 0 : 0x08) | (i->width == 64 ? 0x07 : 0x04)),
		.off = op->off,
		.imm = i->imm_src ? (s32)i->imm : 0,
	};
}

static struct raw_insn jump(const struct insn *i, const struct op_info *op, s32 delta)
{
	return (struct raw_insn){
		.code = (u8)(op->code | (i->imm_src ? 0 : 0x08) | (i->width == 64 ? 0x05 : 0x06)),
		.off = (s16)delta,
		.imm = i->imm_src ? (s32)i->imm : 0,
	};
}

static struct raw_insn atomic(const struct insn *i, s32 imm)
{
	return (struct raw_insn){.code = (u8)(0xc3 | size_bits(i->width)), .off = i->off, .imm = imm};
}

static struct raw_insn other(const struct insn *i, s32 delta)
{
	struct raw_insn r = {.off = i->off, .imm = (s32)i->imm};

	switch ((enum op)i->op) {
	case OP_CMPXCHG: return atomic(i, 0xf1);
	case OP_LOAD_ACQ: return atomic(i, 0x100);
	case OP_STORE_REL: return atomic(i, 0x110);
	case OP_LE: return (struct raw_insn){.code = 0xd4, .imm = i->width};
	case OP_BE: return (struct raw_insn){.code = 0xdc, .imm = i->width};
	case OP_BSWAP: return (struct raw_insn){.code = 0xd7, .imm = i->width};
	case OP_ADDR_SPACE_CAST: return (struct raw_insn){.code = 0xbf, .off = 1, .imm = (s32)i->imm};
	case OP_LDX: r.code = (u8)(0x61 | size_bits(i->width)); break;
	case OP_LDXS: r.code = (u8)(0x81 | size_bits(i->width)); break;
	case OP_STX: r.code = (u8)(0x63 | size_bits(i->width)); break;
	case OP_ST: r.code = (u8)(0x62 | size_bits(i->width)); break;
	case OP_LD_IMM64: r.code = 0x18; break;
	case OP_LD_ABS: r.code = (u8)(0x20 | size_bits(i->width)); break;
	case OP_LD_IND: r.code = (u8)(0x40 | size_bits(i->width)); break;
	case OP_JA:
		r.code = i->width == 64 ? 0x05 : 0x06;
		r.off = i->width == 64 ? (s16)delta : 0;
		r.imm = i->width == 64 ? 0 : delta;
		break;
	case OP_MAY_GOTO:
		r.code = 0xe5;
		r.off = (s16)delta;
		break;
	case OP_CALL:
		r.code = 0x85;
		if (i->pseudo == CALL_SUBPROG)
			r.imm = delta;
		break;
	case OP_EXIT: r.code = 0x95; break;
	default: break; /* PAD is all zero; INVALID has no encoding */
	}
	return r;
}

u32 insn_encode(const struct insn *insn, u32 at, struct raw_insn out[2])
{
	const struct op_info *op = &op_table[insn->op];
	s32 delta = insn->target - (s32)at - 1;

	switch ((enum op_class)op->class) {
	case OPS_ALU: out[0] = alu(insn, op); break;
	case OPS_JMP: out[0] = jump(insn, op, delta); break;
	case OPS_ATOMIC: out[0] = atomic(insn, op->imm); break;
	default: out[0] = other(insn, delta); break;
	}
	/* calls and 64-bit loads say in the source register's field which kind they are */
	out[0].regs = (u8)(insn->dst | (insn->op == OP_CALL || insn->op == OP_LD_IMM64 ? insn->pseudo : insn->src) << 4);
	if (insn->op != OP_LD_IMM64)
		return 1;
	out[0].imm = (s32)(u32)(u64)insn->imm;
	out[1] = (struct raw_insn){.imm = (s32)((u64)insn->imm >> 32)};
	return 2;
}
