/* SPDX-License-Identifier: BSD-2-Clause */
/* The table from helper ids to bodies. */
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
