/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control flow before the walk: every instruction can be reached, and where states are kept and compared: at both ends of jumps, at calls and
 * behind them. After the walk: the stack of every chain of calls.
 */
#include "verify/state.h"

enum { MET = 0x10, EXPLORED = 0x20, VIA_FALL = 1, VIA_BRANCH = 2 };

struct flow {
	struct verifier *v;
	u8 *seen;
	u32 *stack;
	u32 n_stack;
};

static u32 width_of(const struct insn *in)
{
	return in->op == OP_LD_IMM64 ? 2 : 1;
}

static bool is_conditional(const struct insn *in)
{
	return op_table[in->op].class == OPS_JMP || in->op == OP_MAY_GOTO;
}

u32 cfg_successors(const struct verifier *v, u32 at, u32 to[2])
{
	const struct insn *in = &v->insns[at];
	u32 n = 0;

	if (in->op == OP_EXIT || in->op == OP_PAD)
		return 0;
	if (in->op != OP_JA && at + width_of(in) < v->n)
		to[n++] = at + width_of(in);
	if (in->op == OP_JA || is_conditional(in))
		to[n++] = (u32)in->target;
	return n;
}

static s64 function_loaded(const struct verifier *v, u32 at)
{
	const struct insn *in = &v->insns[at];

	if (in->op == OP_LD_IMM64 && in->pseudo == PSEUDO_FUNC)
		return (u32)v->prog->operand[at];
	return in->op == OP_CALL && in->pseudo == CALL_SUBPROG ? in->target : -1;
}

static void prune_at(struct verifier *v, u32 at)
{
	if (at < v->n)
		v->aux[at].prune_point = true;
}

static void jump_at(struct verifier *v, u32 at)
{
	if (at < v->n)
		v->aux[at].jump_point = true;
}

/* 1: go on with `to`; 0: it was met before; or an error */
static int follow(struct flow *f, u32 at, s64 to, u8 via)
{
	struct verifier *v = f->v;

	if (f->seen[at] >= (MET | via) && !(f->seen[at] & EXPLORED))
		return 0;
	if (to < 0 || to >= v->n)
		return bug(v, "a jump out of the program");
	if (via == VIA_BRANCH) {
		prune_at(v, (u32)to);
		jump_at(v, (u32)to);
		v->aux[to].jump_target = true;
	}
	if (!f->seen[to]) {
		f->seen[at] = MET | via;
		f->seen[to] = MET;
		f->stack[f->n_stack++] = (u32)to;
		return 1;
	}
	if (!(f->seen[to] & EXPLORED) && !v->priv) {
		v->insn = at;
		return reject(v, REJECT_BACK_EDGE, "back-edge from insn %u to %lld", at, (long long)to);
	}
	f->seen[at] = MET | via;
	return 0;
}

static int visit_call(struct flow *f, u32 at, s64 callee)
{
	struct verifier *v = f->v;
	u32 after = at + width_of(&v->insns[at]);
	int more = follow(f, at, after, VIA_FALL);

	if (more)
		return more;
	prune_at(v, after);
	jump_at(v, after);
	if (callee < 0)
		return 0;
	prune_at(v, at);
	{
		struct subprog_info *mine = &v->subs[subprog_at(v->prog, at) - v->prog->subprogs];
		const struct subprog_info *its = &v->subs[subprog_at(v->prog, (u32)callee) - v->prog->subprogs];

		mine->changes_pkt_data |= its->changes_pkt_data;
		mine->might_sleep |= its->might_sleep;
		mine->might_throw |= its->might_throw;
	}
	return follow(f, at, callee, VIA_BRANCH);
}

/* What a call does to the places where states are kept. */
static void mark_call(struct verifier *v, u32 at)
{
	const struct insn *in = &v->insns[at];
	struct insn_aux *aux = &v->aux[at];
	struct subprog_info *sub = &v->subs[subprog_at(v->prog, at) - v->prog->subprogs];

	if (in->pseudo == CALL_HELPER) {
		const struct helper_proto *proto = helper_at(v, at);

		if (!proto)
			return;
		aux->calls_callback = proto->effects & EFFECT_CALLS;
		aux->prune_point |= (proto->effects & (EFFECT_CALLS | EFFECT_CALLS_LATER)) != 0;
		sub->changes_pkt_data |= (proto->effects & EFFECT_MOVES_PACKET) != 0;
		sub->might_sleep |= (proto->effects & EFFECT_SLEEPS) != 0;
	} else if (in->pseudo == CALL_KFUNC && aux->kfunc) {
		const struct kfunc *k = aux->kfunc;

		aux->is_iter_next = k->flags & KF_ITER_NEXT;
		aux->calls_callback = k->role == KROLE_RBTREE_ADD;
		aux->prune_point |= aux->is_iter_next || k->role == KROLE_WQ_CALLBACK;
		sub->changes_pkt_data |= k->role == KROLE_MOVES_PACKET;
		sub->might_sleep |= (k->flags & KF_SLEEPABLE) != 0;
		sub->might_throw |= k->role == KROLE_THROW;
	}
	if (aux->calls_callback || aux->is_iter_next)
		aux->force_checkpoint = aux->prune_point = true;
	aux->jump_point |= aux->calls_callback;
}

