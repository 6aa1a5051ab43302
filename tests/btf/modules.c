/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Types of modules: a folder as /sys/kernel/btf, made by hand, with a kernel and two modules. Programs call a
 * module's functions, read its variables, attach to what is in it and are relocated against its types. What
 * is wrong with the descriptors of modules is refused as by the running kernel.
 */
#include "build.h"

#include "../kernel.h"
#include "../sys/sys_test.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { LOG_BYTES = 1 << 16, FDS = 4, BAD_FD = 1 << 20 };

static char folder[] = "/tmp/skep-modules-XXXXXX", log_text[LOG_BYTES], log_kernel[LOG_BYTES];
static struct build kernel_types, conntrack, other, congestion;
static struct { /* ids */
	uint32_t u32_, conn_ptr, lookup, release, counter, table, hook, field, ops, ops_value;
} ids;

/* ---- the folder ---- */

static bool write_types(struct build *b, const char *name)
{
	char path[PATH_MAX];
	int fd;

	build_close(b);
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return fd >= 0 && write(fd, b->bytes, b->size) == (ssize_t)b->size && close(fd) == 0;
}

static uint32_t pointer(struct build *b, uint32_t to)
{
	return build_type(b, "", BTF_KIND_PTR, 0, 0, to);
}

static uint32_t record(struct build *b, const char *name, uint32_t bytes, uint32_t n,
		       const char *const *members)
{
	uint32_t id = build_type(b, name, BTF_KIND_STRUCT, n, 0, bytes);

	for (uint32_t i = 0; i < n; i++)
		build_member(b, members[i], ids.u32_, i * 32);
	return id;
}

static void make_conntrack(uint32_t skb_ptr)
{
	static const char *const conn[] = {"status", "mark"}, *const opts[] = {"netns", "error", "proto"};
	uint32_t opts_ptr, proto;

	build_split(&conntrack, &kernel_types);
	ids.conn_ptr = pointer(&conntrack, record(&conntrack, "nf_conn", 8, 2, conn));
	opts_ptr = pointer(&conntrack, record(&conntrack, "bpf_ct_opts", 12, 3, opts));
	proto = build_type(&conntrack, "", BTF_KIND_FUNC_PROTO, 3, 0, ids.conn_ptr);
	build_param(&conntrack, "skb_ctx", skb_ptr);
	build_param(&conntrack, "opts", opts_ptr);
	build_param(&conntrack, "opts__sz", ids.u32_);
	ids.lookup = build_type(&conntrack, "bpf_skb_ct_lookup", BTF_KIND_FUNC, 0, 0, proto);
	proto = build_type(&conntrack, "", BTF_KIND_FUNC_PROTO, 1, 0, 0);
	build_param(&conntrack, "nfct", ids.conn_ptr);
	ids.release = build_type(&conntrack, "bpf_ct_release", BTF_KIND_FUNC, 0, 0, proto);
	proto = build_type(&conntrack, "", BTF_KIND_FUNC_PROTO, 1, 0, ids.u32_);
	build_param(&conntrack, "ct", ids.conn_ptr);
	ids.hook = build_type(&conntrack, "nf_confirm", BTF_KIND_FUNC, 0, 0, proto);
	ids.counter = build_type(&conntrack, "nf_conntrack_max", BTF_KIND_VAR, 0, 0, ids.u32_);
	build_word(&conntrack, BTF_VAR_GLOBAL_ALLOCATED);
	ids.table = build_type(&conntrack, "nf_ct_first", BTF_KIND_VAR, 0, 0, ids.conn_ptr - 1);
	build_word(&conntrack, BTF_VAR_GLOBAL_ALLOCATED);
}

