/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Does a packet that a verdict redirects arrive anywhere? Linux says it with two pairs of virtual interfaces in a network namespace of the test's own:
 * programs run on frames that arrive at `in0` (XDP: live frames of BPF_PROG_TEST_RUN, tc: an ingress link), and what they send to `out0` is counted at its
 * peer. Skep says it by skep_packet's `nowhere`.
 */
#include "../kernel.h"
#include "../sys/sys_test.h"

#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <linux/if_packet.h>

enum { FRAMES = 64, FRAME = 60, N_MAPS = 3, TCX_INGRESS = 46 /* BPF_TCX_INGRESS */ };

static struct skep *engine;
static uint8_t frame[FRAME];
static int maps[2][N_MAPS]; /* skep's, the kernel's: with out0 at 1, empty, with the frame's own interface at 1 and $ */
static unsigned target;

/* Names in texts: map[fd:N] is one of maps, $ the number of out0. */
struct way_case {
	const char *name, *text;
	bool arrives;
};

static const struct way_case xdp_cases[] = {
	{"no target", "r0 = 4\nexit", false},
	{"an interface", "r1 = $\nr2 = 0\ncall 23\nexit", true},
	{"interface 0", "r1 = 0\nr2 = 0\ncall 23\nexit", false},
	{"flags that are none", "r1 = $\nr2 = 1\ncall 23\nr0 = 4\nexit", false},
	{"flags that are none, after an interface", "r1 = $\nr2 = 0\ncall 23\nr1 = 0\nr2 = 1\ncall 23\nr0 = 4\nexit", true},
	{"a map", "r1 = map[fd:0]\nr2 = 1\nr3 = 0\ncall 51\nexit", true},
	{"a hole of a map", "r1 = map[fd:0]\nr2 = 2\nr3 = 0\ncall 51\nr0 = 4\nexit", false},
	{"a hole after an interface", "r1 = $\nr2 = 0\ncall 23\nr1 = map[fd:0]\nr2 = 2\nr3 = 0\ncall 51\nr0 = 4\nexit", true},
	{"a hole after a map: the key is an interface then", "r1 = map[fd:2]\nr2 = $\nr3 = 0\ncall 51\nr1 = map[fd:0]\nr2 = 2\nr3 = 2\ncall 51\nr0 = 4\nexit", true},
	{"a map after a hole", "r1 = map[fd:0]\nr2 = 2\nr3 = 0\ncall 51\nr1 = map[fd:0]\nr2 = 1\nr3 = 0\ncall 51\nexit", true},
	{"an interface after a hole", "r1 = map[fd:0]\nr2 = 2\nr3 = 0\ncall 51\nr1 = $\nr2 = 0\ncall 23\nexit", true},
	{"map flags that are none", "r1 = map[fd:0]\nr2 = 1\nr3 = 0x100\ncall 51\nr0 = 4\nexit", false},
	{"map flags that are none, after a map", "r1 = map[fd:0]\nr2 = 1\nr3 = 0\ncall 51\nr1 = map[fd:0]\nr2 = 2\nr3 = 0x100\ncall 51\nr0 = 4\nexit", true},
	{"all of a map", "r1 = map[fd:0]\nr2 = 0\nr3 = 8\ncall 51\nexit", true},
	{"all of an empty map", "r1 = map[fd:1]\nr2 = 0\nr3 = 8\ncall 51\nexit", false},
	{"all but where it came from", "r1 = map[fd:0]\nr2 = 0\nr3 = 0x18\ncall 51\nexit", true},
	{"all but where it came from, where nothing else is", "r1 = map[fd:2]\nr2 = 0\nr3 = 0x18\ncall 51\nexit", false},
};

static const struct way_case tc_cases[] = {
	{"no target", "r0 = 7\nexit", false},
	{"an interface", "r1 = $\nr2 = 0\ncall 23\nexit", true},
	{"interface 0", "r1 = 0\nr2 = 0\ncall 23\nexit", false},
	{"flags that are none", "r1 = $\nr2 = 2\ncall 23\nr0 = 7\nexit", false},
	{"flags that are none, after an interface", "r1 = $\nr2 = 0\ncall 23\nr1 = 0\nr2 = 2\ncall 23\nr0 = 7\nexit", true},
	{"interface 0 after another", "r1 = $\nr2 = 0\ncall 23\nr1 = 0\nr2 = 0\ncall 23\nexit", false},
	{"a peer, flags that are none", "r1 = $\nr2 = 1\ncall 155\nr0 = 7\nexit", false},
	{"a neighbour, flags that are none", "r1 = $\nr2 = 0\nr3 = 0\nr4 = 1\ncall 152\nr0 = 7\nexit", false},
};

