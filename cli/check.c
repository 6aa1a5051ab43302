/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * skep check: would it load, and if not, why? Each program of each object is opened on its own, so that one
 * that is refused, or that needs what is missing, says nothing about the others. libbpf opens and relocates;
 * on its way to the engine PROG_LOAD is turned into a check of both verdicts.
 */
#include "cli/form.h"
#include "cli/loader.h"
#include "cli/mend.h"
#include "cli/cli.h"
#include "abi/abi.h"
#include "btf/btf.h"
#include "client/skep-bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_NONE = 16, LOG_BYTES = 64 << 20 };

struct check_args {
	const char *prog, *btf, *type;
	u64 flags, log;
	bool unprivileged, stats, json;
};

static const struct check_args check_defaults = {.log = LOG_NONE};

static const struct opt check_opts[] = {
	TEXT(struct check_args, prog, 'p', "prog", "NAME", "only the program of this name"),
	TEXT(struct check_args, btf, 0, "btf", "PATH",
	 "kernel types to check against: a file as /sys/kernel/btf/vmlinux, or a folder as /sys/kernel/btf, which is the default where it "
	 "exists, with that file and those of modules"),
	TEXT(struct check_args, type, 't', "type", "SECTION",
	 "what programs are in sections of unknown name: as if in SECTION, for example xdp or "
	 "cgroup/connect4"),
	NUMBER(struct check_args, flags, 0, "flags", "N", 0, UINT32_MAX,
	   "flags of BPF_PROG_LOAD, besides those of the section"),
	NUMBER(struct check_args, log, 'l', "log", "N", 0, 7,
	   "print the verifier's log too: 1 the path to the error, 2 all states, 4 statistics, or a sum of "
	   "them"),
	FLAG(struct check_args, unprivileged, 'u', "unprivileged",
	 "as a user without CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN would see it"),
	FLAG(struct check_args, stats, 's', "stats", "also memory, what skep's own verdict took, and sums"),
	FLAG(struct check_args, json, 'j', "json", "print JSON: an array of one object per program"),
	OPTS_END,
};

/* One program's result. */
struct row {
	const char *object;
	char *program;
	u32 type;
	bool reached; /* PROG_LOAD saw it; otherwise `why` says what was in the way */
	struct skep_check check;
	char *why;
	char *note; /* what was taken for granted */
	char *log;
};

struct checker {
	struct cli *c;
	const struct check_args *args;
	struct skep *k;
	char *log; /* LOG_BYTES, when a log is wanted */
	VEC(struct row) rows;
	const struct bytes *image; /* of the object */
	char missing[160]; /* kernel functions that it calls and the kernel has not */
	const struct bpf_object *obj;
	const struct bpf_program *program; /* whose load is a check */
	struct row *row;
	int result; /* what PROG_LOAD gave for it: libbpf tries again to get a log */
	bool unreadable;
};

/* ---- what libbpf says, until it is known to matter ---- */

static char said[4096];

/* The first complaint is the cause; later ones report what it led to. */
static int collect(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level != LIBBPF_WARN || said[0])
		return 0;
	return vsnprintf(said, sizeof(said), fmt, ap);
}

/* In place, without libbpf's name. */
static char *first_line(char *s)
{
	s[strcspn(s, "\n")] = 0;
	return strncmp(s, "libbpf: ", 8) ? s : s + 8;
}

static char *copy(const char *s)
{
	return strcpy(cli_alloc(strlen(s) + 1), s);
}

/* ---- one program ---- */

/* Names that Linux refuses, as bpftrace gives them, are mended by the loaders of such objects; they are nothing that a program does. */
static void mend_name(union bpf_attr *attr)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.";

	for (u32 i = 0; i < sizeof(attr->prog_name) && attr->prog_name[i]; i++)
		if (!strchr(allowed, attr->prog_name[i]))
			attr->prog_name[i] = '_';
}

