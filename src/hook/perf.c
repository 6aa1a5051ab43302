/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Perf events, as far as an engine has something behind them: rings for BPF output, tracepoints (to put a program there), and the software clocks, which run a
 * program whenever a period has passed. Clocks have no thread of their own: who has an event loop asks when the next one is due, and has it run.
 */
#include "hook/hooks.h"

#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

enum { NS = 1000000000, LEAST_PERIOD = 10000 /* ns: Linux does not go below either */, MOST_FREQUENCY = 100000 };

/* ---- opening ---- */

static int find_tracepoint(struct skep *k, const struct perf_event_attr *attr, struct perf_event *e)
{
	e->site = site_by_id(attr->config);
	if (e->site < 0)
		return attach_refused(k, -ENOENT, "perf_event_open: no tracepoint of skep %s has id %llu", skep_version(), (unsigned long long)attr->config);
	return 0;
}

static int find_output(struct skep *k, const struct perf_event_attr *attr, struct perf_event *e)
{
	(void)k, (void)e;
	return perf_ring_samples(attr->sample_type) && !attr->write_backward ? 0 : -EINVAL;
}

static int find_clock(struct skep *k, const struct perf_event_attr *attr, struct perf_event *e)
{
	(void)k;
	if (attr->freq && attr->sample_freq > MOST_FREQUENCY)
		return -EINVAL;
	e->period = !attr->freq ? attr->sample_period : attr->sample_freq ? NS / attr->sample_freq : 0;
	if (e->period)
		e->period = MAX(e->period, (u64)LEAST_PERIOD);
	return 0;
}

/* attr: config1 is the file's path, config2 an offset in it; config: bit 0 is for returns, its high half the offset of a counter. */
static int find_probe(struct skep *k, const struct perf_event_attr *attr, struct perf_event *e)
{
	const struct task_door *door = atomic_load(&k->hooks->door);
	const char *path = (const char *)(uintptr_t)attr->config1;
	struct stat st;

	if (!door || !door->sets_probes)
		return attach_refused(k, -ENOENT, "perf_event_open: uprobe: nobody sets probes in functions of processes for this engine");
	if (!path)
		return -EFAULT;
	if (stat(path, &st))
		return attach_refused(k, -errno, "perf_event_open: uprobe: %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	e->probe = (struct task_probe){.dev = st.st_dev, .ino = st.st_ino, .offset = attr->config2, .counter = attr->config >> 32,
				       .at_return = attr->config & 1, .path = mem_copy(&k->mem, path, strlen(path) + 1)};
	return e->probe.path ? 0 : -ENOMEM;
}

#define ANY UINT64_MAX

static const struct source {
	const char *name, *about;
	u32 type;
	u64 config, mask;
	int (*find)(struct skep *k, const struct perf_event_attr *attr, struct perf_event *e);
} sources[] = {
#define SOURCE(name, type, config, mask, find, about) {name, about, type, config, mask, find},
#define ABSENT(name, type, config, mask, why)
#include "hook/sources.def"
};

static const struct absent {
	const char *name, *why;
	u32 type;
	u64 config, mask;
} absents[] = {
#define SOURCE(name, type, config, mask, find, about)
#define ABSENT(name, type, config, mask, why) {name, why, type, config, mask},
#include "hook/sources.def"
};

const char *perf_hook(u32 i, const char **about)
{
	for (u32 s = 0; s < ARRAY_SIZE(sources); s++) {
		if (!*sources[s].about || i--)
			continue;
		*about = sources[s].about;
		return sources[s].name;
	}
	return NULL;
}

static int find_source(struct skep *k, const struct perf_event_attr *attr, struct perf_event *e)
{
	e->site = -1;
	for (u32 s = 0; s < ARRAY_SIZE(sources); s++)
		if (sources[s].type == attr->type && (attr->config & sources[s].mask) == sources[s].config)
			return sources[s].find(k, attr, e);
	for (u32 i = 0; i < ARRAY_SIZE(absents); i++)
		if (absents[i].type == attr->type && (attr->config & absents[i].mask) == absents[i].config)
			return attach_refused(k, -ENOENT, "perf_event_open: %s: %s (skep %s)", absents[i].name, absents[i].why, skep_version());
	return attach_refused(k, -ENOENT, "perf_event_open: events of type %u (config %llu) are not offered by skep %s: software events and tracepoints are", attr->type,
			      (unsigned long long)attr->config, skep_version());
}

