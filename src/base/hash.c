/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keyed hash of map keys, against chosen keys.
 *
 * Keys of at most 8 bytes: multiply-shift with a random 128-bit factor and summand, which is strongly universal
 * (Dietzfelbinger 1996): any two keys collide in b bits with probability 2^-b over the choice of the secret.
 * Longer keys: NH with 64-bit words (Black et al. 1999; UMAC, RFC 4418), per 16 bytes one 64x64->128 product
 * of secret-masked words, a collision with probability at most 2^-64; then the 128-bit sum goes through the
 * vector form of multiply-shift. All keys of a map have one size, so a short last block is padded with zeros.
 * Nobody who does not know the secret can choose keys that collide more often than that; a program never sees a hash.
 */
#include "base/base.h"

void hash_key_init(struct hash_key *k, u64 seed)
{
	for (u32 i = 0; i < HASH_KEY_WORDS; i++)
		k->word[i] = hash_mix(seed += 0x9e3779b97f4a7c15ull);
}

u64 hash_long(const struct hash_key *k, const void *key, u32 size)
{
	return hash_words(k, key, size);
}

/* Each piece goes through the hash together with the hash of those before it. */
u64 hash_any(const struct hash_key *k, const void *key, u32 size)
{
	enum { PIECE = HASH_MAX_KEY - sizeof(u64) };
	const u8 *p = key;
	u8 block[HASH_MAX_KEY];
	u64 h = size;

	if (size <= HASH_MAX_KEY)
		return hash_bytes(k, key, size);
	while (size) {
		u32 n = MIN(size, (u32)PIECE);

		memcpy(block, &h, sizeof(h));
		memcpy(block + sizeof(h), p, n);
		h = hash_bytes(k, block, n + (u32)sizeof(h));
		p += n;
		size -= n;
	}
	return h;
}
