/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects that programs allocate. The heap is a row of chunks, each of objects of one size; so the object that an address lies in is found by a division, and
 * a node's object needs no types.
 *
 * Concurrency. An object's count is atomic. Memory of a size is handed out under that size's owned lock; what died is put on a list without one, so that
 * ending an object never waits and never fails. Whoever finds no free memory closes the list of the dead, and takes it when all runs that were under
 * way then are over, its own included: an address that a program has stays good for as long as it runs.
 *
 *  1. An object's count is 0 from its end until it is handed out again: no reference is made from an old address.
 *  2. What is put into a field of an object that has ended is taken out again by whoever put it there (kptrs), or refused under the lock (roots).
 *  3. Links and the count lie in front of the object, where no program writes.
 */
#include "map/heap.h"

#ifdef SKEP_HOSTILE
enum { CHUNKS = HEAP_CLASSES };
#else
enum { CHUNKS = HEAP_CHUNKS };
#endif

struct heap_object {
	const struct btf_record *record; /* NULL: no special fields */
	_Atomic u32 count;
	_Atomic u32 stride; /* from one CPU's part to the next one's; 0: there is one part */
	struct heap_object *next;
};

/* Bytes of objects; the larger ones are for parts of many CPUs. */
static const u32 sizes[HEAP_CLASSES] = {16,   32,   48,	  64,	 96,	128,   192,   256,	384,	512,	768,	 1024,
					1536, 2048, 3072, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, HEAP_CHUNK - sizeof(struct heap_object)};

void heap_open(struct heap *o, struct domain *d, u8 *base)
{
	*o = (struct heap){.domain = d, .base = base};
	for (u32 i = 0; i < HEAP_CLASSES; i++)
		o->class[i].stride = sizes[i] + (u32)sizeof(struct heap_object);
}

static u8 *bytes_of(const struct heap_object *x)
{
	return (u8 *)(uintptr_t)(x + 1);
}

/* Of the chunk that an address lies in; 0: in none that is used. */
static u32 stride_at(const struct heap *o, const void *in)
{
	u64 off = (u64)((const u8 *)in - o->base);

	return off < HEAP_BYTES ? atomic_load_explicit(&o->stride[off / HEAP_CHUNK], memory_order_acquire) : 0;
}

/* The object whose bytes or header the address lies in; NULL: it is in none. */
static struct heap_object *object_at(const struct heap *o, const void *in)
{
	u64 off = (u64)((const u8 *)in - o->base), chunk = off / HEAP_CHUNK;
	u32 in_chunk = (u32)(off % HEAP_CHUNK), stride = stride_at(o, in);

	if (!stride || in_chunk / stride >= HEAP_CHUNK / stride)
		return NULL;
	return (struct heap_object *)(void *)(o->base + chunk * HEAP_CHUNK + in_chunk / stride * stride);
}

void *heap_start(const struct heap *o, void *in)
{
	struct heap_object *x = object_at(o, in);

	return x ? bytes_of(x) : in;
}

bool heap_has(const struct heap *o, const void *at, u64 size)
{
	const struct heap_object *x = object_at(o, at);
	u64 off = x ? (u64)((const u8 *)at - (const u8 *)x) : 0;

	return off >= sizeof(*x) && size <= stride_at(o, at) - off;
}

bool heap_alive(const struct heap *o, const void *in)
{
	struct heap_object *x = object_at(o, in);

	return !x || atomic_load(&x->count);
}

void *heap_cpu(const struct heap *o, void *object, u32 cpu)
{
	const struct heap_object *x = object_at(o, object);
	u32 stride = x ? atomic_load_explicit(&x->stride, memory_order_relaxed) : 0;

	return stride && cpu < domain_cpus(o->domain) ? (u8 *)object + (u64)stride * cpu : NULL;
}

/* ---- memory ---- */

/* Under the lock. */
static void collect(struct heap *o, struct heap_class *c)
{
	if (c->waiting && epoch_over(o->domain, c->epoch)) {
		c->free = c->waiting;
		c->waiting = NULL;
	}
	if (!c->waiting) {
		c->waiting = atomic_exchange_explicit(&c->dead, NULL, memory_order_acquire);
		if (c->waiting)
			c->epoch = epoch_advance(o->domain);
	}
}

static struct heap_object *fresh(struct heap *o, struct heap_class *c)
{
	struct heap_object *x;

	if (!c->fresh || c->stride > (size_t)(c->end - c->fresh)) {
		u32 n = atomic_load(&o->n_chunks);

		while (n < CHUNKS && !atomic_compare_exchange_weak(&o->n_chunks, &n, n + 1))
			;
		if (n == CHUNKS)
			return NULL;
		c->fresh = o->base + (u64)n * HEAP_CHUNK;
		c->end = c->fresh + HEAP_CHUNK;
		atomic_store_explicit(&o->stride[n], c->stride, memory_order_release);
	}
	x = (struct heap_object *)(void *)c->fresh;
	c->fresh += c->stride;
	return x;
}

static struct heap_object *take(struct heap *o, const struct hold *h, struct heap_class *c)
{
	struct heap_object *x;

