/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that hold things for a while (records and dynptrs of a ring buffer, dynptrs of values and packets, iterators, sections of RCU and
 * without preemption, saved interrupt flags), use them and give them back; and programs that read and write the contexts of all types, and
 * what these point to.
 */
#include "generate.h"

#include <string.h>

enum holds { NOTHING, BYTES, RING_DYNPTR, VALUE_DYNPTR, PACKET_DYNPTR, ITERATOR, FLAGS };
enum { SIGNED = 0x80, NETFILTER = 32, HOOK_NETFILTER = 45 }; /* newer than some headers */
enum { CTX = 6, VALUE = 7, UNKNOWN = 8, FOUND = 9, FP = 10 };
enum { AREAS = 6, AREA_BYTES = 16, LEAST = 100 /* instructions that the end may need */ };

struct things {
	struct generated *out;
	uint64_t rng;
	uint32_t mistakes; /* of 100 */
	enum holds area[AREAS]; /* of the stack: [fp - 16 * (i + 1), fp - 16 * i) */
	uint32_t rcu, preempt;
	int saved[AREAS], n_saved; /* areas with flags, the latest last */
	bool record; /* FOUND is one */
};

static uint32_t below(struct things *g, uint32_t n)
{
	g->rng = g->rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(g->rng >> 33) % n;
}

static bool chance(struct things *g, uint32_t percent)
{
	return below(g, 100) < percent;
}

static bool mistake(struct things *g)
{
	return chance(g, g->mistakes);
}

#define PICK(g, ...) ((const int32_t[]){__VA_ARGS__})[below(g, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))]

static uint32_t emit(struct things *g, int code, int dst, int src, int off, int32_t imm)
{
	return generated_add(g->out, code, dst, src, off, imm);
}

static void set(struct things *g, int dst, int32_t n)
{
	emit(g, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, n);
}

static void copy(struct things *g, int dst, int src)
{
	emit(g, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}

static void land(struct things *g, uint32_t jump)
{
	g->out->insns[jump].off = (int16_t)(g->out->n - jump - 1);
}

static void map_in(struct things *g, int dst, enum generated_link map)
{
	uint32_t at = emit(g, BPF_LD | BPF_IMM | BPF_DW, dst, BPF_PSEUDO_MAP_FD, 0, 0);

	g->out->map[at] = (int8_t)map;
	emit(g, 0, 0, 0, 0, 0);
}

static void helper(struct things *g, int32_t id)
{
	emit(g, BPF_JMP | BPF_CALL, 0, 0, 0, id);
}

static void kfunc(struct things *g, enum generated_link f)
{
	uint32_t at = emit(g, BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, 0);

	g->out->map[at] = (int8_t)f;
}

static int place(int area)
{
	return -AREA_BYTES * (area + 1);
}

static void address(struct things *g, int dst, int area)
{
	copy(g, dst, FP);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, place(area) + (mistake(g) ? PICK(g, -8, 8, 4, 1) : 0));
}

/* An area that holds one of these, in bits; -1: there is none. By mistake any. */
static int area_of(struct things *g, uint32_t holds)
{
	int at[AREAS], n = 0;

	for (int i = 0; i < AREAS; i++)
		if (holds >> g->area[i] & 1)
			at[n++] = i;
	if (mistake(g))
		return (int)below(g, AREAS);
	return n ? at[below(g, (uint32_t)n)] : -1;
}

#define FREE    (1u << NOTHING | 1u << BYTES)
#define DYNPTRS (1u << RING_DYNPTR | 1u << VALUE_DYNPTR | 1u << PACKET_DYNPTR)

static int32_t size(struct things *g)
{
	return PICK(g, 1, 4, 8, 8, 16, 16, 32, 48);
}

/* ---- taking ---- */

static void take_ring_dynptr(struct things *g)
{
	int a = area_of(g, FREE);

	if (a < 0)
		return;
	map_in(g, 1, MAP_IN_RING);
	set(g, 2, size(g));
	set(g, 3, mistake(g) ? 1 : 0);
	address(g, 4, a);
	helper(g, BPF_FUNC_ringbuf_reserve_dynptr);
	g->area[a] = RING_DYNPTR;
}

