/* SPDX-License-Identifier: BSD-2-Clause */
/* targets.def as data, found by name. */
#include "abi/abi.h"

struct named {
	const char *name;
	u32 flags;
};

static const struct named func_rows[] = {
#define FUNC(name, flags) {#name, flags},
#define PREFIX(name, flags)
#define ITER(name, arg, kind, flags, type)
#define MEMBER(type, member, rule)
#include "abi/targets.def"
};
static const struct named prefix_rows[] = {
#define FUNC(name, flags)
#define PREFIX(name, flags) {#name, flags},
#define ITER(name, arg, kind, flags, type)
#define MEMBER(type, member, rule)
#include "abi/targets.def"
};
static const struct iter_arg iter_rows[] = {
#define FUNC(name, flags)
#define PREFIX(name, flags)
#define ITER(name, arg, kind, flags, type) {#name, arg, kind, flags, #type},
#define MEMBER(type, member, rule)
#include "abi/targets.def"
};

static const struct {
	const char *type, *member;
	enum member_rule rule;
} member_rows[] = {
#define FUNC(name, flags)
#define PREFIX(name, flags)
#define ITER(name, arg, kind, flags, type)
#define MEMBER(type, member, rule) {#type, member, rule},
#include "abi/targets.def"
};

static u32 flags_of(const struct named *rows, u32 n, const char *name)
{
	u32 low = 0, high = n;

	while (low < high) { /* rows are sorted; a test checks it */
		u32 mid = (low + high) / 2;
		int order = strcmp(rows[mid].name, name);

		if (!order)
			return rows[mid].flags;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return 0;
}

u32 kernel_func_flags(const char *name)
{
	u32 flags = flags_of(func_rows, ARRAY_SIZE(func_rows), name);

	for (u32 i = 0; i < ARRAY_SIZE(prefix_rows); i++)
		if (!strncmp(name, prefix_rows[i].name, strlen(prefix_rows[i].name)))
			flags |= prefix_rows[i].flags;
	return flags;
}

const struct iter_arg *iter_args(const char *iter, u32 *n)
{
	const struct iter_arg *first = NULL;

	*n = 0;
	for (u32 i = 0; i < ARRAY_SIZE(iter_rows); i++)
		if (!strcmp(iter_rows[i].iter, iter)) {
			if (!first)
				first = &iter_rows[i];
			++*n;
		}
	return first;
}

enum member_rule member_rule(const char *type, const char *member)
{
	for (u32 i = 0; i < ARRAY_SIZE(member_rows); i++)
		if (!strcmp(member_rows[i].type, type) && (!*member_rows[i].member || !strcmp(member_rows[i].member, member)))
			return member_rows[i].rule;
	return MEMBER_OPEN;
}
