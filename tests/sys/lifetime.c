/* SPDX-License-Identifier: BSD-2-Clause */
/* How long objects live: as long as a descriptor, in whatever process, a mapping, a program or a map that uses them. */
#include "sys_test.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static struct skep *k;

static int array(uint32_t flags)
{
	return skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, 8, 1, flags);
}

static bool maps_left(void)
{
	return next_id(k, BPF_MAP_GET_NEXT_ID, 0) > 0;
}

TEST(the_last_of_several_descriptors_ends_it)
{
	int fd = array(0), id = next_id(k, BPF_MAP_GET_NEXT_ID, 0), more[5];

	REQUIRE(fd >= 0 && id > 0);
	for (int i = 0; i < 5; i++)
		REQUIRE((more[i] = i % 2 ? dup(fd) : fd_by_id(k, BPF_MAP_GET_FD_BY_ID, (uint32_t)id)) >= 0);
	close(fd);
	for (int i = 0; i < 4; i++)
		close(more[i]); /* equal events of inotify are one */
	CHECK(maps_left());
	close(more[4]);
	CHECK(!maps_left());
	CHECK_EQ(fd_by_id(k, BPF_MAP_GET_FD_BY_ID, (uint32_t)id), -ENOENT);
}

TEST(descriptors_are_closed_on_exec)
{
	int fd = array(0);

	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

TEST(another_process_keeps_it)
{
	uint32_t key = 0;
	uint64_t value;
	int fd = array(0), go[2], status, id = next_id(k, BPF_MAP_GET_NEXT_ID, 0);
	pid_t child;
	char c = 0;

	REQUIRE(fd >= 0 && !pipe(go));
	child = fork();
	if (child == 0) {
		close(go[1]);
		_exit(read(go[0], &c, 1) < 0);
	}
	REQUIRE(child > 0);
	close(go[0]);
	close(fd);
	CHECK(maps_left());
	fd = fd_by_id(k, BPF_MAP_GET_FD_BY_ID, (uint32_t)id);
	CHECK_EQ(skep_map_lookup(k, fd, &key, &value), 0);
	close(fd);
	CHECK(maps_left());
	close(go[1]);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(!maps_left());
}

TEST(a_descriptor_on_its_way_keeps_it)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char byte = 'x';
	struct iovec part = {&byte, 1};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	int fd = array(0), pair[2];
	uint32_t key = 0;
	uint64_t value = 5;

	REQUIRE(fd >= 0 && !socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	control.head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	CHECK_EQ(sendmsg(pair[0], &m, 0), 1);
	close(fd);
	CHECK(maps_left());
	CHECK_EQ(recvmsg(pair[1], &m, 0), 1);
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	CHECK_EQ(skep_map_update(k, fd, &key, &value, 0), 0);
	close(fd);
	CHECK(!maps_left());
	close(pair[0]);
	close(pair[1]);
}

TEST(a_mapping_keeps_it)
{
	int fd = array(BPF_F_MMAPABLE);
	uint64_t *value = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	REQUIRE(fd >= 0 && value != MAP_FAILED);
	close(fd);
	*value = 9;
	CHECK(maps_left());
	munmap(value, 4096);
	/* Unmapping closes the file where inotify sees it. */
	CHECK(!maps_left());
}

TEST(only_what_is_made_to_be_mapped_is)
{
	int fd = array(0), hash = skep_map_create(k, BPF_MAP_TYPE_HASH, 4, 8, 4, 0), prog = load_text(k, BPF_PROG_TYPE_XDP, "r0 = 2\nexit");

	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, hash, 0) == MAP_FAILED);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, prog, 0) == MAP_FAILED);
	CHECK(ftruncate(fd, 1 << 20) < 0);
	close(fd);
	fd = array(BPF_F_MMAPABLE);
	CHECK(ftruncate(fd, 0) < 0);
	CHECK(ftruncate(fd, 1 << 20) < 0);
	close(fd);
	close(hash);
	close(prog);
	CHECK(!maps_left());
}

TEST(a_program_keeps_its_maps)
{
	char text[128];
	int map = array(0), prog;

	snprintf(text, sizeof(text), "r1 = map[fd:%d]\nr0 = 2\nexit", map);
	prog = load_text(k, BPF_PROG_TYPE_XDP, text);
	REQUIRE(prog >= 0);
	close(map);
	CHECK(maps_left());
	close(prog);
	CHECK_EQ(next_id(k, BPF_PROG_GET_NEXT_ID, 0), -ENOENT);
	CHECK(!maps_left());
}

