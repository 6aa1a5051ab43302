/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * skep dump --facts --ir --asm: what became of the bytecode of verified programs. libbpf loads each program of an object on its own into an engine,
 * the compiler runs again with its listings on, and every instruction stands beside what the verifier knows about it, the nodes that are left of
 * it after the last pass, and the machine code that it became.
 */
#include "abi/abi.h"
#include "cli/cli.h"
#include "cli/dump.h"
#include "cli/form.h"
#include "cli/loader.h"
#include "cli/mend.h"
#include "client/skep-bpf.h"
#include "engine/engine.h"
#include "jit/jit.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <capstone/capstone.h>
#include <linux/bpf.h>
#include <stdlib.h>

enum { BYTECODE = 46, FACTS = 20, NODES = 44 }; /* widths of columns */

struct coded {
	struct cli *c;
	const struct dump_args *args;
	struct skep *k;
	struct json *json;
	csh capstone;
	/* one program */
	struct bpf_program *libbpf;
	struct prog *p;
	const char *why; /* it is not compiled; NULL: it is */
	struct text ssa;
	const char *last; /* of ssa: the current function after the last pass */
	char label[160];
	u32 line; /* the last one printed */
	const char *file;
};

/* ---- names ---- */

static const char *code_label(void *ud, s32 target)
{
	struct coded *d = ud;
	const struct subprog *f = subprog_at(d->p, (u32)target);

	if (f->start == (u32)target)
		snprintf(d->label, sizeof(d->label), "%s", f->name);
	else
		snprintf(d->label, sizeof(d->label), "L%u", (u32)target);
	return d->label;
}

static const char *code_helper(void *ud, s64 id)
{
	const struct helper_proto *p = id >= 0 && id <= UINT32_MAX ? helper_proto((u32)id) : NULL;

	(void)ud;
	return p ? p->name : NULL;
}

static void bytecode(struct coded *d, u32 at, struct text *t)
{
	const struct insn *i = &d->p->insns[at];
	const struct map *m = NULL;

	if (i->op == OP_LD_IMM64 && (i->pseudo == PSEUDO_MAP_FD || i->pseudo == PSEUDO_MAP_VALUE || i->pseudo == PSEUDO_MAP_IDX || i->pseudo == PSEUDO_MAP_IDX_VALUE))
		m = window_find(&d->k->window, (const void *)(uintptr_t)d->p->operand[at]);
	if (m && (i->pseudo == PSEUDO_MAP_FD || i->pseudo == PSEUDO_MAP_IDX))
		text_addf(t, "r%u = map %s", i->dst, m->spec.name);
	else if (m)
		text_addf(t, "r%u = value of map %s +%llu", i->dst, m->spec.name, (unsigned long long)((u64)i->imm >> 32));
	else
		insn_text(t, i, at, &(struct disasm_names){d, code_helper, false, code_label});
}

/* ---- facts ---- */

static const struct {
	u32 kind;
	const char *name;
} kinds[] = {{PTR_STACK, "stack"}, {PTR_CALLER, "caller's stack"}, {PTR_CTX, "context"}, {PTR_PACKET, "packet"}, {PTR_MAP, "map"}, {PTR_OTHER, "other"}};

static const char *edges(const struct coded *d, u32 at)
{
	u8 f = d->p->facts.insns[at];

	if (!(f & FACT_SEEN))
		return "never reached";
	if (op_table[d->p->insns[at].op].class != OPS_JMP)
		return NULL;
	switch (f & (FACT_TAKEN | FACT_FALLS)) {
	case FACT_TAKEN: return "always taken";
	case FACT_FALLS: return "never taken";
	default: return NULL;
	}
}

static void facts_text(const struct coded *d, u32 at, struct text *t)
{
	const char *edge = edges(d, at);
	u32 access = d->p->facts.access[at];

	text_add(t, edge ? edge : "");
	if (access == PTR_ANY)
		text_add(t, "any memory");
	for (u32 i = 0; i < ARRAY_SIZE(kinds) && access != PTR_ANY; i++)
		if (access & kinds[i].kind)
			text_addf(t, "%s%s", t->len ? ", " : "", kinds[i].name);
}

