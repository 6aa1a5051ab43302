/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps of the section "maps" and of those whose names begin with "maps/": structs of numbers (type, sizes of key and
 * value, entries, flags), which libbpf takes only as types in BTF. Each gets such a type: a struct whose members are
 * pointers to arrays of as many elements as the number says. The section then is ".maps", or where there is one, its
 * bytes and symbols move behind those of that; relocations, which name a symbol, stay as they are.
 */
#include "cli/mend.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>

enum { NUMBERS = 5, NEEDED = 4 * 4 /* bytes: flags may be missing */ };

struct maps {
	struct image *im;
	struct btf *btf;
	u32 section;
	int int_id;
};

static int say(struct maps *m, const char *what, const char *name)
{
	snprintf(m->im->why, m->im->why_size, "section %s: %s%s%s", image_section_name(m->im, m->section), name ? name : "",
		 name ? ": " : "", what);
	return -EINVAL;
}

/* struct { int (*type)[N]; int (*key_size)[N]; ... }, all members at offset 0: libbpf reads their types only.
 */
static int definition(struct maps *m, const u32 *numbers, u32 n)
{
	static const char *const names[NUMBERS] = {"type", "key_size", "value_size", "max_entries",
						   "map_flags"};
	int pointers[NUMBERS], id;

	for (u32 i = 0; i < n; i++) {
		id = btf__add_array(m->btf, m->int_id, m->int_id, numbers[i]);
		pointers[i] = id < 0 ? id : btf__add_ptr(m->btf, id);
		if (pointers[i] < 0)
			return pointers[i];
	}
	id = btf__add_struct(m->btf, NULL, sizeof(u64));
	for (u32 i = 0; i < n && id > 0; i++)
		if (numbers[i] || i == 0) {
			int err = btf__add_field(m->btf, names[i], pointers[i], 0, 0);

			if (err)
				return err;
		}
	return id;
}

/* A symbol's bytes: to the next symbol where it has no size of its own. */
static u64 size_of(const struct maps *m, const Elf64_Sym *s)
{
	u32 n;
	const Elf64_Sym *all = image_symbols(m->im, &n);
	u64 end = image_section(m->im, m->section)->sh_size;

	if (s->st_size)
		return s->st_size;
	for (u32 i = 0; i < n; i++)
		if (all[i].st_shndx == m->section && all[i].st_value > s->st_value)
			end = MIN(end, all[i].st_value);
	return end > s->st_value ? end - s->st_value : 0;
}

static bool is_map(const struct maps *m, const Elf64_Sym *s)
{
	return s->st_shndx == m->section && ELF64_ST_TYPE(s->st_info) != STT_SECTION &&
	       *image_symbol_name(m->im, s);
}

static int map_type(struct maps *m, const Elf64_Sym *s)
{
	u64 size = size_of(m, s), all = image_section(m->im, m->section)->sh_size;
	u32 numbers[NUMBERS] = {0}, n = (u32)MIN(size / 4, (u64)NUMBERS);

	if (size < NEEDED || s->st_value > all || size > all - s->st_value)
		return say(m, "is too short for a definition", image_symbol_name(m->im, s));
	memcpy(numbers, image_bytes(m->im, m->section) + s->st_value, n * sizeof(u32));
	return definition(m, numbers, n);
}

static const Elf64_Sym *symbol_named(const struct maps *m, const char *name)
{
	u32 n;
	const Elf64_Sym *s = image_symbols(m->im, &n);

	for (u32 i = 0; i < n; i++)
		if (is_map(m, &s[i]) && !strcmp(image_symbol_name(m->im, &s[i]), name))
			return &s[i];
	return NULL;
}

