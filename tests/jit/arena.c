/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arenas: pages, accesses where nothing is allocated, address spaces, what clients see. Programs are data; each runs interpreted, compiled in several settings, and
 * on the running kernel where bpf(2) answers, and gives the stated number on all of them.
 */
#include "sides.h"

#include <pthread.h>
#include <sys/mman.h>

enum { PAGE = 4096, PAGES = 4, ARENA = 33 };
#define START 0x553456700000ull /* where the arena is */
static const uint64_t start = START;

/* ---- programs ---- */

/* The first page's number comes in the high half of the address. */
#define ALLOC(addr, n) "r1 = MAP\nr2 = " #addr "\nr3 = " #n "\nr4 = -1\nr5 = 0\ncall $bpf_arena_alloc_pages\n"
#define FREE(reg, n)   "r1 = MAP\nr2 = " #reg "\nr3 = " #n "\ncall $bpf_arena_free_pages\n"
#define USE "r1 = MAP\n"
#define TO_ARENA(to, from) #to " = addr_space_cast(" #from ", 0, 1)\n"
#define TO_CLIENT(to, from) #to " = addr_space_cast(" #from ", 1, 0)\n"

static const struct {
	const char *name, *text;
	uint32_t result;
} cases[] = {
	{"a page is allocated, zeroed, and keeps what is stored",
	 ALLOC(0, 1) TO_ARENA(r6, r0) "r7 = *(u64 *)(r6 +8)\n*(u64 *)(r6 +8) = 42\nr0 = *(u64 *)(r6 +8)\nr0 += r7\nexit\n", 42},
	{"the smallest gap that is large enough",
	 ALLOC(0x553456701000 ll, 2) ALLOC(0, 1) "r6 = r0\n" ALLOC(0, 1) "r0 -= r6\nexit\n", (uint32_t)-3 * PAGE},
	{"pages come from the lowest on", ALLOC(0, 1) "r6 = r0\n" ALLOC(0, 1) "r0 -= r6\nexit\n", PAGE},
	{"an address is the client's", ALLOC(0, 1) "r0 >>= 20\nexit\n", (uint32_t)(START >> 20)},
	{"the arena is full", ALLOC(0, 4) "r6 = r0\n" ALLOC(0, 1) "r0 |= 5\nexit\n", 5},
	{"more than there is", ALLOC(0, 5) "exit\n", 0},
	{"no pages", ALLOC(0, 0) "exit\n", 0},
	{"an address that is given", ALLOC(0x553456702000 ll, 1) "w0 &= 0xf000\nexit\n", 0x2000},
	{"an address that is taken", ALLOC(0x553456702000 ll, 1) ALLOC(0x553456701000 ll, 2) "exit\n", 0},
	{"an address in a page", ALLOC(0x553456702008 ll, 1) "exit\n", 0},
	{"an address outside", ALLOC(0x553456704000 ll, 1) "exit\n", 0},
	{"flags", "r1 = MAP\nr2 = 0\nr3 = 1\nr4 = -1\nr5 = 1\ncall $bpf_arena_alloc_pages\nexit\n", 0},
	{"freed pages read as zeros, and stores to them are dropped",
	 ALLOC(0, 2) "r8 = r0\n" TO_ARENA(r6, r0) "*(u32 *)(r6 +0) = 7\n*(u32 *)(r6 +4096) = 9\n" FREE(r8, 1)
	 "w7 = *(u32 *)(r6 +0)\n*(u32 *)(r6 +0) = 3\nw0 = *(u32 *)(r6 +0)\nw0 += w7\nw1 = *(u32 *)(r6 +4096)\nw0 += w1\nexit\n", 9},
	{"a freed page is given out again, zeroed",
	 ALLOC(0, 1) "r8 = r0\n" TO_ARENA(r6, r0) "*(u32 *)(r6 +0) = 7\n" FREE(r8, 1) ALLOC(0, 1) "r0 -= r8\nw1 = *(u32 *)(r6 +0)\nw0 += w1\nexit\n", 0},
	{"outside on both sides",
	 ALLOC(0, 4) TO_ARENA(r6, r0) "*(u64 *)(r6 -8) = 1\nr1 = *(u64 *)(r6 -8)\n*(u64 *)(r6 +16384) = 1\nr2 = *(u64 *)(r6 +16384)\nr0 = r1\nr0 |= r2\nexit\n", 0},
	{"the low half of an address counts, and offsets beyond it do not wrap",
	 ALLOC(0, 1) TO_ARENA(r6, r0) "*(u8 *)(r6 +0) = 5\nr6 &= -1\nr7 = 1 ll\nr7 <<= 40\nr6 += r7\nw1 = *(u8 *)(r6 +0)\n"
	 "r2 = 0\n" TO_ARENA(r2, r2) "w3 = *(u8 *)(r2 -32768)\nr4 = 0xffffffff ll\n" TO_ARENA(r4, r4) "w5 = *(u8 *)(r4 +32767)\nw0 = w1\nw0 += w3\nw0 += w5\nexit\n", 5},
	{"NULL", USE "r6 = 0\n" TO_ARENA(r6, r6) "*(u64 *)(r6 +0) = 1\nr0 = *(u64 *)(r6 +0)\nexit\n", 0},
	{"operations of all widths",
	 ALLOC(0, 1) TO_ARENA(r6, r0) "r1 = 0x1122334455667788 ll\n*(u64 *)(r6 +8) = r1\nw2 = *(u16 *)(r6 +8)\nw3 = *(u8 *)(r6 +15)\nw4 = *(u32 *)(r6 +12)\n"
	 "*(u16 *)(r6 +9) = r1\nw5 = *(u16 *)(r6 +9)\nw0 = w2\nw0 += w3\nw0 += w4\nw0 -= w5\nexit\n", 0x11223344 + 0x11},
	{"atomic operations",
	 ALLOC(0, 1) TO_ARENA(r6, r0) "r1 = 5\nlock *(u64 *)(r6 +0) += r1\nr1 = 2\nr1 = atomic_fetch_add((u64 *)(r6 +0), r1)\nr2 = 1\nr2 = xchg_64(r6 +0, r2)\n"
	 "r0 = 1\nr3 = 9\nr0 = cmpxchg_64(r6 +0, r0, r3)\nr4 = *(u64 *)(r6 +0)\nr0 <<= 12\nr1 <<= 8\nr2 <<= 4\nr0 |= r1\nr0 |= r2\nr0 |= r4\nexit\n", 0x1579},
	{"atomic operations where nothing is",
	 ALLOC(0, 1) TO_ARENA(r6, r0) "r6 += 8192\nr1 = 5\nlock *(u64 *)(r6 +0) += r1\nr1 = 2\nr1 = atomic_fetch_add((u64 *)(r6 +0), r1)\nr2 = 3\nr2 = xchg_64(r6 +0, r2)\n"
	 "r0 = 1\nr3 = 9\nr0 = cmpxchg_64(r6 +0, r0, r3)\nr4 = *(u64 *)(r6 +0)\nr0 <<= 12\nr1 <<= 8\nr2 <<= 4\nr0 |= r1\nr0 |= r2\nr0 |= r4\nexit\n", 0x1230},
	{"a pointer for clients", ALLOC(0, 1) "r7 = r0\n" TO_ARENA(r6, r0) TO_CLIENT(r1, r6) "r0 = r7\nr0 -= r1\nr2 = 0\n" TO_CLIENT(r2, r2) "r0 += r2\nexit\n", 0},
	{"a pointer that lies in the arena",
	 ALLOC(0, 1) "r7 = r0\n" TO_ARENA(r6, r0) TO_CLIENT(r1, r6) "r1 += 64\n*(u64 *)(r6 +0) = r1\n*(u64 *)(r6 +64) = 77\nr2 = *(u64 *)(r6 +0)\n" TO_ARENA(r2, r2)
	 "r0 = *(u64 *)(r2 +0)\nexit\n", 77},
	{"a loop over a page",
	 ALLOC(0, 1) TO_ARENA(r6, r0) "r7 = r6\nr1 = 0\nnext: *(u32 *)(r7 +0) = r1\nr7 += 4\nr1 += 1\nif r1 < 1024 goto next\n"
	 "r0 = 0\nr1 = 0\nr7 = r6\nsum: w2 = *(u32 *)(r7 +0)\nw0 += w2\nr7 += 4\nr1 += 1\nif r1 < 1024 goto sum\nexit\n", 1023 * 512},
};

