/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs on three engines: the running kernel's JIT (BPF_PROG_TEST_RUN), the native compiler (clang -O2) and skep's compiler.
 * All start from the same memory; results and memory are compared before anything is timed. Rounds are interleaved, medians compared.
 *
 *     bench-exec [--json] [--poll] [--rounds N] [PROGRAM...]
 *
 * --poll: our code looks at budget and stop, as it does for an embedder who wants them.
 */
#include "helper/helper.h"
#include "jit/jit.h"
#include "data.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MOST_MAPS = 16, MOST_ROUNDS = 99, PACKET = 1100 };

struct native_ctx {
	u8 *data, *data_end;
};
typedef u32 native_fn(struct native_ctx *);

struct loaded_map {
	int fd;
	struct bpf_map *theirs;
	struct map ours;
};

struct bench {
	const char *class;
	struct bpf_object *obj;
	void *native;
	struct loaded_map map[MOST_MAPS];
	u32 n_maps;
	struct loaded_map *data, *ring;
	u8 *native_data;
};

struct result {
	const char *name, *class;
	double kernel, skep, native; /* ns */
	double low; /* of skep / kernel, 95% */
	u64 compile_ns;
	u32 code, kernel_code;
	bool wrong;
};

static struct window window;
static struct domain *domain;
static struct run_host host;
static struct result results[128];
static u32 n_results, rounds = 15;
static bool json, poll;
static u8 packet[PACKET], image[65536];
static u32 image_size;

static u64 now(void)
{
	return os_clock_ns(CLOCK_MONOTONIC);
}

static u64 host_clock(void *ud, int id)
{
	(void)ud;
	return os_clock_ns(id);
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level, (void)fmt, (void)ap;
	return 0;
}

/* ---- maps of our own like the kernel's ---- */

static void fill_map(struct loaded_map *m)
{
	struct hold h;
	u32 kind = m->ours.spec.kind;

	if (kind == BPF_MAP_TYPE_RINGBUF || bpf_map__initial_value(m->theirs, &(size_t){0}))
		return;
	hold_take(domain, &h);
	for (u32 i = 0; i < MIN(m->ours.spec.max_entries, 512u) || (i < 1024 && kind == BPF_MAP_TYPE_ARRAY); i++) {
		u64 key[5] = {i, 1, 2, 3, 4}, value[64] = {i * 7};

		bpf_map_update_elem(m->fd, key, value, BPF_ANY);
		m->ours.ops->update(&m->ours, &h, key, value, BPF_ANY);
	}
	hold_drop(&h);
}

static bool open_maps(struct bench *b)
{
	struct bpf_map *theirs;

	bpf_object__for_each_map(theirs, b->obj)
	{
		struct loaded_map *m = &b->map[b->n_maps++];
		struct map_spec spec = {.kind = bpf_map__type(theirs), .key_size = bpf_map__key_size(theirs), .value_size = bpf_map__value_size(theirs),
					.max_entries = bpf_map__max_entries(theirs), .flags = bpf_map__map_flags(theirs)};
		size_t size;
		const void *initial;

		m->fd = bpf_map__fd(theirs);
		m->theirs = theirs;
		m->ours = (struct map){.mem = &mem_libc, .window = &window, .domain = domain};
		if (map_create(&m->ours, &spec)) {
			fprintf(stderr, "bench: map %s cannot be created\n", bpf_map__name(theirs));
			return false;
		}
		initial = bpf_map__initial_value(theirs, &size);
		if (initial)
			memcpy(m->ours.values, initial, size);
		if (initial && strstr(bpf_map__name(theirs), ".bss"))
			b->data = m;
		if (spec.kind == BPF_MAP_TYPE_RINGBUF)
			b->ring = m;
		fill_map(m);
	}
	return b->data != NULL;
}

/* ---- our program: the instructions that libbpf relocated, with our maps in place of descriptors ---- */

static struct map *map_of_fd(struct bench *b, s64 fd)
{
	for (u32 i = 0; i < b->n_maps; i++)
		if (b->map[i].fd == fd)
			return &b->map[i].ours;
	return NULL;
}