/* The compiler described the section's variables already: their types and places are put right. */
static int redefine(struct maps *m, u32 datasec)
{
	u32 n = btf_vlen(btf__type_by_id(m->btf, datasec));
	int name = btf__add_str(m->btf, ".maps");

	for (u32 i = 0; i < n; i++) {
		u32 var = btf_var_secinfos(btf__type_by_id(m->btf, datasec))[i].type;
		const struct btf_type *t = btf__type_by_id(m->btf, var);
		const char *called = t && btf_is_var(t) ? btf__name_by_offset(m->btf, t->name_off) : NULL;
		const Elf64_Sym *s = called ? symbol_named(m, called) : NULL;
		int id = s ? map_type(m, s) : say(m, "has no symbol", called);
		struct btf_var_secinfo *info;

		if (id < 0)
			return id;
		info = &btf_var_secinfos(btf__type_by_id(m->btf, datasec))[i];
		info->offset = (u32)s->st_value;
		info->size = (u32)size_of(m, s);
		((struct btf_type *)btf__type_by_id(m->btf, var))->type = (u32)id;
		btf_var(btf__type_by_id(m->btf, var))->linkage = BTF_VAR_GLOBAL_ALLOCATED;
	}
	if (name < 0)
		return name;
	((struct btf_type *)btf__type_by_id(m->btf, datasec))->name_off = (u32)name;
	((struct btf_type *)btf__type_by_id(m->btf, datasec))->size =
		(u32)image_section(m->im, m->section)->sh_size;
	return 0;
}

struct placed {
	int var;
	u32 offset, size;
};

enum { MOST = 512 };
struct places {
	struct placed at[MOST];
	u32 n;
};

/* In the order of their places, as BTF wants it. */
static int insert(struct places *list, struct placed p)
{
	u32 n = list->n;

	if (n == MOST)
		return -E2BIG;
	for (; n && list->at[n - 1].offset > p.offset; n--)
		list->at[n] = list->at[n - 1];
	list->at[n] = p;
	list->n++;
	return 0;
}

/* A variable for each of the section's maps; base: where the section will lie in ".maps". */
static int variables(struct maps *m, u32 base, struct places *list)
{
	u32 n;
	int err = 0;

	for (u32 i = 0; i < (image_symbols(m->im, &n), n) && !err; i++) {
		const Elf64_Sym *s = image_symbols(m->im, &n) + i;
		int id;

		if (!is_map(m, s))
			continue;
		id = map_type(m, s);
		id = id < 0 ? id
				: btf__add_var(m->btf, image_symbol_name(m->im, s), BTF_VAR_GLOBAL_ALLOCATED, id);
		err = id < 0 ? id : insert(list, (struct placed){id, base + (u32)s->st_value, (u32)size_of(m, s)});
	}
	return err;
}

static int datasec_of(struct maps *m, const struct places *list, u32 size)
{
	int id = btf__add_datasec(m->btf, ".maps", size), err = id < 0 ? id : 0;

	for (u32 i = 0; i < list->n && !err; i++)
		err = btf__add_datasec_var_info(m->btf, list->at[i].var, list->at[i].offset, list->at[i].size);
	return err;
}

static int define(struct maps *m)
{
	struct places *list = cli_alloc(sizeof(*list));
	int err = variables(m, 0, list);

	if (!err && !list->n)
		err = say(m, "no symbol names a map", NULL);
	err = err ? err : datasec_of(m, list, (u32)image_section(m->im, m->section)->sh_size);
	free(list);
	return err;
}

/* ---- behind the section ".maps" ---- */

#define MOVED "maps.moved" /* what is no longer looked at */

/* A table of the variables of a section that is not one any more, or has another. */
static int outdate(struct maps *m, u32 datasec, u32 size)
{
	int name = btf__add_str(m->btf, MOVED);
	struct btf_type *t = (struct btf_type *)btf__type_by_id(m->btf, datasec);

	if (name < 0)
		return name;
	t->name_off = (u32)name;
	t->size = size;
	return 0;
}

static u32 find_datasec(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_DATASEC);

	return id > 0 ? (u32)id : 0;
}

/* What ".maps" has already. Its offsets are the symbols', as a compiler leaves them to the linker. */
static int present(struct maps *m, u32 to, u32 datasec, struct places *list)
{
	const struct maps there = {.im = m->im, .section = to};
	u32 n = btf_vlen(btf__type_by_id(m->btf, datasec));
	int err = 0;

	for (u32 i = 0; i < n && !err; i++) {
		const struct btf_var_secinfo *info = &btf_var_secinfos(btf__type_by_id(m->btf, datasec))[i];
		const struct btf_type *t = btf__type_by_id(m->btf, info->type);
		const char *called = t && btf_is_var(t) ? btf__name_by_offset(m->btf, t->name_off) : NULL;
		const Elf64_Sym *s = called ? symbol_named(&there, called) : NULL;

		err = s ? insert(list, (struct placed){(int)info->type, (u32)s->st_value, info->size}) : say(m, "what .maps holds has no symbol", called);
	}
	return err;
}

