/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A verification from beginning to end: verify_program() lists its steps. What it needs of the program (instructions decoded, maps, helpers and kernel
 * functions resolved, functions found) was put there by engine/load.c.
 */
#include "verify/state.h"

#include <time.h>

enum { LINUX_INSNS = 1000000, LINUX_JUMPS = 8192, UNPRIVILEGED_INSNS = 1000000, SAFE_INSNS = 4000000, SAFE_JUMPS = 65536 };
enum { EXPECTED_BYTES = 512 }; /* for each instruction: most programs need about that many */

static const u64 MEMORY_MOST = 2ull << 30;

/* Linux has its types at hand since it was started: what it took to open them, once for an engine, is no part of a verification's time. */
const struct btf *vmlinux(struct verifier *v)
{
	if (!v->types_asked) {
		u64 asked = os_clock_ns(CLOCK_MONOTONIC);

		v->types = btf_of_kernel(&v->opts->kernel);
		v->types_ns = os_clock_ns(CLOCK_MONOTONIC) - asked;
		v->types_asked = true;
	}
	return v->types;
}

static const struct btf *types_of(void *ud)
{
	return vmlinux(ud);
}

struct btf_kernel kernel_types(struct verifier *v)
{
	return (struct btf_kernel){types_of, v};
}

u64 verify_insns_most(enum verify_mode mode)
{
	return mode == VERIFY_SAFE ? SAFE_INSNS : LINUX_INSNS;
}

static u64 insns_most(const struct verify_options *o)
{
	return o->max_insns ? o->max_insns : verify_insns_most(o->mode);
}

static void take_rights(struct verifier *v)
{
	const struct verify_options *o = v->opts;
	bool safe = o->mode == VERIFY_SAFE;

	v->priv = o->cap_bpf;
	v->allow_ptr_leaks = v->allow_uninit_stack = v->bypass_spec_v1 = v->bypass_spec_v4 = o->cap_perfmon;
	v->allow_ptr_to_map_access = o->cap_perfmon;
	v->strict_align = o->strict_alignment && !o->any_alignment;
	v->test_state_freq = o->test_state_freq;
	v->safe = safe;
	v->joins = safe && !(o->switches & VERIFY_NO_JOIN);
	v->max_insns = insns_most(o);
	v->look_after = MIN(v->max_insns, (u64)LINUX_INSNS);
	v->max_jumps = o->max_jumps ? o->max_jumps : safe ? SAFE_JUMPS : LINUX_JUMPS;
}

static int open_tables(struct verifier *v)
{
	v->aux = arena_array(&v->arena, v->n, sizeof(*v->aux));
	v->subs = arena_array(&v->arena, v->prog->n_subprogs, sizeof(*v->subs));
	return v->aux && v->subs ? 0 : reject(v, REJECT_MEMORY, "out of memory");
}

/* Which map a load of a map or of its value names. */
static struct map *map_named(const struct prog *p, u64 operand, bool value)
{
	for (u32 i = 0; i < p->n_maps; i++) {
		const struct map *m = p->maps[i];
		bool arena = m->ops->traits & KIND_ARENA;
		u64 start = !value ? map_handle(m) : arena ? map_arena_start(m) : (u64)(uintptr_t)m->values;
		u64 size = arena ? m->client.size : MAX(m->spec.value_size, 1u);

		if (value ? start && operand - start < size : operand == start)
			return p->maps[i];
	}
	return NULL;
}

static void note_functions(struct verifier *v)
{
	const struct prog *p = v->prog;

	for (u32 i = 0; i < p->n_subprogs; i++) {
		const struct subprog *f = &p->subprogs[i];

		v->subs[i].is_global = p->btf && f->btf_id && btf_func_linkage(p->btf, f->btf_id) == BTF_FUNC_GLOBAL;
		for (u32 at = f->start; at < f->end; at++) {
			const struct insn *in = &p->insns[at];

			v->subs[i].has_ld_abs |= in->op == OP_LD_ABS || in->op == OP_LD_IND;
			if (in->op == OP_CALL && in->pseudo == CALL_HELPER) {
				const struct helper_proto *h = helper_at(v, at);

				v->subs[i].has_tail_call |= h && h->effects & EFFECT_TAIL_CALL;
				v->subs[i].tail_call_reachable |= h && h->effects & EFFECT_TAIL_CALL;
			}
		}
	}
}

