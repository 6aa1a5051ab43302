/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * errno by errno: every row of errors.def is one call of bpf(2), made on an engine and, where it answers, on the running kernel.
 * With --print, the table as the kernel answers it.
 */
#include "sys_test.h"

#include "../kernel.h"

#include <fcntl.h>
#include <linux/btf.h>

#undef TEST
#define BAD      UINT32_MAX
#define ENOTSUPP 524

struct side {
	struct skep *k; /* NULL: the kernel */
	int hash, array, queue, ring, progs, rdonly, wronly, frozen, xdp, filter, raw, sys, raw_reads, sys_reads, writable, btf, file;
};

#define INSN(op, dst, src, offset, number) {.code = op, .dst_reg = dst, .src_reg = src, .off = offset, .imm = number}
#define EXIT INSN(0x95, 0, 0, 0, 0)
static struct bpf_insn two[] = {INSN(0xb7, 0, 0, 0, 2), EXIT}, zero[] = {INSN(0xb7, 0, 0, 0, 0), EXIT},
		       reads_arg[] = {INSN(0x79, 0, 1, 40, 0), INSN(0xb7, 0, 0, 0, 0), EXIT}, reads_far[] = {INSN(0x79, 0, 1, 0x2300, 0), INSN(0xb7, 0, 0, 0, 0), EXIT},
		       open_end[] = {INSN(0xb7, 0, 0, 0, 0), INSN(0xb7, 0, 0, 0, 0)},
		       unknown[] = {INSN(0xff, 0, 0, 0, 0), EXIT},
		       no_map[] = {INSN(0x18, 1, 1, 0, -1), INSN(0, 0, 0, 0, 0), INSN(0xb7, 0, 0, 0, 0), EXIT},
		       map_index[] = {INSN(0x18, 1, 5, 0, 0), INSN(0, 0, 0, 0, 0), INSN(0xb7, 0, 0, 0, 0), EXIT},
		       unknown_helper[] = {INSN(0x85, 0, 0, 0, 9999), EXIT},
		       zero_divisor[] = {INSN(0xb7, 0, 0, 0, 2), INSN(0x37, 0, 0, 0, 0), EXIT};
static uint64_t key[16], value[64], zeros[1024], ones[64], room[1024];
static struct {
	struct btf_header head;
	uint32_t type[4];
	char strings[8];
} types = {{.magic = 0xeb9f, .version = 1, .hdr_len = sizeof(struct btf_header), .type_len = 16, .str_off = 16, .str_len = 8},
	   {1, BTF_KIND_INT << 24, 4, 32}, "\0int"};

/* Room for what is newer than the system's header. */
struct wide {
	union bpf_attr attr;
	uint8_t rest[192 - sizeof(union bpf_attr)];
};

static int bpf(const struct side *s, int cmd, union bpf_attr *a)
{
	uint32_t size = sizeof(struct wide);

	return s->k ? skep_bpf(s->k, cmd, a, size) : kernel_bpf(cmd, a, size);
}

static uint32_t *word(union bpf_attr *a, int n)
{
	return (uint32_t *)(void *)a + n;
}

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)
#define ROW(cmd, what, error, ...)                                                                               \
	static void JOIN(fill_, __LINE__)(union bpf_attr * a, const struct side *s)                              \
	{                                                                                                        \
		(void)s;                                                                                         \
		__VA_ARGS__;                                                                                     \
	}
#include "errors.def"

static const struct row {
	int cmd;
	const char *name, *what;
	int error;
	void (*fill)(union bpf_attr *a, const struct side *s);
} rows[] = {
#define ROW(cmd, what, error, ...) {BPF_##cmd, #cmd, what, error, JOIN(fill_, __LINE__)},
#include "errors.def"
};

static int map(const struct side *s, uint32_t type, uint32_t key_size, uint32_t value_size, uint32_t n, uint32_t flags)
{
	struct wide w;
	union bpf_attr *a = &w.attr;

	memset(&w, 0, sizeof(w));
	a->map_type = type;
	a->key_size = key_size;
	a->value_size = value_size;
	a->max_entries = n;
	a->map_flags = flags;
	return bpf(s, BPF_MAP_CREATE, a);
}

static int prog(const struct side *s, uint32_t type, struct bpf_insn *code, uint32_t n, uint32_t flags)
{
	struct wide w;
	union bpf_attr *a = &w.attr;

	memset(&w, 0, sizeof(w));
	a->prog_type = type;
	a->insns = ADDRESS(code);
	a->insn_cnt = n;
	a->license = ADDRESS("GPL");
	a->prog_flags = flags;
	return bpf(s, BPF_PROG_LOAD, a);
}

