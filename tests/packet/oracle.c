/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BPF_PROG_TEST_RUN beside the running kernel's: each program x packet x context x room for the result runs on both, and errno,
 * verdict, packet, context and reported sizes must be equal. Helpers are told apart by what they return as the verdict.
 *
 * A template's %d are filled from a list of values; programs that this kernel refuses to load are counted, not compared.
 */
#include "../kernel.h"
#include "../sys/sys_test.h"

#include <net/if.h>
#include <stddef.h>

enum { ROOM = 12000, MOST_VALUES = 18 };

static struct skep *engine;
static unsigned compared, refused;

struct program {
	const char *name, *text;
	int values[MOST_VALUES]; /* up to the first END; none: the template has no %d */
};
#define END 0x7fffffff

struct outcome {
	int err;
	uint32_t retval, data_size, ctx_size;
	uint8_t data[ROOM], ctx[256];
};

struct input {
	const uint8_t *data;
	uint32_t size;
	const void *ctx;
	uint32_t ctx_size, room, ctx_room, flags, repeat;
};

typedef int bpf_fn(int cmd, union bpf_attr *attr, unsigned size);

static int engine_bpf(int cmd, union bpf_attr *attr, unsigned size)
{
	return skep_bpf(engine, cmd, attr, size);
}

static void run_one(bpf_fn *bpf, int fd, const struct input *in, struct outcome *out)
{
	union bpf_attr a;
	uint8_t ctx[256];

	memset(out, 0, sizeof(*out));
	memset(&a, 0, sizeof(a));
	if (in->ctx)
		memcpy(ctx, in->ctx, in->ctx_size);
	a.test.prog_fd = (uint32_t)fd;
	a.test.data_in = ADDRESS(in->data);
	a.test.data_size_in = in->size;
	a.test.data_out = in->room ? ADDRESS(out->data) : 0;
	a.test.data_size_out = in->room;
	a.test.ctx_in = in->ctx ? ADDRESS(ctx) : 0;
	a.test.ctx_size_in = in->ctx ? in->ctx_size : 0;
	a.test.ctx_out = in->ctx_room ? ADDRESS(out->ctx) : 0;
	a.test.ctx_size_out = in->ctx_room;
	a.test.flags = in->flags;
	a.test.repeat = in->repeat;
	out->err = bpf(BPF_PROG_TEST_RUN, &a, sizeof(a));
	out->retval = a.test.retval;
	out->data_size = a.test.data_size_out;
	out->ctx_size = a.test.ctx_size_out;
}

static int first_difference(const uint8_t *a, const uint8_t *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (a[i] != b[i])
			return (int)i;
	return -1;
}

static void compare(const char *name, int value, int mine, int kernel, const struct input *in)
{
	static struct outcome a, b;
	int at;

	run_one(engine_bpf, mine, in, &a);
	run_one(kernel_bpf, kernel, in, &b);
	compared++;
	if (a.err != b.err)
		test_fail(__FILE__, __LINE__, "%s %d, %u bytes, type %02x%02x, ctx %u, room %u: errno %d, Linux %d", name, value, in->size,
			  in->size > 13 ? in->data[12] : 0, in->size > 13 ? in->data[13] : 0, in->ctx_size, in->room, -a.err, -b.err);
	else if (!a.err && a.retval != b.retval)
		test_fail(__FILE__, __LINE__, "%s %d, %u bytes, type %02x%02x: verdict %d, Linux %d", name, value, in->size, in->data[12], in->data[13],
			  (int)a.retval, (int)b.retval);
	else if (a.data_size != b.data_size || a.ctx_size != b.ctx_size)
		test_fail(__FILE__, __LINE__, "%s %d, %u bytes, errno %d: sizes %u and %u, Linux %u and %u", name, value, in->size, -a.err,
			  a.data_size, a.ctx_size, b.data_size, b.ctx_size);
	else if ((at = first_difference(a.data, b.data, ROOM)) >= 0)
		test_fail(__FILE__, __LINE__, "%s %d, %u bytes, type %02x%02x: packet differs at %d: %02x, Linux %02x", name, value, in->size,
			  in->data[12], in->data[13], at, a.data[at], b.data[at]);
	else if ((at = first_difference(a.ctx, b.ctx, sizeof(a.ctx))) >= 0)
		test_fail(__FILE__, __LINE__, "%s %d, %u bytes: context differs at %d: %02x, Linux %02x", name, value, in->size, at, a.ctx[at], b.ctx[at]);
}

static struct pair {
	int mine, kernel;
} map; /* what map[fd:0] in a program's text is */

static void name_map(struct raw_insn *raw, uint32_t n, int fd)
{
	for (uint32_t i = 0; i < n; i++)
		if (raw[i].code == (BPF_LD | BPF_IMM | BPF_DW) && raw[i].regs >> 4 == BPF_PSEUDO_MAP_FD)
			raw[i].imm = fd;
}

/* The same bytes on both sides. False: this kernel refuses the program, or it cannot be made. */
static bool load_both(uint32_t type, const char *name, const char *text, int *mine, int *kernel)
{
	static char log[65536];
	struct arena arena;
	struct asm_error err;
	struct raw_insn *raw;
	uint32_t n;

	*mine = *kernel = -1;
	arena_open(&arena, &mem_libc);
	if (asm_parse(&arena, text, (uint32_t)strlen(text), &raw, &n, &err)) {
		test_fail(__FILE__, __LINE__, "%s: %u:%u: %s", name, err.line, err.column, err.text);
	} else {
		name_map(raw, n, map.kernel);
		*kernel = kernel_load(type, raw, n, log, sizeof(log));
		refused += *kernel < 0;
		name_map(raw, n, map.mine);
		if (*kernel >= 0)
			*mine = skep_prog_load(engine, &(struct skep_prog){.size = sizeof(struct skep_prog), .type = type, .insns = raw, .n_insns = n, .license = "GPL"},
					       log, sizeof(log));
		if (*kernel >= 0 && *mine < 0)
			test_fail(__FILE__, __LINE__, "%s: Linux loads it, skep gives %d: %s", name, *mine, log);
		if (*kernel < 0 && getenv("VERBOSE"))
			printf("# %s: refused: %s\n", name, log);
	}
	arena_close(&arena);
	if (*mine < 0 && *kernel >= 0)
		close(*kernel);
	return *mine >= 0;
}

/* ---- packets ---- */

static uint8_t packets[32][10000];
static uint32_t packet_sizes[32], n_packets;

static uint8_t *add_packet(uint32_t size, uint16_t type, const uint8_t destination[6])
{
	uint8_t *p = packets[n_packets];

	for (uint32_t i = 0; i < size; i++)
		p[i] = (uint8_t)(i * 7 + size);
	memcpy(p, destination, 6);
	p[12] = (uint8_t)(type >> 8), p[13] = (uint8_t)type;
	packet_sizes[n_packets++] = size;
	return p;
}

