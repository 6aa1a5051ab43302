/* SPDX-License-Identifier: BSD-2-Clause */
/* How rings come and go. */
#include "map/rings.h"

#include <linux/bpf.h>
#include <sys/eventfd.h>
#include <unistd.h>

int ring_create(struct map *m, u64 meta)
{
	const struct map_spec *s = &m->spec;
	struct ring_event *e;
	int err;

	if (s->flags & ~(u32)BPF_F_NUMA_NODE || s->key_size || s->value_size || s->max_entries == 0 || s->max_entries & (s->max_entries - 1) ||
	    s->max_entries % RING_PAGE)
		return -EINVAL;
	err = map_meta_create(m, meta);
	err = err ? err : map_client_create(m, 2 * RING_PAGE + 2ull * s->max_entries);
	if (err)
		return err;
	e = map_priv(m, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return e->fd < 0 ? -errno : 0;
}

void ring_destroy(struct map *m)
{
	struct ring_event *e = m->priv;

	if (e && e->fd >= 0)
		close(e->fd);
}

int ring_poll_fd(struct map *m)
{
	return ring_event(m);
}
