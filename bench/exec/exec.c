/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs on three engines: the running kernel's JIT, skep's compiler (both through libbpf and BPF_PROG_TEST_RUN), and the native compiler
 * (clang -O2). All start from the same memory; results and memory are compared before anything is timed. Rounds are interleaved, medians
 * compared. Where the kernel's bpf() does not answer, ratios are to native code.
 *
 *     bench-exec [--json] [--poll] [--rounds N] [--dir DIR]... [PROGRAM...]
 *
 * --poll: our code looks at budget and stop, as it does for an embedder who wants them.
 * --dir: the programs in DIR instead of our own. NAME.bpf.c is compiled for BPF, with program.h at hand, and for this machine where it can be:
 * what calls helpers has no native code. NAME.o is taken as it is, with NAME.so beside it for native code, if there is one.
 */
#include "client/skep-bpf.h"
#include "sides.h"

#include <dirent.h>
#include <dlfcn.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_ROUNDS = 99, MOST_RESULTS = 512, LEAST_NS = 50 };

struct native_ctx {
	u8 *data, *data_end;
};
typedef u32 native_fn(struct native_ctx *);

struct result {
	char name[64], class[64];
	double kernel, skep, native; /* ns; 0: not run there */
	double low; /* of skep to the kernel, or without it to native, 95% */
	u32 compile_us, code, kernel_code;
	bool wrong;
};

static struct result results[MOST_RESULTS];
static u32 n_results, rounds = 15;
static bool json;
static u8 packet[PACKET];
static struct data image;
static char made[] = "/tmp/bench-exec-XXXXXX"; /* what was compiled for --dir */

/* ---- the native side ---- */

static double run_native(native_fn *fn, u32 repeat, u32 *result, u8 *out)
{
	static u8 buffer[PACKET];
	struct native_ctx c = {buffer, buffer + PACKET};
	u64 start, end;
	u32 value = 0;

	memcpy(buffer, packet, PACKET);
	start = sides_now();
	for (u32 i = 0; i < repeat; i++)
		value = fn(&c);
	end = sides_now();
	*result = value;
	memcpy(out, buffer, PACKET);
	return (double)(end - start) / repeat;
}

/* ---- one program ---- */

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

/* The runs whose results are compared; how long one takes. -1: a side does not run it. */
static double compare(struct side *k, struct side *s, native_fn *fn, struct data *native_data, struct result *r)
{
	u8 out_k[PACKET], out_s[PACKET], out_n[PACKET];
	u32 x = 0, y = 0, z = 0;
	double one;

	side_reset(s, &image);
	if (side_run(s, r->name, packet, 1, &y, out_s) < 0)
		return -1;
	if (native_data)
		*native_data = image;
	if (fn)
		run_native(fn, 1, &z, out_n);
	if (side_has(k, r->name)) {
		side_reset(k, &image);
		if (side_run(k, r->name, packet, 1, &x, out_k) < 0)
			return -1;
		r->wrong = x != y || memcmp(out_s, out_k, PACKET) || !sides_same_data(k, s);
	}
	r->wrong |= fn && (z != y || memcmp(out_n, out_s, PACKET));
	if (r->wrong)
		fprintf(stderr, "bench: %s: kernel %u, skep %u, native %u\n", r->name, x, y, z);
	one = side_run(s, r->name, packet, 100, &y, out_s);
	return side_has(k, r->name) ? side_run(k, r->name, packet, 100, &x, out_k) : one;
}

static double to(double x, double base)
{
	return base > 0 ? x / base : 0;
}

static bool measure(struct side *k, struct side *s, native_fn *fn, struct data *native_data, struct result *r)
{
	static double kernel[MOST_ROUNDS], skep[MOST_ROUNDS], native[MOST_ROUNDS], ratio[MOST_ROUNDS];
	double one = compare(k, s, fn, native_data, r);
	u32 repeat, parts = 1, x;
	u8 out[PACKET];

	if (one < 0)
		return false;
	repeat = (u32)(500000 / (one + 1));
	repeat = repeat < 20 ? 20 : repeat > 100000 ? 100000 : repeat;
	if (s->n_rings) { /* no more than they hold; they are emptied in between */
		parts = repeat / 100 + 1;
		repeat = 100;
	}
	for (u32 i = 0; i < rounds; i++) {
		kernel[i] = skep[i] = 0;
		for (u32 part = 0; part < parts; part++) {
			if (side_has(k, r->name))
				kernel[i] += side_run(k, r->name, packet, repeat, &x, out) / parts;
			skep[i] += side_run(s, r->name, packet, repeat, &x, out) / parts;
		}
		native[i] = fn ? run_native(fn, repeat, &x, out) : 0;
		ratio[i] = to(skep[i], sides_kernel() ? kernel[i] : native[i]);
	}
	r->kernel = median(kernel, rounds);
	r->skep = median(skep, rounds);
	r->native = median(native, rounds);
	qsort(ratio, rounds, sizeof(double), by_value);
	x = (u32)(0.98 * sqrt(rounds));
	r->low = ratio[rounds / 2 - (x < rounds / 2 ? x : rounds / 2)]; /* of the median: order statistics */
	r->kernel_code = side_has(k, r->name) ? side_code_size(k, r->name) : 0;
	return true;
}

