/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What programs that run inside of the process that meets a probe (under `skep shell`) read of kernel and stack, print and make of it: as at a breakpoint. Targets are
 * children of this process.
 */
#include "target.h"

#include <stddef.h>

/* What is the kernel's, what is none, and what is the program's own: each is told by another result. */
enum { KERNEL_TASK, KERNEL_USER, KERNEL_NONE, KERNEL_HIGH, KERNEL_STACK, KERNEL_CONTEXT, KERNEL_VALUE, KERNEL_WAYS };

static int load_reading(int map, int way)
{
	struct bpf_insn code[64];
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE, .insns = (uintptr_t)code, .license = (uintptr_t) "Dual BSD/GPL"};
	unsigned n = 0;

	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0);
	code[n++] = INSN(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -32, 0x11223344);
	n += probing_find(code + n, map, 0);
	code[n++] = INSN(BPF_JMP | BPF_JNE | BPF_K, 0, 0, 1, 0);
	code[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 8, 0, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 3, 6, 0, 0); /* KERNEL_CONTEXT */
	if (way == KERNEL_TASK) {
		code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_task);
		code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 3, 0, 0, 0);
	} else if (way == KERNEL_USER) {
		code[n++] = INSN(BPF_LDX | BPF_MEM | BPF_DW, 3, 6, 152, 0); /* its stack */
		code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, 3, 0, 0, 4096);
	} else if (way == KERNEL_NONE || way == KERNEL_HIGH) {
		code[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, 3, 0, 0, 0);
		code[n++] = INSN(0, 0, 0, 0, way == KERNEL_NONE ? 0x00ff0000 : (int)0xffff8880);
	} else if (way == KERNEL_STACK) {
		code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 3, 10, 0, 0);
		code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, 3, 0, 0, -32);
	} else if (way == KERNEL_VALUE) {
		code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 3, 8, 0, 0);
	}
	code[n++] = INSN(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -24, 7);
	n += probing_read(code + n, 0, 8, BPF_FUNC_probe_read_kernel);
	code[n++] = INSN(BPF_STX | BPF_MEM | BPF_DW, 8, 0, 8, 0); /* the result, and whether anything came */
	code[n++] = INSN(BPF_LDX | BPF_MEM | BPF_DW, 1, 10, -24, 0);
	code[n++] = INSN(BPF_STX | BPF_MEM | BPF_DW, 8, 1, 16, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, 1);
	code[n++] = INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 8, 1, 24, BPF_ADD);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	code[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	a.insn_cnt = n;
	return probing_bpf(BPF_PROG_LOAD, &a);
}

static void work_once(struct told *t)
{
	work(1, 1);
	t->jumped = is_jump(TEXT(work));
}

TEST(kernel_memory_is_the_same_at_a_breakpoint_and_inside)
{
	for (int way = 0; way < KERNEL_WAYS; way++) {
		uint64_t value[2][4] = {0};

		for (int inside = 0; inside < 2; inside++) {
			int map = probing_map(BPF_MAP_TYPE_ARRAY, 4, 32, 1), prog = load_reading(map, way), fd, key = 0;
			union bpf_attr get = {.map_fd = (unsigned)map, .key = (uintptr_t)&key, .value = (uintptr_t)value[inside]};
			char path[4096];
			unsigned long at = probing_offset(TEXT(work), path);
			struct told t;

			CHECK(prog >= 0);
			fd = probing_attach(prog, path, at, 0);
			CHECK(fd >= 0);
			t = run(inside ? work_many : work_once);
			CHECK_EQ(t.jumped, inside);
			CHECK_EQ(probing_bpf(BPF_MAP_LOOKUP_ELEM, &get), 0);
			CHECK_EQ(value[inside][3], inside ? t.calls : 1);
			close(fd);
			close(prog);
			close(map);
		}
		CHECK_EQ(value[0][1], value[1][1]);
		CHECK_EQ((int64_t)value[0][1], way == KERNEL_USER || way == KERNEL_NONE ? -ERANGE : way == KERNEL_HIGH ? -EFAULT : 0);
		if (way != KERNEL_VALUE && way != KERNEL_CONTEXT) /* the number of a run, and a register */
			CHECK_EQ(value[0][2], value[1][2]);
	}
}

