/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * prog: a loaded program: bytecode, its decoded form, what its pseudo loads mean, subprograms, line info.
 * The bytecode is never patched; resolved operands lie in a side table.
 *
 * Ownership: the engine owns struct prog; everything it points to lies in its arena, except maps and BTF,
 * which are referenced and released through the engine.
 */
#ifndef SKEP_PROG_H
#define SKEP_PROG_H

#include "btf/btf.h"
#include "isa/isa.h"
#include "map/map.h"
#include "prog/facts.h"

struct obj;

enum { PROG_MAX_MAPS = 64, PROG_MAX_INSNS = 1000000, PROG_MAX_SUBPROGS = 256 };

struct subprog {
	u32 start, end; /* slots [start, end) */
	u32 btf_id; /* its FUNC, 0 unknown */
	const char *name; /* "main", "func_1" or from BTF */
	bool unreliable; /* its prototype does not say what it is called with */
	bool throws; /* it, or what it calls, may call bpf_throw(); what is called back may not */
};

/* Accesses that are checked when they are executed: what they may touch is said by types, not where it lies. */
enum prog_probe {
	PROBE_NONE,
	PROBE_KERNEL, /* load through a pointer to a kernel object: 0 where there is none */
	PROBE_ARENA, /* any access to the arena: where nothing is allocated, a load gives 0 and a store does nothing */
};

/* Memory whose size the run says, not the program's type. */
enum prog_reach {
	REACH_CTX, /* a flat context */
	REACH_BUFFER, /* what a tracepoint hands out to be written: the context's first word points to it */
	PROG_REACHES
};

struct run;

/* What LD_IMM64 puts into the register, per slot; 0 for all other slots. Values of maps, map handles, functions. */
struct prog {
	struct arena arena;
	const struct mem *mem;
	u32 type, attach_type, flags;
	u32 id;
	char name[16];
	char license[32];
	bool gpl_compatible, sleepable;
	bool relocated; /* by the kernel's types: its bytecode is for that kernel */
	bool casts; /* makes pointers to kernel types of other addresses: loads through them reach all that the program may read */
	u8 tag[8];
	u64 loaded_ns; /* CLOCK_BOOTTIME */
	u32 verified_insns; /* that the verifier walked, on all paths */
	u32 loaded_by; /* user id */
	int pin_fd; /* its file; 0: it has none */

	const struct raw_insn *raw; /* as loaded; descriptors in pseudo loads replaced by ids in what INFO returns */
	const struct insn *insns;
	const u64 *operand; /* per slot: LD_IMM64's value after resolution; a call's struct helper_proto or struct prog_kfunc */
	u32 n;

	struct subprog *subprogs;
	u32 n_subprogs;

	struct map **maps; /* referenced once each, through map_owners */
	struct obj **map_owners;
	u32 n_maps;
	struct obj **bound; /* maps of PROG_BIND_MAP: kept alive, not used */
	u32 n_bound;

	const struct btf *btf;
	struct obj *btf_owner;
	u32 btf_id; /* id of the BTF object, 0 none */

	struct prog_btf *btfs; /* of modules whose functions it calls and whose variables it reads */
	u32 n_btfs;

	/* What it attaches to, by types: engine/attach.c. */
	u32 attach_btf_id; /* a type of attach_btf; 0: nothing */
	const struct btf *attach_btf; /* of the kernel, or of the target */
	struct btf_target attach; /* what its context holds, when kind's flags say PT_CTX_BTF */
	const struct btf_type *attach_proto; /* NULL: the target's prototype does not bind it */
	const char *attach_struct; /* the struct of functions whose member it is; NULL: of none */
	const struct btf_arg_info *arg_infos;
	u32 n_arg_infos;
	struct prog *target; /* the program that it attaches to; NULL: none */
	struct obj *target_owner, *attach_btf_owner;
	bool traces_tracing; /* a tracing program on a tracing program */

	u32 exception_start, exception_callback; /* the function that handles bpf_throw(): its first slot, its number; 0: none */
	const void *func_info, *line_info; /* packed as loaded, known record sizes */
	u32 n_func_info, n_line_info;

