/* SPDX-License-Identifier: BSD-2-Clause */
/* What runs inside of other processes: see inside_code.h. */
#include "hook/inside_code.h"

#include <linux/bpf.h>
#include <sys/syscall.h>

#define INLINE __attribute__((always_inline)) static inline
#define ROUTINE __attribute__((section("skep_inside"), used, flatten))

#ifdef __x86_64__

#define QUIET	 "__start_skep_inside-4096+16384+24(%rip)"
_Static_assert((int)INSIDE_ROUTINES == 4096 && (int)TASK_INSIDE_CODE == 16384 && offsetof(struct task_inside, quiet) == 24, "as the routines have it");
__asm__(".pushsection skep_inside,\"ax\",@progbits\n"
	".globl inside_ask, inside_ask_trap, inside_read_bytes, inside_read_pair, inside_reads, inside_read_end\n"
	".hidden inside_ask, inside_ask_trap, inside_read_bytes, inside_read_pair, inside_reads, inside_read_end\n"
	".balign 16\n"
	"inside_ask:\n"
	"	mov $-16, %rax\n"
	"	cmpl $0, " QUIET "\n"
	"	jne 1f\n"
	"inside_ask_trap:\n"
	"	int3\n"
	"1:	ret\n"
	".balign 16\n"
	"inside_read_bytes:\n"
	"	mov %rdx, %rcx\n"
	"	cmpl $0, " QUIET "\n"
	"	je 1f\n"
	"	jmp inside_read_end\n"
	".balign 16\n"
	"inside_read_pair:\n"
	"	mov $16, %ecx\n"
	"	cmpl $0, " QUIET "\n"
	"	jne inside_read_end\n"
	"inside_reads:\n"
	"	mov (%rsi), %rax\n"
	"	mov 8(%rsi), %r8\n"
	"	mov %rax, (%rdi)\n"
	"	mov %r8, 8(%rdi)\n"
	"	xor %ecx, %ecx\n"
	"	jmp inside_read_end\n"
	"1:	rep movsb\n"
	"inside_read_end:\n"
	"	mov %rcx, %rax\n"
	"	ret\n"
	".popsection\n");

INLINE const struct task_inside *own(void)
{
	const u8 *at;

	__asm__("lea __start_skep_inside(%%rip), %0" : "=r"(at));
	return (const struct task_inside *)(const void *)(at - INSIDE_ROUTINES + TASK_INSIDE_CODE);
}

INLINE u64 fs_base(bool by_abi)
{
	u64 fs;

	if (by_abi)
		__asm__ volatile("mov %%fs:0, %0" : "=r"(fs));
	else
		__asm__ volatile("rdfsbase %0" : "=r"(fs));
	return fs;
}

INLINE void yield(void)
{
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(SYS_sched_yield) : "rcx", "r11", "memory");
}

#else

INLINE void yield(void)
{
}

INLINE const struct task_inside *own(void)
{
	return NULL;
}

INLINE u64 fs_base(bool by_abi)
{
	(void)by_abi;
	return 0;
}

HIDDEN s64 inside_ask(u64 helper, const struct inside_map *m, const void *key, const void *value, u64 flags, u64 cpu)
{
	(void)helper, (void)m, (void)key, (void)value, (void)flags, (void)cpu;
	return -ENOTSUP;
}

HIDDEN u64 inside_read_bytes(void *to, const void *from, u64 size)
{
	(void)to, (void)from;
	return size;
}

HIDDEN u64 inside_read_pair(void *to, const void *from)
{
	(void)to, (void)from;
	return 16;
}

#endif

/* ---- leases ---- */

/* A thread's own that it did not give back was left by longjmp(): an outer run's would lie higher on the stack. */
INLINE bool take(struct inside_lease *l, u64 me, u64 sp)
{
	u64 owner = atomic_load_explicit(&l->owner, memory_order_relaxed);
	bool got = owner == me ? atomic_load_explicit(&l->sp, memory_order_relaxed) <= sp : !owner && atomic_compare_exchange_strong(&l->owner, &owner, me);

	if (got)
		atomic_store_explicit(&l->sp, sp, memory_order_relaxed);
	return got;
}

