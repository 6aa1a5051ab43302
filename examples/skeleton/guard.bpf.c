/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An XDP program with all that a skeleton offers: constants that are set before loading (.rodata), variables that the user
 * side reads while it runs (.bss, .data), a ring buffer, a perf buffer. It drops UDP packets to one port.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "guard.h"

/* Set by the user side before loading: the program is compiled as if they were constants. */
const volatile __u16 blocked_port = 0;
const volatile __u32 sample_every = 1;

struct counters counters = {}; /* .bss */
__u64 next_serial = 100; /* .data */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} drops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(int));
	__uint(value_size, sizeof(int));
} samples SEC(".maps");

static __always_inline void report_drop(const struct iphdr *ip, __u16 port, __u32 length)
{
	struct drop_event *e = bpf_ringbuf_reserve(&drops, sizeof(*e), 0);

	if (!e) {
		__sync_fetch_and_add(&counters.lost, 1);
		return;
	}
	e->serial = __sync_fetch_and_add(&next_serial, 1);
	e->source = ip->saddr;
	e->port = port;
	e->length = length;
	bpf_ringbuf_submit(e, 0);
}

SEC("xdp")
int guard(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 length = (__u32)(end - data);
	struct sample_event sample;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp;
	__u64 n;

	n = __sync_fetch_and_add(&counters.packets, 1);
	__sync_fetch_and_add(&counters.bytes, length);
	if (sample_every && n % sample_every == 0) {
		sample.number = n;
		sample.length = length;
		/* the upper half of the flags: that many bytes of the packet follow the sample */
		bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU | (__u64)ETH_HLEN << 32, &sample, sizeof(sample));
	}
	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP || ip->ihl != 5)
		return XDP_PASS;
	udp = (void *)(ip + 1);
	if ((void *)(udp + 1) > end || udp->dest != bpf_htons(blocked_port))
		return XDP_PASS;
	__sync_fetch_and_add(&counters.dropped, 1);
	report_drop(ip, bpf_ntohs(udp->dest), length);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
