/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arguments of helpers: which registers each kind of argument takes, and what it must point to. The same rules serve the arguments of
 * the program's own global functions.
 */
#include "verify/call.h"

#include <linux/bpf.h>
#include <stdio.h>

/* ---- which registers a kind of argument takes ---- */

enum { MOST_ACCEPTED = 10 };
static const u32 memory[] = {R_STACK, R_PACKET, R_PACKET_META, R_MAP_KEY, R_MAP_VALUE, R_MEM, R_MEM | R_RINGBUF, R_BUFFER, R_BTF | R_TRUSTED, R_NONE};
static const u32 sockets[] = {R_SOCK_COMMON, R_SOCKET, R_TCP_SOCK, R_XDP_SOCK, R_NONE};
static const u32 any_socket[] = {R_SOCK_COMMON, R_SOCKET, R_TCP_SOCK, R_XDP_SOCK, R_BTF, R_BTF | R_TRUSTED, R_NONE};
static const u32 objects[] = {R_BTF, R_BTF | R_TRUSTED, R_BTF | R_RCU, R_NONE};
static const u32 per_cpu[] = {R_BTF | R_PERCPU, R_BTF | R_PERCPU | R_RCU, R_BTF | R_PERCPU | R_TRUSTED, R_NONE};
static const u32 lock_owner[] = {R_MAP_VALUE, R_BTF | R_ALLOC, R_NONE};
static const u32 kptr_owner[] = {R_MAP_VALUE, R_BTF | R_ALLOC, R_NONE};
static const u32 dynptrs[] = {R_STACK, R_DYNPTR, R_NONE};
static const u32 number[] = {R_SCALAR, R_NONE};
static const u32 context[] = {R_CTX, R_NONE};
static const u32 map[] = {R_MAP, R_NONE};
static const u32 map_value[] = {R_MAP_VALUE, R_NONE};
static const u32 full_socket[] = {R_SOCKET, R_NONE};
static const u32 record[] = {R_MEM | R_RINGBUF, R_NONE};
static const u32 function[] = {R_FUNC, R_NONE};
static const u32 stack[] = {R_STACK, R_NONE};

static const u32 *const accepted[] = {
	[ARG_SCALAR] = number, [ARG_SIZE] = number, [ARG_SIZE_0] = number, [ARG_ALLOC_SIZE] = number,
	[ARG_CTX] = context, [ARG_MAP_HANDLE] = map,
	[ARG_KEY] = memory, [ARG_VALUE] = memory, [ARG_VALUE_OUT] = memory,
	[ARG_MEM] = memory, [ARG_MEM_OUT] = memory, [ARG_MEM_RW] = memory,
	[ARG_FIXED] = memory, [ARG_FIXED_OUT] = memory, [ARG_FIXED_RW] = memory,
	[ARG_CSTRING] = map_value, [ARG_TIMER] = map_value, [ARG_CALLBACK] = function, [ARG_RECORD] = record, [ARG_STACK] = stack,
	[ARG_SPIN_LOCK] = lock_owner, [ARG_KERNEL] = objects, [ARG_KPTR_NEW] = objects, [ARG_KPTR] = kptr_owner,
	[ARG_SOCKET] = full_socket, [ARG_SOCK_COMMON] = sockets, [ARG_BTF_SOCK] = any_socket, [ARG_PERCPU] = per_cpu,
	[ARG_DYNPTR_HANDLE] = dynptrs,
};

static bool is_memory(u32 kind) /* with a size in the next argument, or a fixed one */
{
	return kind == ARG_MEM || kind == ARG_MEM_OUT || kind == ARG_MEM_RW || kind == ARG_FIXED || kind == ARG_FIXED_OUT ||
	       kind == ARG_FIXED_RW;
}

static bool only_reads(u32 arg)
{
	u32 kind = kind_of(arg);

	return arg & ARG_RDONLY || ((kind == ARG_MEM || kind == ARG_FIXED) && !(arg & ARG_NO_RDONLY));
}

static u32 use_of(u32 arg, bool known_size) /* enum mem_use */
{
	switch (kind_of(arg)) {
	case ARG_MEM_OUT:
	case ARG_FIXED_OUT:
	case ARG_VALUE_OUT:
		/* what may be written in part only must have been initialised */
		return known_size ? MEM_WRITE | MEM_RAW : MEM_WRITE;
	case ARG_MEM_RW:
	case ARG_FIXED_RW:
		return MEM_WRITE;
	default:
		return MEM_READ;
	}
}

