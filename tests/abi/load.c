/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What PROG_LOAD says of a program before it looks at its instructions: the same attributes go to the running kernel and to an engine
 * with that kernel's types; errno and the log's first line must agree. Every program is "r0 = 0; exit".
 */
#include "abi/abi.h"
#include "isa/isa.h"

#include "skep/skep.h"

#include "../kernel.h"
#include "../test.h"

#include <fcntl.h>

#define VMLINUX "/sys/kernel/btf/vmlinux"

static const struct raw_insn trivial[] = {{.code = 0xb7}, {.code = 0x95}};

enum fd_kind { NO_FD, BAD_FD, MAP_FD, PROG_FD, BTF_FD };

struct load_case {
	const char *label;
	u32 type, attach, flags, ifindex;
	const char *target; /* of attach_btf_id, as a FUNC, TYPEDEF or STRUCT of the kernel */
	u32 id; /* attach_btf_id when target is NULL */
	enum fd_kind fd;
	const char *license; /* NULL: "GPL" */
	const char *name;
	u32 insn_cnt; /* 0: 2; UINT32_MAX: 0 */
	bool no_insns, no_license;
};

#define TRACING BPF_PROG_TYPE_TRACING
#define SLEEPS  BPF_F_SLEEPABLE
static const struct load_case cases[] = {
	{.label = "plain", .type = BPF_PROG_TYPE_SOCKET_FILTER},
	{.label = "unknown type", .type = 33},
	{.label = "type 0", .type = 0},
	{.label = "type far away", .type = 0x7fffffff},
	{.label = "unknown flag", .type = 1, .flags = 1u << 31},
	{.label = "unknown flag and no insns", .type = 1, .flags = 1u << 30, .insn_cnt = UINT32_MAX},
	{.label = "no insns", .type = 1, .insn_cnt = UINT32_MAX},
	{.label = "too many insns", .type = 1, .insn_cnt = 1000001},
	{.label = "too many insns, unknown type", .type = 99, .insn_cnt = 1000001},
	{.label = "NULL insns", .type = 1, .no_insns = true},
	{.label = "NULL licence", .type = 1, .no_license = true},
	{.label = "NULL licence, unknown type", .type = 99, .no_license = true},
	{.label = "bad name", .type = 1, .name = "a b"},
	{.label = "bad name, unknown type", .type = 99, .name = "a b"},
	{.label = "name with dots", .type = 1, .name = "a.b_c9"},
	{.label = "name too long", .type = 1, .name = "0123456789abcdef"},
	{.label = "all test flags", .type = 1, .flags = 0x0f & ~4u},
	{.label = "xdp frags on a filter", .type = 1, .flags = BPF_F_XDP_HAS_FRAGS},
	{.label = "sleepable filter", .type = 1, .flags = SLEEPS},
	{.label = "sleepable kprobe", .type = BPF_PROG_TYPE_KPROBE, .flags = SLEEPS},
	{.label = "sleepable xdp", .type = BPF_PROG_TYPE_XDP, .flags = SLEEPS},
	{.label = "sleepable tracepoint", .type = BPF_PROG_TYPE_TRACEPOINT, .flags = SLEEPS},
	{.label = "sleepable raw tracepoint", .type = BPF_PROG_TYPE_RAW_TRACEPOINT, .flags = SLEEPS},
	{.label = "syscall", .type = BPF_PROG_TYPE_SYSCALL, .flags = SLEEPS},
	{.label = "syscall that does not sleep", .type = BPF_PROG_TYPE_SYSCALL},
	{.label = "syscall with attach type", .type = BPF_PROG_TYPE_SYSCALL, .attach = 1, .flags = SLEEPS},
	{.label = "filter with attach type", .type = 1, .attach = 1000},
	{.label = "cgroup_sock without attach type", .type = BPF_PROG_TYPE_CGROUP_SOCK},
	{.label = "cgroup_sock, wrong attach type", .type = BPF_PROG_TYPE_CGROUP_SOCK, .attach = BPF_CGROUP_INET4_BIND},
	{.label = "sk_reuseport without attach type", .type = BPF_PROG_TYPE_SK_REUSEPORT},
	{.label = "sk_lookup without attach type", .type = BPF_PROG_TYPE_SK_LOOKUP},
	{.label = "sock_addr without attach type", .type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR},
	{.label = "filter with a BTF type", .type = 1, .id = 1},
	{.label = "kprobe with a BTF type", .type = BPF_PROG_TYPE_KPROBE, .id = 1},
	{.label = "BTF type out of range", .type = TRACING, .attach = BPF_TRACE_ITER, .id = 0x100000},
	{.label = "filter on a bad descriptor", .type = 1, .fd = BAD_FD},
	{.label = "filter on a map", .type = 1, .fd = MAP_FD},
	{.label = "filter on a program", .type = 1, .fd = PROG_FD},
	{.label = "filter on BTF", .type = 1, .fd = BTF_FD},
	{.label = "raw tracepoint on a program", .type = BPF_PROG_TYPE_RAW_TRACEPOINT, .fd = PROG_FD},
	{.label = "tracing on BTF of a program", .type = TRACING, .attach = BPF_TRACE_ITER, .id = 1, .fd = BTF_FD},
	{.label = "tracing on a bad descriptor", .type = TRACING, .attach = BPF_TRACE_ITER, .id = 1, .fd = BAD_FD},
	{.label = "tracing on a program without types", .type = TRACING, .attach = BPF_TRACE_RAW_TP, .id = 1, .fd = PROG_FD},
	{.label = "raw_tp without a type", .type = TRACING, .attach = BPF_TRACE_RAW_TP},
	{.label = "raw_tp", .type = TRACING, .attach = BPF_TRACE_RAW_TP, .target = "btf_trace_sched_switch"},
	{.label = "raw_tp on a function", .type = TRACING, .attach = BPF_TRACE_RAW_TP, .target = "vfs_read"},
	{.label = "raw_tp on another typedef", .type = TRACING, .attach = BPF_TRACE_RAW_TP, .target = "u32"},
	{.label = "raw_tp on no type", .type = TRACING, .attach = BPF_TRACE_RAW_TP, .id = 0xfffff},
	{.label = "sleepable raw_tp", .type = TRACING, .attach = BPF_TRACE_RAW_TP, .flags = SLEEPS, .target = "btf_trace_sched_switch"},
	{.label = "iterator", .type = TRACING, .attach = BPF_TRACE_ITER, .target = "bpf_iter_task"},
	{.label = "sleepable iterator", .type = TRACING, .attach = BPF_TRACE_ITER, .flags = SLEEPS, .target = "bpf_iter_task"},
	{.label = "no iterator of that name", .type = TRACING, .attach = BPF_TRACE_ITER, .target = "bpf_iter_run_prog"},
	{.label = "iterator on a function", .type = TRACING, .attach = BPF_TRACE_ITER, .target = "vfs_read"},
	{.label = "iterator on a struct", .type = TRACING, .attach = BPF_TRACE_ITER, .target = "task_struct"},
	{.label = "tracing without attach type", .type = TRACING, .target = "vfs_read"},
	{.label = "tracing with XDP's attach type", .type = TRACING, .attach = BPF_XDP, .target = "vfs_read"},
};

