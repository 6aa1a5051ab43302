/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a program says about itself in BTF: a FUNC for every function, a line of source for instructions. Records are read one at a
 * time, as many as can be right: a count is a client's claim. Checks, their order and their texts are Linux's.
 */
#include "engine/engine.h"

#include <linux/bpf.h>

#define PTR(x) ((void *)(uintptr_t)(x))

enum { MOST_RECORD = 252 };

/* The log gets just that: some of Linux's lines do not end. */
PRINTF_LIKE(3, 4) static int refuse(struct load *l, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_addv(&l->log.text, fmt, ap);
	va_end(ap);
	return err;
}

struct records {
	const u8 *at;
	u32 each, known; /* bytes of one; those that we know */
	const char *what;
	u32 *size; /* the attribute: becomes what we know, when records have more */
};

static int next_record(struct load *l, struct records *r, void *to)
{
	memset(to, 0, r->known);
	if (!r->at)
		return -EFAULT;
	for (u32 i = r->known; i < r->each; i++)
		if (r->at[i]) {
			*r->size = r->known;
			return refuse(l, -E2BIG, "nonzero tailing record in %s", r->what);
		}
	memcpy(to, r->at, MIN(r->known, r->each));
	r->at += r->each;
	return 0;
}

/* ---- functions ---- */

static int check_func(struct load *l, const struct bpf_func_info *f, u32 i, u32 before)
{
	if (i == 0 && f->insn_off)
		return refuse(l, -EINVAL, "nonzero insn_off %u for the first func info record", f->insn_off);
	if (i && f->insn_off <= before)
		return refuse(l, -EINVAL, "same or smaller insn offset (%u) than previous func info record (%u)", f->insn_off, before);
	if (!btf_func_proto(l->p->btf, f->type_id))
		return refuse(l, -EINVAL, "invalid type id %d in func info", (s32)f->type_id);
	return 0;
}

static int take_functions(struct load *l)
{
	struct attr_prog_load *a = (struct attr_prog_load *)l->attr;
	struct records r = {PTR(a->func_info), a->func_info_rec_size, sizeof(struct bpf_func_info), "func info", &a->func_info_rec_size};
	struct bpf_func_info *to, f;
	u32 before = 0;

	if (!a->func_info_cnt)
		return 0;
	if (r.each < r.known || r.each > MOST_RECORD || r.each % sizeof(u32))
		return refuse(l, -EINVAL, "invalid func info rec size %u\n", r.each);
	to = arena_array(&l->p->arena, MIN(a->func_info_cnt, (u32)PROG_MAX_SUBPROGS), sizeof(*to));
	if (!to)
		return -ENOMEM;
	for (u32 i = 0; i < a->func_info_cnt; i++) {
		int err = next_record(l, &r, &f);

		err = err ? err : check_func(l, &f, i, before);
		if (err)
			return err;
		before = f.insn_off;
		if (i < PROG_MAX_SUBPROGS) /* more of them than functions are refused later */
			to[i] = f;
	}
	l->p->func_info = to;
	l->p->n_func_info = MIN(a->func_info_cnt, (u32)PROG_MAX_SUBPROGS);
	return 0;
}

/* The function that handles exceptions: named by a tag of the main function, found among the records. */
static int take_exception_callback(struct load *l)
{
	struct prog *p = l->p;
	u32 n = 0;
	const char *name = p->n_func_info ? btf_tag_value(p->btf, ((const struct bpf_func_info *)p->func_info)[0].type_id, -1, "exception_callback:", &n) : NULL;
	s32 id;

	if (n > 1)
		return refuse(l, -EEXIST, "multiple exception callback tags for main subprog\n");
	if (!name)
		return 0;
	id = btf_find(p->btf, name, BTF_KIND_FUNC);
	if (id < 0)
		return refuse(l, id, "exception callback '%s' could not be found in BTF\n", name);
	if (btf_func_linkage(p->btf, (u32)id) != BTF_FUNC_GLOBAL)
		return refuse(l, -EINVAL, "exception callback '%s' must have global linkage\n", name);
	for (u32 i = 0; i < p->n_func_info; i++) {
		const struct bpf_func_info *f = (const struct bpf_func_info *)p->func_info + i;

		if (f->type_id != (u32)id)
			continue;
		if (f->insn_off == 0)
			return refuse(l, -EINVAL, "invalid exception callback insn_off in func_info: 0\n");
		p->exception_start = f->insn_off;
	}
	return p->exception_start ? 0 : refuse(l, -EINVAL, "exception callback type id not found in func_info\n");
}

