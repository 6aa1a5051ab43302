/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lengths of instructions: see insn.h. Which opcodes have a ModRM byte and an immediate is a character per opcode, in rows of 16:
 *
 *     . neither   m ModRM   b one byte   z four bytes (two behind 66)   B m and b   Z m and z   j branch of one byte   J branch of four
 *     w two bytes   x invalid in 64-bit mode, or a prefix, or handled apart
 */
#include "client/supervise/insn.h"

static const char one_byte[] = "mmmmbzxxmmmmbzxx"
			       "mmmmbzxxmmmmbzxx"
			       "mmmmbzxxmmmmbzxx"
			       "mmmmbzxxmmmmbzxx"
			       "xxxxxxxxxxxxxxxx"
			       "................"
			       "xxxmxxxxzZbB...."
			       "jjjjjjjjjjjjjjjj"
			       "BZxBmmmmmmmmmmmm"
			       "..........x....."
			       "xxxx....bz......"
			       "bbbbbbbbxxxxxxxx"
			       "BBw.xxBZx.w..bx."
			       "mmmmxxx.mmmmmmmm"
			       "jjjjbbbbJJxj...."
			       "x.xx..xx......mm";

/* Behind 0f nearly all have one. */
static char kind_two(u8 op)
{
	if (op >= 0x80 && op <= 0x8f)
		return 'J';
	if ((op >= 0x70 && op <= 0x73) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 || (op >= 0xc4 && op <= 0xc6))
		return 'B';
	if ((op >= 0x05 && op <= 0x09) || op == 0x0b || (op >= 0x30 && op <= 0x37) || op == 0x77 || (op >= 0xa0 && op <= 0xa2) ||
	    (op >= 0xa8 && op <= 0xaa) || (op >= 0xc8 && op <= 0xcf))
		return '.';
	if (op == 0x04 || op == 0x0a || op == 0x0c || op == 0x0e || op == 0x0f || (op >= 0x24 && op <= 0x27) || (op >= 0x39 && op <= 0x3f && op != 0x3a) ||
	    op == 0xa6 || op == 0xa7)
		return 'x';
	return 'm';
}

struct reader {
	const u8 *code;
	u32 n, at;
	bool wide, word, short_address;
};

static char vex(struct reader *r, struct insn_form *f, u8 first)
{
	u32 skip = first == 0xc5 ? 1 : first == 0xc4 ? 2 : 3;

	if (r->at + skip >= r->n)
		return 'x';
	f->map = first == 0xc5 ? 1 : r->code[r->at] & (first == 0xc4 ? 31 : 7);
	r->at += skip;
	f->op = r->code[r->at++];
	if (f->map < 1 || f->map > 3)
		return 'x';
	return f->map == 3 ? 'B' : f->map == 1 && f->op == 0x77 ? '.' : f->map == 1 && kind_two(f->op) == 'B' ? 'B' : 'm';
}

static bool is_prefix(u8 b)
{
	return b == 0x66 || b == 0x67 || b == 0xf0 || b == 0xf2 || b == 0xf3 || b == 0x2e || b == 0x36 || b == 0x3e || b == 0x26 || b == 0x64 || b == 0x65;
}

/* Prefixes and opcode; the kind of what follows. */
static char opcode(struct reader *r, struct insn_form *f)
{
	u8 b = 0;

	while (r->at < r->n && is_prefix(b = r->code[r->at])) {
		r->word |= b == 0x66;
		r->short_address |= b == 0x67;
		r->at++;
	}
	if (r->at < r->n && (b & 0xf0) == 0x40) {
		r->wide = b & 8;
		r->at++;
	}
	if (r->at >= r->n)
		return 'x';
	b = r->code[r->at++];
	if (b == 0xc4 || b == 0xc5 || b == 0x62)
		return vex(r, f, b);
	f->op = b;
	if (b != 0x0f)
		return b == 0xf6 || b == 0xf7 ? 'm' : b >= 0xb8 && b <= 0xbf ? 'v' : b >= 0xa0 && b <= 0xa3 ? 'o' : one_byte[b];
	if (r->at >= r->n)
		return 'x';
	f->map = 1;
	f->op = r->code[r->at++];
	if (f->op != 0x38 && f->op != 0x3a)
		return kind_two(f->op);
	if (r->at >= r->n)
		return 'x';
	f->map = f->op == 0x38 ? 2 : 3;
	f->op = r->code[r->at++];
	return f->map == 3 ? 'B' : 'm';
}

static bool modrm(struct reader *r, struct insn_form *f)
{
	u32 mod;

	if (r->at >= r->n)
		return false;
	f->modrm_at = r->at;
	f->modrm = r->code[r->at++];
	mod = f->modrm >> 6;
	if (mod == 3)
		return true;
	if ((f->modrm & 7) == 4) {
		if (r->at >= r->n)
			return false;
		if (mod == 0 && (r->code[r->at] & 7) == 5)
			r->at += 4;
		r->at++;
	} else if (mod == 0 && (f->modrm & 7) == 5) {
		if (r->short_address)
			return false;
		f->disp_at = r->at;
		r->at += 4;
	}
	r->at += mod == 1 ? 1 : mod == 2 ? 4 : 0;
	return true;
}

