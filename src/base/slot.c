/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Run slots: per-CPU index, read-side section, lock ownership and crash recovery in one primitive.
 *
 * Key idea: who holds a slot is one 64-bit word, {pid, start time, thread}, changed only by compare-and-swap, so that
 * taking a slot, finding that this thread holds one already, and finding that its owner is dead are each a
 * look at that word. The table lies in shared memory; a private one until the engine joins a domain.
 *
 * Rules:
 *  1. owner is 0 (free) or names a thread. Only that thread stores 0, or whoever proved its process dead.
 *  2. epoch is 0 while a holder is entering; it blocks reuse like the oldest epoch. The owner stores it after the
 *     compare-and-swap (a full barrier) and clears it before it frees the slot.
 *  3. generation changes exactly when a dead owner is removed, while the slot is held by the one who removes it. A lock word carries
 *     {slot, generation}; a word whose generation is not its slot's was left behind by a dead owner.
 *  4. Nothing in the table is trusted: indices are masked by the private count, no loop depends on its contents.
 *  5. A waiter never waits for its own thread: hold_take() finds its own slot first, and own locks give -EBUSY.
 *  6. Runs that wait for each other's epochs would wait for ever. So who waits for the elements of a map first moves its own `seen`
 *     on: from then on others may reuse elements that it looked up before. Objects are freed by `epoch` alone.
 */
#include "base/base.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, TABLE_MAGIC = 0x746f6c73, TABLE_VERSION = 1 };

struct slot {
	_Atomic u64 owner;
	_Atomic u64 epoch;
	_Atomic u32 generation;
	u32 reserved0;
	_Atomic u64 seen; /* as epoch, for elements of maps only; means nothing while it is smaller */
	u32 reserved[8];
};
_Static_assert(sizeof(struct slot) == 64, "one cache line per slot");

struct slot_table {
	u32 magic, version, count, reserved;
	_Atomic u64 epoch;
	_Atomic u32 displaced; /* holders that are not in the slot their thread hashes to */
	u32 reserved1;
	_Atomic u64 hungry; /* a thread that has waited for long: whoever comes next lets it pass once */
	u8 pad[24];
	struct slot slot[];
};

struct domain {
	const struct mem *mem;
	struct region region;
	struct slot_table *table;
	u32 count;
	u64 *identity; /* {pid, start time} of this process; a page that fork() wipes */
	_Atomic u32 gate; /* set while the table is being exchanged */
	plain_lock join_lock, gate_lock;
	u64 file_dev, file_ino; /* of the joined file; 0 while private */
	int file;
};

/* ---- who am I, and is somebody else alive ---- */

/* Start time of a process in clock ticks since boot; 0: there is no such process, or it is a zombie without threads. */
static u64 process_start(const char *who)
{
	char path[40], stat[1024], *p;
	unsigned long long start = 0;
	long threads = 0;
	char state = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/stat", who);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	stat[n] = 0;
	p = strrchr(stat, ')'); /* the command's name may hold anything */
	if (!p || sscanf(p + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %llu",
			 &state, &threads, &start) != 3)
		return 0;
	if ((state == 'Z' || state == 'X') && threads <= 1)
		return 0;
	return start ? start : 1;
}

/* 22 bits of process id, 10 that depend on its start time (0: it is not known), 32 of the thread pointer. */
static u64 make_identity(u64 pid, u64 start)
{
	return (pid & 0x3fffff) << 42 | (start & 0x3ff ? start & 0x3ff : start != 0) << 32;
}

static u64 start_part(u64 identity)
{
	return identity >> 32 & 0x3ff;
}

/* Whether a process that can be signalled has ended and waits for its parent. Without /proc its descriptor knows. */
static bool is_zombie(pid_t pid)
{
	struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	bool zombie;

	if (ended.fd < 0)
		return false;
	zombie = poll(&ended, 1, 0) == 1 && ended.revents & POLLIN;
	close(ended.fd);
	return zombie;
}

