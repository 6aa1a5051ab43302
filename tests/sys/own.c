/* SPDX-License-Identifier: BSD-2-Clause */
/* What an application gives its engines, each something else: clock, helpers, program types. Several engines at the same time, several threads in each. */
#include "sys_test.h"

#include <pthread.h>
#include <time.h>

enum { ENGINES = 3, THREADS_EACH = 2, ROUNDS = 300 };

struct order {
	uint32_t customer, amount, note;
};

struct shop { /* an engine and what is its own */
	struct skep *k;
	uint64_t time, factor;
	int type, helper, rule;
	_Atomic uint32_t calls, asked;
	_Atomic int wrong;
};

static uint64_t shop_clock(void *ud, int clock_id)
{
	struct shop *s = ud;

	s->asked++;
	return s->time + (uint64_t)clock_id;
}

static uint64_t multiply(void *ud, uint64_t a, uint64_t text, uint64_t size, uint64_t d, uint64_t e)
{
	struct shop *s = ud;

	(void)d, (void)e;
	s->calls++;
	return a * s->factor + (size ? ((const uint8_t *)(uintptr_t)text)[size - 1] : 0);
}

/* note = what the helper makes of the amount; R0 = two clocks and the note */
static const char rule_text[] = "r6 = r1\nr1 = 7\n*(u64 *)(r10 -8) = r1\nr1 = *(u32 *)(r6 +4)\nr2 = r10\nr2 += -8\nr3 = 1\ncall %d\n*(u32 *)(r6 +8) = r0\n"
				"r7 = r0\ncall 5\nr7 += r0\ncall 125\nr7 += r0\nr0 = r7\nexit\n";

static void shop_open(struct shop *s, uint32_t i, uint32_t engine)
{
	static const struct skep_ctx_field fields[] = {{0, 4, 0}, {4, 4, 0}, {8, 4, 1}};
	struct skep_options o = {.size = sizeof(o), .window = 1 << 30, .clock = shop_clock, .clock_ud = s, .engine = engine};
	struct skep_prog_type type = {.struct_size = sizeof(type), .name = "order", .ctx_size = sizeof(struct order), .n_fields = 3, .fields = fields};
	struct skep_helper helper = {.struct_size = sizeof(helper), .name = "multiply", .args = {SKEP_ARG_SCALAR, SKEP_ARG_MEM, SKEP_ARG_SIZE},
				     .fn = multiply, .ud = s};
	char text[sizeof(rule_text) + 16];

	s->time = 1000000000ull * (i + 1);
	s->factor = i + 2;
	REQUIRE(!skep_open(&s->k, &o));
	s->type = skep_prog_type_register(s->k, &type);
	s->helper = skep_helper_register(s->k, &helper);
	snprintf(text, sizeof(text), rule_text, s->helper);
	s->rule = load_text(s->k, (uint32_t)s->type, text);
	CHECK(s->type > 0 && s->helper > 0 && s->rule >= 0);
}

static void *use(void *arg)
{
	struct shop *s = arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct order order = {1, i, 0};
		struct skep_run r = {.size = sizeof(r), .ctx = &order, .ctx_size = sizeof(order)};
		uint64_t note = i * s->factor + 7;

		if (skep_run(s->k, s->rule, &r) || order.note != note || order.amount != i ||
		    r.result != note + 2 * s->time + CLOCK_MONOTONIC + CLOCK_BOOTTIME)
			s->wrong++;
	}
	return NULL;
}

static void in_all(uint32_t engine)
{
	static struct shop shop[ENGINES];
	pthread_t t[ENGINES * THREADS_EACH];

	memset(shop, 0, sizeof(shop));
	for (uint32_t i = 0; i < ENGINES; i++)
		shop_open(&shop[i], i, engine);
	for (uint32_t i = 0; i < ARRAY_SIZE(t); i++)
		REQUIRE(!pthread_create(&t[i], NULL, use, &shop[i % ENGINES]));
	for (uint32_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	for (uint32_t i = 0; i < ENGINES; i++) {
		CHECK_EQ(shop[i].wrong, 0);
		CHECK_EQ(shop[i].calls, THREADS_EACH * ROUNDS);
		close(shop[i].rule);
		skep_close(shop[i].k);
	}
}

TEST(engines_have_clocks_helpers_and_types_of_their_own)
{
	in_all(SKEP_ENGINE_INTERP);
	in_all(SKEP_ENGINE_JIT);
}

/* One engine's helper and type do not exist in another, though their numbers may. */
TEST(what_is_registered_in_one_engine_is_unknown_in_others)
{
	static struct shop shop;
	struct skep *bare;

	memset(&shop, 0, sizeof(shop));
	shop_open(&shop, 0, SKEP_ENGINE_AUTO);
	REQUIRE(!skep_open(&bare, NULL));
	{
		struct skep_prog p = {.size = sizeof(p), .type = (uint32_t)shop.type, .n_insns = 2, .license = "GPL",
				      .insns = (struct bpf_insn[]){{.code = 0xb7}, {.code = 0x95}}};
		struct bpf_insn call[] = {{.code = 0xb7, .dst_reg = 1}, {.code = 0xb7, .dst_reg = 2}, {.code = 0xb7, .dst_reg = 3},
					  {.code = 0x85, .imm = shop.helper}, {.code = 0x95}};
		struct skep_prog q = {.size = sizeof(q), .type = BPF_PROG_TYPE_RAW_TRACEPOINT, .n_insns = 5, .insns = call, .license = "GPL"};

		CHECK_EQ(skep_prog_load(bare, &p, NULL, 0), -EINVAL);
		CHECK(skep_prog_load(bare, &q, NULL, 0) < 0);
	}
	skep_close(bare);
	close(shop.rule);
	skep_close(shop.k);
}

TEST(the_time_of_loading_is_the_engines)
{
	static struct shop shop;
	struct bpf_prog_info info;
	union bpf_attr a;

	memset(&shop, 0, sizeof(shop));
	shop_open(&shop, 4, SKEP_ENGINE_AUTO);
	memset(&info, 0, sizeof(info));
	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (uint32_t)shop.rule;
	a.info.info = ADDRESS(&info);
	a.info.info_len = sizeof(info);
	CHECK_EQ(skep_bpf(shop.k, BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)), 0);
	CHECK_EQ(info.load_time, shop.time + CLOCK_BOOTTIME);
	close(shop.rule);
	skep_close(shop.k);
}

int main(void)
{
	RUN(engines_have_clocks_helpers_and_types_of_their_own);
	RUN(what_is_registered_in_one_engine_is_unknown_in_others);
	RUN(the_time_of_loading_is_the_engines);
	return test_end();
}
