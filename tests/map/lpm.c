/* SPDX-License-Identifier: BSD-2-Clause */
/* LPM_TRIE against a list of prefixes that is searched from end to end; under threads; with a writer that is killed. */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct key {
	u32 bits;
	u8 data[32];
};

enum { MOST = 400 };
struct model {
	struct key key[MOST];
	u64 value[MOST];
	u32 n, data_size;
};

static bool covers(const struct key *prefix, const struct key *key)
{
	if (prefix->bits > key->bits)
		return false;
	for (u32 i = 0; i < prefix->bits; i++)
		if ((prefix->data[i / 8] ^ key->data[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

static int model_find(const struct model *o, const struct key *k)
{
	for (u32 i = 0; i < o->n; i++)
		if (o->key[i].bits == k->bits && covers(&o->key[i], k))
			return (int)i;
	return -1;
}

static int model_longest(const struct model *o, const struct key *k)
{
	int best = -1;

	for (u32 i = 0; i < o->n; i++)
		if (covers(&o->key[i], k) && (best < 0 || o->key[i].bits > o->key[best].bits))
			best = (int)i;
	return best;
}

static u64 rng = 42;
static u32 below(u32 n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(rng >> 33) % n;
}

/* Few distinct bits, so that prefixes of prefixes are common. */
static struct key random_key(u32 data_size)
{
	struct key k = {.bits = below(data_size * 8 + 1)};

	for (u32 i = 0; i < data_size; i++)
		k.data[i] = (u8)(below(3) ? 0 : below(4) ? 1u << below(8) : below(256));
	return k;
}

static void walk_all(struct map *m, const struct hold *h, const struct model *o)
{
	struct key all[MOST], *at = NULL, next = {0};
	u32 n = 0;

	while (n < MOST && m->ops->next_key(m, h, at, &next) == 0) {
		CHECK(model_find(o, &next) >= 0);
		for (u32 i = 0; i < n; i++)
			CHECK(!covers(&all[i], &next)); /* what is inside of a prefix comes before it */
		all[n] = next;
		at = &all[n++];
	}
	CHECK_EQ(n, o->n);
}

static void against_model(u32 data_size, u32 rounds)
{
	static struct model o;
	struct fixture f;
	struct map m;
	struct hold h;
	u64 got;

	memset(&o, 0, sizeof(o));
	fixture_open(&f);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_LPM_TRIE, 4 + data_size, 8, MOST / 2, BPF_F_NO_PREALLOC) == 0);
	REQUIRE(hold_take(f.domain, &h) == 0);
	for (u32 round = 0; round < rounds; round++) {
		struct key k = random_key(data_size);
		int at = model_find(&o, &k), best = model_longest(&o, &k);
		u64 value = round, flags = below(4), *found;

		switch (below(4)) {
		case 0:
		case 1:
			if (flags == 3)
				CHECK_EQ(m.ops->update(&m, &h, &k, &value, flags), -EINVAL);
			else if (at >= 0 && flags == BPF_NOEXIST)
				CHECK_EQ(m.ops->update(&m, &h, &k, &value, flags), -EEXIST);
			else if (at < 0 && flags == BPF_EXIST)
				CHECK_EQ(m.ops->update(&m, &h, &k, &value, flags), -ENOENT);
			else if (at < 0 && o.n == MOST / 2)
				CHECK_EQ(m.ops->update(&m, &h, &k, &value, flags), -ENOSPC);
			else {
				CHECK_EQ(m.ops->update(&m, &h, &k, &value, flags), 0);
				o.key[at < 0 ? (int)o.n : at] = k;
				o.value[at < 0 ? (int)o.n++ : at] = value;
			}
			break;
		case 2:
			CHECK_EQ(m.ops->remove(&m, &h, &k), at < 0 ? -ENOENT : 0);
			if (at >= 0) {
				o.key[at] = o.key[--o.n];
				o.value[at] = o.value[o.n];
			}
			break;
		default:
			found = m.ops->lookup(&m, &h, &k);
			CHECK_EQ(found != NULL, best >= 0);
			if (found && best >= 0) {
				CHECK_EQ(*found, o.value[best]);
				CHECK(m.ops->in_value(&m, found, 8) && !m.ops->in_value(&m, (u8 *)found + 1, 8));
				CHECK_EQ(m.ops->get(&m, &h, &k, &got, 0), 0);
				CHECK_EQ(got, o.value[best]);
			}
			k.bits = data_size * 8 + 1;
			CHECK(m.ops->lookup(&m, &h, &k) == NULL);
			CHECK_EQ(m.ops->update(&m, &h, &k, &value, 0), -EINVAL);
			CHECK_EQ(m.ops->remove(&m, &h, &k), -EINVAL);
		}
		if (round % 512 == 0)
			walk_all(&m, &h, &o);
	}
	CHECK(o.n > 20);
	walk_all(&m, &h, &o);
	hold_drop(&h);
	map_close(&m);
	fixture_close(&f);
}

TEST(tries_of_all_sizes_find_the_longest_prefix)
{
	static const u32 sizes[] = {1, 2, 4, 5, 7, 8, 9, 13, 16, 32};

	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++)
		against_model(sizes[i], 6000);
}

/* ---- threads: readers always find a value that fits the prefix, whatever writers replace, insert and remove ---- */

struct load {
	struct fixture *f;
	struct map *m;
	_Atomic bool *stop;
	u32 number, bad;
	_Atomic u64 ops;
};

static struct key v4(u32 address, u32 bits)
{
	struct key k = {.bits = bits};

	address = __builtin_bswap32(address);
	memcpy(k.data, &address, 4);
	return k;
}

static void *write_trie(void *ud)
{
	struct load *l = ud;
	u64 seed = l->number;

	while (!atomic_load(l->stop)) {
		struct hold h;
		u32 net, bits;
		u64 v[4];
		struct key k;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		net = (u32)(seed >> 60) << 24 | (u32)(seed >> 56 & 15) << 16 | (u32)(seed >> 52 & 15) << 8;
		bits = 16 + (u32)(seed >> 40 & 1) * 8;
		k = v4(net, bits);
		v[0] = bits;
		v[1] = v[2] = v[3] = l->ops++ * 2 + l->number;
		if (hold_take(l->f->domain, &h))
			continue;
		if (seed >> 38 & 1)
			l->bad += l->m->ops->update(l->m, &h, &k, v, 0) != 0;
		else
			l->m->ops->remove(l->m, &h, &k);
		hold_drop(&h);
	}
	return NULL;
}

static void *read_trie(void *ud)
{
	struct load *l = ud;
	u64 seed = l->number;

	while (!atomic_load(l->stop)) {
		struct hold h;
		struct key k;
		_Atomic u64 *v;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		k = v4((u32)(seed >> 32) & 0x0f0f0fff, 32);
		if (hold_take(l->f->domain, &h))
			continue;
		v = l->m->ops->lookup(l->m, &h, &k);
		if (!v)
			l->bad++; /* 0.0.0.0/0 is always there */
		else {
			u64 bits = v[0], a = v[1], b = v[2], c = v[3];

			l->bad += (bits != 0 && bits != 16 && bits != 24) || a != b || b != c;
		}
		l->ops++;
		hold_drop(&h);
	}
	return NULL;
}

TEST(readers_meet_no_torn_value_and_no_gap_under_writers)
{
	static _Atomic bool stop;
	struct fixture f;
	struct map m;
	struct hold h;
	pthread_t t[4];
	struct load l[4];
	struct key all = {0}, next;
	u64 zero[4] = {0};
	u32 n = 0;

	fixture_open(&f);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_LPM_TRIE, 8, 32, 10000, BPF_F_NO_PREALLOC) == 0);
	REQUIRE(hold_take(f.domain, &h) == 0);
	CHECK_EQ(m.ops->update(&m, &h, &all, zero, 0), 0);
	hold_drop(&h);
	for (u32 i = 0; i < 4; i++) {
		l[i] = (struct load){&f, &m, &stop, i, 0, 0};
		pthread_create(&t[i], NULL, i < 2 ? write_trie : read_trie, &l[i]);
	}
	for (u32 ms = 0, least = 0; ms < 600 || (least <= 100 && ms < 60000); ms++) { /* a loaded machine takes its time */
		usleep(1000);
		least = UINT32_MAX;
		for (u32 i = 0; i < 4; i++)
			least = MIN(least, (u32)l[i].ops);
	}
	atomic_store(&stop, true);
	for (u32 i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		CHECK_EQ(l[i].bad, 0);
		CHECK(l[i].ops > 100);
	}
	REQUIRE(hold_take(f.domain, &h) == 0);
	for (void *at = NULL; m.ops->next_key(&m, &h, at, &next) == 0; at = &all, n++)
		all = next;
	CHECK(n > 1 && n <= 16 * 16 + 16 * 16 * 16 + 1);
	while (m.ops->next_key(&m, &h, NULL, &next) == 0 && n--)
		CHECK_EQ(m.ops->remove(&m, &h, &next), 0);
	CHECK_EQ(n, 0);
	hold_drop(&h);
	map_close(&m);
	fixture_close(&f);
}

