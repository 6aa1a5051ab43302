/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The generator keeps in mind, roughly, what each register and stack slot holds, so that it can do sensible things with it. What it keeps
 * in mind is a guess: a verifier decides. At the end some programs get an instruction changed.
 */
#include "generate.h"

#include <stdlib.h>
#include <string.h>

enum what { NOTHING, NUMBER, SMALL, CONTEXT, VALUE, VALUE_OR_NULL, PACKET, PACKET_END, RECORD, RECORD_OR_NULL };

enum { REGS = 10, FP = 10, SLOTS = 8, PLACES = 24 };

struct reg {
	enum what is;
	uint32_t most; /* SMALL: at most; PACKET, VALUE, RECORD: bytes that were checked */
};

struct view {
	struct reg reg[REGS];
	struct reg slot[SLOTS]; /* 8 bytes each, below the frame pointer */
};

struct gen {
	struct generated *out;
	uint64_t rng;
	struct view v;
	unsigned depth, mistakes; /* out of 100 */
	bool open_record; /* reserved and not given back */
	struct {
		uint32_t call; /* instruction that calls a function to be written at the end */
	} calls[4];
	unsigned n_calls;
};

static uint32_t below(struct gen *g, uint32_t n)
{
	g->rng = g->rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(g->rng >> 33) % n;
}

static bool chance(struct gen *g, uint32_t percent)
{
	return below(g, 100) < percent;
}

static bool mistake(struct gen *g)
{
	return chance(g, g->mistakes);
}

#define PICK(g, ...) ((const int32_t[]){__VA_ARGS__})[below(g, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))]

static bool full(const struct gen *g)
{
	return g->out->n + PLACES >= GENERATED_MAX;
}

uint32_t generated_add(struct generated *o, int code, int dst, int src, int off, int32_t imm)
{
	if (o->n == GENERATED_MAX)
		return o->n - 1;
	o->insns[o->n] = (struct bpf_insn){.code = (uint8_t)code, .off = (int16_t)off, .imm = imm};
	o->insns[o->n].dst_reg = (uint32_t)dst & 15;
	o->insns[o->n].src_reg = (uint32_t)src & 15;
	o->map[o->n] = -1;
	return o->n++;
}

static uint32_t emit(struct gen *g, int code, int dst, int src, int off, int32_t imm)
{
	return generated_add(g->out, code, dst, src, off, imm);
}

static void emit_map(struct gen *g, int dst, enum generated_link map)
{
	uint32_t at = emit(g, BPF_LD | BPF_IMM | BPF_DW, dst, BPF_PSEUDO_MAP_FD, 0, 0);

	g->out->map[at] = (int8_t)map;
	emit(g, 0, 0, 0, 0, 0);
}

static void land(struct gen *g, uint32_t jump)
{
	g->out->insns[jump].off = (int16_t)(g->out->n - jump - 1);
}

static int32_t number(struct gen *g)
{
	uint32_t high;

	switch (below(g, 6)) {
	case 0: return (int32_t)below(g, 4);
	case 1: return (int32_t)below(g, 64);
	case 2: return PICK(g, -1, -2, -8, 255, 256, 4096, 65535, 65536);
	case 3: return PICK(g, 0x7fffffff, (int32_t)0x80000000, 0x7ffffffe, 1 << 30, -65536);
	case 4: return (int32_t)(1u << below(g, 32));
	default: break;
	}
	high = below(g, 0x7fffffff) * 2u;
	return (int32_t)(high + below(g, 2));
}

/* ---- registers ---- */

static bool is_number(const struct reg *r)
{
	return r->is == NUMBER || r->is == SMALL;
}

static int any_reg(struct gen *g)
{
	return (int)below(g, REGS);
}