/* Programs that a client's accesses come before. The client wrote 0x55 to the third page. */
static const char from_client[] = USE "r6 = 0x56702000\n" TO_ARENA(r6, r6) "w7 = *(u8 *)(r6 +1)\n*(u8 *)(r6 +2) = 66\n" ALLOC(0x553456702000 ll, 1) "r0 <<= 8\nw0 |= w7\nexit\n";
static const char free_third[] = FREE(0x553456702000 ll, 1) "r0 = 0\nexit\n";
static const char three_more[] = "r6 = 0\n" ALLOC(0, 1) "if r0 == 0 goto out\nr6 += 1\n" ALLOC(0, 1) "if r0 == 0 goto out\nr6 += 1\n" ALLOC(0, 1) "if r0 == 0 goto out\nr6 += 1\n"
				 ALLOC(0, 1) "if r0 == 0 goto out\nr6 += 1\nout: r0 = r6\nexit\n";
static const char reserving[] = "r1 = MAP\nr2 = 0x553456701000 ll\nr3 = 2\ncall $bpf_arena_reserve_pages\nr6 = r0\nr1 = MAP\nr2 = 0x553456702000 ll\nr3 = 2\ncall $bpf_arena_reserve_pages\n"
				"r0 = -r0\nr0 <<= 8\nr6 |= r0\n" ALLOC(0, 2) "if r0 == 0 goto none\nr6 |= 0x10000\nnone:\n" ALLOC(0, 1) "if r0 != 0 goto one\nr6 |= 0x20000\none: r0 = r6\nexit\n";

