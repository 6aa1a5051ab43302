/* SPDX-License-Identifier: BSD-2-Clause */
/* Helpers on an xdp_md. Bounds and errors as Linux 6.18 gives them. */
#include "helper/body.h"

#include <net/ethernet.h>

enum { FRAME_HEADER = 40 /* Linux keeps its struct xdp_frame at the start of the headroom */, MOST_META = 252 };

u64 helper_xdp_adjust_head(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct packet *p = r->ctx.packet;
	s64 delta = (s32)(u32)b, meta = p->data - p->meta;

	(void)a, (void)c, (void)d, (void)e;
	if (p->data - p->head + delta < FRAME_HEADER + meta || p->tail - p->data - delta < ETH_HLEN)
		return RESULT(-EINVAL);
	memmove(p->meta + delta, p->meta, (size_t)meta);
	p->meta += delta;
	p->data += delta;
	return 0;
}

u64 helper_xdp_adjust_tail(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct packet *p = r->ctx.packet;
	s64 delta = (s32)(u32)b, room = p->frags ? -p->frags % PACKET_FRAGMENT : p->end - p->tail;

	(void)a, (void)c, (void)d, (void)e;
	if (delta > room || (s64)packet_bytes(p) + delta < ETH_HLEN)
		return RESULT(-EINVAL);
	if (delta > 0)
		memset(p->tail + p->frags, 0, (size_t)delta);
	if (p->frags + delta > 0 && p->frags) {
		p->frags = (u32)(p->frags + delta);
	} else {
		p->tail += p->frags + delta;
		p->frags = 0;
	}
	return 0;
}

u64 helper_xdp_adjust_meta(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct packet *p = r->ctx.packet;
	s64 delta = (s32)(u32)b, size = p->data - p->meta - delta;

	(void)a, (void)c, (void)d, (void)e;
	if (p->meta - p->head + delta < FRAME_HEADER || size < 0)
		return RESULT(-EINVAL);
	if (size & 3 || size > MOST_META)
		return RESULT(-EACCES);
	p->meta += delta;
	return 0;
}

u64 helper_xdp_get_buff_len(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)b, (void)c, (void)d, (void)e;
	return packet_bytes(r->ctx.packet);
}

static s64 check_range(const struct packet *p, u64 off, u64 n)
{
	off = (u32)off, n = (u32)n;
	if (off > 0xffff || n > 0xffff)
		return -EFAULT;
	return off + n > packet_bytes(p) ? -EINVAL : 0;
}

u64 helper_xdp_load_bytes(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	s64 err = check_range(r->ctx.packet, b, d);

	(void)a, (void)e;
	if (!err)
		memmove(PTR(c), r->ctx.packet->data + (u32)b, (u32)d);
	return RESULT(err);
}

u64 helper_xdp_store_bytes(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	s64 err = check_range(r->ctx.packet, b, d);

	(void)a, (void)e;
	if (!err)
		memmove(r->ctx.packet->data + (u32)b, PTR(c), (u32)d);
	return RESULT(err);
}
