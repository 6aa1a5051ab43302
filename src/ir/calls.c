/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What calls become. A helper is called directly, its arguments converted as its prototype says (a map handle becomes the map, a
 * function its slot); helpers that are a map's own operation call that operation; those that are a load or an address are
 * inlined. A call says which memory it reads and writes behind its arguments, so that the rest of the frame stays private.
 */
#include "ir/build.h"

#define RUN_FIELD(f) (s64)offsetof(struct run, f)

/* In a block with two predecessors, in the order of its edges. */
u32 build_phi2(struct builder *b, u32 block, u32 x, u32 y)
{
	u32 v = ir_node(b->f, IR_PHI, 64), at, *args = ir_pool(b->f, 2, &at);

	if (!args)
		return 0;
	args[0] = x;
	args[1] = y;
	b->f->node[v].arg[0] = at;
	b->f->node[v].pc = b->pc;
	ir_append(b->f, block, v);
	return v;
}

static u32 phi4(struct builder *b, u32 block, u32 w, u32 x, u32 y, u32 z)
{
	u32 v = ir_node(b->f, IR_PHI, 64), at, *args = ir_pool(b->f, 4, &at);

	if (!args)
		return 0;
	memcpy(args, (u32[]){w, x, y, z}, 4 * sizeof(u32));
	b->f->node[v].arg[0] = at;
	b->f->node[v].pc = b->pc;
	ir_append(b->f, block, v);
	return v;
}

u32 build_run_load(struct builder *b, s64 off, u32 size, u32 flags)
{
	u32 v = build_load(b, b->f->params[0], off, size, flags | IRF_PRIVATE);

	if (b->f->host && b->f->host->elsewhere && off + size > (s64)RUN_HEAD)
		b->f->unsupported = "what the run knows";
	ir_set_kinds(b->f, v, PTR_RUN);
	return v;
}

static u32 load_hold(struct builder *b)
{
	return build_run_load(b, RUN_FIELD(hold), 8, IRF_INVARIANT);
}

static u32 load_cpu(struct builder *b)
{
	u32 v = build_load(b, load_hold(b), (s64)offsetof(struct hold, index), 4, IRF_INVARIANT | IRF_PRIVATE);

	ir_set_kinds(b->f, v, PTR_RUN);
	return v;
}

static u32 reg(struct builder *b, u32 r)
{
	return b->cur[r] ? b->cur[r] : ir_const(b->f, 0);
}

/* ---- leaving when a fault ended the run ---- */

static void return_if(struct builder *b, enum op cmp, u32 v)
{
	u32 out = build_block(b), go = build_block(b);

	build_branch(b, cmp, 32, v, ir_const(b->f, 0), out, go);
	b->f->block[out].cold = true;
	b->at = out;
	build_return(b, ir_const(b->f, 0));
	b->at = go;
}

static void check_fault(struct builder *b)
{
	u32 v;

	if (!b->f->poll)
		return;
	v = build_run_load(b, RUN_FIELD(fault.code), 4, 0);
	return_if(b, OP_JNE, v);
}

void build_fuel_out(struct builder *b)
{
	u32 v;

	if (!b->counts)
		return;
	v = build_add(b, IR_STORE, 8, b->f->params[0], b->cur[BUILD_FUEL]);
	b->f->node[v].imm = RUN_FIELD(fuel);
	ir_set_kinds(b->f, v, PTR_RUN);
}

void build_fuel_in(struct builder *b)
{
	if (b->counts)
		b->cur[BUILD_FUEL] = build_run_load(b, RUN_FIELD(fuel), 8, 0);
}

static u32 call_subprog(struct builder *b, u32 number, const u32 args[5]);

/* Something was thrown: a function leaves; the program's first one gives what the handler makes of it. */
static void leave_thrown(struct builder *b)
{
	u32 handler = b->f->prog->exception_callback, v = ir_const(b->f, 0), zero = v, flag;

	build_fuel_out(b);
	if (b->f->subprog == 0) {
		flag = build_add(b, IR_STORE, 1, b->f->params[0], zero);
		b->f->node[flag].imm = RUN_FIELD(thrown);
		ir_set_kinds(b->f, flag, PTR_RUN);
		v = build_run_load(b, RUN_FIELD(thrown_with), 8, 0);
		v = handler ? call_subprog(b, handler, (u32[]){v, zero, zero, zero, zero}) : v;
	}
	build_return(b, v);
}

