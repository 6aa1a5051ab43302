/* SPDX-License-Identifier: BSD-2-Clause */
/* Statements as mnemonics: "add32 r1, 5", "ldxw r1, [r2+8]", "jsgt r1, 5, +3", "lock add [r1+0], r2". See asm.h. */
#include "isa/asm.h"

static bool bracket_memory(struct parser *a, u8 *reg, struct insn *i)
{
	s64 off = 0;

	if (!asm_expect(a, "[") || !asm_reg(a, 'r', reg))
		return false;
	asm_skip(a);
	if (peek(a) != ']' && !asm_signed(a, INT16_MIN, INT16_MAX, &off))
		return false;
	i->off = (s16)off;
	return asm_expect(a, "]");
}

static bool same_word(const char *upper, const char *word_at, size_t len)
{
	if (strlen(upper) != len)
		return false;
	for (size_t k = 0; k < len; k++)
		if ((upper[k] >= 'A' && upper[k] <= 'Z' ? upper[k] + 32 : upper[k]) != word_at[k])
			return false;
	return true;
}

static u32 size_suffix(const char *s, size_t n)
{
	return n == 1 && *s == 'b' ? 1 : n == 1 && *s == 'h' ? 2 : n == 1 && *s == 'w' ? 4 : n == 2 && !memcmp(s, "dw", 2) ? 8 : 0;
}

static bool has_prefix(const char *name, size_t len, const char *prefix, const char **rest, size_t *rest_len)
{
	size_t n = strlen(prefix);

	if (len <= n || memcmp(name, prefix, n))
		return false;
	*rest = name + n;
	*rest_len = len - n;
	return true;
}

static bool mnemonic_memory(struct parser *a, struct insn *i, const char *name, size_t len, bool *handled)
{
	const char *rest;
	size_t n;
	u32 size;

	*handled = true;
	if (has_prefix(name, len, "ldxs", &rest, &n) && (size = size_suffix(rest, n)) != 0) {
		i->op = OP_LDXS;
	} else if (has_prefix(name, len, "ldx", &rest, &n) && (size = size_suffix(rest, n)) != 0) {
		i->op = OP_LDX;
	} else if (has_prefix(name, len, "stx", &rest, &n) && (size = size_suffix(rest, n)) != 0) {
		i->op = OP_STX;
	} else if (has_prefix(name, len, "st", &rest, &n) && (size = size_suffix(rest, n)) != 0) {
		i->op = OP_ST;
	} else if (has_prefix(name, len, "ldabs", &rest, &n) && (size = size_suffix(rest, n)) != 0) {
		i->op = OP_LD_ABS;
	} else if (has_prefix(name, len, "ldind", &rest, &n) && (size = size_suffix(rest, n)) != 0) {
		i->op = OP_LD_IND;
	} else {
		*handled = false;
		return true;
	}
	i->width = (u8)size;
	switch ((enum op)i->op) {
	case OP_STX: return bracket_memory(a, &i->dst, i) && asm_expect(a, ",") && asm_reg(a, 0, &i->src);
	case OP_ST:
		if (!bracket_memory(a, &i->dst, i) || !asm_expect(a, ",") || !asm_immediate(a, size == 8 ? 64 : 32, &i->imm))
			return false;
		i->imm = size == 8 ? i->imm : (s32)(u32)(u64)i->imm;
		return true;
	case OP_LD_IND:
		return asm_reg(a, 'r', &i->src) && (!asm_accept(a, ",") || asm_signed(a, INT32_MIN, INT32_MAX, &i->imm));
	case OP_LD_ABS: return asm_signed(a, INT32_MIN, INT32_MAX, &i->imm);
	default: return asm_reg(a, 0, &i->dst) && asm_expect(a, ",") && bracket_memory(a, &i->src, i);
	}
}

