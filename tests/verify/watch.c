/* SPDX-License-Identifier: BSD-2-Clause */
#include "watch.h"

#include "engine/engine.h"
#include "verify/state.h"
#include "vm/state.h"

#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>

enum { SNAPS_MOST = 60000, PROGRAMS_MOST = 64, INSNS_MOST = 200000 };

struct snap_frame {
	struct reg regs[REGS];
	u32 live, n_slots;
	struct stack_slot *stack;
};

struct snap {
	struct snap *next; /* same instruction */
	u32 n_frames;
	bool numbers; /* every number counts */
	struct snap_frame frame[];
};

/* In the order of the walk. A loop that runs as it was walked goes from each to the one behind it. */
struct snaps {
	struct snap *first, *last, *held; /* held: the last time */
};

struct ways {
	const char *name;
	enum verify_mode mode;
	u32 switches;
	bool all; /* numbers and the stack as well */
};
static const struct ways ways[] = {
    {"linux", VERIFY_LINUX, 0, false},
    {"linux, all precise", VERIFY_LINUX, VERIFY_ALL_PRECISE | VERIFY_NO_STACK_LIVENESS, true},
    {"safe", VERIFY_SAFE, 0, false},
    {"safe, all precise", VERIFY_SAFE, VERIFY_ALL_PRECISE | VERIFY_NO_STACK_LIVENESS, true},
};
enum { WAYS = ARRAY_SIZE(ways) };

struct kept {
	const struct prog *prog;
	struct snaps *at[WAYS]; /* by instruction; NULL: not kept */
	struct arena arena;
	struct {
		const struct vm_frame *frame; /* of the jump executed last; NULL: another instruction was */
		u32 pc;
	} jump;
};

struct watch {
	struct skep *k;
	struct run_watch hook;
	struct kept programs[PROGRAMS_MOST];
	u32 n;
	struct watch_stats stats;
	char text[512];
	/* while a verification runs */
	struct kept *to;
	u32 way;
	u64 snaps;
};

/* ---- keeping ---- */

static void visit(void *ud, const struct verifier *v)
{
	struct watch *w = ud;
	const struct state *s = v->cur;
	struct snaps *all;
	struct snap *snap;

	if (s->speculative || w->snaps >= SNAPS_MOST)
		return;
	w->snaps++;
	snap = arena_alloc(&w->to->arena, sizeof(*snap) + s->n_frames * sizeof(snap->frame[0]));
	if (!snap) {
		w->snaps = SNAPS_MOST;
		return;
	}
	snap->n_frames = s->n_frames;
	snap->numbers = all_precise(v);
	for (u32 i = 0; i < s->n_frames; i++) {
		const struct frame *f = s->frame[i];
		struct snap_frame *to = &snap->frame[i];

		memcpy(to->regs, f->regs, sizeof(to->regs));
		to->live = v->aux[i + 1 < s->n_frames ? s->callsite[i + 1] : v->insn].live_in;
		to->n_slots = f->n_slots;
		to->stack = f->n_slots ? arena_array(&w->to->arena, f->n_slots, sizeof(*to->stack)) : NULL;
		if (f->n_slots && !to->stack) {
			w->snaps = SNAPS_MOST;
			return;
		}
		for (u32 slot = 0; slot < f->n_slots; slot++)
			to->stack[slot] = *stack_at(f, slot);
	}
	all = &w->to->at[w->way][v->insn];
	snap->next = NULL;
	if (all->last)
		all->last->next = snap;
	else
		all->first = snap;
	all->last = snap;
	w->stats.states++;
}

static void keep(struct watch *w, struct kept *to, u32 way)
{
	u32 flags = to->prog->flags;
	bool privileged = !atomic_load(&w->k->unprivileged);
	struct verify_options o = {
	    .mode = ways[way].mode,
	    .switches = ways[way].switches,
	    .cap_bpf = privileged,
	    .cap_perfmon = privileged,
	    .cap_net_admin = privileged,
	    .strict_alignment = flags & BPF_F_STRICT_ALIGNMENT,
	    .any_alignment = flags & BPF_F_ANY_ALIGNMENT,
	    .test_state_freq = flags & BPF_F_TEST_STATE_FREQ,
	    .max_insns = privileged ? SNAPS_MOST : INSNS_MOST, /* what is speculative is not kept */
	    .kernel = kernel_btf_source(w->k),
	    .visit = visit,
	    .visit_ud = w,
	};
	struct verify_result result;
	struct text log;
	int err;

	to->at[way] = arena_array(&to->arena, to->prog->n, sizeof(*to->at[way]));
	if (!to->at[way])
		return;
	w->to = to;
	w->way = way;
	w->snaps = 0;
	text_open(&log, &mem_libc);
	err = verify_program((struct prog *)to->prog, &o, &log, &result);
	text_close(&log);
	if (err || w->snaps >= SNAPS_MOST) {
		to->at[way] = NULL;
		w->stats.skipped++;
	}
}

