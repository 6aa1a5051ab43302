/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random programs on the interpreter and on the compiler in many settings: results and memory must agree. Programs are built from pieces that the
 * optimizer has rules for (rotates, divisions by constants, bytes put together, trees of comparisons that jump or choose a number, short branches,
 * loops, slots of the stack of mixed sizes, arrays on the stack, calls), with random operations between them.
 *
 *     t-jit-random [ROUNDS [SEED]]
 */
#include "isa/isa.h"
#include "jit/jit.h"
#include "test.h"
#include "vm/vm.h"

enum { MOST = 900, MEM = 64, BODY = 60, SLOTS = 64 };

static struct window window;
static u64 state = 0x243f6a8885a308d3ull;

struct program {
	struct raw_insn raw[MOST];
	u32 n;
	u8 mem[MEM];
	u32 calls[32], n_calls; /* instructions that call the function at the end */
};

static u64 next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dull;
}

static u32 below(u32 n)
{
	return (u32)((next_random() >> 32) % n);
}

static s32 number(void)
{
	static const s32 special[] = {0, 1, -1, 2, 3, 7, 8, 10, 16, 31, 32, 63, 64, 255, 256, 1000, 65535, 65536, INT32_MAX, INT32_MIN, -2, -128};

	return below(3) ? special[below(ARRAY_SIZE(special))] : (s32)next_random();
}

/* r0, r3, r4, r5, r8, r9 hold numbers; r7 memory, r6 counts loops. r1, r2 are scratch. */
static u8 reg(void)
{
	static const u8 regs[] = {0, 3, 4, 5, 8, 9};

	return regs[below(ARRAY_SIZE(regs))];
}

static void put(struct program *p, u8 code, u32 dst, u32 src, s32 off, s32 imm)
{
	p->raw[p->n++] = (struct raw_insn){code, (u8)(dst | src << 4), (s16)off, imm};
}

enum { W64 = 0x07, W32 = 0x04, X = 0x08 };

static u8 width(void)
{
	return below(2) ? W64 : W32;
}

static u8 size_code(u32 size)
{
	return size == 1 ? 0x10 : size == 2 ? 0x08 : size == 4 ? 0x00 : 0x18;
}

/* ---- pieces ---- */

static void any_alu(struct program *p)
{
	static const u8 ops[] = {0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0};
	u8 op = ops[below(ARRAY_SIZE(ops))], w = width();
	s32 imm = number(), off = 0;

	if ((op == 0x30 || op == 0x90) && below(4) == 0)
		off = 1;
	if (below(2)) {
		if (op == 0xb0 && below(3) == 0)
			off = below(2) ? 8 : w == W64 && below(2) ? 32 : 16;
		put(p, w | op | X, reg(), reg(), off, 0);
		return;
	}
	if (op == 0x60 || op == 0x70 || op == 0xc0)
		imm &= w == W64 ? 63 : 31;
	put(p, w | op, reg(), 0, off, imm);
}

static void constant(struct program *p)
{
	u64 x = next_random() >> below(64);
	u8 r = reg();

	put(p, 0x18, r, 0, 0, (s32)x);
	put(p, 0, 0, 0, 0, (s32)(x >> 32));
}

static void unary(struct program *p)
{
	switch (below(3)) {
	case 0: put(p, width() | 0x80, reg(), 0, 0, 0); break;
	case 1: put(p, 0xd4 | (below(2) ? X : 0), reg(), 0, 0, 16 << below(3)); break;
	default: put(p, 0xd7, reg(), 0, 0, 16 << below(3));
	}
}

/* r = r << a | r >> (width - a), in either width, with a zero extension in between or without */
static void rotate(struct program *p)
{
	u8 w = width(), r = reg();
	s32 bits = w == W64 && below(3) ? 64 : 32, by = 1 + (s32)below((u32)bits - 1);
	u8 join = below(3) == 0 ? 0x00 : below(2) ? 0x40 : 0xa0;

	put(p, 0xbf, 1, r, 0, 0);
	put(p, w | 0x60, r, 0, 0, by);
	if (w == W64 && bits == 32)
		put(p, 0xbc, 1, 1, 0, 0);
	put(p, w | 0x70, 1, 0, 0, bits - by);
	put(p, w | join | X, r, 1, 0, 0);
	if (below(2))
		put(p, 0xbc, r, r, 0, 0);
}

