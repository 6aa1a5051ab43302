/* SPDX-License-Identifier: BSD-2-Clause */
/* Helpers that are a map's own operations, and the functions that a program is called back through. */
#include "helper/body.h"

#define MAP(x)     ((struct map *)(uintptr_t)(x))
#define ADDRESS(p) ((u64)(uintptr_t)(p))

u64 helper_map_lookup_elem(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)c, (void)d, (void)e;
	return ADDRESS(MAP(a)->ops->lookup(MAP(a), r->hold, PTR(b)));
}

u64 helper_map_update_elem(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)e;
	return RESULT(MAP(a)->ops->update(MAP(a), r->hold, PTR(b), PTR(c), d));
}

u64 helper_map_delete_elem(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)c, (void)d, (void)e;
	return RESULT(MAP(a)->ops->remove(MAP(a), r->hold, PTR(b)));
}

u64 helper_map_push_elem(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)d, (void)e;
	return RESULT(MAP(a)->ops->push(MAP(a), r->hold, PTR(b), c));
}

u64 helper_map_pop_elem(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)c, (void)d, (void)e;
	return RESULT(MAP(a)->ops->pop(MAP(a), r->hold, PTR(b)));
}

u64 helper_map_peek_elem(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)c, (void)d, (void)e;
	return RESULT(MAP(a)->ops->peek(MAP(a), r->hold, PTR(b)));
}

u64 helper_map_lookup_percpu_elem(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)d, (void)e;
	return ADDRESS(MAP(a)->ops->lookup_cpu(MAP(a), r->hold, PTR(b), (u32)c));
}

/* ---- where packets go ---- */

/* Has the map an interface for all to go to? except: where the packet came from; 0: that counts, too. */
static bool has_device(struct map *m, const struct hold *h, u32 except)
{
	u32 key;
	bool more = !m->ops->next_key(m, h, NULL, &key);

	while (more) {
		const u32 *device = m->ops->lookup(m, h, &key);

		if (device && *device != except)
			return true;
		more = !m->ops->next_key(m, h, &key, &key);
	}
	return false;
}

/* When a lookup fails, Linux forgets the map, not the key or interface before it, which is then the number of an interface. */
u64 helper_redirect_map(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const u64 flags = XDP_ABORTED | XDP_DROP | XDP_PASS | XDP_TX | BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS;
	struct map *m = MAP(a);
	struct packet *p = r->ctx.packet;
	u32 verdict = m->ops->redirect(m, r->hold, b, c);
	bool found = verdict == XDP_REDIRECT;

	(void)d, (void)e;
	if (found && c & BPF_F_BROADCAST)
		p->way = (struct way){has_device(m, r->hold, c & BPF_F_EXCLUDE_INGRESS ? p->ifindex : 0) ? WAY_MAP : WAY_NONE, (u32)b};
	else if (found)
		p->way = (struct way){WAY_MAP, (u32)b};
	else if (!(c & ~flags))
		p->way.kind = WAY_DEVICE;
	return verdict;
}

/* ---- rings ---- */

u64 helper_ringbuf_output(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)e;
	return RESULT(MAP(a)->ops->output(MAP(a), r->hold, PTR(b), c, d));
}

u64 helper_ringbuf_reserve(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)d, (void)e;
	return ADDRESS(MAP(a)->ops->reserve(MAP(a), r->hold, b, c));
}

static u64 release(struct run *r, u64 record, u64 flags, bool discard)
{
	for (u32 i = 0; i < r->n_records; i++)
		if (r->records[i].at == PTR(record)) {
			struct map *m = r->records[i].map;

			r->records[i] = r->records[--r->n_records];
			m->ops->commit(m, r->hold, PTR(record), flags, discard);
			break;
		}
	return 0;
}

u64 helper_ringbuf_submit(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)c, (void)d, (void)e;
	return release(r, a, b, false);
}

