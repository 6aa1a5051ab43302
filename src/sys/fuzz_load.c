/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: PROG_LOAD of any attr and any instructions, and a run of what was accepted. The first byte chooses what the attr's
 * pointers refer to: the rest of the input or valid parts; lengths are cut to what is really there, as a process must.
 */
#include "skep/skep.h"
#include "sys/attr.h"

#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define ADDRESS(p) ((u64)(uintptr_t)(p))

static struct skep *k;
static int map, values;

static void start(void)
{
	struct skep_options opts = {.size = sizeof(opts), .max_insns = 20000};

	if (skep_open(&k, &opts))
		abort();
	map = skep_map_create(k, BPF_MAP_TYPE_HASH, 4, 8, 4, 0);
	values = skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, 64, 1, 0);
	if (map < 0 || values < 0)
		abort();
}

static void run(int prog)
{
	char packet[96] = {0}, ctx[64] = {0};
	struct skep_packet p = {.data = packet, .size = sizeof(packet)};
	struct skep_run r = {.size = sizeof(r), .ctx = ctx, .ctx_size = sizeof(ctx)};
	struct skep_fault fault;

	if (skep_run_packets(k, prog, &p, 1, NULL, &fault) == -EINVAL)
		skep_run(k, prog, &r);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	enum { FIXED = sizeof(struct attr_prog_load), CODE_MOST = 4096 };
	static u8 code[CODE_MOST + 8], log[512];
	struct attr_prog_load a = {0};
	s32 fds[4];
	u32 n;
	int fd;

	if (!k)
		start();
	if (size < 1)
		return 0;
	fds[0] = fds[2] = map;
	fds[1] = fds[3] = values;
	memset(code, 0, sizeof(code));
	if (data[0] & 1 && size > 1 + FIXED) { /* a wild attr, then bytes */
		memcpy(&a, data + 1, FIXED);
		data += 1 + FIXED;
		size -= 1 + FIXED;
	} else { /* a plain one: the bytes are instructions */
		static const u32 types[] = {BPF_PROG_TYPE_XDP, BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_PROG_TYPE_SYSCALL};

		a.prog_type = types[data[0] >> 1 & 3];
		a.prog_flags = a.prog_type == BPF_PROG_TYPE_SYSCALL ? BPF_F_SLEEPABLE : 0;
		a.log_level = data[0] >> 3 & 1;
		a.insn_cnt = (u32)MIN(size - 1, (size_t)CODE_MOST) / 8;
		data++;
		size--;
	}
	n = (u32)MIN(size, (size_t)CODE_MOST);
	memcpy(code, data, n);
	a.insns = ADDRESS(code);
	a.insn_cnt = MIN(a.insn_cnt, CODE_MOST / 8u);
	a.license = ADDRESS("GPL");
	a.log_buf = a.log_level ? ADDRESS(log) : 0;
	a.log_size = a.log_level ? (u32)sizeof(log) : 0;
	a.fd_array = ADDRESS(fds);
	/* Indices into the array of descriptors are not bounded by the call: keep them in what is there. */
	for (u32 i = 0; i + 8 <= n; i += 8)
		if (code[i] == 0x18) {
			u8 src = code[i + 1] >> 4;

			if (src == 5 || src == 6)
				code[i + 4] &= 3, code[i + 5] = code[i + 6] = code[i + 7] = 0;
			else if (src == 1 || src == 2)
				memcpy(code + i + 4, &fds[code[i + 4] & 1], 4);
		}
	a.func_info = ADDRESS(code);
	a.line_info = ADDRESS(code);
	if ((u64)a.func_info_cnt * a.func_info_rec_size > CODE_MOST)
		a.func_info_cnt = 0;
	if ((u64)a.line_info_cnt * a.line_info_rec_size > CODE_MOST)
		a.line_info_cnt = 0;
	fd = skep_bpf(k, BPF_PROG_LOAD, (union bpf_attr *)(void *)&a, sizeof(a));
	if (fd >= 0) {
		run(fd);
		close(fd);
	}
	return 0;
}
