/* SPDX-License-Identifier: BSD-2-Clause */
/* skep run: a program on input, and what came of it. */
#include "cli/run.h"

#include "abi/abi.h"

#include <linux/bpf.h>
#include <stdlib.h>
#include <time.h>

static const struct run_args defaults = {.repeat = 1};

static const struct opt opts[] = {
	TEXT(struct run_args, prog, 'p', "prog", "NAME", "which program of the object; needed when it has several"),
	TEXT(struct run_args, pcap, 'r', "pcap", "FILE", "run on every packet of a capture (pcap, pcapng; Ethernet, raw IP)"),
	TEXT(struct run_args, write, 'w', "write", "FILE", "write the packets that pass (redirected ones too, if the program named a target), as the program left them, to a capture; -: to stdout, and the report to stderr"),
	TEXT(struct run_args, data, 0, "data", "HEX|@FILE", "run on one packet, or with --insns on these bytes"),
	TEXT(struct run_args, ctx, 0, "ctx", "HEX|@FILE", "the context: struct __sk_buff or xdp_md, arguments of a raw tracepoint, ..."),
	TEXT(struct run_args, insns, 0, "insns", "HEX|@FILE", "run bare bytecode with R1 = address and R2 = length of --data; prints R0"),
	TEXT(struct run_args, set, 0, "set", "MAP=FILE", "fill a map first: lines of \"key = value\", members in the order of their struct; several with commas"),
	TEXT(struct run_args, events, 0, "events", "STRUCT", "print the records of ring buffers as this struct of the object's BTF"),
	NUMBER(struct run_args, repeat, 'n', "repeat", "N", 1, UINT32_MAX, "run N times; a capture is read as often"),
	CHOICE(struct run_args, engine, 0, "engine", "auto|interp|jit", "what executes it: machine code where it can be compiled (auto, jit: or fail), or the interpreter, which checks every access"),
	TEXT(struct run_args, jitdump, 0, "jitdump", "DIR", "write compiled functions with their source lines to DIR/jit-PID.dump, for perf record -k mono and perf inject --jit"),
	FLAG(struct run_args, perf_map, 0, "perf-map", "write the names of compiled functions to /tmp/perf-PID.map, where perf finds them"),
	FLAG(struct run_args, maps, 'm', "maps", "print the contents of the object's maps afterwards"),
	FLAG(struct run_args, stats, 's', "stats", "print time and instructions"),
	FLAG(struct run_args, json, 'j', "json", "one JSON object: program, type, engine, code_bytes and compile_us or interpreted (why), runs, ns_per_run, retval, retval_counts, no_target, data_out, ctx_out, maps"),
	OPTS_END,
};

static const struct example examples[] = {
	{"skep run firewall.bpf.o --pcap traffic.pcap --maps", "verdicts over a capture, and the maps"},
	{"skep run filter.o --pcap in.pcap --write out.pcap", "keep what passes"},
	{"skep run --insns 'b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00'", "bare bytecode: prints 0x2a"},
	{NULL, NULL},
};

static int input(struct target *t, const char *option, const char *arg, struct bytes *out)
{
	char why[160];

	if (!arg)
		return STATUS_DONE;
	return read_bytes(arg, out, why, sizeof(why)) ? cli_usage(t->c, "%s: %s", option, why) : STATUS_DONE;
}

/* ---- one input, as often as asked ---- */

enum { CTX_ROOM = 512 /* larger than any context */ };

/* What a test run itself sets in a context where the caller left it to it. */
static bool set_by_run(const struct target *t, u32 at)
{
	u32 ifindex = offsetof(struct __sk_buff, ifindex), wire_len = offsetof(struct __sk_buff, wire_len);

	return takes_packets(t->type) && t->type != BPF_PROG_TYPE_XDP && (at - ifindex < sizeof(u32) || at - wire_len < sizeof(u32));
}

/* What a program made of the context that it was given. */
static void note_context(const struct target *t, struct outcome *o, const struct bytes *given, const u8 *now, u32 size)
{
	if (!given->at)
		return;
	for (u32 i = 0; i < size && !o->ctx_changed; i++)
		o->ctx_changed = now[i] != (i < given->n ? given->at[i] : 0) && !set_by_run(t, i);
	o->ctx.n = size;
	o->ctx.at = cli_alloc(size);
	memcpy(o->ctx.at, now, size);
}

