/* SPDX-License-Identifier: BSD-2-Clause */
/* How frames of compiled functions are laid out, in DWARF's terms (call frame information): what prologue() in emit.c pushes and subtracts. */
#include "jit/x64/x64.h"

enum { CFA_ADVANCE = 0x40, CFA_OFFSET = 0x80, CFA_DEF = 0x0c, CFA_DEF_OFFSET = 0x0e, DWARF_RSP = 7, DWARF_RETURN = 16 };

static void leb(struct text *t, u32 x)
{
	u8 b;

	do {
		b = (u8)((x & 0x7f) | (x > 0x7f ? 0x80 : 0));
		text_bytes(t, &b, 1);
		x >>= 7;
	} while (x);
}

static u32 dwarf_reg(u32 reg)
{
	return reg == RBP ? 6 : reg; /* of those that functions keep */
}

static void after(struct text *t, u32 code, u32 depth)
{
	u8 op = (u8)(CFA_ADVANCE | code), def = CFA_DEF_OFFSET;

	text_bytes(t, &op, 1);
	text_bytes(t, &def, 1);
	leb(t, depth);
}

static void function(const struct code_func *f, struct text *t)
{
	u32 depth = 8, frame = f->up - 8 * (u32)__builtin_popcount(f->saved);

	for (u32 r = 0; r < 16; r++) {
		u8 offset = (u8)(CFA_OFFSET | dwarf_reg(r));

		if (!(f->saved >> r & 1))
			continue;
		depth += 8;
		after(t, r >> 3 ? 2 : 1, depth);
		text_bytes(t, &offset, 1);
		leb(t, depth / 8);
	}
	if (frame)
		after(t, frame <= 127 ? 4 : 7, depth + frame);
}

void x64_unwind(const struct code_func *f, struct text *t)
{
	/* id of a CIE, version 1, no augmentation, code in units of 1, data of -8, the return address's register; then the state at a function's entry */
	static const u8 common[] = {0xff, 0xff, 0xff, 0xff, 1, 0, 1, 0x78, DWARF_RETURN, CFA_DEF, DWARF_RSP, 8, CFA_OFFSET | DWARF_RETURN, 1};

	if (f)
		function(f, t);
	else
		text_bytes(t, common, sizeof(common));
}
