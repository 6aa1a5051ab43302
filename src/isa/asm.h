/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The assembler's inside: the reader of text (asm_read.c), the statements in C-like form (asm_text.c) and as mnemonics
 * (asm_mnemonic.c), and the whole (asm.c). A function that reads gives false once anything failed; the first
 * failure is the one reported.
 */
#ifndef SKEP_ISA_ASM_H
#define SKEP_ISA_ASM_H

#include "isa/isa.h"

enum fixup_kind { FIX_NONE, FIX_TARGET, FIX_FUNC };

struct place {
	u32 line, column;
};

struct label {
	const char *name;
	u32 len, at;
	struct place place;
};

struct fixup {
	const char *name;
	u32 len, at;
	struct place place;
	enum fixup_kind kind;
};

struct parser {
	const char *p, *end, *line_start;
	u32 line;
	struct arena *arena;
	VEC(struct insn) insns;
	VEC(struct place) places; /* of each slot, for errors found after parsing */
	VEC(struct label) labels;
	VEC(struct fixup) fixups;
	struct asm_error *err;
	bool failed, no_memory;
};

static inline bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '$';
}

static inline char peek(const struct parser *a)
{
	return a->p < a->end ? *a->p : '\n';
}

/* ---- asm_read.c ---- */
struct place asm_place(const struct parser *a, const char *p);
PRINTF_LIKE(2, 3) bool asm_fail(struct parser *a, const char *fmt, ...);
/* Past white space and comments. */
void asm_skip(struct parser *a);
/* Consumes the text when it comes next; one that ends in a word character must not go on as a longer word. */
bool asm_accept(struct parser *a, const char *text);
bool asm_expect(struct parser *a, const char *text);
u32 asm_word(struct parser *a, const char **start);
bool asm_at_end(struct parser *a);
/* Sign, then decimal or hexadecimal digits. A minus sign gives the two's complement. */
bool asm_number(struct parser *a, u64 *out, bool *negative);
bool asm_signed(struct parser *a, s64 low, s64 high, s64 *out);
/* 32-bit immediate of an operation: 32-bit operations also take it unsigned. */
bool asm_immediate(struct parser *a, u32 width, s64 *out);
/* rN or wN, also %rN; kind: 'r', 'w', or 0 for either. Consumes nothing when there is no register. */
bool asm_try_reg(struct parser *a, char kind, u8 *reg, char *found);
bool asm_reg(struct parser *a, char kind, u8 *reg);
/* Register or immediate: the second operand. */
bool asm_operand(struct parser *a, char kind, struct insn *i);
/* "+N", "-N" or a label, also "pc+N"; a "<name>" that LLVM adds behind is skipped. */
bool asm_target(struct parser *a, struct insn *i, enum fixup_kind kind);
/* map[fd:5], map[idx:0]+16, btf[id:7], func[+3] or func[name]; *handled: there was one. */
bool asm_pseudo(struct parser *a, struct insn *i, bool *handled);
bool asm_byteswap(struct parser *a, struct insn *i);

/* ---- asm_text.c ---- */
bool asm_statement(struct parser *a, struct insn *i);

/* ---- asm_mnemonic.c ---- */
bool asm_lock(struct parser *a, struct insn *i); /* behind "lock" */
bool asm_mnemonic(struct parser *a, struct insn *i);

#endif
