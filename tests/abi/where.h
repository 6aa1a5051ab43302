/* SPDX-License-Identifier: BSD-2-Clause */
/* The places that calls can be made from: program types with each attach type that the running kernel loads, and one call there. */
#ifndef SKEP_TEST_WHERE_H
#define SKEP_TEST_WHERE_H

#include "abi/abi.h"
#include "btf/btf.h"
#include "isa/isa.h"
#include "skep/skep.h"

#include "../kernel.h"
#include "../test.h"

enum { LAST_HELPER = 211, MOST_DIFFERENCES = 60, LAST_ATTACH = 57, LOG_SIZE = 65536 };

static char log_text[LOG_SIZE], our_log[LOG_SIZE];
static struct skep *engine; /* with the running kernel's types: loads the same; NULL: not compared */
static s32 (*our_map)(s32 fd); /* the engine's map for a map of the kernel */
static int our_btf;
static u32 loads_compared, loads_differ;
static struct btf vmlinux;
static u32 shown;
static int program_btf; /* of the programs that load() loads; 0: none */
static struct bpf_func_info functions[2];
static u32 n_functions;

/* ---- loading one call ---- */

struct where {
	const struct progtype *type;
	u32 attach, btf_id;
	const char *target; /* what btf_id names, as helper_hook_ok() takes it */
	bool sleepable;
};

static inline struct raw_insn insn(u8 op, u32 dst, u32 src, s32 imm)
{
	return (struct raw_insn){.code = op, .regs = (u8)(dst | src << 4), .imm = imm};
}

/* What a kernel leaves out by its configuration or when it is locked down. */
static inline bool left_out(u32 id)
{
	return id == BPF_FUNC_probe_write_user || id == BPF_FUNC_override_return;
}

/* The line that says why: what a log has before its last, which counts. */
static inline void reason(char *out, size_t n, const char *log)
{
	const char *end = strstr(log, "processed "), *at;

	if (!end)
		end = log + strlen(log);
	at = end;
	while (at > log && at[-1] != '\n')
		at--;
	if (at == end) {
		end = at > log ? at - 1 : at;
		for (at = end; at > log && at[-1] != '\n';)
			at--;
	}
	snprintf(out, n, "%.*s", (int)(end - at), at);
}

/* Each pair of reasons once. */
static inline bool new_difference(const char *kernel, const char *ours)
{
	static char seen[MOST_DIFFERENCES][2][256];
	static u32 n;

	for (u32 i = 0; i < n; i++)
		if (!strcmp(seen[i][0], kernel) && !strcmp(seen[i][1], ours))
			return false;
	if (n == MOST_DIFFERENCES)
		return false;
	snprintf(seen[n][0], sizeof(seen[n][0]), "%s", kernel);
	snprintf(seen[n++][1], sizeof(seen[n][1]), "%s", ours);
	return true;
}

/* Some kernels, later ones of 6.18 among them, take the arguments of every kernel function for trusted ones: they refuse a 0 before they look at anything else. */
static const char refused_as_null[] = "Possibly NULL pointer passed to trusted arg";

static inline bool trusts_all_arguments(void)
{
	static int known = -1;
	static char log[4096];
	s32 id = vmlinux.n_types ? btf_find(&vmlinux, "bpf_iter_num_new", BTF_KIND_FUNC) : -1;
	struct raw_insn code[6];
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insns = (u64)(uintptr_t)code, .insn_cnt = ARRAY_SIZE(code),
			    .license = (u64)(uintptr_t)"GPL", .log_level = 1, .log_buf = (u64)(uintptr_t)log, .log_size = sizeof(log)};

	if (known >= 0 || id < 0)
		return known > 0;
	for (u32 i = 0; i < 3; i++)
		code[i] = insn(0xb7, i + 1, 0, 0);
	code[3] = insn(0x85, 0, 2, id);
	code[4] = insn(0xb7, 0, 0, 0);
	code[5] = insn(0x95, 0, 0, 0);
	kernel_bpf(BPF_PROG_LOAD, &a, sizeof(a)); /* what it says is what counts */
	known = strstr(log, refused_as_null) != NULL;
	if (known)
		printf("# this kernel takes all arguments of its functions for trusted ones: zeroes that it refuses for that are not compared\n");
	return known;
}

