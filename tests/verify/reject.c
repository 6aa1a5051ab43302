/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Refusals: the programs of reject/, each with the rule that refuses it. Every code of src/verify/errors.def
 * must be provoked by one of them, or be named by an "open" line, which in turn must not be provoked. Where
 * bpf() answers, the running kernel gets the same program: its errno must be the same, and its log must hold
 * the same line.
 *
 *     -- case NAME
 *     -- type TYPE               socket (the default), xdp, tc, tracepoint, kprobe, syscall, raw_tp
 *     -- flags N                 of PROG_LOAD
 *     -- license TEXT            GPL is the default
 *     -- unprivileged            not compared with the kernel
 *     -- kernel tiny             the engine's kernel is one of few types; not compared
 *     -- attach TYPE [FUNCTION]  expected attach type, the function of the kernel that is attached to
 *     -- map TYPE KEY VALUE ENTRIES [FLAGS [STRUCT]]    map[fd:N] in the program is the Nth; STRUCT: type of
 * VALUE (special: lock, timer, kptrs; list, tree: with a lock; queued: a resilient lock)
 *     -- fill TEXT               the first value of the latest map, which is frozen then
 *     -- func NAME SLOT static|global [int|ctx|pointer]...    BTF of a function
 *     -- tag TEXT                a declaration tag of the first function
 *     -- raw                     then instructions as numbers: code, registers, offset, immediate
 *     -- asm                     then the program; kfunc:NAME is the id of a function of the kernel,
 * type:NAME that of a struct, local:node and local:other those of types of the program; "@N LINE" is LINE N
 * times
 *     -- reject CODE @SLOT [ERRNO]
 *     -- why REG NEEDED PROVED LOST_AT    what the refusal says as data; "-": nothing
 *     -- once ERRNO              what earlier kernels gave
 *     -- safe accept             skep's own limits are not reached
 *     -- says TEXT               the kernel's line, the first if there are several
 *     -- unlike REASON           Linux says something else, or nothing: why
 *     -- open CODE REASON        no program provokes it: skep itself would have to be wrong, or without
 * memory
 */
#include "engine/engine.h"
#include "isa/isa.h"
#include "verify/state.h"

#include "../btf/build.h"
#include "../kernel.h"
#include "complete.h"
#include "../host.h"

#include "skep/skep.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { MAPS_MOST = 4, FUNCS_MOST = 8, TEXT_BYTES = 1 << 19, INSNS_MOST = 1 << 15, LOG_BYTES = 1 << 20 };

struct test_case {
	char name[96], text[TEXT_BYTES], license[32], code[48], says[256], unlike[160], tag[64], target[64];
	u32 type, flags, attach_type, n_maps, n_funcs;
	bool unprivileged, wants, tiny, safe_accepts;
	struct {
		u32 type, key, value, entries, flags, value_type;
		char fill[64];
	} map[MAPS_MOST];
	struct {
		char name[32];
		u32 slot, n_args, args[5];
		bool global;
	} func[FUNCS_MOST];
	struct raw_insn raw[8];
	u32 n_raw, at;
	char why[4][24]; /* register, needed, proved, lost at */
	int err, once;
	int line;
};

static const char *const *files;
static u32 n_files;
static struct skep *k, *tiny; /* of a kernel of few types */
static bool kernel, show;
static bool provoked[REJECT_CODES], open_code[REJECT_CODES];
static u32 cases, compared, whys;
static char *log_text;

static u32 code_by_name(const char *name)
{
	for (u32 i = 1; i < REJECT_CODES; i++)
		if (!strcmp(reject_name(i), name))
			return i;
	return 0;
}

static int errno_by_name(const char *s)
{
	static const struct {
		const char *name;
		int err;
	} names[] = {{"EINVAL", EINVAL}, {"EACCES", EACCES},	    {"E2BIG", E2BIG},	{"EPERM", EPERM},
		     {"EFAULT", EFAULT}, {"ENOTSUPP", 524},	    {"ENOENT", ENOENT}, {"EBUSY", EBUSY},
		     {"ENOMEM", ENOMEM}, {"EOPNOTSUPP", EOPNOTSUPP}};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i].name, s))
			return names[i].err;
	return 0;
}

