/* SPDX-License-Identifier: BSD-2-Clause */
/* The interpreter's state during one run, shared by the files of this folder; it lies on the caller's C stack. */
#ifndef SKEP_VM_STATE_H
#define SKEP_VM_STATE_H

#include "vm/vm.h"

/* Frames lie apart, so that running off one frame is not landing in the next. */
enum { VM_STRIDE = 1024 };

struct vm_frame {
	struct vm_frame *caller;
	const struct prog *prog;
	u64 fp; /* r10 */
	const u64 *reg; /* R0 to R10 */
};

struct vm {
	struct run *run;
	struct vm_frame *frame; /* the innermost */
	u32 pc; /* slot being executed */
	u32 depth;
	u32 returned; /* 1: the function that ended last left a value in R0; 0: it did not */
	u8 stack[RUN_FRAMES * VM_STRIDE] __attribute__((aligned(16)));
};

struct map *vm_map(const struct run *r, u64 handle);
int vm_ctx_store(struct run *r, u32 off, u32 size, u64 value);
/* Turns registers into what the body gets. written: mask of registers that hold a value. */
int vm_check_args(struct run *r, const struct helper_proto *proto, u64 value[5], u32 written, struct map **map, u64 *record_size);

#endif
