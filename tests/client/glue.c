/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libbpf on skep, through the linker's redirections: feature probes, pins below /sys/fs/bpf, waiting on rings, perf events,
 * and that calls which are nobody's business but the system's go there. argv[1]: glue.bpf.c.
 */
#include "host.h"

#include "client/skep-bpf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static const char *objects_source;

/* r0 = helper(map, stack, 8, 0) as a ring output, or, for a perf array, helper(ctx, map, CURRENT_CPU, stack, 8) */
static int output_program(int map_fd, bool perf)
{
	const struct bpf_insn ring[] = {
		{.code = 0x7a, .dst_reg = 10, .off = -8, .imm = 42}, /* *(u64 *)(r10 -8) = 42 */
		{.code = 0x18, .dst_reg = 1, .src_reg = 1, .imm = map_fd}, {0},
		{.code = 0xbf, .dst_reg = 2, .src_reg = 10}, {.code = 0x07, .dst_reg = 2, .imm = -8},
		{.code = 0xb7, .dst_reg = 3, .imm = 8}, {.code = 0xb7, .dst_reg = 4},
		{.code = 0x85, .imm = BPF_FUNC_ringbuf_output}, {.code = 0x95},
	};
	const struct bpf_insn event[] = {
		{.code = 0x7a, .dst_reg = 10, .off = -8, .imm = 42},
		{.code = 0x18, .dst_reg = 2, .src_reg = 1, .imm = map_fd}, {0},
		{.code = 0x18, .dst_reg = 3, .imm = -1}, {0}, /* BPF_F_CURRENT_CPU */
		{.code = 0xbf, .dst_reg = 4, .src_reg = 10}, {.code = 0x07, .dst_reg = 4, .imm = -8},
		{.code = 0xb7, .dst_reg = 5, .imm = 8},
		{.code = 0x85, .imm = BPF_FUNC_perf_event_output}, {.code = 0x95},
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "out", "GPL", perf ? event : ring,
			     perf ? sizeof(event) / sizeof(event[0]) : sizeof(ring) / sizeof(ring[0]), NULL);
}

static int run_program(int fd)
{
	unsigned char packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet), .repeat = 1);
	int err = bpf_prog_test_run_opts(fd, &opts);

	return err ? err : (int)opts.retval;
}

static int count_record(void *ctx, void *data, size_t size)
{
	*(int *)ctx += size == 8 && *(long *)data == 42;
	return 0;
}

static void count_sample(void *ctx, int cpu, void *data, __u32 size)
{
	static const long expected = 42;

	(void)cpu;
	*(int *)ctx += size >= 8 && !memcmp(data, &expected, 8); /* samples lie at odd multiples of four */
}

TEST(probes_find_what_is_there_and_nothing_else)
{
	CHECK_EQ(libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_XDP, NULL), 1);
	CHECK_EQ(libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SOCKET_FILTER, NULL), 1);
	CHECK_EQ(libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, NULL), 1);
	CHECK_EQ(libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_TRACING, NULL), 1);
	CHECK_EQ(libbpf_probe_bpf_map_type(BPF_MAP_TYPE_HASH, NULL), 1);
	CHECK_EQ(libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, NULL), 1);
	CHECK_EQ(libbpf_probe_bpf_map_type(BPF_MAP_TYPE_LPM_TRIE, NULL), 1);
	CHECK_EQ(libbpf_probe_bpf_map_type(BPF_MAP_TYPE_STACK_TRACE, NULL), 1);
	CHECK_EQ(libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_map_lookup_elem, NULL), 1);
	CHECK_EQ(libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, (enum bpf_func_id)4711, NULL), 0);
}

