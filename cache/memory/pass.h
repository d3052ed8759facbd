/* SPDX-License-Identifier: MIT */
/* Whose responses can't be shared. A response speaks for the requests that its Vary does not tell apart from its own, so that one
 * variant that is private keeps no other's requests from waiting for each other.
 * Thread: any; `_locked` wants the shard's mu. Bounds: PASS_VARIANTS of a key, and Vary of PASS_NAMES_MAX; what is beyond them
 * is said of every request. Private to cache/. */
#ifndef CACHE_MEMORY_PASS_H
#define CACHE_MEMORY_PASS_H

#include "cache/memory/memory.h"
#include "cache/policy/vary.h"

#define PASS_VARIANTS 8
#define PASS_NAMES_MAX 128

struct pass_variants {
	struct husk husk; /* of garbage */
	uint32_t hashes[PASS_VARIANTS];
	uint8_t n, next; /* of hashes: known, and to be replaced next */
	bool is_all;     /* there were more, and no response but such */
	bool is_mixed;   /* other variants were stored meanwhile, so that there are many says nothing of the rest */
	uint8_t names_n;
	char names[];
};

/* Of a response to `request`, by whose Vary (of the response, or of the key's others) it is told apart. NULL: it is not, or there is
 * no room. The caller holds no lock. */
struct pass_variants *pass_variants_new(
	struct shard *s, struct slice names, const struct http_fields *request) WARN_UNUSED;

/* Does it say anything of a request that wants this? Its time and purges are the caller's to look at. */
bool pass_covers(const struct pass_marker *m, struct vary_wants *wants);
/* By which fields requests are told apart; empty: by none. */
struct slice pass_names(const struct pass_marker *m);

/* The responses to these can't be shared either; *v is taken. NULL: it is not known whose; where something is, that goes on. */
void pass_add_locked(struct pass_marker *m, struct pass_variants **v, struct garbage *g);
/* The response to `request` could. */
void pass_unmark_locked(struct pass_marker *m, const struct http_fields *request, struct garbage *g);
void pass_clear_locked(struct pass_marker *m, struct garbage *g);

#endif