static void make_packets(void)
{
	static const uint8_t ours[6], all[6] = {255, 255, 255, 255, 255, 255}, many[6] = {1, 0, 0x5e, 0, 0, 1}, other[6] = {2, 1, 2, 3, 4, 5};
	uint8_t *p;

	p = add_packet(60, 0x0800, ours), p[14] = 0x45, p[23] = 6;
	p = add_packet(98, 0x0800, other), p[14] = 0x45, p[23] = 17;
	p = add_packet(78, 0x86dd, ours), p[14] = 0x60, p[20] = 17;
	p = add_packet(64, 0x8100, other), p[16] = 0x08, p[17] = 0;
	p = add_packet(68, 0x88a8, many), p[16] = 0x81, p[17] = 0, p[20] = 8, p[21] = 0;
	add_packet(60, 0x0806, all);
	add_packet(60, 0x0026, many); /* a length, not a type */
	add_packet(14, 0x0800, ours);
	add_packet(15, 0x1234, ours);
	add_packet(20, 0x8100, ours);
	p = add_packet(33, 0x0800, ours), p[14] = 0x45;
	p = add_packet(1514, 0x0800, ours), p[14] = 0x45;
}

/* A program of a type that may return 0 or 1 only leaves its result in cb[0] of the context, which it keeps in the stack. */
static void tell_by_context(char *text, size_t room)
{
	static char was[4000];
	size_t n;

	snprintf(was, sizeof(was), "%s", text);
	n = (size_t)snprintf(text, room, "*(u64 *)(r10 -512) = r1\n");
	for (const char *from = was, *end; *from; from = end) {
		end = strstr(from, "exit");
		if (!end) {
			snprintf(text + n, room - n, "%s", from);
			break;
		}
		n += (size_t)snprintf(text + n, room - n, "%.*sgoto told", (int)(end - from), from);
		end += strlen("exit");
	}
	n = strlen(text);
	snprintf(text + n, room - n, "\ntold: r1 = *(u64 *)(r10 -512)\n*(u32 *)(r1 +48) = r0\nr0 = 1\nexit");
}

static void on_packets(uint32_t type, const struct program *p, uint32_t ctx_room)
{
	char text[4000];
	int mine, kernel, i = 0;

	do {
		int v = p->values[i];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof(text), p->text, v, v, v);
#pragma GCC diagnostic pop
		if (type == BPF_PROG_TYPE_CGROUP_SKB)
			tell_by_context(text, sizeof(text));
		if (load_both(type, p->name, text, &mine, &kernel)) {
			for (uint32_t k = 0; k < n_packets; k++) {
				struct xdp_md whole = {.data_end = packet_sizes[k]};
				struct input in = {.data = packets[k], .size = packet_sizes[k], .room = ROOM, .ctx_room = ctx_room};

				compare(p->name, v, mine, kernel, &(struct input){.data = packets[k], .size = packet_sizes[k], .room = ROOM});
				if (type == BPF_PROG_TYPE_XDP)
					in.ctx = &whole, in.ctx_size = sizeof(whole);
				compare(p->name, v, mine, kernel, &in);
			}
			close(mine);
			close(kernel);
		}
		i++;
	} while (i < MOST_VALUES && p->values[i] != END && p->values[0] != END);
}

/* ---- XDP ---- */

#define LOADED "r2 = *(u32 *)(r6 +0)\nr3 = *(u32 *)(r6 +4)\nr4 = r2\nr4 += 14\nif r4 > r3 goto out\n"
#define DELTAS {0, 1, 4, 8, 46, 47, 64, -1, -4, -8, -64, -215, -216, -217, -257, END}

#define CHECK_MTU(length, device, more, flags)                                                                                                           \
	"*(u64 *)(r10 -8) = " length "\nr2 = " device "\nr3 = r10\nr3 += -8\nr4 = " more "\nr5 = " flags                                             \
	"\ncall 163\nif r0 s< 0 goto out\nr1 = *(u32 *)(r10 -8)\nr1 <<= 4\nr0 += r1\nout: exit"
#define MTU_PROGRAMS                                                                                                                                     \
	{"bpf_check_mtu, device", CHECK_MTU("0", "%d", "0", "0"), {0, 1, 0x7fffffff, -1, END}},                                                          \
	{"bpf_check_mtu, length", CHECK_MTU("%d", "0", "0", "0"), {1, 1500, 65535, 65536, 65537, 0x7fffffff, -1, END}},                                  \
	{"bpf_check_mtu, change", CHECK_MTU("0", "0", "%d", "0"), {1, -1, 64000, 65490, 65536, 65537, -65536, 0x7fffffff, END}},                         \
	{"bpf_check_mtu, both", CHECK_MTU("65000", "1", "%d", "0"), {536, 537, -1, 0x7fffffff, END}},                                                    \
	{"bpf_check_mtu, flags", CHECK_MTU("0", "0", "0", "%d"), {1, 2, 3, -1, END}},                                                                    \
	{"bpf_check_mtu, flags and more", CHECK_MTU("0", "0", "%d", "1"), {0, 1, -1, END}}

/* A struct bpf_fib_lookup at fp-64, of 64 bytes: the family's word, the interface, the destination's first word. */
#define ROUTE(family, device, to, size, flags)                                                                                                           \
	"r2 = r10\nr2 += -64\n*(u64 *)(r2 +0) = " family "\n*(u32 *)(r2 +8) = " device "\n*(u32 *)(r2 +12) = 0\n*(u64 *)(r2 +16) = 0\n"                  \
	"*(u64 *)(r2 +24) = 0\n*(u32 *)(r2 +32) = " to "\n*(u32 *)(r2 +36) = 0\n*(u64 *)(r2 +40) = 0\n*(u64 *)(r2 +48) = 0\n*(u64 *)(r2 +56) = 0\n"  \
	"r3 = " size "\nr4 = " flags "\ncall 69\nexit"
#define ROUTE_PROGRAMS                                                                                                                                   \
	{"bpf_fib_lookup, family", ROUTE("%d", "1", "7", "64", "0"), {0, 1, 2, 3, 10, 17, END}},                                                         \
	{"bpf_fib_lookup, device", ROUTE("2", "%d", "7", "64", "0"), {0, 1, 0x7fffffff, -1, END}},                                                       \
	{"bpf_fib_lookup, size", ROUTE("2", "1", "7", "%d", "0"), {1, 4, 63, 64, END}},                                                                  \
	{"bpf_fib_lookup, flags", ROUTE("2", "1", "7", "64", "%d"), {1, 2, 3, 4, 8, 16, 32, 63, 64, 128, -1, END}},                                      \
	{"bpf_fib_lookup, IPv6", ROUTE("10", "1", "%d", "64", "0"), {0, 0x80fe, 0xbffe, 0xc0fe, 0xff, 0x20ff, 0x1002, END}}
/* Nobody listens on port 1. */
#define LOOK(call) "*(u64 *)(r10 -16) = 0\n*(u64 *)(r10 -8) = 0x10001\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = %d\nr5 = 0\ncall " call               \
	"\nif r0 == 0 goto out\nr1 = r0\ncall 86\nr0 = 1\nout: exit"
