/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * t-hook-events OBJECT: libbpf loads and attaches a program per event; a door made by hand tells the engine what imaginary tasks do, and what the programs saw
 * is compared with what was told. Everything on the interpreter, then compiled.
 */
#include "client/skep-bpf.h"
#include "hook/hooks.h"
#include "events.h"
#include "door.h"
#include "../test.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *object_path;
static struct skep *k;
static struct bpf_object *obj;
static struct bpf_link *links[SEEN_COUNT];
static int n_links;
static enum skep_engine how;
static char log_text[4096];

/* ---- the door: door.h's page, and registers ---- */

static int changes, last_signal;
static unsigned signal_tgid, signal_tid;

static s64 door_write(void *ud, u32 tid, u64 to, const void *from, u64 size)
{
	(void)ud, (void)tid;
	if (to - PAGE_AT >= sizeof(page))
		return -EFAULT;
	memcpy(page + (to - PAGE_AT), from, size);
	return (s64)size;
}

static int door_regs(void *ud, u32 tid, struct task_regs *out)
{
	(void)ud, (void)tid;
	*out = (struct task_regs){.ip = 0x401000, .bp = 0x5100, .sp = 0x50f0};
	return 0;
}

static int door_signal(void *ud, u32 tgid, u32 tid, int sig)
{
	(void)ud;
	signal_tgid = tgid;
	signal_tid = tid;
	last_signal = sig;
	return 0;
}

/* Where the task is now, which need not be where it was when it was added. */
static const u64 moved_to[] = {1, 22, 55, 66};
static u32 n_moved_to;

static u32 door_cgroups(void *ud, u32 tid, u64 *ids, u32 most)
{
	u32 n = tid == 201 ? MIN(n_moved_to, most) : 0;

	(void)ud;
	memcpy(ids, moved_to, n * sizeof(*ids));
	return n;
}

static void door_changed(void *ud)
{
	(void)ud;
	changes++;
}

static const struct task_door door = {NULL, door_read, door_write, door_regs, door_signal, door_cgroups, door_changed, true, false, NULL};

/* ---- tools ---- */

static void keep_log(void *ud, const char *line)
{
	(void)ud;
	snprintf(log_text + strlen(log_text), sizeof(log_text) - strlen(log_text), "%s\n", line);
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level == LIBBPF_WARN && getenv("VERBOSE"))
		vfprintf(stderr, fmt, ap);
	return 0;
}

static struct seen_record look(unsigned which)
{
	struct seen_record s = {0};

	bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(obj, "seen"), &which, &s);
	return s;
}

static struct bpf_link *attach(const char *name)
{
	struct bpf_program *p = bpf_object__find_program_by_name(obj, name);
	struct bpf_link *l = p ? bpf_program__attach(p) : NULL;

	if (!l)
		printf("# %s: %s\n%s", name, strerror(errno), log_text);
	else if (n_links < SEEN_COUNT)
		links[n_links++] = l;
	return l;
}

static void open_all(void)
{
	struct skep_options o = {.size = sizeof(o), .log = keep_log, .engine = how};
	struct bpf_program *p;

	log_text[0] = 0;
	n_links = 0;
	if (skep_open(&k, &o))
		abort();
	skep_bpf_use(k);
	tasks_door(k, &door);
	obj = bpf_object__open_file(object_path, NULL);
	if (!obj || bpf_object__load(obj)) {
		printf("# cannot load: %s\n%s", strerror(errno), log_text);
		exit(1);
	}
	bpf_object__for_each_program(p, obj) {
		struct skep_code c = {.size = sizeof(c)};

		CHECK_EQ(skep_prog_code(k, bpf_program__fd(p), &c), 0);
		if (how == SKEP_ENGINE_JIT)
			CHECK(c.bytes > 0);
	}
}

static void close_all(void)
{
	for (int i = 0; i < n_links; i++)
		bpf_link__destroy(links[i]);
	bpf_object__close(obj);
	skep_bpf_use(NULL);
	skep_close(k);
	k = NULL;
}

static struct task *shell_task, *make_task;

static struct task_info make_info;

