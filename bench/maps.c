/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Map operations beside the running kernel's, as ratios from one run.
 *
 * The kernel's side is a program that does an operation 64 times in a bounded loop, run by
 * BPF_PROG_TEST_RUN; the same program without the operation is subtracted. Our side is the map's own operation, called from a loop
 * in C under one run slot (what compiled programs call), with the same loop empty subtracted; or, where compiled programs have the operation's
 * instructions in place of a call, the kernel's two programs, run by an engine, with eight in a row. Neither loop divides: what waits for a division is free. Rounds are
 * interleaved; medians are compared.
 */
#include "isa/isa.h"
#include "map/map.h"
#include "skep/skep.h"

#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 21, LOOPS = 4096, REPEAT = 64, UNROLL = 8 };

struct bench {
	const char *name;
	u32 kind, key_size, value_size, entries, flags;
	u32 present; /* keys put in before: 0 or a power of 2 */
	const char *op; /* of the kernel's program: text with R2, R3 set up, r9 = key number */
	u64 (*run)(struct map *m, const struct hold *h, u32 i); /* ours; NULL: the programs */
	bool random; /* keys in random order */
	double bar; /* 0: none */
};

static struct window window;
static struct domain *domain;
static struct skep *engine;
static bool json, kernel;

static u64 now(void)
{
	return os_clock_ns(CLOCK_THREAD_CPUTIME_ID); /* as the kernel's own timer, which stops while others run */
}

typedef long bpf_fn(int cmd, union bpf_attr *attr);

static long bpf_kernel(int cmd, union bpf_attr *attr)
{
	return syscall(__NR_bpf, cmd, attr, sizeof(*attr));
}

static long bpf_ours(int cmd, union bpf_attr *attr)
{
	return skep_bpf(engine, cmd, attr, sizeof(*attr));
}

/* ---- ours ---- */

static u64 value[16], our_key[8]; /* the key is set by the loop, which is subtracted: as the kernel's is */

static u64 our_lookup(struct map *m, const struct hold *h, u32 i)
{
	u64 *v = (m->lookup_sized ? m->lookup_sized : m->ops->lookup)(m, h, our_key);

	(void)i;
	return v ? *v : 0;
}

static u64 our_update(struct map *m, const struct hold *h, u32 i)
{
	(void)i;
	return (u64)m->ops->update(m, h, our_key, value, BPF_ANY);
}

static u64 our_insert_delete(struct map *m, const struct hold *h, u32 i)
{
	(void)i;
	return (u64)(m->ops->update(m, h, our_key, value, BPF_ANY) + m->ops->remove(m, h, our_key));
}

static u64 our_push_pop(struct map *m, const struct hold *h, u32 i)
{
	(void)i;
	return (u64)(m->ops->push(m, h, value, 0) + m->ops->pop(m, h, value + 8));
}

