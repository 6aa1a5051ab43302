/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nearly valid programs, loaded into an engine and into the running kernel: verdicts must be equal, and where both accept a program that
 * gives the same result at each run, so must be what it returns. A difference is made small and printed with both logs.
 *
 *     t-verify-differ [--seed N] [--count N]    programs N, N+1, ...: a test, which prints TAP
 *     t-verify-differ --one SEED                one program, with both logs
 *     t-verify-differ --messages                refusals must say what Linux says, too; they may say more
 *
 * Where bpf() does not answer there is nothing to compare with, and the test is skipped.
 */
#include "generate.h"
#include "btf/btf.h"
#include "isa/isa.h"
#include "skep/skep.h"

#include "../test.h"

#include <sys/syscall.h>
#include <unistd.h>

enum { LOG_BYTES = 1 << 22, DATA_BYTES = 64, REPORTED = 12 };

static const char KERNEL_TYPES[] = "/sys/kernel/btf/vmlinux";
static const char *const links[GENERATED_LINKS] = {
	[MAP_IN_ARRAY] = "array",
	[MAP_IN_HASH] = "hash",
	[MAP_IN_RING] = "ring",
	[KFUNC_ITER_NEW] = "bpf_iter_num_new",
	[KFUNC_ITER_NEXT] = "bpf_iter_num_next",
	[KFUNC_ITER_DESTROY] = "bpf_iter_num_destroy",
	[KFUNC_RCU_LOCK] = "bpf_rcu_read_lock",
	[KFUNC_RCU_UNLOCK] = "bpf_rcu_read_unlock",
	[KFUNC_PREEMPT_DISABLE] = "bpf_preempt_disable",
	[KFUNC_PREEMPT_ENABLE] = "bpf_preempt_enable",
	[KFUNC_IRQ_SAVE] = "bpf_local_irq_save",
	[KFUNC_IRQ_RESTORE] = "bpf_local_irq_restore",
	[KFUNC_DYNPTR_FROM_SKB] = "bpf_dynptr_from_skb",
	[KFUNC_DYNPTR_FROM_XDP] = "bpf_dynptr_from_xdp",
	[KFUNC_DYNPTR_CLONE] = "bpf_dynptr_clone",
	[KFUNC_DYNPTR_SIZE] = "bpf_dynptr_size",
	[KFUNC_DYNPTR_IS_NULL] = "bpf_dynptr_is_null",
	[KFUNC_DYNPTR_IS_RDONLY] = "bpf_dynptr_is_rdonly",
	[KFUNC_DYNPTR_ADJUST] = "bpf_dynptr_adjust",
	[KFUNC_DYNPTR_SLICE] = "bpf_dynptr_slice",
	[KFUNC_DYNPTR_SLICE_RDWR] = "bpf_dynptr_slice_rdwr",
};

enum difference { SAME, UNSAFE /* ours accepts */, STRICT /* ours rejects */, RESULT, MESSAGE };

struct side {
	const char *name;
	struct skep *k; /* NULL: the running kernel */
	int link[GENERATED_LINKS];
	char *log;
	int verdict; /* 0 or -errno */
	uint32_t result;
	int run; /* 0: ran */
};

static struct side ours = {.name = "skep"}, theirs = {.name = "linux"};
static bool messages;

static long side_bpf(struct side *s, int cmd, union bpf_attr *a)
{
	long r;

	if (s->k)
		return skep_bpf(s->k, cmd, a, sizeof(*a));
	r = syscall(SYS_bpf, cmd, a, sizeof(*a));
	return r < 0 ? -errno : r;
}

static int types_load(struct side *s)
{
	union bpf_attr a;
	u32 size;

	memset(&a, 0, sizeof(a));
	a.btf = (u64)(uintptr_t)generated_types(&size);
	a.btf_size = size;
	return (int)side_bpf(s, BPF_BTF_LOAD, &a);
}

