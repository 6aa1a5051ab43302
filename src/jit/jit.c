/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pipeline from a verified program to code: every function is built, optimized, selected, given registers and emitted; then the
 * bytes move into a region of the engine's window, whose pages are executable and never writable.
 */
#include "jit/jit.h"

#include <setjmp.h>
#include <time.h>

struct unit {
	struct prog *p;
	const struct jit_options *o;
	struct arena arena;
	struct arena scratch; /* of one pass, or of one function's way to machine code */
	struct mach m; /* carries the code from function to function */
	struct code_func *func; /* in the code */
	struct ir *f; /* per function */
	bool *light; /* per function, as in struct ir */
	const char *why;
	u32 nodes, slots;
	u64 started;
	struct mem mem;
	jmp_buf out_of_memory;
};

static int lower(struct unit *u, struct ir *f)
{
	struct mach m = {.ir = f, .arena = &u->scratch, .output = &u->arena, .target = &target_x64, .options = u->o, .frame_size = f->frame_size,
			 .code = u->m.code, .size = u->m.size, .cap = u->m.cap, .site = u->m.site, .n_sites = u->m.n_sites,
			 .cap_sites = u->m.cap_sites, .line = u->m.line, .n_lines = u->m.n_lines, .cap_lines = u->m.cap_lines};
	int err;

	ir_split_edges(f);
	ir_order(f);
	if (f->failed)
		return -ENOMEM;
	err = mach_layout(&m);
	if (!err)
		err = m.target->select(&m);
	if (!err)
		err = regalloc(&m);
	if (!err)
		err = m.target->emit(&m);
	u->m = m;
	u->slots += m.n_slots;
	u->nodes += f->n_nodes;
	arena_reset(&u->scratch);
	return err;
}

static int build(struct unit *u, u32 i)
{
	struct ir *f = &u->f[i];
	int err;

	*f = (struct ir){.arena = &u->arena, .scratch = &u->scratch, .prog = u->p, .facts = u->o->facts, .host = u->o->host, .subprog = i, .poll = u->o->poll,
			 .light = u->light};
	err = ir_build(f);
	if (err == -ENOTSUP)
		u->why = f->unsupported;
	arena_reset(&u->scratch);
	return err;
}

/* ---- code in the window ---- */

static void complete(const struct unit *u)
{
	for (u32 i = 0; i < u->m.n_sites; i++) {
		const struct mach_site *s = &u->m.site[i];
		s32 d = (s32)(u->func[s->subprog].start - s->at - 4);

		memcpy(u->m.code + s->at, &d, sizeof(d));
	}
}

static const struct prog_code **result(struct prog *p, const struct jit_options *o)
{
	return o->host->elsewhere ? &p->elsewhere : &p->code;
}

static int install(struct unit *u)
{
	struct prog *p = u->p;
	struct prog_code *c = arena_alloc(&p->arena, sizeof(*c));
	helper_fn **entry = arena_array(&p->arena, p->n_subprogs, sizeof(*entry));
	struct code_func *func = arena_array(&p->arena, p->n_subprogs, sizeof(*func));
	struct code_line *line = arena_array(&p->arena, u->m.n_lines, sizeof(*line));
	enum region_kind kind = u->o->host->elsewhere ? REGION_CLIENT : u->o->anonymous ? REGION_PRIVATE : REGION_SHARED;
	int err;

	if (!c || !entry || !func || (!line && u->m.n_lines))
		return -ENOMEM;
	complete(u);
	err = region_code(u->o->window, &c->region, kind, u->m.code, u->m.size, c);
	if (err)
		return err;
	for (u32 i = 0; i < p->n_subprogs; i++)
		entry[i] = (helper_fn *)(uintptr_t)(c->region.base + u->func[i].start);
	memcpy(func, u->func, p->n_subprogs * sizeof(*func));
	c->entry = entry;
	c->func = func;
	if (u->m.n_lines)
		memcpy(line, u->m.line, u->m.n_lines * sizeof(*line));
	c->line = line;
	c->n_lines = u->m.n_lines;
	c->size = u->m.size;
	c->polls = u->o->poll;
	for (u32 i = 0; i < p->n_subprogs; i++)
		c->counts |= u->f[i].counts;
	*result(p, u->o) = c;
	return 0;
}

/* ---- which functions are needed ---- */

static void need_called(struct unit *u, u32 i, bool *needed, u32 *work, u32 *n)
{
	const struct ir *f = &u->f[i];

	ir_each_rpo(f, k, b)
		ir_each(f, v, b) {
			const struct ir_call *c = f->node[v].op == IR_CALL ? &f->call[f->node[v].imm] : NULL;

			if (c && c->kind == IRC_SUBPROG && !needed[c->subprog]) {
				needed[c->subprog] = true;
				work[(*n)++] = c->subprog;
			}
		}
}

