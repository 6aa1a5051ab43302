/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps of the section "maps": structs of numbers (type, sizes of key and value, entries, flags), which libbpf
 * takes only as types in BTF. Each gets such a type: a struct whose members are pointers to arrays of as many
 * elements as the number says. The section then is ".maps"; relocations, which name a symbol in it, stay as
 * they are.
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
	snprintf(m->im->why, m->im->why_size, "section maps: %s%s%s", name ? name : "", name ? ": " : "",
		 what);
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

/* In the order of their places, as BTF wants it. */
static void insert(struct placed *list, u32 n, struct placed p)
{
	for (; n && list[n - 1].offset > p.offset; n--)
		list[n] = list[n - 1];
	list[n] = p;
}

static int define(struct maps *m)
{
	enum { MOST = 512 };
	struct placed *list = cli_alloc(MOST * sizeof(*list));
	u32 n, count = 0;
	int err = 0;

	for (u32 i = 0; i < (image_symbols(m->im, &n), n) && !err; i++) {
		const Elf64_Sym *s = image_symbols(m->im, &n) + i;
		int id;

		if (!is_map(m, s))
			continue;
		id = count == MOST ? -E2BIG : map_type(m, s);
		id = id < 0 ? id
				: btf__add_var(m->btf, image_symbol_name(m->im, s), BTF_VAR_GLOBAL_ALLOCATED, id);
		err = id < 0 ? id : 0;
		if (!err)
			insert(list, count++, (struct placed){id, (u32)s->st_value, (u32)size_of(m, s)});
	}
	if (!err && !count)
		err = say(m, "no symbol names a map", NULL);
	if (!err)
		err = btf__add_datasec(m->btf, ".maps", (u32)image_section(m->im, m->section)->sh_size) < 0
			  ? -EINVAL
			  : 0;
	for (u32 i = 0; i < count && !err; i++)
		err = btf__add_datasec_var_info(m->btf, list[i].var, list[i].offset, list[i].size);
	free(list);
	return err;
}

/* Is it in the table of types already? 0: no. */
static u32 find_datasec(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "maps", BTF_KIND_DATASEC);

	return id > 0 ? (u32)id : 0;
}

static int write_types(struct maps *m, u32 section)
{
	u32 size;
	const void *raw = btf__raw_data(m->btf, &size);
	int err;

	if (!raw)
		return -ENOMEM;
	err = section ? image_replace(m->im, section, raw, size) : image_add(m->im, ".BTF", raw, size);
	return err ? err : image_rename(m->im, m->section, ".maps");
}

int mend_maps(struct image *im)
{
	struct maps m = {.im = im, .section = image_find(im, "maps")};
	u32 types = image_find(im, ".BTF"), datasec;
	int err;

	if (!m.section || image_section(im, m.section)->sh_type != SHT_PROGBITS || !im->symtab ||
		image_find(im, ".maps"))
		return 0;
	m.btf = types ? btf__new(image_bytes(im, types), (u32)image_section(im, types)->sh_size)
		      : btf__new_empty();
	if (!m.btf)
		return say(&m, "the object's BTF cannot be read", NULL);
	m.int_id = btf__add_int(m.btf, "int", 4, BTF_INT_SIGNED);
	datasec = find_datasec(m.btf);
	err = m.int_id < 0 ? m.int_id : datasec ? redefine(&m, datasec) : define(&m);
	err = err ? err : write_types(&m, types);
	btf__free(m.btf);
	if (err && !im->why[0])
		say(&m, strerror(-err), NULL);
	im->done |= MENDED_MAPS;
	return err;
}