/* A register that holds one of two things; -1: none does. */
static int find(struct gen *g, enum what a, enum what b)
{
	int at[REGS], n = 0;

	for (int i = 0; i < REGS; i++)
		if (g->v.reg[i].is == a || g->v.reg[i].is == b)
			at[n++] = i;
	return n ? at[below(g, (uint32_t)n)] : -1;
}

/* Somewhere to put a result, without losing the context's last home. */
static int target(struct gen *g)
{
	int r = any_reg(g);

	return r == 6 && !chance(g, 5) ? (int)below(g, 6) : r;
}

static void set(struct gen *g, int r, enum what is, uint32_t most)
{
	g->v.reg[r] = (struct reg){is, most};
}

/* A number in a register: one that is there, or a new one. */
static int a_number(struct gen *g)
{
	int r = find(g, NUMBER, SMALL);
	int32_t imm;

	if (r >= 0 && !chance(g, 20))
		return r;
	r = target(g);
	if (g->v.reg[r].is == CONTEXT)
		r = 0;
	imm = number(g);
	emit(g, (chance(g, 50) ? BPF_ALU64 : BPF_ALU) | BPF_MOV | BPF_K, r, 0, 0, imm);
	set(g, r, NUMBER, 0);
	return r;
}

static void forget_scratch(struct gen *g)
{
	for (int i = 0; i <= 5; i++)
		set(g, i, NOTHING, 0);
}

static struct view merge(const struct view *a, const struct view *b)
{
	struct view out = *a;

	for (int i = 0; i < REGS; i++)
		if (a->reg[i].is != b->reg[i].is || a->reg[i].most != b->reg[i].most)
			out.reg[i] = (struct reg){is_number(&a->reg[i]) && is_number(&b->reg[i]) ? NUMBER : NOTHING, 0};
	for (int i = 0; i < SLOTS; i++)
		if (a->slot[i].is != b->slot[i].is || a->slot[i].most != b->slot[i].most)
			out.slot[i] = (struct reg){is_number(&a->slot[i]) && is_number(&b->slot[i]) ? NUMBER : NOTHING, 0};
	return out;
}

/* ---- statements ---- */

static void block(struct gen *g, unsigned statements);

/* What is done only on one side of a jump. */
static void guarded(struct gen *g, uint32_t jump, struct view before, unsigned statements)
{
	g->depth++;
	block(g, statements);
	g->depth--;
	land(g, jump);
	g->v = merge(&g->v, &before);
}

static void arithmetic(struct gen *g)
{
	static const uint8_t ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_NEG, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH};
	int r = a_number(g), op = ops[below(g, sizeof(ops))], cls = chance(g, 60) ? BPF_ALU64 : BPF_ALU, off = 0;
	int32_t imm = number(g);

	if (op == BPF_NEG) {
		emit(g, cls | BPF_NEG, r, 0, 0, 0);
		set(g, r, NUMBER, 0);
		return;
	}
	if ((op == BPF_DIV || op == BPF_MOD) && chance(g, 30))
		off = 1; /* signed */
	if (op == BPF_MOV && chance(g, 40))
		off = cls == BPF_ALU64 ? PICK(g, 8, 16, 32) : PICK(g, 8, 16);
	if (chance(g, 40) || (op == BPF_MOV && off)) {
		int s = a_number(g);

		emit(g, cls | op | BPF_X, r, s, off, 0);
		set(g, r, NUMBER, 0);
		return;
	}
	if ((op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH) && !mistake(g))
		imm = (int32_t)below(g, cls == BPF_ALU64 ? 64 : 32);
	if ((op == BPF_DIV || op == BPF_MOD) && imm == 0 && !mistake(g))
		imm = 3;
	if (op == BPF_AND && chance(g, 60)) {
		imm = PICK(g, 1, 3, 7, 15, 31, 63, 40, 47);
		emit(g, cls | BPF_AND | BPF_K, r, 0, 0, imm);
		set(g, r, SMALL, (uint32_t)imm);
		return;
	}
	emit(g, cls | op | BPF_K, r, 0, off, imm);
	set(g, r, NUMBER, 0);
}

