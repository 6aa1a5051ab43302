/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Special fields of map values and allocated objects: found by the names of their types, or by type tags of pointers, in a struct, in
 * structs in it and in arrays of either. A field that is misaligned, or of another size than the kernel's, is none.
 */
#include "btf/btf.h"

enum { MOST_DEPTH = 32 };

struct kind_info {
	u32 kind;
	const char *text, *type;
	u32 size, align;
	bool unique;
};
static const struct kind_info infos[] = {
#define FIELD(name, bit, text, type, size, align, unique) {BTF_##name, text, type, size, align, unique},
#include "btf/fields.def"
};

static const struct kind_info *info_of(u32 kind)
{
	u32 i = 0;

	while (infos[i].kind != kind)
		i++;
	return &infos[i];
}

const char *btf_field_name(u32 kind)
{
	for (u32 i = 0; i < ARRAY_SIZE(infos); i++)
		if (infos[i].kind == kind)
			return infos[i].text;
	return "unknown";
}

/* ---- finding ---- */

struct hit {
	u32 kind, offset;
	u32 type; /* kptrs: what they point to; roots: what they contain */
	const char *node; /* roots: the member by which */
};

struct find {
	const struct btf *b;
	u32 mask;
	u32 seen; /* in the struct or section at hand: each may have a unique kind once */
	struct hit *hits;
	u32 n; /* of BTF_MOST_FIELDS */
};

static int find_in_struct(struct find *f, u32 id, u32 depth);

static const struct kind_info *named_kind(const struct find *f, const struct btf_type *t)
{
	const char *name = btf_name_of(f->b, t);

	for (u32 i = 0; i < ARRAY_SIZE(infos); i++)
		if (*infos[i].type && f->mask & infos[i].kind && !strcmp(name, infos[i].type))
			return &infos[i];
	return NULL;
}

/* 1: it is one; 0: it is not; -EINVAL */
static int pointer_hit(const struct find *f, const struct btf_type *t, struct hit *h)
{
	const struct btf_type *tag;

	if (btf_kind_of(t) == BTF_KIND_VOLATILE)
		t = btf_type(f->b, t->type);
	tag = btf_is_ptr(t) ? btf_type(f->b, t->type) : NULL;
	if (btf_kind_of(tag) != BTF_KIND_TYPE_TAG || BTF_INFO_KFLAG(tag->info))
		return 0;
	if (btf_kind_of(btf_type(f->b, tag->type)) == BTF_KIND_TYPE_TAG)
		return -EINVAL;
	if (btf_has_tag(f->b, tag, "kptr_untrusted"))
		h->kind = BTF_KPTR_UNREF;
	else if (btf_has_tag(f->b, tag, "kptr"))
		h->kind = BTF_KPTR_REF;
	else if (btf_has_tag(f->b, tag, "percpu_kptr"))
		h->kind = BTF_KPTR_PERCPU;
	else if (btf_has_tag(f->b, tag, "uptr"))
		h->kind = BTF_UPTR;
	else
		return -EINVAL;
	if (!(h->kind & f->mask))
		return 0;
	return btf_kind_of(btf_skip_modifiers(f->b, tag->type, &h->type)) == BTF_KIND_STRUCT ? 1 : -EINVAL;
}

/* A root says what it contains in a tag "contains:TYPE:MEMBER" on the member or variable that it is. */
static int root_hit(const struct find *f, u32 owner, s32 component, struct hit *h)
{
	u32 n;
	const char *value = btf_tag_value(f->b, owner, component, "contains:", &n), *colon = value ? strchr(value, ':') : NULL;
	char name[256];
	s32 id;

	if (n != 1 || !colon)
		return -EINVAL;
	if ((size_t)(colon - value) >= sizeof(name))
		return -ENOENT;
	memcpy(name, value, (size_t)(colon - value));
	name[colon - value] = 0;
	id = btf_find(f->b, name, BTF_KIND_STRUCT);
	if (id < 0)
		return id;
	if (!colon[1])
		return -EINVAL;
	h->type = (u32)id;
	h->node = colon + 1;
	return 1;
}

/* The hits from `from` on again, for the other elements of an array. */
static int repeat(struct find *f, u32 from, u32 count, u32 each)
{
	u32 n = f->n - from;

	for (u32 i = from; i < f->n; i++)
		if (!(f->hits[i].kind & (BTF_KPTR | BTF_UPTR | BTF_GRAPH_ROOT)))
			return -EINVAL;
	if ((u64)n * count > BTF_MOST_FIELDS - from)
		return -E2BIG;
	for (u32 i = 1; i < count; i++)
		for (u32 j = 0; j < n; j++) {
			f->hits[f->n] = f->hits[from + j];
			f->hits[f->n++].offset += i * each;
		}
	return 0;
}

