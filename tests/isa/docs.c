/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * docs/instructions.md, from the table of operations: `t-isa-docs --write` writes it, the test says when the committed
 * file is another. Texts and bytes in it come from the disassembler and the encoder.
 */
#include "isa/isa.h"
#include "page.h"

#include <ctype.h>

static const char head[] =
	"# Instructions\n\n"
	"<!-- Written by `build/tests/isa/t-isa-docs --write` from src/isa/ops.def: do not edit. -->\n\n"
	"All of [RFC 9669](https://www.rfc-editor.org/rfc/rfc9669) (base32, base64, divmul32, divmul64, atomic32, atomic64, packet) and Linux's\n"
	"additions. `skep asm` reads every form below, `skep dump` prints the first. Registers are r0 to r10; w0 to w10 are their low halves, and\n"
	"a 32-bit operation clears the upper half. r10 is the frame pointer and read-only.\n\n"
	"A meaning is an expression in C: A is the destination, B the source or the immediate, U and S the unsigned and signed type\n"
	"of the operation's width, M the mask of a shift count (31 or 63). Immediates are 32 bits, sign-extended for 64-bit operations.\n"
	"Reserved fields must be zero; what is malformed is refused with the reason and the slot.\n\n";

static void lower(const char *name, char out[32])
{
	size_t n = 0;

	for (; name[n] && n < 31; n++)
		out[n] = (char)tolower((unsigned char)name[n]);
	out[n] = 0;
}

/* Markdown tables end a cell at a bar. */
static void cell(struct text *t, const char *s)
{
	for (; *s; s++) {
		if (*s == '|')
			text_add(t, "\\");
		text_bytes(t, s, 1);
	}
}

static void shown(struct text *t, const struct insn *i)
{
	struct text one;

	text_open(&one, &mem_libc);
	insn_text(&one, i, 0, NULL);
	text_add(t, "`");
	cell(t, text_str(&one));
	text_add(t, "`");
	text_close(&one);
}

static u8 opcode(const struct insn *i)
{
	struct raw_insn raw[2];

	insn_encode(i, 0, raw);
	return raw[0].code;
}

static void operations(struct text *t, enum op_class class)
{
	for (enum op op = OP_INVALID + 1; op < OP_COUNT; op++) {
		const struct op_info *info = &op_table[op];
		bool unary = info->flags & OPF_UNARY, copy = info->flags & OPF_COPY && info->off;
		struct insn x = {.op = (u8)op, .dst = 1, .src = 2, .width = 64, .target = 4}, k = x, x32 = x;
		char name[32];

		if (info->class != class)
			continue;
		lower(info->name, name);
		k.imm_src = true;
		k.src = 0;
		k.imm = 5;
		if (unary)
			x = k, x.imm = 0;
		x32 = x;
		x32.width = 32;
		text_add(t, "| ");
		shown(t, &x);
		text_addf(t, " | `%s` | ", name);
		if (unary)
			text_addf(t, "%02x, %02x", opcode(&x), opcode(&x32));
		else if (copy)
			text_addf(t, info->off == 32 ? "%02x" : "%02x, %02x", opcode(&x), opcode(&x32));
		else
			text_addf(t, "%02x %02x, %02x %02x", opcode(&x), opcode(&k), opcode(&x32), (u8)(opcode(&x32) & ~8));
		if (class == OPS_ALU)
			text_addf(t, " | %d", info->off);
		text_add(t, " | `");
		cell(t, info->meaning);
		text_add(t, "` |\n");
	}
}

static void atomics(struct text *t)
{
	for (enum op op = OP_INVALID + 1; op < OP_COUNT; op++) {
		const struct op_info *info = &op_table[op];
		struct insn i = {.op = (u8)op, .dst = 1, .src = 2, .width = 8, .target = -1};
		char name[32];

		if (info->class != OPS_ATOMIC)
			continue;
		lower(strncmp(info->name, "ATOMIC_", 7) ? info->name : info->name + 7, name);
		text_add(t, "| ");
		shown(t, &i);
		text_addf(t, " | `lock %s` | %02x | %s | `", name, (u32)info->imm, info->flags & OPF_FETCH ? "yes" : "");
		cell(t, info->meaning);
		text_add(t, "` |\n");
	}
}

