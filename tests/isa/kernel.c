/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The running kernel as the judge of what is malformed: each opcode with fields that matter, as one instruction of
 * an otherwise plain socket filter. Where the kernel accepts, the decoder must; where it refuses because of the
 * encoding (its log says so), the decoder must refuse as well.
 */
#include "isa/isa.h"
#include "kernel.h"
#include "test.h"

#define I(code, dst, src, off, imm) {code, (u8)((dst) | (src) << 4), off, imm}

static char text_of_log[65536];

/* Words of the kernel's log that blame the encoding, not what the program does. */
static bool blames_encoding(const char *text)
{
	static const char *const words[] = {"reserved field", "unknown opcode", "invalid BPF_", "invalid bpf_ld_imm64", "unrecognized bpf_ld_imm64",
					    "out of range", "invalid atomic", "is invalid", "incorrect"};

	for (u32 k = 0; k < ARRAY_SIZE(words); k++)
		if (strstr(text, words[k]))
			return true;
	return false;
}

struct tally {
	u32 accepted, refused;
};

static void compare(const struct raw_insn *one, struct tally *tally)
{
	struct raw_insn p[24] = {I(0xb7, 0, 0, 0, 1), I(0x7b, 10, 0, -8, 0)};
	struct insn out[24];
	struct insn_error err = {0};
	u32 n = 2;
	int mine, fd;

	for (u8 r = 2; r < 10; r++)
		p[n++] = (struct raw_insn)I(0xb7, r, 0, 0, 1);
	p[n++] = *one;
	if (one->code == 0x18)
		p[n++] = (struct raw_insn){0};
	p[n++] = (struct raw_insn)I(0xb7, 0, 0, 0, 0);
	p[n++] = (struct raw_insn)I(0x95, 0, 0, 0, 0);
	mine = insns_decode(p, n, out, &err);
	fd = kernel_load(BPF_PROG_TYPE_SOCKET_FILTER, p, n, text_of_log, sizeof(text_of_log));
	if (fd >= 0)
		close(fd);
	tally->accepted += fd >= 0;
	tally->refused += fd < 0 && blames_encoding(text_of_log);
	if (fd >= 0 && mine)
		test_fail(__FILE__, __LINE__, "stricter than Linux: %02x regs %02x off %d imm %d: %s", one->code, one->regs, one->off,
			  one->imm, err.text);
	if (fd < 0 && !mine && blames_encoding(text_of_log))
		test_fail(__FILE__, __LINE__, "laxer than Linux: %02x regs %02x off %d imm %d: %s", one->code, one->regs, one->off,
			  one->imm, text_of_log);
}

TEST(refuses_what_linux_refuses)
{
	static const s16 offs[] = {0, 1, 2, 8, 16, 32, -8};
	static const s32 imms[] = {0, 1, 2, 16, 32, 64, 0xe1, 0xf1, 0x100, 0x110, 65536, -1};
	static const u8 regs[] = {0x00, 0x01, 0x10, 0x21, 0x0a, 0x1a, 0xa1, 0x1b, 0xb1};
	struct tally tally = {0};

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	for (u32 code = 0; code < 256; code++)
		for (u32 o = 0; o < ARRAY_SIZE(offs); o++)
			for (u32 i = 0; i < ARRAY_SIZE(imms); i++)
				for (u32 r = 0; r < ARRAY_SIZE(regs); r++) {
					struct raw_insn one = {(u8)code, regs[r], offs[o], imms[i]};

					/* kernels before 6.15 do not know load-acquire and store-release */
					if ((code & 0xe7) == 0xc3 && (one.imm == 0x100 || one.imm == 0x110))
						continue;
					compare(&one, &tally);
					if (test_case_failed)
						return;
				}
	CHECK(tally.accepted > 500);
	CHECK(tally.refused > 10000);
}

/* An exit ends the walk, so it is looked at as the last instruction. */
TEST(exit_fields)
{
	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	for (u32 field = 0; field < 4; field++) {
		struct raw_insn p[2] = {I(0xb7, 0, 0, 0, 0), {.code = 0x95, .regs = field == 1 ? 0x01 : field == 2 ? 0x10 : 0, .off = field == 0, .imm = field == 3}};
		struct insn out[2];
		int fd = kernel_load(BPF_PROG_TYPE_SOCKET_FILTER, p, 2, NULL, 0);

		if (fd >= 0)
			close(fd);
		CHECK_EQ(insns_decode(p, 2, out, NULL) == 0, fd >= 0);
	}
}

int main(void)
{
	RUN(refuses_what_linux_refuses);
	RUN(exit_fields);
	return test_end();
}
