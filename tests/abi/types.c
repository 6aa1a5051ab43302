/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progtypes.def and results.def beside the running kernel: which capabilities a type needs, what its programs may return by attach
 * type, what they may do with packets. An engine gets the same programs, and answers the same.
 */
#include "abi/abi.h"
#include "isa/isa.h"

#include "skep/skep.h"

#include "../kernel.h"
#include "../test.h"

#include <linux/capability.h>
#include <sys/wait.h>

enum { MOST_CODE = 24, ATTACH_TYPES = 58 };

struct code {
	struct raw_insn insn[MOST_CODE];
	u32 n;
};

static void add(struct code *c, u8 op, u32 dst, u32 src, s16 off, s32 imm)
{
	c->insn[c->n++] = (struct raw_insn){.code = op, .regs = (u8)(dst | src << 4), .off = off, .imm = imm};
}

static void return_const(struct code *c, s64 value)
{
	add(c, 0xb7, 0, 0, 0, (s32)value);
	add(c, 0x95, 0, 0, 0, 0);
}

static char log_text[16384];

static struct skep *engine;
static int maps[2]; /* of the kernel, of the engine */

/* With maps[0] replaced, where the code names it. */
static int load_on_engine(union bpf_attr *a, struct code c)
{
	int fd;

	for (u32 i = 0; i < c.n; i++)
		if (c.insn[i].code == 0x18)
			c.insn[i].imm = maps[1];
	a->insns = (u64)(uintptr_t)c.insn;
	a->log_level = 0;
	a->log_buf = a->log_size = 0;
	fd = skep_bpf(engine, BPF_PROG_LOAD, a, sizeof(*a));
	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static int load(const struct progtype *t, u32 attach, const struct code *c)
{
	union bpf_attr a;
	int fd, ours;

	memset(&a, 0, sizeof(a));
	a.prog_type = t->id;
	a.expected_attach_type = attach;
	a.insns = (u64)(uintptr_t)c->insn;
	a.insn_cnt = c->n;
	a.license = (u64)(uintptr_t)"GPL";
	a.prog_flags = t->flags & PT_SLEEPABLE_ONLY ? BPF_F_SLEEPABLE : 0;
	a.log_level = 1;
	a.log_buf = (u64)(uintptr_t)log_text;
	a.log_size = sizeof(log_text);
	log_text[0] = 0;
	fd = kernel_bpf(BPF_PROG_LOAD, &a, sizeof(a));
	if (fd >= 0)
		close(fd);
	fd = fd < 0 ? fd : 0;
	if (!engine || fd == -EPERM || (fd == -EINVAL && !log_text[0]))
		return fd; /* this kernel does not have the type */
	ours = load_on_engine(&a, *c);
	if (ours != fd)
		test_fail(__FILE__, __LINE__, "%s attach type %u: Linux %d, skep %d: %s", t->name, attach, fd, ours, log_text);
	return fd;
}

static int load_constant(const struct progtype *t, u32 attach, s64 value)
{
	struct code c = {.n = 0};

	return_const(&c, value);
	return load(t, attach, &c);
}

/* A constant that the type may return. */
static s64 allowed(const struct progtype *t, u32 attach)
{
	s64 min = 0, max;

	progtype_results(t, attach, &min, &max);
	return min;
}

/* ---- results ---- */

static u32 compare_results(const struct progtype *t, u32 attach)
{
	static const s32 values[] = {INT32_MIN, -4096, -4095, -2, -1, 0, 1, 2, 3, 4, 5, 100, INT32_MAX};
	u32 accepted = 0;

	for (u32 i = 0; i < ARRAY_SIZE(values); i++) {
		s64 min, max;
		bool ok = !progtype_results(t, attach, &min, &max) || (values[i] >= min && values[i] <= max);
		int err = load_constant(t, attach, values[i]);

		accepted += ok;
		if ((err == 0) != ok)
			test_fail(__FILE__, __LINE__, "%s attach type %u returns %d: Linux %d: %s", t->name, attach, values[i], err, log_text);
	}
	return accepted;
}

TEST(results_are_what_linux_takes)
{
	const struct progtype *t;
	u32 n, compared = 0;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	t = progtypes(&n);
	for (u32 i = 0; i < n; i++)
		for (u32 attach = 0; attach < ATTACH_TYPES && !(t[i].flags & PT_ATTACH_BTF); attach++) {
			if (!progtype_attach_ok(&t[i], attach) || load_constant(&t[i], attach, allowed(&t[i], attach)))
				continue;
			CHECK(compare_results(&t[i], attach) > 0);
			compared++;
		}
	printf("# %u types and attach types compared\n", compared);
	CHECK(compared > 100);
}

/* ---- capabilities ---- */

static int set_caps(u64 caps)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{.effective = (u32)caps, .permitted = (u32)caps}, {(u32)(caps >> 32), (u32)(caps >> 32), 0}};

	return (int)syscall(SYS_capset, &head, data);
}

