/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Assembler: the C-like text of the kernel's log and of LLVM, and the mnemonic form ("ldxw r1, [r2+8]").
 *
 * Key idea: each statement becomes one decoded struct insn and insn_encode() makes the bytes, so that encodings are
 * known in one place; what the encoder gives is decoded again at the end, which catches whatever has no encoding.
 * Statements end at a newline or a semicolon; comments begin with // or with # after white space.
 */
#include "isa/isa.h"

#include <stdio.h>

enum fixup_kind { FIX_NONE, FIX_TARGET, FIX_FUNC };

struct label {
	const char *name;
	u32 len, at;
};

struct fixup {
	const char *name;
	u32 len, at, line, column;
	enum fixup_kind kind;
};

struct parser {
	const char *p, *end, *line_start;
	u32 line;
	struct arena *arena;
	VEC(struct insn) insns;
	VEC(u32) lines; /* line of each slot, for errors found after parsing */
	VEC(struct label) labels;
	VEC(struct fixup) fixups;
	struct asm_error *err;
	bool failed, no_memory;
};

/* ---- reading ---- */

PRINTF_LIKE(2, 3) static bool fail(struct parser *a, const char *fmt, ...)
{
	va_list ap;

	if (a->failed)
		return false;
	a->failed = true;
	a->err->line = a->line;
	a->err->column = (u32)(a->p - a->line_start) + 1;
	va_start(ap, fmt);
	vsnprintf(a->err->text, sizeof(a->err->text), fmt, ap);
	va_end(ap);
	return false;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '$';
}

static char peek(const struct parser *a)
{
	return a->p < a->end ? *a->p : '\n';
}

static void skip(struct parser *a)
{
	while (a->p < a->end && is_space(*a->p))
		a->p++;
	if (a->p < a->end && ((*a->p == '#' && (a->p == a->line_start || is_space(a->p[-1]))) ||
			      (*a->p == '/' && a->p + 1 < a->end && a->p[1] == '/')))
		while (a->p < a->end && *a->p != '\n')
			a->p++;
}

/* Consumes the text when it comes next; a text that ends in a word character must not go on as a longer word. */
static bool accept(struct parser *a, const char *text)
{
	size_t n = strlen(text);

	skip(a);
	if ((size_t)(a->end - a->p) < n || memcmp(a->p, text, n))
		return false;
	if (is_word(text[n - 1]) && a->p + n < a->end && is_word(a->p[n]))
		return false;
	a->p += n;
	return true;
}

static bool expect(struct parser *a, const char *text)
{
	return accept(a, text) || fail(a, "expected \"%s\"", text);
}

static u32 word(struct parser *a, const char **start)
{
	skip(a);
	*start = a->p;
	while (a->p < a->end && is_word(*a->p))
		a->p++;
	return (u32)(a->p - *start);
}

static bool at_end(struct parser *a)
{
	skip(a);
	return a->p >= a->end || *a->p == '\n' || *a->p == ';';
}

/* Sign, then decimal or hexadecimal digits. A minus sign gives the two's complement. */
static bool number(struct parser *a, u64 *out, bool *negative)
{
	u64 x = 0, base = 10;
	bool minus, any = false;

	skip(a);
	minus = peek(a) == '-';
	if (minus || peek(a) == '+')
		a->p++;
	skip(a);
	if (a->end - a->p > 2 && a->p[0] == '0' && (a->p[1] | 32) == 'x') {
		a->p += 2;
		base = 16;
	}
	for (; a->p < a->end; a->p++, any = true) {
		char c = *a->p;
		u64 digit = is_digit(c) ? (u64)(c - '0') : (c | 32) >= 'a' && (c | 32) <= 'f' ? (u64)((c | 32) - 'a' + 10) : 99;

		if (digit >= base)
			break;
		if (__builtin_mul_overflow(x, base, &x) || __builtin_add_overflow(x, digit, &x))
			return fail(a, "the number does not fit in 64 bits");
	}
	if (!any)
		return fail(a, "expected a number");
	if (minus && x > (u64)1 << 63)
		return fail(a, "the number does not fit in 64 bits");
	*out = minus ? 0 - x : x;
	if (negative)
		*negative = minus;
	return true;
}

