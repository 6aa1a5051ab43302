/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * USER_RINGBUF: records from a client to programs, in RINGBUF's layout (rings.h) with the roles exchanged.
 *
 * Concurrency: one run at a time drains a ring (an owned lock that nobody waits for: -EBUSY); between it and the client the two positions order accesses.
 * All bytes are the client's, the consumer's position too, whatever mappings allow: a record is used if it lies inside of the ring.
 */
#include "map/rings.h"

#include <linux/bpf.h>
#include <unistd.h>

enum { DRAIN_MOST = 128 * 1024, RECORD_MOST = (1 << 24) - 1 /* what a dynptr can be of */ };

struct user_ring { /* the meta region's */
	owned_lock busy;
};

static struct user_ring *ring(const struct map *m)
{
	return (struct user_ring *)(m->meta.base + sizeof(struct map_header));
}

static u8 *data_at(const struct map *m, u64 pos)
{
	return ring_data(m) + (pos & (m->spec.max_entries - 1));
}

static int user_ringbuf_create(struct map *m)
{
	return ring_create(m, sizeof(struct user_ring));
}

/* ---- programs take records ---- */

struct record {
	u8 *at;
	u64 size, span; /* with its header, rounded up */
};

/* The oldest record: -ENODATA when there is none yet, -EAGAIN when the client discarded it; what lies there may be anything. */
static int oldest(const struct map *m, struct record *out)
{
	u64 end = atomic_load_explicit(ring_producer(m), memory_order_acquire), pos = atomic_load_explicit(ring_consumer(m), memory_order_acquire);
	u32 header;

	*out = (struct record){0};
	if (end % RING_HEADER || pos % RING_HEADER)
		return -EINVAL;
	if (pos >= end)
		return -ENODATA;
	header = atomic_load_explicit((_Atomic u32 *)(void *)data_at(m, pos), memory_order_acquire);
	out->size = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
	out->span = ALIGN_UP(out->size + RING_HEADER, (u64)RING_HEADER);
	out->at = data_at(m, pos + RING_HEADER);
	if (out->span > end - pos)
		return -EINVAL;
	if (out->span > m->spec.max_entries)
		return -E2BIG;
	if (out->size > RECORD_MOST)
		return -E2BIG;
	return header & BPF_RINGBUF_DISCARD_BIT ? -EAGAIN : header & BPF_RINGBUF_BUSY_BIT ? -ENODATA : 0;
}

static void release(const struct map *m, const struct record *r)
{
	u64 pos = atomic_load_explicit(ring_consumer(m), memory_order_relaxed);

	atomic_store_explicit(ring_consumer(m), pos + r->span, memory_order_release);
}

static bool take_turn(const struct hold *h, owned_lock *busy)
{
	u32 seen = 0;

	return atomic_compare_exchange_strong(busy, &seen, h->tag) || (seen && hold_gone(h, seen) && atomic_compare_exchange_strong(busy, &seen, h->tag));
}

static void there_is_room(const struct map *m)
{
	u64 count;

	if (read(ring_event(m), &count, sizeof(count)) < 0)
		return; /* it was known */
}

static long drain(struct map *m, map_drain *fn, void *ud, bool *took)
{
	long n, discarded = 0, stop = 0;

	for (n = 0; n < DRAIN_MOST && !stop; n++) {
		struct record r;
		int err = oldest(m, &r);

		if (err == -ENODATA)
			break;
		if (err && err != -EAGAIN)
			return err;
		if (err)
			discarded++;
		else
			stop = fn(ud, r.at, r.size);
		release(m, &r);
		*took = true;
	}
	return n - discarded;
}

static long user_ringbuf_drain(struct map *m, const struct hold *h, map_drain *fn, void *ud, u64 flags)
{
	bool took = false;
	long n;

	if (flags & ~(u64)(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP))
		return -EINVAL;
	if (!take_turn(h, &ring(m)->busy))
		return -EBUSY;
	n = drain(m, fn, ud, &took);
	owned_lock_drop(h, &ring(m)->busy);
	if (flags & BPF_RB_FORCE_WAKEUP || (took && !(flags & BPF_RB_NO_WAKEUP)))
		there_is_room(m);
	return n;
}

/* ---- the client: the event's counter is at its end, so that it cannot be written, while the ring is full ---- */

static void user_ringbuf_poll_sync(struct map *m)
{
	u64 full = UINT64_MAX - 1;

	there_is_room(m);
	if (atomic_load(ring_producer(m)) - atomic_load(ring_consumer(m)) >= m->spec.max_entries && write(ring_event(m), &full, sizeof(full)) < 0)
		return;
}

/* Records may be read and, as far as dynptrs allow, written. */
static bool user_ringbuf_in_value(struct map *m, const void *addr, u64 size)
{
	u64 at = (u64)((const u8 *)addr - ring_data(m));

	return at <= 2ull * m->spec.max_entries && size <= 2ull * m->spec.max_entries - at;
}

static int user_ringbuf_mmap(struct map *m, u64 offset, u64 size, bool write)
{
	if (write && offset == 0)
		return -EPERM; /* the consumer's position is the program's */
	return ring_in_client(m, offset, size) ? 0 : -EINVAL;
}

const struct map_ops user_ringbuf_ops = {
	.create = user_ringbuf_create,
	.destroy = ring_destroy,
	.drain = user_ringbuf_drain,
	.in_value = user_ringbuf_in_value,
	.mmap = user_ringbuf_mmap,
	.poll_fd = ring_poll_fd,
	.poll_sync = user_ringbuf_poll_sync,
	.traits = KIND_INNER,
};