/* A struct of functions that programs may implement; the last parameter of the second one may be NULL, which the function of that name says. */
static void make_congestion(uint32_t skb_ptr)
{
	uint32_t none, some, stub;

	build_split(&congestion, &kernel_types);
	none = pointer(&congestion, build_type(&congestion, "", BTF_KIND_FUNC_PROTO, 0, 0, ids.u32_));
	some = build_type(&congestion, "", BTF_KIND_FUNC_PROTO, 2, 0, ids.u32_);
	build_param(&congestion, "flags", ids.u32_);
	build_param(&congestion, "skb", skb_ptr);
	some = pointer(&congestion, some);
	ids.ops = build_type(&congestion, "mod_ops", BTF_KIND_STRUCT, 3, 0, 24);
	build_member(&congestion, "begin", none, 0);
	build_member(&congestion, "look", some, 64);
	build_member(&congestion, "flags", ids.u32_, 128);
	ids.ops_value = build_type(&congestion, "bpf_struct_ops_mod_ops", BTF_KIND_STRUCT, 2, 0, 32);
	build_member(&congestion, "common", ids.u32_, 0);
	build_member(&congestion, "data", ids.ops, 64);
	stub = build_type(&congestion, "", BTF_KIND_FUNC_PROTO, 2, 0, ids.u32_);
	build_param(&congestion, "flags", ids.u32_);
	build_param(&congestion, "skb__nullable", skb_ptr);
	build_type(&congestion, "mod_ops__look", BTF_KIND_FUNC, 0, 0, stub);
}

static bool make_folder(void)
{
	static const char *const skb[] = {"len"}, *const twice[] = {"pad", "extra"};
	uint32_t skb_ptr, kernel_skb_ptr;

	build_open(&kernel_types);
	ids.u32_ = build_type(&kernel_types, "unsigned int", BTF_KIND_INT, 0, 0, 4);
	build_word(&kernel_types, 32);
	skb_ptr = pointer(&kernel_types, record(&kernel_types, "__sk_buff", 192, 1, skb));
	kernel_skb_ptr = pointer(&kernel_types, record(&kernel_types, "sk_buff", 232, 1, skb));
	make_conntrack(skb_ptr);
	make_congestion(kernel_skb_ptr);
	build_split(&other, &kernel_types);
	record(&other, "nf_conn___old", 8, 2, twice);
	record(&other, "nf_other", 8, 2, twice);
	return mkdtemp(folder) && write_types(&kernel_types, "vmlinux") &&
	       write_types(&conntrack, "nf_conntrack") && write_types(&other, "other") &&
	       write_types(&congestion, "tcp_mod");
}

static void remove_folder(void)
{
	static const char *const names[] = {"vmlinux", "nf_conntrack", "other", "tcp_mod", "spoiled"};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}

/* ---- programs ---- */

static int call(struct skep *k, int cmd, union bpf_attr *a)
{
	return k ? skep_bpf(k, cmd, a, sizeof(*a)) : kernel_bpf(cmd, a, sizeof(*a));
}

/* The descriptor of a kernel's BTF object, -errno. k: NULL for the running kernel. */
static int types_fd(struct skep *k, const char *name)
{
	for (uint32_t id = 0;;) {
		struct bpf_btf_info info;
		char found[64] = "";
		union bpf_attr a;
		int fd;

		memset(&a, 0, sizeof(a));
		a.start_id = id;
		if (call(k, BPF_BTF_GET_NEXT_ID, &a))
			return -ENOENT;
		id = a.next_id;
		memset(&a, 0, sizeof(a));
		a.btf_id = id;
		fd = call(k, BPF_BTF_GET_FD_BY_ID, &a);
		memset(&info, 0, sizeof(info));
		info.name = ADDRESS(found);
		info.name_len = sizeof(found);
		memset(&a, 0, sizeof(a));
		a.info.bpf_fd = (uint32_t)fd;
		a.info.info = ADDRESS(&info);
		a.info.info_len = sizeof(info);
		if (fd >= 0 && !call(k, BPF_OBJ_GET_INFO_BY_FD, &a) && info.kernel_btf &&
		    !strcmp(found, name))
			return fd;
		close(fd);
	}
}

struct program {
	const char *name, *text;
	uint32_t type, attach_type, attach_id; /* attach_id: in the module; 0: nothing */
	int16_t off;			       /* of calls of kernel functions: the place in fd_array */
	bool no_array;
	int err;
	const char *says;
};

