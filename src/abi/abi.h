/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * abi: declarations of what programs may name: helpers, kfuncs, program types, context fields. Tables only, no
 * bodies: the verifier and the interpreter's checks read the attributes here and never a helper's id.
 *
 * All tables are constant; nobody owns them.
 */
#ifndef SKEP_ABI_H
#define SKEP_ABI_H

#include "btf/btf.h"
#include "map/map.h"

#include <linux/bpf.h>
#include "abi/uapi.h" /* what is newer than the system's <linux/bpf.h> */

/* ---- ktypes.def: kernel types that prototypes name; resolved by name in the engine's kernel BTF ---- */
enum ktype {
	KTYPE_NONE,
#define KTYPE(name) KTYPE_##name,
#include "abi/ktypes.def"
	KTYPE_COUNT
};
const char *ktype_name(enum ktype t); /* "task_struct"; "" for KTYPE_NONE */

/* ---- helpers.def ---- */
enum ret_kind {
	RET_VOID,
	RET_SCALAR,
	RET_MAP_VALUE, /* what a lookup in the ARG_MAP argument gives: a value, an inner map or a socket, as the map's kind says */
	RET_RECORD, /* memory of the size in the ARG_ALLOC_SIZE argument */
	RET_SLICE, /* memory of a dynptr, of the size in the ARG_ALLOC_SIZE argument; lives as long as the dynptr */
	RET_PACKET, /* bytes of the packet */
	RET_KERNEL_OBJECT, /* an engine object, read through BTF: RET_BTF(type) */
	RET_MEM_OR_BTF, /* what the per-CPU variable in argument 1 is on one CPU */
	RET_SOCKET, /* struct bpf_sock */
	RET_SOCK_COMMON,
	RET_TCP_SOCK,
	RET_KPTR, /* what the ARG_KPTR field held: of the field's type */
	RET_KIND_MASK = 0xff,
	RET_NULLABLE = 0x100,
	RET_TRUSTED = 0x200, /* RET_BTF: a trusted pointer */
	RET_RDONLY = 0x400, /* memory that the program may not write */
	RET_PARAM_SHIFT = 16, /* enum ktype of RET_BTF */
};
#define RET_BTF(type) ((u32)RET_KERNEL_OBJECT | (u32)KTYPE_##type << RET_PARAM_SHIFT)

