/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs go to an engine of this process: libskep-bpf stands below libbpf. */
#include "backend.h"
#include "watch.h"

#include "client/skep-bpf.h"
#include "opt/opt.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char backend_name[] = "skep";
static const char *btf_file;
static struct skep *engine;
static bool watching;
static struct watch *watched;
static char fault[256]; /* the first of an accepted program */

static int load_mutant(union bpf_attr *attr, uint32_t size, int *safe, char message[256])
{
	struct skep_check check = {.size = sizeof(check)};
	int fd = skep_prog_check(engine, attr, size, &check);

	*safe = check.decided ? check.safe.error : fd < 0 ? fd : 0;
	if (fd >= 0 && watched) {
		watch_program(watched, fd);
		seen.run(fd);
		watch_forget(watched); /* it ends here, and the next one may lie where it lay */
	}
	if (fd >= 0)
		close(fd);
	memcpy(message, check.as_linux.message, 256);
	return check.decided ? check.as_linux.error : *safe;
}

/* Of the program that is looked at, the verdict by Linux's rules and limits counts; what only skep's own
 * limits let through is refused. */
static int load_seen(struct skep *k, union bpf_attr *attr, unsigned int size)
{
	struct skep_check check = {.size = sizeof(check)};
	uint64_t start = seen_clock();
	int ret =
	    seen.plain ? skep_bpf(k, BPF_PROG_LOAD, attr, size) : skep_prog_check(k, attr, size, &check);

	seen_result(attr, ret, seen_clock() - start);
	if (!check.decided)
		return ret;
	seen.safe = check.safe.error;
	seen.result = check.as_linux.error;
	memcpy(seen.message, check.as_linux.message, sizeof(seen.message));
	if (!seen.result)
		seen_mutants(attr, size, load_mutant);
	if (ret >= 0 && seen.result) {
		close(ret);
		return seen.result;
	}
	if (ret >= 0 && watched)
		watch_program(watched, ret);
	return ret;
}

static int watch(void *ud, struct skep *k, int cmd, union bpf_attr *attr, unsigned int size)
{
	int ret = seen_is(cmd, attr) ? load_seen(k, attr, size) : skep_bpf(k, cmd, attr, size);

	(void)ud;
	/* "Not by this build" is for a test the same as "not by Linux": there is no result. */
	return cmd == BPF_PROG_TEST_RUN && ret == -EOPNOTSUPP ? -524 /* ENOTSUPP */ : ret;
}

static struct {
	const char *name;
	uint32_t engine, off, test;
} settings[] = {
    {"interpreted", SKEP_ENGINE_INTERP, 0, 0},
    {"compiled", SKEP_ENGINE_AUTO, 0, SKEP_COMPILE_CHECK},
    {"without facts", SKEP_ENGINE_AUTO, 0, SKEP_COMPILE_NO_FACTS},
    {"all in memory", SKEP_ENGINE_AUTO, 0, SKEP_COMPILE_FEW_REGISTERS},
    {"poisoned", SKEP_ENGINE_AUTO, 0, SKEP_COMPILE_POISON | SKEP_COMPILE_BASELINE},
    {"without any pass", SKEP_ENGINE_AUTO, UINT32_MAX, 0},
};
enum { SETTINGS = sizeof(settings) / sizeof(settings[0]) };
static unsigned setting = 1;

const char *backend_setting(unsigned k)
{
	if (k >= SETTINGS + OPT_COUNT)
		return NULL;
	setting = k;
	return k < SETTINGS ? settings[k].name : opt_name(k - SETTINGS);
}

const char *backend_code(int prog_fd)
{
	static struct skep_code code;

	code = (struct skep_code){.size = sizeof(code)};
	if (skep_prog_code(engine, prog_fd, &code))
		return "no program";
	return code.bytes ? "compiled" : code.reason;
}

static void take_setting(struct skep_options *opts)
{
	if (setting >= SETTINGS) {
		opts->compile_off = 1u << (setting - SETTINGS);
		return;
	}
	opts->engine = settings[setting].engine;
	opts->compile_off = settings[setting].off;
	opts->compile_test = settings[setting].test;
}

static void note_fault(void *ud, const char *line)
{
	(void)ud;
	if (!fault[0] && strstr(line, ": insn ") && !strstr(line, "instructions executed, the limit"))
		snprintf(fault, sizeof(fault), "an accepted program faults: %s", line);
}

static int engine_open(void)
{
	struct skep_options opts = {.size = sizeof(opts), .kernel_btf = btf_file};
	int err;

	take_setting(&opts);
	if (watching) {
		opts.max_insns = WATCHED_INSNS;
		opts.log = note_fault;
		fault[0] = 0;
	}
	err = skep_open(&engine, &opts);

	watched = watching && !err ? watch_open(engine) : NULL;
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
	if (watched)
		watch_close(watched);
	skep_close(engine);
	engine = NULL;
	(void)engine_open();
}

int backend_privileges(bool all)
{
	skep_set_unprivileged(engine, !all);
	return 0;
}

int backend_watch(void)
{
	watching = true;
	backend_reset();
	return watched ? 0 : -ENOMEM;
}

const char *backend_violation(uint64_t *steps, uint64_t *cut)
{
	*cut = watched ? watch_stats(watched)->cut : 0;
	*steps = watched ? watch_stats(watched)->steps : 0;
	return fault[0] ? fault : watched ? watch_text(watched) : "";
}
