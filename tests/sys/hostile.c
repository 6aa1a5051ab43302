/* SPDX-License-Identifier: BSD-2-Clause */
/* What clients and other processes can write is not believed: values that programs were verified against do
 * not change under them. */
#include "../kernel.h"
#include "sys_test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { PAGE = 4096 };

static struct skep *k;

static int global_data(uint64_t value)
{
	int fd = skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, 16, 1, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG);
	uint64_t both[2] = {value, 0};
	uint32_t key = 0;

	return fd < 0 || skep_map_update(k, fd, &key, both, BPF_ANY) ? -1 : fd;
}

static int freeze(int fd)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)fd;
	return skep_bpf(k, BPF_MAP_FREEZE, &a, sizeof(a));
}

static int64_t run(int prog)
{
	struct skep_run r = {.size = sizeof(r)};
	int err = skep_run(k, prog, &r);

	return err ? err : (int64_t)r.result;
}

/* Reads its frame at an offset that only the value of the frozen map makes a valid one. */
static int load_reader(int data)
{
	struct bpf_insn code[] = {
	    {.code = 0x7a, .dst_reg = 10, .off = -8, .imm = 5},
	    {.code = 0x7a, .dst_reg = 10, .off = -16, .imm = 7},
	    {.code = 0x18, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_VALUE, .imm = data},
	    {0},
	    {.code = 0x79, .dst_reg = 1, .src_reg = 1},
	    {.code = 0x87, .dst_reg = 1},
	    {.code = 0xbf, .dst_reg = 2, .src_reg = 10},
	    {.code = 0x0f, .dst_reg = 2, .src_reg = 1}, /* r2 -= the value */
	    {.code = 0x79, .dst_reg = 0, .src_reg = 2},
	    {.code = 0x95},
	};
	struct skep_prog p = {.size = sizeof(p),
			      .type = BPF_PROG_TYPE_SYSCALL,
			      .insns = code,
			      .n_insns = ARRAY_SIZE(code),
			      .license = "GPL",
			      .flags = BPF_F_SLEEPABLE};

	return skep_prog_load(k, &p, NULL, 0);
}

/* Frozen or not yet. Linux says EACCES to the first. */
TEST(nobody_else_writes_what_programs_only_read)
{
	int data = global_data(8), prog;
	uint64_t *view = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, data, 0), got[2] = {0};
	uint32_t key = 0;

	REQUIRE(data >= 0 && view != MAP_FAILED);
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, data, 0) == MAP_FAILED && errno == EPERM);
	CHECK(mprotect(view, PAGE, PROT_READ | PROT_WRITE) < 0 && errno == EACCES);
	CHECK(pwrite(data, got, sizeof(got), 0) < 0 && errno == EPERM);
	got[0] = 16;
	REQUIRE(!skep_map_update(k, data, &key, got, BPF_ANY));
	CHECK_EQ(view[0], 16);
	REQUIRE(!freeze(data));
	prog = load_reader(data);
	REQUIRE(prog >= 0);
	CHECK_EQ(run(prog), 7);
	munmap(view, PAGE);
	close(prog);
	close(data);
}

/* The steps of a life with a mapping, answered by skep or by the kernel. */
static void freeze_steps(int (*bpf)(int cmd, union bpf_attr *a, unsigned size), int err[4])
{
	union bpf_attr a = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1, .map_flags = BPF_F_MMAPABLE};
	int fd = bpf(BPF_MAP_CREATE, &a, sizeof(a));
	void *writable = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *readable = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)fd;
	err[0] = writable == MAP_FAILED || readable == MAP_FAILED;
	err[1] = bpf(BPF_MAP_FREEZE, &a, sizeof(a));
	munmap(writable, PAGE);
	err[2] = bpf(BPF_MAP_FREEZE, &a, sizeof(a));
	err[3] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -errno : 0;
	munmap(readable, PAGE);
	close(fd);
}

static int skep_call(int cmd, union bpf_attr *a, unsigned size)
{
	return skep_bpf(k, cmd, a, size);
}