static void facts_json(const struct coded *d, u32 at)
{
	u8 f = d->p->facts.insns[at];

	json_object(d->json, "facts");
	json_bool(d->json, "reached", f & FACT_SEEN);
	if (op_table[d->p->insns[at].op].class == OPS_JMP) {
		json_bool(d->json, "taken", f & FACT_TAKEN);
		json_bool(d->json, "not_taken", f & FACT_FALLS);
	}
	if (d->p->facts.access[at]) {
		json_array(d->json, "access");
		for (u32 i = 0; i < ARRAY_SIZE(kinds); i++)
			if (d->p->facts.access[at] & kinds[i].kind)
				json_text(d->json, NULL, kinds[i].name);
		json_end(d->json);
	}
	json_end(d->json);
}

/* ---- source ---- */

static const struct bpf_line_info *source_at(const struct coded *d, u32 at)
{
	const struct bpf_line_info *lines = d->p->line_info;

	for (u32 i = 0; i < d->p->n_line_info && lines[i].insn_off <= at; i++)
		if (lines[i].insn_off == at && BPF_LINE_INFO_LINE_NUM(lines[i].line_col))
			return &lines[i];
	return NULL;
}

static void print_source(struct coded *d, u32 at)
{
	const struct bpf_line_info *l = d->args->no_source ? NULL : source_at(d, at);
	const char *file, *base;
	char text[400], name[200];

	if (!l)
		return;
	file = btf_string(d->p->btf, l->file_name_off);
	if (d->line == BPF_LINE_INFO_LINE_NUM(l->line_col) && d->file == file)
		return;
	d->line = BPF_LINE_INFO_LINE_NUM(l->line_col);
	d->file = file;
	base = strrchr(file, '/');
	plain_text(btf_string(d->p->btf, l->line_off), text, sizeof(text));
	plain_text(base ? base + 1 : file, name, sizeof(name));
	printf("%s; %s @ %s:%u%s\n", paint(d->c, PAINT_DIM), text, name, d->line, paint(d->c, PAINT_NONE));
}

static void source_json(struct coded *d, u32 at)
{
	const struct bpf_line_info *l = d->args->no_source ? NULL : source_at(d, at);
	char text[400];

	if (!l)
		return;
	json_object(d->json, "source");
	json_text(d->json, "file", btf_string(d->p->btf, l->file_name_off));
	json_unsigned(d->json, "line", BPF_LINE_INFO_LINE_NUM(l->line_col));
	json_unsigned(d->json, "column", BPF_LINE_INFO_LINE_COL(l->line_col));
	json_text(d->json, "text", plain_text(btf_string(d->p->btf, l->line_off), text, sizeof(text)));
	json_end(d->json);
}

/* ---- the SSA form: the compiler's dump, "-- FUNCTION: after PASS", then a node per line that begins with its slot ---- */

static const char *line_end(const char *s)
{
	return s + strcspn(s, "\n");
}

/* The next pass of the function behind s; NULL: there is none. *name, *length: the pass's; the form begins on the next line. */
static const char *next_pass(const char *s, const char *function, const char **name, int *length)
{
	size_t n = strlen(function);

	for (; *s; s = *line_end(s) ? line_end(s) + 1 : line_end(s))
		if (!strncmp(s, "-- ", 3) && !strncmp(s + 3, function, n) && !strncmp(s + 3 + n, ": after ", 8)) {
			*name = s + 3 + n + 8;
			*length = (int)strcspn(*name, "\n");
			return *name + *length + (*line_end(s) ? 1 : 0);
		}
	return NULL;
}

static size_t form_length(const char *form)
{
	const char *s = form;

	while (*s && strncmp(s, "-- ", 3))
		s = *line_end(s) ? line_end(s) + 1 : line_end(s);
	return (size_t)(s - form);
}

static void passes(struct coded *d, const char *function)
{
	const char *form, *name, *s = text_str(&d->ssa);
	int length;

	d->last = NULL;
	if (d->json && d->args->ir)
		json_array(d->json, "ssa");
	while ((form = next_pass(s, function, &name, &length))) {
		size_t n = form_length(form);

		if (d->json && d->args->ir) {
			json_object(d->json, NULL);
			json_textf(d->json, "after", "%.*s", length, name);
			json_textf(d->json, "text", "%.*s", (int)n, form);
			json_end(d->json);
		} else if (d->args->ir) {
			printf("%s; %s: SSA after %.*s%s\n%.*s", paint(d->c, PAINT_DIM), function, length, name, paint(d->c, PAINT_NONE), (int)n, form);
		}
		d->last = form;
		s = form;
	}
	if (d->json && d->args->ir)
		json_end(d->json);
}

