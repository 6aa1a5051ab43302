/* SPDX-License-Identifier: BSD-2-Clause */
/* A program array whose slots the object itself fills. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

int third(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int(struct xdp_md *));
} next SEC(".maps") = {.values = {[3] = (void *)&third}};

SEC("xdp") int third(struct xdp_md *ctx)
{
	return XDP_TX;
}

SEC("xdp") int first(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &next, 3);
	return XDP_DROP;
}

/* Nothing names it, and no build has what it asks for. */
SEC("fentry/no_such_function_anywhere") int stranger(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
