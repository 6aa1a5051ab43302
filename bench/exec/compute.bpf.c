// SPDX-License-Identifier: BSD-2-Clause
/* Programs that compute: hashes, sums, divisions, bits, searches, sorting, strings. Only memory of the program is touched. */
#include "program.h"

/* ---- hashes ---- */

RUN(murmur3)
{
	u32 h = 42;

	COMPUTE;
	for (u32 i = 0; i < 256; i++) {
		u32 k = d.words[i];

		k = rol32(k * 0xcc9e2d51u, 15) * 0x1b873593u;
		h = rol32(h ^ k, 13) * 5 + 0xe6546b64u;
	}
	h ^= h >> 16;
	h *= 0x85ebca6bu;
	h ^= h >> 13;
	h *= 0xc2b2ae35u;
	return h ^ h >> 16;
}

RUN(jhash)
{
	u32 a = 0xdeadbeef, b = a, c = a;

	COMPUTE;
	for (u32 i = 0; i < 252; i += 3) {
		a += d.words[i];
		b += d.words[i + 1];
		c += d.words[i + 2];
		a -= c, a ^= rol32(c, 4), c += b;
		b -= a, b ^= rol32(a, 6), a += c;
		c -= b, c ^= rol32(b, 8), b += a;
		a -= c, a ^= rol32(c, 16), c += b;
		b -= a, b ^= rol32(a, 19), a += c;
		c -= b, c ^= rol32(b, 4), b += a;
	}
	c ^= b, c -= rol32(b, 14);
	a ^= c, a -= rol32(c, 11);
	b ^= a, b -= rol32(a, 25);
	c ^= b, c -= rol32(b, 16);
	return c;
}

#define SIPROUND                                                                                                                  \
	v0 += v1, v1 = rol64(v1, 13), v1 ^= v0, v0 = rol64(v0, 32), v2 += v3, v3 = rol64(v3, 16), v3 ^= v2, v0 += v3,          \
		v3 = rol64(v3, 21), v3 ^= v0, v2 += v1, v1 = rol64(v1, 17), v1 ^= v2, v2 = rol64(v2, 32)

RUN(siphash)
{
	u64 v0 = 0x736f6d6570736575ull, v1 = 0x646f72616e646f6dull, v2 = 0x6c7967656e657261ull, v3 = 0x7465646279746573ull;

	COMPUTE;
	for (u32 i = 0; i < 128; i++) {
		u64 m = d.longs[i];

		v3 ^= m;
		SIPROUND;
		SIPROUND;
		v0 ^= m;
	}
	v2 ^= 0xff;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	v0 ^= v1 ^ v2 ^ v3;
	return (u32)(v0 ^ v0 >> 32);
}

#define G(a, b, c, e, x, y)                                                                                                       \
	a += b + (x), e = rol32(e ^ a, 16), c += e, b = rol32(b ^ c, 20), a += b + (y), e = rol32(e ^ a, 24), c += e, b = rol32(b ^ c, 25)

RUN(blake2s)
{
	u32 a = 0x6a09e667, b = 0xbb67ae85, c = 0x3c6ef372, e = 0xa54ff53a, f = 0x510e527f, g = 0x9b05688c, h = 0x1f83d9ab, i = 0x5be0cd19;

	COMPUTE;
	for (u32 k = 0; k < 128; k += 4) {
		G(a, c, f, h, d.words[k], d.words[k + 1]);
		G(b, e, g, i, d.words[k + 2], d.words[k + 3]);
		G(a, e, g, h, d.words[k + 1], d.words[k]);
		G(b, c, f, i, d.words[k + 3], d.words[k + 2]);
	}
	return a ^ b ^ c ^ e ^ f ^ g ^ h ^ i;
}

RUN(fnv1a)
{
	u64 h = 0xcbf29ce484222325ull;

	COMPUTE;
	for (u32 i = 0; i < 512; i++)
		h = (h ^ d.bytes[i]) * 0x100000001b3ull;
	return (u32)(h ^ h >> 32);
}

