/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CO-RE relocations (struct bpf_core_relo): a number in an instruction that depends on how the kernel's types are laid out, computed anew from the
 * kernel's BTF. A field, type or value that the kernel lacks makes the instruction one that cannot run; where it is never reached that does no harm.
 * Errors, their order and their texts are Linux's (6.18).
 */
#include "btf/relo.h"
#include "isa/isa.h"

#include <linux/bpf.h>

static const struct {
	const char *name;
	u8 about;
} kinds[] = {
	[BPF_CORE_FIELD_BYTE_OFFSET] = {"byte_off", ABOUT_FIELD},
	[BPF_CORE_FIELD_BYTE_SIZE] = {"byte_sz", ABOUT_FIELD},
	[BPF_CORE_FIELD_EXISTS] = {"field_exists", ABOUT_FIELD},
	[BPF_CORE_FIELD_SIGNED] = {"signed", ABOUT_FIELD},
	[BPF_CORE_FIELD_LSHIFT_U64] = {"lshift_u64", ABOUT_FIELD},
	[BPF_CORE_FIELD_RSHIFT_U64] = {"rshift_u64", ABOUT_FIELD},
	[BPF_CORE_TYPE_ID_LOCAL] = {"local_type_id", ABOUT_TYPE},
	[BPF_CORE_TYPE_ID_TARGET] = {"target_type_id", ABOUT_TYPE},
	[BPF_CORE_TYPE_EXISTS] = {"type_exists", ABOUT_TYPE},
	[BPF_CORE_TYPE_SIZE] = {"type_size", ABOUT_TYPE},
	[BPF_CORE_ENUMVAL_EXISTS] = {"enumval_exists", ABOUT_VALUE},
	[BPF_CORE_ENUMVAL_VALUE] = {"enumval_value", ABOUT_VALUE},
	[BPF_CORE_TYPE_MATCHES] = {"type_matches", ABOUT_TYPE},
};

enum relo_about relo_about(u32 kind)
{
	return kind < ARRAY_SIZE(kinds) ? kinds[kind].about : ABOUT_NOTHING;
}

const char *relo_kind_name(u32 kind)
{
	return kind < ARRAY_SIZE(kinds) ? kinds[kind].name : "unknown";
}

/* What a path comes to. */
struct value {
	u64 value;
	bool missing; /* there is nothing there, and the kind needs it */
	bool fixed; /* compilers agree on it: the instruction must hold it */
	u32 size, type; /* of the field, where the offset of a load or store is relocated */
};

struct relo {
	const struct bpf_core_relo *r;
	u32 n; /* its number */
	struct text *log;
	struct value old, new;
	bool other_size; /* the field has another size, and cannot be read in that */
};

#define SAY(relo, fmt, ...) text_addf((relo)->log, "prog '': relo #%u: " fmt, (relo)->n, __VA_ARGS__)

/* ---- values ---- */

static int bit_field(struct relo *x, u32 bits, u32 width, u32 *size, u32 *offset)
{
	*offset = bits / 8 / *size * *size;
	while (bits + width - *offset * 8 > *size * 8) { /* the smallest load that holds it */
		if (*size >= 8) {
			text_addf(x->log, "prog '': relo %u at insn #%u can't be satisfied for bitfield\n", x->r->kind, x->r->insn_off / 8);
			return -E2BIG;
		}
		*size *= 2;
		*offset = bits / 8 / *size * *size;
	}
	return 0;
}

static int element_value(struct relo *x, const struct relo_path *p, struct value *v)
{
	const struct relo_step *last = &p->step[p->n - 1];
	s64 size = btf_size(p->btf, last->type);

	if (x->r->kind != BPF_CORE_FIELD_BYTE_OFFSET && x->r->kind != BPF_CORE_FIELD_BYTE_SIZE) {
		text_addf(x->log, "prog '': relo %u at insn #%u can't be applied to array access\n", x->r->kind, x->r->insn_off / 8);
		return -EINVAL;
	}
	if (size < 0)
		return -EINVAL;
	if (x->r->kind == BPF_CORE_FIELD_BYTE_SIZE) {
		v->value = (u64)size;
		return 0;
	}
	v->value = p->bits / 8;
	v->size = (u32)size;
	v->type = last->type;
	return 0;
}