static bool signed_number(struct parser *a, s64 low, s64 high, s64 *out)
{
	bool minus;
	u64 x;

	if (!number(a, &x, &minus))
		return false;
	*out = (s64)x;
	if ((!minus && *out < 0) || *out < low || *out > high)
		return fail(a, "the number must be from %lld to %lld", (long long)low, (long long)high);
	return true;
}

/* 32-bit immediate of an operation: 32-bit operations also take it unsigned. */
static bool immediate(struct parser *a, u32 width, s64 *out)
{
	bool minus;
	u64 x;
	s64 v;

	if (!number(a, &x, &minus))
		return false;
	v = (s64)x;
	if (minus ? v < INT32_MIN : x > (width == 32 ? (u64)UINT32_MAX : (u64)INT32_MAX))
		return fail(a, "immediate does not fit in 32 bits; load it first: rN = %s ll", "VALUE");
	*out = width == 32 ? (s64)(u32)x : v;
	return true;
}

/* rN or wN, also %rN. kind: 'r', 'w', or 0 for either. Consumes nothing when there is no register. */
static bool try_reg(struct parser *a, char kind, u8 *reg, char *found)
{
	const char *p;
	unsigned n = 0;

	skip(a);
	p = a->p;
	if (p < a->end && *p == '%')
		p++;
	if (a->end - p < 2 || (*p != 'r' && *p != 'w') || (kind && *p != kind) || !is_digit(p[1]))
		return false;
	*found = *p++;
	for (; p < a->end && is_digit(*p) && n < 100; p++)
		n = n * 10 + (unsigned)(*p - '0');
	if (p < a->end && is_word(*p))
		return false;
	if (n > 15)
		return fail(a, "register %c%u does not exist: r0 to r10", *found, n);
	a->p = p;
	*reg = (u8)n;
	return true;
}

static bool reg_of(struct parser *a, char kind, u8 *reg)
{
	char found;

	return try_reg(a, kind, reg, &found) || fail(a, "expected a register%s", kind == 'w' ? " (w0 to w10)" : kind ? " (r0 to r10)" : "");
}

/* Register or immediate: the second operand. */
static bool operand(struct parser *a, char kind, struct insn *i)
{
	char found;

	if (try_reg(a, kind, &i->src, &found))
		return true;
	if (a->failed)
		return false;
	i->imm_src = true;
	return immediate(a, i->width, &i->imm);
}

/* "u32" and the like: bytes, and whether signed; 0 when there is none. */
static u32 type_name(struct parser *a, bool *is_signed)
{
	static const char *const names[] = {"u8", "u16", "u32", "u64", "s8", "s16", "s32"};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (accept(a, names[i])) {
			*is_signed = i >= 4;
			return 1u << (i & 3);
		}
	return 0;
}

/* "(u32 *)(r1 +8)" after the star */
static bool memory(struct parser *a, u8 *reg, struct insn *i, bool *is_signed)
{
	s64 off = 0;

	if (!expect(a, "("))
		return false;
	i->width = (u8)type_name(a, is_signed);
	if (!i->width)
		return fail(a, "expected a type: u8, u16, u32, u64, s8, s16 or s32");
	if (!expect(a, "*") || !expect(a, ")") || !expect(a, "(") || !reg_of(a, 'r', reg))
		return false;
	skip(a);
	if (peek(a) != ')' && !signed_number(a, INT16_MIN, INT16_MAX, &off))
		return false;
	i->off = (s16)off;
	return expect(a, ")");
}

/* ---- jump targets ---- */

