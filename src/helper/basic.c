/* SPDX-License-Identifier: BSD-2-Clause */
/* Time, numbers, identity, strings, and copies from addresses that may be bad. */
#include "helper/body.h"

#include <time.h>

/* ---- time ---- */

static u64 clock_ns(const struct run *r, int id)
{
	struct timespec t;

	if (likely(r->host->vdso_clock) && likely(!r->host->vdso_clock(id, &t)))
		return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
	return r->host->clock(r->host->ud, id);
}

#define CLOCK_HELPER(name, id)                                                                                \
	u64 helper_##name(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)                                      \
	{                                                                                                        \
		(void)a, (void)b, (void)c, (void)d, (void)e;                                                     \
		return clock_ns(r, id);                                                                          \
	}
CLOCK_HELPER(ktime_get_ns, CLOCK_MONOTONIC)
CLOCK_HELPER(ktime_get_boot_ns, CLOCK_BOOTTIME)
CLOCK_HELPER(ktime_get_tai_ns, CLOCK_TAI)
CLOCK_HELPER(ktime_get_coarse_ns, CLOCK_MONOTONIC_COARSE)

/* Linux loads a variable of its own. No page that it maps into processes has that number, only the coarse clock, which the same tick advances: two reads under a
 * sequence count, and a division. */
u64 helper_jiffies64(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)b, (void)c, (void)d, (void)e;
	return jiffies_at(clock_ns(r, CLOCK_MONOTONIC_COARSE));
}

/* ---- numbers ---- */

u64 helper_get_prandom_u32(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)b, (void)c, (void)d, (void)e;
	if (!r->rng)
		r->rng = os_random() | 1;
	r->rng ^= r->rng << 13;
	r->rng ^= r->rng >> 7;
	r->rng ^= r->rng << 17;
	return (u32)((r->rng * 0x2545f4914f6cdd1dull) >> 32);
}

u64 helper_get_smp_processor_id(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)b, (void)c, (void)d, (void)e;
	return r->hold->index;
}

u64 helper_get_numa_node_id(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)r, (void)a, (void)b, (void)c, (void)d, (void)e;
	return 0;
}

/* ---- the current task ---- */

u64 helper_get_current_pid_tgid(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)b, (void)c, (void)d, (void)e;
	return r->host->task(r->host->ud, r)->pid_tgid;
}

u64 helper_get_current_uid_gid(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)b, (void)c, (void)d, (void)e;
	return r->host->task(r->host->ud, r)->uid_gid;
}

u64 helper_get_current_comm(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct run_task *task = r->host->task(r->host->ud, r);
	size_t n = MIN((size_t)b, sizeof(task->comm));

	(void)c, (void)d, (void)e;
	memset(PTR(a), 0, b);
	memcpy(PTR(a), task->comm, n);
	((char *)PTR(a))[b - 1] = 0;
	return 0;
}

/* ---- copies from addresses that may be bad: what the program may touch, kernel objects among it, and the memory of the current task ---- */

static bool read_kernel(struct run *r, u64 from, void *to, u64 size)
{
	if (!vm_readable(r, from, size))
		return false;
	memmove(to, PTR(from), size);
	return true;
}

/* Without a task the program runs for its caller, which lends it memory. */
static bool read_user(struct run *r, u64 from, void *to, u64 size)
{
	if (!r->current || !r->host->user_read)
		return read_kernel(r, from, to, size);
	return r->host->user_read(r->host->ud, r, from, to, size) == (s64)size;
}

static bool read_any(struct run *r, u64 from, void *to, u64 size)
{
	return read_kernel(r, from, to, size) || (r->current && read_user(r, from, to, size));
}

typedef bool reader(struct run *r, u64 from, void *to, u64 size);

#define USER_END 0x7ffffffff000ull /* of Linux's user space, less a page */

/* Linux does not even try those of user space as the kernel's, nor such that are none. */
static u64 refused_address(u64 from, reader *read)
{
	bool none = (u64)((s64)(from << 16) >> 16) != from, user = from < 1ull << 47;

	return RESULT(read == read_user || (read == read_any && from < USER_END) || !(user || none) ? -EFAULT : -ERANGE);
}

/* Nothing is to be read, but the address must be one that could be tried. */
static u64 probe_nothing(struct run *r, u64 from, reader *read)
{
	if (vm_readable(r, from, 1))
		return 0;
	if (read == read_user)
		return from > USER_END ? RESULT(-EFAULT) : 0;
	return refused_address(from, read) == RESULT(-ERANGE) ? RESULT(-ERANGE) : 0;
}

static u64 probe(struct run *r, u64 to, u64 size, u64 from, reader *read)
{
	if (size == 0)
		return probe_nothing(r, from, read);
	if (read(r, from, PTR(to), size))
		return 0;
	memset(PTR(to), 0, size);
	return refused_address(from, read);
}

/* Piece by piece: a string may end just before an address that cannot be read. Of a task a page at a time, since asking for it costs. */
static u64 probe_string(struct run *r, u64 to, u64 size, u64 from, reader *read)
{
	enum { PAGE = 4096 };
	char *out = PTR(to);
	u64 n = 0;

	if (size == 0)
		return 0;
	while (n < size) {
		bool pages = read == read_user && r->current;
		u64 piece = pages ? MIN(size - n, PAGE - (from + n) % PAGE) : 1, end;

		if (!read(r, from + n, out + n, piece)) {
			memset(out, 0, size);
			return refused_address(from, read);
		}
		end = strnlen(out + n, piece);
		n += end;
		if (end < piece) {
			memset(out + n, 0, piece - end); /* nothing behind the end is given away */
			return n + 1;
		}
	}
	out[size - 1] = 0;
	return size;
}

