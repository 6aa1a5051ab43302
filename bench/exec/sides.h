/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An object on two sides, by libbpf: the running kernel, and an engine of ours. Both start with the same maps and are run by BPF_PROG_TEST_RUN.
 */
#ifndef BENCH_SIDES_H
#define BENCH_SIDES_H

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#include "data.h"

enum { PACKET = 1100, MOST_RINGS = 4, MOST_PROGRAMS = 64 };

struct ring {
	int fd;
	void *consumer, *producer;
};

struct side {
	bool ours;
	struct bpf_object *obj; /* NULL: not loaded there */
	u64 loaded; /* programs that it has there: bit i is the i-th */
	u32 compile_us[MOST_PROGRAMS]; /* ours */
	struct bpf_map *bss;
	u32 data_at; /* where the program's `d` is in it; UINT32_MAX: it has none */
	struct ring ring[MOST_RINGS];
	u32 n_rings;
};

bool sides_begin(bool poll); /* false: no engine */
void sides_end(void);
bool sides_kernel(void); /* the kernel's bpf() answers */
u64 sides_now(void);

bool side_open(struct side *s, const char *path);
void side_close(struct side *s);
bool side_has(struct side *s, const char *prog);
void side_reset(struct side *s, const struct data *image);
/* ns each; -1: it cannot be run */
double side_run(struct side *s, const char *prog, const u8 *packet, u32 repeat, u32 *result, u8 *out);
u32 side_code_size(struct side *s, const char *prog);
bool sides_same_data(struct side *a, struct side *b);

#endif