static void divide(struct program *p)
{
	s32 by = number();
	u8 r = reg();

	if (below(2))
		put(p, 0x77, r, 0, 0, (s32)below(40));
	put(p, width() | (below(2) ? 0x30 : 0x90), r, 0, 0, by ? by : 7);
}

static void extract(struct program *p)
{
	u8 r = reg(), w = width();
	s32 most = w == W64 ? 64 : 32;

	put(p, w | 0x60, r, 0, 0, (s32)below((u32)most));
	put(p, w | (below(2) ? 0x70 : 0xc0), r, 0, 0, (s32)below((u32)most));
}

/* Bytes of memory put together, in either order. */
static void bytes(struct program *p)
{
	u32 n = 2u << below(3), at = below(MEM - n);
	bool swapped = below(2);
	u8 r = reg();

	put(p, 0x71, r, 7, (s32)at, 0);
	if (swapped)
		put(p, 0x67, r, 0, 0, (s32)(8 * (n - 1)));
	for (u32 i = 1; i < n; i++) {
		u32 by = swapped ? 8 * (n - 1 - i) : 8 * i;

		put(p, 0x71, 1, 7, (s32)(at + i), 0);
		if (by)
			put(p, 0x67, 1, 0, 0, (s32)by);
		put(p, 0x4f, r, 1, 0, 0);
	}
}

static void memory(struct program *p)
{
	u32 size = 1u << below(4), at = below(MEM - size + 1);

	switch (below(4)) {
	case 0: put(p, (u8)(0x61 | size_code(size)), reg(), 7, (s32)at, 0); break;
	case 1: put(p, (u8)(0x62 | size_code(size)), 7, 0, (s32)at, number()); break;
	case 2: put(p, (u8)(0x63 | size_code(size)), 7, reg(), (s32)at, 0); break;
	default: put(p, (u8)(0x81 | size_code(size == 8 ? 4 : size)), reg(), 7, (s32)(at & ~7u), 0);
	}
}

static void stack(struct program *p)
{
	u32 size = 1u << below(4);
	s32 at = -(s32)(below(2) ? 8 * (1 + below(SLOTS / 8)) : size + below(SLOTS - size));

	if (below(2))
		at &= ~(s32)(size - 1);
	switch (below(4)) {
	case 0:
	case 3: put(p, (u8)(0x61 | size_code(size)), reg(), 10, at, 0); break;
	case 1: put(p, (u8)(0x62 | size_code(size)), 10, 0, at, number()); break;
	default: put(p, (u8)(0x63 | size_code(size)), 10, reg(), at, 0);
	}
}

/* An array of 32 bytes at r10 - 128, at an index that is masked. */
static void array(struct program *p)
{
	u32 size = 1u << below(4);

	put(p, 0xbf, 1, reg(), 0, 0);
	put(p, 0x57, 1, 0, 0, (s32)(31 & ~(size - 1)));
	if (below(2)) {
		put(p, 0x0f, 1, 10, 0, 0);
	} else {
		put(p, 0xbf, 2, 10, 0, 0);
		put(p, 0x0f, 2, 1, 0, 0);
		put(p, 0xbf, 1, 2, 0, 0);
	}
	put(p, 0x07, 1, 0, 0, -128);
	if (below(2))
		put(p, (u8)(0x61 | size_code(size)), reg(), 1, 0, 0);
	else
		put(p, (u8)(0x63 | size_code(size)), 1, reg(), 0, 0);
}

/* Constants side by side, upwards or downwards. */
static void fill(struct program *p)
{
	u32 size = 1u << below(3), n = 2 + below(7), at = size * below((MEM - size * n) / size + 1);
	bool on_stack = below(2), down = below(2);

	for (u32 i = 0; i < n; i++) {
		s32 off = (s32)(at + size * (down ? n - 1 - i : i));

		put(p, (u8)(0x62 | size_code(size)), on_stack ? 10 : 7, 0, on_stack ? off - 128 : off, number());
	}
}

