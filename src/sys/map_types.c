/* SPDX-License-Identifier: BSD-2-Clause */
/* What MAP_CREATE checks of the types of keys and values: sizes, what each kind wants a key to be, which special fields a value may have. */
#include "sys/sys.h"

int map_find_record(struct skep *k, const struct btf *b, struct map *m)
{
	const struct btf_kernel kernel = kernel_btf_source(k);
	u32 id = m->spec.btf_value_type_id;
	int err;

	/* A file's ids were not checked when it was written by somebody else. */
	if (!id)
		return 0;
	if (btf_size(b, id) != (s64)m->spec.value_size)
		return -EINVAL;
	btf_resolve(b, id, &id);
	err = btf_record_parse(&m->record, b, id, BTF_VALUE_KINDS, m->spec.value_size, &kernel);
	if (err) { /* as on Linux, the map is made: a program that uses those fields is refused */
		memset(&m->record, 0, sizeof(m->record));
		m->record_error = err;
	}
	return 0;
}

static bool is_int(const struct btf_type *t, u32 bits)
{
	u32 v = btf_is_int(t) ? *(const u32 *)(t + 1) : 0;

	return BTF_INT_BITS(v) == bits && !BTF_INT_OFFSET(v);
}

/* An INT member of that many bytes at that offset. */
static bool is_int_member(const struct btf *b, const struct btf_type *s, u32 i, u32 off, u32 bytes)
{
	const struct btf_member *m = btf_members_of(s) + i;
	const struct btf_type *t = btf_resolve(b, m->type, NULL);

	return btf_is_int(t) && !btf_member_bitfield(s, m) && btf_member_bits(s, m) == off * 8 && BTF_INT_BITS(*(const u32 *)(t + 1)) == bytes * 8 &&
	       !BTF_INT_OFFSET(*(const u32 *)(t + 1));
}

/* Kinds that know what to do without one. */
static bool key_may_lack(u32 kind)
{
	return kind == MAP_KIND_ARRAY || kind == MAP_KIND_PERCPU_ARRAY || kind == MAP_KIND_LPM_TRIE || kind == MAP_KIND_BLOOM_FILTER || kind == MAP_KIND_ARENA;
}

static int check_key(const struct btf *b, const struct map *m)
{
	const struct map_spec *s = &m->spec;
	const struct btf_type *t = s->btf_key_type_id ? btf_resolve(b, s->btf_key_type_id, NULL) : NULL;
	bool ok = t != NULL;

	switch (s->kind) {
	case MAP_KIND_ARRAY: /* without a key: global data */
		ok = t ? is_int(t, 32) : s->max_entries == 1 && btf_kind_of(btf_resolve(b, s->btf_value_type_id, NULL)) == BTF_KIND_DATASEC;
		break;
	case MAP_KIND_PERCPU_ARRAY:
	case MAP_KIND_SK_STORAGE:
	case MAP_KIND_INODE_STORAGE:
	case MAP_KIND_TASK_STORAGE:
	case MAP_KIND_CGRP_STORAGE: ok = is_int(t, 32); break;
	case MAP_KIND_LPM_TRIE: ok = btf_kind_of(t) == BTF_KIND_STRUCT; break;
	case MAP_KIND_BLOOM_FILTER: ok = !t; break;
	case MAP_KIND_ARENA: ok = true; break;
	case MAP_KIND_CGROUP_STORAGE:
	case MAP_KIND_PERCPU_CGROUP_STORAGE:
		if (s->key_size == sizeof(struct bpf_cgroup_storage_key))
			ok = btf_kind_of(t) == BTF_KIND_STRUCT && btf_vlen_of(t) == 2 && is_int_member(b, t, 0, 0, 8) && is_int_member(b, t, 1, 8, 4);
		else
			ok = is_int(t, 64);
		break;
	default: break;
	}
	return ok ? 0 : -EINVAL;
}

static int check_fields(struct skep *k, const struct btf *b, struct map *m)
{
	const struct map_rules *rules = map_rules(m->spec.kind);

	if (!m->record.n)
		return 0;
	if (atomic_load(&k->unprivileged))
		return -EPERM;
	if (m->spec.flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG))
		return -EACCES;
	return m->record.kinds & ~(rules ? rules->fields : 0) ? -EOPNOTSUPP : btf_record_link(&m->record, b);
}

int map_check_types(struct skep *k, struct map_obj *mo)
{
	const struct btf *b = mo->btf ? mo->btf->body : NULL;
	struct map *m = &mo->map;
	bool none = m->ops->traits & KIND_NO_TYPES;
	int err;

	if (!b || !m->spec.btf_value_type_id)
		return 0;
	if (m->spec.btf_key_type_id && btf_size(b, m->spec.btf_key_type_id) != (s64)m->spec.key_size)
		return -EINVAL;
	if (btf_size(b, m->spec.btf_value_type_id) != (s64)m->spec.value_size)
		return -EINVAL;
	if (!m->spec.btf_key_type_id && !none && !key_may_lack(m->spec.kind))
		return -EINVAL;
	err = map_find_record(k, b, m);
	err = err ? err : check_fields(k, b, m);
	if (err)
		return err;
	return none ? -ENOTSUPP : check_key(b, m);
}
