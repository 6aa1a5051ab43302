/* SPDX-License-Identifier: BSD-2-Clause */
/* OBJ_GET_INFO_BY_FD: what Linux tells of maps, programs and BTF; arrays go to the places that the caller's struct names. */
#include "sys/sys.h"

#include <linux/bpf.h>

#define PTR(x) ((void *)(uintptr_t)(x))

/* The caller's struct may be older (shorter) or newer (longer, if the rest is zero). */
int info_read(const struct attr_info *a, void *info, u32 size)
{
	const u8 *from = PTR(a->info);

	if (a->info_len > 4096)
		return -E2BIG;
	memset(info, 0, size);
	if (!a->info_len)
		return 0;
	if (!from)
		return -EFAULT;
	for (u32 i = size; i < a->info_len; i++)
		if (from[i])
			return -E2BIG;
	memcpy(info, from, MIN(size, a->info_len));
	return 0;
}

int info_write(struct attr_info *a, const void *info, u32 size)
{
	a->info_len = MIN(size, a->info_len);
	if (a->info_len)
		memcpy(PTR(a->info), info, a->info_len);
	return 0;
}

/* An array of n records: as many as fit go to *to, the true number comes back. */
static void give_array(u64 to, u32 *n, const void *from, u32 have, u32 each)
{
	u32 room = *n;

	if (to && room && from)
		memcpy(PTR(to), from, (size_t)MIN(room, have) * each);
	*n = have;
}

/* Linux 6.18's struct bpf_map_info. */
struct map_told {
	u32 type, id, key_size, value_size, max_entries, map_flags;
	char name[16];
	u32 ifindex, btf_vmlinux_value_type_id;
	u64 netns_dev, netns_ino;
	u32 btf_id, btf_key_type_id, btf_value_type_id, btf_vmlinux_id;
	u64 map_extra, hash;
	u32 hash_size, pad;
};
_Static_assert(sizeof(struct map_told) == 104, "Linux's layout");

/* SHA-256 of all elements of an array, where the caller wants it. */
static int give_hash(const struct map *m, const struct map_told *in)
{
	u8 digest[32];

	if (!in->hash)
		return in->hash_size ? -EINVAL : 0;
	if (m->spec.kind != MAP_KIND_ARRAY || in->hash_size != sizeof(digest))
		return -EINVAL;
	if (!m->frozen)
		return -EPERM;
	sha256_digest(m->values, (size_t)m->elem_size * m->spec.max_entries, digest);
	memcpy(PTR(in->hash), digest, sizeof(digest));
	return 0;
}

/* Up to the end of the last field: padding behind it must be zero, too. */
#define KNOWN(type, last) (offsetof(type, last) + sizeof(((type *)0)->last))

static int map_info(struct obj *o, struct attr_info *a)
{
	const struct map *m = obj_map(o);
	const struct map_obj *mo = o->body;
	struct map_told in = {0}, info;
	int err = info_read(a, &in, KNOWN(struct map_told, hash_size));

	if (!err)
		err = give_hash(m, &in);
	if (err)
		return err;
	info = in; /* what a map has nothing for stays as it was */
	info.type = m->spec.kind;
	info.id = o->id;
	info.key_size = m->spec.key_size;
	info.value_size = m->spec.value_size;
	info.max_entries = m->spec.max_entries;
	info.map_flags = m->spec.flags;
	info.map_extra = m->spec.extra;
	info.btf_vmlinux_value_type_id = m->kernel_type;
	if (mo->btf) {
		info.btf_id = mo->btf->id;
		info.btf_key_type_id = m->spec.btf_key_type_id;
		info.btf_value_type_id = m->spec.btf_value_type_id;
	}
	memcpy(info.name, m->spec.name, sizeof(info.name));
	return info_write(a, &info, sizeof(info));
}

/* The bytecode with ids of maps in place of descriptors. */
static void give_insns(const struct prog *p, u64 to, u32 *bytes)
{
	struct raw_insn *out = PTR(to);
	u32 n = MIN(*bytes / (u32)sizeof(*out), p->n);

	for (u32 i = 0; out && i < n; i++) {
		enum pseudo pseudo = p->insns[i].pseudo;
		u32 m = prog_map_named(p, i);

		out[i] = p->raw[i];
		if (m == p->n_maps)
			continue;
		if (pseudo == PSEUDO_MAP_IDX || pseudo == PSEUDO_MAP_IDX_VALUE)
			pseudo = pseudo == PSEUDO_MAP_IDX ? PSEUDO_MAP_FD : PSEUDO_MAP_VALUE;
		out[i].imm = (s32)p->map_owners[m]->id;
		out[i].regs = (u8)((out[i].regs & 15) | pseudo << 4);
	}
	*bytes = p->n * (u32)sizeof(*out);
}

