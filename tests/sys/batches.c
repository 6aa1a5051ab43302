/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Batches without a place for keys, values or the cursor: what the engine answers and leaves behind is what the running kernel does. Each
 * question is asked of a map of its own with KEYS elements: errno, count, what lies in the places that were given, the elements that are left.
 */
#include "sys_test.h"

#include "../kernel.h"

enum { KEYS = 8, ROOM = 16, CPUS_MAX = 256, KEY_MAX = 8 };

static struct skep *engine;

static const struct shape {
	const char *name;
	uint32_t type, key, value, flags;
	bool cpus, hashed;
} shapes[] = {
	{"hash", BPF_MAP_TYPE_HASH, 4, 8, 0, false, true},
	{"hash without preallocation", BPF_MAP_TYPE_HASH, 4, 8, BPF_F_NO_PREALLOC, false, true},
	{"LRU hash", BPF_MAP_TYPE_LRU_HASH, 4, 8, 0, false, true},
	{"per-CPU hash", BPF_MAP_TYPE_PERCPU_HASH, 4, 8, 0, true, true},
	{"array", BPF_MAP_TYPE_ARRAY, 4, 8, 0, false, false},
	{"per-CPU array", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 0, true, false},
	{"trie", BPF_MAP_TYPE_LPM_TRIE, 8, 8, BPF_F_NO_PREALLOC, false, false},
};

static const struct command {
	const char *name;
	int cmd;
} commands[] = {
	{"lookup", BPF_MAP_LOOKUP_BATCH},
	{"lookup and delete", BPF_MAP_LOOKUP_AND_DELETE_BATCH},
	{"update", BPF_MAP_UPDATE_BATCH},
	{"delete", BPF_MAP_DELETE_BATCH},
};

enum { GIVES_KEYS = 1, GIVES_VALUES = 2, GIVES_OUT = 4, GIVES_IN = 8, WAYS = 16 };
enum from { FROM_KEYS, FROM_END, FROMS }; /* in_batch: the first cursor, or the one behind the last element */

struct answer {
	int err;
	uint32_t count, left;
	uint64_t keys, values; /* sums of what was written */
	bool cursor; /* was written */
};

static int bpf(struct skep *k, int cmd, union bpf_attr *a)
{
	return k ? skep_bpf(k, cmd, a, sizeof(*a)) : kernel_bpf(cmd, a, sizeof(*a));
}

static void key_of(const struct shape *s, uint32_t i, uint8_t *to)
{
	uint32_t prefix = 32, number = s->hashed ? i + 1 : i; /* of an array, its place */

	if (s->key == 8)
		memcpy(to, &prefix, 4);
	memcpy(to + s->key - 4, &number, 4);
}

static int filled(struct skep *k, const struct shape *s)
{
	union bpf_attr a = {.map_type = s->type, .key_size = s->key, .value_size = s->value, .max_entries = KEYS, .map_flags = s->flags};
	int fd = bpf(k, BPF_MAP_CREATE, &a);
	uint64_t value[CPUS_MAX];
	uint8_t key[KEY_MAX];

	for (uint32_t i = 0; fd >= 0 && i < KEYS; i++) {
		for (uint32_t c = 0; c < CPUS_MAX; c++)
			value[c] = 100 + i;
		key_of(s, i, key);
		a = (union bpf_attr){.map_fd = (uint32_t)fd, .key = ADDRESS(key), .value = ADDRESS(value)};
		CHECK_EQ(bpf(k, BPF_MAP_UPDATE_ELEM, &a), 0);
	}
	return fd;
}

static uint32_t count_left(struct skep *k, const struct shape *s, int fd)
{
	uint64_t value[CPUS_MAX];
	uint8_t key[KEY_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < KEYS; i++) {
		union bpf_attr a = {.map_fd = (uint32_t)fd, .key = ADDRESS(key), .value = ADDRESS(value)};

		key_of(s, i, key);
		n += bpf(k, BPF_MAP_LOOKUP_ELEM, &a) == 0;
	}
	return n;
}

static uint64_t sum(const uint8_t *bytes, uint32_t n)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < n; i++)
		all += bytes[i];
	return all;
}

static uint8_t keys[ROOM * KEY_MAX], values[ROOM * CPUS_MAX * 8], cursor[16], start[16];

