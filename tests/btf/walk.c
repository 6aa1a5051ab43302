/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses through kernel types beside the running kernel's: arguments of its tracepoints, and loads of any size at any offset of structs that
 * they point to, must be what the kernel's verifier says they are, and be refused in its words. `t-btf-walk SEED COUNT` runs more of them.
 */
#include "kernel.h"
#include "test.h"

#include "btf/btf.h"

enum { LOG = 1 << 16, TRACING = 26, RAW_TP = 23 };
static const char vmlinux[] = "/sys/kernel/btf/vmlinux";
static struct btf b;
static char kernel_log[LOG];
static uint64_t state = 1;
static uint32_t rounds = 3000;

static uint32_t rnd(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

static int load(uint32_t target, const struct bpf_insn *insns, uint32_t n)
{
	union bpf_attr a;
	int fd;

	memset(&a, 0, sizeof(a));
	kernel_log[0] = 0;
	a.prog_type = TRACING;
	a.expected_attach_type = RAW_TP;
	a.attach_btf_id = target;
	a.insns = (uintptr_t)insns;
	a.insn_cnt = n;
	a.license = (uintptr_t)"GPL";
	a.log_buf = (uintptr_t)kernel_log;
	a.log_size = LOG;
	a.log_level = 2;
	fd = kernel_bpf(BPF_PROG_LOAD, &a, sizeof(a));
	if (fd >= 0)
		close(fd);
	return MIN(fd, 0);
}

static bool no_kernel(void)
{
	const struct bpf_insn insns[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
	s32 id = btf_find(&b, "btf_trace_sched_switch", BTF_KIND_TYPEDEF);

	return id <= 0 || load((uint32_t)id, insns, 2) != 0;
}

/* What the log says of a register behind the instruction that gave it its value: "ptr_task_struct". */
static void register_text(const char *reg, char *to, size_t size)
{
	const char *at = kernel_log, *found = NULL;
	size_t n = 0;

	while ((at = strstr(at, reg)) != NULL)
		found = at += strlen(reg);
	for (; found && n + 1 < size && found[n] != '(' && found[n] != ' ' && found[n] != '\n'; n++)
		to[n] = found[n];
	to[n] = 0;
}

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

static bool is_pointer(const char *text, const struct btf *types, uint32_t id, uint32_t flags)
{
	const char *name = btf_name_of(types, btf_type(types, id));

	return strstr(text, "ptr_") && ends_in(text, name) && !strstr(text, "user_ptr") == !(flags & BTF_PTR_USER) &&
	       !strstr(text, "percpu_") == !(flags & BTF_PTR_PERCPU);
}

/* ---- arguments ---- */

static void compare_argument(const struct btf_target *t, int32_t off, uint32_t code, uint32_t size, uint32_t *differ)
{
	const struct bpf_insn insns[] = {{.code = (uint8_t)(BPF_LDX | BPF_MEM | code), .dst_reg = 2, .src_reg = 1, .off = (int16_t)off},
					 {.code = BPF_ALU64 | BPF_MOV | BPF_K},
					 {.code = BPF_JMP | BPF_EXIT}};
	int theirs = load(t->id, insns, 3);
	struct btf_ctx_arg arg;
	struct text log;
	char text[128];
	bool mine, same;

	text_open(&log, &mem_libc);
	mine = btf_ctx_access(t, NULL, 0, off, size, &arg, &log);
	register_text("R2=", text, sizeof(text));
	same = mine == !theirs && (!log.len || strstr(kernel_log, text_str(&log)));
	if (same && mine && arg.kind == BTF_CTX_SCALAR)
		same = !strcmp(text, "scalar") || !*text;
	else if (same && mine)
		same = is_pointer(text, t->btf, arg.id, arg.flags) && !strstr(text, "or_null") == !(arg.flags & BTF_PTR_NULLABLE) &&
		       !strncmp(text, "trusted_", 8) == !!(arg.flags & BTF_PTR_TRUSTED);
	if (!same && ++*differ)
		test_fail(__FILE__, __LINE__, "%s +%d size %u: %d kind %u id %u flags 0x%x %s; the kernel: %d %s %s", t->name, off, size, mine, arg.kind,
			  arg.id, arg.flags, text_str(&log), theirs, text, kernel_log);
	text_close(&log);
}

TEST(arguments_of_tracepoints_are_what_the_kernel_says)
{
	static const struct {
		uint32_t code, size;
	} sizes[] = {{BPF_DW, 8}, {BPF_DW, 8}, {BPF_DW, 8}, {BPF_W, 4}, {BPF_B, 1}};
	const struct btf_attach how = {.prog_type = TRACING, .attach_type = RAW_TP};
	uint32_t seen = 0, pointers = 0, differ = 0;

	if (no_kernel())
		SKIP(KERNEL_MISSING);
	for (uint32_t id = 1; id < btf_type_count(&b) && differ < 4; id++) {
		const struct btf_type *type = btf_type(&b, id);
		struct btf_target t;

		if (btf_kind_of(type) != BTF_KIND_TYPEDEF || strncmp(btf_name_of(&b, type), "btf_trace_", 10) || rnd(4))
			continue;
		if (load(id, (struct bpf_insn[]){{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}}, 2))
			continue; /* a tracepoint that is not built in */
		REQUIRE(btf_attach_target(&b, id, &how, &t, NULL) == 0);
		seen++;
		for (uint32_t i = 0; i < btf_vlen_of(t.proto) && i < 5; i++) {
			uint32_t way = rnd(ARRAY_SIZE(sizes));

			compare_argument(&t, (int32_t)i * 8, sizes[way].code, sizes[way].size, &differ);
			pointers++;
		}
	}
	printf("# %u tracepoints, %u arguments\n", seen, pointers);
	CHECK(seen > 50);
}

/* ---- structs ---- */

static void compare_access(uint32_t target, int32_t arg, uint32_t struct_id, int32_t off, uint32_t way, uint32_t *differ)
{
	static const struct {
		uint32_t code, size;
	} sizes[] = {{BPF_DW, 8}, {BPF_W, 4}, {BPF_H, 2}, {BPF_B, 1}};
	const struct bpf_insn insns[] = {
		{.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = 1, .src_reg = 1, .off = (int16_t)arg},
		{.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 1, .off = 2},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K},
		{.code = BPF_JMP | BPF_EXIT},
		{.code = (uint8_t)(BPF_LDX | BPF_MEM | sizes[way].code), .dst_reg = 2, .src_reg = 1, .off = (int16_t)off},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K},
		{.code = BPF_JMP | BPF_EXIT}};
	int theirs = load(target, insns, ARRAY_SIZE(insns)), mine;
	struct btf_walk w;
	struct text log;
	char text[128];
	bool same;

	text_open(&log, &mem_libc);
	mine = btf_struct_access(&b, struct_id, false, off, sizes[way].size, &w, &log);
	register_text("R2=", text, sizeof(text));
	same = mine == theirs && (!log.len || strstr(kernel_log, text_str(&log)));
	if (same && !mine && w.kind == BTF_WALK_SCALAR)
		same = !strcmp(text, "scalar");
	else if (same && !mine && w.kind == BTF_WALK_MEM)
		same = ends_in(text, "mem");
	else if (same && !mine)
		same = w.kind == BTF_WALK_PTR && is_pointer(text, &b, w.id, w.flags);
	if (!same && ++*differ)
		test_fail(__FILE__, __LINE__, "%s +%d size %u: %d kind %u id %u flags 0x%x %s; the kernel: %d %s %s", btf_name_of(&b, btf_type(&b, struct_id)),
			  off, sizes[way].size, mine, w.kind, w.id, w.flags, text_str(&log), theirs, text, kernel_log);
	text_close(&log);
}

