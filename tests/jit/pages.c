/* SPDX-License-Identifier: BSD-2-Clause */
/* What the pages of compiled code are: they can be run and never be written to, and where a file behind them would be in the way there is none. */
#include "skep/skep.h"
#include "../test.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct loaded {
	struct skep *k;
	int fd;
	struct skep_code code;
	char mode[5], path[64]; /* of the mapping that the program's code lies in */
};

static uint64_t address_of(const struct loaded *l)
{
	uint64_t at = 0;
	struct bpf_prog_info info = {.nr_jited_ksyms = 1, .jited_ksyms = (uint64_t)(uintptr_t)&at};
	union bpf_attr attr = {.info = {.bpf_fd = (uint32_t)l->fd, .info_len = sizeof(info), .info = (uint64_t)(uintptr_t)&info}};

	return skep_bpf(l->k, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) ? 0 : at;
}

static bool find_mapping(struct loaded *l, uint64_t at)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	char line[512];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		l->path[0] = 0;
		found = sscanf(line, "%lx-%lx %4s %*s %*s %*s %63[^\n]", &from, &to, l->mode, l->path) >= 3 && from <= at && at < to;
	}
	if (f)
		fclose(f);
	return found;
}

/* limit: bytes that a file may have while the program is loaded; 0: any */
static bool open_loaded(struct loaded *l, unsigned profile, rlim_t limit)
{
	static const struct bpf_insn insns[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 42}, {.code = BPF_JMP | BPF_EXIT}};
	struct skep_options o = {.size = sizeof(o), .profile = profile};
	struct rlimit was;
	uint64_t at;

	*l = (struct loaded){.fd = -1, .code = {.size = sizeof(l->code)}};
	if (skep_open(&l->k, &o) || getrlimit(RLIMIT_FSIZE, &was))
		return false;
	if (limit)
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, was.rlim_max});
	l->fd = skep_prog_load(l->k, &(struct skep_prog){.size = sizeof(struct skep_prog), .type = BPF_PROG_TYPE_XDP, .insns = insns, .n_insns = 2, .name = "pages",
							 .license = "GPL"}, NULL, 0);
	setrlimit(RLIMIT_FSIZE, &was);
	if (l->fd < 0 || skep_prog_code(l->k, l->fd, &l->code))
		return false;
	at = address_of(l);
	return !at || find_mapping(l, at);
}

static unsigned result(const struct loaded *l)
{
	char packet[64] = "";
	union bpf_attr attr = {.test = {.prog_fd = (uint32_t)l->fd, .data_in = (uint64_t)(uintptr_t)packet, .data_size_in = sizeof(packet)}};

	return skep_bpf(l->k, BPF_PROG_TEST_RUN, &attr, sizeof(attr)) ? 0 : attr.test.retval;
}

static void close_loaded(struct loaded *l)
{
	if (l->fd >= 0)
		close(l->fd);
	skep_close(l->k);
}

static void check_place(unsigned profile, const char *path)
{
	struct loaded l;

	REQUIRE(open_loaded(&l, profile, 0));
	CHECK(l.code.bytes > 0);
	CHECK_STR(l.mode, "r-xp");
	CHECK_STR(l.path, path);
	CHECK_EQ(result(&l), 42);
	close_loaded(&l);
}

TEST(code_is_a_file_that_nobody_can_write_to)
{
	check_place(0, "/memfd:code (deleted)");
}

TEST(what_perf_names_by_its_map_is_memory)
{
	check_place(SKEP_PROFILE_PERF_MAP, "");
}

TEST(a_limit_of_files_sizes_is_a_reason_to_interpret)
{
	struct loaded l;

	REQUIRE(open_loaded(&l, 0, 2));
	CHECK_EQ(l.code.bytes, 0);
	CHECK_STR(l.code.reason, "there is no place for its code: File too large");
	CHECK_EQ(result(&l), 42);
	close_loaded(&l);
}

/* From here on this process may not run what is in a file. */
static bool refuse_files(void)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 13 /* EACCES */), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(insns) / sizeof(insns[0]), insns};

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

TEST(a_host_that_runs_nothing_from_files_runs_it_from_memory)
{
	if (!refuse_files())
		SKIP("this host takes no seccomp filter");
	check_place(0, "");
}

int main(void)
{
	RUN(code_is_a_file_that_nobody_can_write_to);
	RUN(what_perf_names_by_its_map_is_memory);
	RUN(a_limit_of_files_sizes_is_a_reason_to_interpret);
	RUN(a_host_that_runs_nothing_from_files_runs_it_from_memory);
	return test_end();
}
