/* SPDX-License-Identifier: BSD-2-Clause */
/* The hash kinds under threads, signals and spoiled bytes. What they do one call at a time is compared with the kernel's in oracle.c. */
#include "fixture.h"

#include "map/hash.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

enum { THREADS = 4, KEYS = 64, WORDS = 8 };
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || defined(SKEP_HOSTILE)
enum { ROUNDS = 4000 };
#else
enum { ROUNDS = 40000 };
#endif
enum { SPOIL_SECONDS = 3 }; /* for each kind */

static struct fixture f;

struct value {
	u64 word[WORDS]; /* all the same: a mixture is seen */
};

static struct value uniform(u64 x)
{
	struct value v;

	for (u32 i = 0; i < WORDS; i++)
		v.word[i] = x;
	return v;
}

static bool torn(const struct value *v)
{
	for (u32 i = 1; i < WORDS; i++)
		if (v->word[i] != v->word[0])
			return true;
	return false;
}

static struct hold held(void)
{
	struct hold h;

	if (hold_take(f.domain, &h))
		abort();
	return h;
}

/* ---- threads ---- */

struct worker {
	struct map *map;
	u32 id;
	u64 torn, errors, inserted, removed;
	_Atomic bool *stop, looked;
};

static void *replace_values(void *ud)
{
	struct worker *w = ud;

	for (u32 i = 0; i < ROUNDS; i++) {
		u32 key = (i * 7 + w->id) % KEYS;
		struct value v = uniform((u64)i << 8 | w->id);
		struct hold h = held();

		if (w->map->ops->update(w->map, &h, &key, &v, BPF_ANY))
			w->errors++;
		hold_drop(&h);
	}
	return NULL;
}

static void *read_values(void *ud)
{
	struct worker *w = ud;

	for (u32 i = 0; !atomic_load(w->stop); i++) {
		u32 key = i % KEYS;
		struct hold h = held();
		/* As a program does: a pointer, then the words, one after the other. */
		const u64 *p = w->map->ops->lookup(w->map, &h, &key);
		struct value v;

		for (u32 k = 0; p && k < WORDS; k++)
			v.word[k] = __atomic_load_n(&p[k], __ATOMIC_RELAXED);
		if (p && torn(&v))
			w->torn++;
		if (w->map->ops->get(w->map, &h, &key, &v, 0) == 0 && torn(&v))
			w->torn++;
		hold_drop(&h);
	}
	return NULL;
}

TEST(a_reader_sees_the_old_or_the_new_value)
{
	_Atomic bool stop = false;
	struct worker writer[2] = {{0}}, reader[2] = {{0}};
	pthread_t t[THREADS];
	struct map m;

	REQUIRE(fixture_create(&f, &m, BPF_MAP_TYPE_HASH, 4, sizeof(struct value), KEYS, 0) == 0);
	for (u32 i = 0; i < 2; i++) {
		writer[i] = (struct worker){.map = &m, .id = i};
		reader[i] = (struct worker){.map = &m, .stop = &stop};
		pthread_create(&t[i], NULL, replace_values, &writer[i]);
		pthread_create(&t[2 + i], NULL, read_values, &reader[i]);
	}
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	atomic_store(&stop, true);
	pthread_join(t[2], NULL);
	pthread_join(t[3], NULL);
	CHECK_EQ(writer[0].errors + writer[1].errors, 0);
	CHECK_EQ(reader[0].torn + reader[1].torn, 0);
	map_close(&m);
}

/* Each thread has keys of its own and knows what must be in the map. */
static void *churn(void *ud)
{
	struct worker *w = ud;
	u64 expect[KEYS] = {0}, random = w->id * 77 + 1;

	for (u32 i = 0; i < ROUNDS; i++) {
		u32 slot = (u32)((random = random * 6364136223846793005ull + 1442695040888963407ull) >> 40) % KEYS;
		u32 key = slot * THREADS + w->id;
		struct value v = uniform(i + 1), got;
		struct hold h = held();
		int err;

		if (random >> 33 & 1) {
			err = w->map->ops->update(w->map, &h, &key, &v, BPF_ANY);
			expect[slot] = i + 1;
		} else {
			err = w->map->ops->remove(w->map, &h, &key);
			err = expect[slot] ? err : err == -ENOENT ? 0 : -EINVAL;
			expect[slot] = 0;
		}
		w->errors += err != 0;
		err = w->map->ops->get(w->map, &h, &key, &got, 0);
		if (expect[slot] ? err || got.word[0] != expect[slot] : err != -ENOENT)
			w->errors++;
		hold_drop(&h);
	}
	for (u32 i = 0; i < KEYS; i++)
		w->inserted += expect[i] != 0;
	return NULL;
}

