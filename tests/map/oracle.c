/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every kind of map beside the running kernel's: random creations, valid and not, then random sequences of element
 * commands on both; results, errno and contents must be equal. What depends on chance (which key of a hash comes next, what
 * an LRU evicts, what a Bloom filter answers by mistake) is compared as a set, kept from happening, or not asked.
 */
#include "fixture.h"

#include <linux/btf.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OBJECTS = 4, MAX_BYTES = 1 << 16, MAX_KEY = 512 };

static u64 rng = 2026;

static u32 below(u32 n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(rng >> 33) % n;
}

#define PICK(...) ((const u32[]){__VA_ARGS__})[below(sizeof((const u32[]){__VA_ARGS__}) / sizeof(u32))]

/* The system's header may be older than the kernel; a buffer larger than both, with a zero tail, serves any. */
static long kernel(int cmd, union bpf_attr *attr)
{
	long r = syscall(__NR_bpf, cmd, attr, sizeof(*attr));

	return r < 0 ? -errno : r;
}

/* An int for keys and an array of bytes for values. */
static int kernel_types(u32 value_size)
{
	struct {
		struct btf_header head;
		struct btf_type key;
		u32 key_bits;
		struct btf_type byte;
		u32 byte_bits;
		struct btf_type value;
		struct btf_array array;
		char strings[16];
	} b = {
		.head = {.magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof(b.head), .type_len = offsetof(__typeof__(b), strings) - sizeof(b.head),
			 .str_off = offsetof(__typeof__(b), strings) - sizeof(b.head), .str_len = sizeof(b.strings)},
		.key = {.name_off = 1, .info = BTF_KIND_INT << 24, .size = 4}, .key_bits = 32,
		.byte = {.name_off = 5, .info = BTF_KIND_INT << 24, .size = 1}, .byte_bits = 8,
		.value = {.info = BTF_KIND_ARRAY << 24}, .array = {.type = 2, .index_type = 1, .nelems = value_size},
		.strings = "\0key\0byte",
	};
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.btf = (u64)(uintptr_t)&b;
	a.btf_size = sizeof(b);
	return (int)kernel(BPF_BTF_LOAD, &a);
}

static int kernel_create(const struct map_spec *s, int inner)
{
	union bpf_attr a;
	int fd, types = -1;

	memset(&a, 0, sizeof(a));
	a.map_type = s->kind;
	a.key_size = s->key_size;
	a.value_size = s->value_size;
	a.max_entries = s->max_entries;
	a.map_flags = s->flags;
	a.map_extra = s->extra;
	a.inner_map_fd = (u32)inner;
	if (s->btf_value_type_id) {
		types = kernel_types(s->value_size);
		a.btf_fd = (u32)types;
		a.btf_key_type_id = s->btf_key_type_id;
		a.btf_value_type_id = s->btf_value_type_id;
	}
	fd = (int)kernel(BPF_MAP_CREATE, &a);
	if (types >= 0)
		close(types);
	return fd;
}

static int kernel_element(int cmd, int fd, const void *key, void *value, u64 flags)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_fd = (u32)fd;
	a.key = (u64)(uintptr_t)key;
	a.value = (u64)(uintptr_t)value;
	a.flags = flags;
	return (int)kernel(cmd, &a);
}

