/* SPDX-License-Identifier: BSD-2-Clause */
/* Rejections: data first, the kernel's line in the log second. Rows: errors.def. */
#include "verify/state.h"

#include <stdio.h>

static const struct {
	const char *name;
	int err;
	enum reject_lost lost;
	const char *doc;
} rows[] = {
	{"none", 0, LOST_NOWHERE, ""},
#define REJECT(name, err, lost, doc) {#name, err, LOST_##lost, doc},
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

static int note(struct verifier *v, enum reject_code code, int err, const char *fmt, va_list ap)
{
	/* Where an object does not lie at a place of its own is the reason; that it is none then only follows. */
	bool follows = v->why->code == REJECT_OBJECT_OFFSET && v->why->insn == v->insn;
	struct rejection also, *why = follows ? &also : v->why;

	*why = (struct rejection){.code = code, .err = -err, .insn = v->insn, .reg = first_register(fmt, ap), .lost_at = UINT32_MAX};
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	if (code == REJECT_MEMORY && v->arena.full)
		snprintf(why->text, sizeof(why->text), "verifying takes more than %zu bytes of memory, which is the limit", v->arena.limit);
	if (v->log_level) {
		text_add(v->log, why->text);
		text_add(v->log, "\n");
	}
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
}

void reject_slot(struct verifier *v, u32 frame, u32 slot)
{
	v->why->has_slot = true;
	v->why->frame = frame;
	v->why->slot = slot;
}

void reject_at(struct verifier *v, s32 reg, s64 needed, s64 proved)
{
	v->why->reg = reg;
	v->why->measured = true;
	v->why->needed = needed;
	v->why->proved = proved;
}

int bug(struct verifier *v, const char *what)
{
	return reject(v, REJECT_BUG, "verifier bug: %s", what);
}
