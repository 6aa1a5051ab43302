/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load: each program of an object, loaded alone, and what came of it. One line per program and mode:
 *
 *     result PROGRAM priv|unpriv VERDICT SAFE ERRNO MESSAGES RETVAL INSNS PROCESSED MICROSECONDS LAST-LINE-OF-THE-LOG
 *
 * separated by tabs. VERDICT is accept, reject, or prefail when the loader gave up before PROG_LOAD saw the program; SAFE is skep's
 * own verdict beside it. MESSAGES is "-" (none expected), "ok" or "missing: TEXT"; RETVAL "-" (not run), "ok" or "GOT!=EXPECTED".
 * With --sound also "sound PROGRAM priv|unpriv STEPS ok CUT", or the violation (watch.h), of programs that were run; CUT: how many runs were ended at WATCHED_INSNS.
 * With --mutants "mutant PROGRAM SEED ERRNO SAFE-ERRNO MESSAGE" for each, before the program's own line.
 * "begin PROGRAM MODE" comes before, so that whoever reads knows what a crash was about, and can go on behind it with --from.
 */
#include "backend.h"
#include "spec.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DATA_BYTES = 64 };

static struct {
	const char *object, *prog, *type;
	const char *btf, *results;
	int log; /* -1: as the program says */
	unsigned from, repeat, mutants, first_mutant;
	bool priv, unpriv, plain, show, show_libbpf, run, sound, engines;
} opt = {.log = -1, .repeat = 1, .priv = true, .unpriv = true, .run = true, .btf = "/sys/kernel/btf/vmlinux"};
static char *log_buf, *mutant_log;
static const char *current;

static int say(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return opt.show_libbpf && level != LIBBPF_DEBUG ? vfprintf(stderr, fmt, ap) : 0;
}

static void say_mutant(uint32_t seed, int result, int safe, const char *message)
{
	printf("mutant\t%s\t%u\t%d\t%d\t%s\n", current, seed, result, safe, message);
	if (seen.mutant_log)
		fprintf(stderr, "---- %s: %s with seed %u\n%s", backend_name, current, seed, seen.mutant_log);
}

static struct bpf_object *open_object(const struct spec *s)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts);
	char path[4096];

	if (s && s->btf_path) {
		const char *slash = strrchr(opt.object, '/'), *name = strrchr(s->btf_path, '/');
		size_t n;

		/* The selftests' own build calls objects NAME.bpf.o. */
		snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash - opt.object + 1) : 0, opt.object,
			 name ? name + 1 : s->btf_path);
		n = strlen(path);
		if (n > 6 && !strcmp(path + n - 6, ".bpf.o"))
			strcpy(path + n - 6, ".o");
		opts.btf_custom_path = path;
	}
	return bpf_object__open_file(opt.object, &opts);
}

/* ---- objects that say less than a loader wants to know ---- */

/* The name of the struct that a function's first argument points to; NULL: it is none. */
static const char *context_name(const struct btf *btf, const char *func, bool only)
{
	int id = btf ? btf__find_by_name_kind(btf, func, BTF_KIND_FUNC) : -1;
	const struct btf_type *t =
		id > 0 ? btf__type_by_id(btf, btf__type_by_id(btf, (uint32_t)id)->type) : NULL;

	if (!t || !btf_is_func_proto(t) || !btf_vlen(t) || (only && btf_vlen(t) != 1))
		return NULL;
	t = btf__type_by_id(btf, btf_params(t)[0].type);
	while (t && btf_is_mod(t))
		t = btf__type_by_id(btf, t->type);
	if (!t || !btf_is_ptr(t))
		return NULL;
	t = btf__type_by_id(btf, t->type);
	while (t && btf_is_mod(t))
		t = btf__type_by_id(btf, t->type);
	return t ? btf__name_by_offset(btf, t->name_off) : NULL;
}

/* A program that replaces another has that one's type, and one in a section of any name may have been meant
 * for several: the context tells. */
