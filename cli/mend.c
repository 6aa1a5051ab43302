/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects that libbpf refuses although their programs are sound: assembled functions without a symbol type,
 * static entry points, relocations with addends (as GNU tools write them), code in .text alone. Only headers,
 * symbols and addends are changed; no instruction means anything else afterwards.
 */
#include "cli/mend.h"

#include "cli/form.h"

#include <stdlib.h>

enum { RELOC_64_64 = 1, RELOC_64_32 = 10, CALL = 0x85, LDDW = 0x18 };

static Elf64_Ehdr *header(const struct image *im)
{
	return (Elf64_Ehdr *)im->obj->at;
}

static bool inside(const struct image *im, u64 offset, u64 size)
{
	return offset <= im->obj->n && size <= im->obj->n - offset;
}

Elf64_Shdr *image_section(const struct image *im, u32 i)
{
	return (Elf64_Shdr *)(im->obj->at + header(im)->e_shoff) + i;
}

u8 *image_bytes(const struct image *im, u32 i)
{
	return im->obj->at + image_section(im, i)->sh_offset;
}

/* "" for what is not a string of that table. */
static const char *string_at(const struct image *im, u32 table, u64 offset)
{
	const Elf64_Shdr *s = image_section(im, table);
	const char *at = (const char *)image_bytes(im, table) + offset;

	return offset < s->sh_size && memchr(at, 0, s->sh_size - offset) ? at : "";
}

const char *image_section_name(const struct image *im, u32 i)
{
	return string_at(im, header(im)->e_shstrndx, image_section(im, i)->sh_name);
}

u32 image_find(const struct image *im, const char *name)
{
	for (u32 i = 1; i < im->n; i++)
		if (!strcmp(image_section_name(im, i), name))
			return i;
	return 0;
}

Elf64_Sym *image_symbols(const struct image *im, u32 *n)
{
	*n = im->symtab ? (u32)(image_section(im, im->symtab)->sh_size / sizeof(Elf64_Sym)) : 0;
	return im->symtab ? (Elf64_Sym *)image_bytes(im, im->symtab) : NULL;
}

const char *image_symbol_name(const struct image *im, const Elf64_Sym *s)
{
	return string_at(im, image_section(im, im->symtab)->sh_link, s->st_name);
}

static bool aligned(u64 offset)
{
	return offset % 8 == 0;
}

bool image_open(struct image *im)
{
	const Elf64_Ehdr *h = header(im);

	if (form_header_refused(im->obj->at, im->obj->n) || h->e_shentsize != sizeof(Elf64_Shdr) || !aligned(h->e_shoff) ||
		!inside(im, h->e_shoff, (u64)h->e_shnum * sizeof(Elf64_Shdr)) || h->e_shstrndx >= h->e_shnum)
		return false;
	im->n = h->e_shnum;
	for (u32 i = 0; i < im->n; i++) {
		const Elf64_Shdr *s = image_section(im, i);
		bool records = s->sh_type == SHT_SYMTAB || s->sh_type == SHT_REL || s->sh_type == SHT_RELA;

		if (s->sh_type != SHT_NOBITS && !inside(im, s->sh_offset, s->sh_size))
			return false;
		if (records && (!aligned(s->sh_offset) || s->sh_link >= im->n))
			return false;
		if (s->sh_type == SHT_SYMTAB)
			im->symtab = i;
	}
	return image_section(im, h->e_shstrndx)->sh_type == SHT_STRTAB;
}

/* ---- growing ---- */

/* Room for size bytes at the end, on 8; returns where. */
static u64 append(struct image *im, const void *data, size_t size)
{
	u64 at = ALIGN_UP((u64)im->obj->n, 8);

	im->obj->at = cli_resize(im->obj->at, at + size + 1);
	memset(im->obj->at + im->obj->n, 0, at + size + 1 - im->obj->n);
	if (size)
		memcpy(im->obj->at + at, data, size);
	im->obj->n = at + size;
	return at;
}

int image_replace(struct image *im, u32 i, const void *data, size_t size)
{
	u64 at = append(im, data, size);

	image_section(im, i)->sh_offset = at;
	image_section(im, i)->sh_size = size;
	return 0;
}

/* The table of names with one more; where that is. */
static u32 add_name(struct image *im, const char *name)
{
	u32 table = header(im)->e_shstrndx;
	u64 size = image_section(im, table)->sh_size, more = strlen(name) + 1;
	char *names = cli_alloc(size + more);

	memcpy(names, image_bytes(im, table), size);
	memcpy(names + size, name, more);
	image_replace(im, table, names, size + more);
	free(names);
	return (u32)size;
}

int image_rename(struct image *im, u32 i, const char *name)
{
	u32 at = add_name(im, name);

	image_section(im, i)->sh_name = at;
	return 0;
}