TEST(a_bound_map_lives_with_the_program)
{
	int map = array(0), prog = load_text(k, BPF_PROG_TYPE_XDP, "r0 = 2\nexit");
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.prog_bind_map.prog_fd = (uint32_t)prog;
	a.prog_bind_map.map_fd = (uint32_t)map;
	CHECK_EQ(skep_bpf(k, BPF_PROG_BIND_MAP, &a, sizeof(a)), 0);
	CHECK_EQ(skep_bpf(k, BPF_PROG_BIND_MAP, &a, sizeof(a)), 0); /* twice is once */
	close(map);
	CHECK(maps_left());
	close(prog);
	CHECK(!maps_left());
}

TEST(an_array_of_programs_keeps_them)
{
	int array_fd = skep_map_create(k, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2, 0), prog = load_text(k, BPF_PROG_TYPE_XDP, "r0 = 2\nexit");
	uint32_t key = 0, id = 0;

	REQUIRE(array_fd >= 0 && prog >= 0);
	CHECK_EQ(skep_map_update(k, array_fd, &key, &prog, 0), 0);
	key = 1;
	CHECK_EQ(skep_map_update(k, array_fd, &key, &prog, 0), 0);
	close(prog);
	CHECK_EQ(skep_map_lookup(k, array_fd, &key, &id), 0);
	CHECK_EQ(next_id(k, BPF_PROG_GET_NEXT_ID, 0), id);
	CHECK_EQ(skep_map_delete(k, array_fd, &key), 0);
	CHECK_EQ(next_id(k, BPF_PROG_GET_NEXT_ID, 0), id);
	close(array_fd);
	CHECK(!maps_left());
	CHECK_EQ(next_id(k, BPF_PROG_GET_NEXT_ID, 0), -ENOENT);
}

TEST(a_map_of_maps_keeps_them)
{
	union bpf_attr a;
	int inner = array(0), other = array(0), outer;
	uint32_t key = 0, id = 0;

	memset(&a, 0, sizeof(a));
	a.map_type = BPF_MAP_TYPE_HASH_OF_MAPS;
	a.key_size = a.value_size = 4;
	a.max_entries = 4;
	a.inner_map_fd = (uint32_t)inner;
	outer = skep_bpf(k, BPF_MAP_CREATE, &a, sizeof(a));
	REQUIRE(outer >= 0);
	CHECK_EQ(skep_map_update(k, outer, &key, &other, 0), 0);
	close(other);
	close(inner);
	CHECK_EQ(skep_map_lookup(k, outer, &key, &id), 0);
	other = fd_by_id(k, BPF_MAP_GET_FD_BY_ID, id);
	CHECK(other >= 0);
	CHECK_EQ(skep_map_delete(k, outer, &key), 0);
	close(other);
	CHECK_EQ(fd_by_id(k, BPF_MAP_GET_FD_BY_ID, id), -ENOENT);
	close(outer);
	CHECK(!maps_left());
}

TEST(lost_events_are_made_up_for)
{
	int a = array(0), b = array(0);
	char path[2][40];

	snprintf(path[0], sizeof(path[0]), "/proc/self/fd/%d", a);
	snprintf(path[1], sizeof(path[1]), "/proc/self/fd/%d", b);
	for (int i = 0; i < 40000; i++) /* alternating, so that none are merged */
		close(open(path[i & 1], O_RDONLY | O_CLOEXEC));
	close(a);
	close(b);
	CHECK(!maps_left());
}

TEST(without_inotify_it_ends_all_the_same)
{
	int taken[1024], n = 0, fd, more, id;
	struct skep *all = k;

	while (n < 1024 && (taken[n] = inotify_init1(IN_CLOEXEC)) >= 0)
		n++;
	if (n == 1024 || skep_open(&k, NULL)) {
		k = NULL;
	} else {
		fd = array(0);
		id = next_id(k, BPF_MAP_GET_NEXT_ID, 0);
		more = fd_by_id(k, BPF_MAP_GET_FD_BY_ID, (uint32_t)id);
		CHECK(fd >= 0 && more >= 0);
		close(fd);
		CHECK(maps_left());
		close(more);
		CHECK(!maps_left());
		skep_close(k);
	}
	while (n)
		close(taken[--n]);
	if (!k)
		test_skip_reason = "inotify cannot be used up";
	k = all;
}

struct told {
	char line[200];
};

static void remember(void *ud, const char *line)
{
	snprintf(((struct told *)ud)->line, sizeof(((struct told *)ud)->line), "%s", line);
}

