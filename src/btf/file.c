/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel's BTF from a file. Two passes over the bytes: lengths and names, by which types are indexed; then references and chains
 * of modifiers. That is all that readers rely on: what a kernel's own build gets right is not looked at again, so that a hundred
 * thousand types take a few milliseconds.
 */
#include "btf/btf.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { MOST_BYTES = 256 << 20, MOST_CHAIN = 32 };

/* Bytes behind struct btf_type; -1: unknown kind. */
s64 btf_tail_bytes(const struct btf_type *t)
{
	u32 n = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG: return 4;
	case BTF_KIND_ARRAY: return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM64:
	case BTF_KIND_DATASEC: return n * 12;
	case BTF_KIND_ENUM:
	case BTF_KIND_FUNC_PROTO: return n * 8;
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG: return 0;
	default: return -1;
	}
}

/* ---- bytes ---- */

static int read_at(int fd, void *to, u64 size, u64 off)
{
	u8 *at = to;

	while (size) {
		ssize_t n = pread(fd, at, size, (off_t)off);

		if (n <= 0)
			return n ? -errno : -EINVAL;
		at += n;
		size -= (u64)n;
		off += (u64)n;
	}
	return 0;
}

/* Where .BTF lies in an ELF file. */
static int find_section(int fd, u64 file_size, u64 *off, u64 *size)
{
	Elf64_Ehdr e;
	Elf64_Shdr names, s;
	char name[5];
	int err = read_at(fd, &e, sizeof(e), 0);

	if (err || e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_shentsize != sizeof(s) || e.e_shoff > file_size)
		return -EINVAL;
	err = read_at(fd, &names, sizeof(names), e.e_shoff + (u64)e.e_shstrndx * sizeof(s));
	for (u32 i = 0; !err && i < e.e_shnum; i++) {
		err = read_at(fd, &s, sizeof(s), e.e_shoff + (u64)i * sizeof(s));
		if (err || s.sh_name > names.sh_size || names.sh_size - s.sh_name < sizeof(name) || names.sh_offset > file_size)
			continue;
		err = read_at(fd, name, sizeof(name), names.sh_offset + s.sh_name);
		if (err || memcmp(name, ".BTF", sizeof(name)))
			continue;
		*off = s.sh_offset;
		*size = s.sh_size;
		return *off > file_size || *size > file_size - *off ? -EINVAL : 0;
	}
	return -EINVAL;
}

/* The kernel gives its types without a copy (since Linux 6.16): a file of nothing else, and the only one that cannot become shorter under the mapping. */
static void *map_types(int fd, u64 size, int flags)
{
	struct statfs fs;

	return fstatfs(fd, &fs) || fs.f_type != SYSFS_MAGIC ? MAP_FAILED : mmap(NULL, size, PROT_READ, MAP_PRIVATE | flags, fd, 0);
}

static bool map_file(struct btf *b, int fd, u64 off, u64 size)
{
	void *at = off ? MAP_FAILED : map_types(fd, size, 0);

	if (at == MAP_FAILED)
		return false;
	b->data = at;
	b->size = (u32)size;
	b->mapped = true;
	return true;
}

int btf_map_file(const char *path, void **at, u32 *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	*at = MAP_FAILED;
	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && st.st_size > 0 && st.st_size <= MOST_BYTES) {
		*size = (u32)st.st_size;
		*at = map_types(fd, *size, MAP_POPULATE); /* all of it will be read */
	}
	close(fd);
	return *at == MAP_FAILED ? -ENODEV : 0;
}

static int read_file(struct btf *b, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	u64 off = 0, size;
	struct stat st;
	u32 magic;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	size = err ? 0 : (u64)st.st_size;
	if (!err && !S_ISREG(st.st_mode))
		err = -EINVAL;
	if (!err)
		err = read_at(fd, &magic, sizeof(magic), 0);
	if (!err && !memcmp(&magic, ELFMAG, SELFMAG))
		err = find_section(fd, (u64)st.st_size, &off, &size);
	if (!err && (size < sizeof(struct btf_header) || size > MOST_BYTES))
		err = -EINVAL;
	if (!err && !map_file(b, fd, off, size)) {
		b->data = mem_room(b->mem, size);
		b->size = b->data ? (u32)size : 0;
		err = b->data ? read_at(fd, b->data, size, off) : -ENOMEM;
	}
	close(fd);
	return err;
}

/* ---- checks ---- */

static inline bool string_ok(const struct btf *b, u32 off)
{
	return off >= b->first_string ? off - b->first_string < b->strings_size : btf_string_valid(b->base, off);
}

static int check_header(struct btf *b, const struct btf_header *h)
{
	u64 body;

	if (h->magic != BTF_MAGIC || h->version != BTF_VERSION || h->hdr_len < sizeof(*h) || h->hdr_len > b->size)
		return -EINVAL;
	body = b->size - h->hdr_len;
	if ((u64)h->type_off + h->type_len > body || (u64)h->str_off + h->str_len > body || (h->type_off | h->hdr_len) & 3)
		return -EINVAL;
	b->strings = (const char *)b->data + h->hdr_len + h->str_off;
	b->strings_size = h->str_len;
	if (h->str_len ? b->strings[h->str_len - 1] != 0 : !b->base)
		return -EINVAL;
	return !b->base && b->strings[0] ? -EINVAL : 0;
}

