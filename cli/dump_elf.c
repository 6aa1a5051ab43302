/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A BPF object's code, without loading it: executable sections, function symbols, relocations, and the source lines of
 * .BTF.ext. Libelf finds the sections; everything inside them is checked here, since an object may be anything.
 * Source: the ELF and BTF chapters of the kernel's BPF documentation, LLVM's list of BPF relocations.
 */
#include "cli/dump.h"
#include "cli/form.h"

#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>

enum { RELOC_64_64 = 1, RELOC_64_32 = 10, BTF_MAGIC = 0xeb9f, CALL = 0x85, LDDW = 0x18 };

struct reader {
	struct arena *arena;
	Elf *elf;
	size_t names; /* section that holds the sections' names */
	Elf_Data *symbols;
	size_t symbol_names, n_symbols;
	struct dump_object *out;
	size_t *index; /* ELF's number of each section of out */
	const char *strings; /* of .BTF */
	u32 strings_size;
	char *why;
};

PRINTF_LIKE(3, 4) static int bad(struct reader *r, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, 160, fmt, ap);
	va_end(ap);
	return err;
}

static const char *name_of(struct reader *r, size_t table, size_t offset)
{
	const char *s = elf_strptr(r->elf, table, offset);

	return s ? s : "";
}

static struct dump_section *section_named(struct reader *r, const char *name)
{
	for (u32 i = 0; i < r->out->n; i++)
		if (!strcmp(r->out->sections[i].name, name))
			return &r->out->sections[i];
	return NULL;
}

static struct dump_section *section_at(struct reader *r, size_t index)
{
	for (u32 i = 0; i < r->out->n; i++)
		if (r->index[i] == index)
			return &r->out->sections[i];
	return NULL;
}

static int add_code(struct reader *r, Elf_Scn *scn, const char *name)
{
	struct dump_section *s = &r->out->sections[r->out->n];
	Elf_Data *data = elf_getdata(scn, NULL);

	if (!data || !data->d_buf || !data->d_size)
		return 0;
	if (data->d_size % sizeof(struct raw_insn) || data->d_size / sizeof(struct raw_insn) > INT32_MAX)
		return bad(r, -EINVAL, "section %.60s has %zu bytes, which are no whole instructions", name, data->d_size);
	s->raw = arena_alloc(r->arena, 2 * data->d_size);
	if (!s->raw)
		return -ENOMEM;
	s->n = (u32)(data->d_size / sizeof(struct raw_insn));
	memcpy(s->raw, data->d_buf, data->d_size);
	memcpy(s->raw + s->n, data->d_buf, data->d_size);
	s->bytes = s->raw + s->n;
	s->name = name;
	r->index[r->out->n++] = elf_ndxscn(scn);
	return 0;
}

static int find_sections(struct reader *r)
{
	size_t n;
	Elf_Scn *scn = NULL;

	if (elf_getshdrnum(r->elf, &n) || elf_getshdrstrndx(r->elf, &r->names) || (n && !elf_getscn(r->elf, r->names)))
		return bad(r, -EINVAL, "the object's section table is broken: %s", elf_errmsg(-1));
	r->out->sections = arena_array(r->arena, n + 1, sizeof(*r->out->sections));
	r->index = arena_array(r->arena, n + 1, sizeof(*r->index));
	if (!r->out->sections || !r->index)
		return -ENOMEM;
	while ((scn = elf_nextscn(r->elf, scn)) != NULL) {
		GElf_Shdr h;
		int err;

		if (!gelf_getshdr(scn, &h))
			return bad(r, -EINVAL, "a section header is broken: %s", elf_errmsg(-1));
		if (h.sh_type == SHT_SYMTAB) {
			r->symbols = elf_getdata(scn, NULL);
			r->symbol_names = h.sh_link;
			r->n_symbols = r->symbols && h.sh_entsize ? r->symbols->d_size / sizeof(Elf64_Sym) : 0;
		}
		if (h.sh_type != SHT_PROGBITS || !(h.sh_flags & SHF_EXECINSTR))
			continue;
		err = add_code(r, scn, name_of(r, r->names, h.sh_name));
		if (err)
			return err;
	}
	return r->out->n ? 0 : bad(r, -ENOENT, "the object has no code");
}

static bool symbol(struct reader *r, size_t at, GElf_Sym *sym)
{
	return at < r->n_symbols && at <= INT32_MAX && gelf_getsym(r->symbols, (int)at, sym);
}

