/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From PROG_LOAD to runnable: prog_load() lists the steps in order. Each either adds to the program or refuses it, with a line
 * in the caller's log; the program's memory is one arena, so that giving up is one call.
 *
 * The verifier decides; what it accepts runs in the checking interpreter or compiled.
 */
#include "engine/engine.h"
#include "jit/jit.h"
#include "verify/verify.h"

#include <net/if.h>
#include <stdio.h>
#include <unistd.h>

#define PTR(x) ((void *)(uintptr_t)(x))

enum { LICENSE_MAX = 128 };

int load_refuse(struct load *l, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_addv(&l->log.text, fmt, ap);
	va_end(ap);
	text_add(&l->log.text, "\n");
	return err;
}

PRINTF_LIKE(4, 5) static int refuse_insn(struct load *l, u32 insn, int err, const char *fmt, ...)
{
	va_list ap;

	l->refused_insn = insn;
	text_addf(&l->log.text, "%u: ", insn);
	if (l->p->insns[insn].op != OP_PAD)
		insn_text(&l->log.text, &l->p->insns[insn], insn, NULL);
	text_add(&l->log.text, "\n");
	va_start(ap, fmt);
	text_addv(&l->log.text, fmt, ap);
	va_end(ap);
	text_add(&l->log.text, "\n");
	return err;
}

static u32 code_of(const struct insn_error *err)
{
	switch (err->wrong) {
	case INSN_ENCODING: return REJECT_UNKNOWN_INSN;
	case INSN_JUMP_RANGE: return REJECT_JUMP_OUT_OF_RANGE;
	case INSN_JUMP_MIDDLE: return REJECT_JUMP_INTO_LOAD;
	case INSN_FUNCTION: return REJECT_FUNCTION_BOUNDS;
	}
	return 0;
}

/* ---- what kind of program ---- */

const struct progtype *progtype_of(struct skep *k, u32 id)
{
	const struct progtype *t = progtype(id);

	plain_lock_take(&k->lock);
	for (u32 i = 0; !t && i < k->own_types.n; i++)
		if (k->own_types.at[i]->type.id == id)
			t = &k->own_types.at[i]->type;
	plain_lock_drop(&k->lock);
	return t;
}

const struct helper_proto *proto_of(struct skep *k, u32 id, u64 avail)
{
	const struct helper_proto *p = helper_proto_for(id, avail);

	plain_lock_take(&k->lock);
	for (u32 i = 0; !p && i < k->own_helpers.n; i++)
		if (k->own_helpers.at[i]->proto.id == id && k->own_helpers.at[i]->proto.avail & avail)
			p = &k->own_helpers.at[i]->proto;
	plain_lock_drop(&k->lock);
	return p;
}

