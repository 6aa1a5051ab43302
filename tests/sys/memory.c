/* SPDX-License-Identifier: BSD-2-Clause */
/* Every allocation of a session fails once: each call then succeeds or says ENOMEM, nothing leaks, and the engine goes on. */
#include "sys_test.h"
#include "../failing.h"

#include <linux/btf.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct {
	struct btf_header head;
	uint32_t type[4 + 3 + 3];
	char strings[12];
} types = {{.magic = 0xeb9f, .version = 1, .hdr_len = sizeof(struct btf_header), .type_len = 40, .str_off = 40, .str_len = 12},
	   {1, BTF_KIND_INT << 24, 4, 32, 0, BTF_KIND_FUNC_PROTO << 24, 1, 5, BTF_KIND_FUNC << 24, 2},
	   "\0int\0main"};

static int sound(int r)
{
	if (r < 0 && r != -ENOMEM)
		test_fail(__FILE__, __LINE__, "%d, expected success or -ENOMEM", r);
	return r;
}

static void close_all(const int *fd, int n)
{
	for (int i = 0; i < n; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

static int load(struct skep *k, int btf, int map, char *log, uint32_t log_size)
{
	struct bpf_insn code[] = {
		{.code = 0x18, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map}, {0},
		{.code = 0xb7, .dst_reg = 0, .imm = 2}, {.code = 0x95},
	};
	struct bpf_func_info func = {0, 3};
	struct bpf_line_info line = {.insn_off = 0, .file_name_off = 1, .line_off = 1, .line_col = 1 << 10 | 1};
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.prog_type = BPF_PROG_TYPE_XDP;
	a.insns = ADDRESS(code);
	a.insn_cnt = 4;
	a.license = ADDRESS("GPL");
	a.prog_btf_fd = (uint32_t)btf;
	a.func_info = ADDRESS(&func);
	a.func_info_cnt = 1;
	a.func_info_rec_size = sizeof(func);
	a.line_info = ADDRESS(&line);
	a.line_info_cnt = 1;
	a.line_info_rec_size = sizeof(line);
	a.log_level = log_size ? 1 : 0;
	a.log_buf = ADDRESS(log_size ? log : NULL);
	a.log_size = log_size;
	return skep_bpf(k, BPF_PROG_LOAD, &a, sizeof(a));
}

static uint64_t own(void *ud, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	(void)ud;
	return a + b + c + d + e;
}

static void info(struct skep *k, int fd)
{
	struct bpf_prog_info i;
	struct bpf_insn code[8];
	uint32_t ids[4];
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	memset(&i, 0, sizeof(i));
	i.map_ids = ADDRESS(ids);
	i.nr_map_ids = 4;
	i.xlated_prog_insns = ADDRESS(code);
	i.xlated_prog_len = sizeof(code);
	a.info.bpf_fd = (uint32_t)fd;
	a.info.info = ADDRESS(&i);
	a.info.info_len = sizeof(i);
	if (sound(skep_bpf(k, BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a))) == 0) {
		CHECK_EQ(i.nr_map_ids, 1);
		CHECK_EQ(i.nr_func_info, 1);
		CHECK_EQ(i.xlated_prog_len, 32);
		CHECK_EQ(code[0].imm, ids[0]);
	}
}

static void maps(struct skep *k, int inner, int *fd)
{
	static const struct { uint32_t type, key, value, n, flags; } kinds[] = {
		{BPF_MAP_TYPE_HASH, 4, 8, 4, 0}, {BPF_MAP_TYPE_PERCPU_HASH, 4, 8, 4, 0}, {BPF_MAP_TYPE_LRU_HASH, 4, 8, 4, 0},
		{BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 4, 0}, {BPF_MAP_TYPE_QUEUE, 0, 8, 4, 0}, {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0},
		{BPF_MAP_TYPE_LPM_TRIE, 8, 8, 4, BPF_F_NO_PREALLOC}, {BPF_MAP_TYPE_BLOOM_FILTER, 0, 8, 4, 0},
		{BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 4, 0},
	};
	union bpf_attr a;

	for (uint32_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		memset(&a, 0, sizeof(a));
		a.map_type = kinds[i].type;
		a.key_size = kinds[i].key;
		a.value_size = kinds[i].value;
		a.max_entries = kinds[i].n;
		a.map_flags = kinds[i].flags;
		if (kinds[i].type == BPF_MAP_TYPE_ARRAY_OF_MAPS) {
			if (inner < 0)
				continue;
			a.inner_map_fd = (uint32_t)inner;
		}
		fd[i] = sound(skep_bpf(k, BPF_MAP_CREATE, &a, sizeof(a)));
	}
}

/* The program is written to a file and, when its descriptor is closed, comes from there; its map gets a file of its own beside. */
static void pins(struct skep *k, int *prog)
{
	char path[64], beside[70];
	union bpf_attr a;
	int pinned;

	snprintf(path, sizeof(path), "/tmp/skep-memory-%d", getpid());
	snprintf(beside, sizeof(beside), "%s.0", path);
	memset(&a, 0, sizeof(a));
	a.bpf_fd = (uint32_t)*prog;
	a.pathname = ADDRESS(path);
	pinned = skep_bpf(k, BPF_OBJ_PIN, &a, sizeof(a));
	CHECK_EQ(access(path, F_OK), pinned ? -1 : 0);
	CHECK_EQ(access(beside, F_OK), pinned ? -1 : 0);
	if (sound(pinned) == 0) {
		close(*prog);
		a.bpf_fd = 0;
		*prog = sound(skep_bpf(k, BPF_OBJ_GET, &a, sizeof(a)));
	}
	unlink(path);
	unlink(beside);
}

static char domain[] = "/tmp/skep-memory-XXXXXX"; /* the file of run slots that engines with pins share */

static void session(struct host *h)
{
	static const struct skep_ctx_field fields[] = {{0, 4, 0}, {4, 4, 1}};
	struct skep_options opts = {.size = sizeof(opts), .alloc = host_alloc, .alloc_ud = h, .window = 1 << 28, .domain = domain};
	char packet[64] = {0}, log[64];
	struct skep_packet p = {.data = packet, .size = sizeof(packet)};
	union bpf_attr a;
	struct skep *k;
	int fd[16];

	memset(fd, -1, sizeof(fd));
	if (sound(skep_open(&k, &opts)))
		return;
	sound(skep_helper_register(k, &(struct skep_helper){.struct_size = sizeof(struct skep_helper), .name = "own", .fn = own}));
	sound(skep_prog_type_register(k, &(struct skep_prog_type){.struct_size = sizeof(struct skep_prog_type), .name = "own", .ctx_size = 8,
								  .n_fields = 2, .fields = fields}));
	fd[0] = sound(skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, 4, 4, 0));
	memset(&a, 0, sizeof(a));
	a.btf = ADDRESS(&types);
	a.btf_size = sizeof(types);
	fd[1] = sound(skep_bpf(k, BPF_BTF_LOAD, &a, sizeof(a)));
	if (fd[0] >= 0 && fd[1] >= 0)
		fd[2] = sound(load(k, fd[1], fd[0], NULL, 0));
	if (fd[2] >= 0) {
		info(k, fd[2]);
		sound(skep_run_packets(k, fd[2], &p, 1, NULL, NULL));
		memset(&a, 0, sizeof(a));
		a.prog_bind_map.prog_fd = (uint32_t)fd[2];
		a.prog_bind_map.map_fd = (uint32_t)fd[0];
		sound(skep_bpf(k, BPF_PROG_BIND_MAP, &a, sizeof(a)));
		memset(&a, 0, sizeof(a));
		a.test.prog_fd = (uint32_t)fd[2];
		a.test.data_in = ADDRESS(packet);
		a.test.data_size_in = sizeof(packet);
		sound(skep_bpf(k, BPF_PROG_TEST_RUN, &a, sizeof(a)));
		if (have_proc()) /* the file of its map needs a name */
			pins(k, &fd[2]);
	}
	/* A refusal that is written down. */
	if (fd[1] >= 0) {
		int refused = load(k, fd[1], 100000, log, sizeof(log));

		CHECK(refused == -EBADF || refused == -ENOMEM || refused == -ENOSPC);
	}
	maps(k, fd[0], &fd[3]);
	close_all(fd, 16);
	CHECK(next_id(k, BPF_MAP_GET_NEXT_ID, 0) == -ENOENT);
	skep_close(k);
}

