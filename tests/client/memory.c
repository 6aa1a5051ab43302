/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole objects without memory: t-client-memory [OBJECT...] [--some OBJECT...]: libbpf opens and loads each on
 * an engine, and runs its programs, and each time another allocation of the engine fails: the first, the second,
 * and so on until none is left (--some: where there are many, not each of them). Nothing breaks, nothing is left
 * behind, and what could not be loaded is refused for want of memory, or because libbpf made a map without its
 * types when it could not be made with them, and a program needs these; or because libbpf found no file with the
 * kernel's types, which is ESRCH to it whatever kept the engine from making one.
 */
#include "client/skep-bpf.h"
#include "skep/skep.h"
#include "../test.h"
#include "../failing.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char *path;
static bool some;

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

static void run_all(struct bpf_object *obj)
{
	struct bpf_program *p;
	char frame[100] = {0};

	bpf_object__for_each_program(p, obj)
	{
		LIBBPF_OPTS(bpf_test_run_opts, t, .data_in = frame, .data_size_in = sizeof(frame));
		struct bpf_prog_info info = {0};
		unsigned size = sizeof(info);

		bpf_prog_test_run_opts(bpf_program__fd(p), &t);
		bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &size);
	}
}

/* 0: everything was loaded; or why not, as libbpf says. */
static int session(struct host *h)
{
	struct skep_options opts = {
	    .size = sizeof(opts), .alloc = host_alloc, .alloc_ud = h, .window = 1 << 30};
	struct bpf_object *obj;
	struct skep *k;
	int err = skep_open(&k, &opts);

	if (err)
		return err;
	skep_bpf_use(k);
	obj = bpf_object__open(path);
	err = obj ? bpf_object__load(obj) : -errno;
	if (!err)
		run_all(obj);
	bpf_object__close(obj);
	skep_bpf_use(NULL);
	skep_close(k);
	return err;
}

TEST(every_allocation_of_an_object_fails_once)
{
	long n, loads = 0, failed = 0;
	struct host h = {0};

	if (session(&h))
		SKIP("no object: clang for BPF is missing");
	for (n = 1;; n += some ? 1 + n / 48 : 1) {
		struct host mine = {.fail_at = n};
		int err = session(&mine);

		loads++;
		failed += err != 0;
		if (mine.live || mine.bytes || (err && err != -ENOMEM && err != -EINVAL && err != -ESRCH)) {
			test_fail(__FILE__, __LINE__, "%s, allocation %ld: %s; %ld allocations, %ld bytes are left",
				  path, n, err ? strerror(-err) : "loaded", mine.live, mine.bytes);
			return;
		}
		if (!mine.failed)
			break;
	}
	CHECK_EQ(h.live, 0);
	CHECK(failed >= 3); /* libbpf tries programs and maps twice */
	printf("# %s: %ld allocations, %ld loads, %ld failed\n", path, h.number, loads, failed);
}

int main(int argc, char **argv)
{
	libbpf_set_print(quiet);
	for (int i = 1; i < argc; i++) {
		path = argv[i];
		if (!strcmp(path, "--some")) {
			some = true;
			continue;
		}
		RUN(every_allocation_of_an_object_fails_once);
	}
	return test_end();
}
