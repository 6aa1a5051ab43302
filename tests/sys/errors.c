/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * errno by errno: every row of errors.def is one call of bpf(2), made on an engine and, where it answers, on the running kernel.
 * Every word of every command's attr is changed by some row: a command or a field without one fails. With --print, the table as the kernel and the engine answer it; with
 * --mutate N SEED, which of N rows with words changed at random differ. (Some do by the kernel's configuration, or by what calls before them left behind.)
 */
#include "sys_test.h"

#include "../kernel.h"
#include "hook/tasks.h"
#include "sys/sys.h"

#include <fcntl.h>
#include <linux/btf.h>
#include <net/if.h>
#include <sched.h>

#undef TEST
#define BAD      UINT32_MAX
#define ENOTSUPP 524
#define KNOWN    168 /* bytes of Linux 6.18's union bpf_attr */

struct side {
	struct skep *k; /* NULL: the kernel */
	int hash, array, queue, ring, progs, rdonly, wronly, frozen, xdp, behind, filter, raw, sys, raw_reads, sys_reads, writable, egress, kprobe, cls, verdict, link, btf, file, path, netns, addr, flow, netfilter, sockets;
};

#define INSN(op, dst, src, offset, number) {.code = op, .dst_reg = dst, .src_reg = src, .off = offset, .imm = number}
#define EXIT INSN(0x95, 0, 0, 0, 0)
enum { PROG_NETFILTER = 32, ATTACH_NETFILTER = 45 }; /* newer than the system's header */
static struct bpf_insn two[] = {INSN(0xb7, 0, 0, 0, 2), EXIT}, zero[] = {INSN(0xb7, 0, 0, 0, 0), EXIT}, one[] = {INSN(0xb7, 0, 0, 0, 1), EXIT},
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

static struct {
	struct btf_header head;
	uint32_t type[4];
	char strings[6004];
} wordy = {{.magic = 0xeb9f, .version = 1, .hdr_len = sizeof(struct btf_header), .type_len = 16, .str_off = 16, .str_len = 6004}, {1, BTF_KIND_INT << 24, 4, 32}, ""};

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

static uint64_t *wide(union bpf_attr *a, int n)
{
	return (uint64_t *)(void *)word(a, n);
}

/* The last one, which need not be the loopback device. */
static uint32_t interface_at(void)
{
	struct if_nameindex *all = if_nameindex();
	uint32_t last = 1;

	for (const struct if_nameindex *i = all; i && i->if_index; i++)
		last = i->if_index;
	if_freenameindex(all);
	return last;
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
#define ROW(cmd, what, error, ...) {SYS_##cmd, #cmd, what, error, JOIN(fill_, __LINE__)},
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

static int prog(const struct side *s, uint32_t type, struct bpf_insn *code, uint32_t n, uint32_t flags, uint32_t attach)
{
	struct wide w;
	union bpf_attr *a = &w.attr;

	memset(&w, 0, sizeof(w));
	a->prog_type = type;
	a->insns = ADDRESS(code);
	a->insn_cnt = n;
	a->license = ADDRESS("GPL");
	a->prog_flags = flags;
	a->expected_attach_type = attach;
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
	s->xdp = prog(s, BPF_PROG_TYPE_XDP, two, 2, 0, 0);
	s->behind = prog(s, BPF_PROG_TYPE_XDP, two, 2, 0, BPF_XDP_CPUMAP);
	s->filter = prog(s, BPF_PROG_TYPE_SOCKET_FILTER, zero, 2, 0, 0);
	s->raw = prog(s, BPF_PROG_TYPE_RAW_TRACEPOINT, zero, 2, 0, 0);
	s->sys = prog(s, BPF_PROG_TYPE_SYSCALL, zero, 2, BPF_F_SLEEPABLE, 0);
	s->raw_reads = prog(s, BPF_PROG_TYPE_RAW_TRACEPOINT, reads_arg, 3, 0, 0);
	s->sys_reads = prog(s, BPF_PROG_TYPE_SYSCALL, reads_far, 3, BPF_F_SLEEPABLE, 0);
	s->writable = prog(s, BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, zero, 2, 0, 0);
	s->kprobe = prog(s, BPF_PROG_TYPE_KPROBE, zero, 2, 0, 0);
	s->cls = prog(s, BPF_PROG_TYPE_SCHED_CLS, zero, 2, 0, 0);
	s->verdict = prog(s, BPF_PROG_TYPE_SK_SKB, zero, 2, 0, 0);
	s->egress = prog(s, BPF_PROG_TYPE_CGROUP_SKB, zero, 2, 0, BPF_CGROUP_INET_EGRESS);
	s->flow = prog(s, BPF_PROG_TYPE_FLOW_DISSECTOR, zero, 2, 0, 0);
	s->addr = prog(s, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, one, 2, 0, BPF_CGROUP_INET4_CONNECT);
	s->netfilter = prog(s, PROG_NETFILTER, zero, 2, 0, ATTACH_NETFILTER);
	s->sockets = map(s, BPF_MAP_TYPE_SOCKMAP, 4, 4, 2, 0);
	s->file = open("/dev/null", O_RDWR | O_CLOEXEC);
	s->path = open("/", O_PATH | O_CLOEXEC);
	s->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	memset(&w, 0, sizeof(w));
	a->btf = ADDRESS(&types);
	a->btf_size = sizeof(types);
	s->btf = bpf(s, BPF_BTF_LOAD, a);
	memset(&w, 0, sizeof(w));
	a->raw_tracepoint.name = ADDRESS("task_rename");
	a->raw_tracepoint.prog_fd = (uint32_t)s->raw;
	s->link = bpf(s, BPF_RAW_TRACEPOINT_OPEN, a);
	memset(&w, 0, sizeof(w));
	a->map_fd = (uint32_t)s->frozen;
	return s->hash >= 0 && s->array >= 0 && s->queue >= 0 && s->ring >= 0 && s->progs >= 0 && s->rdonly >= 0 && s->wronly >= 0 &&
	       s->xdp >= 0 && s->behind >= 0 && s->filter >= 0 && s->raw >= 0 && s->sys >= 0 && s->raw_reads >= 0 && s->sys_reads >= 0 && s->writable >= 0 &&
	       s->kprobe >= 0 && s->egress >= 0 && s->cls >= 0 && s->verdict >= 0 && s->link >= 0 && s->btf >= 0 && s->flow >= 0 && s->addr >= 0 && s->netfilter >= 0 && s->sockets >= 0 && !bpf(s, BPF_MAP_FREEZE, a);
}

/* The errno, or 0. Commands that succeed may give descriptors. */
static int call(const struct side *s, int cmd, union bpf_attr *a, uint32_t size)
{
	int ret = s->k ? skep_bpf(s->k, cmd, a, size) : kernel_bpf(cmd, a, size);

	if (ret > 2)
		close(ret);
	return ret < 0 ? -ret : 0;
}

static void prepare(struct wide *w, const struct side *s, const struct row *r)
{
	memset(key, 0, sizeof(key));
	memset(value, 0, sizeof(value));
	memset(zeros, 0, sizeof(zeros));
	memset(room, 0, sizeof(room));
	memset(ones, 0xff, sizeof(ones));
	memset(w, 0, sizeof(*w));
	r->fill(&w->attr, s);
}

static int ask(const struct side *s, const struct row *r)
{
	struct wide w;

	prepare(&w, s, r);
	return call(s, r->cmd, &w.attr, sizeof(w));
}

static struct side engine, kernel;
static bool have_kernel;

static void compare(const struct side *s)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int error = ask(s, &rows[i]);

		if (error != rows[i].error)
			test_fail(__FILE__, __LINE__, "%s, %s: %d, expected %d", rows[i].name, rows[i].what, error, rows[i].error);
	}
}

