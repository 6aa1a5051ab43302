/* SPDX-License-Identifier: BSD-2-Clause */
/* A client that puts programs into functions of its own executable by plain bpf(2) and perf_event_open(2). */
#ifndef SKEP_TESTS_PROBING_H
#define SKEP_TESTS_PROBING_H

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = (c), .dst_reg = (d) & 15, .src_reg = (s) & 15, .off = (o), .imm = (i)})

/* What a program adds to value `slot` of an array. */
enum adds { ADD_ONE, ADD_FIELD /* of struct pt_regs, at `field` */, ADD_TID, ADD_TGID, ADD_TIME, ADD_JIFFIES, ADD_RANDOM, ADD_COOKIE, ADD_OF_TASK /* 32 bits of the task's object, at `field` */, ADD_OF_PARENT /* of its real_parent's, which is at `via` */,
	    ADD_OF_BTF_TASK /* the same as ADD_OF_TASK, by a pointer that is followed itself */ };
struct add {
	enum adds what;
	int slot, field, via;
};
enum { SLOTS = 8, FIELD_AX = 80, FIELD_DI = 112, FIELD_IP = 128 };

static inline int probing_bpf(int cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static inline int probing_map(unsigned type, unsigned key_size, unsigned value_size, unsigned entries)
{
	union bpf_attr a = {.map_type = type, .key_size = key_size, .value_size = value_size, .max_entries = entries};

	return probing_bpf(BPF_MAP_CREATE, &a);
}

static inline int probing_array(void)
{
	return probing_map(BPF_MAP_TYPE_ARRAY, 4, 8, SLOTS);
}

static inline uint64_t probing_value(int map, int slot)
{
	uint64_t value = UINT64_MAX;
	union bpf_attr a = {.map_fd = (unsigned)map, .key = (uintptr_t)&slot, .value = (uintptr_t)&value};

	return probing_bpf(BPF_MAP_LOOKUP_ELEM, &a) ? UINT64_MAX : value;
}

/* Copies bytes from what r3 points to, at an offset, to the stack, by a helper. */
static inline unsigned probing_read(struct bpf_insn *code, int offset, int size, int helper)
{
	unsigned n = 0;

	code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, 3, 0, 0, offset);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 1, 10, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, -24);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, size);
	code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper);
	return n;
}

static inline unsigned probing_amount(struct bpf_insn *code, const struct add *a)
{
	unsigned n = 0;

	switch (a->what) {
	case ADD_ONE: code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 7, 0, 0, 1); break;
	case ADD_FIELD: code[n++] = INSN(BPF_LDX | BPF_MEM | BPF_DW, 7, 6, (short)a->field, 0); break;
	case ADD_COOKIE:
		code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0);
		code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_attach_cookie);
		code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 7, 0, 0, 0);
		break;
	case ADD_OF_TASK:
	case ADD_OF_PARENT:
		code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_task);
		code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 3, 0, 0, 0);
		if (a->what == ADD_OF_PARENT) {
			n += probing_read(code + n, a->via, 8, BPF_FUNC_probe_read_kernel);
			code[n++] = INSN(BPF_LDX | BPF_MEM | BPF_DW, 3, 10, -24, 0);
		}
		n += probing_read(code + n, a->field, 4, BPF_FUNC_probe_read_kernel);
		code[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 7, 10, -24, 0);
		break;
	case ADD_OF_BTF_TASK:
		code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_task_btf);
		code[n++] = INSN(BPF_LDX | BPF_MEM | BPF_W, 7, 0, (short)a->field, 0);
		break;
	case ADD_TID:
	case ADD_TGID:
	case ADD_TIME:
	case ADD_JIFFIES:
	case ADD_RANDOM:
		code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0,
				 a->what == ADD_TIME ? BPF_FUNC_ktime_get_ns : a->what == ADD_JIFFIES ? BPF_FUNC_jiffies64 : a->what == ADD_RANDOM ? BPF_FUNC_get_prandom_u32 : BPF_FUNC_get_current_pid_tgid);
		code[n++] = INSN((a->what == ADD_TID ? BPF_ALU : BPF_ALU64) | BPF_MOV | BPF_X, 7, 0, 0, 0);
		if (a->what == ADD_TGID)
			code[n++] = INSN(BPF_ALU64 | BPF_RSH | BPF_K, 7, 0, 0, 32);
	}
	return n;
}

/* The map, a key that lies at r10 - 8, and the helper that takes both. */
static inline unsigned probing_call(struct bpf_insn *code, int map, int helper)
{
	unsigned n = 0;

	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -8);
	code[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, map);
	code[n++] = INSN(0, 0, 0, 0, 0);
	code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper);
	return n;
}

/* Looks for value `slot` of an array: r0. */
static inline unsigned probing_find(struct bpf_insn *code, int map, int slot)
{
	code[0] = INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -8, slot);
	return 1 + probing_call(code + 1, map, BPF_FUNC_map_lookup_elem);
}

/* A program that does all of them; its descriptor. type: enum bpf_attach_type; 0: perf events. */
static inline int probing_load_for(int map, const struct add *adds, unsigned n_adds, unsigned type)
{
	struct bpf_insn code[32 * SLOTS + 4];
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE};
	unsigned n = 0;

	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0);
	for (unsigned i = 0; i < n_adds; i++) {
		n += probing_amount(code + n, &adds[i]);
		n += probing_find(code + n, map, adds[i].slot);
		code[n++] = INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1, 0);
		code[n++] = INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 7, 0, BPF_ADD);
	}
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	code[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	a.expected_attach_type = type;
	a.insns = (uintptr_t)code;
	a.insn_cnt = n;
	a.license = (uintptr_t) "Dual BSD/GPL";
	return probing_bpf(BPF_PROG_LOAD, &a);
}

