/* SPDX-License-Identifier: BSD-2-Clause */
/* Allocations that die together: chunks of growing size, bumped, freed at once. */
#include "base/base.h"

#include <limits.h>
#include <stdio.h>

struct arena_chunk {
	struct arena_chunk *next;
	size_t size, used; /* bytes of the payload behind this header */
	u64 align_[1];
};

#ifdef SKEP_HOSTILE
enum { FIRST_CHUNK = 16, MOST_CHUNK = 16, HUGE_FROM = INT_MAX, STORED = 16 }; /* an allocation for each, so that each may fail */
#else
enum { FIRST_CHUNK = 4096, MOST_CHUNK = 1 << 24, HUGE_FROM = 128 << 10, STORED = MEM_HUGE - sizeof(struct arena_chunk) };
#endif

/* ---- what an owner of many brief arenas keeps for the next ---- */

static struct arena_chunk *store_take(struct arena_store *s)
{
	return s ? atomic_exchange(&s->chunk, NULL) : NULL;
}

static bool store_put(struct arena_store *s, struct arena_chunk *c)
{
	struct arena_chunk *none = NULL;

	if (!s || c->size != (size_t)STORED)
		return false;
	c->used = 0;
	return atomic_compare_exchange_strong(&s->chunk, &none, c);
}

void arena_store_close(struct arena_store *s, const struct mem *mem)
{
	struct arena_chunk *c = store_take(s);

	if (c)
		mem_free(mem, c, sizeof(*c) + c->size);
}

/* ---- arenas ---- */

void arena_open(struct arena *a, const struct mem *mem)
{
	*a = (struct arena){.mem = mem};
}

void arena_open_brief(struct arena *a, const struct mem *mem, size_t expected, struct arena_store *store)
{
	*a = (struct arena){.mem = mem, .brief = true, .expected = expected, .store = store, .spare = store_take(store)};
}

/*
 * Bytes of the next chunk's payload. What is kept for long has chunks of twice the size each time; what is given back soon gets to whole huge pages
 * quickly: what is not used of them costs nobody anything for long, and what is used costs one fault.
 */
static size_t next_room(const struct arena *a, size_t need)
{
	const size_t header = sizeof(struct arena_chunk);
	size_t last = a->chunks ? a->chunks->size : 0, room = last ? last * (a->brief ? 4 : 2) : MAX((size_t)FIRST_CHUNK, a->expected);

	room = MAX(MIN(room, (size_t)MOST_CHUNK), need);
	if (a->store && !last)
		room = MAX(room, (size_t)STORED);
	if (a->brief && room >= (size_t)HUGE_FROM && room <= SIZE_MAX - header - MEM_HUGE)
		room = ALIGN_UP(room + header, (size_t)MEM_HUGE) - header;
	return a->limit ? MIN(room, a->limit - a->used) : room;
}

static size_t padded(size_t size)
{
	return ALIGN_UP(size ? size : 1, 16);
}

/* Not cleared. */
static void *take(struct arena *a, size_t size)
{
	size_t need = padded(size);
	struct arena_chunk *c = a->chunks;
	u8 *p;

	if (need < size)
		return NULL;
	if (a->limit && need > a->limit - a->used) {
		a->full = true;
		return NULL;
	}
	if ((!c || c->size - c->used < need) && a->spare && a->spare->size >= need) {
		c = a->spare;
		a->spare = c->next;
		c->next = a->chunks;
		a->chunks = c;
	}
	if (!c || c->size - c->used < need) {
		size_t room = next_room(a, need);

		if (room > SIZE_MAX - sizeof(*c))
			return NULL;
		c = a->mem->fn(a->mem->ud, NULL, 0, sizeof(*c) + room); /* what is not handed out is not touched */
		if (!c)
			return NULL;
		*c = (struct arena_chunk){.next = a->chunks, .size = room};
		a->chunks = c;
	}
	p = (u8 *)(c + 1) + c->used;
	c->used += need;
	a->used += need;
	return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
	void *p = take(a, size);

	return p ? memset(p, 0, padded(size)) : NULL;
}

void *arena_room(struct arena *a, size_t count, size_t each)
{
	size_t size;

	return __builtin_mul_overflow(count, each, &size) ? NULL : take(a, size);
}

void *arena_array(struct arena *a, size_t count, size_t each)
{
	size_t size;

	return __builtin_mul_overflow(count, each, &size) ? NULL : arena_alloc(a, size);
}

/* What was handed out last is made longer where it is. */
static bool extend(struct arena *a, const void *last, size_t size, size_t to)
{
	struct arena_chunk *c = a->chunks;
	size_t more = padded(to) - padded(size);

	if (!c || !last || (const u8 *)last + padded(size) != (u8 *)(c + 1) + c->used || c->size - c->used < more || (a->limit && a->limit - a->used < more))
		return false;
	c->used += more;
	a->used += more;
	return true;
}

bool arena_more(struct arena *a, void **at, u32 *cap, u32 n, size_t each, u32 least)
{
	size_t want = *cap ? *cap : least, size;
	void *p;

	while (want < n)
		want *= 2;
	if (want > UINT32_MAX || __builtin_mul_overflow(want, each, &size) || size > SIZE_MAX - 16)
		return false;
	if (!extend(a, *at, *cap * each, size)) {
		p = take(a, size);
		if (!p)
			return false;
		if (*cap)
			memcpy(p, *at, *cap * each);
		*at = p;
	}
	*cap = (u32)want;
	return true;
}

char *arena_text(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	int n;
	char *s;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	s = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (!s)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

static void free_chunks(struct arena *a, struct arena_chunk **list)
{
	while (*list) {
		struct arena_chunk *c = *list;

		*list = c->next;
		mem_free(a->mem, c, sizeof(*c) + c->size);
	}
}

/* The newest chunks are the biggest, and come first again. */
void arena_reset(struct arena *a)
{
#ifdef SKEP_HOSTILE
	free_chunks(a, &a->chunks);
#endif
	while (a->chunks) {
		struct arena_chunk *c = a->chunks, **at = &a->spare;

		a->chunks = c->next;
		c->used = 0;
		while (*at && (*at)->size > c->size)
			at = &(*at)->next;
		c->next = *at;
		*at = c;
	}
	a->used = 0;
	a->full = false;
}

void arena_close(struct arena *a)
{
	arena_reset(a);
	for (struct arena_chunk **at = &a->spare; *at; at = &(*at)->next) {
		struct arena_chunk *c = *at, *next = c->next;

		if (store_put(a->store, c)) {
			*at = next;
			break;
		}
	}
	free_chunks(a, &a->spare);
	a->used = 0;
}
