/* SPDX-License-Identifier: BSD-2-Clause */
/* A supervisor's state, and the way from a call to its handler. */
#include "client/supervise/supervise.h"

#include "sys/sys.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory of this user alone; somebody else may have been there first. What is below it may get any mode from its owner. */
static int private_dir(const char *path, mode_t never)
{
	struct stat st;

	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	if (lstat(path, &st))
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_uid == getuid() && !(st.st_mode & never) ? 0 : -EACCES;
}

/* Where pinned objects lie: the same place as for programs that are linked with libskep-bpf. */
static int find_dir(struct super *s)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char bpf[PATH_MAX], real[PATH_MAX];
	int err;

	if (runtime && *runtime == '/' && strlen(runtime) < sizeof(s->dir) - 16 && access(runtime, W_OK) == 0)
		snprintf(s->dir, sizeof(s->dir), "%s/skep", runtime);
	else
		snprintf(s->dir, sizeof(s->dir), "/dev/shm/skep-%u", getuid());
	err = private_dir(s->dir, 022);
	if (err)
		return err;
	if (!realpath(s->dir, real) || snprintf(s->dir, sizeof(s->dir), "%s", real) >= (int)sizeof(s->dir))
		return -ENAMETOOLONG;
	snprintf(bpf, sizeof(bpf), "%s/bpf", s->dir);
	return private_dir(bpf, 0);
}

int super_open(struct super *s, const char *name, struct skep *k)
{
	*s = (struct super){.name = name, .k = k};
	s->foreign = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (s->foreign < 0)
		return -errno;
	pthread_mutex_init(&s->lock, NULL);
	remote_open(s);
	if (find_dir(s))
		s->dir[0] = 0; /* pins then say so; the rest works */
	return 0;
}

void super_say(struct super *s, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n = snprintf(line, sizeof(line), "%s: ", s->name);

	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof(line) - 1 - (size_t)n, fmt, ap);
	va_end(ap);
	n = (int)MIN((size_t)n, sizeof(line) - 2);
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nobody to tell */
}

struct answer super_serve(struct call *c)
{
	const struct call_row *row = call_row(c->nr);

	return row ? row->handler(c) : answer_continue();
}
