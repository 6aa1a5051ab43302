/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack: 512 bytes per frame, tracked in slots of eight. A slot remembers a register that was spilled there whole (or a number, narrower), and
 * per byte whether it was written at all, is zero, or belongs to something opaque (dynptr, iterator, saved flags).
 *
 * Every read of a slot is noted for liveness; every spill and fill in the path's history, so that precision finds the way through memory.
 */
#include "verify/mem.h"

u32 slot_of(s32 off)
{
	return (u32)(-off - 1) / SLOT_BYTES;
}

static u8 byte_kind(const struct frame *f, s32 off)
{
	return stack_at(f, slot_of(off))->kind[(u32)(-off - 1) % SLOT_BYTES];
}

static void set_byte(struct verifier *v, struct frame *f, s32 off, u8 kind)
{
	if (byte_kind(f, off) != kind)
		stack_edit(v, f, slot_of(off))->kind[(u32)(-off - 1) % SLOT_BYTES] = kind;
}

static void scratch_slot(struct verifier *v, u32 slot)
{
	v->scratched_slots |= 1ull << slot;
}

static u8 misc_kind(const struct verifier *v, u8 kind)
{
	return kind == S_ZERO || (v->allow_ptr_leaks && kind == S_NONE) ? kind : S_MISC;
}

/* A slot whose register is written over: its other bytes are plain. Beside a narrow register they may have been zero, which Linux keeps only if it does not
 * know the place that is written. */
static void scrub(struct verifier *v, struct frame *f, u32 slot, bool zeros_stay)
{
	struct stack_slot *s;

	if (!stack_is_spill(stack_at(f, slot)))
		return;
	s = stack_edit(v, f, slot);
	for (u32 i = 0; i < SLOT_BYTES; i++)
		if (s->kind[i] == S_SPILL || (s->kind[i] == S_ZERO && !zeros_stay))
			s->kind[i] = S_MISC;
}

static bool special_kind(u8 kind)
{
	return kind == S_DYNPTR || kind == S_ITER || kind == S_IRQ;
}

/* What is opaque and written over is gone; where that would lose a reference, the write is refused. */
static int destroy_special(struct verifier *v, struct frame *f, u32 slot)
{
	const struct stack_slot *was = stack_at(f, slot);
	struct stack_slot *s;

	if (was->kind[SLOT_BYTES - 1] == S_DYNPTR || was->kind[0] == S_DYNPTR)
		return dynptr_overwritten(v, f, slot);
	if (!special_kind(was->kind[SLOT_BYTES - 1]) && !special_kind(was->kind[0]))
		return 0;
	s = stack_edit(v, f, slot);
	for (u32 i = 0; i < SLOT_BYTES; i++)
		if (special_kind(s->kind[i]))
			s->kind[i] = S_NONE;
	reg_set_none(&s->reg);
	return 0;
}

/* Narrow spills keep the low bytes; big-endian hosts would keep the high ones. */
static bool narrow_fill_ok(s32 off, u32 size, u32 spilled)
{
	return (u32)-off % SLOT_BYTES == 0 && size <= spilled;
}

static struct reg *spill(struct verifier *v, struct frame *f, u32 slot, const struct reg *r, u32 size)
{
	struct stack_slot *s = stack_edit(v, f, slot);

	s->reg = *r;
	if (size == SLOT_BYTES)
		stack_note_write(v, f->number, slot);
	for (u32 i = 0; i < SLOT_BYTES; i++)
		s->kind[i] = i >= SLOT_BYTES - size ? S_SPILL : misc_kind(v, s->kind[i] == S_SPILL ? S_MISC : s->kind[i]);
	return &s->reg;
}

static bool pointer_spillable(u32 type)
{
	switch (reg_base(type)) {
	case R_NONE:
	case R_SCALAR:
	case R_DYNPTR: return false;
	default: return true;
	}
}

static u32 known_width(const struct scalar *s) /* bits that may be set */
{
	return s->umax ? 64 - (u32)__builtin_clzll(s->umax) : 0;
}