static u64 self_identity(const struct domain *d)
{
	u64 id = __atomic_load_n(d->identity, __ATOMIC_RELAXED);

	if (unlikely(id == 0)) {
		id = make_identity((u64)getpid(), process_start("self"));
		__atomic_store_n(d->identity, id, __ATOMIC_RELAXED);
	}
	return id | (u32)((uintptr_t)__builtin_thread_pointer() >> 6);
}

static bool owner_dead(u64 owner)
{
	u64 pid = owner >> 42, start;
	char who[24];

	if (pid == 0)
		return true; /* no process has it: the word was scribbled on */
	if (kill((pid_t)pid, 0) && errno == ESRCH)
		return true;
	snprintf(who, sizeof(who), "%llu", (unsigned long long)pid);
	start = process_start(who);
	if (start == 0)
		return access("/proc/self/stat", R_OK) == 0 || is_zombie((pid_t)pid);
	return start_part(owner) && start_part(owner) != start_part(make_identity(pid, start));
}

/* Frees a slot whose owner was proved dead. The slot is taken first, by this process and no thread of it, so that nobody
 * else holds it while its generation changes; who dies here leaves one more dead owner. */
static void reclaim(struct domain *d, struct slot *s, u64 owner)
{
	u64 me = self_identity(d) & ~(u64)UINT32_MAX;

	if (!atomic_compare_exchange_strong(&s->owner, &owner, me))
		return;
	atomic_fetch_add(&s->generation, 1);
	atomic_store(&s->epoch, 0);
	atomic_store(&s->owner, 0);
}

/* ---- tables ---- */

static size_t table_size(u32 count)
{
	return ALIGN_UP(sizeof(struct slot_table) + count * sizeof(struct slot), PAGE);
}

static void table_init(struct slot_table *t, u32 count)
{
	t->version = TABLE_VERSION;
	t->count = count;
	atomic_store(&t->epoch, 1);
	__atomic_store_n(&t->magic, TABLE_MAGIC, __ATOMIC_RELEASE);
}

struct domain *domain_open(const struct mem *mem, struct window *w)
{
	struct domain *d = mem_alloc(mem, sizeof(*d));

	if (!d)
		return NULL;
	d->mem = mem;
	d->file = -1;
	d->count = possible_cpus();
	d->identity = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (d->identity == MAP_FAILED)
		goto no_page;
	if (madvise(d->identity, PAGE, MADV_WIPEONFORK) ||
	    region_create(w, &d->region, REGION_SHARED, "skep-slots", table_size(d->count), w))
		goto no_region;
	d->table = (struct slot_table *)d->region.base;
	table_init(d->table, d->count);
	return d;
no_region:
	munmap(d->identity, PAGE);
no_page:
	mem_free(mem, d, sizeof(*d));
	return NULL;
}

void domain_close(struct domain *d)
{
	if (!d)
		return;
	region_destroy(&d->region);
	if (d->file >= 0)
		close(d->file);
	munmap(d->identity, PAGE);
	mem_free(d->mem, d, sizeof(*d));
}

u32 domain_cpus(const struct domain *d)
{
	return d->count;
}

bool domain_shared(const struct domain *d)
{
	return d->file >= 0;
}

/* The file is made by whoever comes first; a lock on it keeps the second one out until it is complete. */
static int prepare_file(int fd, u32 count)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct slot_table head = {0};
	struct stat st;
	int err = 0;

	if (fcntl(fd, F_OFD_SETLKW, &whole))
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (st.st_size == 0) {
		head = (struct slot_table){.magic = TABLE_MAGIC, .version = TABLE_VERSION, .count = count, .epoch = 1};
		err = os_resize(fd, table_size(count));
		if (!err && pwrite(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head))
			err = -errno;
	} else if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) || head.magic != TABLE_MAGIC ||
		   head.version != TABLE_VERSION || head.count != count || (size_t)st.st_size != table_size(count)) {
		err = -EINVAL;
	}
	whole.l_type = F_UNLCK;
	fcntl(fd, F_OFD_SETLK, &whole);
	return err;
}

