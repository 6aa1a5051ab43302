/* SPDX-License-Identifier: BSD-2-Clause */
/* What the programs of events.bpf.c leave behind in map `seen`, one element per program. */
#ifndef EVENTS_H
#define EVENTS_H

enum seen {
	SEEN_ENTER, SEEN_EXIT, SEEN_ALL_ENTER, SEEN_ALL_EXIT, SEEN_RAW_ENTER, SEEN_RAW_EXIT, SEEN_EXEC, SEEN_EXEC_BTF, SEEN_FORK, SEEN_FORK_BTF, SEEN_LEAVE,
	SEEN_LEAVE_BTF, SEEN_RENAME, SEEN_GENERATE, SEEN_GENERATE_BTF, SEEN_DELIVER, SEEN_CLOCK, SEEN_STACK, SEEN_TASK, SEEN_HELPERS, SEEN_SIGNALS, SEEN_PROBE, SEEN_PROBE_RETURN, SEEN_COUNT
};

struct seen_record {
	unsigned long long count, v[8];
	char text[2][64];
};

#endif
