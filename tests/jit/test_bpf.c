/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The eBPF programs of Linux's lib/test_bpf.c, on the interpreter and on the compiler in many settings: the result is what the table says. The table is
 * the kernel's own source (GPL, never part of skep): tests/jit/test_bpf cuts it out of Debian's linux-source at test time and compiles it into this
 * file as KERNEL_TABLE, with the macros that it is written in.
 *
 * The programs are not verified, as in the kernel. Those of millions of instructions run in fewer settings.
 */
#include "jit/jit.h"
#include "test.h"
#include "vm/vm.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_ether.h>

/* ---- what the kernel's source takes for granted ---- */

#include KERNEL_MACROS
#ifndef BPF_MEMSX
#define BPF_MEMSX 0x80
#endif
#define BIT(n)                  (1u << (n))
#define GFP_KERNEL              0
#define U32_MAX                 UINT32_MAX
#define S64_MAX                 INT64_MAX
#define S32_MAX                 INT32_MAX
#define S32_MIN                 INT32_MIN
#define S16_MAX                 INT16_MAX
#define max(a, b)               ((a) > (b) ? (a) : (b))
#define BUG_ON(x)               ((x) ? abort() : (void)0)
#define kmalloc_array(n, size, flags) calloc(n, size)
#define div64_u64(a, b)         ((a) / (b))
#define div64_u64_rem(a, b, to) (*(to) = (a) % (b), (a) / (b))
#define cpu_to_be16(x)          __builtin_bswap16(x)
#define cpu_to_be32(x)          __builtin_bswap32(x)
#define cpu_to_be64(x)          __builtin_bswap64(x)
#define cpu_to_le16(x)          (x)
#define cpu_to_le32(x)          (x)
#define cpu_to_le64(x)          (x)

struct rnd_state {
	u64 x;
};
static void prandom_seed_state(struct rnd_state *s, u64 x)
{
	s->x = x;
}
static u32 prandom_u32_state(struct rnd_state *s)
{
	s->x = s->x * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(s->x >> 32);
}
#undef __BIG_ENDIAN /* libc always has it; the kernel where it is one */
#include KERNEL_TABLE

/* ---- engines ---- */

enum { LARGE = 600, HUGE = 20000, HEADROOM = 64 };

static struct window window;
static struct jit_options settings[OPT_COUNT + 8];
static const char *names[OPT_COUNT + 8];
static u32 n_settings, ran, not_here;

struct subject {
	struct prog p;
	struct raw_insn *raw;
	struct insn *insns;
	u64 *operand;
	struct run_host host;
	u8 packet[HEADROOM + MAX_DATA];
	u8 *memory;
	u32 size;
};

/* What the kernel does not mind without its verifier: registers that were never written (they are zero in the first `zeroed` bits), an end that is not
 * reached, and the encoding of a zero extension that its verifier makes. */
static u32 copy(struct raw_insn *to, const struct bpf_insn *from, u32 n, u32 zeroed)
{
	u32 k = 0;

	for (u32 r = 0; r < 10; r++)
		if (zeroed >> r & 1)
			to[k++] = (struct raw_insn){BPF_ALU64 | BPF_MOV | BPF_K, (u8)r, 0, 0};
	memcpy(to + k, from, n * sizeof(*to));
	for (u32 i = k; i < k + n; i++) {
		if (to[i].code == (BPF_ALU | BPF_MOV | BPF_X) && to[i].imm == 1)
			to[i].imm = 0;
		if (to[i].code == (BPF_LD | BPF_IMM | BPF_DW))
			i++;
	}
	k += n;
	if (to[k - 1].code != (BPF_JMP | BPF_EXIT))
		to[k++] = (struct raw_insn){BPF_JMP | BPF_EXIT, 0, 0, 0};
	return k;
}

static bool prepare(struct subject *s, const struct bpf_insn *insns, u32 n, u32 zeroed, char text[200])
{
	struct insn_error err;

	s->raw = calloc(n + 11, sizeof(*s->raw));
	n = copy(s->raw, insns, n, zeroed);
	s->insns = calloc(n, sizeof(*s->insns));
	s->operand = calloc(n, sizeof(*s->operand));
	s->host = (struct run_host){.window = &window};
	s->p = (struct prog){.mem = &mem_libc, .raw = s->raw, .insns = s->insns, .operand = s->operand, .n = n};
	arena_open(&s->p.arena, &mem_libc);
	if (insns_decode(s->p.raw, n, s->insns, &err) || subprogs_find(&s->p, &err)) {
		snprintf(text, 200, "insn %u: %s", err.insn, err.text);
		return false;
	}
	for (u32 i = 0; i < n; i++)
		s->operand[i] = (u64)s->insns[i].imm;
	return true;
}

static void finish(struct subject *s)
{
	arena_close(&s->p.arena);
	free(s->raw);
	free(s->insns);
	free(s->operand);
	free(s->memory);
}