static void byte_order(struct gen *g)
{
	int r = a_number(g), bits = PICK(g, 16, 32, 64);

	emit(g, chance(g, 50) ? BPF_ALU | BPF_END | BPF_TO_BE : BPF_ALU64 | BPF_END, r, 0, 0, bits);
	set(g, r, NUMBER, 0);
}

static void unknown_number(struct gen *g)
{
	static const int32_t calls[] = {7 /* get_prandom_u32 */, 5 /* ktime_get_ns */, 8 /* get_smp_processor_id */};

	emit(g, BPF_JMP | BPF_CALL, 0, 0, 0, calls[below(g, 3)]);
	forget_scratch(g);
	set(g, 0, NUMBER, 0);
	g->out->steady = false;
}

static int compare_op(struct gen *g)
{
	static const uint8_t ops[] = {BPF_JEQ, BPF_JNE, BPF_JGT, BPF_JGE, BPF_JLT, BPF_JLE, BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE, BPF_JSET};

	return ops[below(g, sizeof(ops))];
}

/* if (a number compares so) skip a few statements. */
static void branch(struct gen *g)
{
	struct view before;
	int r = a_number(g), s = chance(g, 40) ? a_number(g) : -1, cls = chance(g, 60) ? BPF_JMP : BPF_JMP32;
	int32_t imm = s >= 0 ? 0 : number(g);
	uint32_t jump = emit(g, cls | compare_op(g) | (s >= 0 ? BPF_X : BPF_K), r, s >= 0 ? s : 0, 0, imm);

	before = g->v;
	guarded(g, jump, before, 1 + below(g, 4));
}

/* A bound, then something that relies on it. */
static void bound(struct gen *g)
{
	int r = a_number(g);
	int32_t most = PICK(g, 1, 3, 7, 15, 31, 39, 40, 44, 47, 48);
	bool narrow = chance(g, 30), is_signed = chance(g, 15);
	uint32_t jump;
	struct view before;

	jump = emit(g, (narrow ? BPF_JMP32 : BPF_JMP) | (is_signed ? BPF_JSGT : BPF_JGT) | BPF_K, r, 0, 0, most);
	before = g->v;
	if (narrow && !mistake(g)) {
		emit(g, BPF_ALU | BPF_MOV | BPF_X, r, r, 0, 0);
	}
	if (!is_signed || mistake(g))
		set(g, r, SMALL, (uint32_t)most);
	guarded(g, jump, before, 1 + below(g, 4));
}

static int size_code(struct gen *g, int *bytes)
{
	static const struct {
		int code, bytes;
	} sizes[] = {{BPF_B, 1}, {BPF_H, 2}, {BPF_W, 4}, {BPF_DW, 8}};
	uint32_t i = below(g, 4);

	*bytes = sizes[i].bytes;
	return sizes[i].code;
}

/* Reads or writes `size` bytes at base + off; what is read is a number. */
static void access(struct gen *g, int base, int off, int code)
{
	int r;

	switch (below(g, 5)) {
	case 0:
		emit(g, BPF_ST | BPF_MEM | code, base, 0, off, number(g));
		break;
	case 1:
		r = a_number(g);
		if (r != base)
			emit(g, BPF_STX | BPF_MEM | code, base, r, off, 0);
		break;
	case 2:
		r = a_number(g);
		if (r != base && (code == BPF_DW || code == BPF_W || mistake(g)))
			emit(g, BPF_STX | BPF_ATOMIC | code, base, r, off, PICK(g, 0x00, 0x01, 0x40, 0x50, 0xa0, 0xe1));
		break;
	default:
		r = target(g);
		if (r == base && !chance(g, 30))
			break;
		emit(g, BPF_LDX | (code != BPF_DW && chance(g, 20) ? 0x80 /* sign-extending */ : BPF_MEM) | code, r, base, off, 0);
		set(g, r, NUMBER, 0);
	}
}