static struct perf_event **list_of(struct hooks *h, const struct perf_event *e)
{
	return e->probe.path ? &h->probes : &h->clocks;
}

static void add_listed(struct skep *k, struct perf_event *e)
{
	struct hooks *h = k->hooks;
	struct perf_event **list = list_of(h, e);

	plain_lock_take(&h->lock);
	if (e->probe.path) {
		e->probe.id = ++h->last_probe;
		e->probe.pid = e->pid;
	}
	e->next = *list;
	*list = e;
	plain_lock_drop(&h->lock);
}

static void event_drop(struct skep *k, struct perf_event *e)
{
	mem_free(&k->mem, (void *)(uintptr_t)e->probe.path, e->probe.path ? strlen(e->probe.path) + 1 : 0);
	mem_free(&k->mem, e, sizeof(*e));
}

static void enable(struct perf_event *e, bool on)
{
	if (on && !e->enabled)
		e->due = os_clock_ns(CLOCK_MONOTONIC) + e->period;
	e->enabled = on;
}

static int check_target(struct skep *k, const struct perf_event_attr *attr, int pid, int cpu, int group_fd, unsigned long flags)
{
	enum { CLOEXEC = 8 };
	bool output = attr->type == PERF_TYPE_SOFTWARE && attr->config == PERF_COUNT_SW_BPF_OUTPUT;

	if (flags & ~(unsigned long)CLOEXEC || group_fd != -1 || pid < -1 || cpu < -1 || (pid == -1 && cpu == -1))
		return -EINVAL;
	if (cpu >= 0 && (u32)cpu >= domain_cpus(k->domain))
		return output ? -EINVAL : -ENODEV;
	return output && pid != -1 ? -EINVAL : 0;
}

static int new_event(struct skep *k, const struct perf_event_attr *attr, int pid, int cpu, struct perf_event *e)
{
	struct perf_ring *ring = &e->ring;
	int err = perf_ring_open(ring, &k->mem, &k->window);

	if (err)
		return err;
	e->k = k;
	e->type = attr->type;
	e->config = attr->config;
	e->pid = pid;
	e->cpu = cpu;
	ring->output = attr->type == PERF_TYPE_SOFTWARE && attr->config == PERF_COUNT_SW_BPF_OUTPUT;
	ring->cpu = cpu;
	ring->sample_type = attr->sample_type;
	ring->by_bytes = attr->watermark;
	ring->wakeup = attr->watermark ? attr->wakeup_watermark : attr->wakeup_events;
	enable(e, !attr->disabled);
	return 0;
}

int skep_perf_event_open(struct skep *k, const struct perf_event_attr *attr, int pid, int cpu, int group_fd, unsigned long flags)
{
	struct perf_event *e;
	struct obj *o;
	int fd, err;

	if (!attr)
		return -EFAULT;
	err = check_target(k, attr, pid, cpu, group_fd, flags);
	if (err)
		return err;
	e = mem_alloc(&k->mem, sizeof(*e));
	if (!e)
		return -ENOMEM;
	err = find_source(k, attr, e);
	err = err ? err : new_event(k, attr, pid, cpu, e);
	if (err) {
		event_drop(k, e);
		return err;
	}
	if (e->period || e->probe.path)
		add_listed(k, e);
	o = obj_new(k, OBJ_PERF, e);
	if (!o) {
		perf_free(k, e);
		return -ENOMEM;
	}
	e->ring.id = o->id;
	fd = obj_fd(o, 0);
	obj_put(o);
	return fd;
}

void perf_free(struct skep *k, void *body)
{
	struct perf_event *e = body;

	plain_lock_take(&k->hooks->lock);
	for (struct perf_event **at = list_of(k->hooks, e); *at; at = &(*at)->next)
		if (*at == e) {
			*at = e->next;
			break;
		}
	plain_lock_drop(&k->hooks->lock);
	attach_perf_end(k, e);
	perf_ring_close(&e->ring);
	event_drop(k, e);
}

int skep_perf_mmap(struct skep *k, int fd, size_t bytes)
{
	enum { PAGE = 4096 };
	struct obj *o;
	int err = obj_by_fd(k, fd, OBJ_PERF, 0, &o);

	if (err)
		return err;
	err = bytes < 2 * PAGE || bytes % PAGE || bytes / PAGE > UINT32_MAX ? -EINVAL : perf_ring_size(o->body, (u32)(bytes / PAGE) - 1);
	obj_put(o);
	return err;
}