static int wrong_type(struct verifier *v, u32 regno, const u32 *types)
{
	char text[240];
	size_t n = (size_t)snprintf(text, sizeof(text), "R%u type=%s expected=", regno, reg_type_name(v, reg_of(v, regno)->type));

	for (u32 i = 0; types[i] && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? ", " : "", reg_type_name(v, types[i]));
	reject(v, REJECT_ARG_TYPE, "%s", text);
	reject_reg(v, regno);
	return reject_needs(v, strstr(text, "expected=") + sizeof("expected=") - 1);
}

static int object_type(struct verifier *v, u32 regno, const struct reg *r, const struct btf *btf, u32 id, bool strict)
{
	if (btf_ids_match(r->btf, r->btf_id, r->off, btf, id, strict, r->type & R_ALLOC, v->log_level ? v->log : NULL))
		return 0;
	reject(v, REJECT_ARG_BTF_TYPE, "R%u is of type %s but %s is expected", regno, btf_name_of(r->btf, btf_type(r->btf, r->btf_id)),
	       btf_name_of(btf, btf_type(btf, id)));
	reject_reg(v, regno);
	return reject_needs(v, btf_name_of(btf, btf_type(btf, id)));
}

/* A pointer to a kernel object, or to one of the program's own. */
static int object_arg(struct verifier *v, const struct call *c, u32 regno, u32 arg)
{
	const struct reg *r = reg_of(v, regno);
	u32 kind = kind_of(arg);
	s32 id;

	switch (r->type) {
	case R_BTF:
	case R_BTF | R_TRUSTED:
	case R_BTF | R_TRUSTED | R_NULLABLE:
	case R_BTF | R_RCU:
	case R_BTF | R_NULLABLE:
	case R_BTF | R_NULLABLE | R_RCU:
		if (reg_may_be_null(r) && (!(arg & ARG_NULLABLE) || arg & ARG_RELEASES))
			return reject(v, REJECT_ARG_NULL, "Possibly NULL pointer passed to helper arg%u", regno);
		if (kind == ARG_KPTR_NEW)
			return kptr_matches(v, c->kptr, r, regno) ? -EACCES : 0;
		id = kernel_type(v, kind == ARG_BTF_SOCK ? KTYPE_sock_common : param_of(arg));
		if (id < 0)
			return id;
		/* sockets of all kinds begin with what they have in common: also where they are released */
		return object_type(v, regno, r, vmlinux(v), (u32)id, arg & ARG_RELEASES && kind != ARG_BTF_SOCK);
	case R_BTF | R_ALLOC:
	case R_BTF | R_PERCPU | R_ALLOC:
	case R_BTF | R_ALLOC | R_NON_OWNING:
	case R_BTF | R_ALLOC | R_NON_OWNING | R_RCU:
		if (kind == ARG_KPTR_NEW)
			return kptr_matches(v, c->kptr, r, regno) ? -EACCES : 0;
		return kind == ARG_SPIN_LOCK || kind == ARG_KPTR ? 0 : bug(v, "an allocated object for a helper that takes none");
	default:
		return r->type & R_PERCPU ? 0 : bug(v, "a kernel object with flags that no argument takes");
	}
}

static int type_ok(struct verifier *v, const struct call *c, u32 regno, u32 arg)
{
	const struct reg *r = reg_of(v, regno);
	u32 type = r->type, kind = kind_of(arg), i;
	const u32 *types = kind < ARRAY_SIZE(accepted) ? accepted[kind] : NULL;

	if (!types)
		return bug(v, "an argument of no kind");
	if (only_reads(arg))
		type &= ~(u32)R_RDONLY;
	if (arg & ARG_NULLABLE)
		type &= ~(u32)R_NULLABLE;
	if (is_memory(kind))
		type &= ~(u32)R_SLICE;
	if (kind == ARG_KPTR_NEW && type & R_ALLOC)
		type &= ~(u32)(R_ALLOC | R_PERCPU);
	for (i = 0; types[i] != R_NONE && types[i] != type; i++)
		;
	if (types[i] == R_NONE)
		return wrong_type(v, regno, types);
	if (reg_base(r->type) != R_BTF)
		return 0;
	if (types == memory) {
		if (only_reads(arg))
			return 0;
		return reject(v, REJECT_ARG_TYPE, "%s() may write into memory pointed by R%u type=%s", c->name, regno,
			      reg_type_name(v, r->type));
	}
	return object_arg(v, c, regno, arg);
}