static const u32 crc_nibble[16] = {
	0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
	0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

RUN(crc32)
{
	u32 crc = ~0u;

	COMPUTE;
	for (u32 i = 0; i < 256; i++) {
		crc ^= d.bytes[i];
		crc = crc >> 4 ^ crc_nibble[crc & 15];
		crc = crc >> 4 ^ crc_nibble[crc & 15];
	}
	return ~crc;
}

RUN(adler32)
{
	u32 a = 1, b = 0;

	COMPUTE;
	for (u32 i = 0; i < 512; i++) {
		a = (a + d.bytes[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

RUN(xxhash64)
{
	u64 h = 0x9e3779b185ebca87ull;

	COMPUTE;
	for (u32 i = 0; i < 128; i++) {
		u64 k = rol64(d.longs[i] * 0xc2b2ae3d27d4eb4full, 31) * 0x9e3779b185ebca87ull;

		h = rol64(h ^ k, 27) * 0x9e3779b185ebca87ull + 0x85ebca77c2b2ae63ull;
	}
	h ^= h >> 33;
	return (u32)(h * 0xc2b2ae3d27d4eb4full >> 32);
}

RUN(sha256_round)
{
	u32 a = 0x6a09e667, b = 0xbb67ae85, c = 0x3c6ef372, e = 0xa54ff53a, f = 0x510e527f, g = 0x9b05688c, h = 0x1f83d9ab, i = 0x5be0cd19;

	COMPUTE;
	for (u32 k = 0; k < 64; k++) {
		u32 s1 = rol32(f, 26) ^ rol32(f, 21) ^ rol32(f, 7), ch = (f & g) ^ (~f & h), t1 = i + s1 + ch + d.words[k] + 0x428a2f98u;
		u32 s0 = rol32(a, 30) ^ rol32(a, 19) ^ rol32(a, 10), maj = (a & b) ^ (a & c) ^ (b & c), t2 = s0 + maj;

		i = h, h = g, g = f, f = e + t1, e = c, c = b, b = a, a = t1 + t2;
	}
	return a ^ b ^ c ^ e ^ f ^ g ^ h ^ i;
}

/* ---- sums, products, quotients ---- */

RUN(checksum16)
{
	u64 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 750; i++)
		sum += d.halves[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (u16)~sum;
}

RUN(mul_variable)
{
	u64 x = 1, y = d.divisor;

	COMPUTE;
	for (u32 i = 0; i < 256; i++)
		x = x * (y + i) + d.longs[i & 511];
	return (u32)(x ^ x >> 32);
}

RUN(div_variable)
{
	u64 sum = 0;
	u32 by = d.divisor;

	COMPUTE;
	for (u32 i = 0; i < 128; i++)
		sum += d.words[i] / (by + i) + d.words[i] % (by + i);
	return (u32)sum;
}

RUN(div_constant)
{
	u64 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 128; i++)
		sum += d.words[i] / 10 + d.words[i] / 1000 + d.longs[i] / 1000000007ull;
	return (u32)sum;
}

RUN(mod_constant)
{
	u32 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 256; i++)
		sum += d.words[i] % 251 ^ d.words[i] % 64;
	return sum;
}

RUN(digits)
{
	u32 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 32; i++) {
		u32 x = d.words[i];

		for (u32 k = 0; k < 10; k++) {
			sum = sum * 31 + x % 10;
			x /= 10;
		}
	}
	return sum;
}

/* ---- bits ---- */

RUN(popcount)
{
	u32 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 256; i++) {
		u64 x = d.longs[i & 255];

		x -= x >> 1 & 0x5555555555555555ull;
		x = (x & 0x3333333333333333ull) + (x >> 2 & 0x3333333333333333ull);
		x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
		sum += (u32)(x * 0x0101010101010101ull >> 56);
	}
	return sum;
}

RUN(bit_reverse)
{
	u32 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 256; i++) {
		u32 x = d.words[i];

		x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
		x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
		x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
		sum ^= __builtin_bswap32(x);
	}
	return sum;
}

RUN(byte_swaps)
{
	u64 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 256; i++)
		sum += __builtin_bswap64(d.longs[i & 255]) ^ __builtin_bswap32(d.words[i]) ^ __builtin_bswap16(d.halves[i]);
	return (u32)(sum ^ sum >> 32);
}

/* ---- decisions ---- */

RUN(tokenizer)
{
	u32 words = 0, numbers = 0, others = 0, state = 0;

	COMPUTE;
	for (u32 i = 0; i < 512; i++) {
		u8 c = d.text[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_') {
			if (state != 1)
				words++;
			state = 1;
		} else if (c >= '0' && c <= '9') {
			if (state == 0)
				numbers++;
			state = state == 1 ? 1 : 2;
		} else {
			if (c != ' ')
				others++;
			state = 0;
		}
	}
	return words << 20 | numbers << 10 | others;
}