/* ---- programs ---- */

static int check_program(struct skep *k, const struct perf_event *e, const struct prog *p)
{
	u32 type = e->probe.path ? BPF_PROG_TYPE_KPROBE : e->site >= 0 ? BPF_PROG_TYPE_TRACEPOINT : BPF_PROG_TYPE_PERF_EVENT;

	if (e->site < 0 && !e->period && !e->probe.path)
		return -EINVAL;
	if (e->at)
		return -EEXIST;
	if (p->type != type)
		return -EINVAL;
	if (e->site >= 0 && p->reach[REACH_CTX] > site_record_end((u32)e->site))
		return -EACCES;
	return attach_allowed(k, p);
}

int attach_perf(struct skep *k, struct perf_event *e, struct obj *prog, u64 cookie)
{
	struct attachment *a = NULL;
	bool taken;
	int err = check_program(k, e, prog->body);

	if (err)
		return err;
	if (e->site >= 0) {
		err = attach_at(k, (u32)e->site, prog, false, cookie, &a);
		if (err)
			return err;
	} else {
		a = mem_alloc(&k->mem, sizeof(*a));
		if (!a)
			return -ENOMEM;
		*a = (struct attachment){.prog = prog, .cookie = cookie, .site = -1};
		obj_get(prog);
	}
	plain_lock_take(&k->hooks->lock);
	taken = e->at != NULL; /* another thread was faster */
	if (!taken)
		e->at = a;
	plain_lock_drop(&k->hooks->lock);
	if (taken)
		attach_end(k, a);
	else if (e->probe.path)
		attach_changed(k);
	return taken ? -EEXIST : 0;
}

void attach_perf_end(struct skep *k, struct perf_event *e)
{
	struct attachment *a;

	if (e->probe.path) /* the program's maps are known by its attachment */
		task_inside_fetch(k);
	plain_lock_take(&k->hooks->lock);
	a = e->at;
	e->at = NULL;
	plain_lock_drop(&k->hooks->lock);
	if (a && e->probe.path)
		attach_changed(k);
	attach_end(k, a);
}

static int set_program(struct skep *k, struct obj *event, int prog_fd)
{
	struct obj *prog;
	int err = obj_by_fd(k, prog_fd, OBJ_PROG, 0, &prog);

	if (err)
		return err;
	err = attach_perf(k, event->body, prog, 0);
	obj_put(prog);
	return err;
}

/* PERF_EVENT_IOC_QUERY_BPF: which programs are at the event's tracepoint. */
static int query_programs(struct skep *k, const struct perf_event *e, struct perf_event_query_bpf *q)
{
	u32 room, n = 0;

	if (e->site < 0)
		return -EINVAL;
	if (!q)
		return -EFAULT;
	room = q->ids_len;
	plain_lock_take(&k->hooks->lock);
	for (const struct attachment *a = k->hooks->at[e->site]; a; a = a->next)
		if (!a->raw) {
			if (n < room)
				q->ids[n] = a->prog->id;
			n++;
		}
	plain_lock_drop(&k->hooks->lock);
	q->prog_cnt = n;
	return n > room && room ? -ENOSPC : 0;
}

int skep_perf_ioctl(struct skep *k, int fd, unsigned long request, unsigned long arg)
{
	struct perf_event *e;
	struct obj *o;
	int err = obj_by_fd(k, fd, OBJ_PERF, 0, &o);

	if (err)
		return err;
	e = o->body;
	switch (request) {
	case PERF_EVENT_IOC_ENABLE: enable(e, true); break;
	case PERF_EVENT_IOC_DISABLE: enable(e, false); break;
	case PERF_EVENT_IOC_RESET: break; /* nothing is counted */
	case PERF_EVENT_IOC_PAUSE_OUTPUT: atomic_store(&e->ring.paused, arg != 0); break;
	case PERF_EVENT_IOC_SET_BPF: err = set_program(k, o, (int)arg); break;
	case PERF_EVENT_IOC_QUERY_BPF: err = query_programs(k, e, (void *)arg); break;
	case PERF_EVENT_IOC_ID:
		if (arg)
			STORE_AS(u64, (void *)arg, o->id);
		err = arg ? 0 : -EFAULT;
		break;
	default: err = attach_refused(k, -ENOTTY, "ioctl 0x%lx of a perf event: not supported by skep %s", request, skep_version());
	}
	obj_put(o);
	return err;
}

