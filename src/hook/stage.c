/* SPDX-License-Identifier: BSD-2-Clause */
/* A packet on stage: buffer, head and tail room, and the context struct that a program sees it through. */
#include "hook/hook.h"

#include <linux/pkt_cls.h>
#include <net/ethernet.h>
#include <netinet/ip6.h>
#include <linux/ip.h>
#include <stddef.h>
#include <sys/socket.h>

enum { HOST = 0, MULTICAST = 2, OTHER_HOST = 3 };

int stage_open(struct stage *s, const struct mem *mem, const struct prog *p, u32 most)
{
	*s = (struct stage){.mem = mem, .is_xdp = p->kind->runs == RUN_XDP, .has_link_header = p->kind->flags & PT_LINK_HEADER};
	s->size = STAGE_HEAD + most + STAGE_TAIL;
	s->buffer = mem_alloc(mem, s->size);
	return s->buffer ? 0 : -ENOMEM;
}

void stage_close(struct stage *s)
{
	mem_free(s->mem, s->buffer, s->size);
	s->buffer = NULL;
}

/* As the loopback device judges: its own and its broadcast address are all zeroes, so no frame is a broadcast. */
static u32 packet_type(const u8 *destination)
{
	static const u8 ours[ETH_ALEN];

	if (destination[0] & 1)
		return MULTICAST;
	return memcmp(destination, ours, ETH_ALEN) ? OTHER_HOST : HOST;
}

/* The protocol that eth_type_trans() finds: below 1536 the field is a length. */
static u16 ethertype(const u8 *frame)
{
	u16 type = LOAD_AS(u16, frame + 12);

	return __builtin_bswap16(type) >= 1536 ? type : __builtin_bswap16(0x0004 /* ETH_P_802_2 */);
}

/* Addresses as in the packet: what came from the other end. */
static void put_socket(struct stage *s)
{
	const struct packet *p = &s->packet;
	struct __sk_buff *skb = &s->ctx.skb;
	struct bpf_sock *sock = &s->sock;
	size_t behind = (size_t)(p->tail - p->network);

	*sock = (struct bpf_sock){.state = BPF_TCP_CLOSE, .rx_queue_mapping = -1};
	if (skb->protocol == __builtin_bswap16(ETHERTYPE_IP)) {
		sock->family = AF_INET;
		if (behind >= sizeof(struct iphdr)) {
			sock->src_ip4 = LOAD_AS(u32, p->network + offsetof(struct iphdr, saddr));
			sock->dst_ip4 = LOAD_AS(u32, p->network + offsetof(struct iphdr, daddr));
		}
	} else if (skb->protocol == __builtin_bswap16(ETHERTYPE_IPV6)) {
		sock->family = AF_INET6;
		if (behind >= sizeof(struct ip6_hdr)) {
			memcpy(sock->src_ip6, p->network + offsetof(struct ip6_hdr, ip6_src), sizeof(sock->src_ip6));
			memcpy(sock->dst_ip6, p->network + offsetof(struct ip6_hdr, ip6_dst), sizeof(sock->dst_ip6));
		}
	}
	skb->family = sock->family;
	skb->local_ip4 = sock->src_ip4;
	skb->remote_ip4 = sock->dst_ip4;
	memcpy(skb->local_ip6, sock->src_ip6, sizeof(skb->local_ip6));
	memcpy(skb->remote_ip6, sock->dst_ip6, sizeof(skb->remote_ip6));
	skb->sk = sock;
}

void stage_put(struct stage *s, const void *frame, u32 size, u32 meta, u32 frags)
{
	u32 head = s->is_xdp ? STAGE_HEAD_XDP - meta : STAGE_HEAD; /* metadata is part of the headroom */
	struct packet *p = &s->packet;
	u8 *start = s->buffer + head;

	memcpy(start, frame, size);
	*p = (struct packet){
		.head = s->buffer, .meta = start, .data = start + meta, .tail = start + size - frags, .frags = frags, .end = s->buffer + s->size - STAGE_TAIL,
		.mac = start, .network = start + ETH_HLEN, .ifindex = LOOPBACK,
	};
	if (s->is_xdp) {
		/* Linux keeps a page: what a program may grow into ends where the page's shared info begins. */
		if (head + size - frags <= 4096 - STAGE_TAIL)
			p->end = s->buffer + 4096 - STAGE_TAIL;
		s->ctx.xdp = (struct xdp_md){.ingress_ifindex = LOOPBACK};
		return;
	}
	p->tunnel = &s->tunnel;
	p->sock = &s->sock;
	p->head += s->has_link_header ? 0 : ETH_HLEN; /* for the header to come back */
	s->tunnel.set = false;
	p->data = p->meta = s->has_link_header ? start : start + ETH_HLEN;
	s->ctx.skb = (struct __sk_buff){
		.len = (u32)(p->tail - p->data), .pkt_type = packet_type(start), .protocol = ethertype(start), .ifindex = LOOPBACK,
	};
	put_socket(s);
}

bool stage_nowhere(const struct stage *s, const struct prog *p, u64 verdict)
{
	const struct way *w = &s->packet.way;
	bool redirects = p->type == BPF_PROG_TYPE_SCHED_CLS || p->type == BPF_PROG_TYPE_SCHED_ACT || p->type == BPF_PROG_TYPE_LWT_XMIT;

	_Static_assert((int)TC_ACT_REDIRECT == (int)BPF_REDIRECT, "a verdict for tc and for tunnels");
	if (s->is_xdp ? (u32)verdict != XDP_REDIRECT : !redirects || (u32)verdict != TC_ACT_REDIRECT)
		return false;
	return w->kind == WAY_NONE || (w->kind == WAY_DEVICE && !w->target);
}

void stage_aim(struct stage *s, struct run *r)
{
	r->ctx = (struct run_ctx){
		.type = r->prog->kind->ctx, .bytes = (u8 *)&s->ctx, .packet = &s->packet,
		.size = s->is_xdp ? sizeof(s->ctx.xdp) : sizeof(s->ctx.skb),
	};
	r->n_spans = 0;
	if (s->packet.sock)
		r->spans[r->n_spans++] = (struct run_span){(u64)(uintptr_t)s->packet.sock, sizeof(s->sock), false, "socket"};
}
