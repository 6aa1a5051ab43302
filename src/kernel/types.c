/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiled for its BTF alone: the engine's kernel types, what typed programs get from each tracepoint, and the types that libbpf and programs only look for by
 * name to learn what a kernel can do.
 */
#define SKEP_KERNEL_BTF
#include "kernel/types.h"

#include <linux/bpf.h> /* contexts, and the enumerations that programs ask for what there is */

#define FIELDS(...)
#define PARAMS(...)	 __VA_ARGS__
#define PARAM(type)	 , type
#define TRACEPOINT(id, category, name, params, fields, fmt) typedef void (*btf_trace_##name)(void *params);
#include "kernel/tracepoints.def"
#undef FIELDS
#undef PARAMS

/* Programs ask whether it exists before they make a ring buffer. */
struct bpf_ringbuf {
	u64 mask;
};

typedef struct pt_regs bpf_user_pt_regs_t;
