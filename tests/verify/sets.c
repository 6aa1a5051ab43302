/* SPDX-License-Identifier: BSD-2-Clause */
/* Scalars as sets: tnums exhaustively over windows of six bits, refinement, casts, joins, widening over random ones. */
#include "random.h"

/* ---- tnums: all 3^6 of a window, at three places: low, across the halves, at the top ---- */

enum { WINDOW = 6, TNUMS = 729 };

static const u32 places[] = {0, 29, 58};

static u32 all_tnums(struct tnum out[TNUMS])
{
	u32 n = 0;

	for (u64 mask = 0; mask < 1u << WINDOW; mask++)
		for (u64 value = 0; value < 1u << WINDOW; value++)
			if (!(value & mask))
				out[n++] = (struct tnum){value, mask};
	return n;
}

/* The next member after m, in order; the first after the last. */
static u64 next_member(struct tnum t, u64 m)
{
	return t.value | (((m & t.mask) - t.mask) & t.mask);
}

static u64 apply(enum op op, u64 a, u64 b)
{
	return op_eval(op, 64, a, b);
}

static struct tnum apply_tnum(enum op op, struct tnum a, struct tnum b)
{
	switch (op) {
	case OP_ADD: return tnum_add(a, b);
	case OP_SUB: return tnum_sub(a, b);
	case OP_AND: return tnum_and(a, b);
	case OP_OR: return tnum_or(a, b);
	case OP_XOR: return tnum_xor(a, b);
	default: return tnum_mul(a, b);
	}
}

/* The tightest tnum over all results, by brute force. */
static struct tnum best(enum op op, struct tnum a, struct tnum b)
{
	u64 x = a.value, y, ones = UINT64_MAX, zeros = UINT64_MAX, z;

	do {
		y = b.value;
		do {
			z = apply(op, x, y);
			ones &= z;
			zeros &= ~z;
			y = next_member(b, y);
		} while (y != b.value);
		x = next_member(a, x);
	} while (x != a.value);
	return (struct tnum){ones, ~(ones | zeros)};
}

TEST(tnum_arithmetic_is_the_best_there_is)
{
	static const enum op ops[] = {OP_ADD, OP_SUB, OP_AND, OP_OR, OP_XOR, OP_MUL};
	static struct tnum all[TNUMS];
	struct tnum a, b, want, got;
	u32 n = all_tnums(all), looser = 0, products = 0;

	REQUIRE(n == TNUMS);
	for (u32 o = 0; o < ARRAY_SIZE(ops); o++)
		for (u32 p = 0; p < ARRAY_SIZE(places); p++)
			for (u32 i = o % 2; i < n; i += 2)
				for (u32 j = p % 3; j < n; j += 3) {
					a = tnum_lsh(all[i], (u8)places[p]);
					b = tnum_lsh(all[j], (u8)(ops[o] == OP_MUL ? 0 : places[p]));
					want = best(ops[o], a, b);
					got = apply_tnum(ops[o], a, b);
					if (ops[o] == OP_MUL) {
						products++;
						looser += got.mask != want.mask;
						CHECK(tnum_in(got, want));
					} else {
						CHECK(got.value == want.value && got.mask == want.mask);
					}
					CHECK(!(got.value & got.mask));
					if (test_case_failed)
						return;
				}
	printf("# products looser than need be: %u of %u\n", looser, products);
}

TEST(tnum_sets)
{
	static struct tnum all[TNUMS];
	u32 n = all_tnums(all);
	u64 members[TNUMS]; /* bit v: v is a member */

	for (u32 i = 0; i < n; i++) {
		u64 v = all[i].value;

		members[i] = 0;
		do {
			members[i] |= 1ull << v;
			v = next_member(all[i], v);
		} while (v != all[i].value);
	}
	for (u32 i = 0; i < n; i++)
		for (u32 j = 0; j < n; j++) {
			struct tnum u = tnum_union(all[i], all[j]), both = tnum_intersect(all[i], all[j]);

			CHECK_EQ(tnum_in(all[i], all[j]), !(members[j] & ~members[i]));
			CHECK_EQ(tnum_overlap(all[i], all[j]), (members[i] & members[j]) != 0);
			CHECK(tnum_in(u, all[i]) && tnum_in(u, all[j]));
			CHECK(u.mask == (all[i].mask | all[j].mask | (all[i].value ^ all[j].value)));
			if (members[i] & members[j])
				CHECK(tnum_in(all[i], both) && tnum_in(all[j], both) &&
				      1 << __builtin_popcountll(both.mask) == __builtin_popcountll(members[i] & members[j]));
			if (test_case_failed)
				return;
		}
}