static void access_memory(struct gen *g)
{
	int base = find(g, VALUE, RECORD), bytes, code = size_code(g, &bytes), small, off, t;
	int limit;

	if (base < 0)
		return;
	limit = (int)g->v.reg[base].most;
	small = find(g, SMALL, SMALL);
	if (small < 0 || chance(g, 50)) {
		off = (int)below(g, (uint32_t)(limit / bytes)) * bytes;
		if (mistake(g))
			off = PICK(g, -1, limit - bytes + 1, limit, -bytes);
		access(g, base, off, code);
		return;
	}
	/* base + number: the last byte that may be reached lies at the end, or just beyond. */
	t = (int)below(g, 6);
	if (t == base || t == small)
		return;
	off = limit - bytes - (int)g->v.reg[small].most;
	if (off > 0)
		off -= (int)below(g, (uint32_t)off + 1);
	if (mistake(g))
		off += 1 + (int)below(g, 8);
	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, t, base, 0, 0);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_X, t, small, 0, 0);
	set(g, t, NOTHING, 0);
	access(g, t, off, code);
	if (g->v.reg[t].is == NOTHING && chance(g, 30)) {
		emit(g, BPF_ALU64 | BPF_MOV | BPF_K, t, 0, 0, 0);
		set(g, t, NUMBER, 0);
	}
}

/* ---- stack ---- */

static void spill(struct gen *g)
{
	int slot = (int)below(g, SLOTS), off = -8 * (slot + 1), r = any_reg(g);
	struct reg *s = &g->v.slot[slot];

	if (g->v.reg[r].is == NOTHING && !mistake(g)) {
		emit(g, BPF_ST | BPF_MEM | BPF_DW, FP, 0, off, number(g));
		*s = (struct reg){NUMBER, 0};
	} else if (chance(g, 75)) {
		emit(g, BPF_STX | BPF_MEM | BPF_DW, FP, r, off, 0);
		*s = g->v.reg[r];
	} else {
		int bytes, code = size_code(g, &bytes);

		if (!is_number(&g->v.reg[r]) && !mistake(g))
			return;
		emit(g, BPF_STX | BPF_MEM | code, FP, r, off + (int)below(g, (uint32_t)(8 / bytes)) * bytes, 0);
		*s = (struct reg){bytes == 8 ? NUMBER : NOTHING, 0};
	}
}

static void fill(struct gen *g)
{
	int slot = (int)below(g, SLOTS), off = -8 * (slot + 1), r = target(g);

	if (g->v.slot[slot].is == NOTHING && !mistake(g))
		return;
	if (chance(g, 70) || !is_number(&g->v.slot[slot])) {
		emit(g, BPF_LDX | BPF_MEM | BPF_DW, r, FP, off, 0);
		g->v.reg[r] = g->v.slot[slot];
	} else {
		int bytes, code = size_code(g, &bytes);

		emit(g, BPF_LDX | BPF_MEM | code, r, FP, off + (int)below(g, (uint32_t)(8 / bytes)) * bytes, 0);
		set(g, r, NUMBER, 0);
	}
}

static void variable_stack(struct gen *g)
{
	int small = find(g, SMALL, SMALL), t = (int)below(g, 6), bytes, code;

	if (small < 0 || t == small)
		return;
	for (int i = 0; i < SLOTS && !mistake(g); i++)
		if (g->v.slot[i].is == NOTHING) {
			emit(g, BPF_ST | BPF_MEM | BPF_DW, FP, 0, -8 * (i + 1), 0);
			g->v.slot[i] = (struct reg){NUMBER, 0};
		}
	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, t, FP, 0, 0);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_X, t, small, 0, 0);
	code = size_code(g, &bytes);
	set(g, t, NOTHING, 0);
	access(g, t, -8 * SLOTS + (mistake(g) ? PICK(g, -8, 16, 60) : 0), code);
	for (int i = 0; i < SLOTS; i++)
		g->v.slot[i] = (struct reg){NUMBER, 0};
}

