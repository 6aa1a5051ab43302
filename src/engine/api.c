/* SPDX-License-Identifier: BSD-2-Clause */
/* The typed API on top of bpf(2): running programs, helpers and program types of an embedder's own. */
#include "engine/engine.h"

#include <net/ethernet.h>
#include <stdio.h>

enum { OWN_HELPERS_FROM = 0x10000, OWN_TYPES_FROM = 0x10000 };

/* ---- running ---- */

int skep_prog_code(struct skep *k, int prog_fd, struct skep_code *in)
{
	struct skep_code c;
	const struct prog *p;
	struct obj *o;
	int err = options_copy(&c, sizeof(c), in);

	if (err || !in)
		return -EINVAL;
	err = obj_by_fd(k, prog_fd, OBJ_PROG, 0, &o);
	if (err)
		return err;
	p = o->body;
	c.bytes = p->code ? p->code->size : 0;
	c.compile_us = p->code ? (u32)((p->code->compile_ns + 500) / 1000) : 0;
	if (!p->code)
		snprintf(c.reason, sizeof(c.reason), "%s", p->interpreted_for ? p->interpreted_for : "");
	obj_put(o);
	memcpy(in, &c, MIN(c.size, sizeof(c)));
	return 0;
}

static void tell_fault(struct skep_fault *to, const struct fault *f)
{
	if (!to)
		return;
	to->insn = f->insn;
	to->address = f->address;
	snprintf(to->text, sizeof(to->text), "%s", f->text);
}

int skep_prog_test_run(struct skep *k, union bpf_attr *attr, unsigned int attr_size, struct skep_test_result *out)
{
	struct test_told told = {0};
	int ret;

	if (!out || out->size != sizeof(*out))
		return -EINVAL;
	ret = sys_bpf(k, BPF_PROG_TEST_RUN, attr, attr_size, NULL, &told);
	out->nowhere = told.nowhere;
	tell_fault(&out->fault, &told.fault);
	return ret;
}

/* Can it run with a context alone? */
static int runs_by_context(struct skep *k, const struct prog *p, const struct skep_run *s)
{
	bool flat = p->kind->ctx->flags & CTX_TYPE_FLAT;

	switch ((enum progtype_runs)p->kind->runs) {
	case RUN_NONE:
		log_line(k, "programs of type %s cannot be run by skep %s: they are verified only", p->kind->name, skep_version());
		return -EOPNOTSUPP;
	case RUN_EVENT: log_line(k, "programs of type %s run where they are attached, when something happens there", p->kind->name); return -EOPNOTSUPP;
	case RUN_SKB:
	case RUN_XDP: log_line(k, "programs of type %s run on packets: skep_run_packets()", p->kind->name); return -EINVAL;
	case RUN_FLAT:
	case RUN_OWN: break;
	}
	return (s->ctx_size && !s->ctx) || (!flat && s->ctx_size != p->kind->ctx->size) ? -EINVAL : 0;
}

/* What the verifier let it reach must be there. */
static int brings_enough(struct skep *k, const struct run *r)
{
	const struct prog *p = r->prog;

	if (vm_suits(r, p))
		return 0;
	if (run_context_short(k, p, r->ctx.size))
		return -EINVAL;
	log_line(k, "%s: accesses %u bytes of the buffer that its context points to: name it, writable, in `memory`", prog_name(p),
		 p->reach[REACH_BUFFER]);
	return -EINVAL;
}

