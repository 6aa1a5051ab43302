/* SPDX-License-Identifier: BSD-2-Clause */
/* A client that looks at and changes elements of maps, to be run in a skep shell: calls that follow each other from one place, about maps of other shapes, with other memory
 * and other descriptors than the call before. Run by itself as root, it tests the kernel. */
#include "../kernel.h"
#include "../test.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADDRESS(p) ((uint64_t)(uintptr_t)(p))

enum { PAGE = 4096 };

/* The attr always lies at the same place. */
static int element(int cmd, int map, const void *key, void *value, uint64_t flags)
{
	static union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)map;
	a.key = ADDRESS(key);
	a.value = ADDRESS(value);
	a.flags = flags;
	return kernel_bpf(cmd, &a, sizeof(a));
}

#define LOOKUP(map, key, value) element(BPF_MAP_LOOKUP_ELEM, map, key, value, 0)
#define UPDATE(map, key, value) element(BPF_MAP_UPDATE_ELEM, map, key, value, BPF_ANY)

static void *pages(int n)
{
	void *p = mmap(NULL, (size_t)n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

TEST(maps_of_other_shapes_take_turns)
{
	int small = kernel_map(BPF_MAP_TYPE_HASH, 4, 8, 16), large = kernel_map(BPF_MAP_TYPE_HASH, 40, 3000, 16), array = kernel_map(BPF_MAP_TYPE_ARRAY, 4, 12, 8);
	static uint8_t key[40], value[3000], got[3001];

	REQUIRE(small >= 0 && large >= 0 && array >= 0);
	for (uint32_t round = 0; round < 20; round++) {
		uint32_t index = round % 8;
		uint64_t word = round * 3;

		memset(key, (int)round % 16, sizeof(key));
		memset(value, (int)round + 1, sizeof(value));
		CHECK_EQ(UPDATE(large, key, value), 0);
		CHECK_EQ(UPDATE(array, &index, value), 0);
		CHECK_EQ(UPDATE(small, key, &word), 0);
		memset(got, 0xee, sizeof(got));
		CHECK_EQ(LOOKUP(large, key, got), 0);
		CHECK(!memcmp(got, value, sizeof(value)));
		CHECK_EQ(got[3000], 0xee);
		memset(got, 0xee, sizeof(got));
		CHECK_EQ(LOOKUP(small, key, got), 0);
		CHECK(!memcmp(got, &word, 8));
		CHECK_EQ(got[8], 0xee);
		memset(got, 0xee, sizeof(got));
		CHECK_EQ(LOOKUP(array, &index, got), 0);
		CHECK(!memcmp(got, value, 12));
		CHECK_EQ(got[12], 0xee);
	}
	close(small);
	close(large);
	close(array);
}

TEST(what_is_not_found_writes_nothing)
{
	int map = kernel_map(BPF_MAP_TYPE_HASH, 4, 8, 16);
	uint32_t key = 5;
	uint64_t value = 77;

	REQUIRE(map >= 0);
	CHECK_EQ(LOOKUP(map, &key, &value), -ENOENT);
	CHECK_EQ(value, 77);
	CHECK_EQ(element(BPF_MAP_DELETE_ELEM, map, &key, NULL, 0), -ENOENT);
	CHECK_EQ(element(BPF_MAP_GET_NEXT_KEY, map, &key, &value, 0), -ENOENT);
	CHECK_EQ(value, 77);
	close(map);
}

TEST(keys_and_values_at_the_edge_of_memory)
{
	uint8_t *p = pages(3), *edge = p + PAGE;
	int map = kernel_map(BPF_MAP_TYPE_HASH, 4, 8, 16);
	uint32_t key = 1;
	uint64_t value = 9;

	REQUIRE(map >= 0 && p && !munmap(p + PAGE, PAGE));
	memcpy(edge - 4, &key, 4);
	CHECK_EQ(UPDATE(map, edge - 4, &value), 0);
	CHECK_EQ(LOOKUP(map, edge - 4, edge - 16), 0);
	CHECK(!memcmp(edge - 16, &value, 8));
	CHECK_EQ(LOOKUP(map, edge - 3, &value), -EFAULT);
	CHECK_EQ(LOOKUP(map, edge, &value), -EFAULT);
	CHECK_EQ(UPDATE(map, edge - 4, edge - 7), -EFAULT);
	CHECK_EQ(LOOKUP(map, edge - 4, edge - 4), -EFAULT);
	CHECK_EQ(LOOKUP(map, NULL, &value), -EFAULT);
	CHECK_EQ(UPDATE(map, &key, NULL), -EFAULT);
	CHECK_EQ(LOOKUP(map, &key, &value), 0);
	CHECK_EQ(value, 9);
	memcpy(edge - 4, &key, 4); /* of a value that does not fit, a part was written */
	/* memory that was there at the call before and is no more */
	CHECK_EQ(LOOKUP(map, edge - 4, &value), 0);
	munmap(p, PAGE);
	CHECK_EQ(LOOKUP(map, edge - 4, &value), -EFAULT);
	CHECK_EQ(LOOKUP(map, &key, &value), 0);
	munmap(p + 2 * PAGE, PAGE);
	close(map);
}

TEST(a_number_means_what_is_open_under_it_now)
{
	int one = kernel_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1), two = kernel_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1), copy = dup(one), plain;
	uint32_t key = 0;
	uint64_t first = 1, second = 2, got;

	REQUIRE(one >= 0 && two >= 0 && copy >= 0);
	CHECK_EQ(UPDATE(one, &key, &first), 0);
	CHECK_EQ(UPDATE(two, &key, &second), 0);
	for (int round = 0; round < 10; round++) {
		CHECK_EQ(dup2(round & 1 ? two : copy, one), one);
		CHECK_EQ(LOOKUP(one, &key, &got), 0);
		CHECK_EQ(got, round & 1 ? second : first);
	}
	close(one);
	CHECK_EQ(LOOKUP(one, &key, &got), -EBADF);
	plain = dup2(1, one);
	CHECK_EQ(LOOKUP(plain, &key, &got), -EINVAL);
	close(plain);
	CHECK_EQ(LOOKUP(-1, &key, &got), -EBADF);
	close(two);
	close(copy);
}

