/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sys: bpf(2). cmd.def declares every command once; sys.c dispatches, checks sizes and copies; one file per
 * family of commands. Descriptors are memfds, known by (st_dev, st_ino), so that dup, fork and passing work.
 *
 * Ownership: an object lives as long as its references: descriptors that clients hold, pins of live engines,
 * programs using maps, links using programs, maps holding objects. struct skep owns the tables.
 */
#ifndef SKEP_SYS_H
#define SKEP_SYS_H

#include "helper/helper.h"
#include "skep/skep.h"

enum obj_type { OBJ_MAP = 1, OBJ_PROG, OBJ_BTF, OBJ_LINK };

struct obj {
	u32 type; /* enum obj_type */
	u32 id; /* per engine and type; 1, 2, 3, ... never used again */
	_Atomic u32 refs;
	struct skep *engine;
	int fd; /* the engine's own descriptor of the memfd that clients hold */
	u64 dev, ino;
	bool watched; /* a description is out; its last close is noticed by inotify */
	void *body; /* struct map *, struct prog *, struct btf *, struct link * */
};

/* sys_*() implement the rows of cmd.def: attr is the engine's own, zero-padded copy of the caller's. */

#endif