/* A fresh arena, mapped by its client as well. */
static bool make_arena(struct side *s)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = ARENA;
	attr.max_entries = PAGES;
	attr.map_flags = BPF_F_MMAPABLE;
	attr.map_extra = start;
	s->map = s->bpf(s->ud, BPF_MAP_CREATE, &attr, sizeof(attr));
	if (s->map < 0)
		return false;
	s->seen = mmap((void *)start, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, s->map, 0);
	return s->seen == (void *)start;
}

static void drop_arena(struct side *s)
{
	munmap(s->seen, PAGES * PAGE);
	close(s->map);
}

static void programs(struct side *s)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!make_arena(s)) {
			test_fail(__FILE__, __LINE__, "%s: no arena: %d", s->name, s->map);
			return;
		}
		expect(s, cases[i].name, cases[i].text, cases[i].result);
		drop_arena(s);
	}
}

static void clients(struct side *s)
{
	uint32_t got = 0;

	REQUIRE(make_arena(s));
	s->seen[2 * PAGE + 1] = 0x55; /* allocates the page */
	CHECK_EQ(run(s, from_client, &got), 0);
	CHECK_EQ(got, 0x55);
	CHECK_EQ(s->seen[2 * PAGE + 2], 66);
	CHECK_EQ(run(s, free_third, &got), 0);
	CHECK_EQ(s->seen[2 * PAGE + 1], 0); /* a new page */
	CHECK_EQ(run(s, three_more, &got), 0);
	CHECK_EQ(got, 3);
	drop_arena(s);
	if (btf_find(s->btf, "bpf_arena_reserve_pages", BTF_KIND_FUNC) <= 0)
		return;
	REQUIRE(make_arena(s));
	CHECK_EQ(run(s, reserving, &got), 0);
	CHECK_EQ(got, EBUSY << 8);
	drop_arena(s);
}

TEST(programs_on_the_engine)
{
	each_setting(programs);
}

TEST(clients_of_the_engine)
{
	each_setting(clients);
}

static bool kernel_has_arenas(struct side *s, struct btf *btf)
{
	if (!kernel_side(s, btf))
		return false;
	if (make_arena(s)) {
		drop_arena(s);
		return true;
	}
	btf_free(btf);
	return false;
}

TEST(programs_on_the_kernel)
{
	struct btf btf;
	struct side s;

	if (!kernel_has_arenas(&s, &btf))
		SKIP(KERNEL_MISSING);
	programs(&s);
	btf_free(&btf);
}

TEST(clients_of_the_kernel)
{
	struct btf btf;
	struct side s;

	if (!kernel_has_arenas(&s, &btf))
		SKIP(KERNEL_MISSING);
	clients(&s);
	btf_free(&btf);
}

/* ---- where it is ---- */

