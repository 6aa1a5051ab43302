/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * helper: bodies of the helpers, one file per family. Arguments were checked against the prototype in
 * abi/helpers.def before a body runs (by the verifier, or by the interpreter in checking mode): a map argument
 * is a struct map *, memory arguments are as long as their size says. Prototypes are generated from the table.
 *
 * Kernel functions get their arguments as the program has them, a map as its handle; "meta__ign" is the call's struct prog_kfunc.
 */
#ifndef SKEP_HELPER_H
#define SKEP_HELPER_H

#include "vm/vm.h"

#define HELPER(id, name, ret, args, effects, avail, since, doc)                                                  \
	u64 helper_##name(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e);
#define PROTO(id, name, ret, args, effects, avail, since, doc)
#define VARIANT(id, name, ret, args, effects, avail, since, doc)
#include "abi/helpers.def"

#define KBODY(name, flags, role, avail, since) u64 kfunc_##name(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e);
#define KFUNC(name, flags, role, avail, since)
#include "abi/kfuncs.def"

/* What bpf_snprintf() makes of a format of len bytes, its end among them, for a program that runs elsewhere: whatever values lead to is read by `read`. The length
 * that all of it needs, or -EINVAL for a bad format. */
typedef bool helper_reader(void *ud, u64 from, void *to, u64 size);
s64 helper_format(const char *fmt, u64 len, const u64 *args, u32 n_args, char *to, u64 room, helper_reader *read, void *ud);

helper_fn *kfunc_body(const struct kfunc *k); /* NULL: it has none */
helper_fn *const *helper_bodies(u32 *n); /* indexed by helper id; NULL: unknown */

#endif