static void add_tasks(void)
{
	struct task_info shell = {.tid = 100, .tgid = 100, .parent = 50, .uid = 1000, .gid = 1000, .euid = 1000, .egid = 1000, .comm = "bash", .start_ns = 5};
	struct task_info make = {.tid = 201, .tgid = 200, .parent = 100, .uid = 1000, .gid = 1001, .euid = 33, .comm = "make", .start_ns = 777,
				 .cgroup = 44, .cgroup_ancestors = {1, 22, 44}, .n_cgroup_ancestors = 3, .pid_ns_dev = 7, .pid_ns_ino = 8,
				 .mnt_ns_ino = 4026531841u, .ns_tid = 3, .ns_tgid = 2, .exit_code = 0x300};

	make_info = make;
	shell_task = task_add(k, &shell);
	make_task = task_add(k, &make);
	CHECK(shell_task && make_task);
	CHECK(!task_add(k, &make));
	CHECK(task_find(k, 201) == make_task);
}

/* ---- cases ---- */

static void system_calls(void)
{
	const u64 args[6] = {(u64)-100, 0x5000, 0x241, 0644, 5, 6}, others[6] = {0};
	struct task_needs needs;
	struct seen_record s;

	task_needs(k, &needs);
	CHECK(!task_needs_enter(&needs, SYS_openat) && !needs.want);
	changes = 0;
	attach("enter");
	CHECK_EQ(changes, 1);
	task_needs(k, &needs);
	CHECK(task_needs_enter(&needs, SYS_openat) && !task_needs_exit(&needs, SYS_openat) && !task_needs_enter(&needs, SYS_read));
	attach("leave");
	attach("all_enter");
	task_needs(k, &needs);
	CHECK(task_needs_enter(&needs, SYS_read) && task_needs_exit(&needs, SYS_openat) && !task_needs_exit(&needs, SYS_read));
	attach("all_exit");
	attach("raw_enter");
	attach("raw_exit");

	strcpy((char *)page, "/etc/passwd");
	task_event_enter(k, make_task, SYS_openat, args);
	task_event_exit_syscall(k, make_task, SYS_openat, -ENOENT);
	s = look(SEEN_ENTER);
	CHECK_EQ(s.count, 1);
	CHECK_EQ(s.v[0], SYS_openat);
	CHECK_EQ(s.v[1], -100);
	CHECK_EQ(s.v[2], 0x241);
	CHECK_EQ(s.v[3], 200ull << 32 | 201);
	CHECK_EQ(s.v[4], 1001ull << 32 | 1000);
	CHECK_EQ(s.v[5], sizeof("/etc/passwd"));
	CHECK_STR(s.text[0], "/etc/passwd");
	CHECK_STR(s.text[1], "make");
	s = look(SEEN_EXIT);
	CHECK_EQ(s.v[0], SYS_openat);
	CHECK_EQ(s.v[1], -ENOENT);
	CHECK_EQ(look(SEEN_ALL_ENTER).v[1], 6);
	CHECK_EQ(look(SEEN_ALL_EXIT).v[1], -ENOENT);
	s = look(SEEN_RAW_ENTER);
	CHECK_EQ(s.v[0], SYS_openat);
	CHECK_EQ(s.v[1], -100);
	CHECK_EQ(s.v[2], 6);
	CHECK_EQ(s.v[3], SYS_openat);
	s = look(SEEN_RAW_EXIT);
	CHECK_EQ(s.v[0], -ENOENT);
	CHECK_EQ(s.v[1], -ENOENT);

	/* a string that ends where memory does, and one that cannot be read */
	memset(page + 4090, 'x', 5);
	page[4095] = 0;
	task_event_enter(k, make_task, SYS_openat, (u64[6]){0, 0x5000 + 4090});
	CHECK_EQ(look(SEEN_ENTER).v[5], 6);
	CHECK_STR(look(SEEN_ENTER).text[0], "xxxxx");
	task_event_enter(k, make_task, SYS_openat, (u64[6]){0, 0x9000});
	CHECK_EQ(look(SEEN_ENTER).v[5], -EFAULT);
	CHECK_STR(look(SEEN_ENTER).text[0], "");
	/* other calls reach only who asked for all of them; a number that is no call's, as well */
	task_event_enter(k, make_task, SYS_read, others);
	task_event_enter(k, make_task, 4000, others);
	CHECK_EQ(look(SEEN_ENTER).count, 3);
	CHECK_EQ(look(SEEN_ALL_ENTER).count, 5);
	CHECK_EQ(look(SEEN_ALL_ENTER).v[0], 4000);
}