static bool gpl(const char *license)
{
	static const char *const names[] = {"GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(license, names[i]))
			return true;
	return false;
}

/* Who may load what; Linux looks at these before anything that the program says. */
static int check_rights(struct load *l, const struct progtype *t)
{
	bool privileged = !atomic_load(&l->k->unprivileged);
	u32 flags = t ? t->flags : 0, most = privileged ? PROG_MAX_INSNS : BPF_MAXINSNS;

	if (l->attr->insn_cnt == 0 || l->attr->insn_cnt > most)
		return load_refuse(l, -E2BIG, "a program of %u instructions: 1 to %u are allowed", l->attr->insn_cnt, most);
	if (!privileged && !(flags & PT_UNPRIVILEGED))
		return load_refuse(l, -EPERM, "programs of type %s need CAP_BPF%s", t ? t->name : "?",
				   flags & PT_NET_ADMIN ? " and CAP_NET_ADMIN" : " and CAP_PERFMON");
	return 0;
}

/* attach_prog_fd and attach_btf_obj_fd are one field: what it is shows when it is opened. */
static int take_target(struct load *l)
{
	const struct attr_prog_load *a = l->attr;
	struct prog *p = l->p;
	struct obj *o;

	if (!a->attach_btf_obj_fd)
		return 0;
	if (!obj_by_fd(l->k, (int)a->attach_btf_obj_fd, OBJ_PROG, 0, &o)) {
		p->target_owner = o;
		p->target = o->body;
		p->traces_tracing = p->type == BPF_PROG_TYPE_TRACING && p->target->type == BPF_PROG_TYPE_TRACING;
		return 0;
	}
	if (obj_by_fd(l->k, (int)a->attach_btf_obj_fd, OBJ_BTF, 0, &o))
		return -EINVAL;
	p->attach_btf_owner = o;
	p->attach_btf = o->body;
	return p->attach_btf->kernel ? 0 : -ENOTSUPP;
}

static int check_attach(struct load *l)
{
	const struct attr_prog_load *a = l->attr;
	const struct prog *p = l->p;
	u32 flags = p->kind ? p->kind->flags : 0;

	if (a->attach_btf_id > BTF_MAX_TYPE || (a->attach_btf_id && !(flags & PT_ATTACH_BTF)) || (p->attach_btf && !a->attach_btf_id))
		return -EINVAL;
	if (p->target && !(flags & PT_ATTACH_PROG))
		return -EINVAL;
	if (p->kind && !progtype_attach_ok(p->kind, p->attach_type))
		return load_refuse(l, -EINVAL, "programs of type %s are not for attach type %u", p->kind->name, p->attach_type);
	return 0;
}

static int take_license(struct load *l)
{
	const char *license = PTR(l->attr->license);
	struct prog *p = l->p;

	if (!license || !l->attr->insns)
		return -EFAULT;
	memcpy(p->license, license, strnlen(license, sizeof(p->license) - 1));
	p->gpl_compatible = strnlen(license, LICENSE_MAX) < sizeof(p->license) && gpl(p->license);
	return 0;
}

static int take_name(struct load *l)
{
	const char *name = l->attr->prog_name;

	for (u32 i = 0; i < sizeof(l->p->name) && name[i]; i++) {
		char c = name[i];

		if (!obj_name_char((u8)c) || i == sizeof(l->p->name) - 1)
			return load_refuse(l, -EINVAL, "the program's name is too long, or has other characters than letters, digits, _ and .");
		l->p->name[i] = c;
	}
	return 0;
}

/* Is it of a kind that Linux lets devices have, with flags that go with it? */
static bool device_bound(const struct attr_prog_load *a)
{
	bool bound = a->prog_flags & UAPI_F_XDP_DEV_BOUND_ONLY, frags = a->prog_flags & BPF_F_XDP_HAS_FRAGS;

	if (a->prog_flags & ~(u32)(UAPI_F_XDP_DEV_BOUND_ONLY | BPF_F_XDP_HAS_FRAGS) || (frags && !bound))
		return false;
	return a->prog_type == BPF_PROG_TYPE_XDP || (a->prog_type == BPF_PROG_TYPE_SCHED_CLS && !bound);
}

static int check_signature(struct load *l)
{
	enum { MOST_SIGNATURE = 8192, KEYRING_PLATFORM = 2 /* the last of the system's */ };
	const struct attr_prog_load *a = l->attr;

	if (!a->signature)
		return 0;
	if (a->signature_size > MOST_SIGNATURE || (u32)a->keyring_id > KEYRING_PLATFORM)
		return -EINVAL;
	return load_refuse(l, -EOPNOTSUPP, "signed programs are not supported by skep %s", skep_version());
}

/* What the attributes say about the program, with the errors and in the order of Linux 6.18. */
static int take_identity(struct load *l)
{
	enum { FLAGS = BPF_F_STRICT_ALIGNMENT | BPF_F_ANY_ALIGNMENT | BPF_F_TEST_STATE_FREQ | BPF_F_SLEEPABLE | BPF_F_TEST_RND_HI32 |
		       BPF_F_XDP_HAS_FRAGS | UAPI_F_XDP_DEV_BOUND_ONLY | UAPI_F_TEST_REG_INVARIANTS | UAPI_F_TOKEN_FD };
	const struct attr_prog_load *a = l->attr;
	char device[IF_NAMESIZE];
	struct prog *p = l->p;
	int err;

	if (a->prog_flags & ~(u32)FLAGS)
		return load_refuse(l, -EINVAL, "flags 0x%x are not ones of PROG_LOAD", a->prog_flags & ~(u32)FLAGS);
	if (a->prog_flags & UAPI_F_TOKEN_FD)
		return token_refused(l->k, "PROG_LOAD", a->prog_token_fd);
	p->type = a->prog_type;
	p->flags = a->prog_flags;
	p->sleepable = a->prog_flags & BPF_F_SLEEPABLE;
	p->kind = progtype_of(l->k, a->prog_type);
	p->attach_type = p->kind ? progtype_attach_default(p->kind, a->expected_attach_type) : a->expected_attach_type;
	p->attach_btf_id = a->attach_btf_id;
	err = check_rights(l, p->kind);
	if (!err)
		err = take_target(l);
	if (!err)
		err = check_attach(l);
	if (!err)
		err = take_license(l);
	if (!err)
		err = check_signature(l);
	if (err)
		return err;
	if (a->prog_ifindex)
		return load_refuse(l, device_bound(a) && if_indextoname(a->prog_ifindex, device) ? -EOPNOTSUPP : -EINVAL, "programs on network devices are not supported by skep %s", skep_version());
	if (!p->kind)
		return load_refuse(l, -EINVAL, "program type %u is not one of Linux 6.18; skep feature lists what is", a->prog_type);
	return take_name(l);
}

static int begin_log(struct load *l)
{
	return user_log_begin(&l->log);
}

/* ---- instructions ---- */

static int take_insns(struct load *l)
{
	struct prog *p = l->p;
	struct insn_error err;
	struct raw_insn *raw;
	struct insn *insns;
	u64 *operand;

	p->n = l->attr->insn_cnt;
	raw = arena_array(&p->arena, p->n, sizeof(*raw));
	insns = arena_array(&p->arena, p->n, sizeof(*insns));
	operand = arena_array(&p->arena, p->n, sizeof(*operand));
	if (!raw || !insns || !operand)
		return -ENOMEM;
	memcpy(raw, PTR(l->attr->insns), p->n * sizeof(*raw));
	p->raw = raw;
	p->insns = insns;
	p->operand = operand;
	if (!insns_decode(raw, p->n, insns, &err))
		return 0;
	l->refused_insn = err.insn;
	l->refused_code = code_of(&err);
	return load_refuse(l, -EINVAL, "%u: %s", err.insn, err.text);
}

static int find_functions(struct load *l)
{
	struct insn_error err = {0};
	int bad = subprogs_find(l->p, &err);

	if (!l->k->options.unverified)
		verify_log_functions(l->p, l->log.level, &l->log.text);
	l->refused_code = bad && bad != -ENOMEM ? code_of(&err) : 0;
	return bad && bad != -ENOMEM ? refuse_insn(l, err.insn, bad, "%s", err.text) : bad;
}

/* ---- what pseudo loads and calls name ---- */

/* May a program of this type use the map, beside those that it has? */
static int map_fits(struct load *l, const struct map *m)
{
	const struct prog *p = l->p;
	const char *why = map_refusal(m, p->kind->avail, p->sleepable);

	if (why)
		return load_refuse(l, -EINVAL, "%s", why);
	if (m->ops->traits & KIND_ARENA && atomic_load(&l->k->unprivileged))
		return load_refuse(l, -EPERM, "CAP_BPF and CAP_PERFMON are required to use arena");
	if (m->ops->traits & KIND_ARENA && p->arena_map)
		return load_refuse(l, -EBUSY, "Only one arena per program");
	for (u32 i = 0; i < p->n_maps; i++) {
		if (m->spec.kind == p->maps[i]->spec.kind && map_allows(m->spec.kind, MAP_USE_cgroup_local))
			return load_refuse(l, -EBUSY, "only one cgroup storage of each type is allowed");
	}
	return 0;
}

/* The map becomes one of the program's, once. */
static int use_map(struct load *l, u32 insn, int fd, struct map **out)
{
	struct prog *p = l->p;
	struct obj *o;
	int err = obj_by_fd(l->k, fd, OBJ_MAP, 0, &o);

	if (err)
		return refuse_insn(l, insn, err == -EPERM ? -EINVAL : err, "fd %d is not pointing to valid bpf_map", fd);
	*out = obj_map(o);
	for (u32 i = 0; i < p->n_maps; i++)
		if (p->maps[i] == *out) {
			obj_put(o);
			return 0;
		}
	err = map_fits(l, *out);
	if (err) {
		obj_put(o);
		return err;
	}
	if (p->n_maps == PROG_MAX_MAPS) {
		obj_put(o);
		return refuse_insn(l, insn, -E2BIG, "The total number of maps per program has reached the limit of %d", PROG_MAX_MAPS);
	}
	if ((*out)->ops->traits & KIND_ARENA) {
		p->arena_map = *out;
		map_arena_choose(*out); /* Linux refuses where nobody mapped it before */
	}
	p->map_owners[p->n_maps] = o;
	p->maps[p->n_maps++] = *out;
	return 0;
}

static struct prog_btf *new_btf(struct prog *p)
{
	u32 n = p->n_btfs;

	if (!(n & (n - 1))) { /* it grows at powers of two */
		struct prog_btf *more = arena_array(&p->arena, MAX(2 * n, 1u), sizeof(*more));

		if (!more)
			return NULL;
		if (n)
			memcpy(more, p->btfs, n * sizeof(*more));
		p->btfs = more;
	}
	return &p->btfs[p->n_btfs++];
}

static void no_btf(struct prog_btf *b, int err, const char *why)
{
	b->err = err;
	b->why = why;
	b->btf = NULL;
}

/* By place in fd_array. */
static void module_of_calls(struct load *l, struct prog_btf *b)
{
	enum { MOST = 256 };
	const s32 *fds = PTR(l->attr->fd_array);
	u32 n = 0;
	int err;

	for (u32 i = 0; i < l->p->n_btfs; i++)
		n += !l->p->btfs[i].by_fd;
	if (b->key < 0)
		return no_btf(b, -EINVAL, "negative offset disallowed for kernel module function call");
	if (n > MOST)
		return no_btf(b, -E2BIG, "too many different module BTFs");
	if (!fds)
		return no_btf(b, -EPROTO, "kfunc offset > 0 without fd_array is invalid");
	err = obj_by_fd(l->k, fds[b->key], OBJ_BTF, 0, &b->owner);
	if (err)
		return no_btf(b, err, "invalid module BTF fd specified");
	b->btf = b->owner->body;
	if (!b->btf->kernel || !b->btf->base)
		no_btf(b, -EINVAL, "BTF fd for kfunc is not a module BTF");
}

static void module_of_variables(struct load *l, struct prog_btf *b)
{
	if (obj_by_fd(l->k, b->key, OBJ_BTF, 0, &b->owner))
		no_btf(b, -EINVAL, "invalid module BTF object FD specified.");
	else
		b->btf = b->owner->body;
}

/* The BTF of a module that a call or a load names is looked up once; what is wrong with it is the verifier's to say. */
static int take_module(struct load *l, bool by_fd, s32 key, const struct prog_btf **out)
{
	struct prog_btf *b;

	*out = prog_btf_named(l->p, by_fd, key);
	if (*out)
		return 0;
	b = new_btf(l->p);
	if (!b)
		return -ENOMEM;
	*b = (struct prog_btf){.by_fd = by_fd, .key = key};
	if (by_fd)
		module_of_variables(l, b);
	else
		module_of_calls(l, b);
	*out = b;
	return 0;
}

/* A counted fd_array: all of its maps are the program's, whether instructions name them or not. */
static int take_array(struct load *l)
{
	const s32 *fds = PTR(l->attr->fd_array);
	u32 n = l->attr->fd_array_cnt;
	struct prog *p = l->p;
	struct map *m;
	struct obj *o;
	int err = 0;

	p->maps = arena_array(&p->arena, PROG_MAX_MAPS, sizeof(*p->maps));
	p->map_owners = arena_array(&p->arena, PROG_MAX_MAPS, sizeof(*p->map_owners));
	if (!p->maps || !p->map_owners)
		return -ENOMEM;
	if (n >= UINT32_MAX / sizeof(*fds))
		return load_refuse(l, -EINVAL, "fd_array_cnt is too big (%u)", n);
	if (n && !fds)
		return -EFAULT;
	for (u32 i = 0; i < n && !err; i++) {
		if (!obj_by_fd(l->k, fds[i], OBJ_BTF, 0, &o)) {
			obj_put(o);
			continue;
		}
		err = obj_by_fd(l->k, fds[i], OBJ_MAP, 0, &o);
		if (err)
			return load_refuse(l, err == -EPERM ? -EINVAL : err, "fd %d is not pointing to valid bpf_map or btf", fds[i]);
		obj_put(o);
		err = use_map(l, 0, fds[i], &m);
	}
	return err;
}

static int map_operand(struct load *l, u32 i)
{
	const struct insn *in = &l->p->insns[i];
	bool by_index = in->pseudo == PSEUDO_MAP_IDX || in->pseudo == PSEUDO_MAP_IDX_VALUE;
	bool value = in->pseudo == PSEUDO_MAP_VALUE || in->pseudo == PSEUDO_MAP_IDX_VALUE;
	u32 low = (u32)(u64)in->imm, off = (u32)((u64)in->imm >> 32);
	u64 *operand = (u64 *)&l->p->operand[i];
	struct map *m = NULL;
	int err;

	if (by_index && !l->attr->fd_array)
		return refuse_insn(l, i, -EPROTO, "fd_idx without fd_array is invalid");
	err = use_map(l, i, by_index ? ((const s32 *)PTR(l->attr->fd_array))[low] : (s32)low, &m);
	if (err)
		return err;
	if (!value) {
		*operand = map_handle(m);
		return off ? refuse_insn(l, i, -EINVAL, "unrecognized bpf_ld_imm64 insn") : 0;
	}
	if (m->ops->traits & KIND_ARENA) {
		if (off >= (u64)m->spec.max_entries * 4096)
			return refuse_insn(l, i, -ERANGE, "invalid direct value offset %u, the arena has %u pages", off, m->spec.max_entries);
		*operand = map_arena_start(m) + off;
		return 0;
	}
	/* Direct addresses are of arrays with one element: global data. */
	if (!(m->ops->traits & KIND_STEADY) || m->spec.max_entries != 1 || !m->values)
		return refuse_insn(l, i, -EINVAL, "no direct value access support for this map type");
	if (off >= 1u << 29)
		return refuse_insn(l, i, -EINVAL, "direct value offset of %u is not allowed", off);
	if (off >= m->spec.value_size)
		return refuse_insn(l, i, -EINVAL, "invalid access to map value pointer, value_size=%u off=%u", m->spec.value_size, off);
	*operand = (u64)(uintptr_t)m->values + off;
	return 0;
}

static int resolve_loads(struct load *l)
{
	struct prog *p = l->p;
	int err = 0;

	for (u32 i = 0; i < p->n && !err; i++) {
		const struct insn *in = &p->insns[i];
		u64 *operand = (u64 *)&p->operand[i];
		const struct prog_btf *module;

		if (in->op != OP_LD_IMM64)
			continue;
		switch ((enum pseudo)in->pseudo) {
		case PSEUDO_CONST: *operand = (u64)in->imm; break;
		case PSEUDO_FUNC: *operand = func_value((u32)((s64)i + 1 + (s32)(u32)(u64)in->imm)); break;
		case PSEUDO_BTF_ID: /* the verifier looks them up */
			p->needs = p->needs ? p->needs : "kernel variables";
			err = (u64)in->imm >> 32 ? take_module(l, true, (s32)((u64)in->imm >> 32), &module) : 0;
			break;
		default: err = map_operand(l, i); break;
		}
	}
	return err;
}

/* Which argument the prototype calls so, counted from 1; 0: none. */
static u32 argument(const struct btf *b, u32 func, const char *name)
{
	const struct btf_type *proto = btf_func_proto(b, func);
	const struct btf_param *arg = proto ? btf_params_of(proto) : NULL;

	for (u32 i = 0; arg && i < btf_vlen_of(proto); i++)
		if (btf_param_named(b, &arg[i], name))
			return i + 1;
	return 0;
}

/* A function that is not known, or not for programs of this type, is refused by the verifier. */
static int resolve_kfunc(struct load *l, u32 i)
{
	struct prog *p = l->p;
	const struct insn *in = &p->insns[i];
	const struct btf *b = kernel_btf(l->k);
	const struct prog_btf *module = NULL;
	const struct btf_type *t;
	const struct kfunc *k;
	struct prog_kfunc *call;
	int err = in->off ? take_module(l, false, in->off, &module) : 0;

	if (err)
		return err;
	b = module ? module->btf : b;
	t = b && in->imm ? btf_type(b, (u32)in->imm) : NULL;
	k = t ? kfunc_by_name(btf_name_of(b, t)) : NULL;
	if (!k || !k->has_body || l->k->options.unverified) {
		p->needs = p->needs ? p->needs : t ? arena_text(&p->arena, "kernel function %s", btf_name_of(b, t)) : "kernel functions";
		return p->needs ? 0 : -ENOMEM;
	}
	call = arena_alloc(&p->arena, sizeof(*call));
	if (!call)
		return -ENOMEM;
	*call = (struct prog_kfunc){.kfunc = k, .body = kfunc_body(k), .meta = argument(b, (u32)in->imm, "meta__ign"), .btf = p->btf};
	p->needs_slot |= (k->flags & (KF_ACQUIRE | KF_RELEASE | KF_RCU)) || ((k->flags & KF_ITER_NEW) && (k->flags & KF_LOOKS));
	p->casts |= k->role == KROLE_RDONLY_CAST;
	((u64 *)p->operand)[i] = (u64)(uintptr_t)call;
	return 0;
}

/* One that is called by other program types with the same arguments, or with some where the body takes none, has the same body. */
static bool has_body(const struct helper_proto *p)
{
	const struct helper_proto *base = helper_proto(p->id);

	return p->has_body || (p->variant && base->has_body && (base->args[0] == ARG_NONE || !memcmp(p->args, base->args, sizeof(p->args))));
}

static bool takes_dynptr(const struct helper_proto *proto)
{
	for (u32 i = 0; i < 5; i++)
		if ((proto->args[i] & ARG_KIND_MASK) == ARG_DYNPTR_HANDLE)
			return true;
	return false;
}

static int resolve_calls(struct load *l)
{
	struct prog *p = l->p;
	const struct progtype *kind = p->kind->flags & PT_AS_TARGET && p->target ? p->target->kind : p->kind;

	for (u32 i = 0; i < p->n; i++) {
		const struct insn *in = &p->insns[i];
		const struct helper_proto *proto;

		if (in->op != OP_CALL || in->pseudo == CALL_SUBPROG)
			continue;
		if (in->pseudo == CALL_KFUNC) {
			int err = resolve_kfunc(l, i);

			if (err)
				return err;
			continue;
		}
		proto = in->imm > 0 && in->imm <= UINT32_MAX ? proto_of(l->k, (u32)in->imm, kind->avail) : NULL;
		if (!proto)
			continue; /* unknown, or not for this type: the verifier says which */
		((u64 *)p->operand)[i] = (u64)(uintptr_t)proto;
		p->needs_slot |= (proto->effects & EFFECT_SLOT) != 0;
		if (l->k->options.unverified && takes_dynptr(proto) && !p->needs)
			p->needs = "dynptrs in a program that was not verified";
		if (has_body(proto) || p->needs)
			continue;
		p->needs = arena_text(&p->arena, "helper bpf_%s", proto->name);
		if (!p->needs)
			return -ENOMEM;
	}
	prog_note_throws(p);
	for (u32 i = 0; i < p->n_maps; i++)
		p->needs_slot |= !(p->maps[i]->ops->traits & KIND_STEADY) || p->maps[i]->record.spin_lock || map_holds(p->maps[i]);
	return 0;
}

static int join_maps(struct load *l)
{
	for (u32 i = 0; i < l->p->n_maps; i++)
		if (!map_takes_program(l->k, l->p->maps[i], l->p))
			return -EINVAL;
	return 0;
}

/* ---- the pipeline ---- */

static int compute_tag(struct load *l)
{
	return prog_tag(l->p->raw, l->p->insns, l->p->n, &l->k->mem, l->p->tag);
}

static int prog_load(struct load *l)
{
	static int (*const steps[])(struct load *) = {
		take_identity,	 /* type, licence, name, flags */
		begin_log,	 /* its level, buffer and size */
		take_array,	 /* maps that are the program's in any case */
		take_types,	 /* BTF: functions */
		take_insns,	 /* decode: every encoding is known */
		find_functions,	 /* every jump stays in its function, none runs off its end */
		match_types,	 /* names and prototypes of functions, lines of source */
		relocate,	 /* numbers that depend on the kernel's types */
		find_attach_target, /* by BTF: the context of tracing programs, hooks, members */
		resolve_loads,	 /* maps, values, functions that pseudo loads name */
		check_sleeping,	 /* may, or must, it sleep? */
		resolve_calls,	 /* helpers */
		load_verify,	 /* the proof that it may run */
		join_maps,	 /* maps of programs: all of one type */
		compute_tag,
		load_compile,	 /* machine code */
	};
	bool walked = false;
	int err = 0;

	for (u32 i = 0; i < ARRAY_SIZE(steps) && !err; i++) {
		walked |= steps[i] == load_verify;
		err = steps[i](l);
	}
	if (err && !walked)
		load_not_verified(l);
	return err;
}

static struct prog *prog_new(struct skep *k)
{
	struct prog *p = mem_alloc(&k->mem, sizeof(*p));

	if (!p)
		return NULL;
	p->mem = &k->mem;
	arena_open(&p->arena, &k->mem);
	return p;
}

void prog_free(struct skep *k, struct prog *p)
{
	jit_free(p);
	for (u32 i = 0; i < p->n_maps; i++)
		obj_put(p->map_owners[i]);
	for (u32 i = 0; i < p->n_bound; i++)
		obj_put(p->bound[i]);
	mem_free(&k->mem, p->bound, p->n_bound * sizeof(*p->bound));
	for (u32 i = 0; i < p->n_btfs; i++)
		obj_put(p->btfs[i].owner);
	obj_put(p->btf_owner);
	obj_put(p->target_owner);
	obj_put(p->attach_btf_owner);
	if (p->pin_fd > 0)
		close(p->pin_fd);
	arena_close(&p->arena);
	mem_free(&k->mem, p, sizeof(*p));
}

/* Loads; *out has one reference. */
static int load_object(struct load *l, struct obj **out)
{
	int err;

	l->p = prog_new(l->k);
	if (!l->p)
		return -ENOMEM;
	err = prog_load(l);
	if (!err) {
		l->p->loaded_ns = l->k->run_host.clock(l->k->run_host.ud, 7 /* CLOCK_BOOTTIME */);
		l->p->loaded_by = getuid();
		*out = obj_new(l->k, OBJ_PROG, l->p);
		if (*out)
			l->p->id = (*out)->id;
		else
			err = -ENOMEM;
	}
	if (l->check && !l->check->decided)
		check_undecided(l, err);
	if (err)
		prog_free(l->k, l->p);
	return err;
}

int sys_prog_load(struct sys_call *c)
{
	struct attr_prog_load *a = c->attr;
	struct load l = {.k = c->k, .attr = a, .check = c->check, .refused_insn = UINT32_MAX, .started_ns = os_clock_ns(1 /* CLOCK_MONOTONIC */)};
	struct obj *o = NULL;
	int err, fd;

	user_log_open(&l.log, &c->k->mem, a->log_level, a->log_buf, a->log_size);
	err = load_object(&l, &o);
	user_log_say(&l.log, c->k, "PROG_LOAD", err);
	err = user_log_close(&l.log, err);
	a->log_true_size = l.log.true_size;
	if (err) {
		obj_put(o);
		return err;
	}
	fd = obj_fd(o, 0);
	obj_put(o);
	return fd;
}
