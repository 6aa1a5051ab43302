/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Engines side by side. Before each run a side's maps hold the same as every other side's; the clock stands
 * still; hashes have no seed: what differs afterwards is an address, or a mistake.
 */
#include "sys/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, RING = 4096, CTX_MOST = 3 * PAGE, BUFFER = 64, MAX_INSNS = 50000 };

static const struct {
	u32 type, key, value, entries, flags;
} kinds[FUZZ_MAPS] = {
    [FUZZ_ARRAY] = {BPF_MAP_TYPE_ARRAY, 4, 64, 4, 0},
    [FUZZ_HASH] = {BPF_MAP_TYPE_HASH, 8, 48, 16, BPF_F_ZERO_SEED},
    [FUZZ_RING] = {BPF_MAP_TYPE_RINGBUF, 0, 0, RING, 0},
    [FUZZ_WIDE] = {BPF_MAP_TYPE_ARRAY, 4, 48, 4, 0},
    [FUZZ_PROGS] = {BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2, 0}, /* one for each type */
    [FUZZ_OUTER] = {BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2, 0},
    [FUZZ_OUTER_HASH] = {BPF_MAP_TYPE_HASH_OF_MAPS, 4, 4, 2, 0},
    {BPF_MAP_TYPE_ARRAY, 4, 64, 1, 0}, /* global data */
    {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 2, 0},
    {BPF_MAP_TYPE_PERCPU_HASH, 4, 8, 4, BPF_F_ZERO_SEED},
    {BPF_MAP_TYPE_LRU_HASH, 4, 8, 4, 0},
    {BPF_MAP_TYPE_LPM_TRIE, 8, 8, 4, BPF_F_NO_PREALLOC},
    {BPF_MAP_TYPE_QUEUE, 0, 8, 4, 0},
    {BPF_MAP_TYPE_STACK, 0, 8, 4, 0},
    {BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 4, 0},
    {BPF_MAP_TYPE_BLOOM_FILTER, 0, 8, 4, BPF_F_ZERO_SEED},
};

static const u32 types[FUZZ_TYPES] = {
    BPF_PROG_TYPE_XDP,
    BPF_PROG_TYPE_SCHED_CLS,
    BPF_PROG_TYPE_RAW_TRACEPOINT,
    BPF_PROG_TYPE_SYSCALL,
    BPF_PROG_TYPE_SCHED_ACT,
    BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
    BPF_PROG_TYPE_SOCKET_FILTER,
    BPF_PROG_TYPE_CGROUP_SKB,
    BPF_PROG_TYPE_LWT_XMIT,
    0x10000, /* an own one */
};

static u8 *window; /* pages for contexts, and none behind them */

u32 side_type(u32 n)
{
	return types[n % FUZZ_TYPES];
}

bool side_reads_packets(u32 type)
{
	return type == BPF_PROG_TYPE_XDP || type == BPF_PROG_TYPE_SCHED_CLS || type == BPF_PROG_TYPE_SCHED_ACT || type == BPF_PROG_TYPE_CGROUP_SKB ||
	       type == BPF_PROG_TYPE_LWT_XMIT;
}

static void must(bool ok)
{
	if (!ok)
		abort();
}

static u64 clock_stands(void *ud, int clock_id)
{
	(void)ud;
	return 1000000007u * (u64)(clock_id + 1);
}

static int create(struct skep *k, u32 n, s32 inner)
{
	struct attr_map_create a = {.map_type = kinds[n].type,
				    .key_size = kinds[n].key,
				    .value_size = kinds[n].value,
				    .max_entries = kinds[n].entries,
				    .map_flags = kinds[n].flags};

	if (a.map_type == BPF_MAP_TYPE_ARRAY_OF_MAPS || a.map_type == BPF_MAP_TYPE_HASH_OF_MAPS)
		a.inner_map_fd = (u32)inner;
	return skep_bpf(k, BPF_MAP_CREATE, (union bpf_attr *)(void *)&a, sizeof(a));
}

static void open_ring(struct side *s)
{
	s->consumed = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s->map[FUZZ_RING], 0);
	s->produced = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, s->map[FUZZ_RING], PAGE);
	must(s->consumed != MAP_FAILED && s->produced != MAP_FAILED);
}

