/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel functions whose bodies need nothing but the run: numbers one after the other, sections, dynptrs; on engines and on the running kernel. */
#include "sides.h"

/* An iterator over [from, to) at r10 + at; its value's address, or 0, in r0. */
#define NEW(at, from, to) "r1 = r10\nr1 += " #at "\nr2 = " #from "\nr3 = " #to "\ncall $bpf_iter_num_new\n"
#define NEXT(at)	  "r1 = r10\nr1 += " #at "\ncall $bpf_iter_num_next\n"
#define DESTROY(at)	  "r1 = r10\nr1 += " #at "\ncall $bpf_iter_num_destroy\n"
/* A dynptr at r10 - 16 of the packet, which is 64 zeros; r6 keeps the context. */
#define SKB	       "r6 = r1\nr2 = 0\nr3 = r10\nr3 += -16\ncall $bpf_dynptr_from_skb\n"
#define OF(at)	       "r1 = r10\nr1 += " #at "\n"
/* At r10 - 16, of the map's value of 32 bytes; the bytes' address in r9. */
#define MEMORY(size)                                                                                                                                 \
	"*(u32 *)(r10 -4) = 0\nr1 = MAP\nr2 = r10\nr2 += -4\ncall helper 1\nif r0 != 0 goto found\nexit\nfound: r9 = r0\nr1 = r0\nr2 = " #size "\nr3 = 0\nr4 = r10\n" \
	"r4 += -24\ncall helper 197\n"

#define RING(size, flags) "r1 = MAP\nr2 = " #size "\nr3 = " #flags "\nr4 = r10\nr4 += -24\ncall helper 198\nr7 = r0\n"
#define SUBMIT	       "r1 = r10\nr1 += -24\nr2 = 0\ncall helper 199\n"
#define DISCARD	       "r1 = r10\nr1 += -24\nr2 = 0\ncall helper 200\n"

