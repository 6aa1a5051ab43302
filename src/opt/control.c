/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shape of control flow: blocks in a row are joined, branches whose outcome the way to them decides are bypassed, short
 * branches become selections.
 *
 * Requires: rpo. Keeps: SSA; each pass leaves a new order behind.
 */
#include "opt/passes.h"

/* ---- blocks in a row ---- */

static void absorb(struct ir *f, u32 b, u32 t, u32 *to)
{
	struct ir_block *k = &f->block[b], *next = &f->block[t];

	for (u32 v = next->first, n; v; v = n) {
		n = f->node[v].next;
		if (f->node[v].op != IR_PHI)
			break;
		to[v] = ir_phi_args(f, v)[0];
		ir_remove(f, v);
	}
	ir_remove(f, k->last);
	for (u32 v = next->first; v; v = f->node[v].next)
		f->node[v].block = b;
	if (next->first) {
		f->node[next->first].prev = k->last;
		if (k->last)
			f->node[k->last].next = next->first;
		else
			k->first = next->first;
		k->last = next->last;
	}
	memcpy(k->succ, next->succ, sizeof(k->succ));
	k->n_succ = next->n_succ;
	for (u32 i = 0; i < k->n_succ; i++)
		ir_rename_pred(f, k->succ[i], t, b);
	next->first = next->last = 0;
	next->n_pred = next->n_succ = 0;
	next->reachable = false;
}

void opt_straighten(struct ir *f)
{
	u32 *to = arena_array(f->scratch, f->n_nodes, sizeof(u32));
	bool any = false;

	if (!to) {
		f->failed = true;
		return;
	}
	ir_each_rpo(f, i, b) {
		while (f->block[b].reachable && f->block[b].last && f->node[f->block[b].last].op == IR_JUMP) {
			u32 t = f->block[b].succ[0];

			if (f->block[t].n_pred != 1 || t == b || t == 0 || (b != 0 && f->block[t].cold != f->block[b].cold))
				break;
			absorb(f, b, t, to);
			any = true;
		}
	}
	if (!any)
		return;
	ir_rewrite(f, to);
	ir_order(f);
}

/* ---- branches decided by the way to them ---- */

static bool is_decider(const struct ir *f, u32 c)
{
	const struct ir_block *k = &f->block[c];
	const struct ir_node *n;
	u32 v = k->first;

	if (!v || f->node[v].op != IR_PHI || f->node[k->last].op != IR_BRANCH || k->n_pred < 2 || k->succ[0] == k->succ[1])
		return false;
	while (f->node[v].op == IR_PHI)
		v = f->node[v].next;
	n = &f->node[k->last];
	return v == k->last && f->node[n->arg[0]].op == IR_PHI && f->node[n->arg[0]].block == c && ir_is_const(f, n->arg[1]);
}

static bool below(const struct ir *f, u32 user, u32 c, u32 t, u32 other)
{
	return user == c || (f->block[other].n_pred == 1 && other != t && other != c && ir_dominates(f, other, user));
}

/* Where p is known to be a constant, it is that constant; anything else that uses one of c's phis must lie below `other`. */
static bool uses_allow(struct ir *f, u32 c, u32 t, u32 other, u32 p, u32 known)
{
	bool ok = true;

	ir_each_rpo(f, i, b)
		ir_each(f, v, b) {
			u32 use[IR_USES], n;

			if (f->node[v].op == IR_PHI) {
				for (u32 k = 0; k < f->block[b].n_pred && ok; k++) {
					u32 *x = &ir_phi_args(f, v)[k], at = f->block[b].pred[k];

					if (f->node[*x].op != IR_PHI || f->node[*x].block != c || at == c)
						continue;
					if (*x == p && known && f->block[t].n_pred == 1 && t != c && ir_dominates(f, t, at))
						*x = known;
					else
						ok = below(f, at, c, t, other);
				}
				continue;
			}
			n = ir_uses(f, v, use);
			for (u32 k = 0; k < n && ok; k++) {
				if (f->node[use[k]].op != IR_PHI || f->node[use[k]].block != c || b == c)
					continue;
				if (use[k] == p && known && f->block[t].n_pred == 1 && t != c && ir_dominates(f, t, b)) {
					if (f->node[v].op == IR_CALL)
						f->call[f->node[v].imm].args[k] = known;
					else
						f->node[v].arg[k] = known;
				} else {
					ok = below(f, b, c, t, other);
				}
			}
			if (!ok)
				return false;
		}
	return ok;
}

