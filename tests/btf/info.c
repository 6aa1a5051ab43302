/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * func_info and line_info of PROG_LOAD beside the running kernel's: records with spoiled words, of other sizes and numbers, with types of every
 * kind, must give the same errno and the same line of log. `t-btf-info SEED COUNT` runs more of them.
 */
#include "kernel.h"
#include "test.h"
#include "btf/build.h"

#include "base/base.h"
#include "skep/skep.h"

enum { LOG = 1 << 16 };
static struct skep *k;
static uint64_t state = 1;
static uint32_t rounds = 4000;

static uint32_t rnd(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

static int call(int cmd, union bpf_attr *a, bool kernel)
{
	return kernel ? kernel_bpf(cmd, a, sizeof(*a)) : skep_bpf(k, cmd, a, sizeof(*a));
}

/* Main calls two functions. */
static const struct bpf_insn plain[] = {
	{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1},
	{.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL, .imm = 4},
	{.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 0, .imm = 1},
	{0},
	{.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL, .imm = 3},
	{.code = BPF_JMP | BPF_EXIT},
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0}, /* 6: f1 */
	{.code = BPF_JMP | BPF_EXIT},
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0}, /* 8: f2 */
	{.code = BPF_JMP | BPF_EXIT},
};

struct info {
	uint32_t func[3 * 4], line[8 * 6];
	uint32_t n_func, n_line, func_size, line_size;
};

static void good(struct info *f)
{
	static const uint32_t starts[] = {0, 6, 8}, lines[] = {0, 1, 2, 6, 8, 9};

	memset(f, 0, sizeof(*f));
	f->n_func = 3;
	f->n_line = 6;
	f->func_size = 8;
	f->line_size = 16;
	for (uint32_t i = 0; i < 3; i++) {
		f->func[i * 2] = starts[i];
		f->func[i * 2 + 1] = 3 + i;
	}
	for (uint32_t i = 0; i < 6; i++) {
		f->line[i * 4] = lines[i];
		f->line[i * 4 + 1] = 1;
		f->line[i * 4 + 2] = 1;
		f->line[i * 4 + 3] = i << 10 | 1;
	}
}

static void types(struct build *b, bool void_result)
{
	uint32_t proto;

	build_open(b);
	build_int(b, "int", 4);
	proto = build_type(b, "", BTF_KIND_FUNC_PROTO, 0, 0, void_result ? 0 : 1);
	build_type(b, "main_prog", BTF_KIND_FUNC, 1, 0, proto);
	build_type(b, "f1", BTF_KIND_FUNC, 0, 0, proto);
	build_type(b, "f2", BTF_KIND_FUNC, 0, 0, proto);
	build_close(b);
}

static void spoil(struct info *f)
{
	switch (rnd(14)) {
	case 0: f->n_func = rnd(4); break;
	case 1: f->n_line = rnd(7); break;
	case 2: f->func_size = rnd(2) ? 12 : rnd(300); break;
	case 3: f->line_size = rnd(2) ? 20 : rnd(300); break;
	case 4: f->n_func = f->n_line = 0; break;
	case 5:
	case 6:
	case 7: f->func[rnd(6)] = rnd(8) ? rnd(11) : UINT32_MAX - rnd(3); break;
	default: f->line[rnd(24)] = rnd(8) ? rnd(12) : 100000 - rnd(3); break;
	}
}

