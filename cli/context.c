/* SPDX-License-Identifier: BSD-2-Clause */
/* What type of program a function is, by what its section begins with or the struct that its argument points to. */
#include "cli/mend.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>

/* Behind const, volatile, typedef; NULL when there is no end to them. */
static const struct btf_type *skip_modifiers(const struct btf *btf, u32 id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	for (u32 i = 0; t && btf_is_mod(t) && i < 64; i++)
		t = btf__type_by_id(btf, t->type);
	return t && !btf_is_mod(t) ? t : NULL;
}

/* The struct that the program's argument points to; NULL: it tells nothing. */
static const char *context_of(const struct btf *btf, const char *func)
{
	int id = btf ? btf__find_by_name_kind(btf, func, BTF_KIND_FUNC) : -1;
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, btf__type_by_id(btf, (u32)id)->type) : NULL;

	if (!t || !btf_is_func_proto(t) || !btf_vlen(t))
		return NULL;
	t = skip_modifiers(btf, btf_params(t)[0].type);
	t = t && btf_is_ptr(t) ? skip_modifiers(btf, t->type) : NULL;
	return t && btf_is_struct(t) ? btf__name_by_offset(btf, t->name_off) : NULL;
}

/* A section that means as much as the type of the context does; NULL: it tells nothing. */
static const char *section_by_context(const struct btf *btf, const char *func)
{
	const char *context = context_of(btf, func);
	static const char *const known[][2] = {
		{"__sk_buff", "tc"},
		{"xdp_md", "xdp"},
		{"sk_msg_md", "sk_msg"},
		{"bpf_sock_ops", "sockops"},
		{"bpf_sock", "cgroup/post_bind4"},
		{"bpf_sock_addr", "cgroup/bind4"},
		{"bpf_sysctl", "cgroup/sysctl"},
		{"bpf_sockopt", "cgroup/setsockopt"},
		{"bpf_sk_lookup", "sk_lookup"},
		{"bpf_cgroup_dev_ctx", "cgroup/dev"},
		{"sk_reuseport_md", "sk_reuseport"},
		{"pt_regs", "kprobe"},
		{"bpf_perf_event_data", "perf_event"},
		{"bpf_raw_tracepoint_args", "raw_tp"},
	};

	for (u32 i = 0; context && i < ARRAY_SIZE(known); i++)
		if (!strcmp(context, known[i][0]))
			return known[i][1];
	return NULL;
}

/* "socket" of "socket/tail", if that is a section that programs may lie in. */
static bool section_begins(const char *own, char *section, size_t size)
{
	const char *slash = strchr(own, '/');
	enum bpf_attach_type attach;
	enum bpf_prog_type type;

	if (!slash || (size_t)(slash - own) >= size || !strncmp(own, SECTION_REPLACES, strlen(SECTION_REPLACES)))
		return false;
	memcpy(section, own, (size_t)(slash - own));
	section[slash - own] = 0;
	return !libbpf_prog_type_by_name(section, &type, &attach);
}

/* What "xdp_prog" and "socket1" meant before libbpf 1.0: the first letters told the type, where the context is none of another. NULL: they tell nothing. */
static const char *section_by_letters(const struct btf *btf, const char *own, const char *func)
{
	static const struct {
		const char *begins, *section, *context;
	} known[] = {
		{"xdp_devmap/", "xdp/devmap", "xdp_md"},
		{"xdp_cpumap/", "xdp/cpumap", "xdp_md"},
		{"xdp", "xdp", "xdp_md"},
		{"classifier", "tc", "__sk_buff"},
		{"action", "action", "__sk_buff"},
		{"socket", "socket", "__sk_buff"},
		{"sk_skb", "sk_skb", "__sk_buff"},
		{"lwt_in", "lwt_in", "__sk_buff"},
		{"lwt_out", "lwt_out", "__sk_buff"},
		{"lwt_xmit", "lwt_xmit", "__sk_buff"},
		{"lwt_seg6local", "lwt_seg6local", "__sk_buff"},
		{"flow_dissector", "flow_dissector", "__sk_buff"},
		{"sk_msg", "sk_msg", "sk_msg_md"},
		{"sockops", "sockops", "bpf_sock_ops"},
		{"sk_reuseport", "sk_reuseport", "sk_reuseport_md"},
		{"perf_event", "perf_event", "bpf_perf_event_data"},
	};
	const char *context = context_of(btf, func);

	for (u32 i = 0; i < ARRAY_SIZE(known); i++)
		if (!strncmp(own, known[i].begins, strlen(known[i].begins)) && (!context || !strcmp(context, known[i].context)))
			return known[i].section;
	return NULL;
}

bool type_by_context(const struct btf *btf, struct bpf_program *p, char note[CONTEXT_NOTE])
{
	const char *own = bpf_program__section_name(p), *lacks = "is unknown", *by = "name", *section;
	enum bpf_attach_type attach;
	enum bpf_prog_type type;
	char begins[64];

	section = section_begins(own, begins, sizeof(begins)) ? begins : section_by_letters(btf, own, bpf_program__name(p));
	if (!section) {
		section = section_by_context(btf, bpf_program__name(p));
		by = "context";
	}
	if (!section || libbpf_prog_type_by_name(section, &type, &attach))
		return false;
	bpf_program__set_type(p, type);
	bpf_program__set_expected_attach_type(p, attach);
	if (!strncmp(own, SECTION_REPLACES, strlen(SECTION_REPLACES)))
		lacks = "does not tell the type of what it replaces";
	else if (!strcmp(own, SECTION_TEXT))
		lacks = "names no type of program";
	snprintf(note, CONTEXT_NOTE, "section \"%s\" %s: taken for %s from its %s", strcmp(own, SECTION_TEXT) ? own : ".text", lacks, section, by);
	return true;
}