static int find_nested(struct find *f, u32 id, const struct btf_type *t, u32 off, u32 count, u32 depth)
{
	u32 from = f->n;
	int err;

	if (depth + 1 >= MOST_DEPTH)
		return -E2BIG;
	err = find_in_struct(f, id, depth + 1);
	if (err)
		return err;
	for (u32 i = from; i < f->n; i++)
		f->hits[i].offset += off;
	return count > 1 && f->n > from ? repeat(f, from, count, t->size) : 0;
}

/* A member or variable of type id at off. owner, component: where its tags are. bytes: of the variable, 0 for members. */
static int find_one(struct find *f, u32 owner, s32 component, u32 id, u32 off, u32 bytes, u32 depth)
{
	const struct btf_type *t = btf_type(f->b, id);
	const struct kind_info *k;
	u32 count = 1, arrays = 0;
	struct hit h = {.offset = off};
	int is = 1;

	for (; arrays < MOST_DEPTH && btf_kind_of(t) == BTF_KIND_ARRAY; arrays++) {
		count *= btf_array_of(t)->nelems;
		id = btf_array_of(t)->type;
		t = btf_type(f->b, id);
	}
	if (arrays == MOST_DEPTH)
		return -E2BIG;
	if (!count)
		return 0;
	k = named_kind(f, t);
	if (k && k->unique) {
		if (f->seen & k->kind)
			return -E2BIG;
		f->seen |= k->kind;
	}
	if (!k && btf_kind_of(t) == BTF_KIND_STRUCT)
		return bytes && bytes != t->size * count ? 0 : find_nested(f, id, t, off, count, depth);
	if (!k && f->mask & (BTF_KPTR | BTF_UPTR))
		k = info_of(BTF_KPTR_REF);
	if (!k || (bytes && bytes != k->size * count) || off % k->align)
		return 0;
	h.kind = k->kind;
	if (k->kind == BTF_KPTR_REF)
		is = pointer_hit(f, t, &h);
	else if (btf_kind_of(t) != BTF_KIND_STRUCT || t->size != k->size)
		is = 0;
	else if (k->kind & BTF_GRAPH_ROOT)
		is = root_hit(f, owner, component, &h);
	if (is <= 0)
		return is;
	if (f->n == BTF_MOST_FIELDS)
		return -E2BIG;
	f->hits[f->n++] = h;
	return count > 1 ? repeat(f, f->n - 1, count, k->size) : 0;
}

static int find_in_struct(struct find *f, u32 id, u32 depth)
{
	const struct btf_type *t = btf_type(f->b, id);
	u32 outer = f->seen;
	int err = 0;

	f->seen = 0;
	for (u32 i = 0; i < btf_vlen_of(t) && !err; i++) {
		const struct btf_member *m = btf_members_of(t) + i;
		u32 bits = btf_member_bits(t, m);

		err = bits % 8 ? -EINVAL : find_one(f, id, (s32)i, m->type, bits / 8, 0, depth);
	}
	f->seen = outer;
	return err;
}

static int find_in_section(struct find *f, const struct btf_type *t)
{
	const struct btf_var_secinfo *v = (const struct btf_var_secinfo *)(t + 1);
	int err = 0;

	for (u32 i = 0; i < btf_vlen_of(t) && !err; i++) {
		const struct btf_type *var = btf_type(f->b, v[i].type);

		err = var ? find_one(f, v[i].type, -1, var->type, v[i].offset, v[i].size, 0) : -EINVAL;
	}
	return err;
}

/* ---- what was found ---- */

static int fill_pointer(struct btf_field *to, const struct btf *b, const struct hit *h, const struct btf_kernel *kernel)
{
	static const struct {
		const char *type, *func;
	} dtors[] = {
#define DTOR(type, func) {type, func},
#include "btf/dtors.def"
	};
	const struct btf *k = btf_of_kernel(kernel);
	const char *name = btf_name_of(b, btf_type(b, h->type));
	s32 id = k ? btf_find(k, name, BTF_KIND_STRUCT) : -ENOENT;

	to->btf = id > 0 ? k : b;
	to->btf_id = id > 0 ? (u32)id : h->type;
	if (id <= 0 || h->kind != BTF_KPTR_REF)
		return 0;
	for (u32 i = 0; i < ARRAY_SIZE(dtors); i++)
		if (!strcmp(dtors[i].type, name)) {
			id = btf_find(k, dtors[i].func, BTF_KIND_FUNC);
			to->dtor_id = id > 0 ? (u32)id : 0;
		}
	return to->dtor_id ? 0 : -ENOENT;
}

