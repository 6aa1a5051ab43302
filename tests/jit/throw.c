/* SPDX-License-Identifier: BSD-2-Clause */
/* bpf_throw(): what functions it leaves, in tail calls too, and what the program gives then; on engines and on the running kernel. */
#include "sides.h"

#define THROW(n) "r1 = " #n "\ncall $bpf_throw\n"
static const struct {
	const char *name, *text;
	uint32_t result;
} cases[] = {
	{"in the first function", THROW(64) "r0 = 1\nexit\n", 64},
	{"0", THROW(0) "r0 = 1\nexit\n", 0},
	{"not reached", "call helper 7\nr0 &= 1\nif r0 == 5 goto never\nr0 = 3\nexit\nnever:\n" THROW(9) "r0 = 1\nexit\n", 3},
	{"two functions up", "call local f\nr0 += 100\nexit\nf: call local g\nr0 += 50\nexit\ng:\n" THROW(7) "r0 = 1\nexit\n", 7},
	{"sometimes",
	 "r6 = 0\nr7 = 0\nnext: r1 = r7\ncall local f\nr6 += r0\nr7 += 1\nif r7 < 10 goto next\nr0 = r6\nexit\n"
	 "f: r0 = r1\nif r1 != 20 goto fine\n" THROW(7) "r0 = 0\nfine: exit\n", 45},
	{"in a turn of a loop",
	 "r6 = 0\nr7 = 0\nnext: r1 = r7\ncall local f\nr6 += r0\nr7 += 1\nif r7 < 10 goto next\nr0 = r6\nexit\n"
	 "f: r0 = r1\nif r1 != 6 goto fine\n" THROW(77) "r0 = 0\nfine: exit\n", 77},
	{"from a program that another one goes on in, back to the function that left for it",
	 "call local f\nr0 += 8\nexit\nf: r2 = MAP\nr3 = 0\ncall helper 12\nr0 = 500\nexit\n", 24},
};
static const char target[] = "call local f\nr0 = 3\nexit\nf:\n" THROW(16) "r0 = 0\nexit\n";

static void programs(struct side *s)
{
	union bpf_attr attr;
	uint32_t zero = 0;
	int fd;

	s->type = BPF_PROG_TYPE_SCHED_CLS;
	s->flags = 0;
	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_PROG_ARRAY;
	attr.key_size = attr.value_size = 4;
	attr.max_entries = 1;
	s->map = s->bpf(s->ud, BPF_MAP_CREATE, &attr, sizeof(attr));
	REQUIRE(s->map >= 0);
	fd = load(s, target);
	REQUIRE(fd >= 0);
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)s->map;
	attr.key = (uint64_t)(uintptr_t)&zero;
	attr.value = (uint64_t)(uintptr_t)&fd;
	CHECK_EQ(s->bpf(s->ud, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect(s, cases[i].name, cases[i].text, cases[i].result);
	close(fd);
	close(s->map);
}

TEST(programs_on_the_engine)
{
	each_setting(programs);
}

TEST(programs_on_the_kernel)
{
	struct btf btf;
	struct side s;

	if (!kernel_side(&s, &btf))
		SKIP(KERNEL_MISSING);
	if (btf_find(&btf, "bpf_throw", BTF_KIND_FUNC) <= 0) {
		btf_free(&btf);
		SKIP("this kernel has no bpf_throw()");
	}
	programs(&s);
	btf_free(&btf);
}

int main(void)
{
	RUN(programs_on_the_engine);
	RUN(programs_on_the_kernel);
	return test_end();
}
