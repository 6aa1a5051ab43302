/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BTF from files: a kernel's, one split from it, and spoiled ones. Whatever a file holds, it is refused or every reader ends and stays
 * inside of it; and each allocation may fail. `t-btf-file SEED COUNT` runs more spoiled files.
 */
#include "host.h"
#include "btf/build.h"

#include "btf/btf.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t state = 1;
static uint32_t rounds = 400;

static uint32_t rnd(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % n;
}

/* ---- an allocator that gives up ---- */

struct stingy {
	uint32_t left; /* allocations that succeed */
	size_t live;
};

static void *stingy_fn(void *ud, void *ptr, size_t old_size, size_t new_size)
{
	struct stingy *s = ud;

	if (new_size == 0) {
		s->live -= old_size;
		free(ptr);
		return NULL;
	}
	if (s->left == 0)
		return NULL;
	s->left--;
	s->live += new_size - old_size;
	return realloc(ptr, new_size);
}

/* ---- files ---- */

static int open_bytes(struct btf *b, const struct mem *mem, const void *data, size_t size, const struct btf *base)
{
	char path[64];
	int err;

	file_of(path, data, size);
	if (!*path)
		return -EIO;
	err = btf_open_file(b, mem, path, base);
	unlink(path);
	return err;
}

/* One of everything, with what programs and kernels have: pointers with tags, roots, sections, tracepoints. */
static void everything(struct build *b)
{
	uint32_t chars, var;

	build_open(b);
	build_int(b, "int", 4); /* 1 */
	chars = build_array(b, 1, 1, 4); /* 2 */
	build_type(b, "task_struct", BTF_KIND_STRUCT, 4, 0, 40); /* 3 */
	build_member(b, "a", 1, 0);
	build_member(b, "b", chars, 32);
	build_member(b, "c", 5, 192);
	build_member(b, "d", 6, 256);
	build_type(b, "rcu", BTF_KIND_TYPE_TAG, 0, 0, 3); /* 4 */
	build_type(b, "", BTF_KIND_PTR, 0, 0, 4); /* 5 */
	build_type(b, "u", BTF_KIND_UNION, 2, 1, 8); /* 6 */
	build_member(b, "", 1, 5 << 24);
	build_member(b, "p", 5, 0);
	build_type(b, "e", BTF_KIND_ENUM, 1, 1, 4); /* 7 */
	build_param(b, "E1", 1);
	build_type(b, "fwd", BTF_KIND_FWD, 0, 1, 0); /* 8 */
	build_type(b, "t", BTF_KIND_TYPEDEF, 0, 0, 3); /* 9 */
	build_type(b, "", BTF_KIND_CONST, 0, 0, 9); /* 10 */
	build_type(b, "", BTF_KIND_FUNC_PROTO, 3, 0, 1); /* 11 */
	build_param(b, "data", 5);
	build_param(b, "x__nullable", 5);
	build_param(b, "y__sz", 1);
	build_type(b, "f", BTF_KIND_FUNC, 1, 0, 11); /* 12 */
	var = build_type(b, "v", BTF_KIND_VAR, 0, 0, 10); /* 13 */
	build_word(b, 1);
	build_type(b, ".data..percpu", BTF_KIND_DATASEC, 1, 0, 40); /* 14 */
	build_three(b, var, 0, 40);
	build_type(b, "double", BTF_KIND_FLOAT, 0, 0, 8); /* 15 */
	build_tag(b, "arg:nonnull", 12, 1); /* 16 */
	build_type(b, "kptr", BTF_KIND_TYPE_TAG, 0, 0, 3); /* 17 */
	build_type(b, "", BTF_KIND_PTR, 0, 0, 17); /* 18 */
	build_type(b, "E", BTF_KIND_ENUM64, 1, 0, 8); /* 19 */
	build_three(b, build_string(b, "BIG"), 0, 1);
	build_type(b, "", BTF_KIND_PTR, 0, 0, 11); /* 20 */
	build_type(b, "btf_trace_f", BTF_KIND_TYPEDEF, 0, 0, 20); /* 21 */
	build_type(b, "bpf_spin_lock", BTF_KIND_STRUCT, 0, 0, 4); /* 22 */
	build_type(b, "bpf_list_head", BTF_KIND_STRUCT, 0, 0, 16); /* 23 */
	build_type(b, "bpf_list_node", BTF_KIND_STRUCT, 0, 0, 24); /* 24 */
	build_type(b, "item", BTF_KIND_STRUCT, 2, 0, 32); /* 25 */
	build_member(b, "node", 24, 0);
	build_member(b, "p", 18, 192);
	build_type(b, "value", BTF_KIND_STRUCT, 3, 0, 40); /* 26 */
	build_member(b, "lock", 22, 0);
	build_member(b, "head", 23, 64);
	build_member(b, "p", 18, 192);
	build_tag(b, "contains:item:node", 26, 1); /* 27 */
	build_type(b, "flexible", BTF_KIND_STRUCT, 2, 0, 8); /* 28 */
	build_member(b, "n", 1, 0);
	build_member(b, "more", 29, 64);
	build_array(b, 3, 1, 0); /* 29 */
	build_close(b);
}