u64 domain_id(const struct domain *d)
{
	return d->file >= 0 ? (d->file_dev * 0x9e3779b97f4a7c15ull) ^ d->file_ino : 0;
}

/* Does a thread of this process other than the caller hold a slot? */
static bool others_hold(const struct domain *d, u64 me)
{
	for (u32 i = 0; i < d->count; i++) {
		u64 owner = atomic_load(&d->table->slot[i].owner);

		if (owner && owner != me && owner >> 32 == me >> 32)
			return true;
	}
	return false;
}

void domain_stop(struct domain *d)
{
	u64 me = self_identity(d);

	plain_lock_take(&d->gate_lock);
	atomic_store(&d->gate, 1);
	while (others_hold(d, me)) /* runs end; new ones wait at the gate */
		os_yield();
}

void domain_go(struct domain *d)
{
	atomic_store(&d->gate, 0);
	plain_lock_drop(&d->gate_lock);
}

static bool holds_own(const struct domain *d, u64 me)
{
	for (u32 i = 0; i < d->count; i++)
		if (atomic_load(&d->table->slot[i].owner) == me)
			return true;
	return false;
}

int domain_join(struct domain *d, int fd)
{
	struct stat st;
	int err = 0, dup;

	if (fstat(fd, &st))
		return -errno;
	plain_lock_take(&d->join_lock);
	if (d->file >= 0)
		err = st.st_dev == d->file_dev && st.st_ino == d->file_ino ? 1 : -EXDEV;
	else if (holds_own(d, self_identity(d)))
		err = -EDEADLK;
	else
		err = prepare_file(fd, d->count);
	if (err)
		goto out;
	dup = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (dup < 0) {
		err = -errno;
		goto out;
	}
	domain_stop(d);
	err = region_rehome(&d->region, dup, 0);
	domain_go(d);
	if (err) {
		close(dup);
		goto out;
	}
	d->file = dup;
	d->file_dev = st.st_dev;
	d->file_ino = st.st_ino;
out:
	plain_lock_drop(&d->join_lock);
	return err > 0 ? 0 : err;
}

/* ---- taking and leaving ---- */

static u32 home_of(const struct domain *d, u64 me)
{
	u32 key = (u32)me * 0x9e3779b1u;

	return (u32)((u64)key * d->count >> 32);
}

static void fill(struct domain *d, struct hold *h, u32 index, bool nested)
{
	struct slot *s = &d->table->slot[index];
	u32 gen = atomic_load_explicit(&s->generation, memory_order_relaxed);

	*h = (struct hold){.domain = d, .slot = s, .index = index, .tag = (gen & 0xfffff) << 12 | (index + 1), .nested = nested};
}

static bool try_slot(struct domain *d, u32 index, u64 me)
{
	struct slot *s = &d->table->slot[index];
	u64 none = 0;

	if (atomic_load_explicit(&s->owner, memory_order_relaxed) || !atomic_compare_exchange_strong(&s->owner, &none, me))
		return false;
	if (unlikely(atomic_load(&d->gate))) {
		atomic_store(&s->owner, 0);
		return false;
	}
	atomic_store_explicit(&s->epoch, atomic_load(&d->table->epoch), memory_order_release);
	return true;
}

static int take_any(struct domain *d, u64 me, u32 home)
{
	for (u32 i = 1; i < d->count; i++) {
		u32 at = (home + i) % d->count;

		/* Counted before it can be held, so that a nested run never misses it. */
		atomic_fetch_add(&d->table->displaced, 1);
		if (try_slot(d, at, me))
			return (int)at;
		atomic_fetch_sub(&d->table->displaced, 1);
	}
	return -1;
}

static void reclaim_dead(struct domain *d)
{
	for (u32 i = 0; i < d->count; i++) {
		u64 owner = atomic_load(&d->table->slot[i].owner);

		if (owner && owner_dead(owner))
			reclaim(d, &d->table->slot[i], owner);
	}
}

