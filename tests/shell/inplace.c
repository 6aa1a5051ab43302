/* SPDX-License-Identifier: BSD-2-Clause */
/* A client that looks things up again and again, to be run in a skep shell: its own process answers then, and what it is told is what bpf(2) would tell. Behind
 * notifications that is required; elsewhere (ptrace; by itself as root, on the kernel) only the answers are. */
#include "../kernel.h"
#include "../test.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADDRESS(p) ((uint64_t)(uintptr_t)(p))

enum { PAGE = 4096, MANY = 300 /* lookups, after which they are answered here */, CPUS_MOST = 128 };

static int lookup(int map, const void *key, void *value)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)map;
	a.key = ADDRESS(key);
	a.value = ADDRESS(value);
	return kernel_bpf(BPF_MAP_LOOKUP_ELEM, &a, 32);
}

static int change(int cmd, int map, const void *key, const void *value)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)map;
	a.key = ADDRESS(key);
	a.value = ADDRESS(value);
	return kernel_bpf(cmd, &a, 32);
}

#define UPDATE(map, key, value) change(BPF_MAP_UPDATE_ELEM, map, key, value)

/* As the kernel has it: of absolute paths the supervisor says what there would be without it. */
static long number_in(const char *field)
{
	int dir = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC), fd = openat(dir, "status", O_RDONLY | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	char line[256];
	long x = -1;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)))
			x = strtol(line + strlen(field), NULL, 10);
	if (f)
		fclose(f);
	close(dir);
	return x;
}

static bool notified(void)
{
	return number_in("TracerPid:") == 0 && number_in("Seccomp:") == 2;
}

/* Who is asked, and answered, sleeps meanwhile. */
static long sleeps(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_nvcsw;
}

static bool answers_itself(int map, const void *key)
{
	uint8_t value[PAGE];
	long before;

	for (int i = 0; i < MANY; i++)
		if (lookup(map, key, value))
			return false;
	before = sleeps();
	for (int i = 0; i < MANY; i++)
		if (lookup(map, key, value))
			return false;
	return sleeps() - before < MANY / 10;
}

TEST(values_of_all_plain_kinds)
{
	static const struct {
		uint32_t type, key, value;
	} shapes[] = {
		{BPF_MAP_TYPE_HASH, 4, 8}, {BPF_MAP_TYPE_HASH, 1, 1}, {BPF_MAP_TYPE_HASH, 7, 13}, {BPF_MAP_TYPE_HASH, 8, 100}, {BPF_MAP_TYPE_HASH, 16, 8},
		{BPF_MAP_TYPE_HASH, 33, 1000}, {BPF_MAP_TYPE_LRU_HASH, 4, 8}, {BPF_MAP_TYPE_ARRAY, 4, 8}, {BPF_MAP_TYPE_ARRAY, 4, 5},
	};

	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		int map = kernel_map(shapes[i].type, shapes[i].key, shapes[i].value, 8);
		uint8_t key[64], value[PAGE], got[PAGE];

		REQUIRE(map >= 0);
		for (uint8_t k = 0; k < 8; k++) {
			memset(key, 0, sizeof(key));
			key[0] = k;
			memset(value, k + 1, sizeof(value));
			value[shapes[i].value - 1] = (uint8_t)(k + 100);
			CHECK_EQ(UPDATE(map, key, value), 0);
		}
		CHECK(answers_itself(map, key) || !notified());
		for (uint8_t k = 0; k < 8; k++) {
			key[0] = k;
			memset(value, k + 1, sizeof(value));
			value[shapes[i].value - 1] = (uint8_t)(k + 100);
			memset(got, 0xee, sizeof(got));
			CHECK_EQ(lookup(map, key, got), 0);
			CHECK(!memcmp(got, value, shapes[i].value));
			CHECK_EQ(got[shapes[i].value], 0xee);
		}
		key[0] = 8;
		memset(got, 0xee, sizeof(got));
		CHECK_EQ(lookup(map, key, got), -ENOENT);
		CHECK_EQ(got[0], 0xee);
		close(map);
	}
}

static int possible_cpus(void)
{
	FILE *f = fopen("/sys/devices/system/cpu/possible", "re");
	int from = 0, to = 0, n = f ? fscanf(f, "%d-%d", &from, &to) : 0;

	if (f)
		fclose(f);
	return n == 2 ? to + 1 : 1;
}