/* The same program in the engine; says where the two differ. */
static inline void compare_engine(const union bpf_attr *a, const struct raw_insn *code, u32 n, int fd)
{
	struct raw_insn copy[128];
	union bpf_attr b = *a;
	char kernel[256], ours[256];
	int got;

	if (!engine || n > ARRAY_SIZE(copy) || left_out((u32)code[n > 2 ? n - 3 : 0].imm) || a->prog_type == BPF_PROG_TYPE_LIRC_MODE2)
		return; /* what this kernel was built without, */
	if (fd < 0 && !log_text[0])
		return; /* or cannot attach: it has not looked at the program */
	memcpy(copy, code, n * sizeof(*copy));
	for (u32 i = 0; i < n; i++)
		if (copy[i].code == 0x18 && (copy[i].regs >> 4 == 1 || copy[i].regs >> 4 == 2))
			copy[i].imm = our_map(copy[i].imm);
	b.insns = (u64)(uintptr_t)copy;
	b.log_buf = (u64)(uintptr_t)our_log;
	if (b.func_info_cnt)
		b.prog_btf_fd = (u32)our_btf;
	our_log[0] = 0;
	got = skep_bpf(engine, BPF_PROG_LOAD, &b, sizeof(b));
	if (got >= 0)
		close(got);
	loads_compared++;
	reason(kernel, sizeof(kernel), log_text);
	reason(ours, sizeof(ours), our_log);
	if (fd < 0 && !strncmp(kernel, refused_as_null, sizeof(refused_as_null) - 1) && trusts_all_arguments())
		return;
	if (fd < 0 && !kernel[0])
		return; /* no fault of the program: a map is bound to programs of another type, which loaded before */
	if ((got >= 0) == (fd >= 0) && (fd >= 0 || !strcmp(kernel, ours)))
		return;
	loads_differ++;
	if (new_difference(kernel, ours))
		printf("# %s/%u call %d: kernel %d %s; skep %d %s\n", progtype(a->prog_type)->name, a->expected_attach_type, n > 2 ? code[n - 3].imm : 0, fd, kernel, got, ours);
}

static inline void open_engine(void)
{
	struct skep_options o = {.size = sizeof(o), .kernel_btf = "/sys/kernel/btf/vmlinux"};

	if (kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER) && skep_open(&engine, &o))
		engine = NULL;
}

static inline u32 close_engine(void)
{
	if (engine)
		skep_close(engine);
	engine = NULL;
	printf("# %u programs loaded into the engine as well, %u judged otherwise\n", loads_compared, loads_differ);
	return loads_differ;
}

static inline int load(const struct where *w, const struct raw_insn *code, u32 n, const char *license)
{
	union bpf_attr a = {.prog_type = w->type->id, .insns = (u64)(uintptr_t)code, .insn_cnt = n, .license = (u64)(uintptr_t)license,
			    .expected_attach_type = w->attach, .attach_btf_id = w->btf_id, .log_level = 1,
			    .log_buf = (u64)(uintptr_t)log_text, .log_size = LOG_SIZE, .prog_flags = w->sleepable ? BPF_F_SLEEPABLE : 0};
	int fd;

	if (n_functions) {
		a.prog_btf_fd = (u32)program_btf;
		a.func_info = (u64)(uintptr_t)functions;
		a.func_info_cnt = n_functions;
		a.func_info_rec_size = sizeof(functions[0]);
	}
	log_text[0] = 0;
	fd = kernel_bpf(BPF_PROG_LOAD, &a, sizeof(a));
	if (fd >= 0)
		close(fd);
	compare_engine(&a, code, n, fd);
	return fd;
}

static inline bool said(const char *text)
{
	return strstr(log_text, text) != NULL;
}

/* The call with five zeroes as arguments: which fails nearly always, and why tells what Linux thinks of it. */
static inline int load_call(const struct where *w, s32 id, u32 kind, const char *license)
{
	struct raw_insn code[8];
	u32 n = 0;

	for (u32 i = 1; i <= 5; i++)
		code[n++] = insn(0xb7, i, 0, 0);
	code[n++] = insn(0x85, 0, kind, id);
	code[n++] = insn(0xb7, 0, 0, 0);
	code[n++] = insn(0x95, 0, 0, 0);
	return load(w, code, n, license);
}

