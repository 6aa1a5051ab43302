/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects of the program: making and dropping them, kptrs, lists and rb-trees of them (map/heap.h). Arguments are what the verifier proved: a node lies in an object, a root in a map value
 * or an object whose lock the run has. A run that a fault has ended, but that goes on to its next look, may have none: nothing is linked then.
 */
#include "helper/body.h"

static struct heap *heap_of(const struct run *r)
{
	return r->host->heap;
}

static u64 got(struct run *r, u64 in)
{
	vm_own(r, ADDR(heap_start(heap_of(r), PTR(in))));
	return in;
}

static void gave(struct run *r, u64 in)
{
	vm_disown(r, ADDR(heap_start(heap_of(r), PTR(in))));
}

static void drop(struct run *r, u64 in)
{
	gave(r, in);
	heap_drop(heap_of(r), r->hold, PTR(in));
}

/* ---- one object ---- */

/* The id was checked on every path that leads here, but need not be the same on all of them. */
static u64 make(struct run *r, u64 id, u64 call, bool per_cpu)
{
	const struct btf *b = ((const struct prog_kfunc *)PTR(call))->btf;
	const struct btf_type *t = btf_type(b, (u32)id);
	void *object = heap_new(heap_of(r), r->hold, t->size, per_cpu, per_cpu ? NULL : btf_meta(b, (u32)id));

	if (object)
		vm_own(r, ADDR(object));
	return ADDR(object);
}

BODY(kfunc_bpf_obj_new_impl)
{
	(void)c, (void)d, (void)e;
	return make(r, a, b, false);
}

BODY(kfunc_bpf_percpu_obj_new_impl)
{
	(void)c, (void)d, (void)e;
	return make(r, a, b, true);
}

BODY(kfunc_bpf_obj_drop_impl)
{
	(void)b, (void)c, (void)d, (void)e;
	drop(r, a);
	return 0;
}

BODY(kfunc_bpf_percpu_obj_drop_impl)
{
	(void)b, (void)c, (void)d, (void)e;
	drop(r, a);
	return 0;
}

BODY(kfunc_bpf_refcount_acquire_impl)
{
	(void)b, (void)c, (void)d, (void)e;
	return heap_acquire(heap_of(r), PTR(a)) ? got(r, a) : 0;
}

/* What is put into an object that has ended meanwhile would stay there for ever. */
BODY(helper_kptr_xchg)
{
	u64 *field = PTR(a), was = __atomic_exchange_n(field, b, __ATOMIC_SEQ_CST);

	(void)c, (void)d, (void)e;
	if (was)
		got(r, was);
	if (!b)
		return was;
	gave(r, b);
	if (unlikely(!heap_alive(heap_of(r), field)) && (b = __atomic_exchange_n(field, 0, __ATOMIC_SEQ_CST)))
		heap_drop(heap_of(r), r->hold, PTR(b));
	return was;
}

BODY(helper_per_cpu_ptr)
{
	(void)c, (void)d, (void)e;
	return ADDR(heap_cpu(heap_of(r), PTR(a), (u32)b));
}

BODY(helper_this_cpu_ptr)
{
	(void)b, (void)c, (void)d, (void)e;
	return ADDR(heap_cpu(heap_of(r), PTR(a), r->hold->index));
}

/* ---- lists and trees ---- */

/* May the object go into the list or tree? If not, the reference is gone all the same. */
static bool enters(struct run *r, u64 root, u64 node, void **roots)
{
	if (r->lock_held && heap_alive(heap_of(r), PTR(root)) && node_claim(roots))
		return true;
	drop(r, node);
	return false;
}

static u64 push(struct run *r, u64 list, u64 node, bool front)
{
	struct list_node *n = PTR(node);

	if (!enters(r, list, node, &n->root))
		return RESULT(-EINVAL);
	gave(r, node);
	list_add(PTR(list), n, front);
	return 0;
}

static u64 pop(struct run *r, u64 list, bool front)
{
	struct list_node *n = r->lock_held ? list_take(PTR(list), front) : NULL;

	return n ? got(r, ADDR(n)) : 0;
}

BODY(kfunc_bpf_list_push_front_impl)
{
	(void)c, (void)d, (void)e;
	return push(r, a, b, true);
}

BODY(kfunc_bpf_list_push_back_impl)
{
	(void)c, (void)d, (void)e;
	return push(r, a, b, false);
}

BODY(kfunc_bpf_list_pop_front)
{
	(void)b, (void)c, (void)d, (void)e;
	return pop(r, a, true);
}

BODY(kfunc_bpf_list_pop_back)
{
	(void)b, (void)c, (void)d, (void)e;
	return pop(r, a, false);
}

BODY(kfunc_bpf_list_front)
{
	(void)r, (void)b, (void)c, (void)d, (void)e;
	return ADDR(((struct list_root *)PTR(a))->first);
}

BODY(kfunc_bpf_list_back)
{
	(void)r, (void)b, (void)c, (void)d, (void)e;
	return ADDR(((struct list_root *)PTR(a))->last);
}

struct less {
	struct run *r;
	u32 insn;
};

static int less(void *ud, struct tree_node *n, struct tree_node *other)
{
	const struct less *l = ud;
	u64 args[5] = {ADDR(n), ADDR(other)}, result = 0;
	int err = vm_call(l->r, l->insn, args, &result);

	return err ? err : (bool)(result & 0xff);
}

BODY(kfunc_bpf_rbtree_add_impl)
{
	struct tree_node *n = PTR(b);
	struct less l = {r, (u32)c};

	(void)d, (void)e;
	if (!enters(r, a, b, &n->root))
		return RESULT(-EINVAL);
	if (!tree_add(PTR(a), n, less, &l)) /* otherwise the run is over */
		gave(r, b);
	return 0;
}

BODY(kfunc_bpf_rbtree_remove)
{
	struct tree_node *n = PTR(b);

	(void)c, (void)d, (void)e;
	if (!r->lock_held || node_root(&n->root) != PTR(a))
		return 0;
	tree_remove(PTR(a), n);
	return got(r, b);
}

BODY(kfunc_bpf_rbtree_first)
{
	(void)r, (void)b, (void)c, (void)d, (void)e;
	return ADDR(((struct tree_root *)PTR(a))->first);
}

BODY(kfunc_bpf_rbtree_root)
{
	(void)r, (void)b, (void)c, (void)d, (void)e;
	return ADDR(((struct tree_root *)PTR(a))->top);
}

BODY(kfunc_bpf_rbtree_left)
{
	const struct tree_node *n = PTR(b);

	(void)r, (void)c, (void)d, (void)e;
	return node_root(&n->root) == PTR(a) ? ADDR(n->left) : 0;
}

BODY(kfunc_bpf_rbtree_right)
{
	const struct tree_node *n = PTR(b);

	(void)r, (void)c, (void)d, (void)e;
	return node_root(&n->root) == PTR(a) ? ADDR(n->right) : 0;
}
