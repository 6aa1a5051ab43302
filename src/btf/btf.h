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
	bool mapped; /* data is a mapping of the file */
	u8 *moved; /* the types once more, where they were not aligned */
	u32 moved_size;
	const char *strings; /* its own part */
	u32 strings_size, first_string; /* strings of a split BTF follow its base's */
	const struct btf_type **types; /* by id - first_id; [0] of a BTF without base is void: NULL */
	u32 n_types, types_cap; /* entries in use; room */
	u32 first_id; /* 0; split: the number of ids in its base */
	const struct btf *base; /* NULL: none */
	bool kernel; /* of a kernel or a module */
	u32 first_tag; /* the first DECL_TAG; 0: none */
	u32 damaged; /* when a file or bytes could not be opened: the type that is wrong; 0: not a type is */
	struct btf_index *_Atomic index[BTF_KIND_MAX + 1]; /* by kind */
	_Atomic u32 asked[BTF_KIND_MAX + 1]; /* questions about each kind, roughly */
	struct btf_metas *metas; /* structs with special fields, of a BTF that was loaded */
	plain_lock lock; /* while an index is built */
};

/* Where a kernel's BTF comes from when it is needed: opening it takes time. get() may give NULL: there is none. */
struct btf_kernel {
	const struct btf *(*get)(void *ud);
	void *ud;
};
static inline const struct btf *btf_of_kernel(const struct btf_kernel *k) /* k: NULL is none */
{
	return k ? k->get(k->ud) : NULL;
}

/* ---- parse.c: BTF_LOAD ---- */

/* As Linux checks it. 0; -EINVAL, -E2BIG (too many types or bytes), ...; -ENOMEM. level 1: log gets what is wrong; 2: every type as well. */
int btf_parse(struct btf *b, const struct mem *mem, const void *data, u32 size, u32 level, struct text *log);
void btf_free(struct btf *b);

/* ---- file.c: a kernel's BTF: a raw BTF file (/sys/kernel/btf/vmlinux) or an ELF file with a .BTF section ---- */

/* base: NULL, or what a module's BTF is split from. -ENOENT, -EACCES, ...; -EINVAL: malformed. Every length and reference is
 * checked; what only BTF_LOAD refuses (names, duplicate members, ...) is not. */
int btf_open_file(struct btf *b, const struct mem *mem, const char *path, const struct btf *base);
int btf_map_file(const char *path, void **at, u32 *size); /* the bytes of a file that the kernel gives without a copy; -errno: of no other */
int btf_open_bytes(struct btf *b, const struct mem *mem, const void *bytes, u32 size); /* the same of bytes, which are copied */
s64 btf_tail_bytes(const struct btf_type *t); /* bytes behind struct btf_type; -1: unknown kind */

/* ---- btf.c: reading ---- */

static inline u32 btf_type_count(const struct btf *b) /* highest id + 1 */
{
	return b->first_id + b->n_types;
}
const struct btf_type *btf_type(const struct btf *b, u32 id); /* NULL: no such type; id 0 is void: NULL */
const char *btf_string(const struct btf *b, u32 off); /* "" when out of range */
bool btf_string_valid(const struct btf *b, u32 off);
const struct btf_type *btf_resolve(const struct btf *b, u32 id, u32 *resolved); /* through typedefs, modifiers, type tags and VARs */
const struct btf_type *btf_skip_modifiers(const struct btf *b, u32 id, u32 *resolved); /* through typedefs, modifiers and type tags */
s64 btf_size(const struct btf *b, u32 id); /* bytes; -EINVAL when it has none */
struct btf_extent {
	const struct btf_type *type; /* the outermost ARRAY, or what id resolves to */
	const struct btf_type *elem; /* what the innermost array holds, resolved; without arrays: type */
	u32 elem_id; /* arrays: as the innermost one names it, unresolved; otherwise id, resolved */
	u32 count, size; /* elements of all dimensions; bytes in all */
};
int btf_extent_of(const struct btf *b, u32 id, struct btf_extent *out); /* -EINVAL: no size (void, functions, VAR, DATASEC) */
const char *btf_kind_name(u32 kind); /* "FUNC_PROTO" */

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
bool btf_is_struct(const struct btf_type *t); /* or union; all of these: false for NULL */
bool btf_is_int(const struct btf_type *t);
bool btf_is_enum_any(const struct btf_type *t); /* ENUM or ENUM64 */
bool btf_is_ptr(const struct btf_type *t);
bool btf_is_scalar(const struct btf_type *t); /* INT, ENUM, ENUM64 */
bool btf_is_modifier(const struct btf_type *t); /* TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG */
bool btf_has_tag(const struct btf *b, const struct btf_type *t, const char *tag); /* a TYPE_TAG of that text that is no attribute */

/* ---- find.c: by name ---- */

