/* SPDX-License-Identifier: BSD-2-Clause */
/* Statements in the C-like form of the kernel's log and of LLVM: "r1 = *(u32 *)(r2 +8)". See asm.h. */
#include "isa/asm.h"

/* "u32" and the like: bytes, and whether signed; 0 when there is none. */
static u32 type_name(struct parser *a, bool *is_signed)
{
	static const char *const names[] = {"u8", "u16", "u32", "u64", "s8", "s16", "s32"};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (asm_accept(a, names[i])) {
			*is_signed = i >= 4;
			return 1u << (i & 3);
		}
	return 0;
}

/* "(u32 *)(r1 +8)" after the star */
static bool memory(struct parser *a, u8 *reg, struct insn *i, bool *is_signed)
{
	s64 off = 0;

	if (!asm_expect(a, "("))
		return false;
	i->width = (u8)type_name(a, is_signed);
	if (!i->width)
		return asm_fail(a, "expected a type: u8, u16, u32, u64, s8, s16 or s32");
	if (!asm_expect(a, "*") || !asm_expect(a, ")") || !asm_expect(a, "(") || !asm_reg(a, 'r', reg))
		return false;
	asm_skip(a);
	if (peek(a) != ')' && !asm_signed(a, INT16_MIN, INT16_MAX, &off))
		return false;
	i->off = (s16)off;
	return asm_expect(a, ")");
}

/* The same where only unsigned types make sense. */
static bool plain_memory(struct parser *a, u8 *reg, struct insn *i)
{
	bool is_signed = false;

	if (!memory(a, reg, i, &is_signed))
		return false;
	return !is_signed || asm_fail(a, "only loads are signed; use u%u", i->width * 8u);
}

/* LLVM's "r1 + 8" without a type, for xchg and cmpxchg */
static bool bare_memory(struct parser *a, u8 *reg, struct insn *i)
{
	s64 off = 0;

	if (!asm_reg(a, 'r', reg))
		return false;
	asm_skip(a);
	if (peek(a) != ',' && !asm_signed(a, INT16_MIN, INT16_MAX, &off))
		return false;
	i->off = (s16)off;
	return true;
}

static bool find_text(struct parser *a, enum op_class class, u8 *op)
{
	/* Longer operators first: "s>>=" before "s>", ">>=" before ">". */
	for (size_t len = 8; len > 0; len--)
		for (u32 o = 1; o < OP_COUNT; o++) {
			const struct op_info *info = &op_table[o];

			if (info->class == class && !(info->flags & (OPF_UNARY | OPF_COPY)) && strlen(info->text) == len &&
			    asm_accept(a, info->text)) {
				*op = (u8)o;
				return true;
			}
		}
	return false;
}

static bool conditional(struct parser *a, struct insn *i)
{
	char kind;

	if (!asm_try_reg(a, 0, &i->dst, &kind))
		return asm_fail(a, "expected a register after \"if\"");
	i->width = kind == 'r' ? 64 : 32;
	if (!find_text(a, OPS_JMP, &i->op))
		return asm_fail(a, "expected a comparison: == != > >= < <= s> s>= s< s<= &");
	return asm_operand(a, kind, i) && asm_expect(a, "goto") && asm_target(a, i, FIX_TARGET);
}

static bool locked(struct parser *a, struct insn *i)
{
	u8 alu_op;

	if (!asm_expect(a, "*") || !plain_memory(a, &i->dst, i))
		return false;
	for (u32 o = 1; o < OP_COUNT; o++)
		if (op_table[o].class == OPS_ATOMIC && !(op_table[o].flags & OPF_FETCH) && asm_accept(a, op_table[o].text)) {
			i->op = (u8)o;
			return asm_reg(a, 0, &i->src);
		}
	return find_text(a, OPS_ALU, &alu_op) ? asm_fail(a, "atomics are += |= &= ^=") : asm_fail(a, "expected += |= &= or ^=");
}

