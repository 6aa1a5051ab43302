/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Access to memory: alignment, then the rule of the pointer's kind, then what a narrow load knows of its value. Calls' memory arguments go through
 * the same rules with the call's size.
 */
#include "verify/mem.h"

#include <stdio.h>

static access_rule access_stack;

/* By base type; what is missing is no address. */
static access_rule *const rules[] = {
	[R_CTX] = access_ctx, [R_MAP] = access_map_object, [R_MAP_VALUE] = access_map_value, [R_MAP_KEY] = access_map_key,
	[R_STACK] = access_stack, [R_PACKET_META] = access_packet, [R_PACKET] = access_packet, [R_FLOW_KEYS] = access_flow_keys,
	[R_SOCKET] = access_sock, [R_SOCK_COMMON] = access_sock, [R_TCP_SOCK] = access_sock, [R_TP_BUFFER] = access_tp_buffer,
	[R_XDP_SOCK] = access_sock, [R_BTF] = access_btf, [R_MEM] = access_mem, [R_ARENA] = access_arena, [R_BUFFER] = access_buffer,
};

static access_rule *rule_of(u32 type)
{
	u32 base = reg_base(type);

	return type & R_NULLABLE || base >= ARRAY_SIZE(rules) ? NULL : rules[base];
}

/* ---- alignment ---- */

static int aligned(struct verifier *v, const struct reg *r, s32 off, u32 size, bool strict_once)
{
	static const char *const names[] = {[R_FLOW_KEYS] = "flow keys ", [R_MAP_KEY] = "key ", [R_MAP_VALUE] = "value ", [R_CTX] = "context ",
					    [R_STACK] = "stack ", [R_SOCKET] = "sock ", [R_SOCK_COMMON] = "sock_common ", [R_TCP_SOCK] = "tcp_sock ",
					    [R_XDP_SOCK] = "xdp_sock "};
	enum { PACKET_SHIFT = 2 }; /* a packet's IP header, 14 bytes in, is taken to be aligned to four */
	bool strict = v->strict_align || strict_once || r->type == R_STACK;
	u32 shift = type_is_packet(r->type) ? PACKET_SHIFT : 0, base = reg_base(r->type);
	char bits[48];
	struct tnum at;
	u64 set;

	if (!strict || size == 1 || base == R_ARENA)
		return 0;
	at = tnum_add(r->v.bits, tnum_const((u64)(s64)((s32)shift + r->off + off)));
	if (tnum_aligned(at, size))
		return 0;
	tnum_text(bits, sizeof(bits), r->v.bits);
	if (shift)
		reject(v, REJECT_MISALIGNED, "misaligned packet access off %u+%s+%d+%d size %u", shift, bits, r->off, off, size);
	else
		reject(v, REJECT_MISALIGNED, "misaligned %saccess off %s+%d+%d size %u",
		       r->type == base && base < ARRAY_SIZE(names) && names[base] ? names[base] : "", bits, r->off, off, size);
	set = at.value | at.mask;
	reject_at(v, v->why->reg, size, (s64)(set & (0 - set)));
	return v->why->err;
}

int mem_aligned(struct verifier *v, u32 regno, s32 off, u32 size, bool strict)
{
	return aligned(v, reg_of(v, regno), off, size, strict);
}

/* ---- loads and stores ---- */

static int access_stack(struct verifier *v, struct access *a)
{
	int err = stack_bounds(v, a->regno, a->ptr, a->off, a->size, a->use | MEM_DIRECT);

	if (err)
		return err;
	if (access_writes(a))
		return stack_write(v, a->ptr, a->regno, a->off, a->size, a->value_reg, a->insn);
	return stack_read(v, a->ptr, a->regno, a->off, a->size, a->value_reg);
}

