/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the verifier knows about a program and the compiler may use: per slot, edges that no run takes, and what an access may
 * reach. All of it may be absent; the compiler is right without.
 *
 * Both hold for every run, on pruned paths too: a comparison decides only by what pruning compares (precise numbers, kinds of pointers), and the
 * kind of a pointer is compared always. Ranges would not hold, and have no place here.
 *
 * Ownership: it lies in the program's arena.
 */
#ifndef SKEP_FACTS_H
#define SKEP_FACTS_H

#include "base/base.h"

/* What an address may point to; a set. */
enum ptr_kinds {
	PTR_STACK = 1, /* this function's frame */
	PTR_CTX = 2,
	PTR_PACKET = 4,
	PTR_MAP = 8, /* a value of a map, a ring record */
	PTR_OTHER = 16, /* the engine's objects, dynamic memory, arena */
	PTR_CALLER = 32, /* a frame of a caller */
	PTR_RUN = 64, /* the compiler's own: the run's state, which programs cannot name */
	PTR_ANY = 63,
	/* What was loaded, or came from other code: this function's frame only if its address was given away, which is seen where that happens. */
	PTR_LOADED = PTR_ANY & ~PTR_STACK,
};

enum insn_facts {
	FACT_SEEN = 1, /* some path reaches it */
	FACT_TAKEN = 2, /* conditional jump: some path takes it */
	FACT_FALLS = 4, /* some path does not */
};

struct prog_facts {
	const u8 *insns; /* per slot: enum insn_facts; may be NULL */
	const u8 *access; /* per slot: enum ptr_kinds of a load's, store's or atomic's address, 0 unknown; may be NULL */
};

#endif