static bool is_signed(const struct btf_type *t)
{
	return (btf_is_enum_any(t) && BTF_INFO_KFLAG(t->info)) || (btf_is_int(t) && BTF_INT_ENCODING(*(const u32 *)(t + 1)) & BTF_INT_SIGNED);
}

static int member_value(struct relo *x, const struct relo_path *p, struct value *v)
{
	const struct relo_step *last = &p->step[p->n - 1];
	const struct btf_type *in = btf_type(p->btf, last->type), *t;
	const struct btf_member *m = btf_members_of(in) + last->index;
	u32 width = btf_member_bitfield(in, m), type, size, offset = p->bits / 8;

	t = btf_skip_modifiers(p->btf, m->type, &type);
	v->fixed = !width || x->r->kind == BPF_CORE_FIELD_SIGNED || x->r->kind == BPF_CORE_FIELD_RSHIFT_U64;
	if (width) {
		int err;

		size = t ? t->size : 0;
		err = size ? bit_field(x, p->bits, width, &size, &offset) : -EINVAL;
		if (err)
			return err;
	} else {
		s64 bytes = btf_size(p->btf, type);

		if (bytes < 0)
			return -EINVAL;
		size = (u32)bytes;
	}
	switch (x->r->kind) {
	case BPF_CORE_FIELD_BYTE_OFFSET:
		v->value = offset;
		v->size = width ? 0 : size;
		v->type = width ? 0 : type;
		return 0;
	case BPF_CORE_FIELD_BYTE_SIZE: v->value = size; return 0;
	case BPF_CORE_FIELD_SIGNED: v->value = is_signed(t); return 0;
	case BPF_CORE_FIELD_LSHIFT_U64: v->value = 64 - (p->bits + (width ? width : size * 8) - offset * 8); return 0;
	default: v->value = 64 - (width ? width : size * 8); return 0;
	}
}

static int field_value(struct relo *x, const struct relo_path *p, struct value *v)
{
	if (x->r->kind == BPF_CORE_FIELD_EXISTS) {
		v->value = p != NULL;
		return 0;
	}
	v->missing = !p;
	return !p ? 0 : p->step[p->n - 1].name ? member_value(x, p, v) : element_value(x, p, v);
}

static int type_value(struct relo *x, const struct relo_path *p, struct value *v)
{
	s64 size;

	if (!p)
		return 0;
	switch (x->r->kind) {
	case BPF_CORE_TYPE_ID_TARGET:
		v->value = p->root;
		v->fixed = false;
		return 0;
	case BPF_CORE_TYPE_SIZE:
		size = btf_size(p->btf, p->root);
		v->value = (u64)size;
		return size < 0 ? -EINVAL : 0;
	default: v->value = 1; return 0;
	}
}

static int enum_value(struct relo *x, const struct relo_path *p, struct value *v)
{
	const struct btf_type *t = p ? btf_type(p->btf, p->step[0].type) : NULL;
	const u32 *w;

	if (x->r->kind == BPF_CORE_ENUMVAL_EXISTS) {
		v->value = p != NULL;
		return 0;
	}
	v->missing = !p;
	if (!p)
		return 0;
	if (btf_kind_of(t) == BTF_KIND_ENUM) {
		w = (const u32 *)(t + 1) + p->step[0].index * 2u;
		v->value = (u64)(s64)(s32)w[1];
	} else {
		w = (const u32 *)(t + 1) + p->step[0].index * 3u;
		v->value = (u64)w[2] << 32 | w[1];
	}
	return 0;
}

