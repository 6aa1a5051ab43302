/* SPDX-License-Identifier: BSD-2-Clause */
/* Transfers are sound: what isa/ops.def computes from members of two scalars is a member of the transfer's result. */
#include "random.h"

enum { PAIRS = 40000 };

static u64 checked;

static void unsound(enum op op, u32 width, const struct scalar *x, const struct scalar *y, u64 a, u64 b,
		    const struct scalar *got)
{
	char tx[300], ty[300], tg[300];

	test_fail(__FILE__, __LINE__, "%s at %u bits: %" PRIx64 " op %" PRIx64 " = %" PRIx64 "\n#  a   %s\n#  b   %s\n#  got %s",
		  op_table[op].name, width, a, b, op_eval(op, width, a, b), show(x, tx), show(y, ty), show(got, tg));
}

static void check_pair(enum op op, u32 width, struct rng *r)
{
	struct scalar x = rnd_scalar(r), y = rnd_scalar(r), got;
	u64 as[MEMBERS], bs[MEMBERS];
	u32 n, m;

	if ((op == OP_LSH || op == OP_RSH || op == OP_ARSH) && rnd(r) % 8)
		scalar_set_const(&y, rnd(r) % width);
	if (rnd(r) % 4 == 0)
		scalar_set_const(&y, (u64)(s64)(s32)rnd_number(r));
	n = rnd_members(r, &x, as);
	m = rnd_members(r, &y, bs);
	got = x;
	scalar_alu(op, width, &got, &y);
	for (u32 i = 0; i < n; i++)
		for (u32 j = 0; j < m; j++, checked++)
			if (!scalar_has(&got, op_eval(op, width, as[i], bs[j]))) {
				unsound(op, width, &x, &y, as[i], bs[j], &got);
				return;
			}
}

TEST(every_row_at_both_widths)
{
	struct rng r = {0x9e3779b97f4a7c15};
	u64 before;

	for (u32 op = 0; op < OP_COUNT; op++)
		for (u32 width = 32; op_table[op].class == OPS_ALU && width <= 64; width += 32) {
			before = checked;
			for (u32 i = 0; i < PAIRS && !test_case_failed; i++)
				check_pair((enum op)op, width, &r);
			CHECK(checked - before > PAIRS);
		}
	printf("# %" PRIu64 " results checked\n", checked);
}

/* r += r, and the like: both operands in one place. */
TEST(an_operand_may_be_the_destination)
{
	struct rng r = {0x2545f4914f6cdd1d};
	struct scalar x, y, twice, apart;

	for (u32 op = 0; op < OP_COUNT; op++)
		for (u32 i = 0; op_table[op].class == OPS_ALU && i < 2000; i++) {
			x = rnd_scalar(&r);
			y = x;
			twice = x;
			apart = x;
			scalar_alu((enum op)op, 64, &twice, &twice);
			scalar_alu((enum op)op, 64, &apart, &y);
			CHECK(scalar_equal(&twice, &apart));
		}
}

static struct scalar result(enum op op, u32 width, struct scalar a, struct scalar b)
{
	scalar_alu(op, width, &a, &b);
	return a;
}

/* Holes that an abstract interpreter of BPF has had: 32-bit arithmetic whose result kept the operands' upper halves or the
 * 64-bit interval, and divisors looked at in the wrong width. */