static const struct btf *itself(void *ud)
{
	return ud;
}

/* Everything that is asked of types, of all of them. */
static uint64_t ask_everything(struct btf *b)
{
	const struct btf_kernel kernel = {itself, b};
	uint64_t sum = 0;
	struct text log;

	text_open(&log, b->mem);
	for (uint32_t id = 0; id < btf_type_count(b) + 2; id++) {
		const struct btf_type *t = btf_type(b, id);
		struct btf_func_args args;
		struct btf_target target;
		struct btf_record r;
		struct btf_walk w;
		struct btf_ksym ksym;
		struct btf_ctx_arg arg;
		struct btf_struct_ops ops;
		uint32_t n;

		sum += (uint64_t)btf_size(b, id) + btf_value_of(b, id).size + (uint64_t)btf_find(b, btf_name_of(b, t), btf_kind_of(t));
		sum += btf_find_flavors(b, btf_name_of(b, t), btf_kind_of(t), &n) + (btf_tag_value(b, id, 1, "arg:", &n) != NULL);
		sum += (uint64_t)btf_ksym(b, id, &ksym, &log) + (uint64_t)btf_struct_ops_find(b, id, &ops);
		if (btf_is_struct(t) || btf_kind_of(t) == BTF_KIND_DATASEC)
			for (int32_t off = -1; off < 50; off++)
				for (uint32_t size = 1; size <= 8; size *= 2) {
					sum += (uint64_t)btf_struct_access(b, id, off & 1, off, size, &w, &log);
					sum += btf_ids_match(b, id, off, b, 3, false, false, &log);
				}
		if (btf_is_struct(t))
			sum += (uint64_t)btf_member_find(b, id, "p", &n) + btf_scalar_struct(b, t, &log);
		if (t)
			sum += (uint64_t)btf_record_parse(&r, b, id, BTF_VALUE_KINDS, t->size, &kernel);
		for (uint32_t type = 0; type < 34; type += 3)
			sum += (uint64_t)btf_func_args(b, id, type, 24, &kernel, &args, &log);
		for (uint32_t attach = 23; attach < 28; attach++) {
			const struct btf_attach how = {.prog_type = 26, .attach_type = attach, .to_prog = attach == 25, .reliable = true, .target_prog_type = 6,
						       .kernel = b};

			if (btf_attach_target(b, id, &how, &target, &log))
				continue;
			for (int32_t off = 0; off < 40; off += 4)
				sum += btf_ctx_access(&target, NULL, 0, off, 8, &arg, &log);
		}
		log.len = 0;
	}
	text_close(&log);
	return sum;
}

