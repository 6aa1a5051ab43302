/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dynptrs: memory whose bounds are checked when it is accessed: of a map value, a ring record, or the packet, which is always linear here. A program holds one in 16 bytes of its
 * stack that the verifier lets nobody else write; programs that are not verified get none.
 */
#include "helper/body.h"

enum { DYNPTR_MOST = (1 << 24) - 1 };

enum dynptr_of { DYNPTR_OF_NOTHING, DYNPTR_OF_MEMORY, DYNPTR_OF_SKB, DYNPTR_OF_XDP };
struct dynptr {
	u64 data; /* DYNPTR_OF_MEMORY: where offset 0 is */
	u32 size : 24, of : 7, read_only : 1;
	u32 offset;
};
_Static_assert(sizeof(struct dynptr) == 16, "what programs make room for");

static bool within(const struct dynptr *d, u64 off, u64 len)
{
	return (u32)off <= d->size && (u32)len <= d->size - (u32)off && off == (u32)off && len == (u32)len;
}

/* The bytes, if they are there: a packet may have become shorter. */
static u8 *bytes_at(const struct run *r, const struct dynptr *d, u32 off, u32 len)
{
	const struct packet *p = r->ctx.packet;
	u64 at = (u64)d->offset + off;

	if (d->of == DYNPTR_OF_MEMORY)
		return (u8 *)PTR(d->data + at);
	return p && at <= packet_bytes(p) && len <= packet_bytes(p) - at ? p->data + at : NULL;
}

/* ---- making them ---- */

u64 helper_dynptr_from_mem(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct dynptr *to = PTR(d);

	(void)r, (void)e;
	*to = (struct dynptr){0};
	if ((u32)b > DYNPTR_MOST)
		return RESULT(-E2BIG);
	if (c)
		return RESULT(-EINVAL);
	*to = (struct dynptr){.data = a, .size = (u32)b & DYNPTR_MOST, .of = DYNPTR_OF_MEMORY};
	return 0;
}

/* The run remembers the record, as with bpf_ringbuf_reserve(). One too many is as if the ring were full. */
u64 helper_ringbuf_reserve_dynptr(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct map *m = PTR(a);
	struct dynptr *to = PTR(d);
	void *record;

	(void)e;
	*to = (struct dynptr){0};
	if (c)
		return RESULT(-EINVAL);
	if ((u32)b > DYNPTR_MOST)
		return RESULT(-E2BIG);
	record = r->n_records < RUN_RECORDS ? m->ops->reserve(m, r->hold, (u32)b, 0) : NULL;
	if (!record)
		return RESULT(-EINVAL);
	r->records[r->n_records++] = (struct run_record){record, m, (u32)b};
	*to = (struct dynptr){.data = (u64)(uintptr_t)record, .size = (u32)b & DYNPTR_MOST, .of = DYNPTR_OF_MEMORY};
	return 0;
}

u64 helper_ringbuf_submit_dynptr(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct dynptr *p = PTR(a);

	if (p->of)
		helper_ringbuf_submit(r, p->data, b, c, d, e);
	*p = (struct dynptr){0};
	return 0;
}

u64 helper_ringbuf_discard_dynptr(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct dynptr *p = PTR(a);

	if (p->of)
		helper_ringbuf_discard(r, p->data, b, c, d, e);
	*p = (struct dynptr){0};
	return 0;
}

static u64 from_packet(const struct run *r, u64 flags, struct dynptr *to, enum dynptr_of of)
{
	const struct packet *p = r->ctx.packet;

	*to = (struct dynptr){0};
	if (flags || !p)
		return RESULT(-EINVAL);
	if (packet_bytes(p) > DYNPTR_MOST)
		return RESULT(-E2BIG);
	*to = (struct dynptr){.size = (u32)packet_bytes(p) & DYNPTR_MOST, .of = of & 127, .read_only = p->read_only};
	return 0;
}

u64 kfunc_bpf_dynptr_from_skb(struct run *r, u64 skb, u64 flags, u64 to, u64 d, u64 e)
{
	(void)skb, (void)d, (void)e;
	return from_packet(r, flags, PTR(to), DYNPTR_OF_SKB);
}

u64 kfunc_bpf_dynptr_from_xdp(struct run *r, u64 xdp, u64 flags, u64 to, u64 d, u64 e)
{
	(void)xdp, (void)d, (void)e;
	return from_packet(r, flags, PTR(to), DYNPTR_OF_XDP);
}

u64 kfunc_bpf_dynptr_clone(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct dynptr *from = PTR(a);
	struct dynptr *to = PTR(b);

	(void)r, (void)c, (void)d, (void)e;
	*to = *from;
	return from->of ? 0 : RESULT(-EINVAL);
}

/* ---- what they are ---- */

u64 kfunc_bpf_dynptr_adjust(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct dynptr *p = PTR(a);
	u64 start = b, end = c;

	(void)r, (void)d, (void)e;
	if (!p->of || (u32)start > (u32)end)
		return RESULT(-EINVAL);
	if ((u32)start > p->size || (u32)end > p->size)
		return RESULT(-ERANGE);
	p->offset += (u32)start;
	p->size = ((u32)end - (u32)start) & DYNPTR_MOST;
	return 0;
}

