/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The running kernel as an oracle. A test that compares with it says SKIP(KERNEL_MISSING) where bpf(2) is refused,
 * as for an unprivileged user or in a container.
 */
#ifndef SKEP_TEST_KERNEL_H
#define SKEP_TEST_KERNEL_H

#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KERNEL_MISSING "kernel bpf() not available"

static inline int kernel_bpf(int cmd, union bpf_attr *attr, unsigned size)
{
	long r = syscall(__NR_bpf, cmd, attr, size);

	return r < 0 ? -errno : (int)r;
}

/* A descriptor or -errno. */
static inline int kernel_map(uint32_t type, uint32_t key, uint32_t value, uint32_t entries)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = type;
	attr.key_size = key;
	attr.value_size = value;
	attr.max_entries = entries;
	return kernel_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
}

/* A descriptor or -errno; the verifier's log in log (may be NULL). */
static inline int kernel_load(unsigned type, const void *insns, unsigned n, char *log, unsigned log_size)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type;
	attr.insns = (uint64_t)(uintptr_t)insns;
	attr.insn_cnt = n;
	attr.license = (uint64_t)(uintptr_t)"GPL";
	if (log) {
		log[0] = 0;
		attr.log_buf = (uint64_t)(uintptr_t)log;
		attr.log_size = log_size;
		attr.log_level = 1;
	}
	return kernel_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
}

/* May this process load a trivial program of the type? */
static inline bool kernel_loads(unsigned type)
{
	static const unsigned char trivial[16] = {[0] = 0xb7, [8] = 0x95}; /* r0 = 0; exit */
	int fd;

	fd = kernel_load(type, trivial, 2, NULL, 0);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Runs the program once over data, which is read and, where the type can, rewritten. 0 or -errno. */
static inline int kernel_run(int fd, void *data, unsigned size, unsigned *retval)
{
	union bpf_attr attr;
	unsigned char out[4096];
	int r;

	if (size > sizeof(out))
		return -E2BIG;
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (unsigned)fd;
	attr.test.data_in = (uint64_t)(uintptr_t)data;
	attr.test.data_size_in = size;
	attr.test.data_out = (uint64_t)(uintptr_t)out;
	attr.test.data_size_out = sizeof(out);
	r = kernel_bpf(BPF_PROG_TEST_RUN, &attr, sizeof(attr));
	if (r < 0)
		return r;
	memcpy(data, out, attr.test.data_size_out < size ? attr.test.data_size_out : size);
	if (retval)
		*retval = attr.test.retval;
	return 0;
}

#endif
