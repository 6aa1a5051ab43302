/* SPDX-License-Identifier: BSD-2-Clause */
/* What a debugger of the process reads: the list of gdb's JIT interface, and in its images the names and places of compiled functions. */
#include "skep/skep.h"
#include "../test.h"

#include <gelf.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <unistd.h>

struct entry {
	struct entry *next, *prev;
	char *image;
	uint64_t size;
};
struct descriptor {
	uint32_t version, action;
	struct entry *relevant, *first;
};
extern struct descriptor __jit_debug_descriptor;

static int load(struct skep *k, const char *name)
{
	/* main calls a function, which calls one that gives its argument; that one is copied there and leaves no code of its own */
	static const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1, .imm = 7}, {.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL, .imm = 1},
		{.code = BPF_JMP | BPF_EXIT}, {.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL, .imm = 1}, {.code = BPF_JMP | BPF_EXIT},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 0, .src_reg = 1}, {.code = BPF_JMP | BPF_EXIT},
	};
	char log[512] = "";
	int fd = skep_prog_load(k, &(struct skep_prog){.size = sizeof(struct skep_prog), .type = BPF_PROG_TYPE_RAW_TRACEPOINT, .insns = insns,
						       .n_insns = sizeof(insns) / sizeof(insns[0]), .name = name, .license = "GPL"}, log, sizeof(log));

	if (fd < 0)
		test_fail(__FILE__, __LINE__, "%d: %s", fd, log);
	return fd;
}

static unsigned entries(void)
{
	unsigned n = 0;

	for (const struct entry *e = __jit_debug_descriptor.first; e; e = e->next)
		n++;
	return n;
}

/* How many functions of the image bear the name's end, with code that lies in the image's section. */
static unsigned named(struct entry *e, const char *end)
{
	Elf *elf = elf_memory(e->image, e->size);
	Elf_Scn *s = NULL;
	unsigned found = 0;

	while (elf && (s = elf_nextscn(elf, s))) {
		GElf_Shdr h, text;
		Elf_Data *data;

		if (!gelf_getshdr(s, &h) || h.sh_type != SHT_SYMTAB)
			continue;
		data = elf_getdata(s, NULL);
		for (size_t i = 1; data && i < h.sh_size / h.sh_entsize; i++) {
			GElf_Sym sym;
			const char *name;
			size_t n;

			if (!gelf_getsym(data, (int)i, &sym) || !(name = elf_strptr(elf, h.sh_link, sym.st_name)))
				continue;
			n = strlen(name);
			CHECK(!strncmp(name, "bpf_prog_", 9));
			CHECK(gelf_getshdr(elf_getscn(elf, sym.st_shndx), &text) && text.sh_addr && sym.st_value + sym.st_size <= text.sh_size && sym.st_size);
			found += n > strlen(end) && !strcmp(name + n - strlen(end), end);
		}
	}
	elf_end(elf);
	return found;
}

TEST(a_debugger_learns_names_and_forgets_them)
{
	struct skep_options opts = {.size = sizeof(opts), .engine = SKEP_ENGINE_JIT, .profile = SKEP_PROFILE_GDB};
	struct skep *k, *other;
	int a, b;

	CHECK_EQ(__jit_debug_descriptor.version, 1);
	CHECK_EQ(entries(), 0);
	REQUIRE(skep_open(&k, &opts) == 0);
	REQUIRE(skep_open(&other, &opts) == 0);
	a = load(k, "first");
	b = load(other, "second");
	CHECK_EQ(entries(), 2);
	CHECK_EQ(named(__jit_debug_descriptor.first, "_second"), 1);
	CHECK_EQ(named(__jit_debug_descriptor.first, "_func_3") + named(__jit_debug_descriptor.first, "_func_1"), 1);
	CHECK_EQ(named(__jit_debug_descriptor.first, "_func_5") + named(__jit_debug_descriptor.first, "_func_2"), 0);
	CHECK_EQ(named(__jit_debug_descriptor.first->next, "_first"), 1);
	close(a);
	skep_close(k);
	CHECK_EQ(entries(), 1);
	CHECK_EQ(named(__jit_debug_descriptor.first, "_second"), 1);
	close(b);
	skep_close(other);
	CHECK_EQ(entries(), 0);
}

TEST(nobody_is_told_unless_asked)
{
	struct skep_options opts = {.size = sizeof(opts), .engine = SKEP_ENGINE_JIT};
	struct skep *k;
	int fd;

	REQUIRE(skep_open(&k, &opts) == 0);
	fd = load(k, "quiet");
	CHECK_EQ(entries(), 0);
	close(fd);
	skep_close(k);
}

TEST(files_that_cannot_be_written_are_an_error)
{
	struct skep_options opts = {.size = sizeof(opts), .profile = SKEP_PROFILE_JITDUMP, .jitdump_dir = "/nonexistent"};
	struct skep *k;

	CHECK_EQ(skep_open(&k, &opts), -2 /* ENOENT */);
	opts.profile = 1u << 20;
	CHECK_EQ(skep_open(&k, &opts), -22 /* EINVAL: not known */);
}

int main(void)
{
	elf_version(EV_CURRENT);
	RUN(a_debugger_learns_names_and_forgets_them);
	RUN(nobody_is_told_unless_asked);
	RUN(files_that_cannot_be_written_are_an_error);
	return test_end();
}
