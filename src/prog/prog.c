/* SPDX-License-Identifier: BSD-2-Clause */
/* The shape of a program: its functions, and its tag. */
#include "abi/abi.h"
#include "prog/prog.h"

#include <stdio.h>

PRINTF_LIKE(4, 5) static int refuse(struct insn_error *err, u32 insn, enum insn_wrong wrong, const char *fmt, ...)
{
	va_list ap;

	err->insn = insn;
	err->wrong = wrong;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* Where the function begins that a call or a function pointer at slot i names; -1: neither. */
static s64 function_named(const struct insn *insns, u32 i)
{
	const struct insn *in = &insns[i];

	if (in->op == OP_CALL && in->pseudo == CALL_SUBPROG)
		return in->target;
	if (in->op == OP_LD_IMM64 && in->pseudo == PSEUDO_FUNC)
		return (s64)i + 1 + (s32)(u32)(u64)in->imm;
	return -1;
}

static int mark_starts(const struct prog *p, u8 *start, u32 *count, struct insn_error *err)
{
	start[0] = 1;
	*count = 1;
	if (p->exception_start && p->exception_start < p->n && p->insns[p->exception_start].op != OP_PAD) {
		start[p->exception_start] = 1;
		++*count;
	}
	for (u32 i = 0; i < p->n; i++) {
		s64 at = function_named(p->insns, i);
		bool named = at != -1 || (p->insns[i].op == OP_LD_IMM64 && p->insns[i].pseudo == PSEUDO_FUNC);

		if (!named)
			continue;
		if (at < 0 || at >= p->n || p->insns[at].op == OP_PAD)
			return refuse(err, i, INSN_FUNCTION, "the function it names lies outside the program");
		*count += !start[at];
		start[at] = 1;
	}
	return 0;
}

static int check_function(const struct prog *p, const struct subprog *f, struct insn_error *err)
{
	const struct insn *last = &p->insns[f->end - 1];

	for (u32 i = f->start; i < f->end; i++) {
		const struct insn *in = &p->insns[i];

		if (in->target >= 0 && in->op != OP_CALL && ((u32)in->target < f->start || (u32)in->target >= f->end))
			return refuse(err, i, INSN_JUMP_RANGE, "jump out of range from insn %u to %d: into another function", i, in->target);
	}
	if (last->op != OP_EXIT && last->op != OP_JA)
		return refuse(err, f->end - 1, INSN_FUNCTION, "last insn is not an exit or jmp: the function runs off its end");
	return 0;
}

int subprogs_find(struct prog *p, struct insn_error *err)
{
	u8 *start = arena_alloc(&p->arena, p->n);
	struct subprog *f;
	u32 count, at = 0;
	int bad;

	if (!start)
		return -ENOMEM;
	bad = mark_starts(p, start, &count, err);
	if (bad)
		return bad;
	if (count > PROG_MAX_SUBPROGS) {
		refuse(err, 0, INSN_FUNCTION, "too many subprograms: %u, at most %d", count, PROG_MAX_SUBPROGS);
		return -E2BIG;
	}
	p->subprogs = f = arena_array(&p->arena, count, sizeof(*f));
	if (!f)
		return -ENOMEM;
	p->n_subprogs = count;
	for (u32 i = 0; i < p->n; i++)
		if (start[i])
			f[at++] = (struct subprog){.start = i};
	for (u32 i = 0; i < count; i++) {
		f[i].end = i + 1 < count ? f[i + 1].start : p->n;
		if (p->exception_start && f[i].start == p->exception_start)
			p->exception_callback = i;
		f[i].name = i ? arena_text(&p->arena, "func_%u", i) : "main";
		if (!f[i].name)
			return -ENOMEM;
		bad = check_function(p, &f[i], err);
		if (bad)
			return bad;
	}
	return 0;
}

const struct subprog *subprog_at(const struct prog *p, u32 insn)
{
	u32 low = 0, high = p->n_subprogs;

	while (high - low > 1) {
		u32 mid = (low + high) / 2;

		if (p->subprogs[mid].start <= insn)
			low = mid;
		else
			high = mid;
	}
	return &p->subprogs[low];
}

static bool names_map(const struct insn *in)
{
	return in->op == OP_LD_IMM64 && in->pseudo != PSEUDO_CONST && in->pseudo != PSEUDO_FUNC && in->pseudo != PSEUDO_BTF_ID;
}

static bool lies_in(const struct map *m, u64 addr)
{
	if (m->ops->traits & KIND_ARENA)
		return addr - map_arena_start(m) < (u64)m->spec.max_entries * 4096;
	return m->values && addr - (u64)(uintptr_t)m->values < m->spec.value_size;
}

u32 prog_map_named(const struct prog *p, u32 slot)
{
	const struct insn *in = &p->insns[slot];
	bool value = in->pseudo == PSEUDO_MAP_VALUE || in->pseudo == PSEUDO_MAP_IDX_VALUE;
	u64 v = p->operand[slot];
	u32 i = names_map(in) ? 0 : p->n_maps;

	while (i < p->n_maps && !(value ? lies_in(p->maps[i], v) : v == map_handle(p->maps[i])))
		i++;
	return i;
}

/* SHA-256 over the instructions with the descriptors of maps left out, as of Linux 6.18; those before it took SHA-1. */
int prog_tag(const struct raw_insn *raw, const struct insn *insns, u32 n, const struct mem *mem, u8 tag[8])
{
	struct raw_insn *copy = mem_copy(mem, raw, n * sizeof(*raw));
	u8 digest[32];

	if (!copy)
		return -ENOMEM;
	for (u32 i = 0; i + 1 < n; i++)
		if (names_map(&insns[i]))
			copy[i].imm = copy[i + 1].imm = 0;
	sha256_digest(copy, n * sizeof(*raw), digest);
	memcpy(tag, digest, 8);
	mem_free(mem, copy, n * sizeof(*raw));
	return 0;
}

/* As Linux names it: what profilers look for. */
void prog_symbol(const struct prog *p, u32 func, struct text *t)
{
	text_add(t, "bpf_prog_");
	for (u32 i = 0; i < sizeof(p->tag); i++)
		text_addf(t, "%02x", p->tag[i]);
	if (func || p->n_func_info)
		text_addf(t, "_%s", p->subprogs[func].name);
	else if (p->name[0])
		text_addf(t, "_%s", p->name);
}

u32 prog_code_size(const struct prog *p, u32 func)
{
	return (func + 1 < p->n_subprogs ? p->code->func[func + 1].start : p->code->size) - p->code->func[func].start;
}

static bool may_throw(const struct prog *p, u32 i)
{
	const struct insn *in = &p->insns[i];
	const struct prog_kfunc *k = (const struct prog_kfunc *)(uintptr_t)p->operand[i];

	if (in->op == OP_CALL && in->pseudo == CALL_KFUNC)
		return k && k->kfunc->role == KROLE_THROW;
	return in->op == OP_CALL && in->pseudo == CALL_SUBPROG && subprog_at(p, (u32)in->target)->throws;
}

void prog_note_throws(struct prog *p)
{
	bool again = true;

	while (again) {
		again = false;
		for (u32 f = 0; f < p->n_subprogs; f++)
			for (u32 i = p->subprogs[f].start; i < p->subprogs[f].end && !p->subprogs[f].throws; i++)
				if (may_throw(p, i))
					again = p->subprogs[f].throws = true;
	}
}