/* After a call of functions that may throw. */
static void check_thrown(struct builder *b, bool may)
{
	u32 out, go, v;

	if (!may)
		return;
	v = build_run_load(b, RUN_FIELD(thrown), 1, 0);
	out = build_block(b);
	go = build_block(b);
	build_branch(b, OP_JNE, 32, v, ir_const(b->f, 0), out, go);
	b->f->block[out].cold = true;
	b->at = out;
	leave_thrown(b);
	b->at = go;
}

bool build_calls_back(const struct prog *p, u32 pc)
{
	const struct helper_proto *proto = (const struct helper_proto *)(uintptr_t)p->operand[pc];
	const struct prog_kfunc *k = (const struct prog_kfunc *)(uintptr_t)p->operand[pc];

	if (p->insns[pc].pseudo == CALL_KFUNC && k)
		return k->kfunc->flags & KF_CALLS_BACK;
	if (p->insns[pc].pseudo != CALL_HELPER || !proto)
		return false;
	for (u32 i = 0; i < 5; i++)
		if ((proto->args[i] & ARG_KIND_MASK) == ARG_CALLBACK)
			return true;
	return proto->effects & EFFECT_TAIL_CALL;
}

bool build_leaves(const struct ir *f, u32 pc)
{
	const struct insn *i = &f->prog->insns[pc];

	if (i->op != OP_CALL)
		return false;
	return i->pseudo == CALL_SUBPROG ? !f->light[subprog_at(f->prog, (u32)i->target) - f->prog->subprogs] : build_calls_back(f->prog, pc);
}

/* A turn of a loop: the fuel is a value like others, and only where it is used up somebody looks. Never negative when somebody else looks, so
 * that one subtraction tells. */
void build_poll(struct builder *b, u32 cost)
{
	u32 had = b->cur[BUILD_FUEL], n = build_add(b, (enum ir_op)OP_ADD, 64, had, ir_const(b->f, (u64)-(s64)cost)), slow, go, v;

	slow = build_block(b);
	go = build_block(b);
	b->f->block[slow].cold = true;
	build_branch(b, OP_JLT, 64, had, ir_const(b->f, cost), slow, go);
	b->f->node[b->f->block[b->at].last].flags = IRF_POLL;
	b->at = slow;
	v = build_call(b, (const void *)(uintptr_t)ir_runtime()->poll, 1, &n);
	b->f->call[b->f->node[v].imm].reads_only = b->f->call[b->f->node[v].imm].keeps = true;
	return_if(b, OP_JEQ, v);
	b->f->block[b->at].cold = true;
	build_jump(b, go);
	b->at = go;
	b->cur[BUILD_FUEL] = build_phi2(b, go, n, v);
}

/* ---- maps ---- */

static struct map *known_map(const struct builder *b, u32 v)
{
	if (!ir_is_const(b->f, v))
		return NULL;
	for (u32 i = 0; i < b->f->prog->n_maps; i++)
		if (map_handle(b->f->prog->maps[i]) == (u64)b->f->node[v].imm)
			return b->f->prog->maps[i];
	return NULL;
}

/* A branch to `no` unless it holds; what follows is where it does. */
static void unless(struct builder *b, enum op cmp, u32 width, u32 x, u32 y, u32 no)
{
	u32 yes = build_block(b);

	build_branch(b, cmp, width, x, y, yes, no);
	b->at = yes;
}

/* A field of one of the engine's objects, which others may write. */
static u32 load_field(struct builder *b, u32 object, size_t off, u32 size)
{
	u32 v = build_load(b, object, (s64)off, size, 0);

	ir_set_kinds(b->f, v, PTR_OTHER);
	return v;
}

/* What an array of objects has at an index, which is not NULL where control goes on. */
static u32 object_at(struct builder *b, const struct map *m, u32 index, u32 none)
{
	u32 at, object;

	unless(b, OP_JLT, 32, index, ir_const(b->f, m->spec.max_entries), none);
	at = build_add(b, (enum ir_op)OP_MUL, 64, index, ir_const(b->f, sizeof(void *)));
	at = build_add(b, (enum ir_op)OP_ADD, 64, at, ir_const(b->f, (u64)(uintptr_t)map_objects(m)));
	object = load_field(b, at, 0, 8);
	unless(b, OP_JNE, 64, object, ir_const(b->f, 0), none);
	return object;
}

