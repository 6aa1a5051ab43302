/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs of numbers alone: a few registers that are loaded at random sizes, copied, extended, computed with, spilled and filled (while stores at
 * unknown places and a helper write to the same slots), and compared with each other and with constants at both widths. A comparison mostly leaves on one edge, so that what it tells of its operands, and of whatever shares
 * their value, is relied on behind it. All registers are read in the end: none is dead before.
 */
#include "generate.h"

#include <string.h>

enum { FP = 10, CTX = 6, VALUE = 7, TEMP = 5, NUMBERS = 4, SLOTS = 3, LOAD_SIGNED = 0x80 /* BPF_MEMSX */ };

struct numbers {
	struct generated *out;
	uint64_t rng;
	uint32_t to_exit[64], n_exits;
};

static uint32_t below(struct numbers *g, uint32_t n)
{
	g->rng = g->rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(g->rng >> 33) % n;
}

static bool chance(struct numbers *g, uint32_t percent)
{
	return below(g, 100) < percent;
}

static uint32_t emit(struct numbers *g, int code, int dst, int src, int off, int32_t imm)
{
	return generated_add(g->out, code, dst, src, off, imm);
}

static int number_reg(struct numbers *g)
{
	return 1 + (int)below(g, NUMBERS);
}

static int width(struct numbers *g)
{
	return chance(g, 50) ? BPF_ALU64 : BPF_ALU;
}

static int32_t constant(struct numbers *g)
{
	static const int32_t edges[] = {0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0xffff, 0x10000, INT32_MAX, INT32_MIN, -1, -2, -8, -128};

	if (chance(g, 70))
		return edges[below(g, sizeof(edges) / sizeof(edges[0]))];
	return chance(g, 50) ? (int32_t)below(g, 100) - 50 : (int32_t)(below(g, 1u << 16) << 16 | below(g, 1u << 16));
}

static void load(struct numbers *g, int to)
{
	static const uint8_t sizes[] = {BPF_DW, BPF_DW, BPF_W, BPF_H, BPF_B};
	uint8_t size = sizes[below(g, 5)];
	int at = 8 * (int)below(g, VALUE_BYTES / 8) + (size == BPF_W ? 4 * (int)below(g, 2) : 0);

	emit(g, BPF_LDX | (size != BPF_DW && chance(g, 25) ? LOAD_SIGNED : BPF_MEM) | size, to, VALUE, at, 0);
}

static void wide_constant(struct numbers *g, int to)
{
	emit(g, BPF_LD | BPF_IMM | BPF_DW, to, 0, 0, constant(g));
	emit(g, 0, 0, 0, 0, constant(g));
}

static void copy(struct numbers *g)
{
	static const int16_t extends[] = {8, 16, 32};
	int wide = chance(g, 65) ? BPF_ALU64 : BPF_ALU, extend = chance(g, 20) ? extends[below(g, wide == BPF_ALU64 ? 3 : 2)] : 0;

	emit(g, wide | BPF_MOV | BPF_X, number_reg(g), number_reg(g), extend, 0);
}

static void shift_by(struct numbers *g)
{
	static const uint8_t shifts[] = {BPF_LSH, BPF_RSH, BPF_ARSH};
	int wide = width(g), at = number_reg(g);

	if (chance(g, 15)) { /* all bits are the sign, and some are taken */
		emit(g, wide | BPF_ARSH | BPF_K, at, 0, 0, wide == BPF_ALU64 ? 63 : 31);
		emit(g, (chance(g, 80) ? wide : width(g)) | BPF_AND | BPF_K, at, 0, 0, constant(g));
		return;
	}
	emit(g, wide | shifts[below(g, 3)] | BPF_K, at, 0, 0, (int32_t)below(g, wide == BPF_ALU64 ? 64 : 32));
}

