/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs whose safety depends on what a verifier remembers from one path when another arrives: paths meet that left different numbers (or a number and
 * a pointer, or a value that was tested and one that was not) in the same place; what they left is carried on, through registers, stack, arithmetic, functions
 * and loops; in the end something is right for one of them only, or for all. The path that is walked first is mostly the harmless one.
 */
#include "generate.h"

#include <string.h>

enum { FP = 10, CTX = 6, VALUE = 7, SLOTS = 10, FUNCTIONS = 4, FILLER = 12 };

struct paths {
	struct generated *out;
	uint64_t rng;
	struct {
		uint32_t call;
		uint8_t kind;
	} calls[FUNCTIONS];
	uint32_t n_calls;
	int at; /* the register that holds what is carried */
	int32_t low, high; /* what it is on the harmless and on the other path */
	uint32_t to_exit[16], n_exits;
};

static uint32_t below(struct paths *g, uint32_t n)
{
	g->rng = g->rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(g->rng >> 33) % n;
}

static bool chance(struct paths *g, uint32_t percent)
{
	return below(g, 100) < percent;
}

static uint32_t emit(struct paths *g, int code, int dst, int src, int off, int32_t imm)
{
	return generated_add(g->out, code, dst, src, off, imm);
}

static void land(struct paths *g, uint32_t jump)
{
	g->out->insns[jump].off = (int16_t)(g->out->n - jump - 1);
}

static void set(struct paths *g, int dst, int32_t n)
{
	emit(g, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, n);
}

static void copy(struct paths *g, int dst, int src)
{
	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}

static int slot(struct paths *g)
{
	return -8 * (1 + (int)below(g, SLOTS));
}

static void leave(struct paths *g, uint32_t jump) /* to the end */
{
	if (g->n_exits < sizeof(g->to_exit) / sizeof(g->to_exit[0]))
		g->to_exit[g->n_exits++] = jump;
}

/* ---- beginning ---- */

static void lookup(struct paths *g, int to, bool check)
{
	emit(g, BPF_ST | BPF_MEM | BPF_DW, FP, 0, -8, (int32_t)below(g, check ? 4 : 12)); /* from 8 on there is none */
	copy(g, 2, FP);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -8);
	g->out->map[emit(g, BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, 0)] = MAP_IN_HASH;
	emit(g, 0, 0, 0, 0, 0);
	emit(g, BPF_JMP | BPF_CALL, 0, 0, 0, 1 /* map_lookup_elem */);
	if (check)
		leave(g, emit(g, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 0, 0));
	copy(g, to, 0);
}

static void begin(struct paths *g)
{
	copy(g, CTX, 1);
	lookup(g, VALUE, true);
	for (int i = 1; i <= SLOTS; i++)
		emit(g, BPF_ST | BPF_MEM | BPF_DW, FP, 0, -8 * i, 0);
}

/* Something that is not known: a byte of the value, which inputs make small, large or zero. */
static void unknown(struct paths *g, int to)
{
	emit(g, BPF_LDX | BPF_MEM | BPF_B, to, VALUE, (int)below(g, VALUE_BYTES), 0);
}

static uint32_t unknown_jump(struct paths *g)
{
	static const uint8_t ops[] = {BPF_JEQ, BPF_JNE, BPF_JGT, BPF_JLT, BPF_JSET, BPF_JLE};
	static const int32_t against[] = {0, 0, 6, 4, 1, 3};
	uint32_t i = below(g, 6);

	unknown(g, 0);
	return emit(g, (chance(g, 70) ? BPF_JMP : BPF_JMP32) | ops[i] | BPF_K, 0, 0, 0, against[i]);
}

/* Where paths go by, states are kept now and then. */
static void filler(struct paths *g)
{
	for (uint32_t n = below(g, FILLER); n; n--) {
		uint32_t jump;

		if (chance(g, 50)) {
			emit(g, BPF_ALU64 | BPF_XOR | BPF_K, 0, 0, 0, 1);
			continue;
		}
		jump = unknown_jump(g);
		emit(g, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 1);
		land(g, jump);
	}
}

