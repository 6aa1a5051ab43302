/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interpreter in checking mode: the reference semantics (RFC 9669, sections 4 and 5), one case per operation, and before every
 * access a look at what the program may touch. Expressions come from isa/ops.def.
 *
 * A function of the program is a call of exec(): its registers are locals, so nothing of a caller can be damaged. A fault
 * is remembered in run->fault and unwinds all of them.
 */
#include "vm/state.h"

enum { MAY_GOTO_LIMIT = 8 << 20, FP = 10 };

static int exec(struct vm *vm, const struct prog *prog, u32 pc, const u64 args[5], u32 n_args, u64 *result);

/* ---- memory ---- */

static u64 load_plain(u64 addr, u32 size)
{
	const void *p = (const void *)(uintptr_t)addr;

	/* Aligned accesses are single ones: memory may be shared with other threads and processes. */
	switch (size) {
	case 1: return __atomic_load_n((const u8 *)p, __ATOMIC_RELAXED);
	case 2: return addr & 1 ? LOAD_AS(u16, p) : __atomic_load_n((const u16 *)p, __ATOMIC_RELAXED);
	case 4: return addr & 3 ? LOAD_AS(u32, p) : __atomic_load_n((const u32 *)p, __ATOMIC_RELAXED);
	default: return addr & 7 ? LOAD_AS(u64, p) : __atomic_load_n((const u64 *)p, __ATOMIC_ACQUIRE); /* it may be an address: what lies there is seen */
	}
}

static void store_plain(u64 addr, u32 size, u64 v)
{
	void *p = (void *)(uintptr_t)addr;

	switch (size) {
	case 1: __atomic_store_n((u8 *)p, (u8)v, __ATOMIC_RELAXED); break;
	case 2:
		if (addr & 1)
			STORE_AS(u16, p, (u16)v);
		else
			__atomic_store_n((u16 *)p, (u16)v, __ATOMIC_RELAXED);
		break;
	case 4:
		if (addr & 3)
			STORE_AS(u32, p, (u32)v);
		else
			__atomic_store_n((u32 *)p, (u32)v, __ATOMIC_RELAXED);
		break;
	default:
		if (addr & 7)
			STORE_AS(u64, p, v);
		else
			__atomic_store_n((u64 *)p, v, __ATOMIC_RELAXED);
	}
}

static bool is_ctx(const struct run *r, u64 addr)
{
	return r->ctx.type && !(r->ctx.type->flags & CTX_TYPE_FLAT) && addr - (u64)(uintptr_t)r->ctx.bytes < r->ctx.size;
}

static int load(struct run *r, u64 addr, u32 size, u64 *out)
{
	if (unlikely(is_ctx(r, addr)))
		return vm_ctx_load(r, (u32)(addr - (u64)(uintptr_t)r->ctx.bytes), size, out);
	if (unlikely(vm_check(r, addr, size, false)))
		return -EFAULT;
	*out = load_plain(addr, size);
	return 0;
}

/* A load through a pointer to a kernel object: 0 where there is none, unless the program makes pointers of any address. */
static u64 probe(struct run *r, u64 addr, u32 size)
{
	return vm_kernel_has(r, addr, size) || (r->prog->casts && vm_readable(r, addr, size)) ? load_plain(addr, size) : 0;
}

/* The arena's byte at an address of which the low half counts; NULL: nothing is allocated there. */
static void *in_arena(const struct prog *p, u64 addr, s16 off)
{
	return map_arena_at(p->arena_map, (u32)addr + (u64)(s64)off);
}

static u64 load_arena(const struct prog *p, u64 addr, s16 off, u32 size)
{
	const void *at = in_arena(p, addr, off);

	return at ? load_plain((u64)(uintptr_t)at, size) : 0;
}

/* As a pointer that clients have. */
static u64 cast_address(const struct map *arena, u64 v, s64 to)
{
	enum { NO_USER_CONV = 1 << 18 };

	v = (u32)v;
	return to == 1 || !v || arena->spec.flags & NO_USER_CONV ? v : map_arena_start(arena) >> 32 << 32 | v;
}

