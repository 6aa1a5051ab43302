/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-1 (FIPS 180-4), for program tags: Linux takes the first eight bytes of the digest. */
#include "base/base.h"

static u32 rotate(u32 x, u32 n)
{
	return x << n | x >> (32 - n);
}

static void block(u32 h[5], const u8 *p)
{
	static const u32 constant[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
	u32 w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (u32 i = 0; i < 16; i++)
		w[i] = __builtin_bswap32(LOAD_AS(u32, p + i * 4));
	for (u32 i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (u32 i = 0; i < 80; i++) {
		u32 round = i / 20, f, next;

		f = round == 0 ? (b & c) | (~b & d) : round == 2 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
		next = rotate(a, 5) + f + e + constant[round] + w[i];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

void sha1_digest(const void *data, size_t size, u8 out[20])
{
	u32 h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	const u8 *p = data;
	size_t left = size, tail;
	u8 last[128] = {0};

	for (; left >= 64; left -= 64, p += 64)
		block(h, p);
	if (left)
		memcpy(last, p, left);
	last[left] = 0x80;
	tail = left < 56 ? 64 : 128;
	STORE_AS(u64, last + tail - 8, __builtin_bswap64((u64)size * 8));
	block(h, last);
	if (tail == 128)
		block(h, last + 64);
	for (u32 i = 0; i < 5; i++)
		STORE_AS(u32, out + i * 4, __builtin_bswap32(h[i]));
}