static char logs[2][8192];

static int open_fd(int (*bpf)(void *, int, union bpf_attr *, unsigned), void *ud, enum fd_kind kind)
{
	/* u32 "int" */
	static const struct {
		struct btf_header head;
		u32 type[4];
		char strings[5];
	} btf = {{0xeb9f, 1, 0, 24, 0, 16, 16, 5}, {1, 1u << 24, 4, 32}, "\0int"};
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	switch (kind) {
	case NO_FD: return 0;
	case BAD_FD: return 9999;
	case MAP_FD:
		a.map_type = BPF_MAP_TYPE_ARRAY;
		a.key_size = a.value_size = a.max_entries = 4;
		return bpf(ud, BPF_MAP_CREATE, &a, sizeof(a));
	case PROG_FD:
		a.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
		a.insns = (u64)(uintptr_t)trivial;
		a.insn_cnt = 2;
		a.license = (u64)(uintptr_t)"GPL";
		return bpf(ud, BPF_PROG_LOAD, &a, sizeof(a));
	case BTF_FD:
		a.btf = (u64)(uintptr_t)&btf;
		a.btf_size = sizeof(btf.head) + sizeof(btf.type) + sizeof(btf.strings);
		return bpf(ud, BPF_BTF_LOAD, &a, sizeof(a));
	}
	return -1;
}

