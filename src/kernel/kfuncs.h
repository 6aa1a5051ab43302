/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel functions that programs can call, for their prototypes alone: those that have a body in abi/kfuncs.def. Names of arguments are part of Linux's
 * interface: their ends say what the verifier makes of them.
 */
#ifndef SKEP_KERNEL_KFUNCS_H
#define SKEP_KERNEL_KFUNCS_H

/* What kernel functions take a map as; its members are not told. */
struct bpf_map {
	u64 opaque;
};

#define GIVES_NOTHING {}
#define GIVES_ZERO	  { return 0; }

void *bpf_arena_alloc_pages(void *p__map, void *addr__ign, u32 page_cnt, int node_id, u64 flags) GIVES_ZERO
void bpf_arena_free_pages(void *p__map, void *ptr__ign, u32 page_cnt) GIVES_NOTHING
int bpf_arena_reserve_pages(void *p__map, void *ptr__ign, u32 page_cnt) GIVES_ZERO

void bpf_throw(u64 cookie) GIVES_NOTHING

#endif
