/* SPDX-License-Identifier: BSD-2-Clause */
/* Scalars as the kernel's log prints them, which tools parse: decimal up to 16 bits, hexadecimal above; bounds that
 * are the type's limits left out; bounds with the same value chained (smin=umin=smin32=umin32=1). */
#include "verify/scalar.h"

struct bound {
	const char *name;
	u64 value;
	bool is_signed, omit;
};

static bool is_short_signed(s64 v)
{
	return v >= INT16_MIN && v <= INT16_MAX;
}

static void signed_text(struct text *t, u64 v)
{
	if (is_short_signed((s64)v))
		text_addf(t, "%lld", (long long)v);
	else
		text_addf(t, "0x%llx", (unsigned long long)v);
}

static void unsigned_text(struct text *t, u64 v)
{
	text_addf(t, v <= UINT16_MAX ? "%llu" : "0x%llx", (unsigned long long)v);
}

static void bound_text(struct text *t, const struct bound *b)
{
	if (b->is_signed)
		signed_text(t, b->value);
	else
		unsigned_text(t, b->value);
}

static bool negative(const struct bound *b)
{
	return b->is_signed && (s64)b->value < 0;
}

/* A 32-bit number whose text is hexadecimal is not sign-extended. */
static u64 signed32(s32 v)
{
	return is_short_signed(v) ? (u64)(s64)v : (u32)v;
}

const char *scalar_ranges_text(struct text *t, const struct scalar *s, const char *sep)
{
	struct bound bounds[] = {
		{"smin", (u64)s->smin, true, s->smin == INT64_MIN},
		{"smax", (u64)s->smax, true, s->smax == INT64_MAX},
		{"umin", s->umin, false, s->umin == 0},
		{"umax", s->umax, false, s->umax == UINT64_MAX},
		{"smin32", signed32(s->smin32), true, s->smin32 == INT32_MIN},
		{"smax32", signed32(s->smax32), true, s->smax32 == INT32_MAX},
		{"umin32", s->umin32, false, s->umin32 == 0},
		{"umax32", s->umax32, false, s->umax32 == UINT32_MAX},
	};

	for (u32 i = 0; i < ARRAY_SIZE(bounds); i++) {
		if (bounds[i].omit)
			continue;
		text_addf(t, "%s%s=", sep, bounds[i].name);
		sep = ",";
		for (u32 j = i + 2; j < ARRAY_SIZE(bounds); j += 2) { /* minima with minima, maxima with maxima */
			if (bounds[j].omit || bounds[j].value != bounds[i].value || negative(&bounds[j]) != negative(&bounds[i]))
				continue;
			bounds[j].omit = true;
			text_addf(t, "%s=", bounds[j].name);
		}
		bound_text(t, &bounds[i]);
	}
	if (s->bits.mask == UINT64_MAX)
		return sep;
	text_addf(t, "%svar_off=(0x%llx; 0x%llx)", sep, (unsigned long long)s->bits.value, (unsigned long long)s->bits.mask);
	return ",";
}

void scalar_text(struct text *t, const struct scalar *s)
{
	if (scalar_is_const(s)) {
		signed_text(t, s->bits.value);
		return;
	}
	text_add(t, "(");
	scalar_ranges_text(t, s, "");
	text_add(t, ")");
}