static u32 type_by_name(const char *s)
{
	static const struct {
		const char *name;
		u32 type;
	} names[] = {{"socket", BPF_PROG_TYPE_SOCKET_FILTER},
		     {"xdp", BPF_PROG_TYPE_XDP},
		     {"tc", BPF_PROG_TYPE_SCHED_CLS},
		     {"tracepoint", BPF_PROG_TYPE_TRACEPOINT},
		     {"kprobe", BPF_PROG_TYPE_KPROBE},
		     {"syscall", BPF_PROG_TYPE_SYSCALL},
		     {"raw_tp", BPF_PROG_TYPE_RAW_TRACEPOINT},
		     {"cgroup_skb", BPF_PROG_TYPE_CGROUP_SKB},
		     {"sock_ops", BPF_PROG_TYPE_SOCK_OPS},
		     {"raw_tp_writable", BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE},
		     {"flow_dissector", BPF_PROG_TYPE_FLOW_DISSECTOR},
		     {"sysctl", BPF_PROG_TYPE_CGROUP_SYSCTL},
		     {"perf_event", BPF_PROG_TYPE_PERF_EVENT},
		     {"lsm", BPF_PROG_TYPE_LSM}};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i].name, s))
			return names[i].type;
	return UINT32_MAX;
}

static u32 map_by_name(const char *s)
{
	static const struct {
		const char *name;
		u32 type;
	} names[] = {{"hash", BPF_MAP_TYPE_HASH},
		     {"array", BPF_MAP_TYPE_ARRAY},
		     {"prog_array", BPF_MAP_TYPE_PROG_ARRAY},
		     {"ringbuf", BPF_MAP_TYPE_RINGBUF},
		     {"queue", BPF_MAP_TYPE_QUEUE},
		     {"percpu_array", BPF_MAP_TYPE_PERCPU_ARRAY},
		     {"perf", BPF_MAP_TYPE_PERF_EVENT_ARRAY}};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i].name, s))
			return names[i].type;
	return UINT32_MAX;
}

/* ---- BTF: values of maps, nodes, functions ---- */

enum {
	T_INT = 1,
	T_VOID_PTR,
	T_SKB,
	T_SKB_PTR,
	T_LOCK,
	T_TIMER,
	T_U64,
	T_TASK,
	T_UNTRUSTED,
	T_PTR_UNTRUSTED,
	T_KPTR,
	T_PTR_KPTR,
	T_SPECIAL,
	T_LIST_HEAD,
	T_LIST_NODE,
	T_RB_ROOT,
	T_RB_NODE,
	T_REFCOUNT,
	T_NODE,
	T_OTHER,
	T_LIST,
	T_LIST_TAG,
	T_TREE,
	T_TREE_TAG,
	T_QUEUED_LOCK,
	T_QUEUED,
	T_FUNCS
};
static const struct {
	const char *name;
	u32 id;
} locals[] = {{"special", T_SPECIAL}, {"list", T_LIST}, {"tree", T_TREE},
	      {"queued", T_QUEUED},   {"node", T_NODE}, {"other", T_OTHER}};

static u32 local_by_name(const char *s)
{
	for (u32 i = 0; i < ARRAY_SIZE(locals); i++)
		if (!strcmp(locals[i].name, s))
			return locals[i].id;
	return 0;
}

static void words_of(struct build *b, const char *name, u32 words)
{
	static const char *const names[] = {"a", "b", "c", "d"};

	build_type(b, name, BTF_KIND_STRUCT, words, 0, words * 8);
	for (u32 i = 0; i < words; i++)
		build_member(b, names[i], T_U64, i * 64);
}

