/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inside_code: what programs call that run inside of other processes (inside.c), besides its few routines in assembly. The section is copied, so nothing in it
 * refers to anything outside; it uses general registers only.
 *
 *  1. It takes no lock and no run slot: a process may be stopped at any instruction, for as long as it likes. What needs one (an element comes or goes) is
 *     asked of the engine, which answers at a breakpoint.
 *  2. An element that is found may be deleted and used again before its value is read or written, as with Linux's preallocated maps.
 *  3. A value per CPU is that of a lease, which one thread has at a time. Where all are taken for long (their threads are stopped), one is shared.
 */
#ifndef SKEP_HOOK_INSIDE_CODE_H
#define SKEP_HOOK_INSIDE_CODE_H

#include "map/hash.h"

/* What a program gets in place of struct map; never changes while a process may have it. */
struct inside_map {
	struct hash hash; /* nodes NULL: it is an array */
	u8 *values; /* of an array */
	u64 cpu_stride; /* of an array per CPU; 0: of others */
	u64 ask; /* inside_ask() */
	u32 key_size, value_size, elem_size, max_entries;
};

/* Whoever has it has the values of one CPU. */
struct inside_lease {
	_Atomic u64 owner; /* process in the high half, a number of the thread; 0: nobody; 1: the engine */
	_Atomic u64 sp; /* where the owner's stack was */
} __attribute__((aligned(64)));
enum { INSIDE_ENGINE = 1 };

/* For reading only, as struct inside_map. */
struct inside_cpus {
	struct inside_lease *lease;
	u32 n;
	bool by_abi; /* see task_inside_fsgsbase() */
	struct hold hold[SLOT_MAX]; /* what programs see: the index alone means something */
};

typedef u64 inside_entry(void *run, void *regs);

/* A run that has a lease. tgid: in the high half. */
void inside_run(struct hold **run, void *regs, inside_entry *entry, const struct inside_cpus *cpus, u64 tgid);
void *inside_lookup(struct hold **run, const struct inside_map *m, const void *key);
s64 inside_update(struct hold **run, const struct inside_map *m, const void *key, const void *value, u64 flags);
s64 inside_delete(struct hold **run, const struct inside_map *m, const void *key);

extern const u8 __start_skep_inside[], __stop_skep_inside[];

#endif