static void lives(void)
{
	struct task_info child = {.tid = 300, .tgid = 300, .parent = 200, .comm = "make", .start_ns = 900};
	struct task *c;
	struct seen_record s;

	attach("exec"), attach("exec_btf"), attach("fork"), attach("fork_btf"), attach("gone"), attach("gone_btf"), attach("renamed");
	c = task_add(k, &child);
	REQUIRE(c);
	task_event_fork(k, shell_task, c);
	s = look(SEEN_FORK);
	CHECK_EQ(s.v[0], 100);
	CHECK_EQ(s.v[1], 300);
	CHECK_STR(s.text[0], "bash");
	CHECK_STR(s.text[1], "make");
	s = look(SEEN_FORK_BTF);
	CHECK_EQ(s.v[0], 100);
	CHECK_EQ(s.v[1], 300);
	CHECK_EQ(s.v[2], 200);
	CHECK_EQ(s.v[3], 0);

	task_event_rename(k, make_task, "a-long-name-of-a-command");
	s = look(SEEN_RENAME);
	CHECK_EQ(s.v[0], 201);
	CHECK_STR(s.text[0], "make");
	CHECK_STR(s.text[1], "a-long-name-of-");

	task_event_exec(k, make_task, "/usr/bin/make", 202);
	s = look(SEEN_EXEC);
	CHECK_EQ(s.v[0], 201);
	CHECK_EQ(s.v[1], 202);
	CHECK_EQ(s.v[2], sizeof("/usr/bin/make"));
	CHECK_STR(s.text[0], "/usr/bin/make");
	s = look(SEEN_EXEC_BTF);
	CHECK_EQ(s.v[0], 201);
	CHECK_EQ(s.v[1], 100);
	CHECK_EQ(s.v[2], 33);
	CHECK_EQ(s.v[3], 4026531841u);
	CHECK_EQ(s.v[4], 202);
	CHECK_EQ(s.v[5], 50);
	CHECK_STR(s.text[0], "/usr/bin/make");
	CHECK_STR(s.text[1], "make");

	/* whatever a pointer of a kernel object holds, following it is no fault: what does not lie among those objects reads as 0 */
	for (int i = 0; i < 3; i++) {
		static const u64 bad[] = {0, 0x1234, 0xffff888000000000ull};
		u64 inside = (u64)(uintptr_t)k->kernel.region.base;

		make_task->kernel->task.cred = (void *)(uintptr_t)(i == 0 ? inside + KERNEL_BYTES - 4 : bad[i]);
		make_task->kernel->task.nsproxy = (void *)(uintptr_t)(i == 0 ? inside - 8 : bad[i]);
		make_task->kernel->task.real_parent = (void *)(uintptr_t)bad[i];
		task_event_exec(k, make_task, "/usr/bin/make", 202);
		s = look(SEEN_EXEC_BTF);
		CHECK_EQ(s.v[0], 201);
		CHECK_EQ(s.v[1], 0);
		CHECK_EQ(s.v[2], 0);
		CHECK_EQ(s.v[3], 0);
		CHECK_EQ(s.v[5], 0);
	}
	task_update(k, make_task, &make_info);
	make_task->kernel->task.cred = &make_task->kernel->cred;
	make_task->kernel->task.nsproxy = &make_task->kernel->nsproxy;

	task_event_exit(k, make_task, true);
	s = look(SEEN_LEAVE);
	CHECK_EQ(s.v[0], 201);
	CHECK_EQ(s.v[1], 1);
	CHECK_STR(s.text[0], "make");
	s = look(SEEN_LEAVE_BTF);
	CHECK_EQ(s.v[0], 201);
	CHECK_EQ(s.v[1], 0x300);
	CHECK_EQ(s.v[2], 1);
	task_remove(k, c);
}

static void signals(void)
{
	struct seen_record s;

	attach("generate"), attach("generate_btf"), attach("deliver");
	task_event_signal_generate(k, shell_task, make_task, SIGTERM, 0, -6, true, 2);
	s = look(SEEN_GENERATE);
	CHECK_EQ(s.v[0], SIGTERM);
	CHECK_EQ((int)s.v[2], -6);
	CHECK_EQ(s.v[3], 201);
	CHECK_EQ(s.v[4], 1);
	CHECK_EQ(s.v[5], 2);
	CHECK_EQ(s.v[6], 100ull << 32 | 100);
	CHECK_STR(s.text[0], "make");
	s = look(SEEN_GENERATE_BTF);
	CHECK_EQ(s.v[0], SIGTERM);
	CHECK_EQ((int)s.v[1], -6);
	CHECK_EQ(s.v[2], 200);
	task_event_signal_deliver(k, make_task, SIGTERM, 0, 0, 0x401234, SA_RESTART);
	s = look(SEEN_DELIVER);
	CHECK_EQ(s.v[0], SIGTERM);
	CHECK_EQ(s.v[1], 0x401234);
	CHECK_EQ(s.v[2], SA_RESTART);
}

