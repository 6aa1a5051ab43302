/* SPDX-License-Identifier: BSD-2-Clause */
/* What compiled code calls besides helpers: tail calls, packet loads, records, maps known only at run time. */
#include "jit/jit.h"

static u64 run_tail_call(struct run *r, u64 map, u64 index, u64 c, u64 d, u64 e)
{
	struct prog *next = vm_tail_call(r, (struct map *)(uintptr_t)map, (u32)index);

	(void)c, (void)d, (void)e;
	if (!next)
		return 0;
	r->prog = next;
	return next->code ? (u64)(uintptr_t)next->code->entry[0] : (u64)(uintptr_t)vm_continue;
}

static u64 run_packet_load(struct run *r, u64 off, u64 size, u64 c, u64 d, u64 e)
{
	u64 v;

	(void)c, (void)d, (void)e;
	return vm_packet_load(r, (s32)(u32)off, (u32)size, &v) ? v : UINT64_MAX;
}

/* Records are returned by address, so the run remembers whose they are. One too many is as if the ring were full. */
static u64 run_reserve(struct run *r, u64 map, u64 size, u64 flags, u64 d, u64 e)
{
	struct map *m = (struct map *)(uintptr_t)map;
	void *at = m->ops->reserve(m, r->hold, size, flags);

	(void)d, (void)e;
	if (at && r->n_records == RUN_RECORDS) {
		m->ops->commit(m, r->hold, at, 0, true);
		at = NULL;
	}
	if (at)
		r->records[r->n_records++] = (struct run_record){at, m, size};
	return (u64)(uintptr_t)at;
}

static u64 run_map_of(struct run *r, u64 handle, u64 b, u64 c, u64 d, u64 e)
{
	(void)b, (void)c, (void)d, (void)e;
	return (u64)(uintptr_t)window_find(r->host->window, (const void *)(uintptr_t)handle);
}

/* A load whose address may be the context or other memory: fields of contexts can load as addresses. */
static u64 run_ctx_load(struct run *r, u64 addr, u64 size, u64 c, u64 d, u64 e)
{
	u64 v;

	(void)c, (void)d, (void)e;
	if (addr - (u64)(uintptr_t)r->ctx.bytes >= r->ctx.size)
		return size == 4 ? LOAD_AS(u32, (const void *)(uintptr_t)addr) : LOAD_AS(u64, (const void *)(uintptr_t)addr);
	return vm_ctx_load(r, (u32)(addr - (u64)(uintptr_t)r->ctx.bytes), (u32)size, &v) ? 0 : v;
}

/* Gives the fuel to go on with; 0: the run ends. */
static u64 run_poll(struct run *r, u64 fuel, u64 b, u64 c, u64 d, u64 e)
{
	(void)b, (void)c, (void)d, (void)e;
	return vm_refuel(r, (s64)fuel);
}

static u64 run_arena_touch(struct run *r, u64 map, u64 low, u64 c, u64 d, u64 e)
{
	(void)r, (void)c, (void)d, (void)e;
	return map_arena_touch((struct map *)(uintptr_t)map, low);
}

/* Other memory than the engine's kernel objects, by a pointer that a program made one to them. */
static u64 run_probe_load(struct run *r, u64 addr, u64 size, u64 c, u64 d, u64 e)
{
	u64 v = 0;

	(void)c, (void)d, (void)e;
	if (vm_readable(r, addr, size))
		memcpy(&v, (const void *)(uintptr_t)addr, size);
	return v;
}

const struct ir_runtime *ir_runtime(void)
{
	static const struct ir_runtime runtime = {
		.tail_call = run_tail_call,
		.packet_load = run_packet_load,
		.reserve = run_reserve,
		.map_of = run_map_of,
		.ctx_load = run_ctx_load,
		.poll = run_poll,
		.arena_touch = run_arena_touch,
		.probe_load = run_probe_load,
	};

	return &runtime;
}