enum arg_kind {
	ARG_NONE,
	ARG_SCALAR, /* any number */
	ARG_ANYTHING, /* any initialised value: passed on, never followed */
	ARG_CTX, /* the program's context */
	ARG_MAP_HANDLE, /* use ARG_MAP(use): a map whose kind allows that use (map/uses.def) */
	ARG_KEY, /* key_size readable bytes of the map argument before it */
	ARG_VALUE, /* value_size readable bytes */
	ARG_VALUE_OUT, /* value_size writable bytes */
	ARG_MEM, /* readable bytes, count in the next argument */
	ARG_MEM_OUT, /* bytes that are written, count in the next argument */
	ARG_MEM_RW, /* initialised bytes that are read and written, count in the next argument */
	ARG_SIZE, /* the count: at least 1 */
	ARG_SIZE_0, /* the count: 0 allowed; then the pointer is not followed */
	ARG_ALLOC_SIZE, /* the size of the RET_RECORD or RET_SLICE: a constant, 0 allowed */
	ARG_FIXED_OUT, /* use ARG_OUT(bytes): that many bytes, which are written; aligned */
	ARG_FIXED, /* use ARG_IN(bytes): that many readable bytes */
	ARG_FIXED_RW, /* use ARG_INOUT(bytes): that many initialised bytes, which are read and written; aligned */
	ARG_CSTRING, /* NUL-terminated, constant: in a frozen read-only map */
	ARG_CALLBACK, /* use ARG_CALL(name): a function of the program, called as callbacks.def says */
	ARG_RECORD, /* what RET_RECORD gave, not yet released */
	ARG_SPIN_LOCK, /* a struct bpf_spin_lock in a map value or allocated object */
	ARG_TIMER, /* a struct bpf_timer in a map value */
	ARG_UNSAFE, /* an address that is only probed: never trusted */
	ARG_STACK, /* a pointer to the program's stack, passed on to the callback */
	ARG_KERNEL, /* use ARG_BTF(type): a pointer to that kernel type */
	ARG_SOCKET, /* struct bpf_sock of a full socket */
	ARG_SOCK_COMMON, /* any struct bpf_sock */
	ARG_BTF_SOCK, /* a kernel socket: struct sock_common or what casts to it, or any struct bpf_sock */
	ARG_PERCPU, /* a per-CPU kernel variable, or a per-CPU object of the program */
	ARG_KPTR, /* a kptr field of a map value, for bpf_kptr_xchg(): the next argument is what it takes */
	ARG_KPTR_NEW, /* what goes into that field; NULL allowed; its reference passes on */
	ARG_DYNPTR_HANDLE, /* use ARG_DYNPTR(kinds) */
	ARG_MAP_FLAGS_0, /* a number that must be 0 */
	ARG_KIND_MASK = 0xff,
	ARG_NULLABLE = 0x100,
	ARG_RELEASES = 0x200, /* the reference behind it is gone afterwards */
	ARG_UNINIT = 0x400, /* dynptr: made by the call */
	ARG_RDONLY = 0x800, /* dynptr: also a read-only one; memory: only read */
	ARG_ALIGNED = 0x1000,
	ARG_NO_RDONLY = 0x2000, /* memory: only read, and yet not behind a pointer that may only read */
	ARG_IN_MAP = 0x4000, /* memory: in a map value */
	ARG_PARAM_SHIFT = 16, /* use of ARG_MAP, bytes of ARG_OUT and ARG_IN, enum ktype, enum callback, dynptr kinds */
};
#define ARG_PARAM(kind, x) ((u32)(kind) | (u32)(x) << ARG_PARAM_SHIFT)
#define ARG_MAP(use)	   ARG_PARAM(ARG_MAP_HANDLE, MAP_USE_##use)
#define ARG_OUT(bytes)	   ARG_PARAM(ARG_FIXED_OUT, bytes)
#define ARG_IN(bytes)	   ARG_PARAM(ARG_FIXED, bytes)
#define ARG_INOUT(bytes)   ARG_PARAM(ARG_FIXED_RW, bytes)
#define ARG_BTF(type)	   ARG_PARAM(ARG_KERNEL, KTYPE_##type)
#define ARG_CALL(name)	   ARG_PARAM(ARG_CALLBACK, CALLBACK_##name)
#define ARG_DYNPTR(kinds)  ARG_PARAM(ARG_DYNPTR_HANDLE, kinds)
enum dynptr_kind { DYNPTR_LOCAL = 1, DYNPTR_RINGBUF = 2, DYNPTR_SKB = 4, DYNPTR_XDP = 8, DYNPTR_SKB_META = 16, DYNPTR_ANY = 31 };

enum helper_effects {
	EFFECT_NONE = 0,
	EFFECT_ACQUIRE = 1 << 0, /* the result must be released */
	EFFECT_RELEASE = 1 << 1, /* the ARG_RELEASES argument is released */
	EFFECT_MOVES_PACKET = 1 << 2, /* packet pointers are invalid afterwards */
	EFFECT_SLEEPS = 1 << 3, /* sleepable programs only */
	EFFECT_GPL = 1 << 4, /* GPL-compatible programs only */
	EFFECT_TAIL_CALL = 1 << 5, /* does not return when it succeeds */
	EFFECT_SLOT = 1 << 6, /* needs a run slot: per-CPU data, reclaimable objects, locks */
	EFFECT_PROBE = 1 << 7, /* can run inside a traced process */
	EFFECT_LOCK = 1 << 8,
	EFFECT_UNLOCK = 1 << 9,
	EFFECT_CALLS = 1 << 10, /* calls its ARG_CALLBACK before it returns, any number of times */
	EFFECT_CALLS_LATER = 1 << 11, /* stores its ARG_CALLBACK, which runs on its own later */
	EFFECT_RET_SIZE = 1 << 12, /* the result is at most the ARG_SIZE argument: bytes copied */
	EFFECT_RET_CPU = 1 << 13, /* the result is a CPU number */
	EFFECT_CASTS = 1 << 14, /* the result is argument 1 under another type, and shares its reference */
	EFFECT_DYNPTR_WRITE = 1 << 15, /* with a packet's dynptr, slices and packet pointers are invalid afterwards */
	EFFECT_LOOP_COUNT = 1 << 16, /* argument 1 bounds how often the callback is called */
	EFFECT_RET_VALUE = 1 << 17, /* argument 1 is a result for the hook: within the program type's range */
	EFFECT_STORAGE = 1 << 18, /* storage_get: the value belongs to an object that must be trusted */
	EFFECT_FASTCALL = 1 << 19, /* bpf_fastcall: clobbers R0 and the arguments that it has */
	EFFECT_BPF = 1 << 20, /* needs CAP_BPF */
	EFFECT_PERFMON = 1 << 21, /* needs CAP_PERFMON as well */
	EFFECT_PACKET_ARGS = 1 << 22, /* its memory arguments may point into the packet */
	EFFECT_FORMAT = 1 << 23, /* the ARG_CSTRING is a format for the values (8 bytes each) in the memory after it */
	EFFECT_FUNC_ENTRY = 1 << 24, /* needs the entry of the function that was hit: kprobes, fentry, fexit, fmod_ret */
	EFFECT_MAY_SLEEP = 1 << 25, /* sleeps where the program may: not in a sleepable program's RCU or preemption section */
	EFFECT_HOOK_LIST = 1 << 26, /* where helper_hook_ok() says no, Linux says "helper call is not allowed in probe" */
	EFFECT_LOOKS = 1 << 27, /* reads where it is told, once vm_readable() says that the program may */
};