static void tasks_as_objects(void)
{
	struct seen_record s;

	attach("task");
	task_event_enter(k, make_task, SYS_getuid, (u64[6]){0});
	s = look(SEEN_TASK);
	CHECK_EQ(s.v[0], 200);
	CHECK_EQ(s.v[1], 100);
	CHECK_EQ(s.v[2], 777);
	CHECK_EQ(s.v[3], 1000);
	CHECK_EQ(s.v[4], 201); /* its leader is no task of the engine's */
	CHECK_EQ(s.v[5], 1);
	CHECK_EQ(s.v[6], -ERANGE);
	CHECK_STR(s.text[0], "make");
	task_event_enter(k, shell_task, SYS_getuid, (u64[6]){0});
	s = look(SEEN_TASK);
	CHECK_EQ(s.v[0], 100);
	CHECK_EQ(s.v[1], 50);
}

static void what_helpers_say(void)
{
	struct bpf_program *p = bpf_object__find_program_by_name(obj, "helpers");
	LIBBPF_OPTS(bpf_perf_event_opts, opts, .bpf_cookie = 0x1234567890ull);
	struct bpf_link *l = bpf_program__attach_perf_event_opts(p, -1, &opts);
	struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr)};
	struct seen_record s;
	char *id;
	size_t size;
	int fd;

	CHECK(!l);
	REQUIRE(!hook_file(k, "/sys/kernel/tracing/events/syscalls/sys_enter_getgid/id", &id, &size));
	attr.config = strtoull(id, NULL, 10);
	hook_file_free(k, id, size);
	fd = skep_perf_event_open(k, &attr, -1, 0, -1, 0);
	REQUIRE(fd >= 0);
	l = bpf_program__attach_perf_event_opts(p, fd, &opts);
	REQUIRE(l);
	last_signal = 0;
	task_event_enter(k, make_task, SYS_getgid, (u64[6]){0});
	s = look(SEEN_HELPERS);
	CHECK_EQ(s.v[0], 44);
	CHECK_EQ(s.v[1], 22);
	CHECK_EQ(s.v[2], 0);
	CHECK_EQ(s.v[3], 2ull << 32 | 3);
	CHECK_EQ(s.v[4], (u64)(-EAGAIN) | (u64)(-EAGAIN) << 8);
	CHECK_EQ(s.v[5], 0);
	CHECK_EQ(last_signal, 10);
	CHECK_EQ(signal_tgid, 200);
	CHECK_EQ(signal_tid, 0);
	CHECK_EQ(s.v[6], 0x1234567890ull);
	CHECK_EQ(s.v[7], 0);
	CHECK(!memcmp(page + 8, "\1\2\3\4", 4));
	n_moved_to = 4;
	task_event_enter(k, make_task, SYS_getgid, (u64[6]){0});
	n_moved_to = 0;
	s = look(SEEN_HELPERS);
	CHECK_EQ(s.v[0], 66);
	CHECK_EQ(s.v[1], 22);
	bpf_link__destroy(l);
	task_event_enter(k, make_task, SYS_getgid, (u64[6]){0});
	tasks_closed(k);
	task_event_enter(k, make_task, SYS_getgid, (u64[6]){0});
	CHECK(look(SEEN_HELPERS).count <= 3); /* closing is noticed at the latest when asked for */
}

static void one_thread(void)
{
	struct seen_record s;

	REQUIRE(attach("signals"));
	last_signal = 0;
	task_event_enter(k, make_task, SYS_getegid, (u64[6]){0});
	s = look(SEEN_SIGNALS);
	CHECK_EQ(s.v[0], 0);
	CHECK_EQ(last_signal, 12);
	CHECK_EQ(signal_tgid, 200);
	CHECK_EQ(signal_tid, 201);
	CHECK_EQ(s.v[1], -EINVAL);
	CHECK_EQ(s.v[2], -EINVAL);
}

