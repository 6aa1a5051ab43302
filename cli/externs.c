/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel functions that the kernel does not have. libbpf refuses an object that calls one, although most of its programs may do without: as weak symbols
 * they are only missed where they are called.
 */
#include "cli/loader.h"
#include "cli/mend.h"

#include "btf/btf.h"
#include "sys/sys.h"

#include <stdlib.h>

enum { RELOC_CALL = 10 };

enum use { CALLED = 1, ELSE = 2 };

/* How relocations of code use the symbols. */
static void note_uses(const struct image *im, u8 *uses, u32 n)
{
	for (u32 i = 1; i < im->n; i++) {
		const Elf64_Rel *r = (const Elf64_Rel *)image_bytes(im, i);
		const Elf64_Shdr *s = image_section(im, i);

		if (s->sh_type != SHT_REL || s->sh_info >= im->n || !(image_section(im, s->sh_info)->sh_flags & SHF_EXECINSTR))
			continue;
		for (u64 k = 0; k < s->sh_size / sizeof(*r); k++)
			if (ELF64_R_SYM(r[k].r_info) < n)
				uses[ELF64_R_SYM(r[k].r_info)] |= ELF64_R_TYPE(r[k].r_info) == RELOC_CALL ? CALLED : ELSE;
	}
}

u32 externs_weaken(struct skep *k, struct bytes *image, char *names, size_t size)
{
	const struct btf *kernel = NULL; /* opened for the first function that the program lacks */
	struct image im = {.obj = image};
	size_t at = 0;
	Elf64_Sym *s;
	u8 *uses;
	u32 n, weakened = 0;

	names[0] = 0;
	if (!image_open(&im))
		return 0;
	s = image_symbols(&im, &n);
	uses = cli_alloc(n + 1);
	memset(uses, 0, n + 1);
	note_uses(&im, uses, n);
	for (u32 i = 1; i < n; i++) {
		const char *name = image_symbol_name(&im, &s[i]);

		if (s[i].st_shndx != SHN_UNDEF || ELF64_ST_BIND(s[i].st_info) != STB_GLOBAL || uses[i] != CALLED)
			continue;
		kernel = kernel ? kernel : kernel_btf(k);
		if (!kernel)
			break;
		if (btf_find(kernel, name, BTF_KIND_FUNC) > 0)
			continue;
		s[i].st_info = ELF64_ST_INFO(STB_WEAK, ELF64_ST_TYPE(s[i].st_info));
		if (at < size)
			at += (size_t)snprintf(names + at, size - at, "%s%s", at ? ", " : "", name);
		weakened++;
	}
	free(uses);
	return weakened;
}