/* Of maps that the program uses, then of those that were bound to it, which others may do at this moment. */
static u32 *map_ids(struct skep *k, const struct prog *p, u32 *n, u32 *room)
{
	u32 *ids = NULL, have;

	do {
		plain_lock_take(&k->lock);
		have = p->n_maps + p->n_bound;
		plain_lock_drop(&k->lock);
		if (ids)
			mem_free(&k->mem, ids, *room * sizeof(*ids));
		*room = have + 1;
		ids = mem_array(&k->mem, *room, sizeof(*ids));
		if (!ids)
			return NULL;
		plain_lock_take(&k->lock);
		*n = p->n_maps + p->n_bound;
		for (u32 i = 0; i < MIN(*n, *room); i++)
			ids[i] = i < p->n_maps ? p->map_owners[i]->id : p->bound[i - p->n_maps]->id;
		plain_lock_drop(&k->lock);
	} while (*n > *room);
	return ids;
}

/* Where the code of each function is and how long, and the tag of each. */
static int give_functions(struct skep *k, const struct prog *p, struct bpf_prog_info *info)
{
	u32 n = p->n_subprogs, compiled = p->code ? n : 0;
	struct function {
		u64 address;
		u32 bytes;
		u8 tag[BPF_TAG_SIZE];
	};
	struct function *f = mem_array(&k->mem, n + 1, sizeof(*f));
	int err = f ? 0 : -ENOMEM;

	for (u32 i = 0; i < n && !err; i++) {
		u32 start = p->subprogs[i].start, end = i + 1 < n ? p->subprogs[i + 1].start : p->n;

		err = n == 1 ? 0 : prog_tag(p->raw + start, p->insns + start, end - start, &k->mem, f[i].tag);
		if (n == 1)
			memcpy(f[i].tag, p->tag, sizeof(f[i].tag));
		f[i].address = compiled ? (u64)(uintptr_t)p->code->region.base + p->code->func[i].start : 0;
		f[i].bytes = compiled ? prog_code_size(p, i) : 0;
	}
	for (u32 i = 0; i < n && !err; i++) {
		if (i < compiled && i < info->nr_jited_ksyms && info->jited_ksyms)
			STORE_AS(u64, (u8 *)PTR(info->jited_ksyms) + i * sizeof(u64), f[i].address);
		if (i < compiled && i < info->nr_jited_func_lens && info->jited_func_lens)
			STORE_AS(u32, (u8 *)PTR(info->jited_func_lens) + i * sizeof(u32), f[i].bytes);
		if (i < info->nr_prog_tags && info->prog_tags)
			memcpy((u8 *)PTR(info->prog_tags) + i * BPF_TAG_SIZE, f[i].tag, BPF_TAG_SIZE);
	}
	mem_free(&k->mem, f, (n + 1) * sizeof(*f));
	info->nr_jited_ksyms = info->nr_jited_func_lens = compiled;
	info->nr_prog_tags = n;
	return err;
}

/* Records are of one size, which may be left out where none are asked for. */
static bool wrong_records(u32 n, u32 each, u32 known)
{
	return (n || each) && each != known;
}

/* Is there something to give, room for it, and no place? */
static bool no_place(u64 to, u32 room, u32 have)
{
	return !to && room && have;
}

static int check_prog_info(const struct prog *p, const struct bpf_prog_info *in, u32 n_ids)
{
	u32 compiled = p->code ? p->n_subprogs : 0;

	if (no_place(in->map_ids, in->nr_map_ids, n_ids))
		return -EFAULT;
	if (wrong_records(in->nr_func_info, in->func_info_rec_size, sizeof(struct bpf_func_info)) ||
	    wrong_records(in->nr_line_info, in->line_info_rec_size, sizeof(struct bpf_line_info)) ||
	    wrong_records(in->nr_jited_line_info, in->jited_line_info_rec_size, sizeof(u64)))
		return -EINVAL;
	if (no_place(in->xlated_prog_insns, in->xlated_prog_len, p->n) || no_place(in->jited_prog_insns, in->jited_prog_len, compiled) ||
	    no_place(in->jited_ksyms, in->nr_jited_ksyms, compiled) || no_place(in->jited_func_lens, in->nr_jited_func_lens, compiled) ||
	    no_place(in->func_info, in->nr_func_info, p->n_func_info) || no_place(in->line_info, in->nr_line_info, p->n_line_info) ||
	    no_place(in->prog_tags, in->nr_prog_tags, p->n_subprogs))
		return -EFAULT;
	return 0;
}