static int fill_root(struct btf_field *to, const struct btf *b, const struct hit *h)
{
	const char *node_type = h->kind == BTF_LIST_HEAD ? "bpf_list_node" : "bpf_rb_node";
	const struct btf_type *t = btf_type(b, h->type), *node = NULL;

	for (u32 i = 0; i < btf_vlen_of(t); i++) {
		const struct btf_member *m = btf_members_of(t) + i;
		u32 bits = btf_member_bits(t, m);

		if (strcmp(m->name_off ? btf_string(b, m->name_off) : "(anon)", h->node))
			continue;
		if (node)
			return -EINVAL;
		node = btf_type(b, m->type);
		if (btf_kind_of(node) != BTF_KIND_STRUCT || strcmp(btf_name_of(b, node), node_type) || bits % 64)
			return -EINVAL;
		to->node_offset = bits / 8;
	}
	to->btf = b;
	to->btf_id = h->type;
	return node ? 0 : -ENOENT;
}

static int fill(struct btf_record *r, const struct btf *b, const struct hit *h, const struct btf_kernel *kernel)
{
	struct btf_field *to = &r->fields[r->n];
	u32 at = h->offset + 1;

	*to = (struct btf_field){.kind = h->kind, .offset = h->offset, .size = info_of(h->kind)->size};
	r->kinds |= h->kind;
	switch (h->kind) {
	case BTF_SPIN_LOCK: r->spin_lock = at; return 0;
	case BTF_RES_SPIN_LOCK: r->res_spin_lock = at; return 0;
	case BTF_TIMER: r->timer = at; return 0;
	case BTF_WORKQUEUE: r->wq = at; return 0;
	case BTF_TASK_WORK: r->task_work = at; return 0;
	case BTF_REFCOUNT: r->refcount = at; return 0;
	case BTF_LIST_HEAD:
	case BTF_RB_ROOT: return fill_root(to, b, h);
	case BTF_LIST_NODE:
	case BTF_RB_NODE: return 0;
	default: return fill_pointer(to, b, h, kernel);
	}
}

/* What must not stand together, and what must not stand alone. */
static int check_together(const struct btf_record *r)
{
	if (r->spin_lock && r->res_spin_lock)
		return -EINVAL;
	if (r->kinds & BTF_GRAPH_ROOT && !r->spin_lock && !r->res_spin_lock)
		return -EINVAL;
	if (!r->refcount && r->kinds & BTF_LIST_NODE && r->kinds & BTF_RB_NODE)
		return -EINVAL;
	return 0;
}

int btf_record_parse(struct btf_record *r, const struct btf *b, u32 id, u32 mask, u32 value_size, const struct btf_kernel *kernel)
{
	const struct btf_type *t = btf_type(b, id);
	struct hit hits[BTF_MOST_FIELDS];
	struct find f = {.b = b, .mask = mask, .hits = hits};
	u32 end = 0;
	int err;

	memset(r, 0, sizeof(*r));
	if (btf_kind_of(t) == BTF_KIND_STRUCT)
		err = find_in_struct(&f, id, 0);
	else
		err = btf_kind_of(t) == BTF_KIND_DATASEC ? find_in_section(&f, t) : -EINVAL;
	for (; !err && r->n < f.n; r->n++) {
		const struct hit *h = &hits[r->n];

		if ((u64)h->offset + info_of(h->kind)->size > value_size)
			return -EFAULT;
		if (h->offset < end)
			return -EEXIST;
		end = h->offset + info_of(h->kind)->size;
		err = fill(r, b, h, kernel);
		if (err)
			break;
	}
	err = err ? err : check_together(r);
	if (err)
		memset(r, 0, sizeof(*r));
	return err;
}

static bool field_equal(const struct btf_field *a, const struct btf_field *b)
{
	return a->kind == b->kind && a->offset == b->offset && a->size == b->size && a->btf == b->btf && a->btf_id == b->btf_id &&
	       a->node_offset == b->node_offset;
}

bool btf_record_equal(const struct btf_record *a, const struct btf_record *b)
{
	u32 n = a ? a->n : 0;

	if (n != (b ? b->n : 0))
		return false;
	for (u32 i = 0; i < n; i++)
		if (!field_equal(&a->fields[i], &b->fields[i]))
			return false;
	return true;
}

/* ---- all local types of a BTF ---- */

struct btf_metas {
	u32 n, cap;
	struct meta {
		u32 id;
		struct btf_record record;
	} at[];
};

