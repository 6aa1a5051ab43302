/* SPDX-License-Identifier: BSD-2-Clause */
/* An application with a rule engine: rules are eBPF programs of its own type, which see an order and may ask for a customer's limit. */
#include <linux/bpf.h>
#include <skep/skep.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct order { /* what R1 points to */
	uint32_t customer, amount, note; /* the rule may write the note */
};

static uint64_t limit_of(void *limits, uint64_t customer, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	(void)b, (void)c, (void)d, (void)e;
	return customer < 2 ? ((const uint32_t *)limits)[customer] : 0;
}

int main(void)
{
	static const uint32_t limits[] = {100, 5000};
	static const struct skep_ctx_field fields[] = {{0, 4, 0}, {4, 4, 0}, {8, 4, 1}};
	struct skep_options opts = {.size = sizeof(opts), .max_insns = 10000};
	struct skep_prog_type order_type = {.struct_size = sizeof(order_type), .name = "order", .ctx_size = sizeof(struct order), .n_fields = 3, .fields = fields};
	struct skep_helper limit = {.struct_size = sizeof(limit), .name = "limit_of", .args = {SKEP_ARG_SCALAR}, .fn = limit_of, .ud = (void *)limits};
	struct order orders[] = {{0, 80, 0}, {0, 800, 0}, {1, 800, 0}};
	char log[1024];
	struct skep *k;

	if (skep_open(&k, &opts))
		return 1;
	int type = skep_prog_type_register(k, &order_type), helper = skep_helper_register(k, &limit);
	struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1}, /* r6 = order */
		{.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 1, .src_reg = 6, .off = 0}, /* r1 = order->customer */
		{.code = BPF_JMP | BPF_CALL, .imm = helper}, /* r0 = limit_of(r1) */
		{.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 1, .src_reg = 6, .off = 4}, /* r1 = order->amount */
		{.code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = 6, .src_reg = 0, .off = 8}, /* order->note = r0 */
		{.code = BPF_JMP | BPF_JGT | BPF_X, .dst_reg = 1, .src_reg = 0, .off = 2}, /* if r1 > r0 goto refuse */
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1}, {.code = BPF_JMP | BPF_EXIT}, /* r0 = 1, exit */
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0}, {.code = BPF_JMP | BPF_EXIT}, /* refuse: r0 = 0, exit */
	};
	struct skep_prog prog = {.size = sizeof(prog), .type = (uint32_t)type, .insns = code, .n_insns = sizeof(code) / sizeof(code[0]), .name = "rule", .license = "GPL"};
	int rule = type < 0 || helper < 0 ? -1 : skep_prog_load(k, &prog, log, sizeof(log));

	if (rule < 0) {
		fprintf(stderr, "cannot load the rule: %s\n%s", strerror(-rule), log);
		return 1;
	}
	for (unsigned i = 0; i < 3; i++) {
		struct skep_run run = {.size = sizeof(run), .ctx = &orders[i], .ctx_size = sizeof(orders[i])};
		int err = skep_run(k, rule, &run);

		printf("customer %u, %u: %s (limit %u)\n", orders[i].customer, orders[i].amount, err ? run.fault.text : run.result ? "accepted" : "refused", orders[i].note);
	}
	close(rule);
	skep_close(k);
	return 0;
}