INLINE struct inside_lease *take_any(const struct inside_cpus *cpus, u32 home, u64 me, u64 sp)
{
	enum { TURNS = 64 };
	struct inside_lease *l = NULL;
	u32 n = cpus->n;

	for (u32 turn = 0; !l && turn < TURNS; turn++) {
		for (u32 i = 0; !l && i < n; i++) {
			struct inside_lease *at = &cpus->lease[home + i < n ? home + i : home + i - n];

			l = take(at, me, sp) ? at : NULL;
		}
		if (!l)
			yield();
	}
	return l;
}

/* What the run has written is complete. */
INLINE void send_off(const struct inside_cpus *cpus, struct inside_outbox *out)
{
	if (out->next == atomic_load_explicit(&out->head, memory_order_relaxed))
		return;
	atomic_store(&out->head, out->next); /* a full barrier: either the engine sees this, or we that it does not look */
	if (!atomic_load(&cpus->fetching))
		inside_ask(0, NULL, NULL, NULL, 0, 0);
}

INLINE void run_leased(struct hold **run, void *regs, inside_entry *entry, const struct inside_cpus *cpus, u64 tgid, bool sends)
{
	u64 thread = fs_base(cpus->by_abi) >> 6 & UINT32_MAX, sp = (u64)(uintptr_t)__builtin_frame_address(0);
	u32 home = (u32)((u64)((u32)thread * 0x9e3779b1u) * cpus->n >> 32), index = home;
	struct inside_lease *l = take_any(cpus, home, tgid | thread, sp);

	if (l)
		index = (u32)(l - cpus->lease);
	*run = (struct hold *)(uintptr_t)(l ? &cpus->hold[index] : &cpus->shared[index]);
	if (sends && l) /* what a run that was left had written is forgotten */
		cpus->outbox[index].next = atomic_load_explicit(&cpus->outbox[index].head, memory_order_relaxed);
	entry(run, regs);
	if (sends && l)
		send_off(cpus, &cpus->outbox[index]);
	if (l)
		atomic_store_explicit(&l->owner, 0, memory_order_release);
}

ROUTINE void inside_run(struct hold **run, void *regs, inside_entry *entry, const struct inside_cpus *cpus, u64 tgid)
{
	run_leased(run, regs, entry, cpus, tgid, false);
}

ROUTINE void inside_run_sending(struct hold **run, void *regs, inside_entry *entry, const struct inside_cpus *cpus, u64 tgid)
{
	run_leased(run, regs, entry, cpus, tgid, true);
}

/* ---- maps ---- */

INLINE void copy(u8 *to, const u8 *from, u32 size)
{
	for (; size >= 8; size -= 8, to += 8, from += 8)
		*(volatile u64 *)(void *)to = LOAD_AS(u64, from);
	for (; size; size--)
		*(volatile u8 *)to++ = *from++;
}

INLINE u32 hash_key_of(const struct inside_map *m, const u8 *key)
{
	u64 x = 0;

	if (m->key_size == 8)
		return (u32)hash_word(&m->hash.key, LOAD_AS(u64, key));
	if (m->key_size == 4)
		return (u32)hash_word(&m->hash.key, LOAD_AS(u32, key));
	if (m->key_size > 8)
		return (u32)hash_words(&m->hash.key, key, m->key_size);
	for (u32 i = 0; i < m->key_size; i++)
		x |= (u64)key[i] << 8 * i;
	return (u32)hash_word(&m->hash.key, x);
}

INLINE u64 cpu_of(struct hold *const *run)
{
	return *run ? (*run)->index : 0;
}