static void atomic(struct program *p)
{
	static const s32 ops[] = {0x00, 0x40, 0x50, 0xa0, 0x01, 0x41, 0x51, 0xa1, 0xe1, 0xf1, 0x100, 0x110};
	s32 op = ops[below(ARRAY_SIZE(ops))];
	u8 r = reg();
	u8 code = below(2) ? 0xdb : 0xc3;
	bool on_stack = below(2);
	s32 at = on_stack ? -(s32)(8 * (1 + below(SLOTS / 8))) : (s32)(8 * below(MEM / 8));

	if (op == 0x100)
		put(p, code, r, on_stack ? 10 : 7, at, op);
	else
		put(p, code, on_stack ? 10 : 7, r, at, op);
}

static void any_piece(struct program *p, u32 depth);

static void jump_over(struct program *p, u32 depth)
{
	static const u8 ops[] = {0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0};
	u8 class = below(2) ? 0x05 : 0x06, op = ops[below(ARRAY_SIZE(ops))];
	u32 at = p->n, n = below(3);

	if (below(2))
		put(p, class | op, reg(), 0, 0, number());
	else
		put(p, class | op | X, reg(), reg(), 0, 0);
	if (n == 0)
		put(p, 0xbf, reg(), reg(), 0, 0);
	while (n--)
		any_piece(p, depth + 1);
	if (below(3) == 0) { /* else */
		u32 other = p->n;

		put(p, 0x05, 0, 0, 0, 0);
		p->raw[at].off = (s16)(p->n - at - 1);
		any_piece(p, depth + 1);
		p->raw[other].off = (s16)(p->n - other - 1);
		return;
	}
	p->raw[at].off = (s16)(p->n - at - 1);
}

static void loop(struct program *p, u32 depth)
{
	u32 head;

	if (depth || p->n > 400) /* r6 counts: one loop at a time */
		return;
	put(p, 0xb7, 6, 0, 0, (s32)below(6));
	head = p->n;
	for (u32 n = 1 + below(5); n; n--)
		any_piece(p, depth + 1);
	put(p, 0x07, 6, 0, 0, -1);
	put(p, 0x65, 6, 0, (s32)head - (s32)p->n - 1, 0); /* if r6 s> 0 */
}

/* Dense cases on the low bits of a register. */
static void cases(struct program *p)
{
	u32 n = 6 + below(10), at = p->n, end[16];
	u8 r = reg(), class = below(2) ? 0x05 : 0x06, to = reg();
	s32 low = below(2) ? 0 : (s32)below(100);

	put(p, 0xbf, 1, r, 0, 0);
	put(p, 0x57, 1, 0, 0, 31);
	if (low)
		put(p, 0x07, 1, 0, 0, low - 3);
	at = p->n;
	for (u32 i = 0; i < n; i++)
		put(p, class | 0x10, 1, 0, 0, low + (s32)i);
	put(p, 0xb7, to, 0, 0, number());
	end[0] = p->n;
	put(p, 0x05, 0, 0, 0, 0);
	for (u32 i = 0; i < n; i++) {
		p->raw[at + i].off = (s16)(p->n - at - i - 1);
		put(p, 0x07, to, 0, 0, number());
		if (i + 1 < n && below(4)) {
			end[i + 1] = p->n;
			put(p, 0x05, 0, 0, 0, 0);
		} else {
			end[i + 1] = 0;
		}
	}
	for (u32 i = 0; i <= n; i++)
		if (end[i])
			p->raw[end[i]].off = (s16)(p->n - end[i] - 1);
}

