/* SPDX-License-Identifier: BSD-2-Clause */
/* What this host allows, found by trying: each probe does in a child of its own what a door would do. */
#ifndef SKEP_SUPERVISE_PROBE_H
#define SKEP_SUPERVISE_PROBE_H

#include "client/supervise/tree.h"

enum door_kind { DOOR_AUTO, DOOR_NOTIFY, DOOR_PTRACE };

struct probe {
	bool works;
	int error; /* why not: positive errno; 0: see detail */
	char detail[192];
};

void probe_notify(struct probe *p); /* bpf(2) and perf_event_open(2) behind a filter of ours are notified and answered, with descriptors */
void probe_ptrace(struct probe *p); /* a bpf(2) call is seen in a stop and answered */
void probe_outer(struct probe *p); /* works: no filter of somebody else's answers these before ours */
void probe_memory(struct probe *p); /* memory of a child is read and written */
void probe_getfd(struct probe *p); /* pidfd_getfd(2) */
void probe_userns(struct probe *p);
void probe_yama(struct probe *p); /* works: processes that this one did not start may be traced */
void probe_perf(struct probe *p); /* perf_event_open(2) on own tasks */
void probe_io_uring(struct probe *p); /* works: programs may bypass system calls with it */
void probe_files(struct probe *p); /* descriptors of this process can be opened by a child through /proc */

bool probe_inside(void); /* does this process run under a supervisor already, which answers its calls? */

/* The way in for programs that call bpf(2): -errno, with a sentence in why, when there is none. */
int door_choose(enum door_kind wanted, enum door_kind *out, char why[512]);

#endif