static void values_of(struct build *b)
{
	build_type(b, "special", BTF_KIND_STRUCT, 5, 0, 64);
	build_member(b, "lock", T_LOCK, 0);
	build_member(b, "timer", T_TIMER, 64);
	build_member(b, "loose", T_PTR_UNTRUSTED, 24 * 8);
	build_member(b, "kptr", T_PTR_KPTR, 32 * 8);
	build_member(b, "data", T_U64, 40 * 8);
	words_of(b, "bpf_list_head", 2);
	words_of(b, "bpf_list_node", 3);
	words_of(b, "bpf_rb_root", 2);
	words_of(b, "bpf_rb_node", 4);
	build_type(b, "bpf_refcount", BTF_KIND_STRUCT, 1, 0, 4);
	build_member(b, "val", T_INT, 0);
	build_type(b, "node", BTF_KIND_STRUCT, 4, 0, 72);
	build_member(b, "in_list", T_LIST_NODE, 0);
	build_member(b, "in_tree", T_RB_NODE, 24 * 8);
	build_member(b, "count", T_REFCOUNT, 56 * 8);
	build_member(b, "data", T_U64, 64 * 8);
	build_type(b, "other", BTF_KIND_STRUCT, 2, 0, 32);
	build_member(b, "data", T_U64, 0);
	build_member(b, "in_list", T_LIST_NODE, 8 * 8);
	build_type(b, "list", BTF_KIND_STRUCT, 2, 0, 24);
	build_member(b, "lock", T_LOCK, 0);
	build_member(b, "head", T_LIST_HEAD, 64);
	build_tag(b, "contains:node:in_list", T_LIST, 1);
	build_type(b, "tree", BTF_KIND_STRUCT, 2, 0, 24);
	build_member(b, "lock", T_LOCK, 0);
	build_member(b, "root", T_RB_ROOT, 64);
	build_tag(b, "contains:node:in_tree", T_TREE, 1);
	build_type(b, "bpf_res_spin_lock", BTF_KIND_STRUCT, 1, 0, 4);
	build_member(b, "val", T_INT, 0);
	build_type(b, "queued", BTF_KIND_STRUCT, 1, 0, 8);
	build_member(b, "lock", T_QUEUED_LOCK, 0);
}

static void types_of(const struct test_case *t, struct build *b, struct bpf_func_info *info)
{
	build_open(b);
	build_int(b, "int", 4);
	build_type(b, "", BTF_KIND_PTR, 0, 0, 0);
	build_type(b, "__sk_buff", BTF_KIND_STRUCT, 1, 0, 4);
	build_member(b, "len", T_INT, 0);
	build_type(b, "", BTF_KIND_PTR, 0, 0, T_SKB);
	build_type(b, "bpf_spin_lock", BTF_KIND_STRUCT, 1, 0, 4);
	build_member(b, "val", T_INT, 0);
	words_of(b, "bpf_timer", 2);
	build_int(b, "long", 8);
	build_type(b, "task_struct", BTF_KIND_STRUCT, 0, 0, 4);
	build_type(b, "kptr_untrusted", BTF_KIND_TYPE_TAG, 0, 0, T_TASK);
	build_type(b, "", BTF_KIND_PTR, 0, 0, T_UNTRUSTED);
	build_type(b, "kptr", BTF_KIND_TYPE_TAG, 0, 0, T_TASK);
	build_type(b, "", BTF_KIND_PTR, 0, 0, T_KPTR);
	values_of(b);
	for (u32 i = 0; i < t->n_funcs; i++) {
		u32 proto = build_type(b, "", BTF_KIND_FUNC_PROTO, t->func[i].n_args, 0, T_INT);
		char arg[12];

		for (u32 j = 0; j < t->func[i].n_args; j++) {
			snprintf(arg, sizeof(arg), "a%u", j);
			build_param(b, arg, t->func[i].args[j]);
		}
		info[i].insn_off = t->func[i].slot;
		info[i].type_id = build_type(b, t->func[i].name, BTF_KIND_FUNC,
					     t->func[i].global ? BTF_FUNC_GLOBAL : BTF_FUNC_STATIC, 0, proto);
	}
	if (t->tag[0])
		build_tag(b, t->tag, info[0].type_id, -1);
	build_close(b);
}

/* A kernel that has few types: one function, which programs may call but whose result they cannot use. */
static struct skep *open_tiny(void)
{
	static struct build b;
	static char path[64];
	struct skep_options opts = {.size = sizeof(opts), .kernel_btf = path};
	struct skep *out = NULL;
	u32 proto;

