/* SPDX-License-Identifier: BSD-2-Clause */
/* What a client needs besides bpf(2): descriptors to wait on, and the perf events that programs write samples to. */
#include "engine/engine.h"

#include <linux/perf_event.h>

int skep_poll_fd(struct skep *k, int fd)
{
	struct obj *o;
	int err = obj_by_fd(k, fd, 0, 0, &o), out = -ENOTSUP;

	if (err)
		return err;
	if (o->type == OBJ_MAP && map_has(obj_map(o), poll_fd)) {
		if (map_has(obj_map(o), poll_sync))
			obj_map(o)->ops->poll_sync(obj_map(o));
		out = obj_map(o)->ops->poll_fd(obj_map(o));
	}
	if (o->type == OBJ_PERF) {
		perf_ring_sync(o->body);
		out = ((struct perf_ring *)o->body)->event_fd;
	}
	obj_put(o);
	return out;
}

/* ---- perf events ---- */

int skep_perf_event_open(struct skep *k, const struct perf_event_attr *attr, int pid, int cpu, int group_fd, unsigned long flags)
{
	enum { CLOEXEC = 8 };
	struct perf_ring *ring;
	struct obj *o;
	int fd, err;

	if (!attr)
		return -EFAULT;
	if (attr->type != PERF_TYPE_SOFTWARE || attr->config != PERF_COUNT_SW_BPF_OUTPUT) {
		log_line(k, "perf_event_open: event type %u, config %llu is not offered by skep %s: only software events of BPF output are",
			 attr->type, (unsigned long long)attr->config, skep_version());
		return -ENOENT;
	}
	if (flags & ~(unsigned long)CLOEXEC || group_fd != -1 || pid != -1 || cpu < 0 || (u32)cpu >= domain_cpus(k->domain) ||
	    !perf_ring_samples(attr->sample_type) || attr->write_backward)
		return -EINVAL;
	ring = mem_alloc(&k->mem, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	err = perf_ring_open(ring, &k->mem, &k->window);
	if (err) {
		mem_free(&k->mem, ring, sizeof(*ring));
		return err;
	}
	ring->cpu = cpu;
	ring->sample_type = attr->sample_type;
	ring->by_bytes = attr->watermark;
	ring->wakeup = attr->watermark ? attr->wakeup_watermark : attr->wakeup_events;
	o = obj_new(k, OBJ_PERF, ring);
	if (!o) {
		perf_ring_close(ring);
		mem_free(&k->mem, ring, sizeof(*ring));
		return -ENOMEM;
	}
	ring->id = o->id;
	fd = obj_fd(o, 0);
	obj_put(o);
	return fd;
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
