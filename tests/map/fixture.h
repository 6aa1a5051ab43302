/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What map tests need of an engine: a window, a domain, and a host whose objects are small numbers. Each fixture is
 * one engine; close it and what it made is gone.
 */
#ifndef SKEP_TEST_MAP_FIXTURE_H
#define SKEP_TEST_MAP_FIXTURE_H

#include "map/map.h"

#include "../host.h"

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

/* What the kinds can be created with. */
static inline struct map_spec fixture_spec(u32 kind)
{
	struct map_spec s = {.kind = kind, .key_size = 4, .value_size = 12, .max_entries = 50, .name = "pinned"};

	switch (kind) {
	case MAP_KIND_LPM_TRIE:
		s.key_size = 8;
		s.flags = BPF_F_NO_PREALLOC;
		break;
	case MAP_KIND_QUEUE:
	case MAP_KIND_STACK:
	case MAP_KIND_BLOOM_FILTER:
		s.key_size = 0;
		break;
	case MAP_KIND_RINGBUF:
		s.key_size = s.value_size = 0;
		s.max_entries = 4096;
		break;
	case MAP_KIND_ARRAY:
		s.flags = BPF_F_MMAPABLE;
		break;
	case MAP_KIND_PROG_ARRAY:
	case MAP_KIND_PERF_EVENT_ARRAY:
	case MAP_KIND_ARRAY_OF_MAPS:
	case MAP_KIND_HASH_OF_MAPS:
	case MAP_KIND_CGROUP_ARRAY:
	case MAP_KIND_XSKMAP:
	case MAP_KIND_DEVMAP:
	case MAP_KIND_DEVMAP_HASH:
	case MAP_KIND_CPUMAP:
	case MAP_KIND_SOCKMAP:
	case MAP_KIND_SOCKHASH:
	case MAP_KIND_REUSEPORT_SOCKARRAY:
		s.value_size = 4;
		break;
	case MAP_KIND_STACK_TRACE:
		s.value_size = 64;
		break;
	case MAP_KIND_SK_STORAGE:
	case MAP_KIND_INODE_STORAGE:
	case MAP_KIND_TASK_STORAGE:
	case MAP_KIND_CGRP_STORAGE:
		s.flags = BPF_F_NO_PREALLOC;
		s.max_entries = 0;
		s.btf_key_type_id = s.btf_value_type_id = 1;
		break;
	case MAP_KIND_CGROUP_STORAGE:
	case MAP_KIND_PERCPU_CGROUP_STORAGE:
		s.key_size = 8;
		s.max_entries = 0;
		break;
	case MAP_KIND_USER_RINGBUF:
		s.key_size = s.value_size = 0;
		s.max_entries = 4096;
		break;
	case MAP_KIND_ARENA:
		s.key_size = s.value_size = 0;
		s.flags = BPF_F_MMAPABLE;
		s.max_entries = 4;
		break;
	default:
		break;
	}
	return s;
}

#endif
