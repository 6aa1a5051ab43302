/* SPDX-License-Identifier: BSD-2-Clause */
/* The files by which tools find tracepoints: as the running kernel's, where they can be read, but for the ids, which are the engine's own. */
#include "hook/hooks.h"
#include "../test.h"

#include <dirent.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static struct skep *k;
static char mounted[64];

static const char *tracefs(void)
{
	static const char *const places[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
	char path[96];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/events/syscalls/sys_enter_read/format", places[i]);
		if (!access(path, R_OK))
			return places[i];
	}
	strcpy(mounted, "/tmp/skep-tracefs-XXXXXX");
	if (!mkdtemp(mounted))
		return NULL;
	if (!mount("skep", mounted, "tracefs", MS_RDONLY, NULL)) {
		snprintf(path, sizeof(path), "%s/events/syscalls/sys_enter_read/format", mounted);
		if (!access(path, R_OK))
			return mounted;
		umount(mounted);
	}
	rmdir(mounted);
	mounted[0] = 0;
	return NULL;
}

static bool read_host(const char *path, char *buf, size_t room)
{
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(buf, 1, room - 1, f) : 0;

	buf[n] = 0;
	if (f)
		fclose(f);
	return f != NULL;
}

/* Without the line of the id. */
static void drop_id(char *text)
{
	char *id = strstr(text, "ID: "), *end = id ? strchr(id, '\n') : NULL;

	if (end)
		memmove(id, end + 1, strlen(end));
}

TEST(formats_equal_the_kernels)
{
	const char *at = tracefs();
	char path[256], name[SITE_NAME], host[16384], own[16384], *text;
	u32 compared = 0;
	size_t size;

	if (!at)
		SKIP("the host's tracefs cannot be read");
	for (u32 s = 0; s < site_count(); s++) {
		snprintf(path, sizeof(path), "%s/events/%s/%s/format", at, site_category(s), site_name(s, name));
		if (!read_host(path, host, sizeof(host))) {
			printf("# %s: not built into this kernel\n", name);
			continue;
		}
		snprintf(path, sizeof(path), "/sys/kernel/debug/tracing/events/%s/%s/format", site_category(s), name);
		REQUIRE(!hook_file(k, path, &text, &size));
		snprintf(own, sizeof(own), "%s", text);
		CHECK_EQ(size, strlen(own));
		hook_file_free(k, text, size);
		drop_id(host);
		drop_id(own);
		if (strcmp(host, own))
			printf("# %s:\n%s\n---\n%s\n", name, own, host);
		CHECK(!strcmp(host, own));
		compared++;
	}
	CHECK(compared > 500);
	if (mounted[0]) {
		umount(mounted);
		rmdir(mounted);
	}
}

TEST(every_tracepoint_is_found_by_id_and_by_name)
{
	char name[SITE_NAME], path[256], *text;
	size_t size;

	for (u32 s = 0; s < site_count(); s++) {
		site_name(s, name);
		CHECK_EQ(site_by_id(site_id(s)), s);
		CHECK_EQ(site_find(site_category(s), name, strlen(name)), s);
		snprintf(path, sizeof(path), "/sys/kernel/tracing/events/%s/%s/id", site_category(s), name);
		REQUIRE(!hook_file(k, path, &text, &size));
		CHECK_EQ(atoi(text), site_id(s));
		CHECK(site_id(s) < 65536); /* the record's first field has 16 bits */
		hook_file_free(k, text, size);
		if (site_syscall(s) >= 0)
			CHECK_EQ(site_of_syscall((u64)site_syscall(s), site_is_enter(s)), s);
	}
	CHECK_EQ(site_by_id(0), -ENOENT);
	CHECK_EQ(site_by_id(UINT64_MAX), -ENOENT);
	CHECK_EQ(site_raw("sys_enter"), SITE_sys_enter);
	CHECK_EQ(site_raw("sys_enter_read"), -ENOENT);
}

