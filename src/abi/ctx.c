/* SPDX-License-Identifier: BSD-2-Clause */
/* Contexts: ctx.def and skb.def as data, and the one rule by which their rows allow an access. */
#include "abi/ctx.h"

#include <linux/bpf_perf_event.h>

#define AT(name) (1ull << BPF_##name)
#define ROW(label, from, bytes, each, what, to, type, rights, where)                                             \
	{.name = (label), .offset = (u32)(from), .size = (u32)(bytes), .unit = (u16)(each), .access = (u16)(rights), \
	 .kind = (what), .target = (to), .ktype = (type), .attach = (where)},
#define SIZE_OF(type, member) sizeof(((struct type *)NULL)->member)

/* ---- rows ---- */

#define CONTEXT(name) static const struct ctx_field name##_fields[] = {
#define FIELD(type, member, each, kind, rights, where) \
	ROW(#member, offsetof(struct type, member), SIZE_OF(type, member), each, kind, TARGET_NONE, KTYPE_NONE, rights, where)
#define POINTER(type, member, target, rights, where) \
	ROW(#member, offsetof(struct type, member), 8, 8, CTX_POINTER, target, KTYPE_NONE, CTX_READ | (rights), where)
#define KERNEL_POINTER(label, from, type) ROW(label, from, 8, 8, CTX_POINTER, TARGET_KERNEL, KTYPE_##type, CTX_READ, 0)
#define BYTES(type, member, bytes, each, kind, rights, where) \
	ROW(#member, offsetof(struct type, member), bytes, each, kind, TARGET_NONE, KTYPE_NONE, rights, where)
#define RANGE(label, from, bytes, each, kind, target, rights) ROW(label, from, bytes, each, kind, target, KTYPE_NONE, rights, 0)
#define END(...) {0}};
#include "abi/ctx.def"

/* The columns of skb.def, one context each. */
#define SKB_ROW(member, each, kind, target, rights) \
	ROW(#member, offsetof(struct __sk_buff, member), SIZE_OF(__sk_buff, member), each, kind, target, KTYPE_NONE, rights, 0)
static const struct ctx_field skb_socket_filter_fields[] = {
#define SKB(member, each, kind, target, socket, tc, cgroup, sk_skb, lwt, dissector) SKB_ROW(member, each, kind, target, socket)
#include "abi/skb.def"
};
static const struct ctx_field skb_tc_fields[] = {
#define SKB(member, each, kind, target, socket, tc, cgroup, sk_skb, lwt, dissector) SKB_ROW(member, each, kind, target, tc)
#include "abi/skb.def"
};
static const struct ctx_field skb_cgroup_fields[] = {
#define SKB(member, each, kind, target, socket, tc, cgroup, sk_skb, lwt, dissector) SKB_ROW(member, each, kind, target, cgroup)
#include "abi/skb.def"
};
static const struct ctx_field skb_sk_skb_fields[] = {
#define SKB(member, each, kind, target, socket, tc, cgroup, sk_skb, lwt, dissector) SKB_ROW(member, each, kind, target, sk_skb)
#include "abi/skb.def"
};
static const struct ctx_field skb_lwt_fields[] = {
#define SKB(member, each, kind, target, socket, tc, cgroup, sk_skb, lwt, dissector) SKB_ROW(member, each, kind, target, lwt)
#include "abi/skb.def"
};
static const struct ctx_field skb_flow_dissector_fields[] = {
#define SKB(member, each, kind, target, socket, tc, cgroup, sk_skb, lwt, dissector) SKB_ROW(member, each, kind, target, dissector)
#include "abi/skb.def"
};

/* ---- types ---- */

#define CONTEXT(name)
#define FIELD(...)
#define POINTER(...)
#define KERNEL_POINTER(...)
#define BYTES(...)
#define RANGE(...)
#define END(name, struct_name, bytes, flags) \
	const struct ctx_type ctx_##name = {struct_name, (u32)(bytes), flags, name##_fields, ARRAY_SIZE(name##_fields) - 1};
#include "abi/ctx.def"

#define SKB_TYPE(name) const struct ctx_type ctx_##name = \
	{"__sk_buff", sizeof(struct __sk_buff), CTX_TYPE_POINTERS, name##_fields, ARRAY_SIZE(name##_fields)}
SKB_TYPE(skb_socket_filter);
SKB_TYPE(skb_tc);
SKB_TYPE(skb_cgroup);
SKB_TYPE(skb_sk_skb);
SKB_TYPE(skb_lwt);
SKB_TYPE(skb_flow_dissector);

const struct ctx_type *ctx_target_type(enum ctx_target target)
{
	static const struct ctx_type *const types[] = {
		[TARGET_SOCK_COMMON] = &ctx_sock_common, [TARGET_SOCKET] = &ctx_full_sock,     [TARGET_TCP_SOCK] = &ctx_tcp_sock,
		[TARGET_XDP_SOCK] = &ctx_xdp_sock,	 [TARGET_FLOW_KEYS] = &ctx_flow_keys,
	};

	return (u32)target < ARRAY_SIZE(types) ? types[target] : NULL;
}

/* ---- accesses ---- */

static bool allows(const struct ctx_field *f, u32 attach_type, u32 off, u32 size, bool write, bool cap_bpf)
{
	u32 at = off - f->offset;

	if (off < f->offset || (u64)at + size > f->size || at / f->unit != (at + size - 1) / f->unit)
		return false;
	if (!(f->access & (write ? CTX_WRITE : CTX_READ)) || (f->access & CTX_BPF_ONLY && !cap_bpf))
		return false;
	if (f->attach && (attach_type >= 64 || !(f->attach >> attach_type & 1)))
		return false;
	if (size == f->unit)
		return true;
	if (write)
		return f->access & CTX_NARROW_WRITE;
	return f->access & CTX_NARROW || (f->access & CTX_NARROW_FIRST && at % f->unit == 0);
}

const struct ctx_field *ctx_access(const struct ctx_type *t, u32 attach_type, s64 off, u32 size, bool write, bool cap_bpf)
{
	if (off < 0 || off >= t->size || size == 0 || size > t->size || (off % size && !(t->flags & CTX_TYPE_UNALIGNED)))
		return NULL;
	for (u32 i = 0; i < t->n_fields; i++)
		if (allows(&t->fields[i], attach_type, (u32)off, size, write, cap_bpf))
			return &t->fields[i];
	return NULL;
}
