/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * skep help: what a verb does, from its table of options; and the source of its man page.
 */
#include "cli/cli.h"

struct help_args {
	const char *man;
};

static const struct opt help_opts[] = {
	TEXT(struct help_args, man, 0, "man", "TEMPLATE",
	     "print the man page of VERB (without VERB: of skep) that TEMPLATE describes, its options filled in"),
	OPTS_END,
};

static int print_manual(struct cli *c, const char *template, const struct verb_row *row)
{
	FILE *page = fopen(template, "r");
	int err;

	if (!page)
		return cli_error(c, "%s: %s", template, strerror(errno));
	err = verb_manual(stdout, row, page);
	fclose(page);
	if (err == -EINVAL)
		return cli_error(c, "%s: a line begins with '@' and is none of @SYNOPSIS@, @ABOUT@, @OPTIONS@, @EXAMPLES@, @VERBS@", template);
	return err ? cli_error(c, "%s: %s", template, strerror(-err)) : STATUS_DONE;
}

static int run_help(struct cli *c)
{
	const struct help_args *args = c->args;
	const struct verb_row *row = c->n_operands ? verb_find(c->operands[0]) : NULL;

	if (c->n_operands && !row)
		return cli_usage(c, "there is no verb '%s'", c->operands[0]);
	if (args->man)
		return print_manual(c, args->man, row);
	if (row)
		print_verb_help(stdout, row);
	else
		print_overview(stdout);
	return STATUS_DONE;
}

static const struct example help_examples[] = {
	{"skep help run", "What `skep run` does and its options."},
	{NULL, NULL},
};

const struct verb verb_help = {
	.run = run_help,
	.opts = help_opts,
	.args_size = sizeof(struct help_args),
	.operands = "[VERB]",
	.max_operands = 1,
	.about = "Prints what VERB does, its options and examples. Without VERB, lists all verbs.",
	.examples = help_examples,
};
