/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Special fields beside the running kernel's: random structs of locks, timers, kptrs, lists, trees and of structs and arrays of them are loaded,
 * become values of maps, and are written and read: what Linux refuses, and which bytes of a value a client does not get, must agree.
 * `t-btf-fields SEED COUNT` runs more of them.
 */
#include "kernel.h"
#include "test.h"
#include "btf/build.h"

#include "base/base.h"
#include "skep/skep.h"

static struct skep *k;
static uint64_t state = 1;
static uint32_t rounds = 3000;

static uint32_t rnd(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

static int call(int cmd, union bpf_attr *a, bool kernel)
{
	return kernel ? kernel_bpf(cmd, a, sizeof(*a)) : skep_bpf(k, cmd, a, sizeof(*a));
}

static int load(const struct build *b, bool kernel)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.btf = (uintptr_t)b->bytes;
	a.btf_size = b->size;
	return call(BPF_BTF_LOAD, &a, kernel);
}

/* ---- types ---- */

static const struct {
	const char *name;
	uint32_t size, align;
} specials[] = {{"bpf_spin_lock", 4, 4},  {"bpf_res_spin_lock", 4, 4}, {"bpf_timer", 16, 8},  {"bpf_wq", 16, 8},	    {"bpf_task_work", 8, 8},
		{"bpf_list_head", 16, 8}, {"bpf_list_node", 24, 8},    {"bpf_rb_root", 16, 8}, {"bpf_rb_node", 32, 8}, {"bpf_refcount", 4, 4}};

struct known {
	uint32_t id, size, align;
};
static struct known pool[64];
static uint32_t pool_n, plain_n;

static void add(uint32_t id, uint32_t size, uint32_t align)
{
	if (pool_n < ARRAY_SIZE(pool))
		pool[pool_n++] = (struct known){id, size, align};
}

static uint32_t pointer(struct build *b, const char *tag, uint32_t to)
{
	uint32_t id = build_type(b, tag, BTF_KIND_TYPE_TAG, 0, 0, to);

	return build_type(b, "", BTF_KIND_PTR, 0, 0, id);
}

static void specials_and_pointers(struct build *b)
{
	static const char *const tags[] = {"kptr", "kptr_untrusted", "percpu_kptr", "uptr", "user"};
	uint32_t targets[4];

	pool_n = 0;
	add(build_int(b, "int", 4), 4, 4);
	add(build_int(b, "long", 8), 8, 8);
	plain_n = pool_n;
	for (uint32_t i = 0; i < ARRAY_SIZE(specials); i++) {
		if (rnd(40) == 0)
			continue;
		add(build_type(b, specials[i].name, BTF_KIND_STRUCT, 0, 0, rnd(60) ? specials[i].size : 12), specials[i].size, specials[i].align);
	}
	targets[0] = build_type(b, "task_struct", BTF_KIND_STRUCT, 0, 0, 8);
	targets[1] = build_type(b, "local", BTF_KIND_STRUCT, 0, 0, 16);
	targets[2] = build_type(b, "file", BTF_KIND_STRUCT, 0, 0, 16);
	targets[3] = build_type(b, "node_a", BTF_KIND_FWD, 0, 0, 0);
	for (uint32_t i = 0; i < 4; i++)
		add(pointer(b, tags[rnd(12) ? rnd(3) : rnd(ARRAY_SIZE(tags))], targets[rnd(20) ? rnd(3) : 3]), 8, 8);
}

