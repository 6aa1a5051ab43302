/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A test is a program that prints TAP. Cases are functions:
 *
 *     TEST(lookup_finds_what_update_stored) { CHECK_EQ(value, 7); }
 *     int main(void) { RUN(lookup_finds_what_update_stored); return test_end(); }
 *
 * A failed CHECK says where and goes on; SKIP("why") ends the case and is counted apart.
 */
#ifndef SKEP_TEST_H
#define SKEP_TEST_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_number, test_failures, test_case_failed;
static const char *test_skip_reason;

#define TEST(name) static void name(void)
#define RUN(name)  test_run(#name, name)
#ifdef __SANITIZE_THREAD__
#define RUN_ONE_THREAD(name) ((void)(name)) /* a case where ThreadSanitizer has nothing to see, and takes long */
#else
#define RUN_ONE_THREAD(name) RUN(name)
#endif

#define CHECK(cond)                                                                                              \
	do {                                                                                                     \
		if (!(cond))                                                                                     \
			test_fail(__FILE__, __LINE__, "%s", #cond);                                              \
	} while (0)

#define CHECK_EQ(a, b)                                                                                           \
	do {                                                                                                     \
		long long a_ = (long long)(a), b_ = (long long)(b);                                              \
		if (a_ != b_)                                                                                    \
			test_fail(__FILE__, __LINE__, "%s is %lld (0x%llx), expected %s: %lld (0x%llx)", #a, a_, \
				  (unsigned long long)a_, #b, b_, (unsigned long long)b_);                       \
	} while (0)

#define CHECK_STR(a, b)                                                                                          \
	do {                                                                                                     \
		const char *a_ = (a), *b_ = (b);                                                                 \
		if (strcmp(a_, b_))                                                                              \
			test_fail(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #a, a_, b_);              \
	} while (0)

/* For what must hold for the case to go on at all. */
#define REQUIRE(cond)                                                                                            \
	do {                                                                                                     \
		if (!(cond)) {                                                                                   \
			test_fail(__FILE__, __LINE__, "%s", #cond);                                              \
			return;                                                                                  \
		}                                                                                                \
	} while (0)

#define SKIP(reason)                                                                                             \
	do {                                                                                                     \
		test_skip_reason = (reason);                                                                     \
		return;                                                                                          \
	} while (0)

__attribute__((format(printf, 3, 4))) static inline void test_fail(const char *file, int line, const char *fmt, ...)
{
	__builtin_va_list ap;

	__builtin_va_start(ap, fmt);
	printf("# %s:%d: ", file, line);
	vprintf(fmt, ap);
	printf("\n");
	__builtin_va_end(ap);
	test_case_failed = 1;
}

static inline void test_run(const char *name, void (*fn)(void))
{
	test_case_failed = 0;
	test_skip_reason = NULL;
	fn();
	test_number++;
	if (test_case_failed) {
		test_failures++;
		printf("not ok %d %s\n", test_number, name);
	} else if (test_skip_reason) {
		printf("ok %d %s # SKIP %s\n", test_number, name, test_skip_reason);
	} else {
		printf("ok %d %s\n", test_number, name);
	}
	fflush(stdout);
}

static inline int test_end(void)
{
	printf("1..%d\n", test_number);
	return test_failures ? 1 : 0;
}

#endif
