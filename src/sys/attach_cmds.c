/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf(2) on what skep has nothing behind: programs at cgroups, devices and sockets, iterators, tokens, streams. Calls that are wrong get Linux's error, in
 * Linux's order; those that Linux would serve are refused with a line in the engine's log that names what is missing.
 */
#include "sys/sys.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* What the target is of those that are attached to such a type; of the last three there are links only, or links and queries; the last has none. */
enum point { POINT_NONE, POINT_CGROUP, POINT_DEVICE, POINT_MAP, POINT_NETNS, POINT_LIRC, POINT_DEVICE_LINK, POINT_NETNS_LINK, POINT_LINK };

enum { LSM_CGROUP = 43, NETKIT_PRIMARY = 54 }; /* newer than the system's header */

static const struct {
	u32 first, last; /* attach types */
	u32 prog_type;
	enum point point;
} points[] = {
	{BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS, BPF_PROG_TYPE_CGROUP_SKB, POINT_CGROUP},
	{BPF_CGROUP_INET_SOCK_CREATE, BPF_CGROUP_INET_SOCK_CREATE, BPF_PROG_TYPE_CGROUP_SOCK, POINT_CGROUP},
	{BPF_CGROUP_SOCK_OPS, BPF_CGROUP_SOCK_OPS, BPF_PROG_TYPE_SOCK_OPS, POINT_CGROUP},
	{BPF_SK_SKB_STREAM_PARSER, BPF_SK_SKB_STREAM_VERDICT, BPF_PROG_TYPE_SK_SKB, POINT_MAP},
	{BPF_CGROUP_DEVICE, BPF_CGROUP_DEVICE, BPF_PROG_TYPE_CGROUP_DEVICE, POINT_CGROUP},
	{BPF_SK_MSG_VERDICT, BPF_SK_MSG_VERDICT, BPF_PROG_TYPE_SK_MSG, POINT_MAP},
	{BPF_CGROUP_INET4_BIND, BPF_CGROUP_INET6_CONNECT, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, POINT_CGROUP},
	{BPF_CGROUP_INET4_POST_BIND, BPF_CGROUP_INET6_POST_BIND, BPF_PROG_TYPE_CGROUP_SOCK, POINT_CGROUP},
	{BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_UDP6_SENDMSG, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, POINT_CGROUP},
	{BPF_LIRC_MODE2, BPF_LIRC_MODE2, BPF_PROG_TYPE_LIRC_MODE2, POINT_LIRC},
	{BPF_FLOW_DISSECTOR, BPF_FLOW_DISSECTOR, BPF_PROG_TYPE_FLOW_DISSECTOR, POINT_NETNS},
	{BPF_CGROUP_SYSCTL, BPF_CGROUP_SYSCTL, BPF_PROG_TYPE_CGROUP_SYSCTL, POINT_CGROUP},
	{BPF_CGROUP_UDP4_RECVMSG, BPF_CGROUP_UDP6_RECVMSG, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, POINT_CGROUP},
	{BPF_CGROUP_GETSOCKOPT, BPF_CGROUP_SETSOCKOPT, BPF_PROG_TYPE_CGROUP_SOCKOPT, POINT_CGROUP},
	{BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETSOCKNAME, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, POINT_CGROUP},
	{BPF_CGROUP_INET_SOCK_RELEASE, BPF_CGROUP_INET_SOCK_RELEASE, BPF_PROG_TYPE_CGROUP_SOCK, POINT_CGROUP},
	{BPF_TRACE_RAW_TP, BPF_MODIFY_RETURN, BPF_PROG_TYPE_TRACING, POINT_LINK},
	{BPF_LSM_MAC, BPF_LSM_MAC, BPF_PROG_TYPE_LSM, POINT_LINK},
	{BPF_TRACE_ITER, BPF_TRACE_ITER, BPF_PROG_TYPE_TRACING, POINT_LINK},
	{BPF_SK_LOOKUP, BPF_SK_LOOKUP, BPF_PROG_TYPE_SK_LOOKUP, POINT_NETNS_LINK},
	{BPF_XDP, BPF_XDP, BPF_PROG_TYPE_XDP, POINT_DEVICE_LINK},
	{BPF_SK_SKB_VERDICT, BPF_SK_SKB_VERDICT, BPF_PROG_TYPE_SK_SKB, POINT_MAP},
	{LSM_CGROUP, LSM_CGROUP, BPF_PROG_TYPE_LSM, POINT_CGROUP},
	{46 /* BPF_TCX_INGRESS */, 47 /* BPF_TCX_EGRESS */, BPF_PROG_TYPE_SCHED_CLS, POINT_DEVICE},
	{49 /* BPF_CGROUP_UNIX_CONNECT */, 53 /* BPF_CGROUP_UNIX_GETSOCKNAME */, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, POINT_CGROUP},
	{NETKIT_PRIMARY, NETKIT_PRIMARY + 1, BPF_PROG_TYPE_SCHED_CLS, POINT_DEVICE},
};