static void redirect(struct ir *f, u32 p, u32 c, u32 t)
{
	u32 from = ir_pred(f, t, c), in_c = ir_pred(f, c, p);

	ir_each(f, v, t) {
		u32 *args, x;

		if (f->node[v].op != IR_PHI)
			break;
		args = ir_phi_more(f, v);
		if (!args)
			return;
		x = args[from];
		if (f->node[x].op == IR_PHI && f->node[x].block == c)
			x = ir_phi_args(f, x)[in_c];
		args[f->block[t].n_pred] = x;
	}
	ir_edge(f, p, t);
	f->block[p].succ[0] = t;
	ir_cut(f, p, c);
}

/* effort: nodes that may still be looked at; keeps the pass linear in large programs */
static bool bypass(struct ir *f, u32 c, s64 *effort)
{
	const struct ir_node n = f->node[f->block[c].last];
	u32 p = n.arg[0];

	for (u32 i = 0; i < f->block[c].n_pred; i++) {
		u32 from = f->block[c].pred[i], x = ir_phi_args(f, p)[i], t, other, known = 0;
		bool yes;

		if (!ir_is_const(f, x) || from == c || f->node[f->block[from].last].op != IR_JUMP)
			continue;
		yes = op_compare(n.aux, n.width, (u64)f->node[x].imm, (u64)f->node[n.arg[1]].imm);
		t = f->block[c].succ[yes ? 0 : 1];
		other = f->block[c].succ[yes ? 1 : 0];
		if (t == c || t == from)
			continue;
		if (n.width == 64 && ((n.aux == OP_JEQ && yes) || (n.aux == OP_JNE && !yes)))
			known = n.arg[1];
		*effort -= f->n_nodes;
		if (*effort < 0 || !uses_allow(f, c, t, other, p, known))
			continue;
		redirect(f, from, c, t);
		return true;
	}
	return false;
}

/* ---- branches by the same comparison, one behind the other ---- */

/* c's branch repeats that of a: where it holds (1), or does not (0), c is reached from from[k], and goes on to to[k]; both ways meet in d. */
struct again {
	u32 a, c, d;
	u32 from[2], to[2];
};

/* Does the only way back from c over `from` lead to the same comparison? */
static bool decided(const struct ir *f, u32 c, u32 from, u32 *at, bool *yes)
{
	enum { MOST_STEPS = 4 };
	const struct ir_node *n = &f->node[f->block[c].last];
	u32 to = c;

	for (u32 step = 0; step < MOST_STEPS; step++) {
		const struct ir_block *b = &f->block[from];
		const struct ir_node *end = &f->node[b->last];
		bool same = end->aux == n->aux, other = op_negated(end->aux) == n->aux;

		if (end->op == IR_BRANCH) {
			*at = from;
			*yes = (b->succ[0] == to) == same;
			return (same || other) && end->width == n->width && end->arg[0] == n->arg[0] && end->arg[1] == n->arg[1] && b->succ[0] != b->succ[1] &&
			       !((end->flags | n->flags) & IRF_POLL);
		}
		if (end->op != IR_JUMP || b->n_pred != 1)
			return false;
		to = from;
		from = b->pred[0];
	}
	return false;
}

static bool meets(const struct ir *f, const struct again *g)
{
	u32 end[2];

	for (u32 k = 0; k < 2; k++) {
		const struct ir_block *t = &f->block[g->to[k]];
		bool passes = t->n_pred == 1 && f->node[t->first].op != IR_PHI && f->node[t->last].op == IR_JUMP;

		end[k] = passes ? t->succ[0] : g->to[k];
	}
	return end[0] == end[1] && g->to[0] != g->to[1] && f->block[end[0]].n_pred == 2 && end[0] != g->c && end[0] != g->a;
}