static bool side_open(struct side *s)
{
	static const struct {
		u32 type, key, value, entries;
	} maps[] = {
		[MAP_IN_ARRAY] = {BPF_MAP_TYPE_ARRAY, 4, VALUE_BYTES, 4},
		[MAP_IN_HASH] = {BPF_MAP_TYPE_HASH, 8, VALUE_BYTES, 16},
		[MAP_IN_RING] = {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096},
	};

	s->log = calloc(1, LOG_BYTES);
	for (u32 i = 0; i < GENERATED_MAPS; i++) {
		union bpf_attr a;

		memset(&a, 0, sizeof(a));
		a.map_type = maps[i].type;
		a.key_size = maps[i].key;
		a.value_size = maps[i].value;
		a.max_entries = maps[i].entries;
		s->link[i] = (int)side_bpf(s, BPF_MAP_CREATE, &a);
		if (s->link[i] < 0)
			return false;
	}
	s->link[GENERATED_TYPES] = types_load(s);
	return s->log != NULL;
}

/* Ids of the kernel's functions, which are those of both; one that this kernel lacks is refused by both. */
static void note_kfuncs(void)
{
	struct btf types;

	if (btf_open_file(&types, &mem_libc, KERNEL_TYPES, NULL))
		return;
	for (u32 i = GENERATED_MAPS; i < GENERATED_TYPES; i++)
		ours.link[i] = theirs.link[i] = btf_find(&types, links[i], BTF_KIND_FUNC);
	btf_free(&types);
}

static void run(struct side *s, int fd)
{
	u8 data[DATA_BYTES], out[DATA_BYTES * 4];
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	for (u32 i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 7);
	a.test.prog_fd = (u32)fd;
	a.test.data_in = (u64)(uintptr_t)data;
	a.test.data_size_in = sizeof(data);
	a.test.data_out = (u64)(uintptr_t)out;
	a.test.data_size_out = sizeof(out);
	a.test.repeat = 1;
	s->run = (int)side_bpf(s, BPF_PROG_TEST_RUN, &a);
	s->result = a.test.retval;
}

/* Values of maps are where the program before left them: both sides begin with zeros. */
static void clear_maps(struct side *s)
{
	u8 value[VALUE_BYTES] = {0};

	for (u64 key = 0; key < 8; key++) {
		union bpf_attr a;

		memset(&a, 0, sizeof(a));
		a.map_fd = (u32)s->link[MAP_IN_ARRAY];
		a.key = (u64)(uintptr_t)&key;
		a.value = (u64)(uintptr_t)value;
		if (key < 4)
			side_bpf(s, BPF_MAP_UPDATE_ELEM, &a);
		a.map_fd = (u32)s->link[MAP_IN_HASH];
		side_bpf(s, BPF_MAP_UPDATE_ELEM, &a);
	}
}

static void load(struct side *s, const struct generated *g, u32 level, bool and_run)
{
	struct bpf_insn insns[GENERATED_MAX];
	union bpf_attr a;
	long fd;

	generated_attr(g, s->link, insns, &a);
	a.log_level = level;
	s->log[0] = 0;
	if (level) {
		a.log_buf = (u64)(uintptr_t)s->log;
		a.log_size = LOG_BYTES;
	}
	fd = side_bpf(s, BPF_PROG_LOAD, &a);
	if (level && fd == -ENOSPC) { /* a log that has no room is no verdict */
		a.log_level = a.log_size = 0;
		a.log_buf = 0;
		fd = side_bpf(s, BPF_PROG_LOAD, &a);
	}
	s->verdict = fd < 0 ? (int)fd : 0;
	s->run = -1;
	if (fd >= 0 && and_run)
		run(s, (int)fd);
	if (fd >= 0)
		close((int)fd);
}

/* ---- comparing ---- */

/* The last line that is no statistics: the reason. */
static void reason(const char *log, char *to, size_t size)
{
	const char *end = log + strlen(log), *from;

	for (;;) {
		while (end > log && end[-1] == '\n')
			end--;
		for (from = end; from > log && from[-1] != '\n';)
			from--;
		if (from == log || (strncmp(from, "processed ", 10) && strncmp(from, "verification time", 17) && strncmp(from, "stack depth", 11)))
			break;
		end = from;
	}
	snprintf(to, size, "%.*s", (int)(end - from), from);
}

static enum difference compare(const struct generated *g)
{
	bool and_run = g->steady && g->type != BPF_PROG_TYPE_TRACEPOINT;
	u32 level = messages ? 1 : 0;

