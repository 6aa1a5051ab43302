/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * skep dump: bytecode to text, from an object (with its source lines), raw bytes or hexadecimal digits. What it prints,
 * `skep asm` reads: section names and source lines are comments, functions and jump targets are labels.
 */
#include "abi/abi.h"
#include "cli/cli.h"
#include "cli/dump.h"
#include "cli/form.h"

#include <ctype.h>
#include <stdlib.h>

enum { FORMAT_AUTO, FORMAT_ELF, FORMAT_RAW, FORMAT_HEX };

static const struct opt opts[] = {
	TEXT(struct dump_args, prog, 'p', "prog", "NAME", "only the program or function NAME"),
	CHOICE(struct dump_args, format, 0, "format", "auto|elf|raw|hex", "what the input is; auto looks at it"),
	FLAG(struct dump_args, hex, 'x', "hex", "show the bytes of each instruction"),
	FLAG(struct dump_args, no_source, 0, "no-source", "leave out source lines"),
	FLAG(struct dump_args, facts, 0, "facts", "load the programs, and show what the verifier knows of each instruction: edges that are never taken, the memory that it reaches"),
	FLAG(struct dump_args, ir, 0, "ir", "load and compile the programs, and show the SSA form after each pass, and what is left of each instruction"),
	FLAG(struct dump_args, code, 0, "asm", "load and compile the programs, and show the machine code of each instruction with its addresses"),
	FLAG(struct dump_args, json, 0, "json", "print one JSON object: programs, each with section, name, insns (at, hex, text, symbol, source); with --facts, --ir, --asm: functions, "
						 "each with insns (at, text, source, facts, code) and ssa (after, text)"),
	OPTS_END,
};

static const struct example examples[] = {
	{"skep dump firewall.o", "every program of an object, with the C lines that it came from"},
	{"skep dump firewall.o --prog firewall --json", "one of them, for a program to read"},
	{"skep dump firewall.o --prog firewall --ir --asm", "the compiler's forms, and machine code beside bytecode"},
	{"echo b7000000 2a000000 95000000 00000000 | skep dump -", "hexadecimal digits"},
	{NULL, NULL},
};

/* One section while it is printed. */
struct listing {
	struct cli *c;
	const struct dump_section *s;
	const struct insn *insns;
	const u8 *target; /* per slot: something jumps here */
	const struct dump_function *f; /* the one being printed */
	bool alone; /* the only function of all: labels need no prefix */
	char label[300];
	const struct dump_line *shown; /* the last source line printed */
	struct json *json;
};

const char *plain_text(const char *s, char *buf, size_t size)
{
	size_t n = 0;

	while (*s && isspace((unsigned char)*s))
		s++;
	for (; *s && n + 1 < size; s++)
		buf[n++] = (u8)*s < 0x20 || *s == 0x7f ? ' ' : *s;
	while (n && buf[n - 1] == ' ')
		n--;
	buf[n] = 0;
	return buf;
}

static const struct dump_function *function_at(const struct dump_section *s, u32 slot)
{
	for (u32 k = 0; k < s->n_functions; k++)
		if (s->functions[k].start <= slot && slot < s->functions[k].end)
			return &s->functions[k];
	return NULL;
}

static const char *label(void *ud, s32 target)
{
	struct listing *l = ud;
	const struct dump_function *f = function_at(l->s, (u32)target);
	char name[200];

	if (!f)
		return NULL;
	if (f->start == (u32)target && f->name)
		return plain_text(f->name, l->label, sizeof(l->label));
	if (l->alone || !f->name)
		snprintf(l->label, sizeof(l->label), "L%u", (u32)target - f->start);
	else
		snprintf(l->label, sizeof(l->label), "%s.L%u", plain_text(f->name, name, sizeof(name)), (u32)target - f->start);
	return l->label;
}

static const char *helper_name(void *ud, s64 id)
{
	const struct helper_proto *p = id >= 0 && id <= UINT32_MAX ? helper_proto((u32)id) : NULL;

	(void)ud;
	return p ? p->name : NULL;
}

static const struct dump_reloc *reloc_at(const struct dump_section *s, u32 slot)
{
	u32 low = 0, high = s->n_relocs;

	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (s->relocs[mid].at < slot)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->n_relocs && s->relocs[low].at == slot ? &s->relocs[low] : NULL;
}

/* The line that begins at the slot; of several the last, as it is the innermost. */
static const struct dump_line *line_at(const struct dump_section *s, u32 slot)
{
	u32 low = 0, high = s->n_lines;

	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (s->lines[mid].at <= slot)
			low = mid + 1;
		else
			high = mid;
	}
	return low && s->lines[low - 1].at == slot ? &s->lines[low - 1] : NULL;
}