/* A variable or function of the kernel: what the register will hold. */
static int note_ksym(struct verifier *v, u32 at)
{
	u64 named = (u64)v->insns[at].imm;
	const struct prog_btf *module = named >> 32 ? prog_btf_named(v->prog, true, (s32)(named >> 32)) : NULL;
	struct insn_aux *aux = &v->aux[at];
	struct btf_ksym k;
	struct text log;
	int err;

	if (module && module->err)
		return reject_err(v, REJECT_KSYM, module->err, "%s", module->why);
	aux->btf = module ? module->btf : vmlinux(v);
	if (!aux->btf)
		return reject(v, REJECT_KSYM, "kernel is missing BTF, make sure CONFIG_DEBUG_INFO_BTF=y is specified in Kconfig.");
	text_open(&log, v->log->mem);
	err = btf_ksym(aux->btf, (u32)named, &k, &log);
	while (log.len && log.at[log.len - 1] == '\n')
		log.at[--log.len] = 0;
	if (err)
		reject_err(v, REJECT_KSYM, err, "%s", text_str(&log));
	text_close(&log);
	if (err)
		return err;
	aux->ksym_type = k.is_func ? R_MEM | R_RDONLY : k.is_struct ? R_BTF | (k.percpu ? (u32)R_PERCPU : 0u) : k.percpu ? R_BTF | R_PERCPU : R_MEM | R_RDONLY;
	aux->ksym_id = k.id;
	aux->ksym_size = k.is_func ? 0 : k.size;
	return 0;
}

static int note_operands(struct verifier *v)
{
	const struct prog *p = v->prog;

	for (u32 i = 0; i < v->n; i++) {
		const struct insn *in = &v->insns[i];

		v->insn = i;
		if (in->op != OP_LD_IMM64 || in->pseudo == PSEUDO_CONST || in->pseudo == PSEUDO_FUNC)
			continue;
		if (in->pseudo == PSEUDO_BTF_ID) {
			int err = note_ksym(v, i);

			if (err)
				return err;
			continue;
		}
		v->aux[i].map = map_named(p, p->operand[i], in->pseudo == PSEUDO_MAP_VALUE || in->pseudo == PSEUDO_MAP_IDX_VALUE);
		if (!v->aux[i].map)
			return bug(v, "a map that the program does not hold");
		if (v->aux[i].map->ops->traits & KIND_ARENA)
			v->arena_of = v->aux[i].map;
	}
	return 0;
}

/* Other functions, the program's or the kernel's, are for those who have CAP_BPF. */
static int calls_allowed(struct verifier *v)
{
	for (u32 i = 0; !v->priv && i < v->n; i++) {
		const struct insn *in = &v->insns[i];
		bool calls = in->op == OP_CALL && in->pseudo != CALL_HELPER, names = in->op == OP_LD_IMM64 && in->pseudo == PSEUDO_FUNC;

		v->insn = i;
		if (calls || names)
			return reject_err(v, REJECT_CALL_UNPRIVILEGED, EPERM,
					  "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN");
	}
	return 0;
}

/* Where speculation counts, a tail call's index is masked by its map's size: there must be one map only. */
static int tail_calls_masked(struct verifier *v)
{
	for (u32 i = 0; !v->priv && i < v->n; i++) {
		const struct helper_proto *h = v->insns[i].op == OP_CALL && v->insns[i].pseudo == CALL_HELPER ? helper_at(v, i) : NULL;

		v->insn = i;
		if (h && h->effects & EFFECT_TAIL_CALL && v->aux[i].map == MAP_MANY)
			return reject(v, REJECT_TAIL_CALL_MAPS, "tail_call abusing map_ptr");
	}
	return 0;
}

static int note_program(struct verifier *v)
{
	v->exception_callback = v->prog->exception_callback;
	if (v->exception_callback)
		v->subs[v->exception_callback].is_exception_callback = v->subs[v->exception_callback].is_callback =
			v->subs[v->exception_callback].is_async_callback = true;
	note_functions(v);
	return note_operands(v);
}

static int walk_main(struct verifier *v)
{
	int err = prune_open(v);

	if (!v->replaces)
		main_args(v);
	return err ? err : walk_function(v, 0);
}

/* Global functions that something walked calls, and whoever those call; the exception callback as well. */
static int walk_globals(struct verifier *v)
{
	bool again = true;
	u8 *done = arena_alloc(&v->arena, v->prog->n_subprogs);

	if (!done)
		return reject(v, REJECT_MEMORY, "out of memory");
	if (v->exception_callback)
		v->subs[v->exception_callback].called = true;
	while (again) {
		again = false;
		for (u32 i = 1; i < v->prog->n_subprogs; i++) {
			int err;

			if (done[i] || !v->subs[i].called || !(v->subs[i].is_global || v->subs[i].is_exception_callback))
				continue;
			done[i] = 1;
			again = true;
			v->subprog = i;
			err = walk_function(v, i);
			if (err)
				return err;
			if (v->log_level & 3)
				log_add(v, "Func#%u ('%s') is safe for any args that match its prototype\n", i, v->prog->subprogs[i].name);
		}
	}
	return 0;
}

