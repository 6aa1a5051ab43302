/* SPDX-License-Identifier: BSD-2-Clause */
/* PERF_EVENT_ARRAY and its rings, read the way libbpf's perf_buffer reads them. */
#include "fixture.h"

#include <linux/perf_event.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };

struct bench {
	struct fixture f;
	struct map m;
	struct perf_ring ring;
	struct hold h;
};

static bool set_up(struct bench *b, u32 pages)
{
	u32 key = 0, fd = 0;

	fixture_open(&b->f);
	if (fixture_create(&b->f, &b->m, MAP_KIND_PERF_EVENT_ARRAY, 4, 4, 4, 0) || perf_ring_open(&b->ring, &mem_libc, &b->f.window) ||
	    hold_take(b->f.domain, &b->h))
		return false;
	b->f.object[0] = &b->ring;
	return map_set(&b->m, &b->h, &key, &fd, 0) == 0 && (!pages || perf_ring_size(&b->ring, pages) == 0);
}

static void tear_down(struct bench *b)
{
	hold_drop(&b->h);
	map_close(&b->m);
	CHECK_EQ(b->f.refs[0], 0);
	perf_ring_close(&b->ring);
	fixture_close(&b->f);
}

static int output(struct bench *b, u64 flags, const void *data, u64 size)
{
	struct map_bytes part = {data, size};

	return b->m.ops->event(&b->m, &b->h, flags, &part, 1);
}

static bool readable(const struct perf_ring *r)
{
	struct pollfd p = {.fd = r->event_fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

TEST(errors_are_those_of_linux)
{
	static struct bench b;
	u32 key, fd = 0, id;

	REQUIRE(set_up(&b, 0));
	CHECK_EQ(output(&b, 0, "x", 1), -ENOSPC); /* nobody mapped it */
	CHECK_EQ(perf_ring_size(&b.ring, 0), -EINVAL);
	CHECK_EQ(perf_ring_size(&b.ring, 3), -EINVAL);
	CHECK_EQ(perf_ring_size(&b.ring, 2), 0);
	CHECK_EQ(perf_ring_size(&b.ring, 2), 0);
	CHECK_EQ(perf_ring_size(&b.ring, 4), -EINVAL);
	CHECK_EQ(output(&b, 0, "x", 1), 0);
	CHECK_EQ(output(&b, 1, "x", 1), -ENOENT);
	CHECK_EQ(output(&b, 4, "x", 1), -E2BIG);
	CHECK_EQ(output(&b, 1ull << 32, "x", 1), -EINVAL);
	b.ring.cpu = (int)b.h.index;
	CHECK_EQ(output(&b, 0, "x", 1), 0);
	b.ring.cpu = (int)b.h.index + 1;
	CHECK_EQ(output(&b, 0, "x", 1), -EOPNOTSUPP);
	key = b.h.index;
	b.ring.cpu = (int)b.h.index;
	CHECK_EQ(map_set(&b.m, &b.h, &key, &fd, 0), 0);
	CHECK_EQ(output(&b, BPF_F_CURRENT_CPU, "x", 1), 0);
	b.ring.output = false;
	CHECK_EQ(output(&b, BPF_F_CURRENT_CPU, "x", 1), -EINVAL);
	CHECK_EQ(map_get(&b.m, &b.h, &key, &id, 0), -ENOTSUPP);
	CHECK_EQ(map_delete(&b.m, &b.h, &key), 0);
	CHECK_EQ(map_delete(&b.m, &b.h, &key), -ENOENT);
	b.m.ops->release(&b.m);
	CHECK_EQ(b.f.refs[0], 0);
	tear_down(&b);
}

/* Reads one record; copies what wraps. 0: none. */
static u32 next_record(const u8 *base, u64 size, u8 *out)
{
	struct perf_event_mmap_page *page = (struct perf_event_mmap_page *)(uintptr_t)base;
	u64 head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE), tail = page->data_tail;
	struct perf_event_header h;

	if (head == tail)
		return 0;
	for (u32 i = 0; i < sizeof(h); i++)
		((u8 *)&h)[i] = base[PAGE + ((tail + i) & (size - 1))];
	for (u32 i = 0; i < h.size; i++)
		out[i] = base[PAGE + ((tail + i) & (size - 1))];
	__atomic_store_n(&page->data_tail, tail + h.size, __ATOMIC_RELEASE);
	return h.type;
}

TEST(samples_and_losses_come_out_in_order)
{
	static struct bench b;
	u8 *base, record[65536], data[600];
	u64 lost = 0, samples = 0, expect = 0;

	REQUIRE(set_up(&b, 1));
	b.ring.id = 77;
	base = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, b.ring.fd, 0); /* as a client does */
	REQUIRE(base != MAP_FAILED);
	CHECK_EQ(((struct perf_event_mmap_page *)base)->data_size, PAGE);
	CHECK_EQ(((struct perf_event_mmap_page *)base)->data_offset, PAGE);
	for (u64 i = 0; i < 4000; i++) {
		u32 size = 8 + (u32)(i * 37 % 590);

		memset(data, (int)i, sizeof(data));
		memcpy(data, &i, 8);
		output(&b, 0, data, size);
		for (u32 type; i % 23 == 22 && (type = next_record(base, PAGE, record)) != 0;) {
			struct perf_event_header *h = (struct perf_event_header *)record;
			u32 raw = LOAD_AS(u32, record + 8);
			u64 seq = LOAD_AS(u64, record + 12);

			if (type == PERF_RECORD_LOST) {
				CHECK_EQ(h->size, 24);
				CHECK_EQ(LOAD_AS(u64, record + 8), 77);
				lost += LOAD_AS(u64, record + 16);
				expect += LOAD_AS(u64, record + 16);
				continue;
			}
			CHECK_EQ(type, PERF_RECORD_SAMPLE);
			CHECK_EQ(h->size % 8, 0);
			CHECK_EQ(h->size, 12 + raw);
			CHECK_EQ(seq, expect);
			CHECK(raw >= 8 + seq * 37 % 590 && raw < 8 + seq * 37 % 590 + 8);
			CHECK_EQ(record[12 + 8 + seq * 37 % 590 - 1], seq * 37 % 590 ? (u8)seq : seq >> 56);
			expect++;
			samples++;
		}
	}
	CHECK(samples > 1000 && lost > 500);
	CHECK(samples + lost + b.ring.lost >= 4000 - 23);
	CHECK_EQ(output(&b, 0, record, 65535), -E2BIG);
	munmap(base, 2 * PAGE);
	tear_down(&b);
}