TEST(the_hosts_btf_is_not_taken_for_the_engines)
{
	struct btf *types = btf__load_vmlinux_btf();
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY);

	CHECK(types && btf__find_by_name_kind(types, "task_struct", BTF_KIND_STRUCT) > 0);
	CHECK(btf__find_by_name_kind(types, "sk_buff", BTF_KIND_STRUCT) < 0);
	btf__free(types);
	CHECK(fd >= 0);
	close(fd);
	CHECK_EQ(access("/sys/kernel/btf/vmlinux", R_OK), 0);
	CHECK_EQ(access("/sys/kernel/btf/ext4", R_OK), -1);
	CHECK_EQ(errno, ENOENT);
	CHECK_EQ(access("/sys/kernel/debug/tracing", F_OK), 0);
	CHECK_EQ(access("/sys/kernel/tracing/events/sched/sched_switch/id", R_OK), -1);
}

TEST(other_calls_go_to_the_system)
{
	char path[96], back[8] = "";
	struct statfs fs;
	FILE *f;
	int fd;
	void *p;

	snprintf(path, sizeof(path), "%s/sub", dir);
	CHECK_EQ(mkdir(path, 0750), 0);
	snprintf(path, sizeof(path), "%s/sub/file", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	REQUIRE(fd >= 0);
	CHECK_EQ(write(fd, "hello", 5), 5);
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && !memcmp(p, "hello", 5));
	munmap(p, 4096);
	close(fd);
	CHECK_EQ(access(path, R_OK), 0);
	f = fopen(path, "r");
	CHECK(f && fread(back, 1, 5, f) == 5 && !strcmp(back, "hello"));
	if (f)
		fclose(f);
	CHECK_EQ(statfs(path, &fs), 0);
	CHECK(fs.f_type != BPF_FS_MAGIC);
	CHECK_EQ(syscall(SYS_getpid), getpid());
	CHECK_EQ(unlink(path), 0);
	CHECK_EQ(access(path, R_OK), -1);
}

TEST(pins_live_in_a_directory_of_the_users)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	char packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));
	const struct bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_DROP}, {.code = BPF_JMP | BPF_EXIT}};
	int prog = bpf_prog_load(BPF_PROG_TYPE_XDP, "drops", "GPL", code, sizeof(code) / sizeof(code[0]), NULL);
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "pinned", 4, 4, 8, &opts), key = 5, value = 55, again, status = -1;
	struct statfs fs;
	char path[128];
	struct stat st;
	pid_t pid;

	REQUIRE(fd >= 0 && prog >= 0);
	CHECK_EQ(statfs("/sys/fs/bpf", &fs), 0);
	CHECK_EQ(fs.f_type, BPF_FS_MAGIC);
	CHECK_EQ(mkdir("/sys/fs/bpf/skep-test", 0700), 0);
	CHECK_EQ(bpf_map_update_elem(fd, &key, &value, BPF_ANY), 0);
	CHECK_EQ(bpf_obj_pin(fd, "/sys/fs/bpf/skep-test/map"), 0);
	CHECK_EQ(bpf_obj_pin(fd, "/sys/fs/bpf/skep-test/map"), -EEXIST);
	snprintf(path, sizeof(path), "%s/skep/bpf/skep-test/map", dir);
	CHECK_EQ(stat(path, &st), 0);
	again = bpf_obj_get("/sys/fs/bpf/skep-test/map");
	CHECK(again >= 0);
	value = 0;
	CHECK_EQ(bpf_map_lookup_elem(again, &key, &value), 0);
	CHECK_EQ(value, 55);
	CHECK_EQ(bpf_obj_get("/sys/fs/bpf/skep-test/none"), -ENOENT);
	CHECK_EQ(bpf_obj_pin(prog, "/sys/fs/bpf/skep-test/prog"), 0);
	fflush(stdout);
	pid = fork(); /* an engine of its own */
	if (!pid) {
		struct skep *k;
		int other;

		if (skep_open(&k, NULL))
			_exit(1);
		skep_bpf_use(k);
		other = bpf_obj_get("/sys/fs/bpf/skep-test/map");
		value = 0;
		if (other < 0 || bpf_map_lookup_elem(other, &key, &value) || value != 55)
			_exit(2);
		value = 66;
		if (bpf_map_update_elem(other, &key, &value, BPF_ANY))
			_exit(3);
		other = bpf_obj_get("/sys/fs/bpf/skep-test/prog");
		_exit(other < 0 || bpf_prog_test_run_opts(other, &run) || run.retval != XDP_DROP ? 4 : 0);
	}
	waitpid(pid, &status, 0);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
	CHECK_EQ(bpf_map_lookup_elem(fd, &key, &value), 0);
	CHECK_EQ(value, 66);
	CHECK_EQ(unlink("/sys/fs/bpf/skep-test/map"), 0);
	CHECK_EQ(unlink("/sys/fs/bpf/skep-test/prog"), 0);
	close(prog);
	CHECK_EQ(bpf_obj_get("/sys/fs/bpf/skep-test/map"), -ENOENT);
	close(again);
	close(fd);
}

