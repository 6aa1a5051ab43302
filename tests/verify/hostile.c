/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that are made to cost the verifier much: paths that multiply, states that are large or many, histories that are long, graphs and chains of
 * calls that are gone through again and again. Whatever the verdict, there is one, what was walked is within the limits, and so is memory.
 *
 *     t-verify-hostile                                   a test, which prints TAP
 *     t-verify-hostile --show [--only NAME] [--kernel]   what each costs, as large as programs may be; and what it costs the running kernel
 */
#include "../sys/sys_test.h"

#include "engine/engine.h"

#include <sys/syscall.h>

enum { VALUE = 4096, INSNS_MOST = 1000000, LIMIT_LINUX = 1000000, LIMIT = 4000000, SMALL_BYTES = 64 << 20 };

static struct bpf_insn code[INSNS_MOST];
static u32 n;
static int map_value, map_ring; /* descriptors of the side that loads */
static u32 kfunc_new, kfunc_next, kfunc_destroy;

/* ---- instructions ---- */

static void put(u8 op, u32 dst, u32 src, s32 off, s32 imm)
{
	if (n < INSNS_MOST)
		code[n++] = (struct bpf_insn){.code = op, .dst_reg = dst & 15, .src_reg = src & 15, .off = (s16)off, .imm = imm};
}
static void mov(u32 dst, s32 imm) { put(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm); }
static void mov_reg(u32 dst, u32 src) { put(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0); }
static void alu(u8 op, u32 dst, s32 imm) { put((u8)(BPF_ALU64 | op | BPF_K), dst, 0, 0, imm); }
static void alu_reg(u8 op, u32 dst, u32 src) { put((u8)(BPF_ALU64 | op | BPF_X), dst, src, 0, 0); }
static void load(u8 size, u32 dst, u32 src, s32 off) { put((u8)(BPF_LDX | size | BPF_MEM), dst, src, off, 0); }
static void store(u8 size, u32 dst, u32 src, s32 off) { put((u8)(BPF_STX | size | BPF_MEM), dst, src, off, 0); }
static u32 jump(u8 op, u32 dst, s32 imm, s32 off) { put((u8)(BPF_JMP | op | BPF_K), dst, 0, off, imm); return n - 1; }
static void land(u32 at) { code[at].off = (s16)(n - at - 1); }
static void call(s32 helper) { put(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }
static void kfunc(u32 id) { put(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, (s32)id); }
static u32 call_later(void) { put(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 0); return n - 1; }
static void call_lands(u32 at) { code[at].imm = (s32)(n - at - 1); }
static void leave(void) { put(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }
static void map_fd(u32 dst, int fd) { put(BPF_LD | BPF_DW | BPF_IMM, dst, BPF_PSEUDO_MAP_FD, 0, fd); put(0, 0, 0, 0, 0); }

/* r6: the map's value */
static void begin(void)
{
	mov(1, 0);
	store(BPF_W, 10, 1, -4);
	mov_reg(2, 10);
	alu(BPF_ADD, 2, -4);
	map_fd(1, map_value);
	call(BPF_FUNC_map_lookup_elem);
	jump(BPF_JNE, 0, 0, 2);
	mov(0, 0);
	leave();
	mov_reg(6, 0);
}
static void end(void)
{
	mov(0, 0);
	leave();
}

/* ---- the programs ---- */

/* Each byte sets a bit of r7, which indexes in the end: as many paths as numbers, none like another. besides: what else the way that sets it does; or NULL. */
static void fork_bits(u32 many, void (*besides)(u32 i))
{
	mov(7, 0);
	for (u32 i = 0; i < many; i++) {
		u32 at;

		load(BPF_B, 1, 6, (s32)(i % VALUE));
		at = jump(BPF_JEQ, 1, 0, 0);
		alu(BPF_XOR, 7, i % 8 ? 1 << i % 8 : 257);
		if (besides)
			besides(i);
		land(at);
	}
	alu_reg(BPF_ADD, 6, 7);
	load(BPF_B, 1, 6, 0);
}

static void forks(u32 many)
{
	begin();
	fork_bits(many, NULL);
	end();
}

static void fill_stack(u32 i)
{
	for (u32 s = i % 4; s < 62; s += 4)
		store(BPF_DW, 10, 7, -16 - 8 * (s32)s);
}

/* The same, with all of the stack known differently on each. */
static void forks_stack(u32 many)
{
	begin();
	for (u32 s = 0; s < 63; s++) {
		load(BPF_DW, 1, 6, (s32)(8 * s));
		store(BPF_DW, 10, 1, -16 - 8 * (s32)(s % 62));
	}
	fork_bits(many, fill_stack);
	for (u32 s = 0; s < 62; s++)
		load(BPF_DW, 1, 10, -16 - 8 * (s32)s);
	end();
}

/* 8 frames with 60 bytes each, the innermost forks; every frame's stack holds numbers. */
static void frames(u32 many)
{
	begin();
	mov_reg(1, 6);
	for (u32 f = 0; f < 7; f++) {
		u32 at = call_later();

		end();
		call_lands(at);
		mov_reg(6, 1);
		for (u32 s = 0; s < 7; s++) {
			load(BPF_DW, 2, 6, (s32)(8 * s));
			store(BPF_DW, 10, 2, -8 - 8 * (s32)s);
		}
	}
	fork_bits(many, NULL);
	end();
}

/* A jump after another, all pending to the end. */
static void pending(u32 many)
{
	begin();
	for (u32 i = 0; i < many; i++) {
		load(BPF_B, 1, 6, (s32)(i % VALUE));
		store(BPF_DW, 10, 1, -16 - 8 * (s32)(i % 60));
		jump(BPF_JEQ, 1, (s32)(i & 255), (s32)MIN(3 * (many - 1 - i), 30000u));
	}
	end();
}

/* No jump at all, as long as asked for: a line. */
static void line(u32 many)
{
	begin();
	for (u32 i = 0; i < many; i++) {
		load(BPF_B, 1, 6, (s32)(i % VALUE));
		store(BPF_DW, 10, 1, -16 - 8 * (s32)(i % 60));
	}
	end();
}

/* A loop with a counter and a jump per turn, turn by turn: as many states as turns, on one path. */
static void turns(u32 many)
{
	u32 at;
	s32 head;

	begin();
	mov(7, 0);
	mov(8, 0);
	head = (s32)n;
	load(BPF_B, 1, 6, 0);
	at = jump(BPF_JEQ, 1, 0, 0);
	alu(BPF_ADD, 7, 1);
	land(at);
	alu(BPF_ADD, 8, 1);
	jump(BPF_JNE, 8, (s32)many, head - (s32)n - 1);
	store(BPF_DW, 6, 7, 8);
	end();
}

/* Left only when a random number says so, which is refused by the limit. */
static void random_exit(u32 many)
{
	s32 head;

	begin();
	mov(7, 0);
	head = (s32)n;
	alu(BPF_ADD, 7, 1);
	alu(BPF_AND, 7, (s32)many - 1);
	call(BPF_FUNC_get_prandom_u32);
	put(BPF_JMP | BPF_JNE | BPF_X, 0, 7, head - (s32)n - 1, 0);
	end();
}

/* References that pile up on paths that multiply. */
static void references(u32 many)
{
	u32 out[1024], k = 0;

	begin();
	for (u32 i = 0; i < MIN(many, 1024u); i++) {
		map_fd(1, map_ring);
		mov(2, 8);
		mov(3, 0);
		call(BPF_FUNC_ringbuf_reserve);
		out[k++] = jump(BPF_JEQ, 0, 0, 0);
		store(BPF_DW, 10, 0, -16 - 8 * (s32)(i % 60));
	}
	for (u32 i = 0; i < k; i++)
		land(out[i]);
	end();
}

/* Functions that call each other twice: a tree of 2^7 leaves, each forking. */
static void call_tree(u32 many)
{
	u32 at[2] = {0, 0};

	begin();
	mov_reg(1, 6);
	at[0] = call_later();
	mov_reg(1, 6);
	at[1] = call_later();
	end();
	for (u32 f = 0; f < 7; f++) {
		call_lands(at[0]);
		call_lands(at[1]);
		mov_reg(6, 1);
		mov(7, 0);
		for (u32 i = 0; i < (f == 6 ? many : 2); i++) {
			u32 skip;

			load(BPF_B, 1, 6, (s32)(i + 16 * f));
			skip = jump(BPF_JEQ, 1, 0, 0);
			alu(BPF_ADD, 7, 1 << (i % 20));
			land(skip);
		}
		store(BPF_DW, 10, 7, -8);
		if (f < 6) {
			mov_reg(1, 6);
			at[0] = call_later();
			mov_reg(1, 6);
			at[1] = call_later();
		}
		load(BPF_DW, 1, 10, -8);
		put(BPF_ALU64 | BPF_MOV | BPF_X, 0, 1, 0, 0);
		leave();
	}
}

/* What a loop at that depth does at each turn: bytes set bits of r7, which then indexes. */
static void turn_at(u32 deep)
{
	for (u32 i = 0; i < 3; i++) {
		u32 skip;

		load(BPF_B, 1, 6, (s32)(i + 16 * deep));
		skip = jump(BPF_JEQ, 1, 0, 0);
		alu(BPF_OR, 7, 1 << ((i + 3 * deep) % 11));
		land(skip);
	}
	mov_reg(1, 6);
	alu_reg(BPF_ADD, 1, 7);
	load(BPF_B, 1, 1, 0);
}

/* Numeric iterators in one another, each with forks that are read in the end. */
static void iterators(u32 deep)
{
	s32 head[16];
	u32 out[16];

	begin();
	mov(7, 0);
	for (u32 d = 0; d < deep; d++) {
		mov_reg(1, 10);
		alu(BPF_ADD, 1, -16 - 8 * (s32)d);
		mov(2, 0);
		mov(3, 1000);
		kfunc(kfunc_new);
		head[d] = (s32)n;
		mov_reg(1, 10);
		alu(BPF_ADD, 1, -16 - 8 * (s32)d);
		kfunc(kfunc_next);
		out[d] = jump(BPF_JEQ, 0, 0, 0);
		turn_at(d);
	}
	for (u32 d = deep; d-- > 0;) {
		jump(BPF_JA, 0, 0, head[d] - (s32)n - 1);
		land(out[d]);
		mov_reg(1, 10);
		alu(BPF_ADD, 1, -16 - 8 * (s32)d);
		kfunc(kfunc_destroy);
	}
	end();
}

/* Blocks that are reached in the order in which they do not lie: what is propagated along edges comes one block further at each pass over the program. */
static void zigzag(u32 blocks)
{
	u32 first;

	begin();
	mov(7, 0);
	mov(8, 0);
	jump(BPF_JA, 0, 0, 0);
	first = n;
	/* block i, 3 long: goes on to block i - 1, the last to the end; the entry goes to the last one by long jumps */
	code[first - 1] = (struct bpf_insn){.code = BPF_JMP32 | BPF_JA, .imm = (s32)(3 * (blocks - 1))};
	for (u32 i = 0; i < blocks; i++) {
		alu(BPF_ADD, 7, 1);
		alu(BPF_XOR, 8, 3);
		put(BPF_JMP32 | BPF_JA, 0, 0, 0, i ? -6 : (s32)(3 * (blocks - 1)));
	}
	store(BPF_DW, 6, 7, 8);
	end();
}

/* Short loops, one behind the other. */
static void loops(u32 many)
{
	begin();
	mov(7, 0);
	for (u32 i = 0; i < many; i++) {
		s32 head;
		u32 skip;

		mov(8, 0);
		head = (s32)n;
		load(BPF_B, 1, 6, (s32)(i % VALUE));
		skip = jump(BPF_JEQ, 1, 0, 0);
		alu(BPF_ADD, 7, 1);
		land(skip);
		alu(BPF_ADD, 8, 1);
		jump(BPF_JNE, 8, 3, head - (s32)n - 1);
	}
	store(BPF_DW, 6, 7, 8);
	end();
}

/* Loops in one another, counted: as deep as asked for. */
static void nest(u32 deep)
{
	s32 head[64];

	begin();
	mov(7, 0);
	for (u32 d = 0; d < deep; d++) {
		mov(1, 0);
		store(BPF_DW, 10, 1, -16 - 8 * (s32)d);
		head[d] = (s32)n;
		for (u32 i = 0; i < 2; i++) {
			u32 skip;

			load(BPF_B, 1, 6, (s32)(i + 2 * d));
			skip = jump(BPF_JEQ, 1, 0, 0);
			alu(BPF_XOR, 7, 1 << ((i + 2 * d) % 30));
			land(skip);
		}
	}
	for (u32 d = deep; d-- > 0;) {
		load(BPF_DW, 1, 10, -16 - 8 * (s32)d);
		alu(BPF_ADD, 1, 1);
		store(BPF_DW, 10, 1, -16 - 8 * (s32)d);
		jump(BPF_JLT, 1, 100, head[d] - (s32)n - 1);
	}
	store(BPF_DW, 6, 7, 8);
	end();
}

/* Numbers computed from one another along a line, all of which become precise again and again. */
static void precise(u32 many)
{
	begin();
	mov(7, 0);
	mov(8, 1);
	for (u32 i = 0; i < many; i++) {
		u32 skip;

		load(BPF_B, 1, 6, (s32)(i % VALUE));
		skip = jump(BPF_JEQ, 1, 0, 0);
		land(skip);
		alu_reg(i & 1 ? BPF_ADD : BPF_XOR, 7, 8);
		alu(BPF_AND, 7, 1023);
		mov_reg(2, 6);
		alu_reg(BPF_ADD, 2, 7);
		load(BPF_B, 1, 2, 0);
	}
	end();
}

/* Each jump may skip all of the rest, which is another state each time as r7 counts: long lists of states at one place. */
static void crowd(u32 many)
{
	u32 out[4096], k = 0;

	begin();
	mov(7, 0);
	for (u32 i = 0; i < MIN(many, 4000u); i++) {
		load(BPF_DW, 1, 6, (s32)(8 * (i % 500)));
		out[k++] = jump(BPF_JEQ, 1, (s32)i, 0);
		alu(BPF_ADD, 7, 1);
	}
	for (u32 i = 0; i < k; i++)
		land(out[i]);
	/* many jumps behind, each a place that all of them arrive at */
	for (u32 i = 0; i < many; i++) {
		u32 skip;

		load(BPF_B, 1, 6, (s32)(i % VALUE));
		skip = jump(BPF_JEQ, 1, 0, 0);
		alu(BPF_XOR, 1, 1);
		land(skip);
	}
	alu_reg(BPF_ADD, 6, 7);
	load(BPF_B, 1, 6, 0);
	end();
}

static void may_goto_nest(u32 deep)
{
	s32 head[16];
	u32 out[16];

	begin();
	mov(7, 0);
	for (u32 d = 0; d < deep; d++) {
		head[d] = (s32)n;
		put(BPF_JMP | 0xe0, 0, 0, 0, 0);
		out[d] = n - 1;
		turn_at(d);
	}
	for (u32 d = deep; d-- > 0;) {
		jump(BPF_JA, 0, 0, head[d] - (s32)n - 1);
		land(out[d]);
	}
	end();
}

/* Functions that call the next one again and again, where no path leads: the walk sees none of it, the sum of the stacks is taken along each chain. */
static void chains(u32 many)
{
	u32 at[64] = {0};

	begin();
	for (u32 f = 0; f < 7; f++) {
		u32 over;

		mov(0, 0);
		over = jump(BPF_JEQ, 0, 0, 0);
		for (u32 i = 0; i < many; i++)
			at[i] = call_later();
		land(over);
		end();
		for (u32 i = 0; i < many; i++)
			call_lands(at[i]);
	}
	end();
}

static const struct shape {
	const char *name;
	void (*make)(u32);
	u32 small, big;
} shapes[] = {
	{"forks", forks, 200, 100000},
	{"forks with a stack", forks_stack, 100, 40000},
	{"frames", frames, 200, 100000},
	{"pending jumps", pending, 3000, 300000},
	{"a line", line, 10000, 490000},
	{"more turns than can be joined", turns, 10000000, 10000000},
	{"left by a random number", random_exit, 8, 1 << 20},
	{"references", references, 300, 1024},
	{"a tree of calls", call_tree, 6, 16},
	{"chains of calls", chains, 60, 60},
	{"iterators in one another", iterators, 2, 8},
	{"may_goto in one another", may_goto_nest, 2, 8},
	{"against the order", zigzag, 60000, 300000},
	{"loops side by side", loops, 1000, 120000},
	{"loops in one another", nest, 6, 20},
	{"precise numbers", precise, 2000, 120000},
	{"a crowd of states", crowd, 100, 4000},
};

static void load_attr(union bpf_attr *a, const struct shape *s, bool big, char *log, u32 log_size)
{
	n = 0;
	s->make(big ? s->big : s->small);
	memset(a, 0, sizeof(*a));
	a->prog_type = BPF_PROG_TYPE_SCHED_CLS;
	a->insns = (u64)(uintptr_t)code;
	a->insn_cnt = n;
	a->license = (u64)(uintptr_t)"GPL";
	if (log) {
		log[0] = 0;
		a->log_buf = (u64)(uintptr_t)log;
		a->log_size = log_size;
		a->log_level = 4;
	}
}

/* ---- the running kernel ---- */

static void beside_kernel(const struct shape *s)
{
	static char log[1 << 16];
	const char *at;
	union bpf_attr a;
	int fd;

	memset(&a, 0, sizeof(a));
	a.map_type = BPF_MAP_TYPE_ARRAY;
	a.key_size = 4;
	a.value_size = VALUE;
	a.max_entries = 1;
	map_value = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof(a));
	memset(&a, 0, sizeof(a));
	a.map_type = BPF_MAP_TYPE_RINGBUF;
	a.max_entries = 4096;
	map_ring = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof(a));
	load_attr(&a, s, true, log, sizeof(log));
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a));
	if (fd < 0)
		fd = -errno;
	else
		close(fd);
	at = strstr(log, "verification time ");
	printf("%-30s Linux    %8.1f ms %4d", s->name, at ? strtod(at + 18, NULL) / 1000 : -1, fd < 0 ? fd : 0);
	at = strstr(log, "processed ");
	printf("  %.*s", at ? (int)strcspn(at, "\n") : 0, at ? at : "");
	if (fd < 0)
		printf("  %.60s", log);
	printf("\n");
	close(map_value);
	close(map_ring);
}