int image_add(struct image *im, const char *name, const void *data, size_t size)
{
	u32 name_at = add_name(im, name);
	u64 at = append(im, data, size);
	Elf64_Shdr *all;

	if (im->n >= 0xff00)
		return -E2BIG;
	all = cli_alloc((im->n + 1) * sizeof(*all));
	memcpy(all, image_section(im, 0), im->n * sizeof(*all));
	all[im->n] = (Elf64_Shdr){
		.sh_name = name_at, .sh_type = SHT_PROGBITS, .sh_offset = at, .sh_size = size, .sh_addralign = 8};
	at = append(im, all, (im->n + 1) * sizeof(*all));
	free(all);
	header(im)->e_shoff = at;
	header(im)->e_shnum = (Elf64_Half)++im->n;
	return 0;
}

/* ---- functions ---- */

static bool holds_code(const struct image *im, u32 i)
{
	const Elf64_Shdr *s = i < im->n ? image_section(im, i) : NULL;

	return s && s->sh_type == SHT_PROGBITS && s->sh_flags & SHF_EXECINSTR && s->sh_size;
}

static bool is_function(const Elf64_Sym *s)
{
	return ELF64_ST_TYPE(s->st_info) == STT_FUNC;
}

static bool has_function(const struct image *im, u32 section)
{
	u32 n;
	const Elf64_Sym *s = image_symbols(im, &n);

	for (u32 i = 0; i < n; i++)
		if (s[i].st_shndx == section && is_function(&s[i]))
			return true;
	return false;
}

/* Global symbols in code are functions; so is the first one of code that has none. Other local ones are
 * labels. */
static void give_types(struct image *im)
{
	u32 n;
	Elf64_Sym *s = image_symbols(im, &n);

	for (u32 pass = 0; pass < 2; pass++)
		for (u32 i = 1; i < n; i++) {
			bool global = ELF64_ST_BIND(s[i].st_info) != STB_LOCAL;

			if (ELF64_ST_TYPE(s[i].st_info) != STT_NOTYPE || !holds_code(im, s[i].st_shndx) ||
				!*image_symbol_name(im, &s[i]))
				continue;
			if (pass == 0 ? !global : global || s[i].st_value || has_function(im, s[i].st_shndx))
				continue;
			s[i].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
			im->done |= MENDED_SYMBOLS;
		}
}

/* A function reaches to the next one, or to the end of its section. */
static void give_sizes(struct image *im)
{
	u32 n;
	Elf64_Sym *s = image_symbols(im, &n);

	for (u32 i = 1; i < n; i++) {
		u64 end;

		if (!is_function(&s[i]) || s[i].st_size || !holds_code(im, s[i].st_shndx))
			continue;
		end = image_section(im, s[i].st_shndx)->sh_size;
		for (u32 j = 1; j < n; j++)
			if (is_function(&s[j]) && s[j].st_shndx == s[i].st_shndx &&
				s[j].st_value > s[i].st_value)
				end = MIN(end, s[j].st_value);
		if (end <= s[i].st_value)
			continue;
		s[i].st_size = end - s[i].st_value;
		im->done |= MENDED_SYMBOLS;
	}
}

/* Outside of .text, what is called from nowhere is an entry point, whatever its binding. */
static void make_global(struct image *im)
{
	u32 n, text = image_find(im, ".text");
	Elf64_Sym *s = image_symbols(im, &n);

	for (u32 i = 1; i < n; i++)
		if (is_function(&s[i]) && ELF64_ST_BIND(s[i].st_info) == STB_LOCAL &&
			holds_code(im, s[i].st_shndx) && s[i].st_shndx != text) {
			s[i].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
			im->done |= MENDED_SYMBOLS;
		}
}

void image_respell_types(struct image *im, const char *old, const char *name)
{
	u32 types = image_find(im, ".BTF");
	size_t size = strlen(name) + 1;
	u8 *at, *end;

	if (!types || !image_section(im, types)->sh_size || strlen(old) + 1 != size)
		return;
	at = image_bytes(im, types);
	end = at + image_section(im, types)->sh_size;
	while ((at = memmem(at, (size_t)(end - at), old, size)) != NULL) {
		if (at[-1] == 0)
			memcpy(at, name, size);
		at++;
	}
}

/* Another name of the same length, in the table of names and in BTF, whose lines of source name sections. */
static void respell(struct image *im, u32 i, const char *name)
{
	size_t size = strlen(name) + 1;
	char old[256];

	if (size > sizeof(old))
		return;
	memcpy(old, image_section_name(im, i), size);
	memcpy(image_bytes(im, header(im)->e_shstrndx) + image_section(im, i)->sh_name, name, size);
	image_respell_types(im, old, name);
}

