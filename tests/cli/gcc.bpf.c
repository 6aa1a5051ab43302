/* SPDX-License-Identifier: BSD-2-Clause */
/* For GCC, which knows helpers by an attribute. Counts frames by their size and passes those of IPv4's TCP. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

#define SEC(name)	  __attribute__((section(name), used))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name

static void *map_lookup(void *map, const void *key) __attribute__((kernel_helper(1)));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

unsigned weight = 3; /* one alone: what lies behind it, GNU as 2.40 places wrong */

static __attribute__((noinline)) unsigned is_long(unsigned size)
{
	return size > 100;
}

SEC("xdp") int tcp_only(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__u32 key = is_long((unsigned)(end - data));
	__u64 *count = map_lookup(&counts, &key);

	if (count)
		__sync_fetch_and_add(count, weight);
	if ((void *)(ip + 1) > end || eth->h_proto != 8)
		return XDP_DROP;
	return ip->protocol == 6 ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
