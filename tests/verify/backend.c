/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend.h"

#include <string.h>
#include <time.h>

struct seen_load seen;

bool seen_is(int cmd, const union bpf_attr *attr)
{
	if (cmd != BPF_PROG_LOAD)
		return false;
	if (seen.every)
		return true;
	/* Relocation moves instructions: the pointer is compared at the time of the call. */
	if (seen.program && (const void *)(uintptr_t)attr->insns == bpf_program__insns(seen.program))
		return true;
	return seen.name && !strncmp(attr->prog_name, seen.name, BPF_OBJ_NAME_LEN - 1);
}

uint64_t seen_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void seen_result(const union bpf_attr *attr, int result, uint64_t ns)
{
	seen.result = seen.safe = result < 0 ? result : 0;
	seen.insn_cnt = attr->insn_cnt;
	seen.ns = ns;
	seen.calls++;
}
