/* SPDX-License-Identifier: BSD-2-Clause */
/* Attaching: what is refused, with which error and which words; what is told of links; who keeps what alive; links that come and go under running events. */
#include "hook/hooks.h"
#include "../sys/sys_test.h"

#include <linux/perf_event.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct skep *k;
static char said[512];
static const struct task_door door = {0};

static void remember(void *ud, const char *line)
{
	(void)ud;
	snprintf(said, sizeof(said), "%s", line);
}

static int load(u32 type, const char *source)
{
	return load_text(k, type, source);
}

static int raw_open(const char *name, int prog)
{
	union bpf_attr a = {0};

	a.raw_tracepoint.name = (u64)(uintptr_t)name;
	a.raw_tracepoint.prog_fd = (u32)prog;
	return skep_bpf(k, BPF_RAW_TRACEPOINT_OPEN, &a, sizeof(a));
}

static int link_create(int prog, int target, u32 attach_type)
{
	union bpf_attr a = {0};

	a.link_create.prog_fd = (u32)prog;
	a.link_create.target_fd = (u32)target;
	a.link_create.attach_type = attach_type;
	return skep_bpf(k, BPF_LINK_CREATE, &a, sizeof(a));
}

static int perf_open(u32 type, u64 config)
{
	struct perf_event_attr attr = {.type = type, .size = sizeof(attr), .config = config};

	return skep_perf_event_open(k, &attr, -1, 0, -1, 0);
}

static int tracepoint(const char *category, const char *name)
{
	s32 site = site_find(category, name, strlen(name));

	return site < 0 ? site : perf_open(PERF_TYPE_TRACEPOINT, site_id((u32)site));
}

#define NOTHING "r0 = 0\nexit"

TEST(refusals)
{
	int tp = load(BPF_PROG_TYPE_TRACEPOINT, NOTHING), raw = load(BPF_PROG_TYPE_RAW_TRACEPOINT, NOTHING), xdp = load(BPF_PROG_TYPE_XDP, NOTHING);
	int beyond = load(BPF_PROG_TYPE_TRACEPOINT, "r0 = *(u64 *)(r1 +40)\nr0 = 0\nexit"), third = load(BPF_PROG_TYPE_RAW_TRACEPOINT, "r0 = *(u64 *)(r1 +16)\nr0 = 0\nexit");
	int lacking = load(BPF_PROG_TYPE_TRACEPOINT, "r1 = 0\n*(u64 *)(r10 -16) = r1\n*(u64 *)(r10 -8) = r1\nr1 = r10\nr1 += -16\nr2 = 8\nr3 = r1\nr4 = 16\nr5 = 0\ncall bpf_snprintf_btf#149\nr0 = 0\nexit"),
	    clock = load(BPF_PROG_TYPE_PERF_EVENT, NOTHING);
	int event = tracepoint("syscalls", "sys_enter_openat"), close_event = tracepoint("syscalls", "sys_enter_close"), link;

	CHECK(tp >= 0 && raw >= 0 && xdp >= 0 && beyond >= 0 && third >= 0 && lacking >= 0 && clock >= 0 && event >= 0 && close_event >= 0);
	/* how libbpf asks whether there are links of perf events */
	CHECK_EQ(link_create(tp, -1, 41), -EBADF);
	CHECK_EQ(link_create(tp, tp, 41), -EBADF);
	CHECK_EQ(link_create(tp, event, 0), -EINVAL);
	CHECK_EQ(link_create(raw, event, 41), -EINVAL);
	CHECK_EQ(link_create(clock, event, 41), -EINVAL);
	CHECK_EQ(link_create(xdp, -1, BPF_XDP), -EINVAL);
	CHECK_EQ(link_create(beyond, close_event, 41), -EACCES); /* close has one argument only */
	CHECK_EQ(link_create(lacking, event, 41), -EOPNOTSUPP);
	CHECK(strstr(said, "bpf_snprintf_btf"));

	CHECK_EQ(raw_open(NULL, raw), -EFAULT);
	CHECK_EQ(raw_open("sys_enter", xdp), -EINVAL);
	CHECK_EQ(raw_open("sys_enter", tp), -EINVAL);
	CHECK_EQ(raw_open("sys_enter", -1), -EBADF);
	CHECK_EQ(raw_open("sys_enter", third), -EINVAL); /* it has two arguments */
	CHECK_EQ(raw_open("sched_switch", raw), -ENOENT);
	CHECK(strstr(said, "sched_switch"));
	CHECK_EQ(raw_open("sys_enter_openat", raw), -ENOENT); /* nor has Linux raw tracepoints of single calls */

	CHECK_EQ(perf_open(PERF_TYPE_TRACEPOINT, 60000), -ENOENT);
	CHECK(strstr(said, "60000"));
	CHECK_EQ(perf_open(PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES), -ENOENT);
	CHECK_EQ(perf_open(PMU_KPROBE, 0), -ENOENT);
	CHECK(strstr(said, "kprobe"));
	CHECK_EQ(perf_open(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS), -ENOENT);

	link = link_create(tp, event, 41);
	CHECK(link >= 0);
	CHECK_EQ(link_create(beyond, event, 41), -EEXIST); /* an event has one program */
	CHECK_EQ(skep_perf_ioctl(k, event, PERF_EVENT_IOC_SET_BPF, (unsigned long)beyond), -EEXIST);
	close(event);
	event = tracepoint("syscalls", "sys_enter_openat");
	CHECK_EQ(link_create(tp, event, 41), -EEXIST); /* and a program is at a tracepoint once */
	close(link);
	close(event);
	close(close_event);
	close(tp), close(raw), close(xdp), close(beyond), close(third), close(lacking), close(clock);
}

