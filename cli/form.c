/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that are no BPF objects, and loads that fail for how an object was compiled: what to do instead. */
#include "cli/form.h"

#include <elf.h>
#include <string.h>

bool form_is_bitcode(const void *bytes, size_t n)
{
	return n >= 4 && (!memcmp(bytes, "BC\xc0\xde", 4) || !memcmp(bytes, "\xde\xc0\x17\x0b", 4));
}

const char *form_refused(const void *bytes, size_t n)
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
	return NULL;
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
