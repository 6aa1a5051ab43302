/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ctx.def and skb.def beside the running kernel: for every program type and attach type, every offset, size and direction, a program of
 * one access is loaded into both; also through the pointers that contexts hold, and what kind of pointer a field loads as.
 */
#include "abi/abi.h"
#include "isa/isa.h"

#include "../kernel.h"
#include "../test.h"

#include <ctype.h>

enum { MOST_PRELUDE = 12, MOST_DIFFERENCES = 20 };

static const u32 sizes[] = {1, 2, 4, 8};

static u8 size_code(u32 size)
{
	return size == 1 ? 0x10 : size == 2 ? 0x08 : size == 4 ? 0x00 : 0x18;
}

struct code {
	struct raw_insn insn[MOST_PRELUDE + 8];
	u32 n;
};

static void add(struct code *c, u8 op, u32 dst, u32 src, s16 off, s32 imm)
{
	c->insn[c->n++] = (struct raw_insn){.code = op, .regs = (u8)(dst | src << 4), .off = off, .imm = imm};
}

static void finish(struct code *c, const struct progtype *t, u32 attach)
{
	s64 min = 0, max;

	progtype_results(t, attach, &min, &max);
	add(c, 0xb7, 0, 0, 0, (s32)min);
	add(c, 0x95, 0, 0, 0, 0);
}

static char log_text[65536];

static int load(const struct progtype *t, u32 attach, const struct code *c, u32 log_level)
{
	union bpf_attr a = {.prog_type = t->id, .insns = (u64)(uintptr_t)c->insn, .insn_cnt = c->n, .license = (u64)(uintptr_t)"GPL",
			    .expected_attach_type = attach, .log_level = log_level,
			    .prog_flags = t->flags & PT_SLEEPABLE_ONLY ? BPF_F_SLEEPABLE : 0};
	int fd;

	log_text[0] = 0;
	if (log_level) {
		a.log_buf = (u64)(uintptr_t)log_text;
		a.log_size = sizeof(log_text);
	}
	fd = kernel_bpf(BPF_PROG_LOAD, &a, sizeof(a));
	if (fd >= 0)
		close(fd);
	return fd;
}

/* ---- one access ---- */

struct place {
	const struct progtype *type;
	u32 attach;
	const struct ctx_type *ctx;
	const struct code *prelude; /* leaves the pointer in R1; NULL: R1 is the context */
	u32 compared, accepted, different;
};

static void compare(struct place *p, s32 off, u32 size, bool write)
{
	const struct ctx_field *f = ctx_access(p->ctx, p->attach, off, size, write, true);
	struct code c = {.n = 0};
	int fd;

	if (p->prelude)
		c = *p->prelude;
	if (write) {
		add(&c, 0xb7, 2, 0, 0, 0);
		add(&c, (u8)(0x63 | size_code(size)), 1, 2, (s16)off, 0);
	} else {
		add(&c, (u8)(0x61 | size_code(size)), 2, 1, (s16)off, 0);
	}
	finish(&c, p->type, p->attach);
	fd = load(p->type, p->attach, &c, 0);
	p->compared++;
	p->accepted += f != NULL;
	if ((fd >= 0) == (f != NULL) || (p->type->id == BPF_PROG_TYPE_TRACEPOINT && off < 0 && !f))
		return; /* Linux lets tracepoint programs read in front of their record, which is none of theirs */
	if (p->different++ > MOST_DIFFERENCES)
		return;
	load(p->type, p->attach, &c, 1);
	test_fail(__FILE__, __LINE__, "%s attach type %u: %s of %u bytes at %d of %s: Linux %s (%d), tables %s%s%s", p->type->name, p->attach,
		  write ? "store" : "load", size, off, p->ctx->name, fd >= 0 ? "accepts" : "refuses", fd, f ? "allow" : "do not",
		  fd < 0 ? ": " : "", log_text);
}

/* Large contexts are the same all over: their ends, and what an instruction's offset reaches. */
static bool worth(const struct ctx_type *t, s32 off)
{
	return t->size < 512 || off < 128 || off > (s32)t->size - 128 || off > INT16_MAX - 64;
}

static void compare_all(struct place *p)
{
	for (s32 off = -8; off <= (s32)MIN(p->ctx->size + 8, (u32)INT16_MAX); off++)
		for (u32 i = 0; i < ARRAY_SIZE(sizes) * 2 && worth(p->ctx, off); i++)
			compare(p, off, sizes[i / 2], i & 1);
}

static bool kernel_has(const struct progtype *t, u32 attach)
{
	struct code c = {.n = 0};

	finish(&c, t, attach);
	return load(t, attach, &c, 0) >= 0;
}

/* ---- contexts ---- */

