/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arguments of helpers and what maps they take, beside the running kernel: for every helper, a call is made of arguments that are good by
 * the tables' word. Linux must find them good; without any one of them it must not; a number in a pointer's place must be refused
 * unless the row says otherwise; and of all kinds of map, it must take those that map/rules.def allows.
 */
#include "where.h"

#include <sys/mman.h>

enum { MOST = 64, AREA = 64, KINDS = 34, WORD = 8 };

/* ---- maps of every kind ---- */

static int maps[KINDS], constant_map, value_map, inner_map;

/* Maps are made in both; a descriptor of the kernel's stands for the pair. */
static int pairs[64][2];
static u32 n_pairs;

static s32 pair_of(s32 fd)
{
	for (u32 i = 0; i < n_pairs; i++)
		if (pairs[i][0] == fd)
			return pairs[i][1];
	return -1;
}

static int both(int cmd, union bpf_attr *a, u32 size, u32 *fd)
{
	int kernel = kernel_bpf(cmd, a, size);
	u32 theirs = fd ? *fd : 0;

	if (!engine)
		return kernel;
	if (fd)
		*fd = (u32)pair_of((s32)*fd);
	if (cmd == BPF_MAP_CREATE) {
		a->btf_fd = a->btf_fd ? (u32)our_btf : 0;
		a->inner_map_fd = a->inner_map_fd ? (u32)pair_of((s32)a->inner_map_fd) : 0;
		pairs[n_pairs][1] = skep_bpf(engine, cmd, a, size);
		pairs[n_pairs++][0] = kernel;
	} else {
		skep_bpf(engine, cmd, a, size);
	}
	if (fd)
		*fd = theirs;
	return kernel;
}

static int map_new(u32 kind, u32 key, u32 value, u32 entries, u32 flags, bool types)
{
	union bpf_attr a = {.map_type = kind, .key_size = key, .value_size = value, .max_entries = entries, .map_flags = flags};

	if (types) {
		a.btf_fd = (u32)program_btf;
		a.btf_key_type_id = a.btf_value_type_id = 1;
	}
	if (kind == BPF_MAP_TYPE_ARRAY_OF_MAPS || kind == BPF_MAP_TYPE_HASH_OF_MAPS)
		a.inner_map_fd = (u32)inner_map;
	if (kind == UAPI_MAP_ARENA)
		a.map_extra = 1ull << 44; /* where clients map it */
	return both(BPF_MAP_CREATE, &a, sizeof(a), NULL);
}

static void open_maps(void)
{
	static const struct {
		u8 kind, key, value;
		bool types;
		u32 entries, flags;
	} specs[] = {
		{1, 4, 8, 0, 4, 0}, {2, 4, 8, 0, 4, 0}, {3, 4, 4, 0, 4, 0}, {4, 4, 4, 0, 4, 0}, {5, 4, 8, 0, 4, 0}, {6, 4, 8, 0, 4, 0},
		{7, 4, 64, 0, 4, 0}, {8, 4, 4, 0, 4, 0}, {9, 4, 8, 0, 4, 0}, {10, 4, 8, 0, 4, 0}, {11, 8, 8, 0, 4, BPF_F_NO_PREALLOC},
		{12, 4, 4, 0, 4, 0}, {13, 4, 4, 0, 4, 0}, {14, 4, 4, 0, 4, 0}, {15, 4, 4, 0, 4, 0}, {16, 4, 4, 0, 4, 0}, {17, 4, 4, 0, 4, 0},
		{18, 4, 4, 0, 4, 0}, {19, 16, 8, 0, 0, 0}, {20, 4, 4, 0, 4, 0}, {21, 16, 8, 0, 0, 0}, {22, 0, 8, 0, 4, 0}, {23, 0, 8, 0, 4, 0},
		{24, 4, 4, 1, 0, BPF_F_NO_PREALLOC}, {25, 4, 4, 0, 4, 0}, {27, 0, 0, 0, 4096, 0}, {28, 4, 4, 1, 0, BPF_F_NO_PREALLOC},
		{29, 4, 4, 1, 0, BPF_F_NO_PREALLOC}, {30, 0, 8, 0, 4, 0}, {31, 0, 0, 0, 4096, 0}, {32, 4, 4, 1, 0, BPF_F_NO_PREALLOC},
		{33, 0, 0, 0, 1, BPF_F_MMAPABLE},
	};
	union bpf_attr a = {.map_fd = 0};
	u32 zero = 0;
	u64 text = 0x78; /* "x" */

	inner_map = map_new(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0, false);
	for (u32 i = 0; i < ARRAY_SIZE(specs); i++)
		maps[specs[i].kind] = map_new(specs[i].kind, specs[i].key, specs[i].value, specs[i].entries, specs[i].flags, specs[i].types);
	value_map = map_new(BPF_MAP_TYPE_ARRAY, 4, AREA, 1, 0, false);
	constant_map = map_new(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY_PROG, false);
	a.map_fd = (u32)constant_map;
	a.key = (u64)(uintptr_t)&zero;
	a.value = (u64)(uintptr_t)&text;
	both(BPF_MAP_UPDATE_ELEM, &a, sizeof(a), &a.map_fd);
	memset(&a, 0, sizeof(a));
	a.map_fd = (u32)constant_map;
	both(BPF_MAP_FREEZE, &a, sizeof(a), &a.map_fd);
}

