/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outer [--listener] CMD [ARG...]: runs CMD behind a filter that refuses what Docker's default profile refuses to a container without capabilities, with the
 * same error. --listener: new listeners are refused as well, as where there are none.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REFUSE(nr)                                                                                               \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

int main(int argc, char **argv)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(SYS_bpf),
		REFUSE(SYS_perf_event_open),
		REFUSE(SYS_pidfd_getfd),
		REFUSE(SYS_unshare),
		REFUSE(SYS_setns),
		REFUSE(SYS_mount),
		REFUSE(SYS_umount2),
		REFUSE(SYS_io_uring_setup),
		REFUSE(SYS_userfaultfd),
		/* what is not a call that the profile knows is refused too */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 600, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_filter listener[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	int no_listener = argc > 1 && !strcmp(argv[1], "--listener");
	struct sock_fprog prog = {sizeof(insns) / sizeof(insns[0]), insns}, second = {sizeof(listener) / sizeof(listener[0]), listener};

	argv += 1 + no_listener;
	if (!argv[0] || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) ||
	    (no_listener && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &second))) {
		perror("outer");
		return 125;
	}
	execvp(argv[0], argv);
	perror(argv[0]);
	return 127;
}
