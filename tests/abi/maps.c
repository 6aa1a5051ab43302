/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which maps a program may use at all, beside the running kernel: maps whose values hold one special field each, and maps of every kind, in
 * programs of every type, sleepable or not. An engine with the kernel's types must give the same verdict for the same reason.
 */
#include "where.h"

#include "../btf/build.h"

enum { FIELDS = 9, KINDS = 34 };

static int kernel_maps[FIELDS + KINDS + 3], our_maps[FIELDS + KINDS + 3]; /* by field, by kind, more of 19, 21, 33 */
static const char *const field_names[FIELDS] = {"none", "bpf_spin_lock", "bpf_res_spin_lock", "bpf_timer", "bpf_wq", "bpf_task_work", "bpf_list_head",
						"bpf_rb_root", "bpf_refcount"};

static s32 ours_of(s32 fd)
{
	for (u32 i = 0; i < ARRAY_SIZE(kernel_maps); i++)
		if (kernel_maps[i] == fd)
			return our_maps[i];
	return -1;
}

/* struct value { struct FIELD f; [struct bpf_spin_lock lock;] }; lists and trees, which need the lock, are of struct node { struct NODE n;
 * long data; }. */
static u32 build_value(struct build *b, const char *field, u32 bytes, const char *node, u32 node_bytes, u32 ids[2])
{
	u32 num, wide, words, of, lock = 0, inner;

	build_open(b);
	num = build_int(b, "int", 4);
	wide = build_int(b, "long", 8);
	words = build_array(b, bytes == 4 ? num : wide, num, bytes == 4 ? 1 : bytes / 8);
	of = build_type(b, field, BTF_KIND_STRUCT, 1, 0, bytes);
	build_member(b, "opaque", words, 0);
	if (node) {
		lock = build_type(b, "bpf_spin_lock", BTF_KIND_STRUCT, 1, 0, 4);
		build_member(b, "val", num, 0);
	}
	ids[0] = num;
	ids[1] = build_type(b, "value", BTF_KIND_STRUCT, node ? 2 : 1, 0, node ? bytes + 8 : bytes);
	build_member(b, "f", of, 0);
	if (node) {
		build_member(b, "lock", lock, bytes * 8);
		words = build_array(b, wide, num, node_bytes / 8);
		inner = build_type(b, node, BTF_KIND_STRUCT, 1, 0, node_bytes);
		build_member(b, "opaque", words, 0);
		build_type(b, "node", BTF_KIND_STRUCT, 2, 0, node_bytes + 8);
		build_member(b, "n", inner, 0);
		build_member(b, "data", wide, node_bytes * 8);
		build_tag(b, "contains:node:n", ids[1], 0);
	}
	build_close(b);
	return node ? bytes + 8 : bytes;
}

static int value_map(int cmd(int, union bpf_attr *, u32), const struct build *b, const u32 ids[2], u32 bytes)
{
	union bpf_attr a = {.btf = (u64)(uintptr_t)b->bytes, .btf_size = b->size};
	union bpf_attr m = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = bytes, .max_entries = 1, .btf_key_type_id = ids[0],
			    .btf_value_type_id = ids[1]};
	int btf = cmd(BPF_BTF_LOAD, &a, sizeof(a)), map;

	if (btf < 0)
		return btf;
	m.btf_fd = (u32)btf;
	map = cmd(BPF_MAP_CREATE, &m, sizeof(m));
	close(btf);
	return map;
}

static int kernel_cmd(int cmd, union bpf_attr *a, u32 size)
{
	return kernel_bpf(cmd, a, size);
}

static int our_cmd(int cmd, union bpf_attr *a, u32 size)
{
	return skep_bpf(engine, cmd, a, size);
}

static void open_fields(void)
{
	static const struct {
		u32 bytes;
		const char *node;
		u32 node_bytes;
	} of[FIELDS] = {{8, NULL, 0}, {4, NULL, 0}, {4, NULL, 0}, {16, NULL, 0}, {16, NULL, 0}, {8, NULL, 0}, {16, "bpf_list_node", 24},
			{16, "bpf_rb_node", 32}, {4, NULL, 0}};
	static struct build b;

	for (u32 i = 0; i < FIELDS; i++) {
		u32 ids[2], bytes = build_value(&b, field_names[i], of[i].bytes, of[i].node, of[i].node_bytes, ids);

		kernel_maps[i] = value_map(kernel_cmd, &b, ids, bytes);
		our_maps[i] = value_map(our_cmd, &b, ids, bytes);
	}
}