/* ---- callbacks.def: functions that helpers and kfuncs call back: what R1 to R5 hold on entry, and what may be returned ---- */
enum callback_arg {
	CB_NONE, /* not initialised */
	CB_SCALAR, /* any number */
	CB_MAP, /* the call's map */
	CB_KEY, /* a key of it, read-only */
	CB_VALUE, /* a value of it */
	CB_CTX, /* the pointer that the caller gave in its ARG_ANYTHING-like context argument (its number is ctx_arg) */
	CB_KERNEL, /* use CB_BTF(type) */
	CB_DYNPTR, /* a local dynptr on the caller's behalf, read-only handle */
	CB_NODE, /* rb-tree: the node added, and a node of the tree: non-owning */
	CB_WQ, /* the work queue's map value */
	CB_ARG1, /* argument 1 of the call, as it is */
	CB_PARAM_SHIFT = 16,
};
#define CB_BTF(type) ((u32)CB_KERNEL | (u32)KTYPE_##type << CB_PARAM_SHIFT)
struct callback {
	const char *name;
	u32 args[5]; /* enum callback_arg */
	u32 ctx_arg; /* 1 to 5: the call's argument that CB_CTX passes on; 0: none */
	s32 ret_min, ret_max;
	bool async; /* runs by itself, with a stack of its own */
	bool sleepable; /* async: in a sleepable context */
};
enum callback_id {
	CALLBACK_none,
#define CALLBACK(name, args, ctx_arg, min, max, async, sleepable) CALLBACK_##name,
#include "abi/callbacks.def"
};
const struct callback *callback_proto(u32 id);

/* Which program types may call it: one bit per type, and names for groups of types that Linux treats alike. An EXT program is of the
 * type that it extends. */