	if (and_run) {
		clear_maps(&ours);
		clear_maps(&theirs);
	}
	load(&theirs, g, level, and_run);
	load(&ours, g, level, and_run);
	if (!ours.verdict != !theirs.verdict)
		return ours.verdict ? STRICT : UNSAFE;
	if (!ours.verdict && ours.run == 0 && theirs.run == 0 && ours.result != theirs.result)
		return RESULT;
	if (messages && ours.verdict) {
		char a[512], b[512];

		reason(ours.log, a, sizeof(a));
		reason(theirs.log, b, sizeof(b));
		if (ours.verdict != theirs.verdict || !strstr(a, b))
			return MESSAGE;
	}
	return SAME;
}

/* ---- making a difference small ---- */

static bool is_wide(const struct bpf_insn *in)
{
	return in->code == (BPF_LD | BPF_IMM | BPF_DW);
}

static bool jumps(const struct bpf_insn *in)
{
	u8 cls = BPF_CLASS(in->code);

	return (cls == BPF_JMP || cls == BPF_JMP32) && BPF_OP(in->code) != BPF_CALL && BPF_OP(in->code) != BPF_EXIT;
}

/* Or names one, for others to call. */
static bool calls_function(const struct bpf_insn *in)
{
	return (in->code == (BPF_JMP | BPF_CALL) && in->src_reg == BPF_PSEUDO_CALL) ||
	       (in->code == (BPF_LD | BPF_IMM | BPF_DW) && in->src_reg == BPF_PSEUDO_FUNC);
}

/* Instructions [at, at + n) go; jumps over them get shorter, jumps to them lead behind them. */
static void cut(const struct generated *from, struct generated *to, u32 at, u32 n)
{
	*to = *from;
	for (u32 i = 0; i < from->n; i++) {
		const struct bpf_insn *in = &from->insns[i];
		s64 dest = (s64)i + 1 + (calls_function(in) ? in->imm : in->off), new_i = i, new_dest = dest;

		if (!jumps(in) && !calls_function(in))
			continue;
		if (new_i >= at + n)
			new_i -= n;
		if (dest >= (s64)at + n)
			new_dest = dest - n;
		else if (dest > (s64)at)
			new_dest = at;
		if (calls_function(in))
			to->insns[i].imm = (s32)(new_dest - new_i - 1);
		else
			to->insns[i].off = (s16)(new_dest - new_i - 1);
	}
	memmove(&to->insns[at], &to->insns[at + n], (from->n - at - n) * sizeof(to->insns[0]));
	memmove(&to->map[at], &to->map[at + n], from->n - at - n);
	to->n = from->n - n;
	if (to->functions[1].insn_off >= at + n)
		to->functions[1].insn_off -= n;
	else if (to->functions[1].insn_off > at)
		to->functions[1].insn_off = at;
}

static void minimise(struct generated *g, enum difference wanted)
{
	static struct generated smaller;
	bool again = true;

	while (again) {
		again = false;
		for (u32 size = 16; size; size /= 2)
			for (u32 at = 0; at + size < g->n;) {
				bool splits = (at && is_wide(&g->insns[at - 1])) || is_wide(&g->insns[at + size - 1]);

				if (splits) {
					at++;
					continue;
				}
				cut(g, &smaller, at, size);
				if (smaller.n && compare(&smaller) == wanted) {
					*g = smaller;
					again = true;
				} else {
					at++;
				}
			}
		for (u32 i = 0; i < g->n; i++) {
			smaller = *g;
			if (smaller.insns[i].imm == 0 || smaller.map[i] >= 0 || calls_function(&smaller.insns[i]))
				continue;
			smaller.insns[i].imm = smaller.insns[i].imm > 1 ? 1 : 0;
			if (smaller.insns[i].imm != g->insns[i].imm && compare(&smaller) == wanted) {
				*g = smaller;
				again = true;
			}
		}
	}
	smaller = *g;
	smaller.flags = 0;
	if (compare(&smaller) == wanted)
		*g = smaller;
}

/* Did Linux look at the instruction? Its log of level 2, which is that of the last load, has a line for each that it walked over. */
static bool was_walked(u32 insn)
{
	char line[16];

	snprintf(line, sizeof(line), "\n%u: (", insn);
	return strstr(theirs.log, line) != NULL;
}

