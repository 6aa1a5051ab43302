/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel functions on arenas: pages are taken and given back (map/arena.c). */
#include "helper/helper.h"

static struct map *arena_of(const struct run *r, u64 handle)
{
	struct map *m = window_find(r->host->window, (const void *)(uintptr_t)handle);

	return m && m->ops->traits & KIND_ARENA ? m : NULL;
}

/* (map, address or NULL, pages, NUMA node, flags) */
u64 kfunc_bpf_arena_alloc_pages(struct run *r, u64 map, u64 addr, u64 n, u64 node, u64 flags)
{
	struct map *m = arena_of(r, map);

	return m && !flags && (s32)node >= -1 ? map_arena_alloc(m, addr, (u32)n) : 0;
}

u64 kfunc_bpf_arena_free_pages(struct run *r, u64 map, u64 addr, u64 n, u64 d, u64 e)
{
	struct map *m = arena_of(r, map);

	(void)d, (void)e;
	if (m && addr)
		map_arena_free(m, addr, (u32)n);
	return 0;
}

u64 kfunc_bpf_arena_reserve_pages(struct run *r, u64 map, u64 addr, u64 n, u64 d, u64 e)
{
	struct map *m = arena_of(r, map);

	(void)d, (void)e;
	return (u64)(s64)(m ? map_arena_reserve(m, addr, (u32)n) : -EINVAL);
}
