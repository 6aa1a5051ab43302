/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What programs that run inside of processes have of the engine: records that they send go on to rings, what they ask for is answered, and the values of a
 * CPU are those of one run at a time. What comes from a process is what a stranger says: copied once, and checked.
 */
#include "hook/inside.h"

#include <linux/bpf.h>

/* The program that has the map; referenced. */
static struct obj *asker(struct skep *k, u64 at, struct map **map)
{
	struct obj *found = NULL;

	plain_lock_take(&k->hooks->lock);
	for (const struct perf_event *e = k->hooks->probes; e && !found; e = e->next) {
		const struct prog *p = e->at ? e->at->prog->body : NULL;

		for (u32 i = 0; p && i < p->n_maps && !found; i++)
			if (at && p->maps[i]->inside == at) {
				*map = p->maps[i];
				found = e->at->prog;
				obj_get(found);
			}
	}
	plain_lock_drop(&k->hooks->lock);
	return found;
}

/* ---- records on their way to rings ---- */

struct fetching {
	struct skep *k;
	bool waits;
	u64 at; /* struct inside_map of the last record: most are for the same ring */
	struct map *map; /* NULL: nobody has it any more */
	struct obj *prog;
};

static struct map *ring_of(struct fetching *f, u64 at)
{
	if (at != f->at) {
		if (f->prog)
			obj_put(f->prog);
		f->at = at;
		f->map = NULL;
		f->prog = asker(f->k, at, &f->map);
	}
	return f->prog ? f->map : NULL;
}

/* -EAGAIN: it is to stay where it is, as its ring is full. */
static s64 deliver(struct fetching *f, const struct hold *h, u32 cpu, const struct inside_record *r, const void *data)
{
	struct map *m = ring_of(f, r->map);
	struct hold as = *h;

	as.index = cpu; /* whose ring it is for */
	if (m && r->helper == HELPER_ringbuf_output && m->ops->output)
		return m->ops->output(m, &as, data, r->size, r->flags);
	if (m && r->helper == HELPER_perf_event_output && m->ops->event)
		return m->ops->event(m, &as, r->flags | (f->waits ? MAP_EVENT_TRY : 0), &(struct map_bytes){data, r->size}, 1);
	return 0;
}

/* Is it one? Its bytes are then `size` ones behind it, all within the outbox. */
static bool is_record(const struct inside_record *r, u64 at, u64 left)
{
	return r->span >= sizeof(*r) && r->span % sizeof(*r) == 0 && r->span <= left && r->span <= INSIDE_OUTBOX - at % INSIDE_OUTBOX && (!r->helper || r->size <= r->span - sizeof(*r));
}

/* Up to the first that has to wait. true: there was something. */
static bool fetch_from(struct inside *in, struct fetching *f, const struct hold *h, u32 cpu)
{
	struct inside_outbox *out = &inside_cpus_of(in)->outbox[cpu];
	u64 head = atomic_load(&out->head), begin = atomic_load_explicit(&in->tail[cpu], memory_order_relaxed), at = begin;

	while (at != head) {
		const u8 *from = out->data + at % INSIDE_OUTBOX;
		struct inside_record r;

		memcpy(&r, from, sizeof(r));
		if (head - at > INSIDE_OUTBOX || !is_record(&r, at, head - at)) { /* it was scribbled on */
			at = head / sizeof(r) * sizeof(r);
			break;
		}
		if (r.helper && deliver(f, h, cpu, &r, from + sizeof(r)) == -EAGAIN && f->waits)
			break;
		at += r.span;
	}
	atomic_store_explicit(&in->tail[cpu], at, memory_order_relaxed);
	atomic_store_explicit(&out->tail, at, memory_order_release);
	if (at % sizeof(struct inside_record) == 0 && head % sizeof(struct inside_record))
		atomic_store(&out->head, at);
	return at != begin;
}

static bool some_sent(const struct inside *in)
{
	const struct inside_cpus *all = inside_cpus_of(in);
	bool some = false;

	for (u32 i = 0; i < all->n && !some; i++)
		some = atomic_load(&all->outbox[i].head) != atomic_load_explicit(&in->tail[i], memory_order_relaxed);
	return some;
}

/* Under in->fetch. */
static bool fetch_all(struct skep *k, struct inside *in)
{
	const struct task_door *door = atomic_load(&k->hooks->door);
	struct fetching f = {.k = k, .waits = door && door->waits};
	bool some = false;
	struct hold h;

	if (hold_take(k->domain, &h))
		return false;
	for (u32 i = 0; i < inside_cpus_of(in)->n; i++)
		some = fetch_from(in, &f, &h, i) || some;
	hold_drop(&h);
	if (f.prog)
		obj_put(f.prog);
	return some;
}