/* A struct of members from the pool; tags for those that may be roots. */
static uint32_t structure(struct build *b, const char *name, uint32_t n, uint32_t special_odds)
{
	struct known members[6];
	uint32_t bits[6], at = 0, align = 1, id;
	static const char *const names[] = {"m0", "m1", "m2", "m3", "m4", "m5"};

	n = MIN(n, (uint32_t)ARRAY_SIZE(members));
	for (uint32_t i = 0; i < n; i++) {
		members[i] = pool[rnd(special_odds) ? rnd(plain_n) : plain_n + rnd(pool_n - plain_n)];
		if (rnd(40))
			at = ALIGN_UP(at, members[i].align);
		bits[i] = at * 8;
		at += members[i].size;
		align = MAX(align, members[i].align);
	}
	at = ALIGN_UP(at, align);
	id = build_type(b, name, BTF_KIND_STRUCT, n, 0, at);
	for (uint32_t i = 0; i < n; i++)
		build_member(b, rnd(60) ? names[i] : names[0], members[i].id, bits[i]);
	for (uint32_t i = 0; i < n; i++) {
		static const char *const contains[] = {"contains:node_a:m0", "contains:node_a:m1", "contains:node_b:m0", "contains:node_b:m1",
						       "contains:node_a:m2", "contains:nobody:m0", "contains:node_a", "contains:value:m0"};

		if (rnd(3))
			build_tag(b, contains[rnd(20) ? rnd(5) : rnd(ARRAY_SIZE(contains))], id, (int32_t)i);
	}
	add(id, at, align);
	return id;
}

static uint32_t value_size, key_struct;

static uint32_t types(struct build *b)
{
	static const char *const names[] = {"node_a", "node_b", "inner", "other"};
	uint32_t id;

	build_open(b);
	specials_and_pointers(b);
	key_struct = rnd(10) ? build_type(b, "key", BTF_KIND_STRUCT, 0, 0, 8) : 2;
	for (uint32_t i = 0; i < 4; i++) {
		structure(b, names[i], 1 + rnd(4), 2);
		if (!rnd(3)) {
			struct known *e = &pool[rnd(pool_n)];
			uint32_t count = rnd(8) ? 1 + rnd(4) : rnd(2) * 12;

			add(build_array(b, e->id, 1, count), e->size * count, e->align);
		}
	}
	id = structure(b, "value", 1 + rnd(6), 2);
	value_size = pool[pool_n - 1].size;
	if (rnd(5) == 0) { /* a section of one variable */
		uint32_t var = build_type(b, "var", BTF_KIND_VAR, 0, 0, id);

		build_word(b, 1);
		id = build_type(b, ".data", BTF_KIND_DATASEC, 1, 0, value_size ? value_size : 8);
		build_three(b, var, 0, value_size ? value_size : 8);
	}
	build_close(b);
	return id;
}

/* ---- maps ---- */

static int create(int btf, uint32_t kind, uint32_t value, bool kernel)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_type = kind;
	a.key_size = kind == BPF_MAP_TYPE_LPM_TRIE ? 8 : 4;
	a.value_size = value_size;
	a.max_entries = kind == BPF_MAP_TYPE_TASK_STORAGE ? 0 : 1;
	a.map_flags = kind == BPF_MAP_TYPE_TASK_STORAGE || kind == BPF_MAP_TYPE_LPM_TRIE ? BPF_F_NO_PREALLOC : 0;
	a.btf_fd = (uint32_t)btf;
	a.btf_key_type_id = kind == BPF_MAP_TYPE_LPM_TRIE ? key_struct : 1;
	a.btf_value_type_id = value;
	return call(BPF_MAP_CREATE, &a, kernel);
}

static int element(int cmd, int map, void *value, bool kernel)
{
	uint32_t key = 0;
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)map;
	a.key = (uintptr_t)&key;
	a.value = (uintptr_t)value;
	return call(cmd, &a, kernel);
}

struct result {
	int load, create, update, lookup;
	uint8_t value[4096];
};

static void run(const struct build *b, uint32_t value, uint32_t kind, bool kernel, struct result *r)
{
	uint8_t bytes[4096];
	int map;

	memset(r, 0, sizeof(*r));
	memset(bytes, 0xee, sizeof(bytes));
	r->load = load(b, kernel);
	if (r->load < 0)
		return;
	map = create(r->load, kind, value, kernel);
	close(r->load);
	r->load = 0;
	r->create = MIN(map, 0);
	if (map < 0)
		return;
	if (kind != BPF_MAP_TYPE_TASK_STORAGE && kind != BPF_MAP_TYPE_PERCPU_ARRAY && kind != BPF_MAP_TYPE_LPM_TRIE && value_size <= sizeof(bytes)) {
		r->update = element(BPF_MAP_UPDATE_ELEM, map, bytes, kernel);
		r->lookup = element(BPF_MAP_LOOKUP_ELEM, map, r->value, kernel);
	}
	close(map);
}

