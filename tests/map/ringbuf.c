/* SPDX-License-Identifier: BSD-2-Clause */
/* RINGBUF, read the way libbpf reads it: layout, wrap-around, notification, threads, producers that are killed, a
 * client that scribbles. */
#include "fixture.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

struct reader {
	_Atomic unsigned long *consumer, *producer;
	const u8 *data;
	u64 mask, discarded;
};

static void reader_open(struct reader *r, const struct map *m)
{
	*r = (struct reader){(_Atomic unsigned long *)m->client.base, (_Atomic unsigned long *)(m->client.base + PAGE),
			     m->client.base + 2 * PAGE, m->spec.max_entries - 1, 0};
}

/* The next record's size, or -1: nothing there; its bytes stay valid until the next call. */
static long reader_next(struct reader *r, const u8 **bytes)
{
	static _Thread_local u64 step;
	unsigned long pos = atomic_load(r->consumer) + step;
	u32 len;

	step = 0;
	atomic_store_explicit(r->consumer, pos, memory_order_release);
	while (pos < atomic_load_explicit(r->producer, memory_order_acquire)) {
		len = atomic_load_explicit((_Atomic u32 *)(uintptr_t)(r->data + (pos & r->mask)), memory_order_acquire);
		if (len & BPF_RINGBUF_BUSY_BIT)
			return -1;
		*bytes = r->data + (pos & r->mask) + 8;
		if (!(len & BPF_RINGBUF_DISCARD_BIT)) {
			step = ALIGN_UP(len + 8ull, 8);
			return len;
		}
		r->discarded++;
		pos += ALIGN_UP((len & ~(u32)BPF_RINGBUF_DISCARD_BIT) + 8ull, 8);
		atomic_store_explicit(r->consumer, pos, memory_order_release);
	}
	return -1;
}

static bool readable(const struct map *m)
{
	struct pollfd p = {.fd = m->ops->poll_fd((struct map *)(uintptr_t)m), .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

TEST(records_come_out_as_they_went_in)
{
	struct fixture f;
	struct map m;
	struct hold h;
	struct reader r;
	const u8 *bytes;
	u8 record[1500];
	u64 rng = 3, wrapped = 0;

	fixture_open(&f);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_RINGBUF, 0, 0, PAGE, 0) == 0);
	REQUIRE(hold_take(f.domain, &h) == 0);
	reader_open(&r, &m);
	for (u32 i = 0; i < 5000; i++) {
		u32 most = i % 4 < 2 ? 160 : (u32)sizeof(record), n = 0;
		u32 size = (u32)(rng = rng * 6364136223846793005ull + 1442695040888963407ull, rng >> 40) % most;
		long got;

		for (u32 at = 0; at < size; at++)
			record[at] = (u8)(i + 7 * at);
		if (i & 1) {
			u8 *p = m.ops->reserve(&m, &h, size, 0);

			REQUIRE(p != NULL);
			CHECK_EQ((uintptr_t)p & 7, 0);
			CHECK(m.ops->in_value(&m, p, size));
			CHECK(size == 0 || !m.ops->in_value(&m, p + 1, size));
			wrapped += p + size > r.data + PAGE;
			memcpy(p, record, size);
			CHECK_EQ(reader_next(&r, &bytes), -1); /* busy */
			CHECK_EQ(m.ops->commit(&m, &h, p, i % 3 ? BPF_RB_NO_WAKEUP : 0, i % 5 == 0), 0);
			CHECK_EQ(m.ops->commit(&m, &h, p, 0, false), -EINVAL);
			CHECK(!m.ops->in_value(&m, p, 1));
			n = i % 5 == 0;
		} else {
			CHECK_EQ(m.ops->output(&m, &h, record, size, i % 3 ? BPF_RB_NO_WAKEUP : 0), 0);
		}
		CHECK_EQ(m.ops->query(&m, BPF_RB_AVAIL_DATA), ALIGN_UP(size + 8, 8));
		got = reader_next(&r, &bytes);
		CHECK_EQ(got, n ? -1 : (long)size);
		CHECK(got < 0 || !memcmp(bytes, record, (size_t)got));
		CHECK_EQ(reader_next(&r, &bytes), -1);
	}
	CHECK(wrapped > 100);
	CHECK_EQ(m.ops->query(&m, BPF_RB_RING_SIZE), PAGE);
	CHECK_EQ(m.ops->query(&m, BPF_RB_CONS_POS), m.ops->query(&m, BPF_RB_PROD_POS));
	CHECK_EQ(m.ops->query(&m, 77), 0);
	hold_drop(&h);
	map_close(&m);
	fixture_close(&f);
}