static void take_value_dynptr(struct things *g)
{
	int a = area_of(g, FREE);

	if (a < 0)
		return;
	copy(g, 1, mistake(g) ? FP : VALUE);
	set(g, 2, mistake(g) ? 64 : 48);
	set(g, 3, 0);
	address(g, 4, a);
	helper(g, BPF_FUNC_dynptr_from_mem);
	g->area[a] = VALUE_DYNPTR;
}

static void take_packet_dynptr(struct things *g)
{
	bool skb = g->out->type == BPF_PROG_TYPE_SCHED_CLS || g->out->type == BPF_PROG_TYPE_SOCKET_FILTER;
	int a = area_of(g, FREE);

	if (a < 0 || (!skb && g->out->type != BPF_PROG_TYPE_XDP))
		return;
	copy(g, 1, CTX);
	set(g, 2, 0);
	address(g, 3, a);
	kfunc(g, skb ^ mistake(g) ? KFUNC_DYNPTR_FROM_SKB : KFUNC_DYNPTR_FROM_XDP);
	g->area[a] = PACKET_DYNPTR;
}

static void take_clone(struct things *g)
{
	int from = area_of(g, DYNPTRS), a = area_of(g, FREE);

	if (a < 0 || from < 0)
		return;
	address(g, 1, from);
	address(g, 2, a);
	kfunc(g, KFUNC_DYNPTR_CLONE);
	g->area[a] = g->area[from] == PACKET_DYNPTR ? PACKET_DYNPTR : VALUE_DYNPTR; /* one clone is to be given back for all */
}

static void take_section(struct things *g)
{
	int a = area_of(g, FREE);

	switch (below(g, 3)) {
	case 0:
		kfunc(g, KFUNC_RCU_LOCK);
		g->rcu++;
		break;
	case 1:
		kfunc(g, KFUNC_PREEMPT_DISABLE);
		g->preempt++;
		break;
	default:
		if (a < 0 || g->n_saved == AREAS)
			return;
		address(g, 1, a);
		kfunc(g, KFUNC_IRQ_SAVE);
		g->area[a] = FLAGS;
		g->saved[g->n_saved++] = a;
		break;
	}
}

static void take_iterator(struct things *g)
{
	int a = area_of(g, FREE);

	if (a < 0)
		return;
	address(g, 1, a);
	set(g, 2, (int32_t)below(g, 4));
	if (chance(g, 30))
		emit(g, BPF_ALU | BPF_MOV | BPF_X, 3, UNKNOWN, 0, 0);
	else
		set(g, 3, (int32_t)below(g, 20));
	kfunc(g, KFUNC_ITER_NEW);
	g->area[a] = ITERATOR;
}

static void take_record(struct things *g)
{
	uint32_t none, out;

	if (g->record)
		return;
	map_in(g, 1, MAP_IN_RING);
	set(g, 2, 16);
	set(g, 3, 0);
	helper(g, BPF_FUNC_ringbuf_reserve);
	none = emit(g, BPF_JMP | BPF_JNE | BPF_K, 0, 0, 0, 0);
	out = emit(g, BPF_JMP | BPF_JA, 0, 0, 0, 0);
	if (!mistake(g))
		land(g, none);
	emit(g, BPF_STX | BPF_MEM | BPF_DW, 0, UNKNOWN, 8 * (int)below(g, mistake(g) ? 3 : 2), 0);
	copy(g, 1, 0);
	set(g, 2, 0);
	if (!mistake(g))
		helper(g, chance(g, 50) ? BPF_FUNC_ringbuf_submit : BPF_FUNC_ringbuf_discard);
	if (mistake(g))
		emit(g, BPF_LDX | BPF_MEM | BPF_DW, 3, 1, 0, 0);
	land(g, out);
}

/* ---- using ---- */

static void buffer(struct things *g, int dst, bool written)
{
	int a = area_of(g, FREE);

	a = a < 0 ? AREAS - 1 : a;
	address(g, dst, a);
	if (written && g->area[a] == NOTHING && !mistake(g)) {
		emit(g, BPF_ST | BPF_MEM | BPF_DW, FP, 0, place(a), 0);
		emit(g, BPF_ST | BPF_MEM | BPF_DW, FP, 0, place(a) + 8, 0);
	}
	if (g->area[a] == NOTHING)
		g->area[a] = BYTES;
}

