/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops whose paths multiply, verified with states joined at their heads: what is accepted, by which bound, in how many instructions; that what is unsafe
 * in some turn is refused; and that no switch of the verifier changes a verdict. r6 is a map's value of 1024 bytes, r0 to r9 as the prologue leaves them.
 */
#include "../sys/sys_test.h"

#include "engine/engine.h"

#include "complete.h"

enum { VALUE = 1024, LOG = 1 << 16, SMALL = 400 /* instructions processed: what VERIFY_NO_PRUNE can do */, LIMIT = 4000000, LONG = 1000000, EARLY = 1100000 };

#define PROLOGUE                                                                                                                                     \
	"r1 = 0\n*(u32 *)(r10 - 4) = r1\nr2 = r10\nr2 += -4\nr1 = map[fd:%d]\ncall bpf_map_lookup_elem#1\nif r0 == 0 goto out\nr6 = r0\n"
#define EPILOGUE "out: r0 = 0\nexit\n"
/* forks: both ways change r7, which is read in the end, so that each path is another one */
#define FORK(n, m) "r1 = *(u8 *)(r6 + " n ")\nif r1 > " m " goto f" n "\nr7 += " m "\nr7 ^= r1\nf" n ":\n"
#define FORKS      FORK("1", "3") FORK("2", "5") FORK("3", "9") FORK("4", "17")

/* an iterator over numbers at fp-16 and one at fp-32; the element of the first is in r0 behind NEXT */
#define AT(off)	   "r1 = r10\nr1 += " off "\n"
#define NEW(off)   AT(off) "r2 = 0\nr3 = 100\ncall kernel-function#kfunc:bpf_iter_num_new\n"
#define NEXT(off)  AT(off) "call kernel-function#kfunc:bpf_iter_num_next\n"
#define DONE(off)  AT(off) "call kernel-function#kfunc:bpf_iter_num_destroy\n"
/* a read that goes to another place for each set of flags that some turn put */
#define FLAG(n, bit) "r1 = *(u8 *)(r6 + " n ")\nif r1 == 0 goto f" n "\nr7 |= " bit "\nf" n ":\n"
#define READ	     FLAG("1", "1") FLAG("2", "2") FLAG("3", "4") FLAG("4", "8") FLAG("5", "16") "r1 = r6\nr1 += r7\nr1 = *(u8 *)(r1 + 0)\n"

struct loop_case {
	const char *name, *text;
	bool accept; /* by skep */
	bool linux_accepts; /* within its limits */
	unsigned turns; /* the bound that is proved; 0: no state is joined */
	unsigned processed; /* at most */
};