static bool resolve(struct bench *b, struct prog *p, u64 *operand)
{
	for (u32 i = 0; i < p->n; i++) {
		const struct insn *in = &p->insns[i];
		struct map *m;

		if (in->op == OP_CALL && in->pseudo == CALL_HELPER) {
			operand[i] = (u64)(uintptr_t)helper_proto_for((u32)in->imm, p->kind->avail);
			if (!operand[i])
				return false;
		}
		if (in->op != OP_LD_IMM64)
			continue;
		switch (in->pseudo) {
		case PSEUDO_CONST: operand[i] = (u64)in->imm; break;
		case PSEUDO_FUNC: operand[i] = func_value((u32)((s64)i + 1 + (s32)(u32)(u64)in->imm)); break;
		default:
			m = map_of_fd(b, (s32)(u32)(u64)in->imm);
			if (!m)
				return false;
			operand[i] = in->pseudo == PSEUDO_MAP_FD ? map_handle(m) : (u64)(uintptr_t)m->values + ((u64)in->imm >> 32);
		}
	}
	return true;
}

static bool load_ours(struct bench *b, struct bpf_program *theirs, struct prog *p)
{
	struct jit_options o = {.host = &host, .window = &window, .poll = poll};
	struct insn_error err;
	struct insn *insns;
	u64 *operand;
	const char *why = "";
	u64 best = UINT64_MAX;

	*p = (struct prog){.mem = &mem_libc, .kind = progtype(BPF_PROG_TYPE_XDP), .n = (u32)bpf_program__insn_cnt(theirs)};
	arena_open(&p->arena, &mem_libc);
	insns = arena_array(&p->arena, p->n, sizeof(*insns));
	operand = arena_array(&p->arena, p->n, sizeof(*operand));
	p->raw = (const struct raw_insn *)bpf_program__insns(theirs);
	p->insns = insns;
	p->operand = operand;
	p->maps = arena_array(&p->arena, MOST_MAPS, sizeof(*p->maps));
	for (u32 i = 0; i < b->n_maps; i++)
		p->maps[p->n_maps++] = &b->map[i].ours;
	if (insns_decode(p->raw, p->n, insns, &err) || subprogs_find(p, &err) || !resolve(b, p, operand)) {
		fprintf(stderr, "bench: %s cannot be read\n", bpf_program__name(theirs));
		return false;
	}
	for (u32 i = 0; i < 5; i++) {
		struct jit_stats stats;

		jit_free(p);
		if (jit_compile(p, &o, &stats, &why)) {
			fprintf(stderr, "bench: %s is not compiled: %s\n", bpf_program__name(theirs), why);
			return false;
		}
		best = MIN(best, stats.ns);
	}
	((struct prog_code *)(uintptr_t)p->code)->compile_ns = best;
	if (getenv("CODE")) {
		FILE *f = fopen(getenv("CODE"), "w");

		if (f) {
			fwrite(p->code->region.base, 1, p->code->size, f);
			fclose(f);
		}
	}
	if (getenv("IR")) {
		struct text t;

		text_open(&t, &mem_libc);
		o.dump = &t;
		jit_free(p);
		jit_compile(p, &o, NULL, &why);
		fputs(text_str(&t), stderr);
		text_close(&t);
	}
	return true;
}

/* ---- one run, many runs ---- */

static void reset(struct bench *b)
{
	static u8 value[65536];
	u32 size = MIN(b->data->ours.spec.value_size, image_size), zero = 0;

	memcpy(value, image, size);
	bpf_map_update_elem(b->data->fd, &zero, value, BPF_ANY);
	memcpy(b->data->ours.values, image, size);
	if (b->native_data)
		memcpy(b->native_data, image, size);
}