/* A map that was found in an array of maps: where, NULL if it was not. */
static const struct build_inner *found_in(const struct builder *b, u32 handle)
{
	for (u32 i = 0; i < ARRAY_SIZE(b->inner); i++)
		if (handle && b->inner[i].handle == handle)
			return &b->inner[i];
	return NULL;
}

/* The struct map of a handle. Found at run time, it may still be a constant that only later passes see. */
static u32 map_value(struct builder *b, u32 handle, struct map **known)
{
	const struct build_inner *inner = found_in(b, handle);
	const struct window *w = b->f->host->window;
	u32 v;

	*known = known_map(b, handle);
	if (b->f->host->elsewhere) {
		if (!*known || !(*known)->inside)
			b->f->unsupported = "such a map";
		return ir_const(b->f, *known ? (*known)->inside : 0);
	}
	if (*known)
		return ir_const(b->f, (u64)(uintptr_t)*known);
	if (inner)
		return inner->map;
	/* window_find() */
	v = build_add(b, (enum ir_op)OP_RSH, 64, handle, ir_const(b->f, (u32)__builtin_ctz(WINDOW_GRANULE)));
	v = build_add(b, (enum ir_op)OP_MUL, 64, v, ir_const(b->f, sizeof(void *)));
	v = build_add(b, (enum ir_op)OP_ADD, 64, v, ir_const(b->f, (u64)(uintptr_t)(w->owners - (uintptr_t)w->base / WINDOW_GRANULE)));
	return load_field(b, v, 0, 8);
}

/* Elements in a row: the address is computed here. NULL is told apart by control flow, which later passes thread. */
static u32 element(struct builder *b, u32 entries, u32 size, u32 base, u32 index)
{
	struct ir *f = b->f;
	u32 missing = build_block(b), done = build_block(b), v;

	f->block[missing].cold = true;
	unless(b, OP_JLT, 32, index, entries, missing);
	v = build_add(b, (enum ir_op)OP_MUL, 64, index, size);
	v = build_add(b, (enum ir_op)OP_ADD, 64, v, base);
	build_jump(b, done);
	b->at = missing;
	build_jump(b, done);
	b->at = done;
	return build_phi2(b, done, v, ir_const(f, 0));
}

static u32 indexed_lookup(struct builder *b, const struct map *m, u32 key)
{
	struct ir *f = b->f;
	u32 index = build_load(b, key, 0, 4, 0), base = ir_const(f, (u64)(uintptr_t)m->values), v;

	if (m->ops->traits & KIND_PER_CPU) {
		v = build_add(b, (enum ir_op)OP_MUL, 64, load_cpu(b), ir_const(f, m->cpu_stride));
		base = build_add(b, (enum ir_op)OP_ADD, 64, v, base);
	}
	return element(b, ir_const(f, m->spec.max_entries), ir_const(f, m->elem_size), base, index);
}

/* In an array of maps. The map itself is kept in mind for calls that are given it. */
static u32 outer_lookup(struct builder *b, const struct map *m, u32 key)
{
	struct ir *f = b->f;
	u32 index = build_load(b, key, 0, 4, 0), none = build_block(b), done = build_block(b), zero = ir_const(f, 0), map, handle;

	map = object_at(b, m, index, none);
	handle = load_field(b, map, offsetof(struct map, meta.base), 8);
	build_jump(b, done);
	b->at = none;
	build_jump(b, done);
	b->at = done;
	map = build_phi2(b, done, map, zero);
	handle = build_phi2(b, done, handle, zero);
	b->inner[b->n_inner++ % ARRAY_SIZE(b->inner)] = (struct build_inner){handle, map, m};
	return handle;
}

/* In one of its maps, if those are arrays that are all of one size. */
static u32 inner_lookup(struct builder *b, const struct build_inner *inner, u32 key)
{
	const struct map_spec *s = &inner->outer->inner_spec;
	u32 index;

	if (s->kind != MAP_KIND_ARRAY || s->flags & BPF_F_INNER_MAP || (u64)s->value_size * s->max_entries >= INT32_MAX / 2)
		return 0;
	index = build_load(b, key, 0, 4, 0);
	return element(b, ir_const(b->f, s->max_entries), ir_const(b->f, ALIGN_UP(s->value_size, 8u)), load_field(b, inner->map, offsetof(struct map, values), 8), index);
}

