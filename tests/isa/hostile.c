/* SPDX-License-Identifier: BSD-2-Clause */
/* The assembler on text that is wrong: what it says and where; and on text that wants to hurt it. */
#include "isa/isa.h"
#include "test.h"

struct wrong {
	const char *text;
	u32 line, column;
	const char *says;
};

static const struct wrong wrongs[] = {
	{"r1 = 5\nfoo r1\nexit", 2, 1, "unknown instruction \"foo\""},
	{"exit\n  r11 = 5", 2, 3, "R11 is invalid"},
	{"r16 = 5", 1, 1, "register r16 does not exist"},
	{"r1 = r99999999999", 1, 6, "register r"},
	{"r1 + 5", 1, 4, "expected = or an operator"},
	{"r1 += ", 1, 7, "expected r0 to r10 or a number"},
	{"r1 += w2", 1, 7, "expected r0 to r10 or a number"},
	{"w1 += r2", 1, 7, "expected w0 to w10 or a number"},
	{"r1 = w2", 1, 6, "expected a register"},
	{"r1 = 0x100000000", 1, 6, "does not fit in 32 bits; load it first: rN = VALUE ll"},
	{"r1 += 99999999999999999999", 1, 7, "does not fit in 64 bits"},
	{"r1 = 0x1ffffffffffffffff ll", 1, 6, "does not fit in 64 bits"},
	{"w1 = 5 ll", 1, 0, "needs an r register"},
	{"r1 = -r2", 1, 0, "of the register itself"},
	{"r1 = be16 r2", 1, 0, "of the register itself"},
	{"r1 = *(u32 *)(r2 +40000)", 1, 18, "from -32768 to 32767"},
	{"r1 = *(u33 *)(r2 +4)", 1, 8, "expected a type: u8"},
	{"r1 = *(u32 *)(w2 +4)", 1, 0, "expected a register (r0 to r10)"},
	{"*(s8 *)(r1 +0) = r2", 1, 0, "only loads are signed; use u8"},
	{"*(u8 *)(r1 +0) = ", 1, 0, "expected a number"},
	{"if r1 ! 5 goto +1", 1, 7, "expected a comparison"},
	{"if r1 == 5 jump +1", 1, 12, "expected \"goto\""},
	{"goto nowhere\nexit", 1, 6, "label \"nowhere\" is not defined"},
	{"call bpf_nothing\nexit", 1, 6, "a helper is called by its number"},
	{"a: exit\na: exit", 2, 1, "label \"a\" is defined twice"},
	{"ldxw r1, [r2 + 40000]", 1, 14, "from -32768 to 32767"},
	{"goto +99999999999", 1, 6, "from -2147483648 to 2147483647"},
	{"goto -5\nexit", 1, 0, "the target lies before the program"},
	{"exit\ngoto +5", 2, 1, "jump out of range"},
	{"r1 = 1; r2 = 2; goto +9; exit", 1, 17, "jump out of range"},
	{"goto +1\nr1 = 1 ll\nexit", 1, 1, "jump into the middle of ldimm64"},
	{"callx r1", 1, 0, "calls through a register are not supported"},
	{"r1 = 5 exit", 1, 8, "unexpected text after the instruction"},
	{"lock *(u64 *)(r1 +0) -= r2", 1, 0, "atomics are += |= &= ^="},
	{"lock sub [r1+0], r2", 1, 0, "expected add, or, and"},
	{"r3 = atomic64_fetch_add((u64 *)(r1 +0), r2)", 1, 0, "the register that is the operand"},
	{"r2 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)", 1, 0, "cmpxchg gives its result in r0"},
	{"r0 = atomic64_cmpxchg((u64 *)(r1 +0), r3, r2)", 1, 0, "cmpxchg compares with r0"},
	{"r2 = atomic64_xchg((u32 *)(r1 +0), r2)", 1, 0, "of 64 bits, the type of 32"},
	{"r1 = map[fd 5]", 1, 0, "expected \":\""},
	{"r1 = map[x:5]", 1, 0, "expected fd:, idx: or id:"},
	{"r2 = *(u8 *)skb[0]", 1, 0, "in r0"},
	{"r1 = load_acquire((s8 *)(r2 +0))", 1, 0, "only loads are signed"},
	{"r1 = addr_space_cast(r2, 2, 3)\nexit", 1, 1, "between address space 1 and 0"},
	{"add r1 5", 1, 8, "expected \",\""},
	{"ldxw r1, r2", 1, 10, "expected \"[\""},
	{"\x01\x02", 1, 1, "expected an instruction"},
	{"", 1, 1, "the program is empty"},
	{"# nothing\n\n", 1, 1, "the program is empty"},
};

static int parse(const char *text, size_t len, u32 *n, struct asm_error *err)
{
	struct raw_insn *raw;
	struct arena arena;
	int r;

	arena_open(&arena, &mem_libc);
	r = asm_parse(&arena, text, len, &raw, n, err);
	arena_close(&arena);
	return r;
}

TEST(errors_say_what_and_where)
{
	for (u32 k = 0; k < ARRAY_SIZE(wrongs); k++) {
		const struct wrong *w = &wrongs[k];
		struct asm_error err;
		u32 n;
		int r = parse(w->text, strlen(w->text), &n, &err);

		if (r != -EINVAL || !strstr(err.text, w->says) || err.line != w->line || (w->column && err.column != w->column))
			test_fail(__FILE__, __LINE__, "\"%s\": gives %d at %u:%u \"%s\", expected %u:%u \"%s\"", w->text, r, err.line,
				  err.column, err.text, w->line, w->column, w->says);
	}
}

