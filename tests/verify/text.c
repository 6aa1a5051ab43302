/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers in the words of the kernel's log: what Linux 6.18 prints. */
#include "random.h"

static struct scalar signed_between(s64 lo, s64 hi)
{
	struct scalar s;

	scalar_set_unknown(&s);
	s.smin = lo;
	s.smax = hi;
	scalar_sync(&s);
	return s;
}

static struct scalar low_word(u32 umin32, s32 smin32)
{
	struct scalar s;

	scalar_set_unknown(&s);
	s.umin32 = umin32;
	s.smin32 = smin32;
	scalar_sync(&s);
	return s;
}

TEST(as_the_kernel_prints_them)
{
	const struct {
		struct scalar value;
		const char *text;
	} cases[] = {
		{range(0, UINT64_MAX), "()"},
		{constant(0), "0"},
		{constant(UINT64_MAX), "-1"},
		{constant(0xffffffff), "0xffffffff"},
		{constant(32767), "32767"},
		{constant(32768), "0x8000"},
		{constant((u64)-32768), "-32768"},
		{constant((u64)-32769), "0xffffffffffff7fff"},
		{range(0, 255), "(smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))"},
		{range(101, 255), "(smin=umin=smin32=umin32=101,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))"},
		{range(0, 0x7fffffff), "(smin=smin32=0,smax=umax=umax32=0x7fffffff,var_off=(0x0; 0x7fffffff))"},
		{range(0, 0xffffffff), "(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))"},
		{range(0, 65536), "(smin=smin32=0,smax=umax=smax32=umax32=0x10000,var_off=(0x0; 0x1ffff))"},
		{signed_between(-100, 0), "(smin=smin32=-100,smax=smax32=0)"},
		{signed_between(-128, 127), "(smin=smin32=-128,smax=smax32=127)"},
		{signed_between(INT64_MIN + 1, INT64_MAX - 1), "(smin=0x8000000000000001,smax=0x7ffffffffffffffe)"},
		{low_word(1, (s32)0xbb826b61), "(smin=0x8000000000000001,umin=umin32=1,smin32=0xbb826b61)"},
	};
	struct text t;

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		text_open(&t, &mem_libc);
		scalar_text(&t, &cases[i].value);
		CHECK_STR(text_str(&t), cases[i].text);
		text_close(&t);
	}
}

TEST(parts_between_others)
{
	struct scalar s = range(0, 255), unknown = range(0, UINT64_MAX);
	struct text t;
	const char *sep;

	text_open(&t, &mem_libc);
	text_add(&t, "scalar(id=1");
	sep = scalar_ranges_text(&t, &s, ",");
	CHECK_STR(sep, ",");
	text_add(&t, ")");
	CHECK_STR(text_str(&t), "scalar(id=1,smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))");
	text_clear(&t);
	sep = scalar_ranges_text(&t, &unknown, "");
	CHECK_STR(sep, "");
	CHECK_STR(text_str(&t), "");
	text_close(&t);
}

int main(void)
{
	RUN(as_the_kernel_prints_them);
	RUN(parts_between_others);
	return test_end();
}
