/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel: the engine's own kernel objects. types.h has their structs and types.c their BTF; objects lie in one region of the window, so that programs follow
 * pointers between them, and every read of a program is checked against that region alone: a stale or wrong pointer reads old bytes or zeros, never the host's.
 *
 * Ownership: struct skep owns the region; whoever takes a block gives it back.
 */
#ifndef SKEP_KERNEL_H
#define SKEP_KERNEL_H

#include "kernel/types.h"
#include "map/heap.h"

/* All that belongs to one task, and what its events point to. */
struct kernel_task {
	struct kernel_task_struct task;
	struct kernel_task_struct parent; /* where that is no task of the engine's */
	struct kernel_cred cred;
	struct kernel_nsproxy nsproxy;
	struct kernel_mnt_namespace mnt_ns;
	struct kernel_pid_namespace pid_ns;
	struct kernel_pid pid;
	struct kernel_css_set css_set;
	struct kernel_cgroup cgroup;
	struct kernel_kernfs_node kn;
	struct kernel_pt_regs regs;
	struct kernel_linux_binprm binprm;
	struct kernel_kernel_siginfo siginfo;
	struct kernel_k_sigaction sigaction;
	char text[512]; /* a file name, a new comm */
	u32 next_free; /* block number + 1 */
};

enum { KERNEL_BYTES = 64 << 20, KERNEL_BLOCK = 2048 };
_Static_assert(sizeof(struct kernel_task) <= KERNEL_BLOCK, "a block holds one");

struct kernel_memory {
	struct region region; /* blocks of tasks, KERNEL_BYTES of them; then what programs allocate */
	plain_lock lock;
	u32 used, free; /* blocks ever taken; the first free one + 1 */
};

int kernel_memory_open(struct kernel_memory *m, struct window *w);
void kernel_memory_close(struct kernel_memory *m);
struct kernel_task *kernel_task_new(struct kernel_memory *m); /* zeroed, pointers between its parts set; NULL: all are taken */
void kernel_task_free(struct kernel_memory *m, struct kernel_task *t);
static inline u8 *kernel_memory_heap(const struct kernel_memory *m) /* HEAP_BYTES */
{
	return m->region.base + KERNEL_BYTES;
}
static inline bool kernel_memory_has(const struct kernel_memory *m, u64 addr, u64 size)
{
	u64 off = addr - (u64)(uintptr_t)m->region.base;

	return off <= m->region.size && size <= m->region.size - off;
}

extern const unsigned char kernel_btf_bytes[];
extern const u32 kernel_btf_size;

#endif