#define SOCKET_PROGRAMS                                                                                                                                  \
	{"bpf_sk_lookup_tcp", LOOK("84"), {0, 1, -1, END}}, {"bpf_sk_lookup_udp", LOOK("85"), {0, 1, -1, END}}, {"bpf_skc_lookup_tcp", LOOK("99"), {0, 1, -1, END}}

static const struct program xdp_programs[] = {
	MTU_PROGRAMS,
	ROUTE_PROGRAMS,
	SOCKET_PROGRAMS,
	{"verdict", "r0 = %d\nexit", {0, 1, 2, 3, 4, 5, 77, -1, END}},
	{"bpf_xdp_adjust_head", "r2 = %d\ncall 44\nexit", DELTAS},
	{"bpf_xdp_adjust_tail", "r2 = %d\ncall 65\nexit", DELTAS},
	{"bpf_xdp_adjust_meta", "r2 = %d\ncall 54\nexit", DELTAS},
	{"bpf_xdp_adjust_tail, more", "r2 = %d\ncall 65\nexit", {100, 1000, 2000, 3000, 3422, 3423, 3460, 3461, 4000, -1000, -1500, END}},
	{"metadata, then head", "r6 = r1\nr2 = -8\ncall 54\nr1 = r6\nr2 = %d\ncall 44\nexit", DELTAS},
	{"head, then metadata", "r6 = r1\nr2 = -32\ncall 44\nr1 = r6\nr2 = %d\ncall 54\nexit", {0, -4, -8, -30, -32, -180, -184, -188, 4, END}},
	{"head twice", "r6 = r1\nr2 = -100\ncall 44\nr1 = r6\nr2 = %d\ncall 44\nexit", {0, -115, -116, -117, 100, 140, 160, END}},
	{"bpf_xdp_get_buff_len", "call 188\nexit", {END}},
	{"bpf_xdp_load_bytes", "r2 = %d\nr3 = r10\nr3 += -8\nr4 = 4\ncall 189\nif r0 != 0 goto out\nr0 = *(u32 *)(r10 -8)\nout: exit",
	 {0, 1, 10, 11, 56, 57, 60, 1510, 1511, 0xffff, 0x10000, -1, END}},
	{"bpf_xdp_store_bytes", "*(u64 *)(r10 -8) = 0x11223344\nr2 = %d\nr3 = r10\nr3 += -8\nr4 = 6\ncall 190\nexit",
	 {0, 1, 8, 9, 54, 55, 60, 1508, 1509, 0xffff, 0x10000, -1, END}},
	{"bpf_redirect", "r1 = 1\nr2 = %d\ncall 23\nexit", {0, 1, 8, END}},
	{"field", "r0 = *(u32 *)(r1 +%d)\nexit", {12, 16, END}},
	{"length", "r0 = *(u32 *)(r1 +4)\nr1 = *(u32 *)(r1 +0)\nr0 -= r1\nexit", {END}},
	{"no metadata", "r0 = *(u32 *)(r1 +0)\nr1 = *(u32 *)(r1 +8)\nr0 -= r1\nexit", {END}},
	{"rewrite", "r6 = r1\nr0 = 1\n" LOADED "*(u8 *)(r2 +%d) = 171\nr0 = *(u16 *)(r2 +12)\nout: exit", {0, 5, 13, END}},
	{"swap of addresses", "r6 = r1\nr0 = 1\n" LOADED
	 "r5 = *(u32 *)(r2 +0)\nr7 = *(u32 *)(r2 +6)\n*(u32 *)(r2 +0) = r7\n*(u32 *)(r2 +6) = r5\nr0 = 3\nout: exit", {END}},
	{"bpf_csum_diff, from alone", "*(u64 *)(r10 -8) = %d\nr1 = r10\nr1 += -8\nr2 = 4\nr3 = 0\nr4 = 0\nr5 = 0\ncall 28\nexit", {0, 1, -1, 0x1234567, END}},
	{"bpf_csum_diff, from alone, sum", "*(u64 *)(r10 -8) = 0\nr1 = r10\nr1 += -8\nr2 = 4\nr3 = 0\nr4 = 0\nr5 = %d\ncall 28\nexit", {0, 1, -1, 0x1234567, END}},
	{"bpf_csum_diff, to alone", "*(u64 *)(r10 -8) = %d\nr1 = 0\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = 4\nr5 = 0\ncall 28\nexit", {0, 1, -1, 0x1234567, END}},
	{"bpf_csum_diff, the same", "*(u64 *)(r10 -8) = 0\nr1 = r10\nr1 += -8\nr2 = 4\nr3 = r1\nr4 = 4\nr5 = %d\ncall 28\nexit", {0, 1, -1, 0x1234567, END}},
	{"bpf_csum_diff, nothing", "r1 = 0\nr2 = 0\nr3 = 0\nr4 = 0\nr5 = %d\ncall 28\nexit", {0, 1, -1, 0x1234567, END}},
	{"bpf_csum_diff", "*(u64 *)(r10 -8) = 0x1234567\n*(u64 *)(r10 -16) = 0x7fedcba\nr1 = r10\nr1 += -8\nr2 = 8\nr3 = r10\nr3 += -16\nr4 = 8\nr5 = %d\n"
	 "call 28\nexit", {0, 1, 0xffff, -1, END}},
};

TEST(xdp_programs_end_as_on_linux)
{
	if (!kernel_loads(BPF_PROG_TYPE_XDP))
		SKIP(KERNEL_MISSING);
	compared = refused = 0;
	for (uint32_t i = 0; i < ARRAY_SIZE(xdp_programs); i++)
		on_packets(BPF_PROG_TYPE_XDP, &xdp_programs[i], sizeof(struct xdp_md));
	CHECK(compared > 1000);
	CHECK_EQ(refused, 0);
}

#define REDIRECT_FLAGS {0, 1, 2, 3, 4, 8, 10, 16, 24, 27, 32, -1, END}

/* map[fd:0] has an element 0 and a hole 1. */
static const struct program redirect_programs[] = {
	{"bpf_redirect_map", "r1 = map[fd:0]\nr2 = 0\nr3 = %d\ncall 51\nexit", REDIRECT_FLAGS},
	{"bpf_redirect_map, hole", "r1 = map[fd:0]\nr2 = 1\nr3 = %d\ncall 51\nexit", REDIRECT_FLAGS},
	{"bpf_redirect_map, key", "r1 = map[fd:0]\nr2 = %d\nr3 = 2\ncall 51\nexit", {0, 1, 2, 3, 4, 5, 100, -1, END}},
	{"bpf_redirect_map, wide key", "r1 = map[fd:0]\nr2 = 1\nr2 <<= 32\nr3 = %d\ncall 51\nexit", REDIRECT_FLAGS},
	{"lookup", "*(u32 *)(r10 -4) = %d\nr2 = r10\nr2 += -4\nr1 = map[fd:0]\ncall 1\nif r0 == 0 goto out\nr0 = *(u32 *)(r0 +0)\nout: exit", {0, 1, 4, -1, END}},
};