INLINE u8 *find(struct hold *const *run, const struct inside_map *m, const void *key)
{
	struct hash_spot spot;
	u32 index;

	if (!m->hash.nodes) {
		index = LOAD_AS(u32, key);
		return index < m->max_entries ? m->values + (u64)index * m->elem_size + (m->cpu_stride ? cpu_of(run) * m->cpu_stride : 0) : NULL;
	}
	if (!hash_seek(&m->hash, key, m->key_size, hash_key_of(m, key), &spot))
		return NULL;
	if (m->hash.lru && !atomic_load_explicit(&spot.node->recent, memory_order_relaxed))
		atomic_store_explicit(&spot.node->recent, 1, memory_order_relaxed);
	return (u8 *)spot.node + m->hash.value_at + (m->hash.percpu ? cpu_of(run) * m->elem_size : 0);
}

INLINE s64 ask(u64 helper, struct hold *const *run, const struct inside_map *m, const void *key, const void *value, u64 flags)
{
	return inside_ask(helper, m, key, value, flags, cpu_of(run));
}

ROUTINE void *inside_lookup(struct hold **run, const struct inside_map *m, const void *key)
{
	return find(run, m, key);
}

/* Written where it is, unless readers could see half of it: those of another CPU's values do not look. */
ROUTINE s64 inside_update(struct hold **run, const struct inside_map *m, const void *key, const void *value, u64 flags)
{
	bool alone = !m->hash.nodes || m->hash.percpu;
	u8 *at;

	if (flags > BPF_EXIST || (!alone && m->value_size > 8))
		return ask(BPF_FUNC_map_update_elem, run, m, key, value, flags);
	at = find(run, m, key);
	if (!m->hash.nodes && (!at || flags == BPF_NOEXIST))
		return at ? -EEXIST : -E2BIG;
	if (!at)
		return flags == BPF_EXIST ? -ENOENT : ask(BPF_FUNC_map_update_elem, run, m, key, value, flags);
	if (flags == BPF_NOEXIST)
		return -EEXIST;
	if (!alone && m->value_size == 4)
		*(volatile u32 *)(void *)at = LOAD_AS(u32, value);
	else if (alone || m->value_size == 8)
		copy(at, value, m->value_size);
	else
		return ask(BPF_FUNC_map_update_elem, run, m, key, value, flags);
	return 0;
}

ROUTINE s64 inside_delete(struct hold **run, const struct inside_map *m, const void *key)
{
	if (!m->hash.nodes)
		return -EINVAL;
	return find(run, m, key) ? ask(BPF_FUNC_map_delete_elem, run, m, key, NULL, 0) : -ENOENT;
}

/* ---- the task ---- */

/* Its place in thread[]; TASK_INSIDE_THREADS: none. */
INLINE u32 this_thread(const struct task_inside *t)
{
	u64 fs = fs_base(t->by_abi);
	u32 place = task_inside_place(fs);

	for (u32 i = 0; i < 2; i++) {
		u64 thread = t->thread[place ^ i];

		if (thread && !((task_inside_thread(fs, 0) ^ thread) >> 22))
			return place ^ i;
	}
	return TASK_INSIDE_THREADS;
}

ROUTINE s64 inside_comm(struct hold **run, u8 *to, u64 size)
{
	const struct task_inside *t = own();
	u32 place = this_thread(t);

	(void)run;
	if (place == TASK_INSIDE_THREADS)
		return inside_ask(BPF_FUNC_get_current_comm, NULL, to, (const void *)size, 0, 0);
	for (u64 b = 0; b < size; b++)
		*(volatile u8 *)(to + b) = b < 16 && b + 1 < size ? (u8)(t->comm[place][b / 8] >> b % 8 * 8) : 0;
	return 0;
}

ROUTINE u64 inside_task(void)
{
	const struct task_inside *t = own();
	u32 place = this_thread(t);
	s64 told;

	if (place < TASK_INSIDE_THREADS)
		return t->object[place];
	told = inside_ask(BPF_FUNC_get_current_task, NULL, NULL, NULL, 0, 0);
	return told < 0 ? 0 : (u64)told;
}

ROUTINE u64 inside_uid_gid(void)
{
	return own()->uid_gid;
}

