/* SPDX-License-Identifier: BSD-2-Clause */
/* Plain memory by kind of pointer: map keys and values, ring records and other memory of a known size, packets, buffers, arenas. */
#include "verify/mem.h"
#include "verify/call.h"

#include <stdio.h>

int access_leaks(struct verifier *v, const struct access *a, const char *where)
{
	if (!access_writes(a) || a->value_reg < 0 || v->allow_ptr_leaks || !reg_is_pointer(reg_of(v, (u32)a->value_reg)))
		return 0;
	return reject(v, REJECT_POINTER_LEAK, "R%d leaks addr into %s", a->value_reg, where);
}

const char *tnum_text(char *to, size_t size, struct tnum t)
{
	if (t.mask)
		snprintf(to, size, "(0x%llx; 0x%llx)", (unsigned long long)t.value, (unsigned long long)t.mask);
	else
		snprintf(to, size, t.value <= UINT16_MAX ? "%llu" : "%#llx", (unsigned long long)t.value);
	return to;
}

/* ---- bounds ---- */

static int outside(struct verifier *v, u32 regno, s64 off, s64 size, u32 mem_size)
{
	const struct reg *r = reg_of(v, regno);

	switch (r->type) {
	case R_MAP_KEY:
		reject(v, REJECT_MAP_KEY_BOUNDS, "invalid access to map key, key_size=%d off=%lld size=%lld", (s32)mem_size, (long long)off, (long long)size);
		break;
	case R_MAP_VALUE:
		reject(v, REJECT_MAP_VALUE_BOUNDS, "invalid access to map value, value_size=%d off=%lld size=%lld", (s32)mem_size, (long long)off,
		       (long long)size);
		break;
	case R_PACKET:
	case R_PACKET_META:
	case R_PACKET_END:
		reject(v, REJECT_PACKET_BOUNDS, "invalid access to packet, off=%lld size=%lld, R%u(id=%u,off=%lld,r=%d)", (long long)off, (long long)size,
		       regno, r->id, (long long)off, (s32)mem_size);
		break;
	default:
		reject(v, REJECT_MEMORY_BOUNDS, "invalid access to memory, mem_size=%u off=%lld size=%lld", mem_size, (long long)off, (long long)size);
	}
	reject_at(v, (s32)regno, off + size, mem_size);
	return v->why->err;
}

static int inside(struct verifier *v, u32 regno, s64 off, s64 size, u32 mem_size, bool zero_size)
{
	bool size_ok = size > 0 || (size == 0 && zero_size);

	return off >= 0 && size_ok && (u64)off + (u64)size <= mem_size ? 0 : outside(v, regno, off, size, mem_size);
}

int mem_bounds(struct verifier *v, u32 regno, s32 off, s64 size, u32 mem_size, bool zero_size)
{
	const struct reg *r = reg_of(v, regno);
	s64 low = r->v.smin;
	int err;

	if (low < 0 && (low == INT64_MIN || off + low != (s64)(s32)(off + low) || low + off < 0)) {
		reject(v, REJECT_NEGATIVE_OFFSET, "R%u min value is negative, either use unsigned index or do a if (index >=0) check.", regno);
		reject_at(v, (s32)regno, 0, low);
		return v->why->err;
	}
	err = inside(v, regno, low + off, size, mem_size, zero_size);
	if (err) {
		log_add(v, "R%u min value is outside of the allowed memory range\n", regno);
		snprintf(v->why->text, sizeof(v->why->text), "R%u min value is outside of the allowed memory range", regno);
		return err;
	}
	if (r->v.umax >= VARIABLE_MOST) {
		reject(v, REJECT_UNBOUNDED, "R%u unbounded memory access, make sure to bounds check any such access", regno);
		reject_at(v, (s32)regno, (s64)mem_size - size - off, (s64)r->v.umax);
		return v->why->err;
	}
	err = inside(v, regno, (s64)r->v.umax + off, size, mem_size, zero_size);
	if (err) {
		log_add(v, "R%u max value is outside of the allowed memory range\n", regno);
		snprintf(v->why->text, sizeof(v->why->text), "R%u max value is outside of the allowed memory range", regno);
		if (!scalar_is_const(&r->v))
			reject_at(v, (s32)regno, (s64)mem_size - size - off, (s64)r->v.umax);
	}
	return err;
}

/* ---- maps ---- */

int access_map_key(struct verifier *v, struct access *a)
{
	int err;

	if (access_writes(a))
		return reject(v, REJECT_READ_ONLY, "write to change key R%u not allowed", a->regno);
	err = mem_bounds(v, a->regno, a->off, a->size, a->ptr->map->spec.key_size, false);
	if (!err)
		access_unknown(v, a);
	return err;
}

