/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading an object: libbpf does it, into the engine of this process. Section names that this libbpf does not know are told to it. */
#include "cli/run.h"

#include "cli/form.h"
#include "cli/loader.h"
#include "cli/mend.h"
#include "isa/isa.h"

#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* libbpf's own words are kept, and shown only when something failed. */
static char *said;
static size_t said_len;

static void keep(const char *text, size_t n)
{
	said = cli_resize(said, said_len + n + 1);
	memcpy(said + said_len, text, n);
	said_len += n;
	said[said_len] = 0;
}

static int collect(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[4096];
	int n;

	if (level == LIBBPF_DEBUG)
		return 0;
	n = vsnprintf(line, sizeof(line), fmt, ap);
	if (n > 0)
		keep(line, MIN((size_t)n, sizeof(line) - 1));
	return n;
}

/* What PROG_LOAD refuses libbpf tries twice, and prints the log of. */
static void engine_log(void *ud, const char *line)
{
	(void)ud;
	if (!strncmp(line, "PROG_LOAD: ", 11))
		return;
	keep("skep: ", 6);
	keep(line, strlen(line));
	keep("\n", 1);
}

void repeat_said(size_t from)
{
	if (said && from < said_len)
		fputs(said + from, stderr);
}

size_t said_until_now(void)
{
	return said_len;
}

static struct bpf_program *choose(struct target *t)
{
	struct bpf_program *p, *found = NULL;
	unsigned n = 0;

	bpf_object__for_each_program(p, t->obj) {
		if (t->args->prog ? !strcmp(bpf_program__name(p), t->args->prog) : true)
			found = found ? found : p, n++;
	}
	if (n == 1)
		return found;
	if (t->args->prog)
		cli_error(t->c, "%s has no program named \"%s\"; it has:", t->c->operands[0], t->args->prog);
	else if (n)
		cli_error(t->c, "%s has %u programs; choose one with --prog:", t->c->operands[0], n);
	else
		cli_error(t->c, "%s has no program", t->c->operands[0]);
	bpf_object__for_each_program(p, t->obj) fprintf(stderr, "  %-24s %s\n", bpf_program__name(p), bpf_program__section_name(p));
	return NULL;
}

static int engine_open(struct target *t)
{
	struct skep_options opts = {.size = sizeof(opts), .log = engine_log, .unverified = t->args->insns != NULL,
				    .engine = t->args->engine};
	int err;

	/* a debugger is told in any case: it asks for nothing */
	opts.profile = SKEP_PROFILE_GDB | (t->args->perf_map ? (u32)SKEP_PROFILE_PERF_MAP : 0u) | (t->args->jitdump ? (u32)SKEP_PROFILE_JITDUMP : 0u);
	opts.jitdump_dir = t->args->jitdump;
	err = skep_open(&t->k, &opts);
	if (err && (t->args->jitdump || t->args->perf_map))
		return cli_error(t->c, "cannot make an engine that writes %s%s%s: %s", t->args->perf_map ? "/tmp/perf-PID.map" : "", t->args->perf_map && t->args->jitdump ? " and a jitdump in " : t->args->jitdump ? "a jitdump in " : "",
				 t->args->jitdump ? t->args->jitdump : "", strerror(-err));
	if (err)
		return cli_error(t->c, "cannot make an engine: %s", strerror(-err));
	skep_bpf_use(t->k);
	return STATUS_DONE;
}

static int open_bare(struct target *t)
{
	struct skep_prog_type type = {.struct_size = sizeof(type), .name = "bare", .writable = 1};
	struct bytes b;
	char why[160], log[1024];
	int id;

	if (read_code(t->args->insns, &b, why, sizeof(why)))
		return cli_usage(t->c, "--insns: %s", why);
	if (b.n == 0 || b.n % sizeof(struct raw_insn)) {
		int status = cli_usage(t->c, "--insns: %zu bytes: instructions are of 8 bytes each", b.n);

		bytes_free(&b);
		return status;
	}
	id = skep_prog_type_register(t->k, &type);
	t->name = "insns";
	t->type = (u32)id;
	t->fd = id < 0 ? id : skep_prog_load(t->k, &(struct skep_prog){.size = sizeof(struct skep_prog), .type = (u32)id,
								       .insns = b.at, .n_insns = (u32)(b.n / 8), .license = "GPL"}, log, sizeof(log));
	bytes_free(&b);
	if (t->fd >= 0)
		return STATUS_DONE;
	log[strcspn(log, "\n")] = 0;
	return cli_error(t->c, "refused: %s", log[0] ? log : strerror(-t->fd));
}

