/* SPDX-License-Identifier: BSD-2-Clause */
/* Does a refusal carry the data that its rule's row in src/verify/errors.def promises? */
#ifndef SKEP_TESTS_VERIFY_COMPLETE_H
#define SKEP_TESTS_VERIFY_COMPLETE_H

#include "verify/verify.h"

#include "skep/skep.h"

#include <string.h>

static inline enum reject_code reject_by_name(const char *name)
{
	enum reject_code i = REJECT_CODES;

	while (--i > REJECT_NONE && strcmp(reject_name(i), name) != 0)
		;
	return i;
}

/* What it lacks; NULL: nothing. joined: the walk joined states, behind which nothing is known of the path. */
static inline const char *reject_lacks(const struct skep_verdict *v, bool joined)
{
	enum reject_code code = reject_by_name(v->code);
	enum reject_about about = reject_about(code);
	bool words = v->needs[0] && v->holds[0];

	if (code == REJECT_NONE)
		return "a code";
	if ((about == ABOUT_REG || about == ABOUT_BOUND) && v->reg < 0)
		return "the register";
	if ((about == ABOUT_BOUND || about == ABOUT_NUMBER) && !v->measured)
		return "numbers";
	if ((about == ABOUT_REG || about == ABOUT_SLOT || about == ABOUT_HELD) && !words)
		return "what was needed and what there was";
	if ((about == ABOUT_INSN || about == ABOUT_BOUND || about == ABOUT_NUMBER) && words)
		return "a row that says it in words";
	if (reject_lost(code) != LOST_NOWHERE && v->lost_at == UINT32_MAX && !v->lost_at_entry && !joined)
		return "where that was lost";
	return NULL;
}

#endif
