/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytecode to SSA. Key idea: registers that are live into a block are known before (one backward pass over sets of twelve bits), so
 * phis are made only where they are needed, blocks are visited once, in reverse postorder, and nothing recurses.
 *
 * What instructions mean beyond arithmetic is settled here: helper calls (what their arguments become), context fields that load
 * as addresses, packet loads, tail calls, may_goto. After this nothing knows bytecode.
 */
#include "ir/build.h"

enum { MAY_GOTO_LIMIT = 8 << 20 };

u32 build_add(struct builder *b, enum ir_op op, u32 width, u32 x, u32 y)
{
	u32 v = ir_node(b->f, op, width);
	struct ir_node *n = &b->f->node[v];

	n->arg[0] = x;
	n->arg[1] = y;
	n->n = y ? 2 : x ? 1 : 0;
	n->pc = b->pc;
	ir_append(b->f, b->at, v);
	return v;
}

u32 build_load(struct builder *b, u32 addr, s64 off, u32 size, u32 flags)
{
	u32 v = build_add(b, IR_LOAD, size, addr, 0);

	b->f->node[v].imm = off;
	b->f->node[v].flags = (u8)flags;
	return v;
}

static u32 read_reg(struct builder *b, u32 r)
{
	if (r == BUILD_FP)
		return b->f->frame;
	return b->cur[r] ? b->cur[r] : ir_const(b->f, 0);
}

u32 build_jump(struct builder *b, u32 to)
{
	u32 v = build_add(b, IR_JUMP, 64, 0, 0);

	b->f->block[b->at].succ[0] = to;
	b->f->block[b->at].n_succ = 1;
	ir_edge(b->f, b->at, to);
	return v;
}

void build_branch(struct builder *b, enum op cmp, u32 width, u32 x, u32 y, u32 yes, u32 no)
{
	u32 v = build_add(b, IR_BRANCH, width, x, y);
	struct ir_block *k = &b->f->block[b->at];

	b->f->node[v].aux = (u8)cmp;
	b->f->node[v].n = 2;
	k->succ[0] = yes;
	k->succ[1] = no;
	k->n_succ = 2;
	ir_edge(b->f, b->at, yes);
	ir_edge(b->f, b->at, no);
}

void build_return(struct builder *b, u32 v)
{
	build_add(b, IR_RETURN, 64, v, 0);
	b->f->block[b->at].n_succ = 0;
}

u32 build_block(struct builder *b)
{
	u32 k = ir_block(b->f);

	b->f->block[k].pc = b->pc;
	return k;
}

u32 build_call(struct builder *b, const void *fn, u32 n, const u32 *args)
{
	u32 c = ir_call(b->f), v = build_add(b, IR_CALL, 64, 0, 0);
	struct ir_call *call = &b->f->call[c];

	if (b->f->host && b->f->host->elsewhere)
		b->f->unsupported = "a function of the engine";
	call->kind = IRC_RUNTIME;
	call->fn = fn;
	call->n_args = (u8)(n + 1);
	call->args[0] = b->f->params[0];
	for (u32 i = 0; i < n; i++)
		call->args[i + 1] = args[i];
	b->f->node[v].imm = c;
	return v;
}

/* ---- control flow graph of the bytecode ---- */

/* Is it known that no run takes the edge? */
static bool never(const struct builder *b, u32 pc, u32 edge)
{
	const u8 *facts = b->f->facts ? b->f->facts->insns : NULL;

	return facts && facts[pc] & FACT_SEEN && facts[pc] & (FACT_TAKEN | FACT_FALLS) && !(facts[pc] & edge);
}

/* A function that only code calls which no run reaches: what it would do may be nothing that can be compiled. */
static bool never_called(const struct builder *b)
{
	return b->f->facts && !(b->f->facts->insns[b->start] & FACT_SEEN);
}

static bool is_jump(const struct insn *i)
{
	return i->op == OP_JA || i->op == OP_MAY_GOTO || op_table[i->op].class == OPS_JMP;
}

static bool goes_back(const struct insn *i, u32 pc)
{
	return is_jump(i) && i->target >= 0 && (u32)i->target <= pc;
}

