/* SPDX-License-Identifier: BSD-2-Clause */
/* docs/helpers.md, from abi/helpers.def and abi/progtypes.def: `t-vm-docs --write` writes it, the test says when the committed
 * file is another. */
#include "abi/abi.h"

#include "../page.h"

#define HEADER	  "| id | name | arguments | program types | | since Linux | what it does |\n| --- | --- | --- | --- | --- | --- | --- |\n"

static const char *arg_text(u32 arg)
{
	static const char *const text[] = {
		[ARG_SCALAR] = "number", [ARG_ANYTHING] = "number", [ARG_CTX] = "context", [ARG_MAP_HANDLE] = "map", [ARG_KEY] = "key",
		[ARG_VALUE] = "value", [ARG_VALUE_OUT] = "value (out)", [ARG_MEM] = "memory", [ARG_MEM_OUT] = "memory (out)",
		[ARG_SIZE] = "size", [ARG_SIZE_0] = "size or 0", [ARG_ALLOC_SIZE] = "size", [ARG_FIXED_OUT] = "number (out)",
		[ARG_CSTRING] = "constant string", [ARG_CALLBACK] = "function", [ARG_RECORD] = "record", [ARG_SPIN_LOCK] = "lock",
		[ARG_UNSAFE] = "address that may be bad", [ARG_MEM_RW] = "memory (in, out)", [ARG_FIXED] = "memory",
		[ARG_FIXED_RW] = "number (in, out)", [ARG_TIMER] = "timer", [ARG_STACK] = "stack", [ARG_KERNEL] = "kernel object",
		[ARG_SOCKET] = "socket", [ARG_SOCK_COMMON] = "socket", [ARG_BTF_SOCK] = "socket", [ARG_PERCPU] = "per-CPU variable",
		[ARG_KPTR] = "kptr", [ARG_KPTR_NEW] = "kernel object", [ARG_DYNPTR_HANDLE] = "dynptr", [ARG_MAP_FLAGS_0] = "0",
	};

	return text[arg & ARG_KIND_MASK];
}

static void types_of(struct text *t, u64 avail)
{
	const struct progtype *types;
	u32 n, shown = 0;

	if (avail == FOR_ALL) {
		text_add(t, "all");
		return;
	}
	types = progtypes(&n);
	for (u32 i = 0; i < n; i++)
		if (types[i].avail & avail)
			text_addf(t, "%s%s", shown++ ? ", " : "", types[i].name);
	if (!shown)
		text_add(t, avail & FOR_OWN ? "an embedder's own" : "-");
}

static void row(struct text *t, const struct helper_proto *p)
{
	text_addf(t, "| %u | `bpf_%s` | ", p->id, p->name);
	for (u32 k = 0; k < 5 && p->args[k] != ARG_NONE; k++)
		text_addf(t, "%s%s%s", k ? ", " : "", arg_text(p->args[k]), p->args[k] & ARG_NULLABLE ? " or NULL" : "");
	text_add(t, " | ");
	types_of(t, p->avail);
	text_addf(t, " | %s%s%s | %s | %s |\n", p->effects & EFFECT_GPL ? "GPL " : "", p->effects & EFFECT_SLEEPS ? "sleeps " : "",
		  p->effects & EFFECT_MOVES_PACKET ? "moves the packet" : "", p->since, p->doc);
}

static void rows(struct text *t, bool runs)
{
	const struct helper_proto *p;
	u32 n;

	p = helper_protos(&n);
	for (u32 i = 0; i < n; i++)
		if (p[i].has_body == runs && !p[i].variant)
			row(t, &p[i]);
}

static void write_all(struct text *t)
{
	text_add(t, "# Helpers\n\n"
		    "<!-- Written by `build/tests/vm/t-vm-docs --write` from src/abi/helpers.def: do not edit. -->\n\n"
		    "What each does in full is in bpf-helpers(7); bounds and errors are Linux 6.18's. The second table has the helpers that are\n"
		    "verified and not run: a program that calls one is loaded, and running it gives EOPNOTSUPP.\n\n" HEADER);
	rows(t, true);
	text_add(t, "\n## Verified, not run\n\n" HEADER);
	rows(t, false);
}

static const struct page page = {"helpers.md", "vm/t-vm-docs", write_all};

TEST(the_committed_page_is_current)
{
	page_check(&page);
}

TEST(rows_are_in_the_order_of_their_ids)
{
	const struct helper_proto *p;
	u32 n;

	p = helper_protos(&n);
	CHECK(n > 211);
	for (u32 i = 0; i < n; i++) {
		if (p[i].variant) {
			CHECK(i && p[i - 1].id == p[i].id);
			continue;
		}
		CHECK(helper_proto(p[i].id) == &p[i]);
		CHECK(helper_by_name(p[i].name) == &p[i]);
		CHECK(i == 0 || p[i - 1].id < p[i].id);
	}
}

int main(int argc, char **argv)
{
	int status;

	if (page_asked(&page, argc, argv, &status))
		return status;
	RUN(the_committed_page_is_current);
	RUN(rows_are_in_the_order_of_their_ids);
	return test_end();
}
