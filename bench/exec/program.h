/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What programs of the benchmark are made with. A program is RUN(name) { ... return number; }: a BPF program of its own for the kernel's
 * JIT and for skep, a C function for the native compiler. `d` is the memory that it works on, the same for all.
 */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

#include "data.h"

#ifdef NATIVE
struct ctx {
	u8 *data, *data_end;
};
struct data d;
#define RUN(name)      u32 name(struct ctx *ctx); u32 name(struct ctx *ctx)
#define NOINLINE       static __attribute__((noinline))
#define PACKET(p, end) u8 *p = ctx->data, *end = ctx->data_end
#define PACKET_ONLY    (void)ctx
#define COMPUTE	       (void)ctx
#else
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct data d;
#define RUN(name)      SEC("xdp") u32 name(struct xdp_md *ctx)
#define NOINLINE       static __attribute__((noinline))
#define PACKET(p, end) u8 *p = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end
#define COMPUTE	       (void)ctx
char terms[] SEC("license") = "GPL";
#endif

#define INLINE static inline __attribute__((always_inline))
#define FIXED(x) __asm__ volatile("" : "+r"(x)) /* keeps the loop a loop */

INLINE u32 rol32(u32 x, u32 n)
{
	return x << n | x >> (32 - n);
}
INLINE u64 rol64(u64 x, u32 n)
{
	return x << n | x >> (64 - n);
}
INLINE u32 load32(const u8 *p)
{
	return (u32)p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
}

#endif