/* ---- maps, rings ---- */

static void key_on_stack(struct gen *g, int bytes)
{
	if (mistake(g))
		return;
	if (chance(g, 40)) {
		int r = a_number(g);

		emit(g, BPF_STX | BPF_MEM | (bytes == 8 ? BPF_DW : BPF_W), FP, r, -bytes, 0);
	} else {
		emit(g, BPF_ST | BPF_MEM | (bytes == 8 ? BPF_DW : BPF_W), FP, 0, -bytes, (int32_t)below(g, 6));
	}
	g->v.slot[0] = (struct reg){NOTHING, 0};
}

static void null_check(struct gen *g, int r, enum what is, uint32_t bytes)
{
	struct view before;
	uint32_t jump = emit(g, BPF_JMP | BPF_JEQ | BPF_K, r, 0, 0, 0);

	before = g->v;
	set(g, r, is, bytes);
	guarded(g, jump, before, 1 + below(g, 5));
}

static void lookup(struct gen *g)
{
	bool hash = chance(g, 40);

	key_on_stack(g, hash ? 8 : 4);
	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, 2, FP, 0, 0);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, hash ? -8 : -4);
	emit_map(g, 1, hash ? MAP_IN_HASH : MAP_IN_ARRAY);
	emit(g, BPF_JMP | BPF_CALL, 0, 0, 0, 1 /* map_lookup_elem */);
	forget_scratch(g);
	set(g, 0, VALUE_OR_NULL, VALUE_BYTES);
	if (chance(g, 30)) {
		int keep = 7 + (int)below(g, 3);

		emit(g, BPF_ALU64 | BPF_MOV | BPF_X, keep, 0, 0, 0);
		set(g, keep, VALUE_OR_NULL, VALUE_BYTES);
		if (chance(g, 50)) {
			null_check(g, keep, VALUE, VALUE_BYTES);
			return;
		}
	}
	if (mistake(g))
		set(g, 0, VALUE, VALUE_BYTES);
	else
		null_check(g, 0, VALUE, VALUE_BYTES);
}

static void record(struct gen *g)
{
	enum { BYTES = 24 };
	uint32_t jump;
	struct view before;

	if (g->depth > 1)
		return;
	emit_map(g, 1, MAP_IN_RING);
	emit(g, BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, BYTES);
	emit(g, BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 0);
	emit(g, BPF_JMP | BPF_CALL, 0, 0, 0, 131 /* ringbuf_reserve */);
	forget_scratch(g);
	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, 9, 0, 0, 0);
	set(g, 9, RECORD_OR_NULL, BYTES);
	jump = emit(g, BPF_JMP | BPF_JEQ | BPF_K, 9, 0, 0, 0);
	before = g->v;
	set(g, 9, RECORD, BYTES);
	for (unsigned i = below(g, 3); i; i--)
		access_memory(g);
	if (!mistake(g)) {
		emit(g, BPF_ALU64 | BPF_MOV | BPF_X, 1, 9, 0, 0);
		emit(g, BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 0);
		emit(g, BPF_JMP | BPF_CALL, 0, 0, 0, chance(g, 50) ? 132 /* submit */ : 133 /* discard */);
		forget_scratch(g);
		if (!mistake(g))
			set(g, 9, NOTHING, 0);
	}
	land(g, jump);
	g->v = merge(&g->v, &before);
	set(g, 9, NOTHING, 0);
}

/* ---- packets ---- */