void btf_index_free(struct btf *b);
/* The type of that kind and name, the first if there are several; a base's come first. -ENOENT */
s32 btf_find(const struct btf *b, const char *name, u32 kind);
/* How many types of that kind have that name, "___flavor" suffixes on both sides aside; *id: the last. 0 without memory. */
u32 btf_find_flavors(const struct btf *b, const char *name, u32 kind, u32 *id);
u32 btf_flavorless(const char *name); /* length of the name without its "___flavor" */
/* What follows the prefix in the DECL_TAG on (id, component) that begins with it; component -1: the type itself. NULL: none; *n (may
 * be NULL): how many there are. */
const char *btf_tag_value(const struct btf *b, u32 id, s32 component, const char *prefix, u32 *n);
/* The next DECL_TAG on (id, component) behind tag id `after` (0: the first) whose text begins with prefix. -ENOENT */
s32 btf_tag_next(const struct btf *b, u32 id, s32 component, const char *prefix, u32 after);

/* ---- relo.c: CO-RE relocations ---- */

struct bpf_core_relo;
struct raw_insn;
struct btf_kernels { /* the kernel's types and, behind them, those of modules, which are split from them; none: they are not known */
	const struct btf *const *at;
	u32 n;
};
/* The nth relocation, whose insn_off lies in the program: patches the instruction there for the kernel's types. 0 or -errno. */
int btf_relocate(const struct btf *local, struct btf_kernels in, const struct bpf_core_relo *r, u32 n, struct raw_insn *insns, u32 n_insns, struct text *log);

/* ---- record.c: special fields of map values and allocated objects ---- */

enum btf_field_kind { /* fields.def */
#define FIELD(name, bit, text, type, size, align, unique) BTF_##name = 1 << bit,
#include "btf/fields.def"
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

enum { BTF_VALUE_KINDS = BTF_SPIN_LOCK | BTF_RES_SPIN_LOCK | BTF_TIMER | BTF_KPTR | BTF_LIST_HEAD | BTF_RB_ROOT | BTF_REFCOUNT |
			 BTF_WORKQUEUE | BTF_UPTR | BTF_TASK_WORK, /* of map values */
       BTF_OBJECT_KINDS = BTF_SPIN_LOCK | BTF_RES_SPIN_LOCK | BTF_LIST_HEAD | BTF_LIST_NODE | BTF_RB_ROOT | BTF_RB_NODE | BTF_REFCOUNT |
			  BTF_KPTR }; /* of allocated objects */
/* Those of kinds `mask` in a struct or DATASEC of value_size bytes. kernel: for kptrs to kernel types; NULL: all are local. r->n 0: none.
 * -EINVAL, -E2BIG (too many, or a second one), -EEXIST (overlap), -ENOENT (unknown contents or destructor), as MAP_CREATE gives them. */
int btf_record_parse(struct btf_record *r, const struct btf *b, u32 id, u32 mask, u32 value_size, const struct btf_kernel *kernel);
/* After btf_metas_parse(): fills `contains`, and checks who may own whom. -ELOOP, -EFAULT */
int btf_record_link(struct btf_record *r, const struct btf *b);
/* Special fields of all local types of a BTF that was loaded: the end of BTF_LOAD. */
int btf_metas_parse(struct btf *b, const struct btf_kernel *kernel);
void btf_metas_free(struct btf *b);
/* Special fields of a local type (what bpf_obj_new() may make); NULL: none. */
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
	BTF_WALK_MEM, /* a pointer to something else: memory that may only be read, untrusted (Linux 6.17) */
	BTF_WALK_STRUCT, /* the address of a nested struct `id`: only btf_struct_walk() ends there */
};
struct btf_walk {
	enum btf_walk_kind kind;
	u32 id, flags;
	const char *field; /* the member's name; NULL: none */
};
/* One step: what lies at [off, off + size) of struct `id`. -EACCES, -EINVAL with Linux's text. */
int btf_struct_walk(const struct btf *b, u32 id, bool local, s64 off, u32 size, struct btf_walk *out, struct text *log);
/* What a load of that many bytes through a pointer to (b, id) gives: anything but BTF_WALK_STRUCT. local: the pointer is to an
 * allocated object: its special fields are out of reach, and pointers in it are numbers. */
int btf_struct_access(const struct btf *b, u32 id, bool local, s64 off, u32 size, struct btf_walk *out, struct text *log);
/* Where "->member" of a struct lies and of what type it is; anonymous members are looked into. -ENOENT */
s64 btf_member_find(const struct btf *b, u32 id, const char *member, u32 *type);

/* ---- match.c: are two types one? ---- */

/* Does (need_btf, need_id) lie at offset off of (b, id)? strict: only the type itself, no first member. local: (b, id) is an allocated object. */
bool btf_ids_match(const struct btf *b, u32 id, s64 off, const struct btf *need_btf, u32 need_id, bool strict, bool local, struct text *log);
bool btf_types_same(const struct btf *a, u32 a_id, const struct btf *b, u32 b_id); /* also through a common base */
bool btf_nocast_alias(const struct btf *a, u32 a_id, const struct btf *b, u32 b_id); /* one is the other's NAME___init */
/* Are the prototypes of two global functions equal, as program extensions must be? (Linux's btf_check_type_match().) -EINVAL */
int btf_funcs_match(const struct btf *a, u32 a_id, const struct btf *b, u32 b_id, struct text *log);