static inline int probing_load(int map, const struct add *adds, unsigned n_adds)
{
	return probing_load_for(map, adds, n_adds, 0);
}

/* Value `key` of 8 bytes is looked up and counted up: where it is (atomically, or as bpftrace does by an update), or put in. The key, of 4 or 8 bytes: what `of`
 * is, its low bits only. An array's value is there always. */
enum counting { COUNT_THERE, COUNT_UPDATES };
struct count {
	struct add of;
	int mask;
	enum counting how;
	int deletes; /* at the end, if the value is this */
};
static inline int probing_load_count(int map, const struct count *c)
{
	struct bpf_insn code[64];
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE};
	unsigned n = 0, miss, end;

	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0);
	n += probing_amount(code + n, &c->of);
	code[n++] = INSN(BPF_ALU64 | BPF_AND | BPF_K, 7, 0, 0, c->mask);
	code[n++] = INSN(BPF_STX | BPF_MEM | BPF_DW, 10, 7, -8, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 8, 0, 0, 1);
	n += probing_call(code + n, map, BPF_FUNC_map_lookup_elem);
	miss = n;
	code[n++] = INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 0, 0);
	if (c->how == COUNT_THERE)
		code[n++] = INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 8, 0, BPF_ADD);
	else {
		code[n++] = INSN(BPF_LDX | BPF_MEM | BPF_DW, 7, 0, 0, 0);
		code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_X, 8, 7, 0, 0);
	}
	end = n;
	if (c->how == COUNT_THERE)
		code[n++] = INSN(BPF_JMP | BPF_JA, 0, 0, 0, 0);
	code[miss].off = (short)(n - miss - 1);
	code[n++] = INSN(BPF_STX | BPF_MEM | BPF_DW, 10, 8, -16, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 3, 10, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, 3, 0, 0, -16);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 4, 0, 0, c->how == COUNT_THERE ? BPF_NOEXIST : BPF_ANY);
	n += probing_call(code + n, map, BPF_FUNC_map_update_elem);
	if (c->how == COUNT_THERE)
		code[end].off = (short)(n - end - 1);
	if (c->deletes) {
		code[n++] = INSN(BPF_JMP | BPF_JNE | BPF_K, 8, 0, 5, c->deletes);
		n += probing_call(code + n, map, BPF_FUNC_map_delete_elem);
	}
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	code[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	a.insns = (uintptr_t)code;
	a.insn_cnt = n;
	a.license = (uintptr_t) "Dual BSD/GPL";
	return probing_bpf(BPF_PROG_LOAD, &a);
}

/* Puts the first value of an array into a hash, at 0. */
static inline int probing_load_copy(int map, int array)
{
	struct bpf_insn code[32];
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE};
	unsigned n = 0, miss;

	code[n++] = INSN(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -8, 0);
	n += probing_call(code + n, array, BPF_FUNC_map_lookup_elem);
	miss = n;
	code[n++] = INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 3, 0, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 4, 0, 0, BPF_ANY);
	n += probing_call(code + n, map, BPF_FUNC_map_update_elem);
	code[miss].off = (short)(n - miss - 1);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	code[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	a.insns = (uintptr_t)code;
	a.insn_cnt = n;
	a.license = (uintptr_t) "Dual BSD/GPL";
	return probing_bpf(BPF_PROG_LOAD, &a);
}

/* The sum of all values, of all CPUs if it has one for each; *n: elements. */
static inline uint64_t probing_sum(int map, unsigned cpus, unsigned *n)
{
	uint64_t key = 0, next = 0, values[1024], sum = 0;
	union bpf_attr a = {.map_fd = (unsigned)map, .next_key = (uintptr_t)&next};

	for (*n = 0; *n < 10000 && !probing_bpf(BPF_MAP_GET_NEXT_KEY, &a); a.key = (uintptr_t)&key) {
		union bpf_attr get = {.map_fd = (unsigned)map, .key = (uintptr_t)&next, .value = (uintptr_t)values};

		if (!probing_bpf(BPF_MAP_LOOKUP_ELEM, &get))
			for (unsigned i = 0; i < cpus; i++)
				sum += values[i];
		key = next;
		++*n;
	}
	return sum;
}

/* Which file a function lies in, and where. */
static inline unsigned long probing_offset(const void *function, char path[4096])
{
	unsigned long from, to, offset, at = 0;
	char line[4352], flags[8];
	FILE *f = fopen("/proc/self/maps", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %4095[^\n]", &from, &to, flags, &offset, path) == 5 && (uintptr_t)function >= from &&
		    (uintptr_t)function < to) {
			at = (uintptr_t)function - from + offset;
			break;
		}
	if (f)
		fclose(f);
	return at;
}

/* Descriptor of the perf event; closing it ends the probe. */
static inline int probing_attach(int prog, const char *path, unsigned long offset, int at_return)
{
	struct perf_event_attr a = {.size = sizeof(a), .config = (unsigned)at_return, .config1 = (uintptr_t)path, .config2 = offset};
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
	unsigned type = 0;
	int fd;

	if (!f || fscanf(f, "%u", &type) != 1)
		return -1;
	fclose(f);
	a.type = type;
	fd = (int)syscall(SYS_perf_event_open, &a, -1, 0, -1, 8);
	if (fd < 0 || ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog) || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		return -1;
	return fd;
}

#endif
