/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-uprobe [CALLS [ROW]]: what a probe costs the function that it is in, ns per call: for a program that counts in an array, one that looks whose call it is
 * besides, an empty one at the function's return, programs that count by thread in a hash: in place, and as bpftrace does, per CPU by an update, and one that reads of its
 * task's parent (as skep's task_struct has it). By plain
 * bpf(2): beside the kernel's own where root runs it, skep's under `skep shell`. With ROW (0 .. 5) only that one, whose nanoseconds are written to $NS.
 */
#include "../tests/shell/probing.h"

#include "kernel/types.h"

#include <sys/wait.h>
#include <time.h>

__attribute__((noinline)) static int probed(int a)
{
	__asm__ volatile("" : "+r"(a) : : "memory");
	return a + 1;
}

enum { TURNS = 5 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double loop(long n)
{
	double began = now();
	int x = 0;

	for (long i = 0; i < n; i++)
		x = probed(x);
	return x == (int)n ? (now() - began) / (double)n : -1;
}

/* In a process of its own, as the target: it is warm after the first turn. The best of the others. */
static double child(long n, long *calls)
{
	double best = -1;
	int out[2], status;

	if (pipe(out))
		return -1;
	if (!fork()) {
		loop(100);
		for (int i = 0; i < TURNS; i++) {
			double ns = loop(n);

			best = best < 0 || ns < best ? ns : best;
		}
		_exit(write(out[1], &best, sizeof(best)) != sizeof(best));
	}
	close(out[1]);
	if (read(out[0], &best, sizeof(best)) != sizeof(best))
		best = -1;
	close(out[0]);
	wait(&status);
	*calls = 100 + TURNS * n;
	return best;
}

/* For the program that runs this one. */
static void keep(double ns)
{
	const char *path = getenv("NS");
	FILE *f = path ? fopen(path, "we") : NULL;

	if (f) {
		fprintf(f, "%.2f\n", ns);
		fclose(f);
	}
}

/* adds NULL: counts by thread, in a map of this type */
static int row(const char *name, long n, const struct add *adds, unsigned n_adds, int at_return, unsigned type)
{
	static const struct count count[] = {{.of = {.what = ADD_TID}, .mask = -1}, {.of = {.what = ADD_TID}, .mask = -1, .how = COUNT_UPDATES}};
	char self[4096];
	unsigned long at = probing_offset((const void *)(uintptr_t)probed, self);
	int map = adds ? probing_array() : probing_map(type, 8, 8, 64);
	int prog = adds ? probing_load(map, adds, n_adds) : probing_load_count(map, &count[type == BPF_MAP_TYPE_PERCPU_HASH]);
	int fd = prog < 0 ? -1 : probing_attach(prog, self, at, at_return);
	unsigned elements, cpus = type == BPF_MAP_TYPE_PERCPU_HASH ? (unsigned)sysconf(_SC_NPROCESSORS_CONF) : 1;
	uint64_t counted;
	long calls;
	double ns;

	if (fd < 0) {
		printf("%-28s not here: %s\n", name, strerror(errno));
		return 1;
	}
	ns = child(n, &calls);
	counted = adds ? probing_value(map, 0) : probing_sum(map, cpus, &elements);
	n_adds += !adds;
	if (n_adds && counted != (uint64_t)calls)
		printf("%-28s %ld calls, %llu counted\n", name, calls, (unsigned long long)counted);
	else {
		printf("%-28s %8.1f ns\n", name, ns);
		keep(ns);
	}
	fflush(stdout);
	close(fd);
	close(prog);
	close(map);
	return ns < 0 || (n_adds && counted != (uint64_t)calls);
}

int main(int argc, char **argv)
{
	static const struct add adds[] = {{.what = ADD_ONE}, {.what = ADD_TID, .slot = 1}};
	static const struct add parent[] = {{.what = ADD_ONE}, {.what = ADD_OF_PARENT, .slot = 1, .field = offsetof(struct kernel_task_struct, tgid), .via = offsetof(struct kernel_task_struct, real_parent)}};
	long n = argc > 1 ? atol(argv[1]) : 1000000, calls;
	int only = argc > 2 ? atoi(argv[2]) : -1, bad = 0;

	if (only < 0)
		printf("%-28s %8.1f ns\n", "no probe", child(n, &calls));
	fflush(stdout);
	if (only < 0 || only == 0)
		bad |= row("uprobe, counts", n, adds, 1, 0, 0);
	if (only < 0 || only == 1)
		bad |= row("uprobe, counts, asks whose", n, adds, 2, 0, 0);
	if (only < 0 || only == 2)
		bad |= row("uretprobe, empty", n, adds, 0, 1, 0);
	if (only < 0 || only == 3)
		bad |= row("uprobe, counts in a hash", n, NULL, 0, 0, BPF_MAP_TYPE_HASH);
	if (only < 0 || only == 4)
		bad |= row("uprobe, counts per CPU", n, NULL, 0, 0, BPF_MAP_TYPE_PERCPU_HASH);
	if (only < 0 || only == 5)
		bad |= row("uprobe, reads of its parent", n, parent, 2, 0, 0);
	return bad;
}
