/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables from helpers and kernel functions to bodies. */
#include "helper/helper.h"

static helper_fn *const bodies[] = {
#define HELPER(id, name, ret, args, effects, avail, since, doc) [id] = helper_##name,
#define PROTO(id, name, ret, args, effects, avail, since, doc)
#define VARIANT(id, name, ret, args, effects, avail, since, doc)
#include "abi/helpers.def"
};

helper_fn *const *helper_bodies(u32 *n)
{
	*n = ARRAY_SIZE(bodies);
	return bodies;
}

helper_fn *kfunc_body(const struct kfunc *k)
{
	static helper_fn *const of[] = {
#define KBODY(name, flags, role, avail, since) kfunc_##name,
#define KFUNC(name, flags, role, avail, since) NULL,
#include "abi/kfuncs.def"
	};
	u32 n;

	return of[k - kfuncs(&n)];
}