static bool set_up(struct side *s)
{
	struct wide w;
	union bpf_attr *a = &w.attr;

	s->hash = map(s, BPF_MAP_TYPE_HASH, 4, 8, 4, 0);
	s->array = map(s, BPF_MAP_TYPE_ARRAY, 4, 8, 2, 0);
	s->queue = map(s, BPF_MAP_TYPE_QUEUE, 0, 8, 2, 0);
	s->ring = map(s, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);
	s->progs = map(s, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2, 0);
	s->rdonly = map(s, BPF_MAP_TYPE_ARRAY, 4, 8, 2, BPF_F_RDONLY);
	s->wronly = map(s, BPF_MAP_TYPE_ARRAY, 4, 8, 2, BPF_F_WRONLY);
	s->frozen = map(s, BPF_MAP_TYPE_ARRAY, 4, 8, 2, 0);
	s->xdp = prog(s, BPF_PROG_TYPE_XDP, two, 2, 0);
	s->filter = prog(s, BPF_PROG_TYPE_SOCKET_FILTER, zero, 2, 0);
	s->raw = prog(s, BPF_PROG_TYPE_RAW_TRACEPOINT, zero, 2, 0);
	s->sys = prog(s, BPF_PROG_TYPE_SYSCALL, zero, 2, BPF_F_SLEEPABLE);
	s->raw_reads = prog(s, BPF_PROG_TYPE_RAW_TRACEPOINT, reads_arg, 3, 0);
	s->sys_reads = prog(s, BPF_PROG_TYPE_SYSCALL, reads_far, 3, BPF_F_SLEEPABLE);
	s->writable = prog(s, BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, zero, 2, 0);
	s->file = open("/dev/null", O_RDWR | O_CLOEXEC);
	memset(&w, 0, sizeof(w));
	a->btf = ADDRESS(&types);
	a->btf_size = sizeof(types);
	s->btf = bpf(s, BPF_BTF_LOAD, a);
	memset(&w, 0, sizeof(w));
	a->map_fd = (uint32_t)s->frozen;
	return s->hash >= 0 && s->array >= 0 && s->queue >= 0 && s->ring >= 0 && s->progs >= 0 && s->rdonly >= 0 && s->wronly >= 0 &&
	       s->xdp >= 0 && s->filter >= 0 && s->raw >= 0 && s->sys >= 0 && s->raw_reads >= 0 && s->sys_reads >= 0 && s->writable >= 0 && s->btf >= 0 && !bpf(s, BPF_MAP_FREEZE, a);
}

/* The errno, or 0. Commands that succeed may give descriptors. */
static int ask(const struct side *s, const struct row *r)
{
	struct wide w;
	union bpf_attr *a = &w.attr;
	int ret;

	memset(key, 0, sizeof(key));
	memset(value, 0, sizeof(value));
	memset(zeros, 0, sizeof(zeros));
	memset(room, 0, sizeof(room));
	memset(ones, 0xff, sizeof(ones));
	memset(&w, 0, sizeof(w));
	r->fill(a, s);
	ret = bpf(s, r->cmd, a);
	if (ret > 2)
		close(ret);
	return ret < 0 ? -ret : 0;
}

static struct side engine, kernel;
static bool have_kernel;

static void the_engine_answers_as_the_table_says(void)
{
	NEED_PROC("descriptors have no direction");
	for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int mine = ask(&engine, &rows[i]);

		if (mine != rows[i].error)
			test_fail(__FILE__, __LINE__, "%s, %s: %d, expected %d", rows[i].name, rows[i].what, mine, rows[i].error);
	}
}

static void the_running_kernel_answers_as_the_table_says(void)
{
	if (!have_kernel)
		SKIP(KERNEL_MISSING);
	for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int theirs = ask(&kernel, &rows[i]);

		if (theirs != rows[i].error)
			test_fail(__FILE__, __LINE__, "%s, %s: %d, expected %d", rows[i].name, rows[i].what, theirs, rows[i].error);
	}
}

int main(int argc, char **argv)
{
	if (skep_open(&engine.k, NULL) || (!set_up(&engine) && have_proc())) {
		printf("Bail out! no engine\n");
		return 1;
	}
	have_kernel = set_up(&kernel);
	if (argc > 1 && !strcmp(argv[1], "--print")) {
		for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++)
			printf("%d\n", ask(&kernel, &rows[i]));
		return 0;
	}
	RUN(the_engine_answers_as_the_table_says);
	RUN(the_running_kernel_answers_as_the_table_says);
	skep_close(engine.k);
	return test_end();
}