/* fds: of fd_array. */
static int load_program(struct skep *k, const struct program *p, const char *text, const int *fds, char *log)
{
	struct asm_error err;
	struct raw_insn *raw;
	union bpf_attr a;
	struct arena mem;
	uint32_t n;
	int fd = -ENOEXEC;

	arena_open(&mem, &mem_libc);
	log[0] = 0;
	if (asm_parse(&mem, text, (uint32_t)strlen(text), &raw, &n, &err)) {
		test_fail(__FILE__, __LINE__, "%s: %u:%u: %s", p->name, err.line, err.column, err.text);
	} else {
		for (uint32_t i = 0; i < n; i++)
			if (raw[i].code == 0x85 && raw[i].regs >> 4 == 2)
				raw[i].off = p->off;
		memset(&a, 0, sizeof(a));
		a.prog_type = p->type;
		a.expected_attach_type = p->attach_type;
		a.attach_btf_id = p->attach_id;
		a.attach_btf_obj_fd = p->attach_id ? (uint32_t)fds[1] : 0;
		a.insns = ADDRESS(raw);
		a.insn_cnt = n;
		a.license = ADDRESS("GPL");
		a.log_buf = ADDRESS(log);
		a.log_size = LOG_BYTES;
		a.log_level = 1;
		a.fd_array = p->no_array ? 0 : ADDRESS(fds);
		fd = call(k, BPF_PROG_LOAD, &a);
	}
	arena_close(&mem);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

#define LOOKUP                                                                                               \
	"r3 = 0\n*(u64 *)(r10 - 16) = r3\n*(u32 *)(r10 - 8) = r3\nr2 = r10\nr2 += -16\nr3 = 12\ncall "       \
	"kernel-function#%1$u\n"
#define VALUE "r1 = btf[id:%3$u,fd:%5$d]\n"

/* %1: bpf_skb_ct_lookup, %2: bpf_ct_release, %3: the variable, %4: one that is a struct, %5: the module's
 * descriptor */
static const struct program programs[] = {
    {"a function of a module",
     LOOKUP
     "if r0 == 0 goto out\nr6 = *(u32 *)(r0 + 4)\nr1 = r0\ncall kernel-function#%2$u\nout: r0 = 0\nexit\n",
     BPF_PROG_TYPE_SCHED_CLS, 0, 0, 1, false, 0, ""},
    {"what it gives leaks", LOOKUP "r0 = 0\nexit\n", BPF_PROG_TYPE_SCHED_CLS, 0, 0, 1, false, -EINVAL,
     "Unreleased reference"},
    {"what it gives has another size",
     LOOKUP "if r0 == 0 goto out\nr6 = *(u64 *)(r0 + 8)\nout: r0 = 0\nexit\n", BPF_PROG_TYPE_SCHED_CLS, 0, 0,
     1, false, -EACCES, "access beyond struct nf_conn at off 8 size 8"},
    {"one that such programs may not call", LOOKUP "r0 = 0\nexit\n", BPF_PROG_TYPE_CGROUP_SKB, 0, 0, 1, false,
     -EACCES, "calling kernel function bpf_skb_ct_lookup is not allowed"},
    {"one of another module", LOOKUP "r0 = 0\nexit\n", BPF_PROG_TYPE_SCHED_CLS, 0, 0, 2, false, -EINVAL,
     "is not a function"},
    {"a variable of a module", VALUE "r0 = *(u32 *)(r1 + 0)\nexit\n", BPF_PROG_TYPE_SCHED_CLS, 0, 0, 0, false,
     0, ""},
    {"more than the variable", VALUE "r0 = *(u64 *)(r1 + 0)\nexit\n", BPF_PROG_TYPE_SCHED_CLS, 0, 0, 0, false,
     -EACCES, "invalid access to memory, mem_size=4 off=0 size=8"},
    {"a variable that is a struct", "r1 = btf[id:%4$u,fd:%5$d]\nr0 = *(u32 *)(r1 + 4)\nexit\n",
     BPF_PROG_TYPE_SCHED_CLS, 0, 0, 0, false, 0, ""},
    {"a struct that ends there", "r1 = btf[id:%4$u,fd:%5$d]\nr0 = *(u32 *)(r1 + 8)\nexit\n",
     BPF_PROG_TYPE_SCHED_CLS, 0, 0, 0, false, -EACCES, "access beyond struct nf_conn at off 8 size 4"},
};

static struct skep *open_folder(const char *path)
{
	struct skep *k = NULL;

	CHECK_EQ(
	    skep_open(&k, &(struct skep_options){.size = sizeof(struct skep_options), .kernel_btf = path}),
	    0);
	return k;
}

static void check_program(struct skep *k, const struct program *p, const int *fds)
{
	char text[2048];
	int got;

	snprintf(text, sizeof(text), p->text, ids.lookup, ids.release, ids.counter, ids.table, fds[1]);
	got = load_program(k, p, text, fds, log_text);
	if (got != p->err || !strstr(log_text, p->says))
		test_fail(__FILE__, __LINE__, "%s: %d, expected %d and \"%s\" in:\n%s", p->name, got, p->err,
			  p->says, log_text);
}

TEST(programs_use_what_is_in_modules)
{
	struct skep *k = open_folder(folder);
	int fds[FDS] = {-1, types_fd(k, "nf_conntrack"), types_fd(k, "other"), -1};
	struct program hook = {"attached to a function of a module",
			       "r1 = *(u64 *)(r1 + 0)\nr0 = *(u32 *)(r1 + 4)\nr0 = 0\nexit\n",
			       BPF_PROG_TYPE_TRACING,
			       BPF_TRACE_FENTRY,
			       ids.hook,
			       0,
			       false,
			       0,
			       ""};

	CHECK(fds[1] >= 0 && fds[2] >= 0);
	CHECK(types_fd(k, "vmlinux") >= 0);
	CHECK_EQ(types_fd(k, "none"), -ENOENT);
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		check_program(k, &programs[i], fds);
	check_program(k, &hook, fds);
	hook.text = "r1 = *(u64 *)(r1 + 0)\nr0 = *(u32 *)(r1 + 8)\nr0 = 0\nexit\n";
	hook.name = "beyond its argument";
	hook.err = -EACCES;
	hook.says = "access beyond struct nf_conn at off 8 size 4";
	check_program(k, &hook, fds);
	skep_close(k);
}

/* attach_type: the member. */
static const struct program members[] = {
    {"a function of a module's struct", "r0 = 0\nexit\n", BPF_PROG_TYPE_STRUCT_OPS, 0, 0, 0, false, 0, ""},
    {"its argument, which may be NULL", "r1 = *(u64 *)(r1 + 8)\nr0 = *(u32 *)(r1 + 0)\nexit\n", BPF_PROG_TYPE_STRUCT_OPS, 1, 0, 0,
     false, -EACCES, "R1 invalid mem access 'trusted_ptr_or_null_'"},
    {"its argument, once that was asked", "r1 = *(u64 *)(r1 + 8)\nr0 = 0\nif r1 == 0 goto out\nr0 = *(u32 *)(r1 + 0)\nout: exit\n",
     BPF_PROG_TYPE_STRUCT_OPS, 1, 0, 0, false, 0, ""},
    {"an argument that there is not", "r1 = *(u64 *)(r1 + 16)\nr0 = 0\nexit\n", BPF_PROG_TYPE_STRUCT_OPS, 1, 0, 0, false, -EACCES,
     "func 'look' doesn't have 3-th argument"},
    {"a member that is no function", "r0 = 0\nexit\n", BPF_PROG_TYPE_STRUCT_OPS, 2, 0, 0, false, -EINVAL,
     "attach to invalid member flags(@idx 2) of struct mod_ops"},
};

/* own: types of the program's; fd: of the module. */
static int ops_map(struct skep *k, int own, uint32_t flags, int fd, uint32_t type, uint32_t bytes)
{
	enum { VALUE_TYPE_BTF_OBJ_FD = 72 }; /* where that lies, which not every header has */
	union bpf_attr a;
	int map;

	memset(&a, 0, sizeof(a));
	a.map_type = BPF_MAP_TYPE_STRUCT_OPS;
	a.key_size = 4;
	a.value_size = bytes;
	a.max_entries = 1;
	a.map_flags = flags;
	a.btf_vmlinux_value_type_id = type;
	a.btf_fd = (uint32_t)own;
	memcpy((char *)&a + VALUE_TYPE_BTF_OBJ_FD, &fd, sizeof(fd));
	map = call(k, BPF_MAP_CREATE, &a);
	if (map >= 0)
		close(map);
	return map < 0 ? map : 0;
}

TEST(structs_of_functions_of_modules)
{
	enum { VTYPE_BTF_OBJ_FD = 1 << 15, NOT_SUPPORTED = 524 };
	static struct build own;
	struct skep *k = open_folder(folder);
	union bpf_attr a;
	int btf, fds[FDS] = {-1, types_fd(k, "tcp_mod"), types_fd(k, "other"), types_fd(k, "vmlinux")}, other_fds[FDS] = {-1, fds[2], -1, -1};

	REQUIRE(fds[1] >= 0);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		struct program p = members[i];

		p.attach_id = ids.ops;
		check_program(k, &p, fds);
	}
	{
		struct program p = members[0];

		p.attach_id = ids.ops_value; /* no such struct, whose value would be its own; and none of that number in another module */
		p.err = -NOT_SUPPORTED;
		p.says = "is not a supported struct";
		check_program(k, &p, fds);
		p.attach_id = ids.ops;
		check_program(k, &p, other_fds);
	}
	build_open(&own);
	build_type(&own, "unsigned int", BTF_KIND_INT, 0, 0, 4);
	build_word(&own, 32);
	build_close(&own);
	memset(&a, 0, sizeof(a));
	a.btf = ADDRESS(own.bytes);
	a.btf_size = (uint32_t)own.size;
	btf = skep_bpf(k, BPF_BTF_LOAD, &a, sizeof(a));
	CHECK(btf >= 0);
	CHECK_EQ(ops_map(k, btf, VTYPE_BTF_OBJ_FD, fds[1], ids.ops_value, 32), 0);
	CHECK_EQ(ops_map(k, btf, VTYPE_BTF_OBJ_FD, fds[1], ids.ops_value, 24), -EINVAL);
	CHECK_EQ(ops_map(k, btf, VTYPE_BTF_OBJ_FD, fds[1], ids.ops, 32), -NOT_SUPPORTED);
	CHECK_EQ(ops_map(k, btf, VTYPE_BTF_OBJ_FD, fds[2], ids.ops_value, 32), -NOT_SUPPORTED);
	CHECK_EQ(ops_map(k, btf, VTYPE_BTF_OBJ_FD, fds[3], ids.ops_value, 32), -EINVAL);
	CHECK_EQ(ops_map(k, btf, VTYPE_BTF_OBJ_FD, BAD_FD, ids.ops_value, 32), -EBADF);
	CHECK_EQ(ops_map(k, btf, 0, 0, ids.ops_value, 32), -NOT_SUPPORTED);
	close(btf);
	skep_close(k);
}

