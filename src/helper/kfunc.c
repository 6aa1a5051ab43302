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
