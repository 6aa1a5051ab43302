/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects whose layout a table or BTF tells: the program's context, sockets, flow keys, kernel types, maps seen as kernel objects.
 *
 * Trust: a pointer into the kernel is trusted (an argument of the hook, an acquired object), RCU-protected (inside a read-side section), or neither; what
 * is loaded through it is at most as good, as abi/fields.def and type tags say. Untrusted pointers are probed: loads give 0 instead of faulting.
 */
#include "verify/call.h"
#include "verify/mem.h"

static u32 flags_of(u32 btf_flags)
{
	static const struct {
		u32 from, to;
	} map[] = {{BTF_PTR_USER, R_USER}, {BTF_PTR_PERCPU, R_PERCPU}, {BTF_PTR_RCU, R_RCU}, {BTF_PTR_TRUSTED, R_TRUSTED},
		   {BTF_PTR_UNTRUSTED, R_UNTRUSTED}, {BTF_PTR_NULLABLE, R_NULLABLE}, {BTF_PTR_RDONLY, R_RDONLY}};
	u32 flags = 0;

	for (u32 i = 0; i < ARRAY_SIZE(map); i++)
		flags |= btf_flags & map[i].from ? map[i].to : 0;
	return flags;
}

static void set_object(struct verifier *v, struct reg *r, u32 type, const struct btf *btf, u32 id)
{
	reg_set_pointer(r, type);
	if (reg_base(type) == R_BTF) {
		r->btf = btf;
		r->btf_id = id;
	}
	if (type & R_NULLABLE)
		r->id = new_id(v);
}

/* ---- context ---- */

static int ctx_refused(struct verifier *v, const struct access *a)
{
	reject(v, REJECT_CTX_ACCESS, "invalid bpf_context access off=%d size=%u", a->off, a->size);
	reject_reg(v, a->regno);
	return v->why->err;
}

/* The context is the argument list of what the program attaches to. */
static int ctx_of_target(struct verifier *v, const struct access *a)
{
	struct reg *dst = a->value_reg >= 0 ? reg_of(v, (u32)a->value_reg) : NULL;
	struct btf_ctx_arg arg;
	struct text log;
	bool ok;

	if (access_writes(a) || !v->prog->attach_btf_id)
		return ctx_refused(v, a);
	text_open(&log, v->log->mem);
	ok = btf_ctx_access(&v->prog->attach, v->prog->arg_infos, v->prog->n_arg_infos, a->off, a->size, &arg, &log);
	if (v->log_level && log.len)
		text_add(v->log, text_str(&log));
	text_close(&log);
	if (!ok)
		return ctx_refused(v, a);
	if (!dst)
		return 0;
	switch (arg.kind) {
	case BTF_CTX_PTR:
		set_object(v, dst, R_BTF | flags_of(arg.flags), arg.btf, arg.id);
		if (hook_in(HOOK_tcp_congestion, hook_name(v)) && !strcmp(btf_name_of(arg.btf, btf_type(arg.btf, arg.id)), "sock")) {
			s32 id = kernel_type(v, KTYPE_tcp_sock); /* it is always one */

			if (id < 0)
				return id;
			dst->btf_id = (u32)id;
		}
		break;
	case BTF_CTX_PROG_CTX: set_object(v, dst, R_CTX, NULL, 0); break;
	case BTF_CTX_BUF: set_object(v, dst, R_BUFFER | flags_of(arg.flags), NULL, 0); break;
	default:
		reg_set_unknown(v, dst);
		if (arg.is_retval && v->prog->kind->flags & PT_RESULT_ERRNO) {
			dst->v.smin32 = -ERRNO_MAX;
			dst->v.smax32 = 0;
			scalar_sync(&dst->v);
		}
	}
	if (arg.info && arg.info->refcounted)
		dst->ref = v->arg_refs[(u32)a->off / 8 % ARRAY_SIZE(v->arg_refs)];
	return 0;
}