TEST(a_full_ring_refuses_and_recovers)
{
	struct fixture f;
	struct map m;
	struct hold h;
	struct reader r;
	const u8 *bytes;
	u8 big[PAGE] = {0};
	void *p[64];
	u32 n = 0;

	fixture_open(&f);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_RINGBUF, 0, 0, PAGE, 0) == 0);
	REQUIRE(hold_take(f.domain, &h) == 0);
	reader_open(&r, &m);
	CHECK(m.ops->reserve(&m, &h, PAGE, 0) == NULL);
	CHECK(m.ops->reserve(&m, &h, PAGE - 8, 0) == NULL); /* one byte at least stays free, as on Linux */
	CHECK_EQ(m.ops->output(&m, &h, big, PAGE - 8, 0), -EAGAIN);
	CHECK_EQ(m.ops->output(&m, &h, big, (u64)UINT32_MAX + 9, 0), -EAGAIN);
	CHECK_EQ(m.ops->output(&m, &h, big, 8, 4), -EINVAL);
	CHECK(m.ops->reserve(&m, &h, 8, BPF_RB_NO_WAKEUP) == NULL);
	while (n < 64 && (p[n] = m.ops->reserve(&m, &h, 56, 0)) != NULL)
		n++;
	CHECK_EQ(n, 32); /* records in flight per run slot */
	for (u32 i = 0; i < n; i++)
		CHECK_EQ(m.ops->commit(&m, &h, p[i], 0, false), 0);
	for (n = 0; m.ops->output(&m, &h, big, 56, 0) == 0;)
		n++;
	CHECK_EQ(n, PAGE / 64 - 1 - 32);
	for (n = 0; reader_next(&r, &bytes) == 56;)
		n++;
	CHECK_EQ(n, PAGE / 64 - 1);
	CHECK_EQ(m.ops->output(&m, &h, big, 56, 0), 0);
	CHECK_EQ(reader_next(&r, &bytes), 56);
	CHECK_EQ(reader_next(&r, &bytes), -1);
	hold_drop(&h);
	map_close(&m);
	fixture_close(&f);
}

TEST(the_event_says_when_to_read)
{
	struct fixture f;
	struct map m;
	struct hold h;
	struct reader r;
	const u8 *bytes;

	fixture_open(&f);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_RINGBUF, 0, 0, PAGE, 0) == 0);
	REQUIRE(hold_take(f.domain, &h) == 0);
	reader_open(&r, &m);
	m.ops->poll_sync(&m);
	CHECK(!readable(&m));
	CHECK_EQ(m.ops->output(&m, &h, "x", 1, BPF_RB_NO_WAKEUP), 0);
	CHECK(!readable(&m));
	CHECK_EQ(m.ops->output(&m, &h, "x", 1, 0), 0); /* the consumer had not caught up: no wake-up */
	CHECK(!readable(&m));
	m.ops->poll_sync(&m);
	CHECK(readable(&m)); /* whoever begins to wait now finds data */
	while (reader_next(&r, &bytes) >= 0)
		;
	m.ops->poll_sync(&m);
	CHECK(!readable(&m));
	CHECK_EQ(m.ops->output(&m, &h, "x", 1, 0), 0);
	CHECK(readable(&m));
	m.ops->poll_sync(&m);
	CHECK(readable(&m)); /* level-triggered */
	CHECK_EQ(m.ops->output(&m, &h, "x", 1, BPF_RB_FORCE_WAKEUP | BPF_RB_NO_WAKEUP), 0);
	CHECK(readable(&m));
	while (reader_next(&r, &bytes) >= 0)
		;
	CHECK(m.ops->mmap(&m, 0, PAGE, true) == 0);
	CHECK_EQ(m.ops->mmap(&m, PAGE, PAGE, true), -EPERM);
	CHECK_EQ(m.ops->mmap(&m, 0, 2 * PAGE, true), -EPERM);
	CHECK_EQ(m.ops->mmap(&m, PAGE, 3 * PAGE, false), 0);
	CHECK_EQ(m.ops->mmap(&m, PAGE, 4 * PAGE, false), -EINVAL);
	hold_drop(&h);
	map_close(&m);
	fixture_close(&f);
}