static int on_kernel(void *ud, int cmd, union bpf_attr *a, unsigned size)
{
	(void)ud;
	return kernel_bpf(cmd, a, size);
}

static int on_skep(void *ud, int cmd, union bpf_attr *a, unsigned size)
{
	return skep_bpf(ud, cmd, a, size);
}

static int load(const struct load_case *c, u32 id, int (*bpf)(void *, int, union bpf_attr *, unsigned), void *ud, char *log)
{
	int target = open_fd(bpf, ud, c->fd), r;
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.prog_type = c->type;
	a.expected_attach_type = c->attach;
	a.prog_flags = c->flags;
	a.prog_ifindex = c->ifindex;
	a.insns = c->no_insns ? 0 : (u64)(uintptr_t)trivial;
	a.insn_cnt = c->insn_cnt == UINT32_MAX ? 0 : c->insn_cnt ? c->insn_cnt : 2;
	a.license = c->no_license ? 0 : (u64)(uintptr_t)(c->license ? c->license : "GPL");
	if (c->name)
		memcpy(a.prog_name, c->name, strnlen(c->name, sizeof(a.prog_name)));
	a.attach_btf_id = id;
	a.attach_prog_fd = (u32)target;
	a.log_level = 1;
	a.log_buf = (u64)(uintptr_t)log;
	a.log_size = sizeof(logs[0]);
	log[0] = 0;
	r = bpf(ud, BPF_PROG_LOAD, &a, sizeof(a));
	if (r >= 0)
		close(r);
	if (c->fd > BAD_FD)
		close(target);
	log[strcspn(log, "\n")] = 0;
	return r < 0 ? r : 0;
}

static u32 find(const struct btf *b, const char *name)
{
	static const u32 kinds[] = {BTF_KIND_FUNC, BTF_KIND_TYPEDEF, BTF_KIND_STRUCT};

	for (u32 i = 0; name && i < ARRAY_SIZE(kinds); i++) {
		s32 id = btf_find(b, name, kinds[i]);

		if (id > 0)
			return (u32)id;
	}
	return 0;
}

/* Lines that say more than "processed": the verifier's own are compared elsewhere. */
static bool says(const char *log)
{
	return log[0] && strncmp(log, "processed ", 10) && !strchr("0123456789", log[0]);
}

TEST(attributes_are_judged_as_by_linux)
{
	struct skep_options o = {.size = sizeof(o), .kernel_btf = VMLINUX};
	struct skep *k;
	struct btf b;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	if (btf_open_file(&b, &mem_libc, VMLINUX, NULL))
		SKIP("the kernel has no BTF");
	REQUIRE(skep_open(&k, &o) == 0);
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct load_case *c = &cases[i];
		u32 id = c->target ? find(&b, c->target) : c->id;
		int linux_says, skep_says;

		if (c->target && !id) {
			printf("# %s: the kernel has no %s\n", c->label, c->target);
			continue;
		}
		linux_says = load(c, id, on_kernel, NULL, logs[0]);
		skep_says = load(c, id, on_skep, k, logs[1]);
		if (linux_says != skep_says)
			test_fail(__FILE__, __LINE__, "%s: Linux %d \"%s\", skep %d \"%s\"", c->label, linux_says, logs[0], skep_says, logs[1]);
		else if (says(logs[0]) && strcmp(logs[0], logs[1]))
			test_fail(__FILE__, __LINE__, "%s: Linux says \"%s\", skep \"%s\"", c->label, logs[0], logs[1]);
	}
	btf_free(&b);
	skep_close(k);
}