/* int; int ()(void); static functions "main" and "callback" of it */
static int open_btf(void)
{
	static const char names[] = "\0int\0main\0callback";
	static const u32 types[] = {1, 1u << 24, 4, 1u << 24 | 32, /* [1] INT */
				    0, 13u << 24, 1, /* [2] FUNC_PROTO */
				    5, 12u << 24, 2, /* [3] FUNC */
				    10, 12u << 24, 2 /* [4] FUNC */};
	struct {
		struct btf_header h;
		u32 types[ARRAY_SIZE(types)];
		char names[sizeof(names)];
	} b = {.h = {.magic = BTF_MAGIC, .version = 1, .hdr_len = sizeof(struct btf_header), .type_len = sizeof(types), .str_off = sizeof(types),
		     .str_len = sizeof(names)}};
	union bpf_attr a = {.btf = (u64)(uintptr_t)&b, .btf_size = sizeof(struct btf_header) + sizeof(types) + sizeof(names)};

	memcpy(b.types, types, sizeof(types));
	memcpy(b.names, names, sizeof(names));
	our_btf = engine ? skep_bpf(engine, BPF_BTF_LOAD, &a, sizeof(a)) : -1;
	return kernel_bpf(BPF_BTF_LOAD, &a, sizeof(a));
}

/* ---- a call of good arguments ---- */

enum spoil { GOOD, UNINIT, NUMBER };

struct call {
	const struct where *w;
	const struct helper_proto *p;
	int map; /* for the map argument */
	u32 spoilt; /* index of an argument, */
	enum spoil how; /* and what becomes of it */
	struct raw_insn code[MOST];
	u32 n, callback; /* slot of the load of the callback's address, 0: none */
	bool socket_values; /* the map's values are sockets: ctx->sk */
	bool impossible; /* no way to make such an argument */
};

static void put(struct call *c, u8 op, u32 dst, u32 src, s16 off, s32 imm)
{
	c->code[c->n] = insn(op, dst, src, imm);
	c->code[c->n++].off = off;
}

static void put_wide(struct call *c, u32 dst, u32 pseudo, s32 low, s32 high)
{
	put(c, 0x18, dst, pseudo, 0, low);
	put(c, 0, 0, 0, 0, high);
}

static void put_stack(struct call *c, u32 dst, s32 off)
{
	put(c, 0xbf, dst, 10, 0, 0);
	put(c, 0x07, dst, 0, 0, off);
}

