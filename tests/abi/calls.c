/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * helpers.def, kfuncs.def and avail.def beside the running kernel: for every program type, with every attach type that loads, each
 * helper and each kernel function is called once, and whether Linux knows the call there is compared with the tables; also which need a
 * GPL-compatible licence, a sleepable program, CAP_PERFMON.
 */
#include "where.h"

#include <linux/capability.h>
#include <sys/wait.h>

/* ---- helpers ---- */

static void compare_helpers(const struct where *w)
{
	for (u32 id = 1; id <= LAST_HELPER; id++) {
		const struct helper_proto *p = helper_proto_for(id, w->type->avail);
		bool hook = p && helper_hook_ok(p, w->type->avail, w->attach, w->target, NULL);
		bool unknown, not_here;
		char name[96];

		load_call(w, (s32)id, 0, "GPL");
		unknown = said("cannot use helper") || said("unknown func") || said("invalid func");
		not_here = said("helper call is not allowed in probe");
		snprintf(name, sizeof(name), "call bpf_%s#%u", helper_proto(id)->name, id);
		if (said("(85) call ") && !said(name))
			differs(w, "the name: %s", name);
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

		if (!p || !helper_hook_ok(p, w->type->avail, w->attach, w->target, NULL) || left_out(id))
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
		const struct btf_type *tag = btf_type(&vmlinux, id), *t;
		const char *name;
		bool hook = false;

		if (btf_kind_of(tag) != BTF_KIND_DECL_TAG || strcmp(btf_name_of(&vmlinux, tag), "bpf_kfunc"))
			continue;
		t = btf_type(&vmlinux, tag->type);
		if (btf_kind_of(t) != BTF_KIND_FUNC)
			continue;
		name = btf_name_of(&vmlinux, t);
		for (u32 i = 0; i < ARRAY_SIZE(hooks_only); i++)
			hook |= !strcmp(name, hooks_only[i]);
		seen++;
		if (!kfunc_by_name(name) && !hook)
			test_fail(__FILE__, __LINE__, "%s has no row in kfuncs.def", name);
	}
	CHECK(seen > 100);
}

/* Every program of the two tests above went to an engine with the kernel's types, too: same verdict, same reason. */
TEST(the_engine_judged_as_the_kernel)
{
	if (!engine)
		SKIP(KERNEL_MISSING);
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		SKIP("no BTF of the running kernel");
	CHECK_EQ(close_engine(), 0);
	CHECK(loads_compared > 20000);
}

int main(void)
{
	(void)!btf_open_file(&vmlinux, &mem_libc, "/sys/kernel/btf/vmlinux", NULL);
	open_engine();
	RUN(helpers_by_program_type);
	RUN(kernel_functions_by_program_type);
	RUN(the_engine_judged_as_the_kernel);
	RUN(helpers_that_need_cap_perfmon);
	RUN(kernel_functions_are_complete);
	if (vmlinux.n_types)
		btf_free(&vmlinux);
	return test_end();
}
