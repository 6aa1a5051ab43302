/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * t-hook-tools TOOL...: the BPF objects inside of Debian's libbpf-tools, as their binaries carry them, loaded by libbpf on the engine's own kernel types. Of those
 * whose hooks exist every program must load and attach; what opensnoop, execsnoop, exitsnoop, sigsnoop, mountsnoop and syscount then make of imaginary events is
 * compared with what happened. Of the others loading or attaching must fail. Tools that are not installed are left out.
 */
#include "client/skep-bpf.h"
#include "door.h"
#include "../test.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <elf.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct skep *k;
static char log_text[8192];
static struct task *make_task;

static int door_regs(void *ud, u32 tid, struct task_regs *out)
{
	(void)ud, (void)tid;
	*out = (struct task_regs){.ip = 0x401000};
	return 0;
}

static const struct task_door door = {.read = door_read, .regs = door_regs};

static void keep_log(void *ud, const char *line)
{
	(void)ud;
	snprintf(log_text + strlen(log_text), sizeof(log_text) - strlen(log_text), "%s\n", line);
}

static char said[256];
static int remember(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level != LIBBPF_WARN)
		return 0;
	if (getenv("VERBOSE")) {
		va_list copy;

		va_copy(copy, ap);
		vfprintf(stderr, fmt, copy);
		va_end(copy);
	}
	if (!said[0])
		vsnprintf(said, sizeof(said), fmt, ap);
	return 0;
}

/* The first BPF object in a file's bytes. */
static void *object_in(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	unsigned char *all, *found = NULL;
	long n;

	if (!f)
		return NULL;
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	all = malloc((size_t)n);
	if (all && fread(all, 1, (size_t)n, f) == (size_t)n)
		for (long i = 4; i + (long)sizeof(Elf64_Ehdr) < n && !found; i++) {
			Elf64_Ehdr h;

			if (memcmp(all + i, ELFMAG, SELFMAG))
				continue;
			memcpy(&h, all + i, sizeof(h));
			*size = h.e_shoff + (size_t)h.e_shnum * h.e_shentsize;
			if (h.e_machine != EM_BPF || (size_t)i + *size > (size_t)n)
				continue;
			found = malloc(*size);
			if (found)
				memcpy(found, all + i, *size);
		}
	fclose(f);
	free(all);
	return found;
}

static void engine_open(void)
{
	struct skep_options o = {.size = sizeof(o), .log = keep_log};
	struct task_info shell = {.tid = 100, .tgid = 100, .parent = 50, .comm = "bash"};
	struct task_info make = {.tid = 201, .tgid = 200, .parent = 100, .uid = 1000, .gid = 1001, .comm = "make", .start_ns = 777, .mnt_ns_ino = 4026531841u, .exit_code = 0x300};

	log_text[0] = said[0] = 0;
	if (skep_open(&k, &o))
		abort();
	skep_bpf_use(k);
	tasks_door(k, &door);
	task_add(k, &shell);
	make_task = task_add(k, &make);
}

static void engine_close(void)
{
	skep_bpf_use(NULL);
	skep_close(k);
}

/* ---- tools whose hooks exist ---- */

static struct bpf_object *obj;
static struct bpf_link *links[32];
static int n_links;

/* A variable of .rodata, which tools set before they load. */
static void set_option(const char *name, const void *value, size_t size)
{
	struct bpf_map *m;

	bpf_object__for_each_map(m, obj) {
		struct btf *b = bpf_object__btf(obj);
		const struct btf_type *t;
		size_t room;
		char *data = (char *)bpf_map__initial_value(m, &room);

		if (!data || !strstr(bpf_map__name(m), ".rodata"))
			continue;
		t = btf__type_by_id(b, bpf_map__btf_value_type_id(m));
		for (int i = 0; t && i < btf_vlen(t); i++) {
			const struct btf_var_secinfo *v = btf_var_secinfos(t) + i;

			if (!strcmp(btf__name_by_offset(b, btf__type_by_id(b, v->type)->name_off), name)) {
				memcpy(data + v->offset, value, size);
				return;
			}
		}
	}
	test_fail(__FILE__, __LINE__, "the tool has no variable %s", name);
}

