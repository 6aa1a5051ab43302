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

#include "map/heap.h"

struct map;
struct map_bytes {
	const void *at;
	u64 size;
};
#define MAP_EVENT_TRY (1ull << 63) /* among the flags of slot `event`: when the ring is full, -EAGAIN, and nothing is lost */
typedef long map_visit(void *ud, void *key, void *value); /* 0 goes on, 1 stops */
typedef long map_drain(void *ud, void *record, u64 size); /* the same */

enum map_slot {
#define SLOT(name, ret, args, doc) MAP_SLOT_##name,
#include "map/slots.def"
	MAP_SLOT_COUNT
};

enum kind_traits {
	KIND_FD_VALUES = 1 << 0, /* bpf(2) writes descriptors and reads ids (4 bytes) */
	KIND_PER_CPU = 1 << 1, /* bpf(2) moves domain_cpus() values of elem_size bytes each */
	KIND_INNER = 1 << 2, /* may be an element of a map-in-map */
	KIND_OUTER = 1 << 3, /* is a map-in-map: m->inner is required */
	KIND_EXTRA = 1 << 4, /* map_extra may be other than 0 */
	KIND_VALUE_IN = 1 << 5, /* a lookup by bpf(2) reads the caller's value instead of writing it */
	KIND_LOCKS = 1 << 6, /* values may hold a bpf_spin_lock */
	KIND_TIMERS = 1 << 7, /* values may hold a bpf_timer */
	KIND_BATCH_GET = 1 << 8, /* which of the batch commands Linux has: through slot batch where there is one, */
	KIND_BATCH_SET = 1 << 9, /* otherwise through map_next_key, map_get, map_set, map_delete; */
	KIND_BATCH_DELETE = 1 << 10, /* the cursor is then a key */
	KIND_BATCH_TAKE = 1 << 11,
	KIND_STEADY = 1 << 12, /* values live as long as the map and belong to no CPU: using them takes no run slot */
	KIND_PRIVILEGED = 1 << 13, /* creation needs CAP_BPF, */
	KIND_NET_ADMIN = 1 << 14, /* or CAP_NET_ADMIN */
	KIND_NO_TYPES = 1 << 15, /* BTF for keys and values is refused: -ENOTSUPP */
	KIND_KERNEL_TYPE = 1 << 16, /* the value is a kernel's struct: m->kernel_type */
	KIND_INDEXED = 1 << 17, /* a lookup is values + index * elem_size (KIND_PER_CPU: + CPU * cpu_stride), index < max_entries */
	KIND_PROGRAMS = 1 << 18, /* its elements are or carry programs: all of one type, which use and fill it */
	KIND_ARENA = 1 << 19, /* memory of its own, which programs address directly */
	KIND_BATCH_GET_SET = KIND_BATCH_GET | KIND_BATCH_SET,
	KIND_BATCH_ALL = KIND_BATCH_GET_SET | KIND_BATCH_DELETE | KIND_BATCH_TAKE,
};

struct map_ops {
#define SLOT(name, ret, args, doc) ret(*name) args;
#include "map/slots.def"
	u32 traits; /* enum kind_traits */
	int refused; /* errno (positive) for an operation of bpf(2) whose slot is NULL; 0: ENOTSUPP */
};

enum map_kind { /* not MAP_name: <sys/mman.h> has a MAP_STACK */
#define MAP(id, name, ops, since, doc) MAP_KIND_##name = id,
#include "map/kinds.def"
};

#define MAP(id, name, ops, since, doc) extern const struct map_ops ops;
#include "map/kinds.def"

