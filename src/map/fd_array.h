/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fd_array: arrays whose elements are the engine's objects. Operations that their kinds share; the elements belong to
 * the map, which holds a reference to each object through m->host.
 */
#ifndef SKEP_MAP_FD_ARRAY_H
#define SKEP_MAP_FD_ARRAY_H

#include "map/map.h"

int fd_array_create(struct map *m, u32 extra_flags); /* flags beyond those that all of them take */
void fd_array_clear(struct map *m);
int fd_array_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags);
int fd_array_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags);
int fd_array_remove(struct map *m, const struct hold *h, const void *key);

static inline u32 fd_array_id(const struct map *m, u32 index) /* 0: empty, or no such element */
{
	const _Atomic u32 *ids = (const _Atomic u32 *)(m->meta.base + sizeof(struct map_header));

	return index < m->spec.max_entries ? atomic_load_explicit(&ids[index], memory_order_acquire) : 0;
}

#endif