/* Where the fuel is handed over. */
static bool burns(const struct insn *i)
{
	return i->op == OP_CALL || i->op == OP_EXIT || i->op == OP_LD_ABS || i->op == OP_LD_IND;
}

static void successors(struct builder *b, struct build_bb *k)
{
	const struct insn *last = &b->insns[k->last];
	u32 fall = b->bb_of[MIN(k->end, b->end - 1)];

	if (last->op == OP_EXIT || never_called(b))
		return;
	if (last->op == OP_JA || (is_jump(last) && last->op != OP_MAY_GOTO && never(b, k->last, FACT_FALLS))) {
		k->succ[k->n_succ++] = b->bb_of[last->target];
		return;
	}
	if (is_jump(last) && (last->op == OP_MAY_GOTO || !never(b, k->last, FACT_TAKEN)))
		k->succ[k->n_succ++] = b->bb_of[last->target];
	if (!k->n_succ || k->succ[0] != fall)
		k->succ[k->n_succ++] = fall;
}

/* ---- jumps back where fuel is counted ---- */

/* The block that the last instruction of k jumps back to, if runs do so: *succ is that successor. */
static bool turns_back(const struct builder *b, struct build_bb *k, u32 **succ)
{
	if (!goes_back(&b->insns[k->last], k->last))
		return false;
	for (u32 s = 0; s < k->n_succ; s++)
		if (k->succ[s] == b->bb_of[b->insns[k->last].target]) {
			*succ = &k->succ[s];
			return true;
		}
	return false;
}

/* The block where turns of so many instructions end that begin in `to`; far: of the farthest jump back to it. */
static struct build_bb *meeting(struct builder *b, u32 to, u32 turn, u32 far, u32 *meets)
{
	u32 at = meets[to];

	while (at && __builtin_clz(far / b->bb[at].turn) / 2 != __builtin_clz(far / turn) / 2)
		at = b->bb[at].more;
	if (!at) {
		at = b->n_bb++;
		b->bb[at] = (struct build_bb){.start = b->bb[to].start, .end = b->bb[to].start, .succ = {to}, .n_succ = 1, .more = meets[to]};
		meets[to] = at;
	}
	return &b->bb[at];
}

/*
 * Jumps back to one place meet in a block of their own, which is the only one that looks: a body with many ways round looks no more often than
 * another, and has the shape that passes know of loops that look at nothing. Every circle has a jump back, so none goes round unseen. What a turn
 * uses up are the instructions up to the farthest of these jumps; those that are a quarter as far away or less meet elsewhere, so that no turn
 * uses up four times what it would alone.
 */
static void gather_turns(struct builder *b)
{
	const u32 n = b->n_bb;
	u32 *far = arena_array(b->f->scratch, n, sizeof(u32)), *meets = arena_array(b->f->scratch, n, sizeof(u32)), *succ;

	if (!far || !meets) {
		b->f->failed = true;
		return;
	}
	for (u32 i = 0; i < n; i++)
		if (turns_back(b, &b->bb[i], &succ)) /* blocks lie in order, so the last one is the farthest */
			far[*succ] = b->bb[i].last + 1 - b->bb[*succ].start;
	for (u32 i = 0; i < n; i++)
		if (turns_back(b, &b->bb[i], &succ)) {
			u32 turn = b->bb[i].last + 1 - b->bb[*succ].start;
			struct build_bb *meet = meeting(b, *succ, turn, far[*succ], meets);

			meet->last = b->bb[i].last;
			meet->turn = turn;
			*succ = (u32)(meet - b->bb);
		}
}