static int ctx_pointer(struct verifier *v, const struct ctx_field *f, struct reg *dst)
{
	static const u32 types[] = {[TARGET_SOCK_COMMON] = R_SOCK_COMMON, [TARGET_SOCKET] = R_SOCKET, [TARGET_TCP_SOCK] = R_TCP_SOCK,
				    [TARGET_XDP_SOCK] = R_XDP_SOCK, [TARGET_FLOW_KEYS] = R_FLOW_KEYS, [TARGET_PACKET] = R_PACKET,
				    [TARGET_PACKET_END] = R_PACKET_END, [TARGET_TP_BUFFER] = R_TP_BUFFER, [TARGET_KERNEL] = R_BTF | R_TRUSTED};
	u32 nullable = f->access & CTX_MAYBE_NULL ? R_NULLABLE : 0;
	s32 id = 0;

	if (f->target == TARGET_KERNEL) {
		id = kernel_type(v, f->ktype);
		if (id < 0)
			return id;
	}
	set_object(v, dst, types[f->target] | nullable, vmlinux(v), (u32)id);
	return 0;
}

int access_ctx(struct verifier *v, struct access *a)
{
	const struct ctx_field *f;
	int err = access_leaks(v, a, "ctx");

	err = err ? err : mem_fixed_pointer(v, a->ptr, a->regno, v->kind->ctx->flags & CTX_TYPE_FLAT);
	if (err)
		return err;
	if (v->kind->flags & PT_CTX_BTF)
		return ctx_of_target(v, a);
	f = ctx_access(v->kind->ctx, v->attach_type, a->off, a->size, access_writes(a), v->priv);
	if (!f || (a->sign_extend && f->kind != CTX_PLAIN)) {
		err = ctx_refused(v, a);
		log_source(v, a->insn);
		return err;
	}
	access_reaches(v, a, REACH_CTX);
	if (access_writes(a) || a->value_reg < 0)
		return 0;
	switch ((enum ctx_kind)f->kind) {
	case CTX_DATA: reg_set_pointer(reg_of(v, (u32)a->value_reg), R_PACKET); return 0;
	case CTX_DATA_META: reg_set_pointer(reg_of(v, (u32)a->value_reg), R_PACKET_META); return 0;
	case CTX_DATA_END: reg_set_pointer(reg_of(v, (u32)a->value_reg), R_PACKET_END); return 0;
	case CTX_POINTER: return ctx_pointer(v, f, reg_of(v, (u32)a->value_reg));
	default: access_unknown(v, a); return 0;
	}
}

/* ---- structs of the user-space API that pointers lead to ---- */

static const struct ctx_type *struct_of(u32 type)
{
	switch (reg_base(type)) {
	case R_SOCK_COMMON: return ctx_target_type(TARGET_SOCK_COMMON);
	case R_SOCKET: return ctx_target_type(TARGET_SOCKET);
	case R_TCP_SOCK: return ctx_target_type(TARGET_TCP_SOCK);
	case R_XDP_SOCK: return ctx_target_type(TARGET_XDP_SOCK);
	default: return NULL;
	}
}

int access_sock(struct verifier *v, struct access *a)
{
	const struct ctx_type *t = struct_of(a->ptr->type);

	if (access_writes(a))
		return reject(v, REJECT_READ_ONLY, "R%u cannot write into %s", a->regno, reg_type_name(v, a->ptr->type));
	if (a->ptr->v.smin < 0) {
		reject(v, REJECT_NEGATIVE_OFFSET, "R%u min value is negative, either use unsigned index or do a if (index >=0) check.", a->regno);
		return reject_measured(v, 0, a->ptr->v.smin);
	}
	if (!t || !ctx_access(t, 0, a->off, a->size, false, v->priv))
		return reject(v, REJECT_CTX_ACCESS, "R%u invalid %s access off=%d size=%u", a->regno, reg_type_name(v, a->ptr->type), a->off, a->size);
	access_unknown(v, a);
	return 0;
}

int access_flow_keys(struct verifier *v, struct access *a)
{
	const struct ctx_type *t = ctx_target_type(TARGET_FLOW_KEYS);
	int err = access_leaks(v, a, "flow keys");

	if (err)
		return err;
	if (a->off < 0 || (u64)a->off + a->size > t->size)
		return reject(v, REJECT_CTX_ACCESS, "invalid access to flow keys off=%d size=%u", a->off, a->size);
	access_unknown(v, a);
	return 0;
}

/* ---- kernel types ---- */