TEST(accesses_are_judged_as_the_kernel_does)
{
	static const struct {
		const char *point;
		int32_t arg;
		const char *type;
	} from[] = {{"sched_switch", 8, "task_struct"}, {"kfree_skb", 0, "sk_buff"},	      {"sys_enter", 0, "pt_regs"},
		    {"tcp_probe", 0, "sock"},		{"block_rq_issue", 0, "request"}, {"mm_vmscan_write_folio", 0, "folio"}};
	uint32_t differ = 0, done = 0;

	if (no_kernel())
		SKIP(KERNEL_MISSING);
	for (uint32_t f = 0; f < ARRAY_SIZE(from); f++) {
		char name[64];
		s32 target, type = btf_find(&b, from[f].type, BTF_KIND_STRUCT);

		snprintf(name, sizeof(name), "btf_trace_%s", from[f].point);
		target = btf_find(&b, name, BTF_KIND_TYPEDEF);
		if (target < 0 || type < 0)
			continue;
		for (uint32_t i = 0; i < rounds / ARRAY_SIZE(from) && differ < 4; i++) {
			const struct btf_type *t = btf_type(&b, (uint32_t)type);
			const struct btf_member *m = btf_members_of(t) + rnd(btf_vlen_of(t));
			int32_t off = rnd(3) ? (int32_t)(btf_member_bits(t, m) / 8 + (rnd(3) ? 0 : rnd(9))) : (int32_t)rnd(t->size + 16);

			if (off < 32768)
				compare_access((uint32_t)target, from[f].arg, (uint32_t)type, off, rnd(3) ? 0 : rnd(4), &differ);
			done++;
		}
	}
	printf("# %u accesses\n", done);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		state = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		rounds = (uint32_t)strtoul(argv[2], NULL, 0);
	if (btf_open_file(&b, &mem_libc, vmlinux, NULL)) {
		printf("1..0 # SKIP no %s\n", vmlinux);
		return 0;
	}
	RUN(arguments_of_tracepoints_are_what_the_kernel_says);
	RUN(accesses_are_judged_as_the_kernel_does);
	btf_free(&b);
	return test_end();
}
