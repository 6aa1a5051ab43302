/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory model under threads: another thread changes shared memory all the time while compiled programs check what they read and use it.
 * A value that was not checked must never be used; a loop that waits for the other side must see what it writes.
 */
#include "isa/asm.h"
#include "jit/jit.h"
#include "test.h"
#include "vm/vm.h"

#include <pthread.h>

enum { MOST = 64, ROUNDS = 20000 };

static struct window window;
static u64 shared[16] __attribute__((aligned(64)));
static _Atomic bool done;

/* Writes numbers that pass the check and numbers that do not, as fast as it can. */
static void *scribble(void *ud)
{
	u64 x = 1;

	(void)ud;
	while (!atomic_load_explicit(&done, memory_order_relaxed)) {
		x = x * 6364136223846793005ull + 1;
		for (u32 i = 0; i < 8; i++)
			__atomic_store_n(&shared[i], x >> 60 & 1 ? x >> 32 : 7, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *release(void *ud)
{
	(void)ud;
	for (u32 i = 0; i < 1000; i++)
		os_yield();
	__atomic_store_n(&shared[8], 1, __ATOMIC_RELEASE);
	return NULL;
}

struct compiled {
	struct prog p;
	struct raw_insn raw[MOST];
	struct insn insns[MOST];
	u64 operand[MOST];
	struct run_host host;
};

static bool compile(struct compiled *c, const char *text)
{
	struct jit_options o = {.host = &c->host, .window = &window, .check = true};
	struct insn_error err;
	struct asm_error bad;
	struct raw_insn *raw;
	struct arena a;
	const char *why = "";
	u32 n;

	arena_open(&a, &mem_libc);
	if (asm_parse(&a, text, strlen(text), &raw, &n, &bad) || n > MOST) {
		test_fail(__FILE__, __LINE__, "line %u: %s", bad.line, bad.text);
		return false;
	}
	memcpy(c->raw, raw, n * sizeof(*raw));
	arena_close(&a);
	c->host = (struct run_host){.window = &window};
	c->p = (struct prog){.mem = &mem_libc, .raw = c->raw, .insns = c->insns, .operand = c->operand, .n = n};
	arena_open(&c->p.arena, &mem_libc);
	if (insns_decode(c->raw, n, c->insns, &err) || subprogs_find(&c->p, &err))
		return false;
	for (u32 i = 0; i < n; i++)
		c->operand[i] = (u64)c->insns[i].imm;
	if (jit_compile(&c->p, &o, NULL, &why)) {
		test_fail(__FILE__, __LINE__, "not compiled: %s", why ? why : "");
		return false;
	}
	return true;
}

static u64 run(struct compiled *c)
{
	static const struct ctx_type flat = {.name = "shared", .flags = CTX_TYPE_FLAT | CTX_TYPE_WRITABLE};
	struct run r = {.prog = &c->p, .host = &c->host, .ctx = {.type = &flat, .bytes = (u8 *)shared, .size = sizeof(shared)}};
	u64 result = 0;

	CHECK(vm_run(&r, &result) == 0);
	return result;
}

/* Each gives 0, or what it used beyond the bound of 15 that it checked. */
static const struct {
	const char *name, *text;
} forms[] = {
	{"checked and used", "r2 = *(u64 *)(r1 +0)\nr0 = 0\nif r2 > 15 goto out\nr0 = r2\nr0 >>= 4\nout: exit\n"},
	{"used many times", "r2 = *(u64 *)(r1 +0)\nr0 = 0\nif r2 > 15 goto out\nr3 = r2\nr3 &= 255\nr4 = r2\nr4 -= r3\nr0 = r4\nr5 = r2\nr5 >>= 4\nr0 |= r5\nout: exit\n"},
	{"kept across registers", "r2 = *(u64 *)(r1 +0)\nr3 = *(u64 *)(r1 +8)\nr4 = *(u64 *)(r1 +16)\nr5 = *(u64 *)(r1 +24)\nr6 = *(u64 *)(r1 +32)\n"
	 "r7 = *(u64 *)(r1 +40)\nr8 = *(u64 *)(r1 +48)\nr0 = 0\nif r2 > 15 goto out\nif r3 > 15 goto out\nif r4 > 15 goto out\nif r5 > 15 goto out\n"
	 "if r6 > 15 goto out\nif r7 > 15 goto out\nif r8 > 15 goto out\nr0 = r2\nr0 |= r3\nr0 |= r4\nr0 |= r5\nr0 |= r6\nr0 |= r7\nr0 |= r8\nr0 >>= 4\nout: exit\n"},
	{"in a slot of the stack", "r2 = *(u64 *)(r1 +0)\n*(u64 *)(r10 -8) = r2\nr3 = *(u64 *)(r10 -8)\nr0 = 0\nif r3 > 15 goto out\nr0 = *(u64 *)(r10 -8)\nr0 >>= 4\nout: exit\n"},
	{"the same word twice", "r2 = *(u64 *)(r1 +0)\nr3 = *(u64 *)(r1 +0)\nr0 = 0\nif r2 > 15 goto out\nif r3 > 15 goto out\nr2 |= r3\nr0 = r2\nr0 >>= 4\nout: exit\n"},
	{"narrow parts", "w2 = *(u32 *)(r1 +0)\nr0 = 0\nif w2 > 15 goto out\nw0 = w2\nw0 >>= 4\nout: exit\n"},
	{"chosen", "r2 = *(u64 *)(r1 +0)\nr0 = 0\nif r2 <= 15 goto keep\nr2 = 3\nkeep: r0 = r2\nr0 >>= 4\nexit\n"},
	{"in a loop", "r6 = 50\nr0 = 0\nagain: r2 = *(u64 *)(r1 +0)\nif r2 > 15 goto next\nr3 = r2\nr3 >>= 4\nr0 |= r3\nnext: r6 += -1\nif r6 != 0 goto again\nexit\n"},
};

TEST(what_was_checked_is_what_is_used)
{
	static struct compiled c;
	pthread_t t;

	atomic_store(&done, false);
	REQUIRE(pthread_create(&t, NULL, scribble, NULL) == 0);
	for (u32 f = 0; f < ARRAY_SIZE(forms); f++) {
		u32 wrong = 0;

		if (!compile(&c, forms[f].text))
			continue;
		for (u32 i = 0; i < ROUNDS; i++)
			wrong += run(&c) != 0;
		if (wrong)
			test_fail(__FILE__, __LINE__, "%s: %u of %u runs used a value that was not checked", forms[f].name, wrong, ROUNDS);
		jit_free(&c.p);
		arena_close(&c.p.arena);
	}
	atomic_store(&done, true);
	pthread_join(t, NULL);
}

/* The numbers that are too large do arrive: otherwise the test above shows nothing. */
TEST(both_kinds_of_numbers_are_seen)
{
	static struct compiled c;
	u32 large = 0, small = 0;
	pthread_t t;

	atomic_store(&done, false);
	REQUIRE(compile(&c, "r0 = *(u64 *)(r1 +0)\nexit\n"));
	REQUIRE(pthread_create(&t, NULL, scribble, NULL) == 0);
	for (u32 i = 0; i < 50000000 && (!large || !small); i++)
		*(run(&c) > 15 ? &large : &small) += 1;
	atomic_store(&done, true);
	pthread_join(t, NULL);
	CHECK(large > 0);
	CHECK(small > 0);
	jit_free(&c.p);
	arena_close(&c.p.arena);
}

TEST(a_loop_that_waits_ends)
{
	static struct compiled c;
	pthread_t t;

	shared[8] = 0;
	REQUIRE(compile(&c, "again: r2 = *(u64 *)(r1 +64)\nif r2 == 0 goto again\nr0 = r2\nexit\n"));
	REQUIRE(pthread_create(&t, NULL, release, NULL) == 0);
	CHECK_EQ(run(&c), 1);
	pthread_join(t, NULL);
	jit_free(&c.p);
	arena_close(&c.p.arena);
}

int main(void)
{
	if (window_open(&window, (size_t)1 << 30))
		return 1;
	RUN(what_was_checked_is_what_is_used);
	RUN(both_kinds_of_numbers_are_seen);
	RUN(a_loop_that_waits_ends);
	return test_end();
}