static const struct loop_case cases[] = {
	{"tokenizer", /* a state of five values and a class of character, both unknown at each turn */
	 "r8 = 0\nr7 = 0\nr9 = 0\n"
	 "again: r1 = r6\nr1 += r9\nr1 = *(u8 *)(r1 + 0)\nif r8 == 3 goto string\nif r8 == 4 goto comment\nif r1 == 34 goto begin\n"
	 "if r1 == 35 goto hash\nif r1 > 96 goto word\nif r1 > 47 goto number\nr8 = 0\ngoto next\n"
	 "string: if r1 != 34 goto next\nr8 = 0\ngoto next\ncomment: if r1 != 10 goto next\nr8 = 0\ngoto next\n"
	 "begin: r8 = 3\nr7 += 1\ngoto next\nhash: r8 = 4\ngoto next\nword: if r8 == 1 goto next\nr8 = 1\nr7 += 1\ngoto next\n"
	 "number: if r8 != 0 goto next\nr8 = 2\nr7 += 1\nnext: r9 += 1\nif r9 != 512 goto again\n*(u32 *)(r6 + 1000) = r7\n",
	 true, true, 511, 2500},
	{"min, max and clamp",
	 "r7 = -1\nr8 = 0\nr9 = 0\n"
	 "again: r1 = r6\nr1 += r9\nr1 = *(u32 *)(r1 + 0)\nif r1 > r7 goto a\nr7 = r1\na: if r1 < r8 goto b\nr8 = r1\nb: if r1 < 5000 goto c\nr1 = 5000\n"
	 "c: if r1 > 100 goto d\nr1 = 100\nd: r9 += 4\nif r9 != 96 goto again\nr7 ^= r8\nr7 ^= r1\n*(u32 *)(r6 + 1000) = r7\n",
	 true, true, 23, 2500},
	{"a counter that comes down, 32 bits", "r7 = 0\nw9 = 200\nagain:\n" FORKS "w9 += -1\nif w9 != 0 goto again\n*(u64 *)(r6 + 1000) = r7\n", true, true, 199,
	 2500},
	{"a signed limit", "r7 = 0\nr9 = -100\nagain:\n" FORKS "r9 += 1\nif r9 s< 100 goto again\n*(u64 *)(r6 + 1000) = r7\n", true, true, 199, 2500},
	{"a counter in the stack", "r7 = 0\nr1 = 0\n*(u64 *)(r10 - 16) = r1\nagain:\n" FORKS "r1 = *(u64 *)(r10 - 16)\nr1 += 2\n*(u64 *)(r10 - 16) = r1\n"
	 "if r1 < 400 goto again\n*(u64 *)(r6 + 1000) = r7\n", true, true, 199, 2500},
	{"a limit that is read", "r7 = 0\nr9 = 0\nr8 = *(u8 *)(r6 + 0)\nagain: if r9 >= r8 goto out\n" FORKS "r9 += 1\ngoto again\n", true, true, 255, 2500},
	{"a counter of 32 bits, compared with all 64 of its register", "r7 = 0\nr9 = 0\nagain: if r9 > 199 goto out\n" FORKS "w9 += 1\ngoto again\n", true, true, 200, 2500},
	{"may_goto beside a counter", "r7 = 0\nr9 = 0\nagain: may_goto out\n" FORKS "r9 += 1\nif r9 != 200 goto again\n*(u64 *)(r6 + 1000) = r7\n", true, true, 199, 2500},
	{"may_goto alone", "r7 = 0\nagain: may_goto out\n" READ "goto again\n", true, true, 8388608, 3000},
	{"an iterator alone", NEW("-16") "r7 = 0\nagain:\n" NEXT("-16") "if r0 == 0 goto done\n" READ "goto again\ndone:\n" DONE("-16"), true, true, 8388608, 3000},
	{"an iterator whose place is in a register",
	 NEW("-16") "r7 = 0\nr8 = r10\nr8 += -16\nagain: r1 = r8\ncall kernel-function#kfunc:bpf_iter_num_next\nif r0 == 0 goto done\n" READ "goto again\ndone:\n" DONE("-16"),
	 true, true, 8388608, 3000},
	{"iterators in one another", NEW("-16") "outer:\n" NEXT("-16") "if r0 == 0 goto done\n" NEW("-32") "inner:\n" NEXT("-32") "if r0 != 0 goto inner\n" DONE("-32")
	 "goto outer\ndone:\n" DONE("-16"), true, true, 0, 200},
	{"a counter of three that is compared for being its limit", "r7 = 0\nr9 = 0\nagain:\n" FORKS "r1 = r6\nr1 += r9\n*(u32 *)(r1 + 723) = r7\nr9 += 3\n"
	 "if r9 != 300 goto again\n*(u64 *)(r6 + 1000) = r7\n", true, true, 99, 2500},
	{"a pointer that goes along", "r7 = 0\nr9 = 0\nr8 = r6\nagain:\n" FORKS "*(u32 *)(r8 + 0) = r7\nr8 += 4\nr9 += 1\nif r9 != 256 goto again\n", true, true, 255, 2500},
	{"loops in one another", "r7 = 0\nr9 = 0\nouter: r8 = 0\ninner:\n" FORKS "r8 += 1\nif r8 != 50 goto inner\nr9 += 1\nif r9 != 50 goto outer\n"
	 "*(u64 *)(r6 + 1000) = r7\n", true, false, 49, 4000},
	{"a short loop", "r7 = 0\nr9 = 0\nagain: r7 += r9\nr9 += 1\nif r9 != 20 goto again\n", true, true, 0, 200},
	/* what some turn does wrong */
	{"past the end in the last turn", "r7 = 0\nr9 = 0\nr8 = r6\nagain:\n" FORKS "*(u32 *)(r8 + 0) = r7\nr8 += 4\nr9 += 1\nif r9 != 257 goto again\n", false, false, 0,
	 4000001},
	{"past the end at a limit that is met by a step that is no power of two",
	 "r7 = 0\nr9 = 0\nagain:\n" FORKS "r9 += 24\nif r9 != 1032 goto again\nr1 = r6\nr1 += r9\n*(u64 *)(r1 + 0) = r7\n", false, false, 0, 4000001},
	{"past the end in the last turn of a counter of three", "r7 = 0\nr9 = 0\nagain:\n" FORKS "r1 = r6\nr1 += r9\n*(u32 *)(r1 + 724) = r7\nr9 += 3\n"
	 "if r9 != 300 goto again\n", false, false, 0, 4000001},
	{"an index past the end in turn 300", "r7 = 0\nr9 = 0\nagain:\n" FORKS "if r9 != 300 goto fine\nr1 = r6\nr1 += r9\nr2 = *(u64 *)(r1 + 1000)\n"
	 "fine: r9 += 1\nif r9 != 512 goto again\n", false, false, 0, 4000001},
	{"a value that grows past the end", "r7 = 0\nr9 = 0\nr8 = 0\nagain: r1 = *(u8 *)(r6 + 0)\nif r1 > 8 goto low\nr8 += 3\nlow: r8 += 1\nr1 = r6\nr1 += r8\n"
	 "r2 = *(u8 *)(r1 + 0)\nr9 += 1\nif r9 != 600 goto again\n", false, false, 0, 4000001},
	{"a second arrival that lies among the turns of the first",
	 "r7 = 0\nr8 = 0\nr9 = 0\nr1 = *(u8 *)(r6 + 0)\nif r1 == 0 goto second\ngoto again\nsecond: r9 = 512\nagain:\n" FORKS "r8 += 1\nr9 += 1\n"
	 "if r8 != 600 goto again\nr1 = r6\nr1 += r9\nr2 = *(u8 *)(r1 + 0)\n", false, false, 0, 4000001},
	{"a second arrival in the middle of a turn of the first",
	 "r7 = 0\nr8 = 0\nr9 = 0\nr1 = *(u8 *)(r6 + 0)\nif r1 == 0 goto second\ngoto again\nsecond: r9 = 512\nagain: r8 += 1\nr9 += 1\nr1 = r6\nr1 += r9\n"
	 "r2 = *(u8 *)(r1 + 0)\n" FORKS "if r8 != 600 goto again\n", false, false, 0, 4000001},
	{"two arrivals, both right", "r7 = 0\nr8 = 0\nr9 = 0\nr1 = *(u8 *)(r6 + 0)\nif r1 == 0 goto second\ngoto again\nsecond: r9 = 400\nagain:\n" FORKS
	 "r8 += 1\nr9 += 1\nif r8 != 600 goto again\nr1 = r6\nr1 += r9\nr2 = *(u8 *)(r1 + 0)\n", true, true, 599, 8000},
	{"a scratch register of the first turns only", "r7 = 0\nr9 = 0\nr8 = r6\nagain:\n" FORKS "if r9 < 200 goto fine\nr8 = r7\nfine: r2 = *(u8 *)(r8 + 0)\n"
	 "r9 += 1\nif r9 != 300 goto again\n", false, false, 0, 4000001},
	/* what need not end */
	{"a counter that comes round", "r9 = 0\nagain: r9 += 1\nr9 &= 7\ncall bpf_get_prandom_u32#7\nif r0 != r9 goto again\n", false, false, 0, 4000001},
	{"a counter that may pass its limit", "r7 = 0\nr9 = *(u8 *)(r6 + 0)\nagain:\n" FORKS "r9 += 1\nif r9 != 100 goto again\n", false, false, 0, 4000001},
	{"a counter that jumps over its limit", "r7 = 0\nr9 = 0\nagain:\n" FORKS "r9 += 3\nif r9 != 100 goto again\n", false, false, 0, 4000001},
	{"a counter of 32 bits that begins beyond them, at its limit in their low half",
	 "r7 = 0\nr9 = 0x100000064 ll\nagain: if r9 == 100 goto out\n" FORKS "w9 += 1\ngoto again\n", false, false, 0, 4000001},
	{"may_goto beside a counter that may pass its limit", "r9 = *(u8 *)(r6 + 0)\nagain: may_goto out\nr1 = r6\nr1 += r9\nr2 = *(u8 *)(r1 + 0)\nr9 += 1\nif r9 != 100 goto again\n",
	 false, false, 0, 4000001},
	{"a bounded loop in an endless one", "r7 = 0\nouter: r9 = 0\nagain:\n" FORKS "r9 += 1\nif r9 != 100 goto again\ncall bpf_get_prandom_u32#7\n"
	 "if r0 != 0 goto outer\n", false, false, 0, 4000001},
	{"a test that some turns miss", "r7 = 0\nr9 = 0\nagain:\n" FORKS "call bpf_get_prandom_u32#7\nif r0 == 0 goto again\nr9 += 1\nif r9 != 100 goto again\n", false,
	 false, 0, 4000001},
	/* which of its kind an iterator is does not count in Linux, which accepts the second of these */
	{"an iterator that each turn makes anew", NEW("-16") "again:\n" NEXT("-16") "if r0 == 0 goto done\n" DONE("-16") NEW("-16") "goto again\ndone:\n" DONE("-16"), false, false,
	 0, 200},
	{"another iterator than the one that is active before",
	 NEW("-16") "again:\n" NEW("-32") NEXT("-32") "r7 = r0\n" DONE("-32") "if r7 != 0 goto again\n" DONE("-16"), false, true, 0, 200},
	{"an iterator that some turns do not advance",
	 NEW("-16") "again: call bpf_get_prandom_u32#7\nif r0 == 0 goto again\n" NEXT("-16") "if r0 != 0 goto again\n" DONE("-16"), false, false, 0, 200},
	{"an index past the end in some turn of an iterator", NEW("-16") "r7 = 0\nagain:\n" NEXT("-16") "if r0 == 0 goto done\nr7 += 1\nr1 = r6\nr1 += r7\n"
	 "r1 = *(u8 *)(r1 + 0)\ngoto again\ndone:\n" DONE("-16"), false, false, 0, 4000001},
	/* what cannot end within the limit, seen early */
	{"a loop that nothing leaves", "r9 = 0\nagain: r9 += 1\ngoto again\n", false, false, 0, EARLY},
	{"a counter with too far to go", "r7 = 0\nr9 = 0\nr8 = 1\nr8 <<= 40\nagain: r7 += r9\nr9 += 1\nif r9 < r8 goto again\n", false, false, 0, EARLY},
	{"a counter with too far to come down", "r9 = 100000000\nagain: r9 += -2\nif r9 s> 7 goto again\n", false, false, 0, EARLY},
	{"a counter that ends after two million instructions", "r9 = 0\nagain: r9 += 1\nif r9 != 1000000 goto again\n", true, false, 999999, 2100000},
	{"a number that may go on in each turn", "r9 = *(u16 *)(r6 + 0)\nagain: r9 += 0x1ab064b9\nif r9 & 0x702000 goto again\n", false, false, 0, EARLY},
	{"numbers that go on in each turn, one of them unknown", "r9 = *(u16 *)(r6 + 0)\nr8 = 1\nagain: r7 = *(u8 *)(r6 + 9)\nr1 = 7\nr1 |= r8\nr8 = 1\nr7 += r1\n"
	 "*(u8 *)(r6 + 9) = r7\nif r1 > 9 goto out\nr9 += 0x1ab064b9\nif r9 & 0x702000 goto again\n", false, false, 0, EARLY},
	{"a number that lets go after a million instructions", "r9 = 0\nagain: r9 += 1\nr8 = 7\nif r9 & 0x40000 goto out\ngoto again\n", true, false, 0, 1050000},
	/* Linux takes the lower half of a pointer for not 0, and does not look where that leads */
	{"the lower half of a pointer is 0", "if w6 != 0 goto out\nr1 = *(u8 *)(r6 + 5000)\n", false, true, 0, SMALL},
};

