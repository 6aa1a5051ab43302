/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers: setting, linking and naming what they hold. */
#include "verify/state.h"

#include <stdio.h>

u32 new_id(struct verifier *v)
{
	return ++v->walked.ids;
}

#define UNKNOWN                                                                                                        \
	{                                                                                                              \
		.bits = {0, UINT64_MAX}, .umax = UINT64_MAX, .smin = INT64_MIN, .smax = INT64_MAX, .umax32 = UINT32_MAX, \
		.smin32 = INT32_MIN, .smax32 = INT32_MAX                                                               \
	}

const struct reg plain_regs[PLAIN_KINDS] = {
	[PLAIN_NONE] = {.type = R_NONE, .v = UNKNOWN},
	[PLAIN_UNKNOWN] = {.type = R_SCALAR, .v = UNKNOWN},
	[PLAIN_FRAME] = {.type = R_STACK, .frame = 0}, /* R10 of each */
	[PLAIN_FRAME + 1] = {.type = R_STACK, .frame = 1},
	[PLAIN_FRAME + 2] = {.type = R_STACK, .frame = 2},
	[PLAIN_FRAME + 3] = {.type = R_STACK, .frame = 3},
	[PLAIN_FRAME + 4] = {.type = R_STACK, .frame = 4},
	[PLAIN_FRAME + 5] = {.type = R_STACK, .frame = 5},
	[PLAIN_FRAME + 6] = {.type = R_STACK, .frame = 6},
	[PLAIN_FRAME + 7] = {.type = R_STACK, .frame = 7},
};

void reg_set_none(struct reg *r)
{
	memset(r, 0, sizeof(*r));
	scalar_set_unknown(&r->v);
}

void reg_set_const(struct reg *r, u64 value)
{
	memset(r, 0, offsetof(struct reg, v));
	r->type = R_SCALAR;
	scalar_set_const(&r->v, value);
}

void reg_set_unknown(struct verifier *v, struct reg *r)
{
	memset(r, 0, offsetof(struct reg, v));
	r->type = R_SCALAR;
	(void)v;
	scalar_set_unknown(&r->v);
}

void reg_forget(struct verifier *v, struct reg *r)
{
	reg_set_unknown(v, r);
}

/* What a register pointed to is gone. */
void reg_invalidate(struct verifier *v, struct reg *r)
{
	if (v->allow_ptr_leaks)
		reg_forget(v, r);
	else
		reg_set_none(r);
}

bool reg_is_trusted(const struct reg *r)
{
	if (r->ref && !(r->type & R_UNTRUSTED))
		return true;
	return r->type & (R_ALLOC | R_TRUSTED) && !(r->type & (R_UNTRUSTED | R_NON_OWNING));
}

/* A lookup's result is what the map's kind holds. */
void reg_not_null(struct verifier *v, struct reg *r)
{
	const struct map_rules *rules;

	(void)v;
	r->type &= ~(u32)R_NULLABLE;
	if (reg_base(r->type) != R_MAP_VALUE)
		return;
	rules = map_rules(r->map->spec.kind);
	switch (rules ? rules->gives : GIVES_VALUE) {
	case GIVES_MAP:
		if (!r->map->inner)
			return;
		r->type = R_MAP;
		r->map = r->map->inner;
		if (btf_record_has(&r->map->record, BTF_TIMER | BTF_WORKQUEUE | BTF_TASK_WORK))
			r->map_uid = r->id;
		break;
	case GIVES_SOCKET: r->type = R_SOCKET; break;
	case GIVES_XDP_SOCKET: r->type = R_XDP_SOCK; break;
	default: break;
	}
}

void reg_set_pointer(struct reg *r, u32 type)
{
	memset(r, 0, offsetof(struct reg, v));
	r->type = type;
	scalar_set_const(&r->v, 0);
}

void unlink_scalar(struct reg *r)
{
	r->id = 0;
	r->delta = 0;
}

void assign_scalar_id(struct verifier *v, struct reg *r)
{
	if (r->type != R_SCALAR || (!scalar_is_const(&r->v) ? false : true))
		return;
	if (r->id & ID_DELTA)
		unlink_scalar(r); /* the copy would be off by a constant from a base that may be gone */
	if (!r->id)
		r->id = new_id(v);
}

