/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * abi: declarations of what programs may name: helpers, kfuncs, program types, context fields. Tables only, no
 * bodies: the verifier and the interpreter's checks read the attributes here and never a helper's id.
 *
 * All tables are constant; nobody owns them.
 */
#ifndef SKEP_ABI_H
#define SKEP_ABI_H

#include "map/map.h"

#include <linux/bpf.h>
#include "abi/uapi.h" /* what is newer than the system's <linux/bpf.h> */

/* ---- helpers.def ---- */
enum ret_kind {
	RET_VOID,
	RET_SCALAR,
	RET_MAP_VALUE, /* a value of the map in the ARG_MAP argument; always with NULLABLE */
	RET_RECORD, /* a ring record of the size in the ARG_SIZE argument */
	RET_PACKET, /* bytes of the packet */
	RET_KERNEL_OBJECT, /* an engine object, read through BTF */
	RET_NULLABLE = 0x100,
};

enum arg_kind {
	ARG_NONE,
	ARG_SCALAR, /* any number */
	ARG_ANYTHING, /* any value, also an uninitialised-looking pointer: passed on, never followed */
	ARG_CTX, /* the program's context */
	ARG_MAP_HANDLE, /* use ARG_MAP(slot) */
	ARG_KEY, /* key_size readable bytes of the map argument before it */
	ARG_VALUE, /* value_size readable bytes */
	ARG_VALUE_OUT, /* value_size writable bytes */
	ARG_MEM, /* readable bytes, count in the next argument */
	ARG_MEM_OUT, /* writable bytes, count in the next argument */
	ARG_SIZE, /* the count: at least 1 */
	ARG_SIZE_0, /* the count: 0 allowed; then the pointer is not followed */
	ARG_ALLOC_SIZE, /* the size of the RET_RECORD */
	ARG_FIXED_OUT, /* use ARG_OUT(bytes): that many writable, aligned bytes */
	ARG_CSTRING, /* NUL-terminated, read-only memory of a map */
	ARG_CALLBACK, /* a function of the program */
	ARG_RECORD, /* what RET_RECORD gave, not yet released */
	ARG_SPIN_LOCK, /* a struct bpf_spin_lock in a map value */
	ARG_UNSAFE, /* an address that is only probed: never trusted */
	ARG_KIND_MASK = 0xff,
	ARG_NULLABLE = 0x100,
	ARG_PARAM_SHIFT = 16, /* slot of ARG_MAP, bytes of ARG_OUT */
};
#define ARG_MAP(slot)  ((u32)ARG_MAP_HANDLE | (u32)MAP_SLOT_##slot << ARG_PARAM_SHIFT)
#define ARG_OUT(bytes) ((u32)ARG_FIXED_OUT | (u32)(bytes) << ARG_PARAM_SHIFT)

enum helper_effects {
	EFFECT_NONE = 0,
	EFFECT_ACQUIRE = 1 << 0, /* the result must be released */
	EFFECT_RELEASE = 1 << 1, /* the ARG_RECORD or object argument is released */
	EFFECT_MOVES_PACKET = 1 << 2, /* packet pointers are invalid afterwards */
	EFFECT_SLEEPS = 1 << 3, /* sleepable programs only */
	EFFECT_GPL = 1 << 4, /* GPL-compatible programs only */
	EFFECT_TAIL_CALL = 1 << 5, /* does not return when it succeeds */
	EFFECT_SLOT = 1 << 6, /* needs a run slot: per-CPU data, reclaimable objects, locks */
	EFFECT_PROBE = 1 << 7, /* can run inside a traced process */
	EFFECT_LOCK = 1 << 8,
	EFFECT_UNLOCK = 1 << 9,
};

/* which program types may call it: families of progtypes.def */
enum helper_avail {
	FOR_SOCKET = 1 << 0, /* socket filter and the packet-reading types */
	FOR_TC = 1 << 1,
	FOR_XDP = 1 << 2,
	FOR_TRACING = 1 << 3, /* raw tracepoint, tracepoint, kprobe, perf event, tracing */
	FOR_SYSCALL = 1 << 4,
	FOR_LWT = 1 << 5,
	FOR_CGROUP = 1 << 6,
	FOR_OWN = 1 << 7, /* an embedder's program types */
	FOR_ALL = 0xffff,
};

struct helper_proto {
	u32 id;
	const char *name; /* without "bpf_" */
	u32 ret; /* enum ret_kind */
	u32 args[5]; /* enum arg_kind and parameters */
	u32 effects, avail;
	const char *since, *doc;
};
const struct helper_proto *helper_proto(u32 id); /* NULL: not in this build */
const struct helper_proto *helper_by_name(const char *name);
const struct helper_proto *helper_protos(u32 *n);

enum helper_id {
#define HELPER(id, name, ret, args, effects, avail, since, doc) HELPER_##name = id,
#include "abi/helpers.def"
};

/* ---- ctx.def: fields of contexts, as programs see them ---- */
enum ctx_kind {
	CTX_PLAIN, /* bytes of the context itself */
	CTX_DATA, /* 32-bit field that loads as the address of the packet's first byte */
	CTX_DATA_END,
	CTX_DATA_META,
	CTX_POINTER, /* 64-bit pointer field to something the engine names (sk, flow_keys): NULL when there is none */
};
enum { CTX_READ = 1, CTX_WRITE = 2, CTX_RW = 3, CTX_NARROW = 4 /* loads of part of it are allowed */ };

struct ctx_field {
	const char *name;
	u16 offset, size;
	u8 kind, access;
};
struct ctx_type {
	const char *name; /* the uapi struct: "xdp_md" */
	u32 size; /* bytes; 0: any size, all bytes plain (raw tracepoint args, syscall programs, own types) */
	bool writable; /* when size is 0 */
	const struct ctx_field *fields;
	u32 n_fields;
};
/* The field that covers [off, off + size), or NULL. */
const struct ctx_field *ctx_field_at(const struct ctx_type *t, u32 off, u32 size);

/* ---- progtypes.def ---- */
struct progtype {
	u32 id;
	const char *name; /* "xdp": bpftool's name */
	const struct ctx_type *ctx;
	u32 avail; /* helper families */
	s64 ret_min, ret_max; /* range of allowed results */
	const char *since;
};
const struct progtype *progtype(u32 id); /* NULL: not in this build */
const struct progtype *progtypes(u32 *n);

/* ---- sections.def: ELF section names that libbpf 1.1 does not know, and what they mean ---- */
struct section {
	const char *name; /* in libbpf's notation: "tcx/ingress"; "kprobe.session+": "kprobe.session" or "kprobe.session/..." */
	u32 prog_type, attach_type;
	u32 flags; /* of PROG_LOAD */
};
const struct section *sections(u32 *n);

#endif