static bool target(struct parser *a, struct insn *i, enum fixup_kind kind)
{
	const char *name;
	struct fixup *f;
	s64 delta;

	(void)accept(a, "pc");
	skip(a);
	if (peek(a) == '+' || peek(a) == '-' || is_digit(peek(a))) {
		if (!signed_number(a, INT32_MIN, INT32_MAX, &delta))
			return false;
		delta += (s64)a->insns.n + 1;
		if (kind == FIX_FUNC)
			i->imm = delta - (s64)a->insns.n - 1;
		else if (delta < 0 || delta > INT32_MAX)
			return fail(a, "the target lies before the program");
		else
			i->target = (s32)delta;
		return true;
	}
	f = vec_push(a->arena->mem, &a->fixups);
	if (!f)
		return a->no_memory = true, fail(a, "out of memory");
	*f = (struct fixup){.at = a->insns.n, .line = a->line, .column = (u32)(a->p - a->line_start) + 1, .kind = kind};
	f->len = word(a, &name);
	f->name = name;
	return f->len || fail(a, "expected a label, +N or -N");
}

/* ---- C-like statements ---- */

static bool find_text(struct parser *a, enum op_class class, u8 *op)
{
	/* Longer operators first: "s>>=" before "s>", ">>=" before ">". */
	for (size_t len = 8; len > 0; len--)
		for (u32 o = 1; o < OP_COUNT; o++) {
			const struct op_info *info = &op_table[o];

			if (info->class == class && !(info->flags & (OPF_UNARY | OPF_COPY)) && strlen(info->text) == len &&
			    accept(a, info->text)) {
				*op = (u8)o;
				return true;
			}
		}
	return false;
}

static bool conditional(struct parser *a, struct insn *i)
{
	char kind;

	if (!try_reg(a, 0, &i->dst, &kind))
		return fail(a, "expected a register after \"if\"");
	i->width = kind == 'r' ? 64 : 32;
	if (!find_text(a, OPS_JMP, &i->op))
		return fail(a, "expected a comparison: == != > >= < <= s> s>= s< s<= &");
	return operand(a, kind, i) && expect(a, "goto") && target(a, i, FIX_TARGET);
}

static bool locked(struct parser *a, struct insn *i)
{
	bool is_signed;
	u8 alu_op;

	if (!expect(a, "*") || !memory(a, &i->dst, i, &is_signed))
		return false;
	for (u32 o = 1; o < OP_COUNT; o++)
		if (op_table[o].class == OPS_ATOMIC && !(op_table[o].flags & OPF_FETCH) && accept(a, op_table[o].text)) {
			i->op = (u8)o;
			return reg_of(a, 0, &i->src);
		}
	return find_text(a, OPS_ALU, &alu_op) ? fail(a, "atomics are += |= &= ^=") : fail(a, "expected += |= &= or ^=");
}

/* "((u64 *)(r1 +0), r2)" */
static bool atomic_arguments(struct parser *a, struct insn *i, u8 *address, bool value)
{
	bool is_signed;
	u8 zero;

	if (!expect(a, "(") || !memory(a, address, i, &is_signed))
		return false;
	if (!value)
		return expect(a, ")");
	if (i->op == OP_CMPXCHG && (!expect(a, ",") || !reg_of(a, 0, &zero)))
		return false;
	return expect(a, ",") && reg_of(a, 0, i->op == OP_STORE_REL ? &i->src : &i->src) && expect(a, ")");
}

/* "fetch_add", "xchg", "cmpxchg" behind "atomic_", "atomic64_", or bare with a size: "xchg_64", "cmpxchg32_32" */
static bool fetching(struct parser *a, struct insn *i, u8 result)
{
	static const char *const prefixes[] = {"atomic64_", "atomic_", ""};
	const char *start = a->p, *name;
	u32 len;

	skip(a);
	start = a->p;
	len = word(a, &name);
	for (u32 p = 0; p < ARRAY_SIZE(prefixes); p++) {
		size_t skip_len = strlen(prefixes[p]);
		const char *rest = name + skip_len;
		size_t rest_len = len - skip_len;

		if (len <= skip_len || memcmp(name, prefixes[p], skip_len))
			continue;
		while (!skip_len && rest_len && (is_digit(rest[rest_len - 1]) || rest[rest_len - 1] == '_'))
			rest_len--;
		for (u32 o = 1; o < OP_COUNT && !i->op; o++)
			if (op_table[o].flags & OPF_FETCH && strlen(op_table[o].text) == rest_len &&
			    !memcmp(op_table[o].text, rest, rest_len))
				i->op = (u8)o;
		if (rest_len == 7 && !memcmp(rest, "cmpxchg", 7))
			i->op = OP_CMPXCHG;
		if (i->op)
			break;
	}
	if (!i->op) {
		a->p = start;
		return false;
	}
	if (!atomic_arguments(a, i, &i->dst, true))
		return false;
	if (i->op == OP_CMPXCHG ? result != 0 : result != i->src)
		return fail(a, i->op == OP_CMPXCHG ? "cmpxchg gives its result in r0" :
						     "the result goes to the register that is the operand");
	return true;
}

