/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs go to the running kernel; ld's --wrap=syscall shows each call on its way. */
#include "backend.h"

#include "client/skep-bpf.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

const char backend_name[] = "linux";

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

static int load_mutant(union bpf_attr *attr, uint32_t size, int *safe, char message[256])
{
	long fd = __real_syscall(SYS_bpf, BPF_PROG_LOAD, attr, size);

	(void)message;
	*safe = fd < 0 ? -errno : 0;
	if (fd >= 0)
		close((int)fd);
	return *safe;
}

long __wrap_syscall(long number, ...)
{
	uint64_t start;
	long a[6], ret;
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	start = seen_clock();
	ret = __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (number == SYS_bpf && seen_is((int)a[0], (union bpf_attr *)a[1])) {
		int err = ret < 0 ? -errno : 0;

		seen_result((union bpf_attr *)a[1], err, seen_clock() - start);
		if (!err)
			seen_mutants((union bpf_attr *)a[1], (uint32_t)a[2], load_mutant);
		errno = -err;
	}
	return ret;
}

int backend_open(const char *kernel_btf)
{
	(void)kernel_btf;
	return skep_bpf_sections();
}

void backend_reset(void) {}

int backend_watch(void)
{
	return -EOPNOTSUPP;
}

const char *backend_violation(uint64_t *steps, uint64_t *cut)
{
	*steps = *cut = 0;
	return "";
}

const char *backend_setting(unsigned k)
{
	(void)k;
	return NULL;
}

const char *backend_code(int prog_fd)
{
	(void)prog_fd;
	return "compiled";
}

int backend_privileges(bool all)
{
	static const uint64_t bits = 1ull << CAP_SYS_ADMIN | 1ull << CAP_NET_ADMIN | 1ull << CAP_PERFMON | 1ull << CAP_BPF;
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (__real_syscall(SYS_capget, &head, data))
		return -errno;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		uint32_t some = (uint32_t)(bits >> (32 * i));

		data[i].effective = all ? data[i].effective | (data[i].permitted & some) : data[i].effective & ~some;
	}
	return __real_syscall(SYS_capset, &head, data) ? -errno : 0;
}
