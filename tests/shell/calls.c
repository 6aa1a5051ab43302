/* SPDX-License-Identifier: BSD-2-Clause */
/* A client that calls bpf(2) itself, to be run in a skep shell: what the calls write to its memory, and no
 * more. */
#include "../kernel.h"
#include "../test.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define ADDRESS(p) ((uint64_t)(uintptr_t)(p))

enum { PAGE = 4096, FRAME = 60000 };

static int load(void)
{
	struct bpf_insn code[] = {{.code = 0xb7, .imm = 2}, {.code = 0x95}};
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	a.insns = ADDRESS(code);
	a.insn_cnt = 2;
	a.license = ADDRESS("GPL");
	return kernel_bpf(BPF_PROG_LOAD, &a, sizeof(a));
}

static int run(int prog, const void *in, void *out, uint32_t room, uint32_t *size)
{
	union bpf_attr a;
	int err;

	memset(&a, 0, sizeof(a));
	a.test.prog_fd = (uint32_t)prog;
	a.test.data_in = ADDRESS(in);
	a.test.data_size_in = FRAME;
	a.test.data_out = ADDRESS(out);
	a.test.data_size_out = room;
	err = kernel_bpf(BPF_PROG_TEST_RUN, &a, sizeof(a));
	*size = a.test.data_size_out;
	return err;
}

TEST(a_frame_without_a_size_comes_as_a_whole)
{
	uint8_t *in = malloc(FRAME),
		*out = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t size;
	int prog = load();

	REQUIRE(in && out != MAP_FAILED && prog >= 0);
	for (uint32_t i = 0; i < FRAME; i++)
		in[i] = (uint8_t)(i * 7);
	CHECK_EQ(run(prog, in, out, 0, &size), 0);
	CHECK_EQ(size, FRAME);
	CHECK(!memcmp(in, out, FRAME));
	CHECK_EQ(out[FRAME], 0);
	memset(out, 0, FRAME);
	CHECK_EQ(run(prog, in, out, 100, &size), -ENOSPC);
	CHECK_EQ(size, FRAME);
	CHECK(!memcmp(in, out, 100));
	CHECK_EQ(out[100], 0);
	CHECK_EQ(run(prog, in, (void *)1, 0, &size), -EFAULT);
	munmap(out, 16 * PAGE);
	free(in);
	close(prog);
}

int main(void)
{
	RUN(a_frame_without_a_size_comes_as_a_whole);
	return test_end();
}
