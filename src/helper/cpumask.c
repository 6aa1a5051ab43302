/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sets of CPUs: objects of the heap (map/heap.h) with room for as many CPUs as a kernel may know, of which those count that the machine may have. Sets that a program did not make
 * lie in kernel objects. An address that is neither is an empty set that cannot be changed.
 */
#include "helper/body.h"

enum { MOST_CPUS = 8192, WORDS = MOST_CPUS / 64, MASK_BYTES = MOST_CPUS / 8 + 8 }; /* behind the bits Linux counts references */

static u32 n_cpus(const struct run *r)
{
	return domain_cpus(r->hold->domain);
}

static u32 n_words(const struct run *r)
{
	return (n_cpus(r) + 63) / 64;
}

/* The bits that count of a word of a set. Others may change them meanwhile. */
static u64 word(const struct run *r, u64 mask, u32 i)
{
	u32 n = n_cpus(r) - i * 64;
	u64 at = mask + i * 8;

	return vm_kernel_has(r, at, 8) ? __atomic_load_n((u64 *)PTR(at), __ATOMIC_RELAXED) & (n >= 64 ? ~0ull : (1ull << n) - 1) : 0;
}

static void set_word(const struct run *r, u64 mask, u32 i, u64 bits)
{
	if (heap_has(r->host->heap, PTR(mask + i * 8), 8))
		__atomic_store_n((u64 *)PTR(mask + i * 8), bits, __ATOMIC_RELAXED);
}

/* ---- making them ---- */

BODY(kfunc_bpf_cpumask_create)
{
	void *mask = heap_new(r->host->heap, r->hold, MASK_BYTES, false, NULL);

	(void)a, UNUSED_FROM_B;
	if (mask)
		vm_own(r, ADDR(mask));
	return ADDR(mask);
}

BODY(kfunc_bpf_cpumask_acquire)
{
	UNUSED_FROM_B;
	if (heap_acquire(r->host->heap, PTR(a)))
		vm_own(r, a);
	return a;
}

BODY(kfunc_bpf_cpumask_release)
{
	UNUSED_FROM_B;
	vm_disown(r, a);
	heap_drop(r->host->heap, r->hold, PTR(a));
	return 0;
}

/* ---- one CPU ---- */

static bool cpu_bit(const struct run *r, u64 cpu, u64 mask, u64 **at, u64 *bit)
{
	*at = PTR(mask + (u32)cpu / 64 * 8);
	*bit = 1ull << (u32)cpu % 64;
	return (u32)cpu < n_cpus(r) && heap_has(r->host->heap, *at, 8);
}

static u64 set_bit(const struct run *r, u64 cpu, u64 mask)
{
	u64 *at, bit;

	return cpu_bit(r, cpu, mask, &at, &bit) && __atomic_fetch_or(at, bit, __ATOMIC_SEQ_CST) & bit;
}

static u64 clear_bit(const struct run *r, u64 cpu, u64 mask)
{
	u64 *at, bit;

	return cpu_bit(r, cpu, mask, &at, &bit) && __atomic_fetch_and(at, ~bit, __ATOMIC_SEQ_CST) & bit;
}

BODY(kfunc_bpf_cpumask_set_cpu)
{
	UNUSED_FROM_C;
	set_bit(r, a, b);
	return 0;
}

BODY(kfunc_bpf_cpumask_clear_cpu)
{
	UNUSED_FROM_C;
	clear_bit(r, a, b);
	return 0;
}

BODY(kfunc_bpf_cpumask_test_cpu)
{
	UNUSED_FROM_C;
	return (u32)a < n_cpus(r) && word(r, b, (u32)a / 64) >> (u32)a % 64 & 1;
}

BODY(kfunc_bpf_cpumask_test_and_set_cpu)
{
	UNUSED_FROM_C;
	return set_bit(r, a, b);
}

BODY(kfunc_bpf_cpumask_test_and_clear_cpu)
{
	UNUSED_FROM_C;
	return clear_bit(r, a, b);
}

/* ---- whole sets ---- */

enum combine { ONLY_X, BOTH, EITHER, ONE_OF, WITHOUT, NOT_X, ALL };

static u64 combined(const struct run *r, enum combine how, u64 x, u64 y, u32 i)
{
	u64 all = n_cpus(r) - i * 64 >= 64 ? ~0ull : (1ull << n_cpus(r) % 64) - 1;

	switch (how) {
	case ONLY_X: return word(r, x, i);
	case BOTH: return word(r, x, i) & word(r, y, i);
	case EITHER: return word(r, x, i) | word(r, y, i);
	case ONE_OF: return word(r, x, i) ^ word(r, y, i);
	case WITHOUT: return word(r, x, i) & ~word(r, y, i);
	case NOT_X: return ~word(r, x, i) & all;
	default: return all;
	}
}