TEST(tnum_of_ranges_shifts_casts)
{
	struct rng seed = {5}, *r = &seed;
	struct tnum t;
	u64 lo, hi, v;
	u8 by;

	for (u32 i = 0; i < 400000 && !test_case_failed; i++) {
		AROUND(u64, lo, hi, rnd_number(r));
		v = lo + (hi - lo ? rnd(r) % (hi - lo) : 0);
		t = tnum_range(lo, hi);
		CHECK((v & ~t.mask) == t.value && (lo & ~t.mask) == t.value && (hi & ~t.mask) == t.value);
		CHECK(lo == hi ? t.mask == 0 : t.mask < 2 * (lo ^ hi) || (lo ^ hi) >> 63);
		by = (u8)(rnd(r) % 64);
		CHECK(tnum_in(tnum_lsh(t, by), tnum_const(v << by)));
		CHECK(tnum_in(tnum_rsh(t, by), tnum_const(v >> by)));
		CHECK(tnum_in(tnum_arsh(t, by, 64), tnum_const((u64)((s64)v >> by))));
		CHECK(tnum_in(tnum_arsh(t, by & 31, 32), tnum_const((u32)((s32)v >> (by & 31)))));
		CHECK(tnum_in(tnum_neg(t), tnum_const(0 - v)));
		for (u8 bytes = 1; bytes <= 8; bytes *= 2)
			CHECK(tnum_in(tnum_cast(t, bytes), tnum_const(bytes < 8 ? v & ((1ull << bytes * 8) - 1) : v)));
		CHECK_EQ(tnum_aligned(tnum_const(v), 8), v % 8 == 0);
		CHECK(!tnum_aligned(t, 8) || v % 8 == 0);
	}
}

/* ---- scalars ---- */

TEST(sync_loses_no_member)
{
	struct rng r = {1};
	struct scalar s, before;
	u64 in[MEMBERS], v;
	u32 n;
	char a[300], b[300];

	for (u32 i = 0; i < 1500000; i++) {
		v = rnd_number(&r);
		before = s = rnd_around(&r, v);
		n = rnd_members(&r, &s, in);
		scalar_sync(&s);
		for (u32 k = 0; k <= n; k++)
			if (!scalar_has(&s, k < n ? in[k] : v)) {
				test_fail(__FILE__, __LINE__, "%" PRIx64 " was in %s, not in %s", k < n ? in[k] : v, show(&before, a), show(&s, b));
				return;
			}
		CHECK(!scalar_is_empty(&s));
		if (scalar_is_const(&s))
			CHECK(s.umin == v && s.umax == v && s.smin == (s64)v && s.smax32 == (s32)v);
	}
}

static s64 extend(u64 v, u32 bytes)
{
	return bytes == 1 ? (s8)v : bytes == 2 ? (s16)v : bytes == 4 ? (s32)v : (s64)v;
}

/* What arithmetic of 32 bits gives most often: there is nothing to deduce, and nothing is. */
TEST(unknown_words_are_settled)
{
	struct scalar s, synced;

	scalar_set_unknown(&s);
	scalar_from32(&s);
	CHECK_EQ(s.umin, 0);
	CHECK_EQ(s.umax, UINT32_MAX);
	CHECK_EQ(s.smin, 0);
	CHECK_EQ(s.smax, UINT32_MAX);
	CHECK_EQ(s.bits.value, 0);
	CHECK_EQ(s.bits.mask, UINT32_MAX);
	synced = s;
	scalar_sync(&synced);
	CHECK(scalar_equal(&s, &synced));
}

TEST(casts_hold_the_cast_members)
{
	struct rng r = {2};
	struct scalar s, t;
	u64 in[MEMBERS], kept;
	u32 n;

	for (u32 i = 0; i < 300000 && !test_case_failed; i++) {
		s = rnd_scalar(&r);
		n = rnd_members(&r, &s, in);
		for (u32 k = 0; k < n; k++)
			for (u32 bytes = 1; bytes <= 8; bytes *= 2) {
				kept = bytes < 8 ? in[k] & ((1ull << bytes * 8) - 1) : in[k];
				t = s;
				scalar_zext(&t, bytes);
				CHECK(scalar_has(&t, kept));
				t = s;
				scalar_sext(&t, bytes);
				CHECK(scalar_has(&t, (u64)extend(in[k], bytes)));
				t = s;
				scalar_sext32(&t, bytes);
				CHECK(scalar_has(&t, (u32)extend(in[k], bytes)));
				t = s;
				scalar_from32(&t);
				CHECK(scalar_has(&t, (u32)in[k]));
				t = s;
				scalar_from_bits(&t, s.bits);
				CHECK(scalar_has(&t, in[k]));
			}
	}
}