TEST(values_of_all_processors)
{
	static const uint32_t types[] = {BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY};
	int cpus = possible_cpus();

	if (cpus > CPUS_MOST / 2)
		SKIP("too many processors: values are too large");
	for (unsigned i = 0; i < 3; i++) {
		int map = kernel_map(types[i], 4, 4, 4);
		uint64_t value[CPUS_MOST], got[CPUS_MOST];
		uint32_t key = 3;

		REQUIRE(map >= 0);
		for (int cpu = 0; cpu < cpus; cpu++)
			value[cpu] = (uint64_t)cpu + 7;
		CHECK_EQ(UPDATE(map, &key, value), 0);
		CHECK(answers_itself(map, &key) || !notified());
		memset(got, 0xee, sizeof(got));
		CHECK_EQ(lookup(map, &key, got), 0);
		for (int cpu = 0; cpu < cpus; cpu++)
			CHECK_EQ((uint32_t)got[cpu], cpu + 7);
		CHECK_EQ(got[cpus], 0xeeeeeeeeeeeeeeeeull);
		close(map);
	}
}

TEST(changes_are_seen_at_once)
{
	int map = kernel_map(BPF_MAP_TYPE_HASH, 4, 8, 8);
	uint32_t key = 1, other = 2;
	uint64_t value = 0, got = 0;

	REQUIRE(map >= 0);
	CHECK_EQ(UPDATE(map, &key, &value), 0);
	CHECK(answers_itself(map, &key) || !notified());
	for (value = 1; value < 200; value++) {
		CHECK_EQ(UPDATE(map, &key, &value), 0);
		CHECK_EQ(lookup(map, &key, &got), 0);
		CHECK_EQ(got, value);
		CHECK_EQ(UPDATE(map, &other, &value), 0);
		CHECK_EQ(change(BPF_MAP_DELETE_ELEM, map, &other, NULL), 0);
		CHECK_EQ(lookup(map, &other, &got), -ENOENT);
	}
	close(map);
}

TEST(descriptors_mean_what_is_open_now)
{
	int one = kernel_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1), two = kernel_map(BPF_MAP_TYPE_HASH, 4, 8, 1), copy = dup(one), plain;
	uint32_t key = 0;
	uint64_t first = 1, second = 2, got;

	REQUIRE(one >= 0 && two >= 0 && copy >= 0);
	CHECK_EQ(UPDATE(one, &key, &first), 0);
	CHECK_EQ(UPDATE(two, &key, &second), 0);
	CHECK((answers_itself(one, &key) && answers_itself(two, &key)) || !notified());
	for (int round = 0; round < 10; round++) {
		CHECK_EQ(dup2(round & 1 ? two : copy, one), one);
		CHECK_EQ(lookup(one, &key, &got), 0);
		CHECK_EQ(got, round & 1 ? second : first);
	}
	close(one);
	CHECK_EQ(lookup(one, &key, &got), -EBADF);
	plain = dup2(1, one);
	CHECK_EQ(lookup(plain, &key, &got), -EINVAL);
	close(plain);
	CHECK_EQ(lookup(-1, &key, &got), -EBADF);
	close(two);
	close(copy);
}

TEST(memory_that_is_not_there)
{
	uint8_t *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *edge = p + PAGE;
	int map = kernel_map(BPF_MAP_TYPE_HASH, 4, 8, 8);
	uint32_t key = 1;
	uint64_t value = 9;
	union bpf_attr a;

	REQUIRE(map >= 0 && p != MAP_FAILED && !munmap(edge, PAGE));
	CHECK_EQ(UPDATE(map, &key, &value), 0);
	CHECK(answers_itself(map, &key) || !notified());
	memcpy(edge - 4, &key, 4);
	CHECK_EQ(lookup(map, edge - 4, edge - 16), 0);
	CHECK(!memcmp(edge - 16, &value, 8));
	CHECK_EQ(lookup(map, edge - 3, &value), -EFAULT);
	CHECK_EQ(lookup(map, edge, &value), -EFAULT);
	CHECK_EQ(lookup(map, &key, edge - 4), -EFAULT);
	CHECK_EQ(lookup(map, &key, edge), -EFAULT);
	CHECK_EQ(lookup(map, NULL, &value), -EFAULT);
	CHECK_EQ(lookup(map, &key, NULL), -EFAULT);
	CHECK_EQ(lookup(map, (void *)(uintptr_t)0xffffffffffffff00u, &value), -EFAULT);
	CHECK_EQ(mprotect(p, PAGE, PROT_READ), 0);
	CHECK_EQ(lookup(map, &key, p), -EFAULT);
	CHECK_EQ(kernel_bpf(BPF_MAP_LOOKUP_ELEM, (union bpf_attr *)(void *)edge, 32), -EFAULT);
	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)map;
	a.key = ADDRESS(&key);
	a.value = ADDRESS(&value);
	a.flags = 64;
	CHECK_EQ(kernel_bpf(BPF_MAP_LOOKUP_ELEM, &a, sizeof(a)), -EINVAL);
	a.flags = 0;
	CHECK_EQ(kernel_bpf(BPF_MAP_LOOKUP_ELEM, &a, sizeof(a)), 0);
	((uint8_t *)&a)[40] = 1;
	CHECK_EQ(kernel_bpf(BPF_MAP_LOOKUP_ELEM, &a, sizeof(a)), -EINVAL);
	munmap(p, PAGE);
	munmap(p + 2 * PAGE, PAGE);
	close(map);
}