/* Gives whether there are any. */
static u64 store(const struct run *r, u64 to, enum combine how, u64 x, u64 y)
{
	u64 any = 0;

	for (u32 i = 0; i < n_words(r); i++) {
		u64 bits = combined(r, how, x, y, i);

		set_word(r, to, i, bits);
		any |= bits;
	}
	return any != 0;
}

/* The first from a CPU on, or n_cpus(). */
static u32 first(const struct run *r, enum combine how, u64 x, u64 y, u32 from)
{
	for (u32 i = from / 64; i < n_words(r); i++) {
		u64 bits = combined(r, how, x, y, i) & (i == from / 64 ? ~0ull << from % 64 : ~0ull);

		if (bits)
			return i * 64 + (u32)__builtin_ctzll(bits);
	}
	return n_cpus(r);
}

/* Any one, not always the same. */
static u32 any(struct run *r, enum combine how, u64 x, u64 y)
{
	u32 start = (u32)helper_get_prandom_u32(r, 0, 0, 0, 0, 0) % n_cpus(r), found = first(r, how, x, y, start);

	return found < n_cpus(r) ? found : first(r, how, x, y, 0);
}

static bool none(const struct run *r, enum combine how, u64 x, u64 y)
{
	return first(r, how, x, y, 0) == n_cpus(r);
}

BODY(kfunc_bpf_cpumask_setall)
{
	UNUSED_FROM_B;
	store(r, a, ALL, 0, 0);
	return 0;
}

BODY(kfunc_bpf_cpumask_clear)
{
	UNUSED_FROM_B;
	store(r, a, BOTH, 0, 0);
	return 0;
}

BODY(kfunc_bpf_cpumask_copy)
{
	UNUSED_FROM_C;
	store(r, a, ONLY_X, b, 0);
	return 0;
}

BODY(kfunc_bpf_cpumask_and)
{
	UNUSED_FROM_D;
	return store(r, a, BOTH, b, c);
}

BODY(kfunc_bpf_cpumask_or)
{
	UNUSED_FROM_D;
	store(r, a, EITHER, b, c);
	return 0;
}

BODY(kfunc_bpf_cpumask_xor)
{
	UNUSED_FROM_D;
	store(r, a, ONE_OF, b, c);
	return 0;
}

/* From memory of a size: all of a set's words, and no part of one. */
BODY(kfunc_bpf_cpumask_populate)
{
	u32 bytes = (n_cpus(r) + 7) / 8;

	UNUSED_FROM_D;
	if (c < bytes)
		return (u64)-EACCES;
	if (c > MASK_BYTES || b % 8)
		return (u64)-EINVAL;
	for (u32 i = 0; i < n_words(r); i++) {
		u64 bits = 0;

		memcpy(&bits, (const u8 *)PTR(b) + i * 8, MIN(c - i * 8, (u64)8));
		set_word(r, a, i, bits);
	}
	return 0;
}

BODY(kfunc_bpf_cpumask_first)
{
	UNUSED_FROM_B;
	return first(r, ONLY_X, a, 0, 0);
}

BODY(kfunc_bpf_cpumask_first_zero)
{
	UNUSED_FROM_B;
	return first(r, NOT_X, a, 0, 0);
}

BODY(kfunc_bpf_cpumask_first_and)
{
	UNUSED_FROM_C;
	return first(r, BOTH, a, b, 0);
}

BODY(kfunc_bpf_cpumask_any_distribute)
{
	UNUSED_FROM_B;
	return any(r, ONLY_X, a, 0);
}

BODY(kfunc_bpf_cpumask_any_and_distribute)
{
	UNUSED_FROM_C;
	return any(r, BOTH, a, b);
}

BODY(kfunc_bpf_cpumask_equal)
{
	UNUSED_FROM_C;
	return none(r, ONE_OF, a, b);
}

BODY(kfunc_bpf_cpumask_intersects)
{
	UNUSED_FROM_C;
	return !none(r, BOTH, a, b);
}

BODY(kfunc_bpf_cpumask_subset)
{
	UNUSED_FROM_C;
	return none(r, WITHOUT, a, b);
}

BODY(kfunc_bpf_cpumask_empty)
{
	UNUSED_FROM_B;
	return none(r, ONLY_X, a, 0);
}

BODY(kfunc_bpf_cpumask_full)
{
	UNUSED_FROM_B;
	return none(r, NOT_X, a, 0);
}

BODY(kfunc_bpf_cpumask_weight)
{
	u32 n = 0;

	UNUSED_FROM_B;
	for (u32 i = 0; i < n_words(r); i++)
		n += (u32)__builtin_popcountll(word(r, a, i));
	return n;
}
