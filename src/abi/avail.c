/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel functions, hooks, and what of it all programs may use where: tables as data, found by name. */
#include "abi/abi.h"

enum { /* as <linux/bpf.h> names its own */
	BPF_UAPI_CGROUP_UNIX_RECVMSG = UAPI_ATTACH_CGROUP_UNIX_RECVMSG,
	BPF_UAPI_CGROUP_UNIX_GETPEERNAME = UAPI_ATTACH_CGROUP_UNIX_GETPEERNAME,
	BPF_UAPI_CGROUP_UNIX_GETSOCKNAME = UAPI_ATTACH_CGROUP_UNIX_GETSOCKNAME,
	BPF_UAPI_TRACE_UPROBE_MULTI = UAPI_ATTACH_TRACE_UPROBE_MULTI,
	BPF_UAPI_TRACE_KPROBE_SESSION = UAPI_ATTACH_TRACE_KPROBE_SESSION,
	BPF_UAPI_TRACE_UPROBE_SESSION = UAPI_ATTACH_TRACE_UPROBE_SESSION,
};
#define AT(name) (1ull << BPF_##name)

/* ---- kernel functions ---- */

static const struct kfunc kfunc_rows[] = {
#define KFUNC(name, flags, role, avail, since) {#name, flags, role, avail, since, false},
#define KBODY(name, flags, role, avail, since) {#name, flags, role, avail, since, true},
#include "abi/kfuncs.def"
};

const struct kfunc *kfuncs(u32 *n)
{
	*n = ARRAY_SIZE(kfunc_rows);
	return kfunc_rows;
}

const struct kfunc *kfunc_by_name(const char *name)
{
	u32 low = 0, high = ARRAY_SIZE(kfunc_rows);

	while (low < high) { /* rows are sorted by name; a test checks it */
		u32 mid = (low + high) / 2;
		int order = strcmp(kfunc_rows[mid].name, name);

		if (order == 0)
			return &kfunc_rows[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* ---- hooks ---- */

static const struct {
	u32 list;
	const char *name;
} hooks[] = {
#define HOOK(list, name) {HOOK_##list, #name},
#include "abi/hooks.def"
};

bool hook_in(enum hook_list list, const char *name)
{
	if (list == HOOK_any)
		return true;
	if (list == HOOK_none || !name)
		return false;
	if (list == HOOK_not_sk_storage)
		return strncmp(name, "bpf_sk_storage", 14) != 0;
	for (u32 i = 0; i < ARRAY_SIZE(hooks); i++)
		if (hooks[i].list == list && !strcmp(hooks[i].name, name))
			return true;
	return false;
}

/* ---- calls that depend on the hook ---- */

static const struct condition {
	u32 helper; /* id, or 0 */
	const char *kfunc;
	u64 types, attach;
	u32 hooks; /* enum hook_list */
	const char *not_member; /* of a struct_ops program; NULL: all */
} conditions[] = {
#define AVAIL_HELPER(name, types, attach, list) {HELPER_##name, "", types, attach, HOOK_##list, NULL},
#define AVAIL_MEMBER(name, list, member)	{HELPER_##name, "", FOR_STRUCT_OPS, 0, HOOK_##list, #member},
#define AVAIL_KFUNC(name, types, attach, list)	{0, #name, types, attach, HOOK_##list, NULL},
#define ANY_LICENSE(name, types, attach)
#include "abi/avail.def"
};

static const struct {
	u32 helper;
	u64 types, attach;
} any_license[] = {
#define AVAIL_HELPER(name, types, attach, list)
#define AVAIL_MEMBER(name, list, member)
#define AVAIL_KFUNC(name, types, attach, list)
#define ANY_LICENSE(name, types, attach) {HELPER_##name, types, attach},
#include "abi/avail.def"
};

static bool hook_ok(u32 helper, const char *kfunc, u64 avail, u32 attach_type, const char *target, const char *member)
{
	bool conditional = false;

	for (u32 i = 0; i < ARRAY_SIZE(conditions); i++) {
		const struct condition *c = &conditions[i];

		if (c->helper != helper || !(c->types & avail) || strcmp(c->kfunc, kfunc) != 0)
			continue;
		if ((!c->attach || (attach_type < 64 && c->attach >> attach_type & 1)) && hook_in(c->hooks, target) && !(c->not_member && member && !strcmp(member, c->not_member)))
			return true;
		conditional = true;
	}
	return !conditional;
}

bool helper_hook_ok(const struct helper_proto *p, u64 avail, u32 attach_type, const char *target, const char *member)
{
	return hook_ok(p->id, "", avail, attach_type, target, member);
}

bool helper_needs_gpl(const struct helper_proto *p, u64 avail, u32 attach_type)
{
	for (u32 i = 0; i < ARRAY_SIZE(any_license); i++)
		if (any_license[i].helper == p->id && any_license[i].types & avail && attach_type < 64 && any_license[i].attach >> attach_type & 1)
			return false;
	return p->effects & EFFECT_GPL;
}

bool kfunc_hook_ok(const struct kfunc *f, u64 avail, u32 attach_type, const char *target)
{
	return hook_ok(0, f->name, avail, attach_type, target, NULL);
}

/* ---- maps ---- */

/* Where nothing holds the lock of a socket that an update of a sockmap would take. */
bool map_use_ok(u32 kind, enum map_use use, u64 avail, u32 attach_type)
{
	static const u64 updating = FOR_SOCKET_FILTER | FOR_TC | FOR_XDP | FOR_SK_REUSEPORT | FOR_FLOW_DISSECTOR | FOR_SK_LOOKUP;
	const struct map_rules *r = map_rules(kind);

	if (!map_allows(kind, use))
		return false;
	if (r->gives != GIVES_SOCKET || (use != MAP_USE_update && use != MAP_USE_remove))
		return true;
	if (avail & FOR_TRACE_BTF)
		return attach_type == BPF_TRACE_ITER;
	return avail & updating || (avail & FOR_SOCK_OPS && use == MAP_USE_remove);
}

static const struct {
	u32 fields;
	u64 types;
	const char *text;
} value_rules[] = {
#define VALUE_RULE(fields, types, text) {fields, types, text},
#include "abi/values.def"
};

const char *map_refusal(const struct map *m, u64 avail, bool sleepable)
{
	const struct map_rules *r = map_rules(m->spec.kind);

	for (u32 i = 0; i < ARRAY_SIZE(value_rules); i++)
		if (m->record.kinds & value_rules[i].fields && value_rules[i].types & avail)
			return value_rules[i].text;
	if (!r->uses)
		return "bpf_struct_ops map cannot be used in prog";
	if (sleepable && !r->sleepable)
		return "Sleepable programs can only use array, hash, ringbuf and local storage maps";
	return NULL;
}

/* ---- fields, arguments of tracepoints ---- */

static const struct {
	const char *type, *field;
	u32 safe;
} fields[] = {
#define FIELD_SAFE(type, field, safe) {#type, #field, safe},
#include "abi/fields.def"
};

enum field_safety field_safety(const char *type, const char *field)
{
	for (u32 i = 0; i < ARRAY_SIZE(fields); i++)
		if (!strcmp(fields[i].type, type) && !strcmp(fields[i].field, field))
			return fields[i].safe;
	return SAFE_NOT;
}