TEST(a_tracepoint_has_64_programs)
{
	int progs[65], links[65];

	for (int i = 0; i < 65; i++) {
		progs[i] = load(BPF_PROG_TYPE_RAW_TRACEPOINT, NOTHING);
		links[i] = raw_open("task_rename", progs[i]);
		CHECK(i < 64 ? links[i] >= 0 : links[i] == -E2BIG);
	}
	for (int i = 0; i < 65; i++) {
		close(links[i]);
		close(progs[i]);
	}
}

TEST(what_is_told_of_links)
{
	struct {
		u32 type, id, prog_id, pad;
		u64 words[7];
	} info = {0};
	char name[64] = "", small[4];
	union bpf_attr a = {0};
	int raw = load(BPF_PROG_TYPE_RAW_TRACEPOINT, NOTHING), tp = load(BPF_PROG_TYPE_TRACEPOINT, NOTHING), event = tracepoint("sched", "sched_process_exec");
	int raw_link = raw_open("sched_process_exec", raw), tp_link = link_create(tp, event, 41), again;
	u32 id;

	REQUIRE(raw_link >= 0 && tp_link >= 0);
	info.words[0] = (u64)(uintptr_t)name;
	info.words[1] = sizeof(name);
	a.info.bpf_fd = (u32)raw_link;
	a.info.info_len = sizeof(info);
	a.info.info = (u64)(uintptr_t)&info;
	CHECK_EQ(skep_bpf(k, BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)), 0);
	CHECK_EQ(info.type, 1);
	CHECK_STR(name, "sched_process_exec");
	CHECK_EQ((u32)info.words[1], sizeof("sched_process_exec"));
	id = info.id;
	info.words[0] = (u64)(uintptr_t)small;
	info.words[1] = sizeof(small);
	CHECK_EQ(skep_bpf(k, BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)), -ENOSPC);
	CHECK_STR(small, "sch");

	memset(&info, 0, sizeof(info));
	a.info.bpf_fd = (u32)tp_link;
	CHECK_EQ(skep_bpf(k, BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)), 0);
	CHECK_EQ(info.type, 7);
	CHECK_EQ((u32)info.words[0], 5);

	memset(&a, 0, sizeof(a));
	a.link_id = id;
	again = skep_bpf(k, BPF_LINK_GET_FD_BY_ID, &a, sizeof(a));
	CHECK(again >= 0);
	close(again);
	memset(&a, 0, sizeof(a));
	a.link_detach.link_fd = (u32)raw_link;
	CHECK_EQ(skep_bpf(k, BPF_LINK_DETACH, &a, sizeof(a)), -EOPNOTSUPP);
	memset(&a, 0, sizeof(a));
	a.link_update.link_fd = (u32)raw_link;
	a.link_update.new_prog_fd = (u32)raw;
	CHECK_EQ(skep_bpf(k, BPF_LINK_UPDATE, &a, sizeof(a)), -EINVAL);

	memset(&a, 0, sizeof(a));
	a.task_fd_query.pid = (u32)getpid();
	a.task_fd_query.fd = (u32)raw_link;
	a.task_fd_query.buf = (u64)(uintptr_t)name;
	a.task_fd_query.buf_len = sizeof(name);
	CHECK_EQ(skep_bpf(k, BPF_TASK_FD_QUERY, &a, sizeof(a)), 0);
	CHECK_STR(name, "sched_process_exec");
	CHECK_EQ(a.task_fd_query.fd_type, 0);
	a.task_fd_query.fd = (u32)event;
	a.task_fd_query.buf_len = sizeof(name);
	CHECK_EQ(skep_bpf(k, BPF_TASK_FD_QUERY, &a, sizeof(a)), 0);
	CHECK_EQ(a.task_fd_query.fd_type, 1);
	a.task_fd_query.fd = (u32)raw;
	CHECK_EQ(skep_bpf(k, BPF_TASK_FD_QUERY, &a, sizeof(a)), -524);
	close(raw_link), close(tp_link), close(event), close(raw), close(tp);
}

