/* SPDX-License-Identifier: BSD-2-Clause */
/* Four threads make, use, find and drop objects of one engine; then each an engine of its own. */
#include "sys_test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

enum { THREADS = 4, ROUNDS = 150 };

static struct skep *shared;
static _Atomic int wrong;

static void expect(bool ok)
{
	if (!ok)
		wrong++;
}

static int load_counter(struct skep *k, int map)
{
	struct bpf_insn code[] = {
	    {.code = 0x62, .dst_reg = 10, .off = -4, .imm = 0}, /* *(u32 *)(r10 -4) = 0 */
	    {.code = 0x18, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
	    {0},
	    {.code = 0xbf, .dst_reg = 2, .src_reg = 10},
	    {.code = 0x07, .dst_reg = 2, .imm = -4},
	    {.code = 0x85, .imm = BPF_FUNC_map_lookup_elem},
	    {.code = 0x15, .dst_reg = 0, .off = 2, .imm = 0}, /* if r0 == 0 goto +2 */
	    {.code = 0xb7, .dst_reg = 1, .imm = 1},
	    {.code = 0xdb, .dst_reg = 0, .src_reg = 1}, /* lock *(u64 *)r0 += 1 */
	    {.code = 0xb7, .dst_reg = 0, .imm = 2},
	    {.code = 0x95},
	};

	return skep_prog_load(k,
			      &(struct skep_prog){.size = sizeof(struct skep_prog),
						  .type = BPF_PROG_TYPE_XDP,
						  .insns = code,
						  .n_insns = ARRAY_SIZE(code),
						  .license = "GPL"},
			      NULL, 0);
}

static void *work(void *arg)
{
	struct skep *k = arg;
	char data[64] = {0};
	struct skep_packet p = {.data = data, .size = sizeof(data)};
	uint32_t key = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int map = skep_map_create(k, i % 2 ? BPF_MAP_TYPE_HASH : BPF_MAP_TYPE_ARRAY, 4, 8, 4, 0),
		    prog, other;
		uint64_t value = 0;

		expect(map >= 0 && !skep_map_update(k, map, &key, &value, BPF_ANY));
		prog = load_counter(k, map);
		expect(prog >= 0);
		for (int n = 0; n < 3; n++)
			expect(!skep_run_packets(k, prog, &p, 1, NULL, NULL) && p.result == 2);
		expect(!skep_map_lookup(k, map, &key, &value) && value == 3);
		/* Somebody's map, perhaps just going: a descriptor that was given keeps it. */
		other = fd_by_id(k, BPF_MAP_GET_FD_BY_ID, (uint32_t)next_id(k, BPF_MAP_GET_NEXT_ID, 0));
		expect(other >= 0 || other == -ENOENT);
		if (other >= 0) {
			int err = skep_map_lookup(k, other, &key, &value);

			expect(!err || err == -ENOENT);
			close(other);
		}
		if (i % 3)
			close(map);
		close(prog);
		if (i % 3 == 0)
			close(map);
	}
	return NULL;
}

static void *own_engine(void *arg)
{
	struct skep *k;

	(void)arg;
	if (skep_open(&k, &(struct skep_options){.size = sizeof(struct skep_options), .window = 1 << 30})) {
		wrong++;
		return NULL;
	}
	work(k);
	skep_close(k);
	return NULL;
}

static void run_threads(void *(*fn)(void *), void *arg)
{
	pthread_t t[THREADS];

	wrong = 0;
	for (int i = 0; i < THREADS; i++)
		REQUIRE(!pthread_create(&t[i], NULL, fn, arg));
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(wrong, 0);
}

TEST(threads_share_an_engine)
{
	REQUIRE(!skep_open(&shared, NULL));
	run_threads(work, shared);
	CHECK_EQ(next_id(shared, BPF_PROG_GET_NEXT_ID, 0), -ENOENT);
	CHECK_EQ(next_id(shared, BPF_MAP_GET_NEXT_ID, 0), -ENOENT);
	skep_close(shared);
}

TEST(threads_have_engines_of_their_own)
{
	run_threads(own_engine, NULL);
}

/* Each replaces inner maps whose last reference is the outer map's: what ends in the middle of an operation
 * must not wait for the other's, which waits for this one. */
