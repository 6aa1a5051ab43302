/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a run may touch, and what a helper's arguments must be. Nothing here knows a helper or a map kind: prototypes come
 * from abi/helpers.def, and a map says itself which of its bytes are values.
 */
#include "vm/state.h"

#include <stdio.h>

void vm_fault(struct run *r, enum fault_code code, u64 address, u32 size, const char *fmt, ...)
{
	struct vm *vm = r->vm;
	va_list ap;
	int n;

	if (r->fault.code)
		return;
	r->fault = (struct fault){.code = code, .insn = vm ? vm->pc : 0, .address = address, .size = size};
	n = snprintf(r->fault.text, sizeof(r->fault.text), "insn %u: ", r->fault.insn);
	va_start(ap, fmt);
	vsnprintf(r->fault.text + n, sizeof(r->fault.text) - (size_t)n, fmt, ap);
	va_end(ap);
}

static bool inside(u64 addr, u64 size, const void *start, u64 length)
{
	u64 off = addr - (u64)(uintptr_t)start;

	return off <= length && size <= length - off;
}

/* The map that an address lies in, if this run may use it. Pointers are compared before they are followed. */
static struct map *map_of(const struct run *r, u64 addr)
{
	struct map *owner = window_find(r->host->window, (const void *)(uintptr_t)addr);

	if (!owner)
		return NULL;
	for (u32 i = 0; i < r->prog->n_maps; i++)
		if (r->prog->maps[i] == owner)
			return owner;
	for (u32 i = 0; i < r->n_inner; i++)
		if (r->inner[i] == owner)
			return owner;
	/* A caller's program may have other maps than the one that a tail call led to. */
	for (const struct vm_frame *f = r->vm ? ((struct vm *)r->vm)->frame : NULL; f; f = f->caller)
		for (u32 i = 0; i < f->prog->n_maps; i++)
			if (f->prog->maps[i] == owner)
				return owner;
	return NULL;
}

struct map *vm_map(const struct run *r, u64 handle)
{
	struct map *m = map_of(r, handle);

	return m && map_handle(m) == handle ? m : NULL;
}

/* Of the program's stack in a native frame: are these bytes what others may be given the address of? */
static bool exposed(const struct code_func *f, u64 sp, u64 addr, u64 size)
{
	u64 below = sp + f->fp - addr; /* bytes from addr up to r10 */

	if (below > RUN_STACK || size > below)
		return false;
	for (u64 word = (below - size) / 8; word <= (below - 1) / 8; word++)
		if (!(f->stack >> word & 1))
			return false;
	return true;
}

/* Compiled code's frames lie between those of other code, which no program may see: from the innermost outwards, as far as the program's own reach. */
static bool native_stack_ok(const struct run *r, u64 addr, u64 size)
{
	const struct prog_code *c = r->prog->code;

	for (const struct run_frames *at = c ? &r->frames : NULL; at; at = at->up)
		for (u64 sp = at->sp; sp;) {
			u64 pc = LOAD_AS(u64, (const void *)(uintptr_t)(sp - 8)) - (u64)(uintptr_t)c->region.base;
			u32 i = r->prog->n_subprogs;

			if (pc >= c->size)
				break;
			while (i && c->func[i - 1].start > pc)
				i--;
			if (exposed(&c->func[i - 1], sp, addr, size))
				return true;
			sp += c->func[i - 1].up + 8;
		}
	return false;
}

static bool stack_ok(const struct run *r, u64 addr, u64 size)
{
	const struct vm *vm = r->vm;
	u64 off;

	if (!vm)
		return native_stack_ok(r, addr, size);
	off = addr - (u64)(uintptr_t)vm->stack;
	if (off >= (u64)vm->depth * VM_STRIDE)
		return false;
	off %= VM_STRIDE;
	return off >= VM_STRIDE - RUN_STACK && size <= VM_STRIDE - off;
}

enum verdict { NOWHERE, READABLE, WRITE_ONLY, WRITABLE };

static enum verdict map_access(struct run *r, u64 addr, u64 size)
{
	struct map *m = map_of(r, addr);

	if (!m || !m->ops->in_value || !m->ops->in_value(m, (const void *)(uintptr_t)addr, size))
		return NOWHERE;
	if (m->spec.flags & BPF_F_WRONLY_PROG)
		return WRITE_ONLY;
	return m->spec.flags & BPF_F_RDONLY_PROG ? READABLE : WRITABLE;
}

