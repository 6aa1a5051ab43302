/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two sides. libbpf's calls arrive at one place, which hands them to the engine or to the kernel, whichever is meant at the moment.
 */
#include "sides.h"
#include "client/skep-bpf.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

long __real_syscall(long number, ...);

static struct skep *engine;
static bool to_kernel, kernel_answers;

static int call(void *ud, struct skep *k, int cmd, union bpf_attr *attr, unsigned int size)
{
	long ret;

	(void)ud;
	if (!to_kernel)
		return skep_bpf(k, cmd, attr, size);
	ret = __real_syscall(SYS_bpf, cmd, attr, size);
	return ret < 0 ? -errno : (int)ret;
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level, (void)fmt, (void)ap;
	return 0;
}

bool sides_begin(bool poll)
{
	struct skep_options o = {.size = sizeof(o), .max_insns = poll ? 1ull << 50 : 0};
	int fd;

	if (!getenv("VERBOSE"))
		libbpf_set_print(quiet);
	if (skep_open(&engine, &o))
		return false;
	skep_bpf_use(engine);
	skep_bpf_hook(call, NULL);
	skep_bpf_sections();
	to_kernel = true;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "probe", 4, 4, 1, NULL);
	kernel_answers = fd >= 0;
	if (fd >= 0)
		close(fd);
	return true;
}

void sides_end(void)
{
	skep_bpf_use(NULL);
	skep_close(engine);
}

bool sides_kernel(void)
{
	return kernel_answers;
}

u64 sides_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* ---- maps: the same elements on both sides ---- */

static bool has_elements(const struct bpf_map *m)
{
	switch (bpf_map__type(m)) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH: return !bpf_map__initial_value((struct bpf_map *)(uintptr_t)m, &(size_t){0});
	default: return false;
	}
}

static void fill(struct bpf_map *m)
{
	u32 key_size = bpf_map__key_size(m), value_size = bpf_map__value_size(m), most = bpf_map__type(m) == BPF_MAP_TYPE_ARRAY ? 1024 : 512;
	u32 stride = (value_size + 7) & ~7u, n = stride * (u32)libbpf_num_possible_cpus();
	u8 *value = calloc(1, n + 8), *key = calloc(1, key_size + 40);

	for (u32 i = 0; value && key && i < bpf_map__max_entries(m) && i < most; i++) {
		memcpy(key, (u64[]){i, 1, 2, 3, 4}, 40);
		for (u32 at = 0; at < n; at += stride)
			memcpy(value + at, &(u64){i * 7}, value_size < 8 ? value_size : 8);
		bpf_map_update_elem(bpf_map__fd(m), key, value, BPF_ANY);
	}
	free(value);
	free(key);
}

/* Where `d` is in the object's zeroed data. */
static u32 find_data(const struct bpf_object *obj)
{
	const struct btf *btf = bpf_object__btf(obj);
	int id = btf ? btf__find_by_name_kind(btf, ".bss", BTF_KIND_DATASEC) : -1;
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (u32)id) : NULL;
	const struct btf_var_secinfo *v = t ? btf_var_secinfos(t) : NULL;

	for (u32 i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, btf__type_by_id(btf, v[i].type)->name_off), "d") && v[i].size == sizeof(struct data))
			return v[i].offset;
	return UINT32_MAX;
}

/* With the programs of that set: bit i is the i-th. */
static struct bpf_object *load(const char *path, u64 set)
{
	struct bpf_object *obj = bpf_object__open(path);
	struct bpf_program *p;
	u32 i = 0;

	if (!obj)
		return NULL;
	bpf_object__for_each_program(p, obj)
		bpf_program__set_autoload(p, i < MOST_PROGRAMS && set >> i & 1), i++;
	if (!bpf_object__load(obj))
		return obj;
	bpf_object__close(obj);
	return NULL;
}

/* The programs that are accepted, each by itself. */
static u64 accepted(const char *path)
{
	struct bpf_object *all = bpf_object__open(path), *one;
	struct bpf_program *p;
	u64 set = 0;
	u32 i = 0;

	if (!all)
		return 0;
	bpf_object__for_each_program(p, all)
	{
		one = i < MOST_PROGRAMS ? load(path, 1ull << i) : NULL;
		if (one) {
			set |= 1ull << i;
			bpf_object__close(one);
		} else
			fprintf(stderr, "bench: %s is refused by %s\n", bpf_program__name(p), to_kernel ? "the kernel" : "skep");
		i++;
	}
	bpf_object__close(all);
	return set;
}