TEST(what_is_not_supported_is_named)
{
	struct told told = {{0}};
	struct skep_options opts = {.size = sizeof(opts), .log = remember, .log_ud = &told};
	struct skep *other;
	union bpf_attr a;

	REQUIRE(!skep_open(&other, &opts));
	memset(&a, 0, sizeof(a));
	a.query.attach_type = BPF_LIRC_MODE2;
	CHECK_EQ(skep_bpf(other, BPF_PROG_QUERY, &a, sizeof(a)), -EINVAL);
	CHECK(!strncmp(told.line, "PROG_QUERY: not supported by skep ", 34));
	memset(&a, 0, sizeof(a));
	a.attach_type = BPF_LIRC_MODE2;
	CHECK_EQ(skep_bpf(other, BPF_PROG_DETACH, &a, sizeof(a)), -EOPNOTSUPP);
	CHECK(!strncmp(told.line, "attach: PROG_DETACH: lirc_mode2: skep ", 38));
	if (if_indextoname(1, (char[IF_NAMESIZE]){0})) {
		int prog = load_text(other, BPF_PROG_TYPE_XDP, "r0 = 2\nexit");

		memset(&a, 0, sizeof(a));
		a.link_create.prog_fd = (uint32_t)prog;
		a.link_create.target_ifindex = 1;
		a.link_create.attach_type = BPF_XDP;
		CHECK_EQ(skep_bpf(other, BPF_LINK_CREATE, &a, sizeof(a)), -EOPNOTSUPP);
		CHECK(!strncmp(told.line, "attach: LINK_CREATE: xdp: skep ", 31));
		close(prog);
	}
	CHECK_EQ(skep_bpf(other, 38, &a, sizeof(a)), -EINVAL);
	CHECK_EQ(skep_bpf(other, -1, &a, sizeof(a)), -EINVAL);
	skep_close(other);
}

static int query(int target, u32 type, u32 flags, union bpf_attr *a)
{
	memset(a, 0, sizeof(*a));
	a->query.target_fd = (u32)target;
	a->query.attach_type = type;
	a->query.query_flags = flags;
	a->query.prog_cnt = 5;
	return skep_bpf(k, BPF_PROG_QUERY, a, sizeof(*a));
}

TEST(nothing_is_attached_where_nothing_can_be)
{
	int socks = skep_map_create(k, BPF_MAP_TYPE_SOCKMAP, 4, 4, 2, 0), hash = skep_map_create(k, BPF_MAP_TYPE_HASH, 4, 4, 2, 0), ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC),
	    user = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	union bpf_attr a;
	uint32_t words[48] = {0};

	REQUIRE(socks >= 0 && hash >= 0);
	CHECK_EQ(query(socks, BPF_SK_SKB_STREAM_VERDICT, 0, &a), 0);
	CHECK_EQ(a.query.prog_cnt, 0);
	CHECK_EQ(query(socks, BPF_SK_MSG_VERDICT, BPF_F_QUERY_EFFECTIVE, &a), -EINVAL);
	CHECK_EQ(query(hash, BPF_SK_MSG_VERDICT, 0, &a), -EOPNOTSUPP);
	if (ns >= 0) {
		CHECK_EQ(query(ns, BPF_FLOW_DISSECTOR, 0, &a), 0);
		CHECK_EQ(a.query.prog_cnt, 0);
		CHECK_EQ(query(ns, BPF_SK_LOOKUP, 0, &a), 0);
		CHECK_EQ(query(ns, BPF_SK_LOOKUP, BPF_F_QUERY_EFFECTIVE, &a), -EINVAL);
		CHECK_EQ(query(user, BPF_SK_LOOKUP, 0, &a), -EINVAL);
	}
	words[0] = 1; /* the loopback device, if that is the first; the revision of its list is newer than the system's header: word 14 */
	words[1] = 46;
	if (if_nametoindex("lo") == 1) {
		CHECK_EQ(skep_bpf(k, BPF_PROG_QUERY, (union bpf_attr *)(void *)words, sizeof(words)), 0);
		CHECK_EQ(words[14], 1);
		words[3] = 1;
		CHECK_EQ(skep_bpf(k, BPF_PROG_QUERY, (union bpf_attr *)(void *)words, sizeof(words)), -EINVAL);
	}
	close(socks);
	close(hash);
	close(ns);
	close(user);
}

