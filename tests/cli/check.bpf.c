/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests/cli/check shows to skep check: parts are chosen by -DPART_... */
typedef unsigned int u32;
typedef unsigned long long u64;
#define SEC(name) __attribute__((section(name), used))

struct xdp_md {
	u32 data, data_end;
};

static void *(*lookup)(void *map, const void *key) = (void *)1;

#ifdef PART_LEGACY
struct bpf_map_def {
	u32 type, key_size, value_size, max_entries, map_flags;
};
struct bpf_map_def SEC("maps") counts = {.type = 2, .key_size = 4, .value_size = 8, .max_entries = 4};
struct bpf_map_def SEC("maps") names = {.type = 1, .key_size = 16, .value_size = 12, .max_entries = 100};

SEC("xdp") int count(struct xdp_md *ctx)
{
	u32 key = 1;
	u64 *n = lookup(&counts, &key);

	(void)ctx;
	if (n)
		(*n)++;
	return 2;
}

SEC("xdp") int find(struct xdp_md *ctx)
{
	char key[16] = "name";

	(void)ctx;
	return lookup(&names, key) ? 1 : 2;
}
#endif

#ifdef PART_BOTH /* maps of the old kind beside those of the new, and in sections of their own */
struct bpf_map_def {
	u32 type, key_size, value_size, max_entries, map_flags;
};
struct bpf_map_def SEC("maps") old = {.type = 2, .key_size = 4, .value_size = 8, .max_entries = 4};
struct bpf_map_def SEC("maps") old_too = {.type = 1, .key_size = 16, .value_size = 12, .max_entries = 100};
struct bpf_map_def SEC("maps/apart") apart = {.type = 2, .key_size = 4, .value_size = 24, .max_entries = 4};
#ifdef PART_NEW
struct new_map {
	int (*type)[2];
	int (*max_entries)[1];
	u32 *key;
	u32 *value;
};
struct new_map SEC(".maps") new_one = {};
struct new_map SEC(".maps") new_two = {};
#endif

SEC("xdp") int both(struct xdp_md *ctx)
{
	u32 key = 1, zero = 0;
	u64 *n = lookup(&old, &key), *last = lookup(&apart, &key);
	char name[16] = "name";

	(void)ctx;
	if (n)
		(*n)++;
	if (last)
		last[2] = 7;
	if (lookup(&old_too, name))
		return 1;
#ifdef PART_NEW
	u32 *first = lookup(&new_one, &zero), *second = lookup(&new_two, &zero);

	if (first && second)
		*first = *second + 5;
#endif
	return 2;
}
#endif

#ifdef PART_STATIC
SEC("xdp") static int hidden(struct xdp_md *ctx)
{
	(void)ctx;
	return 2;
}
#endif

#ifdef PART_SECTIONS
SEC("mine") int guessed(struct xdp_md *ctx)
{
	(void)ctx;
	return 2;
}

SEC("other") int unknown(void *ctx)
{
	(void)ctx;
	return 1;
}

/* What these meant before libbpf 1.0; only a device map's program may read egress_ifindex. */
SEC("xdp_devmap/out") int to_device(struct xdp_md *ctx)
{
	return *(u32 *)((char *)ctx + 20) == 3;
}

struct __sk_buff;
SEC("socket1") int socket_one(struct __sk_buff *ctx)
{
	(void)ctx;
	return 0;
}

SEC("classifier_egress") int going_out(void *ctx)
{
	(void)ctx;
	return 0;
}

SEC("action_none") int other_context(struct xdp_md *ctx)
{
	(void)ctx;
	return 2;
}
#endif

#ifdef PART_STRUCTS
struct tcp_congestion_ops___mine {
	u32 (*undo_cwnd)(void *sk);
	u32 (*ssthresh)(void *sk);
	u32 (*not_there)(void *sk);
	char name[16];
};
struct not_there_ops {
	u32 (*ssthresh)(void *sk);
};
u32 not_there(void) __attribute__((section(".ksyms")));

SEC("struct_ops") u32 of_known(u64 *ctx)
{
	(void)ctx;
	return 2;
}
SEC("struct_ops") u32 calls_nothing(u64 *ctx)
{
	(void)ctx;
	return not_there();
}
SEC("struct_ops") u32 of_member(u64 *ctx)
{
	(void)ctx;
	return 2;
}
SEC("struct_ops") u32 of_struct(u64 *ctx)
{
	(void)ctx;
	return 2;
}
SEC("struct_ops") u32 of_none(u64 *ctx)
{
	(void)ctx;
	return 2;
}
SEC("xdp") int beside(struct xdp_md *ctx)
{
	(void)ctx;
	return 2;
}

SEC(".struct_ops.link") struct tcp_congestion_ops___mine first = {.ssthresh = (void *)of_known, .undo_cwnd = (void *)calls_nothing, .name = "first"};
SEC("?.struct_ops") struct tcp_congestion_ops___mine second = {.not_there = (void *)of_member, .name = "second"};
SEC(".struct_ops") struct not_there_ops third = {.ssthresh = (void *)of_struct};
#endif

#ifdef PART_TEXT
int alone(struct xdp_md *ctx)
{
	(void)ctx;
	return 2;
}
#endif

#ifdef PART_PROGRAMS
static long (*no_such_helper)(void) = (void *)9999;

SEC("xdp") int good(struct xdp_md *ctx)
{
	(void)ctx;
	return 2;
}

SEC("xdp") int bad(struct xdp_md *ctx)
{
	(void)ctx;
	return (int)no_such_helper();
}
#endif

#ifndef NO_LICENSE
char licensed[] SEC("license") = "GPL";
#endif

#ifdef PART_REASON
SEC("xdp") int short_check(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 4 > end) /* 4 proved */
		return 1;
	return data[13]; /* 14 needed */
}
#endif

#ifdef PART_SIZES
struct { /* its sizes are its loader's to set */
	int (*type)[7]; /* STACK_TRACE */
	u32 *key;
} stacks SEC(".maps");

struct {
	int (*type)[1]; /* HASH */
	u32 *key;
	u64 *value;
} seen SEC(".maps");

static long (*get_stackid)(void *ctx, void *map, u64 flags) = (void *)27;

SEC("raw_tp/sys_enter") int sized_later(void *ctx)
{
	u32 key = 0;

	return lookup(&seen, &key) || get_stackid(ctx, &stacks, 0) > 0;
}
#endif

#ifdef PART_LOADERS
/* What loaders other than libbpf take: sizes of records in maps that have none, sections that begin with a known name, addresses of the kernel of no type. */
struct record {
	u64 a, b;
};

struct {
	int (*type)[27]; /* RINGBUF */
	int (*max_entries)[4096];
	struct record *value;
} records SEC(".maps");

struct {
	int (*type)[4]; /* PERF_EVENT_ARRAY */
	int (*pinning)[1]; /* below /sys/fs/bpf */
	struct record *value;
} events SEC(".maps");

extern void no_such_symbol __attribute__((section(".ksyms"), weak));

static long (*ringbuf_output)(void *map, const void *data, u64 size, u64 flags) = (void *)130;
static long (*perf_event_output)(void *ctx, void *map, u64 flags, const void *data, u64 size) = (void *)25;

SEC("socket/tail") int by_name(void *ctx)
{
	struct record r = {(u64)&no_such_symbol, 2};

	ringbuf_output(&records, &r, sizeof(r), 0);
	return (int)perf_event_output(ctx, &events, 0, &r, sizeof(r));
}
#endif
