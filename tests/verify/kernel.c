/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The running kernel as the judge of precision: random straight-line programs of arithmetic and comparisons over unknown
 * numbers are loaded at log level 2, and what its log says of each register after each instruction, on both ways out of
 * each comparison, must be what the domains say, to the character. Skipped unless the kernel is 6.18, whose deductions
 * these are; PROGRAMS=N in the environment sets how many.
 */
#include "random.h"
#include "kernel.h"

#include <sys/utsname.h>

enum { FIRST = 6, LAST = 9, BODY = 36, MAX_INSNS = 160, LOG_SIZE = 1 << 20 };

/* A program and what is expected of its log: the register's text after the instruction, falling through or, for `to`, jumping. */
struct expectation {
	u32 insn, to;
	u8 reg;
	struct scalar value;
};

struct sample {
	struct insn insns[MAX_INSNS];
	struct raw_insn raw[MAX_INSNS];
	u32 n, raw_n;
	struct expectation expect[4 * MAX_INSNS];
	u32 expected;
	struct scalar regs[11];
	bool over; /* what follows is not reached, or only the kernel knows how */
};

static char log_text[LOG_SIZE];

static struct insn *add(struct sample *p, enum op op, u8 dst, u8 src, u8 width, bool imm_src, s64 imm)
{
	p->insns[p->n] = (struct insn){.op = (u8)op, .dst = dst, .src = src, .width = width, .imm_src = imm_src, .imm = imm};
	return &p->insns[p->n++];
}

static void expect(struct sample *p, u32 insn, u32 to, u8 reg, const struct scalar *value)
{
	p->expect[p->expected++] = (struct expectation){insn, to, reg, *value};
}

static s32 rnd_imm(struct rng *r)
{
	return (s32)rnd_number(r);
}

/* Linux explores both members of {-1, 0} apart when bits of a constant are taken from them. */
static bool forks(const struct scalar *s)
{
	return (s->smin == -1 && s->smax == 0) || (s->smin32 == -1 && s->smax32 == 0);
}

static void add_alu(struct sample *p, struct rng *r)
{
	enum op op = (enum op)(OP_ADD + rnd(r) % (OP_ARSH - OP_ADD + 1));
	u8 width = rnd(r) % 2 ? 32 : 64, dst = (u8)(FIRST + rnd(r) % 4), src = (u8)(FIRST + rnd(r) % 4);
	bool imm_src = rnd(r) % 2;
	s32 imm = rnd_imm(r);
	struct scalar b;

	if ((op == OP_DIV || op == OP_MOD || op == OP_SDIV || op == OP_SMOD) && rnd(r) % 8)
		return; /* they end all knowledge */
	if (op >= OP_MOV && op <= OP_MOVS32) {
		imm_src = op == OP_MOV && width == 64;
		src = dst; /* no linked numbers */
	}
	if (op == OP_MOVS32 && width == 32)
		return;
	if (op == OP_LSH || op == OP_RSH || op == OP_ARSH) {
		imm_src |= rnd(r) % 8 != 0;
		imm = (s32)(rnd(r) % width);
	}
	if (op == OP_NEG)
		imm_src = true, imm = 0;
	if (imm_src && imm == 0 && (op == OP_DIV || op == OP_MOD || op == OP_SDIV || op == OP_SMOD))
		imm = 3;
	if ((op == OP_AND || op == OP_OR) && forks(&p->regs[dst]))
		return;
	if (imm_src)
		scalar_set_const(&b, width == 32 ? (u32)imm : (u64)(s64)imm);
	else
		b = p->regs[src];
	scalar_alu(op, width, &p->regs[dst], &b);
	expect(p, p->n, 0, dst, &p->regs[dst]);
	add(p, op, dst, imm_src ? 0 : src, width, imm_src, imm);
}

/* Of a register less than itself: bounds that still contradict each other are forgotten; the bits stay. */
static void forget_broken(struct scalar *s)
{
	if (!scalar_is_empty(s))
		return;
	scalar_forget64(s);
	scalar_forget32(s);
}

static void add_jmp(struct sample *p, struct rng *r)
{
	enum op op = (enum op)(OP_JEQ + rnd(r) % (OP_JSLE - OP_JEQ + 1));
	u8 width = rnd(r) % 2 ? 32 : 64, dst = (u8)(FIRST + rnd(r) % 4), src = (u8)(FIRST + rnd(r) % 4);
	bool imm_src = rnd(r) % 2;
	s32 imm = rnd_imm(r);
	struct scalar b, stay[2], go[2], *stay_b, *go_b;
	int known;

	if (imm_src && rnd(r) % 3 == 0)
		imm = (s32)(rnd(r) % 2 ? p->regs[dst].umin : p->regs[dst].umax);
	if (imm_src)
		scalar_set_const(&b, width == 32 ? (u32)imm : (u64)(s64)imm);
	else
		b = p->regs[src];
	known = scalar_decide(op, width, &p->regs[dst], &b);
	if (known == 1) /* would end the line */
		return;
	stay[0] = go[0] = p->regs[dst];
	stay[1] = go[1] = b;
	stay_b = &stay[imm_src || src != dst]; /* a register compared with itself is one scalar */
	go_b = &go[imm_src || src != dst];
	if (known < 0) {
		scalar_refine(op, width, false, &stay[0], stay_b);
		scalar_refine(op, width, true, &go[0], go_b);
		if (stay_b == stay) {
			forget_broken(stay);
			forget_broken(go);
		} else if (scalar_is_empty(&stay[0]) || scalar_is_empty(&stay[1]) || scalar_is_empty(&go[0]) || scalar_is_empty(&go[1])) {
			return;
		}
		expect(p, p->n, p->n, dst, &go[0]);
		if (!imm_src)
			expect(p, p->n, p->n, src, go_b);
	}
	expect(p, p->n, 0, dst, &stay[0]);
	p->regs[dst] = stay[0];
	if (!imm_src) {
		expect(p, p->n, 0, src, stay_b);
		p->regs[src] = *stay_b;
	}
	add(p, op, dst, imm_src ? 0 : src, width, imm_src, imm);
}