/* ---- proto.c: functions ---- */

const struct btf_type *btf_func_proto(const struct btf *b, u32 func_id); /* of a FUNC; NULL: none */
u32 btf_func_linkage(const struct btf *b, u32 func_id); /* enum btf_func_linkage */
/* What a parameter's name says: marks.def */
enum btf_mark_bit {
#define MARK(name, suffix, doc) BTF_MARK_BIT_##name,
#include "btf/marks.def"
};
enum btf_param_mark {
#define MARK(name, suffix, doc) BTF_MARK_##name = 1 << BTF_MARK_BIT_##name,
#include "btf/marks.def"
};
u32 btf_param_marks(const struct btf *b, const struct btf_param *p); /* every suffix that fits */
bool btf_param_named(const struct btf *b, const struct btf_param *p, const char *name); /* exactly that */

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
bool btf_is_small_int(const struct btf_type *t); /* INT of 1, 2, 4 or 8 bytes */
bool btf_is_dynptr_ptr(const struct btf *b, const struct btf_type *ptr); /* struct bpf_dynptr *, also a declaration */
bool btf_scalar_struct(const struct btf *b, const struct btf_type *t, struct text *log); /* only numbers in it, nested 4 deep at most */
/* What a trampoline must know of a function. proto NULL: five numbers. 0 or -EINVAL with Linux's text. */
struct btf_model {
	u32 n, ret_size;
	u8 arg_size[BTF_MOST_ARGS];
};
int btf_func_model(const struct btf *b, const struct btf_type *proto, const char *name, struct btf_model *out, struct text *log);
/* Byte offset of argument n in the context of a program that traces the function; each takes a multiple of 8 bytes. -EINVAL */
s64 btf_arg_offset(const struct btf *b, const struct btf_type *proto, u32 n);

/* ---- ctx.c: the contexts of program types ---- */

/* Is the parameter a pointer to the context of that program type, under the name that programs know it by ("struct __sk_buff",
 * "bpf_user_pt_regs_t", ...) or, for skb and xdp, the kernel's? arg: its number, for the log. */
bool btf_is_ctx(const struct btf *b, const struct btf_type *ptr, u32 prog_type, u32 arg, struct text *log);
/* May a parameter that is tagged arg:ctx be of that type? 0 or -EINVAL */
int btf_ctx_tag_check(const struct btf *b, const struct btf_type *t, u32 prog_type, u32 attach_type, u32 arg, struct text *log);
const char *btf_ctx_name(u32 prog_type, bool kernel); /* "__sk_buff", the kernel's: "sk_buff"; "": not a struct; NULL: unknown type */
s32 btf_kernel_ctx(const struct btf *kernel, u32 prog_type); /* that STRUCT in the kernel's BTF; -EINVAL */

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
 * arg:untrusted, arg:arena). 0; -EINVAL, -EOPNOTSUPP, ...: cannot be verified on its own. Static functions: the same without a log, and
 * pointers are BTF_ARG_CTX, BTF_ARG_DYNPTR or refused. */
int btf_func_args(const struct btf *b, u32 func_id, u32 prog_type, u32 attach_type, const struct btf_kernel *kernel, struct btf_func_args *out,
		  struct text *log);

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
	const char *name; /* of the function, of the tracepoint, or of the struct_ops member */
	const struct btf_type *proto; /* NULL: a program's function whose prototype does not bind it: 5 numbers */
	u32 skip_args; /* leading arguments that programs do not see: raw tracepoints' void *__data */
	u32 attach_type;
	bool trusted; /* pointers among the arguments are */
	bool to_prog; /* a function of a program of type prog_type: pointers are its context */
	u32 prog_type;
	const struct btf *kernel; /* to_prog: where context types are looked up */
};
/* What Linux's bpf_check_attach_target() decides from types: the kernel's (to_prog false) or a program's. reliable: a program's function keeps
 * to its prototype. Fills all but trusted of LSM hooks. 0 or -errno with Linux's text. */
struct btf_attach {
	u32 prog_type, attach_type;
	bool to_prog, reliable;
	u32 target_prog_type;
	const struct btf *own; /* program extensions: the BTF of the program and its first FUNC, */
	u32 own_id; /* which must match */
	const struct btf *kernel;
};
int btf_attach_target(const struct btf *b, u32 id, const struct btf_attach *how, struct btf_target *out, struct text *log);

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
int btf_struct_ops_of_value(const struct btf *kernel, u32 value_id, struct btf_struct_ops *out); /* by its struct bpf_struct_ops_NAME; the same errors */
/* Member i that is a function pointer: its prototype; NULL: it is none. */
const struct btf_type *btf_struct_ops_proto(const struct btf_struct_ops *s, u32 member, const char **name);
/* What its stub (NAME__MEMBER) says of arguments: "__nullable", "__ref" suffixes. Number of infos, at most BTF_MOST_ARGS, or -errno. */
s32 btf_struct_ops_infos(const struct btf_struct_ops *s, u32 member, struct btf_arg_info *infos);

#endif