int take_types(struct load *l)
{
	const struct attr_prog_load *a = l->attr;
	struct prog *p = l->p;
	int err;

	if (!a->func_info_cnt && !a->line_info_cnt)
		return 0;
	err = obj_by_fd(l->k, (int)a->prog_btf_fd, OBJ_BTF, 0, &p->btf_owner);
	if (err)
		return err;
	p->btf = p->btf_owner->body;
	p->btf_id = p->btf_owner->id;
	err = p->btf->kernel ? -EACCES : take_functions(l);
	return err ? err : take_exception_callback(l);
}

/* Loads from the packet and tail calls end the program from within a function: what it gives its caller then must be a number. */
static bool ends_program(struct load *l, const struct subprog *s, bool tail_calls)
{
	for (u32 i = s->start; i < s->end; i++) {
		const struct insn *in = &l->p->insns[i];
		const struct helper_proto *h = NULL;

		if (!tail_calls && (in->op == OP_LD_ABS || in->op == OP_LD_IND))
			return true;
		if (tail_calls && in->op == OP_CALL && in->pseudo != CALL_SUBPROG && in->pseudo != CALL_KFUNC && in->imm > 0 && in->imm <= UINT32_MAX)
			h = helper_proto((u32)in->imm);
		if (h && h->effects & EFFECT_TAIL_CALL)
			return true;
	}
	return false;
}

static int without_types(struct load *l)
{
	for (u32 i = 1; i < l->p->n_subprogs; i++) {
		if (ends_program(l, &l->p->subprogs[i], false))
			return refuse(l, -EINVAL, "LD_ABS is not allowed in subprogs without BTF\n");
		if (ends_program(l, &l->p->subprogs[i], true))
			return refuse(l, -EINVAL, "tail_call is not allowed in subprogs without BTF\n");
	}
	return 0;
}

static int match_functions(struct load *l)
{
	const struct bpf_func_info *f = l->p->func_info;
	struct prog *p = l->p;

	if (l->attr->func_info_cnt != p->n_subprogs)
		return refuse(l, -EINVAL, "number of funcs in func_info doesn't match number of subprogs\n");
	for (u32 i = 0; i < p->n_subprogs; i++) {
		struct subprog *s = &p->subprogs[i];
		const struct btf_type *ret;

		if (f[i].insn_off != s->start)
			return refuse(l, -EINVAL, "func_info BTF section doesn't match subprog layout in BPF program\n");
		s->btf_id = f[i].type_id;
		s->name = btf_name_of(p->btf, btf_type(p->btf, s->btf_id));
		ret = btf_skip_modifiers(p->btf, btf_func_proto(p->btf, s->btf_id)->type, NULL);
		if (!i || btf_is_small_int(ret) || btf_is_enum_any(ret))
			continue;
		if (ends_program(l, s, false))
			return refuse(l, -EINVAL, "LD_ABS is only allowed in functions that return 'int'.\n");
		if (ends_program(l, s, true))
			return refuse(l, -EINVAL, "tail_call is only allowed in functions that return 'int'.\n");
	}
	return 0;
}

/* ---- lines ---- */

static int check_line(struct load *l, const struct bpf_line_info *line, u32 i, u32 before)
{
	const struct prog *p = l->p;

	if ((i && line->insn_off <= before) || line->insn_off >= p->n)
		return refuse(l, -EINVAL, "Invalid line_info[%u].insn_off:%u (prev_offset:%u prog->len:%u)\n", i, line->insn_off, before, p->n);
	if (p->insns[line->insn_off].op == OP_PAD)
		return refuse(l, -EINVAL, "Invalid insn code at line_info[%u].insn_off\n", i);
	if (!btf_string_valid(p->btf, line->line_off) || !btf_string_valid(p->btf, line->file_name_off))
		return refuse(l, -EINVAL, "Invalid line_info[%u].line_off or .file_name_off\n", i);
	return 0;
}

