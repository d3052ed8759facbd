/* SPDX-License-Identifier: MIT */
/* Which bytes are text.
 * Thread: any; pure. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/check.h"
#include "base/slice.h"

static inline bool utf8_is_between(char c, unsigned low, unsigned high)
{
	return (unsigned char)c >= low && (unsigned char)c <= high;
}

/* Length of the well-formed character of two or more bytes that s, which is not empty, begins with (RFC 3629 4), or 0. */
static inline size_t utf8_length(struct slice s)
{
	static const struct {
		unsigned char first_low, first_high, second_low, second_high, length;
	} forms[] = {
		{0xc2, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3},
		{0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (unsigned i = 0; i < ARRAY_LEN(forms); i++) {
		if (!utf8_is_between(s.p[0], forms[i].first_low, forms[i].first_high))
			continue;
		if (s.n < forms[i].length || !utf8_is_between(s.p[1], forms[i].second_low, forms[i].second_high))
			return 0;
		for (size_t k = 2; k < forms[i].length; k++)
			if (!utf8_is_between(s.p[k], 0x80, 0xbf))
				return 0;
		return forms[i].length;
	}
	return 0;
}

/* Takes the first character off s, which is not empty. Where a byte begins none, U+FFFD stands for it. */
static inline struct slice utf8_take(struct slice *s)
{
	size_t n = (unsigned char)s->p[0] < 0x80 ? 1 : utf8_length(*s);
	struct slice c = n ? (struct slice){s->p, n} : SLICE_LIT("\xef\xbf\xbd");

	*s = slice_from(*s, n ? n : 1);
	return c;
}

/* As much of the beginning of s as fits into `max` bytes without a character that is cut. */
static inline struct slice utf8_beginning(struct slice s, size_t max)
{
	if (s.n <= max)
		return s;
	s.n = max;
	while (s.n > 0 && utf8_is_between(s.p[s.n], 0x80, 0xbf))
		s.n--;
	return s;
}

#endif
