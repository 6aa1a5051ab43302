/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of this folder as data. */
#include "abi/abi.h"

static const struct helper_proto protos[] = {
#define HELPER(id, name, ret, args, effects, avail, since, doc)	 {id, #name, ret, args, effects, avail, since, doc, true, false},
#define PROTO(id, name, ret, args, effects, avail, since, doc)	 {id, #name, ret, args, effects, avail, since, doc, false, false},
#define VARIANT(id, name, ret, args, effects, avail, since, doc) {id, #name, ret, args, effects, avail, since, doc, false, true},
#include "abi/helpers.def"
};

const struct helper_proto *helper_protos(u32 *n)
{
	*n = ARRAY_SIZE(protos);
	return protos;
}

const struct helper_proto *helper_proto(u32 id)
{
	u32 low = 0, high = ARRAY_SIZE(protos);

	while (low < high) { /* rows are in the order of their ids; a test checks it */
		u32 mid = (low + high) / 2;

		if (protos[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < ARRAY_SIZE(protos) && protos[low].id == id ? &protos[low] : NULL;
}

const struct helper_proto *helper_proto_for(u32 id, u64 avail)
{
	const struct helper_proto *p = helper_proto(id);

	for (; p && p < protos + ARRAY_SIZE(protos) && p->id == id; p++)
		if (p->avail & avail)
			return p;
	return NULL;
}

const struct helper_proto *helper_by_name(const char *name)
{
	if (!strncmp(name, "bpf_", 4))
		name += 4;
	for (u32 i = 0; i < ARRAY_SIZE(protos); i++)
		if (!strcmp(protos[i].name, name))
			return &protos[i];
	return NULL;
}

/* ---- writes ---- */

static const struct kernel_write writes[] = {
#define KERNEL_WRITE(by, type, member) {#by, #type, member},
#include "abi/writes.def"
};

const struct kernel_write *kernel_writes(u32 *n)
{
	*n = ARRAY_SIZE(writes);
	return writes;
}

/* ---- kernel types, callbacks ---- */

static const char *const ktypes[KTYPE_COUNT] = {
	"",
#define KTYPE(name) #name,
#include "abi/ktypes.def"
};

const char *ktype_name(enum ktype t)
{
	return (u32)t < KTYPE_COUNT ? ktypes[t] : "";
}

static const struct callback callbacks[] = {
	{.name = ""},
#define CALLBACK(name, args, ctx_arg, min, max, async, sleepable) {#name, args, ctx_arg, min, max, async, sleepable},
#include "abi/callbacks.def"
};

const struct callback *callback_proto(u32 id)
{
	return id < ARRAY_SIZE(callbacks) ? &callbacks[id] : NULL;
}

/* ---- sections ---- */

enum { BPF_PROG_TYPE_UAPI_NETFILTER = UAPI_PROG_NETFILTER };

static const struct section section_rows[] = {
#define SECTION(name, type, attach, flags) {name, BPF_PROG_TYPE_##type, attach, flags, false},
#define NEWER(name, type, attach, flags)   {name, BPF_PROG_TYPE_##type, attach, flags, true},
#include "abi/sections.def"
};

const struct section *sections(u32 *n)
{
	*n = ARRAY_SIZE(section_rows);
	return section_rows;
}

const struct section *section_for(u32 prog_type, u32 attach_type)
{
	const struct section *found = NULL;
	int best = -1;

	for (u32 i = 0; i < ARRAY_SIZE(section_rows); i++) {
		const struct section *s = &section_rows[i];
		int fits = (s->attach_type == attach_type) * 2 + !s->flags;

		if (s->prog_type == prog_type && fits > best) {
			found = s;
			best = fits;
		}
	}
	return found;
}

const struct section *section_find(const char *name, const char **target)
{
	name += *name == '?'; /* not loaded on its own */
	if (target)
		*target = NULL;
	for (u32 i = 0; i < ARRAY_SIZE(section_rows); i++) {
		const char *row = section_rows[i].name;
		size_t n = strlen(row);
		bool more = row[n - 1] == '+';

		n -= more;
		if (strncmp(name, row, n) || (name[n] && !(more && name[n] == '/')))
			continue;
		if (target && name[n])
			*target = name + n + 1;
		return &section_rows[i];
	}
	return NULL;
}
