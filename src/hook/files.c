/* SPDX-License-Identifier: BSD-2-Clause */
/* The files by which clients find hooks: tracefs, sources of perf events, the kernel's types. Everything is made from the tables when it is asked for. */
#include "hook/hooks.h"

#include <stdio.h>

static const char *below(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	if (strncmp(path, folder, n) || (path[n] && path[n] != '/'))
		return NULL;
	return path[n] ? path + n + 1 : path + n;
}

/* ---- tracefs ---- */

static void each_event(struct text *t, const char *category, const char *form)
{
	char name[SITE_NAME];

	for (u32 s = 0; s < site_count(); s++)
		if (!category)
			text_addf(t, "%s:%s\n", site_category(s), site_name(s, name));
		else if (!strcmp(site_category(s), category))
			text_addf(t, form, site_name(s, name));
}

static void categories(struct text *t)
{
	const char *last = "";

	for (u32 s = 0; s < site_count(); s++)
		if (strcmp(site_category(s), last)) {
			last = site_category(s);
			text_addf(t, "%s/\n", last);
		}
}

static bool is_category(const char *name)
{
	for (u32 s = 0; s < site_count(); s++)
		if (!strcmp(site_category(s), name))
			return true;
	return false;
}

/* events/CATEGORY/NAME/FILE */
static int event_file(const char *path, struct text *t)
{
	char category[SITE_NAME], name[SITE_NAME], file[SITE_NAME];
	int n = sscanf(path, "%63[^/]/%63[^/]/%63s", category, name, file);
	s32 site;

	if (n < 1) {
		categories(t);
		return -EISDIR;
	}
	if (!is_category(category))
		return -ENOENT;
	if (n == 1) {
		each_event(t, category, "%s/\n");
		return -EISDIR;
	}
	site = site_find(category, name, strlen(name));
	if (site < 0)
		return -ENOENT;
	if (n == 2) {
		text_add(t, "format\nid\n");
		return -EISDIR;
	}
	if (!strcmp(file, "id"))
		text_addf(t, "%u\n", site_id((u32)site));
	else if (!strcmp(file, "format"))
		site_format((u32)site, t);
	else
		return -ENOENT;
	return 0;
}

static int tracefs_file(const char *path, struct text *t)
{
	const char *events = below(path, "events");

	if (events)
		return event_file(events, t);
	if (!*path) {
		text_add(t, "available_events\navailable_filter_functions\nevents/\ntrace_pipe\nuprobe_events\n");
		return -EISDIR;
	}
	if (!strcmp(path, "available_events")) {
		each_event(t, NULL, NULL);
		return 0;
	}
	/* functions of the kernel that could be probed, probes that were made by writing here: there are none; the pipe is whoever's who opens it */
	return strcmp(path, "available_filter_functions") && strcmp(path, "uprobe_events") && strcmp(path, "trace_pipe") ? -ENOENT : 0;
}

/* ---- sources of perf events ---- */

static int device_file(const char *path, struct text *t)
{
	static const struct {
		const char *name, *text;
	} files[] = {
		{"software/type", "1\n"},
		{"tracepoint/type", "2\n"},
		{"kprobe/type", "8\n"},
		{"kprobe/format/retprobe", "config:0\n"},
		{"uprobe/type", "9\n"},
		{"uprobe/format/retprobe", "config:0\n"},
		{"uprobe/format/ref_ctr_offset", "config:32-63\n"},
	};
	size_t n = strlen(path);
	bool any = false;

	_Static_assert(PMU_KPROBE == 8 && PMU_UPROBE == 9, "the files say so");
	for (u32 i = 0; i < ARRAY_SIZE(files); i++)
		if (!strcmp(files[i].name, path)) {
			text_add(t, files[i].text);
			return 0;
		}
	for (u32 i = 0; i < ARRAY_SIZE(files); i++) {
		const char *rest = n ? below(files[i].name, path) : files[i].name, *before = i ? files[i - 1].name : "";
		size_t entry;

		if (!rest || !*rest)
			continue;
		any = true;
		entry = strcspn(rest, "/") + (size_t)(rest - files[i].name);
		if (strncmp(before, files[i].name, entry + 1)) /* one line per folder: its files are neighbours */
			text_addf(t, "%.*s%s\n", (int)strcspn(rest, "/"), rest, strchr(rest, '/') ? "/" : "");
	}
	return any ? -EISDIR : -ENOENT;
}

/* ---- the kernel's types ---- */

static int types_file(struct skep *k, const char *path, struct text *t)
{
	const struct btf *b = kernel_btf(k);

	if (!*path) {
		text_add(t, "vmlinux\n");
		return -EISDIR;
	}
	if (strcmp(path, "vmlinux") || !b)
		return -ENOENT;
	text_bytes(t, b->data, b->size);
	return 0;
}

int hook_file(struct skep *k, const char *path, char **text, size_t *size)
{
	const char *rest;
	struct text t;
	int err;

	text_open(&t, &k->mem);
	if ((rest = below(path, "/sys/kernel/tracing")) || (rest = below(path, "/sys/kernel/debug/tracing")))
		err = tracefs_file(rest, &t);
	else if ((rest = below(path, "/sys/bus/event_source/devices")))
		err = device_file(rest, &t);
	else if ((rest = below(path, "/sys/kernel/btf")))
		err = types_file(k, rest, &t);
	else
		err = -ENXIO;
	if (err && err != -EISDIR) {
		text_close(&t);
		return err;
	}
	if (t.err) {
		text_close(&t);
		return -ENOMEM;
	}
	*size = t.len;
	*text = mem_alloc(&k->mem, t.len + 1);
	if (*text && t.len)
		memcpy(*text, t.at, t.len);
	text_close(&t);
	return *text ? err : -ENOMEM;
}

void hook_file_free(struct skep *k, char *text, size_t size)
{
	mem_free(&k->mem, text, size + 1);
}