/* Kernels without trampolines refuse these before they look: what Linux's verifier says is written here. */
static const struct hook_case {
	u32 type, attach, flags;
	const char *target;
	int err;
	const char *text; /* "%u": the type's id */
	const char *license;
} hooks[] = {
	{TRACING, BPF_TRACE_FENTRY, 0, "vfs_read", 0, "", NULL},
	{TRACING, BPF_TRACE_FEXIT, 0, "vfs_read", 0, "", NULL},
	{TRACING, BPF_TRACE_FENTRY, 0, "task_struct", -EINVAL, "attach_btf_id %u is not a function", NULL},
	{TRACING, BPF_TRACE_FENTRY, SLEEPS, "vfs_read", -EINVAL, "vfs_read is not sleepable", NULL},
	{TRACING, BPF_TRACE_FENTRY, SLEEPS, "bpf_fentry_test1", 0, "", NULL},
	{TRACING, BPF_TRACE_FENTRY, SLEEPS, "__x64_sys_read", 0, "", NULL},
	{TRACING, BPF_MODIFY_RETURN, SLEEPS, "__x64_sys_read", 0, "", NULL},
	{TRACING, BPF_MODIFY_RETURN, 0, "__x64_sys_read", 0, "", NULL},
	{TRACING, BPF_MODIFY_RETURN, 0, "security_file_open", 0, "", NULL},
	{TRACING, BPF_MODIFY_RETURN, SLEEPS, "security_file_open", -EINVAL, "security_file_open is not sleepable", NULL},
	{TRACING, BPF_MODIFY_RETURN, 0, "vfs_read", -EINVAL, "vfs_read() is not modifiable", NULL},
	{TRACING, BPF_MODIFY_RETURN, 0, "bpf_modify_return_test", 0, "", NULL},
	{TRACING, BPF_TRACE_FENTRY, 0, "do_exit", 0, "", NULL},
	{TRACING, BPF_TRACE_FEXIT, 0, "do_exit", -EINVAL, "Attaching fexit/fmod_ret to __noreturn functions is rejected.", NULL},
	{TRACING, BPF_TRACE_FENTRY, 0, "migrate_disable", -EINVAL, "", NULL},
	{BPF_PROG_TYPE_LSM, BPF_LSM_MAC, 0, "bpf_lsm_file_open", 0, "", NULL},
	{BPF_PROG_TYPE_LSM, BPF_LSM_MAC, 0, "bpf_lsm_file_open", -EINVAL, "LSM programs must have a GPL compatible license", "MIT"},
	{BPF_PROG_TYPE_LSM, BPF_LSM_MAC, SLEEPS, "bpf_lsm_file_open", 0, "", NULL},
	{BPF_PROG_TYPE_LSM, BPF_LSM_MAC, SLEEPS, "bpf_lsm_task_free", -EINVAL, "bpf_lsm_task_free is not sleepable", NULL},
	{BPF_PROG_TYPE_LSM, BPF_LSM_CGROUP, SLEEPS, "bpf_lsm_file_open", -EINVAL,
	 "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable", NULL},
	{BPF_PROG_TYPE_LSM, BPF_LSM_CGROUP, 0, "bpf_lsm_socket_bind", 0, "", NULL},
	{BPF_PROG_TYPE_LSM, BPF_LSM_MAC, 0, "bpf_lsm_getprocattr", -EINVAL, "attach_btf_id %u points to disabled hook bpf_lsm_getprocattr", NULL},
	{BPF_PROG_TYPE_LSM, BPF_LSM_MAC, 0, "bpf_lsm_is_trusted", -EINVAL, "attach_btf_id %u points to wrong type name bpf_lsm_is_trusted", NULL},
	{BPF_PROG_TYPE_LSM, BPF_LSM_MAC, 0, "vfs_read", -EINVAL, "attach_btf_id %u points to wrong type name vfs_read", NULL},
	{BPF_PROG_TYPE_EXT, 0, 0, "vfs_read", -EINVAL, "Cannot replace kernel functions", NULL},
	{BPF_PROG_TYPE_EXT, BPF_XDP, 0, "vfs_read", -EINVAL, "programs of type ext are not for attach type 37", NULL}, /* Linux says nothing */
	{BPF_PROG_TYPE_STRUCT_OPS, 0, 0, "task_struct", -ENOTSUPP, "attach_btf_id %u is not a supported struct", NULL},
	{BPF_PROG_TYPE_STRUCT_OPS, 0, 0, "tcp_congestion_ops", 0, "", NULL},
	{BPF_PROG_TYPE_STRUCT_OPS, 0, 0, "tcp_congestion_ops", -EINVAL, "struct ops programs must have a GPL compatible license", "MIT"},
	{BPF_PROG_TYPE_STRUCT_OPS, 1000, 0, "tcp_congestion_ops", -EINVAL, "attach to invalid member idx 1000 of struct tcp_congestion_ops", NULL},
};

