/* SPDX-License-Identifier: BSD-2-Clause */
/* mend: objects as the world has them, made such that libbpf takes them. The bytes belong to the caller. */
#ifndef SKEP_CLI_MEND_H
#define SKEP_CLI_MEND_H

#include "cli/cli.h"

#include <elf.h>

/* What an object lacked. */
enum mended {
	MENDED_SYMBOLS = 1 << 0, /* functions without a type or size, or local ones that are programs */
	MENDED_RELOCATIONS = 1 << 1, /* with addends */
	MENDED_TEXT = 1 << 2, /* its only code is in .text */
	MENDED_MAPS = 1 << 3, /* map definitions older than BTF */
	MENDED_TYPES = 1 << 5, /* types that cannot be read */
	NO_LICENSE = 1 << 4, /* nothing to mend: it is not known to be GPL-compatible */
};

/* Begins the names of sections whose programs replace a function of another one. */
#define SECTION_REPLACES "replaces"
#define SECTION_TEXT     ".code" /* what .text is called once it is taken for a section of programs */

/* Changes obj, which may grow. 0, or -errno with what is wrong in why; what is no ELF object of eBPF is left as it is. */
int object_mend(struct bytes *obj, unsigned *mended, char *why, size_t why_size);

/* A warning for each. */
void mended_say(const struct cli *c, const char *path, unsigned mended);

/* Hides types that form_refused() refuses where nothing needs them, as maps in ".maps" do: Linux's loaders go on without what the kernel does not take. */
bool types_hide(struct bytes *obj);

/*
 * context.c: gives a program whose section says too little a type: the one that the section's name begins with ("socket/tail", as before libbpf 1.0 and in
 * Go's objects), or that its context tells. True: note says what was taken for what.
 */
struct btf;
struct bpf_program;
enum { CONTEXT_NOTE = 256 };
bool type_by_context(const struct btf *btf, struct bpf_program *p, char note[CONTEXT_NOTE]);

/* ---- between mend.c, mend_maps.c, structs.c and externs.c: an ELF file in memory, all of whose section headers, names and bounds were checked ---- */
struct image {
	struct bytes *obj;
	u32 n; /* sections */
	u32 symtab; /* 0: none */
	unsigned done; /* enum mended */
	char *why;
	size_t why_size;
};
bool image_open(struct image *im); /* obj is set; false: it is no such file, which is libbpf's to complain about */
Elf64_Shdr *image_section(const struct image *im, u32 i); /* valid until the image grows */
const char *image_section_name(const struct image *im, u32 i);
u32 image_find(const struct image *im, const char *name); /* 0: none */
u8 *image_bytes(const struct image *im, u32 i); /* sh_size bytes */
Elf64_Sym *image_symbols(const struct image *im, u32 *n);
const char *image_symbol_name(const struct image *im, const Elf64_Sym *s);
int image_replace(struct image *im, u32 i, const void *data, size_t size); /* a section's bytes; NULL allowed for none */
int image_rename(struct image *im, u32 i, const char *name);
void image_respell_types(struct image *im, const char *old, const char *name); /* in BTF, which names sections: another name of the same length */
int image_add(struct image *im, const char *name, const void *data, size_t size);

int mend_maps(struct image *im); /* mend_maps.c */

#endif
