/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk: every path through the program, one instruction after another, depth first. A conditional jump whose outcome is not known puts one edge on
 * the list of pending branches and follows the other; a path ends at an exit, or where another path was already (prune.c).
 *
 * Requires cfg_check(), live_registers(). Leaves facts per instruction (aux) for the optimizer.
 */
#include "verify/state.h"

/* ---- loads of 64-bit immediates ---- */

static int load_function(struct verifier *v, struct reg *dst, u32 at)
{
	u32 sub = (u32)(subprog_at(v->prog, (u32)v->prog->operand[at]) - v->prog->subprogs);

	if (!v->prog->n_func_info)
		return reject(v, REJECT_NO_FUNC_INFO, "missing btf func_info");
	if (v->subs[sub].is_global)
		return reject(v, REJECT_CALLBACK_GLOBAL, "callback function not static");
	if (sub == 0)
		return reject(v, REJECT_CALLBACK_MAIN, "callback function cannot be the main program");
	reg_set_pointer(dst, R_FUNC);
	dst->subprog = sub;
	return 0;
}

static int load_ksym(struct verifier *v, struct reg *dst, u32 at)
{
	const struct insn_aux *aux = &v->aux[at];

	reg_set_pointer(dst, aux->ksym_type);
	if (reg_base(aux->ksym_type) == R_BTF) {
		dst->btf = aux->btf;
		dst->btf_id = aux->ksym_id;
	} else {
		dst->mem_size = aux->ksym_size;
	}
	return 0;
}

static int walk_ld_imm64(struct verifier *v, const struct insn *in)
{
	struct reg *dst = reg_of(v, in->dst);
	struct map *map = v->aux[v->insn].map;
	int err = reg_check_write(v, in->dst);

	if (err)
		return err;
	switch ((enum pseudo)in->pseudo) {
	case PSEUDO_CONST: reg_set_const(dst, (u64)in->imm); return 0;
	case PSEUDO_FUNC: return load_function(v, dst, v->insn);
	case PSEUDO_BTF_ID: return load_ksym(v, dst, v->insn);
	case PSEUDO_MAP_FD:
	case PSEUDO_MAP_IDX:
		reg_set_pointer(dst, R_MAP);
		dst->map = map;
		return 0;
	case PSEUDO_MAP_VALUE:
	case PSEUDO_MAP_IDX_VALUE:
		if (map->ops->traits & KIND_ARENA) {
			reg_set_unknown(v, dst);
			return 0;
		}
		reg_set_pointer(dst, R_MAP_VALUE);
		dst->map = map;
		dst->off = (s32)((u64)in->imm >> 32);
		return 0;
	}
	return bug(v, "a kind of 64-bit immediate that is not known");
}

/* ---- loads and stores ---- */

/* Pointer kinds that one instruction may not mix, since each is read in another way. */
static bool kind_is_exclusive(u32 type)
{
	switch (reg_base(type)) {
	case R_CTX:
	case R_SOCKET:
	case R_SOCK_COMMON:
	case R_TCP_SOCK:
	case R_XDP_SOCK:
	case R_ARENA: return true;
	case R_BTF: return !(type & R_ALLOC); /* probed, where allocated objects are plain memory */
	default: return false;
	}
}

/* What it may point into when the program runs, for the optimizer. */
static u8 reaches(const struct verifier *v, const struct reg *r)
{
	switch (reg_base(r->type)) {
	case R_CTX: return PTR_CTX;
	case R_STACK: return r->frame == v->cur->n_frames - 1 ? PTR_STACK : PTR_CALLER;
	case R_PACKET:
	case R_PACKET_META: return PTR_PACKET;
	case R_MAP_VALUE: return PTR_MAP;
	case R_MAP_KEY: return PTR_MAP | PTR_OTHER; /* keys of arrays are the helper's */
	case R_MEM: return r->type & R_RINGBUF ? PTR_MAP : PTR_ANY; /* arguments of global functions are anybody's, slices the program's buffers */
	default: return PTR_OTHER;
	}
}

void note_access(struct verifier *v, const struct reg *r)
{
	v->aux[v->insn].access |= reaches(v, r);
}

int note_pointer_kind(struct verifier *v, u32 type, bool trust_may_differ)
{
	u32 *seen = &v->aux[v->insn].ptr_type;

	if (*seen == R_NONE) {
		*seen = type;
		return 0;
	}
	if (*seen == type || (!kind_is_exclusive(type) && !kind_is_exclusive(*seen)))
		return 0;
	if (trust_may_differ && reg_base(type) == R_BTF && reg_base(*seen) == R_BTF) {
		*seen |= type & R_UNTRUSTED; /* where one path's pointer may be bad, the load must be a guarded one */
		return 0;
	}
	reject(v, REJECT_POINTER_MIXED, "same insn cannot be used with different pointers");
	return reject_needs(v, reg_type_name(v, *seen));
}