	const struct progtype *kind; /* whose rules it obeys: its type's, an extension's target's */
	const char *needs; /* what it calls and this build cannot run, "helper bpf_x": runs are refused; NULL: nothing */
	const u8 *probes; /* per slot: enum prog_probe; NULL: no such accesses */
	struct map *arena_map; /* one of the maps; NULL: none */
	u32 reach[PROG_REACHES]; /* bytes: how far its accesses go; a run brings as much */
	bool needs_slot; /* uses per-CPU data, reclaimable objects or locks: a run takes a run slot */

	struct prog_facts facts; /* of the verifier; empty when it did not look */

	_Atomic u64 run_count, run_ns;

	/* Compiled form; NULL: interpreted. entry: code of every function, called with the run and R1 to R5. */
	const struct prog_code *code;
	/* Where compiled tail calls go on, and how much of a context they bring; UINT32_MAX: there is more to it than that. */
	u64 (*tail_entry)(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e);
	u32 tail_reach;
	const struct prog_code *elsewhere; /* the same for other processes, see hook/inside.c; NULL: not made */
	bool here_only; /* that cannot be made */
	const char *interpreted_for; /* why there is none; NULL: there is */
};

/* For messages. */
static inline const char *prog_name(const struct prog *p)
{
	return p->name[0] ? p->name : "program";
}

/* A BTF that instructions name. */
struct prog_btf {
	bool by_fd; /* loads of variables: key is its descriptor; calls: its place in fd_array */
	s32 key;
	int err; /* -errno, and why it is none; 0: it is one */
	const char *why;
	const struct btf *btf;
	struct obj *owner;
};
static inline const struct prog_btf *prog_btf_named(const struct prog *p, bool by_fd, s32 key)
{
	for (u32 i = 0; i < p->n_btfs; i++)
		if (p->btfs[i].by_fd == by_fd && p->btfs[i].key == key)
			return &p->btfs[i];
	return NULL;
}

struct code_func { /* of one function */
	u32 start; /* in the region; where the next one starts, too, if it was copied to wherever it was called: then it has no code */
	u32 fp, up; /* from the stack pointer while it calls: to r10, to its return address */
	u32 saved; /* set of the machine's registers that lie below the return address, the lowest number farthest up */
	u64 stack; /* bit i: other code may be given the address of the eight bytes at r10 - 8 * (i + 1); they never hold anything but the program's data */
};
struct code_line { /* code from `at` to the next one's comes from the instruction; UINT32_MAX: it is data */
	u32 at, insn;
};
struct prog_code {
	u64 (*const *entry)(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e);
	struct region region;
	u32 size; /* bytes */
	u64 compile_ns;
	bool polls; /* looks at budget and stop, if it has loops */
	bool counts; /* it has */
	const struct code_func *func; /* in the order of subprograms and of addresses */
	const struct code_line *line; /* where the compiler was asked for it */
	u32 n_lines;
	struct jit_debugger *debugger; /* what a debugger was told; NULL: nothing */
};

/* A call of a kernel function: the operand of its slot. */
struct kfunc;
struct prog_kfunc {
	const struct kfunc *kfunc;
	u64 (*body)(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e); /* NULL: there is none */
	u32 meta; /* the argument, from 1 on, that is this struct; 0: none */
	const struct btf *btf; /* the program's own: where the types are that it names; NULL: none */
};

/* From calls and function pointers. -EINVAL: a jump leaves its function, or one runs off its end; -E2BIG: too many. */
int subprogs_find(struct prog *p, struct insn_error *err);
/* A function of the program as a value: what LD_IMM64 of one gives. */
enum { FUNC_TAG_SHIFT = 32 };
#define FUNC_TAG 0x00f00000u
static inline u64 func_value(u32 insn)
{
	return (u64)FUNC_TAG << FUNC_TAG_SHIFT | insn;
}
void prog_note_throws(struct prog *p); /* struct subprog's throws; operands are resolved */
const struct subprog *subprog_at(const struct prog *p, u32 insn);
void prog_symbol(const struct prog *p, u32 func, struct text *t); /* "bpf_prog_TAG_NAME" */
u32 prog_code_size(const struct prog *p, u32 func); /* bytes; what lies behind it up to the next function is counted */
u32 prog_map_named(const struct prog *p, u32 slot); /* which of its maps the instruction names; n_maps: none */
int prog_tag(const struct raw_insn *raw, const struct insn *insns, u32 n, const struct mem *mem, u8 tag[8]);

#endif