	build_open(&b);
	build_int(&b, "int", 4);
	build_type(&b, "pair", BTF_KIND_STRUCT, 0, 0, 16);
	proto = build_type(&b, "", BTF_KIND_FUNC_PROTO, 1, 0, 2);
	build_param(&b, "pid", 1);
	build_type(&b, "bpf_task_from_pid", BTF_KIND_FUNC, BTF_FUNC_STATIC, 0, proto);
	build_close(&b);
	file_of(path, b.bytes, b.size);
	if (!*path || skep_open(&out, &opts) || !kernel_btf(out)) /* which opens the file */
		out = NULL;
	unlink(path);
	return out;
}

/* ---- one side: an engine, or the running kernel ---- */

static int side_bpf(struct skep *side, int cmd, union bpf_attr *a)
{
	return side ? skep_bpf(side, cmd, a, sizeof(*a)) : kernel_bpf(cmd, a, sizeof(*a));
}

struct loaded {
	int err; /* 0 or -errno */
	struct skep_check check;
};

static int fill_map(struct skep *side, int fd, const char *fill, u32 size)
{
	union bpf_attr a;
	char value[256] = "";
	u32 key = 0;
	int err;

	snprintf(value, MIN(sizeof(value), size), "%s", fill);
	memset(&a, 0, sizeof(a));
	a.map_fd = (u32)fd;
	a.key = (u64)(uintptr_t)&key;
	a.value = (u64)(uintptr_t)value;
	err = side_bpf(side, BPF_MAP_UPDATE_ELEM, &a);
	memset(&a, 0, sizeof(a));
	a.map_fd = (u32)fd;
	return err ? err : side_bpf(side, BPF_MAP_FREEZE, &a);
}

static int open_maps(const struct test_case *t, struct skep *side, int btf, int *fd)
{
	for (u32 i = 0; i < t->n_maps; i++) {
		union bpf_attr a;

		memset(&a, 0, sizeof(a));
		a.map_type = t->map[i].type;
		a.key_size = t->map[i].key;
		a.value_size = t->map[i].value;
		a.max_entries = t->map[i].entries;
		a.map_flags = t->map[i].flags;
		if (t->map[i].value_type) {
			a.btf_fd = (u32)btf;
			a.btf_key_type_id = T_INT;
			a.btf_value_type_id = t->map[i].value_type;
		}
		fd[i] = side_bpf(side, BPF_MAP_CREATE, &a);
		if (fd[i] < 0)
			return fd[i];
		if (t->map[i].fill[0] && fill_map(side, fd[i], t->map[i].fill, t->map[i].value))
			return -EINVAL;
	}
	return 0;
}

/* side: an engine; NULL: the running kernel */
static struct loaded load(const struct test_case *t, const struct raw_insn *raw, u32 n, struct skep *side)
{
	static struct build b;
	static struct raw_insn insns[INSNS_MOST];
	struct bpf_func_info info[FUNCS_MOST];
	int fd[MAPS_MOST] = {-1, -1, -1, -1}, btf = -1, err;
	struct loaded out = {.check = {.size = sizeof(out.check)}};
	union bpf_attr a;