static void the_engine_answers_as_the_table_says(void)
{
	compare(&engine);
}

static void the_running_kernel_answers_as_the_table_says(void)
{
	if (!have_kernel)
		SKIP(KERNEL_MISSING);
	compare(&kernel);
}

static const char *const attr_of[] = {
#define CMD(id, name, attr, last, handler, since, fds, ptrs) "attr_" #attr,
#include "sys/cmd.def"
};

/* Each 32-bit word that a command's attr has, holes too, is zero in some row and set in another, or set to two values. */
static void rows_change_every_word_of_every_command(void)
{
	uint32_t n;
	const struct cmd_info *cmd = cmd_infos(&n);

	for (uint32_t c = 0; c < n; c++)
		for (uint32_t at = 0; at < cmd[c].last; at += 4) {
			uint32_t first = 0, others = 0, seen = 0;

			for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
				struct wide w;

				if (rows[i].cmd != (int)cmd[c].id)
					continue;
				prepare(&w, &engine, &rows[i]);
				if (!seen++)
					first = *word(&w.attr, (int)at / 4);
				others += *word(&w.attr, (int)at / 4) != first;
			}
			if (!others)
				test_fail(__FILE__, __LINE__, "%s: no row changes bytes %u to %u of struct %s", cmd[c].name, at, at + 3, attr_of[c]);
		}
}