static const struct test {
	const char *name, *text;
	uint32_t result;
} cases[] = {
	{"numbers", "r6 = 0\n" NEW(-8, 3, 10) "next: " NEXT(-8) "if r0 == 0 goto done\nw1 = *(u32 *)(r0 +0)\nr6 += r1\ngoto next\ndone: " DESTROY(-8) "r0 = r6\nexit\n", 42},
	{"none", NEW(-8, 3, 3) "r6 = r0\n" NEXT(-8) "if r0 == 0 goto done\nr6 = 5\ndone: " DESTROY(-8) "r0 = r6\nexit\n", 0},
	{"the wrong way", NEW(-8, 4, 3) "r6 = r0\n" NEXT(-8) "if r0 == 0 goto done\nr6 = 5\ndone: " DESTROY(-8) "r0 = r6\nexit\n", (uint32_t)-EINVAL},
	{"too many", NEW(-8, 0, 8388609) "r6 = r0\n" NEXT(-8) "if r0 == 0 goto done\nr6 = 5\ndone: " DESTROY(-8) "r0 = r6\nexit\n", (uint32_t)-E2BIG},
	{"below 0", "r6 = 0\n" NEW(-8, -3, 1) "next: " NEXT(-8) "if r0 == 0 goto done\nw1 = *(u32 *)(r0 +0)\nw6 += w1\ngoto next\ndone: " DESTROY(-8) "r0 = r6\nexit\n", (uint32_t)-6},
	{"from the lowest", "r6 = 0\n" NEW(-8, -2147483648, -2147483645) "next: " NEXT(-8) "if r0 == 0 goto done\nw6 += 1\ngoto next\ndone: " DESTROY(-8) "r0 = r6\nexit\n", 3},
	{"numbers in numbers, the outer one's address kept",
	 "r6 = 0\n" NEW(-8, 0, 5) "next: " NEXT(-8) "if r0 == 0 goto done\nr7 = r0\n" NEW(-16, 0, 3) "inner: " NEXT(-16) "if r0 == 0 goto over\nw1 = *(u32 *)(r0 +0)\nw2 = *(u32 *)(r7 +0)\n"
	 "w2 *= 10\nw6 += w1\nw6 += w2\ngoto inner\nover: " DESTROY(-16) "goto next\ndone: " DESTROY(-8) "r0 = r6\nexit\n", 15 + 300},
	{"other slots of the stack beside it",
	 "*(u64 *)(r10 -16) = 7\n*(u64 *)(r10 -24) = 9\nr6 = 0\n" NEW(-8, 0, 4) "next: " NEXT(-8) "if r0 == 0 goto done\nw1 = *(u32 *)(r0 +0)\nr2 = *(u64 *)(r10 -16)\nr2 += r1\n"
	 "*(u64 *)(r10 -16) = r2\ngoto next\ndone: " DESTROY(-8) "r0 = *(u64 *)(r10 -16)\nr1 = *(u64 *)(r10 -24)\nr0 += r1\nexit\n", 22},
	{"sections",
	 "call $bpf_rcu_read_lock\ncall $bpf_preempt_disable\n" OF(-8) "call $bpf_local_irq_save\n" OF(-8) "call $bpf_local_irq_restore\ncall $bpf_preempt_enable\ncall $bpf_rcu_read_unlock\n"
	 "r0 = 3\nexit\n", 3},
	{"a packet's dynptr", SKB "r7 = r0\n" OF(-16) "call $bpf_dynptr_size\nr7 += r0\n" OF(-16) "call $bpf_dynptr_is_rdonly\nr7 += r0\n" OF(-16) "call $bpf_dynptr_is_null\nr0 += r7\nexit\n", 64},
	{"flags", "r6 = r1\nr2 = 1\nr3 = r10\nr3 += -16\ncall $bpf_dynptr_from_skb\nr7 = r0\n" OF(-16) "call $bpf_dynptr_is_null\nr0 &= 1\nr7 += r0\n" OF(-16) "call $bpf_dynptr_size\nr0 += r7\nexit\n", (uint32_t)(-EINVAL + 1 - EINVAL)},
	{"a slice is the packet",
	 SKB OF(-16) "r2 = 8\nr3 = 0\nr4 = 4\ncall $bpf_dynptr_slice_rdwr\nif r0 != 0 goto found\nexit\nfound: *(u32 *)(r0 +0) = 77\nr1 = r6\nr2 = 8\nr3 = r10\nr3 += -24\nr4 = 4\ncall helper 26\n"
	 "w0 = *(u32 *)(r10 -24)\nexit\n", 77},
	{"a slice with a buffer",
	 "*(u64 *)(r10 -24) = 5\n" SKB OF(-16) "r2 = 8\nr3 = r10\nr3 += -24\nr4 = 8\ncall $bpf_dynptr_slice\nif r0 != 0 goto found\nr0 = 1\nexit\nfound: r0 = *(u64 *)(r0 +0)\nexit\n", 0},
	{"a slice beyond", SKB OF(-16) "r2 = 61\nr3 = 0\nr4 = 4\ncall $bpf_dynptr_slice\nif r0 != 0 goto found\nr0 = 7\nexit\nfound: r0 = 1\nexit\n", 7},
	{"less of it",
	 SKB OF(-16) "r2 = 10\nr3 = 30\ncall $bpf_dynptr_adjust\nr7 = r0\n" OF(-16) "r2 = 4\nr3 = 8\ncall $bpf_dynptr_adjust\nr7 += r0\n" OF(-16) "r2 = 0\nr3 = 0\nr4 = 4\ncall $bpf_dynptr_slice_rdwr\n"
	 "if r0 != 0 goto found\nexit\nfound: *(u32 *)(r0 +0) = 5\nr1 = r6\nr2 = 14\nr3 = r10\nr3 += -24\nr4 = 4\ncall helper 26\nw8 = *(u32 *)(r10 -24)\n" OF(-16) "call $bpf_dynptr_size\nr0 += r8\nr0 += r7\nexit\n", 9},
	{"more of it", SKB OF(-16) "r2 = 10\nr3 = 65\ncall $bpf_dynptr_adjust\nexit\n", (uint32_t)-ERANGE},
	{"the wrong way round", SKB OF(-16) "r2 = 10\nr3 = 9\ncall $bpf_dynptr_adjust\nexit\n", (uint32_t)-EINVAL},
	{"another one of the same",
	 SKB OF(-16) "r2 = r10\nr2 += -40\ncall $bpf_dynptr_clone\nr7 = r0\n" OF(-40) "r2 = 60\nr3 = 64\ncall $bpf_dynptr_adjust\nr7 += r0\n" OF(-40) "call $bpf_dynptr_size\nr7 += r0\n" OF(-16) "call $bpf_dynptr_size\nr0 += r7\nexit\n", 68},
	{"written and read",
	 SKB "*(u64 *)(r10 -24) = 1234\n" OF(-16) "r2 = 20\nr3 = r10\nr3 += -24\nr4 = 8\nr5 = 0\ncall helper 202\nr7 = r0\nr1 = r10\nr1 += -32\nr2 = 8\nr3 = r10\nr3 += -16\nr4 = 20\nr5 = 0\ncall helper 201\n"
	 "r7 += r0\nr0 = *(u64 *)(r10 -32)\nr0 += r7\nexit\n", 1234},
	{"read beyond", SKB "r1 = r10\nr1 += -32\nr2 = 8\nr3 = r10\nr3 += -16\nr4 = 57\nr5 = 0\ncall helper 201\nexit\n", (uint32_t)-E2BIG},
	{"read with flags", SKB "r1 = r10\nr1 += -32\nr2 = 8\nr3 = r10\nr3 += -16\nr4 = 0\nr5 = 1\ncall helper 201\nexit\n", (uint32_t)-EINVAL},
	{"memory's", MEMORY(32) "r7 = r0\nr1 = r10\nr1 += -24\nr2 = 8\nr3 = 8\ncall helper 203\nif r0 != 0 goto data\nexit\ndata: *(u64 *)(r0 +0) = 6\nr0 = *(u64 *)(r9 +8)\nr0 += r7\nexit\n", 6},
	{"memory's bytes beyond", MEMORY(32) "r1 = r10\nr1 += -24\nr2 = 25\nr3 = 8\ncall helper 203\nif r0 != 0 goto data\nr0 = 4\nexit\ndata: r0 = 1\nexit\n", 4},
	{"memory, written with flags", MEMORY(32) "*(u64 *)(r10 -32) = 1\nr1 = r10\nr1 += -24\nr2 = 0\nr3 = r10\nr3 += -32\nr4 = 8\nr5 = 1\ncall helper 202\nexit\n", (uint32_t)-EINVAL},
	{"set and copied",
	 "r6 = r1\n" MEMORY(32) OF(-24) "r2 = 4\nr3 = 4\nr4 = 1\ncall $bpf_dynptr_memset\nr7 = r0\nr1 = r6\nr2 = 0\nr3 = r10\nr3 += -40\ncall $bpf_dynptr_from_skb\n"
	 OF(-40) "r2 = 30\nr3 = r10\nr3 += -24\nr4 = 4\nr5 = 2\ncall $bpf_dynptr_copy\nr7 += r0\nr1 = r6\nr2 = 30\nr3 = r10\nr3 += -48\nr4 = 4\n*(u32 *)(r10 -48) = 0\ncall helper 26\nw0 = *(u32 *)(r10 -48)\nw0 += w7\nexit\n", 0x101},
	{"set beyond", MEMORY(32) OF(-24) "r2 = 30\nr3 = 3\nr4 = 1\ncall $bpf_dynptr_memset\nexit\n", (uint32_t)-E2BIG},
};

