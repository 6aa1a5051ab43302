/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * btf: type information as the BPF Type Format carries it (Linux Documentation/bpf/btf.rst), checked byte by byte when it is
 * opened, so that readers need not; and what the verifier asks of types: special fields, accesses into structs, whether two
 * types are one, what arguments are. Nothing here knows a program's state.
 *
 * Ids are per BTF, except that a split BTF (a module's) continues the ids of its base: functions that take one take both. Id 0
 * is void. A pair (btf, id) names a type; two BTFs may describe the same type under different ids.
 *
 * Ownership: struct btf owns its bytes and indices, and only borrows its base. Everything found in one points into it and lives
 * as long. Logs are the caller's; NULL: none wanted. Texts in them are Linux's, each ending in a newline.
 */
#ifndef SKEP_BTF_H
#define SKEP_BTF_H

#include "base/base.h"

#include <linux/btf.h>

enum btf_limits {
	BTF_MOST_BYTES = 16 << 20, /* of BTF_LOAD */
	BTF_MOST_FIELDS = 11, /* special fields of a value */
	BTF_MOST_ARGS = 12, /* of functions that are traced */
	BTF_BPF_ARGS = 5, /* of functions that programs define or call */
};

struct btf_index; /* names to ids, built at the first question */
struct btf_metas;

struct btf {
	const struct mem *mem;
	u8 *data; /* all bytes as loaded */
	u32 size;
	const char *strings; /* its own part */
	u32 strings_size, first_string; /* strings of a split BTF follow its base's */
	const struct btf_type **types; /* by id - first_id; [0] of a BTF without base is void: NULL */
	u32 n_types, types_cap; /* entries in use; room */
	u32 first_id; /* 0; split: the number of ids in its base */
	const struct btf *base; /* NULL: none */
	bool kernel; /* of a kernel or a module */
	bool mapped; /* data is mapped from a file */
	struct btf_index *_Atomic index;
	struct btf_metas *metas; /* structs with special fields, of a BTF that was loaded */
	plain_lock lock; /* while index is built */
};

/* ---- parse.c: BTF_LOAD ---- */

/* As Linux checks it. 0; -EINVAL, -E2BIG (too many types or bytes), ...; -ENOMEM. level 1: log gets what is wrong; 2: every type as well. */
int btf_parse(struct btf *b, const struct mem *mem, const void *data, u32 size, u32 level, struct text *log);
void btf_free(struct btf *b);

/* ---- file.c: a kernel's BTF: a raw BTF file (/sys/kernel/btf/vmlinux) or an ELF file with a .BTF section ---- */

/* base: NULL, or what a module's BTF is split from. -ENOENT, -EACCES, ...; -EINVAL: malformed. Every length and reference is
 * checked; what only BTF_LOAD refuses (names, duplicate members, ...) is not. */
int btf_open_file(struct btf *b, const struct mem *mem, const char *path, const struct btf *base);

/* ---- btf.c: reading ---- */

static inline u32 btf_type_count(const struct btf *b) /* highest id + 1 */
{
	return b->first_id + b->n_types;
}
const struct btf_type *btf_type(const struct btf *b, u32 id); /* NULL: no such type; id 0 is void: NULL */
const char *btf_string(const struct btf *b, u32 off); /* "" when out of range */
const struct btf_type *btf_resolve(const struct btf *b, u32 id, u32 *resolved); /* through typedefs, modifiers, type tags and VARs */
const struct btf_type *btf_skip_modifiers(const struct btf *b, u32 id, u32 *resolved); /* through typedefs, modifiers and type tags */
s64 btf_size(const struct btf *b, u32 id); /* bytes; -EINVAL when it has none */
const char *btf_kind_name(u32 kind); /* "FUNC_PROTO" */
/* Byte offset of the member of a struct whose type is a struct of that name; -ENOENT: none; -E2BIG: more than one. */
s64 btf_find_struct(const struct btf *b, u32 id, const char *type_name);

static inline u32 btf_kind_of(const struct btf_type *t) /* of NULL, void: BTF_KIND_UNKN */
{
	return t ? BTF_INFO_KIND(t->info) : BTF_KIND_UNKN;
}
static inline u32 btf_vlen_of(const struct btf_type *t)
{
	return BTF_INFO_VLEN(t->info);
}
static inline const char *btf_name_of(const struct btf *b, const struct btf_type *t) /* "" for void and what has none */
{
	return t ? btf_string(b, t->name_off) : "";
}
static inline const struct btf_member *btf_members_of(const struct btf_type *t)
{
	return (const struct btf_member *)(t + 1);
}
static inline const struct btf_param *btf_params_of(const struct btf_type *t)
{
	return (const struct btf_param *)(t + 1);
}
static inline const struct btf_array *btf_array_of(const struct btf_type *t)
{
	return (const struct btf_array *)(t + 1);
}
static inline u32 btf_member_bits(const struct btf_type *t, const struct btf_member *m) /* where it begins */
{
	return BTF_INFO_KFLAG(t->info) ? BTF_MEMBER_BIT_OFFSET(m->offset) : m->offset;
}
static inline u32 btf_member_bitfield(const struct btf_type *t, const struct btf_member *m) /* width in bits; 0: not a bit field */
{
	return BTF_INFO_KFLAG(t->info) ? BTF_MEMBER_BITFIELD_SIZE(m->offset) : 0;
}
bool btf_is_struct(const struct btf_type *t); /* or union */
bool btf_is_int(const struct btf_type *t);
bool btf_is_enum_any(const struct btf_type *t); /* ENUM or ENUM64 */
bool btf_is_ptr(const struct btf_type *t);
bool btf_is_scalar(const struct btf_type *t); /* INT, ENUM, ENUM64 */
bool btf_is_modifier(const struct btf_type *t); /* TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG */

/* ---- find.c: by name ---- */

/* The type of that kind and name, the first if there are several; in the base if b itself has none. -ENOENT; -ENOMEM. */
s32 btf_find(const struct btf *b, const char *name, u32 kind);
/* The value of a DECL_TAG on (id, component), component -1: the type itself, that begins with prefix: what follows the prefix.
 * NULL: none. *n (may be NULL): how many there are. */
const char *btf_tag_value(const struct btf *b, u32 id, s32 component, const char *prefix, u32 *n);
/* The next DECL_TAG on (id, component) behind tag id `after` (0: the first) whose text begins with prefix. -ENOENT */
s32 btf_tag_next(const struct btf *b, u32 id, s32 component, const char *prefix, u32 after);

/* ---- record.c: special fields of map values and allocated objects ---- */

enum btf_field_kind {
	BTF_SPIN_LOCK = 1 << 0,
	BTF_TIMER = 1 << 1,
	BTF_KPTR_UNREF = 1 << 2,
	BTF_KPTR_REF = 1 << 3,
	BTF_KPTR_PERCPU = 1 << 4,
	BTF_LIST_HEAD = 1 << 5,
	BTF_LIST_NODE = 1 << 6,
	BTF_RB_ROOT = 1 << 7,
	BTF_RB_NODE = 1 << 8,
	BTF_REFCOUNT = 1 << 9,
	BTF_WORKQUEUE = 1 << 10,
	BTF_UPTR = 1 << 11,
	BTF_RES_SPIN_LOCK = 1 << 12,
	BTF_TASK_WORK = 1 << 13,
	BTF_KPTR = BTF_KPTR_UNREF | BTF_KPTR_REF | BTF_KPTR_PERCPU,
	BTF_GRAPH_NODE = BTF_RB_NODE | BTF_LIST_NODE,
	BTF_GRAPH_ROOT = BTF_RB_ROOT | BTF_LIST_HEAD,
	BTF_GRAPH = BTF_GRAPH_NODE | BTF_GRAPH_ROOT,
};

struct btf_record;
struct btf_field {
	u32 kind; /* one of enum btf_field_kind */
	u32 offset, size; /* bytes */
	const struct btf *btf; /* kptrs and uptr: what it points to; roots: what they contain; NULL otherwise */
	u32 btf_id;
	u32 node_offset; /* roots: of the node in what they contain */
	u32 dtor_id; /* BTF_KPTR_REF of a kernel type: the FUNC that releases one; 0: an allocated object */
	const struct btf_record *contains; /* roots: the special fields of what they contain; kptrs to local types: of the target */
};
struct btf_record {
	u32 kinds; /* mask of those that are there */
	u32 n;
	/* offset + 1 of the only one of its kind; 0: none */
	u32 spin_lock, res_spin_lock, timer, wq, task_work, refcount;
	struct btf_field fields[BTF_MOST_FIELDS]; /* by offset */
};
static inline const struct btf_field *btf_record_find(const struct btf_record *r, u32 offset, u32 kinds) /* the field that begins there */
{
	for (u32 i = 0; r && i < r->n; i++)
		if (r->fields[i].offset == offset && r->fields[i].kind & kinds)
			return &r->fields[i];
	return NULL;
}
static inline bool btf_record_has(const struct btf_record *r, u32 kinds)
{
	return r && r->kinds & kinds;
}
const char *btf_field_name(u32 kind); /* "bpf_spin_lock", "kptr", ... */

/* Those of kinds `mask` in a struct or DATASEC of value_size bytes, and after that the rules between them (ownership, what a lock must
 * guard). kernel: the engine's kernel BTF, for kptrs to kernel types; may be NULL. r->n 0: none. Errno as MAP_CREATE gives it. */
int btf_record_parse(struct btf_record *r, const struct btf *b, u32 id, u32 mask, u32 value_size, const struct btf *kernel, struct text *log);
/* Special fields of a local type of a BTF that was loaded (what bpf_obj_new() may make); NULL: none. */
const struct btf_record *btf_meta(const struct btf *b, u32 id);
bool btf_record_equal(const struct btf_record *a, const struct btf_record *b);

/* ---- walk.c: accesses through a pointer to a type ---- */

enum btf_ptr_flag { /* of a pointer that was read, or of a parameter */
	BTF_PTR_USER = 1 << 0, /* type tag "user" */
	BTF_PTR_PERCPU = 1 << 1, /* "percpu" */
	BTF_PTR_RCU = 1 << 2, /* "rcu" */
	BTF_PTR_TRUSTED = 1 << 3,
	BTF_PTR_UNTRUSTED = 1 << 4,
	BTF_PTR_NULLABLE = 1 << 5,
	BTF_PTR_RDONLY = 1 << 6,
	BTF_PTR_ARENA = 1 << 7,
};
enum btf_walk_kind {
	BTF_WALK_SCALAR,
	BTF_WALK_PTR, /* a pointer to struct `id`; flags */
	BTF_WALK_STRUCT, /* the address of a nested struct `id`: only btf_struct_walk() ends there */
};
struct btf_walk {
	enum btf_walk_kind kind;
	u32 id, flags;
	const char *field; /* the member's name; NULL: none */
};
/* One step: what lies at [off, off + size) of struct `id`. -EACCES, -EINVAL with Linux's text. */
int btf_struct_walk(const struct btf *b, u32 id, s64 off, u32 size, struct btf_walk *out, struct text *log);
/* What a load of that many bytes through a pointer to (b, id) gives: BTF_WALK_SCALAR or BTF_WALK_PTR. local: the pointer is to an
 * allocated object: its special fields are out of reach, and pointers in it are numbers. */
int btf_struct_access(const struct btf *b, u32 id, bool local, s64 off, u32 size, struct btf_walk *out, struct text *log);
/* Where "->member" of a struct lies and of what type it is; anonymous members are looked into. -ENOENT */
s64 btf_member_find(const struct btf *b, u32 id, const char *member, u32 *type);
/* The kernel's safe-list question: does struct b,id have a "PREFIX" sibling (struct task_struct__safe_rcu) that lists member `field`? */
bool btf_nested_type_is_trusted(const struct btf *b, u32 id, const char *field, u32 field_id, const char *suffix);

/* ---- match.c: are two types one? ---- */

/* Does (need_btf, need_id) lie at offset off of (b, id)? strict: only the type itself, no first member. Across BTFs kernel types
 * are compared by identity in one BTF, or by name and size. */
bool btf_ids_match(const struct btf *b, u32 id, s64 off, const struct btf *need_btf, u32 need_id, bool strict, struct text *log);
bool btf_types_same(const struct btf *a, u32 a_id, const struct btf *b, u32 b_id);

/* ---- proto.c: functions ---- */

const struct btf_type *btf_func_proto(const struct btf *b, u32 func_id); /* of a FUNC; NULL: none */
u32 btf_func_linkage(const struct btf *b, u32 func_id); /* enum btf_func_linkage */
/* What a parameter's name says: its suffix is one of Linux's annotations. */
enum btf_param_mark {
	BTF_MARK_SZ = 1 << 0, /* __sz: bytes of the pointer before it */
	BTF_MARK_SZK = 1 << 1, /* __szk: the same, a constant */
	BTF_MARK_K = 1 << 2, /* __k: a constant */
	BTF_MARK_IGN = 1 << 3,
	BTF_MARK_UNINIT = 1 << 4,
	BTF_MARK_ALLOC = 1 << 5,
	BTF_MARK_REFCOUNTED_KPTR = 1 << 6,
	BTF_MARK_NULLABLE = 1 << 7,
	BTF_MARK_STR = 1 << 8,
	BTF_MARK_MAP = 1 << 9,
	BTF_MARK_OPT = 1 << 10,
	BTF_MARK_ITER = 1 << 11,
	BTF_MARK_IRQ_FLAG = 1 << 12,
	BTF_MARK_RAW_TP = 1 << 13,
	BTF_MARK_PROG = 1 << 14,
};
u32 btf_param_marks(const struct btf *b, const struct btf_param *p);

enum btf_value_kind { /* of a parameter or a result, modifiers skipped */
	BTF_VALUE_VOID,
	BTF_VALUE_SCALAR, /* INT, ENUM, ENUM64, at most 8 bytes */
	BTF_VALUE_PTR_VOID,
	BTF_VALUE_PTR_SCALAR, /* to INT, ENUM or a float; id is its type; size its bytes */
	BTF_VALUE_PTR_STRUCT, /* id: the STRUCT or UNION; size its bytes */
	BTF_VALUE_PTR_FUNC,
	BTF_VALUE_PTR_PTR, /* id: the inner PTR */
	BTF_VALUE_PTR_OTHER, /* FWD, array, ... */
	BTF_VALUE_STRUCT, /* by value; size its bytes */
	BTF_VALUE_OTHER,
};
struct btf_value {
	enum btf_value_kind kind;
	u32 id, size;
	u32 flags; /* enum btf_ptr_flag: type tags; BTF_PTR_RDONLY: to const */
	const char *name; /* of the type pointed to; "" if it has none */
};
struct btf_value btf_value_of(const struct btf *b, u32 id);
bool btf_is_dynptr_ptr(const struct btf *b, const struct btf_type *ptr); /* struct bpf_dynptr *, bpf_dynptr_kern * */
bool btf_scalar_struct(const struct btf *b, const struct btf_type *t, struct text *log); /* only scalars in it, nested 3 deep at most */
/* Byte offset in a BPF_PROG_TYPE_TRACING context of argument n; arguments take 8 bytes or a multiple. -EINVAL */
s64 btf_arg_offset(const struct btf *b, const struct btf_type *proto, u32 n);

/* Is the parameter a pointer to the context of that program type, under any of its names ("struct __sk_buff", "struct
 * bpf_sock_ops", "bpf_user_pt_regs_t", ...)? For global functions and callbacks. arg: its number, for the log. */
bool btf_is_ctx(const struct btf *b, const struct btf_type *ptr, u32 prog_type, u32 arg, struct text *log);
/* For kfuncs: under the name of the program's side or the kernel's. */
bool btf_is_kernel_ctx(const struct btf *kernel, const struct btf_type *ptr, u32 prog_type, u32 arg, struct text *log);
const char *btf_ctx_name(u32 prog_type, bool kernel); /* "__sk_buff", "sk_buff"; NULL: none */

/* ---- args.c: arguments of the program's own functions ---- */

enum btf_arg_kind {
	BTF_ARG_SCALAR,
	BTF_ARG_CTX,
	BTF_ARG_DYNPTR, /* local, read-only handle */
	BTF_ARG_KERNEL, /* use of (btf, id): trusted or untrusted by flags */
	BTF_ARG_MEM, /* `size` bytes */
	BTF_ARG_ARENA,
};
struct btf_arg {
	enum btf_arg_kind kind;
	u32 flags; /* enum btf_ptr_flag: NULLABLE, TRUSTED, UNTRUSTED, RDONLY */
	u32 size; /* BTF_ARG_MEM; */
	const struct btf *btf; /* BTF_ARG_KERNEL: the kernel's */
	u32 id;
};
struct btf_func_args {
	const char *name;
	u32 n;
	struct btf_arg arg[BTF_BPF_ARGS];
};
/* What a global function may assume of its arguments, by prototype and by decl tags (arg:ctx, arg:nonnull, arg:nullable, arg:trusted,
 * arg:untrusted, arg:arena). attach_type: of the program. 0; -EINVAL: cannot be verified on its own; -EFAULT. */
int btf_func_args(const struct btf *b, u32 func_id, bool main, u32 prog_type, u32 attach_type, const struct btf *kernel, struct btf_func_args *out, struct text *log);

/* ---- ksym.c: variables of the kernel that instructions name ---- */

struct btf_ksym {
	const char *name;
	bool is_func;
	bool percpu;
	bool is_struct; /* a pointer to struct `id`; otherwise `size` bytes of read-only memory */
	u32 id, size;
};
int btf_ksym(const struct btf *b, u32 id, struct btf_ksym *out, struct text *log);

/* ---- target.c: what tracing programs attach to ---- */

struct btf_target {
	const struct btf *btf;
	u32 id; /* FUNC, or the TYPEDEF btf_trace_NAME */
	const char *name; /* of the function, or of the tracepoint */
	const struct btf_type *proto; /* NULL: the target is a program without one: 5 numbers */
	u32 skip_args; /* leading arguments that programs do not see: raw tracepoints' void *__data */
	u32 prog_type, attach_type;
	bool trusted; /* pointers among the arguments are */
	u32 prog_ctx_type; /* program type of a BPF target, whose context is argument 1; 0: a kernel function */
	const struct btf *kernel; /* for context types of BPF targets */
};
/* bpf_check_attach_target()'s rules that follow from types alone. 0 or -errno with Linux's text. */
int btf_attach_target(const struct btf *b, u32 id, u32 prog_type, u32 attach_type, struct btf_target *out, struct text *log);

/* An argument that is not what its prototype says: of iterators and struct_ops members. */
struct btf_arg_info {
	u32 offset; /* bytes, in the context */
	u32 kind; /* enum btf_ctx_value */
	u32 flags; /* enum btf_ptr_flag */
	const struct btf *btf;
	u32 id;
	bool refcounted; /* "__ref": acquired before the program runs */
};
enum btf_ctx_value {
	BTF_CTX_SCALAR,
	BTF_CTX_PTR, /* to (btf, id), with flags */
	BTF_CTX_PROG_CTX, /* the context of a BPF target */
	BTF_CTX_BUF, /* PTR_TO_BUF, flags RDONLY, NULLABLE */
	BTF_CTX_RETVAL, /* the target's result: a number; LSM: within its range */
};
struct btf_ctx_arg {
	enum btf_ctx_value kind;
	bool is_retval;
	u32 flags;
	const struct btf *btf;
	u32 id;
	const struct btf_arg_info *info; /* the one that decided; NULL: none */
};
/* Load of size bytes at offset off of the context of a program on that target. false: refused, with Linux's text. */
bool btf_ctx_access(const struct btf_target *t, const struct btf_arg_info *infos, u32 n_infos, s32 off, u32 size, struct btf_ctx_arg *out, struct text *log);

/* ---- struct_ops.c ---- */

struct btf_struct_ops {
	const struct btf *btf;
	u32 id; /* struct NAME */
	u32 value_id; /* struct bpf_struct_ops_NAME */
	const struct btf_type *type;
	const char *name;
};
int btf_struct_ops_find(const struct btf *kernel, u32 id, struct btf_struct_ops *out); /* -ENOTSUPP: not one */
/* Member i that is a function pointer: its prototype; NULL: it is none. */
const struct btf_type *btf_struct_ops_proto(const struct btf_struct_ops *s, u32 member, const char **name);
/* What its stub (NAME__MEMBER) says of arguments: "__nullable", "__ref" suffixes. Number of infos, at most BTF_MOST_ARGS, or -errno. */
s32 btf_struct_ops_infos(const struct btf_struct_ops *s, u32 member, struct btf_arg_info *infos, struct text *log);

#endif
