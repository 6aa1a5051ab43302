/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BPF_PROG_TEST_RUN as Linux 6.18's net/bpf/test_run.c behaves: which fields must be zero, what comes back, when a buffer that is too
 * small gives -ENOSPC. A fault of an unverified program gives -EFAULT, and its text goes to the engine's log.
 */
#include "hook/hook.h"

#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define PTR(x) ((void *)(uintptr_t)(x))

enum {
	MOST_ARGS = 12 * 8,
	PAGE = 4096,
	MOST_META = 216, /* the headroom less the frame header that Linux keeps in it */
};

/* Copies a context in: shorter ones are padded, longer ones must be zero behind what is known. */
static int ctx_in(const struct attr_test_run *a, void *ctx, u32 size)
{
	const u8 *from = PTR(a->ctx_in);

	memset(ctx, 0, size);
	if (!from)
		return 0;
	if (a->ctx_size_in > PAGE)
		return -E2BIG;
	for (u32 i = size; i < a->ctx_size_in; i++)
		if (from[i])
			return -E2BIG;
	memcpy(ctx, from, MIN(size, a->ctx_size_in));
	return 0;
}

static int give(u64 to, u32 *room, const void *from, u32 size)
{
	u32 n = size, err = 0;

	if (*room && n > *room) {
		n = *room;
		err = ENOSPC;
	}
	if (to)
		memcpy(PTR(to), from, n);
	*room = size;
	return -(int)err;
}

/* Of a frame in fragments, these come first into a room that is too small; where they do not fit, the attr stays as it was before the run. */
static int give_frame(const struct stage *s, struct attr_test_run *a, const struct attr_test_run *before)
{
	u32 size, frags = s->packet.frags, room = a->data_size_out;
	u8 *frame = stage_frame(s, &size);

	if (!frags || !a->data_out || !room || room >= size)
		return give(a->data_out, &a->data_size_out, frame, size);
	if (room < frags)
		return *a = *before, -ENOSPC;
	memcpy(PTR(a->data_out), frame, room - frags);
	memcpy((u8 *)PTR(a->data_out) + (room - frags), s->packet.tail, frags);
	a->data_size_out = size;
	return -ENOSPC;
}

/* To whoever asks, and to the log. */
static void tell_fault(struct skep *k, const struct prog *p, const struct run *r, struct test_told *told)
{
	if (told)
		told->fault = r->fault;
	log_line(k, "%s: %s", prog_name(p), r->fault.text);
}

static void tell_nowhere(struct skep *k, const struct prog *p, struct test_told *told)
{
	if (told)
		told->nowhere = true;
	log_line(k, "%s: the verdict redirects, but the program named no target that is there: Linux drops such a packet", prog_name(p));
}

static int repeat_run(struct skep *k, struct prog *p, struct stage *s, struct attr_test_run *a, struct test_told *told)
{
	u32 repeat = a->repeat ? a->repeat : 1;
	struct hold hold, *held = NULL;
	struct run r;
	u64 result = 0, start;
	int err = run_begin(k, p, &hold, &held);

	if (err)
		return err;
	run_prepare(k, &r, p);
	r.hold = held;
	stage_aim(s, &r);
	start = os_clock_ns(CLOCK_MONOTONIC);
	for (u32 i = 0; i < repeat && !err; i++) {
		err = vm_run(&r, &result);
		if (held)
			hold_pass(held);
	}
	a->duration = (u32)((os_clock_ns(CLOCK_MONOTONIC) - start) / repeat);
	a->retval = (u32)result;
	if (held)
		hold_drop(held);
	run_account(k, p, repeat, (u64)a->duration * repeat);
	if (err)
		tell_fault(k, p, &r, told);
	else if (stage_nowhere(s, p, result))
		tell_nowhere(k, p, told);
	return err;
}

/* ---- XDP ---- */

/* Has the interface that many queues? Without sysfs, the first is sure to be there. */
static bool has_queue(const char *device, u32 queue)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/class/net/%s/queues/rx-%u", device, queue);
	return !queue || !access(path, F_OK);
}

/* Where the frame came from: an interface and its queue. */
static int xdp_origin(const struct xdp_md *md)
{
	char device[IF_NAMESIZE];

	if (md->egress_ifindex || (!md->ingress_ifindex && md->rx_queue_index))
		return -EINVAL;
	if (!md->ingress_ifindex)
		return 0;
	if (md->ingress_ifindex == LOOPBACK) /* also where no interface can be asked for */
		return md->rx_queue_index ? -EINVAL : 0;
	if (!if_indextoname(md->ingress_ifindex, device))
		return -ENODEV;
	return has_queue(device, md->rx_queue_index) ? 0 : -EINVAL;
}