static void print(const struct result *r)
{
	double base = sides_kernel() ? r->kernel : r->native;

	if (json)
		printf("{\"name\": \"%s\", \"class\": \"%s\", \"kernel_ns\": %.1f, \"skep_ns\": %.1f, \"native_ns\": %.1f, \"low\": %.3f, \"compile_us\": %u, "
		       "\"bytes\": %u, \"kernel_bytes\": %u, \"same\": %s}\n", r->name, r->class, r->kernel, r->skep, r->native, r->low, r->compile_us, r->code,
		       r->kernel_code, r->wrong ? "false" : "true");
	else
		printf("%-8.8s %-20s %8.0f %8.0f %8.0f   %5.2f %5.2f   %5.2f  %7u %6u %5.2f%s\n", r->class, r->name, r->kernel, r->skep, r->native,
		       to(r->skep, base), to(r->native, base), r->low, r->compile_us, r->code, to(r->code, r->kernel_code),
		       r->wrong ? "  WRONG" : r->code ? "" : "  interpreted");
	fflush(stdout);
}

/* ---- objects ---- */

static bool wanted(const char *name, char **names, int n)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return true;
	return n == 0;
}

static void run_object(const char *dir, const char *class, char **names, int n_names)
{
	struct side k = {0}, s = {.ours = true};
	struct bpf_program *p;
	char path[512];
	void *native;
	u32 i = 0;

	snprintf(path, sizeof(path), "%s/%s.so", dir, class);
	native = dlopen(path, RTLD_NOW);
	snprintf(path, sizeof(path), "%s/%s.o", dir, class);
	if (!side_open(&s, path)) {
		fprintf(stderr, "bench: %s cannot be loaded: VERBOSE=1 in the environment tells why\n", path);
		return;
	}
	if (!side_open(&k, path) && !json)
		printf("%s: not loaded into the kernel\n", class);
	bpf_object__for_each_program(p, s.obj)
	{
		struct result *r = &results[n_results];
		const char *name = bpf_program__name(p);
		u32 at = i++;

		if (!wanted(name, names, n_names) || !side_has(&s, name) || at >= MOST_PROGRAMS || n_results == MOST_RESULTS)
			continue;
		*r = (struct result){0};
		snprintf(r->name, sizeof(r->name), "%s", name);
		snprintf(r->class, sizeof(r->class), "%s", class);
		r->compile_us = s.compile_us[at];
		r->code = side_code_size(&s, name);
		if (!measure(&k, &s, native ? (native_fn *)dlsym(native, name) : NULL, native ? dlsym(native, "d") : NULL, r))
			continue;
		n_results++;
		print(r);
	}
	side_close(&k);
	side_close(&s);
}

/* ---- programs of others ---- */

static bool compile(const char *const *args)
{
	extern char **environ;
	pid_t pid;
	int status;

	return !posix_spawnp(&pid, args[0], NULL, NULL, (char *const *)(uintptr_t)args, environ) && waitpid(pid, &status, 0) == pid && status == 0;
}

static void compile_source(const char *dir, const char *name)
{
	char source[512], object[512];

	snprintf(source, sizeof(source), "%s/%s.bpf.c", dir, name);
	snprintf(object, sizeof(object), "%s/%s.o", made, name);
	if (!compile((const char *const[]){CLANG, "-target", "bpf", "-mcpu=v3", "-O2", "-g", "-I" ARCH_INCLUDE, "-I" SOURCES, "-c", source, "-o", object, NULL}))
		return;
	snprintf(object, sizeof(object), "%s/%s.so", made, name);
	compile((const char *const[]){"sh", "-c", "exec \"$@\" 2>/dev/null", "sh", CLANG, "-O2", "-DNATIVE", "-shared", "-fPIC", "-I" SOURCES, source, "-o", object, NULL});
}

/* The file's name without that end, if it has it. */
static bool ends(const char *name, const char *end, char *stem, size_t size)
{
	size_t n = strlen(name), m = strlen(end);

	if (n <= m || strcmp(name + n - m, end) || n - m >= size)
		return false;
	memcpy(stem, name, n - m);
	stem[n - m] = 0;
	return true;
}

static void run_dir(const char *dir, char **names, int n_names)
{
	struct dirent **entry;
	int n = scandir(dir, &entry, NULL, alphasort);
	char stem[64];

	if (n < 0)
		fprintf(stderr, "bench-exec: %s: %m\n", dir);
	for (int i = 0; i < n; i++) {
		if (ends(entry[i]->d_name, ".bpf.c", stem, sizeof(stem))) {
			compile_source(dir, stem);
			run_object(made, stem, names, n_names);
		} else if (ends(entry[i]->d_name, ".o", stem, sizeof(stem)))
			run_object(dir, stem, names, n_names);
		free(entry[i]);
	}
	if (n >= 0)
		free(entry);
}