static void packet(struct gen *g)
{
	bool xdp = g->out->type == BPF_PROG_TYPE_XDP;
	int32_t bytes = PICK(g, 1, 4, 8, 14, 20, 34);
	struct view before;
	uint32_t jump;

	if ((!xdp && g->out->type != BPF_PROG_TYPE_SCHED_CLS) || g->v.reg[6].is != CONTEXT)
		return;
	emit(g, BPF_LDX | BPF_MEM | BPF_W, 7, 6, xdp ? 0 : 76, 0);
	emit(g, BPF_LDX | BPF_MEM | BPF_W, 8, 6, xdp ? 4 : 80, 0);
	if (chance(g, 30)) {
		int small = find(g, SMALL, SMALL);

		if (small >= 0 && small < 6)
			emit(g, BPF_ALU64 | BPF_ADD | BPF_X, 7, small, 0, 0);
	}
	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, 2, 7, 0, 0);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, bytes);
	set(g, 2, NOTHING, 0);
	set(g, 7, NOTHING, 0);
	set(g, 8, PACKET_END, 0);
	jump = emit(g, BPF_JMP | PICK(g, BPF_JGT, BPF_JGT, BPF_JGE) | BPF_X, 2, 8, 0, 0);
	before = g->v;
	set(g, 7, PACKET, (uint32_t)bytes);
	for (unsigned i = 1 + below(g, 3); i; i--) {
		int size, code = size_code(g, &size), off = size <= bytes ? (int)below(g, (uint32_t)(bytes - size) + 1) : 0;

		if (size > bytes || mistake(g))
			off = bytes - size + 1;
		if (chance(g, 80)) {
			emit(g, BPF_LDX | BPF_MEM | code, 0, 7, off, 0);
			set(g, 0, NUMBER, 0);
		} else {
			emit(g, BPF_ST | BPF_MEM | code, 7, 0, off, number(g));
		}
	}
	guarded(g, jump, before, below(g, 3));
}

static void context_field(struct gen *g)
{
	int r = target(g), off;

	if (g->v.reg[6].is != CONTEXT)
		return;
	switch (g->out->type) {
	case BPF_PROG_TYPE_XDP: off = PICK(g, 12, 16); break;
	case BPF_PROG_TYPE_TRACEPOINT: off = 8 * (int)below(g, 8); break;
	default: off = PICK(g, 0, 4, 8, 16, 40); break;
	}
	if (mistake(g))
		off += PICK(g, 1, 2, 200, 400);
	emit(g, BPF_LDX | BPF_MEM | BPF_W, r, 6, off, 0);
	set(g, r, NUMBER, 0);
	if (g->out->type == BPF_PROG_TYPE_TRACEPOINT || off >= 12)
		g->out->steady = false;
}

/* ---- control ---- */

static void loop(struct gen *g)
{
	int counter = 7 + (int)below(g, 3);
	struct view before;
	uint32_t head;
	int32_t turns;

	if (g->depth > 1)
		return;
	emit(g, BPF_ALU64 | BPF_MOV | BPF_K, counter, 0, 0, 0);
	set(g, counter, SMALL, 7);
	/* What the body changes is unknown at its start. */
	for (int i = 0; i < REGS; i++)
		if (i != counter && g->v.reg[i].is == SMALL)
			set(g, i, NUMBER, 0);
	before = g->v;
	head = g->out->n;
	g->depth++;
	block(g, 1 + below(g, 3));
	g->depth--;
	g->v = merge(&g->v, &before);
	if (g->v.reg[counter].is == NOTHING && !mistake(g)) {
		emit(g, BPF_ALU64 | BPF_MOV | BPF_K, counter, 0, 0, 100);
	}
	emit(g, BPF_ALU64 | BPF_ADD | BPF_K, counter, 0, 0, mistake(g) ? 0 : 1);
	turns = (int32_t)(2 + below(g, 7));
	emit(g, BPF_JMP | PICK(g, BPF_JLT, BPF_JLT, BPF_JSLT, BPF_JNE) | BPF_K, counter, 0, (int)head - (int)g->out->n - 1, turns);
	set(g, counter, NUMBER, 0);
}

