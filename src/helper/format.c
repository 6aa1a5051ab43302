/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf_snprintf, bpf_trace_printk, bpf_trace_vprintk: the conversions that Linux gives programs (bpf-helpers(7)): d i u x X with
 * l and ll, c, s (ks, us), p (px, pK, ps, pS, pB), pi4 pI4 pi6 pI6, %% and widths. Arguments are 64-bit words; a string's
 * address may be bad, and then the call fails.
 */
#include "helper/body.h"

#include <stdio.h>

struct output {
	char *at;
	u64 room, len; /* len may grow beyond room, as snprintf(3) counts */
};

struct input {
	struct run *run;
	const char *fmt;
	u64 len, at; /* of the format */
	const u64 *args;
	u32 n_args, used;
};

static void put(struct output *o, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++, o->len++)
		if (o->len + 1 < o->room)
			o->at[o->len] = s[i];
}

static char next(const struct input *in)
{
	return in->at < in->len ? in->fmt[in->at] : 0;
}

static bool take(struct input *in, char c)
{
	if (next(in) != c)
		return false;
	in->at++;
	return true;
}

static int argument(struct input *in, u64 *v)
{
	if (in->used == in->n_args)
		return -EINVAL;
	*v = in->args[in->used++];
	return 0;
}

static int string(struct input *in, struct output *o, int width)
{
	char text[512];
	size_t n = 0;
	u64 addr;

	if (argument(in, &addr))
		return -EINVAL;
	for (; n < sizeof(text) && vm_readable(in->run, addr + n, 1); n++) {
		text[n] = *(const char *)PTR(addr + n);
		if (!text[n])
			break;
	}
	if (n < sizeof(text) && !vm_readable(in->run, addr + n, 1))
		return -EFAULT;
	for (int pad = width - (int)n; pad > 0; pad--)
		put(o, " ", 1);
	put(o, text, n);
	return 0;
}

static int address(struct input *in, struct output *o, bool compact, bool v6)
{
	char text[64];
	const u8 *p;
	size_t n = 0;
	u64 addr;

	if (argument(in, &addr))
		return -EINVAL;
	if (!vm_readable(in->run, addr, v6 ? 16 : 4))
		return -EFAULT;
	p = PTR(addr);
	if (!v6)
		n = (size_t)snprintf(text, sizeof(text), compact ? "%u.%u.%u.%u" : "%03u.%03u.%03u.%03u", p[0], p[1], p[2], p[3]);
	else
		for (u32 i = 0; i < 16; i += 2)
			n += (size_t)snprintf(text + n, sizeof(text) - n, compact && i ? ":%02x%02x" : "%02x%02x", p[i], p[i + 1]);
	put(o, text, n);
	return 0;
}

static int pointer(struct input *in, struct output *o, int width)
{
	char text[32], kind = next(in);
	u64 v;
	int n;

	if (kind == 'i' || kind == 'I') {
		char digit = in->at + 1 < in->len ? in->fmt[in->at + 1] : 0;

		if (digit != '4' && digit != '6')
			return -EINVAL;
		in->at += 2;
		return address(in, o, kind == 'I', digit == '6');
	}
	if ((kind == 'k' || kind == 'u') && in->at + 1 < in->len && in->fmt[in->at + 1] == 's') {
		in->at += 2;
		return string(in, o, width);
	}
	if (kind == 'x' || kind == 'K' || kind == 's' || kind == 'S' || kind == 'B')
		in->at++; /* no symbols of a kernel: the address itself */
	else if ((kind >= 'a' && kind <= 'z') || (kind >= 'A' && kind <= 'Z') || (kind >= '0' && kind <= '9'))
		return -EINVAL;
	if (argument(in, &v))
		return -EINVAL;
	n = snprintf(text, sizeof(text), kind == 'S' || kind == 's' || kind == 'B' ? "0x%llx" : "%016llx", (unsigned long long)v);
	put(o, text, (size_t)n);
	return 0;
}