bool insn_form(const u8 *code, u32 n, struct insn_form *out)
{
	struct reader r = {.code = code, .n = n < INSN_MOST ? n : INSN_MOST};
	char kind;
	u32 imm = 0;

	*out = (struct insn_form){0};
	kind = opcode(&r, out);
	if (kind == 'x')
		return false;
	if ((kind == 'm' || kind == 'B' || kind == 'Z') && !modrm(&r, out))
		return false;
	switch (kind) {
	case 'b':
	case 'B':
	case 'j': imm = 1; break;
	case 'w': imm = 2; break;
	case 'z':
	case 'Z': imm = r.word && !r.wide ? 2 : 4; break;
	case 'J':
		if (r.word) /* processors do not agree */
			return false;
		imm = 4;
		break;
	case 'v': imm = r.wide ? 8 : r.word ? 2 : 4; break;
	case 'o': imm = r.short_address ? 4 : 8; break;
	default: break;
	}
	if (!out->map && (out->op == 0xf6 || out->op == 0xf7) && !(out->modrm & 0x30))
		imm = out->op == 0xf6 ? 1 : r.word && !r.wide ? 2 : 4;
	out->imm_at = imm ? r.at : 0;
	out->imm_size = imm;
	out->size = r.at + imm;
	return out->size <= r.n;
}

static bool is_branch(const struct insn_form *f)
{
	if (f->map == 1)
		return !f->modrm_at && f->op >= 0x80 && f->op <= 0x8f;
	return !f->map && ((f->op >= 0x70 && f->op <= 0x7f) || (f->op >= 0xe0 && f->op <= 0xe3) || f->op == 0xe8 || f->op == 0xe9 || f->op == 0xeb);
}

bool insn_branch(const u8 *code, const struct insn_form *f, u64 at, u64 *to)
{
	s32 by;

	if (!is_branch(f))
		return false;
	if (f->imm_size == 1)
		by = (s8)code[f->imm_at];
	else
		memcpy(&by, code + f->imm_at, sizeof(by));
	*to = at + f->size + (u64)(s64)by;
	return true;
}

/* What leaves for somewhere, tells where it stands, or enters the kernel. */
static bool stays(const struct insn_form *f)
{
	if (f->map == 1)
		return f->op != 0x05 && f->op != 0x07 && f->op != 0x0b && f->op != 0x34 && f->op != 0x35 && f->op != 0xaa && f->op != 0xff && f->op != 0xb9;
	if (f->map)
		return true;
	if ((f->op >= 0x6c && f->op <= 0x6f) || (f->op >= 0xca && f->op <= 0xcf) || (f->op >= 0xe0 && f->op <= 0xe7) || (f->op >= 0xec && f->op <= 0xef))
		return false;
	if (f->op == 0xc7 && f->modrm == 0xf8) /* xbegin */
		return false;
	if (f->op == 0xff && ((f->modrm >> 3 & 7) == 2 || (f->modrm >> 3 & 7) == 3))
		return false;
	return f->op != 0xe8 && f->op != 0xf1 && f->op != 0xf4 && f->op != 0x9a && f->op != 0xea;
}

static bool ends(const struct insn_form *f)
{
	return !f->map && (f->op == 0xc2 || f->op == 0xc3 || f->op == 0xe9 || f->op == 0xeb || (f->op == 0xff && (f->modrm >> 3 & 6) == 4));
}

/* What fills up to where the next function begins. */
static bool is_padding(const struct insn_form *f)
{
	return f->map == 1 ? f->op == 0x1f : !f->map && (f->op == 0x90 || f->op == 0xcc);
}

static bool put_distance(u8 *out, u64 to, u64 from)
{
	s64 d = (s64)(to - from);
	s32 by = (s32)d;

	memcpy(out, &by, sizeof(by));
	return d == by;
}

/* One of them; bytes written, 0: it cannot be moved. */
static u32 move_one(const u8 *code, const struct insn_form *f, u64 at, u64 to, u8 *out)
{
	u64 target;
	s32 disp;

	if (insn_branch(code, f, at, &target)) {
		u32 n = 0;

		if (f->op == 0xe9 || f->op == 0xeb) {
			out[n++] = 0xe9;
		} else {
			out[n++] = 0x0f;
			out[n++] = (u8)(0x80 | (f->op & 15));
		}
		return put_distance(out + n, target, to + n + 4) ? n + 4 : 0;
	}
	memcpy(out, code, f->size);
	if (f->disp_at) {
		memcpy(&disp, code + f->disp_at, sizeof(disp));
		if (!put_distance(out + f->disp_at, at + (u64)(s64)disp, to))
			return 0;
	}
	return f->size;
}

u32 insn_move(const u8 *code, u32 n, u64 at, u64 to, u32 least, u8 *out, u32 *covered)
{
	struct insn_form f = {0};
	u32 taken = 0, size = 0, one;
	bool end = false;

	while (taken < least) {
		if (!insn_form(code + taken, n - taken, &f) || (end ? !is_padding(&f) : !stays(&f)) || size + INSN_MOST + 5 > INSN_MOVED)
			return 0;
		if (end) {
			taken += f.size;
			continue;
		}
		one = move_one(code + taken, &f, at + taken, to + size, out + size);
		if (!one)
			return 0;
		end = ends(&f);
		taken += f.size;
		size += one;
	}
	*covered = taken;
	out[size] = 0xe9;
	return put_distance(out + size + 1, at + taken, to + size + 5) ? size + 5 : 0;
}