/* What the compiler may use, once everything was walked. */
static int tell_facts(struct verifier *v)
{
	struct prog *p = v->prog;
	u8 *insns, *access;

	if (v->opts->mode != VERIFY_SAFE || p->facts.insns)
		return 0;
	insns = arena_alloc(&p->arena, v->n);
	access = arena_alloc(&p->arena, v->n);
	if (!insns || !access)
		return reject(v, REJECT_MEMORY, "out of memory");
	for (u32 i = 0; i < v->n; i++) {
		insns[i] = v->aux[i].facts;
		access[i] = v->aux[i].access;
	}
	p->facts = (struct prog_facts){insns, access};
	return 0;
}

static enum prog_probe probe_of(const struct verifier *v, u32 i)
{
	u32 type = v->aux[i].ptr_type, base = reg_base(type);
	bool load = v->insns[i].op == OP_LDX || v->insns[i].op == OP_LDXS || v->insns[i].op == OP_LOAD_ACQ;

	if (base == R_ARENA)
		return PROBE_ARENA;
	return load && ((base == R_BTF && !(type & R_ALLOC)) || (base == R_MEM && type & R_UNTRUSTED)) ? PROBE_KERNEL : PROBE_NONE;
}

static int note_probes(struct verifier *v)
{
	u8 *probes = NULL;

	if (v->opts->mode != VERIFY_SAFE) /* programs run on skep's own result: a walk for the log leaves them alone */
		return 0;
	for (u32 i = 0; i < v->prog->n; i++) {
		enum prog_probe probe = probe_of(v, i);

		if (probe == PROBE_NONE)
			continue;
		if (!probes)
			probes = arena_alloc(&v->prog->arena, v->prog->n);
		if (!probes)
			return reject(v, REJECT_MEMORY, "out of memory");
		probes[i] = (u8)probe;
	}
	v->prog->probes = probes;
	return 0;
}

static void tell_stats(struct verifier *v, u64 started)
{
	struct verify_stats *s = &v->result->stats;

	s->insns_processed = v->walked.insns;
	s->insns_given_up = v->insns_given_up;
	s->walks_given_up = v->walks_given_up;
	s->memory_peak = v->arena.used;
	s->time_ns = os_clock_ns(CLOCK_MONOTONIC) - started - v->types_ns;
	for (u32 i = 0; v->subs && i < v->prog->n_subprogs && i < ARRAY_SIZE(s->stack_depth); i++)
		s->stack_depth[i] = v->subs[i].stack_depth;
}

int verify_program(struct prog *p, const struct verify_options *opts, struct text *log, struct verify_result *result)
{
	static int (*const steps[])(struct verifier *v) = {
		open_tables,
		calls_allowed,	 /* unprivileged programs have one function */
		note_program,	 /* functions, maps, kernel variables */
		kfuncs_resolve,	 /* kernel functions */
		cfg_check,	 /* all of it can be reached; where states are kept */
		live_registers,	 /* which registers are read later */
		live_cycles,	 /* which states can be complete only together */
		precise_open,	 /* which instructions the way back stops at */
		log_live_registers,
		live_stack_open,
		walk_main,	 /* every path of the main function */
		walk_globals,	 /* and of each global function that is called */
		cfg_stack_depth, /* the stack of every chain of calls */
		tail_calls_masked,
		tell_facts,
		note_probes,	 /* loads that may find nothing */
	};
	struct verifier *v = mem_alloc(p->mem, sizeof(*v));
	u64 started = os_clock_ns(CLOCK_MONOTONIC);
	int err = 0;

	*result = (struct verify_result){0};
	if (!v)
		return result->verdict = -ENOMEM;
	v->prog = p;
	v->insns = p->insns;
	v->n = p->n;
	v->opts = opts;
	v->log = log;
	v->log_level = opts->log_level;
	v->result = result;
	v->why = &result->why;
	v->kind = p->kind->flags & PT_AS_TARGET && p->target ? p->target->kind : p->kind;
	v->attach_type = p->kind->flags & PT_AS_TARGET && p->target ? p->target->attach_type : p->attach_type;
	v->attach_proto = p->attach_proto;
	v->replaces = progtype(p->type) && progtype(p->type)->flags & PT_AS_TARGET;
	arena_open_brief(&v->arena, p->mem, (size_t)p->n * EXPECTED_BYTES, opts->store);
	v->arena.limit = opts->max_bytes ? opts->max_bytes : MEMORY_MOST;
	take_rights(v);
	for (u32 i = 0; i < ARRAY_SIZE(steps) && !err; i++)
		err = steps[i](v);
	tell_stats(v, started);
	log_bounds(v, opts->decided ? opts->decided : &result->stats);
	log_stats(log, v->log_level, opts->decided ? verify_insns_most(opts->mode) : v->max_insns, p->n_subprogs, &result->stats);
	result->verdict = err;
	arena_close(&v->arena);
	mem_free(p->mem, v, sizeof(*v));
	return err;
}

void verify_not_begun(const struct prog *p, const struct verify_options *opts, u64 time_ns, struct text *log)
{
	struct verify_stats none = {.time_ns = time_ns};

	log_stats(log, opts->log_level, insns_most(opts), p->n_subprogs, &none);
}