static int by_start(const void *a, const void *b)
{
	const struct dump_function *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static int find_functions(struct reader *r)
{
	GElf_Sym sym;

	for (u32 i = 0; i < r->out->n; i++) {
		struct dump_section *s = &r->out->sections[i];
		u32 kept = 0;

		s->functions = arena_array(r->arena, r->n_symbols + 1, sizeof(*s->functions));
		if (!s->functions)
			return -ENOMEM;
		for (size_t k = 0; symbol(r, k, &sym); k++) {
			u64 start = sym.st_value / 8, end = start + sym.st_size / 8;

			if (sym.st_shndx != r->index[i] || GELF_ST_TYPE(sym.st_info) != STT_FUNC || start >= s->n)
				continue;
			s->functions[s->n_functions++] =
				(struct dump_function){name_of(r, r->symbol_names, sym.st_name), (u32)start, (u32)MIN(end, (u64)s->n)};
		}
		qsort(s->functions, s->n_functions, sizeof(*s->functions), by_start);
		/* aliases begin at the same slot: the first name stands */
		for (u32 k = 0; k < s->n_functions; k++)
			if (!kept || s->functions[k].start != s->functions[kept - 1].start)
				s->functions[kept++] = s->functions[k];
		s->n_functions = kept;
		for (u32 k = 0; k < kept; k++)
			s->functions[k].end = k + 1 < kept ? s->functions[k + 1].start : s->n;
		if (!kept || s->functions[0].start) {
			memmove(s->functions + 1, s->functions, kept * sizeof(*s->functions));
			s->functions[0] = (struct dump_function){s->name, 0, kept ? s->functions[1].start : s->n};
			s->n_functions++;
		}
	}
	return 0;
}

/* What a relocation's symbol stands for: the section that it lies in tells. */
static const char *kind_of(struct reader *r, const GElf_Sym *sym, bool call)
{
	Elf_Scn *scn = sym->st_shndx == SHN_UNDEF ? NULL : elf_getscn(r->elf, sym->st_shndx);
	GElf_Shdr h;
	const char *in;

	if (sym->st_shndx == SHN_UNDEF)
		return call ? "kernel function" : "extern";
	if (!scn || !gelf_getshdr(scn, &h))
		return "data";
	in = name_of(r, r->names, h.sh_name);
	return h.sh_flags & SHF_EXECINSTR ? "function" : !strcmp(in, ".maps") || !strcmp(in, "maps") ? "map" : "data";
}

static const char *function_at(struct reader *r, size_t section, u64 slot)
{
	struct dump_section *s = section_at(r, section);

	for (u32 k = 0; s && k < s->n_functions; k++)
		if (s->functions[k].start == slot)
			return s->functions[k].name;
	return NULL;
}

static void add_reloc(struct reader *r, struct dump_section *s, const GElf_Rel *rel)
{
	struct dump_reloc *to = &s->relocs[s->n_relocs];
	u64 at = rel->r_offset / 8;
	struct raw_insn *insn;
	const char *name, *function;
	GElf_Sym sym;
	GElf_Shdr h;

	if (at >= s->n || !symbol(r, GELF_R_SYM(rel->r_info), &sym))
		return;
	insn = &s->raw[at];
	to->call = insn->code == CALL;
	if (!to->call && insn->code != LDDW)
		return;
	name = name_of(r, r->symbol_names, sym.st_name);
	if (GELF_ST_TYPE(sym.st_info) == STT_SECTION && gelf_getshdr(elf_getscn(r->elf, sym.st_shndx), &h))
		name = name_of(r, r->names, h.sh_name);
	to->at = (u32)at;
	to->kind = kind_of(r, &sym, to->call);
	to->addend = to->call ? (s64)insn->imm + 1 : insn->imm;
	if (GELF_ST_TYPE(sym.st_info) == STT_SECTION && !strcmp(to->kind, "function")) {
		u64 slot = to->call ? (u64)to->addend : (u64)to->addend / 8;

		function = function_at(r, sym.st_shndx, slot);
		if (function) {
			name = function;
			to->addend = 0;
		}
	} else if (to->call) {
		to->addend = 0;
	}
	to->symbol = *name ? name : "(no name)";
	/* A call into another section would be read as one into the middle of this. */
	if (to->call)
		insn->imm = -1;
	else if (!strcmp(to->kind, "function"))
		insn->imm = 0, insn->regs &= 15;
	s->n_relocs++;
}

static int by_slot(const void *a, const void *b)
{
	const struct dump_reloc *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static int find_relocs(struct reader *r)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(r->elf, scn)) != NULL) {
		struct dump_section *s;
		Elf_Data *data;
		GElf_Shdr h;
		GElf_Rel rel;
		size_t n;

		if (!gelf_getshdr(scn, &h) || h.sh_type != SHT_REL || h.sh_entsize != sizeof(Elf64_Rel))
			continue;
		s = section_at(r, h.sh_info);
		data = elf_getdata(scn, NULL);
		if (!s || !data || s->relocs)
			continue;
		n = MIN(data->d_size / sizeof(Elf64_Rel), (size_t)INT32_MAX);
		s->relocs = arena_array(r->arena, n + 1, sizeof(*s->relocs));
		if (!s->relocs)
			return -ENOMEM;
		for (size_t k = 0; k < n; k++)
			if (gelf_getrel(data, (int)k, &rel))
				add_reloc(r, s, &rel);
		qsort(s->relocs, s->n_relocs, sizeof(*s->relocs), by_slot);
	}
	return 0;
}