static int find_blocks(struct builder *b)
{
	u8 *leader = arena_alloc(b->f->scratch, b->end - b->start + 2);
	u32 n = 0;

	b->bb_of = arena_array(b->f->scratch, b->end + 1, sizeof(u32));
	if (!leader || !b->bb_of)
		return -ENOMEM;
	leader[0] = 1;
	for (u32 i = b->start; i < b->end; i++) {
		const struct insn *in = &b->insns[i];

		if (is_jump(in))
			leader[(u32)in->target - b->start] = 1;
		if (is_jump(in) || in->op == OP_EXIT)
			leader[i + 1 - b->start] = 1;
	}
	for (u32 i = b->start; i < b->end; i++)
		n += leader[i - b->start];
	b->bb = arena_array(b->f->scratch, b->counts ? 2 * n : n, sizeof(*b->bb));
	if (!b->bb)
		return -ENOMEM;
	for (u32 i = b->start, k = 0; i < b->end; i++) {
		if (leader[i - b->start])
			b->bb[k++].start = i;
		if (b->insns[i].op != OP_PAD)
			b->bb[k - 1].last = i;
		b->bb[k - 1].end = i + 1;
		b->bb_of[i] = k - 1;
	}
	b->n_bb = n;
	for (u32 i = 0; i < n; i++)
		successors(b, &b->bb[i]);
	if (b->counts)
		gather_turns(b);
	return b->f->failed ? -ENOMEM : 0;
}

static int order_blocks(struct builder *b)
{
	u32 *stack = arena_array(b->f->scratch, b->n_bb + 1, 2 * sizeof(u32)), top = 1, at = b->n_bb;
	u32 *order = arena_array(b->f->scratch, b->n_bb, sizeof(u32));

	if (!stack || !order)
		return -ENOMEM;
	b->bb[0].reached = true;
	while (top) {
		u32 *fr = stack + 2 * (top - 1);
		struct build_bb *k = &b->bb[fr[0]];

		if (fr[1] == k->n_succ) {
			order[--at] = fr[0];
			top--;
			continue;
		}
		u32 next = k->succ[fr[1]++];

		if (!b->bb[next].reached) {
			b->bb[next].reached = true;
			stack[2 * top] = next;
			stack[2 * top + 1] = 0;
			top++;
		}
	}
	b->order = order + at;
	b->n_order = b->n_bb - at;
	return 0;
}

/* ---- liveness of registers ---- */

static void reads_writes(const struct insn *i, u32 *reads, u32 *writes)
{
	u32 src = 1u << i->src, dst = 1u << i->dst;
	const struct op_info *op = &op_table[i->op];

	*reads = *writes = 0;
	switch (op->class) {
	case OPS_ALU:
		*reads = (op->flags & OPF_COPY ? 0 : dst) | (i->imm_src ? 0 : src);
		*writes = dst;
		return;
	case OPS_JMP: *reads = dst | (i->imm_src ? 0 : src); return;
	case OPS_ATOMIC:
		*reads = dst | src;
		*writes = op->flags & OPF_FETCH ? src : 0;
		return;
	}
	switch ((enum op)i->op) {
	case OP_CMPXCHG: *reads = dst | src | 1, *writes = 1; return;
	case OP_STORE_REL:
	case OP_STX: *reads = dst | src; return;
	case OP_ST: *reads = dst; return;
	case OP_LOAD_ACQ:
	case OP_LDX:
	case OP_LDXS:
	case OP_ADDR_SPACE_CAST: *reads = src, *writes = dst; return;
	case OP_LE:
	case OP_BE:
	case OP_BSWAP: *reads = dst, *writes = dst; return;
	case OP_LD_IMM64: *writes = dst; return;
	case OP_LD_ABS: *writes = 0x3f; return;
	case OP_LD_IND: *reads = src, *writes = 0x3f; return;
	case OP_CALL: *reads = 0x3e, *writes = 0x3f; return;
	case OP_EXIT: *reads = 1; return;
	case OP_MAY_GOTO: *reads = *writes = 1u << BUILD_LOOPS; return;
	default: return;
	}
}

