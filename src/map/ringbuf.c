/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RINGBUF: records of any size from many producers to one consumer, in the layout that libbpf maps (rings.h). A record which begins near the end is
 * written straight on; the next one begins at the front again.
 *
 * Key idea: nothing that a client can write is believed. Position and records in flight are kept in the meta region;
 * the page that clients see is a copy. The consumer's position is only used to refuse or to wake: a false one loses the
 * consumer's own data.
 *
 * Concurrency:
 *  1. One owned lock orders producers. Under it a record becomes part of the ring by storing `head`, then the copy.
 *  2. bpf_ringbuf_output() writes its record complete before 1., so whoever dies leaves nothing behind.
 *  3. A reserved record is first noted in the list of the holder's run slot (position, size, then the tag that makes the
 *     note valid), then becomes part of the ring with its BUSY bit set. Committing clears the bit, then the note, without a lock.
 *  4. Notes whose writer is gone are swept, under the lock: what is still BUSY becomes discarded. A takeover of the lock
 *     sweeps first, so that a note for a position that was never reached is dropped before the position is given out.
 *  5. Storing the copy of `head` (or the committed header) is a full barrier before the consumer's position is read, where the flags
 *     leave the wake-up to that; poll_sync empties the event before it reads `head`. One of the two sees the other: no wake-up is lost.
 */
#include "map/rings.h"

#include <linux/bpf.h>
#include <unistd.h>

enum {
	IN_FLIGHT = 32, /* records that one run slot may have reserved at a time */
	SWEEP_EVERY = 256, /* failed reservations between two looks for dead owners */
};
#define RECORD_MAX (UINT32_MAX / 4)

struct note {
	_Atomic u64 pos;
	_Atomic u32 size;
	_Atomic u32 tag; /* of the holder; 0: no record */
};

struct ring_slot {
	_Atomic u32 top; /* notes at and behind it were never used */
	u32 reserved[15];
	struct note note[IN_FLIGHT];
};

struct ring {
	owned_lock lock;
	_Atomic u32 failures;
	_Atomic u64 head;
	u64 reserved[6];
	struct ring_slot slot[];
};
_Static_assert(sizeof(struct ring) == 64, "slots begin on a cache line");

static struct ring *ring(const struct map *m)
{
	return (struct ring *)(m->meta.base + sizeof(struct map_header));
}

/* Always inside of the ring, whatever the position. */
static u64 offset_of(const struct map *m, u64 pos)
{
	return pos & (m->spec.max_entries - 1) & ~7ull;
}

static u8 *record_at(const struct map *m, u64 pos)
{
	return ring_data(m) + offset_of(m, pos);
}

static _Atomic u32 *length_at(const struct map *m, u64 pos)
{
	return (_Atomic u32 *)record_at(m, pos);
}

static u64 span_of(u64 size)
{
	return ALIGN_UP(size + RING_HEADER, 8ull);
}

static void wake(const struct map *m)
{
	u64 one = 1;

	/* A full counter is readable already. */
	if (write(ring_event(m), &one, sizeof(one)) < 0)
		return;
}

static bool looks_at_consumer(u64 flags)
{
	return !(flags & (BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP));
}

/* After a barrier: the consumer had read all that was before this record, so it may be waiting. */
static void wake_if_due(const struct map *m, u64 pos, u64 flags)
{
	if (flags & BPF_RB_FORCE_WAKEUP)
		wake(m);
	else if (looks_at_consumer(flags) &&
		 offset_of(m, atomic_load_explicit(ring_consumer(m), memory_order_acquire)) == offset_of(m, pos))
		wake(m);
}

/* ---- dead owners ---- */

static void discard_note(struct map *m, struct note *n)
{
	u64 pos = atomic_load_explicit(&n->pos, memory_order_relaxed);
	u32 size = atomic_load_explicit(&n->size, memory_order_relaxed), busy = size | BPF_RINGBUF_BUSY_BIT;
	u64 behind = atomic_load_explicit(&ring(m)->head, memory_order_relaxed) - pos;

	if (size <= RECORD_MAX && behind >= span_of(size) && behind <= m->spec.max_entries &&
	    atomic_compare_exchange_strong(length_at(m, pos), &busy, size | BPF_RINGBUF_DISCARD_BIT))
		wake_if_due(m, pos, 0);
	atomic_store_explicit(&n->tag, 0, memory_order_release);
}

static u32 notes_used(const struct ring_slot *s)
{
	return at_most(atomic_load_explicit(&s->top, memory_order_relaxed), IN_FLIGHT);
}

/* Under the lock. h NULL: nobody else has the map, all notes are leftovers. */
static void sweep(struct map *m, const struct hold *h)
{
	for (u32 cpu = 0; cpu < domain_cpus(m->domain); cpu++) {
		struct ring_slot *s = &ring(m)->slot[cpu];

		for (u32 i = 0; i < notes_used(s); i++) {
			u32 tag = atomic_load_explicit(&s->note[i].tag, memory_order_acquire);

			if (tag && (!h || hold_gone(h, tag)))
				discard_note(m, &s->note[i]);
		}
	}
}