static void use_dynptr(struct things *g)
{
	int a = area_of(g, DYNPTRS);

	if (a < 0)
		return;
	switch (below(g, 5)) {
	case 0:
		buffer(g, 1, false);
		set(g, 2, size(g) % 17);
		address(g, 3, a);
		set(g, 4, (int32_t)below(g, 8));
		set(g, 5, 0);
		helper(g, BPF_FUNC_dynptr_read);
		break;
	case 1:
		buffer(g, 3, true);
		address(g, 1, a);
		set(g, 2, (int32_t)below(g, 8));
		set(g, 4, size(g) % 17);
		set(g, 5, 0);
		helper(g, BPF_FUNC_dynptr_write);
		break;
	case 2:
		address(g, 1, a);
		kfunc(g, (enum generated_link)PICK(g, KFUNC_DYNPTR_SIZE, KFUNC_DYNPTR_IS_NULL, KFUNC_DYNPTR_IS_RDONLY));
		break;
	case 3:
		address(g, 1, a);
		set(g, 2, (int32_t)below(g, 8));
		set(g, 3, 8 + (int32_t)below(g, 8));
		kfunc(g, KFUNC_DYNPTR_ADJUST);
		break;
	default: break;
	}
}

/* Bytes of a dynptr, for as long as it is there. */
static void use_data(struct things *g)
{
	int a = area_of(g, DYNPTRS);
	int32_t n = PICK(g, 4, 8, 16);
	bool slice = chance(g, 50), written = chance(g, 40);
	uint32_t none = 0;

	if (a < 0)
		return;
	address(g, 1, a);
	set(g, 2, 0);
	set(g, 3, n);
	if (slice) {
		set(g, 4, n);
		buffer(g, 3, true);
		kfunc(g, written ? KFUNC_DYNPTR_SLICE_RDWR : KFUNC_DYNPTR_SLICE);
	} else {
		helper(g, BPF_FUNC_dynptr_data);
	}
	copy(g, FOUND, 0);
	if (!mistake(g))
		none = emit(g, BPF_JMP | BPF_JEQ | BPF_K, FOUND, 0, 0, 0);
	if (chance(g, 15)) { /* what makes it stale */
		address(g, 1, area_of(g, DYNPTRS) < 0 ? 0 : area_of(g, DYNPTRS));
		set(g, 2, 0);
		if (chance(g, 50))
			helper(g, BPF_FUNC_ringbuf_discard_dynptr);
		else
			kfunc(g, KFUNC_DYNPTR_SIZE);
	}
	if (written)
		emit(g, BPF_STX | BPF_MEM | BPF_W, FOUND, UNKNOWN, (int)below(g, 5) * 4, 0);
	else
		emit(g, BPF_LDX | BPF_MEM | PICK(g, BPF_B, BPF_H, BPF_W, BPF_DW), 2, FOUND, (int)below(g, 3) * 4, 0);
	if (none)
		land(g, none);
}

static void statement(struct things *g, uint32_t depth);

/* while ((n = next(it))) ... */
static void use_iterator(struct things *g, uint32_t depth)
{
	int a = area_of(g, 1u << ITERATOR);
	uint32_t top = g->out->n, none, jump;

	if (a < 0 || depth > 2)
		return;
	address(g, 1, a);
	kfunc(g, KFUNC_ITER_NEXT);
	none = emit(g, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 0, 0);
	emit(g, BPF_LDX | BPF_MEM | BPF_W, PICK(g, 2, 3, UNKNOWN), mistake(g) ? 1 : 0, 0, 0);
	if (chance(g, 40)) {
		uint32_t far = emit(g, BPF_JMP | BPF_JGT | BPF_K, UNKNOWN, 0, 0, 40);

		copy(g, 2, VALUE);
		emit(g, BPF_ALU64 | BPF_ADD | BPF_X, 2, UNKNOWN, 0, 0);
		emit(g, BPF_LDX | BPF_MEM | BPF_DW, 2, 2, 0, 0);
		land(g, far);
	}
	if (chance(g, 30))
		statement(g, depth + 1);
	jump = emit(g, BPF_JMP | BPF_JA, 0, 0, 0, 0);
	g->out->insns[jump].off = (int16_t)(top - jump - 1);
	land(g, none);
}