/* Is the verifier reached at all? */
static inline bool loads(const struct where *w)
{
	struct raw_insn code[] = {insn(0xb7, 0, 0, 0), insn(0x95, 0, 0, 0)};

	return load(w, code, 2, "GPL") >= 0 || said("processed ");
}

__attribute__((format(printf, 2, 3))) static inline void differs(const struct where *w, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	if (shown++ > MOST_DIFFERENCES)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	test_fail(__FILE__, __LINE__, "%s, attach type %u%s%s%s: %s: %s", w->type->name, w->attach, w->target ? ", " : "",
		  w->target ? w->target : "", w->sleepable ? ", sleepable" : "", what, log_text);
}

/* ---- every place ---- */

struct target {
	u32 type, attach, kind;
	const char *name, *hook;
};
static const struct target targets[] = {
	{BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, BTF_KIND_TYPEDEF, "btf_trace_sched_switch", "sched_switch"},
	{BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, BTF_KIND_FUNC, "vfs_truncate", "vfs_truncate"},
	{BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, BTF_KIND_FUNC, "do_unlinkat", "do_unlinkat"},
	{BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT, BTF_KIND_FUNC, "do_unlinkat", "do_unlinkat"},
	{BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN, BTF_KIND_FUNC, "bpf_modify_return_test", "bpf_modify_return_test"},
	{BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, BTF_KIND_FUNC, "bpf_iter_task", "bpf_iter_task"},
	{BPF_PROG_TYPE_LSM, BPF_LSM_MAC, BTF_KIND_FUNC, "bpf_lsm_file_open", "bpf_lsm_file_open"},
	{BPF_PROG_TYPE_LSM, BPF_LSM_MAC, BTF_KIND_FUNC, "bpf_lsm_task_free", "bpf_lsm_task_free"},
	{BPF_PROG_TYPE_LSM, BPF_LSM_CGROUP, BTF_KIND_FUNC, "bpf_lsm_socket_bind", "bpf_lsm_socket_bind"},
	{BPF_PROG_TYPE_LSM, BPF_LSM_CGROUP, BTF_KIND_FUNC, "bpf_lsm_socket_post_create", "bpf_lsm_socket_post_create"},
	{BPF_PROG_TYPE_STRUCT_OPS, 0, BTF_KIND_STRUCT, "tcp_congestion_ops", "tcp_congestion_ops"},
};

static inline u32 visit_one(struct where w, void (*visit)(const struct where *))
{
	u32 n = 0;

	for (u32 sleepable = 0; sleepable < 2; sleepable++) {
		w.sleepable = sleepable;
		if ((w.type->flags & PT_SLEEPABLE_ONLY && !sleepable) || (sleepable && !progtype_sleepable_ok(w.type, w.attach)) || !loads(&w))
			continue;
		visit(&w);
		n++;
	}
	return n;
}

/* Where any attach type is accepted, few make a difference. */
static inline bool worth(const struct progtype *t, u32 attach)
{
	if (t->id == BPF_PROG_TYPE_KPROBE)
		return attach == 0 || attach == BPF_TRACE_KPROBE_MULTI || attach == UAPI_ATTACH_TRACE_UPROBE_MULTI ||
		       attach == UAPI_ATTACH_TRACE_KPROBE_SESSION || attach == UAPI_ATTACH_TRACE_UPROBE_SESSION;
	return progtype_attach_ok(t, attach) && (attach == 0 || !progtype_attach_ok(t, BPF_TRACE_KPROBE_MULTI));
}

static inline u32 visit_all(void (*visit)(const struct where *))
{
	const struct progtype *types;
	u32 n_types, n = 0;

	shown = 0;
	types = progtypes(&n_types);
	for (u32 i = 0; i < n_types; i++)
		for (u32 attach = 0; attach <= LAST_ATTACH; attach++)
			if (!(types[i].flags & PT_ATTACH_BTF) && worth(&types[i], attach))
				n += visit_one((struct where){.type = &types[i], .attach = attach}, visit);
	for (u32 i = 0; i < ARRAY_SIZE(targets); i++) {
		s32 id = btf_find(&vmlinux, targets[i].name, targets[i].kind);

		if (id > 0)
			n += visit_one((struct where){.type = progtype(targets[i].type), .attach = targets[i].attach, .btf_id = (u32)id,
						      .target = targets[i].hook}, visit);
	}
	return n;
}

#endif
