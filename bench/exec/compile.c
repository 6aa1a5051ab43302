/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How compile time grows with a program: generated programs of several shapes and sizes, from a thousand to a hundred thousand instructions.
 *
 *     bench-compile [--json] [SHAPE...]
 */
#include "helper/helper.h"
#include "jit/jit.h"

#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 100000, ROUNDS = 3 };

static struct window window;
static struct domain *domain;
static struct run_host host;
static struct map array, table;

struct source {
	struct text text;
	u32 n; /* instructions, as far as they count */
	u32 labels;
	u64 random;
};

static u32 below(struct source *s, u32 n)
{
	s->random ^= s->random << 13, s->random ^= s->random >> 7, s->random ^= s->random << 17;
	return (u32)(s->random >> 33) % n;
}

static void line(struct source *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void line(struct source *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_addv(&s->text, fmt, ap);
	va_end(ap);
	text_add(&s->text, "\n");
	s->n++;
}

static u32 number_register(struct source *s)
{
	static const u8 registers[] = {0, 3, 4, 5, 8, 9};

	return registers[below(s, ARRAY_SIZE(registers))];
}

/* ---- pieces; r7 is memory, r0, r3, r4, r5, r8, r9 are numbers ---- */

static void arithmetic(struct source *s)
{
	static const char *const ops[] = {"+=", "-=", "*=", "^=", "|=", "&=", "<<=", ">>="};
	u32 op = below(s, ARRAY_SIZE(ops));

	if (op >= 6)
		line(s, "r%u %s %u", number_register(s), ops[op], 1 + below(s, 31));
	else if (below(s, 2))
		line(s, "r%u %s r%u", number_register(s), ops[op], number_register(s));
	else
		line(s, "w%u %s %u", number_register(s), ops[op], 1 + below(s, 1000));
}

static void memory(struct source *s)
{
	u32 at = 8 * below(s, 128);

	if (below(s, 3))
		line(s, "r%u = *(u32 *)(r7 +%u)", number_register(s), at);
	else
		line(s, "*(u64 *)(r7 +%u) = r%u", at, number_register(s));
}

static void stack(struct source *s)
{
	u32 at = 8 + 8 * below(s, 30);

	line(s, below(s, 2) ? "r%u = *(u64 *)(r10 -%u)" : "r%u = *(u32 *)(r10 -%u)", number_register(s), at);
	line(s, "*(u64 *)(r10 -%u) = r%u", at, number_register(s));
}

static void branch(struct source *s)
{
	u32 label = s->labels++;

	line(s, "if r%u > %u goto b%u", number_register(s), below(s, 100000), label);
	for (u32 i = 1 + below(s, 4); i--;)
		arithmetic(s);
	text_addf(&s->text, "b%u:\n", label);
}

static void loop(struct source *s)
{
	u32 label = s->labels++;

	line(s, "r6 = 0");
	text_addf(&s->text, "l%u:\n", label);
	for (u32 i = 8; i--;)
		below(s, 3) ? arithmetic(s) : memory(s);
	branch(s);
	line(s, "r6 += 1");
	line(s, "if r6 < 10 goto l%u", label);
}

static void call(struct source *s)
{
	u32 label = s->labels++;

	line(s, "*(u32 *)(r10 -256) = r%u", number_register(s));
	line(s, "r1 = map[fd:%u]", 1 + below(s, 2));
	s->n++;
	line(s, "r2 = r10");
	line(s, "r2 += -256");
	line(s, "call 1");
	line(s, "r3 = 0\nr4 = 0\nr5 = 0");
	line(s, "if r0 == 0 goto c%u", label);
	line(s, "r1 = 1\nlock *(u64 *)(r0 +0) += r1");
	line(s, "r3 = *(u64 *)(r0 +0)");
	text_addf(&s->text, "c%u:\n", label);
	line(s, "r0 = 7");
	s->n += 3;
}

static void straight(struct source *s)
{
	switch (below(s, 4)) {
	case 0: memory(s); break;
	case 1: stack(s); break;
	default: arithmetic(s);
	}
}

static void mixed(struct source *s)
{
	switch (below(s, 16)) {
	case 0: loop(s); break;
	case 1: call(s); break;
	case 2:
	case 3:
	case 4: branch(s); break;
	default: straight(s);
	}
}

static const struct shape {
	const char *name;
	void (*piece)(struct source *s);
} shapes[] = {{"straight", straight}, {"branches", branch}, {"loops", loop}, {"calls", call}, {"mixed", mixed}};

/* ---- a program ---- */

static void write_program(struct source *s, const struct shape *shape, u32 size)
{
	*s = (struct source){.random = 88172645463325252ull};
	text_open(&s->text, &mem_libc);
	line(s, "r7 = map[fd:1]+0");
	line(s, "r0 = 1\nr3 = 3\nr4 = 4\nr5 = 5\nr8 = 8\nr9 = 9");
	for (u32 i = 0; i < 32; i++)
		line(s, "*(u64 *)(r10 -%u) = r0", 8 + 8 * i);
	s->n += 6;
	while (s->n < size - 3)
		shape->piece(s);
	line(s, "r0 ^= r3");
	line(s, "exit");
}

static bool resolve(struct prog *p, u64 *operand)
{
	for (u32 i = 0; i < p->n; i++) {
		const struct insn *in = &p->insns[i];
		struct map *m = (u32)(u64)in->imm == 1 ? &array : &table;

		if (in->op == OP_CALL)
			operand[i] = (u64)(uintptr_t)helper_proto_for((u32)in->imm, p->kind->avail);
		else if (in->op == OP_LD_IMM64)
			operand[i] = in->pseudo == PSEUDO_MAP_FD ? map_handle(m) : (u64)(uintptr_t)array.values;
		if ((in->op == OP_CALL || in->op == OP_LD_IMM64) && !operand[i])
			return false;
	}
	return true;
}

static bool measure(const struct shape *shape, u32 size, struct jit_stats *best, u32 *n)
{
	struct jit_options o = {.host = &host, .window = &window};
	struct prog p = {.mem = &mem_libc, .kind = progtype(BPF_PROG_TYPE_XDP)};
	struct asm_error err;
	struct insn_error where;
	struct map *maps[] = {&array, &table};
	struct source s;
	struct raw_insn *raw;
	struct insn *insns;
	u64 *operand;
	const char *why = "it cannot be read";
	bool ok = false;

	write_program(&s, shape, size);
	arena_open(&p.arena, &mem_libc);
	if (asm_parse(&p.arena, text_str(&s.text), (u32)s.text.len, &raw, &p.n, &err)) {
		fprintf(stderr, "bench-compile: %s: %u: %s\n", shape->name, err.line, err.text);
		exit(1);
	}
	insns = arena_array(&p.arena, p.n, sizeof(*insns));
	operand = arena_array(&p.arena, p.n, sizeof(*operand));
	p.raw = raw;
	p.insns = insns;
	p.operand = operand;
	p.maps = maps;
	p.n_maps = 2;
	best->ns = UINT64_MAX;
	if (!insns_decode(raw, p.n, insns, &where) && !subprogs_find(&p, &where) && resolve(&p, operand))
		for (u32 i = 0; i < ROUNDS; i++) {
			struct jit_stats stats;

			ok = jit_compile(&p, &o, &stats, &why) == 0;
			if (!ok)
				break;
			if (stats.ns < best->ns)
				*best = stats;
			jit_free(&p);
		}
	if (!ok)
		fprintf(stderr, "bench-compile: %s, %u instructions: %s\n", shape->name, p.n, why);
	*n = p.n;
	text_close(&s.text);
	arena_close(&p.arena);
	return ok;
}

static bool open_map(struct map *m, u32 kind)
{
	struct map_spec spec = {.kind = kind, .key_size = 4, .value_size = 2048, .max_entries = 16};

	*m = (struct map){.mem = &mem_libc, .window = &window, .domain = domain};
	return map_create(m, &spec) == 0;
}

int main(int argc, char **argv)
{
	bool json = argc > 1 && !strcmp(argv[1], "--json");

	if (window_open(&window, (size_t)8 << 30) || !(domain = domain_open(&mem_libc, &window)) || !open_map(&array, BPF_MAP_TYPE_ARRAY) ||
	    !open_map(&table, BPF_MAP_TYPE_HASH))
		return 1;
	host = (struct run_host){.window = &window};
	host.bodies = helper_bodies(&host.n_bodies);
	if (!json)
		printf("Compile time by size: generated programs, the best of %u.\n%-12s %10s %12s %9s %9s\n", ROUNDS, "", "insns", "us", "ns/insn", "B/insn");
	for (u32 i = 0; i < ARRAY_SIZE(shapes); i++) {
		bool want = argc == 1 + json;

		for (int a = 1 + json; a < argc; a++)
			want |= !strcmp(argv[a], shapes[i].name);
		for (u32 size = 1000; want && size <= MOST; size *= 10) {
			struct jit_stats stats;
			u32 n;

			if (!measure(&shapes[i], size, &stats, &n))
				continue;
			if (json)
				printf("{\"shape\": \"%s\", \"insns\": %u, \"compile_us\": %.0f, \"bytes\": %u}\n", shapes[i].name, n, (double)stats.ns / 1000, stats.bytes);
			else
				printf("%-12s %10u %12.0f %9.0f %9.1f\n", shapes[i].name, n, (double)stats.ns / 1000, (double)stats.ns / n, (double)stats.bytes / n);
			fflush(stdout);
		}
	}
	return 0;
}
