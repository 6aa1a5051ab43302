/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * isa: what a BPF instruction is. decode() maps encoded bytes to an enum op once; no later layer sees an
 * opcode byte. Source: RFC 9669, and Linux's additions (include/uapi/linux/bpf.h, up to 6.18).
 *
 * Ownership: callers own every buffer; the assembler's result belongs to the arena it was given.
 */
#ifndef SKEP_ISA_H
#define SKEP_ISA_H

#include "base/base.h"

/* The encoded form, eight bytes, as in ELF sections and bpf(2). */
struct raw_insn {
	u8 code;
	u8 regs; /* dst in the low four bits, src in the high four */
	s16 off;
	s32 imm;
};

enum op {
	OP_INVALID,
#define ALU(name, code, off, text, meaning, flags) OP_##name,
#define JMP(name, code, text, meaning, flags)      OP_##name,
#define ATOMIC(name, imm, text, meaning, flags)    OP_##name,
#define OTHER(name, meaning)                       OP_##name,
#include "isa/ops.def"
	OP_COUNT
};

enum op_class { OPS_ALU = 1, OPS_JMP, OPS_ATOMIC, OPS_OTHER };
enum op_flags { OPF_COMMUTES = 1, OPF_UNARY = 2, OPF_COPY = 4, OPF_SIGNED = 8, OPF_FETCH = 16 };

struct op_info {
	const char *name; /* "ADD" */
	u8 class; /* enum op_class */
	u8 code; /* ALU, JMP: operation bits of the opcode */
	s16 off; /* ALU: the offset field that selects it */
	s32 imm; /* ATOMIC: the immediate that selects it */
	u32 flags;
	const char *text; /* operator */
	const char *meaning; /* expression or sentence */
};
extern const struct op_info op_table[OP_COUNT];

/*
 * One decoded instruction per encoded slot, so that an index is the same in both forms; the second slot of a
 * 64-bit load is OP_PAD, which is never executed.
 */
struct insn {
	u8 op; /* enum op */
	u8 dst, src;
	u8 width; /* ALU, JMP: 32 or 64; loads, stores, atomics: bytes accessed; byte swaps: bits */
	bool imm_src; /* ALU, JMP: B is imm, not src */
	u8 pseudo; /* LD_IMM64: enum pseudo; CALL: enum call_kind */
	s16 off; /* memory displacement, or kfunc's BTF fd index; never a jump */
	s32 target; /* jumps, calls of subprograms: index of the target slot, absolute */
	s64 imm; /* sign-extended immediate; LD_IMM64: all 64 bits as encoded */
};

enum pseudo { PSEUDO_CONST, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, PSEUDO_BTF_ID, PSEUDO_FUNC, PSEUDO_MAP_IDX, PSEUDO_MAP_IDX_VALUE };
enum call_kind { CALL_HELPER, CALL_SUBPROG, CALL_KFUNC };

/* What is wrong with an instruction: its bytes, where it jumps to, or the function that it calls or ends. */
enum insn_wrong { INSN_ENCODING, INSN_JUMP_RANGE, INSN_JUMP_MIDDLE, INSN_FUNCTION };

struct insn_error {
	u32 insn; /* index of the slot */
	enum insn_wrong wrong;
	char text[160]; /* what is wrong, without the index */
};

/* decode.c: all n slots. 0, -EINVAL with *err set. Checks everything that can be known without a program:
 * opcodes, registers, reserved fields, jump targets inside the program and not into a PAD. */
int insns_decode(const struct raw_insn *raw, u32 n, struct insn *out, struct insn_error *err);
/* The register that it writes, -1: none. R10, the frame pointer, may not be: whoever runs the program sees to that. */
s32 insn_destination(const struct insn *insn);
/* encode.c: the inverse; insn_encode writes one slot, or two for LD_IMM64. Returns the number written. */
u32 insn_encode(const struct insn *insn, u32 at, struct raw_insn out[2]);

/* disasm.c: the text of the kernel's log and of LLVM: "r1 = *(u32 *)(r2 +8)". */
struct disasm_names {
	void *ud; /* all may be NULL: then numbers are printed */
	const char *(*helper)(void *ud, s64 id);
	bool kernel; /* numbers as in the kernel's log: decimal, compared ones "0x%x" */
	const char *(*label)(void *ud, s32 target); /* text for a jump or call target, or NULL for "+3" */
};
void insn_text(struct text *t, const struct insn *insn, u32 at, const struct disasm_names *names);

/* asm.c: text to encoded instructions. Both syntaxes, labels, comments (; # //). Positions from 1. */
struct asm_error {
	u32 line, column;
	char text[160];
};
int asm_parse(struct arena *a, const char *text, size_t len, struct raw_insn **out, u32 *n, struct asm_error *err);

/* ops.c: ops.def's expressions: the reference semantics, also the constant folder. */
u64 op_eval(enum op op, u32 width, u64 a, u64 b);
bool op_compare(enum op op, u32 width, u64 a, u64 b);
enum op op_negated(enum op op); /* holds where the comparison does not; OP_INVALID: none does (JSET) */
enum op op_swapped(enum op op); /* a op b is b op_swapped(op) a */
u64 op_byteswap(enum op op, u32 width, u64 a); /* LE, BE, BSWAP */

#endif
