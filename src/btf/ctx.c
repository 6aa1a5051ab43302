/* SPDX-License-Identifier: BSD-2-Clause */
/* The contexts of program types, by name: a program describes its own context type, so names are all that can be compared. */
#include "btf/btf.h"

#include <linux/bpf.h>

const char *btf_ctx_name(u32 prog_type, bool kernel)
{
	static const struct {
		u32 type;
		const char *prog, *kernel;
	} names[] = {
#define CTX(type, prog, kernel) {type, prog, kernel},
#include "btf/ctx_types.def"
	};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].type == prog_type)
			return kernel ? names[i].kernel : names[i].prog;
	return NULL;
}

s32 btf_kernel_ctx(const struct btf *kernel, u32 prog_type)
{
	const char *name = btf_ctx_name(prog_type, true);

	return kernel && name && *name ? btf_find(kernel, name, BTF_KIND_STRUCT) : -EINVAL;
}

/* The typedef that stands for a probe's registers: it hides which struct they are. */
static bool is_user_regs(const struct btf *b, u32 id)
{
	const struct btf_type *t = btf_type(b, id);

	while (btf_is_modifier(t) && btf_kind_of(t) != BTF_KIND_TYPEDEF)
		t = btf_type(b, t->type);
	return btf_kind_of(t) == BTF_KIND_TYPEDEF && !strcmp(btf_name_of(b, t), "bpf_user_pt_regs_t");
}

bool btf_is_ctx(const struct btf *b, const struct btf_type *ptr, u32 prog_type, u32 arg, struct text *log)
{
	const struct btf_type *t = btf_skip_modifiers(b, ptr->type, NULL);
	const char *want = btf_ctx_name(prog_type, false), *name;

	(void)arg;
	(void)log;
	if (prog_type == BPF_PROG_TYPE_KPROBE && is_user_regs(b, ptr->type))
		return true;
	if (!btf_is_struct(t) || !want || !*want)
		return false;
	name = btf_name_of(b, t);
	if (!strcmp(want, "__sk_buff") || !strcmp(want, "xdp_md"))
		return !strcmp(name, want) || !strcmp(name, *want == 'x' ? "xdp_buff" : "sk_buff");
	return !strcmp(name, want) || (prog_type == BPF_PROG_TYPE_KPROBE && !strcmp(name, "bpf_user_pt_regs_t"));
}

static bool struct_named(const struct btf *b, const struct btf_type *t, const char *name)
{
	return btf_kind_of(t) == BTF_KIND_STRUCT && !strcmp(btf_name_of(b, t), name);
}

/* Types of context that a program type takes besides its own. */
static bool also_ctx(const struct btf *b, const struct btf_type *t, u32 prog_type, u32 attach_type)
{
	static const char iter[] = "bpf_iter__";
	bool u64_ptr = btf_is_int(t) && t->size == 8;

	switch (prog_type) {
	case BPF_PROG_TYPE_KPROBE:
	case BPF_PROG_TYPE_PERF_EVENT: return struct_named(b, t, "pt_regs");
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE:
	case BPF_PROG_TYPE_LSM:
	case BPF_PROG_TYPE_STRUCT_OPS: return u64_ptr;
	case BPF_PROG_TYPE_TRACEPOINT:
	case BPF_PROG_TYPE_SYSCALL:
	case BPF_PROG_TYPE_EXT: return true;
	case BPF_PROG_TYPE_TRACING:
		if (attach_type == BPF_TRACE_RAW_TP)
			return u64_ptr || struct_named(b, t, "bpf_raw_tracepoint_args");
		if (attach_type == BPF_TRACE_ITER)
			return btf_kind_of(t) == BTF_KIND_STRUCT && !strncmp(btf_name_of(b, t), iter, sizeof(iter) - 1);
		return u64_ptr && (attach_type == BPF_TRACE_FENTRY || attach_type == BPF_TRACE_FEXIT || attach_type == BPF_MODIFY_RETURN);
	default: return false;
	}
}

int btf_ctx_tag_check(const struct btf *b, const struct btf_type *t, u32 prog_type, u32 attach_type, u32 arg, struct text *log)
{
	const char *want = btf_ctx_name(prog_type, false);
	u32 id;

	if (!btf_is_ptr(t))
		return text_refuse(log, -EINVAL, "arg#%u type isn't a pointer", arg);
	id = t->type;
	if ((prog_type == BPF_PROG_TYPE_KPROBE || prog_type == BPF_PROG_TYPE_PERF_EVENT) && is_user_regs(b, id))
		return 0;
	t = btf_skip_modifiers(b, id, NULL);
	if (!t) /* void * always will do */
		return 0;
	if (!*btf_name_of(b, t))
		return text_refuse(log, -EINVAL, "arg#%u type doesn't have a name", arg);
	if (also_ctx(b, t, prog_type, attach_type))
		return 0;
	if (!want || !*want)
		return text_refuse(log, -EINVAL, "arg#%u should be void pointer", arg);
	if (!struct_named(b, t, want))
		return text_refuse(log, -EINVAL, "arg#%u should be `struct %s *`", arg, want);
	return 0;
}
