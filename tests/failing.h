/* SPDX-License-Identifier: BSD-2-Clause */
/* A host's allocator that fails once, and counts what is out: nothing may be left when all is closed. */
#ifndef SKEP_TEST_FAILING_H
#define SKEP_TEST_FAILING_H

#include <stdbool.h>
#include <stdlib.h>

struct host {
	long live, bytes; /* allocations out */
	long number, fail_at; /* the one that fails, counted from when number was set to 0; 0: none */
	bool failed;
};

static void *host_alloc(void *ud, void *ptr, size_t old_size, size_t new_size)
{
	struct host *h = ud;
	void *p;

	if (!new_size) {
		h->live -= ptr != NULL;
		h->bytes -= ptr ? (long)old_size : 0;
		free(ptr);
		return NULL;
	}
	if (++h->number == h->fail_at) {
		h->failed = true;
		return NULL;
	}
	p = realloc(ptr, new_size);
	if (!p)
		return NULL;
	h->live += ptr == NULL;
	h->bytes += (long)new_size - (ptr ? (long)old_size : 0);
	return p;
}

#endif