static int map_with_target(bpf_fn *bpf, uint32_t type, uint32_t value_size)
{
	uint32_t key = 0, value[2] = {1, 0}; /* the interface lo, or a queue */
	union bpf_attr a;
	int fd;

	memset(&a, 0, sizeof(a));
	a.map_type = type;
	a.key_size = sizeof(key);
	a.value_size = value_size;
	a.max_entries = 4;
	fd = bpf(BPF_MAP_CREATE, &a, sizeof(a));
	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)fd;
	a.key = ADDRESS(&key);
	a.value = ADDRESS(value);
	if (type != BPF_MAP_TYPE_XSKMAP) /* stays empty */
		CHECK_EQ(bpf(BPF_MAP_UPDATE_ELEM, &a, sizeof(a)), 0);
	return fd;
}

TEST(packets_go_where_maps_say_as_on_linux)
{
	static const uint32_t kinds[] = {BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH, BPF_MAP_TYPE_CPUMAP, BPF_MAP_TYPE_XSKMAP};

	if (!kernel_loads(BPF_PROG_TYPE_XDP))
		SKIP(KERNEL_MISSING);
	compared = refused = 0;
	for (uint32_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (uint32_t value_size = 4; value_size <= (kinds[k] == BPF_MAP_TYPE_XSKMAP ? 4 : 8); value_size += 4) {
			map = (struct pair){map_with_target(engine_bpf, kinds[k], value_size), map_with_target(kernel_bpf, kinds[k], value_size)};
			for (uint32_t i = 0; i < ARRAY_SIZE(redirect_programs); i++)
				on_packets(BPF_PROG_TYPE_XDP, &redirect_programs[i], sizeof(struct xdp_md));
			close(map.mine);
			close(map.kernel);
		}
	CHECK(compared > 5000);
	CHECK_EQ(refused, 2 * 4); /* a program cannot look CPUs up */
}

/* ---- tc and socket filter ---- */

/* A struct bpf_tunnel_key at fp-48 is set, what is read again goes to fp-96: the word at fp-96 + AT is the verdict. */
#define SET_KEY(id, label, size, flags)                                                                                                                  \
	"r6 = r1\n*(u64 *)(r10 -48) = " id "\n*(u64 *)(r10 -40) = 0x2233\n*(u64 *)(r10 -32) = 0x44556677\n*(u32 *)(r10 -28) = 0x4001\n"                  \
	"*(u32 *)(r10 -24) = " label "\n*(u32 *)(r10 -20) = 0x8899\n*(u64 *)(r10 -16) = 0x1234567\n*(u64 *)(r10 -8) = 0x55667788\n"                          \
	"r2 = r10\nr2 += -48\nr3 = " size "\nr4 = " flags "\ncall 21\n"
#define GET_KEY(size, flags)                                                                                                                             \
	"r1 = r6\nr2 = r10\nr2 += -96\nr3 = " size "\nr4 = " flags                                                                                   \
	"\n*(u64 *)(r2 +0) = 7\n*(u64 *)(r2 +8) = 7\n*(u64 *)(r2 +16) = 7\n*(u64 *)(r2 +24) = 7\n*(u64 *)(r2 +32) = 7\n*(u32 *)(r2 +40) = 7\ncall 20\n"
#define KEY_WORDS {-96, -92, -88, -84, -80, -76, -72, -68, -64, -60, -56, END}

/* r0: the packet's, where it is a full one. */
#define SOCKET "r1 = *(u64 *)(r1 +168)\nr0 = 77\nif r1 == 0 goto out\ncall 95\nif r0 == 0 goto out\n"
#define COOKIE(call) "r1 = r0\n*(u64 *)(r10 -80) = 0x45\n*(u64 *)(r10 -72) = 0\n*(u64 *)(r10 -64) = 0\n*(u64 *)(r10 -56) = 0\n*(u64 *)(r10 -48) = 0\n"      \
	"*(u64 *)(r10 -40) = 0\n*(u64 *)(r10 -32) = 0\n*(u64 *)(r10 -24) = 0\n*(u64 *)(r10 -16) = 0\n*(u64 *)(r10 -8) = 0\n"                           \
	"r2 = r10\nr2 += -80\nr3 = 20\nr4 = r10\nr4 += -60\nr5 = %d\ncall " call "\nout: exit"

static const struct program skb_programs[] = {
	{"bpf_skb_set_tunnel_key, flags", SET_KEY("5", "0", "44", "%d") "exit", {0, 1, 2, 4, 8, 16, 31, 32, -1, END}},
	{"bpf_skb_set_tunnel_key, size", SET_KEY("5", "0", "%d", "0") "exit", {1, 4, 8, 20, 22, 24, 28, 32, 43, 44, 45, 48, END}},
	{"bpf_skb_set_tunnel_key, label", SET_KEY("5", "1", "44", "%d") "exit", {0, 1, END}},
	{"bpf_skb_get_tunnel_key, none", "r6 = r1\n" GET_KEY("44", "%d") "exit", {0, 1, 16, 32, END}},
	{"bpf_skb_get_tunnel_key, size", SET_KEY("5", "0", "44", "0") GET_KEY("%d", "0") "exit", {1, 4, 8, 20, 22, 24, 28, 32, 43, 44, END}},
	{"bpf_skb_get_tunnel_key, size, IPv6", SET_KEY("5", "0", "44", "1") GET_KEY("%d", "1") "exit", {8, 24, 28, 44, END}},
	{"bpf_skb_get_tunnel_key, flags", SET_KEY("5", "0", "44", "0") GET_KEY("44", "%d") "exit", {0, 1, 2, 16, 17, 32, END}},
	{"bpf_skb_get_tunnel_key, word", SET_KEY("5", "0", "44", "0") GET_KEY("44", "0") "r0 = *(u32 *)(r10 %d)\nexit", KEY_WORDS},
	{"bpf_skb_get_tunnel_key, flags word", SET_KEY("5", "0", "44", "6") GET_KEY("44", "16") "r0 = *(u32 *)(r10 %d)\nexit", KEY_WORDS},
	{"bpf_skb_get_tunnel_key, flags word of another", SET_KEY("5", "0", "44", "24") GET_KEY("44", "16") "r0 = *(u32 *)(r10 %d)\nexit", KEY_WORDS},
	{"bpf_skb_get_tunnel_key, word, IPv6", SET_KEY("5", "0x7fffffff", "44", "1") GET_KEY("44", "1") "r0 = *(u32 *)(r10 %d)\nexit", KEY_WORDS},
	{"bpf_skb_get_tunnel_key, word after an error", SET_KEY("5", "0", "44", "0") GET_KEY("44", "1") "r0 = *(u32 *)(r10 %d)\nexit", KEY_WORDS},
	{"bpf_skb_get_tunnel_key, old word", SET_KEY("5", "0", "28", "0") GET_KEY("28", "0") "r0 = *(u32 *)(r10 %d)\nexit", KEY_WORDS},
	{"bpf_skb_set_tunnel_opt", SET_KEY("5", "0", "44", "0") "r1 = r6\nr2 = r10\nr2 += -48\nr3 = %d\ncall 30\nexit", {1, 2, 4, 12, 48, END}},
	{"bpf_skb_set_tunnel_opt, no key", "*(u64 *)(r10 -8) = 1\nr2 = r10\nr2 += -8\nr3 = %d\ncall 30\nexit", {4, 8, END}},
	{"bpf_skb_get_tunnel_opt, none", SET_KEY("5", "0", "44", "0") "r1 = r6\nr2 = r10\nr2 += -48\nr3 = %d\ncall 29\nexit", {4, 8, END}},
	{"bpf_skb_get_tunnel_opt", SET_KEY("5", "0", "44", "0") "r1 = r6\nr2 = r10\nr2 += -48\nr3 = 12\ncall 30\nr1 = r6\nr2 = r10\nr2 += -48\nr3 = %d\ncall 29\n"
	 "r1 = *(u32 *)(r10 -16)\nr1 <<= 4\nr0 += r1\nexit", {4, 8, 12, 16, 44, END}},
	{"tunnel options, flags word", SET_KEY("5", "0", "44", "0") "r1 = r6\nr2 = r10\nr2 += -48\nr3 = 12\ncall 30\n" GET_KEY("44", "16") "r0 = *(u32 *)(r10 %d)\nexit",
	 KEY_WORDS},
	MTU_PROGRAMS,
	{"bpf_skb_change_proto", "r2 = %d\nr3 = 0\ncall 31\nexit", {0, 8, 0xdd86, 0x0008, 0x10008, -1, END}},
	{"bpf_skb_change_proto, flags", "r2 = 0xdd86\nr3 = %d\ncall 31\nexit", {1, -1, END}},
	{"bpf_skb_change_proto, fields", "r6 = r1\nr2 = 0xdd86\nr3 = 0\ncall 31\nr0 = *(u32 *)(r6 +%d)\nexit", {0, 16, 68, END}},
	{"bpf_skb_change_proto, there and back", "r6 = r1\nr2 = 0xdd86\nr3 = 0\ncall 31\nr1 = r6\nr2 = 8\nr3 = %d\ncall 31\nexit", {0, END}},
	{"bpf_skb_change_proto, after a tag", "r6 = r1\nr2 = 0x81\nr3 = 0x123\ncall 18\nr1 = r6\nr2 = %d\nr3 = 0\ncall 31\nexit", {8, 0xdd86, END}},
	{"bpf_skb_set_tstamp", "r6 = r1\nr2 = 5\nr3 = %d\ncall 192\nexit", {0, 1, 2, 3, -1, END}},
	{"bpf_skb_set_tstamp, no time", "r6 = r1\nr2 = 0\nr3 = %d\ncall 192\nexit", {0, 1, 2, 3, END}},
	{"bpf_skb_set_tstamp, field", "r6 = r1\nr2 = 5\nr3 = %d\ncall 192\nr0 = *(u64 *)(r6 +152)\nr1 = *(u8 *)(r6 +180)\nr1 <<= 4\nr0 += r1\nexit", {0, 1, 2, END}},
	{"bpf_get_route_realm", "call 24\nr0 += %d\nexit", {1, END}},
	{"verdict", "r0 = %d\nexit", {0, 1, 2, 7, -1, 65536, END}},
	{"field", "r0 = *(u32 *)(r1 +%d)\nexit", {0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, END}},
	{"field", "r0 = *(u32 *)(r1 +%d)\nexit", {60, 64, 68, 72, 84, 160, 164, 176, END}},
	{"wide field", "r0 = *(u64 *)(r1 +%d)\nexit", {152, 184, END}},
	{"field of the socket", "r0 = *(u32 *)(r1 +%d)\nexit", {88, 92, 96, 100, 104, 108, 112, 116, 120, 124, 132, 136, END}},
	{"byte of a field", "r0 = *(u8 *)(r1 +%d)\nexit", {0, 1, 4, 16, 17, 180, END}},
	{"bytes that classic BPF loads", "r6 = r1\nr0 = *(u32 *)skb[%d]\nexit", {0, 10, 11, 42, 46, 56, 57, 1496, 1510, END}},
	{"halfwords that classic BPF loads", "r6 = r1\nr0 = *(u16 *)skb[%d]\nexit", {0, 12, 13, 44, 45, 58, 59, -0x100000, -0x0ffffe, -0x200000, END}},
	{"store", "r0 = 0\n*(u32 *)(r1 +%d) = 0x1234\nexit", {8, 12, 32, 44, 48, 52, 64, 72, END}},
	{"wide store", "r0 = 0\nr2 = 0x12345678\n*(u64 *)(r1 +%d) = r2\nexit", {48, 56, 152, END}},
	{"bpf_skb_load_bytes", "r2 = %d\nr3 = r10\nr3 += -8\nr4 = 4\ncall 26\nif r0 != 0 goto out\nr0 = *(u32 *)(r10 -8)\nout: exit",
	 {0, 1, 10, 42, 46, 56, 57, 60, 1496, 1510, -1, -14, 0xffff, 0x10000, END}},
	{"bpf_skb_load_bytes_relative, mac", "r2 = %d\nr3 = r10\nr3 += -8\nr4 = 4\nr5 = 0\ncall 68\nif r0 != 0 goto out\nr0 = *(u32 *)(r10 -8)\nout: exit",
	 {0, 1, 10, 42, 56, 57, -1, 0xffff, 0x10000, END}},
	{"bpf_skb_load_bytes_relative, net", "r2 = %d\nr3 = r10\nr3 += -8\nr4 = 4\nr5 = 1\ncall 68\nif r0 != 0 goto out\nr0 = *(u32 *)(r10 -8)\nout: exit",
	 {0, 1, 10, 42, 56, 57, -1, 0xffff, 0x10000, END}},
	{"bpf_skb_load_bytes_relative, none", "r2 = 0\nr3 = r10\nr3 += -8\nr4 = 4\nr5 = %d\ncall 68\nexit", {2, 3, -1, END}},
	{"bpf_skb_store_bytes", "*(u64 *)(r10 -8) = 0x11223344\nr2 = %d\nr3 = r10\nr3 += -8\nr4 = 6\nr5 = 0\ncall 9\nexit",
	 {0, 1, 8, 9, 14, 54, 55, 60, 1508, 1509, -1, 0xffff, END}},
	{"bpf_skb_store_bytes, flags", "*(u64 *)(r10 -8) = 0x11223344\nr2 = 2\nr3 = r10\nr3 += -8\nr4 = 6\nr5 = %d\ncall 9\nexit", {1, 2, 3, 4, -1, END}},
	{"bpf_l3_csum_replace", "r2 = %d\nr3 = 0x1234\nr4 = 0x4321\nr5 = 2\ncall 10\nexit", {0, 1, 24, 58, 59, 60, -1, 0xffff, END}},
	{"bpf_l3_csum_replace, flags", "r2 = 24\nr3 = 0\nr4 = 0x4321\nr5 = %d\ncall 10\nexit", {0, 1, 2, 4, 6, 8, 16, END}},
	{"bpf_l3_csum_replace, wide", "r2 = 24\nr3 = %d\nr4 = 0x7654321\nr5 = 4\ncall 10\nexit", {0, 1, -1, 0x1234567, END}},
	{"bpf_l4_csum_replace", "r2 = %d\nr3 = 0x1234\nr4 = 0x4321\nr5 = 2\ncall 11\nexit", {0, 1, 24, 58, 59, 60, -1, 0xffff, END}},
	{"bpf_l4_csum_replace, flags", "r2 = 40\nr3 = 0\nr4 = 0x4321\nr5 = %d\ncall 11\nexit", {0, 1, 2, 4, 0x12, 0x14, 0x20, 0x22, 0x40, 0x100, END}},
	{"bpf_skb_change_type", "r2 = %d\ncall 32\nexit", {0, 1, 2, 3, 4, 5, -1, END}},
	{"bpf_skb_pull_data", "r2 = %d\ncall 39\nexit", {0, 1, 14, 60, 61, 1514, 1515, END}},
	{"bpf_skb_change_tail", "r2 = %d\nr3 = 0\ncall 38\nexit", {0, 1, 13, 14, 20, 33, 34, 54, 60, 100, 1500, END}},
	{"bpf_skb_change_tail, flags", "r2 = 60\nr3 = %d\ncall 38\nexit", {1, -1, END}},
	{"bpf_skb_change_head", "r2 = %d\nr3 = 0\ncall 43\nexit", {0, 1, 4, 14, 20, 64, END}},
	{"bpf_skb_change_head, flags", "r2 = 14\nr3 = %d\ncall 43\nexit", {1, -1, END}},
	{"bpf_skb_vlan_push", "r2 = %d\nr3 = 0x123\ncall 18\nexit", {0, 0x81, 0xa888, 8, END}},
	{"bpf_skb_vlan_push twice", "r6 = r1\nr2 = 0x81\nr3 = 0x123\ncall 18\nr1 = r6\nr2 = %d\nr3 = 0x456\ncall 18\nexit", {0x81, 0xa888, END}},
	{"bpf_skb_vlan_push, fields", "r6 = r1\nr2 = 0x81\nr3 = 0x123\ncall 18\nr0 = *(u32 *)(r6 +%d)\nexit", {0, 16, 20, 24, 28, END}},
	{"bpf_skb_vlan_push twice, fields", "r6 = r1\nr2 = 0x81\nr3 = 0x123\ncall 18\nr1 = r6\nr2 = 0x81\nr3 = 0x456\ncall 18\nr0 = *(u32 *)(r6 +%d)\nexit",
	 {0, 16, 20, 24, 28, END}},
	{"bpf_skb_vlan_pop", "call 19\nexit", {END}},
	{"bpf_skb_vlan_pop, fields", "r6 = r1\ncall 19\nr0 = *(u32 *)(r6 +%d)\nexit", {0, 16, 20, 24, 28, END}},
	{"bpf_set_hash", "r6 = r1\nr2 = %d\ncall 48\nr0 = *(u32 *)(r6 +68)\nexit", {0, 1, -1, END}},
	{"bpf_set_hash_invalid", "call 41\nr0 = %d\nexit", {3, END}},
	{"bpf_csum_update", "r2 = %d\ncall 40\nexit", {0, 1, END}},
	{"bpf_csum_level", "r2 = %d\ncall 135\nexit", {0, 1, 2, 3, 4, END}},
	{"bpf_redirect", "r1 = 1\nr2 = %d\ncall 23\nexit", {0, 1, 2, 8, END}},
	{"bpf_redirect_peer", "r1 = 1\nr2 = %d\ncall 155\nexit", {0, 1, 2, 8, END}},
	{"bpf_redirect_neigh", "r1 = 1\nr2 = 0\nr3 = 0\nr4 = %d\ncall 152\nexit", {0, 1, END}},
	{"bpf_redirect_neigh, next hop", "r1 = 0\n*(u64 *)(r10 -24) = r1\n*(u64 *)(r10 -16) = r1\n*(u64 *)(r10 -8) = r1\nr1 = 1\nr2 = r10\nr2 += -24\n"
	 "r3 = %d\nr4 = 0\ncall 152\nexit", {1, 19, 20, 24, END}},
	{"bpf_skb_adjust_room, link", "r2 = %d\nr3 = 1\nr4 = 0\ncall 50\nexit", {0, 1, 8, 20, 40, 64, 4096, -1, -8, -20, -40, -60, -4096, END}},
	{"bpf_skb_adjust_room, network", "r2 = %d\nr3 = 0\nr4 = 0\ncall 50\nexit", {0, 1, 8, 20, 40, 64, -1, -8, -20, -40, -60, END}},
	{"bpf_skb_adjust_room, flags", "r2 = 28\nr3 = 1\nr4 = %d\ncall 50\nexit", {1, 2, 4, 6, 10, 18, 26, 32, 66, 128, 256, 512, 0x200, END}},
	{"bpf_skb_adjust_room, decapsulation", "r2 = -8\nr3 = 1\nr4 = %d\ncall 50\nexit", {1, 2, 32, 64, 128, 256, 384, END}},
	{"bpf_skb_adjust_room, twice", "r6 = r1\nr2 = 20\nr3 = 1\nr4 = 2\ncall 50\nr1 = r6\nr2 = 20\nr3 = 1\nr4 = %d\ncall 50\nexit", {0, 2, 4, END}},
	{"bpf_skb_adjust_room, fields", "r6 = r1\nr2 = 40\nr3 = 1\nr4 = 4\ncall 50\nr0 = *(u32 *)(r6 +%d)\nexit", {0, 16, 20, END}},
	{"bpf_skb_adjust_room, mode", "r2 = 8\nr3 = %d\nr4 = 0\ncall 50\nexit", {2, -1, END}},
	{"bpf_skb_ecn_set_ce", "r6 = r1\nr2 = 14\n*(u8 *)(r10 -1) = %d\nr2 = 15\nr3 = r10\nr3 += -1\nr4 = 1\nr5 = 0\ncall 9\nr1 = r6\ncall 97\nexit",
	 {0, 1, 2, 3, 0x10, 0x20, 0x30, 0xfd, 0xff, END}},
	{"socket", "r0 = *(u64 *)(r1 +168)\nif r0 == 0 goto out\nr0 = *(u32 *)(r0 +%d)\nout: exit", {4, 24, END}},
	{"full socket", SOCKET "r0 = *(u32 *)(r0 +%d)\nout: exit", {0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 52, 56, 64, 72, 76, END}},
	{"halfword of a full socket", SOCKET "r0 = *(u16 *)(r0 +%d)\nout: exit", {4, 44, 48, 52, END}},
	{"bpf_tcp_sock", SOCKET "r1 = r0\ncall 96\nif r0 == 0 goto out\nr0 = 1\nout: exit", {END}},
	{"bpf_get_listener_sock", SOCKET "r1 = r0\ncall 98\nif r0 == 0 goto out\nr0 = 1\nout: exit", {END}},
	{"bpf_get_socket_cookie", "call 46\nif r0 == 0 goto out\nr0 = %d\nout: exit", {1, END}},
	{"bpf_get_socket_uid", "call 47\nr0 += %d\nexit", {1, END}},
	{"bpf_skb_cgroup_id", "call 79\nexit", {END}},
	{"bpf_skb_ancestor_cgroup_id", "r2 = %d\ncall 83\nexit", {0, 1, 100, -1, END}},
	{"bpf_sk_cgroup_id", SOCKET "r1 = r0\ncall 128\nout: exit", {END}},
	{"bpf_sk_ancestor_cgroup_id", SOCKET "r1 = r0\nr2 = %d\ncall 129\nout: exit", {0, 1, 100, -1, END}},
	{"bpf_skb_cgroup_classid", "call 151\nexit", {END}},
	{"bpf_sk_assign", "r6 = r1\n" SOCKET "r2 = r0\nr1 = r6\nr3 = %d\ncall 124\nout: exit", {0, 1, 2, END}},
	{"bpf_sk_assign, none", "r2 = 0\nr3 = %d\ncall 124\nexit", {0, 1, END}},
	{"bpf_tcp_gen_syncookie", SOCKET COOKIE("110"), {20, 60, END}},
	{"bpf_tcp_check_syncookie", SOCKET COOKIE("100"), {20, 60, END}},
	{"bpf_skb_get_xfrm_state", "*(u64 *)(r10 -8) = 7\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = 8\nr5 = %d\ncall 66\nr1 = *(u64 *)(r10 -8)\nr1 <<= 8\nr0 += r1\nexit",
	 {0, 1, END}},
	ROUTE_PROGRAMS,
	SOCKET_PROGRAMS,
	{"length", "r0 = *(u32 *)(r1 +80)\nr1 = *(u32 *)(r1 +76)\nr0 -= r1\nexit", {END}},
	{"rewrite", "r0 = 0\nr2 = *(u32 *)(r1 +76)\nr3 = *(u32 *)(r1 +80)\nr4 = r2\nr4 += 14\nif r4 > r3 goto out\n*(u8 *)(r2 +%d) = 171\nr0 = *(u16 *)(r2 +12)\nout: exit",
	 {0, 5, 13, END}},
};

static void skb_type(uint32_t type)
{
	if (!kernel_loads(type))
		SKIP(KERNEL_MISSING);
	compared = refused = 0;
	for (uint32_t i = 0; i < ARRAY_SIZE(skb_programs); i++)
		on_packets(type, &skb_programs[i], sizeof(struct __sk_buff));
	CHECK(compared > 500);
}

TEST(tc_programs_end_as_on_linux)
{
	skb_type(BPF_PROG_TYPE_SCHED_CLS);
}

TEST(tc_actions_end_as_on_linux)
{
	skb_type(BPF_PROG_TYPE_SCHED_ACT);
}

TEST(socket_filters_end_as_on_linux)
{
	skb_type(BPF_PROG_TYPE_SOCKET_FILTER);
}

TEST(programs_of_cgroups_end_as_on_linux)
{
	skb_type(BPF_PROG_TYPE_CGROUP_SKB);
}

TEST(programs_of_tunnels_end_as_on_linux)
{
	static const uint32_t types[] = {BPF_PROG_TYPE_LWT_IN, BPF_PROG_TYPE_LWT_OUT, BPF_PROG_TYPE_LWT_XMIT};

	for (uint32_t i = 0; i < ARRAY_SIZE(types); i++)
		skb_type(types[i]);
}

/* ---- what the caller passes ---- */

static const uint32_t packet_types[] = {BPF_PROG_TYPE_XDP, BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_CGROUP_SKB, BPF_PROG_TYPE_LWT_XMIT};

TEST(sizes_are_checked_as_on_linux)
{
	static const uint32_t sizes[] = {0, 1, 13, 14, 15, 60, 1514, 3000}, rooms[] = {0, 1, 13, 14, 20, 60, 61, ROOM}, ctx_rooms[] = {0, 4, 24, 100, 192, 256};
	static uint8_t data[ROOM];
	int mine, kernel;

	if (!kernel_loads(BPF_PROG_TYPE_XDP))
		SKIP(KERNEL_MISSING);
	compared = 0;
	for (uint32_t t = 0; t < ARRAY_SIZE(packet_types); t++) {
		if (!load_both(packet_types[t], "pass", "r0 = 2\nexit", &mine, &kernel))
			continue;
		for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++)
			for (uint32_t r = 0; r < ARRAY_SIZE(rooms); r++)
				for (uint32_t c = 0; c < ARRAY_SIZE(ctx_rooms); c++) {
					struct xdp_md whole = {.data_end = sizes[i]};
					struct input in = {.data = data, .size = sizes[i], .room = rooms[r], .ctx_room = ctx_rooms[c], .repeat = c};

					if (packet_types[t] == BPF_PROG_TYPE_XDP)
						in.ctx = &whole, in.ctx_size = sizeof(whole);
					compare("sizes", (int)packet_types[t], mine, kernel, &in);
				}
		close(mine);
		close(kernel);
	}
	CHECK(compared >= 3 * 8 * 8 * 6);
}