/* The function's next node of an instruction after the last pass, without its slot; advances *s. */
static bool next_node(const char **s, u32 at, char *to, size_t size)
{
	while (**s && strncmp(*s, "-- ", 3)) {
		const char *line = *s, *end = line_end(line);
		char *rest;
		u64 slot = strtoull(line, &rest, 10);

		*s = *end ? end + 1 : end;
		if (rest == line || *line != ' ' || slot != at)
			continue;
		rest += strspn(rest, " ");
		snprintf(to, size, "%.*s", (int)(end - rest), rest);
		return true;
	}
	return false;
}

/* ---- machine code ---- */

struct machine { /* instructions that came from one of the bytecode */
	const struct coded *d;
	u32 at; /* slot */
	u32 func;
	u32 line; /* of code->line, next to be looked at */
	const u8 *code;
	size_t left;
	u64 address;
	cs_insn *insn;
};

/* The next one; false: no more. */
static bool next_machine(struct machine *m)
{
	const struct prog_code *c = m->d->p->code;
	u32 end = m->func + 1 < m->d->p->n_subprogs ? c->func[m->func + 1].start : c->size;

	while (!m->left || !cs_disasm_iter(m->d->capstone, &m->code, &m->left, &m->address, m->insn)) {
		m->left = 0;
		while (m->line < c->n_lines && (c->line[m->line].at < c->func[m->func].start || c->line[m->line].insn != m->at) && c->line[m->line].at < end)
			m->line++;
		if (m->line == c->n_lines || c->line[m->line].at >= end)
			return false;
		m->code = c->region.base + c->line[m->line].at;
		m->address = (u64)(uintptr_t)m->code;
		m->left = (m->line + 1 < c->n_lines ? c->line[m->line + 1].at : c->size) - c->line[m->line].at;
		m->line++;
	}
	return true;
}

static void machine_text(const cs_insn *i, struct text *t)
{
	char bytes[40];

	for (u32 k = 0; k < i->size; k++)
		snprintf(bytes + 2 * k, sizeof(bytes) - 2 * k, "%02x", i->bytes[k]);
	text_addf(t, "%llx  %-20s %s%s%s", (unsigned long long)i->address, bytes, i->mnemonic, i->op_str[0] ? " " : "", i->op_str);
}

static void machine_json(const cs_insn *i, struct json *j)
{
	json_object(j, NULL);
	json_textf(j, "address", "0x%llx", (unsigned long long)i->address);
	json_hex(j, "hex", i->bytes, i->size);
	json_textf(j, "text", "%s%s%s", i->mnemonic, i->op_str[0] ? " " : "", i->op_str);
	json_end(j);
}

static struct machine machine_of(const struct coded *d, u32 func, u32 at, cs_insn *insn)
{
	return (struct machine){.d = d, .at = at, .func = func, .line = d->args->code && !d->why ? 0 : UINT32_MAX, .insn = insn};
}

/* ---- one instruction, one function ---- */

/* Puts s at the column and gives the next one's place; what is longer moves what follows. */
static size_t cell(struct text *row, size_t column, const char *s, size_t width)
{
	if (*s && row->len < column)
		text_addf(row, "%*s", (int)(column - row->len), "");
	else if (*s && row->len && row->at[row->len - 1] != ' ')
		text_add(row, " ");
	text_add(row, s);
	return column + width;
}

static void rows(struct coded *d, u32 func, u32 at, cs_insn *insn)
{
	const struct dump_args *a = d->args;
	struct machine m = machine_of(d, func, at, insn);
	const char *s = a->ir && d->last ? d->last : "";
	struct text row, t;
	char node[256];

	text_open(&row, &mem_libc);
	text_open(&t, &mem_libc);
	for (bool first = true;; first = false) {
		bool node_left = next_node(&s, at, node, sizeof(node)), more = m.line != UINT32_MAX && next_machine(&m);
		size_t column = 0;

		if (!first && !node_left && !more)
			break;
		text_clear(&row);
		text_clear(&t);
		if (first) {
			text_addf(&t, "%6u: ", at);
			bytecode(d, at, &t);
		}
		column = cell(&row, column, text_str(&t), BYTECODE);
		text_clear(&t);
		if (first && a->facts)
			facts_text(d, at, &t);
		column = cell(&row, column, text_str(&t), a->facts ? FACTS : 0);
		column = cell(&row, column, node_left ? node : "", a->ir ? NODES : 0);
		text_clear(&t);
		if (more)
			machine_text(insn, &t);
		cell(&row, column, text_str(&t), 0);
		printf("%s\n", text_str(&row));
	}
	text_close(&row);
	text_close(&t);
}

