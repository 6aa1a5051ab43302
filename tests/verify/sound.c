/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The checking interpreter over generated programs: what is accepted runs on several inputs, and at every
 * instruction the concrete state must lie in one that the verifier explored there (watch.h). A fault of an
 * accepted program is a failure as well.
 *
 * Every other program is one of generate_paths.c, where paths meet that left different things. With the default seeds this finds: precision that is not
 * followed through a spill, a fill, arithmetic; pruning that ignores numbers, or a register; joined states that cover another arrival's paths;
 * comparisons that are off by one or say too much. Programs of generate_numbers.c add links of scalars that are kept too long, or in the wrong half.
 * A NULL check that is taken for another pointer's is found by verify-differ.
 *
 *     t-verify-sound [--seed N] [--count N]
 */
#include "generate.h"
#include "watch.h"

#include "skep/skep.h"

#include "../test.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <unistd.h>

enum { DATA_BYTES = 64, RUNS = 4 };

static u64 first_seed = 1, count = 500;
static struct skep *k;
static struct watch *w;
static int map[GENERATED_MAPS];
static char fault[256];
static bool halves; /* values are made of 32-bit numbers about the limits */

static void open_maps(void)
{
	map[MAP_IN_ARRAY] = skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, VALUE_BYTES, 4, 0);
	map[MAP_IN_HASH] = skep_map_create(k, BPF_MAP_TYPE_HASH, 8, VALUE_BYTES, 16, 0);
	map[MAP_IN_RING] = skep_map_create(k, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);
}

static int load(const struct generated *g)
{
	struct bpf_insn insns[GENERATED_MAX];
	union bpf_attr a;

	generated_attr(g, map, insns, &a);
	return skep_bpf(k, BPF_PROG_LOAD, &a, sizeof(a));
}

static u64 mix(u64 x)
{
	x = (x ^ x >> 31) * 0x7fb5d329728ea185ull;
	return x ^ x >> 27;
}

/* Numbers in maps and packets are what makes paths differ: small ones, large ones, those about the sign. */
static void fill(u8 *at, u32 size, u64 seed)
{
	for (u32 i = 0; i < size; i++) {
		u64 r = mix(seed * 1000 + i);

		at[i] = seed % RUNS == 0 ? 0
			: r & 1		 ? (u8)(r >> 8 & 7)
			: r & 2		 ? 0xff
			: r & 4		 ? 0x80
					 : (u8)(r >> 8);
	}
}

static void fill_halves(u8 *at, u32 size, u64 seed)
{
	static const u32 edges[] = {0, 0, 1, 2, 8, 0x7f, 0x80, 0xffff, INT32_MAX, 1u << 31, UINT32_MAX, UINT32_MAX - 1};

	for (u32 i = 0; i + 4 <= size; i += 4) {
		u64 r = mix(seed * 1000 + i);
		u32 n = r & 3 ? edges[(r >> 8) % ARRAY_SIZE(edges)] : (u32)(r >> 16);

		memcpy(at + i, &n, sizeof(n));
	}
}

static void set_maps(u64 seed)
{
	u8 value[VALUE_BYTES];

	for (u64 key = 0; key < 8; key++) {
		union bpf_attr a;

		(halves ? fill_halves : fill)(value, sizeof(value), seed * 8 + key + (seed % RUNS != 0));
		memset(&a, 0, sizeof(a));
		a.map_fd = (u32)map[MAP_IN_ARRAY];
		a.key = (u64)(uintptr_t)&key;
		a.value = (u64)(uintptr_t)value;
		if (key < 4)
			skep_bpf(k, BPF_MAP_UPDATE_ELEM, &a, sizeof(a));
		a.map_fd = (u32)map[MAP_IN_HASH];
		skep_bpf(k, BPF_MAP_UPDATE_ELEM, &a, sizeof(a));
	}
}

