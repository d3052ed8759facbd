/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include <string.h>

#include "base/random.h"

static uint64_t secret[2];

__attribute__((constructor)) static void make_secret(void)
{
	random_bytes(secret, sizeof(secret));
}

static inline uint64_t turn(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

struct sip {
	uint64_t a, b, c, d;
};

static inline void sip_round(struct sip *s)
{
	s->a += s->b;
	s->c += s->d;
	s->b = turn(s->b, 13) ^ s->a;
	s->d = turn(s->d, 16) ^ s->c;
	s->a = turn(s->a, 32);
	s->c += s->b;
	s->a += s->d;
	s->b = turn(s->b, 17) ^ s->c;
	s->d = turn(s->d, 21) ^ s->a;
	s->c = turn(s->c, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
	s->d ^= word;
	sip_round(s);
	s->a ^= word;
}

uint64_t hash_keyed_with(const uint64_t key[2], const void *p, size_t n)
{
	struct sip s = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
		key[1] ^ 0x7465646279746573};
	const unsigned char *at = p, *words_end = at + (n & ~(size_t)7);
	uint64_t word = 0;

	for (; at < words_end; at += 8) {
		memcpy(&word, at, 8);
		sip_word(&s, word);
	}
	word = 0;
	if (n & 7)
		memcpy(&word, at, n & 7);
	sip_word(&s, word | (uint64_t)n << 56);
	s.c ^= 0xff;
	for (unsigned i = 0; i < 3; i++)
		sip_round(&s);
	return s.a ^ s.b ^ s.c ^ s.d;
}

uint64_t hash_keyed(const void *p, size_t n)
{
	return hash_keyed_with(secret, p, n);
}