static void open_kinds(void)
{
	for (u32 i = 1; i < KINDS + 3; i++) {
		u32 kind = i < KINDS ? i : i == KINDS ? 19 : i == KINDS + 1 ? 21 : 33;
		static const u8 no_key[] = {22, 23, 26, 27, 30, 31, 33};
		union bpf_attr a = {.map_type = kind, .key_size = kind == 19 || kind == 21 ? 16 : kind == 11 ? 8 : 4, .value_size = 4, .max_entries = 4},
			       ours;

		if (memchr(no_key, (int)kind, sizeof(no_key)))
			a.key_size = 0;
		if (kind == 19 || kind == 21)
			a.max_entries = 0;
		if (kind == 7)
			a.value_size = 64;
		if (kind == 11)
			a.map_flags = BPF_F_NO_PREALLOC;
		if (kind == 27 || kind == 31 || kind == 33) {
			a.value_size = 0;
			a.max_entries = kind == 33 ? 1 : 4096;
			a.map_flags = kind == 33 ? BPF_F_MMAPABLE : 0;
			a.map_extra = kind == 33 ? 1ull << 44 : 0;
		}
		ours = a;
		if (kind == 12 || kind == 13) {
			a.inner_map_fd = (u32)kernel_maps[0];
			ours.inner_map_fd = (u32)our_maps[0];
		}
		kernel_maps[FIELDS + i] = kernel_cmd(BPF_MAP_CREATE, &a, sizeof(a));
		our_maps[FIELDS + i] = our_cmd(BPF_MAP_CREATE, &ours, sizeof(ours));
	}
}

TEST(maps_are_made_in_both)
{
	if (!engine)
		SKIP(KERNEL_MISSING);
	for (u32 i = 0; i + 1 < FIELDS; i++)
		CHECK(kernel_maps[i] > 0); /* but bpf_refcount is of objects only */
	for (u32 i = 0; i < FIELDS; i++)
		if ((kernel_maps[i] < 0) != (our_maps[i] < 0))
			test_fail(__FILE__, __LINE__, "%s: kernel %d, engine %d", field_names[i], kernel_maps[i], our_maps[i]);
	for (u32 i = 1; i < KINDS; i++)
		if ((kernel_maps[FIELDS + i] < 0) != (our_maps[FIELDS + i] < 0))
			test_fail(__FILE__, __LINE__, "%s: kernel %d, engine %d", map_rules(i)->name, kernel_maps[FIELDS + i], our_maps[FIELDS + i]);
}

static u32 refused;

/* Each map by itself; and two of the kinds of which a program may have but one. */
static void use_maps(const struct where *w)
{
	static const u32 single[] = {BPF_MAP_TYPE_CGROUP_STORAGE, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, UAPI_MAP_ARENA};

	for (u32 i = 0; i < ARRAY_SIZE(single); i++) {
		struct raw_insn code[] = {insn(0x18, 1, 1, kernel_maps[FIELDS + single[i]]), insn(0, 0, 0, 0), insn(0x18, 2, 1, kernel_maps[FIELDS + KINDS + i]),
					  insn(0, 0, 0, 0), insn(0xb7, 0, 0, 0), insn(0x95, 0, 0, 0)};

		load(w, code, 6, "GPL");
	}
	for (u32 i = 0; i < ARRAY_SIZE(kernel_maps); i++) {
		struct raw_insn code[] = {insn(0x18, 1, 1, kernel_maps[i]), insn(0, 0, 0, 0), insn(0xb7, 0, 0, 0), insn(0x95, 0, 0, 0)};

		if (kernel_maps[i] > 0)
			refused += load(w, code, 4, "GPL") < 0;
	}
}

TEST(maps_by_program_type)
{
	if (!engine)
		SKIP(KERNEL_MISSING);
	CHECK(visit_all(use_maps) > 40);
	CHECK(refused > 100);
}

/* ---- maps of programs belong to programs of one type ---- */

enum { MOST_PLACES = 128 };

static struct where places[MOST_PLACES];
static u32 n_places;