u64 kfunc_bpf_dynptr_is_null(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)r, (void)b, (void)c, (void)d, (void)e;
	return ((const struct dynptr *)PTR(a))->of == DYNPTR_OF_NOTHING;
}

u64 kfunc_bpf_dynptr_is_rdonly(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct dynptr *p = PTR(a);

	(void)r, (void)b, (void)c, (void)d, (void)e;
	return p->of && p->read_only;
}

u64 kfunc_bpf_dynptr_size(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct dynptr *p = PTR(a);

	(void)r, (void)b, (void)c, (void)d, (void)e;
	return p->of ? p->size : (u32)-EINVAL;
}

/* ---- access ---- */

u64 helper_dynptr_read(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct dynptr *p = PTR(c);
	const u8 *from;

	if (!p->of || e)
		return RESULT(-EINVAL);
	if (!within(p, (u32)d, (u32)b))
		return RESULT(-E2BIG);
	from = bytes_at(r, p, (u32)d, (u32)b);
	if (!from)
		return RESULT(-EFAULT);
	memmove(PTR(a), from, (u32)b);
	return 0;
}

u64 helper_dynptr_write(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct dynptr *p = PTR(a);
	u8 *to;

	if (!p->of || p->read_only)
		return RESULT(-EINVAL);
	if (!within(p, (u32)b, (u32)d))
		return RESULT(-E2BIG);
	if (p->of == DYNPTR_OF_SKB)
		return helper_skb_store_bytes(r, 0, p->offset + (u32)b, c, d, e);
	if (e)
		return RESULT(-EINVAL);
	to = bytes_at(r, p, (u32)b, (u32)d);
	if (!to)
		return RESULT(-EFAULT);
	memmove(to, PTR(c), (u32)d);
	return 0;
}

/* Packets are for slices: a dynptr's own bytes last as long as it does. */
u64 helper_dynptr_data(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct dynptr *p = PTR(a);

	(void)d, (void)e;
	if (p->of != DYNPTR_OF_MEMORY || p->read_only || !within(p, (u32)b, (u32)c))
		return 0;
	return (u64)(uintptr_t)bytes_at(r, p, (u32)b, (u32)c);
}

/* The buffer is for bytes that do not lie in a row, which there are none of here. */
u64 kfunc_bpf_dynptr_slice(struct run *r, u64 a, u64 off, u64 buffer, u64 size, u64 e)
{
	const struct dynptr *p = PTR(a);

	(void)buffer, (void)e;
	return p->of && within(p, (u32)off, (u32)size) ? (u64)(uintptr_t)bytes_at(r, p, (u32)off, (u32)size) : 0;
}

u64 kfunc_bpf_dynptr_slice_rdwr(struct run *r, u64 a, u64 off, u64 buffer, u64 size, u64 e)
{
	return ((const struct dynptr *)PTR(a))->read_only ? 0 : kfunc_bpf_dynptr_slice(r, a, off, buffer, size, e);
}

/* (to, offset, from, offset, size) */
u64 kfunc_bpf_dynptr_copy(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct dynptr *to = PTR(a), *from = PTR(c);
	const u8 *source;
	u8 *target;

	if (!to->of || !from->of || to->read_only)
		return RESULT(-EINVAL);
	if (!within(to, b, e) || !within(from, d, e))
		return RESULT(-E2BIG);
	source = bytes_at(r, from, (u32)d, (u32)e);
	target = bytes_at(r, to, (u32)b, (u32)e);
	if (!source || !target)
		return RESULT(-EFAULT);
	memmove(target, source, (u32)e);
	return 0;
}

/* (to, offset, size, byte) */
u64 kfunc_bpf_dynptr_memset(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct dynptr *to = PTR(a);
	u8 *target;

	(void)e;
	if (!to->of || to->read_only)
		return RESULT(-EINVAL);
	if (!within(to, b, c))
		return RESULT(-E2BIG);
	target = bytes_at(r, to, (u32)b, (u32)c);
	if (!target)
		return RESULT(-EFAULT);
	memset(target, (u8)d, (u32)c);
	return 0;
}

/* ---- records of clients ---- */

struct drain {
	struct run *run;
	u32 callback;
	u64 context;
};

static long drain_one(void *ud, void *record, u64 size)
{
	struct drain *v = ud;
	struct run *r = v->run;
	struct dynptr p = {.data = ADDR(record), .size = (u32)size & DYNPTR_MOST, .of = DYNPTR_OF_MEMORY};
	u64 args[5] = {ADDR(&p), v->context}, result = 0;
	bool lent = r->n_spans < RUN_SPANS;

	/* The dynptr lies outside of what the program may touch otherwise. */
	if (lent)
		r->spans[r->n_spans++] = (struct run_span){ADDR(&p), sizeof(p), false, "dynptr of a record"};
	if (vm_call(r, v->callback, args, &result))
		result = 1;
	if (lent)
		r->n_spans--;
	return result != 0 || r->thrown;
}

BODY(helper_user_ringbuf_drain)
{
	struct map *m = PTR(a);
	struct drain v = {r, (u32)b, c};

	(void)e;
	return RESULT(m->ops->drain(m, r->hold, drain_one, &v, d));
}
