/* SPDX-License-Identifier: BSD-2-Clause */
/* The few services of the operating system that the library needs. */
#include "base/base.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

u64 os_clock_ns(int clock_id)
{
	struct timespec t = {0};

	clock_gettime((clockid_t)clock_id, &t);
	return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

u64 os_random(void)
{
	u64 x = 0;

	/* Before the pool is ready, or where a filter refuses the call, the clock and the address layout must do. */
	if (getrandom(&x, sizeof(x), GRND_NONBLOCK) != (ssize_t)sizeof(x))
		x = os_clock_ns(CLOCK_MONOTONIC) * 0x9e3779b97f4a7c15ull ^ (u64)(uintptr_t)&x;
	return x;
}

/* A file that grows beyond the limit would be a signal that ends the process. */
int os_size_check(u64 size)
{
	struct rlimit most;

	return !getrlimit(RLIMIT_FSIZE, &most) && most.rlim_cur != RLIM_INFINITY && size > most.rlim_cur ? -EFBIG : 0;
}

int os_resize(int fd, u64 size)
{
	int err = os_size_check(size);

	return err ? err : ftruncate(fd, (off_t)size) ? -errno : 0;
}

int os_memfd(const char *name, size_t size, unsigned seals)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd < 0)
		return -errno;
	err = size ? os_resize(fd, size) : 0;
	if (!err && seals && fcntl(fd, F_ADD_SEALS, seals))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

int os_memfd_of(const char *name, const void *bytes, size_t size)
{
	int fd = os_memfd(name, 0, 0), err = fd < 0 ? fd : os_size_check(size);

	err = err ? err : os_write_at(fd, bytes, size, 0);
	if (!err && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		err = -errno;
	if (!err)
		return fd;
	if (fd >= 0)
		close(fd);
	return err;
}

bool os_maps_writable(s32 pid, int fd, const void *except, size_t size)
{
	unsigned long begin, inode, low = (unsigned long)except;
	unsigned major, minor;
	char path[40] = "/proc/self/maps", line[512], mode[5];
	bool found = false, whole = true;
	struct stat st;
	FILE *f;

	if (fstat(fd, &st))
		return false;
	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		if (whole && sscanf(line, "%lx-%*x %4s %*x %x:%x %lu", &begin, mode, &major, &minor, &inode) == 5)
			found = mode[1] == 'w' && mode[3] == 's' && inode == st.st_ino && makedev(major, minor) == st.st_dev &&
				(begin < low || begin - low >= size);
		whole = strchr(line, '\n') != NULL;
	}
	if (f)
		fclose(f);
	return found;
}

void os_yield(void)
{
	sched_yield();
}

int os_write_at(int fd, const void *bytes, u64 size, u64 at)
{
	const u8 *from = bytes;

	while (size) {
		ssize_t n = pwrite(fd, from, size, (off_t)at);

		if (n <= 0)
			return n ? -errno : -ENOSPC;
		from += n;
		at += (u64)n;
		size -= (u64)n;
	}
	return 0;
}

u32 possible_cpus(void)
{
	FILE *f = fopen("/sys/devices/system/cpu/possible", "re");
	unsigned first, last, n = 0;

	/* A list of ranges, "0-3,8": the last number of the last range counts. */
	while (f && fscanf(f, "%u", &first) == 1) {
		last = first;
		if (fscanf(f, "-%u", &last) == EOF)
			last = first;
		n = MAX(n, last + 1);
		if (fgetc(f) != ',')
			break;
	}
	if (f)
		fclose(f);
	if (n == 0) {
		long online = sysconf(_SC_NPROCESSORS_CONF);

		n = online > 0 ? (unsigned)online : 1;
	}
	return MIN(n, SLOT_MAX);
}
