/* SPDX-License-Identifier: BSD-2-Clause */
/* What a test needs of the machine it runs on: NEED_PROC says what is missing and skips the case; a file with given bytes needs nothing but a writable directory. */
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

/* The engine sees through /proc that a descriptor was closed, and opens descriptors of one direction there. */
#define NEED_PROC(what)                                                                                          \
	do {                                                                                                     \
		if (!have_proc())                                                                                \
			SKIP("no /proc: " what);                                                                 \
	} while (0)

#define PROC_CLOSES "what was closed is not known"

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
