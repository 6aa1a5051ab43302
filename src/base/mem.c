/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's allocator, and growing arrays on top of it. Memory handed out is zeroed, but for mem_room()'s. */
#include "base/base.h"

#include <stdlib.h>
#include <sys/mman.h>

/*
 * Of big memory most is used, soon, and from its beginning: a fault for every 4 KiB of it would cost more than the work on it. So its pages are huge
 * ones; the last as well, where half of it is asked for.
 */
static void *big_alloc(size_t size)
{
	size_t whole = ALIGN_UP(size, (size_t)MEM_HUGE);
	void *p;

	whole = whole - size > MEM_HUGE / 2 ? size : whole;
	if (posix_memalign(&p, MEM_HUGE, whole))
		return NULL;
	madvise(p, whole & ~(size_t)(MEM_HUGE - 1), MADV_HUGEPAGE);
	return p;
}

static void *libc_fn(void *ud, void *ptr, size_t old_size, size_t new_size)
{
	(void)ud;
	(void)old_size;
	if (new_size == 0) {
		free(ptr);
		return NULL;
	}
	if (new_size > PTRDIFF_MAX)
		return NULL; /* as malloc(3) does, before anybody rounds it up */
	return !ptr && new_size >= MEM_HUGE / 2 ? big_alloc(new_size) : realloc(ptr, new_size);
}

const struct mem mem_libc = {libc_fn, NULL};

void *mem_room(const struct mem *m, size_t size)
{
	return m->fn(m->ud, NULL, 0, size ? size : 1);
}

void *mem_alloc(const struct mem *m, size_t size)
{
	void *p = mem_room(m, size);

	return p ? memset(p, 0, size) : NULL;
}

void *mem_array(const struct mem *m, size_t count, size_t each)
{
	size_t size;

	return __builtin_mul_overflow(count, each, &size) ? NULL : mem_alloc(m, size);
}

void *mem_resize(const struct mem *m, void *ptr, size_t old_size, size_t new_size)
{
	u8 *p = m->fn(m->ud, ptr, ptr ? MAX(old_size, (size_t)1) : 0, new_size ? new_size : 1);

	if (p && new_size > old_size)
		memset(p + old_size, 0, new_size - old_size);
	return p;
}

void *mem_copy(const struct mem *m, const void *from, size_t size)
{
	void *p = mem_alloc(m, size);

	return p && size ? memcpy(p, from, size) : p;
}

void mem_free(const struct mem *m, void *ptr, size_t size)
{
	if (ptr)
		m->fn(m->ud, ptr, size ? size : 1, 0);
}

int vec_grow(const struct mem *m, void **at, u32 *cap, size_t each)
{
	u32 want = *cap ? *cap * 2 : 8;
	void *p;

	if (want < *cap || (size_t)want > SIZE_MAX / each)
		return -ENOMEM;
	p = mem_resize(m, *at, *cap * each, want * each);
	if (!p)
		return -ENOMEM;
	*at = p;
	*cap = want;
	return 0;
}