static int write_plain(struct verifier *v, struct frame *f, s32 off, u32 size, s32 value_reg, bool zero)
{
	u32 slot = slot_of(off);

	scrub(v, f, slot, false);
	if (size == SLOT_BYTES)
		stack_note_write(v, f->number, slot);
	if (zero && value_reg >= 0) {
		int err = mark_precise(v, (u32)value_reg); /* no way back leads through bytes that are zero */

		if (err)
			return err;
	}
	for (u32 i = 0; i < size; i++)
		set_byte(v, f, off + (s32)i, zero ? S_ZERO : S_MISC);
	return 0;
}

static int reject_of_slot(struct verifier *v, const struct frame *f, u32 slot, int err)
{
	reject_slot(v, f->number, slot);
	return err;
}

static int write_fixed(struct verifier *v, struct frame *f, s32 off, u32 size, s32 value_reg, const struct insn *in)
{
	u32 slot = slot_of(off);
	const struct stack_slot *was = stack_at(f, slot);
	struct reg *r = value_reg >= 0 ? reg_of(v, (u32)value_reg) : NULL;
	bool imm = !r && in->op == OP_ST, aligned = (u32)-off % SLOT_BYTES == 0;
	int err;

	if (!v->allow_ptr_leaks && stack_is_spill(was) && was->reg.type != R_SCALAR && size != SLOT_BYTES)
		return reject_of_slot(v, f, slot, reject(v, REJECT_SPILL_CORRUPTED, "attempt to corrupt spilled pointer on stack"));
	err = destroy_special(v, f, slot);
	if (err)
		return err;
	scratch_slot(v, slot);
	if (r && aligned && r->type == R_SCALAR && v->priv) {
		bool fits = known_width(&r->v) <= size * 8;
		struct reg *spilled;

		if (fits)
			assign_scalar_id(v, r);
		spilled = spill(v, f, slot, r, size);
		if (!fits)
			unlink_scalar(spilled);
	} else if (imm && aligned && v->priv) {
		struct reg value;

		reg_set_none(&value);
		reg_set_const(&value, (u64)in->imm);
		spill(v, f, slot, &value, size);
	} else if (r && pointer_spillable(r->type)) {
		if (size != SLOT_BYTES) {
			reject(v, REJECT_SPILL_SIZE, "invalid size of register spill");
			reject_at(v, value_reg, SLOT_BYTES, size);
			return v->why->err;
		}
		if (f != cur_frame(v->cur) && r->type == R_STACK)
			return reject(v, REJECT_STACK_ESCAPES, "cannot spill pointers to stack into stack frame of the caller");
		spill(v, f, slot, r, size);
	} else {
		return write_plain(v, f, off, size, value_reg, (r && reg_is_null(r)) || (imm && in->imm == 0));
	}
	return hist_push(v, v->cur, hist_stack(f->number, slot), 0);
}

static int write_variable(struct verifier *v, struct frame *f, const struct reg *ptr, s32 off, u32 size, s32 value_reg, const struct insn *in)
{
	const struct reg *r = value_reg >= 0 ? reg_of(v, (u32)value_reg) : NULL;
	bool zero = (r && reg_is_null(r)) || (!r && in->op == OP_ST && in->imm == 0), zero_used = false;
	s32 min = (s32)(ptr->v.smin + off), max = (s32)(ptr->v.smax + off + size);

	for (s32 i = min; i < max; i++) {
		int err = destroy_special(v, f, slot_of(i));

		if (err)
			return err;
	}
	for (s32 i = min; i < max; i++) {
		const struct stack_slot *s = stack_at(f, slot_of(i));
		u8 kind = byte_kind(f, i);
		bool kept_zero;

		scratch_slot(v, slot_of(i));
		if (!v->allow_ptr_leaks && kind != S_MISC && kind != S_ZERO)
			return reject_of_slot(v, f, slot_of(i),
					      reject_err(v, REJECT_SPILL_CORRUPTED, EINVAL,
							 "spilled ptr in range of var-offset stack write; insn %u, ptr off: %d", v->insn, i));
		if (zero && kind == S_SPILL && stack_is_scalar(s) && reg_is_null(&s->reg)) {
			zero_used = true;
			continue;
		}
		scrub(v, f, slot_of(i), true);
		kind = byte_kind(f, i);
		kept_zero = zero && kind == S_ZERO;
		zero_used |= kept_zero;
		if (kind == S_NONE && !v->allow_uninit_stack)
			return reject_of_slot(v, f, slot_of(i),
					      reject_err(v, REJECT_STACK_UNINITIALISED, EINVAL,
							 "uninit stack in range of var-offset write prohibited for !root; insn %u, off: %d", v->insn, i));
		set_byte(v, f, i, kept_zero ? S_ZERO : S_MISC);
	}
	return zero_used && value_reg >= 0 ? mark_precise(v, (u32)value_reg) : 0;
}