static void remove_made(void)
{
	struct dirent **entry;
	int n = scandir(made, &entry, NULL, NULL);
	char path[512];

	for (int i = 0; i < n; i++) {
		if (snprintf(path, sizeof(path), "%s/%s", made, entry[i]->d_name) < (int)sizeof(path))
			unlink(path);
		free(entry[i]);
	}
	if (n >= 0)
		free(entry);
	rmdir(made);
}

/* ---- all ---- */

static double geomean(const char *class, bool native, u32 *n)
{
	double sum = 0;

	*n = 0;
	for (u32 i = 0; i < n_results; i++) {
		const struct result *r = &results[i];
		double base = sides_kernel() ? r->kernel : r->native;

		if ((class && strcmp(class, r->class)) || base < LEAST_NS || (native && r->native == 0))
			continue;
		sum += log((native ? r->native : r->skep) / base);
		++*n;
	}
	return *n ? exp(sum / *n) : 0;
}

static void print_class(const char *class)
{
	u32 n;
	double skep = geomean(class, false, &n), native;

	printf("  %-8s skep %.2f (%u programs)", class ? class : "all", skep, n);
	native = geomean(class, true, &n);
	printf(n && sides_kernel() ? ", native clang -O2 %.2f\n" : "\n", native);
}

static void summary(void)
{
	static double compile_us[MOST_RESULTS];
	u32 slower = 0;

	for (u32 i = 0; i < n_results; i++) {
		compile_us[i] = results[i].compile_us;
		slower += results[i].low > 1.05 && results[i].kernel >= LEAST_NS;
	}
	printf("geometric means of time relative to %s, programs of at least %d ns:\n", sides_kernel() ? "the kernel's JIT" : "native code", LEAST_NS);
	for (u32 i = 0; i < n_results; i++)
		if (!i || strcmp(results[i].class, results[i - 1].class))
			print_class(results[i].class);
	print_class(NULL);
	for (u32 i = 0; i < n_results; i++)
		if (!strcmp(results[i].name, "jiffies"))
			printf("jiffies: Linux loads a variable of its own; a process has to ask the coarse clock (vDSO), which the same tick advances\n");
	if (sides_kernel())
		printf("surely slower than the kernel: %u; ", slower);
	printf("compile time: median %.0f us\n", median(compile_us, n_results));
}

static void prepare_data(void)
{
	u64 x = 88172645463325252ull;
	u8 *bytes = (u8 *)&image;

	for (u32 i = 0; i < sizeof(image); i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		bytes[i] = (u8)x;
	}
	for (u32 i = 0; i < 1024; i++) {
		image.sorted[i] = i * 4194304u;
		image.text[i] = (u8)"the quick 42 brown_fox, jumps over 1.5 lazy dogs; "[i % 50];
		image.other[i] = i % 120 == 119 - i / 120 ? '#' : image.text[i];
	}
	image.divisor = 12345;
	for (u32 i = 0; i < PACKET; i++)
		packet[i] = (u8)(i * 7);
	memcpy(packet + 12, (u8[]){8, 0, 0x45, 0, 1, 0, 0, 1, 0, 0, 64, 17}, 12);
}

static void print_head(void)
{
	char line[256];
	FILE *f = fopen("/sys/devices/system/cpu/vulnerabilities/spectre_v2", "r");

	printf("Programs on the running kernel's JIT, skep's compiler, and native (clang -O2). ns; ratios to %s; us, bytes.\n",
	       sides_kernel() ? "the kernel" : "native");
	if (f && fgets(line, sizeof(line), f))
		printf("spectre_v2: %s", line);
	if (f)
		fclose(f);
	printf("%-8s %-20s %8s %8s %8s   %5s %5s   %5s  %7s %6s %5s\n", "", "", "kernel", "skep", "native", "skep", "nat.", "low", "compile", "bytes", "size");
}

int main(int argc, char **argv)
{
	const char *dirs[16] = {NULL};
	u32 n_dirs = 0;
	bool poll = false;
	int first = 1;

	for (; first < argc && argv[first][0] == '-'; first++) {
		json |= !strcmp(argv[first], "--json");
		poll |= !strcmp(argv[first], "--poll");
		if (!strcmp(argv[first], "--rounds") && first + 1 < argc) {
			int n = atoi(argv[++first]);

			rounds = n < 1 ? 1 : n > MOST_ROUNDS ? MOST_ROUNDS : (u32)n;
		} else if (!strcmp(argv[first], "--dir") && first + 1 < argc && n_dirs < 16)
			dirs[n_dirs++] = argv[++first];
	}
	if (!sides_begin(poll))
		return 1;
	prepare_data();
	if (!json)
		print_head();
	if (n_dirs && !mkdtemp(made))
		return 1;
	for (u32 i = 0; i < n_dirs; i++)
		run_dir(dirs[i], argv + first, argc - first);
	if (n_dirs)
		remove_made();
	for (u32 i = 0; !n_dirs && i < 3; i++)
		run_object(OBJECTS, (const char *const[]){"compute", "packet", "maps"}[i], argv + first, argc - first);
	if (!n_results) {
		fprintf(stderr, "bench-exec: nothing measured%s\n", first < argc ? ": no program has a name that was given" : "");
		return 1;
	}
	if (!json)
		summary();
	sides_end();
	return 0;
}
