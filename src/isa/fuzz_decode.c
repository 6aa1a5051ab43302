/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: bytes that decode must encode to the same bytes, and their text must assemble to the same bytes. */
#include "isa/isa.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void compare(struct arena *arena, const struct raw_insn *raw, const struct insn *insns, u32 n)
{
	struct raw_insn *again, one[2];
	struct asm_error err;
	struct text t;
	u32 m;

	text_open(&t, &mem_libc);
	for (u32 k = 0; k < n; k++) {
		u32 slots = insn_encode(&insns[k], k, one);

		if (memcmp(&raw[k], one, slots * sizeof(one[0])))
			abort();
		insn_text(&t, &insns[k], k, NULL);
		text_add(&t, "\n");
		k += slots - 1;
	}
	if (asm_parse(arena, t.at, t.len, &again, &m, &err) || m != n || memcmp(raw, again, n * sizeof(raw[0])))
		abort();
	text_close(&t);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	u32 n = (u32)MIN(size / sizeof(struct raw_insn), (size_t)512);
	struct insn_error err;
	struct raw_insn *raw;
	struct arena arena;
	struct insn *insns;

	arena_open(&arena, &mem_libc);
	raw = arena_array(&arena, n + 1, sizeof(*raw));
	insns = arena_array(&arena, n + 1, sizeof(*insns));
	if (raw && insns) {
		memcpy(raw, data, n * sizeof(*raw));
		if (insns_decode(raw, n, insns, &err) == 0)
			compare(&arena, raw, insns, n);
		else if (!err.text[0] || (n && err.insn >= n))
			abort();
	}
	arena_close(&arena);
	return 0;
}