static void live_registers(struct builder *b)
{
	bool again = true;

	for (u32 i = 0; i < b->n_order; i++) {
		struct build_bb *k = &b->bb[b->order[i]];

		if (k->turn)
			k->use = 1u << BUILD_FUEL;
		for (u32 pc = k->last + 1; !k->turn && pc-- > k->start;) {
			u32 reads, writes;

			reads_writes(&b->insns[pc], &reads, &writes);
			if (b->counts && burns(&b->insns[pc]))
				reads |= 1u << BUILD_FUEL;
			k->use = (u16)((k->use & ~writes) | reads);
			k->def |= (u16)writes;
		}
	}
	while (again) {
		again = false;
		for (u32 i = b->n_order; i-- > 0;) {
			struct build_bb *k = &b->bb[b->order[i]];
			u32 out = 0;

			for (u32 s = 0; s < k->n_succ; s++)
				out |= b->bb[k->succ[s]].live;
			out = k->use | (out & ~(u32)k->def);
			if (out != k->live) {
				k->live = (u16)out;
				again = true;
			}
		}
	}
}

/* ---- instructions ---- */

static u32 operand(struct builder *b, const struct insn *i)
{
	return i->imm_src ? ir_const(b->f, (u64)i->imm) : read_reg(b, i->src);
}

static u32 truncate(struct builder *b, u32 v, u32 bits)
{
	if (bits == 64)
		return v;
	return bits == 32 ? build_add(b, (enum ir_op)OP_MOV, 32, v, 0) :
			    build_add(b, (enum ir_op)OP_AND, 32, v, ir_const(b->f, 0xffff));
}

static void alu(struct builder *b, const struct insn *i)
{
	const struct op_info *op = &op_table[i->op];
	u32 v;

	if (i->op == OP_MOV && i->width == 64)
		v = operand(b, i);
	else if (i->op == OP_MOV && i->imm_src)
		v = ir_const(b->f, (u32)(u64)i->imm);
	else if (op->flags & OPF_UNARY)
		v = build_add(b, (enum ir_op)i->op, i->width, read_reg(b, i->dst), 0);
	else if (op->flags & OPF_COPY)
		v = build_add(b, (enum ir_op)i->op, i->width, operand(b, i), 0);
	else
		v = build_add(b, (enum ir_op)i->op, i->width, read_reg(b, i->dst), operand(b, i));
	b->cur[i->dst] = v;
}

static enum prog_probe probe_at(const struct builder *b)
{
	return b->f->prog->probes ? (enum prog_probe)b->f->prog->probes[b->pc] : PROBE_NONE;
}

static void access_kinds(struct builder *b, u32 v)
{
	if (b->f->facts && b->f->facts->access && b->f->facts->access[b->pc])
		ir_set_kinds(b->f, v, b->f->facts->access[b->pc]);
}

/* Which register an atomic operation gives a result in; -1: none. */
static int atomic_result(const struct insn *i)
{
	if (i->op == OP_CMPXCHG)
		return 0;
	if (i->op == OP_LOAD_ACQ)
		return i->dst;
	return op_table[i->op].flags & OPF_FETCH ? i->src : -1;
}

static u32 atomic_at(struct builder *b, const struct insn *i, u32 addr)
{
	bool load = i->op == OP_LOAD_ACQ;
	u32 v = build_add(b, IR_ATOMIC, i->width, addr, load ? 0 : read_reg(b, i->src)), expected;
	struct ir_node *n = &b->f->node[v];

	n->aux = i->op;
	n->imm = i->off;
	n->n = load ? 1 : 2;
	access_kinds(b, v);
	if (i->op == OP_CMPXCHG) {
		expected = read_reg(b, 0);
		n = &b->f->node[v];
		n->arg[2] = expected;
		n->n = 3;
	}
	return v;
}

static u32 plain_access(struct builder *b, const struct insn *i, u32 addr)
{
	bool store = i->op == OP_STX || i->op == OP_ST;
	enum ir_op op = store ? IR_STORE : i->op == OP_LDXS ? IR_LOADS : IR_LOAD;
	u32 v = build_add(b, op, i->width, addr, !store ? 0 : i->op == OP_ST ? ir_const(b->f, (u64)i->imm) : read_reg(b, i->src));

	b->f->node[v].imm = i->off;
	access_kinds(b, v);
	return v;
}