/* One or more examples of each operation that is neither arithmetic, jump nor plain atomic. */
static const struct insn examples[] = {
	{.op = OP_CMPXCHG, .dst = 1, .src = 2, .width = 8, .target = -1},
	{.op = OP_LOAD_ACQ, .dst = 1, .src = 2, .width = 4, .off = 8, .target = -1},
	{.op = OP_STORE_REL, .dst = 1, .src = 2, .width = 4, .off = 8, .target = -1},
	{.op = OP_LE, .dst = 1, .width = 16, .imm_src = true, .target = -1},
	{.op = OP_BE, .dst = 1, .width = 32, .imm_src = true, .target = -1},
	{.op = OP_BSWAP, .dst = 1, .width = 64, .imm_src = true, .target = -1},
	{.op = OP_ADDR_SPACE_CAST, .dst = 1, .src = 2, .imm = 1, .target = -1},
	{.op = OP_LDX, .dst = 1, .src = 2, .width = 4, .off = 8, .target = -1},
	{.op = OP_LDXS, .dst = 1, .src = 2, .width = 2, .off = 8, .target = -1},
	{.op = OP_STX, .dst = 1, .src = 2, .width = 8, .off = -8, .target = -1},
	{.op = OP_ST, .dst = 1, .imm = 5, .width = 1, .off = 0, .target = -1},
	{.op = OP_LD_IMM64, .dst = 1, .imm = 0x1122334455667788, .target = -1},
	{.op = OP_LD_IMM64, .pseudo = PSEUDO_MAP_FD, .dst = 1, .imm = 5, .target = -1},
	{.op = OP_LD_IMM64, .pseudo = PSEUDO_MAP_VALUE, .dst = 1, .imm = 16ll << 32 | 5, .target = -1},
	{.op = OP_LD_IMM64, .pseudo = PSEUDO_MAP_IDX, .dst = 1, .imm = 2, .target = -1},
	{.op = OP_LD_IMM64, .pseudo = PSEUDO_MAP_IDX_VALUE, .dst = 1, .imm = 16ll << 32 | 2, .target = -1},
	{.op = OP_LD_IMM64, .pseudo = PSEUDO_BTF_ID, .dst = 1, .imm = 77, .target = -1},
	{.op = OP_LD_IMM64, .pseudo = PSEUDO_FUNC, .dst = 1, .imm = 9, .target = -1},
	{.op = OP_LD_ABS, .imm = 12, .width = 2, .target = -1},
	{.op = OP_LD_IND, .src = 7, .imm = 4, .width = 4, .target = -1},
	{.op = OP_JA, .width = 64, .target = 4},
	{.op = OP_JA, .width = 32, .target = 100000},
	{.op = OP_MAY_GOTO, .target = 4},
	{.op = OP_CALL, .pseudo = CALL_HELPER, .imm = 6, .target = -1},
	{.op = OP_CALL, .pseudo = CALL_SUBPROG, .target = 9},
	{.op = OP_CALL, .pseudo = CALL_KFUNC, .imm = 1234, .target = -1},
	{.op = OP_EXIT, .target = -1},
};

static void others(struct text *t)
{
	for (u32 k = 0; k < ARRAY_SIZE(examples); k++) {
		struct raw_insn raw[2];
		u32 n = insn_encode(&examples[k], 0, raw);
		const u8 *b = (const u8 *)raw;

		text_add(t, "| ");
		shown(t, &examples[k]);
		text_add(t, " | `");
		for (u32 j = 0; j < n * 8; j++)
			text_addf(t, j == 8 ? " %02x" : "%02x", b[j]);
		text_add(t, "` | ");
		if (!k || examples[k].op != examples[k - 1].op)
			cell(t, op_table[examples[k].op].meaning);
		text_add(t, " |\n");
	}
}

static void document(struct text *t)
{
	text_add(t, head);
	text_add(t, "## Arithmetic\n\nOpcodes: 64 bits with a register and with an immediate, then 32 bits.\n\n"
		    "| text | mnemonic | opcodes | offset field | meaning |\n| --- | --- | --- | --- | --- |\n");
	operations(t, OPS_ALU);
	text_add(t, "\nMnemonics of 32-bit operations end in 32 (`add32`); `movsx832`, `movsx1664` and so on name sign-extending moves too.\n\n"
		    "## Conditional jumps\n\nThe target is an offset from the next instruction, or a label.\n\n"
		    "| text | mnemonic | opcodes | meaning |\n| --- | --- | --- | --- |\n");
	operations(t, OPS_JMP);
	text_add(t, "\n## Atomic operations\n\nA is what memory held, B the source register; the result is stored. Opcode db for 8 bytes, c3 for 4; the immediate\n"
		    "selects. An operation that fetches puts A into the source register.\n\n"
		    "| text | mnemonic | immediate | fetches | stored |\n| --- | --- | --- | --- | --- |\n");
	atomics(t);
	text_add(t, "\n## Everything else\n\n| example | bytes | meaning |\n| --- | --- | --- |\n");
	others(t);
	text_add(t, "\n## Text\n\nStatements end at a newline or a semicolon; `name:` is a label. Comments begin with `//`, with `#` after white space, or with\n"
		    "a semicolon where a line begins. Positions and opcodes that listings print (`12: (b7)`) are skipped. Mnemonic form:\n"
		    "`ldxw r1, [r2+8]`, `ldxsh`, `stxdw [r10-8], r1`, `stw [r10-4], 5`, `lddw r1, 0x1122`, `ldabsh 12`, `ldindw r7, 4`, `ja +3`, `le16 r1`,\n"
		    "`lock fetch_add32 [r1+0], r2`, `lock cmpxchg [r1+0], r2`, `call 6`, `call local name`.\n");
}

TEST(every_operation_is_documented)
{
	for (enum op op = OP_INVALID + 1; op < OP_COUNT; op++) {
		bool seen = op_table[op].class != OPS_OTHER || op == OP_PAD;

		for (u32 k = 0; k < ARRAY_SIZE(examples); k++)
			seen |= examples[k].op == op;
		if (!seen)
			test_fail(__FILE__, __LINE__, "no example of %s", op_table[op].name);
	}
}

static const struct page page = {"instructions.md", "isa/t-isa-docs", document};

TEST(the_committed_page_is_current)
{
	page_check(&page);
}

int main(int argc, char **argv)
{
	int status;

	if (page_asked(&page, argc, argv, &status))
		return status;
	RUN(every_operation_is_documented);
	RUN(the_committed_page_is_current);
	return test_end();
}