/* How long they took to compile: the least of some loads. */
static void time_compilers(struct side *s, const char *path)
{
	enum { TRIES = 4 };
	struct skep_code code = {.size = sizeof(code)};

	for (u32 try = 0; try < TRIES; try++) {
		struct bpf_object *again = try ? load(path, s->loaded) : s->obj;
		struct bpf_program *p;
		u32 i = 0;

		if (!again)
			return;
		bpf_object__for_each_program(p, again)
		{
			if (i < MOST_PROGRAMS && bpf_program__fd(p) >= 0 && !skep_prog_code(engine, bpf_program__fd(p), &code))
				s->compile_us[i] = try && s->compile_us[i] < code.compile_us ? s->compile_us[i] : code.compile_us;
			i++;
		}
		if (try)
			bpf_object__close(again);
	}
}

bool side_open(struct side *s, const char *path)
{
	struct bpf_map *m;

	if (!s->ours && !kernel_answers)
		return false;
	to_kernel = !s->ours;
	s->loaded = UINT64_MAX;
	s->obj = load(path, s->loaded);
	if (!s->obj) {
		s->loaded = accepted(path);
		s->obj = load(path, s->loaded);
	}
	if (!s->obj)
		return false;
	if (s->ours)
		time_compilers(s, path);
	bpf_object__for_each_map(m, s->obj)
	{
		if (bpf_map__type(m) == BPF_MAP_TYPE_RINGBUF && s->n_rings < MOST_RINGS)
			s->ring[s->n_rings++] = (struct ring){.fd = bpf_map__fd(m)};
		if (strstr(bpf_map__name(m), ".bss"))
			s->bss = m;
		if (has_elements(m))
			fill(m);
	}
	s->data_at = s->bss ? find_data(s->obj) : UINT32_MAX;
	return true;
}

void side_close(struct side *s)
{
	to_kernel = !s->ours;
	for (u32 i = 0; i < s->n_rings; i++)
		if (s->ring[i].consumer) {
			munmap(s->ring[i].consumer, 4096);
			munmap(s->ring[i].producer, 4096);
		}
	if (s->obj)
		bpf_object__close(s->obj);
}

void side_reset(struct side *s, const struct data *image)
{
	size_t size = s->bss ? bpf_map__value_size(s->bss) : 0;
	u8 *value = calloc(1, size + 1);

	to_kernel = !s->ours;
	if (s->bss && value) {
		if (s->data_at <= size - sizeof(*image))
			memcpy(value + s->data_at, image, sizeof(*image));
		bpf_map_update_elem(bpf_map__fd(s->bss), &(u32){0}, value, BPF_ANY);
	}
	free(value);
}

bool sides_same_data(struct side *a, struct side *b)
{
	struct side *side[] = {a, b};
	size_t size = a->bss ? bpf_map__value_size(a->bss) : 0;
	u8 *value = calloc(2, size + 1);
	bool same = value;

	for (u32 i = 0; i < 2 && same && size; i++) {
		to_kernel = !side[i]->ours;
		same = !bpf_map_lookup_elem(bpf_map__fd(side[i]->bss), &(u32){0}, value + i * size);
	}
	same = same && !memcmp(value, value + size, size);
	free(value);
	return same;
}

/* ---- runs ---- */

static void empty(struct ring *r)
{
	if (!r->consumer) {
		void *consumer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0), *producer = mmap(NULL, 4096, PROT_READ, MAP_SHARED, r->fd, 4096);

		if (consumer == MAP_FAILED || producer == MAP_FAILED)
			return;
		r->consumer = consumer;
		r->producer = producer;
	}
	__atomic_store_n((u64 *)r->consumer, __atomic_load_n((u64 *)r->producer, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
}

static int prog_fd(struct side *s, const char *prog)
{
	return bpf_program__fd(bpf_object__find_program_by_name(s->obj, prog));
}

bool side_has(struct side *s, const char *prog)
{
	return s->obj && prog_fd(s, prog) >= 0;
}

double side_run(struct side *s, const char *prog, const u8 *packet, u32 repeat, u32 *result, u8 *out)
{
	LIBBPF_OPTS(bpf_test_run_opts, t, .data_in = packet, .data_size_in = PACKET, .data_out = out, .data_size_out = PACKET, .repeat = (int)repeat);

	to_kernel = !s->ours;
	for (u32 i = 0; i < s->n_rings; i++)
		empty(&s->ring[i]);
	if (bpf_prog_test_run_opts(prog_fd(s, prog), &t) && errno != ENOSPC)
		return -1;
	*result = t.retval;
	return t.duration;
}

u32 side_code_size(struct side *s, const char *prog)
{
	struct bpf_prog_info info = {0};
	u32 len = sizeof(info);

	to_kernel = !s->ours;
	return bpf_obj_get_info_by_fd(prog_fd(s, prog), &info, &len) ? 0 : info.jited_prog_len;
}
