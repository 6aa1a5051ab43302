/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files and bytes that a user names on the command line.
 */
#include "cli/cli.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, struct bytes *out)
{
	enum { MOST = 1 << 28 }; /* /dev/zero has no end */
	size_t cap = 65536;
	struct stat st;

	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0)
		cap = (size_t)st.st_size + 2;
	out->at = cli_alloc(cap);
	for (;;) {
		ssize_t n;

		if (out->n >= MOST)
			return -EFBIG;
		if (out->n + 1 >= cap) {
			cap *= 2;
			out->at = cli_resize(out->at, cap);
		}
		n = read(fd, out->at + out->n, cap - out->n - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		out->n += (size_t)n;
	}
	out->at[out->n] = 0;
	return 0;
}

int read_file(const char *path, struct bytes *out)
{
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO, err;

	*out = (struct bytes){0};
	if (fd < 0)
		return -errno;
	err = read_all(fd, out);
	if (fd != STDIN_FILENO)
		close(fd);
	if (err)
		bytes_free(out);
	return err;
}

static int hex_digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

static void not_a_digit(char c, size_t at, char *why, size_t why_size)
{
	if (isprint((unsigned char)c))
		snprintf(why, why_size, "'%c' at position %zu is not a hexadecimal digit", c, at + 1);
	else
		snprintf(why, why_size, "byte 0x%02x at position %zu is not a hexadecimal digit", (unsigned char)c, at + 1);
}

int parse_hex(const char *text, size_t len, struct bytes *out, char *why, size_t why_size)
{
	bool start = true; /* of a number: 0x may stand there */
	size_t i = 0;

	*out = (struct bytes){.at = cli_alloc(len / 2 + 1)};
	while (i < len) {
		int high, low;

		if (isspace((unsigned char)text[i]) || strchr(":,-_", text[i])) {
			i++;
			start = true;
			continue;
		}
		if (start && text[i] == '0' && i + 1 < len && (text[i + 1] == 'x' || text[i + 1] == 'X')) {
			i += 2;
			start = false;
			continue;
		}
		start = false;
		high = hex_digit(text[i]);
		low = i + 1 < len ? hex_digit(text[i + 1]) : -1;
		if (high < 0 || low < 0) {
			if (high < 0)
				not_a_digit(text[i], i, why, why_size);
			else if (i + 1 < len && !isspace((unsigned char)text[i + 1]) && !strchr(":,-_", text[i + 1]))
				not_a_digit(text[i + 1], i + 1, why, why_size);
			else
				snprintf(why, why_size, "the byte at position %zu has one digit; bytes are two hexadecimal digits", i + 1);
			bytes_free(out);
			return -EINVAL;
		}
		out->at[out->n++] = (u8)(high << 4 | low);
		i += 2;
	}
	return 0;
}

int read_bytes(const char *arg, struct bytes *out, char *why, size_t why_size)
{
	int err;

	if (*arg != '@')
		return parse_hex(arg, strlen(arg), out, why, why_size);
	err = read_file(arg + 1, out);
	if (err)
		snprintf(why, why_size, "%s: %s", arg + 1, strerror(-err));
	return err;
}

bool is_hex(const struct bytes *b)
{
	size_t digits = 0;

	for (size_t k = 0; k < b->n; k++) {
		if (!b->at[k] || (!isxdigit(b->at[k]) && !isspace(b->at[k]) && !strchr(":,-_xX", b->at[k])))
			return false;
		digits += isxdigit(b->at[k]) != 0;
	}
	return digits > 0;
}

int read_code(const char *arg, struct bytes *out, char *why, size_t why_size)
{
	int err = read_bytes(arg, out, why, why_size);
	struct bytes text = *out;

	if (err || *arg != '@' || !is_hex(&text))
		return err;
	err = parse_hex((const char *)text.at, text.n, out, why, why_size);
	bytes_free(&text);
	return err;
}

void bytes_free(struct bytes *b)
{
	free(b->at);
	*b = (struct bytes){0};
}