static enum verdict find(struct run *r, u64 addr, u64 size)
{
	const struct packet *p = r->ctx.packet;

	if (stack_ok(r, addr, size))
		return WRITABLE;
	if (p && inside(addr, size, p->meta, (u64)(p->data - p->meta) + packet_bytes(p)))
		return p->read_only ? READABLE : WRITABLE;
	for (u32 i = 0; i < r->n_spans; i++)
		if (inside(addr, size, (const void *)(uintptr_t)r->spans[i].start, r->spans[i].size))
			return r->spans[i].writable ? WRITABLE : READABLE;
	if (r->host->heap && heap_has(r->host->heap, (const void *)(uintptr_t)addr, size))
		return WRITABLE;
	if (vm_kernel_has(r, addr, size))
		return READABLE;
	for (u32 i = 0; i < r->n_records; i++)
		if (inside(addr, size, r->records[i].at, r->records[i].size))
			return WRITABLE;
	if (r->ctx.type && r->ctx.type->flags & CTX_TYPE_FLAT && inside(addr, size, r->ctx.bytes, r->ctx.size))
		return r->ctx.type->flags & CTX_TYPE_WRITABLE ? WRITABLE : READABLE;
	return map_access(r, addr, size);
}

bool vm_readable(struct run *r, u64 addr, u64 size)
{
	enum verdict v = size ? find(r, addr, size) : WRITABLE;

	return v == READABLE || v == WRITABLE;
}

bool vm_suits(const struct run *r, const struct prog *p)
{
	u64 buffer;

	if (p->reach[REACH_CTX] > r->ctx.size)
		return false;
	if (!p->reach[REACH_BUFFER])
		return true;
	buffer = LOAD_AS(u64, r->ctx.bytes);
	for (u32 i = 0; i < r->n_spans; i++)
		if (r->spans[i].writable && inside(buffer, p->reach[REACH_BUFFER], (const void *)(uintptr_t)r->spans[i].start, r->spans[i].size))
			return true;
	return false;
}

/* What the address is nearest to, for people. */
static const char *describe(struct run *r, u64 addr, char *buf, size_t n)
{
	const struct vm *vm = r->vm;
	const struct packet *p = r->ctx.packet;
	struct map *m = map_of(r, addr);

	if (addr < 4096)
		snprintf(buf, n, "a NULL pointer plus %llu", (unsigned long long)addr);
	else if (vm && inside(addr, 0, vm->stack, sizeof(vm->stack)))
		snprintf(buf, n, "stack address r10%+lld, outside its 512 bytes", (long long)(addr - vm->frame->fp));
	else if (p && inside(addr, 0, p->head, (u64)(p->end - p->head)))
		snprintf(buf, n, "packet offset %lld, outside of its %lld bytes", (long long)(addr - (u64)(uintptr_t)p->data),
			 (long long)(p->tail - p->data));
	else if (inside(addr, 0, r->ctx.bytes, r->ctx.size))
		snprintf(buf, n, "context offset %llu", (unsigned long long)(addr - (u64)(uintptr_t)r->ctx.bytes));
	else if (m)
		snprintf(buf, n, "map '%s' (%s), outside of a value of %u bytes", m->spec.name, m->info->name, m->spec.value_size);
	else
		snprintf(buf, n, "0x%llx, which is nothing that the program may touch", (unsigned long long)addr);
	return buf;
}

int vm_check(struct run *r, u64 addr, u64 size, bool write)
{
	enum verdict v = size ? find(r, addr, size) : WRITABLE;
	char what[120];

	if (v == WRITABLE || (v == READABLE && !write) || (v == WRITE_ONLY && write))
		return 0;
	describe(r, addr, what, sizeof(what));
	if (v == WRITE_ONLY)
		vm_fault(r, FAULT_ACCESS, addr, (u32)size, "load of %llu bytes at %s: write-only", (unsigned long long)size, what);
	else if (v == READABLE)
		vm_fault(r, FAULT_READ_ONLY, addr, (u32)size, "store of %llu bytes at %s: read-only", (unsigned long long)size, what);
	else
		vm_fault(r, FAULT_ACCESS, addr, (u32)size, "%s of %llu bytes at %s", write ? "store" : "load",
			 (unsigned long long)size, what);
	return -EFAULT;
}