/* ---- source lines ---- */

static const u8 *section_bytes(struct reader *r, const char *name, size_t *size)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(r->elf, scn)) != NULL) {
		Elf_Data *data;
		GElf_Shdr h;

		if (!gelf_getshdr(scn, &h) || h.sh_type == SHT_NOBITS || strcmp(name_of(r, r->names, h.sh_name), name))
			continue;
		data = elf_getdata(scn, NULL);
		*size = data && data->d_buf ? data->d_size : 0;
		return *size ? data->d_buf : NULL;
	}
	return NULL;
}

static bool find_strings(struct reader *r)
{
	size_t size;
	const u8 *b = section_bytes(r, ".BTF", &size);
	u64 at;

	if (!b || size < 24 || LOAD_AS(u16, b) != BTF_MAGIC)
		return false;
	at = (u64)LOAD_AS(u32, b + 4) + LOAD_AS(u32, b + 16); /* header's length + offset of the strings */
	r->strings_size = LOAD_AS(u32, b + 20);
	if (at > size || r->strings_size > size - at || !r->strings_size || b[at + r->strings_size - 1])
		return false;
	r->strings = (const char *)b + at;
	return true;
}

static const char *string(struct reader *r, u32 off)
{
	return off < r->strings_size ? r->strings + off : "";
}

static int by_line_slot(const void *a, const void *b)
{
	const struct dump_line *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static int add_lines(struct reader *r, struct dump_section *s, const u8 *rec, u32 count, u32 rec_size)
{
	s->lines = arena_array(r->arena, (size_t)count + 1, sizeof(*s->lines));
	if (!s->lines)
		return -ENOMEM;
	for (u32 k = 0; k < count; k++, rec += rec_size) {
		u32 place = LOAD_AS(u32, rec + 12);

		if (LOAD_AS(u32, rec) / 8 < s->n)
			s->lines[s->n_lines++] = (struct dump_line){.at = LOAD_AS(u32, rec) / 8,
								    .file = string(r, LOAD_AS(u32, rec + 4)),
								    .text = string(r, LOAD_AS(u32, rec + 8)),
								    .line = place >> 10,
								    .column = place & 1023};
	}
	qsort(s->lines, s->n_lines, sizeof(*s->lines), by_line_slot);
	return 0;
}

/* The line part of .BTF.ext: a record size, then per section a header {name, count} and its records. Broken info is left
 * out: the code can be listed without. */
static int find_lines(struct reader *r)
{
	size_t size;
	const u8 *b = section_bytes(r, ".BTF.ext", &size);
	u64 at, end;
	u32 rec_size;

	if (!b || size < 24 || LOAD_AS(u16, b) != BTF_MAGIC || !find_strings(r))
		return 0;
	at = (u64)LOAD_AS(u32, b + 4) + LOAD_AS(u32, b + 16);
	end = at + LOAD_AS(u32, b + 20);
	if (end > size || end - at < 4)
		return 0;
	rec_size = LOAD_AS(u32, b + at);
	if (rec_size < 16)
		return 0;
	for (at += 4; end - at >= 8;) {
		struct dump_section *s = section_named(r, string(r, LOAD_AS(u32, b + at)));
		u64 count = LOAD_AS(u32, b + at + 4);

		at += 8;
		if (count * rec_size > end - at)
			return 0;
		if (s && !s->lines && add_lines(r, s, b + at, (u32)count, rec_size))
			return -ENOMEM;
		at += count * rec_size;
	}
	return 0;
}

static int read_all(struct reader *r)
{
	int err;

	if (!r->elf || elf_kind(r->elf) != ELF_K_ELF)
		return bad(r, -EINVAL, "this is no ELF object");
	err = find_sections(r);
	if (!err)
		err = find_functions(r);
	if (!err)
		err = find_relocs(r);
	return err ? err : find_lines(r);
}

int dump_read_elf(struct arena *arena, const void *bytes, size_t size, struct dump_object *out, char why[160])
{
	struct reader r = {.arena = arena, .out = out, .why = why};
	char *copy = arena_alloc(arena, size); /* libelf wants to be able to write; strings stay with the arena */

	*out = (struct dump_object){0};
	snprintf(why, 160, "out of memory");
	if (!copy)
		return -ENOMEM;
	if (form_header_refused(bytes, size))
		return bad(&r, -EINVAL, "%s", form_header_refused(bytes, size));
	memcpy(copy, bytes, size);
	if (elf_version(EV_CURRENT) == EV_NONE)
		return bad(&r, -EINVAL, "libelf is too old");
	out->elf = r.elf = elf_memory(copy, size);
	return read_all(&r);
}

void dump_close_elf(struct dump_object *o)
{
	elf_end(o->elf);
	o->elf = NULL;
}
