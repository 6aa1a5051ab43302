/* SPDX-License-Identifier: BSD-2-Clause */
/* The first instructions of functions: see step.h. Only forms without memory operands, but for push. */
#include "client/supervise/step.h"

enum { CF = 1, PF = 4, AF = 16, ZF = 64, SF = 128, OF = 2048, RSP = 4 };

static u64 *reg(struct task_regs *r, u32 n)
{
	u64 *all[16] = {&r->ax, &r->cx, &r->dx,	 &r->bx,  &r->sp,  &r->bp,  &r->si,  &r->di,
			&r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15};

	return all[n & 15];
}

static u64 result_flags(u64 value, bool wide)
{
	u64 sign = wide ? value >> 63 : value >> 31 & 1;

	return (value ? 0u : (u64)ZF) | (sign ? (u64)SF : 0u) |
	       (__builtin_parity((u32)(value & 0xff)) ? 0u : (u64)PF);
}

/* The eight operations as opcodes and ModRM bytes number them; those with carry are not among these. */
enum alu { ALU_ADD, ALU_OR, ALU_AND = 4, ALU_SUB, ALU_XOR, ALU_CMP, ALU_TEST };

static bool alu(struct task_regs *r, u32 op, u64 *to, u64 b, bool wide)
{
	u64 mask = wide ? ~0ull : UINT32_MAX, a = *to & mask, v, flags = 0;
	u32 top = wide ? 63 : 31;

	b &= mask;
	switch (op) {
	case ALU_ADD:
		v = (a + b) & mask;
		break;
	case ALU_OR:
		v = a | b;
		break;
	case ALU_AND:
	case ALU_TEST:
		v = a & b;
		break;
	case ALU_SUB:
	case ALU_CMP:
		v = (a - b) & mask;
		break;
	case ALU_XOR:
		v = a ^ b;
		break;
	default:
		return false;
	}
	if (op == ALU_ADD)
		flags = (v < a ? (u64)CF : 0u) | ((a ^ b ^ v) & AF) |
			(((a ^ v) & (b ^ v)) >> top & 1 ? (u64)OF : 0u);
	if (op == ALU_SUB || op == ALU_CMP)
		flags = (a < b ? (u64)CF : 0u) | ((a ^ b ^ v) & AF) |
			(((a ^ b) & (a ^ v)) >> top & 1 ? (u64)OF : 0u);
	r->flags = (r->flags & ~(u64)(CF | PF | AF | ZF | SF | OF)) | flags | result_flags(v, wide);
	if (op != ALU_CMP && op != ALU_TEST)
		*to = v;
	return true;
}

static s32 imm32(const u8 *at)
{
	s32 v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* Bytes of the ModRM byte and what follows it for addressing; 0: they do not fit. */
static u32 modrm_size(const u8 *code, u32 n)
{
	u32 mod, size = 1;

	if (!n)
		return 0;
	mod = code[0] >> 6;
	if (mod != 3 && (code[0] & 7) == 4) {
		if (n < 2)
			return 0;
		size++;
		if (mod == 0 && (code[1] & 7) == 5)
			size += 4;
	}
	if (mod == 0 && (code[0] & 7) == 5)
		size += 4;
	size += mod == 1 ? 1 : mod == 2 ? 4 : 0;
	return size <= n ? size : 0;
}

static u32 long_nop(const u8 *code, u32 n)
{
	u32 at = 0, m;

	while (at < n && (code[at] == 0x66 || code[at] == 0x2e))
		at++;
	if (at < n && code[at] == 0x90)
		return at + 1;
	if (at + 2 < n && code[at] == 0x0f && code[at + 1] == 0x1f) {
		m = modrm_size(code + at + 2, n - at - 2);
		return m ? at + 2 + m : 0;
	}
	return n >= 4 && !memcmp(code, "\xf3\x0f\x1e\xfa", 4) ? 4 : 0; /* endbr64 */
}

/* Both operands are registers. */
static bool two_registers(u8 op, u32 rex, u8 modrm, struct task_regs *r)
{
	bool wide = rex & 8;
	u64 mask = wide ? ~0ull : UINT32_MAX, *rm = reg(r, (modrm & 7u) | (rex & 1) << 3),
	    *other = reg(r, (modrm >> 3 & 7u) | (rex & 4) << 1);

	switch (op) {
	case 0x89:
		*rm = *other & mask;
		return true;
	case 0x8b:
		*other = *rm & mask;
		return true;
	case 0x85:
		return alu(r, ALU_TEST, rm, *other, wide);
	default:
		break;
	}
	if (op < 0x40 && (op & 7) == 1)
		return alu(r, op >> 3, rm, *other, wide);
	return op < 0x40 && (op & 7) == 3 && alu(r, op >> 3, other, *rm, wide);
}

static u32 changes(const u8 *code, u32 n, struct task_regs *r, struct step_store *store)
{
	u32 rex = 0, at = 0;
	u8 op;

	if ((code[0] & 0xf0) == 0x40) {
		rex = code[0] & 15u;
		at = 1;
	}
	if (at >= n)
		return 0;
	op = code[at];
	if ((op & 0xf8) == 0x50 && !(rex & 8)) {
		*store = (struct step_store){true, r->sp - 8, *reg(r, (op & 7u) | (rex & 1) << 3)};
		r->sp -= 8;
		return at + 1;
	}
	if (at + 1 >= n || code[at + 1] < 0xc0)
		return 0;
	if (two_registers(op, rex, code[at + 1], r))
		return at + 2;
	if (op == 0x83 || op == 0x81) { /* of an immediate: the ModRM byte says which operation */
		u32 size = at + 2 + (op == 0x83 ? 1 : 4);
		s64 imm;

		if (size > n)
			return 0;
		imm = op == 0x83 ? (s8)code[at + 2] : imm32(code + at + 2);
		return alu(r, code[at + 1] >> 3 & 7u, reg(r, (code[at + 1] & 7u) | (rex & 1) << 3), (u64)imm,
			   rex & 8)
			   ? size
			   : 0;
	}
	return 0;
}

u32 step_over(const u8 *code, u32 n, struct task_regs *regs, struct step_store *store)
{
	u32 size;

	*store = (struct step_store){0};
	if (!n)
		return 0;
	size = long_nop(code, n);
	size = size ? size : changes(code, n, regs, store);
	regs->ip += size;
	return size;
}
