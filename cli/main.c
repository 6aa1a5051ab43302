/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * skep: the command. Finds the verb in the table and hands it parsed options; everything else is the verb's.
 */
#include "cli/cli.h"
#include "skep/skep.h"

#include <stdlib.h>
#include <unistd.h>

#define VERB(name, summary) extern const struct verb verb_##name;
#include "cli/verbs.def"

const struct verb_row verb_rows[] = {
#define VERB(name, summary) {#name, summary, &verb_##name},
#include "cli/verbs.def"
	{NULL, NULL, NULL},
};

const struct verb_row *verb_find(const char *name)
{
	for (const struct verb_row *r = verb_rows; r->name; r++)
		if (!strcmp(r->name, name))
			return r;
	return NULL;
}

void print_overview(FILE *out)
{
	struct table t;

	fprintf(out, "usage: skep VERB [OPTION...] [OPERAND...]\n\n"
		     "eBPF without the kernel: loads, checks and runs eBPF programs as an ordinary user.\n\n");
	table_open(&t, "ll");
	t.indent = 2;
	for (const struct verb_row *r = verb_rows; r->name; r++) {
		table_cell(&t, "%s", r->name);
		table_cell(&t, "%s", r->summary);
	}
	table_close(&t, out);
	fprintf(out, "\n`skep help VERB` explains a verb, `skep --version` tells the version.\n");
}

static int unknown_verb(const char *typed)
{
	const char *words[ARRAY_SIZE(verb_rows)], *near;
	unsigned n = 0;

	for (const struct verb_row *r = verb_rows; r->name; r++)
		words[n++] = r->name;
	words[n] = NULL;
	near = nearest_word(typed, words);
	if (*typed == '-')
		fprintf(stderr, "skep: unknown option '%s'; options follow the verb: skep VERB [OPTION...]\n", typed);
	else if (near)
		fprintf(stderr, "skep: unknown verb '%s'; did you mean '%s'?\n", typed, near);
	else
		fprintf(stderr, "skep: unknown verb '%s'\n", typed);
	fprintf(stderr, "`skep help` lists the verbs.\n");
	return STATUS_USAGE;
}

static int run_verb(const struct verb_row *row, int argc, char **argv)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	struct cli c = {.verb = row->verb, .name = row->name};
	int status;

	c.color = isatty(STDOUT_FILENO) && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
	c.terminal = isatty(STDERR_FILENO);
	c.operands = cli_alloc(((size_t)argc + 1) * sizeof(*c.operands));
	c.args = cli_alloc(row->verb->args_size);
	status = opts_parse(&c, argc, argv);
	if (status < 0)
		status = row->verb->run(&c);
	free(c.args);
	free(c.operands);
	return status;
}

/* A full disk shows up when buffers are written; success may not be claimed before. */
static int finish(int status)
{
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "skep: cannot write to standard output: %s\n", strerror(errno));
		return STATUS_FAILED;
	}
	return status;
}

int main(int argc, char **argv)
{
	const struct verb_row *row;

	if (argc < 2) {
		print_overview(stderr);
		return STATUS_USAGE;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("skep %s\n", skep_version());
		return finish(STATUS_DONE);
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_overview(stdout);
		return finish(STATUS_DONE);
	}
	row = verb_find(argv[1]);
	return finish(row ? run_verb(row, argc - 2, argv + 2) : unknown_verb(argv[1]));
}