/* ---- many producers ---- */

enum { PRODUCERS = 3, RECORDS = 30000 };

struct producer {
	struct fixture *f;
	struct map *m;
	u32 number, errors;
};

static void fill_record(u64 *p, u64 number, u64 i, u32 words)
{
	for (u32 w = 0; w < words; w++)
		p[w] = (number << 32 | i) * (w + 1);
}

static void *produce(void *ud)
{
	struct producer *p = ud;

	for (u32 i = 0; i < RECORDS;) {
		u32 words = 1 + i % 9;
		u64 local[9], *to;
		struct hold h;

		if (hold_take(p->f->domain, &h)) {
			p->errors++;
			break;
		}
		if (i % 2) {
			fill_record(local, p->number, i, words);
			i += p->m->ops->output(p->m, &h, local, words * 8, 0) == 0;
		} else if ((to = p->m->ops->reserve(p->m, &h, words * 8, 0)) != NULL) {
			fill_record(to, p->number, i, words);
			p->errors += p->m->ops->commit(p->m, &h, to, 0, i % 8 == 4) != 0;
			i++;
		}
		hold_drop(&h);
	}
	return NULL;
}

TEST(threads_lose_no_record_and_double_none)
{
	struct fixture f;
	struct map m;
	struct reader r;
	struct producer p[PRODUCERS];
	pthread_t t[PRODUCERS];
	u64 next[PRODUCERS] = {0}, total = 0, wrong = 0;
	const u8 *bytes;

	fixture_open(&f);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_RINGBUF, 0, 0, 4 * PAGE, 0) == 0);
	reader_open(&r, &m);
	for (u32 i = 0; i < PRODUCERS; i++) {
		p[i] = (struct producer){&f, &m, i, 0};
		pthread_create(&t[i], NULL, produce, &p[i]);
	}
	while (total < PRODUCERS * RECORDS) {
		long size = reader_next(&r, &bytes);
		u64 got[9], want[9], number, i;

		if (size < 0) {
			struct pollfd ready = {.fd = m.ops->poll_fd(&m), .events = POLLIN};

			m.ops->poll_sync(&m);
			poll(&ready, 1, 1000);
			if (next[0] >= RECORDS - 4 && next[1] >= RECORDS - 4 && next[2] >= RECORDS - 4 &&
			    m.ops->query(&m, BPF_RB_AVAIL_DATA) == 0)
				break;
			continue;
		}
		memcpy(got, bytes, (size_t)MIN(size, 72));
		number = got[0] >> 32;
		i = (u32)got[0];
		if (number >= PRODUCERS || size != (long)(1 + i % 9) * 8) {
			wrong++;
			continue;
		}
		fill_record(want, number, i, (u32)size / 8);
		wrong += memcmp(got, want, (size_t)size) != 0;
		if (next[number] % 8 == 4)
			next[number]++; /* discarded */
		wrong += i != next[number];
		next[number] = i + 1;
		total++;
	}
	for (u32 i = 0; i < PRODUCERS; i++) {
		pthread_join(t[i], NULL);
		CHECK_EQ(p[i].errors, 0);
		CHECK_EQ(next[i], RECORDS);
	}
	CHECK_EQ(wrong, 0);
	map_close(&m);
	fixture_close(&f);
}

/* ---- producers that die ---- */

static void die_producing(struct fixture *f, struct map *m, u32 number, _Atomic u64 *done)
{
	for (u64 i = 0;; i++) {
		struct hold h;
		u64 local[4], *to;

		if (hold_take(f->domain, &h))
			_exit(1);
		if (i % 2) {
			fill_record(local, number, i, 4);
			if (m->ops->output(m, &h, local, 32, 0))
				i--;
			else
				atomic_store(done, i + 1);
		} else if ((to = m->ops->reserve(m, &h, 32, 0)) != NULL) {
			fill_record(to, number, i, 4);
			m->ops->commit(m, &h, to, 0, false);
			atomic_store(done, i + 1);
		} else {
			i--;
		}
		hold_drop(&h);
	}
}