/* A folder of cgroups of version 2 on this machine; -1: none is mounted. */
static int cgroup_folder(u64 *id)
{
	char *line = NULL, mount[512] = "";
	size_t room = 0;
	FILE *f = fopen("/proc/self/mountinfo", "re");
	struct stat st;
	int fd;

	while (f && !mount[0] && getline(&line, &room, f) > 0)
		if (strstr(line, " - cgroup2 "))
			sscanf(line, "%*s %*s %*s %*s %511s", mount);
	free(line);
	if (f)
		fclose(f);
	fd = mount[0] ? open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd >= 0 && fstat(fd, &st)) {
		close(fd);
		fd = -1;
	}
	*id = fd >= 0 ? st.st_ino : 0;
	return fd;
}

static void below_cgroups(void)
{
	int map = bpf_object__find_map_fd_by_name(obj, "groups"), file = open("/dev/null", O_RDWR | O_CLOEXEC), fd;
	struct task_info info = make_info, other = make_info;
	u32 first = 0, second = 1, none = 2;
	u64 id;

	CHECK_EQ(bpf_map_update_elem(map, &first, &file, BPF_ANY), -EBADF);
	CHECK_EQ(bpf_map_delete_elem(map, &first), -ENOENT);
	close(file);
	fd = cgroup_folder(&id);
	if (fd < 0) /* no cgroup of version 2 is mounted */
		return;
	CHECK_EQ(bpf_map_update_elem(map, &none, &fd, BPF_ANY), -E2BIG);
	CHECK_EQ(bpf_map_update_elem(map, &first, &fd, BPF_NOEXIST), -EINVAL);
	CHECK_EQ(bpf_map_update_elem(map, &second, &fd, BPF_ANY), 0);
	close(fd);
	REQUIRE(attach("helpers"));
	info.cgroup = id + 1;
	info.cgroup_ancestors[0] = id;
	info.cgroup_ancestors[1] = id + 1;
	info.n_cgroup_ancestors = 2;
	other.cgroup = other.cgroup_ancestors[0] = id + 1;
	other.n_cgroup_ancestors = 1;
	task_update(k, make_task, &info);
	task_event_enter(k, make_task, SYS_getgid, (u64[6]){0});
	CHECK_EQ(look(SEEN_HELPERS).v[4], (u64)(-EAGAIN) | 1 << 8);
	task_update(k, make_task, &other);
	task_event_enter(k, make_task, SYS_getgid, (u64[6]){0});
	CHECK_EQ(look(SEEN_HELPERS).v[4], (u64)(-EAGAIN));
	CHECK_EQ(bpf_map_delete_elem(map, &second), 0);
	task_event_enter(k, make_task, SYS_getgid, (u64[6]){0});
	CHECK_EQ(look(SEEN_HELPERS).v[4], (u64)(-EAGAIN) | (u64)(-EAGAIN) << 8);
	task_update(k, make_task, &make_info);
}

static void stacks(void)
{
	u64 chain[][2] = {{0x5140, 0x402000}, {0x5180, 0x403000}, {0, 0x404000}}, frames[16];
	struct seen_record s;
	u32 id;

	for (int i = 0; i < 3; i++)
		memcpy(page + 0x100 + 0x40 * i, chain[i], 16);
	attach("stack");
	task_event_enter(k, make_task, SYS_getpid, (u64[6]){0});
	s = look(SEEN_STACK);
	CHECK((s64)s.v[0] >= 0);
	CHECK_EQ(s.v[0], s.v[1]);
	CHECK_EQ(s.v[2], 24);
	CHECK(!memcmp(s.text[0], (u64[]){0x402000, 0x403000, 0x404000, 0}, 32));
	CHECK_EQ(s.v[3], -EFAULT);
	CHECK_EQ(s.v[4], -EFAULT);
	CHECK_EQ(s.v[5], 32);
	CHECK(!memcmp(s.text[1], (u64[]){0x401000, 0x402000, 0x403000, 0x404000, 0, 0, 0, 0}, 64));
	CHECK_EQ(s.v[6], -EFAULT);
	CHECK_EQ(s.v[7], -EINVAL);
	id = (u32)s.v[0];
	CHECK_EQ(bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(obj, "stacks"), &id, frames), 0);
	CHECK(!memcmp(frames, (u64[16]){0x401000, 0x402000, 0x403000, 0x404000}, sizeof(frames)));
}