/* map/map.h says where the arena's bytes are. The table belongs to the engine: what is seen in it may be seen a moment later, as the page's memory stays. */
static void arena_access(struct builder *b, const struct insn *i)
{
	struct map *arena = b->f->prog->arena_map;
	bool loads = i->op == OP_LDX || i->op == OP_LDXS || i->op == OP_LOAD_ACQ, is_atomic = loads ? i->op == OP_LOAD_ACQ : i->op != OP_STX && i->op != OP_ST;
	int result = is_atomic ? atomic_result(i) : loads ? i->dst : -1;
	u32 low = build_add(b, (enum ir_op)OP_MOV, 32, read_reg(b, loads ? i->src : i->dst), 0), entry, there, ask, found, missing, done, v, else_v = 0;

	entry = build_add(b, (enum ir_op)OP_ADD, 64, low, ir_const(b->f, (u64)((s64)i->off + ARENA_GUARD)));
	entry = build_add(b, (enum ir_op)OP_RSH, 64, entry, ir_const(b->f, 12));
	entry = build_add(b, (enum ir_op)OP_ADD, 64, entry, ir_const(b->f, (u64)(uintptr_t)map_arena_present(arena)));
	there = build_load(b, entry, 0, 1, IRF_PRIVATE);
	ir_set_kinds(b->f, there, PTR_RUN);
	found = build_block(b);
	ask = build_block(b);
	missing = build_block(b);
	done = build_block(b);
	b->f->block[ask].cold = b->f->block[missing].cold = true;
	build_branch(b, OP_JNE, 32, there, ir_const(b->f, 0), found, ask);
	b->at = ask;
	v = build_add(b, (enum ir_op)OP_ADD, 64, low, ir_const(b->f, (u64)(s64)i->off));
	v = build_call(b, (const void *)(uintptr_t)ir_runtime()->arena_touch, 2, (u32[]){ir_const(b->f, (u64)(uintptr_t)arena), v});
	b->f->call[b->f->node[v].imm].reads_only = b->f->call[b->f->node[v].imm].keeps = true;
	build_branch(b, OP_JNE, 32, v, ir_const(b->f, 0), found, missing);
	b->at = found;
	v = build_add(b, (enum ir_op)OP_ADD, 64, low, ir_const(b->f, map_arena_base(arena)));
	v = is_atomic ? atomic_at(b, i, v) : plain_access(b, i, v);
	ir_set_kinds(b->f, v, PTR_OTHER);
	if (result >= 0)
		else_v = loads ? ir_const(b->f, 0) : read_reg(b, (u32)result);
	build_jump(b, done);
	b->at = missing;
	build_jump(b, done);
	b->at = done;
	if (result >= 0)
		b->cur[result] = build_phi2(b, done, v, else_v);
}

static void atomic(struct builder *b, const struct insn *i)
{
	int result = atomic_result(i);
	u32 v;

	if (probe_at(b) == PROBE_ARENA) {
		arena_access(b, i);
		return;
	}
	v = atomic_at(b, i, read_reg(b, i->op == OP_LOAD_ACQ ? i->src : i->dst));
	if (result >= 0)
		b->cur[result] = v;
}

/* Where no kernel object lies: 0, unless the program makes pointers of any address. */
static u32 probed_elsewhere(struct builder *b, const struct insn *i, u32 addr)
{
	struct ir_call *call;
	u32 v;

	if (!b->f->prog->casts)
		return ir_const(b->f, 0);
	build_tell_prog(b);
	v = build_call(b, (const void *)(uintptr_t)ir_runtime()->probe_load, 2, (u32[]){addr, ir_const(b->f, i->width)});
	call = &b->f->call[b->f->node[v].imm];
	call->sizes[1] = i->width;
	call->probes = b->f->probes = true;
	if (i->op == OP_LDXS) {
		v = build_add(b, (enum ir_op)OP_LSH, 64, v, ir_const(b->f, 64 - 8u * i->width));
		v = build_add(b, (enum ir_op)OP_ARSH, 64, v, ir_const(b->f, 64 - 8u * i->width));
	}
	return v;
}