/* A program that counts in an array. */
static int counter_map;

static int load_counter(u32 type)
{
	char source[512];

	snprintf(source, sizeof(source), "*(u32 *)(r10 -4) = 0\nr1 = map[fd:%d]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem#1\nif r0 == 0 goto +2\nr1 = 1\nlock *(u64 *)(r0 +0) += r1\nr0 = 0\nexit",
		 counter_map);
	return load(type, source);
}

static u64 counted(void)
{
	u32 key = 0;
	u64 v = 0;

	skep_map_lookup(k, counter_map, &key, &v);
	return v;
}

TEST(links_keep_programs_and_end_with_their_last_descriptor)
{
	struct task_info info = {.tid = 10, .tgid = 10, .comm = "t"};
	struct task *t = task_add(k, &info);
	struct task_needs needs;
	int prog = load_counter(BPF_PROG_TYPE_RAW_TRACEPOINT), link = raw_open("sys_enter", prog), copy;
	u64 args[6] = {0}, before = counted();

	REQUIRE(t && prog >= 0 && link >= 0);
	copy = dup(link);
	close(prog);
	task_event_enter(k, t, 1, args);
	CHECK_EQ(counted(), before + 1);
	close(link);
	tasks_closed(k);
	task_event_enter(k, t, 1, args);
	CHECK_EQ(counted(), before + 2);
	task_needs(k, &needs);
	CHECK(task_needs_enter(&needs, 1));
	close(copy);
	tasks_closed(k);
	task_event_enter(k, t, 1, args);
	CHECK_EQ(counted(), before + 2);
	task_needs(k, &needs);
	CHECK(!task_needs_enter(&needs, 1));

	/* by ioctl: the perf event keeps it */
	prog = load_counter(BPF_PROG_TYPE_TRACEPOINT);
	link = tracepoint("raw_syscalls", "sys_enter");
	CHECK_EQ(skep_perf_ioctl(k, link, PERF_EVENT_IOC_SET_BPF, (unsigned long)prog), 0);
	close(prog);
	task_event_enter(k, t, 1, args);
	CHECK_EQ(counted(), before + 3);
	close(link);
	tasks_closed(k);
	task_event_enter(k, t, 1, args);
	CHECK_EQ(counted(), before + 3);
	task_remove(k, t);
}

