/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ir: a function of a program in SSA form. Every value has 64 bits; an operation of width 32 reads low halves and gives a
 * result whose high half is zero. Arithmetic nodes carry the operation of isa/ops.def itself, so op_eval() folds
 * them and no meaning is written a second time.
 *
 * Nodes are indices into one array; 0 is "none", and what allocations give when memory is short (ir->failed is set then, and the
 * result thrown away). A pointer to a node is not kept across ir_node().
 *
 * Ownership: everything lies in the arena of the compilation; what a pass needs only while it runs in `scratch`.
 */
#ifndef SKEP_IR_H
#define SKEP_IR_H

#include "prog/facts.h"
#include "vm/vm.h"

/* Below OP_COUNT: ALU operations (unary ones, moves included, take arg[0]). */
enum ir_op {
	IR_CONST = OP_COUNT, /* imm; belongs to no block, one node per value */
	IR_PARAM, /* imm: 0 the run, 1 to 5 R1 to R5 */
	IR_FRAME, /* r10 */
	IR_PHI, /* one argument per predecessor */
	IR_SWAP, /* bytes of the low `width` bits reversed */
	IR_ROL, /* arg[0] rotated left by arg[1] */
	IR_MULHU, /* high half of the product of `width` bits, unsigned */
	IR_MULHS,
	IR_SELECT, /* aux compares arg[0] and arg[1]: arg[2] if so, else arg[3] */
	IR_LOAD, /* width bytes at arg[0] + imm, zero-extended */
	IR_LOADS, /* sign-extended */
	IR_STORE, /* arg[1] to arg[0] + imm */
	IR_ATOMIC, /* aux at arg[0] + imm with arg[1]; CMPXCHG: arg[2] is expected */
	IR_TABLE, /* width bytes: arg[0] indexes the struct ir_table that imm points to, and is below its number */
	IR_CALL, /* calls[imm] */
	IR_JUMP,
	IR_BRANCH, /* aux compares arg[0] and arg[1]: succ[0] if so, else succ[1] */
	IR_RETURN, /* arg[0] */
	IR_TAIL, /* leaves the function for the code at arg[0], with context arg[1] */
	IR_OPS
};

enum ir_flags {
	IRF_INVARIANT = 1, /* load: what it reads never changes during a run */
	IRF_PRIVATE = 2, /* access: memory that only this run sees: ordinary alias rules */
	IRF_PURE = 4, /* call: no effects, result depends on arguments only */
	IRF_POLL = 8, /* branch: looks whether fuel is left, and goes to where more is asked for if not */
};

struct ir_node {
	u8 op, width; /* 32, 64; accesses: bytes */
	u8 aux; /* enum op */
	u8 flags;
	u8 kinds; /* accesses: enum ptr_kinds of the address */
	u8 n; /* operands in arg[] */
	bool known; /* kinds were stated, not found by analysis */
	u32 arg[4]; /* PHI: arg[0] is the start of its arguments in pool */
	s64 imm;
	u32 block, prev, next;
	u32 pc; /* slot that it comes from */
};

enum { IR_TO_TOP = UINT32_MAX };
enum ir_call_kind { IRC_RUNTIME, IRC_SUBPROG };

struct ir_call {
	u8 kind;
	u8 n_args; /* the run included */
	u8 writes; /* set of arguments: memory behind them is written */
	u8 ret_kinds; /* enum ptr_kinds of the result; 0: a number */
	bool reads_only; /* changes no memory that programs see but what `writes` says */
	bool calls_back; /* runs functions of the program */
	bool keeps; /* changes no registers but its result's: for calls that hardly ever happen */
	bool probes; /* looks which addresses may be read: the run is told where the frame is */
	u32 subprog; /* SUBPROG; callbacks: the function + 1, 0 unknown */
	const void *fn;
	u32 args[6];
	u32 sizes[6]; /* bytes behind a pointer argument; 0: not followed; IR_TO_TOP: unknown */
};

/* Numbers that are known when the program is compiled; in the arena of the compilation. */
struct ir_table {
	u64 all; /* bits that any of them has */
	u32 width, n;
	u8 bytes[];
};

struct ir_block {
	u32 first, last; /* nodes */
	u32 *pred, n_pred, cap_pred;
	u32 succ[2], n_succ;
	u32 order, idom, depth, header; /* ir_order() */
	u32 outer; /* of a header: the header of the loop around it, UINT32_MAX: none */
	u32 loop_size; /* of a header: blocks of its loop */
	u32 dom, dom_size; /* number in the dominator tree, and of blocks below it */
	u32 pc;
	bool reachable, cold;
};

struct ir {
	struct arena *arena;
	struct arena *scratch; /* emptied after each pass */
	const struct prog *prog;
	const struct prog_facts *facts; /* may be NULL */
	const struct run_host *host;
	u32 subprog;
	bool failed;
	const char *unsupported; /* what it contains that cannot be compiled */
	bool poll; /* stop and budget are looked at on back edges, and before calls of functions that may do so */
	const bool *light; /* with poll, per function of the program: it has no loops and calls no functions, so that it need not look */
	bool counts; /* the function looks: it has loops, or calls functions that are not light */
	bool probes; /* the program calls helpers that read where they are told, its frames included */

