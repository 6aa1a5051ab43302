/* SPDX-License-Identifier: BSD-2-Clause */
/* Small functions, which the compiler copies to where they are called: the same results on engines in several settings and on the running kernel. */
#include "sides.h"

/* A number that the compiler does not know: the length of the packet, 64. */
#define START "r9 = *(u32 *)(r1 +0)\n"

static const struct {
	const char *name, *text;
	uint32_t result;
} cases[] = {
	{"several ways out",
	 START "r6 = 0\nr7 = 60\nnext: r1 = r7\nr2 = r9\ncall local f\nr6 += r0\nr7 += 1\nif r7 < 70 goto next\nr0 = r6\nexit\n"
	 "f: r0 = 1\nif r1 < r2 goto out\nr0 = 100\nif r1 == r2 goto out\nr0 = r1\nexit\nout: exit\n",
	 4 + 100 + 65 + 66 + 67 + 68 + 69},
	{"one call's result is the next one's argument, in one block",
	 START "r1 = r9\nr2 = 3\ncall local f\nr1 = r0\nr2 = 5\ncall local f\nr1 = r0\nr2 = r9\ncall local f\nexit\n"
	 "f: r0 = r1\nr0 *= r2\nr0 ^= 0x55\nexit\n",
	 (((64 * 3 ^ 0x55) * 5 ^ 0x55) * 64) ^ 0x55},
	{"registers that the call leaves alone",
	 START "r6 = r9\nr7 = r9\nr7 += 1\nr8 = r9\nr8 += 2\nr1 = r9\ncall local f\nr0 += r6\nr0 += r7\nr0 += r8\nexit\n"
	 "f: r6 = r1\nr7 = 7\nr8 = r6\nr8 *= r7\nr0 = r8\nexit\n",
	 64 * 7 + 64 + 65 + 66},
	{"writes to the caller's frame",
	 START "*(u64 *)(r10 -8) = r9\n*(u64 *)(r10 -16) = 5\nr1 = r10\nr1 += -8\nr2 = 3\ncall local f\nr6 = r0\nr1 = r10\nr1 += -16\nr2 = 9\ncall local f\n"
	 "r6 += r0\nr1 = *(u64 *)(r10 -8)\nr6 += r1\nr1 = *(u64 *)(r10 -16)\nr6 += r1\nr0 = r6\nexit\n"
	 "f: r3 = *(u64 *)(r1 +0)\nr3 += r2\n*(u64 *)(r1 +0) = r3\nr0 = r3\nexit\n",
	 2 * (67 + 14)},
	{"a frame here, a map there",
	 START "*(u32 *)(r10 -4) = 0\nr2 = r10\nr2 += -4\nr1 = MAP\ncall helper 1\nif r0 != 0 goto found\nr0 = 1\nexit\nfound: r6 = r0\n*(u64 *)(r6 +0) = 1\n"
	 "*(u64 *)(r10 -16) = r9\nr1 = r6\nr2 = r9\ncall local f\nr7 = r0\nr1 = r10\nr1 += -16\nr2 = 2\ncall local f\nr0 += r7\nr1 = *(u64 *)(r6 +0)\nr0 += r1\n"
	 "r1 = *(u64 *)(r10 -16)\nr0 += r1\nexit\n"
	 "f: r3 = *(u64 *)(r1 +0)\nr3 += r2\n*(u64 *)(r1 +0) = r3\nr0 = r3\nexit\n",
	 2 * (65 + 66)},
	{"an address in the caller's frame, which lies there",
	 START "*(u64 *)(r10 -8) = r9\nr1 = r10\nr1 += -8\n*(u64 *)(r10 -16) = r1\nr1 = r10\nr1 += -16\ncall local f\nr1 = *(u64 *)(r10 -8)\nr0 += r1\nexit\n"
	 "f: r2 = *(u64 *)(r1 +0)\nr0 = *(u64 *)(r2 +0)\nr3 = r0\nr3 += 5\n*(u64 *)(r2 +0) = r3\nexit\n",
	 64 + 69},
	{"calls a helper",
	 START "*(u32 *)(r10 -4) = 0\nr1 = r10\nr1 += -4\ncall local f\nr6 = r0\n*(u32 *)(r10 -4) = 77\nr1 = r10\nr1 += -4\ncall local f\nr0 += r6\nexit\n"
	 "f: r2 = r1\nr1 = MAP\ncall helper 1\nif r0 == 0 goto none\nr0 = 10\nexit\nnone: r0 = 3\nexit\n",
	 13},
	{"an atomic operation on the caller's frame",
	 START "*(u64 *)(r10 -8) = r9\nr1 = r10\nr1 += -8\nr2 = 5\ncall local f\nr6 = r0\nr1 = r10\nr1 += -8\nr2 = 6\ncall local f\nr0 += r6\nr1 = *(u64 *)(r10 -8)\nr0 += r1\nexit\n"
	 "f: r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)\nr0 = r2\nexit\n",
	 64 + 69 + 75},
	{"keeps something in its own frame",
	 START "*(u64 *)(r10 -8) = 1\nr1 = r9\ncall local f\nr1 = r0\ncall local f\nr1 = *(u64 *)(r10 -8)\nr0 += r1\nexit\n"
	 "f: *(u64 *)(r10 -8) = r1\nr1 += 3\n*(u64 *)(r10 -16) = r1\nr0 = *(u64 *)(r10 -8)\nr1 = *(u64 *)(r10 -16)\nr0 += r1\nexit\n",
	 (64 + 67) * 2 + 3 + 1},
	{"calls one that is copied, and is not copied itself",
	 START "r1 = r9\ncall local f\nr6 = r0\nr1 = r6\ncall local g\nr0 += r6\nexit\n"
	 "f: r6 = r1\ncall local g\nr0 += r6\nexit\n"
	 "g: r0 = r1\nr0 *= 3\nr0 += 1\nexit\n",
	 64 + 193 + 257 * 3 + 1},
	{"a result that nobody reads, at the end of a block",
	 START "r1 = r9\ncall local f\nif r9 == 64 goto same\nr0 = 1\nexit\nsame: r1 = 4\ncall local f\nr0 = 2\nexit\n"
	 "f: r0 = r1\nif r1 > 50 goto out\nr0 += 3\nout: exit\n",
	 2},
	{"is called where nothing goes, and could not be compiled",
	 START "r6 = 0\nr0 = 5\nif r6 == 0 goto out\ncall local f\nout: exit\n"
	 "f: r0 = 1\ncall helper 255\nexit\n",
	 5},
	{"32 bits of a result",
	 START "r1 = r9\nr1 <<= 34\ncall local f\nw0 = w0\nexit\n"
	 "f: r0 = r1\nr0 >>= 3\nif r1 == 0 goto out\nr0 += 7\nout: exit\n",
	 (uint32_t)((64ull << 31) + 7)},
};

static void programs(struct side *s)
{
	union bpf_attr attr;

	s->type = BPF_PROG_TYPE_SCHED_CLS;
	s->flags = 0;
	side_map(s, BPF_MAP_TYPE_HASH, 8, 4);
	REQUIRE(s->map >= 0);
	for (uint32_t key = 0; key < 2; key++) {
		uint64_t value = 1;

		memset(&attr, 0, sizeof(attr));
		attr.map_fd = (uint32_t)s->map;
		attr.key = (uint64_t)(uintptr_t)&key;
		attr.value = (uint64_t)(uintptr_t)&value;
		REQUIRE(s->bpf(s->ud, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)) == 0);
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect(s, cases[i].name, cases[i].text, cases[i].result);
	close(s->map);
}

TEST(functions_on_the_engine)
{
	each_setting(programs);
}

TEST(functions_on_the_kernel)
{
	ON_KERNEL(programs);
}

int main(void)
{
	RUN(functions_on_the_engine);
	RUN(functions_on_the_kernel);
	return test_end();
}
