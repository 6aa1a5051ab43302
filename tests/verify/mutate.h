/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mutate: a program with one to three mistakes in it, the same ones for the same seed: another register, another number, another
 * operation, an instruction that is missing, twice there or in another's place. What a loader put in (descriptors, the second halves of
 * 64-bit numbers) stays, so that two loaders make the same mutant of the same object.
 */
#ifndef TESTS_VERIFY_MUTATE_H
#define TESTS_VERIFY_MUTATE_H

#include <linux/bpf.h>
#include <stdint.h>

void mutate(struct bpf_insn *insns, uint32_t n, uint32_t seed);

#endif
