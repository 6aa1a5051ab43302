/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log of PROG_LOAD, line by line, at each level; and what is known of the registers and the stack of callers, which states share, on each of two
 * paths. Where bpf() answers, the running kernel is asked as well: Linux 6.18 prints the same, and every kernel gives the same verdict.
 *
 *     t-verify-lines [--show]    prints the logs
 */
#include "../sys/sys_test.h"

#include "base/base.h"
#include "isa/isa.h"

#include "../kernel.h"

#include <sys/utsname.h>

enum { LOG = 1 << 16, VALUE = 64 };

static bool shows;
static char log_ours[LOG], log_theirs[LOG];

/* k: NULL is the running kernel. A %d in the text is a map of one value. */
static int load_case(struct skep *k, const char *format, uint32_t level, char *log)
{
	static char text[8192];
	struct asm_error err;
	struct raw_insn *raw;
	union bpf_attr attr;
	struct arena a;
	uint32_t n;
	int fd, map;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_HASH;
	attr.key_size = 4;
	attr.value_size = VALUE;
	attr.max_entries = 1;
	map = k ? skep_bpf(k, BPF_MAP_CREATE, &attr, sizeof(attr)) : kernel_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
	if (map < 0)
		return map;
	snprintf(text, sizeof(text), format, map);
	arena_open(&a, &mem_libc);
	if (asm_parse(&a, text, strlen(text), &raw, &n, &err)) {
		test_fail(__FILE__, __LINE__, "%u:%u: %s", err.line, err.column, err.text);
		return -ENOEXEC;
	}
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insns = ADDRESS(raw);
	attr.insn_cnt = n;
	attr.license = ADDRESS("GPL");
	log[0] = 0;
	if (level) {
		attr.log_buf = ADDRESS(log);
		attr.log_size = LOG;
		attr.log_level = level;
	}
	fd = k ? skep_bpf(k, BPF_PROG_LOAD, &attr, sizeof(attr)) : kernel_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
	arena_close(&a);
	close(map);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static bool have_kernel(void)
{
	static char log[LOG];

	return load_case(NULL, "r0 = 0\nexit\n", 0, log) == 0;
}

/* Takes out of the line that ends before `end` what lies from `from` to `to`; its new end. */
static char *cut(char *from, char *to, char *end)
{
	if (!from || !to)
		return end;
	memmove(from, to, (size_t)(end - to));
	return end - (to - from);
}

/* What a load of 64 bits loads: of a map it is an address in Linux, a descriptor here. */
static char *without_operand(char *line, char *end)
{
	char *load = memmem(line, (size_t)(end - line), "(18) r", 6), *from = load ? memmem(load, (size_t)(end - load), "= ", 2) : NULL, *to;

	if (!from)
		return end;
	to = memchr(from, ';', (size_t)(end - from));
	return cut(from, to ? to : end - 1, end);
}

/* Takes out the time, which is another at each load, the limit and addresses. */
static void tidy(char *log)
{
	char *to = log;

	for (char *line = log, *next; *line; line = next) {
		size_t len = strcspn(line, "\n");
		char *limit;

		next = line + len + (line[len] == '\n');
		if (!strncmp(line, "verification time ", 18))
			continue;
		memmove(to, line, (size_t)(next - line));
		limit = to;
		to = without_operand(limit, to + (next - line));
		if (!strncmp(limit, "processed ", 10) && (limit = memchr(limit, '(', (size_t)(to - limit)))) {
			char *end = memchr(limit, ')', (size_t)(to - limit));

			to = cut(limit, end ? end + 2 : NULL, to);
		}
	}
	*to = 0;
}

/* ---- lines ---- */

static const struct line_case {
	const char *name;
	uint32_t level;
	const char *text;
	const char *log;
} lines[] = {
#include "lines.def"
};

TEST(lines_of_the_log)
{
	struct utsname host;
	struct skep *k = NULL;
	bool beside = !uname(&host) && !strncmp(host.release, "6.18", 4) && have_kernel();

	REQUIRE(!skep_open(&k, &(struct skep_options){.size = sizeof(struct skep_options)}));
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		load_case(k, lines[i].text, lines[i].level, log_ours);
		tidy(log_ours);
		if (shows)
			printf("---- %s\n%s", lines[i].name, log_ours);
		else if (strcmp(log_ours, lines[i].log))
			test_fail(__FILE__, __LINE__, "%s: expected\n%s---- but the log is\n%s", lines[i].name, lines[i].log, log_ours);
		if (!beside)
			continue;
		load_case(NULL, lines[i].text, lines[i].level, log_theirs);
		tidy(log_theirs);
		if (strcmp(log_theirs, log_ours))
			test_fail(__FILE__, __LINE__, "%s: Linux has\n%s---- but the log is\n%s", lines[i].name, log_theirs, log_ours);
	}
	skep_close(k);
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && !strcmp(text + n - m, end);
}

