/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options: one table per verb gives the parser, the help text and the man page's OPTIONS.
 */
#include "cli/cli.h"
#include "skep/skep.h"

#include <stdlib.h>

static const struct opt help_opt = {.kind = OPT_FLAG, .name = "help", .letter = 'h', .help = "print this help"};

/* The i-th option, --help being the last; NULL at the end. */
static const struct opt *opt_at(const struct verb *v, unsigned i)
{
	unsigned n = 0;

	while (v->opts && v->opts[n].kind != OPT_END)
		n++;
	return i < n ? &v->opts[i] : i == n ? &help_opt : NULL;
}

/* ---- words that were probably meant ---- */

static unsigned distance(const char *a, const char *b)
{
	unsigned row[64], la = (unsigned)strlen(a), lb = (unsigned)strlen(b);

	if (la >= ARRAY_SIZE(row) || lb >= ARRAY_SIZE(row))
		return UINT32_MAX;
	for (unsigned j = 0; j <= lb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= la; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= lb; j++) {
			unsigned change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = MIN(MIN(row[j], row[j - 1]) + 1, change);
		}
	}
	return row[lb];
}

const char *nearest_word(const char *typed, const char *const *words)
{
	unsigned best = (unsigned)strlen(typed) / 3 + 2;
	const char *found = NULL;

	for (; *words; words++) {
		unsigned d = distance(typed, *words);

		if (d < best && d < strlen(*words)) {
			best = d;
			found = *words;
		}
	}
	return found;
}

/* ---- parsing ---- */

static int choose(const struct opt *o, const char *value, unsigned *out)
{
	unsigned index = 0;
	size_t len = strlen(value);

	for (const char *w = o->value; *w; index++) {
		size_t n = strcspn(w, "|");

		if (n == len && !memcmp(w, value, n)) {
			*out = index;
			return 0;
		}
		w += n + (w[n] == '|');
	}
	return -EINVAL;
}

static int store_number(const struct cli *c, const struct opt *o, const char *value, u64 *out)
{
	char *end;
	u64 n;

	errno = 0;
	n = strtoull(value, &end, 0);
	if (!*value || *end || strchr(value, '-'))
		return cli_usage(c, "--%s wants a number, not '%s'", o->name, value);
	if (errno || n < o->min || n > o->max)
		return cli_usage(c, "--%s %s is out of range: %llu to %llu", o->name, value, (unsigned long long)o->min,
				 (unsigned long long)o->max);
	*out = n;
	return -1;
}

static int store(struct cli *c, const struct opt *o, const char *value)
{
	void *field = (u8 *)c->args + o->offset;

	switch (o->kind) {
	case OPT_FLAG: *(bool *)field = true; break;
	case OPT_TEXT: *(const char **)field = value; break;
	case OPT_NUMBER: return store_number(c, o, value, field);
	case OPT_CHOICE:
		if (choose(o, value, field))
			return cli_usage(c, "--%s wants one of %s, not '%s'", o->name, o->value, value);
		break;
	case OPT_END: break;
	}
	return -1;
}

static int unknown_option(const struct cli *c, const char *typed, size_t len)
{
	const char *words[64], *near;
	char name[64];
	unsigned n = 0;

	for (const struct opt *o; n + 1 < ARRAY_SIZE(words) && (o = opt_at(c->verb, n)); n++)
		words[n] = o->name;
	words[n] = NULL;
	snprintf(name, sizeof(name), "%.*s", (int)MIN(len, sizeof(name) - 1), typed);
	near = nearest_word(name, words);
	if (near)
		return cli_usage(c, "unknown option '--%s'; did you mean '--%s'?", name, near);
	return cli_usage(c, "unknown option '--%s'", name);
}

/* --name, --name=VALUE, --name VALUE. *i is the argument's index and moves on with what was used. */
static int parse_long(struct cli *c, int argc, char **argv, int *i)
{
	const char *name = argv[*i] + 2, *value = NULL;
	size_t len = strcspn(name, "=");
	const struct opt *o;

	for (unsigned n = 0; (o = opt_at(c->verb, n)); n++)
		if (strlen(o->name) == len && !memcmp(o->name, name, len))
			break;
	if (!o)
		return unknown_option(c, name, len);
	if (name[len])
		value = name + len + 1;
	if (o->kind == OPT_FLAG && value)
		return cli_usage(c, "--%s takes no value", o->name);
	if (o == &help_opt) {
		print_verb_help(stdout, verb_find(c->name));
		return STATUS_DONE;
	}
	if (o->kind != OPT_FLAG && !value) {
		if (*i + 1 >= argc)
			return cli_usage(c, "--%s wants a value: %s", o->name, o->value);
		value = argv[++*i];
	}
	return store(c, o, value);
}

