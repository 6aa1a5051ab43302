/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs as text, for engines in several settings and for the running kernel. MAP is a map; names behind $ are kernel functions, by the BTF of whom the program is for.
 */
#ifndef TESTS_JIT_SIDES_H
#define TESTS_JIT_SIDES_H

#include "btf/btf.h"
#include "isa/asm.h"
#include "kernel.h"
#include "kernel/kernel.h"
#include "skep/skep.h"
#include "test.h"

enum { MOST_TEXT = 8192 };

typedef int bpf_fn(void *ud, int cmd, union bpf_attr *attr, unsigned size);
struct side {
	const char *name;
	bpf_fn *bpf;
	void *ud;
	const struct btf *btf; /* of the kernel functions */
	uint32_t type, flags; /* of programs */
	int map;
	unsigned char *seen; /* the map's memory as its client has it */
};

static int on_kernel(void *ud, int cmd, union bpf_attr *attr, unsigned size)
{
	(void)ud;
	return kernel_bpf(cmd, attr, size);
}

static int on_engine(void *ud, int cmd, union bpf_attr *attr, unsigned size)
{
	return skep_bpf(ud, cmd, attr, size);
}

/* The side's map, of four-byte keys. */
__attribute__((unused)) static void side_map(struct side *s, uint32_t type, uint32_t value, uint32_t entries)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = type;
	attr.key_size = 4;
	attr.value_size = value;
	attr.max_entries = entries;
	s->map = s->bpf(s->ud, BPF_MAP_CREATE, &attr, sizeof(attr));
}

static int expand(const struct side *s, const char *text, char *to, size_t size)
{
	size_t n = 0;

	while (*text && n + 64 < size) {
		if (!strncmp(text, "MAP", 3)) {
			n += (size_t)snprintf(to + n, size - n, "map[fd:%d]", s->map);
			text += 3;
		} else if (*text == '$') {
			size_t len = strspn(text + 1, "abcdefghijklmnopqrstuvwxyz_");
			char name[64];
			int id;

			snprintf(name, sizeof(name), "%.*s", (int)len, text + 1);
			id = btf_find(s->btf, name, BTF_KIND_FUNC);
			if (id <= 0)
				return -ENOENT;
			n += (size_t)snprintf(to + n, size - n, "kernel-function#%d", id);
			text += 1 + len;
		} else {
			to[n++] = *text++;
		}
	}
	to[n] = 0;
	return 0;
}

/* ---- types of its functions: static ones with one argument ---- */

enum { MOST_FUNCTIONS = 16 };
struct types {
	uint32_t head[6]; /* struct btf_header */
	uint32_t integer[4], pointer[3], proto[5], func[MOST_FUNCTIONS][3];
	char strings[16];
	struct bpf_func_info info[MOST_FUNCTIONS];
	uint32_t n;
};

static void add_function(struct types *t, uint32_t at)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->info[i].insn_off == at)
			return;
	if (t->n < MOST_FUNCTIONS)
		t->info[t->n++].insn_off = at;
}

static int by_offset(const void *a, const void *b)
{
	return (int)((const struct bpf_func_info *)a)->insn_off - (int)((const struct bpf_func_info *)b)->insn_off;
}

/* A descriptor, or -errno. */
static int make_types(const struct side *s, const struct raw_insn *raw, uint32_t n, struct types *t)
{
	struct insn insns[1024];
	struct insn_error err;
	union bpf_attr attr;

	*t = (struct types){.integer = {1, 1u << 24, 8, 64}, .pointer = {0, 2u << 24, 0}, .proto = {0, 13u << 24 | 1, 1, 1, 2}, .strings = "\0i\0f"};
	if (n > 1024 || insns_decode(raw, n, insns, &err))
		return -EINVAL;
	add_function(t, 0);
	for (uint32_t i = 0; i < n; i++)
		if (insns[i].op == OP_CALL && insns[i].pseudo == CALL_SUBPROG)
			add_function(t, (uint32_t)insns[i].target);
		else if (insns[i].op == OP_LD_IMM64 && insns[i].pseudo == PSEUDO_FUNC)
			add_function(t, i + 1 + (uint32_t)insns[i].imm);
	qsort(t->info, t->n, sizeof(t->info[0]), by_offset);
	for (uint32_t i = 0; i < MOST_FUNCTIONS; i++) {
		uint32_t func[3] = {3, 12u << 24, 3};

		memcpy(t->func[i], func, sizeof(func));
		t->info[i].type_id = 4 + i;
	}
	uint32_t head[6] = {0x1eb9f, 24, 0, offsetof(struct types, strings) - 24, offsetof(struct types, strings) - 24, sizeof(t->strings)};

	memcpy(t->head, head, sizeof(head));
	memset(&attr, 0, sizeof(attr));
	attr.btf = (uint64_t)(uintptr_t)t;
	attr.btf_size = offsetof(struct types, info);
	return s->bpf(s->ud, BPF_BTF_LOAD, &attr, sizeof(attr));
}