/* A load through a pointer to a kernel object: 0 if it does not lie where those do. */
static void probed_load(struct builder *b, const struct insn *i)
{
	const struct run_host *host = b->f->host;
	u32 addr = build_add(b, (enum ir_op)OP_ADD, 64, read_reg(b, i->src), ir_const(b->f, (u64)(s64)i->off));
	u32 off = build_add(b, (enum ir_op)OP_SUB, 64, addr, ir_const(b->f, host->kernel_base));
	u32 found = build_block(b), missing = build_block(b), done = build_block(b), v, other;

	b->f->block[missing].cold = true;
	build_branch(b, OP_JLE, 64, off, ir_const(b->f, host->kernel_size - i->width), found, missing);
	b->at = found;
	v = build_add(b, i->op == OP_LDXS ? IR_LOADS : IR_LOAD, i->width, addr, 0);
	ir_set_kinds(b->f, v, PTR_OTHER);
	build_jump(b, done);
	b->at = missing;
	other = probed_elsewhere(b, i, addr);
	build_jump(b, done);
	b->at = done;
	b->cur[i->dst] = build_phi2(b, done, v, other);
}

static void cast_address(struct builder *b, const struct insn *i)
{
	enum { NO_USER_CONV = 1 << 18 };
	const struct map *arena = b->f->prog->arena_map;
	u32 v = build_add(b, (enum ir_op)OP_MOV, 32, read_reg(b, i->src), 0), high, sel;

	if (i->imm != 1 && !(arena->spec.flags & NO_USER_CONV)) { /* as a pointer that clients have; NULL stays */
		high = build_add(b, (enum ir_op)OP_OR, 64, v, ir_const(b->f, map_arena_start(arena) >> 32 << 32));
		sel = build_add(b, IR_SELECT, 64, v, ir_const(b->f, 0));
		b->f->node[sel].aux = OP_JEQ;
		b->f->node[sel].arg[2] = ir_const(b->f, 0);
		b->f->node[sel].arg[3] = high;
		b->f->node[sel].n = 4;
		v = sel;
	}
	b->cur[i->dst] = v;
}

static void memory(struct builder *b, const struct insn *i)
{
	bool store = i->op == OP_STX || i->op == OP_ST;
	u32 v;

	if (probe_at(b) == PROBE_ARENA) {
		arena_access(b, i);
		return;
	}
	v = plain_access(b, i, read_reg(b, store ? i->dst : i->src));
	if (!store)
		b->cur[i->dst] = v;
}

/* A packet load that fails ends the function with 0. */
static void packet_load(struct builder *b, const struct insn *i)
{
	u32 off = ir_const(b->f, (u64)i->imm), v, fail, go;

	if (i->op == OP_LD_IND)
		off = build_add(b, (enum ir_op)OP_ADD, 64, read_reg(b, i->src), off);
	v = build_call(b, (const void *)(uintptr_t)ir_runtime()->packet_load, 2, (u32[]){off, ir_const(b->f, i->width)});
	b->f->call[b->f->node[v].imm].reads_only = true;
	fail = build_block(b);
	go = build_block(b);
	build_branch(b, OP_JEQ, 64, v, ir_const(b->f, UINT64_MAX), fail, go);
	b->f->block[fail].cold = true;
	b->at = fail;
	build_fuel_out(b);
	build_return(b, ir_const(b->f, 0));
	b->at = go;
	b->cur[0] = v;
}

static void may_goto(struct builder *b, u32 taken, u32 fall)
{
	u32 v = build_add(b, (enum ir_op)OP_ADD, 32, read_reg(b, BUILD_LOOPS), ir_const(b->f, 1));

	b->cur[BUILD_LOOPS] = v;
	build_branch(b, OP_JGT, 32, v, ir_const(b->f, MAY_GOTO_LIMIT), taken, fall);
}

