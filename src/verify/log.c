/* SPDX-License-Identifier: BSD-2-Clause */
/* The verifier's log, as PROG_LOAD's levels 1, 2 and 4 give it: the kernel's wording, which tools match on. */
#include "verify/loop.h"

#include <stdio.h>

enum { COLUMN = 40, COLUMN_STEP = 8 };

static void log_signed(struct verifier *v, s64 x)
{
	log_add(v, x >= INT16_MIN && x <= INT16_MAX ? "%lld" : "%#llx", (long long)x);
}

static void log_unsigned(struct verifier *v, u64 x)
{
	log_add(v, x <= UINT16_MAX ? "%llu" : "%#llx", (unsigned long long)x);
}

static const char *dynptr_name(u32 kind)
{
	return kind == DYNPTR_LOCAL ? "local" : kind == DYNPTR_RINGBUF ? "ringbuf" : kind == DYNPTR_SKB ? "skb" : kind == DYNPTR_XDP ? "xdp" : "<invalid>";
}

static const char *type_name(const struct btf *btf, u32 id)
{
	const struct btf_type *t = btf ? btf_type(btf, id) : NULL;

	return t ? btf_string(btf, t->name_off) : "";
}

/* What a map-in-map holds is known by an example of it, which is not what a lookup gave. */
static bool has_name(const struct verifier *v, const struct map *m)
{
	bool example = false;

	for (u32 i = 0; i < v->prog->n_maps; i++) {
		if (v->prog->maps[i] == m)
			return m->spec.name[0];
		example |= v->prog->maps[i]->inner == m;
	}
	return m->spec.name[0] && !example;
}

static void log_pointer_parts(struct verifier *v, const struct reg *r)
{
	u32 base = reg_base(r->type);
	const char *sep = "";

	if (r->id) {
		log_add(v, "id=%u", r->id & ~ID_DELTA);
		sep = ",";
	}
	if (r->id & ID_DELTA)
		log_add(v, "%+d", r->delta);
	if (r->ref) {
		log_add(v, "%sref_obj_id=%u", sep, r->ref);
		sep = ",";
	}
	if (r->type & R_NON_OWNING) {
		log_add(v, "%snon_own_ref", sep);
		sep = ",";
	}
	if (base == R_MAP || base == R_MAP_VALUE || base == R_MAP_KEY) {
		if (has_name(v, r->map)) {
			log_add(v, "%smap=%.16s", sep, r->map->spec.name);
			sep = ",";
		}
		log_add(v, "%sks=%u,vs=%u", sep, r->map->spec.key_size, r->map->spec.value_size);
		sep = ",";
	}
	if (r->type != R_SCALAR && r->off) {
		log_add(v, "%soff=", sep);
		log_signed(v, r->off);
		sep = ",";
	}
	if (type_is_packet(r->type)) {
		log_add(v, "%sr=", sep);
		log_unsigned(v, (u64)(s64)r->range);
		sep = ",";
	}
	if (base == R_MEM) {
		log_add(v, "%ssz=", sep);
		log_unsigned(v, r->mem_size);
		sep = ",";
	}
	if (base == R_DYNPTR) {
		log_add(v, "%stype=%s", sep, dynptr_name(r->dynptr.kind));
		sep = ",";
	}
	if (!scalar_is_const(&r->v)) {
		struct text t;

		text_open(&t, v->log->mem);
		scalar_ranges_text(&t, &r->v, sep);
		if (t.len)
			log_add(v, "%s", text_str(&t));
		text_close(&t);
	} else if (r->v.bits.value) {
		log_add(v, "%simm=", sep);
		log_signed(v, (s64)r->v.bits.value);
	}
}

