/* SPDX-License-Identifier: BSD-2-Clause */
/* Program types: progtypes.def, attach.def and results.def as data. */
#include "abi/ctx.h"

/* Names that the system's <linux/bpf.h> may lack, as the tables write them. */
enum {
	BPF_PROG_TYPE_UAPI_NETFILTER = UAPI_PROG_NETFILTER,
	BPF_UAPI_NETFILTER = UAPI_ATTACH_NETFILTER,
	BPF_UAPI_CGROUP_UNIX_CONNECT = UAPI_ATTACH_CGROUP_UNIX_CONNECT,
	BPF_UAPI_CGROUP_UNIX_SENDMSG = UAPI_ATTACH_CGROUP_UNIX_SENDMSG,
	BPF_UAPI_CGROUP_UNIX_RECVMSG = UAPI_ATTACH_CGROUP_UNIX_RECVMSG,
	BPF_UAPI_CGROUP_UNIX_GETPEERNAME = UAPI_ATTACH_CGROUP_UNIX_GETPEERNAME,
	BPF_UAPI_CGROUP_UNIX_GETSOCKNAME = UAPI_ATTACH_CGROUP_UNIX_GETSOCKNAME,
	BPF_UAPI_TRACE_KPROBE_SESSION = UAPI_ATTACH_TRACE_KPROBE_SESSION,
	BPF_UAPI_TRACE_UPROBE_SESSION = UAPI_ATTACH_TRACE_UPROBE_SESSION,
};
#define AT(name) (1ull << BPF_##name)

static const struct progtype types[] = {
#define PROGTYPE(id, name, ctx, runs, since, flags) {id, #name, &ctx_##ctx, 1ull << id, runs, since, flags},
#include "abi/progtypes.def"
};

const struct progtype *progtype(u32 id)
{
	for (u32 i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].id == id)
			return &types[i];
	return NULL;
}

const struct progtype *progtypes(u32 *n)
{
	*n = ARRAY_SIZE(types);
	return types;
}

/* ---- attach types ---- */

struct attach_row {
	u32 type, zero_means;
	u64 accepted;
};
static const struct attach_row attach_rows[] = {
#define ATTACH(type, zero_means, accepted) {BPF_PROG_TYPE_##type, zero_means, accepted},
#define SLEEPABLE(type, mask)
#define OWN_STACKS(type, mask)
#include "abi/attach.def"
};
static const struct attach_row sleepable_rows[] = {
#define ATTACH(type, zero_means, accepted)
#define SLEEPABLE(type, mask) {BPF_PROG_TYPE_##type, 0, mask},
#define OWN_STACKS(type, mask)
#include "abi/attach.def"
};
static const struct attach_row stack_rows[] = {
#define ATTACH(type, zero_means, accepted)
#define SLEEPABLE(type, mask)
#define OWN_STACKS(type, mask) {BPF_PROG_TYPE_##type, 0, mask},
#include "abi/attach.def"
};

static bool holds(u64 mask, u32 attach_type)
{
	return attach_type < 64 ? mask >> attach_type & 1 : mask == ~0ull;
}

u32 progtype_attach_default(const struct progtype *t, u32 attach_type)
{
	for (u32 i = 0; !attach_type && i < ARRAY_SIZE(attach_rows); i++)
		if (attach_rows[i].type == t->id)
			return attach_rows[i].zero_means;
	return attach_type;
}

bool progtype_attach_ok(const struct progtype *t, u32 attach_type)
{
	for (u32 i = 0; i < ARRAY_SIZE(attach_rows); i++)
		if (attach_rows[i].type == t->id)
			return holds(attach_rows[i].accepted, attach_type);
	return true;
}

bool progtype_sleepable_ok(const struct progtype *t, u32 attach_type)
{
	for (u32 i = 0; i < ARRAY_SIZE(sleepable_rows); i++)
		if (sleepable_rows[i].type == t->id)
			return holds(sleepable_rows[i].accepted, attach_type);
	return t->runs == RUN_OWN;
}

bool progtype_own_stacks(const struct progtype *t, u32 attach_type)
{
	for (u32 i = 0; i < ARRAY_SIZE(stack_rows); i++)
		if (stack_rows[i].type == t->id)
			return holds(stack_rows[i].accepted, attach_type);
	return false;
}

/* ---- results ---- */

bool progtype_results(const struct progtype *t, u32 attach_type, s64 *min, s64 *max)
{
	static const struct {
		u32 type;
		u64 attach;
		s64 min, max;
	} rows[] = {
#define RESULT(type, attach, min, max) {BPF_PROG_TYPE_##type, attach, min, max},
#include "abi/results.def"
	};

	for (u32 i = ARRAY_SIZE(rows); i--;) {
		if (rows[i].type != t->id || !holds(rows[i].attach, attach_type))
			continue;
		*min = rows[i].min;
		*max = rows[i].max;
		return true;
	}
	return false;
}