static void guess_type(struct bpf_object *obj, struct bpf_program *p)
{
	static const struct {
		const char *context;
		enum bpf_prog_type type;
		enum bpf_attach_type attach;
	} types[] = {
		{"__sk_buff", BPF_PROG_TYPE_SCHED_CLS, 0},
		{"xdp_md", BPF_PROG_TYPE_XDP, BPF_XDP},
		{"sk_msg_md", BPF_PROG_TYPE_SK_MSG, BPF_SK_MSG_VERDICT},
		{"bpf_sock", BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET4_POST_BIND},
		{"bpf_sock_addr", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_BIND},
		{"bpf_sock_ops", BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS},
		{"bpf_sysctl", BPF_PROG_TYPE_CGROUP_SYSCTL, BPF_CGROUP_SYSCTL},
		{"bpf_sockopt", BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_SETSOCKOPT},
		{"bpf_sk_lookup", BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP},
		{"pt_regs", BPF_PROG_TYPE_KPROBE, 0},
		{"bpf_perf_event_data", BPF_PROG_TYPE_PERF_EVENT, 0},
		{"bpf_raw_tracepoint_args", BPF_PROG_TYPE_RAW_TRACEPOINT, 0},
	};
	bool replaces = bpf_program__type(p) == BPF_PROG_TYPE_EXT;
	const char *context;

	if (!replaces && bpf_program__type(p) != BPF_PROG_TYPE_UNSPEC)
		return;
	context = context_name(bpf_object__btf(obj), bpf_program__name(p), replaces);
	for (size_t i = 0; context && i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(context, types[i].context)) {
			bpf_program__set_type(p, types[i].type);
			bpf_program__set_expected_attach_type(p, types[i].attach);
			return;
		}
	if (!replaces)
		bpf_program__set_type(p, BPF_PROG_TYPE_SCHED_CLS);
}

/* Pins would outlive the test; sizes that a test sets at run time are one. */
static void complete_maps(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj)
	{
		bpf_map__set_pin_path(map, NULL);
		switch ((int)bpf_map__type(map)) {
		case BPF_MAP_TYPE_SK_STORAGE:
		case BPF_MAP_TYPE_TASK_STORAGE:
		case BPF_MAP_TYPE_INODE_STORAGE:
		case 32 /* BPF_MAP_TYPE_CGRP_STORAGE */:
		case BPF_MAP_TYPE_CGROUP_STORAGE:
		case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE:
			break;
		default:
			if (!bpf_map__max_entries(map))
				bpf_map__set_max_entries(map, 1);
		}
	}
}

/* Maps that only a privileged user may create are left out, as programs that use them are then refused
 * anyway. */
static bool for_everyone(const struct bpf_map *map)
{
	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
		return !(bpf_map__map_flags(map) & BPF_F_ZERO_SEED);
	case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE:
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_RINGBUF:
	case BPF_MAP_TYPE_PROG_ARRAY:
	case BPF_MAP_TYPE_CGROUP_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_USER_RINGBUF:
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
	case BPF_MAP_TYPE_CGROUP_STORAGE:
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
		return true;
	default:
		return false;
	}
}

/* Two sources read what the host put into their maps: an index, and a number at the place that it names. */
static void fill_maps(struct bpf_object *obj)
{
	static const char *const names[] = {"map_array_ro", "map_array_48b"};
	struct {
		uint32_t index;
		int32_t foo[11];
	} value = {.index = (6 + 1) * sizeof(int32_t), .foo[6] = (int32_t)0xabcdef12};
	uint32_t key = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct bpf_map *map = bpf_object__find_map_by_name(obj, names[i]);

		if (map && bpf_map__value_size(map) == sizeof(value))
			bpf_map_update_elem(bpf_map__fd(map), &key, &value, 0);
	}
}

static void test_run(const struct spec_mode *m, struct bpf_object *obj, const struct bpf_program *p, char *to,
		     size_t size)
{
	uint8_t in[DATA_BYTES] = {0}, out[DATA_BYTES * 4];
	LIBBPF_OPTS(bpf_test_run_opts, topts, .data_in = in, .data_size_in = sizeof(in), .data_out = out,
			.data_size_out = sizeof(out), .repeat = 1);
	LIBBPF_OPTS(bpf_test_run_opts, bare);
	struct bpf_test_run_opts *o = bpf_program__type(p) == BPF_PROG_TYPE_SYSCALL ? &bare : &topts;
	int err;

	fill_maps(obj);
	err = bpf_prog_test_run_opts(bpf_program__fd(p), o) ? errno : 0;
	if (err == EOPNOTSUPP || err == 524 /* ENOTSUPP */)
		return; /* programs of its type, or with what it calls, cannot be run here */
	if (err)
		snprintf(to, size, "errno %d!=%lld", err, (long long)m->retval);
	else if (!m->any_value && (int32_t)o->retval != (int32_t)m->retval)
		snprintf(to, size, "%d!=%lld", (int32_t)o->retval, (long long)m->retval);
	else
		snprintf(to, size, "ok");
}

