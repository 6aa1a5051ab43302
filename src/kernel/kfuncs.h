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

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
struct bpf_list_head {
	u64 opaque[2];
} __attribute__((aligned(8)));
#endif
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
struct bpf_rb_root {
	u64 opaque[2];
} __attribute__((aligned(8)));
#endif
/* Headers between have them without their last member: prototypes need the name only. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
struct bpf_list_node {
	u64 opaque[3];
} __attribute__((aligned(8)));
#endif
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
struct bpf_rb_node {
	u64 opaque[4];
} __attribute__((aligned(8)));
#endif
struct bpf_iter_bits {
	u64 opaque[2];
} __attribute__((aligned(8)));

/* Sets of CPUs: as many as an engine may have. */
struct cpumask {
	unsigned long bits[16];
};
typedef struct cpumask cpumask_t;
typedef struct {
	int counter;
} atomic_t;
typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;
struct bpf_cpumask {
	cpumask_t cpumask;
	refcount_t usage;
};

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

void *bpf_obj_new_impl(u64 local_type_id__k, void *meta__ign) GIVES_ZERO
void bpf_obj_drop_impl(void *p__alloc, void *meta__ign) GIVES_NOTHING
void *bpf_percpu_obj_new_impl(u64 local_type_id__k, void *meta__ign) GIVES_ZERO
void bpf_percpu_obj_drop_impl(void *p__alloc, void *meta__ign) GIVES_NOTHING
void *bpf_refcount_acquire_impl(void *p__refcounted_kptr, void *meta__ign) GIVES_ZERO
int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta__ign, u64 off) GIVES_ZERO
int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta__ign, u64 off) GIVES_ZERO
struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) GIVES_ZERO
struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) GIVES_ZERO
struct bpf_list_node *bpf_list_front(struct bpf_list_head *head) GIVES_ZERO
struct bpf_list_node *bpf_list_back(struct bpf_list_head *head) GIVES_ZERO
int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node, bool (*less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta__ign, u64 off) GIVES_ZERO
struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) GIVES_ZERO
struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) GIVES_ZERO
struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root) GIVES_ZERO
struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root, struct bpf_rb_node *node) GIVES_ZERO
struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root, struct bpf_rb_node *node) GIVES_ZERO

int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *unsafe_ptr__ign, u32 nr_words) GIVES_ZERO
int *bpf_iter_bits_next(struct bpf_iter_bits *it) GIVES_ZERO
void bpf_iter_bits_destroy(struct bpf_iter_bits *it) GIVES_NOTHING

/* Maps may have fields for references to what programs of this engine cannot count: empty ones. Their types ask for what releases one. */
void bpf_task_release_dtor(void *p) GIVES_NOTHING
void bpf_cgroup_release_dtor(void *cgrp) GIVES_NOTHING

void *bpf_rdonly_cast(const void *obj__ign, u32 btf_id__k) GIVES_ZERO

struct bpf_cpumask *bpf_cpumask_create(void) GIVES_ZERO
struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *cpumask) GIVES_ZERO
void bpf_cpumask_release(struct bpf_cpumask *cpumask) GIVES_NOTHING
void bpf_cpumask_release_dtor(void *cpumask) GIVES_NOTHING
u32 bpf_cpumask_first(const struct cpumask *cpumask) GIVES_ZERO
u32 bpf_cpumask_first_zero(const struct cpumask *cpumask) GIVES_ZERO
u32 bpf_cpumask_first_and(const struct cpumask *src1, const struct cpumask *src2) GIVES_ZERO
void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *cpumask) GIVES_NOTHING
void bpf_cpumask_clear_cpu(u32 cpu, struct bpf_cpumask *cpumask) GIVES_NOTHING
bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *cpumask) GIVES_ZERO
bool bpf_cpumask_test_and_set_cpu(u32 cpu, struct bpf_cpumask *cpumask) GIVES_ZERO
bool bpf_cpumask_test_and_clear_cpu(u32 cpu, struct bpf_cpumask *cpumask) GIVES_ZERO
void bpf_cpumask_setall(struct bpf_cpumask *cpumask) GIVES_NOTHING
void bpf_cpumask_clear(struct bpf_cpumask *cpumask) GIVES_NOTHING
bool bpf_cpumask_and(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2) GIVES_ZERO
void bpf_cpumask_or(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2) GIVES_NOTHING
void bpf_cpumask_xor(struct bpf_cpumask *dst, const struct cpumask *src1, const struct cpumask *src2) GIVES_NOTHING
bool bpf_cpumask_equal(const struct cpumask *src1, const struct cpumask *src2) GIVES_ZERO
bool bpf_cpumask_intersects(const struct cpumask *src1, const struct cpumask *src2) GIVES_ZERO
bool bpf_cpumask_subset(const struct cpumask *src1, const struct cpumask *src2) GIVES_ZERO
bool bpf_cpumask_empty(const struct cpumask *cpumask) GIVES_ZERO
bool bpf_cpumask_full(const struct cpumask *cpumask) GIVES_ZERO
void bpf_cpumask_copy(struct bpf_cpumask *dst, const struct cpumask *src) GIVES_NOTHING
u32 bpf_cpumask_any_distribute(const struct cpumask *cpumask) GIVES_ZERO
u32 bpf_cpumask_any_and_distribute(const struct cpumask *src1, const struct cpumask *src2) GIVES_ZERO
u32 bpf_cpumask_weight(const struct cpumask *cpumask) GIVES_ZERO
int bpf_cpumask_populate(struct cpumask *cpumask, void *src, size_t src__sz) GIVES_ZERO

int bpf_strcmp(const char *s1__ign, const char *s2__ign) GIVES_ZERO
int bpf_strcasecmp(const char *s1__ign, const char *s2__ign) GIVES_ZERO
int bpf_strchr(const char *s__ign, char c) GIVES_ZERO
int bpf_strchrnul(const char *s__ign, char c) GIVES_ZERO
int bpf_strnchr(const char *s__ign, size_t count, char c) GIVES_ZERO
int bpf_strrchr(const char *s__ign, int c) GIVES_ZERO
int bpf_strlen(const char *s__ign) GIVES_ZERO
int bpf_copy_from_user_str(void *dst, u32 dst__sz, const void *unsafe_ptr__ign, u64 flags) GIVES_ZERO
int bpf_strnlen(const char *s__ign, size_t count) GIVES_ZERO
int bpf_strspn(const char *s__ign, const char *accept__ign) GIVES_ZERO
int bpf_strcspn(const char *s__ign, const char *reject__ign) GIVES_ZERO
int bpf_strstr(const char *s1__ign, const char *s2__ign) GIVES_ZERO
int bpf_strnstr(const char *s1__ign, const char *s2__ign, size_t len) GIVES_ZERO

#endif
