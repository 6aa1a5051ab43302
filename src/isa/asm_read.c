/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading text: words, numbers, registers, operands, jump targets, pseudo loads. See asm.h. */
#include "isa/asm.h"

#include <stdio.h>

PRINTF_LIKE(2, 3) bool asm_fail(struct parser *a, const char *fmt, ...)
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

struct place asm_place(const struct parser *a, const char *p)
{
	return (struct place){a->line, (u32)(p - a->line_start) + 1};
}

void asm_skip(struct parser *a)
{
	bool begins = a->p == a->line_start;

	while (a->p < a->end && is_space(*a->p))
		a->p++;
	if (a->p < a->end && ((*a->p == '#' && (a->p == a->line_start || is_space(a->p[-1]))) || (*a->p == ';' && begins) ||
			      (*a->p == '/' && a->p + 1 < a->end && a->p[1] == '/')))
		while (a->p < a->end && *a->p != '\n')
			a->p++;
}

bool asm_accept(struct parser *a, const char *text)
{
	size_t n = strlen(text);

	asm_skip(a);
	if ((size_t)(a->end - a->p) < n || memcmp(a->p, text, n))
		return false;
	if (is_word(text[n - 1]) && a->p + n < a->end && is_word(a->p[n]))
		return false;
	a->p += n;
	return true;
}

bool asm_expect(struct parser *a, const char *text)
{
	return asm_accept(a, text) || asm_fail(a, "expected \"%s\"", text);
}

u32 asm_word(struct parser *a, const char **start)
{
	asm_skip(a);
	*start = a->p;
	while (a->p < a->end && is_word(*a->p))
		a->p++;
	return (u32)(a->p - *start);
}

bool asm_at_end(struct parser *a)
{
	asm_skip(a);
	return a->p >= a->end || *a->p == '\n' || *a->p == ';';
}