/* Of a command's rows, one that is refused for no such reason. */
static const struct row *row_of(uint32_t cmd)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].cmd == (int)cmd && rows[i].error != EINVAL && rows[i].error != E2BIG)
			return &rows[i];
	return NULL;
}

static void bytes_behind(const struct side *s)
{
	uint32_t n;
	const struct cmd_info *cmd = cmd_infos(&n);

	for (uint32_t c = 0; c < n; c++) {
		const struct row *r = row_of(cmd[c].id);

		if (!r) {
			test_fail(__FILE__, __LINE__, "%s: no row is refused for another reason", cmd[c].name);
			continue;
		}
		for (uint32_t at = cmd[c].last; at < sizeof(struct wide); at++) {
			int error, expected = at < KNOWN ? EINVAL : E2BIG;
			struct wide w;

			prepare(&w, s, r);
			((uint8_t *)&w)[at] = 1;
			error = call(s, r->cmd, &w.attr, sizeof(w));
			if (error != expected)
				test_fail(__FILE__, __LINE__, "%s, %s, and byte %u: %d, expected %d", r->name, r->what, at, error, expected);
		}
	}
}

/* The whole table once per size: rows may build on those before them. */
static void sizes(const struct side *s)
{
	static union {
		struct wide w;
		uint8_t bytes[4097];
	} u;
	static const uint32_t size[] = {0 /* as few as say the same */, sizeof(u.w), 4096, 4097};

	for (uint32_t j = 0; j < ARRAY_SIZE(size); j++)
		for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
			uint32_t bytes = size[j];
			int error, expected = bytes > 4096 ? E2BIG : rows[i].error;

			memset(&u, 0, sizeof(u));
			prepare(&u.w, s, &rows[i]);
			if (!bytes)
				for (bytes = sizeof(u.w); bytes && !u.bytes[bytes - 1]; bytes--)
					;
			error = call(s, rows[i].cmd, &u.w.attr, bytes);
			if (error != expected)
				test_fail(__FILE__, __LINE__, "%s, %s, %u bytes: %d, expected %d", rows[i].name, rows[i].what, bytes, error, expected);
		}
}

static void the_engine_refuses_unknown_bytes_of_every_command(void)
{
	bytes_behind(&engine);
}

static void the_running_kernel_refuses_unknown_bytes_of_every_command(void)
{
	if (!have_kernel)
		SKIP(KERNEL_MISSING);
	bytes_behind(&kernel);
}

static void the_engine_takes_attrs_of_any_size(void)
{
	sizes(&engine);
}

static void the_running_kernel_takes_attrs_of_any_size(void)
{
	if (!have_kernel)
		SKIP(KERNEL_MISSING);
	sizes(&kernel);
}

