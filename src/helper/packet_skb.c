/* SPDX-License-Identifier: BSD-2-Clause */
/* Helpers on an skb: socket filters and tc. Bounds and errors as Linux 6.18's net/core/filter.c gives them. */
#include "helper/body.h"

#include <net/ethernet.h>

enum { NOT_SUPPORTED = 524 /* ENOTSUPP */, VLAN_BYTES = 4, ETHERTYPE_LEAST = 1536 /* below: a length */, LLC_FRAME = 4 /* ETH_P_802_2 */, MOST_BYTES = 65536 + ETH_HLEN };
enum { SKB_CLOCK_REALTIME, SKB_CLOCK_TAI = 2 }; /* BPF_SKB_CLOCK_* of Linux 6.11 */

static struct __sk_buff *skb_of(struct run *r)
{
	return (struct __sk_buff *)(void *)r->ctx.bytes;
}

static u64 length(const struct packet *p)
{
	return (u64)(p->tail - p->data);
}

static void sync_length(struct run *r)
{
	skb_of(r)->len = (u32)length(r->ctx.packet);
}

u64 helper_skb_load_bytes(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct packet *p = r->ctx.packet;
	u32 off = (u32)b, n = (u32)d;

	(void)a, (void)e;
	if (off > INT32_MAX || off > length(p) || n > length(p) - off) {
		memset(PTR(c), 0, n);
		return RESULT(-EFAULT);
	}
	memcpy(PTR(c), p->data + off, n);
	return 0;
}

u64 helper_skb_load_bytes_relative(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct packet *p = r->ctx.packet;
	const u8 *from = (u32)e == BPF_HDR_START_MAC ? p->mac : (u32)e == BPF_HDR_START_NET ? p->network : NULL;
	u32 off = (u32)b, n = (u32)d;

	(void)a;
	if (!from || off > 0xffff || off > (u64)(p->tail - from) || n > (u64)(p->tail - from) - off) {
		memset(PTR(c), 0, n);
		return RESULT(-EFAULT);
	}
	memcpy(PTR(c), from + off, n);
	return 0;
}

u64 helper_skb_store_bytes(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct packet *p = r->ctx.packet;
	u32 off = (u32)b, n = (u32)d;

	(void)a;
	if (e & ~(u64)(BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH))
		return RESULT(-EINVAL);
	if (off > INT32_MAX || off > length(p) || n > length(p) - off)
		return RESULT(-EFAULT);
	memmove(p->data + off, PTR(c), n);
	if (e & BPF_F_INVALIDATE_HASH)
		skb_of(r)->hash = 0;
	return 0;
}

u64 helper_skb_pull_data(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)c, (void)d, (void)e;
	return (u32)b > length(r->ctx.packet) ? RESULT(-ENOMEM) : 0; /* packets are always linear here */
}

u64 helper_skb_change_type(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	enum { OTHER_HOST = 3 };

	(void)a, (void)c, (void)d, (void)e;
	if (skb_of(r)->pkt_type > OTHER_HOST || (u32)b > OTHER_HOST)
		return RESULT(-EINVAL);
	skb_of(r)->pkt_type = (u32)b;
	return 0;
}

/* ---- size ---- */

u64 helper_skb_change_tail(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct packet *p = r->ctx.packet;
	u32 n = (u32)b;

	(void)a, (void)d, (void)e;
	if (c || (s64)n < p->network - p->data || n > MOST_BYTES)
		return RESULT(-EINVAL);
	if (n > (u64)(p->end - p->data))
		return RESULT(-ENOMEM);
	if (n > length(p))
		memset(p->tail, 0, n - length(p));
	p->tail = p->data + n;
	sync_length(r);
	return 0;
}

u64 helper_skb_change_head(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct packet *p = r->ctx.packet;
	u32 n = (u32)b;

	(void)a, (void)d, (void)e;
	if (c || n > MOST_BYTES || length(p) + n > MOST_BYTES)
		return RESULT(-EINVAL);
	if (n > (u64)(p->data - p->head))
		return RESULT(-ENOMEM);
	p->data -= n;
	memset(p->data, 0, n);
	p->meta = p->mac = p->data;
	sync_length(r);
	return 0;
}

/* Makes room for, or removes, bytes behind the link-layer addresses. */
static bool shift_addresses(struct packet *p, int bytes)
{
	enum { ADDRESSES = 2 * ETH_ALEN };

	if (bytes > p->data - p->head || (bytes < 0 && (u64)-bytes + ADDRESSES > length(p)))
		return false;
	memmove(p->data - bytes, p->data, ADDRESSES);
	p->data -= bytes;
	p->meta = p->mac = p->data;
	return true;
}

