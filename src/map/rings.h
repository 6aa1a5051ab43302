/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rings: what RINGBUF and USER_RINGBUF share: the layout that libbpf maps, and an event that pollers wait for. The consumer's position is at 0, the
 * producer's at one page, data from two pages on, twice as long as the ring, so that a record which begins near the end is written straight on.
 * All of it may be a client's bytes.
 */
#ifndef SKEP_RINGS_H
#define SKEP_RINGS_H

#include "map/map.h"

enum { RING_PAGE = 4096, RING_HEADER = 8 };

struct ring_event {
	int fd;
};

static inline _Atomic u64 *ring_consumer(const struct map *m)
{
	return (_Atomic u64 *)m->client.base;
}

static inline _Atomic u64 *ring_producer(const struct map *m)
{
	return (_Atomic u64 *)(m->client.base + RING_PAGE);
}

static inline u8 *ring_data(const struct map *m)
{
	return m->client.base + 2 * RING_PAGE;
}

static inline int ring_event(const struct map *m)
{
	return ((const struct ring_event *)m->priv)->fd;
}

static inline bool ring_in_client(const struct map *m, u64 offset, u64 size)
{
	return offset <= m->client.size && size <= m->client.size - offset;
}

int ring_create(struct map *m, u64 meta); /* bytes of the meta region behind the map's own; -EINVAL: no such ring */
void ring_destroy(struct map *m);
int ring_poll_fd(struct map *m);

#endif
