/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects of programs (objects.bpf.c): what the programs return, in every setting of the engine, and from the same source on the running kernel (ON_KERNEL). On the engine also that nothing
 * stays: more is made, over the runs, than the heap has room for.
 */
#include "../test.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <unistd.h>

#ifndef ON_KERNEL
#include "client/skep-bpf.h"
#include "skep/skep.h"

#include <pthread.h>
#endif

static const char *object;

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level == LIBBPF_WARN && getenv("VERBOSE"))
		vfprintf(stderr, fmt, ap);
	return 0;
}

/* The object with these programs; NULL and *err: not loaded. */
static struct bpf_object *load(const char *const *names, unsigned n, int *err)
{
	struct bpf_object *obj = bpf_object__open(object);
	struct bpf_program *p;

	*err = -errno;
	if (!obj)
		return NULL;
	bpf_object__for_each_program(p, obj) {
		bool wanted = false;

		for (unsigned i = 0; i < n; i++)
			wanted |= !strcmp(bpf_program__name(p), names[i]);
		bpf_program__set_autoload(p, wanted);
	}
	*err = bpf_object__load(obj);
	if (!*err)
		return obj;
	bpf_object__close(obj);
	return NULL;
}

static int run(struct bpf_object *obj, const char *name, int repeat, unsigned *result)
{
	static const unsigned char packet[64];
	struct bpf_program *p = bpf_object__find_program_by_name(obj, name);
	LIBBPF_OPTS(bpf_test_run_opts, with, .data_in = packet, .data_size_in = sizeof(packet), .repeat = repeat);
	LIBBPF_OPTS(bpf_test_run_opts, bare);
	struct bpf_test_run_opts *t = bpf_program__type(p) == BPF_PROG_TYPE_SYSCALL ? &bare : &with;
	int err = bpf_prog_test_run_opts(bpf_program__fd(p), t);

	*result = t->retval;
	return err ? -errno : 0;
}

static const struct {
	const char *name;
	unsigned result;
} programs[] = {
	{"list_order", 753186 * 1000 + 240},
	{"list_peeks", 57765},
	{"list_left", 0},
	{"tree_order", 200},
	{"tree_shape", 899677948},
	{"count_in_both", 142340321},
	{"count_twice", (unsigned)-22},
	{"kptr_array", 12009},
	{"kptr_hash", 40},
	{"kptr_cpu", 34},
	{"kptr_churn", 0},
	{"kptr_read", 46},
	{"nested", 0},
	{"per_cpu", 51},
	{"cpu_sets", 0xfffddf},
	{"bit_sums", 706514823},
	{"bit_refusals", 220722},
	{"string_all", 459060143},
	{"string_long", 708070528},
	{"cast_read", 344550},
	{"format_all", 2430655550},
};

static void all(const char *setting)
{
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		int err = 0;
		struct bpf_object *obj = load(&programs[i].name, 1, &err);

		if (!obj) {
#ifdef ON_KERNEL
			printf("# %s: not loaded: %d\n", programs[i].name, err);
#else
			test_fail(__FILE__, __LINE__, "%s: %s: not loaded: %d", setting, programs[i].name, err);
#endif
			continue;
		}
		for (int k = 0; k < 3; k++) {
			unsigned got = 0;

			err = run(obj, programs[i].name, 1, &got);
			if (err || got != programs[i].result)
				test_fail(__FILE__, __LINE__, "%s: %s: %d, returns %u (0x%x), expected %u", setting, programs[i].name, err, got, got, programs[i].result);
		}
		bpf_object__close(obj);
	}
}

#ifdef ON_KERNEL
TEST(programs_on_the_kernel)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "probe", 4, 4, 1, NULL);

	if (fd < 0)
		SKIP("no bpf(2)");
	close(fd);
	all("the kernel");
}

int main(int argc, char **argv)
{
	object = argv[argc - 1];
	libbpf_set_print(quiet);
	RUN(programs_on_the_kernel);
	return test_end();
}
#else

static const struct setting {
	const char *name;
	uint32_t engine, off, test;
	uint64_t max_insns;
} settings[] = {
	{"interpreted", SKEP_ENGINE_INTERP, 0, 0, 0},
	{"compiled", SKEP_ENGINE_JIT, 0, SKEP_COMPILE_CHECK, 0},
	{"without any pass", SKEP_ENGINE_JIT, UINT32_MAX, 0, 0},
	{"all in memory", SKEP_ENGINE_JIT, 0, SKEP_COMPILE_FEW_REGISTERS, 0},
	{"poisoned", SKEP_ENGINE_JIT, 0, SKEP_COMPILE_POISON | SKEP_COMPILE_BASELINE, 0},
	{"counting", SKEP_ENGINE_JIT, 0, SKEP_COMPILE_CHECK, 100000000},
};

static struct skep *engine(const struct setting *s)
{
	struct skep_options o = {.size = sizeof(o), .engine = s->engine, .compile_off = s->off, .compile_test = s->test, .max_insns = s->max_insns};
	struct skep *k;

	if (skep_open(&k, &o))
		return NULL;
	skep_bpf_use(k);
	return k;
}

static void leave(struct skep *k)
{
	skep_bpf_use(NULL);
	skep_close(k);
}

TEST(programs_in_every_setting)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		struct skep *k = engine(&settings[i]);

		REQUIRE(k);
		all(settings[i].name);
		leave(k);
	}
}