/* What c does itself can be done before the first branch: arithmetic that no phi goes into. */
static bool is_movable(const struct ir *f, u32 c)
{
	ir_each(f, v, c) {
		const struct ir_node *n = &f->node[v];

		if (n->op == IR_PHI || v == f->block[c].last)
			continue;
		if (!ir_is_alu(f, v) && n->op != IR_SWAP && n->op != IR_ROL)
			return false;
		for (u32 k = 0; k < n->n; k++)
			if (f->node[n->arg[k]].op == IR_PHI && f->node[n->arg[k]].block == c)
				return false;
	}
	return true;
}

static bool is_again(struct ir *f, u32 c, struct again *g)
{
	const struct ir_block *b = &f->block[c];
	const struct ir_node *n = &f->node[b->last];
	u32 a[2];
	bool yes[2];

	if (b->n_pred != 2 || n->op != IR_BRANCH)
		return false;
	for (u32 k = 0; k < 2; k++) {
		if (!ir_is_const(f, n->arg[k]) && f->node[n->arg[k]].block == c)
			return false;
		if (!decided(f, c, b->pred[k], &a[k], &yes[k]))
			return false;
	}
	if (a[0] != a[1] || yes[0] == yes[1])
		return false;
	*g = (struct again){.a = a[0], .c = c};
	for (u32 k = 0; k < 2; k++) {
		g->from[yes[k]] = b->pred[k];
		g->to[yes[k]] = b->succ[!yes[k]];
	}
	if (!meets(f, g) || !is_movable(f, c))
		return false;
	g->d = f->block[g->to[0]].n_pred == 1 ? f->block[g->to[0]].succ[0] : g->to[0];
	return true;
}

static void replace_in(struct ir *f, u32 b, u32 from, u32 to)
{
	ir_each(f, v, b) {
		struct ir_node *n = &f->node[v];

		for (u32 k = 0; n->op == IR_CALL && k < f->call[n->imm].n_args; k++)
			if (f->call[n->imm].args[k] == from)
				f->call[n->imm].args[k] = to;
		for (u32 k = 0; n->op != IR_CALL && k < n->n; k++)
			if (n->arg[k] == from)
				n->arg[k] = to;
	}
}

/* A phi of c is one of d, where both ways meet again. */
static void move_phi(struct ir *f, const struct again *g, u32 v)
{
	u32 arg[2], place[2];

	for (u32 k = 0; k < 2; k++) {
		arg[k] = ir_phi_args(f, v)[ir_pred(f, g->c, g->from[k])];
		place[k] = ir_pred(f, g->d, g->to[k] == g->d ? g->c : g->to[k]);
		if (g->to[k] != g->d)
			replace_in(f, g->to[k], v, arg[k]);
		ir_each(f, p, g->d) {
			u32 *x = &ir_phi_args(f, p)[place[k]];

			if (f->node[p].op != IR_PHI)
				break;
			if (*x == v)
				*x = arg[k];
		}
	}
	ir_remove(f, v);
	ir_insert(f, f->block[g->d].first, v);
	for (u32 k = 0; k < 2; k++)
		ir_phi_args(f, v)[place[k]] = arg[k];
}

static void decide_once(struct ir *f, const struct again *g)
{
	struct ir_block *c = &f->block[g->c];

	for (u32 v = c->first, next; v != c->last; v = next) {
		next = f->node[v].next;
		if (f->node[v].op == IR_PHI) {
			move_phi(f, g, v);
		} else {
			ir_remove(f, v);
			ir_insert(f, f->block[g->a].last, v);
		}
	}
	for (u32 k = 0; k < 2; k++) {
		ir_lead(f, g->from[k], g->c, g->to[k]);
		ir_rename_pred(f, g->to[k], g->c, g->from[k]);
	}
	ir_remove(f, c->last);
	c->n_pred = c->n_succ = 0;
	c->reachable = false;
}

static void once(struct ir *f)
{
	struct again g;
	bool any = false;

	ir_each_rpo(f, i, b)
		if (f->block[b].reachable && is_again(f, b, &g)) {
			decide_once(f, &g);
			any = true;
		}
	if (any)
		ir_order(f);
}

