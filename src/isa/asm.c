/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Assembler: the C-like text of the kernel's log and of LLVM, and the mnemonic form ("ldxw r1, [r2+8]").
 *
 * Key idea: each statement becomes one decoded struct insn and insn_encode() makes the bytes, so that encodings are
 * known in one place; what the encoder gives is decoded again at the end, which catches whatever has no encoding.
 * Statements end at a newline or a semicolon. Comments begin with //, with # after white space, or with a semicolon
 * where a line begins, as the C lines of the kernel's log and of "skep dump" do; the position and opcode that such
 * listings put before an instruction ("12: (b7)") are skipped, so that a listing can be assembled again.
 */
#include "isa/asm.h"

static bool push(struct parser *a, const struct insn *i, struct place at)
{
	u32 slots = i->op == OP_LD_IMM64 ? 2 : 1;

	for (u32 k = 0; k < slots; k++) {
		struct insn *to = vec_push(a->arena->mem, &a->insns);
		struct place *place = vec_push(a->arena->mem, &a->places);

		if (!to || !place)
			return a->no_memory = true, asm_fail(a, "out of memory");
		*to = k ? (struct insn){.op = OP_PAD, .target = -1} : *i;
		*place = at;
	}
	return true;
}

/* "12: (b7)" of a listing */
static bool take_position(struct parser *a)
{
	const char *p, *start;

	asm_skip(a);
	start = p = a->p;
	while (p < a->end && is_digit(*p))
		p++;
	if (p == a->p || p >= a->end || *p != ':')
		return false;
	a->p = p + 1;
	asm_skip(a);
	p = a->p;
	if (a->end - p > 4 && p[0] == '(' && is_word(p[1]) && is_word(p[2]) && p[3] == ')')
		a->p = p + 4;
	return a->p > start;
}

/* "name:" in front of a statement */
static bool take_label(struct parser *a)
{
	const char *start, *name;
	struct label *l;
	u32 len;

	asm_skip(a);
	start = a->p;
	len = asm_word(a, &name);
	if (!len || peek(a) != ':') {
		a->p = start;
		return false;
	}
	a->p++;
	l = vec_push(a->arena->mem, &a->labels);
	if (!l) {
		a->no_memory = true;
		return asm_fail(a, "out of memory");
	}
	*l = (struct label){name, len, a->insns.n, asm_place(a, start)};
	return true;
}

static bool parse_all(struct parser *a)
{
	while (a->p < a->end) {
		struct insn i = {.target = -1};
		struct place place;

		if (asm_at_end(a)) {
			if (a->p < a->end && *a->p++ == '\n') {
				a->line++;
				a->line_start = a->p;
			}
			continue;
		}
		if (take_position(a) || take_label(a))
			continue;
		place = asm_place(a, a->p);
		if (a->failed || !asm_statement(a, &i))
			return false;
		if (!asm_at_end(a))
			return asm_fail(a, "unexpected text after the instruction");
		if (!push(a, &i, place))
			return false;
	}
	return true;
}

/* Labels by name, in an open-addressed table with a keyed hash: many labels and many jumps stay linear, whoever
 * chose the names. */
struct names {
	struct hash_key key;
	u32 *slots; /* index of a label + 1 */
	u32 size;
};

static u32 *find_name(const struct parser *a, struct names *t, const char *name, u32 len)
{
	u32 h = (u32)hash_bytes(&t->key, name, MIN(len, (u32)HASH_MAX_KEY)) & (t->size - 1);

	for (; t->slots[h]; h = (h + 1) & (t->size - 1)) {
		const struct label *l = &a->labels.at[t->slots[h] - 1];

		if (l->len == len && !memcmp(l->name, name, len))
			break;
	}
	return &t->slots[h];
}

static bool fail_at(struct parser *a, struct place place, const char *what, const char *name, u32 len)
{
	asm_fail(a, "label \"%.*s\" %s", (int)MIN(len, 60u), name, what);
	a->err->line = place.line;
	a->err->column = place.column;
	return false;
}

