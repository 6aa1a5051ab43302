/* SPDX-License-Identifier: BSD-2-Clause */
/* Lengths of instructions, against all that an assembler made of this very program; and what moved instructions do. */
#include "client/supervise/insn.h"

#include "../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* As objdump lists the code of a program: each instruction's bytes on a line of their own. */
static const char *program;

static void lengths_of_all_instructions(void)
{
	char command[4096], line[512];
	u32 seen = 0, wrong = 0;
	FILE *f;

	snprintf(command, sizeof(command), "objdump -dw --insn-width=15 '%s' 2>/dev/null", program);
	f = popen(command, "r");
	while (f && fgets(line, sizeof(line), f)) {
		char *at = strchr(line, ':'), *text;
		struct insn_form form;
		u8 code[INSN_MOST];
		u32 n = 0;

		if (!at || line[0] != ' ' || at[1] != '\t')
			continue;
		text = strchr(at + 2, '\t');
		for (at += 2; n < INSN_MOST && text && at + 2 < text && at[0] != ' '; at += 3)
			code[n++] = (u8)strtoul((char[]){at[0], at[1], 0}, NULL, 16);
		if (!text || strstr(text, "(bad)") || strstr(text, "fwait") || !n)
			continue;
		seen++;
		if (!insn_form(code, n, &form) || form.size != n) {
			if (wrong++ < 10)
				printf("# %u bytes, not %u: %s", n, form.size, line);
		}
	}
	if (f)
		pclose(f);
	if (seen < 1000)
		SKIP("no disassembler");
	CHECK_EQ(wrong, 0);
}

struct moved {
	const char *name;
	u32 n, covered;
	u8 code[24];
	u64 (*expected)(u64 a);
};

static u64 twice(u64 a)
{
	return 2 * a + 3;
}
static u64 three_more(u64 a)
{
	return a + 3;
}
static u64 seven_or(u64 a)
{
	return a ? a : 7;
}
static u64 constant(u64 a)
{
	return a + 0x1122334455667788;
}

static const struct moved moves[] = {
	{"a function of five bytes", 5, 5, {0x8d, 0x44, 0x3f, 0x03, 0xc3, 0x0f, 0x1f, 0x40, 0}, twice},
	{"a function of four bytes, and what lies behind", 5, 14, {0x8d, 0x47, 0x03, 0xc3, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}, three_more},
	{"endbr64, lea, ret", 9, 9, {0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x8d, 0x44, 0x3f, 0x03, 0xc3}, twice},
	{"pushes and a pop", 5, 5, {0x55, 0x48, 0x89, 0xe5, 0x5d, 0x90, 0x48, 0x8d, 0x44, 0x3f, 0x03, 0xc3}, twice},
	{"a short branch over the end", 6, 7, {0x48, 0x89, 0xf8, 0x85, 0xc0, 0x75, 0x05, 0xb8, 7, 0, 0, 0, 0xc3}, seven_or},
	{"a load relative to itself", 5, 7, {0x48, 0x8b, 0x05, 0x04, 0, 0, 0, 0x48, 0x01, 0xf8, 0xc3, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11}, constant},
};

static const struct moved *current;

static void moved(void)
{
	static u8 out[INSN_MOVED];
	const struct moved *m = current;
	u8 *from = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *to = from + 2048;
	u64 (*fn)(u64) = (u64(*)(u64))(uintptr_t)to;
	u32 covered = 0, n;

	REQUIRE(from != MAP_FAILED);
	memcpy(from, m->code, sizeof(m->code));
	n = insn_move(from, sizeof(m->code), (u64)(uintptr_t)from, (u64)(uintptr_t)to, m->n, out, &covered);
	REQUIRE(n > 0);
	CHECK_EQ(covered, m->covered);
	memcpy(to, out, n);
	memset(from, 0xcc, m->covered); /* what was moved is not used where it was */
	CHECK(fn(0) == m->expected(0));
	CHECK(fn(5) == m->expected(5));
	munmap(from, 4096);
}

static const struct {
	u32 n;
	u8 code[8];
} stays[] = {
	{8, {0xe8, 1, 2, 3, 4, 0x90, 0x90, 0x90}}, /* a call */
	{6, {0xc3, 0x55, 0x90, 0x90, 0x90, 0x90}}, /* a function of one byte */
	{5, {0xcc, 0x90, 0x90, 0x90, 0x90}}, /* a breakpoint */
	{6, {0x90, 0x90, 0x90, 0x0f, 0x05, 0x90}}, /* a system call */
	{4, {0x90, 0x90, 0x48, 0x8b}}, /* half of an instruction */
	{5, {0xe2, 0xfe, 0x90, 0x90, 0x90}}, /* loop */
};

static void what_cannot_be_moved(void)
{
	u8 out[INSN_MOVED];
	u32 covered;

	for (u32 i = 0; i < ARRAY_SIZE(stays); i++)
		CHECK_EQ(insn_move(stays[i].code, stays[i].n, 0x400000, 0x500000, 5, out, &covered), 0);
	CHECK_EQ(insn_move(moves[3].code, sizeof(moves[3].code), 0x400000, 0x400000 + (4ull << 30), 5, out, &covered), 0);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		program = argv[i];
		RUN(lengths_of_all_instructions);
	}
	for (u32 i = 0; i < ARRAY_SIZE(moves); i++) {
		current = &moves[i];
		test_run(moves[i].name, moved);
	}
	RUN(what_cannot_be_moved);
	return test_end();
}
