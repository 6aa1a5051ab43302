/* SPDX-License-Identifier: BSD-2-Clause */
/* Rejections: data first, the kernel's line in the log second. Rows: errors.def. */
#include "verify/state.h"

#include <stdio.h>

static const struct {
	const char *name;
	int err;
	enum reject_about about;
	enum reject_lost lost;
	const char *needs, *doc;
} rows[] = {
	{"none", 0, ABOUT_INSN, LOST_NOWHERE, "", ""},
#define REJECT(name, err, about, lost, needs, doc) {#name, err, ABOUT_##about, LOST_##lost, needs, doc},
#include "verify/errors.def"
};

const char *reject_name(u32 code)
{
	return code < ARRAY_SIZE(rows) ? rows[code].name : "none";
}

enum reject_lost reject_lost(u32 code)
{
	return code < ARRAY_SIZE(rows) ? rows[code].lost : LOST_NOWHERE;
}

enum reject_about reject_about(u32 code)
{
	return code < ARRAY_SIZE(rows) ? rows[code].about : ABOUT_INSN;
}

void log_add(struct verifier *v, const char *fmt, ...)
{
	va_list ap;

	if (!v->log_level)
		return;
	va_start(ap, fmt);
	text_addv(v->log, fmt, ap);
	va_end(ap);
}

/* A text that begins with a register is about that one. */
static s32 first_register(const char *fmt, va_list ap)
{
	va_list copy;
	s32 reg = -1;

	if (strncmp(fmt, "R%u", 3) && strncmp(fmt, "R%d", 3))
		return reg;
	va_copy(copy, ap);
	reg = va_arg(copy, s32);
	va_end(copy);
	return reg;
}

static void held_words(const struct verifier *v, char *out, size_t size)
{
	const struct state *s = v->cur;
	const char *const names[] = {"reference", "lock", "RCU section", "section without preemption", "section without interrupts"};
	u32 held[ARRAY_SIZE(names)] = {0, s->active_locks, s->active_rcu_locks, s->active_preempt_locks, s->active_irq_id != 0};
	size_t n = 0;

	for (u32 i = 0; i < s->n_refs; i++)
		held[0] += s->refs[i].kind == REF_PTR;
	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (held[i] && n < size)
			n += (size_t)snprintf(out + n, size - n, "%u %s%s, ", held[i], names[i], held[i] == 1 ? "" : "s");
	if (n < size)
		snprintf(out + n, size - n, "%s%s", n ? "" : "nothing held, ", s->in_sleepable ? "may sleep" : "may not sleep");
}

/* What there was, as the log would say it. */
static void hold(struct verifier *v, struct rejection *why)
{
	enum reject_about about = reject_about(why->code);
	bool walked = v->cur && v->cur->n_frames;

	why->holds[0] = 0;
	if (!walked || !why->needs[0])
		return;
	if (about == ABOUT_HELD)
		held_words(v, why->holds, sizeof(why->holds));
	else if (about == ABOUT_SLOT && why->has_slot)
		log_slot_words(v, v->cur, why->frame, why->slot, why->holds, sizeof(why->holds));
	else if (about == ABOUT_REG && why->reg >= 0)
		log_reg_words(v, cur_frame(v->cur), reg_of(v, (u32)why->reg), why->holds, sizeof(why->holds));
}

static int note(struct verifier *v, enum reject_code code, int err, const char *fmt, va_list ap)
{
	/* Where an object does not lie at a place of its own is the reason; that it is none then only follows. */
	bool follows = v->why->code == REJECT_OBJECT_OFFSET && v->why->insn == v->insn;
	struct rejection also, *why = follows ? &also : v->why;

	*why = (struct rejection){.code = code, .err = -err, .insn = v->insn, .reg = first_register(fmt, ap), .lost_at = UINT32_MAX};
	snprintf(why->needs, sizeof(why->needs), "%s", rows[code].needs);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	if (code == REJECT_MEMORY && v->arena.full)
		snprintf(why->text, sizeof(why->text), "verifying takes more than %zu bytes of memory, which is the limit", v->arena.limit);
	if (v->log_level) {
		text_add(v->log, why->text);
		text_add(v->log, "\n");
	}
	hold(v, why);
	return why->err;
}

int reject(struct verifier *v, enum reject_code code, const char *fmt, ...)
{
	va_list ap;
	int err;

	va_start(ap, fmt);
	err = note(v, code, rows[code].err, fmt, ap);
	va_end(ap);
	return err;
}

int reject_err(struct verifier *v, enum reject_code code, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err = note(v, code, err < 0 ? -err : err, fmt, ap);
	va_end(ap);
	return err;
}

void reject_reg(struct verifier *v, u32 reg)
{
	v->why->reg = (s32)reg;
	hold(v, v->why);
}

int reject_measured(struct verifier *v, s64 needed, s64 proved)
{
	v->why->measured = true;
	v->why->needed = needed;
	v->why->proved = proved;
	return v->why->err;
}

int reject_holds(struct verifier *v, u32 reg, const char *holds)
{
	v->why->reg = (s32)reg;
	snprintf(v->why->holds, sizeof(v->why->holds), "%s", holds);
	return v->why->err;
}

int reject_needs(struct verifier *v, const char *needs)
{
	snprintf(v->why->needs, sizeof(v->why->needs), "%s", needs);
	return v->why->err;
}

void reject_slot(struct verifier *v, u32 frame, u32 slot)
{
	v->why->has_slot = true;
	v->why->frame = frame;
	v->why->slot = slot;
	hold(v, v->why);
}

void reject_at(struct verifier *v, s32 reg, s64 needed, s64 proved)
{
	v->why->reg = reg;
	reject_measured(v, needed, proved);
}

/* The register that the instruction works on: an address, else what it changes or compares; of a call the map's. -1: none */
static s32 register_of(struct verifier *v)
{
	const struct insn *in = &v->insns[v->insn];

	switch ((enum op)in->op) {
	case OP_CALL:
		for (u32 i = 1; i <= 5; i++)
			if (reg_base(reg_of(v, i)->type) == R_MAP)
				return (s32)i;
		return -1;
	case OP_EXIT: return 0;
	case OP_LD_ABS:
	case OP_LD_IND: return 6;
	case OP_LDX:
	case OP_LDXS:
	case OP_LOAD_ACQ: return in->src;
	case OP_JA:
	case OP_MAY_GOTO: return -1;
	default: return in->dst;
	}
}

/* What a rule left unsaid and the instruction tells. */
void reject_complete(struct verifier *v)
{
	struct rejection *why = v->why;
	enum reject_about about = reject_about(why->code);
	const struct reg *r;

	if (why->insn != v->insn || why->insn >= v->n || !v->cur || !v->cur->n_frames)
		return;
	if (why->reg < 0 && (about == ABOUT_REG || about == ABOUT_BOUND)) {
		s32 reg = register_of(v);

		if (reg >= 0)
			reject_reg(v, (u32)reg);
	}
	r = why->reg >= 0 ? reg_of(v, (u32)why->reg) : NULL;
	if (r && r->type == R_STACK && !why->has_slot && (about == ABOUT_SLOT || reject_lost(why->code) == LOST_SLOT) && scalar_is_const(&r->v)) {
		s64 off = r->off + (s64)r->v.bits.value;

		if (off < 0 && off >= -STACK_BYTES)
			reject_slot(v, r->frame, slot_of((s32)off));
	}
}

int bug(struct verifier *v, const char *what)
{
	return reject(v, REJECT_BUG, "verifier bug: %s", what);
}
