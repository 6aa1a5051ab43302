/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * map: storage shared by programs, clients and processes. One file per family, each ending in one
 * `const struct map_ops`; kinds.def lists them, slots.def says what a kind may do.
 *
 * Everything inside a map's region is offsets and indices, never an address: the bytes can be pinned as a
 * file and opened by another engine. The region begins with struct map_header. What a client can write (m->client) or
 * another process can write (all of a pinned region) is untrusted: sizes and masks come from struct map,
 * which is private memory; every index read from a region is checked before use.
 *
 * Ownership: the engine owns struct map and frees it when the last reference goes; a map owns its regions.
 */
#ifndef SKEP_MAP_H
#define SKEP_MAP_H

#include "base/base.h"

struct map;
struct map_bytes {
	const void *at;
	u64 size;
};
typedef long map_visit(void *ud, void *key, void *value); /* 0 goes on, 1 stops */

enum map_slot {
#define SLOT(name, ret, args) MAP_SLOT_##name,
#include "map/slots.def"
	MAP_SLOT_COUNT
};

struct map_ops {
#define SLOT(name, ret, args) ret(*name) args;
#include "map/slots.def"
};

enum map_kind {
#define MAP(id, name, ops, since) MAP_##name = id,
#include "map/kinds.def"
};

#define MAP(id, name, ops, since) extern const struct map_ops ops;
#include "map/kinds.def"

struct map_kind_info {
	u32 id;
	const char *name; /* "HASH"; the text of docs and of skep feature; lower case is bpftool's */
	const struct map_ops *ops;
	const char *since;
};
const struct map_kind_info *map_kind(u32 id); /* NULL: unknown */
const struct map_kind_info *map_kinds(u32 *n);

/* What the engine does for maps that hold references to its objects; set by the engine on every map. */
struct map_host {
	void *ud;
	/* a descriptor (or, on adoption, nothing) becomes an object's id; takes a reference. -EBADF, -EINVAL as Linux */
	int (*object_get)(void *ud, struct map *m, u32 fd, u32 *id);
	void (*object_put)(void *ud, struct map *m, u32 id); /* after all runs that may still use it */
	void *(*object_at)(void *ud, struct map *m, u32 id); /* struct map * or struct prog *; NULL if gone */
};

/* The properties of a map, fixed at creation. All members are as in bpf_attr's MAP_CREATE part. */
struct map_spec {
	u32 kind, key_size, value_size, max_entries, flags;
	u64 extra;
	char name[16];
	u32 btf_key_type_id, btf_value_type_id;
};

/* First bytes of every region that can be pinned. Bytes of a pinned file are checked against it on adoption. */
#define MAP_MAGIC   0x50454b53u /* "SKEP" */
#define MAP_VERSION 1u
struct map_header {
	u32 magic, version;
	struct map_spec spec;
	u64 meta_size, client_size; /* bytes of the two parts, one after the other in the pin file */
	u64 seed; /* of the hash */
	u64 frozen;
	u64 domain; /* whose run slots the users of this file share */
	u32 slots, reserved; /* run slots that per-CPU parts are made for */
	u8 family[64]; /* the family's own counters */
};

/* Last page of a pin file, behind what clients may map, the meta region and the map's BTF. */
enum { MAP_FOOTER = 4096 };
struct map_footer {
	u32 magic, version;
	u64 client_size, meta_size;
	u32 btf_size, reserved[1];
};

struct map_record { /* special fields of a value, from BTF */
	u32 spin_lock; /* offset + 1, 0 none */
	u32 timer; /* offset + 1, 0 none */
};

struct map {
	const struct map_ops *ops;
	const struct map_kind_info *info;
	struct map_spec spec;
	struct map_record record;
	const struct mem *mem;
	struct window *window;
	struct domain *domain;
	const struct map_host *host;
	struct region meta; /* struct map_header, indices, locks; values of kinds that clients cannot map */
	struct region client; /* array values (BPF_F_MMAPABLE), ring pages: what a client may map; base NULL when none */
	struct map *inner; /* map-in-map: the template; owned by the engine */
	int pin_fd; /* the file behind the regions once the map is pinned, else 0 */
	bool adopting; /* while create() runs on regions that came from a file */
	bool alone; /* while adopting: no other engine has the file open, so state of former owners can be cleared */
	bool frozen; /* BPF_MAP_FREEZE: bpf(2) may not write */
	_Atomic bool client_mapped; /* a client was given the memory itself (perhaps mapped it for writing) */
	void *priv; /* the family's own private state, sized by the family */
	u32 elem_size; /* value_size rounded up to 8 */
	u32 priv_size;
	u64 bytes; /* for fdinfo and docs: what the regions take */
};

#define map_has(m, slot) ((m)->ops->slot != NULL)

/* map.c: for the engine */
int map_create(struct map *m, const struct map_spec *spec); /* the other members are set before */
/* Writes the map into an empty file and moves there; fd stays the caller's. -EBUSY: a client has it mapped. */
int map_pin_write(struct map *m, int fd, const void *btf, u32 btf_size);
/* Opens a pin file; *btf is the caller's to free. -EINVAL: not a pin file of a map, or damaged. -EBUSY: in use by
 * engines of another domain. */
int map_adopt(struct map *m, int fd, void **btf, u32 *btf_size);
void map_close(struct map *m); /* regions and private state; not the struct itself */

/* map.c: for families */
static inline struct map_header *map_head(const struct map *m)
{
	return (struct map_header *)m->meta.base;
}
int map_meta_create(struct map *m, u64 size); /* header included; filled from m->spec */
int map_client_create(struct map *m, u64 size);
void *map_priv(struct map *m, size_t size);
/* value bytes that bpf(2) and helpers copy: never spin locks or timers */
void map_copy_value(const struct map *m, void *to, const void *from);
int map_copy_locked(const struct map *m, const struct hold *h, void *to, const void *from, void *lock_in); /* BPF_F_LOCK */
int map_check_update_flags(const struct map *m, u64 flags); /* unknown bits, NOEXIST|EXIST, F_LOCK without a lock */

#endif