/* libbpf looks for the program that is replaced, which is not here, even if told another type. */
static void forget_replaced(struct image *im)
{
	static const char replaces[] = "freplace";

	for (u32 i = 1; i < im->n; i++) {
		const char *name = image_section_name(im, i);
		char other[256];

		if (!holds_code(im, i) || strncmp(name, replaces, sizeof(replaces) - 1) || strlen(name) >= sizeof(other))
			continue;
		strcpy(other, name);
		memcpy(other, SECTION_REPLACES, strlen(SECTION_REPLACES));
		respell(im, i, other);
	}
}

/* Functions of .text are called by others'; where there are no others they are programs. */
static int promote_text(struct image *im)
{
	u32 text = image_find(im, ".text");

	if (!holds_code(im, text) || !has_function(im, text))
		return 0;
	for (u32 i = 1; i < im->n; i++)
		if (i != text && holds_code(im, i))
			return 0;
	im->done |= MENDED_TEXT;
	respell(im, text, SECTION_TEXT);
	return 0;
}

/* ---- relocations with addends: the addend goes where it lies in those without ---- */

static bool place_addend(struct image *im, u32 code, const Elf64_Rela *r)
{
	u8 *insn = image_bytes(im, code) + r->r_offset;
	s64 addend = r->r_addend;
	s32 imm;

	if (r->r_offset % 8 || r->r_offset >= image_section(im, code)->sh_size)
		return false;
	if (ELF64_R_TYPE(r->r_info) == RELOC_64_32 && insn[0] == CALL) {
		if (addend % 8)
			return false;
		imm = (s32)(addend / 8 - 1);
	} else if (ELF64_R_TYPE(r->r_info) == RELOC_64_64 && insn[0] == LDDW) {
		imm = (s32)addend;
	} else {
		return false;
	}
	STORE_AS(s32, insn + 4, imm);
	return true;
}

static int drop_addends(struct image *im, u32 i)
{
	u32 code = image_section(im, i)->sh_info,
		n = (u32)(image_section(im, i)->sh_size / sizeof(Elf64_Rela));
	Elf64_Rel *out = cli_alloc(n * sizeof(*out) + 1);
	const Elf64_Rela *r = (const Elf64_Rela *)image_bytes(im, i);

	for (u32 k = 0; k < n; k++) {
		if (!place_addend(im, code, &r[k])) {
			free(out);
			snprintf(im->why, im->why_size, "section %s: relocation %u is of no known kind",
				 image_section_name(im, i), k);
			return -EINVAL;
		}
		out[k] = (Elf64_Rel){r[k].r_offset, r[k].r_info};
	}
	image_replace(im, i, out, n * sizeof(*out));
	free(out);
	image_section(im, i)->sh_type = SHT_REL;
	image_section(im, i)->sh_entsize = sizeof(Elf64_Rel);
	im->done |= MENDED_RELOCATIONS;
	return 0;
}

static int mend_relocations(struct image *im)
{
	for (u32 i = 1; i < im->n; i++) {
		int err = 0;

		if (image_section(im, i)->sh_type == SHT_RELA &&
			holds_code(im, image_section(im, i)->sh_info))
			err = drop_addends(im, i);
		if (err)
			return err;
	}
	return 0;
}

bool types_hide(struct bytes *obj)
{
	struct image im = {.obj = obj};
	u32 types, lines;

	if (!image_open(&im) || image_find(&im, ".maps") || image_find(&im, ".struct_ops"))
		return false;
	types = image_find(&im, ".BTF");
	lines = image_find(&im, ".BTF.ext");
	if (types)
		image_section(&im, types)->sh_name++; /* without the dot it is nobody's */
	if (lines)
		image_section(&im, lines)->sh_name++;
	return types != 0;
}

int object_mend(struct bytes *obj, unsigned *mended, char *why, size_t why_size)
{
	struct image im = {.obj = obj, .why = why, .why_size = why_size};
	int err;

	*mended = 0;
	if (!image_open(&im))
		return 0;
	give_types(&im);
	give_sizes(&im);
	make_global(&im);
	forget_replaced(&im);
	err = mend_relocations(&im);
	err = err ? err : promote_text(&im);
	err = err ? err : mend_maps(&im);
	if (!image_find(&im, "license"))
		im.done |= NO_LICENSE;
	*mended = im.done;
	return err;
}

void mended_say(const struct cli *c, const char *path, unsigned mended)
{
	static const char *const what[] = {
		"functions have no type or are local: taken for programs",
		"relocations with addends are taken for ones without",
		"its only code is in .text: taken for programs",
		"maps are defined in the section \"maps\": taken as if in \".maps\"",
		"no license section: checked as not GPL-compatible",
		"its types (.BTF) cannot be read: checked without them",
	};

	for (u32 i = 0; i < ARRAY_SIZE(what); i++)
		if (mended >> i & 1)
			cli_warning(c, "%s: %s", path, what[i]);
}
