/* SPDX-License-Identifier: BSD-2-Clause */
/* What runs inside of other processes: see inside_code.h. */
#include "hook/inside_code.h"

#include <linux/bpf.h>
#include <sys/syscall.h>

#define INLINE __attribute__((always_inline)) static inline
#define ROUTINE __attribute__((section("skep_inside"), used, flatten))

typedef s64 inside_ask(u64 helper, const struct inside_map *m, const void *key, const void *value, u64 flags, u64 cpu);

#ifdef __x86_64__

INLINE void yield(void)
{
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(SYS_sched_yield) : "rcx", "r11", "memory");
}

INLINE u64 thread_number(bool by_abi)
{
	u64 fs;

	if (by_abi)
		__asm__ volatile("mov %%fs:0, %0" : "=r"(fs));
	else
		__asm__ volatile("rdfsbase %0" : "=r"(fs));
	return fs >> 6 & UINT32_MAX;
}

#else

INLINE void yield(void)
{
}

INLINE u64 thread_number(bool by_abi)
{
	(void)by_abi;
	return 0;
}

#endif

/* ---- leases ---- */

/* A thread's own that it did not give back was left by longjmp(): an outer run's would lie higher on the stack. */
INLINE bool take(struct inside_lease *l, u64 me, u64 sp)
{
	u64 owner = atomic_load_explicit(&l->owner, memory_order_relaxed);
	bool got = owner == me ? atomic_load_explicit(&l->sp, memory_order_relaxed) <= sp : !owner && atomic_compare_exchange_strong(&l->owner, &owner, me);

	if (got)
		atomic_store_explicit(&l->sp, sp, memory_order_relaxed);
	return got;
}

ROUTINE void inside_run(struct hold **run, void *regs, inside_entry *entry, const struct inside_cpus *cpus, u64 tgid)
{
	enum { TURNS = 64 };
	u64 thread = thread_number(cpus->by_abi), me = tgid | thread, sp = (u64)(uintptr_t)__builtin_frame_address(0);
	u32 n = cpus->n, home = (u32)((u64)((u32)thread * 0x9e3779b1u) * n >> 32);
	struct inside_lease *l = NULL;

	for (u32 turn = 0; !l && turn < TURNS; turn++) {
		for (u32 i = 0; !l && i < n; i++) {
			struct inside_lease *at = &cpus->lease[home + i < n ? home + i : home + i - n];

			l = take(at, me, sp) ? at : NULL;
		}
		if (!l)
			yield();
	}
	*run = (struct hold *)(uintptr_t)&cpus->hold[l ? (u32)(l - cpus->lease) : home];
	entry(run, regs);
	if (l)
		atomic_store_explicit(&l->owner, 0, memory_order_release);
}

/* ---- maps ---- */

INLINE void copy(u8 *to, const u8 *from, u32 size)
{
	for (; size >= 8; size -= 8, to += 8, from += 8)
		*(volatile u64 *)(void *)to = LOAD_AS(u64, from);
	for (; size; size--)
		*(volatile u8 *)to++ = *from++;
}

INLINE u32 hash_key_of(const struct inside_map *m, const u8 *key)
{
	u64 x = 0;

	if (m->key_size == 8)
		return (u32)hash_word(&m->hash.key, LOAD_AS(u64, key));
	if (m->key_size == 4)
		return (u32)hash_word(&m->hash.key, LOAD_AS(u32, key));
	if (m->key_size > 8)
		return (u32)hash_words(&m->hash.key, key, m->key_size);
	for (u32 i = 0; i < m->key_size; i++)
		x |= (u64)key[i] << 8 * i;
	return (u32)hash_word(&m->hash.key, x);
}

INLINE u64 cpu_of(struct hold *const *run)
{
	return *run ? (*run)->index : 0;
}

INLINE u8 *find(struct hold *const *run, const struct inside_map *m, const void *key)
{
	struct hash_spot spot;
	u32 index;

	if (!m->hash.nodes) {
		index = LOAD_AS(u32, key);
		return index < m->max_entries ? m->values + (u64)index * m->elem_size + (m->cpu_stride ? cpu_of(run) * m->cpu_stride : 0) : NULL;
	}
	if (!hash_seek(&m->hash, key, m->key_size, hash_key_of(m, key), &spot))
		return NULL;
	if (m->hash.lru && !atomic_load_explicit(&spot.node->recent, memory_order_relaxed))
		atomic_store_explicit(&spot.node->recent, 1, memory_order_relaxed);
	return (u8 *)spot.node + m->hash.value_at + (m->hash.percpu ? cpu_of(run) * m->elem_size : 0);
}

INLINE s64 ask(u64 helper, struct hold *const *run, const struct inside_map *m, const void *key, const void *value, u64 flags)
{
	return ((inside_ask *)(uintptr_t)m->ask)(helper, m, key, value, flags, cpu_of(run));
}

ROUTINE void *inside_lookup(struct hold **run, const struct inside_map *m, const void *key)
{
	return find(run, m, key);
}

/* Written where it is, unless readers could see half of it: those of another CPU's values do not look. */
ROUTINE s64 inside_update(struct hold **run, const struct inside_map *m, const void *key, const void *value, u64 flags)
{
	bool alone = !m->hash.nodes || m->hash.percpu;
	u8 *at;

	if (flags > BPF_EXIST || (!alone && m->value_size > 8))
		return ask(BPF_FUNC_map_update_elem, run, m, key, value, flags);
	at = find(run, m, key);
	if (!m->hash.nodes && (!at || flags == BPF_NOEXIST))
		return at ? -EEXIST : -E2BIG;
	if (!at)
		return flags == BPF_EXIST ? -ENOENT : ask(BPF_FUNC_map_update_elem, run, m, key, value, flags);
	if (flags == BPF_NOEXIST)
		return -EEXIST;
	if (!alone && m->value_size == 4)
		*(volatile u32 *)(void *)at = LOAD_AS(u32, value);
	else if (alone || m->value_size == 8)
		copy(at, value, m->value_size);
	else
		return ask(BPF_FUNC_map_update_elem, run, m, key, value, flags);
	return 0;
}

ROUTINE s64 inside_delete(struct hold **run, const struct inside_map *m, const void *key)
{
	if (!m->hash.nodes)
		return -EINVAL;
	return find(run, m, key) ? ask(BPF_FUNC_map_delete_elem, run, m, key, NULL, 0) : -ENOENT;
}