/* Who declares a record by its format file needs the types that the fields are of. */
TEST(types_of_fields_exist)
{
	const struct btf *types = kernel_btf(k);

	REQUIRE(types);
	for (u32 s = 0; s < site_count(); s++) {
		struct text t;

		text_open(&t, &mem_libc);
		site_format(s, &t);
		for (const char *line = strstr(text_str(&t), "\tfield:"); line; line = strstr(line + 1, "\tfield:")) {
			char type[96], word[96];
			const char *end = strchr(line, ';'), *at = line + strlen("\tfield:");
			int n;

			snprintf(type, sizeof(type), "%.*s", (int)(end - at), at);
			*strrchr(type, ' ') = 0; /* the name */
			for (at = type; sscanf(at, "%95s%n", word, &n) == 1; at += n) {
				bool tagged = !strcmp(word, "struct") || !strcmp(word, "union"), built_in = strstr(" const unsigned signed int char short long void bool __data_loc char[] * ", word);

				if (tagged && sscanf(at + n, "%95s%n", word, &n) == 1)
					break; /* a pointer to one: it need not be complete */
				if (!strcmp(word, "enum") || *word == '*')
					continue;
				if (!built_in && btf_find(types, word, BTF_KIND_TYPEDEF) < 0 && btf_find(types, word, BTF_KIND_ENUM) < 0)
					test_fail(__FILE__, __LINE__, "%s: there is no type %s", type, word);
			}
		}
		text_close(&t);
	}
}

TEST(folders_list_what_exists)
{
	static const char *const missing[] = {"/sys/kernel/tracing/events/block", "/sys/kernel/tracing/events/sched/sched_switch/id", "/sys/kernel/tracing/kprobe_events",
					      "/sys/bus/event_source/devices/msr/type", "/sys/kernel/btf/ext4", "/sys/kernel/tracing/events/sched/sched_process_exec/x"};
	char *text;
	size_t size;

	REQUIRE(!hook_file(k, "/sys/kernel/tracing/available_events", &text, &size));
	CHECK(strstr(text, "syscalls:sys_enter_openat\n") && strstr(text, "sched:sched_process_exec\n") && !strstr(text, "sched_switch"));
	hook_file_free(k, text, size);
	CHECK_EQ(hook_file(k, "/sys/kernel/tracing/events", &text, &size), -EISDIR);
	CHECK_STR(text, "raw_syscalls/\nsched/\nsignal/\ntask/\nsyscalls/\n");
	hook_file_free(k, text, size);
	CHECK_EQ(hook_file(k, "/sys/kernel/tracing/events/sched", &text, &size), -EISDIR);
	CHECK_STR(text, "sched_process_exec/\nsched_process_fork/\nsched_process_exit/\n");
	hook_file_free(k, text, size);
	CHECK_EQ(hook_file(k, "/sys/bus/event_source/devices", &text, &size), -EISDIR);
	CHECK_STR(text, "software/\ntracepoint/\nkprobe/\nuprobe/\n");
	hook_file_free(k, text, size);
	CHECK_EQ(hook_file(k, "/sys/bus/event_source/devices/uprobe", &text, &size), -EISDIR);
	CHECK_STR(text, "type\nformat/\n");
	hook_file_free(k, text, size);
	CHECK_EQ(hook_file(k, "/sys/bus/event_source/devices/uprobe/format/retprobe", &text, &size), 0);
	CHECK_STR(text, "config:0\n");
	hook_file_free(k, text, size);
	for (size_t i = 0; i < ARRAY_SIZE(missing); i++)
		CHECK_EQ(hook_file(k, missing[i], &text, &size), -ENOENT);
	CHECK_EQ(hook_file(k, "/etc/passwd", &text, &size), -ENXIO);
	CHECK_EQ(hook_file(k, "/sys/kernel/tracing_on", &text, &size), -ENXIO);
}

int main(void)
{
	if (skep_open(&k, NULL))
		return 1;
	RUN(formats_equal_the_kernels);
	RUN(every_tracepoint_is_found_by_id_and_by_name);
	RUN(types_of_fields_exist);
	RUN(folders_list_what_exists);
	skep_close(k);
	return test_end();
}
