/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Structs of functions in an object: a variable in .struct_ops, .struct_ops.link or, where loaders may leave it out, ?.struct_ops, whose relocations
 * name the programs that its members are.
 */
#include "cli/loader.h"
#include "cli/mend.h"

#include <bpf/btf.h>

/* Names of the same length, which mean nothing to libbpf. */
static const char section[] = ".struct_ops", hidden[] = ".Struct_ops", relocs[] = ".rel.struct_ops", hidden_relocs[] = ".rel.Struct_ops";

static bool begins(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

static void hide(struct image *im, u32 i, const char *from, const char *to)
{
	char name[64], other[64];
	const char *at = name + 1;

	if (strlen(image_section_name(im, i)) >= sizeof(name) - 1)
		return;
	strcpy(name, image_section_name(im, i));
	if (*name != '?')
		at = name;
	if (!begins(at, from))
		return;
	snprintf(other, sizeof(other), "%.*s%s%s", (int)(at - name), ".", to, at + strlen(from));
	image_rename(im, i, other);
	image_respell_types(im, name, other);
}

void structs_hide(struct bytes *image)
{
	struct image im = {.obj = image};

	if (!image_open(&im))
		return;
	for (u32 i = 1; i < im.n; i++) {
		hide(&im, i, section, hidden);
		hide(&im, i, relocs, hidden_relocs);
	}
}

/* The variable of the object that covers a byte of a section. */
static const char *variable_at(const struct image *im, u32 in, u64 offset, u64 *from)
{
	u32 n;
	const Elf64_Sym *s = image_symbols(im, &n);

	for (u32 i = 0; i < n; i++)
		if (s[i].st_shndx == in && ELF64_ST_TYPE(s[i].st_info) == STT_OBJECT && offset >= s[i].st_value && offset - s[i].st_value < s[i].st_size) {
			*from = s[i].st_value;
			return image_symbol_name(im, &s[i]);
		}
	return NULL;
}

static const struct btf_type *plain_type(const struct btf *b, u32 id)
{
	const struct btf_type *t = btf__type_by_id(b, id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t)))
		t = btf__type_by_id(b, t->type);
	return t;
}

static bool take_member(const struct btf *b, const char *variable, u64 offset, struct struct_member *m)
{
	s32 id = btf__find_by_name_kind(b, variable, BTF_KIND_VAR);
	const struct btf_type *t = id > 0 ? plain_type(b, btf__type_by_id(b, (u32)id)->type) : NULL;

	for (u32 i = 0; t && btf_is_struct(t) && i < btf_vlen(t); i++)
		if (btf_member_bit_offset(t, i) == offset * 8) {
			const char *type = btf__name_by_offset(b, t->name_off), *flavor = strstr(type, "___");

			snprintf(m->type, sizeof(m->type), "%.*s", flavor ? (int)(flavor - type) : (int)strlen(type), type);
			snprintf(m->name, sizeof(m->name), "%s", btf__name_by_offset(b, btf_members(t)[i].name_off));
			return true;
		}
	return false;
}

static bool in_relocations(const struct image *im, u32 table, const struct btf *b, const char *program, struct struct_member *m)
{
	const Elf64_Rel *r = (const Elf64_Rel *)image_bytes(im, table);
	u32 n;
	const Elf64_Sym *s = image_symbols(im, &n);

	for (u64 i = 0; i < image_section(im, table)->sh_size / sizeof(*r); i++) {
		u64 symbol = ELF64_R_SYM(r[i].r_info), from = 0;
		const char *variable;

		if (symbol >= n || ELF64_ST_TYPE(s[symbol].st_info) != STT_FUNC || strcmp(image_symbol_name(im, &s[symbol]), program) != 0)
			continue;
		variable = variable_at(im, image_section(im, table)->sh_info, r[i].r_offset, &from);
		if (variable && take_member(b, variable, r[i].r_offset - from, m))
			return true;
	}
	return false;
}

bool structs_member(const struct bytes *image, const struct bpf_object *obj, const char *program, struct struct_member *m)
{
	struct bytes bytes = *image;
	const struct btf *b = bpf_object__btf(obj);
	struct image im = {.obj = &bytes};

	if (!b || !image_open(&im))
		return false;
	for (u32 i = 1; i < im.n; i++) {
		const Elf64_Shdr *s = image_section(&im, i);

		if (s->sh_type == SHT_REL && s->sh_info < im.n && strstr(image_section_name(&im, s->sh_info), hidden) && in_relocations(&im, i, b, program, m))
			return true;
	}
	return false;
}