TEST(fields_of_a_sample_type_precede_the_raw_bytes)
{
	static struct bench b;
	struct map_bytes parts[2] = {{"abc", 3}, {"defgh", 5}};
	u8 record[65536];

	REQUIRE(set_up(&b, 1));
	CHECK(perf_ring_samples(PERF_SAMPLE_RAW | PERF_SAMPLE_TIME));
	CHECK(!perf_ring_samples(PERF_SAMPLE_RAW | PERF_SAMPLE_CALLCHAIN));
	b.ring.sample_type = PERF_SAMPLE_RAW | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU | PERF_SAMPLE_TID;
	CHECK_EQ(b.m.ops->event(&b.m, &b.h, 0, parts, 2), 0);
	CHECK_EQ(next_record(b.ring.region.base, PAGE, record), PERF_RECORD_SAMPLE);
	CHECK_EQ(LOAD_AS(u32, record + 8), getpid());
	CHECK(LOAD_AS(u64, record + 16) != 0);
	CHECK_EQ(LOAD_AS(u32, record + 24), b.h.index);
	CHECK_EQ(LOAD_AS(u32, record + 32), 12);
	CHECK(!memcmp(record + 36, "abcdefgh", 8));
	tear_down(&b);
}

TEST(the_event_wakes_as_often_as_asked)
{
	static struct bench b;
	u8 record[65536];

	REQUIRE(set_up(&b, 1));
	b.ring.wakeup = 3;
	CHECK_EQ(output(&b, 0, "x", 1), 0);
	CHECK_EQ(output(&b, 0, "x", 1), 0);
	CHECK(!readable(&b.ring));
	CHECK_EQ(output(&b, 0, "x", 1), 0);
	CHECK(readable(&b.ring));
	perf_ring_sync(&b.ring);
	CHECK(readable(&b.ring)); /* not consumed yet */
	while (next_record(b.ring.region.base, PAGE, record))
		;
	perf_ring_sync(&b.ring);
	CHECK(!readable(&b.ring));
	tear_down(&b);
}

static _Atomic bool stop;

/* Stands for another process, which no sanitizer sees. */
__attribute__((no_sanitize("thread"))) static void *scribble(void *ud)
{
	struct perf_ring *r = ud;
	u64 rng = 3;

	while (!atomic_load(&stop)) {
		rng = rng * 6364136223846793005ull + 1442695040888963407ull;
		((_Atomic u32 *)r->region.base)[(rng >> 33) % (r->region.size / 4)] = (u32)rng;
		if (rng >> 63)
			((_Atomic u64 *)r->region.base)[1032 / 8] = __atomic_load_n(&r->head, __ATOMIC_RELAXED);
	}
	return NULL;
}

TEST(scribbled_pages_harm_nobody_else)
{
	static struct bench b;
	u8 data[3000] = {0};
	pthread_t t;
	u32 stored = 0;

	REQUIRE(set_up(&b, 1));
	atomic_store(&stop, false);
	pthread_create(&t, NULL, scribble, &b.ring);
	for (u32 i = 0; i < 200000 || (stored == 0 && i < 100000000); i++)
		stored += output(&b, 0, data, i % sizeof(data)) == 0;
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	CHECK(stored > 0);
	tear_down(&b);
}

int main(void)
{
	RUN(errors_are_those_of_linux);
	RUN(samples_and_losses_come_out_in_order);
	RUN(fields_of_a_sample_type_precede_the_raw_bytes);
	RUN(the_event_wakes_as_often_as_asked);
	RUN(scribbled_pages_harm_nobody_else);
	return test_end();
}
