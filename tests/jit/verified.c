/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Generated programs that the verifier accepts, on the interpreter and on the compiler, which uses the verifier's facts: results, packets and maps must
 * agree. Two interpreters in engines of their own come first: where they differ, the program lets addresses get into what it gives.
 *
 * One compiler leaves out passes that depend on the first seed, one counts instructions.
 *
 *     t-jit-verified [COUNT [SEED]]
 */
#include "../verify/generate.h"
#include "skep/skep.h"
#include "../test.h"

#include <errno.h>
#include <linux/bpf.h>
#include <unistd.h>

enum { DATA = 64, OUT = 512, KEYS = 16, RUNS = 3, SOME_PASSES = 6, ENGINES = 8 };
enum { VERIFY_BYTES = 32 << 20 }; /* one program in hundreds takes 700 MB, and more time than all others */

static struct {
	const char *name;
	uint32_t engine, off, test;
	uint64_t max_insns;
} ways[ENGINES] = {
	{"interpreted", SKEP_ENGINE_INTERP, 0, 0, 0},
	{"interpreted elsewhere", SKEP_ENGINE_INTERP, 0, 0, 0},
	{"compiled", SKEP_ENGINE_AUTO, 0, SKEP_COMPILE_CHECK, 0},
	{"without facts", SKEP_ENGINE_AUTO, 0, SKEP_COMPILE_NO_FACTS, 0},
	{"all in memory", SKEP_ENGINE_AUTO, 0, SKEP_COMPILE_FEW_REGISTERS | SKEP_COMPILE_POISON, 0},
	{"without any pass", SKEP_ENGINE_AUTO, UINT32_MAX, SKEP_COMPILE_BASELINE, 0},
	[SOME_PASSES] = {"without some passes", SKEP_ENGINE_AUTO, 0, SKEP_COMPILE_CHECK | SKEP_COMPILE_POISON, 0},
	{"counted", SKEP_ENGINE_AUTO, 0, SKEP_COMPILE_CHECK, 1ull << 50},
};

struct engine {
	struct skep *k;
	int map[GENERATED_MAPS];
};

struct outcome {
	int err;
	uint32_t retval, out_size;
	uint8_t out[OUT];
	uint8_t values[2 * KEYS][VALUE_BYTES];
};

static struct engine engines[ENGINES];
static uint64_t count = 1000, seed = 1, accepted, compared, unsteady, interpreted, executed;

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 31) * 0x7fb5d329728ea185ull;
	return x ^ x >> 27;
}

static void fill(uint8_t *at, uint32_t size, uint64_t from)
{
	for (uint32_t i = 0; i < size; i++) {
		uint64_t r = mix(from * 1000 + i);

		at[i] = from % RUNS == 0 ? 0 : r & 1 ? (uint8_t)(r >> 8 & 7) : r & 2 ? 0xff : r & 4 ? 0x80 : (uint8_t)(r >> 8);
	}
}

static void set_maps(struct engine *e, uint64_t from)
{
	uint8_t value[VALUE_BYTES];

	for (uint64_t key = 0; key < KEYS; key++) {
		fill(value, sizeof(value), from * KEYS + key);
		if (key < 4)
			skep_map_update(e->k, e->map[MAP_IN_ARRAY], &key, value, 0);
		skep_map_delete(e->k, e->map[MAP_IN_HASH], &key);
		if (key < 8)
			skep_map_update(e->k, e->map[MAP_IN_HASH], &key, value, 0);
	}
}

static void get_maps(struct engine *e, struct outcome *o)
{
	for (uint64_t key = 0; key < KEYS; key++) {
		skep_map_lookup(e->k, e->map[MAP_IN_ARRAY], &key, o->values[key]);
		if (skep_map_lookup(e->k, e->map[MAP_IN_HASH], &key, o->values[KEYS + key]))
			memset(o->values[KEYS + key], 0xee, VALUE_BYTES);
	}
}

/* Time is a sequence of numbers that begins anew with every run; random numbers are made of it. */
static uint64_t ticks;

static uint64_t tick(void *ud, int clock)
{
	(void)ud, (void)clock;
	return mix(++ticks);
}

static void tame(struct generated *g)
{
	enum { KTIME = 5, RANDOM = 7 };

	for (uint32_t i = 0; i < g->n; i++)
		if (g->insns[i].code == (BPF_JMP | BPF_CALL) && !g->insns[i].src_reg && g->insns[i].imm == RANDOM)
			g->insns[i].imm = KTIME;
}

static int load(struct engine *e, const struct generated *g)
{
	struct bpf_insn insns[GENERATED_MAX];
	union bpf_attr a;

	generated_attr(g, e->map, insns, &a);
	return skep_bpf(e->k, BPF_PROG_LOAD, &a, sizeof(a));
}