static enum point point_of(u32 attach_type, u32 *prog_type)
{
	for (u32 i = 0; i < ARRAY_SIZE(points); i++)
		if (attach_type >= points[i].first && attach_type <= points[i].last) {
			*prog_type = points[i].prog_type;
			return points[i].point;
		}
	return POINT_NONE;
}

/* What nothing is wrong with ends here; the hook goes by the name of the section that programs for it are written in. */
static int no_hook(struct sys_call *c, u32 prog_type, u32 attach_type)
{
	const struct section *s = section_for(prog_type, attach_type);
	const char *name = s ? s->name : "programs of that type";

	log_line(c->k, "attach: %s: %.*s: skep %s does not have this hook; programs run by PROG_TEST_RUN", c->name, (int)strcspn(name, "+"), name, skep_version());
	return -EOPNOTSUPP;
}

bool attach_names_device(u32 attach_type)
{
	u32 type;
	enum point point = point_of(attach_type, &type);

	return point == POINT_DEVICE || point == POINT_DEVICE_LINK;
}

/* Programs of some types go only where they were loaded for. */
static bool attach_fits(const struct prog *p, u32 attach_type)
{
	switch (p->type) {
	case BPF_PROG_TYPE_CGROUP_SOCK:
	case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
	case BPF_PROG_TYPE_CGROUP_SOCKOPT:
	case BPF_PROG_TYPE_SK_LOOKUP:
		return p->attach_type == attach_type;
	default:
		return true;
	}
}

/* A folder of the second version; a descriptor that is only a path will do. */
static bool is_cgroup(u32 fd)
{
	struct statfs fs;
	struct stat st;

	return !fstatfs((int)fd, &fs) && fs.f_type == CGROUP2_SUPER_MAGIC && !fstat((int)fd, &st) &&
	       S_ISDIR(st.st_mode);
}

static bool is_netns(u32 fd)
{
	char path[64], name[16];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%u", fd);
	n = readlink(path, name, sizeof(name));
	return n > 5 && !memcmp(name, "net:[", 5);
}

static int target_check(struct skep *k, enum point point, u32 target)
{
	char name[IF_NAMESIZE];
	struct obj *o;
	int err;

	switch (point) {
	case POINT_CGROUP:
		return is_cgroup(target) ? 0 : -EBADF;
	case POINT_DEVICE:
		return if_indextoname(target, name) ? 0 : -ENODEV;
	case POINT_DEVICE_LINK:
		return if_indextoname(target, name) ? 0 : -EINVAL;
	case POINT_NETNS:
	case POINT_NETNS_LINK:
		return fd_is_open(k, (int)target) ? 0 : -EBADF;
	case POINT_MAP:
		err = obj_by_fd(k, (int)target, OBJ_MAP, 0, &o);
		if (!err)
			obj_put(o);
		return err;
	default:
		return 0;
	}
}