/* Does the program have maps whose maps are arrays? */
static bool has_inner_arrays(const struct prog *p)
{
	for (u32 i = 0; i < p->n_maps; i++)
		if (p->maps[i]->ops->traits & KIND_OUTER && p->maps[i]->inner_spec.kind == MAP_KIND_ARRAY)
			return true;
	return false;
}

/* Helpers that are an operation of the map, and how many arguments it has behind map and run slot. */
static const struct direct {
	u32 id;
	u32 n;
	bool is_int;
	size_t slot;
} direct[] = {
	{HELPER_map_lookup_elem, 1, false, offsetof(struct map_ops, lookup)},
	{HELPER_map_update_elem, 3, true, offsetof(struct map_ops, update)},
	{HELPER_map_delete_elem, 1, true, offsetof(struct map_ops, remove)},
	{HELPER_map_push_elem, 2, true, offsetof(struct map_ops, push)},
	{HELPER_map_pop_elem, 1, true, offsetof(struct map_ops, pop)},
	{HELPER_map_peek_elem, 1, true, offsetof(struct map_ops, peek)},
	{HELPER_ringbuf_output, 3, true, offsetof(struct map_ops, output)},
};

static const struct direct *find_direct(u32 id)
{
	for (u32 i = 0; i < ARRAY_SIZE(direct); i++)
		if (direct[i].id == id)
			return &direct[i];
	return NULL;
}

/* ---- helpers ---- */

struct helper_call {
	const struct helper_proto *proto;
	struct map *map;
	u32 arg[5]; /* converted */
	u32 size[5];
	u8 writes, n;
	bool calls_back;
	u32 callback;
};

static u32 const_or_top(const struct builder *b, u32 v)
{
	return ir_is_const(b->f, v) && (u64)b->f->node[v].imm < IR_TO_TOP ? (u32)(u64)b->f->node[v].imm : IR_TO_TOP;
}

static void convert(struct builder *b, struct helper_call *h, u32 i)
{
	u32 kind = h->proto->args[i] & ARG_KIND_MASK, v = reg(b, i + 1);

	switch ((enum arg_kind)kind) {
	case ARG_MAP_HANDLE: v = map_value(b, v, &h->map); break;
	case ARG_KEY: h->size[i] = h->map ? h->map->spec.key_size : IR_TO_TOP; break;
	case ARG_VALUE_OUT: h->writes |= (u8)(1u << i);
	/* fallthrough */
	case ARG_VALUE: h->size[i] = h->map ? h->map->spec.value_size : IR_TO_TOP; break;
	case ARG_MEM_RW:
	case ARG_MEM_OUT: h->writes |= (u8)(1u << i);
	/* fallthrough */
	case ARG_MEM: h->size[i] = const_or_top(b, reg(b, i + 2)); break;
	case ARG_FIXED_RW:
	case ARG_FIXED_OUT: h->writes |= (u8)(1u << i);
	/* fallthrough */
	case ARG_FIXED: h->size[i] = h->proto->args[i] >> ARG_PARAM_SHIFT; break;
	case ARG_CALLBACK:
		h->calls_back = true;
		if (ir_is_const(b->f, v))
			h->callback = (u32)(subprog_at(b->f->prog, (u32)(u64)b->f->node[v].imm) - b->f->prog->subprogs) + 1;
		v = build_add(b, (enum ir_op)OP_MOV, 32, v, 0);
		break;
	case ARG_CSTRING:
	case ARG_UNSAFE:
	case ARG_ANYTHING: h->size[i] = IR_TO_TOP; break;
	case ARG_SCALAR:
	case ARG_CTX:
	case ARG_SIZE:
	case ARG_SIZE_0:
	case ARG_ALLOC_SIZE:
	case ARG_MAP_FLAGS_0: break;
	default: /* may be followed, and written */
		h->size[i] = IR_TO_TOP;
		h->writes |= (u8)(1u << i);
	}
	h->arg[i] = v;
	h->n = (u8)(i + 1);
}