static int walk_load(struct verifier *v, const struct insn *in, bool strict)
{
	u32 type;
	int err = reg_check_read(v, in->src);

	err = err ? err : reg_check_write(v, in->dst);
	if (err)
		return err;
	type = reg_of(v, in->src)->type;
	note_access(v, reg_of(v, in->src));
	err = mem_access(v, v->insn, in->src, in->off, in->width, MEM_READ, in->dst, strict, in->op == OP_LDXS);
	return err ? err : note_pointer_kind(v, type, true);
}

static int walk_store(struct verifier *v, const struct insn *in, bool strict)
{
	bool reg = in->op != OP_ST;
	u32 type;
	int err = reg ? reg_check_read(v, in->src) : 0;

	err = err ? err : reg_check_read(v, in->dst);
	if (err)
		return err;
	type = reg_of(v, in->dst)->type;
	note_access(v, reg_of(v, in->dst));
	err = mem_access(v, v->insn, in->dst, in->off, in->width, MEM_WRITE, reg ? in->src : -1, strict, false);
	return err ? err : note_pointer_kind(v, type, false);
}

/* ---- packet bytes by BPF_ABS and BPF_IND ---- */

static int walk_ld_packet(struct verifier *v, const struct insn *in, u32 *next)
{
	enum { CTX_REG = 6 };
	bool done = false;
	int err;

	if (!(v->kind->flags & PT_LEGACY_PACKET))
		return reject(v, REJECT_LD_ABS_TYPE, "BPF_LD_[ABS|IND] instructions not allowed for this program type");
	for (u32 i = v->cur->n_frames; i-- > 1;)
		if (v->cur->frame[i]->in_callback)
			return reject(v, REJECT_LD_ABS_CALLBACK, "cannot use BPF_LD_[ABS|IND] within callback");
	err = reg_check_read(v, CTX_REG);
	err = err ? err : resources_released(v, "BPF_LD_[ABS|IND]", true, false);
	if (err)
		return err;
	if (reg_of(v, CTX_REG)->type != R_CTX)
		return reject(v, REJECT_LD_ABS_CTX, "at the time of BPF_LD_ABS|IND R6 != pointer to skb");
	if (in->op == OP_LD_IND) {
		err = reg_check_read(v, in->src);
		if (err)
			return err;
	}
	err = mem_fixed_pointer(v, reg_of(v, CTX_REG), CTX_REG, false);
	if (err)
		return err;
	for (u32 i = 1; i <= 5; i++)
		reg_set_none(reg_of(v, i));
	v->scratched_regs |= 0x3f;
	reg_set_unknown(v, reg_of(v, 0));
	reg_of(v, 0)->def32 = v->insn + 1;
	*next = v->insn + 1;
	if (v->cur->n_frames == 1)
		return 0;
	/* Outside of the packet the function returns 0: both ways are walked. */
	if (!push_branch(v, v->insn + 1, v->insn, false))
		return v->why->err;
	reg_set_const(reg_of(v, 0), 0);
	return walk_return(v, next, &done);
}

/* ---- may_goto ---- */

static int walk_may_goto(struct verifier *v, const struct insn *in)
{
	struct state *s, *before;

	/* The loop's budget may be used up at any time: the jump is taken, or one more round is made. */
	s = push_branch(v, v->insn + 1, v->insn, false);
	if (!s)
		return v->why->err;
	s->may_goto_depth++;
	before = loop_previous(v, v->cur->parent ? v->cur->parent : v->cur, v->insn);
	if (before)
		loop_widen(v, before, s);
	v->insn = (u32)in->target;
	return 0;
}

/* ---- one instruction ---- */

static int walk_call(struct verifier *v, const struct insn *in, u32 *next)
{
	int err;

	v->walked.jumps++;
	switch ((enum call_kind)in->pseudo) {
	case CALL_SUBPROG: err = walk_subprog_call(v, in, next); break;
	case CALL_KFUNC: err = walk_kfunc(v, in, next); break;
	default: err = walk_helper(v, in, next); break;
	}
	v->scratched_regs |= 1;
	return err;
}