/* One of r1's cases from low to high: a number for each, in a tree of comparisons of either width. */
static void choose(struct program *p, u8 to, s32 low, s32 high)
{
	s32 mid = low + (high - low) / 2;
	u8 class = below(2) ? 0x05 : 0x06;
	u32 test, over;

	if (low == high) {
		put(p, 0xb7, to, 0, 0, below(3) ? below(4) ? (s32)below(200) : number() : 7);
		return;
	}
	test = p->n;
	put(p, class | (low == mid && below(2) ? 0x10 : below(3) ? 0xb0 : 0xd0), 1, 0, 0, mid);
	choose(p, to, mid + 1, high);
	over = p->n;
	put(p, 0x05, 0, 0, 0, 0);
	p->raw[test].off = (s16)(p->n - test - 1);
	choose(p, to, low, mid);
	p->raw[over].off = (s16)(p->n - over - 1);
}

static void numbers(struct program *p)
{
	static const s32 masks[] = {7, 15, 31, 255};
	s32 low = (s32)below(3) ? 0 : (s32)below(40);

	put(p, 0xbf, 1, reg(), 0, 0);
	if (below(4))
		put(p, 0x57, 1, 0, 0, masks[below(ARRAY_SIZE(masks))]);
	if (below(3) == 0)
		put(p, width(), 1, 0, 0, low - 3);
	choose(p, reg(), low, low + 5 + (s32)below(14));
}

static void call(struct program *p)
{
	if (p->n_calls == ARRAY_SIZE(p->calls))
		return;
	put(p, 0xbf, 1, reg(), 0, 0);
	put(p, 0xbf, 2, below(2) ? 7 : 10, 0, 0);
	if (p->raw[p->n - 1].regs >> 4 == 10)
		put(p, 0x07, 2, 0, 0, -(s32)SLOTS);
	p->calls[p->n_calls++] = p->n;
	put(p, 0x85, 0, 1, 0, 0);
	for (u8 r = 3; r <= 5; r++)
		put(p, 0xbf, r, below(2) ? 0 : 8, 0, 0);
}

static void any_piece(struct program *p, u32 depth)
{
	if (p->n > MOST - 250 || depth > 3) {
		any_alu(p);
		return;
	}
	switch (below(24)) {
	case 0: constant(p); break;
	case 1: unary(p); break;
	case 2: rotate(p); break;
	case 3: divide(p); break;
	case 4: extract(p); break;
	case 5: bytes(p); break;
	case 6:
	case 7: memory(p); break;
	case 8:
	case 9:
	case 10: stack(p); break;
	case 11: array(p); break;
	case 12: atomic(p); break;
	case 13:
	case 14: jump_over(p, depth); break;
	case 15: loop(p, depth); break;
	case 16: cases(p); break;
	case 17: call(p); break;
	case 18: fill(p); break;
	case 19: numbers(p); break;
	default: any_alu(p);
	}
}

static void fold_into_r0(struct program *p)
{
	static const u8 regs[] = {3, 4, 5, 8, 9};

	for (u32 i = 0; i < ARRAY_SIZE(regs); i++) {
		put(p, 0x27, 0, 0, 0, 31);
		put(p, 0xaf, 0, regs[i], 0, 0);
	}
	for (s32 at = -8; at >= -128; at -= 8) {
		put(p, 0x79, 1, 10, at, 0);
		put(p, 0x27, 0, 0, 0, 17);
		put(p, 0xaf, 0, 1, 0, 0);
	}
	put(p, 0x95, 0, 0, 0, 0);
}