static const struct test with_ring[] = {
	{"a ring record", RING(16, 0) "r1 = r10\nr1 += -24\nr2 = 8\nr3 = 8\ncall helper 203\nif r0 == 0 goto none\n*(u64 *)(r0 +0) = 6\nnone: r1 = r10\nr1 += -32\nr2 = 8\nr3 = r10\nr3 += -24\nr4 = 8\n"
	 "r5 = 0\ncall helper 201\nr7 += r0\n" SUBMIT "r1 = MAP\nr2 = 0\ncall helper 134\nr0 += r7\nr1 = *(u64 *)(r10 -32)\nr0 += r1\nexit\n", 24 + 6},
	{"a ring record given up", RING(16, 0) DISCARD "r1 = MAP\nr2 = 0\ncall helper 134\nr0 += r7\nexit\n", 24},
	{"a ring record with flags", RING(16, 1) SUBMIT "r0 = r7\nexit\n", (uint32_t)-EINVAL},
	{"more than the ring has", RING(8192, 0) SUBMIT "r0 = r7\nexit\n", (uint32_t)-EINVAL},
	{"more than a dynptr has", RING(16777216, 0) DISCARD "r0 = r7\nexit\n", (uint32_t)-E2BIG},
};

/* What is newer than a kernel is left out there. */
static bool has_all(const struct side *s, const char *text)
{
	for (const char *p = text; (p = strchr(p, '$')); p++) {
		char name[64];

		snprintf(name, sizeof(name), "%.*s", (int)strspn(p + 1, "abcdefghijklmnopqrstuvwxyz_"), p + 1);
		if (btf_find(s->btf, name, BTF_KIND_FUNC) <= 0)
			return false;
	}
	return true;
}

static void one(struct side *s, const struct test *t, bool ring)
{
	union bpf_attr attr;

	if (!has_all(s, t->text)) {
		if (s->bpf == on_engine)
			test_fail(__FILE__, __LINE__, "%s: a function is not in the engine's types", t->name);
		return;
	}
	memset(&attr, 0, sizeof(attr));
	attr.map_type = ring ? BPF_MAP_TYPE_RINGBUF : BPF_MAP_TYPE_ARRAY;
	attr.key_size = ring ? 0 : 4;
	attr.value_size = ring ? 0 : 32;
	attr.max_entries = ring ? 4096 : 1;
	s->map = s->bpf(s->ud, BPF_MAP_CREATE, &attr, sizeof(attr));
	REQUIRE(s->map >= 0);
	expect(s, t->name, t->text, t->result);
	close(s->map);
}

static void programs(struct side *s)
{
	s->type = BPF_PROG_TYPE_SCHED_CLS;
	s->flags = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		one(s, &cases[i], false);
	for (size_t i = 0; i < sizeof(with_ring) / sizeof(with_ring[0]); i++)
		one(s, &with_ring[i], true);
}

TEST(programs_on_the_engine)
{
	each_setting(programs);
}

TEST(programs_on_the_kernel)
{
	ON_KERNEL(programs);
}

int main(void)
{
	RUN(programs_on_the_engine);
	RUN(programs_on_the_kernel);
	return test_end();
}