int mem_access(struct verifier *v, u32 insn, u32 regno, s32 off, u32 size, u32 use, s32 value_reg, bool strict, bool sign_extend)
{
	struct reg *r = reg_of(v, regno);
	struct access a = {.insn = insn, .regno = regno, .size = size, .off = off + r->off, .value_reg = value_reg, .use = use, .sign_extend = sign_extend,
			   .ptr = r};
	access_rule *rule = rule_of(r->type);
	int err = aligned(v, r, off, size, strict);

	if (err) {
		reject_reg(v, regno);
		return err;
	}
	if (!rule) {
		reject(v, reg_is_scalar(r) ? REJECT_ACCESS_SCALAR : r->type & R_NULLABLE ? REJECT_MAYBE_NULL : REJECT_ACCESS_KIND,
		       "R%u invalid mem access '%s'", regno, reg_type_name(v, r->type));
		reject_reg(v, regno);
		return v->why->err;
	}
	err = rule(v, &a);
	if (!err && size < 8 && value_reg >= 0 && use & MEM_READ && reg_is_scalar(reg_of(v, (u32)value_reg))) {
		struct reg *dst = reg_of(v, (u32)value_reg);

		if (sign_extend)
			scalar_sext(&dst->v, size);
		else
			scalar_zext(&dst->v, size);
	}
	return err;
}

static bool atomic_target(const struct verifier *v, const struct reg *r, bool arena_ok)
{
	switch (reg_base(r->type)) {
	case R_CTX: return v->kind->ctx->flags & CTX_TYPE_FLAT && v->kind->ctx->flags & CTX_TYPE_WRITABLE;
	case R_PACKET:
	case R_PACKET_META:
	case R_FLOW_KEYS:
	case R_SOCKET:
	case R_SOCK_COMMON:
	case R_TCP_SOCK:
	case R_XDP_SOCK: return false;
	case R_ARENA: return arena_ok;
	default: return true;
	}
}

/* Loads and stores that order others may not go where the access is rewritten. */
int mem_ordered(struct verifier *v, const struct insn *in)
{
	u32 regno = in->op == OP_LOAD_ACQ ? in->src : in->dst;
	int err = reg_check_read(v, regno);
	const struct reg *r = reg_of(v, regno);

	if (err || atomic_target(v, r, true))
		return err;
	return reject(v, REJECT_ATOMIC_TARGET, in->op == OP_LOAD_ACQ ? "BPF_ATOMIC loads from R%u %s is not allowed" : "BPF_ATOMIC stores into R%u %s is not allowed",
		      regno, reg_type_name(v, r->type));
}

int mem_atomic(struct verifier *v, const struct insn *in)
{
	bool fetches = in->op == OP_CMPXCHG || op_table[in->op].flags & OPF_FETCH;
	s32 load = !fetches ? -1 : in->op == OP_CMPXCHG ? 0 : in->src;
	struct reg *r = reg_of(v, in->dst);
	u32 type;
	int err = reg_check_read(v, in->src);

	err = err ? err : reg_check_read(v, in->dst);
	if (!err && in->op == OP_CMPXCHG)
		err = reg_check_read(v, 0);
	if (err)
		return err;
	if (in->op == OP_CMPXCHG && !v->allow_ptr_leaks && reg_is_pointer(reg_of(v, 0)))
		return reject(v, REJECT_POINTER_LEAK, "R0 leaks addr into mem");
	if (!v->allow_ptr_leaks && reg_is_pointer(reg_of(v, in->src)))
		return reject(v, REJECT_POINTER_LEAK, "R%u leaks addr into mem", in->src);
	if (!atomic_target(v, r, true))
		return reject(v, REJECT_ATOMIC_TARGET, "BPF_ATOMIC stores into R%u %s is not allowed", in->dst, reg_type_name(v, r->type));
	if (load >= 0) {
		err = reg_check_write(v, (u32)load);
		if (err)
			return err;
	}
	type = r->type;
	note_access(v, r);
	/* It is a load, and a store of something else. */
	err = mem_access(v, v->insn, in->dst, in->off, in->width, MEM_READ, -1, true, false);
	if (!err && load >= 0)
		err = mem_access(v, v->insn, in->dst, in->off, in->width, MEM_READ, load, true, false);
	err = err ? err : note_pointer_kind(v, type, false);
	return err ? err : mem_access(v, v->insn, in->dst, in->off, in->width, MEM_WRITE, -1, true, false);
}

/* ---- calls' memory ---- */

static int region_refused(struct verifier *v, const struct reg *r, u32 regno, u64 size, bool zero_size)
{
	char type[96];

	if (zero_size && size == 0 && reg_is_null(r))
		return 0;
	snprintf(type, sizeof(type), "%s", reg_type_name(v, r->type));
	reject(v, r->type & R_NULLABLE ? REJECT_MAYBE_NULL : REJECT_ARGUMENT_TYPE, "R%u type=%s expected=%s", regno, type, reg_type_name(v, R_STACK));
	reject_reg(v, regno);
	return v->why->err;
}