static int value_of(struct relo *x, const struct relo_path *p, struct value *v)
{
	*v = (struct value){.fixed = true};
	switch (relo_about(x->r->kind)) {
	case ABOUT_FIELD: return field_value(x, p, v);
	case ABOUT_TYPE: return type_value(x, p, v);
	default: return enum_value(x, p, v);
	}
}

/* A load of another size gives the same number only for pointers and for numbers without a sign. */
static bool sizes_fit(const struct relo *x, const struct relo_path *local, const struct relo_path *found)
{
	const struct btf_type *a, *b;

	if (!found || x->old.size == x->new.size)
		return true;
	a = btf_type(local->btf, x->old.type);
	b = btf_type(found->btf, x->new.type);
	if (btf_is_ptr(a) && btf_is_ptr(b))
		return true;
	return btf_is_int(a) && btf_is_int(b) && BTF_INT_ENCODING(*(const u32 *)(a + 1)) != BTF_INT_SIGNED && BTF_INT_ENCODING(*(const u32 *)(b + 1)) != BTF_INT_SIGNED;
}

static int compute(struct relo *x, const struct relo_path *local, const struct relo_path *found)
{
	int err = value_of(x, local, &x->old);

	err = err ? err : value_of(x, found, &x->new);
	x->other_size = !err && !x->new.missing && relo_about(x->r->kind) == ABOUT_FIELD && !sizes_fit(x, local, found);
	return err;
}

/* ---- candidates ---- */

static bool is_candidate(const struct btf *kernel, u32 id, u32 kind, const char *name)
{
	const struct btf_type *t = btf_type(kernel, id);

	return t && btf_kind_of(t) == kind && relo_names_equal(name, btf_name_of(kernel, t));
}

/* The next one in b's own types, from id on; 0: none. */
static u32 next_candidate(const struct btf *b, u32 id, u32 kind, const char *name)
{
	for (id = MAX(id, MAX(b->first_id, 1u)); id < btf_type_count(b); id++)
		if (is_candidate(b, id, kind, name))
			return id;
	return 0;
}

/* Modules count where the kernel itself has no type of that name. */
static void narrow(struct btf_kernels *in, u32 kind, const char *name)
{
	if (in->n && next_candidate(in->at[0], 0, kind, name))
		in->n = 1;
}

static int say_candidates(struct relo *x, const struct btf_kernels *in, u32 kind, const char *name)
{
	if (!in->n || !*name) {
		text_addf(x->log, "target candidate search failed for %u\n", x->r->type_id);
		return -EINVAL;
	}
	for (u32 i = 0; i < in->n; i++)
		for (u32 id = 0; (id = next_candidate(in->at[i], id, kind, name)); id++)
			text_addf(x->log, "CO-RE relocating %s %.*s: found target candidate [%u]\n", btf_kind_name(kind), (int)btf_flavorless(name), name, id);
	return 0;
}

static int ambiguous(struct relo *x, const struct relo *first, const struct relo_path *found, u32 bits)
{
	if (found->bits != bits) {
		SAY(x, "field offset ambiguity: %u != %u\n", found->bits, bits);
		return -EINVAL;
	}
	if (x->new.missing == first->new.missing && x->new.value == first->new.value)
		return 0;
	SAY(x, "relocation decision ambiguity: %s %llu != %s %llu\n", x->new.missing ? "failure" : "success", (unsigned long long)x->new.value,
	    first->new.missing ? "failure" : "success", (unsigned long long)first->new.value);
	return -EINVAL;
}

struct among {
	struct relo first;
	u32 n, fitting, bits;
};

static int try_candidate(struct relo *x, struct among *a, const struct relo_path *local, const struct btf *kernel, u32 id)
{
	struct relo_path found;
	int err, fits = relo_path_find(local, kernel, id, &found);

	if (fits < 0) {
		SAY(x, "error matching candidate #%u ", a->n);
		relo_path_print(x->log, &found);
		text_addf(x->log, ": %d\n ", fits);
		return fits;
	}
	SAY(x, "%s candidate #%u ", fits ? "matching" : "non-matching", a->n++);
	relo_path_print(x->log, &found);
	text_add(x->log, "\n");
	if (!fits)
		return 0;
	err = compute(x, local, &found);
	err = err ? err : a->fitting ? ambiguous(x, &a->first, &found, a->bits) : 0;
	if (!err && !a->fitting++) {
		a->first = *x;
		a->bits = found.bits;
	}
	return err;
}