void watch_program(struct watch *w, int fd)
{
	struct kept *to = &w->programs[w->n];
	struct obj *o;

	if (w->n == PROGRAMS_MOST || obj_by_fd(w->k, fd, OBJ_PROG, 0, &o))
		return;
	*to = (struct kept){.prog = o->body};
	arena_open(&to->arena, &mem_libc);
	w->n++;
	w->stats.programs++;
	for (u32 i = 0; i < WAYS; i++)
		keep(w, to, i);
	obj_put(o);
}

void watch_forget(struct watch *w)
{
	while (w->n)
		arena_close(&w->programs[--w->n].arena);
}

/* ---- comparing ---- */

struct compared {
	struct watch *w;
	const struct run *run;
	const struct vm_frame *frames[FRAMES]; /* as the state numbers them */
	bool all, numbers; /* the stack as well; every number */
	const char *what; /* that does not fit */
	u32 frame, reg;
	u64 value;
};

/* Elements of a map of maps are other maps than the one that says what they are like. */
static bool is_template(const struct prog *p, const struct map *m)
{
	for (u32 i = 0; i < p->n_maps; i++)
		if (p->maps[i]->inner == m)
			return true;
	return false;
}

static bool in_map(const struct run *r, const struct reg *reg, u64 value)
{
	const struct map *m = reg->map;
	u64 base = value - (u64)(s64)reg->off;

	if (reg->map_uid || m->inner || is_template(r->prog, m))
		return true; /* an element of a map of maps, or in one: another map each time */
	if (m->values && !m->cpu_stride) {
		for (u64 i = 0; i < m->spec.max_entries && i < 1024; i++)
			if (scalar_has(&reg->v, base - (u64)(uintptr_t)m->values - i * m->elem_size))
				return true;
		return m->spec.max_entries > 1024;
	}
	return !scalar_is_const(&reg->v) ||
	       window_find(r->host->window, (void *)(uintptr_t)(base - reg->v.bits.value)) == m;
}

static bool in_record(const struct run *r, const struct reg *reg, u64 value)
{
	for (u32 i = 0; i < r->n_records; i++)
		if (scalar_has(&reg->v, value - (u64)(s64)reg->off - (u64)(uintptr_t)r->records[i].at))
			return true;
	return r->n_records == RUN_RECORDS;
}

static bool in_packet(const struct packet *p, const struct reg *reg, u64 value, const u8 *start,
		      const u8 *end)
{
	u64 base = value - (u64)(s64)reg->off;

	if (!p)
		return true;
	if (!scalar_has(&reg->v, base - (u64)(uintptr_t)start))
		return false;
	return reg->range <= 0 || base + (u64)reg->range <= (u64)(uintptr_t)end;
}

static bool pointer_holds(struct compared *c, const struct reg *reg, u64 value)
{
	const struct run *r = c->run;
	const struct packet *p = r->ctx.packet;
	u64 base = value - (u64)(s64)reg->off;

	if (reg->type & R_NULLABLE && value == 0)
		return true;
	switch (reg_base(reg->type)) {
	case R_CTX:
		return scalar_has(&reg->v, base - (u64)(uintptr_t)r->ctx.bytes);
	case R_STACK:
		return scalar_has(&reg->v, base - c->frames[reg->frame]->fp);
	case R_MAP:
		return reg->map_uid || reg->map->inner_spec.kind ||
		       window_find(r->host->window, (void *)(uintptr_t)value) != NULL;
	case R_MAP_VALUE:
		return in_map(r, reg, value);
	case R_MEM:
		return reg->type & R_RINGBUF ? in_record(r, reg, value) : value != 0;
	case R_PACKET:
		return in_packet(p, reg, value, p ? p->data : NULL, p ? p->tail : NULL);
	case R_PACKET_META:
		return in_packet(p, reg, value, p ? p->meta : NULL, p ? p->data : NULL);
	case R_PACKET_END:
		return !p || base == (u64)(uintptr_t)p->tail;
	case R_MAP_KEY:
		return value != 0;
	default:
		return true; /* kernel objects: what is behind them is the engine's */
	}
}

static bool reg_holds(struct compared *c, const struct reg *reg, u64 value)
{
	if (reg->type == R_NONE || (reg->type == R_SCALAR && !c->numbers))
		return true;
	c->w->stats.compared++;
	return reg->type == R_SCALAR ? scalar_has(&reg->v, value) : pointer_holds(c, reg, value);
}