static void insn_line(struct text *t, struct listing *l, u32 at)
{
	const struct disasm_names names = {l, helper_name, false, label};
	const struct dump_reloc *r = reloc_at(l->s, at);
	char name[200];

	if (r && r->call)
		text_addf(t, "call %s", plain_text(r->symbol, name, sizeof(name)));
	else
		insn_text(t, &l->insns[at], at, &names);
}

static void symbol_of(struct text *t, const struct dump_reloc *r)
{
	char name[200];

	text_addf(t, "%s %s", r->kind, plain_text(r->symbol, name, sizeof(name)));
	if (r->addend)
		text_addf(t, "%+lld", (long long)r->addend);
}

static void print_source(struct listing *l, const struct dump_line *line)
{
	char text[400], file[200];
	const char *path = strrchr(line->file, '/');

	/* one line of C becomes many places: it is said once */
	if (l->shown && l->shown->line == line->line && l->shown->file == line->file)
		return;
	l->shown = line;
	plain_text(line->text, text, sizeof(text));
	plain_text(path ? path + 1 : line->file, file, sizeof(file));
	printf("%s; %s%s@ %s:%u%s\n", paint(l->c, PAINT_DIM), text, *text ? " " : "", file, line->line, paint(l->c, PAINT_NONE));
}

static void print_insn(struct listing *l, u32 at)
{
	const struct dump_args *args = l->c->args;
	const struct dump_line *line = args->no_source ? NULL : line_at(l->s, at);
	const struct dump_reloc *r = reloc_at(l->s, at);
	const u8 *bytes = (const u8 *)&l->s->bytes[at];
	struct text t;

	if (l->target[at] && (at != l->f->start || !l->f->name))
		printf("%s:\n", label(l, (s32)at));
	if (line && line->line)
		print_source(l, line);
	text_open(&t, &mem_libc);
	insn_line(&t, l, at);
	if (args->hex) {
		u32 slots = l->insns[at].op == OP_LD_IMM64 ? 2 : 1;

		text_addf(&t, "%*s# ", t.len < 44 ? (int)(44 - t.len) : 1, "");
		for (u32 k = 0; k < slots * 8; k++)
			text_addf(&t, k == 8 ? " %02x" : "%02x", bytes[k]);
		if (r)
			text_add(&t, " ");
	}
	if (r && (!r->call || strcmp(r->kind, "function"))) {
		if (!args->hex)
			text_addf(&t, "%*s# ", t.len < 44 ? (int)(44 - t.len) : 1, "");
		symbol_of(&t, r);
	}
	printf("%6u: %s\n", at - l->f->start, text_str(&t));
	text_close(&t);
}

static void json_insn(struct listing *l, u32 at)
{
	const struct dump_args *args = l->c->args;
	const struct dump_line *line = args->no_source ? NULL : line_at(l->s, at);
	const struct dump_reloc *r = reloc_at(l->s, at);
	struct text t, symbol;
	char text[400];

	text_open(&t, &mem_libc);
	text_open(&symbol, &mem_libc);
	insn_line(&t, l, at);
	json_object(l->json, NULL);
	json_unsigned(l->json, "at", at - l->f->start);
	json_hex(l->json, "hex", &l->s->bytes[at], l->insns[at].op == OP_LD_IMM64 ? 16 : 8);
	if (l->target[at] || at == l->f->start)
		json_text(l->json, "label", label(l, (s32)at));
	json_text(l->json, "text", text_str(&t));
	if (r) {
		symbol_of(&symbol, r);
		json_text(l->json, "symbol", text_str(&symbol));
	}
	if (line && line->line) {
		json_object(l->json, "source");
		json_text(l->json, "file", line->file);
		json_unsigned(l->json, "line", line->line);
		json_unsigned(l->json, "column", line->column);
		json_text(l->json, "text", plain_text(line->text, text, sizeof(text)));
		json_end(l->json);
	}
	json_end(l->json);
	text_close(&t);
	text_close(&symbol);
}

static void one_function(struct listing *l)
{
	char name[200];

	if (l->json) {
		json_object(l->json, NULL);
		json_text(l->json, "section", l->s->name);
		json_text(l->json, "name", l->f->name ? l->f->name : NULL);
		json_array(l->json, "insns");
	} else if (l->f->name) {
		printf("%s%s%s:\n", paint(l->c, PAINT_BOLD), plain_text(l->f->name, name, sizeof(name)), paint(l->c, PAINT_NONE));
	}
	l->shown = NULL;
	for (u32 at = l->f->start; at < l->f->end; at++) {
		if (l->insns[at].op == OP_PAD)
			continue;
		if (l->json)
			json_insn(l, at);
		else
			print_insn(l, at);
	}
	if (l->json) {
		json_end(l->json);
		json_end(l->json);
	}
}

