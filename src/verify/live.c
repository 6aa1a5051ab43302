/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Liveness, so that states which differ only in what nobody reads again count as equal.
 *
 * Registers: a backward data-flow analysis over each function before the walk. Stack slots: marks gathered by the walk. A read of a slot marks it in
 * each checkpoint of the path back to where the slot was overwritten, as a mask per frame. A checkpoint's masks are complete once all paths behind it
 * were explored. Cycles of the control flow (strongly connected components) tell which checkpoints can be complete only together (prune.c).
 */
#include "verify/state.h"

/* ---- registers ---- */

struct uses {
	u16 read, written;
};

static u32 bits_below(u32 n)
{
	return (1u << n) - 1;
}

static struct uses call_uses(const struct verifier *v, u32 at)
{
	const struct insn *in = &v->insns[at];
	u32 args = 5;

	if (in->pseudo == CALL_HELPER) {
		const struct helper_proto *proto = helper_at(v, at);

		for (args = helper_offered(v, proto) ? 0 : 5; args < 5 && proto->args[args] != ARG_NONE; args++)
			;
	}
	if (in->pseudo == CALL_KFUNC && kfunc_offered(v, v->aux[at].kfunc) && v->aux[at].btf) {
		const struct btf_type *proto = btf_func_proto(v->aux[at].btf, (u32)in->imm);

		args = proto ? MIN(btf_vlen_of(proto), 5u) : 5;
	}
	return (struct uses){(u16)(bits_below(args) << 1), 0x3f};
}

static struct uses uses_of(const struct verifier *v, u32 at)
{
	const struct insn *in = &v->insns[at];
	u16 dst = (u16)(1u << in->dst), src = (u16)(1u << in->src), operand = in->imm_src ? 0 : src;
	const struct op_info *op = &op_table[in->op];

	switch (op->class) {
	case OPS_ALU:
		if (op->flags & OPF_COPY)
			return (struct uses){operand, dst};
		return (struct uses){(u16)(dst | (op->flags & OPF_UNARY ? 0 : operand)), dst};
	case OPS_JMP: return (struct uses){(u16)(dst | operand), 0};
	case OPS_ATOMIC: return (struct uses){(u16)(dst | src), op->flags & OPF_FETCH ? src : 0};
	default: break;
	}
	switch ((enum op)in->op) {
	case OP_CMPXCHG: return (struct uses){(u16)(dst | src | 1), 1};
	case OP_LE:
	case OP_BE:
	case OP_BSWAP: return (struct uses){dst, dst};
	case OP_ADDR_SPACE_CAST:
	case OP_LDX:
	case OP_LDXS:
	case OP_LOAD_ACQ: return (struct uses){src, dst};
	case OP_STX:
	case OP_STORE_REL: return (struct uses){(u16)(dst | src), 0};
	case OP_ST: return (struct uses){dst, 0};
	case OP_LD_IMM64: return (struct uses){0, dst};
	case OP_LD_ABS:
	case OP_LD_IND: return (struct uses){(1u << REGS) - 1, 0}; /* to Linux they read everything */
	case OP_CALL: return call_uses(v, at);
	case OP_EXIT: return (struct uses){1, 0};
	default: return (struct uses){0, 0};
	}
}

/* Edges turned round: those into an instruction are from[first[i]] up to from[first[i + 1]]. */
struct edges {
	u32 *first, *from;
};

static bool edges_into(struct verifier *v, struct edges *e)
{
	u32 to[2], sum = 0;

	e->first = arena_array(&v->arena, v->n + 1, sizeof(u32));
	e->from = arena_array(&v->arena, v->n, 2 * sizeof(u32));
	if (!e->first || !e->from)
		return false;
	for (u32 i = 0; i < v->n; i++)
		for (u32 j = cfg_successors(v, i, to); j-- > 0;)
			e->first[to[j]]++;
	for (u32 i = 0; i <= v->n; i++)
		e->first[i] = sum += e->first[i];
	for (u32 i = v->n; i-- > 0;)
		for (u32 j = cfg_successors(v, i, to); j-- > 0;)
			e->from[--e->first[to[j]]] = i;
	return true;
}

/* What the instruction's successors say; does it change what is read from here on? */
static bool live_update(struct verifier *v, u32 at)
{
	struct uses u = uses_of(v, at);
	u32 to[2];
	u16 out = 0, in;

	for (u32 j = cfg_successors(v, at, to); j-- > 0;)
		out |= v->aux[to[j]].live_in;
	in = (u16)((out & ~u.written) | u.read);
	if (in == v->aux[at].live_in)
		return false;
	v->aux[at].live_in = in;
	return true;
}