static void generate(struct program *p)
{
	static const u8 regs[] = {0, 3, 4, 5, 8, 9};
	bool touch_all = below(2);

	p->n = p->n_calls = 0;
	put(p, 0xbf, 7, 1, 0, 0);
	for (u32 i = 0; i < ARRAY_SIZE(regs); i++)
		put(p, 0x79, regs[i], 7, (s32)(8 * i), 0);
	put(p, 0xb7, 6, 0, 0, 0);
	for (s32 at = -8; at >= -128; at -= 8)
		put(p, touch_all ? 0x7b : 0x7a, 10, touch_all ? regs[(u32)-at / 8 % 6] : 0, at, touch_all ? 0 : number());
	for (u32 n = 4 + below(BODY / 2); n; n--)
		any_piece(p, 0);
	fold_into_r0(p);
	for (u32 i = 0; i < p->n_calls; i++)
		p->raw[p->calls[i]].imm = (s32)(p->n - p->calls[i] - 1);
	if (!p->n_calls)
		goto memory;
	/* the function: r1 a number, r2 an address of SLOTS bytes */
	put(p, 0xbf, 7, 2, 0, 0);
	put(p, 0xbf, 0, 1, 0, 0);
	for (u8 r = 3; r <= 9; r++)
		if (r != 6 && r != 7)
			put(p, 0x79, r, 7, 8 * (r & 3), 0);
	for (s32 at = -8; at >= -128; at -= 8)
		put(p, 0x7b, 10, 3 + (u32)(-at / 8) % 3, at, 0);
	{
		u32 calls = p->n_calls;

		p->n_calls = ARRAY_SIZE(p->calls);
		for (u32 n = 1 + below(6); n; n--)
			any_piece(p, 1);
		p->n_calls = calls;
	}
	fold_into_r0(p);
memory:
	for (u32 i = 0; i < MEM; i += 8) {
		u64 x = below(2) ? (u64)(s64)number() : next_random();

		memcpy(p->mem + i, &x, 8);
	}
}

/* ---- engines ---- */

/* All runs work on the same bytes, so that addresses are the same as well. */
static int run(const struct program *p, const struct jit_options *compiled, u8 *out, u64 *result, char text[256])
{
	static u8 mem[MEM] __attribute__((aligned(16)));
	static const struct ctx_type flat = {.name = "random", .flags = CTX_TYPE_FLAT | CTX_TYPE_WRITABLE};
	static struct insn insns[MOST];
	static u64 operand[MOST];
	const struct run_host host = {.window = &window};
	struct prog prog = {.mem = &mem_libc, .raw = p->raw, .insns = insns, .operand = operand, .n = p->n};
	struct run r = {.prog = &prog, .host = &host, .budget = 1000000};
	struct insn_error err;
	const char *why = "";
	int bad;

	if (insns_decode(p->raw, p->n, insns, &err)) {
		snprintf(text, 256, "insn %u: %s", err.insn, err.text);
		return -1;
	}
	for (u32 i = 0; i < p->n; i++)
		operand[i] = (u64)insns[i].imm;
	arena_open(&prog.arena, &mem_libc);
	bad = subprogs_find(&prog, &err);
	if (bad)
		snprintf(text, 256, "insn %u: %s", err.insn, err.text);
	if (!bad && compiled) {
		struct jit_options o = *compiled;

		o.host = &host;
		o.window = &window;
		o.check = true;
		bad = jit_compile(&prog, &o, NULL, &why);
		if (!bad && o.dump && getenv("DUMP")) {
			FILE *f = fopen(getenv("DUMP"), "w");

			if (f) {
				fwrite(prog.code->region.base, 1, prog.code->size, f);
				fclose(f);
			}
		}
		snprintf(text, 256, "not compiled: %d: %s", bad, why ? why : "");
	}
	memcpy(mem, p->mem, MEM);
	if (!bad) {
		r.ctx = (struct run_ctx){.type = &flat, .bytes = mem, .size = MEM};
		bad = vm_run(&r, result);
		if (bad)
			snprintf(text, 256, "%s", r.fault.text);
	}
	memcpy(out, mem, MEM);
	jit_free(&prog);
	arena_close(&prog.arena);
	return bad;
}

static void show(const struct program *p, const struct jit_options *o)
{
	static struct insn insns[MOST];
	struct insn_error err;

	printf("# without 0x%x, registers 0x%x, baseline %d, poison %d\n", o->without, o->registers, o->baseline, o->poison);
	if (insns_decode(p->raw, p->n, insns, &err))
		return;
	for (u32 i = 0; i < p->n; i++) {
		struct text t;

		text_open(&t, &mem_libc);
		if (insns[i].op != OP_PAD && !(insns[i].op == OP_MOV && insns[i].width == 64 && insns[i].dst == 6 && insns[i].src == 6)) {
			insn_text(&t, &insns[i], i, NULL);
			printf("# %u: %s\n", i, text_str(&t));
		}
		text_close(&t);
	}
}

