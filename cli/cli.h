/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli: the skep command. One file per verb, each ending in one `const struct verb verb_NAME`; verbs.def lists them.
 * A verb declares its options once: parsing, `skep help VERB` and the man page's OPTIONS follow from that table.
 *
 * Exit status: 0 done, 1 it failed (or the program was refused, or faulted), 2 wrong usage.
 *
 * Ownership: struct cli and all that it points to live until the command ends; a verb frees what it allocates.
 */
#ifndef SKEP_CLI_H
#define SKEP_CLI_H

#include "base/base.h"

#include <stdio.h>

enum { STATUS_DONE = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

/* ---- options.c: tables of options ----
 *
 *     struct run_args { bool stats; const char *pcap; u64 repeat; unsigned engine; };
 *     static const struct opt run_opts[] = {
 *             FLAG(struct run_args, stats, 's', "stats", "also print ..."),
 *             TEXT(struct run_args, pcap, 0, "pcap", "FILE", "run on every packet of FILE"),
 *             NUMBER(struct run_args, repeat, 'n', "repeat", "N", 1, UINT32_MAX, "run N times"),
 *             CHOICE(struct run_args, engine, 0, "engine", "auto|interp|jit", "what executes it"),
 *             OPTS_END,
 *     };
 *
 * A field of another type than its option needs does not compile. Options and operands may be mixed; "--" ends options;
 * --name=VALUE, -xVALUE, and -ab for -a -b work. --help and -h are understood everywhere. */
enum opt_kind { OPT_END, OPT_FLAG, OPT_TEXT, OPT_NUMBER, OPT_CHOICE };

struct opt {
	const char *name; /* without dashes */
	const char *value; /* what help calls the value; OPT_CHOICE: the words, separated by '|' */
	const char *help; /* a sentence without capital and full stop; lines are broken when printed */
	size_t offset; /* of the field in the verb's args */
	u64 min, max; /* OPT_NUMBER */
	enum opt_kind kind;
	char letter; /* 0: none */
};

#define OPT_FIELD(args, field, type) _Generic(((args *)NULL)->field, type: offsetof(args, field))
#define FLAG(args, field, c, n, h)   {.kind = OPT_FLAG, .name = n, .letter = c, .help = h, .offset = OPT_FIELD(args, field, bool)}
#define TEXT(args, field, c, n, v, h)                                                                            \
	{.kind = OPT_TEXT, .name = n, .letter = c, .value = v, .help = h, .offset = OPT_FIELD(args, field, const char *)}
#define NUMBER(args, field, c, n, v, lo, hi, h)                                                                  \
	{.kind = OPT_NUMBER, .name = n, .letter = c, .value = v, .min = lo, .max = hi, .help = h,                \
	 .offset = OPT_FIELD(args, field, u64)}
/* stores the index of the chosen word */
#define CHOICE(args, field, c, n, words, h)                                                                      \
	{.kind = OPT_CHOICE, .name = n, .letter = c, .value = words, .help = h, .offset = OPT_FIELD(args, field, unsigned)}
#define OPTS_END {.kind = OPT_END}

struct cli;

struct example {
	const char *command, *what;
};

struct verb {
	int (*run)(struct cli *c); /* returns the exit status */
	const struct opt *opts;
	size_t args_size;
	const void *defaults; /* args before parsing; NULL: all zero */
	const char *operands; /* "OBJ", "[VERB]", "PATH..."; "" or NULL: none */
	unsigned min_operands, max_operands;
	int usage_status; /* of wrong use; 0: STATUS_USAGE */
	bool stops_at_operand; /* options end with the first operand: the rest is a command of somebody else's */
	const char *about; /* a paragraph */
	const struct example *examples; /* ended by {NULL, NULL} */
};

struct cli {
	const struct verb *verb;
	const char *name; /* of the verb */
	void *args; /* the verb's, parsed */
	const char **operands;
	unsigned n_operands;
	bool color; /* stdout is a terminal that wants colours */
	bool terminal; /* stderr is one: progress may be shown */
};

struct verb_row {
	const char *name, *summary;
	const struct verb *verb;
};
extern const struct verb_row verb_rows[]; /* main.c; ended by an empty row */
const struct verb_row *verb_find(const char *name);
/* Which of the words, ended by NULL, was probably meant? NULL when none is near. */
const char *nearest_word(const char *typed, const char *const *words);

/* -1: go on; otherwise the exit status. Fills c->args and c->operands, which the caller allocated (argc of them). */
int opts_parse(struct cli *c, int argc, char **argv);
void print_overview(FILE *out); /* main.c */
void print_verb_help(FILE *out, const struct verb_row *row);
int verb_manual(FILE *out, const struct verb_row *row, FILE *page); /* page with @SYNOPSIS@, @OPTIONS@, @EXAMPLES@ replaced */

/* ---- output.c ---- */
/* "skep run: firewall.o: ..." on stderr; returns STATUS_FAILED. Say what is wrong, where, and what to do next. */
int cli_error(const struct cli *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
int cli_warning(const struct cli *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* the same, then how to get help; returns the verb's status for it */
int cli_usage(const struct cli *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
void *cli_alloc(size_t size); /* zeroed; ends the command when there is no memory */
void *cli_resize(void *p, size_t size);

const char *plural(u64 n); /* "s", but for one */

enum paint { PAINT_NONE, PAINT_BOLD, PAINT_DIM, PAINT_RED, PAINT_GREEN, PAINT_YELLOW, PAINT_BLUE };
const char *paint(const struct cli *c, enum paint p); /* an escape sequence, or "" where colours are off */

/* Cells row by row; printed with columns aligned, two spaces apart. */
struct table {
	const char *align; /* a letter per column: 'l' or 'r' */
	char **cells;
	unsigned n, cap;
	unsigned indent;
};
void table_open(struct table *t, const char *align);
void table_cell(struct table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void table_close(struct table *t, FILE *out); /* prints, unless out is NULL, and frees */

/* One line on stderr, only on a terminal, redrawn ten times a second at most. */
struct progress {
	const struct cli *c;
	const char *what; /* "packets" */
	u64 total; /* 0: unknown */
	u64 shown_ns;
	bool drawn;
};
void progress_show(struct progress *p, u64 done);
void progress_end(struct progress *p);

/* ---- json.c: one value, written as it is made, as JSON or as a line for people; key is NULL inside arrays and at the top ---- */
struct json {
	FILE *out;
	unsigned depth;
	bool first, line;
	char closing[64];
};
void json_open(struct json *j, FILE *out);
void json_open_line(struct json *j, FILE *out);
void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
void json_end(struct json *j); /* of the innermost object or array; the outermost ends the line */
void json_text(struct json *j, const char *key, const char *s); /* NULL gives null */
void json_word(struct json *j, const char *key, const char *s); /* in a line without quotes */
void json_textf(struct json *j, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);
void json_unsigned(struct json *j, const char *key, u64 n);
void json_signed(struct json *j, const char *key, s64 n);
void json_real(struct json *j, const char *key, double x, int digits); /* JSON has null for what is not finite */
void json_bool(struct json *j, const char *key, bool b);
void json_hex(struct json *j, const char *key, const void *bytes, size_t n); /* a string of hexadecimal digits */

/* Bytes of the UTF-8 sequence at s, which ends at a NUL at the latest; 0 when it is none. */
unsigned utf8_length(const u8 *s);

/* ---- input.c ---- */
struct bytes {
	u8 *at;
	size_t n;
};
/* A whole file; "-" is stdin. -errno. The bytes are followed by a NUL that n does not count. */
int read_file(const char *path, struct bytes *out);
/* HEX ("00 11", "0011", "00:11", "0x00,0x11") or @FILE, whose bytes are taken as they are. The caller's error text is
 * written into why. */
int read_bytes(const char *arg, struct bytes *out, char *why, size_t why_size);
/* The same for bytecode: a file may hold digits, too. */
int read_code(const char *arg, struct bytes *out, char *why, size_t why_size);
/* Whether there is nothing but digits and what may set them apart. */
bool is_hex(const struct bytes *b);
int parse_hex(const char *text, size_t len, struct bytes *out, char *why, size_t why_size);
void bytes_free(struct bytes *b);

#endif