/* The compiled call; `from` converted arguments go behind the n_first that are given. */
static u32 emit(struct builder *b, const struct helper_call *h, const void *fn, const u32 *first, u32 n_first, u32 from, u32 count)
{
	u32 c = ir_call(b->f), v = build_add(b, IR_CALL, 64, 0, 0);
	struct ir_call *call = &b->f->call[c];

	call->kind = IRC_RUNTIME;
	call->fn = fn;
	call->calls_back = h->calls_back;
	call->probes = h->proto->effects & EFFECT_LOOKS && !b->f->host->elsewhere; /* a task's memory is all there, the frames too */
	b->f->probes |= (h->proto->effects & EFFECT_LOOKS) != 0;
	call->subprog = h->callback;
	for (u32 i = 0; i < n_first; i++)
		call->args[call->n_args++] = first[i];
	for (u32 i = from; i < from + count; i++) {
		if (h->writes >> i & 1)
			call->writes |= (u8)(1u << call->n_args);
		call->sizes[call->n_args] = h->size[i];
		call->args[call->n_args++] = h->arg[i];
	}
	switch ((enum ret_kind)(h->proto->ret & RET_KIND_MASK)) {
	case RET_VOID:
	case RET_SCALAR: break;
	case RET_MAP_VALUE:
	case RET_RECORD: call->ret_kinds = PTR_MAP; break;
	case RET_PACKET: call->ret_kinds = PTR_PACKET; break;
	default: call->ret_kinds = PTR_PACKET | PTR_MAP | PTR_OTHER;
	}
	b->f->node[v].imm = c;
	return v;
}

static void clear_args(struct builder *b, u32 r0)
{
	memset(b->cur + 1, 0, 5 * sizeof(u32));
	b->cur[0] = r0;
}

static u32 call_direct(struct builder *b, const struct helper_call *h, const struct direct *d)
{
	const void *fn;
	u32 v;

	if (d->id == HELPER_map_lookup_elem && h->map->lookup_sized)
		fn = (const void *)(uintptr_t)h->map->lookup_sized;
	else
		memcpy(&fn, (const u8 *)h->map->ops + d->slot, sizeof(fn));
	if (!fn)
		return 0;
	v = emit(b, h, fn, (u32[]){h->arg[0], load_hold(b)}, 2, 1, d->n);
	return d->is_int ? build_add(b, (enum ir_op)OP_MOVS32, 64, v, 0) : v;
}

static const void *body_of(struct builder *b, const struct helper_proto *proto)
{
	const struct run_host *host = b->f->host;
	helper_fn *fn = proto->id < host->n_bodies ? host->bodies[proto->id] : NULL;
	struct run dummy;
	u32 v;

	if (fn || !host->own_body || !proto->has_body)
		return (const void *)(uintptr_t)fn;
	/* An embedder's helper: the run says which. */
	fn = host->own_body(host->ud, &dummy, proto);
	v = build_add(b, IR_STORE, 8, b->f->params[0], ir_const(b->f, (u64)(uintptr_t)proto));
	b->f->node[v].imm = RUN_FIELD(own);
	ir_set_kinds(b->f, v, PTR_RUN);
	return (const void *)(uintptr_t)fn;
}

/* Whose functions are called, and whose memory is read: after a tail call's return, another's. */
void build_tell_prog(struct builder *b)
{
	u32 v = build_add(b, IR_STORE, 8, b->f->params[0], ir_const(b->f, (u64)(uintptr_t)b->f->prog));

	b->f->node[v].imm = RUN_FIELD(prog);
	ir_set_kinds(b->f, v, PTR_RUN);
}

static u32 call_body(struct builder *b, const struct helper_call *h)
{
	const void *fn = body_of(b, h->proto);

	if (!fn) {
		b->f->unsupported = h->proto->name;
		return 0;
	}
	if (b->f->host->elsewhere && (h->calls_back || (h->proto->args[0] == ARG_MAP(reserve) && const_or_top(b, reg(b, 2)) > RUN_SENT)))
		b->f->unsupported = h->proto->name;
	if ((h->calls_back || h->proto->effects & EFFECT_LOOKS) && !b->f->host->elsewhere)
		build_tell_prog(b);
	if ((h->proto->ret & RET_KIND_MASK) == RET_RECORD && !b->f->host->elsewhere) {
		if (h->proto->args[0] != ARG_MAP(reserve)) {
			b->f->unsupported = h->proto->name;
			return 0;
		}
		fn = (const void *)(uintptr_t)ir_runtime()->reserve; /* the run remembers the record */
	}
	return emit(b, h, fn, (u32[]){b->f->params[0]}, 1, 0, h->n);
}