static void drain(struct bench *b)
{
	static u8 *kernel_ring;

	if (!b->ring)
		return;
	if (!kernel_ring) {
		u8 *consumer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, b->ring->fd, 0);
		u8 *producer = mmap(NULL, 4096, PROT_READ, MAP_SHARED, b->ring->fd, 4096);

		if (consumer == MAP_FAILED || producer == MAP_FAILED)
			return;
		__atomic_store_n((u64 *)consumer, __atomic_load_n((u64 *)producer, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
		munmap(consumer, 4096);
		munmap(producer, 4096);
	}
	__atomic_store_n((u64 *)b->ring->ours.client.base, __atomic_load_n((u64 *)(b->ring->ours.client.base + 4096), __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
}

static double run_kernel(struct bench *b, int fd, u32 repeat, u32 *result, u8 *out)
{
	LIBBPF_OPTS(bpf_test_run_opts, t, .data_in = packet, .data_size_in = PACKET, .data_out = out, .data_size_out = PACKET, .repeat = (int)repeat);

	drain(b);
	if (bpf_prog_test_run_opts(fd, &t))
		return -1;
	*result = t.retval;
	return t.duration;
}

static double run_skep(struct bench *b, struct prog *p, u32 repeat, u32 *result, u8 *out)
{
	static u8 buffer[PACKET + 1024];
	struct packet pk = {.head = buffer, .meta = buffer + 256, .data = buffer + 256, .tail = buffer + 256 + PACKET, .end = buffer + sizeof(buffer)};
	struct xdp_md md = {.ingress_ifindex = 1};
	struct run r = {.prog = p, .host = &host, .ctx = {.type = p->kind->ctx, .bytes = (u8 *)&md, .size = sizeof(md), .packet = &pk}};
	struct hold h;
	u64 start, end, value = 0;

	drain(b);
	memcpy(pk.data, packet, PACKET);
	hold_take(domain, &h);
	r.hold = &h;
	start = now();
	for (u32 i = 0; i < repeat; i++)
		vm_run(&r, &value);
	end = now();
	hold_drop(&h);
	*result = (u32)value;
	memcpy(out, pk.data, PACKET);
	return (double)(end - start) / repeat;
}

static double run_native(native_fn *fn, u32 repeat, u32 *result, u8 *out)
{
	static u8 buffer[PACKET];
	struct native_ctx c = {buffer, buffer + PACKET};
	u64 start, end;
	u32 value = 0;

	memcpy(buffer, packet, PACKET);
	start = now();
	for (u32 i = 0; i < repeat; i++)
		value = fn(&c);
	end = now();
	*result = value;
	memcpy(out, buffer, PACKET);
	return (double)(end - start) / repeat;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *x, u32 n)
{
	qsort(x, n, sizeof(*x), by_value);
	return x[n / 2];
}

static u32 kernel_code_size(int fd)
{
	struct bpf_prog_info info = {0};
	u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.jited_prog_len;
}

static bool same_memory(struct bench *b, const u8 *ours, const u8 *theirs)
{
	static u8 value[65536];
	u32 size = MIN(b->data->ours.spec.value_size, image_size), zero = 0;

	return !bpf_map_lookup_elem(b->data->fd, &zero, value) && !memcmp(value, b->data->ours.values, size) && !memcmp(ours, theirs, PACKET);
}

static void measure(struct bench *b, struct bpf_program *theirs, struct prog *p, struct result *r)
{
	static double k[MOST_ROUNDS], s[MOST_ROUNDS], n[MOST_ROUNDS], ratio[MOST_ROUNDS];
	int fd = bpf_program__fd(theirs);
	native_fn *fn = b->native ? (native_fn *)(uintptr_t)dlsym(b->native, r->name) : NULL;
	u8 out_k[PACKET], out_s[PACKET], out_n[PACKET];
	u32 x = 0, y, z = 0, repeat, parts = 1;
	double one;

	reset(b);
	run_kernel(b, fd, 1, &x, out_k);
	run_skep(b, p, 1, &y, out_s);
	if (fn)
		run_native(fn, 1, &z, out_n);
	r->wrong = x != y || (fn && z != x) || !same_memory(b, out_s, out_k) || (fn && memcmp(out_n, out_k, PACKET));
	if (r->wrong)
		fprintf(stderr, "bench: %s: kernel %u, skep %u, native %u\n", r->name, x, y, z);
	one = run_kernel(b, fd, 100, &x, out_k);
	repeat = (u32)MIN(MAX(500000 / (one + 1), 20), 100000);
	if (b->ring && strstr(r->name, "ring")) { /* no more than the ring holds; it is drained in between */
		parts = repeat / 100 + 1;
		repeat = 100;
	}
	for (u32 i = 0; i < rounds; i++) {
		k[i] = s[i] = 0;
		for (u32 part = 0; part < parts; part++) {
			k[i] += run_kernel(b, fd, repeat, &x, out_k) / parts;
			s[i] += run_skep(b, p, repeat, &y, out_s) / parts;
		}
		n[i] = fn ? run_native(fn, repeat, &z, out_n) : 0;
		ratio[i] = s[i] / (k[i] > 0 ? k[i] : 1);
	}
	r->kernel = median(k, rounds);
	r->skep = median(s, rounds);
	r->native = median(n, rounds);
	qsort(ratio, rounds, sizeof(double), by_value);
	r->low = ratio[rounds / 2 - MIN(rounds / 2, (u32)(0.98 * sqrt(rounds)))]; /* of the median: order statistics */
	r->compile_ns = p->code->compile_ns;
	r->code = p->code->size;
	r->kernel_code = kernel_code_size(fd);
}

static bool wanted(const char *name, char **names, int n)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return true;
	return n == 0;
}

static void run_class(const char *class, char **names, int n_names)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct bpf_program *p;
	char path[512];
	bool any = false;

	snprintf(path, sizeof(path), "%s/%s.o", OBJECTS, class);
	b->class = class;
	b->obj = bpf_object__open(path);
	if (!b->obj)
		return;
	bpf_object__for_each_program(p, b->obj) {
		bool want = wanted(bpf_program__name(p), names, n_names);

		bpf_program__set_autoload(p, want);
		any |= want;
	}
	if (!any)
		return;
	if (bpf_object__load(b->obj) || !open_maps(b)) {
		fprintf(stderr, "bench: %s cannot be loaded into the kernel\n", path);
		return;
	}
	snprintf(path, sizeof(path), "%s/%s.so", OBJECTS, class);
	b->native = dlopen(path, RTLD_NOW);
	b->native_data = b->native ? dlsym(b->native, "d") : NULL;
	bpf_object__for_each_program(p, b->obj) {
		struct result *r = &results[n_results];
		struct prog ours;

		if (!wanted(bpf_program__name(p), names, n_names))
			continue;
		r->name = bpf_program__name(p);
		r->class = class;
		if (!load_ours(b, p, &ours))
			continue;
		n_results++;
		measure(b, p, &ours, r);
		if (json)
			printf("{\"name\": \"%s\", \"class\": \"%s\", \"kernel_ns\": %.1f, \"skep_ns\": %.1f, \"native_ns\": %.1f, \"compile_us\": %.1f, "
			       "\"bytes\": %u, \"kernel_bytes\": %u}\n", r->name, class, r->kernel, r->skep, r->native, (double)r->compile_ns / 1000, r->code,
			       r->kernel_code);
		else
			printf("%-8s %-20s %8.0f %8.0f %8.0f   %5.2f %5.2f   %5.2f  %7.0f %6u %5.2f%s\n", class, r->name, r->kernel, r->skep, r->native,
			       r->skep / r->kernel, r->native / r->kernel, r->low, (double)r->compile_ns / 1000, r->code,
			       (double)r->code / MAX(r->kernel_code, 1u), r->wrong ? "  WRONG" : "");
		fflush(stdout);
		jit_free(&ours);
		arena_close(&ours.arena);
	}
}

static double geomean(const char *class, bool native, double least, u32 *n)
{
	double sum = 0;

	*n = 0;
	for (u32 i = 0; i < n_results; i++) {
		const struct result *r = &results[i];

		if ((class && strcmp(class, r->class)) || r->kernel < least || (native && r->native == 0))
			continue;
		sum += log((native ? r->native : r->skep) / r->kernel);
		++*n;
	}
	return *n ? exp(sum / *n) : 0;
}

static void summary(void)
{
	static const char *const classes[] = {"compute", "packet", "maps", NULL};
	double compile[128];
	u32 n, slower = 0;

	for (u32 i = 0; i < n_results; i++) {
		compile[i] = (double)results[i].compile_ns / 1000;
		slower += results[i].low > 1.05 && results[i].kernel >= 50;
	}
	printf("geometric means of time relative to the kernel's JIT, programs of at least 50 ns:\n");
	for (u32 i = 0; i < ARRAY_SIZE(classes); i++) {
		double skep = geomean(classes[i], false, 50, &n), native;

		printf("  %-8s skep %.2f (%u programs)", classes[i] ? classes[i] : "all", skep, n);
		native = geomean(classes[i], true, 50, &n);
		printf(n ? ", native clang -O2 %.2f\n" : "\n", native);
	}
	for (u32 i = 0; i < n_results; i++)
		if (!strcmp(results[i].name, "jiffies"))
			printf("jiffies: Linux loads a variable of its own; a process has to ask the coarse clock (vDSO), which the same tick advances\n");
	printf("surely slower than the kernel: %u; compile time: median %.0f us\n", slower, median(compile, n_results));
}

static void prepare_data(void)
{
	u64 x = 88172645463325252ull;

	image_size = sizeof(image);
	for (u32 i = 0; i < sizeof(image); i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		image[i] = (u8)x;
	}
#define AT(member) (image + offsetof(struct data, member))
	image_size = sizeof(struct data);
	for (u32 i = 0; i < 1024; i++) {
		u32 v = i * 4194304u;

		AT(text)[i] = (u8)"the quick 42 brown_fox, jumps over 1.5 lazy dogs; "[i % 50];
		AT(other)[i] = i % 120 == 119 - i / 120 ? '#' : AT(text)[i];
		memcpy(AT(sorted) + 4 * i, &v, 4);
	}
	memcpy(AT(divisor), &(u32){12345}, 4);
	for (u32 i = 0; i < PACKET; i++)
		packet[i] = (u8)(i * 7);
	memcpy(packet + 12, (u8[]){8, 0, 0x45, 0, 1, 0, 0, 1, 0, 0, 64, 17}, 12);
}

static void print_mitigations(void)
{
	char line[256];
	FILE *f = fopen("/sys/devices/system/cpu/vulnerabilities/spectre_v2", "r");

	if (f && fgets(line, sizeof(line), f))
		printf("spectre_v2: %s", line);
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	int first = 1;

	for (; first < argc && argv[first][0] == '-'; first++) {
		json |= !strcmp(argv[first], "--json");
		poll |= !strcmp(argv[first], "--poll");
		if (!strcmp(argv[first], "--rounds") && first + 1 < argc) {
			int n = atoi(argv[++first]);

			rounds = (u32)MIN(MAX(n, 1), MOST_ROUNDS);
		}
	}
	libbpf_set_print(getenv("VERBOSE") ? NULL : quiet);
	if (window_open(&window, (size_t)8 << 30) || !(domain = domain_open(&mem_libc, &window)))
		return 1;
	host = (struct run_host){.window = &window, .clock = host_clock, .vdso_clock = os_vdso_clock()};
	host.bodies = helper_bodies(&host.n_bodies);
	prepare_data();
	if (!json) {
		printf("Programs on the running kernel's JIT, skep's compiler, and native (clang -O2). ns; ratios to the kernel; us, bytes.\n");
		print_mitigations();
		printf("%-8s %-20s %8s %8s %8s   %5s %5s   %5s  %7s %6s %5s\n", "", "", "kernel", "skep", "native", "skep", "nat.", "low", "compile",
		       "bytes", "size");
	}
	run_class("compute", argv + first, argc - first);
	run_class("packet", argv + first, argc - first);
	run_class("maps", argv + first, argc - first);
	if (!n_results) {
		fprintf(stderr, "bench-exec: nothing measured%s\n", first < argc ? ": no program has a name that was given" : "");
		return 1;
	}
	if (!json)
		summary();
	return 0;
}
