/* SPDX-License-Identifier: MIT */
/* The second level of the key: request fields that Vary nominates, normalised (RFC 9111 4.1).
 * Thread: any; pure. */
#ifndef CACHE_POLICY_VARY_H
#define CACHE_POLICY_VARY_H

#include "base/buf.h"
#include "http/fields.h"

#define VARY_NAMES_MAX 32

enum vary_kind { VARY_NONE, VARY_FIELDS, VARY_STAR }; /* STAR: '*' anywhere, or more than VARY_NAMES_MAX names */

/* Writes the nominated names to out: lower case, sorted, without doubles, comma-separated. */
enum vary_kind vary_names(const struct http_fields *response, struct buf *out);
/* Writes the normalised values of those names in this request: absent differs from empty; list fields lose insignificant
 * whitespace, line breaks and, where order has no meaning, order; Accept-Encoding is reduced to what it accepts. Fields of more
 * than 512 bytes are taken as they are. */
int vary_values(struct slice names, const struct http_fields *request, struct buf *out) WARN_UNUSED;
/* Does a stored response serve this request: its names, its values and (for Accept-Language) its Content-Language. */
bool vary_matches(
	struct slice names, struct slice values, struct slice content_language, const struct http_fields *request);

/* What a request has for the names that many stored responses share: normalised once for all of them. */
struct vary_wants {
	const struct http_fields *request; /* borrowed */
	struct slice best_language;        /* the one that it wants above all others; empty: there is none */
	struct buf values;                 /* of these names: */
	size_t names_n;
	char names[512];
	char room[VARY_NAMES_MAX * 640];
};
void vary_wants_init(struct vary_wants *w, const struct http_fields *request);
/* As vary_matches. */
bool vary_wants_match(struct vary_wants *w, struct slice names, struct slice values, struct slice content_language);

/* For tables: what vary_wants_match is true of has one of the request's hashes, by its values or by its language. Keyed: nobody outside
 * finds values that fall together. */
uint32_t vary_hash(struct slice names, struct slice values);
uint32_t vary_hash_by_language(
	struct slice names, struct slice values, struct slice content_language); /* 0: has none */
/* Those of a request, for these names: how many, 2 at most. The first is the same for two requests with the same values, and for no others
 * that anybody outside could find. */
unsigned vary_wants_hashes(struct vary_wants *w, struct slice names, uint32_t out[2]);

#endif
