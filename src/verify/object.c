/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects: kptrs in maps, objects that the program allocates, lists and rb-trees of them.
 *
 * An object in a list or tree belongs to it; while the lock is held, the program may hold non-owning references to its nodes. A list's or
 * tree's lock lies in the same object or map value.
 */
#include "verify/call.h"
#include "verify/mem.h"

#include <stdio.h>

enum { PER_CPU_OBJECT_BYTES = 512, NO_FIELD = -EINVAL };

const struct btf_record *special_fields(const struct reg *r)
{
	switch (reg_base(r->type)) {
	case R_MAP_VALUE:
		return &r->map->record;
	case R_BTF:
		return r->type & R_ALLOC ? btf_meta(r->btf, r->btf_id) : NULL;
	default:
		return NULL;
	}
}

static u64 offset_of(const struct reg *r) /* its variable part is constant */
{
	return (u64)(s64)r->off + r->v.bits.value;
}

static const char *type_name(const struct btf *b, u32 id)
{
	return btf_name_of(b, btf_type(b, id));
}

/* ---- kptrs ---- */

static int wrong_kptr(struct verifier *v, const struct btf_field *field, const struct reg *r, u32 regno)
{
	const char *want = type_name(field->btf, field->btf_id);
	const char *have = reg_base(r->type) == R_BTF ? type_name(r->btf, r->btf_id) : "";
	char text[160];

	snprintf(text, sizeof(text), "invalid kptr access, R%u type=%s%s ", regno, reg_type_name(v, r->type), have);
	if (field->kind == BTF_KPTR_UNREF)
		return reject_err(v, REJECT_KPTR_TYPE, -EINVAL, "%sexpected=ptr_%s or untrusted_ptr_%s", text, want, want);
	return reject_err(v, REJECT_KPTR_TYPE, -EINVAL, "%sexpected=ptr_%s", text, want);
}

int kptr_matches(struct verifier *v, const struct btf_field *field, const struct reg *r, u32 regno)
{
	u32 allowed = R_NULLABLE;

	if (reg_base(r->type) != R_BTF)
		return wrong_kptr(v, field, r, regno);
	if (r->btf->kernel)
		allowed |= R_TRUSTED | R_RCU | (field->kind == BTF_KPTR_UNREF ? (u32)R_UNTRUSTED : 0u);
	else
		allowed |= R_ALLOC | (field->kind == BTF_KPTR_PERCPU ? (u32)R_PERCPU : 0u);
	if (r->type & ~(u32)R_TYPE_MASK & ~allowed || (field->kind == BTF_KPTR_PERCPU) != !!(r->type & R_PERCPU))
		return wrong_kptr(v, field, r, regno);
	if (mem_fixed_pointer(v, r, regno, true))
		return -EACCES;
	if (!btf_ids_match(r->btf, r->btf_id, r->off, field->btf, field->btf_id, field->kind != BTF_KPTR_UNREF, r->type & R_ALLOC, v->log_level ? v->log : NULL))
		return wrong_kptr(v, field, r, regno);
	return 0;
}

int arg_kptr(struct verifier *v, struct call *c, u32 regno)
{
	const struct reg *r = reg_of(v, regno);
	const struct btf_record *fields = special_fields(r);
	const struct btf_field *f;
	u32 off;

	if (r->type == R_MAP_VALUE) {
		if (!r->map->spec.btf_value_type_id)
			return reject(v, REJECT_FIELD_MISSING, "map '%s' has to have BTF in order to use bpf_kptr_xchg", r->map->spec.name);
		c->map = r->map;
	}
	if (!scalar_is_const(&r->v))
		return reject(v, REJECT_FIELD_OFFSET, "R%u doesn't have constant offset. kptr has to be at the constant offset", regno);
	if (!btf_record_has(fields, BTF_KPTR))
		return reject(v, REJECT_FIELD_MISSING, "R%u has no valid kptr", regno);
	off = (u32)offset_of(r);
	f = btf_record_find(fields, off, BTF_KPTR);
	if (!f)
		return reject_err(v, REJECT_FIELD_OFFSET, -EACCES, "off=%d doesn't point to kptr", (s32)off);
	if (f->kind == BTF_KPTR_UNREF)
		return reject_err(v, REJECT_FIELD_MISSING, -EACCES, "off=%d kptr isn't referenced kptr", (s32)off);
	c->kptr = f;
	return 0;
}

/* ---- timers, work queues, task work: one in a map value ---- */

static u32 place_of(const struct btf_record *f, u32 kind) /* offset + 1; 0: none */
{
	if (!f)
		return 0;
	return kind == BTF_TIMER ? f->timer : kind == BTF_WORKQUEUE ? f->wq : f->task_work;
}

