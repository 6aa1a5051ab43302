/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel functions that concern the run itself. */
#include "helper/helper.h"

/* Whoever called this leaves: the interpreter and compiled code look at the run. */
u64 kfunc_bpf_throw(struct run *r, u64 cookie, u64 b, u64 c, u64 d, u64 e)
{
	(void)b, (void)c, (void)d, (void)e;
	r->thrown = true;
	r->thrown_with = cookie;
	return 0;
}

/* ---- numbers one after the other ---- */

struct iter_num {
	s32 at, end;
};

u64 kfunc_bpf_iter_num_new(struct run *r, u64 it, u64 start, u64 end, u64 d, u64 e)
{
	enum { MOST = 8 << 20 };
	struct iter_num *i = (struct iter_num *)(uintptr_t)it;

	(void)r, (void)d, (void)e;
	*i = (struct iter_num){0, 0};
	if ((s32)start > (s32)end)
		return (u64)-EINVAL;
	if ((s64)(s32)end - (s32)start > MOST)
		return (u64)-E2BIG;
	*i = (struct iter_num){(s32)((u32)start - 1), (s32)end};
	return 0;
}

u64 kfunc_bpf_iter_num_next(struct run *r, u64 it, u64 b, u64 c, u64 d, u64 e)
{
	struct iter_num *i = (struct iter_num *)(uintptr_t)it;
	s32 next = (s32)((u32)i->at + 1);

	(void)r, (void)b, (void)c, (void)d, (void)e;
	if (next >= i->end) {
		*i = (struct iter_num){0, 0};
		return 0;
	}
	i->at = next;
	return (u64)(uintptr_t)&i->at;
}

u64 kfunc_bpf_iter_num_destroy(struct run *r, u64 it, u64 b, u64 c, u64 d, u64 e)
{
	(void)r, (void)b, (void)c, (void)d, (void)e;
	*(struct iter_num *)(uintptr_t)it = (struct iter_num){0, 0};
	return 0;
}

/* ---- sections: whatever a run may use stays while it lasts, and nothing of this engine interrupts it ---- */

#define SECTION(name)                                                                       \
	u64 kfunc_bpf_##name(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)              \
	{                                                                                   \
		(void)r, (void)a, (void)b, (void)c, (void)d, (void)e;                       \
		return 0;                                                                   \
	}
SECTION(rcu_read_lock)
SECTION(rcu_read_unlock)
SECTION(preempt_disable)
SECTION(preempt_enable)
SECTION(local_irq_restore)

u64 kfunc_bpf_local_irq_save(struct run *r, u64 flags, u64 b, u64 c, u64 d, u64 e)
{
	(void)r, (void)b, (void)c, (void)d, (void)e;
	STORE_AS(u64, (void *)(uintptr_t)flags, 0);
	return 0;
}

/* ---- the bits of words, one after the other; more than one word is copied to an object ---- */

struct iter_bits {
	u64 bits; /* or where they are */
	s32 n, at;
};

u64 kfunc_bpf_iter_bits_new(struct run *r, u64 it, u64 from, u64 words, u64 d, u64 e)
{
	enum { MOST_WORDS = 511 };
	struct iter_bits *i = (struct iter_bits *)(uintptr_t)it;
	u64 bytes = (u64)(u32)words * 8;
	void *to = &i->bits;

	(void)d, (void)e;
	*i = (struct iter_bits){.at = -1};
	if (!from || !bytes)
		return (u64)-EINVAL;
	if ((u32)words > MOST_WORDS)
		return (u64)-E2BIG;
	if (bytes > 8) {
		to = heap_new(r->host->heap, r->hold, (u32)bytes, false, NULL);
		if (!to)
			return (u64)-ENOMEM;
	}
	if (!vm_readable(r, from, bytes)) {
		if (bytes > 8)
			heap_drop(r->host->heap, r->hold, to);
		return (u64)-EFAULT;
	}
	memcpy(to, (const void *)(uintptr_t)from, bytes);
	i->n = (s32)(bytes * 8);
	if (bytes > 8) {
		i->bits = (u64)(uintptr_t)to;
		vm_own(r, i->bits);
	}
	return 0;
}

u64 kfunc_bpf_iter_bits_next(struct run *r, u64 it, u64 b, u64 c, u64 d, u64 e)
{
	struct iter_bits *i = (struct iter_bits *)(uintptr_t)it;
	const u64 *words = i->n > 64 ? (const u64 *)(uintptr_t)i->bits : &i->bits;
	s32 at = i->at + 1;

	(void)r, (void)b, (void)c, (void)d, (void)e;
	while (at < i->n) {
		u64 left = words[at / 64] >> at % 64;

		if (left) {
			i->at = at + __builtin_ctzll(left);
			return (u64)(uintptr_t)&i->at;
		}
		at = (at / 64 + 1) * 64;
	}
	i->at = i->n;
	return 0;
}

u64 kfunc_bpf_iter_bits_destroy(struct run *r, u64 it, u64 b, u64 c, u64 d, u64 e)
{
	const struct iter_bits *i = (const struct iter_bits *)(uintptr_t)it;

	(void)b, (void)c, (void)d, (void)e;
	if (i->n > 64) {
		vm_disown(r, i->bits);
		heap_drop(r->host->heap, r->hold, (const void *)(uintptr_t)i->bits);
	}
	return 0;
}

/* ---- addresses as pointers to kernel types: loads through them are checked when they are executed ---- */

u64 kfunc_bpf_rdonly_cast(struct run *r, u64 object, u64 b, u64 c, u64 d, u64 e)
{
	(void)r, (void)b, (void)c, (void)d, (void)e;
	return object;
}
