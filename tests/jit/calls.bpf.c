// SPDX-License-Identifier: BSD-2-Clause
/* Programs whose control flow leaves the function: tail calls, callbacks, functions with stacks, helpers that write to the stack. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

char terms[] SEC("license") = "GPL";

struct bpf_map;
struct state {
	u64 steps, sum, values[16];
};
struct state d;

#define MAP(name, kind, k, v, n)                                                                                                  \
	struct {                                                                                                                   \
		__uint(type, kind);                                                                                                \
		__uint(max_entries, n);                                                                                            \
		__type(key, k);                                                                                                    \
		__type(value, v);                                                                                                  \
	} name SEC(".maps")
struct locked {
	struct bpf_spin_lock lock;
	u32 count;
};
MAP(hash, BPF_MAP_TYPE_HASH, u32, u64, 64);
MAP(array, BPF_MAP_TYPE_ARRAY, u32, u64, 16);
MAP(locks, BPF_MAP_TYPE_ARRAY, u32, struct locked, 4);
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 16);
	__type(value, u64);
} queue SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} ring SEC(".maps");

int tail_again(struct xdp_md *ctx);
int tail_end(struct xdp_md *ctx);
int tail_deeper(struct xdp_md *ctx);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int(void *));
} programs SEC(".maps") = {.values = {[0] = (void *)&tail_again, [1] = (void *)&tail_end, [2] = (void *)&tail_deeper}};

/* ---- tail calls ---- */

SEC("xdp") int tail_again(struct xdp_md *ctx)
{
	d.steps++;
	bpf_tail_call(ctx, &programs, 0);
	return (int)d.steps; /* the chain has its limit */
}

SEC("xdp") int tail_end(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	d.steps += 100;
	return data + 4 > end ? 1 : *(u8 *)(data + 3);
}

/* Each tail call leaves the frame of a caller behind: as many as the chain is long. */
static __attribute__((noinline)) int go_deeper(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &programs, 2);
	d.steps += 1000;
	return (int)d.steps;
}

SEC("xdp") int tail_deeper(struct xdp_md *ctx)
{
	d.steps++;
	return go_deeper(ctx) + 1;
}

SEC("xdp") int call_tail(struct xdp_md *ctx)
{
	u64 kept = d.steps * 3 + 1;

	bpf_tail_call(ctx, &programs, 1);
	return (int)kept;
}

SEC("xdp") int call_tail_missing(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &programs, 3);
	bpf_tail_call(ctx, &programs, 77);
	return 9;
}

static __attribute__((noinline)) int leave(struct xdp_md *ctx, u32 index)
{
	d.sum += index;
	bpf_tail_call(ctx, &programs, index);
	return 5;
}

SEC("xdp") int call_tail_in_function(struct xdp_md *ctx)
{
	u64 kept = d.steps;
	int a = leave(ctx, 1), b = leave(ctx, 3);

	return (int)(a * 1000 + b * 10 + kept);
}

/* ---- functions ---- */

static __attribute__((noinline)) u64 fill(u64 *to, u32 n, u64 seed)
{
	u64 local[4] = {seed, seed + 1, seed * 3, seed ^ 5};

	for (u32 i = 0; i < 4; i++)
		if (i < n)
			to[i] = local[(i + 1) & 3] + i;
	return local[2];
}

static __attribute__((noinline)) u64 deeper(u64 a, u64 b, u64 c, u64 e, u64 f)
{
	u64 x[4] = {a, b, c, e};

	return fill(x, 4, f) + x[0] * 3 + x[3];
}

SEC("xdp") int functions(struct xdp_md *ctx)
{
	u64 x[4] = {1, 2, 3, 4}, y = fill(x, 3, d.sum + 7);

	y += deeper(x[0], x[1], x[2], x[3], y);
	d.sum = y;
	return (int)(y ^ y >> 32);
}

static long add(u32 i, void *ctx)
{
	struct state *s = ctx;

	s->sum += i * s->steps;
	s->values[i & 15] ^= s->sum;
	return i == 77;
}

SEC("xdp") int loops(struct xdp_md *ctx)
{
	struct state s = {.steps = 3, .sum = d.sum};
	long n = bpf_loop(50, add, &s, 0), m = bpf_loop(100, add, &s, 0), bad = bpf_loop(1, add, &s, 8), many = bpf_loop(1 << 24, add, &s, 0);

	d.sum = s.sum;
	d.values[3] = s.values[5];
	return (int)(n * 10000 + m * 10 + bad + many);
}

static long each(struct bpf_map *map, u32 *key, u64 *value, struct state *s)
{
	s->sum += *value * (*key + 1);
	*value += 1;
	s->steps ^= s->sum;
	return (s->sum & 0xff) == 0x40;
}

SEC("xdp") int elements(struct xdp_md *ctx)
{
	struct state s = {.steps = d.values[1], .sum = d.values[2]};
	long n = bpf_for_each_map_elem(&array, each, &s, 0);

	d.sum += s.sum;
	return (int)(n * 100 + s.steps);
}

/* ---- helpers and memory ---- */

