/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verification without memory: generated programs are loaded again and again, and each time another
 * allocation fails, until none does (where there are many, not each of them). A load then gives what it gives with memory, or -ENOMEM; nothing is left
 * behind, and the engine goes on.
 *
 *     t-verify-memory [--seed N] [--count N]
 */
#include "generate.h"

#include "base/base.h"
#include "skep/skep.h"

#include "../host.h"
#include "../failing.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOG_BYTES = 1 << 22, ALLOCATIONS_MOST = 4000 };

static u64 first_seed = 1, count = 60;
static struct host host;
static struct skep *k;
static int map[GENERATED_MAPS];

static int load(const struct generated *g, u32 log_level)
{
	static char log[LOG_BYTES];
	struct bpf_insn insns[GENERATED_MAX];
	union bpf_attr a;
	int fd;

	generated_attr(g, map, insns, &a);
	if (log_level) {
		a.log_level = log_level;
		a.log_buf = (u64)(uintptr_t)log;
		a.log_size = sizeof(log);
	}
	fd = skep_bpf(k, BPF_PROG_LOAD, &a, sizeof(a));
	if (fd < 0)
		return fd;
	close(fd);
	memset(&a, 0, sizeof(a));
	(void)skep_bpf(k, BPF_PROG_GET_NEXT_ID, &a, sizeof(a)); /* the engine notices what was closed */
	return 0;
}

TEST(every_allocation_of_a_load_fails_once)
{
	static struct generated g;
	u64 loads = 0, failed = 0, accepted = 0;

	for (u64 i = 0; i < count; i++) {
		u32 level = i % 3 == 2 ? 2 : 0;
		long live, bytes, n;
		int expected;

		generate_either(&g, first_seed + i);
		host.fail_at = 0;
		expected = load(&g, level);
		accepted += !expected;
		live = host.live;
		bytes = host.bytes;
		for (n = 1; n < ALLOCATIONS_MOST; n += 1 + n / 64) {
			int err;

			host.number = 0;
			host.fail_at = n;
			err = load(&g, level);
			loads++;
			if (host.number < n)
				break; /* it needs no more than that */
			failed += err == -ENOMEM;
			if (err != expected && err != -ENOMEM)
				test_fail(__FILE__, __LINE__,
					  "seed %llu, allocation %ld: %d, expected %d or -ENOMEM",
					  (unsigned long long)(first_seed + i), n, err, expected);
			if (host.live > live || host.bytes > bytes)
				test_fail(__FILE__, __LINE__,
					  "seed %llu, allocation %ld: %ld allocations, %ld bytes are left",
					  (unsigned long long)(first_seed + i), n, host.live - live,
					  host.bytes - bytes);
			if (test_case_failed)
				return;
		}
		host.fail_at = 0;
		CHECK_EQ(load(&g, level), expected);
	}
	printf("# %llu programs, %llu accepted; %llu loads, %llu of them gave -ENOMEM\n",
	       (unsigned long long)count, (unsigned long long)accepted, (unsigned long long)loads,
	       (unsigned long long)failed);
	CHECK(failed > count && accepted);
}

int main(int argc, char **argv)
{
	struct skep_options opts = {.size = sizeof(opts), .alloc = host_alloc, .alloc_ud = &host};

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--seed"))
			first_seed = strtoull(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--count"))
			count = strtoull(argv[i + 1], NULL, 0);
		else
			return fprintf(stderr, "usage: %s [--seed N] [--count N]\n", argv[0]), 2;
	}
	if (skep_open(&k, &opts)) {
		printf("Bail out! no engine\n");
		return 1;
	}
	map[MAP_IN_ARRAY] = skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, VALUE_BYTES, 4, 0);
	map[MAP_IN_HASH] = skep_map_create(k, BPF_MAP_TYPE_HASH, 8, VALUE_BYTES, 16, 0);
	map[MAP_IN_RING] = skep_map_create(k, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);
	RUN(every_allocation_of_a_load_fails_once);
	skep_close(k);
	for (u32 i = 0; i < GENERATED_MAPS; i++)
		close(map[i]);
	if (host.live || host.bytes) {
		printf("not ok 2 the engine leaves %ld allocations\n1..2\n", host.live);
		return 1;
	}
	return test_end();
}