static int engine_bpf(int cmd, union bpf_attr *attr, unsigned size)
{
	return skep_bpf(engine, cmd, attr, size);
}

typedef int bpf_fn(int cmd, union bpf_attr *attr, unsigned size);
static bpf_fn *const sides[] = {engine_bpf, kernel_bpf};

static void put_device(bpf_fn *bpf, int fd, uint32_t key, unsigned ifindex)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)fd;
	a.key = ADDRESS(&key);
	a.value = ADDRESS(&ifindex);
	CHECK_EQ(bpf(BPF_MAP_UPDATE_ELEM, &a, sizeof(a)), 0);
}

static void make_maps(unsigned kernel_ingress)
{
	for (unsigned s = 0; s < 2; s++) {
		for (unsigned i = 0; i < N_MAPS; i++) {
			union bpf_attr a;

			memset(&a, 0, sizeof(a));
			a.map_type = i == 1 ? BPF_MAP_TYPE_DEVMAP_HASH : BPF_MAP_TYPE_DEVMAP;
			a.key_size = a.value_size = 4;
			a.max_entries = 64;
			maps[s][i] = sides[s](BPF_MAP_CREATE, &a, sizeof(a));
			CHECK(maps[s][i] >= 0);
		}
		put_device(sides[s], maps[s][0], 1, target);
		for (uint32_t key = 1; key <= target; key += target - 1)
			put_device(sides[s], maps[s][2], key, s ? kernel_ingress : 1 /* where skep's packets come from */);
	}
}

/* On a side, or -errno. */
static int load(unsigned side, uint32_t type, const char *text)
{
	char filled[1000], *to = filled;
	struct arena arena;
	struct asm_error err;
	struct raw_insn *raw;
	uint32_t n;
	int fd = -1;

	for (; *text; text++)
		to += *text == '$' ? snprintf(to, 12, "%u", target) : snprintf(to, 2, "%c", *text);
	arena_open(&arena, &mem_libc);
	if (asm_parse(&arena, filled, (uint32_t)strlen(filled), &raw, &n, &err)) {
		test_fail(__FILE__, __LINE__, "%u:%u: %s", err.line, err.column, err.text);
	} else {
		for (uint32_t i = 0; i < n; i++)
			if (raw[i].code == (BPF_LD | BPF_IMM | BPF_DW))
				raw[i].imm = maps[side][raw[i].imm];
		fd = side ? kernel_load(type, raw, n, NULL, 0)
			  : skep_prog_load(engine, &(struct skep_prog){.size = sizeof(struct skep_prog), .type = type, .insns = raw, .n_insns = n, .license = "GPL"}, NULL, 0);
	}
	arena_close(&arena);
	CHECK(fd >= 0);
	return fd;
}

/* Packets that arrived at the peer of out0. */
static unsigned long arrived(void)
{
	unsigned long bytes, packets = 0;
	FILE *f = fopen("/proc/self/net/dev", "r");
	char line[512], *at;

	while (f && fgets(line, sizeof(line), f))
		if ((at = strstr(line, "out1:")))
			sscanf(at + 5, "%lu %lu", &bytes, &packets);
	if (f)
		fclose(f);
	return packets;
}

/* A few packets may be others: of interfaces that come up. */
static bool frames_arrive(unsigned long before)
{
	for (int i = 0; i < 30; i++, usleep(1000))
		if (arrived() - before >= FRAMES)
			return true;
	return false;
}

static int link_to(int prog, unsigned ifindex, uint32_t type)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.link_create.prog_fd = (uint32_t)prog;
	a.link_create.target_ifindex = ifindex;
	a.link_create.attach_type = type;
	return kernel_bpf(BPF_LINK_CREATE, &a, sizeof(a));
}

