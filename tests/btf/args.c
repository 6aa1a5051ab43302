/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arguments of global functions beside the running kernel's: prototypes of random parameters with random tags are accepted by both, or refused
 * with the same line. `t-btf-args SEED COUNT` runs more of them.
 */
#include "kernel.h"
#include "test.h"
#include "btf/build.h"

#include "btf/btf.h"

enum { LOG = 1 << 16 };
static struct btf kernel_types;
static char kernel_log[LOG];
static uint64_t state = 1;
static uint32_t rounds = 1500;

static uint32_t rnd(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

static const struct btf *get_kernel_types(void *ud)
{
	return ud;
}

/* ---- types: every function is number 2 of a program; f is its FUNC ---- */

static uint32_t pool[64], pool_n;

static uint32_t keep(uint32_t id)
{
	return pool[pool_n++] = id;
}

static void parameter_types(struct build *b)
{
	static const char *const structs[] = {"__sk_buff",	 "sk_buff",		 "xdp_md",	    "pt_regs",	  "bpf_raw_tracepoint_args",
					      "bpf_perf_event_data", "bpf_sock_addr", "task_struct", "cgroup___x", "mine",
					      "nobody_has_this", "bpf_dynptr",	  "bpf_iter__task",  "bpf_sysctl"};
	uint32_t t, regs = 0;

	pool_n = 0;
	keep(build_int(b, "int", 4));
	keep(build_int(b, "long", 8));
	keep(build_int(b, "char", 1));
	keep(build_type(b, "e", BTF_KIND_ENUM, 0, 0, 4));
	keep(build_type(b, "float", BTF_KIND_FLOAT, 0, 0, 4));
	keep(build_type(b, "", BTF_KIND_PTR, 0, 0, 0));
	for (uint32_t i = 1; i <= 5; i++)
		keep(build_type(b, "", BTF_KIND_PTR, 0, 0, i));
	for (uint32_t i = 0; i < ARRAY_SIZE(structs); i++) {
		t = build_type(b, structs[i], BTF_KIND_STRUCT, 0, 0, 8 * (i + 1));
		if (i == 3)
			regs = build_type(b, "bpf_user_pt_regs_t", BTF_KIND_TYPEDEF, 0, 0, t);
		if (rnd(3) == 0)
			t = build_type(b, "", BTF_KIND_CONST, 0, 0, t);
		t = build_type(b, "", BTF_KIND_PTR, 0, 0, t);
		keep(rnd(4) ? t : build_type(b, "alias", BTF_KIND_TYPEDEF, 0, 0, t));
	}
	keep(build_type(b, "", BTF_KIND_PTR, 0, 0, regs));
	t = build_type(b, "fwd_task", BTF_KIND_FWD, 0, 0, 0);
	keep(build_type(b, "", BTF_KIND_PTR, 0, 0, t));
	t = build_array(b, 1, 1, 5);
	keep(build_type(b, "", BTF_KIND_PTR, 0, 0, t));
	keep(build_type(b, "by_value", BTF_KIND_STRUCT, 0, 0, 8));
}

static uint32_t types(struct build *b, uint32_t *main_func)
{
	static const char *const tags[] = {"arg:ctx",	  "arg:nonnull", "arg:nullable", "arg:trusted", "arg:untrusted",
					   "arg:arena", "arg:other",   "comment",	 "arg:ctx",	"arg:trusted"};
	uint32_t n = rnd(20) ? 1 + rnd(3) : 6, proto, f, main_proto;

	build_open(b);
	parameter_types(b);
	main_proto = build_type(b, "", BTF_KIND_FUNC_PROTO, 0, 0, 1);
	*main_func = build_type(b, "main_prog", BTF_KIND_FUNC, 1, 0, main_proto);
	proto = build_type(b, "", BTF_KIND_FUNC_PROTO, n, 0, rnd(12) ? 1 + rnd(4) : pool[rnd(pool_n)]);
	for (uint32_t i = 0; i < n; i++)
		build_param(b, &"abcdef"[i], pool[rnd(3) ? 5 + rnd(pool_n - 5) : rnd(pool_n)]);
	f = build_type(b, "func", BTF_KIND_FUNC, 1, 0, proto);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = rnd(3) ? rnd(2) : 2; k; k--)
			build_tag(b, tags[rnd(ARRAY_SIZE(tags))], f, (int32_t)i);
	build_close(b);
	return f;
}

/* ---- the kernel ---- */