static int prog_info(struct skep *k, struct obj *o, struct attr_info *a)
{
	struct bpf_prog_info info, in = {0};
	const struct prog *p = o->body;
	u32 *ids, n_ids, room;
	int err = info_read(a, &in, KNOWN(struct bpf_prog_info, attach_btf_id));

	if (err)
		return err;
	ids = map_ids(k, p, &n_ids, &room);
	if (!ids)
		return -ENOMEM;
	err = check_prog_info(p, &in, n_ids);
	if (err) {
		mem_free(&k->mem, ids, room * sizeof(*ids));
		return err;
	}
	info = (struct bpf_prog_info){
		.type = p->type, .id = o->id, .load_time = p->loaded_ns, .created_by_uid = p->loaded_by, .gpl_compatible = p->gpl_compatible, .btf_id = p->btf_id,
		.run_time_ns = atomic_load(&p->run_ns), .run_cnt = atomic_load(&p->run_count), .verified_insns = p->verified_insns,
		.xlated_prog_insns = in.xlated_prog_insns, .xlated_prog_len = in.xlated_prog_len, .map_ids = in.map_ids,
		.nr_map_ids = in.nr_map_ids, .func_info = in.func_info, .nr_func_info = in.nr_func_info,
		.line_info = in.line_info, .nr_line_info = in.nr_line_info,
		.jited_prog_insns = in.jited_prog_insns, .jited_prog_len = in.jited_prog_len,
		.jited_ksyms = in.jited_ksyms, .nr_jited_ksyms = in.nr_jited_ksyms, .jited_func_lens = in.jited_func_lens,
		.nr_jited_func_lens = in.nr_jited_func_lens, .prog_tags = in.prog_tags, .nr_prog_tags = in.nr_prog_tags,
		.jited_line_info = in.jited_line_info, .jited_line_info_rec_size = sizeof(u64),
		.ifindex = in.ifindex, .netns_dev = in.netns_dev, .netns_ino = in.netns_ino, /* the caller's, but for programs on devices */
		.func_info_rec_size = sizeof(struct bpf_func_info), .line_info_rec_size = sizeof(struct bpf_line_info),
	};
	memcpy(info.name, p->name, sizeof(info.name));
	memcpy(info.tag, p->tag, sizeof(info.tag));
	give_insns(p, info.xlated_prog_insns, &info.xlated_prog_len);
	give_array(info.jited_prog_insns, &info.jited_prog_len, p->code ? p->code->region.base : NULL, p->code ? p->code->size : 0, 1);
	give_array(info.map_ids, &info.nr_map_ids, ids, n_ids, sizeof(*ids));
	give_array(info.func_info, &info.nr_func_info, p->func_info, p->n_func_info, sizeof(struct bpf_func_info));
	give_array(info.line_info, &info.nr_line_info, p->line_info, p->n_line_info, sizeof(struct bpf_line_info));
	mem_free(&k->mem, ids, room * sizeof(*ids));
	err = give_functions(k, p, &info);
	return err ? err : info_write(a, &info, sizeof(info));
}

static int btf_info(struct obj *o, struct attr_info *a)
{
	const struct btf_obj *b = o->body;
	struct bpf_btf_info info;
	u32 n;
	int err = info_read(a, &info, sizeof(info));

	if (err)
		return err;
	n = MIN(info.btf_size, b->btf.size);
	if (no_place(info.btf, info.btf_size, b->btf.size))
		return -EFAULT;
	if (info.btf)
		memcpy(PTR(info.btf), b->btf.data, n);
	info.btf_size = b->btf.size;
	info.id = o->id;
	info.kernel_btf = b->btf.kernel;
	if (!info.name != !info.name_len)
		return -EINVAL;
	n = (u32)strlen(b->name);
	if (info.name) {
		u32 copied = MIN(n, info.name_len - 1);

		memcpy(PTR(info.name), b->name, copied);
		((char *)PTR(info.name))[copied] = 0;
		err = copied < n ? -ENOSPC : 0;
	}
	info.name_len = n;
	info_write(a, &info, sizeof(info));
	return err;
}

int sys_obj_info(struct sys_call *c)
{
	struct attr_info *a = c->attr;
	struct obj *o;
	int err = obj_by_fd(c->k, (int)a->bpf_fd, 0, 0, &o);

	if (err)
		return err == -EINVAL ? -EINVAL : -EBADFD;
	switch ((enum obj_type)o->type) {
	case OBJ_MAP: err = map_info(o, a); break;
	case OBJ_PROG: err = prog_info(c->k, o, a); break;
	case OBJ_BTF: err = btf_info(o, a); break;
	case OBJ_LINK: err = link_info(o, a); break;
	default: err = -EINVAL; break;
	}
	obj_put(o);
	return err;
}
