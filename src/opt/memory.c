/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What addresses point to, and contexts.
 *
 * The memory model. Private are the part of the frame that no other code is given an address of, the packet's bytes, and the run's
 * own state: ordinary alias rules. Every other load or store is a relaxed atomic: it happens exactly once, and is never
 * moved or merged across a call, an atomic, a back edge or a possible alias.
 *
 * Key idea: a verified program makes pointers only by adding numbers to pointers, so the set of things that a value may point to is
 * the union over the pointers that went into it; no verifier is needed to know it. Only what was loaded from a stack may be anything.
 */
#include "opt/passes.h"

static u8 kinds_of_const(const struct ir *f, u64 x)
{
	const struct window *w = f->host ? f->host->window : NULL;

	return w && w->base && x - (u64)(uintptr_t)w->base < w->size ? PTR_MAP : 0;
}

static const struct ctx_type *ctx_type(const struct ir *f)
{
	const struct ctx_type *t = f->prog->kind ? f->prog->kind->ctx : NULL;

	return t && !(t->flags & CTX_TYPE_FLAT) ? t : NULL;
}

static bool is_address_field(const struct ctx_field *f)
{
	return f && f->kind >= CTX_DATA && f->kind <= CTX_DATA_META;
}

/* v = base + constant: the constant, and the base in *base. */
static s64 strip(const struct ir *f, u32 v, u32 *base)
{
	s64 off = 0;

	while (f->node[v].op == OP_ADD && f->node[v].width == 64 && ir_is_const(f, f->node[v].arg[1])) {
		off = (s64)((u64)off + (u64)f->node[f->node[v].arg[1]].imm);
		v = f->node[v].arg[0];
	}
	*base = v;
	return off;
}

static const struct ctx_field *field_of(const struct ir *f, const struct ir_node *n)
{
	const struct ctx_type *t = ctx_type(f);
	u32 base;
	s64 off = strip(f, n->arg[0], &base);

	if (off < -(1 << 29) || off > 1 << 29)
		return NULL;
	off += n->imm;
	return t ? ctx_access(t, f->prog->attach_type, off, n->width, false, true) : NULL;
}

static u8 kinds_of_load(const struct ir *f, const struct ir_node *n)
{
	u8 from = n->known ? n->kinds : f->kinds[n->arg[0]];

	if (from == PTR_RUN)
		return n->aux;
	if (n->op == IR_LOAD && n->width == 4 && from == PTR_CTX)
		return is_address_field(field_of(f, n)) ? PTR_PACKET : 0;
	if (n->width < 8)
		return from & PTR_CTX && n->width == 4 ? PTR_PACKET : 0;
	return !from || from & (PTR_STACK | PTR_CALLER) ? PTR_LOADED : PTR_OTHER | PTR_MAP;
}

static u8 kinds_of(struct ir *f, u32 v, u32 b)
{
	const struct ir_node *n = &f->node[v];
	u8 k = 0;

	switch (n->op) {
	case IR_PARAM: return n->imm ? f->param_kinds[n->imm] : PTR_RUN;
	case IR_FRAME: return PTR_STACK;
	case IR_PHI:
		for (u32 i = 0; i < f->block[b].n_pred; i++)
			k |= f->kinds[ir_phi_args(f, v)[i]];
		return k;
	case IR_SELECT: return f->kinds[n->arg[2]] | f->kinds[n->arg[3]];
	case OP_ADD: return n->width == 64 ? f->kinds[n->arg[0]] | f->kinds[n->arg[1]] : 0;
	case OP_SUB: return n->width == 64 ? f->kinds[n->arg[0]] : 0;
	case OP_MOV: return n->width == 64 ? f->kinds[n->arg[0]] : 0;
	case IR_LOAD: return kinds_of_load(f, n);
	case IR_ATOMIC: return n->width == 8 ? PTR_OTHER | PTR_MAP : 0;
	case IR_CALL: return f->call[n->imm].ret_kinds;
	default: return 0;
	}
}

/* What comes back to a block adds to one of its phis: all else stands behind what it is made from, and was seen after it. */
static bool grows(struct ir *f, u32 b)
{
	for (u32 v = f->block[b].first; v && f->node[v].op == IR_PHI; v = f->node[v].next)
		if (kinds_of(f, v, b) & ~f->kinds[v])
			return true;
	return false;
}