/* Somebody waits for long: others stand back for a moment, each of them once. Whoever waited may have died since. */
static void stand_back(struct domain *d, u64 me)
{
	u64 who = atomic_load_explicit(&d->table->hungry, memory_order_relaxed);

	if (who == 0 || who == me)
		return;
	nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
	atomic_compare_exchange_strong(&d->table->hungry, &who, 0);
}

static bool any_slot(struct domain *d, struct hold *h, u64 me, u32 home)
{
	int at = try_slot(d, home, me) ? (int)home : take_any(d, me, home);

	if (at >= 0)
		fill(d, h, (u32)at, false);
	return at >= 0;
}

static bool any_slot_free(const struct domain *d)
{
	for (u32 i = 0; i < d->count; i++)
		if (!atomic_load_explicit(&d->table->slot[i].owner, memory_order_relaxed))
			return true;
	return false;
}

/* More threads than slots. Those that have one go on undisturbed: a waiter sleeps, longer and longer, instead of taking turns on the
 * processor with a holder that was just stopped there. Before it waits too long it says so, and looks without sleeping. */
static int wait_for_slot(struct domain *d, struct hold *h, u64 me, u32 home)
{
	enum { TRIES = 1 << 18, YIELDS = 4, LONGEST = 1000000, HUNGRY = 8, LOOKS = 64, LOOK_FOR_DEAD = 16 };
	long ns = 50000;

	for (u32 tries = 0; tries < TRIES; tries++) {
		u64 none = 0;

		if (any_slot(d, h, me, home)) {
			none = me;
			if (tries > HUNGRY)
				atomic_compare_exchange_strong(&d->table->hungry, &none, 0);
			return 0;
		}
		if (plain_lock_mine(&d->gate_lock))
			return -EBUSY;
		if (tries < YIELDS) {
			os_yield();
			continue;
		}
		if (tries % LOOK_FOR_DEAD == LOOK_FOR_DEAD - 1)
			reclaim_dead(d);
		if (tries > HUNGRY)
			atomic_compare_exchange_strong(&d->table->hungry, &none, me);
		for (u32 look = 0; tries > HUNGRY && look < LOOKS && !any_slot_free(d); look++)
			os_yield();
		if (tries > HUNGRY && any_slot_free(d))
			continue;
		nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
		ns = MIN(2 * ns, (long)LONGEST);
	}
	return -EAGAIN;
}

int hold_take(struct domain *d, struct hold *h)
{
	u64 me = self_identity(d);
	u32 home = home_of(d, me);

	if (unlikely(atomic_load_explicit(&d->table->slot[home].owner, memory_order_relaxed) == me)) {
		fill(d, h, home, true);
		return 0;
	}
	if (unlikely(atomic_load_explicit(&d->table->displaced, memory_order_relaxed)))
		for (u32 i = 0; i < d->count; i++)
			if (atomic_load_explicit(&d->table->slot[i].owner, memory_order_relaxed) == me) {
				fill(d, h, i, true);
				return 0;
			}
	if (unlikely(atomic_load_explicit(&d->table->hungry, memory_order_relaxed)))
		stand_back(d, me);
	if (likely(try_slot(d, home, me))) {
		fill(d, h, home, false);
		return 0;
	}
	return wait_for_slot(d, h, me, home);
}

int hold_take_at(struct domain *d, struct hold *h, u32 index)
{
	u64 me = self_identity(d);

	if (index < d->count && index != home_of(d, me) && !holds_own(d, me)) {
		atomic_fetch_add(&d->table->displaced, 1); /* as in take_any() */
		if (try_slot(d, index, me)) {
			fill(d, h, index, false);
			return 0;
		}
		atomic_fetch_sub(&d->table->displaced, 1);
	}
	return hold_take(d, h);
}

void hold_drop(struct hold *h)
{
	struct domain *d = h->domain;
	u64 me;

	if (h->nested)
		return;
	me = atomic_load_explicit(&h->slot->owner, memory_order_relaxed);
	atomic_store_explicit(&h->slot->epoch, 0, memory_order_release);
	atomic_store_explicit(&h->slot->owner, 0, memory_order_release);
	if (home_of(d, me) != h->index)
		atomic_fetch_sub(&d->table->displaced, 1);
}