/* "((u64 *)(r1 +0), r2)"; bytes: the size that the operation's name gives, 0 when the type does */
static bool atomic_arguments(struct parser *a, struct insn *i, u8 *address, bool value, u32 bytes)
{
	u8 zero;

	if (!asm_expect(a, "("))
		return false;
	asm_skip(a);
	i->width = (u8)bytes;
	if (bytes && peek(a) != '(' ? !bare_memory(a, address, i) : !plain_memory(a, address, i))
		return false;
	if (bytes && i->width != bytes)
		return asm_fail(a, "the operation is of %u bits, the type of %u", bytes * 8u, i->width * 8u);
	if (!value)
		return asm_expect(a, ")");
	if (i->op == OP_CMPXCHG) {
		if (!asm_expect(a, ",") || !asm_reg(a, 0, &zero))
			return false;
		if (zero)
			return asm_fail(a, "cmpxchg compares with r0");
	}
	return asm_expect(a, ",") && asm_reg(a, 0, &i->src) && asm_expect(a, ")");
}

/* The operations that give the old value. Names as the kernel prints them ("atomic64_xchg", "atomic_fetch_add") and as
 * LLVM does ("xchg_64", "cmpxchg32_32"). */
static bool fetching(struct parser *a, struct insn *i, u8 result)
{
	static const struct {
		const char *prefix, *suffix;
		u32 bytes;
	} forms[] = {{"atomic64_", "", 8}, {"atomic_", "", 0}, {"", "32_32", 4}, {"", "_64", 8}, {"", "", 0}};
	const char *start, *name;
	u32 bytes = 0;
	size_t len;

	asm_skip(a);
	start = a->p;
	len = asm_word(a, &name);
	for (u32 f = 0; f < ARRAY_SIZE(forms) && !i->op; f++) {
		size_t before = strlen(forms[f].prefix), after = strlen(forms[f].suffix);
		size_t rest = len - before - after;

		if (len <= before + after || memcmp(name, forms[f].prefix, before) ||
		    memcmp(name + len - after, forms[f].suffix, after))
			continue;
		for (u32 o = 1; o < OP_COUNT && !i->op; o++)
			if (op_table[o].flags & OPF_FETCH && strlen(op_table[o].text) == rest &&
			    !memcmp(op_table[o].text, name + before, rest))
				i->op = (u8)o;
		if (rest == 7 && !memcmp(name + before, "cmpxchg", 7))
			i->op = OP_CMPXCHG;
		bytes = forms[f].bytes;
	}
	if (!i->op) {
		a->p = start;
		return false;
	}
	if (!atomic_arguments(a, i, &i->dst, true, bytes))
		return false;
	if (i->op == OP_CMPXCHG ? result != 0 : result != i->src)
		return asm_fail(a, i->op == OP_CMPXCHG ? "cmpxchg gives its result in r0" :
							 "the result goes to the register that is the operand");
	return true;
}

static bool packet_load(struct parser *a, struct insn *i)
{
	char kind;

	i->op = OP_LD_ABS;
	if (!asm_expect(a, "["))
		return false;
	if (asm_try_reg(a, 'r', &i->src, &kind))
		i->op = OP_LD_IND;
	asm_skip(a);
	if (peek(a) != ']' && !asm_signed(a, INT32_MIN, INT32_MAX, &i->imm))
		return false;
	return asm_expect(a, "]");
}

/* "*(u32 *)(r2 +8)" or "*(u16 *)skb[12]" on the right-hand side, after the star */
static bool load(struct parser *a, struct insn *i)
{
	const char *start;
	u32 start_line = a->line;
	bool is_signed;

	asm_skip(a);
	start = a->p;
	if (asm_accept(a, "(")) {
		i->width = (u8)type_name(a, &is_signed);
		if (i->width && asm_accept(a, "*") && asm_accept(a, ")") && asm_accept(a, "skb"))
			return i->dst == 0 ? packet_load(a, i) : asm_fail(a, "a packet load gives its result in r0");
	}
	a->p = start;
	a->line = start_line;
	if (!memory(a, &i->src, i, &is_signed))
		return false;
	i->op = is_signed ? OP_LDXS : OP_LDX;
	return true;
}