static void nothing_and_nowhere(const struct side *s)
{
	uint32_t n;
	const struct cmd_info *cmd = cmd_infos(&n);

	for (uint32_t c = 0; c < n; c++) {
		int error = call(s, (int)cmd[c].id, NULL, 8);

		if (error != EFAULT)
			test_fail(__FILE__, __LINE__, "%s, attr nowhere: %d, expected %d", cmd[c].name, error, EFAULT);
	}
	for (int at = 0; at < 2; at++) {
		struct wide w;
		int error;

		memset(&w, 0, sizeof(w));
		error = call(s, at ? -1 : (int)n, &w.attr, sizeof(w));
		if (error != EINVAL)
			test_fail(__FILE__, __LINE__, "command %d: %d, expected %d", at ? -1 : (int)n, error, EINVAL);
		w.rest[sizeof(w.rest) - 1] = 1;
		error = call(s, at ? -1 : (int)n, &w.attr, sizeof(w));
		if (error != E2BIG)
			test_fail(__FILE__, __LINE__, "command %d with unknown bytes: %d, expected %d", at ? -1 : (int)n, error, E2BIG);
	}
}

static void the_engine_refuses_attrs_that_are_nowhere_and_unknown_commands(void)
{
	nothing_and_nowhere(&engine);
}

static void the_running_kernel_refuses_attrs_that_are_nowhere_and_unknown_commands(void)
{
	if (!have_kernel)
		SKIP(KERNEL_MISSING);
	nothing_and_nowhere(&kernel);
}

/* ---- rows with a few words changed at random ---- */

/* Words that count what lies behind pointers: no large number. */
static const struct {
	int cmd, word;
} counts[] = {
	{SYS_PROG_LOAD, 1},	 {SYS_PROG_LOAD, 7},	      {SYS_PROG_LOAD, 19},	 {SYS_PROG_LOAD, 22},	    {SYS_PROG_LOAD, 23},    {SYS_PROG_LOAD, 26},
	{SYS_PROG_LOAD, 29},	 {SYS_PROG_TEST_RUN, 2},      {SYS_PROG_TEST_RUN, 3},	 {SYS_PROG_TEST_RUN, 8},    {SYS_PROG_TEST_RUN, 10}, {SYS_PROG_TEST_RUN, 11},
	{SYS_BTF_LOAD, 4},	 {SYS_BTF_LOAD, 5},	      {SYS_OBJ_GET_INFO_BY_FD, 1}, {SYS_TASK_FD_QUERY, 3},  {SYS_MAP_LOOKUP_BATCH, 8}, {SYS_MAP_LOOKUP_AND_DELETE_BATCH, 8},
	{SYS_MAP_UPDATE_BATCH, 8}, {SYS_MAP_DELETE_BATCH, 8}, {SYS_PROG_STREAM_READ_BY_FD, 2},
};

static bool is_count(int cmd, int at)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(counts); i++)
		if (counts[i].cmd == cmd && counts[i].word == at)
			return true;
	return false;
}

static bool is_pointer(int cmd, int at)
{
	const struct cmd_ptr *p = cmd_pointers((u32)cmd);

	for (; p->length; p++)
		if (p->offset / 4 == (u32)at || p->offset / 4 + 1 == (u32)at)
			return true;
	return (cmd == SYS_PROG_LOAD && at / 2 == 19) || (cmd == SYS_MAP_CREATE && at / 2 == 10);
}

/* Other numbers than descriptors that both have would be another thing on each side. */
static bool is_descriptor(int cmd, int at)
{
	const struct cmd_fd *fd = cmd_descriptors((u32)cmd);

	for (; fd->offset != UINT32_MAX; fd++)
		if (fd->offset / 4 == (u32)at)
			return true;
	return cmd == SYS_TASK_FD_QUERY || (at == 5 && (cmd == SYS_PROG_ATTACH || cmd == SYS_PROG_DETACH)) || cmd == SYS_MAP_FREEZE;
}

static uint64_t dice;
static uint32_t roll(uint32_t n)
{
	dice = dice * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(dice >> 33) % n;
}

struct change {
	int word;
	uint32_t number;
	int fd; /* of the side's descriptors; -1: the number */
};

