/* SPDX-License-Identifier: BSD-2-Clause */
/* The contexts of ctx.def and skb.def by name, for the rows of progtypes.def. Constant; nobody owns them. */
#ifndef SKEP_CTX_H
#define SKEP_CTX_H

#include "abi/abi.h"

#define CONTEXT(name)
#define FIELD(...)
#define POINTER(...)
#define KERNEL_POINTER(...)
#define BYTES(...)
#define RANGE(...)
#define END(name, struct_name, bytes, flags) extern const struct ctx_type ctx_##name;
#include "abi/ctx.def"
extern const struct ctx_type ctx_skb_socket_filter, ctx_skb_tc, ctx_skb_cgroup, ctx_skb_sk_skb, ctx_skb_lwt, ctx_skb_flow_dissector;

#endif