TEST(engines_with_another_kernels_types_attach_nothing)
{
	struct skep_options o = {.size = sizeof(o), .log = remember, .kernel_btf = "/sys/kernel/btf/vmlinux"};
	struct skep *mine = k;
	int raw;

	if (access(o.kernel_btf, R_OK))
		SKIP("no BTF of a running kernel");
	REQUIRE(!skep_open(&k, &o));
	raw = load(BPF_PROG_TYPE_RAW_TRACEPOINT, NOTHING);
	CHECK_EQ(raw_open("sys_enter", raw), -EOPNOTSUPP);
	CHECK(strstr(said, "types of another kernel"));
	close(raw);
	skep_close(k);
	k = mine;
}

/* ---- threads ---- */

static _Atomic bool stop;

static void *events(void *ud)
{
	struct task_info info = {.tid = (u32)(uintptr_t)ud, .tgid = 1, .comm = "t"};
	struct task *t = task_add(k, &info);
	u64 args[6] = {0};

	while (!atomic_load(&stop)) {
		task_event_enter(k, t, 1, args);
		task_event_exit_syscall(k, t, 1, 0);
		task_event_exec(k, t, "/bin/true", 1);
	}
	task_remove(k, t);
	return NULL;
}

TEST(links_come_and_go_under_events)
{
	pthread_t threads[2];
	u64 before = counted();
	int failed = 0;

	atomic_store(&stop, false);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, events, (void *)(uintptr_t)(1000 + i));
	for (int i = 0; i < 150; i++) {
		int prog = load_counter(i % 2 ? BPF_PROG_TYPE_RAW_TRACEPOINT : BPF_PROG_TYPE_TRACEPOINT);
		int event = i % 2 ? -1 : tracepoint("raw_syscalls", "sys_enter");
		int link = i % 2 ? raw_open("sched_process_exec", prog) : link_create(prog, event, 41);

		if (link < 0)
			failed++;
		close(prog);
		usleep(500);
		close(link);
		close(event);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(failed, 0);
	CHECK(counted() > before);
}

TEST(tracepoints_need_somebody_who_tells_of_tasks)
{
	int tp = load(BPF_PROG_TYPE_TRACEPOINT, NOTHING), raw = load(BPF_PROG_TYPE_RAW_TRACEPOINT, NOTHING), event = tracepoint("syscalls", "sys_enter_openat");

	tasks_door(k, NULL);
	CHECK_EQ(raw_open("sys_enter", raw), -EOPNOTSUPP);
	CHECK(strstr(said, "tracepoint sys_enter: nobody tells"));
	CHECK_EQ(link_create(tp, event, 41), -EOPNOTSUPP);
	CHECK(strstr(said, "tracepoint sys_enter_openat: nobody tells"));
	tasks_door(k, &door);
	close(event), close(raw), close(tp);
}

int main(void)
{
	struct skep_options o = {.size = sizeof(o), .log = remember};

	if (skep_open(&k, &o))
		return 1;
	tasks_door(k, &door);
	counter_map = skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
	RUN(refusals);
	RUN(tracepoints_need_somebody_who_tells_of_tasks);
	RUN(a_tracepoint_has_64_programs);
	RUN(what_is_told_of_links);
	RUN(links_keep_programs_and_end_with_their_last_descriptor);
	RUN(engines_with_another_kernels_types_attach_nothing);
	RUN(links_come_and_go_under_events);
	skep_close(k);
	return test_end();
}