static struct change some_change(const struct row *r, uint32_t words)
{
	static const uint32_t small[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 24, 26, 28, 29, 30, 31, 32, 33, 34, 36, 40, 45, 46, 47, 48, 55, 56, 57, 64},
			      large[] = {65, 100, 128, 255, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 1u << 17, 1u << 18, 1u << 20, 1u << 24, 1u << 30, 1u << 31, UINT32_MAX};
	struct change c = {.word = (int)roll(words), .fd = -1};

	c.number = roll(3) || is_count(r->cmd, c.word) ? small[roll(ARRAY_SIZE(small))] : large[roll(ARRAY_SIZE(large))];
	if (is_descriptor(r->cmd, c.word))
		c.number = roll(2) ? 0 : BAD;
	if (is_descriptor(r->cmd, c.word) && roll(3))
		c.fd = (int)roll((sizeof(struct side) - offsetof(struct side, hash)) / sizeof(int));
	return c;
}

static int ask_changed(const struct side *s, const struct row *r, const struct change *changes, int n)
{
	struct wide w;

	prepare(&w, s, r);
	for (int i = 0; i < n; i++)
		if (is_pointer(r->cmd, changes[i].word))
			*wide(&w.attr, changes[i].word & ~1) = 0;
		else
			*word(&w.attr, changes[i].word) = changes[i].fd < 0 ? changes[i].number : (uint32_t)(&s->hash)[changes[i].fd];
	return call(s, r->cmd, &w.attr, sizeof(w));
}

static bool mutable(int cmd)
{
	return cmd != SYS_OBJ_GET_INFO_BY_FD /* what lies where it writes may be pointers */ && cmd != SYS_PROG_GET_NEXT_ID && cmd != SYS_MAP_GET_NEXT_ID && cmd != SYS_BTF_GET_NEXT_ID && cmd != SYS_LINK_GET_NEXT_ID &&
	       cmd != SYS_PROG_GET_FD_BY_ID && cmd != SYS_MAP_GET_FD_BY_ID && cmd != SYS_BTF_GET_FD_BY_ID && cmd != SYS_LINK_GET_FD_BY_ID;
}

static void mutate(uint32_t n, uint64_t seed)
{
	uint32_t n_cmds;
	const struct cmd_info *cmd = cmd_infos(&n_cmds);

	for (uint32_t i = 0; i < n; i++) {
		const struct row *r = &rows[dice = seed + i, roll(7), roll(ARRAY_SIZE(rows))];
		struct change changes[3];
		int kept = 1 + (int)roll(3), mine, theirs;

		if (!mutable(r->cmd))
			continue;
		for (int j = 0; j < kept; j++)
			changes[j] = some_change(r, cmd[r->cmd].last / 4);
		mine = ask_changed(&engine, r, changes, kept);
		theirs = ask_changed(&kernel, r, changes, kept);
		if (mine == theirs || (mine == EOPNOTSUPP && !theirs) || (theirs == EEXIST && (r->cmd == SYS_LINK_CREATE || r->cmd == SYS_PROG_ATTACH)))
			continue;
		printf("# %llu: %s, %s: %d, Linux %d:", (unsigned long long)(seed + i), r->name, r->what, mine, theirs);
		for (int j = 0; j < kept; j++)
			printf(changes[j].fd < 0 ? " [%d]=%#x" : " [%d]=fd%d", changes[j].word, changes[j].fd < 0 ? changes[j].number : (unsigned)changes[j].fd);
		printf("\n");
	}
}

/* ---- what is written ---- */

/* Fields of programs on devices stay the caller's. */
static void device_fields(const struct side *s)
{
	struct bpf_prog_info info;
	struct wide w;
	union bpf_attr *a = &w.attr;

	memset(&info, 0, sizeof(info));
	memset(&w, 0, sizeof(w));
	info.ifindex = 0x5a5a5a5a;
	info.netns_dev = info.netns_ino = 0x5a5a5a5a5a5a5a5a;
	a->info.bpf_fd = (uint32_t)s->xdp;
	a->info.info_len = sizeof(info);
	a->info.info = ADDRESS(&info);
	CHECK_EQ(bpf(s, BPF_OBJ_GET_INFO_BY_FD, a), 0);
	CHECK_EQ(info.ifindex, 0x5a5a5a5a);
	CHECK_EQ(info.netns_dev, 0x5a5a5a5a5a5a5a5a);
	CHECK_EQ(info.netns_ino, 0x5a5a5a5a5a5a5a5a);
}

