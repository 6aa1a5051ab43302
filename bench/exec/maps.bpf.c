// SPDX-License-Identifier: BSD-2-Clause
/* Programs whose time goes into maps and helpers. */
#include "program.h"

#define MAP(name, kind, k, v, n)                                                                                                  \
	struct {                                                                                                                   \
		__uint(type, kind);                                                                                                \
		__uint(max_entries, n);                                                                                            \
		__type(key, k);                                                                                                    \
		__type(value, v);                                                                                                  \
	} name SEC(".maps")

struct key40 {
	u64 word[5];
};
MAP(array, BPF_MAP_TYPE_ARRAY, u32, u64, 1024);
MAP(per_cpu, BPF_MAP_TYPE_PERCPU_ARRAY, u32, u64, 256);
MAP(hash, BPF_MAP_TYPE_HASH, u32, u64, 1024);
MAP(hash8, BPF_MAP_TYPE_HASH, u64, u64, 1024);
MAP(hash40, BPF_MAP_TYPE_HASH, struct key40, u64, 1024);
MAP(lru, BPF_MAP_TYPE_LRU_HASH, u32, u64, 1024);
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} ring SEC(".maps");

RUN(array_lookup)
{
	u64 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 128; i++) {
		u32 key = d.words[i] & 1023;
		u64 *v = bpf_map_lookup_elem(&array, &key);

		if (v)
			sum += *v;
	}
	return (u32)sum;
}

RUN(per_cpu_counters)
{
	COMPUTE;
	for (u32 i = 0; i < 128; i++) {
		u32 key = d.bytes[i];
		u64 *v = bpf_map_lookup_elem(&per_cpu, &key);

		if (v)
			*v += i;
	}
	return 0;
}

RUN(hash_lookup)
{
	u64 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 64; i++) {
		u32 key = i;
		u64 *v = bpf_map_lookup_elem(&hash, &key);

		if (v)
			sum += *v;
	}
	return (u32)sum;
}

RUN(hash_lookup_miss)
{
	u64 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 64; i++) {
		u32 key = i + 100000;
		u64 *v = bpf_map_lookup_elem(&hash, &key);

		if (v)
			sum += *v;
	}
	return (u32)sum;
}

RUN(hash_lookup_8)
{
	u64 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 64; i++) {
		u64 key = i;
		u64 *v = bpf_map_lookup_elem(&hash8, &key);

		if (v)
			sum += *v;
	}
	return (u32)sum;
}

RUN(hash_lookup_40)
{
	u64 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 64; i++) {
		struct key40 key = {{i, 1, 2, 3, 4}};
		u64 *v = bpf_map_lookup_elem(&hash40, &key);

		if (v)
			sum += *v;
	}
	return (u32)sum;
}

RUN(hash_update)
{
	COMPUTE;
	for (u32 i = 0; i < 64; i++) {
		u32 key = i;
		u64 value = i * 3;

		bpf_map_update_elem(&hash, &key, &value, BPF_ANY);
	}
	return 0;
}

RUN(hash_insert_delete)
{
	COMPUTE;
	for (u32 i = 0; i < 32; i++) {
		u32 key = i + 5000;
		u64 value = i * 3;

		bpf_map_update_elem(&hash, &key, &value, BPF_ANY);
		bpf_map_delete_elem(&hash, &key);
	}
	return 0;
}

RUN(counters)
{
	COMPUTE;
	for (u32 i = 0; i < 64; i++) {
		u32 key = d.words[i] & 63;
		u64 *v = bpf_map_lookup_elem(&hash, &key);

		if (v)
			__sync_fetch_and_add(v, 1);
	}
	return 0;
}

RUN(lru_update)
{
	COMPUTE;
	for (u32 i = 0; i < 64; i++) {
		u32 key = i;
		u64 value = i;

		bpf_map_update_elem(&lru, &key, &value, BPF_ANY);
	}
	return 0;
}

RUN(lru_lookup)
{
	u64 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 64; i++) {
		u32 key = i;
		u64 *v = bpf_map_lookup_elem(&lru, &key);

		if (v)
			sum += *v;
	}
	return (u32)sum;
}

RUN(ring_output)
{
	u64 record[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	COMPUTE;
	for (u32 i = 0; i < 8; i++)
		bpf_ringbuf_output(&ring, record, sizeof(record), BPF_RB_NO_WAKEUP);
	return 0;
}

RUN(ring_reserve)
{
	COMPUTE;
	for (u32 i = 0; i < 8; i++) {
		u64 *record = bpf_ringbuf_reserve(&ring, 64, 0);

		if (!record)
			return 0;
		record[0] = i;
		record[1] = 7;
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	}
	return 0;
}

static long add_index(u32 i, void *ctx)
{
	*(u64 *)ctx += i * 3;
	return 0;
}

RUN(callbacks)
{
	u64 sum = 0;

	COMPUTE;
	bpf_loop(512, add_index, &sum, 0);
	return (u32)sum;
}

RUN(helpers)
{
	u32 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 64; i++)
		sum += bpf_get_smp_processor_id() < 4096;
	return sum;
}

RUN(random_numbers)
{
	u32 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 64; i++)
		sum |= bpf_get_prandom_u32();
	return sum != 0;
}

RUN(clock_reads)
{
	u64 last = 0;

	COMPUTE;
	for (u32 i = 0; i < 16; i++) {
		u64 now = bpf_ktime_get_ns();

		if (now < last)
			return 1;
		last = now;
	}
	return 0;
}

RUN(jiffies)
{
	u64 last = 0;

	COMPUTE;
	for (u32 i = 0; i < 64; i++) {
		u64 now = bpf_jiffies64();

		if (now < last)
			return 1;
		last = now;
	}
	return 0;
}

RUN(load_balancer)
{
	PACKET(p, end);
	u32 key, h;
	u64 *v;

	if (p + 42 > end)
		return 1;
	h = (*(u32 *)(p + 26) * 0x9e3779b1u) ^ (*(u32 *)(p + 30) * 0x85ebca6bu) ^ *(u32 *)(p + 34);
	for (u32 i = 0; i < 8; i++) {
		h ^= h >> 15;
		h *= 0x2c1b3c6du;
		key = h & 1023;
		v = bpf_map_lookup_elem(&array, &key);
		if (!v)
			return 1;
		key = (u32)*v & 511;
		v = bpf_map_lookup_elem(&hash, &key);
		if (v)
			__sync_fetch_and_add(v, 1);
	}
	return 2;
}