/* On whatever takes it on its way: nothing, a TCP segment in IPv4 in Ethernet, noise, a header alone. What it answers does not matter. */
static void run_on_inputs(int fd)
{
	static const uint8_t segment[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 50, 0, 0, 0x40, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1,
					  0x1f, 0x90, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 5, 0xb4};
	uint32_t noise = 12345;

	for (unsigned i = 0; i < 4; i++) {
		uint8_t in[DATA_BYTES] = {0}, out[DATA_BYTES * 4];
		LIBBPF_OPTS(bpf_test_run_opts, packet, .data_in = in, .data_size_in = i == 3 ? 14 : sizeof(in), .data_out = out, .data_size_out = sizeof(out),
			    .repeat = 1);
		LIBBPF_OPTS(bpf_test_run_opts, arguments, .ctx_in = in, .ctx_size_in = sizeof(in));
		LIBBPF_OPTS(bpf_test_run_opts, bare);

		if (i == 1)
			memcpy(in, segment, sizeof(segment));
		for (unsigned k = 0; i == 2 && k < sizeof(in); k++) {
			noise = noise * 1664525 + 1013904223;
			in[k] = (uint8_t)(noise >> 24);
		}
		if (bpf_prog_test_run_opts(fd, &packet) && bpf_prog_test_run_opts(fd, &arguments))
			bpf_prog_test_run_opts(fd, &bare);
	}
}

static const char *processed(const char *log)
{
	const char *at = NULL;

	for (const char *p = log; (p = strstr(p, "processed ")); p++)
		if (p == log || p[-1] == '\n')
			at = p + 10;
	return at;
}

/* The last line of the log that is not statistics; tabs would end the field. */
static void last_line(const char *log, char *to, size_t size)
{
	static const char *const statistics[] = {"processed ", "verification time ", "stack depth ",
						 "mark_precise: "};
	const char *end = log + strlen(log), *from;
	bool skip;

	do {
		while (end > log && end[-1] == '\n')
			end--;
		for (from = end; from > log && from[-1] != '\n';)
			from--;
		skip = false;
		for (size_t i = 0; i < sizeof(statistics) / sizeof(statistics[0]); i++)
			skip |= !strncmp(from, statistics[i], strlen(statistics[i]));
		if (skip)
			end = from;
	} while (skip && from > log);
	snprintf(to, size, "%.*s", (int)(end - from), from);
	for (; *to; to++)
		if (*to == '\t')
			*to = ' ';
}

/* What the verifier itself says it took: with statistics in the log, without what comes before and after it. */
static uint64_t verification_us(const char *log)
{
	const char *at = strstr(log, "verification time ");

	return at ? strtoull(at + 18, NULL, 10) : UINT64_MAX;
}

static void report(const struct spec *s, const struct bpf_program *p, int mode, const char *verdict, int err, const char *retval, uint64_t us)
{
	const struct spec_mode *m = &s->mode[mode];
	const char *missing = NULL, *count = processed(log_buf);
	char last[400];

	if (s->annotated && seen.calls)
		missing = spec_missing(m, log_buf);
	last_line(log_buf, last, sizeof(last));
	if (!last[0] && seen.result)
		snprintf(last, sizeof(last), "%s", seen.message);
	printf("result\t%s\t%s\t%s\t%s\t%d\t", bpf_program__name(p), mode ? "unpriv" : "priv", verdict,
	       !seen.calls ? "-" : seen.safe ? "reject" : "accept", err);
	printf("%s%s\t%s\t", !m->n ? "-" : missing ? "missing: " : "ok", missing ? missing : "", retval);
	printf("%u\t%ld\t%llu\t%s\n", seen.insn_cnt, count ? atol(count) : 0L, (unsigned long long)us, last);
	fflush(stdout);
	if (opt.show)
		fprintf(stderr, "---- %s: %s %s\n%s", backend_name, bpf_program__name(p), mode ? "unpriv" : "priv", log_buf);
}

static void set_loading(struct bpf_object *obj, const struct bpf_program *target, const struct spec *s,
			int mode)
{
	struct bpf_program *p;
	struct bpf_map *map;

	bpf_object__for_each_program(p, obj)
	{
		struct spec other;

		if (p != target && s->annotated)
			spec_read(&other, bpf_object__btf(obj), bpf_program__name(p));
		else
			memset(&other, 0, sizeof(other));
		bpf_program__set_autoload(p,
					  p == target || (mode ? other.auxiliary_unpriv : other.auxiliary));
	}
	bpf_object__for_each_map(map, obj) if (mode && !for_everyone(map))
		bpf_map__set_autocreate(map, false);
}