static void call(struct gen *g)
{
	if (g->n_calls == sizeof(g->calls) / sizeof(g->calls[0]))
		return;
	for (int i = 1; i <= 2; i++)
		if (!is_number(&g->v.reg[i]) && !mistake(g))
			emit(g, BPF_ALU64 | BPF_MOV | BPF_K, i, 0, 0, number(g));
	g->calls[g->n_calls++].call = emit(g, BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 0);
	forget_scratch(g);
	set(g, 0, NUMBER, 0);
}

static void move(struct gen *g)
{
	int from = any_reg(g), to = target(g);

	if (g->v.reg[from].is == NOTHING && !mistake(g))
		return;
	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
	g->v.reg[to] = g->v.reg[from];
}

/* Arithmetic and comparisons that pointers do not allow, or only some. */
static void odd_pointer(struct gen *g)
{
	int p = find(g, VALUE, PACKET), t = (int)below(g, 6);
	int32_t imm;

	if (p < 0 || t == p)
		return;
	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, t, p, 0, 0);
	if (chance(g, 60)) {
		imm = number(g);
		emit(g, BPF_ALU64 | PICK(g, BPF_ADD, BPF_SUB, BPF_AND, BPF_MUL) | BPF_K, t, 0, 0, imm);
	} else {
		emit(g, BPF_ALU | BPF_ADD | BPF_K, t, 0, 0, 1);
	}
	set(g, t, NOTHING, 0);
}

static void statement(struct gen *g)
{
	static void (*const kinds[])(struct gen *) = {
		arithmetic, arithmetic, arithmetic, byte_order, unknown_number, branch, branch, bound, bound, access_memory, access_memory, access_memory,
		spill, spill, fill, fill, variable_stack, lookup, lookup, record, packet, packet, context_field, loop, call, move,
	};

	if (mistake(g) && chance(g, 20)) {
		odd_pointer(g);
		return;
	}
	kinds[below(g, sizeof(kinds) / sizeof(kinds[0]))](g);
}

static void block(struct gen *g, unsigned statements)
{
	if (g->depth > 4)
		return;
	for (; statements && !full(g); statements--)
		statement(g);
}

