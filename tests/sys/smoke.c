/* SPDX-License-Identifier: BSD-2-Clause */
/* From bytes to results, through bpf(2): a map, a program that uses it, a packet, and what the maps hold afterwards. */
#include "../host.h"

#include "isa/isa.h"
#include "skep/skep.h"
#include "sys/sys.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <unistd.h>

static struct skep *engine;

static void open_engine_as(int unverified)
{
	struct skep_options opts = {.size = sizeof(opts), .unverified = unverified};

	if (skep_open(&engine, &opts)) {
		printf("Bail out! no engine\n");
		exit(1);
	}
}

static void open_engine(void)
{
	open_engine_as(0);
}

static int load(enum bpf_prog_type type, const char *text, char *log, size_t log_size)
{
	struct arena a;
	struct asm_error err;
	struct raw_insn *raw;
	uint32_t n;
	int fd = -1;

	arena_open(&a, &mem_libc);
	if (asm_parse(&a, text, strlen(text), &raw, &n, &err))
		test_fail(__FILE__, __LINE__, "%u:%u: %s", err.line, err.column, err.text);
	else
		fd = skep_prog_load(engine, &(struct skep_prog){.size = sizeof(struct skep_prog), .type = type, .insns = raw, .n_insns = n, .license = "GPL",
					       .flags = type == BPF_PROG_TYPE_SYSCALL ? BPF_F_SLEEPABLE : 0}, log, log_size);
	arena_close(&a);
	return fd;
}

TEST(a_map_keeps_what_it_is_given)
{
	uint32_t key = 7, missing = 8, next;
	uint64_t value = 42, got = 0;
	int fd = skep_map_create(engine, BPF_MAP_TYPE_HASH, 4, 8, 10, 0);

	REQUIRE(fd >= 0);
	CHECK_EQ(skep_map_update(engine, fd, &key, &value, BPF_ANY), 0);
	CHECK_EQ(skep_map_lookup(engine, fd, &key, &got), 0);
	CHECK_EQ(got, 42);
	CHECK_EQ(skep_map_lookup(engine, fd, &missing, &got), -ENOENT);
	CHECK_EQ(skep_map_update(engine, fd, &key, &value, BPF_NOEXIST), -EEXIST);
	CHECK_EQ(skep_map_next_key(engine, fd, NULL, &next), 0);
	CHECK_EQ(next, 7);
	CHECK_EQ(skep_map_delete(engine, fd, &key), 0);
	CHECK_EQ(skep_map_delete(engine, fd, &key), -ENOENT);
	close(fd);
}

TEST(a_closed_descriptor_is_a_map_gone)
{
	struct { uint32_t id, next, flags; } a = {0};
	int fd = skep_map_create(engine, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0), copy;

	REQUIRE(fd >= 0);
	copy = dup(fd);
	close(fd);
	CHECK_EQ(skep_bpf(engine, BPF_MAP_GET_NEXT_ID, (union bpf_attr *)&a, sizeof(a)), 0);
	close(copy);
	CHECK_EQ(skep_bpf(engine, BPF_MAP_GET_NEXT_ID, (union bpf_attr *)&a, sizeof(a)), -ENOENT);
}

/* Counts the bytes of packets in the map's first element. */
static int load_counter(int map)
{
	char text[600];

	snprintf(text, sizeof(text),
		 "r6 = r1\n"
		 "*(u32 *)(r10 -4) = 0\n"
		 "r1 = map[fd:%d]\n"
		 "r2 = r10\n"
		 "r2 += -4\n"
		 "call bpf_map_lookup_elem#1\n"
		 "if r0 == 0 goto out\n"
		 "r1 = *(u32 *)(r6 +4)\n"
		 "r2 = *(u32 *)(r6 +0)\n"
		 "r1 -= r2\n"
		 "lock *(u64 *)(r0 +0) += r1\n"
		 "out: r0 = 2\n"
		 "exit\n", map);
	return load(BPF_PROG_TYPE_XDP, text, NULL, 0);
}