static bool is_map_of_sockets(struct skep *k, u32 fd)
{
	struct obj *o;
	u32 kind;

	if (obj_by_fd(k, (int)fd, OBJ_MAP, 0, &o))
		return false;
	kind = obj_map(o)->spec.kind;
	obj_put(o);
	return kind == BPF_MAP_TYPE_SOCKMAP || kind == BPF_MAP_TYPE_SOCKHASH;
}

/* Is it a program of that type? attach: one that may be put there? */
static int prog_check(struct skep *k, u32 fd, u32 type, const u32 *attach)
{
	const struct prog *p;
	struct obj *o;
	int err = obj_by_fd(k, (int)fd, OBJ_PROG, 0, &o);

	if (err)
		return err;
	p = o->body;
	err = p->type != type || (attach && !attach_fits(p, *attach)) ? -EINVAL : 0;
	obj_put(o);
	return err;
}

/* ---- a place among several programs ---- */

enum {
	F_BEFORE = 1 << 3,
	F_AFTER = 1 << 4,
	F_ID = 1 << 5,
	F_PREORDER = 1 << 6,
	F_LINK = 1 << 13,
	FLAGS_PLACE = F_BEFORE | F_AFTER | F_ID | F_LINK,
	FLAGS_CGROUP = BPF_F_ALLOW_OVERRIDE | BPF_F_ALLOW_MULTI | BPF_F_REPLACE |
		       F_PREORDER, /* how programs of nested cgroups combine */
};

struct place {
	u32 flags, relative; /* before or after which one */
	u64 revision;	     /* what the caller believes has happened here; 0: anything */
	bool link;	     /* for a link */
};

enum { FIRST_REVISION = 1 }; /* of a place where nothing ever was */

static bool names_neighbour(const struct place *w)
{
	return w->flags & (F_ID | F_LINK) || w->relative;
}

/* type: what the neighbour has to be; 0: anything. No link of an engine belongs to a program that has
 * neighbours. */
static int neighbour_check(struct skep *k, const struct place *w, u32 type)
{
	enum obj_type kind = w->flags & F_LINK ? OBJ_LINK : OBJ_PROG;
	struct obj *o;
	int err = 0;

	if (!names_neighbour(w))
		return 0;
	if (w->flags & F_ID)
		err = (o = obj_by_id(k, kind, w->relative)) ? 0 : -ENOENT;
	else
		err = w->relative ? obj_by_fd(k, (int)w->relative, kind, 0, &o) : -EINVAL;
	if (err)
		return err;
	if (type && (kind == OBJ_LINK || ((const struct prog *)o->body)->type != type))
		err = -EINVAL;
	obj_put(o);
	return err;
}

/* Both say what Linux finds wrong with a place at a target where nothing is: no program of an engine is at
 * any. */
static int device_place_check(struct skep *k, const struct place *w, u32 type)
{
	u32 sides = w->flags & (F_BEFORE | F_AFTER);
	int err;

	if (w->revision && w->revision != FIRST_REVISION)
		return -ESTALE;
	err = neighbour_check(k, w, type);
	if (err)
		return err;
	if (w->flags & BPF_F_REPLACE || (sides && names_neighbour(w)))
		return -ENOENT;
	if (sides == (F_BEFORE | F_AFTER))
		return -ERANGE;
	return !sides && (w->flags || names_neighbour(w)) ? -EINVAL : 0;
}

static int cgroup_place_check(struct skep *k, const struct place *w)
{
	u32 sides = w->flags & (F_BEFORE | F_AFTER);
	bool multi = w->link || w->flags & BPF_F_ALLOW_MULTI, replace = w->flags & BPF_F_REPLACE;
	int err;

	if ((w->flags & BPF_F_ALLOW_OVERRIDE && multi) || (replace && (!multi || sides)))
		return -EINVAL;
	if (w->revision && w->revision != FIRST_REVISION)
		return -ESTALE;
	if (replace)
		return -ENOENT;
	if (!names_neighbour(w))
		return 0;
	if (!sides || sides == (F_BEFORE | F_AFTER) || !(w->flags & F_LINK) == w->link)
		return -EINVAL;
	err = neighbour_check(k, w, 0);
	return err ? err : -ENOENT;
}