u64 helper_skb_vlan_push(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct packet *p = r->ctx.packet;
	struct __sk_buff *skb = skb_of(r);
	u16 proto = (u16)b;

	(void)a, (void)d, (void)e;
	if (proto != __builtin_bswap16(ETHERTYPE_VLAN) && proto != __builtin_bswap16(0x88a8))
		proto = __builtin_bswap16(ETHERTYPE_VLAN);
	if (skb->vlan_present) { /* the tag that is beside the packet moves into it */
		if (!shift_addresses(p, VLAN_BYTES))
			return RESULT(-ENOMEM);
		STORE_AS(u16, p->data + 12, (u16)skb->vlan_proto);
		STORE_AS(u16, p->data + 14, __builtin_bswap16((u16)skb->vlan_tci));
		skb->protocol = skb->vlan_proto;
		sync_length(r);
	}
	skb->vlan_present = 1;
	skb->vlan_proto = proto;
	skb->vlan_tci = (u16)c;
	return 0;
}

static bool tagged(const struct packet *p)
{
	u16 type = length(p) >= ETH_HLEN + VLAN_BYTES ? LOAD_AS(u16, p->data + 12) : 0;

	return type == __builtin_bswap16(ETHERTYPE_VLAN) || type == __builtin_bswap16(0x88a8);
}

static u16 untag(struct run *r)
{
	struct packet *p = r->ctx.packet;
	u16 tci = __builtin_bswap16(LOAD_AS(u16, p->data + 14)), inner = LOAD_AS(u16, p->data + 16);

	skb_of(r)->protocol = __builtin_bswap16(inner) >= ETHERTYPE_LEAST ? inner : __builtin_bswap16(LLC_FRAME);
	shift_addresses(p, -VLAN_BYTES);
	sync_length(r);
	return tci;
}

u64 helper_skb_vlan_pop(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct packet *p = r->ctx.packet;
	struct __sk_buff *skb = skb_of(r);

	(void)a, (void)b, (void)c, (void)d, (void)e;
	if (!skb->vlan_present && tagged(p))
		untag(r);
	skb->vlan_present = skb->vlan_tci = skb->vlan_proto = 0;
	if (tagged(p)) { /* the next one moves beside the packet */
		u16 proto = LOAD_AS(u16, p->data + 12);

		skb->vlan_tci = untag(r);
		skb->vlan_proto = proto;
		skb->vlan_present = 1;
	}
	return 0;
}

/* ---- room for headers, or theirs taken out ---- */

enum {
	FIXED_GSO = 1 << 0, ENCAP_IPV4 = 1 << 1, ENCAP_IPV6 = 1 << 2, ENCAP_GRE = 1 << 3, ENCAP_UDP = 1 << 4, NO_CSUM_RESET = 1 << 5,
	ENCAP_ETH = 1 << 6, DECAP_IPV4 = 1 << 7, DECAP_IPV6 = 1 << 8,
	ENCAP_IP = ENCAP_IPV4 | ENCAP_IPV6, DECAP_IP = DECAP_IPV4 | DECAP_IPV6,
	ROOM_KNOWN = FIXED_GSO | ENCAP_IP | ENCAP_GRE | ENCAP_UDP | NO_CSUM_RESET | ENCAP_ETH | DECAP_IP,
	ENCAP_L2_SHIFT = 56, IPV4_BYTES = 20, IPV6_BYTES = 40,
	MOST_CHANGE = 0xfff, MOST_GROWN = 16384 - 320 /* four pages less Linux's account of them */
};

static bool is_ipv4(const struct __sk_buff *skb)
{
	return skb->protocol == __builtin_bswap16(ETHERTYPE_IP);
}

static bool is_ipv6(const struct __sk_buff *skb)
{
	return skb->protocol == __builtin_bswap16(ETHERTYPE_IPV6);
}

static void become(struct __sk_buff *skb, bool ipv4, bool ipv6)
{
	if (ipv6 && is_ipv4(skb))
		skb->protocol = __builtin_bswap16(ETHERTYPE_IPV6);
	else if (ipv4 && is_ipv6(skb))
		skb->protocol = __builtin_bswap16(ETHERTYPE_IP);
}

