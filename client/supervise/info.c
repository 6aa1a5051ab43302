/* SPDX-License-Identifier: BSD-2-Clause */
/* OBJ_GET_INFO_BY_FD: the struct that the attr points to names arrays of the client's itself. */
#include "client/supervise/transport.h"

#include <linux/bpf.h>

enum { UPROBE_MULTI = 12 }; /* BPF_LINK_TYPE_UPROBE_MULTI */

struct nested {
	u32 type; /* enum obj_type */
	u32 pointer, count; /* offsets in the info */
	u32 each; /* bytes of an element; 0: a u32 at `record` says */
	u32 record;
	u32 link; /* enum bpf_link_type; 0: not of links */
};

#define PROG(ptr, n, each_)    {OBJ_PROG, offsetof(struct bpf_prog_info, ptr), offsetof(struct bpf_prog_info, n), each_, 0, 0}
#define RECORDS(ptr, n, size_) {OBJ_PROG, offsetof(struct bpf_prog_info, ptr), offsetof(struct bpf_prog_info, n), 0, offsetof(struct bpf_prog_info, size_), 0}

static const struct nested arrays[] = {
	PROG(jited_prog_insns, jited_prog_len, 1),
	PROG(xlated_prog_insns, xlated_prog_len, 1),
	PROG(map_ids, nr_map_ids, sizeof(u32)),
	PROG(jited_ksyms, nr_jited_ksyms, sizeof(u64)),
	PROG(jited_func_lens, nr_jited_func_lens, sizeof(u32)),
	RECORDS(func_info, nr_func_info, func_info_rec_size),
	RECORDS(line_info, nr_line_info, line_info_rec_size),
	RECORDS(jited_line_info, nr_jited_line_info, jited_line_info_rec_size),
	PROG(prog_tags, nr_prog_tags, BPF_TAG_SIZE),
	{OBJ_MAP, 88, 96, 1, 0, 0}, /* the hash of its contents */
	{OBJ_BTF, offsetof(struct bpf_btf_info, btf), offsetof(struct bpf_btf_info, btf_size), 1, 0, 0},
	{OBJ_BTF, offsetof(struct bpf_btf_info, name), offsetof(struct bpf_btf_info, name_len), 1, 0, 0},
	/* what a link is attached to; offsets that are not in all versions of the header */
	{OBJ_LINK, offsetof(struct bpf_link_info, raw_tracepoint.tp_name), offsetof(struct bpf_link_info, raw_tracepoint.tp_name_len), 1, 0, BPF_LINK_TYPE_RAW_TRACEPOINT},
	{OBJ_LINK, 24, 32, 1, 0, BPF_LINK_TYPE_PERF_EVENT},
	{OBJ_LINK, 16, 48, 1, 0, UPROBE_MULTI},
	{OBJ_LINK, 24, 52, 8, 0, UPROBE_MULTI},
	{OBJ_LINK, 32, 52, 8, 0, UPROBE_MULTI},
	{OBJ_LINK, 40, 52, 8, 0, UPROBE_MULTI},
};

static bool lies_in(const struct copy *info, const struct nested *n)
{
	return n->pointer + sizeof(u64) <= info->size && n->count + sizeof(u32) <= info->size &&
	       (n->each || n->record + sizeof(u32) <= info->size);
}

/* Half of an address of the client's must not become one of ours. */
static void drop_pointer(struct copy *info, const struct nested *n)
{
	if (n->pointer < info->size)
		memset(info->local + n->pointer, 0, MIN(sizeof(u64), info->size - n->pointer));
}

int transport_info(struct transport *t)
{
	struct attr_info *a = (struct attr_info *)(void *)t->attr;
	struct {
		u64 remote, local;
	} was[ARRAY_SIZE(arrays)] = {0};
	struct copy *info = NULL;
	int ret;

	for (u32 i = 0; i < t->n_copies; i++)
		if ((u64)(uintptr_t)t->copies[i].local == a->info)
			info = &t->copies[i];
	for (u32 i = 0; info && t->object && i < ARRAY_SIZE(arrays); i++) {
		const struct nested *n = &arrays[i];
		u64 remote, each, count;
		struct copy *c;

		if (n->type != t->object->type || (n->link && n->link != link_type(t->object)))
			continue;
		if (!lies_in(info, n)) {
			drop_pointer(info, n);
			continue;
		}
		remote = LOAD_AS(u64, info->local + n->pointer);
		count = LOAD_AS(u32, info->local + n->count);
		each = n->each ? n->each : LOAD_AS(u32, info->local + n->record);
		if (!remote || !count || !each)
			continue;
		c = transport_copy(t, remote, count * each, COPY_BOTH);
		if (!c)
			return t->error;
		was[i].remote = remote;
		was[i].local = (u64)(uintptr_t)c->local;
		STORE_AS(u64, info->local + n->pointer, was[i].local);
	}
	ret = skep_bpf(t->call->s->k, t->cmd, (union bpf_attr *)(void *)t->attr, t->size);
	for (u32 i = 0; i < ARRAY_SIZE(arrays); i++)
		if (was[i].remote && LOAD_AS(u64, info->local + arrays[i].pointer) == was[i].local)
			STORE_AS(u64, info->local + arrays[i].pointer, was[i].remote);
	return ret;
}