static void note_place(const struct where *w)
{
	struct raw_insn code[] = {insn(0xb7, 0, 0, 0), insn(0x95, 0, 0, 0)};

	if (n_places < MOST_PLACES && load(w, code, 2, "GPL") >= 0)
		places[n_places++] = *w;
}

static int one_prog(int cmd(int, union bpf_attr *, u32), const struct where *w, int map)
{
	struct raw_insn with[] = {insn(0x18, 1, 1, map), insn(0, 0, 0, 0), insn(0xb7, 0, 0, 0), insn(0x95, 0, 0, 0)};
	union bpf_attr a = {.prog_type = w->type->id, .insns = (u64)(uintptr_t)(map < 0 ? with + 2 : with), .insn_cnt = map < 0 ? 2 : 4,
			    .license = (u64)(uintptr_t)"GPL", .expected_attach_type = w->attach, .attach_btf_id = w->btf_id,
			    .prog_flags = w->sleepable ? BPF_F_SLEEPABLE : 0};

	return cmd(BPF_PROG_LOAD, &a, sizeof(a));
}

/* A program of the first place uses a new map, one of the second goes into it: what each gave, as two bits. */
static u32 share(int cmd(int, union bpf_attr *, u32), u32 kind, const struct where *first, const struct where *second)
{
	union bpf_attr a = {.map_type = kind, .key_size = 4, .value_size = 4, .max_entries = 1};
	int map = cmd(BPF_MAP_CREATE, &a, sizeof(a)), one = one_prog(cmd, first, map), two = one_prog(cmd, second, map), element = -1;
	u32 key = 0, value, gave = (two >= 0 ? 1u : 0) | (one >= 0 ? 4u : 0);

	if (kind == BPF_MAP_TYPE_PROG_ARRAY) {
		element = one_prog(cmd, second, -1);
		value = (u32)element;
		memset(&a, 0, sizeof(a));
		a.map_fd = (u32)map;
		a.key = (u64)(uintptr_t)&key;
		a.value = (u64)(uintptr_t)&value;
		gave |= cmd(BPF_MAP_UPDATE_ELEM, &a, sizeof(a)) ? 0 : 2u;
	}
	close(map);
	if (one >= 0)
		close(one);
	if (two >= 0)
		close(two);
	if (element >= 0)
		close(element);
	return gave;
}

TEST(maps_of_programs_belong_to_one_type)
{
	static const u32 kinds[] = {BPF_MAP_TYPE_PROG_ARRAY, BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH, BPF_MAP_TYPE_CPUMAP};
	u32 different = 0, apart = 0;

	if (!engine)
		SKIP(KERNEL_MISSING);
	visit_all(note_place);
	for (u32 i = 0; i < n_places; i++)
		for (u32 j = 0; j < n_places; j++)
			for (u32 k = 0; k < (i % 5 == j % 5 ? ARRAY_SIZE(kinds) : 1); k++) {
				u32 kernel = share(kernel_cmd, kinds[k], &places[i], &places[j]);
				u32 ours = share(our_cmd, kinds[k], &places[i], &places[j]);

				apart += kernel != 7 && kinds[k] == BPF_MAP_TYPE_PROG_ARRAY;
				if (kernel != ours && different++ < 10)
					test_fail(__FILE__, __LINE__, "%s of %s/%u%s, then %s/%u%s: kernel %u, engine %u", map_rules(kinds[k])->name,
						  places[i].type->name, places[i].attach, places[i].sleepable ? " sleepable" : "", places[j].type->name,
						  places[j].attach, places[j].sleepable ? " sleepable" : "", kernel, ours);
			}
	CHECK_EQ(different, 0);
	CHECK(apart > 500);
}

TEST(the_engine_judged_as_the_kernel)
{
	if (!engine)
		SKIP(KERNEL_MISSING);
	CHECK_EQ(close_engine(), 0);
	CHECK(loads_compared > 1500);
}

int main(void)
{
	(void)!btf_open_file(&vmlinux, &mem_libc, "/sys/kernel/btf/vmlinux", NULL);
	open_engine();
	our_map = ours_of;
	if (engine) {
		open_fields();
		open_kinds();
	}
	RUN(maps_are_made_in_both);
	RUN(maps_by_program_type);
	RUN(maps_of_programs_belong_to_one_type);
	RUN(the_engine_judged_as_the_kernel);
	if (vmlinux.n_types)
		btf_free(&vmlinux);
	return test_end();
}
