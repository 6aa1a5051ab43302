/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Execution vectors (vectors/: expectations from RFC 9669, by tools/make-vectors) on every engine, and on the running kernel
 * where it answers. An engine is a row of engines[]; all get the same bytes.
 *
 * A vector of operations.tab becomes a program over 16 bytes of memory that hold the operands, so that no engine can
 * fold them; it runs with B in a register and, where B can be one, as an immediate.
 */
#include "isa/isa.h"
#include "jit/jit.h"
#include "kernel.h"
#include "test.h"
#include "vm/vm.h"

#include <ctype.h>

enum { MAX_INSNS = 64, MAX_MEM = 64 };

struct vector {
	char name[80];
	struct raw_insn raw[MAX_INSNS];
	u32 n;
	u8 mem[MAX_MEM], after[MAX_MEM], packet[MAX_MEM];
	u32 mem_size, packet_size;
	bool has_packet;
	u64 result;
};

/* 0: *result holds R0 and mem what memory is; 1: this engine cannot run it; -1: it failed, text says why. */
typedef int engine_fn(const struct vector *v, u8 *mem, u64 *result, char text[256]);

/* ---- the interpreter, and the compiler in several settings ---- */

static struct window window; /* where code lies */

static int execute(const struct vector *v, u8 *mem, u64 *result, char text[256], const struct jit_options *compiled)
{
	static const struct ctx_type no_fields = {.name = "vector", .flags = CTX_TYPE_FLAT};
	const struct run_host host = {.window = &window};
	struct packet packet = {0};
	struct insn insns[MAX_INSNS];
	u64 operand[MAX_INSNS] = {0};
	struct insn_error err;
	struct prog prog = {.mem = &mem_libc, .raw = v->raw, .insns = insns, .operand = operand, .n = v->n};
	struct run run = {.prog = &prog, .host = &host, .budget = 1000000};
	u8 ctx[8] = {0}, bytes[MAX_MEM];
	const char *why = "";
	int r = -1;

	if (insns_decode(v->raw, v->n, insns, &err)) {
		snprintf(text, 256, "insn %u: %s", err.insn, err.text);
		return -1;
	}
	for (u32 k = 0; k < v->n; k++)
		if (insns[k].op == OP_LD_IMM64)
			operand[k] = insns[k].pseudo == PSEUDO_FUNC ? func_value((u32)((s64)k + 1 + insns[k].imm)) : (u64)insns[k].imm;
	arena_open(&prog.arena, &mem_libc);
	if (subprogs_find(&prog, &err)) {
		snprintf(text, 256, "insn %u: %s", err.insn, err.text);
		goto out;
	}
	if (compiled) {
		struct jit_options o = *compiled;

		o.host = &host;
		o.window = &window;
		o.check = true;
		r = jit_compile(&prog, &o, NULL, &why);
		if (r) {
			snprintf(text, 256, "not compiled: %d: %s", r, why ? why : "");
			goto out;
		}
	}
	run.ctx.type = &no_fields;
	run.ctx.bytes = v->has_packet ? ctx : mem;
	run.ctx.size = v->has_packet ? sizeof(ctx) : v->mem_size;
	run.ctx.has_second = !v->has_packet;
	run.ctx.second = v->mem_size;
	if (v->has_packet) {
		memcpy(bytes, v->packet, v->packet_size);
		packet.head = packet.meta = packet.data = packet.mac = packet.network = bytes;
		packet.tail = packet.end = bytes + v->packet_size;
		run.ctx.packet = &packet;
	} else {
		run.spans[0] = (struct run_span){(u64)(uintptr_t)mem, v->mem_size, true, "memory"};
		run.n_spans = 1;
	}
	r = vm_run(&run, result) ? -1 : 0;
	if (r)
		snprintf(text, 256, "%s", run.fault.text);
out:
	jit_free(&prog);
	arena_close(&prog.arena);
	return r;
}

static int interpret(const struct vector *v, u8 *mem, u64 *result, char text[256])
{
	return execute(v, mem, result, text, NULL);
}

static int compile(const struct vector *v, u8 *mem, u64 *result, char text[256])
{
	const struct jit_options o = {0};

	return execute(v, mem, result, text, &o);
}

