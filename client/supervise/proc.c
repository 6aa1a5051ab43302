/* SPDX-License-Identifier: BSD-2-Clause */
/* What /proc tells of a task: see supervise.h. */
#include "client/supervise/supervise.h"

#include <elf.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

FILE *proc_open(pid_t tid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", tid, name);
	return fopen(path, "re");
}

bool proc_line(pid_t tid, const char *name, char *line, int size)
{
	FILE *f = proc_open(tid, name);

	if (!f)
		return false;
	if (!fgets(line, size, f))
		line[0] = 0;
	line[strcspn(line, "\n")] = 0;
	fclose(f);
	return true;
}

bool proc_status_text(pid_t tid, const char *field, char *line, int size)
{
	size_t n = strlen(field);
	FILE *f = proc_open(tid, "status");
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(line, size, f))
		found = !strncmp(line, field, n) && line[n] == ':';
	if (found)
		memmove(line, line + n + 1, strlen(line + n));
	else
		line[0] = 0;
	fclose(f);
	return true;
}

bool proc_status(pid_t tid, const char *field, int base, u64 *out)
{
	char line[256];
	bool told = proc_status_text(tid, field, line, sizeof(line));

	*out = told ? strtoull(line, NULL, base) : 0;
	return told;
}

bool proc_next_map(FILE *maps, struct proc_map *out)
{
	char line[PATH_MAX + 256], flags[8];
	unsigned major, minor;

	while (maps && fgets(line, sizeof(line), maps)) {
		*out = (struct proc_map){0};
		if (sscanf(line, "%lx-%lx %7s %lx %x:%x %lu %4095[^\n]", &out->from, &out->to, flags, &out->offset, &major, &minor, &out->ino, out->path) < 7)
			continue;
		out->dev = makedev(major, minor);
		out->writes = flags[1] == 'w';
		out->runs = flags[2] == 'x';
		out->shared = flags[3] == 's';
		return true;
	}
	if (maps)
		fclose(maps);
	return false;
}

bool proc_comm(pid_t tid, char comm[16])
{
	memset(comm, 0, 16);
	return proc_line(tid, "comm", comm, 16);
}

bool proc_executed(pid_t tid, char *path, int size)
{
	FILE *f = proc_open(tid, "auxv");
	Elf64_auxv_t at = {0};

	while (f && fread(&at, sizeof(at), 1, f) == 1 && at.a_type != AT_EXECFN && at.a_type != AT_NULL)
		;
	if (f)
		fclose(f);
	return at.a_type == AT_EXECFN && remote_text(tid, at.a_un.a_val, path, (size_t)size) >= 0;
}

bool proc_stat(pid_t tid, struct proc_stat *out)
{
	char line[1024], *begin, *at;

	*out = (struct proc_stat){.state = 'Z', .cpu = -1};
	if (!proc_line(tid, "stat", line, sizeof(line)))
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
		case 28: out->stack = strtoull(at, NULL, 10); break;
		case 39: out->cpu = atoi(at); break;
		}
	}
	return true;
}

bool proc_call(pid_t tid, int *nr)
{
	char line[64];

	if (!proc_line(tid, "syscall", line, sizeof(line)))
		return false;
	*nr = line[0] >= '0' && line[0] <= '9' ? atoi(line) : -1;
	return true;
}