static void generate(struct sample *p, struct rng *r)
{
	u32 body_end;

	memset(p, 0, sizeof(*p));
	for (u8 reg = FIRST; reg <= LAST; reg++) {
		add(p, OP_CALL, 0, 0, 0, true, 5); /* ktime_get_ns: an unknown number */
		add(p, OP_MOV, reg, 0, 64, false, 0);
		scalar_set_unknown(&p->regs[reg]);
	}
	add(p, OP_MOV, 0, 0, 64, true, 0);
	while (p->n < BODY)
		rnd(r) % 2 ? add_alu(p, r) : add_jmp(p, r);
	add(p, OP_EXIT, 0, 0, 0, false, 0);
	body_end = p->n;
	for (u32 i = 0; i < body_end; i++) /* a block of its own for each, so that none is pruned */
		if (op_table[p->insns[i].op].class == OPS_JMP) {
			p->insns[i].target = (s32)p->n;
			add(p, OP_MOV, 0, 0, 64, true, (s64)i);
			add(p, OP_EXIT, 0, 0, 0, false, 0);
		}
	for (u32 i = 0; i < p->n; i++)
		p->raw_n += insn_encode(&p->insns[i], i, &p->raw[p->raw_n]);
}

static int load(const struct sample *p)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr.insns = (u64)(uintptr_t)p->raw;
	attr.insn_cnt = p->raw_n;
	attr.license = (u64)(uintptr_t)"GPL";
	attr.log_buf = (u64)(uintptr_t)log_text;
	attr.log_size = sizeof(log_text);
	attr.log_level = 2;
	log_text[0] = 0;
	return kernel_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
}

/* What the line says of the register, without precision marks and ids; false if it says nothing. */
static bool said_of(const char *line, u8 reg, char out[400])
{
	char key[8];
	const char *end = strchr(line, '\n'), *at;
	u32 depth = 0, n = 0;

	snprintf(key, sizeof(key), " R%u=", reg);
	at = strstr(line, key);
	if (!at || (end && at > end))
		return false;
	at += strlen(key);
	if (*at == 'P')
		at++;
	for (; *at && *at != '\n' && n < 399; at++) {
		if (*at == ' ' && !depth)
			break;
		if (!strncmp(at, "id=", 3) && depth == 1) {
			at += strcspn(at, ",)");
			if (*at == ')')
				at--;
			continue;
		}
		depth += *at == '(';
		depth -= *at == ')';
		out[n++] = *at;
	}
	out[n] = 0;
	return true;
}

/* The next line, from `from`, that begins with text and says something of the register. */
static bool find(const char *prefix, u8 reg, char out[400])
{
	size_t len = strlen(prefix);

	for (const char *line = log_text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, prefix, len) && said_of(line, reg, out))
			return true;
	}
	return false;
}

static u64 compared;

static void compare(const struct sample *p, u32 number)
{
	const struct expectation *e;
	char prefix[32], got[400], want[400];
	struct text t;

	for (u32 i = 0; i < p->expected && !test_case_failed; i++) {
		e = &p->expect[i];
		if (e->to)
			snprintf(prefix, sizeof(prefix), "from %u to %d:", e->insn, p->insns[e->insn].target);
		else
			snprintf(prefix, sizeof(prefix), "%u: ", e->insn);
		if (!find(prefix, e->reg, got))
			continue; /* not all is printed */
		text_open(&t, &mem_libc);
		scalar_text(&t, &e->value);
		snprintf(want, sizeof(want), "%s%s", scalar_is_const(&e->value) ? "" : "scalar", text_str(&t));
		text_close(&t);
		compared++;
		if (strcmp(got, want))
			test_fail(__FILE__, __LINE__, "program %u, %s R%u\n#  kernel %s\n#  here   %s\n%s", number, prefix, e->reg, got, want, log_text);
	}
}

TEST(registers_as_the_kernel_logs_them)
{
	static struct sample p;
	struct rng r = {0x853c49e6748fea9b};
	struct utsname name;
	u32 programs = 150, refused = 0;
	int fd;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	if (uname(&name) || strncmp(name.release, "6.18", 4))
		SKIP("the kernel is not 6.18");
	if (getenv("PROGRAMS"))
		programs = (u32)atoi(getenv("PROGRAMS"));
	for (u32 i = 0; i < programs && !test_case_failed; i++) {
		generate(&p, &r);
		fd = load(&p);
		if (fd >= 0)
			close(fd);
		else if (fd != -524) /* ENOTSUPP: verified, but its compiler gave up */
			refused++;
		compare(&p, i);
	}
	CHECK(compared > 20 * programs);
	CHECK_EQ(refused, 0);
	printf("# %" PRIu64 " registers compared over %u programs\n", compared, programs);
}

int main(void)
{
	RUN(registers_as_the_kernel_logs_them);
	return test_end();
}
