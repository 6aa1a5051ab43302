/* SPDX-License-Identifier: BSD-2-Clause */
/* What the bodies of helpers and kernel functions are written with. */
#ifndef SKEP_HELPER_BODY_H
#define SKEP_HELPER_BODY_H

#include "helper/helper.h"

#define BODY(name)    u64 name(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
#define PTR(x)	      ((void *)(uintptr_t)(x)) /* a register that is an address */
#define ADDR(x)	      ((u64)(uintptr_t)(x))
#define RESULT(x)     ((u64)(s64)(x)) /* a register that is an int or -errno */
#define UNUSED_FROM_B ((void)b, (void)c, (void)d, (void)e)
#define UNUSED_FROM_C ((void)c, (void)d, (void)e)
#define UNUSED_FROM_D ((void)d, (void)e)

#endif
