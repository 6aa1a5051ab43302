/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Assembler against disassembler. Each row: text as the disassembler prints it, the encoded bytes, and other spellings
 * of the same that are read as well (LLVM's, mnemonics). Bytes are written down by hand from RFC 9669, not computed.
 */
#include "isa/isa.h"
#include "test.h"

struct row {
	const char *text, *hex;
	const char *same[4];
};

static const struct row rows[] = {
	/* arithmetic */
	{"r1 += r2", "0f21000000000000", {"add r1, r2", "add %r1, %r2", "r1+=r2"}},
	{"r1 += -5", "07010000fbffffff", {"add r1, -5", "r1 += - 5"}},
	{"w1 += 0x7fffffff", "04010000ffffff7f", {"add32 r1, 2147483647", "add32 w1, 0x7fffffff"}},
	{"r1 -= 0x64", "1701000064000000", {"sub r1, 100", "sub %r1, 0x64"}},
	{"w3 -= w4", "1c43000000000000", {"sub32 r3, r4"}},
	{"r0 *= r9", "2f90000000000000", {"mul r0, r9"}},
	{"w1 *= 3", "2401000003000000", {"mul32 r1, 3"}},
	{"r1 /= 7", "3701000007000000", {"div r1, 7"}},
	{"w1 /= w2", "3c21000000000000", {"div32 r1, r2"}},
	{"r1 s/= -7", "37010100f9ffffff", {"sdiv r1, -7"}},
	{"w1 s/= w2", "3c21010000000000", {"sdiv32 r1, r2"}},
	{"r1 |= 1", "4701000001000000", {"or r1, 1"}},
	{"w1 |= w2", "4c21000000000000", {"or32 r1, r2"}},
	{"r1 &= r2", "5f21000000000000", {"and r1, r2"}},
	{"w1 &= -1", "54010000ffffffff", {"and32 r1, 0xffffffff", "w1 &= 0xffffffff", "w1 &= 4294967295"}},
	{"r1 <<= 0x3f", "670100003f000000", {"lsh r1, 63"}},
	{"w1 <<= w2", "6c21000000000000", {"lsh32 r1, r2"}},
	{"r1 >>= r2", "7f21000000000000", {"rsh r1, r2"}},
	{"w1 >>= 1", "7401000001000000", {"rsh32 r1, 1"}},
	{"r1 = -r1", "8701000000000000", {"neg r1", "r1=-r1"}},
	{"w1 = -w1", "8401000000000000", {"neg32 r1"}},
	{"r1 %= r2", "9f21000000000000", {"mod r1, r2"}},
	{"w1 %= 9", "9401000009000000", {"mod32 r1, 9"}},
	{"r1 s%= r2", "9f21010000000000", {"smod r1, r2"}},
	{"w1 s%= -9", "94010100f7ffffff", {"smod32 r1, -9"}},
	{"r1 ^= r2", "af21000000000000", {"xor r1, r2"}},
	{"w1 ^= 0xf", "a40100000f000000", {"xor32 r1, 15"}},
	{"r1 = r2", "bf21000000000000", {"mov r1, r2"}},
	{"w1 = w2", "bc21000000000000", {"mov32 r1, r2"}},
	{"r10 = r1", "bf1a000000000000", {NULL}},
	{"r1 = 0x2a", "b70100002a000000", {"mov r1, 42", "mov %r1, 0x2a", "r1 = 42"}},
	{"r1 = -1", "b7010000ffffffff", {"mov r1, -1"}},
	{"r1 = 0xffffffff", NULL, {NULL}},
	{"w1 = -1", "b4010000ffffffff", {"w1 = 0xffffffff", "mov32 r1, -1"}},
	{"r1 = (s8)r2", "bf21080000000000", {"movs8 r1, r2", "movsx864 r1, r2", "r1 = (s8) r2"}},
	{"r1 = (s16)r2", "bf21100000000000", {"movs16 r1, r2", "movsx1664 %r1, %r2"}},
	{"r1 = (s32)r2", "bf21200000000000", {"movs32 r1, r2", "movsx3264 r1, r2"}},
	{"w1 = (s8)w2", "bc21080000000000", {"movs832 r1, r2", "movsx832 r1, r2"}},
	{"w1 = (s16)w2", "bc21100000000000", {"movs1632 r1, r2", "movsx1632 r1, r2"}},
	{"r1 s>>= 0x20", "c701000020000000", {"arsh r1, 32"}},
	{"w1 s>>= w2", "cc21000000000000", {"arsh32 r1, r2"}},
	/* byte order */
	{"r1 = le16 r1", "d401000010000000", {"le16 r1"}},
	{"r1 = le32 r1", "d401000020000000", {"le32 %r1"}},
	{"r1 = le64 r1", "d401000040000000", {"le64 r1"}},
	{"r1 = be16 r1", "dc01000010000000", {"be16 r1"}},
	{"r1 = be32 r1", "dc01000020000000", {"be32 r1"}},
	{"r1 = be64 r1", "dc01000040000000", {"be64 r1"}},
	{"r1 = bswap16 r1", "d701000010000000", {"bswap16 r1", "swap16 r1"}},
	{"r1 = bswap32 r1", "d701000020000000", {"bswap32 r1", "swap32 r1"}},
	{"r1 = bswap64 r1", "d701000040000000", {"bswap64 r1", "swap64 r1"}},
	/* jumps */
	{"if r1 == r2 goto +0", "1d21000000000000", {"jeq r1, r2, +0", "if r1 == r2 goto next\nnext:"}},
	{"if w1 == -1 goto +0", "16010000ffffffff", {"jeq32 r1, -1, +0", "if w1 == 0xffffffff goto +0"}},
	{"if r1 > 5 goto +0", "2501000005000000", {"jgt r1, 5, +0"}},
	{"if w1 > w2 goto +0", "2e21000000000000", {"jgt32 r1, r2, +0"}},
	{"if r1 >= 5 goto +0", "3501000005000000", {"jge r1, 5, +0"}},
	{"if w1 >= w2 goto +0", "3e21000000000000", {"jge32 r1, r2, +0"}},
	{"if r1 & 1 goto +0", "4501000001000000", {"jset r1, 1, +0"}},
	{"if w1 & w2 goto +0", "4e21000000000000", {"jset32 r1, r2, +0"}},
	{"if r1 != 0 goto +0", "5501000000000000", {"jne r1, 0, +0"}},
	{"if w1 != w2 goto -1", "5e21ffff00000000", {"jne32 r1, r2, -1", "again: if w1 != w2 goto again"}},
	{"if r1 s> -5 goto +0", "65010000fbffffff", {"jsgt r1, -5, +0"}},
	{"if w1 s> w2 goto +0", "6e21000000000000", {"jsgt32 r1, r2, +0"}},
	{"if r1 s>= r2 goto +0", "7d21000000000000", {"jsge r1, r2, +0"}},
	{"if w1 s>= 0x10 goto +0", "7601000010000000", {"jsge32 r1, 16, +0"}},
	{"if r1 < r2 goto +0", "ad21000000000000", {"jlt r1, r2, +0", "if r1 < r2 goto +0 <LBB0_2>"}},
	{"if w1 < 2 goto +0", "a601000002000000", {"jlt32 r1, 2, +0"}},
	{"if r1 <= r2 goto +0", "bd21000000000000", {"jle r1, r2, +0"}},
	{"if w1 <= 2 goto +0", "b601000002000000", {"jle32 r1, 2, +0"}},
	{"if r1 s< r2 goto +0", "cd21000000000000", {"jslt r1, r2, +0"}},
	{"if w1 s< 2 goto +0", "c601000002000000", {"jslt32 r1, 2, +0"}},
	{"if r1 s<= r2 goto +0", "dd21000000000000", {"jsle r1, r2, +0"}},
	{"if w1 s<= 2 goto +0", "d601000002000000", {"jsle32 r1, 2, +0"}},
	{"goto +0", "0500000000000000", {"ja +0", "goto out\nout:"}},
	{"gotol +0", "0600000000000000", {"ja32 +0", "gotol out\nout:"}},
	{"may_goto +0", "e500000000000000", {"may_goto out; out:"}},
	/* calls */
	{"call 6", "8500000006000000", {"call bpf_trace_printk#6", "call helper 6"}},
	{"call -1", "85000000ffffffff", {NULL}},
	{"call pc-1", "85100000ffffffff", {"call local self", NULL}},
	{"call pc+0", "8510000000000000", {"call f; f:", "call local f\nf:"}},
	{"call kernel-function#1234", "85200000d2040000", {"call runtime 1234"}},
	{"call kernel-function#1234 fd_idx 3", "85200300d2040000", {NULL}},
	{"exit", "9500000000000000", {NULL}},
	{"exit off 5", "9500050000000000", {NULL}}, /* Linux does not look at the field */
	/* memory */
	{"r1 = *(u8 *)(r2 +0)", "7121000000000000", {"ldxb r1, [r2]", "ldxb %r1, [%r2+0]", "w1 = *(u8 *)(r2 + 0)"}},
	{"r1 = *(u16 *)(r2 -2)", "6921feff00000000", {"ldxh r1, [r2-2]", "r1 = *(u16*)(r2 - 2)"}},
	{"r1 = *(u32 *)(r2 +32767)", "6121ff7f00000000", {"ldxw r1, [r2+0x7fff]"}},
	{"r1 = *(u64 *)(r2 -32768)", "7921008000000000", {"ldxdw r1, [r2-32768]"}},
	{"r1 = *(s8 *)(r2 +1)", "9121010000000000", {"ldxsb r1, [r2+1]"}},
	{"r1 = *(s16 *)(r2 +2)", "8921020000000000", {"ldxsh r1, [r2+2]"}},
	{"r1 = *(s32 *)(r2 +4)", "8121040000000000", {"ldxsw r1, [r2+4]"}},
	{"*(u8 *)(r10 -1) = r2", "732affff00000000", {"stxb [r10-1], r2", "*(u8 *)(r10 - 1) = w2"}},
	{"*(u16 *)(r10 -2) = r2", "6b2afeff00000000", {"stxh [r10-2], r2"}},
	{"*(u32 *)(r10 -4) = r2", "632afcff00000000", {"stxw [r10-4], r2"}},
	{"*(u64 *)(r10 -8) = r10", "7baaf8ff00000000", {"stxdw [r10-8], r10"}},
	{"*(u8 *)(r10 -1) = -1", "720affffffffffff", {"stb [r10-1], -1"}},
	{"*(u16 *)(r10 -2) = 5", "6a0afeff05000000", {"sth [r10-2], 5"}},
	{"*(u32 *)(r10 -4) = 0x55", "620afcff55000000", {"stw [%r10-4], 85"}},
	{"*(u64 *)(r10 -8) = -5", "7a0af8fffbffffff", {"stdw [r10-8], -5"}},
	{"r0 = *(u8 *)skb[14]", "300000000e000000", {"ldabsb 14"}},
	{"r0 = *(u16 *)skb[-4096]", "2800000000f0ffff", {"ldabsh -4096"}},
	{"r0 = *(u32 *)skb[0]", "2000000000000000", {"ldabsw 0"}},
	{"r0 = *(u8 *)skb[r7]", "5070000000000000", {"ldindb r7"}},
	{"r0 = *(u16 *)skb[r7 +4]", "4870000004000000", {"ldindh r7, 4", "r0 = *(u16 *)skb[r7 + 4]"}},
	{"r0 = *(u32 *)skb[r7 -4]", "40700000fcffffff", {"ldindw r7, -4"}},
	/* atomics */
	{"lock *(u64 *)(r1 +0) += r2", "db21000000000000", {"lock add [r1+0], r2", "lock add [%r1], %r2"}},
	{"lock *(u32 *)(r1 +4) += w2", "c321040000000000", {"lock add32 [r1+4], r2", "lock *(u32 *)(r1 + 4) += r2"}},
	{"lock *(u64 *)(r1 +0) |= r2", "db21000040000000", {"lock or [r1], r2"}},
	{"lock *(u32 *)(r1 +0) |= w2", "c321000040000000", {"lock or32 [r1], r2"}},
	{"lock *(u64 *)(r1 +0) &= r2", "db21000050000000", {"lock and [r1], r2"}},
	{"lock *(u32 *)(r1 +0) &= w2", "c321000050000000", {"lock and32 [r1], r2"}},
	{"lock *(u64 *)(r1 +0) ^= r2", "db210000a0000000", {"lock xor [r1], r2"}},
	{"lock *(u32 *)(r1 +0) ^= w2", "c3210000a0000000", {"lock xor32 [r1], r2"}},
	{"r2 = atomic64_fetch_add((u64 *)(r1 -8), r2)", "db21f8ff01000000",
	 {"lock fetch_add [r1-8], r2", "r2 = atomic_fetch_add((u64 *)(r1 - 8), r2)", "lock fetch add [r1-8], r2"}},
	{"w2 = atomic_fetch_add((u32 *)(r1 +0), w2)", "c321000001000000",
	 {"lock fetch_add32 [r1], r2", "r2 = atomic_fetch_add((u32 *)(r1 +0), r2)", "lock fetch add32 [r1], r2"}},
	{"r2 = atomic64_fetch_or((u64 *)(r1 +0), r2)", "db21000041000000", {"lock fetch_or [r1], r2"}},
	{"w2 = atomic_fetch_or((u32 *)(r1 +0), w2)", "c321000041000000", {"lock fetch or32 [r1], r2"}},
	{"r2 = atomic64_fetch_and((u64 *)(r1 +0), r2)", "db21000051000000", {"lock fetch_and [r1], r2"}},
	{"w2 = atomic_fetch_and((u32 *)(r1 +0), w2)", "c321000051000000", {"lock fetch_and32 [r1], r2"}},
	{"r2 = atomic64_fetch_xor((u64 *)(r1 +0), r2)", "db210000a1000000", {"lock fetch_xor [r1], r2"}},
	{"w2 = atomic_fetch_xor((u32 *)(r1 +0), w2)", "c3210000a1000000", {"lock fetch_xor32 [r1], r2"}},
	{"r2 = atomic64_xchg((u64 *)(r1 +8), r2)", "db210800e1000000", {"lock xchg [r1+8], r2", "r2 = xchg_64(r1 + 8, r2)"}},
	{"w2 = atomic_xchg((u32 *)(r1 +0), w2)", "c3210000e1000000", {"lock xchg32 [r1], r2", "w2 = xchg32_32(r1 + 0, w2)"}},
	{"r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)", "db210000f1000000",
	 {"lock cmpxchg [r1], r2", "r0 = cmpxchg_64(r1 + 0, r0, r2)"}},
	{"w0 = atomic_cmpxchg((u32 *)(r1 -4), w0, w2)", "c321fcfff1000000",
	 {"lock cmpxchg32 [r1-4], r2", "w0 = cmpxchg32_32(r1 - 4, w0, w2)", "r0 = atomic_cmpxchg((u32 *)(r1 -4), r0, r2)"}},
	{"w1 = load_acquire((u8 *)(r2 +1))", "d321010000010000", {"r1 = load_acquire((u8 *)(r2 + 1))"}},
	{"w1 = load_acquire((u16 *)(r2 +2))", "cb21020000010000", {NULL}},
	{"w1 = load_acquire((u32 *)(r2 +4))", "c321040000010000", {NULL}},
	{"r1 = load_acquire((u64 *)(r2 +8))", "db21080000010000", {NULL}},
	{"store_release((u8 *)(r1 +0), w2)", "d321000010010000", {"store_release((u8 *)(r1 + 0), r2)"}},
	{"store_release((u16 *)(r1 +0), w2)", "cb21000010010000", {NULL}},
	{"store_release((u32 *)(r1 +0), w2)", "c321000010010000", {NULL}},
	{"store_release((u64 *)(r1 +0), r2)", "db21000010010000", {NULL}},
	{"r1 = addr_space_cast(r2, 0, 1)", "bf21010001000000", {"r1 = addr_space_cast(r2, 0x0, 0x1)"}},
	{"r1 = addr_space_cast(r2, 1, 0)", "bf21010000000100", {NULL}},
	/* 64-bit loads */
	{"r1 = 0x1122334455667788 ll", "18010000887766550000000044332211", {"lddw r1, 0x1122334455667788"}},
	{"r1 = 0xffffffffffffffff ll", "18010000ffffffff00000000ffffffff", {"r1 = -1 ll", "lddw r1, -1"}},
	{"r1 = 0x0 ll", "18010000000000000000000000000000", {"lddw %r1, 0"}},
	{"r1 = map[fd:5]", "18110000050000000000000000000000", {"lddw r1, map[fd:5]"}},
	{"r1 = map[fd:5]+16", "18210000050000000000000010000000", {"lddw r1, map[fd:5]+0x10"}},
	{"r1 = map[idx:2]", "18510000020000000000000000000000", {NULL}},
	{"r1 = map[idx:2]+4", "18610000020000000000000004000000", {NULL}},
	{"r1 = btf[id:77]", "183100004d0000000000000000000000", {NULL}},
	{"r1 = btf[id:77,fd:3]", "183100004d0000000000000003000000", {NULL}},
	{"r1 = func[+1]", "18410000010000000000000000000000", {"r1 = func[f]\nf:", NULL}},
};

static void hex_of(const struct raw_insn *raw, u32 n, char out[64])
{
	const u8 *b = (const u8 *)raw;

	out[0] = 0;
	for (u32 k = 0; k < n * 8; k++)
		sprintf(out + 2 * k, "%02x", b[k]);
}

/* Bytes of the first instruction of text, with an exit behind it. */
static bool assemble(const char *text, char hex[64], struct asm_error *err)
{
	struct arena arena;
	struct raw_insn *raw;
	char source[300];
	u32 n;
	bool ok;

	/* "self" is the first instruction */
	snprintf(source, sizeof(source), "self: %s\nexit\n", text);
	arena_open(&arena, &mem_libc);
	ok = asm_parse(&arena, source, strlen(source), &raw, &n, err) == 0;
	if (ok)
		hex_of(raw, raw->code == 0x18 ? 2 : 1, hex);
	arena_close(&arena);
	return ok;
}

TEST(every_form_gives_the_documented_bytes)
{
	for (u32 k = 0; k < ARRAY_SIZE(rows); k++) {
		const struct row *r = &rows[k];
		struct asm_error err;
		char hex[64];
		bool ok = assemble(r->text, hex, &err);

		if (!r->hex) {
			CHECK(!ok);
			continue;
		}
		if (!ok)
			test_fail(__FILE__, __LINE__, "\"%s\": %s", r->text, err.text);
		else if (strcmp(hex, r->hex))
			test_fail(__FILE__, __LINE__, "\"%s\" gives %s, expected %s", r->text, hex, r->hex);
		for (u32 s = 0; s < ARRAY_SIZE(r->same) && r->same[s]; s++) {
			if (!assemble(r->same[s], hex, &err))
				test_fail(__FILE__, __LINE__, "\"%s\": %u:%u: %s", r->same[s], err.line, err.column, err.text);
			else if (strcmp(hex, r->hex))
				test_fail(__FILE__, __LINE__, "\"%s\" gives %s, expected %s", r->same[s], hex, r->hex);
		}
	}
}

static u32 from_hex(const char *hex, struct raw_insn *raw)
{
	u32 n = (u32)strlen(hex) / 2;
	u8 *b = (u8 *)raw;

	for (u32 k = 0; k < n; k++) {
		unsigned x;

		sscanf(hex + 2 * k, "%2x", &x);
		b[k] = (u8)x;
	}
	return n / 8;
}

TEST(every_row_is_printed_as_documented)
{
	for (u32 k = 0; k < ARRAY_SIZE(rows); k++) {
		struct raw_insn raw[3] = {0};
		struct insn insns[3];
		struct insn_error err;
		struct text t;
		u32 n;

		if (!rows[k].hex)
			continue;
		n = from_hex(rows[k].hex, raw);
		raw[n].code = 0x95;
		if (insns_decode(raw, n + 1, insns, &err)) {
			test_fail(__FILE__, __LINE__, "%s: %s", rows[k].hex, err.text);
			continue;
		}
		text_open(&t, &mem_libc);
		insn_text(&t, insns, 0, NULL);
		CHECK_STR(text_str(&t), rows[k].text);
		text_close(&t);
	}
}

TEST(every_operation_has_a_row)
{
	for (enum op op = OP_INVALID + 1; op < OP_COUNT; op++) {
		bool seen = op == OP_PAD;

		for (u32 k = 0; k < ARRAY_SIZE(rows) && !seen; k++) {
			struct raw_insn raw[3] = {0};
			struct insn insns[3];
			u32 n;

			if (!rows[k].hex)
				continue;
			n = from_hex(rows[k].hex, raw);
			raw[n].code = 0x95;
			seen = !insns_decode(raw, n + 1, insns, NULL) && insns[0].op == op;
		}
		if (!seen)
			test_fail(__FILE__, __LINE__, "no row for %s", op_table[op].name);
	}
}

static u64 random_state = 0x9e3779b97f4a7c15u;
static u64 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Random valid programs: bytes to text to bytes gives the same bytes. */
TEST(random_programs_survive_the_round_trip)
{
	enum { N = 64 };
	static const s16 offs[] = {0, 0, 0, 1, 8, 16, 32};
	static const s32 imms[] = {0, 0, 0, 1, 16, 32, 64, 65536, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1, 0x100, 0x110};
	u32 tried[OP_COUNT] = {0};

	for (u32 round = 0; round < 3000; round++) {
		struct raw_insn raw[N + 1], *again;
		struct insn insns[N + 1];
		struct asm_error err;
		struct arena arena;
		struct text t;
		u32 n = 0, m;

		while (n < N - 2) {
			u64 r = next_random(), s = next_random();
			struct raw_insn one[3] = {{(u8)r, (u8)(r >> 8), (s16)(r >> 16), (s32)(r >> 32)}, {0}, {0}};
			struct insn out[3];

			/* mostly values that fields with a meaning of their own take */
			if (s & 3)
				one[0].off = offs[(s >> 2) % ARRAY_SIZE(offs)];
			if (s & 0x30)
				one[0].imm = imms[(s >> 6) % ARRAY_SIZE(imms)];
			if (s & 0x3000)
				one[0].regs &= (u8)(s >> 14 & 1 ? 0x07 : s >> 15 & 1 ? 0x70 : s >> 16 & 1 ? 0 : 0x77);
			if (one[0].code == 0x18)
				one[1].imm = s & 1 << 20 ? (s32)s : 0;
			one[one[0].code == 0x18 ? 2 : 1].code = 0x95;
			/* as a program of its own: its jumps stay within it */
			if (insns_decode(one, one[0].code == 0x18 ? 3 : 2, out, NULL))
				continue;
			tried[out[0].op]++;
			raw[n++] = one[0];
			if (one[0].code == 0x18)
				raw[n++] = one[1];
		}
		raw[n++] = (struct raw_insn){.code = 0x95};
		/* a jump back by one may now meet a second slot: such programs are refused, not compared */
		if (insns_decode(raw, n, insns, NULL))
			continue;
		text_open(&t, &mem_libc);
		for (u32 k = 0; k < n; k++) {
			if (insns[k].op == OP_PAD)
				continue;
			if (round & 1)
				text_addf(&t, "%4u: (%02x) ", k, raw[k].code);
			insn_text(&t, &insns[k], k, NULL);
			text_add(&t, round & 2 ? " # comment\n" : "\n");
		}
		arena_open(&arena, &mem_libc);
		if (asm_parse(&arena, t.at, t.len, &again, &m, &err))
			test_fail(__FILE__, __LINE__, "%u:%u: %s\n%s", err.line, err.column, err.text, t.at);
		else if (m != n || memcmp(raw, again, n * sizeof(raw[0])))
			test_fail(__FILE__, __LINE__, "other bytes for\n%s", t.at);
		arena_close(&arena);
		text_close(&t);
		if (test_case_failed)
			return;
	}
	for (enum op op = OP_INVALID + 1; op < OP_PAD; op++)
		if (!tried[op])
			test_fail(__FILE__, __LINE__, "no random program had %s", op_table[op].name);
}

int main(void)
{
	RUN(every_form_gives_the_documented_bytes);
	RUN(every_row_is_printed_as_documented);
	RUN(every_operation_has_a_row);
	RUN(random_programs_survive_the_round_trip);
	return test_end();
}