static void finish(struct gen *g)
{
	if (is_number(&g->v.reg[0]) && chance(g, 50)) {
		emit(g, BPF_ALU64 | BPF_AND | BPF_K, 0, 0, 0, 1);
	} else if (!mistake(g)) {
		int r = find(g, NUMBER, SMALL);

		if (r > 0 && chance(g, 50))
			emit(g, BPF_ALU | BPF_MOV | BPF_X, 0, r, 0, 0);
		else
			emit(g, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, (int32_t)below(g, 3));
	}
	emit(g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void functions(struct gen *g)
{
	for (unsigned i = 0; i < g->n_calls; i++) {
		uint32_t at = g->calls[i].call;

		if (g->out->n + PLACES >= GENERATED_MAX && i) {
			g->out->insns[at].imm = g->out->insns[g->calls[0].call].imm + (int32_t)g->calls[0].call - (int32_t)at;
			continue;
		}
		g->out->insns[at].imm = (int32_t)g->out->n - (int32_t)at - 1;
		memset(&g->v, 0, sizeof(g->v));
		set(g, 1, NUMBER, 0);
		set(g, 2, NUMBER, 0);
		g->depth = 3;
		block(g, 1 + below(g, 5));
		finish(g);
	}
}

static void mutate(struct gen *g)
{
	struct generated *o = g->out;
	struct bpf_insn *in = &o->insns[below(g, o->n)];

	switch (below(g, 7)) {
	case 0: in->dst_reg = below(g, 11) & 15; break;
	case 1: in->src_reg = below(g, 11) & 15; break;
	case 2: in->imm = number(g); break;
	case 3: in->off = (int16_t)(in->off + PICK(g, -8, -4, -1, 1, 4, 8)); break;
	case 4: in->code ^= (uint8_t)PICK(g, 0x08, 0x10, 0x20, 0x40, 0x80, 0x03); break;
	case 5: *in = (struct bpf_insn){.code = BPF_JMP | BPF_JA}; break;
	default: *in = o->insns[below(g, o->n)]; break;
	}
}

void generate(struct generated *out, uint64_t seed)
{
	static const uint32_t types[] = {BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_XDP,
					 BPF_PROG_TYPE_XDP, BPF_PROG_TYPE_TRACEPOINT};
	static const uint32_t flags[] = {0, 0, 0, BPF_F_TEST_STATE_FREQ, BPF_F_STRICT_ALIGNMENT, BPF_F_ANY_ALIGNMENT};
	struct gen g = {.out = out, .rng = seed * 0x9e3779b97f4a7c15ull + 12345};

	memset(out, 0, sizeof(*out));
	below(&g, 2);
	out->type = types[below(&g, sizeof(types) / sizeof(types[0]))];
	out->flags = flags[below(&g, sizeof(flags) / sizeof(flags[0]))];
	out->steady = true;
	g.mistakes = (uint32_t)PICK(&g, 0, 0, 1, 2, 4);
	emit(&g, BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0);
	set(&g, 6, CONTEXT, 0);
	set(&g, 1, CONTEXT, 0);
	block(&g, 3 + below(&g, 20));
	finish(&g);
	functions(&g);
	for (uint32_t n = chance(&g, 35) ? 1 + below(&g, 2) : 0; n; n--)
		mutate(&g);
}

const void *generated_types(uint32_t *size)
{
	enum { INT = 1, FUNC = 12, PROTO = 13, WORDS = 5 * 3 + 1 + 3 * 2 };
	static const struct {
		struct {
			uint16_t magic;
			uint8_t version, flags;
			uint32_t hdr_len, type_off, type_len, str_off, str_len;
		} head;
		uint32_t types[WORDS];
		char strings[sizeof("\0int\0program\0callback\0a\0b")];
	} bytes = {
		.head = {0xeb9f, 1, 0, 24, 0, WORDS * 4, WORDS * 4, sizeof(bytes.strings)},
		.types =
			{
				1, INT << 24, 4, 1 << 24 | 32, /* 1: int */
				0, (uint32_t)PROTO << 24 | 1, 1, 22, 1, /* 2: int (int a) */
				5, (uint32_t)FUNC << 24 | 1, 2, /* 3: program, global */
				0, (uint32_t)PROTO << 24 | 2, 1, 22, 1, 24, 1, /* 4: int (int a, int b) */
				13, (uint32_t)FUNC << 24, 4, /* 5: callback, static */
			},
		.strings = "\0int\0program\0callback\0a\0b",
	};

	*size = sizeof(bytes.head) + sizeof(bytes.types) + sizeof(bytes.strings);
	return &bytes;
}

void generated_attr(const struct generated *g, const int *links, struct bpf_insn insns[GENERATED_MAX], union bpf_attr *a)
{
	memset(a, 0, sizeof(*a));
	memcpy(insns, g->insns, g->n * sizeof(*insns));
	for (uint32_t i = 0; i < g->n; i++)
		if (g->map[i] >= 0)
			insns[i].imm = links[g->map[i]];
	a->prog_type = g->type;
	a->insns = (uint64_t)(uintptr_t)insns;
	a->insn_cnt = g->n;
	a->license = (uint64_t)(uintptr_t) "GPL";
	a->prog_flags = g->flags;
	a->expected_attach_type = g->attach;
	if (!g->functions[1].insn_off)
		return;
	a->prog_btf_fd = (uint32_t)links[GENERATED_TYPES];
	a->func_info = (uint64_t)(uintptr_t)g->functions;
	a->func_info_rec_size = sizeof(g->functions[0]);
	a->func_info_cnt = 2;
}