/* Numbers that know of each other, and of a bound found later. */
static void use_linked(struct things *g)
{
	bool narrow = chance(g, 30), is_signed = chance(g, 30);
	int32_t delta = PICK(g, 0, 1, 4, -4, 8, 40);
	uint32_t far, low = 0;

	emit(g, (narrow ? BPF_ALU : BPF_ALU64) | BPF_MOV | BPF_X, 2, UNKNOWN, chance(g, 20) ? PICK(g, 8, 16) : 0, 0);
	copy(g, 3, 2);
	if (delta)
		emit(g, (narrow ? BPF_ALU : BPF_ALU64) | BPF_ADD | BPF_K, 3, 0, 0, delta);
	if (is_signed)
		low = emit(g, (chance(g, 30) ? BPF_JMP32 : BPF_JMP) | BPF_JSLT | BPF_K, 2, 0, 0, PICK(g, 0, 1, 4));
	far = emit(g, (chance(g, 30) ? BPF_JMP32 : BPF_JMP) | PICK(g, BPF_JGT, BPF_JGE, BPF_JSGT, BPF_JNE), chance(g, 80) ? 2 : 3, 0, 0, PICK(g, 0, 30, 36, 40, 47));
	copy(g, 4, VALUE);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_X, 4, chance(g, 70) ? 3 : 2, 0, 0);
	emit(g, BPF_LDX | PICK(g, BPF_MEM, BPF_MEM, SIGNED) | PICK(g, BPF_B, BPF_B, BPF_W), 5, 4, mistake(g) ? 8 : 0, 0);
	land(g, far);
	if (low)
		land(g, low);
}

/* ---- giving back ---- */

static void end_area(struct things *g, int a)
{
	switch (g->area[a]) {
	case RING_DYNPTR:
		address(g, 1, a);
		set(g, 2, 0);
		helper(g, chance(g, 50) ? BPF_FUNC_ringbuf_submit_dynptr : BPF_FUNC_ringbuf_discard_dynptr);
		break;
	case ITERATOR:
		address(g, 1, a);
		kfunc(g, KFUNC_ITER_DESTROY);
		break;
	default: break;
	}
}

static void end_sections(struct things *g)
{
	for (int i = g->n_saved; i-- > 0;) {
		address(g, 1, g->saved[i]);
		if (!mistake(g))
			kfunc(g, KFUNC_IRQ_RESTORE);
	}
	for (uint32_t i = 0; i < g->preempt; i++)
		if (!mistake(g))
			kfunc(g, KFUNC_PREEMPT_ENABLE);
	for (uint32_t i = 0; i < g->rcu; i++)
		if (!mistake(g))
			kfunc(g, KFUNC_RCU_UNLOCK);
}