/* ---- context ---- */

static int bad_ctx(struct run *r, u32 off, u32 size, const char *what)
{
	vm_fault(r, FAULT_CTX, (u64)(uintptr_t)r->ctx.bytes + off, size, "invalid bpf_context access off=%u size=%u: %s of %s", off,
		 size, what, r->ctx.type->name);
	return -EFAULT;
}

static const struct ctx_field *ctx_field(struct run *r, u32 off, u32 size, bool write)
{
	return ctx_access(r->ctx.type, r->prog->attach_type, off, size, write, true);
}

static u64 load_at(const u8 *at, u32 size)
{
	return size == 1 ? *at : size == 2 ? LOAD_AS(u16, at) : size == 4 ? LOAD_AS(u32, at) : LOAD_AS(u64, at);
}

int vm_ctx_load(struct run *r, u32 off, u32 size, u64 *out)
{
	const struct ctx_field *f;
	const struct packet *p = r->ctx.packet;

	if (r->prog->kind->flags & PT_CTX_BTF && off <= r->ctx.size && size <= r->ctx.size - off) { /* which arguments there are is a matter of types */
		*out = load_at(r->ctx.bytes + off, size);
		return 0;
	}
	f = ctx_field(r, off, size, false);
	if (!f)
		return bad_ctx(r, off, size, "nothing that programs of this type may load");
	if (f->kind == CTX_PLAIN) {
		*out = load_at(r->ctx.bytes + off, size);
		return 0;
	}
	if (f->kind == CTX_POINTER && f->access & CTX_MAYBE_NULL) {
		*out = r->ctx.type->flags & CTX_TYPE_POINTERS ? load_at(r->ctx.bytes + off, size) : 0; /* NULL: no run has such an object */
		return 0;
	}
	if (f->kind == CTX_POINTER || !p)
		return bad_ctx(r, off, size, "a pointer that this run does not have");
	*out = (u64)(uintptr_t)(f->kind == CTX_DATA ? p->data : f->kind == CTX_DATA_END ? p->tail : p->meta);
	return 0;
}

int vm_ctx_store(struct run *r, u32 off, u32 size, u64 value)
{
	const struct ctx_field *f = ctx_field(r, off, size, true);

	if (!f || f->kind != CTX_PLAIN)
		return bad_ctx(r, off, size, "nothing that programs of this type may store to");
	memcpy(r->ctx.bytes + off, &value, size);
	return 0;
}

/* ---- helper arguments ---- */

struct args {
	struct run *r;
	const struct helper_proto *proto;
	u64 *value; /* in: registers; out: what the body gets */
	u32 at;
	struct map *map;
	u64 record_size;
};

static int bad_arg(struct args *a, const char *expected)
{
	vm_fault(a->r, FAULT_ARGUMENT, a->value[a->at], 0, "bpf_%s: argument %u is 0x%llx, expected %s", a->proto->name, a->at + 1,
		 (unsigned long long)a->value[a->at], expected);
	return -EFAULT;
}

static int check_memory(struct args *a, u64 size, bool write)
{
	struct run *r = a->r;

	if (vm_check(r, a->value[a->at], size, write) == 0)
		return 0;
	if (r->fault.code == FAULT_ACCESS || r->fault.code == FAULT_READ_ONLY) {
		char why[128];

		snprintf(why, sizeof(why), "%s", strchr(r->fault.text, ':') + 2);
		r->fault.code = FAULT_NONE;
		vm_fault(r, FAULT_ARGUMENT, a->value[a->at], (u32)size, "bpf_%s: argument %u: %s", a->proto->name, a->at + 1, why);
	}
	return -EFAULT;
}

static int check_sized(struct args *a, u32 arg, bool write)
{
	u64 size = a->value[a->at + 1];
	u32 size_kind = a->proto->args[a->at + 1] & ARG_KIND_MASK;

	size = (u32)size == size || (s64)size < 0 ? size : UINT64_MAX;
	if (size == 0 && size_kind == ARG_SIZE_0)
		return 0;
	if (a->value[a->at] == 0 && arg & ARG_NULLABLE)
		return 0;
	if (size == 0 || size > INT32_MAX) {
		a->at++;
		return bad_arg(a, size_kind == ARG_SIZE ? "a size from 1 on" : "a size from 0 on");
	}
	return check_memory(a, size, write);
}