void opt_thread(struct ir *f)
{
	s64 effort = 300000 + 2 * (s64)f->n_nodes;

	once(f);
	for (u32 i = 0; i < f->n_rpo && effort > 0 && !f->failed; i++) {
		u32 c = f->rpo[i];

		while (is_decider(f, c) && bypass(f, c, &effort))
			ir_order(f);
		i = f->block[c].order;
	}
}

/* ---- short branches ---- */

static bool cheap(const struct ir *f, u32 b, u32 *count)
{
	ir_each(f, v, b) {
		const struct ir_node *n = &f->node[v];

		if (v == f->block[b].last)
			return n->op == IR_JUMP;
		if (!ir_is_alu(f, v) && n->op != IR_SWAP && n->op != IR_ROL && n->op != IR_SELECT)
			return false;
		if (n->op == OP_DIV || n->op == OP_MOD || n->op == OP_SDIV || n->op == OP_SMOD || n->op == OP_MUL)
			return false;
		++*count;
	}
	return false;
}

static bool arm(const struct ir *f, u32 a, u32 b, u32 *count)
{
	return f->block[b].n_pred == 1 && f->block[b].pred[0] == a && !f->block[b].cold && f->node[f->block[b].first].op != IR_PHI &&
	       cheap(f, b, count);
}

static void hoist(struct ir *f, u32 a, u32 b)
{
	for (u32 v = f->block[b].first, next; v != f->block[b].last; v = next) {
		next = f->node[v].next;
		ir_remove(f, v);
		ir_insert(f, f->block[a].last, v);
	}
}

/* Values that addresses of loads are made from, a few steps back. A selection there would make a load wait for the comparison, which a
 * predicted branch does not. */
static void mark_addresses(struct ir *f, u8 *steps)
{
	enum { MOST = 9 };
	u32 *work = arena_array(f->scratch, f->n_nodes, sizeof(u32)), n, use[IR_USES];

	if (!work)
		return;
	ir_each_rpo(f, i, b)
		ir_each(f, v, b)
			if ((f->node[v].op == IR_LOAD || f->node[v].op == IR_LOADS || f->node[v].op == IR_TABLE) && steps[f->node[v].arg[0]] < MOST)
				steps[f->node[v].arg[0]] = MOST;
	for (u32 round = MOST; round > 1; round--) {
		n = 0;
		for (u32 v = 1; v < f->n_nodes; v++)
			if (steps[v] == round)
				work[n++] = v;
		while (n--) {
			const struct ir_node *k = &f->node[work[n]];
			u32 count = k->op == IR_PHI ? f->block[k->block].n_pred : 0;

			if (!ir_is_alu(f, work[n]) && k->op != IR_SELECT && k->op != IR_PHI)
				continue;
			while (count--) {
				u32 x = ir_phi_args(f, work[n])[count];

				steps[x] = (u8)MAX(steps[x], round - 1);
			}
			for (count = k->op == IR_PHI ? 0 : ir_uses(f, work[n], use); count--;)
				steps[use[count]] = (u8)MAX(steps[use[count]], round - 1);
		}
	}
}

/* Is one of them the other one with something added, so that what is added can be chosen instead? */
static bool adds_to(const struct ir *f, u32 sum, u32 x)
{
	const struct ir_node *n = &f->node[sum];

	return ((n->op == OP_ADD || n->op == OP_OR || n->op == OP_XOR) && (n->arg[0] == x || n->arg[1] == x)) || (n->op == OP_SUB && n->arg[0] == x);
}

/*
 * A selection waits for the comparison and for both values, a predicted branch for neither. Where turns of a loop wait for it, because it goes into itself, it must be short:
 * the least or the greatest number so far, a sum that is added to or not.
 */
static bool delays(const struct ir *f, const struct opt_recur *r, u32 phi, const struct ir_node *branch, u32 one, u32 two)
{
	enum { MOST_COMPARED = 2, MOST = 3 };
	u32 chain = 0, compared = 0;

	for (u32 k = 0; k < 2; k++) {
		u32 x = k ? two : one;

		if (opt_on_circle(f, r, phi, branch->arg[k]))
			compared = MAX(compared, r->down[branch->arg[k]] + 2u);
		if (opt_on_circle(f, r, phi, x))
			chain = MAX(chain, r->down[x] + 1u);
	}
	if (compared)
		return MAX(compared, chain) + r->up[phi] > MOST_COMPARED;
	if (adds_to(f, one, two) || adds_to(f, two, one))
		return false;
	return chain && chain + r->up[phi] > MOST;
}