TEST(what_is_refused_before_the_walk_has_counts_too)
{
	static const char counts[] = "processed 0 insns max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";
	static const char *const ends[] = {[1] = counts, [4] = "stack depth 0\nprocessed 0 insns max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n"};
	struct skep *k = NULL;
	bool beside = have_kernel();

	REQUIRE(!skep_open(&k, &(struct skep_options){.size = sizeof(struct skep_options)}));
	for (uint32_t level = 1; level <= 4; level += 3)
		for (int side = 0; side <= beside; side++) {
			CHECK_EQ(load_case(side ? NULL : k, "r0 = 0\n", level, log_ours), -EINVAL);
			tidy(log_ours);
			CHECK(strstr(log_ours, "last insn is not an exit or jmp"));
			CHECK(ends_with(log_ours, ends[level]));
		}
	skep_close(k);
}

/* ---- what frames share ---- */

#define LOOKUP "r1 = 0\n*(u32 *)(r10 - 4) = r1\nr2 = r10\nr2 += -4\nr1 = map[fd:%d]\ncall bpf_map_lookup_elem#1\n"
#define FOUND  LOOKUP "if r0 == 0 goto out\nr6 = r0\n"
#define OUT    "out: r0 = 0\nexit\n"

static const struct shared {
	const char *name, *text;
	bool accept;
} shared[] = {
	{"a NULL check in a function says what the caller's register is", LOOKUP
	 "r6 = r0\nr1 = r0\ncall sub\nif r0 == 0 goto out\nr1 = *(u8 *)(r6 + 0)\n" OUT "sub: if r1 == 0 goto null\nr0 = 1\nexit\nnull: r0 = 0\nexit\n", true},
	{"and on the other path, that it is none", LOOKUP
	 "r6 = r0\nr1 = r0\ncall sub\nif r0 != 0 goto out\nr1 = *(u8 *)(r6 + 0)\n" OUT "sub: if r1 == 0 goto null\nr0 = 1\nexit\nnull: r0 = 0\nexit\n", false},
	{"the path that goes on first is the other one", LOOKUP
	 "r6 = r0\nr1 = r0\ncall sub\nif r0 == 0 goto out\nr1 = *(u8 *)(r6 + 0)\n" OUT "sub: if r1 != 0 goto found\nr0 = 0\nexit\nfound: r0 = 1\nexit\n", true},
	{"the function answers the same on both paths", LOOKUP
	 "r6 = r0\nr1 = r0\ncall sub\nif r0 == 0 goto out\nr1 = *(u8 *)(r6 + 0)\n" OUT "sub: if r1 != 0 goto found\nr0 = 1\nexit\nfound: r0 = 1\nexit\n", false},
	{"a number's bounds, checked in a function", FOUND
	 "r7 = *(u32 *)(r6 + 0)\nr1 = r7\ncall sub\nif r0 == 0 goto out\nr6 += r7\nr1 = *(u8 *)(r6 + 0)\n" OUT "sub: if r1 > 63 goto far\nr0 = 1\nexit\nfar: r0 = 0\nexit\n", true},
	{"on the path where they do not hold", FOUND
	 "r7 = *(u32 *)(r6 + 0)\nr1 = r7\ncall sub\nif r0 != 0 goto out\nr6 += r7\nr1 = *(u8 *)(r6 + 0)\n" OUT "sub: if r1 > 63 goto far\nr0 = 1\nexit\nfar: r0 = 0\nexit\n", false},
	{"two functions deep", FOUND
	 "r7 = *(u32 *)(r6 + 0)\nr1 = r7\ncall mid\nif r0 == 0 goto out\nr6 += r7\nr1 = *(u8 *)(r6 + 0)\n" OUT
	 "mid: r6 = r1\ncall sub\nif r0 == 0 goto none\nr0 = r6\nr0 &= 1\nr0 |= 1\nexit\nnone: r0 = 0\nexit\nsub: if r1 > 63 goto far\nr0 = 1\nexit\nfar: r0 = 0\nexit\n", true},
	{"two functions deep, the middle one's register of the same name is another", FOUND
	 "r7 = *(u32 *)(r6 + 0)\nr1 = 5\ncall mid\nif r0 == 0 goto out\nr6 += r7\nr1 = *(u8 *)(r6 + 0)\n" OUT
	 "mid: r7 = r1\ncall sub\nif r0 == 0 goto none\nr0 = 1\nexit\nnone: r0 = 0\nexit\nsub: if r1 > 63 goto far\nr0 = 1\nexit\nfar: r0 = 0\nexit\n", false},
	{"a packet's end, checked in a function",
	 "r6 = *(u32 *)(r1 + 76)\nr2 = *(u32 *)(r1 + 80)\nr1 = r6\ncall sub\nif r0 == 0 goto out\nr1 = *(u8 *)(r6 + 7)\n" OUT
	 "sub: r1 += 8\nif r1 > r2 goto far\nr0 = 1\nexit\nfar: r0 = 0\nexit\n", true},
	{"on the path where it is nearer",
	 "r6 = *(u32 *)(r1 + 76)\nr2 = *(u32 *)(r1 + 80)\nr1 = r6\ncall sub\nif r0 != 0 goto out\nr1 = *(u8 *)(r6 + 7)\n" OUT
	 "sub: r1 += 8\nif r1 > r2 goto far\nr0 = 1\nexit\nfar: r0 = 0\nexit\n", false},
	{"the caller's stack, written on both paths", FOUND
	 "r1 = r10\nr1 += -16\nr2 = *(u8 *)(r6 + 0)\ncall sub\nr1 = *(u64 *)(r10 - 16)\nr6 += r1\nr1 = *(u8 *)(r6 + 0)\n" OUT
	 "sub: if r2 == 0 goto zero\nr3 = 63\n*(u64 *)(r1 + 0) = r3\nr0 = 0\nexit\nzero: r3 = 1\n*(u64 *)(r1 + 0) = r3\nr0 = 0\nexit\n", true},
	{"the caller's stack, too large a number on one of them", FOUND
	 "r1 = r10\nr1 += -16\nr2 = *(u8 *)(r6 + 0)\ncall sub\nr1 = *(u64 *)(r10 - 16)\nr6 += r1\nr1 = *(u8 *)(r6 + 0)\n" OUT
	 "sub: if r2 == 0 goto zero\nr3 = 63\n*(u64 *)(r1 + 0) = r3\nr0 = 0\nexit\nzero: r3 = 64\n*(u64 *)(r1 + 0) = r3\nr0 = 0\nexit\n", false},
	{"the caller's stack, not written on one of them", FOUND
	 "r1 = 64\n*(u64 *)(r10 - 16) = r1\nr1 = r10\nr1 += -16\nr2 = *(u8 *)(r6 + 0)\ncall sub\nr1 = *(u64 *)(r10 - 16)\nr6 += r1\nr1 = *(u8 *)(r6 + 0)\n" OUT
	 "sub: if r2 == 0 goto none\nr3 = 63\n*(u64 *)(r1 + 0) = r3\nnone: r0 = 0\nexit\n", false},
	{"a register that the caller saved, after two calls of the same function", FOUND
	 "r7 = 3\nr8 = *(u8 *)(r6 + 0)\nr1 = r8\ncall sub\nr9 = r0\nr1 = r8\ncall sub\nr9 += r0\nr9 += r7\nr6 += r9\nr1 = *(u8 *)(r6 + 55)\n" OUT
	 "sub: r7 = 100\nr6 = 0\nif r1 > 9 goto far\nr0 = 3\nexit\nfar: r0 = 2\nexit\n", false},
	{"the same, with room for all of it", FOUND
	 "r7 = 3\nr8 = *(u8 *)(r6 + 0)\nr1 = r8\ncall sub\nr9 = r0\nr1 = r8\ncall sub\nr9 += r0\nr9 += r7\nr6 += r9\nr1 = *(u8 *)(r6 + 54)\n" OUT
	 "sub: r7 = 100\nr6 = 0\nif r1 > 9 goto far\nr0 = 3\nexit\nfar: r0 = 2\nexit\n", true},
};