/* Those that the first one calls, that are handed on as callbacks, and what these call: not what was copied to wherever it was called. */
static bool *find_needed(struct unit *u)
{
	const struct prog *p = u->p;
	bool *needed = arena_array(&u->arena, p->n_subprogs, sizeof(*needed));
	u32 *work = arena_array(&u->arena, p->n_subprogs, sizeof(*work)), n = 0;

	if (!needed || !work)
		return NULL;
	needed[0] = needed[p->exception_callback] = true;
	for (u32 i = 0; i < p->n; i++)
		if (p->insns[i].op == OP_LD_IMM64 && p->insns[i].pseudo == PSEUDO_FUNC)
			needed[subprog_at(p, i + 1 + (u32)(u64)p->insns[i].imm) - p->subprogs] = true;
	for (u32 i = 0; i < p->n_subprogs; i++)
		if (needed[i])
			work[n++] = i;
	while (n)
		need_called(u, work[--n], needed, work, &n);
	return needed;
}

static int lower_all(struct unit *u)
{
	const bool *needed = find_needed(u);
	u32 n = u->p->n_subprogs, end;
	int err = needed ? 0 : -ENOMEM;

	for (u32 i = 0; i < n && !err; i++) {
		if (!needed[i])
			continue;
		err = lower(u, &u->f[i]);
		u->func[i] = (struct code_func){u->m.start, u->m.fp, u->m.up, u->m.saved, u->f[i].exposed};
	}
	end = u->m.size;
	for (u32 i = n; i-- > 0 && !err;)
		if (needed[i])
			end = u->func[i].start;
		else
			u->func[i].start = end; /* no bytes */
	return err;
}

static int compile(struct unit *u)
{
	u32 n = u->p->n_subprogs;
	int err = 0;

	u->func = arena_array(&u->arena, n, sizeof(*u->func));
	u->f = arena_array(&u->arena, n, sizeof(*u->f));
	u->light = arena_array(&u->arena, n, sizeof(*u->light));
	if (!u->func || !u->f || !u->light)
		return -ENOMEM;
	for (u32 i = 0; i < n && u->o->poll; i++)
		u->light[i] = ir_is_light(u->p, i);
	for (u32 i = 0; i < n && !err; i++)
		err = build(u, i);
	if (!err)
		err = opt_program(u->f, n, u->o->without, u->o->check, u->o->dump, &u->why);
	if (!err)
		err = lower_all(u);
	return err ? err : install(u);
}

/* Everything lies in two arenas, so that running out of memory anywhere is one jump. */
static void *allocate(void *ud, void *ptr, size_t old_size, size_t new_size)
{
	struct unit *u = ud;
	void *p = u->p->mem->fn(u->p->mem->ud, ptr, old_size, new_size);

	if (!p && new_size)
		longjmp(u->out_of_memory, 1);
	return p;
}

int jit_compile(struct prog *p, const struct jit_options *o, struct jit_stats *stats, const char **why)
{
	struct unit *u;
	volatile int err = -ENOMEM;
	const struct prog_code *made;

#ifndef __x86_64__
	*why = "no compiler for this machine";
	return -ENOTSUP;
#endif
	u = mem_alloc(p->mem, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->p = p;
	u->o = o;
	u->started = os_clock_ns(CLOCK_MONOTONIC);
	u->mem = (struct mem){allocate, u};
	arena_open_brief(&u->arena, &u->mem, 0, NULL);
	arena_open_brief(&u->scratch, &u->mem, 0, NULL);
	if (!setjmp(u->out_of_memory))
		err = compile(u);
	*why = u->why ? arena_text(&p->arena, "%s", u->why) : NULL;
	u->started = os_clock_ns(CLOCK_MONOTONIC) - u->started;
	if (stats)
		*stats = (struct jit_stats){u->started, u->m.size, u->nodes, u->slots};
	made = *result(p, o);
	if (made)
		((struct prog_code *)(uintptr_t)made)->compile_ns = u->started;
	arena_close(&u->arena);
	arena_close(&u->scratch);
	mem_free(p->mem, u, sizeof(*u));
	return made ? 0 : err;
}

void jit_free(struct prog *p)
{
	jit_withdraw(p);
	if (p->code)
		region_destroy(&((struct prog_code *)(uintptr_t)p->code)->region);
	if (p->elsewhere)
		region_destroy(&((struct prog_code *)(uintptr_t)p->elsewhere)->region);
	p->code = p->elsewhere = NULL;
}
