/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/loader.h"

#include "abi/abi.h"
#include "btf/btf.h"
#include "client/skep-bpf.h"
#include "sys/sys.h"

#include <gelf.h>
#include <libelf.h>
#include <sys/mman.h>

struct bpf_object *loader_open(const char *path, const struct bytes *image)
{
	const char *base = strrchr(path, '/');
	char name[64];
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = name);

	snprintf(name, sizeof(name), "%s", strcmp(path, "-") ? base ? base + 1 : path : "stdin");
	name[strcspn(name, ".")] = 0;
	return bpf_object__open_mem(image->at, image->n, &opts);
}

/*
 * The kernel's types, which libbpf opens for each object and gives back once that is loaded. It reads them only, and a command has one engine with the same
 * types from beginning to end: they are opened once.
 */
struct btf *__real_btf__load_vmlinux_btf(void);
struct btf *__wrap_btf__load_vmlinux_btf(void);
void __real_btf__free(struct btf *btf);
void __wrap_btf__free(struct btf *btf);
struct btf *btf__new(const void *data, u32 size); /* whose header names its types as ours does */

static struct btf *kernel_types_kept;

/* Those of a file that can be mapped: libbpf reads it piece by piece, which takes longer than all else that a small object needs. NULL: it is no such file. */
static struct btf *mapped_types(void)
{
	struct skep *k = skep_bpf_engine();
	const char *file = k ? skep_kernel_btf(k) : NULL;
	struct btf *types = NULL;
	void *at;
	u32 size;

	if (file && !btf_map_file(file, &at, &size)) {
		types = btf__new(at, size);
		munmap(at, size);
	}
	return libbpf_get_error(types) ? NULL : types;
}

struct btf *__wrap_btf__load_vmlinux_btf(void)
{
	if (!kernel_types_kept || libbpf_get_error(kernel_types_kept)) {
		kernel_types_kept = mapped_types();
		if (!kernel_types_kept)
			kernel_types_kept = __real_btf__load_vmlinux_btf();
	}
	return kernel_types_kept;
}

void __wrap_btf__free(struct btf *btf)
{
	if (btf != kernel_types_kept)
		__real_btf__free(btf);
}

static bool names_function(Elf *elf, const GElf_Shdr *relocs, Elf_Data *data, const char *function)
{
	Elf_Scn *symtab = elf_getscn(elf, relocs->sh_link);
	Elf_Data *symbols = symtab ? elf_getdata(symtab, NULL) : NULL;
	GElf_Shdr h;
	GElf_Rel rel;
	GElf_Sym sym;

	for (int i = 0; symbols && gelf_getshdr(symtab, &h) && gelf_getrel(data, i, &rel); i++) {
		const char *name = gelf_getsym(symbols, (int)GELF_R_SYM(rel.r_info), &sym) ? elf_strptr(elf, h.sh_link, sym.st_name) : NULL;

		if (name && GELF_ST_TYPE(sym.st_info) == STT_FUNC && !strcmp(name, function))
			return true;
	}
	return false;
}

/* Does a definition of a map name the function? */
static bool in_maps(Elf *elf, const char *function)
{
	Elf_Scn *scn = NULL, *target;
	GElf_Shdr h, of;
	size_t names;

	if (!elf || elf_getshdrstrndx(elf, &names))
		return false;
	while ((scn = elf_nextscn(elf, scn))) {
		const char *name;
		Elf_Data *data;

		if (!gelf_getshdr(scn, &h) || h.sh_type != SHT_REL)
			continue;
		target = elf_getscn(elf, h.sh_info);
		name = target && gelf_getshdr(target, &of) ? elf_strptr(elf, names, of.sh_name) : NULL;
		data = name && !strcmp(name, ".maps") ? elf_getdata(scn, NULL) : NULL;
		if (data && names_function(elf, &h, data, function))
			return true;
	}
	return false;
}

void loader_only(struct bpf_object *obj, const struct bytes *image, const struct bpf_program *prog)
{
	Elf *elf = elf_version(EV_CURRENT) == EV_NONE ? NULL : elf_memory((char *)image->at, image->n);
	struct bpf_program *p;

	bpf_object__for_each_program(p, obj)
		bpf_program__set_autoload(p, p == prog || in_maps(elf, bpf_program__name(p)));
	elf_end(elf);
}

void loader_fixed_sizes(struct bpf_object *obj)
{
	static const struct {
		enum bpf_map_type type;
		u32 key, value;
	} fixed[] = {
		{BPF_MAP_TYPE_RINGBUF, 0, 0},
		{BPF_MAP_TYPE_USER_RINGBUF, 0, 0},
		{BPF_MAP_TYPE_PERF_EVENT_ARRAY, sizeof(u32), sizeof(u32)},
	};
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj)
		for (u32 i = 0; i < ARRAY_SIZE(fixed); i++)
			if (bpf_map__type(map) == fixed[i].type) {
				bpf_map__set_key_size(map, fixed[i].key);
				bpf_map__set_value_size(map, fixed[i].value);
			}
}

bool loader_unpin(struct bpf_object *obj)
{
	struct bpf_map *map;
	bool some = false;

	bpf_object__for_each_map(map, obj)
	{
		const char *path = bpf_map__pin_path(map);

		if (!path || strncmp(path, "/sys/", strlen("/sys/")))
			continue;
		bpf_map__set_pin_path(map, NULL);
		some = true;
	}
	return some;
}

void loader_prepare(struct bpf_object *obj)
{
	struct bpf_map *map;

	loader_fixed_sizes(obj);
	bpf_object__for_each_map(map, obj)
	{
		const struct map_kind_info *kind = map_kind(bpf_map__type(map));

		bpf_map__set_pin_path(map, NULL);
		if (!bpf_map__max_entries(map) && kind && !strstr(kind->name, "STORAGE"))
			bpf_map__set_max_entries(map, 1);
		if (!bpf_map__value_size(map) && bpf_map__type(map) == BPF_MAP_TYPE_STACK_TRACE)
			bpf_map__set_value_size(map, sizeof(u64));
	}
}

/* ---- structs of functions ---- */

static s32 member_index(const struct btf *kernel, u32 id, const char *name)
{
	const struct btf_type *t = btf_type(kernel, id);

	for (u32 i = 0; i < btf_vlen_of(t); i++)
		if (!strcmp(btf_string(kernel, btf_members_of(t)[i].name_off), name))
			return (s32)i;
	return -ENOENT;
}

int loader_fill(struct skep *k, const struct bytes *image, const struct bpf_object *obj, const char *program, union bpf_attr *attr, char *why, size_t why_size)
{
	const struct btf *kernel;
	struct struct_member m;
	s32 id, index;

	if (attr->prog_type != BPF_PROG_TYPE_STRUCT_OPS || attr->attach_btf_id)
		return 0;
	if (!structs_member(image, obj, program, &m)) {
		snprintf(why, why_size, "no variable in .struct_ops names it");
		return -ENOENT;
	}
	kernel = kernel_btf(k);
	id = kernel ? btf_find(kernel, m.type, BTF_KIND_STRUCT) : -ENOENT;
	index = id > 0 ? member_index(kernel, (u32)id, m.name) : -ENOENT;
	if (index < 0) {
		snprintf(why, why_size, id > 0 ? "the kernel's struct %s has no member %s" : "the kernel has no struct %s", m.type, m.name);
		return -ENOENT;
	}
	attr->attach_btf_id = (u32)id;
	attr->expected_attach_type = (u32)index;
	return 0;
}
