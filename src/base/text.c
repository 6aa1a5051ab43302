/* SPDX-License-Identifier: BSD-2-Clause */
/* Growing text. A failed allocation is remembered in err, so that callers check once, at the end. */
#include "base/base.h"

#include <stdio.h>

void text_open(struct text *t, const struct mem *mem)
{
	*t = (struct text){.mem = mem};
}

size_t text_length(const struct text *t)
{
	return t->gone + t->len;
}

/* Frees what was pushed out, once it is most of the text. What is kept holds the last lines, whatever the reader has room for. */
static void let_go(struct text *t)
{
	enum { LEAST = 1 << 16 };
	size_t keep = MAX(t->room, (size_t)LEAST), out;

	if (!t->room || t->len / 2 <= keep)
		return;
	text_back(t, text_length(t));
	out = t->len - keep;
	memmove(t->at, t->at + out, keep + 1);
	t->gone += out;
	t->len = keep;
}

static bool make_room(struct text *t, size_t more)
{
	size_t need, cap = t->cap ? t->cap : 64;
	char *p;

	if (t->err)
		return false;
	let_go(t);
	need = t->len + more + 1;
	if (need <= t->cap)
		return true;
	while (cap < need)
		cap *= 2;
	p = mem_resize(t->mem, t->at, t->cap, cap);
	if (!p) {
		t->err = -ENOMEM;
		return false;
	}
	t->at = p;
	t->cap = cap;
	return true;
}

void text_bytes(struct text *t, const void *p, size_t n)
{
	if (!make_room(t, n))
		return;
	if (n)
		memcpy(t->at + t->len, p, n);
	t->len += n;
	t->at[t->len] = 0;
}

void text_add(struct text *t, const char *s)
{
	text_bytes(t, s, strlen(s));
}

void text_addv(struct text *t, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0 || !make_room(t, (size_t)n))
		return;
	vsnprintf(t->at + t->len, (size_t)n + 1, fmt, ap);
	t->len += (size_t)n;
}

void text_addf(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_addv(t, fmt, ap);
	va_end(ap);
}

const char *text_str(const struct text *t)
{
	return t->at ? t->at : "";
}

void text_clear(struct text *t)
{
	t->len = t->gone = t->start = 0;
	if (t->at)
		t->at[0] = 0;
}

void text_back(struct text *t, size_t length)
{
	size_t was = text_length(t);

	t->peak = MAX(t->peak, was);
	if (t->room && was + 1 > t->start + t->room)
		t->start = was + 1 - t->room;
	length = MIN(length, was);
	t->start = MIN(t->start, length);
	t->gone = MIN(t->gone, length);
	t->len = length - t->gone;
	if (t->at)
		t->at[t->len] = 0;
}

void text_close(struct text *t)
{
	mem_free(t->mem, t->at, t->cap);
	text_open(t, t->mem);
}

int text_refuse(struct text *t, int err, const char *fmt, ...)
{
	va_list ap;

	if (t) {
		va_start(ap, fmt);
		text_addv(t, fmt, ap);
		va_end(ap);
		text_add(t, "\n");
	}
	return err;
}

/* ---- characters ---- */

bool ascii_control(char c)
{
	return (u8)c < ' ' || c == 0x7f;
}

bool latin1_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || (u8)c == 0xa0;
}

bool latin1_alnum(char c)
{
	u8 letter = (u8)c | 32;

	return (c >= '0' && c <= '9') || (letter >= 'a' && letter <= 'z') || ((u8)c >= 0xc0 && (u8)c != 0xd7 && (u8)c != 0xf7);
}

bool latin1_punct(char c)
{
	return (u8)c < 0x80 ? !ascii_control(c) && c != ' ' && !latin1_alnum(c) : (u8)c > 0xa0 && !latin1_alnum(c);
}
