/* SPDX-License-Identifier: BSD-2-Clause */
/* skep asm: text to bytecode. */
#include "cli/cli.h"
#include "isa/isa.h"

#include <stdlib.h>

struct asm_args {
	const char *output;
	bool hex, json;
};

static const struct opt opts[] = {
	TEXT(struct asm_args, output, 'o', "output", "FILE", "write the bytecode to FILE instead of printing it"),
	FLAG(struct asm_args, hex, 0, "hex", "write hexadecimal digits to the file, not bytes"),
	FLAG(struct asm_args, json, 0, "json", "print one JSON object: insns (slots), hex, text (one line per instruction)"),
	OPTS_END,
};

static const struct example examples[] = {
	{"skep asm filter.s", "print the bytecode, which `skep run --insns` takes"},
	{"echo 'r0 = 42; exit' | skep asm - -o answer.bin", "write it to a file"},
	{NULL, NULL},
};

/* The line with the mistake and a caret under its place. */
static void point_at(const struct bytes *in, const struct asm_error *err)
{
	const char *p = (const char *)in->at, *end = p + in->n;
	size_t len;

	for (u32 line = 1; line < err->line && p < end; p++)
		line += *p == '\n';
	len = strcspn(p, "\r\n");
	if (!len || len > 400)
		return;
	fputs("  ", stderr);
	for (size_t k = 0; k < len;) {
		unsigned n = (u8)p[k] < 0x20 ? 0 : utf8_length((const u8 *)p + k);

		if (p[k] == '\t' || (n && p[k] != 0x7f))
			fwrite(p + k, 1, MAX(n, 1u), stderr);
		else
			fputc('?', stderr);
		k += MAX(n, 1u);
	}
	fputs("\n  ", stderr);
	for (size_t k = 0; k + 1 < err->column && k < len; k++)
		fputc(p[k] == '\t' ? '\t' : ' ', stderr);
	fputs("^\n", stderr);
}

static void write_hex(FILE *out, const struct raw_insn *raw, u32 n)
{
	for (size_t k = 0; k < n * sizeof(*raw); k++)
		fprintf(out, "%02x", ((const u8 *)raw)[k]);
	fputc('\n', out);
}

static int write_output(struct cli *c, const struct asm_args *args, const struct raw_insn *raw, u32 n)
{
	FILE *out = fopen(args->output, "wb");
	bool bad;

	if (!out)
		return cli_error(c, "%s: %s", args->output, strerror(errno)), STATUS_USAGE;
	if (args->hex)
		write_hex(out, raw, n);
	else
		fwrite(raw, sizeof(*raw), n, out);
	bad = ferror(out) != 0;
	if (fclose(out) || bad)
		return cli_error(c, "%s: %s", args->output, strerror(errno)), STATUS_USAGE;
	return STATUS_DONE;
}

static void write_json(const struct raw_insn *raw, u32 n, const struct insn *insns)
{
	struct json j;

	json_open(&j, stdout);
	json_object(&j, NULL);
	json_unsigned(&j, "insns", n);
	json_hex(&j, "hex", raw, n * sizeof(*raw));
	json_array(&j, "text");
	for (u32 k = 0; k < n; k++) {
		struct text t;

		if (insns[k].op == OP_PAD)
			continue;
		text_open(&t, &mem_libc);
		insn_text(&t, &insns[k], k, NULL);
		json_text(&j, NULL, text_str(&t));
		text_close(&t);
	}
	json_end(&j);
	json_end(&j);
}

static int emit(struct cli *c, struct arena *arena, const struct raw_insn *raw, u32 n)
{
	const struct asm_args *args = c->args;
	struct insn *insns = arena_array(arena, n, sizeof(*insns));

	if (args->output) {
		int status = write_output(c, args, raw, n);

		if (status)
			return status;
	}
	if (args->json) {
		if (!insns || insns_decode(raw, n, insns, NULL))
			return cli_error(c, "out of memory");
		write_json(raw, n, insns);
	} else if (!args->output) {
		write_hex(stdout, raw, n);
	}
	return STATUS_DONE;
}

static int run(struct cli *c)
{
	const char *path = c->operands[0], *name = strcmp(path, "-") ? path : "<stdin>";
	struct asm_error err;
	struct raw_insn *raw;
	struct arena arena;
	struct bytes in;
	int r, status;
	u32 n;

	r = read_file(path, &in);
	if (r)
		return cli_error(c, "%s: %s", name, strerror(-r)), STATUS_USAGE;
	arena_open(&arena, &mem_libc);
	r = asm_parse(&arena, (const char *)in.at, in.n, &raw, &n, &err);
	if (r) {
		status = cli_error(c, "%s:%u:%u: %s", name, err.line, err.column, err.text);
		point_at(&in, &err);
	} else {
		status = emit(c, &arena, raw, n);
	}
	arena_close(&arena);
	bytes_free(&in);
	return status;
}

const struct verb verb_asm = {
	.run = run,
	.opts = opts,
	.args_size = sizeof(struct asm_args),
	.operands = "FILE|-",
	.min_operands = 1,
	.max_operands = 1,
	.about = "Assembles text into eBPF bytecode: the C-like form of the kernel's log and of LLVM (r1 = *(u32 *)(r2 +8)) and mnemonics "
		 "(ldxw r1, [r2+8]), with labels. Prints hexadecimal digits, or writes bytes to a file. docs/instructions.md lists "
		 "every form. Exit status: 0 done, 1 the text has a mistake, 2 wrong usage or a file that cannot be read or written.",
	.examples = examples,
};