TEST(descriptors_that_may_not_read)
{
	struct bpf_map_info info = {0};
	union bpf_attr a;
	int map = kernel_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1), writes;
	uint32_t key = 0;
	uint64_t value = 5;

	REQUIRE(map >= 0 && !UPDATE(map, &key, &value));
	CHECK(answers_itself(map, &key) || !notified());
	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (uint32_t)map;
	a.info.info_len = sizeof(info);
	a.info.info = ADDRESS(&info);
	CHECK_EQ(kernel_bpf(BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)), 0);
	memset(&a, 0, sizeof(a));
	a.map_id = info.id;
	a.open_flags = BPF_F_WRONLY;
	writes = kernel_bpf(BPF_MAP_GET_FD_BY_ID, &a, sizeof(a));
	REQUIRE(writes >= 0);
	CHECK_EQ(lookup(writes, &key, &value), -EPERM);
	CHECK_EQ(lookup(map, &key, &value), 0);
	CHECK_EQ(value, 5);
	close(writes);
	close(map);
}

TEST(a_map_that_is_pinned)
{
	char path[64];
	union bpf_attr a;
	int map = kernel_map(BPF_MAP_TYPE_HASH, 4, 8, 8);
	uint32_t key = 1;
	uint64_t value = 1, got = 0;

	REQUIRE(map >= 0 && !UPDATE(map, &key, &value));
	CHECK(answers_itself(map, &key) || !notified());
	snprintf(path, sizeof(path), "/sys/fs/bpf/t-inplace-%d", getpid());
	memset(&a, 0, sizeof(a));
	a.pathname = ADDRESS(path);
	a.bpf_fd = (uint32_t)map;
	REQUIRE(!kernel_bpf(BPF_OBJ_PIN, &a, sizeof(a)));
	for (value = 2; value < 100; value++) {
		CHECK_EQ(UPDATE(map, &key, &value), 0);
		CHECK_EQ(lookup(map, &key, &got), 0);
		CHECK_EQ(got, value);
	}
	CHECK_EQ(unlink(path), 0);
	close(map);
}

TEST(children)
{
	int map = kernel_map(BPF_MAP_TYPE_HASH, 4, 8, 8), status = -1;
	uint32_t key = 1;
	uint64_t value = 1, got = 0;
	pid_t pid;

	REQUIRE(map >= 0 && !UPDATE(map, &key, &value));
	CHECK(answers_itself(map, &key) || !notified());
	pid = fork();
	if (!pid) {
		int other = kernel_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1);

		key = 0;
		value = 77;
		if (other < 0 || UPDATE(other, &key, &value) || (!answers_itself(other, &key) && notified()) || lookup(other, &key, &got) || got != 77)
			_exit(1);
		key = 1;
		value = 2;
		_exit(UPDATE(map, &key, &value) || lookup(map, &key, &got) || got != 2 ? 2 : 0);
	}
	REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(lookup(map, &key, &got), 0);
	CHECK_EQ(got, 2);
	close(map);
}

/* ---- values that change meanwhile ---- */

enum { WORDS = 32 };
static atomic_bool over;

static void *changes(void *arg)
{
	int map = *(int *)arg;
	uint64_t value[WORDS];
	uint32_t key = 1;

	for (uint64_t n = 1; !atomic_load(&over); n++) {
		for (int i = 0; i < WORDS; i++)
			value[i] = n;
		if (UPDATE(map, &key, value))
			return arg;
	}
	return NULL;
}