struct map_kind_info {
	u32 id;
	const char *name; /* "HASH"; the text of docs and of skep feature; lower case is bpftool's */
	const struct map_ops *ops;
	const char *since, *doc;
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

struct map_inner_fields { /* special fields of a map-in-map's elements, as far as a pin file knows them; offset + 1, 0 none */
	u32 spin_lock, timer;
};

/* First bytes of every region that can be pinned. Bytes of a pinned file are checked against it on adoption. */
#define MAP_MAGIC   0x50454b53u /* "SKEP" */
#define MAP_VERSION 5u
struct map_header {
	u32 magic, version;
	struct map_spec spec;
	u64 meta_size, client_size; /* bytes of the two parts, one after the other in the pin file */
	u64 seed; /* of the hash */
	u64 frozen;
	u64 domain; /* whose run slots the users of this file share */
	u32 slots; /* run slots that per-CPU parts are made for */
	_Atomic u32 left; /* nobody but the engine is to look here any more: map_leave() */
	struct map_spec inner; /* map-in-map: what its elements are like */
	struct map_inner_fields inner_fields;
	u8 family[80]; /* the family's own counters */
};
_Static_assert(sizeof(struct map_header) == 256, "part of the pin file's format; keeps what follows on cache lines");

/* Last page of a pin file, behind what clients may map, the meta region and the map's BTF. */
enum { MAP_FOOTER = 4096 };
struct map_footer {
	u32 magic, version;
	u64 client_size, meta_size;
	u32 btf_size, reserved[1];
};

/* KIND_PROGRAMS: what the first program was that used the map or went into it. All others are like it, as one may go on in another. */
struct map_owner {
	bool set, frags;
	u32 type, attach_type;
	const void *proto; /* of what it attaches to; NULL: nothing */
};

struct map {
	const struct map_ops *ops;
	const struct map_kind_info *info;
	struct map_spec spec;
	struct btf_record record; /* special fields of a value */
	int record_error; /* why they are not known: for programs that use the map */
	const struct mem *mem;
	struct window *window;
	struct domain *domain;
	const struct map_host *host;
	struct heap *heap; /* where objects lie that values hold */
	struct region meta; /* struct map_header, indices, locks; values of kinds that clients cannot map */
	struct region client; /* array values (BPF_F_MMAPABLE), ring pages: what a client may map; base NULL when none */
	struct map *inner; /* map-in-map: the template; owned by the engine; NULL when adopted */
	struct map_spec inner_spec; /* what elements of a map-in-map are like */
	struct map_inner_fields inner_fields;
	int pin_fd; /* the file behind the regions once the map is pinned, else 0 */
	bool any_node; /* BPF_F_NUMA_NODE names none */
	bool adopting; /* while create() runs on regions that came from a file */
	bool alone; /* while adopting: no other engine has the file open, so state of former owners can be cleared */
	struct map_owner owner;
	_Atomic bool frozen; /* BPF_MAP_FREEZE: bpf(2) may not write */
	bool settled; /* its values are in memory that nobody else can write, see map_freeze() */
	_Atomic u32 writers; /* calls under way that may write */
	/* What compiled code calls instead of ops->lookup: made for the key's size; NULL: nothing is */
	void *(*lookup_sized)(struct map *m, const struct hold *h, const void *key);
	u8 *values; /* array kinds: element 0 (of CPU 0); compiled code reads it */
	u64 cpu_stride; /* per-CPU arrays: bytes from one CPU's values to the next one's */
	struct region objects; /* arrays of programs and of maps: what each element is, see map_objects() */
	plain_lock objects_lock; /* while an element changes */
	void *priv; /* the family's own private state, sized by the family */
	u32 kernel_type; /* KIND_KERNEL_TYPE: id of the value's type in the kernel's BTF, set before map_create() */
	u32 elem_size; /* value_size rounded up to 8 */
	u32 priv_size;
	u64 bytes; /* for fdinfo and docs: what the regions take */
	u64 inside; /* where programs that run inside of processes find what they need of it, see hook/inside.c; 0: nowhere */
};

/* The map as programs hold it: what LD_IMM64 of a map gives. */
static inline u64 map_handle(const struct map *m)
{
	return (u64)(uintptr_t)m->meta.base;
}

/* Per element a struct prog or struct map, NULL where there is none: valid for the time of a run. Compiled code reads it. NULL: of other kinds. */
static inline void *_Atomic *map_objects(const struct map *m)
{
	return (void *_Atomic *)(void *)m->objects.base;
}

/* BPF_F_NUMA_NODE for kinds with memory on every node: allowed where it names none, and in a file, which was checked when it was made. */
u32 map_node_flag(const struct map *m);

#define map_has(m, slot) ((m)->ops->slot != NULL)
bool map_kind_has(const struct map_kind_info *kind, u32 slot); /* enum map_slot */
bool map_has_slot(const struct map *m, u32 slot);

/* ---- rules.c: what programs may do with a map, by kind, as Linux decides; apart from what this build can run (map_has) ---- */
enum map_use {
#define USE(use, slot) MAP_USE_##use,
#include "map/uses.def"
	MAP_USE_COUNT
};
enum map_gives {
	GIVES_VALUE,
	GIVES_MAP, /* the inner map */
	GIVES_SOCKET, /* struct bpf_sock, to be released */
	GIVES_XDP_SOCKET, /* struct bpf_xdp_sock */
};
enum map_fields { /* special fields that a value may hold */
	FIELD_SPIN_LOCK = BTF_SPIN_LOCK,
	FIELD_RES_LOCK = BTF_RES_SPIN_LOCK,
	FIELD_TIMER = BTF_TIMER,
	FIELD_WORKQUEUE = BTF_WORKQUEUE,
	FIELD_TASK_WORK = BTF_TASK_WORK,
	FIELD_KPTR = BTF_KPTR,
	FIELD_REFCOUNT = BTF_REFCOUNT,
	FIELD_LIST = BTF_LIST_HEAD,
	FIELD_RBTREE = BTF_RB_ROOT,
	FIELD_UPTR = BTF_UPTR,
};
struct map_rules {
	const char *name;
	u64 uses; /* 1 << enum map_use */
	u8 gives; /* enum map_gives */
	bool sleepable; /* sleepable programs may use it */
	u32 fields; /* enum map_fields */
	const char *kernel_struct; /* what the map itself is to programs that read it as a kernel object; NULL: they may not */
};
const struct map_rules *map_rules(u32 kind); /* NULL: no such kind in Linux */
bool map_allows(u32 kind, enum map_use use); /* may a program pass a map of that kind for that use? */
bool map_can(const struct map *m, enum map_use use); /* allowed, and this build can run it */

/* map.c: for the engine */
int map_create(struct map *m, const struct map_spec *spec); /* the other members are set before */
/* Writes the map into an empty file and moves there; fd stays the caller's. -EBUSY: a client has it mapped. */
int map_pin_write(struct map *m, int fd, const void *btf, u32 btf_size);
int map_pin_again(struct map *m, int fd, const void *btf, u32 btf_size); /* for a map whose pin file lost its last name. -EBUSY: others still have that one */
/* Opens a pin file; *btf is the caller's to free. -EINVAL: not a pin file of a map, or damaged. -EBUSY: in use by
 * engines of another domain. */
int map_adopt(struct map *m, int fd, void **btf, u32 *btf_size);
bool map_is_pin(int fd); /* is it a file that map_pin_write() wrote? */
/* BPF_MAP_FREEZE. -EPERM: it is already; -EBUSY: somebody writes at this moment. */
int map_freeze(struct map *m);
int map_client_fd(const struct map *m); /* what clients map m->client from, at offset 0; -1: nothing */
void map_close(struct map *m); /* regions and private state; not the struct itself */
void map_leave(struct map *m); /* other processes that read its memory ask the engine from now on */

/* map.c: the element commands of bpf(2), with Linux's checks in Linux's order once descriptor and access mode are known,
 * and the errno of what a kind does not do. key is NULL for kinds without keys. */
int map_get(struct map *m, const struct hold *h, const void *key, void *value, u64 flags);
int map_set(struct map *m, const struct hold *h, const void *key, const void *value, u64 flags);
int map_delete(struct map *m, const struct hold *h, const void *key);
int map_take(struct map *m, const struct hold *h, const void *key, void *value, u64 flags);
int map_next_key(struct map *m, const struct hold *h, const void *key, void *next);
int map_index_next_key(struct map *m, const struct hold *h, const void *key, void *next); /* slot of kinds with an index for a key */
u64 map_value_bytes(const struct map *m); /* what those move: per-CPU kinds: all CPUs' values; descriptors: 4 */

/* map.c: map-in-map */
int map_inner_check(const struct map *inner); /* may it be a template? 0, -EINVAL (nested), -ENOTSUPP */
int map_outer_check(const struct map *m); /* for families: is there a template that may be one? */
bool map_inner_equal(const struct map *outer, const struct map *m); /* may m be an element of outer? */
/* host->object_get(), and for a map-in-map the check against the template */
int map_object_get(struct map *m, u32 fd, u32 *id);

/* map.c: for families */
enum { MAP_VALUE_MAX = 4 << 20 /* Linux's KMALLOC_MAX_SIZE */ };

static inline struct map_header *map_head(const struct map *m)
{
	return (struct map_header *)m->meta.base;
}
int map_meta_create(struct map *m, u64 size); /* header included; filled from m->spec */
int map_client_create(struct map *m, u64 size);
int map_objects_create(struct map *m); /* for spec.max_entries of them */
void *map_priv(struct map *m, size_t size);
/* Do values hold objects? Then no other process has the map: bytes that somebody else writes would become addresses. */
static inline bool map_holds(const struct map *m)
{
	return m->record.kinds & HEAP_HELD;
}
void map_free_value(struct map *m, const struct hold *h, void *value); /* what its fields hold; h: NULL when the map ends */
/* value bytes that bpf(2) and helpers copy: never spin locks or timers */
void map_copy_value(const struct map *m, void *to, const void *from);
void map_copy_padded(const struct map *m, void *to, const void *from); /* and what pads it to elem_size, as bpf(2) moves each CPU's */
void map_clear_special(const struct map *m, void *value); /* in a copy that a client gets */
void map_copy_words(void *to, const void *from, size_t size); /* word by word; none is torn that is aligned on both sides */
int map_copy_locked(const struct map *m, const struct hold *h, void *to, const void *from, void *lock_in); /* BPF_F_LOCK */
int map_check_update_flags(const struct map *m, u64 flags); /* unknown bits, NOEXIST|EXIST, F_LOCK without a lock */

/* ---- arena.c: KIND_ARENA ----
 * Clients and programs name its bytes by the address that clients have it mapped at: map_extra, or where the first of them maps it. It never crosses a multiple of
 * 4 GiB. Programs reach the byte at such an address at map_arena_base() + its low 32 bits, if map_arena_present() + 16 + those bits / 4096 is
 * not 0; otherwise, a load gives 0 and a store does nothing, unless map_arena_touch() finds that a client made the page. */
enum { ARENA_GUARD = 65536 }; /* bytes on both sides of 4 GiB that the table has entries for */
u64 map_arena_start(const struct map *m); /* 0: not known yet */
u64 map_arena_base(const struct map *m); /* once that is known; as map_arena_present()'s meaning */
const u8 *map_arena_present(const struct map *m);
bool map_arena_touch(struct map *m, u64 low); /* the low half of an address, with an access's offset added */
/* A client maps it there. -EINVAL: not the whole of it; -ERANGE: across a multiple of 4 GiB; -EBUSY: it lies elsewhere. */
int map_arena_place(struct map *m, u64 addr, u64 bytes);
u64 map_arena_choose(struct map *m); /* where it is; if that is not known, it is decided now */
u64 map_arena_alloc(struct map *m, u64 addr, u32 n); /* n pages, at addr if that is not 0: the address; 0: they are not free */
void map_arena_free(struct map *m, u64 addr, u32 n);
int map_arena_reserve(struct map *m, u64 addr, u32 n); /* nothing will be allocated there. -EBUSY, -EINVAL */

static inline void *map_arena_at(struct map *m, u64 low)
{
	bool there = low + ARENA_GUARD < (1ull << 32) + 2 * ARENA_GUARD && __atomic_load_n(map_arena_present(m) + ((low + ARENA_GUARD) >> 12), __ATOMIC_RELAXED);

	return there || map_arena_touch(m, low) ? (void *)(uintptr_t)(map_arena_base(m) + low) : NULL;
}

/* ---- perf_ring.c: the ring behind a perf event descriptor ----
 * The engine makes one per descriptor; perf event arrays find it through host->object_at(). Members after event_fd may
 * be set by the engine between perf_ring_open() and the first output. */
struct perf_ring {
	const struct mem *mem;
	struct window *window;
	struct region region; /* struct perf_event_mmap_page and data: untrusted; base NULL until a client maps it */
	int fd; /* memfd that clients hold and map; of size 0 until perf_ring_size() */
	int event_fd; /* readable after a wake-up */
	bool output; /* PERF_TYPE_SOFTWARE, PERF_COUNT_SW_BPF_OUTPUT: the only kind that takes samples */
	int cpu; /* -1: any */
	u64 id, sample_type; /* PERF_SAMPLE_RAW and those that precede it in a record and need no register */
	u32 wakeup; /* wake up after that many events, or bytes */
	bool by_bytes;
	_Atomic bool paused;
	owned_lock lock;
	u64 mask, head, lost, since; /* trusted: data size - 1, position, samples not written, since the last wake-up */
};
int perf_ring_open(struct perf_ring *r, const struct mem *mem, struct window *w);
bool perf_ring_samples(u64 sample_type); /* is every bit of it one that records can have? */
int perf_ring_size(struct perf_ring *r, u32 data_pages); /* -EINVAL: not a power of two, or not the size it has */
int perf_ring_output(struct perf_ring *r, const struct hold *h, const struct map_bytes *parts, u32 n, bool try); /* -ENOSPC: lost; try: -EAGAIN, it is not, if there is to be room later */
void perf_ring_sync(struct perf_ring *r); /* before a wait, as slot poll_sync */
void perf_ring_close(struct perf_ring *r);

#endif
