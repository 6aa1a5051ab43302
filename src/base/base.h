/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base: what every other folder stands on: integers, memory, text, the window of address space,
 * run slots and owned locks, the keyed hash.
 *
 * Ownership: whoever initialises an object of this folder closes it. Memory comes from the host's
 * allocator (struct mem) or from a region; nothing here keeps global or per-thread state.
 */
#ifndef SKEP_BASE_H
#define SKEP_BASE_H

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef unsigned __int128 u128;

#define ARRAY_SIZE(a)     (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a)    (((x) + ((__typeof__(x))(a)-1)) & ~((__typeof__(x))(a)-1))
#define ENOTSUPP 524 /* what Linux gives where it means "not supported"; not in errno.h */
#define MIN(a, b)         ((a) < (b) ? (a) : (b))
#define MAX(a, b)         ((a) > (b) ? (a) : (b))
#define likely(x)         __builtin_expect(!!(x), 1)
#define unlikely(x)       __builtin_expect(!!(x), 0)
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define UNUSED            __attribute__((unused))

/* Asks for a cache line to be the own processor's before it is read: what is read first and written later goes from one to the other twice. */
static inline void prefetch_to_write(const void *p)
{
#ifdef __x86_64__
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p)); /* which __builtin_prefetch() is for newer baselines only */
#else
	__builtin_prefetch(p, 1);
#endif
}

/* bits.c-free helpers: loads and stores at any alignment, in host order */
#define LOAD_AS(type, p)      (((const struct { type v; } __attribute__((packed, may_alias)) *)(p))->v)
#define STORE_AS(type, p, x)  ((void)(((struct { type v; } __attribute__((packed, may_alias)) *)(p))->v = (x)))

/* What Linux counts, 250 a second in the kernels of most distributions, from five minutes before it wraps at 32 bits; ns: of the coarse monotonic clock. */
static inline u64 jiffies_at(u64 ns)
{
	enum { EACH_SECOND = 250 };

	return (u32)(-300 * EACH_SECOND) + ns / (1000000000 / EACH_SECOND);
}

/* For numbers from bytes that others write: MIN() would read them twice. */
static inline u32 at_most(u32 x, u32 limit)
{
	return x < limit ? x : limit;
}

static inline u64 round_up_pow2(u64 x)
{
	return x <= 1 ? 1 : 1ull << (64 - __builtin_clzll(x - 1));
}

/* ---- mem.c: the host's allocator ----
 * fn(ud, NULL, 0, new) allocates, fn(ud, p, old, new) resizes, fn(ud, p, old, 0) frees; NULL means out of
 * memory. Sizes are always passed, so that a host can count. Every function gives zeroed memory. */
struct mem {
	void *(*fn)(void *ud, void *ptr, size_t old_size, size_t new_size);
	void *ud;
};

extern const struct mem mem_libc; /* malloc, realloc and free; huge pages for what is big */
enum { MEM_HUGE = 2 << 20 }; /* bytes of a huge page */

void *mem_alloc(const struct mem *m, size_t size);
void *mem_room(const struct mem *m, size_t size); /* not zeroed: for what is filled at once */
void *mem_array(const struct mem *m, size_t count, size_t each); /* NULL as well when the product overflows */
void *mem_resize(const struct mem *m, void *ptr, size_t old_size, size_t new_size);
void *mem_copy(const struct mem *m, const void *from, size_t size);
void mem_free(const struct mem *m, void *ptr, size_t size);

/* Growing array: VEC(struct insn) v = {0}; T *p = vec_push(mem, &v) gives a zeroed new element or NULL. */
#define VEC(type)                                                                                                \
	struct {                                                                                                 \
		type *at;                                                                                        \
		u32 n, cap;                                                                                      \
	}
#define vec_push(m, v)                                                                                           \
	((v)->n < (v)->cap || vec_grow((m), (void **)&(v)->at, &(v)->cap, sizeof(*(v)->at)) == 0                 \
		 ? memset(&(v)->at[(v)->n++], 0, sizeof(*(v)->at))                                               \
		 : NULL)
#define vec_free(m, v)                                                                                           \
	(mem_free((m), (v)->at, (v)->cap * sizeof(*(v)->at)), (v)->at = NULL, (v)->n = (v)->cap = 0)
#define vec_each(p, v) for (__typeof__((v)->at) p = (v)->at; p && p < (v)->at + (v)->n; p++)
int vec_grow(const struct mem *m, void **at, u32 *cap, size_t each);

/* ---- arena.c: allocations that die together ---- */