int arg_map_field(struct verifier *v, struct call *c, u32 regno, u32 kind)
{
	const struct reg *r = reg_of(v, regno);
	const char *name = btf_field_name(kind);
	const struct map *m = r->map;
	u32 at;

	if (!scalar_is_const(&r->v))
		return reject(v, REJECT_FIELD_OFFSET, "R%u doesn't have constant offset. %s has to be at the constant offset", regno, name);
	if (!m->spec.btf_value_type_id)
		return reject(v, REJECT_FIELD_MISSING, "map '%s' has to have BTF in order to use %s", m->spec.name, name);
	at = place_of(special_fields(r), kind);
	if (!at)
		return reject(v, REJECT_FIELD_MISSING, "map '%s' has no valid %s", m->spec.name, name);
	if (offset_of(r) != at - 1)
		return reject(v, REJECT_FIELD_OFFSET, "off %lld doesn't point to 'struct %s' that is at %u", (long long)offset_of(r), name, at - 1);
	c->map = r->map;
	c->map_uid = r->map_uid;
	return 0;
}

/* ---- lists and trees ---- */

void reg_set_node(struct reg *r, const struct btf_field *root)
{
	reg_set_pointer(r, R_BTF | R_ALLOC);
	r->btf = root->btf;
	r->btf_id = root->btf_id;
	r->off = (s32)root->node_offset;
}

int set_non_owning(struct verifier *v, struct reg *r)
{
	const struct btf_record *fields = special_fields(r);

	if (!v->cur->active_locks)
		return bug(v, "a non-owning reference without a lock");
	r->type |= R_NON_OWNING;
	if (fields && fields->refcount)
		r->type |= R_RCU;
	return 0;
}

int arg_graph_root(struct verifier *v, struct call *c, u32 regno, u32 kind)
{
	const struct reg *r = reg_of(v, regno);
	const struct btf_record *fields = special_fields(r);
	const struct btf_field **out = kind == BTF_LIST_HEAD ? &c->list_head : &c->rb_root, *f;
	const char *name = btf_field_name(kind);

	if (!scalar_is_const(&r->v))
		return reject(v, REJECT_FIELD_OFFSET, "R%u doesn't have constant offset. %s has to be at the constant offset", regno, name);
	f = btf_record_find(fields, (u32)offset_of(r), kind);
	if (!f)
		return reject(v, REJECT_FIELD_MISSING, "%s not found at offset=%u", name, (u32)offset_of(r));
	if (!lock_held(v, r)) {
		if (v->cur->active_locks)
			log_add(v, "held lock and object are not in the same allocation\n");
		return reject(v, REJECT_GRAPH_LOCK, "bpf_spin_lock at off=%d must be held for %s",
			      fields->spin_lock ? (s32)fields->spin_lock - 1 : NO_FIELD, name);
	}
	*out = f;
	return 0;
}

int arg_graph_node(struct verifier *v, struct call *c, u32 regno, u32 kind)
{
	const struct reg *r = reg_of(v, regno);
	const struct btf_field *root = kind == BTF_LIST_NODE ? c->list_head : c->rb_root;
	const char *name = btf_field_name(kind), *root_name;
	u32 off;

	if (!scalar_is_const(&r->v))
		return reject(v, REJECT_FIELD_OFFSET, "R%u doesn't have constant offset. %s has to be at the constant offset", regno, name);
	off = (u32)offset_of(r);
	if (!btf_record_find(special_fields(r), off, kind))
		return reject(v, REJECT_FIELD_MISSING, "%s not found at offset=%u", name, off);
	if (!root) /* left and right: no root among the arguments tells */
		return 0;
	root_name = btf_field_name(root->kind);
	if (!btf_ids_match(r->btf, r->btf_id, 0, root->btf, root->btf_id, true, r->type & R_ALLOC, v->log_level ? v->log : NULL))
		return reject(v, REJECT_GRAPH_NODE, "operation on %s expects arg#1 %s at offset=%u in struct %s, but arg is at offset=%u in struct %s",
			      root_name, name, root->node_offset, type_name(root->btf, root->btf_id), off, type_name(r->btf, r->btf_id));
	c->obj_btf = r->btf;
	c->obj_id = r->btf_id;
	if (off != root->node_offset)
		return reject(v, REJECT_GRAPH_NODE, "arg#1 offset=%u, but expected %s at offset=%u in struct %s", off, name, root->node_offset,
			      type_name(root->btf, root->btf_id));
	return 0;
}

struct conversion {
	u32 ref;
	int err;
};