static int lock_ring(struct map *m, const struct hold *h)
{
	int err = owned_lock_take(h, &ring(m)->lock);

	if (unlikely(err > 0)) {
		sweep(m, h);
		atomic_store(ring_producer(m), atomic_load(&ring(m)->head));
		err = 0;
	}
	return err;
}

/* ---- life ---- */

/* What a former owner left: its lock, its reservations, positions that do not fit. */
static void settle(struct map *m)
{
	struct ring *r = ring(m);
	u64 head = atomic_load(&r->head) & ~7ull;

	atomic_store(&r->lock, 0);
	atomic_store(&r->head, head);
	sweep(m, NULL);
	atomic_store(ring_producer(m), head);
	if (head - atomic_load(ring_consumer(m)) > m->spec.max_entries)
		atomic_store(ring_consumer(m), head);
}

static int ringbuf_create(struct map *m)
{
	int err = ring_create(m, sizeof(struct ring) + sizeof(struct ring_slot) * domain_cpus(m->domain));

	if (!err && m->adopting && m->alone)
		settle(m);
	return err;
}

/* ---- producers ---- */

/* Under the lock: room for span bytes behind *pos. */
static bool has_room(struct map *m, const struct hold *h, u64 span, u64 *pos)
{
	u64 used;

	*pos = atomic_load_explicit(&ring(m)->head, memory_order_relaxed) & ~7ull;
	used = *pos + span - atomic_load_explicit(ring_consumer(m), memory_order_acquire);
	if (likely(used < m->spec.max_entries))
		return true;
	/* The consumer may be stuck before a record that nobody will ever commit. */
	if (atomic_fetch_add_explicit(&ring(m)->failures, 1, memory_order_relaxed) % SWEEP_EVERY == 0)
		sweep(m, h);
	return false;
}

/* Most records are short, and a call would cost as much as they do. */
static inline void copy_record(u8 *to, const u8 *from, u64 size)
{
	enum { SHORT = 128, PIECE = 16 };

	if (unlikely(size > SHORT || size < PIECE)) {
		memcpy(to, from, size);
		return;
	}
	for (u64 at = 0; at < size - PIECE; at += PIECE)
		memcpy(to + at, from + at, PIECE);
	memcpy(to + size - PIECE, from + size - PIECE, PIECE);
}

static int ringbuf_output(struct map *m, const struct hold *h, const void *data, u64 size, u64 flags)
{
	u64 pos;
	u8 *to;
	int err;

	if (flags & ~(u64)(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP))
		return -EINVAL;
	if (size > RECORD_MAX || span_of(size) > m->spec.max_entries)
		return -EAGAIN;
	err = lock_ring(m, h);
	if (err < 0)
		return -EAGAIN;
	if (!has_room(m, h, span_of(size), &pos)) {
		owned_lock_drop(h, &ring(m)->lock);
		return -EAGAIN;
	}
	to = record_at(m, pos);
	copy_record(to + RING_HEADER, data, size);
	__atomic_store_n((u64 *)to, size | (pos & (m->spec.max_entries - 1)) / RING_PAGE << 32, __ATOMIC_RELAXED);
	atomic_store_explicit(&ring(m)->head, pos + span_of(size), memory_order_release);
	if (looks_at_consumer(flags))
		atomic_exchange(ring_producer(m), pos + span_of(size));
	else
		atomic_store_explicit(ring_producer(m), pos + span_of(size), memory_order_release);
	owned_lock_drop(h, &ring(m)->lock);
	wake_if_due(m, pos, flags);
	return 0;
}

/* Under the lock, which keeps others from sweeping: a note of one's own slot that is free, or was left by a former owner. */
static struct note *take_note(struct map *m, const struct hold *h)
{
	struct ring_slot *s = &ring(m)->slot[h->index];

	for (u32 i = 0; i < IN_FLIGHT; i++) {
		struct note *n = &s->note[i];
		u32 tag = atomic_load_explicit(&n->tag, memory_order_acquire);

		if (tag == h->tag)
			continue;
		if (tag)
			discard_note(m, n);
		if (notes_used(s) <= i)
			atomic_store_explicit(&s->top, i + 1, memory_order_relaxed);
		return n;
	}
	return NULL;
}