static void *replace_inner(void *arg)
{
	int outer = *(int *)arg;

	for (uint32_t i = 0; i < 20 * ROUNDS; i++) {
		int inner = skep_map_create(shared, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
		uint32_t key = i % 2;

		expect(inner >= 0 && !skep_map_update(shared, outer, &key, &inner, BPF_ANY));
		close(inner);
	}
	return NULL;
}

static int make_outer(int inner, uint32_t type)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_type = type;
	a.key_size = a.value_size = 4;
	a.max_entries = 2;
	a.inner_map_fd = (uint32_t)inner;
	return skep_bpf(shared, BPF_MAP_CREATE, &a, sizeof(a));
}

TEST(objects_that_end_within_operations_wait_for_nobody)
{
	int inner, outer;

	REQUIRE(!skep_open(&shared, NULL));
	inner = skep_map_create(shared, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
	for (uint32_t type = BPF_MAP_TYPE_ARRAY_OF_MAPS; type <= BPF_MAP_TYPE_HASH_OF_MAPS; type++) {
		outer = make_outer(inner, type);
		REQUIRE(outer >= 0);
		run_threads(replace_inner, &outer);
		close(outer);
	}
	close(inner);
	CHECK_EQ(next_id(shared, BPF_MAP_GET_NEXT_ID, 0), -ENOENT);
	skep_close(shared);
}

/* Numbers of descriptors are used again while others still call with them: to a sanitizer of threads that is a race, and it is meant.
 * The names are those of its interceptors. */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:fstat64\nrace:fcntl\nrace:open64\nrace:mmap64\nrace:interceptor_close\n";
}

/* ---- whatever one does while the others do something else: descriptors that are closed in the middle of a
 * call included ---- */

enum { PLACES = 8, STEPS = 1500 };

static _Atomic int place[PLACES];

static void put(uint32_t where, int fd)
{
	int old = atomic_exchange(&place[where % PLACES], fd);

	if (old > 2)
		syscall(SYS_close, old); /* not close(): to a sanitizer of threads this would be a race, which it is meant to be */
}

static int command(int cmd, union bpf_attr *a)
{
	return skep_bpf(shared, cmd, a, sizeof(*a));
}

static void ask_about(int fd)
{
	struct bpf_prog_info info;
	union bpf_attr a;

	memset(&info, 0, sizeof(info));
	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (uint32_t)fd;
	a.info.info = ADDRESS(&info);
	a.info.info_len = sizeof(info);
	command(BPF_OBJ_GET_INFO_BY_FD, &a);
}

static void batch(int fd)
{
	uint32_t keys[16], cursor;
	uint64_t values[16];
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.batch.map_fd = (uint32_t)fd;
	a.batch.count = 4;
	a.batch.keys = ADDRESS(keys);
	a.batch.values = ADDRESS(values);
	a.batch.out_batch = ADDRESS(&cursor);
	command(BPF_MAP_LOOKUP_BATCH, &a);
}

static void run_somehow(int fd)
{
	char data[64] = {0};
	struct skep_packet p = {.data = data, .size = sizeof(data)};
	union bpf_attr a;

	skep_run_packets(shared, fd, &p, 1, NULL, NULL);
	memset(&a, 0, sizeof(a));
	a.test.prog_fd = (uint32_t)fd;
	a.test.data_in = ADDRESS(data);
	a.test.data_size_in = sizeof(data);
	command(BPF_PROG_TEST_RUN, &a);
}

static void one_step(uint32_t what, uint32_t where, int fd, int other)
{
	uint64_t value = what;
	uint32_t key = where % 4;
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	switch (what % 14) {
	case 0:
		put(where, skep_map_create(shared, BPF_MAP_TYPE_HASH, 4, 8, 4, 0));
		break;
	case 1:
		put(where, skep_map_create(shared, BPF_MAP_TYPE_ARRAY, 4, 8, 4, BPF_F_RDONLY_PROG));
		break;
	case 2:
	case 3:
		put(where, load_counter(shared, fd));
		break;
	case 4:
	case 5:
		run_somehow(fd);
		break;
	case 6:
		skep_map_update(shared, fd, &key, &value, BPF_ANY);
		break;
	case 7:
		skep_map_delete(shared, fd, &key);
		break;
	case 8:
		batch(fd);
		break;
	case 9:
		ask_about(fd);
		break;
	case 10:
		a.prog_bind_map.prog_fd = (uint32_t)fd;
		a.prog_bind_map.map_fd = (uint32_t)other;
		command(BPF_PROG_BIND_MAP, &a);
		break;
	case 11:
		put(where, -1);
		break;
	case 12:
		if (where % 4 == 0) {
			a.map_fd = (uint32_t)fd;
			command(BPF_MAP_FREEZE, &a);
		}
		break;
	default:
		put(where,
		    fd_by_id(shared, where & 1 ? BPF_PROG_GET_FD_BY_ID : BPF_MAP_GET_FD_BY_ID,
			     (uint32_t)next_id(shared, where & 1 ? BPF_PROG_GET_NEXT_ID : BPF_MAP_GET_NEXT_ID,
					       what % 50)));
		break;
	}
}