static bool on_kernel_xdp(int prog, unsigned ingress)
{
	struct xdp_md md = {.data_end = FRAME, .ingress_ifindex = ingress};
	unsigned long before = arrived();
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.test.prog_fd = (uint32_t)prog;
	a.test.data_in = ADDRESS(frame);
	a.test.data_size_in = FRAME;
	a.test.ctx_in = ADDRESS(&md);
	a.test.ctx_size_in = sizeof(md);
	a.test.repeat = FRAMES;
	a.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
	CHECK_EQ(kernel_bpf(BPF_PROG_TEST_RUN, &a, sizeof(a)), 0);
	return frames_arrive(before);
}

static bool on_kernel_tc(int prog, unsigned ingress)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("in1")};
	int sock = socket(AF_PACKET, SOCK_RAW, 0), link = link_to(prog, ingress, TCX_INGRESS);
	unsigned long before = arrived();
	bool all;

	CHECK(sock >= 0 && link >= 0);
	for (int i = 0; i < FRAMES; i++)
		CHECK_EQ(sendto(sock, frame, FRAME, 0, (struct sockaddr *)&to, sizeof(to)), FRAME);
	all = frames_arrive(before);
	close(link);
	close(sock);
	return all;
}

static void on_skep(const struct way_case *c, int prog)
{
	struct skep_packet p = {.data = frame, .size = FRAME, .nowhere = 7};
	struct skep_test_result more = {.size = sizeof(more), .nowhere = 7};
	union bpf_attr a;

	CHECK_EQ(skep_run_packets(engine, prog, &p, 1, NULL, NULL), 0);
	if (p.nowhere != !c->arrives)
		test_fail(__FILE__, __LINE__, "%s: verdict %u, nowhere %u", c->name, p.result, p.nowhere);
	memset(&a, 0, sizeof(a));
	a.test.prog_fd = (uint32_t)prog;
	a.test.data_in = ADDRESS(frame);
	a.test.data_size_in = FRAME;
	CHECK_EQ(skep_prog_test_run(engine, &a, sizeof(a), &more), 0);
	CHECK_EQ(a.test.retval, p.result);
	CHECK_EQ(more.nowhere, p.nowhere);
}

static bool namespace_with_interfaces(void)
{
	static const char make[] = "(ip link add in0 type veth peer name in1 && ip link add out0 type veth peer name out1 && "
				   "for i in lo in0 in1 out0 out1; do ip link set $i up || exit 1; done) >/dev/null 2>&1";

	return unshare(CLONE_NEWNET) == 0 && system(make) == 0 && kernel_loads(BPF_PROG_TYPE_XDP);
}

static void run_cases(uint32_t type, const struct way_case *cases, uint32_t n, bool (*on_kernel)(int prog, unsigned ingress))
{
	for (uint32_t i = 0; i < n; i++) {
		int prog = load(0, type, cases[i].text);

		on_skep(&cases[i], prog);
		close(prog);
		prog = load(1, type, cases[i].text);
		if (on_kernel(prog, if_nametoindex("in0")) != cases[i].arrives)
			test_fail(__FILE__, __LINE__, "%s: on Linux it %s", cases[i].name, cases[i].arrives ? "does not arrive" : "arrives");
		close(prog);
	}
}

TEST(redirected_packets_arrive_where_they_do_on_linux)
{
	int pass, link;

	memset(frame, 0x22, sizeof(frame));
	frame[12] = 0x88, frame[13] = 0xb5; /* for experiments */
	if (!namespace_with_interfaces())
		SKIP("no network namespace with interfaces");
	CHECK_EQ(skep_open(&engine, NULL), 0);
	target = if_nametoindex("out0");
	make_maps(if_nametoindex("in0"));
	pass = load(1, BPF_PROG_TYPE_XDP, "r0 = 2\nexit"); /* without one, out1 takes nothing from XDP */
	link = link_to(pass, if_nametoindex("out1"), BPF_XDP);
	CHECK(link >= 0);
	run_cases(BPF_PROG_TYPE_XDP, xdp_cases, ARRAY_SIZE(xdp_cases), on_kernel_xdp);
	run_cases(BPF_PROG_TYPE_SCHED_CLS, tc_cases, ARRAY_SIZE(tc_cases), on_kernel_tc);
	close(link);
	close(pass);
	for (unsigned i = 0; i < N_MAPS; i++)
		close(maps[0][i]), close(maps[1][i]);
	skep_close(engine);
}

int main(void)
{
	RUN(redirected_packets_arrive_where_they_do_on_linux);
	return test_end();
}
