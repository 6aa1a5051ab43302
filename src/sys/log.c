/* SPDX-License-Identifier: BSD-2-Clause */
/* The log that PROG_LOAD and BTF_LOAD give back: level, buffer and size go together; too small a buffer gives
 * -ENOSPC, and the size that would have been enough is always told (Linux 6.4): that of the longest that the
 * log was, as a walk takes lines of paths that were good away again. */
#include "sys/sys.h"

enum { LOG_FIXED = 8, LOG_LEVELS = 1 | 2 | 4 | LOG_FIXED };

static bool plausible(const struct user_log *l)
{
	return !l->buf == !l->size && l->size <= UINT32_MAX >> 2 && (!l->buf || l->level) && !(l->level & ~(u32)LOG_LEVELS);
}

void user_log_open(struct user_log *l, const struct mem *mem, u32 level, u64 buf, u32 size)
{
	*l = (struct user_log){.level = level, .size = size, .buf = buf};
	text_open(&l->text, mem);
	/* A log that loses its end is kept whole, as lines may be taken away again; of one that nobody reads, the last lines are enough. */
	l->text.room = level & LOG_FIXED ? 0 : buf && plausible(l) ? size : 1;
}

int user_log_begin(struct user_log *l)
{
	l->begun = plausible(l);
	return l->begun ? 0 : -EINVAL;
}

void user_log_say(const struct user_log *l, struct skep *k, const char *call, int err)
{
	const char *text = text_str(&l->text), *end = text + strlen(text), *line = end;

	if (!err)
		return;
	while (line > text && (line == end || !strncmp(line, "processed ", 10))) {
		for (end = line; end > text && end[-1] == '\n'; end--)
			;
		for (line = end; line > text && line[-1] != '\n'; line--)
			;
	}
	if (line != end)
		log_line(k, "%s: %.*s", call, (int)(end - line), line);
}

int user_log_close(struct user_log *l, int err)
{
	struct text *t = &l->text;
	char *to = (void *)(uintptr_t)l->buf;

	text_back(t, text_length(t));
	if (l->level && plausible(l)) {
		l->true_size = t->peak ? (u32)MIN(t->peak + 1, (size_t)UINT32_MAX) : 0;
		/* What does not fit loses its end when that was asked for, else its beginning: the end says
		 * why. */
		if (to && l->level & LOG_FIXED) {
			size_t n = MIN(t->len, (size_t)l->size - 1);

			memcpy(to, text_str(t), n);
			to[n] = 0;
		} else if (to) {
			memcpy(to, text_str(t) + (t->start - t->gone), text_length(t) - t->start + 1);
		}
		if (to && l->begun && l->true_size > l->size)
			err = -ENOSPC;
	}
	text_close(&l->text);
	return err;
}