/* Registers only become live, so an instruction changes no more often than there are registers, in whatever order the program lies. */
int live_registers(struct verifier *v)
{
	u32 *due, n_due = v->n;
	struct edges e;
	u8 *is_due;

	if (v->opts->switches & VERIFY_NO_REG_LIVENESS) {
		for (u32 i = 0; i < v->n; i++)
			v->aux[i].live_in = (1u << REGS) - 1;
		return 0;
	}
	due = arena_array(&v->arena, v->n, sizeof(u32));
	is_due = arena_alloc(&v->arena, v->n);
	if (!due || !is_due || !edges_into(v, &e))
		return reject(v, REJECT_MEMORY, "out of memory");
	for (u32 i = 0; i < v->n; i++) {
		due[i] = i;
		is_due[i] = true;
	}
	while (n_due) {
		u32 at = due[--n_due];

		is_due[at] = false;
		if (!live_update(v, at))
			continue;
		for (u32 k = e.first[at]; k < e.first[at + 1]; k++)
			if (!is_due[e.from[k]]) {
				is_due[e.from[k]] = true;
				due[n_due++] = e.from[k];
			}
	}
	return 0;
}

/* ---- cycles: Tarjan's algorithm with a stack of its own ---- */

struct cycles {
	u32 *order, *low, *stack, *work; /* order: 1 + when it was met */
	u8 *next_edge;
	u32 met, n_stack, n_work, count;
};

static void cycle_close(struct verifier *v, struct cycles *c, u32 at)
{
	u32 to[2], n = cfg_successors(v, at, to);
	bool cycle = c->stack[c->n_stack - 1] != at;

	for (u32 i = 0; i < n; i++)
		cycle |= to[i] == at;
	c->count += cycle;
	for (;;) {
		u32 member = c->stack[--c->n_stack];

		c->low[member] = UINT32_MAX;
		v->aux[member].scc = cycle ? c->count : 0;
		if (member == at)
			break;
	}
}

static void cycle_walk(struct verifier *v, struct cycles *c, u32 root)
{
	c->work[c->n_work++] = root;
	while (c->n_work) {
		u32 at = c->work[c->n_work - 1], to[2], n = cfg_successors(v, at, to);
		bool down = false;

		if (!c->order[at]) {
			c->order[at] = c->low[at] = ++c->met;
			c->stack[c->n_stack++] = at;
		}
		while (c->next_edge[at] < n) {
			u32 next = to[c->next_edge[at]++];

			if (!c->order[next]) {
				c->work[c->n_work++] = next;
				down = true;
				break;
			}
			c->low[at] = MIN(c->low[at], c->low[next]);
		}
		if (down)
			continue;
		c->n_work--;
		if (c->low[at] == c->order[at])
			cycle_close(v, c, at);
		if (c->n_work) {
			u32 up = c->work[c->n_work - 1];

			if (c->low[at] != UINT32_MAX)
				c->low[up] = MIN(c->low[up], c->low[at]);
		}
	}
}

int live_cycles(struct verifier *v)
{
	struct cycles c = {
		.order = arena_array(&v->arena, v->n, sizeof(u32)),
		.low = arena_array(&v->arena, v->n, sizeof(u32)),
		.stack = arena_array(&v->arena, v->n, sizeof(u32)),
		.work = arena_array(&v->arena, v->n + 1, sizeof(u32)),
		.next_edge = arena_array(&v->arena, v->n, 1),
	};

	if (!c.order || !c.low || !c.stack || !c.work || !c.next_edge)
		return reject(v, REJECT_MEMORY, "out of memory");
	for (u32 i = 0; i < v->n; i++)
		if (!c.order[i] && v->insns[i].op != OP_PAD)
			cycle_walk(v, &c, i);
	v->n_logged_sccs = c.count + 1;
	/* A call that calls back goes round on its own. Linux 6.18 overlooks that, where it is no cycle otherwise: skep's own result does not. */
	for (u32 i = 0; v->safe && i < v->n; i++)
		if (v->aux[i].calls_callback && !v->aux[i].scc)
			v->aux[i].scc = ++c.count;
	v->n_sccs = c.count + 1;
	return 0;
}

/* ---- stack slots ---- */

void stack_note_read(struct verifier *v, struct state *s, u32 frame, u32 slot)
{
	u64 bit = 1ull << slot;

	if (!v->safe)
		return;
	for (; !(s->stack_written[frame] & bit) && !(s->fresh >> frame & 1) && s->parent; s = s->parent) {
		if (s->parent->stack_read[frame] & bit)
			return;
		s->parent->stack_read[frame] |= bit;
		v->read_marks++;
	}
}

void stack_look(struct verifier *v, u32 frame, u32 slot)
{
	stack_note_read(v, v->cur, frame, slot);
	live_stack_read(v, frame, slot);
	v->scratched_slots |= 1ull << slot;
}

void stack_note_write(struct verifier *v, u32 frame, u32 slot)
{
	v->cur->stack_written[frame] |= 1ull << slot;
	live_stack_write(v, frame, slot);
}
