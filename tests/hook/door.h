/* SPDX-License-Identifier: BSD-2-Clause */
/* A door made by hand: the memory of imaginary tasks is one page, at PAGE_AT. */
#ifndef SKEP_TEST_HOOK_DOOR_H
#define SKEP_TEST_HOOK_DOOR_H

#include "hook/tasks.h"

#include <errno.h>
#include <string.h>

enum { PAGE_AT = 0x5000 };
static unsigned char page[4096];

static s64 door_read(void *ud, u32 tid, u64 from, void *to, u64 size)
{
	u64 off = from - PAGE_AT;

	(void)ud, (void)tid;
	if (off >= sizeof(page))
		return -EFAULT;
	size = size > sizeof(page) - off ? sizeof(page) - off : size;
	memcpy(to, page + off, size);
	return (s64)size;
}

#endif