/* What an event loop of the program's own sees: its own data, as long as something is there, and no longer. */
TEST(a_ring_is_readable_while_it_holds_records)
{
	int map = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, 4096, NULL), prog = output_program(map, false), seen = 0;
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0x1234567890abcdef};
	struct ring_buffer *ring = ring_buffer__new(map, count_record, &seen, NULL);
	struct pollfd p[2] = {{.fd = map, .events = POLLIN}, {.fd = -1, .events = POLLIN}};

	REQUIRE(map >= 0 && prog >= 0 && ep >= 0 && ring);
	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_MOD, map, &e), -1);
	CHECK_EQ(errno, ENOENT);
	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, map, &e), 0);
	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, map, &e), -1);
	CHECK_EQ(errno, EEXIST);
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
	CHECK_EQ(run_program(prog), 0);
	for (int i = 0; i < 3; i++) {
		memset(&e, 0, sizeof(e));
		CHECK_EQ(epoll_wait(ep, &e, 1, 1000), 1);
		CHECK(e.data.u64 == 0x1234567890abcdef && e.events == EPOLLIN);
	}
	CHECK_EQ(poll(p, 2, 1000), 1);
	CHECK_EQ(p[0].revents, POLLIN);
	CHECK_EQ(p[0].fd, map);
	CHECK_EQ(p[1].revents, 0);
	CHECK_EQ(ring_buffer__poll(ring, 1000), 1);
	CHECK_EQ(seen, 1);
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
	CHECK_EQ(poll(p, 2, 0), 0);
	CHECK_EQ(p[0].revents, 0);
	CHECK_EQ(ring_buffer__poll(ring, 0), 0);
	CHECK_EQ(run_program(prog), 0);
	CHECK_EQ(epoll_pwait(ep, &e, 1, 1000, NULL), 1);
	e = (struct epoll_event){.events = EPOLLIN, .data.u64 = 9};
	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_MOD, map, &e), 0);
	CHECK_EQ(epoll_wait(ep, &e, 1, 1000), 1);
	CHECK_EQ(e.data.u64, 9);
	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, map, NULL), 0);
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, map, NULL), -1);
	ring_buffer__free(ring);
	close(prog);
	close(map);
	close(ep);
}

TEST(a_waiting_thread_is_woken)
{
	int map = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, 4096, NULL), prog = output_program(map, false), seen = 0, status;
	struct ring_buffer *ring = ring_buffer__new(map, count_record, &seen, NULL);
	pid_t pid;

	REQUIRE(map >= 0 && prog >= 0 && ring);
	fflush(stdout);
	pid = fork(); /* the engine is shared memory: a child's run wakes the parent */
	if (!pid) {
		usleep(50000);
		_exit(run_program(prog) ? 1 : 0);
	}
	CHECK_EQ(ring_buffer__poll(ring, 20000), 1);
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	CHECK_EQ(seen, 1);
	ring_buffer__free(ring);
	close(prog);
	close(map);
}