#define FOR(type)		    (1ull << BPF_PROG_TYPE_##type)
#define FOR_SOCKET_FILTER	    FOR(SOCKET_FILTER)
#define FOR_KPROBE		    FOR(KPROBE)
#define FOR_SCHED_CLS		    FOR(SCHED_CLS)
#define FOR_SCHED_ACT		    FOR(SCHED_ACT)
#define FOR_TRACEPOINT		    FOR(TRACEPOINT)
#define FOR_XDP			    FOR(XDP)
#define FOR_PERF_EVENT		    FOR(PERF_EVENT)
#define FOR_CGROUP_SKB		    FOR(CGROUP_SKB)
#define FOR_CGROUP_SOCK		    FOR(CGROUP_SOCK)
#define FOR_LWT_IN		    FOR(LWT_IN)
#define FOR_LWT_OUT		    FOR(LWT_OUT)
#define FOR_LWT_XMIT		    FOR(LWT_XMIT)
#define FOR_SOCK_OPS		    FOR(SOCK_OPS)
#define FOR_SK_SKB		    FOR(SK_SKB)
#define FOR_CGROUP_DEVICE	    FOR(CGROUP_DEVICE)
#define FOR_SK_MSG		    FOR(SK_MSG)
#define FOR_RAW_TRACEPOINT	    FOR(RAW_TRACEPOINT)
#define FOR_CGROUP_SOCK_ADDR	    FOR(CGROUP_SOCK_ADDR)
#define FOR_LWT_SEG6LOCAL	    FOR(LWT_SEG6LOCAL)
#define FOR_LIRC_MODE2		    FOR(LIRC_MODE2)
#define FOR_SK_REUSEPORT	    FOR(SK_REUSEPORT)
#define FOR_FLOW_DISSECTOR	    FOR(FLOW_DISSECTOR)
#define FOR_CGROUP_SYSCTL	    FOR(CGROUP_SYSCTL)
#define FOR_RAW_TRACEPOINT_WRITABLE FOR(RAW_TRACEPOINT_WRITABLE)
#define FOR_CGROUP_SOCKOPT	    FOR(CGROUP_SOCKOPT)
#define FOR_TRACE_BTF		    FOR(TRACING) /* fentry, fexit, fmod_ret, iterators, typed raw tracepoints */
#define FOR_STRUCT_OPS		    FOR(STRUCT_OPS)
#define FOR_LSM			    FOR(LSM)
#define FOR_SK_LOOKUP		    FOR(SK_LOOKUP)
#define FOR_SYSCALL		    FOR(SYSCALL)
#define FOR_NETFILTER		    (1ull << UAPI_PROG_NETFILTER)
#define FOR_OWN			    (1ull << 63) /* an embedder's program types */
#define FOR_TC			    (FOR_SCHED_CLS | FOR_SCHED_ACT)
#define FOR_LWT			    (FOR_LWT_IN | FOR_LWT_OUT | FOR_LWT_XMIT | FOR_LWT_SEG6LOCAL)
#define FOR_TRAMPOLINE		    (FOR_TRACE_BTF | FOR_LSM | FOR_SYSCALL)
#define FOR_EVENTS	(FOR_KPROBE | FOR_TRACEPOINT | FOR_PERF_EVENT | FOR_RAW_TRACEPOINT | FOR_RAW_TRACEPOINT_WRITABLE)
#define FOR_TRACING	(FOR_EVENTS | FOR_TRAMPOLINE)
#define FOR_SOCKET_TYPES                                                                                                          \
	(FOR_LWT | FOR_TC | FOR_CGROUP_SKB | FOR_CGROUP_SOCK_ADDR | FOR_FLOW_DISSECTOR | FOR_SK_LOOKUP | FOR_SK_MSG | FOR_SK_SKB | \
	 FOR_SOCK_OPS | FOR_SOCKET_FILTER | FOR_XDP)
#define FOR_CGROUP_CALLS                                                                                                   \
	(FOR_CGROUP_DEVICE | FOR_CGROUP_SOCK | FOR_CGROUP_SOCK_ADDR | FOR_CGROUP_SOCKOPT | FOR_CGROUP_SYSCTL | FOR_LSM)
#define FOR_COMMON (FOR_SOCKET_TYPES | FOR_CGROUP_CALLS | FOR_TRACING | FOR_SK_REUSEPORT | FOR_STRUCT_OPS | FOR_NETFILTER | FOR_OWN)
#define FOR_ALL	   (FOR_COMMON | FOR_LIRC_MODE2)

/* groups of types that register kernel functions together */
#define FOR_KF_TRACING (FOR_TRACE_BTF | FOR_TRACEPOINT | FOR_PERF_EVENT | FOR_LSM)
#define FOR_KF_CGROUP                                                                                                       \
	(FOR_CGROUP_SKB | FOR_CGROUP_SOCK | FOR_CGROUP_DEVICE | FOR_CGROUP_SOCK_ADDR | FOR_CGROUP_SOCKOPT | FOR_CGROUP_SYSCTL | \
	 FOR_SOCK_OPS)
#define FOR_KF_GENERIC (FOR_KF_TRACING | FOR_KF_CGROUP | FOR_SCHED_CLS | FOR_XDP | FOR_STRUCT_OPS | FOR_SYSCALL)