int stack_write(struct verifier *v, struct reg *ptr, u32 regno, s32 off, u32 size, s32 value_reg, u32 insn)
{
	struct frame *f = v->cur->frame[ptr->frame];
	const struct insn *in = &v->insns[insn];

	if (regno != REG_FP)
		stack_indirect(v, f, (s32)ptr->v.smin + off, (s32)ptr->v.smax + off + (s32)size);
	if (scalar_is_const(&ptr->v))
		return write_fixed(v, f, off + (s32)ptr->v.bits.value, size, value_reg, in);
	return write_variable(v, f, ptr, off, size, value_reg, in);
}

/* ---- reading ---- */

static void note_read(struct verifier *v, const struct frame *f, u32 slot)
{
	stack_note_read(v, v->cur, f->number, slot);
	live_stack_read(v, f->number, slot);
}

static int read_uninitialised(struct verifier *v, const struct frame *f, s32 off, u32 i, u32 size)
{
	reject(v, REJECT_STACK_UNINITIALISED, "invalid read from stack off %d+%u size %u", off, i, size);
	reject_slot(v, f->number, slot_of(off + (s32)i));
	return v->why->err;
}

/* The bytes, none of which is a register as a whole, as a number. */
static void set_from_bytes(struct verifier *v, struct frame *f, s32 min, s32 max, struct reg *dst)
{
	bool zero = true;

	for (s32 i = min; i < max && zero; i++) {
		scratch_slot(v, slot_of(i)); /* the log shows what was looked at */
		zero = byte_kind(f, i) == S_ZERO;
	}
	if (zero)
		reg_set_const(dst, 0);
	else
		reg_set_unknown(v, dst);
}

/* Part of a spilled number, or bytes across its end. *fill: it is the register again. */
static int read_part(struct verifier *v, struct frame *f, s32 off, u32 size, u32 spilled, struct reg *dst, bool *fill)
{
	const struct stack_slot *s = stack_at(f, slot_of(off));
	u32 spills = 0, zeros = 0;

	if (narrow_fill_ok(off, size, spilled)) {
		u32 def32 = dst->def32;

		*dst = s->reg;
		dst->def32 = def32;
		if (known_width(&s->reg.v) > size * 8)
			unlink_scalar(dst);
		return 0;
	}
	for (u32 i = 0; i < size; i++) {
		u8 kind = byte_kind(f, off + (s32)i);

		spills += kind == S_SPILL;
		zeros += kind == S_ZERO;
		if (kind != S_SPILL && kind != S_MISC && kind != S_ZERO && !(kind == S_NONE && v->allow_uninit_stack))
			return read_uninitialised(v, f, off, i, size);
	}
	*fill = spills == size && reg_is_null(&s->reg);
	if (*fill || zeros == size)
		reg_set_const(dst, 0);
	else
		reg_set_unknown(v, dst);
	return 0;
}

static int read_spilled(struct verifier *v, struct frame *f, s32 off, u32 size, struct reg *dst, bool *fill)
{
	u32 slot = slot_of(off), spilled = 1;
	const struct stack_slot *s = stack_at(f, slot);

	while (spilled < SLOT_BYTES && s->kind[SLOT_BYTES - 1 - spilled] == S_SPILL)
		spilled++;
	*fill = true;
	if (size != SLOT_BYTES || spilled != SLOT_BYTES) {
		if (s->reg.type != R_SCALAR) {
			reject(v, REJECT_FILL_SIZE, "invalid size of register fill");
			reject_at(v, -1, SLOT_BYTES, MIN(size, spilled));
			reject_slot(v, f->number, slot);
			return v->why->err;
		}
		note_read(v, f, slot);
		return dst ? read_part(v, f, off, size, spilled, dst, fill) : 0;
	}
	if (dst)
		*dst = s->reg;
	else if (!v->allow_ptr_leaks && reg_is_pointer(&s->reg))
		return reject(v, REJECT_POINTER_LEAK, "leaking pointer from stack off %d", off);
	note_read(v, f, slot);
	return 0;
}

