/* SPDX-License-Identifier: BSD-2-Clause */
/* What the decoder refuses, and what it says: one row per rule. The last slot of each program is an exit. */
#include "isa/isa.h"
#include "test.h"

#define I(code, dst, src, off, imm) {code, (u8)((dst) | (src) << 4), off, imm}
#define EXIT I(0x95, 0, 0, 0, 0)

struct refusal {
	struct raw_insn raw[4];
	u32 n, at; /* slots; the slot to be named */
	const char *says;
};

static const struct refusal refusals[] = {
	/* opcodes that do not exist */
	{{I(0x00, 0, 0, 0, 0), EXIT}, 2, 0, "second slot of a 64-bit load"},
	{{I(0x01, 0, 0, 0, 0), EXIT}, 2, 0, "BPF_LDX uses reserved fields"},
	{{I(0x08, 0, 0, 0, 0), EXIT}, 2, 0, "unknown opcode 08"},
	{{I(0x38, 0, 0, 0, 0), EXIT}, 2, 0, "unknown opcode 38"},
	{{I(0x60, 0, 0, 0, 0), EXIT}, 2, 0, "unknown opcode 60"},
	{{I(0x82, 1, 0, 0, 0), EXIT}, 2, 0, "unknown opcode 82"},
	{{I(0x99, 1, 0, 0, 0), EXIT}, 2, 0, "unknown opcode 99"},
	{{I(0xc2, 1, 0, 0, 0), EXIT}, 2, 0, "unknown opcode c2"},
	{{I(0xe4, 1, 0, 0, 0), EXIT}, 2, 0, "unknown opcode e4"},
	{{I(0xf7, 1, 0, 0, 0), EXIT}, 2, 0, "unknown opcode f7"},
	{{I(0xf5, 1, 0, 0, 0), EXIT}, 2, 0, "unknown opcode f5"},
	{{I(0x0d, 1, 0, 0, 0), EXIT}, 2, 0, "unknown opcode 0d"},
	{{I(0x96, 0, 0, 0, 0), EXIT}, 2, 0, "unknown opcode 96"},
	{{I(0x86, 0, 0, 0, 1), EXIT}, 2, 0, "unknown opcode 86"},
	{{I(0xe6, 0, 0, 0, 0), EXIT}, 2, 0, "unknown opcode e6"},
	/* registers */
	{{I(0xb7, 11, 0, 0, 0), EXIT}, 2, 0, "R11 is invalid"},
	{{I(0xbf, 1, 12, 0, 0), EXIT}, 2, 0, "R12 is invalid"},
	{{I(0x61, 15, 1, 0, 0), EXIT}, 2, 0, "R15 is invalid"},
	{{I(0x7b, 1, 13, 0, 0), EXIT}, 2, 0, "R13 is invalid"},
	{{I(0x1d, 1, 11, 0, 0), EXIT}, 2, 0, "R11 is invalid"},
	{{I(0x48, 0, 11, 0, 0), EXIT}, 2, 0, "R11 is invalid"},
	/* arithmetic */
	{{I(0x07, 1, 2, 0, 5), EXIT}, 2, 0, "BPF_ALU uses reserved fields"},
	{{I(0x0f, 1, 2, 0, 5), EXIT}, 2, 0, "BPF_ALU uses reserved fields"},
	{{I(0x0f, 1, 2, 1, 0), EXIT}, 2, 0, "BPF_ALU uses reserved fields"},
	{{I(0x3f, 1, 2, 2, 0), EXIT}, 2, 0, "BPF_ALU uses reserved fields"},
	{{I(0xbf, 1, 2, 7, 0), EXIT}, 2, 0, "BPF_ALU uses reserved fields"},
	{{I(0x87, 1, 0, 0, 1), EXIT}, 2, 0, "BPF_NEG uses reserved fields"},
	{{I(0x8f, 1, 0, 0, 0), EXIT}, 2, 0, "BPF_NEG uses reserved fields"},
	{{I(0xb7, 1, 0, 8, 5), EXIT}, 2, 0, "BPF_MOV uses reserved fields"},
	{{I(0xbc, 1, 2, 32, 0), EXIT}, 2, 0, "BPF_MOV uses reserved fields"},
	{{I(0xd4, 1, 0, 0, 8), EXIT}, 2, 0, "16, 32 or 64 bits, not 8"},
	{{I(0xdc, 1, 0, 0, 0), EXIT}, 2, 0, "16, 32 or 64 bits, not 0"},
	{{I(0xdf, 1, 0, 0, 16), EXIT}, 2, 0, "unknown opcode df"},
	{{I(0xd4, 1, 2, 0, 16), EXIT}, 2, 0, "BPF_END uses reserved fields"},
	{{I(0xd7, 1, 0, 4, 16), EXIT}, 2, 0, "BPF_END uses reserved fields"},
	{{I(0xbf, 1, 2, 1, 2), EXIT}, 2, 0, "between address space 1 and 0"},
	/* jumps */
	{{I(0x05, 0, 0, 1, 0), EXIT}, 2, 0, "jump out of range from insn 0 to 2"},
	{{I(0x05, 0, 0, -2, 0), EXIT}, 2, 0, "jump out of range from insn 0 to -1"},
	{{I(0x06, 0, 0, 0, 0x7fffffff), EXIT}, 2, 0, "jump out of range"},
	{{I(0x06, 0, 0, 0, INT32_MIN), EXIT}, 2, 0, "jump out of range"},
	{{I(0x15, 1, 0, 9, 0), EXIT}, 2, 0, "jump out of range from insn 0 to 10"},
	{{I(0xe5, 0, 0, 9, 0), EXIT}, 2, 0, "jump out of range from insn 0 to 10"},
	{{I(0x85, 0, 1, 0, 9), EXIT}, 2, 0, "call to invalid destination: 10 of 2"},
	{{I(0x05, 0, 0, 1, 0), I(0x18, 1, 0, 0, 0), {0}, EXIT}, 4, 0, "jump into the middle of ldimm64 insn 1"},
	{{I(0x85, 0, 1, 0, 1), I(0x18, 1, 0, 0, 0), {0}, EXIT}, 4, 0, "goes into the middle of ldimm64 insn 1"},
	{{I(0x18, 1, 4, 0, 9), {0}, EXIT}, 3, 0, "call to invalid destination"},
	{{I(0x18, 1, 4, 0, 0), {0}, EXIT}, 3, 0, "begins in the middle of ldimm64 insn 0"},
	{{I(0x05, 1, 0, 0, 0), EXIT}, 2, 0, "BPF_JA uses reserved fields"},
	{{I(0x05, 0, 1, 0, 0), EXIT}, 2, 0, "BPF_JA uses reserved fields"},
	{{I(0x05, 0, 0, 0, 1), EXIT}, 2, 0, "BPF_JA uses reserved fields"},
	{{I(0x06, 0, 0, 1, 0), EXIT}, 2, 0, "BPF_JA uses reserved fields"},
	{{I(0x15, 1, 2, 0, 0), EXIT}, 2, 0, "BPF_JMP/JMP32 uses reserved fields"},
	{{I(0x1d, 1, 2, 0, 1), EXIT}, 2, 0, "BPF_JMP/JMP32 uses reserved fields"},
	{{I(0xe5, 0, 0, 0, 1), EXIT}, 2, 0, "may_goto uses reserved fields"},
	{{I(0xe5, 1, 0, 0, 0), EXIT}, 2, 0, "may_goto uses reserved fields"},
	{{I(0xe5, 0, 1, 0, 0), EXIT}, 2, 0, "may_goto uses reserved fields"},
	/* calls and exit */
	{{I(0x8d, 1, 0, 0, 0), EXIT}, 2, 0, "calls through a register are not supported"},
	{{I(0x85, 1, 0, 0, 1), EXIT}, 2, 0, "BPF_CALL uses reserved fields"},
	{{I(0x85, 0, 3, 0, 1), EXIT}, 2, 0, "BPF_CALL uses reserved fields"},
	{{I(0x85, 0, 0, 1, 1), EXIT}, 2, 0, "BPF_CALL uses reserved fields"},
	{{I(0x85, 0, 1, 1, 0), EXIT}, 2, 0, "BPF_CALL uses reserved fields"},
	{{I(0x95, 1, 0, 0, 0)}, 1, 0, "BPF_EXIT uses reserved fields"},
	{{I(0x95, 0, 1, 0, 0)}, 1, 0, "BPF_EXIT uses reserved fields"},
	{{I(0x95, 0, 0, 0, 1)}, 1, 0, "BPF_EXIT uses reserved fields"},
	/* loads and stores */
	{{I(0x61, 1, 2, 0, 1), EXIT}, 2, 0, "BPF_LDX uses reserved fields"},
	{{I(0x99, 1, 2, 0, 0), EXIT}, 2, 0, "unknown opcode 99"},
	{{I(0x62, 1, 2, 0, 1), EXIT}, 2, 0, "uses reserved fields"},
	{{I(0x63, 1, 2, 0, 1), EXIT}, 2, 0, "uses reserved fields"},
	{{I(0x20, 1, 0, 0, 0), EXIT}, 2, 0, "BPF_LD_[ABS|IND] uses reserved fields"},
	{{I(0x20, 0, 1, 0, 0), EXIT}, 2, 0, "BPF_LD_[ABS|IND] uses reserved fields"},
	{{I(0x40, 0, 1, 2, 0), EXIT}, 2, 0, "BPF_LD_[ABS|IND] uses reserved fields"},
	{{I(0x18, 1, 0, 0, 0)}, 1, 0, "its second slot is missing"},
	{{EXIT, I(0x18, 1, 0, 0, 0)}, 2, 1, "its second slot is missing"},
	{{I(0x18, 1, 0, 1, 0), {0}, EXIT}, 3, 0, "BPF_LD_IMM64 uses reserved fields"},
	{{I(0x18, 1, 7, 0, 0), {0}, EXIT}, 3, 0, "BPF_LD_IMM64 uses reserved fields"},
	{{I(0x18, 1, 1, 0, 3), I(0, 0, 0, 0, 1), EXIT}, 3, 0, "unrecognized bpf_ld_imm64 insn"},
	{{I(0x18, 1, 5, 0, 3), I(0, 0, 0, 0, 1), EXIT}, 3, 0, "unrecognized bpf_ld_imm64 insn"},
	{{I(0x18, 1, 0, 0, 0), EXIT, EXIT}, 3, 0, "the second slot holds only an immediate"},
	{{I(0x18, 1, 0, 0, 0), I(0, 1, 0, 0, 0), EXIT}, 3, 0, "the second slot holds only an immediate"},
	{{I(0x18, 1, 0, 0, 0), I(0, 0, 0, 1, 0), EXIT}, 3, 0, "the second slot holds only an immediate"},
	/* atomics */
	{{I(0xdb, 1, 2, 0, 0x10), EXIT}, 2, 0, "invalid atomic opcode 10"},
	{{I(0xdb, 1, 2, 0, 0xe0), EXIT}, 2, 0, "invalid atomic opcode e0"},
	{{I(0xdb, 1, 2, 0, 0x101), EXIT}, 2, 0, "invalid atomic opcode 101"},
	{{I(0xcb, 1, 2, 0, 0x00), EXIT}, 2, 0, "4 or 8 bytes, not 2"},
	{{I(0xd3, 1, 2, 0, 0xf1), EXIT}, 2, 0, "4 or 8 bytes, not 1"},
};

