/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * skep feature: what this build supports. Every line comes from the table that the engine itself works from, so
 * that nothing can be listed which is not there.
 */
#include "cli/cli.h"

#include "abi/abi.h"
#include "hook/hooks.h"
#include "isa/isa.h"
#include "sys/sys.h"

#include <ctype.h>

struct feature_args {
	bool json;
};

static const struct opt feature_opts[] = {
	FLAG(struct feature_args, json, 'j', "json", "print one JSON object"),
	OPTS_END,
};

/* A list of what is there: one row per table, so that text and JSON cannot differ. */
struct feature {
	const char *name, *since, *about;
	u32 id;
	char text[96]; /* room for a name that is put together */
};

struct feature_list {
	const char *key, *title;
	bool (*at)(u32 i, struct feature *f); /* false: no such row */
};

static bool instruction_at(u32 i, struct feature *f)
{
	const struct op_info *op = &op_table[i + 1];

	_Static_assert(OP_PAD == OP_COUNT - 1, "what is behind the last instruction is the second slot of a 64-bit load");
	if (i + 1 >= OP_PAD)
		return false;
	*f = (struct feature){.id = i + 1, .name = op->name, .about = op->meaning};
	return true;
}

static bool helper_at(u32 i, struct feature *f)
{
	u32 n;
	const struct helper_proto *p = helper_protos(&n);

	for (; n; n--, p++)
		if (p->has_body && i-- == 0)
			break;
	if (!n)
		return false;
	*f = (struct feature){.id = p->id, .name = p->name, .since = p->since, .about = p->doc};
	return true;
}

static bool map_kind_at(u32 i, struct feature *f)
{
	u32 n;
	const struct map_kind_info *k = map_kinds(&n);

	if (i >= n)
		return false;
	*f = (struct feature){.id = k[i].id, .name = k[i].name, .since = k[i].since};
	return true;
}

static bool program_type_at(u32 i, struct feature *f)
{
	u32 n;
	const struct progtype *t = progtypes(&n);

	if (i >= n)
		return false;
	*f = (struct feature){.id = t[i].id, .name = t[i].name, .since = t[i].since,
			      .about = t[i].runs == RUN_NONE ? "verified, not run" : t[i].runs == RUN_EVENT ? "runs where it is attached" : NULL};
	return true;
}

/* Rows that only answer with an error are commands that the engine knows, not ones that it has. */
static bool command_works(const struct cmd_info *cmd)
{
	static int (*const only_errors[])(struct sys_call *) = {
		sys_prog_attach, sys_prog_detach,  sys_prog_query,  sys_iter_create,
		sys_token_create, sys_stream_read, sys_link_update, sys_link_detach,
	};

	for (u32 i = 0; i < ARRAY_SIZE(only_errors); i++)
		if (cmd->handler == only_errors[i])
			return false;
	return true;
}

static bool command_at(u32 i, struct feature *f)
{
	u32 n;
	const struct cmd_info *cmd = cmd_infos(&n);

	for (u32 at = 0; at < n; at++) {
		if (!command_works(&cmd[at]) || i--)
			continue;
		*f = (struct feature){.id = cmd[at].id, .name = cmd[at].name, .since = cmd[at].since};
		return true;
	}
	return false;
}

static bool hook_at(u32 i, struct feature *f)
{
	char name[SITE_NAME];
	u32 n = 0;

	*f = (struct feature){0};
	while ((f->name = perf_hook(n, &f->about)) && n < i)
		n++;
	if (f->name)
		return true;
	i -= n;
	if (i >= site_count())
		return false;
	*f = (struct feature){.id = site_id(i), .about = site_raw(site_name(i, name)) < 0 ? "tracepoint" : "tracepoint, raw_tracepoint, tracing (tp_btf)"};
	snprintf(f->text, sizeof(f->text), "%s:%s", site_category(i), site_name(i, name));
	f->name = f->text;
	return true;
}

static const struct feature_list lists[] = {
	{"instructions", "instructions", instruction_at},
	{"helpers", "helpers", helper_at},
	{"map_types", "map types", map_kind_at},
	{"program_types", "program types", program_type_at},
	{"commands", "bpf(2) commands", command_at},
	{"hooks", "hooks", hook_at},
};

/* The kernel's spelling of names is lower case in tools' output (bpftool's too). */
static const char *lower(const char *name, char *to, size_t size)
{
	size_t i;

	for (i = 0; name[i] && i + 1 < size; i++)
		to[i] = (char)tolower((unsigned char)name[i]);
	to[i] = 0;
	return to;
}

static void print_json(void)
{
	struct json j;
	struct feature f;
	char name[64];

	json_open(&j, stdout);
	json_object(&j, NULL);
	json_text(&j, "version", skep_version());
	for (u32 l = 0; l < ARRAY_SIZE(lists); l++) {
		json_array(&j, lists[l].key);
		for (u32 i = 0; lists[l].at(i, &f); i++) {
			json_object(&j, NULL);
			json_text(&j, "name", lower(f.name, name, sizeof(name)));
			if (f.since) {
				json_unsigned(&j, "id", f.id);
				json_text(&j, "since", f.since);
			}
			if (f.about)
				json_text(&j, f.since ? "about" : "meaning", f.about);
			json_end(&j);
		}
		json_end(&j);
	}
	json_end(&j);
}

static void print_text(const struct cli *c)
{
	struct feature f;
	char name[64];

	for (u32 l = 0; l < ARRAY_SIZE(lists); l++) {
		struct table t;
		u32 n = 0;

		while (lists[l].at(n, &f))
			n++;
		printf("%s%s%s%s (%u)\n", l ? "\n" : "", paint(c, PAINT_BOLD), lists[l].title, paint(c, PAINT_NONE), n);
		table_open(&t, "lrl");
		t.indent = 2;
		for (u32 i = 0; lists[l].at(i, &f); i++) {
			table_cell(&t, "%s", lower(f.name, name, sizeof(name)));
			table_cell(&t, "%s", f.since ? f.since : "");
			table_cell(&t, "%s", f.about ? f.about : "");
		}
		table_close(&t, stdout);
	}
}

static int run_feature(struct cli *c)
{
	const struct feature_args *args = c->args;

	if (args->json)
		print_json();
	else
		print_text(c);
	return STATUS_DONE;
}

static const struct example feature_examples[] = {
	{"skep feature", "Everything, with the first Linux that had it."},
	{"skep feature --json | jq -r '.helpers[].name'", "The helpers' names alone."},
	{NULL, NULL},
};

const struct verb verb_feature = {
	.run = run_feature,
	.opts = feature_opts,
	.args_size = sizeof(struct feature_args),
	.about = "Lists the instructions, helpers, map types, program types, bpf(2) commands and hooks that this build of skep "
		 "supports. The second column is the first Linux release that had it.",
	.examples = feature_examples,
};