/* R7: what needs a call before the call. */
static void put_before(struct call *c)
{
	for (u32 a = 0; a < 5; a++) {
		u32 arg = c->p->args[a], kind = arg & ARG_KIND_MASK;

		if (kind == ARG_SOCK_COMMON || kind == ARG_BTF_SOCK || kind == ARG_SOCKET) {
			if (arg & ARG_NULLABLE)
				continue;
			if (!(c->w->type->avail & (FOR_TC | FOR_CGROUP_SKB)) || arg & ARG_RELEASES) {
				c->impossible = true;
				return;
			}
			put(c, 0x79, 7, 6, offsetof(struct __sk_buff, sk), 0);
			put(c, 0x55, 7, 0, 2, 0); /* if (!sk) return 0 */
			put(c, 0xb7, 0, 0, 0, 0);
			put(c, 0x95, 0, 0, 0, 0);
		} else if (kind == ARG_VALUE && c->socket_values) {
			put(c, 0x79, 7, 6, offsetof(struct __sk_buff, sk), 0);
			put(c, 0x55, 7, 0, 2, 0);
			put(c, 0xb7, 0, 0, 0, 0);
			put(c, 0x95, 0, 0, 0, 0);
		} else if (kind == ARG_KERNEL && arg >> ARG_PARAM_SHIFT == KTYPE_seq_file) {
			put(c, 0x79, 7, 6, 0, 0); /* ctx->meta->seq */
			put(c, 0x79, 7, 7, 0, 0);
		} else if (kind == ARG_KERNEL && arg >> ARG_PARAM_SHIFT == KTYPE_task_struct) {
			put(c, 0x85, 0, 0, 0, HELPER_get_current_task_btf);
			put(c, 0xbf, 7, 0, 0, 0);
		}
	}
}

static void put_arg(struct call *c, u32 a)
{
	u32 arg = c->p->args[a], reg = a + 1, param = arg >> ARG_PARAM_SHIFT;

	switch ((enum arg_kind)(arg & ARG_KIND_MASK)) {
	case ARG_SCALAR:
	case ARG_ANYTHING:
	case ARG_UNSAFE:
	case ARG_MAP_FLAGS_0: put(c, 0xb7, reg, 0, 0, 0); break;
	case ARG_CTX: put(c, 0xbf, reg, 6, 0, 0); break;
	case ARG_MAP_HANDLE: put_wide(c, reg, 1, c->map, 0); break;
	case ARG_KEY: put_stack(c, reg, -AREA); break;
	case ARG_VALUE:
		if (c->socket_values) {
			put(c, 0xbf, reg, 7, 0, 0);
			break;
		}
		/* fall through */
	case ARG_VALUE_OUT: put_stack(c, reg, -2 * AREA); break;
	case ARG_MEM:
	case ARG_MEM_OUT:
	case ARG_MEM_RW:
		if (arg & ARG_IN_MAP)
			put_wide(c, reg, 2, value_map, 0);
		else
			put_stack(c, reg, -AREA);
		break;
	case ARG_FIXED:
	case ARG_FIXED_OUT:
	case ARG_FIXED_RW: put_stack(c, reg, -AREA); break;
	case ARG_SIZE:
	case ARG_SIZE_0:
	case ARG_ALLOC_SIZE: put(c, 0xb7, reg, 0, 0, WORD); break;
	case ARG_CSTRING: put_wide(c, reg, 2, constant_map, 0); break;
	case ARG_STACK: put_stack(c, reg, -AREA); break;
	case ARG_CALLBACK:
		c->callback = c->n;
		put_wide(c, reg, 4, 0, 0);
		break;
	case ARG_KERNEL:
		if (param == KTYPE_task_struct || param == KTYPE_seq_file)
			put(c, 0xbf, reg, 7, 0, 0);
		else if (arg & ARG_NULLABLE)
			put(c, 0xb7, reg, 0, 0, 0);
		else
			c->impossible = true;
		break;
	case ARG_SOCKET:
	case ARG_SOCK_COMMON:
	case ARG_BTF_SOCK: put(c, arg & ARG_NULLABLE ? 0xb7 : 0xbf, reg, arg & ARG_NULLABLE ? 0 : 7, 0, 0); break;
	case ARG_DYNPTR_HANDLE:
		if (!(arg & ARG_UNINIT))
			c->impossible = true;
		put_stack(c, reg, -3 * AREA);
		break;
	default: c->impossible = true; break; /* timers, locks, records, kptrs, per-CPU variables */
	}
}

static void put_spoilt(struct call *c)
{
	if (c->how == NUMBER)
		put(c, 0xb7, c->spoilt + 1, 0, 0, 77);
	else if (c->how == UNINIT && c->spoilt == 0)
		put(c, 0x85, 0, 0, 0, HELPER_get_prandom_u32); /* R1 is the context before: now nothing */
}