/* Also on the running kernel. no_array: without fd_array. */
TEST(wrong_descriptors_are_refused_as_linux_does)
{
	static const struct program wrong[] = {
	    {"before fd_array", "call kernel-function#1\nr0 = 0\nexit\n", BPF_PROG_TYPE_SCHED_CLS, 0, 0, -1,
	     false, -EINVAL,
	     "negative offset disallowed for kernel module function call\nfailed to find BTF for kernel "
	     "function\n"},
	    {"no fd_array", "call kernel-function#1\nr0 = 0\nexit\n", BPF_PROG_TYPE_SCHED_CLS, 0, 0, 1, true,
	     -EPROTO,
	     "kfunc offset > 0 without fd_array is invalid\nfailed to find BTF for kernel function\n"},
	    {"no descriptor", "call kernel-function#1\nr0 = 0\nexit\n", BPF_PROG_TYPE_SCHED_CLS, 0, 0, 2,
	     false, -EBADF, "invalid module BTF fd specified\nfailed to find BTF for kernel function\n"},
	    {"no BTF", "call kernel-function#1\nr0 = 0\nexit\n", BPF_PROG_TYPE_SCHED_CLS, 0, 0, 3, false,
	     -EINVAL, "invalid module BTF fd specified\nfailed to find BTF for kernel function\n"},
	    {"the kernel's, by fd_array", "call kernel-function#1\nr0 = 0\nexit\n", BPF_PROG_TYPE_SCHED_CLS,
	     0, 0, 1, false, -EINVAL,
	     "BTF fd for kfunc is not a module BTF\nfailed to find BTF for kernel function\n"},
	    {"no descriptor of a variable's", "r1 = btf[id:1,fd:1048576]\nr0 = 0\nexit\n",
	     BPF_PROG_TYPE_SCHED_CLS, 0, 0, 0, false, -EINVAL, "invalid module BTF object FD specified.\n"},
	};
	struct skep *k = open_folder(folder);
	bool kernel = kernel_loads(BPF_PROG_TYPE_SCHED_CLS);
	int null = open("/dev/null", O_RDONLY), ours[FDS] = {-1, types_fd(k, "vmlinux"), BAD_FD, null},
	    theirs[FDS] = {-1, -1, BAD_FD, null};

	theirs[1] = kernel ? types_fd(NULL, "vmlinux") : -1;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const struct program *p = &wrong[i];
		int got;

		check_program(k, p, ours);
		if (theirs[1] < 0)
			continue;
		got = load_program(NULL, p, p->text, theirs, log_kernel);
		if (got != p->err || !strstr(log_kernel, p->says))
			test_fail(__FILE__, __LINE__, "%s: Linux gives %d, skep %d; Linux's log:\n%s",
				  p->name, got, p->err, log_kernel);
	}
	close(theirs[1]);
	close(null);
	skep_close(k);
}

