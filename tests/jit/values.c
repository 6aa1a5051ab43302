/* SPDX-License-Identifier: BSD-2-Clause */
/* Helpers that compiled code does not call, or whose clock it asks without detours: what they give, on engines in several settings and on the running kernel. */
#include "sides.h"

#include <sys/syscall.h>
#include <time.h>

static uint32_t get(const struct side *s, const char *text)
{
	uint32_t got = 0;
	int err = run(s, text, &got);

	if (err)
		test_fail(__FILE__, __LINE__, "%s: %d: %s", s->name, err, text);
	return got;
}

/* As this process sees itself. */
static void task_ids(struct side *s)
{
	expect(s, "process", "call helper 14\nr0 >>= 32\nexit\n", (uint32_t)getpid());
	expect(s, "thread", "call helper 14\nw0 = w0\nexit\n", (uint32_t)syscall(SYS_gettid));
	expect(s, "in turns of a loop", "r6 = 5\nr7 = 0\nnext: call helper 14\nr0 >>= 32\nr7 += r0\nr6 += -1\nif r6 != 0 goto next\nr0 = r7\nexit\n", 5 * (uint32_t)getpid());
}

static void identity(struct side *s)
{
	expect(s, "asked twice", "call helper 14\nr6 = r0\ncall helper 14\nr0 ^= r6\nr6 = r0\nr6 >>= 32\nr0 |= r6\nexit\n", 0);
	expect(s, "user", "call helper 15\nw0 = w0\nexit\n", getuid());
	expect(s, "group", "call helper 15\nr0 >>= 32\nexit\n", getgid());
	expect(s, "user after process", "call helper 14\ncall helper 15\nw0 = w0\nexit\n", getuid());
	expect(s, "cgroup, asked twice", "call helper 80\nr6 = r0\ncall helper 80\nr0 -= r6\nexit\n", 0);
}

static uint32_t milliseconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint32_t)((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000);
}

static void clocks(struct side *s)
{
	static const struct {
		const char *text;
		clockid_t clock;
	} all[] = {
		{"call helper 5\nr0 /= 1000000\nexit\n", CLOCK_MONOTONIC},
		{"call helper 125\nr0 /= 1000000\nexit\n", CLOCK_BOOTTIME},
		{"call helper 208\nr0 /= 1000000\nexit\n", CLOCK_TAI},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint32_t before = milliseconds(all[i].clock), got = get(s, all[i].text), after = milliseconds(all[i].clock);

		if (got - before > after - before)
			test_fail(__FILE__, __LINE__, "%s: clock %d: %u ms, between %u and %u", s->name, (int)all[i].clock, got, before, after);
	}
	expect(s, "time does not go back", "call helper 5\nr6 = r0\ncall helper 5\nr1 = r0\nr0 = 0\nif r1 >= r6 goto out\nr0 = 1\nout: exit\n", 0);
	expect(s, "jiffies do not go back", "call helper 118\nr6 = r0\ncall helper 118\nr1 = r0\nr0 = 0\nif r1 >= r6 goto out\nr0 = 1\nout: exit\n", 0);
}

/* 250 a second, from five minutes before they wrap at 32 bits. */
static uint32_t jiffies(void)
{
	return milliseconds(CLOCK_MONOTONIC_COARSE) / 4 - 300 * 250;
}

static void here(struct side *s)
{
	uint32_t before, got, after;

	task_ids(s);
	identity(s);
	clocks(s);
	expect(s, "NUMA node", "call helper 42\nexit\n", 0);
	before = jiffies();
	got = get(s, "call helper 118\nexit\n");
	after = jiffies();
	CHECK(got - before <= after - before);
}

TEST(on_the_engine)
{
	each_setting(here);
}

TEST(on_the_kernel)
{
	struct btf btf;
	struct side s;

	if (!kernel_side(&s, &btf))
		SKIP(KERNEL_MISSING);
	if (get(&s, "call helper 14\nr0 >>= 32\nexit\n") == (uint32_t)getpid())
		task_ids(&s);
	else
		printf("# in a namespace of processes, where the kernel's programs see other numbers than the process does: not compared\n");
	identity(&s);
	clocks(&s);
	btf_free(&btf);
}

static uint64_t own_clock(void *ud, int clock)
{
	++*(uint64_t *)ud;
	return (uint64_t)clock * 1000000000 + 500000000;
}

/* The clock is the owner's, if there is one, in compiled code as well. */
TEST(a_clock_of_the_owner)
{
	struct btf own;
	uint64_t asked = 0;

	REQUIRE(btf_open_bytes(&own, &mem_libc, kernel_btf_bytes, kernel_btf_size) == 0);
	for (uint32_t engine = SKEP_ENGINE_INTERP;; engine = SKEP_ENGINE_JIT) {
		struct skep_options o = {.size = sizeof(o), .engine = engine, .clock = own_clock, .clock_ud = &asked};
		struct side s = {.name = engine == SKEP_ENGINE_JIT ? "compiled" : "interpreted", .bpf = on_engine, .btf = &own, .type = BPF_PROG_TYPE_SYSCALL,
				 .flags = BPF_F_SLEEPABLE};
		struct skep *k;

		REQUIRE(skep_open(&k, &o) == 0);
		s.ud = k;
		asked = 0;
		expect(&s, "ktime", "call helper 5\nr0 /= 1000\nexit\n", CLOCK_MONOTONIC * 1000000 + 500000);
		expect(&s, "boot time", "call helper 125\nr0 /= 1000\nexit\n", CLOCK_BOOTTIME * 1000000 + 500000);
		expect(&s, "jiffies", "call helper 118\nexit\n", (uint32_t)(-300 * 250) + (CLOCK_MONOTONIC_COARSE * 1000 + 500) / 4);
		CHECK_EQ(asked, 3 + 3); /* when they were loaded, and by them */
		skep_close(k);
		if (engine == SKEP_ENGINE_JIT)
			break;
	}
	btf_free(&own);
}

int main(void)
{
	RUN(on_the_engine);
	RUN(on_the_kernel);
	RUN(a_clock_of_the_owner);
	return test_end();
}
