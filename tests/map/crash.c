/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two processes use the same map; one of them is killed -9 at a random instant, again and again. The other goes on: nothing
 * hangs, no completed update is lost, no value is torn, no node is lost.
 *
 * The victim reports each completed update in shared memory before it begins the next one.
 *
 *     t-map-crash [KILLS [PIN_KILLS]]    how often, of a process with a map of its engine's and of one with a pinned map
 */
#include "fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KEYS = 32, WORDS = 8 };
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { KILLS = 300, PIN_KILLS = 60 };
#else
enum { KILLS = 10000, PIN_KILLS = 2000 }; /* each of the latter makes an engine */
#endif

struct report {
	_Atomic u64 done[KEYS]; /* by the victim: value + 1 of the last completed update, 0 when removed */
	_Atomic u64 begun; /* key * 2^56 + value of the update under way */
	_Atomic u64 going;
};

static struct fixture f;
static u32 kills = KILLS, pin_kills = PIN_KILLS;

static void fill(u64 *v, u64 x)
{
	for (u32 i = 0; i < WORDS; i++)
		v[i] = x;
}

/* Keys 0 .. KEYS - 1 belong to the victim. */
static void victim(struct fixture *mine, struct map *m, struct report *r, u64 seed)
{
	u64 v[WORDS];

	atomic_store(&r->going, 1);
	for (u64 x = seed;; x++) {
		u32 key = (u32)(x * 2654435761u >> 7) % KEYS;
		struct hold h;
		bool remove = x % 5 == 0;

		if (hold_take(mine->domain, &h))
			_exit(2);
		atomic_store(&r->begun, (u64)key << 56 | (remove ? 0 : x));
		if (remove) {
			m->ops->remove(m, &h, &key);
		} else {
			fill(v, x);
			int err = m->ops->update(m, &h, &key, v, BPF_ANY);

			if (err)
				_exit(-err);
		}
		atomic_store(&r->done[key], remove ? 0 : x + 1);
		hold_drop(&h);
	}
}

/* What the survivor finds must be what was completed last, or what was under way. */
static bool check(struct map *m, struct report *r)
{
	u64 begun = atomic_load(&r->begun);
	struct hold h;
	bool ok = true;

	if (hold_take(f.domain, &h)) {
		printf("# no slot could be had\n");
		return false;
	}
	for (u32 key = 0; key < KEYS; key++) {
		u64 v[WORDS], done = atomic_load(&r->done[key]);
		int err = m->ops->get(m, &h, &key, v, 0);
		bool under_way = begun >> 56 == key;
		u64 next = begun & 0xffffffffffffffull;

		for (u32 i = 1; !err && i < WORDS; i++)
			ok &= v[i] == v[0];
		if (err ? done != 0 && !(under_way && next == 0) : v[0] + 1 != done && !(under_way && v[0] == next))
			ok = false;
		if (!ok) {
			printf("# key %u: err %d, value %llu, completed %llu, under way %llx\n", key, err, err ? 0ull : (unsigned long long)v[0],
			       (unsigned long long)done, (unsigned long long)begun);
			break;
		}
		atomic_store(&r->done[key], err ? 0 : v[0] + 1); /* what was under way is settled now */
	}
	hold_drop(&h);
	return ok;
}

/* The survivor's own work: keys from KEYS on. Every operation must succeed. */
static bool work(struct map *m, u64 round)
{
	u64 v[WORDS], got[WORDS];
	struct hold h;
	bool ok = true;
	int err;

	for (u32 i = 0; i < 4 && ok; i++) {
		u32 key = KEYS + (u32)(round + i) % KEYS;

		if (hold_take(f.domain, &h))
			return false;
		fill(v, round);
		err = m->ops->update(m, &h, &key, v, BPF_ANY);
		if (!err)
			err = m->ops->get(m, &h, &key, got, 0);
		ok = !err && got[0] == round;
		if (!ok)
			printf("# round %llu: key %u: err %d, value %llu\n", (unsigned long long)round, key, err, err ? 0ull : (unsigned long long)got[0]);
		hold_drop(&h);
	}
	return ok;
}

static int fill_all(struct map *m)
{
	u64 v[WORDS];
	struct hold h;
	u32 n = 0;

	if (hold_take(f.domain, &h))
		return -1;
	fill(v, 1);
	for (u32 key = 0; key < 10 * KEYS; key++)
		n += m->ops->update(m, &h, &key, v, BPF_ANY) == 0;
	hold_drop(&h);
	return (int)n;
}

