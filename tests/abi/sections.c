/* SPDX-License-Identifier: BSD-2-Clause */
/* sections.def beside the libbpf that is installed, for all names that it knows. */
#include "abi/abi.h"

#include "../test.h"

#include <bpf/libbpf.h>

static void same(const char *name, const struct section *s)
{
	enum bpf_prog_type type = BPF_PROG_TYPE_UNSPEC;
	enum bpf_attach_type attach = 0;
	int err = libbpf_prog_type_by_name(name, &type, &attach);

	if (err || type != s->prog_type || attach != s->attach_type)
		test_fail(__FILE__, __LINE__, "%s: type %u attach type %u, libbpf (%d) says %u and %u", name, s->prog_type, s->attach_type, err,
			  type, attach);
	CHECK(section_find(name, NULL) == s);
}

TEST(names_mean_what_libbpf_says)
{
	const struct section *s;
	char name[96];
	u32 n, compared = 0;

	libbpf_set_print(NULL);
	s = sections(&n);
	for (u32 i = 0; i < n; i++) {
		size_t len = strlen(s[i].name);
		bool more = s[i].name[len - 1] == '+';

		snprintf(name, sizeof(name), "%.*s", (int)(len - more), s[i].name);
		CHECK(section_find(name, NULL) == &s[i]);
		if (s[i].newer)
			continue;
		same(name, &s[i]);
		compared++;
		if (!more)
			continue;
		snprintf(name, sizeof(name), "%.*s/some/thing", (int)(len - 1), s[i].name);
		same(name, &s[i]);
	}
	printf("# %u of %u names compared with libbpf %s\n", compared, n, libbpf_version_string());
	CHECK(compared > 70);
}

TEST(what_libbpf_does_not_know_is_no_program)
{
	static const char *const names[] = {"", "?", "kprob", "kprobes", "kprobe.", "xdp/", "xdp_prog", "tc/", "maps", ".text", "license", "fentryx", "cgroup/",
					    "xdp.frags/other"};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
		enum bpf_prog_type type;
		enum bpf_attach_type attach;

		if (section_find(names[i], NULL))
			test_fail(__FILE__, __LINE__, "\"%s\" is taken for a program", names[i]);
		CHECK(libbpf_prog_type_by_name(names[i], &type, &attach) < 0);
	}
}

TEST(targets_follow_the_slash)
{
	const char *target;

	CHECK_EQ(section_find("fentry.s/bpf_fentry_test1", &target)->flags, BPF_F_SLEEPABLE);
	CHECK_STR(target, "bpf_fentry_test1");
	CHECK_EQ(section_find("?tp/syscalls/sys_enter_open", &target)->prog_type, BPF_PROG_TYPE_TRACEPOINT);
	CHECK_STR(target, "syscalls/sys_enter_open");
	CHECK_EQ(section_find("lsm", &target)->attach_type, BPF_LSM_MAC);
	CHECK(!target);
	CHECK_EQ(section_find("xdp.frags/devmap", &target)->attach_type, BPF_XDP_DEVMAP);
	CHECK(!target);
	CHECK_EQ(section_find("xdp.frags", NULL)->flags, BPF_F_XDP_HAS_FRAGS);
	CHECK_EQ(section_find("usdt.s/./a:b:c", NULL)->flags, BPF_F_SLEEPABLE);
}

TEST(every_row_can_be_loaded)
{
	const struct section *s;
	u32 n;

	s = sections(&n);
	for (u32 i = 0; i < n; i++) {
		const struct progtype *t = progtype(s[i].prog_type);

		CHECK(t && progtype_attach_ok(t, progtype_attach_default(t, s[i].attach_type)));
		CHECK(t && (!(s[i].flags & BPF_F_SLEEPABLE) || progtype_sleepable_ok(t, s[i].attach_type)));
	}
}

int main(void)
{
	RUN(names_mean_what_libbpf_says);
	RUN(what_libbpf_does_not_know_is_no_program);
	RUN(targets_follow_the_slash);
	RUN(every_row_can_be_loaded);
	return test_end();
}