SEC("xdp") int queues(struct xdp_md *ctx)
{
	u64 x = 5, y = 0, z = 0;
	long a = bpf_map_push_elem(&queue, &x, 0), b, c;

	x = 6;
	a += bpf_map_push_elem(&queue, &x, BPF_EXIST);
	b = bpf_map_peek_elem(&queue, &y);
	c = bpf_map_pop_elem(&queue, &z);
	return (int)(a * 7 + b * 5 + c * 3 + (long)(y * 100 + z));
}

SEC("xdp") int keys(struct xdp_md *ctx)
{
	u32 key = 3, found = 0;
	u64 value = 11, *v;

	bpf_map_update_elem(&hash, &key, &value, BPF_ANY);
	value = 12;
	found += bpf_map_update_elem(&hash, &key, &value, BPF_NOEXIST) == -17;
	v = bpf_map_lookup_elem(&hash, &key);
	if (v)
		*v += value;
	key = 60;
	found += bpf_map_delete_elem(&hash, &key) == 0;
	found += bpf_map_delete_elem(&hash, &key) == -2;
	key = 3;
	v = bpf_map_lookup_elem(&hash, &key);
	return (int)(found * 1000 + (v ? *v : 0));
}

SEC("xdp") int locking(struct xdp_md *ctx)
{
	u32 key = 1;
	struct locked *l = bpf_map_lookup_elem(&locks, &key);

	if (!l)
		return 1;
	bpf_spin_lock(&l->lock);
	l->count = 5 + (l->count & 3);
	bpf_spin_unlock(&l->lock);
	return (int)l->count & 7;
}

SEC("xdp") int records(struct xdp_md *ctx)
{
	u64 *a = bpf_ringbuf_reserve(&ring, 32, 0), *b;

	if (!a)
		return 1;
	b = bpf_ringbuf_reserve(&ring, 16, 0);
	if (!b) {
		bpf_ringbuf_discard(a, 0);
		return 2;
	}
	a[0] = b[1] = 7;
	bpf_ringbuf_discard(a, 0);
	bpf_ringbuf_submit(b, BPF_RB_NO_WAKEUP);
	return (int)bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
}

SEC("xdp") int texts(struct xdp_md *ctx)
{
	char text[16] = "0x1f rest", out[24] = {0};
	long x = 0, n = bpf_strtol(text, sizeof(text), 16, &x);
	u64 args[2] = {(u64)x, 42};
	long m = bpf_snprintf(out, sizeof(out), "%d and %u", args, sizeof(args));

	return (int)(n * 1000 + m * 100 + x + out[0] + out[4]);
}

SEC("xdp") int grow(struct xdp_md *ctx)
{
	void *data, *end;

	if (bpf_xdp_adjust_head(ctx, -8))
		return 1;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + 16 > end)
		return 2;
	*(u64 *)data = 0x1122334455667788ull;
	return ((u8 *)data)[9];
}

/* ---- packet loads of classic programs ---- */

unsigned long long load_byte(void *skb, unsigned long long off) asm("llvm.bpf.load.byte");
unsigned long long load_half(void *skb, unsigned long long off) asm("llvm.bpf.load.half");
unsigned long long load_word(void *skb, unsigned long long off) asm("llvm.bpf.load.word");

SEC("socket") int loads(struct __sk_buff *skb)
{
	u64 n = load_byte(skb, 3) & 15;

	return (int)(load_word(skb, 12) ^ load_half(skb, n) << 8 ^ load_byte(skb, n + 5));
}

SEC("socket") int loads_outside(struct __sk_buff *skb)
{
	d.steps++;
	return (int)(load_word(skb, 100000) + 1);
}

SEC("tc") int fields(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	skb->mark = skb->len * 3;
	skb->cb[1] = skb->protocol;
	if (data + 20 > end)
		return 1;
	return (int)(*(u32 *)(data + 16) ^ skb->mark ^ skb->cb[1]);
}

SEC("tc") int no_socket(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	return (int)(sk ? sk->family : 77 + d.steps);
}

/* ---- the stack, read as any memory ---- */

#define MARK 0x5a5a5a5a5a5a5a5aull

static __attribute__((always_inline)) u64 frame_pointer(void)
{
	u64 fp;

	asm volatile("%0 = r10" : "=r"(fp));
	return fp;
}

static __attribute__((noinline)) u64 read_at(const u64 *addr)
{
	u64 y = 1;

	return bpf_probe_read_kernel(&y, sizeof(y), addr) ? 99 : y;
}

SEC("xdp") int probe_own(struct xdp_md *ctx)
{
	u64 x[3] = {MARK, d.steps + 2, 3}, y = 0;
	long err = bpf_probe_read_kernel(&y, sizeof(y), &x[1]);

	return (int)(err * 1000 + y);
}

SEC("xdp") int probe_caller(struct xdp_md *ctx)
{
	u64 x[2] = {MARK, d.steps + 7}, y = read_at(&x[1]);

	return (int)(y * 1000 + (read_at(&x[0]) == MARK));
}

static long probe_each(u32 i, void *ctx)
{
	struct state *s = ctx;
	u64 y = 0;

	if (!bpf_probe_read_kernel(&y, sizeof(y), &s->values[i & 15]))
		s->sum += y * (i + 1);
	s->steps += read_at(&s->values[(i + 1) & 15]);
	return 0;
}

