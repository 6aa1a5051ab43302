/* SPDX-License-Identifier: BSD-2-Clause */
/* inside: what the engine keeps for programs that run inside of other processes: inside.c, inside_ask.c. */
#ifndef SKEP_HOOK_INSIDE_H
#define SKEP_HOOK_INSIDE_H

#include "hook/hooks.h"
#include "hook/inside_code.h"

enum { INSIDE_MAPS = 512, INSIDE_HELPERS = 256 };

struct inside {
	plain_lock lock; /* guards compiling */
	struct region region; /* the routines, and room for what each process has behind them */
	struct region maps; /* struct inside_map; behind them struct inside_cpus */
	struct region leases, outboxes; /* one for each CPU */
	u32 n_maps;
	struct run_host host;
	helper_fn *body[INSIDE_HELPERS];
	plain_lock fetch; /* guards what follows */
	_Atomic u64 tail[SLOT_MAX]; /* of outboxes: the truth of what is said there */
	u32 idle; /* turns in which there was nothing to fetch */
	_Atomic bool sent; /* somebody has sent something, and nobody looks regularly */
};

struct inside_cpus *inside_cpus_of(const struct inside *in);

#endif