static int btf_pointer_rules(struct verifier *v, const struct reg *r, u32 regno, s32 off, const char *name, bool write)
{
	char bits[48];

	if (!v->allow_ptr_leaks)
		return reject_err(v, REJECT_BTF_ACCESS, EPERM, "'struct %s' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN", name);
	if (!v->prog->gpl_compatible && r->btf->kernel)
		return reject_err(v, REJECT_BTF_ACCESS, EINVAL, "Cannot access kernel 'struct %s' from non-GPL compatible program", name);
	if (off < 0)
		return reject(v, REJECT_BTF_ACCESS, "R%u is ptr_%s invalid negative access: off=%d", regno, name, off);
	if (!scalar_is_const(&r->v) || r->v.bits.value)
		return reject(v, REJECT_BTF_ACCESS, "R%u is ptr_%s invalid variable offset: off=%d, var_off=%s", regno, name, off,
			      tnum_text(bits, sizeof(bits), r->v.bits));
	if (r->type & R_USER)
		return reject(v, REJECT_BTF_ACCESS, "R%u is ptr_%s access user memory: off=%d", regno, name, off);
	if (r->type & R_PERCPU)
		return reject(v, REJECT_BTF_ACCESS, "R%u is ptr_%s access percpu memory: off=%d", regno, name, off);
	if (write && r->type & R_UNTRUSTED)
		return reject(v, REJECT_BTF_ACCESS, "only read is supported");
	return 0;
}

/* How far a pointer loaded from field `name` of *r is to be trusted. */
static u32 loaded_flags(struct verifier *v, const struct reg *r, const char *in, const char *name, u32 flags)
{
	bool trusted = r->type & (R_TRUSTED | R_ALLOC) || r->ref, rcu = r->type & R_RCU;
	enum field_safety safe = name ? field_safety(in, name) : SAFE_NOT;

	if (r->type & R_UNTRUSTED)
		return R_UNTRUSTED;
	if (!trusted && !rcu)
		return flags & ~(u32)(R_TRUSTED | R_RCU);
	if (safe == SAFE_TRUSTED)
		return flags | R_TRUSTED;
	if (safe == SAFE_TRUSTED_OR_NULL)
		return flags | R_TRUSTED | R_NULLABLE;
	if (!rcu_held(v) || r->type & R_NULLABLE)
		return R_UNTRUSTED;
	if (safe == SAFE_RCU)
		return flags | R_RCU;
	if (safe == SAFE_RCU_OR_NULL)
		return (flags | R_RCU | R_NULLABLE) & ~(u32)R_UNTRUSTED;
	if (flags & R_RCU)
		return flags | R_NULLABLE;
	return flags & (R_PERCPU | R_USER) ? flags : flags & ~(u32)(R_TRUSTED | R_RCU);
}

/* Where a member lies, also one inside of another: "scx.slice". -ENOENT */
static s64 member_at(const struct btf *b, u32 id, const char *path, u32 *size)
{
	char name[64];
	s64 at = 0;

	while (*path) {
		size_t n = strcspn(path, ".");
		u32 type;
		s64 off;

		if (n >= sizeof(name))
			return -ENOENT;
		memcpy(name, path, n);
		name[n] = 0;
		off = btf_member_find(b, id, name, &type);
		if (off < 0)
			return off;
		at += off;
		btf_skip_modifiers(b, type, &id);
		path += n + (path[n] == '.');
	}
	*size = (u32)MAX(btf_size(b, id), 0);
	return at;
}

/* Kernel structs that some programs may change parts of. */
static int kernel_store(struct verifier *v, const struct reg *r, const char *name, s32 off, u32 size)
{
	const char *by = v->prog->attach_struct ? v->prog->attach_struct : v->kind->name;
	bool some = false;
	u32 n;
	const struct kernel_write *w = kernel_writes(&n);

	for (u32 i = 0; i < n; i++) {
		u32 length = 0;
		s64 at;

		if (strcmp(w[i].by, by) || strcmp(w[i].type, name))
			continue;
		some = true;
		at = member_at(r->btf, r->btf_id, w[i].member, &length);
		if (at < 0 || off < at || (u64)off >= (u64)at + length || (off != at && length <= 8))
			continue;
		if ((u64)off + size > (u64)at + length)
			return reject(v, REJECT_BTF_ACCESS, "write access at off %d with size %u beyond the member of %s ended at %llu", off, size, name,
				      (unsigned long long)at + length);
		return 0;
	}
	return some ? reject(v, REJECT_BTF_ACCESS, "no write support to %s at off %d", name, off)
		    : reject(v, REJECT_BTF_ACCESS, "only read is supported");
}

