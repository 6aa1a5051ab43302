/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's own clock_gettime(), found in the object that it maps into every process (vdso(7)): through the GNU hash table of its dynamic symbols. */
#include "base/base.h"

#include <link.h>
#include <sys/auxv.h>

struct vdso {
	const ElfW(Sym) *symbols;
	const char *names;
	const u32 *hash; /* buckets, first symbol, bloom words, shift; bloom filter; buckets; chains */
};

static u32 hash_name(const char *s)
{
	u32 h = 5381;

	while (*s)
		h = h * 33 + (u8)*s++;
	return h;
}

static const ElfW(Sym) *find(const struct vdso *v, const char *name)
{
	u32 buckets = v->hash[0], first = v->hash[1], h = hash_name(name);
	const u32 *bucket = v->hash + 4 + v->hash[2] * (sizeof(ElfW(Addr)) / sizeof(u32)), *chain = bucket + buckets;

	if (!buckets)
		return NULL;
	for (u32 i = bucket[h % buckets]; i && i >= first; i++) {
		if ((chain[i - first] | 1) == (h | 1) && !strcmp(v->names + v->symbols[i].st_name, name))
			return &v->symbols[i];
		if (chain[i - first] & 1)
			return NULL;
	}
	return NULL;
}

int (*os_vdso_clock(void))(int clock_id, struct timespec *to)
{
	const u8 *base = (const u8 *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);
	const ElfW(Ehdr) *head = (const void *)base;
	const ElfW(Dyn) *dynamic = NULL;
	const ElfW(Sym) *symbol;
	struct vdso v = {0};
	u64 moved = 0;

	if (!base)
		return NULL;
	for (u32 i = 0; i < head->e_phnum; i++) {
		const ElfW(Phdr) *p = (const void *)(base + head->e_phoff + i * sizeof(*p));

		if (p->p_type == PT_LOAD)
			moved = (u64)(uintptr_t)base + p->p_offset - p->p_vaddr;
		else if (p->p_type == PT_DYNAMIC)
			dynamic = (const void *)(base + p->p_offset);
	}
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
		const void *at = (const void *)(uintptr_t)(moved + dynamic->d_un.d_ptr);

		if (dynamic->d_tag == DT_SYMTAB)
			v.symbols = at;
		else if (dynamic->d_tag == DT_STRTAB)
			v.names = at;
		else if (dynamic->d_tag == DT_GNU_HASH)
			v.hash = at;
	}
	symbol = v.symbols && v.names && v.hash ? find(&v, "__vdso_clock_gettime") : NULL;
	return symbol ? (int (*)(int, struct timespec *))(uintptr_t)(moved + symbol->st_value) : NULL;
}