static bool mnemonic_operation(struct parser *a, struct insn *i, const char *name, size_t len, bool *handled)
{
	bool narrow = len > 2 && !memcmp(name + len - 2, "32", 2);
	const struct op_info *info = NULL;
	const char *base = name;
	size_t base_len = narrow && !same_word("MOVS32", name, len) ? len - 2 : len;

	for (u32 o = 1; o < OP_COUNT && !info; o++)
		if ((op_table[o].class == OPS_ALU || op_table[o].class == OPS_JMP) && same_word(op_table[o].name, base, base_len)) {
			info = &op_table[o];
			i->op = (u8)o;
		}
	*handled = info != NULL;
	if (!info)
		return true;
	i->width = base_len != len ? 32 : 64;
	if (!asm_reg(a, 0, &i->dst))
		return false;
	if (info->flags & OPF_UNARY)
		return i->imm_src = true;
	if (!asm_expect(a, ",") || !asm_operand(a, 0, i))
		return false;
	return info->class == OPS_ALU || (asm_expect(a, ",") && asm_target(a, i, FIX_TARGET));
}

/* "lock add [r1+0], r2", "lock fetch_add32 [r1+0], r2", "lock fetch add32 ...", "lock xchg ...", "lock cmpxchg ..." */
bool asm_lock(struct parser *a, struct insn *i)
{
	bool fetch = asm_accept(a, "fetch"), narrow;
	const char *name;
	size_t len = asm_word(a, &name);

	narrow = len > 2 && !memcmp(name + len - 2, "32", 2);
	if (narrow)
		len -= 2;
	i->width = narrow ? 4 : 8;
	if (!fetch && same_word("CMPXCHG", name, len))
		i->op = OP_CMPXCHG;
	for (u32 o = 1; o < OP_COUNT && !i->op; o++) {
		const char *n = op_table[o].name;
		const char *prefix = fetch ? "FETCH_" : "ATOMIC_";
		bool strip = !strncmp(n, prefix, strlen(prefix));

		if (op_table[o].class == OPS_ATOMIC && (strip || !fetch) && same_word(strip ? n + strlen(prefix) : n, name, len))
			i->op = (u8)o;
	}
	if (!i->op)
		return asm_fail(a, "expected add, or, and, xor, fetch_add, fetch_or, fetch_and, fetch_xor, xchg or cmpxchg");
	return bracket_memory(a, &i->dst, i) && asm_expect(a, ",") && asm_reg(a, 0, &i->src);
}

/* "movsx832 r1, r2": from 8 bits to 32. As the conformance suite names sign-extending moves. */
static const struct {
	const char *text;
	u8 op, width;
} sign_extending[] = {
	{"movsx832", OP_MOVS8, 32}, {"movsx1632", OP_MOVS16, 32}, {"movsx864", OP_MOVS8, 64},
	{"movsx1664", OP_MOVS16, 64}, {"movsx3264", OP_MOVS32, 64},
};

static bool mnemonic_sign_extend(struct parser *a, struct insn *i, const char *name, size_t len, bool *handled)
{
	*handled = false;
	for (u32 k = 0; k < ARRAY_SIZE(sign_extending); k++)
		if (same_word(sign_extending[k].text, name, len)) {
			i->op = sign_extending[k].op;
			i->width = sign_extending[k].width;
			*handled = true;
			return asm_reg(a, 0, &i->dst) && asm_expect(a, ",") && asm_reg(a, 0, &i->src);
		}
	return true;
}

bool asm_mnemonic(struct parser *a, struct insn *i)
{
	const char *start = a->p, *name;
	size_t len = asm_word(a, &name);
	bool handled;
	u64 x;

	if (!mnemonic_memory(a, i, name, len, &handled) || handled)
		return !a->failed;
	if (!mnemonic_operation(a, i, name, len, &handled) || handled)
		return !a->failed;
	if (!mnemonic_sign_extend(a, i, name, len, &handled) || handled)
		return !a->failed;
	if (same_word("ja", name, len) || same_word("ja32", name, len)) {
		i->op = OP_JA;
		i->width = len == 2 ? 64 : 32;
		return asm_target(a, i, FIX_TARGET);
	}
	if (same_word("lddw", name, len)) {
		if (!asm_reg(a, 'r', &i->dst) || !asm_expect(a, ","))
			return false;
		if (!asm_pseudo(a, i, &handled) || handled)
			return !a->failed;
		i->op = OP_LD_IMM64;
		if (!asm_number(a, &x, NULL))
			return false;
		i->imm = (s64)x;
		return true;
	}
	a->p = start;
	if (asm_byteswap(a, i))
		return asm_reg(a, 0, &i->dst);
	a->p = start;
	return len ? asm_fail(a, "unknown instruction \"%.*s\"", (int)MIN(len, (size_t)40), name) : asm_fail(a, "expected an instruction");
}