/* ---- paths meet ---- */

static void leave_number(struct paths *g, int32_t n, int in_slot)
{
	int32_t mask;

	if (in_slot) {
		if (chance(g, 50)) {
			emit(g, BPF_ST | BPF_MEM | BPF_DW, FP, 0, in_slot, n);
		} else {
			set(g, 1, n);
			emit(g, BPF_STX | BPF_MEM | BPF_DW, FP, 1, in_slot, 0);
		}
		return;
	}
	for (mask = 1; mask < n; mask = mask * 2 + 1)
		;
	if (mask != n || chance(g, 60)) {
		emit(g, (chance(g, 60) ? BPF_ALU64 : BPF_ALU) | BPF_MOV | BPF_K, g->at, 0, 0, n);
		return;
	}
	unknown(g, g->at);
	emit(g, BPF_ALU64 | BPF_AND | BPF_K, g->at, 0, 0, n);
}

static void meet(struct paths *g)
{
	int in_slot = chance(g, 30) ? slot(g) : 0;
	bool harmless_first = chance(g, 85);
	uint32_t jump, over;

	g->at = 8 + (int)below(g, 2);
	g->low = (int32_t)((const uint8_t[]){0, 1, 3, 7, 12, 15}[below(g, 6)]);
	g->high = g->low + (int32_t)((const uint8_t[]){1, 2, 4, 16, 32, 48, 100}[below(g, 7)]);
	jump = unknown_jump(g);
	/* the edge that is not taken is walked first */
	leave_number(g, harmless_first ? g->low : g->high, in_slot);
	over = emit(g, BPF_JMP | BPF_JA, 0, 0, 0, 0);
	land(g, jump);
	leave_number(g, harmless_first ? g->high : g->low, in_slot);
	land(g, over);
	filler(g);
	if (in_slot)
		emit(g, BPF_LDX | BPF_MEM | BPF_DW, g->at, FP, in_slot, 0);
}

/* ---- what is left is carried on ---- */

enum { F_SAME, F_STACK, F_THROUGH_POINTER, F_ADDS, F_BRANCHES, F_KINDS };

static void call(struct paths *g, uint8_t kind)
{
	if (g->n_calls == FUNCTIONS)
		return;
	if (kind == F_THROUGH_POINTER) {
		int at = slot(g);

		emit(g, BPF_STX | BPF_MEM | BPF_DW, FP, g->at, at, 0);
		copy(g, 1, FP);
		emit(g, BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, at);
	} else {
		copy(g, 1, g->at);
	}
	unknown(g, 2);
	g->calls[g->n_calls].kind = kind;
	g->calls[g->n_calls++].call = emit(g, BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 0);
	copy(g, g->at, 0);
	if (kind == F_ADDS)
		emit(g, BPF_ALU64 | BPF_SUB | BPF_K, g->at, 0, 0, 5);
}

