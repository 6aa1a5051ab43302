/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel functions on strings at addresses that may be bad. They look at most at LONGEST bytes of one. -ERANGE: a string's address is none at all; -EFAULT: it leads
 * out of what the program may read; -E2BIG: it is too long; -ENOENT: not found.
 */
#include "helper/body.h"

enum { LONGEST = 65536 };

struct string {
	struct run *r;
	u64 at;
	u32 known; /* so many bytes may be read */
};

/* The byte at i; false: -EFAULT. Asks for some at a time. */
static bool get(struct string *s, u32 i, char *to)
{
	enum { PIECE = 64 };

	if (i >= s->known) {
		u64 piece = vm_readable(s->r, s->at + i, PIECE) ? PIECE : vm_readable(s->r, s->at + i, 1);

		s->known = i + (u32)piece;
		if (!piece)
			return false;
	}
	*to = ((const char *)PTR(s->at))[i];
	return true;
}

/* Linux tells addresses of user space from others; here those are told that no program has memory at. */
static bool string_at(struct string *s, struct run *r, u64 at)
{
	enum { FIRST_PAGE = 4096 };

	*s = (struct string){.r = r, .at = at};
	return at >= FIRST_PAGE;
}

static bool strings_at(struct string *x, struct string *y, struct run *r, u64 a, u64 b)
{
	return string_at(x, r, a) && string_at(y, r, b);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

static u64 compare(struct run *r, u64 a, u64 b, bool fold)
{
	struct string x, y;

	if (!strings_at(&x, &y, r, a, b))
		return RESULT(-ERANGE);
	for (u32 i = 0; i < LONGEST; i++) {
		char p, q;

		if (!get(&x, i, &p) || !get(&y, i, &q))
			return RESULT(-EFAULT);
		if (fold)
			p = lower(p), q = lower(q);
		if (p != q)
			return RESULT(p < q ? -1 : 1);
		if (!p)
			return 0;
	}
	return RESULT(-E2BIG);
}

BODY(kfunc_bpf_strcmp)
{
	UNUSED_FROM_C;
	return compare(r, a, b, false);
}

BODY(kfunc_bpf_strcasecmp)
{
	UNUSED_FROM_C;
	return compare(r, a, b, true);
}

/* The first that is c among the first `most`. end_too: or the string's end. */
static u64 find(struct run *r, u64 at, u64 most, char c, bool end_too)
{
	struct string s;
	char x;
	u32 i;

	if (!string_at(&s, r, at))
		return RESULT(-ERANGE);
	for (i = 0; i < most && i < LONGEST; i++) {
		if (!get(&s, i, &x))
			return RESULT(-EFAULT);
		if (x == c || (!x && end_too))
			return i;
		if (!x)
			return RESULT(-ENOENT);
	}
	return RESULT(i == LONGEST ? -E2BIG : -ENOENT);
}

BODY(kfunc_bpf_strchr)
{
	UNUSED_FROM_C;
	return find(r, a, LONGEST, (char)b, false);
}

BODY(kfunc_bpf_strchrnul)
{
	UNUSED_FROM_C;
	return find(r, a, LONGEST, (char)b, true);
}

BODY(kfunc_bpf_strnchr)
{
	UNUSED_FROM_D;
	return find(r, a, b, (char)c, false);
}

BODY(kfunc_bpf_strrchr)
{
	struct string s;
	int last = -ENOENT;
	char x;

	UNUSED_FROM_C;
	if (!string_at(&s, r, a))
		return RESULT(-ERANGE);
	for (u32 i = 0; i < LONGEST; i++) {
		if (!get(&s, i, &x))
			return RESULT(-EFAULT);
		if (x == (int)(u32)b)
			last = (int)i;
		if (!x)
			return RESULT(last);
	}
	return RESULT(-E2BIG);
}

static u64 length(struct run *r, u64 at, u64 most)
{
	struct string s;
	char x;
	u32 i;

	if (!string_at(&s, r, at))
		return RESULT(-ERANGE);
	for (i = 0; i < most && i < LONGEST; i++) {
		if (!get(&s, i, &x))
			return RESULT(-EFAULT);
		if (!x)
			return i;
	}
	return i == LONGEST ? RESULT(-E2BIG) : i;
}

BODY(kfunc_bpf_strlen)
{
	UNUSED_FROM_B;
	return length(r, a, LONGEST);
}

BODY(kfunc_bpf_strnlen)
{
	UNUSED_FROM_C;
	return length(r, a, b);
}

/* 1: the set has it; 0: it has not; or -errno. */
static int has(struct string *set, char c)
{
	for (u32 i = 0; i < LONGEST; i++) {
		char x;

		if (!get(set, i, &x))
			return -EFAULT;
		if (!x)
			return 0;
		if (x == c)
			return 1;
	}
	return -E2BIG;
}

/* How many bytes at the beginning are in the set (are not). */
static u64 span(struct run *r, u64 a, u64 b, int inside)
{
	struct string s, set;

	if (!strings_at(&s, &set, r, a, b))
		return RESULT(-ERANGE);
	for (u32 i = 0; i < LONGEST; i++) {
		char x;
		int is;

		if (!get(&s, i, &x))
			return RESULT(-EFAULT);
		if (!x)
			return i;
		is = has(&set, x);
		if (is < 0)
			return RESULT(is);
		if (is != inside)
			return i;
	}
	return RESULT(-E2BIG);
}

BODY(kfunc_bpf_strspn)
{
	UNUSED_FROM_C;
	return span(r, a, b, 1);
}

BODY(kfunc_bpf_strcspn)
{
	UNUSED_FROM_C;
	return span(r, a, b, 0);
}

/* 1: y lies in x from i on; 0: it does not; -ENOENT: x, or its first `most` bytes, are over. */
static int here(struct string *x, struct string *y, u32 i, u64 most)
{
	for (u32 j = 0; j < LONGEST; j++) {
		char p, q;

		if (!get(y, j, &q))
			return -EFAULT;
		if (!q)
			return 1;
		if ((u64)i + j >= most)
			return -ENOENT;
		if (!get(x, i + j, &p))
			return -EFAULT;
		if (!p)
			return -ENOENT;
		if (p != q)
			return 0;
	}
	return -E2BIG;
}

static u64 search(struct run *r, u64 a, u64 b, u64 most)
{
	struct string x, y;

	if (!strings_at(&x, &y, r, a, b))
		return RESULT(-ERANGE);
	for (u32 i = 0; i < LONGEST; i++) {
		int is = here(&x, &y, i, most);

		if (is)
			return is > 0 ? i : RESULT(is);
	}
	return RESULT(-E2BIG);
}

BODY(kfunc_bpf_strstr)
{
	UNUSED_FROM_C;
	return search(r, a, b, LONGEST);
}

BODY(kfunc_bpf_strnstr)
{
	UNUSED_FROM_D;
	return search(r, a, b, c);
}