static int load(const struct build *b, uint32_t main_func, uint32_t f, uint32_t prog_type, uint32_t attach_type)
{
	static struct bpf_insn insns[] = {{.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL, .imm = 1}, /* R2 to R5 are not set: it never runs on */
					  {.code = BPF_JMP | BPF_EXIT},
					  {.code = BPF_ALU64 | BPF_MOV | BPF_K},
					  {.code = BPF_JMP | BPF_EXIT}};
	uint32_t info[4] = {0, main_func, 2, f};
	union bpf_attr a;
	int btf, fd;

	memset(&a, 0, sizeof(a));
	kernel_log[0] = 0;
	a.btf = (uintptr_t)b->bytes;
	a.btf_size = b->size;
	btf = kernel_bpf(BPF_BTF_LOAD, &a, sizeof(a));
	if (btf < 0)
		return btf;
	memset(&a, 0, sizeof(a));
	a.prog_type = prog_type;
	a.expected_attach_type = attach_type;
	a.attach_btf_id = attach_type == 23 ? (uint32_t)btf_find(&kernel_types, "btf_trace_sched_switch", BTF_KIND_TYPEDEF) : 0;
	a.insns = (uintptr_t)insns;
	a.insn_cnt = ARRAY_SIZE(insns);
	a.license = (uintptr_t)"GPL";
	a.log_buf = (uintptr_t)kernel_log;
	a.log_size = LOG;
	a.log_level = 2;
	a.prog_btf_fd = (uint32_t)btf;
	a.func_info = (uintptr_t)info;
	a.func_info_cnt = 2;
	a.func_info_rec_size = 8;
	fd = kernel_bpf(BPF_PROG_LOAD, &a, sizeof(a));
	close(btf);
	if (fd >= 0)
		close(fd);
	return MIN(fd, 0);
}

/* Does the kernel's log say that the prototype is at fault? */
static bool blames_prototype(void)
{
	static const char *const lines[] = {"invalid combination", "not supported yet", "size cannot be determined", "unsupported set of tags", "should be ",
					    "cannot be combined",  "has no matches",	"is ambiguous",		     "pointer tag",		"return scalar",
					    "Buggy compiler",	   "candidate matching", "only struct or primitive", "type isn't a pointer",	"doesn't have a name"};

	for (uint32_t i = 0; i < ARRAY_SIZE(lines); i++)
		if (strstr(kernel_log, lines[i]))
			return true;
	return false;
}

TEST(prototypes_are_judged_as_the_kernel_does)
{
	static const uint32_t prog_types[][2] = {{1, 0}, {2, 0}, {3, 0}, {5, 0}, {6, 0}, {7, 0}, {17, 0}, {26, 23}, {9, 0}, {23, 0}};
	const struct btf_kernel source = {get_kernel_types, &kernel_types};
	static struct build build;
	uint32_t accepted = 0, differ = 0;

	for (uint32_t i = 0; i < rounds && differ < 4; i++) {
		const uint32_t *type = prog_types[rnd(ARRAY_SIZE(prog_types))];
		uint64_t seed = state;
		uint32_t main_func, f = types(&build, &main_func);
		int theirs = load(&build, main_func, f, type[0], type[1]), mine;
		struct btf_func_args args;
		struct text log;
		struct btf b;

		if (theirs == -EPERM)
			SKIP(KERNEL_MISSING);
		text_open(&log, &mem_libc);
		mine = btf_parse(&b, &mem_libc, build.bytes, build.size, 0, NULL);
		if (mine) {
			CHECK_EQ(mine, theirs);
			text_close(&log);
			continue;
		}
		mine = btf_func_args(&b, f, type[0], type[1], &source, &args, &log);
		accepted += !mine;
		if ((mine ? !theirs || !strstr(kernel_log, text_str(&log)) : theirs && blames_prototype()) && ++differ)
			test_fail(__FILE__, __LINE__, "seed %llu type %u: %d %s; the kernel: %d %s", (unsigned long long)seed, type[0], mine, text_str(&log), theirs,
				  kernel_log);
		text_close(&log);
		btf_free(&b);
	}
	printf("# %u of %u accepted\n", accepted, rounds);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		state = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		rounds = (uint32_t)strtoul(argv[2], NULL, 0);
	if (btf_open_file(&kernel_types, &mem_libc, "/sys/kernel/btf/vmlinux", NULL)) {
		printf("1..0 # SKIP no kernel types\n");
		return 0;
	}
	RUN(prototypes_are_judged_as_the_kernel_does);
	btf_free(&kernel_types);
	return test_end();
}