/* ---- skep ---- */

static struct skep_check check_shape(const struct shape *s, bool big)
{
	struct skep_check check = {.size = sizeof(check)};
	struct skep *k = NULL;
	union bpf_attr a;
	int fd;

	if (skep_open(&k, NULL))
		return check;
	kfunc_new = (u32)btf_find(kernel_btf(k), "bpf_iter_num_new", BTF_KIND_FUNC);
	kfunc_next = (u32)btf_find(kernel_btf(k), "bpf_iter_num_next", BTF_KIND_FUNC);
	kfunc_destroy = (u32)btf_find(kernel_btf(k), "bpf_iter_num_destroy", BTF_KIND_FUNC);
	map_value = skep_map_create(k, BPF_MAP_TYPE_ARRAY, 4, VALUE, 1, 0);
	map_ring = skep_map_create(k, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);
	load_attr(&a, s, big, NULL, 0);
	fd = skep_prog_check(k, &a, sizeof(a), &check);
	if (fd >= 0)
		close(fd);
	close(map_value);
	close(map_ring);
	skep_close(k);
	return check;
}

static void within(const char *name, const struct skep_verdict *v, u64 limit)
{
	if (v->error == -EFAULT || v->error == -ENOMEM || strstr(v->message, "bug"))
		test_fail(__FILE__, __LINE__, "%s: no verdict: %d %s", name, v->error, v->message);
	if (v->processed > limit + 1 || v->given_up > 2 * limit)
		test_fail(__FILE__, __LINE__, "%s: %llu instructions, and %llu given up", name, (unsigned long long)v->processed, (unsigned long long)v->given_up);
}

