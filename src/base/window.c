/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One range of address space per engine. Key idea: reserve it once, PROT_NONE, and give it out in granules of
 * 64 KiB, so that the owner of any address is one array load away and every region ends in a page that
 * faults. The reservation costs no memory; neither does the owners array until it is touched.
 */
#include "base/base.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#else
#define UNDER_TSAN 0
#endif

static void *reserve_at(void *hint, size_t size, int flags)
{
	void *p = mmap(hint, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (hint && flags && p != hint) { /* a kernel that does not know MAP_FIXED_NOREPLACE takes it as a hint */
		munmap(p, size);
		return NULL;
	}
	return p;
}

/* A place that programs leave free: between the heap's 0x55..., which sanitizers share, and the libraries' 0x7f.... */
static u8 *reserve_random(size_t size)
{
#if UNDER_TSAN
	enum { TRIES = 0 }; /* ThreadSanitizer shadows only what the kernel would choose */
#else
	enum { TRIES = 8 };
#endif

	for (int i = 0; i < TRIES; i++) {
		u64 at = 0x100000000000ull + (os_random() & 0x3fffffff) * WINDOW_GRANULE % 0x400000000000ull;
		u8 *p = reserve_at((void *)(uintptr_t)(at & ~(u64)(WINDOW_GRANULE - 1)), size, MAP_FIXED_NOREPLACE);

		if (p)
			return p;
	}
	return reserve_at(NULL, size, 0);
}

int window_open(struct window *w, size_t size)
{
	enum { SMALLEST = 16 << 20 };

	*w = (struct window){0};
	for (size = ALIGN_UP(size, WINDOW_GRANULE); size >= SMALLEST; size = ALIGN_UP(size / 4, WINDOW_GRANULE)) {
		u8 *p = reserve_random(size + WINDOW_GRANULE);
		size_t slack;

		if (!p)
			continue;
		slack = ALIGN_UP((uintptr_t)p, WINDOW_GRANULE) - (uintptr_t)p;
		if (slack)
			munmap(p, slack);
		if (WINDOW_GRANULE - slack)
			munmap(p + slack + size, WINDOW_GRANULE - slack);
		w->base = p + slack;
		w->size = size;
		w->owners = mmap(NULL, size / WINDOW_GRANULE * sizeof(void *), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (w->owners != MAP_FAILED)
			return 0;
		munmap(w->base, size);
	}
	*w = (struct window){0};
	return -ENOMEM;
}

void window_close(struct window *w)
{
	if (!w->base)
		return;
	munmap(w->owners, w->size / WINDOW_GRANULE * sizeof(void *));
	munmap(w->base, w->size);
	*w = (struct window){0};
}

/* Granules that a region of size bytes takes: at least one page behind it stays unmapped. */
static size_t granules(size_t size)
{
	return (size + PAGE + WINDOW_GRANULE - 1) / WINDOW_GRANULE;
}

static void set_owner(struct window *w, size_t first, size_t n, void *owner)
{
	for (size_t i = first; i < first + n; i++)
		__atomic_store_n(&w->owners[i], owner, __ATOMIC_RELEASE);
}

/* First run of n free granules in [from, to); to when there is none. */
static size_t find_room(const struct window *w, size_t from, size_t to, size_t n)
{
	for (size_t i = from, run = 0; i < to; i++) {
		run = w->owners[i] ? 0 : run + 1;
		if (run == n)
			return i + 1 - n;
	}
	return to;
}

static u8 *take_room(struct window *w, size_t size, void *owner)
{
	size_t total = w->size / WINDOW_GRANULE, n, at;

	if (size == 0 || size > w->size)
		return NULL;
	n = granules(size);
	plain_lock_take(&w->lock);
	at = find_room(w, w->hint, total, n);
	if (at == total && w->hint)
		at = find_room(w, 0, total, n);
	if (at != total) {
		set_owner(w, at, n, owner);
		w->hint = at + n;
	}
	plain_lock_drop(&w->lock);
	return at == total ? NULL : w->base + at * WINDOW_GRANULE;
}

static void give_room(struct window *w, u8 *base, size_t size, bool lent)
{
	size_t at = (size_t)(base - w->base) / WINDOW_GRANULE;

	/* The mapping goes first: an address is never found to have no owner and still be accessible. */
	mmap(base, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	plain_lock_take(&w->lock);
	set_owner(w, at, granules(size), lent ? w : NULL);
	if (!lent)
		w->hint = MIN(w->hint, at);
	plain_lock_drop(&w->lock);
}

static int map_region(struct window *w, struct region *r, int prot, int flags, int fd, size_t size, void *owner)
{
	u8 *base = take_room(w, size, owner);
	void *p;

	if (!base)
		return -ENOMEM;
	p = mmap(base, size, prot, MAP_FIXED | flags, fd, 0);
	if (p == MAP_FAILED) {
		int err = -errno;

		give_room(w, base, size, false);
		return err == -EACCES || err == -EPERM ? err : -ENOMEM;
	}
	*r = (struct region){.window = w, .base = base, .size = size, .fd = fd};
	return 0;
}

int region_create(struct window *w, struct region *r, enum region_kind kind, const char *name, size_t size, void *owner)
{
	int fd = -1, err;

	if (size > SIZE_MAX / 2)
		return -ENOMEM;
	size = ALIGN_UP(size, PAGE);
	if (size > w->size)
		return -ENOMEM;
	if (kind != REGION_PRIVATE) {
		fd = os_memfd(name, size, F_SEAL_SHRINK | F_SEAL_GROW);
		if (fd < 0)
			return fd;
	}
	err = map_region(w, r, PROT_READ | PROT_WRITE, MAP_NORESERVE | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED), fd, size, owner);
	if (err && fd >= 0)
		close(fd);
	return err;
}

static int code_in_memory(struct window *w, struct region *r, const void *bytes, size_t size, void *owner)
{
	int err = region_create(w, r, REGION_PRIVATE, "code", size, owner);

	if (err)
		return err;
	memcpy(r->base, bytes, size);
	if (!mprotect(r->base, r->size, PROT_READ | PROT_EXEC))
		return 0;
	err = -errno;
	region_destroy(r);
	return err;
}

/*
 * Bytes that go into a file and are mapped as they shall be, at once, cost no fault, and none of the changes of page tables that memory does which is
 * written first and executable afterwards. It is mapped for this process alone, so that a debugger can put breakpoints into it. A host that runs
 * nothing from such files may still run what is in memory.
 */
int region_code(struct window *w, struct region *r, enum region_kind kind, const void *bytes, size_t size, void *owner)
{
	bool here = kind != REGION_CLIENT;
	int fd, err;

	if (size > w->size)
		return -ENOMEM;
	if (kind == REGION_PRIVATE)
		return code_in_memory(w, r, bytes, size, owner);
	fd = os_memfd_of("code", bytes, size);
	if (fd < 0)
		return fd;
	err = map_region(w, r, PROT_READ | (here ? PROT_EXEC : 0), MAP_PRIVATE | MAP_POPULATE, fd, ALIGN_UP(size, (size_t)PAGE), owner);
	if (err || here)
		close(fd);
	if (!err && here)
		r->fd = -1;
	return here && (err == -EACCES || err == -EPERM) ? code_in_memory(w, r, bytes, size, owner) : err;
}

int region_adopt(struct window *w, struct region *r, int fd, size_t offset, size_t size, void *owner)
{
	u8 *base = take_room(w, ALIGN_UP(size, PAGE), owner);

	size = ALIGN_UP(size, PAGE);
	if (!base)
		return -ENOMEM;
	if (mmap(base, size, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED, fd, (off_t)offset) == MAP_FAILED) {
		int err = -errno;

		give_room(w, base, size, false);
		return err;
	}
	*r = (struct region){.window = w, .base = base, .size = size, .fd = -1};
	return 0;
}

int region_rehome(struct region *r, int fd, size_t offset)
{
	if (mmap(r->base, r->size, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED, fd, (off_t)offset) == MAP_FAILED)
		return -errno;
	return 0;
}

int region_settle(struct region *r)
{
	u8 *own = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (own == MAP_FAILED)
		return -ENOMEM;
	memcpy(own, r->base, r->size);
	if (mremap(own, r->size, r->size, MREMAP_MAYMOVE | MREMAP_FIXED, r->base) == MAP_FAILED) {
		int err = -errno;

		munmap(own, r->size);
		return err;
	}
	return 0;
}

int region_publish(struct region *r)
{
	enum { FUTURE_WRITE = 0x10 };

	if (mprotect(r->base, r->size, PROT_READ) || fcntl(r->fd, F_ADD_SEALS, FUTURE_WRITE))
		return -errno;
	return 0;
}

void region_destroy(struct region *r)
{
	if (!r->base)
		return;
	give_room(r->window, r->base, r->size, r->lent);
	if (r->fd >= 0)
		close(r->fd);
	*r = (struct region){.fd = -1};
}