TEST(functions_and_hooks_are_judged_by_name)
{
	struct skep_options o = {.size = sizeof(o), .kernel_btf = VMLINUX};
	struct skep *k;
	struct btf b;
	u32 compared = 0;

	if (btf_open_file(&b, &mem_libc, VMLINUX, NULL))
		SKIP("the kernel has no BTF");
	REQUIRE(skep_open(&k, &o) == 0);
	for (u32 i = 0; i < ARRAY_SIZE(hooks); i++) {
		const struct hook_case *h = &hooks[i];
		struct load_case c = {.type = h->type, .attach = h->attach, .flags = h->flags, .license = h->license};
		u32 id = find(&b, h->target);
		char text[256];
		int err;

		if (!id) {
			printf("# the kernel has no %s\n", h->target);
			continue;
		}
		err = load(&c, id, on_skep, k, logs[0]);
		snprintf(text, sizeof(text), h->text, id);
		if (err != h->err || (says(logs[0]) ? strcmp(logs[0], text) : text[0]))
			test_fail(__FILE__, __LINE__, "type %u attach type %u flags %u on %s: %d \"%s\", expected %d \"%s\"", h->type, h->attach, h->flags,
				  h->target, err, logs[0], h->err, text);
		compared++;
	}
	CHECK(compared > 20);
	btf_free(&b);
	skep_close(k);
}

/* ---- without capabilities ---- */