static int check_string(struct args *a)
{
	struct map *m = map_of(a->r, a->value[a->at]);
	u64 addr = a->value[a->at];

	if (!m || !(m->spec.flags & BPF_F_RDONLY_PROG))
		return bad_arg(a, "a string in read-only map memory (a constant)");
	for (u64 n = 0; vm_readable(a->r, addr + n, 1); n++)
		if (*(const char *)(uintptr_t)(addr + n) == 0)
			return 0;
	return bad_arg(a, "a string that ends with a zero byte");
}

static int check_record(struct args *a)
{
	struct run *r = a->r;

	for (u32 i = 0; i < r->n_records; i++)
		if ((u64)(uintptr_t)r->records[i].at == a->value[a->at])
			return 0;
	return bad_arg(a, "a reserved record that was not released");
}

static int check_lock(struct args *a)
{
	struct map *m = map_of(a->r, a->value[a->at]);

	if (a->r->host->heap && heap_has(a->r->host->heap, (const void *)(uintptr_t)a->value[a->at], 4) && a->value[a->at] % 4 == 0)
		return 0;
	if (!m || !m->record.spin_lock || a->value[a->at] % 4)
		return bad_arg(a, "a struct bpf_spin_lock in a map value");
	return check_memory(a, 4, true);
}

static int check_one(struct args *a, u32 arg)
{
	u64 v = a->value[a->at];
	u32 kind = arg & ARG_KIND_MASK;

	switch ((enum arg_kind)kind) {
	case ARG_CTX: return v == (u64)(uintptr_t)a->r->ctx.bytes ? 0 : bad_arg(a, "the program's context");
	case ARG_MAP_HANDLE:
		a->map = vm_map(a->r, v);
		if (!a->map)
			return bad_arg(a, "a map");
		if (!map_can(a->map, arg >> ARG_PARAM_SHIFT)) {
			vm_fault(a->r, FAULT_ARGUMENT, v, 0, "cannot pass map_type %u (%s) into func bpf_%s#%u", a->map->spec.kind,
				 a->map->info->name, a->proto->name, a->proto->id);
			return -EFAULT;
		}
		a->value[a->at] = (u64)(uintptr_t)a->map;
		return 0;
	case ARG_KEY: return check_memory(a, a->map->spec.key_size, false);
	case ARG_VALUE: return check_memory(a, a->map->spec.value_size, false);
	case ARG_VALUE_OUT: return check_memory(a, a->map->spec.value_size, true);
	case ARG_MEM: return check_sized(a, arg, false);
	case ARG_MEM_OUT:
	case ARG_MEM_RW: return check_sized(a, arg, true);
	case ARG_FIXED: return check_memory(a, arg >> ARG_PARAM_SHIFT, false);
	case ARG_FIXED_OUT:
	case ARG_FIXED_RW: return check_memory(a, arg >> ARG_PARAM_SHIFT, true);
	case ARG_CSTRING: return check_string(a);
	case ARG_CALLBACK:
		if (v >> FUNC_TAG_SHIFT != FUNC_TAG || (u32)v >= a->r->prog->n || subprog_at(a->r->prog, (u32)v)->start != (u32)v)
			return bad_arg(a, "a function of the program");
		a->value[a->at] = (u32)v;
		return 0;
	case ARG_RECORD: return check_record(a);
	case ARG_SPIN_LOCK: return check_lock(a);
	case ARG_ALLOC_SIZE: a->record_size = v; return 0;
	default: return 0;
	}
}

int vm_check_args(struct run *r, const struct helper_proto *proto, u64 value[5], u32 written, struct map **map, u64 *record_size)
{
	struct args a = {.r = r, .proto = proto, .value = value};

	for (; a.at < 5 && proto->args[a.at] != ARG_NONE; a.at++) {
		int err;

		if (!(written >> (a.at + 1) & 1)) {
			vm_fault(r, FAULT_UNINIT, 0, 0, "R%u !read_ok: argument %u of bpf_%s was never written", a.at + 1, a.at + 1,
				 proto->name);
			return -EFAULT;
		}
		err = check_one(&a, proto->args[a.at]);
		if (err)
			return err;
	}
	*map = a.map;
	*record_size = a.record_size;
	return 0;
}