#define CASE1(n) case n: x = x * 33 + (n ^ 0x5a); break;
#define CASE4(n) CASE1(n) CASE1(n + 1) CASE1(n + 2) CASE1(n + 3)
#define CASE16(n) CASE4(n) CASE4(n + 4) CASE4(n + 8) CASE4(n + 12)

RUN(switch64)
{
	u32 x = 7;

	COMPUTE;
	for (u32 i = 0; i < 256; i++)
		switch (d.bytes[i] & 63) {
			CASE16(0)
			CASE16(16)
			CASE16(32)
			CASE16(48)
		}
	return x;
}

RUN(binary_search)
{
	u32 found = 0;

	COMPUTE;
	for (u32 i = 0; i < 64; i++) {
		u32 key = d.words[i], at = 0;

		for (u32 half = 512; half; half >>= 1)
		{
			u64 below = ((u64)d.sorted[(at + half - 1) & 1023] - key) >> 63;

			FIXED(below);
			at += (u32)below * half;
		}
		found = found * 31 + at;
	}
	return found;
}

RUN(min_max)
{
	COMPUTE;
	d.least = ~0u;
	d.most = 0;
	for (u32 i = 0; i < 512; i++) {
		u32 x = d.words[i], low = d.least, high = d.most;

		d.least = x < low ? x : low;
		d.most = x > high ? x : high;
	}
	return d.least ^ d.most;
}

RUN(string_compare)
{
	u32 same = 0;

	COMPUTE;
	for (u32 k = 0; k < 8; k++)
		for (u32 i = 0; i < 120; i++) {
			u8 a = d.text[k * 120 + i], b = d.other[k * 120 + i];

			if (a != b || !a)
				break;
			same++;
		}
	return same;
}

/* ---- memory ---- */

RUN(memcpy_16)
{
	COMPUTE;
	for (u32 i = 0; i < 128; i++)
		__builtin_memcpy(&d.out[i * 16], &d.longs[i * 2], 16);
	return d.out[100];
}

RUN(memcpy_loop)
{
	COMPUTE;
	for (u32 i = 0; i < 512; i++)
		d.out[i] = d.bytes[i];
	return d.out[100];
}

RUN(stack_sort)
{
	u32 a[32], sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 32; i++)
		a[i] = d.words[i];
	for (u32 i = 0; i < 31; i++)
		for (u32 k = 0; k < 31; k++)
			if (a[k] > a[k + 1]) {
				u32 t = a[k];

				a[k] = a[k + 1];
				a[k + 1] = t;
			}
	for (u32 i = 0; i < 32; i++)
		sum = sum * 31 + a[i];
	return sum;
}

RUN(matrix)
{
	u32 sum = 0;

	COMPUTE;
	for (u32 i = 0; i < 8; i++)
		for (u32 k = 0; k < 8; k++) {
			u32 x = 0;

			for (u32 j = 0; j < 8; j++)
				x += d.words[i * 8 + j] * d.words[64 + j * 8 + k];
			sum ^= x + i * k;
		}
	return sum;
}

RUN(histogram)
{
	COMPUTE;
	for (u32 i = 0; i < 256; i++)
		d.count[i] = 0;
	for (u32 i = 0; i < 1024; i++)
		d.count[d.bytes[i]]++;
	return d.count[17];
}

RUN(prefix_sum)
{
	u32 sum = 0;
	u32 *out = (u32 *)d.out;

	COMPUTE;
	for (u32 i = 0; i < 512; i++) {
		sum += d.words[i];
		out[i] = sum;
	}
	return sum;
}

/* ---- calls ---- */

NOINLINE u32 mix(u32 a, u32 b, u32 c)
{
	return (a ^ b) * 0x9e3779b1u + c;
}

RUN(calls)
{
	u32 x = 1;

	COMPUTE;
	for (u32 i = 0; i < 256; i++)
		x = mix(x, d.words[i], i);
	return x;
}

RUN(atomics)
{
	COMPUTE;
	for (u32 i = 0; i < 64; i++)
		__sync_fetch_and_add(&d.sum, d.longs[i]);
	return (u32)d.sum;
}