static void log_reg(struct verifier *v, const struct frame *f, const struct reg *r, bool precise)
{
	if (r->type == R_SCALAR && precise)
		log_add(v, "P");
	if (reg_is_const(r)) {
		log_signed(v, (s64)r->v.bits.value);
		return;
	}
	log_add(v, "%s", reg_type_name(v, r->type));
	if (reg_base(r->type) == R_ARENA)
		return;
	if (r->type == R_STACK) {
		if (f->number != r->frame)
			log_add(v, "[%u]", r->frame);
		if (scalar_is_const(&r->v)) {
			log_signed(v, (s64)r->v.bits.value + r->off);
			return;
		}
	}
	if (reg_base(r->type) == R_BTF)
		log_add(v, "%s", type_name(r->btf, r->btf_id));
	log_add(v, "(");
	log_pointer_parts(v, r);
	log_add(v, ")");
}

/* Gives the slot to go on from: a dynptr has two. */
static u32 log_slot(struct verifier *v, const struct state *st, const struct frame *f, u32 i)
{
	static const char letters[] = {[S_NONE] = '?', [S_SPILL] = 'r', [S_MISC] = 'm', [S_ZERO] = '0', [S_DYNPTR] = 'd', [S_ITER] = 'i', [S_IRQ] = 'f'};
	const struct stack_slot *s = stack_at(f, i);
	const struct reg *r = &s->reg;
	char kinds[SLOT_BYTES + 1] = "";
	const char *sep = "";
	bool any = false;

	for (u32 j = 0; j < SLOT_BYTES; j++) {
		kinds[j] = letters[s->kind[j]];
		any |= s->kind[j] != S_NONE;
	}
	if (!any)
		return i;
	switch (s->kind[SLOT_BYTES - 1]) {
	case S_SPILL:
		*strchr(kinds, 'r') = 0;
		log_add(v, " fp%d=%s", -(s32)(i + 1) * SLOT_BYTES, kinds);
		log_reg(v, f, r, slot_precise(v, st, f->number, i));
		return i;
	case S_DYNPTR:
		i++;
		r = &stack_at(f, i)->reg;
		log_add(v, " fp%d=dynptr_%s(", -(s32)(i + 1) * SLOT_BYTES, dynptr_name(r->dynptr.kind));
		if (r->id) {
			log_add(v, "id=%u", r->id);
			sep = ",";
		}
		if (r->ref) {
			log_add(v, "%sref_id=%u", sep, r->ref);
			sep = ",";
		}
		log_add(v, "%sdynptr_id=1)", sep); /* Linux 6.18 prints a flag of the first slot so */
		return i;
	case S_ITER:
		if (!r->ref)
			return i;
		log_add(v, " fp%d=iter_%s(ref_id=%u,state=%s,depth=%u)", -(s32)(i + 1) * SLOT_BYTES,
			type_name(r->iter.btf, r->iter.btf_id) + sizeof("bpf_iter_") - 1, r->ref,
			r->iter.state == ITER_ACTIVE ? "active" : r->iter.state == ITER_DRAINED ? "drained" : "<invalid>", r->iter.depth);
		return i;
	default: log_add(v, " fp%d=%s", -(s32)(i + 1) * SLOT_BYTES, kinds); return i;
	}
}

void log_state(struct verifier *v, const struct state *s, u32 frame, bool all)
{
	const struct frame *f = s->frame[frame];
	const char *sep = " refs=";
	bool refs = s->n_refs && s->refs[0].id; /* Linux takes a first one without an id, a lock of a variable, for none at all */

	if (!v->log_level)
		return;
	if (f->number)
		log_add(v, " frame%u:", f->number);
	for (u32 i = 0; i < REGS; i++) {
		if (reg_at(f, i)->type == R_NONE || (!all && !(v->scratched_regs >> i & 1)))
			continue;
		log_add(v, " R%u=", i);
		log_reg(v, f, reg_at(f, i), reg_precise(v, s, frame, i));
	}
	for (u32 i = 0; i < f->n_slots; i++)
		if (all || v->scratched_slots >> i & 1)
			i = log_slot(v, s, f, i);
	for (u32 i = 0; refs && i < s->n_refs; i++)
		if (s->refs[i].id) {
			log_add(v, "%s%u", sep, s->refs[i].id);
			sep = ",";
		}
	if (f->in_callback && !f->in_async_callback)
		log_add(v, " cb");
	if (f->in_async_callback)
		log_add(v, " async_cb");
	log_add(v, "\n");
	if (!all)
		v->scratched_regs = 0, v->scratched_slots = 0;
}

