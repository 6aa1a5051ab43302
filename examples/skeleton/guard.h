/* SPDX-License-Identifier: BSD-2-Clause */
/* What the program and its user side exchange. */
#ifndef GUARD_H
#define GUARD_H

struct counters {
	__u64 packets, bytes, dropped, lost;
};

struct drop_event {
	__u64 serial;
	__u32 source; /* IPv4, network order */
	__u16 port, pad;
	__u32 length, pad2;
};

struct sample_event {
	__u64 number;
	__u64 length;
};

#endif
