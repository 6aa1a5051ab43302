/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables by themselves: sorted, complete, each row of a form that its readers can rely on. */
#include "abi/abi.h"

#include "../test.h"

enum { LAST_HELPER = 211, LAST_MAP = 33 };

TEST(every_helper_of_linux_has_a_row)
{
	for (u32 id = 1; id <= LAST_HELPER; id++) {
		const struct helper_proto *p = helper_proto(id);

		REQUIRE(p);
		CHECK_EQ(p->id, id);
		CHECK(!p->variant);
		CHECK(p->avail);
	}
	CHECK(!helper_proto(0));
	CHECK(!helper_proto(LAST_HELPER + 1));
	CHECK(!helper_proto(UINT32_MAX));
}

TEST(rows_of_one_helper_are_for_different_types)
{
	const struct helper_proto *p;
	u32 n;

	p = helper_protos(&n);
	for (u32 i = 0; i < n; i++)
		for (u32 j = i + 1; j < n && p[j].id == p[i].id; j++) {
			CHECK(p[j].variant);
			CHECK_EQ(p[i].avail & p[j].avail, 0);
			CHECK_STR(p[i].name, p[j].name);
		}
}

static bool takes_size(u32 kind)
{
	return kind == ARG_MEM || kind == ARG_MEM_OUT || kind == ARG_MEM_RW;
}

static bool is_size(u32 kind)
{
	return kind == ARG_SIZE || kind == ARG_SIZE_0;
}

TEST(arguments_of_helpers_go_together)
{
	const struct helper_proto *p;
	u32 n;

	p = helper_protos(&n);
	for (u32 i = 0; i < n; i++) {
		bool ended = false, map = false, callback = false, releases = false, size = false;

		for (u32 a = 0; a < 5; a++) {
			u32 kind = p[i].args[a] & ARG_KIND_MASK, before = a ? p[i].args[a - 1] & ARG_KIND_MASK : ARG_NONE;

			CHECK(!ended || kind == ARG_NONE);
			ended |= kind == ARG_NONE;
			CHECK_EQ(is_size(kind), a > 0 && takes_size(before));
			CHECK(!takes_size(kind) || (a < 4 && is_size(p[i].args[a + 1] & ARG_KIND_MASK)));
			map |= kind == ARG_MAP_HANDLE;
			CHECK((kind != ARG_KEY && kind != ARG_VALUE && kind != ARG_VALUE_OUT) || map);
			callback |= kind == ARG_CALLBACK;
			releases |= (p[i].args[a] & ARG_RELEASES) != 0;
			size |= kind == ARG_ALLOC_SIZE;
			CHECK(kind != ARG_MAP_HANDLE || p[i].args[a] >> ARG_PARAM_SHIFT < MAP_USE_COUNT);
		}
		CHECK_EQ(callback, (p[i].effects & (EFFECT_CALLS | EFFECT_CALLS_LATER)) != 0);
		CHECK(!(p[i].effects & EFFECT_RELEASE) || releases);
		CHECK_EQ(size, (p[i].ret & RET_KIND_MASK) == RET_RECORD || (p[i].ret & RET_KIND_MASK) == RET_SLICE);
		CHECK((p[i].ret & RET_KIND_MASK) != RET_MAP_VALUE || map);
		CHECK(!(p[i].effects & EFFECT_MOVES_PACKET) || (p[i].args[0] & ARG_KIND_MASK) == ARG_CTX);
	}
}

TEST(kernel_functions_are_sorted_and_found)
{
	const struct kfunc *f;
	u32 n;

	f = kfuncs(&n);
	CHECK(n > 250);
	for (u32 i = 0; i < n; i++) {
		CHECK(i == 0 || strcmp(f[i - 1].name, f[i].name) < 0);
		CHECK(kfunc_by_name(f[i].name) == &f[i]);
		CHECK(f[i].avail);
	}
	CHECK(!kfunc_by_name(""));
	CHECK(!kfunc_by_name("bpf_obj_new"));
	CHECK(!kfunc_by_name("zzz"));
}

/* An iterator is made, advanced and destroyed: three functions, or none. */
TEST(iterators_have_all_three_functions)
{
	static const char *const suffix[] = {"_new", "_next", "_destroy"};
	static const u32 flag[] = {KF_ITER_NEW, KF_ITER_NEXT, KF_ITER_DESTROY};
	const struct kfunc *f;
	u32 n, iterators = 0;

	f = kfuncs(&n);
	for (u32 i = 0; i < n; i++) {
		char name[96];

		if (!(f[i].flags & KF_ITER_NEW))
			continue;
		iterators++;
		for (u32 k = 0; k < 3; k++) {
			const struct kfunc *g;

			snprintf(name, sizeof(name), "%.*s%s", (int)strlen(f[i].name) - 4, f[i].name, suffix[k]);
			g = kfunc_by_name(name);
			CHECK(g && g->flags & flag[k]);
			CHECK(g && g->avail == f[i].avail);
		}
	}
	CHECK(iterators >= 8);
}

TEST(hooks_are_in_their_lists)
{
	CHECK(hook_in(HOOK_any, NULL));
	CHECK(!hook_in(HOOK_none, "vfs_truncate"));
	CHECK(hook_in(HOOK_d_path, "vfs_truncate"));
	CHECK(!hook_in(HOOK_d_path, "do_unlinkat"));
	CHECK(!hook_in(HOOK_d_path, NULL));
	CHECK(hook_in(HOOK_lsm_sleepable, "bpf_lsm_file_open"));
	CHECK(!hook_in(HOOK_lsm_sleepable, "bpf_lsm_task_free"));
	CHECK(hook_in(HOOK_lsm_untrusted, "bpf_lsm_task_free"));
	CHECK(hook_in(HOOK_not_sk_storage, "tcp_sendmsg"));
	CHECK(!hook_in(HOOK_not_sk_storage, "bpf_sk_storage_free"));
}