/* ---- programs without links ---- */

int sys_prog_attach(struct sys_call *c)
{
	const struct attr_prog_attach *a = c->attr;
	const struct place where = {a->attach_flags, a->relative, a->expected_revision, false};
	u32 type = 0, flags = FLAGS_CGROUP;
	enum point point = point_of(a->attach_type, &type);
	bool replace = a->attach_flags & BPF_F_REPLACE;
	int err;

	switch (point) {
	case POINT_CGROUP:
		flags |= FLAGS_PLACE;
		replace = replace && a->attach_flags & BPF_F_ALLOW_MULTI;
		break;
	case POINT_DEVICE:
		flags = FLAGS_PLACE | BPF_F_REPLACE;
		break;
	case POINT_NONE:
		return -EINVAL;
	default:
		if (a->relative || a->expected_revision)
			return -EINVAL;
		break;
	}
	err = a->attach_flags & ~flags ? -EINVAL : prog_check(c->k, a->attach_bpf_fd, type, &a->attach_type);
	if (err)
		return err;
	if (point == POINT_DEVICE_LINK || point == POINT_NETNS_LINK || point == POINT_LINK)
		return -EINVAL;
	if (point == POINT_MAP || point == POINT_NETNS)
		err = a->attach_flags || a->replace_bpf_fd ? -EINVAL : 0;
	if (point == POINT_NETNS) /* it is always the caller's */
		err = a->target ? -EINVAL : err;
	else
		err = err ? err : target_check(c->k, point, a->target);
	if (!err && replace && (point == POINT_CGROUP || point == POINT_DEVICE))
		err = prog_check(c->k, a->replace_bpf_fd, type, NULL);
	if (!err && point == POINT_CGROUP)
		err = cgroup_place_check(c->k, &where);
	if (!err && point == POINT_DEVICE)
		err = device_place_check(c->k, &where, type);
	return err ? err : no_hook(c, type, a->attach_type);
}

/* As nothing is anywhere, there is nothing to detach. */
int sys_prog_detach(struct sys_call *c)
{
	const struct attr_prog_attach *a = c->attr;
	u32 type = 0;
	enum point point = point_of(a->attach_type, &type);
	int err = a->attach_flags || a->relative ? -EINVAL : 0;

	if (point != POINT_CGROUP && a->expected_revision)
		err = -EINVAL;
	switch (point) {
	case POINT_DEVICE:
		if (a->attach_flags & ~(u32)(FLAGS_PLACE | BPF_F_REPLACE))
			return -EINVAL;
		err = a->attach_bpf_fd ? prog_check(c->k, a->attach_bpf_fd, type, NULL) : 0;
		err = err ? err : target_check(c->k, point, a->target);
		break;
	case POINT_CGROUP:
		err = err ? err : target_check(c->k, point, a->target);
		if (!err && a->expected_revision && a->expected_revision != FIRST_REVISION)
			err = -ESTALE;
		break;
	case POINT_NETNS: /* it is always the caller's */
		err = err || a->target ? -EINVAL : prog_check(c->k, a->attach_bpf_fd, type, NULL);
		break;
	case POINT_MAP:
		err = err || a->replace_bpf_fd ? -EINVAL : target_check(c->k, point, a->target);
		err = err ? err : prog_check(c->k, a->attach_bpf_fd, type, NULL);
		if (!err && !is_map_of_sockets(c->k, a->target))
			err = -EOPNOTSUPP;
		break;
	case POINT_LIRC:
		return err ? err : no_hook(c, type, a->attach_type);
	default:
		return -EINVAL;
	}
	return err ? err : -ENOENT;
}

