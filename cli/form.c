/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that are no BPF objects, and loads that fail for how an object was compiled: what to do instead. */
#include "cli/form.h"

#include "btf/btf.h"

#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <string.h>

bool form_is_bitcode(const void *bytes, size_t n)
{
	return n >= 4 && (!memcmp(bytes, "BC\xc0\xde", 4) || !memcmp(bytes, "\xde\xc0\x17\x0b", 4));
}

const char *form_header_refused(const void *bytes, size_t n)
{
	const Elf64_Ehdr *h = bytes;
	const bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

	if (!n)
		return "the file is empty";
	if (form_is_bitcode(bytes, n))
		return "this is LLVM bitcode, not an object: link it (Rust: with bpf-linker), or compile without -flto";
	if (n < SELFMAG || memcmp(bytes, ELFMAG, SELFMAG))
		return "this is no ELF object; C is compiled to one by clang -O2 -g -target bpf -c";
	if (n < sizeof(*h))
		return "the ELF object ends within its header";
	if (h->e_ident[EI_DATA] != (little ? ELFDATA2LSB : ELFDATA2MSB))
		return little ? "the object has the other byte order: compile with -target bpfel" : "the object has the other byte order: compile with -target bpfeb";
	if ((h->e_machine && h->e_machine != FORM_MACHINE_BPF) || h->e_ident[EI_CLASS] != ELFCLASS64)
		return "this is an ELF file for another machine, not for BPF: compile with clang -target bpf";
	if (h->e_shoff > n || (size_t)h->e_shnum * h->e_shentsize > n - h->e_shoff)
		return "the ELF object ends before its table of sections does: it was cut short, make or copy it again";
	return NULL;
}

/* Every section of that name is looked at: which of two is read is a loader's choice. */
static const char *types_refused(Elf *elf, char why[FORM_WHY])
{
	size_t names;
	Elf_Scn *scn = NULL;

	if (!elf || elf_getshdrstrndx(elf, &names))
		return "the ELF object has no table of sections that could be read";
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr h;
		const char *name = gelf_getshdr(scn, &h) ? elf_strptr(elf, names, h.sh_name) : NULL;
		Elf_Data *data = name && !strcmp(name, ".BTF") ? elf_rawdata(scn, NULL) : NULL;
		struct btf b = {0};
		int err = !data ? 0 : data->d_size > BTF_MOST_BYTES ? -E2BIG : btf_open_bytes(&b, &mem_libc, data->d_buf, (u32)data->d_size);

		if (data && !err)
			btf_free(&b);
		if (err && b.damaged)
			snprintf(why, FORM_WHY, "the object's types (.BTF) are damaged: type %u", b.damaged);
		else if (err)
			snprintf(why, FORM_WHY, "the object's types (.BTF) are damaged: %s", err == -EINVAL ? "the header or the names" : strerror(-err));
		if (err)
			return why;
	}
	return NULL;
}

const char *form_refused(const void *bytes, size_t n, char why[FORM_WHY])
{
	const char *refused = form_header_refused(bytes, n);
	Elf *elf;

	if (refused)
		return refused;
	elf_version(EV_CURRENT);
	elf = elf_memory((char *)(uintptr_t)bytes, n);
	refused = types_refused(elf, why);
	elf_end(elf);
	return refused;
}

const char *form_hint(const char *said)
{
	static const struct {
		const char *words, *hint;
	} hints[] = {
		{"BTF is required", "the object has no BTF, which describes its maps: compile with -g (GCC: -gbtf)"},
	};

	for (size_t i = 0; said && i < sizeof(hints) / sizeof(hints[0]); i++)
		if (strstr(said, hints[i].words))
			return hints[i].hint;
	return NULL;
}