static void row_json(struct coded *d, u32 func, u32 at, cs_insn *insn)
{
	struct machine m = machine_of(d, func, at, insn);
	struct text t;

	text_open(&t, &mem_libc);
	bytecode(d, at, &t);
	json_object(d->json, NULL);
	json_unsigned(d->json, "at", at);
	json_text(d->json, "text", text_str(&t));
	source_json(d, at);
	if (d->args->facts)
		facts_json(d, at);
	if (d->args->code && !d->why) {
		json_array(d->json, "code");
		while (next_machine(&m))
			machine_json(insn, d->json);
		json_end(d->json);
	}
	json_end(d->json);
	text_close(&t);
}

static void function(struct coded *d, u32 func, const u8 *target)
{
	const struct subprog *f = &d->p->subprogs[func];
	cs_insn *insn = d->args->code ? cs_malloc(d->capstone) : NULL;
	u32 size = d->why ? 0 : prog_code_size(d->p, func);

	d->file = NULL;
	if (d->json) {
		json_object(d->json, NULL);
		json_text(d->json, "name", f->name);
		if (!d->why) {
			if (size)
				json_textf(d->json, "address", "0x%llx", (unsigned long long)(uintptr_t)(d->p->code->region.base + d->p->code->func[func].start));
			else
				json_text(d->json, "address", NULL);
			json_unsigned(d->json, "bytes", size);
		}
	}
	passes(d, f->name);
	if (d->json)
		json_array(d->json, "insns");
	else
		printf("%s%s%s:%s\n", paint(d->c, PAINT_BOLD), f->name, paint(d->c, PAINT_NONE),
		       d->args->code && !d->why && !size ? "  ; copied to wherever it is called, no code of its own" : "");
	for (u32 at = f->start; at < f->end; at++) {
		if (d->p->insns[at].op == OP_PAD)
			continue;
		if (d->json) {
			row_json(d, func, at, insn);
			continue;
		}
		if (target[at] && at != f->start)
			printf("L%u:\n", at);
		print_source(d, at);
		rows(d, func, at, insn);
	}
	if (d->json) {
		json_end(d->json);
		json_end(d->json);
	}
	if (insn)
		cs_free(insn, 1);
}

/* ---- one program ---- */

static void heading(struct coded *d)
{
	const struct prog_code *c = d->p->code;

	if (d->json) {
		json_object(d->json, NULL);
		json_text(d->json, "section", bpf_program__section_name(d->libbpf));
		json_text(d->json, "name", bpf_program__name(d->libbpf));
		json_text(d->json, "interpreted", d->why);
		if (c) {
			json_unsigned(d->json, "bytes", c->size);
			json_unsigned(d->json, "compile_us", c->compile_ns / 1000);
		}
		json_array(d->json, "functions");
		return;
	}
	printf("; section %s, program %s: ", bpf_program__section_name(d->libbpf), bpf_program__name(d->libbpf));
	if (c)
		printf("%u instructions, compiled to %u bytes at %p\n", d->p->n, c->size, (void *)c->region.base);
	else
		printf("%u instructions, interpreted: %s\n", d->p->n, d->why);
}

static void program(struct coded *d)
{
	struct jit_options o = {.host = &d->k->run_host, .window = &d->k->window, .facts = &d->p->facts, .lines = true, .dump = d->args->ir ? &d->ssa : NULL};
	u8 *target = cli_alloc(d->p->n + 1);

	text_open(&d->ssa, &mem_libc);
	d->why = d->p->needs;
	if (!d->why && jit_compile(d->p, &o, NULL, &d->why) && !d->why)
		d->why = "no memory";
	for (u32 at = 0; at < d->p->n; at++)
		if (d->p->insns[at].target >= 0 && d->p->insns[at].op != OP_CALL)
			target[d->p->insns[at].target] = 1;
	heading(d);
	for (u32 i = 0; i < d->p->n_subprogs; i++)
		function(d, i, target);
	if (d->json) {
		json_end(d->json);
		json_end(d->json);
	}
	text_close(&d->ssa);
	free(target);
}