TEST(users_without_capabilities_load_filters_only)
{
	static const struct {
		struct load_case c;
		int err;
	} rows[] = {
		{{.type = BPF_PROG_TYPE_SOCKET_FILTER}, 0},
		{{.type = BPF_PROG_TYPE_CGROUP_SKB, .attach = BPF_CGROUP_INET_EGRESS}, 0},
		{{.type = BPF_PROG_TYPE_CGROUP_SKB, .attach = BPF_XDP}, -EINVAL},
		{{.type = BPF_PROG_TYPE_XDP}, -EPERM},
		{{.type = BPF_PROG_TYPE_KPROBE}, -EPERM},
		{{.type = BPF_PROG_TYPE_SK_LOOKUP, .attach = BPF_SK_LOOKUP}, -EPERM},
		{{.type = BPF_PROG_TYPE_SK_LOOKUP}, -EPERM},
		{{.type = 99}, -EPERM},
		{{.type = 1, .flags = 1u << 31}, -EINVAL},
		{{.type = 1, .insn_cnt = 4097}, -E2BIG},
		{{.type = BPF_PROG_TYPE_KPROBE, .insn_cnt = 4097}, -E2BIG},
		{{.type = 1, .id = 1}, -EINVAL},
		{{.type = 1, .fd = BTF_FD}, -ENOTSUPP},
	};
	struct skep *k;

	REQUIRE(skep_open(&k, NULL) == 0);
	skep_set_unprivileged(k, 1);
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		int err = load(&rows[i].c, rows[i].c.id, on_skep, k, logs[0]);

		if (err != rows[i].err)
			test_fail(__FILE__, __LINE__, "row %u, type %u: %d, expected %d: %s", i, rows[i].c.type, err, rows[i].err, logs[0]);
	}
	skep_set_unprivileged(k, 0);
	CHECK_EQ(load(&(struct load_case){.type = BPF_PROG_TYPE_XDP}, 0, on_skep, k, logs[0]), 0);
	skep_close(k);
}

TEST(packets_of_cgroup_programs_need_a_capability)
{
	const struct ctx_type *t = progtype(BPF_PROG_TYPE_CGROUP_SKB)->ctx;

	CHECK(ctx_access(t, 0, offsetof(struct __sk_buff, data), 4, false, true));
	CHECK(!ctx_access(t, 0, offsetof(struct __sk_buff, data), 4, false, false));
	CHECK(!ctx_access(t, 0, offsetof(struct __sk_buff, data_end), 4, false, false));
	CHECK(ctx_access(t, 0, offsetof(struct __sk_buff, tstamp), 8, false, false));
	CHECK(ctx_access(t, 0, offsetof(struct __sk_buff, tstamp), 8, true, true));
	CHECK(!ctx_access(t, 0, offsetof(struct __sk_buff, tstamp), 8, true, false));
}

/* ---- iterators ---- */

static int load_iter(u32 id, u32 arg, char *log)
{
	struct raw_insn code[] = {{.code = 0x79, .regs = 0x12, .off = (s16)(arg * 8)}, {.code = 0xb7}, {.code = 0x95}};
	union bpf_attr a;
	int fd;

	memset(&a, 0, sizeof(a));
	a.prog_type = TRACING;
	a.expected_attach_type = BPF_TRACE_ITER;
	a.insns = (u64)(uintptr_t)code;
	a.insn_cnt = 3;
	a.license = (u64)(uintptr_t)"GPL";
	a.attach_btf_id = id;
	a.log_level = 2;
	a.log_buf = (u64)(uintptr_t)log;
	a.log_size = sizeof(logs[0]);
	log[0] = 0;
	fd = kernel_bpf(BPF_PROG_LOAD, &a, sizeof(a));
	if (fd >= 0)
		close(fd);
	return fd;
}

static void compare_iter(const char *name, const struct iter_arg *a, u32 id)
{
	const char *at, *from = NULL;
	char want[96];

	if (a->kind == BTF_CTX_BUF)
		snprintf(want, sizeof(want), "%sbuf_or_null(", a->flags & BTF_PTR_RDONLY ? "rdonly_" : "");
	else
		snprintf(want, sizeof(want), "%sptr_or_null_%s(", a->flags & BTF_PTR_TRUSTED ? "trusted_" : "", a->type);
	CHECK(load_iter(id, a->arg, logs[0]) >= 0);
	at = strchr(logs[0], ';');
	at = at ? strstr(at, " R2") : NULL;
	from = at ? strchr(at, '=') : NULL;
	if (!from || strncmp(from + 1, want, strlen(want)))
		test_fail(__FILE__, __LINE__, "argument %u of bpf_iter_%s: expected %s, Linux says %.80s", a->arg, name, want, from ? from : logs[0]);
}