/* -a, -ab, -xVALUE, -x VALUE */
static int parse_letters(struct cli *c, int argc, char **argv, int *i)
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		const struct opt *o;
		int status;

		for (unsigned n = 0; (o = opt_at(c->verb, n)); n++)
			if (o->letter == *p)
				break;
		if (!o)
			return cli_usage(c, "unknown option '-%c'", *p);
		if (o == &help_opt) {
			print_verb_help(stdout, verb_find(c->name));
			return STATUS_DONE;
		}
		if (o->kind != OPT_FLAG) {
			if (!p[1] && *i + 1 >= argc)
				return cli_usage(c, "-%c wants a value: %s", *p, o->value);
			return store(c, o, p[1] ? p + 1 : argv[++*i]);
		}
		status = store(c, o, NULL);
		if (status >= 0)
			return status;
	}
	return -1;
}

int opts_parse(struct cli *c, int argc, char **argv)
{
	const struct verb *v = c->verb;
	bool options = true;
	int status = -1;

	if (v->defaults)
		memcpy(c->args, v->defaults, v->args_size);
	for (int i = 0; i < argc && status < 0; i++) {
		if (options && !strcmp(argv[i], "--"))
			options = false;
		else if (options && !strncmp(argv[i], "--", 2))
			status = parse_long(c, argc, argv, &i);
		else if (options && argv[i][0] == '-' && argv[i][1])
			status = parse_letters(c, argc, argv, &i);
		else {
			c->operands[c->n_operands++] = argv[i];
			options = options && !v->stops_at_operand;
		}
	}
	if (status >= 0)
		return status;
	if (c->n_operands < v->min_operands)
		return cli_usage(c, "operand missing: %s", v->operands);
	if (c->n_operands > v->max_operands)
		return cli_usage(c, "what is '%s'? %s", c->operands[v->max_operands],
				 v->max_operands ? "too many operands" : "no operands are expected");
	return -1;
}

/* ---- help ---- */

enum { HELP_WIDTH = 100 };

/* Words of s, broken before `width`; lines after the first begin with `indent` spaces. */
static void print_wrapped(FILE *out, const char *s, unsigned column, unsigned indent)
{
	while (*s) {
		unsigned n = (unsigned)strcspn(s, " ");

		if (column + n > HELP_WIDTH && column > indent) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		}
		fprintf(out, "%.*s", (int)n, s);
		column += n;
		s += n;
		if (*s) {
			s++;
			if (column + 1 + strcspn(s, " ") <= HELP_WIDTH) {
				fputc(' ', out);
				column++;
			} else {
				fprintf(out, "\n%*s", (int)indent, "");
				column = indent;
			}
		}
	}
	fputc('\n', out);
}

static unsigned opt_label(char *to, size_t size, const struct opt *o)
{
	int n = snprintf(to, size, "%c%c%s --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ', o->letter ? "," : " ",
			 o->name, o->value ? " " : "", o->value ? o->value : "");

	return (unsigned)n;
}

void print_verb_help(FILE *out, const struct verb_row *row)
{
	const struct verb *v = row->verb;
	const char *operands = v->operands ? v->operands : "";
	unsigned widest = 0, column;
	char label[80];

	fprintf(out, "usage: skep %s [OPTION...]%s%s\n\n", row->name, *operands ? " " : "", operands);
	print_wrapped(out, v->about, 0, 0);
	for (unsigned i = 0; opt_at(v, i); i++) {
		unsigned n = opt_label(label, sizeof(label), opt_at(v, i));

		widest = MAX(widest, n);
	}
	column = MIN(widest, 30u) + 4;
	fprintf(out, "\noptions:\n");
	for (unsigned i = 0; opt_at(v, i); i++) {
		unsigned n = opt_label(label, sizeof(label), opt_at(v, i)) + 2;

		fprintf(out, "  %s", label);
		if (n + 2 > column)
			fprintf(out, "\n%*s", (int)column, "");
		else
			fprintf(out, "%*s", (int)(column - n), "");
		print_wrapped(out, opt_at(v, i)->help, column, column);
	}
	if (v->examples)
		fprintf(out, "\nexamples:\n");
	for (const struct example *e = v->examples; e && e->command; e++)
		fprintf(out, "  %s\n      %s\n", e->command, e->what);
	fprintf(out, "\nskep-%s(1) says more.\n", row->name);
}