static void fetch_now(struct skep *k, struct inside *in)
{
	plain_lock_take(&in->fetch);
	fetch_all(k, in);
	plain_lock_drop(&in->fetch);
}

void task_inside_fetch(struct skep *k)
{
	struct inside *in = atomic_load_explicit(&k->hooks->inside, memory_order_acquire);

	if (in && some_sent(in))
		fetch_now(k, in);
}

bool task_inside_tick(struct skep *k)
{
	enum { PATIENCE = 100 };
	struct inside *in = atomic_load_explicit(&k->hooks->inside, memory_order_acquire);
	struct inside_cpus *all = in ? inside_cpus_of(in) : NULL;
	bool some, goes_on;

	if (!in || !(atomic_load(&in->sent) || atomic_load(&all->fetching)))
		return false;
	plain_lock_take(&in->fetch);
	some = atomic_exchange(&in->sent, false);
	some = fetch_all(k, in) || some;
	in->idle = some ? 0 : in->idle + 1;
	goes_on = in->idle < PATIENCE;
	atomic_store(&all->fetching, goes_on);
	if (!goes_on) /* what was sent until they could know */
		fetch_all(k, in);
	plain_lock_drop(&in->fetch);
	return goes_on;
}

/* ---- answers ---- */

struct asked {
	struct skep *k;
	const struct task *task;
	const struct task_door *door;
	const struct task_ask *args;
	struct map *map;
	struct hold *hold;
};

static bool fetch(const struct asked *q, u64 from, void *to, u64 size)
{
	return q->door && q->door->read && q->door->read(q->door->ud, q->task->info.tid, from, to, size) == (s64)size;
}

/* Elements come and go. */
static s64 change_element(struct asked *q)
{
	const struct task_ask *a = q->args;
	bool update = a->helper == HELPER_map_update_elem;
	struct map *m = q->map;
	u64 key[HASH_MAX_KEY / 8];
	void *value;
	s64 err;

	if (m->spec.flags & BPF_F_RDONLY_PROG) /* its program does not: the process does */
		return -EPERM;
	if ((update ? !m->ops->update : !m->ops->remove) || m->spec.key_size > sizeof(key))
		return -EINVAL;
	value = mem_alloc(&q->k->mem, MAX(m->spec.value_size, 1u));
	if (!value)
		return -ENOMEM;
	if (!fetch(q, a->key, key, m->spec.key_size) || (update && !fetch(q, a->value, value, m->spec.value_size)))
		err = -EFAULT;
	else
		err = update ? m->ops->update(m, q->hold, key, value, a->flags) : m->ops->remove(m, q->hold, key);
	mem_free(&q->k->mem, value, MAX(m->spec.value_size, 1u));
	return err;
}

/* A record that found no room in its outbox, or has none; what was sent before goes first. */
static s64 output(struct asked *q)
{
	const struct task_ask *a = q->args;
	bool sample = a->helper == HELPER_perf_event_output;
	u64 size = a->value, most = sample ? UINT16_MAX : q->map->spec.max_entries;
	struct hold as = *q->hold;
	void *data;
	s64 err;

	if (sample ? !q->map->ops->event : !q->map->ops->output)
		return -EINVAL;
	if (size > most)
		return sample ? -E2BIG : -EAGAIN;
	data = mem_alloc(&q->k->mem, MAX(size, (u64)1));
	if (!data)
		return -ENOMEM;
	as.index = (u32)MIN(a->cpu, (u64)domain_cpus(q->k->domain) - 1);
	if (!fetch(q, a->key, data, size))
		err = -EFAULT;
	else
		err = sample ? q->map->ops->event(q->map, &as, a->flags & BPF_F_INDEX_MASK, &(struct map_bytes){data, size}, 1) :
			       q->map->ops->output(q->map, &as, data, size, a->flags);
	mem_free(&q->k->mem, data, MAX(size, (u64)1));
	return err;
}

static s64 keep_stack(struct asked *q)
{
	u64 frames[FRAMES_MOST], n = q->args->value;

	if (!q->map->ops->stack_id || !n || n > FRAMES_MOST)
		return -EINVAL;
	return fetch(q, q->args->key, frames, n * sizeof(*frames)) ? q->map->ops->stack_id(q->map, q->hold, frames, (u32)n, q->args->flags) : -EFAULT;
}