/* fd or -errno of the whole program. */
static int make_call(struct call *c)
{
	s64 min = 0, max;
	u32 end;

	c->n = c->callback = 0;
	put(c, 0xbf, 6, 1, 0, 0);
	for (s16 off = -2 * AREA; off < 0; off = (s16)(off + WORD))
		put(c, 0x7a, 10, 0, off, 0);
	put_before(c);
	if (c->how == UNINIT && c->spoilt == 0)
		put_spoilt(c);
	for (u32 a = 0; a < 5 && c->p->args[a] != ARG_NONE; a++)
		if (a != c->spoilt || c->how == GOOD)
			put_arg(c, a);
	if (c->how == NUMBER)
		put_spoilt(c);
	put(c, 0x85, 0, 0, 0, (s32)c->p->id);
	progtype_results(c->w->type, c->w->attach, &min, &max);
	put(c, 0xb7, 0, 0, 0, (s32)min);
	put(c, 0x95, 0, 0, 0, 0);
	end = c->n;
	n_functions = 0;
	if (c->callback) {
		c->code[c->callback].imm = (s32)(end - c->callback - 1);
		put(c, 0xb7, 0, 0, 0, 0);
		put(c, 0x95, 0, 0, 0, 0);
		functions[0] = (struct bpf_func_info){0, 3};
		functions[1] = (struct bpf_func_info){end, 4};
		n_functions = 2;
	}
	return c->impossible ? -ENOSYS : load(c->w, c->code, c->n, "GPL");
}

/* Did Linux find the arguments good? What it gives must be released, but that is another matter. */
static bool taken(int fd)
{
	return fd >= 0 || said("Unreleased reference") || said("reference leak");
}

/* ---- where to call it from ---- */

static void first_place(u32 id, const struct helper_proto *row, struct where *w)
{
	const struct progtype *types;
	u32 n;

	w->type = NULL;
	types = progtypes(&n);
	for (u32 i = 0; i < n && !w->type; i++)
		for (u32 attach = 0; attach <= LAST_ATTACH && !w->type; attach++) {
			struct where one = {.type = &types[i], .attach = attach, .sleepable = types[i].flags & PT_SLEEPABLE_ONLY};

			if (!(types[i].avail & row->avail) || types[i].flags & PT_ATTACH_BTF || !worth(&types[i], attach) ||
			    !helper_hook_ok(row, types[i].avail, attach, NULL, NULL) || helper_proto_for(id, types[i].avail) != row)
				continue;
			if (row->effects & EFFECT_SLEEPS) {
				if (!progtype_sleepable_ok(&types[i], attach))
					continue;
				one.sleepable = true;
			}
			if (loads(&one))
				*w = one;
		}
	for (u32 i = 0; i < ARRAY_SIZE(targets) && !w->type; i++) {
		const struct progtype *t = progtype(targets[i].type);
		s32 type = btf_find(&vmlinux, targets[i].name, targets[i].kind);
		struct where one = {.type = t, .attach = targets[i].attach, .btf_id = (u32)type, .target = targets[i].hook};

		if (type > 0 && t->avail & row->avail && helper_hook_ok(row, t->avail, one.attach, one.target, NULL) && loads(&one))
			*w = one;
	}
}

/* A map of a kind that allows what the helper wants; -1: it takes none. */
static int good_map(const struct helper_proto *p)
{
	for (u32 a = 0; a < 5; a++)
		if ((p->args[a] & ARG_KIND_MASK) == ARG_MAP_HANDLE)
			for (u32 kind = 1; kind < KINDS; kind++)
				if (maps[kind] > 0 && map_allows(kind, p->args[a] >> ARG_PARAM_SHIFT))
					return maps[kind];
	return -1;
}

static u32 tried, impossible;

