/* SPDX-License-Identifier: BSD-2-Clause */
/* What `skep dump` is shown: two programs, a function of its own section, a map, data, a kernel function. */
#define SEC(name) __attribute__((section(name), used))
typedef unsigned int u32;

struct {
	int (*type)[1];
	u32 *key;
	long *value;
	int (*max_entries)[16];
} counters SEC(".maps");

int limit = 7;
extern int some_kernel_function(u32 x) __attribute__((section(".ksyms")));
static void *(*const lookup)(void *map, const void *key) = (void *)1;

__attribute__((noinline)) int helper(u32 x)
{
	return x * 2 + limit;
}

struct context {
	u32 first, second;
};

SEC("xdp") int count(struct context *ctx)
{
	u32 key = ctx->first;
	long *value = lookup(&counters, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	return helper(key) > 5;
}

SEC("tc") int second(struct context *ctx)
{
	return some_kernel_function(ctx->second);
}
char _license[] SEC("license") = "GPL";