/* Whose refusal takes LONG instructions, walks that were given up included; verdicts() sees which. */
static bool takes_long[sizeof(cases) / sizeof(cases[0])];

/* ---- loops in one another ---- */

enum { NEST_MOST = 3500 /* instructions processed and given up, for each level */ };

struct nest {
	const char *name, *begin, *end; /* of the loop at level %d, whose iterator lies at %d */
	const char *body;
	int deepest;
	bool linux_accepts;
};

static const struct nest nested[] = {
	{"bpf_for", AT("%2$d") "r2 = 0\nr3 = 10\ncall kernel-function#kfunc:bpf_iter_num_new\nl%1$d:\n" NEXT("%2$d") "if r0 == 0 goto d%1$d\nr1 = *(u32 *)(r0 + 0)\nif r1 s> 9 goto d%1$d\n",
	 "goto l%1$d\nd%1$d:\n" DONE("%2$d"), "r7 += 1\ncall bpf_get_prandom_u32#7\nif r0 & 1 goto odd\nr8 += 2\nodd: r9 ^= r7\nr9 += r8\n", 8, true},
	{"bpf_iter_num", NEW("%2$d") "l%1$d:\n" NEXT("%2$d") "if r0 == 0 goto d%1$d\n", "goto l%1$d\nd%1$d:\n" DONE("%2$d"),
	 "r7 += 1\nr7 &= 511\nr1 = r6\nr1 += r7\nr2 = *(u8 *)(r1 + 0)\nr8 += r2\n*(u8 *)(r1 + 0) = r8\n", 4, false},
	{"may_goto", "l%1$d: may_goto d%1$d\n", "goto l%1$d\nd%1$d:\n", "r7 += 1\ncall bpf_get_prandom_u32#7\nif r0 & 1 goto odd\nr8 += 2\nodd: r9 ^= r7\n", 8, true},
};