/* From memory, so that stdin and pipes do. */
static int open_object(struct target *t, const char *path)
{
	int err = read_file(path, &t->image);
	unsigned mended = 0;
	const char *why;
	char text[256];

	if (err)
		return cli_error(t->c, "%s: %s", path, strerror(-err)), STATUS_USAGE;
	why = form_refused(t->image.at, t->image.n, text);
	if (why)
		return cli_error(t->c, "%s: %s", path, why), STATUS_USAGE;
	structs_hide(&t->image);
	if (object_mend(&t->image, &mended, text, sizeof(text)))
		return cli_error(t->c, "%s: %s", path, text), STATUS_USAGE;
	t->obj = loader_open(path, &t->image);
	err = errno;
	mended_say(t->c, path, mended & ~(unsigned)NO_LICENSE);
	if (t->obj)
		return STATUS_DONE;
	repeat_said(0);
	libbpf_strerror(err, text, sizeof(text));
	return cli_error(t->c, "%s: cannot be opened as a BPF object: %s", path, form_hint(said) ? form_hint(said) : text), STATUS_USAGE;
}

/* libbpf does not know what a program of a struct of functions implements. */
static int load_member(void *ud, struct skep *k, int cmd, union bpf_attr *attr, unsigned int size)
{
	struct target *t = ud;
	char why[320];

	if (cmd == BPF_PROG_LOAD && (const void *)(uintptr_t)attr->insns == bpf_program__insns(t->prog) &&
		loader_fill(k, &t->image, t->obj, t->name, attr, why, sizeof(why))) {
		keep(why, strlen(why));
		keep("\n", 1);
		return -ENOENT;
	}
	return skep_bpf(k, cmd, attr, size);
}

/* What skep lacks, by what libbpf said: `lacks` with the program's section, or else with the name that follows libbpf's words. */
static bool lacking(const struct target *t, char *why, size_t size)
{
	static const struct {
		const char *words, *lacks;
		bool section;
	} known[] = {
		{"failed to find kernel BTF type ID of '", "the hook", true},
		{"attach program FD is not set", "anything to replace for the hook", true},
		{"extern (func ksym) '", "the kernel function", false},
		{"the kernel has no struct ", "the hook struct_ops of struct", false},
	};

	for (u32 i = 0; said && i < ARRAY_SIZE(known); i++) {
		const char *at = strstr(said, known[i].words);

		if (!at)
			continue;
		at = known[i].section ? bpf_program__section_name(t->prog) : at + strlen(known[i].words);
		snprintf(why, size, "skep %s does not have %s %.*s; skep check verifies it", skep_version(), known[i].lacks, (int)strcspn(at, "'\n"), at);
		return true;
	}
	return false;
}

/* Libbpf's words are shown where they say more than the reason does. */
static int refused(struct target *t, const char *path, int err)
{
	char why[256];

	if (!lacking(t, why, sizeof(why))) {
		repeat_said(0);
		if (said && strstr(said, "failed to resolve CO-RE relocation"))
			snprintf(why, sizeof(why), "it is relocated against types of a kernel that skep does not have");
		else
			libbpf_strerror(err, why, sizeof(why));
	}
	return cli_error(t->c, "%s: program %s is refused: %s", path, t->name, why);
}

