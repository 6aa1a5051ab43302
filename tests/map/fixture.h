/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What map tests need of an engine: a window, a domain, and a host whose objects are small numbers. Each fixture is
 * one engine; close it and what it made is gone.
 */
#ifndef SKEP_TEST_MAP_FIXTURE_H
#define SKEP_TEST_MAP_FIXTURE_H

#include "map/map.h"

#include "../test.h"

#include <linux/bpf.h>

enum { FIXTURE_OBJECTS = 64 };

struct fixture {
	struct window window;
	struct domain *domain;
	struct map_host host;
	void *object[FIXTURE_OBJECTS]; /* descriptor i and id i + 1 are object[i] */
	int refs[FIXTURE_OBJECTS];
};

static inline int fixture_object_get(void *ud, struct map *m, u32 fd, u32 *id)
{
	struct fixture *f = ud;

	(void)m;
	if (fd >= FIXTURE_OBJECTS || !f->object[fd])
		return -EBADF;
	f->refs[fd]++;
	*id = fd + 1;
	return 0;
}

static inline void fixture_object_put(void *ud, struct map *m, u32 id)
{
	(void)m;
	((struct fixture *)ud)->refs[id - 1]--;
}

static inline void *fixture_object_at(void *ud, struct map *m, u32 id)
{
	(void)m;
	return id - 1 < FIXTURE_OBJECTS ? ((struct fixture *)ud)->object[id - 1] : NULL;
}

static inline void fixture_open(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	if (window_open(&f->window, (size_t)8 << 30) || !(f->domain = domain_open(&mem_libc, &f->window))) {
		printf("Bail out! no window or no domain\n");
		exit(1);
	}
	f->host = (struct map_host){f, fixture_object_get, fixture_object_put, fixture_object_at};
}

static inline void fixture_close(struct fixture *f)
{
	domain_close(f->domain);
	window_close(&f->window);
}

static inline void fixture_map(struct fixture *f, struct map *m)
{
	*m = (struct map){.mem = &mem_libc, .window = &f->window, .domain = f->domain, .host = &f->host};
}

static inline int fixture_create(struct fixture *f, struct map *m, u32 kind, u32 key, u32 value, u32 entries, u32 flags)
{
	struct map_spec spec = {.kind = kind, .key_size = key, .value_size = value, .max_entries = entries, .flags = flags};

	fixture_map(f, m);
	return map_create(m, &spec);
}

#endif