static bool wanted(const struct dump_args *args, const struct dump_function *f)
{
	return !args->prog || (f->name && !strcmp(f->name, args->prog));
}

static u32 count_wanted(const struct dump_args *args, const struct dump_object *o)
{
	u32 n = 0;

	for (u32 i = 0; i < o->n; i++)
		for (u32 k = 0; k < o->sections[i].n_functions; k++)
			n += wanted(args, &o->sections[i].functions[k]);
	return n;
}

static int decode_section(struct cli *c, const char *input, const struct dump_section *s, struct insn *insns, u8 *target)
{
	struct insn_error err;
	const u8 *b;

	if (insns_decode(s->raw, s->n, insns, &err)) {
		b = (const u8 *)&s->bytes[MIN(err.insn, s->n - 1)];
		return cli_error(c, "%s:%s%s insn %u (%02x%02x%02x%02x %02x%02x%02x%02x): %s", input, s->name ? " section " : "",
				 s->name ? s->name : "", err.insn, b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], err.text);
	}
	for (u32 at = 0; at < s->n; at++)
		if (insns[at].target >= 0 && insns[at].op != OP_CALL)
			target[insns[at].target] = 1;
	return STATUS_DONE;
}

/* Bare bytecode has no names: a function begins where a call or a function pointer says so. */
static int find_bare_functions(struct arena *arena, struct dump_section *s, const struct insn *insns)
{
	u8 *start = arena_alloc(arena, s->n);

	s->functions = arena_array(arena, s->n, sizeof(*s->functions));
	if (!start || !s->functions)
		return -ENOMEM;
	for (u32 at = 0; at < s->n; at++) {
		if (insns[at].op == OP_CALL && insns[at].pseudo == CALL_SUBPROG)
			start[insns[at].target] = 1;
		if (insns[at].op == OP_LD_IMM64 && insns[at].pseudo == PSEUDO_FUNC)
			start[(s64)at + 1 + (s32)(u32)(u64)insns[at].imm] = 1;
	}
	for (u32 at = 0; at < s->n; at++)
		if (!at || start[at]) {
			s->functions[s->n_functions] = (struct dump_function){NULL, at, s->n};
			if (start[at])
				s->functions[s->n_functions].name = arena_text(arena, "func_%u", at);
			if (s->n_functions)
				s->functions[s->n_functions - 1].end = at;
			s->n_functions++;
		}
	return 0;
}

/* Everything is decoded before anything is printed: output is whole or there is none. */
static int prepare(struct cli *c, struct arena *arena, const char *input, struct dump_section *s, struct listing *l)
{
	struct insn *insns = arena_array(arena, s->n, sizeof(*insns));
	u8 *target = arena_alloc(arena, s->n);
	int status;

	*l = (struct listing){.c = c, .s = s, .insns = insns, .target = target};
	if (!insns || !target)
		return cli_error(c, "out of memory");
	status = decode_section(c, input, s, insns, target);
	if (!status && !s->name && find_bare_functions(arena, s, insns))
		return cli_error(c, "out of memory");
	return status;
}

static void print_section(struct listing *l)
{
	const struct dump_section *s = l->s;
	bool titled = l->json || !s->name;

	for (u32 k = 0; k < s->n_functions; k++) {
		char name[200];

		l->f = &s->functions[k];
		if (!wanted(l->c->args, l->f))
			continue;
		if (!titled)
			printf("; section %s\n", plain_text(s->name, name, sizeof(name)));
		titled = true;
		one_function(l);
	}
}

static int no_such_program(struct cli *c, const char *input, const struct dump_object *o)
{
	const struct dump_args *args = c->args;
	char name[200];
	struct text t;

	text_open(&t, &mem_libc);
	for (u32 i = 0; i < o->n; i++)
		for (u32 k = 0; k < o->sections[i].n_functions; k++)
			text_addf(&t, "%s %s", t.len ? "," : "", plain_text(o->sections[i].functions[k].name, name, sizeof(name)));
	cli_error(c, "%s has no program or function '%s'; it has%s", input, args->prog, t.len ? text_str(&t) : " none");
	text_close(&t);
	return STATUS_FAILED;
}

static int print_object(struct cli *c, struct arena *arena, const char *input, struct dump_object *o)
{
	const struct dump_args *args = c->args;
	struct listing *listings = arena_array(arena, o->n, sizeof(*listings));
	struct json json;
	u32 n;

	if (!listings)
		return cli_error(c, "out of memory");
	for (u32 i = 0; i < o->n; i++) {
		int status = prepare(c, arena, input, &o->sections[i], &listings[i]);

		if (status)
			return status;
	}
	n = count_wanted(args, o);
	if (args->prog && !n)
		return no_such_program(c, input, o);
	if (args->json) {
		json_open(&json, stdout);
		json_object(&json, NULL);
		json_array(&json, "programs");
	}
	for (u32 i = 0; i < o->n; i++) {
		listings[i].alone = n == 1;
		listings[i].json = args->json ? &json : NULL;
		print_section(&listings[i]);
	}
	if (args->json) {
		json_end(&json);
		json_end(&json);
	}
	return STATUS_DONE;
}