static bool sign_extend(struct parser *a, struct insn *i, char kind)
{
	bool is_signed = false;
	u32 bytes = type_name(a, &is_signed);

	if (!bytes || !is_signed)
		return asm_fail(a, "expected (s8), (s16) or (s32)");
	i->op = bytes == 1 ? OP_MOVS8 : bytes == 2 ? OP_MOVS16 : OP_MOVS32;
	return asm_expect(a, ")") && asm_reg(a, kind, &i->src);
}

static bool cast(struct parser *a, struct insn *i)
{
	s64 to, from;

	i->op = OP_ADDR_SPACE_CAST;
	if (!asm_expect(a, "(") || !asm_reg(a, 'r', &i->src) || !asm_expect(a, ","))
		return false;
	if (asm_accept(a, "dst_as") && !asm_expect(a, "="))
		return false;
	if (!asm_signed(a, 0, UINT16_MAX, &to) || !asm_expect(a, ","))
		return false;
	if (asm_accept(a, "src_as") && !asm_expect(a, "="))
		return false;
	if (!asm_signed(a, 0, UINT16_MAX, &from))
		return false;
	i->imm = (s64)(s32)((u32)to << 16 | (u32)from);
	return asm_expect(a, ")");
}

static bool assign_number(struct parser *a, struct insn *i)
{
	const char *start = a->p;
	u64 x;

	if (!asm_number(a, &x, NULL))
		return false;
	if (asm_accept(a, "ll")) {
		i->op = OP_LD_IMM64;
		i->imm = (s64)x;
		return i->width == 64 || asm_fail(a, "a 64-bit load needs an r register");
	}
	a->p = start;
	i->op = OP_MOV;
	i->imm_src = true;
	return asm_immediate(a, i->width, &i->imm);
}

static bool assignment(struct parser *a, struct insn *i, char kind)
{
	bool handled;
	char found;
	u8 same;

	if (asm_accept(a, "*"))
		return load(a, i);
	if (asm_accept(a, "("))
		return sign_extend(a, i, kind);
	if (asm_try_reg(a, kind, &i->src, &found))
		return i->op = OP_MOV, true;
	if (a->failed)
		return false;
	asm_skip(a);
	if (peek(a) == '-' && a->p + 1 < a->end && a->p[1] == kind) {
		a->p++;
		i->op = OP_NEG;
		i->imm_src = true;
		return asm_reg(a, kind, &same) && (same == i->dst || asm_fail(a, "a negation is of the register itself"));
	}
	if (asm_byteswap(a, i))
		return asm_reg(a, 0, &same) && (same == i->dst || asm_fail(a, "a byte swap is of the register itself"));
	if (asm_accept(a, "load_acquire")) {
		i->op = OP_LOAD_ACQ;
		return atomic_arguments(a, i, &i->src, false, 0);
	}
	if (asm_accept(a, "addr_space_cast"))
		return cast(a, i);
	if (!asm_pseudo(a, i, &handled) || handled)
		return !a->failed;
	if (is_digit(peek(a)) || peek(a) == '-' || peek(a) == '+')
		return assign_number(a, i);
	i->imm_src = false;
	if (fetching(a, i, i->dst))
		return true;
	return asm_fail(a, "expected a register, a number, *(TYPE *)(rN +OFF), or an operation");
}