static void compare_type(const struct progtype *t, bool *any)
{
	/* Attach types that no row of the type's context names give the same answers: one of them is enough, and 0. */
	u64 named = 1;

	for (u32 i = 0; i < t->ctx->n_fields; i++)
		named |= t->ctx->fields[i].attach;
	for (u32 attach = 0; attach < 58; attach++) {
		struct place p = {.type = t, .attach = attach, .ctx = t->ctx};

		if (!(named >> attach & 1) && progtype_attach_ok(t, 0) && attach != BPF_XDP)
			continue;
		if (!progtype_attach_ok(t, attach) || !kernel_has(t, attach))
			continue;
		compare_all(&p);
		printf("# %s attach type %u: %u accesses compared, %u allowed, %u different\n", t->name, attach, p.compared, p.accepted,
		       p.different);
		*any = true;
	}
}

TEST(contexts_allow_what_linux_allows)
{
	const struct progtype *t;
	u32 n;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	t = progtypes(&n);
	for (u32 i = 0; i < n; i++) {
		bool any = false;

		if (t[i].flags & PT_ATTACH_BTF)
			continue;
		compare_type(&t[i], &any);
		if (!any)
			printf("# the kernel has no %s\n", t[i].name);
	}
}

/* ---- attach types ---- */

TEST(attach_types_are_accepted_as_linux_does)
{
	const struct progtype *t;
	u32 n;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	t = progtypes(&n);
	for (u32 i = 0; i < n; i++) {
		bool known = false;

		if (t[i].flags & PT_ATTACH_BTF)
			continue;
		for (u32 attach = 0; attach < 70; attach++)
			known |= kernel_has(&t[i], attach);
		for (u32 attach = 0; known && attach < 70; attach++)
			if (kernel_has(&t[i], attach) != progtype_attach_ok(&t[i], progtype_attach_default(&t[i], attach)))
				test_fail(__FILE__, __LINE__, "%s with attach type %u: Linux %s", t[i].name, attach,
					  kernel_has(&t[i], attach) ? "accepts" : "refuses");
	}
}

/* ---- what a field loads as ---- */

static const char *register_type(const struct ctx_field *f)
{
	static const char *const targets[] = {
		[TARGET_SOCK_COMMON] = "sock_common", [TARGET_SOCKET] = "sock", [TARGET_FLOW_KEYS] = "flow_keys", [TARGET_PACKET] = "pkt",
		[TARGET_PACKET_END] = "pkt_end", [TARGET_TP_BUFFER] = "tp_buffer", [TARGET_KERNEL] = "trusted_ptr_",
	};
	static char text[64];

	if (f->kind != CTX_POINTER)
		return f->kind == CTX_DATA ? "pkt" : f->kind == CTX_DATA_END ? "pkt_end" : f->kind == CTX_DATA_META ? "pkt_meta" : "scalar";
	snprintf(text, sizeof(text), "%s%s%s", targets[f->target], f->target == TARGET_KERNEL ? ktype_name(f->ktype) : "",
		 f->access & CTX_MAYBE_NULL ? "_or_null" : "");
	return text;
}

/* "R2_w=pkt(r=0)" of the log's first line: the type alone. Numbers are scalars that are known. */
static void type_in_log(char *to, size_t size)
{
	const char *at = strchr(log_text, ';'), *from;
	size_t n = 0;

	to[0] = 0;
	at = at ? strstr(at, " R2") : NULL;
	from = at ? strchr(at, '=') : NULL;
	if (!from)
		return;
	from++;
	while (n + 1 < size && (isalnum((unsigned char)from[n]) || from[n] == '_'))
		n++;
	snprintf(to, size, "%.*s", (int)n, from);
}

static void compare_kind(const struct progtype *t, u32 attach, const struct ctx_field *f)
{
	char type[64];
	struct code c = {.n = 0};
	int fd;

	add(&c, (u8)(0x61 | size_code(f->unit)), 2, 1, (s16)f->offset, 0);
	finish(&c, t, attach);
	fd = load(t, attach, &c, 2);
	type_in_log(type, sizeof(type));
	if (fd < 0 || strcmp(type, register_type(f)))
		test_fail(__FILE__, __LINE__, "%s attach type %u: %s at %u loads as %s, Linux (%d) says %s: %s", t->name, attach, f->name, f->offset,
			  register_type(f), fd, type, log_text);
	if (f->kind == CTX_PLAIN || f->unit == 8)
		return;
	c.insn[0].code = (u8)(0x81 | size_code(f->unit)); /* sign-extending */
	CHECK(load(t, attach, &c, 0) < 0);
}

TEST(fields_load_as_linux_says)
{
	const struct progtype *t;
	u32 n, compared = 0;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	t = progtypes(&n);
	for (u32 i = 0; i < n; i++)
		for (u32 attach = 0; attach < 58 && !(t[i].flags & PT_ATTACH_BTF); attach++) {
			if (!progtype_attach_ok(&t[i], attach) || !kernel_has(&t[i], attach))
				continue;
			for (u32 k = 0; k < t[i].ctx->n_fields; k++) {
				const struct ctx_field *f = &t[i].ctx->fields[k];

				if (ctx_access(t[i].ctx, attach, f->offset, f->unit, false, true) != f)
					continue;
				compare_kind(&t[i], attach, f);
				compared++;
			}
			if (progtype_attach_ok(&t[i], 0))
				break;
		}
	printf("# %u fields compared\n", compared);
	CHECK(compared > 100);
}