static void compute(struct numbers *g)
{
	static const uint8_t ops[] = {BPF_ADD, BPF_ADD, BPF_ADD, BPF_SUB, BPF_SUB, BPF_XOR, BPF_AND, BPF_OR, BPF_MUL, BPF_DIV, BPF_MOD, BPF_NEG, BPF_END};
	uint8_t op = ops[below(g, sizeof(ops))];
	bool divides = op == BPF_DIV || op == BPF_MOD;
	int32_t k = constant(g);

	if (op == BPF_NEG)
		emit(g, width(g) | BPF_NEG, number_reg(g), 0, 0, 0);
	else if (op == BPF_END)
		emit(g, (chance(g, 60) ? BPF_ALU : BPF_ALU64) | BPF_END, number_reg(g), 0, 0, 16 << below(g, 3));
	else if (chance(g, 70))
		emit(g, width(g) | op | BPF_K, number_reg(g), 0, divides && chance(g, 30) ? 1 : 0, divides && !k ? 3 : k);
	else
		emit(g, width(g) | op | BPF_X, number_reg(g), number_reg(g), divides && chance(g, 30) ? 1 : 0, 0);
}

static void through_stack(struct numbers *g)
{
	static const uint8_t sizes[] = {BPF_DW, BPF_DW, BPF_W, BPF_H};
	uint8_t size = sizes[below(g, 4)];
	int at = -8 * (1 + (int)below(g, SLOTS));

	if (chance(g, 50))
		emit(g, BPF_STX | BPF_MEM | size, FP, number_reg(g), at, 0);
	emit(g, BPF_LDX | BPF_MEM | (chance(g, 80) ? size : sizes[below(g, 4)]), number_reg(g), FP, at, 0);
}

static void compare(struct numbers *g)
{
	static const uint8_t ops[] = {BPF_JEQ, BPF_JNE, BPF_JGT, BPF_JGE, BPF_JLT, BPF_JLE, BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE, BPF_JSET};
	int code = (chance(g, 50) ? BPF_JMP : BPF_JMP32) | ops[below(g, sizeof(ops))];
	uint32_t jump;

	if (chance(g, 70))
		jump = emit(g, code | BPF_K, number_reg(g), 0, 0, constant(g));
	else
		jump = emit(g, code | BPF_X, number_reg(g), number_reg(g), 0, 0);
	if (chance(g, 40)) { /* the other edge is the one that leaves */
		g->out->insns[jump].off = 1;
		jump = emit(g, BPF_JMP | BPF_JA, 0, 0, 0, 0);
	}
	if (g->n_exits < sizeof(g->to_exit) / sizeof(g->to_exit[0]))
		g->to_exit[g->n_exits++] = jump;
}

static void leave_byte(struct numbers *g, int at)
{
	if (chance(g, 60))
		emit(g, BPF_ST | BPF_MEM | BPF_B, FP, 0, at, chance(g, 60) ? 0 : constant(g));
	else
		emit(g, BPF_STX | BPF_MEM | BPF_B, FP, number_reg(g), at, 0);
}

/* Two ways lead on, which leave something else in the same place: a copy, another copy, what is off by a constant, another number; or a byte of a slot. */
static void meet(struct numbers *g)
{
	int to = number_reg(g), from = number_reg(g), byte = chance(g, 25) ? -1 - (int)below(g, 8 * SLOTS) : 0;
	uint32_t jump, over = 0;

	emit(g, BPF_LDX | BPF_MEM | BPF_B, 0, VALUE, (int)below(g, VALUE_BYTES), 0);
	jump = emit(g, BPF_JMP | BPF_JSET | BPF_K, 0, 0, 0, 1);
	for (int way = 0; way < 2; way++) {
		if (byte)
			leave_byte(g, byte);
		else if (chance(g, 70))
			emit(g, BPF_ALU64 | BPF_MOV | BPF_X, to, chance(g, 70) ? from : number_reg(g), 0, 0);
		else
			load(g, to);
		if (!byte && chance(g, 50))
			emit(g, width(g) | BPF_ADD | BPF_K, to, 0, 0, constant(g));
		if (way == 0) {
			over = emit(g, BPF_JMP | BPF_JA, 0, 0, 0, 0);
			g->out->insns[jump].off = (int16_t)(g->out->n - jump - 1);
		}
	}
	g->out->insns[over].off = (int16_t)(g->out->n - over - 1);
	if (byte)
		emit(g, BPF_LDX | BPF_MEM | BPF_B, to, FP, byte, 0);
}

/* Somewhere in the slots, at a multiple of align. */
static void address(struct numbers *g, int to, int align)
{
	bool far = chance(g, 50);

	emit(g, BPF_LDX | BPF_MEM | BPF_B, to, VALUE, (int)below(g, VALUE_BYTES), 0);
	emit(g, BPF_ALU64 | BPF_AND | BPF_K, to, 0, 0, (far ? 15 : 7) & -align);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_X, to, FP, 0, 0);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, -8 * SLOTS + (far ? 0 : 8 * (int)below(g, 2)));
}