int skep_run(struct skep *k, int prog_fd, struct skep_run *in)
{
	struct hold hold, *held = NULL;
	struct skep_run s;
	struct obj *o;
	struct prog *p;
	struct run r;
	u64 result = 0;
	int err = options_copy(&s, sizeof(s), in);

	if (err || !in || s.n_memory > RUN_SPANS || (s.n_memory && !s.memory))
		return -EINVAL;
	if (plain_lock_mine(&k->lock))
		return -EBUSY; /* a signal handler, in the middle of another call */
	err = obj_by_fd(k, prog_fd, OBJ_PROG, 0, &o);
	if (err)
		return err;
	p = o->body;
	run_prepare(k, &r, p);
	r.stop = (const _Atomic bool *)s.stop;
	r.ctx = (struct run_ctx){.type = p->kind->ctx, .bytes = s.ctx, .size = (u32)s.ctx_size, .has_second = s.pass_size,
				 .second = s.ctx_size};
	for (u32 i = 0; i < s.n_memory; i++)
		r.spans[r.n_spans++] = (struct run_span){(u64)(uintptr_t)s.memory[i].at, s.memory[i].size, s.memory[i].writable, "memory"};
	err = runs_by_context(k, p, &s);
	err = err ? err : brings_enough(k, &r);
	err = err ? err : run_begin(k, p, &hold, &held);
	if (!err) {
		r.hold = held;
		err = vm_run(&r, &result);
		if (held)
			hold_drop(held);
		run_account(k, p, 1, 0);
		in->result = result;
		in->insns = r.insns;
		if (err)
			tell_fault(&in->fault, &r.fault);
	}
	obj_put(o);
	return err;
}

/* One packet after another under one hold. */
struct batch {
	struct stage stage;
	struct run run;
};

static int run_packet(struct batch *b, struct skep_packet *p)
{
	u64 result = 0;
	u32 size;
	u8 *frame;
	int err;

	if (!p->data || p->size < ETH_HLEN || p->size > STAGE_MOST)
		return -EINVAL;
	stage_put(&b->stage, p->data, p->size, 0, 0);
	stage_aim(&b->stage, &b->run);
	err = vm_run(&b->run, &result);
	if (err)
		return err;
	p->result = (uint32_t)result;
	p->nowhere = stage_nowhere(&b->stage, b->run.prog, result);
	frame = stage_frame(&b->stage, &size);
	if (b->stage.is_xdp) {
		frame = b->stage.packet.data;
		size = (u32)(b->stage.packet.tail - frame);
	} else if (!b->stage.has_link_header) { /* the header was taken off: it comes back */
		frame -= ETH_HLEN;
		memcpy(frame, p->data, ETH_HLEN);
		size += ETH_HLEN;
	}
	if (p->out) {
		if (size > p->out_size)
			return -ENOSPC;
		memcpy(p->out, frame, size);
	}
	p->out_size = size;
	return 0;
}

int skep_run_packets(struct skep *k, int prog_fd, struct skep_packet *packets, unsigned int n, unsigned int *done, struct skep_fault *fault)
{
	struct hold hold, *held = NULL;
	struct obj *o;
	struct prog *p;
	struct batch *b;
	unsigned int i = 0;
	int err = obj_by_fd(k, prog_fd, OBJ_PROG, 0, &o);

	if (done)
		*done = 0;
	if (err)
		return err;
	p = o->body;
	b = mem_alloc(&k->mem, sizeof(*b));
	if (!b || (!packets && n) || (p->kind->runs != RUN_SKB && p->kind->runs != RUN_XDP)) {
		err = b ? -EINVAL : -ENOMEM;
		mem_free(&k->mem, b, sizeof(*b));
		obj_put(o);
		return err;
	}
	err = stage_open(&b->stage, &k->mem, p, STAGE_MOST);
	if (!err)
		err = run_begin(k, p, &hold, &held);
	if (!err) {
		run_prepare(k, &b->run, p);
		b->run.hold = held;
		for (; i < n && !err; i += !err) {
			err = run_packet(b, &packets[i]);
			if (held)
				hold_pass(held);
		}
		if (err == -EFAULT)
			tell_fault(fault, &b->run.fault);
		if (held)
			hold_drop(held);
		run_account(k, p, i, 0);
	}
	if (done)
		*done = i;
	stage_close(&b->stage);
	mem_free(&k->mem, b, sizeof(*b));
	obj_put(o);
	return err;
}

/* ---- an embedder's own helpers and types ---- */

static const u32 own_args[] = {
	[SKEP_ARG_NONE] = ARG_NONE,	  [SKEP_ARG_SCALAR] = ARG_SCALAR, [SKEP_ARG_CTX] = ARG_CTX,
	[SKEP_ARG_MEM] = ARG_MEM,	  [SKEP_ARG_MEM_OUT] = ARG_MEM_OUT, [SKEP_ARG_SIZE] = ARG_SIZE,
	[SKEP_ARG_SIZE_OR_ZERO] = ARG_SIZE_0, [SKEP_ARG_STRING] = ARG_CSTRING,
};

