/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Types by name. The first questions about a kind are answered by looking at all of its types; then it gets an index: an open hash
 * table of ids in the order of ids, so that the first of several equal names is found. Names are hashed without their flavor:
 * one table answers both.
 */
#include "btf/btf.h"

enum { WITHOUT_INDEX = 4 }; /* a kernel has 50,000 functions, and of most kinds little is asked */

struct btf_index {
	u32 mask;
	u32 ids[]; /* 0: free */
};

/* A flavor begins at exactly three underscores between other characters; the last such place counts. */
struct name {
	u32 len, hash; /* without the flavor */
};

u32 btf_flavorless(const char *name)
{
	u32 len = 0;

	for (const char *at = strstr(name, "___"), *end; at; at = strstr(end, "___")) {
		end = at + strspn(at, "_");
		if (end == at + 3 && *end && at > name)
			len = (u32)(at - name);
	}
	return len ? len : (u32)strlen(name);
}

static struct name read_name(const char *s)
{
	struct name n = {.len = btf_flavorless(s)};
	u64 h = n.len, word;
	u32 i = 0;

	for (; i + sizeof(word) <= n.len; i += sizeof(word)) {
		memcpy(&word, s + i, sizeof(word));
		h = (h ^ word) * 0x9e3779b97f4a7c15u;
		h ^= h >> 32;
	}
	word = 0;
	memcpy(&word, s + i, n.len - i);
	h = (h ^ word) * 0x9e3779b97f4a7c15u;
	n.hash = (u32)(h >> 32);
	return n;
}

static size_t index_bytes(u32 slots)
{
	return sizeof(struct btf_index) + (size_t)slots * sizeof(u32);
}

void btf_index_free(struct btf *b)
{
	for (u32 kind = 0; kind <= BTF_KIND_MAX; kind++) {
		struct btf_index *x = atomic_load(&b->index[kind]);

		if (x)
			mem_free(b->mem, x, index_bytes(x->mask + 1));
		atomic_store(&b->index[kind], NULL);
	}
}

/* Own ids of a kind, first to last: i counts from first_id. */
static bool next_of_kind(const struct btf *b, u32 kind, u32 *i)
{
	while (*i < b->n_types && btf_kind_of(b->types[*i]) != kind)
		++*i;
	return *i < b->n_types;
}

static void index_add(const struct btf *b, struct btf_index *x, u32 i)
{
	const char *name = btf_name_of(b, b->types[i]);
	u32 at;

	if (!*name)
		return;
	at = read_name(name).hash;
	while (x->ids[at & x->mask])
		at++;
	x->ids[at & x->mask] = b->first_id + i;
}

static struct btf_index *build(const struct btf *b, u32 kind)
{
	VEC(u32) own = {0};
	struct btf_index *x;
	u32 slots = 16, *at;
	bool full = false;

	for (u32 i = 0; next_of_kind(b, kind, &i); i++) {
		at = vec_push(b->mem, &own);
		full |= !at;
		if (at)
			*at = i;
	}
	while (slots < own.n * 2)
		slots *= 2;
	x = full ? NULL : mem_alloc(b->mem, index_bytes(slots));
	if (x) {
		x->mask = slots - 1;
		vec_each(i, &own)
			index_add(b, x, *i);
	}
	vec_free(b->mem, &own);
	return x;
}

static const struct btf_index *index_of(const struct btf *b, u32 kind)
{
	struct btf *own = (struct btf *)b;
	struct btf_index *x = atomic_load(&own->index[kind]);

	if (x)
		return x;
	plain_lock_take(&own->lock);
	x = atomic_load(&own->index[kind]);
	if (!x) {
		x = build(b, kind);
		atomic_store(&own->index[kind], x);
	}
	plain_lock_drop(&own->lock);
	return x;
}

s32 btf_find(const struct btf *b, const char *name, u32 kind)
{
	const struct btf_index *x;

	if (b->base) {
		s32 id = btf_find(b->base, name, kind);

		if (id >= 0)
			return id;
	}
	if (!*name || kind > BTF_KIND_MAX)
		return -ENOENT;
	x = atomic_fetch_add(&((struct btf *)b)->asked[kind], 1) < WITHOUT_INDEX ? NULL : index_of(b, kind);
	if (!x) { /* or no memory */
		for (u32 i = 0; next_of_kind(b, kind, &i); i++)
			if (!strcmp(btf_name_of(b, b->types[i]), name))
				return (s32)(b->first_id + i);
		return -ENOENT;
	}
	for (u32 at = read_name(name).hash, id; (id = x->ids[at & x->mask]) != 0; at++)
		if (!strcmp(btf_name_of(b, btf_type(b, id)), name))
			return (s32)id;
	return -ENOENT;
}

u32 btf_find_flavors(const struct btf *b, const char *name, u32 kind, u32 *id)
{
	u32 n = b->base ? btf_find_flavors(b->base, name, kind, id) : 0;
	struct name want = read_name(name);
	const struct btf_index *x = *name && kind <= BTF_KIND_MAX ? index_of(b, kind) : NULL;

	for (u32 at = want.hash, found; x && (found = x->ids[at & x->mask]) != 0; at++) {
		const char *other = btf_name_of(b, btf_type(b, found));

		if (strncmp(other, name, want.len) || btf_flavorless(other) != want.len)
			continue;
		*id = found;
		n++;
	}
	return n;
}

/* ---- decl tags ---- */

s32 btf_tag_next(const struct btf *b, u32 id, s32 component, const char *prefix, u32 after)
{
	size_t len = strlen(prefix);
	u32 i = after + 1;

	if (!b->first_tag)
		return -ENOENT;
	for (i = i < b->first_tag ? b->first_tag : i; i < btf_type_count(b); i++) {
		const struct btf_type *t = btf_type(b, i);

		if (btf_kind_of(t) == BTF_KIND_DECL_TAG && t->type == id && ((const struct btf_decl_tag *)(t + 1))->component_idx == component &&
		    !strncmp(btf_name_of(b, t), prefix, len))
			return (s32)i;
	}
	return -ENOENT;
}

const char *btf_tag_value(const struct btf *b, u32 id, s32 component, const char *prefix, u32 *n)
{
	s32 tag = btf_tag_next(b, id, component, prefix, 0);
	const char *value = tag > 0 ? btf_name_of(b, btf_type(b, (u32)tag)) + strlen(prefix) : NULL;
	u32 count = 0;

	while (tag > 0) {
		count++;
		tag = btf_tag_next(b, id, component, prefix, (u32)tag);
	}
	if (n)
		*n = count;
	return value;
}