static void nest_text(char *out, size_t size, const struct nest *t, int depth)
{
	size_t n = (size_t)snprintf(out, size, "r7 = 0\nr8 = 0\nr9 = 0\n");

	for (int i = 0; i < depth; i++)
		n += (size_t)snprintf(out + n, size - n, t->begin, i, -16 * (i + 1));
	n += (size_t)snprintf(out + n, size - n, "%s", t->body);
	for (int i = depth; i-- > 0;)
		n += (size_t)snprintf(out + n, size - n, t->end, i, -16 * (i + 1));
	snprintf(out + n, size - n, "*(u64 *)(r6 + 1000) = r9\n");
}

static struct skep *open_engine(uint32_t off)
{
	struct skep *k = NULL;

	CHECK_EQ(skep_open(&k, &(struct skep_options){.size = sizeof(struct skep_options), .verify_off = off}), 0);
	return k;
}

/* kfunc:NAME becomes the id that the engine's kernel has. */
static void name_kfuncs(struct skep *k, char *text, size_t size)
{
	static const char mark[] = "kfunc:";
	char rest[8192], name[64];

	for (char *p = text; (p = strstr(p, mark));) {
		size_t len = strcspn(p, "\n");

		snprintf(name, sizeof(name), "%.*s", (int)(len - strlen(mark)), p + strlen(mark));
		snprintf(rest, sizeof(rest), "%s", p + len);
		snprintf(p, size - (size_t)(p - text), "%d%s", btf_find(kernel_btf(k), name, BTF_KIND_FUNC), rest);
	}
}

