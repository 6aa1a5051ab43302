/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs go to an engine of this process: libskep-bpf stands below libbpf. */
#include "backend.h"

#include "client/skep-bpf.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

const char backend_name[] = "skep";
static const char *btf_file;
static struct skep *engine;

/* Of the program that is looked at, the verdict by Linux's rules and limits counts; what only skep's own limits let through is refused. */
static int load_seen(struct skep *k, union bpf_attr *attr, unsigned int size)
{
	struct skep_check check = {.size = sizeof(check)};
	int ret = skep_prog_check(k, attr, size, &check);

	if (check.decided && check.safe.error == 0 && check.as_linux.error == 0)
		return ret;
	if (check.decided && check.as_linux.error) {
		if (ret >= 0)
			close(ret);
		return check.as_linux.error;
	}
	return ret;
}

static int watch(void *ud, struct skep *k, int cmd, union bpf_attr *attr, unsigned int size)
{
	uint64_t start = seen_clock();
	bool looked_at = seen_is(cmd, attr);
	int ret = looked_at ? load_seen(k, attr, size) : skep_bpf(k, cmd, attr, size);

	(void)ud;
	/* "Not by this build" is for a test the same as "not by Linux": there is no result. */
	if (cmd == BPF_PROG_TEST_RUN && ret == -EOPNOTSUPP)
		ret = -524 /* ENOTSUPP */;
	if (looked_at)
		seen_result(attr, ret, seen_clock() - start);
	return ret;
}

static int engine_open(void)
{
	struct skep_options opts = {.size = sizeof(opts), .kernel_btf = btf_file};
	int err = skep_open(&engine, &opts);

	skep_bpf_use(err ? NULL : engine);
	return err;
}

int backend_open(const char *kernel_btf)
{
	struct stat st; /* access() is the engine's */
	int err;

	btf_file = stat(kernel_btf, &st) ? NULL : kernel_btf;
	skep_bpf_hook(watch, NULL);
	err = engine_open();
	return err ? err : skep_bpf_sections();
}

void backend_reset(void)
{
	skep_close(engine);
	engine = NULL;
	(void)engine_open();
}

int backend_privileges(bool all)
{
	skep_set_unprivileged(engine, !all);
	return 0;
}