u64 helper_ringbuf_discard(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)c, (void)d, (void)e;
	return release(r, a, b, true);
}

u64 helper_ringbuf_query(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)r, (void)c, (void)d, (void)e;
	return MAP(a)->ops->query(MAP(a), b);
}

/* A sample of a packet program may carry bytes of the packet behind the program's own (BPF_F_CTXLEN_MASK). */
u64 helper_perf_event_output(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct packet *p = r->ctx.packet;
	struct map_bytes parts[2] = {{PTR(d), e}};
	u64 more = (c & BPF_F_CTXLEN_MASK) >> 32;

	(void)a;
	if (c & ~(BPF_F_CTXLEN_MASK | BPF_F_INDEX_MASK) || (more && !p))
		return RESULT(-EINVAL);
	if (more && packet_bytes(p) < more)
		return RESULT(-EFAULT);
	if (more)
		parts[1] = (struct map_bytes){p->data, more};
	return RESULT(MAP(b)->ops->event(MAP(b), r->hold, c & BPF_F_INDEX_MASK, parts, more ? 2 : 1));
}

/* ---- calling back ---- */

/* Without flags Linux has the loop in the program itself, where the number has 64 bits and the error 32. */
u64 helper_loop(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	enum { MOST = 8 << 20 };
	u32 n = (u32)a;

	(void)e;
	if (d)
		return RESULT(-EINVAL);
	if (a > MOST)
		return (u32)-E2BIG;
	for (u32 i = 0; i < n; i++) {
		u64 args[5] = {i, c}, result = 0;

		if (vm_call(r, (u32)b, args, &result))
			return 0;
		if (result)
			return i + 1u;
	}
	return n;
}

struct visit {
	struct run *run;
	struct map *map;
	u32 callback;
	u64 context;
};

static long visit_one(void *ud, void *key, void *value)
{
	struct visit *v = ud;
	struct run *r = v->run;
	u64 args[5] = {map_handle(v->map), ADDRESS(key), ADDRESS(value), v->context}, result = 0;
	bool lent = r->n_spans < RUN_SPANS;

	/* The key lies outside of what the program may touch otherwise. */
	if (lent)
		r->spans[r->n_spans++] = (struct run_span){ADDRESS(key), v->map->spec.key_size, false, "map key"};
	if (vm_call(r, v->callback, args, &result))
		result = 1;
	if (lent)
		r->n_spans--;
	return (long)result;
}

u64 helper_for_each_map_elem(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct visit v = {r, MAP(a), (u32)b, c};

	(void)e;
	if (d)
		return RESULT(-EINVAL);
	return RESULT(MAP(a)->ops->for_each(MAP(a), r->hold, visit_one, &v));
}

/* Handled where calls are: it does not return when it succeeds. */
u64 helper_tail_call(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)r, (void)a, (void)b, (void)c, (void)d, (void)e;
	return RESULT(-EINVAL);
}

/* ---- locks ---- */

u64 helper_spin_lock(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)b, (void)c, (void)d, (void)e;
	if (r->lock_held) {
		vm_fault(r, FAULT_RESOURCE, a, 4, "Locking two bpf_spin_locks are not allowed");
		return 0;
	}
	/* Linux spins for ever; a run that finds its own lock (a nested one) cannot, so it ends. */
	if (owned_lock_take(r->hold, PTR(a)) < 0) {
		vm_fault(r, FAULT_RESOURCE, a, 4, "the lock is held by the run that this one interrupts");
		return 0;
	}
	r->lock_held = PTR(a);
	return 0;
}

u64 helper_spin_unlock(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)b, (void)c, (void)d, (void)e;
	if (r->lock_held != PTR(a)) {
		vm_fault(r, FAULT_RESOURCE, a, 4, "bpf_spin_unlock %s", r->lock_held ? "of different lock" : "without taking a lock");
		return 0;
	}
	owned_lock_drop(r->hold, PTR(a));
	r->lock_held = NULL;
	return 0;
}
