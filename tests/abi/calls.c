/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * helpers.def, kfuncs.def and avail.def beside the running kernel: for every program type, with every attach type that loads, each
 * helper and each kernel function is called once, and whether Linux knows the call there is compared with the tables; also which need a
 * GPL-compatible licence, a sleepable program, CAP_PERFMON.
 */
#include "abi/abi.h"
#include "btf/btf.h"
#include "isa/isa.h"

#include "../kernel.h"
#include "../test.h"

#include <linux/capability.h>
#include <sys/wait.h>

enum { LAST_HELPER = 211, MOST_DIFFERENCES = 30, LAST_ATTACH = 57, LOG_SIZE = 65536 };

static char log_text[LOG_SIZE];
static struct btf vmlinux;
static u32 shown;

/* ---- loading one call ---- */

struct where {
	const struct progtype *type;
	u32 attach, btf_id;
	const char *target; /* what btf_id names, as helper_hook_ok() takes it */
	bool sleepable;
};

static struct raw_insn insn(u8 op, u32 dst, u32 src, s32 imm)
{
	return (struct raw_insn){.code = op, .regs = (u8)(dst | src << 4), .imm = imm};
}

static int load(const struct where *w, const struct raw_insn *code, u32 n, const char *license)
{
	union bpf_attr a = {.prog_type = w->type->id, .insns = (u64)(uintptr_t)code, .insn_cnt = n, .license = (u64)(uintptr_t)license,
			    .expected_attach_type = w->attach, .attach_btf_id = w->btf_id, .log_level = 1,
			    .log_buf = (u64)(uintptr_t)log_text, .log_size = LOG_SIZE, .prog_flags = w->sleepable ? BPF_F_SLEEPABLE : 0};
	int fd;

	log_text[0] = 0;
	fd = kernel_bpf(BPF_PROG_LOAD, &a, sizeof(a));
	if (fd >= 0)
		close(fd);
	return fd;
}

static bool said(const char *text)
{
	return strstr(log_text, text) != NULL;
}

/* The call with five zeroes as arguments: which fails nearly always, and why tells what Linux thinks of it. */
static int load_call(const struct where *w, s32 id, u32 kind, const char *license)
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
static bool loads(const struct where *w)
{
	struct raw_insn code[] = {insn(0xb7, 0, 0, 0), insn(0x95, 0, 0, 0)};

	return load(w, code, 2, "GPL") >= 0 || said("processed ");
}

__attribute__((format(printf, 2, 3))) static void differs(const struct where *w, const char *fmt, ...)
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

static u32 visit_one(struct where w, void (*visit)(const struct where *))
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
static bool worth(const struct progtype *t, u32 attach)
{
	if (t->id == BPF_PROG_TYPE_KPROBE)
		return attach == 0 || attach == BPF_TRACE_KPROBE_MULTI || attach == UAPI_ATTACH_TRACE_UPROBE_MULTI ||
		       attach == UAPI_ATTACH_TRACE_KPROBE_SESSION || attach == UAPI_ATTACH_TRACE_UPROBE_SESSION;
	return progtype_attach_ok(t, attach) && (attach == 0 || !progtype_attach_ok(t, BPF_TRACE_KPROBE_MULTI));
}

static u32 visit_all(void (*visit)(const struct where *))
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

/* ---- helpers ---- */

/* What a kernel leaves out by its configuration or when it is locked down. */
static bool left_out(u32 id)
{
	return id == BPF_FUNC_probe_write_user || id == BPF_FUNC_override_return;
}

static void compare_helpers(const struct where *w)
{
	for (u32 id = 1; id <= LAST_HELPER; id++) {
		const struct helper_proto *p = helper_proto_for(id, w->type->avail);
		bool hook = p && helper_hook_ok(p, w->type->avail, w->attach, w->target);
		bool unknown, not_here;

		load_call(w, (s32)id, 0, "GPL");
		unknown = said("cannot use helper") || said("unknown func") || said("invalid func");
		not_here = said("helper call is not allowed in probe");
		if (unknown && left_out(id))
			continue;
		if ((unknown || not_here) == hook)
			differs(w, "bpf_%s#%u: the tables say %s", helper_proto(id)->name, id, hook ? "yes" : "no");
		else if (not_here != (p && !hook && p->effects & EFFECT_HOOK_LIST))
			differs(w, "bpf_%s#%u: why not", helper_proto(id)->name, id);
		if (!hook || unknown || not_here)
			continue;
		if (said("might sleep in a non-sleepable") != (p->effects & EFFECT_SLEEPS && !w->sleepable))
			differs(w, "bpf_%s#%u: the tables say that it %s", p->name, id, p->effects & EFFECT_SLEEPS ? "sleeps" : "does not sleep");
		load_call(w, (s32)id, 0, "Proprietary");
		if (!said("must have a GPL compatible license") && said("GPL-restricted") != helper_needs_gpl(p, w->type->avail, w->attach))
			differs(w, "bpf_%s#%u: licence", p->name, id);
	}
}