/* In a child of its own, as capabilities are not got back. */
static int load_with(u64 caps, const struct progtype *t, u32 attach)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		engine = NULL; /* the parent's */
		_exit(set_caps(caps) ? 255 : -load_constant(t, attach, allowed(t, attach)) & 127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -255;
	return -WEXITSTATUS(status);
}

TEST(types_need_the_capabilities_of_linux)
{
	static const u64 bpf = 1ull << CAP_BPF, net = 1ull << CAP_NET_ADMIN, perfmon = 1ull << CAP_PERFMON;
	const struct progtype *t;
	u32 n, compared = 0;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	if (load_with(bpf, progtype(BPF_PROG_TYPE_SOCKET_FILTER), 0))
		SKIP("capabilities cannot be dropped here");
	t = progtypes(&n);
	for (u32 i = 0; i < n; i++) {
		bool net_admin = t[i].flags & PT_NET_ADMIN, perf = t[i].flags & PT_PERFMON;
		u32 attach = 0;

		while (attach < ATTACH_TYPES && !progtype_attach_ok(&t[i], attach))
			attach++;
		if (t[i].flags & PT_ATTACH_BTF || load_constant(&t[i], attach, allowed(&t[i], attach)))
			continue;
		CHECK_EQ(load_with(bpf, &t[i], attach) == -EPERM, net_admin || perf);
		CHECK_EQ(load_with(bpf | net, &t[i], attach) == -EPERM, perf);
		CHECK_EQ(load_with(bpf | perfmon, &t[i], attach) == -EPERM, net_admin);
		CHECK_EQ(load_with(bpf | perfmon | net, &t[i], attach), 0);
		if (test_case_failed)
			printf("# at %s\n", t[i].name);
		compared++;
	}
	CHECK(compared > 20);
}

/* ---- packets ---- */

/* Leaves the packet's start in R2 where at least 8 bytes are proved; R6 is the context. False: the context has no packet. */
static bool reach_packet(struct code *c, const struct progtype *t, u32 attach)
{
	const struct ctx_field *data = NULL, *end = NULL;

	for (u32 i = 0; i < t->ctx->n_fields; i++) {
		const struct ctx_field *f = &t->ctx->fields[i];

		if (!ctx_access(t->ctx, attach, f->offset, f->unit, false, true))
			continue;
		if (f->kind == CTX_DATA || f->target == TARGET_PACKET)
			data = f;
		if (f->kind == CTX_DATA_END || f->target == TARGET_PACKET_END)
			end = f;
	}
	if (!data || !end)
		return false;
	add(c, 0xbf, 6, 1, 0, 0);
	add(c, data->unit == 8 ? 0x79 : 0x61, 2, 1, (s16)data->offset, 0);
	add(c, end->unit == 8 ? 0x79 : 0x61, 3, 1, (s16)end->offset, 0);
	add(c, 0xbf, 4, 2, 0, 0);
	add(c, 0x07, 4, 0, 0, 8);
	add(c, 0xbd, 4, 3, 2, 0); /* if r4 <= r3 */
	return_const(c, allowed(t, attach));
	return true;
}