static u64 our_output(struct map *m, const struct hold *h, u32 i)
{
	u64 *consumer = (u64 *)m->client.base, *producer = (u64 *)(m->client.base + 4096);

	if (i % 64 == 0) /* a reader that keeps up */
		__atomic_store_n(consumer, __atomic_load_n(producer, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
	return (u64)m->ops->output(m, h, value, 64, BPF_RB_NO_WAKEUP);
}

static u64 our_lpm(struct map *m, const struct hold *h, u32 i)
{
	u32 prefix[2] = {32, i * 2654435761u};
	u64 *v = m->ops->lookup(m, h, prefix);

	return v ? *v : 0;
}

static const struct bench benches[] = {
	{"array lookup", BPF_MAP_TYPE_ARRAY, 4, 8, 1024, 0, 1024, "lookup", NULL, false, 1.0},
	{"hash lookup, hit", BPF_MAP_TYPE_HASH, 4, 8, 1024, 0, 512, "lookup", our_lookup, false, 0.6},
	{"hash lookup, 40-byte key", BPF_MAP_TYPE_HASH, 40, 8, 1024, 0, 512, "lookup", our_lookup, false, 0.6},
	{"hash lookup, 64k random keys", BPF_MAP_TYPE_HASH, 4, 8, 65536, 0, 65536, "lookup", our_lookup, true, 0.6},
	{"hash update, existing key", BPF_MAP_TYPE_HASH, 4, 8, 1024, 0, 512, "update", our_update, false, 0.45},
	{"hash update, 64-byte value", BPF_MAP_TYPE_HASH, 4, 64, 1024, 0, 512, "update", our_update, false, 0.45},
	{"hash update, 40-byte key", BPF_MAP_TYPE_HASH, 40, 8, 1024, 0, 512, "update", our_update, false, 0.45},
	{"hash update, 64k random keys", BPF_MAP_TYPE_HASH, 4, 8, 65536, 0, 65536, "update", our_update, true, 0.45},
	{"hash insert + delete", BPF_MAP_TYPE_HASH, 4, 8, 1024, 0, 0, "insdel", our_insert_delete, false, 0},
	{"per-CPU hash lookup", BPF_MAP_TYPE_PERCPU_HASH, 4, 8, 1024, 0, 512, "lookup", our_lookup, false, 0},
	{"per-CPU hash update", BPF_MAP_TYPE_PERCPU_HASH, 4, 8, 1024, 0, 512, "update", our_update, false, 0},
	{"LRU lookup", BPF_MAP_TYPE_LRU_HASH, 4, 8, 1024, 0, 512, "lookup", our_lookup, false, 0},
	{"LRU update, existing key", BPF_MAP_TYPE_LRU_HASH, 4, 8, 1024, 0, 512, "update", our_update, false, 0},
	{"LRU update, eviction", BPF_MAP_TYPE_LRU_HASH, 4, 8, 256, 0, 256, "update", our_update, false, 0},
	{"LPM trie lookup", BPF_MAP_TYPE_LPM_TRIE, 8, 8, 1024, BPF_F_NO_PREALLOC, 512, "lpm", our_lpm, false, 0},
	{"queue push + pop", BPF_MAP_TYPE_QUEUE, 0, 8, 1024, 0, 0, "pushpop", our_push_pop, false, 0},
	{"ring output, 64 bytes", BPF_MAP_TYPE_RINGBUF, 0, 0, 65536, 0, 0, "output", our_output, false, 0},
};

static u32 key_number(const struct bench *b, u32 i)
{
	u32 n = b->present ? b->present : 512;

	if (b->kind == BPF_MAP_TYPE_LRU_HASH && b->entries == b->present)
		return i; /* always a new one */
	return b->random ? (u32)((u64)(u32)(i * 2654435761u) * n >> 32) : i & (n - 1);
}

static void fill_ours(struct map *m, const struct bench *b)
{
	struct hold h;

	hold_take(domain, &h);
	for (u32 i = 0; i < b->present; i++) {
		u64 number[8] = {i};
		u32 prefix[2] = {16 + i % 17, i * 2654435761u};

		m->ops->update(m, &h, b->kind == BPF_MAP_TYPE_LPM_TRIE ? (void *)prefix : (void *)number, value, BPF_ANY);
	}
	hold_drop(&h);
}

static u64 empty(struct map *m, const struct hold *h, u32 i)
{
	(void)m, (void)h;
	__asm__ volatile("" ::"r"(i));
	return 0;
}

static double time_ours(struct map *m, const struct bench *b, u64 (*fn)(struct map *, const struct hold *, u32))
{
	static u32 next;
	u64 start, sum = 0, first = strcmp(b->op, "insdel") ? 0 : 100000;
	struct hold h;

	hold_take(domain, &h);
	start = now();
	for (u32 i = 0; i < LOOPS * 16; i++) {
		u32 number = key_number(b, next++);

		our_key[0] = number + first;
		__asm__ volatile("" ::: "memory");
		sum += fn(m, &h, number);
	}
	start = now() - start;
	hold_drop(&h);
	__asm__ volatile("" ::"r"(sum));
	return (double)start / (LOOPS * 16);
}

/* ---- the kernel's ---- */

struct programs {
	bpf_fn *bpf;
	int map, with, without;
};

/* r6: key counter, kept in the first value of an array so that it goes on from run to run; r7: iterations left */
static int load_program(const struct bench *b, bpf_fn *bpf, int map, int counter, bool with)
{
	char text[8192], set[512] = "", op[1024] = "", body[4096] = "";
	struct arena a;
	struct asm_error err;
	struct raw_insn *raw;
	u32 n, present = b->present ? b->present : 512, turns = b->run ? 1 : UNROLL;
	int fd = -1;
	bool fresh = b->kind == BPF_MAP_TYPE_LRU_HASH && b->entries == b->present;

	snprintf(set, sizeof(set),
		 b->random ? "r1 = r6\nw1 *= 0x9e3779b1\nr1 *= %u\nr1 >>= 32\n" : fresh ? "r1 = r6\n" : "r1 = r6\nr1 &= %u\n", b->random ? present : present - 1);
	if (!strcmp(b->op, "insdel"))
		strcat(set, "r1 += 100000\n");
	if (!strcmp(b->op, "lpm"))
		strcat(set, "w1 = w6\nw1 *= 0x9e3779b1\n*(u32 *)(r10 -60) = r1\nr1 = 32\n*(u32 *)(r10 -64) = r1\n");
	else
		strcat(set, "*(u64 *)(r10 -64) = r1\n");
	if (!with)
		;
	else if (!strcmp(b->op, "lookup") || !strcmp(b->op, "lpm"))
		snprintf(op, sizeof(op), "r1 = map[fd:%d]\nr2 = r10\nr2 += -64\ncall 1\nif r0 == 0 goto +1\nr0 = *(u64 *)(r0 +0)\n", map);
	else if (!strcmp(b->op, "update"))
		snprintf(op, sizeof(op), "r1 = map[fd:%d]\nr2 = r10\nr2 += -64\nr3 = r10\nr3 += -128\nr4 = 0\ncall 2\n", map);
	else if (!strcmp(b->op, "insdel"))
		snprintf(op, sizeof(op), "r1 = map[fd:%d]\nr2 = r10\nr2 += -64\nr3 = r10\nr3 += -128\nr4 = 0\ncall 2\nr1 = map[fd:%d]\nr2 = r10\nr2 += -64\ncall 3\n", map, map);
	else if (!strcmp(b->op, "pushpop"))
		snprintf(op, sizeof(op), "r1 = map[fd:%d]\nr2 = r10\nr2 += -128\nr3 = 0\ncall 87\nr1 = map[fd:%d]\nr2 = r10\nr2 += -128\ncall 88\n", map, map);
	else
		snprintf(op, sizeof(op), "r1 = map[fd:%d]\nr2 = r10\nr2 += -128\nr3 = 64\nr4 = 1\ncall 130\n", map);
	for (u32 i = 0, at = 0; i < turns; i++)
		at += (u32)snprintf(body + at, sizeof(body) - at, "%s%sr6 += 1\n", set, op);
	n = (u32)snprintf(text, sizeof(text),
			  "r1 = 0\n*(u64 *)(r10 -128) = r1\n*(u64 *)(r10 -120) = r1\n*(u64 *)(r10 -112) = r1\n*(u64 *)(r10 -104) = r1\n"
			  "*(u64 *)(r10 -96) = r1\n*(u64 *)(r10 -88) = r1\n*(u64 *)(r10 -80) = r1\n*(u64 *)(r10 -72) = r1\n"
			  "*(u64 *)(r10 -56) = r1\n*(u64 *)(r10 -48) = r1\n*(u64 *)(r10 -40) = r1\n*(u64 *)(r10 -32) = r1\n*(u64 *)(r10 -24) = r1\n"
			  "*(u32 *)(r10 -132) = r1\nr1 = map[fd:%d]\nr2 = r10\nr2 += -132\ncall 1\nif r0 == 0 goto out\nr8 = r0\nr6 = *(u64 *)(r8 +0)\nr7 = 0\n"
			  "again:\n%sr7 += 1\nif r7 < %u goto again\n*(u64 *)(r8 +0) = r6\nout: r0 = 0\nexit\n",
			  counter, body, REPEAT / turns);
	arena_open(&a, &mem_libc);
	if (asm_parse(&a, text, n, &raw, &n, &err)) {
		fprintf(stderr, "bench: %u:%u: %s\n", err.line, err.column, err.text);
		exit(1);
	}
	{
		union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insns = (u64)(uintptr_t)raw, .insn_cnt = n,
				       .license = (u64)(uintptr_t)"GPL"};

		fd = (int)bpf(BPF_PROG_LOAD, &attr);
		if (fd < 0)
			fprintf(stderr, "bench: %s: %s refuses the loop\n", b->name, bpf == bpf_kernel ? "the kernel" : "the engine");
	}
	arena_close(&a);
	return fd;
}

static int new_map(bpf_fn *bpf, u32 kind, u32 key, u32 val, u32 entries, u32 flags)
{
	union bpf_attr attr = {.map_type = kind, .key_size = key, .value_size = val, .max_entries = entries, .map_flags = flags};

	return (int)bpf(BPF_MAP_CREATE, &attr);
}

static bool open_programs(struct programs *t, const struct bench *b)
{
	int counter = new_map(t->bpf, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);

	t->map = new_map(t->bpf, b->kind, b->key_size, b->value_size, b->entries, b->flags);
	if (t->map < 0 || counter < 0)
		return false;
	for (u32 i = 0; i < b->present; i++) {
		u64 number[8] = {i}, values[64 * 8] = {0};
		u32 prefix[2] = {16 + i % 17, i * 2654435761u};
		union bpf_attr attr = {.map_fd = (u32)t->map, .value = (u64)(uintptr_t)values,
				       .key = b->kind == BPF_MAP_TYPE_LPM_TRIE ? (u64)(uintptr_t)prefix : (u64)(uintptr_t)number};

		t->bpf(BPF_MAP_UPDATE_ELEM, &attr);
	}
	t->with = load_program(b, t->bpf, t->map, counter, true);
	t->without = load_program(b, t->bpf, t->map, counter, false);
	return t->with >= 0 && t->without >= 0;
}

static double time_program(bpf_fn *bpf, int prog)
{
	u8 data[64] = {0};
	union bpf_attr attr = {.test = {.prog_fd = (u32)prog, .data_in = (u64)(uintptr_t)data, .data_size_in = 64, .repeat = LOOPS / 4}};

	if (bpf(BPF_PROG_TEST_RUN, &attr))
		return 0;
	return (double)attr.test.duration / REPEAT;
}

/* ---- the table ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *x)
{
	qsort(x, ROUNDS, sizeof(*x), by_value);
	return x[ROUNDS / 2];
}

static void report(const char *name, double us, double them, double bar, bool have)
{
	if (json)
		printf("{\"name\": \"%s\", \"skep_ns\": %.2f, \"kernel_ns\": %.2f, \"ratio\": %.3f, \"bar\": %.2f}\n", name, us, them, have ? us / them : 0, bar);
	else if (have)
		printf("%-32s %9.2f %9.2f %8.2f  %s\n", name, us, them, us / them, bar == 0 ? "" : us / them <= bar ? "within the bar" : "ABOVE THE BAR");
	else
		printf("%-32s %9.2f         -        -\n", name, us);
}

static void time_pair(const struct programs *t, double *with, double *without)
{
	*with = time_program(t->bpf, t->with);
	*without = time_program(t->bpf, t->without);
}

static void run_bench(const struct bench *b)
{
	struct map_spec spec = {.kind = b->kind, .key_size = b->key_size, .value_size = b->value_size, .max_entries = b->entries, .flags = b->flags};
	struct map m = {.mem = &mem_libc, .window = &window, .domain = domain};
	double ours[ROUNDS], base[ROUNDS], with[ROUNDS] = {0}, without[ROUNDS] = {0};
	struct programs t = {bpf_kernel, -1, -1, -1}, mine = {bpf_ours, -1, -1, -1};
	bool have = kernel && open_programs(&t, b);

	if (b->run ? map_create(&m, &spec) : !open_programs(&mine, b)) {
		printf("%-32s could not be created\n", b->name);
		return;
	}
	if (b->run)
		fill_ours(&m, b);
	for (u32 r = 0; r < ROUNDS; r++) {
		if (b->run) {
			ours[r] = time_ours(&m, b, b->run);
			base[r] = time_ours(&m, b, empty);
		} else {
			time_pair(&mine, &ours[r], &base[r]);
		}
		if (have)
			time_pair(&t, &with[r], &without[r]);
	}
	if (b->run)
		map_close(&m);
	report(b->name, median(ours) - median(base), median(with) - median(without), b->bar, have);
	close(t.with);
	close(t.without);
	close(t.map);
}

/*
 * ---- four threads on one map: the kernel's each with a program and a counter of its own ----
 *
 * Each stays on one CPU, and all begin at once: a round in which the scheduler left all of them on one CPU, where nothing is shared, compares
 * with none in which it did not.
 */

enum { THREADS = 4, BATCH = 64, BATCHES = 10000 };

struct thread_run {
	struct map *map;
	pthread_barrier_t *begin;
	u32 id, cpu;
	bool update;
	int with, without; /* programs; -1: ours */
	double ns;
};

static void stand_ready(struct thread_run *t)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(t->cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
	pthread_barrier_wait(t->begin);
}

static void *our_thread(void *ud)
{
	struct thread_run *t = ud;
	u64 start, sum = 0;

	stand_ready(t);
	start = now();
	for (u32 i = 0; i < BATCHES; i++) {
		struct hold h;

		hold_take(domain, &h);
		for (u32 k = 0; k < BATCH; k++) {
			u64 number[1] = {(u32)(((u64)(u32)((i * BATCH + k) * 2654435761u + t->id) * 65536) >> 32)};

			sum += t->update ? (u64)t->map->ops->update(t->map, &h, number, value, BPF_ANY) : (u64)(t->map->ops->lookup(t->map, &h, number) != NULL);
		}
		hold_drop(&h);
	}
	__asm__ volatile("" ::"r"(sum));
	t->ns = (double)(now() - start) / (BATCH * BATCHES);
	return NULL;
}

static void *their_thread(void *ud)
{
	struct thread_run *t = ud;

	stand_ready(t);
	for (u32 i = 0; i < 8; i++)
		t->ns += (time_program(bpf_kernel, t->with) - time_program(bpf_kernel, t->without)) / 8;
	return NULL;
}

static double run_threads(void *(*fn)(void *), struct thread_run *t)
{
	pthread_t id[THREADS];
	double sum = 0;

	for (u32 i = 0; i < THREADS; i++) {
		t[i].ns = 0;
		pthread_create(&id[i], NULL, fn, &t[i]);
	}
	for (u32 i = 0; i < THREADS; i++) {
		pthread_join(id[i], NULL);
		sum += t[i].ns;
	}
	return sum / THREADS;
}

/* The CPU that the number-th thread stays on: of those that this process may use, in turn. */
static u32 cpu_of(u32 number)
{
	cpu_set_t all;
	u32 cpu = 0;

	CPU_ZERO(&all);
	CPU_SET(0, &all);
	sched_getaffinity(0, sizeof(all), &all);
	for (u32 left = number % (u32)CPU_COUNT(&all); !CPU_ISSET(cpu, &all) || left; cpu++)
		left -= CPU_ISSET(cpu, &all) ? 1 : 0;
	return cpu;
}

static void threads(const char *name, bool update)
{
	struct bench b = {.name = "threads", .kind = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8, .entries = 65536, .present = 65536,
			  .op = update ? "update" : "lookup", .random = true, .bar = update ? 0.45 : 0.6};
	struct map_spec spec = {.kind = b.kind, .key_size = 4, .value_size = 8, .max_entries = b.entries};
	struct map m = {.mem = &mem_libc, .window = &window, .domain = domain};
	struct thread_run t[THREADS];
	double ours[ROUNDS], theirs[ROUNDS], us, them;
	struct programs shared = {bpf_kernel, -1, -1, -1};
	bool have = kernel && open_programs(&shared, &b);
	pthread_barrier_t begin;

	pthread_barrier_init(&begin, NULL, THREADS);
	map_create(&m, &spec);
	fill_ours(&m, &b);
	for (u32 i = 0; i < THREADS; i++) {
		int counter = have ? new_map(bpf_kernel, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0) : -1;

		t[i] = (struct thread_run){&m, &begin, i, cpu_of(i), update, have ? load_program(&b, bpf_kernel, shared.map, counter, true) : -1,
					   have ? load_program(&b, bpf_kernel, shared.map, counter, false) : -1, 0};
	}
	for (u32 r = 0; r < ROUNDS; r++) {
		ours[r] = run_threads(our_thread, t);
		theirs[r] = have ? run_threads(their_thread, t) : 0;
	}
	us = median(ours);
	them = median(theirs);
	map_close(&m);
	pthread_barrier_destroy(&begin);
	report(name, us, them, b.bar, have);
}

/* Rows whose name holds one of the words; all when there are none. */
static bool wanted(const char *name, char **words, int n)
{
	bool any = n == 0;

	for (int i = 0; i < n; i++)
		any |= strstr(name, words[i]) != NULL;
	return any;
}

int main(int argc, char **argv)
{
	static const char *const threaded[] = {"hash lookup, 64k keys, 4 threads", "hash update, 64k keys, 4 threads"};
	int first = 1;
	union bpf_attr probe = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
	int fd = (int)bpf_kernel(BPF_MAP_CREATE, &probe);

	if (argc > 1 && !strcmp(argv[1], "--json")) {
		json = true;
		first++;
	}
	kernel = fd >= 0;
	if (window_open(&window, (size_t)8 << 30) || !(domain = domain_open(&mem_libc, &window)) || skep_open(&engine, NULL))
		return 1;
	if (!json) {
		printf("Map operations: ours called from C under one run slot, or compiled; the kernel's from its JIT (PROG_TEST_RUN); loops subtracted.\n%s",
		       kernel ? "" : "The kernel's bpf() does not answer: no ratios.\n");
		printf("%-32s %9s %9s %8s\n", "", "skep ns", "kernel ns", "ratio");
	}
	for (u32 i = 0; i < ARRAY_SIZE(benches); i++)
		if (wanted(benches[i].name, argv + first, argc - first))
			run_bench(&benches[i]);
	for (u32 update = 0; update < 2; update++)
		if (wanted(threaded[update], argv + first, argc - first))
			threads(threaded[update], update);
	skep_close(engine);
	domain_close(domain);
	window_close(&window);
	return 0;
}