/* Is all that skep refuses in instructions that Linux did not look at, as nothing leads there? skep refuses reserved fields wherever they are set,
 * when it decodes. */
static bool only_unreached(const struct generated *g)
{
	static struct insn insns[GENERATED_MAX];
	static struct generated other;
	struct insn_error err = {0};
	u32 replaced = 0;

	other = *g;
	load(&theirs, g, 2, false);
	for (; insns_decode((const struct raw_insn *)other.insns, other.n, insns, &err); replaced++) {
		if (replaced == g->n || was_walked(err.insn))
			return false;
		other.insns[err.insn] = (struct bpf_insn){.code = BPF_JMP | BPF_EXIT};
	}
	return replaced != 0;
}

/* Is what the program returns an address, and another one at each load? R0 as the log of level 2 says it last before an exit. */
static bool returns_address(const struct generated *g)
{
	bool address = false;

	load(&theirs, g, 2, false);
	for (const char *p = theirs.log; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		size_t n = strcspn(p, "\n");
		const char *r0 = strncmp(p, "mark_precise", 12) ? memmem(p, n, "R0=", 3) : NULL; /* which tells of earlier states */

		if (memmem(p, n, "(95) exit", 9) && address)
			return true;
		if (r0)
			address = r0[3] >= 'a' && strncmp(r0 + 3, "scalar", 6);
	}
	return false;
}

/* Does its result come from bytes of the stack that it did not write? With all of them zero from the start there is then no difference. */
static bool reads_chance(const struct generated *g)
{
	static struct generated filled;
	const u32 words = 512 / 8;

	filled = *g;
	if (g->n + words > GENERATED_MAX)
		return false;
	memmove(filled.insns + words, g->insns, g->n * sizeof(*g->insns));
	memmove(filled.map + words, g->map, g->n * sizeof(*g->map));
	for (filled.n = 0; filled.n < words;)
		generated_add(&filled, BPF_ST | BPF_MEM | BPF_DW, BPF_REG_10, 0, -8 * (int)(filled.n + 1), 0);
	filled.n = words + g->n;
	return compare(&filled) == SAME && ours.run == 0 && theirs.run == 0;
}

/* ---- printing: every line is a comment of TAP ---- */

static void print_program(const struct generated *g)
{
	static struct insn insns[GENERATED_MAX];
	struct insn_error err = {0};
	struct text t;

	text_open(&t, &mem_libc);
	printf("# type %u, attached to %u, flags 0x%x, %u instructions\n", g->type, g->attach, g->flags, g->n);
	if (insns_decode((const struct raw_insn *)g->insns, g->n, insns, &err)) {
		printf("# does not decode: %u: %s\n", err.insn, err.text);
		for (u32 i = 0; i < g->n; i++)
			printf("#   %3u: %02x %u %u %d %d\n", i, g->insns[i].code, g->insns[i].dst_reg, g->insns[i].src_reg, g->insns[i].off, g->insns[i].imm);
	} else {
		for (u32 i = 0; i < g->n; i++) {
			if (insns[i].op == OP_PAD)
				continue;
			text_clear(&t);
			insn_text(&t, &insns[i], i, NULL);
			printf("#   %3u: %s%s%s\n", i, text_str(&t), g->map[i] >= 0 ? "  " : "", g->map[i] >= 0 ? links[g->map[i]] : "");
		}
	}
	text_close(&t);
}

static void print_log(const struct side *s)
{
	const char *p = s->log;

	printf("# ---- %s: %s %d%s\n", s->name, s->verdict ? "rejects" : "accepts", s->verdict, s->run == 0 ? "" : ", not run");
	if (s->run == 0)
		printf("# returned %u\n", s->result);
	while (*p) {
		size_t n = strcspn(p, "\n");

		printf("# %.*s\n", (int)n, p);
		p += n + (p[n] == '\n');
	}
}

static void print_difference(const struct generated *g, u64 seed, enum difference d)
{
	static const char *const what[] = {"no difference", "skep accepts what Linux rejects", "skep rejects what Linux accepts", "results differ",
					   "refusals are worded differently"};

	printf("# ==== seed %llu: %s\n", (unsigned long long)seed, what[d]);
	print_program(g);
	load(&theirs, g, 2, false);
	print_log(&theirs);
	load(&ours, g, 2, false);
	print_log(&ours);
}