static struct skep_check check_case(struct skep *k, const struct loop_case *c, char *log)
{
	static char text[8192];
	struct skep_check check = {.size = sizeof(check)};
	struct asm_error err;
	union bpf_attr attr;
	struct raw_insn *raw;
	struct arena a;
	uint32_t n;
	int fd, map;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = 4;
	attr.value_size = VALUE;
	attr.max_entries = 1;
	map = skep_bpf(k, BPF_MAP_CREATE, &attr, sizeof(attr));
	CHECK(map >= 0);
	n = (uint32_t)snprintf(text, sizeof(text), PROLOGUE, map);
	snprintf(text + n, sizeof(text) - n, "%s" EPILOGUE, c->text);
	name_kfuncs(k, text, sizeof(text));
	arena_open(&a, &mem_libc);
	if (asm_parse(&a, text, strlen(text), &raw, &n, &err)) {
		test_fail(__FILE__, __LINE__, "%s: %u:%u: %s", c->name, err.line, err.column, err.text);
		return check;
	}
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insns = ADDRESS(raw);
	attr.insn_cnt = n;
	attr.license = ADDRESS("GPL");
	if (log) {
		attr.log_buf = ADDRESS(log);
		attr.log_size = LOG;
		attr.log_level = 2;
		log[0] = 0;
		fd = skep_bpf(k, BPF_PROG_LOAD, &attr, sizeof(attr));
	} else {
		fd = skep_prog_check(k, &attr, sizeof(attr), &check);
	}
	if (fd >= 0)
		close(fd);
	arena_close(&a);
	close(map);
	return check;
}