static void compare_row(const struct helper_proto *p)
{
	struct where w;
	struct call c = {.w = &w, .p = p, .map = good_map(p)};
	int fd;

	first_place(p->id, p, &w);
	if (!w.type || left_out(p->id)) {
		impossible++;
		return;
	}
	fd = make_call(&c);
	if (c.impossible || said("kernel subsystem misconfigured")) {
		impossible++;
		return;
	}
	tried++;
	if (!taken(fd)) {
		differs(&w, "bpf_%s#%u: good arguments are refused", p->name, p->id);
		return;
	}
	for (c.spoilt = 0; c.spoilt < 5 && p->args[c.spoilt] != ARG_NONE; c.spoilt++) {
		u32 kind = p->args[c.spoilt] & ARG_KIND_MASK;
		bool number = kind == ARG_SCALAR || kind == ARG_ANYTHING || kind == ARG_UNSAFE || kind == ARG_ALLOC_SIZE || kind == ARG_MAP_FLAGS_0 ||
			      kind == ARG_SIZE || kind == ARG_SIZE_0;

		c.how = UNINIT;
		if (taken(make_call(&c)))
			differs(&w, "bpf_%s#%u: argument %u may be missing", p->name, p->id, c.spoilt + 1);
		c.how = NUMBER;
		if (!number && taken(make_call(&c)))
			differs(&w, "bpf_%s#%u: argument %u may be a number", p->name, p->id, c.spoilt + 1);
	}
}

TEST(arguments_of_every_helper)
{
	const struct helper_proto *p;
	u32 n;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	shown = 0;
	p = helper_protos(&n);
	for (u32 i = 0; i < n; i++)
		compare_row(&p[i]);
	printf("# %u rows compared, %u cannot be called by such a program\n", tried, impossible);
	CHECK(tried > 150);
}

/* NULL is taken where the row says so, and nowhere else. */
TEST(null_arguments)
{
	const struct helper_proto *p;
	u32 n, seen = 0;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	shown = 0;
	p = helper_protos(&n);
	for (u32 i = 0; i < n; i++) {
		struct where w;

		first_place(p[i].id, &p[i], &w);
		for (u32 a = 0; a < 5 && w.type && !left_out(p[i].id); a++) {
			struct call c = {.w = &w, .p = &p[i], .map = good_map(&p[i])};
			u32 kind = p[i].args[a] & ARG_KIND_MASK;
			bool sized = kind == ARG_MEM || kind == ARG_MEM_OUT || kind == ARG_MEM_RW;
			bool null_ok = p[i].args[a] & ARG_NULLABLE;

			if (kind == ARG_NONE || kind == ARG_SCALAR || kind == ARG_ANYTHING || kind == ARG_UNSAFE || kind == ARG_MAP_FLAGS_0 ||
			    kind == ARG_SIZE || kind == ARG_SIZE_0 || kind == ARG_ALLOC_SIZE || !taken(make_call(&c)) || c.impossible)
				continue;
			c.spoilt = a;
			c.how = NUMBER;
			make_call(&c);
			for (u32 k = 0; k < c.n; k++) /* not 77 but 0, and a size of 0 for it */
				if (c.code[k].code == 0xb7 && (c.code[k].imm == 77 || (sized && null_ok && (c.code[k].regs & 15) == a + 2)))
					c.code[k].imm = 0;
			seen++;
			if (taken(load(&w, c.code, c.n, "GPL")) != null_ok)
				differs(&w, "bpf_%s#%u: argument %u: the tables say that NULL is %s", p[i].name, p[i].id, a + 1,
					null_ok ? "good" : "not good");
		}
	}
	CHECK(seen > 150);
}

/* ---- kinds of maps ---- */

static void compare_kinds(const struct helper_proto *p, u32 use)
{
	struct where w;

	first_place(p->id, p, &w);
	if (!w.type)
		return;
	for (u32 kind = 1; kind < KINDS; kind++) {
		struct call c = {.w = &w, .p = p, .map = maps[kind],
				 .socket_values = map_rules(kind)->gives == GIVES_SOCKET && w.type->avail & (FOR_TC | FOR_CGROUP_SKB | FOR_SOCKET_FILTER)};
		bool allowed = map_use_ok(kind, use, w.type->avail, w.attach);
		int fd;

		if (maps[kind] <= 0)
			continue;
		fd = make_call(&c);
		if (c.impossible)
			return;
		tried++;
		impossible += !taken(fd) && !said("cannot pass map_type") && !said("callback function not allowed for map");
		if (allowed ? said("cannot pass map_type") : taken(fd))
			differs(&w, "bpf_%s#%u with %s: the tables say %s", p->name, p->id, map_rules(kind)->name, allowed ? "yes" : "no");
		if (use == MAP_USE_for_each && allowed && said("callback function not allowed for map") == map_allows(kind, MAP_USE_visit))
			differs(&w, "visits of %s", map_rules(kind)->name);
	}
}

