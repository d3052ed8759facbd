/* SPDX-License-Identifier: MIT */
/* What paths and patterns are made of. A character stands for itself; what is percent-encoded and means something else than
 * the bare character would (RFC 3986 2.2) is its byte with SYMBOL_ENCODED set. The other two stand in patterns only.
 * Thread: any. Borrows: what it is given. Private to config/. */
#ifndef CONFIG_ROUTING_SYMBOLS_H
#define CONFIG_ROUTING_SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "http/syntax.h"

enum {
	SYMBOL_ENCODED = 0x100,
	SYMBOL_RUN = 0x200,     /* any run of characters */
	SYMBOL_SEGMENT = 0x201, /* all up to the next '/' or the end, and not nothing */
	SYMBOL_BITS = 0x3ff,
	SYMBOL_BITS_DECODED = SYMBOL_BITS & ~SYMBOL_ENCODED, /* those that count for a server that decodes first */
};

struct symbols {
	const uint16_t *v;
	unsigned n;
};

static inline bool symbol_keeps_its_encoding(int byte)
{
	return byte <= ' ' || byte >= 0x7F || strchr("%:/?#[]@!$&'()*+,;=", byte) != NULL;
}

/* Takes one symbol from the front; there must be a byte. */
static inline unsigned symbol_next(const char **p, const char *end)
{
	unsigned char c = (unsigned char)*(*p)++;
	int high, low, byte;

	if (c != '%' || end - *p < 2)
		return c;
	high = http_hex_value((*p)[0]);
	low = http_hex_value((*p)[1]);
	if (high < 0 || low < 0)
		return c;
	*p += 2;
	byte = high * 16 + low;
	return (unsigned)byte | (symbol_keeps_its_encoding(byte) ? (unsigned)SYMBOL_ENCODED : 0U);
}

/* Sorted as memcmp sorts bytes, what is shorter first. */
static inline int symbols_compare(struct symbols a, struct symbols b)
{
	unsigned n = a.n < b.n ? a.n : b.n;

	for (unsigned i = 0; i < n; i++)
		if (a.v[i] != b.v[i])
			return a.v[i] < b.v[i] ? -1 : 1;
	return a.n < b.n ? -1 : a.n > b.n;
}

#endif
