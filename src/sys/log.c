/* SPDX-License-Identifier: BSD-2-Clause */
/* The log that PROG_LOAD and BTF_LOAD give back: level, buffer and size go together; too small a buffer gives -ENOSPC, and
 * the true size is always told (Linux 6.4). */
#include "sys/sys.h"

int user_log_open(struct user_log *l, const struct mem *mem, u32 level, u64 buf, u32 size)
{
	enum { LEVELS = 1 | 2 | 4 | 8 };

	*l = (struct user_log){.level = level, .size = size, .buf = buf};
	text_open(&l->text, mem);
	if (!!buf != !!size || size > UINT32_MAX >> 2 || (buf && !level) || level & ~(u32)LEVELS)
		return -EINVAL;
	return 0;
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
	u64 len = l->text.len + 1, n = MIN(len, (u64)l->size);

	l->true_size = l->level ? (u32)len : 0;
	if (l->level && l->buf) {
		/* What does not fit loses its beginning, as Linux does: the end says why. */
		memcpy((void *)(uintptr_t)l->buf, text_str(&l->text) + (len - n), n);
		if (len > l->size)
			err = -ENOSPC;
	}
	text_close(&l->text);
	return err;
}