int target_open(struct target *t, const char *path)
{
	char why[CONTEXT_NOTE];
	int err = engine_open(t);

	t->fd = -1;
	if (err)
		return err;
	if (!path)
		return open_bare(t);
	libbpf_set_print(collect);
	err = skep_bpf_sections();
	if (err)
		return cli_error(t->c, "cannot tell libbpf of newer sections: %s", strerror(-err));
	err = open_object(t, path);
	if (err)
		return err;
	t->prog = choose(t);
	if (!t->prog)
		return STATUS_USAGE;
	t->name = bpf_program__name(t->prog);
	if (bpf_program__type(t->prog) == BPF_PROG_TYPE_UNSPEC && type_by_context(bpf_object__btf(t->obj), t->prog, why))
		cli_warning(t->c, "%s: %s", t->name, why);
	t->type = bpf_program__type(t->prog);
	loader_only(t->obj, &t->image, t->prog);
	maps_note_types(t);
	loader_fixed_sizes(t->obj);
	if (loader_unpin(t->obj))
		cli_warning(t->c, "%s: maps are not pinned: what lies below /sys is the kernel's", path);
	skep_bpf_hook(load_member, t);
	err = bpf_object__load(t->obj) ? errno : 0;
	skep_bpf_hook(NULL, NULL);
	if (err)
		return refused(t, path, err);
	t->fd = bpf_program__fd(t->prog);
	return STATUS_DONE;
}

void target_close(struct target *t)
{
	if (t->obj)
		bpf_object__close(t->obj);
	else if (t->fd >= 0)
		close(t->fd);
	skep_close(t->k);
	bytes_free(&t->image);
	free(t->map_types);
	free(said);
	said = NULL;
	said_len = 0;
}

/* ---- faults ---- */

/* The source line of an instruction, from what the engine keeps of the loaded program. */
static void show_line(struct target *t, u32 insn)
{
	struct bpf_line_info lines[4096];
	struct bpf_prog_info info = {.line_info = (u64)(uintptr_t)lines, .nr_line_info = ARRAY_SIZE(lines), .line_info_rec_size = sizeof(lines[0])};
	const struct btf *b = t->obj ? bpf_object__btf(t->obj) : NULL;
	const struct bpf_line_info *at = NULL;
	u32 size = sizeof(info);

	if (!b || bpf_obj_get_info_by_fd(t->fd, &info, &size))
		return;
	for (u32 i = 0; i < info.nr_line_info && i < ARRAY_SIZE(lines) && lines[i].insn_off <= insn; i++)
		at = &lines[i];
	if (at)
		fprintf(stderr, "  %s:%u: %s\n", btf__str_by_offset(b, at->file_name_off), BPF_LINE_INFO_LINE_NUM(at->line_col),
			btf__str_by_offset(b, at->line_off) + strspn(btf__str_by_offset(b, at->line_off), " \t"));
}

static void show_insn(struct target *t, u32 insn)
{
	struct bpf_prog_info info = {0};
	u32 size = sizeof(info);
	struct raw_insn *raw;
	struct insn *insns;
	struct insn_error err;
	struct text text;
	u32 n;

	if (bpf_obj_get_info_by_fd(t->fd, &info, &size) || !info.xlated_prog_len)
		return;
	n = info.xlated_prog_len / (u32)sizeof(*raw);
	raw = cli_alloc(n * sizeof(*raw));
	insns = cli_alloc(n * sizeof(*insns));
	info = (struct bpf_prog_info){.xlated_prog_insns = (u64)(uintptr_t)raw, .xlated_prog_len = n * (u32)sizeof(*raw)};
	size = sizeof(info);
	text_open(&text, &mem_libc);
	if (!bpf_obj_get_info_by_fd(t->fd, &info, &size) && !insns_decode(raw, n, insns, &err) && insn < n) {
		insn_text(&text, &insns[insn], insn, NULL);
		fprintf(stderr, "  %u: %s\n", insn, text_str(&text));
	}
	text_close(&text);
	free(raw);
	free(insns);
}

void explain_fault(struct target *t, const struct skep_fault *f)
{
	cli_error(t->c, "program %s faulted: %s", t->name, f->text);
	show_insn(t, f->insn);
	show_line(t, f->insn);
}