/* What maps hold goes with elements, with the objects that hold it, and with the maps. */
TEST(nothing_stays)
{
	static const struct {
		const char *name;
		int loads, repeat;
	} rows[] = {{"kptr_churn", 1, 12000}, {"list_left", 6, 50}, {"nested", 1, 8000}, {"count_in_both", 1, 1000}, {"per_cpu", 1, 2000}, {"cpu_sets", 40, 0}, {"bit_sums", 1, 2000}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct skep *k = engine(&settings[1]); /* whose heap keeps what one size had for that size */

		REQUIRE(k);
		for (int n = 0; n < rows[i].loads; n++) {
			int err;
			struct bpf_object *obj = load(&rows[i].name, 1, &err);
			unsigned got = 0, expected = 0;

			REQUIRE(obj);
			for (size_t p = 0; p < sizeof(programs) / sizeof(programs[0]); p++)
				if (!strcmp(programs[p].name, rows[i].name))
					expected = programs[p].result;
			err = run(obj, rows[i].name, rows[i].repeat, &got);
			if (err || (got != expected && strcmp(rows[i].name, "per_cpu")))
				test_fail(__FILE__, __LINE__, "%s, time %d: %d, returns %u, expected %u", rows[i].name, n, err, got, expected);
			bpf_object__close(obj);
		}
		leave(k);
	}
}

/* A run that is ended early gives back what it has. */
TEST(ended_early)
{
	static const char *const names[] = {"held_long", "list_left"};

	for (int interpreted = 0; interpreted < 2; interpreted++) {
		struct setting s = settings[interpreted ? 0 : 1];
		struct skep *k;
		struct bpf_object *obj;
		unsigned got;
		int err;

		s.max_insns = 20000;
		k = engine(&s);
		REQUIRE(k);
		obj = load(names, 2, &err);
		REQUIRE(obj);
		for (int i = 0; i < 9000; i++) {
			err = run(obj, "held_long", 1, &got);
			if (err != -EFAULT)
				test_fail(__FILE__, __LINE__, "%s, run %d: %d, expected it to be ended", s.name, i, err);
			if (err != -EFAULT)
				break;
		}
		err = run(obj, "list_left", 1, &got);
		if (err || got)
			test_fail(__FILE__, __LINE__, "%s: afterwards: %d, returns %d", s.name, err, (int)got);
		bpf_object__close(obj);
		leave(k);
	}
}

static const char *const shared_names[] = {"list_order", "tree_order", "count_in_both", "kptr_churn", "kptr_read", "nested", "per_cpu"};
enum { SHARED = sizeof(shared_names) / sizeof(shared_names[0]), THREADS = 4 };
static struct bpf_object *shared;

static void *many_runs(void *which)
{
	unsigned got;

	for (unsigned i = 0; i < 400; i++) {
		int err = run(shared, shared_names[(i + (unsigned)(uintptr_t)which * 2) % SHARED], 1, &got);

		if (err)
			return (void *)(intptr_t)err;
	}
	return NULL;
}

/* The same lists, trees and kptrs from several threads; clients meanwhile end elements. */
TEST(many_threads)
{
	for (int interpreted = 0; interpreted < 2; interpreted++) {
		struct skep *k = engine(&settings[interpreted ? 0 : 1]);
		pthread_t t[THREADS];
		int err, fd;

		REQUIRE(k);
		shared = load(shared_names, SHARED, &err);
		REQUIRE(shared);
		fd = bpf_map__fd(bpf_object__find_map_by_name(shared, "holders"));
		for (uintptr_t i = 0; i < THREADS; i++)
			REQUIRE(!pthread_create(&t[i], NULL, many_runs, (void *)i));
		for (unsigned i = 0; i < 2000; i++) {
			unsigned key = i & 3;
			unsigned long long value[2] = {0x4141414141414141, i};

			CHECK(!bpf_map_update_elem(fd, &key, value, 0));
			CHECK(!bpf_map_lookup_elem(fd, &key, value) && value[0] == 0);
		}
		for (unsigned i = 0; i < THREADS; i++) {
			void *result;

			pthread_join(t[i], &result);
			if (result)
				test_fail(__FILE__, __LINE__, "a run fails: %d", (int)(intptr_t)result);
		}
		bpf_object__close(shared);
		leave(k);
	}
}

/* What clients write never becomes an address, and no other process gets such a map. */
TEST(clients_bytes)
{
	static const char *const names[] = {"kptr_cpu", "kptr_array"};
	unsigned long long values[1024][2];
	struct skep *k = engine(&settings[1]);
	struct bpf_object *obj;
	unsigned key = 0, got;
	int err, fd, cpus = libbpf_num_possible_cpus();

	REQUIRE(k && cpus > 0 && cpus <= 1024);
	obj = load(names, 2, &err);
	REQUIRE(obj);
	fd = bpf_map__fd(bpf_object__find_map_by_name(obj, "of_cpus"));
	memset(values, 0x41, sizeof(values));
	CHECK(!bpf_map_update_elem(fd, &key, values, 0));
	CHECK(!run(obj, "kptr_cpu", 1, &got) && got == 34);
	CHECK(!bpf_map_lookup_elem(fd, &key, values));
	for (int i = 0; i < cpus; i++)
		CHECK(!values[i][0] && values[i][1] == 0x4141414141414141);
	fd = bpf_map__fd(bpf_object__find_map_by_name(obj, "holders"));
	CHECK(bpf_obj_pin(fd, "skep-objects-pin") && errno == EOPNOTSUPP);
	CHECK(access("skep-objects-pin", F_OK));
	bpf_object__close(obj);
	leave(k);
}

int main(int argc, char **argv)
{
	object = argv[argc - 1];
	libbpf_set_print(quiet);
	RUN(clients_bytes);
	RUN_ONE_THREAD(programs_in_every_setting);
	RUN_ONE_THREAD(nothing_stays);
	RUN_ONE_THREAD(ended_early);
	RUN(many_threads);
	return test_end();
}
#endif
