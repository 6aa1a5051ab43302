/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: PROG_LOAD of any attr and any instructions; what was accepted runs on three engines
 * (fuzz_sides.c), where it must do the same and break no rule. The first byte says what the rest is:
 *
 *     bits 0, 1   0: an attr, then bytes that its pointers refer to; 1: instructions; 2: a seed of
 * tests/verify/generate.c, then changes to the program that it gives; 3: bytes to be shaped into instructions
 * (fuzz_shape.c) bits 2..4   the program's type bit 5       with a log bit 6       many states
 */
#include "sys/fuzz.h"

#include "tests/verify/generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

enum { FIXED = sizeof(struct attr_prog_load), CODE_MOST = 4096, SLOTS = CODE_MOST / 8, ENGINE_LASTS = 20000, SURE = 10 };

struct input {
	struct attr_prog_load attr;
	struct bpf_insn code[SLOTS + 1];
	u8 type;     /* of side_type() */
	u32 maps;    /* that it may use */
	bool random; /* never the same */
};

static struct side side[SIDES];
static u8 extra[CODE_MOST + 8]; /* func_info and line_info */

static void start(void)
{
	for (u32 i = 0; i < SIDES; i++)
		side_open(&side[i], i == SIDE_INTERP ? SKEP_ENGINE_INTERP : SKEP_ENGINE_AUTO);
}

static void again(void)
{
	for (u32 i = 0; i < SIDES; i++)
		side_close(&side[i]);
	start();
}

/* ---- input ---- */

static void from_attr(struct input *in, const u8 *data, size_t size)
{
	if (size < FIXED)
		return;
	memcpy(&in->attr, data, FIXED);
	memcpy(in->code, data + FIXED, MIN(size - FIXED, (size_t)CODE_MOST));
	memcpy(extra, in->code, CODE_MOST);
	in->attr.insn_cnt = MIN(in->attr.insn_cnt, (u32)SLOTS);
	if ((u64)in->attr.func_info_cnt * in->attr.func_info_rec_size > CODE_MOST)
		in->attr.func_info_cnt = 0;
	if ((u64)in->attr.line_info_cnt * in->attr.line_info_rec_size > CODE_MOST)
		in->attr.line_info_cnt = 0;
}

static void from_seed(struct input *in, const u8 *data, size_t size)
{
	static const u8 map[GENERATED_MAPS] = {
	    [MAP_IN_ARRAY] = FUZZ_WIDE, [MAP_IN_HASH] = FUZZ_HASH, [MAP_IN_RING] = FUZZ_RING};
	static struct generated g;
	u64 seed = 0;

	memcpy(&seed, data, MIN(size, sizeof(seed)));
	generate(&g, seed);
	for (u32 i = 0; i < g.n; i++)
		if (g.map[i] >= 0) {
			g.insns[i].src_reg = BPF_PSEUDO_MAP_IDX;
			g.insns[i].imm = map[g.map[i]];
		}
	memcpy(in->code, g.insns, g.n * sizeof(g.insns[0]));
	in->attr.insn_cnt = g.n;
	in->attr.prog_type = g.type;
	in->attr.prog_flags = g.flags;
	/* Changes: where (two bytes), which byte, its new value. */
	for (size_t i = sizeof(seed); i + 4 <= size; i += 4)
		((u8 *)&in->code[LOAD_AS(u16, data + i) % g.n])[data[i + 2] & 7] = data[i + 3];
}

static void read_input(struct input *in, const u8 *data, size_t size)
{
	u8 how = *data++;

	size--;
	memset(in, 0, sizeof(*in));
	in->type = how >> 2 & 7;
	in->attr.prog_type = side_type(in->type);
	in->attr.prog_flags = in->attr.prog_type == BPF_PROG_TYPE_SYSCALL ? BPF_F_SLEEPABLE : 0;
	in->attr.log_level = how >> 5 & 1;
	switch (how & 3) {
	case 0:
		from_attr(in, data, size);
		break;
	case 1:
		in->attr.insn_cnt = (u32)MIN(size, (size_t)CODE_MOST) / 8;
		memcpy(in->code, data, in->attr.insn_cnt * 8);
		break;
	case 2:
		from_seed(in, data, size);
		break;
	default:
		in->attr.insn_cnt =
		    shape_program(in->code, SLOTS, in->attr.prog_type, data, MIN(size, (size_t)CODE_MOST));
		break;
	}
	if (how & 3)
		in->attr.prog_flags |= how >> 6 & 1 ? BPF_F_TEST_STATE_FREQ : 0;
	for (u32 i = 0; i < FUZZ_TYPES; i++)
		if (side_type(i) == in->attr.prog_type)
			in->type = (u8)i;
	/* Indices into the array of descriptors are not bounded by the call: keep them in what is there. */
	for (u32 i = 0; i < in->attr.insn_cnt; i++)
		if (in->code[i].code == (BPF_LD | BPF_IMM | BPF_DW)) {
			if (in->code[i].src_reg == BPF_PSEUDO_MAP_FD ||
			    in->code[i].src_reg == BPF_PSEUDO_MAP_VALUE)
				in->code[i].src_reg += BPF_PSEUDO_MAP_IDX - BPF_PSEUDO_MAP_FD;
			if (in->code[i].src_reg == BPF_PSEUDO_MAP_IDX ||
			    in->code[i].src_reg == BPF_PSEUDO_MAP_IDX_VALUE)
				in->code[i].imm &= FUZZ_MAPS - 1;
			in->maps |= 1u << (in->code[i].imm & (FUZZ_MAPS - 1));
		} else if (in->code[i].code == (BPF_JMP | BPF_CALL) &&
			   in->code[i].imm == BPF_FUNC_get_prandom_u32) {
			in->random = true;
		}
	if (in->maps & (1u << FUZZ_OUTER | 1u << FUZZ_OUTER_HASH))
		in->maps |= 1u << FUZZ_ARRAY;
}