static void to_non_owning(struct verifier *v, struct reg *r, void *ud)
{
	struct conversion *x = ud;

	if (r->ref != x->ref || x->err)
		return;
	r->ref = 0;
	x->err = set_non_owning(v, r);
}

int node_inserted(struct verifier *v, u32 regno)
{
	struct conversion x = {reg_of(v, regno)->ref, 0};

	if (!x.ref || !ref_find(v->cur, x.ref))
		return bug(v, "a node without a reference");
	each_reg(v, v->cur, to_non_owning, &x);
	return x.err ? x.err : ref_release(v, x.ref);
}

int arg_refcounted(struct verifier *v, struct call *c, u32 regno)
{
	const struct reg *r = reg_of(v, regno);
	const struct btf_record *fields;

	if (reg_base(r->type) != R_BTF || !(r->type & R_ALLOC))
		return reject(v, REJECT_KFUNC_ARG, "arg#%u is neither owning or non-owning ref", regno - 1);
	c->owning = !(r->type & R_NON_OWNING) && r->ref;
	fields = special_fields(r);
	if (!fields || !fields->refcount)
		return reject(v, REJECT_FIELD_MISSING, "arg#%u doesn't point to a type with bpf_refcount field", regno - 1);
	c->obj_btf = r->btf;
	c->obj_id = r->btf_id;
	return 0;
}

/* ---- allocation ---- */

int object_new(struct verifier *v, struct call *c, struct reg *r0)
{
	bool per_cpu = c->kfunc->role == KROLE_PERCPU_OBJ_NEW;
	const struct btf *b = v->prog->btf;
	const struct btf_type *t;
	const struct btf_record *fields;
	u32 id = (u32)c->constant;

	if (c->constant != id)
		return reject(v, REJECT_OBJECT_TYPE, "local type ID argument must be in range [0, U32_MAX]");
	if (!b)
		return reject(v, REJECT_OBJECT_TYPE, "bpf_obj_new/bpf_percpu_obj_new requires prog BTF");
	t = btf_type(b, id);
	if (btf_kind_of(t) != BTF_KIND_STRUCT)
		return reject(v, REJECT_OBJECT_TYPE, "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct");
	fields = btf_meta(b, id);
	if (per_cpu && t->size > PER_CPU_OBJECT_BYTES)
		return reject(v, REJECT_OBJECT_TYPE, "bpf_percpu_obj_new type size (%u) is greater than %d", t->size, PER_CPU_OBJECT_BYTES);
	if (per_cpu && !btf_scalar_struct(b, t, v->log_level ? v->log : NULL))
		return reject(v, REJECT_OBJECT_TYPE, "bpf_percpu_obj_new type ID argument must be of a struct of scalars");
	if (per_cpu && fields)
		return reject(v, REJECT_OBJECT_TYPE, "bpf_percpu_obj_new type ID argument must not contain special fields");
	reg_set_pointer(r0, R_BTF | R_ALLOC | (per_cpu ? (u32)R_PERCPU : 0u));
	r0->btf = b;
	r0->btf_id = id;
	return 0;
}

/* Kernel types whose objects outlive an RCU read-side section that saw them. */
static bool rcu_protected(const struct btf *b, u32 id)
{
	static const char *const names[] = {"task_struct", "cgroup", "bpf_cpumask", "bpf_crypto_ctx", "prog_test_ref_kfunc"};
	const char *name = btf_name_of(b, btf_type(b, id));

	for (u32 i = 0; b->kernel && i < ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return !b->kernel;
}

int kptr_load(struct verifier *v, const struct btf_field *f, struct reg *dst)
{
	bool safe = f->kind == BTF_KPTR_PERCPU || (f->kind == BTF_KPTR_REF && rcu_protected(f->btf, f->btf_id));
	u32 type = R_BTF | R_NULLABLE;

	if (f->kind == BTF_UPTR) {
		reg_set_pointer(dst, R_MEM | R_NULLABLE);
		dst->mem_size = (u32)MAX(btf_size(f->btf, f->btf_id), 0);
	} else {
		if (safe && rcu_held(v)) {
			type |= R_RCU | (f->kind == BTF_KPTR_PERCPU ? (u32)R_PERCPU : !f->btf->kernel ? (u32)R_ALLOC : 0u);
			if (btf_record_has(f->contains, BTF_GRAPH_NODE))
				type |= R_NON_OWNING;
		} else {
			type |= R_UNTRUSTED;
		}
		reg_set_pointer(dst, type);
		dst->btf = f->btf;
		dst->btf_id = f->btf_id;
	}
	dst->id = new_id(v);
	return 0;
}