/* libbpf loads all programs that a struct of operations names: the others are taken out of it. */
static void leave_out_of_structs(struct bpf_object *obj, const struct bpf_program *target)
{
	struct bpf_program *p;
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj)
	{
		size_t size = 0;
		bool structs = bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS;
		const void **word =
			structs ? (const void **)(uintptr_t)bpf_map__initial_value(map, &size) : NULL;

		for (size_t i = 0; word && i < size / sizeof(*word); i++)
			bpf_object__for_each_program(p, obj) if (p != target && word[i] == p) word[i] = NULL;
	}
}

static const char *setting; /* of the engine, whose result alone matters; NULL: none */

/* One attempt; *us is the shortest of all until now. Only the last one is reported. */
static void try_program(const char *name, const struct spec *s, int mode, bool last, uint64_t *us)
{
	const struct spec_mode *m = &s->mode[mode];
	struct bpf_object *obj = open_object(s);
	struct bpf_program *p = obj ? bpf_object__find_program_by_name(obj, name) : NULL;
	char retval[64] = "-";
	uint64_t took;
	int err;

	if (!p) {
		bpf_object__close(obj);
		return;
	}
	set_loading(obj, p, s, mode);
	leave_out_of_structs(obj, p);
	guess_type(obj, p);
	complete_maps(obj);
	log_buf[0] = 0;
	bpf_program__set_log_buf(p, log_buf, LOG_BYTES);
	bpf_program__set_log_level(p, opt.log >= 0 ? (uint32_t)opt.log : s->log_level);
	bpf_program__set_flags(p, bpf_program__flags(p) | s->flags);
	seen.program = p;
	if (mode && backend_privileges(false))
		fprintf(stderr, "%s: cannot drop privileges\n", backend_name);
	err = bpf_object__load(obj) ? -errno : 0;
	if (mode)
		backend_privileges(true);
	seen.program = NULL;
	took = verification_us(log_buf);
	took = took < seen.ns / 1000 ? took : seen.ns / 1000;
	*us = took < *us ? took : *us;
	if (last && seen.calls && !seen.result && opt.run && !err && m->runs && !m->failure)
		test_run(m, obj, p, retval, sizeof(retval));
	if (setting) {
		printf("engine\t%s\t%s\t%s\t%s\t%s\n", name, mode ? "unpriv" : "priv", setting, retval, err ? "not loaded" : backend_code(bpf_program__fd(p)));
		last = false;
	}
	if (last && opt.sound) {
		const char *violation;
		uint64_t steps, cut;

		if (seen.calls && !seen.result && !err) {
			fill_maps(obj);
			run_on_inputs(bpf_program__fd(p));
		}
		violation = backend_violation(&steps, &cut);
		if (steps)
			printf("sound\t%s\t%s\t%llu\t%s\t%llu\n", name, mode ? "unpriv" : "priv", (unsigned long long)steps,
			       *violation ? violation : "ok", (unsigned long long)cut);
	}
	if (last && !seen.calls)
		report(s, p, mode, "prefail", err, retval, 0);
	else if (last)
		report(s, p, mode, seen.result ? "reject" : "accept", seen.result, retval, *us);
	bpf_object__close(obj);
}

static void try_repeatedly(const char *name, const struct spec *s, int mode)
{
	uint64_t us = UINT64_MAX;

	current = name;
	seen = (struct seen_load){.plain = opt.plain, .mutants = opt.mutants, .first_mutant = opt.first_mutant, .mutant = say_mutant, .run = run_on_inputs, .mutant_log = mutant_log};
	printf("begin\t%s\t%s\n", name, mode ? "unpriv" : "priv");
	fflush(stdout);
	for (unsigned i = 0; i < opt.repeat; i++)
		try_program(name, s, mode, i + 1 == opt.repeat, &us);
	backend_reset();
	fflush(stdout);
}

static void try_setting(const char *name, const struct spec *s, int mode)
{
	uint64_t us = UINT64_MAX;

	if (!s->mode[mode].runs || s->mode[mode].failure)
		return;
	current = name;
	seen = (struct seen_load){.plain = true};
	try_program(name, s, mode, true, &us);
}

/* What the program returns, where no annotation but a test program of the selftests says so: a line "OBJECT PROGRAM VALUE" of the file. */
static void known_result(struct spec *s, const char *prog)
{
	FILE *f = opt.results ? fopen(opt.results, "r") : NULL;
	const char *slash = strrchr(opt.object, '/');
	char line[256], object[100], name[100];
	long long value;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%99s %99s %lld", object, name, &value) == 3 && !strcmp(object, slash ? slash + 1 : opt.object) && !strcmp(name, prog)) {
			s->mode[0].runs = true;
			s->mode[0].retval = value;
		}
	if (f)
		fclose(f);
}

