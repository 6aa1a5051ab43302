/* SPDX-License-Identifier: BSD-2-Clause */
/* Internet checksums (RFC 1071, RFC 1624): ones' complement sums of 16-bit words. */
#include "helper/body.h"

static u32 add(u32 a, u32 b)
{
	u32 sum = a + b;

	return sum + (sum < b);
}

static u32 partial(const u8 *p, u32 size, u32 sum)
{
	for (; size >= 4; size -= 4, p += 4)
		sum = add(sum, LOAD_AS(u32, p));
	return sum;
}

static u16 fold(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (u16)(sum + (sum >> 16));
}

u64 helper_csum_diff(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	u32 from = (u32)b, to = (u32)d, sum = (u32)e;

	(void)r;
	if ((from | to) & 3)
		return RESULT(-EINVAL);
	if (to)
		sum = partial(PTR(c), to, sum);
	if (from) /* alone, Linux takes it from the other side: of two forms of zero it gives the other one */
		sum = to ? add(sum, ~partial(PTR(a), from, 0)) : ~partial(PTR(a), from, ~sum);
	return fold(sum);
}

static void replace_by_diff(u8 *at, u32 diff)
{
	STORE_AS(u16, at, (u16)~fold(add(diff, (u32)(u16)~LOAD_AS(u16, at))));
}

/* The field at off changes as if the bytes it covers had changed from `from` to `to`. */
static s64 replace(u8 *at, u32 field, u64 from, u64 to)
{
	switch (field) {
	case 0:
		if (from)
			return -EINVAL;
		replace_by_diff(at, (u32)to);
		return 0;
	case 2: replace_by_diff(at, add((u16)~(u32)from, (u16)to)); return 0;
	case 4: replace_by_diff(at, add(~(u32)from, (u32)to)); return 0;
	default: return -EINVAL;
	}
}

static u8 *field_at(struct run *r, u64 off)
{
	struct packet *p = r->ctx.packet;

	off = (u32)off;
	return off > 0xffff || off & 1 || off + 2 > (u64)(p->tail - p->data) ? NULL : p->data + off;
}

u64 helper_l3_csum_replace(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	u8 *at = field_at(r, b);

	(void)a;
	if (e & ~(u64)BPF_F_HDR_FIELD_MASK)
		return RESULT(-EINVAL);
	return RESULT(at ? replace(at, e & BPF_F_HDR_FIELD_MASK, c, d) : -EFAULT);
}

u64 helper_l4_csum_replace(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	enum { IPV6 = 1 << 7 };
	bool zero_means_none = e & BPF_F_MARK_MANGLED_0;
	u8 *at = field_at(r, b);
	s64 err;

	(void)a;
	if (e & ~(u64)(BPF_F_MARK_MANGLED_0 | BPF_F_MARK_ENFORCE | BPF_F_PSEUDO_HDR | BPF_F_HDR_FIELD_MASK | IPV6))
		return RESULT(-EINVAL);
	if (!at)
		return RESULT(-EFAULT);
	if (zero_means_none && !(e & BPF_F_MARK_ENFORCE) && !LOAD_AS(u16, at))
		return 0;
	err = replace(at, e & BPF_F_HDR_FIELD_MASK, c, d);
	if (!err && zero_means_none && !LOAD_AS(u16, at))
		STORE_AS(u16, at, 0xffff);
	return RESULT(err);
}
