/* SPDX-License-Identifier: BSD-2-Clause */
/* Values of every kind of type, for tests/cli/values. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum signed_name { MINUS = -2, PLUS = 1 };
enum wide_name { SMALL, LARGE = 1ULL << 40 };

struct all {
	int minus;
	struct {
		int in_struct, also_in_struct;
	};
	union {
		int word;
		short half;
	};
	int bits : 3, : 5;
	unsigned int more_bits : 3;
	enum signed_name name_bits : 4;
	enum signed_name unknown_name;
	unsigned long long big;
	__int128 huge;
	signed char letter;
	char text[12];
	unsigned char bytes[4], addr[4];
	_Bool yes[2];
	void *pointer;
	__be32 number, saddr;
	__be16 port;
};

struct prefix {
	unsigned int prefixlen;
	unsigned char data[4];
};

struct floats {
	float f;
	double d[2];
};

#define MAP(name, kind, most, key_type, value_type) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, most); \
		__type(key, key_type); \
		__type(value, value_type); \
	} name SEC(".maps")
#define LIST(name, kind) \
	struct { \
		__uint(type, kind); \
		__uint(max_entries, 8); \
		__type(value, unsigned int); \
	} name SEC(".maps")

MAP(alls, BPF_MAP_TYPE_ARRAY, 1, unsigned int, struct all);
MAP(floating, BPF_MAP_TYPE_ARRAY, 1, unsigned int, struct floats);
MAP(sparse, BPF_MAP_TYPE_ARRAY, 4, unsigned int, unsigned int);
LIST(queued, BPF_MAP_TYPE_QUEUE);
LIST(stacked, BPF_MAP_TYPE_STACK);
LIST(bloom, BPF_MAP_TYPE_BLOOM_FILTER);

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, unsigned int);
} prefixes SEC(".maps");

int called(struct xdp_md *ctx);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int(void *));
} programs SEC(".maps") = {.values = {[2] = (void *)&called}};

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, unsigned int);
	__type(value, unsigned int);
} inside SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, unsigned int);
	__array(values, struct inner);
} outer SEC(".maps") = {.values = {[1] = &inside}};

enum wide_name wide = LARGE;
const char format[] = "two\nlines";

SEC("xdp") int called(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("xdp") int fill(struct xdp_md *ctx)
{
	unsigned int zero = 0, two = 2;
	struct all *a = bpf_map_lookup_elem(&alls, &zero);
	unsigned long long *floats = bpf_map_lookup_elem(&floating, &zero);
	struct prefix p = {24, {192, 0, 2, 0}};

	bpf_tail_call(ctx, &programs, 0); /* so that the program array has an owner */
	if (!a || !floats)
		return XDP_ABORTED;
	a->minus = -1;
	a->in_struct = 2;
	a->also_in_struct = -3;
	a->word = -5;
	a->bits = -1;
	a->more_bits = 7;
	a->name_bits = MINUS;
	a->unknown_name = -7;
	a->big = 1ULL << 63;
	a->huge = -1;
	a->letter = -7;
	__builtin_memcpy(a->text, "\033[2J\"\x01\xc2\x9b\xff", 9);
	__builtin_memcpy(a->bytes, "\x01\x02\x03\x04", 4);
	__builtin_memcpy(a->addr, "\x0a\x01\x02\x03", 4);
	a->yes[1] = 1;
	a->pointer = (void *)0xff00;
	a->number = __builtin_bswap32(77);
	a->saddr = __builtin_bswap32(0x7f000001);
	a->port = __builtin_bswap16(443);
	floats[0] = 0x3dcccccd; /* 0.1 */
	floats[1] = 0x3fb999999999999aULL; /* 0.1 */
	floats[2] = 0xfff0000000000000ULL; /* minus infinity */
	bpf_map_update_elem(&sparse, &two, &two, BPF_ANY);
	bpf_map_update_elem(&prefixes, &p, &two, BPF_ANY);
	for (unsigned int i = 1; i < 4; i++) {
		unsigned int value = i;

		bpf_map_push_elem(&queued, &value, 0);
		bpf_map_push_elem(&stacked, &value, 0);
		bpf_map_push_elem(&bloom, &value, 0);
	}
	return wide == LARGE && format[0] ? XDP_PASS : XDP_ABORTED;
}

unsigned int linear, whole, last, cut;

/* Of a frame in fragments, a program sees the first piece; helpers reach all of it. */
SEC("xdp.frags") int pieces(struct xdp_md *ctx)
{
	unsigned char byte = 0;

	linear = ctx->data_end - ctx->data;
	whole = bpf_xdp_get_buff_len(ctx);
	bpf_xdp_load_bytes(ctx, whole - 1, &byte, 1);
	last = byte;
	bpf_xdp_adjust_tail(ctx, -7000);
	cut = ctx->data_end - ctx->data;
	return XDP_PASS;
}

SEC("tc") int mark(struct __sk_buff *skb)
{
	skb->mark++;
	return 0;
}

SEC("syscall") int twice(int *ctx)
{
	ctx[1] = 2 * ctx[0];
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
