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
#include <sys/vfs.h>
#include <unistd.h>

/* What the target is of those that are attached to such a type; of the latter two there are links only, or links and queries. */
enum point { POINT_NONE, POINT_CGROUP, POINT_DEVICE, POINT_MAP, POINT_NETNS, POINT_LIRC, POINT_DEVICE_LINK, POINT_NETNS_LINK };

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

bool attach_names_device(u32 attach_type)
{
	u32 type;
	enum point point = point_of(attach_type, &type);

	return point == POINT_DEVICE || point == POINT_DEVICE_LINK;
}

static int target_check(struct skep *k, enum point point, u32 target)
{
	char name[IF_NAMESIZE];
	struct statfs fs;
	struct obj *o;
	int err;

	switch (point) {
	case POINT_CGROUP: return fstatfs((int)target, &fs) || fs.f_type != CGROUP2_SUPER_MAGIC ? -EBADF : 0;
	case POINT_DEVICE: return if_indextoname(target, name) ? 0 : -ENODEV;
	case POINT_DEVICE_LINK: return if_indextoname(target, name) ? 0 : -EINVAL;
	case POINT_NETNS:
	case POINT_NETNS_LINK: return fcntl((int)target, F_GETFD) < 0 ? -EBADF : 0;
	case POINT_MAP:
		err = obj_by_fd(k, (int)target, OBJ_MAP, 0, &o);
		if (!err)
			obj_put(o);
		return err;
	default: return 0;
	}
}

static int prog_check(struct skep *k, u32 fd, u32 type)
{
	struct obj *o;
	int err = obj_by_fd(k, (int)fd, OBJ_PROG, 0, &o);

	if (err)
		return err;
	err = ((const struct prog *)o->body)->type == type ? 0 : -EINVAL;
	obj_put(o);
	return err;
}

/* Flags: of the place among several programs, and of how programs of nested cgroups combine. */
enum {
	FLAGS_PLACE = 1 << 3 /* BPF_F_BEFORE */ | 1 << 4 /* BPF_F_AFTER */ | 1 << 5 /* BPF_F_ID */ | 1 << 13 /* BPF_F_LINK */,
	FLAGS_PREORDER = 1 << 6,
	FLAGS_CGROUP = BPF_F_ALLOW_OVERRIDE | BPF_F_ALLOW_MULTI | BPF_F_REPLACE | FLAGS_PREORDER,
};

int sys_prog_attach(struct sys_call *c)
{
	const struct attr_prog_attach *a = c->attr;
	u32 type = 0, flags = FLAGS_CGROUP;
	enum point point = point_of(a->attach_type, &type);
	int err;

	switch (point) {
	case POINT_CGROUP: flags |= FLAGS_PLACE; break;
	case POINT_DEVICE: flags = FLAGS_PLACE | BPF_F_REPLACE; break;
	case POINT_MAP:
	case POINT_NETNS:
	case POINT_LIRC:
		if (a->relative || a->expected_revision)
			return -EINVAL;
		break;
	default: return -EINVAL;
	}
	err = a->attach_flags & ~flags ? -EINVAL : prog_check(c->k, a->attach_bpf_fd, type);
	if (!err && point != POINT_NETNS) /* whose is always the caller's */
		err = target_check(c->k, point, a->target);
	return err ? err : sys_no_hook(c);
}

int sys_prog_detach(struct sys_call *c)
{
	const struct attr_prog_attach *a = c->attr;
	u32 type = 0;
	enum point point = point_of(a->attach_type, &type);
	int err = 0;

	switch (point) {
	case POINT_DEVICE:
		if (a->attach_flags & ~(u32)(FLAGS_PLACE | BPF_F_REPLACE))
			return -EINVAL;
		err = a->attach_bpf_fd ? prog_check(c->k, a->attach_bpf_fd, type) : 0;
		break;
	case POINT_CGROUP: err = a->attach_flags || a->relative ? -EINVAL : 0; break;
	case POINT_MAP:
	case POINT_NETNS:
	case POINT_LIRC: err = a->attach_flags || a->relative || a->expected_revision ? -EINVAL : 0; break;
	default: return -EINVAL;
	}
	if (!err)
		err = point != POINT_NETNS ? target_check(c->k, point, a->target) : a->target ? -EINVAL : 0; /* it is always the caller's */
	return err ? err : sys_no_hook(c);
}

