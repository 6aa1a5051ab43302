/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes as a program that mostly means something: eight bytes choose an instruction and its operands among
 * those that have a chance. Before them: every register holds a number, R6 the context, R7 an element of a
 * map or, for packets, R8 and R9 its checked bytes.
 */
#include "sys/fuzz.h"

#include <string.h>

enum { FP = 10, TAIL = 2 };

struct shape {
	struct bpf_insn *at;
	u32 n, most;
};

static void put(struct shape *s, int code, u32 dst, u32 src, s32 off, s32 imm)
{
	if (s->n < s->most)
		s->at[s->n++] = (struct bpf_insn){
		    .code = (u8)code, .dst_reg = dst & 15, .src_reg = src & 15, .off = (s16)off, .imm = imm};
}

static void put_map(struct shape *s, u32 dst, u32 map)
{
	put(s, BPF_LD | BPF_IMM | BPF_DW, dst, BPF_PSEUDO_MAP_IDX, 0, (s32)map);
	put(s, 0, 0, 0, 0, 0);
}

static void end(struct shape *s)
{
	put(s, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	put(s, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void begin(struct shape *s, u32 type)
{
	u32 data = type == BPF_PROG_TYPE_XDP ? 0 : offsetof(struct __sk_buff, data),
	    data_end = type == BPF_PROG_TYPE_XDP ? 4 : data + 4;
	bool packet = side_reads_packets(type);

	put(s, BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0);
	for (s32 off = -64; off < 0; off += 8)
		put(s, BPF_ST | BPF_MEM | BPF_DW, FP, 0, off, 0);
	put_map(s, 1, FUZZ_ARRAY);
	put(s, BPF_ALU64 | BPF_MOV | BPF_X, 2, FP, 0, 0);
	put(s, BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4);
	put(s, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
	put(s, BPF_JMP | BPF_JNE | BPF_K, 0, 0, 2, 0);
	end(s);
	put(s, BPF_ALU64 | BPF_MOV | BPF_X, 7, 0, 0, 0);
	for (u32 reg = 8; packet && reg < 10; reg++)
		put(s, BPF_LDX | BPF_MEM | BPF_W, reg, 6, (s32)(reg == 8 ? data : data_end), 0);
	if (packet) {
		put(s, BPF_ALU64 | BPF_MOV | BPF_X, 2, 8, 0, 0);
		put(s, BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, 32);
		put(s, BPF_JMP | BPF_JLE | BPF_X, 2, 9, 2, 0);
		end(s);
	}
	for (u32 reg = 0; reg < 10; reg++)
		if (reg < 6 || (reg > 7 && !packet))
			put(s, BPF_ALU64 | BPF_MOV | BPF_K, reg, 0, 0, (s32)reg);
}

/* Offsets that fit what registers are likely to hold. */
static s32 offset(u32 base, u8 b)
{
	return base == FP ? -(s32)(b % 64) - 1 : base == 8 ? b % 40 : b % 70;
}

static void memory(struct shape *s, const u8 *b, s32 imm)
{
	static const u8 sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW};
	static const s32 atomics[] = {BPF_ADD,
				      BPF_OR,
				      BPF_AND,
				      BPF_XOR,
				      BPF_ADD | BPF_FETCH,
				      BPF_OR | BPF_FETCH,
				      BPF_AND | BPF_FETCH,
				      BPF_XOR | BPF_FETCH,
				      BPF_XCHG,
				      BPF_CMPXCHG,
				      0x100 /* load-acquire */,
				      0x110 /* store-release */};
	static const u8 bases[] = {FP, FP, FP, 6, 7, 7, 8, 0, 1, 2};
	u32 base = b[1] < 250 ? bases[b[1] % ARRAY_SIZE(bases)] : b[1] % 11u, reg = b[2] % 10,
	    size = sizes[b[4] & 3];
	s32 off = offset(base, b[3]);

	if (b[4] & 4)
		off &= -8;
	switch (b[5] % 5) {
	case 0:
	case 1:
		put(s, BPF_LDX | (int)(b[4] & 8 ? (u32)BPF_MEM : 0x80u /* with sign */) | (int)size, reg,
		    base, off, 0);
		break;
	case 2:
		put(s, BPF_STX | BPF_MEM | (int)size, base, reg, off, 0);
		break;
	case 3:
		put(s, BPF_ST | BPF_MEM | (int)size, base, 0, off, imm);
		break;
	default:
		put(s, BPF_STX | BPF_ATOMIC | (int)size, base, reg, off, atomics[b[6] % ARRAY_SIZE(atomics)]);
		break;
	}
}

static void alu(struct shape *s, const u8 *b, s32 imm)
{
	static const u8 ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,  BPF_AND,	BPF_LSH,
				 BPF_RSH, BPF_NEG, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH, BPF_END};
	static const s16 movsx[] = {0, 0, 8, 16, 32};
	int op = ops[b[1] % ARRAY_SIZE(ops)], wide = b[2] & 1 ? BPF_ALU64 : BPF_ALU,
	    x = b[2] & 2 ? BPF_X : BPF_K;
	s32 off = 0;

	if (op == BPF_END) {
		put(s, b[2] & 1 ? BPF_ALU64 | BPF_END : BPF_ALU | BPF_END | x, b[3] % 10u, 0, 0,
		    (s32[]){16, 32, 64}[b[4] % 3]);
		return;
	}
	if (op == BPF_NEG)
		x = BPF_K, imm = 0;
	else if (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
		imm &= wide == BPF_ALU64 ? 63 : 31;
	else if (op == BPF_DIV || op == BPF_MOD)
		off = b[2] >> 2 & 1, imm = imm ? imm : 3;
	else if (op == BPF_MOV && x == BPF_X)
		off = movsx[b[4] % (wide == BPF_ALU64 ? 5 : 4)];
	put(s, wide | op | x, b[3] % 10u, x ? b[4] % 11u : 0, off,
	    x || op == BPF_NEG ? 0
	    : b[5] & 1	       ? (s8)imm
			       : imm);
}

static void jump(struct shape *s, const u8 *b, s32 imm, u32 left)
{
	static const u8 ops[] = {BPF_JEQ,  BPF_JNE, BPF_JGT, BPF_JGE,  BPF_JSET, BPF_JSGT,
				 BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE};
	int wide = b[1] & 1 ? BPF_JMP : BPF_JMP32, x = b[1] & 2 ? BPF_X : BPF_K;
	s32 off = b[5] > 240 ? -(s32)(b[4] % 8u) : (s32)(b[4] % (left + 1));

	if (b[1] > 250)
		put(s, BPF_JMP | 0xe0 /* may_goto */, 0, 0, off, 0);
	else if (b[1] > 245)
		put(s, BPF_JMP | BPF_JA, 0, 0, off, 0);
	else
		put(s, wide | ops[b[2] % ARRAY_SIZE(ops)] | x, b[3] % 10u, x ? b[6] % 11u : 0, off,
		    x	       ? 0
		    : b[5] & 1 ? (s8)imm
			       : imm);
}

/* Arguments in an order that helpers like: a map, its key on the stack, a value on the stack, a number. */
static void call(struct shape *s, const u8 *b)
{
	if (b[1] & 1)
		put_map(s, 1, b[2]);
	else
		put(s, BPF_ALU64 | BPF_MOV | BPF_X, 1, b[2] & 1 ? 6 : FP, 0, 0);
	for (u32 reg = 2; reg <= 5; reg++) {
		u8 how = b[reg + 1];

		if (how & 1) {
			put(s, BPF_ALU64 | BPF_MOV | BPF_X, reg, how & 2 ? FP : b[2] % 10u, 0, 0);
			if (how & 2)
				put(s, BPF_ALU64 | BPF_ADD | BPF_K, reg, 0, 0, -8 - 8 * (how >> 2 & 7));
		} else {
			put(s, BPF_ALU64 | BPF_MOV | BPF_K, reg, 0, 0, how >> 1);
		}
	}
	put(s, BPF_JMP | BPF_CALL, 0, 0, 0, b[7] % 212);
	for (u32 reg = 1; reg <= 5; reg++)
		put(s, BPF_ALU64 | BPF_MOV | BPF_K, reg, 0, 0, b[reg]);
}

u32 shape_program(struct bpf_insn *out, u32 most, u32 type, const u8 *data, size_t size)
{
	struct shape s = {.at = out, .most = most > TAIL ? most - TAIL : 0};
	u32 left = (u32)(size / 8);

	begin(&s, type);
	for (; left; left--, data += 8) {
		s32 imm = LOAD_AS(s32, data + 4);

		switch (data[0] % 12) {
		case 0:
		case 1:
		case 2:
		case 3:
			alu(&s, data, imm);
			break;
		case 4:
		case 5:
			jump(&s, data, imm, left);
			break;
		case 6:
		case 7:
		case 8:
			memory(&s, data, imm);
			break;
		case 9:
		case 10:
			call(&s, data);
			break;
		default:
			put_map(&s, data[1] % 10u, data[2]);
			break;
		}
	}
	s.most = most;
	end(&s);
	return s.n;
}