struct helper_proto {
	u32 id;
	const char *name; /* without "bpf_" */
	u32 ret; /* enum ret_kind */
	u32 args[5]; /* enum arg_kind and parameters */
	u32 effects;
	u64 avail; /* FOR_... */
	const char *since, *doc;
	bool has_body; /* can be run, not only verified */
	bool variant; /* other arguments for other program types; follows the row of the same id that it varies */
};
const struct helper_proto *helper_proto(u32 id); /* the first row of that id; NULL: no such helper */
const struct helper_proto *helper_proto_for(u32 id, u64 avail); /* the row for a program type's bit; NULL: that type may not call it */
const struct helper_proto *helper_by_name(const char *name);
const struct helper_proto *helper_protos(u32 *n); /* by id, variants included */

enum helper_id {
#define HELPER(id, name, ret, args, effects, avail, since, doc) HELPER_##name = id,
#define PROTO(id, name, ret, args, effects, avail, since, doc)	HELPER_##name = id,
#define VARIANT(id, name, ret, args, effects, avail, since, doc)
#include "abi/helpers.def"
};

/* ---- kfuncs.def: kernel functions. Their prototypes are BTF's; a row adds what BTF cannot say. ---- */
enum kfunc_flags {
	KF_NONE = 0,
	KF_ACQUIRE = 1 << 0, /* the result must be released */
	KF_RELEASE = 1 << 1, /* its one referenced argument is released */
	KF_RET_NULL = 1 << 2,
	KF_TRUSTED_ARGS = 1 << 3, /* pointers must be trusted, at offset 0, never NULL unless marked __nullable */
	KF_SLEEPABLE = 1 << 4,
	KF_DESTRUCTIVE = 1 << 5,
	KF_RCU = 1 << 6, /* trusted or RCU-protected pointers */
	KF_ITER_NEW = 1 << 7,
	KF_ITER_NEXT = 1 << 8,
	KF_ITER_DESTROY = 1 << 9,
	KF_RCU_PROTECTED = 1 << 10, /* only in an RCU read-side section */
	KF_FASTCALL = 1 << 11,
	KF_LOOKS = 1 << 12, /* its body reads where it is told, or anything that it can: compiled code says where its frames are */
	KF_CALLS_BACK = 1 << 13, /* its body calls functions of the program */
};
/* What a kfunc does that neither its prototype nor a flag says: each is one rule of the verifier. */
enum kfunc_role {
	KROLE_PLAIN,
	KROLE_OBJ_NEW, /* gives an object of the program's type whose local id is argument 1 */
	KROLE_PERCPU_OBJ_NEW,
	KROLE_OBJ_DROP,
	KROLE_PERCPU_OBJ_DROP,
	KROLE_REFCOUNT_ACQUIRE,
	KROLE_LIST_PUSH,
	KROLE_LIST_POP, /* and peek: KF_ACQUIRE tells them apart */
	KROLE_RBTREE_ADD,
	KROLE_RBTREE_REMOVE,
	KROLE_RBTREE_READ, /* first, root, left, right: non-owning results */
	KROLE_RCU_LOCK,
	KROLE_RCU_UNLOCK,
	KROLE_PREEMPT_OFF,
	KROLE_PREEMPT_ON,
	KROLE_IRQ_SAVE,
	KROLE_IRQ_RESTORE,
	KROLE_RES_LOCK,
	KROLE_RES_UNLOCK,
	KROLE_RES_LOCK_IRQ,
	KROLE_RES_UNLOCK_IRQ,
	KROLE_CAST_CTX, /* bpf_cast_to_kern_ctx(): the context as the kernel's own type */
	KROLE_RDONLY_CAST, /* argument 1 as an untrusted, read-only pointer to the kernel type whose id is argument 2 */
	KROLE_DYNPTR_FROM_SKB,
	KROLE_DYNPTR_FROM_XDP,
	KROLE_DYNPTR_FROM_SKB_META,
	KROLE_DYNPTR_SLICE,
	KROLE_DYNPTR_SLICE_RDWR,
	KROLE_DYNPTR_CLONE,
	KROLE_THROW,
	KROLE_WQ_CALLBACK,
	KROLE_ITER_NUM, /* KF_ITER_*: over numbers, RCU and css need no more than flags */
	KROLE_SESSION_COOKIE,
	KROLE_MOVES_PACKET, /* packet pointers are invalid afterwards */
	KROLE_RESULT_UNTRUSTED, /* the object that it gives may be gone */
	KROLE_TRAP, /* where the compiler proved that execution goes wrong: never to be reached */
	KROLE_TASK_WORK, /* stores its callback argument, which runs on its own later */
	KROLE_ITER_CSS_TASK, /* KF_ITER_NEW in LSM, iterator and sleepable programs only */
	KROLE_DEVICE, /* XDP metadata: programs that are bound to a device only */
};
struct kfunc {
	const char *name; /* with "bpf_" where it has it */
	u32 flags; /* enum kfunc_flags */
	u32 role; /* enum kfunc_role */
	u64 avail; /* program types, as struct helper_proto's */
	const char *since;
	bool has_body;
};
const struct kfunc *kfunc_by_name(const char *name); /* NULL: none that programs may call */
const struct kfunc *kfuncs(u32 *n); /* by name */