static int store(struct run *r, u64 addr, u32 size, u64 v)
{
	if (unlikely(is_ctx(r, addr)))
		return vm_ctx_store(r, (u32)(addr - (u64)(uintptr_t)r->ctx.bytes), size, v);
	if (unlikely(vm_check(r, addr, size, true)))
		return -EFAULT;
	store_plain(addr, size, v);
	return 0;
}

static u64 sign_extend(u64 v, u32 size)
{
	return size == 1 ? (u64)(s64)(s8)v : size == 2 ? (u64)(s64)(s16)v : (u64)(s64)(s32)v;
}

/* ---- atomics ---- */

static u64 swap_until(enum op op, u64 addr, u32 size, u64 operand)
{
	if (size == 4) {
		u32 *p = (u32 *)(uintptr_t)addr, old = __atomic_load_n(p, __ATOMIC_RELAXED);

		while (!__atomic_compare_exchange_n(p, &old, (u32)op_eval(op, 32, old, operand), true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			;
		return old;
	}
	u64 *p = (u64 *)(uintptr_t)addr, old = __atomic_load_n(p, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(p, &old, op_eval(op, 64, old, operand), true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	return old;
}

static u64 compare_exchange(u64 addr, u32 size, u64 expected, u64 desired)
{
	if (size == 4) {
		u32 old = (u32)expected;

		__atomic_compare_exchange_n((u32 *)(uintptr_t)addr, &old, (u32)desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		return old;
	}
	__atomic_compare_exchange_n((u64 *)(uintptr_t)addr, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return expected;
}

static int atomic(struct run *r, const struct insn *i, u64 *reg, u32 *written)
{
	enum op op = i->op;
	u64 addr = (op == OP_LOAD_ACQ ? reg[i->src] : reg[i->dst]), old;
	bool arena = r->prog->probes && r->prog->probes[((struct vm *)r->vm)->pc] == PROBE_ARENA;

	if (arena) {
		addr = (u64)(uintptr_t)in_arena(r->prog, addr, i->off);
		if (!addr) { /* registers stay as they are, but a load's */
			if (op == OP_LOAD_ACQ)
				reg[i->dst] = 0;
			*written |= op == OP_LOAD_ACQ ? 1u << i->dst : 0;
			return 0;
		}
		goto access;
	}
	addr += (u64)(s64)i->off;
	if (addr % i->width) {
		vm_fault(r, FAULT_ALIGN, addr, i->width, "misaligned atomic access at 0x%llx size %u", (unsigned long long)addr, i->width);
		return -EFAULT;
	}
	if (is_ctx(r, addr)) {
		vm_fault(r, FAULT_CTX, addr, i->width, "atomic access to the context is not allowed");
		return -EFAULT;
	}
	if (vm_check(r, addr, i->width, op != OP_LOAD_ACQ))
		return -EFAULT;
access:
	switch (op) {
	case OP_LOAD_ACQ:
		reg[i->dst] = load_plain(addr, i->width);
		atomic_thread_fence(memory_order_acquire);
		*written |= 1u << i->dst;
		return 0;
	case OP_STORE_REL:
		atomic_thread_fence(memory_order_release);
		store_plain(addr, i->width, reg[i->src]);
		return 0;
	case OP_CMPXCHG: reg[0] = compare_exchange(addr, i->width, reg[0], reg[i->src]); return 0;
	default: break;
	}
	old = swap_until(op, addr, i->width, reg[i->src]);
	if (op_table[op].flags & OPF_FETCH)
		reg[i->src] = old;
	return 0;
}

/* ---- packet loads of classic programs ---- */

enum { NET_OFFSET = -0x100000, LINK_OFFSET = -0x200000 };

bool vm_packet_load(struct run *r, s64 off, u32 size, u64 *out)
{
	const struct packet *p = r->ctx.packet;
	const u8 *at;

	if (!p)
		return false;
	at = off >= 0 ? p->data + MIN(off, (s64)INT32_MAX) : off >= NET_OFFSET ? p->network + (off - NET_OFFSET)
	     : off >= LINK_OFFSET ? p->mac + (off - LINK_OFFSET) : NULL;
	if (!at || at < p->head || at > p->tail || (u64)(p->tail - at) < size)
		return false;
	*out = size == 1 ? *at : size == 2 ? __builtin_bswap16(LOAD_AS(u16, at)) : __builtin_bswap32(LOAD_AS(u32, at));
	return true;
}

/* ---- calls ---- */

static int keep_record(struct run *r, void *at, struct map *m, u64 size)
{
	if (r->n_records == RUN_RECORDS) {
		m->ops->commit(m, r->hold, at, 0, true);
		vm_fault(r, FAULT_RESOURCE, 0, 0, "more than %d records reserved at the same time", RUN_RECORDS);
		return -EFAULT;
	}
	r->records[r->n_records++] = (struct run_record){at, m, size};
	return 0;
}

static int keep_inner(struct run *r, u64 handle)
{
	struct map *m = window_find(r->host->window, (void *)(uintptr_t)handle);

	for (u32 i = 0; i < r->n_inner; i++)
		if (r->inner[i] == m)
			return 0;
	if (r->n_inner == RUN_INNER) {
		vm_fault(r, FAULT_RESOURCE, 0, 0, "more than %d inner maps used in one run", RUN_INNER);
		return -EFAULT;
	}
	r->inner[r->n_inner++] = m;
	return 0;
}

static int call_helper(struct vm *vm, const struct prog *prog, const struct insn *i, u64 *reg, u32 *written)
{
	const struct helper_proto *proto = (const struct helper_proto *)(uintptr_t)prog->operand[vm->pc];
	struct run *r = vm->run;
	u64 arg[5], record_size = 0;
	struct map *map = NULL;
	helper_fn *body;

	if (!proto) {
		vm_fault(r, FAULT_HELPER, 0, 0, "helper %lld is not available", (long long)i->imm);
		return -EFAULT;
	}
	memcpy(arg, reg + 1, sizeof(arg));
	if (vm_check_args(r, proto, arg, *written, &map, &record_size))
		return -EFAULT;
	body = proto->id < r->host->n_bodies ? r->host->bodies[proto->id] : NULL;
	if (!body)
		body = r->host->own_body ? r->host->own_body(r->host->ud, r, proto) : NULL;
	if (!body) {
		vm_fault(r, FAULT_HELPER, 0, 0, "needs helper bpf_%s, which skep cannot run yet", proto->name);
		return -EFAULT;
	}
	reg[0] = body(r, arg[0], arg[1], arg[2], arg[3], arg[4]);
	if (r->fault.code)
		return -EFAULT;
	*written = (*written & ~0x3eu) | 1;
	if ((proto->ret & 0xff) == RET_VOID)
		reg[0] = 0;
	if ((proto->ret & 0xff) == RET_RECORD && reg[0] && keep_record(r, (void *)(uintptr_t)reg[0], map, record_size))
		return -EFAULT;
	if ((proto->ret & 0xff) == RET_MAP_VALUE && reg[0] && map->inner && keep_inner(r, reg[0]))
		return -EFAULT;
	return 0;
}

/* Verified: the arguments are what they must be. */
static int call_kfunc(struct vm *vm, const struct prog *prog, const struct insn *i, u64 *reg, u32 *written)
{
	const struct prog_kfunc *k = (const struct prog_kfunc *)(uintptr_t)prog->operand[vm->pc];
	u64 arg[5];

	if (!k || !k->body) {
		vm_fault(vm->run, FAULT_KFUNC, 0, 0, "kernel function #%lld is not available", (long long)i->imm);
		return -EFAULT;
	}
	memcpy(arg, reg + 1, sizeof(arg));
	if (k->meta)
		arg[k->meta - 1] = (u64)(uintptr_t)k;
	reg[0] = k->body(vm->run, arg[0], arg[1], arg[2], arg[3], arg[4]);
	*written = (*written & ~0x3eu) | 1;
	return vm->run->fault.code || vm->run->thrown ? -EFAULT : 0;
}

struct prog *vm_tail_call(struct run *r, struct map *map, u32 index)
{
	struct prog *next;

	if (r->tail_calls >= RUN_TAIL_CALLS)
		return NULL;
	next = map->ops->entry(map, r->hold, index);
	if (!next || !vm_suits(r, next))
		return NULL;
	r->tail_calls++;
	return next;
}

/* 1: goes on in *next; 0: there is none, the caller goes on; -EFAULT. */
static int tail_call(struct vm *vm, const struct prog *prog, u64 *reg, u32 written, struct prog **next)
{
	const struct helper_proto *proto = (const struct helper_proto *)(uintptr_t)prog->operand[vm->pc];
	struct run *r = vm->run;
	u64 arg[5], ignored;
	struct map *map;

	memcpy(arg, reg + 1, sizeof(arg));
	if (vm_check_args(r, proto, arg, written, &map, &ignored))
		return -EFAULT;
	*next = vm_tail_call(r, map, (u32)arg[2]);
	return *next != NULL;
}

static int uninit(struct run *r, u32 reg)
{
	vm_fault(r, FAULT_UNINIT, 0, 0, "R%u !read_ok: the register was never written", reg);
	return -EFAULT;
}

/* ---- the loop ---- */

static int enter(struct vm *vm, struct vm_frame *f, const struct prog *prog)
{
	if (vm->depth == RUN_CALLS + vm->run->tail_calls) {
		vm_fault(vm->run, FAULT_CALL_DEPTH, 0, 0, "the call stack of %u frames is too deep", vm->depth);
		return -EFAULT;
	}
	*f = (struct vm_frame){.caller = vm->frame, .prog = prog};
	vm->depth++;
	f->fp = (u64)(uintptr_t)(vm->stack + vm->depth * VM_STRIDE);
	memset((void *)(uintptr_t)(f->fp - RUN_STACK), 0, RUN_STACK);
	vm->frame = f;
	vm->run->prog = (struct prog *)prog;
	return 0;
}

static void leave(struct vm *vm, const struct vm_frame *f)
{
	vm->frame = f->caller;
	vm->depth--;
	if (f->caller)
		vm->run->prog = (struct prog *)f->caller->prog;
}

int vm_stopped(struct run *r)
{
	if (r->stop && atomic_load_explicit(r->stop, memory_order_relaxed)) {
		vm_fault(r, FAULT_STOPPED, 0, 0, "stopped by its host");
		return -EFAULT;
	}
	if (r->budget && r->insns > r->budget) {
		vm_fault(r, FAULT_BUDGET, 0, 0, "%llu instructions executed, the limit", (unsigned long long)r->budget);
		return -EFAULT;
	}
	return 0;
}

enum { ENOUGH = 1 << 16 }; /* instructions between two looks */

u64 vm_refuel(struct run *r, s64 fuel)
{
	u64 more = ENOUGH;

	r->insns -= (u64)fuel;
	if (vm_stopped(r)) {
		r->fuel = 0;
		return 0;
	}
	if (r->budget)
		more = MAX(MIN(more, r->budget - r->insns), (u64)1);
	r->insns += more;
	return more;
}

/* The program's first function ends with what the handler makes of the number that was thrown. */
static int handle_thrown(struct vm *vm, const struct prog *prog, u64 *result)
{
	u64 args[5] = {vm->run->thrown_with};

	vm->run->thrown = false;
	vm->returned = 1;
	*result = args[0];
	return prog->exception_callback ? exec(vm, prog, prog->exception_start, args, 1, result) : 0;
}

#define NEED(n)                                                                                                  \
	do {                                                                                                     \
		if (unlikely(!(written >> (n) & 1))) {                                                           \
			uninit(r, n);                                                                            \
			goto out;                                                                                \
		}                                                                                                \
	} while (0)
#define LOCAL __attribute__((unused))

static int exec(struct vm *vm, const struct prog *prog, u32 pc, const u64 args[5], u32 n_args, u64 *result)
{
	struct run *r = vm->run;
	u32 written = 1u << FP, loops = 0;
	struct vm_frame frame;
	bool first = pc == 0; /* of the program's functions */
	u64 reg[16] = {0};
	int err = -EFAULT;

	if (enter(vm, &frame, prog))
		return -EFAULT;
	memcpy(reg + 1, args, 5 * sizeof(u64));
	written |= ((1u << n_args) - 1) << 1;
	reg[FP] = frame.fp;
	frame.reg = reg;
	for (;; pc++) {
		const struct insn *i = &prog->insns[pc];

		vm->pc = pc;
		r->insns++;
		if (unlikely(r->coverage != NULL))
			atomic_store_explicit(&r->coverage[pc], 1, memory_order_relaxed);
		if (unlikely(r->watch != NULL))
			r->watch->step(r->watch->ud, r);
		switch ((enum op)i->op) {
#define ALU(name, code, off, text, meaning, flags)                                                               \
	case OP_##name:                                                                                          \
		if (!((flags)&OPF_COPY))                                                                         \
			NEED(i->dst);                                                                            \
		if (!i->imm_src)                                                                                 \
			NEED(i->src);                                                                            \
		if (i->width == 64) {                                                                            \
			typedef u64 U LOCAL;                                                                     \
			typedef s64 S LOCAL;                                                                     \
			enum LOCAL { M = 63 };                                                                   \
			U A LOCAL = reg[i->dst], B LOCAL = i->imm_src ? (u64)i->imm : reg[i->src];               \
			reg[i->dst] = (U)(meaning);                                                              \
		} else {                                                                                         \
			typedef u32 U LOCAL;                                                                     \
			typedef s32 S LOCAL;                                                                     \
			enum LOCAL { M = 31 };                                                                   \
			U A LOCAL = (u32)reg[i->dst], B LOCAL = (u32)(i->imm_src ? (u64)i->imm : reg[i->src]);   \
			U narrow = (U)(meaning);                                                                 \
			reg[i->dst] = narrow;                                                                    \
		}                                                                                                \
		written |= 1u << i->dst;                                                                         \
		break;
#define COMMUTES OPF_COMMUTES
#define UNARY    OPF_UNARY
#define COPY     OPF_COPY
#define JMP(name, code, text, meaning, flags)                                                                    \
	case OP_##name: {                                                                                        \
		bool taken;                                                                                      \
		NEED(i->dst);                                                                                    \
		if (!i->imm_src)                                                                                 \
			NEED(i->src);                                                                            \
		if (i->width == 64) {                                                                            \
			typedef s64 S LOCAL;                                                                     \
			u64 A = reg[i->dst], B = i->imm_src ? (u64)i->imm : reg[i->src];                         \
			taken = (meaning);                                                                       \
		} else {                                                                                         \
			typedef s32 S LOCAL;                                                                     \
			u32 A = (u32)reg[i->dst], B = (u32)(i->imm_src ? (u64)i->imm : reg[i->src]);             \
			taken = (meaning);                                                                       \
		}                                                                                                \
		if (taken)                                                                                       \
			goto jump;                                                                               \
		break;                                                                                           \
	}
#define ATOMIC(name, imm, text, meaning, flags) case OP_##name:
#include "isa/ops.def"
			NEED(i->dst);
			NEED(i->src);
			if (atomic(r, i, reg, &written))
				goto out;
			break;
#undef COMMUTES
#undef UNARY
#undef COPY
		case OP_CMPXCHG:
			NEED(0);
			NEED(i->dst);
			NEED(i->src);
			if (atomic(r, i, reg, &written))
				goto out;
			break;
		case OP_STORE_REL:
			NEED(i->dst);
			NEED(i->src);
			if (atomic(r, i, reg, &written))
				goto out;
			break;
		case OP_LOAD_ACQ:
			NEED(i->src);
			if (atomic(r, i, reg, &written))
				goto out;
			break;
		case OP_LE:
		case OP_BE:
		case OP_BSWAP:
			NEED(i->dst);
			reg[i->dst] = op_byteswap(i->op, i->width, reg[i->dst]);
			break;
		case OP_ADDR_SPACE_CAST:
			NEED(i->src);
			if (unlikely(!prog->arena_map)) {
				vm_fault(r, FAULT_UNREACHABLE, 0, 0, "addr_space_cast in a program that has no arena");
				goto out;
			}
			reg[i->dst] = cast_address(prog->arena_map, reg[i->src], i->imm);
			written |= 1u << i->dst;
			break;
		case OP_LDX:
		case OP_LDXS: {
			u64 v;

			NEED(i->src);
			if (unlikely(prog->probes && prog->probes[pc]))
				v = prog->probes[pc] == PROBE_ARENA ? load_arena(prog, reg[i->src], i->off, i->width) :
								      probe(r, reg[i->src] + (u64)(s64)i->off, i->width);
			else if (unlikely(load(r, reg[i->src] + (u64)(s64)i->off, i->width, &v)))
				goto out;
			reg[i->dst] = i->op == OP_LDXS ? sign_extend(v, i->width) : v;
			written |= 1u << i->dst;
			break;
		}
		case OP_STX:
			NEED(i->src);
			/* fallthrough */
		case OP_ST:
			NEED(i->dst);
			if (unlikely(prog->probes && prog->probes[pc])) {
				void *at = in_arena(prog, reg[i->dst], i->off);

				if (at)
					store_plain((u64)(uintptr_t)at, i->width, i->op == OP_ST ? (u64)i->imm : reg[i->src]);
				break;
			}
			if (unlikely(store(r, reg[i->dst] + (u64)(s64)i->off, i->width, i->op == OP_ST ? (u64)i->imm : reg[i->src])))
				goto out;
			break;
		case OP_LD_IMM64:
			reg[i->dst] = prog->operand[pc];
			written |= 1u << i->dst;
			pc++;
			break;
		case OP_LD_ABS:
		case OP_LD_IND:
			if (i->op == OP_LD_IND)
				NEED(i->src);
			if (!vm_packet_load(r, (s32)(u32)((i->op == OP_LD_IND ? reg[i->src] : 0) + (u64)i->imm), i->width, &reg[0])) {
				*result = 0;
				vm->returned = 1;
				err = 0;
				goto out;
			}
			written = (written & ~0x3eu) | 1;
			break;
		case OP_JA: goto jump;
		case OP_MAY_GOTO:
			if (++loops > MAY_GOTO_LIMIT)
				goto jump;
			break;
		case OP_CALL:
			if (i->pseudo == CALL_SUBPROG) {
				if (exec(vm, prog, (u32)i->target, reg + 1, 5, &reg[0]))
					goto out;
				written = (written & ~0x3fu) | vm->returned;
			} else if (i->pseudo == CALL_KFUNC) {
				if (call_kfunc(vm, prog, i, reg, &written))
					goto out;
			} else {
				const struct helper_proto *proto = (const struct helper_proto *)(uintptr_t)prog->operand[pc];
				struct prog *next;

				if (proto && proto->effects & EFFECT_TAIL_CALL) {
					int go = tail_call(vm, prog, reg, written, &next);

					if (go < 0)
						goto out;
					if (go) {
						u64 ctx = reg[1];

						frame.prog = prog = next;
						first = true;
						r->prog = next;
						memset(reg, 0, FP * sizeof(u64));
						reg[1] = ctx;
						written = 1u << FP | 1u << 1;
						pc = UINT32_MAX;
						r->coverage = NULL;
						break;
					}
					written = (written & ~0x3eu) | 1;
					break;
				}
				if (call_helper(vm, prog, i, reg, &written))
					goto out;
			}
			if (unlikely(vm_stopped(r)))
				goto out;
			break;
		case OP_EXIT:
			if (!frame.caller) /* a function may leave R0 alone, if its caller does as well */
				NEED(0);
			vm->returned = written & 1;
			*result = reg[0];
			err = 0;
			goto out;
		case OP_INVALID:
		case OP_PAD:
		case OP_COUNT:
			vm_fault(r, FAULT_UNREACHABLE, 0, 0, "not an instruction");
			goto out;
		}
		continue;
jump:
		/* Every cycle passes a jump or a call. */
		if (unlikely(vm_stopped(r)))
			goto out;
		pc = (u32)i->target - 1;
	}
out:
	if (unlikely(r->thrown && first))
		err = handle_thrown(vm, prog, result);
	leave(vm, &frame);
	return err;
}

/* One that cannot be noted, because no memory is left, is lost if the run ends early. */
void vm_own(struct run *r, u64 object)
{
	if (unlikely(r->n_owned == r->room_owned)) {
		u64 *more = heap_new(r->host->heap, r->hold, 2 * r->room_owned * (u32)sizeof(u64), false, NULL);

		if (!more)
			return;
		memcpy(more, r->owned, r->n_owned * sizeof(u64));
		if (r->owned != r->owned_first)
			heap_drop(r->host->heap, r->hold, r->owned);
		r->owned = more;
		r->room_owned *= 2;
	}
	r->owned[r->n_owned++] = object;
}

void vm_disown(struct run *r, u64 object)
{
	for (u32 i = r->n_owned; i--;)
		if (r->owned[i] == object) {
			r->owned[i] = r->owned[--r->n_owned];
			return;
		}
}

/* What a program left behind goes back, whether it faulted or forgot. */
static void clean_up(struct run *r)
{
	if (r->lock_held) {
		owned_lock_drop(r->hold, r->lock_held);
		r->lock_held = NULL;
		vm_fault(r, FAULT_RESOURCE, 0, 0, "BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region");
	}
	while (r->n_owned)
		heap_drop(r->host->heap, r->hold, (const void *)(uintptr_t)r->owned[--r->n_owned]);
	if (r->owned != r->owned_first)
		heap_drop(r->host->heap, r->hold, r->owned);
	while (r->n_records) {
		struct run_record *rec = &r->records[--r->n_records];

		rec->map->ops->commit(rec->map, r->hold, rec->at, 0, true);
		vm_fault(r, FAULT_RESOURCE, (u64)(uintptr_t)rec->at, (u32)rec->size,
			 "BPF_EXIT instruction in main prog would lead to reference leak: a ring record was neither submitted nor discarded");
	}
}

static int interpret(struct run *r, const struct prog *prog, const u64 args[5], u32 n_args, u64 *result)
{
	struct vm vm;
	int err;

	vm.run = r;
	vm.frame = NULL;
	vm.pc = vm.depth = 0;
	r->vm = &vm;
	err = exec(&vm, prog, 0, args, n_args, result);
	r->vm = NULL;
	return err;
}

u64 vm_continue(struct run *r, u64 ctx, u64 b, u64 c, u64 d, u64 e)
{
	u64 args[5] = {ctx}, result = 0;

	(void)b, (void)c, (void)d, (void)e;
	r->insns -= (u64)r->fuel;
	r->fuel = 0;
	interpret(r, r->prog, args, 1, &result);
	return result;
}

int vm_run(struct run *r, u64 *result)
{
	u64 args[5] = {(u64)(uintptr_t)r->ctx.bytes, r->ctx.second};
	struct prog *first = r->prog;
	int err = 0;

	r->fault.code = FAULT_NONE;
	r->insns = 0;
	r->tail_calls = r->n_records = r->n_inner = r->n_owned = 0;
	r->owned = r->owned_first;
	r->room_owned = RUN_OWNED;
	r->lock_held = NULL;
	r->thrown = false;
	if (first->code && !r->interpreted && !r->coverage && !r->watch && (!r->stop || first->code->polls)) {
		static const _Atomic bool never;

		if (first->code->polls && !r->stop)
			r->stop = &never;
		r->vm = NULL;
		r->frames = (struct run_frames){0};
		r->fuel = 0;
		if (first->code->counts) {
			r->fuel = (s64)(r->budget ? MIN(r->budget, (u64)ENOUGH) : ENOUGH);
			if (unlikely(atomic_load_explicit(r->stop, memory_order_relaxed)))
				return vm_stopped(r);
			r->insns = (u64)r->fuel;
		}
		*result = first->code->entry[0](r, args[0], args[1], 0, 0, 0);
		r->insns -= (u64)r->fuel;
	} else {
		err = interpret(r, first, args, r->ctx.has_second ? 2 : 1, result);
	}
	if (unlikely(r->lock_held || r->n_records || r->n_owned || r->owned != r->owned_first))
		clean_up(r);
	r->prog = first;
	return err || r->fault.code ? -EFAULT : 0;
}

int vm_call(struct run *r, u32 insn, const u64 args[5], u64 *result)
{
	struct vm *vm = r->vm;
	int err;
	u32 pc;

	if (!vm) { /* compiled */
		enum { COST = 16 };
		const struct subprog *f = subprog_at(r->prog, insn);
		const struct run_frames up = r->frames;

		if (r->prog->code->polls && (r->fuel -= COST) < 0 && !(r->fuel = (s64)vm_refuel(r, r->fuel)))
			return -EFAULT;

		r->frames = (struct run_frames){.up = &up};
		*result = r->prog->code->entry[f - r->prog->subprogs](r, args[0], args[1], args[2], args[3], args[4]);
		r->frames = up;
		return unlikely(r->fault.code) ? -EFAULT : 0;
	}
	pc = vm->pc;
	err = exec(vm, vm->frame->prog, insn, args, 5, result);
	if (!err)
		vm->pc = pc;
	if (!err && !vm->returned)
		err = uninit(r, 0);
	return err ? err : vm_stopped(r);
}