/* All of the kernel's types of that name must lead to one answer. */
static int among_candidates(struct relo *x, const struct relo_path *local, const struct btf_kernels *in, u32 kind, const char *name)
{
	struct among a = {.first = *x};

	for (u32 i = 0; i < in->n; i++)
		for (u32 id = 0; (id = next_candidate(in->at[i], id, kind, name)); id++) {
			int err = try_candidate(x, &a, local, in->at[i], id);

			if (err)
				return err;
		}
	if (a.fitting) {
		*x = a.first;
		return 0;
	}
	SAY(x, "%s\n", "no matching targets found");
	return compute(x, local, NULL);
}

/* ---- instructions ---- */

static int poison(struct relo *x, struct raw_insn *at)
{
	enum { BAD_RELO = 195896080 }; /* 0xbad2310: no helper has that number */

	for (u32 i = at->code == 0x18 ? 2 : 1; i-- > 0;) {
		SAY(x, "substituting insn #%u w/ invalid insn\n", x->r->insn_off / 8 + i);
		at[i] = (struct raw_insn){.code = 0x85, .imm = BAD_RELO};
	}
	return 0;
}

static int unexpected(struct relo *x, const char *what, u64 got)
{
	SAY(x, "unexpected insn #%u (%s) value: got %llu, exp %llu -> %llu\n", x->r->insn_off / 8, what, (unsigned long long)got,
	    (unsigned long long)x->old.value, (unsigned long long)x->new.value);
	return -EINVAL;
}

static int patch_alu(struct relo *x, struct raw_insn *at)
{
	s32 was = at->imm;

	if (x->old.fixed && (u64)(s64)at->imm != x->old.value)
		return unexpected(x, "ALU/ALU64", (u32)at->imm);
	at->imm = (s32)(u32)x->new.value;
	SAY(x, "patched insn #%u (ALU/ALU64) imm %llu -> %llu\n", x->r->insn_off / 8, (unsigned long long)(s64)was, (unsigned long long)x->new.value);
	return 0;
}

static int patch_size(struct relo *x, struct raw_insn *at)
{
	static const u8 sizes[] = {4, 2, 1, 8};
	u32 size = sizes[at->code >> 3 & 3], code = 0;

	if (size != x->old.size) {
		SAY(x, "insn #%u (LDX/ST/STX) unexpected mem size: got %u, exp %u\n", x->r->insn_off / 8, size, x->old.size);
		return -EINVAL;
	}
	while (code < 4 && sizes[code] != x->new.size)
		code++;
	if (code == 4) {
		SAY(x, "insn #%u (LDX/ST/STX) invalid new mem size: %u\n", x->r->insn_off / 8, x->new.size);
		return -EINVAL;
	}
	at->code = (u8)((at->code & 0xe7u) | code << 3);
	SAY(x, "patched insn #%u (LDX/ST/STX) mem_sz %u -> %u\n", x->r->insn_off / 8, x->old.size, x->new.size);
	return 0;
}

static int patch_memory(struct relo *x, struct raw_insn *at)
{
	s16 was = at->off;

	if (x->old.fixed && (u64)(s64)at->off != x->old.value)
		return unexpected(x, "LDX/ST/STX", (u64)(u32)at->off);
	if (x->new.value > INT16_MAX) {
		SAY(x, "insn #%u (LDX/ST/STX) value too big: %llu\n", x->r->insn_off / 8, (unsigned long long)x->new.value);
		return -ERANGE;
	}
	if (x->other_size) {
		SAY(x, "insn #%u (LDX/ST/STX) accesses field incorrectly. Make sure you are accessing pointers, unsigned integers, or fields of matching type and size.\n",
		    x->r->insn_off / 8);
		return poison(x, at);
	}
	at->off = (s16)x->new.value;
	SAY(x, "patched insn #%u (LDX/ST/STX) off %llu -> %llu\n", x->r->insn_off / 8, (unsigned long long)(s64)was, (unsigned long long)x->new.value);
	return x->new.size != x->old.size ? patch_size(x, at) : 0;
}

