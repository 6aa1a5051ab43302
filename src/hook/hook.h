/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hook: what runs programs. A hook is a program type's context, and a source of events for it; so far packets, and the flat
 * contexts of raw tracepoints and syscall programs, by BPF_PROG_TEST_RUN and by the library's run calls.
 *
 * Ownership: a struct stage is the caller's, for as many runs as it likes.
 */
#ifndef SKEP_HOOK_H
#define SKEP_HOOK_H

#include "sys/sys.h"

#include <linux/bpf.h>

/* A packet buffer with Linux's head and tail room, and the context that shows it to a program. */
enum { STAGE_HEAD_XDP = 256, STAGE_HEAD_SKB = 64, STAGE_HEAD = 512, STAGE_TAIL = 320, STAGE_MOST = 65536 + 64 };
/* What Linux keeps of an XDP frame in one piece: a page, without its head and tail room. What is behind lies in fragments, 17 at most. */
enum { STAGE_PIECE = 4096 - STAGE_HEAD_XDP - STAGE_TAIL, STAGE_FRAGMENTS = 17 * PACKET_FRAGMENT };

struct stage {
	const struct mem *mem;
	u8 *buffer;
	u32 size; /* of the buffer */
	struct packet packet;
	struct tunnel tunnel;
	struct bpf_sock sock; /* what Linux lets test packets belong to: a full socket of no protocol that is closed */
	union {
		struct xdp_md xdp;
		struct __sk_buff skb;
	} ctx;
	bool is_xdp, has_link_header; /* XDP; tc sees the link-layer header, a socket filter does not */
};

int stage_open(struct stage *s, const struct mem *mem, const struct prog *p, u32 most); /* most: bytes of the largest packet */
void stage_close(struct stage *s);
/* Puts a frame on stage: 14 bytes or more, link-layer header first. meta: bytes at its start that are XDP metadata; frags: bytes at its end that are in
 * fragments. */
void stage_put(struct stage *s, const void *frame, u32 size, u32 meta, u32 frags);
void stage_aim(struct stage *s, struct run *r); /* makes the run see it */
/* What came of it: the frame as it is now. */
static inline u8 *stage_frame(const struct stage *s, u32 *size)
{
	u8 *from = s->is_xdp ? s->packet.meta : s->packet.data;

	*size = (u32)(s->packet.data - from) + (u32)packet_bytes(&s->packet);
	return from;
}

/* Does the verdict redirect, and the program named no target, or one that is not there? Linux drops such a packet. Interfaces are not looked up, as a
 * packet is from elsewhere; there is none with the number 0. */
bool stage_nowhere(const struct stage *s, const struct prog *p, u64 verdict);

int packet_test_run(struct skep *k, struct prog *p, struct attr_test_run *a, struct test_told *told);
int flat_test_run(struct skep *k, struct prog *p, struct attr_test_run *a, struct test_told *told);

#endif