static void compare_use(const struct progtype *t, u32 attach, const struct code *c, bool want, const char *what)
{
	int err = load(t, attach, c);

	if ((err == 0) != want)
		test_fail(__FILE__, __LINE__, "%s attach type %u, %s: Linux %d, the table says %s: %s", t->name, attach, what, err,
			  want ? "yes" : "no", log_text);
}

static u32 compare_packets(const struct progtype *t, u32 attach, int map)
{
	struct code c = {.n = 0};

	if (!reach_packet(&c, t, attach))
		return 0;
	add(&c, 0x71, 0, 2, 0, 0);
	return_const(&c, allowed(t, attach));
	compare_use(t, attach, &c, true, "a load from the packet");

	c.n = 0;
	reach_packet(&c, t, attach);
	add(&c, 0x72, 2, 0, 0, 1);
	return_const(&c, allowed(t, attach));
	compare_use(t, attach, &c, t->flags & PT_PACKET_WRITE, "a store into the packet");

	c.n = 0;
	reach_packet(&c, t, attach); /* a helper that takes packet pointers */
	add(&c, 0x18, 1, 1, 0, map);
	add(&c, 0, 0, 0, 0, 0);
	add(&c, 0x85, 0, 0, 0, BPF_FUNC_map_lookup_elem);
	return_const(&c, allowed(t, attach));
	compare_use(t, attach, &c, t->flags & (PT_PACKET_READ | PT_PACKET_ANY_HELPER), "a key in the packet");

	c.n = 0;
	reach_packet(&c, t, attach); /* one that does not */
	add(&c, 0xbf, 1, 2, 0, 0);
	add(&c, 0xb7, 2, 0, 0, 8);
	add(&c, 0x85, 0, 0, 0, BPF_FUNC_trace_printk);
	return_const(&c, allowed(t, attach));
	compare_use(t, attach, &c, t->flags & PT_PACKET_ANY_HELPER, "a format in the packet");
	return 1;
}

TEST(packets_are_open_as_in_linux)
{
	union bpf_attr a = {.map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 4, .max_entries = 4};
	const struct progtype *t;
	u32 n, compared = 0;
	int map;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	map = maps[0] = kernel_bpf(BPF_MAP_CREATE, &a, sizeof(a));
	REQUIRE(map >= 0);
	maps[1] = skep_map_create(engine, BPF_MAP_TYPE_HASH, 4, 4, 4, 0);
	REQUIRE(maps[1] >= 0);
	t = progtypes(&n);
	for (u32 i = 0; i < n; i++) {
		u32 attach = 0;

		while (attach < ATTACH_TYPES && !progtype_attach_ok(&t[i], attach))
			attach++;
		if (!(t[i].flags & PT_ATTACH_BTF) && load_constant(&t[i], attach, allowed(&t[i], attach)) == 0)
			compared += compare_packets(&t[i], attach, map);
	}
	close(map);
	close(maps[1]);
	printf("# %u types with packets\n", compared);
	CHECK(compared > 8);
}

TEST(legacy_loads_are_where_linux_has_them)
{
	const struct progtype *t;
	u32 n;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	t = progtypes(&n);
	for (u32 i = 0; i < n; i++) {
		struct code c = {.n = 0};
		u32 attach = 0;

		while (attach < ATTACH_TYPES && !progtype_attach_ok(&t[i], attach))
			attach++;
		if (t[i].flags & PT_ATTACH_BTF || load_constant(&t[i], attach, allowed(&t[i], attach)))
			continue;
		add(&c, 0xbf, 6, 1, 0, 0);
		add(&c, 0x30, 0, 0, 0, 0); /* r0 = *(u8 *)skb[0] */
		return_const(&c, allowed(&t[i], attach));
		compare_use(&t[i], attach, &c, t[i].flags & PT_LEGACY_PACKET, "a legacy load");
	}
}

int main(void)
{
	if (skep_open(&engine, NULL))
		return 1;
	RUN(results_are_what_linux_takes);
	RUN(types_need_the_capabilities_of_linux);
	RUN(packets_are_open_as_in_linux);
	RUN(legacy_loads_are_where_linux_has_them);
	skep_close(engine);
	return test_end();
}