/* A call of another function of the program. */
static u32 call_subprog(struct builder *b, u32 number, const u32 args[5])
{
	u32 c = ir_call(b->f), v = build_add(b, IR_CALL, 64, 0, 0);
	struct ir_call *call = &b->f->call[c];

	call->kind = IRC_SUBPROG;
	call->subprog = number;
	call->ret_kinds = PTR_LOADED;
	call->n_args = 6;
	call->args[0] = b->f->params[0];
	for (u32 i = 0; i < 5; i++) {
		call->args[i + 1] = args[i];
		call->sizes[i + 1] = IR_TO_TOP;
	}
	b->f->node[v].imm = c;
	return v;
}

/* The same, of a function that may use fuel up and end the run. */
static u32 call_looking(struct builder *b, u32 number, const u32 args[5])
{
	const struct subprog *s = &b->f->prog->subprogs[number];
	u32 v;

	if (!b->f->poll || b->f->light[number]) {
		v = call_subprog(b, number, args);
		check_thrown(b, s->throws);
		return v;
	}
	build_poll(b, s->end - s->start);
	build_fuel_out(b);
	v = call_subprog(b, number, args);
	build_fuel_in(b);
	check_thrown(b, s->throws);
	check_fault(b);
	return v;
}

/* bpf_loop() of a function that is known, without flags: a loop. 0: it is none that can be made here. As Linux where it does the same: the number has 64 bits, the
 * error 32. */
static u32 inlined_loop(struct builder *b, const struct helper_call *h)
{
	enum { MOST = 8 << 20 };
	struct ir *f = b->f;
	u32 zero = ir_const(f, 0), n, i, at, more, value, args, start, many, next, again, done, result, *phi, had = b->cur[BUILD_FUEL], fuel = 0, left;

	if (!h->callback || !ir_is_const(f, h->arg[3]) || f->node[h->arg[3]].imm)
		return 0;
	i = ir_node(f, IR_PHI, 64);
	result = ir_node(f, IR_PHI, 64);
	if (!ir_pool(f, 2, &at) || !ir_pool(f, 4, &args))
		return 0;
	many = build_block(b);
	start = build_block(b);
	next = build_block(b);
	again = build_block(b);
	done = build_block(b);
	f->block[many].cold = true;
	n = h->arg[0];
	build_branch(b, OP_JGT, 64, n, ir_const(f, MOST), many, start);
	b->at = many;
	build_jump(b, done);
	b->at = start;
	build_branch(b, OP_JEQ, 32, n, zero, done, next);
	f->node[i].arg[0] = at;
	f->node[i].pc = b->pc;
	ir_append(f, next, i);
	b->at = next;
	if (f->poll)
		b->cur[BUILD_FUEL] = fuel = build_phi2(b, next, had, had);
	value = call_looking(b, h->callback - 1, (u32[]){i, h->arg[2], zero, zero, zero});
	left = b->cur[BUILD_FUEL];
	more = build_add(b, (enum ir_op)OP_ADD, 32, i, ir_const(f, 1));
	build_branch(b, OP_JNE, 64, value, zero, done, again);
	b->at = again;
	if (f->poll)
		build_poll(b, f->prog->subprogs[h->callback - 1].end - f->prog->subprogs[h->callback - 1].start);
	build_branch(b, OP_JLT, 32, more, n, next, done);
	phi = ir_phi_args(f, i);
	phi[0] = zero; /* from start, from again */
	phi[1] = more;
	if (f->poll) {
		ir_phi_args(f, fuel)[1] = b->cur[BUILD_FUEL];
		left = phi4(b, done, had, had, left, b->cur[BUILD_FUEL]);
	}
	phi = f->pool + args;
	phi[0] = ir_const(f, (u32)-E2BIG); /* from many, start, next, again */
	phi[1] = zero;
	phi[2] = phi[3] = more;
	f->node[result].arg[0] = args;
	f->node[result].pc = b->pc;
	ir_append(f, done, result);
	b->at = done;
	b->cur[BUILD_FUEL] = left;
	return result;
}