static int integer(struct input *in, struct output *o, u32 longs, int width, bool zero, bool left)
{
	char text[96], kind = next(in);
	u64 v;
	int n;

	in->at++;
	if (argument(in, &v))
		return -EINVAL;
	if (!longs)
		v = kind == 'd' || kind == 'i' ? (u64)(s64)(s32)v : (u32)v;
	width = MIN(width, 80);
	width = left ? -width : width;
	switch (kind) {
	case 'd':
	case 'i': n = snprintf(text, sizeof(text), zero ? "%0*lld" : "%*lld", width, (long long)v); break;
	case 'u': n = snprintf(text, sizeof(text), zero ? "%0*llu" : "%*llu", width, (unsigned long long)v); break;
	case 'x': n = snprintf(text, sizeof(text), zero ? "%0*llx" : "%*llx", width, (unsigned long long)v); break;
	case 'X': n = snprintf(text, sizeof(text), zero ? "%0*llX" : "%*llX", width, (unsigned long long)v); break;
	case 'c':
		text[0] = (char)v;
		n = 1;
		break;
	default: return -EINVAL;
	}
	put(o, text, (size_t)n);
	return 0;
}

static int conversion(struct input *in, struct output *o)
{
	bool zero = false, left = false;
	int width = 0;
	u32 longs = 0;

	if (take(in, '%')) {
		put(o, "%", 1);
		return 0;
	}
	for (;;) {
		if (take(in, '0'))
			zero = true;
		else if (take(in, '-'))
			left = true;
		else if (!take(in, '+') && !take(in, ' '))
			break;
	}
	for (char c; (c = next(in)) >= '0' && c <= '9'; in->at++)
		width = MIN(width * 10 + (c - '0'), 1000);
	if (take(in, 'p'))
		return pointer(in, o, width);
	if (take(in, 's'))
		return string(in, o, width);
	while (longs < 2 && take(in, 'l'))
		longs++;
	return integer(in, o, longs, width, zero, left);
}

/* The length that all of it needs, or -EINVAL for a bad format, -EFAULT for a bad address. */
static s64 format(struct input *in, struct output *o)
{
	if (in->len == 0 || in->fmt[in->len - 1] != 0)
		return -EINVAL;
	in->len = strlen(in->fmt);
	for (; in->at < in->len;) {
		char c = in->fmt[in->at++];
		int err;

		if ((u8)c >= 0x80 || ((u8)c < 0x20 && !(c >= '\t' && c <= '\r')))
			return -EINVAL;
		if (c != '%') {
			put(o, &c, 1);
			continue;
		}
		err = conversion(in, o);
		if (err)
			return err;
	}
	if (o->room)
		o->at[MIN(o->len, o->room - 1)] = 0;
	return (s64)o->len;
}

u64 helper_snprintf(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct input in = {.run = r, .fmt = PTR(c), .args = PTR(d), .n_args = (u32)(e / 8)};
	struct output o = {PTR(a), b, 0};
	s64 n;

	if (e % 8 || e > 12 * 8 || (e && !d))
		return RESULT(-EINVAL);
	in.len = strlen(in.fmt) + 1;
	n = format(&in, &o);
	if (n >= 0 && in.used != in.n_args)
		return RESULT(-EINVAL);
	return n < 0 ? (u64)n : (u64)n + 1;
}

enum { TRACE_LINE = 1024 };

static u64 print(struct run *r, struct input *in)
{
	char line[TRACE_LINE];
	struct output o = {line, sizeof(line), 0};
	s64 n = format(in, &o);

	if (n < 0)
		return (u64)n;
	n = MIN(n, (s64)sizeof(line) - 1);
	r->host->trace(r->host->ud, r, line, (size_t)n);
	return (u64)n;
}

u64 helper_trace_printk(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const u64 args[] = {c, d, e};
	struct input in = {.run = r, .fmt = PTR(a), .len = b, .args = args, .n_args = 3};

	return print(r, &in);
}

u64 helper_trace_vprintk(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct input in = {.run = r, .fmt = PTR(a), .len = b, .args = PTR(c), .n_args = (u32)(d / 8)};

	(void)e;
	if (d % 8 || d > 12 * 8 || (d && !c))
		return RESULT(-EINVAL);
	return print(r, &in);
}