/* What is logged until log_put_back() goes to t. */
struct put_aside {
	struct text t, *log;
	u32 level;
};

static void log_put_aside(struct verifier *v, struct put_aside *p)
{
	p->log = v->log;
	p->level = v->log_level;
	text_open(&p->t, v->prog->mem);
	v->log = &p->t;
	v->log_level = 1;
}

static void log_put_back(struct verifier *v, struct put_aside *p, char *out, size_t size)
{
	const char *said = text_str(&p->t);

	snprintf(out, size, "%s", said[0] == ' ' ? said + 1 : said);
	text_close(&p->t);
	v->log = p->log;
	v->log_level = p->level;
}

void log_reg_words(struct verifier *v, const struct frame *f, const struct reg *r, char *out, size_t size)
{
	struct put_aside p;

	log_put_aside(v, &p);
	if (r->type == R_NONE)
		log_add(v, "nothing that may be read");
	else
		log_reg(v, f, r, false);
	log_put_back(v, &p, out, size);
}

void log_slot_words(struct verifier *v, const struct state *s, u32 frame, u32 slot, char *out, size_t size)
{
	const struct frame *f = s->frame[frame];
	struct put_aside p;

	log_put_aside(v, &p);
	if (slot < f->n_slots)
		log_slot(v, s, f, slot > 0 && stack_at(f, slot)->kind[0] == S_DYNPTR && stack_at(f, slot)->reg.dynptr.first ? slot - 1 : slot);
	if (!p.t.len)
		log_add(v, "fp%d=????????", -(s32)(slot + 1) * SLOT_BYTES);
	log_put_back(v, &p, out, size);
}

void log_source(struct verifier *v, u32 insn)
{
	const struct bpf_line_info *lines = v->prog->line_info;
	const char *text, *file, *slash;
	u32 low = 0, high = v->prog->n_line_info;

	if (!v->log_level || !high || lines[0].insn_off > insn)
		return;
	while (high - low > 1) {
		u32 mid = (low + high) / 2;

		if (lines[mid].insn_off <= insn)
			low = mid;
		else
			high = mid;
	}
	if (v->log_line == low + 1)
		return;
	if (v->log_line && lines[v->log_line - 1].file_name_off == lines[low].file_name_off && lines[v->log_line - 1].line_col >> 10 == lines[low].line_col >> 10 && lines[v->log_line - 1].line_off == lines[low].line_off)
		return;
	v->log_line = low + 1;
	text = btf_string(v->prog->btf, lines[low].line_off);
	while (*text == ' ' || *text == '\t')
		text++;
	file = btf_string(v->prog->btf, lines[low].file_name_off);
	slash = strrchr(file, '/');
	log_add(v, "; %s @ %s:%u\n", text, slash ? slash + 1 : file, lines[low].line_col >> 10);
}

static const char *helper_text(void *ud, s64 id)
{
	const struct helper_proto *p = id > 0 && id <= UINT32_MAX ? helper_proto((u32)id) : NULL;

	(void)ud;
	return p ? p->name : NULL;
}

static const char *label_text(void *ud, s32 target)
{
	struct verifier *v = ud;

	snprintf(v->type_name, sizeof(v->type_name), "pc%+d", target - (s32)v->log_at - 1);
	return v->type_name;
}