TEST(kinds_of_maps_of_every_helper)
{
	const struct helper_proto *p;
	u32 n;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	shown = tried = impossible = 0;
	p = helper_protos(&n);
	for (u32 i = 0; i < n; i++)
		for (u32 a = 0; a < 5; a++)
			if ((p[i].args[a] & ARG_KIND_MASK) == ARG_MAP_HANDLE)
				compare_kinds(&p[i], p[i].args[a] >> ARG_PARAM_SHIFT);
	printf("# %u pairs compared; in %u the kernel refused other arguments first\n", tried, impossible);
	CHECK(tried > 900);
	CHECK(impossible * 4 < tried);
}

/* Who may update sockmaps: every type of program. */
TEST(updates_of_sockmaps_by_program_type)
{
	static const u32 ids[] = {HELPER_map_update_elem, HELPER_map_delete_elem};
	const struct progtype *types;
	u32 n;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER))
		SKIP(KERNEL_MISSING);
	shown = 0;
	types = progtypes(&n);
	for (u32 i = 0; i < n; i++) {
		struct where w = {.type = &types[i], .attach = progtype_attach_ok(&types[i], 0) ? 0 : UINT32_MAX};

		for (u32 attach = 0; attach <= LAST_ATTACH && w.attach == UINT32_MAX; attach++)
			if (progtype_attach_ok(&types[i], attach))
				w.attach = attach;
		w.sleepable = types[i].flags & PT_SLEEPABLE_ONLY;
		if (types[i].flags & PT_ATTACH_BTF || w.sleepable || !loads(&w))
			continue;
		for (u32 k = 0; k < 2; k++) {
			struct call c = {.w = &w, .p = helper_proto(ids[k]), .map = maps[BPF_MAP_TYPE_SOCKMAP]};

			c.socket_values = types[i].avail & (FOR_TC | FOR_CGROUP_SKB | FOR_SOCKET_FILTER);
			bool ours = map_use_ok(BPF_MAP_TYPE_SOCKMAP, k ? MAP_USE_remove : MAP_USE_update, types[i].avail, w.attach);

			make_call(&c);
			if (said("cannot update sockmap in this context") == ours && !said("R3 type=fp")) /* no socket to put in there */
				differs(&w, "%s of a sockmap", k ? "delete" : "update");
		}
	}
}

/* Which kinds sleepable programs may use at all. */
TEST(maps_of_sleepable_programs)
{
	struct where w = {.type = progtype(BPF_PROG_TYPE_SYSCALL), .sleepable = true};
	u32 seen = 0;

	if (!kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER) || !loads(&w))
		SKIP(KERNEL_MISSING);
	for (u32 kind = 1; kind < KINDS; kind++) {
		struct raw_insn code[] = {insn(0x18, 1, 1, maps[kind]), insn(0, 0, 0, 0), insn(0xb7, 0, 0, 0), insn(0x95, 0, 0, 0)};
		bool ok;

		if (maps[kind] <= 0)
			continue;
		ok = load(&w, code, 4, "GPL") >= 0;
		seen++;
		if (ok != map_rules(kind)->sleepable)
			differs(&w, "%s in a sleepable program", map_rules(kind)->name);
	}
	CHECK(seen > 28);
}

TEST(the_engine_judged_as_the_kernel)
{
	if (!engine)
		SKIP(KERNEL_MISSING);
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		SKIP("no BTF of the running kernel");
	for (u32 i = 0; i < n_pairs; i++)
		CHECK_EQ(pairs[i][1] >= 0, pairs[i][0] >= 0);
	CHECK_EQ(close_engine(), 0);
	CHECK(loads_compared > 1500);
}

int main(void)
{
	(void)!btf_open_file(&vmlinux, &mem_libc, "/sys/kernel/btf/vmlinux", NULL);
	open_engine();
	our_map = pair_of;
	program_btf = open_btf();
	open_maps();
	RUN(arguments_of_every_helper);
	RUN(null_arguments);
	RUN(kinds_of_maps_of_every_helper);
	RUN(updates_of_sockmaps_by_program_type);
	RUN(maps_of_sleepable_programs);
	RUN(the_engine_judged_as_the_kernel);
	if (vmlinux.n_types)
		btf_free(&vmlinux);
	return test_end();
}