static u64 count_keys(struct map *m)
{
	struct hold h = held();
	u8 key[64], next[64];
	u64 n = 0;

	for (bool first = true; n < 100000 && !m->ops->next_key(m, &h, first ? NULL : key, next); n++, first = false)
		memcpy(key, next, m->spec.key_size);
	hold_drop(&h);
	return n;
}

TEST(no_update_is_lost)
{
	struct worker w[THREADS] = {{0}};
	pthread_t t[THREADS];
	struct map m;
	u64 live = 0;

	REQUIRE(fixture_create(&f, &m, BPF_MAP_TYPE_HASH, 4, sizeof(struct value), KEYS * THREADS, 0) == 0);
	for (u32 i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.map = &m, .id = i};
		pthread_create(&t[i], NULL, churn, &w[i]);
	}
	for (u32 i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		CHECK_EQ(w[i].errors, 0);
		live += w[i].inserted;
	}
	CHECK_EQ(count_keys(&m), live);
	map_close(&m);
}

static void *fill_up(void *ud)
{
	struct worker *w = ud;

	for (u32 i = 0; i < 1000; i++) {
		u32 key = i * THREADS + w->id;
		struct value v = uniform(key);
		struct hold h = held();
		int err = w->map->ops->update(w->map, &h, &key, &v, BPF_NOEXIST);

		hold_drop(&h);
		w->inserted += err == 0;
		w->errors += err && err != -E2BIG;
	}
	return NULL;
}

TEST(a_full_map_is_exactly_full)
{
	struct worker w[THREADS] = {{0}};
	pthread_t t[THREADS];
	struct map m;
	u64 inserted = 0;

	REQUIRE(fixture_create(&f, &m, BPF_MAP_TYPE_HASH, 4, sizeof(struct value), 777, 0) == 0);
	for (u32 i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.map = &m, .id = i};
		pthread_create(&t[i], NULL, fill_up, &w[i]);
	}
	for (u32 i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		inserted += w[i].inserted;
		CHECK_EQ(w[i].errors, 0);
	}
	CHECK_EQ(inserted, 777);
	CHECK_EQ(count_keys(&m), 777);
	map_close(&m);
}

/* ---- waiting for what others may still read ---- */

static double seconds(void)
{
	return (double)os_clock_ns(CLOCK_MONOTONIC) / 1e9;
}

static void *update_in_one_run(void *ud)
{
	struct worker *w = ud;
	struct hold h = held();

	for (u32 i = 0; i < ROUNDS / 6; i++) {
		struct value v = uniform(i);
		u32 key = i % 8;

		w->errors += w->map->ops->update(w->map, &h, &key, &v, BPF_ANY) != 0;
	}
	hold_drop(&h);
	return NULL;
}