/* Every pass left out. */
static int compile_plain(const struct vector *v, u8 *mem, u64 *result, char text[256])
{
	const struct jit_options o = {.without = ~0u};

	return execute(v, mem, result, text, &o);
}

/* Two registers besides those that addresses and results go through: nearly everything lives on the stack. */
static int compile_spilling(const struct vector *v, u8 *mem, u64 *result, char text[256])
{
	const struct jit_options o = {.registers = 1 << 3 | 1 << 6 | 1 << 10 | 1 << 11};

	return execute(v, mem, result, text, &o);
}

static int compile_poisoned(const struct vector *v, u8 *mem, u64 *result, char text[256])
{
	const struct jit_options o = {.poison = true, .baseline = true, .poll = true};

	return execute(v, mem, result, text, &o);
}

/* ---- the running kernel ---- */

#define I(code, dst, src, off, imm) {code, (u8)((dst) | (src) << 4), off, imm}

/* Programs that differ in memory only are loaded once: the last few are kept. */
static struct loaded {
	struct raw_insn raw[MAX_INSNS + 16];
	u32 n;
	unsigned type;
	int fd;
} kept[32];
static u32 kept_next;

static int load_once(unsigned type, const struct raw_insn *raw, u32 n)
{
	struct loaded *l;

	for (u32 k = 0; k < ARRAY_SIZE(kept); k++)
		if (kept[k].n == n && kept[k].type == type && !memcmp(kept[k].raw, raw, n * sizeof(*raw)))
			return kept[k].fd;
	l = &kept[kept_next++ % ARRAY_SIZE(kept)];
	if (l->n && l->fd >= 0)
		close(l->fd);
	memcpy(l->raw, raw, n * sizeof(*raw));
	l->n = n;
	l->type = type;
	l->fd = kernel_load(type, raw, n, NULL, 0);
	return l->fd;
}

/* Memory is packet data, 16 bytes at least; R0 is stored behind it. The vector becomes a function that main calls. */
static int kernel_memory(const struct vector *v, u8 *mem, u64 *result, char text[256])
{
	s32 at = (s32)MAX(v->mem_size, 16u);
	const struct raw_insn prologue[] = {
		I(0x61, 6, 1, 0, 0), I(0x61, 7, 1, 4, 0), I(0xbf, 8, 6, 0, 0), I(0x07, 8, 0, 0, at + 8), /* data, end, end of ours */
		I(0x3d, 7, 8, 2, 0), I(0xb7, 0, 0, 0, 0), I(0x95, 0, 0, 0, 0), I(0xbf, 1, 6, 0, 0), /* enough? */
		I(0xb7, 2, 0, 0, (s32)v->mem_size), I(0x85, 0, 1, 0, 3), I(0x7b, 6, 0, (s16)at, 0), I(0xb7, 0, 0, 0, 2),
		I(0x95, 0, 0, 0, 0),
	};
	struct raw_insn p[ARRAY_SIZE(prologue) + MAX_INSNS];
	u8 data[MAX_MEM + 24] = {0};
	unsigned retval = 0;
	int fd, r;

	memcpy(p, prologue, sizeof(prologue));
	memcpy(p + ARRAY_SIZE(prologue), v->raw, v->n * sizeof(v->raw[0]));
	memcpy(data, mem, v->mem_size);
	fd = load_once(BPF_PROG_TYPE_XDP, p, (u32)ARRAY_SIZE(prologue) + v->n);
	if (fd < 0)
		return 1;
	r = kernel_run(fd, data, (u32)at + 8, &retval);
	if (r || retval != 2) {
		snprintf(text, 256, "test run gives %d, return value %u", r, retval);
		return -1;
	}
	memcpy(mem, data, v->mem_size);
	memcpy(result, data + at, 8);
	return 0;
}

static int kernel_packet(const struct vector *v, u64 *result, char text[256])
{
	u8 data[MAX_MEM + 14] = {[12] = 8}; /* an Ethernet header, which the test run takes off */
	unsigned retval = 0;
	int fd = load_once(BPF_PROG_TYPE_SOCKET_FILTER, v->raw, v->n), r;

	if (fd < 0)
		return 1;
	memcpy(data + 14, v->packet, v->packet_size);
	r = kernel_run(fd, data, 14 + v->packet_size, &retval);
	if (r) {
		snprintf(text, 256, "test run gives %d", r);
		return -1;
	}
	*result = retval;
	return 0;
}