/* ---- the test ---- */

static u64 first_seed = 1, count = 3000, only;
static bool one;

static void generate_any(struct generated *g, u64 seed)
{
	static void (*const kinds[])(struct generated *, uint64_t) = {generate_things, generate_callbacks, generate_contexts, generate_either, generate_either, generate_numbers};

	kinds[seed % ARRAY_SIZE(kinds)](g, seed);
}

static bool kernel_answers(void)
{
	return side_open(&theirs);
}

static void show_one(void)
{
	static struct generated g;
	enum difference d;

	generate_any(&g, only);
	d = compare(&g);
	print_difference(&g, only, d);
	if (d != SAME) {
		minimise(&g, d);
		printf("# made small:\n");
		print_difference(&g, only, d);
	}
}

TEST(verdicts_are_those_of_the_running_kernel)
{
	static struct generated g;
	u64 found[5] = {0}, accepted = 0, ran = 0, reported = 0, unreached = 0;

	if (!kernel_answers())
		SKIP("kernel bpf() not available");
	REQUIRE(side_open(&ours));
	note_kfuncs();
	if (one) {
		show_one();
		return;
	}
	for (u64 i = 0; i < count; i++) {
		enum difference d;

		generate_any(&g, first_seed + i);
		d = compare(&g);
		accepted += !theirs.verdict;
		ran += ours.run == 0 && theirs.run == 0;
		if (d == STRICT && only_unreached(&g)) {
			unreached++;
			d = SAME;
		} else if (d == STRICT && g.functions[1].insn_off && ours.verdict == -E2BIG) {
			d = SAME; /* Linux 6.18 overlooks that a call which calls back is a cycle, and so takes turns for one another that skep tells apart */
		} else if (d == UNSAFE && theirs.verdict == -E2BIG) {
			d = SAME; /* too long for Linux to prove, which says nothing of its safety; skep's own limits are others */
		} else if (d == RESULT && (returns_address(&g) || reads_chance(&g))) {
			d = SAME;
		}
		found[d]++;
		if (d != SAME && reported < REPORTED) {
			reported++;
			minimise(&g, d);
			print_difference(&g, first_seed + i, d);
		}
	}
	printf("# %llu programs: Linux accepts %llu, %llu were run by both; skep accepts %llu that Linux rejects, rejects %llu that it accepts; %llu "
	       "results differ, %llu refusals are worded differently; %llu were refused for instructions that nothing leads to\n",
	       (unsigned long long)count, (unsigned long long)accepted, (unsigned long long)ran, (unsigned long long)found[UNSAFE],
	       (unsigned long long)found[STRICT], (unsigned long long)found[RESULT], (unsigned long long)found[MESSAGE], (unsigned long long)unreached);
	CHECK_EQ(found[UNSAFE], 0);
	CHECK_EQ(found[STRICT], 0);
	CHECK_EQ(found[RESULT], 0);
	CHECK_EQ(found[MESSAGE], 0);
	/* Programs that are all good or all bad compare nothing. */
	CHECK(one || count < 100 || (accepted > count / 10 && accepted < count * 9 / 10));
}

int main(int argc, char **argv)
{
	struct skep_options opts = {.size = sizeof(opts), .kernel_btf = access(KERNEL_TYPES, R_OK) ? NULL : KERNEL_TYPES};

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--messages"))
			messages = true;
		else if (i + 1 < argc && !strcmp(argv[i], "--seed"))
			first_seed = strtoull(argv[++i], NULL, 0);
		else if (i + 1 < argc && !strcmp(argv[i], "--count"))
			count = strtoull(argv[++i], NULL, 0);
		else if (i + 1 < argc && !strcmp(argv[i], "--one"))
			only = strtoull(argv[++i], NULL, 0), one = true;
		else
			return fprintf(stderr, "usage: %s [--seed N] [--count N] [--one SEED] [--messages]\n", argv[0]), 2;
	}
	if (skep_open(&ours.k, &opts)) {
		printf("Bail out! no engine\n");
		return 1;
	}
	RUN(verdicts_are_those_of_the_running_kernel);
	skep_close(ours.k);
	return test_end();
}