	types_of(t, &b, info);
	log_text[0] = 0;
	memset(&a, 0, sizeof(a));
	a.btf = (u64)(uintptr_t)b.bytes;
	a.btf_size = b.size;
	a.btf_log_buf = (u64)(uintptr_t)log_text;
	a.btf_log_size = LOG_BYTES;
	a.btf_log_level = 1;
	btf = side_bpf(side, BPF_BTF_LOAD, &a);
	err = btf < 0 ? btf : open_maps(t, side, btf, fd);
	if (err)
		test_fail(__FILE__, __LINE__, "%s: %s: no maps or types: %d: %s", t->name,
			  side ? "skep" : "linux", err, log_text);
	memcpy(insns, raw, n * sizeof(*raw));
	for (u32 i = 0; i < n; i++)
		if (insns[i].code == 0x18 &&
		    (insns[i].regs >> 4 == BPF_PSEUDO_MAP_FD || insns[i].regs >> 4 == BPF_PSEUDO_MAP_VALUE))
			insns[i].imm = fd[insns[i].imm & (MAPS_MOST - 1)];
	memset(&a, 0, sizeof(a));
	a.prog_type = t->type;
	a.insns = (u64)(uintptr_t)insns;
	a.insn_cnt = n;
	a.license = (u64)(uintptr_t)t->license;
	a.prog_flags = t->flags;
	a.expected_attach_type = t->attach_type;
	if (t->target[0])
		a.attach_btf_id = (u32)MAX(btf_find(kernel_btf(k), t->target, BTF_KIND_FUNC), 0);
	if (t->n_funcs) {
		a.prog_btf_fd = (u32)btf;
		a.func_info = (u64)(uintptr_t)info;
		a.func_info_cnt = t->n_funcs;
		a.func_info_rec_size = sizeof(info[0]);
	}
	log_text[0] = 0;
	a.log_level = 1;
	a.log_buf = (u64)(uintptr_t)log_text;
	a.log_size = LOG_BYTES;
	if (side) {
		skep_set_unprivileged(side, t->unprivileged);
		out.err = skep_prog_check(side, &a, sizeof(a), &out.check);
		skep_set_unprivileged(side, 0);
	} else {
		out.err = kernel_bpf(BPF_PROG_LOAD, &a, sizeof(a));
		if (out.err == -ENOSPC) { /* too much to say: the end of the log is what remains */
			a.log_level = a.log_size = 0;
			a.log_buf = 0;
			out.err = kernel_bpf(BPF_PROG_LOAD, &a, sizeof(a));
		}
	}
	if (out.err >= 0) {
		close(out.err);
		out.err = 0;
	}
	for (u32 i = 0; i < t->n_maps; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	if (btf >= 0)
		close(btf);
	return out;
}

/* ---- one case ---- */

/* kfunc:NAME, type:NAME and local:NAME become ids. */
static bool expand(const struct test_case *t, char *out, size_t size)
{
	const struct btf *types = kernel_btf(t->tiny ? tiny : k);
	const char *p = t->text;
	size_t n = 0;

	while (*p && n + 32 < size) {
		bool local = !strncmp(p, "local:", 6);
		u32 kind = !strncmp(p, "kfunc:", 6)  ? BTF_KIND_FUNC
			   : !strncmp(p, "type:", 5) ? BTF_KIND_STRUCT
						     : 0;
		char name[64];
		size_t len;
		s32 id;

		if (!kind && !local) {
			out[n++] = *p++;
			continue;
		}
		p = strchr(p, ':') + 1;
		len = strspn(p, "abcdefghijklmnopqrstuvwxyz_0123456789");
		snprintf(name, sizeof(name), "%.*s", (int)len, p);
		p += len;
		id = local ? (s32)local_by_name(name) : types ? btf_find(types, name, kind) : -1;
		if (id < 0)
			return false;
		n += (size_t)snprintf(out + n, size - n, "%d", id);
	}
	out[n] = 0;
	return true;
}

static bool log_has_line(const char *line)
{
	size_t len = strlen(line);

	for (const char *p = log_text; (p = strstr(p, line)); p++)
		if (p[len] == '\n' || !strncmp(p + len, "processed ", 10)) /* not all of Linux's lines end */
			return true;
	return false;
}

static void compare(const struct test_case *t, const struct raw_insn *raw, u32 n, int err,
		    const char *message)
{
	struct loaded theirs;

	if (!kernel || t->unprivileged || t->tiny)
		return;
	compared++;
	theirs = load(t, raw, n, NULL);
	if (t->unlike[0]) {
		if (theirs.err == err && log_has_line(message))
			test_fail(__FILE__, __LINE__, "%s: said to be unlike Linux, and is like it", t->name);
		return;
	}
	if (theirs.err == -EPERM && t->target[0]) { /* a kernel that was started without that kind of hook */
		printf("# %s: the running kernel does not load such programs\n", t->name);
		return;
	}
	if (theirs.err != err && (!t->once || theirs.err != -t->once))
		test_fail(__FILE__, __LINE__, "%s: Linux gives %d, skep %d; Linux's log:\n# %s", t->name,
			  theirs.err, err, log_text);
	else if (!log_has_line(message))
		test_fail(__FILE__, __LINE__, "%s: Linux does not say \"%s\" but\n# %s", t->name, message,
			  log_text);
}

static void why_of(const struct skep_verdict *v, char why[4][24])
{
	for (u32 i = 0; i < 4; i++)
		snprintf(why[i], sizeof(why[i]), "-");
	if (v->reg >= 0)
		snprintf(why[0], sizeof(why[0]), "r%d", v->reg);
	if (v->measured) {
		snprintf(why[1], sizeof(why[1]), "%lld", (long long)v->needed);
		snprintf(why[2], sizeof(why[2]), "%lld", (long long)v->proved);
	}
	if (v->lost_at != UINT32_MAX)
		snprintf(why[3], sizeof(why[3]), "@%u", v->lost_at);
}

static void check_why(const struct test_case *t, const struct skep_verdict *v)
{
	const char *lacks = reject_lacks(v, false);
	char why[4][24];

	why_of(v, why);
	if (lacks)
		test_fail(__FILE__, __LINE__, "%s: the refusal %s lacks %s", t->name, v->code, lacks);
	if (show) {
		printf("# %s: why %s %s %s %s, needs \"%s\", holds \"%s\"%s, path", t->name, why[0], why[1], why[2], why[3], v->needs, v->holds,
		       v->lost_at_entry ? ", so from the entry on" : "");
		for (u32 i = 0; i < v->n_path; i++)
			printf(" %u>%u", v->path[i].from, v->path[i].to);
		printf("\n");
	}
	whys += t->why[0][0] != 0;
	for (u32 i = 0; t->why[0][0] && i < 4; i++)
		if (strcmp(why[i], t->why[i]))
			test_fail(__FILE__, __LINE__, "%s: why %s %s %s %s, expected %s %s %s %s", t->name, why[0], why[1],
				  why[2], why[3], t->why[0], t->why[1], t->why[2], t->why[3]);
}

static void check(const struct test_case *t)
{
	static char text[TEXT_BYTES + 512];
	struct arena arena;
	struct asm_error bad;
	struct raw_insn *raw;
	struct loaded ours;
	u32 n, code = code_by_name(t->code);

	cases++;
	if ((t->target[0] && (!kernel_btf(k) || btf_find(kernel_btf(k), t->target, BTF_KIND_FUNC) < 0)) ||
	    !expand(t, text, sizeof(text))) {
		printf("# %s: needs the running kernel's types\n", t->name);
		provoked[code] = true; /* not on this machine */
		return;
	}
	arena_open(&arena, &mem_libc);
	if (t->n_raw) {
		raw = (struct raw_insn *)t->raw;
		n = t->n_raw;
	} else if (asm_parse(&arena, text, (u32)strlen(text), &raw, &n, &bad)) {
		test_fail(__FILE__, __LINE__, "%s: line %u: %s", t->name, bad.line, bad.text);
		arena_close(&arena);
		return;
	}
	ours = load(t, raw, n, t->tiny ? tiny : k);
	if (show)
		printf("# %s: %d %s @%u says %s\n", t->name, ours.check.as_linux.error,
		       ours.check.as_linux.code, ours.check.as_linux.insn, ours.check.as_linux.message);
	if (!code || strcmp(ours.check.as_linux.code, t->code))
		test_fail(__FILE__, __LINE__, "%s: code \"%s\", expected %s (error %d, decided %d: %s)",
			  t->name, ours.check.as_linux.code, t->code, ours.check.as_linux.error,
			  ours.check.decided,
			  ours.check.as_linux.message[0] ? ours.check.as_linux.message : log_text);
	else
		provoked[code] = true;
	if (ours.check.as_linux.insn != t->at)
		test_fail(__FILE__, __LINE__, "%s: at %d, expected %d", t->name,
			  (s32)ours.check.as_linux.insn, (s32)t->at);
	if (strncmp(ours.check.as_linux.message, t->says, strcspn(ours.check.as_linux.message, "\n")) ||
	    strlen(t->says) != strcspn(ours.check.as_linux.message, "\n"))
		test_fail(__FILE__, __LINE__, "%s: says \"%s\", expected \"%s\"", t->name,
			  ours.check.as_linux.message, t->says);
	if (ours.check.as_linux.error != -t->err || ours.check.safe.error != (t->safe_accepts ? 0 : -t->err))
		test_fail(__FILE__, __LINE__, "%s: error %d, safe %d, expected %d", t->name,
			  ours.check.as_linux.error, ours.check.safe.error, -t->err);
	check_why(t, &ours.check.as_linux);
	compare(t, raw, n, ours.check.as_linux.error, ours.check.as_linux.message);
	arena_close(&arena);
}

/* ---- files ---- */

static void parse_map(struct test_case *t, const char *p, const char *at)
{
	char type[32], special[16] = "";
	u32 i = t->n_maps;

	if (i == MAPS_MOST || sscanf(p, "%31s %u %u %u %i %15s", type, &t->map[i].key, &t->map[i].value,
				     &t->map[i].entries, (int *)&t->map[i].flags, special) < 4) {
		test_fail(at, t->line, "bad map");
		return;
	}
	t->map[i].type = map_by_name(type);
	t->map[i].value_type = special[0] ? local_by_name(special) : 0;
	t->n_maps++;
}

static void parse_func(struct test_case *t, const char *p, const char *at)
{
	char name[32], linkage[16], arg[16];
	u32 i = t->n_funcs;
	int used = 0;

	if (i == FUNCS_MOST || sscanf(p, "%31s %u %15s%n", name, &t->func[i].slot, linkage, &used) != 3) {
		test_fail(at, t->line, "bad func");
		return;
	}
	memcpy(t->func[i].name, name, sizeof(name));
	t->func[i].global = !strcmp(linkage, "global");
	for (p += used; sscanf(p, "%15s%n", arg, &used) == 1 && t->func[i].n_args < 5; p += used)
		t->func[i].args[t->func[i].n_args++] = !strcmp(arg, "int")   ? T_INT
						       : !strcmp(arg, "ctx") ? T_SKB_PTR
									     : T_VOID_PTR;
	t->n_funcs++;
}

static void parse_line(struct test_case *t, const char *p, const char *file)
{
	char word[48], err[16] = "";
	int used = 0, at = -1;

	if (sscanf(p, "%47s %n", word, &used) != 1)
		return;
	if (!strcmp(word, "type"))
		t->type = type_by_name(p + used);
	else if (!strcmp(word, "flags"))
		t->flags = (u32)strtoul(p + used, NULL, 0);
	else if (!strcmp(word, "license"))
		snprintf(t->license, sizeof(t->license), "%s", p + used);
	else if (!strcmp(word, "unprivileged"))
		t->unprivileged = true;
	else if (!strcmp(word, "map"))
		parse_map(t, p + used, file);
	else if (!strcmp(word, "func"))
		parse_func(t, p + used, file);
	else if (!strcmp(word, "fill") && t->n_maps)
		snprintf(t->map[t->n_maps - 1].fill, sizeof(t->map[0].fill), "%s", p + used);
	else if (!strcmp(word, "tag"))
		snprintf(t->tag, sizeof(t->tag), "%s", p + used);
	else if (!strcmp(word, "attach"))
		sscanf(p + used, "%u %63s", &t->attach_type, t->target);
	else if (!strcmp(word, "kernel"))
		t->tiny = true;
	else if (!strcmp(word, "why"))
		sscanf(p + used, "%23s %23s %23s %23s", t->why[0], t->why[1], t->why[2], t->why[3]);
	else if (!strcmp(word, "once"))
		t->once = errno_by_name(p + used);
	else if (!strcmp(word, "safe"))
		t->safe_accepts = true;
	else if (!strcmp(word, "says"))
		snprintf(t->says, sizeof(t->says), "%s", p + used);
	else if (!strcmp(word, "unlike"))
		snprintf(t->unlike, sizeof(t->unlike), "%s", p + used);
	else if (!strcmp(word, "reject") && sscanf(p + used, "%47s @%d %15s", t->code, &at, err) >= 1) {
		t->at = (u32)at;
		t->err = errno_by_name(err[0] ? err : "EINVAL");
		t->wants = true;
	} else if (!strcmp(word, "open") && sscanf(p + used, "%47s", word) == 1) {
		u32 code = code_by_name(word);

		if (code != REJECT_BUG && code != REJECT_MEMORY)
			test_fail(file, t->line, "%s can be provoked by a program", word);
		open_code[code] = true;
	} else if (strcmp(word, "asm") && strcmp(word, "raw"))
		test_fail(file, t->line, "unknown directive \"%s\"", p);
}

static void fresh(struct test_case *t, const char *name)
{
	memset(t, 0, sizeof(*t));
	t->type = BPF_PROG_TYPE_SOCKET_FILTER;
	snprintf(t->license, sizeof(t->license), "GPL");
	snprintf(t->name, sizeof(t->name), "%.90s", name);
}

static void add_lines(struct test_case *t, const char *line)
{
	unsigned int times = 1;
	int used = 0;
	size_t at = strlen(t->text);

	if (line[0] == '@' && sscanf(line, "@%u %n", &times, &used) < 1)
		times = 0;
	for (; times && at + strlen(line) + 2 < sizeof(t->text); times--)
		at += (size_t)snprintf(t->text + at, sizeof(t->text) - at, "%s\n", line + used);
}

static void read_file(const char *path)
{
	static struct test_case t;
	char line[512];
	int number = 0;
	bool in_asm = false, in_raw = false;
	FILE *f = fopen(path, "r");

	REQUIRE(f != NULL);
	fresh(&t, "");
	while (fgets(line, sizeof(line), f)) {
		number++;
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "-- case ", 8)) {
			if (t.wants)
				check(&t);
			fresh(&t, line + 8);
			t.line = number;
			in_asm = in_raw = false;
		} else if (!strncmp(line, "-- ", 3)) {
			in_asm = !strcmp(line, "-- asm");
			in_raw = !strcmp(line, "-- raw");
			parse_line(&t, line + 3, path);
		} else if (in_asm && line[0] != '#') {
			add_lines(&t, line);
		} else if (in_raw) {
			unsigned int code, regs;
			struct raw_insn *r = &t.raw[t.n_raw];

			REQUIRE(t.n_raw < ARRAY_SIZE(t.raw));
			if (sscanf(line, "%x %x %hd %d", &code, &regs, &r->off, &r->imm) == 4) {
				r->code = (u8)code;
				r->regs = (u8)regs;
				t.n_raw++;
			}
		}
	}
	if (t.wants)
		check(&t);
	fclose(f);
}