TEST(a_killed_process_takes_nothing_with_it)
{
	struct report *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	u64 bad = 0, stuck = 0, died = 0, seed = 1, random = (u64)getpid();
	struct map m;

	REQUIRE(fixture_create(&f, &m, BPF_MAP_TYPE_HASH, 4, WORDS * 8, 2 * KEYS, 0) == 0);
	for (u32 round = 0; round < kills && bad + stuck + died < 3; round++) {
		pid_t pid;
		int status;

		atomic_store(&r->going, 0);
		pid = fork();
		if (pid == 0)
			victim(&f, &m, r, seed);
		while (!atomic_load(&r->going))
			sched_yield();
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		for (u64 i = 0; i < (random >> 40) % 6; i++)
			stuck += !work(&m, round + 1);
		for (volatile u64 spin = (random >> 30) % 3000; spin; spin--)
			;
		kill(pid, SIGKILL);
		stuck += !work(&m, round + 1); /* also while it is a zombie */
		waitpid(pid, &status, 0);
		died += !WIFSIGNALED(status);
		if (!WIFSIGNALED(status))
			printf("# round %u: the victim got errno %d\n", round, WEXITSTATUS(status));
		bad += !check(&m, r);
		stuck += !work(&m, round + 1);
		seed = (atomic_load(&r->begun) & 0xffffffffffffffull) + 1000;
	}
	CHECK_EQ(bad, 0);
	CHECK_EQ(stuck, 0);
	CHECK_EQ(died, 0);
	/* No node was lost and none doubled: the map takes exactly as many elements as it was made for. */
	CHECK_EQ(fill_all(&m), 2 * KEYS);
	map_close(&m);
	munmap(r, sizeof(*r));
}

/* ---- a pinned map: each victim is an engine of its own that opens it; the survivor's engine ends, too, and a later one goes on ---- */

static char slots_path[] = "/tmp/skep-slots-XXXXXX", pin_path[] = "/tmp/skep-crash-XXXXXX";

static int open_pin(struct fixture *mine, struct map *m)
{
	int slots = open(slots_path, O_RDWR | O_CLOEXEC), fd = open(pin_path, O_RDWR | O_CLOEXEC), err;
	void *btf;
	u32 size;

	fixture_open(mine);
	err = domain_join(mine->domain, slots);
	fixture_map(mine, m);
	err = err ? err : map_adopt(m, fd, &btf, &size);
	close(slots);
	close(fd);
	return err;
}

static void pin_victim(struct report *r, u64 seed)
{
	struct fixture mine;
	struct map m;
	int err = open_pin(&mine, &m);

	if (err)
		_exit(-err);
	victim(&mine, &m, r, seed);
}

static int make_pin(struct map *m)
{
	int pin = mkstemp(pin_path), slots = mkstemp(slots_path), err;

	fixture_open(&f);
	err = domain_join(f.domain, slots);
	err = err ? err : fixture_create(&f, m, BPF_MAP_TYPE_HASH, 4, WORDS * 8, 2 * KEYS, 0);
	err = err ? err : map_pin_write(m, pin, NULL, 0);
	close(slots);
	close(pin);
	return err;
}

TEST(a_pinned_map_outlives_who_opened_it)
{
	enum { ENGINE_LASTS = 50 };
	struct report *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	u64 bad = 0, stuck = 0, died = 0, seed = 1, random = (u64)getpid();
	struct map m;

	REQUIRE(make_pin(&m) == 0);
	for (u32 round = 0; round < pin_kills && bad + stuck + died < 3; round++) {
		pid_t pid;
		int status;

		if (round % ENGINE_LASTS == ENGINE_LASTS - 1) {
			map_close(&m);
			fixture_close(&f);
			REQUIRE(open_pin(&f, &m) == 0);
			bad += !check(&m, r);
		}
		atomic_store(&r->going, 0);
		pid = fork();
		if (pid == 0)
			pin_victim(r, seed);
		while (!atomic_load(&r->going) && !waitpid(pid, &status, WNOHANG))
			sched_yield();
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		for (u64 i = 0; i < (random >> 40) % 6; i++)
			stuck += !work(&m, round + 1);
		for (volatile u64 spin = (random >> 30) % 3000; spin; spin--)
			;
		kill(pid, SIGKILL);
		stuck += !work(&m, round + 1);
		if (waitpid(pid, &status, 0) == pid || !atomic_load(&r->going))
			died += !WIFSIGNALED(status);
		if (!WIFSIGNALED(status))
			printf("# round %u: the victim got errno %d\n", round, WEXITSTATUS(status));
		bad += !check(&m, r);
		seed = (atomic_load(&r->begun) & 0xffffffffffffffull) + 1000;
	}
	CHECK_EQ(bad, 0);
	CHECK_EQ(stuck, 0);
	CHECK_EQ(died, 0);
	map_close(&m);
	fixture_close(&f);
	REQUIRE(open_pin(&f, &m) == 0);
	CHECK(check(&m, r));
	CHECK_EQ(fill_all(&m), 2 * KEYS);
	map_close(&m);
	fixture_close(&f);
	munmap(r, sizeof(*r));
}

int main(int argc, char **argv)
{
	if (argc > 1)
		kills = (u32)strtoul(argv[1], NULL, 0);
	if (argc > 2)
		pin_kills = (u32)strtoul(argv[2], NULL, 0);
	fixture_open(&f);
	RUN(a_killed_process_takes_nothing_with_it);
	fixture_close(&f);
	RUN(a_pinned_map_outlives_who_opened_it);
	unlink(pin_path);
	unlink(slots_path);
	return test_end();
}