/* What Linux says of a target with nothing attached to it. No program of an engine is at any of these:
 * PROG_ATTACH and LINK_CREATE refuse them. */
static int query_nothing(struct sys_call *c, enum point point)
{
	struct attr_prog_query *a = c->attr;
	bool effective = a->query_flags & BPF_F_QUERY_EFFECTIVE;
	int err = 0;

	switch (point) {
	case POINT_CGROUP:
		if (effective && a->prog_attach_flags)
			return -EINVAL;
		if (a->attach_type == LSM_CGROUP && !effective && a->count && a->prog_ids &&
		    !a->prog_attach_flags)
			return -EINVAL;
		a->revision = effective || a->attach_type == LSM_CGROUP ? 0 : FIRST_REVISION;
		break;
	case POINT_DEVICE:
		if (a->query_flags || a->attach_flags || a->attach_type >= NETKIT_PRIMARY)
			return -EINVAL;
		a->revision = FIRST_REVISION;
		break;
	case POINT_NETNS:
	case POINT_NETNS_LINK:
		if (!is_netns(a->target))
			return -EINVAL;
		break;
	case POINT_MAP:
		if (!is_map_of_sockets(c->k, a->target))
			err = -EOPNOTSUPP;
		break;
	default:
		return sys_unsupported(c);
	}
	a->attach_flags = 0;
	a->count = 0;
	return err;
}

int sys_prog_query(struct sys_call *c)
{
	const struct attr_prog_query *a = c->attr;
	u32 type;
	enum point point = point_of(a->attach_type, &type);
	int err;

	if (a->query_flags & ~(u32)BPF_F_QUERY_EFFECTIVE || point == POINT_NONE ||
	    point == POINT_DEVICE_LINK || point == POINT_LINK)
		return -EINVAL;
	if (a->query_flags && (point == POINT_NETNS || point == POINT_NETNS_LINK || point == POINT_MAP))
		return -EINVAL;
	err = target_check(c->k, point, a->target);
	return err ? err : query_nothing(c, point);
}

/* ---- links ---- */

static int netfilter_check(const struct attr_link_create *a)
{
	enum { IPV4 = 2, IPV6 = 10, HOOKS = 5, DEFRAG = 1, DEFRAG_PRIORITY = -400 };
	u32 family = a->specific[0], hook = a->specific[1], flags = a->specific[3];
	s32 priority = (s32)a->specific[2];

	if (a->attach_type != UAPI_ATTACH_NETFILTER || a->flags)
		return -EINVAL;
	if (family != IPV4 && family != IPV6)
		return -EAFNOSUPPORT;
	if (hook >= HOOKS)
		return -EPROTO;
	if (flags & ~(u32)DEFRAG)
		return -EOPNOTSUPP;
	return priority == INT32_MIN || priority == INT32_MAX || (flags && priority <= DEFRAG_PRIORITY)
		   ? -ERANGE
		   : 0;
}

/* Where the generic layer, a driver or the device runs it: one of them at most. */
static bool device_modes_ok(u32 flags)
{
	enum { MODES = 1 << 1 | 1 << 2 | 1 << 3 };

	return !(flags & ~(u32)MODES) && !(flags & (flags - 1));
}

static int point_link_check(struct sys_call *c, enum point point, u32 type)
{
	const struct attr_link_create *a = c->attr;
	const struct place where = {a->flags, a->specific[0], (u64)a->specific[3] << 32 | a->specific[2],
				    true};
	u32 flags = point == POINT_CGROUP ? FLAGS_PLACE | F_PREORDER : 0;
	int err;

	if (point != POINT_DEVICE && point != POINT_DEVICE_LINK &&
	    a->flags & ~flags) /* of a device, Linux asks for the device first */
		return -EINVAL;
	err = target_check(c->k, point, a->target);
	if (err)
		return err;
	switch (point) {
	case POINT_CGROUP:
		return cgroup_place_check(c->k, &where);
	case POINT_DEVICE:
		return device_place_check(c->k, &where, type);
	case POINT_DEVICE_LINK:
		return device_modes_ok(a->flags) ? 0 : -EINVAL;
	case POINT_NETNS:
	case POINT_NETNS_LINK:
		return is_netns(a->target) ? 0 : -EINVAL;
	case POINT_MAP:
		return is_map_of_sockets(c->k, a->target) ? 0 : -EINVAL;
	default:
		return 0;
	}
}