static s64 grow(struct run *r, u64 keep, u32 n, u64 flags)
{
	struct packet *p = r->ctx.packet;
	u64 inner_link = flags >> ENCAP_L2_SHIFT;

	if (flags & ENCAP_IP) {
		if ((flags & ENCAP_IP) == ENCAP_IP || (flags & ENCAP_GRE && flags & ENCAP_UDP) || (flags & ENCAP_ETH && inner_link < ETH_HLEN))
			return -EINVAL;
		if (p->encapsulated)
			return -EALREADY;
		if (inner_link > n)
			return -EINVAL;
	}
	if (n > (u64)(p->data - p->head))
		return -ENOMEM;
	memmove(p->data - n, p->data, keep);
	p->data -= n;
	memset(p->data + keep, 0, n);
	p->meta = p->data;
	p->mac -= n;
	p->network -= n;
	if (flags & ENCAP_IP) {
		p->encapsulated = true;
		become(skb_of(r), flags & ENCAP_IPV4, flags & ENCAP_IPV6);
	}
	return 0;
}

static s64 shrink(struct run *r, u64 keep, u32 n, u64 flags)
{
	struct packet *p = r->ctx.packet;

	if (flags & ~(u64)(FIXED_GSO | DECAP_IP | NO_CSUM_RESET))
		return -EINVAL;
	if (keep + n > length(p))
		return -ENOMEM;
	memmove(p->data + n, p->data, keep);
	p->data += n;
	p->meta = p->data;
	p->mac += n;
	p->network += n;
	become(skb_of(r), flags & DECAP_IPV4, flags & DECAP_IPV6);
	return 0;
}

u64 helper_skb_adjust_room(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct packet *p = r->ctx.packet;
	struct __sk_buff *skb = skb_of(r);
	u32 header = is_ipv6(skb) ? IPV6_BYTES : IPV4_BYTES, least = header, mode = (u32)c;
	s64 change = (s32)(u32)b, n = change < 0 ? -change : change, err;
	u64 keep = (u64)(p->network - p->mac), behind = (u64)(p->tail - p->network);

	(void)a, (void)e;
	if (d & ~(ROOM_KNOWN | 0xffull << ENCAP_L2_SHIFT))
		return RESULT(-EINVAL);
	if (n > MOST_CHANGE)
		return RESULT(-EFAULT);
	if ((!is_ipv4(skb) && !is_ipv6(skb)) || mode > BPF_ADJ_ROOM_MAC)
		return RESULT(-NOT_SUPPORTED);
	if (mode == BPF_ADJ_ROOM_NET)
		keep += header;
	if (d & DECAP_IP) {
		if (change >= 0 || (d & DECAP_IP) == DECAP_IP)
			return RESULT(-EINVAL);
		least = d & DECAP_IPV4 ? IPV4_BYTES : IPV6_BYTES;
	}
	if (change < 0 ? (u64)n >= behind || behind - (u64)n < least : length(p) + (u64)n > MOST_GROWN)
		return RESULT(-NOT_SUPPORTED);
	err = change < 0 ? shrink(r, keep, (u32)n, d) : grow(r, keep, (u32)n, d);
	sync_length(r);
	return RESULT(err);
}

/* The header's own bytes are the program's to write. */
u64 helper_skb_change_proto(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct __sk_buff *skb = skb_of(r);
	u64 keep = (u64)(r->ctx.packet->network - r->ctx.packet->mac);
	u16 to = (u16)b;
	s64 err;

	(void)a, (void)d, (void)e;
	if (c)
		return RESULT(-EINVAL);
	if (is_ipv4(skb) && to == __builtin_bswap16(ETHERTYPE_IPV6))
		err = grow(r, keep, IPV6_BYTES - IPV4_BYTES, 0);
	else if (is_ipv6(skb) && to == __builtin_bswap16(ETHERTYPE_IP))
		err = shrink(r, keep, IPV6_BYTES - IPV4_BYTES, 0);
	else
		return RESULT(-NOT_SUPPORTED);
	if (!err) {
		skb->protocol = to;
		skb->hash = 0;
		sync_length(r);
	}
	return RESULT(err);
}

/* ---- explicit congestion notification (RFC 3168): 0 when the sender knows nothing of it ---- */

/* Behind all VLAN tags, in host order. */
static u16 inner_protocol(struct run *r)
{
	const struct packet *p = r->ctx.packet;
	u16 type = __builtin_bswap16((u16)skb_of(r)->protocol);

	for (const u8 *at = p->network; (type == ETHERTYPE_VLAN || type == 0x88a8) && at + VLAN_BYTES <= p->tail; at += VLAN_BYTES)
		type = __builtin_bswap16(LOAD_AS(u16, at + 2));
	return type;
}

