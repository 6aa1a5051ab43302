/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules of log_level, log_buf, log_size and log_true_size of PROG_LOAD, over generated programs: what a
 * buffer of each size holds follows from the whole log, and so it is with the running kernel. The two logs of
 * a program that name no map differ in the last line, which counts states.
 */
#include "generate.h"
#include "base/base.h"
#include "skep/skep.h"

#include "../kernel.h"
#include "../test.h"

#include <stdlib.h>

enum { PROGRAMS = 50, WHOLE = 1 << 20, GUARD = 16, GUARD_BYTE = 0xa5 };

/* A size, beside that of the whole log. */
enum from { FROM_ZERO, FROM_TRUE };

static const struct row {
	enum from from;
	long size;
	bool no_buffer;
} rows[] = {
    {FROM_ZERO, 0, true},
    {FROM_ZERO, 0, false},
    {FROM_ZERO, 128, true},
    {FROM_ZERO, 1, false},
    {FROM_ZERO, 2, false},
    {FROM_ZERO, 64, false},
    {FROM_ZERO, 128, false},
    {FROM_ZERO, 1024, false},
    {FROM_TRUE, -64, false},
    {FROM_TRUE, -2, false},
    {FROM_TRUE, -1, false},
    {FROM_TRUE, 0, false},
    {FROM_TRUE, 1, false},
    {FROM_TRUE, 4096, false},
    {FROM_ZERO, UINT32_MAX >> 2, false},
    {FROM_ZERO, (UINT32_MAX >> 2) + 1L, false},
    {FROM_ZERO, UINT32_MAX, false},
};

enum { FIXED = 8 };

static const u32 levels[] = {0,		1,	   2,	  3,  4,  5,  1 | FIXED,
			     2 | FIXED, 4 | FIXED, FIXED, 16, 17, 32, 0x80000001};

struct side {
	const char *name;
	struct skep *k; /* NULL: the running kernel */
	int map[GENERATED_MAPS];
	char *whole, *buf;
};

struct answer {
	int rc; /* 0 or -errno */
	u32 true_size;
};

static int side_bpf(struct side *s, int cmd, union bpf_attr *a)
{
	return s->k ? skep_bpf(s->k, cmd, a, sizeof(*a)) : kernel_bpf(cmd, a, sizeof(*a));
}

static bool side_open(struct side *s, const char *name, struct skep *k)
{
	static const u32 maps[GENERATED_MAPS][4] = {
	    [MAP_IN_ARRAY] = {BPF_MAP_TYPE_ARRAY, 4, VALUE_BYTES, 4},
	    [MAP_IN_HASH] = {BPF_MAP_TYPE_HASH, 8, VALUE_BYTES, 16},
	    [MAP_IN_RING] = {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096},
	};

	*s = (struct side){.name = name, .k = k, .whole = malloc(WHOLE), .buf = malloc(WHOLE)};
	for (u32 i = 0; i < GENERATED_MAPS; i++) {
		union bpf_attr a;

		memset(&a, 0, sizeof(a));
		a.map_type = maps[i][0];
		a.key_size = maps[i][1];
		a.value_size = maps[i][2];
		a.max_entries = maps[i][3];
		s->map[i] = side_bpf(s, BPF_MAP_CREATE, &a);
		if (s->map[i] < 0)
			return false;
	}
	return s->whole && s->buf;
}

static void side_close(struct side *s)
{
	for (u32 i = 0; i < GENERATED_MAPS; i++)
		if (s->map[i] >= 0)
			close(s->map[i]);
	free(s->whole);
	free(s->buf);
}

static struct answer load(struct side *s, const struct generated *g, u32 level, char *buf, u32 size)
{
	struct bpf_insn insns[GENERATED_MAX];
	struct {
		union bpf_attr a;
		u64 more[8]; /* log_true_size is newer than some systems' headers */
	} in;
	static const u32 true_size_at = 140;
	struct answer r;
	long fd;

	memset(&in, 0, sizeof(in));
	generated_attr(g, s->map, insns, &in.a);
	in.a.log_level = level;
	in.a.log_buf = (u64)(uintptr_t)buf;
	in.a.log_size = size;
	fd = s->k ? skep_bpf(s->k, BPF_PROG_LOAD, &in.a, true_size_at + 4)
		  : kernel_bpf(BPF_PROG_LOAD, &in.a, true_size_at + 4);
	r.rc = fd < 0 ? (int)fd : 0;
	memcpy(&r.true_size, (char *)&in + true_size_at, sizeof(r.true_size));
	if (fd >= 0)
		close((int)fd);
	return r;
}

/* Where are figures that no two loads have alike: the line of the time, at level 4? */
static bool tells_time(u32 level)
{
	return level & 4;
}

/* What a buffer holds follows from the whole log: its beginning, or its end. A log from which lines were
 * taken away again may have lost more. */
