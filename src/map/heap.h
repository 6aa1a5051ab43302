/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap: objects that programs allocate, and what holds them: kptrs, lists and rb-trees, in map values and in other objects.
 *
 * An object has a count of references. Each belongs to a run, a kptr, a list or a tree; with the last one it ends: what its own fields hold is given
 * back, and its memory is used again once every run that may still have its address is over.
 *
 * Ownership: whoever gets an object from here has one reference and passes it on or drops it. Special fields are described by a BTF that outlives
 * whatever has them: a map's own, which its objects' types come from.
 */
#ifndef SKEP_MAP_HEAP_H
#define SKEP_MAP_HEAP_H

#include "btf/btf.h"

enum { HEAP_BYTES = 64 << 20, HEAP_CHUNK = 1 << 20, HEAP_CHUNKS = HEAP_BYTES / HEAP_CHUNK, HEAP_CLASSES = 24, HEAP_MOST = 4088 /* Linux's: bytes of one object */ };

struct heap_object;
struct heap_class { /* memory for objects of about one size */
	owned_lock lock;
	u32 stride; /* from one to the next */
	u8 *fresh, *end; /* of its youngest chunk: never used */
	struct heap_object *free, *waiting;
	u64 epoch; /* `waiting` may be used again when it is over */
	struct heap_object *_Atomic dead;
};

struct heap {
	struct domain *domain;
	u8 *base; /* HEAP_BYTES, its owner's */
	_Atomic u32 n_chunks;
	_Atomic u32 stride[HEAP_CHUNKS]; /* of a chunk; 0: not used */
	struct heap_class class[HEAP_CLASSES];
};

void heap_open(struct heap *o, struct domain *d, u8 *base);
/* Zeroed. per_cpu: one for each CPU. NULL: too large, or no memory is left; a nested run is refused where it met the heap's lock. */
void *heap_new(struct heap *o, const struct hold *h, u32 size, bool per_cpu, const struct btf_record *record);
bool heap_acquire(struct heap *o, const void *in); /* one reference more, by any address in the object; false: it has none, it is ending */
void heap_drop(struct heap *o, const struct hold *h, const void *in); /* one less */
bool heap_alive(const struct heap *o, const void *in); /* true as well for what is no object */
void *heap_start(const struct heap *o, void *in); /* of the object that it lies in; what is in none stays */
bool heap_has(const struct heap *o, const void *at, u64 size); /* do the bytes lie in one object? */
void *heap_cpu(const struct heap *o, void *object, u32 cpu); /* NULL: there is no such CPU */

/* Gives back what the special fields of a value hold, under the value's lock. h: NULL when nobody else can use it. */
void heap_free_fields(struct heap *o, const struct hold *h, const struct btf_record *record, void *value);
enum { HEAP_HELD = BTF_KPTR | BTF_GRAPH_ROOT }; /* kinds of fields that hold objects */

/* ---- graph.c: lists and rb-trees; a caller has the lock of the root ----
 * All are zero when empty. A node knows its root. */
struct list_node {
	struct list_node *next, *prev;
	void *root;
};
struct list_root {
	struct list_node *first, *last;
};
struct tree_node {
	u64 parent; /* bit 0: red */
	struct tree_node *left, *right;
	void *root;
};
struct tree_root {
	struct tree_node *top, *first;
};
_Static_assert(sizeof(struct list_node) == 24 && sizeof(struct list_root) == 16 && sizeof(struct tree_node) == 32 && sizeof(struct tree_root) == 16,
	       "what programs make room for: btf/fields.def");

bool node_claim(void **root); /* a node's member: false: it is in a list or tree already, or somebody else puts it into one */
static inline void *node_root(void *const *root)
{
	return __atomic_load_n(root, __ATOMIC_RELAXED);
}
void list_add(struct list_root *l, struct list_node *n, bool front); /* claimed */
struct list_node *list_take(struct list_root *l, bool front); /* NULL: there is none */
/* Goes to the left where less(ud, n, other) gives 1. Below 0: what it gave; the node is then in no tree. */
int tree_add(struct tree_root *t, struct tree_node *n, int (*less)(void *ud, struct tree_node *n, struct tree_node *other), void *ud);
void tree_remove(struct tree_root *t, struct tree_node *n);
/* Takes a node out of a tree that nobody else sees, without keeping it a search tree: any one without children. */
struct tree_node *tree_dismantle(struct tree_root *t);

#endif