TEST(joins_meets_and_inclusion)
{
	struct rng r = {3};
	struct scalar a, b, j, w, m;
	u64 x[MEMBERS], y[MEMBERS];
	u32 n, o;
	bool met;

	for (u32 i = 0; i < 400000 && !test_case_failed; i++) {
		u64 v = rnd_number(&r);

		a = rnd_around(&r, v);
		b = rnd_around(&r, rnd(&r) % 2 ? v : rnd_number(&r));
		scalar_sync(&a);
		scalar_sync(&b);
		n = rnd_members(&r, &a, x);
		o = rnd_members(&r, &b, y);
		j = w = m = a;
		scalar_join(&j, &b);
		scalar_widen(&w, &b);
		met = scalar_meet(&m, &b);
		CHECK(scalar_within(&j, &a) && scalar_within(&j, &b) && scalar_within(&w, &j));
		CHECK(scalar_within(&a, &a) && scalar_equal(&a, &a));
		if (scalar_within(&a, &b)) { /* nothing to add: nothing changes */
			CHECK(scalar_equal(&j, &a) && scalar_equal(&w, &a));
			for (u32 k = 0; k < o; k++)
				CHECK(scalar_has(&a, y[k]));
		}
		if (scalar_within(&a, &b) && scalar_within(&b, &a))
			CHECK(scalar_equal(&a, &b));
		for (u32 k = 0; k < n; k++) {
			CHECK(scalar_has(&j, x[k]) && scalar_has(&w, x[k]));
			if (scalar_has(&b, x[k]))
				CHECK(met && scalar_has(&m, x[k]));
		}
		for (u32 k = 0; k < o; k++)
			CHECK(scalar_has(&j, y[k]) && scalar_has(&w, y[k]));
		j = b;
		scalar_join(&j, &a);
		w = a;
		scalar_join(&w, &b);
		CHECK(scalar_equal(&j, &w));
	}
}

TEST(the_empty_set)
{
	struct scalar one, two, s, unknown;

	scalar_set_const(&one, 1);
	scalar_set_const(&two, 2);
	scalar_set_unknown(&unknown);
	s = one;
	CHECK(!scalar_meet(&s, &two) && scalar_is_empty(&s));
	CHECK(scalar_within(&one, &s));
	scalar_sync(&s);
	CHECK(scalar_is_empty(&s));
	scalar_join(&s, &two);
	CHECK(scalar_equal(&s, &two));
	s = one;
	CHECK(!scalar_meet(&s, &two));
	scalar_join(&two, &s);
	CHECK(scalar_is_const(&two) && two.umin == 2);
	s = one;
	CHECK(scalar_meet(&s, &unknown) && scalar_equal(&s, &one));
	CHECK(scalar_is_unknown(&unknown) && !scalar_is_unknown(&one) && !scalar_is_empty(&unknown));
}

/* Chains at a loop's head: however the body's result creeps, the head changes at most this often. */
enum { CHAIN = SCALAR_WIDENINGS };

static u32 chain(struct rng *r, u32 kind)
{
	struct scalar head, body, before, step;
	u32 changes = 0;

	scalar_set_const(&head, kind % 2 ? 0 : rnd_number(r));
	scalar_set_const(&step, kind % 3 ? 1 : rnd_number(r) % 64);
	for (u32 i = 0; i < 3000; i++) {
		body = head;
		if (kind >= 4)
			body = rnd_scalar(r);
		else
			scalar_alu(kind & 1 ? OP_ADD : OP_SUB, kind & 2 ? 64 : 32, &body, &step);
		before = head;
		scalar_widen(&head, &body);
		if (!scalar_within(&head, &body) || !scalar_within(&head, &before))
			return UINT32_MAX;
		if (!scalar_equal(&head, &before))
			changes++;
		else if (kind < 4)
			break;
	}
	return changes;
}

/* The slowest there is: one bound at a time, one beyond its stop. */
static u32 creep(u32 field)
{
	struct scalar head, body, before;
	u32 changes = 0;

	scalar_set_const(&head, field == 1 || field == 5 ? UINT64_MAX : 0);
	if (field == 3)
		scalar_set_const(&head, 1ull << 63);
	if (field == 2)
		scalar_set_const(&head, INT64_MAX);
	for (; changes < 10000; changes++) {
		before = body = head;
		switch (field) {
		case 0: body.umax += body.umax != UINT64_MAX; break;
		case 1: body.umin -= body.umin != 0; break;
		case 2: body.smin -= body.smin != INT64_MIN; break;
		case 3: body.smax += body.smax != INT64_MAX; break;
		case 4: body.umax32 += body.umax32 != UINT32_MAX; break;
		case 5: body.umin32 -= body.umin32 != 0; break;
		case 6: body.smin32 -= body.smin32 != INT32_MIN; break;
		default: body.smax32 += body.smax32 != INT32_MAX; break;
		}
		scalar_widen(&head, &body);
		if (scalar_equal(&head, &before))
			break;
	}
	return changes;
}

TEST(chains_of_widenings_end)
{
	struct rng r = {4};
	u32 most = 0, n;

	for (u32 kind = 0; kind < 6; kind++)
		for (u32 i = 0; i < 300; i++) {
			n = chain(&r, kind);
			CHECK(n <= CHAIN);
			most = MAX(most, n);
		}
	printf("# longest chain seen: %u\n", most);
	for (u32 field = 0; field < 8; field++) {
		n = creep(field);
		CHECK(n > 3 && n <= CHAIN / 9);
	}
}

int main(void)
{
	RUN(tnum_arithmetic_is_the_best_there_is);
	RUN(tnum_sets);
	RUN(tnum_of_ranges_shifts_casts);
	RUN(sync_loses_no_member);
	RUN(unknown_words_are_settled);
	RUN(casts_hold_the_cast_members);
	RUN(joins_meets_and_inclusion);
	RUN(the_empty_set);
	RUN(chains_of_widenings_end);
	return test_end();
}