static bool differs(const struct program *p, const struct jit_options *o)
{
	u8 mine[MEM], theirs[MEM];
	u64 a = 0, b = 0;
	char text[256];

	return !run(p, NULL, mine, &a, text) && (run(p, o, theirs, &b, text) || a != b || memcmp(mine, theirs, MEM));
}

/* Leaves out what the difference does not need: passes first, then instructions. */
static void shrink(struct program *p, struct jit_options *o)
{
	static const struct raw_insn nop = {0xbf, 6 | 6 << 4, 0, 0}, zero = {0xb7, 1, 0, 0};

	for (u32 k = 0; k < OPT_COUNT; k++) {
		struct jit_options fewer = *o;

		fewer.without |= 1u << k;
		if (differs(p, &fewer))
			*o = fewer;
	}
	for (u32 round = 0; round < 3; round++)
		for (u32 i = 24; i < p->n; i++) { /* behind what fills registers and stack */
			const struct raw_insn was = p->raw[i];

			/* r1 and r2 hold addresses at times, which must not get into results */
			const struct raw_insn nothing = (was.code & 7) != 5 && (was.code & 7) != 6 && (was.regs & 15) == 1 ? zero : nop;

			if (was.code == 0x18 || was.code == 0 || was.code == 0x95 || !memcmp(&was, &nothing, sizeof(was)))
				continue;
			p->raw[i] = nothing;
			if (!differs(p, o))
				p->raw[i] = was;
		}
}

static bool compare(const struct program *p, const struct jit_options *o, const u8 *want_mem, u64 want, u64 seed)
{
	u8 mem[MEM];
	u64 got = 0;
	char text[256] = "";

	if (!run(p, o, mem, &got, text) && got == want && !memcmp(mem, want_mem, MEM))
		return true;
	test_fail(__FILE__, __LINE__, "seed 0x%llx: interpreter gives 0x%llx, compiled 0x%llx%s: %s", (unsigned long long)seed,
		  (unsigned long long)want, (unsigned long long)got, memcmp(mem, want_mem, MEM) ? ", memory differs" : "", text);
	{
		static struct program small;
		struct jit_options fewer = *o;

		small = *p;
		shrink(&small, &fewer);
		show(&small, &fewer);
		if (getenv("DUMP")) { /* the form after each pass to the output, the code to that file */
			u8 out[MEM];
			struct text t;

			text_open(&t, &mem_libc);
			fewer.dump = &t;
			run(&small, &fewer, out, &got, text);
			puts(text_str(&t));
			text_close(&t);
		}
	}
	return false;
}

static u32 rounds = 1500;

TEST(random_programs)
{
	static struct program p;
	u8 mem[MEM];

	for (u32 i = 0; i < rounds; i++) {
		u64 seed = state, want = 0;
		char text[256] = "";
		struct jit_options o[5] = {
			{0}, {.without = 1u << below(OPT_COUNT)}, {.without = (u32)next_random()}, {.poison = true, .baseline = true, .poll = true},
			{.registers = (u32)next_random() | 1 << 10 | 1 << 11},
		};

		o[4].registers &= 0xffef;
		generate(&p);
		if (run(&p, NULL, mem, &want, text)) {
			test_fail(__FILE__, __LINE__, "seed 0x%llx: interpreter: %s", (unsigned long long)seed, text);
			show(&p, &o[0]);
			return;
		}
		for (u32 k = 0; k < ARRAY_SIZE(o); k++)
			if (!compare(&p, &o[k], mem, want, seed))
				return;
	}
}

int main(int argc, char **argv)
{
	if (window_open(&window, (size_t)1 << 30))
		return 1;
	if (argc > 1)
		rounds = (u32)atoi(argv[1]);
	if (argc > 2)
		state = strtoull(argv[2], NULL, 0);
	RUN(random_programs);
	return test_end();
}