static int run_flat(struct target *t, const struct bytes *ctx, struct outcome *o)
{
	u8 *copy = cli_alloc(ctx->n);
	struct skep_run run = {.size = sizeof(run), .ctx = ctx->at ? copy : NULL, .ctx_size = ctx->n, .pass_size = t->obj == NULL};
	size_t said = said_until_now();
	struct timespec a, b;
	int err = 0;

	if (ctx->at)
		memcpy(copy, ctx->at, ctx->n);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (u64 i = 0; i < t->args->repeat && !err; i++)
		err = skep_run(t->k, t->fd, &run);
	clock_gettime(CLOCK_MONOTONIC, &b);
	if (err == -EFAULT)
		explain_fault(t, &run.fault);
	if (err && err != -EFAULT) {
		cli_error(t->c, "%s: %s", t->name, strerror(-err));
		repeat_said(said);
	}
	if (!err && t->obj)
		note_context(t, o, ctx, copy, (u32)ctx->n);
	free(copy);
	if (err)
		return STATUS_FAILED;
	outcome_add(o, run.result, false, 0);
	o->runs = t->args->repeat;
	o->ns = (u64)(b.tv_sec - a.tv_sec) * 1000000000u + (u64)b.tv_nsec - (u64)a.tv_nsec;
	return STATUS_DONE;
}

/* Through PROG_TEST_RUN, as on a kernel. */
static int run_data(struct target *t, const struct bytes *data, const struct bytes *ctx, struct outcome *o)
{
	struct skep_test_result more = {.size = sizeof(more)};
	u8 ctx_out[CTX_ROOM] = {0};
	size_t said = said_until_now();
	union bpf_attr a;
	int err;

	o->out.n = data->n + 4096;
	o->out.at = cli_alloc(o->out.n);
	memset(&a, 0, sizeof(a));
	a.test.prog_fd = (u32)t->fd;
	a.test.data_in = (uintptr_t)data->at;
	a.test.data_size_in = (u32)data->n;
	a.test.data_out = (uintptr_t)o->out.at;
	a.test.data_size_out = (u32)o->out.n;
	a.test.ctx_in = (uintptr_t)ctx->at;
	a.test.ctx_size_in = (u32)ctx->n;
	a.test.ctx_out = (uintptr_t)(ctx->at ? ctx_out : NULL);
	a.test.ctx_size_out = ctx->at ? sizeof(ctx_out) : 0;
	a.test.repeat = (u32)t->args->repeat;
	err = skep_prog_test_run(t->k, &a, sizeof(a), &more);
	if (err) {
		if (err == -EFAULT && more.fault.text[0])
			return explain_fault(t, &more.fault), STATUS_FAILED;
		if (err == -EINVAL && data->n < 14)
			return cli_error(t->c, "a packet has 14 bytes or more (an Ethernet header); --data has %zu", data->n);
		cli_error(t->c, "%s: %s", t->name, strerror(-err));
		repeat_said(said);
		return STATUS_FAILED;
	}
	o->out.n = a.test.data_size_out;
	note_context(t, o, ctx, ctx_out, MIN(a.test.ctx_size_out, (u32)sizeof(ctx_out)));
	outcome_add(o, a.test.retval, more.nowhere, data->n);
	o->runs = t->args->repeat;
	o->ns = (u64)a.test.duration * t->args->repeat;
	return STATUS_DONE;
}

/* ---- reports ---- */