static uint32_t accepted, created;

TEST(values_are_judged_as_the_kernel_does)
{
	static const uint32_t kinds[] = {BPF_MAP_TYPE_HASH,	     BPF_MAP_TYPE_ARRAY,	BPF_MAP_TYPE_LRU_HASH,	 BPF_MAP_TYPE_ARRAY,
					 BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_TASK_STORAGE, BPF_MAP_TYPE_LPM_TRIE};
	static struct build b;
	static struct result mine, theirs;

	uint32_t differ = 0;
	uint64_t start = state;

	types(&b);
	state = start;
	if (load(&b, true) == -EPERM)
		SKIP(KERNEL_MISSING);
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		SKIP("no BTF of the running kernel");
	for (uint32_t i = 0; i < rounds && differ < 3; i++) {
		uint64_t seed = state;
		uint32_t value = types(&b), kind = kinds[rnd(ARRAY_SIZE(kinds))];

		run(&b, value, kind, false, &mine);
		run(&b, value, kind, true, &theirs);
		accepted += !theirs.load;
		created += !theirs.load && !theirs.create;
		if (memcmp(&mine, &theirs, sizeof(mine)) && ++differ)
			test_fail(__FILE__, __LINE__, "seed %llu kind %u size %u: load %d create %d update %d lookup %d; the kernel: %d %d %d %d; values %s",
				  (unsigned long long)seed, kind, value_size, mine.load, mine.create, mine.update, mine.lookup, theirs.load, theirs.create,
				  theirs.update, theirs.lookup, memcmp(mine.value, theirs.value, sizeof(mine.value)) ? "differ" : "agree");
	}
	printf("# %u loaded, %u created\n", accepted, created);
}

/* Objects that own objects that own objects: `last` types, each with a list of the next; a circle if the last owns the first. */
static int chain(uint32_t last, bool circle, bool kptrs, bool kernel)
{
	static struct build b;
	uint32_t lock, head, node, id;
	char name[16], tag[32];
	int fd;

	build_open(&b);
	build_int(&b, "int", 4);
	lock = build_type(&b, "bpf_spin_lock", BTF_KIND_STRUCT, 0, 0, 4);
	head = build_type(&b, "bpf_list_head", BTF_KIND_STRUCT, 0, 0, 16);
	node = build_type(&b, "bpf_list_node", BTF_KIND_STRUCT, 0, 0, 24);
	for (uint32_t i = 1; i <= last; i++) {
		bool owns = i < last || circle;

		snprintf(name, sizeof(name), "n%u", i);
		id = build_type(&b, name, BTF_KIND_STRUCT, owns ? 3 : 1, 0, 48);
		build_member(&b, "node", node, 0);
		if (!owns)
			continue;
		build_member(&b, "lock", lock, 24 * 8);
		build_member(&b, kptrs ? "p" : "head", kptrs ? id + 2 : head, 32 * 8);
		snprintf(tag, sizeof(tag), "contains:n%u:node", i < last ? i + 1 : 1);
		if (kptrs)
			pointer(&b, "kptr", i < last ? id + 3 : 5);
		else
			build_tag(&b, tag, id, 2);
	}
	build_close(&b);
	fd = load(&b, kernel);
	if (fd >= 0)
		close(fd);
	return MIN(fd, 0);
}

TEST(owners_are_judged_as_the_kernel_does)
{
	static struct build b;

	types(&b);
	if (load(&b, true) == -EPERM)
		SKIP(KERNEL_MISSING);
	for (uint32_t n = 1; n < 12; n++)
		for (uint32_t way = 0; way < 4; way++) {
			int mine = chain(n, way & 1, way & 2, false), theirs = chain(n, way & 1, way & 2, true);

			if (mine != theirs)
				test_fail(__FILE__, __LINE__, "%u types, way %u: %d, the kernel: %d", n, way, mine, theirs);
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
	RUN(values_are_judged_as_the_kernel_does);
	RUN(owners_are_judged_as_the_kernel_does);
	skep_close(k);
	return test_end();
}