	struct ir_node *node;
	u32 n_nodes, cap_nodes;
	struct ir_block *block; /* block 0 is the entry and has no predecessors */
	u32 n_blocks, cap_blocks;
	struct ir_call *call;
	u32 n_calls, cap_calls;
	u32 *pool;
	u32 n_pool, cap_pool;
	u32 *consts, n_consts, cap_consts; /* hash of CONST nodes */
	u32 *rpo, n_rpo, cap_rpo; /* blocks that can be reached, in reverse postorder */
	u32 frame_size; /* bytes of stack below r10 that accesses may touch */
	u64 clear; /* bit i: the eight bytes at r10 - 8 * (i + 1) are cleared on entry */
	u64 exposed; /* same bits: other code may be given their address; known where `probes` */
	u32 params[6]; /* nodes; 0: not used */
	u32 frame;
	u8 *kinds; /* per node: what it may point to; opt/memory.c */
	u8 param_kinds[6]; /* of R1 to R5: enum ptr_kinds, set by the caller */
	u8 call_kinds[256]; /* out: per subprogram, what calls of this function pass it, as union over R1 to R5 */
};

/* ir.c */
void ir_expect(struct ir *f, u32 nodes, u32 blocks); /* there will be about as many: room that is not moved again and again */
u32 ir_node(struct ir *f, enum ir_op op, u32 width); /* in no block */
u32 ir_const(struct ir *f, u64 value);
u32 ir_block(struct ir *f);
u32 ir_call(struct ir *f);
u32 *ir_pool(struct ir *f, u32 n, u32 *at);
void ir_append(struct ir *f, u32 block, u32 node); /* before a terminator if there is one */
void ir_insert(struct ir *f, u32 before, u32 node);
void ir_remove(struct ir *f, u32 node);
void ir_edge(struct ir *f, u32 from, u32 to); /* adds a predecessor; phis of `to` must not exist yet */
void ir_cut(struct ir *f, u32 from, u32 to); /* removes one, with its phi arguments */
void ir_lead(struct ir *f, u32 from, u32 to, u32 mid); /* successors of `from` that are `to` become mid; predecessors stay */
void ir_rename_pred(struct ir *f, u32 block, u32 from, u32 to);
u32 ir_pred(const struct ir *f, u32 block, u32 from); /* its place among the predecessors, and a phi's arguments; n_pred: it is none */
u32 *ir_phi_args(struct ir *f, u32 phi);
u32 *ir_phi_more(struct ir *f, u32 phi); /* its arguments, with room for those of one more edge, which ir_edge() adds then; NULL: out of memory */
u32 ir_uses(struct ir *f, u32 node, u32 *out); /* operands of a node, in out[IR_USES] or, for a phi, its own; count */
void ir_rewrite(struct ir *f, u32 *to); /* every operand v becomes to[v] (followed to its end) where that is not 0 */
void ir_split_edges(struct ir *f); /* no edge from a block with several successors to one with phis */
enum { IR_USES = 8 };
/* order.c */
void ir_order(struct ir *f); /* rpo, idom, depth */
bool ir_dominates(const struct ir *f, u32 a, u32 b); /* blocks */
bool ir_dominators(struct ir *f); /* dom.c: idom of all blocks that can be reached; false: out of memory */
bool ir_in_loop(const struct ir *f, u32 b, u32 header);

static inline void ir_set_kinds(struct ir *f, u32 v, u32 kinds)
{
	f->node[v].kinds = (u8)kinds;
	f->node[v].known = true;
}
static inline bool ir_is_const(const struct ir *f, u32 v)
{
	return f->node[v].op == IR_CONST;
}
static inline bool ir_is_alu(const struct ir *f, u32 v)
{
	u8 op = f->node[v].op;

	return op < OP_COUNT && op_table[op].class == OPS_ALU;
}
static inline bool ir_is_end(u8 op)
{
	return op >= IR_JUMP;
}
static inline bool ir_has_effect(const struct ir_node *n)
{
	switch (n->op) {
	case IR_LOAD:
	case IR_LOADS: return !(n->flags & (IRF_PRIVATE | IRF_INVARIANT));
	case IR_STORE:
	case IR_ATOMIC: return true;
	case IR_CALL: return !(n->flags & IRF_PURE);
	default: return n->op >= IR_JUMP;
	}
}
#define ir_each(f, v, b)      for (u32 v = (f)->block[b].first; v; v = (f)->node[v].next)
#define ir_each_rpo(f, i, b)  for (u32 i = 0, b; i < (f)->n_rpo && ((b = (f)->rpo[i]), true); i++)

/* build.c: SSA of one function of a program. f: arena, prog, facts, host, subprog are set. -ENOMEM; -ENOTSUP with f->unsupported. */
int ir_build(struct ir *f);
bool ir_is_light(const struct prog *p, u32 subprog); /* as in ir->light */
/* check.c: does the form hold? NULL, or what is wrong. */
const char *ir_check(struct ir *f);
/* dump.c */
void ir_dump(struct ir *f, struct text *t);

/* What the compiler calls besides helpers; jit/ fills it in. */
struct ir_runtime {
	helper_fn *tail_call, *packet_load, *reserve, *map_of, *ctx_load, *poll, *arena_touch, *probe_load;
};
const struct ir_runtime *ir_runtime(void);

#endif