TEST(logs_are_cut_and_their_size_is_told)
{
	static const struct bpf_insn code[] = {{.code = 0x85, .imm = 9999}, {.code = 0x95}};
	char log[512], small[20];
	uint32_t words[48] = {0}; /* log_true_size is newer than the system's header: word 35 */
	union bpf_attr *a = (union bpf_attr *)(void *)words;

	a->prog_type = BPF_PROG_TYPE_XDP;
	a->insns = ADDRESS(code);
	a->insn_cnt = 2;
	a->license = ADDRESS("GPL");
	a->log_level = 1;
	a->log_buf = ADDRESS(log);
	a->log_size = sizeof(log);
	CHECK_EQ(skep_bpf(k, BPF_PROG_LOAD, a, sizeof(words)), -EINVAL);
	CHECK_EQ(words[35], strlen(log) + 1);
	a->log_buf = ADDRESS(small);
	a->log_size = sizeof(small);
	CHECK_EQ(skep_bpf(k, BPF_PROG_LOAD, a, sizeof(words)), -ENOSPC);
	CHECK_EQ(words[35], strlen(log) + 1);
	CHECK_STR(small, log + strlen(log) + 1 - sizeof(small)); /* the end says why */
}

static uint64_t nothing(void *ud, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	(void)ud, (void)a, (void)b, (void)c, (void)d, (void)e;
	return 0;
}

TEST(options_that_do_not_exist_are_refused)
{
	struct {
		struct skep_options known;
		uint64_t unknown;
	} longer = {.known = {.size = sizeof(longer)}};
	struct told told = {""};
	struct skep *other;

	CHECK_EQ(skep_open(NULL, NULL), -EINVAL);
	CHECK_EQ(skep_helper_register(k, &(struct skep_helper){.struct_size = sizeof(struct skep_helper), .name = "", .fn = nothing}), -EINVAL);
	CHECK_EQ(skep_prog_type_register(k, &(struct skep_prog_type){.struct_size = sizeof(struct skep_prog_type), .name = ""}), -EINVAL);
	CHECK_EQ(skep_open(&other, &(struct skep_options){.size = 3}), -EINVAL);
	CHECK_EQ(skep_open(&other, &(struct skep_options){.size = sizeof(struct skep_options), .engine = SKEP_ENGINE_JIT + 1}), -EINVAL);
	CHECK_EQ(skep_open(&other, &(struct skep_options){.size = sizeof(struct skep_options), .profile = 64}), -EINVAL);
	CHECK_EQ(skep_open(&other, &(struct skep_options){.size = sizeof(struct skep_options), .verify_off = 2 * SKEP_VERIFY_ALL_PRECISE}), -EINVAL);
	CHECK_EQ(skep_open(&other, &(struct skep_options){.size = sizeof(struct skep_options), .log = remember, .log_ud = &told, .kernel_btf = "/nowhere/vmlinux"}), -ENOENT);
	CHECK_STR(told.line, "kernel types: /nowhere/vmlinux: No such file or directory");
	CHECK_EQ(skep_open(&other, &(struct skep_options){.size = sizeof(struct skep_options), .log = remember, .log_ud = &told, .kernel_btf = "/tmp"}), -ENOENT);
	CHECK_STR(told.line, "kernel types: /tmp/vmlinux: No such file or directory");
	REQUIRE(!skep_open(&other, &longer.known));
	skep_close(other);
	longer.unknown = 1;
	CHECK_EQ(skep_open(&other, &longer.known), -EINVAL);
}

static int pin(int fd, const char *path)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.pathname = ADDRESS(path);
	a.bpf_fd = (uint32_t)fd;
	return skep_bpf(k, BPF_OBJ_PIN, &a, sizeof(a));
}

static int unpin(struct skep *by, const char *path)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.pathname = ADDRESS(path);
	return skep_bpf(by, BPF_OBJ_GET, &a, sizeof(a));
}

TEST(a_map_whose_pins_are_removed_is_pinned_again)
{
	char dir[] = "/tmp/skep-pins-XXXXXX", path[64], slash[64];
	uint32_t key = 5, value = 50;
	struct skep *other;
	int hash = skep_map_create(k, BPF_MAP_TYPE_HASH, 4, 4, 8, 0), shared = skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, 4, 8, BPF_F_MMAPABLE), prog, fd;

	REQUIRE(hash >= 0 && shared >= 0 && mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/pin", dir);
	snprintf(slash, sizeof(slash), "%s/pin/", dir);
	REQUIRE(!skep_open(&other, NULL));
	REQUIRE(!skep_map_update(k, hash, &key, &value, 0));
	CHECK_EQ(pin(hash, slash), -ENOENT);
	for (uint32_t times = 0; times < 3; times++) {
		REQUIRE(!pin(hash, path));
		CHECK_EQ(pin(hash, path), -EEXIST);
		fd = unpin(other, path);
		REQUIRE(fd >= 0);
		REQUIRE(!unlink(path));
		CHECK_EQ(pin(hash, path), -EBUSY); /* the other engine would be left behind */
		CHECK_EQ(access(path, F_OK), -1);
		value = 0;
		CHECK(!skep_map_lookup(other, fd, &key, &value));
		CHECK_EQ(value, 50 + times);
		value++;
		CHECK(!skep_map_update(other, fd, &key, &value, 0));
		close(fd);
		CHECK_EQ(next_id(other, BPF_MAP_GET_NEXT_ID, 0), -ENOENT);
	}
	CHECK(!skep_map_lookup(k, hash, &key, &value));
	CHECK_EQ(value, 53);
	REQUIRE(!pin(shared, path) && !unlink(path));
	CHECK_EQ(pin(shared, path), -EBUSY); /* whoever mapped it would be left behind */
	prog = load_text(k, BPF_PROG_TYPE_XDP, "r0 = 2\nexit\n");
	REQUIRE(prog >= 0);
	for (uint32_t times = 0; times < 2; times++) {
		REQUIRE(!pin(prog, path));
		CHECK_EQ(pin(prog, path), -EEXIST);
		REQUIRE(!unlink(path));
	}
	close(prog);
	skep_close(other);
	rmdir(dir);
	close(hash);
	close(shared);
}