TEST(a_program_counts_packets_in_a_map)
{
	char packet[64] = {0};
	uint32_t key = 0;
	uint64_t value = 0;
	int map = skep_map_create(engine, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0), prog = load_counter(map);
	struct skep_packet p = {.data = packet, .size = sizeof(packet)};

	REQUIRE(prog >= 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(skep_run_packets(engine, prog, &p, 1, NULL, NULL), 0);
	CHECK_EQ(skep_run_packets(engine, prog, NULL, 1, NULL, NULL), -EINVAL);
	CHECK_EQ(skep_run_packets(engine, prog, &(struct skep_packet){.size = sizeof(packet)}, 1, NULL, NULL), -EINVAL);
	CHECK_EQ(p.result, XDP_PASS);
	CHECK_EQ(skep_map_lookup(engine, map, &key, &value), 0);
	CHECK_EQ(value, 3 * 64);
	close(prog);
	close(map);
}

/* While slots cannot be taken, what needs none runs: bare programs, and those that use values of arrays only. */
TEST(packets_take_no_slot_where_none_is_needed)
{
	static const struct {
		uint32_t kind;
		int err;
	} maps[] = {{BPF_MAP_TYPE_ARRAY, 0}, {BPF_MAP_TYPE_HASH, -EBUSY}, {BPF_MAP_TYPE_PERCPU_ARRAY, -EBUSY}};
	char packet[64] = {0};
	int map[ARRAY_SIZE(maps)], prog[ARRAY_SIZE(maps)], bare = load(BPF_PROG_TYPE_XDP, "r0 = 2\nexit", NULL, 0);
	struct skep_packet p = {.data = packet, .size = sizeof(packet)};

	REQUIRE(bare >= 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(maps); i++) {
		map[i] = skep_map_create(engine, maps[i].kind, 4, 8, 1, 0);
		prog[i] = load_counter(map[i]);
		REQUIRE(prog[i] >= 0);
	}
	domain_stop(engine->domain);
	CHECK_EQ(skep_run_packets(engine, bare, &p, 1, NULL, NULL), 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(maps); i++)
		CHECK_EQ(skep_run_packets(engine, prog[i], &p, 1, NULL, NULL), maps[i].err);
	domain_go(engine->domain);
	for (uint32_t i = 0; i < ARRAY_SIZE(maps); i++) {
		CHECK_EQ(skep_run_packets(engine, prog[i], &p, 1, NULL, NULL), 0);
		close(prog[i]);
		close(map[i]);
	}
	close(bare);
}

TEST(a_fault_names_instruction_and_place)
{
	char packet[20] = {0};
	struct skep_packet p = {.data = packet, .size = sizeof(packet)};
	struct skep_fault fault;
	struct skep *verified = engine;
	int prog = load(BPF_PROG_TYPE_XDP, "r2 = *(u32 *)(r1 +0)\nr0 = *(u8 *)(r2 +20)\nexit", NULL, 0);

	CHECK_EQ(prog, -EACCES); /* the verifier sees it first, */
	open_engine_as(1); /* and the interpreter where there is none */
	prog = load(BPF_PROG_TYPE_XDP, "r2 = *(u32 *)(r1 +0)\nr0 = *(u8 *)(r2 +20)\nexit", NULL, 0);
	REQUIRE(prog >= 0);
	CHECK_EQ(skep_run_packets(engine, prog, &p, 1, NULL, &fault), -EFAULT);
	CHECK_STR(fault.text, "insn 1: load of 1 bytes at packet offset 20, outside of its 20 bytes");
	close(prog);
	skep_close(engine);
	engine = verified;
}

TEST(the_log_says_why_a_program_is_refused)
{
	char log[512];

	CHECK_EQ(load(BPF_PROG_TYPE_XDP, "r0 = 0\ncall 4\nexit", log, sizeof(log)), -EINVAL);
	CHECK(strstr(log, "program of this type cannot use helper bpf_probe_read#4") != NULL);
	CHECK_EQ(load(BPF_PROG_TYPE_XDP, "r0 = 0\ncall 9999\nexit", log, sizeof(log)), -EINVAL);
	CHECK(strstr(log, "invalid func unknown#9999") != NULL);
}

TEST(printed_text_comes_out_of_the_trace_pipe)
{
	char out[512];
	size_t n;
	int prog = load(BPF_PROG_TYPE_RAW_TRACEPOINT,
			"*(u64 *)(r10 -8) = 0x206f6c6c\n" /* filled below byte by byte */
			"*(u8 *)(r10 -8) = 0x68\n*(u8 *)(r10 -7) = 0x69\n*(u8 *)(r10 -6) = 0x20\n*(u8 *)(r10 -5) = 0x25\n*(u8 *)(r10 -4) = 0x64\n*(u8 *)(r10 -3) = 0\n"
			"r1 = r10\nr1 += -8\nr2 = 6\nr3 = 42\nr4 = 0\nr5 = 0\ncall bpf_trace_printk#6\nexit", NULL, 0);
	struct skep_run run = {.size = sizeof(run)};

	REQUIRE(prog >= 0);
	CHECK_EQ(skep_run(engine, prog, &run), 0);
	CHECK_EQ(run.result, 5);
	n = skep_trace_read(engine, out, sizeof(out) - 1);
	out[n] = 0;
	CHECK(strstr(out, "bpf_trace_printk: hi 42\n") != NULL);
	close(prog);
}

/* What has a row and no body is verified; running it is refused. */
TEST(a_program_that_needs_a_missing_helper_loads_and_does_not_run)
{
	struct skep_run run = {.size = sizeof(run)};
	int prog = load(BPF_PROG_TYPE_RAW_TRACEPOINT, "r1 = 0\n*(u64 *)(r10 -16) = r1\n*(u64 *)(r10 -8) = r1\nr1 = r10\nr1 += -16\nr2 = 8\nr3 = r10\nr3 += -16\nr4 = 16\nr5 = 0\n"
						     "call bpf_snprintf_btf#149\nr0 = 0\nexit", NULL, 0);

	REQUIRE(prog >= 0);
	CHECK_EQ(skep_run(engine, prog, &run), -EOPNOTSUPP);
	close(prog);
}

static int run_with(int prog, void *ctx, size_t size, void *memory, size_t lent)
{
	struct skep_memory m = {memory, lent, 1};
	struct skep_run run = {.size = sizeof(run), .ctx = ctx, .ctx_size = size, .memory = &m, .n_memory = memory != NULL};

	return skep_run(engine, prog, &run);
}

/* Compiled code checks no address: what the verifier let it reach must be there. */
TEST(a_run_brings_all_that_its_program_reaches)
{
	uint64_t ctx[12] = {0}, buffer[2] = {0};
	int args = load(BPF_PROG_TYPE_RAW_TRACEPOINT, "r0 = *(u64 *)(r1 +88)\nexit", NULL, 0);
	int far = load(BPF_PROG_TYPE_SYSCALL, "r0 = *(u32 *)(r1 +8960)\nexit", NULL, 0);
	int writes = load(BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, "r2 = *(u64 *)(r1 +0)\nr3 = 7\n*(u64 *)(r2 +8) = r3\nr0 = 0\nexit", NULL, 0);
	int xdp = load(BPF_PROG_TYPE_XDP, "r0 = 2\nexit", NULL, 0);

	REQUIRE(args >= 0 && writes >= 0 && xdp >= 0);
	CHECK_EQ(run_with(args, ctx, 88, NULL, 0), -EINVAL);
	CHECK_EQ(run_with(args, ctx, 96, NULL, 0), 0);
	CHECK_EQ(run_with(args, NULL, 96, NULL, 0), -EINVAL);
	CHECK_EQ(run_with(far, ctx, sizeof(ctx), NULL, 0), -EINVAL);
	ctx[0] = (uint64_t)(uintptr_t)buffer;
	CHECK_EQ(run_with(writes, ctx, sizeof(ctx), NULL, 0), -EINVAL);
	CHECK_EQ(run_with(writes, ctx, sizeof(ctx), buffer, 8), -EINVAL);
	CHECK_EQ(run_with(writes, ctx, sizeof(ctx), buffer, 16), 0);
	CHECK_EQ(buffer[1], 7);
	CHECK_EQ(run_with(xdp, ctx, sizeof(struct xdp_md), NULL, 0), -EINVAL);
	close(args), close(far), close(writes), close(xdp);
}

/* A tail call to a program that reaches further than the run's memory does not happen. */
TEST(a_tail_call_needs_the_memory_of_its_target)
{
	char text[200];
	uint64_t ctx[1] = {0};
	uint32_t key = 0;
	int array = skep_map_create(engine, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1, 0), caller;
	int far = load(BPF_PROG_TYPE_RAW_TRACEPOINT, "r0 = *(u64 *)(r1 +88)\nr0 = 1\nexit", NULL, 0);
	struct skep_run run = {.size = sizeof(run), .ctx = ctx, .ctx_size = sizeof(ctx)};

	REQUIRE(array >= 0 && far >= 0);
	snprintf(text, sizeof(text), "r2 = map[fd:%d]\nr3 = 0\ncall bpf_tail_call#12\nr0 = 2\nexit\n", array);
	caller = load(BPF_PROG_TYPE_RAW_TRACEPOINT, text, NULL, 0);
	REQUIRE(caller >= 0);
	CHECK_EQ(skep_map_update(engine, array, &key, &far, 0), 0);
	CHECK_EQ(skep_run(engine, caller, &run), 0);
	CHECK_EQ(run.result, 2);
	close(caller), close(far), close(array);
}

TEST(a_test_run_tells_where_it_faulted)
{
	struct skep_test_result more = {.size = sizeof(more) - 1};
	uint8_t frame[60] = {0};
	struct skep *own, *shared = engine;
	union bpf_attr a;
	int fd;

	REQUIRE(skep_open(&own, &(struct skep_options){.size = sizeof(struct skep_options), .unverified = 1}) == 0);
	engine = own;
	fd = load(BPF_PROG_TYPE_XDP, "r2 = *(u32 *)(r1 +0)\nr0 = *(u8 *)(r2 +60)\nexit", NULL, 0);
	engine = shared;
	memset(&a, 0, sizeof(a));
	a.test.prog_fd = (uint32_t)fd;
	a.test.data_in = (uint64_t)(uintptr_t)frame;
	a.test.data_size_in = sizeof(frame);
	CHECK_EQ(skep_prog_test_run(own, &a, sizeof(a), &more), -EINVAL); /* a size that no library had */
	more.size = sizeof(more);
	CHECK_EQ(skep_prog_test_run(own, &a, sizeof(a), &more), -EFAULT);
	CHECK_EQ(more.fault.insn, 1);
	CHECK(strstr(more.fault.text, "packet offset 60") != NULL);
	a.test.data_in = 0;
	CHECK_EQ(skep_prog_test_run(own, &a, sizeof(a), &more), -EFAULT);
	CHECK_STR(more.fault.text, "");
	close(fd);
	skep_close(own);
}

int main(void)
{
	open_engine();
	RUN(a_map_keeps_what_it_is_given);
	RUN(a_closed_descriptor_is_a_map_gone);
	RUN(a_program_counts_packets_in_a_map);
	RUN(packets_take_no_slot_where_none_is_needed);
	RUN(a_fault_names_instruction_and_place);
	RUN(the_log_says_why_a_program_is_refused);
	RUN(printed_text_comes_out_of_the_trace_pipe);
	RUN(a_program_that_needs_a_missing_helper_loads_and_does_not_run);
	RUN(a_run_brings_all_that_its_program_reaches);
	RUN(a_tail_call_needs_the_memory_of_its_target);
	RUN(a_test_run_tells_where_it_faulted);
	skep_close(engine);
	return test_end();
}
