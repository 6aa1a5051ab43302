/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What fuzz targets of programs share: engines side by side, each with a map of every kind, and runs of one
 * program on all of them. Two engines compile, the third one is the interpreter that checks every access;
 * addresses differ from engine to engine.
 */
#ifndef SKEP_SYS_FUZZ_H
#define SKEP_SYS_FUZZ_H

#include "skep/skep.h"
#include "sys/attr.h"

#include <linux/bpf.h>

#define ADDRESS(p) ((u64)(uintptr_t)(p))

enum { SIDES = 3, SIDE_INTERP = 2, FUZZ_MAPS = 16, FUZZ_TYPES = 10, OUTCOME_MOST = 1 << 16 };
enum {
	FUZZ_ARRAY,
	FUZZ_HASH,
	FUZZ_RING,
	FUZZ_WIDE,
	FUZZ_PROGS,
	FUZZ_OUTER,
	FUZZ_OUTER_HASH
}; /* maps that somebody names; see fuzz_sides.c */

struct side {
	struct skep *k;
	s32 map[FUZZ_MAPS];
	s32 progs[FUZZ_TYPES];	/* a program array for each type */
	s32 target[FUZZ_TYPES]; /* a program that tail calls find there */
	u64 *consumed;		/* of the ring buffer */
	const u64 *produced;
};

/* What a program did: results, packets, contexts, maps; one after the other. */
struct outcome {
	u8 at[OUTCOME_MOST];
	u32 n;
	bool limited; /* it came to a limit, which engines count differently */
};

/* The nth type that fuzz targets load: an enum bpf_prog_type, or one of the engine's own. */
u32 side_type(u32 n);
bool side_reads_packets(u32 type); /* through pointers from its context */
void side_open(struct side *s, u32 engine);
void side_close(struct side *s);
/* Runs the program, which uses a set of maps, with packets or contexts of several sizes; the last byte that
 * it may touch is the last one of a page where a caller chooses the place. Aborts when an accepted program
 * breaks a rule of the checking interpreter. */
void side_run(struct side *s, int prog, u32 type, u32 maps, u32 seed, struct outcome *out);

/* src/sys/fuzz_shape.c: any bytes as instructions that mostly mean something. Returns how many slots. */
u32 shape_program(struct bpf_insn *out, u32 most, u32 type, const u8 *data, size_t size);

#endif