static int check_load(void *ud, struct skep *k, int cmd, union bpf_attr *attr, unsigned int size)
{
	struct checker *ch = ud;
	char why[320];

	if (cmd != BPF_PROG_LOAD || !ch->program ||
		(const void *)(uintptr_t)attr->insns != bpf_program__insns(ch->program))
		return skep_bpf(k, cmd, attr, size);
	if (ch->row->reached)
		return ch->result;
	if (!ch->row->why && loader_fill(k, ch->image, ch->obj, bpf_program__name(ch->program), attr, why, sizeof(why)))
		ch->row->why = copy(why);
	if (ch->row->why)
		return -ENOENT;
	ch->row->reached = true;
	ch->row->check.size = sizeof(ch->row->check);
	mend_name(attr);
	ch->result = skep_prog_check(k, attr, size, &ch->row->check);
	return ch->result;
}

/* Programs in sections of unknown name, and those that replace a function of a program that is not here. */
static const char *give_type(struct checker *ch, struct bpf_object *obj, struct bpf_program *p)
{
	const char *section = ch->args->type, *own = bpf_program__section_name(p);
	enum bpf_attach_type attach;
	enum bpf_prog_type type;
	static char why[256];
	char note[CONTEXT_NOTE];

	if (bpf_program__type(p) != BPF_PROG_TYPE_UNSPEC)
		return NULL;
	if (!section && type_by_context(bpf_object__btf(obj), p, note)) {
		cli_warning(ch->c, "%s: %s: %s", ch->row->object, bpf_program__name(p), note);
		ch->row->note = copy(note);
		return NULL;
	}
	if (!section && !strncmp(own, SECTION_REPLACES, strlen(SECTION_REPLACES)))
		return "it replaces a function, and its context does not tell the type of that program; say it with --type";
	if (!section) {
		snprintf(why, sizeof(why), "section \"%s\" names no type of program; say it with --type", strcmp(own, SECTION_TEXT) ? own : ".text");
		return why;
	}
	if (libbpf_prog_type_by_name(section, &type, &attach)) {
		snprintf(why, sizeof(why), "--type %s: no such section", section);
		return why;
	}
	bpf_program__set_type(p, type);
	bpf_program__set_expected_attach_type(p, attach);
	return NULL;
}

/* Users without privileges cannot create some kinds. */
static void prepare_maps(struct checker *ch, struct bpf_object *obj)
{
	struct bpf_map *map;

	loader_prepare(obj);
	bpf_object__for_each_map(map, obj)
	{
		const struct map_kind_info *kind = map_kind(bpf_map__type(map));

		if (ch->args->unprivileged && kind && kind->ops->traits & (KIND_PRIVILEGED | KIND_NET_ADMIN))
			bpf_map__set_autocreate(map, false);
	}
}

static void check_program(struct checker *ch, const char *path, const struct bytes *image, const char *name, struct row *row)
{
	struct bpf_object *obj = loader_open(path, image);
	struct bpf_program *p, *other;
	const char *why;
	char missing[256];

	said[0] = 0;
	p = obj ? bpf_object__find_program_by_name(obj, name) : NULL;
	if (!p) {
		row->why = copy(said[0] ? first_line(said) : "the program is gone");
		bpf_object__close(obj);
		return;
	}
	bpf_object__for_each_program(other, obj) bpf_program__set_autoload(other, other == p);
	ch->row = row;
	why = give_type(ch, obj, p);
	row->type = bpf_program__type(p);
	if (why) {
		row->why = copy(why);
		bpf_object__close(obj);
		return;
	}
	prepare_maps(ch, obj);
	bpf_program__set_flags(p, bpf_program__flags(p) | (u32)ch->args->flags);
	if (ch->log) {
		ch->log[0] = 0;
		bpf_program__set_log_buf(p, ch->log, LOG_BYTES);
		bpf_program__set_log_level(p, (u32)ch->args->log);
	}
	ch->image = image;
	ch->obj = obj;
	ch->program = p;
	skep_set_unprivileged(ch->k, ch->args->unprivileged);
	if (bpf_object__load(obj) && !row->reached && !row->why) {
		char text[160];

		libbpf_strerror(errno, text, sizeof(text));
		row->why = copy(said[0] ? first_line(said) : text);
	}
	/* Acceptance by steps that come before the verifier is none. */
	if (row->reached && !row->check.decided && !row->check.as_linux.error) {
		row->reached = false;
		row->why = copy("it was not verified: this build only checks its structure");
	}
	if (row->reached && ch->missing[0] && !strcmp(row->check.as_linux.code, "KFUNC_UNKNOWN") && strstr(row->check.as_linux.message, "not eliminated")) {
		row->reached = false;
		snprintf(missing, sizeof(missing), "it calls a kernel function that the kernel does not have: %s", ch->missing);
		row->why = copy(missing);
	}
	skep_set_unprivileged(ch->k, 0);
	ch->program = NULL;
	if (ch->log && row->reached) {
		row->log = copy(ch->log);
	}
	bpf_object__close(obj);
}