TEST(helpers_by_program_type)
{
	u32 n;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	n = visit_all(compare_helpers);
	CHECK(n > 40);
}

/* ---- without CAP_PERFMON ---- */

static void drop_perfmon(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{0}};
	u64 keep = 1ull << CAP_BPF | 1ull << CAP_NET_ADMIN;

	for (u32 i = 0; i < 2; i++)
		d[i].effective = d[i].permitted = (u32)(keep >> 32 * i);
	if (syscall(SYS_capset, &h, d))
		_exit(77);
}

static void compare_perfmon(const struct where *w)
{
	for (u32 id = 1; id <= LAST_HELPER; id++) {
		const struct helper_proto *p = helper_proto_for(id, w->type->avail);

		if (!p || !helper_hook_ok(p, w->type->avail, w->attach, w->target) || left_out(id))
			continue;
		load_call(w, (s32)id, 0, "GPL");
		if (said("cannot use helper") != ((p->effects & EFFECT_PERFMON) != 0))
			differs(w, "bpf_%s#%u: the tables say that it %s CAP_PERFMON", p->name, id, p->effects & EFFECT_PERFMON ? "needs" : "does not need");
	}
}

TEST(helpers_that_need_cap_perfmon)
{
	int status;
	pid_t child;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		drop_perfmon();
		CHECK(visit_all(compare_perfmon) > 20);
		fflush(stdout);
		_exit(test_case_failed);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("cannot give capabilities up");
	CHECK_EQ(status, 0);
}

/* ---- kernel functions ---- */

static u32 functions_seen;

static void compare_kfuncs(const struct where *w)
{
	const struct kfunc *f;
	u32 n;

	f = kfuncs(&n);
	for (u32 i = 0; i < n; i++) {
		s32 id = btf_find(&vmlinux, f[i].name, BTF_KIND_FUNC);
		bool ours = f[i].avail & w->type->avail && kfunc_hook_ok(&f[i], w->type->avail, w->attach, w->target);

		if (id < 0 || btf_tag_next(&vmlinux, (u32)id, -1, "bpf_kfunc", 0) < 0)
			continue; /* not in this kernel */
		functions_seen++;
		load_call(w, id, 2, "GPL");
		if (said("is not allowed") == ours)
			differs(w, "%s: the tables say %s", f[i].name, ours ? "yes" : "no");
		if (!ours)
			continue;
		if (said("program must be sleepable") != (f[i].flags & KF_SLEEPABLE && !w->sleepable))
			differs(w, "%s: the tables say that it %s", f[i].name, f[i].flags & KF_SLEEPABLE ? "sleeps" : "does not sleep");
	}
}

TEST(kernel_functions_by_program_type)
{
	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER) || !vmlinux.n_types)
		SKIP(KERNEL_MISSING);
	CHECK(visit_all(compare_kfuncs) > 40);
	CHECK(functions_seen > 2000);
}

/* What BTF marks as a kernel function has a row. */
TEST(kernel_functions_are_complete)
{
	static const char *const hooks_only[] = {"bpf_fentry_test1", "bpf_modify_return_test", "bpf_modify_return_test2"};
	u32 seen = 0;

	if (!vmlinux.n_types)
		SKIP("no BTF of the running kernel");
	for (u32 id = 1; id < btf_type_count(&vmlinux); id++) {
		const struct btf_type *t = btf_type(&vmlinux, id);
		const char *name = btf_name_of(&vmlinux, t);
		bool hook = false;

		if (btf_kind_of(t) != BTF_KIND_FUNC || btf_tag_next(&vmlinux, id, -1, "bpf_kfunc", 0) < 0)
			continue;
		for (u32 i = 0; i < ARRAY_SIZE(hooks_only); i++)
			hook |= !strcmp(name, hooks_only[i]);
		seen++;
		if (!kfunc_by_name(name) && !hook)
			test_fail(__FILE__, __LINE__, "%s has no row in kfuncs.def", name);
	}
	CHECK(seen > 100);
}

int main(void)
{
	(void)!btf_open_file(&vmlinux, &mem_libc, "/sys/kernel/btf/vmlinux", NULL);
	RUN(helpers_by_program_type);
	RUN(helpers_that_need_cap_perfmon);
	RUN(kernel_functions_by_program_type);
	RUN(kernel_functions_are_complete);
	if (vmlinux.n_types)
		btf_free(&vmlinux);
	return test_end();
}