int btf_pointer_access(struct verifier *v, struct reg *r, u32 regno, s32 off, u32 size, u32 use, s32 dst)
{
	const struct btf_type *t = btf_type(r->btf, r->btf_id);
	const char *name = btf_name_of(r->btf, t);
	bool write = use & MEM_WRITE, alloc = r->type & R_ALLOC;
	struct btf_walk walk = {0};
	struct text log;
	u32 flags;
	int err = btf_pointer_rules(v, r, regno, off, name, write);

	if (err)
		return err;
	if (write && !alloc)
		return kernel_store(v, r, name, off, size);
	if (alloc && !(r->type & (R_NON_OWNING | R_RCU)) && !r->ref)
		return bug(v, "an allocated object without a reference");
	text_open(&log, v->log->mem);
	err = btf_struct_access(r->btf, r->btf_id, alloc, off, size, &walk, &log);
	if (err) {
		while (log.len && log.at[log.len - 1] == '\n')
			log.at[--log.len] = 0;
		reject_err(v, REJECT_BTF_ACCESS, err, "%s", text_str(&log));
	}
	text_close(&log);
	if (err || write || dst < 0)
		return err;
	if (walk.kind == BTF_WALK_SCALAR) {
		reg_set_unknown(v, reg_of(v, (u32)dst));
		return 0;
	}
	if (walk.kind == BTF_WALK_MEM) { /* of no known size: reads through it are guarded */
		reg_set_pointer(reg_of(v, (u32)dst), R_MEM | flags_of(walk.flags));
		return 0;
	}
	flags = loaded_flags(v, r, name, walk.field, flags_of(walk.flags));
	set_object(v, reg_of(v, (u32)dst), R_BTF | flags, r->btf, walk.id);
	return 0;
}

int access_btf(struct verifier *v, struct access *a)
{
	return btf_pointer_access(v, a->ptr, a->regno, a->off, a->size, a->use, a->value_reg);
}

/* Its id; that of the map read last is at hand. */
static s32 map_struct(struct verifier *v, const char *name)
{
	if (v->map_struct.name != name) {
		v->map_struct.id = btf_find(vmlinux(v), name, BTF_KIND_STRUCT);
		v->map_struct.name = name;
	}
	return v->map_struct.id;
}

/* A map itself, read as the kernel's struct. */
int access_map_object(struct verifier *v, struct access *a)
{
	const struct map_rules *rules = map_rules(a->ptr->map->spec.kind);
	const char *name = rules ? rules->kernel_struct : NULL;
	struct btf_walk walk = {0};
	struct text log;
	s32 id;
	int err;

	if (!vmlinux(v))
		return reject_err(v, REJECT_MAP_OBJECT, ENOTSUPP, "map_ptr access not supported without CONFIG_DEBUG_INFO_BTF");
	id = name ? map_struct(v, name) : -ENOENT;
	if (id < 0)
		return reject_err(v, REJECT_MAP_OBJECT, ENOTSUPP, "map_ptr access not supported for map type %u", a->ptr->map->spec.kind);
	if (!v->allow_ptr_to_map_access)
		return reject_err(v, REJECT_MAP_OBJECT, EPERM, "'struct %s' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN", name);
	if (a->off < 0)
		return reject(v, REJECT_MAP_OBJECT, "R%u is %s invalid negative access: off=%d", a->regno, name, a->off);
	if (access_writes(a))
		return reject(v, REJECT_MAP_OBJECT, "only read from %s is supported", name);
	v->result->reads_maps = true;
	text_open(&log, v->log->mem);
	err = btf_struct_access(vmlinux(v), (u32)id, false, a->off, a->size, &walk, &log);
	if (err) {
		while (log.len && log.at[log.len - 1] == '\n')
			log.at[--log.len] = 0;
		reject_err(v, REJECT_MAP_OBJECT, err, "%s", text_str(&log));
	}
	text_close(&log);
	if (err || a->value_reg < 0)
		return err;
	if (walk.kind == BTF_WALK_SCALAR)
		access_unknown(v, a);
	else
		set_object(v, reg_of(v, (u32)a->value_reg), R_BTF | flags_of(walk.flags), vmlinux(v), walk.id);
	return 0;
}
