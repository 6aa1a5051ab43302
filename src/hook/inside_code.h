/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inside_code: what programs call that run inside of other processes (inside.c), besides its few routines in assembly. The section is copied, so nothing in it
 * refers to anything outside; it uses general registers only.
 *
 *  1. It takes no lock and no run slot: a process may be stopped at any instruction, for as long as it likes. What needs one (an element comes or goes) is
 *     asked of the engine, which answers at a breakpoint.
 *  2. An element that is found may be deleted and used again before its value is read or written, as with Linux's preallocated maps.
 *  3. A value per CPU is that of a lease, which one thread has at a time. Where all are taken for long (their threads are stopped), one is shared.
 *  4. Records for rings lie in an outbox, which belongs to a lease, until the engine fetches them. They are there from the end of the run on, all of them or none.
 *     Only when nobody is about to fetch is the engine told. Where there is no room, it is asked: it fetches what is there and answers as the ring does.
 *  5. What may lie at a bad address is read by inside_read_bytes() and inside_read_pair() alone: the door puts a task that faults there behind them.
 */
#ifndef SKEP_HOOK_INSIDE_CODE_H
#define SKEP_HOOK_INSIDE_CODE_H

#include "hook/tasks.h"
#include "map/frames.h"
#include "map/hash.h"

enum { INSIDE_ROUTINES = 4096 /* bytes of those that inside.c has; the section lies behind them */ };

/* What a program gets in place of struct map; never changes while a process may have it. */
struct inside_map {
	struct hash hash; /* nodes NULL: it is an array, or nothing is looked up in it */
	u8 *values; /* of an array */
	u64 cpu_stride; /* of an array per CPU; 0: of others */
	struct stack_places stacks; /* of stack traces */
	const struct inside_cpus *cpus; /* of rings */
	u32 key_size, value_size, elem_size, max_entries;
};

/* Whoever has it has the values of one CPU. */
struct inside_lease {
	_Atomic u64 owner; /* process in the high half, a number of the thread; 0: nobody; 1: the engine */
	_Atomic u64 sp; /* where the owner's stack was */
} __attribute__((aligned(64)));
enum { INSIDE_ENGINE = 1 };

/* A record on its way to a ring; its bytes lie behind it. */
struct inside_record {
	u32 span; /* bytes to the next one; a multiple of the size of this */
	u32 helper; /* that it was for; 0: none, it is passed by */
	u64 map; /* struct inside_map */
	u64 flags;
	u64 size;
};
enum { INSIDE_OUTBOX = 65536, INSIDE_RECORD_MOST = INSIDE_OUTBOX / 2 };
_Static_assert(sizeof(struct inside_record) == 32, "between the last record and the end of an outbox there is room for one, or none");

/* Positions count on; a record does not go beyond the end. */
struct inside_outbox {
	_Atomic u64 head; /* what lies before it is to be fetched */
	u64 next; /* the same, for the run under way */
	u64 reserved0[6];
	_Atomic u64 tail; /* as the engine has said: what lies before it was fetched */
	u64 reserved1[7];
	u8 data[INSIDE_OUTBOX];
} __attribute__((aligned(64)));

/* For reading only, as struct inside_map. */
struct inside_cpus {
	struct inside_lease *lease;
	struct inside_outbox *outbox; /* in processes that have programs which use them */
	_Atomic u32 fetching; /* somebody is about to, in any case */
	u32 n;
	bool by_abi; /* see task_inside_fsgsbase() */
	struct hold hold[SLOT_MAX]; /* what programs see: the index alone means something */
	struct hold shared[SLOT_MAX]; /* the same, of runs without a lease: they have no outbox */
};

typedef u64 inside_entry(void *run, void *regs);
typedef s64 inside_asked(u64 helper, const struct inside_map *m, const void *key, const void *value, u64 flags, u64 cpu);

/* A run that has a lease. tgid: in the high half. */
void inside_run(struct hold **run, void *regs, inside_entry *entry, const struct inside_cpus *cpus, u64 tgid);
void inside_run_sending(struct hold **run, void *regs, inside_entry *entry, const struct inside_cpus *cpus, u64 tgid); /* with its outbox */

/* ---- helpers ---- */
void *inside_lookup(struct hold **run, const struct inside_map *m, const void *key);
s64 inside_update(struct hold **run, const struct inside_map *m, const void *key, const void *value, u64 flags);
s64 inside_delete(struct hold **run, const struct inside_map *m, const void *key);
s64 inside_comm(struct hold **run, u8 *to, u64 size);
u64 inside_uid_gid(void);
u64 inside_task(void);
s64 inside_read_user(struct hold **run, u8 *to, u64 size, const u8 *from);
s64 inside_read_any(struct hold **run, u8 *to, u64 size, const u8 *from);
s64 inside_read_kernel(struct hold **run, u8 *to, u64 size, const u8 *from);
s64 inside_string_kernel(struct hold **run, u8 *to, u64 size, const u8 *from);
s64 inside_string_user(struct hold **run, u8 *to, u64 size, const u8 *from);
s64 inside_string_any(struct hold **run, u8 *to, u64 size, const u8 *from);
s64 inside_strncmp(struct hold **run, const u8 *a, u64 n, const u8 *b);
s64 inside_printk(struct hold **run, const void *fmt, const void *size, const void *a, u64 b, u64 c);
s64 inside_vprintk(struct hold **run, const void *fmt, const void *size, const void *data, u64 data_size, u64 none);
s64 inside_snprintf(struct hold **run, const void *to, const void *size, const void *fmt, u64 data, u64 data_size);
u64 inside_boot(void);
u64 inside_tai(void);
u64 inside_coarse(void);
u64 inside_jiffies(void);
u64 inside_random(void);
s64 inside_perf_output(struct hold **run, const struct task_regs *regs, const struct inside_map *m, u64 flags, const u8 *data, u64 size);
s64 inside_ring_output(struct hold **run, const struct inside_map *m, const u8 *data, u64 size, u64 flags);
void *inside_ring_reserve(struct hold **run, const struct inside_map *m, u64 size, u64 flags);
void inside_ring_submit(struct hold **run, void *record, u64 flags);
void inside_ring_discard(struct hold **run, void *record);
s64 inside_stack_id(struct hold **run, const struct task_regs *regs, const struct inside_map *m, u64 flags);
s64 inside_stack(struct hold **run, const struct task_regs *regs, u8 *to, u64 size, u64 flags);

#define HIDDEN __attribute__((visibility("hidden")))
/* A call that the engine answers, at a breakpoint (`trap`), unless it is about to leave: -EBUSY. */
extern HIDDEN inside_asked inside_ask;
extern HIDDEN const u8 inside_ask_trap[];
/* Bytes that were not copied, as they or those behind them cannot be reached; inside_read_pair(): 16 of them. A fault at [inside_reads, inside_read_end) goes on at the latter. */
extern HIDDEN u64 inside_read_bytes(void *to, const void *from, u64 size);
extern HIDDEN u64 inside_read_pair(void *to, const void *from);
extern HIDDEN const u8 inside_reads[], inside_read_end[];

extern const u8 __start_skep_inside[], __stop_skep_inside[];

#endif