static int xdp_test_run(struct skep *k, struct prog *p, struct attr_test_run *a, struct stage *s, struct test_told *told)
{
	const struct attr_test_run before = *a;
	bool use_ctx = a->ctx_in || a->ctx_out;
	struct xdp_md md;
	u32 piece;
	int err;

	if (a->flags & ~(u32)BPF_F_TEST_XDP_LIVE_FRAMES)
		return -EINVAL;
	if (a->flags) {
		log_line(k, "PROG_TEST_RUN: live frames need network devices, which skep %s does not have", skep_version());
		return -EOPNOTSUPP;
	}
	if (a->batch_size)
		return -EINVAL;
	err = ctx_in(a, &md, sizeof(md));
	if (err)
		return err;
	if (a->ctx_in && (md.data_meta || md.data_end > a->data_size_in || md.data > md.data_end || md.data & 3 || md.data > MOST_META ||
			  a->data_size_in - md.data < ETH_HLEN))
		return -EINVAL;
	if (!a->data_in)
		return -EFAULT;
	err = xdp_origin(&md);
	if (err)
		return err;
	piece = MIN(a->ctx_in ? md.data_end : a->data_size_in, md.data + STAGE_PIECE);
	if (a->data_size_in - piece > STAGE_FRAGMENTS)
		return -ENOMEM;
	err = stage_open(s, &k->mem, p, a->data_size_in + PACKET_FRAGMENT);
	if (err)
		return err;
	stage_put(s, PTR(a->data_in), a->data_size_in, md.data, a->data_size_in - piece);
	if (md.ingress_ifindex) {
		s->packet.ifindex = s->ctx.xdp.ingress_ifindex = md.ingress_ifindex;
		s->ctx.xdp.rx_queue_index = md.rx_queue_index;
	}
	err = repeat_run(k, p, s, a, told);
	if (err)
		return err;
	err = give_frame(s, a, &before);
	if (err || !use_ctx)
		return err;
	md.data = (u32)(s->packet.data - s->packet.meta);
	md.data_end = (u32)(s->packet.tail - s->packet.meta);
	return a->ctx_out ? give(a->ctx_out, &a->ctx_size_out, &md, sizeof(md)) : 0;
}

/* ---- skb ---- */

static bool zero_between(const struct __sk_buff *skb, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (((const u8 *)skb)[i])
			return false;
	return true;
}

#define START(f) offsetof(struct __sk_buff, f)
#define END(f)   (offsetof(struct __sk_buff, f) + sizeof(((struct __sk_buff *)0)->f))

/* Fields that a caller may set; all others must be zero. */
static int check_skb(const struct __sk_buff *in, u32 len)
{
	if (!zero_between(in, 0, START(mark)) || !zero_between(in, END(mark), START(priority)) ||
	    !zero_between(in, END(priority), START(ingress_ifindex)) || !zero_between(in, END(ifindex), START(cb)) ||
	    !zero_between(in, END(cb), START(tstamp)) || !zero_between(in, END(gso_segs), START(gso_size)) ||
	    !zero_between(in, END(gso_size), START(hwtstamp)))
		return -EINVAL;
	if (in->wire_len && (in->wire_len < len || in->wire_len > 65536))
		return -EINVAL;
	return in->gso_segs > 65535 ? -EINVAL : 0;
}

/* Linux takes no IP packet without a whole header. */
static s64 least_header(u32 protocol)
{
	return protocol == __builtin_bswap16(ETHERTYPE_IP) ? 20 : protocol == __builtin_bswap16(ETHERTYPE_IPV6) ? 40 : 0;
}

static int skb_test_run(struct skep *k, struct prog *p, struct attr_test_run *a, struct stage *s, struct test_told *told)
{
	struct __sk_buff in, *skb = &s->ctx.skb;
	u32 size;
	u8 *frame;
	int err;

	if (a->flags & ~(1u << 2) /* BPF_F_TEST_SKB_CHECKSUM_COMPLETE */ || a->cpu || a->batch_size)
		return -EINVAL;
	if (a->flags) {
		log_line(k, "PROG_TEST_RUN: BPF_F_TEST_SKB_CHECKSUM_COMPLETE is not supported");
		return -EOPNOTSUPP;
	}
	if (a->data_size_in > STAGE_MOST)
		return -EINVAL;
	if (!a->data_in)
		return -EFAULT;
	err = ctx_in(a, &in, sizeof(in));
	if (err)
		return err;
	if (in.ifindex > 1)
		return -ENODEV;
	err = stage_open(s, &k->mem, p, MAX(a->data_size_in + 256, (u32)PAGE));
	if (err)
		return err;
	stage_put(s, PTR(a->data_in), a->data_size_in, 0, 0);
	if (s->packet.tail - s->packet.network < least_header(skb->protocol)) {
		log_line(k, "PROG_TEST_RUN: an IP packet without a whole header: %lld bytes behind the Ethernet header",
			 (long long)(s->packet.tail - s->packet.network));
		return -EINVAL;
	}
	err = a->ctx_in ? check_skb(&in, skb->len) : 0;
	if (err)
		return err;
	if (a->ctx_in || a->ctx_out) {
		skb->mark = in.mark;
		skb->priority = in.priority;
		skb->ingress_ifindex = in.ingress_ifindex;
		memcpy(skb->cb, in.cb, sizeof(skb->cb));
		skb->tstamp = in.tstamp;
		skb->wire_len = in.wire_len ? in.wire_len : skb->len;
		skb->gso_segs = in.gso_segs;
		skb->gso_size = in.gso_size;
		skb->hwtstamp = in.hwtstamp;
	}
	err = repeat_run(k, p, s, a, told);
	if (err)
		return err;
	frame = stage_frame(s, &size);
	if (!s->has_link_header) { /* the header was taken off; an empty one comes back */
		frame -= ETH_HLEN;
		memset(frame, 0, ETH_HLEN);
		size += ETH_HLEN;
	}
	in.mark = skb->mark;
	in.priority = skb->priority;
	in.ingress_ifindex = skb->ingress_ifindex;
	in.ifindex = skb->ifindex;
	memcpy(in.cb, skb->cb, sizeof(in.cb));
	in.tstamp = skb->tstamp;
	in.wire_len = skb->wire_len;
	in.gso_segs = skb->gso_segs;
	in.hwtstamp = skb->hwtstamp;
	err = give(a->data_out, &a->data_size_out, frame, size);
	if (err || !a->ctx_out)
		return err;
	return give(a->ctx_out, &a->ctx_size_out, &in, sizeof(in));
}

