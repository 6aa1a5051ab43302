/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiled functions for gdb, by its JIT interface (gdb's manual, "JIT Compilation Interface"): for each program an ELF image in memory with the
 * names of its functions and the layout of their frames, so that a backtrace goes through them.
 *
 * The interface is one list per process under names that gdb looks for: the only state that engines share, guarded by a lock of its own.
 */
#include "jit/jit.h"

#include <elf.h>

struct jit_code_entry {
	struct jit_code_entry *next, *prev;
	const char *symfile_addr;
	u64 symfile_size;
};
struct jit_descriptor {
	u32 version, action;
	struct jit_code_entry *relevant, *first;
};
enum { JIT_REGISTER = 1, JIT_UNREGISTER = 2 };

/* Other compilers in the process may have the same; gdb knows one list for each file that defines it. */
__attribute__((weak, used)) struct jit_descriptor __jit_debug_descriptor = {.version = 1};
__attribute__((weak, used, noinline)) void __jit_debug_register_code(void);
void __jit_debug_register_code(void)
{
	__asm__ volatile("" ::: "memory"); /* gdb stops here and reads the descriptor */
}

static plain_lock lock;

struct jit_debugger {
	struct jit_code_entry entry;
	struct text image;
};

enum { TEXT = 1, SYMBOLS, STRINGS, FRAMES, NAMES, SECTIONS };

struct image {
	const struct prog *p;
	struct text *t;
	Elf64_Shdr section[SECTIONS];
};

static void begin(struct image *i, u32 at, u32 name, u32 type)
{
	static const char zero[8];

	text_bytes(i->t, zero, -i->t->len & 7);
	i->section[at].sh_name = name;
	i->section[at].sh_type = type;
	i->section[at].sh_offset = i->t->len;
	i->section[at].sh_addralign = 8;
}

static void end(struct image *i, u32 at)
{
	i->section[at].sh_size = i->t->len - i->section[at].sh_offset;
}

static void symbols(struct image *i)
{
	struct text names;
	Elf64_Sym s = {0};

	text_open(&names, i->t->mem);
	text_bytes(&names, "", 1);
	begin(i, SYMBOLS, 7, SHT_SYMTAB);
	text_bytes(i->t, &s, sizeof(s));
	for (u32 k = 0; k < i->p->n_subprogs; k++) {
		if (!prog_code_size(i->p, k))
			continue;
		s = (Elf64_Sym){.st_name = (u32)names.len, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), .st_shndx = TEXT,
				.st_value = i->p->code->func[k].start, .st_size = prog_code_size(i->p, k)};
		text_bytes(i->t, &s, sizeof(s));
		prog_symbol(i->p, k, &names);
		text_bytes(&names, "", 1);
	}
	end(i, SYMBOLS);
	i->section[SYMBOLS].sh_link = STRINGS;
	i->section[SYMBOLS].sh_info = 1;
	i->section[SYMBOLS].sh_entsize = sizeof(s);
	begin(i, STRINGS, 15, SHT_STRTAB);
	text_bytes(i->t, names.at, names.len);
	end(i, STRINGS);
	text_close(&names);
}

/* A length, and the entry behind it, padded with DW_CFA_nop. */
static void frame_entry(struct image *i, const struct text *entry)
{
	u32 length = (u32)ALIGN_UP(entry->len + 4, 8) - 4;

	text_bytes(i->t, &length, sizeof(length));
	text_bytes(i->t, entry->at, entry->len);
	text_bytes(i->t, "\0\0\0\0\0\0\0", length - entry->len);
}

static void frames(struct image *i)
{
	struct text t;

	begin(i, FRAMES, 23, SHT_PROGBITS);
	text_open(&t, i->t->mem);
	target_x64.unwind(NULL, &t);
	frame_entry(i, &t);
	for (u32 k = 0; k < i->p->n_subprogs; k++) {
		struct {
			u32 cie;
			u64 start, size;
		} __attribute__((packed)) head = {0, (u64)(uintptr_t)(i->p->code->region.base + i->p->code->func[k].start), prog_code_size(i->p, k)};

		if (!head.size)
			continue;
		text_clear(&t);
		text_bytes(&t, &head, sizeof(head));
		target_x64.unwind(&i->p->code->func[k], &t);
		frame_entry(i, &t);
	}
	text_close(&t);
	end(i, FRAMES);
}

static int make(const struct prog *p, struct text *t)
{
	static const char names[] = "\0.text\0.symtab\0.strtab\0.debug_frame\0.shstrtab";
	struct image i = {.p = p, .t = t};
	Elf64_Ehdr h = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT}, .e_type = ET_REL,
			.e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_ehsize = sizeof(h), .e_shentsize = sizeof(Elf64_Shdr),
			.e_shnum = SECTIONS, .e_shstrndx = NAMES};

	text_bytes(t, &h, sizeof(h));
	symbols(&i);
	frames(&i);
	begin(&i, NAMES, 36, SHT_STRTAB);
	text_bytes(t, names, sizeof(names));
	end(&i, NAMES);
	i.section[TEXT] = (Elf64_Shdr){.sh_name = 1, .sh_type = SHT_NOBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR, .sh_addr = (u64)(uintptr_t)p->code->region.base,
				       .sh_size = p->code->size, .sh_addralign = 16};
	begin(&i, 0, 0, SHT_NULL);
	h.e_shoff = t->len;
	i.section[0] = (Elf64_Shdr){0};
	text_bytes(t, i.section, sizeof(i.section));
	if (t->err)
		return t->err;
	memcpy(t->at, &h, sizeof(h));
	return 0;
}

static void tell(struct jit_code_entry *e, u32 action)
{
	__jit_debug_descriptor.relevant = e;
	__jit_debug_descriptor.action = action;
	__jit_debug_register_code();
	__jit_debug_descriptor.action = 0;
}

int jit_announce(struct prog *p)
{
	struct prog_code *c = (struct prog_code *)(uintptr_t)p->code;
	struct jit_debugger *d = mem_alloc(p->mem, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	text_open(&d->image, p->mem);
	err = make(p, &d->image);
	if (err) {
		text_close(&d->image);
		mem_free(p->mem, d, sizeof(*d));
		return err;
	}
	d->entry.symfile_addr = d->image.at;
	d->entry.symfile_size = d->image.len;
	plain_lock_take(&lock);
	d->entry.next = __jit_debug_descriptor.first;
	if (d->entry.next)
		d->entry.next->prev = &d->entry;
	__jit_debug_descriptor.first = &d->entry;
	tell(&d->entry, JIT_REGISTER);
	plain_lock_drop(&lock);
	c->debugger = d;
	return 0;
}

void jit_withdraw(struct prog *p)
{
	struct jit_debugger *d = p->code ? p->code->debugger : NULL;

	if (!d)
		return;
	plain_lock_take(&lock);
	if (d->entry.prev)
		d->entry.prev->next = d->entry.next;
	else
		__jit_debug_descriptor.first = d->entry.next;
	if (d->entry.next)
		d->entry.next->prev = d->entry.prev;
	tell(&d->entry, JIT_UNREGISTER);
	plain_lock_drop(&lock);
	text_close(&d->image);
	mem_free(p->mem, d, sizeof(*d));
}
