/* SPDX-License-Identifier: BSD-2-Clause */
/* Comparisons are sound: a decision contradicts no pair of members, and refining keeps every pair for which the edge holds. */
#include "random.h"

enum { PAIRS = 60000 };

static u64 checked, kept;

static void unsound(const char *what, enum op op, u32 width, const struct scalar *x, const struct scalar *y, u64 a, u64 b)
{
	char tx[300], ty[300];

	test_fail(__FILE__, __LINE__, "%s %s at %u bits: %" PRIx64 " and %" PRIx64 "\n#  a   %s\n#  b   %s", what, op_table[op].name,
		  width, a, b, show(x, tx), show(y, ty));
}

/* Members of both, so that equality is met as well. */
static void draw(struct rng *r, struct scalar *x, struct scalar *y)
{
	u64 v = rnd_number(r);

	*x = rnd_around(r, v);
	*y = rnd_around(r, rnd(r) % 2 ? v + rnd(r) % 3 - 1 : rnd_number(r));
	if (rnd(r) % 3 == 0)
		scalar_set_const(y, rnd(r) % 2 ? 1ull << rnd(r) % 64 : x->umax);
	scalar_sync(x);
	scalar_sync(y);
}

static void check_pair(enum op op, u32 width, struct rng *r)
{
	struct scalar x, y, p, q;
	u64 as[MEMBERS], bs[MEMBERS];
	u32 n, m;
	int verdict;
	bool holds;

	draw(r, &x, &y);
	n = rnd_members(r, &x, as);
	m = rnd_members(r, &y, bs);
	verdict = scalar_decide(op, width, &x, &y);
	for (u32 taken = 0; taken < 2; taken++) {
		p = x;
		q = y;
		scalar_refine(op, width, taken, &p, &q);
		for (u32 i = 0; i < n; i++)
			for (u32 j = 0; j < m; j++, checked++) {
				holds = op_compare(op, width, as[i], bs[j]);
				if (verdict >= 0 && holds != verdict) {
					unsound("decided", op, width, &x, &y, as[i], bs[j]);
					return;
				}
				if (holds != taken)
					continue;
				kept++;
				if (!scalar_has(&p, as[i]) || !scalar_has(&q, bs[j]) || scalar_is_empty(&p) || scalar_is_empty(&q)) {
					unsound(taken ? "lost when taken" : "lost when not taken", op, width, &x, &y, as[i], bs[j]);
					return;
				}
			}
	}
}

TEST(every_row_at_both_widths)
{
	struct rng r = {0x9e3779b97f4a7c15};
	u64 before;

	for (u32 op = 0; op < OP_COUNT; op++)
		for (u32 width = 32; op_table[op].class == OPS_JMP && width <= 64; width += 32) {
			before = kept;
			for (u32 i = 0; i < PAIRS && !test_case_failed; i++)
				check_pair((enum op)op, width, &r);
			CHECK(kept - before > PAIRS);
		}
	printf("# %" PRIu64 " pairs checked, %" PRIu64 " on their edge\n", checked, kept);
}

/* An edge that was decided against is empty on at least one side, or says nothing wrong; never refined to something live. */
TEST(dead_edges_of_constants_are_empty)
{
	struct rng r = {77};
	struct scalar x, y, p, q;
	u64 a, b;

	for (u32 op = 0; op < OP_COUNT; op++)
		for (u32 i = 0; op_table[op].class == OPS_JMP && i < 4000; i++) {
			u32 width = i & 1 ? 32 : 64;

			a = rnd_number(&r);
			b = rnd(&r) % 3 ? rnd_number(&r) : a;
			scalar_set_const(&x, a);
			scalar_set_const(&y, b);
			CHECK_EQ(scalar_decide((enum op)op, width, &x, &y), op_compare((enum op)op, width, a, b));
			p = x;
			q = y;
			scalar_refine((enum op)op, width, !op_compare((enum op)op, width, a, b), &p, &q);
			if (!scalar_is_empty(&p) && !scalar_is_empty(&q))
				unsound("not empty", (enum op)op, width, &x, &y, a, b);
			if (test_case_failed)
				return;
		}
}

/* Holes that an abstract interpreter of BPF has had: a 32-bit comparison taken for one of 64 bits. */
TEST(jmp32_says_nothing_of_the_upper_half)
{
	struct scalar s, k = constant(5), zero = constant(0);

	scalar_set_unknown(&s);
	scalar_refine(OP_JEQ, 32, true, &s, &k);
	CHECK(scalar_has(&s, 0xdead00000005) && !scalar_has(&s, 6));
	s = range(0, 0x1ffffffff);
	k = constant(5);
	scalar_refine(OP_JLT, 32, true, &s, &k);
	CHECK(scalar_has(&s, 0x100000004) && !scalar_has(&s, 0x100000005));
	k = constant(0x100000000);
	CHECK_EQ(scalar_decide(OP_JEQ, 32, &k, &zero), 1);
	CHECK_EQ(scalar_decide(OP_JEQ, 64, &k, &zero), 0);
	k = constant(0xffffffff);
	CHECK_EQ(scalar_decide(OP_JSLT, 32, &k, &zero), 1);
	CHECK_EQ(scalar_decide(OP_JSLT, 64, &k, &zero), 0);
	k = constant(0x100000000);
	s = range(0, 10);
	scalar_refine(OP_JSET, 32, true, &s, &k);
	CHECK(scalar_is_empty(&s));
}

/* What verdicts rest on. */
TEST(what_is_learned)
{
	struct scalar a, b;

	a = range(0, 10);
	b = constant(0);
	scalar_refine(OP_JNE, 64, true, &a, &b);
	CHECK_EQ(a.umin, 1);
	b = constant(10);
	scalar_refine(OP_JEQ, 64, false, &a, &b);
	CHECK_EQ(a.umax, 9);
	a = range(0, 100);
	b = range(50, 200);
	scalar_refine(OP_JGT, 64, true, &a, &b);
	CHECK(a.umin == 51 && b.umax == 99);
	scalar_set_unknown(&a);
	b = constant(4);
	scalar_refine(OP_JSET, 64, true, &a, &b);
	CHECK(!scalar_has(&a, 0) && scalar_has(&a, 4) && a.umin == 4);
	scalar_set_unknown(&a);
	b = constant(7);
	scalar_refine(OP_JSET, 64, false, &a, &b);
	CHECK(!scalar_has(&a, 1) && scalar_has(&a, 8));
	scalar_set_unknown(&a);
	b = constant(63);
	scalar_refine(OP_JSGT, 64, false, &a, &b);
	b = constant(0);
	scalar_refine(OP_JSLT, 64, false, &a, &b);
	CHECK(a.umin == 0 && a.umax == 63 && a.bits.mask == 63);
	scalar_set_unknown(&a);
	b = constant(63);
	scalar_refine(OP_JGT, 32, false, &a, &b);
	CHECK(a.umax32 == 63 && a.umax > UINT32_MAX);
	a = range(0, 0xff);
	b = constant(0x100);
	CHECK_EQ(scalar_decide(OP_JSET, 64, &a, &b), 0);
	CHECK_EQ(scalar_decide(OP_JLT, 64, &a, &b), 1);
	CHECK_EQ(scalar_decide(OP_JEQ, 64, &a, &b), 0);
	CHECK_EQ(scalar_decide(OP_JNE, 64, &b, &a), 1);
}

int main(void)
{
	RUN(every_row_at_both_widths);
	RUN(dead_edges_of_constants_are_empty);
	RUN(jmp32_says_nothing_of_the_upper_half);
	RUN(what_is_learned);
	return test_end();
}