int map_may_access(struct verifier *v, const struct reg *ptr, s32 off, s64 size, u32 use)
{
	const struct map *m = ptr->map;

	if (use & MEM_WRITE && m->spec.flags & BPF_F_RDONLY_PROG)
		return reject(v, REJECT_READ_ONLY, "write into map forbidden, value_size=%u off=%d size=%lld", m->spec.value_size, off, (long long)size);
	if (use & MEM_READ && m->spec.flags & BPF_F_WRONLY_PROG)
		return reject(v, REJECT_WRITE_ONLY, "read from map forbidden, value_size=%u off=%d size=%lld", m->spec.value_size, off, (long long)size);
	return 0;
}

static int special_touched(struct verifier *v, const struct reg *r, const struct btf_field *f, s32 off, s64 size, bool direct)
{
	if (!(f->kind & (BTF_KPTR | BTF_UPTR)))
		return reject(v, REJECT_SPECIAL_FIELD, "%s cannot be accessed directly by load/store", btf_field_name(f->kind));
	if (!direct)
		return reject(v, REJECT_SPECIAL_FIELD, "%s cannot be accessed indirectly by helper", btf_field_name(f->kind));
	if (!scalar_is_const(&r->v))
		return reject(v, REJECT_SPECIAL_FIELD, "%s access cannot have variable offset", btf_field_name(f->kind));
	if (f->offset != (u64)off + r->v.bits.value)
		return reject(v, REJECT_SPECIAL_FIELD, "%s access misaligned expected=%u off=%llu", btf_field_name(f->kind), f->offset,
			      (unsigned long long)((u64)off + r->v.bits.value));
	if (size != 8)
		return reject(v, REJECT_SPECIAL_FIELD, "%s access size must be BPF_DW", btf_field_name(f->kind));
	return 0;
}

static int map_value_range(struct verifier *v, u32 regno, s32 off, s64 size, bool zero_size, bool direct)
{
	const struct reg *r = reg_of(v, regno);
	const struct btf_record *rec = special_fields(r);
	int err = mem_bounds(v, regno, off, size, r->map->spec.value_size, zero_size);

	for (u32 i = 0; rec && !err && i < rec->n; i++) {
		const struct btf_field *f = &rec->fields[i];

		if (r->v.smin + off < (s64)f->offset + f->size && f->offset < r->v.umax + (u64)(s64)off + (u64)size)
			err = special_touched(v, r, f, off, size, direct);
	}
	return err;
}

int mem_map_value(struct verifier *v, u32 regno, s32 off, s32 size, bool zero_size, u32 use)
{
	return map_value_range(v, regno, off, size, zero_size, use & MEM_DIRECT);
}

static int access_kptr(struct verifier *v, const struct access *a, const struct btf_field *f)
{
	const struct insn *in = &v->insns[a->insn];
	bool load = in->op == OP_LDX;

	if (in->op != OP_LDX && in->op != OP_STX && in->op != OP_ST)
		return reject_err(v, REJECT_KPTR, EACCES, "kptr in map can only be accessed using BPF_MEM instruction mode");
	if (!load && f->kind & (BTF_KPTR_REF | BTF_KPTR_PERCPU))
		return reject_err(v, REJECT_KPTR, EACCES, "store to referenced kptr disallowed");
	if (!load && f->kind & BTF_UPTR)
		return reject_err(v, REJECT_KPTR, EACCES, "store to uptr disallowed");
	if (load)
		return a->value_reg >= 0 ? kptr_load(v, f, reg_of(v, (u32)a->value_reg)) : 0;
	if (in->op == OP_ST)
		return in->imm ? reject_err(v, REJECT_KPTR, EACCES, "BPF_ST imm must be 0 when storing to kptr at off=%u", f->offset) : 0;
	if (reg_is_null(reg_of(v, (u32)a->value_reg)))
		return mark_precise(v, (u32)a->value_reg);
	return kptr_matches(v, f, reg_of(v, (u32)a->value_reg), (u32)a->value_reg) ? -EACCES : 0;
}

/* Global data that neither side can change any more is known. */
static bool constant_data(const struct map *m)
{
	return m->frozen && m->settled;
}

static void load_constant(struct verifier *v, const struct access *a, u32 off)
{
	const u8 *at = a->ptr->map->values + off;
	u64 x = a->size == 1 ? *at : a->size == 2 ? LOAD_AS(u16, at) : a->size == 4 ? LOAD_AS(u32, at) : LOAD_AS(u64, at);

	if (a->sign_extend)
		x = a->size == 1 ? (u64)(s64)(s8)x : a->size == 2 ? (u64)(s64)(s16)x : (u64)(s64)(s32)x;
	reg_set_const(reg_of(v, (u32)a->value_reg), x);
}

