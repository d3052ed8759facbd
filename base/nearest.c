/* SPDX-License-Identifier: MIT */
#include "base/nearest.h"

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;
	return least < c ? least : c;
}

/* Levenshtein's: insertions, deletions and replacements from one to the other. Both at most NEAREST_WORD_MAX bytes. */
static unsigned edit_distance(struct slice a, struct slice b)
{
	unsigned row[NEAREST_WORD_MAX + 1];

	for (unsigned j = 0; j <= b.n; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a.n; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b.n; j++) {
			unsigned cost = ascii_lower(a.p[i - 1]) != ascii_lower(b.p[j - 1]);
			unsigned above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + cost);
			diagonal = above;
		}
	}
	return row[b.n];
}

/* Who writes a beginning has shortened it. */
#define BEGINNING_MIN 4
static bool is_beginning(struct slice word, struct slice candidate)
{
	return word.n >= BEGINNING_MIN && slice_starts_with_nocase(candidate, word);
}

/* A quarter of the word may be wrong, and one letter. */
void nearest_consider(struct nearest *n, const char *candidate)
{
	unsigned distance;

	if (n->word.n > NEAREST_WORD_MAX || strlen(candidate) > NEAREST_WORD_MAX)
		return;
	distance = is_beginning(n->word, slice_of(candidate)) ? 1 : edit_distance(n->word, slice_of(candidate));
	if (distance <= 1 + n->word.n / 4 && distance < n->word.n && distance < n->distance) {
		n->best = candidate;
		n->distance = distance;
	}
}

const char *nearest_word(struct slice word, const char *const *candidates, unsigned n)
{
	struct nearest nearest;

	nearest_init(&nearest, word);
	for (unsigned i = 0; i < n; i++)
		nearest_consider(&nearest, candidates[i]);
	return nearest.best;
}