/* As the kernel's test makes it: the data of the test behind some headroom, or memory of a given size. */
static int run(struct subject *s, const struct bpf_test *t, u32 sub, u64 *result, char text[200])
{
	static const struct ctx_type flat = {.name = "test", .flags = CTX_TYPE_FLAT | CTX_TYPE_WRITABLE};
	u32 size = (u32)t->test[sub].data_size, shown = MIN(size, (u32)MAX_DATA);
	u8 *data = s->packet + HEADROOM;
	struct packet packet = {.head = s->packet, .meta = data, .data = data, .tail = data + shown, .end = s->packet + sizeof(s->packet), .mac = data,
				.network = data + MIN(shown, (u32)ETH_HLEN)};
	struct run r = {.prog = &s->p, .host = &s->host, .budget = 500000000};
	int err;

	memset(s->packet, 0, sizeof(s->packet));
	memcpy(data, t->data, shown);
	free(s->memory);
	s->size = max(size, (u32)sizeof(struct __sk_buff));
	s->memory = calloc(1, s->size);
	r.ctx = (struct run_ctx){.type = &flat, .bytes = s->memory, .size = s->size, .packet = t->aux & FLAG_NO_DATA ? NULL : &packet};
	err = vm_run(&r, result);
	if (err)
		snprintf(text, 200, "%s", r.fault.text);
	return err;
}

static bool right(struct subject *s, const struct bpf_test *t, const char *engine)
{
	for (u32 sub = 0; sub < MAX_SUBTESTS; sub++) {
		char text[200] = "";
		u64 got = 0;

		if (sub && !t->test[sub].data_size && !t->test[sub].result)
			break;
		if (run(s, t, sub, &got, text) || (u32)got != t->test[sub].result) {
			test_fail(__FILE__, __LINE__, "%s, %s: returns 0x%x, expected 0x%x%s%s", t->descr, engine, (u32)got, t->test[sub].result, *text ? ": " : "", text);
			return false;
		}
		ran++;
	}
	return true;
}

static void compiled(struct subject *s, const struct bpf_test *t, u32 k)
{
	struct jit_options o = settings[k];
	const char *why = NULL;
	int err;

	o.host = &s->host;
	o.window = &window;
	o.check = s->p.n < LARGE;
	err = jit_compile(&s->p, &o, NULL, &why);
	if (err)
		test_fail(__FILE__, __LINE__, "%s: not compiled %s: %d %s", t->descr, names[k], err, why ? why : "");
	else
		right(s, t, names[k]);
	jit_free(&s->p);
}

/* Registers that the program reads and never wrote: the interpreter says which, one at a time. */
static u32 unwritten(const struct bpf_test *t, const struct bpf_insn *insns, u32 n)
{
	u32 set = 0;

	for (u32 i = 0; i < 10; i++) {
		struct subject s = {0};
		char text[200] = "";
		const char *at;
		u64 ignored;

		if (prepare(&s, insns, n, set, text))
			run(&s, t, 0, &ignored, text);
		finish(&s);
		at = strstr(text, " !read_ok");
		if (!at || at[-1] < '0' || at[-1] > '9')
			break;
		set |= 1u << (at[-1] - '0');
	}
	return set;
}

static void one(struct bpf_test *t)
{
	const struct bpf_insn *insns = t->u.insns_int;
	struct subject s = {0};
	u32 n = MAX_INSNS, zeroed;
	char text[200];

	if (t->fill_helper) {
		memset(&t->u, 0, sizeof(t->u));
		if (t->fill_helper(t) < 0) {
			test_fail(__FILE__, __LINE__, "%s: not made", t->descr);
			return;
		}
		insns = t->u.ptr.insns;
		n = t->u.ptr.len;
	}
	while (!t->fill_helper && n && !insns[n - 1].code)
		n--;
	zeroed = unwritten(t, insns, n);
	if (!prepare(&s, insns, n, zeroed, text)) {
		test_fail(__FILE__, __LINE__, "%s: %s", t->descr, text);
	} else {
		right(&s, t, "interpreted");
		for (u32 k = 0; k < n_settings; k++)
			if (n < LARGE || k < (n < HUGE ? 3u : 1u))
				compiled(&s, t, k);
	}
	finish(&s);
	if (t->fill_helper)
		free(t->u.ptr.insns);
}

static void setting(const char *name, struct jit_options o)
{
	names[n_settings] = name;
	settings[n_settings++] = o;
}

static void make_settings(void)
{
	setting("compiled", (struct jit_options){0});
	setting("all in memory", (struct jit_options){.registers = target_x64.scratch});
	setting("without any pass", (struct jit_options){.without = (1u << OPT_COUNT) - 1});
	setting("poisoned", (struct jit_options){.poison = true, .baseline = true});
	setting("counting", (struct jit_options){.poll = true});
	for (u32 i = 0; i < OPT_COUNT; i++)
		setting(opt_name(i), (struct jit_options){.without = 1u << i});
}

TEST(results_are_those_of_the_table)
{
	u32 n = 0;

	for (u32 i = 0; i < ARRAY_SIZE(tests); i++) {
		struct bpf_test *t = &tests[i];

		if ((t->aux & TEST_TYPE_MASK) != INTERNAL || t->aux & FLAG_EXPECTED_FAIL) {
			not_here++;
			continue;
		}
		n++;
		if (getenv("VERBOSE"))
			printf("# %llu %s\n", (unsigned long long)os_clock_ns(1) / 1000000, t->descr);
		one(t);
	}
	printf("# %u eBPF programs, %u runs in %u settings and the interpreter; %u classic ones are left to libpcap's converter\n", n, ran, n_settings, not_here);
	CHECK(n > 600);
}

int main(void)
{
	if (window_open(&window, (size_t)1 << 32))
		return 1;
	make_settings();
	RUN(results_are_those_of_the_table);
	return test_end();
}
