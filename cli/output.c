/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the command prints apart from its results: errors, tables, colours, progress.
 */
#include "cli/cli.h"

#include <stdlib.h>
#include <time.h>

static void complain(const struct cli *c, const char *what, const char *fmt, va_list ap)
{
	fflush(stdout); /* results and errors in the order in which they came about */
	fprintf(stderr, "skep%s%s: %s", c ? " " : "", c ? c->name : "", what);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int cli_error(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(c, "", fmt, ap);
	va_end(ap);
	return STATUS_FAILED;
}

int cli_warning(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(c, "warning: ", fmt, ap);
	va_end(ap);
	return STATUS_DONE;
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(c, "", fmt, ap);
	va_end(ap);
	fprintf(stderr, "`skep help %s` tells how to use it.\n", c->name);
	return c->verb && c->verb->usage_status ? c->verb->usage_status : STATUS_USAGE;
}

static _Noreturn void out_of_memory(void)
{
	fputs("skep: out of memory\n", stderr);
	exit(STATUS_FAILED);
}

void *cli_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *cli_resize(void *p, size_t size)
{
	p = realloc(p, size ? size : 1);
	if (!p)
		out_of_memory();
	return p;
}

const char *paint(const struct cli *c, enum paint p)
{
	static const char *const codes[] = {
		[PAINT_NONE] = "\033[0m",    [PAINT_BOLD] = "\033[1m",   [PAINT_DIM] = "\033[2m",
		[PAINT_RED] = "\033[31m",    [PAINT_GREEN] = "\033[32m", [PAINT_YELLOW] = "\033[33m",
		[PAINT_BLUE] = "\033[34m",
	};

	return c->color ? codes[p] : "";
}

const char *plural(u64 n)
{
	return n == 1 ? "" : "s";
}

/* ---- tables ---- */

void table_open(struct table *t, const char *align)
{
	*t = (struct table){.align = align};
}

void table_cell(struct table *t, const char *fmt, ...)
{
	va_list ap;

	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->cells = cli_resize(t->cells, t->cap * sizeof(*t->cells));
	}
	va_start(ap, fmt);
	if (vasprintf(&t->cells[t->n], fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	t->n++;
}

/* Columns on a terminal that UTF-8 text takes; continuation bytes take none. */
static unsigned width_of(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static void table_row(const struct table *t, unsigned from, unsigned columns, const unsigned *widest, FILE *out)
{
	fprintf(out, "%*s", (int)t->indent, "");
	while (columns > 1 && from + columns <= t->n && !*t->cells[from + columns - 1])
		columns--; /* no spaces at a line's end */
	for (unsigned c = 0; c < columns && from + c < t->n; c++) {
		const char *cell = t->cells[from + c];
		unsigned pad = widest[c] - width_of(cell);
		bool last = c + 1 == columns || from + c + 1 == t->n;

		if (t->align[c] == 'r')
			fprintf(out, "%*s%s", (int)pad, "", cell);
		else
			fprintf(out, "%s%*s", cell, last ? 0 : (int)pad, "");
		fputs(last ? "\n" : "  ", out);
	}
}

void table_close(struct table *t, FILE *out)
{
	unsigned columns = (unsigned)strlen(t->align), *widest = cli_alloc(columns * sizeof(*widest));

	for (unsigned i = 0; i < t->n; i++) {
		unsigned w = width_of(t->cells[i]);

		widest[i % columns] = MAX(widest[i % columns], w);
	}
	for (unsigned i = 0; out && i < t->n; i += columns)
		table_row(t, i, columns, widest, out);
	for (unsigned i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	free(widest);
	*t = (struct table){0};
}

/* ---- progress ---- */

static u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

void progress_show(struct progress *p, u64 done)
{
	enum { EVERY_NS = 100000000 };
	u64 now;

	if (!p->c->terminal)
		return;
	now = now_ns();
	if (!p->shown_ns)
		p->shown_ns = now; /* nothing is drawn for what takes no time */
	if (now - p->shown_ns < EVERY_NS)
		return;
	p->shown_ns = now;
	p->drawn = true;
	if (p->total)
		fprintf(stderr, "\r%llu of %llu %s (%.0f%%)\033[K", (unsigned long long)done, (unsigned long long)p->total,
			p->what, 100.0 * (double)done / (double)p->total);
	else
		fprintf(stderr, "\r%llu %s\033[K", (unsigned long long)done, p->what);
	fflush(stderr);
}

void progress_end(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}
