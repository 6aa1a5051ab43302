/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a choice costs compiled programs: each program of the objects is loaded by libbpf into engines that differ in one option, verified, and run by turns
 * in all of them. Time relative to the first engine, the least of each over the rounds, and the geometric mean of all programs.
 *
 *     bench-ways [--passes | --pass NAME] [--rounds N] OBJECT...
 *
 * --passes: each pass of the optimizer left out in turn, or only that one; how much longer programs take then, and what becomes of the size of their code.
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
enum pass {
#define PASS(name, doc) PASS_##name,
#include "opt/passes.def"
	PASSES
};

static struct way {
	const char *name;
	struct skep_options opts;
} ways[PASSES + WAYS] = {
	{"plain", {.size = sizeof(struct skep_options), .engine = SKEP_ENGINE_JIT}},
	{"the same again", {.size = sizeof(struct skep_options), .engine = SKEP_ENGINE_JIT}}, /* how far noise goes */
	{"budget and stop", {.size = sizeof(struct skep_options), .engine = SKEP_ENGINE_JIT, .max_insns = 1ull << 50}},
	{"without facts", {.size = sizeof(struct skep_options), .engine = SKEP_ENGINE_JIT, .compile_test = SKEP_COMPILE_NO_FACTS}},
};

struct loaded {
	struct skep *k;
	struct bpf_object *obj;
};

static double logs[PASSES + WAYS], bytes[PASSES + WAYS];
static unsigned n_ways = WAYS, n_programs, rounds = 9;

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

static double code_size(const struct loaded *l, const char *name)
{
	struct bpf_prog_info info = {0};
	unsigned len = sizeof(info);

	skep_bpf_use(l->k);
	return bpf_obj_get_info_by_fd(bpf_program__fd(bpf_object__find_program_by_name(l->obj, name)), &info, &len) ? 0 : info.jited_prog_len;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void measure(const struct loaded *l, const char *name)
{
	static double time[PASSES + WAYS][MOST_ROUNDS];
	double one = run(&l[0], name, 1000), base;
	int repeat = (int)(2e6 / (one + 1)) + 100;

	if (one < 0)
		return;
	for (unsigned r = 0; r < rounds; r++)
		for (unsigned w = 0; w < n_ways; w++)
			time[w][r] = run(&l[w], name, repeat);
	n_programs++;
	for (unsigned w = 0; w < n_ways; w++)
		bytes[w] += code_size(&l[w], name);
	printf("%-20s", name);
	for (unsigned w = 0; w < n_ways; w++) {
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
	struct loaded l[PASSES + WAYS];
	struct bpf_program *p;
	bool whole = true;

	for (unsigned w = 0; w < n_ways; w++) {
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
	for (unsigned w = 0; w < n_ways; w++) {
		bpf_object__close(l[w].obj);
		skep_bpf_use(NULL);
		skep_close(l[w].k);
	}
}

/* Instead of the other ways, one for each pass: without it. */
static void leave_out(const char *only)
{
	static const char *const names[] = {
#define PASS(name, doc) "no " #name,
#include "opt/passes.def"
	};

	n_ways = 2;
	for (unsigned i = 0; i < PASSES; i++)
		if (only ? !strcmp(names[i] + 3, only) : i != PASS_polls) /* which does nothing without a budget */
			ways[n_ways++] = (struct way){names[i], {.size = sizeof(struct skep_options), .engine = SKEP_ENGINE_JIT, .compile_off = 1u << i}};
}

int main(int argc, char **argv)
{
	int first = 1;

	if (argc > 1 && !strcmp(argv[1], "--passes")) {
		leave_out(NULL);
		first++;
	} else if (argc > 2 && !strcmp(argv[1], "--pass")) {
		leave_out(argv[2]);
		first += 2;
	}
	if (argc > first + 1 && !strcmp(argv[first], "--rounds")) {
		rounds = (unsigned)atoi(argv[first + 1]);
		rounds = rounds < 1 ? 1 : rounds > MOST_ROUNDS ? MOST_ROUNDS : rounds;
		first += 2;
	}
	if (first >= argc)
		return fprintf(stderr, "usage: %s [--passes | --pass NAME] [--rounds N] OBJECT...\n",
			       argv[0]),
		       2;
	libbpf_set_print(quiet);
	printf("%-20s", "");
	for (unsigned w = 0; w < n_ways; w++)
		printf(" %16s", ways[w].name);
	printf("\n");
	for (int i = first; i < argc; i++)
		object(argv[i]);
	if (!n_programs)
		return 1;
	printf("%-20s %16u", "geometric mean of", n_programs);
	for (unsigned w = 1; w < n_ways; w++)
		printf(" %16.3f", exp(logs[w] / n_programs));
	printf("\n%-20s %16.0f", "bytes of code", bytes[0]);
	for (unsigned w = 1; w < n_ways; w++)
		printf(" %16.3f", bytes[w] / bytes[0]);
	printf("\n");
	return 0;
}