static bool bracketed(struct parser *a, const char *name, s64 *low, s64 *high, u8 idx, u8 *pseudo)
{
	(void)name;
	if (!expect(a, "["))
		return false;
	if (accept(a, "idx"))
		*pseudo = idx;
	else if (!accept(a, "fd") && !accept(a, "id"))
		return fail(a, "expected fd:, idx: or id:");
	if (!expect(a, ":") || !signed_number(a, 0, UINT32_MAX, low))
		return false;
	if (accept(a, ",") && (!expect(a, "fd:") || !signed_number(a, 0, UINT32_MAX, high)))
		return false;
	return expect(a, "]");
}

/* r1 = map[fd:5], map[idx:0]+16, btf[id:7], func[+3] or func[name] */
static bool pseudo(struct parser *a, struct insn *i, bool *handled)
{
	s64 low = 0, high = 0;

	*handled = true;
	if (accept(a, "map")) {
		i->pseudo = PSEUDO_MAP_FD;
		if (!bracketed(a, "map", &low, &high, PSEUDO_MAP_IDX, &i->pseudo))
			return false;
		if (accept(a, "+")) {
			i->pseudo = i->pseudo == PSEUDO_MAP_FD ? PSEUDO_MAP_VALUE : PSEUDO_MAP_IDX_VALUE;
			if (!signed_number(a, 0, UINT32_MAX, &high))
				return false;
		}
	} else if (accept(a, "btf")) {
		i->pseudo = PSEUDO_BTF_ID;
		if (!bracketed(a, "btf", &low, &high, PSEUDO_BTF_ID, &i->pseudo))
			return false;
	} else if (accept(a, "func")) {
		i->pseudo = PSEUDO_FUNC;
		if (!expect(a, "[") || !target(a, i, FIX_FUNC) || !expect(a, "]"))
			return false;
		low = i->imm;
	} else {
		*handled = false;
		return true;
	}
	if (accept(a, "high") && !signed_number(a, 0, UINT32_MAX, &high))
		return false;
	i->op = OP_LD_IMM64;
	i->imm = (s64)((u64)(u32)low | (u64)high << 32);
	return true;
}

static bool packet_load(struct parser *a, struct insn *i)
{
	char kind;

	i->op = OP_LD_ABS;
	if (!expect(a, "["))
		return false;
	if (try_reg(a, 'r', &i->src, &kind))
		i->op = OP_LD_IND;
	skip(a);
	if (peek(a) != ']' && !signed_number(a, INT32_MIN, INT32_MAX, &i->imm))
		return false;
	return expect(a, "]");
}