static bool kernel_answers(void)
{
	struct map_spec s = {.kind = MAP_KIND_LPM_TRIE, .key_size = 8, .value_size = 4, .max_entries = 1, .flags = BPF_F_NO_PREALLOC};
	int fd = kernel_create(&s, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* ---- one map on both sides ---- */

struct pair {
	struct fixture f;
	struct map m;
	struct hold h;
	int fd;
	struct map inner[OBJECTS]; /* what f.object[] are, for map-in-map */
	int object_fd[OBJECTS]; /* the kernel's */
	u32 object_id[OBJECTS];
};

static u32 kernel_id(int fd)
{
	struct {
		u32 type, id;
	} info = {0};
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (u32)fd;
	a.info.info_len = sizeof(info);
	a.info.info = (u64)(uintptr_t)&info;
	return kernel(BPF_OBJ_GET_INFO_BY_FD, &a) ? 0 : info.id;
}

static int kernel_program(void)
{
	static const u64 insns[] = {0x00000000000000b7, 0x0000000000000095};
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	a.insns = (u64)(uintptr_t)insns;
	a.insn_cnt = 2;
	a.license = (u64)(uintptr_t) "GPL";
	return (int)kernel(BPF_PROG_LOAD, &a);
}

static int kernel_event(void)
{
	struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(a), .config = PERF_COUNT_SW_BPF_OUTPUT,
				    .sample_type = PERF_SAMPLE_RAW};

	return (int)syscall(__NR_perf_event_open, &a, -1, 0, -1, 0);
}

/* Objects 0 and 1 fit a map-in-map whose template is object 0; 2 and 3 differ from it in one respect each. */
static void open_objects(struct pair *p, u32 kind)
{
	static const struct map_spec spec[OBJECTS] = {
		{.kind = MAP_KIND_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 4},
		{.kind = MAP_KIND_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 4},
		{.kind = MAP_KIND_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 5},
		{.kind = MAP_KIND_HASH, .key_size = 4, .value_size = 8, .max_entries = 4},
	};

	for (u32 i = 0; i < OBJECTS; i++) {
		p->f.object[i] = NULL;
		p->object_fd[i] = -1;
		if (kind == MAP_KIND_ARRAY_OF_MAPS || kind == MAP_KIND_HASH_OF_MAPS) {
			fixture_map(&p->f, &p->inner[i]);
			if (map_create(&p->inner[i], &spec[i]) == 0)
				p->f.object[i] = &p->inner[i];
			p->object_fd[i] = kernel_create(&spec[i], 0);
		} else if (kind == MAP_KIND_PROG_ARRAY || kind == MAP_KIND_PERF_EVENT_ARRAY) {
			p->object_fd[i] = kind == MAP_KIND_PROG_ARRAY ? kernel_program() : kernel_event();
			p->f.object[i] = &p->inner[i];
		} else {
			continue;
		}
		CHECK(p->f.object[i] && p->object_fd[i] >= 0);
		p->object_id[i] = kind == MAP_KIND_PERF_EVENT_ARRAY ? 0 : kernel_id(p->object_fd[i]);
	}
}

static void close_pair(struct pair *p)
{
	if (p->fd >= 0)
		close(p->fd);
	map_close(&p->m);
	for (u32 i = 0; i < OBJECTS; i++) {
		CHECK_EQ(p->f.refs[i], 0);
		if (p->object_fd[i] >= 0)
			close(p->object_fd[i]);
		if (p->f.object[i] == &p->inner[i])
			map_close(&p->inner[i]);
	}
}

/* What a kernel's struct is, only an engine with that kernel's BTF can say. */
static bool needs_kernel(const struct map_kind_info *kind)
{
	return kind->ops->traits & KIND_KERNEL_TYPE;
}

/* ---- creations ---- */

static struct map_spec usual(u32 kind)
{
	struct map_spec s = {.kind = kind, .key_size = 4, .value_size = PICK(1, 4, 7, 8, 12, 16, 40), .max_entries = PICK(1, 2, 5, 40)};

	switch (kind) {
	case MAP_KIND_HASH:
	case MAP_KIND_PERCPU_HASH:
		s.key_size = PICK(1, 4, 7, 8, 20);
		s.flags = PICK(0, 0, BPF_F_NO_PREALLOC, BPF_F_ZERO_SEED);
		break;
	case MAP_KIND_LRU_HASH:
	case MAP_KIND_LRU_PERCPU_HASH:
		s.key_size = PICK(4, 8);
		s.max_entries = 4096; /* more than keys: nothing is evicted */
		break;
	case MAP_KIND_LPM_TRIE:
		s.key_size = 4 + PICK(1, 2, 4, 7, 16);
		s.flags = BPF_F_NO_PREALLOC;
		break;
	case MAP_KIND_QUEUE:
	case MAP_KIND_STACK:
		s.key_size = 0;
		break;
	case MAP_KIND_BLOOM_FILTER:
		s.key_size = 0;
		s.max_entries = PICK(1000, 4000);
		s.extra = PICK(0, 0, 1, 15);
		break;
	case MAP_KIND_RINGBUF:
		s.key_size = s.value_size = 0;
		s.max_entries = PICK(4096, 8192);
		break;
	case MAP_KIND_PROG_ARRAY:
	case MAP_KIND_PERF_EVENT_ARRAY:
	case MAP_KIND_ARRAY_OF_MAPS:
	case MAP_KIND_HASH_OF_MAPS:
	case MAP_KIND_CGROUP_ARRAY:
	case MAP_KIND_XSKMAP:
		s.value_size = 4;
		break;
	case MAP_KIND_DEVMAP:
	case MAP_KIND_DEVMAP_HASH:
	case MAP_KIND_CPUMAP:
	case MAP_KIND_SOCKMAP:
	case MAP_KIND_SOCKHASH:
	case MAP_KIND_REUSEPORT_SOCKARRAY:
		s.value_size = PICK(4, 8);
		break;
	case MAP_KIND_STACK_TRACE:
		s.flags = PICK(0, 0, BPF_F_STACK_BUILD_ID);
		s.value_size = (s.flags ? 32 : 8) * PICK(1, 2, 127);
		break;
	case MAP_KIND_SK_STORAGE:
	case MAP_KIND_INODE_STORAGE:
	case MAP_KIND_TASK_STORAGE:
	case MAP_KIND_CGRP_STORAGE:
		s.flags = BPF_F_NO_PREALLOC | PICK(0, 0, BPF_F_CLONE);
		s.max_entries = 0;
		s.btf_key_type_id = 1;
		s.btf_value_type_id = 3;
		break;
	case MAP_KIND_CGROUP_STORAGE:
	case MAP_KIND_PERCPU_CGROUP_STORAGE:
		s.key_size = PICK(8, 16);
		s.max_entries = 0;
		break;
	case MAP_KIND_USER_RINGBUF:
		s.key_size = s.value_size = 0;
		s.max_entries = PICK(4096, 8192);
		break;
	case MAP_KIND_ARENA:
		s.key_size = s.value_size = 0;
		s.flags = BPF_F_MMAPABLE | PICK(0, 1 << 17, 1 << 18);
		s.extra = PICK(0, 0, 1 << 20);
		break;
	default:
		break;
	}
	return s;
}

static struct map_spec unusual(u32 kind)
{
	struct map_spec s = usual(kind);

	for (u32 changes = 1 + below(2); changes; changes--)
		switch (below(5)) {
		case 0:
			s.key_size = PICK(0, 1, 3, 4, 5, 8, 9, 260, 261, 512, 513, 4096, 0x80000000u, 0xffffffffu);
			break;
		case 1:
			s.value_size = PICK(0, 1, 4, 8, 12, 32768, 32769, 40000, (4 << 20) - 1000, 4 << 20, (4 << 20) + 1,
					    0x7fffffff, 0x80000000u, 0xffffffffu);
			break;
		case 2:
			s.max_entries = PICK(0, 1, 2, 3, 4095, 4096, 12288, 16384);
			break;
		case 3:
			s.flags ^= 1u << below(15);
			break;
		default:
			s.extra = below(20);
		}
	/* Sizes that Linux might or might not have memory for are not the question here. */
	if ((u64)s.value_size * s.max_entries > 1 << 20)
		s.max_entries = MIN(s.max_entries, 2u);
	return s;
}

static void print_spec(const char *what, const struct map_spec *s)
{
	printf("# %s: %s key %u value %u entries %u flags 0x%x extra %llu\n", what, map_kind(s->kind)->name, s->key_size,
	       s->value_size, s->max_entries, s->flags, (unsigned long long)s->extra);
}

/* Sizes that only the amount of memory decides about: Linux has its own idea of how much is too much. */
static bool about_memory(int a, int b)
{
	return a == -ENOMEM || b == -ENOMEM;
}

/* How many CPUs a kernel may have is a matter of its configuration. */
static bool about_build(const struct map_spec *s, int a, int b)
{
	return s->kind == MAP_KIND_CPUMAP && (a == -E2BIG || b == -E2BIG);
}

static int create_both(struct pair *p, const struct map_spec *s)
{
	int err;

	fixture_map(&p->f, &p->m);
	p->m.inner = p->f.object[0];
	p->fd = kernel_create(s, p->object_fd[0]);
	err = map_create(&p->m, s);
	if (err != (p->fd < 0 ? p->fd : 0) && !about_memory(err, p->fd) && !about_build(s, err, p->fd)) {
		print_spec("creation", s);
		CHECK_EQ(err, p->fd < 0 ? p->fd : 0);
	}
	return err ? err : p->fd < 0 ? p->fd : 0;
}

TEST(creations_give_the_errors_of_the_kernel)
{
	static struct pair p;
	const struct map_kind_info *kinds;
	u32 n, good = 0, bad = 0;

	if (!kernel_answers())
		SKIP("kernel bpf() not available");
	kinds = map_kinds(&n);
	fixture_open(&p.f);
	for (u32 k = 0; k < n; k++) {
		if (needs_kernel(&kinds[k]))
			continue;
		open_objects(&p, kinds[k].id);
		for (u32 i = 0; i < 100; i++) {
			struct map_spec s = i % 8 ? unusual(kinds[k].id) : usual(kinds[k].id);

			if (create_both(&p, &s))
				bad++;
			else
				good++;
			if (p.fd >= 0)
				close(p.fd);
			p.fd = -1;
			map_close(&p.m);
		}
		close_pair(&p);
	}
	CHECK(good > n * 12 && bad > n * 12);
	fixture_close(&p.f);
}

/* ---- element commands ---- */

static u32 pick_flags(void)
{
	return below(4) ? 0 : PICK(BPF_ANY, BPF_NOEXIST, BPF_EXIST, 3, BPF_F_LOCK, BPF_F_LOCK | BPF_EXIST, 8);
}

/* Few different keys, so that they meet; now and then one that is out of bounds. */
static void make_key(const struct map_spec *s, u8 *key)
{
	u32 x = below(16) ? below(12) : below(3) ? s->max_entries - 1 + below(3) : 0xffffffffu;

	memset(key, 0, s->key_size);
	if (s->kind == MAP_KIND_LPM_TRIE) {
		u32 bits = below(20) ? below((s->key_size - 4) * 8 + 1) : (s->key_size - 4) * 8 + 1;

		memcpy(key, &bits, 4);
		for (u32 i = 4; i < s->key_size; i++)
			key[i] = (u8)PICK(0, 0, 0, 0x80, 0x40, 0xff);
	} else {
		/* Descriptors that are open name things that Linux can store at. */
		if (s->kind == MAP_KIND_SK_STORAGE || s->kind == MAP_KIND_INODE_STORAGE)
			x |= 1 << 20;
		memcpy(key, &x, MIN(s->key_size, 4u));
	}
}

static void make_value(const struct pair *p, u8 *ours, u8 *theirs)
{
	u64 size = map_value_bytes(&p->m);

	if (p->m.ops->traits & KIND_FD_VALUES) {
		u32 i = below(10) ? below(OBJECTS) : 60, fd = i < OBJECTS ? (u32)p->object_fd[i] : 0xffffff;

		memcpy(ours, &i, 4);
		memcpy(theirs, &fd, 4);
		return;
	}
	for (u64 i = 0; i < size; i++)
		ours[i] = (u8)below(p->m.spec.kind == MAP_KIND_BLOOM_FILTER ? 3 : 256);
	if (map_has(&p->m, redirect) && below(20)) { /* of the interfaces every host has the first; queues have an upper bound */
		u32 number = p->m.spec.kind == MAP_KIND_CPUMAP ? PICK(0, 1, 192, 16384, 16385) : PICK(0, 1, 1, 0x7fffffff), program = PICK(0, 0xffffffffu);

		memcpy(ours, &number, sizeof(number));
		memcpy(ours + sizeof(program), &program, size - sizeof(number));
	}
	memcpy(theirs, ours, size);
}

static bool same_value(const struct pair *p, const u8 *ours, const u8 *theirs)
{
	u64 size = map_value_bytes(&p->m);
	u32 a, b;

	if (!(p->m.ops->traits & KIND_FD_VALUES))
		return memcmp(ours, theirs, size) == 0;
	memcpy(&a, ours, 4);
	memcpy(&b, theirs, 4);
	return a - 1 < OBJECTS && p->object_id[a - 1] == b;
}

static bool unordered(u32 kind)
{
	return kind == MAP_KIND_HASH || kind == MAP_KIND_LRU_HASH || kind == MAP_KIND_PERCPU_HASH || kind == MAP_KIND_LRU_PERCPU_HASH ||
	       kind == MAP_KIND_HASH_OF_MAPS || kind == MAP_KIND_DEVMAP_HASH;
}

/* A stored value is there for certain; otherwise a Bloom filter may err, and both do so independently. */
static bool bloom_luck(const struct pair *p, int err, int expect)
{
	return p->m.spec.kind == MAP_KIND_BLOOM_FILTER && (err == 0 || expect == 0);
}

struct step {
	const char *name;
	int err, expect;
	bool values;
};

static struct step step(struct pair *p, const u8 *key, u8 *ours, u8 *theirs)
{
	const struct map_spec *s = &p->m.spec;
	const void *k = s->key_size ? key : NULL;
	u32 flags = pick_flags();
	u8 next_ours[MAX_KEY], next_theirs[MAX_KEY];
	struct step r = {0};

	switch (below(8)) {
	case 0:
	case 1:
	case 2:
		make_value(p, ours, theirs);
		r.name = "update";
		r.err = map_set(&p->m, &p->h, k, ours, flags);
		r.expect = kernel_element(BPF_MAP_UPDATE_ELEM, p->fd, k, theirs, flags);
		break;
	case 3:
		r.name = "delete";
		r.err = map_delete(&p->m, &p->h, k);
		r.expect = kernel_element(BPF_MAP_DELETE_ELEM, p->fd, k, NULL, 0);
		break;
	case 4:
		r.name = "lookup and delete";
		r.err = map_take(&p->m, &p->h, k, ours, flags);
		r.expect = kernel_element(BPF_MAP_LOOKUP_AND_DELETE_ELEM, p->fd, k, theirs, flags);
		r.values = true;
		break;
	case 5:
		if (unordered(s->kind)) /* compared as a set */
			return (struct step){.name = "none"};
		r.name = "next key";
		k = below(4) ? k : NULL;
		memset(next_ours, 0, sizeof(next_ours));
		memset(next_theirs, 0, sizeof(next_theirs));
		r.err = map_next_key(&p->m, &p->h, k, next_ours);
		r.expect = kernel_element(BPF_MAP_GET_NEXT_KEY, p->fd, k, next_theirs, 0);
		if (!r.err && !r.expect)
			CHECK(!memcmp(next_ours, next_theirs, s->key_size));
		break;
	default:
		if (p->m.ops->traits & KIND_VALUE_IN)
			make_value(p, ours, theirs);
		r.name = "lookup";
		r.err = map_get(&p->m, &p->h, k, ours, flags);
		r.expect = kernel_element(BPF_MAP_LOOKUP_ELEM, p->fd, k, theirs, flags);
		r.values = true;
	}
	return r;
}

static int by_bytes(const void *a, const void *b, void *size)
{
	return memcmp(a, b, *(u32 *)size);
}

enum { KEYS = 512 };

/* All keys, sorted when the kind has no order. */
static u32 all_keys(struct pair *p, bool of_kernel, u8 *keys)
{
	u32 n = 0, size = p->m.spec.key_size;

	while (n < KEYS) {
		const u8 *at = n ? keys + (n - 1) * size : NULL;
		u8 *next = keys + n * size;

		if (of_kernel ? kernel_element(BPF_MAP_GET_NEXT_KEY, p->fd, at, next, 0) : map_next_key(&p->m, &p->h, at, next))
			break;
		n++;
	}
	if (unordered(p->m.spec.kind))
		qsort_r(keys, n, size, by_bytes, &size);
	return n;
}

static void compare_contents(struct pair *p, u8 *ours, u8 *theirs)
{
	static u8 a[KEYS * MAX_KEY], b[KEYS * MAX_KEY];
	u32 size = p->m.spec.key_size, n, m;

	if (size == 0)
		return;
	n = all_keys(p, false, a);
	m = all_keys(p, true, b);
	if (n != m || memcmp(a, b, n * size)) {
		print_spec("keys differ", &p->m.spec);
		CHECK_EQ(n, m);
		CHECK(!memcmp(a, b, MIN(n, m) * size));
	}
	for (u32 i = 0; i < n; i++) {
		int err = map_get(&p->m, &p->h, a + i * size, ours, 0);

		CHECK_EQ(err, kernel_element(BPF_MAP_LOOKUP_ELEM, p->fd, a + i * size, theirs, 0));
		if (!err)
			CHECK(same_value(p, ours, theirs));
	}
}

static void compare(struct pair *p, u32 steps)
{
	static u8 key[MAX_KEY], ours[MAX_BYTES], theirs[MAX_BYTES];

	for (u32 i = 0; i < steps; i++) {
		struct step r;

		memset(ours, 0, sizeof(ours));
		memset(theirs, 0, sizeof(theirs));
		make_key(&p->m.spec, key);
		r = step(p, key, ours, theirs);
		if (r.err != r.expect && !bloom_luck(p, r.err, r.expect)) {
			print_spec(r.name, &p->m.spec);
			CHECK_EQ(r.err, r.expect);
		} else if (r.values && !r.err && !r.expect && !same_value(p, ours, theirs)) {
			print_spec(r.name, &p->m.spec);
			test_fail(__FILE__, __LINE__, "values differ");
		}
		if (test_case_failed)
			return;
	}
	compare_contents(p, ours, theirs);
}

TEST(element_commands_do_what_the_kernel_does)
{
	static struct pair p;
	const struct map_kind_info *kinds;
	u32 n;

	if (!kernel_answers())
		SKIP("kernel bpf() not available");
	kinds = map_kinds(&n);
	fixture_open(&p.f);
	for (u32 k = 0; k < n; k++) {
		if (needs_kernel(&kinds[k]))
			continue;
		open_objects(&p, kinds[k].id);
		for (u32 i = 0; i < 12; i++) {
			struct map_spec s = usual(kinds[k].id);

			CHECK_EQ(create_both(&p, &s), 0);
			REQUIRE(p.fd >= 0 && hold_take(p.f.domain, &p.h) == 0);
			compare(&p, 800);
			hold_drop(&p.h);
			close(p.fd);
			p.fd = -1;
			map_close(&p.m);
		}
		close_pair(&p);
	}
	fixture_close(&p.f);
}

/* With a count of 0 a batch command does nothing, unless the kind does not have it. */
TEST(batch_commands_are_those_of_the_kernel)
{
	static struct pair p;
	static const struct {
		int cmd;
		u32 trait;
	} batches[] = {
		{BPF_MAP_LOOKUP_BATCH, KIND_BATCH_GET},
		{BPF_MAP_UPDATE_BATCH, KIND_BATCH_SET},
		{BPF_MAP_DELETE_BATCH, KIND_BATCH_DELETE},
		{BPF_MAP_LOOKUP_AND_DELETE_BATCH, KIND_BATCH_TAKE},
	};
	const struct map_kind_info *kinds;
	u32 n;

	if (!kernel_answers())
		SKIP("kernel bpf() not available");
	kinds = map_kinds(&n);
	fixture_open(&p.f);
	for (u32 k = 0; k < n; k++) {
		struct map_spec s = usual(kinds[k].id);

		if (needs_kernel(&kinds[k]))
			continue;
		open_objects(&p, kinds[k].id);
		REQUIRE(create_both(&p, &s) == 0);
		for (u32 i = 0; i < ARRAY_SIZE(batches); i++) {
			union bpf_attr a;

			memset(&a, 0, sizeof(a));
			a.batch.map_fd = (u32)p.fd;
			CHECK_EQ(kernel(batches[i].cmd, &a), kinds[k].ops->traits & batches[i].trait ? 0 : -ENOTSUPP);
		}
		map_close(&p.m);
		close(p.fd);
		p.fd = -1;
		close_pair(&p);
	}
	fixture_close(&p.f);
}

int main(void)
{
	RUN(creations_give_the_errors_of_the_kernel);
	RUN(element_commands_do_what_the_kernel_does);
	RUN(batch_commands_are_those_of_the_kernel);
	return test_end();
}
