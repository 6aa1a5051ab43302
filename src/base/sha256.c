/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256 (FIPS 180-4): of program tags Linux takes the first eight bytes, of the contents of maps all. */
#include "base/base.h"

static u32 rotate(u32 x, u32 n)
{
	return x >> n | x << (32 - n);
}

/* Fractional parts of the cube roots of the first 64 primes. */
static const u32 constant[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
	0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
	0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
	0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
	0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static void block(u32 h[8], const u8 *p)
{
	u32 w[64], s[8];

	for (u32 i = 0; i < 16; i++)
		w[i] = __builtin_bswap32(LOAD_AS(u32, p + i * 4));
	for (u32 i = 16; i < 64; i++) {
		u32 x = w[i - 15], y = w[i - 2];

		w[i] = w[i - 16] + (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) + w[i - 7] + (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
	}
	memcpy(s, h, sizeof(s));
	for (u32 i = 0; i < 64; i++) {
		u32 a = s[0], e = s[4];
		u32 first = s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + constant[i] + w[i];
		u32 second = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));

		memmove(s + 1, s, 7 * sizeof(*s));
		s[4] += first;
		s[0] = first + second;
	}
	for (u32 i = 0; i < 8; i++)
		h[i] += s[i];
}

void sha256_digest(const void *data, size_t size, u8 out[32])
{
	u32 h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
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
	for (u32 i = 0; i < 8; i++)
		STORE_AS(u32, out + i * 4, __builtin_bswap32(h[i]));
}
