/* SPDX-License-Identifier: BSD-2-Clause */
/* insn: how long x86-64's instructions are, and the same instructions at another address. */
#ifndef SKEP_SUPERVISE_INSN_H
#define SKEP_SUPERVISE_INSN_H

#include "base/base.h"

enum { INSN_MOST = 15 };

struct insn_form {
	u32 size;
	u8 map, op; /* 0: one byte, 1: behind 0f, 2: 0f 38, 3: 0f 3a */
	u8 modrm; /* that byte; means something if modrm_at */
	u32 modrm_at, disp_at; /* offsets; 0: none. disp_at: of four bytes relative to the end of the instruction */
	u32 imm_at, imm_size;
};

/* false: it is none, or not all of it is there. */
bool insn_form(const u8 *code, u32 n, struct insn_form *out);
/* Does it jump, or call, relative to itself? Then *to is where, for an instruction at `at`. */
bool insn_branch(const u8 *code, const struct insn_form *f, u64 at, u64 *to);

/*
 * The instructions that begin at `at` and cover at least `least` bytes (padding behind the end of a function included), as they do the same at `to`; followed by a jump behind them. Bytes that were
 * written to out, *covered: bytes that they took. 0: that cannot be done; out has INSN_MOVED bytes.
 */
enum { INSN_MOVED = 96 };
u32 insn_move(const u8 *code, u32 n, u64 at, u64 to, u32 least, u8 *out, u32 *covered);

#endif
