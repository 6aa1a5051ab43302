/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What programs take from users. bpf_user_ringbuf_drain() on an engine and on the running kernel: a client puts records into the ring, well
 * formed or not, a program drains it; the result, what the program saw and the consumer's position must be equal. bpf_copy_from_user_str(),
 * which on the kernel reads the process's memory, in every setting of an engine.
 */
#include "../jit/sides.h"

#include <poll.h>
#include <sys/mman.h>

enum { PAGE = 4096, HEADER = 8, MOST_RECORDS = 8, USER_RINGBUF = 31, HELD = 1u << 31, DISCARDED = 1u << 30, AROUND = 3000 };

static const struct row {
	const char *name;
	uint32_t headers[MOST_RECORDS]; /* sizes with flags, up to a 0; each record's first word is its number */
	int64_t beyond; /* added to the producer's position behind the last */
	uint32_t flags, stop; /* the callback ends it at this one; 0: never */
	uint32_t skip; /* bytes of a first record, drained before */
} rows[] = {
	{.name = "nothing there"},
	{.name = "one", .headers = {8}},
	{.name = "three", .headers = {8, 16, 100}},
	{.name = "an odd size", .headers = {13, 4, 5}},
	{.name = "too short for the program", .headers = {2, 8}},
	{.name = "ends early", .headers = {8, 8, 8, 8}, .stop = 2},
	{.name = "some discarded", .headers = {8, 8 | DISCARDED, 8, 16 | DISCARDED}},
	{.name = "all discarded", .headers = {8 | DISCARDED, 8 | DISCARDED}},
	{.name = "one not ready", .headers = {8, 8 | HELD, 8}},
	{.name = "held and discarded", .headers = {8, 8 | HELD | DISCARDED, 8}},
	{.name = "position too low", .headers = {8, 16}, .beyond = -8},
	{.name = "position off", .headers = {8}, .beyond = 4},
	{.name = "position too high", .headers = {8}, .beyond = 16},
	{.name = "longer than the ring", .headers = {8, 4096}, .beyond = 0},
	{.name = "as long as the ring", .headers = {4088}},
	{.name = "longer than what is there", .headers = {8, 0x3fffffff}, .beyond = -0x3fffff00},
	{.name = "far too long", .headers = {0x3fffffff}},
	{.name = "no wake-up", .headers = {8}, .flags = BPF_RB_NO_WAKEUP},
	{.name = "a wake-up", .headers = {8}, .flags = BPF_RB_FORCE_WAKEUP},
	{.name = "unknown flags", .headers = {8}, .flags = 4},
	{.name = "across the end", .headers = {16, 2000, 24}, .skip = AROUND},
	{.name = "a header at the end", .headers = {16, 8}, .skip = 4080},
};

/* The result's value: R0, how many were seen, a sum of what was read and of errors. */
static const char text[] = "r1 = MAP\nr2 = func[each]\nr3 = 0\nr4 = %u\ncall helper 209\nr7 = map[fd:%d]+0\n*(u64 *)(r7 +0) = r0\nr0 = 0\nexit\n"
			   "each: r7 = r1\nr6 = map[fd:%d]+0\n*(u64 *)(r10 -8) = 0\nr1 = r10\nr1 += -8\nr2 = 4\nr3 = r7\nr4 = 0\nr5 = 0\ncall helper 201\n"
			   "r1 = *(u64 *)(r10 -8)\nr2 = *(u64 *)(r6 +16)\nr2 *= 31\nr2 += r1\nr2 += r0\n*(u64 *)(r6 +16) = r2\n"
			   "r1 = *(u64 *)(r6 +8)\nr1 += 1\n*(u64 *)(r6 +8) = r1\nr0 = 0\nif r1 != %u goto more\nr0 = 1\nmore: exit\n";

struct outcome {
	int64_t err;
	uint64_t result, count, sum, consumed;
};

static int call(const struct side *s, int cmd, union bpf_attr *a)
{
	return s->bpf(s->ud, cmd, a, sizeof(*a));
}