static u64 probe_string_any(struct run *r, u64 to, u64 size, u64 from)
{
	return probe_string(r, to, size, from, vm_readable(r, from, 1) ? read_kernel : r->current ? read_user : read_any);
}

#define PROBE_HELPER(name, call)                                                                                 \
	u64 helper_##name(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)                                      \
	{                                                                                                        \
		(void)d, (void)e;                                                                                \
		return call;                                                                                     \
	}
PROBE_HELPER(probe_read, probe(r, a, b, c, read_any))
PROBE_HELPER(probe_read_user, probe(r, a, b, c, read_user))
PROBE_HELPER(probe_read_kernel, probe(r, a, b, c, read_kernel))
PROBE_HELPER(copy_from_user, b ? probe(r, a, b, c, read_user) : 0)
PROBE_HELPER(probe_read_str, probe_string_any(r, a, b, c))
PROBE_HELPER(probe_read_user_str, probe_string(r, a, b, c, read_user))
PROBE_HELPER(probe_read_kernel_str, probe_string(r, a, b, c, read_kernel))

/* Up to the end of the string, or until there is no more room; nothing behind the end is written, unless zeros are wanted. */
static s64 copy_string(struct run *r, char *to, u64 size, u64 from)
{
	enum { PIECE = 256 };
	char piece[PIECE];

	for (u64 n = 0; n < size;) {
		u64 want = r->current ? MIN(MIN(size - n, (u64)PIECE), PIECE - (from + n) % PIECE) : 1, got;

		if (!read_user(r, from + n, piece, want))
			return -EFAULT;
		got = strnlen(piece, want);
		memcpy(to + n, piece, got);
		n += got;
		if (got < want)
			return (s64)n;
	}
	return (s64)size;
}

u64 kfunc_bpf_copy_from_user_str(struct run *r, u64 to, u64 size, u64 from, u64 flags, u64 e)
{
	enum { PAD_ZEROS = 1 };
	s64 n;

	(void)e;
	size = (u32)size;
	if (flags & ~(u64)PAD_ZEROS)
		return RESULT(-EINVAL);
	if (!size)
		return 0;
	n = copy_string(r, PTR(to), size - 1, from);
	if (flags & PAD_ZEROS)
		memset((char *)PTR(to) + (n < 0 ? 0 : n), 0, size - (n < 0 ? 0 : (u64)n));
	else if (n >= 0)
		((char *)PTR(to))[n] = 0;
	return RESULT(n < 0 ? n : n + 1);
}

/* ---- strings ---- */

BODY(helper_strncmp)
{
	int order = strncmp(PTR(a), PTR(c), b);

	(void)r, UNUSED_FROM_D;
	return RESULT((order > 0) - (order < 0));
}

enum number_end { NUMBER_OK, NUMBER_NONE, NUMBER_RANGE };

static u32 digit_of(char c)
{
	char l = (char)(c | 32);

	return c >= '0' && c <= '9' ? (u32)(c - '0') : l >= 'a' && l <= 'f' ? (u32)(l - 'a') + 10 : 99;
}

/* A leading 0x is only taken for hexadecimal by itself where a digit follows; base 16 skips it in any case. */
static u32 base_of(const char *s, u64 len, u64 *at, u32 base)
{
	bool x = *at + 1 < len && s[*at] == '0' && (s[*at + 1] | 32) == 'x';

	if (base == 0 && *at < len && s[*at] == '0')
		base = x && *at + 2 < len && digit_of(s[*at + 2]) < 16 ? 16 : 8;
	if (base == 16 && x)
		*at += 2;
	return base ? base : 10;
}

/* Digits of the base from *at on; leaves *at behind the last one. */
static enum number_end digits(const char *s, u64 len, u64 *at, u32 base, u64 *out)
{
	u64 start, x = 0;
	bool over = false;

	base = base_of(s, len, at, base);
	for (start = *at; *at < len && digit_of(s[*at]) < base; ++*at)
		over |= __builtin_mul_overflow(x, base, &x) || __builtin_add_overflow(x, digit_of(s[*at]), &x);
	*out = x;
	return *at == start ? NUMBER_NONE : over ? NUMBER_RANGE : NUMBER_OK;
}

/* bpf_strtol and bpf_strtoul: leading white space, an optional minus sign, at most 63 characters of digits; the number of characters read. */
static s64 parse(const char *s, u64 len, u64 flags, bool *minus, u64 *out)
{
	enum { MOST = 63 };
	u32 base = flags & 0x1f;
	u64 at = 0;

	if (!len || (base != 0 && base != 8 && base != 10 && base != 16) || flags & ~(u64)0x1f)
		return -EINVAL;
	while (at < len && latin1_space(s[at]))
		at++;
	*minus = at < len && s[at] == '-';
	at += *minus;
	switch (digits(s, MIN(len, at + MOST), &at, base, out)) {
	case NUMBER_NONE: return -EINVAL;
	case NUMBER_RANGE: return -ERANGE;
	case NUMBER_OK: break;
	}
	return (s64)at;
}

/* What is no number gives 0. */
BODY(helper_strtol)
{
	bool minus;
	u64 x;
	s64 n = parse(PTR(a), b, c, &minus, &x);

	(void)r, (void)e;
	if (n >= 0 && x > (u64)INT64_MAX + minus)
		n = -ERANGE;
	STORE_AS(u64, PTR(d), n < 0 ? 0 : minus ? 0 - x : x);
	return (u64)n;
}

BODY(helper_strtoul)
{
	bool minus;
	u64 x;
	s64 n = parse(PTR(a), b, c, &minus, &x);

	(void)r, (void)e;
	if (n >= 0 && minus)
		n = -EINVAL;
	STORE_AS(u64, PTR(d), n < 0 ? 0 : x);
	return (u64)n;
}
