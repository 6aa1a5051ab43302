/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Helpers on an engine and on the running kernel: each row of helpers.def x value x text runs on both; the result, what it wrote, and what its map holds
 * afterwards must be equal.
 *
 * A program finds the context in r6, and arrays' values in r7 (where it writes, all bytes 0xaa before), r8 (the row's text, which no program can change) and
 * r9 (the same text once more, which it can). It leaves its result in r0 and goes on to the label `told` or falls off its end. MAP is the row's map, $name a kernel function.
 */
#include "../jit/sides.h"

#include <sched.h>

enum { OUT_SIZE = 1024, TEXT_SIZE = 600, MOST_VALUES = 40, MOST_TEXTS = 96, MOST_KEY = 32, KEYS = 6 };
#define END INT64_MAX

struct map_spec_row {
	uint32_t kind, key_size, value_size, entries, flags;
	bool empty; /* else keys 0 and 1 are there, with bytes 0x10 and 0x11 */
};

static const struct row {
	const char *name, *body, *functions;
	struct map_spec_row map;
	uint32_t type; /* 0: tc */
	int64_t values[MOST_VALUES]; /* up to END: what all %lld of the body are */
	const char *texts[MOST_TEXTS];
} rows[] = {
#include "helpers.def"
};

struct outcome {
	int err;
	uint32_t retval;
	uint8_t out[OUT_SIZE], scratch[TEXT_SIZE];
	uint8_t map[KEYS][64];
	int found[KEYS];
};

struct maps {
	int out, text, scratch;
};

static unsigned compared, refused;
static bool verbose;

static int call(const struct side *s, int cmd, union bpf_attr *a)
{
	return s->bpf(s->ud, cmd, a, sizeof(*a));
}

static int make_map(const struct side *s, const struct map_spec_row *m, int inner)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_type = m->kind;
	a.key_size = m->key_size;
	a.value_size = m->value_size;
	a.max_entries = m->entries;
	a.map_flags = m->flags;
	a.inner_map_fd = (uint32_t)inner;
	return call(s, BPF_MAP_CREATE, &a);
}

static int element(const struct side *s, int cmd, int fd, const void *key, void *value)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)fd;
	a.key = (uint64_t)(uintptr_t)key;
	a.value = (uint64_t)(uintptr_t)value;
	return call(s, cmd, &a);
}

/* Key number i. Of a trie: all of its bits. */
static void make_key(const struct map_spec_row *m, uint32_t i, uint8_t key[MOST_KEY])
{
	memset(key, 0, MOST_KEY);
	if (m->kind == BPF_MAP_TYPE_LPM_TRIE)
		memcpy(key, &(uint32_t){8 * (m->key_size - 4)}, 4), key[4] = (uint8_t)i;
	else
		memcpy(key, &i, 4);
}

static bool has_elements(const struct map_spec_row *m)
{
	return m->key_size && m->kind != BPF_MAP_TYPE_PROG_ARRAY && m->kind != BPF_MAP_TYPE_PERF_EVENT_ARRAY && m->kind != BPF_MAP_TYPE_ARRAY_OF_MAPS &&
	       m->kind != BPF_MAP_TYPE_HASH_OF_MAPS;
}

static int map_of_bytes(const struct side *s, const void *bytes, uint32_t size, uint32_t flags)
{
	struct map_spec_row m = {.kind = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = size, .entries = 1, .flags = flags};
	int fd = make_map(s, &m, 0);
	union bpf_attr a;

	element(s, BPF_MAP_UPDATE_ELEM, fd, &(uint32_t){0}, (void *)(uintptr_t)bytes);
	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)fd;
	if (flags & BPF_F_RDONLY_PROG)
		call(s, BPF_MAP_FREEZE, &a);
	return fd;
}

static void set_up(struct side *s, struct maps *m, const struct row *r, const char *text)
{
	static uint8_t bytes[OUT_SIZE], per_cpu[4096];
	uint8_t key[MOST_KEY];

	memset(bytes, 0, sizeof(bytes));
	if (text)
		memcpy(bytes, text, strlen(text));
	m->text = map_of_bytes(s, bytes, TEXT_SIZE, BPF_F_RDONLY_PROG);
	m->scratch = map_of_bytes(s, bytes, TEXT_SIZE, 0);
	memset(bytes, 0xaa, sizeof(bytes));
	m->out = map_of_bytes(s, bytes, OUT_SIZE, 0);
	s->map = r->map.kind ? make_map(s, &r->map, m->scratch) : m->out;
	for (uint32_t i = 0; i < 2 && has_elements(&r->map) && !r->map.empty; i++) {
		make_key(&r->map, i, key);
		memset(per_cpu, 0x10 + (int)i, sizeof(per_cpu));
		element(s, BPF_MAP_UPDATE_ELEM, s->map, key, per_cpu);
	}
}

