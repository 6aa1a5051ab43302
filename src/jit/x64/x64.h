/* SPDX-License-Identifier: BSD-2-Clause */
/* x64: registers, the machine's numbers for operations, and the parts of the target: select.c, encode.c, emit.c. */
#ifndef SKEP_JIT_X64_H
#define SKEP_JIT_X64_H

#include "jit/jit.h"

enum x64_reg { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NO_REG };
enum {
	X64_ALL = 0xffff & ~(1 << RSP),
	X64_CALLEE = 1 << RBX | 1 << RBP | 1 << R12 | 1 << R13 | 1 << R14 | 1 << R15,
	X64_CALLER = X64_ALL & ~X64_CALLEE,
	X64_SCRATCH = 1 << R10 | 1 << R11,
};
enum x64_alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
enum x64_shift { SHIFT_ROL, SHIFT_ROR, SHIFT_SHL = 4, SHIFT_SHR, SHIFT_SAR = 7 };
enum x64_cc { CC_B = 2, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_L = 12, CC_GE, CC_LE, CC_G };

/* encode.c: an operand in memory: base + index * scale + disp; base NO_REG: rip-relative is not used here. */
struct x64_mem {
	u8 base, index, scale;
	s32 disp;
};

void x64_byte(struct mach *m, u32 byte);
void x64_u32(struct mach *m, u32 x);
void x64_u64(struct mach *m, u64 x);
/* opcode: up to three bytes, 0x0fxx as two. wide: 64 bits. byte_reg: reg names an 8-bit register. */
void x64_rr(struct mach *m, u32 opcode, bool wide, u32 reg, u32 rm, bool byte_rm);
void x64_rm(struct mach *m, u32 opcode, bool wide, u32 reg, struct x64_mem mem, u32 prefix, bool byte_reg, u32 imm_bytes);
void x64_vex(struct mach *m, u32 pp, u32 map, u32 opcode, bool wide, u32 reg, u32 vvvv, u32 rm);
void x64_mov(struct mach *m, u32 to, u32 from, bool wide);
void x64_movi(struct mach *m, u32 to, u64 imm, bool keep_flags);
void x64_alui(struct mach *m, enum x64_alu op, bool wide, u32 reg, s32 imm);
void x64_shifti(struct mach *m, enum x64_shift op, bool wide, u32 reg, u32 by);
void x64_nops(struct mach *m, u32 n);

/* select.c */
int x64_select(struct mach *m);
/* operands.c */
void x64_operands(const struct mach *m, const struct mach_ins *i, struct mach_operands *o);
bool x64_has_bmi2(const struct mach *m);
/* unwind.c */
void x64_unwind(const struct code_func *f, struct text *t);
/* emit.c */
int x64_emit(struct mach *m);

#endif
