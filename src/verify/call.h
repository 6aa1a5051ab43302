/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of helpers and kernel functions: what the files of the family share. A call is walked in this order: may it be made here; its
 * arguments, one after the other, which tell struct call what the result depends on; what it does (locks, sections, callbacks,
 * releases); registers R0 to R5 are lost; the result.
 *
 * Rules come from attributes: struct helper_proto and struct kfunc say what a call does, types of the kernel's BTF what a kernel function
 * takes. No row is told apart by its id or name.
 *
 * Ownership: struct call lives on the stack of walk_helper() and walk_kfunc(); what it points to is the program's, a map's or BTF's.
 */
#ifndef SKEP_VERIFY_CALL_H
#define SKEP_VERIFY_CALL_H

#include "verify/state.h"

struct call {
	const struct insn *in;
	const char *name; /* as messages have it: "bpf_map_lookup_elem" */
	const struct helper_proto *helper; /* NULL: a kernel function */
	const struct kfunc *kfunc;
	const struct btf *btf; /* kernel functions: where the prototype is */
	const struct btf_type *proto;
	/* what the arguments told */
	struct map *map; /* the call's map, NULL: none */
	u32 map_uid;
	s64 const_key; /* the key, where it is a known number; -1: not known */
	u32 ref; /* the reference that an argument carries; 0: none */
	u32 release_reg; /* whose reference goes; 0: none */
	u64 most; /* bytes that the ARG_SIZE argument allows */
	u64 mem_size; /* ARG_ALLOC_SIZE */
	u32 subprog; /* the callback */
	const struct callback *callback;
	const struct btf *obj_btf; /* type of a per-CPU variable, kptr, node, object */
	u32 obj_id;
	const struct btf_field *kptr, *list_head, *rb_root;
	struct {
		u32 id, kind, ref; /* the initialised dynptr among the arguments; id 0: none */
	} dynptr;
	struct {
		u32 frame, slot;
	} iter;
	bool has_constant;
	u64 constant; /* kernel functions: the __k or __szk argument */
	u64 result_size; /* kernel functions: bytes behind the pointer that it gives */
	bool result_rdonly, owning, per_cpu_object, moves_packet;
};

enum { ERRNO_MAX = 4095, LARGEST_VARIABLE = 1 << 29 };

static inline u32 kind_of(u32 arg) /* enum arg_kind without flags and parameter */
{
	return arg & ARG_KIND_MASK;
}
static inline u32 param_of(u32 arg)
{
	return arg >> ARG_PARAM_SHIFT;
}
/* An RCU read-side section, as far as kernel objects are concerned. */
static inline bool rcu_held(const struct verifier *v)
{
	return v->cur->active_rcu_locks || v->cur->active_locks || !v->cur->in_sleepable;
}
static inline bool flag_is_set(const struct call *c, u32 flag) /* of a kernel function */
{
	return c->kfunc && c->kfunc->flags & flag;
}

/* ---- call.c ---- */
void call_clobber(struct verifier *v); /* R0 to R5 */
int call_lock_rule(struct verifier *v, bool allowed); /* which calls may be made with a lock held */
void map_note(struct verifier *v, struct map *m); /* for the call's insn_aux */
s32 kernel_type(struct verifier *v, enum ktype t); /* id in the kernel's BTF, or what reject() gave */
/* R1 to R5 of a callback, from callbacks.def; ud: struct call. */
int fill_callback(struct verifier *v, struct frame *caller, struct frame *callee, void *ud);
bool in_graph_callback(const struct verifier *v); /* a callback that runs with the lock of a list or tree held */
void each_matching(struct verifier *v, bool (*match)(const struct reg *, u32), u32 what); /* such registers are forgotten */

/* ---- call_args.c ---- */
int helper_arg(struct verifier *v, struct call *c, u32 i);
int arg_const_string(struct verifier *v, const struct reg *r, u32 regno);
int arg_memory_pair(struct verifier *v, u32 size_regno, u32 use, bool zero_size, u64 *most, const char *who);
const char *const_string(const struct reg *r); /* after arg_const_string() */

/* ---- call_format.c ---- */
bool format_ok(const char *format, u64 values); /* does it take that many values, or fewer? */

/* ---- dynptr.c ---- */
s32 object_slot(struct verifier *v, const struct reg *r, const char *what, u32 n); /* -EINVAL with a message; -ERANGE: not in use yet */
int dynptr_release(struct verifier *v, const struct reg *r); /* with its reference, clones and slices */
int dynptr_facts(struct verifier *v, struct call *c, const struct reg *r); /* id, kind, reference of an initialised one */
void dynptr_set_handle(struct verifier *v, struct reg *r, u32 kind); /* as a callback gets it */
bool dynptr_is_owned(struct verifier *v, const struct reg *r); /* on the stack, with a reference */
static inline bool dynptr_in_packet(u32 kind)
{
	return kind & (DYNPTR_SKB | DYNPTR_XDP | DYNPTR_SKB_META);
}

/* ---- lock.c ---- */
enum lock_use { LOCK_TAKE = 1, LOCK_RES = 2, LOCK_IRQ = 4 };
int arg_lock(struct verifier *v, u32 regno, u32 use);
bool lock_held(const struct verifier *v, const struct reg *r); /* the lock of the object that r points to */
int arg_irq_flag(struct verifier *v, struct call *c, u32 regno);
int kfunc_sections(struct verifier *v, struct call *c); /* RCU, preemption, IRQs: enters, leaves, forbids */

/* ---- iter.c ---- */
int arg_iter(struct verifier *v, struct call *c, u32 regno);
int iter_next(struct verifier *v, struct call *c); /* R0 is set: the branch that goes on, and this one, which is drained */
const struct reg *iter_of(const struct state *s, const struct call *c);

/* ---- object.c ---- */
int arg_kptr(struct verifier *v, struct call *c, u32 regno);
int arg_map_field(struct verifier *v, struct call *c, u32 regno, u32 kind); /* timer, work queue, task work */
int arg_graph_root(struct verifier *v, struct call *c, u32 regno, u32 kind);
int arg_graph_node(struct verifier *v, struct call *c, u32 regno, u32 kind);
int arg_refcounted(struct verifier *v, struct call *c, u32 regno);
int node_inserted(struct verifier *v, u32 regno); /* the owner is now the list or tree */
void reg_set_node(struct reg *r, const struct btf_field *root);
int set_non_owning(struct verifier *v, struct reg *r);
int object_new(struct verifier *v, struct call *c, struct reg *r0);

/* ---- kfunc_args.c ---- */
int kfunc_args(struct verifier *v, struct call *c);

#endif
