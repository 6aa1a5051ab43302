/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tunnel that a packet of tc is to take: kept with the packet, for the program that reads it again; no device carries it out. Sizes, flags and errors as
 * Linux 6.18's net/core/filter.c gives them.
 */
#include "helper/body.h"

enum { KNOWN_FLAGS = BPF_F_TUNINFO_IPV6 | BPF_F_ZERO_CSUM_TX | BPF_F_DONT_FRAGMENT | BPF_F_SEQ_NUMBER | UAPI_F_NO_TUNNEL_KEY, LABEL_BITS = 0xfffff };
enum { /* struct bpf_tunnel_key's tunnel_flags, in network order */
	HAS_CSUM = 1 << 0, HAS_KEY = 1 << 2, HAS_SEQ = 1 << 3, DONT_FRAGMENT = 1 << 8, NO_CACHE = 1 << 13,
	OPTIONS = 1 << 11 | 1 << 12 | 1 << 14 | 1 << 15, /* Geneve, VXLAN, ERSPAN, GTP: whichever the device is */
};

static struct tunnel *tunnel_of(struct run *r)
{
	return r->ctx.packet->tunnel;
}

/* The structure as it was in earlier kernels, and is now. */
static bool known_size(u32 size)
{
	return size == sizeof(struct bpf_tunnel_key) || size == offsetof(struct bpf_tunnel_key, local_ipv6[0]) ||
	       size == offsetof(struct bpf_tunnel_key, tunnel_label) || size == offsetof(struct bpf_tunnel_key, tunnel_ext) ||
	       size == offsetof(struct bpf_tunnel_key, remote_ipv6[1]);
}

u64 helper_skb_set_tunnel_key(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct tunnel *t = tunnel_of(r);
	struct bpf_tunnel_key key = {0};

	(void)a, (void)e;
	if (d & ~(u64)KNOWN_FLAGS || !known_size((u32)c))
		return RESULT(-EINVAL);
	memcpy(&key, PTR(b), (u32)c);
	if ((!(d & BPF_F_TUNINFO_IPV6) && key.tunnel_label) || key.tunnel_ext)
		return RESULT(-EINVAL);
	*t = (struct tunnel){.set = true, .flags = d, .key = key};
	return 0;
}

static u16 tunnel_flags(const struct tunnel *t)
{
	u32 bits = NO_CACHE | (t->has_options ? OPTIONS : 0);

	bits |= (t->flags & BPF_F_ZERO_CSUM_TX ? 0 : HAS_CSUM) | (t->flags & UAPI_F_NO_TUNNEL_KEY ? 0 : HAS_KEY);
	bits |= (t->flags & BPF_F_SEQ_NUMBER ? HAS_SEQ : 0) | (t->flags & BPF_F_DONT_FRAGMENT ? DONT_FRAGMENT : 0);
	return __builtin_bswap16((u16)bits);
}

/* Seen from the other end: what was to be sent from here comes from there. */
static void turn(struct bpf_tunnel_key *to, const struct tunnel *t)
{
	const struct bpf_tunnel_key *key = &t->key;
	bool ipv6 = t->flags & BPF_F_TUNINFO_IPV6;

	*to = (struct bpf_tunnel_key){.tunnel_id = key->tunnel_id, .tunnel_tos = key->tunnel_tos, .tunnel_ttl = key->tunnel_ttl};
	memcpy(to->remote_ipv6, key->local_ipv6, ipv6 ? sizeof(to->remote_ipv6) : sizeof(to->remote_ipv4));
	memcpy(to->local_ipv6, key->remote_ipv6, ipv6 ? sizeof(to->local_ipv6) : sizeof(to->local_ipv4));
	to->tunnel_label = ipv6 ? key->tunnel_label & LABEL_BITS : 0;
}

static s64 get_key(const struct tunnel *t, void *to, u32 size, u64 flags)
{
	struct bpf_tunnel_key key;

	if (!t->set || flags & ~(u64)(BPF_F_TUNINFO_IPV6 | BPF_F_TUNINFO_FLAGS))
		return -EINVAL;
	if ((flags ^ t->flags) & BPF_F_TUNINFO_IPV6)
		return -EPROTO;
	if (!known_size(size) || (size == offsetof(struct bpf_tunnel_key, remote_ipv6[1]) && flags & BPF_F_TUNINFO_IPV6))
		return -EINVAL;
	turn(&key, t);
	if (flags & BPF_F_TUNINFO_FLAGS)
		key.tunnel_flags = tunnel_flags(t);
	memcpy(to, &key, size);
	return 0;
}

u64 helper_skb_get_tunnel_key(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	s64 err = get_key(tunnel_of(r), PTR(b), (u32)c, d);

	(void)a, (void)e;
	if (err)
		memset(PTR(b), 0, (u32)c);
	return RESULT(err);
}

u64 helper_skb_set_tunnel_opt(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct tunnel *t = tunnel_of(r);
	u32 size = (u32)c;

	(void)a, (void)d, (void)e;
	if (!t->set || size & 3)
		return RESULT(-EINVAL);
	if (size > sizeof(t->options))
		return RESULT(-ENOMEM);
	memcpy(t->options, PTR(b), size);
	t->n_options = (u8)size;
	t->has_options = true;
	return 0;
}

u64 helper_skb_get_tunnel_opt(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct tunnel *t = tunnel_of(r);
	u32 size = (u32)c;

	(void)a, (void)d, (void)e;
	if (!t->set || !t->has_options || size < t->n_options) {
		memset(PTR(b), 0, size);
		return RESULT(t->set && t->has_options ? -ENOMEM : -ENOENT);
	}
	memcpy(PTR(b), t->options, t->n_options);
	memset((u8 *)PTR(b) + t->n_options, 0, size - t->n_options);
	return t->n_options;
}
