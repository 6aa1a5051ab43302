/* SPDX-License-Identifier: BSD-2-Clause */
/* What arenas ask of the allocator: little for what is small, whole huge pages for what is big and brief, never more than their limit. */
#include "base/base.h"
#include "failing.h"
#include "test.h"

enum { HEADER = 64, SMALL = 64 };

static struct mem memory(struct host *h)
{
	*h = (struct host){0};
	return (struct mem){host_alloc, h};
}

/* Small pieces, as the verifier takes them; each is zeroed. */
static bool take(struct arena *a, size_t bytes)
{
	static const u8 zero[SMALL];

	for (size_t n = 0; n < bytes; n += SMALL) {
		u8 *p = arena_alloc(a, SMALL);

		if (!p || memcmp(p, zero, SMALL))
			return false;
		memset(p, 0xff, SMALL);
	}
	return true;
}

#ifndef SKEP_HOSTILE /* there every allocation has a chunk of its own */
TEST(small_things_take_little)
{
	struct host h;
	struct mem m = memory(&h);
	struct arena a;

	arena_open_brief(&a, &m, 0, NULL);
	CHECK(take(&a, 2048));
	CHECK(h.bytes <= 4096 + HEADER);
	CHECK(take(&a, 40 << 10));
	CHECK(h.bytes <= 128 << 10);
	arena_close(&a);
	CHECK_EQ(h.live, 0);
	CHECK_EQ(h.bytes, 0);
}

TEST(what_was_expected_lies_in_one_block)
{
	struct host h;
	struct mem m = memory(&h);
	struct arena a;

	arena_open_brief(&a, &m, 300000, NULL);
	CHECK(take(&a, 1 << 20));
	CHECK_EQ(h.number, 1);
	CHECK_EQ(h.bytes, MEM_HUGE);
	CHECK_EQ(a.used, 1 << 20); /* what is reported is what was handed out */
	arena_close(&a);
	arena_open_brief(&a, &m, 6000, NULL);
	CHECK(take(&a, 5000));
	CHECK(h.bytes <= 6000 + HEADER);
	arena_close(&a);
	CHECK_EQ(h.bytes, 0);
}

TEST(what_grows_gets_to_huge_pages_soon)
{
	struct host h;
	struct mem m = memory(&h);
	struct arena a;

	arena_open_brief(&a, &m, 0, NULL);
	CHECK(take(&a, 100 << 10));
	CHECK_EQ(h.number, 4);
	CHECK(h.bytes >= MEM_HUGE && h.bytes <= MEM_HUGE + (128 << 10));
	CHECK(take(&a, 3 << 20));
	CHECK_EQ(h.number, 5);
	CHECK(arena_alloc(&a, 20 << 20) != NULL); /* more than a chunk */
	CHECK_EQ(h.number, 6);
	arena_close(&a);
	CHECK_EQ(h.bytes, 0);
}

TEST(one_brief_arena_after_another_has_the_same_memory)
{
	struct arena_store store = {NULL};
	struct host h;
	struct mem m = memory(&h);
	struct arena a, b;

	for (u32 i = 0; i < 3; i++) {
		arena_open_brief(&a, &m, i ? 6000 : 0, &store);
		CHECK(take(&a, 1 << 20)); /* zeroed, whatever was there before */
		CHECK_EQ(h.number, 1);
		CHECK_EQ(h.bytes, MEM_HUGE);
		arena_close(&a);
		CHECK_EQ(h.live, 1);
	}
	arena_open_brief(&a, &m, 0, &store);
	arena_open_brief(&b, &m, 0, &store); /* another at the same time */
	CHECK(take(&a, 4096) && take(&b, 8 << 20));
	arena_close(&b);
	arena_close(&a);
	CHECK_EQ(h.bytes, MEM_HUGE);
	arena_store_close(&store, &m);
	arena_store_close(&store, &m);
	CHECK_EQ(h.live, 0);
	CHECK_EQ(h.bytes, 0);
}

TEST(what_stays_takes_at_most_as_much_again)
{
	struct host h;
	struct mem m = memory(&h);
	struct arena a;

	arena_open(&a, &m);
	for (size_t taken = 0; taken < 4 << 20; taken += 8 << 10) {
		CHECK(take(&a, 8 << 10));
		CHECK((size_t)h.bytes <= 2 * a.used + 2 * 4096);
	}
	arena_close(&a);
	CHECK_EQ(h.bytes, 0);
}