/* No program is: it ends in an instruction that does not print. */
static bool is_text(const struct bytes *in)
{
	for (size_t i = 0; i < in->n; i++)
		if (!isprint(in->at[i]) && !isspace(in->at[i]))
			return false;
	return true;
}

static unsigned guess(const struct bytes *in)
{
	if ((in->n >= 4 && !memcmp(in->at, "\177ELF", 4)) || form_is_bitcode(in->at, in->n))
		return FORMAT_ELF;
	return is_text(in) ? FORMAT_HEX : FORMAT_RAW;
}

static int dump_bytes(struct cli *c, struct arena *arena, const char *input, const struct bytes *in)
{
	struct dump_section s = {.n = (u32)(in->n / sizeof(struct raw_insn))};
	struct dump_object o = {.sections = &s, .n = 1};
	const struct dump_args *args = c->args;

	if (!in->n)
		return cli_error(c, "%s: there is nothing in it", input);
	if (in->n % sizeof(struct raw_insn) || in->n / sizeof(struct raw_insn) > INT32_MAX)
		return cli_error(c, "%s: %zu bytes are no whole instructions of 8 bytes", input, in->n);
	if (args->prog)
		return cli_error(c, "%s: bare bytecode has no names: leave out --prog", input), STATUS_USAGE;
	s.raw = arena_alloc(arena, in->n);
	if (!s.raw)
		return cli_error(c, "out of memory");
	memcpy(s.raw, in->at, in->n);
	s.bytes = s.raw;
	return print_object(c, arena, input, &o);
}

static int dump_hex(struct cli *c, struct arena *arena, const char *input, const struct bytes *in)
{
	const struct dump_args *args = c->args;
	struct bytes bytes;
	char why[128];
	int status;

	if (parse_hex((const char *)in->at, in->n, &bytes, why, sizeof(why)))
		return cli_error(c, "%s: %s%s", input, args->format == FORMAT_AUTO ? "neither an object nor hexadecimal digits: " : "", why);
	status = dump_bytes(c, arena, input, &bytes);
	bytes_free(&bytes);
	return status;
}

static int dump_elf(struct cli *c, struct arena *arena, const char *input, const struct bytes *in)
{
	struct dump_object o;
	char why[160];
	int status;

	if (dump_read_elf(arena, in->at, in->n, &o, why))
		status = cli_error(c, "%s: %s", input, why);
	else
		status = print_object(c, arena, input, &o);
	dump_close_elf(&o);
	return status;
}

static int run(struct cli *c)
{
	const char *path = c->operands[0], *name = strcmp(path, "-") ? path : "<stdin>";
	const struct dump_args *args = c->args;
	struct arena arena;
	struct bytes in;
	unsigned format;
	int r, status;

	r = read_file(path, &in);
	if (r)
		return cli_error(c, "%s: %s", name, strerror(-r)), STATUS_USAGE;
	arena_open(&arena, &mem_libc);
	format = args->format == FORMAT_AUTO ? guess(&in) : args->format;
	if ((args->facts || args->ir || args->code) && format != FORMAT_ELF)
		status = (cli_error(c, "%s: --facts, --ir and --asm need an object: only what is verified is compiled", name), STATUS_USAGE);
	else if (args->facts || args->ir || args->code)
		status = dump_coded(c, name, &in);
	else
		status = format == FORMAT_ELF ? dump_elf(c, &arena, name, &in) :
			 format == FORMAT_HEX ? dump_hex(c, &arena, name, &in) :
						dump_bytes(c, &arena, name, &in);
	arena_close(&arena);
	bytes_free(&in);
	return status;
}

const struct verb verb_dump = {
	.run = run,
	.opts = opts,
	.args_size = sizeof(struct dump_args),
	.operands = "FILE|-",
	.min_operands = 1,
	.max_operands = 1,
	.about = "Prints eBPF bytecode as text: the programs and functions of an object with the C lines that they came from and the maps and "
		 "variables that they use, or raw bytes, or hexadecimal digits. Positions count from the start of the function. "
		 "skep asm reads what this prints, source lines as comments. "
		 "--facts, --ir and --asm load the programs first, as skep run does: what is shown then is the code as libbpf relocated it, each "
		 "instruction beside what became of it. "
		 "Exit status: 0 done, 1 the input is no valid code, 2 wrong usage or a file that cannot be read.",
	.examples = examples,
};
