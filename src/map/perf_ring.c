/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring behind a perf event descriptor, as perf_event_open(2) describes it: a control page, then 2^n pages of
 * records; the writer advances data_head, the reader data_tail. What does not fit is counted, and the next record
 * that fits is preceded by PERF_RECORD_LOST. Overwriting (a mapping that its reader cannot write) is not offered.
 *
 * Concurrency: one owned lock orders writers. Head and mask are private; the control page gets a copy of the head after the
 * record is complete. The reader's tail is untrusted: a false one loses the reader's own records. A dead writer leaves
 * bytes behind the head that nobody was told of.
 */
#include "map/map.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096 };

/* The fields of a record that a sample_type may ask for, in the order of the record; all of them are one u64. */
enum { SAMPLE_KNOWN = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_ID | PERF_SAMPLE_STREAM_ID |
		      PERF_SAMPLE_CPU | PERF_SAMPLE_PERIOD | PERF_SAMPLE_RAW };

int perf_ring_open(struct perf_ring *r, const struct mem *mem, struct window *w)
{
	*r = (struct perf_ring){.mem = mem, .window = w, .cpu = -1, .sample_type = PERF_SAMPLE_RAW, .wakeup = 1,
				.output = true, .region = {.fd = -1}};
	r->fd = os_memfd("skep-perf", 0, 0);
	if (r->fd < 0)
		return r->fd;
	r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->event_fd < 0) {
		int err = -errno;

		close(r->fd);
		return err;
	}
	return 0;
}

void perf_ring_close(struct perf_ring *r)
{
	region_destroy(&r->region);
	close(r->event_fd);
	close(r->fd);
}

bool perf_ring_samples(u64 sample_type)
{
	return (sample_type & ~(u64)SAMPLE_KNOWN) == 0;
}

