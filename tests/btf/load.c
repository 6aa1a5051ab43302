/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BTF_LOAD beside the running kernel's: random nearly valid BTF, and valid BTF with spoiled words, must give the same errno and the
 * same log. `t-btf-load SEED COUNT` runs more of them.
 */
#include "kernel.h"
#include "test.h"
#include "btf/build.h"

#include "base/base.h"
#include "skep/skep.h"

enum { LOG = 1 << 20 };
static struct skep *k;
static char mine_log[LOG], kernel_log[LOG];
static uint64_t state = 1;
static uint32_t rounds = 4000;

static uint32_t rnd(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

static int load(const void *data, uint32_t size, char *log, bool kernel)
{
	union bpf_attr a;
	int fd;

	memset(&a, 0, sizeof(a));
	a.btf = (uintptr_t)data;
	a.btf_size = size;
	a.btf_log_buf = (uintptr_t)log;
	a.btf_log_size = LOG;
	a.btf_log_level = 1;
	log[0] = 0;
	fd = kernel ? kernel_bpf(BPF_BTF_LOAD, &a, sizeof(a)) : skep_bpf(k, BPF_BTF_LOAD, &a, sizeof(a));
	if (fd >= 0)
		close(fd);
	return fd >= 0 ? 0 : fd;
}

static const char *some_name(void)
{
	static const char *const names[] = {"",		"",	  "a",		     "b",	      "c",	       "foo",		"bpf_spin_lock",
					    "bpf_list_head", "kptr", "contains:foo:n", "contains:a:b", "bpf_rb_root", "bpf_list_node", "n",
					    "bpf_rb_node",   "bpf_refcount", "x y",	     ".data",	      "user",	       "kptr_untrusted", "task_struct"};

	return names[rnd(ARRAY_SIZE(names))];
}

static uint32_t some_id(uint32_t n)
{
	return rnd(20) ? rnd(n + 2) : rnd(3) ? 0 : n + 5;
}

static uint32_t some_size(void)
{
	static const uint32_t sizes[] = {1, 2, 4, 8, 16, 24, 32, 4, 8, 0, 12, 3, 64, 0xffffffff, 0x80000000};

	return sizes[rnd(ARRAY_SIZE(sizes))];
}

/* A type whose references are mostly in range; most kinds of mistake are some in ten. */
static void some_type(struct build *b, uint32_t n)
{
	static const uint32_t kinds[] = {1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 17, 18, 18, 19};
	uint32_t kind = kinds[rnd(ARRAY_SIZE(kinds))], vlen = 0, flag = rnd(8) == 0, third = some_id(n), bits = 0;
	const char *name = rnd(3) ? some_name() : "";

	if (kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_DATASEC || kind == BTF_KIND_ENUM || kind == BTF_KIND_ENUM64 ||
	    kind == BTF_KIND_FUNC_PROTO)
		vlen = rnd(4);
	if (kind == BTF_KIND_FUNC)
		vlen = rnd(3);
	if (kind == BTF_KIND_INT || kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION || kind == BTF_KIND_DATASEC || kind == BTF_KIND_ENUM ||
	    kind == BTF_KIND_ENUM64 || kind == BTF_KIND_FLOAT)
		third = some_size();
	if (kind == BTF_KIND_ARRAY || kind == BTF_KIND_FWD)
		third = rnd(20) == 0;
	if (kind == BTF_KIND_TYPEDEF || kind == BTF_KIND_FUNC || kind == BTF_KIND_VAR || kind == BTF_KIND_FWD || kind == BTF_KIND_DATASEC ||
	    kind == BTF_KIND_TYPE_TAG || kind == BTF_KIND_DECL_TAG)
		name = rnd(20) ? &"foo"[rnd(3)] : name;
	else if (kind == BTF_KIND_PTR || (kind >= BTF_KIND_VOLATILE && kind <= BTF_KIND_RESTRICT) || kind == BTF_KIND_ARRAY || kind == BTF_KIND_FUNC_PROTO)
		name = rnd(30) ? "" : name;
	build_type(b, name, kind, vlen, flag, third);
	if (kind == BTF_KIND_INT)
		build_word(b, rnd(10) ? (third > 16 ? 32 : third * 8) | rnd(3) << 24 : rnd(16) << 24 | rnd(3) << 16 | rnd(140));
	if (kind == BTF_KIND_ARRAY)
		build_three(b, some_id(n), rnd(3) ? 1 : some_id(n), rnd(10) ? rnd(6) : 0x40000000);
	if (kind == BTF_KIND_VAR || kind == BTF_KIND_DECL_TAG)
		build_word(b, kind == BTF_KIND_VAR ? rnd(20) ? rnd(2) : 2 : rnd(3) - 1);
	for (uint32_t i = 0; i < vlen && kind != BTF_KIND_FUNC; i++) {
		if (kind == BTF_KIND_DATASEC) {
			build_three(b, some_id(n), bits, 4 + rnd(2) * 4);
			bits += 4 + rnd(3) * 4;
		} else if (kind == BTF_KIND_FUNC_PROTO) {
			build_param(b, rnd(4) ? "a" : some_name(), some_id(n));
		} else if (kind == BTF_KIND_ENUM) {
			build_param(b, rnd(20) ? "a" : some_name(), rnd(2) ? rnd(5) : 0xffffff00);
		} else {
			build_three(b, build_string(b, rnd(2) ? some_name() : "m"), some_id(n), bits | (flag && !rnd(3) ? rnd(40) << 24 : 0));
			if (kind != BTF_KIND_UNION)
				bits += rnd(10) ? (some_size() & 63) * 8 : rnd(20);
		}
	}
}

static void compare(const void *data, uint32_t size, uint64_t seed)
{
	int mine = load(data, size, mine_log, false), theirs = load(data, size, kernel_log, true);

	if (mine == theirs && !strcmp(mine_log, kernel_log))
		return;
	test_fail(__FILE__, __LINE__, "seed %llu: %d, the kernel: %d\n# ours:\n%s\n# the kernel's:\n%s", (unsigned long long)seed, mine, theirs,
		  mine_log, kernel_log);
}

static bool no_kernel(void)
{
	static struct build b;

	build_open(&b);
	build_int(&b, "int", 4);
	build_close(&b);
	return load(b.bytes, b.size, kernel_log, true) != 0;
}

TEST(random_types_are_judged_as_the_kernel_does)
{
	static struct build b;

	if (no_kernel())
		SKIP(KERNEL_MISSING);
	for (uint32_t i = 0; i < rounds && test_failures < 3; i++) {
		uint64_t seed = state;
		uint32_t n = 1 + rnd(12);

		build_open(&b);
		build_int(&b, "int", 4);
		for (uint32_t j = 0; j < n; j++)
			some_type(&b, n);
		build_close(&b);
		compare(b.bytes, b.size, seed);
	}
}

/* One of everything, as compilers give it. */
static void everything(struct build *b)
{
	uint32_t i, chars, var;

	build_open(b);
	i = build_int(b, "int", 4);
	chars = build_array(b, i, i, 4);
	build_type(b, "foo", BTF_KIND_STRUCT, 3, 0, 32);
	build_member(b, "a", i, 0);
	build_member(b, "b", chars, 32);
	build_member(b, "c", 4, 192);
	build_type(b, "", BTF_KIND_PTR, 0, 0, 3);
	build_type(b, "u", BTF_KIND_UNION, 2, 1, 8);
	build_member(b, "", i, 5 << 24);
	build_member(b, "p", 4, 0);
	build_type(b, "e", BTF_KIND_ENUM, 2, 1, 4);
	build_param(b, "E1", 1);
	build_param(b, "E2", (uint32_t)-1);
	build_type(b, "fwd", BTF_KIND_FWD, 0, 1, 0);
	build_type(b, "t", BTF_KIND_TYPEDEF, 0, 0, 3);
	build_type(b, "", BTF_KIND_CONST, 0, 0, 8);
	build_type(b, "", BTF_KIND_PTR, 0, 0, 9);
	build_type(b, "", BTF_KIND_FUNC_PROTO, 2, 0, i);
	build_param(b, "x", 10);
	build_param(b, "y", i);
	build_type(b, "f", BTF_KIND_FUNC, 1, 0, 11);
	var = build_type(b, "v", BTF_KIND_VAR, 0, 0, 9);
	build_word(b, 1);
	build_type(b, ".data", BTF_KIND_DATASEC, 1, 0, 32);
	build_three(b, var, 0, 32);
	build_type(b, "double", BTF_KIND_FLOAT, 0, 0, 8);
	build_tag(b, "tag", 12, 1);
	build_type(b, "user", BTF_KIND_TYPE_TAG, 0, 0, 3);
	build_type(b, "", BTF_KIND_PTR, 0, 0, 17);
	build_type(b, "E", BTF_KIND_ENUM64, 1, 0, 8);
	build_three(b, build_string(b, "BIG"), 0, 1);
	build_close(b);
}

TEST(spoiled_words_are_judged_as_the_kernel_does)
{
	static struct build b;
	uint8_t bytes[sizeof(b.bytes)];

	if (no_kernel())
		SKIP(KERNEL_MISSING);
	everything(&b);
	CHECK_EQ(load(b.bytes, b.size, mine_log, false), 0);
	for (uint32_t i = 0; i < rounds && test_failures < 3; i++) {
		uint64_t seed = state;
		uint32_t size = b.size - (rnd(20) ? 0 : rnd(b.size));

		memcpy(bytes, b.bytes, b.size);
		for (uint32_t n = 1 + rnd(2); n; n--) {
			uint32_t at = rnd(b.size / 4) * 4, x = rnd(24);

			if (!rnd(4))
				at = rnd(b.size);
			if (rnd(3))
				bytes[at] = (uint8_t)x;
			else if (at + 4 <= b.size && at % 4 == 0)
				memcpy(bytes + at, &(uint32_t){rnd(2) ? UINT32_MAX - x : 1u << rnd(32)}, 4);
		}
		compare(bytes, size, seed);
	}
}

/* Headers that are longer or shorter than ours, with types that then lie anywhere. */
TEST(headers_of_any_length)
{
	static struct build b;
	uint8_t bytes[sizeof(b.bytes) + 64];

	if (no_kernel())
		SKIP(KERNEL_MISSING);
	everything(&b);
	for (uint32_t len = 0; len < 40; len++) {
		memset(bytes, 0, sizeof(bytes));
		memcpy(bytes, b.bytes, sizeof(struct btf_header));
		memcpy(bytes + len, b.bytes + sizeof(struct btf_header), b.size - sizeof(struct btf_header));
		memcpy(bytes + offsetof(struct btf_header, hdr_len), &len, 4);
		compare(bytes, b.size - (uint32_t)sizeof(struct btf_header) + len, len);
	}
}

int main(int argc, char **argv)
{
	static const char btf[] = "/sys/kernel/btf/vmlinux";

	if (argc > 1)
		state = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		rounds = (uint32_t)strtoul(argv[2], NULL, 0);
	if (skep_open(&k, &(struct skep_options){.size = sizeof(struct skep_options), .kernel_btf = access(btf, R_OK) ? NULL : btf}))
		return 1;
	RUN(random_types_are_judged_as_the_kernel_does);
	RUN(spoiled_words_are_judged_as_the_kernel_does);
	RUN(headers_of_any_length);
	skep_close(k);
	return test_end();
}