static bool convert(struct ir *f, u32 a, const u8 *steps, const struct opt_recur *r)
{
	enum { MOST_NODES = 3, MOST_SELECTS = 2 };
	struct ir_block *k = &f->block[a];
	u32 x = k->succ[0], y = k->succ[1], c, from[2], count = 0, selects = 0;
	bool has_x, has_y;

	if (f->node[k->last].op != IR_BRANCH || x == y)
		return false;
	has_x = arm(f, a, x, &count);
	has_y = arm(f, a, y, &count);
	if (has_x && has_y && f->block[x].succ[0] == f->block[y].succ[0])
		c = f->block[x].succ[0];
	else if (has_x && f->block[x].succ[0] == y)
		c = y, has_y = false;
	else if (has_y && f->block[y].succ[0] == x)
		c = x, has_x = false;
	else
		return false;
	from[0] = ir_pred(f, c, has_x ? x : a);
	from[1] = ir_pred(f, c, has_y ? y : a);
	ir_each(f, v, c) {
		if (f->node[v].op != IR_PHI)
			break;
		if (ir_phi_args(f, v)[from[0]] == ir_phi_args(f, v)[from[1]])
			continue;
		if (f->block[a].depth &&
		    (steps[v] || delays(f, r, v, &f->node[k->last], ir_phi_args(f, v)[from[0]], ir_phi_args(f, v)[from[1]])))
			return false;
		selects++;
	}
	if (count > MOST_NODES || selects > MOST_SELECTS || !selects || c == a)
		return false;
	if (has_x)
		hoist(f, a, x);
	if (has_y)
		hoist(f, a, y);
	ir_each(f, v, c) {
		u32 one, two, s;
		struct ir_node *n;

		if (f->node[v].op != IR_PHI)
			break;
		one = ir_phi_args(f, v)[from[0]];
		two = ir_phi_args(f, v)[from[1]];
		if (one == two)
			continue;
		s = ir_node(f, IR_SELECT, f->node[f->block[a].last].width);
		if (!s)
			return false;
		n = &f->node[s];
		*n = (struct ir_node){.op = IR_SELECT, .width = f->node[f->block[a].last].width, .aux = f->node[f->block[a].last].aux, .n = 4,
				      .arg = {f->node[f->block[a].last].arg[0], f->node[f->block[a].last].arg[1], one, two},
				      .pc = f->node[f->block[a].last].pc};
		ir_insert(f, f->block[a].last, s);
		ir_phi_args(f, v)[from[0]] = ir_phi_args(f, v)[from[1]] = s;
	}
	/* one of the two edges into c goes, the other one comes from a */
	if (has_x && has_y) {
		ir_rename_pred(f, c, x, a);
		ir_cut(f, y, c);
	} else {
		ir_cut(f, has_x ? x : y, c);
	}
	f->node[f->block[a].last].op = IR_JUMP;
	f->node[f->block[a].last].n = 0;
	f->block[a].succ[0] = c;
	f->block[a].n_succ = 1;
	for (u32 side = 0; side < 2; side++)
		if (side ? has_y : has_x) {
			struct ir_block *gone = &f->block[side ? y : x];

			gone->n_pred = gone->n_succ = 0;
			gone->reachable = false;
		}
	return true;
}

void opt_convert(struct ir *f)
{
	u8 *steps = arena_alloc(f->scratch, f->n_nodes * 2 + 64);
	u32 room = f->n_nodes * 2;
	struct opt_recur r;
	bool any = false;

	if (!steps || !opt_recur(f, &r))
		return;
	mark_addresses(f, steps);
	for (u32 i = f->n_rpo; i-- > 0 && f->n_nodes < room;)
		if (f->block[f->rpo[i]].reachable)
			any |= convert(f, f->rpo[i], steps, &r);
	if (any)
		ir_order(f);
}