static bool values(struct ir *f)
{
	bool again = true;

	f->kinds = arena_alloc(f->arena, f->n_nodes + 1);
	if (!f->kinds) {
		f->failed = true;
		return false;
	}
	for (u32 v = 1; v < f->n_nodes; v++)
		if (f->node[v].op == IR_CONST)
			f->kinds[v] = kinds_of_const(f, (u64)f->node[v].imm);
	while (again) {
		again = false;
		ir_each_rpo(f, i, b)
			ir_each(f, v, b)
				f->kinds[v] |= kinds_of(f, v, b);
		ir_each_rpo(f, i, b)
			again |= grows(f, b);
	}
	return true;
}

void opt_kinds(struct ir *f)
{
	if (!values(f))
		return;
	ir_each_rpo(f, i, b)
		ir_each(f, v, b) {
			struct ir_node *n = &f->node[v];

			if (n->op != IR_LOAD && n->op != IR_LOADS && n->op != IR_STORE && n->op != IR_ATOMIC)
				continue;
			if (!n->known)
				n->kinds = f->kinds[n->arg[0]] ? f->kinds[n->arg[0]] : PTR_ANY;
			if ((n->kinds == PTR_PACKET || n->kinds == PTR_RUN) && n->op != IR_ATOMIC)
				n->flags |= IRF_PRIVATE;
			else if (!n->known)
				n->flags &= (u8)~IRF_PRIVATE;
		}
}

/* ---- parameters of functions, from their callers ---- */

static u8 outside(u8 kinds)
{
	return kinds & PTR_STACK ? (kinds & (u8)~PTR_STACK) | PTR_CALLER : kinds;
}

static bool pass_on(struct ir *all, struct ir *f)
{
	bool changed = false;

	ir_each_rpo(f, i, b)
		ir_each(f, v, b) {
			const struct ir_call *c = f->node[v].op == IR_CALL ? &f->call[f->node[v].imm] : NULL;
			u8 together = PTR_MAP | PTR_OTHER;
			struct ir *to;

			if (!c || (c->kind != IRC_SUBPROG && !c->calls_back))
				continue;
			for (u32 a = 1; a < c->n_args; a++)
				together |= outside(f->kinds[c->args[a]]);
			if (c->kind != IRC_SUBPROG && !c->subprog) { /* a function that is not known: every one */
				for (u32 k = 1; k < f->prog->n_subprogs; k++)
					for (u32 a = 1; a <= 5; a++) {
						changed |= (all[k].param_kinds[a] | PTR_LOADED) != all[k].param_kinds[a];
						all[k].param_kinds[a] = PTR_LOADED;
					}
				continue;
			}
			to = &all[c->kind == IRC_SUBPROG ? c->subprog : c->subprog - 1];
			for (u32 a = 1; a <= 5; a++) {
				u8 k = c->kind == IRC_SUBPROG ? outside(f->kinds[c->args[a]]) : together;

				changed |= (to->param_kinds[a] | k) != to->param_kinds[a];
				to->param_kinds[a] |= k;
			}
		}
	return changed;
}

bool opt_kinds_of_program(struct ir *f, u32 n)
{
	bool changed = true;

	f[0].param_kinds[1] = PTR_CTX;
	for (u32 round = 0; changed && n > 1; round++) {
		changed = false;
		for (u32 i = 0; i < n; i++) {
			if (round > 6)
				memset(f[i].param_kinds + 1, PTR_LOADED, 5);
			if (!values(&f[i]))
				return false;
			changed |= round <= 6 && pass_on(f, &f[i]);
		}
	}
	return true;
}

/* ---- contexts ---- */

static u32 before(struct ir *f, u32 at, enum ir_op op, u32 width, u32 x, u32 y)
{
	u32 v = ir_node(f, op, width);
	struct ir_node *n = &f->node[v];

	n->arg[0] = x;
	n->arg[1] = y;
	n->n = y ? 2 : 1;
	n->pc = f->node[at].pc;
	ir_insert(f, at, v);
	return v;
}