/* ---- a writer that is killed: the trie holds what its log says, but for the operation that was under way ---- */

enum { ADDRESSES = 64 };
struct log {
	_Atomic u64 stored[ADDRESSES]; /* value of 10.0.0.i/32; 0 none */
	_Atomic u32 doing; /* address + 1 */
};

static void die_writing(struct fixture *f, struct map *m, struct log *log, u64 seed)
{
	for (u64 i = 1;; i++) {
		u32 who;
		struct key k;
		struct hold h;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		who = (u32)(seed >> 40) % ADDRESSES;
		k = v4(0x0a000000 + who, 32);
		if (hold_take(f->domain, &h))
			_exit(1);
		atomic_store(&log->doing, who + 1);
		if (seed >> 62) {
			if (m->ops->update(m, &h, &k, &i, 0))
				_exit(2);
			atomic_store(&log->stored[who], i);
		} else {
			m->ops->remove(m, &h, &k);
			atomic_store(&log->stored[who], 0);
		}
		atomic_store(&log->doing, 0);
		hold_drop(&h);
	}
}

TEST(killed_writers_lose_no_finished_update)
{
	enum { KILLS = 400 };
	struct fixture f;
	struct map m;
	struct hold h;
	struct log *log = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	u32 wrong = 0;

	fixture_open(&f);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_LPM_TRIE, 8, 8, ADDRESSES, BPF_F_NO_PREALLOC) == 0);
	for (u32 round = 0; round < KILLS; round++) {
		pid_t child = fork();
		u32 doing;
		int status;

		if (child == 0)
			die_writing(&f, &m, log, round + 1);
		REQUIRE(child > 0);
		usleep(200 + below(1500));
		kill(child, SIGKILL);
		REQUIRE(waitpid(child, &status, 0) == child);
		CHECK(WIFSIGNALED(status));
		doing = atomic_load(&log->doing);
		atomic_store(&log->doing, 0);
		REQUIRE(hold_take(f.domain, &h) == 0);
		for (u32 i = 0; i < ADDRESSES; i++) {
			struct key k = v4(0x0a000000 + i, 32);
			u64 *v = m.ops->lookup(&m, &h, &k);

			if (i + 1 == doing)
				atomic_store(&log->stored[i], v ? *v : 0);
			wrong += (v ? *v : 0) != atomic_load(&log->stored[i]);
		}
		hold_drop(&h);
	}
	CHECK_EQ(wrong, 0);
	map_close(&m);
	fixture_close(&f);
}

int main(void)
{
	RUN_ONE_THREAD(tries_of_all_sizes_find_the_longest_prefix);
	RUN(readers_meet_no_torn_value_and_no_gap_under_writers);
	RUN(killed_writers_lose_no_finished_update);
	return test_end();
}
