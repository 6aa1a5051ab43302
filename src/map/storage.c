/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Storage that hangs on objects of a kernel (sockets, inodes, tasks, control groups), and STRUCT_OPS, which
 * hands programs to one. They are created with Linux's checks, so that programs which use them can be
 * verified. An engine has no such objects: what bpf(2) names by descriptor is answered as an object without
 * storage, or as none, and storing gives -EOPNOTSUPP.
 *
 * Concurrency: nothing changes after creation.
 */
#include "map/map.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/socket.h>

/* ---- by object: SK_STORAGE, INODE_STORAGE, TASK_STORAGE, CGRP_STORAGE ---- */

static int storage_create(struct map *m)
{
	enum { OVERHEAD = 128 }; /* of Linux's element: value and it are at most 65535 bytes */
	const struct map_spec *s = &m->spec;

	if (s->flags & ~(u32)(BPF_F_NO_PREALLOC | BPF_F_CLONE) || !(s->flags & BPF_F_NO_PREALLOC) ||
	    s->max_entries || s->key_size != 4 || !s->value_size || !s->btf_key_type_id ||
	    !s->btf_value_type_id)
		return -EINVAL;
	if (s->value_size > UINT16_MAX - OVERHEAD)
		return -E2BIG;
	return map_meta_create(m, 0);
}

/* 0: there is an object behind the key, a descriptor. */
static int find_object(const struct map *m, const void *key)
{
	int fd = (int)LOAD_AS(u32, key), type;
	socklen_t size = sizeof(type);

	switch (m->spec.kind) {
	case MAP_KIND_SK_STORAGE:
		return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) ? -errno : 0;
	case MAP_KIND_INODE_STORAGE:
		return fcntl(fd, F_GETFD) < 0 ? -EBADF : 0;
	default:
		return -EBADF;
	}
}

static int storage_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	int err = find_object(m, key);

	(void)h, (void)value, (void)flags;
	return err ? err : -ENOENT;
}

static int storage_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	int err = find_object(m, key);

	(void)h, (void)value, (void)flags;
	return err ? err : -EOPNOTSUPP;
}

static int storage_remove(struct map *m, const struct hold *h, const void *key)
{
	int err = find_object(m, key);

	(void)h;
	return err ? err : -ENOENT;
}

#define STORAGE_OPS                                                                                          \
	{                                                                                                    \
		.create = storage_create, .remove = storage_remove, .get = storage_get, .set = storage_set,  \
		.traits = KIND_INNER | KIND_LOCKS | KIND_PRIVILEGED,                                         \
	}
const struct map_ops sk_storage_ops = STORAGE_OPS;
const struct map_ops inode_storage_ops = STORAGE_OPS;
const struct map_ops task_storage_ops = STORAGE_OPS;
const struct map_ops cgrp_storage_ops = STORAGE_OPS;

/* ---- by cgroup and attach type, made when a program is attached: CGROUP_STORAGE, PERCPU_CGROUP_STORAGE ----
 */

static int cgroup_storage_create(struct map *m)
{
	enum { OVERHEAD = 128, PERCPU_MOST = 32768, KEY_BYTES = 16 };
	enum {
		FLAGS = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG
	};
	const struct map_spec *s = &m->spec;

	if ((s->key_size != KEY_BYTES && s->key_size != 8) || s->value_size == 0)
		return -EINVAL;
	if (s->value_size >
	    (s->kind == MAP_KIND_PERCPU_CGROUP_STORAGE ? (u32)PERCPU_MOST : (u32)(UINT16_MAX - OVERHEAD)))
		return -E2BIG;
	if (s->flags & ~(u32)FLAGS || s->max_entries)
		return -EINVAL;
	return map_meta_create(m, 0);
}

static int cgroup_storage_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	(void)m, (void)h, (void)key, (void)value, (void)flags;
	return -ENOENT;
}

static int cgroup_storage_set(struct map *m, const struct hold *h, const void *key, const void *value,
			      u64 flags)
{
	bool percpu = m->spec.kind == MAP_KIND_PERCPU_CGROUP_STORAGE;

	(void)h, (void)key, (void)value;
	if (percpu ? flags != BPF_ANY && flags != BPF_EXIST : flags & ~(u64)(BPF_F_LOCK | BPF_EXIST))
		return -EINVAL;
	return -ENOENT;
}

static int cgroup_storage_remove(struct map *m, const struct hold *h, const void *key)
{
	(void)m, (void)h, (void)key;
	return -EINVAL;
}

static int cgroup_storage_next_key(struct map *m, const struct hold *h, const void *key, void *next)
{
	(void)m, (void)h, (void)key, (void)next;
	return -ENOENT;
}

#define CGROUP_STORAGE_OPS(more)                                                                             \
	{                                                                                                    \
		.create = cgroup_storage_create, .remove = cgroup_storage_remove, .get = cgroup_storage_get, \
		.set = cgroup_storage_set, .next_key = cgroup_storage_next_key, .traits = (more),            \
	}
const struct map_ops cgroup_storage_ops = CGROUP_STORAGE_OPS(KIND_LOCKS);
const struct map_ops percpu_cgroup_storage_ops = CGROUP_STORAGE_OPS(KIND_PER_CPU);

/* ---- STRUCT_OPS: one element, a kernel's struct of functions ---- */

/* That the type exists and has value_size bytes is for whoever knows the kernel's types: m->kernel_type is 0
 * when it does not. */
static int struct_ops_create(struct map *m)
{
	enum { LINK = 1 << 13, VTYPE_BTF_OBJ_FD = 1 << 15 };
	const struct map_spec *s = &m->spec;

	if (s->key_size != 4 || s->max_entries != 1 || s->flags & ~(u32)(LINK | VTYPE_BTF_OBJ_FD) ||
	    !m->kernel_type)
		return -EINVAL;
	return map_meta_create(m, 0);
}

/* Nothing was registered: the struct is all zero. */
static int struct_ops_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	(void)h, (void)flags;
	if (LOAD_AS(u32, key))
		return -ENOENT;
	memset(value, 0, m->spec.value_size);
	return 0;
}

static int struct_ops_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	(void)m, (void)h, (void)value;
	if (flags)
		return -EINVAL;
	return LOAD_AS(u32, key) ? -E2BIG : -EOPNOTSUPP;
}

static int struct_ops_remove(struct map *m, const struct hold *h, const void *key)
{
	(void)m, (void)h, (void)key;
	return -ENOENT;
}

static int struct_ops_next_key(struct map *m, const struct hold *h, const void *key, void *next)
{
	(void)m, (void)h;
	if (key && LOAD_AS(u32, key) == 0)
		return -ENOENT;
	STORE_AS(u32, next, 0);
	return 0;
}

const struct map_ops struct_ops_ops = {
	.create = struct_ops_create,
	.remove = struct_ops_remove,
	.get = struct_ops_get,
	.set = struct_ops_set,
	.next_key = struct_ops_next_key,
	.traits = KIND_KERNEL_TYPE | KIND_PRIVILEGED,
};