/* What is asked of a map, by helper. */
static const struct {
	u32 helper;
	s64 (*answer)(struct asked *q);
	bool sends;
} answers[] = {
	{HELPER_map_update_elem, change_element, false},
	{HELPER_map_delete_elem, change_element, false},
	{HELPER_perf_event_output, output, true},
	{HELPER_ringbuf_output, output, true},
	{HELPER_get_stackid, keep_stack, false},
};

static s64 ask_map(struct asked *q)
{
	struct obj *prog = asker(q->k, q->args->map, &q->map);
	struct hold h;
	s64 err = -EINVAL;

	if (!prog)
		return -EBUSY;
	q->hold = &h;
	for (u32 i = 0; i < ARRAY_SIZE(answers); i++) {
		if (answers[i].helper != q->args->helper)
			continue;
		if (answers[i].sends)
			task_inside_fetch(q->k);
		err = hold_take_at(q->k->domain, &h, (u32)q->args->cpu);
		if (!err) {
			err = answers[i].answer(q);
			hold_drop(&h);
		}
	}
	obj_put(prog);
	return err;
}

/* A thread that its process's struct task_inside has no name of. */
static s64 name_thread(const struct asked *q)
{
	char name[sizeof(q->task->info.comm)] = {0};
	u64 size = q->args->value;
	bool done = size && size <= sizeof(name) && q->door && q->door->write;

	if (done) {
		memcpy(name, q->task->info.comm, size - 1);
		done = q->door->write(q->door->ud, q->task->info.tid, q->args->key, name, size) == (s64)size;
	}
	return done ? 0 : -EFAULT;
}

static s64 object_of(const struct asked *q)
{
	return (s64)task_object(q->task);
}

/* ---- texts that a program prints or makes ---- */

enum { FORMAT_MOST = 4096, LINE_MOST = 1024, VALUES_MOST = 12, FRAMES_ROOM = 2048 /* a program's frames, and those of a routine that asks */ };
struct wording {
	const struct asked *q;
	u64 sp;
	char *fmt; /* of len bytes, in room for FORMAT_MOST */
	u64 len, values[VALUES_MOST];
	u32 n_values;
};

/* As with bpf_probe_read_kernel(): kernel objects, values of maps, the program's own frames. */
static bool text_read(void *ud, u64 from, void *to, u64 size)
{
	const struct wording *t = ud;
	const struct window *w = &t->q->k->window;
	u64 off = from - (u64)(uintptr_t)w->base;

	return ((off <= w->size && size <= w->size - off) || (from - t->sp < FRAMES_ROOM && size <= FRAMES_ROOM - (from - t->sp))) && fetch(t->q, from, to, size);
}

static s64 text_values(struct wording *t, u64 from, u64 size)
{
	if (size % 8 || size > sizeof(t->values) || (size && !from))
		return -EINVAL;
	t->n_values = (u32)(size / 8);
	return !size || fetch(t->q, from, t->values, size) ? 0 : -EFAULT;
}

static s64 text_line(struct wording *t)
{
	const struct asked *q = t->q;
	char line[LINE_MOST];
	s64 n = helper_format(t->fmt, t->len, t->values, t->n_values, line, sizeof(line), text_read, t);
	struct run *r = n < 0 ? NULL : mem_alloc(&q->k->mem, sizeof(*r));
	struct hold h;

	if (!r)
		return n < 0 ? n : -ENOMEM;
	n = MIN(n, (s64)sizeof(line) - 1);
	r->has_task = true;
	task_identity(q->task, &r->task);
	r->hold = hold_take(q->k->domain, &h) ? NULL : &h;
	q->k->run_host.trace(q->k->run_host.ud, r, line, (size_t)n);
	if (r->hold)
		hold_drop(&h);
	mem_free(&q->k->mem, r, sizeof(*r));
	return n;
}

/* bpf_trace_printk(fmt, size, three values), bpf_trace_vprintk(fmt, size, values, their size) */
static s64 text_print(struct wording *t)
{
	const struct task_ask *a = t->q->args;
	s64 err = 0;

	t->len = a->key;
	if (!t->len || t->len > FORMAT_MOST)
		return t->len ? -E2BIG : -EINVAL;
	if (!fetch(t->q, a->map, t->fmt, t->len))
		return -EFAULT;
	if (a->helper == HELPER_trace_vprintk) {
		err = text_values(t, a->value, a->flags);
	} else {
		t->n_values = 3;
		memcpy(t->values, (u64[]){a->value, a->flags, a->cpu}, 3 * sizeof(u64));
	}
	return err ? err : text_line(t);
}

