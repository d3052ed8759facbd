/* SPDX-License-Identifier: MIT */
/* Which known word somebody meant who wrote another one.
 * Thread: any. Borrows: the words. Bounds: words of more than NEAREST_WORD_MAX bytes are near to nothing. */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include "base/slice.h"

enum { NEAREST_WORD_MAX = 64 };

struct nearest {
	struct slice word;
	const char *best; /* NULL: none is near */
	unsigned distance;
};

static inline void nearest_init(struct nearest *n, struct slice word)
{
	*n = (struct nearest){word, NULL, NEAREST_WORD_MAX + 1};
}
/* Keeps the candidate if it is near and nearer than those before. */
void nearest_consider(struct nearest *n, const char *candidate);
/* The nearest of them, or NULL. */
const char *nearest_word(struct slice word, const char *const *candidates, unsigned n);

#endif