	if (owned_lock_take(h, &c->lock) < 0)
		return NULL;
	if (!c->free)
		collect(o, c);
	x = c->free;
	if (x)
		c->free = x->next;
	else
		x = fresh(o, c);
	owned_lock_drop(h, &c->lock);
	return x;
}

void *heap_new(struct heap *o, const struct hold *h, u32 size, bool per_cpu, const struct btf_record *record)
{
	u32 stride = per_cpu ? ALIGN_UP(size, 8u) : 0, class = 0;
	u64 bytes = per_cpu ? (u64)stride * domain_cpus(o->domain) : size;
	struct heap_object *x;

	if (size > HEAP_MOST || !o->base)
		return NULL;
	while (class < HEAP_CLASSES && sizes[class] < bytes)
		class++;
	x = class < HEAP_CLASSES ? take(o, h, &o->class[class]) : NULL;
	if (!x)
		return NULL;
	memset(bytes_of(x), 0, bytes);
	x->record = record;
	atomic_store_explicit(&x->stride, stride, memory_order_relaxed);
	x->next = NULL;
	atomic_store_explicit(&x->count, 1, memory_order_release);
	return bytes_of(x);
}

static void bury(struct heap *o, struct heap_object *x)
{
	u32 stride = stride_at(o, x), class = 0;
	struct heap_object *_Atomic *dead;

	while (o->class[class].stride != stride)
		class++;
	dead = &o->class[class].dead;
	x->next = atomic_load_explicit(dead, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(dead, &x->next, x, memory_order_release, memory_order_relaxed))
		;
}

/* ---- references ---- */

bool heap_acquire(struct heap *o, const void *in)
{
	struct heap_object *x = object_at(o, in);
	u32 n = x ? atomic_load_explicit(&x->count, memory_order_relaxed) : 0;

	while (n && n < UINT32_MAX && !atomic_compare_exchange_weak(&x->count, &n, n + 1))
		;
	return n && n < UINT32_MAX;
}

/* One reference less. Objects that end gather in a list, so that however long a chain of them is, ending it needs no stack. */
static void let_go(struct heap *o, const void *in, struct heap_object **ended)
{
	struct heap_object *x = object_at(o, in);

	if (!x || atomic_fetch_sub(&x->count, 1) != 1)
		return;
	x->next = *ended;
	*ended = x;
}

static void free_list(struct heap *o, struct list_root *l, struct heap_object **ended)
{
	struct list_node *n;

	while ((n = list_take(l, true)))
		let_go(o, n, ended);
}

static void free_tree(struct heap *o, struct tree_root *t, struct heap_object **ended)
{
	struct tree_node *n;

	while ((n = tree_dismantle(t)))
		let_go(o, n, ended);
}

static void free_field(struct heap *o, const struct btf_field *f, u8 *at, struct heap_object **ended)
{
	u64 was;

	switch (f->kind) {
	case BTF_KPTR_UNREF:
		__atomic_store_n((u64 *)(void *)at, 0, __ATOMIC_RELAXED);
		break;
	case BTF_KPTR_REF:
	case BTF_KPTR_PERCPU:
		was = __atomic_exchange_n((u64 *)(void *)at, 0, __ATOMIC_SEQ_CST);
		if (was)
			let_go(o, (const void *)(uintptr_t)was, ended);
		break;
	case BTF_LIST_HEAD: free_list(o, (struct list_root *)(void *)at, ended); break;
	case BTF_RB_ROOT: free_tree(o, (struct tree_root *)(void *)at, ended); break;
	default: break;
	}
}

/* Roots are emptied under their lock. -EBUSY: the run that this one interrupts has it; roots keep what they hold then. */
static int free_fields(struct heap *o, const struct hold *h, const struct btf_record *r, u8 *value, struct heap_object **ended)
{
	u32 place = r->spin_lock ? r->spin_lock : r->res_spin_lock;
	owned_lock *lock = h && place && r->kinds & BTF_GRAPH_ROOT ? (owned_lock *)(void *)(value + place - 1) : NULL;
	bool held = !lock || owned_lock_take(h, lock) >= 0;

	for (u32 i = 0; i < r->n; i++)
		if (held || !(r->fields[i].kind & BTF_GRAPH_ROOT))
			free_field(o, &r->fields[i], value + r->fields[i].offset, ended);
	if (lock && held)
		owned_lock_drop(h, lock);
	return held ? 0 : -EBUSY;
}

/* An object whose lists cannot be emptied is never used again, nor is what they hold. */
static void end_all(struct heap *o, const struct hold *h, struct heap_object *ended)
{
	while (ended) {
		struct heap_object *x = ended;

		ended = x->next;
		if (!x->record || !(x->record->kinds & HEAP_HELD) || !free_fields(o, h, x->record, bytes_of(x), &ended))
			bury(o, x);
	}
}

void heap_drop(struct heap *o, const struct hold *h, const void *in)
{
	struct heap_object *ended = NULL;

	let_go(o, in, &ended);
	end_all(o, h, ended);
}

void heap_free_fields(struct heap *o, const struct hold *h, const struct btf_record *record, void *value)
{
	struct heap_object *ended = NULL;

	free_fields(o, h, record, value, &ended);
	end_all(o, h, ended);
}