/* What LOOKUP_AND_DELETE_BATCH takes is gone, though it cannot say where to go on. */
static void taken_without_cursor(const struct side *s)
{
	int fd = map(s, BPF_MAP_TYPE_HASH, 4, 8, 8, 0);
	uint32_t keys[8] = {0}, next;
	uint64_t values[8] = {0};
	struct wide w;
	union bpf_attr *a = &w.attr;

	for (uint32_t i = 1; i <= 4; i++) {
		uint64_t v = i;

		memset(&w, 0, sizeof(w));
		a->map_fd = (uint32_t)fd;
		a->key = ADDRESS(&i);
		a->value = ADDRESS(&v);
		CHECK_EQ(bpf(s, BPF_MAP_UPDATE_ELEM, a), 0);
	}
	memset(&w, 0, sizeof(w));
	a->batch.map_fd = (uint32_t)fd;
	a->batch.keys = ADDRESS(keys);
	a->batch.values = ADDRESS(values);
	a->batch.count = 8;
	CHECK_EQ(bpf(s, BPF_MAP_LOOKUP_AND_DELETE_BATCH, a), -EFAULT);
	CHECK_EQ(a->batch.count, 0);
	CHECK_EQ(keys[0] + keys[1] + keys[2] + keys[3], 10);
	CHECK_EQ(values[0] + values[1] + values[2] + values[3], 10);
	memset(&w, 0, sizeof(w));
	a->map_fd = (uint32_t)fd;
	a->next_key = ADDRESS(&next);
	CHECK_EQ(bpf(s, BPF_MAP_GET_NEXT_KEY, a), -ENOENT);
	close(fd);
}

static void the_engine_writes_as_linux(void)
{
	device_fields(&engine);
	taken_without_cursor(&engine);
}

static void the_running_kernel_writes_so(void)
{
	if (!have_kernel)
		SKIP(KERNEL_MISSING);
	device_fields(&kernel);
	taken_without_cursor(&kernel);
}

int main(int argc, char **argv)
{
	static const struct task_door door = {0}; /* or nothing can be attached to tracepoints */

	if (skep_open(&engine.k, NULL))
		return 1;
	tasks_door(engine.k, &door);
	if (!set_up(&engine) && have_proc()) {
		printf("Bail out! no engine\n");
		return 1;
	}
	memset(wordy.strings + 1, 'x', sizeof(wordy.strings) - 2);
	have_kernel = set_up(&kernel);
	if (argc > 1 && !strcmp(argv[1], "--print")) {
		for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++)
			printf("%d\t%d\t%s, %s\n", ask(&kernel, &rows[i]), ask(&engine, &rows[i]), rows[i].name, rows[i].what);
		return 0;
	}
	if (argc > 3 && !strcmp(argv[1], "--mutate") && !unshare(CLONE_NEWNET) /* some attach to devices */)
		return mutate((uint32_t)atoi(argv[2]), (uint64_t)atoi(argv[3])), 0;
	RUN(rows_change_every_word_of_every_command);
	RUN_WITH_PROC(the_engine_answers_as_the_table_says, "descriptors have no direction");
	RUN(the_engine_refuses_unknown_bytes_of_every_command);
	RUN_WITH_PROC(the_engine_takes_attrs_of_any_size, "descriptors have no direction");
	RUN(the_engine_refuses_attrs_that_are_nowhere_and_unknown_commands);
	RUN(the_running_kernel_answers_as_the_table_says);
	RUN(the_running_kernel_refuses_unknown_bytes_of_every_command);
	RUN(the_running_kernel_takes_attrs_of_any_size);
	RUN(the_running_kernel_refuses_attrs_that_are_nowhere_and_unknown_commands);
	RUN(the_engine_writes_as_linux);
	RUN(the_running_kernel_writes_so);
	skep_close(engine.k);
	return test_end();
}