static void load_packet_address(struct ir *f, u32 v, u32 kind)
{
	size_t at = kind == CTX_DATA ? offsetof(struct packet, data) : kind == CTX_DATA_END ? offsetof(struct packet, tail) : offsetof(struct packet, meta);
	u32 p = before(f, v, IR_LOAD, 8, f->params[0], 0);
	struct ir_node *n = &f->node[p];

	n->imm = (s64)offsetof(struct run, ctx.packet);
	n->flags = IRF_PRIVATE | IRF_INVARIANT;
	n->kinds = n->aux = PTR_RUN;
	n->known = true;
	n = &f->node[v];
	n->op = IR_LOAD;
	n->width = 8;
	n->arg[0] = p;
	n->imm = (s64)at;
	n->flags = IRF_PRIVATE;
	n->kinds = PTR_RUN;
	n->known = true;
	n->aux = PTR_PACKET;
}

/* No run has the object: NULL where that is one of its values; a program that relies on it has no hook to run on. */
static void load_pointer(struct ir *f, u32 v, const struct ctx_field *field)
{
	struct ir_node *n = &f->node[v];

	if (!(field->access & CTX_MAYBE_NULL))
		f->unsupported = "a field of the context that is a pointer which no run has";
	n->op = OP_MOV;
	n->width = 64;
	n->arg[0] = ir_const(f, 0);
	n = &f->node[v];
	n->n = 1;
	n->imm = 0;
	n->flags = n->kinds = 0;
	n->known = false;
}

static void load_either(struct ir *f, u32 v)
{
	u32 c = ir_call(f), addr = f->node[v].arg[0], width = f->node[v].width, size = ir_const(f, width);
	struct ir_node *n;

	if (f->node[v].imm)
		addr = before(f, v, (enum ir_op)OP_ADD, 64, addr, ir_const(f, (u64)f->node[v].imm));
	f->call[c] = (struct ir_call){.kind = IRC_RUNTIME, .n_args = 3, .fn = (const void *)(uintptr_t)ir_runtime()->ctx_load, .reads_only = true,
				      .ret_kinds = width == 8 ? PTR_LOADED : PTR_PACKET, .args = {f->params[0], addr, size}, .sizes = {0, width}};
	n = &f->node[v];
	n->op = IR_CALL;
	n->width = 64;
	n->imm = c;
	n->n = 0;
	n->flags = 0;
}

void opt_context(struct ir *f)
{
	const struct ctx_type *t = ctx_type(f);
	bool any = false, pointers = false;

	opt_kinds(f);
	for (u32 i = 0; t && i < t->n_fields; i++) {
		any |= is_address_field(&t->fields[i]);
		pointers |= t->fields[i].kind == CTX_POINTER;
	}
	if (!(any || pointers) || f->failed)
		return;
	ir_each_rpo(f, i, b)
		ir_each(f, v, b) {
			const struct ir_node *n = &f->node[v];
			const struct ctx_field *field;

			if (n->op != IR_LOAD || !(n->kinds & PTR_CTX))
				continue;
			field = n->kinds == PTR_CTX ? field_of(f, n) : NULL;
			if (n->kinds != PTR_CTX) {
				if ((n->width == 4 && any) || (n->width == 8 && pointers))
					load_either(f, v);
			} else if (is_address_field(field)) {
				load_packet_address(f, v, field->kind);
			} else if (field && field->kind == CTX_POINTER && !(t->flags & CTX_TYPE_POINTERS && field->access & CTX_MAYBE_NULL)) {
				load_pointer(f, v, field);
			}
		}
	opt_kinds(f);
}

/* ---- the frame ---- */

bool opt_frame_offset(const struct ir *f, u32 v, s64 *off)
{
	u32 base;

	*off = strip(f, v, &base);
	return base == f->frame && *off > -(1 << 29) && *off < 1 << 29;
}

bool opt_frame_reach(struct ir *f, u64 **may, u32 v, s64 *from, s64 *to)
{
	s64 off = 0, reach = 0;

	while (f->node[v].op == OP_ADD && f->node[v].width == 64) {
		u32 x = f->node[v].arg[0], y = f->node[v].arg[1];

		if (ir_is_const(f, y)) {
			off = (s64)((u64)off + (u64)f->node[y].imm);
			v = x;
			continue;
		}
		if (!(f->kinds[x] & PTR_STACK)) {
			u32 t = x;

			x = y;
			y = t;
		}
		if (!*may)
			*may = opt_bits(f, 1);
		if (!*may || f->kinds[y] & PTR_STACK || (*may)[y] >= RUN_STACK)
			return false;
		reach += (s64)(*may)[y];
		v = x;
	}
	if (off < -(1 << 29) || off > 1 << 29)
		return false;
	*from = off;
	*to = off + reach;
	return v == f->frame;
}