static int kernel(const struct vector *v, u8 *mem, u64 *result, char text[256])
{
	return v->has_packet ? kernel_packet(v, result, text) : kernel_memory(v, mem, result, text);
}

static bool always(void)
{
	return true;
}

static bool kernel_there(void)
{
	return kernel_loads(BPF_PROG_TYPE_XDP) && kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER);
}

static const struct engine {
	const char *name;
	engine_fn *run;
	bool (*available)(void);
	bool runs_all; /* may not refuse a vector */
	const char *missing;
} engines[] = {
	{"interpreter", interpret, always, true, ""},
	{"kernel", kernel, kernel_there, false, KERNEL_MISSING},
	{"compiler", compile, always, true, ""},
	{"compiler without passes", compile_plain, always, true, ""},
	{"compiler with two registers", compile_spilling, always, true, ""},
	{"compiler with poisoned registers", compile_poisoned, always, true, ""},
};
enum { INTERPRETER, KERNEL, COMPILER };

struct tally {
	u32 ran, refused, wrong;
};

static void run_vector(const struct engine *e, const struct vector *v, struct tally *t)
{
	u8 mem[MAX_MEM];
	char text[256] = "";
	u64 result = 0x5a5a5a5a5a5a5a5au;
	int r;

	memcpy(mem, v->mem, sizeof(mem));
	r = e->run(v, mem, &result, text);
	if (r == 1 && !e->runs_all) {
		if (getenv("VERBOSE"))
			printf("# %s refuses %s\n", e->name, v->name);
		t->refused++;
		return;
	}
	t->ran++;
	if (r == 0 && result == v->result && !memcmp(mem, v->after, v->mem_size))
		return;
	if (t->wrong++ < 20)
		test_fail(__FILE__, __LINE__, "%s: %s: r0 is 0x%llx, expected 0x%llx%s%s%s", e->name, v->name, (unsigned long long)result,
			  (unsigned long long)v->result, r == 0 && memcmp(mem, v->after, v->mem_size) ? "; memory differs" : "",
			  text[0] ? "; " : "", text);
}

/* ---- operations.tab ---- */

static bool is_unary(const struct op_info *op)
{
	return op->flags & OPF_UNARY || (op->flags & OPF_COPY && op->off);
}

/* "add64", "movsx8to32", "be16": the instruction on r3 and r4, by the names in the table of operations. */
static bool find_operation(const char *name, struct insn *i)
{
	static const struct {
		const char *name;
		enum op op;
	} swaps[] = {{"le", OP_LE}, {"be", OP_BE}, {"bswap", OP_BSWAP}};
	char upper[16] = "";
	unsigned from, to, width;
	u32 n = 0;

	*i = (struct insn){.dst = 3, .src = 4, .target = -1};
	if (sscanf(name, "movsx%uto%u", &from, &to) == 2) {
		i->op = from == 8 ? OP_MOVS8 : from == 16 ? OP_MOVS16 : OP_MOVS32;
		i->width = (u8)to;
		return true;
	}
	for (; isalpha((unsigned char)name[n]) && n < sizeof(upper) - 1; n++)
		upper[n] = (char)toupper((unsigned char)name[n]);
	if (sscanf(name + n, "%u", &width) != 1)
		return false;
	i->width = (u8)width;
	for (u32 k = 0; k < ARRAY_SIZE(swaps); k++)
		if (strlen(swaps[k].name) == n && !memcmp(swaps[k].name, name, n)) {
			i->op = (u8)swaps[k].op;
			i->src = 0;
			return true;
		}
	for (enum op op = OP_INVALID + 1; op < OP_COUNT; op++)
		if ((op_table[op].class == OPS_ALU || op_table[op].class == OPS_JMP) && !strcmp(op_table[op].name, upper))
			i->op = (u8)op;
	return i->op != OP_INVALID;
}