/* ---- structs behind pointers ---- */

static void through(const char *type_name, u32 attach, enum ctx_target target, const struct code *prelude)
{
	struct place p = {.attach = attach, .ctx = ctx_target_type(target), .prelude = prelude};
	const struct progtype *t;
	u32 n;

	t = progtypes(&n);
	for (u32 i = 0; i < n; i++)
		if (!strcmp(t[i].name, type_name))
			p.type = &t[i];
	REQUIRE(p.type && p.ctx);
	if (!kernel_has(p.type, attach)) {
		printf("# the kernel has no %s\n", type_name);
		return;
	}
	compare_all(&p);
	printf("# %s: %u accesses compared, %u allowed, %u different\n", p.ctx->name, p.compared, p.accepted, p.different);
	CHECK(p.accepted > 0);
}

static void deref(struct code *c, u32 offset, bool check)
{
	add(c, 0x79, 1, 1, (s16)offset, 0);
	if (!check)
		return;
	add(c, 0x55, 1, 0, 2, 0); /* if r1 != 0 */
	add(c, 0xb7, 0, 0, 0, 0);
	add(c, 0x95, 0, 0, 0, 0);
}

TEST(pointers_lead_to_what_linux_says)
{
	struct code c;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	c.n = 0;
	deref(&c, offsetof(struct __sk_buff, sk), true);
	through("socket_filter", 0, TARGET_SOCK_COMMON, &c);
	c.n = 0;
	deref(&c, offsetof(struct sk_msg_md, sk), false);
	through("sk_msg", 0, TARGET_SOCKET, &c);
	c.n = 0;
	deref(&c, offsetof(struct __sk_buff, flow_keys), false);
	through("flow_dissector", 0, TARGET_FLOW_KEYS, &c);
	c.n = 0;
	deref(&c, offsetof(struct __sk_buff, sk), true);
	add(&c, 0x85, 0, 0, 0, BPF_FUNC_tcp_sock);
	add(&c, 0xbf, 1, 0, 0, 0);
	add(&c, 0x55, 1, 0, 2, 0);
	add(&c, 0xb7, 0, 0, 0, 0);
	add(&c, 0x95, 0, 0, 0, 0);
	through("sched_cls", 0, TARGET_TCP_SOCK, &c);
}

TEST(an_xskmap_holds_what_linux_says)
{
	union bpf_attr a = {.map_type = BPF_MAP_TYPE_XSKMAP, .key_size = 4, .value_size = 4, .max_entries = 4};
	struct code c = {.n = 0};
	int map;

	if (!kernel_loads(BPF_PROG_TYPE_XDP))
		SKIP(KERNEL_MISSING);
	map = kernel_bpf(BPF_MAP_CREATE, &a, sizeof(a));
	if (map < 0)
		SKIP("the kernel has no xskmap");
	add(&c, 0x62, 10, 0, -4, 0); /* key */
	add(&c, 0xbf, 2, 10, 0, 0);
	add(&c, 0x07, 2, 0, 0, -4);
	add(&c, 0x18, 1, 1, 0, map);
	add(&c, 0, 0, 0, 0, 0);
	add(&c, 0x85, 0, 0, 0, BPF_FUNC_map_lookup_elem);
	add(&c, 0xbf, 1, 0, 0, 0);
	add(&c, 0x55, 1, 0, 2, 0);
	add(&c, 0xb7, 0, 0, 0, 0);
	add(&c, 0x95, 0, 0, 0, 0);
	through("xdp", 0, TARGET_XDP_SOCK, &c);
	close(map);
}

/* ---- the tables themselves ---- */

TEST(rows_lie_in_their_contexts)
{
	const struct progtype *t;
	u32 n;

	t = progtypes(&n);
	CHECK_EQ(n, 32);
	for (u32 i = 0; i < n; i++) {
		CHECK_EQ(t[i].id, i + 1);
		for (u32 k = 0; k < t[i].ctx->n_fields; k++) {
			const struct ctx_field *f = &t[i].ctx->fields[k];

			CHECK(f->unit > 0 && f->offset < t[i].ctx->size);
			CHECK(f->kind != CTX_POINTER || f->target != TARGET_NONE);
			CHECK(!(f->target == TARGET_KERNEL) == !f->ktype);
		}
	}
}

int main(void)
{
	RUN(rows_lie_in_their_contexts);
	RUN(attach_types_are_accepted_as_linux_does);
	RUN(contexts_allow_what_linux_allows);
	RUN(fields_load_as_linux_says);
	RUN(pointers_lead_to_what_linux_says);
	RUN(an_xskmap_holds_what_linux_says);
	return test_end();
}