/* ---- one object ---- */

static struct row *add_row(struct checker *ch, const char *object, const char *program)
{
	struct row *r = vec_push(&mem_libc, &ch->rows);

	if (!r)
		abort();
	*r = (struct row){.object = object, .program = program ? copy(program) : NULL};
	return r;
}

static void unreadable(struct checker *ch, const char *path, const char *why)
{
	ch->unreadable = true;
	cli_error(ch->c, "%s: %s", path, why);
}

static void no_such_program(struct checker *ch, const char *path, struct bpf_object *obj)
{
	enum { NAMES = 10 };
	struct bpf_program *p;
	struct text t;
	u32 n = 0;

	text_open(&t, &mem_libc);
	bpf_object__for_each_program(p, obj)
		if (n++ < NAMES)
			text_addf(&t, "%s%s", n > 1 ? ", " : "; it has ", bpf_program__name(p));
	if (n > NAMES)
		text_addf(&t, " and %u more", n - NAMES);
	ch->unreadable = true;
	cli_error(ch->c, "%s: has no program of the name %s%s", path, ch->args->prog, text_str(&t));
	text_close(&t);
}

static void check_object(struct checker *ch, const char *path)
{
	struct bytes image;
	struct bpf_object *obj;
	struct bpf_program *p;
	unsigned mended = 0, untyped = 0, n = 0;
	const char *refused;
	char why[256] = "";
	int err = read_file(path, &image);

	if (err) {
		unreadable(ch, path, strerror(-err));
		return;
	}
	refused = form_refused(image.at, image.n, why);
	if (refused && types_hide(&image)) {
		untyped = MENDED_TYPES;
		refused = form_refused(image.at, image.n, why);
	}
	if (refused) {
		unreadable(ch, path, refused);
		bytes_free(&image);
		return;
	}
	structs_hide(&image);
	externs_weaken(ch->k, &image, ch->missing, sizeof(ch->missing));
	if (object_mend(&image, &mended, why, sizeof(why))) {
		unreadable(ch, path, why);
		bytes_free(&image);
		return;
	}
	said[0] = 0;
	obj = loader_open(path, &image);
	if (!obj) {
		libbpf_strerror(errno, why, sizeof(why));
		unreadable(ch, path, form_hint(said) ? form_hint(said) : said[0] ? first_line(said) : why);
		bytes_free(&image);
		return;
	}
	mended_say(ch->c, path, mended | untyped);
	bpf_object__for_each_program(p, obj)
	{
		if (ch->args->prog && strcmp(ch->args->prog, bpf_program__name(p)))
			continue;
		n++;
		check_program(ch, path, &image, bpf_program__name(p), add_row(ch, path, bpf_program__name(p)));
	}
	if (!n && ch->args->prog)
		no_such_program(ch, path, obj);
	else if (!n)
		unreadable(ch, path, "has no program");
	bpf_object__close(obj);
	bytes_free(&image);
}

/* ---- what is printed ---- */

static const char *type_name(u32 type)
{
	const struct progtype *t = progtype(type);

	return t ? t->name : "?";
}

static const char *word(const struct row *r, const struct skep_verdict *v)
{
	return !r->reached ? "unknown" : v->error ? "reject" : "accept";
}