/* ---- epochs ---- */

u64 epoch_advance(struct domain *d)
{
	return atomic_fetch_add(&d->table->epoch, 1);
}

bool epoch_passed(const struct hold *h, u64 epoch)
{
	struct domain *d = h->domain;
	u64 now = atomic_load(&d->table->epoch);

	epoch = MIN(epoch, now - 1); /* it may come from bytes that others write */
	for (u32 i = 0; i < d->count; i++) {
		struct slot *s = &d->table->slot[i];

		if (i != h->index && atomic_load(&s->owner) && atomic_load(&s->epoch) <= epoch && atomic_load(&s->seen) <= epoch)
			return false;
	}
	return true;
}

bool epoch_over(const struct domain *d, u64 epoch)
{
	for (u32 i = 0; i < d->count; i++) {
		const struct slot *s = &d->table->slot[i];

		if (atomic_load(&s->owner) && atomic_load(&s->epoch) <= epoch)
			return false;
	}
	return true;
}

/* Nobody waits any longer for those who looked at elements before the epoch. */
static void give_up(const struct hold *h, u64 epoch)
{
	struct domain *d = h->domain;

	for (u32 i = 0; i < d->count; i++) {
		_Atomic u64 *seen = &d->table->slot[i].seen;
		u64 was = atomic_load(seen);

		while (was <= epoch && !atomic_compare_exchange_weak(seen, &was, epoch + 1))
			;
	}
}

void epoch_await(const struct hold *h, u64 epoch)
{
	enum { LOOK_AT_CLOCK = 64 };
	const u64 limit = 1000000000;
	u64 start = 0, reached = atomic_load(&h->domain->table->epoch) - 1;

	epoch = MIN(epoch, reached);
	for (u32 attempt = 1;; attempt++) {
		if (!h->nested) /* the run that was interrupted may be anywhere */
			atomic_store(&h->slot->seen, atomic_load(&h->domain->table->epoch));
		if (epoch_passed(h, epoch))
			return;
		if (attempt < LOOK_AT_CLOCK)
			os_yield();
		else
			nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
		if (attempt % LOOK_AT_CLOCK == 0) {
			u64 now = os_clock_ns(CLOCK_MONOTONIC);

			reclaim_dead(h->domain);
			start = start ? start : now;
			if (now - start > limit) {
				give_up(h, epoch);
				return;
			}
		}
	}
}

void hold_pass(struct hold *h)
{
	u64 now = atomic_load(&h->domain->table->epoch);

	if (!h->nested && atomic_load_explicit(&h->slot->epoch, memory_order_relaxed) != now)
		atomic_store_explicit(&h->slot->epoch, now, memory_order_release);
}

bool domain_held(const struct domain *d)
{
	return holds_own(d, self_identity(d));
}

void epoch_wait(struct domain *d)
{
	u64 me = self_identity(d), epoch = epoch_advance(d);

	for (u32 i = 0; i < d->count; i++) {
		struct slot *s = &d->table->slot[i];

		for (;;) {
			u64 owner = atomic_load(&s->owner);

			/* Other processes have engines, and objects, of their own. */
			if (owner == 0 || owner == me || owner >> 32 != me >> 32 || atomic_load(&s->epoch) > epoch)
				break;
			os_yield();
		}
	}
}

/* ---- locks ---- */

/* A word that names a free slot was released meanwhile, or was never taken by anybody. Seen while the slot is held, so that no new
 * holder can write the same word, the second is certain; the new generation keeps it so. */
static bool orphaned(struct domain *d, struct slot *s, owned_lock *word, u32 seen)
{
	u64 none = 0, me = self_identity(d) & ~(u64)UINT32_MAX;
	bool yes;

	if (!atomic_compare_exchange_strong(&s->owner, &none, me))
		return false;
	yes = atomic_load(word) == seen;
	if (yes)
		atomic_fetch_add(&s->generation, 1);
	atomic_store(&s->owner, 0);
	return yes;
}