static void carry(struct paths *g)
{
	int other = 17 - g->at, at = slot(g), i;

	switch (below(g, 10)) {
	case 0:
		copy(g, other, g->at);
		if (chance(g, 50))
			unknown(g, g->at);
		g->at = other;
		break;
	case 1:
		emit(g, BPF_STX | BPF_MEM | BPF_DW, FP, g->at, at, 0);
		unknown(g, g->at);
		filler(g);
		emit(g, BPF_LDX | BPF_MEM | BPF_DW, other, FP, at, 0);
		g->at = other;
		break;
	case 2:
		i = chance(g, 50) ? BPF_W : BPF_DW;
		emit(g, BPF_STX | BPF_MEM | i, FP, g->at, at, 0);
		set(g, g->at, 9);
		emit(g, BPF_LDX | BPF_MEM | (i == BPF_W || chance(g, 50) ? BPF_W : BPF_DW), g->at, FP, at, 0);
		break;
	case 3:
		emit(g, BPF_ALU64 | BPF_ADD | BPF_K, g->at, 0, 0, 100);
		filler(g);
		emit(g, BPF_ALU64 | BPF_SUB | BPF_K, g->at, 0, 0, 100);
		break;
	case 4: emit(g, BPF_ALU | BPF_MOV | BPF_X, g->at, g->at, 0, 0); break;
	case 5:
		emit(g, BPF_ALU64 | BPF_LSH | BPF_K, g->at, 0, 0, 4);
		emit(g, BPF_ALU64 | BPF_RSH | BPF_K, g->at, 0, 0, 4);
		break;
	case 6: filler(g); break;
	case 7: /* the sum with a constant that came another way */
		set(g, 3, 6);
		emit(g, BPF_ALU64 | BPF_ADD | BPF_X, g->at, 3, 0, 0);
		emit(g, BPF_ALU64 | BPF_SUB | BPF_K, g->at, 0, 0, 6);
		break;
	case 8: /* a few turns */
		set(g, 5, 0);
		i = (int)emit(g, BPF_ALU64 | BPF_ADD | BPF_K, g->at, 0, 0, 2);
		emit(g, BPF_ALU64 | BPF_ADD | BPF_K, 5, 0, 0, 1);
		emit(g, BPF_JMP | BPF_JLT | BPF_K, 5, 0, i - (int)g->out->n - 1, 3);
		emit(g, BPF_ALU64 | BPF_SUB | BPF_K, g->at, 0, 0, 6);
		break;
	default: call(g, (uint8_t)below(g, F_KINDS));
	}
}

/* ---- what relies on it ---- */

/* The most that the place is made for: what the harmless path left, what any may have left, or a little more. */
static int32_t room(struct paths *g)
{
	return chance(g, 60) ? g->low : chance(g, 70) ? g->high : g->high + (int32_t)below(g, 4);
}

static void use_index(struct paths *g)
{
	int32_t last = room(g), size = (int32_t)(1u << below(g, 4)), off = VALUE_BYTES - size - last;

	if (off < -64)
		off = 0;
	copy(g, 1, VALUE);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_X, 1, g->at, 0, 0);
	if (chance(g, 60))
		emit(g, BPF_LDX | BPF_MEM | (size == 1 ? BPF_B : size == 2 ? BPF_H : size == 4 ? BPF_W : BPF_DW), 0, 1, off, 0);
	else
		emit(g, BPF_ST | BPF_MEM | (size == 1 ? BPF_B : size == 2 ? BPF_H : size == 4 ? BPF_W : BPF_DW), 1, 0, off, 1);
}

static void use_stack(struct paths *g)
{
	int32_t last = room(g);

	copy(g, 1, FP);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_X, 1, g->at, 0, 0);
	if (chance(g, 50))
		emit(g, BPF_LDX | BPF_MEM | BPF_B, 0, 1, last > 79 ? -80 : -1 - last, 0);
	else
		emit(g, BPF_ST | BPF_MEM | BPF_B, 1, 0, last > 79 ? -80 : -1 - last, 1);
}

static void use_size(struct paths *g)
{
	int32_t most = room(g);

	if (most > 64)
		most = 64;
	copy(g, 1, FP);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, -most);
	copy(g, 2, g->at);
	set(g, 3, 0);
	emit(g, BPF_JMP | BPF_CALL, 0, 0, 0, 113 /* probe_read_kernel */);
}