/* Scalars of one id differ by what the state says: in all bits, or in the low half where one of them is off in 32 bits and the other has no upper half. */
static bool link_holds(const struct reg *x, const struct reg *y, u64 vx, u64 vy)
{
	u64 dx = x->id & ID_DELTA ? (u64)(s64)x->delta : 0, dy = y->id & ID_DELTA ? (u64)(s64)y->delta : 0;

	if (!((x->id | y->id) & ID_DELTA32))
		return vx - dx == vy - dy;
	if ((x->id | y->id) & ID_DELTA64)
		return true; /* nothing follows from one for the other */
	return (u32)(vx - dx) == (u32)(vy - dy) && vx <= UINT32_MAX && vy <= UINT32_MAX;
}

static bool links_hold(const struct snap_frame *f, const u64 *value)
{
	for (u32 a = 0; a < REG_FP; a++) {
		const struct reg *x = &f->regs[a];

		if (x->type != R_SCALAR || !x->id || !(f->live >> a & 1))
			continue;
		for (u32 b = a + 1; b < REG_FP; b++) {
			const struct reg *y = &f->regs[b];

			if (y->type == R_SCALAR && (x->id & ~ID_DELTA) == (y->id & ~ID_DELTA) && f->live >> b & 1 &&
			    !link_holds(x, y, value[a], value[b]))
				return false;
		}
	}
	return true;
}

static bool slot_holds(struct compared *c, const struct stack_slot *s, const u8 *at)
{
	u32 spilled = 0;
	u64 value = 0;

	while (spilled < SLOT_BYTES && s->kind[SLOT_BYTES - 1 - spilled] == S_SPILL)
		spilled++;
	for (u32 i = spilled; i < SLOT_BYTES; i++) {
		if (s->kind[SLOT_BYTES - 1 - i] != S_ZERO)
			continue;
		c->w->stats.compared++;
		if (at[i])
			return false;
	}
	if (!spilled)
		return true;
	memcpy(&value, at, spilled);
	if (spilled == SLOT_BYTES)
		return reg_holds(c, &s->reg, value);
	if (s->reg.type == R_SCALAR) {
		struct scalar low = s->reg.v;

		scalar_zext(&low, spilled);
		c->w->stats.compared++;
		return scalar_has(&low, value);
	}
	return true;
}

static bool frame_holds(struct compared *c, const struct snap *snap, u32 n)
{
	const struct snap_frame *f = &snap->frame[n];
	const struct vm_frame *vf = c->frames[n];

	c->frame = n;
	c->numbers = snap->numbers;
	for (u32 live = f->live & ((1u << REG_FP) - 1); live; live &= live - 1) {
		u32 i = (u32)__builtin_ctz(live);

		c->reg = i;
		c->value = vf->reg[i];
		c->what = "register";
		if (!reg_holds(c, &f->regs[i], vf->reg[i]))
			return false;
	}
	if (!c->all)
		return true;
	c->what = "link of scalars";
	if (n + 1 == snap->n_frames && !links_hold(f, vf->reg))
		return false;
	for (u32 i = 0; i < f->n_slots; i++) {
		const u8 *at = (const u8 *)(uintptr_t)(vf->fp - (i + 1) * SLOT_BYTES);

		c->what = "stack slot";
		c->reg = i;
		memcpy(&c->value, at, sizeof(c->value));
		if (!slot_holds(c, &f->stack[i], at))
			return false;
	}
	return true;
}

static bool snap_holds(struct compared *c, const struct snap *snap, const struct vm *vm)
{
	const struct vm_frame *f = vm->frame;

	c->what = "depth of calls";
	for (u32 i = snap->n_frames; i-- > 0; f = f->caller) {
		if (!f)
			return false;
		c->frames[i] = f;
	}
	for (u32 i = 0; i < snap->n_frames; i++)
		if (!frame_holds(c, snap, i))
			return false;
	return true;
}

/* From the one that held the last time on, all round. tried: the last of them, when none holds. */
static bool some_snap_holds(struct compared *c, struct snaps *all, const struct vm *vm, const struct snap **tried)
{
	struct snap *from = all->held ? all->held : all->first;

	*tried = NULL;
	for (struct snap *s = from; s && (s != from || !*tried); s = s->next ? s->next : all->first) {
		if (snap_holds(c, s, vm)) {
			all->held = s;
			return true;
		}
		*tried = s;
	}
	return false;
}