TEST(the_first_mapping_decides)
{
	struct skep *k;
	union bpf_attr attr;
	void *at = NULL, *again = NULL, *elsewhere = (void *)start;
	int fd;

	REQUIRE(skep_open(&k, NULL) == 0);
	memset(&attr, 0, sizeof(attr));
	attr.map_type = ARENA;
	attr.max_entries = 1 << 20; /* all of 4 GiB */
	attr.map_flags = BPF_F_MMAPABLE;
	fd = skep_bpf(k, BPF_MAP_CREATE, &attr, sizeof(attr));
	REQUIRE(fd >= 0);
	CHECK_EQ(skep_arena_mmap(k, fd, &at, PAGE), -EINVAL);
	CHECK_EQ(skep_arena_mmap(k, fd, &elsewhere, (size_t)1 << 32), -ERANGE);
	CHECK_EQ(skep_arena_mmap(k, fd, &at, (size_t)1 << 32), 0);
	CHECK(at && (uintptr_t)at % ((uint64_t)1 << 32) == 0);
	CHECK_EQ(skep_arena_mmap(k, fd, &again, (size_t)1 << 32), 0);
	CHECK(again == at);
	elsewhere = (void *)((uintptr_t)at + ((uint64_t)1 << 32));
	CHECK_EQ(skep_arena_mmap(k, fd, &elsewhere, (size_t)1 << 32), -EBUSY);
	close(fd);
	skep_close(k);
}

/* ---- the memory model ---- */

static _Atomic bool done;

/* The client writes numbers that pass the check and others. */
static void *scribble(void *ud)
{
	uint64_t *at = ud, x = 1;

	while (!atomic_load_explicit(&done, memory_order_relaxed)) {
		x = x * 6364136223846793005ull + 1;
		__atomic_store_n(at, x >> 60 & 1 ? x >> 32 : 7, __ATOMIC_RELAXED);
	}
	return NULL;
}

static const char *const checked[] = {
	USE "r6 = 0x56700000\n" TO_ARENA(r6, r6) "r2 = *(u64 *)(r6 +0)\nr0 = 0\nif r2 > 15 goto out\nr0 = r2\nr0 >>= 4\nout: exit\n",
	USE "r6 = 0x56700000\n" TO_ARENA(r6, r6) "r7 = 200\nr0 = 0\nagain: r2 = *(u64 *)(r6 +0)\nif r2 > 15 goto next\nr3 = r2\nr3 >>= 4\nr0 |= r3\nnext: r7 += -1\nif r7 != 0 goto again\nexit\n",
	USE "r6 = 0x56700000\n" TO_ARENA(r6, r6) "r2 = *(u64 *)(r6 +0)\n*(u64 *)(r10 -8) = r2\nr3 = *(u64 *)(r10 -8)\nr0 = 0\nif r3 > 15 goto out\nr0 = *(u64 *)(r10 -8)\nr0 >>= 4\nout: exit\n",
};
static const char large_seen[] = USE "r6 = 0x56700000\n" TO_ARENA(r6, r6) "r7 = 200\nr0 = 0\nagain: r2 = *(u64 *)(r6 +0)\nif r2 <= 15 goto next\nr0 = 1\nnext: r7 += -1\nif r7 != 0 goto again\nexit\n";

static int repeat(const struct side *s, int fd, uint32_t *result)
{
	union bpf_attr attr;
	int err;

	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (uint32_t)fd;
	err = s->bpf(s->ud, BPF_PROG_TEST_RUN, &attr, sizeof(attr));
	*result |= attr.test.retval;
	return err;
}

static void racing(struct side *s)
{
	enum { ROUNDS = 2000 };
	uint32_t got, large = 0;
	pthread_t t;
	int fd;

	REQUIRE(make_arena(s));
	s->seen[0] = 0;
	atomic_store(&done, false);
	REQUIRE(pthread_create(&t, NULL, scribble, s->seen) == 0);
	for (size_t i = 0; i < sizeof(checked) / sizeof(checked[0]); i++) {
		got = 0;
		fd = load(s, checked[i]);
		for (int k = 0; k < ROUNDS && fd >= 0; k++)
			CHECK_EQ(repeat(s, fd, &got), 0);
		if (got)
			test_fail(__FILE__, __LINE__, "%s: form %zu used a value that was not checked", s->name, i);
		close(fd);
	}
	fd = load(s, large_seen);
	for (int k = 0; k < 100 * ROUNDS && fd >= 0 && !large; k++)
		CHECK_EQ(repeat(s, fd, &large), 0);
	CHECK_EQ(large, 1); /* otherwise the above shows nothing */
	close(fd);
	atomic_store(&done, true);
	pthread_join(t, NULL);
	drop_arena(s);
}

TEST(what_was_checked_is_what_is_used)
{
	each_setting(racing);
}

int main(void)
{
	RUN_ONE_THREAD(programs_on_the_engine);
	RUN_ONE_THREAD(clients_of_the_engine);
	RUN_ONE_THREAD(programs_on_the_kernel);
	RUN_ONE_THREAD(clients_of_the_kernel);
	RUN_ONE_THREAD(the_first_mapping_decides);
	RUN(what_was_checked_is_what_is_used);
	return test_end();
}
