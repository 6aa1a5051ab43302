/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of bpf(2) share: an engine, programs from text, questions about ids. */
#ifndef SKEP_TEST_SYS_H
#define SKEP_TEST_SYS_H

#include "../host.h"

#include "isa/isa.h"
#include "skep/skep.h"

#include <errno.h>
#include <linux/bpf.h>
#include <unistd.h>

#define ADDRESS(p) ((uint64_t)(uintptr_t)(p))

/* A descriptor or -errno. Text as skep asm reads it. */
__attribute__((unused)) static int load_text(struct skep *k, uint32_t type, const char *text)
{
	struct arena a;
	struct asm_error err;
	struct raw_insn *raw;
	uint32_t n;
	int fd = -ENOEXEC;

	arena_open(&a, &mem_libc);
	if (asm_parse(&a, text, (uint32_t)strlen(text), &raw, &n, &err))
		test_fail(__FILE__, __LINE__, "%u:%u: %s", err.line, err.column, err.text);
	else
		fd = skep_prog_load(k, &(struct skep_prog){.size = sizeof(struct skep_prog), .type = type, .insns = raw, .n_insns = n, .license = "GPL"},
				    NULL, 0);
	arena_close(&a);
	return fd;
}

/* The lowest id after `after`, or -errno. cmd: one of the GET_NEXT_ID family. */
__attribute__((unused)) static int next_id(struct skep *k, int cmd, uint32_t after)
{
	union bpf_attr a;
	int err;

	memset(&a, 0, sizeof(a));
	a.start_id = after;
	err = skep_bpf(k, cmd, &a, sizeof(a));
	return err ? err : (int)a.next_id;
}

__attribute__((unused)) static int fd_by_id(struct skep *k, int cmd, uint32_t id)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.prog_id = id;
	return skep_bpf(k, cmd, &a, sizeof(a));
}

#endif