static bool straight(struct builder *b, const struct insn *i)
{
	switch ((enum op)i->op) {
	case OP_LDX:
	case OP_LDXS:
		if (probe_at(b) == PROBE_KERNEL)
			probed_load(b, i);
		else
			memory(b, i);
		return true;
	case OP_STX:
	case OP_ST: memory(b, i); return true;
	case OP_CMPXCHG:
	case OP_LOAD_ACQ:
		if (probe_at(b) == PROBE_KERNEL)
			b->f->unsupported = "acquiring loads of kernel objects";
		atomic(b, i);
		return true;
	case OP_STORE_REL: atomic(b, i); return true;
	case OP_LE: b->cur[i->dst] = truncate(b, read_reg(b, i->dst), i->width); return true;
	case OP_BE:
	case OP_BSWAP: b->cur[i->dst] = build_add(b, IR_SWAP, i->width, read_reg(b, i->dst), 0); return true;
	case OP_LD_IMM64: b->cur[i->dst] = ir_const(b->f, b->f->prog->operand[b->pc]); return true;
	case OP_LD_ABS:
	case OP_LD_IND: packet_load(b, i); return true;
	case OP_CALL: build_any_call(b, i); return true;
	case OP_ADDR_SPACE_CAST: cast_address(b, i); return true;
	default: break;
	}
	switch (op_table[i->op].class) {
	case OPS_ALU: alu(b, i); return true;
	case OPS_ATOMIC: atomic(b, i); return true;
	}
	return false;
}

static void end_block(struct builder *b, const struct build_bb *k)
{
	const struct insn *i = &b->insns[k->last];

	if (k->turn) {
		build_poll(b, k->turn);
		build_jump(b, b->bb[k->succ[0]].first);
		return;
	}
	if (i->op == OP_EXIT || never_called(b)) {
		build_fuel_out(b);
		build_return(b, never_called(b) ? ir_const(b->f, 0) : read_reg(b, 0));
		return;
	}
	if (k->n_succ == 1)
		build_jump(b, b->bb[k->succ[0]].first);
	else if (i->op == OP_MAY_GOTO)
		may_goto(b, b->bb[k->succ[0]].first, b->bb[k->succ[1]].first);
	else
		build_branch(b, i->op, i->width, read_reg(b, i->dst), operand(b, i), b->bb[k->succ[0]].first, b->bb[k->succ[1]].first);
}

/* ---- values at the start of a block ---- */

/* The values that predecessors leave, where all are known and equal; else a phi. */
static void enter_block(struct builder *b, struct build_bb *k)
{
	memset(b->cur, 0, sizeof(b->cur));
	if (k == &b->bb[0] && k->n_pred == 0) {
		for (u32 r = 1; r <= 5; r++)
			b->cur[r] = b->f->params[r];
		b->cur[BUILD_LOOPS] = ir_const(b->f, 0);
		b->cur[BUILD_FUEL] = b->fuel;
		return;
	}
	for (u32 r = 0; r < BUILD_VARS; r++) {
		u32 same = 0;
		bool phi = k == &b->bb[0];

		if (!(k->live >> r & 1) || r == BUILD_FP)
			continue;
		for (u32 p = 0; p < k->n_pred && !phi; p++) {
			const struct build_bb *from = &b->bb[k->pred[p]];
			u32 v = from->exit ? from->exit[r] : 0;

			phi = !from->exit || (p && v != same);
			same = v;
		}
		if (phi) {
			u32 v = ir_node(b->f, IR_PHI, 64);

			b->f->node[v].aux = (u8)r;
			b->f->node[v].pc = k->start;
			ir_append(b->f, k->first, v);
			b->cur[r] = v;
		} else {
			b->cur[r] = same;
		}
	}
}

static int translate(struct builder *b, struct build_bb *k)
{
	enter_block(b, k);
	b->at = k->first;
	for (b->pc = k->start; b->pc <= k->last && !k->turn && !never_called(b); b->pc++)
		if (b->insns[b->pc].op != OP_PAD)
			straight(b, &b->insns[b->pc]);
	b->pc = k->last;
	end_block(b, k);
	k->exit = arena_array(b->f->scratch, BUILD_VARS, sizeof(u32));
	if (!k->exit)
		return -ENOMEM;
	memcpy(k->exit, b->cur, sizeof(b->cur));
	k->last_ir = b->at;
	return b->f->unsupported ? -ENOTSUP : b->f->failed ? -ENOMEM : 0;
}