static int run_once(const struct side *s, int fd)
{
	static const unsigned char data[64] = {[12] = 8};
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.test.prog_fd = (uint32_t)fd;
	a.test.data_in = (uint64_t)(uintptr_t)data;
	a.test.data_size_in = sizeof(data);
	return call(s, BPF_PROG_TEST_RUN, &a);
}

/* At `pos`, as a client's library does. */
static uint64_t put(unsigned char *ring, uint64_t pos, uint32_t header, uint32_t number)
{
	uint32_t size = header & ~(HELD | DISCARDED);
	unsigned char *at = ring + PAGE + (pos + HEADER) % PAGE;

	memcpy(ring + PAGE + pos % PAGE, &header, 4);
	memcpy(at, &number, size < 4 ? size : 4);
	return pos + HEADER + (size + 7) / 8 * 8;
}

static struct outcome drain(struct side *s, const struct row *r)
{
	union bpf_attr a = {.map_type = USER_RINGBUF, .max_entries = PAGE}, out = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 24, .max_entries = 1};
	struct outcome o = {0};
	int result = call(s, BPF_MAP_CREATE, &out), fd;
	unsigned char *ring, *consumer;
	char full[sizeof(text) + 64];
	uint64_t pos = 0, words[3];

	s->map = call(s, BPF_MAP_CREATE, &a);
	s->type = BPF_PROG_TYPE_SCHED_CLS;
	s->flags = 0;
	snprintf(full, sizeof(full), text, r->flags, result, result, r->stop);
	fd = load(s, full);
	ring = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->map, PAGE);
	consumer = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, s->map, 0);
	if (fd < 0 || ring == MAP_FAILED || consumer == MAP_FAILED) {
		test_fail(__FILE__, __LINE__, "%s: no ring or no program", s->name);
		return o;
	}
	if (r->skip) {
		pos = put(ring, 0, r->skip - HEADER, 99);
		memcpy(ring, &pos, 8);
		run_once(s, fd);
	}
	for (uint32_t i = 0; i < MOST_RECORDS && r->headers[i]; i++)
		pos = put(ring, pos, r->headers[i], i + 1);
	pos += (uint64_t)r->beyond;
	memcpy(ring, &pos, 8);
	o.err = run_once(s, fd);
	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)result;
	a.key = (uint64_t)(uintptr_t)&(uint32_t){0};
	a.value = (uint64_t)(uintptr_t)words;
	call(s, BPF_MAP_LOOKUP_ELEM, &a);
	o.result = words[0];
	o.count = words[1];
	o.sum = words[2];
	memcpy(&o.consumed, consumer, 8);
	munmap(ring, 3 * PAGE);
	munmap(consumer, PAGE);
	close(fd);
	close(s->map);
	close(result);
	return o;
}

TEST(records_of_clients_are_drained_as_on_linux)
{
	struct side linux_side;
	struct btf own, kernels;

	if (!kernel_side(&linux_side, &kernels))
		SKIP(KERNEL_MISSING);
	REQUIRE(btf_open_bytes(&own, &mem_libc, kernel_btf_bytes, kernel_btf_size) == 0);
	for (uint32_t k = 0; k < 2; k++) {
		struct skep_options o = {.size = sizeof(o), .engine = k ? SKEP_ENGINE_JIT : SKEP_ENGINE_INTERP};
		struct side mine = {.name = k ? "compiled" : "interpreted", .bpf = on_engine, .btf = &own};
		struct skep *e;

		REQUIRE(skep_open(&e, &o) == 0);
		mine.ud = e;
		for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct outcome x = drain(&mine, &rows[i]), y = drain(&linux_side, &rows[i]);

			if (memcmp(&x, &y, sizeof(x)))
				test_fail(__FILE__, __LINE__, "%s, %s: errno %lld, result %lld, %llu records, sum %llu, position %llu; Linux %lld, %lld, %llu, %llu, %llu", rows[i].name, mine.name,
					  (long long)x.err, (long long)x.result, (unsigned long long)x.count, (unsigned long long)x.sum, (unsigned long long)x.consumed, (long long)y.err, (long long)y.result,
					  (unsigned long long)y.count, (unsigned long long)y.sum, (unsigned long long)y.consumed);
		}
		skep_close(e);
	}
	btf_free(&own);
	btf_free(&kernels);
}

