// SPDX-License-Identifier: BSD-2-Clause
/* Programs that look at a packet: an Ethernet, IPv4 and UDP header, and 1000 bytes behind. */
#include "program.h"

struct headers {
	u8 to[6], from[6];
	u16 protocol;
	u8 version, tos;
	u16 length, id, fragment;
	u8 ttl, next;
	u16 check;
	u32 source, destination;
	u16 source_port, destination_port, udp_length, udp_check;
} __attribute__((packed));

#define CHECKED(p, end, n)                                                                                                        \
	PACKET(p, end);                                                                                                            \
	if (p + (n) > end)                                                                                                         \
		return 1

RUN(parse)
{
	u32 x = 0;
	CHECKED(p, end, sizeof(struct headers) + 8);
	struct headers *h = (struct headers *)p;

	if (h->protocol != __builtin_bswap16(0x0800) || (h->version & 0xf0) != 0x40)
		return 1;
	if (h->next == 17)
		x = __builtin_bswap16(h->destination_port);
	return x ^ __builtin_bswap32(h->source) ^ h->ttl;
}

RUN(ip_checksum)
{
	u32 sum = 0;
	CHECKED(p, end, 34);
	u16 *at = (u16 *)(p + 14);

	for (u32 i = 0; i < 10; i++)
		sum += at[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (u16)~(sum + (sum >> 16));
}

RUN(swap_addresses)
{
	CHECKED(p, end, sizeof(struct headers));
	struct headers *h = (struct headers *)p;
	u8 t[6];
	u32 ip = h->source;
	u16 port = h->source_port;

	__builtin_memcpy(t, h->to, 6);
	__builtin_memcpy(h->to, h->from, 6);
	__builtin_memcpy(h->from, t, 6);
	h->source = h->destination;
	h->destination = ip;
	h->source_port = h->destination_port;
	h->destination_port = port;
	return 3;
}

RUN(flow_hash)
{
	CHECKED(p, end, sizeof(struct headers));
	struct headers *h = (struct headers *)p;
	u32 a = 0xdeadbeef + h->source, b = 0xdeadbeef + h->destination, c = 0xdeadbeef + ((u32)h->source_port << 16 | h->destination_port);

	for (u32 i = 0; i < 4; i++) {
		a -= c, a ^= rol32(c, 4), c += b;
		b -= a, b ^= rol32(a, 6), a += c;
		c -= b, c ^= rol32(b, 8), b += a;
	}
	return c;
}

RUN(payload_sum)
{
	u64 sum = 0;
	CHECKED(p, end, 42 + 512);
	u64 *at = (u64 *)(p + 42);

	for (u32 i = 0; i < 64; i++)
		sum += at[i];
	return (u32)(sum ^ sum >> 32);
}

RUN(payload_scan)
{
	u32 n = 0;
	CHECKED(p, end, 42 + 256);

	for (u32 i = 0; i < 256; i++)
		n += p[42 + i] == '/';
	return n;
}