static void end_all(struct things *g)
{
	end_sections(g);
	for (int i = 0; i < AREAS; i++)
		if (!mistake(g))
			end_area(g, i);
	set(g, 0, (int32_t)below(g, 2));
	emit(g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void end_something(struct things *g)
{
	int a = (int)below(g, AREAS);

	if (g->n_saved && (g->area[a] == FLAGS || chance(g, 40))) {
		a = g->saved[--g->n_saved];
		address(g, 1, a);
		kfunc(g, KFUNC_IRQ_RESTORE);
	} else if (g->preempt && chance(g, 50)) {
		kfunc(g, KFUNC_PREEMPT_ENABLE);
		g->preempt--;
		return;
	} else if (g->rcu && chance(g, 50)) {
		kfunc(g, KFUNC_RCU_UNLOCK);
		g->rcu--;
		return;
	} else if (g->area[a] == FLAGS || g->area[a] == BYTES) {
		return;
	} else {
		end_area(g, a);
	}
	g->area[a] = g->area[a] == ITERATOR || g->area[a] == RING_DYNPTR || g->area[a] == FLAGS ? NOTHING : g->area[a];
}

/* One of two ways ends the program, or both meet again after different things. */
static void branch(struct things *g, uint32_t depth)
{
	uint32_t jump = emit(g, BPF_JMP | PICK(g, BPF_JGT, BPF_JEQ, BPF_JSET), UNKNOWN, 0, 0, PICK(g, 1, 3, 100));

	if (chance(g, 40))
		end_all(g);
	else
		statement(g, depth + 1);
	land(g, jump);
}

static void spoil(struct things *g)
{
	emit(g, BPF_ST | BPF_MEM | PICK(g, BPF_B, BPF_DW, BPF_W), FP, 0, place((int)below(g, AREAS)) + 8 * (int)below(g, 2), 0);
}

static void peek(struct things *g)
{
	emit(g, BPF_LDX | BPF_MEM | BPF_DW, 2, FP, place((int)below(g, AREAS)) + 8 * (int)below(g, 2), 0);
}

static void statement(struct things *g, uint32_t depth)
{
	static void (*const kinds[])(struct things *) = {
		take_ring_dynptr, take_value_dynptr, take_packet_dynptr, take_clone, take_section, take_section, take_iterator, take_iterator, take_record,
		use_dynptr, use_dynptr, use_data, use_data, use_linked, use_linked, end_something, end_something, end_something, end_something,
	};
	uint32_t kind = below(g, sizeof(kinds) / sizeof(kinds[0]) + 4);

	if (g->out->n + LEAST >= GENERATED_MAX / 2)
		return;
	if (mistake(g))
		(chance(g, 50) ? spoil : peek)(g);
	else if (kind < sizeof(kinds) / sizeof(kinds[0]))
		kinds[kind](g);
	else if (depth < 3 && kind & 1)
		branch(g, depth);
	else
		use_iterator(g, depth);
}

static void begin(struct things *g)
{
	uint32_t found;

	copy(g, CTX, 1);
	helper(g, BPF_FUNC_get_prandom_u32);
	copy(g, UNKNOWN, 0);
	map_in(g, 1, MAP_IN_ARRAY);
	copy(g, 2, FP);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, place(AREAS));
	emit(g, BPF_ST | BPF_MEM | BPF_W, 2, 0, 0, 1);
	helper(g, BPF_FUNC_map_lookup_elem);
	found = emit(g, BPF_JMP | BPF_JNE | BPF_K, 0, 0, 0, 0);
	emit(g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	land(g, found);
	copy(g, VALUE, 0);
	copy(g, FOUND, 0);
}

static void open(struct things *g, struct generated *out, uint64_t seed)
{
	*g = (struct things){.out = out, .rng = seed * 0x9e3779b97f4a7c15ull + 777};
	memset(out, 0, sizeof(*out));
	below(g, 2);
}

void generate_things(struct generated *out, uint64_t seed)
{
	struct things g;

	open(&g, out, seed);
	out->type = (uint32_t)PICK(&g, BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_XDP, BPF_PROG_TYPE_TRACEPOINT);
	out->flags = (uint32_t)PICK(&g, 0, 0, BPF_F_TEST_STATE_FREQ);
	g.mistakes = (uint32_t)PICK(&g, 0, 0, 0, 1, 2);
	begin(&g);
	for (uint32_t n = 2 + below(&g, 12); n; n--)
		statement(&g, 0);
	end_all(&g);
}

/* ---- callbacks ---- */

enum { LOOP = 181 /* bpf_loop */, FOR_EACH = 164 /* bpf_for_each_map_elem */, NAMES = 6 };

struct called {
	struct things *g;
	bool loops, passes; /* by which helper; with the address of an area */
	uint32_t name[NAMES], n; /* loads of the callback */
};

/* R1 gets a number that the callback may have changed, with its bounds asked for or not; a byte of the value there is read. */
static void read_by(struct things *g, int from, int off)
{
	int width = PICK(g, BPF_DW, BPF_W, BPF_B);

	emit(g, BPF_LDX | BPF_MEM | width, 1, from, off, 0);
	if (!mistake(g) || chance(g, 30))
		emit(g, BPF_ALU64 | BPF_AND | BPF_K, 1, 0, 0, PICK(g, 7, 15, 31));
	copy(g, 2, VALUE);
	emit(g, BPF_ALU64 | BPF_ADD | BPF_X, 2, 1, 0, 0);
	emit(g, BPF_LDX | BPF_MEM | BPF_B, 1, 2, mistake(g) ? 33 : 8, 0);
}

static void call_back(struct called *c)
{
	struct things *g = c->g;
	int a = (int)below(g, 2);

	if (c->n == NAMES)
		return;
	if (chance(g, 60)) { /* what stands there before may be known */
		emit(g, BPF_ST | BPF_MEM | BPF_DW, FP, 0, place(a), PICK(g, 0, 1, 3, 31));
		emit(g, BPF_ST | BPF_MEM | BPF_DW, FP, 0, place(a) + 8, PICK(g, 0, 1, 3, 31));
	}
	if (c->loops && chance(g, 50))
		set(g, 1, PICK(g, 0, 1, 2, 4, 100, 1000, (1 << 23) + 1));
	else if (c->loops)
		copy(g, 1, UNKNOWN);
	else
		map_in(g, 1, (enum generated_link)PICK(g, MAP_IN_ARRAY, MAP_IN_ARRAY, MAP_IN_HASH));
	c->name[c->n++] = emit(g, BPF_LD | BPF_IMM | BPF_DW, 2, BPF_PSEUDO_FUNC, 0, 0);
	emit(g, 0, 0, 0, 0, 0);
	set(g, 3, 0);
	if (c->passes != mistake(g))
		address(g, 3, a);
	set(g, 4, mistake(g) ? PICK(g, 1, 8) : 0);
	helper(g, c->loops ? LOOP : FOR_EACH);
	if (chance(g, 70))
		read_by(g, FP, place(a) + 8 * (int)below(g, 2));
}

/* What the callback does with its context, and with the value of a map's element. */
static void in_callback(struct called *c, int ctx, int value)
{
	struct things *g = c->g;
	int off = PICK(g, 0, 8) + (mistake(g) ? PICK(g, 16, -8, 4) : 0), base = c->passes && (value < 0 || chance(g, 60)) ? ctx : value;
	uint32_t jump = 0;

	if (base < 0 || (base == ctx && !c->passes && !mistake(g)))
		return;
	if (chance(g, 40))
		jump = emit(g, BPF_JMP | PICK(g, BPF_JGT, BPF_JEQ, BPF_JSET), UNKNOWN, 0, 0, PICK(g, 1, 3, 100));
	switch (below(g, 5)) {
	case 0: emit(g, BPF_STX | BPF_MEM | BPF_DW, base, UNKNOWN, off, 0); break;
	case 1: emit(g, BPF_ST | BPF_MEM | PICK(g, BPF_DW, BPF_W, BPF_B), base, 0, off, PICK(g, 0, 2, 31, 200)); break;
	case 2:
		emit(g, BPF_LDX | BPF_MEM | BPF_DW, 1, base, off, 0);
		emit(g, BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, PICK(g, 1, 1, -1, 8));
		emit(g, BPF_ALU64 | BPF_AND | BPF_K, 1, 0, 0, PICK(g, 7, 15, 63)); /* so that turns are few that differ */
		emit(g, BPF_STX | BPF_MEM | BPF_DW, base, 1, off, 0);
		break;
	case 3: emit(g, BPF_LDX | BPF_MEM | BPF_W, 1, base, off, 0); break;
	default: emit(g, BPF_STX | BPF_MEM | BPF_DW, base, mistake(g) ? base : 9, off, 0); break;
	}
	if (jump)
		land(g, jump);
}

static void callback(struct called *c)
{
	struct things *g = c->g;
	int value = c->loops ? -1 : VALUE;
	uint32_t start = g->out->n;

	for (uint32_t i = 0; i < c->n; i++)
		g->out->insns[c->name[i]].imm = (int32_t)(start - c->name[i] - 1);
	copy(g, CTX, c->loops ? 2 : 4);
	if (!c->loops)
		copy(g, VALUE, 3);
	if (c->loops)
		copy(g, 9, 1);
	else
		set(g, 9, 5);
	helper(g, BPF_FUNC_get_prandom_u32);
	copy(g, UNKNOWN, 0);
	for (uint32_t n = 1 + below(g, 5); n; n--)
		in_callback(c, CTX, value);
	set(g, 0, PICK(g, 0, 0, 1));
	if (chance(g, 30)) {
		copy(g, 0, UNKNOWN);
		if (!mistake(g))
			emit(g, BPF_ALU64 | BPF_AND | BPF_K, 0, 0, 0, 1);
	}
	emit(g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	g->out->functions[0] = (struct bpf_func_info){0, 3};
	g->out->functions[1] = (struct bpf_func_info){start, 5};
}

void generate_callbacks(struct generated *out, uint64_t seed)
{
	struct called c = {0};
	struct things g;

	open(&g, out, seed);
	c.g = &g;
	c.loops = chance(&g, 60);
	c.passes = chance(&g, 80);
	out->type = (uint32_t)PICK(&g, BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_XDP, BPF_PROG_TYPE_TRACEPOINT);
	out->flags = (uint32_t)PICK(&g, 0, 0, BPF_F_TEST_STATE_FREQ);
	g.mistakes = (uint32_t)PICK(&g, 0, 0, 0, 2, 5);
	begin(&g);
	for (uint32_t n = 1 + below(&g, 6); n; n--) {
		uint32_t jump = chance(&g, 30) ? emit(&g, BPF_JMP | PICK(&g, BPF_JGT, BPF_JSET), UNKNOWN, 0, 0, PICK(&g, 1, 100)) : 0;

		call_back(&c);
		if (jump)
			land(&g, jump);
	}
	set(&g, 0, 0);
	emit(&g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	callback(&c);
}

/* ---- contexts ---- */

/* A field at random, whole or in part; mostly where fields lie. */
static void access_field(struct things *g, int base, int dst, uint32_t most)
{
	int bytes = PICK(g, 0, 0, 0, 1, 2, 3); /* BPF_W, BPF_H, BPF_B, BPF_DW: as places in the list below */
	int code = ((const int[]){BPF_W, BPF_H, BPF_B, BPF_DW})[bytes], align = ((const int[]){4, 2, 1, 8})[bytes];
	int off = (int)below(g, most / 4) * 4;

	if (align < 4 && chance(g, 60))
		off += (int)below(g, 4) / align * align;
	if (align == 8 && chance(g, 70))
		off &= ~7;
	if (chance(g, 1))
		off = PICK(g, -4, -1, 1, 2, 3, 5);
	switch (below(g, 6)) {
	case 0: emit(g, BPF_STX | BPF_MEM | code, base, UNKNOWN, off, 0); break;
	case 1: emit(g, BPF_ST | BPF_MEM | code, base, 0, off, (int32_t)below(g, 3)); break;
	case 2: emit(g, BPF_LDX | (code == BPF_DW ? BPF_MEM : SIGNED) | code, dst, base, off, 0); break;
	default: emit(g, BPF_LDX | BPF_MEM | code, dst, base, off, 0); break;
	}
}

/* What a field points to, if it does. */
static void follow(struct things *g, int ptr)
{
	uint32_t null = 0;

	if (chance(g, 85))
		null = emit(g, BPF_JMP | BPF_JEQ | BPF_K, ptr, 0, 0, 0);
	if (chance(g, 25)) {
		copy(g, 1, ptr);
		helper(g, PICK(g, BPF_FUNC_sk_fullsock, BPF_FUNC_tcp_sock, BPF_FUNC_get_listener_sock, BPF_FUNC_get_socket_cookie));
		emit(g, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1, 0);
		access_field(g, 0, 2, chance(g, 50) ? 80 : 120);
	} else {
		access_field(g, ptr, 2, 100);
	}
	if (null)
		land(g, null);
}

void generate_contexts(struct generated *out, uint64_t seed)
{
	static const struct {
		uint32_t type, bytes;
		int8_t attach[8]; /* ends with 0 where it is no other's */
	} types[] = {
		{BPF_PROG_TYPE_SOCKET_FILTER, 192, {0}},
		{BPF_PROG_TYPE_SCHED_CLS, 192, {0}},
		{BPF_PROG_TYPE_SCHED_ACT, 192, {0}},
		{BPF_PROG_TYPE_XDP, 24, {0, BPF_XDP_DEVMAP, BPF_XDP_CPUMAP, BPF_XDP}},
		{BPF_PROG_TYPE_CGROUP_SKB, 192, {BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS}},
		{BPF_PROG_TYPE_CGROUP_SOCK, 80, {BPF_CGROUP_INET_SOCK_CREATE, BPF_CGROUP_INET4_POST_BIND, BPF_CGROUP_INET6_POST_BIND, BPF_CGROUP_INET_SOCK_RELEASE}},
		{BPF_PROG_TYPE_LWT_IN, 192, {0}},
		{BPF_PROG_TYPE_LWT_OUT, 192, {0}},
		{BPF_PROG_TYPE_LWT_XMIT, 192, {0}},
		{BPF_PROG_TYPE_LWT_SEG6LOCAL, 192, {0}},
		{BPF_PROG_TYPE_SOCK_OPS, 228, {BPF_CGROUP_SOCK_OPS}},
		{BPF_PROG_TYPE_SK_SKB, 192, {BPF_SK_SKB_STREAM_PARSER, BPF_SK_SKB_STREAM_VERDICT}},
		{BPF_PROG_TYPE_SK_MSG, 80, {BPF_SK_MSG_VERDICT}},
		{BPF_PROG_TYPE_CGROUP_DEVICE, 12, {BPF_CGROUP_DEVICE}},
		{BPF_PROG_TYPE_CGROUP_SOCK_ADDR, 72, {BPF_CGROUP_INET4_BIND, BPF_CGROUP_INET6_BIND, BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT,
						      BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_UDP6_RECVMSG, BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETSOCKNAME}},
		{BPF_PROG_TYPE_SK_REUSEPORT, 80, {BPF_SK_REUSEPORT_SELECT, BPF_SK_REUSEPORT_SELECT_OR_MIGRATE}},
		{BPF_PROG_TYPE_FLOW_DISSECTOR, 192, {BPF_FLOW_DISSECTOR}},
		{BPF_PROG_TYPE_CGROUP_SYSCTL, 12, {BPF_CGROUP_SYSCTL}},
		{BPF_PROG_TYPE_CGROUP_SOCKOPT, 44, {BPF_CGROUP_GETSOCKOPT, BPF_CGROUP_SETSOCKOPT}},
		{BPF_PROG_TYPE_SK_LOOKUP, 84, {BPF_SK_LOOKUP}},
		{BPF_PROG_TYPE_PERF_EVENT, 200, {0}},
		{BPF_PROG_TYPE_KPROBE, 176, {0}},
		{BPF_PROG_TYPE_TRACEPOINT, 120, {0}},
		{BPF_PROG_TYPE_RAW_TRACEPOINT, 104, {0}},
		{BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, 104, {0}},
		{NETFILTER, 24, {HOOK_NETFILTER}},
	};
	uint32_t kind, attaches = 1;
	struct things g;

	open(&g, out, seed);
	kind = below(&g, sizeof(types) / sizeof(types[0]));
	while (attaches < 8 && types[kind].attach[attaches])
		attaches++;
	out->type = types[kind].type;
	out->attach = (uint32_t)types[kind].attach[below(&g, attaches)];
	copy(&g, CTX, 1);
	helper(&g, BPF_FUNC_get_prandom_u32);
	copy(&g, UNKNOWN, 0);
	for (uint32_t n = 1 + below(&g, 3); n; n--) {
		int dst = PICK(&g, 2, 3, 4);
		uint32_t before = out->n;

		access_field(&g, CTX, dst, types[kind].bytes + (chance(&g, 5) ? 8 : 0));
		if (BPF_CLASS(out->insns[before].code) == BPF_LDX && BPF_SIZE(out->insns[before].code) == BPF_DW && chance(&g, 70))
			follow(&g, dst);
	}
	set(&g, 0, (int32_t)below(&g, 3));
	emit(&g, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}