TEST(a_child_has_descriptors_of_its_own)
{
	int one = kernel_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1), two = kernel_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1), status = -1;
	uint32_t key = 0;
	uint64_t first = 1, second = 2, got = 0;
	pid_t pid;

	REQUIRE(one >= 0 && two >= 0);
	CHECK_EQ(UPDATE(one, &key, &first), 0);
	CHECK_EQ(UPDATE(two, &key, &second), 0);
	pid = fork();
	if (!pid) {
		dup2(two, one);
		_exit(LOOKUP(one, &key, &got) || got != 2);
	}
	REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(LOOKUP(one, &key, &got), 0);
	CHECK_EQ(got, 1);
	close(one);
	close(two);
}

/* Ids are used again soon where there are few; here only descriptors' numbers are. */
TEST(many_children_one_after_the_other)
{
	for (uint32_t i = 0; i < 100; i++) {
		int status = -1;
		pid_t pid = fork();

		if (!pid) {
			int map = kernel_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
			uint32_t key = 0;
			uint64_t value = i, got = 0;

			_exit(map < 0 || UPDATE(map, &key, &value) || LOOKUP(map, &key, &got) || got != i);
		}
		REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
		CHECK_EQ(status, 0);
	}
}

TEST(attrs_of_other_lengths)
{
	struct {
		union bpf_attr a;
		uint8_t more[512];
	} x;
	int map = kernel_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
	uint32_t key = 0;
	uint64_t value = 3, got = 0;

	REQUIRE(map >= 0);
	CHECK_EQ(UPDATE(map, &key, &value), 0);
	memset(&x, 0, sizeof(x));
	x.a.map_fd = (uint32_t)map;
	x.a.key = ADDRESS(&key);
	x.a.value = ADDRESS(&got);
	CHECK_EQ(kernel_bpf(BPF_MAP_LOOKUP_ELEM, &x.a, 24), 0); /* flags are 0 then */
	CHECK_EQ(got, 3);
	CHECK_EQ(kernel_bpf(BPF_MAP_LOOKUP_ELEM, &x.a, 16), -EFAULT); /* and the value NULL */
	CHECK_EQ(kernel_bpf(BPF_MAP_LOOKUP_ELEM, &x.a, 32), 0);
	CHECK_EQ(kernel_bpf(BPF_MAP_LOOKUP_ELEM, &x.a, 400), 0);
	x.more[300 - sizeof(x.a)] = 1;
	CHECK_EQ(kernel_bpf(BPF_MAP_LOOKUP_ELEM, &x.a, 400), -E2BIG);
	CHECK_EQ(kernel_bpf(BPF_MAP_LOOKUP_ELEM, &x.a, 5000), -E2BIG);
	((uint8_t *)&x.a)[40] = 1;
	CHECK_EQ(kernel_bpf(BPF_MAP_LOOKUP_ELEM, &x.a, 48), -EINVAL);
	((uint8_t *)&x.a)[40] = 0;
	CHECK_EQ(element(BPF_MAP_LOOKUP_ELEM, map, &key, &got, 1), -EINVAL);
	CHECK_EQ(element(BPF_MAP_UPDATE_ELEM, map, &key, &got, BPF_NOEXIST), -EEXIST);
	CHECK_EQ(element(BPF_MAP_GET_NEXT_KEY, map, &key, &got, 1), -EINVAL);
	CHECK_EQ(element(BPF_MAP_DELETE_ELEM, map, &key, &got, 0), -EINVAL);
	CHECK_EQ(element(BPF_MAP_DELETE_ELEM, map, &key, NULL, 0), -EINVAL);
	close(map);
}