/* A cursor as this side gives it: after a batch of everything. */
static void find_end(struct skep *k, int fd)
{
	union bpf_attr a = {0};

	a.batch.map_fd = (uint32_t)fd;
	a.batch.keys = ADDRESS(keys);
	a.batch.values = ADDRESS(values);
	a.batch.out_batch = ADDRESS(start);
	a.batch.count = ROOM;
	bpf(k, BPF_MAP_LOOKUP_BATCH, &a);
}

static struct answer ask(struct skep *k, const struct shape *s, int cmd, uint32_t gives, enum from from, uint32_t count)
{
	struct answer r = {0};
	union bpf_attr a = {0};
	int fd = filled(k, s);
	bool writes = cmd == BPF_MAP_UPDATE_BATCH || cmd == BPF_MAP_DELETE_BATCH;

	memset(start, 0, sizeof(start));
	if (from == FROM_END)
		find_end(k, fd);
	memset(keys, 0, sizeof(keys));
	memset(values, 0, sizeof(values));
	memset(cursor, 0xa5, sizeof(cursor));
	for (uint32_t i = 0; writes && i < ROOM; i++)
		key_of(s, i % KEYS, keys + i * s->key);
	a.batch.map_fd = (uint32_t)fd;
	a.batch.keys = gives & GIVES_KEYS ? ADDRESS(keys) : 0;
	a.batch.values = gives & GIVES_VALUES ? ADDRESS(values) : 0;
	a.batch.out_batch = gives & GIVES_OUT ? ADDRESS(cursor) : 0;
	a.batch.in_batch = gives & GIVES_IN ? ADDRESS(start) : 0;
	a.batch.count = count;
	r.err = bpf(k, cmd, &a);
	r.count = a.batch.count;
	r.left = count_left(k, s, fd);
	r.keys = sum(keys, sizeof(keys));
	r.values = s->cpus ? 0 : sum(values, sizeof(values)); /* the sides may count CPUs differently */
	r.cursor = cursor[0] != 0xa5 || cursor[3] != 0xa5;
	if (s->hashed && !(gives & GIVES_KEYS && gives & GIVES_VALUES)) { /* it ends with a bucket, and what lies in that one chance decides */
		r.left = r.left == KEYS;
		r.keys = r.keys != 0;
		r.values = r.values != 0;
	}
	close(fd);
	return r;
}

static bool same(const struct answer *a, const struct answer *b)
{
	return a->err == b->err && a->count == b->count && a->left == b->left && a->keys == b->keys && a->values == b->values && a->cursor == b->cursor;
}

static void compare(const struct shape *s, const struct command *c, uint32_t gives, enum from from, uint32_t count)
{
	struct answer us = ask(engine, s, c->cmd, gives, from, count), them = ask(NULL, s, c->cmd, gives, from, count);

	if (!same(&us, &them))
		test_fail(__FILE__, __LINE__,
			  "%s, %s of %u, %s%s%s%s%s: errno %d, count %u, left %u, keys %llu, values %llu, cursor %d; Linux: %d, %u, %u, %llu, %llu, %d", s->name,
			  c->name, count, gives & GIVES_KEYS ? "keys " : "", gives & GIVES_VALUES ? "values " : "", gives & GIVES_OUT ? "out " : "",
			  gives & GIVES_IN ? "in " : "", from == FROM_END ? "(end)" : "", us.err, us.count, us.left, (unsigned long long)us.keys,
			  (unsigned long long)us.values, us.cursor, them.err, them.count, them.left, (unsigned long long)them.keys,
			  (unsigned long long)them.values, them.cursor);
}

TEST(batches_miss_pointers_as_in_linux)
{
	if (kernel_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1) < 0)
		SKIP(KERNEL_MISSING);
	for (uint32_t s = 0; s < ARRAY_SIZE(shapes); s++)
		for (uint32_t c = 0; c < ARRAY_SIZE(commands); c++)
			for (uint32_t gives = 0; gives < WAYS; gives++)
				for (enum from from = 0; from < (gives & GIVES_IN ? FROMS : 1); from++)
					for (uint32_t count = 0; count <= ROOM; count += KEYS)
						compare(&shapes[s], &commands[c], gives, from, count);
}

int main(void)
{
	if (skep_open(&engine, NULL))
		return 1;
	RUN(batches_miss_pointers_as_in_linux);
	skep_close(engine);
	return test_end();
}