TEST(flags_are_checked_as_on_linux)
{
	static uint8_t data[60];
	int mine, kernel;

	if (!kernel_loads(BPF_PROG_TYPE_XDP))
		SKIP(KERNEL_MISSING);
	for (uint32_t t = 0; t < ARRAY_SIZE(packet_types); t++) {
		if (!load_both(packet_types[t], "pass", "r0 = 2\nexit", &mine, &kernel))
			continue;
		for (uint32_t bit = 0; bit < 32; bit++)
			if (bit != 1 && bit != 2) /* live frames and checked sums are refused with a reason */
				compare("flag", (int)bit, mine, kernel, &(struct input){.data = data, .size = 60, .room = ROOM, .flags = 1u << bit});
		close(mine);
		close(kernel);
	}
}

/* Kernels before 6.18 take a context only for all of the frame. */
static bool kernel_fragments(int kernel)
{
	static struct outcome o;
	struct xdp_md md = {.data_end = 40};
	uint8_t data[60] = {0};

	run_one(kernel_bpf, kernel, &(struct input){.data = data, .size = sizeof(data), .ctx = &md, .ctx_size = sizeof(md)}, &o);
	return !o.err;
}

#define KEPT           "r6 = r1\n"
#define FRAGMENTS_SEEN "r7 = *(u32 *)(r6 +4)\nr1 = *(u32 *)(r6 +0)\nr7 -= r1\nr1 = r6\ncall 188\nr7 <<= 16\nr0 += r7\nexit"

