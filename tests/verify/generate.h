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

/* What an instruction names by a number that only whoever loads it knows: a map's descriptor, a kernel function's id. */
enum generated_link {
	MAP_IN_ARRAY,
	MAP_IN_HASH,
	MAP_IN_RING,
	GENERATED_MAPS,
	KFUNC_ITER_NEW = GENERATED_MAPS,
	KFUNC_ITER_NEXT,
	KFUNC_ITER_DESTROY,
	KFUNC_RCU_LOCK,
	KFUNC_RCU_UNLOCK,
	KFUNC_PREEMPT_DISABLE,
	KFUNC_PREEMPT_ENABLE,
	KFUNC_IRQ_SAVE,
	KFUNC_IRQ_RESTORE,
	KFUNC_DYNPTR_FROM_SKB,
	KFUNC_DYNPTR_FROM_XDP,
	KFUNC_DYNPTR_CLONE,
	KFUNC_DYNPTR_SIZE,
	KFUNC_DYNPTR_IS_NULL,
	KFUNC_DYNPTR_IS_RDONLY,
	KFUNC_DYNPTR_ADJUST,
	KFUNC_DYNPTR_SLICE,
	KFUNC_DYNPTR_SLICE_RDWR,
	GENERATED_TYPES, /* BTF: generated_types() */
	GENERATED_LINKS
};
enum { VALUE_BYTES = 48 };

struct generated {
	uint32_t type; /* enum bpf_prog_type */
	uint32_t flags; /* of PROG_LOAD */
	uint32_t attach; /* enum bpf_attach_type */
	bool steady; /* gives the same result at each run */
	uint32_t n;
	struct bpf_insn insns[GENERATED_MAX];
	struct bpf_func_info functions[2]; /* of programs that are called back; the second one begins where the callback does, 0: there is none */
	int8_t map[GENERATED_MAX]; /* enum generated_link that an instruction names; -1: none */
};

void generate(struct generated *g, uint64_t seed);
/* generate_paths.c: programs whose safety depends on what is remembered of a path; and one of either kind */
void generate_paths(struct generated *g, uint64_t seed);
void generate_numbers(struct generated *g, uint64_t seed); /* generate_numbers.c: computes and compares */
void generate_either(struct generated *g, uint64_t seed);
void generate_things(struct generated *g, uint64_t seed); /* generate_things.c: holds what must be given back, calls kernel functions; none is steady */
void generate_callbacks(struct generated *g, uint64_t seed); /* the same file: is called back, and goes by what that left in its stack and in values */
void generate_contexts(struct generated *g, uint64_t seed); /* the same file: reads and writes contexts of all types */

/* BTF with the types of both functions of a program that is called back. */
const void *generated_types(uint32_t *size);

/* Adds an instruction that names no map; gives its index. Of a program that is full, the last one. */
uint32_t generated_add(struct generated *g, int code, int dst, int src, int off, int32_t imm);
/* Fills in *a to load g, in insns. links: of as many as it names: programs of generate_things() GENERATED_LINKS, others GENERATED_MAPS */
void generated_attr(const struct generated *g, const int *links, struct bpf_insn insns[GENERATED_MAX], union bpf_attr *a);

#endif