/* r3 = A, r4 = B; the instruction; r0 = r3, or 1 when the jump was taken. */
static void build(struct vector *v, const struct insn *op, u64 a, u64 b)
{
	bool jump = op_table[op->op].class == OPS_JMP;
	struct raw_insn *p = v->raw;
	struct insn i = *op;
	u32 n = 0;

	p[n++] = (struct raw_insn)I(0x79, 3, 1, 0, 0);
	p[n++] = (struct raw_insn)I(0x79, 4, 1, 8, 0);
	p[n++] = (struct raw_insn)I(0xb7, 0, 0, 0, 0);
	if (jump)
		i.target = (s32)n + 2;
	insn_encode(&i, n, p + n);
	n++;
	if (jump)
		p[n++] = (struct raw_insn)I(0x95, 0, 0, 0, 0);
	p[n++] = jump ? (struct raw_insn)I(0xb7, 0, 0, 0, 1) : (struct raw_insn)I(0xbf, 0, 3, 0, 0);
	p[n++] = (struct raw_insn)I(0x95, 0, 0, 0, 0);
	v->n = n;
	v->mem_size = 16;
	memcpy(v->mem, &a, 8);
	memcpy(v->mem + 8, &b, 8);
	memcpy(v->after, v->mem, sizeof(v->after));
}

/* B as an immediate gives the same operand: sign-extended for 64 bits, its low half for 32. */
static bool as_immediate(const struct insn *op, u64 b, struct insn *out)
{
	bool fits = op->width == 32 || (s64)b == (s32)(u32)b;

	*out = *op;
	out->imm_src = true;
	out->src = 0;
	out->imm = op->width == 32 ? (s64)(u32)b : (s64)b;
	return fits;
}

static void run_line(const struct engine *e, const char *line, struct tally *t, u32 *seen)
{
	unsigned long long x, y, want;
	struct insn op, imm;
	struct vector v = {0};
	char name[32];
	u64 a, b;
	bool swap, unary;

	if (sscanf(line, "%31s %llx %llx = %llx", name, &x, &y, &want) != 4) {
		y = 0;
		if (sscanf(line, "%31s %llx = %llx", name, &x, &want) != 3) {
			test_fail(__FILE__, __LINE__, "cannot read the line: %s", line);
			return;
		}
	}
	if (!find_operation(name, &op)) {
		test_fail(__FILE__, __LINE__, "no such operation: %s", name);
		return;
	}
	seen[op.op]++;
	swap = op_table[op.op].class == OPS_OTHER;
	unary = is_unary(&op_table[op.op]);
	/* a sign-extending move takes its operand from the source */
	a = unary && op.op != OP_NEG ? 0x5555555555555555u : x;
	b = unary && op.op != OP_NEG ? x : y;
	if (op.op == OP_NEG || swap) {
		op.imm_src = true;
		op.src = 0;
	}
	v.result = want;
	snprintf(v.name, sizeof(v.name), "%.60s", line);
	build(&v, &op, a, b);
	run_vector(e, &v, t);
	if (unary || swap || !as_immediate(&op, b, &imm))
		return;
	snprintf(v.name, sizeof(v.name), "%.60s (immediate)", line);
	build(&v, &imm, a, b);
	run_vector(e, &v, t);
}

static FILE *open_vectors(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", VECTORS, name);
	return fopen(path, "r");
}

static void all_operations(const struct engine *e)
{
	u32 seen[OP_COUNT] = {0};
	struct tally t = {0};
	char line[256];
	FILE *f = open_vectors("operations.tab");

	REQUIRE(f);
	if (!e->available()) {
		fclose(f);
		SKIP(e->missing);
	}
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (line[0] != '#' && line[0])
			run_line(e, line, &t, seen);
	}
	fclose(f);
	printf("# %s: %u ran, %u refused, %u wrong\n", e->name, t.ran, t.refused, t.wrong);
	CHECK(t.ran > 4000);
	for (enum op op = OP_INVALID + 1; op < OP_COUNT; op++)
		if ((op_table[op].class == OPS_ALU || op_table[op].class == OPS_JMP) && !seen[op])
			test_fail(__FILE__, __LINE__, "no vector for %s", op_table[op].name);
}

/* ---- programs.data ---- */

static u32 hex_bytes(const char *s, u8 *out)
{
	unsigned x;
	u32 n = 0;

	for (; n < MAX_MEM && sscanf(s, "%2x", &x) == 1; s += 2)
		out[n++] = (u8)x;
	return n;
}

struct reader {
	struct vector v;
	struct text asm_text;
	bool in_asm, has_after, any;
};