TEST(verdicts)
{
	struct skep *k = open_engine(0);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct loop_case *c = &cases[i];
		struct skep_check check = check_case(k, c, NULL);

		takes_long[i] = check.safe.error && check.safe.processed + check.safe.given_up > LONG;
		if (!check.decided || !check.safe.error != c->accept || !check.as_linux.error != c->linux_accepts)
			test_fail(__FILE__, __LINE__, "%s: safe %d (%s), as Linux %d (%s)", c->name, check.safe.error, check.safe.message,
				  check.as_linux.error, check.as_linux.message);
		if (check.as_linux.error && reject_lacks(&check.as_linux, false))
			test_fail(__FILE__, __LINE__, "%s: the refusal lacks %s", c->name, reject_lacks(&check.as_linux, false));
		if (check.safe.error && reject_lacks(&check.safe, true))
			test_fail(__FILE__, __LINE__, "%s: skep's own refusal lacks %s", c->name, reject_lacks(&check.safe, true));
		if (check.safe.given_up > (c->processed == EARLY ? 2000 : 2 * LIMIT))
			test_fail(__FILE__, __LINE__, "%s: %llu instructions walked for nothing", c->name, (unsigned long long)check.safe.given_up);
		if (check.safe.processed > c->processed)
			test_fail(__FILE__, __LINE__, "%s: %llu instructions, expected at most %u", c->name, (unsigned long long)check.safe.processed,
				  c->processed);
	}
	skep_close(k);
}

/* Joins lose what the program rests on, which shows at once; what was walked before is not walked again. */
TEST(turn_by_turn_goes_on_where_it_was)
{
	static const struct loop_case c = {
		.name = "a flag that is never zero",
		.text = "r7 = 1\nr9 = 0\nagain: r7 ^= 3\nif r7 == 0 goto bad\nr9 += 1\nif r9 != 600 goto again\ngoto good\nbad: r1 = *(u8 *)(r6 + 20000)\ngood:\n",
	};
	struct skep *k = open_engine(0);
	struct skep_check check = check_case(k, &c, NULL);

	CHECK_EQ(check.safe.error, 0);
	CHECK_EQ(check.safe.processed, check.as_linux.processed);
	CHECK(check.safe.given_up > 0 && check.safe.given_up < 500);
	skep_close(k);
}

/* What a level adds is a few times the level before at most, and the whole is bounded: no turn of an outer loop is paid for with all those of the inner ones. */
TEST(nests)
{
	struct skep *k = open_engine(0);
	static char text[8192];

	for (size_t i = 0; i < sizeof(nested) / sizeof(nested[0]); i++)
		for (int depth = 1; depth <= nested[i].deepest; depth++) {
			struct loop_case c = {.name = nested[i].name, .text = text};
			struct skep_check check;
			uint64_t cost;

			nest_text(text, sizeof(text), &nested[i], depth);
			check = check_case(k, &c, NULL);
			cost = check.safe.processed + check.safe.given_up;
			if (!check.decided || check.safe.error || !check.as_linux.error != nested[i].linux_accepts)
				test_fail(__FILE__, __LINE__, "%s, %d deep: safe %d (%s), as Linux %d (%s)", c.name, depth, check.safe.error, check.safe.message,
					  check.as_linux.error, check.as_linux.message);
			if (cost > (uint64_t)NEST_MOST * (unsigned)depth)
				test_fail(__FILE__, __LINE__, "%s, %d deep: %llu instructions, as Linux %llu", c.name, depth, (unsigned long long)cost,
					  (unsigned long long)check.as_linux.processed);
		}
	skep_close(k);
}