/* ---- offsets ---- */

int arg_offset(struct verifier *v, const struct reg *r, u32 regno, bool release)
{
	if (release) {
		if (r->off)
			return reject(v, REJECT_ARG_OFFSET,
				      "R%u must have zero offset when passed to release func or trusted arg to kfunc", regno);
		return mem_fixed_pointer(v, r, regno, false);
	}
	switch (r->type) {
	case R_STACK:
	case R_PACKET:
	case R_PACKET_META:
	case R_MAP_KEY:
	case R_MAP_VALUE:
	case R_MEM:
	case R_MEM | R_RDONLY:
	case R_MEM | R_RINGBUF:
	case R_BUFFER:
	case R_BUFFER | R_RDONLY:
	case R_ARENA:
	case R_SCALAR:
		return 0;
	case R_BTF:
	case R_BTF | R_ALLOC:
	case R_BTF | R_TRUSTED:
	case R_BTF | R_RCU:
	case R_BTF | R_ALLOC | R_NON_OWNING:
	case R_BTF | R_ALLOC | R_NON_OWNING | R_RCU:
		return mem_fixed_pointer(v, r, regno, true);
	default:
		return mem_fixed_pointer(v, r, regno, false);
	}
}

/* ---- memory ---- */

int arg_memory_pair(struct verifier *v, u32 size_regno, u32 use, bool zero_size, u64 *most, const char *who)
{
	const struct reg *r = reg_of(v, size_regno);
	int err;

	*most = r->v.umax; /* the result of some helpers is at most that */
	if (r->v.smin < 0) {
		reject(v, REJECT_ARG_SIZE, "R%u min value is negative, either use unsigned or 'var &= const'", size_regno);
		reject_at(v, (s32)size_regno, 0, r->v.smin);
		return v->why->err;
	}
	if (!r->v.umin && !zero_size) {
		reject(v, REJECT_ARG_SIZE, "R%u invalid zero-sized read: u64=[%lld,%lld]", size_regno, (long long)r->v.umin,
		       (long long)r->v.umax);
		reject_at(v, (s32)size_regno, 1, 0);
		return v->why->err;
	}
	if (r->v.umax >= LARGEST_VARIABLE) {
		reject(v, REJECT_ARG_SIZE, "R%u unbounded memory access, use 'var &= const' or 'if (var < const)'", size_regno);
		reject_at(v, (s32)size_regno, LARGEST_VARIABLE - 1, (s64)r->v.umax);
		return v->why->err;
	}
	err = mem_region(v, size_regno - 1, r->v.umax, use, zero_size, who);
	return err ? err : mark_precise(v, size_regno);
}

int arg_mem(struct verifier *v, u32 regno, u32 size)
{
	struct reg *r = reg_of(v, regno), saved = *r;
	int err;

	if (reg_is_null(r))
		return mark_precise_beyond(v, regno);
	if (reg_may_be_null(r))
		reg_not_null(v, r);
	err = mem_region(v, regno, size, MEM_READ, true, NULL);
	err = err ? err : mem_region(v, regno, size, MEM_WRITE, true, NULL);
	if (reg_may_be_null(&saved))
		*reg_of(v, regno) = saved;
	return err;
}

static int global_object(struct verifier *v, u32 regno, const struct btf_arg *a)
{
	const struct reg *r = reg_of(v, regno);
	u32 type = a->flags & BTF_PTR_NULLABLE ? r->type & ~(u32)R_NULLABLE : r->type, i;
	int err;

	if (a->flags & BTF_PTR_NULLABLE && reg_is_null(r))
		return mark_precise_beyond(v, regno);
	if (a->flags & BTF_PTR_UNTRUSTED) /* reads through it are guarded */
		return 0;
	for (i = 0; objects[i] != R_NONE && objects[i] != type; i++)
		;
	if (objects[i] == R_NONE)
		return wrong_type(v, regno, objects);
	err = object_type(v, regno, r, a->btf, a->id, false);
	return err ? err : arg_offset(v, r, regno, false);
}