static void *anything(void *arg)
{
	static _Atomic uint64_t seeds;
	uint64_t r = ++seeds * 0x9e3779b97f4a7c15ull;

	(void)arg;
	for (int i = 0; i < STEPS; i++) {
		r = r * 6364136223846793005ull + 1442695040888963407ull;
		one_step((uint32_t)(r >> 33), (uint32_t)(r >> 40), place[(r >> 45) % PLACES],
			 place[(r >> 50) % PLACES]);
	}
	return NULL;
}

TEST(threads_do_anything_at_the_same_time)
{
	REQUIRE(!skep_open(&shared, NULL));
	for (uint32_t i = 0; i < PLACES; i++)
		place[i] = -1;
	run_threads(anything, NULL);
	for (uint32_t i = 0; i < PLACES; i++)
		put(i, -1);
	CHECK_EQ(next_id(shared, BPF_PROG_GET_NEXT_ID, 0), -ENOENT);
	CHECK_EQ(next_id(shared, BPF_MAP_GET_NEXT_ID, 0), -ENOENT);
	skep_close(shared);
}

/* ---- a signal handler that runs a program, wherever the thread was ---- */

static int signal_prog;
static volatile uint64_t ran, busy, other;

static void run_in_handler(int sig)
{
	struct skep_run r = {.size = sizeof(r)};
	int err = skep_run(shared, signal_prog, &r);

	(void)sig;
	if (err == -EBUSY || (!err && (int64_t)r.result == -EBUSY))
		busy++;
	else if (err || r.result)
		other++;
	else
		ran++;
}

TEST(a_handler_runs_its_program_or_gets_ebusy)
{
	static const char text[] = "*(u32 *)(r10 -4) = 3\n*(u64 *)(r10 -16) = 7\nr1 = map[fd:%d]\nr2 = "
				   "r10\nr2 += -4\nr3 = r10\nr3 += -16\n"
				   "r4 = 0\ncall 2\nexit\n";
	struct itimerval every = {{0, 100}, {0, 100}}, never = {{0, 0}, {0, 0}};
	struct sigaction act = {.sa_handler = run_in_handler}, old;
	char program[sizeof(text) + 16];
	uint64_t errors = 0;
	int map;

	REQUIRE(!skep_open(&shared, NULL));
	map = skep_map_create(shared, BPF_MAP_TYPE_HASH, 4, 8, 16, 0);
	snprintf(program, sizeof(program), text, map);
	signal_prog = load_text(shared, BPF_PROG_TYPE_RAW_TRACEPOINT, program);
	REQUIRE(map >= 0 && signal_prog >= 0);
	sigaction(SIGALRM, &act, &old);
	setitimer(ITIMER_REAL, &every, NULL);
	for (uint32_t i = 0; i < 10000000 && (i < 100000 || busy < 20 || ran < 20); i++) {
		uint64_t value = i;
		uint32_t key = i % 4;

		errors += skep_map_update(shared, map, &key, &value, BPF_ANY) != 0;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &old, NULL);
	CHECK(ran >= 20);
	CHECK(busy >= 20);
	CHECK_EQ(other, 0);
	CHECK_EQ(errors, 0);
	close(map);
	close(signal_prog);
	skep_close(shared);
}

int main(void)
{
	RUN(objects_that_end_within_operations_wait_for_nobody);
	RUN(a_handler_runs_its_program_or_gets_ebusy);
	RUN(threads_do_anything_at_the_same_time);
	RUN(threads_share_an_engine);
	RUN(threads_have_engines_of_their_own);
	return test_end();
}