static size_t metas_bytes(u32 cap)
{
	return sizeof(struct btf_metas) + cap * sizeof(struct meta);
}

void btf_metas_free(struct btf *b)
{
	if (b->metas)
		mem_free(b->mem, b->metas, metas_bytes(b->metas->cap));
	b->metas = NULL;
}

static struct meta *meta_of(const struct btf *b, u32 id)
{
	u32 lo = 0, hi = b->metas ? b->metas->n : 0;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (b->metas->at[mid].id == id)
			return &b->metas->at[mid];
		if (b->metas->at[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct btf_record *btf_meta(const struct btf *b, u32 id)
{
	const struct meta *m = meta_of(b, id);

	return m ? &m->record : NULL;
}

/* Types that make a struct one of those that are looked into: ids of the special structs, and pointers with a kptr's tag. */
enum { SPECIAL_TYPES = 6 };
static void special_types(const struct btf *b, s32 ids[SPECIAL_TYPES])
{
	static const char *const names[SPECIAL_TYPES] = {"bpf_spin_lock", "bpf_list_head", "bpf_list_node",
							 "bpf_rb_root",	  "bpf_rb_node",   "bpf_refcount"};

	for (u32 i = 0; i < SPECIAL_TYPES; i++)
		ids[i] = btf_find(b, names[i], BTF_KIND_STRUCT);
}

static bool is_special(const struct btf *b, u32 id, const s32 ids[SPECIAL_TYPES])
{
	struct find f = {.b = b, .mask = BTF_KPTR};
	struct hit h;

	for (u32 i = 0; i < SPECIAL_TYPES; i++)
		if (ids[i] == (s32)id)
			return true;
	return pointer_hit(&f, btf_type(b, id), &h) == 1;
}

static int add_meta(struct btf *b, u32 id, const struct btf_kernel *kernel)
{
	u32 n = b->metas ? b->metas->n : 0, cap = b->metas ? b->metas->cap : 0;
	struct btf_metas *m = b->metas;
	struct meta *to;
	int err;

	if (n == cap) {
		cap = cap ? cap * 2 : 4;
		m = mem_alloc(b->mem, metas_bytes(cap));
		if (!m)
			return -ENOMEM;
		if (b->metas)
			memcpy(m, b->metas, metas_bytes(n));
		btf_metas_free(b);
		m->cap = cap;
		b->metas = m;
	}
	to = &m->at[n];
	to->id = id;
	err = btf_record_parse(&to->record, b, id, BTF_OBJECT_KINDS, btf_type(b, id)->size, kernel);
	if (err)
		return err;
	m->n = n + 1;
	return to->record.n ? 0 : -EFAULT;
}

int btf_record_link(struct btf_record *r, const struct btf *b)
{
	enum { PAGE = 4096 };

	for (u32 i = 0; i < r->n; i++) {
		struct btf_field *f = &r->fields[i];
		const struct btf_type *t;

		if (f->kind == BTF_UPTR) {
			if (f->btf->kernel)
				return -EINVAL;
			t = btf_type(f->btf, f->btf_id);
			if (!t->size)
				return -EINVAL;
			if (t->size > PAGE)
				return -E2BIG;
		} else if (f->kind & BTF_GRAPH_ROOT) {
			f->contains = btf_meta(b, f->btf_id);
			if (!f->contains)
				return -EFAULT;
			/* What is owned itself owns nothing that owns: so there is no circle. */
			if (r->kinds & BTF_GRAPH_NODE && f->contains->kinds & BTF_GRAPH_ROOT)
				return -ELOOP;
		} else if (f->kind & (BTF_KPTR_REF | BTF_KPTR_PERCPU) && !f->btf->kernel) {
			f->contains = btf_meta(f->btf, f->btf_id);
		}
	}
	return 0;
}

int btf_metas_parse(struct btf *b, const struct btf_kernel *kernel)
{
	s32 ids[SPECIAL_TYPES];
	int err = 0;

	special_types(b, ids);
	for (u32 id = 1; id < btf_type_count(b) && !err; id++) {
		const struct btf_type *t = btf_type(b, id);

		if (btf_kind_of(t) != BTF_KIND_STRUCT)
			continue;
		for (u32 i = 0; i < btf_vlen_of(t); i++)
			if (is_special(b, btf_members_of(t)[i].type, ids)) {
				err = add_meta(b, id, kernel);
				break;
			}
	}
	for (u32 i = 0; b->metas && i < b->metas->n && !err; i++)
		err = btf_record_link(&b->metas->at[i].record, b);
	if (err)
		btf_metas_free(b);
	return err;
}