TEST(each_rule_refuses_and_says_why)
{
	for (u32 k = 0; k < ARRAY_SIZE(refusals); k++) {
		const struct refusal *c = &refusals[k];
		struct insn out[4];
		struct insn_error err = {.insn = 99};
		int r = insns_decode(c->raw, c->n, out, &err);

		if (r != -EINVAL || err.insn != c->at || !strstr(err.text, c->says))
			test_fail(__FILE__, __LINE__, "row %u (%02x): gives %d at insn %u \"%s\", expected \"%s\"", k, c->raw[0].code, r,
				  err.insn, err.text, c->says);
	}
}

/* The neighbours of what is refused: rules must not be too strict. */
static const struct raw_insn accepted[][3] = {
	{I(0x3f, 1, 2, 1, 0), EXIT}, {I(0x97, 1, 0, 1, 7), EXIT}, {I(0xbf, 1, 2, 32, 0), EXIT},
	{I(0xbc, 1, 2, 16, 0), EXIT}, {I(0xbf, 1, 10, 0, 0), EXIT}, {I(0xbf, 1, 2, 1, 1), EXIT},
	{I(0xbf, 1, 2, 1, 65536), EXIT}, {I(0xd7, 1, 0, 0, 64), EXIT}, {I(0xdc, 1, 0, 0, 64), EXIT},
	{I(0x7b, 10, 1, -8, 0), EXIT}, {I(0xdb, 10, 1, -8, 0xf1), EXIT}, {I(0xd3, 10, 1, -8, 0x110), EXIT},
	{I(0xcb, 1, 10, -8, 0x100), EXIT}, {I(0x85, 0, 2, 5, 77), EXIT}, {I(0x85, 0, 0, 0, -1), EXIT},
	{I(0x85, 0, 1, 0, 0), EXIT}, {I(0x05, 0, 0, 0, 0), EXIT}, {I(0x06, 0, 0, 0, -1), EXIT},
	{I(0xe5, 0, 0, 0, 0), EXIT}, {I(0x37, 1, 0, 0, 0), EXIT}, {I(0x67, 1, 0, 0, 64), EXIT},
	{I(0x48, 0, 1, 0, -9), EXIT}, {I(0x91, 1, 2, 0, 0), EXIT}, {I(0x18, 1, 2, 0, 3), I(0, 0, 0, 0, 1), EXIT},
	{I(0x18, 1, 4, 0, 1), {0}, EXIT}, {I(0x18, 1, 3, 0, 1), I(0, 0, 0, 0, 1), EXIT},
};