/* A jump that goes one way on the harmless path, and what may not be done on the other. */
static void use_branch(struct paths *g)
{
	static const uint8_t ops[] = {BPF_JEQ, BPF_JLE, BPF_JLT, BPF_JSLE, BPF_JSLT};
	uint32_t i = below(g, 5), jump;
	int32_t than = ops[i] == BPF_JLT || ops[i] == BPF_JSLT ? g->low + 1 : g->low;

	if (chance(g, 30) && ops[i] != BPF_JEQ)
		than = g->high + 1; /* both go that way */
	jump = emit(g, (chance(g, 70) ? BPF_JMP : BPF_JMP32) | ops[i] | BPF_K, g->at, 0, 0, than);
	emit(g, BPF_ST | BPF_MEM | BPF_W, VALUE, 0, VALUE_BYTES, 1);
	land(g, jump);
}

static void use_bits(struct paths *g)
{
	int32_t bit = 1;
	uint32_t jump;

	while (bit <= g->high && (!(g->high & bit) || g->low & bit))
		bit *= 2;
	jump = emit(g, BPF_JMP | BPF_JSET | BPF_K, g->at, 0, 0, bit);
	leave(g, emit(g, BPF_JMP | BPF_JA, 0, 0, 0, 0));
	land(g, jump);
	emit(g, BPF_ST | BPF_MEM | BPF_W, VALUE, 0, VALUE_BYTES - (chance(g, 40) ? 4 : 0), 1);
}

/* A copy is tested: what it tells holds for the original, as long as neither changed. */
static void use_copy(struct paths *g)
{
	int other = 17 - g->at;
	int32_t most = room(g), shift = chance(g, 50) ? (int32_t)below(g, 20) : 0;
	bool changed = chance(g, 20), narrow = chance(g, 30);

	if (chance(g, 30))
		emit(g, BPF_LDX | BPF_MEM | BPF_DW, g->at, VALUE, 8 * (int)below(g, VALUE_BYTES / 8), 0);
	else
		unknown(g, g->at);
	emit(g, (narrow && chance(g, 50) ? BPF_ALU : BPF_ALU64) | BPF_MOV | BPF_X, other, g->at, 0, 0);
	if (shift)
		emit(g, (narrow ? BPF_ALU : BPF_ALU64) | BPF_ADD | BPF_K, other, 0, 0, shift);
	if (changed)
		emit(g, BPF_ALU64 | BPF_ADD | BPF_K, chance(g, 50) ? g->at : other, 0, 0, 1);
	leave(g, emit(g, (narrow ? BPF_JMP32 : BPF_JMP) | BPF_JGT | BPF_K, other, 0, 0, most + shift));
	g->low = most + (changed && chance(g, 50) ? 1 : 0);
	g->high = g->low + 1;
	filler(g);
	use_index(g);
}

/* A number or the value's address in one place. */
static void use_kind(struct paths *g)
{
	int at = chance(g, 50) ? slot(g) : 0;
	bool both = chance(g, 30);
	uint32_t jump, over;

	jump = unknown_jump(g);
	copy(g, g->at, VALUE);
	over = emit(g, BPF_JMP | BPF_JA, 0, 0, 0, 0);
	land(g, jump);
	if (both)
		copy(g, g->at, VALUE);
	else
		unknown(g, g->at);
	land(g, over);
	if (at) {
		emit(g, BPF_STX | BPF_MEM | BPF_DW, FP, g->at, at, 0);
		unknown(g, g->at);
	}
	filler(g);
	if (at)
		emit(g, BPF_LDX | BPF_MEM | BPF_DW, g->at, FP, at, 0);
	emit(g, BPF_LDX | BPF_MEM | BPF_B, 0, g->at, (int)below(g, VALUE_BYTES), 0);
	unknown(g, g->at);
}

/* A second value, tested on one path only. */
static void use_null(struct paths *g)
{
	uint32_t jump, null, over;
	bool both = chance(g, 30);

	lookup(g, g->at, both);
	jump = unknown_jump(g);
	null = emit(g, BPF_JMP | BPF_JEQ | BPF_K, g->at, 0, 0, 0);
	leave(g, null);
	over = emit(g, BPF_JMP | BPF_JA, 0, 0, 0, 0);
	land(g, jump);
	emit(g, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 3);
	land(g, over);
	filler(g);
	emit(g, BPF_LDX | BPF_MEM | BPF_B, 0, g->at, 3, 0);
	unknown(g, g->at);
}