/* r0 = the offset of a field of a type that the program has, too. type: its name there. */
static int relocated(struct skep *k, const char *type, const char *field, const char *says)
{
	static struct build own;
	struct bpf_func_info func = {0};
	struct bpf_core_relo relo = {.kind = BPF_CORE_FIELD_BYTE_OFFSET};
	struct raw_insn insns[] = {{.code = 0xb7, .imm = 0}, {.code = 0x95}};
	uint32_t proto;
	union bpf_attr a;
	int btf, fd;

	build_open(&own);
	build_int(&own, "int", 4);
	relo.type_id = build_type(&own, type, BTF_KIND_STRUCT, 1, 0, 4);
	build_member(&own, field, 1, 0);
	relo.access_str_off = build_string(&own, "0:0");
	proto = build_type(&own, "", BTF_KIND_FUNC_PROTO, 0, 0, 1);
	func.type_id = build_type(&own, "program", BTF_KIND_FUNC, 1, 0, proto);
	build_close(&own);
	memset(&a, 0, sizeof(a));
	a.btf = ADDRESS(own.bytes);
	a.btf_size = own.size;
	btf = skep_bpf(k, BPF_BTF_LOAD, &a, sizeof(a));
	CHECK(btf >= 0);
	memset(&a, 0, sizeof(a));
	a.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	a.insns = ADDRESS(insns);
	a.insn_cnt = 2;
	a.license = ADDRESS("GPL");
	a.prog_btf_fd = (uint32_t)btf;
	a.func_info = ADDRESS(&func);
	a.func_info_cnt = 1;
	a.func_info_rec_size = sizeof(func);
	a.core_relos = ADDRESS(&relo);
	a.core_relo_cnt = 1;
	a.core_relo_rec_size = sizeof(relo);
	a.log_buf = ADDRESS(log_text);
	a.log_size = LOG_BYTES;
	a.log_level = 2;
	log_text[0] = 0;
	fd = skep_bpf(k, BPF_PROG_LOAD, &a, sizeof(a));
	if (!strstr(log_text, says))
		test_fail(__FILE__, __LINE__, "%s: not \"%s\" in:\n%s", type, says, log_text);
	close(btf);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

TEST(relocations_find_types_of_modules)
{
	struct skep *k = open_folder(folder);

	CHECK_EQ(relocated(k, "nf_other", "extra", "r0 = 4"), 0);
	CHECK_EQ(relocated(k, "nf_conn", "mark", "r0 = 4"), 0); /* one of two modules' */
	CHECK_EQ(relocated(k, "sk_buff", "len", "r0 = 0"), 0);	/* the kernel's */
	CHECK_EQ(relocated(k, "nf_other", "none", "no matching targets found"), -EINVAL);
	skep_close(k);
}

TEST(without_a_folder_there_are_no_modules)
{
	char path[PATH_MAX];
	struct skep *k;

	snprintf(path, sizeof(path), "%s/vmlinux", folder);
	k = open_folder(path);
	CHECK_STR(skep_kernel_btf(k), path);
	CHECK(types_fd(k, "vmlinux") >= 0);
	CHECK_EQ(types_fd(k, "nf_conntrack"), -ENOENT);
	skep_close(k);
	k = open_folder(folder);
	CHECK_STR(skep_kernel_btf(k), path);
	skep_close(k);
}

TEST(a_spoiled_module_is_left_out)
{
	struct build spoiled = other;
	struct skep *k;

	spoiled.at[2] = 0x7fffffff;
	spoiled.at[3 + 1] = 0x00ffffff;
	REQUIRE(write_types(&spoiled, "spoiled"));
	k = open_folder(folder);
	CHECK_EQ(types_fd(k, "spoiled"), -ENOENT);
	CHECK(types_fd(k, "other") >= 0);
	skep_close(k);
}

int main(void)
{
	if (!make_folder()) {
		printf("Bail out! no folder\n");
		return 1;
	}
	RUN(programs_use_what_is_in_modules);
	RUN(structs_of_functions_of_modules);
	RUN(wrong_descriptors_are_refused_as_linux_does);
	RUN(relocations_find_types_of_modules);
	RUN(without_a_folder_there_are_no_modules);
	RUN(a_spoiled_module_is_left_out);
	remove_folder();
	return test_end();
}