/* ---- hooks.def, avail.def: what depends on the attach type and the hook, not on the program type alone ---- */
enum hook_list {
	HOOK_any,
	HOOK_none,
	HOOK_not_sk_storage, /* all but the functions of socket storage */
	HOOK_d_path, /* functions in which bpf_d_path() may be called */
	HOOK_lsm_sleepable, /* programs on it may be sleepable */
	HOOK_lsm_untrusted, /* its arguments are not trusted pointers */
	HOOK_lsm_disabled, /* programs cannot attach to it */
	HOOK_lsm_bool, /* its result is 0 or 1 */
	HOOK_lsm_sockopt, /* LSM_CGROUP programs may get and set socket options */
	HOOK_iter_sockopt, /* iterators over sockets whose options may be got and set */
	HOOK_tcp_congestion, /* struct_ops of that type */
};
/* name: the kernel function (LSM: "bpf_lsm_file_open"), or the struct of a struct_ops program; NULL is in no list */
bool hook_in(enum hook_list list, const char *name);
/* May a program of this type call it, when it is loaded for this attach type and target (as hook_in's name)? member: of the target, which
 * a struct_ops program is; NULL for others. */
bool helper_hook_ok(const struct helper_proto *p, u64 avail, u32 attach_type, const char *target, const char *member);
bool helper_needs_gpl(const struct helper_proto *p, u64 avail, u32 attach_type); /* EFFECT_GPL, but for some attach types */
bool kfunc_hook_ok(const struct kfunc *f, u64 avail, u32 attach_type, const char *target);
/* map_allows(), and for sockmaps the types of program that may update them: else "cannot update sockmap in this context" comes first */
bool map_use_ok(u32 kind, enum map_use use, u64 avail, u32 attach_type);

/* values.def: why a program of this type may not use the map at all, in Linux's words; NULL: it may. */
const char *map_refusal(const struct map *m, u64 avail, bool sleepable);

/* ---- fields.def: how far pointers in kernel objects are to be trusted ---- */
enum field_safety {
	SAFE_NOT,
	SAFE_RCU, /* RCU-protected where the object is, never NULL */
	SAFE_RCU_OR_NULL,
	SAFE_TRUSTED, /* trusted as the object is */
	SAFE_TRUSTED_OR_NULL,
};
enum field_safety field_safety(const char *type, const char *field);

/* ---- writes.def: members of kernel structs that some programs may write ---- */
struct kernel_write {
	const char *by; /* struct whose member the program implements, or its type */
	const char *type, *member;
};
const struct kernel_write *kernel_writes(u32 *n);