TEST(samples_reach_a_perf_buffer)
{
	int map = bpf_map_create(BPF_MAP_TYPE_PERF_EVENT_ARRAY, "samples", 4, 4, 0, NULL), prog, seen = 0;
	struct perf_buffer *pb;

	if (map < 0) /* libbpf gives it a size when it loads an object; here it is ours to give */
		map = bpf_map_create(BPF_MAP_TYPE_PERF_EVENT_ARRAY, "samples", 4, 4, (unsigned)libbpf_num_possible_cpus(), NULL);
	REQUIRE(map >= 0);
	prog = output_program(map, true);
	pb = perf_buffer__new(map, 2, count_sample, NULL, &seen, NULL);
	REQUIRE(prog >= 0 && pb);
	CHECK_EQ(perf_buffer__poll(pb, 0), 0);
	for (int i = 0; i < 1000; i++) { /* more than the ring holds, so it wraps */
		CHECK_EQ(run_program(prog), 0);
		if (i % 50 == 49)
			CHECK(perf_buffer__poll(pb, 1000) > 0);
	}
	CHECK_EQ(seen, 1000);
	CHECK_EQ(perf_buffer__poll(pb, 0), 0);
	perf_buffer__free(pb);
	close(prog);
	close(map);
}

static char logged[4096];

static void note(void *ud, const char *line)
{
	(void)ud;
	snprintf(logged + strlen(logged), sizeof(logged) - strlen(logged), "%s\n", line);
}

/* Attaching to what is not there fails, and says what. */
TEST(hooks_that_do_not_exist_are_refused_by_name)
{
	struct skep_options opts = {.size = sizeof(opts), .log = note};
	struct perf_event_attr attr = {.size = sizeof(attr), .type = PERF_TYPE_HARDWARE, .config = PERF_COUNT_HW_CPU_CYCLES};
	struct skep *before = skep_bpf_engine(), *k;
	int map, prog;

	REQUIRE(before && !skep_open(&k, &opts));
	skep_bpf_use(k);
	CHECK_EQ(syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0), -1);
	CHECK(errno == ENOENT || errno == EOPNOTSUPP);
	CHECK(strstr(logged, "perf_event_open"));
	logged[0] = 0;
	map = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, 4096, NULL);
	prog = output_program(map, false);
	REQUIRE(prog >= 0);
	CHECK(bpf_link_create(prog, 1, BPF_XDP, NULL) < 0);
	CHECK(strstr(logged, "attach"));
	close(prog);
	close(map);
	skep_bpf_use(before);
	skep_close(k);
}

/* glue.bpf.c as an object that is open, or NULL. */
static struct bpf_object *open_object(void)
{
	char command[512], object[96];

	snprintf(object, sizeof(object), "%s/glue.o", dir);
	snprintf(command, sizeof(command), "clang -O2 -g -target bpf -I/usr/include/$(uname -m)-linux-gnu -c '%s' -o '%s' 2>/dev/null",
		 objects_source, object);
	return system(command) ? NULL : bpf_object__open_file(object, NULL);
}

static struct bpf_program *only(struct bpf_object *obj, const char *name)
{
	struct bpf_program *p, *found = NULL;

	bpf_object__for_each_program(p, obj) {
		bpf_program__set_autoload(p, !strcmp(bpf_program__name(p), name));
		found = strcmp(bpf_program__name(p), name) ? found : p;
	}
	return found;
}

