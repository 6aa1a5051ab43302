/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Budget and asynchronous stop in compiled code. Passes of loops, calls and callbacks count as the interpreter counts their instructions, as far as a pass over a
 * loop's body or a called function is one step; the run ends at the first step beyond the budget. What has neither loops nor calls costs nothing, and nothing is
 * added where no budget is asked for.
 */
#include "sides.h"

#include <pthread.h>
#include <time.h>

#define LOOP "call helper 181\n"
#define SOME "r0 += r6\nr0 *= 3\nr0 ^= r1\nr0 += 7\nr0 *= 5\n"
#define LONG SOME SOME SOME SOME SOME SOME SOME SOME SOME
/* No step of these programs is longer: turns of loops, unless loops of few turns count as a whole. */
static const struct counting {
	uint32_t off, step;
} countings[] = {{UINT32_MAX, 64}, {0, 1 << 15}};

/* TAIL stands for a call of the program itself through the map. */
static const struct program {
	const char *name, *text;
	uint32_t map; /* kind of MAP */
} counted[] = {
	{"a loop", "r0 = 0\nl: r0 += 1\nif r0 < 50000 goto l\nexit\n", 0},
	{"loops of few turns in one of many", "r0 = 0\nr6 = 0\no: r7 = 0\ni: r0 += r7\nr7 += 1\nif r7 < 16 goto i\nr6 += 1\nif r6 < 2000 goto o\nexit\n", 0},
	{"branches in a loop",
	 "r0 = 0\nr6 = 0\nl: if r6 & 1 goto odd\nr0 += 1\nr0 ^= r6\nr0 += 3\ngoto on\nodd: r0 += r6\non: r6 += 1\nif r6 < 20000 goto l\nexit\n", 0},
	{"a loop with several ways round",
	 "r0 = 0\nr6 = 0\nl: r6 += 1\nif r6 > 20000 goto x\nr1 = r6\nr1 &= 3\nif r1 == 0 goto l\nr0 += 3\nif r1 == 1 goto odd\nr0 ^= r6\ngoto l\n"
	 "odd: r0 += r6\nr0 *= 5\ngoto l\nx: exit\n", 0},
	{"a loop that mostly turns early",
	 "r0 = 0\nr6 = 0\nl: r6 += 1\nr1 = r6\nr1 &= 63\nif r1 != 0 goto l\n"
	 LONG "if r6 < 4000 goto l\nexit\n", 0},
	{"bpf_loop", "r1 = 20000\nr2 = func[f]\nr3 = 0\nr4 = 0\n" LOOP "exit\nf: r0 = r1\nr0 += 2\nr0 = 0\nexit\n", 0},
	{"bpf_loop of an unknown function's turns",
	 "r6 = 0\no: r1 = 300\nr2 = func[f]\nr3 = 0\nr4 = 0\n" LOOP "r6 += 1\nif r6 < 20 goto o\nr0 = 5\nexit\n"
	 "f: r6 = 0\nl: r6 += 1\nif r6 < 10 goto l\nr0 = 0\nexit\n", 0},
	{"calls of a function without loops", "r6 = 0\nl: r1 = r6\ncall local f\nr6 += 1\nif r6 < 5000 goto l\nexit\nf: r0 = r1\nr0 += 1\nexit\n", 0},
	{"a chain of calls in a loop",
	 "r6 = 0\nl: r1 = r6\ncall local f\nr6 += 1\nif r6 < 3000 goto l\nexit\nf: call local g\nr0 += 1\nexit\ng: r1 = 0\ncall local h\nr0 += 1\nexit\nh: r0 = r1\nexit\n", 0},
	{"a function with a loop", "r6 = 0\nl: r1 = r6\ncall local f\nr6 += 1\nif r6 < 1000 goto l\nexit\nf: r0 = 0\nm: r0 += 1\nif r0 < 20 goto m\nexit\n", 0},
	{"callbacks for elements of a map",
	 "r6 = 0\nl: r1 = MAP\nr2 = func[f]\nr3 = 0\nr4 = 0\ncall helper 164\nr6 += 1\nif r6 < 100 goto l\nr0 = 9\nexit\nf: r0 = 3\nr0 += 4\nr0 = 0\nexit\n",
	 BPF_MAP_TYPE_ARRAY},
	{"tail calls", "r6 = r1\nr0 = 0\nl: r0 += 1\nif r0 < 2000 goto l\nr1 = r6\nr2 = MAP\nr3 = 0\ncall helper 12\nr0 = 4\nexit\n", BPF_MAP_TYPE_PROG_ARRAY},
};

#define ENDLESS(body) \
	"r1 = 8388608\nr2 = func[a]\nr3 = 0\nr4 = 0\n" LOOP "r0 = 0\nexit\na: r1 = 8388608\nr2 = func[b]\nr3 = 0\nr4 = 0\n" LOOP "r0 = 0\nexit\nb: " body "r0 = 0\nexit\n"
