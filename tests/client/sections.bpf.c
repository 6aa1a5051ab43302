/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs in sections whose names libbpf 1.1 does not know. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tcx/ingress") int ingress(struct __sk_buff *skb)
{
	return 1;
}

SEC("netkit/peer") int peer(struct __sk_buff *skb)
{
	return 2;
}

SEC("uprobe.multi.s/libc.so.6:malloc") int multi(void *ctx)
{
	return 0;
}

SEC("unheard.of") int unknown(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