TEST(keys_are_walked)
{
	int map = kernel_map(BPF_MAP_TYPE_HASH, 8, 4, 64);
	uint64_t key, next, sum = 0;
	uint32_t value = 0, n = 0;

	REQUIRE(map >= 0);
	for (key = 1; key <= 50; key++)
		CHECK_EQ(UPDATE(map, &key, &value), 0);
	for (int err = element(BPF_MAP_GET_NEXT_KEY, map, NULL, &next, 0); !err && n < 100; err = element(BPF_MAP_GET_NEXT_KEY, map, &key, &next, 0)) {
		key = next;
		sum += key;
		n++;
	}
	CHECK_EQ(n, 50);
	CHECK_EQ(sum, 50 * 51 / 2);
	for (key = 1; key <= 50; key++)
		CHECK_EQ(element(BPF_MAP_DELETE_ELEM, map, &key, NULL, 0), 0);
	CHECK_EQ(element(BPF_MAP_GET_NEXT_KEY, map, NULL, &next, 0), -ENOENT);
	close(map);
}

TEST(a_map_that_is_only_read_or_frozen_is_not_changed)
{
	union bpf_attr a;
	uint32_t key = 0;
	uint64_t value = 1;
	int reads, frozen = kernel_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1);

	memset(&a, 0, sizeof(a));
	a.map_type = BPF_MAP_TYPE_ARRAY;
	a.key_size = 4;
	a.value_size = 8;
	a.max_entries = 1;
	a.map_flags = BPF_F_RDONLY;
	reads = kernel_bpf(BPF_MAP_CREATE, &a, sizeof(a));
	REQUIRE(reads >= 0 && frozen >= 0);
	CHECK_EQ(LOOKUP(reads, &key, &value), 0);
	CHECK_EQ(UPDATE(reads, &key, &value), -EPERM);
	value = 4;
	CHECK_EQ(UPDATE(frozen, &key, &value), 0);
	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)frozen;
	CHECK_EQ(kernel_bpf(BPF_MAP_FREEZE, &a, sizeof(a)), 0);
	CHECK_EQ(UPDATE(frozen, &key, &value), -EPERM);
	CHECK_EQ(LOOKUP(frozen, &key, &value), 0);
	CHECK_EQ(value, 4);
	close(reads);
	close(frozen);
}

int main(void)
{
	RUN(maps_of_other_shapes_take_turns);
	RUN(what_is_not_found_writes_nothing);
	RUN(keys_and_values_at_the_edge_of_memory);
	RUN(a_number_means_what_is_open_under_it_now);
	RUN(a_child_has_descriptors_of_its_own);
	RUN(many_children_one_after_the_other);
	RUN(attrs_of_other_lengths);
	RUN(keys_are_walked);
	RUN(a_map_that_is_only_read_or_frozen_is_not_changed);
	return test_end();
}