int link_elsewhere(struct sys_call *c, const struct prog *p)
{
	const struct attr_link_create *a = c->attr;
	u32 type = 0;
	enum point point = point_of(a->attach_type, &type);
	int err;

	switch (p->type) {
	case BPF_PROG_TYPE_EXT:
		return no_hook(c, p->type, 0);
	case 32 /* BPF_PROG_TYPE_NETFILTER */:
		err = netfilter_check(a);
		return err ? err : no_hook(c, p->type, a->attach_type);
	case BPF_PROG_TYPE_LSM:
		if (a->attach_type != p->attach_type)
			return -EINVAL;
		if (point == POINT_LINK)
			return no_hook(c, p->type, a->attach_type);
		break;
	default:
		break;
	}
	if (point == POINT_NONE || point == POINT_LINK || point == POINT_LIRC || type != p->type ||
	    !attach_fits(p, a->attach_type))
		return -EINVAL;
	err = point_link_check(c, point, type);
	return err ? err : no_hook(c, type, a->attach_type);
}

/* Of a map of functions, which is all the program there is. */
int link_of_struct_ops(struct sys_call *c)
{
	const struct attr_link_create *a = c->attr;
	struct obj *o;
	int err = obj_by_fd(c->k, (int)a->prog_fd, OBJ_MAP, 0, &o);

	if (err)
		return err;
	err =
	    obj_map(o)->spec.kind == BPF_MAP_TYPE_STRUCT_OPS && obj_map(o)->spec.flags & F_LINK ? 0 : -EINVAL;
	obj_put(o);
	return err ? err : no_hook(c, BPF_PROG_TYPE_STRUCT_OPS, 0);
}

int token_refused(struct skep *k, const char *call, s32 fd)
{
	if (!fd_is_open(k, fd))
		return -EBADF;
	log_line(k, "%s: descriptor %d is no BPF token: skep %s has none", call, fd, skep_version());
	return -EINVAL;
}

int sys_iter_create(struct sys_call *c)
{
	const struct attr_iter_create *a = c->attr;
	struct obj *o;
	int err = a->flags ? -EINVAL : obj_by_fd(c->k, (int)a->link_fd, OBJ_LINK, 0, &o);

	if (err)
		return err;
	obj_put(o);
	log_line(c->k, "%s: no link of skep %s is an iterator's", c->name, skep_version());
	return -EINVAL;
}

int sys_token_create(struct sys_call *c)
{
	const struct attr_token_create *a = c->attr;
	struct statfs fs;

	if (a->flags)
		return -EINVAL;
	if (!fd_is_open(c->k, (int)a->bpffs_fd) || fstatfs((int)a->bpffs_fd, &fs))
		return -EBADF;
	if (fs.f_type != BPF_FS_MAGIC)
		return -EINVAL;
	log_line(c->k, "%s: BPF tokens are not supported by skep %s", c->name, skep_version());
	return -EOPNOTSUPP;
}

int sys_stream_read(struct sys_call *c)
{
	enum { STDOUT = 1, STDERR = 2 };
	const struct attr_stream_read *a = c->attr;
	struct obj *o;
	int err = obj_by_fd(c->k, (int)a->prog_fd, OBJ_PROG, 0, &o);

	if (err)
		return err;
	obj_put(o);
	if (a->stream_id != STDOUT && a->stream_id != STDERR)
		return -ENOENT;
	log_line(c->k, "%s: streams of programs are not supported by skep %s", c->name, skep_version());
	return -EOPNOTSUPP;
}
