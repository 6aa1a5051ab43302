/* SPDX-License-Identifier: BSD-2-Clause */
/* Helpers of XDP and tc that name network interfaces: those of the host. Errors as Linux 6.18 gives them. */
#include "helper/body.h"

#include <linux/pkt_cls.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- redirection: an engine carries no packet on; where to is kept, as a verdict that redirects to nowhere drops the packet ---- */

static u64 to_device(struct run *r, u64 ifindex, u64 verdict)
{
	r->ctx.packet->way = (struct way){WAY_DEVICE, (u32)ifindex};
	return verdict;
}

u64 helper_redirect(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	bool xdp = r->prog->kind->runs == RUN_XDP;

	(void)c, (void)d, (void)e;
	if (b & ~(u64)(xdp ? 0 : BPF_F_INGRESS))
		return xdp ? XDP_ABORTED : TC_ACT_SHOT;
	return to_device(r, a, xdp ? XDP_REDIRECT : TC_ACT_REDIRECT);
}

u64 helper_redirect_neigh(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)b, (void)e;
	return ((u32)c && (u32)c < sizeof(struct bpf_redir_neigh)) || d ? TC_ACT_SHOT : to_device(r, a, TC_ACT_REDIRECT);
}

u64 helper_redirect_peer(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)c, (void)d, (void)e;
	return b ? TC_ACT_SHOT : to_device(r, a, TC_ACT_REDIRECT);
}

u64 helper_clone_redirect(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)d, (void)e;
	if (c & ~(u64)BPF_F_INGRESS || !r->host->output_packet)
		return RESULT(-EINVAL); /* as Linux says of an interface that does not exist */
	return RESULT(r->host->output_packet(r->host->ud, r, r->ctx.packet, (u32)b, c));
}

/* ---- sizes ---- */

enum { LOOPBACK_MTU = 65536 /* where Linux, too, runs test programs */ };

static s64 mtu_of(u32 ifindex)
{
	struct ifreq request = {0};
	int sock, err;

	if (ifindex <= LOOPBACK)
		return LOOPBACK_MTU;
	if (!if_indextoname(ifindex, request.ifr_name))
		return -ENODEV;
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	err = ioctl(sock, SIOCGIFMTU, &request) ? -errno : 0;
	close(sock);
	return err ? err : request.ifr_mtu;
}

/* *mtu_len: the size of the network packet if not 0; becomes the interface's MTU. */
u64 helper_check_mtu(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	bool xdp = r->prog->kind->runs == RUN_XDP, fits, cut;
	const struct packet *p = r->ctx.packet;
	u32 *mtu_len = PTR(c), size = *mtu_len ? *mtu_len + ETH_HLEN : (u32)(p->tail - p->data);
	s64 mtu;

	(void)a;
	if (e & ~(u64)(xdp ? 0 : BPF_MTU_CHK_SEGS) || (e && ((s32)d || *mtu_len)))
		return RESULT(-EINVAL);
	mtu = mtu_of((u32)b ? (u32)b : p->ifindex);
	if (mtu < 0)
		return RESULT(mtu);
	fits = (s32)(size + (u32)d) <= mtu + ETH_HLEN;
	cut = !xdp && ((const struct __sk_buff *)(const void *)r->ctx.bytes)->gso_size;
	if (!fits && cut && e)
		return RESULT(-EINVAL); /* nobody knows where the transport header is, which every piece has */
	*mtu_len = (u32)mtu;
	return fits || cut ? BPF_MTU_CHK_RET_SUCCESS : BPF_MTU_CHK_RET_FRAG_NEEDED;
}

/* ---- routes ---- */

/* Link-local or multicast. */
static bool stays_local(const u32 address[4])
{
	const u8 *byte = (const u8 *)address;

	return byte[0] == 0xff || (byte[0] == 0xfe && (byte[1] & 0xc0) == 0x80);
}

/* An engine's network forwards nothing, whatever the host's does: what is left of a lookup is what it checks before it asks for a route. */
BODY(helper_fib_lookup)
{
	enum { FLAGS = 0x3f /* all that Linux 6.18 has, BPF_FIB_LOOKUP_DIRECT to _MARK */ };
	const struct bpf_fib_lookup *p = PTR(b);
	char name[IF_NAMESIZE];

	(void)r, (void)a, (void)e;
	if ((u32)c < sizeof(*p) || (u32)d & ~(u32)FLAGS)
		return RESULT(-EINVAL);
	if (p->family != AF_INET && p->family != AF_INET6)
		return RESULT(-EAFNOSUPPORT);
	if (p->family == AF_INET6 && (stays_local(p->ipv6_dst) || stays_local(p->ipv6_src)))
		return BPF_FIB_LKUP_RET_NOT_FWDED;
	if (p->ifindex != LOOPBACK && !if_indextoname(p->ifindex, name))
		return RESULT(-ENODEV);
	return BPF_FIB_LKUP_RET_FWD_DISABLED;
}