static void each_program(struct bpf_object *obj, void (*attempt)(const char *name, const struct spec *s, int mode))
{
	struct bpf_program *p;
	unsigned unit = 0;

	bpf_object__for_each_program(p, obj)
	{
		const char *name = bpf_program__name(p);
		struct spec s;

		spec_read(&s, bpf_object__btf(obj), name);
		known_result(&s, name);
		for (int mode = 0; mode < 2; mode++) {
			bool wanted = mode ? opt.unpriv && s.mode[1].used
					   : opt.priv && (s.mode[0].used || !s.mode[1].used);

			if (s.auxiliary || s.auxiliary_unpriv || s.other_arch)
				wanted = false;
			if (opt.prog && strcmp(opt.prog, name))
				wanted = false;
			if (wanted && unit++ >= opt.from)
				attempt(name, &s, mode);
		}
	}
}

static int try_object(void)
{
	struct bpf_object *obj = open_object(NULL);

	if (!obj) {
		printf("openfail\t%d\n", errno);
		return 0;
	}
	if (!opt.engines)
		each_program(obj, try_repeatedly);
	for (unsigned k = 0; opt.engines && (setting = backend_setting(k)) != NULL; k++) {
		backend_reset();
		each_program(obj, try_setting);
	}
	bpf_object__close(obj);
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: load [--prog NAME] [--log LEVEL] [--show] [--libbpf] [--mode priv|unpriv] "
			"[--from N] [--repeat N] [--no-run] [--plain] [--sound] [--engines] [--results FILE]\n"
			"            [--mutants N [--seed FIRST]] "
			"            [--btf FILE] OBJECT\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"prog", 1, NULL, 'p'},	{"log", 1, NULL, 'l'},
					      {"show", 0, NULL, 's'},	{"libbpf", 0, NULL, 'L'},
					      {"mode", 1, NULL, 'm'},	{"from", 1, NULL, 'f'},
					      {"no-run", 0, NULL, 'n'}, {"plain", 0, NULL, 'P'}, {"repeat", 1, NULL, 'r'},
					      {"btf", 1, NULL, 'b'},	{"sound", 0, NULL, 'S'},	{"engines", 0, NULL, 'E'},	{"results", 1, NULL, 'R'}, {"mutants", 1, NULL, 'M'}, {"seed", 1, NULL, 'F'},	{NULL, 0, NULL, 0}};
	int c, err;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (c) {
		case 'p':
			opt.prog = optarg;
			break;
		case 'l':
			opt.log = atoi(optarg);
			break;
		case 's':
			opt.show = true;
			break;
		case 'L':
			opt.show_libbpf = true;
			break;
		case 'm':
			opt.priv = strcmp(optarg, "unpriv") != 0;
			opt.unpriv = strcmp(optarg, "priv") != 0;
			break;
		case 'f':
			opt.from = (unsigned)atoi(optarg);
			break;
		case 'r':
			opt.repeat = (unsigned)atoi(optarg);
			break;
		case 'n':
			opt.run = false;
			break;
		case 'S':
			opt.sound = true;
			break;
		case 'R':
			opt.results = optarg;
			break;
		case 'E':
			opt.engines = true;
			break;
		case 'M':
			opt.mutants = (unsigned)atoi(optarg);
			break;
		case 'F':
			opt.first_mutant = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'P':
			opt.plain = true;
			break;
		case 'b':
			opt.btf = optarg;
			break;
		default:
			return usage();
		}
	if (optind + 1 != argc)
		return usage();
	opt.object = argv[optind];
	log_buf = malloc(LOG_BYTES);
	mutant_log = opt.mutants && opt.show ? calloc(1, LOG_BYTES) : NULL;
	if (!log_buf || (opt.mutants && opt.show && !mutant_log))
		return 2;
	libbpf_set_print(say);
	err = backend_open(opt.btf);
	if (err) {
		fprintf(stderr, "%s: cannot open: %s\n", backend_name, strerror(-err));
		return 2;
	}
	if (opt.sound && (err = backend_watch())) {
		fprintf(stderr, "%s: cannot watch runs: %s\n", backend_name, strerror(-err));
		return 2;
	}
	err = try_object();
	free(mutant_log);
	free(log_buf);
	return err;
}