INLINE u64 clock_ns(u64 id)
{
	u64 t[2] = {0};

	((int (*)(u64, u64 *))(uintptr_t)own()->clock)(id, t);
	return t[0] * 1000000000 + t[1];
}

enum { MONOTONIC = 1, BOOTTIME = 7, TAI = 11, MONOTONIC_COARSE = 6 };
ROUTINE u64 inside_boot(void)
{
	return clock_ns(BOOTTIME);
}

ROUTINE u64 inside_tai(void)
{
	return clock_ns(TAI);
}

ROUTINE u64 inside_coarse(void)
{
	return clock_ns(MONOTONIC_COARSE);
}

ROUTINE u64 inside_jiffies(void)
{
	return jiffies_at(clock_ns(MONOTONIC_COARSE));
}

/* What time it is for whom, with all bits mixed (the finalizer of SplitMix64): nothing of it has to be kept. */
ROUTINE u64 inside_random(void)
{
	u64 x = clock_ns(MONOTONIC) + fs_base(own()->by_abi) * 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return (u32)(x >> 32);
}

/* ---- memory ---- */

INLINE void clear(u8 *at, u64 size)
{
	for (u64 i = 0; i < size; i++)
		*(volatile u8 *)(at + i) = 0;
}

enum { USER_END_BIT = 47 };
INLINE bool reads(u8 *to, const u8 *from, u64 size)
{
	u64 at = (u64)(uintptr_t)from;

	return !((at | (at + size)) >> USER_END_BIT) && !inside_read_bytes(to, from, size);
}

/* Linux does not even try those that are none; any: where it does not know whose memory it is to be. */
INLINE s64 bad_address(const u8 *from, bool any)
{
	u64 at = (u64)(uintptr_t)from;

	return any && (u64)((s64)(at << 16) >> 16) != at ? -ERANGE : -EFAULT;
}

INLINE s64 read_memory(u8 *to, u64 size, const u8 *from, bool any)
{
	if (!size || reads(to, from, size))
		return 0;
	clear(to, size);
	return bad_address(from, any);
}

/* Piece by piece: a string may end just before an address that cannot be read. */
INLINE s64 read_string(u8 *to, u64 size, const u8 *from, bool any)
{
	enum { PIECE = 64 };

	if (!size)
		return 0;
	for (u64 n = 0; n < size;) {
		u64 piece = PIECE - ((u64)(uintptr_t)from + n) % PIECE;

		piece = piece < size - n ? piece : size - n;
		if (!reads(to + n, from + n, piece)) {
			clear(to, size);
			return bad_address(from, any);
		}
		for (u64 i = 0; i < piece; i++)
			if (!to[n + i]) {
				clear(to + n + i, piece - i); /* nothing behind the end is given away */
				return (s64)(n + i + 1);
			}
		n += piece;
	}
	to[size - 1] = 0;
	return (s64)size;
}

#define READS(name, call)                                                            \
	ROUTINE s64 name(struct hold **run, u8 *to, u64 size, const u8 *from)        \
	{                                                                            \
		(void)run;                                                           \
		return call;                                                         \
	}
READS(inside_read_user, read_memory(to, size, from, false))
READS(inside_read_any, read_memory(to, size, from, true))
READS(inside_string_user, read_string(to, size, from, false))
READS(inside_string_any, read_string(to, size, from, true))

/* What the engine would let a program read: kernel objects, values of maps, its own frames and context. What is none of these, but mapped here, is no secret. */
INLINE bool reads_kernel(struct hold *const *run, u8 *to, const u8 *from, u64 size)
{
	enum { TO_CONTEXT = 48 /* bytes at most from a run's head to its registers (put_registers() in client/supervise/stub.c) */ };
	const struct task_inside *t = own();
	u64 off = (u64)(uintptr_t)from - t->window, low = (u64)(uintptr_t)__builtin_frame_address(0), above = (u64)(uintptr_t)from - low;
	u64 frames = (u64)(uintptr_t)run + TO_CONTEXT + sizeof(struct task_regs) - low;

	return ((off <= t->window_size && size <= t->window_size - off) || (above <= frames && size <= frames - above)) && reads(to, from, size);
}