TEST(conditions_of_helpers)
{
	const struct helper_proto *get = helper_by_name("bpf_getsockopt"), *path = helper_by_name("bpf_d_path");

	CHECK(helper_hook_ok(get, FOR_SOCK_OPS, BPF_CGROUP_SOCK_OPS, NULL, NULL));
	CHECK(helper_hook_ok(get, FOR_CGROUP_SOCKOPT, BPF_CGROUP_SETSOCKOPT, NULL, NULL));
	CHECK(!helper_hook_ok(get, FOR_CGROUP_SOCKOPT, BPF_CGROUP_GETSOCKOPT, NULL, NULL));
	CHECK(helper_hook_ok(get, FOR_LSM, BPF_LSM_CGROUP, "bpf_lsm_sock_graft", NULL));
	CHECK(!helper_hook_ok(get, FOR_LSM, BPF_LSM_CGROUP, "bpf_lsm_socket_bind", NULL));
	CHECK(!helper_hook_ok(get, FOR_LSM, BPF_LSM_MAC, "bpf_lsm_sock_graft", NULL));
	CHECK(helper_hook_ok(path, FOR_TRACE_BTF, BPF_TRACE_ITER, NULL, NULL));
	CHECK(helper_hook_ok(path, FOR_TRACE_BTF, BPF_TRACE_FENTRY, "dentry_open", NULL));
	CHECK(!helper_hook_ok(path, FOR_TRACE_BTF, BPF_TRACE_FENTRY, "vfs_read", NULL));
	CHECK(helper_hook_ok(path, FOR_LSM, BPF_LSM_MAC, "bpf_lsm_file_open", NULL));
	CHECK(!helper_hook_ok(path, FOR_SYSCALL, 0, NULL, NULL));
	CHECK(helper_hook_ok(get, FOR_STRUCT_OPS, 0, "tcp_congestion_ops", "init"));
	CHECK(!helper_hook_ok(get, FOR_STRUCT_OPS, 0, "tcp_congestion_ops", "release"));
	CHECK(!helper_hook_ok(get, FOR_STRUCT_OPS, 0, "bpf_dummy_ops", "test_1"));
	CHECK(helper_needs_gpl(helper_by_name("bpf_get_func_ip"), FOR_KPROBE, 0));
	CHECK(!helper_needs_gpl(helper_by_name("bpf_get_func_ip"), FOR_KPROBE, BPF_TRACE_KPROBE_MULTI));
	CHECK(kfunc_hook_ok(kfunc_by_name("bpf_sock_destroy"), FOR_TRACE_BTF, BPF_TRACE_ITER, NULL));
	CHECK(!kfunc_hook_ok(kfunc_by_name("bpf_sock_destroy"), FOR_TRACE_BTF, BPF_TRACE_FENTRY, NULL));
}

TEST(trust_of_fields_and_arguments)
{
	CHECK_EQ(field_safety("task_struct", "real_parent"), SAFE_RCU);
	CHECK_EQ(field_safety("task_struct", "parent"), SAFE_NOT);
	CHECK_EQ(field_safety("file", "f_inode"), SAFE_TRUSTED);
	CHECK_EQ(field_safety("", ""), SAFE_NOT);
}

TEST(kinds_of_maps_have_rules)
{
	for (u32 kind = 1; kind <= LAST_MAP; kind++) {
		const struct map_rules *r = map_rules(kind);

		REQUIRE(r);
		if (map_kind(kind))
			CHECK_STR(r->name, map_kind(kind)->name);
	}
	CHECK(!map_rules(0));
	CHECK(!map_rules(LAST_MAP + 1));
	CHECK(!map_allows(0, MAP_USE_lookup));
}

/* What a kind of this build can run for programs is never more than what Linux allows. */
TEST(kinds_run_only_what_is_allowed)
{
	static const struct {
		u32 slot, use;
	} program_side[] = {
#define MAP_SLOT_none UINT32_MAX
#define USE(use, slot) {MAP_SLOT_##slot, MAP_USE_##use},
#include "map/uses.def"
	};
	const struct map_kind_info *kinds;
	u32 n;

	kinds = map_kinds(&n);
	for (u32 i = 0; i < n; i++)
		for (u32 k = 0; k < ARRAY_SIZE(program_side); k++) {
			struct map m = {.ops = kinds[i].ops, .info = &kinds[i], .spec.kind = kinds[i].id};

			CHECK(!map_can(&m, program_side[k].use) || map_allows(kinds[i].id, program_side[k].use));
			if (map_can(&m, program_side[k].use))
				CHECK(program_side[k].slot != UINT32_MAX && map_kind_has(&kinds[i], program_side[k].slot));
		}
}

int main(void)
{
	RUN(every_helper_of_linux_has_a_row);
	RUN(rows_of_one_helper_are_for_different_types);
	RUN(arguments_of_helpers_go_together);
	RUN(kernel_functions_are_sorted_and_found);
	RUN(iterators_have_all_three_functions);
	RUN(hooks_are_in_their_lists);
	RUN(conditions_of_helpers);
	RUN(trust_of_fields_and_arguments);
	RUN(kinds_of_maps_have_rules);
	RUN(kinds_run_only_what_is_allowed);
	return test_end();
}