static int read_fixed(struct verifier *v, struct frame *f, s32 off, u32 size, struct reg *dst)
{
	u32 slot = slot_of(off);
	bool fill = false;
	int err;

	scratch_slot(v, slot);
	if (stack_is_spill(stack_at(f, slot))) {
		err = read_spilled(v, f, off, size, dst, &fill);
		if (err)
			return err;
		return fill ? hist_push(v, v->cur, hist_stack(f->number, slot), 0) : 0;
	}
	for (u32 i = 0; i < size; i++) {
		u8 kind = byte_kind(f, off + (s32)i);

		if (kind != S_MISC && kind != S_ZERO && !(kind == S_NONE && v->allow_uninit_stack))
			return read_uninitialised(v, f, off, i, size);
	}
	note_read(v, f, slot);
	if (dst)
		set_from_bytes(v, f, off, off + (s32)size, dst);
	return 0;
}

int stack_read(struct verifier *v, struct reg *ptr, u32 regno, s32 off, u32 size, s32 dst_reg)
{
	struct frame *f = v->cur->frame[ptr->frame];
	struct reg *dst = dst_reg >= 0 ? reg_of(v, (u32)dst_reg) : NULL;
	char bits[48];
	s32 min, max;
	int err;

	if (scalar_is_const(&ptr->v))
		return read_fixed(v, f, off + (s32)ptr->v.bits.value, size, dst);
	if (!dst)
		return reject(v, REJECT_STACK_VARIABLE,
			      "variable offset stack pointer cannot be passed into helper function; var_off=%s off=%d size=%u",
			      tnum_text(bits, sizeof(bits), ptr->v.bits), off, size);
	min = (s32)(ptr->v.smin + off);
	max = (s32)(ptr->v.smax + off + size);
	err = stack_range(v, regno, ptr, off, size, false, MEM_READ | MEM_DIRECT);
	if (!err)
		set_from_bytes(v, f, min, max, dst);
	return err;
}

/* ---- bounds ---- */

int stack_bounds(struct verifier *v, u32 regno, const struct reg *ptr, s32 off, s64 size, u32 use)
{
	const char *how = use & MEM_WRITE ? " write to" : " read from";
	struct frame *f = v->cur->frame[ptr->frame];
	bool grows = use & MEM_WRITE || v->allow_uninit_stack;
	s64 min, max, lowest = grows ? -STACK_BYTES : -(s64)f->n_slots * SLOT_BYTES;
	char bits[48];
	int err = 0;

	if (scalar_is_const(&ptr->v)) {
		min = (s64)ptr->v.bits.value + off;
		max = min + size;
	} else {
		if (ptr->v.smax >= VARIABLE_MOST || ptr->v.smin <= -VARIABLE_MOST) {
			reject(v, REJECT_STACK_BOUNDS, "invalid unbounded variable-offset%s stack R%u", how, regno);
			reject_at(v, (s32)regno, -size - off, ptr->v.smax);
			return v->why->err;
		}
		min = ptr->v.smin + off;
		max = ptr->v.smax + off + size;
	}
	if (min < lowest || min > -1)
		err = EACCES;
	else if (max > 0)
		err = EINVAL;
	else if (size < 0)
		err = EFAULT;
	if (!err)
		return stack_grow(v, f, slot_of((s32)min) + 1) ? reject(v, REJECT_MEMORY, "out of memory") : 0;
	if (scalar_is_const(&ptr->v))
		reject_err(v, REJECT_STACK_BOUNDS, err, "invalid%s stack R%u off=%d size=%lld", how, regno, (s32)ptr->v.bits.value + off,
			   (long long)size);
	else
		reject_err(v, REJECT_STACK_BOUNDS, err, "invalid variable-offset%s stack R%u var_off=%s off=%d size=%lld", how, regno,
			   tnum_text(bits, sizeof(bits), ptr->v.bits), off, (long long)size);
	if (min < lowest)
		reject_at(v, (s32)regno, lowest, min);
	else
		reject_at(v, (s32)regno, -size, max - size);
	return v->why->err;
}