/* A number that was read and is wrong: the place is where it begins. */
PRINTF_LIKE(3, 4) static bool bad_number(struct parser *a, const char *start, const char *fmt, ...)
{
	char text[sizeof(a->err->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	a->p = start;
	return asm_fail(a, "%s", text);
}

bool asm_number(struct parser *a, u64 *out, bool *negative)
{
	u64 x = 0, base = 10;
	bool minus, any = false;
	const char *start;

	asm_skip(a);
	start = a->p;
	minus = peek(a) == '-';
	if (minus || peek(a) == '+')
		a->p++;
	asm_skip(a);
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
			return bad_number(a, start, "the number does not fit in 64 bits");
	}
	if (!any)
		return asm_fail(a, "expected a number");
	if (minus && x > (u64)1 << 63)
		return bad_number(a, start, "the number does not fit in 64 bits");
	*out = minus ? 0 - x : x;
	if (negative)
		*negative = minus;
	return true;
}

bool asm_signed(struct parser *a, s64 low, s64 high, s64 *out)
{
	const char *start;
	bool minus;
	u64 x;

	asm_skip(a);
	start = a->p;
	if (!asm_number(a, &x, &minus))
		return false;
	*out = (s64)x;
	if ((!minus && *out < 0) || *out < low || *out > high)
		return bad_number(a, start, "the number must be from %lld to %lld", (long long)low, (long long)high);
	return true;
}

bool asm_immediate(struct parser *a, u32 width, s64 *out)
{
	const char *start;
	bool minus;
	u64 x;
	s64 v;

	asm_skip(a);
	start = a->p;
	if (!asm_number(a, &x, &minus))
		return false;
	v = (s64)x;
	if (minus ? v < INT32_MIN : x > (width == 32 ? (u64)UINT32_MAX : (u64)INT32_MAX))
		return bad_number(a, start, "the immediate does not fit in 32 bits; load it first: rN = VALUE ll");
	*out = width == 32 ? (s64)(u32)x : v;
	return true;
}

bool asm_try_reg(struct parser *a, char kind, u8 *reg, char *found)
{
	const char *p;
	unsigned n = 0;

	asm_skip(a);
	p = a->p;
	if (p < a->end && *p == '%')
		p++;
	if (a->end - p < 2 || (*p != 'r' && *p != 'w') || (kind && *p != kind) || !is_digit(p[1]))
		return false;
	*found = *p++;
	for (; p < a->end && is_digit(*p); p++)
		n = MIN(n * 10 + (unsigned)(*p - '0'), 9999u);
	if (p < a->end && is_word(*p))
		return false;
	if (n > 15)
		return asm_fail(a, "register %c%u does not exist: r0 to r10", *found, n);
	a->p = p;
	*reg = (u8)n;
	return true;
}

bool asm_reg(struct parser *a, char kind, u8 *reg)
{
	char found;

	return asm_try_reg(a, kind, reg, &found) || asm_fail(a, "expected a register%s", kind == 'w' ? " (w0 to w10)" : kind ? " (r0 to r10)" : "");
}

bool asm_operand(struct parser *a, char kind, struct insn *i)
{
	char found;

	if (asm_try_reg(a, kind, &i->src, &found))
		return true;
	if (a->failed)
		return false;
	i->imm_src = true;
	if (!is_digit(peek(a)) && peek(a) != '-' && peek(a) != '+')
		return kind ? asm_fail(a, "expected %c0 to %c10 or a number", kind, kind) : asm_fail(a, "expected a register or a number");
	return asm_immediate(a, i->width, &i->imm);
}

/* "<LBB0_2>" or "<entry+0x40>", which LLVM prints behind the number */
static bool skip_annotation(struct parser *a)
{
	if (!asm_accept(a, "<"))
		return true;
	while (peek(a) != '>' && peek(a) != '\n')
		a->p++;
	return asm_expect(a, ">");
}

bool asm_target(struct parser *a, struct insn *i, enum fixup_kind kind)
{
	const char *name;
	struct fixup *f;
	s64 delta;

	(void)asm_accept(a, "pc");
	asm_skip(a);
	if (peek(a) == '+' || peek(a) == '-' || is_digit(peek(a))) {
		if (!asm_signed(a, INT32_MIN, INT32_MAX, &delta))
			return false;
		delta += (s64)a->insns.n + 1;
		if (kind == FIX_FUNC)
			i->imm = delta - (s64)a->insns.n - 1;
		else if (delta < 0 || delta > INT32_MAX)
			return asm_fail(a, "the target lies before the program");
		else
			i->target = (s32)delta;
		return skip_annotation(a);
	}
	f = vec_push(a->arena->mem, &a->fixups);
	if (!f)
		return a->no_memory = true, asm_fail(a, "out of memory");
	*f = (struct fixup){.at = a->insns.n, .place = asm_place(a, a->p), .kind = kind};
	f->len = asm_word(a, &name);
	f->name = name;
	return f->len || asm_fail(a, "expected a label, +N or -N");
}

static bool bracketed(struct parser *a, s64 *low, s64 *high, u8 idx, u8 *pseudo)
{
	if (!asm_expect(a, "["))
		return false;
	if (asm_accept(a, "idx"))
		*pseudo = idx;
	else if (!asm_accept(a, "fd") && !asm_accept(a, "id"))
		return asm_fail(a, "expected fd:, idx: or id:");
	if (!asm_expect(a, ":") || !asm_signed(a, 0, UINT32_MAX, low))
		return false;
	if (asm_accept(a, ",") && (!asm_expect(a, "fd:") || !asm_signed(a, 0, UINT32_MAX, high)))
		return false;
	return asm_expect(a, "]");
}

/* r1 = map[fd:5], map[idx:0]+16, btf[id:7], func[+3] or func[name] */
bool asm_pseudo(struct parser *a, struct insn *i, bool *handled)
{
	s64 low = 0, high = 0;

	*handled = true;
	if (asm_accept(a, "map")) {
		i->pseudo = PSEUDO_MAP_FD;
		if (!bracketed(a, &low, &high, PSEUDO_MAP_IDX, &i->pseudo))
			return false;
		if (asm_accept(a, "+")) {
			i->pseudo = i->pseudo == PSEUDO_MAP_FD ? PSEUDO_MAP_VALUE : PSEUDO_MAP_IDX_VALUE;
			if (!asm_signed(a, 0, UINT32_MAX, &high))
				return false;
		}
	} else if (asm_accept(a, "btf")) {
		i->pseudo = PSEUDO_BTF_ID;
		if (!bracketed(a, &low, &high, PSEUDO_BTF_ID, &i->pseudo))
			return false;
	} else if (asm_accept(a, "func")) {
		i->pseudo = PSEUDO_FUNC;
		if (!asm_expect(a, "[") || !asm_target(a, i, FIX_FUNC) || !asm_expect(a, "]"))
			return false;
		low = i->imm;
	} else {
		*handled = false;
		return true;
	}
	if (asm_accept(a, "high") && !asm_signed(a, 0, UINT32_MAX, &high))
		return false;
	i->op = OP_LD_IMM64;
	i->imm = (s64)((u64)(u32)low | (u64)high << 32);
	return true;
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

bool asm_byteswap(struct parser *a, struct insn *i)
{
	for (u32 k = 0; k < ARRAY_SIZE(byteswaps); k++)
		if (asm_accept(a, byteswaps[k].text)) {
			i->op = byteswaps[k].op;
			i->width = byteswaps[k].width;
			i->imm_src = true;
			return true;
		}
	return false;
}