/* *next: where the path goes on; *done: it ended here. */
static int walk_insn(struct verifier *v, const struct insn *in, u32 *next, bool *done)
{
	switch (op_table[in->op].class) {
	case OPS_ALU: return walk_alu(v, in);
	case OPS_JMP: {
		int err;

		v->walked.jumps++;
		err = walk_jump(v, in, next);
		if (!err && v->log_level & 3)
			log_changes(v, v->insn);
		return err;
	}
	case OPS_ATOMIC: return mem_atomic(v, in);
	default: break;
	}
	switch ((enum op)in->op) {
	case OP_LE:
	case OP_BE:
	case OP_BSWAP:
	case OP_ADDR_SPACE_CAST: return walk_alu(v, in);
	case OP_CMPXCHG: return mem_atomic(v, in);
	case OP_LDX:
	case OP_LDXS: return walk_load(v, in, false);
	case OP_LOAD_ACQ: return mem_ordered(v, in) ? v->why->err : walk_load(v, in, true);
	case OP_ST:
	case OP_STX: return walk_store(v, in, false);
	case OP_STORE_REL: return mem_ordered(v, in) ? v->why->err : walk_store(v, in, true);
	case OP_LD_IMM64: *next = v->insn + 2; return walk_ld_imm64(v, in);
	case OP_LD_ABS:
	case OP_LD_IND: return walk_ld_packet(v, in, next);
	case OP_JA:
		v->walked.jumps++;
		*next = (u32)in->target;
		return 0;
	case OP_MAY_GOTO: {
		u32 at = v->insn;
		int err;

		v->walked.jumps++;
		err = walk_may_goto(v, in);
		*next = v->insn;
		v->insn = at;
		return err;
	}
	case OP_CALL: {
		int err = walk_call(v, in, next);

		if (!err && in->pseudo == CALL_KFUNC && v->aux[v->insn].kfunc && v->aux[v->insn].kfunc->role == KROLE_THROW) {
			*done = true;
			return resources_released(v, "bpf_throw", true, true);
		}
		return err;
	}
	case OP_EXIT: v->walked.jumps++; return walk_return(v, next, done);
	default: return bug(v, "an instruction that decoding does not give");
	}
}

/* ---- paths ---- */

/* The next pending branch becomes the current state; false: none is left. */
static int path_next(struct verifier *v, bool *any)
{
	const struct pending *p = v->pending;

	*any = p != NULL;
	if (!p)
		return 0;
	v->insn = p->insn;
	v->prev_insn = p->prev_insn;
	if (!(v->log_level & 2) && v->log_level)
		text_back(v->log, p->log_pos);
	return state_resume(v, pending_pop(v));
}

static void log_arrival(struct verifier *v, const char *what)
{
	log_add(v, "\nfrom %d to %u%s:%s", (s32)v->prev_insn, v->insn, v->cur->speculative ? " (speculative execution)" : "", what);
}

static int path_end(struct verifier *v, bool *any)
{
	int err = path_done(v, v->cur);

	live_stack_update(v);
	v->scratched_regs = (1u << REGS) - 1;
	v->scratched_slots = UINT64_MAX;
	return err ? err : path_next(v, any);
}

/* Looks whether the walk goes on at this instruction: 1 on, 0 it was here before. */
static int arrive(struct verifier *v, bool fresh)
{
	struct insn_aux *aux = &v->aux[v->insn];
	bool pruned = false;
	int err;

	if (++v->walked.insns > v->look_after) {
		if (v->walked.insns > v->max_insns || walk_is_endless(v)) {
			reject_err(v, REJECT_TOO_LARGE, E2BIG, "BPF program is too large. Processed %llu insn", (unsigned long long)v->walked.insns);
			return reject_measured(v, (s64)v->max_insns, (s64)v->walked.insns);
		}
	}
	if (v->walked.insns > v->join_after) {
		err = join_due(v);
		if (err)
			return err;
	}
	v->cur->last_insn = v->prev_insn;
	v->cur_hist = 0;
	if (aux->prune_point) {
		err = prune_visit(v, v->insn, &pruned);
		if (err)
			return err;
		if (pruned) {
			if (v->log_level & 3 && fresh)
				log_arrival(v, " safe\n");
			else if (v->log_level & 3)
				log_add(v, "%u: safe\n", v->insn);
			return 0;
		}
	}
	return aux->jump_point && hist_push(v, v->cur, 0, 0) ? v->why->err : 1;
}

int walk(struct verifier *v)
{
	bool fresh = false, any = true;

	while (any) {
		const struct insn *in = &v->insns[v->insn];
		bool done = false;
		u32 next = v->insn + 1;
		int err = arrive(v, fresh);

		if (err < 0)
			return err;
		if (err == 0) {
			err = path_end(v, &any);
			if (err)
				return err;
			fresh = true;
			continue;
		}
		if (v->log_level & 2 && fresh) {
			log_arrival(v, "");
			log_state(v, v->cur, v->cur->n_frames - 1, true);
		}
		fresh = false;
		if (v->log_level & 3)
			log_insn(v, v->insn);
		v->aux[v->insn].facts |= FACT_SEEN;
		if (v->opts->visit)
			v->opts->visit(v->opts->visit_ud, v);
		live_stack_before(v);
		err = walk_insn(v, in, &next, &done);
		if (err)
			return err;
		if (!done)
			live_stack_after(v);
		if (done) {
			err = path_end(v, &any);
			if (err)
				return err;
			fresh = true;
			continue;
		}
		fresh = in->op == OP_EXIT;
		v->prev_insn = v->insn;
		v->insn = next;
		if (v->insn >= v->n)
			return bug(v, "the walk left the program");
	}
	return 0;
}
