/* SPDX-License-Identifier: BSD-2-Clause */
/* One bpf(2) call on its way between a client and the engine: bpf.c, info.c, pins.c. */
#ifndef SKEP_SUPERVISE_TRANSPORT_H
#define SKEP_SUPERVISE_TRANSPORT_H

#include "client/supervise/supervise.h"
#include "sys/sys.h"

enum copy_way {
	COPY_IN, /* the client's bytes */
	COPY_BOTH, /* the client's bytes; what changed goes back */
	COPY_TEXT_OUT, /* a text that is only written; goes back with its end */
	COPY_FRAME_OUT, /* a frame that is only written, whatever its size, which the attr tells then */
};

struct copy {
	u8 *local; /* COPY_BOTH: followed by what it was before */
	u64 remote, size;
	size_t room; /* 0: in the transport itself */
	enum copy_way way;
};

struct field { /* of the attr, that was replaced */
	u32 offset, size;
	u64 remote, local;
};

struct transport {
	struct call *call;
	int cmd;
	u8 *attr;
	u32 size; /* bytes that the client passed */
	int error;
	struct map *map; /* that the command is about */
	struct obj *object; /* the first one that it names */
	const struct copy *insns;
	u32 small_used;
	u32 n_copies;
	u64 bytes;
	struct field fields[16];
	u32 n_fields;
	struct local_fd *fds;
	u32 n_fds;
	u8 small[8192] __attribute__((aligned(8))); /* where short copies lie */
	struct copy copies[24];
};

struct copy *transport_copy(struct transport *t, u64 remote, u64 size, enum copy_way way); /* NULL: t->error says why */
int transport_fd(struct transport *t, int fd, struct obj **o); /* ours for the client's; o may be NULL */
void transport_unreadable(struct transport *t); /* says once that a client's memory cannot be read */
int transport_info(struct transport *t); /* info.c */
int transport_pin(struct transport *t); /* pins.c */

#endif