static const struct program fragment_programs[] = {
	{"sizes", KEPT FRAGMENTS_SEEN, {END}},
	{"bpf_xdp_adjust_tail", KEPT "r2 = %d\ncall 65\nr1 = r6\n" FRAGMENTS_SEEN,
	 {-14, -46, -47, -100, -5000, -6001, -7000, -8986, -8987, 1, 100, 1000, 2288, 2289, 4076, END}},
	{"bpf_xdp_adjust_tail twice", KEPT "r2 = %d\ncall 65\nr1 = r6\nr2 = 1000\ncall 65\nr1 = r6\n" FRAGMENTS_SEEN, {0, -1, -2000, -4000, -6000, -6500, -9000, END}},
	{"bpf_xdp_adjust_head", KEPT "r2 = %d\ncall 44\nr1 = r6\n" FRAGMENTS_SEEN, {-216, -217, -8, 20, 26, 27, 46, 47, 2986, 2987, 3506, 3507, END}},
	{"bpf_xdp_load_bytes", KEPT "r2 = %d\nr3 = r10\nr3 += -8\nr4 = 8\n*(u64 *)(r10 -8) = 0\ncall 189\nr1 = *(u64 *)(r10 -8)\nr0 += r1\nexit",
	 {0, 32, 36, 52, 53, 2996, 3516, 8992, 8993, 65535, 65536, END}},
	{"bpf_xdp_store_bytes", KEPT "r2 = %d\nr3 = r10\nr3 += -8\nr4 = 8\n*(u64 *)(r10 -8) = 7\ncall 190\nexit", {0, 36, 52, 53, 2996, 3516, 8992, 8993, END}},
};

