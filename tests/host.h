/* SPDX-License-Identifier: BSD-2-Clause */
/* What a test needs of the machine it runs on: RUN_WITH_PROC skips a case and says what is missing; a file with given bytes needs nothing but a writable directory. */
#ifndef SKEP_TEST_HOST_H
#define SKEP_TEST_HOST_H

#include "test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline bool have_proc(void)
{
	return !access("/proc/self/fd", R_OK);
}

/* The engine sees through /proc who else has a descriptor or a mapping, and opens descriptors of one direction there. */
#define RUN_WITH_PROC(name, lacks) run_with_proc(#name, name, lacks)

static inline void run_with_proc(const char *name, void (*fn)(void), const char *lacks)
{
	if (have_proc()) {
		test_run(name, fn);
		return;
	}
	printf("ok %d %s # SKIP no /proc: %s\n", ++test_number, name, lacks);
	fflush(stdout);
}

/* The path of a new file, which is the caller's to unlink; empty when it could not be written. */
static inline void file_of(char path[64], const void *bytes, size_t size)
{
	int fd;

	snprintf(path, 64, "%s", "/tmp/skep-test-XXXXXX");
	fd = mkstemp(path);
	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		path[0] = 0;
	if (fd >= 0)
		close(fd);
}

#endif