static int region_writable(struct verifier *v, const struct reg *r, u32 regno, u32 use)
{
	if (use & MEM_WRITE && (r->type & R_RDONLY || r->type == R_MAP_KEY))
		return reject(v, REJECT_READ_ONLY, "R%u cannot write into %s", regno, reg_type_name(v, r->type));
	return 0;
}

int mem_region(struct verifier *v, u32 regno, u64 size, u32 use, bool zero_size, const char *who)
{
	struct reg *r = reg_of(v, regno);
	int err;

	(void)who;
	switch (reg_base(r->type)) {
	case R_PACKET:
	case R_PACKET_META: return packet_bounds(v, regno, r->off, (s64)size, zero_size);
	case R_MAP_KEY:
		err = region_writable(v, r, regno, use);
		return err ? err : mem_bounds(v, regno, r->off, (s64)size, r->map->spec.key_size, false);
	case R_MAP_VALUE:
		err = map_may_access(v, r, r->off, (s64)size, use);
		return err ? err : mem_map_value(v, regno, r->off, (s32)size, zero_size, 0);
	case R_MEM:
		err = region_writable(v, r, regno, use);
		return err ? err : mem_bounds(v, regno, r->off, (s64)size, r->mem_size, zero_size);
	case R_BUFFER:
		err = region_writable(v, r, regno, use);
		return err ? err : buffer_bounds(v, r, regno, r->off, (s64)size, r->type & R_RDONLY ? "rdonly" : "rdwr");
	case R_STACK: return stack_range(v, regno, r, r->off, size, zero_size, use);
	case R_BTF: return btf_pointer_access(v, r, regno, r->off, (u32)size, MEM_READ, -1);
	case R_CTX:
		if (v->kind->ctx->flags & (CTX_TYPE_FLAT | CTX_TYPE_AS_IS)) {
			if (size == 0) {
				if (zero_size)
					return 0;
				reject_err(v, REJECT_SIZE_ZERO, EACCES, "R%u invalid zero-sized read", regno);
				return reject_measured(v, 1, 0);
			}
			return mem_access(v, v->insn, regno, (s32)size - 1, 1, use & MEM_WRITE ? MEM_WRITE : MEM_READ, -1, false, false);
		}
		return region_refused(v, r, regno, size, zero_size);
	default: return region_refused(v, r, regno, size, zero_size);
	}
}

int mem_raw_commit(struct verifier *v)
{
	int err = 0;

	for (u32 i = 0; i < v->raw_size && !err; i++)
		err = mem_access(v, v->insn, v->raw_regno, (s32)i, 1, MEM_WRITE, -1, false, false);
	if (!err && v->raw_size) {
		struct reg *r = reg_of(v, v->raw_regno);
		s32 low = r->off + (s32)r->v.bits.value;

		/* slots that lie wholly within are overwritten */
		for (s32 slot = (s32)ALIGN_UP((u32)(low + STACK_BYTES), 8u) - STACK_BYTES; slot + 8 <= low + (s32)v->raw_size; slot += 8)
			v->cur->stack_written[r->frame] |= 1ull << slot_of(slot);
	}
	v->raw_size = 0;
	return err;
}

int mem_fixed_pointer(struct verifier *v, const struct reg *r, u32 regno, bool fixed_off_ok)
{
	char bits[48], type[96];

	snprintf(type, sizeof(type), "%s", reg_type_name(v, r->type));
	if (r->off < 0)
		return reject(v, REJECT_POINTER_MODIFIED, "negative offset %s ptr R%u off=%d disallowed", type, regno, r->off);
	if (!fixed_off_ok && r->off)
		return reject(v, REJECT_POINTER_MODIFIED, "dereference of modified %s ptr R%u off=%d disallowed", type, regno, r->off);
	if (!scalar_is_const(&r->v) || r->v.bits.value)
		return reject(v, REJECT_POINTER_MODIFIED, "variable %s access var_off=%s disallowed", type, tnum_text(bits, sizeof(bits), r->v.bits));
	return 0;
}
