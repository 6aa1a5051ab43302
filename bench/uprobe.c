/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-uprobe [CALLS]: what a probe costs the function that it is in, ns per call: for a program that counts in an array, one that looks whose call it is
 * besides, and an empty one at the function's return. By plain bpf(2): beside the kernel's own where root runs it, skep's under `skep shell`.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

__attribute__((noinline)) static int probed(int a)
{
	__asm__ volatile("" : "+r"(a) : : "memory");
	return a + 1;
}

enum { TURNS = 5 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double loop(long n)
{
	double began = now();
	int x = 0;

	for (long i = 0; i < n; i++)
		x = probed(x);
	return x == (int)n ? (now() - began) / (double)n : -1;
}

/* In a process of its own, as the target: it is warm after the first turn. The best of the others. */
static double child(long n, long *calls)
{
	double best = -1;
	int out[2], status;

	if (pipe(out))
		return -1;
	if (!fork()) {
		loop(100);
		for (int i = 0; i < TURNS; i++) {
			double ns = loop(n);

			best = best < 0 || ns < best ? ns : best;
		}
		_exit(write(out[1], &best, sizeof(best)) != sizeof(best));
	}
	close(out[1]);
	if (read(out[0], &best, sizeof(best)) != sizeof(best))
		best = -1;
	close(out[0]);
	wait(&status);
	*calls = 100 + TURNS * n;
	return best;
}

static int bpf(int cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int array(void)
{
	union bpf_attr a = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 16, .max_entries = 4};

	return bpf(BPF_MAP_CREATE, &a);
}

#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})

static int load(int map, int counts, int names)
{
	struct bpf_insn code[32];
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE};
	unsigned n = 0;

	if (names) {
		code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_pid_tgid);
		code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 6, 0, 0, 0);
	}
	if (counts) {
		code[n++] = INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 1);
		code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0);
		code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4);
		code[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, map);
		code[n++] = INSN(0, 0, 0, 0, 0);
		code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
		code[n++] = INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, names ? 3 : 2, 0);
		if (names)
			code[n++] = INSN(BPF_STX | BPF_MEM | BPF_DW, 0, 6, 8, 0);
		code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, 1);
		code[n++] = INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 1, 0, BPF_ADD);
	}
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	code[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	a.insns = (uintptr_t)code;
	a.insn_cnt = n;
	a.license = (uintptr_t) "Dual BSD/GPL";
	return bpf(BPF_PROG_LOAD, &a);
}

static unsigned long probed_offset(void)
{
	unsigned long from, to, offset, at = 0;
	char line[512], flags[8];
	FILE *f = fopen("/proc/self/maps", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s %lx", &from, &to, flags, &offset) == 4 && (uintptr_t)probed >= from && (uintptr_t)probed < to)
			at = (uintptr_t)probed - from + offset;
	if (f)
		fclose(f);
	return at;
}

static int attach(int prog, int at_return)
{
	struct perf_event_attr a = {.size = sizeof(a), .config = (unsigned)at_return, .config2 = probed_offset()};
	char self[4096] = {0};
	unsigned type = 0;
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
	int fd;

	if (!f || fscanf(f, "%u", &type) != 1 || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return -1;
	fclose(f);
	a.type = type;
	a.config1 = (uintptr_t)self;
	fd = (int)syscall(SYS_perf_event_open, &a, -1, 0, -1, 8);
	if (fd < 0 || ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog) || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		return -1;
	return fd;
}

static int row(const char *name, long n, int counts, int names, int at_return)
{
	uint64_t value[2] = {0};
	uint32_t key = 1;
	int map = array(), prog = load(map, counts, names), fd = prog < 0 ? -1 : attach(prog, at_return);
	union bpf_attr a = {.map_fd = (unsigned)map, .key = (uintptr_t)&key, .value = (uintptr_t)value};
	long calls;
	double ns;

	if (fd < 0) {
		printf("%-28s not here: %s\n", name, strerror(errno));
		return 1;
	}
	ns = child(n, &calls);
	if (bpf(BPF_MAP_LOOKUP_ELEM, &a) || (counts && value[0] != (uint64_t)calls)) {
		printf("%-28s %ld calls, %llu counted\n", name, calls, (unsigned long long)value[0]);
		ns = -1;
	} else {
		printf("%-28s %8.1f ns\n", name, ns);
	}
	close(fd);
	close(prog);
	close(map);
	return ns < 0;
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 1000000, calls;
	int bad = 0;

	printf("%-28s %8.1f ns\n", "no probe", child(n, &calls));
	fflush(stdout);
	bad |= row("uprobe, counts", n, 1, 0, 0);
	bad |= row("uprobe, counts, asks whose", n, 1, 1, 0);
	bad |= row("uretprobe, empty", n, 0, 0, 1);
	return bad;
}
