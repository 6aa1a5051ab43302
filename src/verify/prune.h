/* SPDX-License-Identifier: BSD-2-Clause */
/* Between prune.c and equal.c: comparison of states. */
#ifndef SKEP_VERIFY_PRUNE_H
#define SKEP_VERIFY_PRUNE_H

#include "verify/state.h"

enum exactness { LOOSE, RANGE, EXACT, JOINED };

bool state_covers(struct verifier *v, const struct state *old, const struct state *cur, enum exactness how);
void ids_forget(struct verifier *v); /* before states are compared: which id of the old one is which of the current one */
void lone_ids_drop(struct verifier *v, struct state *s); /* links of numbers with what nobody reads any more */
bool state_maybe_looping(struct verifier *v, const struct state *old, const struct state *cur); /* a cheap look at the registers; frames are the same */
bool iterators_go_on(const struct state *old, const struct state *cur); /* no cycle from old to cur can be without end */
bool iterators_moved(const struct state *old, const struct state *cur); /* an active iterator went round in between */
bool regs_interchangeable(struct verifier *v, const struct reg *a, const struct reg *b);

#endif