static const struct program endless[] = {
	{"bpf_loop", ENDLESS("r0 = r1\n"), 0},
	{"a loop", ENDLESS("r6 = 0\nl: r6 += 1\nif r6 < 10000 goto l\n"), 0},
	{"loops of few turns", ENDLESS("r6 = 0\nl: r6 += 1\nif r6 < 5 goto l\n"), 0},
	{"a chain of calls", ENDLESS("call local f\n") "f: call local g\nr0 = 0\nexit\ng: r0 = 0\nexit\n", 0},
	{"callbacks for elements of a map", ENDLESS("r1 = MAP\nr2 = func[f]\nr3 = 0\nr4 = 0\ncall helper 164\n") "f: r0 = 0\nexit\n", BPF_MAP_TYPE_ARRAY},
};

/* ---- programs in an engine ---- */

struct loaded {
	struct skep *k;
	struct btf btf;
	int fd, map;
	uint32_t bytes; /* of code */
};

static int make_map(const struct side *s, uint32_t kind)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = kind;
	attr.key_size = 4;
	attr.value_size = 4;
	attr.max_entries = kind == BPF_MAP_TYPE_PROG_ARRAY ? 1 : 64;
	return s->bpf(s->ud, BPF_MAP_CREATE, &attr, sizeof(attr));
}

static bool open_program(struct loaded *l, const struct program *p, uint32_t engine, uint32_t off, uint64_t budget)
{
	struct skep_options o = {.size = sizeof(o), .engine = engine, .max_insns = budget, .compile_off = off, .compile_test = SKEP_COMPILE_CHECK};
	struct side s = {.name = p->name, .bpf = on_engine, .btf = &l->btf, .type = BPF_PROG_TYPE_RAW_TRACEPOINT, .map = -1};
	struct skep_code code = {.size = sizeof(code)};
	uint32_t zero = 0;

	memset(l, 0, sizeof(*l));
	if (btf_open_bytes(&l->btf, &mem_libc, kernel_btf_bytes, kernel_btf_size) || skep_open(&l->k, &o))
		return false;
	s.ud = l->k;
	if (p->map)
		l->map = s.map = make_map(&s, p->map);
	l->fd = load(&s, p->text);
	if (l->fd >= 0 && p->map == BPF_MAP_TYPE_PROG_ARRAY)
		CHECK_EQ(skep_map_update(l->k, s.map, &zero, &l->fd, 0), 0);
	CHECK_EQ(skep_prog_code(l->k, l->fd, &code), 0);
	l->bytes = code.bytes;
	return l->fd >= 0 && (engine == SKEP_ENGINE_INTERP) == !code.bytes;
}

static void close_program(struct loaded *l)
{
	skep_close(l->k);
	btf_free(&l->btf);
}

static int run_it(const struct loaded *l, struct skep_run *r, const _Bool *stop)
{
	static uint64_t ctx[16];

	*r = (struct skep_run){.size = sizeof(*r), .ctx = ctx, .ctx_size = sizeof(ctx), .stop = stop};
	return skep_run(l->k, l->fd, r);
}

/* A run with that budget: it ends by itself, with the result, or at the limit, less than a step beyond it. */
static void with_budget(const struct program *p, const struct counting *c, uint64_t budget, bool enough, uint64_t result)
{
	struct loaded l;
	struct skep_run r;

	REQUIRE(open_program(&l, p, SKEP_ENGINE_JIT, c->off, budget));
	if (enough) {
		CHECK_EQ(run_it(&l, &r, NULL), 0);
		CHECK_EQ(r.result, result);
	} else if (run_it(&l, &r, NULL) != -EFAULT || !strstr(r.fault.text, "the limit") || r.insns <= budget || r.insns > budget + c->step) {
		test_fail(__FILE__, __LINE__, "%s: a budget of %llu: %llu executed, %s", p->name, (unsigned long long)budget, (unsigned long long)r.insns, r.fault.text);
	}
	close_program(&l);
}

static void budgets(const struct program *p, const struct counting *c)
{
	struct loaded l;
	struct skep_run interpreted, compiled;

	REQUIRE(open_program(&l, p, SKEP_ENGINE_INTERP, 0, 0));
	CHECK_EQ(run_it(&l, &interpreted, NULL), 0);
	close_program(&l);
	REQUIRE(open_program(&l, p, SKEP_ENGINE_JIT, c->off, 1ull << 40));
	CHECK_EQ(run_it(&l, &compiled, NULL), 0);
	close_program(&l);
	CHECK_EQ(compiled.result, interpreted.result);
	if (compiled.insns < interpreted.insns / 2 || compiled.insns > interpreted.insns * 4)
		test_fail(__FILE__, __LINE__, "%s: %llu instructions, counted as %llu", p->name, (unsigned long long)interpreted.insns, (unsigned long long)compiled.insns);
	with_budget(p, c, compiled.insns, true, interpreted.result);
	with_budget(p, c, compiled.insns + 1, true, interpreted.result);
	with_budget(p, c, compiled.insns - 1, false, 0);
	with_budget(p, c, compiled.insns / 2, false, 0);
	with_budget(p, c, 1000, false, 0);
	with_budget(p, c, 1, false, 0);
}