static int global_memory(struct verifier *v, u32 regno, u32 arg, const struct btf_arg *a)
{
	const struct reg *r = reg_of(v, regno);
	int err = arg_offset(v, r, regno, false);

	if (err)
		return err;
	if (a->flags & BTF_PTR_UNTRUSTED)
		return 0;
	if (arg_mem(v, regno, a->size))
		return -EINVAL;
	if (!(a->flags & BTF_PTR_NULLABLE) && reg_may_be_null(r))
		return reject_err(v, REJECT_ARG_NULL, -EINVAL, "arg#%u is expected to be non-NULL", arg);
	return 0;
}

int global_arg(struct verifier *v, u32 regno, u32 arg, const struct btf_arg *a)
{
	const struct reg *r = reg_of(v, regno);
	int err;

	switch (a->kind) {
	case BTF_ARG_SCALAR:
		return r->type == R_SCALAR ? 0 : reject_err(v, REJECT_ARG_TYPE, -EINVAL, "R%u is not a scalar", regno);
	case BTF_ARG_CTX:
		err = arg_offset(v, r, regno, false);
		if (!err && r->type != R_CTX)
			err = reject_err(v, REJECT_ARG_TYPE, -EINVAL, "arg#%u expects pointer to ctx", arg);
		return err;
	case BTF_ARG_MEM:
		return global_memory(v, regno, arg, a);
	case BTF_ARG_ARENA:
		if (r->type == R_ARENA || r->type == R_SCALAR)
			return 0;
		return reject_err(v, REJECT_ARG_TYPE, -EINVAL, "R%u is not a pointer to arena or scalar.", regno);
	case BTF_ARG_DYNPTR:
		err = arg_offset(v, r, regno, false);
		return err ? err : arg_dynptr(v, regno, ARG_RDONLY, DYNPTR_ANY, 0);
	case BTF_ARG_KERNEL:
		return global_object(v, regno, a);
	}
	return bug(v, "an argument of no kind");
}

/* ---- constant strings ---- */

const char *const_string(const struct reg *r)
{
	return (const char *)r->map->values + r->off + r->v.bits.value;
}

int arg_const_string(struct verifier *v, const struct reg *r, u32 regno)
{
	const struct map *m = r->map;
	u64 off;
	int err;

	if (r->type != R_MAP_VALUE)
		return reject_err(v, REJECT_ARG_STRING, -EINVAL, "R%u does not point to a constant string", regno);
	if (!(m->spec.flags & BPF_F_RDONLY_PROG) || !m->frozen)
		return reject(v, REJECT_ARG_STRING, "R%u does not point to a readonly map'", regno);
	if (!scalar_is_const(&r->v))
		return reject(v, REJECT_ARG_STRING, "R%u is not a constant address'", regno);
	if (!m->values)
		return reject(v, REJECT_ARG_STRING, "no direct value access support for this map type");
	err = mem_map_value(v, regno, r->off, (s32)m->spec.value_size - r->off, false, MEM_READ);
	if (err)
		return err;
	off = (u64)r->off + r->v.bits.value;
	if (m->spec.max_entries != 1 || off >= m->spec.value_size)
		return reject(v, REJECT_ARG_STRING, "direct value access on string failed");
	if (!memchr(m->values + off, 0, m->spec.value_size - off))
		return reject_err(v, REJECT_ARG_STRING, -EINVAL, "string is not zero-terminated");
	return 0;
}

/* ---- keys ---- */

/* The number in the stack bytes that the key pointer points to; -1: not known. */
static int constant_key(struct verifier *v, const struct reg *r, u32 size, s64 *key)
{
	const struct frame *f;
	const struct stack_slot *s;
	s64 off;
	u32 slot, at, zeroes = 0, spilled = 0;

	if (!v->priv || r->type != R_STACK || !scalar_is_const(&r->v))
		return 0;
	f = v->cur->frame[r->frame];
	off = -(r->off + (s64)r->v.bits.value) - 1;
	slot = (u32)off / SLOT_BYTES;
	at = (u32)off % SLOT_BYTES;
	if (off < 0 || slot >= f->n_slots)
		return 0;
	s = stack_at(f, slot);
	for (s32 i = (s32)at; i >= 0 && s->kind[i] == S_ZERO; i--)
		zeroes++;
	if (zeroes >= size) {
		*key = 0;
		return 0;
	}
	if (!stack_is_spill(s) || s->reg.type != R_SCALAR || !scalar_is_const(&s->reg.v))
		return 0;
	for (s32 i = (s32)at; i >= 0 && s->kind[i] == S_SPILL; i--)
		spilled++;
	if (spilled != size)
		return 0;
	*key = (s64)s->reg.v.bits.value;
	return mark_precise_slot(v, r->frame, slot);
}

