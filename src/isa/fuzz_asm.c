/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: text that assembles must decode; text that does not must have an error with a place. */
#include "isa/isa.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct asm_error err;
	struct raw_insn *raw;
	struct arena arena;
	struct insn *insns;
	u32 n;

	arena_open(&arena, &mem_libc);
	if (asm_parse(&arena, (const char *)data, size, &raw, &n, &err) == 0) {
		insns = arena_array(&arena, n, sizeof(*insns));
		if (!insns || insns_decode(raw, n, insns, NULL))
			abort();
	} else if (!err.line || !err.column || !err.text[0]) {
		abort();
	}
	arena_close(&arena);
	return 0;
}
