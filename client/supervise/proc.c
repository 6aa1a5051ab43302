/* SPDX-License-Identifier: BSD-2-Clause */
/* What /proc tells of a task: see supervise.h. */
#include "client/supervise/supervise.h"

#include <stdlib.h>

static FILE *open_file(pid_t tid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", tid, name);
	return fopen(path, "re");
}

static bool first_line(pid_t tid, const char *name, char *line, int size)
{
	FILE *f = open_file(tid, name);

	if (!f)
		return false;
	if (!fgets(line, size, f))
		line[0] = 0;
	line[strcspn(line, "\n")] = 0;
	fclose(f);
	return true;
}

bool proc_status(pid_t tid, const char *field, int base, u64 *out)
{
	size_t n = strlen(field);
	FILE *f = open_file(tid, "status");
	char line[256];

	if (!f)
		return false;
	*out = 0;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, field, n) && line[n] == ':') {
			*out = strtoull(line + n + 1, NULL, base);
			break;
		}
	fclose(f);
	return true;
}

bool proc_comm(pid_t tid, char comm[16])
{
	memset(comm, 0, 16);
	return first_line(tid, "comm", comm, 16);
}

bool proc_stat(pid_t tid, struct proc_stat *out)
{
	char line[1024], *begin, *at;

	*out = (struct proc_stat){.state = 'Z', .cpu = -1};
	if (!first_line(tid, "stat", line, sizeof(line)))
		return false;
	begin = strchr(line, '(');
	at = strrchr(line, ')'); /* a name may hold any character */
	if (!begin || !at)
		return false;
	snprintf(out->comm, sizeof(out->comm), "%.*s", (int)(at - begin - 1), begin + 1);
	at = strchr(at, ' ');
	for (int field = 3; at; field++, at = strchr(at, ' ')) {
		at++;
		switch (field) {
		case 3: out->state = *at; break;
		case 4: out->parent = atoi(at); break;
		case 20: out->threads = atoi(at); break;
		case 39: out->cpu = atoi(at); break;
		}
	}
	return true;
}

bool proc_call(pid_t tid, int *nr)
{
	char line[64];

	if (!first_line(tid, "syscall", line, sizeof(line)))
		return false;
	*nr = line[0] >= '0' && line[0] <= '9' ? atoi(line) : -1;
	return true;
}