static char said[4096];

static int collect(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level != LIBBPF_WARN || said[0] ? 0 : vsnprintf(said, sizeof(said), fmt, ap);
}

static int one_program(struct coded *d, const char *input, const struct bytes *in, const char *name)
{
	struct bpf_object *obj;
	struct obj *o = NULL;
	int status = STATUS_DONE;
	char note[CONTEXT_NOTE];

	said[0] = 0;
	obj = loader_open(input, in);
	d->libbpf = obj ? bpf_object__find_program_by_name(obj, name) : NULL;
	if (!d->libbpf) {
		bpf_object__close(obj);
		return cli_error(d->c, "%s: %s", input, said);
	}
	if (bpf_program__type(d->libbpf) == BPF_PROG_TYPE_UNSPEC)
		type_by_context(bpf_object__btf(obj), d->libbpf, note); /* as skep check does, which says so */
	loader_only(obj, in, d->libbpf);
	loader_prepare(obj);
	bpf_program__set_log_level(d->libbpf, 4 /* statistics */); /* libbpf would load what is refused once more, for a log that nobody reads */
	if (bpf_object__load(obj) || obj_by_fd(d->k, bpf_program__fd(d->libbpf), OBJ_PROG, 0, &o)) {
		said[strcspn(said, "\n")] = 0;
		status = cli_error(d->c, "%s: program %s does not load, skep check says more: %s", input, name, said);
	} else {
		d->p = o->body;
		program(d);
	}
	obj_put(o);
	bpf_object__close(obj);
	return status;
}

static int programs(struct coded *d, const char *input, struct bytes *in)
{
	char text[FORM_WHY];
	const char *why = form_refused(in->at, in->n, text);
	unsigned mended = 0;
	struct bpf_object *obj;
	int status = STATUS_DONE, n = 0;
	struct bpf_program *p;

	if (!why)
		structs_hide(in);
	if (!why && object_mend(in, &mended, text, sizeof(text)))
		why = text;
	obj = why ? NULL : loader_open(input, in);
	if (!obj) {
		said[strcspn(said, "\n")] = 0;
		why = why ? why : form_hint(said);
		return cli_error(d->c, "%s: %s", input, why ? why : said[0] ? said : "no BPF object");
	}
	bpf_object__for_each_program(p, obj) {
		if (d->args->prog && strcmp(bpf_program__name(p), d->args->prog))
			continue;
		if (n++ && !d->json)
			printf("\n");
		status |= one_program(d, input, in, bpf_program__name(p));
	}
	bpf_object__close(obj);
	if (!n)
		return d->args->prog ? cli_error(d->c, "%s has no program named '%s'", input, d->args->prog) : cli_error(d->c, "%s has no program", input);
	return status;
}

int dump_coded(struct cli *c, const char *input, struct bytes *in)
{
	struct coded d = {.c = c, .args = c->args};
	struct skep_options opts = {.size = sizeof(opts), .engine = SKEP_ENGINE_INTERP};
	struct json json;
	int status, err = skep_open(&d.k, &opts);

	if (err)
		return cli_error(c, "cannot make an engine: %s", strerror(-err));
	if (d.args->code && cs_open(CS_ARCH_X86, CS_MODE_64, &d.capstone) != CS_ERR_OK) {
		skep_close(d.k);
		return cli_error(c, "this capstone does not know x86-64");
	}
	skep_bpf_use(d.k);
	libbpf_set_print(collect);
	skep_bpf_sections();
	if (d.args->json) {
		d.json = &json;
		json_open(&json, stdout);
		json_object(&json, NULL);
		json_array(&json, "programs");
	}
	status = programs(&d, input, in);
	if (d.args->json) {
		json_end(&json);
		json_end(&json);
	}
	skep_bpf_use(NULL);
	if (d.args->code)
		cs_close(&d.capstone);
	skep_close(d.k);
	return status;
}
