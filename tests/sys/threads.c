/* SPDX-License-Identifier: BSD-2-Clause */
/* Four threads make, use, find and drop objects of one engine; then each an engine of its own. */
#include "sys_test.h"

#include <pthread.h>

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
		{.code = 0x18, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map}, {0},
		{.code = 0xbf, .dst_reg = 2, .src_reg = 10}, {.code = 0x07, .dst_reg = 2, .imm = -4},
		{.code = 0x85, .imm = BPF_FUNC_map_lookup_elem},
		{.code = 0x15, .dst_reg = 0, .off = 2, .imm = 0}, /* if r0 == 0 goto +2 */
		{.code = 0xb7, .dst_reg = 1, .imm = 1}, {.code = 0xdb, .dst_reg = 0, .src_reg = 1}, /* lock *(u64 *)r0 += 1 */
		{.code = 0xb7, .dst_reg = 0, .imm = 2}, {.code = 0x95},
	};

	return skep_prog_load(k, &(struct skep_prog){.size = sizeof(struct skep_prog), .type = BPF_PROG_TYPE_XDP, .insns = code,
						     .n_insns = ARRAY_SIZE(code), .license = "GPL"}, NULL, 0);
}

static void *work(void *arg)
{
	struct skep *k = arg;
	char data[64] = {0};
	struct skep_packet p = {.data = data, .size = sizeof(data)};
	uint32_t key = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int map = skep_map_create(k, i % 2 ? BPF_MAP_TYPE_HASH : BPF_MAP_TYPE_ARRAY, 4, 8, 4, 0), prog, other;
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

int main(void)
{
	RUN(threads_share_an_engine);
	RUN(threads_have_engines_of_their_own);
	return test_end();
}