INLINE s64 not_of_kernel(const u8 *from)
{
	u64 at = (u64)(uintptr_t)from;

	return at >> USER_END_BIT && (u64)((s64)(at << 16) >> 16) == at ? -EFAULT : -ERANGE;
}

ROUTINE s64 inside_read_kernel(struct hold **run, u8 *to, u64 size, const u8 *from)
{
	u8 byte;

	if (!size)
		return not_of_kernel(from) == -EFAULT || reads_kernel(run, &byte, from, 1) ? 0 : -ERANGE;
	if (reads_kernel(run, to, from, size))
		return 0;
	clear(to, size);
	return not_of_kernel(from);
}

ROUTINE s64 inside_string_kernel(struct hold **run, u8 *to, u64 size, const u8 *from)
{
	for (u64 n = 0; n < size; n++) {
		if (!reads_kernel(run, to + n, from + n, 1)) {
			clear(to, size);
			return not_of_kernel(from);
		}
		if (!to[n])
			return (s64)n + 1;
	}
	if (size)
		to[size - 1] = 0;
	return (s64)size;
}

ROUTINE s64 inside_strncmp(struct hold **run, const u8 *a, u64 n, const u8 *b)
{
	(void)run;
	for (u64 i = 0; i < n; i++)
		if (a[i] != b[i] || !a[i])
			return (s64)a[i] - b[i];
	return 0;
}

/* ---- texts ---- */

/* The engine makes them, and reads the arguments as they are: five of them, whatever they are for. */
#define ASKS(name, helper)                                                                                              \
	ROUTINE s64 name(struct hold **run, const void *a, const void *b, const void *c, u64 d, u64 e)                  \
	{                                                                                                               \
		(void)run;                                                                                              \
		return inside_ask(helper, a, b, c, d, e);                                                               \
	}
ASKS(inside_printk, BPF_FUNC_trace_printk)
ASKS(inside_vprintk, BPF_FUNC_trace_vprintk)
ASKS(inside_snprintf, BPF_FUNC_snprintf)

/* ---- rings ---- */

INLINE struct inside_outbox *outbox_of(struct hold *const *run, const struct inside_cpus *cpus)
{
	u64 index = (u64)(*run - cpus->hold);

	return index < cpus->n ? &cpus->outbox[index] : NULL;
}

INLINE struct inside_record *place(struct inside_outbox *out, const struct inside_map *m, u64 size)
{
	u64 span = (size + 2 * sizeof(struct inside_record) - 1) / sizeof(struct inside_record) * sizeof(struct inside_record);
	u64 at = out->next % INSIDE_OUTBOX / sizeof(struct inside_record) * sizeof(struct inside_record), skip = INSIDE_OUTBOX - at < span ? INSIDE_OUTBOX - at : 0;
	struct inside_record *r = (struct inside_record *)(void *)(out->data + at);

	if (out->next + skip + span - atomic_load_explicit(&out->tail, memory_order_acquire) > INSIDE_OUTBOX)
		return NULL;
	if (skip) {
		r->span = (u32)skip;
		r->helper = 0;
		out->next += skip;
		r = (struct inside_record *)(void *)out->data;
	}
	*r = (struct inside_record){.span = (u32)span, .map = (u64)(uintptr_t)m, .size = size};
	out->next += span;
	return r;
}

/* NULL: the engine is to be asked. */
INLINE struct inside_record *record(struct hold *const *run, const struct inside_map *m, u64 size)
{
	struct inside_outbox *out = outbox_of(run, m->cpus);

	return out && size <= INSIDE_RECORD_MOST ? place(out, m, size) : NULL;
}