static __attribute__((noinline)) void run(struct engine *e, int fd, uint64_t from, struct outcome *o)
{
	uint8_t data[DATA];
	union bpf_attr a;

	memset(o, 0, sizeof(*o));
	ticks = from;
	set_maps(e, from);
	fill(data, sizeof(data), from);
	memset(&a, 0, sizeof(a));
	a.test.prog_fd = (uint32_t)fd;
	a.test.data_in = (uint64_t)(uintptr_t)data;
	a.test.data_size_in = from % RUNS == 1 ? 14 : sizeof(data);
	a.test.data_out = (uint64_t)(uintptr_t)o->out;
	a.test.data_size_out = OUT;
	a.test.repeat = 1;
	o->err = skep_bpf(e->k, BPF_PROG_TEST_RUN, &a, sizeof(a));
	o->retval = a.test.retval;
	o->out_size = a.test.data_size_out;
	get_maps(e, o);
}

/* At another depth of the stack, so that addresses of frames differ. */
static __attribute__((noinline)) void run_deeper(struct engine *e, int fd, uint64_t from, struct outcome *o)
{
	volatile uint8_t shift[4096 + 48];

	shift[from % 4096] = 1;
	run(e, fd, from, o);
	shift[0] = shift[from % 4096];
}

static bool same(const struct outcome *a, const struct outcome *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static void compare(const struct generated *g, uint64_t s)
{
	static struct outcome first, other;
	int fd[ENGINES];

	for (unsigned i = 0; i < ENGINES; i++) {
		struct skep_code code = {.size = sizeof(code)};

		fd[i] = load(&engines[i], g);
		if (i && (fd[i] < 0) != (fd[0] < 0))
			test_fail(__FILE__, __LINE__, "seed %llu: loads %s, not %s", (unsigned long long)s, ways[fd[0] < 0 ? i : 0].name, ways[fd[0] < 0 ? 0 : i].name);
		/* without facts, code that is never reached is compiled as well, and may hold what cannot be */
		if (i >= 2 && !(ways[i].test & SKEP_COMPILE_NO_FACTS) && fd[i] >= 0 && !skep_prog_code(engines[i].k, fd[i], &code) && !code.bytes) {
			interpreted++;
			test_fail(__FILE__, __LINE__, "seed %llu, %s: not compiled: %s", (unsigned long long)s, ways[i].name, code.reason);
		}
	}
	accepted += fd[0] >= 0;
	for (unsigned j = 0; j < RUNS && fd[0] >= 0; j++) {
		uint64_t from = s * RUNS + j;

		run(&engines[0], fd[0], from, &first);
		executed += !first.err;
		run_deeper(&engines[1], fd[1], from, &other);
		if (!same(&first, &other)) {
			unsteady++;
			break;
		}
		for (unsigned i = 2; i < ENGINES; i++) {
			run(&engines[i], fd[i], from, &other);
			compared++;
			if (!same(&first, &other))
				test_fail(__FILE__, __LINE__, "seed %llu, run %u: interpreted %d, %u; %s %d, %u%s%s", (unsigned long long)s, j, first.err, first.retval, ways[i].name,
					  other.err, other.retval, memcmp(first.out, other.out, OUT) ? "; packets differ" : "",
					  memcmp(first.values, other.values, sizeof(first.values)) ? "; maps differ" : "");
		}
	}
	for (unsigned i = 0; i < ENGINES; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

TEST(accepted_programs_on_both_engines)
{
	static struct generated g;

	for (uint64_t i = 0; i < count; i++) {
		if ((seed + i) % 4 == 2)
			generate_numbers(&g, seed + i);
		else
			generate_either(&g, seed + i);
		tame(&g);
		compare(&g, seed + i);
	}
	printf("# %llu programs accepted, %llu of them with addresses in their results, %llu runs, %llu compared, %llu not compiled\n", (unsigned long long)accepted,
	       (unsigned long long)unsteady, (unsigned long long)executed, (unsigned long long)compared, (unsigned long long)interpreted);
	CHECK(count < 100 || (accepted > count / 10 && compared > accepted && executed > accepted));
}

int main(int argc, char **argv)
{
	if (argc > 1)
		count = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
	ways[SOME_PASSES].off = (uint32_t)mix(seed);
	for (unsigned i = 0; i < ENGINES; i++) {
		struct skep_options opts = {.size = sizeof(opts), .clock = tick, .max_insns = ways[i].max_insns, .max_verify_bytes = VERIFY_BYTES,
					    .engine = ways[i].engine, .compile_off = ways[i].off, .compile_test = ways[i].test};
		struct engine *e = &engines[i];

		if (skep_open(&e->k, &opts)) {
			printf("Bail out! no engine\n");
			return 1;
		}
		e->map[MAP_IN_ARRAY] = skep_map_create(e->k, BPF_MAP_TYPE_ARRAY, 4, VALUE_BYTES, 4, 0);
		e->map[MAP_IN_HASH] = skep_map_create(e->k, BPF_MAP_TYPE_HASH, 8, VALUE_BYTES, 16, 0);
		e->map[MAP_IN_RING] = skep_map_create(e->k, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);
	}
	RUN(accepted_programs_on_both_engines);
	for (unsigned i = 0; i < ENGINES; i++)
		skep_close(engines[i].k);
	return test_end();
}