/* "exit" names the last exit unless the text has such a label: the conformance suite's programs rely on it. */
static s64 last_exit(const struct parser *a)
{
	for (u32 at = a->insns.n; at > 0; at--)
		if (a->insns.at[at - 1].op == OP_EXIT)
			return at - 1;
	return -1;
}

static bool resolve(struct parser *a)
{
	s64 exit_at = last_exit(a);
	struct names t = {.size = (u32)round_up_pow2((u64)a->labels.n * 2 + 1)};

	t.slots = arena_array(a->arena, t.size, sizeof(u32));
	if (!t.slots)
		return a->no_memory = true, asm_fail(a, "out of memory");
	hash_key_init(&t.key, os_random() | 1);
	for (u32 k = 0; k < a->labels.n; k++) {
		const struct label *l = &a->labels.at[k];
		u32 *slot = find_name(a, &t, l->name, l->len);

		if (*slot)
			return fail_at(a, l->place, "is defined twice", l->name, l->len);
		*slot = k + 1;
	}
	vec_each(f, &a->fixups) {
		u32 found = *find_name(a, &t, f->name, f->len);
		struct insn *i = &a->insns.at[f->at];
		s64 at = found ? (s64)a->labels.at[found - 1].at : f->len == 4 && !memcmp(f->name, "exit", 4) ? exit_at : -1;

		if (at < 0)
			return fail_at(a, f->place, i->op == OP_CALL ? "is not defined; a helper is called by its number" : "is not defined", f->name, f->len);
		if (f->kind == FIX_FUNC)
			i->imm = (s64)(u64)(u32)(at - (s64)f->at - 1);
		else
			i->target = (s32)at;
	}
	return true;
}

static bool fail_slot(struct parser *a, u32 at, const char *text)
{
	asm_fail(a, "%s", text);
	a->err->line = a->insns.n ? a->places.at[MIN(at, a->insns.n - 1)].line : 1;
	a->err->column = a->insns.n ? a->places.at[MIN(at, a->insns.n - 1)].column : 1;
	return false;
}

/* Encodes, checks that jumps fit, and decodes again: what has no encoding is refused with its place. */
static bool finish(struct parser *a, struct raw_insn **out)
{
	struct raw_insn *raw = arena_array(a->arena, a->insns.n + 1, sizeof(*raw));
	struct insn *again = arena_array(a->arena, a->insns.n + 1, sizeof(*again));
	struct insn_error err;

	if (!raw || !again)
		return a->no_memory = true, asm_fail(a, "out of memory");
	for (u32 at = 0; at < a->insns.n; at++) {
		const struct insn *i = &a->insns.at[at];
		s64 delta = (s64)i->target - at - 1;
		bool near = op_table[i->op].class == OPS_JMP || i->op == OP_MAY_GOTO || (i->op == OP_JA && i->width == 64);

		if (near && (delta < INT16_MIN || delta > INT16_MAX))
			return fail_slot(a, at, i->op == OP_JA ? "the target is beyond 16 bits; use gotol" :
								 "the target is beyond 16 bits; jump to a gotol nearby");
		at += insn_encode(i, at, raw + at) - 1;
	}
	if (insns_decode(raw, a->insns.n, again, &err))
		return fail_slot(a, err.insn, err.text);
	*out = raw;
	return true;
}

int asm_parse(struct arena *arena, const char *text, size_t len, struct raw_insn **out, u32 *n, struct asm_error *err)
{
	struct asm_error ignored;
	struct parser a = {.p = text, .end = text + len, .line_start = text, .line = 1, .arena = arena, .err = err ? err : &ignored};
	bool ok;

	*a.err = (struct asm_error){0};
	ok = parse_all(&a) && resolve(&a) && finish(&a, out);
	*n = a.insns.n;
	vec_free(arena->mem, &a.insns);
	vec_free(arena->mem, &a.places);
	vec_free(arena->mem, &a.labels);
	vec_free(arena->mem, &a.fixups);
	return ok ? 0 : a.no_memory ? -ENOMEM : -EINVAL;
}
