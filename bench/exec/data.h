/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory that programs of the benchmark work on, as they and the benchmark see it. u8 to u64 are the includer's. */
#ifndef BENCH_DATA_H
#define BENCH_DATA_H

struct data {
	u8 bytes[4096];
	u16 halves[1024];
	u32 words[1024];
	u64 longs[512];
	u8 text[1024], other[1024];
	u32 sorted[1024];
	u32 divisor, least, most;
	u32 count[256];
	u64 sum;
	u8 out[4096];
};

#endif
