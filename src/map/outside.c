/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps whose elements are things outside of bpf(2): sockets, control groups, inodes, tasks. They are
 * created with Linux's checks, so that programs which use them can be verified, and are always empty: an
 * engine has no such things to put in. Reading, deleting and walking answer as Linux does for an empty map;
 * an update ends with what Linux says about an object that does not exist, and a socket that does exist is
 * refused with -EOPNOTSUPP.
 *
 * Concurrency: nothing changes after creation.
 */
#include "map/map.h"

#include <linux/bpf.h>
#include <sys/socket.h>

enum { COMMON_FLAGS = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY };

static bool beyond(const struct map *m, const void *key)
{
	return LOAD_AS(u32, key) >= m->spec.max_entries;
}

/* ---- what kinds with an index have in common ---- */

static int index_remove(struct map *m, const struct hold *h, const void *key)
{
	(void)h;
	return beyond(m, key) ? -EINVAL : 0;
}

/* Program side: there is never anything to find. */
static void *no_value(struct map *m, const struct hold *h, const void *key)
{
	(void)m, (void)h, (void)key;
	return NULL;
}

static int no_key(struct map *m, const struct hold *h, const void *key)
{
	(void)m, (void)h, (void)key;
	return -ENOENT;
}

static int no_next_key(struct map *m, const struct hold *h, const void *key, void *next)
{
	(void)m, (void)h, (void)key, (void)next;
	return -ENOENT;
}

/* What an update of a socket map ends with: the value is a descriptor, of 4 or 8 bytes. */
static int refuse_socket(const struct map *m, const void *value)
{
	u64 fd = m->spec.value_size == sizeof(u64) ? LOAD_AS(u64, value) : LOAD_AS(u32, value);
	int type;
	socklen_t size = sizeof(type);

	if (fd > INT32_MAX && m->spec.value_size == sizeof(u64))
		return -EINVAL;
	if (getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &size))
		return -errno;
	return -EOPNOTSUPP;
}

/* ---- XSKMAP: AF_XDP sockets ---- */

static int xsk_create(struct map *m)
{
	const struct map_spec *s = &m->spec;

	if (s->max_entries == 0 || s->key_size != 4 || s->value_size != 4 || s->flags & ~(u32)COMMON_FLAGS)
		return -EINVAL;
	return map_meta_create(m, 0);
}

static int xsk_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	(void)m, (void)h, (void)key, (void)value, (void)flags;
	return -EOPNOTSUPP;
}

static int xsk_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	(void)h;
	if (flags > BPF_EXIST)
		return -EINVAL;
	return beyond(m, key) ? -E2BIG : refuse_socket(m, value);
}

/* There is never a socket: the packet's fate is the action in the flags. */
static u32 xsk_way(struct map *m, const struct hold *h, u64 key, u64 flags)
{
	(void)m, (void)h, (void)key;
	return flags > XDP_TX ? XDP_ABORTED : (u32)flags;
}

const struct map_ops xsk_map_ops = {
	.create = xsk_create,
	.lookup = no_value,
	.remove = index_remove,
	.redirect = xsk_way,
	.get = xsk_get,
	.set = xsk_set,
	.next_key = map_index_next_key,
	.traits = KIND_INNER | KIND_NO_TYPES | KIND_NET_ADMIN,
};

/* ---- SOCKMAP, SOCKHASH ---- */

static int sock_create(struct map *m)
{
	enum { MOST_SOCKETS = 1 << 27 }; /* more, and Linux's buckets take 4 GiB */
	const struct map_spec *s = &m->spec;
	bool hash = s->kind == MAP_KIND_SOCKHASH;

	if (s->max_entries == 0 || (s->value_size != 4 && s->value_size != 8) ||
	    s->flags & ~(u32)COMMON_FLAGS)
		return -EINVAL;
	if (hash ? s->key_size == 0 || s->max_entries > MOST_SOCKETS : s->key_size != 4 || s->max_entries > INT32_MAX)
		return -EINVAL;
	if (s->key_size > 512)
		return -E2BIG;
	return map_meta_create(m, 0);
}

/* What is read is the socket's cookie, which takes 8 bytes. */
static int sock_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags)
{
	(void)h, (void)key, (void)value, (void)flags;
	return m->spec.value_size == 8 ? -ENOENT : -ENOSPC;
}

static int sock_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	(void)h, (void)key, (void)flags;
	if (m->spec.value_size == 4 && LOAD_AS(u32, value) > INT32_MAX)
		return -EINVAL;
	return refuse_socket(m, value);
}

/* The value is a socket of the program's: an engine has none that could be kept. */
static int sock_update(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	(void)m, (void)h, (void)key, (void)value, (void)flags;
	return -EOPNOTSUPP;
}

static int sock_remove(struct map *m, const struct hold *h, const void *key)
{
	(void)m, (void)h, (void)key;
	return -EINVAL;
}

const struct map_ops sock_map_ops = {
	.create = sock_create,
	.lookup = no_value,
	.update = sock_update,
	.remove = sock_remove,
	.get = sock_get,
	.set = sock_set,
	.next_key = map_index_next_key,
	.traits = KIND_INNER | KIND_NO_TYPES | KIND_NET_ADMIN,
};

const struct map_ops sock_hash_ops = {
	.create = sock_create,
	.lookup = no_value,
	.update = sock_update,
	.remove = no_key,
	.get = sock_get,
	.set = sock_set,
	.next_key = no_next_key,
	.traits = KIND_INNER | KIND_NO_TYPES | KIND_NET_ADMIN,
};

/* ---- REUSEPORT_SOCKARRAY ---- */

static int reuseport_create(struct map *m)
{
	const struct map_spec *s = &m->spec;

	if (s->max_entries == 0 || s->key_size != 4 || (s->value_size != 4 && s->value_size != 8) ||
	    s->flags & ~(u32)(COMMON_FLAGS | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG))
		return -EINVAL;
	return map_meta_create(m, 0);
}

static int reuseport_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	(void)h;
	if (flags > BPF_EXIST)
		return -EINVAL;
	return beyond(m, key) ? -E2BIG : refuse_socket(m, value);
}

static int reuseport_remove(struct map *m, const struct hold *h, const void *key)
{
	(void)h;
	return beyond(m, key) ? -E2BIG : -ENOENT;
}

const struct map_ops reuseport_array_ops = {
	.create = reuseport_create,
	.remove = reuseport_remove,
	.get = sock_get,
	.set = reuseport_set,
	.next_key = map_index_next_key,
	.traits = KIND_INNER | KIND_PRIVILEGED,
};