static int run(int fd, u64 seed)
{
	u8 data[DATA_BYTES], out[DATA_BYTES * 4];
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	fill(data, sizeof(data), seed);
	a.test.prog_fd = (u32)fd;
	a.test.data_in = (u64)(uintptr_t)data;
	a.test.data_size_in = seed % RUNS == 1 ? 14 : sizeof(data);
	a.test.data_out = (u64)(uintptr_t)out;
	a.test.data_size_out = sizeof(out);
	a.test.repeat = 1;
	return skep_bpf(k, BPF_PROG_TEST_RUN, &a, sizeof(a));
}

/* Of n programs, each on RUNS inputs. Gives the number of runs. */
static u64 watch_all(void (*generate_one)(struct generated *, uint64_t), u64 n)
{
	static struct generated g;
	const struct watch_stats *s = watch_stats(w);
	u64 ran = 0, reported = 0;

	for (u64 i = 0; i < n; i++) {
		u64 before = s->violations;
		int fd;

		generate_one(&g, first_seed + i);
		fd = load(&g);
		if (fd < 0)
			continue;
		watch_program(w, fd);
		for (u64 j = 0; j < RUNS; j++) {
			int err;

			set_maps((first_seed + i) * RUNS + j);
			err = run(fd, (first_seed + i) * RUNS + j);
			ran += !err;
			if (err == -EFAULT)
				test_fail(__FILE__, __LINE__, "seed %llu: an accepted program faults: %s",
					  (unsigned long long)(first_seed + i), fault);
		}
		watch_forget(w);
		close(fd);
		if (s->violations != before && reported++ < 8)
			test_fail(__FILE__, __LINE__, "seed %llu: %llu violations; first of all: %s",
				  (unsigned long long)(first_seed + i),
				  (unsigned long long)(s->violations - before), watch_text(w));
	}
	return ran;
}

TEST(runs_stay_in_what_was_proved)
{
	const struct watch_stats *s = watch_stats(w);
	u64 ran = watch_all(generate_either, count);

	printf("# facts: %llu jumps of one edge, %llu accesses of a known kind\n", (unsigned long long)s->edges, (unsigned long long)s->accesses);
	printf("# %llu programs, %llu runs, %llu instructions executed, %llu states kept, %llu values "
	       "compared, %llu verifications not kept\n",
	       (unsigned long long)s->programs, (unsigned long long)ran, (unsigned long long)s->steps,
	       (unsigned long long)s->states, (unsigned long long)s->compared,
	       (unsigned long long)s->skipped);
	CHECK_EQ(s->violations, 0);
	CHECK(count < 100 ||
	      (s->programs > count / 10 && s->compared > s->steps && s->edges > 0 && s->accesses > count && s->skipped * 20 < s->programs * 4));
}

/* Numbers in all shapes: copies that share a value, halves, extensions, comparisons of both widths. */
TEST(numbers_stay_in_what_was_proved)
{
	const struct watch_stats *s = watch_stats(w);
	u64 programs = s->programs, compared = s->compared, violations = s->violations, ran;

	halves = true;
	ran = watch_all(generate_numbers, 4 * count);
	halves = false;
	printf("# %llu programs, %llu runs, %llu values compared\n", (unsigned long long)(s->programs - programs), (unsigned long long)ran,
	       (unsigned long long)(s->compared - compared));
	CHECK_EQ(s->violations - violations, 0);
	CHECK(count < 100 || s->programs - programs > 3 * count);
}

static void note(void *ud, const char *line)
{
	(void)ud;
	snprintf(fault, sizeof(fault), "%s", line);
}

int main(int argc, char **argv)
{
	struct skep_options opts = {.size = sizeof(opts), .log = note};

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--seed"))
			first_seed = strtoull(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--count"))
			count = strtoull(argv[i + 1], NULL, 0);
		else
			return fprintf(stderr, "usage: %s [--seed N] [--count N]\n", argv[0]), 2;
	}
	if (skep_open(&k, &opts) || !(w = watch_open(k))) {
		printf("Bail out! no engine\n");
		return 1;
	}
	open_maps();
	RUN(runs_stay_in_what_was_proved);
	RUN(numbers_stay_in_what_was_proved);
	watch_close(w);
	skep_close(k);
	return test_end();
}