/* Whose name /proc tells also where the descriptor is O_PATH. */
static bool is_netns(u32 fd)
{
	char path[64], name[16];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%u", fd);
	n = readlink(path, name, sizeof(name));
	return n > 5 && !memcmp(name, "net:[", 5);
}

/* What Linux says of a target with nothing attached to it. No program of an engine is at any of these: PROG_ATTACH and LINK_CREATE refuse them. */
static int query_nothing(struct sys_call *c, enum point point)
{
	struct attr_prog_query *a = c->attr;
	bool effective = a->query_flags & BPF_F_QUERY_EFFECTIVE, revised = false;
	struct obj *o;

	switch (point) {
	case POINT_CGROUP:
		if (effective && a->prog_attach_flags)
			return -EINVAL;
		if (a->attach_type == LSM_CGROUP && !effective && a->count && a->prog_ids && !a->prog_attach_flags)
			return -EINVAL;
		revised = !effective;
		break;
	case POINT_DEVICE:
		if (a->query_flags || a->attach_flags || a->attach_type >= NETKIT_PRIMARY)
			return -EINVAL;
		revised = true;
		break;
	case POINT_NETNS:
	case POINT_NETNS_LINK:
		if (a->query_flags || !is_netns(a->target))
			return -EINVAL;
		break;
	case POINT_MAP:
		if (a->query_flags)
			return -EINVAL;
		if (!obj_by_fd(c->k, (int)a->target, OBJ_MAP, 0, &o)) {
			u32 kind = obj_map(o)->spec.kind;

			obj_put(o);
			if (kind != BPF_MAP_TYPE_SOCKMAP && kind != BPF_MAP_TYPE_SOCKHASH) {
				a->count = 0;
				return -EOPNOTSUPP;
			}
		}
		break;
	default: return sys_unsupported(c);
	}
	a->attach_flags = 0;
	a->count = 0;
	if (revised)
		a->revision = 1;
	return 0;
}

int sys_prog_query(struct sys_call *c)
{
	const struct attr_prog_query *a = c->attr;
	u32 type;
	enum point point = point_of(a->attach_type, &type);
	int err;

	if (a->query_flags & ~(u32)BPF_F_QUERY_EFFECTIVE || point == POINT_NONE || point == POINT_DEVICE_LINK)
		return -EINVAL;
	err = target_check(c->k, point, a->target);
	return err ? err : query_nothing(c, point);
}

int link_elsewhere(struct sys_call *c, const struct prog *p)
{
	const struct attr_link_create *a = c->attr;
	u32 type = 0, flags = 0;
	enum point point = point_of(a->attach_type, &type);
	int err;

	switch (p->type) {
	case BPF_PROG_TYPE_EXT:
	case BPF_PROG_TYPE_STRUCT_OPS:
	case 32 /* BPF_PROG_TYPE_NETFILTER */: return sys_no_hook(c);
	case BPF_PROG_TYPE_LSM:
		if (point == POINT_NONE)
			return sys_no_hook(c);
		break;
	default: break;
	}
	if (point == POINT_NONE || type != p->type)
		return -EINVAL;
	if (point == POINT_CGROUP)
		flags = FLAGS_PLACE | FLAGS_PREORDER;
	if (point != POINT_DEVICE && a->flags & ~flags) /* of a device, Linux asks for the device first */
		return -EINVAL;
	err = target_check(c->k, point, a->target);
	return err ? err : sys_no_hook(c);
}

int token_refused(struct skep *k, const char *call, s32 fd)
{
	if (fcntl(fd, F_GETFD) < 0)
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
	if (fstatfs((int)a->bpffs_fd, &fs))
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