/* Prints and makes texts: "work 7 of NAME" where the first argument is 7 modulo 1000, and the number alone each time, whose length is added to value 1. */
static int load_texts(int map, int formats)
{
	struct bpf_insn code[96];
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE, .insns = (uintptr_t)code, .license = (uintptr_t) "Dual BSD/GPL"};
	unsigned n = 0, skip;

	code[n++] = INSN(BPF_LDX | BPF_MEM | BPF_DW, 6, 1, FIELD_DI, 0);
	code[n++] = INSN(BPF_STX | BPF_MEM | BPF_DW, 10, 6, -16, 0);
	code[n++] = INSN(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -40, 0);
	code[n++] = INSN(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -32, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 1, 10, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, -40);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 16);
	code[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, 3, BPF_PSEUDO_MAP_VALUE, 0, formats);
	code[n++] = INSN(0, 0, 0, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 4, 10, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, -16);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 5, 0, 0, 8);
	code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_snprintf);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 7, 0, 0, 0);
	code[n++] = INSN(BPF_LDX | BPF_MEM | BPF_B, 8, 10, -40, 0); /* the first digit */
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_MOD | BPF_K, 1, 0, 0, 1000);
	skip = n;
	code[n++] = INSN(BPF_JMP | BPF_JNE | BPF_K, 1, 0, 0, 7);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 1, 10, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, -40);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 16);
	code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_comm);
	code[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_VALUE, 0, formats);
	code[n++] = INSN(0, 0, 0, 0, 8);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 15);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 3, 6, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 4, 10, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, -40);
	code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_trace_printk);
	code[skip].off = (short)(n - skip - 1);
	n += probing_find(code + n, map, 0);
	code[n++] = INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2, 0);
	code[n++] = INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 7, 0, BPF_ADD);
	code[n++] = INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 8, 8, BPF_ADD);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	code[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	a.insn_cnt = n;
	return probing_bpf(BPF_PROG_LOAD, &a);
}

static void work_some(struct told *t)
{
	char number[16];

	for (int i = 0; i < 2 * WARM; i++) {
		work(i, 2);
		t->sum += (uint64_t)snprintf(number, sizeof(number), "%d", i) + 1;
		t->more += (uint64_t)number[0];
	}
	work(1007, 2);
	t->sum += 5;
	t->more += '1';
	t->jumped = is_jump(TEXT(work));
}

TEST(texts_that_are_printed_and_made)
{
	static const char texts[32] = "%d\0     work %d of %s";
	union bpf_attr c = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = sizeof(texts), .max_entries = 1, .map_flags = BPF_F_RDONLY_PROG};
	int map = probing_map(BPF_MAP_TYPE_ARRAY, 4, 16, 1), formats = probing_bpf(BPF_MAP_CREATE, &c), prog, fd, key = 0, pipe;
	uint64_t value[2] = {0};
	union bpf_attr set = {.map_fd = (unsigned)formats, .key = (uintptr_t)&key, .value = (uintptr_t)texts}, freeze = {.map_fd = (unsigned)formats};
	union bpf_attr get = {.map_fd = (unsigned)map, .key = (uintptr_t)&key, .value = (uintptr_t)value};
	char path[4096], line[4096] = "", *at = line;
	unsigned long offset = probing_offset(TEXT(work), path);
	struct told t;
	ssize_t got;

	CHECK_EQ(probing_bpf(BPF_MAP_UPDATE_ELEM, &set), 0);
	CHECK_EQ(probing_bpf(BPF_MAP_FREEZE, &freeze), 0);
	prog = load_texts(map, formats);
	fd = probing_attach(prog, path, offset, 0);
	CHECK(prog >= 0 && fd >= 0);
	t = run(work_some);
	CHECK(t.jumped);
	CHECK_EQ(probing_bpf(BPF_MAP_LOOKUP_ELEM, &get), 0);
	CHECK_EQ(value[0], t.sum);
	CHECK_EQ(value[1], t.more);
	pipe = open("/sys/kernel/debug/tracing/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	for (int i = 0; i < 500 && pipe >= 0 && !strstr(line, "work 1007"); i++) {
		got = read(pipe, at, (size_t)(line + sizeof(line) - 1 - at));
		at += got > 0 ? got : 0;
		usleep(10000);
	}
	CHECK(strstr(line, ": bpf_trace_printk: work 7 of t-shell-reads\n")); /* at a breakpoint */
	CHECK(strstr(line, ": bpf_trace_printk: work 1007 of t-shell-reads\n"));
	close(pipe);
	close(fd);
	close(prog);
	close(formats);
	close(map);
}

int main(void)
{
	RUN(kernel_memory_is_the_same_at_a_breakpoint_and_inside);
	RUN(texts_that_are_printed_and_made);
	return test_end();
}