/* What tail calls go on with. */
static void open_targets(struct side *s)
{
	static const struct bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 1},
					       {.code = BPF_JMP | BPF_EXIT}},
				     zero[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K},
					       {.code = BPF_JMP | BPF_EXIT}};
	u32 key = 0;

	for (u32 i = 0; i < FUZZ_TYPES; i++) {
		struct skep_prog p = {.size = sizeof(p),
				      .type = types[i],
				      .insns = types[i] == BPF_PROG_TYPE_RAW_TRACEPOINT ? zero : code,
				      .n_insns = 2,
				      .license = "GPL",
				      .flags = types[i] == BPF_PROG_TYPE_SYSCALL ? BPF_F_SLEEPABLE : 0};

		s->progs[i] = create(s->k, FUZZ_PROGS, -1);
		s->target[i] = skep_prog_load(s->k, &p, NULL, 0);
		must(s->progs[i] >= 0 && s->target[i] >= 0 &&
		     !skep_map_update(s->k, s->progs[i], &key, &s->target[i], BPF_ANY));
	}
}

void side_open(struct side *s, u32 engine)
{
	struct skep_options opts = {.size = sizeof(opts),
				    .max_insns = MAX_INSNS,
				    .engine = engine,
				    .clock = clock_stands,
				    .window = 1u << 30,
				    .max_verify_bytes = 16 << 20};
	struct skep_prog_type own = {.struct_size = sizeof(own), .name = "own", .writable = 1};

	must(!skep_open(&s->k, &opts));
	must(skep_prog_type_register(s->k, &own) == (int)types[FUZZ_TYPES - 1]);
	for (u32 i = 0; i < FUZZ_MAPS; i++) {
		s->map[i] = create(s->k, i, s->map[FUZZ_ARRAY]);
		must(s->map[i] >= 0);
	}
	open_ring(s);
	open_targets(s);
	if (!window) {
		window =
		    mmap(NULL, CTX_MOST + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(window != MAP_FAILED && !mprotect(window + CTX_MOST, PAGE, PROT_NONE));
	}
}

void side_close(struct side *s)
{
	munmap(s->consumed, PAGE);
	munmap((void *)(uintptr_t)s->produced, PAGE);
	for (u32 i = 0; i < FUZZ_MAPS; i++)
		close(s->map[i]);
	for (u32 i = 0; i < FUZZ_TYPES; i++)
		close(s->progs[i]), close(s->target[i]);
	skep_close(s->k);
}

/* ---- maps: to the same contents, and what is in them ---- */

static bool keyed(u32 type)
{
	return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LPM_TRIE ||
	       type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

static int take(struct skep *k, s32 fd, void *value)
{
	struct attr_map_elem a = {.map_fd = (u32)fd, .value = ADDRESS(value)};

	return skep_bpf(k, BPF_MAP_LOOKUP_AND_DELETE_ELEM, (union bpf_attr *)(void *)&a, sizeof(a));
}

static void empty(struct side *s, u32 n)
{
	u8 key[8], value[64];

	if (keyed(kinds[n].type))
		while (!skep_map_next_key(s->k, s->map[n], NULL, key))
			must(!skep_map_delete(s->k, s->map[n], key));
	else if (kinds[n].type == BPF_MAP_TYPE_QUEUE || kinds[n].type == BPF_MAP_TYPE_STACK)
		while (!take(s->k, s->map[n], value))
			;
	else if (kinds[n].type == BPF_MAP_TYPE_RINGBUF)
		__atomic_store_n(s->consumed, *s->produced, __ATOMIC_RELEASE);
}

static void fill(struct side *s, u32 n, u32 seed)
{
	static u8 value[1 << 13]; /* per-CPU values are one for each CPU */
	u32 type = kinds[n].type, count = MIN(kinds[n].entries, 4u);

	for (u32 i = 0; i < count; i++) {
		u32 key[2] = {i, 0};

		for (u32 b = 0; b < sizeof(value); b++)
			value[b] = (u8)(seed * (b + 1) >> (b & 7));
		if (type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS)
			memcpy(value, &s->map[FUZZ_ARRAY], 4);
		if (type == BPF_MAP_TYPE_LPM_TRIE)
			key[0] = i * 8, key[1] = 0;
		if (type == BPF_MAP_TYPE_QUEUE || type == BPF_MAP_TYPE_STACK) {
			struct attr_map_elem a = {.map_fd = (u32)s->map[n], .value = ADDRESS(value)};

			must(!skep_bpf(s->k, BPF_MAP_UPDATE_ELEM, (union bpf_attr *)(void *)&a, sizeof(a)) ||
			     i);
		} else if (type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY || keyed(type) ||
			   type == BPF_MAP_TYPE_ARRAY_OF_MAPS) {
			must(!skep_map_update(s->k, s->map[n], key, value, BPF_ANY));
		}
	}
}

static void add(struct outcome *o, const void *from, u32 size)
{
	size = MIN(size, OUTCOME_MOST - o->n);
	memcpy(o->at + o->n, from, size);
	o->n += size;
}

static void contents(struct side *s, u32 n, struct outcome *o)
{
	u32 type = kinds[n].type;
	u8 value[64];

	if (type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_LPM_TRIE)
		for (u32 i = 0; i < 4; i++) {
			u32 key[2] = {type == BPF_MAP_TYPE_LPM_TRIE ? 32 : i,
				      type == BPF_MAP_TYPE_LPM_TRIE ? i : 0};

			if (!skep_map_lookup(s->k, s->map[n], key, value))
				add(o, value, kinds[n].value);
		}
	else if (type == BPF_MAP_TYPE_QUEUE || type == BPF_MAP_TYPE_STACK)
		while (!take(s->k, s->map[n], value))
			add(o, value, kinds[n].value);
}

/* ---- runs ---- */

/* Limits of an engine are no mistake: of instructions, records, inner maps, depth. */
static void judge(const struct skep_fault *f, struct outcome *o)
{
	if (strstr(f->text, "the limit") || strstr(f->text, "more than") || strstr(f->text, "is too deep")) {
		o->limited = true;
		return;
	}
	fprintf(stderr, "an accepted program faults: %s\n", f->text);
	abort();
}

static void run_packets(struct side *s, int prog, u32 seed, struct outcome *o)
{
	static const u32 sizes[] = {14, 15, 34, 64, 300};
	static u8 out[1 << 17];

	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		u8 *data = malloc(sizes[i]);
		struct skep_packet p = {.data = data, .size = sizes[i], .out = out, .out_size = sizeof(out)};
		struct skep_fault fault;
		int err;

		must(data != NULL);
		for (u32 b = 0; b < sizes[i]; b++)
			data[b] = (u8)(seed * (b + 3) >> (b & 15));
		memcpy(data + 12, i & 1 ? "\x86\xdd" : "\x08", 2);
		err = skep_run_packets(s->k, prog, &p, 1, NULL, &fault);
		free(data);
		if (err == -EFAULT)
			judge(&fault, o);
		add(o, &err, sizeof(err));
		if (!err) {
			add(o, &p.result, sizeof(p.result));
			add(o, out, MIN(p.out_size, 512u));
		}
	}
}

static void run_contexts(struct side *s, int prog, u32 type, u32 seed, struct outcome *o)
{
	static const u32 sizes[] = {0, 1, 8, 40, 96, 1000, CTX_MOST - BUFFER};

	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct skep_memory buffer = {window + CTX_MOST - BUFFER, BUFFER, 1};
		bool buffered = type == BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE &&
				sizes[i] >= 8; /* it lies behind the context then */
		u8 *ctx = window + CTX_MOST - (buffered ? BUFFER : 0) - sizes[i];
		struct skep_run r = {.size = sizeof(r),
				     .ctx = ctx,
				     .ctx_size = sizes[i],
				     .n_memory = buffered,
				     .memory = &buffer};
		int err;

		for (u32 b = 0; ctx + b < window + CTX_MOST; b++)
			ctx[b] = (u8)(seed * (b + 3) >> (b & 15));
		if (buffered)
			memcpy(ctx, &buffer.at, 8);
		err = skep_run(s->k, prog, &r);
		if (err == -EFAULT)
			judge(&r.fault, o);
		add(o, &err, sizeof(err));
		if (!err) {
			add(o, &r.result, sizeof(r.result));
			add(o, ctx, MIN((u32)(window + CTX_MOST - ctx), 1024u));
		}
	}
}

void side_run(struct side *s, int prog, u32 type, u32 maps, u32 seed, struct outcome *o)
{
	o->n = 0;
	o->limited = false;
	for (u32 i = 0; i < FUZZ_MAPS; i++)
		if (maps >> i & 1) {
			empty(s, i);
			fill(s, i, seed);
		}
	if (side_reads_packets(type) || type == BPF_PROG_TYPE_SOCKET_FILTER)
		run_packets(s, prog, seed, o);
	else
		run_contexts(s, prog, type, seed, o);
	for (u32 i = 0; i < FUZZ_MAPS; i++)
		if (maps >> i & 1)
			contents(s, i, o);
}