int reg_check_read(struct verifier *v, u32 regno)
{
	const struct reg *r = reg_of(v, regno);

	v->scratched_regs |= 1u << regno; /* the log shows what was read, too */
	if (likely(r->type != R_NONE))
		return 0;
	reject(v, REJECT_REG_UNINITIALISED, "R%u !read_ok", regno);
	reject_reg(v, regno);
	return v->why->err;
}

int reg_check_write(struct verifier *v, u32 regno)
{
	v->scratched_regs |= 1u << regno;
	if (likely(regno != REG_FP))
		return 0;
	reject(v, REJECT_FRAME_POINTER_WRITE, "frame pointer is read only");
	reject_reg(v, regno);
	return v->why->err;
}

bool reg_may_be_null(const struct reg *r)
{
	return r->type & R_NULLABLE;
}

const char *reg_type_name(struct verifier *v, u32 type)
{
	static const char *const names[] = {
		[R_NONE] = "?", [R_SCALAR] = "scalar", [R_CTX] = "ctx", [R_MAP] = "map_ptr", [R_MAP_VALUE] = "map_value",
		[R_MAP_KEY] = "map_key", [R_STACK] = "fp", [R_PACKET_META] = "pkt_meta", [R_PACKET] = "pkt", [R_PACKET_END] = "pkt_end",
		[R_FLOW_KEYS] = "flow_keys", [R_SOCKET] = "sock", [R_SOCK_COMMON] = "sock_common", [R_TCP_SOCK] = "tcp_sock",
		[R_TP_BUFFER] = "tp_buffer", [R_XDP_SOCK] = "xdp_sock", [R_BTF] = "ptr_", [R_MEM] = "mem", [R_ARENA] = "arena",
		[R_BUFFER] = "buf", [R_FUNC] = "func", [R_DYNPTR] = "dynptr_ptr",
	};
	static const struct {
		u32 flag;
		const char *text;
	} prefixes[] = {{R_RDONLY, "rdonly_"}, {R_RINGBUF, "ringbuf_"}, {R_USER, "user_"}, {R_PERCPU, "percpu_"},
			{R_RCU, "rcu_"}, {R_UNTRUSTED, "untrusted_"}, {R_TRUSTED, "trusted_"}};
	u32 base = reg_base(type);
	size_t n = 0;

	v->type_name[0] = 0;
	for (u32 i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (type & prefixes[i].flag)
			n += (size_t)snprintf(v->type_name + n, sizeof(v->type_name) - n, "%s", prefixes[i].text);
	snprintf(v->type_name + n, sizeof(v->type_name) - n, "%s%s", base < ARRAY_SIZE(names) && names[base] ? names[base] : "?",
		 !(type & R_NULLABLE) ? "" : base == R_BTF ? "or_null_" : "_or_null");
	return v->type_name;
}

static void visit_slot(struct verifier *v, struct frame *f, u32 slot, reg_visit *fn, void *ud)
{
	const struct reg *was = &stack_at(f, slot)->reg;
	struct reg r = *was;

	fn(v, &r, ud);
	if (memcmp(&r, was, sizeof(r)))
		stack_edit(v, f, slot)->reg = r;
}

static void visit_caller(struct verifier *v, struct frame *f, u32 i, reg_visit *fn, void *ud)
{
	struct reg r = f->regs[i];

	fn(v, &r, ud);
	if (memcmp(&r, &f->regs[i], sizeof(r)))
		regs_edit(v, f)[i] = r;
}

void each_reg(struct verifier *v, struct state *s, reg_visit *fn, void *ud)
{
	for (u32 f = 0; f < s->n_frames; f++) {
		struct frame *frame = s->frame[f];

		for (u32 i = 0; i < REG_FP; i++)
			if (frame->regs[i].type && f + 1 < s->n_frames)
				visit_caller(v, frame, i, fn, ud);
			else if (frame->regs[i].type)
				fn(v, &frame->regs[i], ud);
		for (u32 i = 0; i < frame->n_slots; i++)
			if (stack_is_spill(stack_at(frame, i)))
				visit_slot(v, frame, i, fn, ud);
	}
}