static int index_types(struct btf *b, const u8 *at, const u8 *end)
{
	b->types_cap = (u32)(end - at) / 24 + 16;
	b->types = mem_array(b->mem, b->types_cap, sizeof(*b->types));
	if (!b->types) {
		b->types_cap = 0;
		return -ENOMEM;
	}
	b->n_types = b->base ? 0 : 1;
	while (at < end) {
		const struct btf_type *t = (const struct btf_type *)(const void *)at;
		s64 tail = (size_t)(end - at) < sizeof(*t) ? -1 : btf_tail_bytes(t);

		if (tail < 0 || end - at - (s64)sizeof(*t) < tail || !string_ok(b, t->name_off)) {
			b->damaged = b->first_id + b->n_types;
			return -EINVAL;
		}
		if (b->n_types == b->types_cap && vec_grow(b->mem, (void **)&b->types, &b->types_cap, sizeof(*b->types)))
			return -ENOMEM;
		if (BTF_INFO_KIND(t->info) == BTF_KIND_DECL_TAG && !b->first_tag)
			b->first_tag = b->first_id + b->n_types;
		b->types[b->n_types++] = t;
		at += sizeof(*t) + (size_t)tail;
	}
	return 0;
}

/* Does a chain of modifiers from id end? Those before id do. */
static bool chain_ends(const struct btf *b, u32 id)
{
	const struct btf_type *t = btf_type(b, id);

	for (u32 i = 0, at = id; i < MOST_CHAIN; i++) {
		at = t->type;
		t = btf_type(b, at);
		if (!btf_is_modifier(t) || at < id)
			return true;
	}
	return false;
}

/* ids or names in an array of records of `words` words: where each lies */
static inline bool records_ok(const struct btf *b, const struct btf_type *t, u32 words, s32 id_at, s32 name_at, bool may_be_void)
{
	const u32 *w = (const u32 *)(t + 1);
	u32 types = btf_type_count(b), n = btf_vlen_of(t);

	for (u32 i = 0; i < n; i++, w += words) {
		if (id_at >= 0 && (w[id_at] >= types || (!w[id_at] && !may_be_void)))
			return false;
		if (name_at >= 0 && !string_ok(b, w[name_at]))
			return false;
	}
	return true;
}

static bool refs_ok(const struct btf *b, u32 i)
{
	const struct btf_type *t = b->types[i], *to;
	const struct btf_array *a = btf_array_of(t);

	switch (btf_kind_of(t)) {
	case BTF_KIND_INT:
	case BTF_KIND_FLOAT:
	case BTF_KIND_FWD: return true;
	case BTF_KIND_ARRAY: return a->type && a->type < btf_type_count(b) && a->index_type < btf_type_count(b);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION: return records_ok(b, t, 3, 1, 0, false);
	case BTF_KIND_DATASEC: return records_ok(b, t, 3, 0, -1, false);
	case BTF_KIND_ENUM: return records_ok(b, t, 2, -1, 0, false);
	case BTF_KIND_ENUM64: return records_ok(b, t, 3, -1, 0, false);
	case BTF_KIND_FUNC_PROTO: return t->type < btf_type_count(b) && records_ok(b, t, 2, 1, 0, true);
	case BTF_KIND_FUNC:
		to = btf_type(b, t->type);
		return btf_kind_of(to) == BTF_KIND_FUNC_PROTO;
	case BTF_KIND_VAR: /* what an object takes from elsewhere may be of no type: it wants the address alone */
		return (t->type || ((const struct btf_var *)(t + 1))->linkage == BTF_VAR_GLOBAL_EXTERN) && t->type < btf_type_count(b) &&
			   btf_kind_of(btf_type(b, t->type)) != BTF_KIND_VAR;
	default: return t->type < btf_type_count(b) && (!btf_is_modifier(t) || chain_ends(b, b->first_id + i));
	}
}

static int check(struct btf *b)
{
	const struct btf_header *h = (const struct btf_header *)(const void *)b->data;
	const u8 *types = b->data + h->hdr_len + h->type_off;
	int err = check_header(b, h);

	err = err ? err : index_types(b, types, types + h->type_len);
	for (u32 i = b->base ? 0 : 1; !err && i < b->n_types; i++)
		if (!refs_ok(b, i)) {
			b->damaged = b->first_id + i;
			err = -EINVAL;
		}
	return err;
}

int btf_open_bytes(struct btf *b, const struct mem *mem, const void *bytes, u32 size)
{
	int err;

	*b = (struct btf){.mem = mem, .kernel = true};
	b->data = mem_copy(mem, bytes, size);
	b->size = b->data ? size : 0;
	err = b->data ? check(b) : -ENOMEM;
	if (err)
		btf_free(b);
	return err;
}

int btf_open_file(struct btf *b, const struct mem *mem, const char *path, const struct btf *base)
{
	int err;

	*b = (struct btf){.mem = mem, .kernel = true, .base = base};
	if (base) {
		b->first_id = btf_type_count(base);
		b->first_string = base->first_string + base->strings_size;
		b->first_tag = base->first_tag;
	}
	err = read_file(b, path);
	err = err ? err : check(b);
	if (err)
		btf_free(b);
	return err;
}