void log_insn_text(struct verifier *v, u32 insn)
{
	struct disasm_names names = {v, helper_text, true, label_text};
	const struct insn *in = &v->insns[insn];

	v->log_at = insn;
	log_add(v, "(%02x) ", v->prog->raw[insn].code);
	if (in->op == OP_CALL && in->pseudo == CALL_KFUNC)
		log_add(v, "call %s#%lld", v->aux[insn].kfunc ? v->aux[insn].kfunc->name : "kernel-function", (long long)in->imm);
	else if (in->op == OP_CALL && in->pseudo == CALL_HELPER && !helper_text(NULL, in->imm))
		log_add(v, "call unknown#%lld", (long long)in->imm);
	else if (in->op == OP_LD_IMM64 && in->pseudo == PSEUDO_FUNC)
		log_add(v, "r%u = 0x%x", in->dst, (u32)v->prog->raw[insn].imm);
	else
		insn_text(v->log, in, insn, &names);
	log_add(v, "\n");
}

void log_changes(struct verifier *v, u32 insn)
{
	if (v->log_mark && v->log_mark == text_length(v->log)) {
		u32 pos = v->log_insn_len, pad = ALIGN_UP(MAX(pos + COLUMN_STEP / 2, (u32)COLUMN), (u32)COLUMN_STEP) - pos - 1;

		v->log->len--;
		log_add(v, "%*c;", (int)pad, ' ');
	} else {
		log_add(v, "%u:", insn);
	}
	log_state(v, v->cur, v->cur->n_frames - 1, false);
}

void log_insn(struct verifier *v, u32 insn)
{
	size_t at;

	if (v->scratched_regs || v->scratched_slots)
		log_changes(v, insn);
	log_source(v, insn);
	at = text_length(v->log);
	log_add(v, "%u: ", insn);
	log_insn_text(v, insn);
	v->log_insn_len = (u32)(text_length(v->log) - at);
	v->log_mark = text_length(v->log);
}

void verify_log_functions(const struct prog *p, u32 level, struct text *log)
{
	for (u32 i = 0; level & 2 && i < p->n_subprogs; i++)
		text_addf(log, "func#%u @%u\n", i, p->subprogs[i].start);
}

int log_live_registers(struct verifier *v)
{
	if (!(v->log_level & 2))
		return 0;
	log_add(v, "Live regs before insn:\n");
	for (u32 i = 0; i < v->n; i++) {
		char live[REG_FP + 1] = "..........";

		if (v->insns[i].op == OP_PAD)
			continue;
		for (u32 r = 0; r < REG_FP; r++)
			if (v->aux[i].live_in >> r & 1)
				live[r] = (char)('0' + r);
		if (scc_is_logged(v, v->aux[i].scc))
			log_add(v, "%3u %3u: %s ", v->aux[i].scc, i, live);
		else
			log_add(v, "    %3u: %s ", i, live);
		log_insn_text(v, i);
	}
	return 0;
}

void log_bounds(struct verifier *v, const struct verify_stats *s)
{
	for (u32 i = 0; v->log_level & 2 && i < s->n_bounds; i++) {
		const struct verify_bound *b = &s->bounds[i];

		if (b->trips == TRIPS_FINITE)
			log_add(v, "loop at %u: as many turns as the iterator has elements, by the call at %u\n", b->head, b->test);
		else
			log_add(v, "loop at %u: at most %llu turns, by the %s at %u\n", b->head, (unsigned long long)b->trips,
				v->insns[b->test].op == OP_CALL ? "call" : "jump", b->test);
	}
}

/* Linux 6.18 counts no marks of reads any more, and says so. */
void log_stats(struct text *log, u32 level, u64 max_insns, u32 functions, const struct verify_stats *s)
{
	if (level & 4) {
		text_addf(log, "verification time %llu usec\nstack depth ", (unsigned long long)(s->time_ns / 1000));
		for (u32 i = 0; i < functions; i++)
			text_addf(log, "%s%u", i ? "+" : "", s->stack_depth[i]);
		text_add(log, "\n");
	}
	if (level)
		text_addf(log, "processed %llu insns (limit %llu) max_states_per_insn %llu total_states %llu peak_states %llu mark_read 0\n",
			  (unsigned long long)s->insns_processed, (unsigned long long)max_insns, (unsigned long long)s->max_states_per_insn,
			  (unsigned long long)s->total_states, (unsigned long long)s->peak_states);
}
