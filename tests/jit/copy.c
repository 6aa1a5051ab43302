/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies byte by byte, which the compiler makes of larger pieces where it may: overlapping ones, ones in any order, with accesses between; on engines in several settings and on the
 * running kernel. */
#include "sides.h"

/* r6: the packet, 32 bytes that differ; r7: a value of a map; r9: 64, which the compiler does not know. */
#define START                                                                                                                                    \
	"r9 = *(u32 *)(r1 +0)\nr6 = *(u32 *)(r1 +76)\nr2 = *(u32 *)(r1 +80)\nr3 = r6\nr3 += 48\nif r3 > r2 goto none\n*(u64 *)(r10 -32) = r2\n*(u32 *)(r10 -4) = 0\nr2 = r10\nr2 += -4\n" \
	"r1 = MAP\ncall helper 1\nif r0 == 0 goto none\nr7 = r0\nr8 = 0x0102030405060709 ll\nr2 = r9\nr2 += 1\nr8 *= r2\n*(u64 *)(r6 +0) = r8\nr8 *= 77\n*(u64 *)(r6 +8) = r8\n" \
	"r8 *= 77\n*(u64 *)(r6 +16) = r8\nr8 *= 77\n*(u64 *)(r6 +24) = r8\n*(u64 *)(r7 +0) = r8\n*(u64 *)(r7 +8) = r9\n"
#define END       "exit\nnone: r0 = 1\nexit\n"
#define BYTE(to, at, from, off) "r1 = *(u8 *)(" from " +" #off ")\n*(u8 *)(" to " +" #at ") = r1\n"
/* All of the packet's start, in one number. */
#define FOLD(base)                                                                                                                               \
	"r0 = *(u64 *)(" base " +0)\nr0 *= 31\nr1 = *(u64 *)(" base " +8)\nr0 += r1\nr1 = r0\nr1 >>= 32\nr0 ^= r1\nw0 = w0\n"

