/* SPDX-License-Identifier: BSD-2-Clause */
/* frames: call chains of user code. The instruction pointer, then return addresses along the chain of frame pointers. */
#ifndef SKEP_FRAMES_H
#define SKEP_FRAMES_H

#include "base/base.h"

#include <linux/bpf.h>

enum { FRAMES_MOST = 127 };

#define FRAMES_INLINE __attribute__((always_inline)) static inline

/* What lies at an address of the task: false: nothing can be read there. */
typedef bool frames_pair(void *ud, u64 from, u64 to[2]);

FRAMES_INLINE u32 frames_walk(u64 ip, u64 bp, u64 *out, u32 most, frames_pair *pair, void *ud)
{
	u64 frame[2];
	u32 n = 0;

	if (n < most)
		out[n++] = ip;
	for (u64 fp = bp; fp && n < most; fp = frame[0]) {
		if (fp & 7 || !pair(ud, fp, frame) || !frame[1])
			break;
		out[n++] = frame[1];
		if (frame[0] <= fp) /* callers' frames lie above */
			break;
	}
	return n;
}

FRAMES_INLINE u32 frames_hash(const u64 *frames, u32 n)
{
	u64 h = n;

	for (u32 i = 0; i < n; i++) {
		h = (h ^ frames[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return (u32)(h >> 32);
}

enum { FRAMES_ID_FLAGS = BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP | BPF_F_REUSE_STACKID,
       FRAMES_COPY_FLAGS = BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_USER_BUILD_ID };

/* What is wrong with the flags of bpf_get_stackid(): 0 or -errno. */
FRAMES_INLINE s64 frames_id_refused(u64 flags)
{
	if (flags & ~(u64)FRAMES_ID_FLAGS)
		return -EINVAL;
	return flags & BPF_F_USER_STACK ? 0 : -EFAULT; /* nothing runs in a kernel here */
}

/* Bytes of a frame that bpf_get_stack() writes, or -errno. */
FRAMES_INLINE s64 frames_copy_each(u64 flags, u64 size)
{
	u32 each = flags & BPF_F_USER_BUILD_ID ? sizeof(struct bpf_stack_build_id) : 8;

	if (flags & ~(u64)FRAMES_COPY_FLAGS || (flags & BPF_F_USER_BUILD_ID && !(flags & BPF_F_USER_STACK)) || size % each)
		return -EINVAL;
	return flags & BPF_F_USER_STACK ? (s64)each : -EFAULT;
}

/* All frames but the first `skip`, as far as there is room for so many: the bytes written, or -errno. */
FRAMES_INLINE s64 frames_copy(u8 *to, u32 room, u32 each, const u64 *frames, u32 n, u32 skip)
{
	u32 have;

	if (n < skip)
		return -EFAULT;
	have = n - skip < room ? n - skip : room;
	for (u32 i = 0; i < have; i++) {
		u8 *at = to + (u64)i * each;

		if (each != 8) { /* as Linux does where a file has no build id, or cannot be asked for it now */
			STORE_AS(u32, at, BPF_STACK_BUILD_ID_IP);
			for (u32 b = 0; b < BPF_BUILD_ID_SIZE; b++)
				*(volatile u8 *)(at + offsetof(struct bpf_stack_build_id, build_id) + b) = 0;
			at += offsetof(struct bpf_stack_build_id, ip);
		}
		STORE_AS(u64, at, frames[skip + i]);
	}
	return (s64)have * each;
}

/* ---- in maps: as many places as the next power of two from max_entries on; each is a count of words (0: empty), then the words ---- */

struct stack_places {
	u8 *at;
	u32 each, n;
};
struct map;
struct stack_places stack_places_of(const struct map *m); /* of a STACK_TRACE */

FRAMES_INLINE u8 *stack_place(const struct stack_places *p, u32 i)
{
	return p->at + (u64)i * p->each;
}

#endif