static void finish_case(struct reader *r, const struct engine *e, struct tally *t)
{
	struct asm_error err;
	struct arena arena;
	struct raw_insn *raw;
	u32 n;

	if (!r->any)
		return;
	arena_open(&arena, &mem_libc);
	if (asm_parse(&arena, text_str(&r->asm_text), r->asm_text.len, &raw, &n, &err) || n > MAX_INSNS) {
		test_fail(__FILE__, __LINE__, "%s: line %u: %s", r->v.name, err.line, err.text);
	} else {
		memcpy(r->v.raw, raw, n * sizeof(*raw));
		r->v.n = n;
		if (!r->has_after)
			memcpy(r->v.after, r->v.mem, sizeof(r->v.after));
		run_vector(e, &r->v, t);
	}
	arena_close(&arena);
}

static void read_line(struct reader *r, const char *line, const struct engine *e, struct tally *t)
{
	if (!strncmp(line, "-- case ", 8)) {
		finish_case(r, e, t);
		text_clear(&r->asm_text);
		r->v = (struct vector){0};
		r->has_after = false;
		r->any = true;
		snprintf(r->v.name, sizeof(r->v.name), "%.70s", line + 8);
		return;
	}
	if (line[0] != '-' || line[1] != '-') {
		if (r->in_asm) {
			text_add(&r->asm_text, line);
			text_add(&r->asm_text, "\n");
		}
		return;
	}
	r->in_asm = !strcmp(line, "-- asm");
	if (!strncmp(line, "-- mem ", 7)) {
		r->v.mem_size = hex_bytes(line + 7, r->v.mem);
	} else if (!strncmp(line, "-- after ", 9)) {
		hex_bytes(line + 9, r->v.after);
		r->has_after = true;
	} else if (!strncmp(line, "-- packet ", 10)) {
		r->v.packet_size = hex_bytes(line + 10, r->v.packet);
		r->v.has_packet = true;
	} else if (!strncmp(line, "-- result ", 10)) {
		r->v.result = strtoull(line + 10, NULL, 16);
	} else if (!r->in_asm) {
		test_fail(__FILE__, __LINE__, "unknown section: %s", line);
	}
}

static void all_programs(const struct engine *e)
{
	struct reader r = {0};
	struct tally t = {0};
	char line[512];
	FILE *f = open_vectors("programs.data");

	REQUIRE(f);
	if (!e->available()) {
		fclose(f);
		SKIP(e->missing);
	}
	text_open(&r.asm_text, &mem_libc);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (line[0] != '#')
			read_line(&r, line, e, &t);
	}
	finish_case(&r, e, &t);
	text_close(&r.asm_text);
	fclose(f);
	printf("# %s: %u ran, %u refused, %u wrong\n", e->name, t.ran, t.refused, t.wrong);
	CHECK(t.ran > 400);
}

TEST(operations_on_the_interpreter)
{
	all_operations(&engines[0]);
}

TEST(operations_on_the_kernel)
{
	all_operations(&engines[1]);
}

TEST(operations_compiled)
{
	for (u32 e = COMPILER; e < ARRAY_SIZE(engines); e++)
		all_operations(&engines[e]);
}

TEST(programs_compiled)
{
	for (u32 e = COMPILER; e < ARRAY_SIZE(engines); e++)
		all_programs(&engines[e]);
}

TEST(programs_on_the_interpreter)
{
	all_programs(&engines[0]);
}

TEST(programs_on_the_kernel)
{
	all_programs(&engines[1]);
}

/* The expressions by themselves, as the constant folder uses them. */
TEST(operations_folded)
{
	char line[256], name[32];
	unsigned long long a, b, want;
	FILE *f = open_vectors("operations.tab");
	u32 checked = 0;

	REQUIRE(f);
	while (fgets(line, sizeof(line), f)) {
		struct insn op;
		u64 got;

		if (line[0] == '#')
			continue;
		if (sscanf(line, "%31s %llx %llx = %llx", name, &a, &b, &want) != 4) {
			REQUIRE(sscanf(line, "%31s %llx = %llx", name, &a, &want) == 3);
			b = a;
		}
		REQUIRE(find_operation(name, &op));
		got = op_table[op.op].class == OPS_JMP ? op_compare(op.op, op.width, a, b) :
		      op_table[op.op].class == OPS_ALU ? op_eval(op.op, op.width, a, b) :
							 op_byteswap(op.op, op.width, a);
		if (got != want)
			test_fail(__FILE__, __LINE__, "%sgives 0x%llx", line, (unsigned long long)got);
		checked++;
	}
	fclose(f);
	CHECK(checked > 2000);
}

