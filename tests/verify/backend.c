/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend.h"
#include "mutate.h"

#include <stdlib.h>
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

void seen_mutants(const union bpf_attr *attr, uint32_t size, int (*load)(union bpf_attr *attr, uint32_t size, int *safe, char message[256]))
{
	size_t bytes = attr->insn_cnt * sizeof(struct bpf_insn);
	struct bpf_insn *insns = malloc(bytes);
	union bpf_attr *a = calloc(1, size > sizeof(*a) ? size : sizeof(*a));

	for (uint32_t i = 0; insns && a && i < seen.mutants; i++) {
		char message[256] = "";
		int result, safe = 0;

		memcpy(insns, (const void *)(uintptr_t)attr->insns, bytes);
		mutate(insns, attr->insn_cnt, seen.first_mutant + i);
		memcpy(a, attr, size);
		a->insns = (uintptr_t)insns;
		a->log_level = seen.mutant_log ? a->log_level : 0;
		a->log_size = seen.mutant_log ? LOG_BYTES : 0;
		a->log_buf = (uintptr_t)seen.mutant_log;
		result = load(a, size, &safe, message);
		seen.mutant(seen.first_mutant + i, result, safe, message);
	}
	free(insns);
	free(a);
}
