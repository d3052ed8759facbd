/* SPDX-License-Identifier: MIT */
#include "base/slice.h"

bool slice_equal_nocase(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

int slice_compare_nocase(const void *left, const void *right)
{
	const struct slice *a = left, *b = right;

	for (size_t i = 0; i < a->n && i < b->n; i++) {
		int difference = (unsigned char)ascii_lower(a->p[i]) - (unsigned char)ascii_lower(b->p[i]);

		if (difference != 0)
			return difference;
	}
	return (a->n > b->n) - (a->n < b->n);
}

bool slices_have_nocase(const struct slices *all, struct slice s)
{
	for (unsigned i = 0; i < all->n; i++)
		if (all->v[i].n == s.n && slice_equal_nocase(all->v[i], s))
			return true;
	return false;
}

bool slice_starts_with(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && slice_equal((struct slice){s.p, prefix.n}, prefix);
}

bool slice_starts_with_nocase(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && slice_equal_nocase((struct slice){s.p, prefix.n}, prefix);
}

bool slice_ends_with_nocase(struct slice s, struct slice end)
{
	return s.n >= end.n && slice_equal_nocase(slice_from(s, s.n - end.n), end);
}

/* Of nothing there may be no pointer, which memmem does not take. */
bool slice_contains(struct slice s, struct slice part)
{
	return part.n == 0 || (s.n >= part.n && memmem(s.p, s.n, part.p, part.n));
}

bool slice_cut(struct slice s, char at, struct slice *before, struct slice *behind)
{
	const char *found = s.n > 0 ? memchr(s.p, at, s.n) : NULL;

	*before = (struct slice){s.p, found ? (size_t)(found - s.p) : s.n};
	*behind = found ? (struct slice){found + 1, s.n - before->n - 1} : (struct slice){"", 0};
	return found != NULL;
}

static bool is_ows(char c)
{
	return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
	while (s.n > 0 && is_ows(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_ows(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool slice_to_u64(struct slice s, unsigned long long max, unsigned long long *out)
{
	unsigned long long value = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';

		if (digit > 9)
			return false;
		/* Goes on after saturating: a bad byte further on still makes the whole bad. */
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit, &value) ||
			value > max)
			value = max;
	}
	*out = value;
	return true;
}

struct slice slice_of_u64(char digits[SLICE_U64_DIGITS], unsigned long long v)
{
	size_t at = SLICE_U64_DIGITS;

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return (struct slice){digits + at, SLICE_U64_DIGITS - at};
}

bool slice_equal_secret(struct slice a, struct slice b)
{
	volatile unsigned char differs = 0; /* so that no compiler ends the loop early */

	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		differs = (unsigned char)(differs | (a.p[i] ^ b.p[i]));
	return differs == 0;
}