int access_map_value(struct verifier *v, struct access *a)
{
	const struct btf_field *kptr = NULL;
	int err = access_leaks(v, a, "map");

	err = err ? err : map_may_access(v, a->ptr, a->off, a->size, a->use);
	err = err ? err : map_value_range(v, a->regno, a->off, a->size, false, true);
	if (err)
		return err;
	if (scalar_is_const(&a->ptr->v))
		kptr = btf_record_find(special_fields(a->ptr), (u32)a->off + (u32)a->ptr->v.bits.value, BTF_KPTR | BTF_UPTR);
	if (kptr)
		return access_kptr(v, a, kptr);
	if (!access_writes(a) && a->value_reg >= 0 && scalar_is_const(&a->ptr->v) && constant_data(a->ptr->map))
		load_constant(v, a, (u32)a->off + (u32)a->ptr->v.bits.value);
	else
		access_unknown(v, a);
	return 0;
}

/* ---- memory of a known size ---- */

int access_mem(struct verifier *v, struct access *a)
{
	int err;

	if (access_writes(a) && a->ptr->type & R_RDONLY)
		return reject(v, REJECT_READ_ONLY, "R%u cannot write into %s", a->regno, reg_type_name(v, a->ptr->type));
	err = access_leaks(v, a, "mem");
	/* Memory that is only claimed to be there is probed: any offset may be tried. */
	if (!err && !(a->ptr->type & R_UNTRUSTED))
		err = mem_bounds(v, a->regno, a->off, a->size, a->ptr->mem_size, false);
	if (!err)
		access_unknown(v, a);
	return err;
}

/* ---- packets ---- */

int packet_bounds(struct verifier *v, u32 regno, s32 off, s64 size, bool zero_size)
{
	const struct reg *r = reg_of(v, regno);
	int err;

	if (r->v.smin < 0) {
		reject(v, REJECT_NEGATIVE_OFFSET, "R%u min value is negative, either use unsigned index or do a if (index >=0) check.", regno);
		reject_at(v, (s32)regno, 0, r->v.smin);
		return v->why->err;
	}
	if (r->range < 0) {
		reject_err(v, REJECT_PACKET_BOUNDS, EINVAL, "R%u offset is outside of the packet", regno);
		reject_at(v, (s32)regno, off + size, 0);
		return v->why->err;
	}
	err = inside(v, regno, off, size, (u32)r->range, zero_size);
	if (err) {
		log_add(v, "R%u offset is outside of the packet\n", regno);
		snprintf(v->why->text, sizeof(v->why->text), "R%u offset is outside of the packet", regno);
	}
	return err;
}

int access_packet(struct verifier *v, struct access *a)
{
	int err;

	if (access_writes(a) && !(v->kind->flags & PT_PACKET_WRITE))
		return reject(v, REJECT_READ_ONLY, "cannot write into packet");
	err = access_leaks(v, a, "packet");
	err = err ? err : packet_bounds(v, a->regno, a->off, a->size, false);
	if (!err)
		access_unknown(v, a);
	return err;
}

/* ---- buffers whose size the attachment tells ---- */

int buffer_bounds(struct verifier *v, const struct reg *ptr, u32 regno, s32 off, s64 size, const char *what)
{
	char bits[48];

	if (off < 0)
		return reject(v, REJECT_BUFFER_BOUNDS, "R%u invalid %s buffer access: off=%d, size=%lld", regno, what, off, (long long)size);
	if (!scalar_is_const(&ptr->v) || ptr->v.bits.value)
		return reject(v, REJECT_BUFFER_BOUNDS, "R%u invalid variable buffer offset: off=%d, var_off=%s", regno, off,
			      tnum_text(bits, sizeof(bits), ptr->v.bits));
	return 0;
}

int access_buffer(struct verifier *v, struct access *a)
{
	bool rdonly = a->ptr->type & R_RDONLY;
	int err;

	if (rdonly && access_writes(a))
		return reject(v, REJECT_READ_ONLY, "R%u cannot write into %s", a->regno, reg_type_name(v, a->ptr->type));
	err = buffer_bounds(v, a->ptr, a->regno, a->off, a->size, rdonly ? "rdonly" : "rdwr");
	if (!err)
		access_unknown(v, a);
	return err;
}

int access_tp_buffer(struct verifier *v, struct access *a)
{
	int err = buffer_bounds(v, a->ptr, a->regno, a->off, a->size, "tracepoint");

	if (err)
		return err;
	access_reaches(v, a, REACH_BUFFER);
	access_unknown(v, a);
	return 0;
}

int access_arena(struct verifier *v, struct access *a)
{
	access_unknown(v, a);
	return 0;
}