static int take_lines(struct load *l)
{
	struct attr_prog_load *a = (struct attr_prog_load *)l->attr;
	struct records r = {PTR(a->line_info), a->line_info_rec_size, sizeof(struct bpf_line_info), "line_info", &a->line_info_rec_size};
	struct bpf_line_info *to;
	struct prog *p = l->p;
	u32 n = MIN(a->line_info_cnt, p->n), func = 0;

	if (!a->line_info_cnt)
		return 0;
	if (a->line_info_cnt > INT32_MAX / sizeof(*to) || r.each < r.known || r.each > MOST_RECORD || r.each % sizeof(u32))
		return -EINVAL;
	to = arena_array(&p->arena, n + 1, sizeof(*to)); /* one more than can be right */
	if (!to)
		return -ENOMEM;
	for (u32 i = 0; i < a->line_info_cnt; i++) {
		int err = next_record(l, &r, &to[i]);

		err = err ? err : check_line(l, &to[i], i, i ? to[i - 1].insn_off : 0);
		if (err)
			return err;
		if (func == p->n_subprogs)
			continue;
		if (to[i].insn_off == p->subprogs[func].start)
			func++;
		else if (to[i].insn_off > p->subprogs[func].start)
			return refuse(l, -EINVAL, "missing bpf_line_info for func#%u\n", func);
	}
	if (func != p->n_subprogs)
		return refuse(l, -EINVAL, "missing bpf_line_info for %u funcs starting from func#%u\n", p->n_subprogs - func, func);
	p->line_info = to;
	p->n_line_info = n;
	return 0;
}

/* ---- relocations ---- */

static int kernel_types(struct load *l, struct btf_kernels *out)
{
	const struct btf *kernel = kernel_btf(l->k), **at;
	u32 modules = kernel ? kernel_modules(l->k) : 0;

	*out = (struct btf_kernels){0};
	if (!kernel)
		return 0;
	at = arena_array(&l->p->arena, modules + 1, sizeof(const struct btf *));
	if (!at)
		return -ENOMEM;
	at[0] = kernel;
	for (u32 i = 0; i < modules; i++)
		at[i + 1] = kernel_module(l->k, i);
	*out = (struct btf_kernels){at, modules + 1};
	return 0;
}

static int apply_relocations(struct load *l)
{
	struct attr_prog_load *a = (struct attr_prog_load *)l->attr;
	struct bpf_core_relo relo;
	struct records r = {PTR(a->core_relos), a->core_relo_rec_size, sizeof(relo), "core_relo", &a->core_relo_rec_size};
	struct prog *p = l->p;
	struct btf_kernels types;
	int failed = kernel_types(l, &types);

	if (failed)
		return failed;
	if (a->core_relo_cnt > INT32_MAX / sizeof(relo) || r.each < r.known || r.each > MOST_RECORD || r.each % sizeof(u32))
		return -EINVAL;
	for (u32 i = 0; i < a->core_relo_cnt; i++) {
		int err = next_record(l, &r, &relo);

		if (!err && (relo.insn_off % 8 || relo.insn_off / 8 >= p->n))
			err = refuse(l, -EINVAL, "Invalid core_relo[%u].insn_off:%u prog->len:%u\n", i, relo.insn_off, p->n);
		err = err ? err : btf_relocate(p->btf, types, &relo, i, (struct raw_insn *)p->raw, p->n, &l->log.text);
		if (err)
			return err;
	}
	return 0;
}

/* Relocations change instructions as they were passed; what has become of them is decoded again. */
int relocate(struct load *l)
{
	struct prog *p = l->p;
	struct insn_error wrong;
	int err;

	if (!l->attr->core_relo_cnt || !p->btf) /* Linux looks at them where there are records of functions or lines */
		return 0;
	p->relocated = true;
	err = apply_relocations(l);
	if (!err && insns_decode(p->raw, p->n, (struct insn *)p->insns, &wrong))
		err = load_refuse(l, -EINVAL, "%u: %s", wrong.insn, wrong.text);
	return err;
}

int match_types(struct load *l)
{
	int err = l->attr->func_info_cnt ? match_functions(l) : without_types(l);

	return err ? err : take_lines(l);
}
