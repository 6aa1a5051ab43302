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