/* ---- ctx.def, skb.def: contexts, as programs see them, and the structs that their pointer fields lead to ---- */
enum ctx_kind {
	CTX_PLAIN, /* bytes of the context itself */
	CTX_DATA, /* 32-bit field that loads as the address of the packet's first byte */
	CTX_DATA_END,
	CTX_DATA_META,
	CTX_POINTER, /* 64-bit pointer field: to what `target` says */
};
enum ctx_target {
	TARGET_NONE,
	TARGET_SOCK_COMMON, /* struct bpf_sock, common part */
	TARGET_SOCKET, /* struct bpf_sock, full socket */
	TARGET_TCP_SOCK, /* struct bpf_tcp_sock: no context has one, helpers give it */
	TARGET_XDP_SOCK, /* struct bpf_xdp_sock: what an xskmap holds */
	TARGET_FLOW_KEYS, /* struct bpf_flow_keys */
	TARGET_PACKET, /* the first byte of data, where the field is 64 bits wide (sk_msg, sockopt, sk_reuseport) */
	TARGET_PACKET_END,
	TARGET_KERNEL, /* a kernel type, trusted: ktype */
	TARGET_TP_BUFFER, /* read-write bytes of a size that only attaching tells (raw_tracepoint_writable) */
};
enum ctx_rights {
	CTX_READ = 1,
	CTX_WRITE = 2,
	CTX_RW = 3,
	CTX_NARROW = 4, /* parts of a unit may be loaded */
	CTX_NARROW_WRITE = 8, /* and stored */
	CTX_NARROW_FIRST = 16, /* parts may be loaded that begin at the unit's first byte */
	CTX_MAYBE_NULL = 32, /* pointer */
	CTX_BPF_ONLY = 64, /* needs CAP_BPF */
};
enum { CTX_ARGS_MAX = 12, CTX_TRACE_MAX = 8192, CTX_SYSCALL_MAX = 65535 };

/* A row allows accesses that lie within one of its units: the whole unit, and parts of it as its rights say. */
struct ctx_field {
	const char *name;
	u32 offset, size; /* bytes */
	u16 unit; /* bytes; size is a multiple of it, or its last unit is not there */
	u16 access; /* enum ctx_rights */
	u8 kind; /* enum ctx_kind */
	u8 target; /* enum ctx_target */
	u16 ktype; /* enum ktype */
	u64 attach; /* bit per expected attach type: for which it is there; 0: all */
};
enum ctx_type_flags {
	CTX_TYPE_FLAT = 1, /* plain memory, of a size that the run says (raw tracepoint args, syscall programs, own types) */
	CTX_TYPE_WRITABLE = 2, /* flat: may be written */
	CTX_TYPE_UNALIGNED = 4, /* accesses need not be aligned to their size */
	CTX_TYPE_AS_IS = 16, /* Linux rewrites no access to it, so it may be passed on as memory, as far as the program might read it byte by byte */
	CTX_TYPE_POINTERS = 8, /* whoever makes the struct sets the pointers in it; NULL: the run has no such object */
};
struct ctx_type {
	const char *name; /* the uapi struct: "xdp_md" */
	u32 size; /* bytes; an access begins below it */
	u32 flags; /* enum ctx_type_flags */
	const struct ctx_field *fields;
	u32 n_fields;
};
/* The row that allows the access, or NULL. A pointer row's loads may not be sign-extending. */
const struct ctx_field *ctx_access(const struct ctx_type *t, u32 attach_type, s64 off, u32 size, bool write, bool cap_bpf);
const struct ctx_type *ctx_target_type(enum ctx_target target); /* what the pointer leads to; NULL: no struct of this table */

