/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inplace: lookups of plain maps that a client's own process answers. A client that asks again and again gets, behind its C library's syscall(3), a look at
 * the map's memory; whatever that cannot answer becomes the system call that it was.
 *
 *  1. The map's memory is there for reading only, and holds nothing that the client could not ask for. The rest is the client's own memory: the supervisor
 *     believes nothing that it reads from there.
 *  2. Which map a descriptor means is asked of the kernel at each lookup (fstat), so close, dup2 and fork need no watching.
 *  3. A value counts only if afterwards its element is still what it was (hash_node.uses) and the map still lies there (map_header.left).
 *  4. Memory of the client is touched directly only on the stack that the call stands on, otherwise by system calls, which fail where a touch would kill.
 *  5. Only found values are answered: an error is always the system call's.
 *  6. Where calls of the client may be events, nothing is answered here (*on is 0).
 */
#ifndef SKEP_SUPERVISE_INPLACE_H
#define SKEP_SUPERVISE_INPLACE_H

#include "map/hash.h"

enum { INPLACE_CODE = 8192, INPLACE_MAPS = 16, INPLACE_ATTR = 512, INPLACE_KEY = 64, INPLACE_VALUE = 1024, INPLACE_SECTION = 0x706b65 };

/* Addresses are the client's. */
struct inplace_map {
	u64 dev, ino; /* of its descriptors */
	const struct map_header *head;
	u64 size; /* of what is mapped there */
	struct hash hash; /* nodes NULL: an array */
	const u8 *values; /* of an array */
	u32 key_size, max_entries, elem_size;
	u32 pieces, piece; /* of a value: one per CPU, and bytes of each */
	u64 stride; /* from one to the next, in the map */
};

/* Lies INPLACE_CODE bytes behind the code. */
struct inplace {
	u64 back; /* where syscall(3) goes on */
	u64 mark; /* INPLACE_SECTION */
	const _Atomic u32 *on;
	u64 stack_end; /* of the first thread; 0: not known */
	_Atomic u32 n;
	struct inplace_map map[INPLACE_MAPS];
};

/* inplace_code.c: what is copied, and where in it syscall(3) comes in */
extern const u8 __start_skep_inplace[], __stop_skep_inplace[], inplace_entry[];

#endif