static const char *message(const struct skep_verdict *v)
{
	return v->message[0] ? v->message : v->error == -ENOTSUPP ? "not supported" : strerror(-v->error);
}

static void print_reason(struct table *t, const struct row *r)
{
	const struct skep_verdict *v = &r->check.as_linux;
	char place[320] = "";

	if (!r->reached) {
		table_cell(t, "%s", r->why);
		return;
	}
	if (v->error && v->line)
		snprintf(place, sizeof(place), "%s:%u: ", v->file, v->line);
	else if (v->error && v->insn != UINT32_MAX)
		snprintf(place, sizeof(place), "insn %u: ", v->insn);
	if (!v->error && r->check.safe.error)
		table_cell(t, "skep itself refuses it: %s", message(&r->check.safe));
	else if (v->error)
		table_cell(t, "%s%s%s", place, message(v), r->check.safe.error ? "" : " (skep itself accepts it)");
	else
		table_cell(t, "%s", "");
}

static void print_row(const struct checker *ch, struct table *t, const struct row *r)
{
	const struct skep_verdict *v = &r->check.as_linux;
	enum paint color = !r->reached ? PAINT_YELLOW : v->error ? PAINT_RED : PAINT_GREEN;

	table_cell(t, "%s", r->program);
	table_cell(t, "%s", type_name(r->type));
	table_cell(t, "%s%s%s", paint(ch->c, color), word(r, &r->check.as_linux), paint(ch->c, PAINT_NONE));
	table_cell(t, "%u", r->check.insns);
	table_cell(t, "%llu", (unsigned long long)v->processed);
	table_cell(t, "%llu", (unsigned long long)v->states);
	table_cell(t, "%.3f", (double)v->time_us / 1000);
	if (ch->args->stats) {
		table_cell(t, "%llu", (unsigned long long)v->peak_bytes / 1024);
		table_cell(t, "%llu", (unsigned long long)r->check.safe.processed);
		table_cell(t, "%llu", (unsigned long long)r->check.safe.states);
		table_cell(t, "%.3f", (double)r->check.safe.time_us / 1000);
		table_cell(t, "%llu", (unsigned long long)r->check.safe.peak_bytes / 1024);
	}
	print_reason(t, r);
}

static void print_object(struct checker *ch, u32 from, u32 to)
{
	static const char *const heads[] = {"PROGRAM",	 "TYPE",   "VERDICT", "INSNS",
						"PROCESSED", "STATES", "MS"};
	static const char *const more[] = {"KIB", "SAFE-PROCESSED", "SAFE-STATES", "SAFE-MS", "SAFE-KIB"};
	struct table t;

	table_open(&t, ch->args->stats ? "lllrrrrrrrrrl" : "lllrrrrl");
	for (u32 i = 0; i < ARRAY_SIZE(heads); i++)
		table_cell(&t, "%s", heads[i]);
	for (u32 i = 0; ch->args->stats && i < ARRAY_SIZE(more); i++)
		table_cell(&t, "%s", more[i]);
	table_cell(&t, "%s", "REASON");
	for (u32 i = from; i < to; i++)
		print_row(ch, &t, &ch->rows.at[i]);
	table_close(&t, stdout);
	for (u32 i = from; i < to; i++)
		if (ch->rows.at[i].log)
			printf("\n%s%s: log of the verifier%s\n%s", paint(ch->c, PAINT_BOLD),
			       ch->rows.at[i].program, paint(ch->c, PAINT_NONE), ch->rows.at[i].log);
}

static void print_sums(struct checker *ch)
{
	u64 processed = 0, us = 0, peak = 0;
	u32 accepted = 0, rejected = 0, unknown = 0;

	for (u32 i = 0; i < ch->rows.n; i++) {
		const struct row *r = &ch->rows.at[i];

		processed += r->check.as_linux.processed;
		us += r->check.as_linux.time_us;
		peak = MAX(peak, r->check.as_linux.peak_bytes);
		unknown += !r->reached;
		rejected += r->reached && r->check.as_linux.error;
		accepted += r->reached && !r->check.as_linux.error;
	}
	printf("\n%u accepted, %u rejected, %u unknown; %llu instructions processed in %.3f ms, at most %llu "
	       "KiB\n",
	       accepted, rejected, unknown, (unsigned long long)processed, (double)us / 1000,
	       (unsigned long long)peak / 1024);
}