static void clocks(void)
{
	struct bpf_program *p = bpf_object__find_program_by_name(obj, "clock");
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_CPU_CLOCK, .freq = 1, .sample_freq = 100};
	int fd = skep_perf_event_open(k, &attr, -1, 0, -1, 0);
	u64 due;

	CHECK_EQ(task_clock_next(k), 0);
	REQUIRE(fd >= 0);
	CHECK_EQ(skep_perf_ioctl(k, fd, PERF_EVENT_IOC_SET_BPF, (unsigned long)bpf_program__fd(p)), 0);
	CHECK_EQ(skep_perf_ioctl(k, fd, PERF_EVENT_IOC_SET_BPF, (unsigned long)bpf_program__fd(p)), -EEXIST);
	due = task_clock_next(k);
	CHECK(due > 0);
	task_clock_run(k, due - 1, &make_task, 1);
	CHECK_EQ(look(SEEN_CLOCK).count, 0);
	task_clock_run(k, due, &make_task, 1);
	CHECK_EQ(look(SEEN_CLOCK).count, 1);
	CHECK_EQ(look(SEEN_CLOCK).v[0], 10000000);
	CHECK_EQ(look(SEEN_CLOCK).v[1], 0x401000);
	CHECK_EQ(look(SEEN_CLOCK).v[2], 200ull << 32 | 201);
	CHECK_EQ(task_clock_next(k), due + 10000000);
	task_clock_run(k, due + 35000000, &make_task, 1); /* what was missed is missed */
	CHECK_EQ(look(SEEN_CLOCK).count, 2);
	CHECK_EQ(skep_perf_ioctl(k, fd, PERF_EVENT_IOC_DISABLE, 0), 0);
	CHECK_EQ(task_clock_next(k), 0);
	task_clock_run(k, due + 95000000, &make_task, 1);
	CHECK_EQ(look(SEEN_CLOCK).count, 2);
	close(fd);
}

static struct task_probe probes_seen[4];
static int n_probes_seen;

static void see_probe(void *ud, const struct task_probe *p)
{
	(void)ud;
	if (n_probes_seen < 4)
		probes_seen[n_probes_seen++] = *p;
}

static int probes_now(void)
{
	n_probes_seen = 0;
	task_probes(k, see_probe, NULL);
	return n_probes_seen;
}