TEST(neighbours_of_the_refused_are_accepted)
{
	for (u32 k = 0; k < ARRAY_SIZE(accepted); k++) {
		struct insn out[3];
		struct insn_error err = {0};
		u32 n = accepted[k][0].code == 0x18 ? 3 : 2;

		if (insns_decode(accepted[k], n, out, &err))
			test_fail(__FILE__, __LINE__, "row %u (%02x): %s", k, accepted[k][0].code, err.text);
	}
}

TEST(empty_program_is_refused)
{
	struct insn_error err;

	CHECK_EQ(insns_decode(NULL, 0, NULL, &err), -EINVAL);
	CHECK_STR(err.text, "the program is empty");
}

TEST(error_is_optional)
{
	struct raw_insn bad = {.code = 0x01};
	struct insn out;

	CHECK_EQ(insns_decode(&bad, 1, &out, NULL), -EINVAL);
}

TEST(fields_of_decoded_instructions)
{
	struct raw_insn raw[] = {I(0x18, 3, 2, 0, -1), I(0, 0, 0, 0, 7), I(0xa6, 1, 0, -3, -2), I(0x91, 4, 5, -6, 0), EXIT};
	struct insn out[5];

	CHECK_EQ(insns_decode(raw, 5, out, NULL), 0);
	CHECK_EQ(out[0].op, OP_LD_IMM64);
	CHECK_EQ(out[0].pseudo, PSEUDO_MAP_VALUE);
	CHECK_EQ(out[0].imm, 0x7ffffffff);
	CHECK_EQ(out[1].op, OP_PAD);
	CHECK_EQ(out[2].op, OP_JLT);
	CHECK_EQ(out[2].width, 32);
	CHECK_EQ(out[2].target, 0);
	CHECK_EQ(out[2].imm, 0xfffffffe);
	CHECK_EQ(out[3].op, OP_LDXS);
	CHECK_EQ(out[3].width, 1);
	CHECK_EQ(out[3].off, -6);
	CHECK_EQ(out[4].op, OP_EXIT);
}