static void print_text(struct checker *ch)
{
	for (u32 from = 0, to; from < ch->rows.n; from = to) {
		const char *object = ch->rows.at[from].object;

		for (to = from; to < ch->rows.n && ch->rows.at[to].object == object;)
			to++;
		if (ch->c->n_operands > 1)
			printf("%s%s%s%s:\n", from ? "\n" : "", paint(ch->c, PAINT_BOLD), object,
			       paint(ch->c, PAINT_NONE));
		print_object(ch, from, to);
	}
	if (ch->args->stats)
		print_sums(ch);
}

static void json_known(struct json *j, const char *key, bool known, s64 n)
{
	if (known)
		json_signed(j, key, n);
	else
		json_text(j, key, NULL);
}

static void json_either(struct json *j, const char *key, bool known, s64 n, const char *words)
{
	if (known)
		json_signed(j, key, n);
	else
		json_text(j, key, words[0] ? words : NULL);
}

/* Why, as data: what was missing, and where the program lost it. */
static void json_reason(struct json *j, const struct skep_verdict *v, bool refused)
{
	json_known(j, "reg", refused && v->reg >= 0, v->reg);
	json_either(j, "needed", refused && v->measured, v->needed, refused ? v->needs : "");
	json_either(j, "proved", refused && v->measured, v->proved, refused ? v->holds : "");
	json_known(j, "lost_at", refused && v->lost_at != UINT32_MAX, v->lost_at);
	json_known(j, "lost_line", refused && v->lost_line, v->lost_line);
	json_bool(j, "lost_at_entry", refused && v->lost_at_entry);
	json_array(j, "path");
	for (u32 i = 0; refused && i < v->n_path; i++) {
		json_array(j, NULL);
		json_unsigned(j, NULL, v->path[i].from);
		json_unsigned(j, NULL, v->path[i].to);
		json_end(j);
	}
	json_end(j);
}

static void json_row(struct json *j, const struct row *r)
{
	const struct skep_verdict *v = &r->check.as_linux;
	bool refused = r->reached && v->error;

	json_object(j, NULL);
	json_text(j, "object", r->object);
	json_text(j, "program", r->program);
	json_text(j, "type", type_name(r->type));
	json_text(j, "verdict", word(r, &r->check.as_linux));
	json_text(j, "safe", word(r, &r->check.safe));
	json_text(j, "code", refused && v->code[0] ? v->code : NULL);
	json_text(j, "message", !r->reached ? r->why : refused ? message(v) : NULL);
	json_text(j, "note", r->note);
	json_known(j, "insn", refused && v->insn != UINT32_MAX, v->insn);
	json_text(j, "file", refused && v->line ? v->file : NULL);
	json_known(j, "line", refused && v->line, v->line);
	json_reason(j, v, refused);
	json_unsigned(j, "insns", r->check.insns);
	json_unsigned(j, "processed", v->processed);
	json_unsigned(j, "given_up", r->check.safe.given_up);
	json_unsigned(j, "states", v->states);
	json_unsigned(j, "time_us", v->time_us);
	json_unsigned(j, "peak_bytes", v->peak_bytes);
	if (r->log)
		json_text(j, "log", r->log);
	json_end(j);
}

static void print_json(struct checker *ch)
{
	struct json j;

	json_open(&j, stdout);
	json_array(&j, NULL);
	for (u32 i = 0; i < ch->rows.n; i++)
		json_row(&j, &ch->rows.at[i]);
	json_end(&j);
}

/* ---- the verb ---- */