/* ---- progtypes.def ---- */
enum progtype_flags {
	PT_SLEEPABLE_ONLY = 1 << 0,
	PT_PACKET_READ = 1 << 1, /* packet pointers go to helpers that take them */
	PT_PACKET_WRITE = 1 << 2, /* direct packet writes */
	PT_PACKET_ANY_HELPER = 1 << 3, /* packet pointers go to every helper that takes memory */
	PT_ATTACH_BTF = 1 << 4, /* takes attach_btf_id */
	PT_ATTACH_PROG = 1 << 5, /* takes attach_prog_fd */
	PT_CTX_BTF = 1 << 6, /* the context is the argument list of the attach target's BTF prototype */
	PT_AS_TARGET = 1 << 7, /* context, helpers, packet access are the target program's */
	PT_LEGACY_PACKET = 1 << 8, /* BPF_LD | BPF_ABS and BPF_IND */
	PT_UNPRIVILEGED = 1 << 9, /* may be loaded without CAP_BPF */
	PT_NET_ADMIN = 1 << 10, /* needs CAP_NET_ADMIN */
	PT_PERFMON = 1 << 11, /* needs CAP_PERFMON */
	PT_GPL = 1 << 12, /* GPL-compatible programs only */
	PT_LINK_HEADER = 1 << 13, /* the packet begins with its link-layer header */
	PT_TEST_RUN = 1 << 14, /* Linux runs such programs by PROG_TEST_RUN */
	PT_VOID_TARGET = 1 << 15, /* R0 need not be set if the target's prototype is void, unless results.def says what it must be */
	PT_ATTACH_MEMBER = 1 << 17, /* attach_btf_id is a struct of functions, expected_attach_type a member of it */
	PT_RESULT_ERRNO = 1 << 16, /* where results.def has no row the target's own results hold: an errno, or 0 or 1 (HOOK_lsm_bool) */
};
enum progtype_runs {
	RUN_NONE, /* nothing in this build runs it: it is verified, and attaching or running says so */
	RUN_SKB,
	RUN_XDP,
	RUN_FLAT, /* a flat context */
	RUN_EVENT, /* where it is attached, when something happens there */
	RUN_OWN, /* an embedder's */
};
struct progtype {
	u32 id;
	const char *name; /* "xdp": bpftool's name */
	const struct ctx_type *ctx;
	u64 avail; /* its bit in the tables' columns: FOR_... */
	u32 runs; /* enum progtype_runs */
	const char *since;
	u32 flags; /* enum progtype_flags */
};
const struct progtype *progtype(u32 id); /* NULL: not a type of Linux 6.18 */
const struct progtype *progtypes(u32 *n);

/* attach.def: what expected_attach_type PROG_LOAD accepts, what 0 stands for, and with which the program may be sleepable */
bool progtype_attach_ok(const struct progtype *t, u32 attach_type);
u32 progtype_attach_default(const struct progtype *t, u32 attach_type);
bool progtype_sleepable_ok(const struct progtype *t, u32 attach_type);
bool progtype_own_stacks(const struct progtype *t, u32 attach_type); /* functions with large frames have stacks of their own: they do not add up */
/* results.def: the range that R0 must lie in when the main function ends; false: any scalar */
bool progtype_results(const struct progtype *t, u32 attach_type, s64 *min, s64 *max);

/* ---- targets.def: kernel functions that programs attach to, by name ---- */
enum func_flags {
	FUNC_DENIED = 1 << 0, /* not traced at all */
	FUNC_NORETURN = 1 << 1, /* fexit and fmod_ret would never run */
	FUNC_INJECT = 1 << 2, /* errors may be injected: fmod_ret; and sleepable unless FUNC_NO_SLEEP */
	FUNC_NO_SLEEP = 1 << 3,
	FUNC_MODIFY = 1 << 4, /* fmod_ret */
	FUNC_SLEEPABLE = 1 << 5, /* fentry, fexit and fmod_ret programs may be sleepable */
	FUNC_NO_HOOK = 1 << 6, /* no security hook, though its name begins with bpf_lsm_ */
};
u32 kernel_func_flags(const char *name);

struct iter_arg {
	const char *iter; /* "task": of function bpf_iter_task */
	u32 arg; /* from 0 */
	u32 kind; /* enum btf_ctx_value */
	u32 flags; /* enum btf_ptr_flag */
	const char *type; /* BTF_CTX_PTR: a struct of the kernel */
};
const struct iter_arg *iter_args(const char *iter, u32 *n); /* NULL: Linux has no such iterator */

enum member_rule {
	MEMBER_OPEN,
	MEMBER_NO_SLEEP, /* to programs that do not sleep */
	MEMBER_UNSUPPORTED,
};
enum member_rule member_rule(const char *type, const char *member); /* of struct `type`, which programs implement */

/* ---- sections.def: ELF section names of programs, and what they mean ---- */
struct section {
	const char *name; /* in libbpf's notation: "tcx/ingress"; "kprobe.session+": "kprobe.session" or "kprobe.session/..." */
	u32 prog_type, attach_type;
	u32 flags; /* of PROG_LOAD */
	bool newer; /* libbpf 1.1 does not know it */
};
const struct section *sections(u32 *n);
/* What a section of that name holds; NULL: not a program's. *target (may be NULL): what follows the '/' of a "name+" row, or NULL. */
const struct section *section_find(const char *name, const char **target);
const struct section *section_for(u32 prog_type, u32 attach_type); /* where such programs are written, or one of the type at least; NULL: nowhere */

#endif