/* The predecessors of a block in the IR are known only now. */
static void fill_phis(struct builder *b, const struct build_bb *k)
{
	struct ir *f = b->f;
	u32 n = f->block[k->first].n_pred;

	ir_each(f, v, k->first) {
		u32 at, r = f->node[v].aux, *args;

		if (f->node[v].op != IR_PHI)
			break;
		args = ir_pool(f, n, &at);
		if (!args)
			return;
		f->node[v].aux = 0;
		f->node[v].arg[0] = at;
		for (u32 p = 0; p < n; p++) {
			u32 from = f->block[k->first].pred[p], x;

			if (from == 0)
				x = r >= 1 && r <= 5 ? f->params[r] : r == BUILD_FUEL ? b->fuel : ir_const(f, 0);
			else
				x = b->bb[b->from[from]].exit[r];
			f->pool[at + p] = x ? x : ir_const(f, 0);
		}
	}
}

static int make_blocks(struct builder *b)
{
	for (u32 i = 0; i < b->n_order; i++) {
		struct build_bb *k = &b->bb[b->order[i]];

		b->pc = k->start;
		k->first = build_block(b);
		for (u32 s = 0; s < k->n_succ; s++)
			b->bb[k->succ[s]].n_pred++;
	}
	for (u32 i = 0; i < b->n_order; i++) {
		struct build_bb *k = &b->bb[b->order[i]];

		k->pred = arena_array(b->f->scratch, k->n_pred + 1, sizeof(u32));
		if (!k->pred)
			return -ENOMEM;
		k->n_pred = 0;
	}
	for (u32 i = 0; i < b->n_order; i++) {
		struct build_bb *k = &b->bb[b->order[i]];

		for (u32 s = 0; s < k->n_succ; s++) {
			struct build_bb *to = &b->bb[k->succ[s]];

			to->pred[to->n_pred++] = b->order[i];
		}
	}
	return b->f->failed ? -ENOMEM : 0;
}

static void make_entry(struct builder *b)
{
	struct ir *f = b->f;

	f->frame = ir_node(f, IR_FRAME, 64);
	b->at = build_block(b);
	ir_append(f, b->at, f->frame);
	for (u32 i = 0; i < 6; i++) {
		f->params[i] = build_add(b, IR_PARAM, 64, 0, 0);
		f->node[f->params[i]].imm = i;
	}
	if (b->counts) {
		build_fuel_in(b);
		b->fuel = b->cur[BUILD_FUEL];
	}
}

bool ir_is_light(const struct prog *p, u32 subprog)
{
	for (u32 pc = p->subprogs[subprog].start; pc < p->subprogs[subprog].end; pc++) {
		const struct insn *i = &p->insns[pc];

		if (goes_back(i, pc) || (i->op == OP_CALL && (i->pseudo == CALL_SUBPROG || build_calls_back(p, pc))))
			return false;
	}
	return true;
}

int ir_build(struct ir *f)
{
	const struct subprog *s = &f->prog->subprogs[f->subprog];
	struct builder b = {.f = f, .insns = f->prog->insns, .start = s->start, .end = s->end, .pc = s->start};
	int err;

	for (u32 pc = s->start; pc < s->end && f->poll; pc++)
		b.counts |= goes_back(&b.insns[pc], pc) || build_leaves(f, pc);
	f->counts = b.counts;
	err = find_blocks(&b);
	if (!err)
		err = order_blocks(&b);
	if (err)
		return err;
	ir_expect(f, 3 * (s->end - s->start) + 64, 2 * b.n_order + 16);
	live_registers(&b);
	make_entry(&b);
	err = make_blocks(&b);
	if (err)
		return err;
	build_jump(&b, b.bb[0].first);
	for (u32 i = 0; i < b.n_order && !err; i++)
		err = translate(&b, &b.bb[b.order[i]]);
	if (err)
		return err;
	b.from = arena_array(f->scratch, f->n_blocks, sizeof(u32));
	if (!b.from)
		return -ENOMEM;
	for (u32 i = 0; i < b.n_order; i++)
		b.from[b.bb[b.order[i]].last_ir] = b.order[i];
	for (u32 i = 0; i < b.n_order; i++)
		fill_phis(&b, &b.bb[b.order[i]]);
	ir_order(f);
	return f->failed ? -ENOMEM : 0;
}