static void on_fragments(const struct program *p, int value)
{
	static const struct {
		uint32_t size, data, data_end;
	} frames[] = {{60, 0, 60}, {60, 0, 40}, {60, 0, 14}, {60, 0, 0}, {60, 8, 40}, {3520, 0, 3520}, {3521, 0, 3521}, {9000, 0, 9000}, {9000, 0, 3000},
		      {9000, 100, 3600}, {7616, 0, 7616}, {7615, 0, 3520}};
	static const uint32_t rooms[] = {ROOM, 8999, 6100, 5400, 100, 20, 0};
	static uint8_t data[9000];
	char text[1000];
	int mine, kernel;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), p->text, value);
#pragma GCC diagnostic pop
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	if (!load_both(BPF_PROG_TYPE_XDP, p->name, text, &mine, &kernel))
		return;
	for (uint32_t i = 0; i < ARRAY_SIZE(frames) && kernel_fragments(kernel); i++)
		for (uint32_t r = 0; r < ARRAY_SIZE(rooms); r++) {
			struct xdp_md md = {.data = frames[i].data, .data_end = frames[i].data_end};
			struct input in = {.data = data, .size = frames[i].size, .room = rooms[r], .ctx = &md, .ctx_size = sizeof(md), .ctx_room = sizeof(md)};

			compare(p->name, value, mine, kernel, &in);
		}
	close(mine);
	close(kernel);
}

