/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * breaks: the engine's probes in functions of processes, as breakpoints. A byte of a process's own copy of
 * the text is int3 for as long as a probe is there; whoever executes it stops, the program runs, and the
 * instruction is carried out: without a step where step.h knows it.
 *
 * Returns are seen by a breakpoint at the place that is returned to; stacks are left alone, so unwinding,
 * longjmp() and signals are as ever. A table of breakpoints belongs to an address space, which threads and
 * children of vfork(2) share. All of this happens in the thread that waits for children.
 */
#ifndef SKEP_SUPERVISE_BREAKS_H
#define SKEP_SUPERVISE_BREAKS_H

#include "client/supervise/traced.h"

struct space;

void breaks_needs(struct tree *t); /* what the engine wants to see now, into t->needs; probes that are gone are taken out */
void breaks_update(struct tree *t); /* probes are set in all tasks that are followed */
void breaks_mapped(struct tree *t, struct traced *p); /* its mappings have changed */
void breaks_forked(struct tree *t, struct traced *parent, struct traced *child, bool shares);
void breaks_left(struct tree *t, struct traced *p); /* it ended, is let go, or becomes another program */
bool breaks_stop(struct tree *t, struct traced *p, int event, int sig); /* a stop: true: it was one of these, and the task went on */
bool breaks_pending(const struct traced *p); /* it has met a breakpoint and has not stopped for it yet */
void breaks_close(struct tree *t);

#endif
