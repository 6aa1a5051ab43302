/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON (RFC 8259), written as it is made: the writer keeps only what closes each open bracket. The same calls write a line for people:
 * {name value, name "text", name [1, 2]}.
 */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>

void json_open(struct json *j, FILE *out)
{
	*j = (struct json){.out = out, .first = true};
}

void json_open_line(struct json *j, FILE *out)
{
	*j = (struct json){.out = out, .first = true, .line = true};
}

unsigned utf8_length(const u8 *s)
{
	unsigned n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	for (unsigned i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* C1 controls act on terminals, too. */
static bool is_control(const u8 *s)
{
	return *s < 0x20 || *s == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0);
}

/* Names from objects may hold anything. A byte that is not UTF-8 becomes U+FFFD in JSON, \xNN in a line, where controls do, too. */
static void write_characters(const struct json *j, const char *text)
{
	const u8 *s = (const u8 *)text;

	while (*s) {
		unsigned n = utf8_length(s);

		if (*s == '"' || *s == '\\')
			fprintf(j->out, "\\%c", *s);
		else if (*s == '\n')
			fputs("\\n", j->out);
		else if (n && is_control(s))
			fprintf(j->out, j->line ? "\\x%02x" : "\\u%04x", s[n - 1]);
		else if (n)
			fwrite(s, 1, n, j->out);
		else if (j->line)
			fprintf(j->out, "\\x%02x", *s);
		else
			fputs("\\ufffd", j->out);
		s += n ? n : 1;
	}
}

static void write_string(const struct json *j, const char *text)
{
	fputc('"', j->out);
	write_characters(j, text);
	fputc('"', j->out);
}

static void begin(struct json *j, const char *key)
{
	if (!j->first)
		fputs(j->line ? ", " : ",", j->out);
	if (j->depth && !j->line)
		fprintf(j->out, "\n%*s", (int)(2 * j->depth), "");
	j->first = false;
	if (!key)
		return;
	(j->line ? write_characters : write_string)(j, key);
	fputs(j->line ? " " : ": ", j->out);
}

static void nest(struct json *j, const char *key, char open, char close)
{
	begin(j, key);
	fputc(open, j->out);
	if (j->depth + 1 < sizeof(j->closing))
		j->closing[j->depth++] = close;
	else
		abort(); /* nesting is bounded by the verb's code, never by input */
	j->first = true;
}

void json_object(struct json *j, const char *key)
{
	nest(j, key, '{', '}');
}

void json_array(struct json *j, const char *key)
{
	nest(j, key, '[', ']');
}

void json_end(struct json *j)
{
	j->depth--;
	if (!j->first && !j->line)
		fprintf(j->out, "\n%*s", (int)(2 * j->depth), "");
	fputc(j->closing[j->depth], j->out);
	j->first = false;
	if (!j->depth && !j->line)
		fputc('\n', j->out);
}

void json_text(struct json *j, const char *key, const char *s)
{
	begin(j, key);
	if (s)
		write_string(j, s);
	else
		fputs("null", j->out);
}

void json_word(struct json *j, const char *key, const char *s)
{
	begin(j, key);
	(j->line ? write_characters : write_string)(j, s);
}

void json_textf(struct json *j, const char *key, const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	json_text(j, key, s);
	free(s);
}

void json_unsigned(struct json *j, const char *key, u64 n)
{
	begin(j, key);
	fprintf(j->out, "%llu", (unsigned long long)n);
}

void json_signed(struct json *j, const char *key, s64 n)
{
	begin(j, key);
	fprintf(j->out, "%lld", (long long)n);
}

void json_real(struct json *j, const char *key, double x, int digits)
{
	begin(j, key);
	if (isfinite(x) || j->line)
		fprintf(j->out, "%.*g", digits, x);
	else
		fputs("null", j->out);
}

void json_bool(struct json *j, const char *key, bool b)
{
	begin(j, key);
	fputs(b ? "true" : "false", j->out);
}

void json_hex(struct json *j, const char *key, const void *bytes, size_t n)
{
	const char *quote = j->line ? "" : "\"", *between = j->line ? " " : "";

	begin(j, key);
	fputs(quote, j->out);
	for (size_t i = 0; i < n; i++)
		fprintf(j->out, "%s%02x", i ? between : "", ((const u8 *)bytes)[i]);
	fputs(quote, j->out);
}