/* "*(u32 *)(r2 +8)" or "*(u16 *)skb[12]" on the right-hand side, after the star */
static bool load(struct parser *a, struct insn *i)
{
	const char *start;
	u32 start_line = a->line;
	bool is_signed;

	skip(a);
	start = a->p;
	if (accept(a, "(")) {
		i->width = (u8)type_name(a, &is_signed);
		if (i->width && accept(a, "*") && accept(a, ")") && accept(a, "skb"))
			return i->dst == 0 ? packet_load(a, i) : fail(a, "a packet load gives its result in r0");
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
		return fail(a, "expected (s8), (s16) or (s32)");
	i->op = bytes == 1 ? OP_MOVS8 : bytes == 2 ? OP_MOVS16 : OP_MOVS32;
	return expect(a, ")") && reg_of(a, kind, &i->src);
}

static bool cast(struct parser *a, struct insn *i)
{
	s64 to, from;

	i->op = OP_ADDR_SPACE_CAST;
	if (!expect(a, "(") || !reg_of(a, 'r', &i->src) || !expect(a, ","))
		return false;
	if (accept(a, "dst_as") && !expect(a, "="))
		return false;
	if (!signed_number(a, 0, UINT16_MAX, &to) || !expect(a, ","))
		return false;
	if (accept(a, "src_as") && !expect(a, "="))
		return false;
	if (!signed_number(a, 0, UINT16_MAX, &from))
		return false;
	i->imm = (s64)(s32)((u32)to << 16 | (u32)from);
	return expect(a, ")");
}

static const struct {
	const char *text;
	u8 op, width;
} byteswaps[] = {
	{"le16", OP_LE, 16},       {"le32", OP_LE, 32},       {"le64", OP_LE, 64},
	{"be16", OP_BE, 16},       {"be32", OP_BE, 32},       {"be64", OP_BE, 64},
	{"bswap16", OP_BSWAP, 16}, {"bswap32", OP_BSWAP, 32}, {"bswap64", OP_BSWAP, 64},
	{"swap16", OP_BSWAP, 16},  {"swap32", OP_BSWAP, 32},  {"swap64", OP_BSWAP, 64},
};

static bool byteswap(struct parser *a, struct insn *i)
{
	for (u32 k = 0; k < ARRAY_SIZE(byteswaps); k++)
		if (accept(a, byteswaps[k].text)) {
			i->op = byteswaps[k].op;
			i->width = byteswaps[k].width;
			i->imm_src = true;
			return true;
		}
	return false;
}

static bool assign_number(struct parser *a, struct insn *i)
{
	const char *start = a->p;
	u64 x;

	if (!number(a, &x, NULL))
		return false;
	if (accept(a, "ll")) {
		i->op = OP_LD_IMM64;
		i->imm = (s64)x;
		return i->width == 64 || fail(a, "a 64-bit load needs an r register");
	}
	a->p = start;
	i->op = OP_MOV;
	i->imm_src = true;
	return immediate(a, i->width, &i->imm);
}

static bool assignment(struct parser *a, struct insn *i, char kind)
{
	bool handled;
	char found;
	u8 same;

	if (accept(a, "*"))
		return load(a, i);
	if (accept(a, "("))
		return sign_extend(a, i, kind);
	if (try_reg(a, kind, &i->src, &found))
		return i->op = OP_MOV, true;
	if (a->failed)
		return false;
	skip(a);
	if (peek(a) == '-' && a->p + 1 < a->end && a->p[1] == kind) {
		a->p++;
		i->op = OP_NEG;
		i->imm_src = true;
		return reg_of(a, kind, &same) && (same == i->dst || fail(a, "a negation is of the register itself"));
	}
	if (byteswap(a, i))
		return reg_of(a, 0, &same) && (same == i->dst || fail(a, "a byte swap is of the register itself"));
	if (accept(a, "load_acquire")) {
		i->op = OP_LOAD_ACQ;
		return atomic_arguments(a, i, &i->src, false);
	}
	if (accept(a, "addr_space_cast"))
		return cast(a, i);
	if (!pseudo(a, i, &handled) || handled)
		return !a->failed;
	if (is_digit(peek(a)) || peek(a) == '-' || peek(a) == '+')
		return assign_number(a, i);
	i->imm_src = false;
	if (fetching(a, i, i->dst))
		return true;
	return fail(a, "expected a register, a number, *(TYPE *)(rN +OFF), or an operation");
}

static bool register_statement(struct parser *a, struct insn *i, char kind)
{
	i->width = kind == 'r' ? 64 : 32;
	if (accept(a, "==") || a->p >= a->end)
		return fail(a, "expected an assignment");
	if (find_text(a, OPS_ALU, &i->op))
		return operand(a, kind, i);
	if (!accept(a, "="))
		return fail(a, "expected = or an operator such as += or s>>=");
	return assignment(a, i, kind);
}

static bool store(struct parser *a, struct insn *i)
{
	bool is_signed;
	char found;

	if (!memory(a, &i->dst, i, &is_signed) || !expect(a, "="))
		return false;
	if (try_reg(a, 0, &i->src, &found))
		return i->op = OP_STX, true;
	if (a->failed)
		return false;
	i->op = OP_ST;
	if (i->width == 8)
		return immediate(a, 64, &i->imm);
	if (!immediate(a, 32, &i->imm))
		return false;
	i->imm = (s32)(u32)(u64)i->imm;
	return true;
}

static bool call(struct parser *a, struct insn *i)
{
	s64 x = 0;

	i->op = OP_CALL;
	if (accept(a, "local"))
		return i->pseudo = CALL_SUBPROG, target(a, i, FIX_TARGET);
	if (accept(a, "kernel-function#")) {
		i->pseudo = CALL_KFUNC;
		if (!signed_number(a, INT32_MIN, INT32_MAX, &i->imm))
			return false;
		if (accept(a, "fd_idx") && !signed_number(a, INT16_MIN, INT16_MAX, &x))
			return false;
		i->off = (s16)x;
		return true;
	}
	skip(a);
	if (is_digit(peek(a)) || peek(a) == '-')
		return signed_number(a, INT32_MIN, INT32_MAX, &i->imm);
	if (a->end - a->p > 4 && !memcmp(a->p, "bpf_", 4)) {
		const char *start = a->p, *name;

		(void)word(a, &name);
		if (peek(a) == '#') {
			a->p++;
			return signed_number(a, INT32_MIN, INT32_MAX, &i->imm);
		}
		a->p = start;
	}
	i->pseudo = CALL_SUBPROG;
	return target(a, i, FIX_TARGET);
}

/* ---- mnemonics: "add32 r1, 5", "ldxw r1, [r2+8]", "jsgt r1, 5, +3" ---- */

static bool bracket_memory(struct parser *a, u8 *reg, struct insn *i)
{
	s64 off = 0;

	if (!expect(a, "[") || !reg_of(a, 'r', reg))
		return false;
	skip(a);
	if (peek(a) != ']' && !signed_number(a, INT16_MIN, INT16_MAX, &off))
		return false;
	i->off = (s16)off;
	return expect(a, "]");
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
	case OP_STX: return bracket_memory(a, &i->dst, i) && expect(a, ",") && reg_of(a, 0, &i->src);
	case OP_ST:
		if (!bracket_memory(a, &i->dst, i) || !expect(a, ",") || !immediate(a, size == 8 ? 64 : 32, &i->imm))
			return false;
		i->imm = size == 8 ? i->imm : (s32)(u32)(u64)i->imm;
		return true;
	case OP_LD_IND:
		return reg_of(a, 'r', &i->src) && (!accept(a, ",") || signed_number(a, INT32_MIN, INT32_MAX, &i->imm));
	case OP_LD_ABS: return signed_number(a, INT32_MIN, INT32_MAX, &i->imm);
	default: return reg_of(a, 0, &i->dst) && expect(a, ",") && bracket_memory(a, &i->src, i);
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
	if (!reg_of(a, 0, &i->dst))
		return false;
	if (info->flags & OPF_UNARY)
		return i->imm_src = true;
	if (!expect(a, ",") || !operand(a, 0, i))
		return false;
	return info->class == OPS_ALU || (expect(a, ",") && target(a, i, FIX_TARGET));
}

/* lock add [r1+0], r2; lock fetch_add32 [...], r2; lock xchg; lock cmpxchg */
static bool mnemonic_lock(struct parser *a, struct insn *i)
{
	const char *name;
	size_t len = word(a, &name);
	bool narrow = len > 2 && !memcmp(name + len - 2, "32", 2);

	if (narrow)
		len -= 2;
	i->width = narrow ? 4 : 8;
	if (same_word("CMPXCHG", name, len))
		i->op = OP_CMPXCHG;
	for (u32 o = 1; o < OP_COUNT && !i->op; o++) {
		const char *n = op_table[o].name;

		if (op_table[o].class == OPS_ATOMIC && same_word(strncmp(n, "ATOMIC_", 7) ? n : n + 7, name, len))
			i->op = (u8)o;
	}
	if (!i->op)
		return fail(a, "expected add, or, and, xor, fetch_add, fetch_or, fetch_and, fetch_xor, xchg or cmpxchg");
	return bracket_memory(a, &i->dst, i) && expect(a, ",") && reg_of(a, 0, &i->src);
}

static bool mnemonic(struct parser *a, struct insn *i)
{
	const char *start = a->p, *name;
	size_t len = word(a, &name);
	bool handled;
	u64 x;

	if (!mnemonic_memory(a, i, name, len, &handled) || handled)
		return !a->failed;
	if (!mnemonic_operation(a, i, name, len, &handled) || handled)
		return !a->failed;
	if (same_word("ja", name, len) || same_word("ja32", name, len)) {
		i->op = OP_JA;
		i->width = len == 2 ? 64 : 32;
		return target(a, i, FIX_TARGET);
	}
	if (same_word("lddw", name, len)) {
		if (!reg_of(a, 'r', &i->dst) || !expect(a, ","))
			return false;
		if (!pseudo(a, i, &handled) || handled)
			return !a->failed;
		i->op = OP_LD_IMM64;
		if (!number(a, &x, NULL))
			return false;
		i->imm = (s64)x;
		return true;
	}
	a->p = start;
	if (byteswap(a, i))
		return reg_of(a, 0, &i->dst);
	a->p = start;
	return len ? fail(a, "unknown instruction \"%.*s\"", (int)MIN(len, (size_t)40), name) : fail(a, "expected an instruction");
}

static bool statement(struct parser *a, struct insn *i)
{
	char kind;

	if (try_reg(a, 0, &i->dst, &kind))
		return register_statement(a, i, kind);
	if (a->failed)
		return false;
	if (accept(a, "*"))
		return store(a, i);
	if (accept(a, "if"))
		return conditional(a, i);
	if (accept(a, "goto"))
		return i->op = OP_JA, i->width = 64, target(a, i, FIX_TARGET);
	if (accept(a, "gotol"))
		return i->op = OP_JA, i->width = 32, target(a, i, FIX_TARGET);
	if (accept(a, "may_goto"))
		return i->op = OP_MAY_GOTO, target(a, i, FIX_TARGET);
	if (accept(a, "exit"))
		return i->op = OP_EXIT, true;
	if (accept(a, "call"))
		return call(a, i);
	if (accept(a, "store_release"))
		return i->op = OP_STORE_REL, atomic_arguments(a, i, &i->dst, true);
	if (accept(a, "lock")) {
		skip(a);
		return peek(a) == '*' ? locked(a, i) : mnemonic_lock(a, i);
	}
	return mnemonic(a, i);
}

/* ---- the whole ---- */

static bool push(struct parser *a, const struct insn *i)
{
	u32 slots = i->op == OP_LD_IMM64 ? 2 : 1;

	for (u32 k = 0; k < slots; k++) {
		struct insn *to = vec_push(a->arena->mem, &a->insns);
		u32 *line = vec_push(a->arena->mem, &a->lines);

		if (!to || !line)
			return a->no_memory = true, fail(a, "out of memory");
		*to = k ? (struct insn){.op = OP_PAD, .target = -1} : *i;
		*line = a->line;
	}
	return true;
}

/* "name:" in front of a statement */
static bool take_label(struct parser *a)
{
	const char *start, *name;
	struct label *l;
	u32 len;

	skip(a);
	start = a->p;
	len = word(a, &name);
	if (!len || peek(a) != ':' || is_digit(*name)) {
		a->p = start;
		return false;
	}
	a->p++;
	l = vec_push(a->arena->mem, &a->labels);
	if (!l) {
		a->no_memory = true;
		return fail(a, "out of memory");
	}
	*l = (struct label){name, len, a->insns.n};
	return true;
}

static bool parse_all(struct parser *a)
{
	while (a->p < a->end) {
		struct insn i = {.target = -1};

		if (at_end(a)) {
			if (a->p < a->end && *a->p++ == '\n') {
				a->line++;
				a->line_start = a->p;
			}
			continue;
		}
		if (take_label(a))
			continue;
		if (a->failed || !statement(a, &i))
			return false;
		if (!at_end(a))
			return fail(a, "unexpected text after the instruction");
		if (!push(a, &i))
			return false;
	}
	return true;
}

static u32 label_hash(const char *name, u32 len)
{
	u32 h = 2166136261u;

	for (u32 k = 0; k < len; k++)
		h = (h ^ (u8)name[k]) * 16777619u;
	return h;
}

/* Labels in an open-addressed table: many labels and many jumps stay linear. */
static bool resolve(struct parser *a)
{
	u32 size = (u32)round_up_pow2((u64)a->labels.n * 2 + 1);
	u32 *table = arena_array(a->arena, size, sizeof(u32));

	if (!table)
		return a->no_memory = true, fail(a, "out of memory");
	for (u32 k = 0; k < a->labels.n; k++) {
		const struct label *l = &a->labels.at[k];
		u32 h = label_hash(l->name, l->len) & (size - 1);

		for (; table[h]; h = (h + 1) & (size - 1)) {
			const struct label *o = &a->labels.at[table[h] - 1];

			if (o->len == l->len && !memcmp(o->name, l->name, l->len))
				return fail(a, "label \"%.*s\" is defined twice", (int)MIN(l->len, 60u), l->name);
		}
		table[h] = k + 1;
	}
	vec_each(f, &a->fixups) {
		u32 h = label_hash(f->name, f->len) & (size - 1);
		const struct label *l = NULL;
		struct insn *i = &a->insns.at[f->at];

		for (; table[h] && !l; h = (h + 1) & (size - 1))
			if (a->labels.at[table[h] - 1].len == f->len && !memcmp(a->labels.at[table[h] - 1].name, f->name, f->len))
				l = &a->labels.at[table[h] - 1];
		if (!l) {
			fail(a, "label \"%.*s\" is not defined", (int)MIN(f->len, 60u), f->name);
			a->err->line = f->line;
			a->err->column = f->column;
			return false;
		}
		if (f->kind == FIX_FUNC)
			i->imm = (s64)(u64)(u32)((s32)l->at - (s32)f->at - 1);
		else
			i->target = (s32)l->at;
	}
	return true;
}

/* Encodes, checks that jumps fit, and decodes again: what has no encoding is refused with its line. */
static bool finish(struct parser *a, struct raw_insn **out)
{
	struct raw_insn *raw = arena_array(a->arena, a->insns.n + 1, sizeof(*raw));
	struct insn *again = arena_array(a->arena, a->insns.n + 1, sizeof(*again));
	struct insn_error err;

	if (!raw || !again)
		return a->no_memory = true, fail(a, "out of memory");
	for (u32 at = 0; at < a->insns.n; at++) {
		const struct insn *i = &a->insns.at[at];
		s64 delta = (s64)i->target - at - 1;
		bool near = op_table[i->op].class == OPS_JMP || i->op == OP_MAY_GOTO || (i->op == OP_JA && i->width == 64);

		a->line = a->lines.at[at];
		a->p = a->line_start;
		if (near && (delta < INT16_MIN || delta > INT16_MAX))
			return fail(a, "the target is %lld instructions away, beyond 16 bits; use gotol", (long long)delta);
		at += insn_encode(i, at, raw + at) - 1;
	}
	if (insns_decode(raw, a->insns.n, again, &err)) {
		a->line = a->insns.n ? a->lines.at[MIN(err.insn, a->insns.n - 1)] : 1;
		a->p = a->line_start;
		return fail(a, "%s", err.text);
	}
	*out = raw;
	return true;
}

int asm_parse(struct arena *arena, const char *text, size_t len, struct raw_insn **out, u32 *n, struct asm_error *err)
{
	struct asm_error ignored;
	struct parser a = {.p = text, .end = text + len, .line_start = text, .line = 1, .arena = arena, .err = err ? err : &ignored};
	bool ok;

	*a.err = (struct asm_error){0};
	ok = parse_all(&a) && resolve(&a) && finish(&a, out);
	*n = a.insns.n;
	vec_free(arena->mem, &a.insns);
	vec_free(arena->mem, &a.lines);
	vec_free(arena->mem, &a.labels);
	vec_free(arena->mem, &a.fixups);
	return ok ? 0 : a.no_memory ? -ENOMEM : -EINVAL;
}