TEST(callers_are_known_on_each_path)
{
	static const uint32_t off[] = {0, SKEP_VERIFY_NO_JOIN, SKEP_VERIFY_NO_PRUNE, SKEP_VERIFY_NO_REG_LIVENESS, SKEP_VERIFY_NO_STACK_LIVENESS, SKEP_VERIFY_ALL_PRECISE};
	bool beside = have_kernel();

	for (size_t s = 0; s < ARRAY_SIZE(off); s++) {
		struct skep *k = NULL;

		REQUIRE(!skep_open(&k, &(struct skep_options){.size = sizeof(struct skep_options), .verify_off = off[s]}));
		for (size_t i = 0; i < ARRAY_SIZE(shared); i++) {
			int err = load_case(k, shared[i].text, 1, log_ours);

			if (!err != shared[i].accept || (err && err != -EACCES))
				test_fail(__FILE__, __LINE__, "%s: %d, switches %x\n%s", shared[i].name, err, off[s], log_ours);
			if (!s && beside && load_case(NULL, shared[i].text, 1, log_theirs) != err)
				test_fail(__FILE__, __LINE__, "%s: another verdict in Linux\n%s", shared[i].name, log_theirs);
		}
		skep_close(k);
	}
}

int main(int argc, char **argv)
{
	shows = argc > 1 && !strcmp(argv[1], "--show");
	RUN(lines_of_the_log);
	RUN(what_is_refused_before_the_walk_has_counts_too);
	RUN(callers_are_known_on_each_path);
	return test_end();
}
