/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes of x86-64 instructions. Source: Intel SDM volume 2. */
#include "jit/x64/x64.h"

void x64_byte(struct mach *m, u32 byte)
{
	if (m->size == m->cap && !arena_grow(m->output, (void **)&m->code, &m->cap, m->size + 1, 1, 4096)) {
		m->failed = true;
		m->size = 0;
		if (!m->cap)
			return;
	}
	m->code[m->size++] = (u8)byte;
}

void x64_u32(struct mach *m, u32 x)
{
	for (u32 i = 0; i < 4; i++)
		x64_byte(m, x >> 8 * i & 0xff);
}

void x64_u64(struct mach *m, u64 x)
{
	x64_u32(m, (u32)x);
	x64_u32(m, (u32)(x >> 32));
}

static void opcode_bytes(struct mach *m, u32 opcode)
{
	if (opcode > 0xffff)
		x64_byte(m, opcode >> 16);
	if (opcode > 0xff)
		x64_byte(m, opcode >> 8 & 0xff);
	x64_byte(m, opcode & 0xff);
}

void x64_rr(struct mach *m, u32 opcode, bool wide, u32 reg, u32 rm, bool byte_rm)
{
	u32 rex = (u32)wide << 3 | (reg >> 3) << 2 | rm >> 3;

	if (rex || (byte_rm && rm >= 4))
		x64_byte(m, 0x40 | rex);
	opcode_bytes(m, opcode);
	x64_byte(m, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

void x64_rm(struct mach *m, u32 opcode, bool wide, u32 reg, struct x64_mem mem, u32 prefix, bool byte_reg, u32 imm_bytes)
{
	bool index = mem.index != NO_REG;
	u32 rex = (u32)wide << 3 | (reg >> 3) << 2 | (index ? (u32)(mem.index >> 3) << 1 : 0) | (u32)mem.base >> 3, mode;

	(void)imm_bytes;
	if (prefix)
		x64_byte(m, prefix);
	if (rex || (byte_reg && reg >= 4))
		x64_byte(m, 0x40 | rex);
	opcode_bytes(m, opcode);
	mode = mem.disp == 0 && (mem.base & 7) != RBP ? 0 : mem.disp == (s8)mem.disp ? 1 : 2;
	if (index || (mem.base & 7) == RSP) {
		u32 ss = mem.scale == 8 ? 3 : mem.scale == 4 ? 2 : mem.scale == 2;

		x64_byte(m, mode << 6 | (reg & 7) << 3 | 4);
		x64_byte(m, (index ? ss << 6 | (u32)(mem.index & 7) << 3 : 4u << 3) | (mem.base & 7));
	} else {
		x64_byte(m, mode << 6 | (reg & 7) << 3 | (mem.base & 7));
	}
	if (mode == 1)
		x64_byte(m, (u8)mem.disp);
	else if (mode == 2)
		x64_u32(m, (u32)mem.disp);
}

/* Three-byte VEX, registers only. */
void x64_vex(struct mach *m, u32 pp, u32 map, u32 opcode, bool wide, u32 reg, u32 vvvv, u32 rm)
{
	x64_byte(m, 0xc4);
	x64_byte(m, (reg >> 3 ? 0 : 0x80) | 0x40 | (rm >> 3 ? 0 : 0x20) | map);
	x64_byte(m, (u32)wide << 7 | (~vvvv & 15) << 3 | pp);
	x64_byte(m, opcode);
	x64_byte(m, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

void x64_mov(struct mach *m, u32 to, u32 from, bool wide)
{
	if (to != from || !wide)
		x64_rr(m, 0x89, wide, from, to, false);
}

void x64_movi(struct mach *m, u32 to, u64 imm, bool keep_flags)
{
	if (!imm && !keep_flags) {
		x64_rr(m, 0x31, false, to, to, false);
	} else if (imm == (u32)imm) {
		if (to >> 3)
			x64_byte(m, 0x41);
		x64_byte(m, 0xb8 | (to & 7));
		x64_u32(m, (u32)imm);
	} else if ((s64)imm == (s32)imm) {
		x64_rr(m, 0xc7, true, 0, to, false);
		x64_u32(m, (u32)imm);
	} else {
		x64_byte(m, 0x48 | to >> 3);
		x64_byte(m, 0xb8 | (to & 7));
		x64_u64(m, imm);
	}
}

void x64_alui(struct mach *m, enum x64_alu op, bool wide, u32 reg, s32 imm)
{
	if (imm == (s8)imm) {
		x64_rr(m, 0x83, wide, op, reg, false);
		x64_byte(m, (u8)imm);
	} else {
		x64_rr(m, 0x81, wide, op, reg, false);
		x64_u32(m, (u32)imm);
	}
}

void x64_shifti(struct mach *m, enum x64_shift op, bool wide, u32 reg, u32 by)
{
	if (by == 1) {
		x64_rr(m, 0xd1, wide, op, reg, false);
		return;
	}
	x64_rr(m, 0xc1, wide, op, reg, false);
	x64_byte(m, by);
}

void x64_nops(struct mach *m, u32 n)
{
	static const u8 nops[9][9] = {
		{0x90}, {0x66, 0x90}, {0x0f, 0x1f, 0x00}, {0x0f, 0x1f, 0x40, 0x00}, {0x0f, 0x1f, 0x44, 0x00, 0x00},
		{0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00}, {0x0f, 0x1f, 0x80, 0, 0, 0, 0}, {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
		{0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
	};

	while (n) {
		u32 k = MIN(n, 9u);

		for (u32 i = 0; i < k; i++)
			x64_byte(m, nops[k - 1][i]);
		n -= k;
	}
}