TEST(killed_producers_block_nothing_and_lose_no_finished_record)
{
	enum { KILLS = 1000 };
	struct fixture f;
	struct map m;
	struct reader r;
	const u8 *bytes;
	u64 wrong = 0, lost = 0, rng = 5;
	_Atomic u64 *done = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	fixture_open(&f);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_RINGBUF, 0, 0, PAGE, 0) == 0);
	reader_open(&r, &m);
	for (u32 round = 1; round <= KILLS; round++) {
		u64 next = 0, idle = 0, wait = (rng = rng * 6364136223846793005ull + 1442695040888963407ull) >> 40;
		pid_t child;
		bool dead = false;
		long size;

		atomic_store(done, 0);
		child = fork();
		if (child == 0)
			die_producing(&f, &m, round, done);
		REQUIRE(child > 0);
		while (idle < 1000) {
			size = reader_next(&r, &bytes);
			if (size < 0) {
				m.ops->poll_sync(&m);
				if (!dead && next >= wait % 400 + 1) {
					kill(child, SIGKILL);
					waitpid(child, NULL, 0);
					dead = true;
				}
				idle += dead;
				if (!dead)
					usleep(10);
				continue;
			}
			wrong += size != 32 || LOAD_AS(u64, bytes) != ((u64)round << 32 | next) ||
				 LOAD_AS(u64, bytes + 24) != ((u64)round << 32 | next) * 4;
			next++;
		}
		lost += next < atomic_load(done);
		CHECK_EQ(m.ops->query(&m, BPF_RB_AVAIL_DATA), 0); /* nothing stays stuck */
	}
	CHECK_EQ(wrong, 0);
	CHECK_EQ(lost, 0);
	map_close(&m);
	fixture_close(&f);
}

/* ---- a client that scribbles ---- */

static _Atomic bool stop;

/* Stands for another process, which no sanitizer sees. */
__attribute__((no_sanitize("thread"))) static void *scribble(void *ud)
{
	struct map *m = ud;
	u64 rng = 11;

	while (!atomic_load(&stop)) {
		rng = rng * 6364136223846793005ull + 1442695040888963407ull;
		((_Atomic u32 *)m->client.base)[(rng >> 33) % (m->client.size / 4)] = (u32)rng;
		if (rng >> 62 == 0)
			((_Atomic u32 *)m->client.base)[rng >> 61 & 1] = (u32)(rng >> 13);
		else /* close to the truth, so that producers get on */
			((_Atomic u64 *)m->client.base)[0] = m->ops->query(m, BPF_RB_PROD_POS) + (rng >> 50 & 7);
	}
	return NULL;
}

TEST(scribbled_client_pages_harm_nobody_else)
{
	struct fixture f;
	struct map m;
	struct hold h;
	pthread_t t;
	u8 data[600] = {0};
	u32 stored = 0;

	fixture_open(&f);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_RINGBUF, 0, 0, PAGE, 0) == 0);
	REQUIRE(hold_take(f.domain, &h) == 0);
	atomic_store(&stop, false);
	pthread_create(&t, NULL, scribble, &m);
	for (u32 i = 0; i < 100000 || (stored == 0 && i < 100000000); i++) {
		u32 size = i % sizeof(data);
		u8 *p;

		stored += m.ops->output(&m, &h, data, size, BPF_RB_NO_WAKEUP) == 0;
		p = m.ops->reserve(&m, &h, size, 0);
		if (p) {
			CHECK(p >= m.client.base + 2 * PAGE && p + size <= m.client.base + m.client.size);
			CHECK(m.ops->in_value(&m, p, size));
			memset(p, 1, size);
			CHECK_EQ(m.ops->commit(&m, &h, p, BPF_RB_NO_WAKEUP, i & 1), 0);
		}
		m.ops->query(&m, i & 3);
		if (i % 64 == 0)
			m.ops->poll_sync(&m);
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	CHECK(stored > 0);
	hold_drop(&h);
	map_close(&m);
	fixture_close(&f);
}

int main(void)
{
	RUN(records_come_out_as_they_went_in);
	RUN(a_full_ring_refuses_and_recovers);
	RUN(the_event_says_when_to_read);
	RUN(threads_lose_no_record_and_double_none);
	RUN(killed_producers_block_nothing_and_lose_no_finished_record);
	RUN(scribbled_client_pages_harm_nobody_else);
	return test_end();
}