static int load(const struct input *in, const struct side *s)
{
	static char log[512];
	struct attr_prog_load a = in->attr;
	s32 fds[FUZZ_MAPS];

	memcpy(fds, s->map, sizeof(fds));
	fds[FUZZ_PROGS] = s->progs[in->type];
	a.insns = ADDRESS(in->code);
	a.license = ADDRESS("GPL");
	a.log_buf = a.log_level ? ADDRESS(log) : 0;
	a.log_size = a.log_level ? (u32)sizeof(log) : 0;
	a.fd_array = ADDRESS(fds);
	a.func_info = ADDRESS(extra);
	a.line_info = ADDRESS(extra);
	return skep_bpf(s->k, BPF_PROG_LOAD, (union bpf_attr *)(void *)&a, sizeof(a));
}

/* ---- runs of what was accepted ---- */

static struct outcome outcome[SIDES];

static bool same(u32 a, u32 b)
{
	return outcome[a].n == outcome[b].n && !memcmp(outcome[a].at, outcome[b].at, outcome[a].n);
}

static void differ(const struct outcome *a, const struct outcome *b)
{
	u32 i = 0;

	while (i < a->n && i < b->n && a->at[i] == b->at[i])
		i++;
	fprintf(stderr,
		"compiled code and the interpreter differ: %u and %u bytes, at byte %u: 0x%x and 0x%x\n",
		a->n, b->n, i, a->at[i], b->at[i]);
	abort();
}

/*
 * Runs at another depth of the stack: what depends on addresses differs, and is not compared then. The room must be in a frame of its own, and used after
 * the run as well, or there is none of it during the run.
 */
__attribute__((noinline)) static void run_elsewhere(const struct input *in, struct side *s, int fd, u32 seed, struct outcome *o)
{
	volatile u64 depth[1001];

	depth[0] = depth[1000] = 0;
	side_run(s, fd, in->attr.prog_type, in->maps, seed, o);
	depth[0] = depth[1000];
}

enum round { REFUSED, EQUAL, DIFFERENT };

static enum round run_all(const struct input *in, u32 seed)
{
	int fd[SIDES] = {load(in, &side[0])};
	bool different;

	if (fd[0] < 0)
		return REFUSED;
	for (u32 i = 1; i < SIDES; i++) {
		fd[i] = load(in, &side[i]);
		if (fd[i] < 0 && fd[i] != -ENOMEM)
			abort();
	}
	side_run(&side[0], fd[0], in->attr.prog_type, in->maps, seed, &outcome[0]);
	if (fd[1] >= 0)
		run_elsewhere(in, &side[1], fd[1], seed, &outcome[1]);
	if (fd[SIDE_INTERP] >= 0)
		side_run(&side[SIDE_INTERP], fd[SIDE_INTERP], in->attr.prog_type, in->maps, seed,
			 &outcome[SIDE_INTERP]);
	different = fd[1] >= 0 && fd[SIDE_INTERP] >= 0 && !outcome[0].limited && !outcome[SIDE_INTERP].limited &&
		    !in->random && same(0, 1) && !same(0, SIDE_INTERP);
	for (u32 i = 0; i < SIDES; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return different ? DIFFERENT : EQUAL;
}

/* Addresses can agree by chance where the program compares them: a difference counts when it is there in every set of engines. */
static bool always_differs(const struct input *in, u32 seed)
{
	for (u32 i = 0; i < SURE; i++) {
		again();
		if (run_all(in, seed) != DIFFERENT)
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct input in;
	static u32 ran;
	enum round how;
	u32 seed;

	if (!side[0].k)
		start();
	if (size < 2)
		return 0;
	read_input(&in, data, size);
	seed = data[size - 1] + 1u;
	how = run_all(&in, seed);
	if (how == DIFFERENT && always_differs(&in, seed))
		differ(&outcome[0], &outcome[SIDE_INTERP]);
	if (how != REFUSED && ++ran % ENGINE_LASTS == 0)
		again();
	return 0;
}
