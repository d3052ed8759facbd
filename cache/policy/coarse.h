/* SPDX-License-Identifier: MIT */
/* A number in one byte, to within a sixteenth of it: three bits, and how far they are shifted. Up to 15 it is exact; what is beyond
 * COARSE_MAX counts as that.
 * Thread: any. */
#ifndef CACHE_POLICY_COARSE_H
#define CACHE_POLICY_COARSE_H

#include <stdint.h>

#define COARSE_MAX (UINT64_C(15) << 30)

static inline uint64_t coarse_value(uint8_t c)
{
	unsigned shift = c >> 3, bits = c & 7;

	return shift == 0 ? bits : (uint64_t)(8 + bits) << (shift - 1);
}

/* The greatest that is not above n. */
static inline uint8_t coarse_floor(uint64_t n)
{
	unsigned top;

	if (n < 8)
		return (uint8_t)n;
	if (n >= COARSE_MAX)
		return 255;
	top = 63 - (unsigned)__builtin_clzll(n);
	return (uint8_t)((top - 2) << 3 | (n >> (top - 3) & 7));
}

/* The nearest. */
static inline uint8_t coarse_of(uint64_t n)
{
	uint8_t c = coarse_floor(n);

	return c < 255 && coarse_value(c + 1) - n <= n - coarse_value(c) ? c + 1 : c;
}

/* `c` and n more. What is left over is rounded up as often as it is large, by `dice` of 2^32: so many small numbers come to their
 * sum, on the average, where each of them alone would be lost. */
static inline uint8_t coarse_add(uint8_t c, uint64_t n, uint32_t dice)
{
	uint64_t sum = coarse_value(c) + (n < COARSE_MAX ? n : COARSE_MAX), rest, step;
	uint8_t low = coarse_floor(sum);

	if (low == 255)
		return low;
	rest = sum - coarse_value(low);
	step = coarse_value(low + 1) - coarse_value(low);
	return (rest << 32) / step > dice ? low + 1 : low;
}

#endif
