/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two processes run the same program on the same maps at the same time; one of them is killed -9 at a random instant, again and again. The other
 * goes on: nothing hangs, no completed update is lost, no value is torn.
 *
 *     t-sys-killed [KILLS]
 */
#include "sys_test.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { KEYS = 32, WORDS = 8 };
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { KILLS = 200 };
#else
enum { KILLS = 1500 };
#endif

/* Sets the element of the key to eight words of a number (2: update), or removes it if that is zero (3); counts its runs in an array (1: lookup). */
static const char text[] = "r6 = *(u64 *)(r1 +0)\n"
			   "r7 = *(u64 *)(r1 +8)\n"
			   "*(u32 *)(r10 -4) = r6\n"
			   "*(u32 *)(r10 -8) = 0\n"
			   "r1 = map[fd:%d]\n"
			   "r2 = r10\n"
			   "r2 += -8\n"
			   "call 1\n"
			   "if r0 == 0 goto none\n"
			   "r1 = 1\n"
			   "lock *(u64 *)(r0 +0) += r1\n"
			   "none: r1 = map[fd:%d]\n"
			   "r2 = r10\n"
			   "r2 += -4\n"
			   "if r7 == 0 goto remove\n"
			   "*(u64 *)(r10 -72) = r7\n"
			   "*(u64 *)(r10 -64) = r7\n"
			   "*(u64 *)(r10 -56) = r7\n"
			   "*(u64 *)(r10 -48) = r7\n"
			   "*(u64 *)(r10 -40) = r7\n"
			   "*(u64 *)(r10 -32) = r7\n"
			   "*(u64 *)(r10 -24) = r7\n"
			   "*(u64 *)(r10 -16) = r7\n"
			   "r3 = r10\n"
			   "r3 += -72\n"
			   "r4 = 0\n"
			   "call 2\n"
			   "exit\n"
			   "remove: call 3\n"
			   "r0 = 0\n"
			   "exit\n";

struct order {
	u64 key, x; /* as a raw tracepoint's arguments */
};

struct report {
	_Atomic u64 done[KEYS]; /* by the victim: the last update that was completed; 0: removed */
	_Atomic u64 key, begun; /* the update under way */
	_Atomic u64 going;
};

static struct skep *k;
static int runs, table, prog;
static u32 kills = KILLS;

static bool run(u32 key, u64 x)
{
	struct order o = {key, x};
	struct skep_run r = {.size = sizeof(r), .ctx = &o, .ctx_size = sizeof(o)};

	return !skep_run(k, prog, &r) && r.result == 0;
}

static void victim(struct report *r, u64 x)
{
	atomic_store(&r->going, 1);
	for (;; x++) {
		u32 key = (u32)(x * 2654435761u >> 7) % KEYS;
		u64 next = x % 5 ? x : 0;

		atomic_store(&r->key, key);
		atomic_store(&r->begun, next);
		if (!run(key, next))
			_exit(2);
		atomic_store(&r->done[key], next);
	}
}

static bool is_as_reported(struct report *r)
{
	for (u32 key = 0; key < KEYS; key++) {
		u64 v[WORDS] = {0}, done = atomic_load(&r->done[key]);
		int err = skep_map_lookup(k, table, &key, v);
		bool torn = false;

		for (u32 i = 1; i < WORDS; i++)
			torn = torn || v[i] != v[0];
		if (torn || (err && err != -ENOENT) || (v[0] != done && !(atomic_load(&r->key) == key && v[0] == atomic_load(&r->begun)))) {
			printf("# key %u: err %d, value %llu%s, completed %llu, under way %llu of key %llu\n", key, err, (unsigned long long)v[0], torn ? " and others" : "",
			       (unsigned long long)done, (unsigned long long)atomic_load(&r->begun), (unsigned long long)atomic_load(&r->key));
			return false;
		}
		atomic_store(&r->done[key], v[0]); /* what was under way is settled now */
	}
	return true;
}

/* The survivor's own keys. */
static bool works(u64 round)
{
	u64 v[WORDS];

	for (u32 i = 0; i < 4; i++) {
		u32 key = KEYS + (u32)(round + i) % KEYS;

		if (!run(key, round) || skep_map_lookup(k, table, &key, v) || v[0] != round || v[WORDS - 1] != round)
			return false;
	}
	return true;
}

TEST(a_killed_process_takes_nothing_with_it)
{
	struct report *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	u64 bad = 0, stuck = 0, died = 0, x = 1, random = (u64)getpid(), counted = 0, own = 0;
	char program[sizeof(text) + 16];
	u32 zero = 0;

	REQUIRE(r != MAP_FAILED && !skep_open(&k, NULL));
	runs = skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
	table = skep_map_create(k, BPF_MAP_TYPE_HASH, 4, WORDS * 8, 2 * KEYS, 0);
	snprintf(program, sizeof(program), text, runs, table);
	prog = load_text(k, BPF_PROG_TYPE_RAW_TRACEPOINT, program);
	REQUIRE(runs >= 0 && table >= 0 && prog >= 0);
	for (u32 round = 0; round < kills && bad + stuck + died < 3; round++) {
		pid_t pid;
		int status;

		atomic_store(&r->going, 0);
		pid = fork();
		if (!pid)
			victim(r, x);
		while (!atomic_load(&r->going))
			sched_yield();
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		for (u64 i = 0; i < (random >> 40) % 6; i++, own += 4)
			stuck += !works(round + 1);
		for (volatile u64 spin = (random >> 30) % 3000; spin; spin--)
			;
		kill(pid, SIGKILL);
		stuck += !works(round + 1); /* also while it is a zombie */
		waitpid(pid, &status, 0);
		died += !WIFSIGNALED(status);
		bad += !is_as_reported(r);
		stuck += !works(round + 1);
		own += 8;
		x = atomic_load(&r->begun) + 1000;
	}
	CHECK_EQ(bad, 0);
	CHECK_EQ(stuck, 0);
	CHECK_EQ(died, 0);
	CHECK(!skep_map_lookup(k, runs, &zero, &counted));
	CHECK(counted > own); /* the victims' runs are counted in the same array */
	close(prog);
	close(table);
	close(runs);
	skep_close(k);
	munmap(r, sizeof(*r));
}

int main(int argc, char **argv)
{
	if (argc > 1)
		kills = (u32)atoi(argv[1]);
	RUN(a_killed_process_takes_nothing_with_it);
	return test_end();
}