TEST(alu32_truncates)
{
	struct scalar s;

	s = result(OP_ADD, 32, constant(0xffffffffffffffff), constant(1));
	CHECK(scalar_is_const(&s) && s.umin == 0);
	s = result(OP_ADD, 32, range(0xfffffff0, 0x10000000f), constant(0x20));
	CHECK(scalar_has(&s, 0x10) && scalar_has(&s, 0x2f) && s.umax <= UINT32_MAX && s.smin >= 0);
	s = result(OP_SUB, 32, range(0, 10), constant(20));
	CHECK(scalar_has(&s, 0xffffffec) && !scalar_has(&s, (u64)-20) && s.smin >= 0);
	s = result(OP_MOV, 32, constant(0), range(0x100000000, 0x1ffffffff));
	CHECK(scalar_has(&s, 0) && s.umax == UINT32_MAX);
	s = result(OP_NEG, 32, constant(1), constant(0));
	CHECK(scalar_is_const(&s) && s.umin == 0xffffffff);
	s = result(OP_MUL, 32, range(0, 0x10000), range(0, 0x10000));
	CHECK(scalar_has(&s, 0xfffe0001) && scalar_has(&s, 0));
	s = result(OP_LSH, 32, range(0, 0xffffffff), constant(31));
	CHECK(scalar_has(&s, 0x80000000) && s.umax <= 0x80000000);
	s = result(OP_ARSH, 32, range(0x80000000, 0x80000000), constant(31));
	CHECK(scalar_is_const(&s) && s.umin == 0xffffffff);
	s = result(OP_ARSH, 32, range(0x17fffffff, 0x180000000), constant(31));
	CHECK(scalar_has(&s, 0) && scalar_has(&s, 0xffffffff));
	s = result(OP_MOVS8, 32, constant(0), range(0x7f, 0x80));
	CHECK(scalar_has(&s, 0x7f) && scalar_has(&s, 0xffffff80) && s.umax <= UINT32_MAX);
}

TEST(divisors_are_taken_at_their_width)
{
	static const enum op ops[] = {OP_DIV, OP_MOD, OP_SDIV, OP_SMOD};
	struct scalar s, divisor = constant(0x100000000); /* zero at 32 bits */

	for (u32 i = 0; i < ARRAY_SIZE(ops); i++) {
		s = result(ops[i], 32, constant(0x500000007), divisor);
		CHECK(scalar_has(&s, op_eval(ops[i], 32, 0x500000007, 0x100000000)));
		s = result(ops[i], 32, range(0, 100), range(0xfffffff0, 0x100000001));
		CHECK(scalar_has(&s, 99) && scalar_has(&s, 0));
		s = result(ops[i], 64, constant(1ull << 63), constant(UINT64_MAX));
		CHECK(scalar_has(&s, op_eval(ops[i], 64, 1ull << 63, UINT64_MAX)));
	}
}

TEST(shifts_by_too_much_are_unknown)
{
	static const enum op ops[] = {OP_LSH, OP_RSH, OP_ARSH};
	struct scalar s;

	for (u32 i = 0; i < ARRAY_SIZE(ops); i++) {
		s = result(ops[i], 64, constant(1), constant(64));
		CHECK(scalar_is_unknown(&s));
		s = result(ops[i], 32, constant(1), constant(32));
		CHECK(scalar_is_unknown(&s));
		s = result(ops[i], 64, constant(1), range(0, 3));
		CHECK(scalar_is_unknown(&s));
	}
}

TEST(byte_swaps)
{
	static const enum op ops[] = {OP_LE, OP_BE, OP_BSWAP};
	struct rng r = {0x5ca1ab1e};
	struct scalar s = constant(0x1234);

	scalar_byteswap(OP_BE, 16, &s);
	CHECK(scalar_is_const(&s) && scalar_has(&s, op_byteswap(OP_BE, 16, 0x1234)));
	s = range(0, 255);
	scalar_byteswap(OP_BSWAP, 16, &s);
	CHECK(s.umax == 0xff00 && s.bits.mask == 0xff00);
	for (u32 i = 0; i < 300000; i++) {
		enum op op = ops[i % 3];
		u32 width = 16u << (i / 3 % 3);
		u64 x = rnd_number(&r);

		s = rnd_around(&r, x);
		scalar_sync(&s);
		scalar_byteswap(op, width, &s);
		CHECK(scalar_has(&s, op_byteswap(op, width, x)));
	}
}

int main(void)
{
	RUN(every_row_at_both_widths);
	RUN(an_operand_may_be_the_destination);
	RUN(alu32_truncates);
	RUN(divisors_are_taken_at_their_width);
	RUN(shifts_by_too_much_are_unknown);
	RUN(byte_swaps);
	return test_end();
}