static void probes(void)
{
	static const struct task_door no_probes = {.read = door_read};
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = 99);
	struct perf_event_attr attr = {.type = PMU_UPROBE, .size = sizeof(attr), .config1 = (u64)(uintptr_t)object_path, .config2 = 0x40};
	struct task_regs regs = {.di = 7, .si = 0x5010, .ax = 42, .ip = 0x401040};
	union bpf_attr query;
	char name[256] = "";
	struct bpf_link *entry, *ret;
	struct seen_record s;
	int fd;

	tasks_door(k, &no_probes); /* where nobody would set them, there are none */
	CHECK_EQ(skep_perf_event_open(k, &attr, -1, 0, -1, 0), -ENOENT);
	CHECK(strstr(log_text, "uprobe: nobody sets probes"));
	tasks_door(k, &door);
	CHECK_EQ(skep_perf_event_open(k, &(struct perf_event_attr){.type = PMU_UPROBE, .config1 = (u64)(uintptr_t)"/nonexistent/x"}, -1, 0, -1, 0), -ENOENT);
	CHECK_EQ(skep_perf_event_open(k, &(struct perf_event_attr){.type = PMU_UPROBE, .config1 = (u64)(uintptr_t)"/"}, -1, 0, -1, 0), -EINVAL);
	fd = skep_perf_event_open(k, &attr, -1, 0, -1, 0);
	CHECK(fd >= 0);
	CHECK_EQ(probes_now(), 0); /* there is no program yet */
	CHECK_EQ(skep_perf_ioctl(k, fd, PERF_EVENT_IOC_SET_BPF, (unsigned long)bpf_program__fd(bpf_object__find_program_by_name(obj, "clock"))), -EINVAL);
	close(fd);

	changes = 0;
	entry = bpf_program__attach_uprobe_opts(bpf_object__find_program_by_name(obj, "probe"), -1, object_path, 0x40, &opts);
	REQUIRE(entry);
	CHECK_EQ(changes, 1);
	opts.retprobe = true;
	ret = bpf_program__attach_uprobe_opts(bpf_object__find_program_by_name(obj, "probe_return"), 200, object_path, 0x40, &opts);
	REQUIRE(ret);
	CHECK_EQ(probes_now(), 2); /* the last one first */
	CHECK_STR(probes_seen[1].path, object_path);
	CHECK_EQ(probes_seen[1].offset, 0x40);
	CHECK_EQ(probes_seen[1].pid, -1);
	CHECK(!probes_seen[1].at_return && probes_seen[0].at_return && probes_seen[0].ino == probes_seen[1].ino && probes_seen[0].ino);
	CHECK_EQ(probes_seen[0].pid, 200);

	strcpy((char *)page + 0x10, "an argument");
	task_event_probe(k, make_task, probes_seen[1].id, 0x401040, &regs);
	s = look(SEEN_PROBE);
	CHECK_EQ(s.v[0], 7);
	CHECK_EQ(s.v[1], 0x401040);
	CHECK_EQ(s.v[2], 200ull << 32 | 201);
	CHECK_EQ(s.v[3], 99);
	CHECK_STR(s.text[0], "an argument");
	task_event_probe(k, make_task, probes_seen[0].id, 0x401040, &regs);
	task_event_probe(k, shell_task, probes_seen[0].id, 0x401040, &regs); /* not the process that it is for */
	s = look(SEEN_PROBE_RETURN);
	CHECK_EQ(s.count, 1);
	CHECK_EQ(s.v[0], 42);
	CHECK_EQ(s.v[1], 0x401040);

	memset(&query, 0, sizeof(query));
	query.task_fd_query.pid = (u32)getpid();
	query.task_fd_query.buf = (u64)(uintptr_t)name;
	query.task_fd_query.buf_len = sizeof(name);
	for (fd = 3; fd < 200; fd++) { /* libbpf keeps the perf event's descriptor to itself */
		query.task_fd_query.fd = (u32)fd;
		query.task_fd_query.buf_len = sizeof(name);
		if (!skep_bpf(k, BPF_TASK_FD_QUERY, &query, sizeof(query)) && query.task_fd_query.fd_type == 4)
			break;
	}
	CHECK_STR(name, object_path);
	CHECK_EQ(query.task_fd_query.probe_offset, 0x40);
	bpf_link__destroy(entry);
	bpf_link__destroy(ret);
	tasks_closed(k);
	CHECK_EQ(probes_now(), 0);
	task_event_probe(k, make_task, probes_seen[1].id, 0x401040, &regs);
	CHECK_EQ(look(SEEN_PROBE).count, 1);
}

/* What perf events of a kernel have that nothing here has is refused by its name. */
static void absent_events(void)
{
	static const struct {
		u32 type;
		u64 config;
		const char *name;
	} rows[] = {
		{PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, "perf_event_open: page-faults: "}, {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, "perf_event_open: cpu-cycles: "},
		{PERF_TYPE_HARDWARE, 99, "perf_event_open: a hardware event: "}, {PERF_TYPE_BREAKPOINT, 0, "perf_event_open: a memory breakpoint: "},
		{PMU_KPROBE, 0, "perf_event_open: kprobe: functions of the kernel do not run"}, {77, 5, "perf_event_open: events of type 77 (config 5)"},
	};

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		struct perf_event_attr attr = {.type = rows[i].type, .size = sizeof(attr), .config = rows[i].config};

		log_text[0] = 0;
		CHECK_EQ(skep_perf_event_open(k, &attr, -1, 0, -1, 0), -ENOENT);
		CHECK(strstr(log_text, rows[i].name));
	}
}

static void all_events(enum skep_engine engine)
{
	how = engine;
	open_all();
	add_tasks();
	system_calls();
	lives();
	signals();
	tasks_as_objects();
	what_helpers_say();
	one_thread();
	below_cgroups();
	stacks();
	clocks();
	probes();
	absent_events();
	close_all();
}

TEST(events_on_the_interpreter)
{
	all_events(SKEP_ENGINE_INTERP);
}

TEST(events_compiled)
{
	all_events(SKEP_ENGINE_JIT);
}

int main(int argc, char **argv)
{
	(void)argc;
	object_path = argv[1];
	libbpf_set_print(quiet);
	RUN(events_on_the_interpreter);
	RUN(events_compiled);
	return test_end();
}