TEST(no_value_is_a_mixture)
{
	int map = kernel_map(BPF_MAP_TYPE_HASH, 4, sizeof(uint64_t[WORDS]), 2);
	uint64_t got[WORDS] = {0}, last = 0;
	uint32_t key = 1, mixed = 0, back = 0, failed = 0;
	bool here = notified();
	pthread_t thread;
	void *result = &thread;

	REQUIRE(map >= 0 && !UPDATE(map, &key, got));
	CHECK(answers_itself(map, &key) || !notified());
	REQUIRE(!pthread_create(&thread, NULL, changes, &map));
	for (int i = 0; i < (here ? 100000 : 2000) || (!last && i < 100000); i++) { /* on a busy machine the other thread may begin late */
		failed += lookup(map, &key, got) != 0;
		for (int w = 1; w < WORDS; w++)
			mixed += got[w] != got[0];
		back += got[0] < last;
		last = got[0];
	}
	atomic_store(&over, true);
	pthread_join(thread, &result);
	CHECK(!result);
	CHECK_EQ(failed, 0);
	CHECK_EQ(mixed, 0);
	CHECK_EQ(back, 0);
	CHECK(last > 0);
	close(map);
}

/* ---- calls that are events ---- */

static int count_calls(int map)
{
	struct bpf_insn code[] = {
		{.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = 10, .off = -4},
		{.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
		{0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = -4},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem},
		{.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 0, .off = 2},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1, .imm = 1},
		{.code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = 0, .src_reg = 1, .imm = BPF_ADD},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	struct perf_event_attr event = {.size = sizeof(event), .type = PERF_TYPE_TRACEPOINT, .sample_period = 1, .wakeup_events = 1};
	int prog = kernel_load(BPF_PROG_TYPE_TRACEPOINT, code, sizeof(code) / sizeof(code[0]), NULL, 0), perf;
	FILE *f = fopen("/sys/kernel/tracing/events/syscalls/sys_enter_bpf/id", "re");
	unsigned id = 0;

	if (f && fscanf(f, "%u", &id) != 1)
		id = 0;
	if (f)
		fclose(f);
	event.config = id;
	perf = (int)syscall(SYS_perf_event_open, &event, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (prog < 0 || perf < 0 || ioctl(perf, PERF_EVENT_IOC_SET_BPF, prog) || ioctl(perf, PERF_EVENT_IOC_ENABLE, 0))
		return -1;
	close(prog);
	return perf;
}

TEST(calls_that_somebody_counts_are_made)
{
	int map = kernel_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1), counts = kernel_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1), event;
	uint32_t key = 0;
	uint64_t before = 0, after = 0, value = 3;

	if (access("/sys/kernel/tracing/events", F_OK))
		SKIP("no tracefs");
	REQUIRE(map >= 0 && counts >= 0 && !UPDATE(map, &key, &value));
	CHECK(answers_itself(map, &key) || !notified());
	event = count_calls(counts);
	REQUIRE(event >= 0);
	usleep(20000);
	lookup(map, &key, &value);
	CHECK_EQ(lookup(counts, &key, &before), 0);
	for (int i = 0; i < MANY; i++)
		CHECK_EQ(lookup(map, &key, &value), 0);
	CHECK_EQ(lookup(counts, &key, &after), 0);
	CHECK_EQ(after - before, MANY + 1);
	close(event);
	for (int i = 0; i < 100 && notified() && !answers_itself(map, &key); i++)
		usleep(20000);
	CHECK(answers_itself(map, &key) || !notified());
	close(map);
	close(counts);
}

static void nothing(int sig)
{
	(void)sig;
}

TEST(signals_that_come_meanwhile)
{
	struct sigaction often = {.sa_handler = nothing};
	int map = kernel_map(BPF_MAP_TYPE_HASH, 4, 8, 8);
	uint32_t key = 1, wrong = 0;
	bool here = notified();
	uint64_t value = 6, got;
	pid_t me = getpid(), pid;

	REQUIRE(map >= 0 && !UPDATE(map, &key, &value) && !sigaction(SIGUSR2, &often, NULL));
	pid = fork();
	if (!pid)
		for (;;) {
			kill(me, SIGUSR2);
			usleep(50);
		}
	/* no SA_RESTART: where the kernel or the supervisor answers, a call may be cut short */
	for (int i = 0; i < (here ? 20000 : 500); i++) {
		int err = lookup(map, &key, &got);

		wrong += err != -EINTR && (err || got != 6);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK_EQ(wrong, 0);
	close(map);
}

int main(void)
{
	if (kernel_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1) < 0) {
		printf("ok 1 lookups # SKIP " KERNEL_MISSING "\n1..1\n");
		return 0;
	}
	RUN(values_of_all_plain_kinds);
	RUN(values_of_all_processors);
	RUN(changes_are_seen_at_once);
	RUN(descriptors_mean_what_is_open_now);
	RUN(memory_that_is_not_there);
	RUN(descriptors_that_may_not_read);
	RUN(a_map_that_is_pinned);
	RUN(children);
	RUN(no_value_is_a_mixture);
	RUN(calls_that_somebody_counts_are_made);
	RUN(signals_that_come_meanwhile);
	return test_end();
}
