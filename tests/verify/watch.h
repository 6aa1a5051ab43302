/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch: "concrete in abstract". A program that was loaded is verified again, in several ways, and each time
 * every state that the verifier walked through is kept. When the program then runs in the interpreter, its
 * registers and stack must lie in one of the states kept for the instruction, each time; an instruction that
 * no state was kept for must not be reached.
 *
 * What is compared: whatever pruning may not give up. By default that is pointers, maps and what is precise;
 * where all scalars are precise, every number, linked scalars and the stack as well.
 *
 * The facts that the verification at load left for the compiler are held against the run as well: an edge
 * that no path takes is not taken, and an address is of a kind that was seen there.
 */
#ifndef TESTS_VERIFY_WATCH_H
#define TESTS_VERIFY_WATCH_H

#include "base/base.h"

struct skep;

struct watch_stats {
	u64 programs, states, steps, compared; /* compared: values of registers and stack slots that were held
						  against a bound or a pointer's kind */
	u64 skipped; /* verifications whose states were too many to keep, or that did not end */
	u64 cut; /* runs that came to the engine's limit of instructions */
	u64 edges, accesses; /* that facts say something about */
	u64 violations;
};

struct watch;
struct watch *watch_open(struct skep *k); /* from now on the engine's runs are watched; NULL: out of memory */
void watch_close(struct watch *w);
void watch_program(
    struct watch *w,
    int fd); /* keeps the states of a program, which must not be unloaded before watch_forget() */
void watch_forget(struct watch *w); /* all programs */
const struct watch_stats *watch_stats(const struct watch *w);
const char *watch_text(const struct watch *w); /* the first violation; "": none */

#endif