int packet_test_run(struct skep *k, struct prog *p, struct attr_test_run *a, struct test_told *told)
{
	struct stage s = {.mem = &k->mem};
	int err;

	if (p->kind->runs == RUN_XDP && (p->attach_type == BPF_XDP_DEVMAP || p->attach_type == BPF_XDP_CPUMAP))
		return -EINVAL; /* these run behind a redirection */
	if (a->data_size_in < ETH_HLEN)
		return -EINVAL;
	err = p->kind->runs == RUN_XDP ? xdp_test_run(k, p, a, &s, told) : skb_test_run(k, p, a, &s, told);
	stage_close(&s);
	return err;
}

/* ---- raw tracepoints and syscall programs: a flat context ---- */

int flat_test_run(struct skep *k, struct prog *p, struct attr_test_run *a, struct test_told *told)
{
	bool writable = p->kind->ctx->flags & CTX_TYPE_WRITABLE;
	u32 most = writable ? UINT16_MAX : MOST_ARGS;
	struct hold hold, *held = NULL;
	struct run r;
	u64 result = 0;
	u8 *ctx;
	int err;

	if (a->data_in || a->data_out || a->ctx_out || a->duration || a->repeat || a->batch_size)
		return -EINVAL;
	if (a->ctx_size_in > most || run_context_short(k, p, a->ctx_size_in))
		return -EINVAL;
	if (writable && a->flags)
		return -EINVAL;
	if (!writable && a->cpu && !(a->flags & BPF_F_TEST_RUN_ON_CPU))
		return -EINVAL;
	if (!writable && a->cpu >= domain_cpus(k->domain))
		return -ENXIO;
	ctx = mem_alloc(&k->mem, most);
	if (!ctx)
		return -ENOMEM;
	if (a->ctx_size_in)
		memcpy(ctx, PTR(a->ctx_in), a->ctx_size_in);
	err = run_begin(k, p, &hold, &held);
	if (!err) {
		run_prepare(k, &r, p);
		r.hold = held;
		r.ctx = (struct run_ctx){.type = p->kind->ctx, .bytes = ctx, .size = writable ? a->ctx_size_in : most};
		err = vm_run(&r, &result);
		if (held)
			hold_drop(held);
		run_account(k, p, 1, 0);
		if (err)
			tell_fault(k, p, &r, told);
	}
	a->retval = (u32)result;
	if (!err && writable && a->ctx_size_in)
		memcpy(PTR(a->ctx_in), ctx, a->ctx_size_in);
	mem_free(&k->mem, ctx, most);
	return err;
}

int hook_test_run(struct skep *k, struct prog *p, struct attr_test_run *a, struct test_told *told)
{
	if (!(p->kind->flags & PT_TEST_RUN))
		return -ENOTSUPP;
	switch (p->kind->id == p->type ? (enum progtype_runs)p->kind->runs : RUN_NONE) { /* an extension runs in its target */
	case RUN_SKB:
	case RUN_XDP: return packet_test_run(k, p, a, told);
	case RUN_FLAT:
	case RUN_OWN: return flat_test_run(k, p, a, told);
	case RUN_EVENT: log_line(k, "PROG_TEST_RUN: programs of type %s run where they are attached", p->kind->name); return -EOPNOTSUPP;
	case RUN_NONE: break;
	}
	log_line(k, "PROG_TEST_RUN: programs of type %s cannot be run by skep %s: they are verified only", p->kind->name, skep_version());
	return -EOPNOTSUPP;
}