static int key_arg(struct verifier *v, struct call *c, u32 regno)
{
	int err;

	if (!c->map)
		return bug(v, "a key without a map");
	err = mem_region(v, regno, c->map->spec.key_size, MEM_READ, false, c->name);
	if (!err && c->map->ops->traits & KIND_INDEXED)
		err = constant_key(v, reg_of(v, regno), c->map->spec.key_size, &c->const_key);
	return err;
}

/* ---- one argument ---- */

static int map_arg(struct verifier *v, struct call *c, const struct reg *r)
{
	if (c->map && (c->map != r->map || c->map_uid != r->map_uid))
		return reject(v, REJECT_MAP_OTHER, "timer pointer in R1 map_uid=%u doesn't match map pointer in R2 map_uid=%u", c->map_uid,
			      r->map_uid);
	c->map = r->map;
	c->map_uid = r->map_uid;
	return 0;
}

static int release_arg(struct verifier *v, struct call *c, u32 regno, u32 arg)
{
	const struct reg *r = reg_of(v, regno);

	if (kind_of(arg) == ARG_DYNPTR_HANDLE) {
		if (r->type != R_STACK)
			return reject(v, REJECT_REF_MISSING, "cannot release unowned const bpf_dynptr");
		if (!dynptr_is_owned(v, r))
			return reject(v, REJECT_REF_MISSING, "arg %u is an unacquired reference", regno);
	} else if (!r->ref && !reg_is_null(r)) {
		return reject(v, REJECT_REF_MISSING, "R%u must be referenced when passed to release function", regno);
	}
	c->release_reg = regno;
	return 0;
}

static int percpu_arg(struct verifier *v, struct call *c, const struct reg *r, u32 regno)
{
	if (!r->btf_id)
		return reject(v, REJECT_ARG_BTF_TYPE, "Helper has invalid btf_id in R%u", regno);
	c->obj_btf = r->btf;
	c->obj_id = r->btf_id;
	return 0;
}

static int fixed_arg(struct verifier *v, struct call *c, u32 regno, u32 arg)
{
	int err = mem_region(v, regno, param_of(arg), use_of(arg, true), false, c->name);

	if (!err && kind_of(arg) != ARG_FIXED)
		err = mem_aligned(v, regno, 0, param_of(arg), true);
	return err;
}

static int memory_arg(struct verifier *v, struct call *c, u32 regno, u32 arg)
{
	const struct reg *r = reg_of(v, regno);

	if (arg & ARG_IN_MAP && r->type != R_MAP_VALUE) /* it outlives the call */
		return reject(v, REJECT_ARG_TYPE, "Unsupported reg type %s for %s data", reg_type_name(v, r->type), c->name);
	return 0;
}

static int alloc_size_arg(struct verifier *v, struct call *c, const struct reg *r, u32 regno)
{
	if (!reg_is_const(r))
		return reject(v, REJECT_ARG_NOT_CONST, "R%u is not a known constant'", regno);
	c->mem_size = r->v.bits.value;
	return mark_precise(v, regno);
}