/* libbpf's own writer of such a ring: what it commits is drained in order, what it discards is not, a full one is waited for. */
TEST(records_of_a_user_ring_buffer_are_drained)
{
	struct bpf_object *obj;
	struct bpf_program *drain;
	struct user_ring_buffer *ring;
	struct bpf_map *sum;
	uint64_t expected = 0, *record, got = 0;
	int zero = 0, room = 0, status = -1;
	pid_t pid;

	CHECK_EQ(skep_bpf_sections(), 0);
	obj = open_object();
	if (!obj)
		SKIP("clang for BPF not available");
	drain = only(obj, "drain");
	REQUIRE(drain && !bpf_object__load(obj));
	sum = bpf_object__find_map_by_name(obj, ".bss");
	ring = user_ring_buffer__new(bpf_object__find_map_fd_by_name(obj, "from_users"), NULL);
	REQUIRE(sum && ring);
	for (uint64_t i = 1; (record = user_ring_buffer__reserve(ring, sizeof(*record))); i++, room++) {
		*record = i;
		if (i % 3) {
			expected += i;
			user_ring_buffer__submit(ring, record);
		} else {
			user_ring_buffer__discard(ring, record);
		}
	}
	CHECK_EQ(errno, ENOSPC);
	CHECK_EQ(room, 4096 / 16);
	fflush(stdout);
	pid = fork(); /* the engine is shared memory: a child's run makes room for the parent */
	if (!pid) {
		usleep(50000);
		_exit(run_program(bpf_program__fd(drain)) == room - room / 3 ? 0 : 1);
	}
	record = user_ring_buffer__reserve_blocking(ring, sizeof(*record), 20000);
	CHECK(record);
	if (record) {
		*record = 1000000;
		user_ring_buffer__submit(ring, record);
		expected += 1000000;
	}
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	run_program(bpf_program__fd(drain)); /* nothing is left, should the child have come late */
	CHECK_EQ(bpf_map_lookup_elem(bpf_map__fd(sum), &zero, &got), 0);
	CHECK_EQ(got, expected);
	user_ring_buffer__free(ring);
	bpf_object__close(obj);
}

/* A section that came after this libbpf is loaded as what it is. */
TEST(newer_sections_have_their_types)
{
	struct bpf_program *p;
	struct bpf_object *obj;

	CHECK_EQ(skep_bpf_sections(), 0);
	obj = open_object();
	if (!obj)
		SKIP("clang for BPF not available");
	p = bpf_object__find_program_by_name(obj, "ingress");
	CHECK_EQ(bpf_program__type(p), BPF_PROG_TYPE_SCHED_CLS);
	CHECK_EQ(bpf_program__expected_attach_type(p), 46);
	CHECK_EQ(bpf_program__flags(p), 0);
	p = bpf_object__find_program_by_name(obj, "peer");
	CHECK_EQ(bpf_program__type(p), BPF_PROG_TYPE_SCHED_CLS);
	CHECK_EQ(bpf_program__expected_attach_type(p), 55);
	p = bpf_object__find_program_by_name(obj, "multi");
	CHECK_EQ(bpf_program__type(p), BPF_PROG_TYPE_KPROBE);
	CHECK_EQ(bpf_program__expected_attach_type(p), 48);
	CHECK_EQ(bpf_program__flags(p), BPF_F_SLEEPABLE);
	bpf_program__set_autoload(p, false);
	p = bpf_object__find_program_by_name(obj, "unknown");
	CHECK_EQ(bpf_program__type(p), BPF_PROG_TYPE_UNSPEC);
	bpf_program__set_autoload(p, false);
	CHECK_EQ(bpf_object__load(obj), 0);
	CHECK_EQ(run_program(bpf_program__fd(bpf_object__find_program_by_name(obj, "ingress"))), 1);
	CHECK_EQ(run_program(bpf_program__fd(bpf_object__find_program_by_name(obj, "peer"))), 2);
	bpf_object__close(obj);
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

int main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	char command[128];

	objects_source = argc > 1 ? argv[1] : "";
	snprintf(dir, sizeof(dir), "%.40s/skep-glue-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	setenv("XDG_RUNTIME_DIR", dir, 1);
	libbpf_set_print(quiet);
	RUN(probes_find_what_is_there_and_nothing_else);
	RUN(the_hosts_btf_is_not_taken_for_the_engines);
	RUN(other_calls_go_to_the_system);
	RUN(pins_live_in_a_directory_of_the_users);
	RUN(a_ring_is_readable_while_it_holds_records);
	RUN(a_waiting_thread_is_woken);
	RUN(samples_reach_a_perf_buffer);
	RUN(hooks_that_do_not_exist_are_refused_by_name);
	RUN(records_of_a_user_ring_buffer_are_drained);
	RUN(newer_sections_have_their_types);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (system(command))
		return 1;
	return test_end();
}