static bool open_tool(const char *name)
{
	char path[128];
	size_t size;
	void *bytes;

	snprintf(path, sizeof(path), "/usr/sbin/%s", name);
	bytes = object_in(path, &size);
	if (!bytes)
		return false;
	engine_open();
	obj = bpf_object__open_mem(bytes, size, NULL);
	free(bytes);
	CHECK(obj);
	return obj != NULL;
}

static bool start_tool(void)
{
	struct bpf_program *p;

	n_links = 0;
	if (bpf_object__load(obj)) {
		printf("# load: %s\n%s", said, log_text);
		test_fail(__FILE__, __LINE__, "it does not load");
		return false;
	}
	bpf_object__for_each_program(p, obj) {
		links[n_links] = bpf_program__attach(p);
		if (!links[n_links])
			printf("# %s: %s\n%s", bpf_program__name(p), said, log_text);
		CHECK(links[n_links]);
		n_links += links[n_links] != NULL;
	}
	return true;
}

static void end_tool(void)
{
	while (n_links)
		bpf_link__destroy(links[--n_links]);
	bpf_object__close(obj);
	engine_close();
}

static unsigned char got[64][8192];
static int n_got;

static void take(void *ctx, int cpu, void *data, __u32 size)
{
	(void)ctx, (void)cpu;
	if (n_got < 64)
		memcpy(got[n_got++], data, size < sizeof(got[0]) ? size : sizeof(got[0]));
}

static int take_record(void *ctx, void *data, size_t size)
{
	take(ctx, 0, data, (__u32)size);
	return 0;
}

static struct perf_buffer *listen_to(const char *map)
{
	struct perf_buffer *pb = perf_buffer__new(bpf_object__find_map_fd_by_name(obj, map), 64, take, NULL, NULL, NULL);

	CHECK(pb);
	n_got = 0;
	return pb;
}

static void call(u64 nr, s64 ret, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	task_event_enter(k, make_task, nr, (u64[6]){a, b, c, d, e, 0});
	task_event_exit_syscall(k, make_task, nr, ret);
}

TEST(opensnoop_rows)
{
	struct event {
		__u64 ts;
		int pid;
		unsigned uid;
		int ret, flags;
		__u64 callers[2];
		char comm[16];
		char fname[255];
	} e;
	struct perf_buffer *pb;
	unsigned anyone = (unsigned)-1;

	if (!open_tool("opensnoop"))
		SKIP("not installed");
	set_option("targ_uid", &anyone, 4);
	if (start_tool()) {
		pb = listen_to("events");
		for (int i = 0; i < 20; i++) {
			snprintf((char *)page + 64 * i, 64, "/usr/include/file-%d.h", i);
			call(i % 2 ? SYS_openat : SYS_open, i % 3 ? i : -ENOENT, i % 2 ? (u64)-100 : 0x5000ull + 64u * (u32)i, i % 2 ? 0x5000ull + 64u * (u32)i : 2, 2, 0, 0);
			call(SYS_read, 5, 3, 0x5000, 100, 0, 0);
		}
		while (perf_buffer__poll(pb, 0) > 0)
			;
		CHECK_EQ(n_got, 20);
		for (int i = 0; i < n_got; i++) {
			char name[64];

			memcpy(&e, got[i], sizeof(e));
			snprintf(name, sizeof(name), "/usr/include/file-%d.h", i);
			CHECK_EQ(e.pid, 200);
			CHECK_EQ(e.uid, 1000);
			CHECK_EQ(e.ret, i % 3 ? i : -ENOENT);
			CHECK_EQ(e.flags, 2);
			CHECK_STR(e.comm, "make");
			CHECK_STR(e.fname, name);
		}
		perf_buffer__free(pb);
	}
	end_tool();
}

