/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SYN cookies without a socket: an initial sequence number that says, to whoever has the engine's secret, which connection asked for it, within the last two minutes, and
 * how large its segments may be. The scheme is Bernstein's (https://cr.yp.to/syncookies.html) in the numbers that Linux gives: eight bits of time, three of size among 24 of hash.
 */
#include "helper/body.h"

#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <time.h>

enum { LOW = 0xffffff, MOST_AGE = 2, LEAST_SIZE = 536, SIZES = 4, OPTION_END = 0, OPTION_NOTHING = 1, OPTION_SIZE = 2 };

/* Of segments, in ascending order: others are rounded down. */
static const u16 sizes_v4[SIZES] = {536, 1300, 1440, 1460}, sizes_v6[SIZES] = {1220, 1420, 1440, 8940};

struct flow {
	u32 from[4], to[4], ports, time, which, unused;
};

static struct flow flow_v4(const struct iphdr *ip, const struct tcphdr *tcp)
{
	return (struct flow){.from = {ip->saddr}, .to = {ip->daddr}, .ports = (u32)tcp->source << 16 | tcp->dest};
}

static struct flow flow_v6(const struct ip6_hdr *ip, const struct tcphdr *tcp)
{
	struct flow f = {.ports = (u32)tcp->source << 16 | tcp->dest};

	memcpy(f.from, &ip->ip6_src, sizeof(f.from));
	memcpy(f.to, &ip->ip6_dst, sizeof(f.to));
	return f;
}

static u32 hash(struct run *r, struct flow f, u32 time, u32 which)
{
	struct {
		u64 secret[2];
		struct flow flow;
	} all = {{r->host->cookie_secret[0], r->host->cookie_secret[1]}, f};
	u8 sum[32];

	all.flow.time = time;
	all.flow.which = which;
	sha256_digest(&all, sizeof(all), sum);
	return LOAD_AS(u32, sum);
}

static u32 minutes(struct run *r)
{
	return (u32)(r->host->clock(r->host->ud, CLOCK_MONOTONIC_COARSE) / 60000000000u);
}

/* The largest segment that the header's options ask for; 0: none. */
static u32 asked_size(const struct tcphdr *tcp)
{
	const u8 *at = (const u8 *)(tcp + 1), *end = (const u8 *)tcp + tcp->doff * 4;
	u32 size = 0;

	while (at < end && *at != OPTION_END) {
		if (*at == OPTION_NOTHING) {
			at++;
			continue;
		}
		if (end - at < 2 || at[1] < 2 || at[1] > end - at)
			break;
		if (at[0] == OPTION_SIZE && at[1] == 4 && (at[2] || at[3]))
			size = (u32)at[2] << 8 | at[3];
		at += at[1];
	}
	return size;
}

static u64 make(struct run *r, const struct flow *f, const struct tcphdr *tcp, const u16 sizes[SIZES])
{
	u32 asked = asked_size(tcp), now = minutes(r), i = SIZES - 1, cookie;

	asked = asked ? asked : LEAST_SIZE;
	while (i && asked < sizes[i])
		i--;
	cookie = hash(r, *f, 0, 0) + __builtin_bswap32(tcp->seq) + (now << 24) + ((hash(r, *f, now, 1) + i) & LOW);
	return cookie | (u64)sizes[i] << 32;
}

static u64 check(struct run *r, const struct flow *f, const struct tcphdr *tcp)
{
	u32 cookie = __builtin_bswap32(tcp->ack_seq) - 1, now = minutes(r), age;

	cookie -= hash(r, *f, 0, 0) + __builtin_bswap32(tcp->seq) - 1;
	age = (now - (cookie >> 24)) & 0xff;
	if (age >= MOST_AGE || ((cookie - hash(r, *f, now - age, 1)) & LOW) >= SIZES)
		return RESULT(-EACCES);
	return 0;
}

static bool whole(const struct tcphdr *tcp, u64 size)
{
	return (u32)size >= sizeof(*tcp) && (u32)size == tcp->doff * 4u;
}

BODY(helper_tcp_raw_gen_syncookie_ipv4)
{
	const struct tcphdr *tcp = PTR(b);
	struct flow f;

	UNUSED_FROM_D;
	if (!whole(tcp, c))
		return RESULT(-EINVAL);
	f = flow_v4(PTR(a), tcp);
	return make(r, &f, tcp, sizes_v4);
}

BODY(helper_tcp_raw_gen_syncookie_ipv6)
{
	const struct tcphdr *tcp = PTR(b);
	struct flow f;

	UNUSED_FROM_D;
	if (!whole(tcp, c))
		return RESULT(-EINVAL);
	f = flow_v6(PTR(a), tcp);
	return make(r, &f, tcp, sizes_v6);
}

BODY(helper_tcp_raw_check_syncookie_ipv4)
{
	struct flow f = flow_v4(PTR(a), PTR(b));

	UNUSED_FROM_C;
	return check(r, &f, PTR(b));
}

BODY(helper_tcp_raw_check_syncookie_ipv6)
{
	struct flow f = flow_v6(PTR(a), PTR(b));

	UNUSED_FROM_C;
	return check(r, &f, PTR(b));
}