TEST(iterators_are_those_of_linux)
{
	static const char prefix[] = "bpf_iter_";
	u32 theirs = 0, ours = 0, forbidden = 0;
	struct btf b;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	if (btf_open_file(&b, &mem_libc, VMLINUX, NULL))
		SKIP("the kernel has no BTF");
	for (u32 id = 1; id < btf_type_count(&b); id++) {
		const struct btf_type *t = btf_type(&b, id);
		const char *name = btf_name_of(&b, t);
		const struct iter_arg *args;
		int loads;
		u32 n;

		if (btf_kind_of(t) != BTF_KIND_FUNC || strncmp(name, prefix, sizeof(prefix) - 1))
			continue;
		loads = load_iter(id, 0, logs[0]);
		if (loads == -EPERM) { /* the policy of a host, which root does not get round */
			forbidden++;
			continue;
		}
		args = iter_args(name + sizeof(prefix) - 1, &n);
		if ((loads >= 0) != (args != NULL))
			test_fail(__FILE__, __LINE__, "%s: Linux %s it for an iterator", name, args ? "does not take" : "takes");
		theirs++;
		ours += args != NULL;
		for (u32 i = 0; i < n; i++)
			compare_iter(name, &args[i], id);
	}
	printf("# %u functions, %u of them iterators; %u that this host forbids\n", theirs, ours, forbidden);
	CHECK(ours > 5);
	btf_free(&b);
}

/* ---- structs of functions ---- */

TEST(members_are_open_as_in_linux)
{
	struct skep_options o = {.size = sizeof(o), .kernel_btf = VMLINUX};
	u32 compared = 0;
	struct skep *k;
	struct btf b;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	if (btf_open_file(&b, &mem_libc, VMLINUX, NULL))
		SKIP("the kernel has no BTF");
	REQUIRE(skep_open(&k, &o) == 0);
	for (u32 id = 1; id < btf_type_count(&b); id++) {
		struct btf_struct_ops ops;

		if (btf_struct_ops_find(&b, id, &ops))
			continue;
		for (u32 i = 0; i <= btf_vlen_of(ops.type) * 2 + 1; i++) {
			struct load_case c = {.type = BPF_PROG_TYPE_STRUCT_OPS, .attach = i / 2, .flags = i & 1 ? SLEEPS : 0};
			int theirs = load(&c, id, on_kernel, NULL, logs[0]), ours = load(&c, id, on_skep, k, logs[1]);

			if (theirs != ours || (says(logs[0]) && strcmp(logs[0], logs[1])))
				test_fail(__FILE__, __LINE__, "member %u of %s, flags %u: Linux %d \"%s\", skep %d \"%s\"", c.attach, ops.name, c.flags,
					  theirs, logs[0], ours, logs[1]);
			compared++;
		}
	}
	printf("# %u loads compared\n", compared);
	btf_free(&b);
	skep_close(k);
}

TEST(rows_are_sorted)
{
	static const char *const names[] = {
#define FUNC(name, flags) #name,
#define PREFIX(name, flags)
#define ITER(name, arg, kind, flags, type)
#define MEMBER(type, member, rule)
#include "abi/targets.def"
	};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
		CHECK(i == 0 || strcmp(names[i - 1], names[i]) < 0);
		CHECK(kernel_func_flags(names[i]));
	}
	CHECK_EQ(kernel_func_flags("vfs_read"), 0);
	CHECK_EQ(kernel_func_flags("security_"), FUNC_MODIFY);
}

int main(void)
{
	RUN(attributes_are_judged_as_by_linux);
	RUN(functions_and_hooks_are_judged_by_name);
	RUN(users_without_capabilities_load_filters_only);
	RUN(packets_of_cgroup_programs_need_a_capability);
	RUN(iterators_are_those_of_linux);
	RUN(members_are_open_as_in_linux);
	RUN(rows_are_sorted);
	return test_end();
}
