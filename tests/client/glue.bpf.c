/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs in sections whose names libbpf 1.1 does not know, and one that drains what its users write into a ring. */
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

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} from_users SEC(".maps");

__u64 sum;

static long add(struct bpf_dynptr *record, void *ctx)
{
	__u64 value;

	if (!bpf_dynptr_read(&value, sizeof(value), record, 0, 0))
		sum += value;
	return 0;
}

SEC("tcx/egress") int drain(struct __sk_buff *skb)
{
	return bpf_user_ringbuf_drain(&from_users, add, 0, 0);
}

char LICENSE[] SEC("license") = "GPL";