TEST(every_allocation_fails_once)
{
	int file = mkstemp(domain);
	long n = 0;
	bool failed;

	REQUIRE(file >= 0);
	close(file);
	do {
		struct host h = {.fail_at = ++n};

		session(&h);
		failed = h.failed;
		if (h.live || h.bytes)
			test_fail(__FILE__, __LINE__, "allocation %ld failed: %ld left, %ld bytes", n, h.live, h.bytes);
	} while (failed && !test_case_failed);
	unlink(domain);
	printf("# %ld allocations\n", n - 1);
	CHECK(n > 20);
}

TEST(an_engine_that_ends_takes_everything_along)
{
	struct host h = {0};
	struct skep_options opts = {.size = sizeof(opts), .alloc = host_alloc, .alloc_ud = &h, .window = 1 << 28};
	struct skep *k;
	int map, prog;
	char text[64];

	REQUIRE(!skep_open(&k, &opts));
	map = skep_map_create(k, BPF_MAP_TYPE_HASH, 4, 8, 4, 0);
	snprintf(text, sizeof(text), "r1 = map[fd:%d]\nr0 = 2\nexit", map);
	prog = load_text(k, BPF_PROG_TYPE_XDP, text);
	CHECK(map >= 0 && prog >= 0);
	skep_close(k); /* before its descriptors */
	CHECK_EQ(h.live, 0);
	CHECK_EQ(h.bytes, 0);
	close(map);
	close(prog);
}