static void tell(struct watch *w, const struct compared *c, u32 way, u32 insn, const struct snap *last)
{
	struct text t;

	if (w->stats.violations++)
		return;
	text_open(&t, &mem_libc);
	if (last && c->what[0] == 'r' && last->frame[c->frame].regs[c->reg].type == R_SCALAR)
		scalar_text(&t, &last->frame[c->frame].regs[c->reg].v);
	snprintf(w->text, sizeof(w->text),
		 "%s: insn %u: %s%s %u of frame %u holds 0x%llx, which lies in no state explored there; the "
		 "last one tried says %s",
		 ways[way].name, insn, last ? "" : "no state at all; ", last ? c->what : "nothing", c->reg,
		 c->frame, (unsigned long long)c->value, text_str(&t));
	text_close(&t);
}

/* ---- facts ---- */

static void broken(struct watch *w, u32 insn, const char *what)
{
	if (!w->stats.violations++)
		snprintf(w->text, sizeof(w->text), "facts: insn %u: %s", insn, what);
}

static u32 kind_of_address(const struct run *r, u64 addr)
{
	const struct vm *vm = r->vm;
	const struct packet *p = r->ctx.packet;

	if (addr - (u64)(uintptr_t)vm->stack < sizeof(vm->stack))
		return addr < vm->frame->fp && addr >= vm->frame->fp - RUN_STACK ? PTR_STACK : PTR_CALLER;
	if (addr - (u64)(uintptr_t)r->ctx.bytes < r->ctx.size)
		return PTR_CTX;
	if (p && addr >= (u64)(uintptr_t)p->head && addr < (u64)(uintptr_t)p->end)
		return PTR_PACKET;
	if (heap_has(r->host->heap, (const void *)(uintptr_t)addr, 1))
		return PTR_OTHER;
	return window_find(r->host->window, (const void *)(uintptr_t)addr) ? PTR_MAP : PTR_OTHER;
}

/* The jump before led here. */
static void edge(struct watch *w, struct kept *k, const struct vm *vm)
{
	const struct insn *in = &k->prog->insns[k->jump.pc];
	u8 facts = k->prog->facts.insns[k->jump.pc];

	if (k->jump.frame != vm->frame || (u32)in->target == k->jump.pc + 1)
		return;
	w->stats.edges += facts != (FACT_SEEN | FACT_TAKEN | FACT_FALLS);
	if (!(facts & (vm->pc == (u32)in->target ? FACT_TAKEN : FACT_FALLS)))
		broken(w, k->jump.pc, vm->pc == (u32)in->target ? "the jump is taken, which no path did" : "the jump is not taken, which no path did");
}

static void facts_hold(struct watch *w, struct kept *k, const struct run *r)
{
	const struct vm *vm = r->vm;
	const struct insn *in = &k->prog->insns[vm->pc];
	u32 class = op_table[in->op].class, access = k->prog->facts.access[vm->pc], kind;
	bool from = in->op == OP_LDX || in->op == OP_LDXS || in->op == OP_LOAD_ACQ;

	if (k->jump.frame)
		edge(w, k, vm);
	k->jump.frame = class == OPS_JMP ? vm->frame : NULL;
	k->jump.pc = vm->pc;
	if (!(k->prog->facts.insns[vm->pc] & FACT_SEEN))
		broken(w, vm->pc, "is executed, and no path reaches it");
	if (!from && in->op != OP_STX && in->op != OP_ST && in->op != OP_STORE_REL && in->op != OP_CMPXCHG && class != OPS_ATOMIC)
		return;
	w->stats.accesses += access != PTR_ANY;
	kind = kind_of_address(r, vm->frame->reg[from ? in->src : in->dst] + (u64)(s64)in->off);
	if (!(access & kind))
		broken(w, vm->pc, "reaches memory of a kind that no path did");
}

static void step(void *ud, const struct run *r)
{
	struct watch *w = ud;
	const struct vm *vm = r->vm;
	struct kept *k = NULL;

	for (u32 i = 0; i < w->n && !k; i++)
		if (w->programs[i].prog == vm->frame->prog)
			k = &w->programs[i];
	if (!k)
		return;
	w->stats.steps++;
	w->stats.cut += r->insns == r->budget;
	if (k->prog->facts.insns)
		facts_hold(w, k, r);
	for (u32 way = 0; way < WAYS; way++) {
		struct compared c = {.w = w, .run = r, .all = ways[way].all};
		const struct snap *tried;

		if (k->at[way] && !some_snap_holds(&c, &k->at[way][vm->pc], vm, &tried))
			tell(w, &c, way, vm->pc, tried);
	}
}

struct watch *watch_open(struct skep *k)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->k = k;
	w->hook = (struct run_watch){step, w};
	k->run_host.watch = &w->hook;
	return w;
}

void watch_close(struct watch *w)
{
	watch_forget(w);
	w->k->run_host.watch = NULL;
	free(w);
}

const struct watch_stats *watch_stats(const struct watch *w)
{
	return &w->stats;
}

const char *watch_text(const struct watch *w)
{
	return w->text;
}