/* A size follows the memory that it counts, and nothing else. */
static bool args_sound(const struct skep_helper *h)
{
	for (u32 i = 0; i < 5; i++) {
		bool memory = h->args[i] == SKEP_ARG_MEM || h->args[i] == SKEP_ARG_MEM_OUT;
		bool size_next = i < 4 && (h->args[i + 1] == SKEP_ARG_SIZE || h->args[i + 1] == SKEP_ARG_SIZE_OR_ZERO);
		bool size = h->args[i] == SKEP_ARG_SIZE || h->args[i] == SKEP_ARG_SIZE_OR_ZERO;

		if ((u32)h->args[i] >= ARRAY_SIZE(own_args) || memory != size_next || (size && i == 0))
			return false;
		if (i < 4 && h->args[i] == SKEP_ARG_NONE && h->args[i + 1] != SKEP_ARG_NONE)
			return false;
	}
	return true;
}

int skep_helper_register(struct skep *k, const struct skep_helper *in)
{
	struct own_helper *own, **slot;
	struct skep_helper h;
	int err = options_copy(&h, sizeof(h), in);

	if (err || !in || !h.fn || !h.name || !*h.name || !args_sound(&h))
		return -EINVAL;
	own = mem_alloc(&k->mem, sizeof(*own));
	if (!own)
		return -ENOMEM;
	snprintf(own->name, sizeof(own->name), "%s", h.name);
	own->fn = h.fn;
	own->ud = h.ud;
	own->proto = (struct helper_proto){.name = own->name, .ret = RET_SCALAR, .avail = FOR_ALL, .since = "", .doc = "", .has_body = true};
	for (u32 i = 0; i < 5; i++)
		own->proto.args[i] = own_args[h.args[i]];
	plain_lock_take(&k->lock);
	slot = vec_push(&k->mem, &k->own_helpers);
	if (slot) {
		*slot = own;
		own->proto.id = OWN_HELPERS_FROM + k->own_helpers.n - 1;
	}
	plain_lock_drop(&k->lock);
	if (!slot) {
		mem_free(&k->mem, own, sizeof(*own));
		return -ENOMEM;
	}
	return (int)own->proto.id;
}

static u16 own_rights(int writable)
{
	return (u16)(CTX_READ | CTX_NARROW | (writable ? CTX_WRITE | CTX_NARROW_WRITE : 0));
}

static int copy_fields(struct skep *k, struct own_type *t, const struct skep_prog_type *in)
{
	t->fields = mem_array(&k->mem, in->n_fields, sizeof(*t->fields));
	if (!t->fields)
		return -ENOMEM;
	for (u32 i = 0; i < in->n_fields; i++) {
		const struct skep_ctx_field *f = &in->fields[i];

		if (!f->size || (u64)f->offset + f->size > in->ctx_size || f->offset + f->size > UINT16_MAX)
			return -EINVAL;
		t->fields[i] = (struct ctx_field){.name = "", .offset = f->offset, .size = f->size, .unit = (u16)f->size, .kind = CTX_PLAIN,
						  .access = own_rights(f->writable)};
	}
	t->ctx.fields = t->fields;
	t->ctx.n_fields = in->n_fields;
	return 0;
}