TEST(bounds)
{
	struct skep *k = open_engine(0);
	static char log[LOG], want[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct loop_case *c = &cases[i];

		if (!c->accept)
			continue;
		check_case(k, c, log);
		snprintf(want, sizeof(want), ": at most %u turns, by the ", c->turns);
		if (c->turns ? !strstr(log, want) : strstr(log, "turns, by") != NULL)
			test_fail(__FILE__, __LINE__, "%s: no bound of %u turns in the log, or one too many", c->name, c->turns);
	}
	skep_close(k);
}

TEST(switches)
{
	static const struct {
		const char *name;
		uint32_t off;
	} off[] = {
		{"no register liveness", SKEP_VERIFY_NO_REG_LIVENESS},
		{"no stack liveness", SKEP_VERIFY_NO_STACK_LIVENESS},
		{"all precise", SKEP_VERIFY_ALL_PRECISE},
		{"no joins", SKEP_VERIFY_NO_JOIN},
		{"no pruning", SKEP_VERIFY_NO_PRUNE},
	};

	for (size_t s = 0; s < sizeof(off) / sizeof(off[0]); s++) {
		struct skep *k = open_engine(off[s].off);
		unsigned compared = 0;

		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			const struct loop_case *c = &cases[i];
			struct skep_check check;

			/* turn by turn, only what Linux accepts is within reach; without pruning, only what is short */
			if (off[s].off & (SKEP_VERIFY_NO_JOIN | SKEP_VERIFY_NO_PRUNE) && !c->linux_accepts)
				continue;
			if (off[s].off & SKEP_VERIFY_NO_PRUNE && c->processed > SMALL)
				continue;
			if (takes_long[i] && i % 3 != s % 3) /* seconds each, more with sanitizers: a third of them with each switch */
				continue;
			check = check_case(k, c, NULL);
			compared++;
			if (!check.safe.error != c->accept)
				test_fail(__FILE__, __LINE__, "%s, %s: %d (%s)", off[s].name, c->name, check.safe.error, check.safe.message);
		}
		CHECK(compared > 0);
		skep_close(k);
	}
}

TEST(memory_is_bounded)
{
	struct skep *k = NULL;
	struct skep_check check;

	CHECK_EQ(skep_open(&k, &(struct skep_options){.size = sizeof(struct skep_options), .max_verify_bytes = 1 << 20, .verify_off = SKEP_VERIFY_NO_JOIN}), 0);
	check = check_case(k, &cases[1], NULL);
	CHECK_EQ(check.safe.error, -ENOMEM);
	CHECK_STR(check.safe.message, "verifying takes more than 1048576 bytes of memory, which is the limit");
	CHECK(check.safe.peak_bytes <= 1 << 20);
	skep_close(k);
}

/* Checkpoints that a path left behind keep little more than the way that led through them. */
TEST(a_long_path_takes_little)
{
	static const struct loop_case c = {"long path", "r7 = 0\nl: r7 += 1\nif r7 < 1000000000 goto l\n", false, false, 0, LIMIT};
	struct skep *k = open_engine(0);
	struct skep_check check = check_case(k, &c, NULL);

	CHECK_EQ(check.as_linux.error, -E2BIG);
	CHECK(check.as_linux.processed > LONG && check.as_linux.states > 20000);
	CHECK(check.as_linux.peak_bytes < 1000 * check.as_linux.states);
	skep_close(k);
}

int main(void)
{
	RUN(a_long_path_takes_little);
	RUN(verdicts);
	RUN(turn_by_turn_goes_on_where_it_was);
	RUN(nests);
	RUN(bounds);
	RUN(switches);
	RUN(memory_is_bounded);
	return test_end();
}