static void run_on(struct side *s, const struct row *r, int64_t value, const char *text, struct outcome *o)
{
	static const unsigned char data[64] = {[12] = 8, [14] = 0x45};
	static char body[MOST_TEXT - 512], full[MOST_TEXT];
	static uint8_t per_cpu[4096];
	struct maps m;
	union bpf_attr a;
	uint8_t key[MOST_KEY];
	int fd;

	memset(o, 0, sizeof(*o));
	set_up(s, &m, r, text);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(body, sizeof(body), r->body, (long long)value, (long long)value, (long long)value);
#pragma GCC diagnostic pop
	snprintf(full, sizeof(full), "r6 = r1\nr7 = map[fd:%d]+0\nr8 = map[fd:%d]+0\nr9 = map[fd:%d]+0\n%s\ntold: r7 = map[fd:%d]+0\n*(u64 *)(r7 +0) = r0\nr0 = 0\nexit\n%s", m.out, m.text, m.scratch, body, m.out,
		 r->functions ? r->functions : "");
	s->type = r->type ? r->type : BPF_PROG_TYPE_SCHED_CLS;
	s->flags = s->type == BPF_PROG_TYPE_SYSCALL ? BPF_F_SLEEPABLE : 0;
	fd = try_load(s, full);
	if (fd < 0) {
		o->err = fd * 1000;
		if (verbose)
			printf("# %s, %s, %lld: %s\n", s->name, r->name, (long long)value, load_log);
	} else {
		memset(&a, 0, sizeof(a));
		a.test.prog_fd = (uint32_t)fd;
		if (s->type == BPF_PROG_TYPE_SCHED_CLS || s->type == BPF_PROG_TYPE_XDP) {
			a.test.data_in = (uint64_t)(uintptr_t)data;
			a.test.data_size_in = sizeof(data);
		}
		o->err = call(s, BPF_PROG_TEST_RUN, &a);
		o->retval = a.test.retval;
		close(fd);
	}
	element(s, BPF_MAP_LOOKUP_ELEM, m.out, &(uint32_t){0}, o->out);
	element(s, BPF_MAP_LOOKUP_ELEM, m.scratch, &(uint32_t){0}, o->scratch);
	for (uint32_t i = 0; i < KEYS && has_elements(&r->map); i++) {
		make_key(&r->map, i, key);
		memset(per_cpu, 0, sizeof(per_cpu));
		o->found[i] = element(s, BPF_MAP_LOOKUP_ELEM, s->map, key, per_cpu);
		if (r->map.kind != BPF_MAP_TYPE_PERCPU_HASH && r->map.kind != BPF_MAP_TYPE_PERCPU_ARRAY && r->map.kind != BPF_MAP_TYPE_LRU_PERCPU_HASH)
			memcpy(o->map[i], per_cpu, 64);
	}
	close(m.out);
	close(m.text);
	close(m.scratch);
	if (r->map.kind)
		close(s->map);
}

static void quote(char *to, size_t size, const char *text)
{
	size_t n = 0;

	for (; text && *text && n + 5 < size; text++)
		n += (size_t)snprintf(to + n, size - n, *text < 32 || *text > 126 ? "\\%02x" : "%c", (unsigned char)*text);
	to[n] = 0;
}

static void differ(const struct side *s, const struct row *r, int64_t value, const char *text, const struct outcome *a, const struct outcome *b)
{
	char shown[200];
	uint64_t x, y;
	uint32_t at = 0, i = 0;

	quote(shown, sizeof(shown), text);
	memcpy(&x, a->out, 8);
	memcpy(&y, b->out, 8);
	while (at < OUT_SIZE - 1 && a->out[at] == b->out[at])
		at++;
	while (i < KEYS - 1 && a->found[i] == b->found[i] && !memcmp(a->map[i], b->map[i], 64))
		i++;
	test_fail(__FILE__, __LINE__, "%s, %lld, \"%s\", %s: errno %d, Linux %d; result %lld (0x%llx), Linux %lld (0x%llx); byte %u: %02x, Linux %02x; key %u: %d %02x, Linux %d %02x", r->name, (long long)value, shown,
		  s->name, a->err, b->err, (long long)x, (unsigned long long)x, (long long)y, (unsigned long long)y, at, a->out[at], b->out[at], i, a->found[i], a->map[i][0], b->found[i], b->map[i][0]);
}

static struct side mine[2], linux_side;
static const char *only; /* rows whose name has it */

static void row(const struct row *r)
{
	static struct outcome a, b;
	int v = 0, t = 0;

	do {
		int64_t value = r->values[0] == END ? 0 : r->values[v];

		t = 0;
		do {
			run_on(&linux_side, r, value, r->texts[t], &b);
			refused += b.err <= -1000;
			for (size_t k = 0; k < sizeof(mine) / sizeof(mine[0]); k++) {
				run_on(&mine[k], r, value, r->texts[t], &a);
				if (memcmp(&a, &b, sizeof(a)))
					differ(&mine[k], r, value, r->texts[t], &a, &b);
			}
			compared++;
		} while (r->texts[t] && r->texts[++t]);
	} while (r->values[0] != END && r->values[++v] != END);
}

TEST(helpers_do_as_on_linux)
{
	struct btf own, kernels;

	if (!kernel_side(&linux_side, &kernels))
		SKIP(KERNEL_MISSING);
	REQUIRE(btf_open_bytes(&own, &mem_libc, kernel_btf_bytes, kernel_btf_size) == 0);
	for (uint32_t k = 0; k < 2; k++) {
		struct skep_options o = {.size = sizeof(o), .engine = k ? SKEP_ENGINE_JIT : SKEP_ENGINE_INTERP};
		struct skep *e;

		REQUIRE(skep_open(&e, &o) == 0);
		mine[k] = (struct side){.name = k ? "compiled" : "interpreted", .bpf = on_engine, .btf = &own, .ud = e};
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!only || strstr(rows[i].name, only))
			row(&rows[i]);
	for (uint32_t k = 0; k < 2; k++)
		skep_close(mine[k].ud);
	btf_free(&own);
	btf_free(&kernels);
	printf("# %u comparisons, %u of programs that Linux refuses\n", compared, refused);
}

int main(int argc, char **argv)
{
	only = argc > 1 ? argv[1] : NULL;
	verbose = argc > 2;
	RUN(helpers_do_as_on_linux);
	return test_end();
}
