/* SPDX-License-Identifier: BSD-2-Clause */
#include "mutate.h"

#include <stdbool.h>

enum { HELPERS = 212 };

struct chance {
	uint64_t state;
};

static uint32_t below(struct chance *c, uint32_t n)
{
	c->state = c->state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(c->state >> 33) % n;
}

static bool is_wide(const struct bpf_insn *in)
{
	return in->code == (BPF_LD | BPF_IMM | BPF_DW);
}

static bool is_second_half(const struct bpf_insn *insns, uint32_t at)
{
	return insns[at].code == 0 && at && is_wide(&insns[at - 1]);
}

static bool is_jump(const struct bpf_insn *in)
{
	uint8_t class = BPF_CLASS(in->code);

	return (class == BPF_JMP || class == BPF_JMP32) && BPF_OP(in->code) != BPF_CALL && BPF_OP(in->code) != BPF_EXIT;
}

static bool is_call(const struct bpf_insn *in)
{
	return in->code == (BPF_JMP | BPF_CALL);
}

static bool is_memory(const struct bpf_insn *in)
{
	uint8_t class = BPF_CLASS(in->code);

	return class == BPF_LDX || class == BPF_ST || class == BPF_STX;
}

/* The number of another instruction like this one: calls go to functions that the program knows. */
static int32_t number_of_another(const struct bpf_insn *insns, uint32_t n, uint32_t at, struct chance *c)
{
	uint32_t from = below(c, n);

	for (uint32_t i = 0; i < n; i++) {
		const struct bpf_insn *in = &insns[(from + i) % n];

		if (in->code == insns[at].code && in->src_reg == insns[at].src_reg && in->imm != insns[at].imm)
			return in->imm;
	}
	return insns[at].imm;
}

static int32_t number(const struct bpf_insn *insns, uint32_t n, uint32_t at, struct chance *c)
{
	static const int32_t edges[] = {0, 1, -1, 2, 4, 8, 16, 64, 255, 256, 511, 512, 4096, 65535, INT32_MAX, INT32_MIN};
	int32_t imm = insns[at].imm;

	switch (below(c, 6)) {
	case 0:
		return imm + 1;
	case 1:
		return imm - 1;
	case 2:
		return imm ^ (int32_t)(1u << below(c, 32));
	case 3:
		return edges[below(c, sizeof(edges) / sizeof(edges[0]))];
	default:
		return number_of_another(insns, n, at, c);
	}
}

static int16_t offset(int16_t off, struct chance *c)
{
	static const int16_t steps[] = {1, -1, 2, -2, 4, -4, 8, -8, 16, -16, 64, -64, 512, -512};

	return below(c, 8) ? (int16_t)(off + steps[below(c, sizeof(steps) / sizeof(steps[0]))]) : (int16_t)-off;
}

static uint8_t other_code(uint8_t code, struct chance *c)
{
	static const uint8_t sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW};
	uint8_t class = BPF_CLASS(code);

	if (class == BPF_LDX || class == BPF_ST || class == BPF_STX || class == BPF_LD)
		return (uint8_t)((code & ~0x18) | sizes[below(c, 4)]);
	switch (below(c, 3)) {
	case 0: /* 32 bits for 64, and the other way */
		return (uint8_t)(code ^ (class == BPF_ALU || class == BPF_ALU64 ? BPF_ALU ^ BPF_ALU64 : BPF_JMP ^ BPF_JMP32));
	case 1:
		return code ^ BPF_X;
	default:
		return (uint8_t)((code & 0x0f) | below(c, 14) << 4);
	}
}

static void nothing(struct bpf_insn *in)
{
	*in = (struct bpf_insn){.code = BPF_JMP | BPF_JA};
}

/* Fields that an instruction of this kind does not use are 0, so that it is not refused for them alone. */
static void tidy(struct bpf_insn *in)
{
	uint8_t class = BPF_CLASS(in->code);
	bool register_operand = in->code & BPF_X;

	if (is_wide(in) || is_call(in) || class == BPF_LD)
		return;
	if (class == BPF_ST)
		in->src_reg = 0;
	else if (is_memory(in))
		in->imm = BPF_MODE(in->code) == BPF_ATOMIC ? in->imm : 0;
	else if (in->code == (BPF_JMP | BPF_EXIT))
		*in = (struct bpf_insn){.code = in->code};
	else if (in->code == (BPF_JMP | BPF_JA))
		*in = (struct bpf_insn){.code = in->code, .off = in->off};
	else if (register_operand)
		in->imm = 0;
	else
		in->src_reg = 0;
}

static void change_wide(struct bpf_insn *in, struct chance *c)
{
	if (!in[0].src_reg)
		in[0].imm = (int32_t)(below(c, 2) ? (uint32_t)in[0].imm + 1 : 1u << below(c, 32));
	else if (in[0].src_reg == BPF_PSEUDO_MAP_VALUE)
		in[1].imm += below(c, 2) ? 8 : -1;
	else
		in[0].dst_reg = below(c, 10) & 15;
}

static void change(struct bpf_insn *insns, uint32_t n, uint32_t at, struct chance *c)
{
	struct bpf_insn *in = &insns[at], kept = *in;
	uint32_t other;

	if (is_second_half(insns, at))
		return;
	if (is_wide(in) && below(c, 3)) {
		change_wide(in, c);
		return;
	}
	switch (below(c, 10)) {
	case 0:
		in->dst_reg = below(c, 11) & 15;
		return;
	case 1:
		if (!is_wide(in) && !is_call(in))
			in->src_reg = below(c, 11) & 15;
		return;
	case 2:
	case 3:
		if (is_call(in) && !in->src_reg && below(c, 2))
			in->imm = (int32_t)below(c, HELPERS);
		else if (!is_wide(in))
			in->imm = number(insns, n, at, c);
		return;
	case 4:
		if (is_memory(in) || is_jump(in))
			in->off = offset(in->off, c);
		return;
	case 5:
		nothing(in);
		if (is_wide(&kept))
			nothing(in + 1);
		return;
	case 6:
		if (at + 1 < n && !is_wide(in) && !is_wide(in + 1)) {
			in[0] = in[1];
			in[1] = kept;
		}
		return;
	case 7:
		other = below(c, n);
		if (!is_wide(in) && !is_wide(&insns[other]) && !is_second_half(insns, other))
			*in = insns[other];
		return;
	default:
		if (!is_wide(in) && !is_call(in) && in->code != (BPF_JMP | BPF_EXIT))
			in->code = other_code(in->code, c);
	}
}

void mutate(struct bpf_insn *insns, uint32_t n, uint32_t seed)
{
	struct chance c = {seed * 0x9e3779b97f4a7c15u + 1};
	uint32_t changes = 1 + below(&c, 3) / 2 + below(&c, 4) / 3;

	for (uint32_t i = 0; i < changes; i++) {
		uint32_t at = below(&c, n);

		change(insns, n, at, &c);
		if (!is_second_half(insns, at))
			tidy(&insns[at]);
	}
}