/* Memory that one brief arena after another begins with, a huge page: whoever owns it has had the fault, and clears it, but once. Any thread's. */
struct arena_store {
	struct arena_chunk *_Atomic chunk; /* NULL: none yet, or in use */
};
void arena_store_close(struct arena_store *s, const struct mem *mem); /* mem: of the arenas that used it */

struct arena {
	const struct mem *mem;
	struct arena_chunk *chunks;
	struct arena_chunk *spare; /* arena_reset() kept them */
	struct arena_store *store; /* NULL: none */
	size_t used; /* bytes handed out, for reports */
	size_t limit; /* of used; 0: none */
	size_t expected; /* bytes of the first chunk */
	bool brief; /* it is closed soon */
	bool full; /* the limit was met */
};

void arena_open(struct arena *a, const struct mem *mem);
/* For what is closed soon: takes more than it needs, in huge pages, where that saves faults. expected: bytes that will be used, or 0. store: or NULL */
void arena_open_brief(struct arena *a, const struct mem *mem, size_t expected, struct arena_store *store);
void *arena_alloc(struct arena *a, size_t size); /* zeroed, 16-aligned; NULL when out of memory */
void *arena_array(struct arena *a, size_t count, size_t each);
void *arena_room(struct arena *a, size_t count, size_t each); /* the same, not cleared */
bool arena_more(struct arena *a, void **at, u32 *cap, u32 n, size_t each, u32 least);
char *arena_text(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
void arena_reset(struct arena *a); /* all that was allocated is gone; its memory is kept for what comes */
void arena_close(struct arena *a);

/* *at, an array of *cap elements, gets room for n, and twice what it had; new elements are not cleared. false: out of memory */
static inline bool arena_grow(struct arena *a, void **at, u32 *cap, u32 n, size_t each, u32 least)
{
	return n <= *cap || arena_more(a, at, cap, n, each, least);
}

/* ---- text.c: growing text; the first failed allocation is remembered and later calls do nothing ---- */
struct text {
	const struct mem *mem;
	char *at; /* NUL-terminated once anything was added; NULL before */
	size_t len, cap;
	int err; /* 0 or -ENOMEM */
	/* Of a text whose reader has room for only so many bytes, the final NUL among them: what no longer fits pushes out the beginning, also when
	 * text_back() takes it away again. Bytes that were pushed out are freed in time. */
	size_t room; /* 0: any number */
	size_t gone; /* that were freed: `at` begins behind them */
	size_t peak, start; /* the longest that it was; the first byte that was never pushed out, gone ones counted: both as of the last text_back() */
};

void text_open(struct text *t, const struct mem *mem);
void text_add(struct text *t, const char *s);
void text_bytes(struct text *t, const void *p, size_t n);
void text_addf(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void text_addv(struct text *t, const char *fmt, va_list ap);
const char *text_str(const struct text *t); /* never NULL */
/* A line that says why: for functions that refuse. Gives err. t may be NULL. */
int text_refuse(struct text *t, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);
void text_clear(struct text *t);
size_t text_length(const struct text *t); /* of all that was added, gone ones counted */
void text_back(struct text *t, size_t length); /* goes back to a length that it had */
void text_close(struct text *t);
/* Characters as Linux has them, in whatever locale the process is. */
bool ascii_control(char c);
bool latin1_space(char c);
bool latin1_alnum(char c);
bool latin1_punct(char c);

/* ---- window.c: one range of address space per engine; regions lie in it ----
 *
 * A window is reserved PROT_NONE. Every region begins on a granule (64 KiB) and is followed by at least one
 * unmapped page. window_find() says in constant time which owner an address belongs to. */
#define WINDOW_GRANULE 65536u

struct window {
	u8 *base;
	size_t size;
	void **owners; /* one entry per granule, reserved without being touched */
	_Atomic u32 lock;
	size_t hint; /* granule at which the next search for room starts */
};

struct region {
	struct window *window;
	u8 *base; /* address in the window */
	size_t size; /* bytes, a multiple of the page size */
	int fd; /* the memfd or file behind it, or -1 (private memory); owned by the region */
	bool lent; /* another process has it at this address: nothing else is ever put there */
};

enum region_kind {
	REGION_PRIVATE, /* anonymous memory of this process alone */
	REGION_SHARED, /* a memfd whose size is sealed: never handed to a client */
	REGION_CLIENT, /* a memfd whose size is sealed: a client may map it, so its bytes are untrusted */
};

int window_open(struct window *w, size_t size); /* bytes; tries smaller ones when the host refuses */
void window_close(struct window *w);
static inline void *window_find(const struct window *w, const void *addr)
{
	size_t off = (size_t)((const u8 *)addr - w->base);

	return off < w->size ? w->owners[off / WINDOW_GRANULE] : NULL;
}
int region_create(struct window *w, struct region *r, enum region_kind kind, const char *name, size_t size, void *owner);
/* Code: what is in it is given, and stays; no page of it can be written to and run at once. REGION_PRIVATE: without a file; REGION_CLIENT: runs elsewhere only. */
int region_code(struct window *w, struct region *r, enum region_kind kind, const void *bytes, size_t size, void *owner);
/* Maps [offset, offset + size) of a file; the file stays the caller's. */
int region_adopt(struct window *w, struct region *r, int fd, size_t offset, size_t size, void *owner);
/* Same address, but the bytes now come from offset in fd, which holds a copy of them already. r->fd stays. */
int region_rehome(struct region *r, int fd, size_t offset);
/* Same address and bytes, but this process's alone from now on: what others do to the file is not seen any more. */
int region_settle(struct region *r);
/* What it holds now is for good: neither this process nor who gets the file writes to it any more. 0 or -errno. */
int region_publish(struct region *r);
void region_destroy(struct region *r);

/* ---- slot.c: run slots, the one concurrency primitive ----
 *
 * A domain is a set of engines that share maps at the same time: it has as many slots as the machine has
 * possible CPUs. Whoever runs a program, or changes a map, holds a slot. It gives the per-CPU index, protects
 * what is read from reuse (epoch), and names the owner in every lock word. A thread that already holds one
 * (a nested run, a signal handler) shares it. Dead owners' slots are taken over and their locks with them.
 * The rules are at the top of slot.c. */
#define SLOT_MAX 1024u

struct domain;

struct hold {
	struct domain *domain;
	struct slot *slot;
	u32 index; /* 0 .. domain_cpus() - 1: the CPU number that programs see */
	u32 tag; /* what this holder writes into lock words; never 0 */
	bool nested; /* the thread held it before */
};

struct domain *domain_open(const struct mem *mem, struct window *w); /* NULL: out of memory or descriptors */
int domain_join(struct domain *d, int fd); /* switch to the slots in fd (a file shared with other processes) */
void domain_close(struct domain *d);
u64 domain_id(const struct domain *d); /* the same for all engines that share slots; 0 while private */
void domain_stop(struct domain *d); /* waits until no slot of this process is held (but the caller's), lets none be taken */
void domain_go(struct domain *d);
u32 domain_cpus(const struct domain *d);
u32 possible_cpus(void); /* from /sys/devices/system/cpu/possible; at least 1 */

int hold_take(struct domain *d, struct hold *h); /* waits for a free slot; 0, or -EAGAIN after a long while; -EBUSY: in domain_stop() */
int hold_take_at(struct domain *d, struct hold *h, u32 index); /* the same; this slot where it is free */
void hold_drop(struct hold *h);
void hold_pass(struct hold *h); /* between two runs of a batch: what the last one saw may be reused */

static inline u32 hold_generation(const struct hold *h) /* changes when a dead owner was removed from the slot; below 2^20 */
{
	return h->tag >> 12;
}
bool hold_gone(const struct hold *h, u32 tag); /* has whoever wrote this tag died, or left the slot? */
bool domain_shared(const struct domain *d); /* joined: other processes may use the same slots */

/* Epochs: what was unlinked before epoch_advance() gave E may be reused once epoch_passed(E): every other slot
 * is free or was entered later. One's own slot does not count: a program may meet, under a stale pointer of its own,
 * an element that it replaced itself, as with Linux's preallocated maps. */
u64 epoch_advance(struct domain *d);
bool epoch_passed(const struct hold *h, u64 epoch);
bool epoch_over(const struct domain *d, u64 epoch); /* the same, one's own slot counted: no run has any address from before */
/* Waits till it has passed, at most a second: whoever is still there then was stopped, and may find that an element it
 * looked up has become another. So may the caller's program: runs that wait for each other give up what they looked up before. */
void epoch_await(const struct hold *h, u64 epoch);
/* For memory that nobody may touch any more: returns when all runs of this process that were under way have ended. The
 * caller holds no slot (two of them would wait for each other). */
void epoch_wait(struct domain *d);
bool domain_held(const struct domain *d); /* does this thread hold a slot? */

/* Owned locks: a 32-bit word in a region. 0: taken. -EBUSY: this thread holds it already (a nested run), or
 * nobody let it go for some ten seconds (a stopped owner, or bytes that another process spoiled).
 * Above 0: taken over from the dead owner of slot
 * result - 1 (domain_cpus() when the word was spoiled); the caller repairs what the lock guards, then goes on. */
typedef _Atomic u32 owned_lock;
int owned_lock_wait(const struct hold *h, owned_lock *word); /* the slow part */

static inline int owned_lock_take(const struct hold *h, owned_lock *word)
{
	u32 none = 0;

	if (likely(atomic_compare_exchange_strong_explicit(word, &none, h->tag, memory_order_acquire, memory_order_relaxed)))
		return 0;
	return owned_lock_wait(h, word);
}

static inline void owned_lock_drop(const struct hold *h, owned_lock *word)
{
	(void)h;
	atomic_store_explicit(word, 0, memory_order_release);
}

/* Plain lock for the engine's own, process-private structures: waits on a futex. It names its thread, so that a signal handler
 * can ask before it waits for the very code that it interrupted. */
typedef _Atomic u32 plain_lock;
void plain_lock_take(plain_lock *l);
void plain_lock_drop(plain_lock *l);
bool plain_lock_mine(const plain_lock *l);

/* ---- hash.c: keyed hash of map keys; its collision bound is stated there ---- */
enum { HASH_MAX_KEY = 512, HASH_KEY_WORDS = 8 + HASH_MAX_KEY / 8 };
struct hash_key {
	u64 word[HASH_KEY_WORDS]; /* 0..3: multiply-shift; 4..7: its second element; 8..: NH */
};
void hash_key_init(struct hash_key *k, u64 seed); /* seed 0: the fixed key of BPF_F_ZERO_SEED */
u64 hash_long(const struct hash_key *k, const void *key, u32 size);

u64 hash_any(const struct hash_key *k, const void *key, u32 size); /* of any size: in pieces where hash_bytes() ends */

/* The same without a call; size > 8, so that what is left of the last word is the end of one that lies inside of the key. */
static inline u64 hash_words(const struct hash_key *k, const void *key, u32 size)
{
	const u64 *secret = k->word + 8;
	const u8 *p = key;
	u128 sum = 0;
	u64 lo, hi;

	for (; size >= 16; size -= 16, p += 16, secret += 2)
		sum += (u128)(LOAD_AS(u64, p) + secret[0]) * (LOAD_AS(u64, p + 8) + secret[1]);
	if (size) {
		u64 first = size < 8 ? 0 : LOAD_AS(u64, p), rest = size & 7 ? LOAD_AS(u64, p + size - 8) >> (64 - (size & 7) * 8) : 0;

		sum += (u128)((size < 8 ? rest : first) + secret[0]) * ((size < 8 ? 0 : rest) + secret[1]);
	}
	lo = (u64)sum;
	hi = (u64)(sum >> 64);
	return (u64)(((u128)k->word[0] * lo + (u128)k->word[4] * hi + k->word[2]) >> 64) + k->word[1] * lo +
	       k->word[5] * hi + k->word[3];
}

static inline u64 hash_word(const struct hash_key *k, u64 x)
{
	return k->word[1] * x + (u64)(((u128)k->word[0] * x + k->word[2]) >> 64) + k->word[3];
}

/* One to one: spreads each bit over all others (splitmix64's end, Steele et al. 2014). For who needs bits of different hashes to have
 * nothing to do with each other; hash_bytes() only promises that two keys rarely collide, and maps 1, 2, 3 to h, h + d, h + 2 d or so. */
static inline u64 hash_mix(u64 z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* size <= HASH_MAX_KEY. All 64 bits are usable. */
static inline u64 hash_bytes(const struct hash_key *k, const void *key, u32 size)
{
	u64 x = 0;

	if (size == 4)
		x = LOAD_AS(u32, key);
	else if (size == 8)
		x = LOAD_AS(u64, key);
	else if (size > 8)
		return hash_long(k, key, size);
	else
		memcpy(&x, key, size);
	return hash_word(k, x);
}

/* ---- os.c: the few system services that the library needs ---- */
u64 os_random(void);
u64 os_clock_ns(int clock_id);
struct timespec;
int (*os_vdso_clock(void))(int clock_id, struct timespec *to); /* vdso.c: the vDSO's clock_gettime(); NULL: there is none */
int os_size_check(u64 size); /* may a file be that large? -EFBIG */
int os_resize(int fd, u64 size);
int os_write_at(int fd, const void *bytes, u64 size, u64 at); /* all of it, or -errno */
int os_memfd(const char *name, size_t size, unsigned seals);
int os_memfd_of(const char *name, const void *bytes, size_t size); /* these bytes, for good: nobody writes to it any more */
/* Has the process (0: this one) the file mapped, shared and writable, anywhere but in [except, except + size)? False where /proc does not tell. */
bool os_maps_writable(s32 pid, int fd, const void *except, size_t size);
void os_yield(void);

/* ---- sha256.c: program tags and contents of maps, as Linux computes them ---- */
void sha256_digest(const void *data, size_t size, u8 out[32]);

#endif