int perf_ring_size(struct perf_ring *r, u32 data_pages)
{
	u64 size = ((u64)data_pages + 1) * PAGE;
	struct perf_event_mmap_page *page;
	int err;

	if (data_pages == 0 || data_pages & (data_pages - 1) || (r->region.base && r->region.size != size))
		return -EINVAL;
	if (r->region.base)
		return 0;
	err = os_resize(r->fd, size);
	if (err)
		return err;
	if (fcntl(r->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		return -errno;
	err = region_adopt(r->window, &r->region, r->fd, 0, size, r);
	if (err)
		return err;
	page = (struct perf_event_mmap_page *)r->region.base;
	page->compat_version = 0;
	page->size = offsetof(struct perf_event_mmap_page, __reserved);
	page->data_offset = PAGE;
	page->data_size = size - PAGE;
	__atomic_store_n(&r->mask, size - PAGE - 1, __ATOMIC_RELEASE);
	return 0;
}

/* ---- records ---- */

struct cursor {
	u8 *data;
	u64 at, mask;
};

static void put_bytes(struct cursor *c, const void *bytes, u64 size)
{
	const u8 *from = bytes;

	while (size) {
		u64 off = c->at & c->mask, n = MIN(size, c->mask + 1 - off);

		memcpy(c->data + off, from, n);
		c->at += n;
		from += n;
		size -= n;
	}
}

static void put_header(struct cursor *c, u32 type, u64 size)
{
	struct perf_event_header h = {.type = type, .size = (u16)size};

	put_bytes(c, &h, sizeof(h));
}

/* What precedes the raw bytes. The thread is asked for only when somebody wants to know it. */
static u32 sample_fields(const struct perf_ring *r, const struct hold *h, u64 out[8])
{
	u64 want = r->sample_type;
	u32 n = 0;

	if (want & PERF_SAMPLE_IDENTIFIER)
		out[n++] = r->id;
	if (want & PERF_SAMPLE_TID)
		out[n++] = (u64)syscall(SYS_gettid) << 32 | (u32)getpid();
	if (want & PERF_SAMPLE_TIME)
		out[n++] = os_clock_ns(CLOCK_MONOTONIC);
	if (want & PERF_SAMPLE_ID)
		out[n++] = r->id;
	if (want & PERF_SAMPLE_STREAM_ID)
		out[n++] = r->id;
	if (want & PERF_SAMPLE_CPU)
		out[n++] = h->index;
	if (want & PERF_SAMPLE_PERIOD)
		out[n++] = 1;
	return n;
}

static void wake(const struct perf_ring *r)
{
	u64 one = 1;

	if (write(r->event_fd, &one, sizeof(one)) < 0)
		return; /* a full counter is readable already */
}

/* Under the lock. */
static int write_sample(struct perf_ring *r, const struct hold *h, const struct map_bytes *parts, u32 n, u64 raw, bool try)
{
	struct perf_event_mmap_page *page = (struct perf_event_mmap_page *)r->region.base;
	struct cursor c = {r->region.base + PAGE, r->head, r->mask};
	u64 fields[8], zero = 0, record, room, lost = r->lost;
	u32 n_fields = sample_fields(r, h, fields), raw_size = 0;

	if (r->sample_type & PERF_SAMPLE_RAW) /* Linux counts what pads a record to 8 as part of the raw bytes */
		raw_size = (u32)(ALIGN_UP(raw + sizeof(u32), 8) - sizeof(u32));
	record = sizeof(struct perf_event_header) + n_fields * 8ull + (raw_size ? raw_size + sizeof(u32) : 0);
	if (record > UINT16_MAX)
		return -E2BIG;
	room = r->mask + 1 - (r->head - __atomic_load_n(&page->data_tail, __ATOMIC_ACQUIRE));
	if (room > r->mask + 1 || room < record + (lost ? 24 : 0) + 1) {
		r->lost += !try;
		return try && record + 24 < r->mask ? -EAGAIN : -ENOSPC;
	}
	if (lost) {
		u64 body[2] = {r->id, lost};

		put_header(&c, PERF_RECORD_LOST, sizeof(struct perf_event_header) + sizeof(body));
		put_bytes(&c, body, sizeof(body));
		r->lost = 0;
	}
	put_header(&c, PERF_RECORD_SAMPLE, record);
	put_bytes(&c, fields, n_fields * 8ull);
	if (raw_size) {
		put_bytes(&c, &raw_size, sizeof(raw_size));
		for (u32 i = 0; i < n; i++)
			put_bytes(&c, parts[i].at, parts[i].size);
		put_bytes(&c, &zero, raw_size - raw);
	}
	r->since += r->by_bytes ? record : 1;
	r->head = c.at;
	__atomic_store_n(&page->data_head, c.at, __ATOMIC_RELEASE);
	return 0;
}

int perf_ring_output(struct perf_ring *r, const struct hold *h, const struct map_bytes *parts, u32 n, bool try)
{
	bool due = false;
	u64 raw = 0;
	int err;

	for (u32 i = 0; i < n; i++)
		raw += MIN(parts[i].size, (u64)UINT32_MAX);
	if (raw > UINT16_MAX)
		return -E2BIG;
	if (atomic_load_explicit(&r->paused, memory_order_relaxed) || !__atomic_load_n(&r->mask, __ATOMIC_ACQUIRE))
		return -ENOSPC; /* nobody has mapped it */
	err = owned_lock_take(h, &r->lock);
	if (err < 0)
		return err;
	err = write_sample(r, h, parts, n, raw, try);
	if (!err && r->wakeup && r->since >= r->wakeup) {
		r->since = 0;
		due = true;
	}
	owned_lock_drop(h, &r->lock);
	if (due)
		wake(r);
	return err;
}

void perf_ring_sync(struct perf_ring *r)
{
	struct perf_event_mmap_page *page = (struct perf_event_mmap_page *)r->region.base;
	u64 count;

	if (!__atomic_load_n(&r->mask, __ATOMIC_ACQUIRE) || read(r->event_fd, &count, sizeof(count)) < 0)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	/* Read, but what woke us is not consumed yet: the next wait returns at once. */
	if (__atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE) != __atomic_load_n(&page->data_tail, __ATOMIC_ACQUIRE))
		wake(r);
}