/* ---- random programs: the interpreter beside the kernel ---- */

static u64 random_state = 0xa0761d6478bd642fu;
static u64 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Scalars live in r0 and r3 to r9; r1 stays the pointer to memory. */
static u8 random_reg(void)
{
	u8 r = (u8)(next_random() % 8);

	return r ? r + 2 : 0;
}

static s32 random_imm(void)
{
	static const s32 special[] = {0, 1, -1, 7, 31, 32, 63, INT32_MAX, INT32_MIN, 0xff, 0x8000};

	return next_random() & 1 ? special[next_random() % ARRAY_SIZE(special)] : (s32)next_random();
}

static enum op random_op(enum op_class class)
{
	for (;;) {
		enum op op = (enum op)(next_random() % OP_COUNT);

		if (op_table[op].class == class)
			return op;
	}
}

/* One instruction that both must accept: no constant shift or division that Linux refuses, jumps forward only. */
static struct insn random_insn(u32 at, u32 last)
{
	static const enum op swaps[] = {OP_LE, OP_BE, OP_BSWAP};
	struct insn i = {.dst = random_reg(), .src = random_reg(), .width = next_random() & 1 ? 64 : 32, .imm = random_imm(), .target = -1};
	u32 size = 1u << next_random() % 4;

	switch (next_random() % 10) {
	case 0:
		i.op = (u8)(size < 8 && next_random() & 1 ? OP_LDXS : OP_LDX);
		i.width = (u8)size;
		i.src = 1;
		i.off = (s16)(next_random() % (MAX_MEM - size + 1));
		i.imm = 0;
		return i;
	case 1:
		i.op = next_random() & 1 ? OP_ST : OP_STX;
		i.width = (u8)size;
		i.dst = 1;
		i.src = i.op == OP_ST ? 0 : i.src;
		i.imm = i.op == OP_ST ? i.imm : 0;
		i.off = (s16)(next_random() % (MAX_MEM - size + 1));
		return i;
	case 2:
		i.op = (u8)swaps[next_random() % 3];
		i.width = (u8)(16 << next_random() % 3);
		i.src = 0;
		return i;
	case 3:
	case 4:
		i.op = (u8)random_op(OPS_JMP);
		i.target = (s32)(at + 1 + next_random() % MIN(last - at, 6u));
		break;
	case 5:
		i.op = (u8)random_op(OPS_ATOMIC);
		i.width = next_random() & 1 ? 8 : 4;
		i.dst = 10;
		i.off = (s16)(-8 * (s16)(1 + next_random() % 4));
		return i;
	default: i.op = (u8)random_op(OPS_ALU);
	}
	i.imm_src = op_table[i.op].flags & OPF_UNARY || (next_random() & 1 && !(op_table[i.op].flags & OPF_COPY && op_table[i.op].off));
	if (i.op == OP_MOVS32)
		i.width = 64;
	if (i.op == OP_LSH || i.op == OP_RSH || i.op == OP_ARSH)
		i.imm &= i.width - 1;
	if ((i.op == OP_DIV || i.op == OP_MOD || i.op == OP_SDIV || i.op == OP_SMOD) && !i.imm)
		i.imm = 3;
	if (op_table[i.op].flags & OPF_UNARY)
		i.imm = 0;
	if (i.imm_src)
		i.src = 0;
	return i;
}