#define NO_TYPES "no BTF of the running kernel"
static bool have_types;

TEST(programs_are_refused_by_their_rule)
{
	if (!have_types)
		SKIP(NO_TYPES);
	for (u32 i = 0; i < n_files; i++)
		read_file(files[i]);
	printf("# %u programs, %u of them compared with the running kernel\n", cases, compared);
	printf("# %u of them say why as data\n", whys);
	CHECK(cases > 50 && whys > 50);
}

TEST(every_code_is_provoked)
{
	u32 n = 0, waiting = 0;

	if (!have_types)
		SKIP(NO_TYPES);
	for (u32 i = 1; i < REJECT_CODES; i++) {
		n += provoked[i];
		waiting += !provoked[i] && open_code[i];
		if (!provoked[i] && !open_code[i])
			test_fail(__FILE__, __LINE__, "no program provokes %s", reject_name(i));
		if (provoked[i] && open_code[i])
			test_fail(__FILE__, __LINE__, "%s is provoked and yet said to be open",
				  reject_name(i));
	}
	printf("# %u of %u codes provoked, %u open\n", n, REJECT_CODES - 1, waiting);
}

int main(int argc, char **argv)
{
	static const char btf[] = "/sys/kernel/btf/vmlinux";
	struct skep_options opts = {.size = sizeof(opts), .kernel_btf = access(btf, R_OK) ? NULL : btf};
	int first = 1;

	if (argc > 1 && !strcmp(argv[1], "--show"))
		show = true, first = 2;
	files = (const char *const *)argv + first;
	n_files = (u32)(argc - first);
	log_text = calloc(1, LOG_BYTES);
	if (!log_text || skep_open(&k, &opts)) {
		printf("Bail out! no engine\n");
		return 1;
	}
	tiny = open_tiny();
	if (!tiny) {
		printf("Bail out! no engine with few types\n");
		return 1;
	}
	kernel = kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER);
	have_types = opts.kernel_btf;
	RUN(programs_are_refused_by_their_rule);
	RUN(every_code_is_provoked);
	skep_close(tiny);
	skep_close(k);
	free(log_text);
	return test_end();
}