TEST(execsnoop_rows)
{
	struct event {
		int pid, ppid;
		unsigned uid;
		int retval, args_count;
		unsigned args_size;
		char comm[16];
		char args[7680];
	} *e = (void *)got[0];
	struct perf_buffer *pb;
	unsigned anyone = (unsigned)-1;

	if (!open_tool("execsnoop"))
		SKIP("not installed");
	set_option("targ_uid", &anyone, 4);
	if (start_tool()) {
		pb = listen_to("events");
		strcpy((char *)page, "/bin/cc");
		strcpy((char *)page + 100, "-c");
		strcpy((char *)page + 110, "x.c");
		memcpy(page + 200, (u64[]){0x5000, 0x5000 + 100, 0x5000 + 110, 0}, 32);
		call(SYS_execve, 0, 0x5000, 0x5000 + 200, 0, 0, 0);
		while (perf_buffer__poll(pb, 0) > 0)
			;
		CHECK_EQ(n_got, 1);
		CHECK_EQ(e->pid, 200);
		CHECK_EQ(e->ppid, 100);
		CHECK_EQ(e->retval, 0);
		CHECK_EQ(e->args_count, 3);
		CHECK_STR(e->comm, "make");
		CHECK(e->args_size == 8 + 3 + 4 && !memcmp(e->args, "/bin/cc\0-c\0x.c", 15));
		perf_buffer__free(pb);
	}
	end_tool();
}

TEST(exitsnoop_rows)
{
	struct event {
		__u64 start_time, exit_time;
		int pid, tid, ppid;
		unsigned sig;
		int exit_code;
		char comm[16];
	} *e = (void *)got[0];
	struct perf_buffer *pb;
	unsigned char trace_by_process = 0;

	if (!open_tool("exitsnoop"))
		SKIP("not installed");
	set_option("trace_by_process", &trace_by_process, 1);
	if (start_tool()) {
		pb = listen_to("events");
		task_event_exit(k, make_task, false);
		while (perf_buffer__poll(pb, 0) > 0)
			;
		CHECK_EQ(n_got, 1);
		CHECK_EQ(e->start_time, 777);
		CHECK_EQ(e->pid, 200);
		CHECK_EQ(e->tid, 201);
		CHECK_EQ(e->ppid, 100);
		CHECK_EQ(e->exit_code, 3);
		CHECK_STR(e->comm, "make");
		perf_buffer__free(pb);
	}
	end_tool();
}

TEST(sigsnoop_rows)
{
	struct event {
		unsigned pid, tpid;
		int sig, ret;
		char comm[16];
	} *e;
	struct perf_buffer *pb;

	if (!open_tool("sigsnoop"))
		SKIP("not installed");
	if (start_tool()) {
		pb = listen_to("events");
		call(SYS_kill, -ESRCH, 777, SIGTERM, 0, 0, 0);
		call(SYS_tgkill, 0, 300, 301, SIGUSR1, 0, 0);
		task_event_signal_generate(k, make_task, task_find(k, 100), SIGCHLD, 0, 1, true, 0);
		while (perf_buffer__poll(pb, 0) > 0)
			;
		CHECK_EQ(n_got, 3);
		for (int i = 0; i < n_got; i++) {
			static const int targets[] = {777, 301, 100}, sigs[] = {SIGTERM, SIGUSR1, SIGCHLD}, rets[] = {-ESRCH, 0, 0};

			e = (void *)got[i];
			CHECK_EQ(e->pid, 200);
			CHECK_EQ(e->tpid, targets[i]);
			CHECK_EQ(e->sig, sigs[i]);
			CHECK_EQ(e->ret, rets[i]);
			CHECK_STR(e->comm, "make");
		}
		perf_buffer__free(pb);
	}
	end_tool();
}

TEST(mountsnoop_rows)
{
	struct event {
		__u64 delta, flags;
		unsigned pid, tid, mnt_ns;
		int ret;
		char comm[16], fs[8], src[4096], dest[4096], data[512];
		unsigned op;
	} *e = (void *)got[0];
	struct ring_buffer *rb;

	if (!open_tool("mountsnoop"))
		SKIP("not installed");
	if (start_tool()) {
		rb = ring_buffer__new(bpf_object__find_map_fd_by_name(obj, "events"), take_record, NULL, NULL);
		CHECK(rb);
		n_got = 0;
		strcpy((char *)page, "tmpfs");
		strcpy((char *)page + 100, "/mnt");
		call(SYS_mount, -EPERM, 0x5000, 0x5000 + 100, 0x5000, 7, 0);
		ring_buffer__consume(rb);
		CHECK_EQ(n_got, 1);
		CHECK_EQ(e->flags, 7);
		CHECK_EQ(e->pid, 200);
		CHECK_EQ(e->tid, 201);
		CHECK_EQ(e->mnt_ns, 4026531841u);
		CHECK_EQ(e->ret, -EPERM);
		CHECK_STR(e->comm, "make");
		CHECK_STR(e->fs, "tmpfs");
		CHECK_STR(e->src, "tmpfs");
		ring_buffer__free(rb);
	}
	end_tool();
}