/* Was the word left behind by an owner that is gone? Only then may somebody else take it over. */
static bool word_stale(struct domain *d, owned_lock *word, u32 seen, bool look_for_dead)
{
	u32 index = (seen & 0xfff) - 1;
	struct slot *s;
	u64 owner;

	if (index >= d->count)
		return true; /* no holder writes such a word */
	s = &d->table->slot[index];
	if ((atomic_load(&s->generation) & 0xfffff) != seen >> 12)
		return true;
	owner = atomic_load(&s->owner);
	if (!look_for_dead)
		return false;
	if (owner == 0)
		return orphaned(d, s, word, seen);
	if (owner_dead(owner))
		reclaim(d, s, owner);
	return (atomic_load(&s->generation) & 0xfffff) != seen >> 12;
}

bool hold_gone(const struct hold *h, u32 tag)
{
	u32 index = (tag & 0xfff) - 1;
	struct slot *s;
	u64 owner;

	if (tag == h->tag)
		return false;
	if (index >= h->domain->count)
		return true;
	s = &h->domain->table->slot[index];
	owner = atomic_load(&s->owner);
	if (owner && owner_dead(owner))
		reclaim(h->domain, s, owner);
	return owner == 0 || (atomic_load(&s->generation) & 0xfffff) != tag >> 12;
}

static void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

int owned_lock_wait(const struct hold *h, owned_lock *word)
{
	enum { TRIES = 1 << 18 };

	for (u32 tries = 0; tries < TRIES; tries++) {
		u32 seen = atomic_load_explicit(word, memory_order_relaxed);

		if (seen == 0) {
			if (atomic_compare_exchange_weak_explicit(word, &seen, h->tag, memory_order_acquire, memory_order_relaxed))
				return 0;
			continue;
		}
		if (seen == h->tag)
			return -EBUSY;
		if (tries > 64 && word_stale(h->domain, word, seen, tries % 256 == 255) &&
		    atomic_compare_exchange_strong_explicit(word, &seen, h->tag, memory_order_acquire, memory_order_relaxed))
			return 1 + (int)MIN((seen & 0xfff) - 1, h->domain->count);
		if (tries < 64)
			cpu_relax();
		else if (tries < 4096)
			os_yield();
		else
			nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
	}
	return -EBUSY; /* a stopped owner, or a word that was scribbled on */
}

/* 0: free; otherwise a number of the thread that has it, and whether somebody sleeps. */
enum { SLEEPERS = 0x80000000u };

static u32 thread_number(void)
{
	return ((u32)((uintptr_t)__builtin_thread_pointer() >> 6) & ~SLEEPERS) | 1u << 30;
}

bool plain_lock_mine(const plain_lock *l)
{
	return (atomic_load_explicit(l, memory_order_relaxed) & ~SLEEPERS) == thread_number();
}

void plain_lock_take(plain_lock *l)
{
	u32 seen = 0, me = thread_number();

	if (likely(atomic_compare_exchange_strong_explicit(l, &seen, me, memory_order_acquire, memory_order_relaxed)))
		return;
	for (;;) {
		seen = 0; /* who slept does not know whether others still do */
		if (atomic_compare_exchange_strong_explicit(l, &seen, me | SLEEPERS, memory_order_acquire, memory_order_relaxed))
			return;
		if (seen & SLEEPERS || atomic_compare_exchange_strong_explicit(l, &seen, seen | SLEEPERS, memory_order_relaxed, memory_order_relaxed))
			syscall(SYS_futex, l, FUTEX_WAIT_PRIVATE, seen | SLEEPERS, NULL, NULL, 0);
	}
}

void plain_lock_drop(plain_lock *l)
{
	if (atomic_exchange_explicit(l, 0, memory_order_release) & SLEEPERS)
		syscall(SYS_futex, l, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