/* In a map that is not known, most likely an array. */
static u32 likely_lookup(struct builder *b, const struct helper_call *h)
{
	struct ir *f = b->f;
	u32 map = h->arg[0], other = build_block(b), done = build_block(b), v, ops = load_field(b, map, offsetof(struct map, ops), 8), slow, entries, size;

	unless(b, OP_JEQ, 64, ops, ir_const(f, (u64)(uintptr_t)map_kind(MAP_KIND_ARRAY)->ops), other);
	entries = load_field(b, map, offsetof(struct map, spec.max_entries), 4);
	size = load_field(b, map, offsetof(struct map, elem_size), 4);
	v = build_load(b, h->arg[1], 0, 4, 0);
	v = element(b, entries, size, load_field(b, map, offsetof(struct map, values), 8), v);
	build_jump(b, done);
	b->at = other;
	f->block[other].cold = true;
	slow = call_body(b, h);
	build_jump(b, done);
	b->at = done;
	return build_phi2(b, done, v, slow);
}

static u32 inlined(struct builder *b, const struct helper_call *h)
{
	bool is_lookup = h->proto->args[0] == ARG_MAP(lookup) && h->n == 2, lookup = is_lookup && h->map;
	u32 v;
	const struct build_inner *inner = is_lookup && !h->map ? found_in(b, reg(b, 1)) : NULL;

	if (h->proto->id == HELPER_get_smp_processor_id)
		return load_cpu(b);
	if (h->proto->id == HELPER_loop)
		return inlined_loop(b, h);
	if (lookup && h->map->ops->traits & KIND_INDEXED &&
	    (u64)h->map->elem_size * h->map->spec.max_entries < INT32_MAX)
		return indexed_lookup(b, h->map, h->arg[1]);
	if (lookup && map_objects(h->map) && !b->f->host->elsewhere)
		return outer_lookup(b, h->map, h->arg[1]);
	v = inner ? inner_lookup(b, inner, h->arg[1]) : 0;
	if (v)
		return v;
	if (is_lookup && !h->map && has_inner_arrays(b->f->prog))
		return likely_lookup(b, h);
	return b->f->host->elsewhere ? 0 : build_value(b, h->proto->id); /* of a run there is little elsewhere */
}

static void store_run(struct builder *b, size_t off, u32 size, u32 v)
{
	u32 s = build_add(b, IR_STORE, size, b->f->params[0], v);

	b->f->node[s].imm = (s64)off;
	ir_set_kinds(b->f, s, PTR_RUN);
}

static void leave_for(struct builder *b, u32 code, u32 ctx)
{
	build_fuel_out(b);
	build_add(b, IR_TAIL, 64, code, ctx);
	b->f->block[b->at].n_succ = 0;
}

/* As vm_tail_call() and vm_suits(), for programs that get nothing but a context. */
static void known_tail_call(struct builder *b, const struct map *m, u32 ctx, u32 stay)
{
	struct ir *f = b->f;
	u32 index = build_add(b, (enum ir_op)OP_MOV, 32, reg(b, 3), 0), prog = object_at(b, m, index, stay), n, entry, reach;

	n = build_run_load(b, RUN_FIELD(tail_calls), 4, 0);
	unless(b, OP_JLT, 32, n, ir_const(f, RUN_TAIL_CALLS), stay);
	reach = load_field(b, prog, offsetof(struct prog, tail_reach), 4);
	unless(b, OP_JLE, 32, reach, build_run_load(b, RUN_FIELD(ctx.size), 4, 0), stay);
	entry = load_field(b, prog, offsetof(struct prog, tail_entry), 8);
	store_run(b, RUN_FIELD(tail_calls), 4, build_add(b, (enum ir_op)OP_ADD, 32, n, ir_const(f, 1)));
	store_run(b, RUN_FIELD(prog), 8, prog);
	leave_for(b, entry, ctx);
}

static void any_tail_call(struct builder *b, u32 map, u32 ctx, u32 stay)
{
	u32 v = build_call(b, (const void *)(uintptr_t)ir_runtime()->tail_call, 2, (u32[]){map, reg(b, 3)});

	b->f->call[b->f->node[v].imm].reads_only = true;
	unless(b, OP_JNE, 64, v, ir_const(b->f, 0), stay);
	leave_for(b, v, ctx);
}