TEST(syscount_rows)
{
	struct data {
		__u64 count, total_ns;
		char comm[16];
	} d;
	unsigned key = SYS_openat;
	int fd;

	if (!open_tool("syscount"))
		SKIP("not installed");
	if (start_tool()) {
		fd = bpf_object__find_map_fd_by_name(obj, "data");
		for (int i = 0; i < 7; i++)
			call(SYS_openat, i, 0, 0, 0, 0, 0);
		CHECK_EQ(bpf_map_lookup_elem(fd, &key, &d), 0);
		CHECK_EQ(d.count, 7);
		key = SYS_read;
		CHECK_EQ(bpf_map_lookup_elem(fd, &key, &d), -ENOENT);
	}
	end_tool();
}

/* ---- all of them ---- */

enum verdict { LACKING, LOADS, REFUSED_AT_LOAD, REFUSED_AT_ATTACH };

static enum verdict try_tool(const char *path, char *why, size_t room)
{
	enum verdict v = LOADS;
	struct bpf_program *p;
	size_t size;
	void *bytes = object_in(path, &size);

	why[0] = 0;
	if (!bytes)
		return LACKING;
	engine_open();
	obj = bpf_object__open_mem(bytes, size, NULL);
	free(bytes);
	n_links = 0;
	if (!obj || bpf_object__load(obj)) {
		v = REFUSED_AT_LOAD;
	} else {
		bpf_object__for_each_program(p, obj) {
			links[n_links] = bpf_program__attach(p);
			if (!links[n_links])
				v = REFUSED_AT_ATTACH;
			n_links += links[n_links] != NULL;
		}
	}
	snprintf(why, room, "%s", said);
	why[strcspn(why, "\n")] = 0;
	while (n_links)
		bpf_link__destroy(links[--n_links]);
	bpf_object__close(obj);
	engine_close();
	return v;
}

/* Those whose every hook is a tracepoint that exists; and those whose hooks are functions of processes, which they find themselves: they load. */
static const char *const by_tracepoints[] = {"opensnoop", "execsnoop", "exitsnoop", "killsnoop", "sigsnoop", "statsnoop", "mountsnoop", "syscount", NULL};
static const char *const by_functions[] = {"bashreadline", "gethostlatency", "funclatency", "javagc", NULL};

static bool among(const char *const *names, const char *name)
{
	while (*names && strcmp(*names, name))
		names++;
	return *names != NULL;
}

static char **tools;
static int n_tools;

TEST(every_tool_attaches_or_says_why_not)
{
	static const char *const words[] = {"not there", "attaches", "refused when it is loaded", "refused when it attaches"};
	int seen = 0;

	for (int i = 0; i < n_tools; i++) {
		const char *name = strrchr(tools[i], '/') ? strrchr(tools[i], '/') + 1 : tools[i];
		char why[256];
		enum verdict v = try_tool(tools[i], why, sizeof(why));

		if (v == LACKING)
			continue;
		seen++;
		printf("# %-16s %s%s%s\n", name, words[v], v == LOADS ? "" : ": ", v == LOADS ? "" : why);
		if (among(by_functions, name)) {
			CHECK(v != REFUSED_AT_LOAD);
			continue;
		}
		if (among(by_tracepoints, name) != (v == LOADS))
			test_fail(__FILE__, __LINE__, "%s: %s", name, words[v]);
		if (v != LOADS && !why[0])
			test_fail(__FILE__, __LINE__, "%s: nothing says why", name);
	}
	if (!seen)
		SKIP("none is installed");
}

int main(int argc, char **argv)
{
	tools = argv + 1;
	n_tools = argc - 1;
	libbpf_set_print(remember);
	RUN(opensnoop_rows);
	RUN(execsnoop_rows);
	RUN(exitsnoop_rows);
	RUN(sigsnoop_rows);
	RUN(mountsnoop_rows);
	RUN(syscount_rows);
	RUN(every_tool_attaches_or_says_why_not);
	return test_end();
}