void trace_print(struct target *t)
{
	char buf[4096];
	size_t n;

	while ((n = skep_trace_read(t->k, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, n, t->args->json ? stderr : stdout);
}

static int by_packets(const void *a, const void *b)
{
	const struct verdict *x = a, *y = b;

	return x->packets < y->packets ? 1 : x->packets > y->packets ? -1 : 0;
}

#define NO_TARGET ", no target"

static void table_verdict(struct table *table, const struct outcome *o, const char *name, const char *more, u64 packets, u64 bytes)
{
	if (!packets)
		return;
	table_cell(table, "%s%s", name, more);
	table_cell(table, "%llu", (unsigned long long)packets);
	table_cell(table, "%llu", (unsigned long long)bytes);
	table_cell(table, "%.1f%%", 100.0 * (double)packets / (double)o->runs);
}

static void print_verdicts(struct target *t, struct outcome *o)
{
	struct table table;
	char buf[40];

	qsort(o->verdicts, o->n_verdicts, sizeof(*o->verdicts), by_packets);
	table_open(&table, "lrrr");
	table_cell(&table, "verdict");
	table_cell(&table, "packets");
	table_cell(&table, "bytes");
	table_cell(&table, "share");
	for (unsigned i = 0; i < o->n_verdicts; i++) {
		const struct verdict *v = &o->verdicts[i];
		const char *name = verdict_name(t->type, v->result, buf, sizeof(buf));

		table_verdict(&table, o, name, "", v->packets - v->nowhere_packets, v->bytes - v->nowhere_bytes);
		table_verdict(&table, o, name, NO_TARGET, v->nowhere_packets, v->nowhere_bytes);
	}
	table_close(&table, stdout);
	if (o->skipped)
		printf("%llu packet%s too short or too long to be %s\n", (unsigned long long)o->skipped, o->skipped == 1 ? " was" : "s were",
		       o->skipped == 1 ? "a frame" : "frames");
	if (!o->runs)
		printf("%sno packets\n", o->skipped ? "" : "\n");
	else
		printf("\n%llu packet%s, %llu bytes: %.0f ns per packet, %.2f million packets/s (%s)\n", (unsigned long long)o->runs, plural(o->runs),
		       (unsigned long long)o->bytes, (double)o->ns / (double)o->runs, (double)o->runs * 1000.0 / (double)MAX(o->ns, (u64)1),
		       t->code.bytes ? "compiled" : "interpreter");
}

/* Member by member where the object's types have its struct. */
static void print_context(struct target *t, const struct bytes *ctx)
{
	const struct btf *b = bpf_object__btf(t->obj);
	const char *name = t->type == BPF_PROG_TYPE_XDP ? "xdp_md" : "__sk_buff";
	s32 id = b && takes_packets(t->type) ? btf__find_by_name_kind(b, name, BTF_KIND_STRUCT) : 0;

	printf("context afterwards: ");
	value_text(stdout, id > 0 && btf__resolve_size(b, (u32)id) <= (s64)ctx->n ? b : NULL, (u32)MAX(id, 0), ctx->at, (u32)ctx->n);
	putchar('\n');
}

static void print_text(struct target *t, struct outcome *o)
{
	char buf[40];

	if (t->args->pcap)
		print_verdicts(t, o);
	else if (!t->obj)
		printf("0x%llx\n", (unsigned long long)o->result);
	else
		printf("%s%s\n", verdict_name(t->type, o->result, buf, sizeof(buf)), o->verdicts->nowhere_packets ? NO_TARGET : "");
	if (t->args->stats && !t->args->pcap)
		printf("%llu run%s, %.0f ns per run (%s)\n", (unsigned long long)o->runs, plural(o->runs), (double)o->ns / (double)o->runs,
		       t->code.bytes ? "compiled" : "interpreter");
	if (t->args->stats && t->code.bytes)
		printf("compiled in %u us to %u bytes\n", t->code.compile_us, t->code.bytes);
	else if (t->args->stats)
		printf("interpreted: %s\n", t->code.reason);
	if (o->ctx_changed)
		print_context(t, &o->ctx);
	trace_print(t);
	if (t->args->maps && t->obj)
		maps_print(t);
	events_print(t, stdout);
}

static void json_bytes(struct json *j, const char *key, const struct bytes *b)
{
	if (b->at)
		json_hex(j, key, b->at, b->n);
	else
		json_text(j, key, NULL);
}

/* Runs by what they returned, and how many of them redirected to nowhere. */
static void json_counts(struct json *j, const struct target *t, const struct outcome *o)
{
	u64 each = t->args->pcap ? 1 : o->runs, nowhere = 0;
	char name[40];

	json_object(j, "retval_counts");
	for (unsigned i = 0; i < o->n_verdicts; i++) {
		const struct verdict *v = &o->verdicts[i];

		snprintf(name, sizeof(name), "%llu", (unsigned long long)v->result);
		json_unsigned(j, name, each * v->packets);
		nowhere += each * v->nowhere_packets;
	}
	json_end(j);
	json_unsigned(j, "no_target", nowhere);
}

static void print_json(struct target *t, struct outcome *o)
{
	struct json j;

	trace_print(t);
	json_open(&j, stdout);
	json_object(&j, NULL);
	json_text(&j, "program", t->name);
	json_text(&j, "type", t->obj ? libbpf_bpf_prog_type_str((enum bpf_prog_type)t->type) : "bare");
	json_text(&j, "engine", t->code.bytes ? "jit" : "interp");
	if (t->code.bytes) {
		json_unsigned(&j, "code_bytes", t->code.bytes);
		json_unsigned(&j, "compile_us", t->code.compile_us);
	} else {
		json_text(&j, "interpreted", t->code.reason);
	}
	json_unsigned(&j, "runs", o->runs);
	json_real(&j, "ns_per_run", o->runs ? (double)o->ns / (double)o->runs : 0, 6);
	json_unsigned(&j, "retval", o->result);
	json_counts(&j, t, o);
	json_bytes(&j, "data_out", &o->out);
	json_bytes(&j, "ctx_out", &o->ctx);
	maps_json(t, &j);
	json_end(&j);
}

/* ---- the verb ---- */

static int check_usage(struct cli *c, const struct run_args *a)
{
	if (!c->n_operands == !a->insns)
		return cli_usage(c, c->n_operands ? "give an object or --insns, not both" : "give an object, or bare bytecode with --insns");
	if (a->pcap && (a->data || a->ctx || a->insns))
		return cli_usage(c, "--pcap goes with neither --data nor --ctx nor --insns");
	if (a->insns && (a->prog || a->ctx || a->set || a->events || a->maps || a->jitdump || a->perf_map))
		return cli_usage(c, "--insns goes with --data, --repeat, --engine, --stats and --json alone");
	if (a->write && !a->pcap)
		return cli_usage(c, "--write needs --pcap");
	if (a->write && a->repeat > 1)
		return cli_usage(c, "--write goes with one pass over the capture, not with --repeat");
	return STATUS_DONE;
}

static int run_input(struct target *t, struct outcome *o)
{
	const struct run_args *a = t->args;
	struct bytes data = {0}, ctx = {0};
	int status = input(t, "--data", a->data, &data);

	if (!status)
		status = input(t, "--ctx", a->ctx, &ctx);
	if (!status) {
		if (!t->obj)
			status = run_flat(t, &data, o);
		else if (!takes_packets(t->type))
			status = data.at ? cli_usage(t->c, "program %s takes no packet; give its context with --ctx", t->name) : run_flat(t, &ctx, o);
		else if (!data.at)
			status = cli_usage(t->c, "program %s runs on packets: give --pcap FILE or --data HEX", t->name);
		else
			status = run_data(t, &data, &ctx, o);
	}
	bytes_free(&data);
	bytes_free(&ctx);
	return status;
}

static int check_runs(const struct target *t)
{
	const struct progtype *type = progtype(t->type);

	if (!t->obj || !type || (type->runs != RUN_NONE && type->runs != RUN_EVENT))
		return STATUS_DONE;
	if (type->runs == RUN_EVENT)
		return cli_error(t->c, "%s: programs of type %s run where they are attached, and skep run makes no events", t->name, type->name);
	return cli_error(t->c, "%s: skep %s verifies programs of type %s and has nothing to run them on", t->name, skep_version(), type->name);
}

static int run(struct cli *c)
{
	const struct run_args *a = c->args;
	struct target t = {.c = c, .args = a, .code = {.size = sizeof(t.code)}};
	struct outcome o = {0};
	int status = check_usage(c, a);

	if (status)
		return status;
	status = target_open(&t, c->n_operands ? c->operands[0] : NULL);
	if (!status)
		skep_prog_code(t.k, t.fd, &t.code);
	if (!status && a->set)
		status = maps_fill(&t);
	if (!status)
		status = check_runs(&t);
	if (!status && a->pcap && !takes_packets(t.type))
		status = cli_usage(c, "program %s does not run on packets", t.name);
	if (!status)
		status = a->pcap ? run_capture(&t, &o) : run_input(&t, &o);
	if (!status || o.cut)
		(a->json ? print_json : print_text)(&t, &o);
	else if (t.k)
		trace_print(&t);
	free(o.verdicts);
	bytes_free(&o.out);
	bytes_free(&o.ctx);
	target_close(&t);
	return status;
}

const struct verb verb_run = {
	.run = run,
	.opts = opts,
	.args_size = sizeof(struct run_args),
	.defaults = &defaults,
	.operands = "[OBJ|-]",
	.min_operands = 0,
	.max_operands = 1,
	.about = "Loads a program from an object that clang, GCC or Rust made, runs it on packets or a context, and prints what came of it. "
		 "XDP, tc and socket filter programs run on a capture or on one packet; raw tracepoint and syscall programs on a context. "
		 "Nothing needs privileges, and no kernel eBPF is used. A program that is refused or faults says why, with its instruction and source line.",
	.examples = examples,
};