/* The engine reads types when it first needs them, and does without where that fails: what the user named is to be seen to be right. */
static int types_readable(const char *path)
{
	char in_folder[PATH_MAX];
	struct btf b = {0};
	struct stat st;
	int err;

	snprintf(in_folder, sizeof(in_folder), "%s/vmlinux", path);
	err = btf_open_file(&b, &mem_libc, !stat(path, &st) && S_ISDIR(st.st_mode) ? in_folder : path, NULL);
	if (!err)
		btf_free(&b);
	return err;
}

static int open_engine(struct checker *ch)
{
	static const char host[] = "/sys/kernel/btf";
	struct skep_options opts = {.size = sizeof(opts), .kernel_btf = ch->args->btf};
	struct stat st;
	int err = ch->args->btf ? types_readable(ch->args->btf) : 0;

	if (err)
		return cli_error(ch->c, "%s: cannot be used as a kernel's BTF: %s", ch->args->btf, err == -EINVAL ? "it is none, is damaged, or is a module's, which needs the folder with its kernel's" :
					      err == -ENOENT ? "there is no such file, or no vmlinux in the folder" : strerror(-err)),
		       STATUS_USAGE;
	if (!ch->args->btf && !stat(host, &st))
		opts.kernel_btf = host;
	err = skep_open(&ch->k, &opts);
	if (err)
		return cli_error(ch->c, "cannot make an engine: %s", strerror(-err)), STATUS_USAGE;
	skep_bpf_use(ch->k);
	skep_bpf_hook(check_load, ch);
	libbpf_set_print(collect);
	err = skep_bpf_sections();
	return err ? (cli_error(ch->c, "cannot tell libbpf of newer sections: %s", strerror(-err)),
		      STATUS_USAGE)
		   : -1;
}

static void close_all(struct checker *ch)
{
	for (u32 i = 0; i < ch->rows.n; i++) {
		free(ch->rows.at[i].program);
		free(ch->rows.at[i].why);
		free(ch->rows.at[i].note);
		free(ch->rows.at[i].log);
	}
	vec_free(&mem_libc, &ch->rows);
	free(ch->log);
	skep_bpf_hook(NULL, NULL);
	skep_close(ch->k);
}

static int run_check(struct cli *c)
{
	struct checker ch = {.c = c, .args = c->args};
	bool refused = false;
	int status = open_engine(&ch);

	if (status >= 0)
		return status;
	if (ch.args->log != LOG_NONE)
		ch.log = cli_alloc(LOG_BYTES);
	for (unsigned i = 0; i < c->n_operands; i++)
		check_object(&ch, c->operands[i]);
	for (u32 i = 0; i < ch.rows.n; i++) {
		ch.unreadable |= !ch.rows.at[i].reached;
		refused |= ch.rows.at[i].reached && ch.rows.at[i].check.as_linux.error;
	}
	if (ch.args->json)
		print_json(&ch);
	else
		print_text(&ch);
	status = ch.unreadable ? STATUS_USAGE : refused ? STATUS_FAILED : STATUS_DONE;
	close_all(&ch);
	return status;
}

static const struct example check_examples[] = {
	{"skep check prog.o",
     "A row for each program: would this kernel load it, what did that take, and if not, why?"},
	{"skep check --btf vmlinux-6.1.btf prog.o", "Against the types of another kernel."},
	{"skep check --prog handle_exec --log 2 prog.o",
     "One program, with the verifier's state at each instruction."},
	{"skep check --json *.o | jq -r '.[] | select(.verdict == \"reject\") | .message'",
     "The reasons of all that are refused."},
	{NULL, NULL},
};

const struct verb verb_check = {
	.run = run_check,
	.opts = check_opts,
	.args_size = sizeof(struct check_args),
	.defaults = &check_defaults,
	.operands = "OBJ...",
	.min_operands = 1,
	.max_operands = UINT32_MAX,
	.about = "Says whether Linux would load the programs of BPF objects, and why not. Each is verified on "
	     "its own, without privileges and "
	     "without the kernel's bpf(2). Verdict, instructions processed, states and time are of Linux's "
	     "rules and limits; "
	     "where skep's own verdict, with its own limits, differs, the reason says so.",
	.examples = check_examples,
};