static void tail_call(struct builder *b)
{
	struct map *m;
	u32 ctx = reg(b, 1), map = map_value(b, reg(b, 2), &m), stay = build_block(b);

	if (m && map_objects(m) && !b->f->host->elsewhere && b->f->prog->type != BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE)
		known_tail_call(b, m, ctx, stay);
	else
		any_tail_call(b, map, ctx, stay);
	b->at = stay;
	clear_args(b, ir_const(b->f, 0));
}

static void helper(struct builder *b)
{
	struct helper_call h = {.proto = (const struct helper_proto *)(uintptr_t)b->f->prog->operand[b->pc]};
	const struct direct *d;
	u32 v;

	if (!h.proto) {
		b->f->unsupported = "a helper that is not available";
		return;
	}
	if (h.proto->effects & EFFECT_TAIL_CALL) {
		tail_call(b);
		return;
	}
	for (u32 i = 0; i < 5 && h.proto->args[i] != ARG_NONE; i++)
		convert(b, &h, i);
	/* the values that it prints lie in the registers behind its arguments, unchecked and not followed but as strings */
	for (; h.proto->id == HELPER_trace_printk && h.n < 5; h.n++) {
		h.arg[h.n] = reg(b, h.n + 1u);
		h.size[h.n] = IR_TO_TOP;
	}
	v = inlined(b, &h);
	if (v) {
		clear_args(b, v);
		return;
	}
	if (h.calls_back)
		build_fuel_out(b);
	d = h.map && !b->f->host->elsewhere ? find_direct(h.proto->id) : NULL;
	if (d)
		v = call_direct(b, &h, d);
	if (!v)
		v = call_body(b, &h);
	clear_args(b, (h.proto->ret & RET_KIND_MASK) == RET_VOID ? ir_const(b->f, 0) : v);
	if (h.calls_back) {
		build_fuel_in(b);
		check_fault(b);
	}
}

static void subprog(struct builder *b, const struct insn *i)
{
	u32 number = (u32)(subprog_at(b->f->prog, (u32)i->target) - b->f->prog->subprogs);

	clear_args(b, call_looking(b, number, (u32[]){reg(b, 1), reg(b, 2), reg(b, 3), reg(b, 4), reg(b, 5)}));
}

/* A kernel function's body may follow every pointer that it gets. */
static void kernel_function(struct builder *b)
{
	const struct prog_kfunc *k = (const struct prog_kfunc *)(uintptr_t)b->f->prog->operand[b->pc];
	u32 args[5], v;
	struct ir_call *call;
	bool back;

	if (!k || !k->body) {
		b->f->unsupported = "a kernel function";
		return;
	}
	for (u32 i = 0; i < 5; i++)
		args[i] = i + 1 == k->meta ? ir_const(b->f, (u64)(uintptr_t)k) : reg(b, i + 1);
	back = k->kfunc->flags & KF_CALLS_BACK;
	if (k->kfunc->flags & (KF_CALLS_BACK | KF_LOOKS))
		build_tell_prog(b);
	if (back)
		build_fuel_out(b);
	v = build_call(b, (const void *)(uintptr_t)k->body, 5, args);
	call = &b->f->call[b->f->node[v].imm];
	for (u32 i = 1; i <= 5; i++)
		call->sizes[i] = IR_TO_TOP;
	call->writes = 0x3e;
	call->calls_back = back;
	call->probes = k->kfunc->flags & KF_LOOKS;
	b->f->probes |= call->probes;
	call->ret_kinds = k->kfunc->flags & KF_ITER_NEXT ? PTR_ANY : PTR_LOADED; /* an iterator's value lies in it */
	clear_args(b, v);
	if (back) {
		build_fuel_in(b);
		check_fault(b);
	}
	if (k->kfunc->role == KROLE_THROW) {
		leave_thrown(b);
		b->at = build_block(b); /* nothing leads to what follows */
	}
}

void build_any_call(struct builder *b, const struct insn *i)
{
	if (i->pseudo == CALL_SUBPROG)
		subprog(b, i);
	else if (i->pseudo == CALL_HELPER)
		helper(b);
	else
		kernel_function(b);
}
