/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An XDP firewall: drops packets from blocked prefixes (an LPM trie per address family) and to closed ports (a hash of
 * protocol and port), counts per CPU, and reports every drop through a ring buffer.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum reason { PASSED, BLOCKED_SOURCE, CLOSED_PORT, MALFORMED, REASONS };
enum kind { IPV4_TCP, IPV4_UDP, IPV4_ICMP, IPV4_FRAGMENT, IPV6_TCP, IPV6_UDP, IPV6_ICMP, IPV6_FRAGMENT, OTHER, KINDS };

struct prefix4 {
	__u32 length;
	__u8 address[4];
};
struct prefix6 {
	__u32 length;
	__u8 address[16];
};
struct rule {
	__u16 protocol;
	__be16 port;
};
struct count {
	__u64 packets, bytes;
};
struct event {
	enum reason reason;
	__u32 bytes;
	__u16 protocol;
	__be16 port;
	__u8 source[16]; /* IPv4 addresses as ::ffff:a.b.c.d */
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct prefix4);
	__type(value, __u32); /* hits */
} blocked4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct prefix6);
	__type(value, __u32);
} blocked6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct rule);
	__type(value, __u32);
} closed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KINDS);
	__type(key, enum kind);
	__type(value, struct count);
} traffic SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} drops SEC(".maps");

const struct event *event_type __attribute__((unused)); /* keeps the struct in the object's BTF */

/* What the parser found. */
struct packet {
	enum kind kind;
	__u16 protocol;
	__be16 port;
	struct prefix4 source4;
	struct prefix6 source6;
	__u32 bytes;
};

static __always_inline int ports(struct packet *p, void *at, void *end)
{
	struct {
		__be16 source, destination;
	} *l4 = at;

	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return 0;
	if ((void *)(l4 + 1) > end)
		return -1;
	p->port = l4->destination;
	return 0;
}

static __always_inline int parse4(struct packet *p, void *at, void *end)
{
	struct iphdr *ip = at;

	if ((void *)(ip + 1) > end || ip->ihl < 5)
		return -1;
	p->protocol = ip->protocol;
	p->source4.length = 32;
	__builtin_memcpy(p->source4.address, &ip->saddr, 4);
	p->kind = ip->protocol == IPPROTO_TCP ? IPV4_TCP : ip->protocol == IPPROTO_UDP ? IPV4_UDP : ip->protocol == IPPROTO_ICMP ? IPV4_ICMP : OTHER;
	if (ip->frag_off & bpf_htons(0x3fff)) /* more fragments follow, or this is not the first */
		p->kind = IPV4_FRAGMENT;
	if (ip->frag_off & bpf_htons(0x1fff)) /* ports are in the first one only */
		return 0;
	return ports(p, at + ip->ihl * 4, end);
}

static __always_inline int parse6(struct packet *p, void *at, void *end)
{
	struct ipv6hdr *ip = at;
	struct {
		__u8 next, reserved;
		__be16 offset;
		__be32 id;
	} *fragment;

	if ((void *)(ip + 1) > end)
		return -1;
	p->protocol = ip->nexthdr;
	p->source6.length = 128;
	__builtin_memcpy(p->source6.address, &ip->saddr, 16);
	at = ip + 1;
	if (p->protocol == IPPROTO_FRAGMENT) {
		fragment = at;
		if ((void *)(fragment + 1) > end)
			return -1;
		p->protocol = fragment->next;
		p->kind = IPV6_FRAGMENT;
		if (fragment->offset & bpf_htons(0xfff8))
			return 0;
		return ports(p, fragment + 1, end);
	}
	p->kind = p->protocol == IPPROTO_TCP ? IPV6_TCP : p->protocol == IPPROTO_UDP ? IPV6_UDP : p->protocol == IPPROTO_ICMPV6 ? IPV6_ICMP : OTHER;
	return ports(p, at, end);
}

static __always_inline int parse(struct packet *p, void *data, void *end)
{
	struct ethhdr *eth = data;
	__be16 type;

	if ((void *)(eth + 1) > end)
		return -1;
	type = eth->h_proto;
	data = eth + 1;
	if (type == bpf_htons(ETH_P_8021Q)) {
		if (data + 4 > end)
			return -1;
		type = *(__be16 *)(data + 2);
		data += 4;
	}
	p->kind = OTHER;
	if (type == bpf_htons(ETH_P_IP))
		return parse4(p, data, end);
	return type == bpf_htons(ETH_P_IPV6) ? parse6(p, data, end) : 0;
}

static __always_inline void report(const struct packet *p, enum reason reason)
{
	struct event *e = bpf_ringbuf_reserve(&drops, sizeof(*e), 0);

	if (!e)
		return;
	e->reason = reason;
	e->bytes = p->bytes;
	e->protocol = p->protocol;
	e->port = p->port;
	__builtin_memset(e->source, 0, sizeof(e->source));
	if (p->source6.length) {
		__builtin_memcpy(e->source, p->source6.address, 16);
	} else if (p->source4.length) {
		e->source[10] = e->source[11] = 0xff;
		__builtin_memcpy(e->source + 12, p->source4.address, 4);
	}
	bpf_ringbuf_submit(e, 0);
}

static __always_inline enum reason judge(const struct packet *p)
{
	struct rule rule = {.protocol = p->protocol, .port = p->port};
	__u32 *hits = NULL;

	if (p->source4.length)
		hits = bpf_map_lookup_elem(&blocked4, &p->source4);
	else if (p->source6.length)
		hits = bpf_map_lookup_elem(&blocked6, &p->source6);
	if (hits) {
		__sync_fetch_and_add(hits, 1);
		return BLOCKED_SOURCE;
	}
	if (p->port)
		hits = bpf_map_lookup_elem(&closed, &rule);
	if (hits) {
		__sync_fetch_and_add(hits, 1);
		return CLOSED_PORT;
	}
	return PASSED;
}

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct packet p = {.bytes = end - data};
	enum reason reason = parse(&p, data, end) ? MALFORMED : judge(&p);
	struct count *count = bpf_map_lookup_elem(&traffic, &p.kind);

	if (count) {
		count->packets++;
		count->bytes += p.bytes;
	}
	if (reason == PASSED)
		return XDP_PASS;
	report(&p, reason);
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