SEC("xdp") int probe_from_callback(struct xdp_md *ctx)
{
	struct state s = {.sum = d.sum};

	for (int i = 0; i < 16; i++)
		s.values[i] = d.values[i] + (u64)i;
	bpf_loop(40, probe_each, &s, 0);
	return (int)(s.sum * 3 + s.steps);
}

struct seen {
	u64 from, words, foreign;
};

static long probe_word(u32 i, void *ctx)
{
	struct seen *s = ctx;
	u64 y = 0;

	if (bpf_probe_read_kernel(&y, sizeof(y), (void *)(s->from + 8 * (i & 511))))
		return 0;
	s->words++;
	s->foreign += y != 0 && y != MARK;
	return 0;
}

/* Above the outermost frame, and below its 512 bytes, there is nothing for a program: return addresses, saved registers, other functions' values. */
SEC("xdp") int one_around(struct xdp_md *ctx)
{
	u64 x[4] = {MARK, MARK, MARK, MARK}, fp = frame_pointer(), words = 0, y;

	for (int i = 0; i < 200; i++)
		words += !bpf_probe_read_kernel(&y, sizeof(y), (void *)(fp + 4 * i));
	for (int i = 0; i < 200; i++)
		words += !bpf_probe_read_kernel(&y, sizeof(y), (void *)(fp - 520 - 4 * i));
	return (int)(words * 1000 + (read_at(&x[2]) == MARK));
}

static __attribute__((noinline)) int probe_all(const u64 *marks)
{
	struct seen s = {.from = frame_pointer()}; /* above lies the caller's, or what is refused */

	bpf_loop(300, probe_word, &s, 0);
	return (int)s.foreign + (read_at(marks) == MARK ? 0 : 50);
}

SEC("xdp") int one_upwards(struct xdp_md *ctx)
{
	u64 x[8] = {MARK, MARK, MARK, MARK, MARK, MARK, MARK, MARK};

	return probe_all(&x[3]) + 1;
}

SEC("xdp") int probe_text(struct xdp_md *ctx)
{
	char text[8] = "abcd", out[16] = {0};
	u64 args[1] = {(u64)text};
	long n = bpf_snprintf(out, sizeof(out), "<%s>", args, sizeof(args));

	return (int)(n * 1000 + out[1] + out[5]);
}

/* What a program that was tail called has is not what its caller has. */
SEC("xdp") int probe_after_tail(struct xdp_md *ctx)
{
	u32 key = 2;
	u64 *v, y = 0;
	int a = leave(ctx, 1);
	long err;

	v = bpf_map_lookup_elem(&array, &key);
	if (!v)
		return 1;
	err = bpf_probe_read_kernel(&y, sizeof(y), v);
	return (int)(a * 100 + err * 10) ^ (int)y;
}

/* ---- maps in maps ---- */

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, struct locked);
} inner_a SEC(".maps"), inner_b SEC(".maps");
struct inner_hash {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} inner_hash SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, u32);
	__array(values, struct inner);
} outer_array SEC(".maps") = {.values = {[0] = &inner_a, [2] = &inner_b}};
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, u32);
	__array(values, struct inner);
} outer_hash SEC(".maps") = {.values = {[1] = &inner_b}};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, u32);
	__array(values, struct inner_hash);
} outer_of_hashes SEC(".maps") = {.values = {[1] = &inner_hash}};

static __attribute__((always_inline)) u32 count_in(void *map, u32 key)
{
	struct locked *v = map ? bpf_map_lookup_elem(map, &key) : NULL;

	if (!v)
		return 1000;
	v->count += key + 1;
	return v->count;
}

/* Elements that are there and that are not, in maps that are there and that are not. */
SEC("xdp") int inner_of_array(struct xdp_md *ctx)
{
	u32 sum = 0;

	for (u32 i = 0; i < 5; i++) {
		u32 key = i;

		sum = sum * 3 + count_in(bpf_map_lookup_elem(&outer_array, &key), i + (ctx->rx_queue_index & 7));
	}
	return (int)sum;
}

SEC("xdp") int inner_of_either(struct xdp_md *ctx)
{
	u32 sum = 0;

	for (u32 i = 0; i < 12; i++) {
		u32 key = i % 3;
		void *m = i & 4 ? bpf_map_lookup_elem(&outer_hash, &key) : bpf_map_lookup_elem(&outer_array, &key);

		sum = sum * 3 + count_in(m, i);
	}
	return (int)sum;
}

SEC("xdp") int inner_hashes(struct xdp_md *ctx)
{
	u32 sum = 0;

	for (u32 i = 0; i < 6; i++) {
		u32 key = i & 1, at = i;
		u64 value = i;
		void *m = bpf_map_lookup_elem(&outer_of_hashes, &key);

		if (m) {
			u64 *v = bpf_map_lookup_elem(m, &at);

			sum += v ? (u32)*v * 7 : 100;
			bpf_map_update_elem(m, &key, &value, BPF_ANY);
		}
	}
	return (int)sum;
}