static bool register_statement(struct parser *a, struct insn *i, char kind)
{
	i->width = kind == 'r' ? 64 : 32;
	if (asm_accept(a, "==") || a->p >= a->end)
		return asm_fail(a, "expected an assignment");
	if (find_text(a, OPS_ALU, &i->op))
		return asm_operand(a, kind, i);
	if (!asm_accept(a, "="))
		return asm_fail(a, "expected = or an operator such as += or s>>=");
	return assignment(a, i, kind);
}

static bool store(struct parser *a, struct insn *i)
{
	char found;

	if (!plain_memory(a, &i->dst, i) || !asm_expect(a, "="))
		return false;
	if (asm_try_reg(a, 0, &i->src, &found))
		return i->op = OP_STX, true;
	if (a->failed)
		return false;
	i->op = OP_ST;
	if (i->width == 8)
		return asm_immediate(a, 64, &i->imm);
	if (!asm_immediate(a, 32, &i->imm))
		return false;
	i->imm = (s32)(u32)(u64)i->imm;
	return true;
}

static bool call(struct parser *a, struct insn *i)
{
	s64 x = 0;

	i->op = OP_CALL;
	if (asm_accept(a, "local"))
		return i->pseudo = CALL_SUBPROG, asm_target(a, i, FIX_TARGET);
	if (asm_accept(a, "runtime"))
		return i->pseudo = CALL_KFUNC, asm_signed(a, INT32_MIN, INT32_MAX, &i->imm);
	(void)asm_accept(a, "helper");
	if (asm_accept(a, "kernel-function#")) {
		i->pseudo = CALL_KFUNC;
		if (!asm_signed(a, INT32_MIN, INT32_MAX, &i->imm))
			return false;
		if (asm_accept(a, "fd_idx") && !asm_signed(a, INT16_MIN, INT16_MAX, &x))
			return false;
		i->off = (s16)x;
		return true;
	}
	asm_skip(a);
	if (is_digit(peek(a)) || peek(a) == '-')
		return asm_signed(a, INT32_MIN, INT32_MAX, &i->imm);
	if (a->end - a->p > 4 && !memcmp(a->p, "bpf_", 4)) {
		const char *start = a->p, *name;

		(void)asm_word(a, &name);
		if (peek(a) == '#') {
			a->p++;
			return asm_signed(a, INT32_MIN, INT32_MAX, &i->imm);
		}
		a->p = start;
	}
	i->pseudo = CALL_SUBPROG;
	return asm_target(a, i, FIX_TARGET);
}

bool asm_statement(struct parser *a, struct insn *i)
{
	char kind;

	if (asm_try_reg(a, 0, &i->dst, &kind))
		return register_statement(a, i, kind);
	if (a->failed)
		return false;
	if (asm_accept(a, "*"))
		return store(a, i);
	if (asm_accept(a, "if"))
		return conditional(a, i);
	if (asm_accept(a, "goto"))
		return i->op = OP_JA, i->width = 64, asm_target(a, i, FIX_TARGET);
	if (asm_accept(a, "gotol"))
		return i->op = OP_JA, i->width = 32, asm_target(a, i, FIX_TARGET);
	if (asm_accept(a, "may_goto"))
		return i->op = OP_MAY_GOTO, asm_target(a, i, FIX_TARGET);
	if (asm_accept(a, "exit")) {
		s64 off = 0;

		i->op = OP_EXIT;
		if (asm_accept(a, "off") && !asm_signed(a, INT16_MIN, INT16_MAX, &off))
			return false;
		i->off = (s16)off;
		return true;
	}
	if (asm_accept(a, "call"))
		return call(a, i);
	if (asm_accept(a, "store_release"))
		return i->op = OP_STORE_REL, atomic_arguments(a, i, &i->dst, true, 0);
	if (asm_accept(a, "lock")) {
		asm_skip(a);
		return peek(a) == '*' ? locked(a, i) : asm_lock(a, i);
	}
	if (asm_accept(a, "callx"))
		return asm_fail(a, "calls through a register are not supported; call a function");
	return asm_mnemonic(a, i);
}