TEST(comments_separators_and_listings)
{
	static const char text[] = "; int f(void) @ file.c:3\n"
				   "start:   0: (b7) r0 = 1   # one\n"
				   "   ; return 1;\n"
				   "\t1: r1 = 2 // two\n"
				   "r2 = 3; r3 = 4;; exit;\r\n";
	struct asm_error err;
	u32 n = 0;

	CHECK_EQ(parse(text, strlen(text), &n, &err), 0);
	CHECK_EQ(n, 5);
}

/* Every prefix and every one-byte change of a text with all kinds of statements: no crash, an error with a place. */
TEST(damaged_text)
{
	static const char good[] = "start: r1 = map[fd:3]+4\nlock *(u64 *)(r1 +0) += r2; w2 = atomic_xchg((u32 *)(r1 +0), w2)\n"
				   "if w1 s>= -5 goto start\nr0 = *(u16 *)skb[r1 +4]\nr1 = func[start]\ncall kernel-function#3 fd_idx 1\n"
				   "lock fetch or32 [r1-4], r2\nr1 = addr_space_cast(r2, 0, 1)\nstore_release((u8 *)(r1 +0), w2)\n"
				   "r1 = -r1\n*(u8 *)(r10 -1) = 0xff\nr1 = (s8)r2\nmay_goto start\nmovsx832 r1, r2\nexit\n";
	size_t len = sizeof(good) - 1;
	struct asm_error err;
	u32 n, accepted = 0, refused = 0;

	CHECK_EQ(parse(good, len, &n, &err), 0);
	for (size_t k = 0; k <= len; k++) {
		/* a copy without a byte behind it, so that AddressSanitizer sees one step too far */
		char *copy = malloc(k ? k : 1);

		memcpy(copy, good, k);
		if (parse(copy, k, &n, &err))
			CHECK(err.line >= 1 && err.column >= 1 && err.text[0]);
		free(copy);
	}
	for (size_t k = 0; k < len; k++) {
		for (unsigned c = 0; c < 256; c += 3) {
			char *copy = malloc(len);

			memcpy(copy, good, len);
			copy[k] = (char)c;
			if (!parse(copy, len, &n, &err)) {
				accepted++;
			} else {
				refused++;
				if (!err.line || !err.column || !err.text[0])
					test_fail(__FILE__, __LINE__, "no place or text for byte %zu = %u", k, c);
			}
			free(copy);
		}
	}
	CHECK(accepted > 0 && refused > 0);
}

struct counted {
	long left;
	long live;
};

static void *counting(void *ud, void *ptr, size_t old_size, size_t new_size)
{
	struct counted *c = ud;
	void *p;

	if (!new_size) {
		c->live -= ptr != NULL;
		free(ptr);
		return NULL;
	}
	if (c->left-- <= 0)
		return NULL;
	(void)old_size;
	p = realloc(ptr, new_size);
	c->live += !ptr && p;
	return p;
}

TEST(every_allocation_may_fail)
{
	static const char text[] = "a: r1 = 1 ll\nif r1 == 2 goto b\ngoto a\nb: exit\n";
	int ok = 0;

	for (long budget = 0; budget < 100 && !ok; budget++) {
		struct counted c = {.left = budget};
		struct mem m = {counting, &c};
		struct raw_insn *raw;
		struct asm_error err;
		struct arena arena;
		u32 n;
		int r;

		arena_open(&arena, &m);
		r = asm_parse(&arena, text, sizeof(text) - 1, &raw, &n, &err);
		CHECK(r == 0 || r == -ENOMEM);
		ok = r == 0;
		arena_close(&arena);
		CHECK_EQ(c.live, 0);
	}
	CHECK(ok);
}

/* With a quadratic step, this and the next would meet the timeout. */
TEST(long_text_with_many_labels)
{
	struct text t;
	struct asm_error err;
	u32 n = 0;

	text_open(&t, &mem_libc);
	for (u32 k = 0; k < 200000; k++)
		text_addf(&t, "label_%u: if r1 == %u goto label_%u\n", k, k, k);
	text_add(&t, "exit\n");
	CHECK_EQ(parse(t.at, t.len, &n, &err), 0);
	CHECK_EQ(n, 200001);
	text_close(&t);
}

TEST(one_endless_token)
{
	static const char *const pieces[] = {"a", "1", "-", " ", "(", "*", "[", ";", "0x", "#", "r", ":", "<", "+", "\n", "lock ", "if ", "1:", "a:"};

	for (u32 k = 0; k < ARRAY_SIZE(pieces); k++) {
		struct asm_error err;
		struct text t;
		u32 n;

		text_open(&t, &mem_libc);
		for (u32 r = 0; r < 300000; r++)
			text_add(&t, pieces[k]);
		CHECK_EQ(parse(t.at, t.len, &n, &err), -EINVAL);
		text_close(&t);
	}
}

int main(void)
{
	RUN(errors_say_what_and_where);
	RUN(comments_separators_and_listings);
	RUN(damaged_text);
	RUN(every_allocation_may_fail);
	RUN(long_text_with_many_labels);
	RUN(one_endless_token);
	return test_end();
}
