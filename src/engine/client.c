/* SPDX-License-Identifier: BSD-2-Clause */
/* What a client needs besides bpf(2) and perf events (hook/perf.c): descriptors to wait on. */
#include "engine/engine.h"

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
