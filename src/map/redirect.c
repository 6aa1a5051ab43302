/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DEVMAP, DEVMAP_HASH, CPUMAP: where bpf_redirect_map() sends packets. An element is the number of a network interface of this host or the length of
 * a CPU's queue, and of a program that runs there: an engine carries no packet on, so a program is refused with -EOPNOTSUPP.
 *
 * Concurrency: the elements lie in a hash, see hash_ops.c; an index is its key.
 */
#include "map/hash.h"

#include <linux/bpf.h>
#include <net/if.h>

struct target { /* struct bpf_devmap_val, struct bpf_cpumap_val: the second half is there when the value has 8 bytes */
	u32 number; /* of an interface, or how many packets wait for a CPU */
	s32 program;
};

static struct target read_target(const struct map *m, const void *value)
{
	struct target t = {LOAD_AS(u32, value), 0};

	if (m->spec.value_size == sizeof(t))
		t.program = LOAD_AS(s32, (const u8 *)value + sizeof(t.number));
	return t;
}

static int put_target(struct map *m, const struct hold *h, const void *key, u32 number, u64 flags)
{
	const struct target t = {number, 0};

	return hash_set(m, h, key, &t, flags);
}

static bool beyond(const struct map *m, const void *key)
{
	return LOAD_AS(u32, key) >= m->spec.max_entries;
}

static int index_remove(struct map *m, const struct hold *h, const void *key)
{
	int err = beyond(m, key) ? -EINVAL : hash_remove(m, h, key);

	return err == -ENOENT ? 0 : err;
}

/* What an update of an element with an index is refused for before its value is looked at. */
static int check_index(const struct map *m, const void *key, u64 flags)
{
	if (flags > BPF_EXIST)
		return -EINVAL;
	if (beyond(m, key))
		return -E2BIG;
	return flags == BPF_NOEXIST ? -EEXIST : 0;
}

/* XDP action: `also` are flags that this kind knows beside the action for a key that leads nowhere, in the lowest two bits. */
static u32 way(struct map *m, const struct hold *h, u64 key, u64 flags, u64 also)
{
	const u64 actions = XDP_ABORTED | XDP_DROP | XDP_PASS | XDP_TX;
	u32 index = (u32)key;

	if (flags & ~(actions | also))
		return XDP_ABORTED;
	return flags & also & BPF_F_BROADCAST || hash_lookup(m, h, &index) ? XDP_REDIRECT : (u32)(flags & actions);
}

/* ---- network interfaces ---- */

static int dev_create(struct map *m)
{
	const struct map_spec *s = &m->spec;
	u32 flags = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | (m->adopting ? BPF_F_RDONLY_PROG : 0);

	if (s->max_entries == 0 || s->key_size != 4 || (s->value_size != 4 && s->value_size != 8) || s->flags & ~flags)
		return -EINVAL;
	if (s->kind == MAP_KIND_DEVMAP_HASH && s->max_entries > 1u << 31)
		return -EINVAL;
	m->spec.flags |= BPF_F_RDONLY_PROG; /* a program that looks an element up may only read it */
	return hash_create(m);
}

static int check_device(struct target t)
{
	char name[IF_NAMESIZE];

	if (!if_indextoname(t.number, name))
		return -EINVAL;
	return t.program > 0 ? -EOPNOTSUPP : 0;
}

static int dev_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	struct target t = read_target(m, value);
	int err = check_index(m, key, flags);

	if (err)
		return err;
	if (!t.number) /* empties the element */
		return t.program > 0 ? -EINVAL : index_remove(m, h, key);
	err = check_device(t);
	return err ? err : put_target(m, h, key, t.number, BPF_ANY);
}

static int dev_hash_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	struct target t = read_target(m, value);
	int err;

	if (flags > BPF_EXIST || !t.number)
		return -EINVAL;
	if (flags & BPF_NOEXIST && hash_lookup(m, h, key))
		return -EEXIST;
	err = check_device(t);
	return err ? err : put_target(m, h, key, t.number, flags & BPF_NOEXIST); /* BPF_EXIST adds, too */
}

static u32 dev_way(struct map *m, const struct hold *h, u64 key, u64 flags)
{
	return way(m, h, key, flags, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS);
}

#define IN_A_HASH .destroy = hash_table_destroy, .get = hash_get, .in_value = hash_in_value

const struct map_ops dev_map_ops = {
	.create = dev_create,
	.lookup = hash_lookup,
	.remove = index_remove,
	.redirect = dev_way,
	.set = dev_set,
	.next_key = map_index_next_key,
	.traits = KIND_PROGRAMS | KIND_INNER | KIND_NO_TYPES | KIND_NET_ADMIN,
	IN_A_HASH,
};

const struct map_ops dev_hash_ops = {
	.create = dev_create,
	.lookup = hash_lookup,
	.remove = hash_remove,
	.redirect = dev_way,
	.set = dev_hash_set,
	.next_key = hash_next_key,
	.traits = KIND_INNER | KIND_NO_TYPES | KIND_NET_ADMIN,
	IN_A_HASH,
};

/* ---- CPUs ---- */

static int cpu_create(struct map *m)
{
	enum { MOST_CPUS = 8192 }; /* Linux: as many as it was built for */
	const struct map_spec *s = &m->spec;

	if (s->max_entries == 0 || s->key_size != 4 || (s->value_size != 4 && s->value_size != 8) ||
	    s->flags & ~(u32)BPF_F_NUMA_NODE)
		return -EINVAL;
	if (s->max_entries > MOST_CPUS)
		return -E2BIG;
	return hash_create(m);
}

static int cpu_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags)
{
	enum { MOST_QUEUED = 16384 };
	struct target t = read_target(m, value);
	int err = check_index(m, key, flags);

	if (err)
		return err;
	if (t.number > MOST_QUEUED)
		return -EOVERFLOW;
	if (LOAD_AS(u32, key) >= domain_cpus(m->domain))
		return -ENODEV;
	if (!t.number)
		return index_remove(m, h, key);
	return t.program > 0 ? -EOPNOTSUPP : put_target(m, h, key, t.number, BPF_ANY);
}

static u32 cpu_way(struct map *m, const struct hold *h, u64 key, u64 flags)
{
	return way(m, h, key, flags, 0);
}

const struct map_ops cpu_map_ops = {
	.create = cpu_create,
	.remove = index_remove,
	.redirect = cpu_way,
	.set = cpu_set,
	.next_key = map_index_next_key,
	.traits = KIND_PROGRAMS | KIND_INNER | KIND_NO_TYPES | KIND_PRIVILEGED,
	IN_A_HASH,
};