/* A client that waits until it can write: a ring that is full tells of room once a program has drained it. */
static void wait_for_room(struct side *s)
{
	union bpf_attr a = {.map_type = USER_RINGBUF, .max_entries = PAGE}, out = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 24, .max_entries = 1};
	int result = call(s, BPF_MAP_CREATE, &out), fd;
	char full[sizeof(text) + 64];
	unsigned char *ring;
	uint64_t pos;

	s->type = BPF_PROG_TYPE_SCHED_CLS;
	s->flags = 0;
	s->map = call(s, BPF_MAP_CREATE, &a);
	snprintf(full, sizeof(full), text, 0, result, result, 0);
	fd = load(s, full);
	ring = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->map, PAGE);
	if (fd >= 0 && ring != MAP_FAILED) {
		struct pollfd p = {.fd = skep_poll_fd(s->ud, s->map), .events = POLLOUT};

		CHECK_EQ(poll(&p, 1, 0), 1);
		pos = put(ring, 0, PAGE - 2 * HEADER, 1);
		memcpy(ring, &pos, 8);
		CHECK(skep_poll_fd(s->ud, s->map) == p.fd && poll(&p, 1, 0) == 1);
		pos = put(ring, pos, 0 | DISCARDED, 2);
		memcpy(ring, &pos, 8);
		CHECK(skep_poll_fd(s->ud, s->map) == p.fd && poll(&p, 1, 0) == 0);
		CHECK_EQ(run_once(s, fd), 0);
		CHECK_EQ(poll(&p, 1, 0), 1);
	}
	munmap(ring, 3 * PAGE);
	close(fd);
	close(s->map);
	close(result);
}

TEST(clients_wait_for_room)
{
	each_setting(wait_for_room);
}

static const struct string_row {
	uint32_t size, flags;
	const char *from;
	int32_t result;
	uint64_t word; /* what is then where the string was to go, 8 bytes of 0x55 before */
} strings[] = {
	{16, 0, "r9", 6, 0x5555006f6c6c6568}, {16, 1, "r9", 6, 0x0000006f6c6c6568}, {6, 0, "r9", 6, 0x5555006f6c6c6568}, {5, 0, "r9", 5, 0x555555006c6c6568},
	{5, 1, "r9", 5, 0x555555006c6c6568}, {3, 0, "r9", 3, 0x5555555555006568}, {1, 0, "r9", 1, 0x5555555555555500}, {16, 2, "r9", -EINVAL, 0x5555555555555555},
	{16, 0, "8", -EFAULT, 0x5555555555555555}, {16, 1, "8", -EFAULT, 0}, {4, 1, "8", -EFAULT, 0x5555555500000000},
};

static void copy_strings(struct side *s)
{
	side_map(s, BPF_MAP_TYPE_ARRAY, 16, 1);
	for (uint32_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		const struct string_row *r = &strings[i];
		char program[600], name[40];

		snprintf(name, sizeof(name), "row %u", i);
		snprintf(program, sizeof(program),
			 "r9 = MAP+0\nr1 = 0x6f6c6c6568 ll\n*(u64 *)(r9 +0) = r1\nr1 = 0x5555555555555555 ll\n*(u64 *)(r10 -16) = r1\n*(u64 *)(r10 -8) = r1\n"
			 "r1 = r10\nr1 += -16\nr2 = %u\nr3 = %s\nr4 = %u\ncall $bpf_copy_from_user_str\nr1 = *(u64 *)(r10 -16)\nr2 = 0x%llx ll\nif r1 == r2 goto told\n"
			 "r0 = 999\ntold: exit\n",
			 r->size, r->from, r->flags, (unsigned long long)r->word);
		expect(s, name, program, (uint32_t)r->result);
	}
	close(s->map);
}

TEST(strings_of_users_are_copied)
{
	each_setting(copy_strings);
}

int main(void)
{
	RUN(records_of_clients_are_drained_as_on_linux);
	RUN(clients_wait_for_room);
	RUN(strings_of_users_are_copied);
	return test_end();
}