/* bpf_snprintf(to, size, fmt, values, their size); the format lies in a map's value, where it ends. */
static s64 text_make(struct wording *t)
{
	const struct task_ask *a = t->q->args;
	u64 room = MIN(a->key, (u64)FORMAT_MOST), size;
	char *made;
	s64 n;

	while (t->len < FORMAT_MOST && fetch(t->q, a->value + t->len, t->fmt + t->len, 1) && t->fmt[t->len++])
		;
	if (!t->len || t->fmt[t->len - 1])
		return -EFAULT;
	n = text_values(t, a->flags, a->cpu);
	made = n ? NULL : mem_alloc(&t->q->k->mem, FORMAT_MOST);
	if (!made)
		return n ? n : -ENOMEM;
	n = helper_format(t->fmt, t->len, t->values, t->n_values, made, room, text_read, t);
	size = n < 0 ? 0 : MIN((u64)n + 1, room);
	n = n < 0 ? n : n + 1;
	if (size && (!t->q->door->write || t->q->door->write(t->q->door->ud, t->q->task->info.tid, a->map, made, size) != (s64)size))
		n = -EFAULT;
	mem_free(&t->q->k->mem, made, FORMAT_MOST);
	return n;
}

static s64 text_of(const struct asked *q)
{
	struct wording t = {.q = q};
	struct task_regs regs;
	s64 n;

	if (!q->door || !q->door->regs || q->door->regs(q->door->ud, q->task->info.tid, &regs))
		return -EFAULT;
	t.sp = regs.sp;
	t.fmt = mem_alloc(&q->k->mem, FORMAT_MOST);
	if (!t.fmt)
		return -ENOMEM;
	n = q->args->helper == HELPER_snprintf ? text_make(&t) : text_print(&t);
	mem_free(&q->k->mem, t.fmt, FORMAT_MOST);
	return n;
}

/* What is asked of no map, by helper. */
static const struct {
	u32 helper;
	s64 (*answer)(const struct asked *q);
} others[] = {
	{HELPER_get_current_comm, name_thread},
	{HELPER_get_current_task, object_of},
	{HELPER_trace_printk, text_of},
	{HELPER_trace_vprintk, text_of},
	{HELPER_snprintf, text_of},
};

s64 task_inside_ask(struct skep *k, struct task *t, const struct task_ask *a)
{
	struct asked q = {.k = k, .task = t, .door = atomic_load(&k->hooks->door), .args = a};
	struct inside *in = atomic_load_explicit(&k->hooks->inside, memory_order_acquire);

	for (u32 i = 0; i < ARRAY_SIZE(others); i++)
		if (others[i].helper == a->helper)
			return others[i].answer(&q);
	if (a->helper)
		return ask_map(&q);
	if (in) {
		atomic_store(&in->sent, true);
		fetch_now(k, in);
	}
	return 0;
}

/* ---- the values of a CPU ---- */

bool inside_lease_take(struct skep *k, const struct hold *h)
{
	enum { TURNS = 64 };
	const struct inside *in = atomic_load_explicit(&k->hooks->inside, memory_order_relaxed);
	struct inside_lease *l = in ? &inside_cpus_of(in)->lease[h->index] : NULL;
	u64 owner = 0;

	for (u32 i = 0; l && i < TURNS; i++) {
		owner = 0;
		if (atomic_compare_exchange_strong(&l->owner, &owner, INSIDE_ENGINE))
			return true;
		os_yield();
	}
	if (l && owner != INSIDE_ENGINE && !task_find(k, (u32)(owner >> 32))) /* nobody's: it was scribbled on */
		atomic_compare_exchange_strong(&l->owner, &owner, 0);
	return false;
}

void inside_lease_drop(struct skep *k, const struct hold *h)
{
	atomic_store_explicit(&inside_cpus_of(k->hooks->inside)->lease[h->index].owner, 0, memory_order_release);
}

void task_inside_gone(struct skep *k, u32 tgid)
{
	struct inside *in = atomic_load_explicit(&k->hooks->inside, memory_order_acquire);

	if (in)
		fetch_now(k, in); /* and says anew what it may have scribbled on */
	for (u32 i = 0; in && i < domain_cpus(k->domain); i++) {
		u64 owner = atomic_load(&inside_cpus_of(in)->lease[i].owner);

		if (owner >> 32 == tgid)
			atomic_compare_exchange_strong(&inside_cpus_of(in)->lease[i].owner, &owner, 0);
	}
}