TEST(what_is_told_of_a_map_leaves_the_rest_of_the_struct)
{
	struct bpf_map_info info;
	union bpf_attr a;
	int fd = array(0);

	memset(&info, 0x5a, sizeof(info));
	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (uint32_t)fd;
	a.info.info = ADDRESS(&info);
	a.info.info_len = sizeof(info);
	REQUIRE(!skep_bpf(k, BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)));
	CHECK_EQ(info.type, BPF_MAP_TYPE_ARRAY);
	CHECK_EQ(info.netns_dev, 0x5a5a5a5a5a5a5a5a);
	CHECK_EQ(info.btf_id, 0x5a5a5a5a);
	close(fd);
}

TEST(engines_do_not_know_each_others_descriptors)
{
	struct skep *other;
	uint32_t key = 0;
	uint64_t value;
	int fd = array(0);

	REQUIRE(!skep_open(&other, NULL));
	CHECK_EQ(skep_map_lookup(other, fd, &key, &value), -EINVAL);
	CHECK_EQ(next_id(other, BPF_MAP_GET_NEXT_ID, 0), -ENOENT);
	skep_close(other);
	CHECK_EQ(skep_map_lookup(k, fd, &key, &value), 0);
	close(fd);
}

TEST(access_modes_hold)
{
	uint32_t key = 0;
	uint64_t value = 0;
	int rd = array(BPF_F_RDONLY), wr;

	REQUIRE(rd >= 0);
	CHECK_EQ(skep_map_lookup(k, rd, &key, &value), 0);
	CHECK_EQ(skep_map_update(k, rd, &key, &value, 0), -EPERM);
	wr = array(BPF_F_WRONLY);
	CHECK_EQ(skep_map_lookup(k, wr, &key, &value), -EPERM);
	CHECK_EQ(skep_map_update(k, wr, &key, &value, 0), 0);
	close(rd);
	close(wr);
	CHECK(!maps_left());
}

int main(void)
{
	if (skep_open(&k, NULL))
		return 1;
	RUN(the_last_of_several_descriptors_ends_it);
	RUN(descriptors_are_closed_on_exec);
	RUN_WITH_PROC(another_process_keeps_it, "descriptors of other processes are not known");
	RUN_WITH_PROC(a_descriptor_on_its_way_keeps_it, "descriptors on their way are not known");
	RUN_WITH_PROC(a_mapping_keeps_it, "mappings are not known");
	RUN(only_what_is_made_to_be_mapped_is);
	RUN(a_program_keeps_its_maps);
	RUN(a_bound_map_lives_with_the_program);
	RUN(an_array_of_programs_keeps_them);
	RUN(a_map_of_maps_keeps_them);
	RUN_WITH_PROC(lost_events_are_made_up_for, "there are no events to lose");
	RUN(without_inotify_it_ends_all_the_same);
	RUN(what_is_not_supported_is_named);
	RUN(nothing_is_attached_where_nothing_can_be);
	RUN(logs_are_cut_and_their_size_is_told);
	RUN(options_that_do_not_exist_are_refused);
	RUN_WITH_PROC(a_map_whose_pins_are_removed_is_pinned_again, "descriptors of one direction and closed ones are not known");
	RUN(what_is_told_of_a_map_leaves_the_rest_of_the_struct);
	RUN(engines_do_not_know_each_others_descriptors);
	RUN_WITH_PROC(access_modes_hold, "descriptors have no direction");
	skep_close(k);
	return test_end();
}