/* ---- clocks ---- */

u64 task_clock_next(struct skep *k)
{
	u64 next = 0;

	plain_lock_take(&k->hooks->lock);
	for (const struct perf_event *e = k->hooks->clocks; e; e = e->next)
		if (e->enabled && e->at && (!next || e->due < next))
			next = e->due;
	plain_lock_drop(&k->hooks->lock);
	return next;
}

struct due {
	struct event_prog prog;
	u64 period;
	s32 pid;
};

/* Those that sample a processor now. */
static u32 take_due(struct skep *k, u64 now, u32 cpu, struct due *out, u32 room)
{
	u32 n = 0;

	plain_lock_take(&k->hooks->lock);
	for (const struct perf_event *e = k->hooks->clocks; e && n < room; e = e->next)
		if (e->enabled && e->at && e->due <= now && (e->cpu < 0 || e->pid > 0 || (u32)e->cpu == cpu))
			out[n++] = (struct due){{e->at->prog->body, e->at->cookie, 0}, e->period, e->pid};
	plain_lock_drop(&k->hooks->lock);
	return n;
}

/* What was missed is missed. */
static void go_on_from(struct skep *k, u64 now)
{
	plain_lock_take(&k->hooks->lock);
	for (struct perf_event *e = k->hooks->clocks; e; e = e->next)
		if (e->enabled && e->at && e->due <= now)
			e->due += e->period * ((now - e->due) / e->period + 1);
	plain_lock_drop(&k->hooks->lock);
}

static void run_clock(struct skep *k, const struct due *d, struct task *t, struct hold *h)
{
	const struct task_door *door = atomic_load(&k->hooks->door);
	struct bpf_perf_event_data ctx = {.sample_period = d->period};
	struct task_regs regs;

	_Static_assert(sizeof(ctx.regs) == sizeof(regs), "registers as Linux has them");
	if (d->pid > 0 && (!t || (t->info.tgid != (u32)d->pid && t->info.tid != (u32)d->pid)))
		return;
	if (t && door && door->regs && !door->regs(door->ud, t->info.tid, &regs))
		memcpy(&ctx.regs, &regs, sizeof(regs));
	event_run(k, &d->prog, h, t, &ctx, sizeof(ctx));
}

/* Each processor's samples on its own slot, so that programs see its number. */
void task_clock_run(struct skep *k, u64 now, struct task *const *running, u32 n)
{
	struct due due[SITE_PROGS];
	struct hold h;

	for (u32 cpu = 0; cpu < n; cpu++) {
		u32 n_due;

		if (hold_take_at(k->domain, &h, cpu)) {
			atomic_fetch_add(&k->hooks->lost, 1);
			continue;
		}
		n_due = take_due(k, now, cpu, due, ARRAY_SIZE(due));
		for (u32 i = 0; i < n_due; i++)
			run_clock(k, &due[i], running[cpu], &h);
		hold_drop(&h);
	}
	go_on_from(k, now);
}

/* ---- probes ---- */

void task_probes(struct skep *k, void (*visit)(void *ud, const struct task_probe *p), void *ud)
{
	plain_lock_take(&k->hooks->lock);
	for (const struct perf_event *e = k->hooks->probes; e; e = e->next)
		if (e->at)
			visit(ud, &e->probe);
	plain_lock_drop(&k->hooks->lock);
}

void task_event_probe(struct skep *k, struct task *t, u64 id, u64 address, const struct task_regs *regs)
{
	struct event_prog p = {.address = address};
	struct task_regs ctx = *regs;
	struct hold h;

	task_inside_fetch(k); /* came before */
	if (hold_take(k->domain, &h)) {
		atomic_fetch_add(&k->hooks->lost, 1);
		return;
	}
	plain_lock_take(&k->hooks->lock);
	for (const struct perf_event *e = k->hooks->probes; e; e = e->next)
		if (e->probe.id == id && e->at && (e->pid < 0 || (u32)e->pid == t->info.tgid || (u32)e->pid == t->info.tid)) {
			p.prog = e->at->prog->body;
			p.cookie = e->at->cookie;
		}
	plain_lock_drop(&k->hooks->lock);
	if (p.prog)
		event_run(k, &p, &h, t, &ctx, sizeof(ctx));
	hold_drop(&h);
}