static void *ringbuf_reserve(struct map *m, const struct hold *h, u64 size, u64 flags)
{
	struct note *n;
	u8 *record = NULL;
	u64 pos;

	if (flags || size > RECORD_MAX || span_of(size) > m->spec.max_entries || lock_ring(m, h) < 0)
		return NULL;
	if (has_room(m, h, span_of(size), &pos) && (n = take_note(m, h)) != NULL) {
		atomic_store_explicit(&n->pos, pos, memory_order_relaxed);
		atomic_store_explicit(&n->size, (u32)size, memory_order_relaxed);
		atomic_store_explicit(&n->tag, h->tag, memory_order_release);
		record = record_at(m, pos);
		__atomic_store_n((u64 *)record,
				 size | BPF_RINGBUF_BUSY_BIT | (pos & (m->spec.max_entries - 1)) / RING_PAGE << 32,
				 __ATOMIC_RELEASE);
		atomic_store_explicit(&ring(m)->head, pos + span_of(size), memory_order_release);
		atomic_store_explicit(ring_producer(m), pos + span_of(size), memory_order_release);
		record += RING_HEADER;
	}
	owned_lock_drop(h, &ring(m)->lock);
	return record;
}

static int ringbuf_commit(struct map *m, const struct hold *h, void *record, u64 flags, bool discard)
{
	struct ring_slot *s = &ring(m)->slot[h->index];

	for (u32 i = 0; i < notes_used(s); i++) {
		struct note *n = &s->note[i];
		u64 pos;
		u32 size;

		if (atomic_load_explicit(&n->tag, memory_order_relaxed) != h->tag)
			continue;
		pos = atomic_load_explicit(&n->pos, memory_order_relaxed);
		if (record_at(m, pos) + RING_HEADER != record)
			continue;
		size = at_most(atomic_load_explicit(&n->size, memory_order_relaxed), RECORD_MAX) | (discard ? BPF_RINGBUF_DISCARD_BIT : 0);
		if (looks_at_consumer(flags))
			atomic_exchange(length_at(m, pos), size);
		else
			atomic_store_explicit(length_at(m, pos), size, memory_order_release);
		atomic_store_explicit(&n->tag, 0, memory_order_release);
		wake_if_due(m, pos, flags);
		return 0;
	}
	return -EINVAL;
}

/* ---- questions ---- */

static u64 ringbuf_query(struct map *m, u64 what)
{
	u64 head = atomic_load_explicit(&ring(m)->head, memory_order_acquire);
	u64 tail = atomic_load_explicit(ring_consumer(m), memory_order_acquire);

	switch (what) {
	case BPF_RB_AVAIL_DATA:
		return head - tail;
	case BPF_RB_RING_SIZE:
		return m->spec.max_entries;
	case BPF_RB_CONS_POS:
		return tail;
	case BPF_RB_PROD_POS:
		return head;
	default:
		return 0;
	}
}

/* A record in flight, of whatever slot. */
static bool ringbuf_in_value(struct map *m, const void *addr, u64 size)
{
	u64 off = (u64)((const u8 *)addr - ring_data(m));

	if (off >= 2ull * m->spec.max_entries)
		return false;
	for (u32 cpu = 0; cpu < domain_cpus(m->domain); cpu++) {
		const struct ring_slot *s = &ring(m)->slot[cpu];

		for (u32 i = 0; i < notes_used(s); i++) {
			const struct note *n = &s->note[i];
			u64 begin = offset_of(m, atomic_load_explicit(&n->pos, memory_order_relaxed)) + RING_HEADER;
			u64 bytes = at_most(atomic_load_explicit(&n->size, memory_order_relaxed), m->spec.max_entries);

			if (atomic_load_explicit(&n->tag, memory_order_relaxed) && off >= begin && off - begin <= bytes &&
			    size <= bytes - (off - begin))
				return true;
		}
	}
	return false;
}

static int ringbuf_mmap(struct map *m, u64 offset, u64 size, bool write)
{
	if (write && (offset != 0 || size != RING_PAGE))
		return -EPERM; /* only the consumer's position */
	return ring_in_client(m, offset, size) ? 0 : -EINVAL;
}

static void ringbuf_poll_sync(struct map *m)
{
	u64 count, head, tail;
	struct hold h;

	if (read(ring_event(m), &count, sizeof(count)) < 0)
		count = 0; /* was not readable */
	atomic_thread_fence(memory_order_seq_cst);
	tail = atomic_load(ring_consumer(m));
	head = atomic_load(&ring(m)->head);
	if (head == tail)
		return;
	wake(m);
	/* Nothing to read although the ring is not empty: a producer is at work on it, or has died there. */
	if (atomic_load(ring_producer(m)) == head && !(atomic_load(length_at(m, tail)) & BPF_RINGBUF_BUSY_BIT))
		return;
	if (hold_take(m->domain, &h))
		return;
	if (lock_ring(m, &h) == 0) {
		sweep(m, &h);
		owned_lock_drop(&h, &ring(m)->lock);
	}
	hold_drop(&h);
}

const struct map_ops ringbuf_ops = {
	.create = ringbuf_create,
	.destroy = ring_destroy,
	.reserve = ringbuf_reserve,
	.commit = ringbuf_commit,
	.output = ringbuf_output,
	.query = ringbuf_query,
	.in_value = ringbuf_in_value,
	.mmap = ringbuf_mmap,
	.poll_fd = ring_poll_fd,
	.poll_sync = ringbuf_poll_sync,
	.traits = KIND_INNER,
};