static void check_buffer(const struct side *s, u32 level, struct answer whole, struct answer got, u32 size)
{
	size_t len = strlen(s->whole), have = strnlen(s->buf, size);

	if (have == size) {
		test_fail(__FILE__, __LINE__, "%s, level %u, size %u: no NUL", s->name, level, size);
		return;
	}
	if (level & FIXED) {
		CHECK_EQ(have, MIN(len, (size_t)size - 1));
		CHECK(!memcmp(s->buf, s->whole, have));
	} else {
		CHECK(have <= len && !memcmp(s->buf, s->whole + len - have, have));
		if (whole.true_size == len + 1)
			CHECK_EQ(have, MIN(len, (size_t)size - 1));
	}
	CHECK_EQ(got.rc, got.true_size > size ? -ENOSPC : whole.rc);
}

static bool is_valid(u32 level, const struct row *row, u64 size)
{
	return !(row->no_buffer ? size : !size) && (row->no_buffer || level) && !(level & ~15u) &&
	       size <= UINT32_MAX >> 2;
}

static struct answer check_row(struct side *s, const struct generated *g, u32 level, const struct row *row,
			       struct answer whole)
{
	long size = row->from == FROM_TRUE ? (long)whole.true_size + row->size : row->size;
	struct answer got;

	size = MAX(size, 1 - (row->from == FROM_ZERO));
	memset(s->buf, GUARD_BYTE, MIN((size_t)size + GUARD, (size_t)WHOLE));
	got = load(s, g, level, row->no_buffer ? NULL : s->buf, (u32)size);
	if (!is_valid(level, row, (u64)size)) {
		CHECK_EQ(got.rc, -EINVAL);
		CHECK_EQ(got.true_size, 0);
		return got;
	}
	if (!tells_time(level))
		CHECK_EQ(got.true_size, level ? whole.true_size : 0);
	if (row->no_buffer)
		CHECK_EQ(got.rc, whole.rc);
	else if (!tells_time(level))
		check_buffer(s, level, whole, got, (u32)size);
	for (u32 i = 0; i < GUARD && size < WHOLE - GUARD; i++)
		CHECK_EQ((unsigned char)s->buf[size + i], GUARD_BYTE);
	return got;
}

/* The length of a log without its last line. */
static size_t before_figures(const struct side *s)
{
	const char *at = strstr(s->whole, "processed ");

	return at ? (size_t)(at - s->whole) : strlen(s->whole);
}

/* One program at one level, on one side or both. Counts programs whose whole log the two have alike. */
static u32 check_level(struct side *sides, u32 n, const struct generated *g, u32 level)
{
	struct answer whole[2], got[2];
	bool alike;

	for (u32 i = 0; i < n; i++) {
		sides[i].whole[0] = 0;
		whole[i] = load(&sides[i], g, level & 15, level & 15 ? sides[i].whole : NULL,
				level & 15 ? WHOLE : 0);
		CHECK(whole[i].rc != -ENOSPC);
		CHECK(!(level & 15) || whole[i].true_size > strlen(sides[i].whole));
	}
	alike = n == 2 && level & 15 && before_figures(&sides[0]) == before_figures(&sides[1]) &&
		!memcmp(sides[0].whole, sides[1].whole, before_figures(&sides[0]));
	/* Lines that were taken away again count, on both sides. */
	if (alike)
		CHECK_EQ(whole[0].true_size > strlen(sides[0].whole) + 1,
			 whole[1].true_size > strlen(sides[1].whole) + 1);
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		for (u32 i = 0; i < n; i++)
			got[i] = check_row(&sides[i], g, level, &rows[r], whole[i]);
		/* Sizes that depend on the log are each side's own; one of the others may lie between the
		 * lengths of two logs. */
		if (n == 2 && rows[r].from == FROM_TRUE && !tells_time(level))
			CHECK_EQ(got[0].rc, got[1].rc);
	}
	return alike;
}

TEST(buffers_hold_what_the_rules_say)
{
	struct skep_options opts = {.size = sizeof(opts)};
	struct side sides[2] = {0};
	static struct generated g;
	struct skep *k = NULL;
	u32 n = 1, alike = 0;

	REQUIRE(!skep_open(&k, &opts));
	REQUIRE(side_open(&sides[0], "skep", k));
	if (side_open(&sides[1], "linux", NULL))
		n = 2;
	for (u64 seed = 1; seed <= PROGRAMS; seed++) {
		generate_either(&g, seed);
		for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
			alike += check_level(sides, n, &g, levels[i]);
	}
	printf("# %u sides, %u whole logs alike\n", n, alike);
	CHECK(n < 2 || alike >= PROGRAMS);
	for (u32 i = 0; i < n; i++)
		side_close(&sides[i]);
	skep_close(k);
}

int main(void)
{
	RUN(buffers_hold_what_the_rules_say);
	return test_end();
}