u64 helper_skb_ecn_set_ce(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct packet *p = r->ctx.packet;
	u8 *ip = p->network;
	u64 n = (u64)(p->tail - ip);
	u16 family = inner_protocol(r);
	u32 sum;

	(void)a, (void)b, (void)c, (void)d, (void)e;
	if (family == ETHERTYPE_IPV6 && n >= IPV6_BYTES) {
		if (!(ip[1] & 0x30))
			return 0;
		ip[1] |= 0x30;
		return 1;
	}
	if (family != ETHERTYPE_IP || n < IPV4_BYTES || !(ip[1] & 3))
		return 0;
	if ((ip[1] & 3) == 3)
		return 1;
	/* The word of the sum grows by as much as the type of service does. */
	sum = (u32)(u16)~__builtin_bswap16(LOAD_AS(u16, ip + 10)) + (3u - (ip[1] & 3));
	STORE_AS(u16, ip + 10, __builtin_bswap16((u16)~((sum & 0xffff) + (sum >> 16))));
	ip[1] |= 3;
	return 1;
}

/* ---- hash ---- */

/* Of the flow: addresses, protocol and ports where they can be found. Never 0, which means "not computed". */
static u32 flow_hash(const struct packet *p)
{
	static const struct hash_key key = {{0x9e3779b97f4a7c15ull, 0xbf58476d1ce4e5b9ull, 0x94d049bb133111ebull, 0x2545f4914f6cdd1dull,
					     0xd6e8feb86659fd93ull, 0xa0761d6478bd642full, 0, 0, 0xe7037ed1a0b428dbull,
					     0x8ebc6af09c88c6e3ull, 0x589965cc75374cc3ull, 0x1d8e4e27c47d124full,
					     0xeb44accab455d165ull, 0x9c6e6877736c46e3ull}};
	u8 flow[40] = {0};
	const u8 *ip = p->network, *l4;
	u64 n = ip ? (u64)(p->tail - ip) : 0;
	u8 version = n ? ip[0] >> 4 : 0;
	u32 header = version == 4 ? (u32)(ip[0] & 15) * 4 : 40;

	if (version == 4 && n >= 20) {
		memcpy(flow, ip + 12, 8);
		flow[36] = ip[9];
	} else if (version == 6 && n >= 40) {
		memcpy(flow, ip + 8, 32);
		flow[36] = ip[6];
	} else {
		memcpy(flow, p->data, MIN(length(p), sizeof(flow)));
	}
	l4 = ip + header;
	if ((flow[36] == 6 || flow[36] == 17) && n >= header + 4)
		memcpy(flow + 32, l4, 4);
	return (u32)hash_bytes(&key, flow, sizeof(flow)) | 1;
}

u64 helper_get_hash_recalc(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)b, (void)c, (void)d, (void)e;
	if (!skb_of(r)->hash)
		skb_of(r)->hash = flow_hash(r->ctx.packet);
	return skb_of(r)->hash;
}

u64 helper_set_hash_invalid(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)b, (void)c, (void)d, (void)e;
	skb_of(r)->hash = 0;
	return 0;
}

u64 helper_set_hash(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)c, (void)d, (void)e;
	skb_of(r)->hash = (u32)b;
	return 0;
}

/* ---- the state of the hardware's checksum: there is no hardware, so nothing was verified ---- */

u64 helper_csum_update(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)r, (void)a, (void)b, (void)c, (void)d, (void)e;
	return RESULT(-NOT_SUPPORTED);
}

u64 helper_csum_level(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)r, (void)a, (void)c, (void)d, (void)e;
	switch (b) {
	case BPF_CSUM_LEVEL_QUERY: return RESULT(-EACCES);
	case BPF_CSUM_LEVEL_INC:
	case BPF_CSUM_LEVEL_DEC:
	case BPF_CSUM_LEVEL_RESET: return 0;
	default: return RESULT(-EINVAL);
	}
}

/* ---- what else a packet carries ---- */

u64 helper_skb_set_tstamp(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct __sk_buff *skb = skb_of(r);
	u32 clock = (u32)c;

	(void)a, (void)d, (void)e;
	if (!is_ipv4(skb) && !is_ipv6(skb))
		return RESULT(-EOPNOTSUPP);
	if (clock > SKB_CLOCK_TAI || (clock != SKB_CLOCK_REALTIME && !b))
		return RESULT(-EINVAL);
	skb->tstamp = b;
	skb->tstamp_type = (u8)clock;
	return 0;
}

/* A packet that a test run makes has come by no route. */
u64 helper_get_route_realm(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)r, (void)a, (void)b, (void)c, (void)d, (void)e;
	return 0;
}