/* Registers and stack from memory; random instructions; all registers into r0. */
static void random_program(struct vector *v)
{
	static const u8 regs[] = {3, 4, 5, 6, 7, 8, 9};
	enum { BODY = 32 };
	struct raw_insn *p = v->raw;
	u32 n = 0, end;

	for (u32 k = 0; k < ARRAY_SIZE(regs); k++)
		p[n++] = (struct raw_insn)I(0x79, regs[k], 1, (s16)(8 * k), 0);
	p[n++] = (struct raw_insn)I(0x79, 0, 1, 56, 0);
	for (s16 k = 1; k <= 4; k++)
		p[n++] = (struct raw_insn)I(0x7b, 10, regs[k], (s16)(-8 * k), 0);
	for (end = n + BODY; n < end; n++) {
		struct insn i = random_insn(n, end);

		insn_encode(&i, n, p + n);
	}
	for (u32 k = 0; k < ARRAY_SIZE(regs); k++) {
		p[n++] = (struct raw_insn)I(0x27, 0, 0, 0, 31);
		p[n++] = (struct raw_insn)I(0xaf, 0, regs[k], 0, 0);
	}
	p[n++] = (struct raw_insn)I(0x79, 3, 10, -8, 0);
	p[n++] = (struct raw_insn)I(0xaf, 0, 3, 0, 0);
	p[n++] = (struct raw_insn)I(0x95, 0, 0, 0, 0);
	v->n = n;
	v->mem_size = MAX_MEM;
	for (u32 k = 0; k < MAX_MEM; k += 8) {
		u64 x = next_random() & 1 ? (u64)(s64)random_imm() : next_random();

		memcpy(v->mem + k, &x, 8);
	}
}

TEST(random_programs_as_on_the_kernel)
{
	u32 ran = 0, refused = 0;

	if (!kernel_there())
		SKIP(KERNEL_MISSING);
	for (u32 round = 0; round < 3000 && !test_case_failed; round++) {
		u8 mine[MAX_MEM], theirs[MAX_MEM];
		struct vector v = {.name = "random"};
		char text[256] = "";
		u64 a = 0, b = 0;

		random_program(&v);
		memcpy(mine, v.mem, MAX_MEM);
		memcpy(theirs, v.mem, MAX_MEM);
		if (interpret(&v, mine, &a, text)) {
			test_fail(__FILE__, __LINE__, "round %u: interpreter: %s", round, text);
			break;
		}
		if (kernel(&v, theirs, &b, text)) {
			refused++;
			continue;
		}
		ran++;
		if (a != b || memcmp(mine, theirs, MAX_MEM))
			test_fail(__FILE__, __LINE__, "round %u: interpreter gives 0x%llx, kernel 0x%llx%s", round, (unsigned long long)a,
				  (unsigned long long)b, memcmp(mine, theirs, MAX_MEM) ? ", memory differs" : "");
	}
	printf("# %u compared, %u refused by the kernel\n", ran, refused);
	CHECK(ran > 2000);
}

TEST(random_programs_compiled)
{
	u32 ran = 0, rounds = getenv("ROUNDS") ? (u32)atoi(getenv("ROUNDS")) : 2000;

	if (getenv("SEED"))
		random_state = strtoull(getenv("SEED"), NULL, 0) | 1;
	for (u32 round = 0; round < rounds && !test_case_failed; round++) {
		u8 mine[MAX_MEM], theirs[MAX_MEM];
		struct vector v = {.name = "random"};
		char text[256] = "";
		u64 a = 0, b = 0;

		random_program(&v);
		memcpy(mine, v.mem, MAX_MEM);
		if (interpret(&v, mine, &a, text)) {
			test_fail(__FILE__, __LINE__, "round %u: interpreter: %s", round, text);
			break;
		}
		for (u32 e = COMPILER; e < ARRAY_SIZE(engines); e++) {
			memcpy(theirs, v.mem, MAX_MEM);
			if (engines[e].run(&v, theirs, &b, text) || a != b || memcmp(mine, theirs, MAX_MEM)) {
				test_fail(__FILE__, __LINE__, "round %u: interpreter gives 0x%llx, %s 0x%llx%s %s", round, (unsigned long long)a,
					  engines[e].name, (unsigned long long)b, memcmp(mine, theirs, MAX_MEM) ? ", memory differs" : "", text);
				for (u32 k = 0; k < v.n; k++) {
					const u64 *raw = (const u64 *)&v.raw[k];

					printf("# %016llx\n", (unsigned long long)*raw);
				}
			}
			ran++;
		}
	}
	CHECK(ran > 4000);
}

int main(void)
{
	if (window_open(&window, (size_t)1 << 30))
		return 1;
	RUN(operations_folded);
	RUN(operations_on_the_interpreter);
	RUN(programs_on_the_interpreter);
	RUN(operations_compiled);
	RUN(programs_compiled);
	RUN(random_programs_compiled);
	RUN(operations_on_the_kernel);
	RUN(programs_on_the_kernel);
	RUN(random_programs_as_on_the_kernel);
	return test_end();
}