INLINE s64 send(u64 helper, struct hold *const *run, const struct inside_map *m, const u8 *data, u64 size, u64 flags)
{
	struct inside_record *r = record(run, m, size);

	if (!r)
		return ask(helper, run, m, data, (const void *)size, flags);
	copy((u8 *)(r + 1), data, (u32)size);
	r->flags = flags;
	r->helper = (u32)helper;
	return 0;
}

ROUTINE s64 inside_perf_output(struct hold **run, const struct task_regs *regs, const struct inside_map *m, u64 flags, const u8 *data, u64 size)
{
	(void)regs;
	return flags & ~(u64)BPF_F_INDEX_MASK ? -EINVAL : send(BPF_FUNC_perf_event_output, run, m, data, size, flags);
}

ROUTINE s64 inside_ring_output(struct hold **run, const struct inside_map *m, const u8 *data, u64 size, u64 flags)
{
	if (flags & ~(u64)(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP))
		return -EINVAL;
	return size >= m->max_entries ? -EAGAIN : send(BPF_FUNC_ringbuf_output, run, m, data, size, flags);
}

ROUTINE void *inside_ring_reserve(struct hold **run, const struct inside_map *m, u64 size, u64 flags)
{
	struct inside_record *r = flags || size >= m->max_entries || size > INSIDE_RECORD_MOST ? NULL : record(run, m, size);

	if (!r && !flags && size <= INSIDE_RECORD_MOST && outbox_of(run, m->cpus)) {
		inside_ask(0, NULL, NULL, NULL, 0, 0);
		r = record(run, m, size);
	}
	return r ? r + 1 : NULL;
}

ROUTINE void inside_ring_submit(struct hold **run, void *data, u64 flags)
{
	struct inside_record *r = (struct inside_record *)data - 1;

	(void)run;
	r->flags = flags;
	r->helper = BPF_FUNC_ringbuf_output;
}

ROUTINE void inside_ring_discard(struct hold **run, void *data)
{
	(void)run, (void)data;
}

/* ---- stacks ---- */

INLINE bool pair(void *ud, u64 from, u64 to[2])
{
	(void)ud;
	return !((from + 16) >> USER_END_BIT) && !inside_read_pair(to, (const void *)(uintptr_t)from);
}

INLINE bool same(const u64 *a, const u64 *b, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (*(const volatile u64 *)&a[i] != b[i])
			return false;
	return true;
}

ROUTINE s64 inside_stack_id(struct hold **run, const struct task_regs *regs, const struct inside_map *m, u64 flags)
{
	u32 skip = flags & BPF_F_SKIP_FIELD_MASK, n, i;
	u64 all[FRAMES_MOST], *frames = all + skip;
	s64 err = frames_id_refused(flags);
	const u64 *there;

	if (err)
		return err;
	n = frames_walk(regs->ip, regs->bp, all, FRAMES_MOST, pair, NULL);
	if (n <= skip)
		return -EFAULT;
	n = n - skip < m->value_size / 8 ? n - skip : m->value_size / 8;
	i = frames_hash(frames, n) & (m->stacks.n - 1);
	there = (const u64 *)(const void *)stack_place(&m->stacks, i);
	if (atomic_load_explicit((const _Atomic u64 *)there, memory_order_acquire) == n && same(there + 1, frames, n))
		return i;
	return ask(BPF_FUNC_get_stackid, run, m, frames, (const void *)(u64)n, flags);
}

ROUTINE s64 inside_stack(struct hold **run, const struct task_regs *regs, u8 *to, u64 size, u64 flags)
{
	u32 skip = flags & BPF_F_SKIP_FIELD_MASK, room, n;
	s64 each = frames_copy_each(flags, size);
	u64 frames[FRAMES_MOST];

	(void)run;
	clear(to, size);
	if (each < 0)
		return each;
	room = (u32)(each == 8 ? size / 8 : size / sizeof(struct bpf_stack_build_id));
	n = frames_walk(regs->ip, regs->bp, frames, room + skip < FRAMES_MOST ? room + skip : FRAMES_MOST, pair, NULL);
	return frames_copy(to, room, (u32)each, frames, n, skip);
}