TEST(xdp_frames_in_fragments_as_on_linux)
{
	if (!kernel_loads(BPF_PROG_TYPE_XDP))
		SKIP(KERNEL_MISSING);
	for (uint32_t i = 0; i < ARRAY_SIZE(fragment_programs); i++) {
		const struct program *p = &fragment_programs[i];
		int v = 0;

		do
			on_fragments(p, p->values[v]);
		while (++v < MOST_VALUES && p->values[v] != END && p->values[0] != END);
	}
}

/* Every byte of the context in turn, at every length that matters. */
TEST(contexts_are_checked_as_on_linux)
{
	static const uint32_t lengths[] = {1, 4, 8, 24, 60, 64, 164, 192, 196, 256};
	static const uint8_t values[] = {1, 2, 4, 44, 48, 60, 68, 252};
	static uint8_t data[60];
	int mine, kernel;

	if (!kernel_loads(BPF_PROG_TYPE_XDP))
		SKIP(KERNEL_MISSING);
	compared = 0;
	for (uint32_t t = 0; t < ARRAY_SIZE(packet_types); t++) {
		if (!load_both(packet_types[t], "pass", "r0 = 2\nexit", &mine, &kernel))
			continue;
		for (uint32_t l = 0; l < ARRAY_SIZE(lengths); l++)
			for (uint32_t at = 0; at < lengths[l]; at++)
				for (uint32_t v = 0; v < ARRAY_SIZE(values); v++)
					for (uint32_t end = 0; end < 2; end++) {
						uint8_t ctx[256] = {0};
						char device[IF_NAMESIZE];

						if (end && t == 0)
							ctx[4] = sizeof(data);
						else if (end)
							continue;
						ctx[at] = values[v];
						if (at == (t ? offsetof(struct __sk_buff, ifindex) : offsetof(struct xdp_md, ingress_ifindex)) && values[v] > 1 &&
						    if_indextoname(values[v], device))
							continue; /* this machine has such a device */
						compare("context", (int)(packet_types[t] * 100000 + at * 1000 + values[v]), mine, kernel,
							&(struct input){.data = data, .size = 60, .room = ROOM, .ctx = ctx, .ctx_size = lengths[l], .ctx_room = 256});
					}
		close(mine);
		close(kernel);
	}
	CHECK(compared > 5000);
}

/* XDP metadata given in the context: what the program sees of it, and what comes back. */
TEST(metadata_is_passed_as_on_linux)
{
	static const char *const texts[] = {
		"r0 = *(u32 *)(r1 +0)\nr2 = *(u32 *)(r1 +8)\nr0 -= r2\nexit",
		"r2 = 4\ncall 54\nexit", "r2 = -4\ncall 54\nexit", "r2 = -8\ncall 44\nexit", "r2 = 8\ncall 44\nexit", "r2 = -20\ncall 65\nexit", "call 188\nexit",
	};
	static uint8_t data[400];
	int mine, kernel;

	if (!kernel_loads(BPF_PROG_TYPE_XDP))
		SKIP(KERNEL_MISSING);
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 3);
	for (uint32_t k = 0; k < ARRAY_SIZE(texts); k++) {
		if (!load_both(BPF_PROG_TYPE_XDP, texts[k], texts[k], &mine, &kernel))
			continue;
		for (uint32_t meta = 0; meta <= 400; meta++)
			compare("metadata", (int)(1000 * k + meta), mine, kernel,
				&(struct input){.data = data, .size = 400, .room = ROOM, .ctx = &(struct xdp_md){.data = meta, .data_end = 400}, .ctx_size = sizeof(struct xdp_md), .ctx_room = sizeof(struct xdp_md)});
		close(mine);
		close(kernel);
	}
}

int main(void)
{
	if (skep_open(&engine, &(struct skep_options){.size = sizeof(struct skep_options)})) {
		printf("Bail out! no engine\n");
		return 1;
	}
	make_packets();
	RUN(xdp_programs_end_as_on_linux);
	RUN(packets_go_where_maps_say_as_on_linux);
	RUN(tc_programs_end_as_on_linux);
	RUN(tc_actions_end_as_on_linux);
	RUN(socket_filters_end_as_on_linux);
	RUN(programs_of_cgroups_end_as_on_linux);
	RUN(programs_of_tunnels_end_as_on_linux);
	RUN(sizes_are_checked_as_on_linux);
	RUN(flags_are_checked_as_on_linux);
	RUN(xdp_frames_in_fragments_as_on_linux);
	RUN(contexts_are_checked_as_on_linux);
	RUN(metadata_is_passed_as_on_linux);
	skep_close(engine);
	return test_end();
}