TEST(a_map_that_is_mapped_writable_cannot_be_frozen)
{
	int ours[4], theirs[4];

	if (access("/proc/self/maps", R_OK))
		SKIP("no /proc: mappings are not known");
	freeze_steps(skep_call, ours);
	CHECK(!ours[0]);
	CHECK_EQ(ours[1], -EBUSY);
	CHECK_EQ(ours[2], 0);
	CHECK_EQ(ours[3], -EPERM);
	if (!kernel_loads(BPF_PROG_TYPE_XDP))
		SKIP(KERNEL_MISSING);
	freeze_steps(kernel_bpf, theirs);
	CHECK(!memcmp(ours, theirs, sizeof(ours)));
}

/* What the file says at that moment. */
static void reopened(const char *path, int file)
{
	uint64_t far = 16;
	int data, prog;
	union bpf_attr a;

	CHECK_EQ(pwrite(file, &far, sizeof(far), 0), sizeof(far));
	memset(&a, 0, sizeof(a));
	a.pathname = ADDRESS(path);
	data = skep_bpf(k, BPF_OBJ_GET, &a, sizeof(a));
	prog = load_reader(data);
	REQUIRE(data >= 0 && prog >= 0);
	CHECK_EQ(run(prog), 7);
	far = (uint64_t)1 << 40;
	CHECK_EQ(pwrite(file, &far, sizeof(far), 0), sizeof(far));
	CHECK_EQ(run(prog), 7);
	close(prog);
	close(data);
}

TEST(frozen_data_is_what_it_was_whoever_can_write_its_file)
{
	char path[] = "/tmp/skep-hostile-XXXXXX/data";
	uint64_t far = (uint64_t)1 << 40;
	int data, prog, file;
	union bpf_attr a;

	path[24] = 0;
	REQUIRE(mkdtemp(path));
	path[24] = '/';
	data = global_data(8);
	REQUIRE(data >= 0 && !freeze(data));
	prog = load_reader(data);
	memset(&a, 0, sizeof(a));
	a.bpf_fd = (uint32_t)data;
	a.pathname = ADDRESS(path);
	REQUIRE(prog >= 0 && !skep_bpf(k, BPF_OBJ_PIN, &a, sizeof(a)));
	file = open(path, O_RDWR | O_CLOEXEC);
	CHECK_EQ(pwrite(file, &far, sizeof(far), 0), sizeof(far));
	CHECK_EQ(run(prog), 5);
	close(prog);
	close(data);

	reopened(path, file);
	close(file);
	unlink(path);
	path[24] = 0;
	rmdir(path);
}

TEST(memory_that_nobody_wrote_is_not_touched_when_it_ends)
{
	static const uint32_t types[] = {BPF_MAP_TYPE_PERF_EVENT_ARRAY, BPF_MAP_TYPE_PROG_ARRAY};
	struct rusage before, after;

	REQUIRE(!getrusage(RUSAGE_SELF, &before));
	for (uint32_t i = 0; i < ARRAY_SIZE(types); i++) {
		int fd = skep_map_create(k, types[i], 4, 4, UINT32_MAX, 0);

		REQUIRE(fd >= 0);
		close(fd);
		CHECK_EQ(next_id(k, BPF_MAP_GET_NEXT_ID, 0), -ENOENT);
	}
	REQUIRE(!getrusage(RUSAGE_SELF, &after));
	if (after.ru_minflt - before.ru_minflt >= 100000) /* of eight million */
		test_fail(__FILE__, __LINE__, "%ld pages", after.ru_minflt - before.ru_minflt);
}

int main(void)
{
	if (skep_open(&k, NULL))
		return 1;
	RUN(nobody_else_writes_what_programs_only_read);
	RUN(a_map_that_is_mapped_writable_cannot_be_frozen);
	RUN(frozen_data_is_what_it_was_whoever_can_write_its_file);
	RUN(memory_that_nobody_wrote_is_not_touched_when_it_ends);
	skep_close(k);
	return test_end();
}
