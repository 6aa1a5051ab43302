/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf_snprintf, bpf_trace_printk, bpf_trace_vprintk: the conversions that Linux gives programs (bpf-helpers(7)): d i u x X with
 * l and ll, c, s (ks, us), p (px, pK, ps, pS, pB), pi4 pI4 pi6 pI6, %%, flags and widths. Arguments are 64-bit words; what lies at a
 * bad address is an empty string, or zeros.
 */
#include "helper/body.h"

#include <stdio.h>

struct output {
	char *at;
	u64 room, len; /* len may grow beyond room, as snprintf(3) counts */
};

struct input {
	struct run *run;
	helper_reader *read; /* NULL: from what the run may read */
	void *ud;
	const char *fmt;
	u64 len, at; /* of the format */
	const u64 *args;
	u32 n_args, used;
};

static void put(struct output *o, const char *s, size_t n)
{
	if (o->len + 1 < o->room)
		memcpy(o->at + o->len, s, MIN(n, o->room - 1 - o->len));
	o->len += n;
}

static void pad(struct output *o, char c, s64 n)
{
	if (n <= 0)
		return;
	if (o->len + 1 < o->room)
		memset(o->at + o->len, c, MIN((u64)n, o->room - 1 - o->len));
	o->len += (u64)n;
}

static char next(const struct input *in)
{
	return in->at < in->len ? in->fmt[in->at] : 0;
}

/* May a conversion end before what is there? */
static bool ends(const struct input *in, u64 at)
{
	char c = at < in->len ? in->fmt[at] : 0;

	return !c || latin1_space(c) || latin1_punct(c);
}

static bool take(struct input *in, char c)
{
	if (next(in) != c)
		return false;
	in->at++;
	return true;
}

static bool fetch(const struct input *in, u64 from, void *to, u64 size)
{
	if (in->read)
		return in->read(in->ud, from, to, size);
	if (!vm_readable(in->run, from, size))
		return false;
	memcpy(to, PTR(from), size);
	return true;
}

static int argument(struct input *in, u64 *v)
{
	if (in->used == in->n_args)
		return -EINVAL;
	*v = in->args[in->used++];
	return 0;
}

struct shape {
	bool zero, left, plus, space;
	s64 width; /* -1: none was given */
};

static void put_text(struct output *o, const char *text, size_t n, const struct shape *f)
{
	if (!f->left)
		pad(o, ' ', f->width - (s64)n);
	put(o, text, n);
	if (f->left)
		pad(o, ' ', f->width - (s64)n);
}

/* What Linux makes beforehand of what a pointer leads to: counted only where there is room left. */
static void put_made(struct output *o, const char *text, size_t n)
{
	if (o->len < o->room)
		put(o, text, n);
}

static void put_number(struct output *o, const char *digits, size_t n, char sign, const struct shape *f)
{
	s64 rest = f->width - (s64)n - (sign != 0);

	if (!f->left && !f->zero)
		pad(o, ' ', rest);
	if (sign)
		put(o, &sign, 1);
	if (!f->left && f->zero)
		pad(o, '0', rest);
	put(o, digits, n);
	if (f->left)
		pad(o, ' ', rest);
}

enum { STRING_MOST = 512 };

/* A string at a bad address is an empty one. */
static int string(struct input *in, char text[STRING_MOST], size_t *length)
{
	size_t n = 0;
	u64 addr;

	if (argument(in, &addr))
		return -EINVAL;
	for (; n < STRING_MOST - 1; n++) {
		if (!fetch(in, addr + n, &text[n], 1)) {
			n = 0;
			break;
		}
		if (!text[n])
			break;
	}
	*length = n;
	return 0;
}

static int address(struct input *in, struct output *o, bool compact, bool v6)
{
	char text[64];
	u8 p[16] = {0};
	size_t n = 0;
	u64 addr;

	if (argument(in, &addr))
		return -EINVAL;
	if (!fetch(in, addr, p, v6 ? 16 : 4))
		memset(p, 0, sizeof(p));
	if (!v6)
		n = (size_t)snprintf(text, sizeof(text), compact ? "%u.%u.%u.%u" : "%03u.%03u.%03u.%03u", p[0], p[1], p[2], p[3]);
	else
		for (u32 i = 0; i < 16; i += 2)
			n += (size_t)snprintf(text + n, sizeof(text) - n, compact && i ? ":%02x%02x" : "%02x%02x", p[i], p[i + 1]);
	put_made(o, text, n);
	return 0;
}

