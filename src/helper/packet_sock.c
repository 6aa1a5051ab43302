/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Helpers that ask for the packet's socket, or for others. An engine's network has no socket but the one that a packet on stage belongs to: as in Linux's
 * test runs it is of no protocol and closed; its cgroup is the root. Errors as Linux 6.18 gives them.
 */
#include "helper/body.h"

#include <string.h>

enum { ONLY_COOKIE = 1 /* of the socket, and of the network */, ROOT_CGROUP = 1 };

#define ALWAYS(name, result)                   \
	BODY(name)                                   \
	{                                            \
		(void)r, (void)a, UNUSED_FROM_B; \
		return result;                       \
	}

/* ---- the socket ---- */

BODY(helper_sk_fullsock)
{
	UNUSED_FROM_B;
	return r->ctx.packet && a == ADDR(r->ctx.packet->sock) ? a : 0;
}
ALWAYS(helper_tcp_sock, 0)
ALWAYS(helper_get_listener_sock, 0)
ALWAYS(helper_skc_to_tcp6_sock, 0)
ALWAYS(helper_skc_to_tcp_sock, 0)
ALWAYS(helper_skc_to_tcp_timewait_sock, 0)
ALWAYS(helper_skc_to_tcp_request_sock, 0)
ALWAYS(helper_skc_to_udp6_sock, 0)
ALWAYS(helper_skc_to_unix_sock, 0)
ALWAYS(helper_skc_to_mptcp_sock, 0)

BODY(helper_get_socket_cookie)
{
	(void)a, UNUSED_FROM_B;
	return r->ctx.packet && r->ctx.packet->sock ? ONLY_COOKIE : 0;
}
ALWAYS(helper_get_socket_uid, 0) /* the network's owner: nobody opened it */
ALWAYS(helper_get_netns_cookie, ONLY_COOKIE)

/* ---- its cgroup ---- */

ALWAYS(helper_skb_cgroup_id, ROOT_CGROUP)
ALWAYS(helper_sk_cgroup_id, ROOT_CGROUP)

BODY(helper_skb_ancestor_cgroup_id)
{
	(void)r, (void)a, UNUSED_FROM_C;
	return b ? 0 : ROOT_CGROUP;
}

BODY(helper_sk_ancestor_cgroup_id)
{
	return helper_skb_ancestor_cgroup_id(r, a, b, c, d, e);
}

BODY(helper_skb_under_cgroup)
{
	const struct map *m = PTR(b);
	u64 id;

	(void)a, UNUSED_FROM_D;
	if (!r->ctx.packet || !r->ctx.packet->sock)
		return RESULT(-ENOENT);
	if ((u32)c >= m->spec.max_entries)
		return RESULT(-E2BIG);
	id = m->ops->cgroup_at(PTR(b), (u32)c);
	return id ? id == ROOT_CGROUP : RESULT(-EAGAIN);
}

/* Class ids are of cgroups of version 1. */
ALWAYS(helper_skb_cgroup_classid, 0)
ALWAYS(helper_get_cgroup_classid, 0)

/* ---- others: there are none ---- */

ALWAYS(helper_sk_lookup_tcp, 0)
ALWAYS(helper_sk_lookup_udp, 0)
ALWAYS(helper_skc_lookup_tcp, 0)

ALWAYS(helper_sk_release, 0)

/* Only what comes in from a device can be given to a socket. */
BODY(helper_sk_assign)
{
	(void)r, (void)a, (void)d, (void)e;
	return RESULT(!b || c ? -EINVAL : -EOPNOTSUPP);
}

/* SYN cookies are a matter of TCP sockets that listen. */
ALWAYS(helper_tcp_check_syncookie, RESULT(-EINVAL))
ALWAYS(helper_tcp_gen_syncookie, RESULT(-EINVAL))

/* No packet came through a security path. */
BODY(helper_skb_get_xfrm_state)
{
	(void)r, (void)a, (void)b, (void)e;
	memset(PTR(c), 0, d);
	return RESULT(-EINVAL);
}
