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

#include <linux/version.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
struct bpf_iter_num {
	u64 opaque[1];
} __attribute__((aligned(8)));
#endif

#define GIVES_NOTHING {}
#define GIVES_ZERO	  { return 0; }

void *bpf_arena_alloc_pages(void *p__map, void *addr__ign, u32 page_cnt, int node_id, u64 flags) GIVES_ZERO
void bpf_arena_free_pages(void *p__map, void *ptr__ign, u32 page_cnt) GIVES_NOTHING
int bpf_arena_reserve_pages(void *p__map, void *ptr__ign, u32 page_cnt) GIVES_ZERO

void bpf_throw(u64 cookie) GIVES_NOTHING

int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) GIVES_ZERO
int *bpf_iter_num_next(struct bpf_iter_num *it) GIVES_ZERO
void bpf_iter_num_destroy(struct bpf_iter_num *it) GIVES_NOTHING

void bpf_rcu_read_lock(void) GIVES_NOTHING
void bpf_rcu_read_unlock(void) GIVES_NOTHING
void bpf_preempt_disable(void) GIVES_NOTHING
void bpf_preempt_enable(void) GIVES_NOTHING
void bpf_local_irq_save(unsigned long *flags__irq_flag) GIVES_NOTHING
void bpf_local_irq_restore(unsigned long *flags__irq_flag) GIVES_NOTHING

int bpf_dynptr_from_skb(struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr__uninit) GIVES_ZERO
int bpf_dynptr_from_xdp(struct xdp_md *x, u64 flags, struct bpf_dynptr *ptr__uninit) GIVES_ZERO
void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk) GIVES_ZERO
void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk) GIVES_ZERO
int bpf_dynptr_adjust(const struct bpf_dynptr *p, u32 start, u32 end) GIVES_ZERO
bool bpf_dynptr_is_null(const struct bpf_dynptr *p) GIVES_ZERO
bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p) GIVES_ZERO
u32 bpf_dynptr_size(const struct bpf_dynptr *p) GIVES_ZERO
int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone__uninit) GIVES_ZERO
int bpf_dynptr_copy(struct bpf_dynptr *dst_ptr, u32 dst_off, struct bpf_dynptr *src_ptr, u32 src_off, u32 size) GIVES_ZERO
int bpf_dynptr_memset(struct bpf_dynptr *p, u32 offset, u32 size, unsigned char val) GIVES_ZERO

#endif