int skep_prog_type_register(struct skep *k, const struct skep_prog_type *in)
{
	struct skep_prog_type s;
	struct own_type *t, **slot;
	int err = options_copy(&s, sizeof(s), in);

	if (err || !in || !s.name || !*s.name || (s.n_fields && !s.fields))
		return -EINVAL;
	t = mem_alloc(&k->mem, sizeof(*t));
	if (!t)
		return -ENOMEM;
	snprintf(t->name, sizeof(t->name), "%s", s.name);
	if (!s.ctx_size)
		s.ctx_size = CTX_SYSCALL_MAX; /* flat, of a size that each run says */
	t->all = (struct ctx_field){.name = "", .size = s.ctx_size, .unit = 8, .kind = CTX_PLAIN, .access = own_rights(s.writable)};
	t->ctx = (struct ctx_type){.name = t->name, .size = s.ctx_size, .fields = &t->all, .n_fields = 1,
				   .flags = s.n_fields ? 0 : CTX_TYPE_FLAT | (s.writable ? CTX_TYPE_WRITABLE : 0)};
	t->type = (struct progtype){.name = t->name, .ctx = &t->ctx, .avail = FOR_OWN, .runs = RUN_OWN, .since = "", .flags = PT_UNPRIVILEGED | PT_TEST_RUN};
	err = s.n_fields ? copy_fields(k, t, &s) : 0;
	if (!err) {
		plain_lock_take(&k->lock);
		slot = vec_push(&k->mem, &k->own_types);
		if (slot) {
			*slot = t;
			t->type.id = OWN_TYPES_FROM + k->own_types.n - 1;
		}
		plain_lock_drop(&k->lock);
		if (slot)
			return (int)t->type.id;
		err = -ENOMEM;
	}
	mem_free(&k->mem, t->fields, s.n_fields * sizeof(*t->fields));
	mem_free(&k->mem, t, sizeof(*t));
	return err;
}

/* ---- loading and maps, without the pains of bpf_attr ---- */

int skep_prog_load(struct skep *k, const struct skep_prog *in, char *log, size_t log_size)
{
	struct attr_prog_load a = {0};
	struct skep_prog s;
	int err = options_copy(&s, sizeof(s), in);

	if (err || !in)
		return -EINVAL;
	a.prog_type = s.type;
	a.insn_cnt = s.n_insns;
	a.insns = (u64)(uintptr_t)s.insns;
	a.license = (u64)(uintptr_t)(s.license ? s.license : "");
	a.prog_flags = s.flags;
	if (s.name)
		memcpy(a.prog_name, s.name, strnlen(s.name, sizeof(a.prog_name))); /* one without its end is refused */
	if (log && log_size) {
		log[0] = 0;
		a.log_level = 1;
		a.log_buf = (u64)(uintptr_t)log;
		a.log_size = (u32)MIN(log_size, (size_t)UINT32_MAX >> 2);
		err = skep_bpf(k, BPF_PROG_LOAD, (union bpf_attr *)&a, sizeof(a));
		if (err != -ENOSPC)
			return err;
		/* log holds the end of what was said, which is enough */
		a.log_level = a.log_size = 0;
		a.log_buf = 0;
	}
	return skep_bpf(k, BPF_PROG_LOAD, (union bpf_attr *)&a, sizeof(a));
}

int skep_map_create(struct skep *k, uint32_t type, uint32_t key_size, uint32_t value_size, uint32_t max_entries, uint32_t flags)
{
	struct attr_map_create a = {.map_type = type, .key_size = key_size, .value_size = value_size, .max_entries = max_entries, .map_flags = flags};

	return skep_bpf(k, BPF_MAP_CREATE, (union bpf_attr *)&a, sizeof(a));
}

static int element(struct skep *k, int cmd, int fd, const void *key, const void *value, uint64_t flags)
{
	struct attr_map_elem a = {.map_fd = (u32)fd, .key = (u64)(uintptr_t)key, .value = (u64)(uintptr_t)value, .flags = flags};

	return skep_bpf(k, cmd, (union bpf_attr *)&a, sizeof(a));
}

int skep_map_lookup(struct skep *k, int fd, const void *key, void *value)
{
	return element(k, BPF_MAP_LOOKUP_ELEM, fd, key, value, 0);
}

int skep_map_update(struct skep *k, int fd, const void *key, const void *value, uint64_t flags)
{
	return element(k, BPF_MAP_UPDATE_ELEM, fd, key, value, flags);
}

int skep_map_delete(struct skep *k, int fd, const void *key)
{
	return element(k, BPF_MAP_DELETE_ELEM, fd, key, NULL, 0);
}

int skep_map_next_key(struct skep *k, int fd, const void *key, void *next)
{
	return element(k, BPF_MAP_GET_NEXT_KEY, fd, key, next, 0);
}