/* Each retires more than it may keep, while the other's run, which began before, goes on. */
TEST(long_runs_do_not_wait_for_each_other_to_end)
{
	struct worker w[2] = {{0}};
	double start = seconds();
	pthread_t t[2];
	struct map m;

	REQUIRE(fixture_create(&f, &m, BPF_MAP_TYPE_HASH, 4, sizeof(struct value), 16, 0) == 0);
	for (u32 i = 0; i < 2; i++) {
		w[i] = (struct worker){.map = &m, .id = i};
		pthread_create(&t[i], NULL, update_in_one_run, &w[i]);
	}
	for (u32 i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(w[0].errors + w[1].errors, 0);
	CHECK_EQ(count_keys(&m), 8);
	CHECK(seconds() - start < 5);
	map_close(&m);
}

static void *look_and_stop(void *ud)
{
	struct worker *w = ud;
	struct hold h = held();
	u32 key = 1;
	const u64 *p = w->map->ops->lookup(w->map, &h, &key);

	w->inserted = p && *p == 1;
	atomic_store(&w->looked, true);
	while (!atomic_load(w->stop))
		os_yield();
	hold_drop(&h);
	return NULL;
}

TEST(a_stopped_reader_stops_no_writer)
{
	enum { WAITS = 4 /* for the reader, each of a second */, UPDATES = (HASH_LIMBOS + WAITS) * HASH_BATCH };
	_Atomic bool stop = false;
	struct worker reader = {0};
	u32 key = 1, errors = 0;
	pthread_t t;
	struct map m;
	struct hold h;

	REQUIRE(fixture_create(&f, &m, BPF_MAP_TYPE_HASH, 4, sizeof(struct value), 4, 0) == 0);
	for (u32 i = 0; i < UPDATES; i++) {
		struct value v = uniform(i + 1);

		if (i == 1) {
			reader = (struct worker){.map = &m, .stop = &stop};
			pthread_create(&t, NULL, look_and_stop, &reader);
			while (!atomic_load(&reader.looked))
				os_yield();
		}
		h = held();
		errors += m.ops->update(&m, &h, &key, &v, BPF_ANY) != 0;
		hold_drop(&h);
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	CHECK_EQ(reader.inserted, 1);
	CHECK_EQ(errors, 0);
	map_close(&m);
}

static void *look_for_long(void *ud)
{
	struct worker *w = ud;
	struct hold h = held();
	u32 key = 1;
	const struct value *p = w->map->ops->lookup(w->map, &h, &key);

	w->inserted = p ? p->word[0] : 0;
	atomic_store(&w->looked, true);
	while (!atomic_load(w->stop))
		os_yield();
	w->removed = p ? p->word[0] : 0;
	w->torn = !p || torn(p);
	hold_drop(&h);
	return NULL;
}

/* A large map has nodes for many updates while another's run goes on: nobody waits till it is given up, and what it found stays. */
TEST(what_a_long_run_found_stays_while_others_update)
{
	enum { KEPT = 16, PART = 32 /* nodes of this size */, UPDATES = HASH_PARTS * (HASH_PART < PART ? HASH_PART : PART) };
	_Atomic bool stop = false;
	struct worker reader = {.stop = &stop};
	u32 key, errors = 0;
	struct value v;
	struct map m;
	struct hold h;
	pthread_t t;

	REQUIRE(fixture_create(&f, &m, BPF_MAP_TYPE_HASH, 4, sizeof(v), 8 * domain_cpus(f.domain) * HASH_PARTS * HASH_PART, 0) == 0);
	reader.map = &m;
	for (u32 i = 0; i < KEPT + UPDATES; i++) {
		if (i == KEPT) {
			pthread_create(&t, NULL, look_for_long, &reader);
			while (!atomic_load(&reader.looked))
				os_yield();
		}
		v = uniform(i + 1);
		key = i % KEPT;
		h = held();
		errors += m.ops->update(&m, &h, &key, &v, BPF_ANY) != 0;
		hold_drop(&h);
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	CHECK_EQ(errors, 0);
	CHECK_EQ(reader.inserted, 2);
	CHECK_EQ(reader.removed, 2);
	CHECK(!reader.torn);
	map_close(&m);
}

/* ---- LRU ---- */

TEST(eviction_prefers_what_was_not_looked_up)
{
	struct hold h = held();
	u64 value = 1;
	u32 kept = 0;
	struct map m;

	hold_drop(&h);
	REQUIRE(fixture_create(&f, &m, BPF_MAP_TYPE_LRU_HASH, 4, 8, 256, 0) == 0);
	h = held();
	for (u32 key = 0; key < 256; key++)
		CHECK_EQ(m.ops->update(&m, &h, &key, &value, BPF_ANY), 0);
	for (u32 key = 1000; key < 1100; key++) {
		for (u32 hot = 0; hot < 64; hot++)
			m.ops->lookup(&m, &h, &hot);
		CHECK_EQ(m.ops->update(&m, &h, &key, &value, BPF_ANY), 0);
	}
	for (u32 hot = 0; hot < 64; hot++)
		kept += m.ops->lookup(&m, &h, &hot) != NULL;
	CHECK_EQ(kept, 64);
	hold_drop(&h);
	CHECK_EQ(count_keys(&m), 256);
	map_close(&m);
}

TEST(an_lru_map_never_refuses)
{
	struct worker w[THREADS] = {{0}};
	pthread_t t[THREADS];
	struct map m;

	REQUIRE(fixture_create(&f, &m, BPF_MAP_TYPE_LRU_HASH, 4, sizeof(struct value), 100, 0) == 0);
	for (u32 i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.map = &m, .id = i};
		pthread_create(&t[i], NULL, fill_up, &w[i]);
	}
	for (u32 i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		CHECK_EQ(w[i].inserted, 1000);
	}
	CHECK(count_keys(&m) <= 100);
	CHECK(count_keys(&m) >= 90);
	map_close(&m);
}

/* ---- a signal in the middle of an update ---- */

static struct map *signal_map;
static volatile u64 signal_busy, signal_done, signal_other;

static void in_signal(int sig)
{
	struct value v = uniform(7);
	struct hold h;
	u32 key = 3;
	int err;

	(void)sig;
	if (hold_take(f.domain, &h))
		return;
	err = signal_map->ops->update(signal_map, &h, &key, &v, BPF_ANY);
	if (err == -EBUSY)
		signal_busy++;
	else if (err)
		signal_other++;
	else
		signal_done++;
	hold_drop(&h);
}

TEST(a_signal_handler_gets_ebusy_not_a_deadlock)
{
	struct itimerval every = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
	struct sigaction act = {.sa_handler = in_signal}, old;
	u64 interrupted = 0;
	struct map m;

	REQUIRE(fixture_create(&f, &m, BPF_MAP_TYPE_HASH, 4, sizeof(struct value), 16, 0) == 0);
	signal_map = &m;
	sigaction(SIGALRM, &act, &old);
	setitimer(ITIMER_REAL, &every, NULL);
	for (u32 i = 0; i < 50000000 && (i < 200000 || signal_busy < 20); i++) {
		struct value v = uniform(i);
		struct hold h = held();
		u32 key = i % 4;

		interrupted += m.ops->update(&m, &h, &key, &v, BPF_ANY) != 0;
		hold_drop(&h);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &old, NULL);
	CHECK(signal_busy > 0);
	CHECK_EQ(signal_other, 0);
	CHECK_EQ(interrupted, 0);
	CHECK_EQ(count_keys(&m), 4);
	map_close(&m);
}

/* ---- spoiled bytes: whatever another process writes into a shared region, nothing outside of it is touched ---- */

static void *spoil(void *ud)
{
	struct worker *w = ud;
	/* Everything; the run slots' lists and intents; the family's counters in the header. */
	const struct {
		u64 from, size;
	} parts[] = {
		{0, w->map->meta.size},
		{sizeof(struct map_header), domain_cpus(f.domain) * sizeof(struct hash_slot)},
		{offsetof(struct map_header, family), sizeof(map_head(w->map)->family)},
	};
	u64 random = 12345;

	for (u32 i = 0; !atomic_load(w->stop); i++) {
		u32 part = i % 16 == 0 ? 2 : i & 1;
		u64 at;

		random = random * 6364136223846793005ull + 1442695040888963407ull;
		at = parts[part].from + (random >> 20) % (parts[part].size - 8);
		__atomic_store_n((u8 *)w->map->meta.base + at, (u8)(random >> 11), __ATOMIC_RELAXED);
		if (i % 16 < 4) /* indices that look right, or just do not */
			__atomic_store_n((u32 *)(void *)(w->map->meta.base + (at & ~3ull)), (u32)(random >> 40) % 600, __ATOMIC_RELAXED);
	}
	return NULL;
}

static long visit(void *ud, void *key, void *value)
{
	(void)key, (void)value;
	return ++*(u32 *)ud > 5000;
}

static void *use_spoiled(void *ud)
{
	struct worker *w = ud;
	u8 keys[200 * 4], values[200 * 8 * 64];
	u64 random = w->id + 99;
	double end = seconds() + SPOIL_SECONDS;

	while (seconds() < end) {
		u32 key = (u32)((random = random * 6364136223846793005ull + 1) >> 33) % 200, cursor = 0, n = 200, seen = 0;
		struct hold h = held();
		u8 value[8 * 64] = {0}, next[8];
		const u8 *p;

		switch (random >> 60) {
		case 0: w->map->ops->remove(w->map, &h, &key); break;
		case 1: w->map->ops->next_key(w->map, &h, &key, next); break;
		case 2: w->map->ops->get(w->map, &h, &key, value, 0); break;
		case 3: w->map->ops->batch(w->map, &h, &cursor, keys, values, &n, 0, random >> 59 & 1); break;
		case 4: w->map->ops->for_each(w->map, &h, visit, &seen); break;
		case 5:
			p = w->map->ops->lookup(w->map, &h, &key);
			if (p && !w->map->ops->in_value(w->map, p, 8))
				w->errors++;
			break;
		default: w->map->ops->update(w->map, &h, &key, value, BPF_ANY);
		}
		hold_drop(&h);
	}
	return NULL;
}

static void spoil_kind(u32 kind)
{
	_Atomic bool stop = false;
	struct worker user[2] = {{0}}, spoiler;
	pthread_t t[3];
	struct map m;

	REQUIRE(fixture_create(&f, &m, kind, 4, 8, 100, 0) == 0);
	spoiler = (struct worker){.map = &m, .stop = &stop};
	pthread_create(&t[2], NULL, spoil, &spoiler);
	for (u32 i = 0; i < 2; i++) {
		user[i] = (struct worker){.map = &m, .id = i};
		pthread_create(&t[i], NULL, use_spoiled, &user[i]);
	}
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	atomic_store(&stop, true);
	pthread_join(t[2], NULL);
	CHECK_EQ(user[0].errors + user[1].errors, 0);
	map_close(&m);
}

TEST(spoiled_bytes_harm_nobody)
{
#ifdef __SANITIZE_THREAD__
	SKIP("races on purpose");
#endif
	spoil_kind(BPF_MAP_TYPE_HASH);
	spoil_kind(BPF_MAP_TYPE_LRU_HASH);
	spoil_kind(BPF_MAP_TYPE_PERCPU_HASH);
}

/* Program side and bpf(2), whatever the key's size: those that have operations of their own, and the others. */
static void keys_of_size(u32 kind, u32 size)
{
	u8 key[HASH_MAX_KEY + 8];
	u32 step = size > 80 ? 7 : 1, n = (size - 1) / step + 1;
	struct hold h = held();
	struct map m;

	REQUIRE(fixture_create(&f, &m, kind, size, sizeof(u64), n + 1, 0) == 0);
	for (u32 i = 0; i <= n; i++) { /* the last one has no byte that differs from zero */
		u64 v[64] = {i + 1};

		memset(key, 0, sizeof(key));
		if (i < n)
			key[i * step] = (u8)(1 << i % 8);
		CHECK_EQ(m.ops->update(&m, &h, key, v, BPF_NOEXIST), 0);
		v[0] += 1000;
		CHECK_EQ(m.ops->update(&m, &h, key, v, BPF_ANY), 0);
	}
	for (u32 i = 0; i <= n; i++) {
		u64 *a, *b, got[64];

		memset(key, 0, sizeof(key));
		if (i < n)
			key[i * step] = (u8)(1 << i % 8);
		a = m.ops->lookup(&m, &h, key);
		b = m.lookup_sized ? m.lookup_sized(&m, &h, key) : a;
		CHECK(a && a == b && *a == i + 1001);
		CHECK(map_get(&m, &h, key, got, 0) == 0);
		key[size - 1] ^= 0xc3; /* which no key has */
		CHECK(!m.ops->lookup(&m, &h, key));
		CHECK(!m.lookup_sized || !m.lookup_sized(&m, &h, key));
	}
	hold_drop(&h);
	map_close(&m);
}

TEST(keys_of_every_size_differ_in_every_byte)
{
	static const u32 kinds[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_PERCPU_HASH};

	for (u32 k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (u32 size = 1; size <= 72; size++)
			keys_of_size(kinds[k], size);
		for (u32 size = HASH_MAX_KEY - 7; size <= HASH_MAX_KEY + 1; size++)
			keys_of_size(kinds[k], size);
	}
}

/* Two keys share one of n buckets under one secret in n: whatever the keys, averaged over secrets, for sizes with and without a broken last word. */
TEST(keys_collide_as_rarely_as_they_may)
{
	enum { BUCKETS = 256, SECRETS = 200 };

	for (u32 size = 2; size <= 48; size++)
		for (u32 at = 0; at + 2 <= size; at += 7) {
			u64 pairs = 0;

			for (u32 secret = 1; secret <= SECRETS; secret++) {
				u32 count[BUCKETS] = {0};
				struct hash_key k;
				u8 key[48] = {0};

				hash_key_init(&k, secret * 0x9e3779b97f4a7c15ull);
				for (u32 i = 0; i < BUCKETS; i++) {
					key[at] = (u8)(i * 8);
					key[at + 1] = (u8)(i >> 5);
					pairs += count[hash_any(&k, key, size) % BUCKETS]++;
				}
			}
			CHECK(pairs < (u64)SECRETS * (BUCKETS - 1) / 2 * 3 / 2);
		}
}

int main(void)
{
	fixture_open(&f);
	RUN(a_reader_sees_the_old_or_the_new_value);
	RUN(no_update_is_lost);
	RUN(a_full_map_is_exactly_full);
	RUN(long_runs_do_not_wait_for_each_other_to_end);
	RUN(a_stopped_reader_stops_no_writer);
	RUN(what_a_long_run_found_stays_while_others_update);
	RUN(eviction_prefers_what_was_not_looked_up);
	RUN(an_lru_map_never_refuses);
	RUN(a_signal_handler_gets_ebusy_not_a_deadlock);
	RUN(spoiled_bytes_harm_nobody);
	RUN(keys_of_every_size_differ_in_every_byte);
	RUN(keys_collide_as_rarely_as_they_may);
	fixture_close(&f);
	return test_end();
}