/* ---- man pages ---- */

/* Text as roff wants it: backslashes, dashes that are not hyphens, and no control character at a line's start. */
static void roff_text(FILE *out, const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", out);
	for (; *s; s++)
		switch (*s) {
		case '\\': fputs("\\e", out); break;
		case '-': fputs("\\-", out); break;
		case '\'': fputs("\\(aq", out); break;
		case '`': fputs("\\(ga", out); break;
		case '~': fputs("\\(ti", out); break;
		case '^': fputs("\\(ha", out); break;
		default: fputc(*s, out);
		}
}

/* A value in italics where it is a name to fill in (FILE), in bold where it is a word to type (auto|interp|jit). */
static void roff_value(FILE *out, const struct opt *o)
{
	fputs(o->kind == OPT_CHOICE ? " \\fB" : " \\fI", out);
	roff_text(out, o->value);
	fputs("\\fR", out);
}

static void roff_options(FILE *out, const struct verb *v)
{
	const struct opt *o;

	for (unsigned i = 0; (o = opt_at(v, i)); i++) {
		fputs(".TP\n", out);
		if (o->letter)
			fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
		fputs("\\fB\\-\\-", out);
		roff_text(out, o->name);
		fputs("\\fR", out);
		if (o->value)
			roff_value(out, o);
		fputc('\n', out);
		roff_text(out, o->help);
		fputs(o->help[strlen(o->help) - 1] == '.' ? "\n" : ".\n", out);
	}
}

static void roff_examples(FILE *out, const struct verb *v)
{
	for (const struct example *e = v->examples; e && e->command; e++) {
		fputs(".TP\n\\fB", out);
		roff_text(out, e->command);
		fputs("\\fR\n", out);
		roff_text(out, e->what);
		fputc('\n', out);
	}
}

static void roff_synopsis(FILE *out, const struct verb_row *row)
{
	fprintf(out, ".B skep %s\n.RI [ OPTION .\\|.\\|.]\n", row->name);
	if (row->verb->operands && *row->verb->operands) {
		fputs(".I ", out);
		roff_text(out, row->verb->operands);
		fputc('\n', out);
	}
}

static void roff_about(FILE *out, const struct verb *v)
{
	roff_text(out, v->about);
	fputc('\n', out);
}

static void roff_verbs(FILE *out)
{
	for (const struct verb_row *r = verb_rows; r->name; r++) {
		fprintf(out, ".TP\n.B %s\n", r->name);
		roff_text(out, r->summary);
		fprintf(out, "; see\n.BR skep\\-%s (1)\n", r->name);
	}
}

/* A line of the template with the version filled in. */
static void roff_line(FILE *out, const char *line)
{
	static const char mark[] = "@VERSION@";
	const char *at = strstr(line, mark);

	if (at)
		fprintf(out, "%.*s%s%s", (int)(at - line), line, skep_version(), at + sizeof(mark) - 1);
	else
		fputs(line, out);
}

int verb_manual(FILE *out, const struct verb_row *row, FILE *page)
{
	char line[1024];

	while (fgets(line, sizeof(line), page)) {
		if (line[0] != '@')
			roff_line(out, line);
		else if (!strcmp(line, "@VERBS@\n"))
			roff_verbs(out);
		else if (row && !strcmp(line, "@SYNOPSIS@\n"))
			roff_synopsis(out, row);
		else if (row && !strcmp(line, "@ABOUT@\n"))
			roff_about(out, row->verb);
		else if (row && !strcmp(line, "@OPTIONS@\n"))
			roff_options(out, row->verb);
		else if (row && !strcmp(line, "@EXAMPLES@\n"))
			roff_examples(out, row->verb);
		else
			return -EINVAL;
	}
	return ferror(page) ? -EIO : 0;
}