TEST(spoiled_files_are_refused_or_harmless)
{
	static struct build build;
	static uint8_t bytes[sizeof(build.bytes)];
	uint32_t accepted = 0, loaded = 0;
	uint64_t sum = 0;
	struct text log;
	struct btf b;

	text_open(&log, &mem_libc);
	everything(&build);
	REQUIRE(open_bytes(&b, &mem_libc, build.bytes, build.size, NULL) == 0);
	sum += ask_everything(&b);
	btf_free(&b);
	for (uint32_t i = 0; i < rounds; i++) {
		memcpy(bytes, build.bytes, build.size);
		for (uint32_t n = 1 + rnd(3); n; n--)
			if (rnd(3))
				bytes[sizeof(struct btf_header) + rnd(build.n) * 4] = (uint8_t)rnd(34);
			else
				bytes[rnd(build.size)] = (uint8_t)rnd(256);
		log.len = 0;
		if (!btf_parse(&b, &mem_libc, bytes, build.size, 2, &log)) { /* the same through BTF_LOAD */
			const struct btf_kernel kernel = {itself, &b};

			loaded++;
			if (!btf_metas_parse(&b, &kernel))
				sum += ask_everything(&b);
			btf_free(&b);
		}
		if (open_bytes(&b, &mem_libc, bytes, build.size - (rnd(10) ? 0 : rnd(40)), NULL))
			continue;
		accepted++;
		sum += ask_everything(&b);
		btf_free(&b);
	}
	printf("# %u of %u accepted, %u loaded, %llu\n", accepted, rounds, loaded, (unsigned long long)sum);
	text_close(&log);
	CHECK(loaded > rounds / 50);
	CHECK(accepted > rounds / 50);
}

TEST(a_split_file_goes_on_where_its_base_ends)
{
	static struct build build, module;
	struct btf base, b;
	uint32_t n, strings;

	everything(&build);
	REQUIRE(open_bytes(&base, &mem_libc, build.bytes, build.size, NULL) == 0);
	n = btf_type_count(&base);
	strings = base.strings_size;
	build_open(&module);
	build_type(&module, "mod_struct", BTF_KIND_STRUCT, 1, 0, 40);
	module.at[0] += strings;
	build_three(&module, strings + build_string(&module, "t"), 3, 0);
	build_type(&module, "", BTF_KIND_PTR, 0, 0, n);
	build_close(&module);
	REQUIRE(open_bytes(&b, &mem_libc, module.bytes, module.size, &base) == 0);
	CHECK_EQ(btf_type_count(&b), n + 2);
	CHECK_STR(btf_name_of(&b, btf_type(&b, n)), "mod_struct");
	CHECK_STR(btf_name_of(&b, btf_type(&b, 3)), "task_struct");
	CHECK_EQ(btf_find(&b, "mod_struct", BTF_KIND_STRUCT), n);
	CHECK_EQ(btf_find(&b, "task_struct", BTF_KIND_STRUCT), 3);
	CHECK_EQ(btf_find(&base, "mod_struct", BTF_KIND_STRUCT), -ENOENT);
	CHECK(btf_types_same(&b, 3, &base, 3));
	CHECK(btf_ids_match(&b, n, 0, &base, 3, false, false, NULL));
	CHECK(!btf_ids_match(&b, n, 0, &base, 3, true, false, NULL));
	CHECK_EQ(btf_size(&b, n + 1), 8);
	ask_everything(&b);
	btf_free(&b);
	module.at[2 + 3] = n + 7; /* no such member type */
	build_close(&module);
	memcpy(module.bytes + sizeof(struct btf_header) + 16, &(uint32_t){n + 7}, 4);
	CHECK_EQ(open_bytes(&b, &mem_libc, module.bytes, module.size, &base), -EINVAL);
	btf_free(&base);
}

TEST(without_memory_nothing_is_left)
{
	static struct build build;
	uint32_t failed = 0;

	everything(&build);
	for (uint32_t way = 0; way < 2; way++)
		for (uint32_t allowed = 0; allowed < 40; allowed++) {
			struct stingy s = {allowed, 0};
			struct mem mem = {stingy_fn, &s};
			struct btf b;
			const struct btf_kernel kernel = {itself, NULL};
			int err = way ? open_bytes(&b, &mem, build.bytes, build.size, NULL) : btf_parse(&b, &mem, build.bytes, build.size, 0, NULL);

			if (!err) {
				err = btf_metas_parse(&b, &kernel);
				ask_everything(&b);
				btf_free(&b);
			}
			CHECK(err == 0 || err == -ENOMEM);
			failed += err != 0;
			CHECK_EQ(s.live, 0);
		}
	CHECK(failed > 6);
}