/* ---- memory arguments ---- */

/* A call that writes may write anything there. */
static void clobber(struct verifier *v, struct frame *f, s32 off)
{
	if (stack_is_spill(stack_at(f, slot_of(off)))) {
		reg_set_unknown(v, &stack_edit(v, f, slot_of(off))->reg);
		scrub(v, f, slot_of(off), false);
	} else {
		set_byte(v, f, off, S_MISC);
	}
}

static int raw_area(struct verifier *v, u32 regno, struct frame *f, s32 min, s32 max, u64 size)
{
	for (s32 i = min; i < max; i++)
		if (slot_of(i) < f->n_slots && byte_kind(f, i) == S_DYNPTR)
			return reject_of_slot(v, f, slot_of(i), reject(v, REJECT_DYNPTR_RAW, "potential write to dynptr at off=%d disallowed", i));
	v->raw_regno = regno;
	v->raw_size = (u32)size;
	return 0;
}

static int area_uninitialised(struct verifier *v, u32 regno, const struct reg *ptr, s32 min, s32 i, u64 size)
{
	char bits[48];

	if (scalar_is_const(&ptr->v))
		reject(v, REJECT_STACK_UNINITIALISED, "invalid read from stack R%u off %d+%d size %llu", regno, min, i - min,
		       (unsigned long long)size);
	else
		reject(v, REJECT_STACK_UNINITIALISED, "invalid read from stack R%u var_off %s+%d size %llu", regno,
		       tnum_text(bits, sizeof(bits), ptr->v.bits), i - min, (unsigned long long)size);
	reject_reg(v, regno);
	reject_slot(v, ptr->frame, slot_of(i));
	return v->why->err;
}

int stack_range(struct verifier *v, u32 regno, struct reg *ptr, s32 off, u64 size, bool zero_size, u32 use)
{
	struct frame *f = v->cur->frame[ptr->frame];
	char bits[48];
	s32 min, max;
	int err;

	if (size == 0 && !zero_size) {
		reject(v, REJECT_SIZE_ZERO, "invalid zero-sized read");
		reject_at(v, (s32)regno, 1, 0);
		return v->why->err;
	}
	err = stack_bounds(v, regno, ptr, off, (s64)size, use);
	if (err)
		return err;
	if (scalar_is_const(&ptr->v)) {
		min = max = (s32)ptr->v.bits.value + off;
	} else {
		if (!v->bypass_spec_v1)
			return reject(v, REJECT_STACK_VARIABLE, "R%u variable offset stack access prohibited for !root, var_off=%s", regno,
				      tnum_text(bits, sizeof(bits), ptr->v.bits));
		use &= ~(u32)MEM_RAW;
		min = (s32)ptr->v.smin + off;
		max = (s32)ptr->v.smax + off;
	}
	if (use & (MEM_WRITE | MEM_RAW))
		stack_indirect(v, f, min, max + (s32)size);
	if (use & MEM_RAW)
		return raw_area(v, regno, f, min, max + (s32)size, size);
	for (s32 i = min; i < max + (s32)size; i++) {
		const struct stack_slot *s = stack_at(f, slot_of(i));
		u8 kind = byte_kind(f, i);
		bool spilled = stack_is_spill(s) && (s->reg.type == R_SCALAR || v->allow_ptr_leaks);
		bool plain = kind == S_MISC || kind == S_ZERO || (kind == S_NONE && v->allow_uninit_stack);

		if (!plain && !(spilled && !special_kind(kind)))
			return area_uninitialised(v, regno, ptr, min, i, size);
		if (use & MEM_WRITE && kind != S_MISC)
			clobber(v, f, i);
		note_read(v, f, slot_of(i));
	}
	return 0;
}
