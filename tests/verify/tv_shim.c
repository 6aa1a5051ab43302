/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel's test_verifier.c wants of its surroundings, so that the unmodified file, compiled at test time, runs on a
 * backend: privileges, the flags to load with, instructions after loading. There is no module with test functions.
 */
#include "backend.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef CAP_BPF
#define CAP_BPF 39
#endif

bool get_unpriv_disabled(void);
int cap_enable_effective(__u64 caps, __u64 *old_caps);
int cap_disable_effective(__u64 caps, __u64 *old_caps);
int load_bpf_testmod(bool verbose);
int unload_bpf_testmod(bool verbose);
int testing_prog_flags(void);
bool is_jit_enabled(void);
int get_xlated_program(int fd, struct bpf_insn **buf, __u32 *count);

__attribute__((constructor)) static void open_backend(void)
{
	seen.every = true;
	setvbuf(stdout, NULL, _IOLBF, 0); /* what a crash was about is known then */
	if (backend_open("/sys/kernel/btf/vmlinux")) {
		fprintf(stderr, "%s: cannot open\n", backend_name);
		exit(2);
	}
}

/* An engine takes programs of everybody; a kernel where its administrator allows it. */
bool get_unpriv_disabled(void)
{
	char c = '0';
	FILE *f;

	if (!strcmp(backend_name, "skep"))
		return false;
	f = fopen("/proc/sys/kernel/unprivileged_bpf_disabled", "r");
	if (!f || fread(&c, 1, 1, f) != 1)
		c = '1';
	if (f)
		fclose(f);
	return c != '0';
}

int cap_enable_effective(__u64 caps, __u64 *old_caps)
{
	if (old_caps)
		*old_caps = ~0ull;
	return caps & 1ull << CAP_BPF ? backend_privileges(true) : 0;
}

int cap_disable_effective(__u64 caps, __u64 *old_caps)
{
	if (old_caps)
		*old_caps = ~0ull;
	return caps & 1ull << CAP_BPF ? backend_privileges(false) : 0;
}

int load_bpf_testmod(bool verbose)
{
	(void)verbose;
	return 0;
}

int unload_bpf_testmod(bool verbose)
{
	(void)verbose;
	return 0;
}

int testing_prog_flags(void)
{
	return BPF_F_TEST_RND_HI32 | 1 << 7 /* BPF_F_TEST_REG_INVARIANTS */;
}

bool is_jit_enabled(void)
{
	return true;
}

int get_xlated_program(int fd, struct bpf_insn **buf, __u32 *count)
{
	struct bpf_prog_info info = {0};
	__u32 size = sizeof(info);

	*buf = NULL;
	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	*count = info.xlated_prog_len / (__u32)sizeof(**buf);
	*buf = calloc(*count + 1, sizeof(**buf));
	if (!*buf)
		return -ENOMEM;
	info = (struct bpf_prog_info){.xlated_prog_len = *count * (__u32)sizeof(**buf), .xlated_prog_insns = (__u64)(unsigned long)*buf};
	size = sizeof(info);
	return bpf_obj_get_info_by_fd(fd, &info, &size) ? -errno : 0;
}