TEST(budgets_end_runs_where_they_are_used_up)
{
	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		for (size_t k = 0; k < sizeof(countings) / sizeof(countings[0]); k++)
			budgets(&counted[i], &countings[k]);
}

/* ---- stop ---- */

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void *set_later(void *arg)
{
	sleep_ms(30);
	__atomic_store_n((_Bool *)arg, 1, __ATOMIC_RELAXED);
	return NULL;
}

TEST(another_thread_ends_runs)
{
	for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
		_Bool stop = 0;
		struct loaded l;
		struct skep_run r;
		pthread_t t;

		REQUIRE(open_program(&l, &endless[i], SKEP_ENGINE_JIT, 0, 1ull << 60));
		REQUIRE(pthread_create(&t, NULL, set_later, &stop) == 0);
		if (run_it(&l, &r, &stop) != -EFAULT || !strstr(r.fault.text, "stopped by its host"))
			test_fail(__FILE__, __LINE__, "%s: result %llu, %s", endless[i].name, (unsigned long long)r.result, r.fault.text);
		pthread_join(t, NULL);
		/* what is set already ends it at once */
		CHECK_EQ(run_it(&l, &r, &stop), -EFAULT);
		CHECK(strstr(r.fault.text, "stopped by its host") != NULL);
		CHECK(r.insns < 1 << 17);
		close_program(&l);
	}
}

/* A run that was ended leaves nothing behind: the next one has all its budget. */
TEST(the_next_run_starts_anew)
{
	_Bool stop = 1, go = 0;
	struct loaded l;
	struct skep_run r;

	REQUIRE(open_program(&l, &counted[1], SKEP_ENGINE_JIT, 0, 1ull << 40));
	CHECK_EQ(run_it(&l, &r, &go), 0);
	uint64_t insns = r.insns, result = r.result;

	CHECK_EQ(run_it(&l, &r, &stop), -EFAULT);
	CHECK_EQ(run_it(&l, &r, &go), 0);
	CHECK_EQ(r.insns, insns);
	CHECK_EQ(r.result, result);
	close_program(&l);
}

/* ---- what it costs ---- */

static uint32_t code_bytes(const char *text, uint64_t budget)
{
	const struct program p = {"code", text, 0};
	struct loaded l;
	uint32_t n = open_program(&l, &p, SKEP_ENGINE_JIT, 0, budget) ? l.bytes : 0;

	close_program(&l);
	return n;
}

/* What is added is more code; but one of the loops makes several turns before it goes back where no turn has to look. */
static void check_added(const struct program *p)
{
	uint32_t off = code_bytes(p->text, 0), on = code_bytes(p->text, 1ull << 40);

	if (!strcmp(p->name, "branches in a loop"))
		CHECK(off > on && on > 0);
	else
		CHECK(off < on);
}

/* What a budget adds to a loop with so many ways round. */
static uint32_t added_to_ways(uint32_t n)
{
	char text[2048];
	size_t at = (size_t)snprintf(text, sizeof(text), "r6 = 0\nr7 = 0\nl: r6 += 1\nif r6 > 1000 goto x\ncall helper 7\n");

	for (uint32_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "r7 ^= r0\ncall helper 7\nif r0 > %u goto l\n", i * 1000);
	snprintf(text + at, sizeof(text) - at, "goto l\nx: r0 = r7\nexit\n");
	return code_bytes(text, 1ull << 40) - code_bytes(text, 0);
}

TEST(a_loop_with_many_ways_round_looks_in_few_places)
{
	uint32_t few = added_to_ways(2), many = added_to_ways(24);

	if (!few || many > 3 * few)
		test_fail(__FILE__, __LINE__, "%u bytes are added to three ways round, %u to twenty-five", few, many);
}

TEST(code_without_loops_and_code_without_a_budget_has_nothing_added)
{
	static const char *const light[] = {
		"r0 = r1\nr0 = 5\nif r0 > 3 goto x\nr0 = 1\nx: exit\n",
		"call helper 7\nr0 &= 1\nif r0 == 0 goto x\nr0 = 3\nx: exit\n",
		"r6 = r1\nr1 = 4\ncall local f\nr6 = r0\nr1 = 5\ncall local f\nr0 += r6\nexit\nf: call helper 7\nr0 &= 255\nexit\n",
	};

	for (size_t i = 0; i < sizeof(light) / sizeof(light[0]); i++) {
		uint32_t off = code_bytes(light[i], 0);

		CHECK(off > 0);
		CHECK_EQ(code_bytes(light[i], 1ull << 40), off);
	}
	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		if (!counted[i].map)
			check_added(&counted[i]);
}

int main(void)
{
	RUN_ONE_THREAD(budgets_end_runs_where_they_are_used_up);
	RUN(another_thread_ends_runs);
	RUN_ONE_THREAD(the_next_run_starts_anew);
	RUN_ONE_THREAD(a_loop_with_many_ways_round_looks_in_few_places);
	RUN_ONE_THREAD(code_without_loops_and_code_without_a_budget_has_nothing_added);
	return test_end();
}