static int visit(struct flow *f, u32 at)
{
	struct verifier *v = f->v;
	const struct insn *in = &v->insns[at];
	int more;

	if (in->op == OP_LD_IMM64 && in->pseudo == PSEUDO_FUNC)
		return visit_call(f, at, function_loaded(v, at));
	if (in->op == OP_EXIT)
		return 0;
	if (in->op == OP_CALL) {
		mark_call(v, at);
		return visit_call(f, at, function_loaded(v, at));
	}
	if (in->op == OP_JA) {
		more = follow(f, at, in->target, VIA_FALL);
		if (more)
			return more;
		prune_at(v, (u32)in->target);
		jump_at(v, (u32)in->target);
		v->aux[in->target].jump_target = true;
		return 0;
	}
	if (!is_conditional(in))
		return follow(f, at, (s64)at + width_of(in), VIA_FALL);
	prune_at(v, at);
	if (in->op == OP_MAY_GOTO)
		v->aux[at].force_checkpoint = true;
	more = follow(f, at, (s64)at + 1, VIA_FALL);
	return more ? more : follow(f, at, in->target, VIA_BRANCH);
}

static int walk_from(struct flow *f, u32 entry)
{
	if (f->seen[entry])
		return 0;
	f->seen[entry] = MET;
	f->stack[f->n_stack++] = entry;
	while (f->n_stack) {
		u32 at = f->stack[f->n_stack - 1];
		int more = visit(f, at);

		if (more < 0)
			return more;
		if (!more) {
			f->seen[at] = EXPLORED;
			f->n_stack--;
		}
	}
	return 0;
}

int cfg_check(struct verifier *v)
{
	struct flow f = {.v = v, .seen = arena_alloc(&v->arena, v->n), .stack = arena_array(&v->arena, v->n + 1, sizeof(u32))};
	int err;

	if (!f.seen || !f.stack)
		return reject(v, REJECT_MEMORY, "out of memory");
	err = walk_from(&f, 0);
	if (!err && v->exception_callback)
		err = walk_from(&f, v->prog->subprogs[v->exception_callback].start);
	for (u32 i = 0; !err && i < v->n; i += width_of(&v->insns[i])) {
		v->insn = i;
		if (f.seen[i] != EXPLORED)
			err = reject(v, REJECT_UNREACHABLE, "unreachable insn %u", i);
	}
	return err;
}

/* ---- stack of call chains ---- */

/* What chains through a function were checked with; one that brings no more than that needs no second look at all those that go on from there. */
struct chain_seen {
	u32 depth[2]; /* bytes behind its entry, + 1; 0: not yet; [1]: within a callback, where more is refused */
	bool tail_calls;
};

struct chain {
	struct verifier *v;
	struct chain_seen *seen; /* per function and frame */
	u32 at[FRAMES], sub[FRAMES]; /* where each frame goes on, and which function it is */
	u32 depth, frame;
};

static u32 rounded(u32 bytes)
{
	return ALIGN_UP(bytes, 16u);
}

static bool in_callback(const struct chain *c, u32 sub)
{
	bool cb = c->v->subs[sub].is_callback;

	for (u32 i = 0; i < c->frame; i++)
		cb |= c->v->subs[c->sub[i]].is_callback;
	return cb;
}

enum { TAIL_CALL_BYTES = 256 };

static int chain_enter(struct chain *c, u32 sub, bool own_stacks)
{
	struct verifier *v = c->v;
	const struct subprog_info *info = &v->subs[sub];
	u32 bytes = rounded(info->stack_depth);

	v->insn = v->prog->subprogs[sub].start;
	if (info->has_ld_abs && in_callback(c, sub))
		return reject(v, REJECT_LD_ABS_CALLBACK, "cannot use BPF_LD_[ABS|IND] within callback");
	if (sub && info->has_tail_call && c->depth >= TAIL_CALL_BYTES) {
		reject(v, REJECT_TAIL_CALL_STACK, "tail_calls are not allowed when call stack of previous frames is %u bytes. Too large", c->depth);
		return reject_measured(v, TAIL_CALL_BYTES - 1, c->depth);
	}
	if (own_stacks && bytes >= 64) {
		if (bytes <= STACK_BYTES)
			return 0;
		reject(v, REJECT_STACK_DEPTH, "stack size of subprog %u is %u. Too large", sub, bytes);
		return reject_measured(v, STACK_BYTES, bytes);
	}
	c->depth += bytes;
	if (c->depth <= STACK_BYTES)
		return 0;
	reject(v, REJECT_STACK_DEPTH, "combined stack size of %u calls is %u. Too large", c->frame + 1, c->depth);
	return reject_measured(v, STACK_BYTES, c->depth);
}