static u64 random_state = 88172645463325252u;
static u64 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Random bytes either are refused with a text, or decode to something that encodes to the same bytes. */
TEST(random_bytes_are_refused_or_kept)
{
	u32 kept = 0;

	for (u32 round = 0; round < 400000; round++) {
		struct raw_insn raw[4] = {{0}, EXIT, EXIT, EXIT}, again[2];
		struct insn out[4];
		struct insn_error err = {0};

		for (u32 k = 0; k < 2; k++) {
			u64 r = next_random(), s = next_random();

			if (k && raw[0].code == 0x18)
				raw[1] = (struct raw_insn){.imm = s & 1 ? (s32)r : 0};
			if (k)
				break;

			raw[k].code = (u8)r;
			raw[k].regs = (u8)(s & 1 ? r >> 8 : (r >> 8) & 0x77);
			raw[k].off = s & 6 ? (s16)((r >> 16) & 1) : (s16)(r >> 16);
			raw[k].imm = s & 8 ? 0 : s & 16 ? 16 << ((r >> 32) % 3) : (s32)(r >> 32);
		}
		if (insns_decode(raw, 4, out, &err)) {
			CHECK(err.text[0] && err.insn < 4);
			continue;
		}
		kept++;
		for (u32 k = 0; k < 4; k++) {
			u32 n = insn_encode(&out[k], k, again);

			if (memcmp(&raw[k], again, n * sizeof(again[0])))
				test_fail(__FILE__, __LINE__, "code %02x encodes to other bytes", raw[k].code);
			k += n - 1;
		}
	}
	CHECK(kept > 20000);
}

TEST(comparisons_turned_round)
{
	static const u64 some[] = {0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, INT64_MAX, (u64)INT64_MIN, UINT64_MAX};
	u32 n = 0;

	for (u32 op = 0; op < OP_COUNT; op++)
		for (u32 i = 0; op_table[op].class == OPS_JMP && i < ARRAY_SIZE(some) * ARRAY_SIZE(some) * 2; i++, n++) {
			u64 a = some[i / 2 % ARRAY_SIZE(some)], b = some[i / 2 / ARRAY_SIZE(some)];
			u32 width = i % 2 ? 64 : 32;
			enum op not = op_negated((enum op)op);

			CHECK_EQ(op_compare(op_swapped((enum op)op), width, b, a), op_compare((enum op)op, width, a, b));
			CHECK_EQ(not == OP_INVALID, op == OP_JSET);
			if (not != OP_INVALID)
				CHECK_EQ(op_compare(not, width, a, b), !op_compare((enum op)op, width, a, b));
		}
	CHECK_EQ(n, 11 * 2 * ARRAY_SIZE(some) * ARRAY_SIZE(some));
}

int main(void)
{
	RUN(each_rule_refuses_and_says_why);
	RUN(neighbours_of_the_refused_are_accepted);
	RUN(empty_program_is_refused);
	RUN(error_is_optional);
	RUN(fields_of_decoded_instructions);
	RUN(random_bytes_are_refused_or_kept);
	RUN(comparisons_turned_round);
	return test_end();
}
