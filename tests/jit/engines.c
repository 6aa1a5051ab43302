/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole objects on two engines: t-jit-engines OBJECT...: every program is loaded by libbpf, verified, and run with PROG_TEST_RUN in the interpreter
 * and as machine code; results, packets and the contents of maps must agree. Programs whose name begins with one_ return 1.
 */
#include "client/skep-bpf.h"
#include "skep/skep.h"
#include "../test.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

enum { PACKET = 1100, MOST = 64, DUMP = 1 << 20, RUNS = 3 };

struct record {
	char name[64];
	int err[RUNS];
	unsigned retval[RUNS];
	unsigned char packet[RUNS][PACKET];
	size_t dump_size;
	unsigned char *dump;
	unsigned bytes; /* of machine code */
};

static char **objects;
static int n_objects;

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level == LIBBPF_WARN && getenv("VERBOSE"))
		vfprintf(stderr, fmt, ap);
	return 0;
}

/* Their values are the engine's objects, or go when they are read. */
static bool no_values(unsigned type)
{
	switch (type) {
	case BPF_MAP_TYPE_RINGBUF:
	case BPF_MAP_TYPE_PROG_ARRAY:
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
	case BPF_MAP_TYPE_QUEUE: return true;
	default: return false;
	}
}

static void fill(struct bpf_object *obj)
{
	struct bpf_map *m;

	bpf_object__for_each_map(m, obj)
	{
		unsigned type = bpf_map__type(m);
		unsigned char value[65536];
		size_t size;

		if (no_values(type) || strstr(bpf_map__name(m), ".rodata") || bpf_map__value_size(m) > sizeof(value))
			continue;
		for (unsigned i = 0; i < bpf_map__max_entries(m) && i < 512; i++) {
			unsigned long long key[8] = {i, 1, 2, 3, 4};

			for (size_t k = 0; k < sizeof(value); k++)
				value[k] = (unsigned char)(k * 13 + i * 7 + (k >> 8));
			bpf_map_update_elem(bpf_map__fd(m), key, value, BPF_ANY);
		}
		(void)bpf_map__initial_value(m, &size);
	}
}

static void add(struct record *r, const void *p, size_t n)
{
	if (r->dump_size + n > DUMP)
		return;
	memcpy(r->dump + r->dump_size, p, n);
	r->dump_size += n;
}

static void dump(struct bpf_object *obj, struct record *r)
{
	struct bpf_map *m;

	bpf_object__for_each_map(m, obj)
	{
		unsigned type = bpf_map__type(m);
		unsigned char value[65536];

		if (no_values(type) || type == BPF_MAP_TYPE_PERCPU_ARRAY || bpf_map__value_size(m) > sizeof(value))
			continue;
		for (unsigned i = 0; i < bpf_map__max_entries(m) && i < 6000; i++) {
			unsigned long long key[8] = {i, 1, 2, 3, 4};

			if (!bpf_map_lookup_elem(bpf_map__fd(m), key, value))
				add(r, value, bpf_map__value_size(m));
		}
	}
}

static void run_one(const char *path, unsigned engine, struct record *r)
{
	struct skep_options opts = {.size = sizeof(opts), .engine = engine};
	struct bpf_program *p, *mine = NULL;
	unsigned char packet[PACKET];
	struct bpf_object *obj;
	struct skep *k;

	REQUIRE(skep_open(&k, &opts) == 0);
	skep_bpf_use(k);
	obj = bpf_object__open(path);
	REQUIRE(obj);
	bpf_object__for_each_program(p, obj) {
		/* those that others go on in are always there */
		bpf_program__set_autoload(p, !strcmp(bpf_program__name(p), r->name) || !strncmp(bpf_program__name(p), "tail_", 5));
		if (!strcmp(bpf_program__name(p), r->name))
			mine = p;
	}
	for (int i = 0; i < RUNS; i++)
		r->err[i] = -1;
	if (!bpf_object__load(obj)) {
		struct skep_code code = {.size = sizeof(code)};

		fill(obj);
		skep_prog_code(k, bpf_program__fd(mine), &code);
		r->bytes = code.bytes;
		for (int i = 0; i < RUNS; i++) {
			LIBBPF_OPTS(bpf_test_run_opts, t, .data_in = packet, .data_size_in = PACKET, .data_out = r->packet[i], .data_size_out = PACKET);

			for (int b = 0; b < PACKET; b++)
				packet[b] = (unsigned char)(b * 7 + i);
			memcpy(packet + 12, (unsigned char[]){8, 0, 0x45, 0, 1, 0, 0, 1, 0, 0, 64, 17}, 12);
			r->err[i] = bpf_prog_test_run_opts(bpf_program__fd(mine), &t);
			r->retval[i] = t.retval;
		}
		dump(obj, r);
	}
	bpf_object__close(obj);
	skep_bpf_use(NULL);
	skep_close(k);
}

static void compare(const char *path, const char *name)
{
	static struct record a, b;

	free(a.dump);
	free(b.dump);
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	a.dump = malloc(DUMP);
	b.dump = malloc(DUMP);
	snprintf(a.name, sizeof(a.name), "%.63s", name);
	snprintf(b.name, sizeof(b.name), "%.63s", name);
	if (getenv("VERBOSE"))
		fprintf(stderr, "%s\n", name);
	run_one(path, SKEP_ENGINE_INTERP, &a);
	run_one(path, SKEP_ENGINE_AUTO, &b);
	if (a.err[0] == -1 && b.err[0] == -1) {
		printf("# %s: not loaded\n", name);
		return;
	}
	if (!b.bytes)
		test_fail(__FILE__, __LINE__, "%s: is not compiled", name);
	for (int i = 0; i < RUNS; i++)
		if (a.err[i] != b.err[i] || a.retval[i] != b.retval[i] || memcmp(a.packet[i], b.packet[i], PACKET))
			test_fail(__FILE__, __LINE__, "%s, run %d: interpreter %d, %u; compiled %d, %u%s", name, i, a.err[i], a.retval[i], b.err[i],
				  b.retval[i], memcmp(a.packet[i], b.packet[i], PACKET) ? "; packets differ" : "");
	if (!strncmp(name, "one_", 4) && (a.err[0] || a.retval[0] != 1))
		test_fail(__FILE__, __LINE__, "%s: error %d, returns %u, expected 1", name, a.err[0], a.retval[0]);
	if (getenv("VERBOSE"))
		printf("# %s: %d, returns %u %u %u\n", name, a.err[0], a.retval[0], a.retval[1], a.retval[2]);
	if (a.dump_size != b.dump_size || memcmp(a.dump, b.dump, a.dump_size))
		test_fail(__FILE__, __LINE__, "%s: maps differ", name);
}

TEST(objects_on_both_engines)
{
	libbpf_set_print(quiet);
	for (int i = 0; i < n_objects; i++) {
		char names[MOST][64];
		struct bpf_program *p;
		struct bpf_object *obj = bpf_object__open(objects[i]);
		int n = 0;

		if (!obj)
			SKIP("no objects: clang for BPF is missing");
		bpf_object__for_each_program(p, obj)
			if (n < MOST)
				snprintf(names[n++], sizeof(names[0]), "%s", bpf_program__name(p));
		bpf_object__close(obj);
		for (int k = 0; k < n; k++)
			compare(objects[i], names[k]);
	}
}

int main(int argc, char **argv)
{
	objects = argv + 1;
	n_objects = argc - 1;
	RUN(objects_on_both_engines);
	return test_end();
}