static int patch_constant(struct relo *x, struct raw_insn *at)
{
	u64 was = (u32)at[0].imm | (u64)(u32)at[1].imm << 32;

	if (x->old.fixed && was != x->old.value)
		return unexpected(x, "LDIMM64", was);
	at[0].imm = (s32)(u32)x->new.value;
	at[1].imm = (s32)(u32)(x->new.value >> 32);
	SAY(x, "patched insn #%u (LDIMM64) imm64 %llu -> %llu\n", x->r->insn_off / 8, (unsigned long long)was, (unsigned long long)x->new.value);
	return 0;
}

static int unrecognised(struct relo *x, const struct raw_insn *at)
{
	SAY(x, "trying to relocate unrecognized insn #%u, code:0x%x, src:0x%x, dst:0x%x, off:0x%x, imm:0x%x\n", x->r->insn_off / 8, at->code, at->regs >> 4,
	    at->regs & 15u, (u32)(s32)at->off, (u32)at->imm);
	return -EINVAL;
}

static int patch(struct relo *x, struct raw_insn *at, u32 left)
{
	enum { LD, LDX, ST, STX, ALU, ALU64 = 7 };
	u32 class = at->code & 7;
	bool odd = at->code != 0x18 || at->regs >> 4 || at->off || left < 2 || at[1].code || at[1].regs || at[1].off;

	if (class == LD && odd) {
		SAY(x, "insn #%u (LDIMM64) has unexpected form\n", x->r->insn_off / 8);
		return -EINVAL;
	}
	if ((class == ALU || class == ALU64) && at->code & 0x08)
		return -EINVAL;
	if (class > ALU && class != ALU64)
		return unrecognised(x, at);
	if (x->new.missing || x->old.missing)
		return poison(x, at);
	return class == LD ? patch_constant(x, at) : class < ALU ? patch_memory(x, at) : patch_alu(x, at);
}

int btf_relocate(const struct btf *local, struct btf_kernels in, const struct bpf_core_relo *r, u32 n, struct raw_insn *insns, u32 n_insns, struct text *log)
{
	struct relo x = {.r = r, .n = n, .log = log};
	struct relo_path path;
	const struct btf_type *t = btf_type(local, r->type_id);
	const char *name = btf_name_of(local, t);
	int err;

	if (!t && r->type_id) {
		text_addf(log, "relo #%u: bad type id %u\n", n, r->type_id);
		return -EINVAL;
	}
	narrow(&in, btf_kind_of(t), name);
	err = r->kind == BPF_CORE_TYPE_ID_LOCAL ? 0 : say_candidates(&x, &in, btf_kind_of(t), name);
	if (err)
		return err;
	err = relo_path_read(&path, local, r, log);
	if (err) {
		bool valid = btf_string_valid(local, r->access_str_off);

		SAY(&x, "parsing [%u] %s %s + %s failed: %d\n", r->type_id, btf_kind_name(btf_kind_of(t)), *name ? name : "<anon>",
		    valid ? btf_string(local, r->access_str_off) : "<?>", err);
		return -EINVAL;
	}
	SAY(&x, "%s", "");
	relo_path_print(log, &path);
	text_add(log, "\n");
	if (r->kind == BPF_CORE_TYPE_ID_LOCAL)
		x.old = x.new = (struct value){.value = r->type_id};
	else
		err = among_candidates(&x, &path, &in, btf_kind_of(t), name);
	return err ? err : patch(&x, insns + r->insn_off / 8, n_insns - r->insn_off / 8);
}