/* The function that the instruction brings into the chain; -1: none, -2: an error was reported. */
static s64 chain_callee(struct chain *c, u32 sub, u32 at)
{
	struct verifier *v = c->v;
	const struct insn *in = &v->insns[at];
	s64 target = function_loaded(v, at);
	u32 callee;

	v->insn = at;
	if (in->op == OP_CALL && in->pseudo == CALL_KFUNC && v->aux[at].kfunc && v->aux[at].kfunc->role == KROLE_THROW && in_callback(c, sub)) {
		reject(v, REJECT_THROW_CALLBACK, "bpf_throw kfunc (insn %u) cannot be called from callback subprog %u", at, sub);
		return -2;
	}
	if (target < 0)
		return -1;
	callee = (u32)(subprog_at(v->prog, (u32)target) - v->prog->subprogs);
	if (v->subs[callee].is_async_callback && in->op != OP_CALL)
		return -1;
	if (v->subs[callee].is_exception_callback && in->op == OP_CALL) {
		reject(v, REJECT_EXCEPTION_CALLED, "insn %u cannot call exception cb directly", at);
		return -2;
	}
	return callee;
}

static int chain_tail_calls(struct chain *c)
{
	struct verifier *v = c->v;

	for (u32 i = 0; i < c->frame; i++) {
		if (v->subs[c->sub[i]].is_exception_callback)
			return reject(v, REJECT_TAIL_CALL_EXCEPTION, "cannot tail call within exception cb");
		v->subs[c->sub[i]].tail_call_reachable = true;
	}
	return 0;
}

static bool chain_seen(struct chain *c, u32 sub, bool tail_calls)
{
	struct chain_seen *seen = &c->seen[sub * FRAMES + c->frame];
	bool callback = in_callback(c, sub);

	if (seen->tail_calls != tail_calls)
		*seen = (struct chain_seen){.tail_calls = tail_calls};
	if (seen->depth[1] > c->depth || (!callback && seen->depth[0] > c->depth))
		return true;
	seen->depth[callback] = c->depth + 1;
	return false;
}

/* All chains from one function down, depth first; functions with large stacks of their own do not add up where own_stacks. */
static int chain_check(struct verifier *v, u32 sub, bool own_stacks)
{
	struct chain c = {.v = v, .seen = arena_array(&v->arena, v->prog->n_subprogs, FRAMES * sizeof(struct chain_seen))};
	bool tail_calls = false;
	u32 at = v->prog->subprogs[sub].start;
	int err = c.seen ? chain_enter(&c, sub, own_stacks) : reject(v, REJECT_MEMORY, "out of memory");

	while (!err) {
		s64 callee = -1;

		for (; at < v->prog->subprogs[sub].end; at++) {
			callee = chain_callee(&c, sub, at);
			if (callee != -1)
				break;
		}
		if (callee == -2)
			return v->why->err;
		if (callee >= 0) {
			c.at[c.frame] = at + 1;
			c.sub[c.frame++] = sub;
			if (c.frame >= FRAMES) {
				reject(v, REJECT_CALL_DEPTH, "the call stack of %u frames is too deep !", c.frame);
				return reject_measured(v, FRAMES - 1, c.frame);
			}
			sub = (u32)callee;
			at = v->prog->subprogs[sub].start;
			tail_calls |= v->subs[sub].has_tail_call;
			err = chain_enter(&c, sub, own_stacks);
			if (!err && chain_seen(&c, sub, tail_calls))
				at = v->prog->subprogs[sub].end;
			continue;
		}
		if (tail_calls)
			err = chain_tail_calls(&c);
		if (c.frame == 0)
			break;
		if (!own_stacks || rounded(v->subs[sub].stack_depth) < 64)
			c.depth -= rounded(v->subs[sub].stack_depth);
		sub = c.sub[--c.frame];
		at = c.at[c.frame];
	}
	return err;
}

int cfg_stack_depth(struct verifier *v)
{
	bool tail_calls = false;
	int err = 0;

	for (u32 i = 0; i < v->prog->n_subprogs; i++)
		tail_calls |= v->subs[i].has_tail_call;
	for (u32 i = v->prog->n_subprogs; i-- > 0 && !err;)
		if (i == 0 || v->subs[i].is_async_callback)
			err = chain_check(v, i, i == 0 && !tail_calls && progtype_own_stacks(v->prog->kind, v->prog->attach_type));
	return err;
}
