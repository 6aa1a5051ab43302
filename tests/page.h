/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages in docs/ that are made from tables: the program that makes one writes it with --write, and as a test says when the committed
 * file is another.
 */
#ifndef SKEP_TEST_PAGE_H
#define SKEP_TEST_PAGE_H

#include "base/base.h"
#include "test.h"

struct page {
	const char *name; /* in docs/ */
	const char *writer; /* in build/tests */
	void (*write)(struct text *t);
};

static void page_path(const struct page *p, char path[512])
{
	snprintf(path, 512, "%s/docs/%s", SOURCE, p->name);
}

static void page_check(const struct page *p)
{
	static char committed[1 << 18];
	char path[512];
	struct text t;
	size_t n;
	FILE *f;

	page_path(p, path);
	f = fopen(path, "r");
	REQUIRE(f);
	n = fread(committed, 1, sizeof(committed) - 1, f);
	committed[n] = 0;
	fclose(f);
	text_open(&t, &mem_libc);
	p->write(&t);
	if (strcmp(committed, text_str(&t)))
		test_fail(__FILE__, __LINE__, "docs/%s is not what the tables say: run build/tests/%s --write", p->name, p->writer);
	text_close(&t);
}

/* Was it asked to write? Then *status is what main() returns. */
static bool page_asked(const struct page *p, int argc, char **argv, int *status)
{
	char path[512];
	struct text t;
	FILE *f;

	if (argc != 2 || strcmp(argv[1], "--write"))
		return false;
	*status = 1;
	page_path(p, path);
	f = fopen(path, "w");
	if (!f)
		return perror(path), true;
	text_open(&t, &mem_libc);
	p->write(&t);
	*status = fputs(text_str(&t), f) < 0;
	*status |= fclose(f) != 0;
	text_close(&t);
	return true;
}

#endif