/* The program's descriptor, or -errno; why is in load_log. */
static char load_log[1 << 20];
static int try_load(const struct side *s, const char *text)
{
	static char full[MOST_TEXT];
	struct asm_error bad;
	static struct types types;
	struct raw_insn *raw;
	union bpf_attr attr;
	struct arena a;
	uint32_t n;
	int fd = expand(s, text, full, sizeof(full)), btf;

	if (fd)
		return fd;
	arena_open(&a, &mem_libc);
	if (asm_parse(&a, full, strlen(full), &raw, &n, &bad)) {
		test_fail(__FILE__, __LINE__, "line %u: %s in %s", bad.line, bad.text, full);
		arena_close(&a);
		return -EINVAL;
	}
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = s->type;
	attr.prog_flags = s->flags;
	attr.insns = (uint64_t)(uintptr_t)raw;
	attr.insn_cnt = n;
	attr.license = (uint64_t)(uintptr_t)"GPL";
	attr.log_buf = (uint64_t)(uintptr_t)load_log;
	attr.log_size = sizeof(load_log);
	attr.log_level = 1;
	load_log[0] = 0;
	btf = make_types(s, raw, n, &types);
	if (btf < 0)
		test_fail(__FILE__, __LINE__, "%s: types not loaded: %d", s->name, btf);
	attr.prog_btf_fd = (uint32_t)btf;
	attr.func_info = (uint64_t)(uintptr_t)types.info;
	attr.func_info_cnt = types.n;
	attr.func_info_rec_size = sizeof(types.info[0]);
	fd = s->bpf(s->ud, BPF_PROG_LOAD, &attr, sizeof(attr));
	close(btf);
	arena_close(&a);
	return fd;
}

__attribute__((unused)) static int load(const struct side *s, const char *text)
{
	int fd = try_load(s, text);

	if (fd < 0)
		test_fail(__FILE__, __LINE__, "%s: not loaded: %d, %s", s->name, fd, load_log);
	return fd;
}

__attribute__((unused)) static int run(const struct side *s, const char *text, uint32_t *result)
{
	static const unsigned char data[64];
	union bpf_attr attr;
	int fd = load(s, text), err;

	if (fd < 0)
		return fd;
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (uint32_t)fd;
	if (s->type != BPF_PROG_TYPE_SYSCALL) {
		attr.test.data_in = (uint64_t)(uintptr_t)data;
		attr.test.data_size_in = sizeof(data);
	}
	err = s->bpf(s->ud, BPF_PROG_TEST_RUN, &attr, sizeof(attr));
	*result = attr.test.retval;
	close(fd);
	return err;
}

/* The program runs, and its result is the expected one. */
__attribute__((unused)) static void expect(const struct side *s, const char *name, const char *text, uint32_t expected)
{
	uint32_t got = 0;
	int err = run(s, text, &got);

	if (err || got != expected)
		test_fail(__FILE__, __LINE__, "%s: %s: %d, 0x%x, expected 0x%x", s->name, name, err, got, expected);
}

static const struct setting {
	const char *name;
	uint32_t engine, off, test;
} settings[] = {
	{"interpreted", SKEP_ENGINE_INTERP, 0, 0},
	{"compiled", SKEP_ENGINE_JIT, 0, SKEP_COMPILE_CHECK},
	{"without any pass", SKEP_ENGINE_JIT, UINT32_MAX, 0},
	{"all in memory", SKEP_ENGINE_JIT, 0, SKEP_COMPILE_FEW_REGISTERS},
	{"poisoned", SKEP_ENGINE_JIT, 0, SKEP_COMPILE_POISON | SKEP_COMPILE_BASELINE},
	{"counting", SKEP_ENGINE_JIT, 0, SKEP_COMPILE_CHECK},
};

__attribute__((unused)) static void each_setting(void (*fn)(struct side *s))
{
	struct btf own;

	REQUIRE(btf_open_bytes(&own, &mem_libc, kernel_btf_bytes, kernel_btf_size) == 0);
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		struct skep_options o = {.size = sizeof(o), .engine = settings[i].engine, .compile_off = settings[i].off, .compile_test = settings[i].test,
					 .max_insns = strcmp(settings[i].name, "counting") ? 0 : 100000000};
		struct side s = {.name = settings[i].name, .bpf = on_engine, .btf = &own, .type = BPF_PROG_TYPE_SYSCALL, .flags = BPF_F_SLEEPABLE};
		struct skep *k;

		REQUIRE(skep_open(&k, &o) == 0);
		s.ud = k;
		fn(&s);
		skep_close(k);
	}
	btf_free(&own);
}

__attribute__((unused)) static bool kernel_side(struct side *s, struct btf *btf)
{
	*s = (struct side){.name = "the kernel", .bpf = on_kernel, .btf = btf, .type = BPF_PROG_TYPE_SYSCALL, .flags = BPF_F_SLEEPABLE, .map = -1};
	return kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER) && !btf_open_file(btf, &mem_libc, "/sys/kernel/btf/vmlinux", NULL);
}

/* Skips the test where there is no kernel to ask. */
#define ON_KERNEL(programs)                 \
	do {                                    \
		struct btf btf_;                    \
		struct side s_;                     \
                                            \
		if (!kernel_side(&s_, &btf_))       \
			SKIP(KERNEL_MISSING);           \
		programs(&s_);                      \
		btf_free(&btf_);                    \
	} while (0)

#endif