/* Where the running kernel gives its types as a mapping, they are what a copy of them is, and take no memory of the engine's. */
TEST(the_running_kernels_types_are_not_copied)
{
	static const char file[] = "/sys/kernel/btf/vmlinux";
	struct stingy s = {.left = UINT32_MAX};
	struct mem mem = {stingy_fn, &s};
	struct btf b, copy;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t n = 0;
	uint8_t *bytes;

	if (fd < 0)
		return;
	CHECK_EQ(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size);
	for (ssize_t got = 1; got > 0 && n < (size_t)st.st_size; n += (size_t)got)
		got = read(fd, bytes + n, (size_t)st.st_size - n);
	CHECK_EQ(n, (size_t)st.st_size);
	CHECK_EQ(btf_open_file(&b, &mem, file, NULL), 0);
	CHECK_EQ(open_bytes(&copy, &mem_libc, bytes, n, NULL), 0);
	CHECK(b.size == copy.size && b.n_types == copy.n_types && !memcmp(b.data, bytes, n) && !copy.mapped);
	if (mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED)
		CHECK(b.mapped && s.live < n);
	btf_free(&b);
	btf_free(&copy);
	CHECK_EQ(s.live, (size_t)0);
	free(bytes);
	close(fd);
}

TEST(names_are_found_with_and_without_flavors)
{
	static struct build build;
	struct btf b;
	uint32_t id = 0;

	CHECK_EQ(btf_flavorless("task_struct"), 11);
	CHECK_EQ(btf_flavorless("task_struct___old"), 11);
	CHECK_EQ(btf_flavorless("a___b___c"), 5);
	CHECK_EQ(btf_flavorless("___x"), 4);
	CHECK_EQ(btf_flavorless("a____b"), 6);
	CHECK_EQ(btf_flavorless("a___"), 4);
	build_open(&build);
	build_type(&build, "x", BTF_KIND_STRUCT, 0, 0, 1);
	build_type(&build, "x___two", BTF_KIND_STRUCT, 0, 0, 2);
	build_type(&build, "x", BTF_KIND_UNION, 0, 0, 3);
	build_type(&build, "x", BTF_KIND_STRUCT, 0, 0, 4);
	build_close(&build);
	REQUIRE(open_bytes(&b, &mem_libc, build.bytes, build.size, NULL) == 0);
	for (uint32_t i = 0; i < 8; i++) { /* before and after there is an index */
		CHECK_EQ(btf_find(&b, "x", BTF_KIND_STRUCT), 1);
		CHECK_EQ(btf_find(&b, "x___two", BTF_KIND_STRUCT), 2);
		CHECK_EQ(btf_find(&b, "x", BTF_KIND_UNION), 3);
		CHECK_EQ(btf_find(&b, "x", BTF_KIND_ENUM), -ENOENT);
		CHECK_EQ(btf_find(&b, "y", BTF_KIND_STRUCT), -ENOENT);
	}
	CHECK_EQ(btf_find_flavors(&b, "x___mine", BTF_KIND_STRUCT, &id), 3);
	CHECK_EQ(btf_find_flavors(&b, "x", BTF_KIND_UNION, &id), 1);
	CHECK_EQ(id, 3);
	btf_free(&b);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		state = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		rounds = (uint32_t)strtoul(argv[2], NULL, 0);
	RUN(spoiled_files_are_refused_or_harmless);
	RUN(a_split_file_goes_on_where_its_base_ends);
	RUN(without_memory_nothing_is_left);
	RUN(the_running_kernels_types_are_not_copied);
	RUN(names_are_found_with_and_without_flavors);
	return test_end();
}