/* The value itself; symbols of a kernel there are none. */
static int pointer_value(struct input *in, struct output *o, char kind, const struct shape *f)
{
	char text[32];
	int n;
	u64 v;

	if (argument(in, &v))
		return -EINVAL;
	if (kind == 's' || kind == 'S' || kind == 'B') {
		n = snprintf(text, sizeof(text), "0x%llx", (unsigned long long)v);
		if (kind == 'B')
			put_made(o, text, (size_t)n);
		else
			put_text(o, text, (size_t)n, f);
		return 0;
	}
	n = snprintf(text, sizeof(text), f->width < 0 ? "%016llx" : "%llx", (unsigned long long)v);
	put_number(o, text, (size_t)n, 0, f);
	return 0;
}

static int pointer(struct input *in, struct output *o, const struct shape *f)
{
	char kind = next(in), after = in->at + 1 < in->len ? in->fmt[in->at + 1] : 0, text[STRING_MOST];
	size_t n;
	int err;

	if ((kind == 'i' || kind == 'I') && (after == '4' || after == '6')) {
		err = address(in, o, kind == 'I', after == '6');
	} else if ((kind == 'k' || kind == 'u') && after == 's' && ends(in, in->at + 2)) {
		err = string(in, text, &n);
		if (!err)
			put_made(o, text, n);
	} else if (kind == 'x' || kind == 'K' || kind == 's' || kind == 'S' || kind == 'B' || ends(in, in->at)) {
		err = pointer_value(in, o, kind, f);
	} else {
		return -EINVAL;
	}
	while (latin1_alnum(next(in))) /* all of them belong to it */
		in->at++;
	return err;
}

static int integer(struct input *in, struct output *o, u32 longs, const struct shape *f)
{
	char text[32], kind = next(in), sign = 0;
	bool is_signed = kind == 'd' || kind == 'i';
	u64 v;
	int n;

	in->at++;
	if ((kind == 'c' && longs) || argument(in, &v))
		return -EINVAL;
	if (kind == 'c') {
		text[0] = (char)v;
		put_text(o, text, 1, f);
		return 0;
	}
	if (!longs)
		v = is_signed ? (u64)(s64)(s32)v : (u32)v;
	if (is_signed) {
		sign = (s64)v < 0 ? '-' : f->plus ? '+' : f->space ? ' ' : 0;
		v = (s64)v < 0 ? -v : v;
	}
	switch (kind) {
	case 'd':
	case 'i':
	case 'u': n = snprintf(text, sizeof(text), "%llu", (unsigned long long)v); break;
	case 'x': n = snprintf(text, sizeof(text), "%llx", (unsigned long long)v); break;
	case 'X': n = snprintf(text, sizeof(text), "%llX", (unsigned long long)v); break;
	default: return -EINVAL;
	}
	put_number(o, text, (size_t)n, sign, f);
	return 0;
}

static bool take_flag(struct input *in, struct shape *f)
{
	bool *flag = next(in) == '0' ? &f->zero : next(in) == '-' ? &f->left : next(in) == '+' ? &f->plus : next(in) == ' ' ? &f->space : NULL;

	if (flag) {
		*flag = true;
		in->at++;
	}
	return flag != NULL;
}

static int conversion(struct input *in, struct output *o)
{
	enum { WIDTH_MOST = (1 << 23) - 1 };
	struct shape f = {.width = -1};
	char text[STRING_MOST];
	u32 longs = 0;
	size_t n;

	if (take(in, '%')) {
		put(o, "%", 1);
		return 0;
	}
	while (take_flag(in, &f))
		;
	for (char c; (c = next(in)) >= '0' && c <= '9'; in->at++)
		f.width = MIN(MAX(f.width, 0) * 10 + (c - '0'), WIDTH_MOST);
	if (take(in, 'p'))
		return pointer(in, o, &f);
	if (take(in, 's')) {
		int err = ends(in, in->at) ? string(in, text, &n) : -EINVAL;

		if (!err)
			put_text(o, text, n, &f);
		return err;
	}
	while (longs < 2 && take(in, 'l'))
		longs++;
	return integer(in, o, longs, &f);
}

/* The length that all of it needs, or -EINVAL for a bad format. */
static s64 format(struct input *in, struct output *o)
{
	if (in->len == 0 || in->fmt[in->len - 1] != 0)
		return -EINVAL;
	in->len = strlen(in->fmt);
	for (; in->at < in->len;) {
		char c = in->fmt[in->at++];
		int err;

		if (ascii_control(c) && !latin1_space(c))
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

s64 helper_format(const char *fmt, u64 len, const u64 *args, u32 n_args, char *to, u64 room, helper_reader *read, void *ud)
{
	struct input in = {.read = read, .ud = ud, .fmt = fmt, .len = len, .args = args, .n_args = n_args};
	struct output o = {to, room, 0};

	return format(&in, &o);
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
