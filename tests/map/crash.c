/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two processes use the same map; one of them is killed -9 at a random instant, again and again. The other goes on: nothing
 * hangs, no completed update is lost, no value is torn, no node is lost.
 *
 * One that is in the middle of a replacement is killed at each of its instructions, too.
 *
 * The victim reports each completed update in shared memory before it begins the next one.
 *
 *     t-map-crash [KILLS [PIN_KILLS]]    how often, of a process with a map of its engine's and of one with a pinned map
 */
#include "fixture.h"

#include "map/hash.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KEYS = 32, WORDS = 8 };
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { KILLS = 300, PIN_KILLS = 60, STEPS = 7 };
#else
enum { KILLS = 10000, PIN_KILLS = 2000, STEPS = 1 }; /* each of the latter makes an engine */
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

/* ---- killed at each instruction of a replacement, which is where an element and a node change places ---- */

/* A child that takes a slot and is about to replace the element; it runs `steps` instructions, then it is killed. Did it get to the end? */
static bool step_and_kill(struct map *m, u32 key, u64 x, u32 steps, struct hold *its)
{
	u64 v[WORDS];
	int status;
	pid_t pid;

	fill(v, x);
	pid = fork();
	if (pid == 0) {
		if (hold_take(f.domain, its) || ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(1);
		syscall(SYS_kill, getpid(), SIGSTOP);
		m->ops->update(m, its, &key, v, BPF_ANY);
		syscall(SYS_exit_group, 0);
	}
	waitpid(pid, &status, 0);
	while (WIFSTOPPED(status) && steps--) {
		ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
		waitpid(pid, &status, 0);
	}
	if (!WIFEXITED(status)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return WIFEXITED(status);
}

static bool swap_left(const struct map *m)
{
	const struct hash *t = hash_of(m);
	bool any = false;

	for (u32 i = 0; i < t->n_slots; i++)
		any |= atomic_load(&t->slots[i].swap) != 0;
	return any;
}

/* While nobody is at work: how many nodes that were ever used are in no place, or in two. */
static u32 misplaced(const struct map *m)
{
	const struct hash *t = hash_of(m);
	u32 wrong = 0, used = MIN(atomic_load(t->fresh), t->n_nodes), *places = calloc(t->n_nodes + 2, sizeof(*places));

	for (u32 b = 0; b <= t->mask; b++)
		for (u32 at = atomic_load(&t->buckets[b].head); at && !(at & HASH_END); at = atomic_load(&hash_node_at(t, at - 1)->next))
			places[at]++;
	for (u32 at = atomic_load(t->spill); at; at = atomic_load(&hash_node_at(t, at - 1)->next))
		places[at]++;
	for (u32 i = 0; i < t->n_slots; i++) {
		struct hash_slot *s = &t->slots[i];

		for (u32 k = 0; k < atomic_load(&s->n_free); k++)
			places[atomic_load(&s->free[k]) + 1]++;
		for (u32 l = 0; l < HASH_LIMBOS; l++)
			for (u32 k = 0; k < atomic_load(&s->n_limbo[l]); k++)
				places[atomic_load(&s->limbo[l][k]) + 1]++;
		for (u32 k = 0; k < HASH_RING; k++)
			places[atomic_load(&s->ring[k])]++;
	}
	for (u32 i = 1; i <= used; i++)
		wrong += places[i] != 1;
	free(places);
	return wrong;
}

/* The element as one who goes on finds it: whole, and as it was, or as the dead one wanted it. */
static bool goes_on(struct map *m, const struct hold *h, u32 key, u64 was)
{
	u64 v[WORDS] = {0};
	bool ok = m->ops->get(m, h, &key, v, 0) == 0 && (v[0] == was || v[0] == was + 1);

	for (u32 i = 1; i < WORDS; i++)
		ok &= v[i] == v[0];
	fill(v, was + 2);
	return ok && m->ops->update(m, h, &key, v, BPF_ANY) == 0 && m->ops->get(m, h, &key, v, 0) == 0 && v[0] == was + 2;
}

static void cut_short(struct map *m, bool same_slot)
{
	struct hold *its = mmap(NULL, sizeof(*its), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), h;
	u64 swaps = 0, wrong = 0, at[KEYS] = {0};
	bool end = false;

	for (u32 step = 0; !end; step += STEPS) {
		u32 key = step / STEPS % KEYS;
		u64 v[WORDS], was = at[key];

		REQUIRE(hold_take(f.domain, &h) == 0);
		fill(v, was);
		wrong += m->ops->update(m, &h, &key, v, BPF_ANY) != 0;
		hold_drop(&h);
		end = step_and_kill(m, key, was + 1, step, its);
		swaps += swap_left(m);
		REQUIRE(hold_take(f.domain, &h) == 0);
		if (same_slot) {
			CHECK(hold_gone(&h, its->tag));
			hold_drop(&h);
			REQUIRE(hold_take_at(f.domain, &h, its->index) == 0);
			CHECK_EQ(h.index, its->index);
		}
		wrong += !goes_on(m, &h, key, was);
		hold_gone(&h, its->tag);
		hold_drop(&h);
		at[key] = was + 2;
	}
	CHECK_EQ(wrong, 0);
	CHECK(swaps > 0);
	CHECK(!swap_left(m));
	munmap(its, sizeof(*its));
}

TEST(a_replacement_can_be_cut_short_anywhere)
{
	struct map m;

	REQUIRE(fixture_create(&f, &m, BPF_MAP_TYPE_HASH, 4, WORDS * 8, 2 * KEYS, 0) == 0);
	for (u32 i = 0; i < 400; i++)
		work(&m, i); /* nodes come into the ring */
	cut_short(&m, true);
	if (domain_cpus(f.domain) > 1)
		cut_short(&m, false);
	CHECK_EQ(fill_all(&m), 2 * KEYS);
	CHECK_EQ(misplaced(&m), 0);
	map_close(&m);
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
#ifndef __SANITIZE_THREAD__ /* its own code would be stepped through */
	RUN(a_replacement_can_be_cut_short_anywhere);
#endif
	fixture_close(&f);
	RUN(a_pinned_map_outlives_who_opened_it);
	unlink(pin_path);
	unlink(slots_path);
	return test_end();
}
