/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cgroups of version 2 that a task is in. A cgroup's id is the inode of its folder. A task may move at any time and nothing tells of it, so its own folder is looked
 * at whenever a program asks; those above it are known as long as that is the same.
 */
#include "hook/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* "36 29 0:31 ROOT MOUNT options - cgroup2 ..." */
static bool mount_of(char *line, const char **root, const char **mount)
{
	char *save, *word;

	if (!strstr(line, " - cgroup2 "))
		return false;
	word = strtok_r(line, " ", &save);
	for (int i = 1; word && i < 5; i++) {
		word = strtok_r(NULL, " ", &save);
		if (i == 3)
			*root = word;
		if (i == 4)
			*mount = word;
	}
	return word != NULL;
}

void cgroups_open(struct cgroups *g)
{
	const char *root = NULL, *mount = NULL;
	size_t room = 0;
	char *line = NULL;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	memset(g, 0, sizeof(*g));
	while (f && getline(&line, &room, f) > 0)
		if (mount_of(line, &root, &mount)) {
			snprintf(g->mount, sizeof(g->mount), "%s", mount);
			snprintf(g->root, sizeof(g->root), "%s", strcmp(root, "/") ? root : "");
			break;
		}
	free(line);
	if (f)
		fclose(f);
}

static u64 inode(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_ino;
}

/* The folder as it is mounted, from the mount point on; false: it lies outside of what is mounted. */
static bool folder_of(const struct cgroups *g, pid_t tid, char *out, size_t size)
{
	size_t skip = strlen(g->root);
	char line[sizeof(g->last)];
	bool found = false;
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%d/cgroup", tid);
	f = fopen(line, "re");

	while (f && !found && fgets(line, sizeof(line), f)) {
		const char *name = line + 3;

		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "0::/", 4) || strncmp(name, g->root, skip) || (skip && name[skip] && name[skip] != '/'))
			continue;
		name += skip;
		found = snprintf(out, size, "%s%s", g->mount, strcmp(name, "/") ? name : "") < (int)size;
	}
	if (f)
		fclose(f);
	return found;
}

u32 cgroups_of(struct cgroups *g, pid_t tid, u64 *ids, u32 most)
{
	char path[sizeof(g->last)];
	u64 own;

	if (!g->mount[0] || !folder_of(g, tid, path, sizeof(path)))
		return 0;
	own = inode(path);
	if (!own)
		return 0;
	if (!g->n || g->ids[g->n - 1] != own || strcmp(path, g->last)) {
		snprintf(g->last, sizeof(g->last), "%s", path);
		g->n = 0;
		for (char *end = path + strlen(g->mount); end && g->n < ARRAY_SIZE(g->ids) - 1; end = strchr(end + 1, '/')) {
			char was = *end;

			if (!was)
				break;
			*end = 0;
			g->ids[g->n++] = inode(path);
			*end = was;
		}
		g->ids[g->n++] = own;
	}
	memcpy(ids, g->ids, MIN(most, g->n) * sizeof(*ids));
	return MIN(most, g->n);
}