TEST(costs_are_bounded)
{
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct skep_check check = check_shape(&shapes[i], false);

		if (!check.decided)
			test_fail(__FILE__, __LINE__, "%s: %s", shapes[i].name, check.safe.message);
		within(shapes[i].name, &check.as_linux, LIMIT_LINUX);
		within(shapes[i].name, &check.safe, LIMIT);
		if (check.as_linux.peak_bytes > SMALL_BYTES && n < 20000)
			test_fail(__FILE__, __LINE__, "%s: %llu bytes", shapes[i].name, (unsigned long long)check.as_linux.peak_bytes);
	}
}

static void show(const char *name, const char *which, const struct skep_verdict *v)
{
	printf("%-30s %-8s %8.1f ms %4d  processed %llu given up %llu states %llu peak %.1f MB %.60s\n", name, which, (double)v->time_us / 1000, v->error,
	       (unsigned long long)v->processed, (unsigned long long)v->given_up, (unsigned long long)v->states, (double)v->peak_bytes / 1e6, v->message);
	fflush(stdout);
}

static int show_all(const char *only, bool kernel)
{
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct skep_check check;

		if (only && strcmp(only, shapes[i].name))
			continue;
		check = check_shape(&shapes[i], true);
		show(shapes[i].name, "as Linux", &check.as_linux);
		show(shapes[i].name, "safe", &check.safe);
		if (kernel && shapes[i].make != chains) /* which goes through all of them */
			beside_kernel(&shapes[i]);
	}
	return 0;
}

int main(int argc, char **argv)
{
	bool shows = false, kernel = false;
	const char *only = NULL;

	for (int i = 1; i < argc; i++) {
		shows |= !strcmp(argv[i], "--show");
		kernel |= !strcmp(argv[i], "--kernel");
		if (!strcmp(argv[i], "--only") && i + 1 < argc)
			only = argv[++i];
	}
	if (shows)
		return show_all(only, kernel);
	RUN(costs_are_bounded);
	return test_end();
}