static const struct {
	const char *name, *text;
} cases[] = {
	{"in the packet, apart", START BYTE("r6", 0, "r6", 16) BYTE("r6", 1, "r6", 17) BYTE("r6", 2, "r6", 18) BYTE("r6", 3, "r6", 19) FOLD("r6") END},
	{"to one byte up: the first byte spreads", START BYTE("r6", 1, "r6", 0) BYTE("r6", 2, "r6", 1) BYTE("r6", 3, "r6", 2) BYTE("r6", 4, "r6", 3) FOLD("r6") END},
	{"to one byte down", START BYTE("r6", 0, "r6", 1) BYTE("r6", 1, "r6", 2) BYTE("r6", 2, "r6", 3) BYTE("r6", 3, "r6", 4) FOLD("r6") END},
	{"to two bytes up, from the end on", START BYTE("r6", 5, "r6", 3) BYTE("r6", 4, "r6", 2) BYTE("r6", 3, "r6", 1) BYTE("r6", 2, "r6", 0) FOLD("r6") END},
	{"to two bytes up, from the start on", START BYTE("r6", 2, "r6", 0) BYTE("r6", 3, "r6", 1) BYTE("r6", 4, "r6", 2) BYTE("r6", 5, "r6", 3) FOLD("r6") END},
	{"crosswise", START BYTE("r6", 0, "r6", 17) BYTE("r6", 1, "r6", 16) BYTE("r6", 2, "r6", 19) BYTE("r6", 3, "r6", 18) FOLD("r6") END},
	{"swapped",
	 START "r1 = *(u16 *)(r6 +0)\nr2 = *(u16 *)(r6 +2)\nr3 = *(u16 *)(r6 +8)\nr4 = *(u16 *)(r6 +10)\n*(u16 *)(r6 +8) = r1\n*(u16 *)(r6 +10) = r2\n*(u16 *)(r6 +0) = r3\n"
	       "*(u16 *)(r6 +2) = r4\n" FOLD("r6") END},
	{"a byte is read between", START BYTE("r6", 0, "r6", 16) "r4 = *(u8 *)(r6 +0)\n" BYTE("r6", 1, "r6", 17) FOLD("r6") "r0 += r4\n" END},
	{"a byte is written between", START BYTE("r6", 0, "r6", 16) "*(u8 *)(r6 +0) = 9\n*(u8 *)(r6 +17) = 3\n" BYTE("r6", 1, "r6", 17) FOLD("r6") END},
	{"a place that is not known is written between",
	 START "r2 = r9\nr2 &= 15\nr2 += r6\nr3 = r2\nr3 += 20\nr4 = *(u64 *)(r10 -32)\nif r3 > r4 goto none\n" BYTE("r6", 0, "r6", 16) "*(u8 *)(r2 +0) = 7\n*(u8 *)(r2 +17) = 5\n" BYTE("r6", 1, "r6", 17) FOLD("r6") END},
	{"a place that is not known is read between",
	 START "r2 = r9\nr2 &= 15\nr2 += r6\nr3 = r2\nr3 += 20\nr4 = *(u64 *)(r10 -32)\nif r3 > r4 goto none\n" BYTE("r6", 0, "r6", 16) "r4 = *(u16 *)(r2 +0)\n" BYTE("r6", 1, "r6", 17) FOLD("r6") "r0 += r4\n" END},
	{"from the packet to a map", START BYTE("r7", 1, "r6", 16) BYTE("r7", 2, "r6", 17) BYTE("r7", 3, "r6", 18) BYTE("r7", 4, "r6", 19) FOLD("r7") END},
	{"from a map to the packet", START BYTE("r6", 1, "r7", 2) BYTE("r6", 2, "r7", 3) BYTE("r6", 3, "r7", 4) BYTE("r6", 4, "r7", 5) FOLD("r6") END},
	{"within a map", START BYTE("r7", 8, "r7", 2) BYTE("r7", 9, "r7", 3) BYTE("r7", 10, "r7", 4) BYTE("r7", 11, "r7", 5) FOLD("r7") END},
	{"into the frame, which is read at a place that is not known",
	 START "*(u64 *)(r10 -56) = 0\n*(u64 *)(r10 -48) = 0\n*(u64 *)(r10 -40) = 0\nr5 = r10\nr5 += -56\n" BYTE("r5", 3, "r6", 16) BYTE("r5", 4, "r6", 17) BYTE("r5", 5, "r6", 18) BYTE("r5", 6, "r6", 19)
	       "r2 = r9\nr2 &= 8\nr5 += r2\n" FOLD("r5") END},
	{"the bytes of a number",
	 START "r1 = *(u32 *)(r6 +20)\n*(u8 *)(r6 +1) = r1\nr1 >>= 8\n*(u8 *)(r6 +2) = r1\nr1 >>= 8\n*(u8 *)(r6 +3) = r1\nr1 >>= 8\n*(u8 *)(r6 +4) = r1\n" FOLD("r6") END},
	{"the bytes of a number, the highest first",
	 START "r1 = *(u32 *)(r6 +20)\n*(u8 *)(r6 +4) = r1\nr1 >>= 8\n*(u8 *)(r6 +3) = r1\nr1 >>= 8\n*(u8 *)(r6 +2) = r1\nr1 >>= 8\n*(u8 *)(r6 +1) = r1\n" FOLD("r6") END},
	{"the halves of 64 bits, and bytes above them",
	 START "r1 = r8\n*(u32 *)(r6 +0) = r1\nr2 = r8\nr2 >>= 32\n*(u32 *)(r6 +4) = r2\nr3 = r8\nr3 >>= 56\n*(u8 *)(r6 +8) = r3\nr4 = 5\n*(u8 *)(r6 +9) = r4\n" FOLD("r6") END},
	{"the upper byte of 32 bits and what would be above",
	 START "w1 = w8\nw1 >>= 24\n*(u8 *)(r6 +0) = r1\nr2 = r8\nr2 >>= 32\n*(u8 *)(r6 +1) = r2\n" FOLD("r6") END},
	{"a byte stored twice", START BYTE("r6", 0, "r6", 16) BYTE("r6", 0, "r6", 18) BYTE("r6", 1, "r6", 17) BYTE("r6", 1, "r6", 19) FOLD("r6") END},
	{"what is loaded next is written between", START BYTE("r6", 0, "r6", 16) "*(u8 *)(r6 +17) = 3\n" BYTE("r6", 1, "r6", 17) FOLD("r6") END},
	{"the first load is used again",
	 START "r1 = *(u8 *)(r6 +16)\n*(u8 *)(r6 +0) = r1\nr2 = *(u8 *)(r6 +17)\n*(u8 *)(r6 +1) = r2\nr5 = r1\n" FOLD("r6") "r0 += r5\n" END},
	{"the second load is used again",
	 START "r1 = *(u8 *)(r6 +16)\n*(u8 *)(r6 +0) = r1\nr2 = *(u8 *)(r6 +17)\n*(u8 *)(r6 +1) = r2\nr5 = r2\n" FOLD("r6") "r0 += r5\n" END},
	{"both loads are used again",
	 START "r1 = *(u8 *)(r6 +16)\n*(u8 *)(r6 +0) = r1\nr2 = *(u8 *)(r6 +17)\n*(u8 *)(r6 +1) = r2\nr5 = r1\nr5 += r2\n" FOLD("r6") "r0 += r5\n" END},
};

static uint32_t results[sizeof(cases) / sizeof(cases[0])];
static bool known;

/* The interpreter, which is the first setting, says what is right; the kernel says the same below. */
static void programs(struct side *s)
{
	s->type = BPF_PROG_TYPE_SCHED_CLS;
	s->flags = 0;
	side_map(s, BPF_MAP_TYPE_ARRAY, 16, 1);
	REQUIRE(s->map >= 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!known)
			CHECK_EQ(run(s, cases[i].text, &results[i]), 0);
		CHECK(results[i] > 1);
		expect(s, cases[i].name, cases[i].text, results[i]);
	}
	known = true;
	close(s->map);
}

TEST(copies_on_the_engine)
{
	each_setting(programs);
}

TEST(copies_on_the_kernel)
{
	ON_KERNEL(programs);
}

int main(void)
{
	RUN(copies_on_the_engine);
	RUN(copies_on_the_kernel);
	return test_end();
}
