/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * generate: random programs that are nearly valid: most of what they do is right (bounds are checked, pointers tested, stack written
 * before it is read), and now and then something is not. A seed gives the same program everywhere.
 */
#ifndef TESTS_VERIFY_GENERATE_H
#define TESTS_VERIFY_GENERATE_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

enum { GENERATED_MAX = 512 };

enum generated_map { MAP_IN_ARRAY, MAP_IN_HASH, MAP_IN_RING, GENERATED_MAPS };
enum { VALUE_BYTES = 48 };

struct generated {
	uint32_t type; /* enum bpf_prog_type */
	uint32_t flags; /* of PROG_LOAD */
	bool steady; /* gives the same result at each run */
	uint32_t n;
	struct bpf_insn insns[GENERATED_MAX];
	int8_t map[GENERATED_MAX]; /* enum generated_map that an instruction names; -1: none */
};

void generate(struct generated *g, uint64_t seed);
/* generate_paths.c: programs whose safety depends on what is remembered of a path; and one of either kind */
void generate_paths(struct generated *g, uint64_t seed);
void generate_numbers(struct generated *g, uint64_t seed); /* generate_numbers.c: computes and compares */
void generate_either(struct generated *g, uint64_t seed);

/* Adds an instruction that names no map; gives its index. Of a program that is full, the last one. */
uint32_t generated_add(struct generated *g, int code, int dst, int src, int off, int32_t imm);
/* Fills in *a to load g, in insns, with the descriptors of its maps. */
void generated_attr(const struct generated *g, const int map[GENERATED_MAPS], struct bpf_insn insns[GENERATED_MAX], union bpf_attr *a);

#endif