/* What it must point to, once its type is right. */
static int pointee_ok(struct verifier *v, struct call *c, u32 regno, u32 arg)
{
	const struct reg *r = reg_of(v, regno);
	u32 kind = kind_of(arg);

	switch (kind) {
	case ARG_MAP_HANDLE:
		return map_arg(v, c, r);
	case ARG_KEY:
		return key_arg(v, c, regno);
	case ARG_VALUE:
	case ARG_VALUE_OUT:
		if (!c->map)
			return bug(v, "a value without a map");
		return mem_region(v, regno, c->map->spec.value_size, use_of(arg, true), false, c->name);
	case ARG_PERCPU:
		return percpu_arg(v, c, r, regno);
	case ARG_SPIN_LOCK:
		if (in_graph_callback(v))
			return reject(v, REJECT_LOCK_IN_CALLBACK, "can't spin_{lock,unlock} in rbtree cb");
		return arg_lock(v, regno, c->helper->effects & EFFECT_LOCK ? LOCK_TAKE : 0);
	case ARG_TIMER:
		return arg_map_field(v, c, regno, BTF_TIMER);
	case ARG_CALLBACK:
		c->subprog = r->subprog;
		return 0;
	case ARG_MEM:
	case ARG_MEM_OUT:
	case ARG_MEM_RW:
		return memory_arg(v, c, regno, arg);
	case ARG_FIXED:
	case ARG_FIXED_OUT:
	case ARG_FIXED_RW:
		return fixed_arg(v, c, regno, arg);
	case ARG_SIZE:
	case ARG_SIZE_0:
		return arg_memory_pair(v, regno, use_of(c->helper->args[regno - 2], reg_is_const(r)), kind == ARG_SIZE_0, &c->most, c->name);
	case ARG_DYNPTR_HANDLE:
		return arg_dynptr(v, regno, arg, param_of(arg), 0);
	case ARG_ALLOC_SIZE:
		return alloc_size_arg(v, c, r, regno);
	case ARG_CSTRING:
		return arg_const_string(v, r, regno);
	case ARG_KPTR:
		return arg_kptr(v, c, regno);
	default:
		return 0;
	}
}

/* Some maps take or give another thing than bytes where others have values. */
static u32 value_arg(const struct call *c, u32 arg)
{
	u32 kind = kind_of(arg);

	if (!c->map)
		return arg;
	if (kind == ARG_VALUE && map_rules(c->map->spec.kind)->gives == GIVES_SOCKET)
		return ARG_BTF_SOCK;
	if (kind == ARG_VALUE_OUT && c->map->ops->traits & KIND_VALUE_IN)
		return ARG_VALUE;
	return arg;
}

static int packet_arg(struct verifier *v, const struct call *c)
{
	if (v->kind->flags & PT_PACKET_ANY_HELPER)
		return 0;
	if (v->kind->flags & PT_PACKET_READ && c->helper->effects & EFFECT_PACKET_ARGS)
		return 0;
	return reject(v, REJECT_ARG_PACKET, "helper access to the packet is not allowed");
}

int helper_arg(struct verifier *v, struct call *c, u32 i)
{
	u32 regno = i + 1, arg = c->helper->args[i], kind = kind_of(arg);
	const struct reg *r = reg_of(v, regno);
	bool null_passed;
	int err;

	if (kind == ARG_NONE)
		return 0;
	err = reg_check_read(v, regno);
	if (err)
		return err;
	if (kind == ARG_ANYTHING || kind == ARG_UNSAFE || kind == ARG_MAP_FLAGS_0) {
		if (v->allow_ptr_leaks || !reg_is_pointer(r))
			return 0;
		return reject(v, REJECT_ARG_LEAK, "R%u leaks addr into helper function", regno);
	}
	if (type_is_packet(r->type)) {
		err = packet_arg(v, c);
		if (err)
			return err;
	}
	if ((kind == ARG_VALUE || kind == ARG_VALUE_OUT) && arg != ARG_VALUE && c->map && map_rules(c->map->spec.kind)->gives == GIVES_SOCKET)
		return reject(v, REJECT_MAP_MISMATCH, "invalid arg_type for sockmap/sockhash");
	arg = value_arg(c, arg);
	kind = kind_of(arg);
	null_passed = arg & ARG_NULLABLE && reg_is_null(r);
	if (null_passed) {
		err = mark_precise_beyond(v, regno);
	} else {
		err = type_ok(v, c, regno, arg);
		if (!err && !(kind == ARG_DYNPTR_HANDLE && arg & ARG_RELEASES && r->type == R_STACK))
			err = arg_offset(v, r, regno, arg & ARG_RELEASES);
	}
	if (!err && arg & ARG_RELEASES)
		err = release_arg(v, c, regno, arg);
	if (err)
		return err;
	if (r->ref && kind != ARG_KPTR) {
		if (c->ref)
			return reject(v, REJECT_REF_TWICE, "more than one arg with ref_obj_id R%u %u %u", regno, r->ref, c->ref);
		c->ref = r->ref;
	}
	if (null_passed && (kind == ARG_VALUE || kind == ARG_VALUE_OUT))
		return 0;
	return pointee_ok(v, c, regno, arg);
}