/* Two values, of which one is tested. */
static void use_other_null(struct paths *g)
{
	int other = 17 - g->at;

	lookup(g, other, false);
	lookup(g, g->at, false);
	leave(g, emit(g, BPF_JMP | BPF_JEQ | BPF_K, chance(g, 70) ? g->at : other, 0, 0, 0));
	filler(g);
	emit(g, BPF_LDX | BPF_MEM | BPF_B, 0, chance(g, 50) ? g->at : other, 5, 0);
	unknown(g, g->at);
	unknown(g, other);
}

/* A frame's slot that one path wrote: its bytes are a number, or what was there. */
static void use_slot(struct paths *g)
{
	int at = slot(g);
	uint32_t jump;

	emit(g, BPF_STX | BPF_MEM | BPF_DW, FP, g->at, at, 0);
	jump = unknown_jump(g);
	emit(g, BPF_ST | BPF_MEM | (chance(g, 50) ? BPF_DW : BPF_B), FP, 0, at, g->low);
	land(g, jump);
	filler(g);
	emit(g, BPF_LDX | BPF_MEM | BPF_DW, g->at, FP, at, 0);
	use_index(g);
}

static void use(struct paths *g)
{
	static void (*const kinds[])(struct paths *) = {use_index, use_index, use_stack, use_size, use_branch, use_bits, use_copy, use_kind, use_null, use_other_null, use_slot};

	kinds[below(g, sizeof(kinds) / sizeof(kinds[0]))](g);
}

/* ---- end ---- */

static void function(struct paths *g, uint8_t kind)
{
	uint32_t jump;

	switch (kind) {
	case F_STACK:
		emit(g, BPF_STX | BPF_MEM | BPF_DW, FP, 1, -16, 0);
		set(g, 1, 4);
		emit(g, BPF_LDX | BPF_MEM | BPF_DW, 0, FP, -16, 0);
		break;
	case F_THROUGH_POINTER:
		emit(g, BPF_LDX | BPF_MEM | BPF_DW, 0, 1, 0, 0);
		break;
	case F_ADDS:
		copy(g, 0, 1);
		emit(g, BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 5);
		break;
	case F_BRANCHES:
		copy(g, 0, 1);
		jump = emit(g, BPF_JMP | BPF_JGT | BPF_K, 2, 0, 0, 3);
		copy(g, 6, 0);
		set(g, 0, 0);
		copy(g, 0, 6);
		land(g, jump);
		break;
	default: copy(g, 0, 1);
	}
	emit(g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

void generate_paths(struct generated *out, uint64_t seed)
{
	static const uint32_t types[] = {BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_XDP};
	struct paths g = {.out = out, .rng = seed * 0x9e3779b97f4a7c15ull + 777};

	memset(out, 0, sizeof(*out));
	below(&g, 2);
	out->type = types[below(&g, 3)];
	out->flags = chance(&g, 60) ? BPF_F_TEST_STATE_FREQ : 0;
	out->steady = true;
	begin(&g);
	for (uint32_t stories = 1 + below(&g, 2); stories; stories--) {
		meet(&g);
		for (uint32_t n = below(&g, 4); n; n--)
			carry(&g);
		use(&g);
	}
	for (uint32_t i = 0; i < g.n_exits; i++)
		land(&g, g.to_exit[i]);
	set(&g, 0, (int32_t)below(&g, 3));
	emit(&g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	for (uint32_t i = 0; i < g.n_calls; i++) {
		out->insns[g.calls[i].call].imm = (int32_t)out->n - (int32_t)g.calls[i].call - 1;
		function(&g, g.calls[i].kind);
	}
}

void generate_either(struct generated *out, uint64_t seed)
{
	if (seed % 2)
		generate_paths(out, seed);
	else
		generate(out, seed);
}
