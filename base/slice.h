/* SPDX-License-Identifier: MIT */
/* A borrowed run of bytes: pointer and length, no terminator.
 * Thread: any. Borrows: the bytes, for as long as whoever made the slice says. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
	const char *p;
	size_t n;
};

struct slices {
	const struct slice *v;
	unsigned n;
};

#define SLICE_LIT(s) ((struct slice){(s), sizeof(s) - 1})
/* For printf's "%.*s". */
#define SLICE_ARG(s) (int)(s).n, (s).p

static inline struct slice slice_of(const char *z)
{
	return (struct slice){z, strlen(z)};
}

/* What is behind its first n bytes, n <= s.n. Of nothing there may be no pointer, and C adds not even 0 to NULL (C11 6.5.6). */
static inline struct slice slice_from(struct slice s, size_t n)
{
	return (struct slice){n > 0 ? s.p + n : s.p, s.n - n};
}

/* Behind its last byte. */
static inline const char *slice_end(struct slice s)
{
	return slice_from(s, s.n).p;
}

/* Takes as long whatever the bytes are: for secrets. The length is none. */
bool slice_equal_secret(struct slice a, struct slice b);

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Not tolower(): that follows the locale, and HTTP's names do not. */
static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* ASCII case only, as HTTP compares names (RFC 9110 5.1). */
bool slice_equal_nocase(struct slice a, struct slice b);
/* An order of struct slice, whatever their case: for qsort and bsearch. */
int slice_compare_nocase(const void *a, const void *b);
/* Is it one of them, whatever its case? */
bool slices_have_nocase(const struct slices *all, struct slice s);
bool slice_starts_with(struct slice s, struct slice prefix);
bool slice_starts_with_nocase(struct slice s, struct slice prefix);
bool slice_ends_with_nocase(struct slice s, struct slice end);
/* Is that anywhere in it? */
bool slice_contains(struct slice s, struct slice part);
/* What is before the first such byte and what is behind it. False where there is none: then it is all before it. */
bool slice_cut(struct slice s, char at, struct slice *before, struct slice *behind);
/* Without leading and trailing SP and HTAB (RFC 9110 5.6.3, OWS). */
struct slice slice_trim(struct slice s);
/* Digits only, no sign, no space; saturates at `max`. False when s is empty or has another byte. */
bool slice_to_u64(struct slice s, unsigned long long max, unsigned long long *out);
#define SLICE_U64_DIGITS 20 /* of 2^64 - 1 */
/* The number in decimal, in `digits`. */
struct slice slice_of_u64(char digits[SLICE_U64_DIGITS], unsigned long long v);

#endif