TEST(a_limit_bounds_what_is_asked_for)
{
	static const size_t expected[] = {0, 1 << 20, 64 << 20};

	for (u32 i = 0; i < ARRAY_SIZE(expected); i++) {
		struct host h;
		struct mem m = memory(&h);
		struct arena a;

		arena_open_brief(&a, &m, expected[i], NULL);
		a.limit = 500000;
		CHECK(!take(&a, 1 << 20));
		CHECK(a.full);
		CHECK(a.used <= a.limit && a.used > a.limit - 2 * SMALL);
		CHECK((size_t)h.bytes <= a.limit + 8 * HEADER + (128 << 10));
		arena_close(&a);
		CHECK_EQ(h.bytes, 0);
	}
}

/* Kernels that give no huge pages have the 512 faults. */
TEST(big_memory_lies_on_huge_pages)
{
	static const size_t sizes[] = {MEM_HUGE / 2, MEM_HUGE - 64, MEM_HUGE, 5 << 20};

	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		u8 *p = mem_alloc(&mem_libc, sizes[i]);

		REQUIRE(p);
		CHECK_EQ((uintptr_t)p % MEM_HUGE, 0);
		CHECK_EQ(p[0] | p[sizes[i] - 1], 0);
		p[0] = 1;
		p[sizes[i] - 1] = 2;
		p = mem_resize(&mem_libc, p, sizes[i], 2 * sizes[i]);
		REQUIRE(p);
		CHECK_EQ(p[0], 1);
		CHECK_EQ(p[sizes[i] - 1], 2);
		CHECK_EQ(p[2 * sizes[i] - 1], 0);
		mem_free(&mem_libc, p, 2 * sizes[i]);
	}
	CHECK(!mem_libc.fn(mem_libc.ud, NULL, 0, SIZE_MAX - 4096));
}
#endif

/* What lies behind an array moves it; what is behind nothing grows where it is. */
TEST(arrays_grow)
{
	struct host h;
	struct mem m = memory(&h);
	struct arena a;
	u32 *at = NULL, *other = NULL, cap = 0, other_cap = 0, *before;

	arena_open(&a, &m);
	CHECK(arena_grow(&a, (void **)&at, &cap, 3, sizeof(*at), 8));
	CHECK_EQ(cap, 8);
	for (u32 i = 0; i < 4000; i++) {
		REQUIRE(arena_grow(&a, (void **)&at, &cap, i + 1, sizeof(*at), 8));
		at[i] = i;
		if (i % 1000)
			continue;
		REQUIRE(arena_grow(&a, (void **)&other, &other_cap, i / 1000 + 1, sizeof(*other), 1));
		other[i / 1000] = ~i;
	}
	CHECK_EQ(cap, 4096);
	CHECK_EQ(other_cap, 4);
	for (u32 i = 0; i < 4000; i++)
		if (at[i] != i || other[i / 1000] != ~(i / 1000 * 1000))
			CHECK(false);
	CHECK(!arena_grow(&a, (void **)&at, &cap, UINT32_MAX, UINT32_MAX, 8));
	CHECK_EQ(cap, 4096);
#ifndef SKEP_HOSTILE
	arena_reset(&a);
	at = before = NULL;
	cap = 0;
	CHECK(arena_grow(&a, (void **)&at, &cap, 16, sizeof(*at), 16));
	before = at;
	CHECK(arena_grow(&a, (void **)&at, &cap, 17, sizeof(*at), 16) && at == before);
	a.limit = a.used + 64;
	CHECK(!arena_grow(&a, (void **)&at, &cap, 100, sizeof(*at), 16));
#else
	(void)before;
#endif
	arena_close(&a);
	CHECK_EQ(h.live, 0);
}

TEST(each_allocation_may_fail)
{
	for (long at = 1; at < 8; at++) {
		struct host h;
		struct mem m = memory(&h);
		struct arena a;

		h.fail_at = at;
		arena_open_brief(&a, &m, 1000, NULL);
		take(&a, 40 << 20);
		CHECK(h.failed || h.number < at);
		CHECK(take(&a, 4096)); /* the next is as good as ever */
		arena_close(&a);
		CHECK_EQ(h.bytes, 0);
		CHECK_EQ(h.live, 0);
	}
}

int main(void)
{
#ifndef SKEP_HOSTILE
	RUN(small_things_take_little);
	RUN(what_was_expected_lies_in_one_block);
	RUN(what_grows_gets_to_huge_pages_soon);
	RUN(one_brief_arena_after_another_has_the_same_memory);
	RUN(what_stays_takes_at_most_as_much_again);
	RUN(a_limit_bounds_what_is_asked_for);
	RUN(big_memory_lies_on_huge_pages);
#endif
	RUN(arrays_grow);
	RUN(each_allocation_may_fail);
	return test_end();
}
