/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a choice costs compiled programs: each program of the objects is loaded by libbpf into engines that differ in one option, verified, and run by turns
 * in all of them. Time relative to the first engine: medians over the rounds, and the geometric mean of all programs.
 *
 *     bench-ways [--rounds N] OBJECT...
 */
#include "client/skep-bpf.h"
#include "skep/skep.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PACKET = 1100, MOST_ROUNDS = 99, WAYS = 4 };

static const struct {
	const char *name;
	struct skep_options opts;
} ways[WAYS] = {
	{"plain", {.size = sizeof(struct skep_options), .engine = SKEP_ENGINE_JIT}},
	{"the same again", {.size = sizeof(struct skep_options), .engine = SKEP_ENGINE_JIT}}, /* how far noise goes */
	{"budget and stop", {.size = sizeof(struct skep_options), .engine = SKEP_ENGINE_JIT, .max_insns = 1ull << 50}},
	{"without facts", {.size = sizeof(struct skep_options), .engine = SKEP_ENGINE_JIT, .compile_test = SKEP_COMPILE_NO_FACTS}},
};

struct loaded {
	struct skep *k;
	struct bpf_object *obj;
};

static double logs[WAYS];
static unsigned n_programs, rounds = 9;

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level, (void)fmt, (void)ap;
	return 0;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double run(const struct loaded *l, const char *name, int repeat)
{
	static unsigned char packet[PACKET], out[PACKET + 512];
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = packet, .data_size_in = PACKET, .data_out = out, .data_size_out = sizeof(out), .repeat = repeat);
	const struct bpf_program *p = bpf_object__find_program_by_name(l->obj, name);
	double start;

	for (int i = 0; i < PACKET; i++)
		packet[i] = (unsigned char)(i * 7);
	memcpy(packet + 12, (unsigned char[]){8, 0, 0x45, 0, 1, 0, 0, 1, 0, 0, 64, 17}, 12);
	skep_bpf_use(l->k);
	start = now();
	if (bpf_prog_test_run_opts(bpf_program__fd(p), &o))
		return -1;
	return (now() - start) / repeat;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void measure(const struct loaded *l, const char *name)
{
	static double time[WAYS][MOST_ROUNDS], ratio[MOST_ROUNDS];
	double one = run(&l[0], name, 1000), base;
	int repeat = (int)(2e6 / (one + 1)) + 100;

	if (one < 0)
		return;
	for (unsigned r = 0; r < rounds; r++)
		for (unsigned w = 0; w < WAYS; w++)
			time[w][r] = run(&l[w], name, repeat);
	n_programs++;
	printf("%-20s", name);
	for (unsigned w = 0; w < WAYS; w++) {
		for (unsigned r = 0; r < rounds; r++)
			ratio[r] = w ? time[w][r] / time[0][r] : time[0][r];
		qsort(ratio, rounds, sizeof(double), by_value);
		qsort(time[w], rounds, sizeof(double), by_value);
		base = w ? time[w][0] / time[0][0] : time[w][0];
		if (w)
			logs[w] += log(base);
		printf(w ? " %16.2f" : " %13.0f ns", base);
	}
	printf("\n");
	fflush(stdout);
}

static void object(const char *path)
{
	struct loaded l[WAYS];
	struct bpf_program *p;
	bool whole = true;

	for (unsigned w = 0; w < WAYS; w++) {
		l[w] = (struct loaded){0};
		if (skep_open(&l[w].k, &ways[w].opts))
			exit(1);
		skep_bpf_use(l[w].k);
		l[w].obj = bpf_object__open(path);
		whole &= l[w].obj && !bpf_object__load(l[w].obj);
	}
	if (!whole)
		fprintf(stderr, "bench: %s cannot be loaded\n", path);
	for (p = whole ? bpf_object__next_program(l[0].obj, NULL) : NULL; p; p = bpf_object__next_program(l[0].obj, p))
		measure(l, bpf_program__name(p));
	for (unsigned w = 0; w < WAYS; w++) {
		bpf_object__close(l[w].obj);
		skep_bpf_use(NULL);
		skep_close(l[w].k);
	}
}

int main(int argc, char **argv)
{
	int first = 1;

	if (argc > 2 && !strcmp(argv[1], "--rounds")) {
		rounds = (unsigned)atoi(argv[2]);
		rounds = rounds < 1 ? 1 : rounds > MOST_ROUNDS ? MOST_ROUNDS : rounds;
		first = 3;
	}
	if (first >= argc)
		return fprintf(stderr, "usage: %s [--rounds N] OBJECT...\n", argv[0]), 2;
	libbpf_set_print(quiet);
	printf("%-20s", "");
	for (unsigned w = 0; w < WAYS; w++)
		printf(" %16s", ways[w].name);
	printf("\n");
	for (int i = first; i < argc; i++)
		object(argv[i]);
	if (!n_programs)
		return 1;
	printf("%-20s %16u", "geometric mean of", n_programs);
	for (unsigned w = 1; w < WAYS; w++)
		printf(" %16.3f", exp(logs[w] / n_programs));
	printf("\n");
	return 0;
}