TEST(the_limit_of_map_memory_holds)
{
	struct skep_options opts = {.size = sizeof(opts), .max_map_bytes = 1 << 20};
	struct skep *k;
	int fd;

	REQUIRE(!skep_open(&k, &opts));
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, 4096, 1024, 0), -ENOMEM);
		fd = skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, 4096, 128, 0); /* half of it, given back each time */
		CHECK(fd >= 0);
		close(fd);
	}
	skep_close(k);
}

static int under_a_file_limit(const char *path)
{
	struct rlimit most = {1 << 20, 1 << 20};
	union bpf_attr a;
	struct skep *k;
	int map;

	if (setrlimit(RLIMIT_FSIZE, &most) || skep_open(&k, NULL))
		return 1;
	if (skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, 4096, 1024, 0) != -EFBIG)
		return 2;
	map = skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, 4096, 100, 0);
	most.rlim_cur = 1 << 16;
	if (map < 0 || setrlimit(RLIMIT_FSIZE, &most))
		return 3;
	memset(&a, 0, sizeof(a));
	a.bpf_fd = (uint32_t)map;
	a.pathname = ADDRESS(path);
	if (skep_bpf(k, BPF_OBJ_PIN, &a, sizeof(a)) != -EFBIG || !access(path, F_OK))
		return 4;
	skep_close(k);
	return 0;
}

TEST(files_stay_below_their_limit_without_a_signal)
{
	char path[64];
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "/tmp/skep-limit-%d", getpid());
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(under_a_file_limit(path));
	REQUIRE(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

int main(void)
{
	RUN(every_allocation_fails_once);
	RUN(an_engine_that_ends_takes_everything_along);
	RUN(the_limit_of_map_memory_holds);
	RUN(files_stay_below_their_limit_without_a_signal);
	return test_end();
}
