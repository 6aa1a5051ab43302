/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of operations as data, and its expressions as functions: the reference semantics (RFC 9669, section 4). */
#include "isa/isa.h"

enum { COMMUTES = OPF_COMMUTES, UNARY = OPF_UNARY, COPY = OPF_COPY, SIGNED = OPF_SIGNED, FETCH = OPF_FETCH };

const struct op_info op_table[OP_COUNT] = {
#define ALU(n, c, o, t, m, f)  [OP_##n] = {#n, OPS_ALU, c, o, 0, f, t, #m},
#define JMP(n, c, t, m, f)     [OP_##n] = {#n, OPS_JMP, c, 0, 0, f, t, #m},
#define ATOMIC(n, i, t, m, f)  [OP_##n] = {#n, OPS_ATOMIC, 0, 0, i, f, t, #m},
#define OTHER(n, m)            [OP_##n] = {#n, OPS_OTHER, 0, 0, 0, 0, "", m},
#include "isa/ops.def"
};

static u32 eval32(enum op op, u32 A, u32 B)
{
	typedef u32 U;
	typedef s32 S;
	enum { M = 31 };

	switch (op) {
#define ALU(n, c, o, t, m, f) case OP_##n: return (U)(m);
#define ATOMIC(n, i, t, m, f) case OP_##n: return (U)(m);
#include "isa/ops.def"
	default: return 0;
	}
}

static u64 eval64(enum op op, u64 A, u64 B)
{
	typedef u64 U;
	typedef s64 S;
	enum { M = 63 };

	switch (op) {
#define ALU(n, c, o, t, m, f) case OP_##n: return (U)(m);
#define ATOMIC(n, i, t, m, f) case OP_##n: return (U)(m);
#include "isa/ops.def"
	default: return 0;
	}
}

u64 op_eval(enum op op, u32 width, u64 a, u64 b)
{
	return width == 32 ? eval32(op, (u32)a, (u32)b) : eval64(op, a, b);
}

static bool compare32(enum op op, u32 A, u32 B)
{
	typedef s32 S;

	switch (op) {
#define JMP(n, c, t, m, f) case OP_##n: return m;
#include "isa/ops.def"
	default: return false;
	}
}

static bool compare64(enum op op, u64 A, u64 B)
{
	typedef s64 S;

	switch (op) {
#define JMP(n, c, t, m, f) case OP_##n: return m;
#include "isa/ops.def"
	default: return false;
	}
}

bool op_compare(enum op op, u32 width, u64 a, u64 b)
{
	return width == 32 ? compare32(op, (u32)a, (u32)b) : compare64(op, a, b);
}

enum op op_negated(enum op op)
{
	switch (op) {
	case OP_JEQ: return OP_JNE;
	case OP_JNE: return OP_JEQ;
	case OP_JGT: return OP_JLE;
	case OP_JLE: return OP_JGT;
	case OP_JGE: return OP_JLT;
	case OP_JLT: return OP_JGE;
	case OP_JSGT: return OP_JSLE;
	case OP_JSLE: return OP_JSGT;
	case OP_JSGE: return OP_JSLT;
	case OP_JSLT: return OP_JSGE;
	default: return OP_INVALID;
	}
}

enum op op_swapped(enum op op)
{
	switch (op) {
	case OP_JGT: return OP_JLT;
	case OP_JLT: return OP_JGT;
	case OP_JGE: return OP_JLE;
	case OP_JLE: return OP_JGE;
	case OP_JSGT: return OP_JSLT;
	case OP_JSLT: return OP_JSGT;
	case OP_JSGE: return OP_JSLE;
	case OP_JSLE: return OP_JSGE;
	default: return op;
	}
}

u64 op_byteswap(enum op op, u32 width, u64 a)
{
	bool swap = op == OP_BSWAP || (op == OP_BE) == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

	switch (width) {
	case 16: return swap ? __builtin_bswap16((u16)a) : (u16)a;
	case 32: return swap ? __builtin_bswap32((u32)a) : (u32)a;
	default: return swap ? __builtin_bswap64(a) : a;
	}
}
