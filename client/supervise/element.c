/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The short way of the commands that clients call most: one element of a plain map is looked up, changed or deleted, or the next key asked for. Such a call
 * is decided here with three calls of the kernel: the attr, the key and the value are read at once, as they mostly lie where they lay the last
 * time; the descriptor is asked about; the result is written. Whatever is not plain goes the way of all commands (bpf.c), from its beginning.
 */
#include "client/supervise/supervise.h"

#include "sys/sys.h"

#include <linux/bpf.h>
#include <sys/uio.h>

enum { ATTR_MOST = 512, KEY_MOST = 512, VALUE_MOST = 4096 };

/* What a call reads, and where: from the client's memory. */
struct pieces {
	struct attr_map_elem attr;
	u8 rest[ATTR_MOST - sizeof(struct attr_map_elem)]; /* of an attr that is longer */
	u8 key[KEY_MOST] __attribute__((aligned(8)));
	u8 value[VALUE_MOST] __attribute__((aligned(8)));
	u64 key_at, value_at; /* where key and value were read; 0: they were not */
	u32 key_size, value_size;
};

static bool takes_value(const struct call *c)
{
	return c->args[0] == BPF_MAP_UPDATE_ELEM;
}

static struct guess *guess_of(const struct call *c)
{
	u64 mix = (c->args[1] ^ (u64)c->tid << 40 ^ c->args[0] << 33) * 0x9e3779b97f4a7c15ull;

	return &c->s->guesses[mix >> 32 & (ARRAY_SIZE(c->s->guesses) - 1)];
}

/* Others may change a guess meanwhile: then nothing lies where it should, and is read again. */
static void take_guess(const struct call *c, struct pieces *p)
{
	const struct guess *g = guess_of(c);
	u64 sizes = atomic_load_explicit(&g->sizes, memory_order_relaxed);

	p->key_at = atomic_load_explicit(&g->key, memory_order_relaxed);
	p->key_size = (u32)MIN(sizes & UINT32_MAX, (u64)KEY_MOST);
	p->value_at = takes_value(c) ? atomic_load_explicit(&g->value, memory_order_relaxed) : 0;
	p->value_size = (u32)MIN(sizes >> 32, (u64)VALUE_MOST);
}

static void keep_guess(const struct call *c, const struct attr_map_elem *a, u32 key_size, u32 value_size)
{
	struct guess *g = guess_of(c);

	atomic_store_explicit(&g->key, a->key, memory_order_relaxed);
	atomic_store_explicit(&g->value, a->value, memory_order_relaxed);
	atomic_store_explicit(&g->sizes, (u64)value_size << 32 | key_size, memory_order_relaxed);
}

/* Is there an attr, with nothing in it that the command does not know? */
static bool read_pieces(const struct call *c, struct pieces *p)
{
	u32 size = (u32)c->args[2];
	struct iovec remote[3] = {{(void *)(uintptr_t)c->args[1], size}}, local[3] = {{p, size}};
	u64 used = c->args[0] == BPF_MAP_DELETE_ELEM    ? offsetof(struct attr_map_elem, value)
		   : c->args[0] == BPF_MAP_GET_NEXT_KEY ? offsetof(struct attr_map_elem, flags)
							: sizeof(struct attr_map_elem);
	unsigned n = 1;
	ssize_t got;

	if (size < sizeof(struct attr_map_elem) || size > ATTR_MOST)
		return false;
	take_guess(c, p);
	if (p->key_at) {
		remote[n] = (struct iovec){(void *)(uintptr_t)p->key_at, p->key_size};
		local[n++] = (struct iovec){p->key, p->key_size};
	}
	if (p->key_at && p->value_at) {
		remote[n] = (struct iovec){(void *)(uintptr_t)p->value_at, p->value_size};
		local[n++] = (struct iovec){p->value, p->value_size};
	}
	got = process_vm_readv(c->tid, local, n, remote, n, 0);
	if (got < (ssize_t)size)
		return false;
	if (got < (ssize_t)size + (ssize_t)p->key_size)
		p->key_at = 0;
	if (got < (ssize_t)size + (ssize_t)p->key_size + (ssize_t)p->value_size)
		p->value_at = 0;
	for (u64 i = used; i < size; i++)
		if (((const u8 *)p)[i])
			return false;
	return true;
}

/* Plain kinds: values are bytes, and a lookup gives all of them. */
static bool is_plain(const struct obj *o)
{
	static const u64 kinds = 1u << BPF_MAP_TYPE_HASH | 1u << BPF_MAP_TYPE_ARRAY | 1u << BPF_MAP_TYPE_PERCPU_HASH | 1u << BPF_MAP_TYPE_PERCPU_ARRAY |
				 1u << BPF_MAP_TYPE_LRU_HASH | 1u << BPF_MAP_TYPE_LRU_PERCPU_HASH | 1u << BPF_MAP_TYPE_LPM_TRIE;
	const struct map *m = obj_map(o);

	return m->spec.kind < 64 && kinds >> m->spec.kind & 1 && !m->record.n && m->spec.key_size <= KEY_MOST && map_value_bytes(m) <= VALUE_MOST &&
	       !o->limited;
}

static int get_piece(const struct call *c, u64 at, u32 size, u64 *read_at, u32 read_size, void *to)
{
	if (*read_at == at && read_size == size)
		return 0;
	*read_at = at;
	return remote_get(c->tid, at, to, size);
}

static s64 run(const struct call *c, struct obj *o, struct pieces *p)
{
	const struct map *m = obj_map(o);
	struct attr_map_elem a = p->attr;
	u32 key_size = m->spec.key_size, value_size = (u32)map_value_bytes(m);
	bool reads = c->args[0] == BPF_MAP_LOOKUP_ELEM, next = c->args[0] == BPF_MAP_GET_NEXT_KEY;
	int err;

	if (a.key && get_piece(c, a.key, key_size, &p->key_at, p->key_size, p->key))
		return -EFAULT;
	if (takes_value(c) && a.value && get_piece(c, a.value, value_size, &p->value_at, p->value_size, p->value))
		return -EFAULT;
	keep_guess(c, &p->attr, key_size, value_size);
	if (reads)
		memset(p->value, 0, value_size);
	a.key = a.key ? (u64)(uintptr_t)p->key : 0;
	a.value = a.value ? (u64)(uintptr_t)p->value : 0;
	err = map_element(c->s->k, (int)c->args[0], o, &a);
	if (err || !(reads || next))
		return err;
	return remote_put(c->tid, p->attr.value, p->value, next ? key_size : value_size) ? -EFAULT : 0;
}

bool serve_element(struct call *c, struct answer *out)
{
	struct pieces p;
	struct obj *o;
	bool plain;

	if (c->args[0] != BPF_MAP_LOOKUP_ELEM && c->args[0] != BPF_MAP_UPDATE_ELEM && c->args[0] != BPF_MAP_DELETE_ELEM && c->args[0] != BPF_MAP_GET_NEXT_KEY)
		return false;
	if (!read_pieces(c, &p))
		return false;
	o = remote_object(c->s, c->tid, (int)p.attr.map_fd, OBJ_MAP);
	if (!o)
		return false;
	plain = is_plain(o);
	if (plain) {
		atomic_fetch_add(&c->s->calls, 1);
		client_seen(c->s, c->tid);
		*out = answer_value(run(c, o, &p));
		if (c->args[0] == BPF_MAP_LOOKUP_ELEM && !out->value)
			inplace_found(c, o);
	}
	obj_put(o);
	return plain;
}