static int load(const struct build *b, const struct info *f, const struct bpf_insn *insns, uint32_t n, char *log, bool kernel)
{
	/* Records of more bytes than ours are looked at behind the good ones: zero. */
	static uint8_t func[3 * 300 + 64], line[8 * 300 + 64];
	union bpf_attr a;
	int btf, fd;

	memset(&a, 0, sizeof(a));
	memset(func, 0, sizeof(func));
	memset(line, 0, sizeof(line));
	memcpy(func, f->func, sizeof(f->func));
	memcpy(line, f->line, sizeof(f->line));
	a.btf = (uintptr_t)b->bytes;
	a.btf_size = b->size;
	btf = call(BPF_BTF_LOAD, &a, kernel);
	if (btf < 0)
		return btf;
	memset(&a, 0, sizeof(a));
	log[0] = 0;
	a.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	a.insns = (uintptr_t)insns;
	a.insn_cnt = n;
	a.license = (uintptr_t)"GPL";
	a.log_buf = (uintptr_t)log;
	a.log_size = LOG;
	a.log_level = 1;
	a.prog_btf_fd = (uint32_t)btf;
	a.func_info = (uintptr_t)func;
	a.func_info_cnt = f->n_func;
	a.func_info_rec_size = f->func_size;
	a.line_info = (uintptr_t)line;
	a.line_info_cnt = f->n_line;
	a.line_info_rec_size = f->line_size;
	fd = call(BPF_PROG_LOAD, &a, kernel);
	close(btf);
	if (fd >= 0)
		close(fd);
	return fd >= 0 ? 0 : fd;
}

/* The kernel's log ends in statistics. */
static bool same(int mine, int theirs, const char *mine_log, const char *kernel_log)
{
	const char *stats = strstr(kernel_log, "processed ");
	size_t n = stats ? (size_t)(stats - kernel_log) : strlen(kernel_log);

	if (mine != theirs)
		return false;
	return mine == 0 || (!strncmp(mine_log, kernel_log, n) && (!mine_log[n] || !strncmp(mine_log + n, "processed ", 10)));
}

static uint32_t accepted;

TEST(records_are_judged_as_the_kernel_does)
{
	static struct build b;
	static char mine_log[LOG], kernel_log[LOG];
	struct info f;
	uint32_t differ = 0;

	types(&b, false);
	good(&f);
	if (load(&b, &f, plain, ARRAY_SIZE(plain), kernel_log, true) == -EPERM)
		SKIP(KERNEL_MISSING);
	for (uint32_t i = 0; i < rounds && differ < 4; i++) {
		uint64_t seed = state;
		int mine, theirs;

		types(&b, false);
		good(&f);
		for (uint32_t n = rnd(3); n; n--)
			spoil(&f);
		mine = load(&b, &f, plain, ARRAY_SIZE(plain), mine_log, false);
		theirs = load(&b, &f, plain, ARRAY_SIZE(plain), kernel_log, true);
		accepted += !theirs;
		if (!same(mine, theirs, mine_log, kernel_log) && ++differ)
			test_fail(__FILE__, __LINE__, "seed %llu: %d %s; the kernel: %d %s", (unsigned long long)seed, mine, mine_log, theirs, kernel_log);
	}
	printf("# %u accepted\n", accepted);
}

/* A function that reads the packet, or calls another program, must return an int, and have types. */
TEST(functions_that_may_end_the_program)
{
	static const struct bpf_insn reads[] = {
		{.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL, .imm = 5},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1}, /* 6: f1 */
		{.code = BPF_LD | BPF_ABS | BPF_W},
		{.code = BPF_JMP | BPF_EXIT},
	};
	static struct build b;
	static char mine_log[LOG], kernel_log[LOG];

	for (uint32_t way = 0; way < 8; way++) {
		struct info f;
		int mine, theirs;

		types(&b, way & 1);
		good(&f);
		f.n_func = way & 2 ? 2 : 0;
		f.n_line = way & 4 ? 4 : 0;
		theirs = load(&b, &f, reads, ARRAY_SIZE(reads), kernel_log, true);
		if (theirs == -EPERM)
			SKIP(KERNEL_MISSING);
		mine = load(&b, &f, reads, ARRAY_SIZE(reads), mine_log, false);
		if (!same(mine, theirs, mine_log, kernel_log))
			test_fail(__FILE__, __LINE__, "way %u: %d %s; the kernel: %d %s", way, mine, mine_log, theirs, kernel_log);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1)
		state = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		rounds = (uint32_t)strtoul(argv[2], NULL, 0);
	if (skep_open(&k, NULL))
		return 1;
	RUN(records_are_judged_as_the_kernel_does);
	RUN(functions_that_may_end_the_program);
	skep_close(k);
	return test_end();
}