static int move_types(struct maps *m, u32 to, u32 base, u32 size)
{
	u32 now = find_datasec(m->btf, ".maps"), old = find_datasec(m->btf, image_section_name(m->im, m->section));
	struct places *list;
	int err;

	if (!now)
		return say(m, "there is a section .maps, too, without types", NULL);
	list = cli_alloc(sizeof(*list));
	err = present(m, to, now, list);
	err = err ? err : variables(m, base, list);
	err = err ? err : outdate(m, now, size);
	err = err || !old ? err : outdate(m, old, size);
	err = err ? err : datasec_of(m, list, size);
	free(list);
	return err;
}

static int move_bytes(struct maps *m, u32 to, u32 base, u32 size)
{
	u8 *all = cli_alloc(size);
	Elf64_Sym *s;
	u32 n;
	int err;

	memcpy(all, image_bytes(m->im, to), image_section(m->im, to)->sh_size);
	memcpy(all + base, image_bytes(m->im, m->section), image_section(m->im, m->section)->sh_size);
	err = image_replace(m->im, to, all, size);
	free(all);
	if (err)
		return err;
	s = image_symbols(m->im, &n);
	for (u32 i = 0; i < n; i++)
		if (is_map(m, &s[i])) {
			s[i].st_shndx = (Elf64_Half)to;
			s[i].st_value += base;
		}
	return image_rename(m->im, m->section, MOVED);
}

/* ---- */

static int write_types(struct maps *m, u32 section)
{
	u32 size;
	const void *raw = btf__raw_data(m->btf, &size);

	if (!raw)
		return -ENOMEM;
	return section ? image_replace(m->im, section, raw, size) : image_add(m->im, ".BTF", raw, size);
}

static int rename_section(struct maps *m)
{
	u32 datasec = find_datasec(m->btf, image_section_name(m->im, m->section));

	return datasec ? redefine(m, datasec) : define(m);
}

static int mend_section(struct image *im, u32 section)
{
	struct maps m = {.im = im, .section = section};
	u32 types = image_find(im, ".BTF"), to = image_find(im, ".maps");
	u64 base = to ? ALIGN_UP(image_section(im, to)->sh_size, (u64)8) : 0, size = base + image_section(im, section)->sh_size;
	int err;

	if (to && image_section(im, to)->sh_type != SHT_PROGBITS)
		return say(&m, "there is a section .maps, too, without contents", NULL);
	if (size > UINT32_MAX)
		return say(&m, strerror(E2BIG), NULL);
	m.btf = types ? btf__new(image_bytes(im, types), (u32)image_section(im, types)->sh_size)
		      : btf__new_empty();
	if (!m.btf)
		return say(&m, "the object's BTF cannot be read", NULL);
	m.int_id = btf__add_int(m.btf, "int", 4, BTF_INT_SIGNED);
	err = m.int_id < 0 ? m.int_id : to ? move_types(&m, to, (u32)base, (u32)size) : rename_section(&m);
	err = err ? err : write_types(&m, types);
	if (!err)
		err = to ? move_bytes(&m, to, (u32)base, (u32)size) : image_rename(im, section, ".maps");
	btf__free(m.btf);
	if (err && !im->why[0])
		say(&m, strerror(-err), NULL);
	im->done |= MENDED_MAPS;
	return err;
}

/* "maps", or "maps/NAME" as loaders of Go had it. */
static bool of_maps(const struct image *im, u32 i)
{
	const char *name = image_section_name(im, i);

	return image_section(im, i)->sh_type == SHT_PROGBITS && !strncmp(name, "maps", 4) && (!name[4] || name[4] == '/');
}

int mend_maps(struct image *im)
{
	int err = 0;

	for (u32 i = 1; i < im->n && im->symtab && !err; i++)
		if (of_maps(im, i))
			err = mend_section(im, i);
	return err;
}
