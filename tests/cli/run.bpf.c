/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs for tests/cli/run: a verdict from the packet, a rewrite, a context, a fault, output, typed maps. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct address {
	unsigned char octet[4];
};

struct rule {
	unsigned int port;
	short weight;
	struct address from;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, unsigned int);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} records SEC(".maps");

/* bpf(2) refuses such a key for an array, and libbpf then creates the map without types: the object's are shown all the same. */
enum colour { RED, GREEN, BLUE, COLOURS };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COLOURS);
	__type(key, enum colour);
	__type(value, struct address);
} colours SEC(".maps");

struct record {
	unsigned int first, length;
};

const volatile struct record *type_of_records; /* so that BTF has it */
unsigned long long seen;

/* The packet's first byte says what becomes of it; rule 1's port, if there is one, takes precedence. */
SEC("xdp") int verdict(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	unsigned int one = 1;
	struct rule *r = bpf_map_lookup_elem(&rules, &one);
	struct record *e;

	seen++;
	if (data + 1 > end)
		return XDP_ABORTED;
	e = bpf_ringbuf_reserve(&records, sizeof(*e), 0);
	if (e) {
		e->first = data[0];
		e->length = (unsigned int)(end - data);
		bpf_ringbuf_submit(e, 0);
	}
	return r ? (int)r->port : data[0];
}

/* Says what it sees: the protocol and the byte behind the link-layer header. */
SEC("xdp") int protocol(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	enum colour green = GREEN;
	struct address *a = bpf_map_lookup_elem(&colours, &green);

	if (data + 15 > end)
		return XDP_ABORTED;
	if (a)
		a->octet[0]++;
	bpf_printk("protocol %x, then %x", data[12] << 8 | data[13], data[14]);
	return data[14] >> 4 == 6 ? XDP_PASS : XDP_DROP;
}

SEC("tc") int rewrite(struct __sk_buff *skb)
{
	unsigned char value = 0x77;

	bpf_skb_store_bytes(skb, 0, &value, 1, 0);
	return skb->mark == 9 ? 2 : 0;
}

/* IPv4 goes on if its socket, too, says so; the rest with congestion, or not at all. */
SEC("cgroup_skb/egress") int of_cgroup(struct __sk_buff *skb)
{
	struct bpf_sock *sock = skb->sk;

	sock = sock ? bpf_sk_fullsock(sock) : 0;
	if (!sock)
		return 0;
	return sock->family == 2 /* AF_INET */ ? 1 : sock->family ? 3 : 2;
}

/* Puts a byte in front; without the link-layer header. */
SEC("lwt_xmit") int of_tunnel(struct __sk_buff *skb)
{
	unsigned char byte = 0x77;

	if (skb->protocol == 0xdd86 /* IPv6 */)
		return BPF_LWT_REROUTE;
	if (skb->protocol != 8 /* IPv4 */ || bpf_skb_change_head(skb, 1, 0))
		return BPF_DROP;
	bpf_skb_store_bytes(skb, 0, &byte, 1, 0);
	return skb->len == 21 ? BPF_REDIRECT : BPF_OK;
}

SEC("socket") int first_bytes(struct __sk_buff *skb)
{
	return 3;
}

SEC("xdp") int away(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data;

	if (data + 1 > (unsigned char *)(long)ctx->data_end)
		return XDP_ABORTED;
	return *data == 2 ? (int)bpf_redirect(5, 0) : XDP_REDIRECT;
}

SEC("raw_tp/sys_enter") int sum(struct bpf_raw_tracepoint_args *ctx)
{
	return (int)(ctx->args[0] + ctx->args[1]);
}

SEC("syscall") int says(void *ctx)
{
	bpf_printk("the answer is %d", 42);
	return 0;
}

SEC("kprobe/vfs_read") int probe(void *ctx)
{
	return 0;
}

/* What the verifier of a kernel would refuse is found when it happens. */
SEC("xdp") int outside(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data;

	return data[100];
}

char LICENSE[] SEC("license") = "GPL";

/* What the engine has no type of, and a counted reference that its programs cannot take, are nothing to programs that do without. */
struct other_ops {
	int (*func)(void);
};

SEC("struct_ops") int of_other_ops(unsigned long long *ctx)
{
	return ctx ? 0 : 1;
}

SEC(".struct_ops") struct other_ops others = {.func = (void *)of_other_ops};

struct task_struct;
struct held {
	struct task_struct __attribute__((btf_type_tag("kptr"))) *task;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, unsigned int);
	__type(value, struct held);
} tasks SEC(".maps");
