/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of skep run: run.c the verb, object.c loading through libbpf, capture.c packets from files, value.c bytes of maps
 * as their BTF types, maps.c printing and filling maps. */
#ifndef SKEP_CLI_RUN_H
#define SKEP_CLI_RUN_H

#include "cli/cli.h"
#include "client/skep-bpf.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

struct run_args {
	const char *prog, *pcap, *write, *data, *ctx, *insns, *set, *events, *jitdump;
	u64 repeat;
	unsigned engine;
	bool maps, stats, json, perf_map;
};

struct target {
	struct cli *c;
	const struct run_args *args;
	struct skep *k;
	struct bytes image; /* of the object */
	struct bpf_object *obj; /* NULL: bare bytecode */
	struct bpf_program *prog;
	struct map_types {
		u32 key, value;
	} *map_types; /* of the object's maps, in their order */
	int fd;
	const char *name;
	u32 type; /* enum bpf_prog_type */
	struct skep_code code; /* how it is executed */
};

/* run.c: what bpf_trace_printk() printed since the last time; on stderr when stdout is for JSON. */
void trace_print(struct target *t);

/* What the runs came to. */
struct outcome {
	u64 runs, bytes, ns;
	u64 result; /* of the last run */
	struct verdict {
		u64 result, packets, bytes;
		u64 nowhere_packets, nowhere_bytes; /* those of them that it redirects, but no target is there */
	} *verdicts;
	unsigned n_verdicts;
	bool cut; /* the capture broke off, and this is what came before */
	u64 skipped; /* packets that no program of this type can see */
	struct bytes out, ctx; /* data, and the context that was given, after a single run */
	bool ctx_changed;
};
void outcome_add(struct outcome *o, u64 result, bool nowhere, u64 bytes);

/* object.c */
int target_open(struct target *t, const char *path); /* exit status; says what is wrong */
void target_close(struct target *t);
/* Why a run of instruction insn failed: the instruction and its source line, as far as they are known. */
void explain_fault(struct target *t, const struct skep_fault *f);
/* What libbpf and the engine had to say, which is shown when something fails: from a place on. */
size_t said_until_now(void);
void repeat_said(size_t from);

/* capture.c */
int run_capture(struct target *t, struct outcome *o); /* exit status */
const char *verdict_name(u32 prog_type, u64 result, char *buf, size_t n);
bool verdict_passes(u32 prog_type, u32 result); /* such a packet goes on */
bool takes_packets(u32 prog_type);

/* value.c */
void value_text(FILE *out, const struct btf *b, u32 type, const void *data, u32 size);
void value_json(struct json *j, const char *key, const struct btf *b, u32 type, const void *data, u32 size);
/* Fills size bytes from text; numbers, addresses and names in the order of the type's members. Advances *p. */
bool value_parse(const char **p, const struct btf *b, u32 type, void *data, u32 size, char *why, size_t why_size);

/* maps.c */
void maps_note_types(struct target *t); /* before libbpf loads the object: it forgets types that bpf(2) refuses for a map */
int maps_fill(struct target *t); /* --set */
void maps_print(struct target *t);
void maps_json(struct target *t, struct json *j);
void events_print(struct target *t, FILE *out); /* --events */

#endif