static void variable_store(struct numbers *g)
{
	static const uint8_t sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW};
	uint32_t size = below(g, 4);

	address(g, TEMP, 1 << size);
	if (chance(g, 60))
		emit(g, BPF_ST | BPF_MEM | sizes[size], TEMP, 0, 0, chance(g, 70) ? 0 : constant(g));
	else
		emit(g, BPF_STX | BPF_MEM | sizes[size], TEMP, number_reg(g), 0, 0);
}

/* A helper writes into the slots; numbers are filled from there again. */
static void helper_writes(struct numbers *g)
{
	int size = 1 + (int)below(g, 8);

	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, 1, CTX, 0, 0);
	emit(g, BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, (int32_t)below(g, 6));
	if (chance(g, 50)) {
		address(g, 3, 1);
	} else {
		emit(g, BPF_ALU64 | BPF_MOV | BPF_X, 3, FP, 0, 0);
		emit(g, BPF_ALU64 | BPF_ADD | BPF_K, 3, 0, 0, -8 * SLOTS + (int)below(g, (uint32_t)(8 * SLOTS - size)));
	}
	emit(g, BPF_ALU64 | BPF_MOV | BPF_K, 4, 0, 0, size);
	emit(g, BPF_JMP | BPF_CALL, 0, 0, 0, 26 /* skb_load_bytes */);
	for (int i = 1; i <= NUMBERS; i++)
		emit(g, BPF_LDX | BPF_MEM | BPF_DW, i, FP, -8 * (1 + (int)below(g, SLOTS)), 0);
}

static void begin(struct numbers *g)
{
	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, CTX, 1, 0, 0);
	emit(g, BPF_ST | BPF_MEM | BPF_DW, FP, 0, -8, (int32_t)below(g, 4));
	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, 2, FP, 0, 0);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -8);
	g->out->map[emit(g, BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, 0)] = MAP_IN_ARRAY;
	emit(g, 0, 0, 0, 0, 0);
	emit(g, BPF_JMP | BPF_CALL, 0, 0, 0, 1 /* map_lookup_elem */);
	emit(g, BPF_JMP | BPF_JNE | BPF_K, 0, 0, 1, 0);
	emit(g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, VALUE, 0, 0, 0);
	for (int i = 1; i <= NUMBERS; i++)
		load(g, i);
	for (int i = 1; i <= SLOTS; i++)
		emit(g, BPF_STX | BPF_MEM | BPF_DW, FP, number_reg(g), -8 * i, 0);
}

void generate_numbers(struct generated *out, uint64_t seed)
{
	struct numbers g = {.out = out, .rng = seed * 0x9e3779b97f4a7c15ull + 4242};

	memset(out, 0, sizeof(*out));
	below(&g, 2);
	out->type = BPF_PROG_TYPE_SCHED_CLS;
	out->flags = chance(&g, 50) ? BPF_F_TEST_STATE_FREQ : 0;
	out->steady = true;
	begin(&g);
	for (uint32_t n = 8 + below(&g, 16); n; n--) {
		uint32_t kind = below(&g, 100);

		if (kind < 25)
			copy(&g);
		else if (kind < 48)
			compute(&g);
		else if (kind < 53)
			shift_by(&g);
		else if (kind < 61)
			through_stack(&g);
		else if (kind < 64)
			variable_store(&g);
		else if (kind < 66)
			helper_writes(&g);
		else if (kind < 73)
			meet(&g);
		else if (kind < 76)
			load(&g, number_reg(&g));
		else if (kind < 79)
			wide_constant(&g, number_reg(&g));
		else
			compare(&g);
	}
	for (uint32_t i = 0; i < g.n_exits; i++)
		out->insns[g.to_exit[i]].off = (int16_t)(out->n - g.to_exit[i] - 1);
	emit(&g, BPF_ALU64 | BPF_MOV | BPF_X, 0, 1, 0, 0);
	for (int i = 2; i <= NUMBERS; i++)
		emit(&g, BPF_ALU64 | BPF_XOR | BPF_X, 0, i, 0, 0);
	emit(&g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}
