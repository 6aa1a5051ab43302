/* SPDX-License-Identifier: BSD-2-Clause */
/* Formats of helpers (bpf-helpers(7)): is one well formed, and are there as many values as it takes? */
#include "verify/call.h"

static bool ends_conversion(char c)
{
	return !c || latin1_space(c) || latin1_punct(c);
}

/* What follows %p: length of the suffix, or -1. */
static s32 pointer_suffix(const char *s)
{
	if (ends_conversion(*s))
		return 0;
	if ((*s == 'k' || *s == 'u') && s[1] == 's')
		return ends_conversion(s[2]) ? 2 : -1;
	if (strchr("KxsSB", *s))
		return 1;
	return (*s == 'i' || *s == 'I') && (s[1] == '4' || s[1] == '6') ? 2 : -1;
}

/* Length of a conversion, after its %; -1: there is no such one. */
static s32 conversion(const char *s)
{
	const char *start = s;
	s32 n;

	if ((unsigned char)*s >= 0x80)
		return -1;
	while (*s && strchr("0+- ", *s))
		s++;
	if (*s >= '1' && *s <= '9')
		while (*s >= '0' && *s <= '9')
			s++;
	switch (*s) {
	case 'p':
		n = pointer_suffix(s + 1);
		return n < 0 ? -1 : (s32)(s - start) + 1 + n;
	case 's':
		return ends_conversion(s[1]) ? (s32)(s - start) + 1 : -1;
	case 'c':
		return (s32)(s - start) + 1;
	}
	for (u32 i = 0; i < 2 && *s == 'l'; i++)
		s++;
	return *s && strchr("iduxX", *s) ? (s32)(s - start) + 1 : -1;
}

bool format_ok(const char *format, u64 values)
{
	u64 used = 0;
	s32 n;

	for (const char *s = format; *s; s++) {
		if (ascii_control(*s) && !latin1_space(*s))
			return false;
		if (*s != '%')
			continue;
		if (s[1] == '%') {
			s++;
			continue;
		}
		n = conversion(s + 1);
		if (used++ >= values || n < 0)
			return false;
		s += n;
	}
	return true;
}
